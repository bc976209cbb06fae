"""The modes of the browser's ``fetch``: what ``"no-cors"`` and ``"same-origin"`` send, refuse and let a script read."""

from __future__ import annotations

from typing import Any

import pytest
from test_browser import API, OTHER, PAGE, answering, failure, paths, redirecting
from werkzeug.datastructures import Headers

from flask_preflight.browser import Browser, Response, Step

SECRET = answering([("X-Total", "1"), ("Set-Cookie", "a=b; SameSite=None; Secure")], body=b"secret")
OPAQUE = Response(0, Headers(), b"", "", False, "opaque")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_no_cors_sends_a_request_and_reads_nothing(method: str) -> None:
    browser = Browser(SECRET)
    response = browser.fetch(f"{API}/data", method, mode="no-cors")
    assert response == OPAQUE
    assert not response.ok
    assert paths(browser) == [f"{method} {API}/data"]
    assert browser.exchanges[0].data == b"secret"  # the test sees it


@pytest.mark.parametrize(
    ("mode", "url", "kind", "step"),
    [
        pytest.param("cors", "/", "basic", None, id="cors home"),
        pytest.param("cors", f"{API}/", None, Step.ALLOW_ORIGIN_MISSING, id="cors abroad"),
        pytest.param("no-cors", "/", "basic", None, id="no-cors home"),
        pytest.param("no-cors", f"{API}/", "opaque", None, id="no-cors abroad"),
        pytest.param("same-origin", "/", "basic", None, id="same-origin home"),
        pytest.param("same-origin", f"{API}/", None, Step.SAME_ORIGIN_MODE, id="same-origin abroad"),
        pytest.param("same-origin", "https://www.frontend.com/", None, Step.SAME_ORIGIN_MODE, id="same site"),
    ],
)
def test_what_a_mode_reads(mode: Any, url: str, kind: str | None, step: Step | None) -> None:
    if step:
        assert failure(SECRET, url, mode=mode).step is step
    else:
        assert Browser(SECRET).fetch(url, mode=mode).type == kind


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        pytest.param({"X-A": "1", "Authorization": "x"}, {}, id="others are dropped"),
        pytest.param({"Range": "bytes=0-1"}, {}, id="range is for the browser alone"),
        pytest.param({"Content-Type": "application/json"}, {}, id="json"),
        pytest.param({"Content-Type": "text/plain"}, {"Content-Type": "text/plain"}, id="text"),
        pytest.param({"ACCEPT-language": "de"}, {"ACCEPT-language": "de"}, id="language"),
        pytest.param({"Accept-Language": "d" * 129}, {}, id="too long"),
        pytest.param(
            [("Accept-Language", "d" * 60), ("accept-language", "e" * 67)],
            {"Accept-Language": "d" * 60},
            id="too long with what is there",
        ),
        pytest.param(
            [("Accept-Language", "d" * 60), ("accept-language", "e" * 66)],
            {"Accept-Language": "d" * 60, "accept-language": "e" * 66},
            id="not too long",
        ),
    ],
)
def test_no_cors_sends_only_headers_that_need_no_preflight(headers: Any, sent: dict[str, str]) -> None:
    browser = Browser(answering())
    browser.fetch(f"{API}/", "POST", headers, mode="no-cors")
    own = {"Accept", "Referer", "Origin", "User-Agent", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site"}
    script = [pair for pair in browser.exchanges[0].request_headers if pair[0] not in own]
    assert script == list(sent.items())


@pytest.mark.parametrize(
    ("arguments", "content_type"),
    [
        ({"json": {}}, "text/plain;charset=UTF-8"),
        ({"body": "{}", "headers": {"Content-Type": "application/json"}}, "text/plain;charset=UTF-8"),
        ({"body": "{}", "headers": {"Content-Type": "multipart/form-data"}}, "multipart/form-data"),
        ({"body": b"{}"}, None),
    ],
)
def test_json_without_cors_is_sent_as_text(arguments: dict[str, Any], content_type: str | None) -> None:
    browser = Browser(answering())
    browser.fetch(f"{API}/", "POST", mode="no-cors", **arguments)
    assert browser.exchanges[0].request_headers.get("Content-Type") == content_type


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "PUT"}, "method: PUT needs mode 'cors'; mode 'no-cors' has GET, HEAD and POST"),
        ({"redirect": "error"}, "redirect: 'error' needs mode 'cors' where the URL is of another origin"),
        ({"redirect": "manual"}, "redirect: 'manual' needs mode 'cors' where the URL is of another origin"),
    ],
)
def test_what_no_cors_refuses_before_anything_is_sent(arguments: dict[str, Any], message: str) -> None:
    browser = Browser(answering())
    with pytest.raises(TypeError) as caught:
        browser.fetch(f"{API}/", mode="no-cors", **arguments)
    assert str(caught.value) == message
    assert browser.exchanges == []


def test_at_home_no_cors_has_all_redirect_modes() -> None:
    app = redirecting({f"{PAGE}/": (302, [("Location", f"{API}/b")])})
    assert Browser(app).fetch("/", mode="no-cors", redirect="manual").type == "opaqueredirect"
    assert failure(app, "/", mode="no-cors", redirect="error").step is Step.REDIRECT_MODE


@pytest.mark.parametrize(
    ("credentials", "cookies"),
    [("include", [None, "a=b"]), ("same-origin", [None, None]), ("omit", [None, None])],
)
def test_no_cors_sends_cookies_by_credentials(credentials: Any, cookies: list[str | None]) -> None:
    browser = Browser(SECRET)
    for _ in "12":
        browser.fetch(f"{API}/", "POST", credentials=credentials, mode="no-cors")
    assert [exchange.request_headers.get("Cookie") for exchange in browser.exchanges] == cookies


@pytest.mark.parametrize(
    ("mode", "method", "url", "origin"),
    [
        ("no-cors", "GET", f"{API}/", None),
        ("no-cors", "HEAD", f"{API}/", None),
        ("no-cors", "POST", f"{API}/", PAGE),
        ("no-cors", "POST", "/", PAGE),
        ("no-cors", "POST", "http://localhost/", "null"),  # of an https page, over http
        ("same-origin", "GET", "/", None),
        ("same-origin", "PUT", "/", PAGE),
    ],
)
def test_origin_without_cors(mode: Any, method: str, url: str, origin: str | None) -> None:
    browser = Browser(answering())
    browser.fetch(url, method, mode=mode)
    assert browser.exchanges[0].request_headers.get("Origin") == origin


@pytest.mark.parametrize(
    ("start", "goal", "kind", "origins"),
    [
        pytest.param(f"{API}/", f"{OTHER}/b", "opaque", [PAGE, "null"], id="abroad to another"),
        pytest.param(f"{API}/", f"{PAGE}/b", "opaque", [PAGE, "null"], id="abroad to home"),
        pytest.param(f"{PAGE}/", f"{API}/b", "opaque", [PAGE, PAGE], id="home to abroad"),
        pytest.param(f"{PAGE}/", f"{PAGE}/b", "basic", [PAGE, PAGE], id="home to home"),
        pytest.param(f"{API}/", "https://u:p@backend.com/b", "opaque", [PAGE, PAGE], id="to a password"),
    ],
)
def test_no_cors_follows_redirects_blindly(start: str, goal: str, kind: str, origins: list[str]) -> None:
    browser = Browser(redirecting({start: (307, [("Location", goal)])}))
    assert browser.fetch(start, "POST", body="x", mode="no-cors").type == kind
    assert [exchange.request_headers.get("Origin") for exchange in browser.exchanges] == origins


def test_same_origin_asks_nobody_else() -> None:
    browser = Browser(answering())
    assert failure(answering(), f"{API}/", mode="same-origin").exchange.status == 0
    app = redirecting({f"{PAGE}/": (302, [("Location", f"{API}/b")])})
    browser = Browser(app)
    with pytest.raises(Exception, match="same-origin-mode") as caught:
        browser.fetch("/", mode="same-origin")
    assert paths(browser) == [f"GET {PAGE}/"]
    assert str(caught.value) == (
        """\
same-origin-mode: the script on https://frontend.com gets nothing; the request was not sent

not sent  GET https://backend.com/b, credentials: same-origin
why       The script said mode: "same-origin", and https://backend.com/b is of another origin. https://frontend.com/ \
redirects there.
change    Leave out mode, which is "cors" then, or let the page call its own origin.
Chromium  Unsafe attempt to load URL https://backend.com/b from frame with URL https://frontend.com/. Domains, \
protocols and ports must match.
Firefox   Security Error: Content at https://frontend.com/ may not load data from https://backend.com/b.
WebKit    Unsafe attempt to load URL https://backend.com/b from origin https://frontend.com. Domains, protocols and \
ports must match.
docs      https://flask-preflight.readthedocs.io/en/stable/messages.html#same-origin-mode
standard  https://fetch.spec.whatwg.org/#concept-main-fetch"""
    )


def test_no_engine_speaks_of_cors_where_there_is_none() -> None:
    for mode in ("no-cors", "same-origin"):
        error = failure({}, "/", mode=mode)
        assert (error.step, error.console) == (Step.NO_RESPONSE, {})
