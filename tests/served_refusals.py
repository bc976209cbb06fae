"""Apps in debug mode that refuse for every reason, for the real servers of ``test_server_headers.py``.

``/cors/...`` is one of them, and ``/echo/...`` says what the server makes of the same request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter

from flask_preflight import Policy, Preflight, PreflightMiddleware, by_path, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PAGE = "https://frontend.com"

# What an exception may say, or a name be, by its number in the path
TEXTS = (
    "plain",
    "",
    "two\r\nX-Forged: lines",
    "\n\n\n",
    "\0 NUL \x1b[2J\x07\x7f",
    "caf\xe9 \x85\x9b",
    "\u041f\u0423\u0422 \u202e\u2028",
    "\U0001f4a5 emoji",
    "\ud800 lone surrogate \udcff",
    "'single' \"double\" \\ back",
    "a" * 900,
    "a" * 100_000,
    "\U0001f4a5" * 1000,
    "\xe9, \r\n" * 1000,
)


class Unspeakable(Exception):
    """An exception that raises when it is to be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class Übel(Exception):
    """An exception whose name is not ASCII."""


def number_in(path: str) -> int:
    digits = "".join(filter(str.isdigit, path))
    return int(digits[:4] or "0") % len(TEXTS)


def failing(origin: str, environ: WSGIEnvironment) -> bool:
    path = environ["PATH_INFO"]
    if "unspeakable" in path:
        raise Unspeakable
    if "name" in path:
        raise Übel(path)
    raise LookupError(TEXTS[number_in(path)])


class Failing(BaseConverter):
    def to_python(self, value: str) -> str:
        raise LookupError(value, TEXTS[number_in(value)])


class Refusing(BaseConverter):
    def to_python(self, value: str) -> str:
        raise MethodNotAllowed(valid_methods=[value, TEXTS[number_in(value)], "PUT", "put"])


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send a header that must be replaced, where the request is refused."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5"), ("CORS-Refused", "by the app")])
    return [b"hello"]


LISTED = Policy(allow_origins=[PAGE, "http://localhost:3000"], allow_methods=["GET", "PUT"], allow_headers=["X-A"])
LONG = LISTED.override(
    allow_methods=[f"METHOD-{number}" for number in range(200)], allow_headers=[f"X-{'A' * n}" for n in range(1, 60)]
)
POLICY_OF: dict[str, Policy | None] = {
    "/": LISTED,
    "/long": LONG,
    "/star": Policy(allow_origins="*", allow_headers="*"),
    "/cookies": LISTED.override(allow_credentials=True),
    "/nobody": Policy(),
    "/failing": Policy(allow_origins=failing),
}
wsgi_app = PreflightMiddleware(hello, by_path(POLICY_OF), debug=True)


def make_flask_app() -> Flask:
    app = Flask("app", static_folder=None)
    app.url_map.converters |= {"failing": Failing, "refusing": Refusing}
    rules = ["/plain", "/caf\xe9/<x>", "/\U0001f4a5", "/converter/<failing:x>", "/refusing/<refusing:x>", "/late/<x>"]
    for number, rule in enumerate(rules):
        app.add_url_rule(rule, TEXTS[number + 5].replace(".", ""), lambda **_: "hello", methods=["GET", "PUT"])
    app.add_url_rule("/named", "\r\n\0", lambda: "hello", methods=["GET", "P\xdcT", "\u041f\u0423\u0422", "P\r\nX: y"])
    app.add_url_rule("/failing/<x>", "failing", cors_route(allow_origins=failing)(lambda x: "hello"), methods=["PUT"])
    app.register_error_handler(405, lambda _: ("no such method", 405))  # Flask's own names what a converter said
    Preflight(app, allow_origins=[PAGE], debug=True)
    app.test_client().get("/plain")
    app.view_functions[TEXTS[10]] = cors_route(allow_origins="*", allow_credentials=True)(lambda x: "hello")
    return app


APPS: dict[str, WSGIApplication] = {"wsgi": wsgi_app, "flask": make_flask_app()}

# What CORS depends on
READ = (
    "REQUEST_METHOD",
    "PATH_INFO",
    "HTTP_HOST",
    "HTTP_COOKIE",
    "HTTP_ORIGIN",
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
    "HTTP_ACCESS_CONTROL_REQUEST_HEADERS",
    "HTTP_SEC_FETCH_MODE",
    "HTTP_SEC_FETCH_SITE",
)


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = json.dumps({name: environ[name] for name in READ if name in environ}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _, prefix, name, *_ = f"{environ['PATH_INFO']}//".split("/", 3)
    if prefix == "echo":
        return echo(environ, start_response)
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = f"/cors/{name}", environ["PATH_INFO"][len(f"/cors/{name}") :]
    return APPS.get(name, wsgi_app)(environ, start_response)
