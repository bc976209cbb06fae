"""Real servers over loopback: one table of requests, sent as bytes, and one answer to each, whatever the server.

The preflights are those that Chromium 156, Firefox 153 and WebKitGTK 2.50 sent, byte for byte save the ports.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from http.client import HTTPResponse
from pathlib import Path
from typing import NamedTuple

import pytest
from served_app import FILE

pytestmark = pytest.mark.servers

HERE = Path(__file__).parent
SCRIPTS = Path(sysconfig.get_path("scripts"))
START_SECONDS = 20.0  # a bound, not a wait
ANSWER_SECONDS = 20.0

# ---------------------------------------------------------------------------------------
# The servers. Each chooses a free port itself and says which; granian can't, and gets one that is kept free for it.
# ---------------------------------------------------------------------------------------

SERVERS: dict[str, list[str | Path]] = {
    "gunicorn-sync": [SCRIPTS / "gunicorn", "--bind=127.0.0.1:0", "--worker-class=sync", "{app}"],
    "gunicorn-gthread": [SCRIPTS / "gunicorn", "--bind=127.0.0.1:0", "--worker-class=gthread", "{app}"],
    "waitress": [SCRIPTS / "waitress-serve", "--listen=127.0.0.1:0", "{app}:application"],
    "uwsgi": [SCRIPTS / "uwsgi", "--http-socket=127.0.0.1:0", "--wsgi={app}", "--need-app"],
    "granian": [SCRIPTS / "granian", "--interface=wsgi", "--port={kept}", "{app}:application"],
    "cheroot": [sys.executable, "served_app.py", "cheroot", "{app}"],
    "werkzeug": [sys.executable, "served_app.py", "werkzeug", "{app}"],
    "wsgiref": [sys.executable, "served_app.py", "wsgiref", "{app}"],
}


@contextmanager
def kept_port() -> Iterator[int]:
    """A port that nobody else is given. It is bound and doesn't listen, so granian, which shares ports, can have it."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


@contextmanager
def running(name: str, log: Path, app: str = "served_app") -> Iterator[int]:
    """Start a server for the module *app*, and yield its port."""
    with kept_port() as kept:
        command = [str(argument).format(kept=kept, app=app) for argument in SERVERS[name]]
        with serving(command, HERE, log, kept if name == "granian" else None) as port:
            yield port


@contextmanager
def serving(
    command: Sequence[str | Path], folder: Path, log: Path, port: int | None = None, **environ: str
) -> Iterator[int]:
    """Start a server, yield its port once somebody listens there, and kill it with all its workers."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            # newer gunicorns keep a control socket at home, and two of them would fight for it
            env={**os.environ, "HOME": str(log.parent), **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield await_port(process, log, port)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def await_port(process: subprocess.Popen[bytes], log: Path, known: int | None) -> int:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        told = re.search(r"127\.0\.0\.1:([1-9]\d*)\D", log.read_text(errors="replace"))
        port = known or (int(told[1]) if told else None)
        if port and is_open(port):
            return port
        time.sleep(0.02)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')}")


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


@pytest.fixture(scope="session")
def port_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], int]]:
    """Where a server listens, which is started when it is first asked for."""
    logs = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(running(name, logs / name)))


# ---------------------------------------------------------------------------------------
# Requests and answers
# ---------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """*headers* have lower-case names; the lines of one that comes more than once stand on lines of their own."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


# The connection was closed without an answer
CLOSED = Answer(0, {})

# What servers add on their own account
SERVERS_OWN = {"connection", "date", "keep-alive", "server", "transfer-encoding"}


class Connection:
    """A connection as a browser keeps it: opened again when the server has closed it, announced or not."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket: socket.socket | None = None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def ask(self, request: bytes) -> Answer:
        is_reused = self.socket is not None
        answer = self._ask(request.replace(b"BBBB", b"%d" % self.port))
        return self.ask(request) if answer is CLOSED and is_reused else answer

    def _ask(self, request: bytes) -> Answer:
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS)
        response = HTTPResponse(self.socket, method=request.split(b" ", 1)[0].decode())
        try:
            self.socket.sendall(request)
            response.begin()
            answer = normalized(response)
        except ConnectionError:
            answer = CLOSED
        if answer is CLOSED or response.will_close:
            self.__exit__()
        return answer


def normalized(response: HTTPResponse) -> Answer:
    """Read an answer. All that servers may do differently is levelled here, and nowhere else:

    the case and order of header names, the reason phrase, chunks or none, and what servers add (`SERVERS_OWN`).
    ``Content-Length: 0`` beside a 204 is dropped by some.
    """
    headers = dict[str, str]()
    for name, value in response.headers.items():
        name = name.lower()
        if name not in SERVERS_OWN and (response.status, name, value) != (204, "content-length", "0"):
            headers[name] = f"{headers[name]}\n{value}" if name in headers else value
    return Answer(response.status, headers, response.read())


ORIGIN = b"http://127.0.0.1:8000"
EVIL = b"http://evil.example"


def message(start: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    length = [b"Content-Length: %d" % len(body)] if body else []
    return b"\r\n".join([start, b"Host: 127.0.0.1", *lines, *length, b"", body])


def preflight(
    *lines: bytes,
    origin: bytes = ORIGIN,
    method: bytes = b"PUT",
    headers: bytes = b"authorization",
    body: bytes = b"",
    version: bytes = b"1.1",
) -> bytes:
    return message(
        b"OPTIONS /data HTTP/" + version,
        b"Origin: " + origin,
        b"Access-Control-Request-Method: " + method,
        b"Access-Control-Request-Headers: " + headers,
        *lines,
        body=body,
    )


def actual(target: bytes, *lines: bytes, origin: bytes = ORIGIN, body: bytes = b"") -> bytes:
    return message(target + b" HTTP/1.1", b"Origin: " + origin, *lines, body=body)


# AAAA is the port of the page, BBBB that of the server.
CHROMIUM = """\
OPTIONS /raw_mixed_names HTTP/1.1
Host: 127.0.0.1:BBBB
Connection: keep-alive
Accept: */*
Access-Control-Request-Method: PUT
Access-Control-Request-Headers: authorization,content-type,x-1,x-a,x-b,x_under,zeta
Origin: http://127.0.0.1:AAAA
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36
Sec-Fetch-Mode: cors
Sec-Fetch-Site: same-site
Sec-Fetch-Dest: empty
Referer: http://127.0.0.1:AAAA/
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9

"""  # noqa: E501 - as it was sent

CHROMIUM_SANDBOX = """\
OPTIONS /raw_sandbox HTTP/1.1
Host: 127.0.0.1:BBBB
Connection: keep-alive
Accept: */*
Access-Control-Request-Method: PUT
Access-Control-Request-Headers: x-b
Origin: null
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36
Sec-Fetch-Mode: cors
Sec-Fetch-Site: cross-site
Sec-Fetch-Dest: empty
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9

"""  # noqa: E501 - as it was sent

FIREFOX = """\
OPTIONS /raw_mixed_names HTTP/1.1
Host: 127.0.0.1:BBBB
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0
Accept: */*
Accept-Language: en-US,en;q=0.9
Accept-Encoding: gzip, deflate, br, zstd
Access-Control-Request-Method: PUT
Access-Control-Request-Headers: authorization,content-type,x-1,x-a,x-b,x_under,zeta
Referer: http://127.0.0.1:AAAA/
Origin: http://127.0.0.1:AAAA
Connection: keep-alive
Sec-Fetch-Dest: empty
Sec-Fetch-Mode: cors
Sec-Fetch-Site: same-site
Priority: u=4

"""

FIREFOX_SANDBOX = """\
OPTIONS /raw_sandbox HTTP/1.1
Host: 127.0.0.1:BBBB
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0
Accept: */*
Accept-Language: en-US,en;q=0.9
Accept-Encoding: gzip, deflate, br, zstd
Access-Control-Request-Method: PUT
Access-Control-Request-Headers: x-b
Origin: null
Connection: keep-alive
Sec-Fetch-Dest: empty
Sec-Fetch-Mode: cors
Sec-Fetch-Site: cross-site
Priority: u=4

"""

WEBKIT = """\
OPTIONS /raw_mixed_names HTTP/1.1
Origin: http://127.0.0.1:AAAA
Access-Control-Request-Method: PUT
Referer: http://127.0.0.1:AAAA/
Access-Control-Request-Headers: authorization,content-type,x-1,x-a,x-b,x_under,zeta
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/60.5 Safari/605.1.15
Accept: */*
Accept-Encoding: gzip, deflate
Accept-Language: C
Connection: Keep-Alive
Host: 127.0.0.1:BBBB
Sec-Fetch-Mode: cors
Sec-Fetch-Dest: empty
Sec-Fetch-Site: same-site

"""

WEBKIT_SANDBOX = """\
OPTIONS /raw_sandbox HTTP/1.1
Origin: null
Access-Control-Request-Method: PUT
Access-Control-Request-Headers: x-b
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/60.5 Safari/605.1.15
Accept: */*
Accept-Encoding: gzip, deflate
Accept-Language: C
Connection: Keep-Alive
Host: 127.0.0.1:BBBB
Sec-Fetch-Mode: cors
Sec-Fetch-Dest: empty
Sec-Fetch-Site: cross-site

"""


def sent(text: str, *, page: str = "8000") -> bytes:
    return text.replace("AAAA", page).replace("\n", "\r\n").encode()


def but(text: str, old: str, new: str) -> bytes:
    assert old in text
    return sent(text.replace(old, new))


# ---------------------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------------------

VARY_PREFLIGHT = {"vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
CORS = {"access-control-allow-origin": "http://127.0.0.1:8000", "access-control-allow-credentials": "true"}
READABLE = {**CORS, "access-control-expose-headers": "X-Total", "vary": "Origin"}
TEXT = {"content-type": "text/plain"}

GRANTED = Answer(
    204,
    {
        **CORS,
        "access-control-allow-methods": "GET, HEAD, PUT",
        "access-control-allow-headers": "Authorization, Content-Type, X-1, X-A, X-B, X_Under, Zeta",
        "access-control-max-age": "600",
        **VARY_PREFLIGHT,
    },
)
GRANTED_NULL = Answer(
    204,
    {
        "access-control-allow-origin": "null",
        "access-control-allow-methods": "PUT",
        "access-control-allow-headers": "X-B",
        "access-control-max-age": "600",
        **VARY_PREFLIGHT,
    },
)
REFUSED = Answer(
    403,
    {"content-type": "text/plain; charset=utf-8", "content-length": "32", **VARY_PREFLIGHT},
    b"This CORS preflight is refused.\n",
)


def data(body: bytes, cors: Mapping[str, str], *, length: int | None = None) -> Answer:
    """What ``/data`` answers, with or without the headers that let a page read it."""
    return Answer(
        200,
        {
            **TEXT,
            "content-length": str(length or len(body)),
            "set-cookie": "a=1\nb=2",
            "x-total": "7",
            **cors,
            "vary": "Accept-Encoding, Origin",
        },
        body,
    )


def plain(status: int, body: bytes, cors: Mapping[str, str]) -> Answer:
    return Answer(status, {**TEXT, "content-length": str(len(body)), **cors}, body)


class Row(NamedTuple):
    """What is asked and what is answered; where a server is in between, what is answered *instead*.

    *by_server* has the status where a server answers itself: its answer is its own, and must have no CORS headers.
    *not_on* has the reason why a server can't serve such an app at all.
    """

    request: bytes
    answer: Answer
    instead: Mapping[str, Answer] = {}
    by_server: Mapping[str, int] = {}
    not_on: Mapping[str, str] = {}


TABLE = {
    # what browsers send
    "chromium": Row(sent(CHROMIUM), GRANTED),
    "firefox": Row(sent(FIREFOX), GRANTED),
    "webkit": Row(sent(WEBKIT), GRANTED),
    "chromium-sandbox": Row(sent(CHROMIUM_SANDBOX), GRANTED_NULL),
    "firefox-sandbox": Row(sent(FIREFOX_SANDBOX), GRANTED_NULL),
    "webkit-sandbox": Row(sent(WEBKIT_SANDBOX), GRANTED_NULL),
    # the same, refused
    "chromium-other-page": Row(sent(CHROMIUM, page="8001"), REFUSED),
    "firefox-delete": Row(but(FIREFOX, "Method: PUT", "Method: DELETE"), REFUSED),
    "webkit-patch-in-lower-case": Row(but(WEBKIT, "Method: PUT", "Method: patch"), REFUSED),
    "chromium-one-header-more": Row(but(CHROMIUM, "x-a,x-b", "x-a,x-ab,x-b"), REFUSED),
    "firefox-sandbox-elsewhere": Row(but(FIREFOX_SANDBOX, "/raw_sandbox", "/data"), REFUSED),
    # preflights that no browser sends
    "preflight-with-a-body": Row(preflight(body=b"GET / HTTP/1.1\r\n\r\n"), GRANTED),
    "preflight-in-http-1.0": Row(preflight(version=b"1.0"), GRANTED),
    "preflight-header-names-in-odd-case": Row(preflight().replace(b"Origin", b"oRIGIN"), GRANTED),
    "preflight-for-a-path-left-alone": Row(
        preflight().replace(b"/data", b"/alone"),
        plain(404, b"nowhere", {}),
    ),
    "preflight-without-origin": Row(
        message(b"OPTIONS /data HTTP/1.1", b"Access-Control-Request-Method: PUT"),
        data(b"OPTIONS ", {}),
    ),
    "preflight-without-method": Row(actual(b"OPTIONS /data"), data(b"OPTIONS ", READABLE)),
    "preflight-empty-origin": Row(preflight(origin=b""), REFUSED),
    "preflight-empty-method": Row(preflight(method=b""), REFUSED),
    "preflight-empty-headers": Row(preflight(headers=b""), GRANTED),
    "preflight-white-space-in-list": Row(preflight(headers=b" authorization ,\tx-a ,, x-b,\t "), GRANTED),
    "preflight-white-space-around-origin": Row(
        preflight(origin=b"  " + ORIGIN + b" \t"),
        GRANTED,
        # These hand it on with the white space behind it.
        instead={"uwsgi": REFUSED, "werkzeug": REFUSED},
    ),
    "preflight-headers-on-two-lines": Row(preflight(b"Access-Control-Request-Headers: x-a"), GRANTED),
    "preflight-latin-1-origin": Row(preflight(origin=b"http://caf\xe9.example"), REFUSED),
    "preflight-latin-1-header": Row(
        preflight(headers=b"x-\xe9"), REFUSED, not_on={"granian": "it hands the header on as an empty one"}
    ),
    "preflight-control-character-in-origin": Row(
        preflight(origin=ORIGIN + b"\x01"),
        REFUSED,
        by_server={"gunicorn-sync": 400, "gunicorn-gthread": 400, "waitress": 400, "granian": 400},
    ),
    "preflight-over-long-origin": Row(preflight(origin=b"http://" + b"a" * 400), REFUSED),
    "preflight-over-long-method": Row(preflight(method=b"P" * 65), REFUSED),
    # uWSGI takes 4 KB of header lines unless told otherwise.
    "preflight-over-long-headers": Row(
        preflight(headers=b",".join([b" " * 45 + b"x-a"] * 105)),  # every one of which is allowed
        REFUSED,
        instead={"uwsgi": CLOSED},
    ),
    "preflight-enormous-headers": Row(
        preflight(headers=b",".join([b"x-a"] * 17500)),
        REFUSED,
        instead={"uwsgi": CLOSED},
        by_server={"gunicorn-sync": 431, "gunicorn-gthread": 431, "werkzeug": 431, "wsgiref": 431},
    ),
    # actual requests
    "get": Row(actual(b"GET /data"), data(b"GET ", READABLE)),
    "get-refused": Row(actual(b"GET /data", origin=EVIL), data(b"GET ", {})),
    "get-without-origin": Row(message(b"GET /data HTTP/1.1"), data(b"GET ", {})),
    "get-empty-origin": Row(actual(b"GET /data", origin=b""), data(b"GET ", {})),
    "get-latin-1-origin": Row(actual(b"GET /data", origin=ORIGIN + b"\xe9"), data(b"GET ", {})),
    "get-null-origin": Row(actual(b"GET /data", origin=b"null"), data(b"GET ", {})),
    # cheroot keeps the last of two lines. Browsers send one.
    "get-origin-twice": Row(
        actual(b"GET /data", b"Origin: " + ORIGIN),
        data(b"GET ", {}),
        instead={"cheroot": data(b"GET ", READABLE)},
    ),
    "get-two-origins": Row(
        actual(b"GET /data", b"Origin: " + ORIGIN, origin=EVIL),
        data(b"GET ", {}),
        instead={"cheroot": data(b"GET ", READABLE)},
    ),
    "get-two-origins-the-other-way-round": Row(actual(b"GET /data", b"Origin: " + EVIL), data(b"GET ", {})),
    "put": Row(actual(b"PUT /data", body=b"abc"), data(b"PUT abc", READABLE)),
    # It was done, as it would be without any CORS, and the page can't read how it went.
    "put-refused": Row(actual(b"PUT /data", origin=EVIL, body=b"abc"), data(b"PUT abc", {})),
    "head": Row(actual(b"HEAD /data"), data(b"", READABLE, length=5)),
    "stream": Row(actual(b"GET /stream"), Answer(200, {**TEXT, **READABLE}, b"part 0\npart 1\npart 2\n")),
    "stream-refused": Row(
        actual(b"GET /stream", origin=EVIL), Answer(200, {**TEXT, "vary": "Origin"}, b"part 0\npart 1\npart 2\n")
    ),
    "head-of-stream": Row(actual(b"HEAD /stream"), Answer(200, {**TEXT, **READABLE})),
    "lazy-stream": Row(
        actual(b"GET /lazy"),
        Answer(200, {**TEXT, **READABLE}, b"part 0\npart 1\n"),
        not_on={"granian": "it sends the headers before it asks for the first part, so without those of the app"},
    ),
    "write": Row(
        actual(b"GET /write"),
        Answer(200, {**TEXT, **READABLE}, b"written, returned"),
        not_on={"granian": "its start_response returns nothing"},
    ),
    "file": Row(actual(b"GET /file"), plain(200, FILE, READABLE)),
    "404": Row(actual(b"GET /elsewhere"), plain(404, b"nowhere", READABLE)),
    "404-refused": Row(actual(b"GET /elsewhere", origin=EVIL), plain(404, b"nowhere", {"vary": "Origin"})),
    "500": Row(actual(b"GET /error"), plain(500, b"ouch", READABLE)),
    # What an app raises is answered by the server, which knows nothing of CORS.
    "500-of-the-server": Row(
        actual(b"GET /raises"), CLOSED, by_server={name: 500 for name in SERVERS if name != "uwsgi"}
    ),
    # paths: the policy is that of the path that the app sees
    "path-left-alone": Row(actual(b"GET /alone"), plain(404, b"nowhere", {})),
    "path-with-dots": Row(
        actual(b"GET /alone/../data"),
        plain(404, b"nowhere", {}),
        instead={"uwsgi": data(b"GET ", READABLE)},  # which resolves them first
    ),
    "path-with-encoded-dots": Row(actual(b"GET /alone/%2e%2e/data"), plain(404, b"nowhere", {})),
}


@pytest.mark.parametrize(
    ("server", "row"),
    [
        pytest.param(server, row, id=f"{server}-{story}")
        for server in SERVERS
        for story, row in TABLE.items()
        if server not in row.not_on
    ],
)
def test_the_answer_is_the_same_on_all_servers(port_of: Callable[[str], int], server: str, row: Row) -> None:
    with Connection(port_of(server)) as connection:
        answer = connection.ask(row.request)
    if server in row.by_server:
        assert answer.status == row.by_server[server]
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    else:
        assert answer == row.instead.get(server, row.answer)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    "request_before",
    [
        pytest.param(sent(CHROMIUM), id="chromium"),
        pytest.param(preflight(body=b"GET /elsewhere HTTP/1.1\r\n\r\n"), id="with-a-body"),
    ],
)
def test_a_connection_serves_on_after_a_preflight(
    port_of: Callable[[str], int], server: str, request_before: bytes
) -> None:
    with Connection(port_of(server)) as connection:
        for _ in range(2):
            assert connection.ask(request_before) == GRANTED
            assert connection.ask(actual(b"PUT /data", body=b"abc")) == data(b"PUT abc", READABLE)
