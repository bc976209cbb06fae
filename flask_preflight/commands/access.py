"""What a page of an origin gets from a route. `Browser` asks the target."""

from __future__ import annotations

from typing import Final, NamedTuple

from flask_preflight import fetch
from flask_preflight.browser import Browser, CORSError
from flask_preflight.commands.targets import Route, Target

# An origin that is in no policy
STRANGER: Final = "https://stranger.invalid"


class Access(NamedTuple):
    """What a page gets from a route.

    *plain* is the error of a request with neither headers nor body, *json* that of one with a JSON body, which is asked
    about for POST only. *cookies* is whether the page may send cookies, and read the response then.
    """

    is_exempt: bool = False
    plain: CORSError | None = None
    json: CORSError | None = None
    cookies: bool = False

    @property
    def is_allowed(self) -> bool:
        return not self.is_exempt and self.plain is None


EXEMPT: Final = Access(is_exempt=True)


def access_of(target: Target, route: Route, origin: str) -> Access:
    """What a page of *origin* gets from *route*. Nothing is sent but preflights, and no view runs."""
    if route.policy is None:
        return EXEMPT
    plain = ask(target, route, origin)
    json = ask(target, route, origin, headers={"Content-Type": "application/json"}) if route.method == "POST" else None
    cookies = plain is None and ask(target, route, origin, credentials=True) is None
    return Access(plain=plain, json=json, cookies=cookies)


def ask(
    target: Target, route: Route, origin: str, *, headers: dict[str, str] | None = None, credentials: bool = False
) -> CORSError | None:
    """What the script of a page gets: nothing, because of the error, or the response."""
    browser = Browser(target, origin)
    try:
        browser.fetch(route.url, route.method, headers, "include" if credentials else "omit")
    except CORSError as error:
        return error
    return None


def needs_preflight(method: str) -> bool:
    """Whether every request with *method* needs one."""
    return method not in fetch.SAFELISTED_METHODS
