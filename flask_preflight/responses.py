"""A policy's decisions in WSGI's form: whole answers to preflights, and headers for the app's responses.

WSGI and Flask use the same two: the `Responses` of a policy, which are look-ups, and `decorate`, which adds headers to
a response. A granted answer depends on the origin, and under ``*`` on the method and the header names. The origin is
looked up first. The rest is kept in one `functools.lru_cache` for each policy, keyed by the exact method and header
names. No origin and no refusal is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from flask_preflight import fetch
from flask_preflight.engine import (
    VARY_PREFLIGHT,
    HeaderList,
    RequestFacts,
    allows_headers,
    allows_method,
    negotiate,
)
from flask_preflight.origin import MAX_ORIGIN_LENGTH, Origins
from flask_preflight.policy import Policy

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# The bounds of what is kept for one policy: entries, and characters of method and header names together
_MOST_KEPT: Final = 64
_LONGEST_KEY: Final = 256

# Status line, headers and body of a response
Answer: TypeAlias = tuple[str, Iterable[tuple[str, str]], tuple[bytes, ...]]


def make_answer(status: int, headers: HeaderList, text: str = "") -> Answer:
    """The answer with *text* as its body, and the headers that describe it."""
    body = text.encode()
    # A 204 must have no type (wsgiref.validate) but has a length, though HTTP forbids it: old versions of Safari wait
    # for a body otherwise, and Werkzeug's linter asks for it.
    described = () if status == 204 else (("Content-Type", "text/plain; charset=utf-8"),)
    length = ("Content-Length", str(len(body)))
    return _status_line(status), (*headers, *described, length), (body,) if body else ()


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Success"


# All refusals look the same, whatever the reason is. Only a debug answer shows it.
REFUSAL: Final = make_answer(403, (VARY_PREFLIGHT,), "This CORS preflight is refused.\n")


# ---------------------------------------------------------------------------------------
# The answers of policies that list their origins
# ---------------------------------------------------------------------------------------

# `negotiate` is asked about this origin, for headers that are the same for every allowed origin.
_ANY_ORIGIN: Final = "https://any-origin.invalid"


class Responses:
    """The answers under one policy: look-ups, made once and stored with the policy.

    *asks* is whether a callable decides about origins: then `grant` and `actual` do not apply. *status* is the status
    line of granted preflights. *others* is what is added to the response to a request without an origin, or of an
    origin that is not allowed.
    """

    def __init__(self, policy: Policy) -> None:
        origins = policy.allow_origins
        self.asks = callable(origins)
        self.is_public = policy.allows_any_origin
        self.status = _status_line(policy.preflight_status)
        self._allows_origin: Callable[[str], bool] = _allow_any
        if isinstance(origins, Origins):
            self._allows_origin = origins.match if origins.patterns else origins.listed.__contains__
        # The cache uses a copy of the policy. If it referred to the policy itself, neither would be freed.
        self._twin = twin = policy.twin(allow_origins=origins if self.is_public else Origins([_ANY_ORIGIN]))
        self._grant = lru_cache(maxsize=_MOST_KEPT)(partial(_grant, twin))
        self._granted: HeaderList | None = None
        if policy.methods and not (policy.allows_any_method or policy.allows_any_header):
            self._granted = _grant(twin, policy.methods[0], "")
        self.others = negotiate(twin, RequestFacts("GET")).headers
        allowed = negotiate(twin, RequestFacts("GET", _ANY_ORIGIN)).headers
        self._allowed = tuple(header for header in allowed if header[1] != _ANY_ORIGIN)
        self._allows_timing = policy.allow_timing

    def grant(self, environ: WSGIEnvironment) -> list[tuple[str, str]] | None:
        """The headers of the answer to a preflight; ``None`` if it is refused."""
        origin, method = environ["HTTP_ORIGIN"], environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"]
        if len(origin) > MAX_ORIGIN_LENGTH or not self._allows_origin(origin):
            return None
        headers = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        if not (allows_method(self._twin, method) and allows_headers(self._twin, headers)):
            return None
        granted = self._granted
        if granted is None:
            is_kept = len(method) + len(headers) <= _LONGEST_KEY
            granted = self._grant(method, headers) if is_kept else _grant(self._twin, method, headers)
        return [(fetch.ALLOW_ORIGIN, fetch.WILDCARD if self.is_public else origin), *granted]

    def actual(self, origin: str) -> HeaderList:
        """What to add to the app's response to an actual request of *origin*."""
        if self.is_public or len(origin) > MAX_ORIGIN_LENGTH or not self._allows_origin(origin):
            return self.others
        named: HeaderList = ((fetch.ALLOW_ORIGIN, origin),)
        if self._allows_timing:
            named += ((fetch.TIMING_ALLOW_ORIGIN, origin),)
        return named + self._allowed


def _allow_any(_: str) -> bool:
    return True


def _grant(policy: Policy, method: str, requested_headers: str) -> HeaderList:
    """The headers of a granted preflight, without the first one, which names the origin."""
    decision = negotiate(policy, RequestFacts("OPTIONS", _ANY_ORIGIN, method, requested_headers))
    _, headers, _ = make_answer(policy.preflight_status, decision.headers[1:])
    return tuple(headers)


def responses_of(policy: Policy) -> Responses:
    """The responses of *policy*, made once and kept with it."""
    responses: Responses = vars(policy).setdefault("responses", Responses(policy))
    return responses


# ---------------------------------------------------------------------------------------
# The app's headers and ours
# ---------------------------------------------------------------------------------------

# First letters of the names that `_merge` must look at: Access-Control-*, Timing-Allow-Origin, Vary, CORS-Refused
_INITIALS: Final = frozenset("AaTtVvCc")
_COMMON: Final = frozenset(
    {"Content-Type", "Content-Length", "Content-Encoding", "Content-Disposition", "Cache-Control"}
)


def decorate(headers: Iterable[tuple[str, str]], added: HeaderList) -> list[tuple[str, str]]:
    """A new list of the app's *headers* with those of a decision.

    ``Access-Control-*`` is replaced, and so is every other header that is added, except ``Vary``, which is merged into
    one line. Headers that the app exposes stay exposed, if the origin is allowed.
    """
    decorated = [*headers]
    for header in decorated:
        name = header[0]
        if name not in _COMMON and name[:1] in _INITIALS:
            return _merge(decorated, added)
    decorated += added
    return decorated


def _merge(headers: list[tuple[str, str]], added: HeaderList) -> list[tuple[str, str]]:
    decided = dict(added)
    replaced = {name.lower() for name in decided}
    kept: list[tuple[str, str]] = []
    exposed: list[str] = []
    vary: list[str] = []
    for header in headers:
        if header[0] in _COMMON:
            kept.append(header)
            continue
        name = header[0].lower()
        if name == "vary" and fetch.VARY in decided:
            vary.append(header[1])
        elif name == "access-control-expose-headers":
            exposed.append(header[1])
        elif not name.startswith("access-control-") and name not in replaced:
            kept.append(header)
    if vary:
        decided[fetch.VARY] = _merge_vary(vary, decided[fetch.VARY])
    if exposed and fetch.ALLOW_ORIGIN in decided:
        _merge_exposed(decided, exposed)
    return [*kept, *decided.items()]


def _merge_vary(by_app: list[str], added: str) -> str:
    """One value of ``Vary``: https://httpwg.org/specs/rfc9110.html#field.vary"""
    names = _without_repetition(",".join([*by_app, added]))
    return fetch.WILDCARD if fetch.WILDCARD in names else ", ".join(names.values())


def _merge_exposed(decided: dict[str, str], by_app: list[str]) -> None:
    names = _without_repetition(",".join([decided.get(fetch.EXPOSE_HEADERS, ""), *by_app]))
    if fetch.ALLOW_CREDENTIALS in decided:  # then browsers take '*' as a name
        names.pop(fetch.WILDCARD, None)
    if merged := list(filter(fetch.is_token, names.values())):
        decided[fetch.EXPOSE_HEADERS] = ", ".join(merged)


def _without_repetition(value: str) -> dict[str, str]:
    """The elements of a list, by their lower case, without those that differ from an earlier one in case only."""
    first: dict[str, str] = {}
    for element in value.split(","):
        name = element.strip(fetch.TAB_OR_SPACE)
        if name:
            first.setdefault(name.lower(), name)
    return first
