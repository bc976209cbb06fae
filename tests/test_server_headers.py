"""The debug header ``CORS-Refused`` through real servers: well-formed, whatever a stranger, the app or a policy says.

First in process, by Hypothesis; then the same kinds of text as bytes over loopback, through each server.
"""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from served_refusals import PAGE, POLICY_OF, TEXTS, Unspeakable, application, hello
from strategies import header_values, methods, origins, policies
from test_engine import listed
from test_servers import ANSWER_SECONDS, HERE, SERVERS, running

from flask_preflight import Policy, Preflight, PreflightMiddleware, Reason

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

pytestmark = pytest.mark.slow

# Reason and sentence
REFUSED = re.compile(rf"(?:{'|'.join(reason.value for reason in Reason)}); [ -~]+")


class Answer(NamedTuple):
    """*refused* has the values of all headers ``CORS-Refused``."""

    status: int
    refused: list[str]
    body: bytes

    def is_well_formed(self) -> bool:
        """Whether a refusal is told by one header, and an allowed request by what the app set, or by none."""
        if self.refused in ([], ["by the app"]):
            return True
        return len(self.refused) == 1 and len(self.refused[0]) <= 1000 and bool(REFUSED.fullmatch(self.refused[0]))


def ask(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """What *app* answers in process."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
        started[:] = status, headers
        return print

    body = app(environ, start_response)
    content = b"".join(body)
    getattr(body, "close", lambda: None)()
    status, headers = started
    return Answer(int(status[:3]), [value for name, value in headers if name.lower() == "cors-refused"], content)


# ---------------------------------------------------------------------------------------
# In process
# ---------------------------------------------------------------------------------------

BASE = {
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "backend.com",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.url_scheme": "http",
}


def preflight(path: str, origin: str, method: str, headers: str) -> WSGIEnvironment:
    sent = {"HTTP_ORIGIN": origin, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": method}
    sent["HTTP_ACCESS_CONTROL_REQUEST_HEADERS"] = headers
    return {**BASE, **sent, "REQUEST_METHOD": "OPTIONS", "PATH_INFO": path, "HTTP_HOST": "backend.com"}


def actual(path: str, origin: str) -> WSGIEnvironment:
    sent = {"HTTP_HOST": "backend.com", "HTTP_ORIGIN": origin, "HTTP_COOKIE": "a=1"}
    return {**BASE, **sent, "REQUEST_METHOD": "GET", "PATH_INFO": path}


# As servers deliver it, and as no server does
ANY_TEXT = st.one_of(header_values(), st.text(st.characters(), max_size=30), st.sampled_from(TEXTS))


# Some of them name hundreds of methods and headers.
POLICIES = st.one_of(policies(), st.sampled_from([policy for policy in POLICY_OF.values() if policy is not None]))


@given(POLICIES, st.one_of(origins(), ANY_TEXT), st.one_of(methods(), ANY_TEXT), ANY_TEXT)
def test_the_header_is_well_formed_whatever_is_sent(policy: Policy, origin: str, method: str, headers: str) -> None:
    app = PreflightMiddleware(hello, policy, debug=True)
    for sent in {origin, *[text for text in listed(policy) if "*" not in text][:1]}:
        for wanted in {method, "DELETE", *policy.methods[:1]}:
            answer = ask(app, preflight("/", sent, wanted, headers))
            assert answer.is_well_formed()
            assert bool(answer.refused) == (answer.status in {200, 403} and bool(answer.body))
        assert ask(app, actual("/", sent)).is_well_formed()


@given(ANY_TEXT, st.sampled_from(["Error", "\xdcbel", "\u041f"]), st.sampled_from([Exception, Unspeakable]))
def test_the_header_is_well_formed_whatever_is_raised(text: str, name: str, base: type[Exception]) -> None:
    def fails(origin: str, environ: WSGIEnvironment) -> bool:
        raise type(name, (base,), {})(text)

    app = PreflightMiddleware(hello, Policy(allow_origins=fails), debug=True)
    for environ in (preflight("/", PAGE, "PUT", ""), actual("/", PAGE)):
        answer = ask(app, environ)
        assert answer.is_well_formed()
        assert answer.refused[0].startswith("origin-check-failed; ")


RULES = st.text(st.characters(exclude_characters="<>/|", exclude_categories=["Cs"]), max_size=20)


@given(RULES, ANY_TEXT, st.lists(ANY_TEXT.filter(str.isprintable), max_size=3), ANY_TEXT, ANY_TEXT)
def test_the_header_is_well_formed_whatever_a_flask_app_calls_its_things(
    rule: str, endpoint: str, names: list[str], method: str, headers: str
) -> None:
    app = Flask("app", static_folder=None)
    app.add_url_rule(f"/{rule}", endpoint.replace(".", "") or "index", hello_from_flask, methods=["GET", *names])
    Preflight(app, allow_origins=[PAGE], debug=True)
    path = f"/{rule}".encode().decode("latin-1")
    for origin in (PAGE, "https://evil.com"):
        for wanted in ("GET", "PUT", method):
            assert ask(app, preflight(path, origin, wanted, headers)).is_well_formed()
    assert len(ask(app, preflight(path, PAGE, "DELETE", "")).refused) == 1
    assert len(ask(app, actual(path, "https://evil.com")).refused) == 1


def hello_from_flask() -> str:
    return "hello"


# ---------------------------------------------------------------------------------------
# Over loopback
# ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which each server has a file for what it prints."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def port_of(logs: Path) -> Iterator[Callable[[str], int]]:
    """The port of a server, which is started when it is first asked for."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(running(name, logs / name, "served_refusals")))


PATHS = (
    *("wsgi/", "wsgi/long", "wsgi/star", "wsgi/cookies", "flask/plain") * 5,
    *("wsgi/nobody", "wsgi/failing/unspeakable", "wsgi/failing/name"),
    *(f"wsgi/failing/{number}" for number in range(len(TEXTS))),
    *("flask/plain", "flask/caf%C3%A9/x", "flask/%F0%9F%92%A5", "flask/late/x", "flask/named", "flask/missing"),
    *(f"flask/{rule}/{number}" for rule in ("failing", "converter", "refusing") for number in range(len(TEXTS))),
    *(
        f"flask/{rule}/{text}"
        for rule in ("converter", "refusing")
        for text in ("%0D%0AX-Forged:%20y", "%00", "%FF%1B")
    ),
)
SPOILED = (
    *(
        b"\x01",
        b"\x1b[31m",
        b"\x7f",
        b"\t",
        b"\x85",
        b"caf\xe9",
        b"\xf0\x9f\x92\xa5",
        b"\xff\xfe",
        b"%0d%0aX-Forged: y",
    ),
    *(
        b"'",
        b'"',
        b"\\",
        b"\\r\\n",
        b",",
        b"a" * 400,
        b"\xe9" * 400,
        b"<script>",
        b"{0}%s",
        b"\0",
        b"\r",
        b"\nX-Forged: y",
    ),
)
ORIGINS = (
    *(PAGE.encode(),) * 4,
    b"https://evil.com",
    b"http://localhost:3001",
    b"null",
    b"",
    b"https://www.frontend.com",
)
METHODS = (*(b"PUT", b"GET", b"DELETE") * 3, b"put", b"patch", b"TRACE", b"*", b"", b"METHOD-7")
HEADERS = (
    b"x-a",
    b"x-a,x-b",
    b"content-type",
    b"authorization",
    b"*",
    b"",
    b"," * 200,
    b"x-a, X y",
    b"cookie,x-b",
)


def spoil(draw: random.Random, values: tuple[bytes, ...]) -> bytes:
    """One of *values*, or one that strangers have put something into."""
    value = draw.choice(values)
    place = draw.randint(0, len(value))
    return value[:place] + draw.choice(SPOILED) + value[place:] if draw.random() < 0.3 else value


# One for each reason, which no server spoils
CERTAIN = (
    ("wsgi/", b"https://evil.com", b"PUT", b""),
    ("wsgi/", b"https://evil.com", None, None),
    ("wsgi/", PAGE.encode(), None, None),
    ("wsgi/", b"null", b"PUT", b""),
    ("wsgi/", PAGE.encode() + b"/", b"PUT", b""),
    ("wsgi/", b"https://" + b"a" * 400, b"PUT", b""),
    ("wsgi/failing/2", PAGE.encode(), b"PUT", b""),
    ("wsgi/failing/2", PAGE.encode(), None, None),
    ("wsgi/", PAGE.encode(), b"P UT", b""),
    ("wsgi/", PAGE.encode(), b"TRACE", b""),
    ("wsgi/long", PAGE.encode(), b"DELETE", b""),
    ("flask/plain", PAGE.encode(), b"DELETE", b""),
    ("flask/converter/2", PAGE.encode(), b"PUT", b""),
    ("flask/late/x", PAGE.encode(), b"PUT", b""),
    ("flask/late/x", PAGE.encode(), None, None),
    ("wsgi/", PAGE.encode(), b"PUT", b"," * 200),
    ("wsgi/", PAGE.encode(), b"PUT", b"x y"),
    ("wsgi/long", PAGE.encode(), b"METHOD-7", b"x-b"),
)


def requests(count: int) -> Iterator[bytes]:
    """Yield requests in which ``PREFIX`` stands for what they are sent to."""
    yield from (message(*certain) for certain in CERTAIN)
    draw = random.Random(7)
    for number in range(count):
        path, origin = draw.choice(PATHS), spoil(draw, ORIGINS)
        is_preflight = number % 5 != 0
        yield (
            message(path, origin, spoil(draw, METHODS), spoil(draw, HEADERS)) if is_preflight else message(path, origin)
        )


def message(path: str, origin: bytes, method: bytes | None = None, headers: bytes | None = None) -> bytes:
    """A preflight for *method*, or else a GET with a cookie."""
    start = b"GET" if method is None else b"OPTIONS"
    lines = [b"Host: 127.0.0.1", b"Connection: close", b"Origin: " + origin]
    if method is None or headers is None:
        lines.append(b"Cookie: a=1")
    else:
        lines += [b"Access-Control-Request-Method: " + method, b"Access-Control-Request-Headers: " + headers]
    return b"\r\n".join([start + b" /PREFIX/" + path.encode() + b" HTTP/1.1", *lines, b"", b""])


STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) [ -~]*")
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~]*)")

# What servers do without an answer
CLOSED = Answer(0, [], b"")


def send(port: int, request: bytes) -> Answer:
    """What a server answers, of which each line must be well-formed."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        try:
            connection.sendall(request)
            while data := connection.recv(65536):
                received += data
        except ConnectionError:
            pass
    if not received:
        return CLOSED
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    status, headers = STATUS_LINE.fullmatch(first), [*map(HEADER_LINE.fullmatch, lines)]
    assert status, head
    assert all(headers), head
    refused = [header[2].decode() for header in headers if header and header[1].lower() == b"cors-refused"]
    return Answer(int(status[1]), refused, body)


COUNT = 250


@pytest.mark.servers
@pytest.mark.parametrize("server", SERVERS)
def test_the_header_is_well_formed_on_all_servers(
    port_of: Callable[[str], int], logs: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is the one in process. What a server refuses before any app sees it, it refuses all the same.

    The log is what the server prints, since none is set up: a warning for each refusal, and the exceptions.
    """
    monkeypatch.chdir(HERE)  # where the servers run
    port, reasons = port_of(server), set[str]()
    for request in requests(COUNT):
        delivered = send(port, request.replace(b"PREFIX", b"echo"))
        answer = send(port, request.replace(b"PREFIX", b"cors"))
        if delivered.status != 200:
            assert (answer.status, answer.refused) == (delivered.status, []), request
            assert delivered is CLOSED or 400 <= delivered.status < 500
            continue
        environ = {**BASE, **json.loads(body_of(delivered))}
        environ["PATH_INFO"] = environ["PATH_INFO"].replace("/echo/", "/cors/", 1)
        expected = ask(application, environ)
        assert (answer.status, answer.refused) == (expected.status, expected.refused), request
        assert answer.is_well_formed(), request
        reasons.update(value.partition(";")[0] for value in answer.refused)
    assert reasons >= {reason.value for reason in Reason} - {Reason.CREDENTIALS_NOT_ALLOWED.value}
    log = (logs / server).read_text(errors="replace")
    assert log.count("Refused a CORS") >= len(CERTAIN)
    assert "Traceback" in log
    assert not re.search("^X-Forged", log, re.MULTILINE)


def body_of(answer: Answer) -> bytes:
    """The body without the lines of a chunked one."""
    return answer.body[answer.body.index(b"{") : answer.body.rindex(b"}") + 1]
