"""A browser for tests: what a script on another origin may do with a WSGI app, and why not.

.. code-block:: python

    browser = Browser(app, origin="https://frontend.com")
    response = browser.fetch("https://backend.com/api/data", method="PUT", json={"a": 1})

This is the client half of the CORS protocol, written from the Fetch standard alone. It is read from top to
bottom: what a test gets; :class:`Browser`; the standard's algorithms in the order in which a request walks
through them, each under its section's link; the words for people. It knows nothing of this package's
policies: any WSGI app can stand behind it.

Not modelled: every cache but that of preflights, ``mode: "no-cors"``, content codings, mixed content, blocked
ports, service workers, HTTP authentication by the browser, and what engines do to third-party cookies beyond
``SameSite``. URLs are read by the standard library and Werkzeug, bodies are read to their end.
"""

from __future__ import annotations

import json as json_module
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from enum import Enum
from http.client import HTTPResponse
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from io import BytesIO
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, NoReturn, cast
from urllib import request as urllib_request
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from werkzeug.datastructures import Headers
from werkzeug.urls import iri_to_uri

from .. import fetch as words

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    Credentials = Literal["omit", "same-origin", "include"]
    Redirect = Literal["follow", "error", "manual"]

__all__ = ["Browser", "CORSError", "Exchange", "Response", "Step"]


# ---------------------------------------------------------------------------------------
# What a test gets
# ---------------------------------------------------------------------------------------


class Step(Enum):
    """Where a browser stops. The value is the section's anchor in ``docs/messages.md``."""

    NO_RESPONSE = "no-response"
    """No app for that origin, or what the app answered is not HTTP."""
    PREFLIGHT_REDIRECT = "preflight-redirect"
    """The preflight was redirected."""
    ALLOW_ORIGIN_MISSING = "allow-origin-missing"
    """No ``Access-Control-Allow-Origin``."""
    ALLOW_ORIGIN_MULTIPLE = "allow-origin-multiple"
    """``Access-Control-Allow-Origin`` has several values; one is allowed."""
    ALLOW_ORIGIN_WILDCARD = "allow-origin-wildcard"
    """``Access-Control-Allow-Origin: *`` for a request with credentials."""
    ALLOW_ORIGIN_MISMATCH = "allow-origin-mismatch"
    """``Access-Control-Allow-Origin`` is not byte for byte the request's origin."""
    ALLOW_CREDENTIALS = "allow-credentials"
    """``Access-Control-Allow-Credentials`` is not ``true`` for a request with credentials."""
    PREFLIGHT_STATUS = "preflight-status"
    """The preflight's status is not within 200-299."""
    ALLOW_METHODS_INVALID = "allow-methods-invalid"
    """``Access-Control-Allow-Methods`` is no list of methods."""
    ALLOW_HEADERS_INVALID = "allow-headers-invalid"
    """``Access-Control-Allow-Headers`` is no list of header names."""
    ALLOW_METHODS = "allow-methods"
    """``Access-Control-Allow-Methods`` lacks the method."""
    ALLOW_HEADERS_AUTHORIZATION = "allow-headers-authorization"
    """``Access-Control-Allow-Headers: *`` does not cover ``Authorization``."""
    ALLOW_HEADERS = "allow-headers"
    """``Access-Control-Allow-Headers`` lacks a header that the script set."""
    REDIRECT_MODE = "redirect-mode"
    """A redirect, and the script said ``redirect: "error"``."""
    REDIRECT_LOCATION = "redirect-location"
    """The redirect's ``Location`` is no URL."""
    REDIRECT_SCHEME = "redirect-scheme"
    """The redirect's goal is not ``http:`` or ``https:``."""
    REDIRECT_COUNT = "redirect-count"
    """More than twenty redirects."""
    REDIRECT_CREDENTIALS = "redirect-credentials"
    """The redirect's goal has a user name or a password in its URL."""


@dataclass(frozen=True)
class Exchange:
    """One request that left the browser, and what came back."""

    preflight: bool
    method: str
    url: str
    """Without fragment."""
    request_headers: Headers
    """All that was sent, the browser's own headers too."""
    status: int
    """0 if nothing came back."""
    response_headers: Headers
    """All that came back, also what a script may not read."""
    data: bytes = b""


@dataclass(frozen=True)
class Response:
    """What the script gets: https://fetch.spec.whatwg.org/#response-class."""

    status: int
    """0 for the type ``opaqueredirect``."""
    headers: Headers
    """Only what the script may read; the values of repeated headers are joined by a comma and a space."""
    data: bytes
    url: str
    """Where the response came from, after all redirects, without fragment."""
    redirected: bool
    type: Literal["basic", "cors", "opaqueredirect"]

    @property
    def ok(self) -> bool:
        """Whether the status is within 200-299."""
        return self.status in words.OK_STATUSES

    @property
    def text(self) -> str:
        """The body as UTF-8, as ``text()`` reads it, whatever the ``Content-Type`` says."""
        return self.data.decode("utf-8-sig", "replace")

    @property
    def json(self) -> Any:
        """The body read as JSON, whatever the ``Content-Type`` says. ``ValueError`` if it is none."""
        return json_module.loads(self.text)


class CORSError(Exception):
    """The script gets nothing: its promise is rejected with a bare ``TypeError: Failed to fetch``.

    ``str()`` of it explains the whole case.
    """

    def __init__(self, step: Step, exchange: Exchange, facts: Mapping[str, str]) -> None:
        super().__init__(step, exchange, facts)
        self.step = step
        """The check that failed."""
        self.exchange = exchange
        """The request and the answer that failed it; ``exchange.preflight`` tells which kind."""
        self._facts = {key: _shown(value) for key, value in facts.items()}

    @property
    def why(self) -> str:
        """What is wrong, in a sentence or two."""
        return _EXPLANATIONS[self.step].why.format_map(self._facts)

    @property
    def fix(self) -> str:
        """What to change on the server."""
        return _EXPLANATIONS[self.step].fix.format_map(self._facts)

    @property
    def console(self) -> dict[str, str]:
        """What the consoles of ``"Chromium"``, ``"Firefox"`` and ``"WebKit"`` say; no entry where nothing."""
        return _console(self.step, self.exchange, self._facts)

    @property
    def docs(self) -> str:
        """The section of this package's documentation."""
        return f"docs/messages.md#{self.step.value}"

    def __str__(self) -> str:
        return "\n".join(_report(self))


# ---------------------------------------------------------------------------------------
# Browser
# ---------------------------------------------------------------------------------------


class Browser:
    """One browser with one page open, on *origin*; scripts of that page call :meth:`fetch`.

    *app* is a WSGI app, which then answers for every origin, or a mapping of origins to apps; an origin
    that is not in the mapping does not answer. *origin* is a serialized origin, or ``"null"`` for a
    sandboxed frame. *max_age_limit*: the most seconds that this browser keeps a preflight (Chromium 7200,
    Firefox 86400, WebKit 600; ``None``: no limit). *lax_by_default*: take cookies without ``SameSite`` for
    ``SameSite=Lax``, as Chromium does. ``ValueError`` for an
    origin that no browser would send.

    Two pages that share a browser, cookies and all, are not modelled: build two.
    """

    def __init__(
        self,
        app: WSGIApplication | Mapping[str, WSGIApplication],
        origin: str = "https://frontend.com",
        *,
        max_age_limit: int | None = None,
        lax_by_default: bool = False,
    ) -> None:
        self.origin = _checked_origin(origin)
        self.exchanges: list[Exchange] = []
        """Every request that left, oldest first. Clear it whenever you like."""
        self._app = None if isinstance(app, Mapping) else app
        self._apps = {_checked_origin(key): value for key, value in app.items()} if isinstance(app, Mapping) else {}
        self._cache = _PreflightCache(max_age_limit)
        self._cookies = CookieJar(_SameSitePolicy(lax_by_default))

    def fetch(
        self,
        url: str,
        method: str = "GET",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        credentials: Credentials = "same-origin",
        body: bytes | str | None = None,
        json: Any = None,
        redirect: Redirect = "follow",
    ) -> Response:
        """What ``fetch(url, {...})`` does in the page's script: https://fetch.spec.whatwg.org/#fetch-method.

        *url* may be relative to the page. *credentials*: ``"omit"``, ``"same-origin"`` or ``"include"``.
        Forbidden *headers* (``Cookie``, ``Origin``, ``Sec-...``) are dropped in silence, as browsers do. A
        *body* of ``str`` goes as ``text/plain;charset=UTF-8``, one of ``bytes`` without type; *json* is
        serialized and goes as ``application/json``, what every front end does, ``None`` meaning no body. A
        ``Content-Type`` in *headers* wins. *redirect*: ``"follow"``, ``"error"`` or ``"manual"``.

        Raises :class:`CORSError` if the script gets nothing and ``TypeError`` for what ``fetch()`` refuses
        before anything is sent (a forbidden method, GET with a body, no URL that is ``http:`` or ``https:``).
        What the app raises comes through.
        """
        if body is not None and json is not None:
            raise TypeError("give either body or json")
        request = _Request(
            origin=self.origin,
            urls=[_script_url(url, self.origin)],
            method=_script_method(method),
            headers=_script_headers(headers),
            credentials=_one_of("credentials", credentials, ("omit", "same-origin", "include")),
            redirect=_one_of("redirect", redirect, ("follow", "error", "manual")),
        )
        _set_body(request, body, json)
        _append_accept(request)
        return _filtered(request, self._main_fetch(request))

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass for the preflight cache. (Cookies expire by the wall clock.)"""
        if not seconds >= 0:
            raise ValueError(f"seconds: {seconds!r} is negative; time goes forward only")
        self._cache.now += seconds

    # https://fetch.spec.whatwg.org/#main-fetch, the step that chooses among ways to fetch
    def _main_fetch(self, request: _Request) -> _Answer:
        if request.url.origin == request.origin and request.tainting == "basic":
            return self._http_fetch(request, make_preflight=False)
        request.tainting = "cors"
        if request.method in words.SAFELISTED_METHODS and not request.unsafe_names():
            return self._http_fetch(request, make_preflight=False)
        try:
            return self._http_fetch(request, make_preflight=True)
        except CORSError:
            self._cache.clear(request)
            raise

    # https://fetch.spec.whatwg.org/#http-fetch
    def _http_fetch(self, request: _Request, *, make_preflight: bool) -> _Answer:
        if make_preflight and self._cache.lacks(request):
            self._preflight_fetch(request)
        answer = self._network_fetch(request)
        if request.tainting == "cors":
            _cors_check(request, answer.exchange)
        if answer.exchange.status not in words.REDIRECT_STATUSES or request.redirect == "manual":
            return answer
        if request.redirect == "error":
            _block(Step.REDIRECT_MODE, request, answer.exchange)
        return self._redirect_fetch(request, answer)

    # https://fetch.spec.whatwg.org/#http-redirect-fetch
    def _redirect_fetch(self, request: _Request, answer: _Answer) -> _Answer:
        location = _location(request, answer.exchange)
        if location is None:
            return answer
        _check_redirect(request, answer.exchange, location)
        _rewrite_for_redirect(request, answer.exchange.status, location)
        request.urls.append(location)
        return self._main_fetch(request)

    # https://fetch.spec.whatwg.org/#cors-preflight-fetch
    def _preflight_fetch(self, request: _Request) -> None:
        headers = [("Accept", "*/*"), (words.REQUEST_METHOD, request.method)]
        if unsafe_names := request.unsafe_names():
            headers.append((words.REQUEST_HEADERS, ",".join(unsafe_names)))  # no space, says the standard's note
        headers += [*_referer(request), (words.ORIGIN, request.serialized_origin())]
        exchange = self._send(request, headers, preflight=True).exchange
        # The standard asks for an ok status after the CORS check and names no order for the diagnosis.
        # A redirect comes first, as in Chromium: it is the cause when it lacks the headers too.
        location = exchange.response_headers.get("Location")
        if exchange.status in words.REDIRECT_STATUSES and location is not None:
            _block(Step.PREFLIGHT_REDIRECT, request, exchange, location=location)
        _cors_check(request, exchange)
        if exchange.status not in words.OK_STATUSES:
            _block(Step.PREFLIGHT_STATUS, request, exchange)
        methods = _extract_or_block(words.ALLOW_METHODS, Step.ALLOW_METHODS_INVALID, request, exchange)
        names = _extract_or_block(words.ALLOW_HEADERS, Step.ALLOW_HEADERS_INVALID, request, exchange)
        _check_method(request, exchange, methods)
        _check_header_names(request, exchange, [name.lower() for name in names])
        self._cache.store(request, exchange, methods, names)

    # https://fetch.spec.whatwg.org/#http-network-or-cache-fetch
    def _network_fetch(self, request: _Request) -> _Answer:
        headers = request.headers + _referer(request)
        # https://fetch.spec.whatwg.org/#append-a-request-origin-header
        if request.tainting == "cors" or request.method not in ("GET", "HEAD"):
            headers.append((words.ORIGIN, request.serialized_origin()))
        if not request.includes_credentials():
            return self._send(request, headers)
        cookies = _CookieRequest(request)
        self._cookies.add_cookie_header(cookies)
        headers += [("Cookie", value) for name, value in cookies.header_items() if name == "Cookie"]
        answer = self._send(request, headers)
        self._cookies.extract_cookies(_set_cookie_lines(answer.exchange), cookies)
        return answer

    # https://fetch.spec.whatwg.org/#http-network-fetch
    def _send(self, request: _Request, headers: list[tuple[str, str]], *, preflight: bool = False) -> _Answer:
        method, body = ("OPTIONS", None) if preflight else (request.method, request.body)
        sent = Headers(headers)
        head, data = None, b""
        app = self._apps.get(request.url.origin, self._app)
        if app is not None:
            head, data = _run(app, _environ(request.url, method, sent, body))
        status, received = head or (0, Headers())
        exchange = Exchange(preflight, method, str(request.url), sent, status, received, data)
        self.exchanges.append(exchange)
        if head is None:
            answers = "the app's answer is not HTTP" if app is not None else f"nothing answers for {request.url.origin}"
            _block(Step.NO_RESPONSE, request, exchange, value=answers)
        return _Answer(exchange, data)


# ---------------------------------------------------------------------------------------
# Requests and URLs: https://fetch.spec.whatwg.org/#concept-request
# ---------------------------------------------------------------------------------------


class _URL(NamedTuple):
    """https://url.spec.whatwg.org/#concept-url, as far as a request needs it."""

    origin: str
    scheme: str
    host: str
    port: int
    target: str
    """Path and query."""
    fragment: str
    has_credentials: bool

    def __str__(self) -> str:
        return self.origin + self.target


class _Answer(NamedTuple):
    exchange: Exchange
    data: bytes


@dataclass
class _Request:
    origin: str
    urls: list[_URL]
    method: str
    headers: list[tuple[str, str]]
    credentials: Credentials
    redirect: Redirect
    body: bytes | None = None
    tainting: Literal["basic", "cors"] = "basic"

    @property
    def url(self) -> _URL:
        return self.urls[-1]

    def has_header(self, name: str) -> bool:
        return any(header.lower() == name for header, _ in self.headers)

    # https://fetch.spec.whatwg.org/#cors-unsafe-request-header-names
    def unsafe_names(self) -> list[str]:
        unsafe, maybe_unsafe, size = set[str](), set[str](), 0
        for name, value in self.headers:
            if words.is_safelisted_request_header(name, value):
                maybe_unsafe.add(name.lower())
                size += len(value)
            else:
                unsafe.add(name.lower())
        return sorted(unsafe | maybe_unsafe if size > words.SAFELISTED_VALUES_LENGTH else unsafe)

    # https://fetch.spec.whatwg.org/#http-network-or-cache-fetch, "Let includeCredentials be true if"
    def includes_credentials(self) -> bool:
        same_origin = self.credentials == "same-origin" and self.tainting == "basic"
        return same_origin or self.credentials == "include"

    # https://fetch.spec.whatwg.org/#concept-request-tainted-origin
    def redirect_taint(self) -> Literal["same-origin", "same-site", "cross-site"]:
        hops = [
            (here.origin, there.origin)
            for here, there in zip(self.urls, self.urls[1:], strict=False)
            if self.origin != here.origin != there.origin
        ]
        if any(not _same_site(here, there) and not _same_site(here, self.origin) for here, there in hops):
            return "cross-site"
        return "same-site" if hops else "same-origin"

    # https://fetch.spec.whatwg.org/#serializing-a-request-origin
    def serialized_origin(self) -> str:
        return self.origin if self.redirect_taint() == "same-origin" else words.NULL_ORIGIN


_DEFAULT_PORTS = {"http": 80, "https": 443}

# https://url.spec.whatwg.org/#forbidden-domain-code-point
_FORBIDDEN_IN_HOST = re.compile(r"[\0-\x20\"#%/:<>?@\[\\\]^`{|}\x7f]")

# https://url.spec.whatwg.org/#url-parsing: what is cut off, and dropped wherever it stands
_C0_OR_SPACE = "".join(map(chr, range(0x21)))
_TAB_OR_NEWLINE = re.compile(r"[\t\n\r]")

# https://url.spec.whatwg.org/#special-authority-ignore-slashes-state
_SLASHES = re.compile(r"\A(https?:)[/\\]{2,}", re.IGNORECASE)

# The standard has no limit; engines stop between one and two million.
_LONGEST_URL = 65_536


def _parse_url(text: str, base: str | None = None) -> _URL:
    """``ValueError`` if *text* is no URL, or none with a host where the scheme is ``http`` or ``https``."""
    if len(text) > _LONGEST_URL:
        raise ValueError(f"{_shown(text)} is longer than servers read")
    text = _TAB_OR_NEWLINE.sub("", text.strip(_C0_OR_SPACE))
    text, is_absolute = _SLASHES.subn(r"\1//", text)
    parts = urlsplit(iri_to_uri(text if is_absolute or not base else urljoin(base, text)))
    host = _host(parts.hostname or "")
    default_port = _DEFAULT_PORTS.get(parts.scheme)
    if not parts.scheme or (default_port and not host):
        raise ValueError(f"{_shown(text)} is no URL that can be fetched")
    port = parts.port or default_port or 0
    origin = f"{parts.scheme}://{host}" + (f":{port}" if port != (default_port or 0) else "")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _URL(origin, parts.scheme, host, port, target, parts.fragment, "@" in parts.netloc)


def _host(name: str) -> str:
    if ":" in name:
        return f"[{words.serialize_ipv6(int(IPv6Address(name)))}]"
    if _FORBIDDEN_IN_HOST.search(name):
        raise ValueError(f"{_shown(name)} is no host")
    return name


# Of a scheme that is not special, whose host is opaque or empty:
# https://url.spec.whatwg.org/#concept-opaque-host-parser
_OPAQUE_ORIGIN = re.compile(r"(?!https?:|ftp:|wss?:|file:)[a-z][a-z0-9+.-]*://([a-z0-9._~-]+(:[1-9][0-9]{0,4})?)?")


def _checked_origin(origin: str) -> str:
    if origin == words.NULL_ORIGIN or _OPAQUE_ORIGIN.fullmatch(origin):
        return origin
    url = _parse_url(origin)
    if origin != url.origin or not url.host:
        raise ValueError(f"origin: {origin!r} is not as browsers write it; write {url.origin!r}")
    return origin


# https://html.spec.whatwg.org/multipage/browsers.html#same-site. Without the public suffix list: the last two
# labels stand for the registrable domain.
def _same_site(one: str, other: str) -> bool:
    return words.NULL_ORIGIN not in (one, other) and _site(one) == _site(other)


def _site(origin: str) -> tuple[str, str]:
    parts = urlsplit(origin)
    labels = (parts.hostname or "").split(".")
    is_address = labels[-1].isdigit() or ":" in labels[-1]
    return parts.scheme, ".".join(labels if is_address else labels[-2:])


# ---------------------------------------------------------------------------------------
# What fetch() refuses: https://fetch.spec.whatwg.org/#dom-request
# ---------------------------------------------------------------------------------------


def _script_url(text: str, origin: str) -> _URL:
    base = None if origin == words.NULL_ORIGIN else f"{origin}/"
    try:
        url = _parse_url(text, base)
    except ValueError as error:
        raise TypeError(f"url: {error}") from error
    if url.scheme not in _DEFAULT_PORTS:
        raise TypeError(f"url: {_shown(text)} is neither http: nor https:")
    if url.has_credentials:
        raise TypeError(f"url: {_shown(text)} includes a user name or a password")
    return url


def _script_method(method: str) -> str:
    if not words.is_token(method) or words.is_forbidden_method(method):
        raise TypeError(f"method: {_shown(method)} is not a method that a script may send")
    return words.normalize_method(method)


# https://fetch.spec.whatwg.org/#concept-headers-append, under the guard "request"
def _script_headers(headers: Mapping[str, str] | Iterable[tuple[str, str]] | None) -> list[tuple[str, str]]:
    pairs = cast("Iterable[tuple[str, str]]", headers.items() if isinstance(headers, Mapping) else headers or ())
    given = [(name, value.strip(words.WHITESPACE)) for name, value in pairs]
    for name, value in given:
        if not words.is_token(name) or not words.is_header_value(value):
            raise TypeError(f"headers: {_shown(name)}: {_shown(value)} is not a header")
    return [header for header in given if not words.is_forbidden_request_header_value(*header)]


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise TypeError(f"{name}: {value!r} is not one of {', '.join(map(repr, allowed))}")
    return value


# https://fetch.spec.whatwg.org/#concept-bodyinit-extract
def _set_body(request: _Request, body: bytes | str | None, json: Any) -> None:
    content_type = None
    if json is not None:
        body, content_type = json_module.dumps(json), "application/json"
    elif isinstance(body, str):
        content_type = "text/plain;charset=UTF-8"
    if body is None:
        return
    if request.method in ("GET", "HEAD"):
        raise TypeError(f"body: {request.method} cannot have one")
    request.body = body.encode() if isinstance(body, str) else bytes(body)
    if content_type and not request.has_header("content-type"):
        request.headers.append(("Content-Type", content_type))


# https://fetch.spec.whatwg.org/#concept-fetch
def _append_accept(request: _Request) -> None:
    if not request.has_header("accept"):
        request.headers.append(("Accept", "*/*"))


# https://w3c.github.io/webappsec-referrer-policy/, "strict-origin-when-cross-origin", the page being at /
def _referer(request: _Request) -> list[tuple[str, str]]:
    page = urlsplit(request.origin)
    is_downgrade = page.scheme == "https" and request.url.scheme == "http"
    return [] if is_downgrade or page.scheme not in _DEFAULT_PORTS else [("Referer", f"{request.origin}/")]


# ---------------------------------------------------------------------------------------
# HTTP, as WSGI has it
# ---------------------------------------------------------------------------------------


# https://peps.python.org/pep-3333/#environ-variables
def _environ(url: _URL, method: str, headers: Headers, body: bytes | None) -> WSGIEnvironment:
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


class _CookieRequest(urllib_request.Request):
    """What the standard library's cookie jar wants to know of a request."""

    def __init__(self, request: _Request) -> None:
        super().__init__(str(request.url))
        # https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-same-site-requests
        # (The Fetch standard's own "determine the same-site mode" looks at the redirects only.)
        self.same_site = _same_site(request.origin, request.url.origin) and request.redirect_taint() != "cross-site"


class _SameSitePolicy(DefaultCookiePolicy):
    """``SameSite``, which the standard library's cookie jar does not know."""

    def __init__(self, lax_by_default: bool) -> None:
        super().__init__()
        self._default = "lax" if lax_by_default else "none"

    def set_ok(self, cookie: Cookie, request: urllib_request.Request) -> bool:
        given = (cookie.get_nonstandard_attr("SameSite") or "").lower()
        return (cookie.secure or given != "none") and self._may(cookie, request) and super().set_ok(cookie, request)

    def return_ok(self, cookie: Cookie, request: urllib_request.Request) -> bool:
        return self._may(cookie, request) and super().return_ok(cookie, request)

    def _may(self, cookie: Cookie, request: urllib_request.Request) -> bool:
        mode = (cookie.get_nonstandard_attr("SameSite") or self._default).lower()
        return cast(_CookieRequest, request).same_site or (mode not in ("lax", "strict"))


# Engines keep 4096 bytes of name and value, and 1024 of an attribute.
_LONGEST_COOKIE = 8192

_SAME_SITE = re.compile(r";[ \t]*samesite[ \t]*=", re.IGNORECASE)


def _set_cookie_lines(exchange: Exchange) -> HTTPResponse:
    """The answer in the form in which the cookie jar reads it: an object with ``info()``."""
    message = Message()
    for value in exchange.response_headers.getlist("Set-Cookie"):
        if len(value) <= _LONGEST_COOKIE:
            # The jar keeps names of attributes that it does not know as they are spelled.
            message["Set-Cookie"] = _SAME_SITE.sub("; SameSite=", value)
    return cast(HTTPResponse, _Info(message))


class _Info(NamedTuple):
    message: Message

    def info(self) -> Message:
        return self.message


# ---------------------------------------------------------------------------------------
# The checks
# ---------------------------------------------------------------------------------------


# https://fetch.spec.whatwg.org/#cors-check
def _cors_check(request: _Request, exchange: Exchange) -> None:
    values = exchange.response_headers.getlist(words.ALLOW_ORIGIN)
    origin = ", ".join(values)
    if not values:
        _block(Step.ALLOW_ORIGIN_MISSING, request, exchange)
    if request.credentials != "include" and origin == words.WILDCARD:
        return
    if origin != request.serialized_origin():
        _block(_origin_step(origin), request, exchange, value=origin, lines=str(len(values)))
    if request.credentials != "include":
        return
    credentials = ", ".join(exchange.response_headers.getlist(words.ALLOW_CREDENTIALS))
    if credentials != "true":
        _block(Step.ALLOW_CREDENTIALS, request, exchange, value=credentials)


def _origin_step(value: str) -> Step:
    """The standard compares once; engines say more precisely what they saw, and so do we."""
    if value == words.WILDCARD:
        return Step.ALLOW_ORIGIN_WILDCARD
    return Step.ALLOW_ORIGIN_MULTIPLE if "," in value else Step.ALLOW_ORIGIN_MISMATCH


# https://fetch.spec.whatwg.org/#extract-header-list-values
# for the headers whose ABNF is a list of tokens: https://fetch.spec.whatwg.org/#http-new-header-syntax
def _extract(name: str, exchange: Exchange) -> list[str] | None:
    """The elements of all lines; none if the header is absent; ``None`` is the standard's failure."""
    elements = [item for line in exchange.response_headers.getlist(name) for item in words.split_list(line)]
    return elements if words.are_tokens(elements) else None


def _extract_or_block(name: str, step: Step, request: _Request, exchange: Exchange) -> list[str]:
    elements = _extract(name, exchange)
    if elements is None:
        lines = exchange.response_headers.getlist(name)
        bad = next(item for line in lines for item in words.split_list(line) if not words.is_token(item))
        _block(step, request, exchange, value=", ".join(lines), token=bad)
    return elements


# https://fetch.spec.whatwg.org/#cors-preflight-fetch, "If request's method is not in methods"
def _check_method(request: _Request, exchange: Exchange, methods: list[str]) -> None:
    wildcard = request.credentials != "include" and words.WILDCARD in methods
    if request.method not in methods and request.method not in words.SAFELISTED_METHODS and not wildcard:
        _block(Step.ALLOW_METHODS, request, exchange, value=", ".join(methods))


# https://fetch.spec.whatwg.org/#cors-preflight-fetch, the two steps on header names; *names* in lower case
def _check_header_names(request: _Request, exchange: Exchange, names: list[str]) -> None:
    wildcard = request.credentials != "include" and words.WILDCARD in names
    unsafe = request.unsafe_names()
    listed = set(names)
    # Both steps walk the same names: Authorization is never safelisted.
    for name in sorted(unsafe, key=lambda name: name not in words.NON_WILDCARD_REQUEST_HEADERS):
        covered = wildcard and name not in words.NON_WILDCARD_REQUEST_HEADERS
        if name not in listed and not covered:
            step = Step.ALLOW_HEADERS_AUTHORIZATION if wildcard else Step.ALLOW_HEADERS
            _block(step, request, exchange, value=", ".join(names), header=name)


# https://fetch.spec.whatwg.org/#concept-response-location-url
def _location(request: _Request, exchange: Exchange) -> _URL | None:
    values = exchange.response_headers.getlist("Location")
    if not values:
        return None
    try:
        if len(values) > 1:
            raise ValueError("several values")
        return _parse_url(values[0], str(request.url))
    except ValueError:
        _block(Step.REDIRECT_LOCATION, request, exchange, location=", ".join(values))


_MAX_REDIRECTS = 20


# https://fetch.spec.whatwg.org/#concept-http-redirect-fetch, the steps that fail
def _check_redirect(request: _Request, exchange: Exchange, location: _URL) -> None:
    said = exchange.response_headers["Location"]
    if location.scheme not in _DEFAULT_PORTS:
        _block(Step.REDIRECT_SCHEME, request, exchange, location=said)
    if len(request.urls) > _MAX_REDIRECTS:
        _block(Step.REDIRECT_COUNT, request, exchange, location=said)
    if location.has_credentials and (request.tainting == "cors" or location.origin != request.origin):
        _block(Step.REDIRECT_CREDENTIALS, request, exchange, location=said)


# https://fetch.spec.whatwg.org/#concept-http-redirect-fetch, the steps that change the request
def _rewrite_for_redirect(request: _Request, status: int, location: _URL) -> None:
    dropped: set[str] = set()
    if (status in (301, 302) and request.method == "POST") or (status == 303 and request.method not in ("GET", "HEAD")):
        request.method, request.body = "GET", None
        dropped |= words.REQUEST_BODY_HEADERS
    if location.origin != request.url.origin:
        dropped |= words.NON_WILDCARD_REQUEST_HEADERS
    request.headers = [(name, value) for name, value in request.headers if name.lower() not in dropped]


_CacheKey = tuple[str, _URL, bool]  # origin, URL, with credentials


# https://fetch.spec.whatwg.org/#cors-preflight-cache
class _PreflightCache:
    """Entries by origin, URL, credentials and method or header name. One page, so no network partition key."""

    def __init__(self, limit: int | None) -> None:
        self.now = 0.0
        self._limit = limit
        self._entries: dict[tuple[_CacheKey, str, str], _CacheEntry] = {}

    # https://fetch.spec.whatwg.org/#http-fetch, the two conditions for a preflight
    def lacks(self, request: _Request) -> bool:
        """Whether a preflight is due."""
        if request.method not in words.SAFELISTED_METHODS and not self._match(request, "method", request.method):
            return True
        return any(not self._match(request, "header", name) for name in request.unsafe_names())

    # https://fetch.spec.whatwg.org/#cors-preflight-fetch, from "Let max-age be" on
    def store(self, request: _Request, exchange: Exchange, methods: list[str], names: list[str]) -> None:
        max_age = _max_age(exchange)
        if self._limit is not None:
            max_age = min(max_age, self._limit)
        items = [("method", method) for method in methods] + [("header", name.lower()) for name in names]
        key = _cache_key(request)
        for kind, value in dict.fromkeys(items):
            if entry := self._match(request, kind, value):
                entry.max_age = max_age  # and not `stored`: the standard counts from "storing the entry"
            else:
                self._entries[key, kind, value] = _CacheEntry(self.now, max_age)

    # https://fetch.spec.whatwg.org/#concept-cache-clear
    def clear(self, request: _Request) -> None:
        key = _cache_key(request)[:2]
        self._entries = {entry: value for entry, value in self._entries.items() if entry[0][:2] != key}

    # https://fetch.spec.whatwg.org/#concept-cache-match
    def _match(self, request: _Request, kind: str, value: str) -> _CacheEntry | None:
        origin, url, credentials = _cache_key(request)
        values = [value] if value in words.NON_WILDCARD_REQUEST_HEADERS else [value, words.WILDCARD]
        for with_credentials in {True, credentials}:
            for candidate in values:
                entry = self._entries.get(((origin, url, with_credentials), kind, candidate))
                if entry and self.now < entry.stored + entry.max_age:
                    return entry
        return None


@dataclass
class _CacheEntry:
    stored: float
    max_age: int


def _cache_key(request: _Request) -> _CacheKey:
    return request.serialized_origin(), request.url, request.credentials == "include"


_DEFAULT_MAX_AGE = 5

# https://httpwg.org/specs/rfc9111.html#delta-seconds: more than this is read as this
_LONGEST_MAX_AGE = 2**31


def _max_age(exchange: Exchange) -> int:
    """Seconds. What is no delta-seconds counts as absent, -1 too (engines take that for 0)."""
    values = exchange.response_headers.getlist(words.MAX_AGE)
    if len(values) != 1 or re.fullmatch("[0-9]+", values[0]) is None:
        return _DEFAULT_MAX_AGE
    digits = values[0].lstrip("0") or "0"
    return min(int(digits[:11]), _LONGEST_MAX_AGE)


# https://fetch.spec.whatwg.org/#concept-filtered-response
def _filtered(request: _Request, answer: _Answer) -> Response:
    exchange = answer.exchange
    redirected = len(request.urls) > 1
    if request.redirect == "manual" and exchange.status in words.REDIRECT_STATUSES:
        return Response(0, Headers(), b"", exchange.url, redirected, "opaqueredirect")
    has_body = request.method != "HEAD" and exchange.status not in words.NULL_BODY_STATUSES
    data = answer.data if has_body else b""
    return Response(exchange.status, _readable(request, exchange), data, exchange.url, redirected, request.tainting)


def _readable(request: _Request, exchange: Exchange) -> Headers:
    exposed = None if request.tainting == "basic" else _exposed(request, exchange)
    values: dict[str, tuple[str, list[str]]] = {}
    for name, value in exchange.response_headers:
        key = name.lower()
        if key not in words.FORBIDDEN_RESPONSE_HEADERS and (exposed is None or key in exposed):
            values.setdefault(key, (name, []))[1].append(value)
    return Headers([(name, ", ".join(lines)) for name, lines in values.values()])


# https://fetch.spec.whatwg.org/#main-fetch, "Let headerNames be the result of extracting"
def _exposed(request: _Request, exchange: Exchange) -> frozenset[str] | None:
    """Names in lower case; ``None``: all."""
    names = _extract(words.EXPOSE_HEADERS, exchange) or []
    if request.credentials != "include" and words.WILDCARD in names:
        return None
    return words.SAFELISTED_RESPONSE_HEADERS | {name.lower() for name in names}


# ---------------------------------------------------------------------------------------
# The words for people
# ---------------------------------------------------------------------------------------


class _Explanation(NamedTuple):
    """Templates of one step; a sentence is empty where an engine's console has none."""

    section: str
    why: str
    fix: str
    chromium: str
    firefox: str
    webkit: str


_ORIGIN_NOT_ALLOWED = "Origin {origin} is not allowed by Access-Control-Allow-Origin. Status code: {status}"
_CHROMIUM_INVALID = (
    "The 'Access-Control-Allow-Origin' header contains the invalid value '{value}'."
    " Have the server send the header with a valid value."
)
_FIREFOX_FAILED = "CORS request did not succeed"
_WEBKIT_SCHEME = "not allowed to follow a cross-origin CORS redirection with non CORS scheme"
_FIREFOX_MISMATCH = "CORS header ‘Access-Control-Allow-Origin’ does not match ‘{value}’"

_EXPLANATIONS: Final[Mapping[Step, _Explanation]] = {
    Step.NO_RESPONSE: _Explanation(
        "concept-network-error",
        "No response: {value}.",
        "Start the server there, or give Browser an app for that origin.",
        "",
        _FIREFOX_FAILED,
        "",
    ),
    Step.PREFLIGHT_REDIRECT: _Explanation(
        "cors-preflight-fetch",
        "The preflight was redirected to {location}; browsers never follow the redirect of a preflight.",
        "Answer OPTIONS at this URL itself, or let the page call the final URL: "
        "usual causes are a missing trailing slash, http: instead of https:, and a login page.",
        "Redirect is not allowed for a preflight request.",
        "CORS request external redirect not allowed",
        "Preflight response is not successful. Status code: {status}",
    ),
    Step.ALLOW_ORIGIN_MISSING: _Explanation(
        "cors-check",
        "The answer (status {status}) has no Access-Control-Allow-Origin.",
        "Send Access-Control-Allow-Origin: {origin} with this answer. "
        "If others have it, something answered in the app's place: an error page, a login, a proxy.",
        "No 'Access-Control-Allow-Origin' header is present on the requested resource.",
        "CORS header ‘Access-Control-Allow-Origin’ missing",
        _ORIGIN_NOT_ALLOWED,
    ),
    Step.ALLOW_ORIGIN_MULTIPLE: _Explanation(
        "cors-check",
        "Access-Control-Allow-Origin has several values, {value}; browsers take one.",
        "Send Access-Control-Allow-Origin once, with the request's own Origin, {origin}. "
        "Two equal values mean that two parties add the header: the app and a proxy, or two extensions.",
        "The 'Access-Control-Allow-Origin' header contains multiple values '{value}', but only one is allowed."
        " Have the server send the header with a valid value.",
        "Multiple CORS header ‘Access-Control-Allow-Origin’ not allowed",
        "Access-Control-Allow-Origin cannot contain more than one origin.",
    ),
    Step.ALLOW_ORIGIN_WILDCARD: _Explanation(
        "cors-protocol-and-credentials",
        "Access-Control-Allow-Origin is *, which does not count for requests with credentials.",
        "Send Access-Control-Allow-Origin: {origin}, Access-Control-Allow-Credentials: true and Vary: Origin, "
        "if this origin may act for the user; else call fetch without credentials.",
        "The value of the 'Access-Control-Allow-Origin' header in the response must not be the wildcard '*' "
        "when the request's credentials mode is 'include'.",
        "Credential is not supported if the CORS header ‘Access-Control-Allow-Origin’ is ‘*’",
        "Cannot use wildcard in Access-Control-Allow-Origin when credentials flag is true.",
    ),
    Step.ALLOW_ORIGIN_MISMATCH: _Explanation(
        "cors-check",
        "Access-Control-Allow-Origin is {value}; it must be {origin}, byte for byte.{difference}",
        "{advice}",
        "The 'Access-Control-Allow-Origin' header has a value '{value}' that is not equal to the supplied origin."
        " Have the server send the header with a valid value.",
        _FIREFOX_MISMATCH,
        _ORIGIN_NOT_ALLOWED,
    ),
    Step.ALLOW_CREDENTIALS: _Explanation(
        "cors-check",
        "Access-Control-Allow-Credentials {said}; for a request with credentials it must be 'true', "
        "in lower case, on the preflight's answer and on the actual one.",
        "Send Access-Control-Allow-Credentials: true, if this origin may act for the user; "
        "else call fetch without credentials.",
        "The value of the 'Access-Control-Allow-Credentials' header in the response is '{value}' "
        "which must be 'true' when the request's credentials mode is 'include'.",
        "expected ‘true’ in CORS header ‘Access-Control-Allow-Credentials’",
        'Credentials flag is true, but Access-Control-Allow-Credentials is not "true".',
    ),
    Step.PREFLIGHT_STATUS: _Explanation(
        "cors-preflight-fetch",
        "The preflight was answered with {status}; browsers want a status within 200-299.",
        "Answer OPTIONS with 204. "
        "401 or 403: authentication must let preflights through. 404 or 405: no route handles OPTIONS here.",
        "It does not have HTTP ok status.",
        "CORS preflight response did not succeed",
        "Preflight response is not successful. Status code: {status}",
    ),
    Step.ALLOW_METHODS_INVALID: _Explanation(
        "extract-header-list-values",
        "Access-Control-Allow-Methods is no list of methods: {token} is none, and spoils the whole header.",
        "Separate the methods by commas: Access-Control-Allow-Methods: GET, {method}",
        "Cannot parse Access-Control-Allow-Methods response header field in preflight response.",
        "invalid token ‘{token}’ in CORS header ‘Access-Control-Allow-Methods’",
        "Header Access-Control-Allow-Methods has an invalid value: {value}",
    ),
    Step.ALLOW_HEADERS_INVALID: _Explanation(
        "extract-header-list-values",
        "Access-Control-Allow-Headers is no list of header names: {token} is none, and spoils the whole header.",
        "Separate the names by commas: Access-Control-Allow-Headers: Authorization, Content-Type",
        "Cannot parse Access-Control-Allow-Headers response header field in preflight response.",
        "invalid token ‘{token}’ in CORS header ‘Access-Control-Allow-Headers’",
        "Header Access-Control-Allow-Headers has an invalid value: {value}",
    ),
    Step.ALLOW_METHODS: _Explanation(
        "cors-preflight-fetch",
        "Access-Control-Allow-Methods {said}; it must name {method}, in this case of letters "
        "(* does not count for requests with credentials).{difference}",
        "Add {method} to Access-Control-Allow-Methods on the preflight's answer.",
        "Method {method} is not allowed by Access-Control-Allow-Methods in preflight response.",
        "Did not find method in CORS header ‘Access-Control-Allow-Methods’",
        "Method {method} is not allowed by Access-Control-Allow-Methods.",
    ),
    Step.ALLOW_HEADERS_AUTHORIZATION: _Explanation(
        "cors-non-wildcard-request-header-name",
        "Access-Control-Allow-Headers {said}; by the standard * does not cover Authorization. "
        "(Today's Chromium, Firefox and WebKit let it pass.)",
        "Name it: Access-Control-Allow-Headers: *, Authorization",
        "",
        "",
        "",
    ),
    Step.ALLOW_HEADERS: _Explanation(
        "cors-preflight-fetch",
        "Access-Control-Allow-Headers {said}; it must name {header}, which the script set "
        "(* does not count for requests with credentials).",
        "Add {header} to Access-Control-Allow-Headers on the preflight's answer.",
        "Request header field {header} is not allowed by Access-Control-Allow-Headers in preflight response.",
        "header ‘{header}’ is not allowed according to header ‘Access-Control-Allow-Headers’ "
        "from CORS preflight response",
        "Request header field {header_as_set} is not allowed by Access-Control-Allow-Headers.",
    ),
    Step.REDIRECT_MODE: _Explanation(
        "concept-http-fetch",
        'The answer is a redirect (status {status}), and the script said redirect: "error".',
        "Let the script call the final URL, or leave out redirect.",
        "",
        "",
        "Not allowed to follow a redirection while loading {first}",
    ),
    Step.REDIRECT_LOCATION: _Explanation(
        "concept-response-location-url",
        "The redirect's Location is no URL: {location}",
        "Send one Location with a valid URL.",
        "",
        _FIREFOX_FAILED,
        _WEBKIT_SCHEME,
    ),
    Step.REDIRECT_SCHEME: _Explanation(
        "concept-http-redirect-fetch",
        "The redirect leads to {location}, which is neither http: nor https:.",
        "Redirect to an http: or https: URL.",
        "",
        _FIREFOX_FAILED,
        _WEBKIT_SCHEME,
    ),
    Step.REDIRECT_COUNT: _Explanation(
        "concept-http-redirect-fetch",
        "This would be redirect number 21, to {location}; browsers follow twenty.",
        "Break the loop.",
        "",
        _FIREFOX_FAILED,
        "Load cannot follow more than 20 redirections",
    ),
    Step.REDIRECT_CREDENTIALS: _Explanation(
        "concept-http-redirect-fetch",
        "The redirect's goal has a user name or a password in its URL, which other origins may not be sent to.",
        "Redirect to a URL without them.",
        "Redirect location '' contains a username and password, which is disallowed for cross-origin requests.",
        _FIREFOX_FAILED,
        "redirection URL {location} has credentials",
    ),
}


def _block(step: Step, request: _Request, exchange: Exchange, **facts: str) -> NoReturn:
    origin, header = request.serialized_origin(), facts.get("header", "")
    facts["said"] = f"is '{facts['value']}'" if facts.get("value") else "is missing"
    facts["difference"] = _difference(step, facts.get("value", ""), origin, request.method)
    facts["advice"] = (
        "Let the page call the final URL, or serve it from the page's own origin. "
        "Allow null only for what everybody may read."
        if origin == words.NULL_ORIGIN
        else f"Allow {origin} on the server, and send it back in Access-Control-Allow-Origin."
    )
    facts["header_as_set"] = next((name for name, _ in request.headers if name.lower() == header), header)
    common = {
        "page": request.origin,
        "origin": origin,
        "first": str(request.urls[0]),
        "credentials": request.credentials,
        "method": request.method,
        "status": str(exchange.status),
    }
    raise CORSError(step, exchange, {**common, **facts})


def _difference(step: Step, value: str, origin: str, method: str) -> str:
    """What is nearly right in *value*, as a sentence after a space; else nothing."""
    if step is Step.ALLOW_METHODS:
        near = next((item for item in words.split_list(value) if item.upper() == method.upper()), None)
        return f" {near} is not {method}." if near else ""
    if step is not Step.ALLOW_ORIGIN_MISMATCH:
        return ""
    if origin == words.NULL_ORIGIN:
        return " The origin of a sandboxed frame, and of a request redirected across origins, is null."
    scheme, _, rest = value.partition("://")
    own_scheme, _, own_rest = origin.partition("://")
    differences = {
        "The trailing slash must go": value.rstrip("/") == origin,
        "The case differs": value.lower() == origin,
        "Patterns do not count, only * alone": words.WILDCARD in value,
        "The scheme differs": rest == own_rest,
        "The port differs": scheme == own_scheme and _without_port(rest) == _without_port(own_rest),
        "The scheme is missing": value == own_rest,
    }
    return next((f" {sentence}." for sentence, holds in differences.items() if holds), "")


def _without_port(authority: str) -> str:
    return re.sub(r":[0-9]*\Z", "", authority)


def _console(step: Step, exchange: Exchange, facts: Mapping[str, str]) -> dict[str, str]:
    chromium, firefox, webkit = (template.format_map(facts) for template in _EXPLANATIONS[step][3:])
    if step is Step.ALLOW_ORIGIN_MISMATCH and " " in facts["value"]:
        chromium = _EXPLANATIONS[Step.ALLOW_ORIGIN_MULTIPLE].chromium.format_map(facts)
    elif step is Step.ALLOW_ORIGIN_MISMATCH and not _LOOKS_LIKE_ORIGIN.match(facts["value"]):
        chromium = _CHROMIUM_INVALID.format_map(facts)
    if step is Step.ALLOW_ORIGIN_MULTIPLE and facts["lines"] == "1":
        firefox = _FIREFOX_MISMATCH.format_map(facts)  # Firefox counts lines, the others commas
    sentences = {
        "Chromium": chromium and _chromium_frame(step, exchange, facts) + chromium,
        "Firefox": firefox and _firefox_frame(step, exchange, firefox),
        "WebKit": webkit and _webkit_frame(step, exchange, facts, webkit),
    }
    return {engine: sentence for engine, sentence in sentences.items() if sentence}


_LOOKS_LIKE_ORIGIN = re.compile(r"null\Z|[A-Za-z][A-Za-z0-9+.-]*://[^:/]*(:[0-9]*)?(/.*)?\Z")


def _chromium_frame(step: Step, exchange: Exchange, facts: Mapping[str, str]) -> str:
    url, first = _shown(exchange.url), facts["first"]
    whence = "" if url == first else f" (redirected from '{first}')"
    frame = f"Access to fetch at '{url}'{whence} from origin '{facts['page']}' has been blocked by CORS policy: "
    about_answer = step in _ANSWER_STEPS and exchange.preflight
    return frame + ("Response to preflight request doesn't pass access control check: " if about_answer else "")


# Chromium says of these that the preflight "doesn't pass access control check".
_ANSWER_STEPS = {
    Step.PREFLIGHT_REDIRECT,
    Step.PREFLIGHT_STATUS,
    Step.ALLOW_ORIGIN_MISSING,
    Step.ALLOW_ORIGIN_MULTIPLE,
    Step.ALLOW_ORIGIN_WILDCARD,
    Step.ALLOW_ORIGIN_MISMATCH,
    Step.ALLOW_CREDENTIALS,
}


def _firefox_frame(step: Step, exchange: Exchange, reason: str) -> str:
    url = _shown(exchange.url)
    if step is Step.ALLOW_ORIGIN_WILDCARD:
        url = f"‘{url}’"  # of all the messages, only this one quotes it
    status = ""
    if reason == _FIREFOX_FAILED:
        status = " Status code: (null)."
    elif step in (Step.ALLOW_ORIGIN_MISSING, Step.PREFLIGHT_STATUS):
        status = f" Status code: {exchange.status}."
    return (
        "Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at "
        f"{url}. (Reason: {reason}).{status}"
    )


def _webkit_frame(step: Step, exchange: Exchange, facts: Mapping[str, str], reason: str) -> str:
    if exchange.preflight and exchange.status not in words.OK_STATUSES:
        return _EXPLANATIONS[Step.PREFLIGHT_STATUS].webkit.format_map(facts)  # it looks at the status first
    location = exchange.response_headers.get("Location")
    has_own_words = step in (Step.REDIRECT_COUNT, Step.REDIRECT_MODE)
    if location is None or exchange.status not in words.REDIRECT_STATUSES or has_own_words:
        return reason
    with suppress(ValueError):
        goal = _parse_url(location, exchange.url)
        location = str(goal) if goal.host else location
    return f"Cross-origin redirection to {_shown(location)} denied by Cross-Origin Resource Sharing policy: {reason}"


def _report(error: CORSError) -> Iterator[str]:
    exchange, facts = error.exchange, error._facts  # pyright: ignore[reportPrivateUsage]
    kind = "the preflight" if exchange.preflight else "the request"
    yield f"{error.step.value}: the script on {facts['page']} gets nothing; {kind} failed"
    yield ""
    yield f"sent      {_shown(exchange.method)} {_shown(exchange.url)}, credentials: {facts['credentials']}"
    yield from _lines(exchange.request_headers, ("origin", "access-control-request-"))
    yield f"received  {exchange.status or 'nothing'}"
    yield from _lines(exchange.response_headers, ("access-control-", "location"))
    if exchange.preflight and exchange.data:  # nobody reads it else, and it may well say why
        yield f"          {_shown(exchange.data[: 2 * _MOST_CHARACTERS].decode(errors='replace').strip())}"
    yield f"why       {error.why}"
    yield f"change    {error.fix}"
    for engine, sentence in error.console.items():
        yield f"{engine:<9} {sentence}"
    yield f"docs      {error.docs}"
    yield f"standard  https://fetch.spec.whatwg.org/#{_EXPLANATIONS[error.step].section}"


_MOST_LINES = 10


def _lines(headers: Headers, prefixes: tuple[str, ...]) -> list[str]:
    """The headers that matter to CORS, for people."""
    lines = [
        f"          {_shown(name)}: {_shown(value)}" for name, value in headers if name.lower().startswith(prefixes)
    ]
    more = len(lines) - _MOST_LINES
    return lines if more <= 0 else [*lines[:_MOST_LINES], f"          and {more} more"]


_MOST_CHARACTERS = 200


def _shown(text: str) -> str:
    """*text* on one line and not too long, whatever it is."""
    line = re.sub(r"[^\x20-\x7e]", lambda character: ascii(character[0])[1:-1], text[:_MOST_CHARACTERS])
    return line if len(text) <= _MOST_CHARACTERS else f"{line}... ({len(text)} characters)"
