"""How decisions are reported, under WSGI and Flask: the log ``flask_preflight``, signals, and the list for tests.

Two rules: nothing here changes an answer, and no client can fill the log. So exceptions of receivers and handlers are
caught, and outside debug mode a cause is logged at most once a minute.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Hashable
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from blinker import Namespace

from flask_preflight.engine import Decision, Outcome, Reason, RequestFacts
from flask_preflight.explain import NO_ROUTE, describe_error, escape, find_failure, nearest_origin, refusal_line
from flask_preflight.origin import DEFAULT_PORTS, parse_origin
from flask_preflight.policy import Policy

if TYPE_CHECKING:
    from blinker import NamedSignal

logger: Final = logging.getLogger("flask_preflight")

_signals: Final = Namespace()

#: Sent for each granted preflight as ``send(app, decision=..., environ=...)``.
preflight_granted: Final = _signals.signal("preflight-granted")
#: Sent for each refused preflight as ``send(app, decision=..., environ=...)``.
preflight_refused: Final = _signals.signal("preflight-refused")
#: Sent for each allowed actual request that has an ``Origin``, as ``send(app, decision=..., environ=...)``.
request_allowed: Final = _signals.signal("request-allowed")
#: Sent for each refused actual request that counts as a refusal, as ``send(app, decision=..., environ=...)``.
request_refused: Final = _signals.signal("request-refused")

SIGNALS: Final = (preflight_granted, preflight_refused, request_allowed, request_refused)

# An outer layer or a test may put an empty list here; a client cannot. Each refusal appends "<reason>; <sentence>".
REFUSALS: Final = "flask_preflight.refusals"

_PERIOD: Final = 60.0  # seconds between two records of one cause
_MOST_CAUSES: Final = 100  # in one period
_MOST_CHAINED: Final = 10  # exceptions in one traceback; a chain may be a ring


def tells_refusals(environ: dict[str, Any]) -> bool:
    """Whether a test or the log needs the reason of a refusal. (Debug mode and signals are not considered.)"""
    return REFUSALS in environ or logger.isEnabledFor(logging.INFO)


def logs_refusals(*, debug: bool) -> bool:
    """Whether refusals are logged: in debug mode as WARNING, otherwise as INFO."""
    return logger.isEnabledFor(logging.WARNING if debug else logging.INFO)


def counts_as_refusal(facts: RequestFacts) -> bool:
    """Whether a refused actual request matters to a page.

    Browsers send ``Origin`` with navigations, ``no-cors`` requests and same-origin POSTs as well:
    https://fetch.spec.whatwg.org/#append-a-request-origin-header. No script waits for those responses, or CORS does not
    apply to them.
    """
    environ = facts.environ or {}
    if environ.get("HTTP_SEC_FETCH_MODE", "cors") != "cors":
        return False
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return bool(site != "same-origin")
    origin = parse_origin(facts.origin or "")
    if origin is None:
        return True
    default = "" if origin.port else f":{DEFAULT_PORTS.get(origin.scheme, '')}"
    name = f"{origin.host}{origin.port and ':'}{origin.port}"
    return environ.get("HTTP_HOST", "").lower() not in {name, f"{name}{default}"}


def carries_lost_cookies(policy: Policy, environ: dict[str, Any]) -> bool:
    """Whether the browser will block the response because of its cookies, although the origin is allowed.

    https://fetch.spec.whatwg.org/#concept-cors-check
    """
    return "HTTP_COOKIE" in environ and not policy.allow_credentials


class Told(NamedTuple):
    """The report of one decision. *rule* is the route or path of the policy, *explain* gives the sentence."""

    policy: Policy
    facts: RequestFacts
    decision: Decision
    rule: str = ""
    explain: Callable[[], str] = lambda: ""
    debug: bool = False


# ---------------------------------------------------------------------------------------
# The log
# ---------------------------------------------------------------------------------------


class RateLimit:
    """Admits a cause once in `_PERIOD` seconds, and `_MOST_CAUSES` causes in that time.

    Of threads that come at the same moment, one is counted and the others are dropped: no call ever waits.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock, self._pid = Lock(), os.getpid()
        self._causes: dict[Hashable, tuple[float, int]] = {}  # when it was last admitted, and how often refused since
        self._others = 0  # how often causes beyond the limit were suppressed

    def admit(self, cause: Hashable) -> tuple[int, int] | None:
        """How often *cause* and other causes were suppressed since they were last admitted; ``None`` to suppress it."""
        if self._pid != os.getpid():
            self._begin_after_fork()
        lock = self._lock
        if not lock.acquire(blocking=False):
            return None
        try:
            return self._admit(cause, self._clock())
        finally:
            lock.release()

    def _begin_after_fork(self) -> None:
        """Count from zero, since the parent logs its own numbers. Make a lock, since the parent's may be held."""
        self._causes = {cause: (last, 0) for cause, (last, _) in [*self._causes.items()]}
        self._others = 0
        self._lock, self._pid = Lock(), os.getpid()

    def _admit(self, cause: Hashable, now: float) -> tuple[int, int] | None:
        last, suppressed = self._causes.get(cause, (-_PERIOD, 0))
        if now - last < _PERIOD:
            self._causes[cause] = (last, suppressed + 1)
            return None
        if cause not in self._causes and len(self._causes) >= _MOST_CAUSES:
            self._forget_old(now)
        if cause not in self._causes and len(self._causes) >= _MOST_CAUSES:
            self._others += 1
            return None
        self._causes[cause] = (now, 0)
        others, self._others = self._others, 0
        return suppressed, others

    def _forget_old(self, now: float) -> None:
        for cause, (last, suppressed) in [*self._causes.items()]:
            if now - last >= _PERIOD:
                del self._causes[cause]
                self._others += suppressed


class Journal:
    """The log and the signals of one layer. *sender* is the app that signals are sent for."""

    def __init__(self, sender: object) -> None:
        self._sender = sender
        self._limit = RateLimit()

    def tell(self, told: Told) -> None:
        """Log a refusal, append it to the list for tests, and send the signal."""
        decision, environ = told.decision, told.facts.environ or {}
        if decision.reason is not None:
            self._log_refusal(told)
            if (refusals := environ.get(REFUSALS)) is not None:
                refusals.append(refusal_line(decision.reason, told.explain()))
        signal = _signal_of(decision.outcome)
        if signal.receivers:
            try:
                signal.send(self._sender, decision=decision, environ=environ)
            except Exception as error:  # noqa: BLE001 - a receiver must not change an answer
                self.log_failure(f"A receiver of the signal {signal.name!r} failed", error)

    def _log_refusal(self, told: Told) -> None:
        reason, origin = told.decision.reason, told.facts.origin or ""
        if reason is None or not logs_refusals(debug=told.debug):
            return
        near = reason is Reason.ORIGIN_NOT_ALLOWED and nearest_origin(told.policy, origin)
        cause = (reason, told.rule, near[0] if near else None)
        extra = {"cors_reason": reason.value, "cors_origin": escape(origin)[1:-1], "cors_rule": told.rule}
        level = logging.WARNING if told.debug else logging.INFO
        self._log(level, cause, lambda: _describe_refusal(told, reason), is_limited=not told.debug, extra=extra)

    def log_failure(self, what: str, error: Exception) -> None:
        """Log that the user's own code raised *error*, with its traceback and its file and line."""
        place = find_failure(error)
        where = f", at {place[0]}:{place[1]}" if place else ""
        exc_info = (type(error), error, error.__traceback__)
        cause = (type(error), place)
        self._log(logging.ERROR, cause, lambda: f"{what}{where}: {describe_error(error)}", exc_info=exc_info)

    def warn(self, text: str) -> None:
        """Log *text* as a WARNING, each time."""
        self._log(logging.WARNING, None, lambda: text, is_limited=False)

    def log_once(self, level: int, cause: Hashable, text: str) -> None:
        """Log *text*, at most once a minute for each *cause*."""
        self._log(level, cause, lambda: text)

    def _log(
        self, level: int, cause: Hashable, make_text: Callable[[], str], *, is_limited: bool = True, **details: Any
    ) -> None:
        """Log a text unless its cause was logged within the last minute. A handler that raises changes nothing.

        The text is made after that check, because an explanation takes time, and any client can cause many refusals.
        """
        if not logger.isEnabledFor(level):
            return
        with suppress(Exception):  # there is no other place to report it
            admitted = self._limit.admit(cause) if is_limited else (0, 0)
            if admitted is None:
                return
            text, (suppressed, others) = make_text(), admitted
            if suppressed:
                text += f" ({suppressed} more of this kind since the last record)"
            if others:
                text += f" ({others} of other kinds were not logged)"
            logger.log(level, "%s", text, **details)


def _describe_refusal(told: Told, reason: Reason) -> str:
    facts = told.facts
    is_preflight = told.decision.outcome is Outcome.PREFLIGHT_REFUSED
    kind, method = ("preflight", facts.requested_method) if is_preflight else ("request", facts.method)
    verb = "The browser blocks" if told.decision.outcome is Outcome.ACTUAL_ALLOWED else "Refused"
    rule = told.rule if told.rule == NO_ROUTE else escape(told.rule)
    return f"{verb} a CORS {kind}, {reason.value}: {escape(method or '')} {rule}. {told.explain()}"


class _OwnTraceback(logging.Filter):
    """Puts our own form of a traceback into each record, before Python's formatter makes it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = _format_traceback(record.exc_info[1])
        return True


logger.addFilter(_OwnTraceback())


def _format_traceback(error: BaseException) -> str:
    """The traceback of *error*, after those of what it was raised from.

    The text of an exception is escaped and shortened, because it may contain what a client sent.
    """
    parts: list[str] = []
    chained: BaseException | None = error
    while chained is not None and len(parts) < _MOST_CHAINED:
        frames = "".join(traceback.format_tb(chained.__traceback__))
        parts.insert(0, f"Traceback (most recent call last):\n{frames}{describe_error(chained)[1:-1]}")
        # https://docs.python.org/3/library/exceptions.html#exception-context
        chained = chained.__cause__ if chained.__suppress_context__ else chained.__context__
    return "\n\n".join(parts)


def _signal_of(outcome: Outcome) -> NamedSignal:
    if outcome is Outcome.PREFLIGHT_GRANTED:
        return preflight_granted
    if outcome is Outcome.PREFLIGHT_REFUSED:
        return preflight_refused
    return request_allowed if outcome is Outcome.ACTUAL_ALLOWED else request_refused
