"""Requests to live servers: HTTP/1.1 over sockets, with TLS for ``https``.

Only servers that the caller named are contacted, wherever a redirect leads. Whatever a server does, a request ends
within its time limit.
"""

from __future__ import annotations

import io
import os
import socket
import ssl
from contextlib import closing, suppress
from http.client import HTTPConnection
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, cast

from werkzeug.datastructures import Headers

from .arguments import check_names, check_seconds, check_server
from .http1 import BadAnswer, read_answer
from .text import shown
from .transport import Answer, Connection
from .urls import HTTP_SCHEMES, URL, checked_origin

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__tracebackhide__ = True


class LiveTransport:
    """Sends a browser's requests to live servers: ``Browser(transport=LiveTransport("https://staging.example.com"))``.

    *origins*: the servers that may be asked, each as a serialized origin, such as ``"http://localhost:8000"``. A
    request to another server is not sent, also after a redirect. *ca_file*: path of a PEM file with
    the certificates that are trusted instead of the system's. *connect_timeout*: seconds for the connection, with TLS.
    *timeout*: seconds for a whole request, from the connection to the last byte of the answer. Neither includes the
    look-up of the name, for which the system has a limit.

    Each request has a new connection. No proxy is used, and nothing is compressed. ``ValueError`` if an argument
    is wrong, ``TypeError`` if no origin is named. Browsers and threads may share it.
    """

    def __init__(
        self,
        *origins: str,
        ca_file: str | os.PathLike[str] | None = None,
        connect_timeout: float = 5,
        timeout: float = 30,
        **unknown: NoReturn,
    ) -> None:
        check_names("LiveTransport()", unknown)
        if not origins:
            raise TypeError("name the servers that may be asked: LiveTransport('https://staging.example.com')")
        secure = [origin for origin in map(_live_origin, origins) if origin.startswith("https:")]
        self._tls = dict.fromkeys(secure, _tls_context(ca_file)) if secure else {}
        self._origins = frozenset(origins)
        self._connect_timeout = _seconds("connect_timeout", connect_timeout)
        self._timeout = _seconds("timeout", timeout)

    def send(self, url: URL, method: str, headers: Headers, body: bytes | None) -> Answer:
        if url.origin not in self._origins:
            return _no_answer(_NOT_NAMED, url)
        began = monotonic()
        try:
            stream = self._connect(url)
        except (OSError, ValueError) as error:
            return _no_answer(_failure_of(error), url, error)
        with closing(stream):
            tls, certificate_until = stream.describe_tls()
            answer = _exchange(stream, url, method, headers, body)
        return answer._replace(connection=Connection(tls, certificate_until, monotonic() - began))

    def _connect(self, url: URL) -> _TimedSocket:
        began = monotonic()
        until = began + min(self._connect_timeout, self._timeout)
        try:
            connected = _connected(url, until)
            if url.scheme == "https":
                connected = _start_tls(self._tls[url.origin], connected, url, until)
        except TimeoutError as error:
            raise _ConnectTimeoutError from error
        return _TimedSocket(connected, began + self._timeout)


def _live_origin(origin: str) -> str:
    check_server(origin)
    if checked_origin(origin).partition("://")[0] not in HTTP_SCHEMES:
        raise ValueError(f"origin: {origin!r} is neither http: nor https:")
    return origin


def _tls_context(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ValueError(f"ca_file: {str(ca_file)!r} has no certificates in PEM form: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


_DAY = 86_400


def _seconds(name: str, value: float) -> float:
    check_seconds(name, value)
    if not 0 < value <= _DAY:
        raise ValueError(f"{name}: {value!r} is no time limit; write seconds, more than 0 and at most {_DAY}")
    return value


# ---------------------------------------------------------------------------------------
# Connecting
# ---------------------------------------------------------------------------------------


class _ConnectTimeoutError(TimeoutError):
    """The connection took too long, or the TLS handshake."""


def _connected(url: URL, until: float) -> socket.socket:
    """A connection to the first address that accepts one. Each address gets its share of the time."""
    addresses = socket.getaddrinfo(_host(url), url.port, type=socket.SOCK_STREAM)
    errors: list[OSError] = []
    for number, (*_, address) in enumerate(addresses):
        share = _left(until) / (len(addresses) - number)
        try:
            return socket.create_connection((str(address[0]), url.port), timeout=share)
        except OSError as error:
            errors.append(error)
    raise errors[-1]


def _start_tls(context: ssl.SSLContext, connected: socket.socket, url: URL, until: float) -> socket.socket:
    try:
        connected.settimeout(_left(until))
        # https://www.rfc-editor.org/rfc/rfc6066#section-3: the name "without a trailing dot"
        return context.wrap_socket(connected, server_hostname=url.host.strip("[]").removesuffix("."))
    except BaseException:
        connected.close()
        raise


def _host(url: URL) -> str:
    """The name to look up, or the address."""
    host = url.host.strip("[]")
    # https://w3c.github.io/webappsec-secure-contexts/#localhost: browsers ask no name server for these.
    return "localhost" if f".{host}".removesuffix(".").endswith(".localhost") else host


def _left(until: float) -> float:
    """The seconds until then."""
    seconds = until - monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _TimedSocket(io.RawIOBase):
    """A socket with a deadline, which holds even if the other side sends or takes a byte now and then."""

    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket = connected
        self._until = until

    def describe_tls(self) -> tuple[str, float | None]:
        """The version of TLS, and when the certificate ends."""
        if not isinstance(self._socket, ssl.SSLSocket):
            return "", None
        certificate = self._socket.getpeercert() or {}
        return self._socket.version() or "", ssl.cert_time_to_seconds(str(certificate["notAfter"]))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._socket.settimeout(_left(self._until))
        return self._socket.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(_left(self._until))
            rest = rest[self._socket.send(rest) :]

    def close(self) -> None:
        self._socket.close()
        super().close()


# ---------------------------------------------------------------------------------------
# Sending
# ---------------------------------------------------------------------------------------


def _exchange(stream: _TimedSocket, url: URL, method: str, headers: Headers, body: bytes | None) -> Answer:
    try:
        _send_request(stream, url, method, headers, body)
        return read_answer(io.BufferedReader(stream), method, may_switch="Upgrade" in headers)
    except (BadAnswer, OSError, ValueError) as error:
        return _no_answer(_failure_of(error), url, error)


def _send_request(stream: _TimedSocket, url: URL, method: str, headers: Headers, body: bytes | None) -> None:
    request = HTTPConnection(url.host, url.port)
    request.sock = cast(socket.socket, stream)  # so that it does not connect by itself
    request.putrequest(method, url.target, skip_host=True, skip_accept_encoding=True)
    own = [(name, value) for name, value in _own_headers(url, method, body) if name not in headers]
    for name, value in [*own, *headers]:
        request.putheader(name, value)
    # A server may answer without reading it all, such as with a 413, and close the connection.
    with suppress(ConnectionError, ssl.SSLEOFError):
        request.endheaders(body)


def _own_headers(url: URL, method: str, body: bytes | None) -> list[tuple[str, str]]:
    own = [("Host", url.origin.partition("://")[2]), ("Connection", "close"), ("Accept-Encoding", "identity")]
    # https://fetch.spec.whatwg.org/#concept-http-network-or-cache-fetch, "contentLengthHeaderValue"
    if body is not None or method in ("POST", "PUT"):
        own.append(("Content-Length", str(len(body or b""))))
    return own


# ---------------------------------------------------------------------------------------
# Why nothing came back
# ---------------------------------------------------------------------------------------


class _Failure(NamedTuple):
    """Templates: why nothing came back, and what to change."""

    error: str
    change: str


_NOT_NAMED: Final = _Failure(
    "{origin} was not asked, because LiveTransport does not name it",
    "If requests may go there, name it: LiveTransport(..., '{origin}').",
)
_CHECK_SERVER = "Start the server there. Check scheme, host and port."
_CHECK_ANSWER = "See what the server sends: curl -i {origin}"

# The first that fits counts.
_FAILURES: Final[list[tuple[type[Exception], _Failure]]] = [
    (BadAnswer, _Failure("{detail}", _CHECK_ANSWER)),
    (_ConnectTimeoutError, _Failure("no connection to {origin} came about in time", _CHECK_SERVER)),
    (
        TimeoutError,
        _Failure(
            "the answer of {origin} was not complete in time",
            "Let the server answer sooner, or give it more time: LiveTransport(..., timeout=60).",
        ),
    ),
    (socket.gaierror, _Failure("the name {host} has no address", "Check the name.")),
    (
        ssl.SSLCertVerificationError,
        _Failure(
            "the certificate of {origin} is not valid: {detail}",
            "Give the server a valid certificate for {host}. If the CA is yours, name it: "
            "LiveTransport(..., ca_file='ca.pem').",
        ),
    ),
    (
        ssl.SSLError,
        _Failure("TLS with {origin} failed: {detail}", "Check that this port speaks TLS; if not, use http:."),
    ),
    (ConnectionRefusedError, _Failure("nobody listens at {origin}", _CHECK_SERVER)),
    (ConnectionError, _Failure("{origin} broke the connection off", _CHECK_ANSWER)),
    (OSError, _Failure("no connection to {origin}: {detail}", _CHECK_SERVER)),
    (ValueError, _Failure("{host} is no name that can be looked up", "Check the name.")),
]


def _failure_of(error: Exception) -> _Failure:
    return next(failure for kind, failure in _FAILURES if isinstance(error, kind))


def _no_answer(failure: _Failure, url: URL, error: Exception | None = None) -> Answer:
    facts = {"origin": shown(url.origin), "host": shown(url.host), "detail": shown(_detail(error))}
    return Answer(0, Headers(), b"", failure.error.format_map(facts), failure.change.format_map(facts))


def _detail(error: Exception | None) -> str:
    """What is peculiar to *error*, in OpenSSL's or the system's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
