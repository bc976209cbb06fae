"""Faults that users and attackers found in the first release, each with the right answer.

Signals, threads and forks; odd apps and odd observers; and what people write by mistake, with what they are told.
"""

from __future__ import annotations

import functools
import gc
import logging
import os
import re
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from blinker import Signal
from flask import Blueprint, Flask, Response, current_app, g
from flask.views import MethodView
from werkzeug.routing import Rule
from werkzeug.test import Client

import flask_preflight
from flask_preflight import (
    Policy,
    PolicyError,
    Preflight,
    PreflightMiddleware,
    RequestFacts,
    by_path,
    cors_blueprint,
    cors_exempt,
    cors_route,
    negotiate,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PAGE = "https://front.example"
ADMIN = "https://admin.example"
OTHER = "https://other.example"

# Calls that no type checker lets through go by these names.
AnyPolicy: Any = Policy
AnyPreflight: Any = Preflight
AnyMiddleware: Any = PreflightMiddleware
any_route: Any = cors_route
any_blueprint: Any = cors_blueprint


# ---------------------------------------------------------------------------------------
# Questions and answers
# ---------------------------------------------------------------------------------------


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def allowed_origin(self) -> str | None:
        return dict(self.headers).get("Access-Control-Allow-Origin")


def send(app: WSGIApplication, path: str, method: str, headers: dict[str, str]) -> Answer:
    response = Client(app).open(path, method=method, headers=headers)
    return Answer(response.status_code, sorted(response.headers), response.data)


def get(app: WSGIApplication, path: str = "/", origin: str = PAGE) -> Answer:
    return send(app, path, "GET", {"Origin": origin})


def ask(
    app: WSGIApplication, path: str = "/", origin: str = PAGE, method: str = "GET", names: str = "content-type"
) -> Answer:
    """Send a preflight."""
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": names}
    return send(app, path, "OPTIONS", {"Origin": origin, **asked})


VARY_ALL = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def granted(
    origin: str = PAGE, methods: str = "GET, HEAD, OPTIONS", names: str = "Content-Type", max_age: str = "600"
) -> Answer:
    return Answer(
        204,
        [
            ("Access-Control-Allow-Headers", names),
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Max-Age", max_age),
            ("Content-Length", "0"),
            ("Vary", VARY_ALL),
        ],
        b"",
    )


_REFUSAL = b"This CORS preflight is refused.\n"
REFUSED = Answer(
    403,
    [("Content-Length", str(len(_REFUSAL))), ("Content-Type", "text/plain; charset=utf-8"), ("Vary", VARY_ALL)],
    _REFUSAL,
)


def read(origin: str | None = PAGE, *, vary: str = "Origin") -> Answer:
    """Say the answer of a view to a GET; ``None`` is an origin that may not read."""
    cors = [] if origin is None else [("Access-Control-Allow-Origin", origin)]
    flasks = [("Content-Length", "2"), ("Content-Type", "text/html; charset=utf-8")]
    return Answer(200, [*cors, *flasks, ("Vary", vary)], b"ok")


def answers(app: WSGIApplication, origin: str, path: str = "/") -> tuple[Answer, Answer]:
    return get(app, path, origin), ask(app, path, origin)


BOTH_ALLOWED = (read(), granted())
BOTH_REFUSED = (read(None), REFUSED)


def new_view() -> Callable[[], str]:
    def view() -> str:
        return "ok"

    return view


def new_app() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/", "index", new_view())
    return app


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer as a view of `new_app` does."""
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", "2")])
    return [b"ok"]


# ---------------------------------------------------------------------------------------
# A6: `reconfigure` may be called at any moment
# ---------------------------------------------------------------------------------------


def marked_app(routes: int) -> tuple[Preflight, Flask]:
    app = new_app()
    for number in range(routes):
        view = cors_route(allow_headers=[..., f"X-{number}"])(new_view())
        app.add_url_rule(f"/{number}", f"view {number}", view)
    return Preflight(app, allow_origins=[PAGE]), app


def add_exposed(preflight: Preflight, app: Flask, name: str) -> None:
    preflight.reconfigure(app, expose_headers=[..., name])


def exposed(app: Flask) -> set[str]:
    """Name the headers that the app exposes now: the changes that were kept."""
    value = dict(get(app).headers).get("Access-Control-Expose-Headers", "")
    return {name for name in value.split(", ") if name}


@contextmanager
def handling(number: signal.Signals, handler: Callable[[], None]) -> Iterator[None]:
    before = signal.signal(number, lambda *_: handler())
    try:
        yield
    finally:
        signal.signal(number, before)


def lines_until(run: Callable[[], object], stop: int, act: Callable[[], None]) -> int:
    """Run *run*, and *act* before the line number *stop* of this package, Flask or its routing. Count the lines."""
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        if not frame.f_globals.get("__name__", "").startswith(("flask_preflight", "flask.", "werkzeug.routing")):
            return None
        if event == "line":
            lines += 1
            if lines == stop:
                act()
        return trace

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(outer)
    return lines


def run_reconfigure(preflight: Preflight, app: Flask) -> None:
    ask(app)
    add_exposed(preflight, app, "X-Main")


def run_early_reconfigure(preflight: Preflight, app: Flask) -> None:
    add_exposed(preflight, app, "X-Main")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("run", "kept"),
    [
        pytest.param(run_reconfigure, {"X-Main", "X-Signal"}, id="reconfigure"),
        pytest.param(run_early_reconfigure, {"X-Main", "X-Signal"}, id="reconfigure before the first request"),
        pytest.param(lambda _, app: ask(app, "/3"), {"X-Signal"}, id="the first preflight"),
        pytest.param(lambda _, app: get(app, "/3"), {"X-Signal"}, id="the first GET"),
        pytest.param(lambda _, app: [ask(app, "/3"), ask(app, "/404")], {"X-Signal"}, id="two preflights"),
        pytest.param(lambda preflight, app: preflight.verify(app), {"X-Signal"}, id="verify"),
    ],
)
@pytest.mark.slow
def test_a_signal_handler_reconfigures_whatever_it_interrupts(
    run: Callable[[Preflight, Flask], object], kept: set[str]
) -> None:
    preflight, app = marked_app(4)
    total = lines_until(lambda: run(preflight, app), 0, lambda: None)
    assert total > 50
    for stop in range(1, total + 1, total // 50):
        preflight, app = marked_app(4)
        with handling(signal.SIGUSR1, functools.partial(add_exposed, preflight, app, "X-Signal")):
            raise_signal = functools.partial(signal.raise_signal, signal.SIGUSR1)
            lines = lines_until(functools.partial(run, preflight, app), stop, raise_signal)
        if lines < stop:  # `verify` looks at all apps that are alive, so its lines are not always as many
            break
        assert exposed(app) == kept, f"interrupted at line {stop}"


@pytest.mark.timeout(60)
@pytest.mark.slow
def test_a_timer_reconfigures_an_app_of_thousands_of_routes() -> None:
    preflight, app = marked_app(2000)
    names = iter(["X-Signal-1", "X-Signal-2", "X-Signal-3", "X-Signal-4"])
    added = {"X-Main-1", "X-Main-2"}

    def change() -> None:
        name = next(names, None)  # the next signal, which may interrupt this one, takes the next name
        if name is not None:
            add_exposed(preflight, app, name)
            added.add(name)

    with handling(signal.SIGVTALRM, change):
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.02, 0.02)  # seconds of computing
        try:
            for number in (1, 2):
                app.url_map.add(Rule(f"/later/{number}", endpoint="index"))  # so that Werkzeug sorts its rules anew
                assert ask(app, "/7", names="x-7").status == 204
                add_exposed(preflight, app, f"X-Main-{number}")
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    assert exposed(app) == added
    assert "X-Signal-1" in added


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_sorted", [pytest.param(True, id="routes sorted"), pytest.param(False, id="not yet")])
def test_reconfigure_does_not_wait_for_the_lock_of_the_routes(is_sorted: bool) -> None:
    preflight, app = marked_app(10)
    if is_sorted:
        app.url_map.update()
    with app.url_map._remap_lock:
        add_exposed(preflight, app, "X-Main")
    assert exposed(app) == {"X-Main"}


@pytest.mark.timeout(60)
def test_a_forked_child_reconfigures_while_threads_of_the_parent_do() -> None:
    preflight, app = marked_app(20)
    get(app)
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            preflight.reconfigure(app, max_age=60)
            ask(app, "/3")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        statuses = [fork(functools.partial(reconfigured_in_child, preflight, app)) for _ in range(10)]
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert statuses == [0] * 10
    assert exposed(app) == set()


def reconfigured_in_child(preflight: Preflight, app: Flask) -> bool:
    add_exposed(preflight, app, "X-Child")
    return exposed(app) == {"X-Child"} and ask(app, "/3", names="x-3").status == 204


def fork(succeeds: Callable[[], bool]) -> int:
    """Run *succeeds* in a forked child and return its exit status: 0, if it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)  # seconds; a child that hangs is ended
        status = 0 if succeeds() else 2
    finally:
        os._exit(status)


@pytest.mark.timeout(60)
@pytest.mark.slow
def test_concurrent_changes_are_all_kept() -> None:
    preflight, app = marked_app(50)
    ready = threading.Barrier(8)

    def work(thread: int) -> None:
        ready.wait()
        for number in range(5):
            add_exposed(preflight, app, f"X-{thread}-{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert exposed(app) == {f"X-{thread}-{number}" for thread in range(8) for number in range(5)}


# ---------------------------------------------------------------------------------------
# A7: odd views, apps and observers
# ---------------------------------------------------------------------------------------


def wrapping_itself() -> Any:
    view: Any = new_view()
    view.__wrapped__ = view
    return view


def wrapping_each_other() -> Any:
    view: Any = new_view()
    other: Any = new_view()
    view.__wrapped__, other.__wrapped__ = other, view
    return view


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "make", [pytest.param(wrapping_itself, id="itself"), pytest.param(wrapping_each_other, id="each other")]
)
@pytest.mark.parametrize("is_marked", [pytest.param(True, id="marked"), pytest.param(False, id="not marked")])
def test_a_view_that_wraps_itself(make: Callable[[], Any], is_marked: bool) -> None:
    app = Flask(__name__)
    preflight = Preflight(app, allow_origins=[PAGE])
    view = make()
    app.add_url_rule("/", "view", cors_route(allow_origins=[ADMIN])(view) if is_marked else view)
    preflight.verify(app)
    right, wrong = (ADMIN, PAGE) if is_marked else (PAGE, ADMIN)
    assert answers(app, right) == (read(right), granted(right))
    assert answers(app, wrong) == BOTH_REFUSED


def of_middleware(value: Any) -> object:
    return AnyMiddleware(hello, Policy(), debug=value)


def of_constructor(value: Any) -> object:
    return AnyPreflight(debug=value)


def of_constructor_with_app(value: Any) -> object:
    return AnyPreflight(new_app(), debug=value)


def of_init_app(value: Any) -> object:
    return AnyPreflight().init_app(new_app(), debug=value)


@pytest.mark.parametrize(
    ("call", "value"),
    [
        pytest.param(call, value, id=f"{call.__name__}, {value!r}")
        for call in (of_middleware, of_constructor, of_constructor_with_app, of_init_app)
        for value in ("0", "", "false", 0, 1, [True], None)
        if value is not None or call is of_middleware  # elsewhere None stands for the app's own
    ],
)
def test_debug_that_is_no_bool(call: Callable[[Any], object], value: Any) -> None:
    with pytest.raises(TypeError, match=r"debug.*\bTrue\b"):
        call(value)


Kind = Callable[[list[tuple[str, str]]], Iterable[tuple[str, str]]]
KINDS: list[Any] = [
    pytest.param(list, id="list"),
    pytest.param(tuple, id="tuple"),
    pytest.param(iter, id="iterator"),
    pytest.param(lambda headers: (header for header in headers), id="generator"),
    pytest.param(lambda headers: dict(headers).items(), id="items of a dictionary"),
]


def with_headers(kind: Kind, *extra: tuple[str, str]) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", kind([("Content-Type", "text/html; charset=utf-8"), ("Content-Length", "2"), *extra]))
        return [b"ok"]

    return app


@pytest.mark.parametrize("kind", KINDS)
def test_headers_given_as_any_iterable(kind: Kind) -> None:
    app = PreflightMiddleware(with_headers(kind, ("Vary", "Cookie")), Policy(allow_origins=[PAGE]))
    assert get(app) == read(vary="Cookie, Origin")
    assert get(app, origin=OTHER) == read(None, vary="Cookie, Origin")
    everyone = PreflightMiddleware(with_headers(kind, ("Vary", "Cookie")), Policy(allow_origins="*"))
    assert get(everyone) == read("*", vary="Cookie")


@pytest.mark.parametrize("kind", KINDS)
def test_headers_given_as_any_iterable_inside_a_flask_app(kind: Kind) -> None:
    app: Any = new_app()
    app.wsgi_app = with_headers(kind, ("Vary", "Cookie"))
    Preflight(app, allow_origins=[PAGE])
    assert get(app) == read(vary="Cookie, Origin")
    assert get(app, origin=OTHER) == read(None, vary="Cookie, Origin")


def flask_edge(allow_origins: Any, debug: bool = False) -> WSGIApplication:
    app, preflight = new_app(), AnyPreflight(allow_origins=allow_origins)
    preflight.init_app(app, allow_methods=["GET", "HEAD", "OPTIONS"], debug=debug)
    return app


def wsgi_edge(allow_origins: Any, debug: bool = False) -> WSGIApplication:
    policy = Policy(allow_origins=allow_origins, allow_methods=["GET", "HEAD", "OPTIONS"])
    return AnyMiddleware(hello, policy, debug=debug)  # type: ignore[no-any-return]


EDGES = [pytest.param(flask_edge, id="flask"), pytest.param(wsgi_edge, id="wsgi")]
Edge = Callable[..., "WSGIApplication"]
Question = Callable[["WSGIApplication"], Answer]


def new_fault() -> type[Exception]:
    """Make an exception that was never logged, since the log tells each kind once a minute."""

    class Fault(Exception):
        pass

    return Fault


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    ("name", "question", "expected"),
    [
        pytest.param("preflight_granted", ask, granted(), id="granted"),
        pytest.param("preflight_refused", functools.partial(ask, origin=OTHER), REFUSED, id="refused"),
        pytest.param("request_allowed", get, read(), id="allowed"),
        pytest.param("request_refused", functools.partial(get, origin=OTHER), read(None), id="refused, actual"),
    ],
)
def test_a_receiver_that_raises_changes_no_answer(
    edge: Edge, name: str, question: Question, expected: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    app = edge([PAGE])
    calls = []
    fault = new_fault()

    def receive(sender: object, **given: object) -> None:
        calls.append(sorted(given))
        raise fault("from the receiver")

    observed: Signal = getattr(flask_preflight, name)
    with observed.connected_to(receive):
        assert question(app) == expected
    assert calls == [["decision", "environ"]]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.name for record in errors] == ["flask_preflight"]
    assert "from the receiver" in caplog.text


class Broken(logging.Handler):
    """A handler that raises, as one may that sends records over a network."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.calls += 1
        raise OSError("from the handler")


@pytest.fixture
def broken_handler() -> Iterator[Broken]:
    logger, handler = logging.getLogger("flask_preflight"), Broken()
    level = logger.level
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("debug", [pytest.param(True, id="debug"), pytest.param(False, id="production")])
@pytest.mark.parametrize("fails", [pytest.param(True, id="a check that raises"), pytest.param(False, id="a list")])
@pytest.mark.parametrize("question", [pytest.param(ask, id="preflight"), pytest.param(get, id="GET")])
def test_a_log_handler_that_raises_changes_no_answer(
    edge: Edge, debug: bool, fails: bool, question: Question, broken_handler: Broken
) -> None:
    fault = new_fault()

    def check(origin: str, environ: dict[str, Any]) -> bool:
        raise fault(origin)

    app = edge(check if fails else [OTHER], debug)
    expected = question(app)
    assert expected.allowed_origin is None
    logging.getLogger("flask_preflight").addHandler(broken_handler)
    assert question(app) == expected
    assert broken_handler.calls > 0 or not debug  # where not every refusal is logged


def negotiated(policy: Policy) -> None:
    for names in ("content-type", "x-a", None):
        negotiate(policy, RequestFacts("OPTIONS", PAGE, "PUT", names))
    negotiate(policy, RequestFacts("GET", PAGE))


def matched(policy: Policy) -> None:
    for origin in (PAGE, "https://a.example.com", OTHER):
        policy.allows_origin(origin)
    hash(policy)


def answered_by_middleware(policy: Policy) -> None:
    app = PreflightMiddleware(hello, policy)
    for origin in (PAGE, "https://a.example.com", OTHER):
        answers(app, origin)


def overridden(policy: Policy) -> None:
    answered_by_middleware(policy.override(max_age=1))


def marks_merged(policy: Policy) -> None:
    policy.override(allow_headers=[..., "X-A"]).override(expose_headers=[..., "ETag"])


@pytest.mark.parametrize("use", [negotiated, matched, answered_by_middleware, overridden, marks_merged])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"allow_origins": [PAGE, "https://*.example.com"], "allow_methods": ["PUT"]}, id="list"),
        pytest.param({"allow_origins": "*", "allow_headers": "*"}, id="star"),
    ],
)
def test_a_policy_is_freed_without_the_garbage_collector(use: Callable[[Policy], None], fields: dict[str, Any]) -> None:
    policy = Policy(**fields)
    gone = weakref.ref(policy)
    gc.disable()
    try:
        use(policy)
        del policy
        assert gone() is None
    finally:
        gc.enable()


def test_policies_built_for_each_request_are_freed_without_the_garbage_collector() -> None:
    built: list[weakref.ref[Policy]] = []

    def find(environ: WSGIEnvironment) -> Policy:
        policy = Policy(allow_origins=[PAGE, "https://*.example.com"], allow_methods=["GET", "HEAD", "OPTIONS"])
        built.append(weakref.ref(policy))
        return policy

    app = PreflightMiddleware(hello, find)
    gc.disable()
    try:
        assert [answers(app, PAGE) for _ in range(3)] == [BOTH_ALLOWED] * 3
        assert [answers(app, OTHER) for _ in range(3)] == [BOTH_REFUSED] * 3
        assert len(built) == 12
        assert [policy() for policy in built] == [None] * 12
    finally:
        gc.enable()


# ---------------------------------------------------------------------------------------
# C: apps, proxies, and what is no app
# ---------------------------------------------------------------------------------------


def test_current_app_stands_for_the_app() -> None:
    app = new_app()
    preflight = AnyPreflight(allow_origins=[PAGE])
    with app.app_context():
        preflight.init_app(current_app)
        preflight.verify(current_app)
        preflight.reconfigure(current_app, max_age=60)
    assert answers(app, PAGE) == (read(), granted(max_age="60"))
    assert answers(app, OTHER) == BOTH_REFUSED


def test_current_app_given_to_the_constructor() -> None:
    app = new_app()
    with app.app_context():
        AnyPreflight(current_app, allow_origins=[PAGE])
    assert answers(app, PAGE) == BOTH_ALLOWED
    assert answers(app, OTHER) == BOTH_REFUSED


class Dash:
    """Has the app of Flask as its `server`, as Dash does."""

    def __init__(self) -> None:
        self.server = new_app()


BLUEPRINT = Blueprint("home", __name__)
POLICY = Policy(allow_origins=[PAGE])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        pytest.param(lambda: AnyPreflight(BLUEPRINT), "cors_blueprint", id="Preflight(blueprint)"),
        pytest.param(lambda: AnyPreflight().init_app(BLUEPRINT), "cors_blueprint", id="init_app(blueprint)"),
        pytest.param(lambda: AnyPreflight(Dash()), r"\bserver\b", id="Preflight(dash)"),
        pytest.param(lambda: AnyPreflight().init_app(Dash()), r"\bserver\b", id="init_app(dash)"),
        pytest.param(lambda: AnyPreflight().init_app(None), "Flask", id="init_app(None)"),
        pytest.param(lambda: AnyPreflight(False), "Flask", id="Preflight(False)"),
        pytest.param(lambda: AnyPreflight(0), "Flask", id="Preflight(0)"),
        pytest.param(lambda: AnyPreflight([]), "allow_origins=", id="Preflight([])"),
        pytest.param(lambda: AnyPreflight([PAGE]), "allow_origins=", id="Preflight(origins)"),
        pytest.param(lambda: AnyPreflight("*"), "allow_origins=", id="Preflight('*')"),
        pytest.param(lambda: AnyPreflight(new_app(), [PAGE]), "allow_origins=", id="Preflight(app, origins)"),
        pytest.param(lambda: AnyPreflight(new_app(), "*"), "allow_origins=", id="Preflight(app, '*')"),
        pytest.param(lambda: AnyPreflight().init_app(new_app(), [PAGE]), "allow_origins=", id="init_app(app, origins)"),
        pytest.param(lambda: AnyMiddleware(hello, allow_origins=[PAGE]), r"Policy\(", id="middleware, keywords"),
        pytest.param(lambda: AnyMiddleware(hello, None), "Policy", id="middleware, None"),
        pytest.param(lambda: AnyMiddleware(hello, [PAGE]), r"Policy", id="middleware, origins"),
        pytest.param(lambda: AnyMiddleware(hello, "*"), "Policy", id="middleware, '*'"),
        pytest.param(lambda: AnyMiddleware(hello, {"allow_origins": [PAGE]}), "Policy", id="middleware, dictionary"),
        pytest.param(lambda: AnyMiddleware(POLICY, hello), r"(?s)app.*policy", id="middleware, swapped"),
        pytest.param(lambda: AnyMiddleware(POLICY, new_app()), r"(?s)app.*policy", id="middleware, swapped, Flask"),
        pytest.param(lambda: any_blueprint(new_view(), max_age=1), "cors_route", id="cors_blueprint(view)"),
        pytest.param(lambda: any_blueprint(MethodView, max_age=1), "cors_route", id="cors_blueprint(class)"),
        pytest.param(lambda: any_route(max_age=1)(BLUEPRINT), "cors_blueprint", id="cors_route(...)(blueprint)"),
        pytest.param(lambda: any_route(BLUEPRINT), "cors_blueprint", id="cors_route(blueprint)"),
        pytest.param(lambda: any_route(max_age=1)(type("Plain", (), {})), "View", id="cors_route, a plain class"),
        pytest.param(lambda: any_route(max_age=1)(dict), "dict", id="cors_route, a built-in class"),
    ],
)
def test_what_is_no_app_no_policy_or_no_view(call: Callable[[], object], said: str) -> None:
    with pytest.raises(TypeError, match=said) as caught:
        call()
    # Python's own words do not say what to write.
    assert not re.search("positional argument|unexpected keyword|has no attribute", str(caught.value))


def test_a_blueprint_that_was_refused_is_not_marked() -> None:
    app, blueprint = Flask(__name__), Blueprint("home", __name__)
    blueprint.add_url_rule("/", "view", new_view())
    with pytest.raises(TypeError):
        any_route(allow_origins=[ADMIN])(blueprint)
    app.register_blueprint(blueprint)
    Preflight(app, allow_origins=[PAGE])
    assert answers(app, PAGE) == BOTH_ALLOWED


def test_a_second_init_app() -> None:
    app = new_app()
    preflight = Preflight(app, allow_origins=[PAGE])
    for attempt in (lambda: preflight.init_app(app), lambda: Preflight(app, allow_origins=[ADMIN])):
        with pytest.raises(RuntimeError, match="init_app"):
            attempt()
    assert answers(app, PAGE) == BOTH_ALLOWED
    assert answers(app, ADMIN) == BOTH_REFUSED


# ---------------------------------------------------------------------------------------
# C: misspelled fields
# ---------------------------------------------------------------------------------------


def preflight_of_new_app() -> tuple[Any, Flask]:
    app = new_app()
    return AnyPreflight(app), app


def by_reconfigure(**fields: Any) -> None:
    preflight, app = preflight_of_new_app()
    preflight.reconfigure(app, **fields)


CALLS: dict[str, Callable[..., object]] = {
    "Policy": AnyPolicy,
    "override": lambda **fields: AnyPolicy().override(**fields),
    "Preflight": AnyPreflight,
    "Preflight(app)": lambda **fields: AnyPreflight(new_app(), **fields),
    "init_app": lambda **fields: AnyPreflight().init_app(new_app(), **fields),
    "reconfigure": by_reconfigure,
    "cors_route": any_route,
    "cors_blueprint": lambda **fields: any_blueprint(Blueprint("home", __name__), **fields),
}

MISSPELLED = {
    "origins": "allow_origins",
    "origin": "allow_origins",
    "allow_origin": "allow_origins",
    "allowed_origins": "allow_origins",
    "supports_credentials": "allow_credentials",
    "credentials": "allow_credentials",
    "methods": "allow_methods",
    "headers": "allow_headers",
    "allowed_headers": "allow_headers",
    "exposed_headers": "expose_headers",
    "maxage": "max_age",
}


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in CALLS.items()])
@pytest.mark.parametrize(
    ("wrong", "right"), [pytest.param(wrong, right, id=wrong) for wrong, right in MISSPELLED.items()]
)
def test_misspelled_fields(call: Callable[..., object], wrong: str, right: str) -> None:
    with pytest.raises(TypeError, match=rf"\b{wrong}\b.*\bdid you mean\b.*\b{right}\b"):
        call(**{wrong: [PAGE]})


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in CALLS.items()])
def test_the_resources_of_flask_cors_are_no_field(call: Callable[..., object]) -> None:
    """No field is near; what is meant are policies of blueprints and views."""
    with pytest.raises(TypeError, match=r"\bresources\b.*\b(cors_blueprint|cors_route|by_path|allow_origins)\b"):
        call(resources={"/api/*": {"origins": "*"}})


# ---------------------------------------------------------------------------------------
# C: values
# ---------------------------------------------------------------------------------------


def flaws(call: Callable[[], object]) -> list[tuple[str, str]]:
    """Say the field and the text of each problem that *call* raises."""
    with pytest.raises(PolicyError) as caught:
        call()
    return [(problem.field, str(problem)) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"allow_origins": ["https://p.example/"]}, "allow_origins", id="origin"),
        pytest.param({"allow_origins": [..., "https://p.example/"]}, "allow_origins", id="origin beside inherited"),
        pytest.param({"allow_methods": ["put"]}, "allow_methods", id="method"),
        pytest.param({"allow_headers": ["X A"]}, "allow_headers", id="header"),
        pytest.param({"expose_headers": ["Set-Cookie"]}, "expose_headers", id="exposed"),
        pytest.param({"max_age": -1}, "max_age", id="max_age"),
        pytest.param({"preflight_status": 404}, "preflight_status", id="status"),
        pytest.param({"allow_credentials": "yes"}, "allow_credentials", id="bool"),
    ],
)
def test_a_value_that_is_wrong_by_itself_is_refused_where_the_decorator_stands(
    fields: dict[str, Any], field: str
) -> None:
    view, blueprint = new_view(), Blueprint("home", __name__)
    for call in (lambda: cors_route(**fields)(view), lambda: cors_blueprint(blueprint, **fields)):
        assert [found for found, _ in flaws(call)] == [field]


def test_what_is_wrong_only_once_merged_is_reported_by_verify() -> None:
    app = Flask(__name__)
    preflight = Preflight(app, allow_origins="*")
    app.add_url_rule("/", "view", cors_route(allow_credentials=True)(new_view()))
    assert [field for field, _ in flaws(lambda: preflight.verify(app))] == ["allow_origins"]


@pytest.mark.parametrize("field", ["allow_origins", "allow_methods", "allow_headers", "expose_headers"])
def test_an_ellipsis_in_quotes_is_a_problem(field: str) -> None:
    values = [PAGE] if field == "allow_origins" else ["PUT"]
    for call in (
        lambda: AnyPolicy(**{field: ["...", *values]}),
        lambda: AnyPolicy().override(**{field: ["...", *values]}),
        lambda: any_route(**{field: ["...", *values]}),
        lambda: AnyPreflight(new_app(), **{field: ["...", *values]}),
    ):
        [(found, text)] = flaws(call)
        assert found == field
        assert "without quotes" in text


@pytest.mark.parametrize(
    ("field", "item", "parts"),
    [
        pytest.param("allow_origins", f"{PAGE},{OTHER}", [PAGE, OTHER], id="origins"),
        pytest.param("allow_origins", f"{PAGE} {OTHER}", [PAGE, OTHER], id="origins, by a space"),
        pytest.param("allow_methods", "GET, POST", ["GET", "POST"], id="methods"),
        pytest.param("allow_headers", "Content-Type, Authorization", ["Content-Type", "Authorization"], id="headers"),
        pytest.param("expose_headers", "ETag,Link", ["ETag", "Link"], id="exposed"),
    ],
)
def test_an_item_that_holds_several_is_split_in_the_hint(field: str, item: str, parts: list[str]) -> None:
    [(found, text)] = flaws(lambda: AnyPolicy(**{field: [item]}))
    assert found == field
    assert ", ".join(map(repr, parts)) in text.replace('"', "'")


@pytest.mark.parametrize("field", ["allow_origins", "allow_methods", "allow_headers", "expose_headers"])
def test_an_empty_item_is_called_so(field: str) -> None:
    values = f"{PAGE},".split(",") if field == "allow_origins" else ["PUT", ""]
    [(found, text)] = flaws(lambda: AnyPolicy(**{field: values}))
    assert found == field
    assert "empty item" in text


def test_a_regular_expression_is_answered_with_what_there_is() -> None:
    [(field, text)] = flaws(lambda: AnyPolicy(allow_origins=[re.compile(r"https://.*\.example\.com")]))
    assert field == "allow_origins"
    assert "pattern" in text
    assert "function" in text


# ---------------------------------------------------------------------------------------
# C: origin checks
# ---------------------------------------------------------------------------------------


def test_a_check_may_use_the_app() -> None:
    app = new_app()
    app.config["FE"] = [PAGE]
    Preflight(app, allow_origins=lambda origin, environ: origin in current_app.config["FE"])
    for _ in range(2):
        assert answers(app, PAGE) == BOTH_ALLOWED
        assert answers(app, OTHER) == BOTH_REFUSED
    app.config["FE"] = [OTHER]
    assert answers(app, PAGE) == BOTH_REFUSED


def test_each_preflight_has_an_app_context_of_its_own() -> None:
    app = new_app()
    seen: list[bool] = []
    torn_down: list[BaseException | None] = []

    def check(origin: str, environ: dict[str, Any]) -> bool:
        seen.append("mark" in g)
        g.mark = True
        return current_app._get_current_object() is app  # type: ignore[attr-defined]

    app.teardown_appcontext(torn_down.append)
    Preflight(app, allow_origins=check)
    assert [ask(app), ask(app)] == [granted(), granted()]
    with app.app_context():
        g.mark = True
        assert ask(app) == granted()
        assert len(torn_down) == 3
    with new_app().app_context():  # as where one app calls another
        assert answers(app, PAGE) == BOTH_ALLOWED
    assert set(seen) == {False}
    assert set(torn_down) == {None}


def test_a_teardown_function_that_raises_refuses(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app()

    @app.teardown_appcontext
    def fail(error: BaseException | None) -> None:
        raise RuntimeError("from the teardown")

    Preflight(app, allow_origins=lambda origin, environ: True)
    assert ask(app) == REFUSED
    assert "from the teardown" in caplog.text


class Check:
    """Checks of every kind of callable."""

    def one(self, origin: str) -> bool:
        return True

    def two(self, origin: str, environ: dict[str, Any]) -> bool:
        return True

    async def soon(self, origin: str, environ: dict[str, Any]) -> bool:
        return True


class OneArgument:
    def __call__(self, origin: str) -> bool:
        return True


class TwoArguments:
    def __call__(self, origin: str, environ: dict[str, Any]) -> bool:
        return True


class Soon:
    async def __call__(self, origin: str, environ: dict[str, Any]) -> bool:
        return True


async def soon(origin: str, environ: dict[str, Any]) -> bool:
    return True


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(lambda: True, id="no argument"),
        pytest.param(lambda origin: True, id="one argument"),
        pytest.param(lambda origin, environ, more: True, id="three arguments"),
        pytest.param(lambda origin, *, environ: True, id="one by keyword"),
        pytest.param(lambda origin, **named: True, id="one, and any by keyword"),
        pytest.param(Check().one, id="method with one"),
        pytest.param(Check.two, id="method without its object"),
        pytest.param(OneArgument(), id="object with one"),
        pytest.param(functools.partial(Check().two, PAGE), id="partial with one left"),
        pytest.param(soon, id="coroutine function"),
        pytest.param(Check().soon, id="coroutine method"),
        pytest.param(Soon(), id="coroutine object"),
        pytest.param(functools.partial(soon), id="partial of a coroutine function"),
    ],
)
def test_a_check_that_cannot_be_called_so_is_a_problem(check: Any) -> None:
    for call in (lambda: AnyPolicy(allow_origins=check), lambda: AnyPreflight(new_app(), allow_origins=check)):
        assert [field for field, _ in flaws(call)] == ["allow_origins"]


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(lambda origin, environ: True, id="two arguments"),
        pytest.param(lambda *anything: True, id="any number"),
        pytest.param(lambda origin, *rest: True, id="one and any number"),
        pytest.param(lambda origin, environ, more=1: True, id="a third with a default"),
        pytest.param(lambda origin, environ=None: True, id="a second with a default"),
        pytest.param(Check().two, id="method"),
        pytest.param(TwoArguments(), id="object"),
        pytest.param(functools.partial(lambda more, origin, environ: True, 1), id="partial with two left"),
    ],
)
def test_a_check_of_two_arguments_is_called(check: Any) -> None:
    assert Policy(allow_origins=check).allows_origin(PAGE, {})


# ---------------------------------------------------------------------------------------
# C: origins of schemes that are not special
# ---------------------------------------------------------------------------------------

EXTENSION = "moz-extension://0b5e8c2a-1f00-4d6b-9a3c-2f7e8d9c0b1a"


@pytest.mark.parametrize("credentials", [pytest.param(True, id="credentials"), pytest.param(False, id="none")])
@pytest.mark.parametrize(
    ("origin", "others"),
    [
        pytest.param("app://.", ["app://", "app://..", "app://a", "https://.", "APP://.", "app://./"], id="app://."),
        pytest.param("app://", ["app://.", "package://", "app:", "app:///", "https://"], id="app://"),
        pytest.param("package://", ["app://", "package://.", "package://a"], id="package://"),
        pytest.param("app://a.b_c~d-1", ["app://a.b_c~d", "app://a.b_c~d-1:80", "app://*"], id="every character"),
        pytest.param("app://obsidian.md:8080", ["app://obsidian.md", "app://obsidian.md:80"], id="port"),
        pytest.param(EXTENSION, ["moz-extension://0b5e8c2a", f"{EXTENSION}a", "moz-extension://"], id="extension"),
        pytest.param("app://1.2.3", ["app://1.2.0.3", "app://1.2.3."], id="no IP address"),
        pytest.param(f"app://{'a' * 300}", [f"app://{'a' * 299}", f"app://{'a' * 301}"], id="long"),
    ],
)
def test_an_exact_origin_of_another_scheme(origin: str, others: list[str], credentials: bool) -> None:
    policy = Policy(allow_origins=[origin], allow_credentials=credentials)
    assert [sent for sent in (origin, *others, PAGE, "null") if policy.allows_origin(sent)] == [origin]
    app = PreflightMiddleware(hello, policy)
    assert get(app, origin=origin).allowed_origin == ask(app, origin=origin).allowed_origin == origin


@pytest.mark.parametrize(
    ("sent", "is_allowed"),
    [
        pytest.param(EXTENSION, True, id="an extension"),
        pytest.param("moz-extension://a", True, id="a short one"),
        pytest.param("moz-extension://a.b_c~d-1", True, id="every character"),
        pytest.param("moz-extensions://a", False, id="longer scheme"),
        pytest.param("oz-extension://a", False, id="shorter scheme"),
        pytest.param("chrome-extension://a", False, id="other scheme"),
        pytest.param("https://moz-extension", False, id="scheme as host"),
        pytest.param("moz-extension://*", False, id="the pattern itself"),
        pytest.param("moz-extension://A", False, id="upper case"),
        pytest.param("moz-extension://a/", False, id="slash"),
        pytest.param("moz-extension://a/b", False, id="path"),
        pytest.param("moz-extension://a@b", False, id="user info"),
        pytest.param("moz-extension://a b", False, id="space"),
        pytest.param("moz-extension:a", False, id="no slashes"),
        pytest.param(f"moz-extension://{'a' * 400}", False, id="over-long"),
        pytest.param("null", False, id="null"),
    ],
)
def test_every_host_of_a_scheme(sent: str, is_allowed: bool) -> None:
    policy = Policy(allow_origins=["moz-extension://*"])
    assert policy.allows_origin(sent) == is_allowed
    app = PreflightMiddleware(hello, policy)
    expected = sent if is_allowed else None
    assert get(app, origin=sent).allowed_origin == ask(app, origin=sent).allowed_origin == expected


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"allow_origins": ["moz-extension://*"], "allow_credentials": True}, id="with credentials"),
        pytest.param({"allow_origins": ["https://*"]}, id="https"),
        pytest.param({"allow_origins": ["http://*"]}, id="http"),
        pytest.param({"allow_origins": ["ws://*"]}, id="ws"),
        pytest.param({"allow_origins": ["*://*"]}, id="every scheme"),
        pytest.param({"allow_origins": ["file://*"]}, id="files"),
        pytest.param({"allow_origins": ["moz-extension://*a"]}, id="not the whole host"),
        pytest.param({"allow_origins": ["moz-extension://a*"]}, id="not the whole host, at the end"),
        pytest.param({"allow_origins": ["https://."]}, id="special scheme, opaque host"),
        pytest.param({"allow_origins": ["https://"]}, id="special scheme, no host"),
        pytest.param({"allow_origins": ["app://A"]}, id="upper case"),
        pytest.param({"allow_origins": ["app:///"]}, id="slash"),
        pytest.param({"allow_origins": ["app:"]}, id="no slashes"),
    ],
)
def test_what_is_no_origin_of_another_scheme(fields: dict[str, Any]) -> None:
    assert [field for field, _ in flaws(lambda: AnyPolicy(**fields))] == ["allow_origins"]


@pytest.mark.parametrize("value", ["file://", "file:///home/me/page.html", "file://localhost", "file:"])
def test_a_file_is_no_origin(value: str) -> None:
    [(field, text)] = flaws(lambda: Policy(allow_origins=[value]))
    assert field == "allow_origins"
    assert "null" in text
    assert "QtWebEngine" in text


def test_a_check_is_asked_about_origins_of_every_scheme() -> None:
    asked = []

    def check(origin: str, environ: dict[str, Any]) -> bool:
        asked.append(origin)
        return True

    app = PreflightMiddleware(hello, Policy(allow_origins=check))
    origins = ["app://.", "app://", "package://", EXTENSION, "capacitor://localhost", "app://a:80"]
    for origin in [*origins, "null", "file://", "app:", "app://A", "app:///", "https://", "https://.", ""]:
        get(app, origin=origin)
    assert asked == origins


# ---------------------------------------------------------------------------------------
# C: configuration from the environment
# ---------------------------------------------------------------------------------------


def configured(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Flask:
    for name, value in variables.items():
        monkeypatch.setenv(f"FLASK_PREFLIGHT_{name}", value)
    app = new_app()
    app.config.from_prefixed_env()
    return app


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        pytest.param(f'["{PAGE}", "{OTHER}"]', [PAGE, OTHER], id="JSON"),
        pytest.param(f' ["{PAGE}"] ', [PAGE], id="JSON with white space"),
        pytest.param(f"{PAGE},{OTHER}", [PAGE, OTHER], id="commas"),
        pytest.param(f"{PAGE}, {OTHER}", [PAGE, OTHER], id="commas and spaces"),
        pytest.param(PAGE, [PAGE], id="one"),
        pytest.param(f'"{PAGE}"', [PAGE], id="one in quotes"),
        pytest.param("*", ["*", "*", "*"], id="star"),
        pytest.param('"*"', ["*", "*", "*"], id="star in quotes"),
        pytest.param('["*"]', ["*", "*", "*"], id="star in JSON"),
        pytest.param("[]", [], id="nothing"),
    ],
)
def test_origins_from_the_environment(value: str, allowed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    app = configured(monkeypatch, ALLOW_ORIGINS=value)
    Preflight(app)
    found = [get(app, origin=origin).allowed_origin for origin in (PAGE, OTHER, ADMIN)]
    assert [origin for origin in found if origin] == allowed
    assert [ask(app, origin=origin).allowed_origin for origin in (PAGE, OTHER, ADMIN)] == found


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        pytest.param("ALLOW_HEADERS", "X-A, X-B", granted(names="X-A, X-B"), id="headers by commas"),
        pytest.param("ALLOW_HEADERS", '["X-A"]', granted(names="X-A"), id="headers in JSON"),
        pytest.param("ALLOW_HEADERS", '["...", "X-A"]', granted(names="Content-Type, X-A"), id="ellipsis in JSON"),
        pytest.param("ALLOW_HEADERS", "...,X-A", granted(names="Content-Type, X-A"), id="ellipsis by commas"),
        pytest.param("ALLOW_METHODS", "PUT,GET", granted(methods="GET, HEAD"), id="methods by commas"),
        pytest.param("ALLOW_METHODS", "GET", granted(methods="GET, HEAD"), id="one method"),
        pytest.param("MAX_AGE", "6e2", granted(max_age="600"), id="whole float"),
        pytest.param("MAX_AGE", "60.0", granted(max_age="60"), id="whole float with a point"),
        pytest.param("MAX_AGE", "60", granted(max_age="60"), id="integer"),
        pytest.param("PREFLIGHT_STATUS", "204", granted(), id="status"),
        pytest.param("ALLOW_CREDENTIALS", "false", granted(), id="false"),
    ],
)
def test_other_fields_from_the_environment(
    variable: str, value: str, expected: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = configured(monkeypatch, ALLOW_ORIGINS=PAGE, **{variable: value})
    Preflight(app, allow_methods=["GET", "HEAD", "OPTIONS"]) if variable != "ALLOW_METHODS" else Preflight(app)
    assert ask(app, names="x-a" if "X-A" in str(expected) else "") == expected


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        pytest.param("ALLOW_ORIGINS", f"['{PAGE}']", ["double quotes", f'["{PAGE}"]'], id="single quotes"),
        pytest.param("ALLOW_ORIGINS", f'["{PAGE}",]', ["not valid JSON", f'["{PAGE}"]'], id="trailing comma"),
        pytest.param("ALLOW_HEADERS", "['X-A', 'X-B']", ["double quotes", '["X-A", "X-B"]'], id="headers"),
        pytest.param("ALLOW_ORIGINS", "", ["[]"], id="empty"),
        pytest.param("ALLOW_METHODS", "", ["[]"], id="empty methods"),
        pytest.param("ALLOW_ORIGINS", f"{PAGE},", ["empty item"], id="comma at the end"),
        pytest.param("ALLOW_ORIGINS", f"{PAGE}/", [f"'{PAGE}'"], id="slash"),
        pytest.param("ALLOW_CREDENTIALS", "1", ["true"], id="1 for a bool"),
        pytest.param("ALLOW_CREDENTIALS", "yes", ["true"], id="yes for a bool"),
        pytest.param("ALLOW_CREDENTIALS", "True", ["true"], id="True for a bool"),
        pytest.param("MAX_AGE", "6.5", ["600"], id="no whole number"),
        pytest.param("MAX_AGE", "soon", ["600"], id="no number"),
        pytest.param("_ALLOW_ORIGINS", f'["{PAGE}"]', ["PREFLIGHT_ALLOW_ORIGINS"], id="two underscores"),
    ],
)
def test_what_is_wrong_in_the_environment(
    variable: str, value: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = configured(monkeypatch, **{variable: value})
    [(_, text)] = flaws(lambda: Preflight(app))
    for words in said:
        assert words in text
    assert "preflight" not in app.extensions


def test_an_ellipsis_in_the_configuration_stands_for_the_defaults() -> None:
    app = new_app()
    app.config["PREFLIGHT_ALLOW_ORIGINS"] = [PAGE]
    app.config["PREFLIGHT_ALLOW_HEADERS"] = ["...", "X-A"]
    Preflight(app)
    assert ask(app, names="x-a") == granted(names="Content-Type, X-A")


@pytest.mark.parametrize(
    ("has_key", "warned"), [pytest.param(False, True, id="forgotten"), pytest.param(True, False, id="set as well")]
)
def test_a_variable_without_its_prefix_is_warned_about(
    has_key: bool, warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PREFLIGHT_ALLOW_ORIGINS", PAGE)
    app = configured(monkeypatch, **({"ALLOW_ORIGINS": PAGE} if has_key else {}))
    Preflight(app)
    get(app)
    found = [record.getMessage() for record in caplog.records if "FLASK_PREFLIGHT_ALLOW_ORIGINS" in record.getMessage()]
    assert bool(found) == warned
    assert get(app).allowed_origin == (PAGE if has_key else None)


# ---------------------------------------------------------------------------------------
# C: paths and Vary
# ---------------------------------------------------------------------------------------

PATHS = ["/", "/a", "/bkt/a//b", "//", "/a/../b", "/a/./b", "/a%2eb", "/%2E%2e/x", "/a\\b", "/a%2Fb", "", "/\xe9"]


@pytest.mark.parametrize("path", [pytest.param(path, id=path or "empty") for path in PATHS])
@pytest.mark.parametrize(
    "policies",
    [
        pytest.param({"/": POLICY}, id="one"),
        pytest.param({"/": POLICY, "/a": Policy(allow_origins=[PAGE])}, id="two equal ones"),
    ],
)
def test_one_policy_for_all_paths_is_for_all_paths(path: str, policies: dict[str, Policy | None]) -> None:
    app = PreflightMiddleware(hello, by_path(policies))
    expected = granted(methods="GET, HEAD, POST")
    assert [decide(app, "GET", path), decide(app, "OPTIONS", path)] == [read(), expected]


@pytest.mark.parametrize("path", ["/bkt/a//b", "/a/../b", "/a%2eb", "/a\\b"])
@pytest.mark.parametrize(
    "policies",
    [
        pytest.param({"/": POLICY, "/a": Policy(allow_origins=[ADMIN])}, id="two"),
        pytest.param({"/": POLICY, "/a": None}, id="one and none"),
        pytest.param({"/a": POLICY, "/bkt": POLICY}, id="no policy for the rest"),
    ],
)
def test_of_several_policies_an_ambiguous_path_gets_none(path: str, policies: dict[str, Policy | None]) -> None:
    app = PreflightMiddleware(hello, by_path(policies))
    untouched = Answer(200, read(None).headers[:2], b"ok")
    assert [decide(app, "GET", path), decide(app, "OPTIONS", path)] == [untouched, untouched]


def decide(app: WSGIApplication, method: str, path: str) -> Answer:
    """Send a request whose path stands in the environ just so."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "SERVER_NAME": "backend.example",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "HTTP_ORIGIN": PAGE,
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET",
    }
    started: list[Any] = []

    def start_response(*given: Any) -> Any:
        started.extend(given)

    body = b"".join(app(environ, start_response))
    return Answer(int(started[0].split()[0]), sorted(started[1]), body)


@pytest.mark.parametrize(
    ("lines", "merged"),
    [
        pytest.param(["Accept", "Cookie"], "Accept, Cookie, Origin", id="two"),
        pytest.param(["Accept", "Origin"], "Accept, Origin", id="Origin in the second"),
        pytest.param(["Origin", "Cookie"], "Origin, Cookie", id="Origin in the first"),
        pytest.param(["Accept", "origin, Cookie", "X-A"], "Accept, origin, Cookie, X-A", id="three"),
        pytest.param(["", "Cookie"], "Cookie, Origin", id="an empty one"),
        pytest.param(["Accept"], "Accept, Origin", id="one"),
        pytest.param(["*"], "*", id="star"),
    ],
)
@pytest.mark.parametrize("origin", [pytest.param(PAGE, id="allowed"), pytest.param(OTHER, id="refused")])
def test_vary_becomes_one_line(lines: list[str], merged: str, origin: str) -> None:
    expected = read(PAGE if origin == PAGE else None, vary=merged)
    given = [("Vary", line) for line in lines]
    assert get(PreflightMiddleware(with_headers(list, *given), POLICY), origin=origin) == expected
    app = new_app()

    @app.after_request
    def add_vary(response: Response) -> Response:
        for line in given:
            response.headers.add(*line)
        return response

    Preflight(app, allow_origins=[PAGE])
    assert get(app, origin=origin) == expected


# ---------------------------------------------------------------------------------------
# C: debug answers, and the policy in force
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_app", "of_constructor", "of_init_app", "explains"),
    [
        pytest.param(False, None, None, False, id="production"),
        pytest.param(True, None, None, True, id="development"),
        pytest.param(True, False, None, False, id="off in development"),
        pytest.param(False, True, None, True, id="on in production"),
        pytest.param(True, None, False, False, id="off in development, by init_app"),
        pytest.param(False, None, True, True, id="on in production, by init_app"),
        pytest.param(True, True, False, False, id="init_app counts, off"),
        pytest.param(False, False, True, True, id="init_app counts, on"),
    ],
)
def test_debug_answers(of_app: bool, of_constructor: bool | None, of_init_app: bool | None, explains: bool) -> None:
    app = new_app()
    app.debug = of_app
    preflight = AnyPreflight(allow_origins=[PAGE], debug=of_constructor)
    preflight.init_app(app, debug=of_init_app)
    assert answers(app, PAGE) == BOTH_ALLOWED
    if not explains:
        assert answers(app, OTHER) == BOTH_REFUSED
        return
    actual, refused = answers(app, OTHER)
    for answer in (actual, refused):
        headers = dict(answer.headers)
        assert re.fullmatch(rf"origin-not-allowed; .*{OTHER}.*", headers["CORS-Refused"])
        assert len(headers["CORS-Refused"]) <= 1000
        assert not [name for name in headers if name.startswith("Access-Control-")]
    assert OTHER.encode() in refused.body


@pytest.mark.parametrize("debug", [True, False])
def test_the_debug_header_replaces_the_app_s(debug: bool) -> None:
    inner = with_headers(list, ("CORS-Refused", "by the app"))
    app = PreflightMiddleware(inner, POLICY, debug=debug)
    found = [value for name, value in get(app, origin=OTHER).headers if name == "CORS-Refused"]
    assert len(found) == 1
    assert found[0].startswith("origin-not-allowed; ") == debug
    assert [value for name, value in get(app).headers if name == "CORS-Refused"] == ["by the app"]


class Items(MethodView):
    def get(self) -> str:
        return "ok"

    @cors_route(allow_origins=[ADMIN])
    def put(self) -> str:
        return "ok"


def test_the_policy_in_force() -> None:
    app = new_app()
    app.add_url_rule("/items", view_func=Items.as_view("items"))
    app.add_url_rule("/admin", "admin", cors_route(allow_origins=[..., ADMIN])(new_view()))
    app.add_url_rule("/bare", "bare", cors_exempt(new_view()))
    blueprint = cors_blueprint(Blueprint("home", __name__), max_age=1)
    blueprint.add_url_rule("/home", "view", new_view())
    app.register_blueprint(blueprint)
    preflight: Any = Preflight(app, allow_origins=[PAGE], allow_methods=["GET", "PUT"])
    app_wide = Policy(allow_origins=[PAGE], allow_methods=["GET", "PUT"])
    assert preflight.policy(app) == app_wide
    assert preflight.policy(app, "index") == app_wide
    assert preflight.policy(app, "items") == preflight.policy(app, "items", "GET") == app_wide
    assert preflight.policy(app, "items", "PUT") == app_wide.override(allow_origins=[ADMIN])
    assert preflight.policy(app, "items", method="PUT") == app_wide.override(allow_origins=[ADMIN])
    assert preflight.policy(app, endpoint="admin") == app_wide.override(allow_origins=[PAGE, ADMIN])
    assert preflight.policy(app, "home.view") == app_wide.override(max_age=1)
    assert preflight.policy(app, "bare") is None
    preflight.reconfigure(app, allow_origins=[OTHER])
    assert preflight.policy(app) == app_wide.override(allow_origins=[OTHER])
    assert preflight.policy(app, "admin") == app_wide.override(allow_origins=[OTHER, ADMIN])
    with app.app_context():
        assert preflight.policy(current_app) == preflight.policy(app)


def test_the_policy_in_force_needs_an_app_that_has_one() -> None:
    preflight: Any = Preflight(allow_origins=[PAGE])
    with pytest.raises(RuntimeError, match="init_app"):
        preflight.policy(new_app())
