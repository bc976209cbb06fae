"""Production answers tell strangers nothing: all refusals look the same, for every reason and every policy."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from flask import Flask
from test_engine import operations
from werkzeug.routing import BaseConverter

from flask_preflight import (
    Decision,
    Policy,
    Preflight,
    PreflightMiddleware,
    Reason,
    by_path,
    cors_route,
    explain,
    journal,
    preflight_refused,
    request_refused,
    wsgi,
)
from flask_preflight.policy import FIELDS
from flask_preflight.routes import PolicyTable
from flask_preflight.state import AppState

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

pytestmark = pytest.mark.slow

# All that must stay secret has this word in it.
SECRET = "canary"
PAGE = f"https://{SECRET}.example"
LISTED = [PAGE, f"https://*.{SECRET}.example", f"https://{SECRET}.example:8443", "http://localhost:3000"]

# ---------------------------------------------------------------------------------------
# Policies, apps, requests
# ---------------------------------------------------------------------------------------


def is_page(origin: str, environ: WSGIEnvironment) -> bool:
    return origin == PAGE


def fails(*_: object) -> Any:
    raise LookupError(f"no {SECRET}\r\nX-{SECRET}: yes")


POLICY = Policy(
    allow_origins=LISTED,
    allow_methods=["GET", "PUT", SECRET.upper()],
    allow_headers=[f"X-{SECRET}"],
    expose_headers=[f"X-{SECRET}"],
)
POLICIES = {
    "nobody": Policy(),
    "listed": POLICY,
    "credentials": POLICY.override(allow_credentials=True, allow_timing=True, preflight_status=200, max_age=None),
    "routes": POLICY.override(allow_methods=None),
    "anybody": Policy(allow_origins="*", allow_headers="*", allow_methods=["GET"]),
    "callable": POLICY.override(allow_origins=is_page),
    "failing": POLICY.override(allow_origins=fails),
}


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    own = [("Content-Type", "text/plain"), ("Access-Control-Allow-Origin", "*"), ("Vary", "Accept")]
    start_response("200 OK", own)
    return [b"hello"]


class Failing(BaseConverter):
    def to_python(self, value: str) -> Any:
        fails()


def make_flask_app(policy: Policy, *, debug: bool | None = None) -> Flask:
    app = Flask("app", static_folder=None)
    app.debug = debug is not None
    app.logger.disabled = True  # it has the page with status 500
    app.url_map.converters["failing"] = Failing
    for rule in ("/", f"/{SECRET}/<x>", "/late", "/converter/<failing:x>", "/slash/"):
        app.add_url_rule(rule, rule, lambda **_: "hello", methods=["GET", "PUT"])
    app.add_url_rule("/error", "error", fails)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    Preflight(app, debug=debug, **{name: getattr(policy, name) for name in FIELDS})
    ask(app, request("/", None))
    app.view_functions["/late"] = cors_route(allow_origins="*", allow_credentials=True, expose_headers="*")(
        lambda: "late"
    )
    return app


EDGES: dict[str, Callable[[Policy], WSGIApplication]] = {
    "middleware": lambda policy: PreflightMiddleware(hello, policy),
    "by_path": lambda policy: PreflightMiddleware(hello, by_path({"/": policy, f"/{SECRET}": Policy()})),
    "flask": make_flask_app,
    "flask, debug=False": lambda policy: make_flask_app(policy, debug=False),
}


def request(path: str, origin: str | None, method: str = "GET", **more: str) -> WSGIEnvironment:
    sent = {} if origin is None else {"HTTP_ORIGIN": origin}
    server = {"SERVER_NAME": "backend.com", "SERVER_PORT": "80", "HTTP_HOST": "backend.com", "wsgi.url_scheme": "http"}
    return {
        **server,
        **sent,
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        **more,
    }


def preflight(path: str, origin: str, method: str, headers: str = "") -> WSGIEnvironment:
    asked = {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": method, "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": headers}
    return request(path, origin, "OPTIONS", **asked)


PATHS = ("/", f"/{SECRET}/1", "/late", "/converter/1", "/slash", "/missing", "/error")
ORIGINS = {
    "listed": PAGE,
    "stranger": "https://evil.com",
    "another port": "http://localhost:3001",
    "another scheme": f"http://{SECRET}.example",
    "www": f"https://www.{SECRET}.example.org",
    "null": "null",
    "malformed": f"{PAGE}/",
    "empty": "",
    "too long": "https://" + "a" * 400,
}
METHODS = ("GET", "PUT", "DELETE", "put", "TRACE", "*", "")
HEADERS = ("", "x-other", "authorization", "x y", "*", "," * 200)
PREFLIGHTS = [
    *(preflight(*asked) for asked in itertools.product(PATHS, ORIGINS.values(), ["PUT"])),
    *(preflight(*asked) for asked in itertools.product(PATHS, [PAGE], METHODS)),
    *(preflight(*asked) for asked in itertools.product(PATHS, [PAGE], ["GET"], HEADERS)),
]
REQUESTS = [request(*asked) for asked in itertools.product(PATHS, ORIGINS.values(), ("GET", "DELETE"))]


class Answer(NamedTuple):
    """A response to its last byte."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def ask(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
        started[:] = status, headers
        return print

    body = app(environ.copy(), start_response)
    content = b"".join(body)
    getattr(body, "close", lambda: None)()
    status, headers = started
    return Answer(status, headers, content)


@contextmanager
def refusals() -> Iterator[list[Reason]]:
    """The reasons of all refusals, as signals tell them."""
    reasons: list[Reason] = []

    def receive(_: object, decision: Decision, environ: WSGIEnvironment) -> None:
        assert decision.reason is not None
        reasons.append(decision.reason)

    with preflight_refused.connected_to(receive), request_refused.connected_to(receive):
        yield reasons


both_edges = pytest.mark.parametrize("edge", EDGES)
each_policy = pytest.mark.parametrize("policy", POLICIES)

# ---------------------------------------------------------------------------------------
# What is answered
# ---------------------------------------------------------------------------------------

REFUSED = Answer(
    "403 Forbidden",
    [
        ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "32"),
    ],
    b"This CORS preflight is refused.\n",
)
OF_PREFLIGHTS = {*Reason} - {Reason.CREDENTIALS_NOT_ALLOWED}
OF_ROUTES = {Reason.ROUTING_FAILED, Reason.POLICY_INVALID, Reason.METHOD_NOT_ROUTED}


@both_edges
@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO], ids=["default log", "log at INFO"])
def test_all_refused_preflights_get_one_answer(edge: str, level: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(level, "flask_preflight")
    told = set[Reason]()
    for policy in POLICIES.values():
        app = EDGES[edge](policy)
        for environ in PREFLIGHTS:
            alone = ask(app, environ)
            with refusals() as reasons:
                answer = ask(app, {**environ, "flask_preflight.refusals": []})
            assert answer == alone, "signals and lists change no answer"
            assert (alone == REFUSED) == bool(reasons), environ
            told.update(reasons)
    assert told == OF_PREFLIGHTS - (set() if "flask" in edge else OF_ROUTES)


@both_edges
@each_policy
def test_a_refused_request_gets_what_it_gets_where_nobody_is_allowed(policy: str, edge: str) -> None:
    app, closed = EDGES[edge](POLICIES[policy]), EDGES[edge](Policy())
    count = 0
    for environ in REQUESTS:
        alone = ask(app, environ)
        with refusals() as reasons:
            answer = ask(app, {**environ, "flask_preflight.refusals": []})
        assert answer == alone, "signals and lists change no answer"
        if reasons:
            assert alone == ask(closed, environ)
            assert alone == ask(app, {**environ, "HTTP_ORIGIN": "https://another.example"})
            count += 1
    assert (count > 0) == (policy != "anybody" or edge != "middleware")


@both_edges
@each_policy
def test_cookies_change_no_answer(policy: str, edge: str, caplog: pytest.LogCaptureFixture) -> None:
    """An allowed page learns from its browser that they were in vain, and the developer from the log."""
    caplog.set_level(logging.INFO, "flask_preflight")
    app = EDGES[edge](POLICIES[policy])
    told: list[str] = []
    for environ in REQUESTS:
        with_cookie = {**environ, "HTTP_COOKIE": "a=1", "flask_preflight.refusals": told}
        assert ask(app, environ) == ask(app, with_cookie)
    has_reason = any(line.startswith(Reason.CREDENTIALS_NOT_ALLOWED.value) for line in told)
    assert has_reason == (policy in {"listed", "routes", "anybody", "callable"})


@both_edges
@each_policy
def test_nothing_secret_is_sent_to_strangers(policy: str, edge: str) -> None:
    app = EDGES[edge](POLICIES[policy])
    for environ in [*PREFLIGHTS, *REQUESTS]:
        if SECRET not in environ["HTTP_ORIGIN"]:
            status, headers, body = ask(app, environ)
            assert SECRET not in f"{status} {headers} {body!r}".lower().replace(environ["PATH_INFO"], ""), environ


# ---------------------------------------------------------------------------------------
# What is done
# ---------------------------------------------------------------------------------------


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is called to put a refusal into words, or to log it."""
    done: list[str] = []

    def watch(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def watched(*args: Any, **rest: Any) -> Any:
            done.append(name)
            return function(*args, **rest)

        monkeypatch.setattr(owner, name, watched)

    for module in (explain, journal, wsgi):
        for name in ("explain", "nearest_origin", "refusal_line", "debug_header", "debug_answer"):
            if hasattr(module, name):
                watch(module, name)
    watch(PolicyTable, "rule_of")
    watch(AppState, "setting_of")
    watch(logging.Logger, "makeRecord")
    return done


@both_edges
@each_policy
def test_nothing_is_put_into_words_where_nobody_listens(
    policy: str, edge: str, done: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    app = EDGES[edge](POLICIES[policy])
    caplog.set_level(logging.CRITICAL, "flask_preflight")
    done.clear()
    for environ in [*PREFLIGHTS, *REQUESTS]:
        ask(app, environ)
    assert done == []
    caplog.set_level(logging.INFO, "flask_preflight")
    ask(app, preflight("/missing", "https://evil.com", "PUT\n"))
    assert {"explain", "makeRecord"} <= {*done}, "where the log is on, it is noticed here"


STRANGERS = [origin for name, origin in ORIGINS.items() if name not in {"listed", "too long"}]


@both_edges
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda origin: preflight("/", origin, "PUT"), id="preflight"),
        pytest.param(lambda origin: request("/", origin), id="request"),
    ],
)
def test_it_takes_as_much_work_to_refuse_a_neighbour_as_a_stranger(
    make: Callable[[str], WSGIEnvironment], edge: str
) -> None:
    """Counted in lines of code. How near an origin is to a listed one is looked up for explanations only."""
    app = EDGES[edge](POLICY.override(allow_origins=[text for text in LISTED if "*" not in text]))
    ask(app, make(STRANGERS[0]))
    taken = {origin: operations(lambda: ask(app, make(origin))) for origin in STRANGERS}  # noqa: B023 - called at once
    assert len({*taken.values()}) == 1, taken
