"""From what a page asks for to a request, and what a browser refuses before anything is sent.

https://fetch.spec.whatwg.org/#dom-request
"""

from __future__ import annotations

import json as json_module
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from secrets import token_bytes
from typing import Any

from .. import fetch as words
from .arguments import check_body, check_method, check_string, read_headers
from .forms import Enctype, FormData, encode_body, encode_query, read_entries
from .records import Page, Request
from .referrer import POLICIES, ReferrerPolicy
from .text import scalar, shown
from .urls import HTTP_SCHEMES, URL, checked_origin, parse_url

__tracebackhide__ = True


def page_of(origin: str, page: str, referrer_policy: ReferrerPolicy) -> Page:
    """The page at the URL *page*, which may be relative to *origin*; ``ValueError`` if no browser would have it."""
    check_string("page", page)
    if referrer_policy not in POLICIES:
        policies = ", ".join(map(repr, POLICIES))
        raise ValueError(f"referrer_policy: {shown(repr(referrer_policy))} is not one of {policies}")
    check_string("page", page)
    if checked_origin(origin).partition("://")[0] not in HTTP_SCHEMES:
        if page != "/":
            raise ValueError(f"page: {shown(page)} is not told by a page whose origin is {origin!r}; leave it out")
        return Page(origin, None, referrer_policy)
    url = parse_url(page, parse_url(f"{origin}/"))
    if url.origin != origin:
        raise ValueError(f"page: {shown(page)} is not of the origin {origin!r}; write origin={url.origin!r}, too")
    return Page(origin, url._replace(username="", password="", fragment=None), referrer_policy)


ScriptHeaders = Mapping[str, str] | Iterable[tuple[str, str]] | None


def script_request(
    page: Page,
    url: str,
    method: str,
    headers: ScriptHeaders,
    body: bytes | str | None,
    json: Any,
    options: Mapping[str, Any],
) -> Request:
    """The request of a script's ``fetch()``; ``TypeError`` where that refuses. *options* are checked too."""
    if body is not None and json is not None:
        raise TypeError("give either body or json")
    chosen = {name: _one_of(name, value, _CHOICES[name]) for name, value in options.items()}
    request = Request(
        page=page,
        urls=[_http_url(url, page)],
        method=_script_method(method),
        headers=_script_headers(headers),
        referrer=page.url,
        referrer_policy=page.referrer_policy,
        **chosen,
    )
    if request.mode == "no-cors":
        _restrict_to_no_cors(request)
    _set_body(request, body, json)
    return request


# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#form-submission-algorithm
def form_request(page: Page, url: str, data: FormData, method: str, enctype: Enctype) -> Request:
    """The request of a form that the user sends; ``TypeError`` for what no form sends."""
    method = _one_of("method", method.upper() if isinstance(method, str) else method, ("GET", "POST"))
    enctype = _one_of("enctype", enctype, _ENCTYPES)
    action, entries = _http_url(url, page), read_entries(data)
    accept = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    if method == "GET":
        action = action._replace(query=encode_query(entries))
        content, body = [], None
    else:
        content_type, body = encode_body(entries, enctype)
        content = [("Content-Type", content_type)]
    return Request(
        page=page,
        urls=[action],
        method=method,
        headers=[*content, accept],
        credentials="include",
        redirect="follow",
        body=body,
        mode="navigate",
        referrer=page.url,
        referrer_policy=page.referrer_policy,
    )


_ENCTYPES: tuple[Enctype, ...] = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


# https://websockets.spec.whatwg.org/#concept-websocket-establish
def websocket_request(page: Page, url: str) -> Request:
    """The request of ``new WebSocket(url)``; ``TypeError`` for a URL that it does not take."""
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", b64encode(token_bytes(16)).decode()),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ]
    # The standard's redirect mode is "error". Here the test sees the redirect.
    return Request(page, [_websocket_url(url, page)], "GET", headers, "include", "manual", mode="websocket")


# https://websockets.spec.whatwg.org/#get-a-url-record
def _websocket_url(text: str, page: Page) -> URL:
    url = _page_url(text, page)
    scheme = {"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)
    if scheme not in HTTP_SCHEMES:
        raise TypeError(f"url: {shown(text)} is neither ws: nor wss:")
    if url.fragment is not None:
        raise TypeError(f"url: {shown(text)} has a fragment")
    return url._replace(scheme=scheme)


_CHOICES = {
    "credentials": ("omit", "same-origin", "include"),
    "redirect": ("follow", "error", "manual"),
    "mode": ("cors", "no-cors", "same-origin"),
}


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise TypeError(f"{name}: {shown(repr(value))} is not one of {', '.join(map(repr, allowed))}")
    return value


def _page_url(text: str, page: Page) -> URL:
    check_string("url", text)
    try:
        return parse_url(text, page.url)
    except ValueError as error:
        raise TypeError(f"url: {error}") from error


def _http_url(text: str, page: Page) -> URL:
    url = _page_url(text, page)
    if url.scheme not in HTTP_SCHEMES:
        advice = f"; write http://{text}" if _HOST_AND_PORT.match(text) else ""
        raise TypeError(f"url: {shown(text)} is neither http: nor https:{shown(advice)}")
    if url.has_credentials:
        raise TypeError(f"url: {shown(text)} includes a user name or a password")
    return url


_HOST_AND_PORT = re.compile(r"[\w.-]+:[0-9]{1,5}(?:[/?#]|\Z)")  # its host is read as a scheme


def _script_method(method: str) -> str:
    check_method(method)
    if not words.is_token(method) or words.is_forbidden_method(method):
        raise TypeError(f"method: {shown(method)} is not a method that a script may send")
    return words.normalize_method(method)


# https://fetch.spec.whatwg.org/#concept-headers-append, under the guard "request"
def _script_headers(headers: ScriptHeaders) -> list[tuple[str, str]]:
    given = [(name, value.strip(words.WHITESPACE)) for name, value in read_headers(headers)]
    for name, value in given:
        if not words.is_token(name) or not words.is_header_value(value):
            raise TypeError(f"headers: {shown(name)}: {shown(value)} is not a header")
    return [header for header in given if not words.is_forbidden_request_header_value(*header)]


# https://fetch.spec.whatwg.org/#dom-request, "If this's request's mode is "no-cors""
def _restrict_to_no_cors(request: Request) -> None:
    if request.method not in words.SAFELISTED_METHODS:
        raise TypeError(f"method: {shown(request.method)} needs mode 'cors'; mode 'no-cors' has GET, HEAD and POST")
    # https://fetch.spec.whatwg.org/#concept-main-fetch makes it a network error. Nothing is sent either way.
    if request.redirect != "follow" and request.url.origin != request.origin:
        raise TypeError(f"redirect: {request.redirect!r} needs mode 'cors' where the URL is of another origin")
    request.headers = _no_cors_headers(request.headers)


# https://fetch.spec.whatwg.org/#concept-headers-append, under the guard "request-no-cors"
def _no_cors_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    kept: list[tuple[str, str]] = []
    for name, value in headers:
        earlier = [other for kept_name, other in kept if kept_name.lower() == name.lower()]
        if words.is_no_cors_safelisted_request_header(name, ", ".join([*earlier, value])):
            kept.append((name, value))
    return kept


# https://fetch.spec.whatwg.org/#concept-bodyinit-extract
def _set_body(request: Request, body: bytes | str | None, json: Any) -> None:
    check_body(body)
    content_type = None
    if json is not None:
        body = json_module.dumps(json)
        # Under "no-cors" the script's own type is dropped, and its text gets that of all text.
        content_type = _TEXT if request.mode == "no-cors" else "application/json"
    elif isinstance(body, str):
        content_type = _TEXT
    if body is None:
        return
    if request.method in ("GET", "HEAD"):
        raise TypeError(f"body: {request.method} cannot have one")
    request.body = scalar(body).encode() if isinstance(body, str) else bytes(body)
    if content_type and not request.has_header("content-type"):
        request.headers.append(("Content-Type", content_type))


_TEXT = "text/plain;charset=UTF-8"


# https://xhr.spec.whatwg.org/#the-send()-method
def set_upload_listener(request: Request, upload_listener: bool) -> None:
    """Let *request* be that of an XMLHttpRequest, if there is a listener; ``TypeError`` if that could not send it."""
    if upload_listener and (request.mode, request.redirect) != ("cors", "follow"):
        raise TypeError("upload_listener: an XMLHttpRequest has the mode 'cors' and follows redirects; leave out both")
    request.use_cors_preflight = upload_listener
