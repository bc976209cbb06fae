"""Origins and origin patterns: which strings are valid, what they match, and how misspelled ones are corrected."""

from __future__ import annotations

import copy
import ipaddress
import itertools
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from random import Random

import oracle
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import any_host_patterns, ipv4_addresses, ipv6_numbers, near_misses, origins, patterns

from flask_preflight.checks import read_fields
from flask_preflight.origin import (
    MAX_ORIGIN_LENGTH,
    Origin,
    Origins,
    Pattern,
    lazy,
    parse_origin,
    parse_pattern,
)
from flask_preflight.problems import Flaw, make_flaw, show_items
from flask_preflight.spelling import diagnose, is_allowed_origin

LABEL = "a" * 63
LONGEST_DOMAIN = f"{LABEL}.{LABEL}.{LABEL}.{'a' * 61}"


def check(*values: object) -> tuple[object, list[Flaw]]:
    """What a policy makes of these values for ``allow_origins``, and what is wrong with them."""
    read, problems = read_fields({"allow_origins": values})
    return read["allow_origins"], [
        Flaw(problem.value, problem.id, problem.message, problem.hint) for problem in problems
    ]


def read(*values: object) -> Origins:
    found, flaws = check(*values)
    assert flaws == []
    assert isinstance(found, Origins)
    return found


# ---------------------------------------------------------------------------------------
# Which strings are origins, and which are patterns
# ---------------------------------------------------------------------------------------

ORIGINS = {
    "https://example.com": Origin("https", "example.com", ""),
    "http://example.com": Origin("http", "example.com", ""),
    "http://example.com:443": Origin("http", "example.com", "443"),
    "https://example.com:80": Origin("https", "example.com", "80"),
    "https://example.com:1": Origin("https", "example.com", "1"),
    "https://example.com:65535": Origin("https", "example.com", "65535"),
    "https://a.b-c.example.co.uk": Origin("https", "a.b-c.example.co.uk", ""),
    "https://com": Origin("https", "com", ""),
    "https://example.com.": Origin("https", "example.com.", ""),
    "https://xn--bcher-kva.example": Origin("https", "xn--bcher-kva.example", ""),
    "https://1.example": Origin("https", "1.example", ""),
    "https://0xg": Origin("https", "0xg", ""),
    "https://-.a-": Origin("https", "-.a-", ""),
    "http://localhost": Origin("http", "localhost", ""),
    "http://localhost:3000": Origin("http", "localhost", "3000"),
    "http://my_service:3000": Origin("http", "my_service", "3000"),
    "https://_._": Origin("https", "_._", ""),
    "http://127.0.0.1:5000": Origin("http", "127.0.0.1", "5000"),
    "http://0.0.0.0": Origin("http", "0.0.0.0", ""),
    "http://255.255.255.255": Origin("http", "255.255.255.255", ""),
    "http://[::1]:8080": Origin("http", "[::1]", "8080"),
    "http://[::]": Origin("http", "[::]", ""),
    "http://[2001:db8::1]": Origin("http", "[2001:db8::1]", ""),
    "http://[::ffff:7f00:1]": Origin("http", "[::ffff:7f00:1]", ""),
    "http://[1:0:0:2::3]": Origin("http", "[1:0:0:2::3]", ""),
    "http://[1:0:2:3:4:5:6:7]": Origin("http", "[1:0:2:3:4:5:6:7]", ""),
    "capacitor://localhost": Origin("capacitor", "localhost", ""),
    "chrome-extension://abcdefghijklmnop": Origin("chrome-extension", "abcdefghijklmnop", ""),
    "web+app.1://x:80": Origin("web+app.1", "x", "80"),
    # opaque hosts and an empty one, in schemes that are not special in the URL standard
    "app://.": Origin("app", ".", ""),
    "app://": Origin("app", "", ""),
    "package://": Origin("package", "", ""),
    "moz-extension://6c2a9b0e-1f": Origin("moz-extension", "6c2a9b0e-1f", ""),
    "app://a.~b_c-..:8080": Origin("app", "a.~b_c-..", "8080"),
    "app://127.1": Origin("app", "127.1", ""),
    "app://[::1]:1": Origin("app", "[::1]", "1"),
    "filesystem://x": Origin("filesystem", "x", ""),
    "null://null": Origin("null", "null", ""),
    f"app://{'a' * (MAX_ORIGIN_LENGTH - 6)}": Origin("app", "a" * (MAX_ORIGIN_LENGTH - 6), ""),
    f"{'s' * (MAX_ORIGIN_LENGTH - 4)}://x": Origin("s" * (MAX_ORIGIN_LENGTH - 4), "x", ""),
    f"https://{LABEL}.com": Origin("https", f"{LABEL}.com", ""),
    f"https://{LONGEST_DOMAIN}": Origin("https", LONGEST_DOMAIN, ""),
    f"https://{LONGEST_DOMAIN}.:65535": Origin("https", f"{LONGEST_DOMAIN}.", "65535"),
}

PATTERNS = {
    "https://*.example.com": Pattern(Origin("https", "example.com", ""), True, False),
    "https://*.example.com:8443": Pattern(Origin("https", "example.com", "8443"), True, False),
    "https://*.example.com.": Pattern(Origin("https", "example.com.", ""), True, False),
    "https://*.com": Pattern(Origin("https", "com", ""), True, False),
    "http://localhost:*": Pattern(Origin("http", "localhost", ""), False, True),
    "http://127.0.0.1:*": Pattern(Origin("http", "127.0.0.1", ""), False, True),
    "http://[::1]:*": Pattern(Origin("http", "[::1]", ""), False, True),
    "https://*.example.com:*": Pattern(Origin("https", "example.com", ""), True, True),
    "capacitor://*.app:*": Pattern(Origin("capacitor", "app", ""), True, True),
    "app://.:*": Pattern(Origin("app", ".", ""), False, True),
    "moz-extension://*": Pattern(Origin("moz-extension", "", ""), False, False, True),
    f"{'s' * (MAX_ORIGIN_LENGTH - 6)}://*.x": Pattern(Origin("s" * (MAX_ORIGIN_LENGTH - 6), "x", ""), True, False),
    f"{'s' * (MAX_ORIGIN_LENGTH - 4)}://*": Pattern(Origin("s" * (MAX_ORIGIN_LENGTH - 4), "", ""), False, False, True),
}


def shorten(text: object) -> str:
    return ascii(text)[:60]


@pytest.mark.parametrize(("text", "parsed"), [pytest.param(*row, id=shorten(row[0])) for row in ORIGINS.items()])
def test_origins(text: str, parsed: Origin) -> None:
    assert parse_origin(text) == parsed
    assert str(parsed) == text
    assert parse_pattern(text) is None
    assert read(text).match(text)


@pytest.mark.parametrize(("text", "parsed"), [pytest.param(*row, id=shorten(row[0])) for row in PATTERNS.items()])
def test_patterns(text: str, parsed: Pattern) -> None:
    assert parse_pattern(text) == parsed
    assert parse_origin(text) is None
    assert not read(text).match(text)  # no browser sends a '*'


# text: (id, the right spelling, if there is one)
MISSPELLED = {
    # the slash and what follows
    "https://example.com/": ("origin-trailing-slash", "https://example.com"),
    "http://localhost:3000/": ("origin-trailing-slash", "http://localhost:3000"),
    "https://*.example.com:*/": ("origin-trailing-slash", "https://*.example.com:*"),
    "web+app://x/": ("origin-trailing-slash", "web+app://x"),
    "HTTPS://Bücher.Example:443/": ("origin-trailing-slash", "https://xn--bcher-kva.example"),
    "https://example.com/app": ("origin-path", "https://example.com"),
    "https://example.com/*": ("origin-path", "https://example.com"),
    "https://example.com//": ("origin-path", "https://example.com"),
    "https://example.com/a+(b)|$c": ("origin-path", "https://example.com"),
    "https://example.com?": ("origin-path", "https://example.com"),
    "https://example.com?a=b": ("origin-path", "https://example.com"),
    "https://example.com#top": ("origin-path", "https://example.com"),
    "https://example.com/a@b": ("origin-path", "https://example.com"),
    "https://example.com?a@b": ("origin-path", "https://example.com"),
    "https://example.com#a@b": ("origin-path", "https://example.com"),
    "https://example.com:8443?a": ("origin-path", "https://example.com:8443"),
    "https://example.com:8443#a": ("origin-path", "https://example.com:8443"),
    "app:///index.html": ("origin-path", None),
    "https:///example.com": ("origin-scheme", "https://example.com"),
    # user info
    "https://me@example.com": ("origin-user-info", "https://example.com"),
    "https://me:secret@example.com:8443": ("origin-user-info", "https://example.com:8443"),
    "https://a@b@example.com": ("origin-user-info", "https://example.com"),
    # stars
    "https://*": ("origin-wildcard", None),
    "http://*:*": ("origin-wildcard", None),
    "http://*:3000": ("origin-wildcard", None),
    "*://example.com": ("origin-wildcard", "https://example.com"),
    "*://*": ("origin-wildcard", None),
    "http*://example.com": ("origin-wildcard", "https://example.com"),
    "https://*example.com": ("origin-wildcard", "https://*.example.com"),
    "https://example.*": ("origin-wildcard", None),
    "https://www.*.com": ("origin-wildcard", None),
    "https://*.*.example.com": ("origin-wildcard", "https://*.example.com"),
    "https://**.example.com": ("origin-wildcard", "https://*.example.com"),
    "https://example.com:80*": ("origin-wildcard", "https://example.com:*"),
    "https://example.com:0*": ("origin-wildcard", "https://example.com:*"),
    "https://example.com:*:*": ("origin-wildcard", "https://example.com:*"),
    "https://example.com:8443:*": ("origin-wildcard", "https://example.com:*"),
    "https://*.example.com:8443:*": ("origin-wildcard", "https://*.example.com:*"),
    "*": ("wildcard-beside-others", None),
    "https://*:*": ("origin-wildcard", None),
    "HTTPS://*": ("origin-wildcard", None),
    "moz-extension://*:*": ("origin-wildcard", None),
    "moz-extension://a*": ("origin-wildcard", None),
    "moz-extension://*/": ("origin-trailing-slash", "moz-extension://*"),
    "MOZ-Extension://*": ("origin-upper-case", "moz-extension://*"),
    "app://*.": ("origin-host", None),
    # case and letters
    "https://Example.com": ("origin-upper-case", "https://example.com"),
    "HTTP://localhost": ("origin-upper-case", "http://localhost"),
    "https://*.Example.com": ("origin-upper-case", "https://*.example.com"),
    "http://[::FFFF:7F00:1]": ("origin-upper-case", "http://[::ffff:7f00:1]"),
    "https://BÜCHER.example": ("origin-upper-case", "https://xn--bcher-kva.example"),
    "https://bücher.example": ("origin-unicode", "https://xn--bcher-kva.example"),
    "https://*.bücher.example": ("origin-unicode", "https://*.xn--bcher-kva.example"),
    "https://straße.example": ("origin-unicode", "https://xn--strae-oqa.example"),
    "https://☃.example": ("origin-unicode", "https://xn--n3h.example"),
    "https://א.1.example": ("origin-unicode", None),
    "app://bücher": ("origin-unicode", None),
    "app://MyApp": ("origin-upper-case", "app://myapp"),
    "app://[::0001]": ("origin-ip-address", "app://[::1]"),
    "app://[::0001": ("origin-ip-address", None),
    "https://例え.テスト:3000": ("origin-unicode", "https://xn--r8jz45g.xn--zckzah:3000"),
    "https://exam\u200bple.com": ("origin-unicode", "https://example.com"),
    "https://\u2488com": ("origin-unicode", None),
    "https://xn--bücher.example": ("origin-unicode", None),
    "http://\u0663.1.1.1": ("origin-unicode", None),
    "https://\ud800.example": ("origin-unicode", None),
    # ports
    "https://example.com:443": ("origin-default-port", "https://example.com"),
    "http://example.com:80": ("origin-default-port", "http://example.com"),
    "http://example.com:080": ("origin-default-port", "http://example.com"),
    "https://example.com:": ("origin-default-port", "https://example.com"),
    "wss://example.com:443": ("origin-scheme-not-of-pages", "https://example.com"),
    "ws://example.com:80": ("origin-scheme-not-of-pages", "http://example.com"),
    "ftp://example.com:21": ("origin-scheme-not-of-pages", "https://example.com"),
    "https://*.example.com:443": ("origin-default-port", "https://*.example.com"),
    "https://example.com:08443": ("origin-port", "https://example.com:8443"),
    "https://example.com:008443": ("origin-port", "https://example.com:8443"),
    "https://example.com:0": ("origin-port", None),
    "https://example.com:00": ("origin-port", None),
    "https://example.com:65536": ("origin-port", None),
    "https://example.com:123456": ("origin-port", None),
    "https://example.com:http": ("origin-port", None),
    "https://example.com:X443": ("origin-port", None),
    "app://:80": ("origin-host", None),
    "app://:*": ("origin-host", None),
    "https://example.com:-1": ("origin-port", None),
    "https://example.com:80:90": ("origin-port", None),
    "https://example.com::443": ("origin-port", None),
    "https://example.com:\u0663": ("origin-port", None),
    # addresses
    "http://127.1": ("origin-ip-address", "http://127.0.0.1"),
    "http://1.2.3": ("origin-ip-address", "http://1.2.0.3"),
    "http://1.2.3.04": ("origin-ip-address", "http://1.2.3.4"),
    "http://255.0xffffff": ("origin-ip-address", "http://255.255.255.255"),
    "http://255.0x1000000": ("origin-ip-address", None),
    "http://2130706433": ("origin-ip-address", "http://127.0.0.1"),
    "http://0x7f.0.0.1:5000": ("origin-ip-address", "http://127.0.0.1:5000"),
    "http://0177.0.0.01": ("origin-ip-address", "http://127.0.0.1"),
    "http://0x": ("origin-ip-address", "http://0.0.0.0"),
    "http://127.0.0.1.": ("origin-ip-address", "http://127.0.0.1"),
    "http://1.2.3.256": ("origin-ip-address", None),
    "http://1.2.256.4": ("origin-ip-address", None),
    "http://1.2.3.4.5": ("origin-ip-address", None),
    "http://1.2.3.4.0": ("origin-ip-address", None),
    "http://1.2.3.256:65535": ("origin-ip-address", None),
    "http://4294967296": ("origin-ip-address", None),
    "http://08.0.0.1": ("origin-ip-address", None),
    "http://1_0.0.0.1": ("origin-ip-address", None),
    "http://127.0.\u06630.1": ("origin-unicode", None),
    "http://\uff11\uff12\uff17.0.0.1": ("origin-unicode", "http://127.0.0.1"),
    "http://example.1": ("origin-ip-address", None),
    "http://*.127.0.0.1": ("origin-ip-address", None),
    "http://*.1": ("origin-ip-address", None),
    "http://*.[::1]": ("origin-ip-address", None),
    "http://[0:0:0:0:0:0:0:1]": ("origin-ip-address", "http://[::1]"),
    "http://[::0001]:8080": ("origin-ip-address", "http://[::1]:8080"),
    "http://[::ffff:127.0.0.1]": ("origin-ip-address", "http://[::ffff:7f00:1]"),
    "http://[1:0:0:2:0:0:0:3]": ("origin-ip-address", "http://[1:0:0:2::3]"),
    "http://[1::2:3:4:5:6:7]": ("origin-ip-address", "http://[1:0:2:3:4:5:6:7]"),
    "http://[fe80::1%1]": ("origin-ip-address", None),
    "[::1%1]": ("origin-scheme", None),
    "[[::1]": ("origin-quotes", "http://[::1]"),
    "'https://a.com/'": ("origin-quotes", "https://a.com"),
    '["https://a.com"]': ("origin-quotes", "https://a.com"),
    "\u201chttps://*.a.com:*\u201d": ("origin-quotes", "https://*.a.com:*"),
    "{https://a.com}": ("origin-quotes", "https://a.com"),
    "'about'": ("origin-scheme", None),
    "*.[::1]": ("origin-scheme", None),
    "http://[]": ("origin-ip-address", None),
    "http://[:::]": ("origin-ip-address", None),
    "http://[::1": ("origin-ip-address", None),
    "http://::1": ("origin-ip-address", None),
    "http://::1:3000": ("origin-ip-address", None),
    "http://2001:db8::1": ("origin-ip-address", None),
    "http://*.2001:db8::1": ("origin-ip-address", None),
    # schemes
    "example.com": ("origin-scheme", "https://example.com"),
    "//example.com": ("origin-scheme", "https://example.com"),
    "*.example.com": ("origin-scheme", "https://*.example.com"),
    "example.com:443/app": ("origin-scheme", "https://example.com"),
    "Example.com": ("origin-scheme", "https://example.com"),
    "X.example.com": ("origin-scheme", "https://x.example.com"),
    "localhost:3000": ("origin-scheme", "http://localhost:3000"),
    "localhost:80": ("origin-scheme", "http://localhost"),
    "LocalHost:80": ("origin-scheme", "http://localhost"),
    "localhost:*": ("origin-scheme", "http://localhost:*"),
    "localhost.example.com": ("origin-scheme", "https://localhost.example.com"),
    "127.0.0.1:5000": ("origin-scheme", "http://127.0.0.1:5000"),
    "[::1]:5000": ("origin-scheme", "http://[::1]:5000"),
    "[2001:db8::1]": ("origin-scheme", "http://[2001:db8::1]"),
    "my_service:3000": ("origin-scheme", "http://my_service:3000"),
    "https:/example.com": ("origin-scheme", "https://example.com"),
    "https//example.com": ("origin-scheme", "https://example.com"),
    "https:example.com": ("origin-scheme", "https://example.com"),
    "https:\\\\example.com": ("origin-scheme", "https://example.com"),
    "HTTP:/example.com/": ("origin-scheme", "http://example.com"),
    "htps:/example.com": ("origin-scheme", "https://example.com"),
    "http:3000": ("origin-scheme", None),
    "https:/": ("origin-scheme", None),
    "httpd:8080": ("origin-scheme", "http://httpd:8080"),
    # schemes that are near to http or https
    "htp://example.com": ("origin-scheme-misspelled", "http://example.com"),
    "htps://example.com": ("origin-scheme-misspelled", "https://example.com"),
    "htpp://example.com": ("origin-scheme-misspelled", "http://example.com"),
    "htpps://example.com:443": ("origin-scheme-misspelled", "https://example.com"),
    "httpss://example.com/": ("origin-scheme-misspelled", "https://example.com"),
    "hhttp://*.example.com": ("origin-scheme-misspelled", "http://*.example.com"),
    "httsp://example.com": ("origin-scheme-misspelled", "https://example.com"),
    "ttps://example.com": ("origin-scheme-misspelled", "https://example.com"),
    "HTPS://Example.com": ("origin-scheme-misspelled", "https://example.com"),
    "htps://": ("origin-scheme-misspelled", None),
    "htps://*": ("origin-scheme-misspelled", None),
    # special schemes of which browsers have no pages
    "wss://example.com": ("origin-scheme-not-of-pages", "https://example.com"),
    "wss://*.example.com:*": ("origin-scheme-not-of-pages", "https://*.example.com:*"),
    "ws://localhost:3000": ("origin-scheme-not-of-pages", "http://localhost:3000"),
    "ws://*": ("origin-scheme-not-of-pages", None),
    ":example.com": ("origin-scheme", None),
    "a:b://example.com/": ("origin-scheme", None),
    "a/b://example.com/": ("origin-scheme", None),
    "://example.com": ("origin-scheme", "https://example.com"),
    "1http://example.com": ("origin-scheme-misspelled", "http://example.com"),
    "ht_tp://example.com": ("origin-scheme-misspelled", "http://example.com"),
    "1app://example.com": ("origin-scheme", None),
    "about:blank": ("origin-scheme", None),
    "Null": ("origin-scheme", None),
    "file:///home/me/page.html": ("origin-file", None),
    "file://localhost": ("origin-file", None),
    "FILE:page.html": ("origin-file", None),
    "file://": ("origin-file", None),
    "file://*": ("origin-file", None),
    # hosts
    "https://": ("origin-host", None),
    "https://.": ("origin-host", None),
    "https://*.": ("origin-host", None),
    "https://.example.com": ("origin-host", None),
    "https://a..b": ("origin-host", None),
    "https://example.com..": ("origin-host", None),
    "https://ex%61mple.com": ("origin-host", "https://example.com"),
    "https://ex%zzmple.com": ("origin-host", None),
    "https://%2a.example.com": ("origin-host", None),
    "https://\uff0a.example.com": ("origin-unicode", None),
    "https://exam!ple.com": ("origin-host", None),
    "https://exam$ple.com": ("origin-host", None),
    "a50+.-://exam!ple": ("origin-host", None),
    "https://example.com\0": ("origin-host", None),
    f"https://a{LABEL}.com": ("origin-host", None),
    f"https://a{LONGEST_DOMAIN}": ("origin-host", None),
    f"https://*.a{LONGEST_DOMAIN}": ("origin-host", None),
    # no label is too long, and the domain is by one
    f"https://{LONGEST_DOMAIN}a": ("origin-host", None),
    f"https://*.{LONGEST_DOMAIN}a": ("origin-host", None),
    f"https://{LONGEST_DOMAIN}a.": ("origin-host", None),
    f"https://{LONGEST_DOMAIN}/{'a' * 99}": ("origin-too-long", None),
    "a" * MAX_ORIGIN_LENGTH: ("origin-scheme", None),
    "a" * (MAX_ORIGIN_LENGTH + 1): ("origin-too-long", None),
    f"{'s' * (MAX_ORIGIN_LENGTH - 3)}://x": ("origin-too-long", None),
    f"{'s' * 400}://x": ("origin-too-long", None),
    f"{'s' * (MAX_ORIGIN_LENGTH - 5)}://*.x": ("origin-too-long", None),
    f"{'s' * (MAX_ORIGIN_LENGTH - 3)}://*": ("origin-too-long", None),
    # regular expressions
    r"https://.*\.example\.com": ("origin-regex", "https://*.example.com"),
    r".*\.example\.com": ("origin-regex", None),
    r"https://\w+\.example\.com": ("origin-regex", "https://*.example.com"),
    r"https://example\.com": ("origin-regex", "https://example.com"),
    r"^https://example\.com$": ("origin-regex", "https://example.com"),
    r"https?://localhost": ("origin-regex", "https://localhost"),
    r"http(s)?://example.com": ("origin-regex", "https://example.com"),
    r"^(https?)://.*\.example\.com$": ("origin-regex", "https://*.example.com"),
    r"(http|https)://example\.com": ("origin-regex", "https://example.com"),
    r"(?:https|http)://example\.com": ("origin-regex", "https://example.com"),
    r"https://(a|b).example.com": ("origin-regex", None),
    # each by one sign alone
    r"https://a(b.example.com": ("origin-regex", None),
    r"https://a)b.example.com": ("origin-regex", None),
    r"https://^example.com": ("origin-regex", None),
    r"https://a|b.example.com": ("origin-regex", None),
    r"https://.*example.com": ("origin-regex", None),
    r"https://[ab-z]": ("origin-regex", None),
    r"https://.+.example.com": ("origin-regex", "https://*.example.com"),
    r"https://[a-z]+.example.com": ("origin-regex", "https://*.example.com"),
    r"https://[abc].example.com": ("origin-regex", None),
    r"http://localhost:[0-9]+": ("origin-regex", "http://localhost:*"),
    r"http://localhost:\d+": ("origin-regex", "http://localhost:*"),
    r"https://example.com$": ("origin-regex", "https://example.com"),
    r"https://example.com\path": ("origin-regex", None),
}


@pytest.mark.parametrize(
    ("text", "problem_id", "spelling"),
    [pytest.param(text, *row, id=shorten(text)) for text, row in MISSPELLED.items()],
)
def test_misspelled_origins_are_diagnosed(text: str, problem_id: str, spelling: str | None) -> None:
    expected = make_flaw(text, problem_id, spelling=spelling)
    assert diagnose(text) == expected
    if text != "*":  # which is valid where it stands alone
        assert check(text) == ((), [expected])
    assert not is_allowed_origin(text)
    assert not read(*([spelling] if spelling else [])).match(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("https://a.com https://b.com", ["https://a.com", "https://b.com"]),
        ("https://a.com,https://b.com", ["https://a.com", "https://b.com"]),
        ("https://a.com, \thttps://b.com,", ["https://a.com", "https://b.com"]),
        ("https://a.com\u2028https://b.com\x1f", ["https://a.com", "https://b.com"]),
        ("https://a.com;b.com/", ["https://a.com", "https://b.com"]),
        ("https://a.com/ /b.com", ["https://a.com"]),
        ("https://a.com # one\nhttps://b.com # two, three", ["https://a.com", "https://b.com"]),
        ("# one\n# two\nhttps://a.com", ["https://a.com"]),
        (" https://a.com", ["https://a.com"]),
        ("https://a.com\n", ["https://a.com"]),
        ("https:// a .com :3000", ["https://a.com:3000"]),
        ("well, well", ["https://example.com"]),
    ],
    ids=ascii,
)
def test_an_item_that_holds_several_origins_is_split_in_the_hint(text: str, values: list[str]) -> None:
    hint = f"write {show_items(values)}" if len(values) == 1 else None
    assert check(text) == ((), [make_flaw(text, "origin-separator", show_items(values), hint=hint)])


PART_OF_LABEL = (
    "write a pattern such as 'https://*.example.com', or a function; a '*' stands for whole labels"
    " between two dots, not for some letters of one"
)


@pytest.mark.parametrize(
    "text",
    [
        "https://*-team.example.com",
        "https://*-example.com",
        "https://app-*.example.com",
        "https://*app.example.com",
        "https://a*b.com:3000",
        "https://*com",
    ],
)
def test_no_pattern_is_suggested_for_a_part_of_a_label(text: str) -> None:
    """It would allow other sites than were meant."""
    assert diagnose(text) == make_flaw(text, "origin-wildcard", hint=PART_OF_LABEL)


@pytest.mark.parametrize("text", ["", " \t", "\u2003", " , ", ";"], ids=ascii)
def test_an_item_without_any_origin_is_empty(text: str) -> None:
    assert check(text) == ((), [make_flaw(text, "empty-item")])


@pytest.mark.parametrize("value", [1, True, object], ids=repr)
def test_only_strings_are_origins(value: object) -> None:
    assert check(value) == ((), [make_flaw(value, "not-a-string", "'https://example.com'")])


def test_all_flaws_are_found_in_order_and_valid_origins_are_kept() -> None:
    found, flaws = check("a.com", "https://b.com", ..., "null", "https://*.c.com", 7, "...")
    assert found == ("https://*.c.com", "https://b.com", "null")
    assert flaws == [
        make_flaw("a.com", "origin-scheme", spelling="https://a.com"),
        make_flaw(..., "nothing-to-inherit"),
        make_flaw(7, "not-a-string", "'https://example.com'"),
        make_flaw("...", "ellipsis-as-string"),
    ]


# http and https, every other scheme that is not special, and of those none that is one edit away from http or https
SCHEMES = {
    "http https app capacitor package moz-extension chrome-extension safari-web-extension ionic h httpapp tp": True,
    "ws wss ftp file htp htps htttp https1 httpss ttps hhttps htpt httsp httpz": False,
}


@pytest.mark.parametrize(
    ("scheme", "is_allowed"),
    [(scheme, is_allowed) for schemes, is_allowed in SCHEMES.items() for scheme in schemes.split()],
)
def test_which_schemes_can_be_allowed(scheme: str, is_allowed: bool) -> None:
    for text in (f"{scheme}://localhost", f"{scheme}://*.a.com:*"):
        assert is_allowed_origin(text) == is_allowed
        assert (check(text) == ((text,), [])) == is_allowed


@given(st.sampled_from(["http", "https"]), st.integers(0, 5), st.integers(0, 1), st.sampled_from(["", *"hstpxa1+"]))
def test_no_scheme_one_edit_away_from_http_is_allowed(right: str, place: int, width: int, letter: str) -> None:
    scheme = right[:place] + letter + right[place + width :]
    assert is_allowed_origin(f"{scheme}://a.com") == (scheme in {"http", "https"})


@given(st.one_of(st.text(), near_misses(origins()), near_misses(patterns()), st.text("htps:/.*@[]\\é²0x1٣ß\ud800%")))
@example("https://" + "é" * 300)
@example("https://" + "xn--" * 60 + "é")
@example("https://" + "1." * 100)
def test_any_text_is_an_origin_or_a_pattern_or_has_a_flaw(text: str) -> None:
    assert parse_origin(text) is None or parse_pattern(text) is None
    found, flaws = check(text)
    if text == "*":
        assert (found, flaws) == ("*", [])
        return
    assert found == ((text,) if is_allowed_origin(text) or text == "null" else ())
    assert len(flaws) == (found == ())


@given(st.one_of(near_misses(origins()), near_misses(patterns()), st.text("htps:/.*@[]éB0x17f")))
def test_a_corrected_spelling_needs_no_further_correction(text: str) -> None:
    hint = diagnose(text).hint
    if re.fullmatch("write '[^']*'", hint) and check(text)[0] == ():
        corrected = hint.removeprefix("write '").removesuffix("'")
        assert check(corrected) == ((corrected,), [])


# ---------------------------------------------------------------------------------------
# Addresses
# ---------------------------------------------------------------------------------------


@given(ipv6_numbers())
@example(0)
@example(1)
@example(0xFFFF_7F00_0001)
def test_an_ipv6_address_has_one_spelling(number: int) -> None:
    canonical = oracle.ipv6(number)
    address = ipaddress.IPv6Address(number)
    spellings = {canonical, canonical.upper(), str(address), address.exploded, f"{canonical}%1", f"0{canonical}"}
    for spelling in spellings:
        assert (parse_origin(f"http://[{spelling}]") is not None) == (spelling == canonical)
    if address.exploded != canonical:
        corrected = f"http://[{canonical}]"
        assert diagnose(f"http://[{address.exploded}]").hint == f"write {corrected!r}"


@given(ipv6_numbers())
def test_the_oracle_spells_ipv6_as_python_does(number: int) -> None:
    if number >> 32 not in {0, 0xFFFF}:  # there newer Pythons embed IPv4, as RFC 5952 has it, and URLs do not
        assert oracle.ipv6(number) == str(ipaddress.IPv6Address(number))


@given(ipv4_addresses())
def test_an_ipv4_address_has_one_spelling(canonical: str) -> None:
    assert parse_origin(f"http://{canonical}") == Origin("http", canonical, "")
    number = int(ipaddress.IPv4Address(canonical))
    first, *rest = canonical.split(".")
    for spelling in (
        f"{number}",
        f"{number:#x}",
        f"0{number:o}",
        f"{canonical}.",
        ".".join([f"{int(first):#x}", *rest]),
    ):
        if number > 0 or spelling != "0":
            assert parse_origin(f"http://{spelling}") is None
            assert diagnose(f"http://{spelling}").hint == f"write 'http://{canonical}'"


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost", True),
        ("localhost.", True),
        ("app.localhost", True),
        ("a.b.localhost.", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("[::1]", True),
        ("notlocalhost", False),
        ("localhost.com", False),
        ("localhost.localdomain", False),
        ("127.example.com", False),
        ("127.0.0.1.example.com", False),
        ("128.0.0.1", False),
        ("0.0.0.0", False),
        ("[::]", False),
        ("[::127]", False),
        ("[127::1]", False),
        ("[::ffff:7f00:1]", False),  # what Python says of it depends on its version
    ],
)
def test_loopback(host: str, is_loopback: bool) -> None:
    assert Origin("http", host, "").is_loopback == is_loopback


# ---------------------------------------------------------------------------------------
# Matching
# ---------------------------------------------------------------------------------------

# values: (origins that they cover, and some that they do not)
MATCHES: dict[tuple[str, ...], tuple[list[str], list[str]]] = {
    (): ([], ["https://example.com", "null", "", "*"]),
    ("https://example.com",): (
        ["https://example.com"],
        [
            "http://example.com",
            "https://example.com:443",
            "https://example.com:8443",
            "https://example.com.",
            "https://example.com/",
            "https://EXAMPLE.com",
            "HTTPS://example.com",
            "https://www.example.com",
            "https://notexample.com",
            "https://example.co",
            "https://example.com.evil.org",
            "https://example.comevil.org",
            "https://evil.org/https://example.com",
            "https://example.com@evil.org",
            "https://example.com https://example.com",
            " https://example.com",
            "https://example.com\n",
            "null",
            "",
        ],
    ),
    ("https://*.example.com",): (
        ["https://a.example.com", "https://a.b.example.com", "https://_.example.com", "https://-.example.com"],
        [
            "https://example.com",
            "https://.example.com",
            "https://*.example.com",
            "https://a..example.com",
            "https://a.example.com:8443",
            "https://a.example.com:443",
            "https://a.example.com.",
            "http://a.example.com",
            "https://notexample.com",
            "https://a.notexample.com",
            "https://a.example.com.evil.org",
            "https://evil.org/.example.com",
            "https://evil.org#.example.com",
            "https://evil.org\\.example.com",
            "https://evil.org%60.example.com",
            "https://me@a.example.com",
            "https://A.example.com",
            "https://[::1].example.com",
            f"https://{'a.' * 150}example.com",
        ],
    ),
    ("https://*.example.com:8443",): (
        ["https://a.example.com:8443"],
        ["https://a.example.com", "https://a.example.com:84430", "https://example.com:8443"],
    ),
    ("http://localhost:*",): (
        ["http://localhost", "http://localhost:1", "http://localhost:3000", "http://localhost:65535"],
        [
            "https://localhost",
            "http://localhost:80",
            "http://localhost:0",
            "http://localhost:65536",
            "http://localhost:*",
            "http://localhost:",
            "http://localhost:3000:3000",
            "http://localhost:3000.evil.org",
            "http://localhost.:3000",
            "http://a.localhost:3000",
        ],
    ),
    ("https://*.example.com:*",): (
        ["https://a.example.com", "https://a.b.example.com:8443"],
        ["https://example.com", "https://example.com:8443", "http://a.example.com:8443"],
    ),
    ("http://[::1]:*",): (["http://[::1]", "http://[::1]:3000"], ["http://[::2]", "http://[0::1]", "http://::1"]),
    ("http://127.0.0.1:*",): (["http://127.0.0.1:5000"], ["http://127.1:5000", "http://a.127.0.0.1:5000"]),
    ("https://*.com.", "https://*.org"): (
        ["https://a.com.", "https://a.org"],
        ["https://a.com", "https://a.org.", "https://com.", "https://.org"],
    ),
    ("https://*.a.b.c", "https://*.c"): (
        ["https://x.a.b.c", "https://a.b.c", "https://b.c", "https://x.y.c"],
        ["https://c", "https://xc", "https://a.b.c.d"],
    ),
    ("https://foo.com", "https://bar.com"): (
        ["https://foo.com", "https://bar.com"],
        ["https://barfoo.com", "https://foobar.com", "https://foo.combar.com", "https://bar.comfoo.com"],
    ),
    ("https://*.foo.com", "https://*.bar.com"): (
        ["https://bar.foo.com", "https://foo.bar.com"],
        ["https://barfoo.com", "https://a.barfoo.com", "https://foo.com", "https://.bar.foo.com"],
    ),
    ("moz-extension://*",): (
        ["moz-extension://6c2a9b0e", "moz-extension://", "moz-extension://.", "moz-extension://[::1]"],
        [
            "moz-extension://*",
            "moz-extension://6c2a9b0e:80",
            "moz-extension://6C2A",
            "moz-extension://6c2a/",
            "moz-extension://a b",
            "moz-extension://a@b",
            "moz-extension:/6c2a",
            "moz-extension:",
            "moz-extension",
            "moz-extensions://6c2a",
            "amoz-extension://6c2a",
            "https://moz-extension://6c2a",
            "null",
            f"moz-extension://{'a' * 400}",
        ],
    ),
    ("app://*", "https://*.example.com", "app://.:*"): (
        ["app://.", "app://", "app://.:1", "https://a.example.com"],
        ["app://x:1", "https://example.com", "https://.", "https://"],
    ),
    ("app://.",): (["app://."], ["app://", "app://..", "app://.:1", "app://*", "APP://."]),
    ("app://", "package://"): (["app://", "package://"], ["app://.", "app:", "app:///", "app", "package://x"]),
    # one or more labels, also before an opaque host
    ("capacitor://*.app",): (
        ["capacitor://a.app", "capacitor://a.b.app"],
        ["capacitor://app", "capacitor://.app", "capacitor://..app", "capacitor://a..app"],
    ),
    ("null",): (["null"], ["Null", "NULL", "null ", "", "https://null", "null://null"]),
    ("capacitor://localhost",): (
        ["capacitor://localhost"],
        ["http://localhost", "capacitor://localhost:80", "capacitor"],
    ),
}


@pytest.mark.parametrize(
    ("values", "covered", "others"), [(key, *row) for key, row in MATCHES.items()], ids=map(str, MATCHES)
)
def test_matching(values: tuple[str, ...], covered: list[str], others: list[str]) -> None:
    for order in itertools.permutations(values):
        found = read(*order)
        assert {origin: found.match(origin) for origin in covered + others} == {
            **dict.fromkeys(covered, True),
            **dict.fromkeys(others, False),
        }


VALUES = st.lists(st.one_of(origins(), patterns(), any_host_patterns(), st.just("null")), max_size=8)


@given(VALUES, st.lists(origins(), min_size=1, max_size=20))
def test_matching_agrees_with_the_oracle(values: list[str], asked: list[str]) -> None:
    found = read(*values)
    # besides unrelated ones, those that were listed, and subdomains of them
    asked += values
    asked += [value.replace("://*.", "://a.").replace(":*", ":3000") for value in values]
    asked += [value.replace("://", "://a.", 1) for value in values]
    for origin in filter(parse_origin, asked):
        assert found.match(origin) == oracle.allowed(values, origin), origin


@given(st.lists(st.one_of(origins(), patterns()), min_size=1, max_size=4), st.data())
def test_what_matches_is_covered_however_little_it_differs(values: list[str], data: st.DataObject) -> None:
    concrete = st.sampled_from([value.replace("://*.", "://a.").replace(":*", ":3000") for value in values])
    sent = data.draw(near_misses(concrete))
    if read(*values).match(sent):
        assert parse_origin(sent)
        assert oracle.allowed(values, sent)


@given(VALUES, st.randoms())
def test_order_and_repetition_mean_nothing(values: list[str], random: Random) -> None:
    shuffled = values + values[:2]
    random.shuffle(shuffled)
    assert read(*shuffled) == read(*values) == tuple(sorted(set(values)))


def hosts_of(values: Sequence[str]) -> list[str]:
    return [".".join(oracle.split(value)[1]).removeprefix("*.") for value in values]


@given(st.lists(st.one_of(origins(), patterns()), min_size=2, max_size=3))
def test_no_two_hosts_make_a_third(values: list[str]) -> None:
    found = read(*values)
    for one, other in itertools.permutations(hosts_of(values), 2):
        for origin in (f"https://{one}{other}", f"https://{one}-{other}", f"https://a{one}"):
            if parse_origin(origin):
                assert found.match(origin) == oracle.allowed(values, origin)


# ---------------------------------------------------------------------------------------
# The list of them
# ---------------------------------------------------------------------------------------


def test_a_list_of_origins_is_a_tuple() -> None:
    found = read("https://b.com", "https://*.a.com", "https://b.com", "null")
    assert found == ("https://*.a.com", "https://b.com", "null")
    assert hash(found) == hash(("https://*.a.com", "https://b.com", "null"))
    assert repr(found) == "('https://*.a.com', 'https://b.com', 'null')"


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda found: pickle.loads(pickle.dumps(found))])
def test_a_copy_matches_the_same(twin: Callable[[Origins], Origins]) -> None:
    found = read("https://a.com", "https://*.b.com")
    again = twin(found)
    assert again == found
    assert isinstance(again, Origins)
    assert [again.match(origin) for origin in ("https://a.com", "https://x.b.com", "https://b.com")] == [
        True,
        True,
        False,
    ]


def test_null() -> None:
    assert read("null", "https://a.com").has_null
    assert not read("https://null", "https://a.com").has_null


def test_insecure_origins() -> None:
    insecure = ("http://*.example.com", "http://[2001:db8::1]", "http://a.com:*", "http://b.com")
    secure = (
        "https://a.com",
        "https://*.example.com",
        "http://localhost:3000",
        "http://*.localhost:*",
        "http://127.0.0.1:*",
        "http://[::1]:5000",
        "capacitor://localhost",
        "null",
    )
    assert read(*secure, *insecure).insecure == insecure


def test_public_suffixes() -> None:
    of_strangers = (
        "http://*.github.io",
        "https://*.co.uk",
        "https://*.co.uk.:*",
        "https://*.com",
        "https://*.github.io:8080",
        "https://*.kawasaki.jp",  # the list says *.kawasaki.jp
        "https://*.xn--p1ai",
    )
    of_one_owner = (
        "https://*.city.kawasaki.jp",  # the list says !city.kawasaki.jp
        "https://*.example.co.uk",
        "https://*.example.com",
        "https://*.localhost",
        "https://*.me.github.io",
        "https://github.io",
        "https://github.io:*",
    )
    assert read(*of_strangers, *of_one_owner).on_public_suffixes == of_strangers


def test_public_suffixes_are_loaded_only_when_needed() -> None:
    code = """
import sys
from flask_preflight.checks import read_fields
given = {"allow_origins": ["https://*.example.com", "http://localhost:*", "null", "example.com/"]}
found = read_fields(given)[0]["allow_origins"]
assert found.match("https://a.example.com")
assert not {"publicsuffixlist", "idna"} & set(sys.modules)
assert not found.on_public_suffixes
assert "publicsuffixlist" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def count_look_ups(found: Origins, origin: str) -> int:
    """Count the ends of patterns that are looked up for an origin that none of them covers."""
    asked: list[object] = []

    class Ends(frozenset[str]):
        def __contains__(self, end: object) -> bool:
            asked.append(end)
            return super().__contains__(end)

    vars(found)["_ends"] = Ends(found._ends)
    assert not found.match(origin)
    return len(asked)


@pytest.mark.parametrize("count", [1, 10_000])
def test_the_number_of_patterns_does_not_count(count: int) -> None:
    found = read(*(f"https://*.tenant{number}.example" for number in range(count)))
    assert found.match(f"https://a.tenant{count - 1}.example")
    assert count_look_ups(found, "https://a.b.c.d.example") == 2  # as many as the patterns have labels


def test_the_worst_origin_costs_as_many_look_ups_as_it_has_labels() -> None:
    found = read(*("https://*." + ".".join("a" * count) for count in range(1, 127)))
    assert count_look_ups(found, "https://" + ".".join("b" * 127)) == 126


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda found: pickle.loads(pickle.dumps(found))])
def test_copies_match_alike_and_hold_nothing_that_was_matched(twin: Callable[[Origins], Origins]) -> None:
    found = read("https://*.example.com", "https://a.com")
    size = len(pickle.dumps(found))
    for number in range(50):
        assert found.match(f"https://{number}.example.com")
    again = twin(found)
    assert again == found
    assert type(again) is Origins
    assert vars(again) == vars(Origins(found))
    assert again.match("https://x.example.com")
    assert len(pickle.dumps(found)) == size


def test_matching_keeps_nothing_of_a_request() -> None:
    found = read("https://*.example.com", "http://localhost:*", "app://*")
    found.match("app://first")  # the first call computes what the patterns have in common
    kept = repr(vars(found))
    for origin in ("https://a.example.com", "http://localhost:1", "app://x", "https://b.com", "*", ""):
        found.match(origin)
    assert repr(vars(found)) == kept


def test_a_lazy_property_is_computed_once() -> None:
    class Counter:
        calls = 0

        @lazy
        def value(self) -> int:
            """The value."""
            self.calls += 1
            return 7

    counter = Counter()
    assert (counter.value, counter.value, counter.calls) == (7, 7, 1)
    assert isinstance(Counter.value, lazy)
    assert Counter.value.__doc__ == "The value."
