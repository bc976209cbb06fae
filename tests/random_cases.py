"""Random CORS cases: servers that answer right, nearly right and malformed.

Where engines are known to differ, ``docs/engines.md`` has a line and ``test_real_browsers.py`` a test. The cases here
avoid these differences, and each such place says which one it avoids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from cases import Answer, Case, Fetch, Pairs, Where

from flask_preflight.fetch import normalize_method

METHODS = (
    "GET",
    "GET",
    "GET",
    "POST",
    "POST",
    "HEAD",
    "PUT",
    "PUT",
    "put",
    "DELETE",
    "PATCH",
    "patch",
    "CHICKEN",
    "options",
)

REQUEST_HEADERS: tuple[tuple[str, str], ...] = (
    ("X-A", "1"),
    ("x-b", ""),
    ("X_Under", "1"),
    ("Authorization", "Bearer t"),
    ("If-Match", "*"),
    ("X-HTTP-Method-Override", "TRACE"),
    ("X-HTTP-Method-Override", "PUT"),
    ("Sec-Secret", "1"),
    ("Content-Type", "application/json"),
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Type", 'text/plain; charset="utf-8"'),
    ("Content-Type", "TEXT/PLAIN"),
    ("Content-Type", "multipart/form-data; boundary=x"),
    ("Accept", "application/json"),
    ("Accept", "a(b"),
    ("Accept", "a" * 128),
    ("Accept", "a" * 129),
    ("Accept-Language", "de-CH, de;q=0.9"),
    ("Accept-Language", "de_CH"),
    ("Content-Language", "de"),
    ("Range", "bytes=0-1"),
    ("Range", "bytes=-1"),
    ("Range", "bytes=5-2"),
)

ORIGINS = (
    "{A}/",
    "{B}",
    "null",
    "NULL",
    "*",
    "{A}, {A}",
    "{A}, *",
    "HTTP://127.0.0.1",
    "127.0.0.1",
    "",
    "{A} ",
    "* ",
    "{A}:80",
    "https://*.example.com",
    "{A} {B}",
)
CREDENTIALS = ("True", "TRUE", "1", "", "false", " true", "true, true")
EXPOSED = ("X-Total", "*", "x-total, X-OTHER", "etag", "Set-Cookie", "X-Total X-Other", "", "*, X-Total", ",,etag")
MAX_AGES = ("600", "0", "1", "60")
READABLE: Pairs = (("X-Total", "1"), ("X-Other", "2"), ("ETag", '"x"'), ("Content-Language", "en"))
REDIRECTS = (
    "{goal}",
    "{goal}",
    "{B}{goal}",
    "{C}{goal}",
    "{A}{goal}",
    "data:,x",
    "http://[",
    "http://u:p@localhost/",
)


def random_case(random: Random, name: str) -> Case:
    """One case: a page, what it fetches, and what each of up to four kinds of answers says."""
    opaque = random.random() < 0.1
    origin = "null" if opaque else "{A}"
    where: Where = random.choice(("B",) * 7 + ("A", "C"))
    if not opaque and random.random() < 0.25:
        return _sequence(random, name, where)
    fetch = random_fetch(random, where)
    answers = {
        "preflight": Answer(random.choice(STATUSES), (*_grant(random, origin, fetch), *_preflight(random, [fetch]))),
        "actual": Answer(_actual_status(random), (*_grant(random, origin, fetch), *_readable(random, where))),
    }
    if random.random() < 0.3:
        goal_origin = random.choice((origin, origin, "null", "*"))
        answers["actual"] = _redirect(random, origin, fetch)
        answers["goal preflight"] = Answer(204, (*_grant(random, goal_origin, fetch), *_preflight(random, [fetch])))
        answers["goal"] = Answer(200, (*_grant(random, goal_origin, fetch), *_readable(random, "C")))
    return Case(name, (fetch,), answers, opaque)


def _sequence(random: Random, name: str, where: Where) -> Case:
    """Several fetches that may share a cached preflight.

    Engines differ on what failures do to the cache, so the answers are right; and on sandboxed frames, ``*``,
    conditional headers and changes of the credentials mode, so there are none.
    """
    first, other = random_fetch(random, where, cacheable=True), random_fetch(random, where, cacheable=True)
    other = replace(other, credentials=first.credentials)
    fetches = (first, *(random.choice((first, first, other)) for _ in range(random.choice((1, 2)))))
    right = (("Access-Control-Allow-Origin", "{A}"), ("Access-Control-Allow-Credentials", "true"))
    answers = {
        "preflight": Answer(204, (*right, *_preflight(random, fetches, cacheable=True))),
        "actual": Answer(_actual_status(random), (*right, *_readable(random, where))),
    }
    return Case(name, fetches, answers)


STATUSES = (204,) * 8 + (200, 299, 301, 304, 401, 404, 500)


def _actual_status(random: Random) -> int:
    return random.choice((200,) * 8 + (201, 204, 400, 401, 404, 500, 503))


def random_fetch(random: Random, where: Where, *, cacheable: bool = False) -> Fetch:
    method = random.choice(METHODS)
    sample = random.sample(REQUEST_HEADERS, random.choice((0, 0, 0, 1, 1, 2, 3)))
    # One line a name: engines differ on whether the values are measured before or after they are joined.
    headers = {name.lower(): (name, value) for name, value in sample if not (cacheable and name == "If-Match")}
    return Fetch(
        method,
        tuple(headers.values()),
        random.choice(("omit", "same-origin", "include")),
        random.choice((None, "x")) if method not in ("GET", "HEAD") else None,
        "follow" if cacheable else random.choice(("follow",) * 8 + ("error", "manual")),
        where,
    )


def _grant(random: Random, origin: str, fetch: Fetch) -> Pairs:
    """Access-Control-Allow-Origin and -Credentials, right in most cases."""
    lines = [("Access-Control-Allow-Origin", origin)]
    kind = random.random()
    if kind < 0.04:
        lines = []
    elif kind < 0.08:
        lines *= 2
    elif kind < 0.16:
        lines = [("Access-Control-Allow-Origin", random.choice(ORIGINS))]
    elif kind < 0.3:
        lines = [("Access-Control-Allow-Origin", "*")]
    credentials = "true" if random.random() < 0.85 else random.choice(CREDENTIALS)
    if fetch.credentials == "include" or random.random() < 0.2:
        lines += [("Access-Control-Allow-Credentials", credentials)] * random.choice((1,) * 10 + (0, 2))
    return tuple(lines)


def _preflight(random: Random, fetches: Sequence[Fetch], *, cacheable: bool = False) -> Pairs:
    """Access-Control-Allow-Methods, -Headers and -Max-Age, right in most cases."""
    methods = [normalize_method(fetch.method) for fetch in fetches]
    names = sorted({name for fetch in fetches for name, _ in fetch.headers})
    kinds = ["lines", "others"] if cacheable else list(KINDS)
    lines = [
        *_list(random, kinds, "Access-Control-Allow-Methods", methods),
        # Engines let * cover Authorization.
        *_list(random, [kind for kind in kinds if kind != "star"], "Access-Control-Allow-Headers", names),
    ]
    if random.random() < 0.7:
        lines.append(("Access-Control-Max-Age", random.choice(MAX_AGES)))
    return tuple(lines)


KINDS = (
    *("absent", "bad", "lines", "lower", "one less", "others", "quotes", "semicolons", "spaces", "star", "star beside"),
    "upper",
)


def _list(random: Random, kinds: list[str], header: str, right: list[str]) -> list[tuple[str, str]]:
    kind = random.random()
    if kind < 0.7:
        return [(header, random.choice((", ", ",", " ,\t")).join(right))]
    wrong = {
        "absent": [],
        "star": ["*"],
        "star beside": [", ".join(["*", *right])],
        "lines": right,
        "lower": [", ".join(right).lower()],
        "upper": [", ".join(right).upper()],
        "others": [", ".join(["GET", "X-Other", *right, ""])],
        "one less": [", ".join(right[1:])],
        "spaces": [" ".join(["X-Other", *right])],
        "semicolons": [";".join(["X-Other", *right])],
        "quotes": [f'"{", ".join(right)}"'],
        "bad": [", ".join([*right, "b@d"])],
    }
    return [(header, value) for value in wrong[random.choice(kinds)]]


def _readable(random: Random, where: Where) -> Pairs:
    cookie = (
        (("Set-Cookie", "{cookie}"),) if where != "C" and random.random() < 0.3 else ()
    )  # cross-site cookies differ
    # One line: Firefox takes a * from one line although another one is malformed.
    exposed = tuple(("Access-Control-Expose-Headers", random.choice(EXPOSED)) for _ in range(random.choice((0, 1, 1))))
    return (*READABLE, *cookie, *exposed)


def _redirect(random: Random, origin: str, fetch: Fetch) -> Answer:
    # Engines differ on redirects that make a GET of a preflighted request, and on bad ones under redirect: "manual".
    status = random.choice((301, 302, 303, 307, 308) if fetch.method in ("GET", "HEAD") else (307, 308))
    # Firefox asks as if nothing had been redirected when it needs a preflight again.
    plain = fetch.redirect != "follow" or not fetch.is_simple
    location = "{goal}" if plain else random.choice(REDIRECTS)
    lines = (("Location", location),) if fetch.redirect != "follow" or random.random() < 0.95 else ()
    return Answer(status, (*_grant(random, origin, fetch), *lines))
