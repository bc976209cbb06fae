"""A flood of hostile requests: the log stays short, each record stays on one line, and nothing is lost in the counts.

The bounds are those of ``docs/refusals.md``: outside debug mode one record a minute for each cause, a hundred causes a
minute, and the rest as numbers in the records.
"""

from __future__ import annotations

import gc
import itertools
import linecache
import logging
import random
import re
import sys
import threading
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
from flask import Flask
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter

from flask_preflight import (
    Decision,
    Policy,
    Preflight,
    PreflightMiddleware,
    by_path,
    cors_route,
    explain,
    journal,
    preflight_refused,
    request_allowed,
    request_refused,
    wsgi,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

pytestmark = pytest.mark.slow

PAGE = "https://frontend.com"
LISTED = [PAGE, "http://localhost:3000", "https://*.partner.org"]

# ---------------------------------------------------------------------------------------
# What strangers send. "#" stands for a number that is another one in each request.
# ---------------------------------------------------------------------------------------

FORGED = "x#\r\nERROR:root:forged #\n"
SPOILED = (
    FORGED,
    "\x1b[2J\x1b[31m#",
    "\0#",
    "#\x7f\x85\x9b",
    "caf\xe9 #",
    "\xe2\x80\xa8# \xf0\x9f\x92\xa5",  # bytes of U+2028 and of an emoji, as WSGI delivers them
    "\udcff#\ud800",  # what `os.environ` makes of bytes that are no UTF-8
    "\u2028\u202e\U0001f4a5#",  # no server sends these, but middleware may
    "%0d%0aERROR:root:forged #",
    "#" + "a" * 5000,
    "#" + "\xe9" * 3000,
    "%s %(message)s {0} #",
)
NEAR = ("http://localhost:#", "https://localhost:3000", "https://www.frontend.com", "https://frontend.com:#")
STRANGE = ("https://#.evil.com", "http://#.example", "app://#", "https://partner.org", "https://#.partner.org.evil.com")
ORIGINS = (
    *(PAGE, "http://localhost:3000", "https://a#.partner.org") * 6,
    *NEAR * 3,
    *STRANGE * 3,
    *("null", "", "*", "HTTPS://FRONTEND.COM", f"{PAGE}/", f"{PAGE}, {PAGE}", "https://" + "a." * 150 + "#.com"),
    *SPOILED,
    *(f"{PAGE}{text}" for text in SPOILED),
)
METHODS = (
    *("PUT", "PUT", "DELETE", "GET", "POST") * 10,
    *("M#", "put", "patch", "CONNECT", "*", "", "P" * 65),
    *(f"PUT{text}" for text in SPOILED),
)
HEADERS = (
    *("", "content-type") * 6,
    *("x-#", "x-#,x-a", "authorization", "*", "," * 200, "a" * 5000, ",".join(["x-#"] * 100), "sec-#", "x y"),
    *(f"x-{text}" for text in SPOILED),
)
PATHS = (
    *("/", "/open/#", "/open/x#", "/late", "/redirect", "/missing/#") * 4,
    *("/raises/value/#", "/raises/key/#", "/raises/text/#", "/raises/library/#", "/converter/#", "/refusing/#") * 3,
    *(f"/rule{number}/#" for number in range(30)),
    *("//", "/open/../late", "/open%2f#", "/open\\#", "/" * 200),
    *(f"/{text}" for text in SPOILED),
    *(f"/raises/value/{text}" for text in SPOILED),
    *(f"/raises/text/{text}" for text in SPOILED),
    *(f"/converter/{text}" for text in SPOILED),
    *(f"/refusing/{text}" for text in SPOILED),
)
HOSTS = (*("backend.com",) * 20, "#.backend.com", "", "backend.com:x", "[::1", *SPOILED)

BASE = {
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "backend.com",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
}


def hostile(count: int, seed: int = 1, *, actual: float = 0.05) -> Iterator[WSGIEnvironment]:
    """Yield *count* requests. The part *actual* of them are actual requests, the others preflights."""
    draw = random.Random(seed)
    for number in range(count):
        label = f"{number * 8 + seed}"

        def pick(templates: tuple[str, ...], label: str = label) -> str:
            return draw.choice(templates).replace("#", label)

        environ = {**BASE, "PATH_INFO": pick(PATHS), "HTTP_HOST": pick(HOSTS), "HTTP_ORIGIN": pick(ORIGINS)}
        if draw.random() < actual:
            environ["REQUEST_METHOD"] = pick(METHODS)
            environ["HTTP_COOKIE"] = pick(SPOILED)
            environ["PATH_INFO"] = environ["PATH_INFO"].encode(errors="replace").decode("latin-1")  # for Werkzeug
        else:
            environ["REQUEST_METHOD"] = "OPTIONS"
            environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"] = pick(METHODS)
            environ["HTTP_ACCESS_CONTROL_REQUEST_HEADERS"] = pick(HEADERS)
        yield environ


# ---------------------------------------------------------------------------------------
# The apps, whose own code raises what strangers send
# ---------------------------------------------------------------------------------------


def allowed(origin: str, environ: WSGIEnvironment) -> bool:
    path = environ["PATH_INFO"]
    if path.startswith("/raises/value"):
        raise ValueError(path, origin)
    if path.startswith("/raises/key"):
        return bool(dict[str, str]()[origin])
    if path.startswith("/raises/library"):
        return bool(int(origin))
    try:
        raise LookupError(path)
    except LookupError as error:
        raise RuntimeError(f"{path}\n{environ['HTTP_HOST']}") from error


class Failing(BaseConverter):
    def to_python(self, value: str) -> str:
        raise ArithmeticError(value)


class Refusing(BaseConverter):
    """It says what it was given in place of the methods that there are."""

    def to_python(self, value: str) -> str:
        raise MethodNotAllowed(valid_methods=[value])


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


POLICY = Policy(allow_origins=LISTED, allow_methods=["GET", "PUT"])
ASKING = Policy(allow_origins=allowed)


def plain(*, debug: bool) -> WSGIApplication:
    return PreflightMiddleware(hello, POLICY, debug=debug)


def with_paths(*, debug: bool) -> WSGIApplication:
    keys = {f"/rule{number}": POLICY.override(max_age=number) for number in range(30)}
    paths: dict[str, Policy | None] = {"/": POLICY, "/raises": ASKING, "/open": Policy(allow_origins="*"), **keys}
    return PreflightMiddleware(hello, by_path(paths), debug=debug)


def with_flask(*, debug: bool) -> WSGIApplication:
    app = Flask("app", static_folder=None)
    app.logger.disabled = True  # Flask logs what converters raise, too
    app.url_map.converters |= {"failing": Failing, "refusing": Refusing}
    rules = ["/", "/raises/<path:x>", "/open/<int:x>", "/late", "/redirect/", "/converter/<failing:x>"]
    for rule in [*rules, "/refusing/<refusing:x>", *(f"/rule{number}/<x>" for number in range(30))]:
        app.add_url_rule(rule, rule.replace(".", ""), lambda **_: "hello", methods=["GET", "PUT"])
    app.view_functions["/raises/<path:x>"] = cors_route(allow_origins=allowed)(lambda x: "hello")
    app.view_functions["/open/<int:x>"] = cors_route(allow_origins="*")(lambda x: "hello")
    Preflight(app, allow_origins=LISTED, debug=debug)
    app({**BASE, "REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: print)
    app.view_functions["/late"] = cors_route(allow_origins="*", allow_credentials=True)(lambda: "hello")
    return app


APPS = {"middleware": plain, "by_path": with_paths, "flask": with_flask}


# ---------------------------------------------------------------------------------------
# What is counted
# ---------------------------------------------------------------------------------------


class Clock:
    """The clock of every journal. It stands still until the test moves it, and counts how often it is read."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock, limit = Clock(), journal.RateLimit
    monkeypatch.setattr(journal, "RateLimit", lambda: limit(clock))
    return clock


class Told:
    """What signals tell: how often a request, or its cookies, were refused, and how often by an exception."""

    def __init__(self) -> None:
        self.refusals = self.failures = 0
        self._lock = threading.Lock()

    def __call__(self, _: object, decision: Decision, environ: WSGIEnvironment) -> None:
        with self._lock:
            self.refusals += decision.reason is not None
            self.failures += decision.error is not None


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    with (
        preflight_refused.connected_to(told),
        request_refused.connected_to(told),
        request_allowed.connected_to(told),
    ):
        yield told


# The numbers at the end of a record, of what was not logged
LEFT_OUT = re.compile(r"(?: \(\d+ [a-z ]+\))*$")


class Records(logging.Handler):
    """Checks the form of each record, and notes when its cause was logged, and after which request first."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        self.clock.reads = 0
        self.levels = Counter[int]()
        self.times = defaultdict[Hashable, list[float]](list)
        self.left_out = 0
        self.current = threading.local()
        self.examples: dict[Hashable, WSGIEnvironment] = {}
        self.flaws: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        left_out = LEFT_OUT.search(message)
        assert left_out
        self.levels[record.levelno] += 1
        self.left_out += sum(map(int, re.findall(r"\d+", left_out[0])))
        cause = cause_of(record, message[: left_out.start()])
        self.times[cause].append(self.clock.now)
        self.examples.setdefault(cause, self.current.environ)
        if flaw := flaw_of(record):
            self.flaws.append(f"{flaw}: {FORMATTER.format(record)!a}")

    @property
    def told(self) -> int:
        return self.levels.total() + self.left_out

    def ask(self, app: WSGIApplication, environ: WSGIEnvironment) -> str:
        """The status that *app* answers with."""
        self.current.environ = environ
        status = ""

        def start_response(given: str, *_: object) -> Callable[[bytes], object]:
            nonlocal status
            status = given
            return print

        body = app(environ, start_response)
        close: Callable[[], None] | None = getattr(body, "close", None)
        if close is not None:
            close()
        return status


class Raised(NamedTuple):
    error: type[BaseException]
    place: str


def cause_of(record: logging.LogRecord, text: str) -> Hashable:
    """The reason, the rule and the nearest allowed origin; of an exception, its type with file and line."""
    told = vars(record)
    if "cors_reason" in told:
        host = re.search(r"://(?:www\.)?(localhost|frontend\.com|partner\.org)(?::|$)", told["cors_origin"])
        is_near = told["cors_reason"] == "origin-not-allowed"
        return told["cors_reason"], told["cors_rule"], host[1] if host and is_near else None
    if record.exc_info is None or record.exc_info[0] is None:
        return text
    place = re.search(r", at (.+?:\d+): ", text)
    return Raised(record.exc_info[0], place[1] if place else "")


FORMATTER = logging.Formatter("%(levelname)s:%(name)s:%(message)s")
LINE_OF_TRACEBACK = re.compile(r"|Traceback \(most recent call last\):|  .+|[A-Za-z_.]+(?:: .*)?")


def flaw_of(record: logging.LogRecord) -> str:
    """What is wrong with the form of a record, as a handler writes it."""
    first, *traceback = FORMATTER.format(record).split("\n")
    told = [first, *(str(value) for name, value in vars(record).items() if name.startswith("cors_"))]
    if not all(text.isascii() and text.isprintable() for text in told):
        return "not printable ASCII"
    if (record.exc_info is None) != (not traceback):
        return "a traceback too much, or none"
    if not all(LINE_OF_TRACEBACK.fullmatch(line) and line.isprintable() for line in traceback):
        return "no traceback"
    return "too long" if max(map(len, [*told, *traceback])) > 5000 else ""


@contextmanager
def logging_to(handler: logging.Handler, level: int = logging.INFO) -> Iterator[None]:
    """Send all records from *level* on to *handler* alone."""
    logger = logging.getLogger("flask_preflight")
    before = logger.level, logger.propagate, logger.handlers
    logger.setLevel(level)
    logger.propagate, logger.handlers = False, [handler]
    try:
        yield
    finally:
        level, logger.propagate, logger.handlers = before
        logger.setLevel(level)


@pytest.fixture
def records(clock: Clock) -> Iterator[Records]:
    records = Records(clock)
    with logging_to(records):
        yield records


@contextmanager
def untraced() -> Iterator[None]:
    """Without the trace function of a coverage tool, which would take most of the time."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)


# ---------------------------------------------------------------------------------------
# In production
# ---------------------------------------------------------------------------------------

MINUTE = 60
STEP = 20  # how far the clock moves at once, in seconds
STEPS = 15


def assert_bounded(records: Records) -> None:
    """Assert that each cause was logged once a minute, and a hundred causes at most."""
    assert records.flaws == []
    for cause, times in records.times.items():
        assert all(after - before >= MINUTE for before, after in itertools.pairwise(times)), cause
    times = [*itertools.chain.from_iterable(records.times.values())]
    assert max(sum(start <= time < start + MINUTE for time in times) for start in set(times)) <= 100


def ask_each_cause_again(app: WSGIApplication, records: Records) -> None:
    """Ask for one refusal of each cause, a minute apart, so that all numbers are told that were not told yet."""
    for environ in [*records.examples.values()]:
        records.clock.now += MINUTE
        records.ask(app, environ)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "count"), [("middleware", 10_000), ("by_path", 10_000), ("flask", 100_000)])
def test_a_flood_leaves_few_records_and_a_correct_count(
    name: str, count: int, records: Records, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, explained = APPS[name](debug=False), itertools.count()
    monkeypatch.setattr(wsgi, "explain", lambda *args: (next(explained), explain.explain(*args))[1])
    statuses = Counter[str]()
    with untraced():
        for number, environ in enumerate(hostile(count)):
            records.clock.now += STEP * (number % (count // STEPS) == 0)
            statuses[records.ask(app, environ)] += 1
        ask_each_cause_again(app, records)
    assert_bounded(records)
    assert told.refusals >= statuses["403 Forbidden"] >= count / 2
    assert records.told == told.refusals + told.failures
    assert set(records.levels) == {logging.INFO, logging.ERROR} if told.failures else {logging.INFO}
    assert next(explained) == records.levels[logging.INFO], "what is not logged is not explained"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["by_path", "flask"])
def test_threads_keep_the_bounds_and_the_answers(name: str, clock: Clock, records: Records) -> None:
    """Threads do not wait for each other, so some refusals are not counted. Each one that reads the clock must be."""
    statuses, expected = Counter[str](), Counter[str]()
    alone, app = APPS[name](debug=False), APPS[name](debug=False)
    with untraced():
        expected.update(records.ask(alone, environ) for environ in hostile_in_turn())
        records.reset()
        with ThreadPoolExecutor(THREADS, initializer=sys.settrace, initargs=(None,)) as threads, hasty_switches():
            floods = [hostile(REQUESTS_OF_THREAD, seed) for seed in range(THREADS)]
            for _ in range(STEPS):
                clock.now += STEP
                for answers in threads.map(lambda flood: ask_some(app, flood, records), floods):
                    statuses.update(answers)
        ask_each_cause_again(app, records)
    assert_bounded(records)
    assert statuses == expected
    assert records.told == clock.reads > 0


THREADS = 8
REQUESTS_OF_THREAD = 40 * STEPS


def hostile_in_turn() -> Iterator[WSGIEnvironment]:
    return itertools.chain.from_iterable(hostile(REQUESTS_OF_THREAD, seed) for seed in range(THREADS))


def ask_some(app: WSGIApplication, flood: Iterator[WSGIEnvironment], records: Records) -> list[str]:
    return [records.ask(app, environ) for environ in itertools.islice(flood, REQUESTS_OF_THREAD // STEPS)]


@contextmanager
def hasty_switches() -> Iterator[None]:
    """Make threads interrupt each other as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


# ---------------------------------------------------------------------------------------
# Exceptions of the app's own code
# ---------------------------------------------------------------------------------------

# What raises in `allowed` and `Failing`
RAISING = {
    ValueError: ("raise ValueError(path, origin)", "return bool(int(origin))"),
    KeyError: ("return bool(dict[str, str]()[origin])",),
    RuntimeError: ("raise RuntimeError(f\"{path}\\n{environ['HTTP_HOST']}\") from error",),
    ArithmeticError: ("raise ArithmeticError(value)",),
}


@pytest.mark.parametrize(("name", "types"), [("by_path", 3), ("flask", 4)])
@pytest.mark.parametrize("debug", [False, True], ids=["production", "debug"])
def test_what_the_app_raises_is_logged_once_a_minute_for_each_line(
    name: str, types: int, debug: bool, records: Records
) -> None:
    app = APPS[name](debug=debug)
    logging.getLogger("flask_preflight").setLevel(logging.ERROR)
    for minute in range(3):
        for environ in hostile(500, minute):
            records.ask(app, environ)
        records.clock.now += MINUTE
    assert_bounded(records)
    times = {cause: len(times) for cause, times in records.times.items() if isinstance(cause, Raised) and cause.place}
    places = [(error, line) for error, lines in [*RAISING.items()][:types] for line in lines]
    assert {(cause.error, line_at(cause.place)): count for cause, count in times.items()} == dict.fromkeys(places, 3)


def line_at(place: str) -> str:
    file, _, number = place.rpartition(":")
    assert file == __file__
    return linecache.getline(file, int(number)).strip()


# ---------------------------------------------------------------------------------------
# In debug mode
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", APPS)
def test_in_debug_mode_each_refusal_is_one_warning_on_one_line(name: str, records: Records, told: Told) -> None:
    app = APPS[name](debug=True)
    with untraced():
        for environ in hostile(2000):
            records.ask(app, environ)
    assert records.flaws == []
    assert records.levels[logging.WARNING] == told.refusals >= 1000
    assert records.levels[logging.INFO] == 0
    assert (records.levels[logging.ERROR] > 0) == (told.failures > 0)


# ---------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["by_path", "flask"])
def test_a_flood_leaves_no_memory_behind(name: str, clock: Clock) -> None:
    """The handler keeps nothing, so what is left is the package's. The first flood fills what has a bound."""
    app, records = APPS[name](debug=False), Records(clock)
    kept: list[int] = []
    with untraced(), logging_to(logging.NullHandler()), traced_memory():
        for number in range(100):
            records.ask(app, preflight_of_missing(f"M{number}"))
        for seed in range(3):
            for number, environ in enumerate(hostile(700, seed)):
                clock.now += MINUTE * (number % 100 == 0)
                records.ask(app, environ)
            gc.collect()
            kept.append(tracemalloc.get_traced_memory()[0])
    assert kept[2] - kept[1] < 50_000


def preflight_of_missing(method: str) -> WSGIEnvironment:
    """A preflight for which a policy for *method* alone is made."""
    sent = {"HTTP_ORIGIN": PAGE, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": method}
    return {**BASE, **sent, "REQUEST_METHOD": "OPTIONS", "PATH_INFO": "/missing"}


@contextmanager
def traced_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
