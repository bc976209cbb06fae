"""Ready answers: what `negotiate` decides under one policy, in WSGI's form, and without deciding it again.

A preflight is granted if its origin, its method, and its header names are, each by itself. So the origin and the method
are only looked up, and what is remembered goes by the header names alone: everybody is told the same but for their own
origin, and all refusals are one. New origins and methods, however many, drive nothing out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from flask_preflight import fetch
from flask_preflight.engine import (
    MAX_REQUEST_HEADERS_LENGTH,
    VARY,
    VARY_PREFLIGHT,
    HeaderList,
    Outcome,
    RequestFacts,
    flaw_of_method,
    negotiate,
)
from flask_preflight.memory import LONGEST_REMEMBERED, Memory
from flask_preflight.origin import MAX_ORIGIN_LENGTH, Origins
from flask_preflight.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Container

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PolicyFinder: TypeAlias = "Callable[[WSGIEnvironment], Policy | None]"

# As `start_response`, which comes first
Start: TypeAlias = "Callable[..., Callable[[bytes], object]]"


class Answer(NamedTuple):
    """A whole answer to a preflight."""

    status: str
    headers: HeaderList
    body: tuple[bytes, ...] = ()


def prepare(status: str, headers: HeaderList, text: str = "") -> Answer:
    """The answer with *text*, and with what describes it beside *headers*."""
    body = text.encode()
    # A 204 has no type (wsgiref.validate minds) but a length, though HTTP asks for none: old Safaris wait for a body
    # otherwise, and Werkzeug's linter minds.
    described = () if status.startswith("204") else (("Content-Type", "text/plain; charset=utf-8"),)
    length = ("Content-Length", str(len(body)))
    return Answer(status, (*headers, *described, length), (body,) if body else ())


def status_line(status: int) -> str:
    """*status* as WSGI has it."""
    if status == 204:
        return "204 No Content"
    from http import HTTPStatus  # long to import, and nearly all policies keep the 204

    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Success"


# Fewer than elsewhere: there may be many policies, and browsers send few lists of header names, each in one order.
_MOST_TOLD: Final = 256

# Whatever the reason is: only a debug answer tells it.
REFUSAL: Final = prepare("403 Forbidden", (VARY_PREFLIGHT,), "This CORS preflight is refused.\n")


class Answers:
    """What is answered under *policy*; not *ready* if a callable is to be asked each time.

    Whoever is in a hurry may look by themselves before they call a method:

    - *origins* and *methods* are the allowed ones. *named* are the headers that name an allowed origin, or ``*``, by
      the origin; those not there yet are `name`'s.
    - *told* is what a granted preflight is told behind its origin, by its ``Access-Control-Request-Headers``: ``()`` if
      these are refused. *status* goes with it. *otherwise* is what all others are told: ``()``, or ``None`` if that is
      to be decided anew.
    - *starts* start the responses to allowed origins, and *plain* those to requests without an origin.
    - *find* finds the policy of a request, where there is not one for all.
    """

    __slots__ = (
        "_named",
        "_rest",
        "_starts",
        "_told",
        "_varied",
        "find",
        "methods",
        "named",
        "origins",
        "otherwise",
        "plain",
        "policy",
        "ready",
        "starts",
        "status",
        "told",
    )

    def __init__(self, policy: Policy, like: Answers | None = None, find: PolicyFinder | None = None) -> None:
        any_method = policy.allow_methods == fetch.WILDCARD
        self.policy = policy
        self.find = find
        # with credentials, the answer under "*" names the one method that was asked for
        self.ready = not (callable(policy.allow_origins) or (any_method and policy.allow_credentials))
        # a few, which are compared and so not read to their end, however long one is that is asked for
        self.methods = _Such(_is_sound) if any_method else tuple(filter(_is_sound, policy.methods))
        self.status = status_line(policy.preflight_status)
        self.otherwise: HeaderList | None = () if self.ready else None
        self._told: Memory[str, HeaderList] = Memory(_MOST_TOLD)
        self.told = self._told.kept
        if like is not None and self.ready and like.ready and _read_alike(policy, like.policy):
            self._share_readers(like)
        else:
            self._begin_readers()

    def _begin_readers(self) -> None:
        """All that depends on who may read what."""
        policy = self.policy
        self.origins = _origins(policy) if self.ready else frozenset[str]()
        self._named: Memory[str, tuple[str, str]] = Memory()
        self.named = self._named.kept
        self._varied: Memory[str, tuple[str, str]] = Memory()
        self._starts: Memory[str, Start] = Memory()
        self.starts = self._starts.kept
        self._rest: HeaderList | None = None
        self.plain = self.starting_with(negotiate(policy, RequestFacts("GET")).headers) if self.ready else None

    def _share_readers(self, like: Answers) -> None:
        for name in ("origins", "_named", "named", "_varied", "_starts", "_rest", "starts", "plain"):
            setattr(self, name, getattr(like, name))

    def answer(self, facts: RequestFacts) -> Answer | None:
        """The answer to a preflight; ``None`` if that is to be decided anew."""
        origin = facts.origin or ""
        told = self.tell(origin, facts.wanted_method or "", facts.wanted_headers or "")
        if told:
            return Answer(self.status, (self.name(origin), *told))
        return None if told is None else REFUSAL

    def tell(self, origin: str, method: str, headers: str) -> HeaderList | None:
        """What a preflight is told behind its origin: ``()`` if refused, ``None`` if that is to be decided anew."""
        if is_too_long(origin, headers) or origin not in self.origins or method not in self.methods:
            return self.otherwise
        told = self.told.get(headers) if len(headers) <= LONGEST_REMEMBERED else None
        if told is None:
            decision = negotiate(self.policy, RequestFacts("OPTIONS", origin, method, headers))
            is_granted = decision.outcome is Outcome.PREFLIGHT_GRANTED
            told = prepare(self.status, decision.headers[1:]).headers if is_granted else ()
            if len(headers) + sum(len(name) + len(value) for name, value in told) <= LONGEST_REMEMBERED:
                self._told.keep(headers, told)
        return told

    def name(self, origin: str) -> tuple[str, str]:
        """The header that names an allowed *origin*, remembered: among a hundred thousand, it takes longer to find."""
        named = self.named.get(origin)
        if named is None:
            named = fetch.ALLOW_ORIGIN, fetch.WILDCARD if self._is_for_everyone() else origin
            self._named.keep(origin, named)
        return named

    def _is_for_everyone(self) -> bool:
        return self.policy.allow_origins == fetch.WILDCARD

    def start_for(self, origin: str | None) -> Start | None:
        """What starts the response to an actual request; ``None`` if that is to be decided anew."""
        if origin is None or len(origin) > MAX_ORIGIN_LENGTH or origin not in self.origins:
            return self.plain
        start = self.starts.get(origin)
        if start is None and self.plain is not None and self._is_for_everyone():
            start = self.plain
            self._starts.keep(origin, start)
        if start is None:
            named, *rest = negotiate(self.policy, RequestFacts("GET", origin)).headers
            # the same text for all: it may be long, and there may be many origins
            self._rest = tuple(rest) if self._rest is None else self._rest
            start = self.starting_with((named, *self._rest))
            self._starts.keep(origin, start)
        return start

    def starting_with(self, added: HeaderList) -> Start:
        """What starts the response of an app, whatever it is, so that it carries the headers *added*."""
        all_but_vary = tuple(header for header in added if header != VARY)
        merges = added != all_but_vary
        varied = self._varied.kept

        def start(
            start_response: StartResponse,
            status: str,
            headers: list[tuple[str, str]],
            exc_info: OptExcInfo | None = None,
        ) -> Callable[[bytes], object]:
            whole = None
            place = 0
            for header in headers:
                if header[0] not in _COMMON:
                    if whole is None and header[0] == "Vary" and merges:
                        whole = [*headers, *all_but_vary]
                        whole[place] = varied.get(header[1]) or self._vary(header[1])
                    elif header[0][:1] in "AaVv":  # Access-Control-* or another Vary, perhaps
                        whole = add_headers(headers, added)
                        break
                place += 1  # noqa: SIM113 - `enumerate` makes a tuple of each
            if whole is None:
                whole = [*headers, *added]
            return start_response(status, whole) if exc_info is None else start_response(status, whole, exc_info)

        return start

    def _vary(self, by_app: str) -> tuple[str, str]:
        merged = fetch.VARY, _vary_too(by_app, VARY[1])
        if len(by_app) <= LONGEST_REMEMBERED // 2:
            self._varied.keep(by_app, merged)
        return merged


def answers_of(policy: Policy, like: Answers | None = None) -> Answers:
    """The answers under *policy*, always the same; what they have in common with *like* is shared."""
    ready: Answers | None = policy.remembered.get("answers")
    answers: Answers = ready or policy.remembered.setdefault("answers", Answers(policy, like))
    return answers


def _read_alike(one: Policy, other: Policy) -> bool:
    """Whether the same origins may read the same under both."""
    return one.allow_origins is other.allow_origins and (one.allow_credentials, one.expose_headers) == (
        other.allow_credentials,
        other.expose_headers,
    )


def is_too_long(origin: str, headers: str) -> bool:
    """Whether a preflight is refused for its mere length; a method is compared, so not read to its end either."""
    return len(origin) > MAX_ORIGIN_LENGTH or len(headers) > MAX_REQUEST_HEADERS_LENGTH


class _Such:
    """A container of all texts that pass a check."""

    __slots__ = ("_are",)

    def __init__(self, are: Callable[[str], bool]) -> None:
        self._are = are

    def __contains__(self, text: Any) -> bool:
        return self._are(text)


def _origins(policy: Policy) -> Container[str]:
    origins = policy.allow_origins
    if not isinstance(origins, Origins):
        return _Such(lambda origin: len(origin) <= MAX_ORIGIN_LENGTH)
    return _Such(origins.match) if origins.patterns else origins.listed


def _is_sound(method: str) -> bool:
    return flaw_of_method(method) is None


# ---------------------------------------------------------------------------------------
# Headers of the app's and ours
# ---------------------------------------------------------------------------------------

_OWNED_PREFIX: Final = "access-control-"
_EXPOSE_HEADERS: Final = fetch.EXPOSE_HEADERS.lower()

# What most responses consist of; nothing of it is ours
_COMMON: Final = frozenset(
    {
        "Cache-Control",
        "Content-Disposition",
        "Content-Encoding",
        "Content-Language",
        "Content-Length",
        "Content-Type",
        "Date",
        "ETag",
        "Expires",
        "Last-Modified",
        "Location",
        "Server",
        "Set-Cookie",
        "WWW-Authenticate",
    }
)


def add_headers(headers: Iterable[tuple[str, str]], added: HeaderList) -> list[tuple[str, str]]:
    """A new list of *headers* with those of a decision: ``Access-Control-*`` replaced, ``Vary`` merged.

    What the app exposes itself stays exposed, where the origin is allowed at all.
    """
    kept: list[tuple[str, str]] = []
    exposed: list[str] = []
    for header in headers:
        name = header[0].lower()
        if not name.startswith(_OWNED_PREFIX):
            kept.append(header)
        elif name == _EXPOSE_HEADERS:
            exposed += fetch.split_list(header[1])
    decided = dict(added)
    vary = decided.pop(fetch.VARY, None)
    if exposed and fetch.ALLOW_ORIGIN in decided:
        _merge_exposed(decided, exposed)
    kept += decided.items()
    if vary is not None:
        _merge_vary(kept, vary)
    return kept


def _merge_exposed(decided: dict[str, str], by_app: list[str]) -> None:
    names = fetch.split_list(decided.get(fetch.EXPOSE_HEADERS, "")) + by_app
    if fetch.ALLOW_CREDENTIALS in decided:  # then browsers take '*' for a name
        names = [name for name in names if name != fetch.WILDCARD]
    merged: dict[str, str] = {}
    for name in filter(fetch.is_token, names):
        merged.setdefault(name.lower(), name)
    if merged:
        decided[fetch.EXPOSE_HEADERS] = ", ".join(merged.values())


def _merge_vary(headers: list[tuple[str, str]], added: str) -> None:
    places = [index for index, header in enumerate(headers) if header[0].lower() == "vary"]
    if not places:
        headers.append((fetch.VARY, added))
    elif all(_vary_too(headers[index][1], added) != headers[index][1] for index in places):  # so none names it already
        name, fields = headers[places[0]]
        headers[places[0]] = (name, _vary_too(fields, added))


def _vary_too(fields: str, name: str) -> str:
    """The value *fields* of ``Vary``, with *name*: https://httpwg.org/specs/rfc9110.html#field.vary"""
    present = fetch.split_list(fields)
    if fetch.WILDCARD in present or name.lower() in map(str.lower, present):
        return fields
    return ", ".join([*present, name])
