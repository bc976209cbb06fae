"""The headers that a browser adds to a request."""

from __future__ import annotations

from .. import __version__
from .. import fetch as words
from .records import Request
from .referrer import is_downgrade
from .sites import is_trustworthy, same_site

# https://fetch.spec.whatwg.org/#default-user-agent-value
_USER_AGENT = ("User-Agent", f"flask-preflight/{__version__}")


# https://fetch.spec.whatwg.org/#http-network-or-cache-fetch, up to the cookies
def added_headers(request: Request, *, preflight: bool = False) -> list[tuple[str, str]]:
    """``Referer``, ``Origin``, ``Sec-Fetch-...`` and ``User-Agent``, as the request or its preflight has them."""
    headers = [*_referer(request), *_origin(request, preflight), *_fetch_metadata(request, preflight)]
    return headers if request.has_header("user-agent") and not preflight else [*headers, _USER_AGENT]


def _referer(request: Request) -> list[tuple[str, str]]:
    return [("Referer", str(request.referrer))] if request.referrer else []


# https://fetch.spec.whatwg.org/#append-a-request-origin-header
def _origin(request: Request, preflight: bool) -> list[tuple[str, str]]:
    if request.tainting == "cors" or preflight or request.mode == "websocket":
        return [(words.ORIGIN, request.serialized_origin())]
    if request.method in ("GET", "HEAD"):
        return []
    is_hidden = request.mode != "cors" and _hides_origin(request)
    return [(words.ORIGIN, words.NULL_ORIGIN if is_hidden else request.serialized_origin())]


def _hides_origin(request: Request) -> bool:
    policy, page = request.referrer_policy, request.page.url
    if policy == "same-origin":
        return request.origin != request.url.origin
    is_strict = policy in ("no-referrer-when-downgrade", "strict-origin", "strict-origin-when-cross-origin")
    return policy == "no-referrer" or (is_strict and page is not None and is_downgrade(page, request.url))


# https://w3c.github.io/webappsec-fetch-metadata/#framework
def _fetch_metadata(request: Request, preflight: bool) -> list[tuple[str, str]]:
    if not is_trustworthy(request.url.scheme, request.url.host):
        return []
    is_navigation = request.mode == "navigate"
    headers = [
        ("Sec-Fetch-Dest", "document" if is_navigation else "empty"),
        ("Sec-Fetch-Mode", "cors" if preflight else request.mode),
        ("Sec-Fetch-Site", _site(request)),
    ]
    # A form is sent by a click of the user: that counts as user activation.
    return [*headers, ("Sec-Fetch-User", "?1")] if is_navigation else headers


# https://w3c.github.io/webappsec-fetch-metadata/#abstract-opdef-set-site
def _site(request: Request) -> str:
    others = {url.origin for url in request.urls} - {request.origin}
    if not all(same_site(origin, request.origin) for origin in others):
        return "cross-site"
    return "same-site" if others else "same-origin"
