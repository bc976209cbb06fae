"""Random policies and requests, sent through the middleware and compared with `engine_oracle`: no difference.

The tests send 60,000 requests. To send more, in one process::

    python tests/test_engine_oracle.py --requests 1000000 --seed 7

That prints how often each verdict came up, and every difference up to the tenth; the exit status is 1 if there is one.

Most requests are drawn close to what their policy allows, so that grants and refusals are both frequent. Each request
is repeated a few times in random order, under two policies that differ in one field: an answer that is remembered for
the wrong request or the wrong policy is a difference.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest
from engine_oracle import Answer, Description, Headers, Request, answer, is_preflight, judge, normal

from flask_preflight import Policy, PreflightMiddleware, RequestFacts, negotiate

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.slow

# ---------------------------------------------------------------------------------------
# Policies
# ---------------------------------------------------------------------------------------

EXACT = (
    "https://example.com",
    "https://app.example.com",
    "https://kiosk.example.com",  # K and S: letters outside ASCII have them as their lower or upper case
    "https://a.b.example.com:8443",
    "https://example.com.",
    "https://xn--bcher-kva.example",
    "http://my_service:3000",
    "http://localhost:3000",
    "http://localhost",
    "http://127.0.0.1:8000",
    "http://[::1]:8080",
    "https://[2001:db8::1]",
    "capacitor://localhost",
    "chrome-extension://abcdefghijklmnop",
    "moz-extension://0b5e8c2a-1f00-4d6b-9a3c-2f7e8d9c0b1a",
    "app://.",
    "app://",
    "package://",
)
PATTERNS = (
    "https://*.example.com",
    "https://*.example.com:*",
    "https://*.b.example.com:8443",
    "https://*.kiosk.example",
    "http://*.localhost:*",
    "http://localhost:*",
    "http://[::1]:*",
)
SCHEME_PATTERNS = ("moz-extension://*", "safari-web-extension://*")  # not with credentials

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY", "propfind", "KISS", "M" * 64)
REQUEST_HEADERS = ("Accept", "Authorization", "Content-Type", "X-Kiss", "x-b", "X_Under", "If-Match", "X-" + "a" * 1022)
RESPONSE_HEADERS = ("ETag", "Link", "X-Total", "x-request-id", "Content-Disposition")


class OriginCheck:
    """A callable ``allow_origins`` whose answers change while the server runs."""

    def __init__(self, origins: Iterable[str], random: Random) -> None:
        self.origins = set(origins)
        self.otherwise: Any = random.choice((False, False, True, None, 1, ValueError("no")))

    def __call__(self, origin: str, environ: dict[str, Any]) -> bool:
        if origin in self.origins:
            return True
        if isinstance(self.otherwise, Exception):
            raise self.otherwise
        return self.otherwise  # type: ignore[no-any-return]  # what is no bool is among the cases

    def change(self, random: Random) -> None:
        self.origins ^= {random.choice(EXACT)}


def some(random: Random, items: tuple[str, ...], most: int = 4) -> list[str]:
    return random.sample(items, random.randint(0, min(most, len(items))))


def draw_origins(random: Random, *, credentials: bool) -> Literal["*"] | list[str] | OriginCheck:
    kind = random.random()
    if kind < 0.15:
        return OriginCheck(random.sample(EXACT, 9), random)
    if kind < 0.3 and not credentials:
        return "*"
    only_without = () if credentials else (*SCHEME_PATTERNS, "null")
    return some(random, EXACT) + some(random, PATTERNS, 2) + some(random, only_without, 2)


def draw_field(random: Random, field: str, *, credentials: bool) -> Any:
    """Draw the value of a field that is valid beside all others."""
    match field:
        case "allow_origins":
            return draw_origins(random, credentials=credentials)
        case "allow_methods":
            return random.choice((None, "*", some(random, METHODS), some(random, METHODS, 9)))
        case "allow_headers":
            names = some(random, REQUEST_HEADERS, 6)
            return random.choice(("*", ["*", "Authorization"], ["*", *names], names, names))
        case "expose_headers":
            return random.choice((some(random, RESPONSE_HEADERS), [] if credentials else "*"))
        case "max_age":
            return random.choice((None, 0, 1, 600, 86400))
        case "allow_timing":
            return random.random() < 0.5
        case _:
            return random.choice((200, 204, 204, 299))


FIELDS = (
    "allow_origins",
    "allow_methods",
    "allow_headers",
    "expose_headers",
    "max_age",
    "allow_timing",
    "preflight_status",
)


def draw_policy(random: Random) -> Description:
    credentials = random.random() < 0.4
    drawn: Description = {
        "allow_credentials": credentials,
        "dangerously_allow_insecure_origins": True,
        "dangerously_allow_public_suffix_subdomains": True,
        "dangerously_allow_null_origin": True,
    }
    for field in FIELDS:
        if random.random() < 0.8:  # else its default
            drawn[field] = draw_field(random, field, credentials=credentials)  # type: ignore[literal-required]
    return drawn


# ---------------------------------------------------------------------------------------
# Requests
# ---------------------------------------------------------------------------------------

LONGEST_LABEL = "a" * 63
LONGEST_NAMES = {63: f"{LONGEST_LABEL}.example.com", 64: f"{LONGEST_LABEL}a.example.com"}


def subdomains(random: Random, domain: str) -> str:
    """Draw a subdomain of *domain*; a few are as long as a name or a label may be, or by one longer."""
    kind = random.random()
    if kind < 0.04:
        room = random.choice((253, 254)) - len(domain.rstrip("."))
        labels = ("a" * 49 + ".") * (room // 50)
        rest = room - len(labels)
        return f"{labels}{'b' * (rest - 1)}{'.' if rest else ''}{domain}".replace("..", ".")
    if kind < 0.08:
        return f"{'a' * random.choice((63, 64))}.{domain}"
    return random.choice(("a.", "a.b.", "www.", "xn--bcher-kva.", "1.", "-.", "_.", "a.b.c.d.e.f.")) + domain


def instance(random: Random, value: str) -> str:
    """Draw an origin that an item of ``allow_origins`` covers."""
    if value.endswith("://*"):
        host = random.choice(("0b5e8c2a-1f00", ".", "a", "~", "a.b_c~d-", "1", "x" * (320 - len(value) + 1)))
        return value.removesuffix("*") + host
    scheme, _, rest = value.partition("://")
    if rest.startswith("*."):
        rest = subdomains(random, rest.removeprefix("*."))
    if rest.endswith(":*"):
        rest = rest.removesuffix(":*") + random.choice(("", ":1", ":3000", ":8443", ":65535"))
    return f"{scheme}://{rest}"


LOOK_ALIKES = {"k": "\u212a", "s": "\u017f", "i": "\u0131", "S": "\u017f", "K": "\u212a", "I": "\u0130"}
SPACES = (" ", "\t", "\n", "\r\n", "\v", "\f", "\0", "\xa0", "\u2003")


def as_wsgi(text: str) -> str:
    """Spell *text* as WSGI hands on its UTF-8: each byte as one character."""
    return text.encode().decode("latin-1")


def replaced(random: Random, text: str, old: str, new: str) -> str:
    """Replace one *old* in *text*, if there is one."""
    places = [place for place in range(len(text)) if text.startswith(old, place)]
    if not places:
        return text
    place = random.choice(places)
    return text[:place] + new + text[place + len(old) :]


def look_alike(random: Random, text: str) -> str:
    letters = [letter for letter in LOOK_ALIKES if letter in text]
    if not letters:
        return text + random.choice(("\xe9", "\u212a", as_wsgi("\u212a")))
    letter = random.choice(letters)
    other = LOOK_ALIKES[letter]
    return replaced(random, text, letter, random.choice((other, as_wsgi(other))))


def near_origin(random: Random, value: str, origin: str) -> str:
    """Draw what is nearly *origin*, which the item *value* covers."""
    scheme, _, rest = origin.partition("://")
    host, _, port = rest.rpartition(":") if not rest.endswith("]") and ":" in rest else (rest, "", "")
    match random.randrange(20):
        case 0:
            return origin + random.choice((".evil.example", "evil", ".", "/", "/x", "?", "#", "%2e", "@evil.example"))
        case 1:
            return f"{scheme}://{random.choice(('evil', 'evil.', 'evil-', 'evil.example@', '.', '-', '_', '*.'))}{rest}"
        case 2:
            other = random.choice(("http", "https", "ws", "wss", "ftp", "capacitor", "httpsx", "file", ""))
            # The contract leaves open if a host that is empty may have a port.
            return f"{other}://{rest}"
        case 3 if host:
            ports = (":1", ":80", ":443", ":8443", ":3000", ":65535", ":65536", ":0", ":08443", ":", ":*", ":+1", ":1 ")
            return f"{scheme}://{host}{random.choice(ports)}"
        case 4 if port:
            return f"{scheme}://{host}:{random.choice((port[:-1] or '2', port + '0', '0' + port, port[::-1]))}"
        case 5:
            return replaced(random, origin, ".", random.choice(("", "x", "-", "..", "\u3002", "%2e", "*")))
        case 6:
            return random.choice((origin.upper(), origin.capitalize(), f"{scheme.upper()}://{rest}", origin.swapcase()))
        case 7:
            return random.choice((value, "*", "null", "NULL", "Null", " null", "null ", "", "https://*", "*://*"))
        case 8:
            space = random.choice(SPACES)
            return random.choice((space + origin, origin + space, origin.replace("://", f"://{space}")))
        case 9:
            return look_alike(random, origin)
        case 10:
            other = instance(random, random.choice(EXACT))
            return random.choice((", ", ",", " ")).join((origin, other))
        case 11:
            return origin.replace("://", random.choice((":", ":/", ":///", "//", "", ":\\\\")))
        case 12 if value.count("*."):
            bare = value.replace("*.", random.choice(("", ".", "a..", "a.-", "a_.", "*.", "a*.", "\xfc.")))
            return bare.removesuffix(":*")
        case 13 | 16:
            return long_origin(random, scheme)
        case 14 if "." in rest:
            return f"{scheme}://{rest.partition('.')[2]}"
        case 15:
            return origin[: random.randrange(len(origin))]
        case _:
            place = random.randrange(len(origin))
            return origin[:place] + random.choice("abz09-_.~*@/") + origin[place + random.randint(0, 1) :]


def long_origin(random: Random, scheme: str) -> str:
    """Draw an origin at the limit of 320 characters. Only a host that is opaque, or a scheme, can be so long."""
    length = random.choice((319, 320, 321, 321, 4000))
    if random.random() < 0.5:
        return f"x{'y' * (length - len('x://host'))}://host"
    return f"{scheme}://{'a' * (length - len(f'{scheme}://'))}"


def draw_origin(random: Random, policy: Description) -> str:
    allowed = policy.get("allow_origins", [])
    if isinstance(allowed, OriginCheck):
        values = [*sorted(allowed.origins), random.choice(EXACT)]
    else:
        values = list(allowed) if isinstance(allowed, list) else []
    value = random.choice(values or EXACT)
    if value == "null":
        return random.choice(("null", "null", "null", "NULL", "null ", "nul", "null.", "null, null"))
    origin = instance(random, value)
    kind = random.random()
    if kind < 0.65:
        return origin
    if kind < 0.72:
        return "null"
    if kind < 0.95:
        return near_origin(random, value, origin)
    return instance(random, random.choice(EXACT + PATTERNS + SCHEME_PATTERNS))


def draw_method(random: Random, policy: Description) -> str:
    """Draw a requested method, allowed in most cases."""
    listed = policy.get("allow_methods")
    allowed = listed if isinstance(listed, list) else ["GET", "HEAD", "POST"]
    method = random.choice([*allowed, "PUT"] if listed == "*" else allowed or ["GET"])
    match random.randrange(30):
        case 0:
            return random.choice((method.lower(), method.swapcase(), method.capitalize()))
        case 1:
            return random.choice((method + "X", "X" + method, method[:-1], method[1:], method[::-1]))
        case 2:
            space = random.choice(SPACES)
            return random.choice((method + space, space + method, f"{method},{space}PUT"))
        case 3:
            return random.choice(("", "*", "M" * 63, "M" * 64, "M" * 65, "M" * 5000, ",", "GET/1.1", "GET;", "\xe9"))
        case 4:
            return random.choice(("TRACE", "trace", "Track", "CONNECT", "connect", "TRACK", "TRACES", "CONNEC"))
        case 5:
            return look_alike(random, random.choice((method, "KISS", "TRACK")))
        case 6 | 7:
            return random.choice(METHODS)
        case _:
            return method


def draw_name(random: Random, names: list[str]) -> str:
    """Draw a header name, allowed in most cases."""
    name = random.choice(names or ["Content-Type"])
    match random.randrange(40):
        case 0:
            return random.choice((name + "x", "x" + name, name[:-1], name[1:], f"{name}-", name.replace("-", "_")))
        case 1:
            return random.choice((f"{name} x", f"{name}:", f"{name};", f'"{name}"', f"({name})", f"{name}\r\nx: y"))
        case 2:
            space = random.choice(SPACES)
            return random.choice((name + space, space + name))
        case 3:
            return random.choice(("*", "\xe9", "authorization", "AUTHORIZATION", "null", "Access-Control-Allow-Origin"))
        case 4:
            return look_alike(random, random.choice((name, "X-Kiss")))
        case 5:
            return random.choice(REQUEST_HEADERS)
        case 6:
            return random.choice(("", " ", "\t", " \t "))
        case 7 | 8 | 9:
            return random.choice((name.upper(), name.lower(), name.swapcase()))
        case _:
            return name


def draw_names(random: Random, policy: Description) -> str | None:
    if random.random() < 0.15:
        return None
    listed = [name for name in policy.get("allow_headers", ["Content-Type"]) if name != "*"]
    if "*" in policy.get("allow_headers", []):
        listed += ["x-any", "X-Other", "if-match"]
    names = [draw_name(random, listed) for _ in range(random.choice((0, 1, 1, 2, 2, 3, 5)))]
    value = random.choice((",", ", ", ",", " ,\t", ",,", ", ,")).join(names)
    kind = random.random()
    if kind < 0.05:  # at the limit of commas
        return value + "," * (random.choice((127, 128, 129)) - value.count(","))
    if kind < 0.1:  # at the limit of characters
        return value + random.choice((" ", "\t")) * (random.choice((4095, 4096, 4097, 60_000)) - len(value))
    if kind < 0.12:
        return "a" * random.choice((4095, 4096, 4097))
    return value


def draw_request(random: Random, policy: Description) -> Request:
    origin = draw_origin(random, policy)
    method = draw_method(random, policy)
    names = draw_names(random, policy)
    kind = random.random()
    if kind < 0.7:
        return Request("OPTIONS", origin, method, names)
    if kind < 0.85:
        return Request(random.choice(("GET", "POST", "PUT", "HEAD", "OPTIONS")), origin)
    if kind < 0.9:  # less than a preflight
        return Request(random.choice(("GET", "options", "Options", "POST")), origin, method, names)
    if kind < 0.95:
        return Request("OPTIONS", None, method, names)
    return Request(random.choice(("GET", "OPTIONS")), random.choice((None, origin)), None, names)


def relative(random: Random, request: Request) -> Request:
    """Draw what a careless key takes for the same *request*."""
    origin, method, names = request.origin or "", request.requested_method or "", request.requested_headers or ""
    space = random.choice(SPACES)
    match random.randrange(5):
        case 0:
            other = random.choice((names.upper(), names.lower(), names.swapcase(), look_alike(random, names)))
            return request._replace(requested_headers=other)
        case 1:
            other = random.choice((names + space, space + names, f"{names},", names.replace(",", ", "), f"{names},x-b"))
            return request._replace(requested_headers=other)
        case 2:
            other = random.choice((method.lower(), method + space, space + method, look_alike(random, method)))
            return request._replace(requested_method=other)
        case 3:
            other = random.choice((origin.upper(), origin + space, space + origin, look_alike(random, origin)))
            return request._replace(origin=other)
        case _:
            return request._replace(requested_headers=",".join(reversed(names.split(","))))


# ---------------------------------------------------------------------------------------
# What the app answers
# ---------------------------------------------------------------------------------------

OTHERS_HEADERS = (
    ("Content-Type", "text/plain"),
    ("Set-Cookie", "a=1"),
    ("Set-Cookie", "b=2"),
    ("Origin", "https://backend.example"),
    ("X-Access-Control-Allow-Origin", "*"),
    ("Access-Controlled", "yes"),
    ("Allow", "GET"),
    ("Vary-Not", "Accept"),
)
OWN_HEADERS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Origin", "https://evil.example"),
    ("access-control-allow-credentials", "true"),
    ("ACCESS-CONTROL-ALLOW-METHODS", "PUT"),
    ("Access-Control-Allow-Headers", "*"),
    ("Access-Control-Max-Age", "86400"),
    ("Access-Control-Allow-Private-Network", "true"),
    ("Timing-Allow-Origin", "*"),
    ("timing-allow-origin", "https://evil.example"),
)
VARIES = ("Accept-Encoding", "accept, Cookie", "X-A", "X-Origin", "", "X-B,,X-C ,")
VARIES_BY_ORIGIN = ("Origin", "origin", "X-D,ORIGIN")
EXPOSED = ("X-App", "etag, X-App", "x-app,,Link", "X-Total")


def draw_response(random: Random, policy: Description) -> Answer:
    """Draw the app's own answer.

    The contract leaves open: ``*`` or a repeated field in several lines of ``Vary``, several lines where the package
    adds none, and ``*`` among the exposed headers of the app.
    """
    headers: Headers = [header for header in OTHERS_HEADERS if random.random() < 0.2]
    headers += [header for header in OWN_HEADERS if random.random() < 0.2]
    headers += [(spelled(random, "Access-Control-Expose-Headers"), value) for value in EXPOSED if random.random() < 0.1]
    kind = random.random()
    if kind < 0.1:
        headers.append((spelled(random, "Vary"), "*"))
    else:
        varies = (*VARIES, random.choice(VARIES_BY_ORIGIN))
        count = 0 if kind < 0.4 else 1 if kind < 0.7 or policy.get("allow_origins") == "*" else 2
        headers += [(spelled(random, "Vary"), line) for line in random.sample(varies, count)]
    random.shuffle(headers)
    status = random.choice((200, 200, 304, 401, 404, 500))
    return Answer(status, headers, random.choice((b"", b"the app")))


def spelled(random: Random, name: str) -> str:
    return random.choice((name, name, name.lower(), name.upper()))


# ---------------------------------------------------------------------------------------
# Sending and comparing
# ---------------------------------------------------------------------------------------


class App:
    """Answers what it is told to, and counts its calls."""

    def __init__(self) -> None:
        self.next = Answer(200, [], b"")
        self.calls = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.calls += 1
        start_response(f"{self.next.status} From the app", self.next.headers.copy())
        return [self.next.body]


def make_environ(request: Request) -> WSGIEnvironment:
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "backend.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "backend.example",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    sent = {
        "HTTP_ORIGIN": request.origin,
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": request.requested_method,
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": request.requested_headers,
    }
    return environ | {name: value for name, value in sent.items() if value is not None}


def send(app: PreflightMiddleware, request: Request) -> Answer:
    started: list[tuple[str, Headers]] = []

    def start_response(status: str, headers: Headers, exc_info: Any = None, /) -> Any:
        started.append((status, headers.copy()))
        headers.clear()  # the list is the server's now

    body = b"".join(app(make_environ(request), start_response))
    [(status, headers)] = started
    return Answer(int(status.split()[0]), headers, body)


class Server:
    """A policy, in words and built, around an app."""

    def __init__(self, description: Description, policy: Policy) -> None:
        self.description = description
        self.policy = policy
        self.app = App()
        self.middleware = PreflightMiddleware(self.app, policy)

    def difference(self, request: Request, of_app: Answer) -> str | None:
        """Send a request and say how the answer differs from the oracle's."""
        self.app.next = of_app
        self.app.calls = 0
        expected = normal(answer(self.description, request, of_app))
        given = normal(send(self.middleware, request))
        calls = 0 if is_preflight(request) else 1
        if (given, self.app.calls) == (expected, calls):
            return None
        lines = (self.description, request, of_app, f"expected, {calls} calls", expected, f"{self.app.calls}", given)
        return "\n  ".join(map(str, lines))

    def difference_of_verdict(self, request: Request) -> str | None:
        """Ask the engine alone, which also says why it refuses."""
        expected = judge(self.description, request)
        decision = negotiate(self.policy, RequestFacts(*request, {}))
        given = (decision.outcome.value, decision.reason and decision.reason.value)
        return None if given == expected else f"{self.description}\n  {request}\n  expected {expected}\n  given {given}"


def make_servers(random: Random) -> list[Server]:
    """Make two servers whose policies differ in one field at most."""
    description = draw_policy(random)
    fields: Any = description
    policy = Policy(**fields)
    field = random.choice(FIELDS)
    changes: Any = {field: draw_field(random, field, credentials=fields["allow_credentials"])}
    changed: Any = fields | changes
    return [Server(description, policy), Server(changed, policy.override(**changes))]


class Run(NamedTuple):
    """What came of many requests: how often each verdict came up, and the differences."""

    verdicts: Counter[str]
    differences: list[str]


@contextmanager
def silent() -> Iterator[None]:
    """Keep the package from logging thousands of refusals."""
    logger = logging.getLogger("flask_preflight")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def run(seed: int, requests: int, most_differences: int = 10) -> Run:
    random = Random(seed)
    verdicts = Counter[str]()
    differences: list[str] = []
    with silent():
        while verdicts.total() < requests and len(differences) < most_differences:
            differences += filter(None, run_policy(random, verdicts))
    return Run(verdicts, differences)


def run_policy(random: Random, verdicts: Counter[str]) -> Iterator[str | None]:
    """Send a few dozen requests to two servers of nearly one policy, each some times, in random order."""
    servers = make_servers(random)
    drawn = [draw_request(random, random.choice(servers).description) for _ in range(8)]
    drawn += [relative(random, random.choice(drawn)) for _ in range(4)]
    for request in drawn:
        for server in servers:
            yield server.difference_of_verdict(request)
    questions = [(server, request) for server in servers for request in drawn for _ in range(random.randint(1, 3))]
    random.shuffle(questions)
    for server, request in questions:
        check = server.description.get("allow_origins")
        if isinstance(check, OriginCheck):
            check.change(random)
        outcome, reason = judge(server.description, request)
        verdicts[f"{outcome}, {reason}" if reason else outcome] += 1
        yield server.difference(request, draw_response(random, server.description))


# The least share of each verdict, in percent. Without these, a mistake in the drawing would prove nothing.
LEAST = {
    "not-cors": 3.0,
    "actual-allowed": 5.0,
    "actual-refused, origin-check-failed": 0.02,
    "actual-refused, origin-malformed": 1.0,
    "actual-refused, origin-not-allowed": 1.0,
    "actual-refused, origin-null": 0.1,
    "actual-refused, origin-too-long": 0.03,
    "preflight-granted": 10.0,
    "preflight-refused, headers-malformed": 1.0,
    "preflight-refused, headers-not-allowed": 0.5,
    "preflight-refused, headers-too-long": 0.3,
    "preflight-refused, method-forbidden": 0.5,
    "preflight-refused, method-malformed": 2.0,
    "preflight-refused, method-not-allowed": 2.0,
    "preflight-refused, origin-check-failed": 0.2,
    "preflight-refused, origin-malformed": 3.0,
    "preflight-refused, origin-not-allowed": 3.0,
    "preflight-refused, origin-null": 0.3,
    "preflight-refused, origin-too-long": 0.1,
}


@pytest.mark.parametrize("seed", [pytest.param(seed, id=f"seed {seed}") for seed in range(6)])
def test_the_middleware_agrees_with_the_oracle(seed: int) -> None:
    verdicts, differences = run(seed, 10_000)
    assert not differences, "\n\n".join(differences)
    shares = {verdict: 100 * count / verdicts.total() for verdict, count in verdicts.items()}
    assert shares.keys() == LEAST.keys()
    assert {verdict: share for verdict, share in shares.items() if share < LEAST[verdict]} == {}


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the middleware with the oracle.")
    parser.add_argument("--requests", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    verdicts, differences = run(options.seed, options.requests)
    total = verdicts.total()
    for verdict, count in sorted(verdicts.items()):
        print(f"{100 * count / total:6.2f} %  {verdict}")
    print(f"{total} requests, {len(differences)} differences")
    print("\n\n".join(differences))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
