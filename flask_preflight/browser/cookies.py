"""The cookie jar: which cookies of an answer are kept, and which go with a request.

https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html. The jar itself is the standard library's, which
does not know ``SameSite``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.message import Message
from http import cookiejar
from http.client import HTTPResponse
from typing import NamedTuple, cast
from urllib import request as urllib_request

from .urls import URL


class CookieJar:
    """The cookies of one browser. *lax_by_default*: what lacks ``SameSite`` counts as ``SameSite=Lax``.

    *same_site* says whether the request is a same-site request, *now* is the Unix time in seconds. (The standard
    library's jar reads the clock by itself.)
    """

    def __init__(self, *, lax_by_default: bool) -> None:
        self._jar = cookiejar.CookieJar(_SameSitePolicy(lax_by_default))

    # https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-storage-model
    def store(self, set_cookie: Iterable[str], url: URL, *, same_site: bool, now: float) -> None:
        """Store what the ``Set-Cookie`` lines of an answer from *url* set; a line that is refused does nothing."""
        self._jar.extract_cookies(_as_response(set_cookie), _CookieRequest(url, same_site))

    # https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-retrieval-algorithm
    def cookie_string(self, url: URL, *, same_site: bool, now: float) -> str:
        """The value of the ``Cookie`` header for a request to *url*; empty if no cookie goes there."""
        request = _CookieRequest(url, same_site)
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie", "")


class _CookieRequest(urllib_request.Request):
    """What the standard library's cookie jar wants to know of a request."""

    def __init__(self, url: URL, same_site: bool) -> None:
        super().__init__(str(url))
        self.same_site = same_site


class _SameSitePolicy(cookiejar.DefaultCookiePolicy):
    """``SameSite``, which the standard library's cookie jar does not know."""

    def __init__(self, lax_by_default: bool) -> None:
        super().__init__()
        self._default = "lax" if lax_by_default else "none"

    def set_ok(self, cookie: cookiejar.Cookie, request: urllib_request.Request) -> bool:
        given = (cookie.get_nonstandard_attr("SameSite") or "").lower()
        return (cookie.secure or given != "none") and self._may(cookie, request) and super().set_ok(cookie, request)

    def return_ok(self, cookie: cookiejar.Cookie, request: urllib_request.Request) -> bool:
        return self._may(cookie, request) and super().return_ok(cookie, request)

    def _may(self, cookie: cookiejar.Cookie, request: urllib_request.Request) -> bool:
        mode = (cookie.get_nonstandard_attr("SameSite") or self._default).lower()
        return cast(_CookieRequest, request).same_site or (mode not in ("lax", "strict"))


# Engines keep 4096 bytes of name and value, and 1024 of an attribute.
_LONGEST_COOKIE = 8192

_SAME_SITE = re.compile(r";[ \t]*samesite[ \t]*=", re.IGNORECASE)


def _as_response(set_cookie: Iterable[str]) -> HTTPResponse:
    """The lines in the form in which the standard library's jar reads them: an object with ``info()``."""
    message = Message()
    for line in set_cookie:
        if len(line) <= _LONGEST_COOKIE:
            # The jar keeps names of attributes that it does not know as they are spelled.
            message["Set-Cookie"] = _SAME_SITE.sub("; SameSite=", line)
    return cast(HTTPResponse, _Info(message))


class _Info(NamedTuple):
    message: Message

    def info(self) -> Message:
        return self.message
