"""The server's half of the CORS protocol: ``negotiate(policy, facts) -> Decision``.

A pure function: no WSGI, no Flask, no clock, no I/O. Every decision of the server is made here, in the order of the
Fetch standard: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

from flask_preflight import fetch
from flask_preflight.checks import MAX_METHOD_LENGTH, is_star
from flask_preflight.origin import MAX_ORIGIN_LENGTH, parse_origin
from flask_preflight.policy import Policy

HeaderList: TypeAlias = tuple[tuple[str, str], ...]

# Far above what browsers send, and low enough that splitting costs little
MAX_REQUEST_HEADERS_LENGTH: Final = 4096
MAX_REQUEST_HEADERS_COUNT: Final = 128

# https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches
VARY: Final = (fetch.VARY, fetch.ORIGIN)
VARY_PREFLIGHT: Final = (fetch.VARY, f"{fetch.ORIGIN}, {fetch.REQUEST_METHOD}, {fetch.REQUEST_HEADERS}")


class RequestFacts(NamedTuple):
    """The parts of a request that count. ``None`` means that a header is absent, ``""`` that it is empty.

    *environ* is passed to a callable ``allow_origins``, and not read otherwise.
    """

    method: str
    origin: str | None = None
    requested_method: str | None = None
    requested_headers: str | None = None
    environ: dict[str, Any] | None = None

    @property
    def is_preflight(self) -> bool:
        """https://fetch.spec.whatwg.org/#cors-preflight-request; with anything less, the request is for the app."""
        return self.method == "OPTIONS" and self.origin is not None and self.requested_method is not None


class Outcome(Enum):
    """The result of a decision."""

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
    POLICY_INVALID = "policy-invalid"
    METHOD_NOT_ROUTED = "method-not-routed"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    HEADERS_TOO_LONG = "headers-too-long"
    HEADERS_MALFORMED = "headers-malformed"
    HEADERS_NOT_ALLOWED = "headers-not-allowed"
    CREDENTIALS_NOT_ALLOWED = "credentials-not-allowed"  # for a request that the policy allows, but not its cookies


class Decision(NamedTuple):
    """The answer to a preflight, or what to add to the app's response.

    *status* is ``None`` for actual requests, whose status is the app's; *headers* are to be added; *passed* are the
    headers of the steps that a refused preflight did pass, for debug answers; *reason* says why the request is refused;
    *error* is what the user's own code raised.
    """

    outcome: Outcome
    status: int | None = None
    headers: HeaderList = ()
    reason: Reason | None = None
    passed: HeaderList = ()
    error: Exception | None = None


def negotiate(policy: Policy, facts: RequestFacts) -> Decision:
    """Decide about a request. It never raises, and its work is bounded, whatever the facts are."""
    if facts.origin is None:
        return Decision(Outcome.NOT_CORS, headers=_without_origin(policy))
    if facts.is_preflight:
        return _decide_preflight(policy, facts)
    return _decide_actual(policy, facts)


# ---------------------------------------------------------------------------------------
# Actual requests: https://fetch.spec.whatwg.org/#http-responses
# ---------------------------------------------------------------------------------------


def _decide_actual(policy: Policy, facts: RequestFacts) -> Decision:
    if policy.allows_any_origin:
        return Decision(Outcome.ACTUAL_ALLOWED, headers=_without_origin(policy))
    reason, error = _check_origin(policy, facts)
    if reason is not None:
        return Decision(Outcome.ACTUAL_REFUSED, headers=(VARY,), reason=reason, error=error)
    return Decision(Outcome.ACTUAL_ALLOWED, headers=(*_grant_reading(policy, facts.origin or ""), VARY))


def _without_origin(policy: Policy) -> HeaderList:
    """The headers without an ``Origin``. Those of a public policy are constant, so caches may share them."""
    return _grant_reading(policy, fetch.WILDCARD) if policy.allows_any_origin else (VARY,)


def _grant_reading(policy: Policy, origin: str) -> HeaderList:
    return (*_name_origin(policy, origin), *_timing(policy, origin), *_credentials(policy), *_exposed(policy))


def _timing(policy: Policy, origin: str) -> HeaderList:
    """https://w3c.github.io/resource-timing/#sec-timing-allow-origin"""
    return ((fetch.TIMING_ALLOW_ORIGIN, origin),) if policy.allow_timing else ()


def _exposed(policy: Policy) -> HeaderList:
    if is_star(policy.expose_headers):
        return ((fetch.EXPOSE_HEADERS, fetch.WILDCARD),)
    return _list(fetch.EXPOSE_HEADERS, policy.exposed)


# ---------------------------------------------------------------------------------------
# Preflights, step by step as the browser will check the answer:
# https://fetch.spec.whatwg.org/#cors-preflight-fetch
# ---------------------------------------------------------------------------------------


def _decide_preflight(policy: Policy, facts: RequestFacts) -> Decision:
    method, headers = facts.requested_method or "", facts.requested_headers or ""
    reason = flaw_of_method(method)
    if reason is not None:
        return refuse_preflight(reason)
    reason, error = _check_origin(policy, facts)
    if reason is not None:
        return refuse_preflight(reason, error=error)
    passed = _name_origin(policy, facts.origin or "") + _credentials(policy)
    if not allows_method(policy, method):
        return refuse_preflight(Reason.METHOD_NOT_ALLOWED, passed)
    passed += _allowed_methods(policy, method)
    if not allows_headers(policy, headers):
        return _refuse_headers(policy, headers, passed)
    answer = passed + _allowed_headers(policy, headers) + _max_age(policy)
    return Decision(Outcome.PREFLIGHT_GRANTED, policy.preflight_status, (*answer, VARY_PREFLIGHT))


def refuse_preflight(reason: Reason, passed: HeaderList = (), error: Exception | None = None) -> Decision:
    """The refusal of a preflight, for *reason*."""
    return Decision(Outcome.PREFLIGHT_REFUSED, 403, (VARY_PREFLIGHT,), reason, passed, error)


def refuse(facts: RequestFacts, reason: Reason, error: Exception | None = None) -> Decision:
    """The refusal of a request, for a *reason* that is not in the policy."""
    if facts.is_preflight:
        return refuse_preflight(reason, error=error)
    return Decision(Outcome.ACTUAL_REFUSED, headers=(VARY,), reason=reason, error=error)


def flaw_of_method(method: str) -> Reason | None:
    """Why no browser asks for *method*, whatever the policy is."""
    if len(method) > MAX_METHOD_LENGTH:
        return Reason.METHOD_MALFORMED
    if method in fetch.NORMALIZED_METHODS:  # most of them
        return None
    if method == fetch.WILDCARD or not fetch.is_token(method):
        return Reason.METHOD_MALFORMED
    return Reason.METHOD_FORBIDDEN if fetch.is_forbidden_method(method) else None


def allows_method(policy: Policy, method: str) -> bool:
    """Whether a preflight may announce *method*: https://fetch.spec.whatwg.org/#methods"""
    return method in policy.methods or (policy.allows_any_method and flaw_of_method(method) is None)


def _check_origin(policy: Policy, facts: RequestFacts) -> tuple[Reason | None, Exception | None]:
    origin = facts.origin or ""
    if len(origin) > MAX_ORIGIN_LENGTH:
        return Reason.ORIGIN_TOO_LONG, None
    try:
        if policy.ask_about_origin(origin, facts.environ):
            return None, None
    except Exception as error:  # noqa: BLE001 - a callable may raise anything, and that must not grant
        return Reason.ORIGIN_CHECK_FAILED, error
    if origin == fetch.NULL_ORIGIN:
        return Reason.ORIGIN_NULL, None
    return (Reason.ORIGIN_NOT_ALLOWED if parse_origin(origin) else Reason.ORIGIN_MALFORMED), None


def _name_origin(policy: Policy, origin: str) -> HeaderList:
    """https://fetch.spec.whatwg.org/#concept-cors-check, first half"""
    return ((fetch.ALLOW_ORIGIN, fetch.WILDCARD if policy.allows_any_origin else origin),)


def _credentials(policy: Policy) -> HeaderList:
    """https://fetch.spec.whatwg.org/#concept-cors-check, second half"""
    return ((fetch.ALLOW_CREDENTIALS, "true"),) if policy.allow_credentials else ()


def _allowed_methods(policy: Policy, method: str) -> HeaderList:
    """All methods of the policy, because browsers cache them. With credentials ``*`` would mean a method "*"."""
    if is_star(policy.allow_methods):
        return _list(fetch.ALLOW_METHODS, (method if policy.allow_credentials else fetch.WILDCARD,))
    return _list(fetch.ALLOW_METHODS, policy.methods)


def allows_headers(policy: Policy, requested_headers: str) -> bool:
    """Whether a preflight may announce these header names. Their length is checked before anything is split."""
    if len(requested_headers) > MAX_REQUEST_HEADERS_COUNT and _are_too_long(requested_headers):
        return False
    names = policy.header_names
    for name in requested_headers.split(","):
        if name not in names and not policy.allows_header(name.strip(fetch.TAB_OR_SPACE)):
            return False
    return True


def _are_too_long(requested_headers: str) -> bool:
    return len(requested_headers) > MAX_REQUEST_HEADERS_LENGTH or (
        requested_headers.count(",") > MAX_REQUEST_HEADERS_COUNT
    )


def _refuse_headers(policy: Policy, requested_headers: str, passed: HeaderList) -> Decision:
    if _are_too_long(requested_headers):
        return refuse_preflight(Reason.HEADERS_TOO_LONG, passed)
    names = fetch.split_list(requested_headers)
    if fetch.WILDCARD in names or not fetch.are_tokens(names):
        return refuse_preflight(Reason.HEADERS_MALFORMED, passed)
    # each name is checked alone: the console then names one that did not pass
    allowed = tuple(filter(policy.allows_header, names))
    return refuse_preflight(Reason.HEADERS_NOT_ALLOWED, passed + _list(fetch.ALLOW_HEADERS, allowed))


def _allowed_headers(policy: Policy, requested_headers: str) -> HeaderList:
    """All headers of the policy. Under ``*`` those asked for, so that no browser caches more than was checked."""
    names = tuple(fetch.split_list(requested_headers)) if policy.allows_any_header else policy.headers
    return _list(fetch.ALLOW_HEADERS, names)


def _max_age(policy: Policy) -> HeaderList:
    return () if policy.max_age is None else ((fetch.MAX_AGE, str(policy.max_age)),)


def _list(name: str, values: tuple[str, ...]) -> HeaderList:
    return ((name, ", ".join(values)),) if values else ()
