"""The tests' browser, whatever a page asks for and whatever servers answer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from test_browser import API, OTHER, PAGE

from flask_preflight.browser import Browser, CORSError, Step, VaryWarning

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

URLS = [f"{API}/a", f"{OTHER}/", "/b?c#d", "https://api.frontend.com/", "http://backend.com/", "http://localhost:5000/"]

# What is right for one header is wrong for another.
VALUES = st.lists(
    st.sampled_from(
        [
            *(
                "*",
                "null",
                "true",
                "",
                "GET, PUT",
                "*, X-A",
                "origin",
                "unsafe-url",
                "no-referrer",
                "600",
                "-1",
                "9" * 30,
            ),
            *("/", "?", "#f", "//other.com/x", "https://u:p@backend.com/", "ftp://a/", "data:,x", "https://[", "\xe9"),
            *(
                "a=b",
                "a=b; SameSite=None; Secure",
                "a=b; Domain=com",
                "a=; Max-Age=0",
                "{}",
                "{page}",
                "%s",
                "\x7f",
                "\t",
            ),
            *(PAGE, *URLS),
        ]
    ),
    min_size=1,
    max_size=2,
).map(" ".join)

NAMES = st.sampled_from(
    [
        *("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods"),
        *("Access-Control-Allow-Headers", "Access-Control-Max-Age", "Access-Control-Expose-Headers", "Location"),
        *("Set-Cookie", "Vary", "Referrer-Policy", "Cache-Control", "Age", "X-Cache", "Content-Length", "Upgrade"),
    ]
)
STATUSES = st.sampled_from([200, 200, 200, 101, 204, 302, 303, 304, 307, 308, 401, 500, 999])
ANSWERS = st.tuples(STATUSES, st.lists(st.tuples(NAMES, VALUES), max_size=5), st.booleans())

Call = Callable[[Browser], object]

FETCHES = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "HEAD", "POST", "PUT", "patch"]),
        "headers": st.sampled_from([{}, {"X-A": "1"}, {"Authorization": "x"}]),
        "credentials": st.sampled_from(["omit", "same-origin", "include"]),
        "redirect": st.sampled_from(["follow", "follow", "error", "manual"]),
        "mode": st.sampled_from(["cors", "cors", "no-cors", "same-origin"]),
        "upload_listener": st.booleans(),
    }
)
ENCTYPES = st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"])


def fetch(url: str, options: Any) -> Call:
    return lambda browser: browser.fetch(url, **options)


def submit(url: str, method: Any, enctype: Any) -> Call:
    return lambda browser: browser.submit(url, {"a": ("b", b"c", "")}, method=method, enctype=enctype)


def open_websocket(url: str) -> Call:
    return lambda browser: browser.open_websocket(url.partition("#")[0].replace("http", "ws", 1))


CALLS: st.SearchStrategy[Call] = st.one_of(
    st.builds(fetch, st.sampled_from(URLS), FETCHES),
    st.builds(submit, st.sampled_from(URLS), st.sampled_from(["GET", "POST"]), ENCTYPES),
    st.builds(open_websocket, st.sampled_from(URLS)),
)


class Servers:
    """Give these answers in turn, some with all that the request asks for, and remember what came."""

    def __init__(self, answers: list[tuple[int, list[tuple[str, str]], bool]]) -> None:
        self.answers = answers
        self.received: list[tuple[str, str]] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        host = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}"
        self.received.append((environ["REQUEST_METHOD"], host + environ["REQUEST_URI"]))
        status, headers, grants = self.answers[len(self.received) % len(self.answers)]
        start_response(f"{status} Said", [*headers, *(granted(environ) if grants else [])])
        return [b"\xff{}"]


def granted(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    asked = {
        "Origin": environ.get("HTTP_ORIGIN", "*"),
        "Methods": environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "GET"),
        "Headers": environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", ""),
        "Credentials": "true",
    }
    return [(f"Access-Control-Allow-{name}", value) for name, value in asked.items()]


PRINTABLE = {"\n", *"‘’“”", *map(chr, range(32, 127))}


@given(
    st.lists(ANSWERS, min_size=1, max_size=4), st.lists(CALLS, min_size=1, max_size=4), st.sampled_from([PAGE, "null"])
)
def test_a_call_ends_in_an_answer_or_in_corserror(answers: Any, calls: list[Call], page: str) -> None:
    servers = Servers(answers)
    browser = Browser(servers, page)
    for call in calls:
        error = error_of(browser, call)
        if isinstance(error, TypeError):  # what no page can ask for
            assert str(error).startswith(("url: ", "method: ", "redirect: ", "upload_listener: "))
        elif error:
            assert set(str(error)) <= PRINTABLE
            is_sent = error.step not in (Step.MIXED_CONTENT, Step.SAME_ORIGIN_MODE)
            assert not is_sent or error.exchange is browser.exchanges[-1]
    assert servers.received == [(exchange.method, exchange.url) for exchange in browser.exchanges]
    assert not any("Cookie" in exchange.request_headers for exchange in browser.exchanges if exchange.preflight)


def error_of(browser: Browser, call: Call) -> TypeError | CORSError | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VaryWarning)
        try:
            call(browser)
        except (TypeError, CORSError) as error:
            return error
    return None
