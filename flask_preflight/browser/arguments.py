"""Arguments of the wrong kind. Each is a ``TypeError`` that says what to write instead.

These are the arguments of other clients: a page's ``fetch()``, axios, and the test clients of Flask and Werkzeug.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from functools import wraps
from typing import Any, Final, TypeVar, cast

from .text import shown

__tracebackhide__ = True

Method = TypeVar("Method", bound=Callable[..., Any])


def needs_browser(method: Method) -> Method:
    """Decorate a method of ``Browser`` so that a call on the class, as the fixture gives it, is a ``TypeError``."""

    @wraps(method)
    def checked(*args: Any, **given: Any) -> Any:
        if not args or isinstance(args[0], str):
            call = f"{method.__name__}({_show(args[0]) if args else '...'})"
            advice = f"write Browser(app).{call}, or preflight_browser(app).{call} with the fixture"
            raise TypeError(f"the browser is missing: {advice}")
        return method(*args, **given)

    return cast(Method, checked)


def check_app(app: object) -> None:
    """Check an app, or a mapping of origins to apps."""
    for each in app.values() if isinstance(app, Mapping) else [app]:
        if isinstance(each, str):
            text = _show(each)
            raise TypeError(f"app: {text} is no WSGI app; for a live server, write transport=LiveTransport({text})")
        if not callable(each):
            raise TypeError(f"app: {_show(each)} {_advise_app(each)}")


def _advise_app(app: object) -> str:
    if hasattr(app, "application"):  # Werkzeug's, and so Flask's
        return "is a test client; give the app itself: Browser(app)"
    return "is a transport; write Browser(transport=...)" if hasattr(app, "send") else "is not a WSGI app"


def check_transport(transport: object) -> None:
    if isinstance(transport, type) or not callable(getattr(transport, "send", None)):
        server = transport if isinstance(transport, str) else "https://staging.example.com"
        advice = f"write transport=LiveTransport({_show(server)})"
        raise TypeError(f"transport: {_show(transport)} is not a transport; {advice}")


def check_server(origin: object) -> None:
    if isinstance(origin, (list, tuple, set, frozenset)):
        written = shown(", ".join(map(repr, origin)))
        raise TypeError(f"origins: {_show(origin)} is not a string; write LiveTransport({written})")


# What each call takes by keyword, fetch() and submit() beside the URL
_TAKES: Final = {
    "fetch()": ("method", "headers", "credentials", "body", "json", "redirect", "mode", "upload_listener"),
    "submit()": ("data", "method", "enctype"),
    "Browser()": ("app", "origin", "page", "referrer_policy", "transport", "max_age_limit", "lax_by_default"),
    "LiveTransport()": ("ca_file", "connect_timeout", "timeout"),
}

_KEEPS_COOKIES = "leave it out; the browser keeps the cookies that the app sets"
_NOT_MODELLED = "leave it out; this browser does not model it"
_READ_FORMS = "a form has fields alone; for a script's request, write browser.fetch()"
_OF_A_REQUEST = "write it in each browser.fetch()"
_OF_A_SERVER = "write transport=LiveTransport(...), which has the limits and the CA of a live server"
_CA_FILE = "write ca_file='ca.pem' to trust your own CA"

_INSTEAD: Final = {
    "fetch()": {
        **dict.fromkeys(("onUploadProgress", "on_upload_progress"), "write upload_listener=True"),
        **dict.fromkeys(("allow_redirects", "follow_redirects"), "write redirect='follow' or redirect='manual'"),
        "auth": "write headers={'Authorization': ...}",
        "content": "write body=...",
        "content_type": "write headers={'Content-Type': ...}",
        "cookies": f"{_KEEPS_COOKIES}, and credentials='include' sends them to other origins",
        "data": "write body=... for bytes and text, or json=...",
        **dict.fromkeys(
            ("files", "form"), "write browser.submit(url, {...}), or body=... with the form's Content-Type"
        ),
        **dict.fromkeys(("params", "query_string"), "write it in the URL"),
        **dict.fromkeys(
            ("referrer", "referrerPolicy", "referrer_policy"), "write Browser(..., page=..., referrer_policy=...)"
        ),
        **dict.fromkeys(("origin", "page"), "write it in Browser(...)"),
        "timeout": "write LiveTransport(..., timeout=30) for a live server; an app in this process has no limit",
        "verify": "write LiveTransport(..., ca_file='ca.pem') to trust your own CA",
        **dict.fromkeys(
            ("withCredentials", "with_credentials"), "write credentials='include' for True, and leave it out for False"
        ),
        **dict.fromkeys(("cache", "duplex", "integrity", "keepalive", "priority", "signal", "window"), _NOT_MODELLED),
    },
    "submit()": {
        **dict.fromkeys(("body", "content_type", "headers", "json"), _READ_FORMS),
        "credentials": "leave it out; a form sends cookies as SameSite says",
        "files": "write data={'name': ('a.txt', b'...', 'text/plain')}, enctype='multipart/form-data'",
    },
    "Browser()": {
        **dict.fromkeys(("base_url", "url"), "write page=... for the page's URL, and whole URLs in browser.fetch()"),
        "cookies": _KEEPS_COOKIES,
        **dict.fromkeys(("credentials", "headers"), _OF_A_REQUEST),
        "referrerPolicy": "write referrer_policy=...",
        **dict.fromkeys(("ca_file", "connect_timeout", "timeout", "verify"), _OF_A_SERVER),
    },
    "LiveTransport()": {
        "verify": _CA_FILE,
        **dict.fromkeys(("auth", "cookies", "headers"), _OF_A_REQUEST),
    },
}


def check_names(call: str, names: Iterable[str]) -> None:
    """Check that *call* got no keyword arguments that it does not have; these are *names*."""
    for name in names:
        advice = _INSTEAD[call].get(name) or _nearest(call, name)
        raise TypeError(f"{call} has no argument {name!r}; {advice}")


def _nearest(call: str, name: str) -> str:
    if near := get_close_matches(name, _TAKES[call], n=1):
        return f"write {near[0]}=..."
    return f"it has {', '.join(_TAKES[call])}"


def check_string(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name}: {_show(value)} is not a string")


def check_seconds(name: str, value: object) -> None:
    if isinstance(value, timedelta):
        raise TypeError(f"{name}: {_show(value)} is not a number; write {value.total_seconds()!r}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: {_show(value)} is not a number of seconds")


def check_method(method: object) -> None:
    if isinstance(method, Mapping):
        options = {name: method[name] for name in _TAKES["fetch()"] if name in method} or {"method": "GET"}
        written = ", ".join(f"{name}={_show(value)}" for name, value in options.items())
        raise TypeError(f"method: {_show(method)} is not a string; write fetch(url, {written})")
    check_string("method", method)


def read_headers(headers: object) -> list[tuple[str, str]]:
    """The names and values of a mapping or of pairs; none for ``None``."""
    if headers is None:
        return []
    if isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise TypeError(
            f"headers: {_show(headers)} is neither a mapping nor pairs; write headers={{'X-Name': 'value'}}"
        )
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    return [_read_header(pair) for pair in pairs]


def _read_header(pair: object) -> tuple[str, str]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"headers: {_show(pair)} is not a pair of name and value; write headers={{'X-Name': 'value'}}")
    name, value = pair
    if not isinstance(name, str):
        raise TypeError(f"headers: the name {_show(name)} is not a string")
    if not isinstance(value, str):
        raise TypeError(f"headers: the value of {shown(name)} is {_show(value)}, not a string{_advise_value(value)}")
    return name, value


def _advise_value(value: object) -> str:
    if value is None:
        return "; leave the header out"
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return f"; write {_show(str(value))}" if isinstance(value, (str, int, float)) else ""


def check_body(body: object) -> None:
    if body is None or isinstance(body, (bytes, bytearray, memoryview, str)):
        return
    advice = ""
    if isinstance(body, (dict, list, tuple, int, float)):
        advice = f"; write json={_show(body)}"
    elif hasattr(body, "read"):
        advice = "; write body=file.read()"
    raise TypeError(f"body: {_show(body)} is neither bytes nor a string{advice}")


def describe_missing(kind: str, name: str) -> str:
    """Why an object of the class *kind* has no attribute *name*."""
    advice = _ATTRIBUTES[kind].get(name)
    return f"{kind!r} object has no attribute {name!r}" + (f"; {advice}" if advice else "")


_SENT_COOKIES = "write browser.exchanges[-1].request_headers.get('Cookie')"
_SET_COOKIES = "write browser.exchanges[-1].response_headers.getlist('Set-Cookie'); no script sees them"

_ATTRIBUTES: Final = {
    "Browser": {
        "get": "write browser.fetch(url)",
        **{name: f"write browser.fetch(url, method={name.upper()!r})" for name in ("delete", "head", "patch", "post")},
        "put": "write browser.fetch(url, method='PUT')",
        **dict.fromkeys(("open", "request"), "write browser.fetch(url, method='GET')"),
        "options": "write browser.fetch(...), which sends the preflight by itself if one is due",
        **dict.fromkeys(("goto", "navigate", "visit"), "write browser.submit(url, method='GET')"),
        **dict.fromkeys(
            ("EventSource", "event_source"), "write browser.fetch(url, headers={'Accept': 'text/event-stream'})"
        ),
        **dict.fromkeys(("WebSocket", "websocket"), "write browser.open_websocket(url)"),
        **dict.fromkeys(
            ("sendBeacon", "send_beacon"),
            "write browser.fetch(url, 'POST', credentials='include', body='...', mode='no-cors')",
        ),
        **dict.fromkeys(("cookie_jar", "cookies", "get_cookie"), _SENT_COOKIES),
        **dict.fromkeys(("clear_cookies", "delete_cookie", "set_cookie"), "let the app do it, or build a new Browser"),
        **dict.fromkeys(("last_response", "requests", "response"), "write browser.exchanges[-1]"),
    },
    "Response": {
        **dict.fromkeys(("body", "content", "get_data"), "write response.data"),
        "cookies": _SET_COOKIES,
        "get_json": "write response.json",
        "history": "write browser.exchanges",
        "raise_for_status": "write assert response.ok",
        "request": "write browser.exchanges[-1]",
        "status_code": "write response.status",
    },
    "Exchange": {
        **dict.fromkeys(("body", "content"), "write exchange.data"),
        "headers": "write exchange.request_headers or exchange.response_headers",
        "json": "write json.loads(exchange.data)",
        "status_code": "write exchange.status",
        "text": "write exchange.data.decode()",
    },
}


def _show(value: object) -> str:
    return shown(repr(value))
