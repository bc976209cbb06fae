"""Origins and origin patterns: read, match, and correct when misspelled.

An origin is what a browser writes into the ``Origin`` header, e.g. ``https://example.com`` or
``http://localhost:3000``: https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin

A pattern is an origin with ``*.`` before its domain (one or more labels, never the bare domain), with ``:*``
for its port (any, also none), or with both. There are no regular expressions: a pattern is found by looking up
its own text, so ten thousand of them cost the same as one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from typing import Final, NamedTuple, final

from flask_preflight import fetch
from flask_preflight.memory import Memory
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
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"  # seldom needed, and so compiled by `re` when it is


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
            return f".{self.host}".removesuffix(".").endswith(".localhost")
        return self.host.startswith("127.") or self.host == "[::1]"


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
    return re.fullmatch(_IPV4, host) is not None or host == _canonical_ipv6(host)


def _canonical_ipv6(host: str) -> str | None:
    from ipaddress import IPv6Address  # long to import, and seldom needed

    try:
        return f"[{fetch.serialize_ipv6(int(IPv6Address(host.strip('[]'))))}]"
    except ValueError:
        return None


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
class Origins(tuple[str, ...]):
    """Checked origins and patterns (and perhaps ``null``), sorted and each once: a tuple that can match."""

    @classmethod
    def read(cls, values: Iterable[object]) -> tuple[Origins, list[Flaw]]:
        """Sort *values* into what is an origin or a pattern, and flaws."""
        valid: set[str] = set()
        flaws: list[Flaw] = []
        for value in values:
            if not isinstance(value, str):
                flaws.append(flaw(value, "nothing-to-inherit" if value is ... else "not-a-string"))
            elif value == fetch.NULL_ORIGIN or parse_origin(value) or parse_pattern(value):
                valid.add(value)
            else:
                flaws.append(diagnose(value))
        return cls(sorted(valid)), flaws

    def __reduce__(self) -> tuple[type[Origins], tuple[tuple[str, ...]]]:
        return Origins, (tuple(self),)  # without what is worked out from them

    def match(self, origin: str) -> bool:
        """Whether *origin*, anything that a client may have sent, is one of these."""
        if origin in self.listed or origin in self._met.kept:
            return True
        if not self.patterns or not self._cover(origin):
            return False
        self._met.keep(origin, True)
        return True

    @cached_property
    def listed(self) -> frozenset[str]:
        """The origins among them, and ``null``."""
        return frozenset(text for text in self if "*" not in text)

    @cached_property
    def patterns(self) -> frozenset[str]:
        """The patterns among them."""
        return frozenset(text for text in self if "*" in text)

    @cached_property
    def _met(self) -> Memory[str, bool]:
        """Origins that a pattern has turned out to cover."""
        return Memory()

    def _cover(self, origin: str) -> bool:
        """Whether a pattern covers *origin*, which is read last: most of what is not allowed ends like no pattern."""
        found = self._look_up(origin, "") or (self._any_port and self._look_up(_without_port(origin), ":*"))
        return found and parse_origin(origin) is not None

    def _look_up(self, text: str, port: str) -> bool:
        """Whether there is a pattern for *text* and this *port*, with any subdomains or, for any port, with none."""
        if port and text + port in self.patterns:
            return True
        dot = len(text)
        for _ in range(self._most_labels):
            dot = text.rfind(".", 0, dot)
            if dot < 0:
                break
            end = text[dot:] + port
            if end in self._ends and f"{text.partition('://')[0]}://*{end}" in self.patterns:
                return True
        return False

    @cached_property
    def _ends(self) -> frozenset[str]:
        """What follows the ``*`` of subdomains."""
        return frozenset(text.partition("://*")[2] for text in self.patterns if "://*" in text)

    @cached_property
    def _most_labels(self) -> int:
        return max((end.count(".") for end in self._ends), default=0)

    @cached_property
    def _any_port(self) -> bool:
        return any(text.endswith(":*") for text in self.patterns)

    @cached_property
    def first_by_domain(self) -> dict[str, list[str]]:
        """The first thousand by their domain without ``www.``, to find one that is near a given origin."""
        by_domain: dict[str, list[str]] = {}
        for text in self[:1000]:
            pattern = parse_pattern(text)
            origin = pattern.origin if pattern else parse_origin(text)
            if origin is not None:  # "null" has none
                by_domain.setdefault(origin.host.removeprefix("www."), []).append(text)
        return by_domain

    @property
    def has_null(self) -> bool:
        """Whether ``null`` is listed."""
        return fetch.NULL_ORIGIN in self.listed

    @cached_property
    def insecure(self) -> tuple[str, ...]:
        """The values that admit ``http://`` pages of other machines, which anybody on the way can rewrite."""
        return tuple(filter(_is_insecure, self))

    @cached_property
    def on_public_suffixes(self) -> tuple[str, ...]:
        """The patterns whose subdomains belong to strangers, such as ``https://*.github.io``."""
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
    # asked about a subdomain, since some lists are of the kind "*.kawasaki.jp"
    suffix = _load_public_suffixes()(f"any.{domain}")
    return suffix is not None and len(suffix) >= len(domain)


@cache
def _load_public_suffixes() -> Callable[[str], str | None]:
    # Loaded at the first need only: the list takes some megabytes and a tenth of a second.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList().publicsuffix


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


# Compiled by `re` when first used
_WOULD_BE_ORIGIN = (
    r"(?s)(?:(?P<scheme>[^:/]*)://)?"
    r"(?:(?P<user_info>[^/?#]*)@)?"
    r"(?P<host>\[[^\]]*\]|[^:/?#\\]*)"
    r"(?P<port>:[^/?#\\]*)?"
    r"(?P<rest>.*)"
)

_REGEX_SIGNS = r"[()^|?]|\$$|//\.[*+]|\[[^\]]*-"


def _looks_like_regex(pieces: _Pieces) -> bool:
    follows_host = pieces.rest[:1]
    signs = re.search(_REGEX_SIGNS, f"{pieces.scheme}://{pieces.host}{pieces.port}")
    return signs is not None or follows_host not in {"", "/", "?", "#"}


def _spells_default_port(pieces: _Pieces) -> bool:
    return pieces.port in {"", ":"} or pieces.port.lstrip(":0") == _DEFAULT_PORTS.get(pieces.scheme.lower())


def _is_impossible_port(port: str) -> bool:
    return re.fullmatch(":[1-9][0-9]{0,4}", port) is None or int(port[1:]) > 65535


# (id, whether it is this); the first that applies is reported
_FLAWS: Final[tuple[tuple[str, Callable[[_Pieces], object]], ...]] = (
    ("origin-regex", _looks_like_regex),
    ("origin-scheme", lambda it: not it.scheme),
    ("origin-trailing-slash", lambda it: it.rest == "/"),
    ("origin-path", lambda it: it.rest),
    ("origin-user-info", lambda it: it.user_info),
    ("origin-wildcard", lambda it: "*" in it.scheme or "*" in it.host.removeprefix("*.")),
    ("origin-wildcard", lambda it: "*" in it.port and it.port != ":*"),
    ("origin-upper-case", lambda it: it.scheme != it.scheme.lower() or it.host != it.host.lower()),
    ("origin-unicode", lambda it: not it.host.isascii()),
    # IPv6 without its brackets
    ("origin-ip-address", lambda it: it.port.count(":") > 1 and "." not in it.host.removeprefix("*.")),
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
    if text.lower().startswith("file:"):
        return flaw(text, "origin-file")
    if "," in text or any(character.isspace() for character in text):
        return flaw(text, "origin-separator", [part for part in re.split(r"[\s,]+", text) if part])
    if len(text) > MAX_ORIGIN_LENGTH:
        return flaw(text, "origin-too-long")
    pieces = _Pieces(*re.findall(_WOULD_BE_ORIGIN, text.lstrip("/"))[0])
    problem_id = next(problem_id for problem_id, applies in _FLAWS if applies(pieces))
    return flaw(text, problem_id, spelling=None if problem_id == "origin-regex" else _correct(pieces))


def _correct(pieces: _Pieces) -> str | None:
    """The spelling that was meant, if that is clear."""
    pieces = pieces._replace(scheme=pieces.scheme.lower() or _guess_scheme(pieces.host.lower()))
    port = "" if _spells_default_port(pieces) else re.sub("^:0+", ":", pieces.port)
    wildcard = "*." if pieces.host.startswith("*.") else ""
    host = _correct_host(pieces.host.removeprefix("*."))
    corrected = f"{pieces.scheme}://{wildcard}{host}{port}"
    return corrected if parse_origin(corrected) or parse_pattern(corrected) else None


def _guess_scheme(host: str) -> str:
    """None for a single word, which may be anything: the ``https`` of ``https:/example.com``, for one."""
    if Origin("http", host, "").is_loopback:
        return "http"
    return "https" if "." in host or host.startswith("[") else ""


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
    from ipaddress import IPv4Address

    try:
        numbers = [_ipv4_number(part) for part in host.removesuffix(".").split(".")]
        *octets, last = numbers
        value = last + sum(octet << 8 * (3 - index) for index, octet in enumerate(octets))
        fits = len(numbers) <= 4 and all(octet <= 255 for octet in octets) and last < 256 ** (5 - len(numbers))
        return str(IPv4Address(value)) if fits else None
    except ValueError:
        return None


def _ipv4_number(part: str) -> int:
    """https://url.spec.whatwg.org/#ipv4-number-parser"""
    if not part.isalnum():  # `int` would take underscores
        raise ValueError(part)
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") else 10)
