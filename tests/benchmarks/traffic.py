"""The requests: environs as gunicorn makes them behind a proxy, about thirty keys each."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

Environ: TypeAlias = dict[str, Any]

HOST = "api.example.com"
PATH = "/data"
CONVERTED = "/users/<int:user>/items/<item>"
METHODS = ("GET", "PUT", "POST", "DELETE")
HEADERS = ("Authorization", "Content-Type", "X-Requested-With")
MAX_AGE = 600

ALLOWED = "https://app.example.com"
REFUSED = "https://app.example.net"
ORIGINS = (ALLOWED, *(f"https://app-{number}.example.com" for number in range(9)))

_COMMON: Environ = {
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.input": io.BytesIO(),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.file_wrapper": list,
    "wsgi.input_terminated": True,
    "SERVER_SOFTWARE": "gunicorn/23.0.0",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "40312",
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": PATH,
    "QUERY_STRING": "",
    "HTTP_HOST": HOST,
    "HTTP_CONNECTION": "close",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
    "HTTP_ACCEPT": "*/*",
    "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
    "HTTP_REFERER": "https://app.example.com/",
    "HTTP_SEC_FETCH_SITE": "same-site",
    "HTTP_SEC_FETCH_MODE": "cors",
    "HTTP_X_FORWARDED_FOR": "203.0.113.7",
    "HTTP_X_FORWARDED_PROTO": "https",
}


def get(origin: str | None = None) -> Environ:
    return _COMMON | ({} if origin is None else {"HTTP_ORIGIN": origin})


def preflight(
    origin: str = ALLOWED, method: str = "PUT", headers: str = "authorization,content-type", path: str = PATH
) -> Environ:
    return get(origin) | {
        "REQUEST_METHOD": "OPTIONS",
        "PATH_INFO": path,
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": method,
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": headers,
    }


GETS = {"GET, no Origin": get(), "GET, allowed": get(ALLOWED), "GET, refused": get(REFUSED)}
GRANTED = {"preflight, allowed": preflight()}
BAD = {
    "bad origin": preflight(origin=REFUSED),
    "bad method": preflight(method="PATCH"),
    "bad header": preflight(headers="authorization,x-secret"),
}
# Flask alone has routes.
UNROUTED = {"no route": preflight(path="/nowhere"), "no method": preflight(method="PROPFIND")}

# No browser sends these.
HOSTILE = {
    "64 KB of commas": preflight(headers="," * 65536),
    "64 KB of names of one character": preflight(headers="a," * 32768),
    "one name of 64 KB": preflight(headers="a" * 65536),
    "Origin of 100 KB": preflight(origin="https://" + "a." * 51200 + "example"),
}


def converted_paths(count: int) -> tuple[str, ...]:
    """Return URLs of `CONVERTED`."""
    return tuple(f"/users/{number}/items/item-{number}" for number in range(count))


def senders(allowed: Sequence[str]) -> list[str]:
    """Return an origin for each of *allowed*, mixed, because some packages search a list from its start."""
    return random.sample([text.replace("*", "www") for text in allowed], len(allowed))


def many_origins(count: int) -> tuple[str, ...]:
    return tuple(f"https://shop-{number}.example.com" for number in range(count))


def many_patterns(count: int) -> tuple[str, ...]:
    return tuple(f"https://*.shop-{number}.example" for number in range(count))


def new_origins(count: int) -> tuple[str, ...]:
    """Return well-formed origins that no policy here allows, but that resemble allowed ones."""
    return tuple(f"https://www.shop-{number}.example.net" for number in range(count))


def flood(start: int, stop: int) -> Iterator[Environ]:
    """Yield hostile requests, each different from all others. Some are granted under a generous policy.

    In turn, the origin, the headers, the path, the host, the method, or all of them were never sent before. New methods
    are rarer, because they take Flask longest.
    """
    for number in range(start, stop):
        new = number % 10
        origin = f"https://x{number}.example.{'com' if number % 7 else 'net'}" if new in {0, 1, 9} else ALLOWED
        environ = preflight(
            origin,
            method=f"M{number}" if new in {8, 9} else "PUT",
            headers=f"x-{number},authorization" if new in {2, 3, 9} else "authorization",
            path=f"/{'users' if number % 7 else 'nowhere'}/{number}/items/{number}" if new in {4, 5, 9} else PATH,
        )
        if new in {6, 7, 9}:
            environ["HTTP_HOST"] = f"h{number}.example.com"
        if number % 60 == 0:
            environ["REQUEST_METHOD"] = "GET"  # an actual request, from a new origin
        yield environ
