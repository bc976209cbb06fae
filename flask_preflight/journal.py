"""What is told about decisions, for both edges: the log ``flask_preflight``, signals, and the list for tests.

Two rules: nothing here changes an answer, and nothing that a stranger sends adds lines to the log. So receivers and
handlers that raise are caught, and outside debug mode a cause is logged at most once a minute.
"""

from __future__ import annotations

import logging
import sysconfig
import time
import traceback
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from blinker import Namespace

from flask_preflight.engine import Decision, Outcome, Reason, RequestFacts
from flask_preflight.explain import describe_error, escape, explain, nearest_origin, refusal_line
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

# An outer layer or a test may put an empty list here; a client cannot. Each refusal appends "<reason>; <sentence>".
REFUSALS: Final = "flask_preflight.refusals"

_PERIOD: Final = 60.0  # seconds between two records of one cause
_MOST_CAUSES: Final = 100  # in one period

_REFUSED: Final = {Outcome.PREFLIGHT_REFUSED, Outcome.ACTUAL_REFUSED}
_SIGNALS: Final = {
    Outcome.PREFLIGHT_GRANTED: preflight_granted,
    Outcome.PREFLIGHT_REFUSED: preflight_refused,
    Outcome.ACTUAL_ALLOWED: request_allowed,
    Outcome.ACTUAL_REFUSED: request_refused,
}


class Told(NamedTuple):
    """What is told about one decision. *sender* is the app, *rule* what the policy belongs to, *path* of a policy."""

    sender: object
    policy: Policy
    facts: RequestFacts
    decision: Decision
    rule: str = "no route"
    debug: bool = False


def tells_refusals(environ: dict[str, Any]) -> bool:
    """Whether a refusal is told, apart from debug mode and signals. If not, its reason need not be worked out."""
    return REFUSALS in environ or logger.isEnabledFor(logging.INFO)


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
    host: str = environ.get("HTTP_HOST", "")
    return (facts.origin or "").partition("://")[2] != host


def tell(told: Told) -> None:
    """Log a refusal, send the signal, and append to the list for tests."""
    decision, environ = told.decision, told.facts.environ or {}
    if decision.outcome in _REFUSED:
        _log_refusal(told)
        if (refusals := environ.get(REFUSALS)) is not None:
            refusals.append(refusal_line(told.policy, told.facts, decision))
    signal = _SIGNALS[decision.outcome]
    if signal.receivers:
        _send(signal, told.sender, decision, environ)


def _send(signal: NamedSignal, sender: object, decision: Decision, environ: dict[str, Any]) -> None:
    try:
        signal.send(sender, decision=decision, environ=environ)
    except Exception as error:  # noqa: BLE001 - a receiver must not change an answer
        log_failure(f"A receiver of the signal {signal.name!r} failed", error)


# ---------------------------------------------------------------------------------------
# The log
# ---------------------------------------------------------------------------------------


class RateLimit:
    """Admits a cause once in `_PERIOD` seconds, and `_MOST_CAUSES` causes in that time.

    Of threads that come at the same moment, one is counted and the others are dropped: no call ever waits.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._causes: dict[Hashable, tuple[float, int]] = {}  # when it was last admitted, and how often refused since
        self._others = (-_PERIOD, 0)  # the same for all causes beyond the limit

    def admit(self, cause: Hashable) -> tuple[int, int] | None:
        """How often *cause* and other causes were suppressed since they were last admitted; ``None`` to suppress it."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._admit(cause, self._clock())
        finally:
            self._lock.release()

    def _admit(self, cause: Hashable, now: float) -> tuple[int, int] | None:
        last, suppressed = self._causes.get(cause, (-_PERIOD, 0))
        if now - last < _PERIOD:
            self._causes[cause] = (last, suppressed + 1)
            return None
        if cause not in self._causes and len(self._causes) >= _MOST_CAUSES:
            self._forget_old(now)
        if cause not in self._causes and len(self._causes) >= _MOST_CAUSES:
            self._others = (self._others[0], self._others[1] + 1)
            return None
        self._causes[cause] = (now, 0)
        others, self._others = self._others[1], (now, 0)
        return suppressed, others

    def _forget_old(self, now: float) -> None:
        for cause, (last, suppressed) in [*self._causes.items()]:
            if now - last >= _PERIOD:
                del self._causes[cause]
                self._others = (self._others[0], self._others[1] + suppressed)


_limit: Final = RateLimit()


def _log(level: int, cause: Hashable, text: str, *, is_limited: bool = True, **details: Any) -> None:
    """Log *text* unless its cause was logged within the last minute. A handler that raises changes nothing."""
    if not logger.isEnabledFor(level):
        return
    admitted = _limit.admit(cause) if is_limited else (0, 0)
    if admitted is None:
        return
    suppressed, others = admitted
    if suppressed:
        text += f" ({suppressed} more of this kind since the last record)"
    if others:
        text += f" ({others} of other kinds were not logged)"
    with suppress(Exception):  # nowhere is left to report it
        logger.log(level, "%s", text, **details)


def _log_refusal(told: Told) -> None:
    decision, facts = told.decision, told.facts
    level = logging.WARNING if told.debug else logging.INFO
    if not logger.isEnabledFor(level):
        return
    near = decision.reason is Reason.ORIGIN_NOT_ALLOWED and nearest_origin(told.policy, facts.origin or "")
    cause = (decision.reason, told.rule, near[0] if near else None)
    kind = "preflight" if decision.outcome is Outcome.PREFLIGHT_REFUSED else "request"
    method = facts.requested_method if kind == "preflight" else facts.method
    reason = decision.reason.value if decision.reason else ""
    text = f"Refused a CORS {kind}, {reason}: {escape(method or '')} {escape(told.rule)}."
    extra = {"cors_reason": reason, "cors_origin": facts.origin, "cors_rule": told.rule}
    text = f"{text} {explain(told.policy, facts, decision)}"
    _log(level, cause, text, is_limited=not told.debug, extra=extra)


def log_failure(what: str, error: Exception) -> None:
    """Log that the user's own code raised *error*, with its traceback and its file and line."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    place = next((frame for frame in reversed(frames) if _is_users(frame[0])), frames[-1] if frames else ("?", 0))
    cause = (type(error), place)
    text = f"{what}, at {place[0]}:{place[1]}: {describe_error(error)}"
    _log(logging.ERROR, cause, text, exc_info=(type(error), error, error.__traceback__))


def log_once(level: int, cause: Hashable, text: str) -> None:
    """Log *text*, at most once a minute for each *cause*."""
    _log(level, cause, text)


def _is_users(filename: str) -> bool:
    """Whether a file is the user's own: no part of this package, of Python, or of an installed library."""
    return not filename.startswith(_NOT_USERS) and "site-packages" not in filename


_NOT_USERS: Final = (str(Path(__file__).parent), sysconfig.get_paths()["stdlib"], "<frozen")
