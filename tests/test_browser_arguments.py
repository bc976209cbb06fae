"""Arguments of the wrong kind in the tests' browser: each error says what to write, and what it says to write works."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
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
    ],
)
def test_arguments_of_fetch(args: Any, options: Any, message: str) -> None:
    browser = Browser(app)
    with pytest.raises(TypeError) as caught:
        browser.fetch(URL, *args, **options)
    assert str(caught.value) == message
    assert browser.exchanges == []


COOKIES = "leave it out; the browser keeps the cookies that the app sets"
NOT_MODELLED = "leave it out; this browser does not model it"
FIELDS_ALONE = "a form has fields alone; for a script's request, write browser.fetch()"


@pytest.mark.parametrize(
    ("call", "name", "advice"),
    [
        ("fetch()", "withCredentials", "write credentials='include' for True, and leave it out for False"),
        ("fetch()", "with_credentials", "write credentials='include' for True, and leave it out for False"),
        ("fetch()", "onUploadProgress", "write upload_listener=True"),
        ("fetch()", "data", "write body=... for bytes and text, or json=..."),
        ("fetch()", "files", "write browser.submit(url, {...}), or body=... with the form's Content-Type"),
        ("fetch()", "params", "write it in the URL"),
        ("fetch()", "auth", "write headers={'Authorization': ...}"),
        ("fetch()", "cookies", f"{COOKIES}, and credentials='include' sends them to other origins"),
        ("fetch()", "allow_redirects", "write redirect='follow' or redirect='manual'"),
        (
            "fetch()",
            "timeout",
            "write LiveTransport(..., timeout=30) for a live server; an app in this process has no limit",
        ),
        ("fetch()", "verify", "write LiveTransport(..., ca_file='ca.pem') to trust your own CA"),
        ("fetch()", "referrerPolicy", "write Browser(..., page=..., referrer_policy=...)"),
        ("fetch()", "origin", "write it in Browser(...)"),
        ("fetch()", "cache", NOT_MODELLED),
        ("fetch()", "keepalive", NOT_MODELLED),
        ("fetch()", "header", "write headers=..."),
        ("fetch()", "credential", "write credentials=..."),
        (
            "fetch()",
            "xyz",
            "it has method, headers, credentials, body, json, redirect, mode, upload_listener",
        ),
        ("submit()", "headers", FIELDS_ALONE),
        ("submit()", "json", FIELDS_ALONE),
        ("submit()", "credentials", "leave it out; a form sends cookies as SameSite says"),
        (
            "submit()",
            "files",
            "write data={'name': ('a.txt', b'...', 'text/plain')}, enctype='multipart/form-data'",
        ),
        ("submit()", "encoding", "it has data, method, enctype"),
        ("Browser()", "cookies", COOKIES),
        ("Browser()", "headers", "write it in each browser.fetch()"),
        ("Browser()", "base_url", "write page=... for the page's URL, and whole URLs in browser.fetch()"),
        ("Browser()", "referrerPolicy", "write referrer_policy=..."),
        (
            "Browser()",
            "timeout",
            "write transport=LiveTransport(...), which has the limits and the CA of a live server",
        ),
        ("Browser()", "max_age", "write max_age_limit=..."),
        ("LiveTransport()", "verify", "write ca_file='ca.pem' to trust your own CA"),
        ("LiveTransport()", "headers", "write it in each browser.fetch()"),
        ("LiveTransport()", "proxies", "it has ca_file, connect_timeout, timeout"),
    ],
)
def test_arguments_of_other_clients(call: str, name: str, advice: str) -> None:
    browser = Browser(app)
    calls: dict[str, Any] = {
        "fetch()": lambda **more: browser.fetch(URL, **more),
        "submit()": lambda **more: browser.submit(URL, **more),
        "Browser()": lambda **more: Browser(app, **more),
        "LiveTransport()": lambda **more: LiveTransport("https://a.com", **more),
    }
    with pytest.raises(TypeError) as caught:
        calls[call](**{name: "any"})
    assert str(caught.value) == f"{call} has no argument {name!r}; {advice}"
    assert browser.exchanges == []


@pytest.mark.parametrize("url", [None, b"https://a.com/"])
def test_a_url_that_is_no_string(url: Any) -> None:
    with pytest.raises(TypeError, match=f"^url: {re.escape(repr(url))} is not a string$"):
        Browser(app).fetch(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:5000/x", "localhost:5000/x is neither http: nor https:; write http://localhost:5000/x"),
        ("backend.com:80", "backend.com:80 is neither http: nor https:; write http://backend.com:80"),
        ("ftp://a.com/", "ftp://a.com/ is neither http: nor https:"),
        ("tel:123456", "tel:123456 is neither http: nor https:"),
        ("mailto:a@b.com", "mailto:a@b.com is neither http: nor https:"),
    ],
)
def test_a_url_without_scheme(url: str, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        Browser(app).fetch(url)
    assert str(caught.value) == f"url: {message}"


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
    ("kind", "name", "advice"),
    [
        ("Browser", "get", "; write browser.fetch(url)"),
        ("Browser", "put", "; write browser.fetch(url, method='PUT')"),
        ("Browser", "delete", "; write browser.fetch(url, method='DELETE')"),
        ("Browser", "options", "; write browser.fetch(...), which sends the preflight by itself if one is due"),
        ("Browser", "request", "; write browser.fetch(url, method='GET')"),
        ("Browser", "visit", "; write browser.submit(url, method='GET')"),
        ("Browser", "EventSource", "; write browser.fetch(url, headers={'Accept': 'text/event-stream'})"),
        ("Browser", "websocket", "; write browser.open_websocket(url)"),
        (
            "Browser",
            "sendBeacon",
            "; write browser.fetch(url, 'POST', credentials='include', body='...', mode='no-cors')",
        ),
        ("Browser", "cookies", "; write browser.exchanges[-1].request_headers.get('Cookie')"),
        ("Browser", "set_cookie", "; let the app do it, or build a new Browser"),
        ("Browser", "last_response", "; write browser.exchanges[-1]"),
        ("Browser", "xyz", ""),
        ("Response", "status_code", "; write response.status"),
        ("Response", "content", "; write response.data"),
        ("Response", "get_json", "; write response.json"),
        ("Response", "raise_for_status", "; write assert response.ok"),
        (
            "Response",
            "cookies",
            "; write browser.exchanges[-1].response_headers.getlist('Set-Cookie'); no script sees them",
        ),
        ("Response", "xyz", ""),
        ("Exchange", "headers", "; write exchange.request_headers or exchange.response_headers"),
        ("Exchange", "status_code", "; write exchange.status"),
        ("Exchange", "json", "; write json.loads(exchange.data)"),
        ("Exchange", "text", "; write exchange.data.decode()"),
        ("Exchange", "xyz", ""),
    ],
)
def test_attributes_of_other_clients(kind: str, name: str, advice: str) -> None:
    browser = Browser(app, "https://frontend.com")
    response = browser.fetch("/")
    objects = {"Browser": browser, "Response": response, "Exchange": browser.exchanges[-1]}
    with pytest.raises(AttributeError) as caught:
        getattr(objects[kind], name)
    assert str(caught.value) == f"{kind!r} object has no attribute {name!r}{advice}"
    assert (caught.value.name, caught.value.obj) == (name, objects[kind])
    assert not hasattr(objects[kind], name)


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
        pytest.param(
            {"app": LiveTransport("https://a.com")}, "is a transport; write Browser(transport=...)", id="as-the-app"
        ),
        pytest.param({"app": app, "origin": None}, "origin: None is not a string", id="no-origin"),
        pytest.param({"app": app, "page": None}, "page: None is not a string", id="no-page"),
        pytest.param(
            {"app": app, "max_age_limit": "600"}, "max_age_limit: '600' is not a number of seconds", id="text-as-limit"
        ),
        pytest.param({"app": app, "page": ["/"]}, "page: ['/'] is not a string", id="list-as-page"),
        pytest.param({"app": app, "page": None, "origin": "null"}, "page: None is not a string", id="no-page-of-null"),
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


@pytest.mark.parametrize("origin", ["*", "https://*", "https://*.frontend.com", "http://localhost:*"])
def test_a_pattern_is_not_an_origin(origin: str) -> None:
    message = f"^{re.escape(f'origin: {origin!r} is a pattern; write one origin, such as ')}'https://frontend.com'$"
    for make in (LiveTransport, lambda origin: Browser(app, origin), lambda origin: Browser({origin: app})):
        with pytest.raises(ValueError, match=message):
            make(origin)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        pytest.param("3", "'3' is not a number of seconds", id="text"),
        pytest.param(None, "None is not a number of seconds", id="none"),
        pytest.param(True, "True is not a number of seconds", id="bool"),
        pytest.param((3, 4), "(3, 4) is not a number of seconds", id="pair-of-requests"),
        pytest.param(
            timedelta(hours=1), "datetime.timedelta(seconds=3600) is not a number; write 3600.0", id="timedelta"
        ),
        pytest.param(timedelta(days=365), "datetime.timedelta(days=365) is not a number; write 31536000.0", id="year"),
    ],
)
def test_seconds_that_are_no_number(seconds: Any, message: str) -> None:
    calls: dict[str, Any] = {
        "seconds": Browser(app).advance,
        "timeout": lambda value: LiveTransport("https://a.com", timeout=value),
        "connect_timeout": lambda value: LiveTransport("https://a.com", connect_timeout=value),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError) as caught:
            call(seconds)
        assert str(caught.value) == f"{name}: {message}"


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        pytest.param(
            "text/html",
            b"<!doctype html>\n<title>400</title>",
            "Expecting value: line 1 column 1 (char 0); the body is not JSON "
            r"(status 400, text/html): <!doctype html>\n<title>400</title>",
            id="html",
        ),
        pytest.param(
            "",
            b"",
            "Expecting value: line 1 column 1 (char 0); the body is not JSON (status 400, no type): ",
            id="none",
        ),
        pytest.param(
            "text/x",
            b"\x1b" * 300,
            "Expecting value: line 1 column 1 (char 0); the body is not JSON (status 400, text/x): "
            + r"\x1b" * 200
            + "... (300 characters)",
            id="escaped-and-cut",
        ),
    ],
)
def test_a_body_that_is_not_json(content_type: str, body: bytes, message: str) -> None:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("400 Bad Request", [("Content-Type", content_type)] if content_type else [])
        return [body]

    response = Browser(answer, "https://frontend.com").fetch("/")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        response.json  # noqa: B018


@pytest.mark.parametrize("name", ["fetch", "submit", "open_websocket"])
@pytest.mark.parametrize(
    ("args", "options", "written"),
    [
        pytest.param((URL,), {}, f"({URL!r})", id="positional"),
        pytest.param((URL, "PUT"), {}, f"({URL!r})", id="two positional"),
        pytest.param((), {"url": URL}, "(...)", id="keyword"),
    ],
)
def test_a_call_on_the_fixture_itself(
    name: str, args: tuple[str, ...], options: dict[str, str], written: str, preflight_browser: Any
) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(preflight_browser, name)(*args, **options)
    call = f"{name}{written}"
    assert str(caught.value) == (
        f"the browser is missing: write Browser(app).{call}, or preflight_browser(app).{call} with the fixture"
    )
