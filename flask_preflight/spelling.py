"""What is wrong with a misspelled origin, and the right spelling.

Only values of the program are read here, never those of a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from flask_preflight import fetch
from flask_preflight.hosts import ENDS_IN_NUMBER, parse_host, parse_ipv6
from flask_preflight.origin import DEFAULT_PORTS, MAX_ORIGIN_LENGTH, Origin, parse_origin, parse_pattern
from flask_preflight.problems import Flaw, make_flaw, show_items


class _Parts(NamedTuple):
    """The parts of a would-be origin, whether they are valid or not."""

    scheme: str
    user_info: str
    host: str
    port: str
    rest: str


# `re` compiles the patterns of this file when they are first used. Where nothing is misspelled, none is.
_WOULD_BE_ORIGIN: Final = (
    r"(?s)(?:(?P<scheme>[^:/]*)://)?"
    r"(?:(?P<user_info>[^/?#]*)@)?"
    r"(?P<host>\[[^\]]*\]|[^:/?#\\]*)"
    r"(?P<port>:[^/?#\\]*)?"
    r"(?P<rest>.*)"
)

# How much of a string is split for a hint, which shows less
_MOST_SPLIT: Final = 2000

_REGEX_SIGNS: Final = r"[()^|?]|\$$|//\.[*+]|\[[^\]]*-"

# A scheme and what was written for "://"; the lookahead leaves out a host and its port, such as "http:3000"
_WOULD_BE_SCHEME: Final = r"([A-Za-z]{3,6})(:/*|:\\+|/{2,3}|\\{2,3})(?=[^/\\:])(?!\d+$)"

# A regular expression for both schemes: what comes before "://"
_ANY_HTTP: Final = r"(?:https\?|http\(s\)\?|\((?:\?:)?(?:https\?|https?\|https?)\))(?=://)"

# A regular expression for all subdomains: what comes between "://" and "."
_ANY_LABELS: Final = r"://(?:\(\?:|\()?(?:\.|\\w|\[[^\]]*\])[*+]\)?\\?\."
_ANY_PORT: Final = r":(?:\\d|\[0-9\])(?:[*+]|\{[0-9,]*\})$"


def is_allowed_origin(text: str) -> bool:
    """Whether *text* is an origin that a page can have, or a pattern of such."""
    return is_page_scheme(text.partition("://")[0]) and bool(parse_origin(text) or parse_pattern(text))


def is_page_scheme(scheme: str) -> bool:
    """Whether pages can have *scheme*, which may be the scheme of an app."""
    return scheme in _HTTP or (scheme not in DEFAULT_PORTS and _nearest_http(scheme) is None)


_HTTP: Final = ("https", "http")

# Of the special schemes only http and https have pages in browsers: https://url.spec.whatwg.org/#special-scheme
_NOT_OF_PAGES: Final = {"ws": "http", "wss": "https", "ftp": "https"}


def _nearest_http(scheme: str) -> str | None:
    """``https`` or ``http``, if *scheme* is at most one edit away from it."""
    return scheme if scheme in _HTTP else next((right for right in _HTTP if _is_one_edit(scheme, right)), None)


def _is_one_edit(text: str, right: str) -> bool:
    """Whether one letter is missing, added, wrong, or swapped with the next one."""
    length = min(len(text), len(right))
    start = next((index for index in range(length) if text[index] != right[index]), length)
    one, other = text[start:], right[start:]
    return (
        one[1:] == other
        or one == other[1:]
        or one[1:] == other[1:]
        or (one[1::-1] == other[:2] and one[2:] == other[2:])
    )


_QUOTES: Final = "'\"\u2018\u2019\u201c\u201d"


def split_values(text: str) -> list[str]:
    """The values in a string that may be a list in JSON or in Python, or separated in another way."""
    text = re.sub(_COMMENT, "", re.sub(_GLUED_ELLIPSIS, "...,", text)).strip(f" \t\r\n{_QUOTES}")
    if text.startswith("[") and re.match(_IPV6, text) is None:
        text = text[1:]
    if text.count("]") > text.count("["):
        text = text.rstrip().removesuffix("]")
    return [part for part in re.split(rf"[\s,;{{}}{_QUOTES}]+", text) if part]


# An address has a colon, which distinguishes it from [...]
_IPV6: Final = r"\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]"

# As in files that set environment variables
_COMMENT: Final = r"(?m)(?:^|(?<=\s))#.*$"

# "..." for the inherited values, where the comma behind it was forgotten
_GLUED_ELLIPSIS: Final = r"(?<![^\s,;\[\"'])\.\.\.(?=\w)"


def is_glued(text: str) -> bool:
    """Whether *text* is ``"..."`` and a value, without a comma between them."""
    return re.match(_GLUED_ELLIPSIS, text) is not None


def show_values(texts: Iterable[str]) -> str:
    """*texts* as the items of a list in Python, where ``...`` has no quotes."""
    return show_items(... if text == "..." else text for text in texts)


def join_pieces(text: str) -> str:
    """*text* without white space that no list of origins has, as in ``https://a .com``."""
    return re.sub(r"(?<=://)\s+|(?<!\s)\s+(?=[:/]|\.(?!\.))", "", text)


def correct_origins(texts: Iterable[str]) -> list[str]:
    """*texts* as they were meant, where that is clear. Without a ``*`` beside others, which would count alone."""
    corrected = [text if is_allowed_origin(text) else (_spelling_of(text) or text) for text in texts]
    return [text for text in corrected if text != fetch.WILDCARD] or corrected[:1]


def _is_any_host(parts: _Parts) -> bool:
    return (parts.host, parts.port) == ("*", "") and parts.scheme.lower() not in {"", *DEFAULT_PORTS}


def _looks_like_regex(parts: _Parts) -> bool:
    signs = re.search(_REGEX_SIGNS, f"{parts.scheme}://{parts.host}{parts.port}")
    return signs is not None or parts.rest[:1] not in {"", "/", "?", "#"}


def _read_regex(text: str) -> str | None:
    """The origin or pattern that a regular expression stands for, if there is one."""
    plain = re.sub(_ANY_HTTP, "https", text.removeprefix("^").removesuffix("$").replace(r"\/", "/"), count=1)
    plain = re.sub(_ANY_PORT, ":*", re.sub(_ANY_LABELS, "://*.", plain)).replace(r"\.", ".").replace(r"\-", "-")
    return plain if is_allowed_origin(plain) else None


def _spells_default_port(parts: _Parts) -> bool:
    return parts.port in {"", ":"} or re.sub("^:0*", "", parts.port) == DEFAULT_PORTS.get(parts.scheme.lower())


def _is_impossible_port(port: str) -> bool:
    return re.fullmatch(":[1-9][0-9]{0,4}", port) is None or int(port[1:]) > 65535


# (id, whether the problem is this one); the first that applies is reported
_CHECKS: Final[tuple[tuple[str, Callable[[_Parts], object]], ...]] = (
    ("origin-regex", _looks_like_regex),
    ("origin-scheme", lambda it: not it.scheme),
    ("origin-scheme-not-of-pages", lambda it: it.scheme.lower() in _NOT_OF_PAGES),
    ("origin-scheme-misspelled", lambda it: "*" not in it.scheme and not is_page_scheme(it.scheme.lower())),
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
    """Why *text* is not an origin or pattern that can be allowed, with the right spelling where that is clear."""
    if text == fetch.WILDCARD:
        return make_flaw(text, "wildcard-beside-others")
    if text.lower().startswith("file:"):
        return make_flaw(text, "origin-file")
    if re.search(r"[\s,;]", text) or is_glued(text):
        return _diagnose_several(text)
    if len(text) > MAX_ORIGIN_LENGTH:
        return make_flaw(text, "origin-too-long")
    bare = split_values(text)
    if len(bare) == 1 and bare != [text] and is_allowed_origin(*correct_origins(bare)):
        return make_flaw(text, "origin-quotes", show_values(correct_origins(bare)))
    repaired = _repair_scheme(text)
    if repaired is not None:
        return make_flaw(text, "origin-scheme", spelling=_correct(_split(repaired)))
    parts = _split(text)
    problem_id = next(problem_id for problem_id, applies in _CHECKS if applies(parts))
    spelling = _read_regex(text) if problem_id == "origin-regex" else _correct(parts)
    is_part = problem_id == "origin-wildcard" and parts.scheme in _HTTP and re.search(_PART_OF_LABEL, parts.host)
    return make_flaw(text, problem_id, spelling=spelling, hint=_WHOLE_LABELS if is_part else None)


# A star that stands for some letters
_PART_OF_LABEL: Final = r"[^.*]\*|\*[^.*]"
_WHOLE_LABELS: Final = (
    "write a pattern such as 'https://*.example.com', or a function; a '*' stands for whole labels"
    " between two dots, not for some letters of one"
)


def _diagnose_several(text: str) -> Flaw:
    values = split_values(join_pieces(text[:_MOST_SPLIT]))
    if not values:
        return make_flaw(text, "empty-item")
    shown = correct_origins(values)
    if not any(map(is_allowed_origin, shown)):
        shown = ["https://example.com"]
    hint = f"write {show_values(shown)}" if len(shown) == 1 else None
    return make_flaw(text, "origin-separator", show_values(shown), hint=hint)


def _spelling_of(text: str) -> str | None:
    if len(text) > MAX_ORIGIN_LENGTH:
        return None
    parts = _split(_repair_scheme(text) or text)
    return _read_regex(text) if _looks_like_regex(parts) else _correct(parts)


def _split(text: str) -> _Parts:
    return _Parts(*re.findall(_WOULD_BE_ORIGIN, text.lstrip("/"))[0])


def _repair_scheme(text: str) -> str | None:
    """*text* with ``://`` after its scheme, if another separator stands there."""
    match = re.match(_WOULD_BE_SCHEME, text)
    if match is None or match[2] == "://":
        return None
    scheme = _nearest_http(match[1].lower())
    return scheme and f"{scheme}://{text[match.end() :]}"


def _correct(parts: _Parts) -> str | None:
    """The spelling that was meant, if that is clear."""
    scheme = _correct_scheme(parts)
    is_default = _spells_default_port(parts) or _spells_default_port(parts._replace(scheme=scheme))
    port = "" if is_default else re.sub("^:0+(?=[1-9])", ":", parts.port)
    if "*" in port:
        port = ":*"
    host = parts.host
    if scheme in _HTTP and not _is_ending(host):
        host = re.sub(r"^\*[*.]*", "*.", host)
    wildcard = "*." if host.startswith("*.") else ""
    host = _correct_host(scheme, host.removeprefix("*.")) or ""
    corrected = f"{scheme}://{wildcard}{host}{port}"
    return corrected if host and is_allowed_origin(corrected) else None


def _is_ending(host: str) -> bool:
    """Whether *host* is a star and the end of a label, as in ``*-team.example.com``, and not a whole domain."""
    end = host.lstrip("*")
    return end != host and not end.startswith(".") and (end.startswith("-") or end.count(".") != 1)


def _correct_scheme(parts: _Parts) -> str:
    scheme = parts.scheme.lower()
    if not scheme:
        return _guess_scheme(parts.host.lower(), parts.port)
    if "*" in scheme:
        return "https"
    return _NOT_OF_PAGES.get(scheme) or _nearest_http(scheme) or scheme


def _guess_scheme(host: str, port: str) -> str:
    """The scheme that was left out; ``""`` if *host* is a word such as ``about``."""
    origin = Origin("http", host.removeprefix("*."), "")
    if origin.is_loopback or host.startswith("[") or ENDS_IN_NUMBER.fullmatch(host):
        return "http"
    if "." in host:
        return "https"
    is_machine = host not in _HTTP and re.fullmatch(":[0-9]+", port)  # or a container
    return "http" if is_machine else ""


def _correct_host(scheme: str, host: str) -> str | None:
    """*host* as browsers write it. Outside the special schemes it is opaque, and only its case can be corrected."""
    if scheme in DEFAULT_PORTS:
        corrected = parse_host(host)
        return corrected if corrected and "*" not in corrected else None  # "%2a." was not meant as "*."
    return parse_ipv6(host) if host.startswith("[") else host.lower()
