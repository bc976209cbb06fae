"""Ready answers: what `negotiate` decides under one policy, taken apart, so that most requests need no new decision.

A preflight is granted if its origin, its method, and its header names are, each by itself. The origin and the method are
only looked up, and what is remembered goes by the header names alone: everybody is told the same but for their own
origin, and all refusals are one. So new origins and methods, however many, cost nothing and drive nothing out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from flask_preflight import fetch
from flask_preflight.engine import (
    MAX_REQUEST_HEADERS_LENGTH,
    VARY,
    VARY_PREFLIGHT,
    HeaderList,
    Outcome,
    RequestFacts,
    flaw_of_method,
    grant_reading,
    negotiate,
)
from flask_preflight.memory import LONGEST_REMEMBERED, Memory
from flask_preflight.origin import MAX_ORIGIN_LENGTH, Origins
from flask_preflight.policy import MAX_METHOD_LENGTH, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Container


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
    from http import HTTPStatus  # once a policy, and it takes long to import

    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Success"


# Whatever the reason is: only a debug answer tells it.
REFUSAL: Final = prepare("403 Forbidden", (VARY_PREFLIGHT,), "This CORS preflight is refused.\n")


class Answers:
    """What is answered under *policy*, if that is *ready*; where a callable is to be asked, each decision is a new one.

    - *origins* and *methods* are the allowed ones; *everyone* is ``*`` if that stands for the origin in answers.
    - *told* is what a granted preflight is told behind its origin, by its ``Access-Control-Request-Headers``: ``()`` if
      those are refused. *status* goes with it.
    - *readable* is what a response says behind an allowed origin, *unreadable* what it says to all others, and *vary*
      stands in both. *varied* merges it into the app's own ``Vary``.
    """

    __slots__ = (
        "everyone",
        "methods",
        "origins",
        "policy",
        "readable",
        "ready",
        "status",
        "told",
        "unreadable",
        "varied",
        "vary",
    )

    def __init__(self, policy: Policy) -> None:
        any_method = policy.allow_methods == fetch.WILDCARD
        self.policy = policy
        # with credentials, the answer under "*" names the one method that was asked for
        self.ready = not (callable(policy.allow_origins) or (any_method and policy.allow_credentials))
        self.origins = _origins(policy)
        self.methods = _Such(_is_sound) if any_method else frozenset(filter(_is_sound, policy.methods))
        self.everyone = fetch.WILDCARD if policy.allow_origins == fetch.WILDCARD else ""
        self.status = status_line(policy.preflight_status)
        self.told: Memory[str, HeaderList] = Memory()
        self.readable = grant_reading(policy, "")[1:]
        without_origin = negotiate(policy, RequestFacts("GET")).headers
        self.vary = tuple(header for header in without_origin if header == VARY)
        self.unreadable = tuple(header for header in without_origin if header != VARY)
        self.varied = _Varied()

    def tell(self, origin: str, method: str, headers: str) -> HeaderList | None:
        """What a preflight is told behind its origin: ``()`` if it is refused, ``None`` if that must be decided anew."""
        if not self.ready:
            return None
        if (
            len(origin) > MAX_ORIGIN_LENGTH
            or len(method) > MAX_METHOD_LENGTH
            or len(headers) > MAX_REQUEST_HEADERS_LENGTH
            or origin not in self.origins
            or method not in self.methods
        ):
            return ()
        told = self.told.get(headers)
        return self._decide(origin, method, headers) if told is None else told

    def _decide(self, origin: str, method: str, headers: str) -> HeaderList:
        told = self.told.recall(headers)
        if told is None:
            decision = negotiate(self.policy, RequestFacts("OPTIONS", origin, method, headers))
            is_granted = decision.outcome is Outcome.PREFLIGHT_GRANTED
            told = prepare(self.status, decision.headers[1:]).headers if is_granted else ()
            if len(headers) + sum(len(name) + len(value) for name, value in told) <= LONGEST_REMEMBERED:
                self.told.keep(headers, told)
        return told

    def headers_for(self, origin: str | None) -> HeaderList:
        """What a response to an actual request says, beside *vary*."""
        if origin is None or len(origin) > MAX_ORIGIN_LENGTH or origin not in self.origins:
            return self.unreadable
        return ((fetch.ALLOW_ORIGIN, self.everyone or origin), *self.readable)


def answers_of(policy: Policy) -> Answers:
    """The answers under *policy*, always the same."""
    answers: Answers | None = policy.remembered.get("answers")
    if answers is None:
        answers = policy.remembered["answers"] = Answers(policy)
    return answers


class _Such:
    """All that *are*, for ``in``."""

    __slots__ = ("_are",)

    def __init__(self, are: Callable[[str], bool]) -> None:
        self._are = are

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self._are(text)


def _origins(policy: Policy) -> Container[str]:
    origins = policy.allow_origins
    if not isinstance(origins, Origins):
        return _Such(lambda _: True)
    return _Such(origins.match) if origins.patterns else origins.listed


def _is_sound(method: str) -> bool:
    return flaw_of_method(method) is None


class _Varied(Memory[str, tuple[str, str]]):
    """The header ``Vary`` by what the app says in it."""

    def __missing__(self, by_app: str) -> tuple[str, str]:
        merged = fetch.VARY, vary_too(by_app, VARY[1])
        if len(by_app) <= LONGEST_REMEMBERED:
            self.keep(by_app, merged)
        return merged


def vary_too(fields: str, name: str) -> str:
    """The value *fields* of ``Vary``, with *name*: https://httpwg.org/specs/rfc9110.html#field.vary"""
    present = fetch.split_list(fields)
    if fetch.WILDCARD in present or name.lower() in map(str.lower, present):
        return fields
    return ", ".join([*present, name])
