"""How a request reaches its server, and how the answer comes back.

A :class:`Transport` knows HTTP messages only. What a browser makes of them is in ``model`` and ``checks``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import Headers

from .. import fetch as words
from .urls import URL, checked_origin

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


class Answer(NamedTuple):
    """What came back for one request."""

    status: int
    """0 if nothing came back that is HTTP."""
    headers: Headers
    """Field names and values in the order in which they came, repeated ones too; no white space around values."""
    data: bytes
    """The whole body."""
    error: str = ""
    """Why nothing came back, as the end of a sentence; empty if something did."""


class Transport(Protocol):
    """One way to send a request."""

    def send(self, url: URL, method: str, headers: Headers, body: bytes | None) -> Answer:
        """Send one request and read its answer to the end; no redirect is followed, no cookie added."""
        ...


class WSGITransport:
    """Calls a WSGI app in this process: one app for every origin, or a mapping of origins to apps.

    What the app raises comes through. ``ValueError`` for an origin that no browser would send.
    """

    def __init__(self, app: WSGIApplication | Mapping[str, WSGIApplication]) -> None:
        self._app = None if isinstance(app, Mapping) else app
        self._apps = {checked_origin(key): value for key, value in app.items()} if isinstance(app, Mapping) else {}

    def send(self, url: URL, method: str, headers: Headers, body: bytes | None) -> Answer:
        app = self._apps.get(url.origin, self._app)
        if app is None:
            return Answer(0, Headers(), b"", f"nothing answers for {url.origin}")
        head, data = _run(app, _environ(url, method, headers, body))
        if head is None:
            return Answer(0, Headers(), data, "the app's answer is not HTTP")
        return Answer(*head, data)


# https://peps.python.org/pep-3333/#environ-variables
def _environ(url: URL, method: str, headers: Headers, body: bytes | None) -> WSGIEnvironment:
    path, _, query = url.target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": url.target,
        "RAW_URI": url.target,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": url.host,
        "SERVER_PORT": str(url.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": url.origin.partition("://")[2],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": BytesIO(body or b""),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body is not None or method in ("POST", "PUT"):
        environ["CONTENT_LENGTH"] = str(len(body or b""))
    for name in dict.fromkeys(name.lower() for name, _ in headers):
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = ", ".join(headers.getlist(name))
    return environ


# Not Werkzeug's run_wsgi_app: buffered, it loses what an app writes through `write`, and it raises whatever
# `exc_info` holds where a server would send the error page.
def _run(app: WSGIApplication, environ: WSGIEnvironment) -> tuple[tuple[int, Headers] | None, bytes]:
    heads: list[tuple[Any, list[Any]]] = []
    chunks: list[Any] = []

    def start_response(status: Any, headers: Any, exc_info: Any = None, /) -> Any:
        if exc_info and any(chunks):
            raise exc_info[1].with_traceback(exc_info[2])
        heads.append((status, list(headers)))
        return chunks.append

    iterable = app(environ, start_response)
    try:
        for chunk in iterable:
            chunks.append(chunk)
    finally:
        getattr(iterable, "close", _nothing)()
    if not heads or not all(isinstance(chunk, bytes) for chunk in chunks):
        return None, b""
    return _head(*heads[-1]), b"".join(chunks)


def _nothing() -> None: ...


_STATUS_LINE = re.compile(r"([2-9][0-9]{2})(?: [^\0\r\n]*)?")


def _head(status_line: Any, fields: list[Any]) -> tuple[int, Headers] | None:
    """What a browser sees of a status line and header fields; ``None`` if that is not HTTP."""
    status = _STATUS_LINE.fullmatch(status_line) if isinstance(status_line, str) else None
    with suppress(AttributeError, TypeError, ValueError):
        headers = [(name, value.strip(words.TAB_OR_SPACE)) for name, value in fields]
        if status and all(words.is_token(name) and words.is_header_value(value) for name, value in headers):
            return int(status[1]), Headers(headers)
    return None
