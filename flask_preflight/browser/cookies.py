"""The cookie jar: which cookies of an answer are kept, and which go with a request.

Sections 5.1, 5.2, 5.7 and 5.8 of RFC 6265bis, in their order; ``set_cookie`` has sections 5.5 and 5.6.
https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-user-agent-requirements

Hosts are those of parsed URLs, so they are canonical. No script reads cookies: ``HttpOnly`` counts for prefixes only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Final

from .set_cookie import Enforcement, SetCookie, parse_set_cookie
from .sites import is_address, is_public_suffix, is_trustworthy, site_of
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


def fits_prefix(cookie: SetCookie, *, host_only: bool) -> bool:
    """Whether *cookie* meets the rules for the prefix of its name, or of its value if it has no name."""
    text = (cookie.name or cookie.value).lower()
    prefix = next((prefix for prefix in _PREFIXES if text.startswith(prefix)), "")
    is_for_host = host_only and cookie.path == "/"
    fits = cookie.secure and (is_for_host or "host" not in prefix) and (cookie.http_only or "http" not in prefix)
    return not prefix or (fits and cookie.name != "")


@dataclass
class Cookie:
    """A stored cookie. Times are Unix times in seconds; *number* and *last_access* are for comparison only."""

    name: str
    value: str
    expiry_time: float
    domain: str
    path: str
    host_only: bool
    secure_only: bool
    same_site: Enforcement
    creation_time: float
    number: int
    last_access: int

    def __str__(self) -> str:
        return f"{self.name}={self.value}" if self.name else self.value


# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-limits
# If there are more cookies than the first, as many as the second stay: Chromium's figures, for a site Firefox's too.
_MOST_OF_SITE: Final = (180, 150)
_MOST: Final = (3300, 3000)

# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-lax-allowing-unsafe-enforce
_LAX_ALLOWING_UNSAFE_SECONDS: Final = 120

# https://www.rfc-editor.org/rfc/rfc9110#name-safe-methods
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_Key = tuple[str, str, bool, str]  # name, domain, host-only-flag, path


class CookieJar:
    """The cookies of one browser. *lax_by_default*: what lacks ``SameSite`` counts as ``SameSite=Lax``.

    *same_site* says whether the request is a same-site request. *navigation* is its method if it opens a page at the
    top level. *now* is the Unix time in seconds.
    """

    def __init__(self, *, lax_by_default: bool) -> None:
        self._default: Enforcement = "lax" if lax_by_default else "none"
        self._sites: dict[str, dict[_Key, Cookie]] = {}
        self._numbers = count()

    # https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-storage-model
    def store(
        self, set_cookie: Iterable[str], url: URL, *, same_site: bool, now: float, navigation: str | None = None
    ) -> None:
        """Store what the ``Set-Cookie`` lines of an answer from *url* set; a line that is refused does nothing."""
        for line in set_cookie:
            received = parse_set_cookie(line, now)
            if received and (cookie := self._create(received, url, now)):
                cookies = self._live_cookies(url, now)
                may_be_set = same_site or navigation is not None or self._enforcement(cookie) == "none"
                if may_be_set and not _is_left_alone(cookies, cookie, url):
                    self._insert(cookies, cookie, now)

    def _create(self, received: SetCookie, url: URL, now: float) -> Cookie | None:
        domain = _domain_attribute(received, url.host)
        if domain is None or not fits_prefix(received, host_only=not domain):
            return None
        if not received.secure and received.same_site == "none":
            return None
        number = next(self._numbers)
        return Cookie(
            name=received.name,
            value=received.value,
            expiry_time=received.expiry_time,
            domain=domain or url.host,
            path=received.path or default_path(_path(url)),
            host_only=not domain,
            secure_only=received.secure,
            same_site=received.same_site,
            creation_time=now,
            number=number,
            last_access=number,
        )

    def _live_cookies(self, url: URL, now: float) -> dict[_Key, Cookie]:
        """The cookies of the site of *url*, without those that have expired."""
        cookies = self._sites.setdefault(site_of(url.host), {})
        for key in [key for key, cookie in cookies.items() if cookie.expiry_time <= now]:
            del cookies[key]
        return cookies

    def _enforcement(self, cookie: Cookie) -> Enforcement:
        return self._default if cookie.same_site == "default" else cookie.same_site

    def _insert(self, cookies: dict[_Key, Cookie], cookie: Cookie, now: float) -> None:
        key = (cookie.name, cookie.domain, cookie.host_only, cookie.path)
        if old := cookies.pop(key, None):
            cookie.creation_time, cookie.number = old.creation_time, old.number
        if now < cookie.expiry_time:
            cookies[key] = cookie
            self._remove_excess(cookies)

    def _remove_excess(self, cookies: dict[_Key, Cookie]) -> None:
        if len(cookies) > _MOST_OF_SITE[0]:
            unused_first = sorted(cookies, key=lambda key: (cookies[key].secure_only, cookies[key].last_access))
            for key in unused_first[: -_MOST_OF_SITE[1]]:
                del cookies[key]
        if sum(map(len, self._sites.values())) > _MOST[0]:
            every = [(of_site[key].last_access, key, of_site) for of_site in self._sites.values() for key in of_site]
            for _, key, of_site in sorted(every, key=lambda entry: entry[0])[: -_MOST[1]]:
                del of_site[key]

    # https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-retrieval-algorithm
    def cookie_string(self, url: URL, *, same_site: bool, now: float, navigation: str | None = None) -> str:
        """The value of the ``Cookie`` header for a request to *url*; empty if no cookie goes there."""
        if not self._sites:  # nor is the public suffix list loaded
            return ""
        cookies = [
            cookie
            for cookie in self._live_cookies(url, now).values()
            if _is_for(cookie, url) and (same_site or self._may_cross_sites(cookie, navigation, now))
        ]
        for cookie in cookies:
            cookie.last_access = next(self._numbers)
        return "; ".join(map(str, sorted(cookies, key=lambda cookie: (-len(cookie.path), cookie.number))))

    def _may_cross_sites(self, cookie: Cookie, navigation: str | None, now: float) -> bool:
        """Whether a cross-site request carries *cookie*."""
        enforcement = self._enforcement(cookie)
        if enforcement != "lax" or navigation is None:
            return enforcement == "none"
        is_recent = cookie.same_site == "default" and now - cookie.creation_time <= _LAX_ALLOWING_UNSAFE_SECONDS
        return navigation in _SAFE_METHODS or is_recent


def _path(url: URL) -> str:
    return url.target.partition("?")[0]


def _is_secure(url: URL) -> bool:
    """Whether *url* denotes a "secure" connection, which the RFC leaves to browsers."""
    return is_trustworthy(url.scheme, url.host)


# Section 5.7, steps 7 to 10. Beyond the RFC, engines refuse a domain that reaches across a public suffix:
# "amazonaws.com" from "bucket.s3.amazonaws.com".
def _domain_attribute(received: SetCookie, host: str) -> str | None:
    """The domain for whose hosts the cookie is; empty if it is for *host* only; ``None`` if it is ignored."""
    domain = received.domain
    if not domain or (domain == host and is_public_suffix(host)):
        return ""
    return domain if domain_matches(host, domain) and site_of(domain) == site_of(host) else None


# Section 5.7, steps 13 and 16: https://www.ietf.org/archive/id/draft-ietf-httpbis-cookie-alone-01.html
def _is_left_alone(cookies: dict[_Key, Cookie], cookie: Cookie, url: URL) -> bool:
    """Whether *url* must not set *cookie*: it is not secure, and the cookie, or one that it would hide, is secure."""
    if _is_secure(url):
        return False
    return cookie.secure_only or any(
        old.secure_only
        and old.name == cookie.name
        and (domain_matches(old.domain, cookie.domain) or domain_matches(cookie.domain, old.domain))
        and path_matches(cookie.path, old.path)
        for old in cookies.values()
    )


def _is_for(cookie: Cookie, url: URL) -> bool:
    """Whether *cookie* is for the host, the path and the scheme of *url*."""
    is_for_host = url.host == cookie.domain if cookie.host_only else domain_matches(url.host, cookie.domain)
    return is_for_host and path_matches(_path(url), cookie.path) and (_is_secure(url) or not cookie.secure_only)
