"""The cookie jar: which cookies of an answer are kept, and which go with a request.

Sections 5.1, 5.2, 5.7 and 5.8 of RFC 6265bis, in their order; ``set_cookie`` has sections 5.5 and 5.6.
https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-user-agent-requirements

Hosts are those of parsed URLs, so they are canonical. No script reads cookies here: ``HttpOnly`` counts for prefixes only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Final

from .set_cookie import Enforcement, SetCookie, parse_set_cookie
from .sites import is_address, is_public_suffix, is_trustworthy
from .urls import URL


# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-domain-matching
def domain_matches(host: str, domain: str) -> bool:
    """Whether *host* is *domain* or one of its subdomains."""
    return host == domain or (host.endswith(f".{domain}") and not is_address(host))


# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-paths-and-path-match
def default_path(request_path: str) -> str:
    """The path of a cookie without ``Path`` that is set by an answer for *request_path*."""
    return request_path[: request_path.rfind("/")] or "/"


def path_matches(request_path: str, cookie_path: str) -> bool:
    """Whether *request_path* is *cookie_path* or lies below it."""
    if not request_path.startswith(cookie_path):
        return False
    return request_path == cookie_path or cookie_path.endswith("/") or request_path[len(cookie_path)] == "/"


# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-cookie-name-prefixes-2. The two with "http"
# are newer: https://httpwg.org/http-extensions/draft-ietf-httpbis-layered-cookies.html#name-store-a-cookie
_PREFIXES: Final = ("__secure-", "__host-http-", "__host-", "__http-")


def keeps_promise(cookie: SetCookie, *, host_only: bool) -> bool:
    """Whether *cookie* is what the prefix of its name says. If it has no name, its value may not look like one."""
    text = (cookie.name or cookie.value).lower()
    prefix = next((prefix for prefix in _PREFIXES if text.startswith(prefix)), "")
    is_for_host = host_only and cookie.path == "/"
    fits = cookie.secure and (is_for_host or "host" not in prefix) and (cookie.http_only or "http" not in prefix)
    return not prefix or (fits and cookie.name != "")


@dataclass
class Cookie:
    """A stored cookie. Times are Unix times in seconds, *last_access* is a number that only grows."""

    name: str
    value: str
    expiry_time: float
    domain: str
    path: str
    host_only: bool
    secure_only: bool
    same_site: Enforcement
    creation_time: float
    creation_number: int
    last_access: int


# As in Chromium and Firefox; the RFC asks for 50 and 3000 or more.
MOST_COOKIES_OF_DOMAIN: Final = 180
MOST_COOKIES: Final = 3000

# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-lax-allowing-unsafe-enforce
LAX_ALLOWING_UNSAFE_SECONDS: Final = 120

# https://www.rfc-editor.org/rfc/rfc9110#name-safe-methods
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_Key = tuple[str, bool, str]  # name, host-only-flag, path


class CookieJar:
    """The cookies of one browser. *lax_by_default*: what lacks ``SameSite`` counts as ``SameSite=Lax``.

    *same_site* says whether the request is a same-site request, *navigation* is its method if it opens a page at the top
    level, *now* is the Unix time in seconds.
    """

    def __init__(self, *, lax_by_default: bool) -> None:
        self._lax_by_default = lax_by_default
        self._domains: dict[str, dict[_Key, Cookie]] = {}
        self._numbers = count()

    # https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-storage-model
    def store(
        self, set_cookie: Iterable[str], url: URL, *, same_site: bool, now: float, navigation: str | None = None
    ) -> None:
        """Store what the ``Set-Cookie`` lines of an answer from *url* set; a line that is refused does nothing."""
        self._evict_expired(now)
        for line in set_cookie:
            received = parse_set_cookie(line, now)
            cookie = received and self._receive(received, url, same_site or navigation is not None, now)
            if cookie:
                self._insert(cookie, now)

    def _receive(self, received: SetCookie, url: URL, may_be_lax: bool, now: float) -> Cookie | None:
        """The cookie to be stored, or ``None`` if it is ignored."""
        domain = _domain_attribute(received, url.host)
        if domain is None or not keeps_promise(received, host_only=not domain):
            return None
        number = next(self._numbers)
        cookie = Cookie(
            name=received.name,
            value=received.value,
            expiry_time=received.expiry_time,
            domain=domain or url.host,
            path=received.path or default_path(_path(url)),
            host_only=not domain,
            secure_only=received.secure,
            same_site=received.same_site,
            creation_time=now,
            creation_number=number,
            last_access=number,
        )
        if not _is_secure(url) and (cookie.secure_only or self._overlays_secure(cookie)):
            return None
        if cookie.same_site == "none" and not cookie.secure_only:
            return None
        return cookie if may_be_lax or self._enforcement(cookie) == "none" else None

    def _overlays_secure(self, cookie: Cookie) -> bool:
        """Whether a cookie that anyone on the network can set would hide one that only encrypted answers can set."""
        return any(
            old.secure_only and old.name == cookie.name and path_matches(cookie.path, old.path)
            for domain, cookies in self._domains.items()
            if domain_matches(domain, cookie.domain) or domain_matches(cookie.domain, domain)
            for old in cookies.values()
        )

    def _enforcement(self, cookie: Cookie) -> Enforcement:
        if cookie.same_site != "default":
            return cookie.same_site
        return "lax" if self._lax_by_default else "none"

    def _insert(self, cookie: Cookie, now: float) -> None:
        cookies = self._domains.setdefault(cookie.domain, {})
        key = (cookie.name, cookie.host_only, cookie.path)
        if old := cookies.pop(key, None):
            cookie.creation_time, cookie.creation_number = old.creation_time, old.creation_number
        if now < cookie.expiry_time:
            cookies[key] = cookie
            self._evict_excess(cookies)

    def _evict_expired(self, now: float) -> None:
        for cookies in self._domains.values():
            for key in [key for key, cookie in cookies.items() if cookie.expiry_time <= now]:
                del cookies[key]

    def _evict_excess(self, cookies: dict[_Key, Cookie]) -> None:
        if len(cookies) > MOST_COOKIES_OF_DOMAIN:
            del cookies[min(cookies, key=lambda key: (cookies[key].secure_only, cookies[key].last_access))]
        if sum(map(len, self._domains.values())) > MOST_COOKIES:
            oldest = min(self._all(), key=lambda cookie: cookie.last_access)
            del self._domains[oldest.domain][oldest.name, oldest.host_only, oldest.path]

    def _all(self) -> list[Cookie]:
        return [cookie for cookies in self._domains.values() for cookie in cookies.values()]

    # https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-retrieval-algorithm
    def cookie_string(self, url: URL, *, same_site: bool, now: float, navigation: str | None = None) -> str:
        """The value of the ``Cookie`` header for a request to *url*; empty if no cookie goes there."""
        self._evict_expired(now)
        is_secure, path = _is_secure(url), _path(url)
        cookies = [
            cookie
            for cookie in self._of_host(url.host)
            if path_matches(path, cookie.path)
            and (is_secure or not cookie.secure_only)
            and (same_site or self._may_cross(cookie, navigation, now))
        ]
        cookies.sort(key=lambda cookie: (-len(cookie.path), cookie.creation_number))
        for cookie in cookies:
            cookie.last_access = next(self._numbers)
        return "; ".join(f"{cookie.name}={cookie.value}" if cookie.name else cookie.value for cookie in cookies)

    def _of_host(self, host: str) -> list[Cookie]:
        return [
            cookie
            for domain, cookies in self._domains.items()
            if domain_matches(host, domain)
            for cookie in cookies.values()
            if domain == host or not cookie.host_only
        ]

    def _may_cross(self, cookie: Cookie, navigation: str | None, now: float) -> bool:
        """Whether *cookie* goes with a cross-site request."""
        enforcement = self._enforcement(cookie)
        if enforcement != "lax" or navigation is None:
            return enforcement == "none"
        is_recent = cookie.same_site == "default" and now - cookie.creation_time <= LAX_ALLOWING_UNSAFE_SECONDS
        return navigation in _SAFE_METHODS or is_recent


def _path(url: URL) -> str:
    return url.target.partition("?")[0]


def _is_secure(url: URL) -> bool:
    """Whether *url* denotes a "secure" connection, which the RFC leaves to browsers."""
    return is_trustworthy(url.scheme, url.host)


def _domain_attribute(received: SetCookie, host: str) -> str | None:
    """The domain for whose hosts the cookie is; empty if it is for *host* only; ``None`` if it is ignored."""
    domain = received.domain
    if not domain or (domain == host and is_public_suffix(domain)):
        return ""
    is_ignored = not domain.isascii() or is_public_suffix(domain) or not domain_matches(host, domain)
    return None if is_ignored else domain
