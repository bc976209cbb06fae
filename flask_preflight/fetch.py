"""The words of the Fetch standard: names, token grammar, safelists, forbidden lists.

Data and grammar only, no decisions; each item stands under the section that defines it.
The server's side (:mod:`~flask_preflight.engine`) and the browser's side
(:mod:`~flask_preflight.browser`) share this file and nothing else.
"""

from __future__ import annotations

import re
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

# HTTP tab or space: https://fetch.spec.whatwg.org/#http-tab-or-space
TAB_OR_SPACE: Final = "\t "


def is_token(text: str) -> bool:
    """Whether *text* is a ``token``, the grammar of methods and header names."""
    return _TOKEN.fullmatch(text) is not None


def split_list(value: str) -> list[str]:
    """The elements of a ``#element`` field value, without white space and empty elements.

    Recipients must tolerate both: https://httpwg.org/specs/rfc9110.html#abnf.extension.recipient
    """
    elements = (element.strip(TAB_OR_SPACE) for element in value.split(","))
    return [element for element in elements if element]


# ---------------------------------------------------------------------------------------
# Methods
# ---------------------------------------------------------------------------------------

# https://fetch.spec.whatwg.org/#cors-safelisted-method
SAFELISTED_METHODS: Final = frozenset({"GET", "HEAD", "POST"})

# https://fetch.spec.whatwg.org/#forbidden-method (compared without case)
_FORBIDDEN_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})

# https://fetch.spec.whatwg.org/#concept-method-normalize: what browsers upper-case. PATCH is not there.
_NORMALIZED_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})


def is_forbidden_method(method: str) -> bool:
    """Whether no script may ever send *method*."""
    return method.upper() in _FORBIDDEN_METHODS


def normalize_method(method: str) -> str:
    """*method* as a browser sends it: ``put`` becomes ``PUT``, ``patch`` stays ``patch``."""
    upper = method.upper()
    # `str.upper` also makes ASCII of some letters beyond it
    return upper if upper in _NORMALIZED_METHODS and method.isascii() else method


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


def is_forbidden_request_header(name: str) -> bool:
    """Whether no script may ever set the request header *name*, whatever its value."""
    name = name.lower()
    return name in _FORBIDDEN_REQUEST_HEADERS or name.startswith(_FORBIDDEN_REQUEST_PREFIXES)
