"""Random requests of pages, without what ``docs/engines.md`` says of the engine at hand."""

from __future__ import annotations

from random import Random
from typing import Any

from request_cases import (
    HOME,
    INSECURE,
    LOCAL_ADDRESS,
    LOCAL_API,
    LOCAL_PAGE,
    SIBLING,
    STRANGER,
    RequestCase,
)

POLICIES: tuple[Any, ...] = (
    *("no-referrer", "no-referrer-when-downgrade", "same-origin", "origin", "strict-origin"),
    *("origin-when-cross-origin", "strict-origin-when-cross-origin", "unsafe-url"),
)
RELAXED = ("no-referrer-when-downgrade", "origin-when-cross-origin", "unsafe-url")
HEADERS = (("X-A", "1"), ("Accept-Language", "de"), ("Range", "bytes=0-1"), ("Content-Type", "application/json"))
ENCTYPES: tuple[Any, ...] = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
TEXTS = ("", "a", "a b", "é", 'a"b', "a&b=c", "1\n2", "100%", "+", "*-._")

# The rows that the cases avoid where an engine differs
AVOIDABLE = frozenset(
    {
        *("request-redirect-site", "request-redirect-cross", "request-insecure", "request-redirect-referer"),
        *("request-redirect-loopback", "request-redirect-preflight", "request-redirect-get", "request-redirect-origin"),
        *("request-no-referrer", "request-same-origin", "request-downgrade", "request-downgrade-policy"),
        *("request-relaxed", "request-mixed-loopback", "request-mixed-redirect", "request-upload-no-body"),
    }
)


def random_request_case(random: Random, number: int, avoided: frozenset[str]) -> RequestCase:
    """A case that has nothing of the *avoided* rows."""
    while True:
        case = _draw(random, number)
        if not avoided & features(case):
            return case


def _draw(random: Random, number: int) -> RequestCase:
    page = random.choice((HOME, HOME, LOCAL_PAGE))
    targets = (page, HOME, SIBLING, STRANGER, INSECURE, LOCAL_API, LOCAL_ADDRESS)
    hops = tuple(random.choice(targets) for _ in range(random.choice((1, 1, 1, 2, 2, 3))))
    kind: Any = random.choice(("fetch",) * 7 + ("xhr", "xhr", "form"))
    options: dict[str, Any] = {"status": random.choice((301, 302, 303, 307, 308))}
    if kind == "form":
        fields = tuple((random.choice(TEXTS[1:]), random.choice(TEXTS)) for _ in range(random.choice((0, 1, 2))))
        options |= {"method": random.choice(("GET", "POST")), "enctype": random.choice(ENCTYPES), "fields": fields}
        # Engines ask the user before a form leads to http:, from https: and from this machine.
        hops = tuple(hop for hop in hops if hop != INSECURE) or (STRANGER,)
        return RequestCase(number, page, hops, "form", **options)
    options["mode"] = random.choice(("cors", "cors", "no-cors", "same-origin")) if kind == "fetch" else "cors"
    simple = ("GET", "GET", "HEAD", "POST", "POST")
    options["method"] = random.choice(simple if options["mode"] == "no-cors" else (*simple, "PUT", "DELETE"))
    options["headers"] = tuple(random.sample(HEADERS, random.choice((0, 0, 1, 2))))
    if options["method"] not in ("GET", "HEAD", "POST") or (options["method"] == "POST" and options["headers"]):
        options["status"] = random.choice((307, 308))  # see-other, in the first table
    if options["method"] not in ("GET", "HEAD"):
        options["body"] = random.choice((None, "x"))
    if kind == "fetch":
        options["policy"] = random.choice(POLICIES)
    return RequestCase(number, page, hops, kind, **options)


def features(case: RequestCase) -> set[str]:
    """The rows that *case* has something of."""
    others = [hop for hop in case.hops if hop != case.page]
    is_plain = [hop.startswith("http:") for hop in case.hops]
    redirected = len(case.hops) > 1 and others != []
    is_secure = case.page == HOME
    is_basic = case.mode != "cors" or case.kind == "form"
    is_preflighted = case.kind == "xhr" or case.method not in ("GET", "HEAD", "POST") or case.headers != ()
    found = {
        "request-redirect-site": redirected,
        "request-redirect-cross": redirected and case.mode == "cors" and case.kind != "form",
        "request-redirect-referer": redirected,
        "request-redirect-loopback": redirected and case.page == LOCAL_PAGE,
        "request-redirect-preflight": redirected and case.mode == "cors" and case.kind != "form" and is_preflighted,
        "request-redirect-get": len(case.hops) > 1 and case.method == "POST" and case.status < 307,
        "request-redirect-origin": redirected
        and case.method == "POST"
        and (case.mode != "cors" or case.kind == "form"),
        "request-relaxed": others != [] and case.policy in RELAXED,
        "request-insecure": INSECURE in case.hops,
        "request-no-referrer": case.policy == "no-referrer" and case.mode != "cors",
        "request-same-origin": case.policy == "same-origin" and case.mode != "cors",
        "request-downgrade": is_secure and any(is_plain) and is_basic,
        "request-downgrade-policy": is_secure and any(is_plain),
        "request-mixed-loopback": is_secure and bool({LOCAL_API, LOCAL_ADDRESS} & set(case.hops)),
        "request-mixed-redirect": is_secure and any(is_plain[1:]),
        "request-upload-no-body": case.kind == "xhr" and case.body is None,
    }
    return {name for name, applies in found.items() if applies}
