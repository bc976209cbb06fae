"""Requests as cases: what a page asks for, through which redirects, and what the servers receive.

In origins, ``{g}`` stands for the number of the case's group, ``{a}`` and ``{b}`` for two ports of loopback.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from flask_preflight.browser import Browser, CORSError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from flask_preflight.browser.forms import Enctype
    from flask_preflight.browser.referrer import ReferrerPolicy

HOME = "https://site{g}.co.uk"
SIBLING = "https://api.site{g}.co.uk"
STRANGER = "https://site{g}.example"
INSECURE = "http://site{g}.example"
LOCAL_PAGE = "http://localhost:{a}"
LOCAL_API = "http://localhost:{b}"
LOCAL_ADDRESS = "http://127.0.0.1:{b}"

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RequestCase:
    number: int
    page: str
    hops: tuple[str, ...]
    """The origins that are asked, each but the last one redirecting to the next."""
    kind: Literal["fetch", "xhr", "form", "websocket"] = "fetch"
    """``xhr`` has an upload listener."""
    method: str = "GET"
    mode: Literal["cors", "no-cors", "same-origin"] = "cors"
    headers: Pairs = ()
    body: str | None = None
    policy: ReferrerPolicy = "strict-origin-when-cross-origin"
    status: int = 302
    grants: bool = True
    """Whether preflights are answered with the requested method."""
    enctype: Enctype = "application/x-www-form-urlencoded"
    fields: Pairs = ()


Seen = dict[str, str]
"""One request as its server received it: the method, the host, the body, and what is in `HEADERS`."""

HEADERS = (
    *("Origin", "Referer", "Content-Type", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"),
    *("Access-Control-Request-Method", "Access-Control-Request-Headers"),
)


class RequestServer:
    """The WSGI app behind all origins: redirects as the case in the path says, and remembers what it got."""

    def __init__(self) -> None:
        self.ports: Mapping[str, str] = {"a": "8001", "b": "8002"}
        self.cases: dict[int, RequestCase] = {}
        self.log: dict[int, list[Seen]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        path = re.fullmatch("/([0-9]+)/([0-9]+)", environ["PATH_INFO"])
        if path is None:  # what the session asks to warm up
            start_response("404 Not Found", [])
            return []
        case, hop = self.cases[int(path[1])], int(path[2])
        self.log.setdefault(case.number, []).append(seen(environ))
        headers = [*granted(environ, case), ("Cache-Control", "no-store"), ("Content-Type", "text/html")]
        if hop + 1 < len(case.hops) and environ["REQUEST_METHOD"] != "OPTIONS":
            start_response(f"{case.status} Moved", [*headers, ("Location", self.url(case, hop + 1))])
            return []
        start_response("200 OK", headers)
        # After a form, the engine goes on with the page.
        return [f"<script>location.replace('{self.origin(case, case.page)}/page')</script>".encode()]

    def origin(self, case: RequestCase, template: str) -> str:
        return template.format(g=case.number // 200, **self.ports)

    def url(self, case: RequestCase, hop: int = 0) -> str:
        url = f"{self.origin(case, case.hops[hop])}/{case.number}/{hop}"
        return url.replace("http", "ws", 1) if case.kind == "websocket" else url

    def take_log(self, case: RequestCase) -> list[Seen]:
        return self.log.pop(case.number, [])


def granted(environ: WSGIEnvironment, case: RequestCase) -> list[tuple[str, str]]:
    """All that the request asks for."""
    asked = {
        "Origin": environ.get("HTTP_ORIGIN", "*"),
        "Methods": environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "") if case.grants else "",
        "Headers": environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", ""),
    }
    return [(f"Access-Control-Allow-{name}", value) for name, value in asked.items() if value]


def seen(environ: WSGIEnvironment) -> Seen:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    keys = {name: f"HTTP_{name.upper().replace('-', '_')}" for name in HEADERS}
    found = {name: environ.get(key.replace("HTTP_CONTENT", "CONTENT"), "") for name, key in keys.items()}
    found |= {"method": environ["REQUEST_METHOD"], "host": environ["HTTP_HOST"], "body": body}
    found["query"] = environ["QUERY_STRING"]
    boundary = re.search("boundary=(.+)", found["Content-Type"])
    without_boundary = {key: value.replace(boundary[1], "B") for key, value in found.items()} if boundary else found
    return {key: value for key, value in without_boundary.items() if value}


@dataclass(frozen=True)
class Ended:
    """What came of a case."""

    outcome: str
    """What the script got: the status and the type, or "fails"."""
    requests: list[Seen]


def run_in_model(server: RequestServer, case: RequestCase) -> tuple[Ended, CORSError | None]:
    server.cases[case.number] = case
    page = server.origin(case, case.page)
    browser = Browser(server, page, page="/page", referrer_policy=case.policy)
    error = None
    try:
        outcome = _ask(browser, server.url(case), case)
    except CORSError as caught:
        outcome, error = "fails", caught
    return Ended(outcome, server.take_log(case)), error


def _ask(browser: Browser, url: str, case: RequestCase) -> str:
    if case.kind == "form":
        method: Any = case.method
        browser.submit(url, case.fields, method=method, enctype=case.enctype)
        return ""
    if case.kind == "websocket":
        browser.open_websocket(url)
        return ""
    options: dict[str, Any] = {"mode": case.mode, "upload_listener": case.kind == "xhr"}
    response = browser.fetch(url, case.method, case.headers, "omit", case.body, **options)
    return f"{response.status} {response.type}" if case.kind == "fetch" else str(response.status)
