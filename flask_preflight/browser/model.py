"""The browser: a page's ``fetch()``, by the Fetch standard, in the standard's order.

Read it from top to bottom: :class:`Browser` with the algorithms of the standard, each under the link to its section,
and then how they change the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypedDict

from werkzeug.datastructures import Headers

from .. import fetch as words
from .arguments import check_app, check_names, check_seconds, check_transport, describe_missing, needs_browser
from .cache import PreflightCache
from .checks import (
    check_mixed_content,
    check_redirect,
    check_same_origin,
    cors_check,
    filtered,
    max_age,
    preflight_check,
    redirect_location,
)
from .cookies import CookieJar
from .forms import Enctype, FormData
from .headers import added_headers
from .messages import CORSError, Step, block
from .records import Credentials, Exchange, Redirect, Request, Response
from .referrer import ReferrerPolicy, determine_referrer, parse_policy
from .requests import ScriptHeaders, form_request, page_of, script_request, set_upload_listener, websocket_request
from .transport import Transport, WSGITransport
from .urls import HTTP_SCHEMES, URL
from .vary import AllowedOrigins

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__tracebackhide__ = True


class Browser:
    """One browser with one page open, on *origin*; scripts of that page call :meth:`fetch`.

    *app* is a WSGI app, which then answers for every origin, or a mapping of origins to apps; an origin that is not in
    the mapping does not answer. *transport* is given instead of *app*: a :class:`LiveTransport` asks live servers.
    *origin* is a serialized origin, or ``"null"`` for a sandboxed frame. *page* is the page's URL, or its path:
    relative URLs start there, and *referrer_policy* says which part of it is in ``Referer``. *max_age_limit*: the most
    seconds that this browser caches a preflight (Chromium 7200, Firefox 86400, WebKit 600; ``None``: no limit).
    *lax_by_default*: treat cookies without ``SameSite`` as ``SameSite=Lax``. RFC 6265bis and Chromium do this, and
    Firefox does not. ``ValueError`` for an origin that no browser would send, and for a page of another origin,
    ``TypeError`` for both or neither of *app* and *transport*.

    Warns with :class:`VaryWarning` if two answers of one URL allow different origins and ``Vary: Origin`` is missing.

    A browser has one page. For a second page, make a second browser, which has other cookies.
    """

    def __init__(
        self,
        app: WSGIApplication | Mapping[str, WSGIApplication] | None = None,
        origin: str = "https://frontend.com",
        *,
        page: str = "/",
        referrer_policy: ReferrerPolicy = "strict-origin-when-cross-origin",
        transport: Transport | None = None,
        max_age_limit: int | None = None,
        lax_by_default: bool = True,
        **unknown: NoReturn,
    ) -> None:
        check_names("Browser()", unknown)
        if max_age_limit is not None:
            check_seconds("max_age_limit", max_age_limit)
        self._page = page_of(origin, page, referrer_policy)
        self.exchanges: list[Exchange] = []
        """Every request that left, oldest first. Clear it whenever you like."""
        self._transport = _transport(app, transport)
        self._allowed_origins = AllowedOrigins()
        self._now = float(int(time()))  # a whole number, so that whole seconds add up without rounding
        self._cache = PreflightCache(max_age_limit)
        self._cookies = CookieJar(lax_by_default=lax_by_default)

    @needs_browser
    def fetch(
        self,
        url: str,
        method: str = "GET",
        headers: ScriptHeaders = None,
        credentials: Credentials = "same-origin",
        body: bytes | str | None = None,
        json: Any = None,
        redirect: Redirect = "follow",
        *,
        mode: Literal["cors", "no-cors", "same-origin"] = "cors",
        upload_listener: bool = False,
        **unknown: NoReturn,
    ) -> Response:
        """What ``fetch(url, {...})`` does in the page's script: https://fetch.spec.whatwg.org/#fetch-method.

        *url* may be relative to the page. *credentials*: ``"omit"``, ``"same-origin"`` or ``"include"``. Forbidden
        *headers* (``Cookie``, ``Origin``, ``Sec-...``) are dropped without an error, as browsers do. A *body* of
        ``str`` is sent as ``text/plain;charset=UTF-8``, and one of ``bytes`` without a type. *json* is serialized and
        sent as ``application/json``; ``None`` means no body. A ``Content-Type`` in *headers* wins. *redirect*:
        ``"follow"``, ``"error"`` or ``"manual"``. *mode*: ``"cors"``; ``"no-cors"``, which sends what needs no
        preflight, and hides the responses of other origins; or ``"same-origin"``, which sends nothing to other origins.
        *upload_listener*: behave as an XMLHttpRequest whose upload has an event listener, for example for a progress
        bar. It always sends a preflight to another origin.

        Raises :class:`CORSError` if the script gets nothing and ``TypeError`` for what ``fetch()`` refuses
        before anything is sent (a forbidden method, GET with a body, no URL that is ``http:`` or ``https:``, what
        ``"no-cors"`` or an XMLHttpRequest cannot do), and for arguments of other clients, such as *data*: it says what
        to write. What the app raises comes through.
        """
        check_names("fetch()", unknown)
        options = {"credentials": credentials, "redirect": redirect, "mode": mode}
        request = script_request(self._page, url, method, headers, body, json, options)
        set_upload_listener(request, upload_listener)
        _append_accept(request)
        return filtered(request, self._main_fetch(request))

    @needs_browser
    def submit(
        self,
        url: str,
        data: FormData = (),
        *,
        method: Literal["GET", "POST"] = "POST",
        enctype: Enctype = "application/x-www-form-urlencoded",
        **unknown: NoReturn,
    ) -> Exchange:
        """Send a form, as if the user clicked ``<button>`` in ``<form action=url>`` on the page.

        No CORS applies to it. The browser opens what comes back in place of the page, which cannot read it. *data*: the
        fields, as a mapping or as pairs of names and values. A value is a string, or ``(name, content, type)`` for a
        file, whose content only ``"multipart/form-data"`` sends. *enctype* has no effect for ``"GET"``, which puts the
        fields into the query.

        Returns the last answer, after all redirects, for the test to look at. A redirect to a URL that is neither
        ``http:`` nor ``https:`` is left to another program, so it is the last answer. Raises :class:`CORSError` if no
        page comes back (no server, a bad redirect, too many of them), ``TypeError`` for what no form sends. What the
        app raises comes through.
        """
        check_names("submit()", unknown)
        return self._main_fetch(form_request(self._page, url, data, method, enctype))

    @needs_browser
    def open_websocket(self, url: str) -> Exchange:
        """Send the handshake of the page's ``new WebSocket(url)``.

        No CORS applies to it, and cookies go with it, so the server has to look at ``Origin``. *url* is ``ws:`` or
        ``wss:``, or relative to the page.

        Returns what came back, for the test to look at. Status 101 is a connection; any other is a refusal, and the
        script gets an ``error`` event. The other headers of the handshake, such as ``Sec-WebSocket-Accept``, are not
        checked. Redirects are not followed. No frames are sent, and the connection is closed.
        Raises :class:`CORSError` if nothing comes back, ``TypeError`` for a URL that it does not take. What the app
        raises comes through.
        """
        return self._main_fetch(websocket_request(self._page, url))

    @property
    def origin(self) -> str:
        """The page's origin."""
        return self._page.origin

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass for the preflight cache and the cookies, whose clock otherwise stands still."""
        check_seconds("seconds", seconds)
        if not seconds >= 0:
            raise ValueError(f"seconds: {seconds!r} is negative; time goes forward only")
        self._now += seconds

    if not TYPE_CHECKING:  # otherwise type checkers would accept every misspelled name

        def __getattr__(self, name):
            raise AttributeError(describe_missing("Browser", name), name=name, obj=self)

    # https://fetch.spec.whatwg.org/#main-fetch, the step that chooses among ways to fetch
    def _main_fetch(self, request: Request) -> Exchange:
        check_mixed_content(request)
        request.referrer = determine_referrer(request.referrer, request.referrer_policy, request.url)
        is_at_home = request.url.origin == request.origin and request.tainting == "basic"
        if is_at_home or request.mode in ("navigate", "websocket"):
            return self._http_fetch(request, make_preflight=False)
        check_same_origin(request)
        request.tainting = "opaque" if request.mode == "no-cors" else "cors"
        if request.tainting == "opaque":
            return self._http_fetch(request, make_preflight=False)
        is_simple = request.method in words.SAFELISTED_METHODS and not request.unsafe_names()
        if is_simple and not request.use_cors_preflight:
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
        if location is None or (request.mode == "navigate" and location.scheme not in HTTP_SCHEMES):
            return exchange
        check_redirect(request, exchange, location)
        _rewrite_for_redirect(request, exchange.status, location)
        request.urls.append(location)
        # https://w3c.github.io/webappsec-referrer-policy/#set-requests-referrer-policy-on-redirect
        request.referrer_policy = parse_policy(exchange.response_headers) or request.referrer_policy
        return self._main_fetch(request)

    # https://fetch.spec.whatwg.org/#cors-preflight-fetch
    def _preflight_fetch(self, request: Request) -> None:
        headers = [("Accept", "*/*"), (words.REQUEST_METHOD, request.method)]
        if unsafe_names := request.unsafe_names():
            headers.append((words.REQUEST_HEADERS, ",".join(unsafe_names)))  # the standard's note: no space
        exchange = self._send(request, headers + added_headers(request, preflight=True), preflight=True)
        methods, names = preflight_check(request, exchange)
        self._cache.store(request, methods, names, max_age(exchange), self._now)

    # https://fetch.spec.whatwg.org/#http-network-or-cache-fetch
    def _network_fetch(self, request: Request) -> Exchange:
        headers = request.headers + added_headers(request)
        if not request.includes_credentials():
            return self._send(request, headers)
        navigation = request.method if request.mode == "navigate" else None
        context = _Context(same_site=request.is_same_site(), navigation=navigation, now=self._now)
        if cookie_string := self._cookies.cookie_string(request.url, **context):
            headers.append(("Cookie", cookie_string))
        exchange = self._send(request, headers)
        self._cookies.store(exchange.response_headers.getlist("Set-Cookie"), request.url, **context)
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


class _Context(TypedDict):
    """What the cookie jar wants to know of a request beside its URL."""

    same_site: bool
    navigation: str | None
    now: float


def _transport(app: WSGIApplication | Mapping[str, WSGIApplication] | None, transport: Transport | None) -> Transport:
    if app is not None and transport is None:
        check_app(app)
        return WSGITransport(app)
    if app is None and transport is not None:
        check_transport(transport)
        return transport
    raise TypeError("give either an app or transport=LiveTransport('https://staging.example.com')")


# https://fetch.spec.whatwg.org/#concept-fetch
def _append_accept(request: Request) -> None:
    if not request.has_header("accept"):
        request.headers.append(("Accept", "*/*"))


# https://fetch.spec.whatwg.org/#concept-http-redirect-fetch, the steps that change the request
def _rewrite_for_redirect(request: Request, status: int, location: URL) -> None:
    dropped: set[str] = set()
    if (status in (301, 302) and request.method == "POST") or (status == 303 and request.method not in ("GET", "HEAD")):
        request.method, request.body = "GET", None
        dropped |= words.REQUEST_BODY_HEADERS
    if location.origin != request.url.origin:
        dropped |= words.NON_WILDCARD_REQUEST_HEADERS
    request.headers = [(name, value) for name, value in request.headers if name.lower() not in dropped]
