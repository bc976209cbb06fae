"""Each exporter on its real server: it answers what the rows say, and leaves the rest, whatever is asked.

``EDGE_REQUESTS=20000 pytest tests/test_edge_servers.py`` asks more, and ``EDGE_SEED=7`` other things.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from edge_servers import EDGES, LEFT, served

from flask_preflight import Policy, by_path
from flask_preflight.edge.rows import Asked, Row, answer_of, rows_of

REQUESTS = int(os.environ.get("EDGE_REQUESTS", "2000"))
SEED = os.environ.get("EDGE_SEED", "1")

pytestmark = pytest.mark.servers

PAGE = "https://frontend.com"

POLICIES: dict[str, Policy | None] = {
    "/one": Policy(allow_origins=[PAGE]),
    "/two": Policy(allow_origins=[PAGE, "http://localhost:3000"], allow_methods=["PUT", "DELETE"]),
    "/none": Policy(),
    "/subdomains": Policy(allow_origins=["https://*.frontend.com"], allow_headers=["Authorization", "X-A"]),
    "/ports": Policy(allow_origins=["http://localhost:*", "http://[::1]:*"]),
    "/both": Policy(allow_origins=["https://*.frontend.com:*", PAGE], allow_credentials=True),
    "/public": Policy(allow_origins="*"),
    "/everything": Policy(allow_origins="*", allow_methods="*", allow_headers="*", expose_headers="*"),
    "/token": Policy(allow_origins="*", allow_headers=["*", "Authorization"]),
    "/cookies": Policy(allow_origins=[PAGE], allow_credentials=True, allow_methods="*"),
    "/null": Policy(allow_origins=["null", PAGE], dangerously_allow_null_origin=True),
    "/status-200": Policy(allow_origins=[PAGE], preflight_status=200),
    "/status-299": Policy(allow_origins=[PAGE], preflight_status=299),
    "/no-headers": Policy(allow_origins=[PAGE], allow_headers=[], max_age=None),
    "/odd-method": Policy(allow_origins=[PAGE], allow_methods=["PROPFIND", "X-1"]),
    "/odd-header": Policy(allow_origins=[PAGE], allow_headers=["X-$a", "!"]),
    "/many": Policy(
        allow_origins=[f"https://shop-{number}.example.com" for number in range(200)]
        + [f"https://*.region-{number}.example.com" for number in range(20)]
    ),
    "/schemes": Policy(allow_origins=["app://.", "moz-extension://*", "capacitor://localhost"]),
    "/one/nested": Policy(allow_origins=["https://nested.example"]),
    "/one/left": None,
    "/UPPER": Policy(allow_origins=[PAGE]),
    "/é": Policy(allow_origins=[PAGE]),
}

# It takes 10 kB.
LONG = ("/many", "/two", "/status-299", "/odd-method")

ORIGINS = (
    *(PAGE, "http://frontend.com", "https://FRONTEND.com", "https://frontend.com.evil.com", "https://evilfrontend.com"),
    *(
        "https://frontend.com:443",
        "https://frontend.com:8443",
        "https://frontend.com.",
        "https://frontendxcom",
        "null",
        "NULL",
    ),
    *("https://x.frontend.com", "https://x.y.z.frontend.com", "https://a.b.c.d.frontend.com", "https://.frontend.com"),
    *(
        "https://x.frontend.com:8443",
        "https://x.frontend.com:443",
        "https://x.frontend.com:65536",
        "https://-.frontend.com",
    ),
    *("http://localhost:3000", "http://localhost", "http://localhost:80", "http://localhost:1", "http://[::1]:3000"),
    *(
        "https://shop-7.example.com",
        "https://shop-200.example.com",
        "https://a.region-3.example.com",
        "app://.",
        "app://x",
    ),
    *(
        "moz-extension://4f-1",
        "moz-extension://",
        "capacitor://localhost",
        "https://nested.example",
        "*",
        "",
        "https://",
    ),
    *("https://frontend.com/", "https://frontend.com https://frontend.com", "https://frontend.com,https://evil.com"),
    *(
        "https://evil.com\x00https://frontend.com",
        "https://frontend.com\x00.evil.com",
        "https://x.frontend.com\x00",
        "https://user@frontend.com",
        "https://frontend.com#",
        "https://frontend.com$",
    ),
    *('https://frontend.com"', "https://frontend.com'", "https://frontend.com\\", "https://{frontend.com}", "x" * 400),
    *("https://xn--bcher-kva.frontend.com", "https://x_y.frontend.com", f"https://{'a' * 63}.frontend.com"),
    *(f"https://{'a' * 64}.frontend.com", "https://x.frontend.com\t", "file://", "p0 https://frontend.com"),
)
METHODS = (
    *("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "PROPFIND", "X-1", "OPTIONS", "TRACE", "CONNECT", "get", "Put"),
    *("", "*", "GET PUT", "GET,PUT", "G$T", "GET\t", "GET\x00", "PUT\x00x", "x" * 300),
)
LISTS = (
    *("", "content-type", "authorization", "x-a", "authorization,x-a", "authorization,content-type", "Content-Type"),
    *("content-type, x-a", ",", ",content-type", "content-type,", "content-type,,x-a", "x-b", "*", "x-$a", "!"),
    *(
        "content-type;x-a",
        "content-type,content-type",
        ",".join(["content-type"] * 33),
        "," * 200,
        "x-a" * 1000,
        "content-type\x00",
    ),
)
TAILS = (
    "",
    "/",
    "/x",
    "/x/y",
    "?a=b",
    "/x?a=/../b",
    "x",
    "/../one",
    "/./x",
    "//x",
    "/%2e%2e/one",
    "/a%20b",
    "/.hidden",
    "/x;y",
    "/x#y",
    '/"x"',
    "/{x}",
    "/$x",
    "/x?a=\"{b}$'",
)


def asked_of(random: Random, rows: list[Row]) -> Asked:
    """Some as browsers ask, some with one thing that is hostile, and some with nothing else."""
    target = random.choice([*POLICIES, "/elsewhere"]).replace("é", "%C3%A9")
    method = random.choice(["OPTIONS", "OPTIONS", "OPTIONS", "GET", "POST"])
    hostile = (random.choice(ORIGINS), random.choice(METHODS), random.choice(LISTS))
    likely = _likely(random, rows, target)
    kind = random.choice(["likely", "likely", "one", "one", "all"])
    if kind == "all":
        return Asked(method, f"{target}{random.choice(TAILS)}", *hostile)
    asked = Asked("OPTIONS", f"{target}{random.choice(TAILS[:6])}", *likely)
    changes = {"target": f"{target}{random.choice(TAILS)}", **dict(zip(Asked._fields[2:], hostile, strict=True))}
    name = random.choice([*changes])
    return asked._replace(**{name: changes[name]}) if kind == "one" else asked


def _likely(random: Random, rows: list[Row], target: str) -> tuple[str, str, str]:
    """What the policy of *target* probably grants."""
    policy = POLICIES.get(target)
    origins = [origin for origin in ORIGINS if policy is not None and policy.allows_origin(origin)] or [PAGE]
    methods = [*(policy.methods if policy is not None else ()), "GET"]
    names = [name.lower() for name in (policy.headers if policy is not None else ()) if name.isascii()]
    listed = ",".join(sorted(random.sample(names, random.randint(0, len(names)))))
    return random.choice(origins), random.choice(methods), listed


class Answer(NamedTuple):
    status: int
    headers: tuple[tuple[str, str], ...]


def expected(rows: list[Row], asked: Asked) -> Answer:
    answer = answer_of(rows, asked)
    return Answer(LEFT, ()) if answer is None else Answer(answer[0], tuple(sorted(answer[1])))


class Connection:
    """Raw requests on a connection that is opened again when the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, asked: Asked) -> Answer:
        named = {"Origin": asked.origin, "Access-Control-Request-Method": asked.method}
        named["Access-Control-Request-Headers"] = asked.headers
        return self.ask_lines(asked.request_method, asked.target, [pair for pair in named.items() if pair[1]])

    def ask_lines(self, request_method: str, target: str, headers: Iterable[tuple[str, str]]) -> Answer:
        lines = [f"{request_method} {target} HTTP/1.1", "Host: a.example", "Content-Length: 0"]
        lines += [f"{name}: {value}" for name, value in headers]
        sent = "\r\n".join([*lines, "", ""]).encode("latin-1")
        try:
            return self._ask(sent)
        except OSError:
            self.close()
            return self._ask(sent)

    def _ask(self, sent: bytes) -> Answer:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        self._socket.sendall(sent)
        head, _, body = self._read_until(b"\r\n\r\n").partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        lower = {name.lower(): value for name, value in headers}
        missing = int(lower.get("content-length", "0")) - len(body)
        while missing > 0:
            missing -= len(self._receive())
        if lower.get("connection") == "close" or "content-length" not in lower:
            self.close()
        wanted = sorted((_known(name), value) for name, value in headers if _is_wanted(name))
        return Answer(int(first.split()[1]), tuple(wanted))

    def _read_until(self, end: bytes) -> bytes:
        data = b""
        while end not in data:
            data += self._receive()
        return data

    def _receive(self) -> bytes:
        assert self._socket is not None
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _is_wanted(name: str) -> bool:
    return name.lower().startswith("access-control-") or name.lower() == "vary"


def _known(name: str) -> str:
    """Some servers write names in lower case."""
    return name.title()


def explained(rows: list[Row], asked: Asked, got: Answer) -> str:
    """Why an edge may answer something else than the rows say. No browser sends such a request."""
    trimmed = Asked(*(value.strip(" \t") for value in asked))
    # Whatever its headers are, such a status grants nothing: https://fetch.spec.whatwg.org/#cors-preflight-fetch
    if got.status in (400, 403, 405, 414, 431, 501) and is_odd(asked):
        return "P: the server refuses the request: a NUL, a very long header, or a character that no URL has"
    if trimmed != asked and got == expected(rows, trimmed):
        return "W: the server takes white space off the ends of values, as WSGI servers do"
    return ""


# https://www.rfc-editor.org/rfc/rfc3986#appendix-A
PLAIN_TARGET = re.compile("[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")


def is_odd(asked: Asked) -> bool:
    return any("\x00" in value or len(value) > 2000 for value in asked) or not PLAIN_TARGET.fullmatch(asked.target)


@pytest.mark.parametrize("name", EDGES)
def test_an_edge_answers_what_the_rows_say(name: str, tmp_path: Path) -> None:
    left_out = LONG if name == "cloudfront" else ()
    policies: Any = by_path({key: policy for key, policy in POLICIES.items() if key not in left_out})
    rows = rows_of(policies)
    random = Random(f"{SEED}/{name}")
    granted = 0
    different: list[str] = []
    with served(name, tmp_path, rows) as port:
        connection = Connection(port)
        for _ in range(REQUESTS):
            asked = asked_of(random, rows)
            got = connection.ask(asked)
            asked = EDGES[name].sees(asked)
            want = expected(rows, asked)
            granted += want.status != LEFT
            if got != want and not explained(rows, asked, got):
                different.append(f"{asked}\n  rows {want}\n  {name} {got}")
        connection.close()
    assert different == []
    assert granted > REQUESTS / 5


# ---------------------------------------------------------------------------------------
# R: a header that is sent twice, as no browser sends it
# ---------------------------------------------------------------------------------------

GOOD = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-a"}
EVIL = {
    "Origin": "https://evil.com",
    "Access-Control-Request-Method": "DELETE",
    "Access-Control-Request-Headers": "x-b",
}


def repeated() -> dict[str, list[tuple[str, str]]]:
    """Preflights with one header twice, the first or the last of them harmless."""
    found = {}
    for name in GOOD:
        for word, pair in {"first": [GOOD, EVIL], "last": [EVIL, GOOD]}.items():
            others = [(other, value) for other, value in GOOD.items() if other != name]
            found[f"{name} {word}"] = [*others, *((name, values[name]) for values in pair)]
    return found


# nginx before 1.23 reads the first line, and WSGI servers join the lines: https://nginx.org/en/CHANGES
MAY_GRANT = {"nginx": {f"{name} first" for name in GOOD}}


@pytest.mark.parametrize("name", EDGES)
def test_what_is_sent_twice_is_not_granted(name: str, tmp_path: Path) -> None:
    policy = Policy(allow_origins=[PAGE], allow_methods=["PUT"], allow_headers=["X-A"])
    with served(name, tmp_path, rows_of(policy)) as port:
        connection = Connection(port)
        assert connection.ask_lines("OPTIONS", "/", GOOD.items()).status == 204
        statuses = {case: connection.ask_lines("OPTIONS", "/", headers).status for case, headers in repeated().items()}
        connection.close()
    granted = {case for case, status in statuses.items() if status == 204}
    assert granted <= MAY_GRANT.get(name, set())
    assert {status for case, status in statuses.items() if case not in granted} <= {LEFT, 400}


# ---------------------------------------------------------------------------------------
# Authentication
# ---------------------------------------------------------------------------------------

HASH = "JDJhJDE0JEVCNmdaNEg2Ti5iejRMYkF3MFZhZ3VtV3E1SzBWZEZ5Q3VWc0tzOEJwZE9TaFlZdEVkZDhX"

# What asks everyone else for a password
GUARDED = {
    "nginx": "auth_basic app; auth_basic_user_file /dev/null; try_files /none =418",
    "haproxy": "http-request auth",
    "caddy": f"basicauth {{\n user {HASH}\n}}\nrespond {LEFT}",
    "envoy": """- name: envoy.filters.http.basic_auth
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth
              users: {inline_string: "user:{SHA}2kuSN7rMzfGcB2DKt67EqDWQELA="}""",
}


@pytest.mark.parametrize("name", GUARDED)
def test_a_preflight_needs_no_password(name: str, tmp_path: Path) -> None:
    with served(name, tmp_path, rows_of(Policy(allow_origins=[PAGE])), rest=GUARDED[name]) as port:
        connection = Connection(port)
        statuses = [connection.ask(Asked(method, "/", PAGE, "GET", "")).status for method in ("OPTIONS", "GET")]
        connection.close()
    assert statuses == [204, 401]


# ---------------------------------------------------------------------------------------
# Size
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EDGES)
def test_a_thousand_origins_and_a_hundred_headers(name: str, tmp_path: Path) -> None:
    count = 100 if name == "cloudfront" else 1000  # it takes 10 kB
    origins = [f"https://shop-{number}.example.com" for number in range(count)]
    names = [f"X-Header-{number}" for number in range(100)]
    rows = rows_of(Policy(allow_origins=origins, allow_headers=names))
    asked = Asked("OPTIONS", "/", origins[-1], "GET", ",".join(sorted(name.lower() for name in names)[:10]))
    with served(name, tmp_path, rows) as port:
        connection = Connection(port)
        assert connection.ask(asked) == expected(rows, asked)
        assert connection.ask(asked).status == 204
        connection.close()


def test_nginx_says_which_sizes_it_needs(tmp_path: Path) -> None:
    origins = [f"https://{'a' * 60}.{'b' * 60}.{'c' * 60}.shop-{number}.example.com" for number in range(3000)]
    rows = rows_of(Policy(allow_origins=origins))
    with served("nginx", tmp_path, rows) as port:
        connection = Connection(port)
        assert connection.ask(Asked("OPTIONS", "/", origins[-1], "GET", "")).status == 204
        connection.close()
    assert "map_hash_bucket_size 256; map_hash_max_size 6000;" in (tmp_path / "nginx.conf").read_text(encoding="ascii")
