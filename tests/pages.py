"""What the browser of a page asks a WSGI app, and all that the answer says of CORS: for tests that compare both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.validate import validator

from werkzeug.test import Client

from flask_preflight.browser import Browser, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PAGE = "https://frontend.com"
STRANGER = "https://evil.com"


class Answer(NamedTuple):
    """A response: of its headers those that are about CORS."""

    status: int
    cors: dict[str, str]
    text: str


def send(app: WSGIApplication, method: str, path: str, *, origin: str | None = PAGE, **rest: Any) -> Answer:
    """Send an actual request; *rest* is for werkzeug's test client; a judge of PEP 3333 stands between."""
    sent = {**rest.pop("headers", {}), **({} if origin is None else {"Origin": origin})}
    response = Client(validator(app)).open(path, method=method, headers=sent, buffered=True, **rest)
    pairs = [pair for pair in response.headers if pair[0] == "Vary" or pair[0].startswith("Access-Control-")]
    assert len(pairs) == len(dict(pairs)), "browsers take a header that comes twice for none"
    return Answer(response.status_code, dict(pairs), response.get_data(as_text=True))


def preflight(app: WSGIApplication, method: str, path: str, *wanted: str, origin: str = PAGE, **rest: Any) -> Answer:
    """Ask whether a page of *origin* may send *method* with the headers *wanted*."""
    asked = {"Access-Control-Request-Method": method}
    if wanted:  # as browsers do: in lower case, sorted, without white space
        asked["Access-Control-Request-Headers"] = ",".join(sorted(name.lower() for name in wanted))
    return send(app, "OPTIONS", path, origin=origin, headers={**asked, **rest.pop("headers", {})}, **rest)


def fetch(app: WSGIApplication, method: str, path: str, *, origin: str = PAGE, **rest: Any) -> Response:
    """What a script on a page of *origin* gets, after a preflight where one is due; *rest* is for the browser."""
    return Browser(validator(app), origin).fetch(f"https://backend.com{path}", method, **rest)


VARY = {"Vary": "Origin"}
VARY_PREFLIGHT = {"Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}

REFUSED = Answer(403, VARY_PREFLIGHT, "This CORS preflight is refused.\n")


def readable(**more: str) -> dict[str, str]:
    """The headers of an answer that the page may read; ``expose="ETag"`` and so on for more of them."""
    return {"Access-Control-Allow-Origin": PAGE, **_named(more), **VARY}


def granted(methods: str, headers: str = "Content-Type", max_age: str = "600", **more: str) -> Answer:
    """The answer that lets a page go on."""
    allowed = _named({"methods": methods, "headers": headers, "max_age": max_age, **more})
    return Answer(204, {"Access-Control-Allow-Origin": PAGE, **allowed, **VARY_PREFLIGHT}, "")


_NAMES = {
    "methods": "Access-Control-Allow-Methods",
    "headers": "Access-Control-Allow-Headers",
    "credentials": "Access-Control-Allow-Credentials",
    "expose": "Access-Control-Expose-Headers",
    "max_age": "Access-Control-Max-Age",
}


def _named(values: dict[str, str]) -> dict[str, str]:
    return {_NAMES[name]: value for name, value in values.items() if value}
