"""What a browser checks in a request and in its answer, and which part of the answer the script sees."""

from __future__ import annotations

import re

from werkzeug.datastructures import Headers

from .. import fetch as words
from .messages import Step, block
from .records import Exchange, ReadableHeaders, Request, Response
from .sites import is_trustworthy
from .urls import HTTP_SCHEMES, URL, parse_location

__tracebackhide__ = True


# https://w3c.github.io/webappsec-mixed-content/#should-block-fetch
def check_mixed_content(request: Request) -> None:
    """Raise :class:`CORSError` if the page is encrypted, and the request would not be.

    The standard protects every page that is potentially trustworthy. Engines protect ``https:`` only, not pages on
    loopback, and so does this. A form opens another page, so it is exempt.
    """
    is_protected = request.page.origin.startswith("https:") and request.mode != "navigate"
    if is_protected and not is_trustworthy(request.url.scheme, request.url.host):
        block(Step.MIXED_CONTENT, request, _unsent(request))


# https://fetch.spec.whatwg.org/#concept-main-fetch, "request's mode is "same-origin""
def check_same_origin(request: Request) -> None:
    """Raise :class:`CORSError` if the script wants its own origin only, and the request goes elsewhere."""
    if request.mode == "same-origin" and request.url.origin != request.origin:
        block(Step.SAME_ORIGIN_MODE, request, _unsent(request))


def _unsent(request: Request) -> Exchange:
    """What is blocked before it leaves the browser."""
    return Exchange(False, request.method, str(request.url), Headers(), 0, Headers())


# https://fetch.spec.whatwg.org/#cors-check
def cors_check(request: Request, exchange: Exchange) -> None:
    """Raise :class:`CORSError` if the answer does not let the page's origin read it."""
    values = exchange.response_headers.getlist(words.ALLOW_ORIGIN)
    origin = ", ".join(values)
    if not values:
        block(Step.ALLOW_ORIGIN_MISSING, request, exchange)
    if request.credentials != "include" and origin == words.WILDCARD:
        return
    if origin != request.serialized_origin():
        block(_origin_step(origin), request, exchange, value=origin, lines=str(len(values)))
    if request.credentials != "include":
        return
    credentials = ", ".join(exchange.response_headers.getlist(words.ALLOW_CREDENTIALS))
    if credentials != "true":
        block(Step.ALLOW_CREDENTIALS, request, exchange, value=credentials)


def _origin_step(value: str) -> Step:
    """The standard has one comparison. The engines' messages distinguish more cases, and so does this."""
    if value == words.WILDCARD:
        return Step.ALLOW_ORIGIN_WILDCARD
    return Step.ALLOW_ORIGIN_MULTIPLE if "," in value else Step.ALLOW_ORIGIN_MISMATCH


# https://fetch.spec.whatwg.org/#cors-preflight-fetch, what follows the answer
def preflight_check(request: Request, exchange: Exchange) -> tuple[list[str], list[str]]:
    """The methods and the header names that the answer to a preflight allows; both as they are spelled.

    Raises :class:`CORSError` if the answer does not allow the request.
    """
    # The standard asks for an ok status after the CORS check and names no order for the diagnosis.
    # A redirect comes first, as in Chromium: it is the cause when it lacks the headers too.
    location = exchange.response_headers.get("Location")
    if exchange.status in words.REDIRECT_STATUSES and location is not None:
        block(Step.PREFLIGHT_REDIRECT, request, exchange, location=location)
    cors_check(request, exchange)
    if exchange.status not in words.OK_STATUSES:
        block(Step.PREFLIGHT_STATUS, request, exchange)
    methods = _extract_or_block(words.ALLOW_METHODS, Step.ALLOW_METHODS_INVALID, request, exchange)
    if request.use_cors_preflight and words.ALLOW_METHODS not in exchange.response_headers:
        # "This ensures that a CORS-preflight fetch that happened due to [the flag] is cached." By its text, the
        # standard also allows every other method. No engine does that.
        methods = [method for method in [request.method] if method in words.SAFELISTED_METHODS]
    names = _extract_or_block(words.ALLOW_HEADERS, Step.ALLOW_HEADERS_INVALID, request, exchange)
    _check_method(request, exchange, methods)
    _check_header_names(request, exchange, [name.lower() for name in names])
    return methods, names


# https://fetch.spec.whatwg.org/#cors-preflight-fetch, "If request's method is not in methods"
def _check_method(request: Request, exchange: Exchange, methods: list[str]) -> None:
    wildcard = request.credentials != "include" and words.WILDCARD in methods
    if request.method not in methods and request.method not in words.SAFELISTED_METHODS and not wildcard:
        block(Step.ALLOW_METHODS, request, exchange, value=", ".join(methods))


# https://fetch.spec.whatwg.org/#cors-preflight-fetch, the two steps on header names; *names* in lower case
def _check_header_names(request: Request, exchange: Exchange, names: list[str]) -> None:
    wildcard = request.credentials != "include" and words.WILDCARD in names
    unsafe = request.unsafe_names()
    listed = set(names)
    # Both steps walk the same names: Authorization is never safelisted.
    for name in sorted(unsafe, key=lambda name: name not in words.NON_WILDCARD_REQUEST_HEADERS):
        covered = wildcard and name not in words.NON_WILDCARD_REQUEST_HEADERS
        if name not in listed and not covered:
            step = Step.ALLOW_HEADERS_AUTHORIZATION if wildcard else Step.ALLOW_HEADERS
            block(step, request, exchange, value=", ".join(names), header=name)


# https://fetch.spec.whatwg.org/#extract-header-list-values
# for the headers whose ABNF is a list of tokens: https://fetch.spec.whatwg.org/#http-new-header-syntax
def _extract(name: str, exchange: Exchange) -> list[str] | None:
    """The elements of all lines; none if the header is absent; ``None`` is the standard's failure."""
    elements = [item for line in exchange.response_headers.getlist(name) for item in words.split_list(line)]
    return elements if words.are_tokens(elements) else None


def _extract_or_block(name: str, step: Step, request: Request, exchange: Exchange) -> list[str]:
    elements = _extract(name, exchange)
    if elements is None:
        lines = exchange.response_headers.getlist(name)
        bad = next(item for line in lines for item in words.split_list(line) if not words.is_token(item))
        block(step, request, exchange, value=", ".join(lines), token=bad)
    return elements


_DEFAULT_MAX_AGE = 5

# https://httpwg.org/specs/rfc9111.html#delta-seconds: more than this is read as this
_LONGEST_MAX_AGE = 2**31


def max_age(exchange: Exchange) -> int:
    """``Access-Control-Max-Age``, in seconds.

    What is no delta-seconds counts as absent, -1 too (engines take that for 0).
    """
    values = exchange.response_headers.getlist(words.MAX_AGE)
    if len(values) != 1 or re.fullmatch("[0-9]+", values[0]) is None:
        return _DEFAULT_MAX_AGE
    digits = values[0].lstrip("0") or "0"
    return min(int(digits[:11]), _LONGEST_MAX_AGE)


# https://fetch.spec.whatwg.org/#concept-response-location-url
def redirect_location(request: Request, exchange: Exchange) -> URL | None:
    """Where the answer redirects to; ``None`` if it has no ``Location``."""
    values = exchange.response_headers.getlist("Location")
    if not values:
        return None
    try:
        if len(values) > 1:
            raise ValueError("several values")
        location = parse_location(values[0], request.url)
    except ValueError:
        block(Step.REDIRECT_LOCATION, request, exchange, location=", ".join(values))
    return location if location.fragment is not None else location._replace(fragment=request.url.fragment)


_MAX_REDIRECTS = 20


# https://fetch.spec.whatwg.org/#concept-http-redirect-fetch, the steps that fail
def check_redirect(request: Request, exchange: Exchange, location: URL) -> None:
    """Raise :class:`CORSError` if the redirect may not be followed."""
    said = exchange.response_headers["Location"]
    if location.scheme not in HTTP_SCHEMES:
        block(Step.REDIRECT_SCHEME, request, exchange, location=said)
    if len(request.urls) > _MAX_REDIRECTS:
        block(Step.REDIRECT_COUNT, request, exchange, location=said)
    is_foreign = request.mode == "cors" and location.origin != request.origin
    if location.has_credentials and (request.tainting == "cors" or is_foreign):
        block(Step.REDIRECT_CREDENTIALS, request, exchange, location=said)


# https://fetch.spec.whatwg.org/#concept-filtered-response
def filtered(request: Request, exchange: Exchange) -> Response:
    """What the script may see of the last answer."""
    redirected = len(request.urls) > 1
    url = request.url._replace(fragment=None).href
    if request.redirect == "manual" and exchange.status in words.REDIRECT_STATUSES:
        return Response(0, ReadableHeaders(), b"", url, redirected, "opaqueredirect")
    if request.tainting == "opaque":
        return Response(0, ReadableHeaders(), b"", "", False, "opaque")
    has_body = request.method != "HEAD" and exchange.status not in words.NULL_BODY_STATUSES
    data = exchange.data if has_body else b""
    return Response(exchange.status, _readable(request, exchange), data, url, redirected, request.tainting)


def _readable(request: Request, exchange: Exchange) -> ReadableHeaders:
    exposed = None if request.tainting == "basic" else _exposed(request, exchange)
    values: dict[str, tuple[str, list[str]]] = {}
    for name, value in exchange.response_headers:
        key = name.lower()
        if key not in words.FORBIDDEN_RESPONSE_HEADERS and (exposed is None or key in exposed):
            values.setdefault(key, (name, []))[1].append(value)
    readable = [(name, ", ".join(lines)) for name, lines in values.values()]
    return ReadableHeaders(readable, exchange.response_headers.keys())


# https://fetch.spec.whatwg.org/#main-fetch, "Let headerNames be the result of extracting"
def _exposed(request: Request, exchange: Exchange) -> frozenset[str] | None:
    """Names in lower case; ``None``: all."""
    names = _extract(words.EXPOSE_HEADERS, exchange) or []
    if request.credentials != "include" and words.WILDCARD in names:
        return None
    return words.SAFELISTED_RESPONSE_HEADERS | {name.lower() for name in names}
