"""The requests: environs as gunicorn makes them behind a proxy, about thirty keys each."""

from __future__ import annotations

import io
import sys
from functools import cache
from typing import Any

from harness import Environ

PATH = "/data"
METHODS = ("GET", "PUT", "POST", "DELETE")
HEADERS = ("Authorization", "Content-Type", "X-Requested-With")
MAX_AGE = 600

ALLOWED = "https://app.example.com"
REFUSED = "https://app.example.net"
ORIGINS = (ALLOWED, *(f"https://app-{number}.example.com" for number in range(9)))

COMMON: Environ = {
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
    "HTTP_HOST": "api.example.com",
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
    return COMMON | ({} if origin is None else {"HTTP_ORIGIN": origin})


def preflight(origin: str = ALLOWED, method: str = "PUT", headers: str = "authorization,content-type") -> Environ:
    return get(origin) | {
        "REQUEST_METHOD": "OPTIONS",
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": method,
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": headers,
    }


CASES = {
    "get-no-origin": get(),
    "get-allowed": get(ALLOWED),
    "get-refused": get(REFUSED),
    "preflight-allowed": preflight(),
    "preflight-bad-origin": preflight(origin=REFUSED),
    "preflight-bad-method": preflight(method="PATCH"),
    "preflight-bad-header": preflight(headers="authorization,x-secret"),
}

# What no browser sends
HOSTILE = {
    "64-kb-of-commas": preflight(headers="," * 65536),
    "64-kb-of-names": preflight(headers="a," * 32768),
    "one-name-of-64-kb": preflight(headers="a" * 65536),
    "origin-of-100-kb": preflight(origin="https://" + "a." * 51200 + "example"),
}

CONVERTED = "/users/<int:user>/items/<item>"


@cache
def converted_paths(count: int) -> tuple[str, ...]:
    """URLs of `CONVERTED`, more than anybody remembers."""
    return tuple(f"/users/{number}/items/item-{number}" for number in range(count))


@cache
def many_origins(count: int) -> tuple[str, ...]:
    return tuple(f"https://shop-{number}.example.com" for number in range(count))


@cache
def many_patterns(count: int) -> tuple[str, ...]:
    return tuple(f"https://*.shop-{number}.example" for number in range(count))


def spread(allowed: tuple[str, ...], count: int) -> tuple[str, ...]:
    """*count* allowed origins, if there are so many patterns or origins in *allowed*, from all over them."""
    step = max(1, len(allowed) // count)
    return tuple(text.replace("*", "www") for text in allowed[::step][:count])


@cache
def new_origins(count: int) -> tuple[str, ...]:
    """Well-formed, allowed nowhere, and close to those that are."""
    return tuple(f"https://www.shop-{number}.example.net" for number in range(count))


@cache
def flood(count: int) -> tuple[Environ, ...]:
    """*count* preflights, none like another: new origins, header names, methods, and URLs; some of nearly 1 KB."""
    environs = []
    for number in range(count):
        origin = ALLOWED if number % 2 else f"https://www.shop-{number}.example.net"
        headers = f"x-{number}" + ("" if number % 8 else f",y-{number}" * 64)
        path = f"/users/{number}/items/{number}" if number % 5 else f"/nowhere/{number}"
        method = "PUT" if number % 7 else f"M{number}"
        environs.append(preflight(origin, method, headers) | {"PATH_INFO": path})
    return tuple(environs)


def scope_of(environ: Environ) -> dict[str, Any]:
    """The same request for ASGI."""
    headers = [
        (key[5:].lower().replace("_", "-").encode(), value.encode())
        for key, value in environ.items()
        if key.startswith("HTTP_")
    ]
    path: str = environ["PATH_INFO"]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 40312),
        "server": ("127.0.0.1", 8000),
    }
