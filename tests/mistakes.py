"""What goes wrong with CORS in a Flask app, one app for each mistake, for tests of who can see it where.

Each mistake is a page's request that the browser blocks. `app_of` builds the app with it, `visit` and `ask` send the
request, and `followed` reads what an explanation tells to write and builds the app with that change.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask, Response
from werkzeug.test import Client, TestResponse

from flask_preflight import Preflight, Reason, cors_route
from flask_preflight.browser import Browser, CORSError

API: Final = "http://127.0.0.1:5000"
SERVED: Final = "http://localhost:8000"  # where a page is served from that was opened from the disk


def fails(origin: str, environ: dict[str, Any]) -> bool:
    raise ConnectionError("the database is away")


def mends(origin: str, environ: dict[str, Any]) -> bool:
    return True


def other_scheme(page: str) -> str:
    return page.replace("http:", "https:", 1)


def other_host(page: str) -> str:
    host = urlsplit(page).hostname or ""
    return page.replace(host, "localhost" if host == "127.0.0.1" else "127.0.0.1", 1)


def other_port(page: str) -> str:
    return f"{page.rpartition(':')[0]}:9"


def without_www(page: str) -> str:
    return page.replace("www.", "", 1)


@dataclass(frozen=True)
class Mistake:
    """*says* is a part of the explanation that names the cause.

    *app_wide* takes the page's origin, and gives the arguments of ``Preflight``; *view* are those of ``cors_route``.
    """

    reason: Reason
    says: str
    app_wide: Callable[[str], dict[str, Any]] = lambda page: {"allow_origins": [page]}
    view: dict[str, Any] = field(default_factory=dict)
    method: str = "PUT"
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/data"
    page: str = "http://127.0.0.1:8001"
    with_cookies: bool = False

    @property
    def has_preflight(self) -> bool:
        return self.method != "GET" or bool(self.headers)


MISTAKES: Final[dict[str, Mistake]] = {
    "scheme": Mistake(
        Reason.ORIGIN_NOT_ALLOWED,
        "It differs in the scheme.",
        lambda page: {"allow_origins": [other_scheme(page)]},
    ),
    "host": Mistake(
        Reason.ORIGIN_NOT_ALLOWED,
        "to browsers, localhost, 127.0.0.1 and [::1] are different hosts.",
        lambda page: {"allow_origins": [other_host(page)]},
    ),
    "port": Mistake(
        Reason.ORIGIN_NOT_ALLOWED,
        "It differs in the port.",
        lambda page: {"allow_origins": [other_port(page)]},
    ),
    "port of a simple request": Mistake(
        Reason.ORIGIN_NOT_ALLOWED,
        "It differs in the port.",
        lambda page: {"allow_origins": [other_port(page)]},
        method="GET",
    ),
    "www": Mistake(
        Reason.ORIGIN_NOT_ALLOWED,
        "It differs in 'www.'.",
        lambda page: {"allow_origins": [without_www(page)]},
        page="http://www.localhost:8001",
    ),
    "no origin listed": Mistake(
        Reason.ORIGIN_NOT_ALLOWED,
        "allow_origins is empty.",
        lambda page: {},
    ),
    "null": Mistake(
        Reason.ORIGIN_NULL,
        "The origin is 'null'.",
        lambda page: {"allow_origins": [SERVED.replace("8000", "9")]},
        page="null",
    ),
    "method": Mistake(
        Reason.METHOD_NOT_ALLOWED,
        "The method 'PUT' is not in allow_methods, which allows GET, HEAD.",
        view={"allow_methods": ["GET"]},
    ),
    "header": Mistake(
        Reason.HEADERS_NOT_ALLOWED,
        "The request header 'x-request-id' is not in allow_headers, which allows Content-Type.",
        headers={"X-Request-Id": "1"},
    ),
    "Authorization under a star": Mistake(
        Reason.HEADERS_NOT_ALLOWED,
        "The request header 'authorization' is not covered by '*' in allow_headers.",
        view={"allow_headers": "*"},
        headers={"Authorization": "Bearer t"},
    ),
    "callable that raises": Mistake(
        Reason.ORIGIN_CHECK_FAILED,
        "'ConnectionError: the database is away'. Let it return True or False instead.",
        lambda page: {"allow_origins": fails},
    ),
    "no route": Mistake(
        Reason.HEADERS_NOT_ALLOWED,
        "Check the URL first: no route of the app matches it",
        path="/dta",
        headers={"X-Request-Id": "1"},
        view={"allow_headers": ["X-Request-Id"]},
    ),
    "no method": Mistake(
        Reason.METHOD_NOT_ROUTED,
        "This URL has no route for the method 'DELETE', only for GET, HEAD, PUT.",
        method="DELETE",
    ),
    "cookies under a star": Mistake(
        Reason.CREDENTIALS_NOT_ALLOWED,
        "The page sent cookies",
        lambda page: {"allow_origins": "*"},
        method="GET",
        with_cookies=True,
    ),
}


def app_of(
    mistake: Mistake,
    page: str,
    *,
    app_wide: dict[str, Any] | None = None,
    view: dict[str, Any] | None = None,
    also: str = "",
) -> Flask:
    """The app with *mistake*, or with what *app_wide* and *view* change, and a view for the method *also*."""
    app = Flask("shop", static_folder=None)
    Preflight(app, **{**mistake.app_wide(page), **(app_wide or {})})
    changes: Any = {**mistake.view, **(view or {})}

    @app.route("/data", methods=["GET", "PUT"], provide_automatic_options=False)
    @cors_route(**changes)
    def data() -> str:
        return "data"

    @app.get("/login")
    def login() -> Response:
        response = Response("welcome")
        response.set_cookie("session", "1")
        return response

    if also:
        app.add_url_rule("/data", "also", lambda: "also", methods=[also])
    return app


def visit(app: Flask, mistake: Mistake, page: str) -> None:
    """Do what the page does.

    :raises CORSError: if the browser blocks it.
    """
    browser = Browser(app, page)
    if mistake.with_cookies:
        with suppress(CORSError):  # the page need not read the response
            browser.fetch(f"{API}/login", credentials="include")
    credentials: Any = "include" if mistake.with_cookies else "same-origin"
    browser.fetch(f"{API}{mistake.path}", method=mistake.method, headers=mistake.headers, credentials=credentials)


def refused_headers(mistake: Mistake, page: str) -> tuple[str, dict[str, str]]:
    """The method and headers of the request that is refused."""
    if not mistake.has_preflight:
        return mistake.method, {"Origin": page, **({"Cookie": "session=1"} if mistake.with_cookies else {})}
    names = ",".join(sorted(map(str.lower, mistake.headers)))
    asked = {"Access-Control-Request-Headers": names} if names else {}
    return "OPTIONS", {"Origin": page, "Access-Control-Request-Method": mistake.method, **asked}


def ask(app: Flask, mistake: Mistake) -> TestResponse:
    """Send the request that is refused."""
    method, headers = refused_headers(mistake, mistake.page)
    return Client(app, use_cookies=False).open(mistake.path, method=method, headers=headers)


def explanation_of(mistake: Mistake) -> str:
    """The sentence in the response in debug mode."""
    app = app_of(mistake, mistake.page)
    app.debug = True
    reason, _, sentence = ask(app, mistake).headers["CORS-Refused"].partition("; ")
    assert reason == mistake.reason.value
    return sentence


def followed(mistake: Mistake, page: str, explanation: str) -> tuple[Flask, str]:
    """The app as *explanation* tells to write it, and the origin of the page, which may have to be served."""
    changed: dict[str, dict[str, Any]] = {"Preflight": {}, "cors_route": {}}
    for written, place in re.findall(r" write (allow_\w+=.+?) in (Preflight|cors_route)", explanation):
        call = ast.parse(f"f({written})", mode="eval").body
        assert isinstance(call, ast.Call)
        changed[place].update({str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords})
    if "The callable in allow_origins failed" in explanation:
        changed["Preflight"]["allow_origins"] = mends
    also = re.search(r"add a view with @app\.route\('/data', methods=\['(\w+)'\]\)", explanation)
    app = app_of(mistake, page, app_wide=changed["Preflight"], view=changed["cors_route"], also=also[1] if also else "")
    return app, SERVED if "Serve the page from a web server" in explanation else page
