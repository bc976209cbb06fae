"""Origins and origin patterns: parse and match them.

An origin is what a browser writes into the ``Origin`` header, for example ``https://example.com`` or
``http://localhost:3000``: https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin

A pattern is an origin with ``*.`` before its domain (one or more labels, never the bare domain), with ``:*`` as its
port (any port, also the default one), or with both. For a scheme that is not special in the URL standard,
``scheme://*`` covers every host. There are no regular expressions: a pattern is found by looking up its own text, so
ten thousand patterns take no longer than one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, NamedTuple, TypeVar, final, overload

from flask_preflight import fetch
from flask_preflight.hosts import ENDS_IN_NUMBER, parse_ipv6
from flask_preflight.suffixes import public_suffix

# https://url.spec.whatwg.org/#special-scheme, without "file", whose origins are opaque
DEFAULT_PORTS: Final = {"ftp": "21", "http": "80", "https": "443", "ws": "80", "wss": "443"}

# A domain has at most 253 characters (https://url.spec.whatwg.org/#concept-domain-to-ascii, VerifyDnsLength). The rest
# is room for a scheme, "://" and a port. Longer values are refused by their length alone.
MAX_ORIGIN_LENGTH: Final = 320
_MAX_DOMAIN_LENGTH: Final = 253

# How many values with the same host are compared with a refused origin
_MOST_NEAR: Final = 20

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:]+\]|[a-z0-9._~-]*)(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_LABEL = r"[a-z0-9_-]{1,63}"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"  # compiled when it is first used

Owner = TypeVar("Owner")
Value = TypeVar("Value")


class lazy(Generic[Value]):
    """A property that is computed once. Unlike `functools.cached_property` before Python 3.12, it takes no lock.

    A signal handler or a forked child may need the value while another thread holds such a lock.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[Value]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...
    def __get__(self, instance: object | None, owner: type) -> lazy[Value] | Value:
        if instance is None:
            return self
        value = vars(instance)[self._compute.__name__] = self._compute(instance)
        return value


class Origin(NamedTuple):
    """A tuple origin; *port* is ``""`` where it is the scheme's default."""

    scheme: str
    host: str
    port: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}{self.port and ':'}{self.port}"

    @property
    def has_domain(self) -> bool:
        """Whether the host is a domain, so neither an IP address nor another opaque or empty host."""
        return bool(_DOMAIN.fullmatch(self.host)) and not ENDS_IN_NUMBER.fullmatch(self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine: https://w3c.github.io/webappsec-secure-contexts/#localhost"""
        if self.has_domain:
            return f".{self.host}".removesuffix(".").endswith(".localhost")
        return self.host.startswith("127.") or self.host == "[::1]"


def parse_origin(text: str) -> Origin | None:
    """Parse a serialized tuple origin.

    Returns ``None`` for everything that a browser would not write in exactly this way: ``null``, patterns, upper case,
    default ports, other spellings of IP addresses, and anything longer than `MAX_ORIGIN_LENGTH`.
    """
    match = _ORIGIN.fullmatch(text) if len(text) <= MAX_ORIGIN_LENGTH else None
    if match is None:
        return None
    scheme, host, port = match.groups("")
    origin = Origin(scheme, host, port)
    return origin if _is_canonical(origin) else None


def _is_canonical(origin: Origin) -> bool:
    scheme, host, port = origin
    if scheme == "file" or (port and (port == DEFAULT_PORTS.get(scheme) or int(port) > 65535)):
        return False
    if host.startswith("["):
        return host == parse_ipv6(host)
    if scheme not in DEFAULT_PORTS:  # an opaque host, or an empty one, which can have no port
        return bool(host) or not port
    if ENDS_IN_NUMBER.fullmatch(host):
        return re.fullmatch(_IPV4, host) is not None
    return _DOMAIN.fullmatch(host) is not None and len(host.removesuffix(".")) <= _MAX_DOMAIN_LENGTH


class Pattern(NamedTuple):
    """A pattern: *origin* is what remains without its wildcards."""

    origin: Origin
    subdomains: bool
    any_port: bool
    any_host: bool = False


def parse_pattern(text: str) -> Pattern | None:
    """Parse a pattern such as ``https://*.example.com:*``; ``None`` if *text* is no pattern."""
    if len(text) > MAX_ORIGIN_LENGTH or "*" not in text:
        return None
    if text.endswith("://*"):
        origin = parse_origin(text[:-1])  # only a scheme that is not special may have an empty host
        return origin and Pattern(origin, subdomains=False, any_port=False, any_host=True)
    exact = text.replace("://*.", "://", 1)
    subdomains = exact != text
    any_port = exact.endswith(":*")
    origin = parse_origin(exact.removesuffix(":*"))
    if origin is None or not origin.host or (any_port and origin.port) or (subdomains and not origin.has_domain):
        return None
    return Pattern(origin, subdomains, any_port) if subdomains or any_port else None


@final
class Origins(tuple[str, ...]):
    """Valid origins and patterns (and perhaps ``null``), sorted and without repetition: a tuple that can match."""

    listed: frozenset[str]
    patterns: frozenset[str]

    def __new__(cls, values: Iterable[str]) -> Origins:
        """Make a tuple of *values*, each of which must be valid."""
        self = super().__new__(cls, sorted(set(values)))
        self.patterns = frozenset(text for text in self if "*" in text)
        self.listed = frozenset(self) - self.patterns
        return self

    def __reduce__(self) -> tuple[type[Origins], tuple[tuple[str, ...]]]:
        return Origins, (tuple(self),)  # without what is computed from the values

    def match(self, origin: str) -> bool:
        """Whether *origin*, which may be any string that a client sent, is one of these."""
        return origin in self.listed or (bool(self.patterns) and self._matches_pattern(origin))

    def _matches_pattern(self, origin: str) -> bool:
        """Whether a pattern covers *origin*. It is parsed last, because the end of most refused origins matches no
        pattern."""
        without_port = _without_port(origin) if self._any_port else origin
        if self._is_subdomain(origin, "") or (self._any_port and self._is_subdomain(without_port, ":*")):
            parsed = parse_origin(origin)
            # a special scheme whose host ends like a domain has one; the labels of an opaque host may be empty
            return parsed is not None and (parsed.scheme in DEFAULT_PORTS or parsed.has_domain)
        if self._any_port and f"{without_port}:*" in self.patterns:
            return parse_origin(origin) is not None
        return bool(self.for_any_host) and self._has_pattern_for_scheme(origin)

    def _is_subdomain(self, text: str, port: str) -> bool:
        """Whether *text* ends like a pattern for subdomains with *port*."""
        dot = len(text)
        for _ in range(self._most_labels):
            dot = text.rfind(".", 0, dot)
            if dot < 0:
                break
            end = text[dot:] + port
            if end in self._ends and f"{text.partition('://')[0]}://*{end}" in self.patterns:
                return True
        return False

    def _has_pattern_for_scheme(self, origin: str) -> bool:
        scheme = origin.partition("://")[0]
        if f"{scheme}://*" not in self.patterns:
            return False
        parsed = parse_origin(origin)
        return parsed is not None and not parsed.port

    @lazy
    def _ends(self) -> frozenset[str]:
        """What follows the ``*`` of subdomains."""
        return frozenset(text.partition("://*")[2] for text in self.patterns if "://*." in text)

    @lazy
    def _most_labels(self) -> int:
        return max((end.count(".") for end in self._ends), default=0)

    @lazy
    def _any_port(self) -> bool:
        return any(text.endswith(":*") for text in self.patterns)

    @lazy
    def for_any_host(self) -> tuple[str, ...]:
        """The patterns that cover every host of a scheme, such as ``moz-extension://*``."""
        return tuple(sorted(text for text in self.patterns if text.endswith("://*")))

    @lazy
    def first_by_domain(self) -> dict[str, list[str]]:
        """The first thousand, at most `_MOST_NEAR` for each host without ``www.``, to find one near a given origin."""
        by_domain: dict[str, list[str]] = {}
        for text in self[:1000]:
            pattern = parse_pattern(text)
            origin = pattern.origin if pattern else parse_origin(text)
            if origin is not None:  # "null" has none
                values = by_domain.setdefault(origin.host.removeprefix("www."), [])
                values += [text] * (len(values) < _MOST_NEAR)
        return by_domain

    @property
    def has_null(self) -> bool:
        """Whether ``null`` is listed."""
        return fetch.NULL_ORIGIN in self.listed

    @lazy
    def insecure(self) -> tuple[str, ...]:
        """The values that admit ``http://`` pages of other machines, which anyone on the network path can rewrite."""
        return tuple(filter(_is_insecure, self))

    @lazy
    def on_public_suffixes(self) -> tuple[str, ...]:
        """The patterns whose subdomains anyone can register, such as ``https://*.github.io``."""
        return tuple(filter(_is_on_public_suffix, self))


def _without_port(origin: str) -> str:
    head, _, port = origin.rpartition(":")
    return head if port.isdigit() else origin


def _is_insecure(text: str) -> bool:
    if not text.startswith("http://"):
        return False
    pattern = parse_pattern(text)
    origin = pattern.origin if pattern else parse_origin(text)
    return origin is not None and not origin.is_loopback


def _is_on_public_suffix(text: str) -> bool:
    pattern = parse_pattern(text)
    if pattern is None or not pattern.subdomains or pattern.origin.is_loopback:
        return False
    domain = pattern.origin.host.removesuffix(".")
    # The list is asked about a subdomain, because some of its rules are like "*.kawasaki.jp".
    suffix = public_suffix(f"any.{domain}")
    return suffix is not None and len(suffix) >= len(domain)
