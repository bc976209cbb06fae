"""The browser for tests: the standard's tables, what three engines did, and hostile servers."""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cases import MEASURED, Case, run_in_model, summary
from test_links import anchors
from werkzeug.datastructures import Headers

from flask_preflight import Policy, PreflightMiddleware, Reason, __version__, fetch
from flask_preflight.browser import Browser, CORSError, Exchange, Step
from flask_preflight.documentation import link

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROOT = Path(__file__).parent.parent
PAGE = "https://frontend.com"
API = "https://backend.com"
ORIGINS = {"A": "http://127.0.0.1:8001", "B": "http://127.0.0.1:8002", "C": "http://localhost:8002"}

Lines = Iterable[tuple[str, str]]


def answering(
    actual: Lines = (), preflight: Lines = (), *, status: str = "200 OK", body: bytes = b"ok"
) -> WSGIApplication:
    """An app that says the same to everyone."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        if "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            start_response("204 No Content", list(preflight))
            return []
        start_response(status, list(actual))
        return [body]

    return app


def failure(app: Any, *args: Any, origin: str = PAGE, **kwargs: Any) -> CORSError:
    with pytest.raises(CORSError) as caught:
        Browser(app, origin).fetch(*args, **kwargs)
    return caught.value


def paths(browser: Browser) -> list[str]:
    return [f"{exchange.method} {exchange.url}" for exchange in browser.exchanges]


ALLOW = ("Access-Control-Allow-Origin", PAGE)
CREDENTIALS = ("Access-Control-Allow-Credentials", "true")
METADATA = [("Sec-Fetch-Dest", "empty"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "cross-site")]
USER_AGENT = ("User-Agent", f"flask-preflight/{__version__}")


# --- what the engines did -------------------------------------------------------------


@pytest.mark.parametrize("case", MEASURED, ids=lambda case: case.id)
def test_does_what_three_engines_did(case: Case) -> None:
    assert [summary(outcome) for outcome in run_in_model(case, ORIGINS)] == list(case.expected)


# --- the standard's tables ------------------------------------------------------------


# https://fetch.spec.whatwg.org/#cors-protocol-and-credentials
@pytest.mark.parametrize(
    ("credentials", "allow_origin", "allow_credentials", "step"),
    [
        pytest.param("omit", "*", None, None, id="omit-star"),
        pytest.param("omit", "*", "true", None, id="omit-star-true"),
        pytest.param("omit", "https://rabbit.invalid/", None, Step.ALLOW_ORIGIN_MISMATCH, id="omit-trailing-slash"),
        pytest.param("omit", "https://rabbit.invalid", None, None, id="omit-exact"),
        pytest.param("include", "*", "true", Step.ALLOW_ORIGIN_WILDCARD, id="include-star-true"),
        pytest.param("include", "https://rabbit.invalid", "true", None, id="include-exact-true"),
        pytest.param("include", "https://rabbit.invalid", "True", Step.ALLOW_CREDENTIALS, id="include-exact-True"),
    ],
)
def test_table_of_cors_protocol_and_credentials(
    credentials: Any, allow_origin: str, allow_credentials: str | None, step: Step | None
) -> None:
    lines = [("Access-Control-Allow-Origin", allow_origin)]
    if allow_credentials:
        lines.append(("Access-Control-Allow-Credentials", allow_credentials))
    browser = Browser(answering(lines), "https://rabbit.invalid")
    if step is None:
        assert browser.fetch(f"{API}/", credentials=credentials).text == "ok"
    else:
        with pytest.raises(CORSError) as caught:
            browser.fetch(f"{API}/", credentials=credentials)
        assert caught.value.step is step


# https://fetch.spec.whatwg.org/#concept-header-list-get-decode-split
@pytest.mark.parametrize(
    ("value", "elements"),
    [
        pytest.param("nosniff,", ["nosniff", ""], id="comma at the end"),
        pytest.param("", [""], id="empty"),
        pytest.param('text/html;", x/x', ['text/html;", x/x'], id="open quote"),
        pytest.param('x/x;test="hi",y/y', ['x/x;test="hi"', "y/y"], id="quotes within"),
        pytest.param("x / x,,,1", ["x / x", "", "", "1"], id="empty elements"),
        pytest.param('"1,2", 3', ['"1,2"', "3"], id="quoted comma"),
        pytest.param('"a\\",b",c', ['"a\\",b"', "c"], id="escaped quote"),
        pytest.param('"a\\', ['"a\\'], id="backslash at the end"),
    ],
)
def test_splits_outside_quotes(value: str, elements: list[str]) -> None:
    assert fetch.split_outside_quotes(value) == elements


# https://fetch.spec.whatwg.org/#extract-header-list-values by the ABNF of
# https://fetch.spec.whatwg.org/#http-new-header-syntax
@pytest.mark.parametrize(
    ("lines", "step"),
    [
        pytest.param(["X-A"], None, id="one"),
        pytest.param(["x-a"], None, id="other case"),
        pytest.param(["X-B, X-A"], None, id="list"),
        pytest.param(["X-B", "X-A"], None, id="two lines"),
        pytest.param([",, \tX-A\t ,"], None, id="empty elements and tabs"),
        pytest.param(["*"], None, id="star"),
        pytest.param([], Step.ALLOW_HEADERS, id="absent"),
        pytest.param([""], Step.ALLOW_HEADERS, id="empty"),
        pytest.param(["X-B"], Step.ALLOW_HEADERS, id="another"),
        pytest.param(["X-A X-B"], Step.ALLOW_HEADERS_INVALID, id="spaces"),
        pytest.param(["X-A;X-B"], Step.ALLOW_HEADERS_INVALID, id="semicolons"),
        pytest.param(['"X-A"'], Step.ALLOW_HEADERS_INVALID, id="quotes"),
        pytest.param(["X-A", "b@d"], Step.ALLOW_HEADERS_INVALID, id="bad token on another line"),
        pytest.param(["X-A", "\xe9"], Step.ALLOW_HEADERS_INVALID, id="not ASCII"),
    ],
)
def test_extracts_header_names(lines: list[str], step: Step | None) -> None:
    app = answering([ALLOW], [ALLOW, *(("Access-Control-Allow-Headers", line) for line in lines)])
    if step is None:
        assert Browser(app).fetch(f"{API}/", headers={"X-A": "1"}).ok
    else:
        assert failure(app, f"{API}/", headers={"X-A": "1"}).step is step


@pytest.mark.parametrize("value", ["PUT GET", "PUT, (GET)", "P\xdcT"])
def test_one_bad_method_spoils_the_header(value: str) -> None:
    app = answering([ALLOW], [ALLOW, ("Access-Control-Allow-Methods", value)])
    assert failure(app, f"{API}/", "PUT").step is Step.ALLOW_METHODS_INVALID


# https://fetch.spec.whatwg.org/#cors-safelisted-request-header
SAFELISTING = [
    ("accept", "Accept", "text/html, */*;q=0.8", True),
    ("accept-unsafe-byte", "Accept", "a(b", False),
    ("accept-tab", "Accept", "a\tb", True),
    ("accept-control", "Accept", "a\x01b", False),
    ("accept-del", "Accept", "a\x7f", False),
    ("accept-not-ascii", "Accept", "\xe9", True),
    ("accept-128", "Accept", "a" * 128, True),
    ("accept-129", "Accept", "a" * 129, False),
    ("accept-language", "Accept-Language", "de-CH, de;q=0.9, *;q=0.5", True),
    ("accept-language-underscore", "Accept-Language", "de_CH", False),
    ("content-language", "Content-Language", "de, en", True),
    ("content-language-slash", "Content-Language", "de/en", False),
    ("content-type-form", "Content-Type", "application/x-www-form-urlencoded", True),
    ("content-type-multipart", "Content-Type", "multipart/form-data; boundary=x", True),
    ("content-type-text", "Content-Type", "Text/Plain ;charset=utf-8", True),
    ("content-type-json", "Content-Type", "application/json", False),
    ("content-type-quotes", "Content-Type", 'text/plain; charset="utf-8"', False),
    ("content-type-two", "Content-Type", "text/plain, application/json", False),
    ("content-type-no-subtype", "Content-Type", "text", False),
    ("content-type-empty", "Content-Type", "", False),
    ("content-type-space", "Content-Type", "text /plain", False),
    ("range", "Range", "bytes=0-99", True),
    ("range-open", "Range", "bytes=5-", True),
    ("range-suffix", "Range", "bytes=-5", False),
    ("range-backwards", "Range", "bytes=9-5", False),
    ("range-two", "Range", "bytes=0-1,5-6", False),
    ("range-space", "Range", "bytes= 0-1", False),
    ("range-unit", "Range", "lines=0-1", False),
    ("other", "X-A", "1", False),
    ("authorization", "Authorization", "Basic eA==", False),
]


@pytest.mark.parametrize(("name", "value", "safe"), [pytest.param(*row, id=name) for name, *row in SAFELISTING])
def test_a_value_decides_whether_a_header_is_safelisted(name: str, value: str, safe: bool) -> None:
    browser = Browser(answering([ALLOW], [ALLOW, ("Access-Control-Allow-Headers", f"{name}")]))
    browser.fetch(f"{API}/", headers={name: value})
    assert [exchange.preflight for exchange in browser.exchanges] == ([False] if safe else [True, False])


@pytest.mark.parametrize(
    ("length", "asked"),
    [
        # Eight values of 128 are 1024. "*/*" in Accept counts too: fetch() adds it before anything is measured.
        pytest.param(125, None, id="1024"),
        pytest.param(126, "accept,accept-language,content-language,content-type,range", id="1025"),
    ],
)
def test_safelisted_values_may_have_1024_bytes_in_all(length: int, asked: str | None) -> None:
    headers = [("Content-Language", "a" * 128)] * 3 + [("Accept-Language", "a" * 128)] * 3
    headers += [
        ("Content-Type", "text/plain;" + "x" * (128 - 11 - 9)),
        ("Range", "bytes=0-1"),
        ("Accept-Language", "a" * length),
    ]
    browser = Browser(answering([ALLOW], [ALLOW, ("Access-Control-Allow-Headers", "*")]))
    browser.fetch(f"{API}/", headers=headers)
    first = browser.exchanges[0]
    assert first.request_headers.get("Access-Control-Request-Headers") == asked
    assert first.preflight is (asked is not None)


# --- requests -------------------------------------------------------------------------


def test_sends_the_preflight_byte_for_byte_as_engines_do() -> None:
    names = ("X-B", "x-a", "Content-Type", "Zeta", "X_Under", "AUTHORIZATION", "x-1")
    grant = [ALLOW, ("Access-Control-Allow-Methods", "PUT"), ("Access-Control-Allow-Headers", ",".join(names))]
    browser = Browser(answering([ALLOW], grant))
    browser.fetch(f"{API}/a?b=c#d", "put", dict.fromkeys(names, "1"), body="text")
    preflight, actual = browser.exchanges
    assert preflight == Exchange(
        preflight=True,
        method="OPTIONS",
        url=f"{API}/a?b=c",
        request_headers=Headers(
            [
                ("Accept", "*/*"),
                ("Access-Control-Request-Method", "PUT"),
                ("Access-Control-Request-Headers", "authorization,content-type,x-1,x-a,x-b,x_under,zeta"),
                ("Referer", f"{PAGE}/"),
                ("Origin", PAGE),
                *METADATA,
                USER_AGENT,
            ]
        ),
        status=204,
        response_headers=Headers(grant),
    )
    assert (actual.preflight, actual.method, actual.url, actual.status) == (False, "PUT", f"{API}/a?b=c", 200)
    assert list(actual.request_headers) == [
        *dict.fromkeys(names, "1").items(),
        ("Accept", "*/*"),
        ("Referer", f"{PAGE}/"),
        ("Origin", PAGE),
        *METADATA,
        USER_AGENT,
    ]


@pytest.mark.parametrize(
    ("sent", "method", "asked"),
    [
        pytest.param("get", "GET", None, id="get"),
        pytest.param("post", "POST", None, id="post"),
        pytest.param("put", "PUT", "PUT", id="put"),
        pytest.param("delete", "DELETE", "DELETE", id="delete"),
        pytest.param("patch", "patch", "patch", id="patch stays"),
        pytest.param("CHICKEN", "CHICKEN", "CHICKEN", id="any token"),
    ],
)
def test_methods(sent: str, method: str, asked: str | None) -> None:
    browser = Browser(answering([ALLOW], [ALLOW, ("Access-Control-Allow-Methods", "*")]))
    browser.fetch(f"{API}/", sent)
    assert browser.exchanges[-1].method == method
    assert browser.exchanges[0].request_headers.get("Access-Control-Request-Method") == asked


@pytest.mark.parametrize(
    ("arguments", "content_type", "data"),
    [
        pytest.param({"body": b"\xff"}, None, b"\xff", id="bytes"),
        pytest.param({"body": "é"}, "text/plain;charset=UTF-8", "é".encode(), id="text"),
        pytest.param({"body": "\ud800"}, "text/plain;charset=UTF-8", b"\xef\xbf\xbd", id="lone surrogate"),
        pytest.param({"json": {"a": None}}, "application/json", b'{"a": null}', id="json"),
        pytest.param({"json": 0}, "application/json", b"0", id="falsy json"),
        pytest.param({"body": "a=b", "headers": {"content-type": "x/y"}}, "x/y", b"a=b", id="own type"),
        pytest.param({}, None, b"", id="none"),
    ],
)
def test_bodies(arguments: dict[str, Any], content_type: str | None, data: bytes) -> None:
    seen: list[tuple[Any, ...]] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        body = environ["wsgi.input"].read()
        seen.append((environ.get("CONTENT_TYPE"), environ.get("CONTENT_LENGTH"), body))
        start_response("200 OK", [])
        return []

    Browser(app, API).fetch("/", "POST", **arguments)
    assert seen == [(content_type, str(len(data)), data)]


def test_what_the_app_is_told() -> None:
    seen: dict[str, Any] = {}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [ALLOW])
        return []

    headers = [("X-A", "1"), ("x-a", "2"), ("Range", "bytes=0-1"), ("Content_Type", "x/y")]
    Browser(app, "https://[::1]:8443").fetch("/a%20b/é?q=é#f", headers=headers)
    told = {key: value for key, value in seen.items() if not key.startswith("wsgi.")}
    assert told == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/Ã©",
        "QUERY_STRING": "q=%C3%A9",
        "REQUEST_URI": "/a%20b/%C3%A9?q=%C3%A9",
        "RAW_URI": "/a%20b/%C3%A9?q=%C3%A9",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "[::1]",
        "SERVER_PORT": "8443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "[::1]:8443",
        "HTTP_X_A": "1, 2",
        "HTTP_RANGE": "bytes=0-1",
        "HTTP_CONTENT_TYPE": "x/y",
        "HTTP_ACCEPT": "*/*",
        "HTTP_REFERER": "https://[::1]:8443/",
        "HTTP_SEC_FETCH_DEST": "empty",
        "HTTP_SEC_FETCH_MODE": "cors",
        "HTTP_SEC_FETCH_SITE": "same-origin",
        "HTTP_USER_AGENT": USER_AGENT[1],
        "flask_preflight.refusals": [],
    }


@pytest.mark.parametrize(
    ("name", "value", "dropped"),
    [
        ("Cookie", "a=b", True),
        ("Origin", "https://other.com", True),
        ("Sec-Secret", "1", True),
        ("Proxy-Authorization", "x", True),
        ("Access-Control-Request-Method", "GET", True),
        ("X-HTTP-Method-Override", "trace", True),
        ("X-HTTP-Method-Override", 'PUT, "CONNECT", Track', True),
        ("X-HTTP-Method-Override", "DELETE", False),
        ("X-Proxy-A", "1", False),
    ],
)
def test_forbidden_headers_are_dropped_in_silence(name: str, value: str, dropped: bool) -> None:
    browser = Browser(answering(), API)
    browser.fetch("/", headers={name: value})
    assert (name not in browser.exchanges[0].request_headers) is dropped


@pytest.mark.parametrize(
    ("origin", "url", "method", "sent"),
    [
        pytest.param(API, "/", "GET", None, id="same origin GET"),
        pytest.param(API, "/", "HEAD", None, id="same origin HEAD"),
        pytest.param(API, "/", "PUT", API, id="same origin PUT"),
        pytest.param(PAGE, f"{API}/", "GET", PAGE, id="other origin"),
        pytest.param("null", f"{API}/", "GET", "null", id="sandboxed frame"),
        pytest.param("capacitor://localhost", f"{API}/", "GET", "capacitor://localhost", id="app shell"),
        pytest.param(PAGE, f"{PAGE}:443/", "GET", None, id="default port"),
        pytest.param(PAGE, "HTTPS://FRONTEND.com/", "GET", None, id="upper case"),
        pytest.param(PAGE, " https:/\\/front\nend.com/", "GET", None, id="odd slashes and white space"),
    ],
)
def test_origin_header(origin: str, url: str, method: str, sent: str | None) -> None:
    browser = Browser(answering([("Access-Control-Allow-Origin", "*")]), origin)
    browser.fetch(url, method)
    assert browser.exchanges[0].request_headers.get("Origin") == sent
    assert browser.exchanges[0].preflight is False


@pytest.mark.parametrize(
    ("origin", "url", "referer"),
    [
        pytest.param(PAGE, f"{API}/", f"{PAGE}/", id="https"),
        pytest.param(PAGE, "http://localhost/", None, id="downgrade"),
        pytest.param("null", f"{API}/", None, id="sandboxed frame"),
    ],
)
def test_referer(origin: str, url: str, referer: str | None) -> None:
    browser = Browser(answering([("Access-Control-Allow-Origin", "*")]), origin)
    browser.fetch(url)
    assert browser.exchanges[0].request_headers.get("Referer") == referer


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (("https://[::1/",), {}, "url: https://[::1/ is not a valid URL: its host '[::1' is not valid"),
        (("https://a b/",), {}, "url: https://a b/ is not a valid URL: its host 'a b' is not valid"),
        (("https://",), {}, "url: https:// is not a valid URL: it has no host"),
        (
            ("https://a:99999/",),
            {},
            "url: https://a:99999/ is not a valid URL: its port '99999' is not a number from 0 to 65535",
        ),
        (("ftp://a/",), {}, "url: ftp://a/ is neither http: nor https:"),
        (("https://u:p@a/",), {}, "url: https://u:p@a/ includes a user name or a password"),
        (("https://a/", "G ET"), {}, "method: G ET is not a method that a script may send"),
        (("https://a/", "trace"), {}, "method: trace is not a method that a script may send"),
        (("https://a/", "GET", {"X A": "1"}), {}, "headers: X A: 1 is not a header"),
        (("https://a/", "GET", {"X-A": "1\r\nX-B: 2"}), {}, "headers: X-A: 1\\r\\nX-B: 2 is not a header"),
        (("https://a/", "GET", {"X-A": "\u20ac"}), {}, "headers: X-A: \\u20ac is not a header"),
        (("https://a/",), {"credentials": "yes"}, "credentials: 'yes' is not one of 'omit', 'same-origin', 'include'"),
        (("https://a/",), {"mode": "navigate"}, "mode: 'navigate' is not one of 'cors', 'no-cors', 'same-origin'"),
        (("https://a/",), {"redirect": "no"}, "redirect: 'no' is not one of 'follow', 'error', 'manual'"),
        (("https://a/",), {"body": "x"}, "body: GET cannot have one"),
        (("https://a/", "head"), {"json": 1}, "body: HEAD cannot have one"),
        (("https://a/", "POST"), {"json": 1, "body": "x"}, "give either body or json"),
    ],
)
def test_what_fetch_refuses_before_anything_is_sent(args: Any, kwargs: Any, message: str) -> None:
    browser = Browser(answering())
    with pytest.raises(TypeError) as caught:
        browser.fetch(*args, **kwargs)
    assert str(caught.value) == message
    assert browser.exchanges == []


def test_a_sandboxed_frame_has_no_base_for_relative_urls() -> None:
    with pytest.raises(TypeError, match=r"^url: /a is not a valid URL: it has no scheme"):
        Browser(answering(), "null").fetch("/a")


@pytest.mark.parametrize(
    ("origin", "better"),
    [
        ("https://frontend.com/", "https://frontend.com"),
        ("https://FRONTEND.com", "https://frontend.com"),
        ("https://frontend.com:443", "https://frontend.com"),
        ("https://b\xfccher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_must_be_written_as_browsers_do(origin: str, better: str) -> None:
    with pytest.raises(ValueError, match=f"write '{better}'"):
        Browser(answering(), origin)
    with pytest.raises(ValueError, match=f"write '{better}'"):
        Browser({origin: answering()})


@pytest.mark.parametrize(
    "origin",
    ["app://.", "app://", "package://", "moz-extension://6c2a", "capacitor://localhost", "app://[::1:0:0]:8080"],
)
def test_pages_of_other_schemes_have_origins_too(origin: str) -> None:
    browser = Browser(answering([("Access-Control-Allow-Origin", origin)]), origin)
    assert browser.fetch(f"{API}/").type == "cors"
    assert browser.exchanges[0].request_headers["Origin"] == origin


@pytest.mark.parametrize("origin", ["file:///index.html", "app://MyApp", "app://a/", "about:blank"])
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(
        ValueError, match=f"^origin: '{origin}' is not an origin; write 'null', or a scheme and a host in"
    ):
        Browser(answering(), origin)


# --- responses ------------------------------------------------------------------------

SECRETS = [("Set-Cookie", "a=b"), ("ETag", "1"), ("X-Total", "1"), ("X-Total", "2"), ("Pragma", "x")]


@pytest.mark.parametrize(
    ("url", "expose", "credentials", "read"),
    [
        pytest.param("/", [], "omit", {"ETag": "1", "X-Total": "1, 2", "Pragma": "x"}, id="same origin"),
        pytest.param(f"{API}/", [], "omit", {"Pragma": "x"}, id="nothing exposed"),
        pytest.param(f"{API}/", ["x-total"], "omit", {"X-Total": "1, 2", "Pragma": "x"}, id="named"),
        pytest.param(
            f"{API}/", ["etag", "X-Total"], "include", {"ETag": "1", "X-Total": "1, 2", "Pragma": "x"}, id="two lines"
        ),
        pytest.param(f"{API}/", ["*"], "omit", {"ETag": "1", "X-Total": "1, 2", "Pragma": "x"}, id="star"),
        pytest.param(f"{API}/", ["*"], "include", {"Pragma": "x"}, id="star with credentials"),
        pytest.param(f"{API}/", ["set-cookie"], "omit", {"Pragma": "x"}, id="set-cookie never"),
        pytest.param(f"{API}/", ["etag x-total"], "omit", {"Pragma": "x"}, id="no list"),
    ],
)
def test_headers_that_a_script_may_read(url: str, expose: list[str], credentials: Any, read: dict[str, str]) -> None:
    lines = [("Access-Control-Expose-Headers", line) for line in expose]
    response = Browser(answering([ALLOW, CREDENTIALS, *SECRETS, *lines])).fetch(url, credentials=credentials)
    cors = {name for name, _ in response.headers if name.lower().startswith("access-control-")}
    assert {name: value for name, value in response.headers if name not in cors} == read


@pytest.mark.parametrize(
    ("url", "name", "says"),
    [
        pytest.param(
            f"{API}/",
            "x-total",
            "x-total: a script may not read it, unless the response names it in Access-Control-Expose-Headers",
            id="not exposed",
        ),
        pytest.param(
            f"{API}/", "X-Count", "X-Count: the response has no such header; a script may read Pragma", id="not sent"
        ),
        pytest.param(
            "/",
            "X-Count",
            "X-Count: the response has no such header; a script may read ETag, X-Total, Pragma",
            id="same origin",
        ),
        pytest.param("/", "set-cookie", "set-cookie: no script may read this header", id="cookie"),
    ],
)
def test_headers_that_a_script_may_not_read(url: str, name: str, says: str) -> None:
    app = answering([("Access-Control-Allow-Origin", "*"), *SECRETS])
    headers = Browser(app).fetch(url).headers
    headers.remove("Access-Control-Allow-Origin")
    with pytest.raises(KeyError) as caught:
        _ = headers[name]
    assert caught.value.args == (says,)
    assert headers.get(name) is None


def test_readable_headers_are_headers() -> None:
    headers = Browser(answering([("X-A", "1")]), API).fetch("/").headers
    same, other = Headers([("x-a", "1")]), Headers([("X-A", "2")])
    for copied in (headers, copy.copy(headers), pickle.loads(pickle.dumps(headers))):
        assert [copied == same, same == copied, copied == headers] == [True] * 3
        assert [copied == other, other == copied, copied == [("X-A", "1")]] == [False] * 3
        assert (copied["x-a"], copied[0], [*copied[:1]]) == ("1", ("X-A", "1"), [("X-A", "1")])
    with pytest.raises(KeyError, match="X-B: the response has no such header; a script may read X-A"):
        _ = headers["X-B"]
    with pytest.raises(KeyError, match="X-B: the response has no such header; a script may read none"):
        _ = Browser(answering(), API).fetch("/", redirect="manual").headers["X-B"]


def test_a_response() -> None:
    response = Browser(answering([ALLOW], status="418 I'm a teapot", body=b'\xef\xbb\xbf{"a": 1}')).fetch(f"{API}/a#b")
    assert (response.status, response.ok, response.type) == (418, False, "cors")
    assert (response.url, response.redirected) == (f"{API}/a", False)
    assert (response.text, response.json) == ('{"a": 1}', {"a": 1})
    assert Browser(answering(), API).fetch("/").type == "basic"


def test_json_that_is_none() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        _ = Browser(answering(), API).fetch("/").json


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No"), ("GET", "205 No"), ("GET", "304 No")]
)
def test_no_body_where_http_has_none(method: str, status: str) -> None:
    assert Browser(answering(status=status), API).fetch("/", method).data == b""


# --- credentials and cookies ----------------------------------------------------------


def cookie_app(set_cookie: str) -> tuple[WSGIApplication, list[str | None]]:
    seen: list[str | None] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        seen.append(environ.get("HTTP_COOKIE"))
        granted = [ALLOW, CREDENTIALS, ("Access-Control-Allow-Methods", "PUT")]
        start_response("200 OK", [*granted, ("Set-Cookie", set_cookie)])
        return []

    return app, seen


@pytest.mark.parametrize(
    ("url", "credentials", "seen"),
    [
        pytest.param(f"{API}/", "include", [None, "a=b", None, "a=b"], id="other origin include"),
        pytest.param(f"{API}/", "same-origin", [None, None, None, None], id="other origin same-origin"),
        pytest.param(f"{API}/", "omit", [None, None, None, None], id="other origin omit"),
        pytest.param("/", "include", [None, "a=b", "a=b"], id="same origin include"),
        pytest.param("/", "same-origin", [None, "a=b", "a=b"], id="same origin same-origin"),
        pytest.param("/", "omit", [None, None, None], id="same origin omit"),
    ],
)
def test_cookies_by_credentials_and_never_on_preflights(url: str, credentials: Any, seen: list[str | None]) -> None:
    app, cookies = cookie_app("a=b; SameSite=None; Secure")
    browser = Browser(app)
    for method in ("GET", "GET", "PUT"):
        browser.fetch(url, method, credentials=credentials)
    assert cookies == seen


# --- the preflight cache --------------------------------------------------------------


def caching(*lines: tuple[str, str], limit: int | None = None, **grant: str) -> Browser:
    granted = [ALLOW, CREDENTIALS, *((f"Access-Control-Allow-{name}", value) for name, value in grant.items()), *lines]
    return Browser(answering([ALLOW, CREDENTIALS], granted), max_age_limit=limit)


def preflights(browser: Browser) -> int:
    return sum(exchange.preflight for exchange in browser.exchanges)


@pytest.mark.parametrize(
    ("max_age", "seconds"),
    [
        pytest.param(["600"], 600, id="600"),
        pytest.param([], 5, id="absent"),
        pytest.param(["0"], 0, id="0"),
        pytest.param(["007"], 7, id="leading zeros"),
        pytest.param(["-1"], 5, id="negative is no delta-seconds"),
        pytest.param(["abc"], 5, id="junk"),
        pytest.param(["1.5"], 5, id="fraction"),
        pytest.param(["\xb2"], 5, id="not ASCII"),
        pytest.param(["600, 700"], 5, id="list"),
        pytest.param(["600", "700"], 5, id="two lines"),
        pytest.param([""], 5, id="empty"),
        pytest.param(["9" * 5000], 2**31, id="huge"),
    ],
)
def test_how_long_a_preflight_is_kept(max_age: list[str], seconds: int) -> None:
    browser = caching(*(("Access-Control-Max-Age", value) for value in max_age), Methods="PUT")
    browser.fetch(f"{API}/", "PUT")
    if seconds:
        browser.advance(seconds - 1)
        browser.fetch(f"{API}/", "PUT")
        assert preflights(browser) == 1
        browser.advance(1)
    browser.fetch(f"{API}/", "PUT")
    assert preflights(browser) == 2


def test_an_engine_may_keep_it_less_long() -> None:
    browser = caching(("Access-Control-Max-Age", "86400"), Methods="PUT", limit=600)
    browser.fetch(f"{API}/", "PUT")
    browser.advance(600)
    browser.fetch(f"{API}/", "PUT")
    assert preflights(browser) == 2


@pytest.mark.parametrize(
    ("first", "second", "again"),
    [
        pytest.param({"method": "PUT"}, {"method": "PUT"}, False, id="same"),
        pytest.param({"method": "PUT"}, {"method": "DELETE"}, False, id="another method that was named"),
        pytest.param(
            {"method": "PUT"}, {"method": "PUT", "headers": {"x-a": "1"}}, False, id="a header that was named"
        ),
        pytest.param({"headers": {"X-A": "1"}}, {"headers": {"x-A": "2"}}, False, id="header names have no case"),
        pytest.param({"method": "PUT"}, {"method": "PUT", "url": f"{API}/other"}, True, id="another URL"),
        pytest.param({"method": "PUT"}, {"method": "PUT", "url": f"{API}/?a"}, True, id="another query"),
        pytest.param({"method": "PUT"}, {"method": "PUT", "url": f"{API}/#a"}, True, id="another fragment"),
        pytest.param({"method": "PUT"}, {"method": "PUT", "credentials": "include"}, True, id="then with credentials"),
        pytest.param({"method": "PUT", "credentials": "include"}, {"method": "PUT"}, False, id="then without"),
        pytest.param({"method": "PUT"}, {"method": "PUT", "credentials": "omit"}, False, id="omit is same-origin"),
    ],
)
def test_what_a_cached_preflight_covers(first: dict[str, Any], second: dict[str, Any], again: bool) -> None:
    browser = caching(Methods="PUT, DELETE", Headers="X-A")
    browser.fetch(**{"url": f"{API}/", **first})
    browser.fetch(**{"url": f"{API}/", **second})
    assert preflights(browser) == (2 if again else 1)


def test_star_covers_in_the_cache_what_it_covers_in_the_answer() -> None:
    browser = caching(Methods="*", Headers="*")
    browser.fetch(f"{API}/", "PUT", {"X-A": "1"})
    browser.fetch(f"{API}/", "DELETE", {"X-B": "1"})
    assert preflights(browser) == 1
    with pytest.raises(CORSError):
        browser.fetch(f"{API}/", "DELETE", {"Authorization": "x"})
    assert preflights(browser) == 2


def test_a_failure_clears_what_is_cached_for_the_url() -> None:
    granted = [ALLOW, ("Access-Control-Allow-Methods", "PUT")]
    broken = {f"{API}/a": False}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        url = API + environ["PATH_INFO"]
        start_response("200 OK", [] if broken.get(url) else granted)
        return []

    browser = Browser(app)
    browser.fetch(f"{API}/a", "PUT")
    browser.fetch(f"{API}/b", "PUT")
    broken[f"{API}/a"] = True
    with pytest.raises(CORSError):
        browser.fetch(f"{API}/a", "PUT")
    broken.clear()
    browser.fetch(f"{API}/a", "PUT")
    browser.fetch(f"{API}/b", "PUT")
    assert [url for url in paths(browser) if "OPTIONS" in url] == [f"OPTIONS {API}/{path}" for path in "aba"]


@pytest.mark.slow
def test_the_cache_is_bounded() -> None:
    names = ["".join(letters) for letters in itertools.product("abcdefghijklmnopqrstuvwxyz012345678", repeat=3)]
    browser = caching(Methods="PUT", Headers=",".join(names))
    for path in ("first", "second", "first"):
        browser.fetch(f"{API}/{path}", "PUT")
    assert preflights(browser) == 2 + 1


def test_a_renewed_entry_counts_from_when_it_was_stored() -> None:
    answers = {"seconds": "10"}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        named = [("Access-Control-Allow-Methods", "PUT"), ("Access-Control-Allow-Headers", answers.get("header", ""))]
        start_response("200 OK", [ALLOW, *named, ("Access-Control-Max-Age", answers["seconds"])])
        return []

    browser = Browser(app)
    browser.fetch(f"{API}/", "PUT")
    browser.advance(8)
    answers.update(header="X-A", seconds="20")
    browser.fetch(f"{API}/", "PUT", {"X-A": "1"})
    browser.advance(11)
    browser.fetch(f"{API}/", "PUT")
    assert preflights(browser) == 2
    browser.advance(1)
    browser.fetch(f"{API}/", "PUT")
    assert preflights(browser) == 3


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_time_goes_forward(seconds: float) -> None:
    with pytest.raises(ValueError, match="time goes forward only"):
        Browser(answering()).advance(seconds)


# --- redirects ------------------------------------------------------------------------


def redirecting(hops: Mapping[str, tuple[int, Lines]], last: Lines = ()) -> WSGIApplication:
    """An app that redirects by URL; all other URLs answer with *last*."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        url = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{environ['PATH_INFO']}"
        if "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ:
            star = ("Access-Control-Allow-Headers", "authorization, content-type, x-a")
            start_response("204 No", [("Access-Control-Allow-Origin", environ["HTTP_ORIGIN"]), star])
            return []
        status, headers = hops.get(url, (200, last))
        start_response(f"{status} Said", list(headers))
        return [environ["wsgi.input"].read()]

    return app


STAR = ("Access-Control-Allow-Origin", "*")


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (302, "GET", "GET"),
        (303, "HEAD", "HEAD"),
    ],
)
def test_the_method_after_a_redirect(status: int, method: str, then: str) -> None:
    browser = Browser(redirecting({f"{API}/a": (status, [("Location", "/b")])}), API)
    body = "x" if method == "POST" else None
    response = browser.fetch("/a", method, {"X-A": "1", "Content-Language": "de"}, body=body)
    assert paths(browser) == [f"{method} {API}/a", f"{then} {API}/b"]
    kept = [name for name, _ in browser.exchanges[1].request_headers if name.startswith(("X-", "Content-"))]
    assert kept == (["X-A"] if then != method else ["X-A", "Content-Language", *(["Content-Type"] if body else [])])
    assert response.data == (b"x" if then == "POST" else b"")
    assert (response.redirected, response.url) == (True, f"{API}/b")


OTHER = "https://other.com"


@pytest.mark.parametrize(
    ("start", "goal", "origins"),
    [
        pytest.param(f"{PAGE}/", f"{PAGE}/b", [None, None], id="home to home"),
        pytest.param(f"{PAGE}/", f"{API}/b", [None, PAGE], id="home to abroad"),
        pytest.param(f"{API}/", f"{API}/b", [PAGE, PAGE], id="abroad to the same"),
        pytest.param(f"{API}/", f"{OTHER}/b", [PAGE, "null"], id="abroad to another"),
        pytest.param(f"{API}/", f"{PAGE}/b", [PAGE, "null"], id="abroad to home"),
        pytest.param(f"{API}/", "https://www.backend.com/b", [PAGE, "null"], id="abroad to the same site"),
    ],
)
def test_origin_after_a_redirect(start: str, goal: str, origins: list[str | None]) -> None:
    browser = Browser(redirecting({start: (302, [STAR, ("Location", goal)])}, [STAR]))
    response = browser.fetch(start)
    assert [exchange.request_headers.get("Origin") for exchange in browser.exchanges] == origins
    assert response.type == ("basic" if origins[1] is None else "cors")


def test_authorization_goes_no_further_than_the_first_origin() -> None:
    hops = {f"{API}/": (302, [STAR, ("Location", "/b")]), f"{API}/b": (302, [STAR, ("Location", f"{OTHER}/c")])}
    browser = Browser(redirecting(hops, [STAR]))
    browser.fetch(f"{API}/", headers={"Authorization": "x", "X-A": "1"})
    actual = [exchange for exchange in browser.exchanges if not exchange.preflight]
    assert [exchange.request_headers.get("Authorization") for exchange in actual] == ["x", "x", None]
    assert [exchange.request_headers.get("X-A") for exchange in actual] == ["1", "1", "1"]


@pytest.mark.parametrize(
    ("lines", "step"),
    [
        pytest.param([("Location", "https://u:p@backend.com/")], Step.REDIRECT_CREDENTIALS, id="credentials"),
        pytest.param([("Location", "ftp://backend.com/")], Step.REDIRECT_SCHEME, id="ftp"),
        pytest.param([("Location", "data:text/plain,x")], Step.REDIRECT_SCHEME, id="data"),
        pytest.param([("Location", "https://[/")], Step.REDIRECT_LOCATION, id="no URL"),
        pytest.param([("Location", "https://")], Step.REDIRECT_LOCATION, id="no host"),
        pytest.param([("Location", "/b"), ("Location", "/b")], Step.REDIRECT_LOCATION, id="twice"),
        pytest.param([("Location", "/")], Step.REDIRECT_COUNT, id="loop"),
    ],
)
def test_redirects_that_fail(lines: Lines, step: Step) -> None:
    browser = Browser(redirecting({f"{API}/": (302, [STAR, *lines])}))
    with pytest.raises(CORSError) as caught:
        browser.fetch(f"{API}/")
    assert caught.value.step is step
    assert len(browser.exchanges) == (21 if step is Step.REDIRECT_COUNT else 1)


def test_same_origin_redirects_may_have_credentials_in_the_url() -> None:
    app = redirecting({f"{API}/": (302, [("Location", "https://u:p@backend.com/b")])})
    assert Browser(app, API).fetch("/").url == "https://u:p@backend.com/b"


def test_a_redirect_without_location_is_a_response() -> None:
    assert Browser(redirecting({f"{API}/": (302, [STAR])})).fetch(f"{API}/").status == 302


def test_a_redirect_must_pass_the_cors_check_itself() -> None:
    app = redirecting({f"{API}/": (302, [("Location", "/b")])}, [STAR])
    assert failure(app, f"{API}/").step is Step.ALLOW_ORIGIN_MISSING


def test_redirect_modes() -> None:
    app = redirecting({f"{API}/": (302, [STAR, ("Location", "/b")])}, [STAR])
    assert failure(app, f"{API}/", redirect="error").step is Step.REDIRECT_MODE
    response = Browser(app).fetch(f"{API}/", redirect="manual")
    assert (response.type, response.status, response.data, list(response.headers)) == ("opaqueredirect", 0, b"", [])
    assert Browser(app).fetch(f"{API}/b", redirect="manual").type == "cors"


# --- apps -----------------------------------------------------------------------------


def test_each_origin_has_its_app() -> None:
    browser = Browser({PAGE: answering(body=b"page"), API: answering([ALLOW], body=b"api")})
    assert [browser.fetch(url).text for url in ("/", f"{API}/")] == ["page", "api"]
    with pytest.raises(CORSError) as caught:
        browser.fetch(f"{OTHER}/")
    assert caught.value.step is Step.NO_RESPONSE
    assert caught.value.exchange == browser.exchanges[-1]
    assert (caught.value.exchange.status, caught.value.exchange.url) == (0, f"{OTHER}/")


def test_what_the_app_raises_comes_through() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Browser(app).fetch(f"{API}/")


def test_wsgi_to_the_letter() -> None:
    closed: list[bool] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"b"
            yield b"c"

        def close(self) -> None:
            closed.append(True)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Body:
        start_response("200 OK", [("X", "early")])(b"a")
        return Body()

    assert Browser(app, API).fetch("/").text == "abc"
    assert closed == [True]


@pytest.mark.parametrize("late", [False, True])
def test_an_error_page_replaces_what_is_not_sent_yet(late: bool) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a" if late else b""
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"oops"

    if late:
        with pytest.raises(ZeroDivisionError):
            Browser(app, API).fetch("/")
    else:
        assert Browser(app, API).fetch("/").status == 500


# --- hostile servers ------------------------------------------------------------------

# As long as a head may be, without what else is in it
MOST = 250_000
CORS_HEADERS = [
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Max-Age",
    "Access-Control-Expose-Headers",
    "Location",
    "Set-Cookie",
]


@pytest.mark.parametrize("header", CORS_HEADERS)
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["a" * MOST], id="long"),
        pytest.param(["," * MOST], id="commas"),
        pytest.param(["a," * (MOST // 2)], id="elements"),
        pytest.param([" \t" * (MOST // 2) + "a"], id="white space"),
        pytest.param(['"' * (MOST - 1)], id="quotes"),
        pytest.param(["a=b;" * (MOST // 4)], id="attributes"),
        pytest.param(["9" * MOST], id="digits"),
        pytest.param(["https://" + "a." * (MOST // 2)], id="labels"),
        pytest.param(["\xff" * MOST], id="bytes to be percent-encoded"),
        pytest.param(["a"] * (MOST // 40), id="lines"),
        pytest.param([bytes(range(256)).decode("latin-1").translate({0: None, 10: None, 13: None})], id="all bytes"),
        pytest.param(["\xff" * 1000], id="bytes that are no UTF-8"),
    ],
)
def test_no_hang_and_no_exception_but_corserror(header: str, lines: list[str]) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        good = [ALLOW, CREDENTIALS, ("Access-Control-Allow-Methods", "PUT"), ("Access-Control-Allow-Headers", "X-A")]
        sent = [*(line for line in good if line[0] != header), *((header, line) for line in lines)]
        is_preflight = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        start_response("302 Found" if header == "Location" and not is_preflight else "200 OK", sent)
        return []

    browser = Browser(app)
    began = time.monotonic()
    said = []
    for _ in "12":
        try:
            browser.fetch(f"{API}/", "PUT", {"X-A": "1"}, credentials="include")
        except CORSError as error:
            said.append(str(error))
    assert all(len(text) < 10_000 for text in said)
    assert "No response" not in "".join(said)
    assert set("".join(said)) <= {"\n", "‘", "’", *map(chr, range(32, 127))}
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        pytest.param("200 OK", [("X A", "1")], [], id="name with a space"),
        pytest.param("200 OK", [("X-\xe9", "1")], [], id="name not ASCII"),
        pytest.param("200 OK", [("", "1")], [], id="no name"),
        pytest.param("200 OK", [("X-A", "1\r\nSet-Cookie: a=b")], [], id="line break"),
        pytest.param("200 OK", [("X-A", "\0")], [], id="NUL"),
        pytest.param("200 OK", [("X-A", "\u20ac")], [], id="not Latin-1"),
        pytest.param("200 OK", [("X-A", b"1")], [], id="value of bytes"),
        pytest.param("200 OK", [("X-A", None)], [], id="value none"),
        pytest.param("200 OK", [(1, "1")], [], id="name of int"),
        pytest.param("200 OK", [("X-A",)], [], id="no pair"),
        pytest.param("200 OK", [5], [], id="no tuple"),
        pytest.param("200 OK", [], ["text"], id="chunk of text"),
        pytest.param("200 OK", [], "text", id="body of text"),
        pytest.param("200 OK", [], b"1", id="body of bytes, which is one of integers"),
        pytest.param("200 OK", [], None, id="no body"),
        pytest.param("OK", [], [], id="no status"),
        pytest.param("099 No", [], [], id="status 99"),
        pytest.param("101 Switching", [], [], id="status 101"),
        pytest.param("1000 No", [], [], id="status 1000"),
        pytest.param("\u0662\u0660\u0660 OK", [], [], id="Arabic digits"),
        pytest.param("200 OK\r\nX-A: 1", [], [], id="line break in the reason"),
        pytest.param(200, [], [], id="status of int"),
        pytest.param(None, [], [], id="start_response not called"),
    ],
)
def test_what_is_not_http_is_no_response(status: Any, headers: Any, body: Any) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if status is not None:
            start_response(status, headers)
        return body

    error = failure(app, "/", origin=API)
    assert (error.step, error.exchange.status) == (Step.NO_RESPONSE, 0)
    assert error.why == "No response: the app's answer is not HTTP."


Body = Iterable[bytes]


def endless_body(environ: WSGIEnvironment, start_response: StartResponse) -> Body:
    start_response("200 OK", [])
    return itertools.repeat(b"a" * 65536)


def endless_nothing(environ: WSGIEnvironment, start_response: StartResponse) -> Body:
    start_response("200 OK", [])
    return itertools.repeat(b"")


def endless_writing(environ: WSGIEnvironment, start_response: StartResponse) -> Body:
    write = start_response("200 OK", [])
    while True:
        write(b"a" * 65536)


def endless_writing_whatever_happens(environ: WSGIEnvironment, start_response: StartResponse) -> Body:
    write = start_response("200 OK", [])
    for _ in range(1000):
        with contextlib.suppress(Exception):
            write(b"a" * 65536)
    return []


TOO_LONG = "the body of the app's answer is longer than 16,777,216 bytes"


@pytest.mark.parametrize(
    ("app", "why"),
    [
        pytest.param(endless_body, TOO_LONG, id="body"),
        pytest.param(endless_nothing, TOO_LONG, id="empty chunks"),
        pytest.param(endless_writing, TOO_LONG, id="write"),
        pytest.param(endless_writing_whatever_happens, TOO_LONG, id="write in a loop that catches"),
    ],
)
def test_what_does_not_end_is_cut_off(app: WSGIApplication, why: str) -> None:
    error = failure(app, "/", origin=API)
    assert (error.step, error.why) == (Step.NO_RESPONSE, f"No response: {why}.")
    assert error.fix == "Let the app answer as PEP 3333 says, with a body that ends."


@pytest.mark.parametrize(
    ("headers", "is_read"),
    [
        pytest.param([("X-A", "a" * (2**18 - 7))], True, id="longest value"),
        pytest.param([("X-A", "a" * (2**18 - 6))], False, id="longer value"),
        pytest.param([("X-A", "1")] * 2**15, True, id="most lines"),
        pytest.param([("X-A", "1")] * (2**15 + 1), False, id="more lines"),
        pytest.param(itertools.repeat(("X-A", "1")), False, id="endless"),
    ],
)
def test_how_much_of_a_head_is_read(headers: Any, is_read: bool) -> None:
    def app(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
        start_response("200 OK", headers)
        return []

    if is_read:
        assert Browser(app, API).fetch("/").ok
    else:
        error = failure(app, "/", origin=API)
        assert (error.step, error.why) == (
            Step.NO_RESPONSE,
            "No response: the head of the app's answer is longer than 262,144 bytes.",
        )
        assert error.fix == "Send fewer and shorter headers. Browsers read no more."


def test_a_body_that_is_cut_off_is_closed() -> None:
    closed: list[bool] = []

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            return itertools.repeat(b"a" * 65536)

        def close(self) -> None:
            closed.append(True)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Endless:
        start_response("200 OK", [])
        return Endless()

    assert failure(app, "/", origin=API).step is Step.NO_RESPONSE
    assert closed == [True]


# --- what the server says about its refusal -------------------------------------------


@pytest.mark.parametrize("said", [[], ["a; A."], ["a; A.", "b; B."], [1]], ids=["nothing", "one", "two", "no text"])
def test_the_last_refusal_is_kept(said: list[Any]) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        environ["flask_preflight.refusals"].extend(said)
        start_response("403 No", [])
        return []

    error = failure(app, f"{API}/", "PUT")
    assert error.exchange.refusal == (str(said[-1]) if said else "")


def test_a_production_server_says_it_to_tests() -> None:
    app = PreflightMiddleware(answering(), Policy(allow_origins=[OTHER]))
    for method in ("GET", "PUT"):
        refusal = failure(app, f"{API}/", method).exchange.refusal
        assert refusal.startswith(f"origin-not-allowed; The origin '{PAGE}' is not in allow_origins.")


# --- caches ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param(("Age", "31"), "Age: 31", id="age"),
        pytest.param(("X-Cache", "Hit from cloudfront"), "X-Cache: Hit from cloudfront", id="x-cache"),
        pytest.param(("Cache-Status", "edge; hit"), "Cache-Status: edge; hit", id="cache-status"),
        pytest.param(("X-Cache", "MISS"), None, id="miss"),
        pytest.param(("X-Other", "hit"), None, id="other"),
    ],
)
@pytest.mark.parametrize("lines", [[], [("Access-Control-Allow-Origin", OTHER)]], ids=["missing", "mismatch"])
def test_an_answer_from_a_cache_is_named(lines: list[tuple[str, str]], line: tuple[str, str], said: str | None) -> None:
    why = failure(answering([*lines, line]), f"{API}/").why
    cache = f" A cache sent it ({said}), which may ignore Vary: Origin." if said else ""
    assert why == failure(answering(lines), f"{API}/").why + cache


# --- CORSError ------------------------------------------------------------------------


def test_error_of_an_app_without_cors() -> None:
    error = failure(answering(), f"{API}/data", "PUT", {"Authorization": "x"}, json={})
    assert str(error) == (
        """\
allow-origin-missing: the script on https://frontend.com gets nothing; the preflight failed

sent      OPTIONS https://backend.com/data, credentials: same-origin
          Access-Control-Request-Method: PUT
          Access-Control-Request-Headers: authorization,content-type
          Origin: https://frontend.com
received  204
why       The answer (status 204) has no Access-Control-Allow-Origin.
change    Send Access-Control-Allow-Origin: https://frontend.com with this response. If other responses have it, \
something answered in the app's place: an error page, a login, a proxy.
Chromium  Access to fetch at 'https://backend.com/data' from origin 'https://frontend.com' has been blocked by CORS \
policy: Response to preflight request doesn't pass access control check: No 'Access-Control-Allow-Origin' header is \
present on the requested resource.
Firefox   Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at \
https://backend.com/data. (Reason: CORS header ‘Access-Control-Allow-Origin’ missing). Status code: 204.
WebKit    Origin https://frontend.com is not allowed by Access-Control-Allow-Origin. Status code: 204
docs      https://flask-preflight.readthedocs.io/en/stable/messages.html#allow-origin-missing
standard  https://fetch.spec.whatwg.org/#cors-check"""
    )


def test_error_of_a_redirected_actual_request() -> None:
    app = redirecting({f"{API}/": (302, [ALLOW, ("Location", f"{OTHER}/b")])}, [ALLOW, ("X-Secret", "s")])
    error = failure(app, f"{API}/")
    assert str(error) == (
        """\
allow-origin-mismatch: the script on https://frontend.com gets nothing; the request failed

sent      GET https://other.com/b, credentials: same-origin
          redirected from https://backend.com/
          Origin: null
received  200
          Access-Control-Allow-Origin: https://frontend.com
why       Access-Control-Allow-Origin is https://frontend.com; it must be null, byte for byte. The origin of a \
sandboxed frame, and of a request redirected across origins, is null.
change    Let the page call the final URL, or serve it from the page's own origin. Allow null only for what everybody \
may read.
Chromium  Access to fetch at 'https://other.com/b' (redirected from 'https://backend.com/') from origin \
'https://frontend.com' has been blocked by CORS policy: The 'Access-Control-Allow-Origin' header has a value \
'https://frontend.com' that is not equal to the supplied origin. Have the server send the header with a valid value.
Firefox   Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at \
https://other.com/b. (Reason: CORS header ‘Access-Control-Allow-Origin’ does not match ‘https://frontend.com’).
WebKit    Origin null is not allowed by Access-Control-Allow-Origin. Status code: 200
docs      https://flask-preflight.readthedocs.io/en/stable/messages.html#allow-origin-mismatch
standard  https://fetch.spec.whatwg.org/#cors-check"""
    )


def test_error_of_nobody_there() -> None:
    assert str(failure({PAGE: answering()}, f"{API}/")) == (
        """\
no-response: the script on https://frontend.com gets nothing; the request failed

sent      GET https://backend.com/, credentials: same-origin
          Origin: https://frontend.com
received  nothing
why       No response: nothing answers for https://backend.com.
change    Start the server there, or give Browser an app for that origin.
Firefox   Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at \
https://backend.com/. (Reason: CORS request did not succeed). Status code: (null).
docs      https://flask-preflight.readthedocs.io/en/stable/messages.html#no-response
standard  https://fetch.spec.whatwg.org/#concept-network-error"""
    )


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (f"{PAGE}/", "The trailing slash must go."),
        ("https://Frontend.com", "The case differs."),
        ("https://*.frontend.com", "Patterns do not count, only * alone."),
        ("http://frontend.com", "The scheme differs."),
        ("https://frontend.com:8443", "The port differs."),
        ("frontend.com", "The scheme is missing."),
        ("https://elsewhere.com", ""),
        ("null", ""),
        ("", ""),
    ],
)
def test_what_is_nearly_right(value: str, hint: str) -> None:
    error = failure(answering([("Access-Control-Allow-Origin", value)]), f"{API}/")
    assert error.why == f"Access-Control-Allow-Origin is {value}; it must be {PAGE}, byte for byte. {hint}".rstrip()


NO_STAR = " (* does not count for requests with credentials)"


@pytest.mark.parametrize(
    ("allowed", "method", "credentials", "why"),
    [
        pytest.param(None, "DELETE", "omit", "is missing; it must name DELETE, in capitals.", id="missing"),
        pytest.param("*", "PUT", "include", f"is '*'; it must name PUT, in capitals{NO_STAR}.", id="star"),
        pytest.param(
            "GET, PATCH",
            "patch",
            "omit",
            "is 'GET, PATCH'; it must name patch, in lower case. PATCH is not patch.",
            id="case",
        ),
        pytest.param("GET", "Patch", "omit", "is 'GET'; it must name Patch, in exactly this spelling.", id="mixed"),
    ],
)
def test_a_method_that_is_not_allowed(allowed: str | None, method: str, credentials: Any, why: str) -> None:
    lines = [ALLOW, CREDENTIALS, *([("Access-Control-Allow-Methods", allowed)] if allowed else [])]
    error = failure(answering([ALLOW], lines), f"{API}/", method, credentials=credentials)
    assert error.why == f"Access-Control-Allow-Methods {why}"


@pytest.mark.parametrize(("credentials", "star"), [("omit", ""), ("include", NO_STAR)])
def test_a_header_that_is_not_allowed(credentials: Any, star: str) -> None:
    error = failure(answering([ALLOW], [ALLOW, CREDENTIALS]), DATA, headers={"X-A": "1"}, credentials=credentials)
    assert error.why == f"Access-Control-Allow-Headers is missing; it must name x-a, which the script set{star}."


def test_firefox_counts_lines_where_others_count_commas() -> None:
    star = ("Access-Control-Allow-Origin", "*")
    two_lines = failure(answering([star, star]), f"{API}/")
    one_line = failure(answering([("Access-Control-Allow-Origin", "*, *")]), f"{API}/")
    assert two_lines.step is one_line.step is Step.ALLOW_ORIGIN_MULTIPLE
    assert two_lines.console["WebKit"] == one_line.console["WebKit"]
    assert "Multiple CORS header" in two_lines.console["Firefox"]
    assert "does not match ‘*, *’" in one_line.console["Firefox"]


def test_long_lists_of_headers_are_cut_short() -> None:
    error = failure(answering([("Access-Control-Allow-Origin", "x")] * 50), f"{API}/")
    assert str(error).count("Access-Control-Allow-Origin: x\n") == 10
    assert "          and 40 more\n" in str(error)


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_errors_travel(again: Callable[[CORSError], CORSError]) -> None:
    error = failure(answering(), f"{API}/")
    assert str(again(error)) == str(error)


# --- the fixture ----------------------------------------------------------------------


def test_the_fixture_builds_browsers(preflight_browser: type[Browser]) -> None:
    assert preflight_browser(answering(), origin=API).fetch("/").text == "ok"


@pytest.mark.slow
def test_the_plugin_costs_nothing_until_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """
import sys

def test_before():
    assert not {"flask", "werkzeug", "flask_preflight.browser"} & sys.modules.keys()

def test_used(preflight_browser):
    assert "flask_preflight.browser" in sys.modules
""",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), str(tmp_path)]
    # what this run was told on top of its configuration is not for that one
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert "2 passed" in result.stdout, result.stdout


# each with the error that ends it
FAILING_CALLS = {
    "Browser(app).fetch('https://backend.com/', 'PUT')": "CORSError",
    "Browser(app).fetch('https://backend.com/moved')": "CORSError",
    "Browser(app).fetch('ftp://backend.com/')": "TypeError",
    "Browser(app, 'https://frontend.com/')": "ValueError",
    "LiveTransport('https://backend.com/')": "ValueError",
    "Browser(lambda *_: 1 / 0).fetch('https://backend.com/')": "ZeroDivisionError",
}

FAILING_APP = """
from flask_preflight.browser import Browser, LiveTransport

def app(environ, start_response):
    headers = [("Access-Control-Allow-Origin", "*"), ("Location", "/")] if environ["PATH_INFO"] == "/moved" else []
    start_response("302 Found" if headers else "200 OK", headers)
    return []
"""


@pytest.mark.slow
def test_pytest_shows_the_line_of_the_test_and_no_line_of_the_browser(tmp_path: Path) -> None:
    tests = [f"def test_{number}():\n    {call}\n" for number, call in enumerate(FAILING_CALLS)]
    source = FAILING_APP + "".join(tests)
    (tmp_path / "test_it.py").write_text(source, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    places = [line for line in result.stdout.splitlines() if re.match(r"\S+\.py:[0-9]+: .", line)]
    lines = source.splitlines()
    assert places == [
        f"test_it.py:{lines.index(f'    {call}') + 1}: {error}" for call, error in FAILING_CALLS.items()
    ], result.stdout


def test_an_error_says_what_the_answer_to_the_preflight_says() -> None:
    """For servers that are not written with this package, and explain themselves in the body."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("403 Forbidden", [])
        return [b"DELETE is not for pages.\n"]

    with pytest.raises(CORSError) as caught:
        Browser(app, PAGE).fetch(f"{API}/data", "DELETE")
    assert "\n          DELETE is not for pages.\n" in str(caught.value)
    assert caught.value.exchange.data == b"DELETE is not for pages.\n"


def test_an_error_says_why_a_server_with_this_package_has_refused() -> None:
    policy = Policy(allow_origins=[PAGE], allow_methods=["PUT"])
    for debug in (False, True):
        browser = Browser(PreflightMiddleware(answering([]), policy, debug=debug), PAGE)
        with pytest.raises(CORSError) as caught:
            browser.fetch(f"{API}/data", "DELETE")
        refusal = (
            "method-not-allowed; The method 'DELETE' is not in allow_methods, which allows PUT. To allow it, write"
            " allow_methods=['PUT', 'DELETE'] in the Policy."
        )
        assert caught.value.exchange.refusal == refusal
        assert f"\nserver    {refusal}\n" in str(caught.value)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_a_refusal_leads_to_its_section_of_the_documentation(reason: Reason) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        environ["flask_preflight.refusals"].append(f"{reason.value}; A sentence.")
        start_response("403 Forbidden", [])
        return []

    assert failure(app, DATA, "PUT").docs == link("refusals", reason.value)
    assert reason.value in anchors((ROOT / "docs" / "refusals.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "said", ["no reason", "a b; c", "A; b", "; b", f"{'a' * 65}; b", "#a; b"], ids=lambda said: said[:9]
)
def test_a_refusal_without_a_reason_leads_to_what_the_browser_saw(said: str) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        environ["flask_preflight.refusals"].append(said)
        start_response("403 Forbidden", [])
        return []

    assert (
        failure(app, DATA, "PUT").docs
        == "https://flask-preflight.readthedocs.io/en/stable/messages.html#allow-origin-missing"
    )


REFUSED = b"This CORS preflight is refused.\n"
ASK_THE_SERVER = (
    "flask-preflight has refused this preflight. The reason can be the origin, the method or a header. "
    "The server's log says which. So does flask preflight explain, or the same test with Browser(app)."
)
SEND_THE_HEADER = (
    f"Send Access-Control-Allow-Origin: {PAGE} with this response. If other responses have it, something answered in "
    "the app's place: an error page, a login, a proxy."
)


@pytest.mark.parametrize(
    ("method", "status", "headers", "body", "fix", "docs"),
    [
        pytest.param("PUT", "403 No", [], REFUSED, ASK_THE_SERVER, "refusals#where-to-look", id="as-sent"),
        pytest.param("PUT", "200 OK", [], REFUSED, ASK_THE_SERVER, "refusals#where-to-look", id="other-status"),
        pytest.param(
            "PUT",
            "403 No",
            [("Access-Control-Allow-Origin", "*")],
            REFUSED,
            ASK_THE_SERVER,
            "refusals#where-to-look",
            id="headers-of-a-proxy",
        ),
        pytest.param(
            "PUT", "403 No", [], b"Forbidden\n", SEND_THE_HEADER, "messages#allow-origin-missing", id="other-body"
        ),
        pytest.param("GET", "200 OK", [], REFUSED, SEND_THE_HEADER, "messages#allow-origin-missing", id="no-preflight"),
    ],
)
def test_a_refusal_by_this_package_without_a_reason(
    method: str, status: str, headers: list[tuple[str, str]], body: bytes, fix: str, docs: str
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response(status, headers)
        return [body]

    error = failure(app, DATA, method)
    assert (error.fix, error.docs) == (fix, link(*docs.split("#")))


def test_what_an_app_says_about_its_refusal_is_escaped_and_shortened() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        environ["flask_preflight.refusals"].append("\x1b[31m\nchange    nothing" + "x" * 2000)
        start_response("403 Forbidden", [])
        return []

    with pytest.raises(CORSError) as caught:
        Browser(app, PAGE).fetch(f"{API}/data", "DELETE")
    (line,) = [line for line in str(caught.value).splitlines() if line.startswith("server")]
    assert line.startswith(r"server    \x1b[31m\nchange    nothingxxx")
    assert line.endswith("... (2023 characters)")
    assert len(line) < 1100


@pytest.mark.parametrize("origin", ["https://[::ffff:7f00:1]", "https://[1::2:0:0]", "https://[::]"])
def test_ipv6_is_spelled_as_urls_do_on_every_python(origin: str) -> None:
    assert Browser(answering([]), origin).fetch(f"{origin}/").type == "basic"


# --- docs/messages.md -----------------------------------------------------------------

GRANT = ("Access-Control-Allow-Methods", "PUT")
DATA = f"{API}/data"


def provoked(step: Step) -> CORSError:
    """An error of *step*, as a page on https://frontend.com gets it from https://backend.com/data."""
    app, arguments = PROVOKING[step]
    error = failure(app, DATA, **arguments)
    assert error.step is step
    return error


PUT: dict[str, Any] = {"method": "PUT"}
INCLUDE: dict[str, Any] = {"credentials": "include"}
SAFE: dict[str, Any] = {}
WITH_HEADER: dict[str, Any] = {"headers": {"X-Request-Id": "1"}}
WITH_TOKEN: dict[str, Any] = {"headers": {"Authorization": "Bearer t"}}


def origin(value: str) -> tuple[str, str]:
    return ("Access-Control-Allow-Origin", value)


def moved(location: str) -> WSGIApplication:
    return answering([ALLOW, ("Location", location)], status="302 Found")


def preflight_status(status: str, *headers: tuple[str, str]) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response(status, list(headers))
        return []

    return app


PROVOKING: Mapping[Step, tuple[Any, dict[str, Any]]] = {
    Step.NO_RESPONSE: ({}, SAFE),
    Step.MIXED_CONTENT: (moved("http://backend.com/data"), SAFE),
    Step.SAME_ORIGIN_MODE: (answering(), {"mode": "same-origin"}),
    Step.PREFLIGHT_REDIRECT: (preflight_status("308 Moved", ("Location", f"{DATA}/")), PUT),
    Step.ALLOW_ORIGIN_MISSING: (answering(), SAFE),
    Step.ALLOW_ORIGIN_MULTIPLE: (answering([ALLOW, ALLOW]), SAFE),
    Step.ALLOW_ORIGIN_WILDCARD: (answering([origin("*")]), INCLUDE),
    Step.ALLOW_ORIGIN_MISMATCH: (answering([origin(f"{PAGE}/")]), SAFE),
    Step.ALLOW_CREDENTIALS: (answering([ALLOW]), INCLUDE),
    Step.PREFLIGHT_STATUS: (preflight_status("405 Method Not Allowed", ALLOW), PUT),
    Step.ALLOW_METHODS_INVALID: (answering((), [ALLOW, ("Access-Control-Allow-Methods", "GET PUT")]), PUT),
    Step.ALLOW_HEADERS_INVALID: (
        answering((), [ALLOW, ("Access-Control-Allow-Headers", "Authorization X-Request-Id")]),
        WITH_HEADER,
    ),
    Step.ALLOW_METHODS: (answering((), [ALLOW, ("Access-Control-Allow-Methods", "GET, POST")]), PUT),
    Step.ALLOW_HEADERS_AUTHORIZATION: (answering((), [ALLOW, ("Access-Control-Allow-Headers", "*")]), WITH_TOKEN),
    Step.ALLOW_HEADERS: (answering((), [ALLOW, ("Access-Control-Allow-Headers", "Content-Type")]), WITH_HEADER),
    Step.REDIRECT_MODE: (moved("/elsewhere"), {"redirect": "error"}),
    Step.REDIRECT_LOCATION: (moved("https://["), SAFE),
    Step.REDIRECT_SCHEME: (moved("ftp://backend.com/data"), SAFE),
    Step.REDIRECT_COUNT: (moved("/data"), SAFE),
    Step.REDIRECT_CREDENTIALS: (moved("https://user:secret@backend.com/data"), SAFE),
}


def sections() -> dict[str, str]:
    """The page by anchor."""
    text = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
    anchors_and_bodies = re.split(r'^<a id="(.+)"></a>$', text, flags=re.MULTILINE)[1:]
    return dict(zip(anchors_and_bodies[::2], anchors_and_bodies[1::2], strict=True))


@pytest.mark.parametrize("step", Step, ids=lambda step: step.value)
def test_every_console_message_is_explained(step: Step) -> None:
    error = provoked(step)
    section = sections()[step.value]
    for engine, sentence in error.console.items():
        assert f"{engine}:\n\n    {sentence}\n" in section
    assert error.docs == link("messages", step.value)


def test_no_section_is_left_over() -> None:
    assert sorted(sections()) == sorted(step.value for step in Step)


@pytest.mark.parametrize("step", Step, ids=lambda step: step.value)
def test_every_error_is_good_to_read(step: Step) -> None:
    error = provoked(step)
    assert "{" not in str(error)
    assert error.why
    assert error.fix


def test_a_bad_location_beside_another_mistake() -> None:
    app = answering([origin("x"), ("Location", "https://[")], status="302 Found")
    assert failure(app, DATA).console["WebKit"].startswith("Cross-origin redirection to https://[ denied")
    app = answering([origin("x"), ("Location", "data:,x")], status="302 Found")
    assert failure(app, DATA).console["WebKit"].startswith("Cross-origin redirection to data:,x denied")


def test_webkit_looks_at_the_preflight_s_status_first() -> None:
    error = failure(preflight_status("404 Not Found"), DATA, "PUT")
    assert error.step is Step.ALLOW_ORIGIN_MISSING
    assert error.console["WebKit"] == "Preflight response is not successful. Status code: 404"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            "https://a.com https://b.com",
            "contains multiple values 'https://a.com https://b.com', but only one is allowed",
        ),
        ("https://a.com/b", "has a value 'https://a.com/b' that is not equal to the supplied origin"),
        ("a.com", "contains the invalid value 'a.com'"),
        ("null", "has a value 'null' that is not equal to the supplied origin"),
    ],
)
def test_chromium_tells_kinds_of_wrong_origins_apart(value: str, sentence: str) -> None:
    assert sentence in failure(answering([origin(value)]), DATA).console["Chromium"]
