"""The browser: a page's ``fetch()``, by the Fetch standard, in the standard's order.

It is read from top to bottom: :class:`Browser`, with the algorithms through which a request walks, each under its
section's link; then what these algorithms do to the request.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable, Mapping
from time import time
from typing import TYPE_CHECKING, Any, NoReturn

from werkzeug.datastructures import Headers

from .. import __version__
from .. import fetch as words
from .arguments import (
    check_app,
    check_body,
    check_method,
    check_names,
    check_transport,
    check_url,
    describe_missing,
    read_headers,
)
from .cache import PreflightCache
from .checks import check_redirect, cors_check, filtered, max_age, preflight_check, redirect_location
from .cookies import CookieJar
from .messages import CORSError, Step, block
from .records import Credentials, Exchange, Redirect, Request, Response
from .text import shown
from .transport import Transport, WSGITransport
from .urls import HTTP_SCHEMES, URL, checked_origin, parse_url
from .vary import AllowedOrigins

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__tracebackhide__ = True


class Browser:
    """One browser with one page open, on *origin*; scripts of that page call :meth:`fetch`.

    *app* is a WSGI app, which then answers for every origin, or a mapping of origins to apps; an origin
    that is not in the mapping does not answer. *transport* is given instead of *app*: a :class:`LiveTransport` asks
    live servers. *origin* is a serialized origin, or ``"null"`` for a
    sandboxed frame. *max_age_limit*: the most seconds that this browser keeps a preflight (Chromium 7200,
    Firefox 86400, WebKit 600; ``None``: no limit). *lax_by_default*: take cookies without ``SameSite`` for
    ``SameSite=Lax``, as RFC 6265bis and Chromium do, and Firefox does not. ``ValueError`` for an origin that no
    browser would send, ``TypeError`` for both or neither of *app* and *transport*.

    Warns with :class:`VaryWarning` if two answers of one URL allow different origins and ``Vary: Origin`` is missing.

    Two pages that share a browser, cookies and all, are not modelled: build two.
    """

    def __init__(
        self,
        app: WSGIApplication | Mapping[str, WSGIApplication] | None = None,
        origin: str = "https://frontend.com",
        *,
        transport: Transport | None = None,
        max_age_limit: int | None = None,
        lax_by_default: bool = True,
    ) -> None:
        self.origin = checked_origin(origin)
        self.exchanges: list[Exchange] = []
        """Every request that left, oldest first. Clear it whenever you like."""
        self._transport = _transport(app, transport)
        self._allowed_origins = AllowedOrigins()
        self._now = float(int(time()))  # a whole number, so that whole seconds add up without rounding
        self._cache = PreflightCache(max_age_limit)
        self._cookies = CookieJar(lax_by_default=lax_by_default)

    def fetch(
        self,
        url: str,
        method: str = "GET",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        credentials: Credentials = "same-origin",
        body: bytes | str | None = None,
        json: Any = None,
        redirect: Redirect = "follow",
        **unknown: NoReturn,
    ) -> Response:
        """What ``fetch(url, {...})`` does in the page's script: https://fetch.spec.whatwg.org/#fetch-method.

        *url* may be relative to the page. *credentials*: ``"omit"``, ``"same-origin"`` or ``"include"``.
        Forbidden *headers* (``Cookie``, ``Origin``, ``Sec-...``) are dropped in silence, as browsers do. A
        *body* of ``str`` goes as ``text/plain;charset=UTF-8``, one of ``bytes`` without type; *json* is
        serialized and goes as ``application/json``, what every front end does, ``None`` meaning no body. A
        ``Content-Type`` in *headers* wins. *redirect*: ``"follow"``, ``"error"`` or ``"manual"``.

        Raises :class:`CORSError` if the script gets nothing and ``TypeError`` for what ``fetch()`` refuses
        before anything is sent (a forbidden method, GET with a body, no URL that is ``http:`` or ``https:``), and for
        arguments of other clients, such as *data*: it says what to write.
        What the app raises comes through.
        """
        check_names(unknown)
        if body is not None and json is not None:
            raise TypeError("give either body or json")
        request = Request(
            origin=self.origin,
            urls=[_script_url(url, self.origin)],
            method=_script_method(method),
            headers=_script_headers(headers),
            credentials=_one_of("credentials", credentials, ("omit", "same-origin", "include")),
            redirect=_one_of("redirect", redirect, ("follow", "error", "manual")),
        )
        _set_body(request, body, json)
        _append_accept(request)
        return filtered(request, self._main_fetch(request))

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass for the preflight cache and the cookies, whose clock otherwise stands still."""
        if not seconds >= 0:
            raise ValueError(f"seconds: {seconds!r} is negative; time goes forward only")
        self._now += seconds

    if not TYPE_CHECKING:  # else every misspelled name would pass for an attribute

        def __getattr__(self, name):
            raise AttributeError(describe_missing(name), name=name, obj=self)

    # https://fetch.spec.whatwg.org/#main-fetch, the step that chooses among ways to fetch
    def _main_fetch(self, request: Request) -> Exchange:
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
    def _http_fetch(self, request: Request, *, make_preflight: bool) -> Exchange:
        if make_preflight and self._cache.lacks(request, self._now):
            self._preflight_fetch(request)
        exchange = self._network_fetch(request)
        if request.tainting == "cors":
            cors_check(request, exchange)
        if exchange.status not in words.REDIRECT_STATUSES or request.redirect == "manual":
            return exchange
        if request.redirect == "error":
            block(Step.REDIRECT_MODE, request, exchange)
        return self._redirect_fetch(request, exchange)

    # https://fetch.spec.whatwg.org/#http-redirect-fetch
    def _redirect_fetch(self, request: Request, exchange: Exchange) -> Exchange:
        location = redirect_location(request, exchange)
        if location is None:
            return exchange
        check_redirect(request, exchange, location)
        _rewrite_for_redirect(request, exchange.status, location)
        request.urls.append(location)
        return self._main_fetch(request)

    # https://fetch.spec.whatwg.org/#cors-preflight-fetch
    def _preflight_fetch(self, request: Request) -> None:
        headers = [("Accept", "*/*"), (words.REQUEST_METHOD, request.method)]
        if unsafe_names := request.unsafe_names():
            headers.append((words.REQUEST_HEADERS, ",".join(unsafe_names)))  # no space, says the standard's note
        headers += [*_referer(request), (words.ORIGIN, request.serialized_origin()), _USER_AGENT]
        exchange = self._send(request, headers, preflight=True)
        methods, names = preflight_check(request, exchange)
        self._cache.store(request, methods, names, max_age(exchange), self._now)

    # https://fetch.spec.whatwg.org/#http-network-or-cache-fetch
    def _network_fetch(self, request: Request) -> Exchange:
        headers = request.headers + _referer(request)
        # https://fetch.spec.whatwg.org/#append-a-request-origin-header
        if request.tainting == "cors" or request.method not in ("GET", "HEAD"):
            headers.append((words.ORIGIN, request.serialized_origin()))
        if not request.has_header("user-agent"):
            headers.append(_USER_AGENT)
        if not request.includes_credentials():
            return self._send(request, headers)
        same_site = request.is_same_site()
        if cookie_string := self._cookies.cookie_string(request.url, same_site=same_site, now=self._now):
            headers.append(("Cookie", cookie_string))
        exchange = self._send(request, headers)
        set_cookie = exchange.response_headers.getlist("Set-Cookie")
        self._cookies.store(set_cookie, request.url, same_site=same_site, now=self._now)
        return exchange

    # https://fetch.spec.whatwg.org/#http-network-fetch
    def _send(self, request: Request, headers: list[tuple[str, str]], *, preflight: bool = False) -> Exchange:
        method, body = ("OPTIONS", None) if preflight else (request.method, request.body)
        sent = Headers(headers)
        answer = self._transport.send(request.url, method, sent, body)
        received = (answer.status, answer.headers, answer.data, answer.refusal)
        exchange = Exchange(preflight, method, str(request.url), sent, *received)
        self.exchanges.append(exchange)
        if answer.error:
            block(Step.NO_RESPONSE, request, exchange, value=answer.error, change=answer.change)
        self._allowed_origins.note(exchange)
        return exchange


# https://fetch.spec.whatwg.org/#default-user-agent-value
_USER_AGENT = ("User-Agent", f"flask-preflight/{__version__}")


def _transport(app: WSGIApplication | Mapping[str, WSGIApplication] | None, transport: Transport | None) -> Transport:
    if app is not None and transport is None:
        check_app(app)
        return WSGITransport(app)
    if app is None and transport is not None:
        check_transport(transport)
        return transport
    raise TypeError("give either an app or transport=LiveTransport('https://staging.example.com')")


# ---------------------------------------------------------------------------------------
# What fetch() refuses: https://fetch.spec.whatwg.org/#dom-request
# ---------------------------------------------------------------------------------------


def _script_url(text: str, origin: str) -> URL:
    check_url(text)
    base = None if origin == words.NULL_ORIGIN else parse_url(f"{origin}/")
    try:
        url = parse_url(text, base)
    except ValueError as error:
        raise TypeError(f"url: {error}") from error
    if url.scheme not in HTTP_SCHEMES:
        raise TypeError(f"url: {shown(text)} is neither http: nor https:")
    if url.has_credentials:
        raise TypeError(f"url: {shown(text)} includes a user name or a password")
    return url


def _script_method(method: str) -> str:
    check_method(method)
    if not words.is_token(method) or words.is_forbidden_method(method):
        raise TypeError(f"method: {shown(method)} is not a method that a script may send")
    return words.normalize_method(method)


# https://fetch.spec.whatwg.org/#concept-headers-append, under the guard "request"
def _script_headers(headers: Mapping[str, str] | Iterable[tuple[str, str]] | None) -> list[tuple[str, str]]:
    given = [(name, value.strip(words.WHITESPACE)) for name, value in read_headers(headers)]
    for name, value in given:
        if not words.is_token(name) or not words.is_header_value(value):
            raise TypeError(f"headers: {shown(name)}: {shown(value)} is not a header")
    return [header for header in given if not words.is_forbidden_request_header_value(*header)]


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise TypeError(f"{name}: {value!r} is not one of {', '.join(map(repr, allowed))}")
    return value


# https://fetch.spec.whatwg.org/#concept-bodyinit-extract
def _set_body(request: Request, body: bytes | str | None, json: Any) -> None:
    check_body(body)
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
def _append_accept(request: Request) -> None:
    if not request.has_header("accept"):
        request.headers.append(("Accept", "*/*"))


# https://w3c.github.io/webappsec-referrer-policy/, "strict-origin-when-cross-origin", the page being at /
def _referer(request: Request) -> list[tuple[str, str]]:
    scheme = request.origin.partition("://")[0]
    is_downgrade = scheme == "https" and request.url.scheme == "http"
    return [] if is_downgrade or scheme not in HTTP_SCHEMES else [("Referer", f"{request.origin}/")]


# https://fetch.spec.whatwg.org/#concept-http-redirect-fetch, the steps that change the request
def _rewrite_for_redirect(request: Request, status: int, location: URL) -> None:
    dropped: set[str] = set()
    if (status in (301, 302) and request.method == "POST") or (status == 303 and request.method not in ("GET", "HEAD")):
        request.method, request.body = "GET", None
        dropped |= words.REQUEST_BODY_HEADERS
    if location.origin != request.url.origin:
        dropped |= words.NON_WILDCARD_REQUEST_HEADERS
    request.headers = [(name, value) for name, value in request.headers if name.lower() not in dropped]
