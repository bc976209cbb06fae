"""Mixed content: what a page on ``https:`` may not ask for. https://w3c.github.io/webappsec-mixed-content/"""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from test_browser import API, PAGE, STAR, answering, failure, paths, redirecting
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_preflight import Preflight
from flask_preflight.browser import Browser, CORSError, Step

INSECURE = "http://backend.com"


@pytest.mark.parametrize(
    ("origin", "url", "is_blocked"),
    [
        pytest.param(PAGE, INSECURE, True, id="http"),
        pytest.param(PAGE, "http://frontend.com", True, id="own host"),
        pytest.param("https://localhost:5173", INSECURE, True, id="page on loopback"),
        pytest.param(PAGE, "http://localhost:5000", False, id="localhost"),
        pytest.param(PAGE, "http://api.localhost", False, id="below localhost"),
        pytest.param(PAGE, "http://127.0.0.1:5000", False, id="address"),
        pytest.param(PAGE, "http://[::1]:5000", False, id="IPv6"),
        pytest.param(PAGE, "http://192.168.0.1", True, id="private address"),
        pytest.param(PAGE, "http://localhost.com", True, id="like localhost"),
        pytest.param(PAGE, API, False, id="https"),
        pytest.param("http://frontend.com", INSECURE, False, id="page on http"),
        pytest.param("http://localhost:5173", INSECURE, False, id="page on loopback without TLS"),
        pytest.param("null", INSECURE, False, id="sandboxed frame"),
        pytest.param("capacitor://localhost", INSECURE, False, id="app shell"),
    ],
)
def test_who_may_ask_whom(origin: str, url: str, is_blocked: bool) -> None:
    browser = Browser(answering([STAR]), origin)
    if is_blocked:
        with pytest.raises(CORSError) as caught:
            browser.fetch(f"{url}/")
        assert (caught.value.step, browser.exchanges) == (Step.MIXED_CONTENT, [])
    else:
        assert browser.fetch(f"{url}/").ok


@pytest.mark.parametrize(
    "arguments",
    [{}, {"method": "PUT"}, {"mode": "no-cors"}, {"mode": "same-origin"}, {"redirect": "manual"}],
    ids=str,
)
def test_every_fetch_is_blocked_before_anything_else(arguments: dict[str, Any]) -> None:
    error = failure(answering(), f"{INSECURE}/", **arguments)
    assert error.step is Step.MIXED_CONTENT
    assert (error.exchange.method, error.exchange.url) == (arguments.get("method", "GET"), f"{INSECURE}/")
    assert (error.exchange.status, list(error.exchange.request_headers)) == (0, [])


def test_a_websocket_is_blocked_too() -> None:
    browser = Browser(answering())
    with pytest.raises(CORSError) as caught:
        browser.open_websocket("ws://backend.com/")
    assert (caught.value.step, caught.value.console, browser.exchanges) == (Step.MIXED_CONTENT, {}, [])
    first_line = f"mixed-content: the page {PAGE} gets no connection; the request was not sent"
    assert str(caught.value).splitlines()[0] == first_line


def test_a_form_is_not_blocked() -> None:
    assert Browser(answering()).submit(f"{INSECURE}/", {"a": "b"}).status == 200


def test_a_redirect_is_followed_as_far_as_it_is_secure() -> None:
    hops = {f"{API}/a": (302, [STAR, ("Location", "/b")]), f"{API}/b": (302, [STAR, ("Location", f"{INSECURE}/c")])}
    browser = Browser(redirecting(hops))
    with pytest.raises(CORSError) as caught:
        browser.fetch(f"{API}/a")
    assert paths(browser) == [f"GET {API}/a", f"GET {API}/b"]
    assert caught.value.exchange.url == f"{INSECURE}/c"


def app_behind_a_proxy(*, trusting: bool) -> Any:
    """A Flask app to which a proxy with TLS speaks http."""
    app = Flask(__name__)
    Preflight(app, allow_origins=[PAGE])
    app.add_url_rule("/data/", "data", lambda: "here", methods=["GET", "PUT"])
    if trusting:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)  # type: ignore[method-assign]

    def proxy(environ: Any, start_response: Any) -> Any:
        return app(
            {**environ, "HTTP_X_FORWARDED_PROTO": environ["wsgi.url_scheme"], "wsgi.url_scheme": "http"}, start_response
        )

    return proxy


def test_the_missing_slash_behind_a_proxy() -> None:
    assert Browser(app_behind_a_proxy(trusting=True)).fetch(f"{API}/data").text == "here"
    error = failure(app_behind_a_proxy(trusting=False), f"{API}/data")
    assert str(error) == (
        """\
mixed-content: the script on https://frontend.com gets nothing; the request was not sent

not sent  GET http://backend.com/data/, credentials: same-origin
why       The page is https:, and http://backend.com/data/ is http:. https://backend.com/data redirects there. \
Browsers block that before anything is sent, except to this machine (localhost, 127.0.0.1).
change    Redirect to https:. If a proxy in front of the app speaks TLS, let it send X-Forwarded-Proto, and let the \
app trust it: ProxyFix(app, x_proto=1).
Chromium  Mixed Content: The page at 'https://frontend.com/' was loaded over HTTPS, but requested an insecure resource \
'http://backend.com/data/'. This request has been blocked; the content must be served over HTTPS.
Firefox   Blocked loading mixed active content “http://backend.com/data/”
WebKit    [blocked] The page at https://frontend.com/ requested insecure content from http://backend.com/data/. This \
content was blocked and must be served over HTTPS.
docs      https://flask-preflight.readthedocs.io/en/stable/messages.html#mixed-content
standard  https://fetch.spec.whatwg.org/#concept-main-fetch"""
    )


def test_without_a_redirect_the_call_must_change() -> None:
    error = failure(answering(), f"{INSECURE}/")
    assert error.fix == "Call the server over https:."
