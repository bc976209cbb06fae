"""Which policy a response gets: that of the rule which Flask matched, however and wherever the response is made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response, abort, redirect, request
from flask.sessions import SecureCookieSessionInterface
from numbered_views import APP_WIDE, Row, check, new_app, numbered, view
from pages import PAGE, VARY, Answer, granted, preflight, readable, send
from test_routes import (
    TABLE,
    blueprints,
    builds_environ,
    copies_environ,
    methods_split_within_one_view,
    moves_prefix,
    redirects,
    slashes,
)
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import create_environ

from flask_preflight import Policy, Preflight, PreflightMiddleware, cors_exempt, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# PEP 3333 allows any method, but the checker in `wsgiref.validate` warns of unknown ones.
pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")


# ---------------------------------------------------------------------------------------
# What views answer
# ---------------------------------------------------------------------------------------


def test_redirects_that_a_view_returns_have_its_policy() -> None:
    app = new_app()
    app.put("/x")(numbered(1)(lambda: redirect("/y", 307)))
    app.put("/y")(view(2))
    check(app, Row("PUT /x", 1, "OPTIONS, PUT", 307))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 418, 500])
def test_errors_that_a_view_raises_have_its_policy(status: int) -> None:
    app = new_app()
    app.put("/x")(numbered(1)(lambda: abort(status)))
    check(app, Row("PUT /x", 1, "OPTIONS, PUT", status))


def test_exempt_views_answer_as_they_do_without_the_extension() -> None:
    def build(*, protected: bool) -> Flask:
        app = new_app(protected=protected)
        app.put("/x")(view(1))
        app.get("/x")(view(2))

        @app.delete("/x")
        @cors_exempt
        def own() -> tuple[str, dict[str, str]]:
            return "", {"Access-Control-Allow-Origin": "https://own.example", "Vary": "Accept"}

        app.add_url_rule("/hop", "hop", redirect_to="/x", methods=["DELETE"])
        return app

    app, plain = build(protected=True), build(protected=False)
    for path in ("/x", "/hop"):
        assert preflight(app, "DELETE", path) == preflight(plain, "DELETE", path)
        assert send(app, "DELETE", path) == send(plain, "DELETE", path)


def test_vary_is_on_every_response_without_origin_too() -> None:
    app = new_app()
    app.put("/x")(view(1))
    for path, status in (("/x", 200), ("/missing", 404)):
        assert send(app, "PUT", path, origin=None)[:2] == (status, VARY)


@pytest.mark.parametrize("change", [{"PATH_INFO": "/other"}, {"REQUEST_METHOD": "DELETE"}], ids=str)
@pytest.mark.parametrize("row", [Row("PUT /x", 1, "OPTIONS, PUT"), Row("PUT /no-put", APP_WIDE, "", 405)])
def test_what_the_app_changes_in_the_environ_of_its_request_does_not_count(row: Row, change: dict[str, str]) -> None:
    app = new_app()
    app.put("/x")(view(1))
    app.delete("/x")(view(2))
    app.delete("/no-put")(view(3))
    app.put("/other")(view(4))

    @app.after_request
    def change_environ(response: Response) -> Response:
        request.environ.update(change)
        return response

    check(app, row)


def test_an_origin_that_the_app_changes_does_not_count() -> None:
    app = Flask("site")
    app.get("/x")(lambda: "x")

    @app.before_request
    def change() -> None:
        request.environ["HTTP_ORIGIN"] = "https://other.com"

    Preflight(app, allow_origins=[PAGE, "https://other.com"])
    assert send(app, "GET", "/x", origin=None) == Answer(200, VARY, "x")
    for _ in range(2):
        assert send(app, "GET", "/x") == Answer(200, readable(), "x")


class NoSessions(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Any) -> Any:
        raise OSError("the store of sessions is down")


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        pytest.param("/1", 1, id="a view"),
        pytest.param("/2", 2, id="another view"),
        pytest.param("/3", 3, id="a redirect"),
        pytest.param("/missing", APP_WIDE, id="no route"),
    ],
)
@pytest.mark.parametrize("middleware", [None, moves_prefix, copies_environ, builds_environ])
def test_an_error_before_flask_has_matched_has_the_policy_of_the_view(middleware: Any, path: str, owner: int) -> None:
    """Flask opens the session before it matches the request, and makes its error page nevertheless."""
    app = new_app(protected=False)
    app.session_interface = NoSessions()
    app.logger.disabled = True
    for number, url in enumerate(["/1", "/2", "/3/"], 1):
        app.put(url)(view(number))
    app.put("/budget/1", endpoint="outside")(cors_exempt(lambda: ""))
    if middleware is not None:
        vars(app)["wsgi_app"] = middleware(app.wsgi_app)
    Preflight(app, allow_origins=[PAGE])
    if middleware is not None:
        path = f"/budget{path}"
    expected = readable(**({"expose": f"X-{owner}"} if owner else {}))
    for _ in range(2):
        assert send(app, "PUT", path)[:2] == (500, expected)


def test_an_error_before_flask_has_matched_an_exempt_view_is_left_alone() -> None:
    app = new_app()
    app.session_interface = NoSessions()
    app.logger.disabled = True
    app.put("/x")(cors_exempt(lambda: ""))
    assert send(app, "PUT", "/x")[:2] == (500, {})


# ---------------------------------------------------------------------------------------
# Responses that start late, again, or outside of Flask's context
# ---------------------------------------------------------------------------------------


class Deferring:
    """A middleware that calls ``start_response`` after Flask has closed the request's context."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        started: list[Any] = []
        body = self.app(environ, lambda *args: started.append(args) or bytes)  # type: ignore[func-returns-value]
        chunks = list(body)
        getattr(body, "close", lambda: None)()
        start_response(*started[0])
        return chunks


@pytest.mark.parametrize("build", [slashes, blueprints, redirects, methods_split_within_one_view])
def test_the_policy_is_that_of_the_view_without_a_context_too(build: Callable[[], Flask]) -> None:
    app = build()
    layer: Any = vars(app)["wsgi_app"].__self__
    layer.app = Deferring(layer.app)
    for row in TABLE[build]:
        check(app, row)


def test_another_request_context_around_the_call_does_not_count() -> None:
    """As when a view calls its own app, or a test runs inside a context of the app."""
    app = slashes()
    layer: Any = vars(app)["wsgi_app"].__self__
    layer.app = Deferring(layer.app)
    with app.test_request_context("/file", method="PUT"):
        for row in TABLE[slashes]:
            check(app, row)


class Lazy(Response):
    """A response that starts when its body is read: after Flask has closed the request's context."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        yield from super().__call__(environ, start_response)


def test_a_response_that_starts_late_has_the_policy_of_its_own_request() -> None:
    app = new_app()
    app.get("/lazy")(numbered(1)(lambda: Lazy("1")))
    app.put("/other", endpoint="other")(cors_exempt(lambda: ""))
    check(app, Row("GET /lazy", 1, "GET, HEAD, OPTIONS"))
    with app.test_request_context("/other", method="PUT"):
        check(app, Row("GET /lazy", 1, "GET, HEAD, OPTIONS"))


def test_a_response_that_starts_late_inside_another_request_has_its_own_policy() -> None:
    app = new_app()
    app.get("/lazy")(numbered(1)(lambda: Lazy("1")))
    within: list[Answer] = []

    @app.get("/around")
    @numbered(2)
    def around() -> str:
        within.append(send(app, "GET", "/lazy"))
        return "2"

    for _ in range(2):
        assert send(app, "GET", "/around") == Answer(200, readable(expose="X-2"), "2")
    assert within == [Answer(200, readable(expose="X-1"), "1")] * 2


@pytest.mark.parametrize("is_late", [False, True])
def test_a_response_that_starts_again_after_an_error_passes_the_error_on(is_late: bool) -> None:
    class Failing(Response):
        def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            body = self.start_twice(start_response)
            return body if is_late else [*body]

        def start_twice(self, start_response: StartResponse) -> Iterator[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                raise ValueError("too late")
            except ValueError:
                start_response("500 Failed", [("Content-Type", "text/plain")], sys.exc_info())
            yield b"failed"

    app = new_app()
    app.get("/x")(numbered(1)(lambda: Failing()))
    started: list[tuple[Any, ...]] = []
    for _ in range(2):
        body = app(create_environ("/x", headers={"Origin": PAGE}), lambda *start: started.append(start))  # type: ignore[arg-type]
        assert [*body] == [b"failed"]
    assert [(status, len(rest)) for status, _, *rest in started] == [("200 OK", 0), ("500 Failed", 1)] * 2
    assert all(dict(headers)["Access-Control-Expose-Headers"] == "X-1" for _, headers, *_ in started)


# ---------------------------------------------------------------------------------------
# Apps inside an app
# ---------------------------------------------------------------------------------------


def test_an_unprotected_app_mounted_inside_gets_the_policy_of_the_url() -> None:
    """Flask is not reached, so the view counts that the environ outside leads to; if there is none, the app's policy.

    The dispatcher changes the environ, and the app has a view for the changed path too. That one does not count.
    """
    inner = new_app(protected=False)
    inner.put("/x")(view(1))
    app = new_app(protected=False)
    app.put("/x")(cors_exempt(lambda: "2"))
    app.put("/inner/marked")(view(3))
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/inner": inner.wsgi_app})  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE])
    assert preflight(app, "PUT", "/inner/x") == granted("PUT")
    assert send(app, "PUT", "/inner/x") == Answer(200, readable(), "1")
    assert preflight(app, "PUT", "/inner/marked") == granted("OPTIONS, PUT", max_age="3")
    assert send(app, "PUT", "/inner/marked")[:2] == (404, readable(expose="X-3"))


def test_an_app_that_a_view_calls_has_its_own_policy() -> None:
    inner, outer = new_app(), new_app()
    inner.get("/inner")(view(1))

    @outer.get("/outer")
    @numbered(2)
    def call() -> Response:
        with inner.test_client() as client:
            answer = client.get("/inner", headers={"Origin": PAGE})
        assert answer.headers["Access-Control-Expose-Headers"] == "X-1"
        return Response(answer.get_data())

    assert send(outer, "GET", "/outer") == Answer(200, readable(expose="X-2"), "1")


def test_a_view_may_pass_its_request_to_an_app_with_the_same_endpoints() -> None:
    other = Flask("other")
    other.get("/x", endpoint="y")(lambda: "1")

    class PassedOn(Response):
        def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            return other.wsgi_app(environ, start_response)

    app = new_app()
    app.get("/x", endpoint="x")(numbered(1)(lambda: PassedOn()))
    app.get("/y", endpoint="y")(view(2))
    for _ in range(2):
        check(app, Row("GET /y", 2, "GET, HEAD, OPTIONS"))
        check(app, Row("GET /x", 1, "GET, HEAD, OPTIONS"))


def test_an_exempt_view_may_pass_its_request_to_an_app_with_its_own_cors() -> None:
    def plain(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"inner"]

    inner = PreflightMiddleware(plain, Policy(allow_origins=[PAGE], expose_headers=["X-Inner"]))
    app = new_app()

    @app.get("/mount/<path:rest>")
    @cors_exempt
    def mount(rest: str) -> WSGIApplication:
        moved = {**request.environ, "SCRIPT_NAME": "/mount", "PATH_INFO": f"/{rest}"}
        return Response.from_app(inner, moved)

    app.get("/elsewhere")(view(1))
    for path in ("/mount/x", "/mount/elsewhere"):
        assert send(app, "GET", path) == Answer(200, readable(expose="X-Inner"), "inner")


def test_an_error_page_of_an_app_with_its_own_cors_gets_the_policy_of_the_url() -> None:
    """No view runs here, so the outer layer decides."""

    def plain(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"inner"]

    inner = PreflightMiddleware(plain, Policy(allow_origins=[PAGE], expose_headers=["X-Inner"]))
    app = new_app()
    app.register_error_handler(404, lambda error: Response.from_app(inner, request.environ))
    assert send(app, "GET", "/missing") == Answer(404, readable(), "inner")


# ---------------------------------------------------------------------------------------
# Views that are added late, with a bad policy
# ---------------------------------------------------------------------------------------


def test_a_response_of_a_late_view_with_a_bad_policy_has_no_cors_headers(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("site", static_folder=None)
    app.add_url_rule("/late", endpoint="late", methods=["PUT"])
    Preflight(app, allow_origins="*")
    assert send(app, "PUT", "/missing").status == 404
    app.view_functions["late"] = cors_route(allow_credentials=True)(
        lambda: Response("late", headers={"Access-Control-Allow-Origin": "*"})
    )
    for _ in range(2):
        assert send(app, "PUT", "/late") == Answer(200, VARY, "late")
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "The policy of the view 'late' is not valid" in record.getMessage()
    assert "[wildcard-with-credentials]" in record.getMessage()
