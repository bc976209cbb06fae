"""The middleware around every kind of app: complete responses, PEP 3333 to the letter, stacks, threads, debug mode."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from strategies import policies
from test_engine import ANYTHING
from test_explain import Unspeakable
from webtest import TestApp as WebTest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import EnvironBuilder

from flask_preflight import (
    Decision,
    Policy,
    PreflightMiddleware,
    RequestFacts,
    by_path,
    negotiate,
    preflight_granted,
    preflight_refused,
    request_allowed,
    request_refused,
)
from flask_preflight.problems import show

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Headers = list[tuple[str, str]]

ORIGIN = "https://frontend.com"
OTHER = "https://evil.com"
POLICY = Policy(allow_origins=[ORIGIN], allow_methods=["PUT"], expose_headers=["ETag"], allow_credentials=True)

VARY = ("Vary", "Origin")
VARY_ALL = ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
ACAO = ("Access-Control-Allow-Origin", ORIGIN)
ACAC = ("Access-Control-Allow-Credentials", "true")
ACEH = ("Access-Control-Expose-Headers", "ETag")
ALLOWED = [ACAO, ACAC, ACEH, VARY]
GRANTED = [
    ACAO,
    ACAC,
    ("Access-Control-Allow-Methods", "PUT"),
    ("Access-Control-Allow-Headers", "Content-Type"),
    ("Access-Control-Max-Age", "600"),
    VARY_ALL,
]


def cors_refused(reason: str, sentence: str) -> tuple[str, str]:
    return "CORS-Refused", f"{reason}; {sentence}"


# ---------------------------------------------------------------------------------------
# A server in small, and what is put around the middleware
# ---------------------------------------------------------------------------------------


class Answer(NamedTuple):
    status: str
    headers: Headers
    body: bytes

    def only(self, *names: str) -> Headers:
        return [header for header in self.headers if header[0] in names]


def serve(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """Run *app* as the gateway in PEP 3333 does: headers go out with the first byte, at the latest at the end."""
    started: list[Any] = []
    sent: list[Any] = []
    body = bytearray()

    def write(data: bytes) -> None:
        if not sent:
            sent[:] = started
        body.extend(data)

    def start_response(status: str, headers: Headers, exc_info: Any = None, /) -> Callable[[bytes], object]:
        if exc_info is not None and sent:
            raise exc_info[1].with_traceback(exc_info[2])
        assert exc_info is not None or not started
        started[:] = [status, list(headers)]
        headers.clear()  # the list is the server's now, to do with what it likes
        return write

    result = app(environ, start_response)
    try:
        for data in result:
            if data:
                write(data)
        write(b"")
    finally:
        getattr(result, "close", lambda: None)()
    return Answer(sent[0], sent[1], bytes(body))


def make_environ(method: str = "GET", path: str = "/", **headers: str) -> WSGIEnvironment:
    environ = EnvironBuilder(path, method=method).get_environ()
    sent = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return environ | sent | {"wsgi.file_wrapper": FileWrapper}


def ask(app: WSGIApplication, origin: str | None = ORIGIN, **environ: Any) -> Answer:
    headers = {} if origin is None else {"Origin": origin}
    return serve(app, make_environ(**headers) | environ)


def ask_preflight(
    app: WSGIApplication, method: str = "PUT", wanted: str | None = None, origin: str = ORIGIN, **environ: Any
) -> Answer:
    headers = {"Origin": origin, "Access_Control_Request_Method": method}
    if wanted is not None:
        headers["Access_Control_Request_Headers"] = wanted
    return serve(app, make_environ("OPTIONS", **headers) | environ)


def none(app: WSGIApplication) -> WSGIApplication:
    return app


# What watches both sides of the middleware. Werkzeug's puts an input into the environ that the other finds fault with,
# so one at a time.
LINTERS = [none, validator, LintMiddleware]


class Spy:
    """An app that counts its calls."""

    def __init__(self, *headers: tuple[str, str], status: str = "200 OK") -> None:
        self.status = status
        self.headers = [("Content-Type", "text/plain"), *headers]
        self.calls = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.calls += 1
        start_response(self.status, self.headers.copy())
        return [b"the app"]


# ---------------------------------------------------------------------------------------
# Every kind of app
# ---------------------------------------------------------------------------------------

TEXT = [("Content-Type", "text/plain")]


def returns_a_list(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"a", b"list"]


def is_a_generator(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [*TEXT])
    yield b"gene"
    yield b""
    yield b"rator"


def returns_nothing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [*TEXT, ("Content-Length", "0")])
    return []


def yields_nothing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [*TEXT])
    yield from ()


def writes(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [*TEXT])
    write(b"written, ")
    write(b"")
    return [b"returned"]


def redirects(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("302 Found", [*TEXT, ("Location", "http://backend.com/")])
    return [b"there"]


def starts_again(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("X-First", "1")])
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        start_response("500 Internal Server Error", [*TEXT, ("X-Second", "2")], sys.exc_info())
    return [b"error page"]


def starts_again_too_late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [*TEXT])
    yield b"sent"
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        start_response("500 Internal Server Error", [*TEXT], sys.exc_info())
    yield b"never"


def raises_before_start(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise ZeroDivisionError


def raises_after_start(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT])
    raise ZeroDivisionError


def raises_midway(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [*TEXT])
    yield b"half"
    raise ZeroDivisionError


def sends_a_file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT])
    wrapper: Callable[[io.BytesIO], Iterable[bytes]] = environ["wsgi.file_wrapper"]
    return wrapper(io.BytesIO(b"a file"))


KINDS = [
    returns_a_list,
    is_a_generator,
    returns_nothing,
    yields_nothing,
    writes,
    redirects,
    starts_again,
    sends_a_file,
]
FAILING_KINDS = [starts_again_too_late, raises_before_start, raises_after_start, raises_midway]


@pytest.mark.parametrize("around", LINTERS)
@pytest.mark.parametrize("app", KINDS)
@pytest.mark.parametrize(
    ("policy", "origin", "added"),
    [
        pytest.param(POLICY, ORIGIN, ALLOWED, id="allowed"),
        pytest.param(POLICY, OTHER, [VARY], id="refused"),
        pytest.param(POLICY, None, [VARY], id="no-origin"),
        pytest.param(Policy(allow_origins="*"), None, [("Access-Control-Allow-Origin", "*")], id="everybody"),
    ],
)
def test_every_answer_of_the_app_carries_the_headers(
    around: Callable[[WSGIApplication], WSGIApplication],
    app: WSGIApplication,
    policy: Policy,
    origin: str | None,
    added: Headers,
) -> None:
    status, headers, body = ask(app, origin)
    middleware = around(PreflightMiddleware(around(app), policy))
    assert ask(middleware, origin) == (status, headers + added, body)


@pytest.mark.parametrize("around", LINTERS)
@pytest.mark.parametrize("app", FAILING_KINDS)
def test_what_the_app_raises_goes_to_the_server(
    around: Callable[[WSGIApplication], WSGIApplication], app: WSGIApplication
) -> None:
    with pytest.raises(ZeroDivisionError):
        ask(around(PreflightMiddleware(around(app), POLICY)))


@pytest.mark.parametrize("around", LINTERS)
@pytest.mark.parametrize("app", KINDS + FAILING_KINDS)
def test_no_app_sees_a_preflight(around: Callable[[WSGIApplication], WSGIApplication], app: WSGIApplication) -> None:
    watched = around(PreflightMiddleware(around(app), POLICY))
    assert ask_preflight(watched).only(*(name for name, _ in GRANTED)) == GRANTED
    refusal = ask_preflight(watched, "DELETE")
    assert refusal.status == "403 Forbidden"


@pytest.mark.parametrize("app", [app for app in KINDS if app is not redirects])
def test_webtest_finds_nothing(app: WSGIApplication) -> None:
    client = WebTest(PreflightMiddleware(app, POLICY), {"wsgi.file_wrapper": FileWrapper})
    answer = client.get("/", headers={"Origin": ORIGIN}, expect_errors=True)
    assert [header for header in answer.headerlist if header in ALLOWED] == ALLOWED
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}
    preflight = client.options("/", headers=asked)
    assert preflight.status == "204 No Content"
    assert [header for header in preflight.headerlist if header in GRANTED] == GRANTED
    refusal = client.options("/", headers=asked | {"Origin": OTHER}, status=403)
    assert refusal.text == "This CORS preflight is refused.\n"


class Closing:
    """A body that counts how often it is closed."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.breaks = breaks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"body"
        if self.breaks:
            raise ZeroDivisionError

    def close(self) -> None:
        self.closed += 1


def test_what_the_app_returns_is_handed_on_untouched() -> None:
    def start_response(*args: Any) -> Callable[[bytes], object]:
        return print

    for body in ([b"list"], iter([b"iterator"]), Closing(), FileWrapper(io.BytesIO(b"file"))):

        def app(environ: WSGIEnvironment, start_response: StartResponse, body: Any = body) -> Any:
            start_response("200 OK", [*TEXT])
            return body

        assert PreflightMiddleware(app, POLICY)(make_environ(Origin=ORIGIN), start_response) is body


@pytest.mark.parametrize("breaks", [False, True])
def test_close_is_called_once(breaks: bool) -> None:
    body = Closing(breaks=breaks)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*TEXT])
        return body

    watched = validator(PreflightMiddleware(validator(app), POLICY))
    if breaks:
        with pytest.raises(ZeroDivisionError):
            ask(watched)
    else:
        assert ask(watched) == ("200 OK", TEXT + ALLOWED, b"body")
    assert body.closed == 1


def test_start_response_is_handed_on_argument_by_argument() -> None:
    calls: list[tuple[Any, ...]] = []
    headers = [*TEXT]

    def write(data: bytes) -> None:
        raise NotImplementedError

    def start_response(*args: Any) -> Callable[[bytes], object]:
        calls.append(args)
        return write

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        assert start_response("200 OK", headers) is write
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            assert start_response("500 Oh", headers, sys.exc_info()) is write
        return []

    PreflightMiddleware(app, POLICY)(make_environ(Origin=ORIGIN), start_response)
    first, second = calls
    assert first == ("200 OK", TEXT + ALLOWED)
    assert second[:2] == ("500 Oh", TEXT + ALLOWED)
    assert second[2][0] is ZeroDivisionError
    assert type(first[1]) is list
    assert headers == TEXT, "the app's own list is left alone"


def test_exc_info_may_be_passed_by_its_name() -> None:
    """As `wsgiref` and Werkzeug call their parameter."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start: Any = start_response
        start("200 OK", [*TEXT], exc_info=None)
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start("500 Oh", [*TEXT], exc_info=sys.exc_info())
        return [b"error page"]

    assert ask(PreflightMiddleware(app, POLICY)) == ("500 Oh", TEXT + ALLOWED, b"error page")


def test_no_answer_inherits_what_a_server_did_to_the_last() -> None:
    middleware = PreflightMiddleware(Spy(), POLICY, debug=True)  # and `serve` empties each list
    for _ in range(2):
        assert ask(middleware).headers == TEXT + ALLOWED
        assert ask_preflight(middleware).only(*(name for name, _ in GRANTED)) == GRANTED
        assert ask_preflight(middleware, "DELETE").only("Access-Control-Allow-Origin", "Vary") == [ACAO, VARY_ALL]


# ---------------------------------------------------------------------------------------
# Preflights
# ---------------------------------------------------------------------------------------

REFUSED_BODY = b"This CORS preflight is refused.\n"
REFUSED = [VARY_ALL, ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "32")]


@pytest.mark.parametrize("around", LINTERS)
def test_granted(around: Callable[[WSGIApplication], WSGIApplication]) -> None:
    spy = Spy()
    answer = ask_preflight(around(PreflightMiddleware(around(spy), POLICY)))
    assert answer == ("204 No Content", [*GRANTED, ("Content-Length", "0")], b"")
    assert spy.calls == 0


@pytest.mark.parametrize(
    ("status", "line"),
    [(200, "200 OK"), (205, "205 Reset Content"), (226, "226 IM Used"), (230, "230 Success"), (299, "299 Success")],
)
def test_granted_with_another_status(status: int, line: str) -> None:
    spy = Spy()
    answer = ask_preflight(validator(PreflightMiddleware(spy, POLICY.override(preflight_status=status))))
    described = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "0")]
    assert answer == (line, GRANTED + described, b"")
    assert spy.calls == 0


@pytest.mark.parametrize(
    ("method", "wanted", "origin"),
    [
        pytest.param("PUT", None, OTHER, id="origin"),
        pytest.param("PUT", None, "null", id="null"),
        pytest.param("PUT", None, "", id="empty origin"),
        pytest.param("DELETE", None, ORIGIN, id="method"),
        pytest.param("", None, ORIGIN, id="empty method"),
        pytest.param("TRACE", None, ORIGIN, id="forbidden method"),
        pytest.param("PUT", "x-a", ORIGIN, id="header"),
        pytest.param("PUT", "x a", ORIGIN, id="malformed header"),
        pytest.param("PUT", "x" * 5000, ORIGIN, id="over-long header"),
    ],
)
def test_refused(method: str, wanted: str | None, origin: str) -> None:
    spy = Spy()
    answer = ask_preflight(validator(PreflightMiddleware(spy, POLICY)), method, wanted, origin)
    assert answer == ("403 Forbidden", REFUSED, REFUSED_BODY)
    assert spy.calls == 0


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param(make_environ("OPTIONS", Origin=ORIGIN), id="no wanted method"),
        pytest.param(make_environ("OPTIONS", Access_Control_Request_Method="PUT"), id="no origin"),
        pytest.param(make_environ("POST", Origin=ORIGIN, Access_Control_Request_Method="PUT"), id="no OPTIONS"),
    ],
)
def test_anything_less_than_a_preflight_is_the_app_s(environ: WSGIEnvironment) -> None:
    spy = Spy()
    answer = serve(validator(PreflightMiddleware(validator(spy), POLICY)), environ)
    assert answer == ("200 OK", TEXT + (ALLOWED if "HTTP_ORIGIN" in environ else [VARY]), b"the app")
    assert spy.calls == 1


@pytest.mark.parametrize(
    "policy",
    [POLICY, lambda environ: POLICY, by_path({"/": POLICY, "/api": Policy()})],
    ids=["policy", "callable", "by_path"],
)
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(("origin", "added"), [(ORIGIN, ALLOWED), (OTHER, [VARY])], ids=["allowed", "refused"])
def test_a_server_may_leave_out_the_method(
    origin: str, added: Headers, debug: bool, policy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """PEP 3333 asks for it. Without it, a request is no preflight."""
    caplog.set_level(logging.INFO, "flask_preflight")
    environ = make_environ(Origin=origin, Access_Control_Request_Method="PUT")
    del environ["REQUEST_METHOD"]
    answer = serve(PreflightMiddleware(Spy(), policy, debug=debug), environ)
    assert [header for header in answer.headers if header[0] != "CORS-Refused"] == TEXT + added
    assert (answer.status, answer.body) == ("200 OK", b"the app")


FOREIGN = (
    "The origin 'https://evil.com' is not in allow_origins. If the page is yours, write"
    " allow_origins=['https://frontend.com', 'https://evil.com'] in the Policy."
)


@pytest.mark.parametrize(
    ("method", "wanted", "origin", "status", "passed", "reason", "sentence"),
    [
        pytest.param(
            "DELETE",
            None,
            ORIGIN,
            "200 OK",
            [ACAO, ACAC],
            "method-not-allowed",
            "The method 'DELETE' is not in allow_methods, which allows PUT. To allow it, write"
            " allow_methods=['PUT', 'DELETE'] in the Policy.",
            id="method",
        ),
        pytest.param(
            "GET",
            None,
            ORIGIN,
            "403 Forbidden",
            [ACAO, ACAC],
            "method-not-allowed",
            "The method 'GET' is not in allow_methods, which allows PUT. To allow it, write"
            " allow_methods=['PUT', 'GET'] in the Policy.",
            id="safelisted method",
        ),
        pytest.param(
            "PUT",
            "x-a",
            ORIGIN,
            "200 OK",
            GRANTED[:3],
            "headers-not-allowed",
            "The request header 'x-a' is not in allow_headers, which allows Content-Type. To allow it, write"
            " allow_headers=['Content-Type', 'X-A'] in the Policy.",
            id="header",
        ),
        pytest.param("PUT", None, OTHER, "403 Forbidden", [], "origin-not-allowed", FOREIGN, id="origin"),
    ],
)
def test_refused_in_debug_mode(
    method: str, wanted: str | None, origin: str, status: str, passed: Headers, reason: str, sentence: str
) -> None:
    spy = Spy()
    answer = ask_preflight(validator(PreflightMiddleware(spy, POLICY, debug=True)), method, wanted, origin)
    text = f"{sentence}\n"
    described = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
    assert answer == (
        status,
        [*passed, VARY_ALL, cors_refused(reason, sentence), *described],
        text.encode(),
    )
    assert spy.calls == 0


def test_debug_mode_changes_nothing_that_is_allowed() -> None:
    plain, debug = (PreflightMiddleware(Spy(), POLICY, debug=debug) for debug in (False, True))
    for origin in (ORIGIN, None):
        assert ask(plain, origin) == ask(debug, origin)
    assert ask_preflight(plain) == ask_preflight(debug)


def test_a_refused_actual_request_is_explained_in_debug_mode() -> None:
    app = validator(PreflightMiddleware(validator(Spy(("cors-refused", "by the app"))), POLICY, debug=True))
    answer = ask(app, OTHER)
    assert answer == ("200 OK", [*TEXT, VARY, cors_refused("origin-not-allowed", FOREIGN)], b"the app")
    assert ask(app).only("cors-refused", "CORS-Refused") == [("cors-refused", "by the app")]


# what a request sends beside its origin, and whether its refusal counts as one
COUNTS: dict[str, tuple[dict[str, str], bool]] = {
    "no further header": ({}, True),
    "cors": ({"HTTP_SEC_FETCH_MODE": "cors", "HTTP_SEC_FETCH_SITE": "cross-site"}, True),
    "cors, same site": ({"HTTP_SEC_FETCH_MODE": "cors", "HTTP_SEC_FETCH_SITE": "same-site"}, True),
    "cors, same origin": ({"HTTP_SEC_FETCH_MODE": "cors", "HTTP_SEC_FETCH_SITE": "same-origin"}, False),
    "navigation": ({"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_SITE": "cross-site"}, False),
    "no-cors": ({"HTTP_SEC_FETCH_MODE": "no-cors", "HTTP_SEC_FETCH_SITE": "cross-site"}, False),
    "websocket": ({"HTTP_SEC_FETCH_MODE": "websocket"}, False),
    "host of the origin": ({"HTTP_HOST": "evil.com"}, False),
    "host of the origin with its port spelled out": ({"HTTP_HOST": "evil.com:443"}, False),
    "another port of the host": ({"HTTP_HOST": "evil.com:8443"}, True),
    "host of the origin, and cross-site all the same": (
        {"HTTP_HOST": "evil.com", "HTTP_SEC_FETCH_SITE": "cross-site"},
        True,
    ),
}


@pytest.mark.parametrize(("environ", "counts"), COUNTS.values(), ids=COUNTS)
def test_which_refused_actual_requests_count(
    environ: dict[str, str], counts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = PreflightMiddleware(Spy(), POLICY, debug=True)
    with signals_of(app.app) as received:
        answer = ask(app, OTHER, **environ)
    assert [name for name, _ in answer.headers if name.lower().startswith("access-control-")] == []
    assert bool(answer.only("CORS-Refused")) == counts
    assert len(caplog.records) == counts
    assert [name for name, *_ in received] == ["request-refused"] * counts


@given(policies(), ANYTHING, st.none() | ANYTHING, st.none() | ANYTHING, st.booleans())
def test_no_header_value_raises(
    policy: Policy, origin: str, method: str | None, names: str | None, debug: bool
) -> None:
    environ = make_environ("OPTIONS")
    given = {
        "HTTP_ORIGIN": origin,
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": method,
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": names,
    }
    environ |= {key: value for key, value in given.items() if value is not None}
    answer = serve(validator(PreflightMiddleware(validator(Spy()), policy, debug=debug)), environ)
    assert all(value.isascii() and value.isprintable() for _, value in answer.headers)
    assert answer.body.isascii()


# ---------------------------------------------------------------------------------------
# Headers that the app sets
# ---------------------------------------------------------------------------------------

EVERYBODY = Policy(allow_origins="*", expose_headers=["ETag"])
PLAIN = Policy(allow_origins=[ORIGIN])


@pytest.mark.parametrize(
    ("policy", "origin", "of_app", "sent"),
    [
        pytest.param(PLAIN, ORIGIN, [("Access-Control-Allow-Origin", "*")], [ACAO, VARY], id="replaced"),
        pytest.param(
            PLAIN,
            ORIGIN,
            [("access-control-allow-origin", "*"), ("ACCESS-CONTROL-ALLOW-ORIGIN", ORIGIN)],
            [ACAO, VARY],
            id="doubled, in any case",
        ),
        pytest.param(
            PLAIN,
            OTHER,
            [("Access-Control-Allow-Origin", OTHER), ("Access-Control-Allow-Credentials", "true")],
            [VARY],
            id="dropped where the origin is refused",
        ),
        pytest.param(PLAIN, None, [("Access-Control-Allow-Origin", "*")], [VARY], id="dropped without origin"),
        pytest.param(
            PLAIN, ORIGIN, [("Access-Control-Allow-Credentials", "true")], [ACAO, VARY], id="credentials dropped"
        ),
        pytest.param(
            PLAIN,
            ORIGIN,
            [
                ("Access-Control-Allow-Methods", "PUT"),
                ("Access-Control-Allow-Headers", "x-a"),
                ("Access-Control-Max-Age", "1"),
                ("Access-Control-Allow-Private-Network", "true"),
            ],
            [ACAO, VARY],
            id="headers of preflights dropped",
        ),
        pytest.param(
            PLAIN,
            ORIGIN,
            [("X-A", "1"), ("Access-Control-Allow-Origin", "*"), ("X-B", "2"), ("X-A", "3")],
            [("X-A", "1"), ("X-B", "2"), ("X-A", "3"), ACAO, VARY],
            id="the rest stays in order",
        ),
        pytest.param(
            PLAIN,
            ORIGIN,
            [("access-control-expose-headers", "X-A")],
            [ACAO, VARY, ("Access-Control-Expose-Headers", "X-A")],
            id="exposed by the app alone",
        ),
        pytest.param(POLICY, OTHER, [("Access-Control-Expose-Headers", "X-A")], [VARY], id="not exposed where refused"),
        pytest.param(POLICY, None, [("Access-Control-Expose-Headers", "X-A")], [VARY], id="not exposed without origin"),
        pytest.param(
            EVERYBODY,
            None,
            [("Access-Control-Expose-Headers", "etag")],
            [("Access-Control-Allow-Origin", "*"), ACEH],
            id="exposed by both, in another case",
        ),
        pytest.param(
            POLICY,
            ORIGIN,
            [("Access-Control-Expose-Headers", "X-B,,x-a"), ("Access-Control-Expose-Headers", "X-A, etag, c d")],
            [ACAO, ACAC, ("Access-Control-Expose-Headers", "ETag, X-B, x-a"), VARY],
            id="exposed by both, in order",
        ),
        pytest.param(
            POLICY.override(expose_headers=[]),
            ORIGIN,
            [("Access-Control-Expose-Headers", "*")],
            [ACAO, ACAC, VARY],
            id="nothing left to expose",
        ),
        pytest.param(
            Policy(allow_origins="*", expose_headers="*"),
            None,
            [("Access-Control-Expose-Headers", "*")],
            [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "*")],
            id="all exposed by both",
        ),
        pytest.param(POLICY, ORIGIN, [("Access-Control-Expose-Headers", "*")], ALLOWED, id="no star with credentials"),
        pytest.param(
            PLAIN.override(allow_timing=True),
            ORIGIN,
            [("timing-allow-origin", "*")],
            [ACAO, ("Timing-Allow-Origin", ORIGIN), VARY],
            id="timing replaced",
        ),
        pytest.param(
            PLAIN,
            ORIGIN,
            [("Timing-Allow-Origin", "*")],
            [("Timing-Allow-Origin", "*"), ACAO, VARY],
            id="timing of the app, where the policy sets none",
        ),
    ],
)
def test_the_middleware_owns_access_control(policy: Policy, origin: str | None, of_app: Headers, sent: Headers) -> None:
    assert ask(PreflightMiddleware(Spy(*of_app), policy), origin).headers == TEXT + sent


@pytest.mark.parametrize(
    ("of_app", "merged"),
    [
        ([("Vary", "Accept")], "Accept, Origin"),
        ([("vary", "Accept, Cookie")], "Accept, Cookie, Origin"),
        ([("Vary", "Origin")], "Origin"),
        ([("VARY", "ORIGIN")], "ORIGIN"),
        ([("Vary", "Accept , origin,")], "Accept, origin"),
        ([("Vary", "Origin, Accept, origin")], "Origin, Accept"),
        ([("Vary", "X-Origin")], "X-Origin, Origin"),
        ([("Vary", "*")], "*"),
        ([("Vary", "Accept, *")], "*"),
        ([("Vary", "Accept"), ("Vary", "*")], "*"),
        ([("Vary", "Accept"), ("Vary", "Cookie")], "Accept, Cookie, Origin"),
        ([("Vary", "Accept"), ("vary", "Origin"), ("VARY", "accept")], "Accept, Origin"),
        ([("Vary", "")], "Origin"),
        ([("Vary", " ")], "Origin"),
        ([("Vary", "Accept ,,Cookie,")], "Accept, Cookie, Origin"),
    ],
    ids=str,
)
def test_vary_is_merged_into_one_line(of_app: Headers, merged: str) -> None:
    for origin, added in ((ORIGIN, [ACAO]), (OTHER, []), (None, [])):
        headers = ask(PreflightMiddleware(Spy(*of_app), PLAIN), origin).headers
        assert sorted(headers) == sorted([*TEXT, *added, ("Vary", merged)])
    assert ask(PreflightMiddleware(Spy(*of_app), EVERYBODY)).only("Vary", "vary", "VARY") == of_app


def varying(app: WSGIApplication) -> WSGIApplication:
    """Add a `Vary`, as middleware that compresses does."""

    def outer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def starts(status: str, headers: Headers, *exc_info: Any) -> Callable[[bytes], object]:
            return start_response(status, [*headers, ("Vary", "Accept-Encoding")], *exc_info)

        return app(environ, starts)

    return outer


def test_headers_of_outer_middleware_stay() -> None:
    app = varying(PreflightMiddleware(varying(Spy()), PLAIN))
    compressed = ("Vary", "Accept-Encoding")
    assert ask(app).headers == [*TEXT, ACAO, ("Vary", "Accept-Encoding, Origin"), compressed]
    assert ask_preflight(app).only("Vary") == ask_preflight(app, "GET").only("Vary") == [VARY_ALL, compressed]


# ---------------------------------------------------------------------------------------
# Policies by a callable, and swapped ones
# ---------------------------------------------------------------------------------------


def test_a_callable_policy_is_asked_once_for_each_request() -> None:
    asked: list[WSGIEnvironment] = []

    def find(environ: WSGIEnvironment) -> Policy:
        asked.append(environ)
        return POLICY

    app = PreflightMiddleware(Spy(), find)
    environ = make_environ(Origin=ORIGIN)
    assert serve(app, environ).headers == TEXT + ALLOWED
    assert len(asked) == 1
    assert asked[0] is environ
    assert ask_preflight(app).status == "204 No Content"
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("found", "written"),
    [
        pytest.param("*", "allow_origins='*'", id="star"),
        pytest.param(["https://a.com"], "allow_origins=['https://a.com']", id="origins"),
        pytest.param({"max_age": 60}, "max_age=60", id="fields"),
        pytest.param(True, "allow_origins=['https://example.com']", id="true"),
        pytest.param(Policy, "allow_origins=['https://example.com']", id="class"),
    ],
)
def test_a_callable_policy_that_returns_something_else(found: Any, written: str) -> None:
    spy = Spy()

    def find(environ: WSGIEnvironment) -> Any:
        return found

    with pytest.raises(TypeError) as caught:
        ask(PreflightMiddleware(spy, find))
    advice = f"let it return Policy({written}), or None to leave the request alone"
    assert str(caught.value) == f"find returned {show(found)}; {advice}"
    assert spy.calls == 0


@pytest.mark.parametrize("policy", ["*", {"allow_origins": "*"}], ids=repr)
def test_only_a_policy_can_be_put_in_force(policy: Any) -> None:
    right = "write PreflightMiddleware(app, Policy(allow_origins='*')), or a callable that returns a Policy"
    message = f"the policy is {policy!r}; {right}"
    with pytest.raises(TypeError) as caught:
        PreflightMiddleware(Spy(), policy)
    assert str(caught.value) == message
    middleware = PreflightMiddleware(Spy(), POLICY)
    with pytest.raises(TypeError) as caught:
        middleware.policy = policy
    assert str(caught.value) == message
    assert middleware.policy is POLICY


def test_none_is_no_policy() -> None:
    none: Any = None
    with pytest.raises(TypeError, match="write PreflightMiddleware"):
        PreflightMiddleware(Spy(), none)
    middleware = PreflightMiddleware(Spy(), POLICY)
    with pytest.raises(TypeError, match="the policy is None; write PreflightMiddleware"):
        middleware.policy = none
    assert middleware.policy is POLICY


def test_a_swap_holds_for_the_requests_that_begin_after_it() -> None:
    middleware = PreflightMiddleware(Spy(), POLICY)

    def swaps(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        middleware.policy = EVERYBODY
        start_response("200 OK", [*TEXT])
        yield b""

    middleware.app = swaps
    assert ask(middleware).headers == TEXT + ALLOWED
    assert ask(middleware).headers == [*TEXT, ("Access-Control-Allow-Origin", "*"), ACEH]
    middleware.policy = by_path({"/x": POLICY})
    assert ask(PreflightMiddleware(Spy(), middleware.policy)).headers == TEXT


def test_the_policy_that_is_shown_is_the_one_in_force_whoever_else_swaps_it() -> None:
    policies = [Policy(allow_origins=[f"https://{number}.com"]) for number in range(8)]
    middleware = PreflightMiddleware(Spy(), POLICY)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            threads = [threading.Thread(target=setattr, args=(middleware, "policy", each)) for each in policies]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            shown = middleware.policy
            assert isinstance(shown, Policy)
            [origin] = cast("Iterable[str]", shown.allow_origins)
            assert ask_preflight(middleware, "GET", HTTP_ORIGIN=origin).status.startswith("204")
    finally:
        sys.setswitchinterval(interval)


def test_a_swap_sets_one_attribute() -> None:
    """So nothing can come between, and no request sees one half of it."""
    written: list[str] = []

    class Watched(PreflightMiddleware):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if not isinstance(getattr(type(self), name, None), property):
                written.append(name)

    middleware = Watched(Spy(), POLICY)
    policies: list[Any] = [Policy(), lambda environ: POLICY, by_path({"/": POLICY}), POLICY]
    for policy in policies:
        written.clear()
        middleware.policy = policy
        assert len(written) == 1
        before = vars(middleware).copy()
        ask(middleware)
        ask_preflight(middleware)
        assert vars(middleware) == before, "nothing is remembered of a request"


def test_a_swap_may_be_interrupted_by_another_at_any_line() -> None:
    """As by a signal handler: afterwards the policy that is shown is the one in force."""
    inner = Policy(allow_origins=["https://inner.com"])
    outer = Policy(allow_origins=["https://outer.com"])
    interrupted = 0

    def swap(middleware: PreflightMiddleware, at: int) -> None:
        lines = 0

        def trace(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal lines, interrupted
            if not frame.f_globals["__name__"].startswith("flask_preflight"):
                return None
            if event == "line":
                lines += 1
                if lines == at:
                    sys.settrace(None)
                    middleware.policy = inner
                    interrupted += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            middleware.policy = outer
        finally:
            sys.settrace(before)

    for at in range(1, 20):
        middleware = PreflightMiddleware(Spy(), POLICY)
        swap(middleware, at)
        shown = middleware.policy
        assert isinstance(shown, Policy)
        [origin] = cast("Iterable[str]", shown.allow_origins)
        assert ask(middleware, origin).only("Access-Control-Allow-Origin") == [("Access-Control-Allow-Origin", origin)]
    assert interrupted >= 2


def test_every_answer_belongs_to_one_of_two_policies_while_they_are_swapped() -> None:
    one = Policy(
        allow_origins=[ORIGIN], allow_methods=["GET", "PUT"], allow_headers=["X-A"], max_age=1, preflight_status=200
    )
    two = Policy(
        allow_origins=["https://*.com"], allow_methods="*", allow_headers="*", expose_headers=["X-B"], max_age=2
    )
    questions: list[Callable[[WSGIApplication], Answer]] = [
        *(lambda app, origin=origin: ask(app, origin) for origin in (ORIGIN, OTHER)),
        *(
            lambda app, method=method, wanted=wanted: ask_preflight(app, method, wanted)
            for method in ("PUT", "DELETE")
            for wanted in (None, "x-a", "x-b")
        ),
    ]
    right = [{repr(question(PreflightMiddleware(Spy(), policy))) for policy in (one, two)} for question in questions]
    assert all(len(answers) == 2 for answers in right), "no answer is the same under both"

    middleware = PreflightMiddleware(Spy(), one)
    answers: list[set[str]] = [set() for _ in questions]
    done = threading.Event()

    def hammer(offset: int) -> None:
        for number in range(offset, offset + 500):
            index = number % len(questions)
            answers[index].add(repr(questions[index](middleware)))

    def swap() -> None:
        for policy in itertools.cycle([two, one]):
            middleware.policy = policy
            if done.is_set():
                break

    threads = [threading.Thread(target=hammer, args=(offset,)) for offset in range(6)]
    swapper = threading.Thread(target=swap)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in (swapper, *threads):
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        done.set()
        swapper.join()
        sys.setswitchinterval(interval)
    for index, expected in enumerate(right):
        assert answers[index]
        assert answers[index] <= expected


# ---------------------------------------------------------------------------------------
# One inside another
# ---------------------------------------------------------------------------------------

INNER = Policy(allow_origins="*", expose_headers=["X-Inner"])


def line_here() -> int:
    """The line that calls this."""
    return sys._getframe(1).f_lineno


def warning_of(inside: int, around: int) -> str:
    """What the log says of two middlewares that are made in these lines."""
    call = f"PreflightMiddleware(...) at {__file__}:"
    return f"{call}{inside} is inside {call}{around}, which acts on the same requests. Remove one of the two."


def copying(app: WSGIApplication) -> WSGIApplication:
    return lambda environ, start_response: app(environ.copy(), start_response)


def mounted(app: WSGIApplication) -> WSGIApplication:
    return DispatcherMiddleware(Spy(), {"/": app, "/mount": app})


@pytest.mark.parametrize("between", [*LINTERS, copying, mounted, varying])
def test_of_two_the_outer_one_stands(
    between: Callable[[WSGIApplication], WSGIApplication], caplog: pytest.LogCaptureFixture
) -> None:
    spy = Spy()
    line = line_here() + 1
    inner = PreflightMiddleware(spy, INNER)
    outer = PreflightMiddleware(between(inner), POLICY)
    for _ in range(3):
        answer = ask(outer, PATH_INFO="/mount/x")
        assert answer.only("Access-Control-Allow-Origin", "Access-Control-Expose-Headers") == [ACAO, ACEH]
        assert ask_preflight(outer).only(*(name for name, _ in GRANTED)) == GRANTED
    assert spy.calls == 3
    assert caplog.record_tuples == [("flask_preflight", logging.WARNING, warning_of(line, line + 1))]


def test_each_pair_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    line = line_here() + 1
    inner = PreflightMiddleware(Spy(), INNER)
    middle = PreflightMiddleware(inner, INNER)
    outers = [
        PreflightMiddleware(inner, POLICY),
        PreflightMiddleware(middle, POLICY),
    ]
    for outer in outers * 2:
        assert ask(outer).headers == TEXT + ALLOWED
    assert caplog.messages == [warning_of(line + inside, line + around) for inside, around in [(0, 3), (1, 4), (0, 4)]]


SITE = Flask("site")


@pytest.mark.parametrize("make_app", [lambda: SITE.wsgi_app, Spy], ids=["around one app", "each around its own"])
def test_a_pair_is_warned_about_once_however_many_are_made(
    make_app: Callable[[], WSGIApplication], caplog: pytest.LogCaptureFixture
) -> None:
    """What is made for each request does not use up the records for refusals."""
    caplog.set_level(logging.INFO, "flask_preflight")
    made, line = list[PreflightMiddleware](), line_here()

    def makes_one(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        made.append(PreflightMiddleware(make_app(), INNER))
        return made[-1](environ, start_response)

    outer = PreflightMiddleware(makes_one, POLICY)
    for _ in range(200):
        ask(outer)
    ask(outer, OTHER)
    assert len(made) == 201
    assert caplog.messages[0] == warning_of(line + 3, line + 6)
    assert [extras(record)[0] for record in caplog.records[1:]] == ["origin-not-allowed"]


class Unshowable(Spy):
    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_an_app_that_cannot_be_shown_is_answered_and_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    outer = PreflightMiddleware(PreflightMiddleware(Unshowable(), INNER), POLICY)
    assert ask(outer).headers == TEXT + ALLOWED
    assert len(caplog.messages) == 1


def test_where_the_outer_one_hands_off_the_inner_one_acts(caplog: pytest.LogCaptureFixture) -> None:
    spy = Spy()
    inner = PreflightMiddleware(spy, INNER)
    outer = validator(PreflightMiddleware(validator(inner), by_path({"/api": POLICY})))
    assert ask(outer, PATH_INFO="/x").headers == ask(inner).headers
    assert ask_preflight(outer, "GET", PATH_INFO="/x") == ask_preflight(inner, "GET")
    assert caplog.records == []


def test_where_the_inner_one_hands_off_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    outer = PreflightMiddleware(PreflightMiddleware(Spy(), by_path({"/x": INNER})), POLICY)
    assert ask(outer).headers == TEXT + ALLOWED
    assert caplog.records == []


@pytest.mark.parametrize("found", [INNER, None], ids=["a policy", "none"])
def test_a_finder_is_asked_once_a_request_also_inside_another(found: Policy | None) -> None:
    asked: list[str] = []

    def find(environ: WSGIEnvironment) -> Policy | None:
        asked.append(environ["REQUEST_METHOD"])
        return found

    inner = PreflightMiddleware(Spy(), find)
    ask(PreflightMiddleware(inner, POLICY))
    ask(inner)
    ask_preflight(inner, "GET")
    assert asked == ["GET", "GET", "OPTIONS"]


def test_one_that_calls_itself_is_not_inside_another(caplog: pytest.LogCaptureFixture) -> None:
    spy = Spy()

    def forwards(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        middleware.app = spy
        return middleware(environ, start_response)

    middleware = PreflightMiddleware(forwards, POLICY)
    assert sorted(ask(middleware).headers) == sorted(TEXT + ALLOWED)
    assert caplog.records == []


def lazy(app: WSGIApplication) -> WSGIApplication:
    def generator(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        yield from app(environ, start_response)

    return generator


def test_the_outer_one_stands_even_if_the_inner_one_runs_late() -> None:
    spy = Spy()
    outer = PreflightMiddleware(lazy(PreflightMiddleware(spy, INNER.override(expose_headers=[]))), POLICY)
    assert ask(outer).headers == TEXT + ALLOWED
    assert ask_preflight(outer).only(*(name for name, _ in GRANTED)) == GRANTED
    assert spy.calls == 1


def cascade(first: WSGIApplication, second: WSGIApplication) -> WSGIApplication:
    """Ask *first*, and where it finds nothing *second*, with the same environ."""

    def ask_both(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = serve(first, environ)
        if answer.status == "404 Not Found":
            answer = serve(second, environ)
        start_response(answer.status, answer.headers)
        return [answer.body]

    return ask_both


@pytest.mark.parametrize("first", [Spy(status="404 Not Found"), copying(Spy(status="404 Not Found"))])
def test_one_beside_another_is_not_inside_it(first: WSGIApplication, caplog: pytest.LogCaptureFixture) -> None:
    app = cascade(PreflightMiddleware(first, INNER), PreflightMiddleware(Spy(), POLICY))
    assert ask(app).headers == TEXT + ALLOWED
    assert caplog.records == []


def test_no_trace_is_left_in_the_environ() -> None:
    for app in (Spy(), raises_before_start):
        environ = make_environ(Origin=ORIGIN)
        keys = set(environ)
        with contextlib.suppress(ZeroDivisionError):
            serve(PreflightMiddleware(app, POLICY), environ)
        assert set(environ) == keys


def test_repr_names_the_call() -> None:
    line = line_here() + 1
    middleware = PreflightMiddleware(Unshowable(), POLICY)
    assert repr(middleware) == f"<PreflightMiddleware(...) at {__file__}:{line}>"


# ---------------------------------------------------------------------------------------
# Callables that fail
# ---------------------------------------------------------------------------------------


def fails(origin: str, environ: dict[str, Any]) -> bool:
    raise LookupError("no tenant\r\nWARNING:root:\u2028\x1b[31mforged")


def test_a_failing_callable_refuses_and_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    spy = Spy()
    app = validator(PreflightMiddleware(validator(spy), Policy(allow_origins=fails)))
    for _ in range(3):
        assert ask(app) == ("200 OK", [*TEXT, VARY], b"the app")
        assert ask_preflight(app) == ("403 Forbidden", REFUSED, REFUSED_BODY)
    assert spy.calls == 3
    (record,) = caplog.records  # one a minute, however often it fails
    assert (record.name, record.levelno) == ("flask_preflight", logging.ERROR)
    assert record.exc_info is not None
    assert record.exc_info[0] is LookupError
    message = record.getMessage()
    assert message.startswith(f"allow_origins failed for the origin '{ORIGIN}', which is refused")
    assert r"no tenant\r\nWARNING:root:\u2028\x1b[31mforged" in message
    assert f"{__file__}:{fails.__code__.co_firstlineno + 1}" in message
    assert message.isprintable()


def test_an_error_that_cannot_be_shown_is_no_500(caplog: pytest.LogCaptureFixture) -> None:
    def fails_twice(origin: str, environ: dict[str, Any]) -> bool:
        raise Unspeakable

    for debug in (False, True):
        app = PreflightMiddleware(Spy(), Policy(allow_origins=fails_twice), debug=debug)
        assert ask(app).body == b"the app"
        assert ask_preflight(app).status == "403 Forbidden"
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "WARNING", "WARNING"]


def test_a_callable_that_returns_no_bool_refuses_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = PreflightMiddleware(Spy(), Policy(allow_origins=lambda *_: 1))  # type: ignore[arg-type]
    assert ask(app).headers == [*TEXT, VARY]
    (record,) = caplog.records
    assert "allow_origins returned int, not bool" in record.getMessage()


def test_a_callable_that_answers_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app = PreflightMiddleware(Spy(), Policy(allow_origins=lambda origin, environ: environ["PATH_INFO"] == "/x"))
    assert ask(app, PATH_INFO="/x").headers == [*TEXT, ACAO, VARY]
    assert ask(app).headers == [*TEXT, VARY]
    assert caplog.records == []


# ---------------------------------------------------------------------------------------
# What is told: the log, signals, and the list for tests
# ---------------------------------------------------------------------------------------

Received = list[tuple[str, Decision, dict[str, Any]]]


@contextlib.contextmanager
def signals_of(sender: object) -> Iterator[Received]:
    """What the four signals send for an app."""
    received: Received = []
    with contextlib.ExitStack() as stack:
        for signal in (preflight_granted, preflight_refused, request_allowed, request_refused):

            def receive(_: object, *, name: str = signal.name, decision: Decision, environ: dict[str, Any]) -> None:
                received.append((name, decision, environ))

            stack.enter_context(signal.connected_to(receive, sender))
        yield received


@pytest.mark.parametrize(
    ("policy", "method", "origin", "name"),
    [
        pytest.param(POLICY, "PUT", ORIGIN, "preflight-granted", id="granted"),
        pytest.param(POLICY, "PUT", OTHER, "preflight-refused", id="refused"),
        pytest.param(POLICY, None, ORIGIN, "request-allowed", id="allowed"),
        pytest.param(POLICY, None, OTHER, "request-refused", id="actual request refused"),
        pytest.param(Policy(allow_origins="*"), None, OTHER, "request-allowed", id="allowed for everybody"),
        pytest.param(Policy(allow_origins="*"), "GET", OTHER, "preflight-granted", id="granted for everybody"),
        pytest.param(Policy(allow_origins=lambda *_: True), None, OTHER, "request-allowed", id="callable allows"),
        pytest.param(Policy(allow_origins=lambda *_: True), "GET", OTHER, "preflight-granted", id="callable grants"),
        pytest.param(Policy(allow_origins=lambda *_: False), None, OTHER, "request-refused", id="callable refuses"),
        pytest.param(POLICY, None, None, None, id="no origin"),
    ],
)
def test_signals(policy: Policy, method: str | None, origin: str | None, name: str | None) -> None:
    spy = Spy()
    app = PreflightMiddleware(spy, policy)
    expected = ask(app, origin) if method is None else ask_preflight(app, method, origin=str(origin))
    with signals_of(spy) as received, signals_of(Spy()) as of_another_app:
        answer = ask(app, origin) if method is None else ask_preflight(app, method, origin=str(origin))
    assert answer == expected
    assert [name for name, *_ in received] == ([name] if name else [])
    assert of_another_app == []
    for _, decision, environ in received:
        assert decision == negotiate(policy, RequestFacts(environ["REQUEST_METHOD"], origin, method, None, environ))


@pytest.mark.parametrize("debug", [False, True])
def test_a_receiver_that_raises_changes_no_answer(debug: bool, caplog: pytest.LogCaptureFixture) -> None:
    def receive(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    spy = Spy()
    app = PreflightMiddleware(spy, POLICY, debug=debug)
    questions: list[Callable[[WSGIApplication], Answer]] = [
        ask,
        ask_preflight,
        lambda app: ask(app, OTHER),
        lambda app: ask_preflight(app, "GET"),
    ]
    expected = [question(app) for question in questions]
    caplog.clear()
    with contextlib.ExitStack() as stack:
        for signal in (preflight_granted, preflight_refused, request_allowed, request_refused):
            stack.enter_context(signal.connected_to(receive, spy))
        assert [question(app) for question in questions] == expected
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(failures) == 1  # one cause: the same line raised the same error
    assert f"{__file__}:{receive.__code__.co_firstlineno + 1}" in failures[0].getMessage()


@pytest.mark.parametrize("debug", [False, True], ids=["production", "debug"])
@pytest.mark.parametrize("is_handler", [False, True], ids=["receiver", "handler"])
def test_what_is_told_of_a_refusal_may_cause_another_one(
    is_handler: bool, debug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler or receiver that sends what it gets to the same app: that ends, and changes no answer."""
    caplog.set_level(logging.INFO, "flask_preflight")
    app, depths = PreflightMiddleware(Spy(), POLICY, debug=debug), list[int]()

    def send_on(*_: object, **__: object) -> None:
        depths.append(len(depths))
        ask_preflight(app, "DELETE")

    expected = ask_preflight(app, "DELETE")
    handler = logging.Handler()
    vars(handler)["emit"] = send_on
    logger = logging.getLogger("flask_preflight")
    with contextlib.ExitStack() as stack:
        if is_handler:
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
        else:
            stack.enter_context(preflight_refused.connected_to(send_on))
        assert ask_preflight(app, "DELETE") == expected
    assert bool(depths) == (debug or not is_handler), "in production the cause was logged before"
    assert ask_preflight(app, "DELETE") == expected


def test_refusals_are_logged_as_under_flask(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    app = PreflightMiddleware(Spy(), by_path({"/api": POLICY}))
    for _ in range(3):
        assert ask_preflight(app, "DELETE", PATH_INFO="/api/x").status == "403 Forbidden"
        ask(app, "https://frontend.com:8443", PATH_INFO="/api/x", REQUEST_METHOD="POST")
        assert ask_preflight(app, "PUT", PATH_INFO="/api/x").status == "204 No Content"
        ask(app, OTHER, PATH_INFO="/elsewhere")
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    refused, other = caplog.records
    assert (refused.name, extras(refused)[:2]) == ("flask_preflight", ["method-not-allowed", ORIGIN])
    assert extras(other)[:2] == ["origin-not-allowed", "https://frontend.com:8443"]
    message = refused.getMessage()
    assert "method-not-allowed" in message
    assert "'DELETE'" in message
    assert "To allow it, write allow_methods=['PUT', 'DELETE'] in the Policy of '/api'." in message
    assert "'POST'" in other.getMessage()
    assert f"The nearest allowed origin is '{ORIGIN}'. It differs in the port." in other.getMessage()


def extras(record: logging.LogRecord) -> list[str]:
    return [getattr(record, name) for name in ("cors_reason", "cors_origin", "cors_rule")]


def test_in_debug_mode_every_refusal_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    app = PreflightMiddleware(Spy(), POLICY, debug=True)
    for _ in range(3):
        ask_preflight(app, "DELETE")
        ask(app, OTHER)
        ask_preflight(app)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 6


def test_in_production_nothing_is_logged_at_the_usual_level(caplog: pytest.LogCaptureFixture) -> None:
    app = PreflightMiddleware(Spy(), POLICY)
    ask_preflight(app, "DELETE")
    ask(app, OTHER)
    assert caplog.records == []


def test_strangers_cannot_make_up_causes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    app = PreflightMiddleware(Spy(), by_path({"/api": POLICY, "/": EVERYBODY}))
    for number in range(50):
        ask_preflight(app, f"M{number}", f"x-{number}", PATH_INFO=f"/api/{number}")
        ask(app, f"https://stranger{number}.com", PATH_INFO=f"/api/{number}")
    assert len(caplog.records) == 2


def test_what_strangers_send_is_escaped_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    forged = "/x\r\nERROR:root:forged\n\x1b[2J\x85"
    app = PreflightMiddleware(Spy(), POLICY)
    ask_preflight(app, "PUT", origin=forged, PATH_INFO=forged)
    ask_preflight(app, "DELETE", PATH_INFO=forged)
    ask(app, OTHER, PATH_INFO=forged, REQUEST_METHOD=forged)
    assert len(caplog.records) == 3
    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert record.getMessage().isascii()
        assert all(value.isprintable() for value in extras(record))


@pytest.mark.parametrize("debug", [False, True])
def test_refusals_are_appended_to_the_list_that_a_caller_puts_into_the_environ(debug: bool) -> None:
    app = PreflightMiddleware(Spy(), POLICY, debug=debug)
    refusals: list[str] = []
    listed: dict[str, Any] = {"flask_preflight.refusals": refusals}
    assert ask_preflight(app, **listed).status == "204 No Content"
    assert ask(app, **listed).only("Access-Control-Allow-Origin") == [ACAO]
    assert refusals == []
    ask(app, OTHER, **listed)
    answer = ask_preflight(app, "DELETE", **listed)
    assert refusals == [
        f"origin-not-allowed; {FOREIGN}",
        "method-not-allowed; The method 'DELETE' is not in allow_methods, which allows PUT. To allow it, write"
        " allow_methods=['PUT', 'DELETE'] in the Policy.",
    ]
    assert answer == ask_preflight(app, "DELETE"), "the answer is the same without a list"


# ---------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("debug", ["0", 1, 0, None, "yes"], ids=repr)
def test_debug_is_a_bool(debug: Any) -> None:
    with pytest.raises(TypeError) as caught:
        PreflightMiddleware(Spy(), POLICY, debug=debug)
    assert str(caught.value) == f"debug is {debug!r}; write True or False"


def test_fields_of_a_policy_are_no_arguments() -> None:
    fields: Any = {"allow_origins": ["https://a.com"]}
    rows: list[tuple[Any, str]] = [
        ((Spy(),), "allow_origins=['https://a.com']"),
        ((Spy(), Policy(max_age=60)), "max_age=60, allow_origins=['https://a.com']"),
    ]
    for args, right in rows:
        with pytest.raises(TypeError) as caught:
            PreflightMiddleware(*args, **fields)
        assert str(caught.value) == f"a policy is an object: write PreflightMiddleware(app, Policy({right}))"


class OnlyApp(PreflightMiddleware):
    def __init__(self, app: WSGIApplication) -> None:
        super().__init__(app, POLICY)


class Named(PreflightMiddleware):
    def __init__(self, app: WSGIApplication, *, name: str) -> None:
        super().__init__(app, POLICY)
        self.name = name


class LateName(PreflightMiddleware):
    def __init__(self, name: str, app: WSGIApplication) -> None:
        self.name = name
        super().__init__(app, policy=POLICY, debug=False)


SUBCLASSES: list[Any] = [
    pytest.param(lambda app: OnlyApp(app), id="app alone"),
    pytest.param(lambda app: Named(app, name="x"), id="another keyword"),
    pytest.param(lambda app: LateName("x", app), id="another order"),
    pytest.param(lambda app: PreflightMiddleware(app, POLICY), id="no subclass"),
]


@pytest.mark.parametrize("make", SUBCLASSES)
@pytest.mark.parametrize("twin", [none, copy.copy], ids=["itself", "copy"])
def test_a_subclass_may_have_other_arguments_and_a_middleware_may_be_copied(
    twin: Callable[[Any], Any], make: Callable[[WSGIApplication], PreflightMiddleware]
) -> None:
    middleware = make(Spy())
    copied = twin(middleware)
    assert type(copied) is type(middleware)
    assert ask(copied).headers == TEXT + ALLOWED
    assert ask_preflight(copied).status == "204 No Content"
    copied.policy = Policy()
    assert ask(copied).headers == [*TEXT, VARY]
    assert ask(middleware).headers == TEXT + (ALLOWED if twin is copy.copy else [VARY])


class Callable_:
    def __call__(self, environ: WSGIEnvironment) -> Policy | None:
        return POLICY


@pytest.mark.parametrize("policy", [Policy, Callable_, dict, "*", {"allow_origins": "*"}, 0, [POLICY]], ids=repr)
def test_a_policy_is_an_object_or_a_callable_and_no_class(policy: Any) -> None:
    middleware = PreflightMiddleware(Spy(), Callable_())
    for attempt in (lambda: PreflightMiddleware(Spy(), policy), lambda: setattr(middleware, "policy", policy)):
        with pytest.raises(TypeError) as caught:
            attempt()
        right = r"write PreflightMiddleware\(app, Policy\(.*\)\), or a callable that returns a Policy"
        assert re.fullmatch(f"the policy is {re.escape(show(policy))}; {right}", str(caught.value))
    assert ask(middleware).headers == TEXT + ALLOWED, "the policy before is still in force"


def test_the_app_comes_first() -> None:
    swapped: Any = (POLICY, Spy())
    with pytest.raises(TypeError) as caught:
        PreflightMiddleware(*swapped)
    assert str(caught.value) == "the app comes first, then the policy: write PreflightMiddleware(app, policy)"
