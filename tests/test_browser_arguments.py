"""Arguments of the wrong kind in the tests' browser: each error says what to write, and what it says to write works."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import pytest
from flask import Flask
from werkzeug.test import Client

from flask_preflight.browser import Browser, LiveTransport

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

URL = "https://frontend.com/"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return []


class Named:
    """Something whose representation is the same in each run."""

    def __repr__(self) -> str:
        return "<named>"


class Pickled(Named, io.BytesIO): ...


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        pytest.param(
            [], {"body": {"a": 1}}, "body: {'a': 1} is neither bytes nor a string; write json={'a': 1}", id="d"
        ),
        pytest.param([], {"body": [1]}, "body: [1] is neither bytes nor a string; write json=[1]", id="list-as-body"),
        pytest.param([], {"body": 5}, "body: 5 is neither bytes nor a string; write json=5", id="number-as-body"),
        pytest.param(
            [], {"body": Pickled()}, "body: <named> is neither bytes nor a string; write body=file.read()", id="file"
        ),
        pytest.param([], {"body": Named()}, "body: <named> is neither bytes nor a string", id="object-as-body"),
        pytest.param(
            [{"method": "PUT", "mode": "cors", "json": 1}],
            {},
            "method: {'method': 'PUT', 'mode': 'cors', 'json': 1} is not a string; "
            "write fetch(url, method='PUT', json=1, mode='cors')",
            id="options-of-a-page",
        ),
        pytest.param([{}], {}, "method: {} is not a string; write fetch(url, method='GET')", id="no-options"),
        pytest.param([None], {}, "method: None is not a string", id="no-method"),
        pytest.param(
            [],
            {"headers": {"X-A": None}},
            "headers: the value of X-A is None, not a string; leave the header out",
            id="none-as-value",
        ),
        pytest.param(
            [], {"headers": {"X-A": 5}}, "headers: the value of X-A is 5, not a string; write '5'", id="number-as-value"
        ),
        pytest.param(
            [], {"headers": {"X-A": b"a"}}, "headers: the value of X-A is b'a', not a string; write 'a'", id="bytes"
        ),
        pytest.param(
            [], {"headers": {"X-A": ["a"]}}, "headers: the value of X-A is ['a'], not a string", id="list-as-value"
        ),
        pytest.param([], {"headers": [(1, "a")]}, "headers: the name 1 is not a string", id="number-as-name"),
        pytest.param(
            [],
            {"headers": "X-A: 1"},
            "headers: 'X-A: 1' is neither a mapping nor pairs; write headers={'X-Name': 'value'}",
            id="text-as-headers",
        ),
        pytest.param(
            [],
            {"headers": 5},
            "headers: 5 is neither a mapping nor pairs; write headers={'X-Name': 'value'}",
            id="number-as-headers",
        ),
        pytest.param(
            [],
            {"headers": ["X-A: 1"]},
            "headers: 'X-A: 1' is not a pair of name and value; write headers={'X-Name': 'value'}",
            id="lines-as-headers",
        ),
        pytest.param(
            [],
            {"headers": [("X-A", "1", "2")]},
            "headers: ('X-A', '1', '2') is not a pair of name and value; write headers={'X-Name': 'value'}",
            id="triples-as-headers",
        ),
        pytest.param(
            [],
            {"withCredentials": True},
            "fetch() has no argument 'withCredentials'; "
            "write credentials='include' for True, and leave it out for False",
            id="axios",
        ),
        pytest.param(
            [],
            {"onUploadProgress": print},
            "fetch() has no argument 'onUploadProgress'; write upload_listener=True",
            id="axios-progress",
        ),
        pytest.param(
            [],
            {"data": b""},
            "fetch() has no argument 'data'; write body=... for bytes and text, or json=...",
            id="test-client",
        ),
        pytest.param(
            [],
            {"verify": False},
            "fetch() has no argument 'verify'; "
            "beside the URL it has method, headers, credentials, body, json, redirect, mode, upload_listener",
            id="another",
        ),
    ],
)
def test_arguments_of_fetch(args: Any, options: Any, message: str) -> None:
    browser = Browser(app)
    with pytest.raises(TypeError) as caught:
        browser.fetch(URL, *args, **options)
    assert str(caught.value) == message
    assert browser.exchanges == []


@pytest.mark.parametrize("url", [None, b"https://a.com/"])
def test_a_url_that_is_no_string(url: Any) -> None:
    with pytest.raises(TypeError, match=f"^url: {re.escape(repr(url))} is not a string$"):
        Browser(app).fetch(url)


@pytest.mark.parametrize("body", [b"a", bytearray(b"a"), memoryview(b"a"), "a"], ids=lambda body: type(body).__name__)
def test_every_kind_of_bytes_is_a_body(body: Any) -> None:
    seen: list[bytes] = []

    def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ["wsgi.input"].read())
        return app(environ, start_response)

    Browser(echo, "https://frontend.com").fetch("/", "POST", body=body)
    assert seen == [b"a"]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda text: Browser(app).fetch(URL, body=cast(Any, [text])), id="body"),
        pytest.param(lambda text: Browser(app).fetch(URL, mode=text), id="mode"),
        pytest.param(lambda text: Browser(app).submit(URL, enctype=text), id="enctype"),
        pytest.param(lambda text: Browser(text), id="app"),
        pytest.param(lambda text: Browser(app, referrer_policy=text), id="policy"),
    ],
)
def test_long_values_are_cut_short(call: Callable[[Any], object]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call("\xe9" * 100_000)
    assert len(str(caught.value)) < 2000
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("get", "; write browser.fetch(url)"),
        ("put", "; write browser.fetch(url, method='PUT')"),
        ("delete", "; write browser.fetch(url, method='DELETE')"),
        ("options", "; write browser.fetch(...), which sends the preflight by itself if one is due"),
        ("request", "; write browser.fetch(url, method='GET')"),
        ("cookie_jar", ""),
    ],
)
def test_methods_of_other_clients(name: str, advice: str) -> None:
    browser = Browser(app)
    with pytest.raises(AttributeError) as caught:
        getattr(browser, name)
    assert str(caught.value) == f"'Browser' object has no attribute {name!r}{advice}"
    assert (caught.value.name, caught.value.obj) == (name, browser)
    assert not hasattr(browser, name)


CLIENT = Client(app)

TRANSPORT = "is not a transport; write transport=LiveTransport"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"app": Flask("a").test_client()}, "app: <FlaskClient <Flask 'a'>> is a test", id="flask"),
        pytest.param(
            {"app": CLIENT}, f"app: {CLIENT!r} is a test client; give the app itself: Browser(app)", id="client"
        ),
        pytest.param({"app": {"https://a.com": CLIENT}}, f"app: {CLIENT!r} is a test client; give ", id="in-a-mapping"),
        pytest.param(
            {"app": {"https://a.com": "https://b.com"}},
            "app: 'https://b.com' is no WSGI app; for a live server, write transport=LiveTransport('https://b.com')",
            id="server-in-a-mapping",
        ),
        pytest.param({"app": Named()}, "app: <named> is not a WSGI app", id="object"),
        pytest.param(
            {"transport": "http://a.com"}, f"transport: 'http://a.com' {TRANSPORT}('http://a.com')", id="server"
        ),
        pytest.param({"transport": Named()}, f"transport: <named> {TRANSPORT}('https://staging.", id="no-transport"),
        pytest.param({"transport": LiveTransport}, f"{TRANSPORT}('https://staging.example.com')", id="class"),
        pytest.param({"app": app, "origin": None}, "origin: None is not a string", id="no-origin"),
        pytest.param({"app": app, "page": ["/"]}, "page: ['/'] is not a string", id="list-as-page"),
        pytest.param({"app": app, "page": None, "origin": "null"}, "page: None is not a string", id="no-page"),
    ],
)
def test_arguments_of_browser(arguments: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        Browser(**arguments)


@pytest.mark.parametrize(
    ("server", "message"),
    [
        pytest.param(
            ["https://a.com", "http://b.com"],
            "origins: ['https://a.com', 'http://b.com'] is not a string; "
            "write LiveTransport('https://a.com', 'http://b.com')",
            id="list",
        ),
        pytest.param(
            ("https://a.com",),
            "origins: ('https://a.com',) is not a string; write LiveTransport('https://a.com')",
            id="t",
        ),
        pytest.param(None, "origin: None is not a string", id="none"),
    ],
)
def test_servers_that_are_no_strings(server: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        LiveTransport(server)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("origin", "better"),
    [
        ("127.0.0.1:8140", "http://127.0.0.1:8140"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("localhost:8140", "http://localhost:8140"),
        ("app.localhost:8140/", "http://app.localhost:8140"),
        ("[::1]:8140", "http://[::1]:8140"),
        ("backend:8000", "http://backend:8000"),
        ("Staging.example.com", "https://staging.example.com"),
        ("staging.example.com:443", "https://staging.example.com"),
    ],
)
def test_an_origin_without_scheme(origin: str, better: str) -> None:
    message = f"^{re.escape(f'origin: {origin!r} has no scheme; write {better!r}')}$"
    with pytest.raises(ValueError, match=message):
        LiveTransport(origin)
    with pytest.raises(ValueError, match=message):
        Browser(app, origin)
    LiveTransport(better)
    assert Browser(app, better).origin == better


@pytest.mark.parametrize("origin", ["", "8140", "a b", "//a.com", "-:1:2", "a.com:99999", "[1]:80", "a.com/b"])
def test_what_is_no_host_either(origin: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid URL|is not an origin"):
        Browser(app, origin)
