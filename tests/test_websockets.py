"""``Browser.open_websocket``: the handshake, as the server sees it."""

from __future__ import annotations

import socket
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, abort, request
from raw_server import raw_server
from test_browser import API, PAGE, USER_AGENT, answering, redirecting
from werkzeug.routing import Rule

from flask_preflight.browser import Browser, CORSError, LiveTransport, Step

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SOCKET = "wss://backend.com/socket"


def switching(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Accepts connections of one page."""
    accepted = environ["HTTP_ORIGIN"] == PAGE and environ["HTTP_UPGRADE"] == "websocket"
    headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", "x")]
    start_response(*(("101 Switching Protocols", headers) if accepted else ("403 Forbidden", [])))
    return []


def test_the_handshake() -> None:
    browser = Browser(switching)
    answer = browser.open_websocket(SOCKET)
    assert browser.exchanges == [answer]
    assert (answer.preflight, answer.method, answer.url, answer.status) == (False, "GET", f"{API}/socket", 101)
    assert answer.response_headers["Upgrade"] == "websocket"
    key = answer.request_headers["Sec-WebSocket-Key"]
    assert len(b64decode(key, validate=True)) == 16
    assert list(answer.request_headers) == [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Origin", PAGE),
        ("Sec-Fetch-Dest", "empty"),
        ("Sec-Fetch-Mode", "websocket"),
        ("Sec-Fetch-Site", "cross-site"),
        USER_AGENT,
    ]


def test_each_handshake_has_a_key_of_its_own() -> None:
    keys = {Browser(switching).open_websocket(SOCKET).request_headers["Sec-WebSocket-Key"] for _ in "12"}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("origin", "status"), [(PAGE, 101), ("https://stranger.com", 403), ("null", 403), ("http://frontend.com", 403)]
)
def test_a_refusal_is_an_answer(origin: str, status: int) -> None:
    assert Browser(switching, origin).open_websocket(SOCKET).status == status


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("ws://localhost:5000/s?a=b", "http://localhost:5000/s?a=b"),
        ("wss://backend.com", "https://backend.com/"),
        ("wss://backend.com:443/", "https://backend.com/"),
        ("https://backend.com/s", "https://backend.com/s"),
        ("/s", f"{PAGE}/s"),
    ],
)
def test_urls(url: str, asked: str) -> None:
    assert Browser(switching).open_websocket(url).url == asked


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://a/", "url: ftp://a/ is neither ws: nor wss:"),
        ("wss://a/#b", "url: wss://a/#b has a fragment"),
        ("wss://", "url: wss:// is not a valid URL: it has no host"),
        (5, "url: 5 is not a string"),
    ],
)
def test_urls_that_no_websocket_takes(url: Any, message: str) -> None:
    browser = Browser(switching)
    with pytest.raises(TypeError) as caught:
        browser.open_websocket(url)
    assert str(caught.value) == message
    assert browser.exchanges == []


@pytest.mark.parametrize(
    ("same_site", "url", "cookie"),
    [
        ("None", "wss://backend.com/", "a=b"),
        ("Lax", "wss://backend.com/", None),
        ("Strict", "wss://api.frontend.com/", "a=b"),
    ],
)
def test_cookies_go_with_it(same_site: str, url: str, cookie: str | None) -> None:
    browser = Browser(answering([("Set-Cookie", f"a=b; Secure; SameSite={same_site}")]))
    browser.submit(url.replace("wss", "https"), {})
    assert browser.open_websocket(url).request_headers.get("Cookie") == cookie


@pytest.mark.parametrize(
    ("same_site", "url", "cookie"),
    [
        ("None", "https://backend.com/", "a=b"),
        ("Lax", "https://backend.com/", None),
        ("Strict", "https://api.frontend.com/", "a=b"),
    ],
)
@pytest.mark.parametrize("status", ["101 Switching Protocols", "403 Forbidden"])
def test_an_answer_sets_cookies(same_site: str, url: str, cookie: str | None, status: str) -> None:
    browser = Browser(answering([("Set-Cookie", f"a=b; Secure; SameSite={same_site}")], status=status))
    browser.open_websocket(url.replace("https", "wss"))
    browser.open_websocket(url.replace("https", "wss"))
    assert browser.exchanges[-1].request_headers.get("Cookie") == cookie


def test_a_redirect_is_not_followed() -> None:
    browser = Browser(redirecting({f"{API}/socket": (302, [("Location", "/login")])}))
    assert browser.open_websocket(SOCKET).status == 302
    assert len(browser.exchanges) == 1


def test_nobody_is_there() -> None:
    with pytest.raises(CORSError) as caught:
        Browser({}).open_websocket(SOCKET)
    assert (caught.value.step, caught.value.console) == (Step.NO_RESPONSE, {})
    assert str(caught.value).splitlines()[0] == f"no-response: the page {PAGE} gets no connection; the request failed"


def test_101_answers_only_who_asked_to_switch() -> None:
    app = answering(status="101 Switching Protocols")
    assert Browser(app).open_websocket(SOCKET).status == 101
    with pytest.raises(CORSError) as caught:
        Browser(app).fetch("/")
    assert caught.value.step is Step.NO_RESPONSE


def test_flask_routes_it_to_its_websocket_rules() -> None:
    app = Flask(__name__)
    app.url_map.add(Rule("/socket", endpoint="socket", websocket=True))

    @app.endpoint("socket")
    def open_socket() -> tuple[str, int]:
        if request.headers["Origin"] != PAGE:
            abort(403)
        return "", 101

    assert Browser(app).open_websocket(SOCKET).status == 101
    assert Browser(app, "https://stranger.com").open_websocket(SOCKET).status == 403
    assert Browser(app, API).fetch("/socket").status == 400


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"403 Forbidden"])
def test_a_live_server(status: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nUpgrade: websocket\r\n\r\n\x81\x02hi")

    with raw_server(talk) as server:
        here = f"127.0.0.1:{server.port}"
        browser = Browser(transport=LiveTransport(f"http://{here}"), origin=f"http://{here}")
        answer = browser.open_websocket(f"ws://{here}/socket")
    assert answer.status == int(status[:3])
    assert answer.response_headers["Upgrade"] == "websocket"
    assert answer.data == (b"" if answer.status == 101 else b"\x81\x02hi")
    assert server.heads[0].splitlines() == [
        "GET /socket HTTP/1.1",
        f"Host: {here}",
        "Accept-Encoding: identity",
        *(f"{name}: {value}" for name, value in answer.request_headers),
        "",
    ]
