"""What is wrong with a misspelled origin, and what it was meant to be.

Only configuration comes here, never a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from flask_preflight import fetch
from flask_preflight.hosts import ENDS_IN_NUMBER, parse_host, parse_ipv6
from flask_preflight.origin import DEFAULT_PORTS, MAX_ORIGIN_LENGTH, Origin, parse_origin, parse_pattern
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
    return (parts.host, parts.port) == ("*", "") and parts.scheme.lower() not in {"", *DEFAULT_PORTS}


def _looks_like_regex(parts: _Parts) -> bool:
    signs = _REGEX_SIGNS.search(f"{parts.scheme}://{parts.host}{parts.port}")
    return signs is not None or parts.rest[:1] not in {"", "/", "?", "#"}


def _spells_default_port(parts: _Parts) -> bool:
    return parts.port in {"", ":"} or re.sub("^:0*", "", parts.port) == DEFAULT_PORTS.get(parts.scheme.lower())


def _is_impossible_port(port: str) -> bool:
    return re.fullmatch(":[1-9][0-9]{0,4}", port) is None or int(port[1:]) > 65535


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
    ("origin-default-port", lambda it: it.port and _spells_default_port(it)),
    ("origin-port", lambda it: it.port not in {"", ":*"} and _is_impossible_port(it.port)),
    (
        "origin-ip-address",
        lambda it: it.host.startswith("[") or ENDS_IN_NUMBER.fullmatch(it.host.removeprefix("*.")),
    ),
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
        return make_flaw(text, "origin-separator", [part for part in re.split(r"[\s,]+", text) if part])
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
    host = _correct_host(parts.scheme, parts.host.removeprefix("*."))
    corrected = f"{parts.scheme}://{wildcard}{host}{port}"
    return corrected if host and (parse_origin(corrected) or parse_pattern(corrected)) else None


def _guess_scheme(host: str) -> str:
    """The scheme that was left out. ``""`` for a single word, such as the ``https`` of ``https:/example.com``."""
    if Origin("http", host, "").is_loopback:
        return "http"
    return "https" if "." in host or host.startswith("[") else ""


def _correct_host(scheme: str, host: str) -> str | None:
    """*host* as browsers write it. Outside the special schemes it is opaque, and only its case can be corrected."""
    if scheme in DEFAULT_PORTS:
        corrected = parse_host(host)
        return corrected if corrected and "*" not in corrected else None  # "%2a." was not meant as "*."
    return parse_ipv6(host) if host.startswith("[") else host.lower()
