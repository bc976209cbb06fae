"""Cookies as cases: which ``Set-Cookie`` lines a page's fetches get from which origins, and which cookies go back.

In origins and lines, ``{n}`` stands for the case's number, ``{g}`` for that of its group, ``{a}`` and ``{b}`` for two
ports of loopback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_preflight.browser import Browser, CORSError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@dataclass(frozen=True)
class Hop:
    """One request, and what its answer sets."""

    origin: str
    path: str = "/"
    set_cookie: tuple[str, ...] = ()


Step = tuple[Hop, ...]
"""One fetch with credentials: each request but the last is answered with a redirect to the next one."""


@dataclass(frozen=True)
class CookieCase:
    number: int
    page: str
    steps: tuple[Step, ...]

    @property
    def names(self) -> dict[str, int]:
        """Cases of a group share a site, and so a page, as far as limits on the number of cookies allow."""
        return {"n": self.number, "N": self.number, "g": self.number // 25, "G": self.number // 25}


class CookieServer:
    """The WSGI app behind all origins: does what the case in the query says, and remembers the cookies that it got."""

    def __init__(self) -> None:
        self.ports: Mapping[str, str] = {"a": "8001", "b": "8002"}
        self.cases: dict[int, CookieCase] = {}
        self.log: dict[int, list[str]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        if not environ["QUERY_STRING"]:  # what the session asks to warm up
            start_response("404 Not Found", [])
            return []
        number, step, hop = map(int, environ["QUERY_STRING"].split("."))
        case = self.cases[number]
        hops = case.steps[step]
        self.log.setdefault(number, []).append(f"{step}.{hop}: {own_cookies(environ, number)}")
        headers = [
            ("Access-Control-Allow-Origin", environ.get("HTTP_ORIGIN", "null")),
            ("Access-Control-Allow-Credentials", "true"),
            ("Cache-Control", "no-store"),
            ("Content-Length", "0"),
            *(("Set-Cookie", line.format_map(case.names)) for line in hops[hop].set_cookie),
        ]
        if hop + 1 == len(hops):
            start_response("200 OK", headers)
        else:
            start_response("302 Found", [*headers, ("Location", self.url(case, step, hop + 1))])
        return []

    def origin(self, case: CookieCase, template: str) -> str:
        return template.format_map({**case.names, **self.ports})

    def url(self, case: CookieCase, step: int, hop: int = 0) -> str:
        target = case.steps[step][hop]
        return f"{self.origin(case, target.origin)}{target.path}?{case.number}.{step}.{hop}"

    def take_log(self, case: CookieCase) -> list[str]:
        return self.log.pop(case.number, [])


def own_cookies(environ: WSGIEnvironment, number: int) -> str:
    """The ``Cookie`` header, or "none". On ``localhost`` and ``127.0.0.1``, which cases share: what is of this case."""
    cookies: str = environ.get("HTTP_COOKIE", "none")
    if "site" in environ["HTTP_HOST"]:
        return cookies
    return "; ".join(cookie for cookie in cookies.split("; ") if f"-{number}" in cookie) or "none"


def run_in_model(server: CookieServer, case: CookieCase, *, lax_by_default: bool = True) -> list[str]:
    """The cookies that the requests of *case* carry, in order."""
    server.cases[case.number] = case
    browser = Browser(server, server.origin(case, case.page), lax_by_default=lax_by_default)
    for step in range(len(case.steps)):
        with suppress(CORSError):
            browser.fetch(server.url(case, step), credentials="include")
    return server.take_log(case)


# ---------------------------------------------------------------------------------------
# What docs/engines.md says of cookies
# ---------------------------------------------------------------------------------------

HTTPS_PAGE = "https://site{g}.co.uk"
HTTP_PAGE = "http://site{g}.co.uk"
LOCALHOST_PAGE = "http://localhost:{a}"
LOCALHOST_API = "http://localhost:{b}"
API = "https://api.c{n}.site{g}.co.uk"
STRANGER = "https://c{n}.site{g}.com"
EPOCH = "Expires=Thu, 01 Jan 1970 00:00:00 GMT"

Row = tuple[str, tuple[Step, ...]]


def row(*lines: str, page: str = HTTPS_PAGE, api: str = API, path: str = "/a/b") -> Row:
    """An answer of *api* with *lines*, and one more request to the same URL."""
    return page, ((Hop(api, path, lines),), (Hop(api, path),))


def redirected(line: str) -> Row:
    """A cookie of *line*, and a request that comes to its server by way of another site."""
    return HTTPS_PAGE, ((Hop(API, "/", (line,)),), (Hop(API), Hop(STRANGER), Hop(API)))


ROWS: dict[str, Row] = {
    "cookie-same-site": row("a=1"),
    "cookie-cross-site": row("a=1", api=STRANGER),
    "cookie-loopback": row("a-{n}=1", page=LOCALHOST_PAGE, api="http://127.0.0.1:{b}"),
    "cookie-third-party": row("a=1; SameSite=None; Secure", api=STRANGER),
    "cookie-scheme": row("a=1", page=HTTP_PAGE),
    "cookie-redirect": redirected("a=1; SameSite=Lax"),
    "cookie-secure-loopback": row("a-{n}=1; Secure", page=LOCALHOST_PAGE, api=LOCALHOST_API),
    "cookie-domain-localhost": row("a-{n}=1; Domain=localhost", page=LOCALHOST_PAGE, api=LOCALHOST_API),
    "cookie-prefix-localhost": row(
        "__Host-a-{n}=1; Secure; Path=/; Domain=localhost", page=LOCALHOST_PAGE, api=LOCALHOST_API
    ),
    "cookie-localhost-name": row("a=1", page="http://site{g}.localhost:{a}", api="http://api.site{g}.localhost:{b}"),
    "cookie-prefix": row("__Secure-a=1"),
    "cookie-prefix-path": row("__Host-a=1; Secure", path="/"),
    "cookie-none-insecure": row("a=1; SameSite=None"),
    "cookie-nameless": row("1"),
    "cookie-empty-name": row("=1"),
    "cookie-control": row("a=1\x01"),
    "cookie-tab": row("a=1\t2"),
    "cookie-utf-8": row("a=\xc3\xa9"),
    "cookie-latin-1": row("a=\xe9"),
    "cookie-size": row("a=" + "x" * 4096),
    "cookie-attribute-size": row("a=1; Max-Age=0" + "0" * 1024),
    "cookie-attribute-empty": row("a=1; Path=/c; Path"),
    "cookie-domain-case": row("a=1; Domain=C{N}.SITE{G}.CO.UK"),
    "cookie-max-age-dash": row("a=1; Max-Age=-"),
    "cookie-max-age-plus": row(f"a=1; Max-Age=+5; {EPOCH}"),
    "cookie-max-age-empty": row("a=1; Max-Age="),
    "cookie-max-age-first": row(f"a=1; Max-Age=60; {EPOCH}"),
    "cookie-expires-twice": row(f"a=1; {EPOCH}; Expires=never"),
    "cookie-date-form": row("a=1; Expires=1 jan 2001 1:1:1"),
    "cookie-date-no-time": row("a=1; Expires=Mon, 01 Jan 2001"),
    "cookie-date-day": row("a=1; Expires=Sat, 31 Feb 2001 01:01:01 GMT"),
    "cookie-date-hour": row("a=1; Expires=Mon, 01 Jan 2001 24:00:00 GMT"),
    "cookie-date-year": row("a=1; Expires=Fri, 01 Jan 1600 01:01:01 GMT"),
    "cookie-replaced": row("a=1", "b=2", "a=3"),
    "cookie-order": row("a=1; Domain=c{n}.site{g}.co.uk", "a=2"),
    "cookie-count": row(
        *(f"a{number}=1" for number in range(181)), page="https://site{n}.com", api="https://site{n}.com"
    ),
}

ROW_CASES = {name: CookieCase(100_000 + number, *row) for number, (name, row) in enumerate(ROWS.items())}


def last_cookies(case: CookieCase, log: Sequence[str]) -> str:
    """What the last request of a row carried, as a cell of the table says it."""
    cookies = log[-1].partition(": ")[2].replace(f"-{case.number}", "")
    text = cookies.encode("latin-1").decode("utf-8", "backslashreplace").replace("\t", "\\t")
    number = text.count("; ") + 1
    if text in ("none", ""):
        return "nothing"
    return f"{number} cookies" if number > 9 else f"`{text}`" if len(text) < 99 else f"{len(text)} octets"
