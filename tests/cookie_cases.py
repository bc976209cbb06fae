"""Cookies as cases: which ``Set-Cookie`` lines a page's fetches get from which sites, and which cookies go back.

A case has sites of its own. ``{n}`` in an origin stands for the case's number, ``{a}`` and ``{b}`` for two ports of
loopback.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    def __str__(self) -> str:
        lines = [f"{self.number}: page {self.page}"]
        for step in self.steps:
            lines.append("    " + " -> ".join(f"{hop.origin}{hop.path} {list(hop.set_cookie) or ''}" for hop in step))
        return "\n".join(lines)


def group(number: int) -> int:
    """Cases share a site, and so a page, as far as limits on the number of a site's cookies allow."""
    return number // 25


class CookieServer:
    """The WSGI app behind all sites: does what the case in the query says, and remembers the cookies it got."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.ports = ports
        self.cases: dict[int, CookieCase] = {}
        self.log: dict[int, list[str]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        query = environ["QUERY_STRING"]
        if not query:
            start_response("404 Not Found", [])
            return []
        number, step, hop = map(int, query.split("."))
        hops = self.cases[number].steps[step]
        cookies = environ.get("HTTP_COOKIE", "-")
        self.log.setdefault(number, []).append(f"{step}.{hop} {cookies}")
        names = {"n": number, "N": number, "g": group(number), "G": group(number)}
        headers = [
            ("Access-Control-Allow-Origin", environ.get("HTTP_ORIGIN", "null")),
            ("Access-Control-Allow-Credentials", "true"),
            ("Cache-Control", "no-store"),
            ("Content-Length", "0"),
            *(("Set-Cookie", line.format_map(names)) for line in hops[hop].set_cookie),
        ]
        if hop + 1 < len(hops):
            headers.append(("Location", self.url(number, step, hop + 1)))
        start_response("302 Found" if hop + 1 < len(hops) else "200 OK", headers)
        return []

    def origin(self, number: int, template: str) -> str:
        return template.format(n=number, g=group(number), **self.ports)

    def url(self, number: int, step: int, hop: int) -> str:
        target = self.cases[number].steps[step][hop]
        return f"{self.origin(number, target.origin)}{target.path}?{number}.{step}.{hop}"


def run_in_model(server: CookieServer, case: CookieCase, **options: bool) -> list[str]:
    """The cookies that the requests of *case* carry, in their order."""
    server.cases[case.number] = case
    browser = Browser(server, server.origin(case.number, case.page), **options)
    for step in range(len(case.steps)):
        with suppress(CORSError):
            browser.fetch(server.url(case.number, step, 0), credentials="include")
    return server.log.pop(case.number, [])
