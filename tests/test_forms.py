"""Forms: ``Browser.submit``, as the server sees them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_browser import API, OTHER, PAGE, USER_AGENT, answering, paths, redirecting
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from flask_preflight.browser import Browser, CORSError, Exchange, Step

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
TEXT: Final = "text/plain"
NAVIGATION = [("Sec-Fetch-Dest", "document"), ("Sec-Fetch-Mode", "navigate")]


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answers with what came."""
    start_response("200 OK", [("Content-Type", environ.get("CONTENT_TYPE", "none"))])
    return [environ["wsgi.input"].read()]


def bodies(data: Any, enctype: Any) -> tuple[str, bytes]:
    """The type and the body of a form; the boundary as ``BOUNDARY``."""
    answer = Browser(echo).submit(f"{API}/", data, enctype=enctype)
    content_type = answer.response_headers["Content-Type"]
    boundary = re.search("boundary=(.+)", content_type)
    if boundary is None:
        return content_type, answer.data
    return content_type.replace(boundary[1], "BOUNDARY"), answer.data.replace(boundary[1].encode(), b"BOUNDARY")


# --- what is sent ---------------------------------------------------------------------


FIELDS = [("a b~*", "1\n2\r3\r\né"), ('c"d\n', "&="), ("c", "\ud800"), ("c", "")]
FILE = {"f\r\n": ('a"\r\n\n.txt', b"\r\n\0\xff", "text/plain\r\nX-A: 1")}


# The encodings are those of the engines, which `test_real_requests.py` compares.
@pytest.mark.parametrize(
    ("data", "enctype", "body"),
    [
        pytest.param({}, URLENCODED, b"", id="urlencoded-empty"),
        pytest.param(
            FIELDS,
            URLENCODED,
            b"a+b%7E*=1%0D%0A2%0D%0A3%0D%0A%C3%A9&c%22d%0D%0A=%26%3D&c=%EF%BF%BD&c=",
            id="urlencoded",
        ),
        pytest.param(FILE, URLENCODED, b"f%0D%0A=a%22%0D%0A%0D%0A.txt", id="urlencoded-file"),
        pytest.param({}, TEXT, b"", id="text-empty"),
        pytest.param(
            FIELDS,
            TEXT,
            'a b~*=1\r\n2\r\n3\r\né\r\nc"d\r\n=&=\r\nc=\ufffd\r\nc=\r\n'.encode(),
            id="text",
        ),
        pytest.param(FILE, TEXT, b'f\r\n=a"\r\n\r\n.txt\r\n', id="text-file"),
        pytest.param({}, MULTIPART, b"--BOUNDARY--\r\n", id="multipart-empty"),
        pytest.param(
            [("a\nb", "1\n2"), ('"', "\ud800")],
            MULTIPART,
            b'--BOUNDARY\r\nContent-Disposition: form-data; name="a%0D%0Ab"\r\n\r\n1\r\n2\r\n'
            b'--BOUNDARY\r\nContent-Disposition: form-data; name="%22"\r\n\r\n\xef\xbf\xbd\r\n--BOUNDARY--\r\n',
            id="multipart",
        ),
        pytest.param(
            {"f": ("a", b"b", "")},
            MULTIPART,
            b'--BOUNDARY\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\nb\r\n--BOUNDARY--\r\n",
            id="multipart-file-without-type",
        ),
        pytest.param(
            FILE,
            MULTIPART,
            b'--BOUNDARY\r\nContent-Disposition: form-data; name="f%0D%0A"; filename="a%22%0D%0A%0A.txt"\r\n'
            b"Content-Type: text/plain X-A: 1\r\n\r\n\r\n\0\xff\r\n--BOUNDARY--\r\n",
            id="multipart-file",
        ),
    ],
)
def test_bodies(data: Any, enctype: str, body: bytes) -> None:
    type_sent = f"{enctype}; boundary=BOUNDARY" if enctype == MULTIPART else enctype
    assert bodies(data, enctype) == (type_sent, body)


# Line ends and what has to be escaped is in the table above. Browsers send a backslash in a name as it is, and Werkzeug
# reads it as the start of an escape sequence.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=20)


@given(st.lists(st.tuples(TEXTS, TEXTS)), st.sampled_from([URLENCODED, MULTIPART]))
def test_a_server_reads_what_was_sent(fields: list[tuple[str, str]], enctype: Any) -> None:
    answer = Browser(echo).submit(f"{API}/", fields, enctype=enctype)
    content_type = answer.response_headers["Content-Type"]
    request = Request(EnvironBuilder(method="POST", content_type=content_type, data=answer.data).get_environ())
    assert list(request.form.items(multi=True)) == [
        (name, value) for key in dict.fromkeys(name for name, _ in fields) for name, value in fields if name == key
    ]


def test_each_form_has_a_boundary_of_its_own() -> None:
    answers = [Browser(echo).submit(f"{API}/", {}, enctype=MULTIPART) for _ in "12"]
    assert len({answer.response_headers["Content-Type"] for answer in answers}) == 2


@pytest.mark.parametrize("enctype", [URLENCODED, MULTIPART, TEXT])
@pytest.mark.parametrize("method", ["GET", "get"])
def test_get_replaces_the_query(method: Any, enctype: Any) -> None:
    answer = Browser(echo).submit(f"{API}/a?b=c#d", FIELDS[1:2], method=method, enctype=enctype)
    assert answer.url == f"{API}/a?c%22d%0D%0A=%26%3D"
    assert (answer.method, answer.data, answer.response_headers["Content-Type"]) == ("GET", b"", "none")


ACCEPT = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")


@pytest.mark.parametrize(
    ("url", "method", "sent"),
    [
        pytest.param(
            f"{API}/",
            "POST",
            [
                ("Content-Type", URLENCODED),
                ACCEPT,
                ("Referer", f"{PAGE}/"),
                ("Origin", PAGE),
                *NAVIGATION,
                ("Sec-Fetch-Site", "cross-site"),
                ("Sec-Fetch-User", "?1"),
                USER_AGENT,
            ],
            id="abroad",
        ),
        pytest.param(
            "/a",
            "GET",
            [
                ACCEPT,
                ("Referer", f"{PAGE}/"),
                *NAVIGATION,
                ("Sec-Fetch-Site", "same-origin"),
                ("Sec-Fetch-User", "?1"),
                USER_AGENT,
            ],
            id="home",
        ),
        pytest.param(
            "http://backend.com/",
            "POST",
            [("Content-Type", URLENCODED), ACCEPT, ("Origin", "null"), USER_AGENT],
            id="downgrade",
        ),
    ],
)
def test_headers(url: str, method: Any, sent: list[tuple[str, str]]) -> None:
    browser = Browser(echo)
    answer = browser.submit(url, {"a": "b"}, method=method)
    assert list(answer.request_headers) == sent
    assert browser.exchanges == [answer]


def test_a_form_of_a_sandboxed_frame() -> None:
    answer = Browser(echo, "null").submit(f"{API}/", {})
    assert answer.request_headers["Origin"] == "null"
    assert answer.request_headers["Sec-Fetch-Site"] == "cross-site"


# --- what comes back ------------------------------------------------------------------


def test_what_comes_back_is_for_the_test() -> None:
    app = answering([("X-Frame-Options", "DENY"), ("Set-Cookie", "a=b")], status="403 Forbidden", body=b"No.")
    answer = Browser(app).submit(f"{API}/transfer", {"to": "mallory"})
    assert isinstance(answer, Exchange)
    assert (answer.preflight, answer.method, answer.url, answer.status) == (False, "POST", f"{API}/transfer", 403)
    assert (answer.response_headers["Set-Cookie"], answer.data) == ("a=b", b"No.")


@pytest.mark.parametrize(
    ("status", "sent", "body"),
    [
        (301, ["POST", "GET"], b""),
        (302, ["POST", "GET"], b""),
        (303, ["POST", "GET"], b""),
        (307, ["POST", "POST"], b"a=b"),
        (308, ["POST", "POST"], b"a=b"),
    ],
)
def test_redirects_are_followed(status: int, sent: list[str], body: bytes) -> None:
    browser = Browser(redirecting({f"{API}/": (status, [("Location", f"{OTHER}/b")])}))
    answer = browser.submit(f"{API}/", {"a": "b"})
    assert paths(browser) == [f"{sent[0]} {API}/", f"{sent[1]} {OTHER}/b"]
    assert answer == browser.exchanges[-1]
    assert answer.data == body
    assert answer.request_headers.get("Content-Type") == (URLENCODED if body else None)
    assert answer.request_headers.get("Origin") == ("null" if body else None)


@pytest.mark.parametrize("location", ["myapp://callback?code=1", "mailto:a@b.c"])
def test_a_redirect_to_another_program_is_the_last_answer(location: str) -> None:
    browser = Browser(redirecting({f"{API}/": (302, [("Location", location)])}))
    answer = browser.submit(f"{API}/", {})
    assert (answer.status, answer.response_headers["Location"]) == (302, location)


def test_a_redirect_may_have_a_password() -> None:
    browser = Browser(redirecting({f"{API}/": (302, [("Location", "https://u:p@other.com/b")])}))
    assert browser.submit(f"{API}/", {}).url == f"{OTHER}/b"


@pytest.mark.parametrize(
    ("app", "step"),
    [
        pytest.param({}, Step.NO_RESPONSE, id="no server"),
        pytest.param(redirecting({f"{API}/": (302, [("Location", "https://[")])}), Step.REDIRECT_LOCATION, id="bad"),
        pytest.param(redirecting({f"{API}/": (307, [("Location", "/")])}), Step.REDIRECT_COUNT, id="loop"),
    ],
)
def test_no_page_comes_back(app: Any, step: Step) -> None:
    with pytest.raises(CORSError) as caught:
        Browser(app).submit(f"{API}/", {})
    assert (caught.value.step, caught.value.console) == (step, {})
    first_line = f"{step.value}: the form on {PAGE} leads to no page; the request failed"
    assert str(caught.value).splitlines()[0] == first_line


# --- cookies --------------------------------------------------------------------------


def keeping(same_site: str) -> tuple[WSGIApplication, list[str | None]]:
    """An app that sets a cookie at ``/login``, and a list of what came elsewhere."""
    seen: list[str | None] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/login":
            start_response("200 OK", [("Set-Cookie", f"a=b; Secure; SameSite={same_site}")])
        else:
            seen.append(environ.get("HTTP_COOKIE"))
            start_response("200 OK", [])
        return []

    return app, seen


@pytest.mark.parametrize(
    ("same_site", "url", "seen"),
    [
        pytest.param("Strict", f"{API}", [None, None], id="strict abroad"),
        pytest.param("Lax", f"{API}", [None, "a=b"], id="lax abroad"),
        pytest.param("None", f"{API}", ["a=b", "a=b"], id="none abroad"),
        pytest.param("Strict", "https://api.frontend.com", ["a=b", "a=b"], id="strict on the same site"),
    ],
)
def test_cookies_of_a_navigation(same_site: str, url: str, seen: list[str | None]) -> None:
    app, cookies = keeping(same_site)
    browser = Browser(app)
    browser.submit(f"{url}/login", {})  # a navigation may set all of them
    browser.submit(f"{url}/transfer", {})
    browser.submit(f"{url}/search", {}, method="GET")
    assert cookies == seen


def test_a_redirect_from_post_to_get_is_a_safe_navigation() -> None:
    hops = {f"{API}/pay": (303, [("Location", "/thanks")])}
    browser = Browser(redirecting(hops, [("Set-Cookie", "a=b; SameSite=Lax")]))
    browser.submit(f"{API}/", {})
    answer = browser.submit(f"{API}/pay", {})
    assert [exchange.request_headers.get("Cookie") for exchange in browser.exchanges[1:]] == [None, "a=b"]
    assert answer.url == f"{API}/thanks"


@pytest.mark.parametrize("same_site", ["Strict", "Lax", "None"])
def test_a_redirect_on_the_way_may_set_cookies_of_its_own_site(same_site: str) -> None:
    line = ("Set-Cookie", f"a=b; Secure; Path=/; SameSite={same_site}")
    browser = Browser(
        redirecting({f"{API}/": (303, [line, ("Location", "/b")]), f"{API}/b": (303, [("Location", PAGE)])})
    )
    browser.submit(f"{API}/", {})
    cookies = [exchange.request_headers.get("Cookie") for exchange in browser.exchanges]
    assert cookies == [None, None if same_site == "Strict" else "a=b", None]


# --- arguments ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "arguments", "message"),
    [
        ("ftp://a/", {}, "url: ftp://a/ is neither http: nor https:"),
        ("https://u:p@a/", {}, "url: https://u:p@a/ includes a user name or a password"),
        (f"{API}/", {"method": "PUT"}, "method: 'PUT' is not one of 'GET', 'POST'"),
        (f"{API}/", {"method": None}, "method: None is not one of 'GET', 'POST'"),
        (f"{API}/", {"enctype": "application/json"}, f"enctype: 'application/json' is not one of '{URLENCODED}', "
         f"'{MULTIPART}', '{TEXT}'"),
        (f"{API}/", {"data": "a=b"}, "data: 'a=b' is neither a mapping nor pairs; write {'name': 'value'}"),
        (f"{API}/", {"data": 5}, "data: 5 is neither a mapping nor pairs; write {'name': 'value'}"),
        (f"{API}/", {"data": ["a"]}, "data: 'a' is not a pair of name and value; write {'name': 'value'}"),
        (f"{API}/", {"data": {"a": 1}}, "data: 'a': 1 is not a field of a form; write strings, and "
         "('a.txt', b'...', 'text/plain') for a file"),
        (f"{API}/", {"data": {1: "a"}}, "data: 1: 'a' is not a field of a form; write strings, and "
         "('a.txt', b'...', 'text/plain') for a file"),
        (f"{API}/", {"data": {"a": ("b", b"c")}}, "data: 'a': ('b', b'c') is not a field of a form; write strings, and "
         "('a.txt', b'...', 'text/plain') for a file"),
    ],
)  # fmt: skip
def test_what_no_form_sends(url: str, arguments: dict[str, Any], message: str) -> None:
    browser = Browser(echo)
    with pytest.raises(TypeError) as caught:
        browser.submit(url, **arguments)
    assert str(caught.value) == message
    assert browser.exchanges == []
