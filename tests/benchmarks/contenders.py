"""Who is measured: the same small site with the same policy, with this package, with other packages, and without CORS.

*allowed* holds the origins that may read, among them patterns such as ``https://*.example.com``. Not all packages
check the same: wsgicors checks neither method nor headers, and Flask-CORS refuses nothing, it omits headers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import flask_cors
import wsgicors
from flask import Flask
from flask.views import MethodView
from traffic import CONVERTED, HEADERS, MAX_AGE, METHODS, ORIGINS, PATH

from flask_preflight import Policy, Preflight, PreflightMiddleware, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# The rows of the tables
CONSTANT = "constant answer"
WSGI_ALONE = "WSGI app alone"
VARY_ALONE = "WSGI app alone that sets `Vary`"
WSGICORS = "wsgicors"
MIDDLEWARE = "**`PreflightMiddleware`**"
MIDDLEWARE_VARY = "**`PreflightMiddleware`**, the app sets `Vary`"
FLASK_ALONE = "Flask alone"
ROUTING = "Flask's routing alone"
FLASK_CORS = "Flask-CORS"
CROSS_ORIGIN = "Flask-CORS, `@cross_origin`, functions"
CROSS_ORIGIN_METHODS = "Flask-CORS, `@cross_origin`, `MethodView`s"
PREFLIGHT = "**`Preflight`**, one policy"
VIEWS = "**`Preflight`**, a policy for each view, functions"
METHOD_VIEWS = "**`Preflight`**, a policy for each method, `MethodView`s"
CLIENT = "Werkzeug's test client, two requests"
BROWSER = "**`Browser.fetch`**, with a preflight"

OURS = {MIDDLEWARE, MIDDLEWARE_VARY, PREFLIGHT, VIEWS, METHOD_VIEWS, BROWSER}

View: TypeAlias = Callable[..., Any]
# Makes the decorator of a view that also allows this request header
Decorate: TypeAlias = Callable[[str], Callable[[View], View]]


# ---------------------------------------------------------------------------------------
# Any WSGI app
# ---------------------------------------------------------------------------------------

_ANSWER = [
    ("Access-Control-Allow-Origin", ORIGINS[0]),
    ("Access-Control-Allow-Methods", ", ".join(METHODS)),
    ("Access-Control-Allow-Headers", ", ".join(HEADERS)),
    ("Access-Control-Max-Age", str(MAX_AGE)),
    ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
]
_PLAIN = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "5")]


def constant(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer without any decision. Python cannot do this faster."""
    start_response("204 No Content", _ANSWER)
    return []


def plain(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*_PLAIN])
    return [b"hello"]


def with_vary(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*_PLAIN, ("Vary", "Accept-Encoding")])
    return [b"hello"]


def policy(allowed: Sequence[str] = ORIGINS, max_age: int = MAX_AGE) -> Policy:
    return Policy(allow_origins=allowed, allow_methods=METHODS, allow_headers=HEADERS, max_age=max_age)


def middleware(allowed: Sequence[str] = ORIGINS, app: WSGIApplication = plain) -> WSGIApplication:
    return PreflightMiddleware(app, policy(allowed))


def with_wsgicors() -> WSGIApplication:
    app: WSGIApplication = wsgicors.CORS(
        plain, origin=" ".join(ORIGINS), methods=", ".join(METHODS), headers=", ".join(HEADERS), maxage=str(MAX_AGE)
    )
    return app


# ---------------------------------------------------------------------------------------
# Flask
# ---------------------------------------------------------------------------------------

_RULES = {"data": PATH, "item": CONVERTED}


def function_views(decorate: Decorate = lambda header: lambda view: view) -> Flask:
    app = Flask("site")

    def make_view() -> View:
        return lambda **values: "hello"

    for endpoint, rule in _RULES.items():
        app.add_url_rule(rule, endpoint, decorate("X-View")(make_view()), methods=[*METHODS, "PATCH"])
    return app


def method_views(
    decorate: Decorate = lambda header: lambda view: view,
    decorate_class: Callable[[type[MethodView]], object] = lambda view_class: None,
) -> Flask:
    app = Flask("site")

    class Data(MethodView):
        @decorate("X-Read")
        def get(self, **values: object) -> str:
            return "hello"

        @decorate("X-Write")
        def put(self, **values: object) -> str:
            return "hello"

        @decorate("X-Write")
        def post(self, **values: object) -> str:
            return "hello"

        @decorate("X-Delete")
        def delete(self, **values: object) -> str:
            return "hello"

        def patch(self, **values: object) -> str:
            return "hello"

    decorate_class(Data)
    for endpoint, rule in _RULES.items():
        app.add_url_rule(rule, view_func=Data.as_view(endpoint))
    return app


def routing(app: Flask) -> WSGIApplication:
    """Return what Flask itself does to find a view, and nothing else."""

    def route(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        adapter = app.create_url_adapter(app.request_class(environ))
        if adapter is None:
            raise RuntimeError("no adapter for this request")
        adapter.match(method=environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"], return_rule=True)
        return ()

    return route


def with_preflight(app: Flask, allowed: Sequence[str] = ORIGINS) -> Flask:
    Preflight(app, allow_origins=allowed, allow_methods=METHODS, allow_headers=HEADERS, max_age=MAX_AGE)
    return app


def mark(header: str) -> Callable[[View], View]:
    return cors_route(allow_headers=[..., header])


def with_flask_cors(allowed: Sequence[str] = ORIGINS) -> Flask:
    app = function_views()
    flask_cors.CORS(app, **_flask_cors_options(allowed, HEADERS))
    return app


def cross_origin(header: str) -> Callable[[View], View]:
    options = _flask_cors_options(ORIGINS, [*HEADERS, header])
    decorator: Callable[[View], View] = flask_cors.cross_origin(**options)
    return decorator


def cross_origin_class(view_class: type[MethodView]) -> None:
    """Decorate the class: Flask-CORS answers no preflights for decorated methods, nor with Flask's own OPTIONS."""
    view_class.decorators = [cross_origin("X-Write")]
    view_class.provide_automatic_options = False


def _flask_cors_options(allowed: Sequence[str], headers: Sequence[str]) -> dict[str, Any]:
    exact = [text for text in allowed if "*" not in text]
    patterns = [re.compile(re.escape(text).replace(r"\*", "[a-z0-9.-]+")) for text in allowed if "*" in text]
    return {"origins": [*exact, *patterns], "methods": METHODS, "allow_headers": headers, "max_age": MAX_AGE}


# The contenders that need no argument, by their row
APPS: dict[str, Callable[[], WSGIApplication]] = {
    CONSTANT: lambda: constant,
    WSGI_ALONE: lambda: plain,
    VARY_ALONE: lambda: with_vary,
    WSGICORS: with_wsgicors,
    MIDDLEWARE: middleware,
    MIDDLEWARE_VARY: lambda: middleware(app=with_vary),
    FLASK_ALONE: function_views,
    ROUTING: lambda: routing(function_views()),
    FLASK_CORS: with_flask_cors,
    CROSS_ORIGIN: lambda: function_views(cross_origin),
    CROSS_ORIGIN_METHODS: lambda: method_views(decorate_class=cross_origin_class),
    PREFLIGHT: lambda: with_preflight(function_views()),
    VIEWS: lambda: with_preflight(function_views(mark)),
    METHOD_VIEWS: lambda: with_preflight(method_views(mark)),
}
