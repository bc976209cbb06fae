"""What is wrong with a misspelled origin, and what it was meant to be.

Only configuration comes here, never a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Final, NamedTuple

from flask_preflight import fetch
from flask_preflight.origin import (
    DEFAULT_PORTS,
    ENDS_IN_NUMBER,
    MAX_ORIGIN_LENGTH,
    Origin,
    canonical_ipv6,
    parse_origin,
    parse_pattern,
)
from flask_preflight.problems import Flaw, make_flaw


class _Parts(NamedTuple):
    """The parts of a would-be origin, whether they are valid or not."""

    scheme: str
    user_info: str
    host: str
    port: str
    rest: str


_WOULD_BE_ORIGIN = re.compile(
    r"(?s)(?:(?P<scheme>[^:/]*)://)?"
    r"(?:(?P<user_info>[^/?#]*)@)?"
    r"(?P<host>\[[^\]]*\]|[^:/?#\\]*)"
    r"(?P<port>:[^/?#\\]*)?"
    r"(?P<rest>.*)"
)
_REGEX_SIGNS = re.compile(r"[()^|?]|\$$|//\.[*+]|\[[^\]]*-")


def _is_any_host(parts: _Parts) -> bool:
    return (parts.host, parts.port) == ("*", "") and parts.scheme.lower() not in DEFAULT_PORTS


def _looks_like_regex(parts: _Parts) -> bool:
    signs = _REGEX_SIGNS.search(f"{parts.scheme}://{parts.host}{parts.port}")
    return signs is not None or parts.rest[:1] not in {"", "/", "?", "#"}


def _spells_default_port(parts: _Parts) -> bool:
    return parts.port == ":" or re.sub("^:0*", "", parts.port) == DEFAULT_PORTS.get(parts.scheme)


def _is_impossible_port(port: str) -> bool:
    return re.fullmatch(":[1-9][0-9]*", port) is None or int(port[1:]) > 65535


# (id, whether the problem is this one); the first that applies is reported
_CHECKS: Final[tuple[tuple[str, Callable[[_Parts], object]], ...]] = (
    ("origin-regex", _looks_like_regex),
    ("origin-scheme", lambda it: not it.scheme),
    ("origin-trailing-slash", lambda it: it.rest == "/"),
    ("origin-path", lambda it: it.rest),
    ("origin-user-info", lambda it: it.user_info),
    ("origin-wildcard", lambda it: "*" in it.scheme or ("*" in it.host.removeprefix("*.") and not _is_any_host(it))),
    ("origin-wildcard", lambda it: "*" in it.port and it.port != ":*"),
    ("origin-upper-case", lambda it: it.scheme != it.scheme.lower() or it.host != it.host.lower()),
    ("origin-unicode", lambda it: not it.host.isascii()),
    # IPv6 without its brackets
    ("origin-ip-address", lambda it: it.port.count(":") > 1 and "." not in it.host.removeprefix("*.")),
    ("origin-default-port", _spells_default_port),
    ("origin-port", lambda it: it.port not in {"", ":*"} and _is_impossible_port(it.port)),
    ("origin-ip-address", lambda it: it.host.startswith("[") or ENDS_IN_NUMBER.fullmatch(it.host)),
    ("origin-scheme", lambda it: not re.fullmatch(r"[a-z][a-z0-9+.-]*", it.scheme)),
    ("origin-host", lambda _: True),
)


def diagnose(text: str) -> Flaw:
    """Why *text* is neither an origin nor a pattern, with the right spelling where that is clear."""
    if text == fetch.WILDCARD:
        return make_flaw(text, "wildcard-beside-others")
    if not text.strip():
        return make_flaw(text, "empty-item")
    if text.lower().startswith("file:"):
        return make_flaw(text, "origin-file")
    if "," in text or any(character.isspace() for character in text):
        return make_flaw(text, "origin-separator", [part for part in re.split(r"[\s,]", text) if part])
    if len(text) > MAX_ORIGIN_LENGTH:
        return make_flaw(text, "origin-too-long")
    parts = _Parts(*_WOULD_BE_ORIGIN.findall(text.lstrip("/"))[0])
    problem_id = next(problem_id for problem_id, applies in _CHECKS if applies(parts))
    return make_flaw(text, problem_id, spelling=None if problem_id == "origin-regex" else _correct(parts))


def _correct(parts: _Parts) -> str | None:
    """The spelling that was meant, if that is clear."""
    parts = parts._replace(scheme=parts.scheme.lower() or _guess_scheme(parts.host.lower()))
    port = "" if _spells_default_port(parts) else re.sub("^:0+(?=[1-9])", ":", parts.port)
    wildcard = "*." if parts.host.startswith("*.") else ""
    host = _correct_host(parts.host.removeprefix("*."))
    corrected = f"{parts.scheme}://{wildcard}{host}{port}"
    return corrected if host and (parse_origin(corrected) or parse_pattern(corrected)) else None


def _guess_scheme(host: str) -> str:
    """The scheme that was left out. ``""`` for a single word, such as the ``https`` of ``https:/example.com``."""
    if Origin("http", host, "").is_loopback:
        return "http"
    return "https" if "." in host or host.startswith("[") else ""


def _correct_host(host: str) -> str | None:
    """*host* as the host parser and serializer give it: https://url.spec.whatwg.org/#host-parsing"""
    if not host.isascii():
        host = _punycode(host)
    host = host.lower()
    if host.startswith("["):
        return canonical_ipv6(host)
    return _correct_ipv4(host) if ENDS_IN_NUMBER.fullmatch(host) else host


def _punycode(host: str) -> str:
    import idna  # its tables take long to import, and only a misspelled origin needs them

    try:
        return idna.encode(host, uts46=True).decode()
    except UnicodeError:
        return host


def _correct_ipv4(host: str) -> str | None:
    """https://url.spec.whatwg.org/#concept-ipv4-parser"""
    try:
        numbers = [_parse_ipv4_number(part) for part in host.removesuffix(".").split(".")]
        *octets, last = numbers
        value = last + sum(octet << 8 * (3 - index) for index, octet in enumerate(octets))
        fits = len(numbers) <= 4 and all(octet <= 255 for octet in octets) and last < 256 ** (5 - len(numbers))
        return str(IPv4Address(value)) if fits else None
    except ValueError:
        return None


def _parse_ipv4_number(part: str) -> int:
    """https://url.spec.whatwg.org/#ipv4-number-parser"""
    if not (part.isascii() and part.isalnum()):  # `int` would also take underscores and digits of other scripts
        raise ValueError(part)
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") else 10)
