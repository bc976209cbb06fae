"""The check at which a browser stops, in our words and in those of the engines' consoles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Final, NamedTuple, NoReturn

from werkzeug.datastructures import Headers

from .. import fetch as words
from ..documentation import link
from .records import Exchange, Request
from .text import MOST_CHARACTERS, shown
from .urls import parse_location, parse_url

__tracebackhide__ = True


class Step(Enum):
    """The check at which a browser stops. The value is the section's anchor in ``docs/messages.md``."""

    NO_RESPONSE = "no-response"
    """No app or server for that origin, no connection, or an answer that is not HTTP or does not end in time."""
    MIXED_CONTENT = "mixed-content"
    """The page is ``https:``, and the URL is ``http:``. The request was not sent."""
    SAME_ORIGIN_MODE = "same-origin-mode"
    """Another origin, and the script said ``mode: "same-origin"``. The request was not sent."""
    PREFLIGHT_REDIRECT = "preflight-redirect"
    """The preflight was redirected."""
    ALLOW_ORIGIN_MISSING = "allow-origin-missing"
    """No ``Access-Control-Allow-Origin``."""
    ALLOW_ORIGIN_MULTIPLE = "allow-origin-multiple"
    """``Access-Control-Allow-Origin`` has several values; one is allowed."""
    ALLOW_ORIGIN_WILDCARD = "allow-origin-wildcard"
    """``Access-Control-Allow-Origin: *`` for a request with credentials."""
    ALLOW_ORIGIN_MISMATCH = "allow-origin-mismatch"
    """``Access-Control-Allow-Origin`` is not byte for byte the request's origin."""
    ALLOW_CREDENTIALS = "allow-credentials"
    """``Access-Control-Allow-Credentials`` is not ``true`` for a request with credentials."""
    PREFLIGHT_STATUS = "preflight-status"
    """The preflight's status is not within 200-299."""
    ALLOW_METHODS_INVALID = "allow-methods-invalid"
    """``Access-Control-Allow-Methods`` is no list of methods."""
    ALLOW_HEADERS_INVALID = "allow-headers-invalid"
    """``Access-Control-Allow-Headers`` is no list of header names."""
    ALLOW_METHODS = "allow-methods"
    """``Access-Control-Allow-Methods`` lacks the method."""
    ALLOW_HEADERS_AUTHORIZATION = "allow-headers-authorization"
    """``Access-Control-Allow-Headers: *`` does not cover ``Authorization``."""
    ALLOW_HEADERS = "allow-headers"
    """``Access-Control-Allow-Headers`` lacks a header that the script set."""
    REDIRECT_MODE = "redirect-mode"
    """A redirect, and the script said ``redirect: "error"``."""
    REDIRECT_LOCATION = "redirect-location"
    """The redirect's ``Location`` is no URL."""
    REDIRECT_SCHEME = "redirect-scheme"
    """The redirect's target is not ``http:`` or ``https:``."""
    REDIRECT_COUNT = "redirect-count"
    """More than twenty redirects."""
    REDIRECT_CREDENTIALS = "redirect-credentials"
    """The redirect's target has a user name or a password in its URL."""


class CORSError(Exception):
    """The script gets nothing: its promise is rejected with a bare ``TypeError: Failed to fetch``.

    ``str()`` of it explains the whole case.
    """

    def __init__(self, step: Step, exchange: Exchange, facts: Mapping[str, str]) -> None:
        super().__init__(step, exchange, facts)
        self.step = step
        """The check that failed."""
        self.exchange = exchange
        """The request and the answer that failed it; ``exchange.preflight`` tells which kind."""
        self._facts = {key: shown(value) for key, value in facts.items()}

    @property
    def why(self) -> str:
        """What is wrong, in a sentence or two."""
        return _EXPLANATIONS[self.step].why.format_map(self._facts)

    @property
    def fix(self) -> str:
        """What to change on the server."""
        if _is_unexplained(self.exchange):
            return _ASK_THE_SERVER
        return _EXPLANATIONS[self.step].fix.format_map(self._facts)

    @property
    def console(self) -> dict[str, str]:
        """What the consoles of ``"Chromium"``, ``"Firefox"`` and ``"WebKit"`` say; no entry where nothing."""
        return _console(self.step, self.exchange, self._facts)

    @property
    def docs(self) -> str:
        """The URL of the section of this package's documentation."""
        if reason := _REASON.match(self.exchange.refusal):
            return link("refusals", reason[1])
        if _is_unexplained(self.exchange):
            return link("refusals", "where-to-look")
        return link("messages", self.step.value)

    def __str__(self) -> str:
        return "\n".join(_report(self))


# ---------------------------------------------------------------------------------------
# The words
# ---------------------------------------------------------------------------------------


class _Explanation(NamedTuple):
    """Templates of one step; a sentence is empty where an engine's console has none.

    The sentences about requests that are sent have a frame around them; see :func:`_framed`.
    """

    section: str
    why: str
    fix: str
    chromium: str
    firefox: str
    webkit: str


_ORIGIN_NOT_ALLOWED = "Origin {origin} is not allowed by Access-Control-Allow-Origin. Status code: {status}"
_CHROMIUM_INVALID = (
    "The 'Access-Control-Allow-Origin' header contains the invalid value '{value}'."
    " Have the server send the header with a valid value."
)
_FIREFOX_FAILED = "CORS request did not succeed"
_WEBKIT_SCHEME = "not allowed to follow a cross-origin CORS redirection with non CORS scheme"
_FIREFOX_MISMATCH = "CORS header ‘Access-Control-Allow-Origin’ does not match ‘{value}’"

_EXPLANATIONS: Final[Mapping[Step, _Explanation]] = {
    Step.NO_RESPONSE: _Explanation(
        "concept-network-error",
        "No response: {value}.",
        "{change}",
        "",
        _FIREFOX_FAILED,
        "",
    ),
    Step.MIXED_CONTENT: _Explanation(
        "concept-main-fetch",
        "The page is https:, and {url} is http:.{redirected} Browsers block that before anything is sent, except to "
        "this machine (localhost, 127.0.0.1).",
        "{secure}",
        "Mixed Content: The page at '{page_url}' was loaded over HTTPS, but requested an insecure resource '{url}'. "
        "This request has been blocked; the content must be served over HTTPS.",
        "Blocked loading mixed active content “{url}”",
        "[blocked] The page at {page_url} requested insecure content from {url}. This content was blocked and must be "
        "served over HTTPS.",
    ),
    Step.SAME_ORIGIN_MODE: _Explanation(
        "concept-main-fetch",
        'The script said mode: "same-origin", and {url} is of another origin.{redirected}',
        'Leave out mode, which is "cors" then, or let the page call its own origin.',
        'Fetch API cannot load {url}. Request mode is "same-origin" but the URL\'s origin is not same as the request '
        "origin {page}.",
        "Security Error: Content at {page_url} may not load data from {url}.",
        "Fetch API cannot load {url}.",
    ),
    Step.PREFLIGHT_REDIRECT: _Explanation(
        "cors-preflight-fetch",
        "The preflight was redirected to {location}; browsers never follow the redirect of a preflight.",
        "Answer OPTIONS at this URL itself, or let the page call the final URL: "
        "usual causes are a missing trailing slash, http: instead of https:, and a login page.",
        "Redirect is not allowed for a preflight request.",
        "CORS request external redirect not allowed",
        "Preflight response is not successful. Status code: {status}",
    ),
    Step.ALLOW_ORIGIN_MISSING: _Explanation(
        "cors-check",
        "The answer (status {status}) has no Access-Control-Allow-Origin.{sender}",
        "Send Access-Control-Allow-Origin: {origin} with this response. "
        "If other responses have it, something answered in the app's place: an error page, a login, a proxy.",
        "No 'Access-Control-Allow-Origin' header is present on the requested resource.",
        "CORS header ‘Access-Control-Allow-Origin’ missing",
        _ORIGIN_NOT_ALLOWED,
    ),
    Step.ALLOW_ORIGIN_MULTIPLE: _Explanation(
        "cors-check",
        "Access-Control-Allow-Origin has several values, {value}; browsers take one.",
        "Send Access-Control-Allow-Origin once, with the request's own Origin, {origin}. "
        "Two equal values mean that two parties add the header: the app and a proxy, or two extensions.",
        "The 'Access-Control-Allow-Origin' header contains multiple values '{value}', but only one is allowed."
        " Have the server send the header with a valid value.",
        "Multiple CORS header ‘Access-Control-Allow-Origin’ not allowed",
        "Access-Control-Allow-Origin cannot contain more than one origin.",
    ),
    Step.ALLOW_ORIGIN_WILDCARD: _Explanation(
        "cors-protocol-and-credentials",
        "Access-Control-Allow-Origin is *, which does not count for requests with credentials.",
        "Send Access-Control-Allow-Origin: {origin}, Access-Control-Allow-Credentials: true and Vary: Origin, "
        "if this origin may act for the user; else call fetch without credentials.",
        "The value of the 'Access-Control-Allow-Origin' header in the response must not be the wildcard '*' "
        "when the request's credentials mode is 'include'.",
        "Credential is not supported if the CORS header ‘Access-Control-Allow-Origin’ is ‘*’",
        "Cannot use wildcard in Access-Control-Allow-Origin when credentials flag is true.",
    ),
    Step.ALLOW_ORIGIN_MISMATCH: _Explanation(
        "cors-check",
        "Access-Control-Allow-Origin is {value}; it must be {origin}, byte for byte.{difference}{sender}",
        "{advice}",
        "The 'Access-Control-Allow-Origin' header has a value '{value}' that is not equal to the supplied origin."
        " Have the server send the header with a valid value.",
        _FIREFOX_MISMATCH,
        _ORIGIN_NOT_ALLOWED,
    ),
    Step.ALLOW_CREDENTIALS: _Explanation(
        "cors-check",
        "Access-Control-Allow-Credentials {said}; for a request with credentials it must be 'true', "
        "in lower case, on the preflight's answer and on the actual one.",
        "Send Access-Control-Allow-Credentials: true, if this origin may act for the user; "
        "else call fetch without credentials.",
        "The value of the 'Access-Control-Allow-Credentials' header in the response is '{value}' "
        "which must be 'true' when the request's credentials mode is 'include'.",
        "expected ‘true’ in CORS header ‘Access-Control-Allow-Credentials’",
        'Credentials flag is true, but Access-Control-Allow-Credentials is not "true".',
    ),
    Step.PREFLIGHT_STATUS: _Explanation(
        "cors-preflight-fetch",
        "The preflight was answered with {status}; browsers want a status within 200-299.",
        "Answer OPTIONS with 204. "
        "401 or 403: authentication must let preflights through. 404 or 405: no route handles OPTIONS here.",
        "It does not have HTTP ok status.",
        "CORS preflight response did not succeed",
        "Preflight response is not successful. Status code: {status}",
    ),
    Step.ALLOW_METHODS_INVALID: _Explanation(
        "extract-header-list-values",
        "Access-Control-Allow-Methods is no list of methods: {token} is none, and spoils the whole header.",
        "Separate the methods by commas: Access-Control-Allow-Methods: GET, {method}",
        "Cannot parse Access-Control-Allow-Methods response header field in preflight response.",
        "invalid token ‘{token}’ in CORS header ‘Access-Control-Allow-Methods’",
        "Header Access-Control-Allow-Methods has an invalid value: {value}",
    ),
    Step.ALLOW_HEADERS_INVALID: _Explanation(
        "extract-header-list-values",
        "Access-Control-Allow-Headers is no list of header names: {token} is none, and spoils the whole header.",
        "Separate the names by commas: Access-Control-Allow-Headers: Authorization, Content-Type",
        "Cannot parse Access-Control-Allow-Headers response header field in preflight response.",
        "invalid token ‘{token}’ in CORS header ‘Access-Control-Allow-Headers’",
        "Header Access-Control-Allow-Headers has an invalid value: {value}",
    ),
    Step.ALLOW_METHODS: _Explanation(
        "cors-preflight-fetch",
        "Access-Control-Allow-Methods {said}; it must name {method}, {spelling}{star}.{difference}",
        "Add {method} to Access-Control-Allow-Methods on the preflight's answer.",
        "Method {method} is not allowed by Access-Control-Allow-Methods in preflight response.",
        "Did not find method in CORS header ‘Access-Control-Allow-Methods’",
        "Method {method} is not allowed by Access-Control-Allow-Methods.",
    ),
    Step.ALLOW_HEADERS_AUTHORIZATION: _Explanation(
        "cors-non-wildcard-request-header-name",
        "Access-Control-Allow-Headers {said}; by the standard * does not cover Authorization. "
        "(Today's Chromium, Firefox and WebKit let it pass.)",
        "Name it: Access-Control-Allow-Headers: *, Authorization",
        "",
        "",
        "",
    ),
    Step.ALLOW_HEADERS: _Explanation(
        "cors-preflight-fetch",
        "Access-Control-Allow-Headers {said}; it must name {header}, which the script set{star}.",
        "Add {header} to Access-Control-Allow-Headers on the preflight's answer.",
        "Request header field {header} is not allowed by Access-Control-Allow-Headers in preflight response.",
        "header ‘{header}’ is not allowed according to header ‘Access-Control-Allow-Headers’ "
        "from CORS preflight response",
        "Request header field {header_as_set} is not allowed by Access-Control-Allow-Headers.",
    ),
    Step.REDIRECT_MODE: _Explanation(
        "concept-http-fetch",
        'The answer is a redirect (status {status}), and the script said redirect: "error".',
        "Let the script call the final URL, or leave out redirect.",
        "",
        "",
        "Not allowed to follow a redirection while loading {first}",
    ),
    Step.REDIRECT_LOCATION: _Explanation(
        "concept-response-location-url",
        "The redirect's Location is no URL: {location}",
        "Send one Location with a valid URL.",
        "",
        _FIREFOX_FAILED,
        _WEBKIT_SCHEME,
    ),
    Step.REDIRECT_SCHEME: _Explanation(
        "concept-http-redirect-fetch",
        "The redirect leads to {location}, which is neither http: nor https:.",
        "Redirect to an http: or https: URL.",
        "",
        _FIREFOX_FAILED,
        _WEBKIT_SCHEME,
    ),
    Step.REDIRECT_COUNT: _Explanation(
        "concept-http-redirect-fetch",
        "This would be redirect number 21, to {location}; browsers follow twenty.",
        "Break the loop.",
        "",
        _FIREFOX_FAILED,
        "Load cannot follow more than 20 redirections",
    ),
    Step.REDIRECT_CREDENTIALS: _Explanation(
        "concept-http-redirect-fetch",
        "The redirect's goal has a user name or a password in its URL, which other origins may not be sent to.",
        "Redirect to a URL without them.",
        "Redirect location '' contains a username and password, which is disallowed for cross-origin requests.",
        _FIREFOX_FAILED,
        "redirection URL {location} has credentials",
    ),
}


# The classic cause of a redirect from https: to http:
_PROXY_FIX = (
    "Redirect to https:. If a proxy in front of the app speaks TLS, let it send X-Forwarded-Proto, and let the app "
    "trust it: ProxyFix(app, x_proto=1)."
)


# ---------------------------------------------------------------------------------------
# The facts
# ---------------------------------------------------------------------------------------


def block(step: Step, request: Request, exchange: Exchange, **facts: str) -> NoReturn:
    """Raise :class:`CORSError`. *facts* are what the step's templates name, beside what is known of every request."""
    origin, header = request.serialized_origin(), facts.get("header", "")
    facts["said"] = f"is '{facts['value']}'" if facts.get("value") else "is missing"
    facts["difference"] = _difference(step, facts.get("value", ""), origin, request.method)
    facts["spelling"] = _spelling(request.method)
    facts["star"] = " (* does not count for requests with credentials)" if request.credentials == "include" else ""
    facts["sender"] = _sender(exchange)
    facts["advice"] = (
        "Let the page call the final URL, or serve it from the page's own origin. "
        "Allow null only for what everybody may read."
        if origin == words.NULL_ORIGIN
        else f"Allow {origin} on the server, and send it back in Access-Control-Allow-Origin."
    )
    facts["header_as_set"] = next((name for name, _ in request.headers if name.lower() == header), header)
    common = {
        "page": request.origin,
        "origin": origin,
        "first": str(request.urls[0]),
        "url": exchange.url,
        "redirected": f" {request.urls[0]} redirects there." if len(request.urls) > 1 else "",
        "page_url": str(request.page),
        "secure": _PROXY_FIX if len(request.urls) > 1 else "Call the server over https:.",
        "credentials": request.credentials,
        "mode": request.mode,
        "method": request.method,
        "status": str(exchange.status),
    }
    raise CORSError(step, exchange, {**common, **facts})


def _difference(step: Step, value: str, origin: str, method: str) -> str:
    """How *value* differs from the right one, as a sentence after a space; ``""`` if it is quite different."""
    if step is Step.ALLOW_METHODS:
        near = next((item for item in words.split_list(value) if item.upper() == method.upper()), None)
        return f" {near} is not {method}." if near else ""
    if step is not Step.ALLOW_ORIGIN_MISMATCH:
        return ""
    if origin == words.NULL_ORIGIN:
        return " The origin of a sandboxed frame, and of a request redirected across origins, is null."
    scheme, _, rest = value.partition("://")
    own_scheme, _, own_rest = origin.partition("://")
    differences = {
        "The trailing slash must go": value.rstrip("/") == origin,
        "The case differs": value.lower() == origin,
        "Patterns do not count, only * alone": words.WILDCARD in value,
        "The scheme differs": rest == own_rest,
        "The port differs": scheme == own_scheme and _without_port(rest) == _without_port(own_rest),
        "The scheme is missing": value == own_rest,
    }
    return next((f" {sentence}." for sentence, holds in differences.items() if holds), "")


def _spelling(method: str) -> str:
    """How to write *method*: methods are case-sensitive."""
    if method.isupper():
        return "in capitals"
    return "in lower case" if method.islower() else "in exactly this spelling"


def _without_port(authority: str) -> str:
    return re.sub(r":[0-9]*\Z", "", authority)


# By https://httpwg.org/specs/rfc9211.html, and by the habits of nginx, Fastly, CloudFront and Cloudflare
_CACHE_STATUS = {"cache-status", "cf-cache-status", "x-cache", "x-cache-status", "x-proxy-cache"}


def cache_hit(headers: Headers) -> str:
    """The header that shows that a cache sent the answer, such as ``"Age: 31"``; else nothing."""
    for name, value in headers:
        is_hit = name.lower() in _CACHE_STATUS and "hit" in value.lower()
        if is_hit or name.lower() == "age":
            return f"{shown(name)}: {shown(value)}"
    return ""


def _sender(exchange: Exchange) -> str:
    """If a cache or a redirect shows who sent the answer, a sentence after a space that says so; else nothing."""
    headers = exchange.response_headers
    if hit := cache_hit(headers):
        return f" A cache sent it ({hit}), which may ignore Vary: Origin."
    if exchange.status in words.REDIRECT_STATUSES and "Location" in headers:
        return f" It redirects to {shown(headers['Location'])}, and a redirect needs the header too."
    return ""


# ---------------------------------------------------------------------------------------
# Refusals by this package
# ---------------------------------------------------------------------------------------

# "<reason>; <sentence>"; each reason has a section in docs/refusals.md.
_REASON = re.compile("([a-z-]{1,64});")

# In production, a live server sends only this.
_UNEXPLAINED = b"This CORS preflight is refused."

_ASK_THE_SERVER = (
    "flask-preflight has refused this preflight. The reason can be the origin, the method or a header. "
    "The server's log says which. So does flask preflight explain, or the same test with Browser(app)."
)


def _is_unexplained(exchange: Exchange) -> bool:
    """Whether this package refused the preflight and did not say why."""
    return exchange.preflight and not exchange.refusal and exchange.data.strip() == _UNEXPLAINED


# ---------------------------------------------------------------------------------------
# The engines' consoles
# ---------------------------------------------------------------------------------------


def _console(step: Step, exchange: Exchange, facts: Mapping[str, str]) -> dict[str, str]:
    if step in _UNSENT:
        # A WebSocket of mixed content ends in a SecurityError, each engine having its own words.
        sentences = {} if facts["mode"] == "websocket" else _plain(step, facts)
    else:
        sentences = _framed(step, exchange, facts) if facts["mode"] == "cors" else {}
    return {engine: sentence for engine, sentence in sentences.items() if sentence}


# At these steps, nothing is sent.
_UNSENT = {Step.MIXED_CONTENT, Step.SAME_ORIGIN_MODE}


def _plain(step: Step, facts: Mapping[str, str]) -> dict[str, str]:
    chromium, firefox, webkit = (template.format_map(facts) for template in _EXPLANATIONS[step][3:])
    if step is Step.SAME_ORIGIN_MODE and facts["redirected"]:
        chromium, webkit = _CHROMIUM_UNSAFE.format_map(facts), _WEBKIT_UNSAFE.format_map(facts)
    return {"Chromium": chromium, "Firefox": firefox, "WebKit": webkit}


_CHROMIUM_UNSAFE = (
    "Unsafe attempt to load URL {url} from frame with URL {page_url}. Domains, protocols and ports must match."
)
_WEBKIT_UNSAFE = "Unsafe attempt to load URL {url} from origin {page}. Domains, protocols and ports must match."


def _framed(step: Step, exchange: Exchange, facts: Mapping[str, str]) -> dict[str, str]:
    chromium, firefox, webkit = (template.format_map(facts) for template in _EXPLANATIONS[step][3:])
    if step is Step.ALLOW_ORIGIN_MISMATCH and " " in facts["value"]:
        chromium = _EXPLANATIONS[Step.ALLOW_ORIGIN_MULTIPLE].chromium.format_map(facts)
    elif step is Step.ALLOW_ORIGIN_MISMATCH and not _LOOKS_LIKE_ORIGIN.match(facts["value"]):
        chromium = _CHROMIUM_INVALID.format_map(facts)
    if step is Step.ALLOW_ORIGIN_MULTIPLE and facts["lines"] == "1":
        firefox = _FIREFOX_MISMATCH.format_map(facts)  # Firefox counts lines, the others commas
    return {
        "Chromium": chromium and _chromium_frame(step, exchange, facts) + chromium,
        "Firefox": firefox and _firefox_frame(step, exchange, firefox),
        "WebKit": webkit and _webkit_frame(step, exchange, facts, webkit),
    }


_LOOKS_LIKE_ORIGIN = re.compile(r"null\Z|[A-Za-z][A-Za-z0-9+.-]*://[^:/]*(:[0-9]*)?(/.*)?\Z")


def _chromium_frame(step: Step, exchange: Exchange, facts: Mapping[str, str]) -> str:
    url, first = shown(exchange.url), facts["first"]
    whence = "" if url == first else f" (redirected from '{first}')"
    frame = f"Access to fetch at '{url}'{whence} from origin '{facts['page']}' has been blocked by CORS policy: "
    about_answer = step in _ANSWER_STEPS and exchange.preflight
    return frame + ("Response to preflight request doesn't pass access control check: " if about_answer else "")


# Chromium says of these that the preflight "doesn't pass access control check".
_ANSWER_STEPS = {
    Step.PREFLIGHT_REDIRECT,
    Step.PREFLIGHT_STATUS,
    Step.ALLOW_ORIGIN_MISSING,
    Step.ALLOW_ORIGIN_MULTIPLE,
    Step.ALLOW_ORIGIN_WILDCARD,
    Step.ALLOW_ORIGIN_MISMATCH,
    Step.ALLOW_CREDENTIALS,
}


def _firefox_frame(step: Step, exchange: Exchange, reason: str) -> str:
    url = shown(exchange.url)
    if step is Step.ALLOW_ORIGIN_WILDCARD:
        url = f"‘{url}’"  # of all the messages, only this one quotes it
    status = ""
    if reason == _FIREFOX_FAILED:
        status = " Status code: (null)."
    elif step in (Step.ALLOW_ORIGIN_MISSING, Step.PREFLIGHT_STATUS):
        status = f" Status code: {exchange.status}."
    return (
        "Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at "
        f"{url}. (Reason: {reason}).{status}"
    )


def _webkit_frame(step: Step, exchange: Exchange, facts: Mapping[str, str], reason: str) -> str:
    if exchange.preflight and exchange.status not in words.OK_STATUSES:
        return _EXPLANATIONS[Step.PREFLIGHT_STATUS].webkit.format_map(facts)  # it looks at the status first
    location = exchange.response_headers.get("Location")
    has_own_words = step in (Step.REDIRECT_COUNT, Step.REDIRECT_MODE)
    if location is None or exchange.status not in words.REDIRECT_STATUSES or has_own_words:
        return reason
    with suppress(ValueError):
        goal = parse_location(location, parse_url(exchange.url))
        location = str(goal) if goal.host else location
    return f"Cross-origin redirection to {shown(location)} denied by Cross-Origin Resource Sharing policy: {reason}"


# ---------------------------------------------------------------------------------------
# The report
# ---------------------------------------------------------------------------------------


def _report(error: CORSError) -> Iterator[str]:
    exchange, facts = error.exchange, error._facts  # pyright: ignore[reportPrivateUsage]
    what = f"{shown(exchange.method)} {shown(exchange.url)}, credentials: {facts['credentials']}"
    if error.step in _UNSENT:
        yield f"{error.step.value}: {_loser(facts)}; the request was not sent"
        yield ""
        yield f"not sent  {what}"
    else:
        kind = "the preflight" if exchange.preflight else "the request"
        yield f"{error.step.value}: {_loser(facts)}; {kind} failed"
        yield ""
        yield f"sent      {what}"
        if exchange.url != facts["first"]:
            yield f"          redirected from {shown(facts['first'])}"
        yield from _exchange_lines(exchange)
    if exchange.refusal:  # the server knows its policy, and says what to write
        yield f"server    {shown(exchange.refusal, _LONGEST_REFUSAL)}"
    yield f"why       {error.why}"
    if not exchange.refusal:
        yield f"change    {error.fix}"
    for engine, sentence in error.console.items():
        yield f"{engine:<9} {sentence}"
    yield f"docs      {error.docs}"
    yield f"standard  https://fetch.spec.whatwg.org/#{_EXPLANATIONS[error.step].section}"


def _loser(facts: Mapping[str, str]) -> str:
    """Who gets nothing."""
    templates = {"navigate": "the form on {page} leads to no page", "websocket": "the page {page} gets no connection"}
    return templates.get(facts["mode"], "the script on {page} gets nothing").format_map(facts)


def _exchange_lines(exchange: Exchange) -> Iterator[str]:
    yield from _lines(exchange.request_headers, ("origin", "access-control-request-"))
    yield f"received  {exchange.status or 'nothing'}"
    yield from _lines(exchange.response_headers, ("access-control-", "location"))
    if exchange.preflight and exchange.data and not exchange.refusal:  # nobody reads it else, and it may say why
        yield f"          {shown(exchange.data[: 2 * MOST_CHARACTERS].decode(errors='replace').strip())}"


_MOST_LINES = 10
_LONGEST_REFUSAL = 1000


def _lines(headers: Headers, prefixes: tuple[str, ...]) -> list[str]:
    """The headers that matter to CORS, as text."""
    lines = [f"          {shown(name)}: {shown(value)}" for name, value in headers if name.lower().startswith(prefixes)]
    more = len(lines) - _MOST_LINES
    return lines if more <= 0 else [*lines[:_MOST_LINES], f"          and {more} more"]
