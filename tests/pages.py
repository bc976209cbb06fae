"""What a page's browser asks a WSGI app, and everything about CORS in the answer: for tests that compare the two."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from wsgiref.validate import validator

from werkzeug.test import Client

from flask_preflight.browser import Browser, Response
from flask_preflight.fetch import normalize_method

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PAGE = "https://frontend.com"
STRANGER = "https://evil.com"

_ABOUT_CORS = ("Vary", "Timing-Allow-Origin", "CORS-Refused")


class Answer(NamedTuple):
    """A response: of its headers those that are about CORS."""

    status: int
    cors: dict[str, str]
    text: str


def send(app: WSGIApplication, method: str, path: str, *, origin: str | None = PAGE, **rest: Any) -> Answer:
    """Send an actual request. *rest* is for Werkzeug's test client; a checker of PEP 3333 is in between."""
    sent = {**rest.pop("headers", {}), **({} if origin is None else {"Origin": origin})}
    response = Client(validator(app)).open(path, method=method, headers=sent, buffered=True, **rest)
    pairs = [pair for pair in response.headers if pair[0] in _ABOUT_CORS or pair[0].startswith("Access-Control-")]
    assert len(pairs) == len(dict(pairs)), "browsers ignore a header that comes twice"
    return Answer(response.status_code, dict(pairs), response.get_data(as_text=True))


def preflight(app: WSGIApplication, method: str, path: str, *names: str, origin: str = PAGE, **rest: Any) -> Answer:
    """Ask if a page of *origin* may send *method* with the headers *names*."""
    requested = {"Access-Control-Request-Method": method}
    if names:  # as browsers send them: in lower case, sorted, without white space
        requested["Access-Control-Request-Headers"] = ",".join(sorted(name.lower() for name in names))
    return send(app, "OPTIONS", path, origin=origin, headers={**requested, **rest.pop("headers", {})}, **rest)


def fetch(app: WSGIApplication, method: str, path: str, *, origin: str = PAGE, **rest: Any) -> Response:
    """What a script on a page of *origin* gets, after a preflight if one is needed. *rest* is for the browser."""
    return Browser(validator(app), origin).fetch(f"https://backend.com{path}", method, **rest)


VARY = {"Vary": "Origin"}
VARY_PREFLIGHT = {"Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}

REFUSED = Answer(403, VARY_PREFLIGHT, "This CORS preflight is refused.\n")


def readable(**more: str) -> dict[str, str]:
    """The headers of a response that the page may read; ``expose="ETag"`` and so on for more of them.

    A browser confirms that, and that the page sees the exposed headers.
    """
    cors = {"Access-Control-Allow-Origin": PAGE, **_headers(more), **VARY}
    exposed = dict.fromkeys(filter(None, more.get("expose", "").split(", ")), "value")
    page = _browse(Answer(200, {**cors, **exposed}, ""), "GET", {}, more)
    assert all(name in page.headers for name in exposed)
    return cors


def granted(methods: str, headers: str = "Content-Type", max_age: str = "600", **more: str) -> Answer:
    """The answer that grants a preflight. A browser confirms that for each of the methods with all of the headers."""
    allowed = _headers({"methods": methods, "headers": headers, "max_age": max_age, **more})
    answer = Answer(204, {"Access-Control-Allow-Origin": PAGE, **allowed, **VARY_PREFLIGHT}, "")
    for method in methods.split(", "):
        if normalize_method(method) != method:
            continue  # browsers send it in upper case
        sent = dict.fromkeys(filter(None, headers.split(", ")), "()")  # a value that is not safelisted for any name
        _browse(answer, method, sent, more)
    return answer


def _browse(answer: Answer, method: str, headers: dict[str, str], more: dict[str, str]) -> Response:
    """What a script gets from a server that always sends *answer*."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response(f"{answer.status} Status", [*answer.cors.items()])
        return [answer.text.encode()]

    credentials: Literal["include", "omit"] = "include" if "credentials" in more else "omit"
    return Browser(app, PAGE).fetch("https://backend.com/", method, headers, credentials)


_NAMES = {
    "methods": "Access-Control-Allow-Methods",
    "headers": "Access-Control-Allow-Headers",
    "credentials": "Access-Control-Allow-Credentials",
    "expose": "Access-Control-Expose-Headers",
    "max_age": "Access-Control-Max-Age",
}


def _headers(values: dict[str, str]) -> dict[str, str]:
    return {_NAMES[name]: value for name, value in values.items() if value}


def without_line_numbers(text: str) -> str:
    """*text* with the files of the tests named without their folder and line, which change."""
    return re.sub(r" at \S*?(\w+\.py):\d+", r" at \1", text)
