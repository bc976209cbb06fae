"""The server's half of the CORS protocol: ``negotiate(policy, facts) -> Decision``.

Pure: no WSGI, no Flask, no clock, no I/O. Everything that a server must decide is decided here and only here, in the
order of the Fetch standard: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

from flask_preflight import fetch
from flask_preflight.origin import MAX_ORIGIN_LENGTH, parse_origin
from flask_preflight.policy import MAX_METHOD_LENGTH, Policy

HeaderList: TypeAlias = tuple[tuple[str, str], ...]

# Far above what browsers send, and low enough that splitting it costs nothing
MAX_REQUEST_HEADERS_LENGTH: Final = 4096
MAX_REQUEST_HEADERS_COUNT: Final = 128

# https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches
VARY: Final = (fetch.VARY, fetch.ORIGIN)
VARY_PREFLIGHT: Final = (fetch.VARY, f"{fetch.ORIGIN}, {fetch.REQUEST_METHOD}, {fetch.REQUEST_HEADERS}")


class RequestFacts(NamedTuple):
    """What a request says of itself; a header that is absent is ``None``, and ``""`` is one that is empty.

    *environ* is handed on to a callable ``allow_origins`` and looked at by nobody else.
    """

    method: str
    origin: str | None = None
    wanted_method: str | None = None
    wanted_headers: str | None = None
    environ: dict[str, Any] | None = None

    @property
    def is_preflight(self) -> bool:
        """https://fetch.spec.whatwg.org/#cors-preflight-request; with anything less, the request is the app's."""
        return self.method == "OPTIONS" and self.origin is not None and self.wanted_method is not None


class Outcome(Enum):
    """What becomes of a request."""

    NOT_CORS = "not-cors"
    ACTUAL_ALLOWED = "actual-allowed"
    ACTUAL_REFUSED = "actual-refused"
    PREFLIGHT_GRANTED = "preflight-granted"
    PREFLIGHT_REFUSED = "preflight-refused"


class Reason(Enum):
    """Why a request is refused. ``docs/refusals.md`` explains each."""

    METHOD_MALFORMED = "method-malformed"
    METHOD_FORBIDDEN = "method-forbidden"
    ORIGIN_TOO_LONG = "origin-too-long"
    ORIGIN_NULL = "origin-null"
    ORIGIN_MALFORMED = "origin-malformed"
    ORIGIN_NOT_ALLOWED = "origin-not-allowed"
    ORIGIN_CHECK_FAILED = "origin-check-failed"
    ROUTING_FAILED = "routing-failed"
    METHOD_NOT_ROUTED = "method-not-routed"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    HEADERS_TOO_LONG = "headers-too-long"
    HEADERS_MALFORMED = "headers-malformed"
    HEADERS_NOT_ALLOWED = "headers-not-allowed"


class Decision(NamedTuple):
    """The answer to a request, or what to add to the app's.

    *status* is ``None`` for actual requests, whose status is the app's; *headers* are to be added; *passed* are those
    of the steps that a refused preflight did pass, which a debug answer may send; *reason* says why, if refused;
    *error* is what a callable ``allow_origins`` raised.
    """

    outcome: Outcome
    status: int | None = None
    headers: HeaderList = ()
    reason: Reason | None = None
    passed: HeaderList = ()
    error: Exception | None = None


def negotiate(policy: Policy, facts: RequestFacts) -> Decision:
    """Decide about a request. Never raises, whatever the facts; the work is bounded, whatever their length."""
    if facts.origin is None:
        return Decision(Outcome.NOT_CORS, headers=_without_origin(policy))
    if facts.is_preflight:
        return _decide_preflight(policy, facts)
    return _decide_actual(policy, facts)


# ---------------------------------------------------------------------------------------
# Actual requests: https://fetch.spec.whatwg.org/#http-responses
# ---------------------------------------------------------------------------------------


def _decide_actual(policy: Policy, facts: RequestFacts) -> Decision:
    if policy.allow_origins == fetch.WILDCARD:
        return Decision(Outcome.ACTUAL_ALLOWED, headers=_without_origin(policy))
    reason, error = _check_origin(policy, facts)
    if reason is not None:
        return Decision(Outcome.ACTUAL_REFUSED, headers=(VARY,), reason=reason, error=error)
    return Decision(Outcome.ACTUAL_ALLOWED, headers=(*grant_reading(policy, facts.origin or ""), VARY))


def grant_reading(policy: Policy, origin: str) -> HeaderList:
    """What a response says to *origin*, which is allowed; its own header comes first."""
    return (*_cors_check(policy, origin), *_exposed(policy))


def _without_origin(policy: Policy) -> HeaderList:
    """What needs no ``Origin``: the constant answer of a ``"*"`` policy, so that caches may share it."""
    return grant_reading(policy, "") if policy.allow_origins == fetch.WILDCARD else (VARY,)


def _exposed(policy: Policy) -> HeaderList:
    if policy.expose_headers == fetch.WILDCARD:
        return ((fetch.EXPOSE_HEADERS, fetch.WILDCARD),)
    return _list(fetch.EXPOSE_HEADERS, policy.exposed)


# ---------------------------------------------------------------------------------------
# Preflights, step by step as the browser will check the answer:
# https://fetch.spec.whatwg.org/#cors-preflight-fetch
# ---------------------------------------------------------------------------------------


def _decide_preflight(policy: Policy, facts: RequestFacts) -> Decision:
    method, headers = facts.wanted_method or "", facts.wanted_headers or ""
    reason = flaw_of_method(method)
    if reason is not None:
        return refuse_preflight(reason)
    reason, error = _check_origin(policy, facts)
    if reason is not None:
        return refuse_preflight(reason, error=error)
    passed = _cors_check(policy, facts.origin or "")
    if not policy.allows_method(method):
        return refuse_preflight(Reason.METHOD_NOT_ALLOWED, passed)
    passed += _allowed_methods(policy, method)
    names = _read_header_names(headers)
    if isinstance(names, Reason):
        return refuse_preflight(names, passed)
    allowed = tuple(name for name in names if policy.allows_header(name))
    if len(allowed) < len(names):
        # each name is a step of its own, so those that passed are named: a console then names one that did not
        return refuse_preflight(Reason.HEADERS_NOT_ALLOWED, passed + _list(fetch.ALLOW_HEADERS, allowed))
    answer = passed + _allowed_headers(policy, allowed) + _max_age(policy)
    return Decision(Outcome.PREFLIGHT_GRANTED, policy.preflight_status, (*answer, VARY_PREFLIGHT))


def refuse_preflight(reason: Reason, passed: HeaderList = (), error: Exception | None = None) -> Decision:
    """The refusal of a preflight, for *reason*."""
    return Decision(Outcome.PREFLIGHT_REFUSED, 403, (VARY_PREFLIGHT,), reason, passed, error)


def flaw_of_method(method: str) -> Reason | None:
    """Why no browser asks for *method*, whatever the server; nobody else need look at it then."""
    if len(method) > MAX_METHOD_LENGTH:
        return Reason.METHOD_MALFORMED
    if method in fetch.NORMALIZED_METHODS:  # so most of them
        return None
    if method == fetch.WILDCARD or not fetch.is_token(method):
        return Reason.METHOD_MALFORMED
    return Reason.METHOD_FORBIDDEN if fetch.is_forbidden_method(method) else None


def _check_origin(policy: Policy, facts: RequestFacts) -> tuple[Reason | None, Exception | None]:
    origin = facts.origin or ""
    if len(origin) > MAX_ORIGIN_LENGTH:
        return Reason.ORIGIN_TOO_LONG, None
    try:
        if policy.ask_about_origin(origin, facts.environ):
            return None, None
    except Exception as error:  # noqa: BLE001 - a callable may raise what it likes, and must never grant by it
        return Reason.ORIGIN_CHECK_FAILED, error
    if origin == fetch.NULL_ORIGIN:
        return Reason.ORIGIN_NULL, None
    return (Reason.ORIGIN_NOT_ALLOWED if parse_origin(origin) else Reason.ORIGIN_MALFORMED), None


def _cors_check(policy: Policy, origin: str) -> HeaderList:
    """What the CORS check wants to see: https://fetch.spec.whatwg.org/#concept-cors-check"""
    allowed = (fetch.ALLOW_ORIGIN, fetch.WILDCARD if policy.allow_origins == fetch.WILDCARD else origin)
    return (allowed, (fetch.ALLOW_CREDENTIALS, "true")) if policy.allow_credentials else (allowed,)


def _allowed_methods(policy: Policy, wanted: str) -> HeaderList:
    """All methods of the policy, since browsers remember them; with credentials ``*`` would mean a method "*"."""
    if policy.allow_methods == fetch.WILDCARD:
        return _list(fetch.ALLOW_METHODS, (wanted if policy.allow_credentials else fetch.WILDCARD,))
    return _list(fetch.ALLOW_METHODS, policy.methods)


def _read_header_names(value: str) -> list[str] | Reason:
    """The names asked for, or why they cannot be read; bounded before anything is split.

    A header may be called ``*``; but an answer that names it would allow all, and browsers would remember that.
    """
    if len(value) > MAX_REQUEST_HEADERS_LENGTH or value.count(",") > MAX_REQUEST_HEADERS_COUNT:
        return Reason.HEADERS_TOO_LONG
    names = fetch.split_list(value)
    are_names = all(fetch.is_token(name) and name != fetch.WILDCARD for name in names)
    return names if are_names else Reason.HEADERS_MALFORMED


def _allowed_headers(policy: Policy, wanted: tuple[str, ...]) -> HeaderList:
    """All headers of the policy; under ``*`` those asked for, so that no browser remembers more than was checked."""
    return _list(fetch.ALLOW_HEADERS, wanted if policy.allows_any_header else policy.headers)


def _max_age(policy: Policy) -> HeaderList:
    return () if policy.max_age is None else ((fetch.MAX_AGE, str(policy.max_age)),)


def _list(name: str, values: tuple[str, ...]) -> HeaderList:
    return ((name, ", ".join(values)),) if values else ()
