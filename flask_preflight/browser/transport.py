"""How a request reaches its server, and how the answer comes back.

A :class:`Transport` handles HTTP messages only. The browser's checks are in ``model`` and ``checks``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import Headers

from .. import fetch as words
from .urls import URL, checked_origin

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__tracebackhide__ = True


class Connection(NamedTuple):
    """How a request reached a live server."""

    tls: str
    """The version of TLS, as in ``"TLSv1.3"``; empty for plain HTTP."""
    certificate_until: float | None
    """When the server's certificate ends, as Unix time; ``None`` for plain HTTP."""
    seconds: float
    """From the start of the connection to the last byte of the answer."""


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
    change: str = ""
    """What would make something come back, as a sentence; empty if something did."""
    refusal: str = ""
    """Why the server refused by its own account, as "<reason>; <sentence>"; empty if it does not say."""
    connection: Connection | None = None
    """The connection to a live server, if one came about."""


# A test must end, even if an answer does not. So both transports stop here, with an error.
MOST_BODY: Final = 16 * 2**20
"""The longest body that is read, in bytes."""

# As Chromium, which allows a little more than the others
MOST_HEAD: Final = 256 * 1024
"""The longest head (status line and header fields, those of 1xx responses included) that is read, in bytes."""


class Transport(Protocol):
    """One way to send a request."""

    def send(self, url: URL, method: str, headers: Headers, body: bytes | None) -> Answer:
        """Send one request and read its answer to the end; no redirect is followed, no cookie added."""
        ...


# An app that refuses a request may append lines to the list at this key. A client cannot set it, because it is not a
# header.
_REFUSALS = "flask_preflight.refusals"


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
            change = "Start the server there, or give Browser an app for that origin."
            return Answer(0, Headers(), b"", f"nothing answers for {url.origin}", change)
        refusals: list[Any] = []
        answer = _run(app, {**_environ(url, method, headers, body), _REFUSALS: refusals})
        return answer._replace(refusal=str(refusals[-1])) if refusals else answer


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
        environ[key if name == "content-type" else f"HTTP_{key}"] = ", ".join(headers.getlist(name))
    return environ


# Not Werkzeug's run_wsgi_app: buffered, it loses what an app writes through `write`, and it raises whatever
# `exc_info` holds where a server would send the error page.
def _run(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    heads: list[tuple[Any, list[Any]]] = []
    body = _Body()

    def start_response(status: Any, headers: Any, exc_info: Any = None, /) -> Any:
        if exc_info and body.data:
            raise exc_info[1].with_traceback(exc_info[2])
        heads.append((status, list(islice(headers, MOST_HEAD))))  # no line is shorter than a byte
        return body.write

    with suppress(_NotSendable):
        chunks = app(environ, start_response)
        try:
            body.write_all(chunks)
        finally:
            getattr(chunks, "close", _nothing)()
    return _answer(heads, body, may_switch="HTTP_UPGRADE" in environ)


def _nothing() -> None: ...


class _NotSendable(Exception):
    """Ends the app's work on a body that no server would send to its end."""


class _Body:
    """What an app sends: its chunks, up to :data:`MOST_BODY`."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.error = ""
        self._size = 0

    def write_all(self, chunks: Any) -> None:
        if not isinstance(chunks, Iterable):
            self.error = _NOT_HTTP
            raise _NotSendable
        for chunk in chunks:
            self.write(chunk)

    def write(self, chunk: Any) -> None:
        if not isinstance(chunk, bytes):
            self.error = _NOT_HTTP
            raise _NotSendable
        self.data += chunk
        self._size += max(len(chunk), _LEAST_CHUNK)
        if self._size > MOST_BODY:
            self.error = f"the body of the app's answer is longer than {MOST_BODY:,} bytes"
            raise _NotSendable


# An endless body of empty chunks must end too, and soon. So each chunk counts as this long.
_LEAST_CHUNK = 64

_NOT_HTTP = "the app's answer is not HTTP"

_STATUS_LINE = re.compile(r"(101|[2-9][0-9]{2})(?: [^\0\r\n]*)?")


def _answer(heads: list[tuple[Any, list[Any]]], body: _Body, *, may_switch: bool) -> Answer:
    head = _head(*heads[-1]) if heads else None
    if head is None or (head[0] == 101 and not may_switch):
        return _no_answer(body.error or _NOT_HTTP)
    if _size(head[1]) > MOST_HEAD:
        return _no_answer(f"the head of the app's answer is longer than {MOST_HEAD:,} bytes", _SHORTEN_THE_HEAD)
    return _no_answer(body.error) if body.error else Answer(*head, bytes(body.data))


def _size(headers: Headers) -> int:
    """In bytes, as they are sent: with a colon, a space and the end of the line."""
    return sum(len(name) + len(value) + 4 for name, value in headers)


_FIX_THE_APP = "Let the app answer as PEP 3333 says, with a body that ends."
_SHORTEN_THE_HEAD = "Send fewer and shorter headers. Browsers read no more."


def _no_answer(error: str, change: str = _FIX_THE_APP) -> Answer:
    return Answer(0, Headers(), b"", error, change)


def _head(status_line: Any, fields: list[Any]) -> tuple[int, Headers] | None:
    """What a browser sees of a status line and header fields; ``None`` if that is not HTTP."""
    status = _STATUS_LINE.fullmatch(status_line) if isinstance(status_line, str) else None
    with suppress(AttributeError, TypeError, ValueError):
        headers = [(name, value.strip(words.TAB_OR_SPACE)) for name, value in fields]
        if status and are_fields(headers):
            return int(status[1]), Headers(headers)
    return None


def are_fields(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether all of these are header fields: https://fetch.spec.whatwg.org/#concept-header."""
    return all(words.is_token(name) and words.is_header_value(value) for name, value in headers)
