"""The complete answer to any request, worked out the slow way from the words of the contract.

It imports nothing of the package. A policy is a `Description`: the fields as a user writes them. All it knows is what
the documentation promises, one rule after the other, so that each function can be read beside that page.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict

import oracle

Headers: TypeAlias = list[tuple[str, str]]
OriginCheck: TypeAlias = Callable[[str, dict[str, Any]], object]


class Description(TypedDict, total=False):
    """The fields of a valid policy; one that is missing has its default."""

    allow_origins: Literal["*"] | list[str] | OriginCheck
    allow_methods: Literal["*"] | list[str] | None
    allow_headers: Literal["*"] | list[str]
    expose_headers: Literal["*"] | list[str]
    allow_credentials: bool
    max_age: int | None
    allow_timing: bool
    preflight_status: int
    dangerously_allow_insecure_origins: bool
    dangerously_allow_public_suffix_subdomains: bool
    dangerously_allow_null_origin: bool


class Request(NamedTuple):
    """What counts in a request. ``None`` is a header that was not sent, ``""`` one that was sent empty."""

    method: str
    origin: str | None = None
    requested_method: str | None = None
    requested_headers: str | None = None


class Answer(NamedTuple):
    status: int
    headers: Headers
    body: bytes


class Verdict(NamedTuple):
    """What the engine must decide: the values of its `Outcome` and `Reason`."""

    outcome: str
    reason: str | None = None


LONGEST_ORIGIN = 320
LONGEST_METHOD = 64
LONGEST_REQUEST_HEADERS = 4096
MOST_COMMAS = 128

VARY_OF_PREFLIGHTS = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
REFUSAL = b"This CORS preflight is refused.\n"

DEFAULT_PORTS = {"ftp": "21", "http": "80", "https": "443", "ws": "80", "wss": "443"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~" + DIGITS + LETTERS + LETTERS.upper()


def consists_of(text: str, characters: str) -> bool:
    return all(character in characters for character in text)


# ---------------------------------------------------------------------------------------
# Origins
# ---------------------------------------------------------------------------------------


def is_origin(text: str) -> bool:
    """Tell whether *text* is an origin other than ``null``, spelled as browsers spell it."""
    scheme, separator, rest = text.partition("://")
    if rest.startswith("["):
        address, bracket, tail = rest.partition("]")
        host, port = address + bracket, tail
    else:
        host, colon, digits = rest.partition(":")
        port = colon + digits
    return (
        len(text) <= LONGEST_ORIGIN
        and separator != ""
        and scheme != "file"
        and is_scheme(scheme)
        and (port == "" or (port[0] == ":" and is_port(port[1:], scheme)))
        and is_host(host, scheme)
    )


def is_scheme(text: str) -> bool:
    return text[:1] != "" and text[0] in LETTERS and consists_of(text, LETTERS + DIGITS + "+-.")


def is_port(text: str, scheme: str) -> bool:
    is_number = text != "" and len(text) <= 5 and consists_of(text, DIGITS) and text[0] != "0"
    return is_number and int(text) <= 65535 and text != DEFAULT_PORTS.get(scheme)


def is_host(text: str, scheme: str) -> bool:
    if text.startswith("["):
        return is_ipv6(text)
    if scheme not in DEFAULT_PORTS:
        return consists_of(text, LETTERS + DIGITS + "._~-")
    labels = text.removesuffix(".").split(".")
    if consists_of(labels[-1], DIGITS) or (labels[-1][:2] == "0x" and consists_of(labels[-1][2:], DIGITS + "abcdef")):
        return is_ipv4(text)
    are_labels = all(0 < len(label) <= 63 and consists_of(label, LETTERS + DIGITS + "_-") for label in labels)
    return are_labels and len(text.removesuffix(".")) <= 253


def is_ipv4(text: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(text)) == text
    except ValueError:
        return False


def is_ipv6(text: str) -> bool:
    try:
        return f"[{oracle.ipv6(int(ipaddress.IPv6Address(text[1:-1])))}]" == text
    except ValueError:
        return False


def is_covered(value: str, origin: str) -> bool:
    """Tell whether one item of ``allow_origins`` covers *origin*, which is an origin."""
    if value.endswith("://*"):  # every host of a scheme
        scheme, _, host = origin.partition("://")
        return f"{scheme}://*" == value and ":" not in host
    return value == origin or oracle.covers(value, origin)


def judge_origin(policy: Description, origin: str) -> str | None:
    """Say why *origin* may not read; ``None`` if it may."""
    allowed = policy.get("allow_origins", [])
    if len(origin) > LONGEST_ORIGIN:
        return "origin-too-long"
    if allowed == "*":
        return None
    if origin == "null":
        is_listed = isinstance(allowed, list) and "null" in allowed
        return None if is_listed else "origin-null"
    if not is_origin(origin):
        return "origin-malformed"
    if isinstance(allowed, list):
        is_allowed = any(value != "null" and is_covered(value, origin) for value in allowed)
        return None if is_allowed else "origin-not-allowed"
    assert not isinstance(allowed, str)
    try:
        verdict = allowed(origin, {})
    except Exception:  # noqa: BLE001 - a check may raise anything, and then it refuses
        return "origin-check-failed"
    if verdict is True:
        return None
    return "origin-not-allowed" if verdict is False else "origin-check-failed"


# ---------------------------------------------------------------------------------------
# Methods and headers
# ---------------------------------------------------------------------------------------


def is_token(text: str) -> bool:
    return text != "" and consists_of(text, TOKEN_CHARACTERS)


def flaw_of_method(method: str) -> str | None:
    """Say why no policy can allow *method*."""
    if len(method) > LONGEST_METHOD or not is_token(method) or method == "*":
        return "method-malformed"
    return "method-forbidden" if method.upper() in {"CONNECT", "TRACE", "TRACK"} else None


def named_methods(policy: Description) -> list[str]:
    methods = policy.get("allow_methods")
    if methods is None:
        return ["GET", "HEAD", "POST"]
    assert methods != "*"
    return sorted({*methods, "HEAD"} if "GET" in methods else set(methods))


def allows_method(policy: Description, method: str) -> bool:
    return policy.get("allow_methods") == "*" or method in named_methods(policy)


def allowed_headers(policy: Description) -> list[str]:
    """Name the headers that the policy lists; ``*`` is one of them where it allows any."""
    return sorted(policy.get("allow_headers", ["Content-Type"]), key=str.lower)


def elements(value: str) -> list[str]:
    """Split a list in a header: tabs and spaces around an element do not count, nor do empty elements."""
    stripped = [element.strip("\t ") for element in value.split(",")]
    return [element for element in stripped if element]


def allows_header(policy: Description, name: str) -> bool:
    listed = [each.lower() for each in allowed_headers(policy)]
    return name.lower() in listed or ("*" in listed and name.lower() != "authorization")


def judge_headers(policy: Description, value: str) -> str | None:
    """Say why a preflight may not announce these headers; ``None`` if it may."""
    if len(value) > LONGEST_REQUEST_HEADERS or value.count(",") > MOST_COMMAS:
        return "headers-too-long"
    names = elements(value)
    if not all(is_token(name) and name != "*" for name in names):
        return "headers-malformed"
    return None if all(allows_header(policy, name) for name in names) else "headers-not-allowed"


# ---------------------------------------------------------------------------------------
# Verdicts
# ---------------------------------------------------------------------------------------


def is_preflight(request: Request) -> bool:
    return request.method == "OPTIONS" and request.origin is not None and request.requested_method is not None


def judge(policy: Description, request: Request) -> Verdict:
    if request.origin is None:
        return Verdict("not-cors")
    if is_preflight(request):
        reason = judge_preflight(policy, request)
        return Verdict("preflight-refused" if reason else "preflight-granted", reason)
    if policy.get("allow_origins") == "*":  # a constant, so not even the length of the origin matters
        return Verdict("actual-allowed")
    reason = judge_origin(policy, request.origin)
    return Verdict("actual-refused" if reason else "actual-allowed", reason)


def judge_preflight(policy: Description, request: Request) -> str | None:
    method = request.requested_method or ""
    reason = flaw_of_method(method) or judge_origin(policy, request.origin or "")
    if reason is None and not allows_method(policy, method):
        reason = "method-not-allowed"
    return reason or judge_headers(policy, request.requested_headers or "")


# ---------------------------------------------------------------------------------------
# Answers
# ---------------------------------------------------------------------------------------


def answer(policy: Description, request: Request, of_app: Answer) -> Answer:
    """Say the complete answer to *request*, where the app answers *of_app* if it is asked."""
    outcome = judge(policy, request).outcome
    if outcome == "preflight-granted":
        return grant(policy, request)
    if outcome == "preflight-refused":
        headers = [("Vary", VARY_OF_PREFLIGHTS), *describe(403, REFUSAL)]
        return Answer(403, headers, REFUSAL)
    return of_app._replace(headers=decorate(policy, request, of_app.headers))


def describe(status: int, body: bytes) -> Headers:
    length = ("Content-Length", str(len(body)))
    return [length] if status == 204 else [("Content-Type", "text/plain; charset=utf-8"), length]


def cors_check(policy: Description, request: Request) -> Headers:
    """Say the headers that let a page read, on answers of both kinds."""
    origin = "*" if policy.get("allow_origins") == "*" else request.origin or ""
    credentials = [("Access-Control-Allow-Credentials", "true")] if policy.get("allow_credentials") else []
    return [("Access-Control-Allow-Origin", origin), *credentials]


def grant(policy: Description, request: Request) -> Answer:
    headers = cors_check(policy, request)
    method = request.requested_method or ""
    if policy.get("allow_methods") == "*":  # with credentials, browsers would take "*" for the name of a method
        methods = [method if policy.get("allow_credentials") else "*"]
    else:
        methods = named_methods(policy)
    headers.append(("Access-Control-Allow-Methods", ", ".join(methods)))
    names = allowed_headers(policy)
    if "*" in names:  # only what was asked for, so that no browser remembers more than was checked
        names = elements(request.requested_headers or "")
    if names:
        headers.append(("Access-Control-Allow-Headers", ", ".join(names)))
    max_age = policy.get("max_age", 600)
    if max_age is not None:
        headers.append(("Access-Control-Max-Age", str(max_age)))
    status = policy.get("preflight_status", 204)
    return Answer(status, [*headers, ("Vary", VARY_OF_PREFLIGHTS), *describe(status, b"")], b"")


def decorate(policy: Description, request: Request, of_app: Headers) -> Headers:
    """Say the headers of a response that the app gave the headers *of_app*."""
    is_for_everyone = policy.get("allow_origins") == "*"
    may_read = is_for_everyone or judge(policy, request).outcome == "actual-allowed"
    timing = bool(may_read and policy.get("allow_timing"))
    kept = [
        (name, value)
        for name, value in of_app
        if not name.lower().startswith("access-control-") and not (timing and name.lower() == "timing-allow-origin")
    ]
    if may_read:
        kept += cors_check(policy, request)
        exposed = sorted(policy.get("expose_headers", []), key=str.lower)
        for name, value in of_app:
            if name.lower() == "access-control-expose-headers":
                exposed += elements(value)
        if exposed:
            kept.append(("Access-Control-Expose-Headers", ", ".join(exposed)))
    if timing:
        kept.append(("Timing-Allow-Origin", "*" if is_for_everyone else request.origin or ""))
    return kept if is_for_everyone else merge_vary(kept)


def merge_vary(headers: Headers) -> Headers:
    """Say the headers with one line of ``Vary`` that has ``Origin`` in it, or is ``*``."""
    fields = [field for name, value in headers if name.lower() == "vary" for field in elements(value)]
    if "*" not in fields and "origin" not in [field.lower() for field in fields]:
        fields.append("Origin")
    return [*(header for header in headers if header[0].lower() != "vary"), ("Vary", ", ".join(fields))]


# ---------------------------------------------------------------------------------------
# Comparing
# ---------------------------------------------------------------------------------------

_LISTS = {"access-control-allow-methods", "access-control-allow-headers", "access-control-expose-headers"}


def normal(answer: Answer) -> Answer:
    """Spell an answer so that two that mean the same are equal: the contract leaves some spellings open.

    Order of the lines, case of their names, order and case of what ``Vary`` lists, and names that other lists repeat.
    """
    headers = [(name.lower(), _normal_value(name.lower(), value)) for name, value in answer.headers]
    return answer._replace(headers=sorted(headers))


def _normal_value(name: str, value: str) -> str:
    if name == "vary":
        return ", ".join(sorted(field.lower() for field in elements(value)))
    return ", ".join(_without_repetition(elements(value))) if name in _LISTS else value


def _without_repetition(names: Iterable[str]) -> list[str]:
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name.lower(), name)
    return list(first.values())
