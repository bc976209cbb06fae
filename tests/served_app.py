"""A plain WSGI app behind the middleware, for the real servers of ``test_servers.py``.

Run as a program, it serves a module with a server that has no program: ``python served_app.py wsgiref MODULE``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from importlib import import_module
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIServer, make_server
from wsgiref.util import FileWrapper

from flask_preflight import Policy, PreflightMiddleware, by_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TEXT = ("Content-Type", "text/plain")
FILE = b"from a file\n" * 10000  # more than one block of any server


def data(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Say what was asked, beside headers that must stay as they are, be merged, and be replaced."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = b"%s %s" % (environ["REQUEST_METHOD"].encode(), environ["wsgi.input"].read(length))
    headers = [
        TEXT,
        ("Content-Length", str(len(body))),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Total", "7"),
        ("Vary", "Accept-Encoding"),
        ("Access-Control-Allow-Origin", "*"),
    ]
    start_response("200 OK", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    return (b"part %d\n" % number for number in range(3))


def lazy(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Call ``start_response`` only when the server asks for the first part, as a generator function does."""
    start_response("200 OK", [TEXT])
    yield b"part 0\n"
    yield b"part 1\n"


def write(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    send = start_response("200 OK", [TEXT])
    send(b"written, ")
    return [b"returned"]


def file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT, ("Content-Length", str(len(FILE)))])
    wrap = environ.get("wsgi.file_wrapper", FileWrapper)  # PEP 3333 leaves it to the server
    wrapped: Iterable[bytes] = wrap(io.BytesIO(FILE))
    return wrapped


def own_error(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("500 Internal Server Error", [TEXT, ("Content-Length", "4")])
    return [b"ouch"]


def raising(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise ValueError("raised on purpose")


def not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [TEXT, ("Content-Length", "7")])
    return [b"nowhere"]


PAGES: dict[str, WSGIApplication] = {
    "/data": data,
    "/two": data,
    "/stream": stream,
    "/lazy": lazy,
    "/write": write,
    "/file": file,
    "/error": own_error,
    "/raises": raising,
}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return PAGES.get(environ["PATH_INFO"], not_found)(environ, start_response)


POLICY = Policy(
    allow_origins=["http://127.0.0.1:8000"],
    allow_methods=["GET", "PUT"],
    allow_headers=["Authorization", "Content-Type", "X-1", "X-A", "X-B", "X_Under", "Zeta"],
    expose_headers=["X-Total"],
    allow_credentials=True,
)
TWO = Policy(allow_origins=["http://127.0.0.1:8000", "https://frontend.com"], allow_methods=["GET", "PUT"])
SANDBOX = Policy(
    allow_origins=["null"], allow_methods=["PUT"], allow_headers=["X-B"], dangerously_allow_null_origin=True
)

application = PreflightMiddleware(app, by_path({"/": POLICY, "/two": TWO, "/raw_sandbox": SANDBOX, "/alone": None}))


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """Else one idle connection, which browsers like to open in advance, keeps all others waiting."""

    daemon_threads = True


def serve(name: str, module: str) -> None:
    """Serve the application of *module* on a free port, and say which."""
    application: WSGIApplication = import_module(module).application
    if name == "wsgiref":
        plain = make_server("127.0.0.1", 0, application, ThreadingServer)
        print(f"http://127.0.0.1:{plain.server_port}", flush=True)
        plain.serve_forever()
    elif name == "werkzeug":
        from werkzeug.serving import run_simple

        run_simple("127.0.0.1", 0, application, threaded=True)
    elif name == "cheroot":
        from cheroot.wsgi import Server

        server = Server(("127.0.0.1", 0), application)
        server.prepare()
        print(f"http://127.0.0.1:{server.bind_addr[1]}", flush=True)
        server.serve()


if __name__ == "__main__":
    serve(*sys.argv[1:])
