"""Flask's door: middleware inside the extension decides which view a request reaches, and preflights leave no trace."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import flask
import pytest
from flask import Flask, Request, Response, g, request
from flask.sessions import SecureCookieSessionInterface
from numbered_views import APP_WIDE, Row, check, new_app, view
from pages import PAGE, STRANGER, Answer, granted, preflight, readable, send
from test_routes import builds_environ, copies_environ, moves_prefix
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import create_environ, run_wsgi_app

from flask_preflight import Preflight, cors_exempt

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Middleware = Callable[["WSGIApplication"], "WSGIApplication"]


def protected(middleware: Middleware | None = None, app: Flask | None = None) -> Flask:
    """An app with *middleware* inside the extension. Its views have the numbers that their paths end with."""
    app = app or new_app(protected=False)
    for path in ("/1", "/budget/2", "/2", "/3"):
        app.put(path, endpoint=path)(view(int(path[-1])))
    app.route("/exempt", methods=["PUT", "OPTIONS"], endpoint="exempt")(cors_exempt(lambda: "exempt"))
    if middleware is not None:
        vars(app)["wsgi_app"] = middleware(app.wsgi_app)
    Preflight(app, allow_origins=[PAGE])
    return app


# ---------------------------------------------------------------------------------------
# The stand-in for Flask's context and response
# ---------------------------------------------------------------------------------------


class NeedsAppContext(Response):
    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.headers["X-Id"] = g.get("id", "none")


class NeedsRequest(Response):
    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.headers["X-Path"] = request.path


def with_response_class(response_class: type[Response]) -> Flask:
    app = new_app(protected=False)
    app.response_class = response_class
    return protected(moves_prefix, app)


class Moving(Flask):
    """Moves the prefix in a ``wsgi_app`` of its own."""

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        return moves_prefix(self.handle)(environ, start_response)

    def handle(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        raise NotImplementedError


class LooksAtContext(Moving):
    def handle(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        context: Any = self.request_context(environ)
        assert context.request.path == environ["PATH_INFO"]
        context.start = 1.0
        try:
            context.push()
            assert (context.start, context.request.environ) == (1.0, environ)
            return self.full_dispatch_request()(environ, start_response)
        finally:
            context.pop()


class EntersContext(Moving):
    def handle(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        with self.request_context(environ):
            return self.full_dispatch_request()(environ, start_response)


def enters_context_first(app: Flask) -> Middleware:
    def middleware(inner: WSGIApplication) -> WSGIApplication:
        def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            with app.request_context(environ):
                assert request.path == environ["PATH_INFO"]
            return inner(environ, start_response)

        return moves_prefix(handle)

    return middleware


def with_context_first() -> Flask:
    app = new_app(protected=False)
    return protected(enters_context_first(app), app)


STAND_INS: dict[str, Callable[[], Flask]] = {
    "a middleware": lambda: protected(moves_prefix),
    "a response class that needs the app context": lambda: with_response_class(NeedsAppContext),
    "a response class that needs the request": lambda: with_response_class(NeedsRequest),
    "wsgiref.validate": lambda: protected(lambda app: moves_prefix(validator(app))),
    "LintMiddleware": lambda: protected(lambda app: moves_prefix(LintMiddleware(app))),
    "LintMiddleware in wsgiref.validate": lambda: protected(lambda app: moves_prefix(validator(LintMiddleware(app)))),
    "a wsgi_app that looks at the context": lambda: protected(app=LooksAtContext(__name__, static_folder=None)),
    "a wsgi_app that enters the context": lambda: protected(app=EntersContext(__name__, static_folder=None)),
    "a middleware that enters the context before": with_context_first,
}

ENTERING = {"a wsgi_app that enters the context", "a middleware that enters the context before"}


@pytest.mark.parametrize("build", STAND_INS.values(), ids=STAND_INS)
def test_the_stand_in_passes_for_flask(build: Callable[[], Flask], caplog: pytest.LogCaptureFixture) -> None:
    """Warnings are errors, and a failed assertion is logged as a failure of the middleware."""
    app = build()
    for _ in range(2):
        check(app, Row("PUT /budget/1", 1, "OPTIONS, PUT"))
        check(app, Row("GET /budget/1", APP_WIDE, "", 405))
        check(app, Row("PUT /budget/missing", APP_WIDE, "PUT", 404))
        for method in ("", "*", "P UT"):
            assert preflight(app, method, "/budget/1").status == 403
        assert preflight(app, "PUT", "/budget/exempt")[:2] == (200, {})
        assert send(app, "PUT", "/budget/exempt") == Answer(200, {}, "exempt")
    gc.collect()  # `validator` complains of bodies that were not closed
    assert caplog.messages == []


SIGNALS = (
    flask.appcontext_popped,
    flask.appcontext_pushed,
    flask.appcontext_tearing_down,
    flask.got_request_exception,
    flask.request_finished,
    flask.request_started,
    flask.request_tearing_down,
)


def record_traces(app: Flask) -> tuple[list[str], object]:
    """The list of what runs in *app* for a request; the second value keeps the receivers of signals alive."""
    seen: list[str] = []

    class Sessions(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: Request) -> Any:
            seen.append("open_session")
            return super().open_session(app, request)

    def after(response: Response) -> Response:
        seen.append("after_request")
        return response

    app.session_interface = Sessions()
    app.before_request(lambda: seen.append("before_request"))
    app.after_request(after)
    app.teardown_request(lambda _: seen.append("teardown_request"))
    app.teardown_appcontext(lambda _: seen.append("teardown_appcontext"))
    receivers = [functools.partial(lambda name, *_, **__: seen.append(name), signal.name) for signal in SIGNALS]
    for signal, receiver in zip(SIGNALS, receivers, strict=True):
        signal.connect(receiver, app)
    return seen, receivers


OF_THE_CONTEXT = {"open_session", "teardown_request", "teardown_appcontext", "request-tearing-down"}


@pytest.mark.parametrize("name", STAND_INS)
def test_nothing_of_the_app_runs_for_a_preflight(name: str) -> None:
    """Middleware that enters the context itself runs what belongs to the context, and no more."""
    app = STAND_INS[name]()
    seen, _ = record_traces(app)
    for path in ("/budget/1", "/budget/missing", "/budget/1/"):
        for method in ("PUT", "DELETE"):
            for origin in (PAGE, STRANGER):
                preflight(app, method, path, origin=origin)
    allowed = OF_THE_CONTEXT | {each for each in seen if each.startswith("appcontext")} if name in ENTERING else set()
    assert set(seen) <= allowed
    seen.clear()
    assert send(app, "PUT", "/budget/1").status == 200
    assert {"open_session", "before_request", "teardown_request", "request-started"} <= set(seen)


# ---------------------------------------------------------------------------------------
# Middleware that calls Flask, or the whole app, several times
# ---------------------------------------------------------------------------------------

Change = Callable[["WSGIEnvironment", str], "WSGIEnvironment"]


def changed(environ: WSGIEnvironment, path: str) -> WSGIEnvironment:
    environ["PATH_INFO"] = path
    return environ


def copied(environ: WSGIEnvironment, path: str) -> WSGIEnvironment:
    return {**environ, "PATH_INFO": path}


def built_anew(environ: WSGIEnvironment, path: str) -> WSGIEnvironment:
    """Only what PEP 3333 names, and headers."""
    kept = {key: value for key, value in environ.items() if key.isupper() or key.startswith("wsgi.")}
    return {**kept, "PATH_INFO": path}


CHANGES: list[Change] = [changed, copied, built_anew]


def calls_all(paths: list[str], change: Change) -> Middleware:
    """A middleware that asks the app for each of *paths*, and returns the last response."""

    def middleware(app: WSGIApplication) -> WSGIApplication:
        def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            *others, last = paths
            for path in others:
                run_wsgi_app(app, change(environ, path))
            return app(change(environ, last), start_response)

        return handle

    return middleware


def calls_until_found(paths: list[str], change: Change) -> Middleware:
    """A middleware that asks the app for each of *paths*, and returns the first response that is no 404."""

    def middleware(app: WSGIApplication) -> WSGIApplication:
        def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            answers = (run_wsgi_app(app, change(environ, path)) for path in paths)
            body, status, headers = next(answer for answer in answers if not answer[1].startswith("404"))
            start_response(status, [*headers])
            return body

        return handle

    return middleware


def generating(middleware: Middleware) -> Middleware:
    """The same as a generator function, which calls the app when its body is read."""

    def wrap(app: WSGIApplication) -> WSGIApplication:
        def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
            body = middleware(app)(environ, start_response)
            try:
                yield from body
            finally:
                getattr(body, "close", lambda: None)()

        return handle

    return wrap


@pytest.mark.parametrize(
    ("paths", "row"),
    [
        pytest.param(["/1"], Row("PUT /3", 1, "OPTIONS, PUT"), id="one"),
        pytest.param(["/2", "/1"], Row("PUT /3", 1, "OPTIONS, PUT"), id="two views"),
        pytest.param(["/1", "/2"], Row("PUT /3", 2, "OPTIONS, PUT"), id="the other order"),
        pytest.param(["/1", "/missing"], Row("PUT /3", APP_WIDE, "PUT", 404), id="no route last"),
        pytest.param(["/missing", "/1"], Row("PUT /3", 1, "OPTIONS, PUT"), id="no route first"),
        pytest.param(["/exempt", "/1"], Row("PUT /3", 1, "OPTIONS, PUT"), id="an exempt view first"),
    ],
)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("is_late", [False, True], ids=["function", "generator"])
def test_of_several_calls_the_last_one_counts(is_late: bool, change: Change, paths: list[str], row: Row) -> None:
    middleware = calls_all(paths, change)
    app = protected(generating(middleware) if is_late else middleware)
    for _ in range(2):
        check(app, row)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_middleware_that_looks_for_a_page_finds_the_same_one_for_a_preflight(change: Change) -> None:
    """As with localised pages: the page in the language of the user, else the plain one."""
    app = protected(calls_until_found(["/missing", "/1", "/2"], change))
    check(app, Row("PUT /3", 1, "OPTIONS, PUT"))


def test_of_several_calls_the_last_one_counts_where_it_is_exempt() -> None:
    app = protected(calls_all(["/1", "/exempt"], copied))
    assert preflight(app, "PUT", "/3")[:2] == (200, {})
    assert send(app, "PUT", "/3") == Answer(200, {}, "exempt")


def redirects_inside(app: Flask, change: Change) -> Middleware:
    """A middleware that passes ``/old/...`` to the whole app again, without the prefix."""

    def middleware(inner: WSGIApplication) -> WSGIApplication:
        def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            path = environ["PATH_INFO"]
            if path.startswith("/old/"):
                return app.wsgi_app(change(environ, path.removeprefix("/old")), start_response)
            return inner(environ, start_response)

        return handle

    return middleware


@pytest.mark.parametrize(
    "row",
    [
        Row("PUT /old/1", 1, "OPTIONS, PUT"),
        Row("PUT /old/old/2", 2, "OPTIONS, PUT"),
        Row("PUT /old/missing", APP_WIDE, "PUT", 404),
        Row("PUT /old/exempt/", APP_WIDE, "PUT", 404),
        Row("GET /old/1", APP_WIDE, "", 405),
        Row("PUT /1", 1, "OPTIONS, PUT"),
    ],
    ids=lambda row: row.request,
)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("is_late", [False, True], ids=["function", "generator"])
def test_a_middleware_may_call_the_whole_app_again(is_late: bool, change: Change, row: Row) -> None:
    app = new_app(protected=False)
    middleware = redirects_inside(app, change)
    protected(generating(middleware) if is_late else middleware, app)
    for _ in range(2):
        check(app, row)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_middleware_may_call_the_whole_app_again_for_an_exempt_view(change: Change) -> None:
    app = new_app(protected=False)
    protected(redirects_inside(app, change), app)
    assert preflight(app, "PUT", "/old/exempt")[:2] == (200, {})
    assert send(app, "PUT", "/old/exempt") == Answer(200, {}, "exempt")


@pytest.mark.parametrize("middleware", [moves_prefix, copies_environ, builds_environ], ids=lambda each: each.__name__)
@pytest.mark.parametrize("is_late", [False, True], ids=["function", "generator"])
def test_the_view_that_flask_reaches_decides(is_late: bool, middleware: Middleware) -> None:
    app = protected(generating(middleware) if is_late else middleware)
    for _ in range(2):
        check(app, Row("PUT /budget/1", 1, "OPTIONS, PUT"))
        check(app, Row("PUT /budget/2", 2, "OPTIONS, PUT"))
        check(app, Row("PUT /3", 3, "OPTIONS, PUT"))


@pytest.mark.parametrize("middleware", [moves_prefix, copies_environ, builds_environ], ids=lambda each: each.__name__)
def test_another_request_that_a_view_dispatches_does_not_count(middleware: Middleware) -> None:
    app = new_app(protected=False)

    @app.put("/dispatching")
    def dispatching() -> str:
        with app.test_request_context("/1", method="PUT"):
            return app.full_dispatch_request().get_data(as_text=True)

    protected(middleware, app)
    assert send(app, "PUT", "/dispatching") == Answer(200, readable(), "1")


# ---------------------------------------------------------------------------------------
# The inner response: started once, read no further than needed, closed once
# ---------------------------------------------------------------------------------------


class Body:
    """A body that counts how often it is closed, and may fail."""

    def __init__(self, *chunks: bytes | BaseException) -> None:
        self.chunks = iter(chunks)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self.chunks)
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    def close(self) -> None:
        self.closed += 1


class NoIterator(Body):
    def __iter__(self) -> Iterator[bytes]:
        raise LookupError("no iterator")


def ask(app: WSGIApplication, path: str, **headers: str) -> tuple[list[tuple[Any, ...]], bytes]:
    """Send a preflight as a server does; what ``start_response`` was called with, and the body."""
    sent = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", **headers}
    started: list[tuple[Any, ...]] = []
    body = app(create_environ(path, method="OPTIONS", headers=sent), lambda *args: started.append(args) or bytes)  # type: ignore[func-returns-value]
    try:
        return started, b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()


@pytest.mark.parametrize(
    ("body", "is_logged"),
    [
        pytest.param(lambda: Body(LookupError("late")), True, id="the first chunk fails"),
        pytest.param(lambda: Body(b"", LookupError("late")), True, id="the second chunk fails"),
        pytest.param(lambda: NoIterator(), True, id="no iterator"),
        pytest.param(lambda: Body(), False, id="no chunk"),
        pytest.param(lambda: Body(b"", b""), False, id="empty chunks"),
        pytest.param(lambda: Body(b"chunk", LookupError("not read")), False, id="a chunk without a start"),
    ],
)
def test_a_body_is_closed_once_also_if_it_fails(
    body: Callable[[], Body], is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """None of these middlewares reaches Flask or starts a response, so the environ at hand decides."""
    inner = body()
    app = protected(lambda _: lambda environ, start_response: inner)
    assert preflight(app, "PUT", "/1") == granted("OPTIONS, PUT", max_age="1")
    assert inner.closed == 1
    assert [record.levelname for record in caplog.records] == ["ERROR"] * is_logged


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()], ids=repr)
def test_a_body_that_ends_the_process_is_closed_too(error: BaseException) -> None:
    inner = Body(error)
    app = protected(lambda _: lambda environ, start_response: inner)
    with pytest.raises(type(error)):
        ask(app, "/1")
    assert inner.closed == 1


class Wrapped(Body):
    """The body of an app, which is closed with this one."""

    def __init__(self, body: Iterable[bytes]) -> None:
        super().__init__()
        self.body = body
        self.chunks = iter(body)

    def close(self) -> None:
        super().close()
        getattr(self.body, "close", lambda: None)()


START: tuple[str, list[tuple[str, str]]] = ("200 OK", [("Content-Type", "text/plain"), ("X-Early", "1")])


def starts_early(app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response(*START)
    return iter(app(environ, lambda *_: bytes))


def starts_late(app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    body = app(environ, lambda *_: bytes)
    start_response(*START)
    yield from body


def starts_after_an_empty_chunk(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterator[bytes]:
    yield b""
    yield from starts_late(app, environ, start_response)


def starts_early_in_a_generator(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterator[bytes]:
    yield b""
    start_response(*START)
    yield from app(environ, lambda *_: bytes)


def starts_again(app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("500 Not Yet", [])
    body = iter(app(environ, lambda *_: bytes))
    try:
        raise LookupError
    except LookupError:
        start_response(*START, sys.exc_info())
    return body


STARTS: list[Callable[..., Iterator[bytes]]] = [
    starts_early,
    starts_late,
    starts_after_an_empty_chunk,
    starts_early_in_a_generator,
    starts_again,
]


def starting(start: Callable[..., Iterator[bytes]], bodies: list[Wrapped]) -> Flask:
    def middleware(app: WSGIApplication) -> WSGIApplication:
        def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Body:
            bodies.append(Wrapped(start(app, environ, start_response)))
            return bodies[-1]

        return handle

    return protected(middleware)


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.__name__)
def test_a_response_that_a_middleware_starts_goes_out_for_an_exempt_view(start: Callable[..., Iterator[bytes]]) -> None:
    """Whether it starts before or after Flask is called, when the layer does not yet know that the view is exempt."""
    bodies: list[Wrapped] = []
    app = starting(start, bodies)
    for count in range(1, 3):
        started, body = ask(app, "/exempt")
        assert started[-1][:2] == START
        assert len(started) in ({1, 2} if start is starts_again else {1})
        assert body == b"exempt"
        assert [each.closed for each in bodies] == [1] * count


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.__name__)
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/1", granted("OPTIONS, PUT", max_age="1"), id="granted"),
        pytest.param("/missing", granted("PUT"), id="no route"),
    ],
)
def test_a_response_that_a_middleware_starts_is_discarded_for_other_views(
    path: str, expected: Answer, start: Callable[..., Iterator[bytes]]
) -> None:
    bodies: list[Wrapped] = []
    app = starting(start, bodies)
    assert preflight(app, "PUT", path) == expected
    started, body = ask(app, path)
    assert ([status for status, *_ in started], body) == (["204 No Content"], b"")
    assert [each.closed for each in bodies] == [1, 1]


# ---------------------------------------------------------------------------------------
# What servers and middleware may do differently
# ---------------------------------------------------------------------------------------


def names_its_arguments(app: WSGIApplication) -> WSGIApplication:
    def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, headers, exc_info=exc_info)  # type: ignore[call-arg]

        return app(environ, start)

    return handle


@pytest.mark.parametrize("is_late", [False, True], ids=["function", "generator"])
def test_exc_info_may_be_passed_by_its_name(is_late: bool) -> None:
    app = protected(generating(names_its_arguments) if is_late else names_its_arguments)
    check(app, Row("PUT /1", 1, "OPTIONS, PUT"))
    assert preflight(app, "PUT", "/exempt")[:2] == (200, {})
    assert send(app, "PUT", "/exempt") == Answer(200, {}, "exempt")


def writes(app: WSGIApplication) -> WSGIApplication:
    """A middleware that sends a body by the callable that ``start_response`` returns."""

    def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = app(environ, lambda *_: lambda _: None)
        getattr(body, "close", lambda: None)()
        start_response("200 OK", [("Content-Type", "text/plain")])(b"written")
        return []

    return handle


def test_what_inner_middleware_writes_is_discarded() -> None:
    assert preflight(protected(writes), "PUT", "/1") == granted("OPTIONS, PUT", max_age="1")


def test_an_exception_of_an_exempt_view_reaches_the_server() -> None:
    def fail() -> str:
        raise LookupError("of the view")

    app = new_app(protected=False)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.route("/fails", methods=["PUT", "OPTIONS"])(cors_exempt(fail))
    protected(moves_prefix, app)
    with pytest.raises(LookupError, match="of the view"):
        preflight(app, "PUT", "/budget/fails")
