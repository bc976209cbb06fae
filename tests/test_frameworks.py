"""Real frameworks behind the middleware: their pages, errors, redirects and streams all carry the headers.

What a framework answers alone is the measure: behind the middleware it answers the same, ``Vary`` and
``Access-Control-*`` aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import bottle
import django.http
import falcon
import flask
import flask.typing
import pytest
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path
from django.views.decorators.http import require_GET
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound, HTTPInternalServerError, HTTPMethodNotAllowed
from pyramid.request import Request
from pyramid.response import Response
from webtest import TestApp

from flask_preflight import Policy, PreflightMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from webtest.response import TestResponse

# What the page "own" says on its own account, and had better left to the middleware
OWN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "DELETE",
    "Access-Control-Expose-Headers": "X-Own",
    "Vary": "*",
}


def parts() -> Iterator[bytes]:
    yield b"part 0\n"
    yield b"part 1\n"


# ---------------------------------------------------------------------------------------
# The same site, once in each framework
# ---------------------------------------------------------------------------------------


def flask_app() -> WSGIApplication:
    app = flask.Flask(__name__)

    @app.get("/page")
    def page() -> flask.Response:
        response = flask.Response("page", headers={"X-Total": "7", "Vary": "Cookie"})
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    @app.get("/broken")
    def broken() -> str:
        raise ValueError("broken on purpose")

    @app.get("/moved")
    def moved() -> flask.typing.ResponseReturnValue:
        return flask.redirect("/page")

    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response(parts())

    @app.get("/own")
    def own() -> flask.Response:
        return flask.Response("own", headers=OWN)

    return app


def bottle_app() -> WSGIApplication:
    app = bottle.Bottle()

    def page() -> str:
        bottle.response.set_header("X-Total", "7")
        bottle.response.set_header("Vary", "Cookie")
        bottle.response.set_cookie("a", "1")
        bottle.response.set_cookie("b", "2")
        return "page"

    def broken() -> str:
        raise ValueError("broken on purpose")

    def moved() -> None:
        bottle.redirect("/page", 302)

    def own() -> bottle.HTTPResponse:
        return bottle.HTTPResponse("own", headers=OWN)

    for callback in (page, broken, moved, own):
        app.route(f"/{callback.__name__}", "GET", callback)
    app.route("/stream", "GET", parts)
    return app  # type: ignore[no-any-return]  # it ships no types


class FalconPage:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.text = "page"
        response.set_header("X-Total", "7")
        response.append_header("Vary", "Cookie")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")


class FalconBroken:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        raise ValueError("broken on purpose")


class FalconMoved:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        raise falcon.HTTPFound("/page")


class FalconStream:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.stream = parts()


class FalconOwn:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.text = "own"
        response.set_headers(OWN)


def falcon_app() -> WSGIApplication:
    app = falcon.App()
    app.add_route("/page", FalconPage())
    app.add_route("/broken", FalconBroken())
    app.add_route("/moved", FalconMoved())
    app.add_route("/stream", FalconStream())
    app.add_route("/own", FalconOwn())
    return app  # type: ignore[return-value]  # falcon's own idea of start_response is narrower than typeshed's


def pyramid_app() -> WSGIApplication:
    def page(request: Request) -> Response:
        if request.method != "GET":
            raise HTTPMethodNotAllowed
        response = Response("page", headerlist=[("Content-Type", "text/html; charset=UTF-8"), ("X-Total", "7")])
        response.vary = ["Cookie"]
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    def broken(request: Request) -> Response:
        raise ValueError("broken on purpose")

    def moved(request: Request) -> Response:
        return HTTPFound("/page")

    def stream(request: Request) -> Response:
        return Response(app_iter=parts())

    def own(request: Request) -> Response:
        return Response(b"own", headerlist=[("Content-Type", "text/plain"), *OWN.items()])

    def error_page(error: Exception, request: Request) -> Response:
        return HTTPInternalServerError()

    config = Configurator()
    for view in (page, broken, moved, stream, own):
        config.add_route(view.__name__, f"/{view.__name__}")
        config.add_view(view, route_name=view.__name__)
    # Without one, Pyramid lets exceptions through to the server, which knows nothing of CORS.
    config.add_exception_view(error_page, context=Exception)
    return config.make_wsgi_app()  # type: ignore[no-any-return]  # it ships no types


def django_app() -> WSGIApplication:
    def page(request: django.http.HttpRequest) -> django.http.HttpResponse:
        response = django.http.HttpResponse(b"page", headers={"X-Total": "7", "Vary": "Cookie"})
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    def broken(request: django.http.HttpRequest) -> django.http.HttpResponse:
        raise ValueError("broken on purpose")

    def moved(request: django.http.HttpRequest) -> django.http.HttpResponse:
        return django.http.HttpResponseRedirect("/page")

    def stream(request: django.http.HttpRequest) -> django.http.StreamingHttpResponse:
        return django.http.StreamingHttpResponse(parts())

    def own(request: django.http.HttpRequest) -> django.http.HttpResponse:
        return django.http.HttpResponse(b"own", headers=OWN)

    views = (page, broken, moved, stream, own)
    settings.configure(
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        ROOT_URLCONF=tuple(path(view.__name__, require_GET(view)) for view in views),
    )
    return get_wsgi_application()  # type: ignore[no-any-return]  # it ships no types


FRAMEWORKS: dict[str, Callable[[], WSGIApplication]] = {
    "flask": flask_app,
    "django": django_app,
    "bottle": bottle_app,
    "falcon": falcon_app,
    "pyramid": pyramid_app,
}


@cache  # Django can be configured once in a process
def framework(name: str) -> WSGIApplication:
    return validator(FRAMEWORKS[name]())


# ---------------------------------------------------------------------------------------
# The stories
# ---------------------------------------------------------------------------------------

POLICY = Policy(
    allow_origins=["https://frontend.com"],
    allow_methods=["GET", "PUT"],
    allow_headers=["Authorization"],
    expose_headers=["X-Total"],
    allow_credentials=True,
)
VARY_PREFLIGHT = ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")

# story: (request line, status, what is exposed, Vary behind the middleware)
STORIES = {
    "page": ("GET /page", 200, "X-Total", "Cookie, Origin"),
    "404": ("GET /missing", 404, "X-Total", "Origin"),
    "405": ("POST /page", 405, "X-Total", "Origin"),
    "500": ("GET /broken", 500, "X-Total", "Origin"),
    "redirect": ("GET /moved", 302, "X-Total", "Origin"),
    "stream": ("GET /stream", 200, "X-Total", "Origin"),
    "own-headers": ("GET /own", 200, "X-Total, X-Own", "*"),
}
# Falcon's error pages are in JSON or XML, as the client likes.
FALCON_ERRORS = ("404", "405", "500")


class Counting:
    """An app that counts how often it is asked."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app
        self.calls = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.calls += 1
        return self.app(environ, start_response)


def ask(app: WSGIApplication, request_line: str, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
    """Ask through WebTest, which checks both sides against PEP 3333; header names come in lower case, sorted."""
    method, target = request_line.split()
    client: TestApp[Any] = TestApp(app)
    response: TestResponse = client.request(target, method=method, headers=headers, expect_errors=True)
    return response.status_int, sorted((key.lower(), value) for key, value in response.headers.items()), response.body


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        pytest.param("https://frontend.com", True, id="allowed"),
        pytest.param("https://evil.example", False, id="refused"),
        pytest.param(None, False, id="no-origin"),
    ],
)
def test_whatever_the_framework_answers_carries_the_headers(
    name: str, story: str, origin: str | None, is_allowed: bool
) -> None:
    request_line, status, exposed, vary = STORIES[story]
    if name == "falcon" and story in FALCON_ERRORS:
        vary = "Accept, Origin"
    headers = {} if origin is None else {"Origin": origin}

    alone_status, alone_headers, alone_body = ask(framework(name), request_line, headers)
    added = [("vary", vary)]
    if is_allowed:
        added += [
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-origin", "https://frontend.com"),
            ("access-control-expose-headers", exposed),
        ]
    untouched = [(key, value) for key, value in alone_headers if not key.startswith(("access-control-", "vary"))]

    assert alone_status == status
    app = PreflightMiddleware(framework(name), POLICY)
    assert ask(app, request_line, headers) == (status, sorted(untouched + added), alone_body)


GRANTED = (
    204,
    [
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-headers", "Authorization"),
        ("access-control-allow-methods", "GET, HEAD, PUT"),
        ("access-control-allow-origin", "https://frontend.com"),
        ("access-control-max-age", "600"),
        ("content-length", "0"),
        VARY_PREFLIGHT,
    ],
    b"",
)
REFUSED = (
    403,
    [("content-length", "32"), ("content-type", "text/plain; charset=utf-8"), VARY_PREFLIGHT],
    b"This CORS preflight is refused.\n",
)


@pytest.mark.parametrize("target", ["/page", "/missing", "/broken", "/moved"])
@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize(
    ("origin", "method", "answer"),
    [
        pytest.param("https://frontend.com", "PUT", GRANTED, id="granted"),
        pytest.param("https://frontend.com", "DELETE", REFUSED, id="method-refused"),
        pytest.param("https://evil.example", "PUT", REFUSED, id="origin-refused"),
    ],
)
def test_preflights_never_reach_the_framework(
    name: str, target: str, origin: str, method: str, answer: tuple[int, list[tuple[str, str]], bytes]
) -> None:
    counting = Counting(framework(name))
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization",
    }
    assert ask(PreflightMiddleware(counting, POLICY), f"OPTIONS {target}", headers) == answer
    assert counting.calls == 0


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_other_options_requests_are_the_frameworks(name: str) -> None:
    counting = Counting(framework(name))
    status, _, body = ask(counting, "OPTIONS /page", {})
    behind = ask(PreflightMiddleware(counting, POLICY), "OPTIONS /page", {"Origin": "https://frontend.com"})
    assert (behind[0], behind[2]) == (status, body)
    assert ("access-control-allow-origin", "https://frontend.com") in behind[1]
    assert counting.calls == 2
