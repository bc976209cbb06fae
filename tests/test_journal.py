"""What is told: how often, with which words and attributes, and that receivers and handlers change no answer."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_explain import Unspeakable
from werkzeug.exceptions import abort

from flask_preflight import (
    Outcome,
    Policy,
    Reason,
    RequestFacts,
    negotiate,
    preflight_granted,
    preflight_refused,
    request_allowed,
    request_refused,
)
from flask_preflight import journal as journal_module
from flask_preflight.explain import explain
from flask_preflight.journal import Journal, RateLimit, Told, counts_as_refusal

PACKAGE = Path(journal_module.__file__).parent
PYTHON = Path(logging.__file__).parents[1]

ORIGIN = "https://frontend.com"
POLICY = Policy(allow_origins=[ORIGIN, "http://localhost:3000"], allow_methods=["PUT"])


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# ---------------------------------------------------------------------------------------
# The limit
# ---------------------------------------------------------------------------------------


def test_a_cause_is_admitted_once_a_minute_with_the_number_suppressed_since() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    assert limit.admit("a") == (0, 0)
    clock.now += 30
    assert limit.admit("a") is None
    assert limit.admit("b") == (0, 0)
    clock.now += 29.9
    assert limit.admit("a") is None
    clock.now += 0.1
    assert limit.admit("a") == (2, 0)
    assert limit.admit("a") is None
    clock.now += 60
    assert limit.admit("b") == (0, 0)
    assert limit.admit("a") == (1, 0)


def test_the_first_minute_of_a_clock_that_starts_at_zero_is_no_exception() -> None:
    clock = Clock()
    clock.now = 0.0
    limit = RateLimit(clock)
    assert limit.admit("a") == (0, 0)
    assert limit.admit("a") is None


def test_at_most_a_hundred_causes_are_admitted_in_a_minute_and_the_rest_is_counted() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    assert [limit.admit(number) for number in range(100)] == [(0, 0)] * 100
    clock.now += 59
    assert [limit.admit(number) for number in range(100, 1100)] == [None] * 1000
    assert limit.admit(0) is None
    clock.now += 1
    assert limit.admit("new") == (0, 1000 + 1), "the 1000 others, and the one more of a cause that is forgotten"
    clock.now += 1
    assert limit.admit("newer") == (0, 0), "the others are told once"


def test_in_a_long_flood_at_most_a_hundred_records_a_minute_are_written() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    admitted = []
    for number in range(10_000):
        clock.now += 0.1
        if limit.admit(number) is not None:
            admitted.append(clock.now)
    for start in range(len(admitted)):
        assert sum(admitted[start] <= moment < admitted[start] + 60 for moment in admitted) <= 100
    assert len(admitted) >= 1000


def test_nothing_is_lost_in_the_counts() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    told = asked = 0
    for number in range(5000):
        clock.now += 0.1
        asked += 1
        admitted = limit.admit(number % 157)
        if admitted is not None:
            told += 1 + sum(admitted)
    clock.now += 60
    for cause in range(157):
        asked += 1
        admitted = limit.admit(cause)
        told += 1 + sum(admitted) if admitted is not None else 0
    clock.now += 60
    for cause in range(157):
        asked += 1
        admitted = limit.admit(cause)
        told += 1 + sum(admitted) if admitted is not None else 0
    # the last few may still be waiting to be told
    assert asked - 157 <= told <= asked


def test_memory_is_bounded() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    for number in range(10_000):
        clock.now += 1
        limit.admit(number)
    causes = next(value for value in vars(limit).values() if isinstance(value, dict))
    assert len(causes) <= 100


def test_no_call_waits_for_another() -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow_clock() -> float:
        entered.set()
        assert leave.wait(10)
        return 0.0

    limit = RateLimit(slow_clock)
    thread = threading.Thread(target=limit.admit, args=("a",))
    thread.start()
    assert entered.wait(10)
    assert limit.admit("b") is None, "dropped instead of waiting"
    leave.set()
    thread.join()
    assert limit.admit("b") is not None


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.parametrize("forks", [1, 2])
def test_a_forked_child_admits_causes_although_a_thread_of_its_parent_was_asking(forks: int) -> None:
    """Only the thread that calls ``fork`` exists in the child, so nothing there ends the call of the other one."""
    entered, leave = threading.Event(), threading.Event()

    def clock() -> float:
        if threading.current_thread() is thread:
            entered.set()
            assert leave.wait(20)
        return 1000.0

    limit = RateLimit(clock)
    thread = threading.Thread(target=limit.admit, args=("a",))
    thread.start()
    assert entered.wait(20)
    try:
        child = fork(forks, lambda: [limit.admit(cause) for cause in "bbc"] == [(0, 0), None, (0, 0)])
    finally:
        leave.set()
        thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert limit.admit("b") == (0, 0), "the parent goes on with its own"


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_what_was_suppressed_before_a_fork_is_told_by_the_parent_alone() -> None:
    clock = Clock()
    limit = RateLimit(clock)
    for cause in [*range(100), 0, 0, "beyond"]:
        limit.admit(cause)

    def told() -> list[tuple[int, int] | None]:
        first = limit.admit(0)
        clock.now += 60
        return [first, limit.admit(0), limit.admit(1)]

    child = fork(1, lambda: told() == [None, (1, 0), (0, 0)])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert told() == [None, (3, 1), (0, 0)]


def fork(generations: int, succeeds: Callable[[], bool]) -> int:
    """Start a child, its child and so on; the last one ends with 0 if *succeeds*."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            if generations == 1:
                os._exit(0 if succeeds() else 1)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(fork(generations - 1, succeeds), 0)[1]))
        finally:
            os._exit(2)
    return child


def test_a_signal_handler_may_ask_while_it_is_asked() -> None:
    found: list[object] = []

    def clock() -> float:
        found.append(limit.admit("inner"))  # as a handler of SIGHUP that interrupts right here
        return 0.0

    limit = RateLimit(clock)
    assert limit.admit("outer") == (0, 0)
    assert found == [None]


# ---------------------------------------------------------------------------------------
# Refusals in the log
# ---------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every journal that the test makes."""
    clock = Clock()
    monkeypatch.setattr(journal_module, "RateLimit", lambda: RateLimit(clock))
    return clock


def tell(
    journal: Journal, facts: RequestFacts, *, rule: str = "/api/<int:id>", debug: bool = False, policy: Policy = POLICY
) -> None:
    decision = negotiate(policy, facts)
    journal.tell(Told(policy, facts, decision, rule, lambda: explain(policy, facts, decision), debug))


def preflight(method: str = "DELETE", origin: str = ORIGIN, names: str | None = None, **environ: Any) -> RequestFacts:
    return RequestFacts("OPTIONS", origin, method, names, {"PATH_INFO": "/api/7", **environ})


def actual(origin: str = "http://localhost:3001", method: str = "GET", **environ: Any) -> RequestFacts:
    return RequestFacts(method, origin, environ={"PATH_INFO": "/api/7", **environ})


def listed_in(refusals: list[str]) -> dict[str, Any]:
    return {"flask_preflight.refusals": refusals}


def test_a_refusal_is_one_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    tell(Journal(None), preflight())
    (record,) = caplog.records
    assert (record.name, record.levelno, record.exc_info) == ("flask_preflight", logging.INFO, None)
    assert vars(record) | {"cors_reason": "method-not-allowed", "cors_origin": ORIGIN} == vars(record)
    assert "/api/<int:id>" in vars(record)["cors_rule"]
    message = record.getMessage()
    sentence = explain(POLICY, preflight(), negotiate(POLICY, preflight()))
    assert sentence
    assert message.endswith(f" {sentence}")
    for part in ("method-not-allowed", "DELETE", "/api/<int:id>", "preflight"):
        assert part in message.removesuffix(sentence)


def test_a_refused_actual_request_is_one_record_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    tell(Journal(None), actual(method="PATCH"))
    (record,) = caplog.records
    assert vars(record)["cors_reason"] == "origin-not-allowed"
    assert vars(record)["cors_origin"] == "http://localhost:3001"
    for part in ("origin-not-allowed", "PATCH", "/api/<int:id>", "'http://localhost:3000'. It differs in the port."):
        assert part in record.getMessage()


def test_what_is_allowed_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "flask_preflight")
    for facts in (preflight("PUT"), actual(ORIGIN)):
        tell(Journal(None), facts)
        tell(Journal(None), facts, debug=True)
    assert caplog.records == []


def test_each_cause_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    journal = Journal(None)
    for _ in range(5):
        tell(journal, preflight())
    assert len(caplog.records) == 1
    clock.now += 60
    tell(journal, preflight())
    assert len(caplog.records) == 2
    assert "4 more" in caplog.messages[1]
    assert "more" not in caplog.messages[0]


def test_only_what_is_logged_is_explained(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    """An explanation may take long, and a stranger decides how often a request is refused."""
    caplog.set_level(logging.INFO, "flask_preflight")
    explained: list[RequestFacts] = []

    def told(facts: RequestFacts) -> Told:
        def explain_it() -> str:
            explained.append(facts)
            return "Because."

        return Told(POLICY, facts, negotiate(POLICY, facts), "/", explain_it)

    journal = Journal(None)
    for number in range(1000):
        journal.tell(told(preflight(f"M{number}")))
    clock.now += 60
    journal.tell(told(preflight("M1000")))
    assert [facts.requested_method for facts in explained] == ["M0", "M1000"]
    assert len(caplog.records) == 2


# two refusals, and whether they have one cause: (reason, rule, nearest allowed origin)
CAUSES: dict[str, tuple[RequestFacts, str, RequestFacts, str, bool]] = {
    "another method": (preflight("DELETE"), "/a", preflight("PATCH"), "/a", True),
    "another allowed origin": (preflight(), "/a", preflight(origin="http://localhost:3000"), "/a", True),
    "another stranger": (actual("https://a.com"), "/a", actual("https://b.com"), "/a", True),
    "another port of an allowed host": (
        actual("http://localhost:3001"),
        "/a",
        actual("http://localhost:3002"),
        "/a",
        True,
    ),
    "another nearest origin": (actual("http://localhost:3001"), "/a", actual("https://frontend.com:1"), "/a", False),
    "a stranger and a neighbour": (actual("https://a.com"), "/a", actual("https://frontend.com:1"), "/a", False),
    "another rule": (preflight(), "/a", preflight(), "/b", False),
    "another reason": (preflight(), "/a", preflight("PUT", ORIGIN, "x-a"), "/a", False),
    "other headers": (preflight("PUT", ORIGIN, "x-b"), "/a", preflight("PUT", ORIGIN, "x-a"), "/a", True),
}


@pytest.mark.parametrize(("one", "rule", "other", "other_rule", "is_same"), CAUSES.values(), ids=CAUSES)
def test_causes(
    one: RequestFacts,
    rule: str,
    other: RequestFacts,
    other_rule: str,
    is_same: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    journal = Journal(None)
    tell(journal, one, rule=rule)
    tell(journal, other, rule=other_rule)
    assert len(caplog.records) == 2 - is_same


def test_of_many_causes_the_rest_is_one_count(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    journal = Journal(None)
    for number in range(250):
        tell(journal, preflight(), rule=f"/{number}")
    assert len(caplog.records) == 100
    clock.now += 60
    tell(journal, preflight(), rule="/new")
    assert len(caplog.records) == 101
    assert "150 of other kinds" in caplog.messages[-1]


def test_in_debug_mode_each_refusal_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(None)
    for _ in range(3):
        tell(journal, preflight(), debug=True)
    tell(journal, preflight())
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3


def test_what_strangers_send_makes_no_second_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    forged = "x\r\nERROR:root:forged\u2028\x1b[2J\x85"
    for facts in (
        preflight(forged),
        preflight(origin=forged),
        preflight("PUT", ORIGIN, forged),
        actual(forged, forged),
    ):
        tell(Journal(None), facts)
    assert len(caplog.records) == 4
    formatter = logging.Formatter("%(message)s %(cors_reason)s %(cors_origin)s %(cors_rule)s")
    for record in caplog.records:
        assert formatter.format(record).isprintable()
        assert record.getMessage().isascii()
        json.dumps(formatter.format(record))


def test_journals_do_not_share_their_limits(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    for _ in range(2):
        tell(Journal(None), preflight())
    assert len(caplog.records) == 2


# ---------------------------------------------------------------------------------------
# Handlers and receivers that raise
# ---------------------------------------------------------------------------------------


class BrokenHandler(logging.Handler):
    """A handler that raises instead of handling the error, as some do that send records over a network."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def handle(self, record: logging.LogRecord) -> bool:
        self.calls += 1
        raise ZeroDivisionError


@pytest.fixture
def broken_handler() -> Iterator[BrokenHandler]:
    handler = BrokenHandler()
    logger = logging.getLogger("flask_preflight")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_handler_that_raises_changes_nothing(broken_handler: BrokenHandler) -> None:
    journal = Journal(None)
    refusals: list[str] = []
    tell(journal, preflight(**listed_in(refusals)), debug=True)
    journal.log_failure("It failed", ValueError("no"))
    journal.log_once(logging.WARNING, "cause", "text")
    assert broken_handler.calls == 3
    assert len(refusals) == 1, "what comes after the log is told all the same"


SIGNALS = {
    Outcome.PREFLIGHT_GRANTED: (preflight_granted, preflight("PUT")),
    Outcome.PREFLIGHT_REFUSED: (preflight_refused, preflight("DELETE")),
    Outcome.ACTUAL_ALLOWED: (request_allowed, actual(ORIGIN)),
    Outcome.ACTUAL_REFUSED: (request_refused, actual()),
}


@pytest.mark.parametrize("outcome", SIGNALS, ids=lambda outcome: outcome.value)
def test_signals_carry_the_decision_and_the_environ(outcome: Outcome) -> None:
    signal, facts = SIGNALS[outcome]
    received: list[tuple[object, Any, Any]] = []

    def receive(sender: object, *, decision: Any, environ: Any) -> None:
        received.append((sender, decision, environ))

    sender = object()
    with signal.connected_to(receive):
        tell(Journal(sender), facts)
    ((sent_by, decision, environ),) = received
    assert sent_by is sender
    assert decision == negotiate(POLICY, facts)
    assert decision.outcome is outcome
    assert environ is facts.environ
    assert signal.name == outcome.value.replace("actual", "request")


@pytest.mark.parametrize("outcome", SIGNALS, ids=lambda outcome: outcome.value)
def test_a_receiver_that_raises_is_logged_with_its_own_line(
    outcome: Outcome, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    signal, facts = SIGNALS[outcome]

    def receive(sender: object, **_: Any) -> None:
        raise LookupError("no tenant\n")

    journal = Journal(None)
    with signal.connected_to(receive):
        for _ in range(3):
            tell(journal, facts)
        clock.now += 60
        tell(journal, facts)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    for record in caplog.records:
        assert f"{__file__}:{receive.__code__.co_firstlineno + 1}" in record.getMessage()
        assert signal.name in record.getMessage()
        assert record.getMessage().isprintable()
        assert record.exc_info is not None
        assert record.exc_info[0] is LookupError
    assert "2 more" in caplog.messages[1]


def test_interrupts_of_receivers_propagate() -> None:
    def receive(sender: object, **_: Any) -> None:
        raise KeyboardInterrupt

    with preflight_refused.connected_to(receive), pytest.raises(KeyboardInterrupt):
        tell(Journal(None), preflight())


# ---------------------------------------------------------------------------------------
# Failures of the user's own code
# ---------------------------------------------------------------------------------------


def fails(text: str = "no") -> None:
    raise LookupError(text)


def fails_elsewhere() -> None:
    raise LookupError("no")


def fails_in_python() -> None:
    json.loads("{")


def fails_in_a_library() -> None:
    abort(404)


def fails_in_generated_code() -> None:
    Policy(allow_origins=["https://a.com/"])  # dataclasses generate `__init__`, in a file called "<string>"


def caught(function: Callable[[], None]) -> Exception:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - the test is about any
        return error
    raise AssertionError


@pytest.mark.parametrize("function", [fails, fails_in_python, fails_in_a_library, fails_in_generated_code])
def test_a_failure_names_the_user_s_own_line_and_has_its_traceback(
    function: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    error = caught(function)
    line = function.__code__.co_firstlineno + 1
    Journal(None).log_failure("It failed", error)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("flask_preflight", logging.ERROR)
    assert record.getMessage().startswith(f"It failed, at {__file__}:{line}: ")
    assert type(error).__name__ in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert f"line {line}" in logging.Formatter().formatException(record.exc_info)


OWN_FILES = {
    "beside the package": (f"{PACKAGE}_demo/app.py", "site-packages" not in Path(PACKAGE).parts),
    "in the package": (f"{PACKAGE}/wsgi.py", False),
    "beside Python's library": (f"{PYTHON}-apps/app.py", True),
    "in Python's library": (f"{PYTHON}/json/decoder.py", False),
    "installed": ("/srv/venv/lib/python3.11/site-packages/werkzeug/exceptions.py", False),
    "installed by Debian": ("/usr/lib/python3/dist-packages/werkzeug/exceptions.py", False),
    "named like that": ("/srv/my-site-packages/app.py", True),
    "generated": ("<string>", False),
}


@pytest.mark.parametrize(("file", "is_own"), OWN_FILES.values(), ids=OWN_FILES)
def test_a_failure_names_no_line_of_what_is_installed(
    file: str, is_own: bool, caplog: pytest.LogCaptureFixture
) -> None:
    code = compile("raise LookupError", file, "exec")
    try:
        exec(code, {})
    except LookupError as error:
        Journal(None).log_failure("It failed", error)
    assert caplog.messages[0].startswith(f"It failed, at {file if is_own else __file__}:")


def test_a_failure_without_a_place_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    Journal(None).log_failure("It failed", ValueError("no"))
    (message,) = caplog.messages
    assert message.startswith("It failed")
    assert message.endswith("'ValueError: no'")


def test_one_cause_is_the_type_with_the_file_and_line(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    journal = Journal(None)
    for number in range(1000):
        journal.log_failure("It failed", caught(lambda text=str(number): fails(text)))  # type: ignore[misc]
    assert len(caplog.records) == 1
    journal.log_failure("It failed", caught(fails_elsewhere))
    assert len(caplog.records) == 2
    clock.now += 60
    journal.log_failure("It failed", caught(fails))
    assert len(caplog.records) == 3
    assert "999 more" in caplog.messages[2]


def test_what_an_error_says_makes_no_second_line(caplog: pytest.LogCaptureFixture) -> None:
    Journal(None).log_failure("It failed", caught(lambda: fails("a\r\nERROR:root:forged\u2028")))
    assert caplog.messages[0].isprintable()
    assert caplog.messages[0].isascii()


# What an exception says may be what a stranger has sent
HOSTILE = "a\r\nERROR:root:forged\n\n\x1b[2J\0\u2028\ud800" + "b" * 10_000


def raises_after_another() -> None:
    try:
        raise LookupError(HOSTILE)
    except LookupError as error:
        raise ValueError(HOSTILE) from error


def raises_while_handling() -> None:
    try:
        fails(HOSTILE)
    except LookupError:
        fails_elsewhere()


def raises_in_place_of_another() -> None:
    try:
        fails(HOSTILE)
    except LookupError:
        raise ValueError(HOSTILE) from None


def raises_in_a_ring() -> None:
    one, other = LookupError(HOSTILE), ValueError(HOSTILE)
    one.__cause__, other.__cause__ = other, one
    raise one


def raises_a_syntax_error() -> None:
    compile("a b", HOSTILE.replace("\0", ""), "exec")


def raises_what_cannot_be_shown() -> None:
    raise Unspeakable


# the types that a traceback names
TRACEBACKS: dict[str, tuple[Callable[[], None], list[str]]] = {
    "alone": (lambda: fails(HOSTILE), ["LookupError"]),
    "from another": (raises_after_another, ["LookupError", "ValueError"]),
    "while another is handled": (raises_while_handling, ["LookupError", "LookupError"]),
    "in place of another": (raises_in_place_of_another, ["ValueError"]),
    "a ring": (raises_in_a_ring, ["ValueError", "LookupError"] * 5),
    "a syntax error": (raises_a_syntax_error, ["SyntaxError"]),
    "not to be shown": (raises_what_cannot_be_shown, ["test_explain.Unspeakable"]),
}


@pytest.mark.parametrize(("function", "types"), TRACEBACKS.values(), ids=TRACEBACKS)
def test_what_an_error_says_makes_no_line_in_the_traceback(
    function: Callable[[], None], types: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    Journal(None).log_failure("It failed", caught(function))
    _, *lines = logging.Formatter().format(caplog.records[0]).split("\n")
    assert all(line.isprintable() and len(line) <= 1000 for line in lines)
    frames = [line for line in lines if line.startswith("  ")]
    assert any(f'File "{__file__}"' in line for line in frames)
    others = [line for line in lines if line and line not in frames]
    assert others[::2] == ["Traceback (most recent call last):"] * len(types)
    assert [re.split("[: ]", line)[0] for line in others[1::2]] == types


def test_nothing_is_formatted_below_the_level_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "flask_preflight")
    journal = Journal(None)
    tell(journal, preflight(), debug=True)
    journal.log_failure("It failed", ValueError("no"))
    assert caplog.records == []
    caplog.set_level(logging.ERROR, "flask_preflight")
    journal.log_failure("It failed", ValueError("no"))
    assert len(caplog.records) == 1, "what was not logged has not used up its minute"


# ---------------------------------------------------------------------------------------
# The list for tests, and which refusals count
# ---------------------------------------------------------------------------------------


def test_refusals_are_appended_to_the_list_in_the_environ() -> None:
    refusals: list[str] = []
    tell(Journal(None), preflight(**listed_in(refusals)))
    tell(Journal(None), preflight("PUT", **listed_in(refusals)))
    tell(Journal(None), actual("https://a.com", **listed_in(refusals)))
    assert refusals == [
        "method-not-allowed; The method 'DELETE' is not in allow_methods, which allows PUT. To allow it, write"
        " allow_methods=['PUT', 'DELETE'] in the Policy.",
        "origin-not-allowed; The origin 'https://a.com' is not in allow_origins. If the page is yours, write"
        " allow_origins=['http://localhost:3000', 'https://frontend.com', 'https://a.com'] in the Policy.",
    ]


@pytest.mark.parametrize(
    ("origin", "host", "counts"),
    [
        ("https://frontend.com", "frontend.com", False),
        ("https://frontend.com", "backend.com", True),
        ("http://localhost:3000", "localhost:3000", False),
        ("http://localhost:3000", "localhost:5000", True),
        ("http://localhost", "localhost:80", False),
        ("https://frontend.com", "frontend.com:443", False),
        ("http://frontend.com", "frontend.com:443", True),
        ("http://[::1]:5000", "[::1]:5000", False),
        ("http://[::1]", "[::1]:80", False),
        ("https://frontend.com", "FRONTEND.com", False),
        ("http://[::ffff:7f00:1]:5000", "[::FFFF:7f00:1]:5000", False),
        ("null", "", True),
        ("https://frontend.com", "", True),
    ],
)
def test_an_origin_whose_host_and_port_are_those_of_the_server_is_no_refusal(
    origin: str, host: str, counts: bool
) -> None:
    facts = actual(origin, HTTP_HOST=host)
    assert counts_as_refusal(facts) == counts
    # what the browser says decides, where it says it
    assert counts_as_refusal(actual(origin, HTTP_HOST=host, HTTP_SEC_FETCH_SITE="cross-site"))
    assert not counts_as_refusal(actual(origin, HTTP_HOST=host, HTTP_SEC_FETCH_SITE="same-origin"))
    assert not counts_as_refusal(actual(origin, HTTP_SEC_FETCH_SITE="cross-site", HTTP_SEC_FETCH_MODE="navigate"))


def test_every_reason_can_be_told(caplog: pytest.LogCaptureFixture) -> None:
    from flask_preflight.engine import refuse_preflight

    caplog.set_level(logging.INFO, "flask_preflight")
    journal = Journal(None)
    for reason in Reason:
        journal.tell(Told(POLICY, preflight(), refuse_preflight(reason), "/"))
    assert [vars(record)["cors_reason"] for record in caplog.records] == [reason.value for reason in Reason]


def test_a_lock_that_a_fork_has_left_locked_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = RateLimit()
    limit._lock.acquire()  # as another thread may, when the process is forked
    assert limit.admit("cause") is None
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert limit.admit("cause") == (0, 0)
