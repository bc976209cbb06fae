"""A page, its back end, a stranger's page and a page of another site, all on this machine.

Run it, open the URL that it prints, and press the buttons.
"""

from __future__ import annotations

import argparse
import html
import inspect
import json
import logging
import signal
import sys
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from secrets import token_hex
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import app as flask_app
from flask import Blueprint, Flask, session
from werkzeug import Request, Response
from werkzeug.test import run_wsgi_app

from flask_preflight import cors_blueprint, cors_route
from flask_preflight.documentation import link

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
PAGE = Path(__file__).with_name("demo.html")

# The headers of a request that the page shows. The others are always the same.
SHOWN = {
    "Origin",
    "Access-Control-Request-Method",
    "Access-Control-Request-Headers",
    "Authorization",
    "Content-Type",
    "Cookie",
    "X-Request-Id",
}

# ---- the views that app.py does not have ----

account = Blueprint("account", __name__, url_prefix="/account")
visits = count(1)


def add_account(app: Flask, pages: list[str]) -> None:
    app.config["SECRET_KEY"] = token_hex()
    app.config["SESSION_COOKIE_NAME"] = "flask-preflight-demo"
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    cors_blueprint(account, allow_origins=pages, allow_credentials=True)
    app.register_blueprint(account)


@account.post("/login")
def log_in() -> dict[str, str]:
    session["user"] = "Ada"
    return {"user": "Ada"}


@account.get("")
def show_account() -> tuple[dict[str, str], int]:
    if "user" in session:
        return {"user": session["user"]}, 200
    return {"error": "You are not logged in."}, 401


@cors_route(allow_origins=[])  # no page may read this
def count_visit() -> dict[str, int]:
    return {"visits": next(visits)}


def create_backend(frontend: str, other_site: str) -> Flask:
    app = flask_app.create_app(frontend)
    app.debug = True  # explains refusals; Werkzeug's debugger and reloader come only with app.run()
    add_account(app, [frontend, other_site])
    app.add_url_rule("/visits", view_func=count_visit)
    return app


# ---- what the page shows ----

LOGGED: ContextVar[list[str]] = ContextVar("LOGGED")


class Terminal(logging.Handler):
    """Prints log records, as Python does by default, and keeps those of a request for the page."""

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        print(line, file=sys.stderr)
        LOGGED.get([]).append(line)


class Wire:
    """Middleware around *app* that records requests and responses.

    A page cannot see preflights, nor anything of a refused request, so it gets the record from here.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app
        self.kept: defaultdict[str, list[object]] = defaultdict(list)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        LOGGED.set([])
        chunks, status, headers = run_wsgi_app(self.app, environ, buffered=True)
        body = b"".join(chunks)
        exchange = {
            "method": request.method,
            "path": request.path,
            "sent": [header for header in request.headers if header[0] in SHOWN],
            "status": status,
            "got": list(headers),
            "text": body.decode(),
            "logged": LOGGED.get(),
        }
        # recorded before anything is sent, because the page asks as soon as it has its response
        self.kept[request.headers.get("Origin", "")].append(exchange)
        start_response(status, list(headers))
        return [body]

    def take(self, origin: str) -> list[object]:
        """The requests of pages of *origin*, and the responses, since they last asked."""
        return self.kept.pop(origin, [])


def frontend(page: str, wire: Wire) -> WSGIApplication:
    """Serves the page, and the record of its requests."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        match request.method, request.path:
            case "GET", "/":
                response = Response(page, mimetype="text/html")
            case "POST", "/wire":
                kept = wire.take(request.host_url.rstrip("/"))
                response = Response(json.dumps(kept), mimetype="application/json")
            case _:
                response = Response("Nothing here.\n", 404)
        return response(environ, start_response)

    return app


def read_page(**origins: str) -> str:
    """The page, with its blanks filled: origins, links, and the source code of the back end."""
    module = inspect.getsource(flask_app)
    shared = module[module.index("# At every route") : module.index("@api.")]
    values = {
        **origins,
        "documentation": link("index"),
        "refusals": link("refusals"),
        "cookies": link("testing", "log-in-with-cookies"),
        "security": link("security", "what-cors-is-not"),
        "source": shared,
        "save": inspect.getsource(flask_app.save),
        "delete": inspect.getsource(flask_app.delete),
        "report": inspect.getsource(flask_app.report),
        "status": inspect.getsource(flask_app.status),
        "visits": inspect.getsource(count_visit),
        "account": "\n".join(inspect.getsource(view) for view in (add_account, log_in, show_account)),
    }
    page = PAGE.read_text(encoding="utf-8")
    for name, value in values.items():
        page = page.replace(f"@{name}@", html.escape(value.rstrip()))
    return page


# ---- the servers ----


class Server(ThreadingMixIn, WSGIServer):
    """A server that has its port before it has an app, so that its origin is known."""

    daemon_threads = True  # browsers keep idle connections open, and Ctrl-C must not wait for them

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port), QuietHandler)
        self.origin = f"http://{HOST}:{self.server_port}"


class QuietHandler(WSGIRequestHandler):
    """Logs no requests, because the page shows them, and adds no headers to them."""

    def get_environ(self) -> WSGIEnvironment:
        environ = super().get_environ()
        if "Content-Type" not in self.headers:
            del environ["CONTENT_TYPE"]  # otherwise it is text/plain, which no browser sent
        return environ

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has in the class above
        pass


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("frontend", "backend", "stranger"):
        parser.add_argument(f"--{name}-port", type=int, default=0, help="default: any that is free")
    ports = parser.parse_args()

    # set here, because a shell that starts this in the background ignores SIGINT
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)

    with ExitStack() as stack:
        try:
            front, back, stranger = (
                stack.enter_context(Server(port))
                for port in (ports.frontend_port, ports.backend_port, ports.stranger_port)
            )
        except OSError as error:
            sys.exit(f"Cannot listen: {error.strerror}. Choose other ports.")

        # browsers take the names of this machine for different sites
        other_site = f"http://localhost:{front.server_port}"
        wire = Wire(create_backend(front.origin, other_site))
        page = read_page(frontend=front.origin, backend=back.origin, stranger=stranger.origin, other_site=other_site)
        back.set_app(wire)
        # the same page at three origins, which the back end treats differently
        front.set_app(frontend(page, wire))
        stranger.set_app(frontend(page, wire))
        logging.getLogger("flask_preflight").addHandler(Terminal())

        for server in (back, stranger):
            Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
        try:
            print(f"\n  Open  {front.origin}\n")
            print(f"  the back end       {back.origin}\n  a stranger's page  {stranger.origin}\n")
            print("  Ctrl-C stops it.", flush=True)
            front.serve_forever()
        except KeyboardInterrupt:
            print("\n  Stopped.")


if __name__ == "__main__":
    main()
