"""``Referer``: how much of the page's URL the tests' browser tells, and to whom.

https://w3c.github.io/webappsec-referrer-policy/
"""

from __future__ import annotations

from typing import Any

import pytest
from test_browser import API, PAGE, STAR, answering, redirecting

from flask_preflight.browser import Browser

SHOP = f"{PAGE}/shop/cart?id=1"
HOME = f"{PAGE}/"


def referers(browser: Browser) -> list[str | None]:
    return [exchange.request_headers.get("Referer") for exchange in browser.exchanges]


# https://w3c.github.io/webappsec-referrer-policy/#referrer-policies, by where the request goes: the same origin,
# another one, another one without TLS
POLICIES = {
    "no-referrer": (None, None, None),
    "no-referrer-when-downgrade": (SHOP, SHOP, None),
    "same-origin": (SHOP, None, None),
    "origin": (HOME, HOME, HOME),
    "strict-origin": (HOME, HOME, None),
    "origin-when-cross-origin": (SHOP, HOME, HOME),
    "strict-origin-when-cross-origin": (SHOP, HOME, None),
    "unsafe-url": (SHOP, SHOP, SHOP),
}
TARGETS = ("/api", f"{API}/", "http://localhost/")


@pytest.mark.parametrize("policy", POLICIES)
def test_policies(policy: Any) -> None:
    browser = Browser(answering([STAR]), page=SHOP, referrer_policy=policy)
    for url in TARGETS:
        browser.fetch(url, mode="no-cors")
    assert referers(browser) == list(POLICIES[policy])


# What the standard makes of `Origin`, for requests other than CORS: https://fetch.spec.whatwg.org/#append-a-request-origin-header
ORIGINS = {
    "no-referrer": ("null", "null", "null"),
    "no-referrer-when-downgrade": (PAGE, PAGE, "null"),
    "same-origin": (PAGE, "null", "null"),
    "origin": (PAGE, PAGE, PAGE),
    "strict-origin": (PAGE, PAGE, "null"),
    "origin-when-cross-origin": (PAGE, PAGE, PAGE),
    "strict-origin-when-cross-origin": (PAGE, PAGE, "null"),
    "unsafe-url": (PAGE, PAGE, PAGE),
}


@pytest.mark.parametrize("policy", ORIGINS)
def test_a_policy_hides_the_origin_too(policy: Any) -> None:
    browser = Browser(answering([STAR]), page=SHOP, referrer_policy=policy)
    for url in TARGETS:
        browser.submit(url)
        browser.fetch(url, "POST", mode="no-cors")
    sent = [exchange.request_headers["Origin"] for exchange in browser.exchanges]
    assert sent == [origin for origin in ORIGINS[policy] for _ in "12"]


@pytest.mark.parametrize("policy", ORIGINS)
def test_no_policy_hides_the_origin_from_cors(policy: Any) -> None:
    browser = Browser(answering([STAR]), page=SHOP, referrer_policy=policy)
    for url in TARGETS:
        browser.fetch(url, "POST")
    assert [exchange.request_headers["Origin"] for exchange in browser.exchanges] == [PAGE] * 3


@pytest.mark.parametrize(
    ("page", "referer"),
    [
        pytest.param("/", HOME, id="root"),
        pytest.param("/shop/cart?id=1#top", SHOP, id="path"),
        pytest.param(f"{PAGE}/shop/cart?id=1", SHOP, id="url"),
        pytest.param("https://u:p@frontend.com/", HOME, id="password"),
        pytest.param("", HOME, id="empty"),
        pytest.param("/a/../b c", f"{PAGE}/b%20c", id="normalized"),
        pytest.param("/" + "a" * (4096 - len(PAGE) - 1), f"{PAGE}/" + "a" * (4096 - len(PAGE) - 1), id="4096"),
        pytest.param("/" + "a" * (4097 - len(PAGE) - 1), HOME, id="4097"),
    ],
)
def test_pages(page: str, referer: str) -> None:
    browser = Browser(answering(), page=page)
    browser.fetch("/")
    assert referers(browser) == [referer]


@pytest.mark.parametrize(
    ("page", "url", "asked"),
    [
        ("/shop/cart", "items", f"{PAGE}/shop/items"),
        ("/shop/cart?a", "?b", f"{PAGE}/shop/cart?b"),
        ("/shop/cart", "/items", f"{PAGE}/items"),
        ("/", "items", f"{PAGE}/items"),
    ],
)
def test_urls_are_relative_to_the_page(page: str, url: str, asked: str) -> None:
    browser = Browser(answering(), page=page)
    browser.fetch(url)
    browser.submit(url)
    browser.open_websocket(url)
    assert [exchange.url for exchange in browser.exchanges] == [asked] * 3


def test_preflights_and_forms_tell_it_and_websockets_do_not() -> None:
    browser = Browser(answering([STAR], [STAR, ("Access-Control-Allow-Methods", "*")]), page=SHOP)
    browser.fetch(f"{API}/", "PUT")
    browser.submit("/orders")
    browser.open_websocket("/socket")
    assert referers(browser) == [HOME, HOME, SHOP, None]


@pytest.mark.parametrize("origin", ["null", "capacitor://localhost", "app://."])
def test_other_pages_tell_nothing(origin: str) -> None:
    browser = Browser(answering([STAR]), origin, referrer_policy="unsafe-url")
    browser.fetch(f"{API}/")
    assert referers(browser) == [None]


@pytest.mark.parametrize(
    ("policy", "header", "seen"),
    [
        pytest.param("unsafe-url", [], [SHOP, SHOP, SHOP], id="no header"),
        pytest.param("unsafe-url", ["origin"], [SHOP, HOME, HOME], id="less from there on"),
        pytest.param("origin", ["unsafe-url"], [HOME, HOME, HOME], id="nothing comes back"),
        pytest.param("no-referrer", ["unsafe-url"], [None, None, None], id="nothing comes of nothing"),
        pytest.param("unsafe-url", ["origin, no-such-policy"], [SHOP, HOME, HOME], id="the last one known"),
        pytest.param("unsafe-url", ["no-referrer", "ORIGIN"], [SHOP, HOME, HOME], id="two lines"),
        pytest.param("unsafe-url", ["", "none"], [SHOP, SHOP, SHOP], id="nothing known"),
        pytest.param("strict-origin-when-cross-origin", [], [HOME, HOME, HOME], id="home again"),
    ],
)
def test_redirects(policy: Any, header: list[str], seen: list[str | None]) -> None:
    lines = [("Referrer-Policy", line) for line in header]
    hops = {
        f"{API}/": (302, [("Location", "/b"), *lines]),
        f"{API}/b": (302, [("Location", f"{PAGE}/c")]),
    }
    browser = Browser(redirecting(hops), page=SHOP, referrer_policy=policy)
    browser.submit(f"{API}/")
    assert referers(browser) == seen


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"page": f"{API}/a"}, f"page: {API}/a is not of the origin '{PAGE}'; write origin='{API}', too"),
        ({"page": "https://["}, "https://[ is not a valid URL: its host '[' is not valid"),
        ({"page": "/a", "origin": "null"}, "page: /a is not told by a page whose origin is 'null'; leave it out"),
        (
            {"referrer_policy": "never"},
            "referrer_policy: 'never' is not one of 'no-referrer', 'no-referrer-when-downgrade', 'same-origin', "
            "'origin', 'strict-origin', 'origin-when-cross-origin', 'strict-origin-when-cross-origin', 'unsafe-url'",
        ),
    ],
)
def test_what_no_page_has(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        Browser(answering(), **arguments)
    assert str(caught.value) == message
