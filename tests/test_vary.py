"""The browser's warning: two answers of one URL allow different origins, and ``Vary: Origin`` is missing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from werkzeug.datastructures import Headers

from flask_preflight import Policy, PreflightMiddleware
from flask_preflight.browser import Browser, CORSError, Exchange, VaryWarning
from flask_preflight.browser.vary import AllowedOrigins

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

A, B = "https://a.com", "https://b.com"
URL = "https://api.com/data"


def exchange(
    origin: str | None,
    allowed: str | None,
    vary: str | None = None,
    *more: tuple[str, str],
    url: str = URL,
    method: str = "GET",
    preflight: bool = False,
) -> Exchange:
    sent = Headers([("Origin", origin)] if origin else [])
    received = Headers(more)
    if allowed is not None:
        received.add("Access-Control-Allow-Origin", allowed)
    if vary is not None:
        received.add("Vary", vary)
    return Exchange(preflight, method, url, sent, 200, received)


def warned(*exchanges: Exchange) -> list[str]:
    origins = AllowedOrigins()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for each in exchanges:
            origins.note(each)
    assert all(warning.category is VaryWarning for warning in caught)
    return [str(warning.message) for warning in caught]


ADVICE = (
    "and Vary: Origin is missing. A cache may answer one request with what was meant for the other. "
    "Send Vary: Origin with every answer of this URL."
)


@pytest.mark.parametrize(
    ("exchanges", "text"),
    [
        pytest.param(
            [exchange(A, A), exchange(B, B)],
            f"Origin: {A} got Access-Control-Allow-Origin: {A}, Origin: {B} got Access-Control-Allow-Origin: {B}",
            id="reflected",
        ),
        pytest.param(
            [exchange(A, A, "Accept"), exchange(B, B, "Origin")],
            f"Origin: {A} got Access-Control-Allow-Origin: {A}, Origin: {B} got Access-Control-Allow-Origin: {B}",
            id="missing-from-the-first",
        ),
        pytest.param(
            [exchange(A, A, "Origin"), exchange(B, B, "Accept")],
            f"Origin: {A} got Access-Control-Allow-Origin: {A}, Origin: {B} got Access-Control-Allow-Origin: {B}",
            id="missing-from-the-second",
        ),
        pytest.param(
            [exchange(None, None), exchange(A, A, "Origin")],
            f"a request without Origin got no Access-Control-Allow-Origin, Origin: {A} got "
            f"Access-Control-Allow-Origin: {A}",
            id="missing-where-no-origin-is",
        ),
        pytest.param(
            [exchange(A, A), exchange(A, "*")],
            f"Origin: {A} got Access-Control-Allow-Origin: {A}, Origin: {A} got Access-Control-Allow-Origin: *",
            id="no-reason-to-differ",
        ),
        pytest.param(
            [exchange(A, A), exchange(A, A, "Origin"), exchange(A, A), exchange("null", "null", "Origin")],
            f"Origin: {A} got Access-Control-Allow-Origin: {A}, Origin: null got Access-Control-Allow-Origin: null",
            id="between-others",
        ),
        pytest.param(
            [exchange(A, A, method="HEAD"), exchange(B, B), exchange(A, A), exchange(B, B)],
            f"Origin: {A} got Access-Control-Allow-Origin: {A}, Origin: {B} got Access-Control-Allow-Origin: {B}",
            id="once",
        ),
    ],
)
def test_what_is_warned_of(exchanges: list[Exchange], text: str) -> None:
    assert warned(*exchanges) == [f"{URL}: {text}, {ADVICE}"]


@pytest.mark.parametrize(
    "exchanges",
    [
        pytest.param([exchange(A, A, "Origin"), exchange(B, B, "Origin")], id="vary"),
        pytest.param([exchange(A, A, "accept, ORIGIN"), exchange(B, B, "*")], id="vary-in-other-words"),
        pytest.param([exchange(A, "*"), exchange(B, "*")], id="everybody"),
        pytest.param([exchange(A, A), exchange(B, A)], id="always-the-same"),
        pytest.param([exchange(A, None), exchange(None, None)], id="nobody"),
        pytest.param([exchange(A, A), exchange(A, None)], id="error-page"),
        pytest.param([exchange(A, A), exchange(B, B, url=f"{URL}/2")], id="another-url"),
        pytest.param([exchange(A, A, method="POST"), exchange(B, B, method="POST")], id="post"),
        pytest.param([exchange(A, A, preflight=True), exchange(B, B, preflight=True)], id="preflights"),
        pytest.param(
            [exchange(A, A), exchange(B, B, None, ("Cache-Control", "private, No-Store"))], id="not-to-be-stored"
        ),
    ],
)
def test_what_is_not_warned_of(exchanges: list[Exchange]) -> None:
    assert warned(*exchanges) == []


def test_the_memory_is_bounded() -> None:
    others = [exchange(A, A, url=f"{URL}/{number}") for number in range(256)]
    assert len(warned(exchange(A, A), *others[:255], exchange(B, B))) == 1
    assert warned(exchange(A, A), *others, exchange(B, B)) == []


def test_what_a_server_sends_stays_on_one_line() -> None:
    (text,) = warned(exchange(A, "\x1b[31m"), exchange(B, "a" * 10_000, url=URL))
    assert "\\x1b[31m" in text
    assert len(text) < 1000


# ---------------------------------------------------------------------------------------
# In a browser
# ---------------------------------------------------------------------------------------


def reflecting(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """What many do by hand. ``/moved`` leads to ``/data`` on another server, so that the next Origin is ``null``."""
    location = [("Location", URL)] if environ["PATH_INFO"] == "/moved" else []
    origin = ("Access-Control-Allow-Origin", environ["HTTP_ORIGIN"])
    start_response("302 Found" if location else "200 OK", [origin, *location])
    return []


def visits(app: WSGIApplication) -> Iterator[int]:
    browser = Browser(app, A)
    yield browser.fetch(URL).status
    yield browser.fetch("https://other.com/moved").status


def test_the_browser_warns_where_it_was_called() -> None:
    with pytest.warns(VaryWarning) as caught:
        assert list(visits(reflecting)) == [200, 200]
    assert [warning.filename for warning in caught] == [__file__]


def test_the_warning_comes_before_the_failure() -> None:
    answers = iter([A, B])

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Access-Control-Allow-Origin", next(answers))])
        return []

    browser = Browser(app, A)
    browser.fetch(URL)
    with pytest.warns(VaryWarning), pytest.raises(CORSError):
        browser.fetch(URL)


@pytest.mark.parametrize("origins", ["*", [A, "null"]], ids=["everybody", "list"])
def test_this_package_gives_no_cause(origins: str | list[str]) -> None:
    policy = Policy(allow_origins=origins, dangerously_allow_null_origin=origins != "*")

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        location = [("Location", URL)] if environ["PATH_INFO"] == "/moved" else []
        start_response("302 Found" if location else "200 OK", location)
        return []

    assert list(visits(PreflightMiddleware(app, policy))) == [200, 200]
