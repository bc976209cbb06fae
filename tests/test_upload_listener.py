"""``upload_listener=True``: the preflight that an XMLHttpRequest sends for the sake of its listener.

https://fetch.spec.whatwg.org/#use-cors-preflight-flag
"""

from __future__ import annotations

from typing import Any

import pytest
from test_browser import ALLOW, API, PAGE, answering, redirecting

from flask_preflight.browser import Browser, CORSError, Step


def sent(browser: Browser) -> list[str]:
    return [exchange.method for exchange in browser.exchanges]


METHODS = ("Access-Control-Allow-Methods", "GET")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("lines", [[ALLOW], [ALLOW, METHODS]], ids=["no methods", "another method"])
def test_a_simple_request_is_preflighted(method: str, lines: list[tuple[str, str]]) -> None:
    browser = Browser(answering([ALLOW], lines))
    browser.fetch(f"{API}/", method, upload_listener=True)
    assert sent(browser) == ["OPTIONS", method]
    asked = browser.exchanges[0].request_headers
    assert asked["Access-Control-Request-Method"] == method
    assert "Access-Control-Request-Headers" not in asked


def test_a_server_that_answers_no_preflight_refuses_it() -> None:
    browser = Browser(answering([ALLOW]))
    assert browser.fetch(f"{API}/", "POST").ok
    with pytest.raises(CORSError) as caught:
        browser.fetch(f"{API}/", "POST", upload_listener=True)
    assert (caught.value.step, caught.value.exchange.preflight) == (Step.ALLOW_ORIGIN_MISSING, True)


@pytest.mark.parametrize(
    ("lines", "seen"),
    [
        pytest.param([ALLOW], ["OPTIONS", "POST", "POST"], id="no methods"),
        pytest.param([ALLOW, ("Access-Control-Allow-Methods", "POST")], ["OPTIONS", "POST", "POST"], id="the method"),
        pytest.param([ALLOW, METHODS], ["OPTIONS", "POST", "OPTIONS", "POST"], id="another method"),
        pytest.param(
            [ALLOW, ("Access-Control-Allow-Methods", "")], ["OPTIONS", "POST", "OPTIONS", "POST"], id="an empty list"
        ),
    ],
)
def test_what_is_cached(lines: list[tuple[str, str]], seen: list[str]) -> None:
    browser = Browser(answering([ALLOW], lines))
    for _ in "12":
        browser.fetch(f"{API}/", "POST", upload_listener=True)
    assert sent(browser) == seen


def test_another_method_must_be_allowed_as_ever() -> None:
    browser = Browser(answering([ALLOW], [ALLOW]))
    with pytest.raises(CORSError) as caught:
        browser.fetch(f"{API}/", "PUT", upload_listener=True)
    assert caught.value.step is Step.ALLOW_METHODS


def test_at_home_it_changes_nothing() -> None:
    browser = Browser(answering())
    browser.fetch("/", "POST", upload_listener=True)
    assert sent(browser) == ["POST"]


def test_it_holds_after_a_redirect() -> None:
    browser = Browser(redirecting({f"{PAGE}/": (307, [("Location", f"{API}/b")])}, [ALLOW]))
    browser.fetch("/", "POST", upload_listener=True)
    assert sent(browser) == ["POST", "OPTIONS", "POST"]


@pytest.mark.parametrize("options", [{"mode": "no-cors"}, {"mode": "same-origin"}, {"redirect": "error"}])
def test_what_an_xmlhttprequest_cannot_do(options: dict[str, Any]) -> None:
    browser = Browser(answering())
    with pytest.raises(TypeError, match=r"^upload_listener: an XMLHttpRequest has the mode 'cors' and follows"):
        browser.fetch("/", "POST", upload_listener=True, **options)
    assert browser.exchanges == []
