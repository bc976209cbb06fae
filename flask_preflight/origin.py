"""Origins and origin patterns: read, match, and correct when misspelled.

An origin is what a browser writes into the ``Origin`` header, e.g. ``https://example.com`` or
``http://localhost:3000``: https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin

A pattern is an origin with ``*.`` before its domain (one or more labels, never the bare domain), with ``:*``
for its port (any, also none), or with both. There are no regular expressions: a pattern is found by looking up
its own text, so ten thousand of them cost the same as one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from typing import Final, NamedTuple, final

from flask_preflight import fetch
from flask_preflight.problems import Flaw, flaw

# https://url.spec.whatwg.org/#special-scheme
_DEFAULT_PORTS: Final = {"ftp": "21", "http": "80", "https": "443", "ws": "80", "wss": "443"}

# A domain has at most 253 characters (https://url.spec.whatwg.org/#concept-domain-to-ascii, VerifyDnsLength);
# the rest is room for a scheme, "://" and a port. Nothing longer is looked at.
MAX_ORIGIN_LENGTH: Final = 320
_MAX_DOMAIN_LENGTH: Final = 253

_LABEL = r"[a-z0-9_-]{1,63}"
_ORIGIN = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    rf"(?P<host>\[[0-9a-f:]+\]|{_LABEL}(?:\.{_LABEL})*\.?)"
    rf"(?::(?P<port>[1-9][0-9]{{0,4}}))?"
)
# https://url.spec.whatwg.org/#ends-in-a-number-checker: such a host is an IPv4 address or nothing
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")


class Origin(NamedTuple):
    """A tuple origin; *port* is ``""`` where it is the scheme's default."""

    scheme: str
    host: str
    port: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}{self.port and ':'}{self.port}"

    @property
    def has_domain(self) -> bool:
        """Whether the host is a domain, so neither an IPv4 nor an IPv6 address."""
        return not (self.host.startswith("[") or _ENDS_IN_NUMBER.fullmatch(self.host))

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine: https://w3c.github.io/webappsec-secure-contexts/#localhost"""
        if self.has_domain:
            return self.host == "localhost" or self.host.endswith(".localhost")
        return ipaddress.ip_address(self.host.strip("[]")).is_loopback


def parse_origin(text: str) -> Origin | None:
    """Read a serialized tuple origin.

    Returns ``None`` for everything that a browser would not write in just this way: ``null``, patterns, upper
    case, default ports, odd spellings of IP addresses, and whatever is longer than `MAX_ORIGIN_LENGTH`.
    """
    match = _ORIGIN.fullmatch(text) if len(text) <= MAX_ORIGIN_LENGTH else None
    if match is None:
        return None
    origin = Origin(match["scheme"], match["host"], match["port"] or "")
    return origin if _is_canonical(origin) else None


def _is_canonical(origin: Origin) -> bool:
    scheme, host, port = origin
    if scheme == "file" or (port and (port == _DEFAULT_PORTS.get(scheme) or int(port) > 65535)):
        return False
    if origin.has_domain:
        return len(host.removesuffix(".")) <= _MAX_DOMAIN_LENGTH
    return _IPV4.fullmatch(host) is not None or host == _canonical_ipv6(host)


def _canonical_ipv6(host: str) -> str | None:
    """https://url.spec.whatwg.org/#concept-ipv6-serializer, which never embeds IPv4; ``str(IPv6Address)`` may."""
    try:
        address = int(ipaddress.IPv6Address(host[1:-1]))
    except ValueError:
        return None
    text = ":".join(f"{address >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))
    zeros = max(re.finditer(r"\b0(?::0)+\b", text), key=lambda run: len(run[0]), default=None)
    if zeros is not None:  # `max` keeps the first of the longest runs, as the standard asks
        text = f"{text[: zeros.start()].rstrip(':')}::{text[zeros.end() :].lstrip(':')}"
    return f"[{text}]"


class Pattern(NamedTuple):
    """A pattern: *origin* is what remains without its wildcards."""

    origin: Origin
    subdomains: bool
    any_port: bool


def parse_pattern(text: str) -> Pattern | None:
    """Read a pattern such as ``https://*.example.com:*``; ``None`` if *text* is none."""
    if len(text) > MAX_ORIGIN_LENGTH:
        return None
    plain = text.replace("://*.", "://", 1)
    subdomains = plain != text
    any_port = plain.endswith(":*")
    origin = parse_origin(plain.removesuffix(":*"))
    if origin is None or (any_port and origin.port) or (subdomains and not origin.has_domain):
        return None
    return Pattern(origin, subdomains, any_port) if subdomains or any_port else None


@final
class Origins:
    """A checked list of origins and patterns (and perhaps ``null``), ready to match; immutable and hashable.

    Iterates over the values as they were written, sorted and without repetition.
    """

    def __init__(self, exact: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        self._exact = frozenset(exact)
        self._patterns = frozenset(patterns)

    @classmethod
    def read(cls, values: Iterable[object]) -> tuple[Origins, list[Flaw]]:
        """Sort *values* into origins, patterns, and flaws."""
        exact: list[str] = []
        patterns: list[str] = []
        flaws: list[Flaw] = []
        for value in values:
            if not isinstance(value, str):
                flaws.append(flaw(value, "nothing-to-inherit" if value is ... else "not-a-string"))
            elif value == fetch.NULL_ORIGIN or parse_origin(value):
                exact.append(value)
            elif parse_pattern(value):
                patterns.append(value)
            else:
                flaws.append(diagnose(value))
        return cls(exact, patterns), flaws

    def match(self, origin: str) -> bool:
        """Whether *origin*, anything that a client may have sent, is one of these."""
        if origin in self._exact:
            return True
        parsed = parse_origin(origin) if self._patterns else None
        return parsed is not None and any(text in self._patterns for text in self._covering(parsed))

    def _covering(self, origin: Origin) -> Iterator[str]:
        """Every pattern text that would cover *origin*, as far as patterns of that shape exist."""
        scheme, host, port = origin
        yield f"{scheme}://{host}:*"
        labels = host.split(".")
        for count in self._label_counts:
            if count < len(labels):
                suffix = ".".join(labels[-count:])
                yield str(Origin(scheme, f"*.{suffix}", port))
                yield f"{scheme}://*.{suffix}:*"

    @cached_property
    def _label_counts(self) -> tuple[int, ...]:
        hosts = {pattern.origin.host.count(".") + 1 for pattern in self._parsed_patterns if pattern.subdomains}
        return tuple(sorted(hosts))

    @property
    def _parsed_patterns(self) -> Iterator[Pattern]:
        return filter(None, map(parse_pattern, self._patterns))

    @property
    def has_null(self) -> bool:
        """Whether ``null`` is listed."""
        return fetch.NULL_ORIGIN in self._exact

    @cached_property
    def insecure(self) -> tuple[str, ...]:
        """The values that admit ``http://`` pages of other machines, which anybody on the way can rewrite."""
        return tuple(sorted(text for text in (*self._exact, *self._patterns) if _is_insecure(text)))

    @cached_property
    def on_public_suffixes(self) -> tuple[str, ...]:
        """The patterns whose subdomains belong to strangers, such as ``https://*.github.io``."""
        return tuple(sorted(text for text in self._patterns if _is_on_public_suffix(text)))

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._exact | self._patterns))

    def __len__(self) -> int:
        return len(self._exact) + len(self._patterns)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Origins):
            return self._exact == other._exact and self._patterns == other._patterns
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash((self._exact, self._patterns))  # a frozenset computes its hash once

    def __repr__(self) -> str:
        return repr(tuple(self))


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
    return _public_suffix(domain) == domain


@cache
def _load_public_suffixes() -> Callable[[str], str | None]:
    # Loaded at the first need only: the list takes some megabytes and a tenth of a second.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList().publicsuffix


def _public_suffix(domain: str) -> str | None:
    return _load_public_suffixes()(domain)


# ---------------------------------------------------------------------------------------
# What is wrong with a misspelled origin. Only configuration comes here, never a request.
# ---------------------------------------------------------------------------------------


class _Pieces(NamedTuple):
    """A would-be origin, taken apart with no questions asked."""

    scheme: str
    user_info: str
    host: str
    port: str
    rest: str


_WOULD_BE_ORIGIN = re.compile(
    r"(?P<scheme>[^:/]*)://"
    r"(?:(?P<user_info>[^/?#]*)@)?"
    r"(?P<host>\[[^\]]*\]|[^:/?#\\]*)"
    r"(?P<port>:[^/?#\\]*)?"
    r"(?P<rest>.*)",
    re.DOTALL,
)

_REGEX_SIGNS = re.compile(r"\\.|[$()^|+]|/\.\*|\[[^0-9a-fA-F:.\]]")


def _spells_default_port(pieces: _Pieces) -> bool:
    port = pieces.port.removeprefix(":")
    return not port or port.lstrip("0") == _DEFAULT_PORTS.get(pieces.scheme.lower())


def _is_impossible_port(port: str) -> bool:
    return re.fullmatch(":[1-9][0-9]{0,4}", port) is None or int(port[1:]) > 65535


# (id, whether it is this); the first that applies is reported
_FLAWS: Final[tuple[tuple[str, Callable[[_Pieces], object]], ...]] = (
    ("origin-file", lambda it: it.scheme.lower() == "file"),
    ("origin-trailing-slash", lambda it: it.rest == "/"),
    ("origin-path", lambda it: it.rest),
    ("origin-user-info", lambda it: it.user_info),
    ("origin-wildcard", lambda it: "*" in it.scheme or "*" in it.host.removeprefix("*.")),
    ("origin-wildcard", lambda it: "*" in it.port and it.port != ":*"),
    ("origin-upper-case", lambda it: it.scheme != it.scheme.lower() or it.host != it.host.lower()),
    ("origin-unicode", lambda it: not it.host.isascii()),
    ("origin-default-port", lambda it: it.port and _spells_default_port(it)),
    ("origin-port", lambda it: it.port not in {"", ":*"} and _is_impossible_port(it.port)),
    (
        "origin-ip-address",
        lambda it: it.host.startswith("[") or _ENDS_IN_NUMBER.fullmatch(it.host.removeprefix("*.")),
    ),
    ("origin-scheme", lambda it: not re.fullmatch(r"[a-z][a-z0-9+.-]*", it.scheme)),
    ("origin-host", lambda _: True),
)


def diagnose(text: str) -> Flaw:
    """Why *text* is neither an origin nor a pattern, and where that is clear, the right spelling."""
    if text == fetch.WILDCARD:
        return flaw(text, "wildcard-beside-others")
    if "," in text or any(character.isspace() for character in text):
        return flaw(text, "origin-separator", [part for part in re.split(r"[\s,]+", text) if part])
    if _REGEX_SIGNS.search(text):
        return flaw(text, "origin-regex")
    if len(text) > MAX_ORIGIN_LENGTH:
        return flaw(text, "origin-too-long")
    match = _WOULD_BE_ORIGIN.fullmatch(text)
    if match is None:
        return _without_scheme(text)
    pieces = _Pieces(*match.groups(default=""))
    id_ = next(id_ for id_, applies in _FLAWS if applies(pieces))
    return flaw(text, id_, spelling=_correct(text))


def _without_scheme(text: str) -> Flaw:
    rest = text.lstrip("/")
    scheme = "http" if rest.startswith(("localhost", "127.0.0.1", "[::1]")) else "https"
    return flaw(text, "origin-scheme", spelling=_correct(f"{scheme}://{rest}"))


def _correct(text: str) -> str | None:
    """The spelling that was meant, if that is clear."""
    match = _WOULD_BE_ORIGIN.fullmatch(text)
    if match is None:
        return None
    pieces = _Pieces(*match.groups(default=""))
    port = "" if _spells_default_port(pieces) else pieces.port
    wildcard = "*." if pieces.host.startswith("*.") else ""
    host = _correct_host(pieces.host.removeprefix("*."))
    corrected = f"{pieces.scheme.lower()}://{wildcard}{host}{port}"
    return corrected if parse_origin(corrected) or parse_pattern(corrected) else None


def _correct_host(host: str) -> str | None:
    """*host* as the host parser and serializer give it: https://url.spec.whatwg.org/#host-parsing"""
    if not host.isascii():
        host = _punycode(host)
    host = host.lower()
    if host.startswith("["):
        return _canonical_ipv6(host)
    return _correct_ipv4(host) if _ENDS_IN_NUMBER.fullmatch(host) else host


def _punycode(host: str) -> str:
    import idna  # only a misspelled origin needs its tables

    try:
        return idna.encode(host, uts46=True).decode()
    except UnicodeError:
        return host


def _correct_ipv4(host: str) -> str | None:
    """https://url.spec.whatwg.org/#concept-ipv4-parser"""
    try:
        numbers = [_ipv4_number(part) for part in host.removesuffix(".").split(".")]
        *octets, last = numbers
        value = last + sum(octet << 8 * (3 - index) for index, octet in enumerate(octets))
        fits = len(numbers) <= 4 and all(octet <= 255 for octet in octets) and last < 256 ** (5 - len(numbers))
        return str(ipaddress.IPv4Address(value)) if fits else None
    except ValueError:
        return None


def _ipv4_number(part: str) -> int:
    """https://url.spec.whatwg.org/#ipv4-number-parser"""
    if not part.isalnum():  # `int` would take underscores
        raise ValueError(part)
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") else 10)
