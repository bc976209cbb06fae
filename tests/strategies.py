"""What Hypothesis makes examples of: origins, patterns, policies, and what strangers send.

Names are drawn from small pools, so that two drawn apart often meet, contain each other, or differ by a hair.
Each is made once (`cache`): Hypothesis takes longer to make a strategy than to draw from it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import cache
from typing import Any

from hypothesis import strategies as st

from flask_preflight import Policy

_LABELS = ("foo", "bar", "barfoo", "foobar", "a", "b", "xn--bcher-kva", "my_service", "com", "org", "9", "0xg")
_SCHEMES = ("https", "http", "capacitor", "chrome-extension")
_PORTS = ("", "", "", ":1", ":81", ":444", ":3000", ":8080", ":65535")
# Origins that engines send for schemes that are not special in the URL standard: opaque hosts, and an empty one
_OPAQUE = ("app://.", "app://", "package://", "app://a.~b", "app://a_b.-:8080", "moz-extension://4f1e-9a", "app://foo")
_ANY_HOST = ("moz-extension://*", "app://*")
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY", "propfind")
_HEADERS = ("Accept", "Authorization", "Content-Type", "X-Request-Id", "x-b", "ETag", "Link")


@cache
def domains() -> st.SearchStrategy[str]:
    """Draw a domain of one to four labels; the last is a word, as otherwise it would be an IP address."""
    last = st.sampled_from([label for label in _LABELS if label != "9"])
    return st.builds(
        lambda labels, last, dot: ".".join([*labels, last]) + dot,
        st.lists(st.sampled_from(_LABELS), max_size=3),
        last,
        st.sampled_from(["", "", "", "."]),
    )


@cache
def ipv4_addresses() -> st.SearchStrategy[str]:
    return st.integers(0, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number)))


@cache
def ipv6_numbers() -> st.SearchStrategy[int]:
    """Draw the 128 bits of an address in which runs of zeros are as likely as they are in life."""
    groups = st.lists(st.sampled_from([0, 0, 0, 1, 0xAB, 0xFFFF]), min_size=8, max_size=8)
    return groups.map(lambda drawn: int("".join(f"{group:04x}" for group in drawn), 16))


@cache
def ipv6_hosts() -> st.SearchStrategy[str]:
    """Draw an IPv6 address as URLs spell it; those in which newer Pythons embed IPv4 (RFC 5952) are left out."""
    plain = ipv6_numbers().filter(lambda number: number >> 32 not in {0, 0xFFFF})
    return st.one_of(
        plain.map(lambda number: f"[{ipaddress.IPv6Address(number)}]"),
        st.sampled_from(["[::]", "[::1]", "[::ffff:7f00:1]", "[::ffff:0:0]"]),
    )


def _origins(schemes: Iterable[str], hosts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}://{}{}".format, st.sampled_from([*schemes]), hosts, st.sampled_from(_PORTS))


@cache
def origins() -> st.SearchStrategy[str]:
    """Draw an origin as a browser would send it, other than ``null``."""
    addresses = st.one_of(ipv4_addresses(), ipv6_hosts(), st.sampled_from(["127.0.0.1", "[::1]"]))
    return st.one_of(
        _origins(_SCHEMES[:2], domains()),
        _origins(_SCHEMES, domains()),
        _origins(_SCHEMES, addresses),
        st.sampled_from(_OPAQUE),
    )


@cache
def patterns() -> st.SearchStrategy[str]:
    """Draw a pattern for any subdomain, any port, or both."""
    subdomains = _origins(_SCHEMES[:2], domains().map("*.{}".format))
    any_port = st.builds("{}://{}:*".format, st.sampled_from(_SCHEMES[:2]), st.one_of(domains(), ipv6_hosts()))
    both = st.builds("{}://*.{}:*".format, st.sampled_from(_SCHEMES[:2]), domains())
    return st.one_of(subdomains, any_port, both)


@cache
def any_host_patterns() -> st.SearchStrategy[str]:
    """Draw a pattern for every host of a scheme. With credentials it is a problem."""
    return st.sampled_from(_ANY_HOST)


@cache
def methods() -> st.SearchStrategy[str]:
    """Draw a method that a policy may list."""
    return st.sampled_from(_METHODS)


@cache
def header_names() -> st.SearchStrategy[str]:
    """Draw a header name that a policy may list, requested as well as exposed."""
    return st.sampled_from(_HEADERS)


def _listed(items: st.SearchStrategy[str], *, star: bool) -> st.SearchStrategy[Any]:
    lists = st.lists(items, max_size=6)
    return st.one_of(st.just("*"), lists) if star else lists


def _policies(*, credentials: bool) -> st.SearchStrategy[Policy]:
    without_credentials = [] if credentials else [any_host_patterns(), st.just("null")]
    sources = st.one_of(origins(), patterns(), *without_credentials)
    return st.builds(
        Policy,
        allow_origins=_listed(sources, star=not credentials),
        allow_methods=st.one_of(st.none(), _listed(methods(), star=True)),
        allow_headers=st.one_of(st.just(["*", "Authorization"]), _listed(header_names(), star=True)),
        expose_headers=_listed(header_names(), star=not credentials),
        allow_credentials=st.just(credentials),
        max_age=st.one_of(st.none(), st.integers(0, 86400)),
        allow_timing=st.booleans(),
        preflight_status=st.integers(200, 299),
        dangerously_allow_insecure_origins=st.just(True),
        dangerously_allow_public_suffix_subdomains=st.just(True),
        dangerously_allow_null_origin=st.just(True),
    )


@cache
def policies() -> st.SearchStrategy[Policy]:
    """Draw a valid policy; none asks a callable."""
    return st.one_of(_policies(credentials=False), _policies(credentials=True))


# Whole words that a server might take for its own, and the bytes that parsers trip over
_PIECES = (
    "https://",
    "foo.com",
    "*",
    "null",
    "GET",
    "PUT",
    "content-type",
    "authorization",
    ",",
    ", ",
    ":",
    "\r\n",
    "\0",
)


@cache
def header_bytes() -> st.SearchStrategy[bytes]:
    """Draw what a stranger may send as the value of a header."""
    pieces = st.one_of(st.sampled_from([piece.encode() for piece in _PIECES]), st.binary(max_size=8))
    return st.one_of(
        st.lists(pieces, max_size=8).map(b"".join),
        origins().map(str.encode),
        st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=4), st.integers(0, 3000)),
    )


@cache
def header_values() -> st.SearchStrategy[str]:
    """Draw the same as WSGI passes it: each byte is one character of Latin-1."""
    return header_bytes().map(lambda value: value.decode("latin-1"))


@st.composite
def near_misses(draw: st.DrawFn, allowed: st.SearchStrategy[str]) -> str:
    """Draw an origin and spoil it in one place: one character more, less, or another, or a piece at an end."""
    text = draw(allowed)
    place = draw(st.integers(0, len(text)))
    width = draw(st.integers(0, 1))
    character = draw(st.one_of(st.sampled_from(".:/*@-_ \t\n%[]aA0"), st.characters(max_codepoint=255), st.just("")))
    spoiled = text[:place] + character + text[place + width :]
    tail = draw(
        st.sampled_from(["", "", "", ".", "/", ".evil.org", "evil.org", ":80", ":443", ":0", "@evil.org", "%60.b"])
    )
    return spoiled + tail
