"""The cookies of the browser for tests, by RFC 6265bis.

Chromium, Firefox and WebKit judge them in ``test_real_cookies.py``.
"""

from __future__ import annotations

import calendar
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from email.utils import format_datetime
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flask_preflight.browser import Browser
from flask_preflight.browser.cookies import CookieJar, default_path, domain_matches, path_matches
from flask_preflight.browser.set_cookie import COOKIE_AGE_LIMIT, SetCookie, parse_date, parse_set_cookie
from flask_preflight.browser.sites import is_trustworthy, registrable_domain, same_site
from flask_preflight.browser.urls import parse_url

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NOW = 1_700_000_000
PAST = "Expires=Thu, 01 Jan 1970 00:00:00 GMT"
FUTURE = "Expires=Wed, 09 Jun 2100 10:18:14 GMT"


class Visit:
    """A page whose fetches, all with credentials, get answers that set what each call says."""

    def __init__(self, page: str, **options: Any) -> None:
        self.browser = Browser(self.answer, page, **options)
        self.lines: Sequence[str] = ()
        self.location = ""
        self.cookies = ""

    def answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.cookies = environ.get("HTTP_COOKIE", "")
        headers = [
            ("Access-Control-Allow-Origin", environ.get("HTTP_ORIGIN", "null")),
            ("Access-Control-Allow-Credentials", "true"),
            ("Vary", "Origin"),
            *(("Set-Cookie", line) for line in self.lines),
        ]
        if location := self.location:
            self.location = ""
            headers.append(("Location", location))
        start_response("302 Found" if location else "200 OK", headers)
        return []

    def fetch(self, url: str, *lines: str) -> str:
        """The cookies that the request carries; its answer has *lines* in ``Set-Cookie``."""
        self.lines = lines
        self.browser.fetch(url, credentials="include")
        return self.cookies


def kept(url: str, *lines: str, page: str | None = None, then: str | None = None, **options: Any) -> str:
    """What a second request carries, to *url* or *then*, if the answer to the first one has *lines*."""
    visit = Visit(page or parse_url(url).origin, **options)
    visit.fetch(url, *lines)
    return visit.fetch(then or url)


# ---------------------------------------------------------------------------------------
# Parsing: section 5.6
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "cookie"),
    [
        pytest.param("a=1", SetCookie("a", "1"), id="name and value"),
        pytest.param(" \ta \t=\t 1 \t", SetCookie("a", "1"), id="white space"),
        pytest.param("a", SetCookie("", "a"), id="no equals sign"),
        pytest.param("=a", SetCookie("", "a"), id="no name"),
        pytest.param("a=", SetCookie("a", ""), id="no value"),
        pytest.param("a=b=c", SetCookie("a", "b=c"), id="two equals signs"),
        pytest.param('a="b; Secure"', SetCookie("a", '"b', secure=False), id="quotes protect nothing"),
        pytest.param("a=1, b=2", SetCookie("a", "1, b=2"), id="a comma separates nothing"),
        pytest.param("a=1\t2", SetCookie("a", "1\t2"), id="tab"),
        pytest.param("a=%20", SetCookie("a", "%20"), id="percent-encoded"),
        pytest.param("a=\xe9", SetCookie("a", "\xe9"), id="not ASCII"),
        pytest.param("", None, id="empty"),
        pytest.param(" = ; Path=/", None, id="neither name nor value"),
        pytest.param("a=\x00", None, id="NUL"),
        pytest.param("a=1; Path=/\x1f", None, id="control character in an attribute"),
        pytest.param("a\x7f=1", None, id="DEL in the name"),
        pytest.param("a=" + "x" * 4095, SetCookie("a", "x" * 4095), id="4096 octets"),
        pytest.param("a=" + "x" * 4096, None, id="4097 octets"),
        pytest.param("x" * 4096 + "=", SetCookie("x" * 4096, ""), id="name of 4096 octets"),
        pytest.param("a=1;Path=/b;Path=/c", SetCookie("a", "1", path="/c"), id="the last path"),
        pytest.param("a=1; path=/b", SetCookie("a", "1", path="/b"), id="names of attributes have no case"),
        pytest.param("a=1; Path = /b ", SetCookie("a", "1", path="/b"), id="white space around attributes"),
        pytest.param("a=1; Path=/b; Path=c", SetCookie("a", "1"), id="a path without a slash takes the last one away"),
        pytest.param("a=1; Path=/b; Path", SetCookie("a", "1"), id="an empty path too"),
        pytest.param("a=1; Path=/" + "b" * 1023, SetCookie("a", "1", path="/" + "b" * 1023), id="1024 octets"),
        pytest.param("a=1; Path=/b; Path=/" + "b" * 1024, SetCookie("a", "1", path="/b"), id="1025 octets"),
        pytest.param("a=1; Domain=.Example.COM", SetCookie("a", "1", domain="example.com"), id="domain"),
        pytest.param("a=1; Domain=..example.com", SetCookie("a", "1", domain=".example.com"), id="two dots"),
        pytest.param("a=1; Domain=b.com; Domain=", SetCookie("a", "1"), id="the last domain is empty"),
        pytest.param("a=1; Secure=no; HttpOnly=no", SetCookie("a", "1", secure=True, http_only=True), id="flags"),
        pytest.param("a=1; SameSite=sTRICT", SetCookie("a", "1", same_site="strict"), id="strict"),
        pytest.param("a=1; SameSite=Lax", SetCookie("a", "1", same_site="lax"), id="lax"),
        pytest.param("a=1; SameSite=None", SetCookie("a", "1", same_site="none"), id="none"),
        pytest.param("a=1; SameSite=Lax; SameSite=x", SetCookie("a", "1"), id="an unknown SameSite is none"),
        pytest.param("a=1; Max-Age=60", SetCookie("a", "1", max_age=NOW + 60), id="max-age"),
        pytest.param("a=1; Max-Age=060", SetCookie("a", "1", max_age=NOW + 60), id="leading zero"),
        pytest.param("a=1; Max-Age=0", SetCookie("a", "1", max_age=-inf), id="0"),
        pytest.param("a=1; Max-Age=-0", SetCookie("a", "1", max_age=-inf), id="-0"),
        pytest.param("a=1; Max-Age=-5", SetCookie("a", "1", max_age=-inf), id="negative"),
        *(
            pytest.param(f"a=1; Max-Age={text}", SetCookie("a", "1"), id=f"Max-Age={text}")
            for text in ("", "-", "+5", "1.5", "1e3", "5x", "x5", '"5"', "5 5", "--5", "\xb2")
        ),
        pytest.param(
            "a=1; Max-Age=60; Max-Age=x", SetCookie("a", "1", max_age=NOW + 60), id="the last that is a number"
        ),
        pytest.param(
            f"a=1; Max-Age={COOKIE_AGE_LIMIT}", SetCookie("a", "1", max_age=NOW + COOKIE_AGE_LIMIT), id="400 days"
        ),
        pytest.param(
            f"a=1; Max-Age={COOKIE_AGE_LIMIT + 1}", SetCookie("a", "1", max_age=NOW + COOKIE_AGE_LIMIT), id="and more"
        ),
        pytest.param(
            "a=1; Max-Age=" + "9" * 1024, SetCookie("a", "1", max_age=NOW + COOKIE_AGE_LIMIT), id="1024 digits"
        ),
        pytest.param("a=1; Max-Age=" + "9" * 4000, SetCookie("a", "1"), id="4000 digits"),
        pytest.param("a=1; Expires=Thu, 01 Jan 1970 00:01:40 GMT", SetCookie("a", "1", expires=100), id="expires"),
        pytest.param(f"a=1; {FUTURE}", SetCookie("a", "1", expires=NOW + COOKIE_AGE_LIMIT), id="expires in 400 days"),
        pytest.param(f"a=1; {PAST}; Expires=x", SetCookie("a", "1", expires=0), id="the last that is a date"),
        pytest.param("a=1; ;; =x; Priority=High; Partitioned", SetCookie("a", "1"), id="what nobody knows"),
    ],
)
def test_parse(line: str, cookie: SetCookie | None) -> None:
    assert parse_set_cookie(line, NOW) == cookie


@pytest.mark.parametrize(
    ("line", "expiry_time"),
    [
        pytest.param("a=1", inf, id="session"),
        pytest.param("a=1; Expires=Thu, 01 Jan 1970 00:01:40 GMT", 100, id="expires"),
        pytest.param(f"a=1; Max-Age=60; {PAST}", NOW + 60, id="max-age wins"),
        pytest.param(f"a=1; {FUTURE}; Max-Age=0", -inf, id="max-age wins over the future"),
    ],
)
def test_expiry_time(line: str, expiry_time: float) -> None:
    cookie = parse_set_cookie(line, NOW)
    assert cookie is not None
    assert cookie.expiry_time == expiry_time


def unix(*fields: int) -> int:
    return calendar.timegm((*fields, 0, 0, 0))


JUNE = unix(2021, 6, 9, 10, 18, 14)


# https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-dates
@pytest.mark.parametrize(
    ("text", "time"),
    [
        pytest.param("Wed, 09 Jun 2021 10:18:14 GMT", JUNE, id="RFC 9110"),
        pytest.param("Wednesday, 09-Jun-21 10:18:14 GMT", JUNE, id="RFC 850"),
        pytest.param("Wed Jun  9 10:18:14 2021", JUNE, id="asctime"),
        pytest.param("9 jUNe 2021 10:18:14", JUNE, id="month by three letters in any case"),
        pytest.param("10:18:14 9 Jun 2021", JUNE, id="time first"),
        pytest.param("2021 Jun 09 10:18:14", JUNE, id="year first"),
        pytest.param("09 Jun 2021 10:18:14 +0200", JUNE, id="a time zone does not count"),
        pytest.param("09 Jun 2021 10:18:14.5", JUNE, id="fraction"),
        pytest.param("09th Jun 2021AD 10:18:14Z", JUNE, id="letters behind digits"),
        pytest.param("2021-06-09T10:18:14Z", None, id="ISO 8601"),
        pytest.param("09 Jun 21 10:18:14", JUNE, id="two digits"),
        pytest.param("1 Jan 69 0:0:0", unix(2069, 1, 1, 0, 0, 0), id="69"),
        pytest.param("1 Jan 70 0:0:0", 0, id="70"),
        pytest.param("1 Jan 99 0:0:0", unix(1999, 1, 1, 0, 0, 0), id="99"),
        pytest.param("1 Jan 100 0:0:0", None, id="100"),
        pytest.param("1 Jan 1600 0:0:0", None, id="1600"),
        pytest.param("1 Jan 1601 0:0:0", -11644473600, id="1601"),
        pytest.param("1 Jan 9999 0:0:0", unix(9999, 1, 1, 0, 0, 0), id="9999"),
        pytest.param("1 Jan 12345 0:0:0", None, id="five digits"),
        pytest.param("001 Jan 2021 0:0:0", None, id="three digits of a day"),
        pytest.param("1 Jan 2021 00:00:000", None, id="three digits of a second"),
        pytest.param("0 Jan 2021 0:0:0", None, id="day 0"),
        pytest.param("32 Jan 2021 0:0:0", None, id="day 32"),
        pytest.param("31 Feb 2021 0:0:0", None, id="31 February"),
        pytest.param("29 Feb 2020 0:0:0", unix(2020, 2, 29, 0, 0, 0), id="29 February"),
        pytest.param("29 Feb 2021 0:0:0", None, id="29 February in the wrong year"),
        pytest.param("1 Jan 2021 24:00:00", None, id="hour 24"),
        pytest.param("1 Jan 2021 23:60:00", None, id="minute 60"),
        pytest.param("1 Jan 2021 23:59:60", None, id="leap second"),
        pytest.param("1 Jan 2021", None, id="no time"),
        pytest.param("1 Jan 00:00:00", None, id="no year"),
        pytest.param("Jan 2021 00:00:00", None, id="no day"),
        pytest.param("1 2021 00:00:00", None, id="no month"),
        pytest.param("1 Jan 2021 00:00", None, id="no seconds"),
        pytest.param("1 Jan Feb 2021 0:0:0 1:1:1 2 2022", unix(2021, 1, 1, 0, 0, 0), id="the first of each counts"),
        pytest.param("1\u0661 Jan 2021 0:0:0", unix(2021, 1, 1, 0, 0, 0), id="other digits are letters"),
        pytest.param("0", None, id="0"),
        pytest.param("", None, id="empty"),
    ],
)
def test_dates(text: str, time: int | None) -> None:
    assert parse_date(text) == time


@given(
    st.datetimes(datetime(1601, 1, 1), datetime(9999, 12, 31), timezones=st.just(timezone.utc)),
    st.sampled_from(("%d %b %Y %H:%M:%S", "%A, %d-%b-%Y %H:%M:%S GMT", "%b/%d/%Y (%H:%M:%S)")),
)
def test_dates_are_read_as_they_were_written(date: datetime, form: str) -> None:
    date = date.replace(microsecond=0)
    assert parse_date(date.strftime(form).replace(f"{date.year}", f"{date.year:04}")) == date.timestamp()
    assert parse_date(format_datetime(date, usegmt=True)) == date.timestamp()


octets = st.text(st.characters(max_codepoint=255))
lines = octets | st.lists(
    st.sampled_from(
        (
            "a=1",
            "=",
            "Max-Age=",
            "Expires=",
            "Domain=",
            "Path=",
            "SameSite=None",
            "Secure",
            "__Host-a=1",
            "9",
            " ",
            "-1",
        )
    )
    | octets,
    max_size=8,
).map("; ".join)


@given(lines)
@example("a=1; Expires=" + "1 " * 512)
@example("a=1; Max-Age=" + "0" * 1023 + "1")
def test_any_line_is_a_cookie_or_ignored(line: str) -> None:
    cookie = parse_set_cookie(line, NOW)
    if cookie is not None:
        assert 0 < len(cookie.name) + len(cookie.value) <= 4096
        assert (cookie.path or "/").startswith("/")
        assert cookie.expiry_time <= NOW + COOKIE_AGE_LIMIT or cookie.expiry_time == inf
        assert parse_set_cookie(f"{cookie.name}={cookie.value}", NOW) == SetCookie(cookie.name, cookie.value)


# ---------------------------------------------------------------------------------------
# Hosts and paths: section 5.1, and which sites there are
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "domain", "matches"),
    [
        pytest.param("example.com", "example.com", True, id="same"),
        pytest.param("api.example.com", "example.com", True, id="subdomain"),
        pytest.param("a.b.example.com", "example.com", True, id="deeper"),
        pytest.param("example.com", "api.example.com", False, id="parent"),
        pytest.param("myexample.com", "example.com", False, id="no dot between"),
        pytest.param("127.0.0.1", "127.0.0.1", True, id="address"),
        pytest.param("127.0.0.1", "0.0.1", False, id="end of an address"),
        pytest.param("[::1]", "[::1]", True, id="IPv6"),
        pytest.param("example.com", "", False, id="empty"),
    ],
)
def test_domain_matching(host: str, domain: str, matches: bool) -> None:
    assert domain_matches(host, domain) is matches


@pytest.mark.parametrize(
    ("request_path", "cookie_path", "matches"),
    [
        pytest.param("/", "/", True, id="root"),
        pytest.param("/a", "/", True, id="below the root"),
        pytest.param("/a", "/a", True, id="same"),
        pytest.param("/a/", "/a", True, id="slash"),
        pytest.param("/a/b", "/a", True, id="below"),
        pytest.param("/a/b", "/a/", True, id="below with a slash"),
        pytest.param("/a", "/a/", False, id="without the slash"),
        pytest.param("/ab", "/a", False, id="only begins alike"),
        pytest.param("/A", "/a", False, id="case"),
        pytest.param("/", "/a", False, id="above"),
        pytest.param("/%61", "/a", False, id="percent-encoded"),
    ],
)
def test_path_matching(request_path: str, cookie_path: str, matches: bool) -> None:
    assert path_matches(request_path, cookie_path) is matches


@pytest.mark.parametrize(
    ("request_path", "path"),
    [("/", "/"), ("/a", "/"), ("/a/", "/a"), ("/a/b", "/a"), ("/a/b/", "/a/b"), ("//", "/"), ("//a", "/")],
)
def test_default_path(request_path: str, path: str) -> None:
    assert default_path(request_path) == path


@given(st.lists(st.sampled_from(("", "a", "b")), min_size=1).map(lambda parts: "/" + "/".join(parts)))
def test_a_request_matches_its_own_default_path(path: str) -> None:
    assert path_matches(path, default_path(path))


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        pytest.param("example.com", "example.com", id="itself"),
        pytest.param("a.b.example.com", "example.com", id="subdomain"),
        pytest.param("com", None, id="public suffix"),
        pytest.param("a.example.co.uk", "example.co.uk", id="suffix of two labels"),
        pytest.param("a.b.github.io", "b.github.io", id="private suffix"),
        pytest.param("github.io", None, id="private suffix itself"),
        pytest.param("a.b.c.kawasaki.jp", "b.c.kawasaki.jp", id="wildcard rule"),
        pytest.param("a.city.kawasaki.jp", "city.kawasaki.jp", id="exception"),
        pytest.param("a.b.unknown", "b.unknown", id="suffix that is not listed"),
        pytest.param("localhost", None, id="localhost"),
        pytest.param("a.api.localhost", "api.localhost", id="name below localhost"),
        pytest.param("a.example.com.", "example.com.", id="last dot"),
        pytest.param("127.0.0.1", None, id="IPv4"),
        pytest.param("[::1]", None, id="IPv6"),
        pytest.param("a..b", None, id="empty label"),
        pytest.param("xn--strae-oqa.com", "xn--strae-oqa.com", id="punycode"),
    ],
)
def test_registrable_domain(host: str, domain: str | None) -> None:
    assert registrable_domain(host) == domain


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("https://example.com", "https://example.com", True, id="same"),
        pytest.param("https://example.com", "https://api.example.com:8443", True, id="subdomain and port"),
        pytest.param("https://a.example.com", "https://b.example.com", True, id="siblings"),
        pytest.param("https://example.com", "http://example.com", False, id="scheme"),
        pytest.param("https://example.com", "https://example.org", False, id="other domain"),
        pytest.param("https://a.co.uk", "https://b.co.uk", False, id="co.uk"),
        pytest.param("https://x.a.co.uk", "https://y.a.co.uk", True, id="below co.uk"),
        pytest.param("https://a.github.io", "https://b.github.io", False, id="github.io"),
        pytest.param("https://github.io", "https://a.github.io", False, id="public suffix"),
        pytest.param("http://localhost:5173", "http://localhost:5000", True, id="ports of localhost"),
        pytest.param("http://localhost:5173", "http://127.0.0.1:5000", False, id="localhost and its address"),
        pytest.param("http://localhost", "http://api.localhost", False, id="localhost and a name below"),
        pytest.param("http://a.api.localhost", "http://b.api.localhost", True, id="names below localhost"),
        pytest.param("http://10.0.0.1", "http://10.0.0.1:81", True, id="address"),
        pytest.param("http://10.0.0.1", "http://11.0.0.1", False, id="end of an address"),
        pytest.param("http://[::1]:1", "http://[::1]:2", True, id="IPv6"),
        pytest.param("http://[::1]", "http://[::2]", False, id="other IPv6"),
        pytest.param("https://example.com", "https://example.com.", False, id="last dot"),
        pytest.param("app://.", "app://.", True, id="custom scheme"),
        pytest.param("app://a", "app://b", False, id="hosts of a custom scheme"),
        pytest.param("null", "null", False, id="null"),
        pytest.param("null", "https://example.com", False, id="null and another"),
    ],
)
def test_same_site(one: str, other: str, same: bool) -> None:
    assert (same_site(one, other), same_site(other, one)) == (same, same)


@pytest.mark.parametrize(
    ("url", "trustworthy"),
    [
        ("https://example.com", True),
        ("http://example.com", False),
        ("http://localhost", True),
        ("http://localhost.", True),
        ("http://api.localhost", True),
        ("http://mylocalhost", False),
        ("http://localhost.com", False),
        ("http://127.0.0.1", True),
        ("http://127.1.2.3", True),
        ("http://127.example.com", False),
        ("http://[::1]", True),
        ("http://[::2]", False),
        ("http://10.0.0.1", False),
    ],
)
def test_what_is_trustworthy(url: str, trustworthy: bool) -> None:
    parsed = parse_url(url)
    assert is_trustworthy(parsed.scheme, parsed.host) is trustworthy


def test_the_public_suffix_list_is_loaded_when_it_is_needed() -> None:
    code = """
import sys
from flask_preflight.browser import Browser
app = lambda environ, start_response: start_response("200 OK", [("Access-Control-Allow-Origin", "*")]) and []
browser = Browser(app, "https://a.com")
browser.fetch("https://b.com/")
browser.fetch("/")
assert "publicsuffixlist" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------------------------
# What is stored, and where it goes: sections 5.7 and 5.8
# ---------------------------------------------------------------------------------------

SITE = "https://example.com/"
SUB = "https://api.example.com/"
LOCAL = "http://localhost:5000/"


@pytest.mark.parametrize(
    ("url", "line", "then", "cookies"),
    [
        # domains
        pytest.param(SITE, "a=1", SITE, "a=1", id="host-only"),
        pytest.param(SITE, "a=1", SUB, "", id="host-only does not reach subdomains"),
        pytest.param(SITE, "a=1; Domain=", SUB, "", id="an empty domain is host-only"),
        pytest.param(SITE, "a=1; Domain=example.com", SUB, "a=1", id="domain"),
        pytest.param(SITE, "a=1; Domain=.EXAMPLE.com", SUB, "a=1", id="dot and case"),
        pytest.param(SUB, "a=1; Domain=example.com", SITE, "a=1", id="parent"),
        pytest.param(SUB, "a=1", SITE, "", id="not the parent"),
        pytest.param(SITE, "a=1; Domain=api.example.com", SUB, "", id="no child"),
        pytest.param(SITE, "a=1; Domain=other.com", SITE, "", id="stranger"),
        pytest.param(SITE, "a=1; Domain=example.com.", SITE, "", id="last dot"),
        pytest.param(SITE, "a=1; Domain=..example.com", SITE, "", id="two dots"),
        pytest.param(SITE, "a=1; Domain=\xe9.com", SITE, "", id="not ASCII"),
        pytest.param(SITE, "a=1; Domain=com", SITE, "", id="public suffix"),
        pytest.param("https://a.co.uk/", "a=1; Domain=co.uk", "https://a.co.uk/", "", id="co.uk"),
        pytest.param("https://a.co.uk/", "a=1; Domain=a.co.uk", "https://b.a.co.uk/", "a=1", id="below co.uk"),
        pytest.param("https://github.io/", "a=1; Domain=github.io", "https://github.io/", "a=1", id="suffix itself"),
        pytest.param(
            *("https://a.s3.amazonaws.com/", "a=1; Domain=amazonaws.com", "https://a.s3.amazonaws.com/", ""),
            id="across a public suffix",
        ),
        pytest.param(LOCAL, "a=1; Domain=localhost", LOCAL, "a=1", id="localhost"),
        pytest.param("http://127.0.0.1/", "a=1; Domain=127.0.0.1", "http://127.0.0.1/", "a=1", id="address"),
        pytest.param("http://127.0.0.1/", "a=1; Domain=0.0.1", "http://127.0.0.1/", "", id="end of an address"),
        pytest.param("http://[::1]/", "a=1; Domain=[::1]", "http://[::1]/", "a=1", id="IPv6"),
        pytest.param("http://localhost:1/", "a=1", "http://localhost:2/", "a=1", id="cookies know no ports"),
        # paths
        pytest.param(SITE + "a/b", "a=1", SITE + "a/c", "a=1", id="default path"),
        pytest.param(SITE + "a/b", "a=1", SITE + "b", "", id="outside of it"),
        pytest.param(SITE + "c/../a/b", "a=1", SITE + "a/%2e/c", "a=1", id="dot segments are gone before"),
        pytest.param(SITE + "a/b", "a=1", SITE + "a/../b", "", id="and lead outside"),
        pytest.param(SITE + "a/b?x/y", "a=1", SITE + "a?x", "a=1", id="a query is no path"),
        pytest.param(SITE + "a/b", "a=1; Path=/", SITE, "a=1", id="path"),
        pytest.param(SITE, "a=1; Path=/a", SITE + "a/b", "a=1", id="path elsewhere"),
        pytest.param(SITE, "a=1; Path=/a", SITE + "ab", "", id="a path ends at a slash"),
        pytest.param(SITE + "a/b", "a=1; Path=b", SITE + "a/c", "a=1", id="a path without slash is the default"),
        # Secure
        pytest.param(SITE, "a=1; Secure", SITE, "a=1", id="secure"),
        pytest.param("http://example.com/", "a=1; Secure", "http://example.com/", "", id="secure over http"),
        pytest.param(LOCAL, "a=1; Secure", LOCAL, "a=1", id="secure on localhost"),
        pytest.param("http://127.0.0.1/", "a=1; Secure", "http://127.0.0.1/", "a=1", id="secure on 127.0.0.1"),
        pytest.param(LOCAL, "a=1; Secure; SameSite=None", LOCAL, "a=1", id="faults D: SameSite=None on localhost"),
        pytest.param(SITE, "a=1; SameSite=None", SITE, "", id="none without secure"),
        # prefixes
        pytest.param(SITE, "__Secure-a=1; Secure", SITE, "__Secure-a=1", id="__Secure-"),
        pytest.param(SITE, "__Secure-a=1", SITE, "", id="__Secure- without Secure"),
        pytest.param(SITE, "__sECURE-a=1", SITE, "", id="prefixes have no case"),
        pytest.param(SITE, "__Host-a=1; Secure; Path=/", SITE, "__Host-a=1", id="__Host-"),
        pytest.param(SITE, "__Host-a=1; Path=/", SITE, "", id="__Host- without Secure"),
        pytest.param(SITE, "__Host-a=1; Secure", SITE, "", id="__Host- without Path"),
        pytest.param(SITE, "__Host-a=1; Secure; Path=/b", SITE + "b", "", id="__Host- with another path"),
        pytest.param(SITE, "__Host-a=1; Secure; Path=/; Domain=example.com", SITE, "", id="__Host- with a domain"),
        pytest.param(LOCAL, "__Host-a=1; Secure; Path=/", LOCAL, "__Host-a=1", id="__Host- on localhost"),
        pytest.param(SITE, "__Http-a=1; Secure; HttpOnly", SITE, "__Http-a=1", id="__Http-"),
        pytest.param(SITE, "__Http-a=1; Secure", SITE, "", id="__Http- without HttpOnly"),
        pytest.param(SITE, "__Http-a=1; HttpOnly", SITE, "", id="__Http- without Secure"),
        pytest.param(SITE, "__Host-Http-a=1; Secure; HttpOnly; Path=/", SITE, "__Host-Http-a=1", id="__Host-Http-"),
        pytest.param(SITE, "__Host-Http-a=1; Secure; Path=/", SITE, "", id="__Host-Http- without HttpOnly"),
        pytest.param(SITE, "__Host-Http-a=1; Secure; HttpOnly", SITE, "", id="__Host-Http- without Path"),
        pytest.param(SITE, "__Secure-a; Secure", SITE, "", id="a nameless cookie that looks like a prefix"),
        pytest.param(SITE, "=__host-a; Secure; Path=/", SITE, "", id="and another"),
        pytest.param(SITE, "a__Secure-=1", SITE, "a__Secure-=1", id="a prefix stands first"),
        # values
        pytest.param(SITE, "a", SITE, "a", id="nameless"),
        pytest.param(SITE, "=a", SITE, "a", id="empty name"),
        pytest.param(SITE, "a=\xc3\xa9", SITE, "a=\xc3\xa9", id="UTF-8"),
        pytest.param(SITE, "a=1; HttpOnly", SITE, "a=1", id="HttpOnly"),
        # time
        pytest.param(SITE, "a=1; Max-Age=0", SITE, "", id="Max-Age=0"),
        pytest.param(SITE, f"a=1; {PAST}", SITE, "", id="expires in the past"),
        pytest.param(SITE, f"a=1; {PAST}; Max-Age=9", SITE, "a=1", id="Max-Age wins"),
        pytest.param(SITE, "a=1; Max-Age=" + "9" * 4000, SITE, "a=1", id="faults D: 4000 digits"),
    ],
)
def test_which_requests_carry_a_cookie(url: str, line: str, then: str, cookies: str) -> None:
    assert kept(url, line, then=then, page=parse_url(url).origin) == cookies


@pytest.mark.parametrize(
    ("page", "url", "attributes", "lax_by_default", "is_kept"),
    [
        pytest.param("https://example.com", SUB, "", True, True, id="same site"),
        pytest.param("https://example.com", SUB, "; SameSite=Strict", True, True, id="strict"),
        pytest.param("https://other.com", SUB, "", True, False, id="other site"),
        pytest.param("https://other.com", SUB, "", False, True, id="other site in Firefox"),
        pytest.param("https://other.com", SUB, "; SameSite=x", False, True, id="unknown value in Firefox"),
        pytest.param("https://other.com", SUB, "; SameSite=Lax", False, False, id="lax"),
        pytest.param("https://other.com", SUB, "; SameSite=Strict", False, False, id="strict from another site"),
        pytest.param("https://other.com", SUB, "; SameSite=None; Secure", True, True, id="none"),
        pytest.param("https://other.com", SUB, "; Secure", True, False, id="secure alone"),
        pytest.param("http://example.com", SUB, "", True, False, id="another scheme is another site"),
        pytest.param("https://a.co.uk", "https://b.co.uk/", "", True, False, id="public suffix"),
        pytest.param("null", SUB, "", True, False, id="sandboxed frame"),
        pytest.param("http://localhost:5173", LOCAL, "", True, True, id="ports of localhost"),
        pytest.param("http://localhost:5173", "http://127.0.0.1:5000/", "", True, False, id="faults D: the trap"),
        pytest.param("http://localhost:5173", "http://127.0.0.1:5000/", "", False, True, id="the trap in Firefox"),
    ],
)
def test_same_site_attribute(page: str, url: str, attributes: str, lax_by_default: bool, is_kept: bool) -> None:
    assert kept(url, f"a=1{attributes}", page=page, lax_by_default=lax_by_default) == ("a=1" if is_kept else "")


def test_a_cross_site_request_neither_sets_nor_carries_what_is_of_the_site() -> None:
    jar, url = CookieJar(lax_by_default=True), parse_url(SITE)
    jar.store(["a=1"], url, same_site=True, now=NOW)
    jar.store(["a=2", "b=2"], url, same_site=False, now=NOW)
    assert jar.cookie_string(url, same_site=False, now=NOW) == ""
    assert jar.cookie_string(url, same_site=True, now=NOW) == "a=1"


def test_redirects_do_not_make_a_request_cross_site() -> None:
    visit = Visit("https://example.com")
    visit.fetch(SUB, "a=1; SameSite=Strict")
    visit.location = SUB
    assert visit.fetch("https://other.com/") == "a=1"


@pytest.mark.parametrize(
    ("lines", "cookies"),
    [
        pytest.param(["a=1", "a=; Max-Age=0"], "", id="set and gone in one answer"),
        pytest.param(["a=1; Path=/b", "a=; Max-Age=0; Path=/"], "a=1", id="another path"),
        pytest.param(["a=1; Domain=example.com", "a=; Max-Age=0"], "a=1", id="another domain"),
        pytest.param(["a=1", "A=; Max-Age=0"], "a=1", id="names have case"),
        pytest.param(["a=1; Max-Age=0", "a=2"], "a=2", id="gone and set"),
        pytest.param(["b=1", "a=2", "c=3"], "b=1; a=2; c=3", id="as they came"),
        pytest.param(["a=1; Path=/", "b=2; Path=/b", "c=3; Path=/"], "b=2; a=1; c=3", id="longer paths first"),
        pytest.param(["a=1", "b=2", "a=3"], "a=3; b=2", id="a new value keeps its place"),
        pytest.param(["a=1", "a=2; Domain=example.com"], "a=1; a=2", id="host-only and not"),
        pytest.param(["a=1", "b=2", "a=; Max-Age=0", "a=3"], "b=2; a=3", id="a new cookie comes last"),
        pytest.param(["1", "2"], "2", id="one nameless cookie"),
    ],
)
def test_several_lines(lines: list[str], cookies: str) -> None:
    assert kept(SITE + "b", *(f"{line}{'' if 'Path' in line else '; Path=/'}" for line in lines)) == cookies


@pytest.mark.parametrize(
    ("line", "path", "cookies"),
    [
        pytest.param("a=2; Path=/a", "/a/b", "a=1", id="same path"),
        pytest.param("a=2; Path=/a/b", "/a/b", "a=1", id="below"),
        pytest.param("a=2; Path=/", "/a/b", "a=1; a=2", id="above"),
        pytest.param("a=2; Path=/ab", "/ab", "a=2", id="beside"),
        pytest.param("a=2; Path=/a; Domain=example.com", "/a/b", "a=1", id="same path, other domain"),
        pytest.param("b=2; Path=/a", "/a/b", "a=1; b=2", id="other name"),
    ],
)
def test_a_plain_answer_leaves_secure_cookies_alone(line: str, path: str, cookies: str) -> None:
    jar = CookieJar(lax_by_default=True)
    jar.store(["a=1; Secure; Path=/a"], parse_url(SITE), same_site=True, now=NOW)
    jar.store([line], parse_url("http://example.com/"), same_site=True, now=NOW)
    assert jar.cookie_string(parse_url(f"https://example.com{path}"), same_site=True, now=NOW) == cookies


# ---------------------------------------------------------------------------------------
# Time
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        pytest.param("Max-Age=60", 60, id="max-age"),
        pytest.param("Max-Age=1", 1, id="a second"),
        pytest.param("Max-Age=" + "9" * 20, COOKIE_AGE_LIMIT, id="at most 400 days"),
        pytest.param(FUTURE, COOKIE_AGE_LIMIT, id="nor later by a date"),
    ],
)
def test_cookies_expire_by_the_clock_of_the_test(attributes: str, seconds: int) -> None:
    visit = Visit("https://example.com")
    visit.fetch("/", f"a=1; {attributes}", "b=2")
    visit.browser.advance(seconds - 1)
    assert visit.fetch("/") == "a=1; b=2"
    visit.browser.advance(1)
    assert visit.fetch("/") == "b=2"


def test_a_date_is_a_date_of_the_real_calendar() -> None:
    """The clock starts with the real time, so that what a server writes into Expires means something."""
    visit = Visit("https://example.com")
    soon = format_datetime(
        datetime.fromtimestamp(datetime.now(timezone.utc).timestamp() + 3600, timezone.utc), usegmt=True
    )
    visit.fetch("/", f"a=1; Expires={soon}")
    assert visit.fetch("/") == "a=1"
    visit.browser.advance(3602)
    assert visit.fetch("/") == ""


@pytest.mark.parametrize(
    ("line", "seconds", "by_method"),
    [
        pytest.param("a=1", 120, {"GET": "a=1", "HEAD": "a=1", "POST": "a=1"}, id="two minutes"),
        pytest.param("a=1", 121, {"GET": "a=1", "HEAD": "a=1", "POST": ""}, id="and more"),
        pytest.param("a=1; SameSite=Lax", 0, {"GET": "a=1", "HEAD": "a=1", "POST": ""}, id="lax"),
        pytest.param("a=1; SameSite=Strict", 0, {"GET": "", "HEAD": "", "POST": ""}, id="strict"),
        pytest.param("a=1; SameSite=None; Secure", 999, {"GET": "a=1", "HEAD": "a=1", "POST": "a=1"}, id="none"),
    ],
)
def test_cross_site_navigations(line: str, seconds: int, by_method: dict[str, str]) -> None:
    jar, url = CookieJar(lax_by_default=True), parse_url(SITE)
    jar.store([line], url, same_site=False, now=NOW, navigation="POST")
    then = NOW + seconds
    seen = {
        method: jar.cookie_string(url, same_site=False, now=then, navigation=method)
        for method in ("GET", "HEAD", "POST")
    }
    assert seen == by_method


def test_without_lax_by_default_no_time_matters() -> None:
    jar, url = CookieJar(lax_by_default=False), parse_url(SITE)
    jar.store(["a=1"], url, same_site=True, now=NOW)
    assert jar.cookie_string(url, same_site=False, now=NOW + 999, navigation="POST") == "a=1"


# ---------------------------------------------------------------------------------------
# Limits
# ---------------------------------------------------------------------------------------


def stored(jar: CookieJar, url: str, now: float = NOW) -> list[str]:
    cookies = jar.cookie_string(parse_url(url), same_site=True, now=now)
    return cookies.split("; ") if cookies else []


def test_a_site_has_at_most_180_cookies() -> None:
    jar = CookieJar(lax_by_default=True)
    jar.store((f"a{number}=" for number in range(180)), parse_url(SITE), same_site=True, now=NOW)
    assert len(stored(jar, SITE)) == 180
    jar.store(["b="], parse_url(SUB), same_site=True, now=NOW)
    assert stored(jar, SUB) == ["b="]
    assert stored(jar, SITE) == [f"a{number}=" for number in range(31, 180)]


def test_what_is_not_secure_and_was_not_used_goes_first() -> None:
    jar = CookieJar(lax_by_default=True)
    lines = ["old=; Path=/a", *(f"s{number}=; Secure; Path=/b" for number in range(150)), "new=; Path=/b"]
    jar.store(lines, parse_url(SITE), same_site=True, now=NOW)
    assert stored(jar, SITE + "a") == ["old="]  # and so it was used last
    jar.store([f"t{number}=; Secure; Path=/c" for number in range(29)], parse_url(SITE), same_site=True, now=NOW)
    assert stored(jar, SITE + "a") == []
    assert "new=" not in stored(jar, SITE + "b")
    assert len(stored(jar, SITE + "b")) + len(stored(jar, SITE + "c")) == 150


def test_a_browser_has_at_most_3300_cookies() -> None:
    jar = CookieJar(lax_by_default=True)
    sites = [f"https://site{number}.com/" for number in range(22)]
    for site in sites:
        jar.store([f"a{number}=" for number in range(150)], parse_url(site), same_site=True, now=NOW)
    assert sum(len(stored(jar, site)) for site in sites) == 3300
    jar.store(["b="], parse_url(SITE), same_site=True, now=NOW)
    assert sum(len(stored(jar, site)) for site in [*sites, SITE]) == 3000
    assert stored(jar, sites[0]) == []


names = st.sampled_from(("a", "b", "c", "", "__Host-a", "__Secure-b"))
paths = st.sampled_from(("", "; Path=/", "; Path=/a", "; Path=/a/b"))
scopes = st.sampled_from(("", "; Secure", "; Domain=example.com", "; SameSite=Strict"))
set_cookies = st.builds("{}=1{}{}".format, names, paths, scopes)
hosts = st.sampled_from((SITE, SUB, "http://example.com/", SITE + "a/b"))


@given(st.lists(st.tuples(hosts, set_cookies)))
def test_laws_of_the_jar(answers: list[tuple[str, str]]) -> None:
    """A cookie that is set again with ``Max-Age=0`` is gone, order is stable, and no name, path and domain is twice."""
    jar = CookieJar(lax_by_default=True)
    for host, line in answers:
        jar.store([line], parse_url(host), same_site=True, now=NOW)
    before = {host: stored(jar, host) for host in (SITE + "a/b", SUB + "a/b", "http://example.com/a/b")}
    assert before == {host: stored(jar, host) for host in before}
    assert set(before["http://example.com/a/b"]) <= set(before[SITE + "a/b"])
    for host, line in answers:
        jar.store([f"{line}; Max-Age=0"], parse_url(host.replace("http:", "https:")), same_site=True, now=NOW)
    assert all(not stored(jar, host) for host in before)


# ---------------------------------------------------------------------------------------
# Hostile servers
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["a=1; Max-Age=" + "9" * 250_000], id="digits"),
        pytest.param(["a=1" + ";" * 250_000], id="attributes"),
        pytest.param(["a=1; Expires=" + "1 " * 125_000], id="date"),
        pytest.param(["a=1" + "; Expires=" + "1 " * 500] * 240, id="dates"),
        pytest.param(["a=" + "x" * 250_000], id="value"),
        pytest.param(["a" + " " * 250_000 + "=1"], id="white space"),
        pytest.param([f"a{number}=1" for number in range(10_000)], id="cookies"),
        pytest.param([f"a=1; Path=/{number}" for number in range(8_000)], id="paths"),
    ],
)
@pytest.mark.slow
def test_large_answers(lines: list[str]) -> None:
    """None takes more than linear time, or raises or warns."""
    for origin in ("https://example.com", "http://example.com"):
        assert len(kept(f"{origin}/", *lines).split("; ")) <= 180


@given(st.lists(lines, max_size=3))
def test_what_goes_back_has_no_control_characters(set_cookie: list[str]) -> None:
    jar = CookieJar(lax_by_default=True)
    for url in map(parse_url, (SITE, LOCAL, "http://[::1]/", "http://example.com./")):
        jar.store(set_cookie, url, same_site=True, now=NOW)
        cookies = jar.cookie_string(url, same_site=True, now=NOW)
        assert not set(cookies) & {*map(chr, range(9)), *map(chr, range(10, 32)), "\x7f"}
