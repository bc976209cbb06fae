"""Who is measured: the same small site, with the same policy, behind everybody's CORS.

A maker takes the origins that are allowed, patterns such as ``https://*.example.com`` among them, and returns the app.
It raises `ModuleNotFoundError` where a peer is not installed; whoever it makes is left out then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import flask
from traffic import CONVERTED, HEADERS, MAX_AGE, METHODS, PATH

from flask_preflight import Policy, Preflight, PreflightMiddleware, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from harness import ASGIApp, Environ

Maker: TypeAlias = "Callable[[Sequence[str]], WSGIApplication]"

# As pip calls them, for the versions in the table; the modules are imported by those who need them
PEERS = ("wsgicors", "Flask-Cors", "django-cors-headers", "Django", "falcon", "starlette")

_PLAIN = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "5")]
_BODY = b"hello"


def _split(allowed: Sequence[str]) -> tuple[list[str], list[str]]:
    return [text for text in allowed if "*" not in text], [text for text in allowed if "*" in text]


def _regexes(patterns: Iterable[str]) -> list[str]:
    return [re.escape(pattern).replace(r"\*", r"[a-z0-9.-]+") for pattern in patterns]


# ---------------------------------------------------------------------------------------
# The limits: no decision at all, and one made ad hoc
# ---------------------------------------------------------------------------------------

_ANSWER = [
    ("Access-Control-Allow-Origin", "https://app.example.com"),
    ("Access-Control-Allow-Methods", ", ".join(METHODS)),
    ("Access-Control-Allow-Headers", ", ".join(HEADERS)),
    ("Access-Control-Max-Age", str(MAX_AGE)),
    ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
]


def constant(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("204 No Content", _ANSWER)
    return []


def minimal(allowed: Sequence[str]) -> WSGIApplication:
    """All checks, for this one policy, by hand."""
    exact, patterns = map(frozenset, _split(allowed))
    suffixes = {pattern.replace("*", "") for pattern in patterns}
    methods, headers = frozenset(METHODS), frozenset(name.lower() for name in HEADERS)
    answer = tuple(_ANSWER[1:])
    vary, vary_actual = [_ANSWER[-1]], ("Vary", "Origin")

    def is_allowed(origin: str) -> bool:
        if len(origin) > 320:
            return False
        if origin in exact:
            return True
        scheme, _, host = origin.partition("://")
        while host:
            _, _, host = host.partition(".")
            if f"{scheme}://.{host}" in suffixes:
                return True
        return False

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")
        method = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        if environ["REQUEST_METHOD"] != "OPTIONS" or origin is None or method is None:

            def decorated(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
                headers.append(vary_actual)
                if origin is not None and is_allowed(origin):
                    headers.append(("Access-Control-Allow-Origin", origin))
                return start_response(status, headers, exc_info)

            return plain(environ, decorated)
        wanted = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        if (
            method in methods
            and len(wanted) <= 4096
            and is_allowed(origin)
            and all(name.strip().lower() in headers for name in wanted.split(","))
        ):
            start_response("204 No Content", [("Access-Control-Allow-Origin", origin), *answer])
        else:
            start_response("403 Forbidden", vary)
        return []

    return app


# ---------------------------------------------------------------------------------------
# Around any WSGI app
# ---------------------------------------------------------------------------------------


def plain(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*_PLAIN])
    return [_BODY]


def with_vary(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*_PLAIN, ("Vary", "Accept-Encoding")])
    return [_BODY]


def policy(allowed: Sequence[str]) -> Policy:
    return Policy(allow_origins=allowed, allow_methods=METHODS, allow_headers=HEADERS, max_age=MAX_AGE)


def ours(allowed: Sequence[str], app: WSGIApplication = plain) -> WSGIApplication:
    return PreflightMiddleware(app, policy(allowed))


def wsgicors(allowed: Sequence[str], app: WSGIApplication = plain) -> WSGIApplication:
    options = {
        "origin": " ".join(allowed),
        "methods": ", ".join(METHODS),
        "headers": ", ".join(HEADERS),
        "maxage": str(MAX_AGE),
    }
    around: WSGIApplication = import_module("wsgicors").CORS(app, **options)
    return around


# ---------------------------------------------------------------------------------------
# Flask
# ---------------------------------------------------------------------------------------


def flask_alone() -> flask.Flask:
    app = flask.Flask("site")

    def data(**values: object) -> str:
        return "hello"

    app.add_url_rule(PATH, view_func=data, methods=["GET", "PUT", "POST", "DELETE"])
    app.add_url_rule(CONVERTED, "converted", data, methods=["GET", "PUT", "POST", "DELETE"])
    return app


def flask_ours(allowed: Sequence[str]) -> WSGIApplication:
    app = flask_alone()
    Preflight(app, allow_origins=allowed, allow_headers=HEADERS, max_age=MAX_AGE)
    return app


def flask_ours_by_route(allowed: Sequence[str]) -> WSGIApplication:
    app = flask_alone()
    for view in app.view_functions.values():
        cors_route(allow_headers=[..., "X-Requested-With"], max_age=MAX_AGE)(view)
    Preflight(app, allow_origins=allowed, allow_headers=HEADERS[:2])
    return app


def _flask_cors_options(allowed: Sequence[str]) -> dict[str, Any]:
    exact, patterns = _split(allowed)
    return {
        "origins": [*exact, *map(re.compile, _regexes(patterns))],
        "methods": METHODS,
        "allow_headers": HEADERS,
        "max_age": MAX_AGE,
    }


def flask_cors(allowed: Sequence[str]) -> WSGIApplication:
    app = flask_alone()
    import_module("flask_cors").CORS(app, **_flask_cors_options(allowed))
    return app


def flask_cross_origin(allowed: Sequence[str]) -> WSGIApplication:
    app = flask.Flask("site")

    @app.route(PATH, methods=["GET", "PUT", "POST", "DELETE"])
    @import_module("flask_cors").cross_origin(**_flask_cors_options(allowed))  # type: ignore[untyped-decorator]
    def data() -> str:
        return "hello"

    return app


def flask_by_hand(allowed: Sequence[str]) -> WSGIApplication:
    """As people write it: Flask's own answer to OPTIONS, and some headers on everything."""
    app = flask_alone()
    origins = frozenset(allowed)

    @app.after_request
    def add_headers(response: flask.Response) -> flask.Response:
        origin = flask.request.headers.get("Origin")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            if flask.request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = ", ".join(METHODS)
                response.headers["Access-Control-Allow-Headers"] = ", ".join(HEADERS)
                response.headers["Access-Control-Max-Age"] = str(MAX_AGE)
        response.vary.add("Origin")
        return response

    return app


def flask_wsgicors(allowed: Sequence[str]) -> WSGIApplication:
    return wsgicors(allowed, flask_alone())


# ---------------------------------------------------------------------------------------
# Other frameworks
# ---------------------------------------------------------------------------------------


@cache
def _django_settings() -> Any:
    import_module("corsheaders")  # before anything is configured, if it is not there
    settings = import_module("django.conf").settings
    urls = type(import_module("django"))("site_urls")
    http, path = import_module("django.http"), import_module("django.urls").path
    urls.urlpatterns = [path(PATH.lstrip("/"), lambda request: http.HttpResponse("hello", content_type="text/plain"))]  # type: ignore[attr-defined]
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=urls,
        SECRET_KEY="none",
        INSTALLED_APPS=["corsheaders"],
        MIDDLEWARE=[],
        CORS_ALLOW_METHODS=METHODS,
        CORS_ALLOW_HEADERS=[name.lower() for name in HEADERS],
        CORS_PREFLIGHT_MAX_AGE=MAX_AGE,
    )
    return settings


def _django(allowed: Sequence[str], middleware: list[str]) -> WSGIApplication:
    settings = _django_settings()
    settings.MIDDLEWARE = middleware  # read once, when the app is made
    settings.CORS_ALLOWED_ORIGINS = list(allowed)  # read at each request
    app: WSGIApplication = import_module("django.core.wsgi").get_wsgi_application()
    return app


def django_alone() -> WSGIApplication:
    return _django((), [])


def django_cors_headers(allowed: Sequence[str]) -> WSGIApplication:
    return _django(allowed, ["corsheaders.middleware.CorsMiddleware"])


def _falcon(middleware: list[Any]) -> WSGIApplication:
    falcon = import_module("falcon")

    class Data:
        def on_get(self, request: Any, response: Any) -> None:
            response.text = "hello"

        on_put = on_post = on_delete = on_get

    app = falcon.App(middleware=middleware)
    app.add_route(PATH, Data())
    site: WSGIApplication = app
    return site


def falcon_alone() -> WSGIApplication:
    return _falcon([])


def falcon_cors(allowed: Sequence[str]) -> WSGIApplication:
    return _falcon([import_module("falcon").CORSMiddleware(allow_origins=allowed)])


async def asgi_alone(scope: Environ, receive: ASGIApp, send: ASGIApp) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in _PLAIN]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})


def starlette(allowed: Sequence[str]) -> ASGIApp:
    exact, patterns = _split(allowed)
    around: ASGIApp = import_module("starlette.middleware.cors").CORSMiddleware(
        asgi_alone,
        allow_origins=exact,
        allow_origin_regex="|".join(_regexes(patterns)) or None,
        allow_methods=METHODS,
        allow_headers=HEADERS,
        max_age=MAX_AGE,
    )
    return around
