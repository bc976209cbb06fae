"""The words of the Fetch standard: names, token grammar, safelists, forbidden lists.

Data and grammar only, no decisions. Above each item is the link to its section of the standard. The server's side
(:mod:`~flask_preflight.engine`) and the browser's side (:mod:`~flask_preflight.browser`) share this file and
:mod:`~flask_preflight.hosts`, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

# ---------------------------------------------------------------------------------------
# Headers of the CORS protocol: https://fetch.spec.whatwg.org/#http-requests
# ---------------------------------------------------------------------------------------

ORIGIN: Final = "Origin"
REQUEST_METHOD: Final = "Access-Control-Request-Method"
REQUEST_HEADERS: Final = "Access-Control-Request-Headers"

# https://fetch.spec.whatwg.org/#http-responses, on every answer:
ALLOW_ORIGIN: Final = "Access-Control-Allow-Origin"
ALLOW_CREDENTIALS: Final = "Access-Control-Allow-Credentials"
# on answers to preflights:
ALLOW_METHODS: Final = "Access-Control-Allow-Methods"
ALLOW_HEADERS: Final = "Access-Control-Allow-Headers"
MAX_AGE: Final = "Access-Control-Max-Age"
# on answers to actual requests:
EXPOSE_HEADERS: Final = "Access-Control-Expose-Headers"

# https://w3c.github.io/resource-timing/#sec-timing-allow-origin
TIMING_ALLOW_ORIGIN: Final = "Timing-Allow-Origin"

# https://httpwg.org/specs/rfc9110.html#field.vary; its use with CORS is described in
# https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches
VARY: Final = "Vary"

WILDCARD: Final = "*"

# An opaque origin (sandboxed frame, data: URL, file) serializes to this:
# https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
NULL_ORIGIN: Final = "null"

# ---------------------------------------------------------------------------------------
# Grammar
# ---------------------------------------------------------------------------------------

# token: https://httpwg.org/specs/rfc9110.html#rule.token.tchar. Methods and header names are tokens:
# https://fetch.spec.whatwg.org/#concept-method, https://fetch.spec.whatwg.org/#header-name
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# The patterns below are those of the browser's side. `re` compiles them when they are first used: it takes longer than
# all else that is imported here, and servers need none.
_NOT_IN_VALUE = "[\0\r\n]|[^\0-\xff]"

# HTTP tab or space: https://fetch.spec.whatwg.org/#http-tab-or-space
TAB_OR_SPACE: Final = "\t "

# HTTP whitespace: https://fetch.spec.whatwg.org/#http-whitespace
WHITESPACE: Final = "\t\n\r "


def is_token(text: str) -> bool:
    """Whether *text* is a ``token``, the grammar of methods and header names."""
    return _TOKEN.fullmatch(text) is not None


def are_tokens(texts: Iterable[str]) -> bool:
    """Whether all of *texts* are tokens; there may be hundreds of thousands."""
    return all(map(_TOKEN.fullmatch, texts))


def is_header_value(text: str) -> bool:
    """Whether *text* may be a header's value: https://fetch.spec.whatwg.org/#header-value.

    Bytes travel as Latin-1, as in WSGI. White space at the ends is for the caller to strip.
    """
    return re.search(_NOT_IN_VALUE, text) is None


def split_list(value: str) -> list[str]:
    """The elements of a ``#element`` field value, without white space and empty elements.

    Recipients must tolerate both: https://httpwg.org/specs/rfc9110.html#abnf.extension.recipient
    """
    elements = [element.strip(TAB_OR_SPACE) for element in value.split(",")]
    return list(filter(None, elements))


# A comma, a quoted string (which may lack its end), or a run of anything else:
# https://fetch.spec.whatwg.org/#collect-an-http-quoted-string
_PIECE = r"""(?s)("(?:[^"\\]|\\.)*(?:"|\\?\Z)|[^",]+)|,"""


def split_outside_quotes(value: str) -> list[str]:
    """*value* at its commas that are not in quotes, without white space; empty elements stay.

    https://fetch.spec.whatwg.org/#header-value-get-decode-and-split
    """
    commas = [piece.start() for piece in re.finditer(_PIECE, value) if piece[1] is None]
    starts = [0, *(comma + 1 for comma in commas)]
    return [value[a:b].strip(TAB_OR_SPACE) for a, b in zip(starts, [*commas, len(value)], strict=True)]


# ---------------------------------------------------------------------------------------
# Methods
# ---------------------------------------------------------------------------------------

# https://fetch.spec.whatwg.org/#cors-safelisted-method
SAFELISTED_METHODS: Final = frozenset({"GET", "HEAD", "POST"})

# https://fetch.spec.whatwg.org/#forbidden-method (compared without case)
_FORBIDDEN_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})

# https://fetch.spec.whatwg.org/#concept-method-normalize: what browsers upper-case. PATCH is not there.
NORMALIZED_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})


def is_forbidden_method(method: str) -> bool:
    """Whether no script may ever send *method*."""
    return method.upper() in _FORBIDDEN_METHODS


def normalize_method(method: str) -> str:
    """*method* as a browser sends it: ``put`` becomes ``PUT``, ``patch`` stays ``patch``."""
    upper = method.upper()
    # `str.upper` also makes ASCII of some letters beyond it
    return upper if upper in NORMALIZED_METHODS and method.isascii() else method


# ---------------------------------------------------------------------------------------
# Statuses: https://fetch.spec.whatwg.org/#statuses
# ---------------------------------------------------------------------------------------

OK_STATUSES: Final = range(200, 300)
REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
NULL_BODY_STATUSES: Final = frozenset({101, 103, 204, 205, 304})

# ---------------------------------------------------------------------------------------
# Header names (all compared without case, so all in lower case here)
# ---------------------------------------------------------------------------------------

# https://fetch.spec.whatwg.org/#cors-safelisted-request-header: names whose *values* decide
SAFELISTED_REQUEST_HEADERS: Final = frozenset(
    {"accept", "accept-language", "content-language", "content-type", "range"}
)

# https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name
NON_WILDCARD_REQUEST_HEADERS: Final = frozenset({"authorization"})

# https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name
SAFELISTED_RESPONSE_HEADERS: Final = frozenset(
    {
        "cache-control",
        "content-language",
        "content-length",
        "content-type",
        "expires",
        "last-modified",
        "pragma",
    }
)

# https://fetch.spec.whatwg.org/#forbidden-response-header-name
FORBIDDEN_RESPONSE_HEADERS: Final = frozenset({"set-cookie", "set-cookie2"})

# https://fetch.spec.whatwg.org/#forbidden-request-header
_FORBIDDEN_REQUEST_HEADERS = frozenset(
    {
        "accept-charset",
        "accept-encoding",
        "access-control-request-headers",
        "access-control-request-method",
        "connection",
        "content-length",
        "cookie",
        "cookie2",
        "date",
        "dnt",
        "expect",
        "host",
        "keep-alive",
        "origin",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
_FORBIDDEN_REQUEST_PREFIXES = ("proxy-", "sec-")

# Same section: these are forbidden only where they name a forbidden method.
_METHOD_OVERRIDES = frozenset({"x-http-method", "x-http-method-override", "x-method-override"})


def is_forbidden_request_header(name: str) -> bool:
    """Whether no script may ever set the request header *name*, whatever its value."""
    name = name.lower()
    return name in _FORBIDDEN_REQUEST_HEADERS or name.startswith(_FORBIDDEN_REQUEST_PREFIXES)


def is_forbidden_request_header_value(name: str, value: str) -> bool:
    """Whether a script may not set the request header *name* to *value* (or to anything)."""
    if name.lower() in _METHOD_OVERRIDES:
        return any(is_forbidden_method(method) for method in split_outside_quotes(value))
    return is_forbidden_request_header(name)


# https://fetch.spec.whatwg.org/#request-body-header-name: dropped where a redirect drops the body
REQUEST_BODY_HEADERS: Final = frozenset({"content-encoding", "content-language", "content-location", "content-type"})

# ---------------------------------------------------------------------------------------
# Request headers that need no preflight: https://fetch.spec.whatwg.org/#cors-safelisted-request-header
# ---------------------------------------------------------------------------------------

_SAFELISTED_VALUE_LENGTH = 128

# https://fetch.spec.whatwg.org/#cors-unsafe-request-header-names: of all safelisted values together
SAFELISTED_VALUES_LENGTH: Final = 1024

# https://fetch.spec.whatwg.org/#cors-unsafe-request-header-byte
_UNSAFE_BYTE = r"""[\0-\x08\x0a-\x1f"():<>?@\[\\\]{}\x7f]"""

_LANGUAGE_VALUE = r"[0-9A-Za-z *,\-.;=]*"

# https://mimesniff.spec.whatwg.org/#parse-a-mime-type, as far as the essence; parameters cannot fail
_MIME_ESSENCE = rf"(?s)[\t\n\r ]*({_TOKEN.pattern}/{_TOKEN.pattern})[\t\n\r ]*(?:;.*)?"

_SAFELISTED_MIME_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})

# https://fetch.spec.whatwg.org/#simple-range-header-value, with a start and without white space
_SIMPLE_RANGE = "bytes=([0-9]+)-([0-9]*)"


def is_safelisted_request_header(name: str, value: str) -> bool:
    """Whether a script may send this header to another origin without asking in a preflight."""
    check = _SAFELISTED_VALUES.get(name.lower())
    return check is not None and len(value) <= _SAFELISTED_VALUE_LENGTH and check(value)


# https://fetch.spec.whatwg.org/#no-cors-safelisted-request-header
def is_no_cors_safelisted_request_header(name: str, value: str) -> bool:
    """Whether a script may set this header under ``mode: "no-cors"``."""
    return name.lower() != "range" and is_safelisted_request_header(name, value)


def _is_safe_accept(value: str) -> bool:
    return re.search(_UNSAFE_BYTE, value) is None


def _is_safe_language(value: str) -> bool:
    return re.fullmatch(_LANGUAGE_VALUE, value) is not None


def _is_safe_content_type(value: str) -> bool:
    match = re.fullmatch(_MIME_ESSENCE, value)
    return _is_safe_accept(value) and match is not None and match[1].lower() in _SAFELISTED_MIME_TYPES


def _is_safe_range(value: str) -> bool:
    match = re.fullmatch(_SIMPLE_RANGE, value)
    return match is not None and (not match[2] or int(match[1]) <= int(match[2]))


_SAFELISTED_VALUES: dict[str, Callable[[str], bool]] = {
    "accept": _is_safe_accept,
    "accept-language": _is_safe_language,
    "content-language": _is_safe_language,
    "content-type": _is_safe_content_type,
    "range": _is_safe_range,
}
