"""The tests' browser over sockets: what it asks, what it reads, and what it does not put up with."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trustme
from cases import MEASURED, Case, Outcome, Server, fetched, run_in_model, url_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_cases import random_case
from raw_server import SECONDS_OF_PATIENCE, RawServer, Talk, forever, leaving, raw_server, saying, silent
from real_browsers import serving
from werkzeug.datastructures import Headers

from flask_preflight import Policy, PreflightMiddleware, __version__
from flask_preflight.browser import Browser, CORSError, LiveTransport, Step
from flask_preflight.browser.urls import parse_url

pytestmark = pytest.mark.slow

SEED = 2026
COUNT = 300


def browser_at(server: RawServer, *, scheme: str = "http", **options: Any) -> Browser:
    """A page on the server itself, so that of the answer nothing but the form is checked."""
    origin = f"{scheme}://127.0.0.1:{server.port}"
    return Browser(origin=origin, transport=LiveTransport(origin, **options))


# ---------------------------------------------------------------------------------------
# The same outcomes as in process
# ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    """The cases' server, behind A, B and C."""
    origins: dict[str, str] = {}
    server = Server(origins)
    with serving(server) as a, serving(server) as b:
        origins.update(A=f"http://127.0.0.1:{a}", B=f"http://127.0.0.1:{b}", C=f"http://localhost:{b}")
        yield server


def run_live(case: Case, server: Server) -> list[Outcome]:
    server.cases[case.id] = case
    origin = "null" if case.opaque else server.origins["A"]
    browser = Browser(origin=origin, transport=LiveTransport(*server.origins.values()))
    outcomes = []
    for fetch in case.fetches:
        outcome = fetched(browser, fetch, url_of(case, fetch, server.origins))
        outcomes.append(replace(outcome, requests=server.take_log(case.id)))
    return outcomes


@pytest.mark.parametrize("case", MEASURED, ids=lambda case: case.id)
def test_measured_cases_end_as_in_process(served: Server, case: Case) -> None:
    assert run_live(case, served) == run_in_model(case, served.origins)


@pytest.mark.slow
def test_random_cases_end_as_in_process(served: Server) -> None:
    random = Random(SEED)
    cases = [random_case(random, f"random-{number}") for number in range(COUNT)]
    different = [case for case in cases if run_live(case, served) != run_in_model(case, served.origins)]
    assert different == []


# ---------------------------------------------------------------------------------------
# Requests
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "headers", "body", "sent"),
    [
        pytest.param("GET", [("X-A", "1"), ("X-A", "\xe9")], None, [], id="get"),
        pytest.param("POST", [], None, ["Content-Length: 0"], id="empty-post"),
        pytest.param("DELETE", [], None, [], id="delete"),
        pytest.param("PUT", [("X-A", "")], b"\xff\0", ["Content-Length: 2"], id="put"),
    ],
)
def test_the_request_byte_for_byte(
    method: str, headers: list[tuple[str, str]], body: bytes | None, sent: list[str]
) -> None:
    bodies: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        bodies.append(connection.recv(len(body)) if body else b"")
        connection.sendall(b"HTTP/1.1 204 No\r\n\r\n")

    with raw_server(talk) as server:
        browser_at(server).fetch("/a b?\xe9", method, headers, body=body)
    here = f"http://127.0.0.1:{server.port}"
    assert server.heads[0].splitlines() == [
        f"{method} /a%20b?%C3%A9 HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Connection: close",
        "Accept-Encoding: identity",
        *sent,
        *(f"{name}: {value}" for name, value in headers),
        "Accept: */*",
        f"Referer: {here}/",
        *([] if method == "GET" else [f"Origin: {here}"]),
        "Sec-Fetch-Dest: empty",
        "Sec-Fetch-Mode: cors",
        "Sec-Fetch-Site: same-origin",
        f"User-Agent: flask-preflight/{__version__}",
        "",
    ]
    assert bodies == [body or b""]


def test_a_script_may_set_its_own_user_agent() -> None:
    with raw_server(saying(b"HTTP/1.1 204 No\r\n\r\n")) as server:
        browser_at(server).fetch("/", headers={"User-Agent": "mine"})
    assert re.findall("User-Agent: .*", server.heads[0]) == ["User-Agent: mine\r"]


@pytest.mark.parametrize("host", ["localhost", "localhost.", "app.localhost", "app.localhost."])
def test_names_of_loopback_are_not_looked_up(host: str) -> None:
    with raw_server(saying(b"HTTP/1.1 204 No\r\n\r\n")) as server:
        origin = f"http://{host}:{server.port}"
        assert Browser(origin=origin, transport=LiveTransport(origin)).fetch("/").status == 204
    assert f"Host: {host}:{server.port}\r\n" in server.heads[0]


# ---------------------------------------------------------------------------------------
# Answers
# ---------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: Chunked\r\n\r\n"
TEN = b"0123456789"
TWICE = [("X-A", "1"), ("x-a", "1"), ("X-A", "1")]
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-A: hint\r\n\r\n"

GOOD = {
    "length": (OK + b"Content-Length: 2\r\n\r\nokmore", 200, [("Content-Length", "2")], b"ok"),
    "length-twice": (OK + b"Content-Length: 2\r\nContent-Length: 2, 2\r\n\r\nok", 200, None, b"ok"),
    "length-0": (OK + b"Content-Length: 0\r\n\r\n", 200, None, b""),
    "until-closed": (OK + b"\r\nok", 200, [], b"ok"),
    "chunked": (CHUNKED + b"1\r\no\r\n0001 ;x=y\r\nk\r\n0\r\nX-A: trailer\r\n\r\n", 200, None, b"ok"),
    "chunked-in-hexadecimal": (CHUNKED + b"A\r\n" + TEN + b"\r\na\r\n" + TEN + b"\r\n0\r\n\r\n", 200, None, TEN * 2),
    "chunked-beats-length": (OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, None, b""),
    "1xx-before": (b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS * 2 + OK + b"X-A: 1\r\n\r\nok", 200, [("X-A", "1")], b"ok"),
    "204": (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", 204, None, b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", 304, None, b""),
    "no-reason": (b"HTTP/1.1 418\r\n\r\n", 418, [], b""),
    "http-1.0": (b"HTTP/1.0 404 Not Found\r\n\r\nno", 404, [], b"no"),
    "reason-in-latin-1": (b"HTTP/1.1 200 \xd6K\r\n\r\n", 200, [], b""),
    "line-feeds-alone": (b"HTTP/1.1 200 OK\nX-A: 1\n\nok", 200, [("X-A", "1")], b"ok"),
    "doubled-header": (OK + b"X-A: 1\r\nx-a:1\r\nX-A: \t1 \r\n\r\n", 200, TWICE, b""),
    "empty-value": (OK + b"X-A:\r\n\r\n", 200, [("X-A", "")], b""),
    "colon-in-value": (OK + b"X-A: b:c\r\n\r\n", 200, [("X-A", "b:c")], b""),
    "value-in-latin-1": (OK + b"X-A: \xe9\r\n\r\n", 200, [("X-A", "\xe9")], b""),
    "folded-value": (OK + b"X-A: 1\r\n  2\r\n\t3\r\nX-B: 4\r\n\r\n", 200, [("X-A", "1 2 3"), ("X-B", "4")], b""),
    "many-lines": (OK + b"X-A: 1\r\n" * 1000 + b"\r\n", 200, [("X-A", "1")] * 1000, b""),
    "long-line": (OK + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n", 200, [("X-A", "a" * 200_000)], b""),
}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "status", "headers", "data"), [pytest.param(*row, id=name) for name, row in GOOD.items()]
)
def test_what_is_read(said: bytes, status: int, headers: list[tuple[str, str]] | None, data: bytes) -> None:
    with raw_server(saying(said)) as server:
        browser = browser_at(server)
        response = browser.fetch("/")
    (exchange,) = browser.exchanges
    assert (response.status, exchange.status, exchange.data) == (status, status, data)
    if headers is not None:
        assert list(exchange.response_headers) == headers


def test_an_answer_to_head_has_no_body() -> None:
    with raw_server(saying(OK + b"Content-Length: 2\r\n\r\n")) as server:
        response = browser_at(server).fetch("/", "HEAD")
    assert (response.status, response.headers["Content-Length"], response.data) == (200, "2", b"")


def test_a_server_may_answer_before_it_has_read_the_body() -> None:
    with raw_server(leaving(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")) as server:
        assert browser_at(server).fetch("/", "POST", body=b"a" * 5_000_000).status == 413


# ---------------------------------------------------------------------------------------
# What is no answer
# ---------------------------------------------------------------------------------------


def failure(talk: Talk, *, tls: ssl.SSLContext | None = None, **options: Any) -> CORSError:
    with raw_server(talk, tls) as server:
        browser = browser_at(server, **options)
        with pytest.raises(CORSError) as caught:
            browser.fetch("/")
    assert caught.value.step is Step.NO_RESPONSE
    assert caught.value.exchange == browser.exchanges[-1]
    assert caught.value.exchange.status == 0
    return caught.value


def texts(error: CORSError) -> tuple[str, str]:
    """Why nothing came back and what to change, with HERE for the origin."""
    origin = error.exchange.url.removesuffix("/")
    return error.why.removeprefix("No response: ").replace(origin, "HERE"), error.fix.replace(origin, "HERE")


BAD = {
    "nothing": (b"", "the connection was closed before the head of the answer was complete"),
    "half-a-status": (b"HTTP/1.1 200", "the connection was closed before the head of the answer was complete"),
    "half-a-head": (OK + b"X-A: 1\r\n", "the connection was closed before the head of the answer was complete"),
    "1xx-alone": (HINTS, "the connection was closed before the head of the answer was complete"),
    "garbage": (b"\0\xff\x1b[31m\r\n\r\n", "the answer does not begin as HTTP/1.1 does, but with \\x00\\xff\\x1b[31m"),
    "empty-line": (b"\r\n" + OK, "the answer does not begin as HTTP/1.1 does, but with an empty line"),
    "another-protocol": (b"SSH-2.0-x\r\n", "the answer does not begin as HTTP/1.1 does, but with SSH-2.0-x"),
    "http-2": (b"HTTP/2 200 OK\r\n\r\n", "the answer does not begin as HTTP/1.1 does, but with HTTP/2 200 OK"),
    "status-99": (b"HTTP/1.1 099 No\r\n\r\n", "the answer does not begin as HTTP/1.1 does, but with HTTP/1.1 099 No"),
    "status-2000": (b"HTTP/1.1 2000 A\r\n\r\n", "the answer does not begin as HTTP/1.1 does, but with HTTP/1.1 2000 A"),
    "101": (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", "the server switched to another protocol (status 101)"),
    "no-colon": (OK + b"X-A\r\nX-B: 1\r\n\r\n", "the answer has a line that is no header: X-A"),
    "no-name": (OK + b": 1\r\n\r\n", "the answer has a line that is no header: : 1"),
    "space-in-name": (OK + b"X-A : 1\r\n\r\n", "the answer has a line that is no header: X-A : 1"),
    "folded-first": (OK + b" X-A: 1\r\n\r\n", "the answer has a line that is no header:  X-A: 1"),
    "carriage-return": (OK + b"X-A: 1\rX-B: 2\r\n\r\n", "the answer has a line that is no header: X-A: 1\\rX-B: 2"),
    "nul": (OK + b"X-A: \0\r\n\r\n", "the answer has a line that is no header: X-A: \\x00"),
    "length-of-letters": (OK + b"Content-Length: a\r\n\r\n", "the answer has Content-Length: a, which is no length"),
    "negative-length": (OK + b"Content-Length: -1\r\n\r\n", "the answer has Content-Length: -1, which is no length"),
    "two-lengths": (
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "the answer has Content-Length: 1, 2, which is no length",
    ),
    "body-too-short": (
        OK + b"Content-Length: 1002\r\n\r\nok",
        "the connection was closed 1,000 bytes before the end of the body",
    ),
    "gzip": (
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        "the answer has Transfer-Encoding: gzip, chunked, which no browser asks for",
    ),
    "chunk-of-letters": (CHUNKED + b"x\r\n", "the answer has a chunk whose size is no number: x"),
    "negative-chunk": (CHUNKED + b"-1\r\n", "the answer has a chunk whose size is no number: -1"),
    "chunk-too-short": (CHUNKED + b"3\r\nok", "the connection was closed 1 bytes before the end of the body"),
    "chunk-too-long": (CHUNKED + b"1\r\nok\r\n", "the answer has a chunk that is longer than it says"),
    "chunk-without-end": (CHUNKED + b"2\r\nok", "the connection was closed before the body of the answer was complete"),
    "no-last-chunk": (
        CHUNKED + b"2\r\nok\r\n",
        "the connection was closed before the body of the answer was complete",
    ),
}


@pytest.mark.parametrize(("said", "why"), [pytest.param(*row, id=name) for name, row in BAD.items()])
def test_what_is_no_answer(said: bytes, why: str) -> None:
    assert texts(failure(saying(said))) == (f"{why}.", "See what the server sends: curl -i HERE")


LONG_HEAD = "the head of the answer is longer than 262,144 bytes"
LONG_BODY = "the body of the answer is longer than 16,777,216 bytes"


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        pytest.param(forever(b"a" * 65536), LONG_HEAD, id="status-line"),
        pytest.param(forever(b"a" * 65536, first=OK + b"X-A: "), LONG_HEAD, id="header-line"),
        pytest.param(forever(b"X-A: 1\r\n" * 8192, first=OK), LONG_HEAD, id="header-lines"),
        pytest.param(forever(b" \r\n" * 8192, first=OK + b"X-A: 1\r\n"), LONG_HEAD, id="folded-lines"),
        pytest.param(forever(HINTS * 1000), LONG_HEAD, id="1xx"),
        pytest.param(forever(b"a" * 65536, first=OK + b"\r\n"), LONG_BODY, id="body"),
        pytest.param(forever(b"400\r\n" + b"a" * 1024 + b"\r\n", first=CHUNKED), LONG_BODY, id="chunks"),
        pytest.param(forever(b"a" * 65536, first=CHUNKED + b"1;"), LONG_BODY, id="chunk-size"),
        pytest.param(
            forever(b"X-A: 1\r\n" * 8192, first=CHUNKED + b"0\r\n"), LONG_HEAD.replace("head", "trailer"), id="trailer"
        ),
        pytest.param(saying(CHUNKED + b"f" * 16 + b"\r\n"), LONG_BODY, id="long-chunk"),
        pytest.param(saying(OK + b"Content-Length: 16777217\r\n\r\n"), LONG_BODY, id="length"),
        pytest.param(saying(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"), LONG_BODY, id="length-of-digits"),
    ],
)
def test_what_does_not_end_is_cut_off(talk: Talk, why: str) -> None:
    assert texts(failure(talk)) == (f"{why}.", "See what the server sends: curl -i HERE")


SLOW = (
    "the answer of HERE was not complete in time.",
    "Let the server answer sooner, or give it more time: LiveTransport(..., timeout=60).",
)


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(silent, id="silent"),
        pytest.param(forever(b"a", pause=0.01), id="head"),
        pytest.param(forever(b"a", first=OK + b"\r\n", pause=0.01), id="body"),
        pytest.param(forever(b"1\r\na\r\n", first=CHUNKED, pause=0.01), id="chunks"),
    ],
)
def test_slow_servers(talk: Talk) -> None:
    assert texts(failure(talk, timeout=1)) == SLOW


def test_a_server_that_does_not_read() -> None:
    ended = threading.Event()
    with raw_server(lambda connection: ended.wait(SECONDS_OF_PATIENCE)) as server:
        with pytest.raises(CORSError) as caught:
            browser_at(server, timeout=1).fetch("/", "POST", body=b"a" * 50_000_000)
        ended.set()
    assert texts(caught.value) == SLOW


def reset(connection: socket.socket) -> None:
    """Let TCP say "reset" and not "end" when the connection is closed, which is next."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_a_server_that_breaks_off() -> None:
    assert texts(failure(reset)) == ("HERE broke the connection off.", "See what the server sends: curl -i HERE")


def test_a_server_that_breaks_off_while_it_should_read() -> None:
    with raw_server(reset) as server, pytest.raises(CORSError) as caught:
        browser_at(server).fetch("/", "POST", body=b"a" * 50_000_000)
    assert caught.value.step is Step.NO_RESPONSE


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


CHECK_SERVER = "Start the server there. Check scheme, host and port."


@pytest.mark.parametrize(
    ("origin", "why", "change"),
    [
        pytest.param("http://127.0.0.1:{port}", "nobody listens at HERE.", CHECK_SERVER, id="refused"),
        pytest.param("http://localhost:{port}", "nobody listens at HERE.", CHECK_SERVER, id="refused-by-all-addresses"),
        pytest.param(
            "http://nowhere.invalid", "the name nowhere.invalid has no address.", "Check the name.", id="no-address"
        ),
        pytest.param(
            f"http://{'a' * 64}.com",
            f"{'a' * 64}.com is no name that can be looked up.",
            "Check the name.",
            id="label-too-long",
        ),
        pytest.param(
            "http://255.255.255.255", "no connection to HERE: Network is unreachable.", CHECK_SERVER, id="broadcast"
        ),
    ],
)
def test_where_no_server_is(origin: str, why: str, change: str) -> None:
    origin = origin.format(port=closed_port())
    with pytest.raises(CORSError) as caught:
        Browser(origin=origin, transport=LiveTransport(origin)).fetch("/")
    assert texts(caught.value) == (why, change)


def test_how_the_error_reads() -> None:
    origin = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(CORSError) as caught:
        Browser(transport=LiveTransport(origin)).fetch(f"{origin}/data", "PUT")
    assert str(caught.value) == (
        f"""\
no-response: the script on https://frontend.com gets nothing; the preflight failed

sent      OPTIONS {origin}/data, credentials: same-origin
          Access-Control-Request-Method: PUT
          Origin: https://frontend.com
received  nothing
why       No response: nobody listens at {origin}.
change    Start the server there. Check scheme, host and port.
Firefox   Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at \
{origin}/data. (Reason: CORS request did not succeed). Status code: (null).
docs      https://flask-preflight.readthedocs.io/en/stable/messages.html#no-response
standard  https://fetch.spec.whatwg.org/#concept-network-error"""
    )


def test_a_refusal_by_this_package_in_production() -> None:
    app = PreflightMiddleware(lambda environ, start_response: [], Policy(allow_origins=["https://frontend.com"]))
    with serving(app) as port, pytest.raises(CORSError) as caught:
        Browser(transport=LiveTransport(f"http://127.0.0.1:{port}")).fetch(f"http://127.0.0.1:{port}/data", "PUT")
    url = f"http://127.0.0.1:{port}/data"
    assert str(caught.value) == (
        f"""\
allow-origin-missing: the script on https://frontend.com gets nothing; the preflight failed

sent      OPTIONS {url}, credentials: same-origin
          Access-Control-Request-Method: PUT
          Origin: https://frontend.com
received  403
          This CORS preflight is refused.
why       The answer (status 403) has no Access-Control-Allow-Origin.
change    flask-preflight has refused this preflight. The reason can be the origin, the method or a header. \
The server's log says which. So does flask preflight explain, or the same test with Browser(app).
Chromium  Access to fetch at '{url}' from origin 'https://frontend.com' has been blocked by CORS policy: Response to \
preflight request doesn't pass access control check: No 'Access-Control-Allow-Origin' header is present on the \
requested resource.
Firefox   Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at {url}. \
(Reason: CORS header ‘Access-Control-Allow-Origin’ missing). Status code: 403.
WebKit    Preflight response is not successful. Status code: 403
docs      https://flask-preflight.readthedocs.io/en/stable/refusals.html#where-to-look
standard  https://fetch.spec.whatwg.org/#cors-check"""
    )


# ---------------------------------------------------------------------------------------
# Any bytes
# ---------------------------------------------------------------------------------------

PIECES = [*(said for said, *_ in GOOD.values() if len(said) < 1000), *(said for said, _ in BAD.values())]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Answers that are right, or wrong in a place or two."""
    said = b"".join(draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(said)))
        end = draw(st.integers(start, min(len(said), start + 3)))
        said = said[:start] + draw(st.binary(max_size=3)) + said[end:]
    return said


@pytest.fixture
def speaker() -> Iterator[tuple[RawServer, list[bytes]]]:
    """A server that says the last item of the list."""
    said: list[bytes] = []
    with raw_server(lambda connection: connection.sendall(said[-1])) as server:
        yield server, said


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=answers())
def test_nothing_is_raised_but_corserror(speaker: tuple[RawServer, list[bytes]], said: bytes) -> None:
    server, sayings = speaker
    sayings.append(said)
    assert step_at(server) in (None, Step.NO_RESPONSE)


def step_at(server: RawServer) -> Step | None:
    try:
        browser_at(server).fetch("/", redirect="manual")
    except CORSError as error:
        return error.step
    return None


# ---------------------------------------------------------------------------------------
# Whom it asks
# ---------------------------------------------------------------------------------------


def test_servers_that_were_not_named_are_not_asked() -> None:
    with raw_server(silent) as server:
        origin = f"http://127.0.0.1:{server.port}"
        with pytest.raises(CORSError) as caught:
            Browser(transport=LiveTransport("http://127.0.0.1")).fetch(f"{origin}/", "PUT")
    assert server.heads == []
    assert texts(caught.value) == (
        "HERE was not asked, because LiveTransport does not name it.",
        "If requests may go there, name it: LiveTransport(..., 'HERE').",
    )


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "not-named"])
def test_redirects_lead_to_named_servers_only(is_named: bool) -> None:
    star = b"Access-Control-Allow-Origin: *\r\n"
    with raw_server(saying(OK + star + b"\r\nsecret")) as goal:
        elsewhere = f"http://localhost:{goal.port}"
        moved = b"HTTP/1.1 302 Found\r\n" + star + f"Location: {elsewhere}/goal\r\n\r\n".encode()
        with raw_server(saying(moved)) as server:
            here = f"http://127.0.0.1:{server.port}"
            browser = Browser(transport=LiveTransport(*([here, elsewhere] if is_named else [here])))
            if is_named:
                assert browser.fetch(f"{here}/").text == "secret"
            else:
                with pytest.raises(CORSError) as caught:
                    browser.fetch(f"{here}/")
                assert caught.value.step is Step.NO_RESPONSE
                assert caught.value.fix == f"If requests may go there, name it: LiveTransport(..., '{elsewhere}')."
    assert len(goal.heads) == is_named
    assert [exchange.url for exchange in browser.exchanges] == [f"{here}/", f"{elsewhere}/goal"]


@pytest.mark.parametrize(
    ("origins", "options", "error", "message"),
    [
        pytest.param([], {}, TypeError, "name the servers that may be asked: LiveTransport('https://", id="none"),
        pytest.param(["https://a.com/"], {}, ValueError, "write 'https://a.com'", id="slash"),
        pytest.param(["a.com"], {}, ValueError, "a.com", id="no-scheme"),
        pytest.param(["app://a"], {}, ValueError, "origin: 'app://a' is neither http: nor https:", id="scheme"),
        pytest.param(["null"], {}, ValueError, "origin: 'null' is neither http: nor https:", id="null"),
        pytest.param(
            ["https://a.com"], {"ca_file": "none.pem"}, ValueError, "ca_file: 'none.pem' has no cert", id="no-file"
        ),
        pytest.param(["https://a.com"], {"ca_file": __file__}, ValueError, "has no certificates in PEM", id="no-pem"),
        pytest.param(
            ["https://a.com"],
            {"timeout": 0},
            ValueError,
            "timeout: 0 is no time limit; write seconds, more than 0 and at most 86400",
            id="no-time",
        ),
        pytest.param(["https://a.com"], {"timeout": float("nan")}, ValueError, "timeout: nan is no time", id="nan"),
        pytest.param(
            ["https://a.com"], {"connect_timeout": 1e9}, ValueError, "connect_timeout: 1000000000.0", id="ages"
        ),
    ],
)
def test_wrong_arguments(origins: list[str], options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        LiveTransport(*origins, **options)


@pytest.mark.parametrize(
    ("app", "options", "message"),
    [
        pytest.param(None, {}, "give either an app or transport=", id="neither"),
        pytest.param({}, {"transport": LiveTransport("http://a.com")}, "give either an app or transport=", id="both"),
        pytest.param(
            "https://a.com", {}, "for a live server, write transport=LiveTransport('https://a.com')", id="text"
        ),
    ],
)
def test_a_browser_has_an_app_or_a_transport(app: Any, options: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        Browser(app, **options)


# ---------------------------------------------------------------------------------------
# TLS
# ---------------------------------------------------------------------------------------


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def tls_for(*names: str, not_after: datetime | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert(*names, not_after=not_after).configure_cert(context)
    return context


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return path


def test_tls_with_a_named_authority(ca_file: Path) -> None:
    talk = saying(OK + b"Content-Length: 2\r\n\r\nok")
    for path in (ca_file, str(ca_file)):
        with raw_server(talk, tls_for("127.0.0.1")) as server:
            assert browser_at(server, scheme="https", ca_file=path).fetch("/").text == "ok"


CERTIFICATE = "the certificate of HERE is not valid: "


def test_what_is_told_of_a_connection(ca_file: Path) -> None:
    until = datetime(2100, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    with raw_server(saying(OK + b"Content-Length: 0\r\n\r\n"), tls_for("127.0.0.1", not_after=until)) as server:
        url = parse_url(f"https://127.0.0.1:{server.port}/")
        answer = LiveTransport(url.origin, ca_file=ca_file).send(url, "GET", Headers(), None)
    assert answer.connection
    assert answer.connection._replace(seconds=0) == ("TLSv1.3", until.timestamp(), 0)
    assert answer.connection.seconds > 0


@pytest.mark.parametrize(
    ("talk", "is_connected"), [pytest.param(leaving(), True, id="closing"), pytest.param(None, False, id="nobody")]
)
def test_a_connection_without_an_answer(talk: Talk | None, is_connected: bool) -> None:
    with raw_server(talk or silent) as server:
        url = parse_url(f"http://127.0.0.1:{server.port if talk else 1}/")
        answer = LiveTransport(url.origin).send(url, "GET", Headers(), None)
    assert answer.status == 0
    assert answer.connection == (("", None, answer.connection.seconds) if is_connected and answer.connection else None)


def test_tls_with_an_authority_that_nobody_knows() -> None:
    why, change = texts(failure(silent, tls=tls_for("127.0.0.1"), scheme="https"))
    assert why.startswith(CERTIFICATE)
    assert change == (
        "Give the server a valid certificate for 127.0.0.1. If the CA is yours, name it: "
        "LiveTransport(..., ca_file='ca.pem')."
    )


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        pytest.param(tls_for("localhost"), CERTIFICATE + "IP address mismatch, certificate is not valid", id="name"),
        pytest.param(
            tls_for("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=timezone.utc)),
            CERTIFICATE + "certificate has expired",
            id="expired",
        ),
    ],
)
def test_tls_with_a_wrong_certificate(tls: ssl.SSLContext, why: str, ca_file: Path) -> None:
    assert texts(failure(silent, tls=tls, scheme="https", ca_file=ca_file))[0].startswith(why)


@pytest.mark.parametrize(
    ("host", "name", "is_valid"),
    [
        ("localhost", "localhost", True),
        ("localhost.", "localhost", True),
        ("app.localhost", "app.localhost", True),
        ("app.localhost", "localhost", False),
    ],
)
def test_tls_asks_for_the_name_in_the_url(host: str, name: str, is_valid: bool, ca_file: Path) -> None:
    with raw_server(saying(b"HTTP/1.1 204 No\r\n\r\n"), tls_for(name)) as server:
        origin = f"https://{host}:{server.port}"
        browser = Browser(origin=origin, transport=LiveTransport(origin, ca_file=ca_file))
        if is_valid:
            assert browser.fetch("/").status == 204
        else:
            with pytest.raises(CORSError) as caught:
                browser.fetch("/")
            assert texts(caught.value)[0].startswith(CERTIFICATE + "Hostname mismatch")


def test_tls_that_a_server_breaks_off_while_it_should_read(ca_file: Path) -> None:
    with raw_server(reset, tls_for("127.0.0.1")) as server, pytest.raises(CORSError) as caught:
        browser_at(server, scheme="https", ca_file=ca_file).fetch("/", "POST", body=b"a" * 5_000_000)
    assert texts(caught.value)[1] == "See what the server sends: curl -i HERE"


def test_tls_where_plain_http_is_spoken() -> None:
    why, change = texts(failure(leaving(b"HTTP/1.1 400 Bad Request\r\n\r\n"), scheme="https"))
    assert why.startswith("TLS with HERE failed: ")
    assert change == "Check that this port speaks TLS; if not, use http:."


@pytest.mark.parametrize("limits", [{"connect_timeout": 1}, {"timeout": 1}], ids=["connect", "whole"])
def test_tls_that_is_not_answered(limits: dict[str, Any]) -> None:
    assert texts(failure(silent, scheme="https", **limits)) == (
        "no connection to HERE came about in time.",
        CHECK_SERVER,
    )


def test_a_time_limit_that_is_over_before_the_connection() -> None:
    assert texts(failure(silent, timeout=1e-6)) == ("no connection to HERE came about in time.", CHECK_SERVER)
