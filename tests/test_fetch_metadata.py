"""The headers ``Sec-Fetch-...`` of the tests' browser: https://w3c.github.io/webappsec-fetch-metadata/"""

from __future__ import annotations

from typing import Any

import pytest
from test_browser import API, OTHER, PAGE, answering, redirecting

from flask_preflight.browser import Browser, Exchange


def metadata(exchange: Exchange) -> dict[str, str]:
    names = [name for name, _ in exchange.request_headers if name.startswith("Sec-Fetch-")]
    return {name.removeprefix("Sec-Fetch-"): exchange.request_headers[name] for name in names}


def sites(browser: Browser) -> list[str | None]:
    return [metadata(exchange).get("Site") for exchange in browser.exchanges]


STAR = ("Access-Control-Allow-Origin", "*")


@pytest.mark.parametrize(
    ("origin", "url", "site"),
    [
        pytest.param(PAGE, f"{PAGE}/", "same-origin", id="same origin"),
        pytest.param(PAGE, f"{PAGE}:8443/", "same-site", id="another port"),
        pytest.param(PAGE, "https://api.frontend.com/", "same-site", id="subdomain"),
        pytest.param("https://a.frontend.com", "https://b.frontend.com/", "same-site", id="sibling"),
        pytest.param(PAGE, f"{API}/", "cross-site", id="another domain"),
        pytest.param("http://frontend.com", f"{PAGE}/", "cross-site", id="another scheme"),
        pytest.param("null", f"{API}/", "cross-site", id="sandboxed frame"),
        pytest.param("capacitor://localhost", "http://localhost/", "cross-site", id="app shell"),
        pytest.param("http://localhost:5173", "http://localhost:5000/", "same-site", id="development"),
        pytest.param("http://localhost:5173", "http://127.0.0.1:5000/", "cross-site", id="name and address"),
        pytest.param("http://127.0.0.1:1", "http://127.0.0.1:2/", "same-site", id="address"),
        pytest.param("http://127.0.0.1", "http://127.0.0.2/", "cross-site", id="another address"),
        pytest.param("http://frontend.com", "http://frontend.com/", None, id="not trustworthy"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_site(origin: str, url: str, site: str | None, method: str) -> None:
    browser = Browser(answering([STAR], [STAR, ("Access-Control-Allow-Methods", "*")]), origin)
    browser.fetch(url, method)
    expected = {"Dest": "empty", "Mode": "cors", "Site": site} if site else {}
    assert [metadata(exchange) for exchange in browser.exchanges] == [expected] * len(browser.exchanges)
    assert browser.exchanges[0].preflight is (method == "PUT" and site != "same-origin" and origin + "/" != url)


@pytest.mark.parametrize("mode", ["cors", "no-cors", "same-origin"])
def test_mode(mode: Any) -> None:
    browser = Browser(answering())
    browser.fetch("/", mode=mode)
    assert metadata(browser.exchanges[0]) == {"Dest": "empty", "Mode": mode, "Site": "same-origin"}


@pytest.mark.parametrize(
    ("start", "goal", "seen"),
    [
        pytest.param(f"{PAGE}/", f"{PAGE}/b", ["same-origin", "same-origin"], id="home to home"),
        pytest.param(f"{PAGE}/", "https://www.frontend.com/b", ["same-origin", "same-site"], id="home to its site"),
        pytest.param("https://www.frontend.com/", f"{PAGE}/b", ["same-site", "same-site"], id="back home"),
        pytest.param(f"{API}/", f"{PAGE}/b", ["cross-site", "cross-site"], id="home from abroad"),
        pytest.param("https://www.frontend.com/", f"{OTHER}/b", ["same-site", "cross-site"], id="abroad"),
        pytest.param(f"{API}/", "http://localhost/b", ["cross-site", "cross-site"], id="to loopback"),
    ],
)
def test_the_site_of_all_redirects_counts(start: str, goal: str, seen: list[str | None]) -> None:
    browser = Browser(redirecting({start: (302, [STAR, ("Location", goal)])}, [STAR]))
    browser.fetch(start)
    assert sites(browser) == seen


def test_a_redirect_to_what_is_not_trustworthy_takes_the_headers_away() -> None:
    hops = {"http://localhost/": (302, [STAR, ("Location", "http://backend.com/b")])}
    browser = Browser(redirecting(hops, [STAR]), "http://localhost:5173")
    browser.fetch("http://localhost/")
    assert sites(browser) == ["same-site", None]


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost", True),
        ("localhost.", True),
        ("a.localhost", True),
        ("a.localhost.", True),
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("[::1]", True),
        ("localhost.com", False),
        ("notlocalhost", False),
        ("127.0.0.1.nip.io", False),
        ("128.0.0.1", False),
        ("[::2]", False),
        ("0.0.0.0", False),
    ],
)
def test_over_http_only_loopback_is_trustworthy(host: str, is_loopback: bool) -> None:
    browser = Browser(answering([STAR]), "http://frontend.com")
    browser.fetch(f"http://{host}/")
    browser.fetch(f"https://{host}/")
    assert sites(browser) == ["cross-site" if is_loopback else None, "cross-site"]


def test_a_script_cannot_set_them() -> None:
    browser = Browser(answering([STAR]))
    browser.fetch(f"{API}/", headers={"Sec-Fetch-Site": "none", "sec-fetch-user": "?1"})
    assert metadata(browser.exchanges[0]) == {"Dest": "empty", "Mode": "cors", "Site": "cross-site"}
