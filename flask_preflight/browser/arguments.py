"""Arguments of the wrong kind. Each is a ``TypeError`` that says what to write instead.

These are the forms that other clients take: a page's ``fetch()``, axios, and the test clients of Flask and Werkzeug.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .text import shown

__tracebackhide__ = True


def check_app(app: object) -> None:
    """Check an app, or a mapping of origins to apps."""
    for each in app.values() if isinstance(app, Mapping) else [app]:
        if isinstance(each, str):
            text = _show(each)
            raise TypeError(f"app: {text} is no WSGI app; for a live server, write transport=LiveTransport({text})")
        if not callable(each):
            is_client = hasattr(each, "application")  # Werkzeug's, and so Flask's
            advice = "is a test client; give the app itself: Browser(app)" if is_client else "is not a WSGI app"
            raise TypeError(f"app: {_show(each)} {advice}")


def check_transport(transport: object) -> None:
    if isinstance(transport, type) or not callable(getattr(transport, "send", None)):
        server = transport if isinstance(transport, str) else "https://staging.example.com"
        advice = f"write transport=LiveTransport({_show(server)})"
        raise TypeError(f"transport: {_show(transport)} is not a transport; {advice}")


def check_server(origin: object) -> None:
    if isinstance(origin, (list, tuple, set, frozenset)):
        written = shown(", ".join(map(repr, origin)))
        raise TypeError(f"origins: {_show(origin)} is not a string; write LiveTransport({written})")


# What fetch() takes beside the URL, by keyword
_OPTIONS: Final = ("method", "headers", "credentials", "body", "json", "redirect", "mode", "upload_listener")

_INSTEAD: Final = {
    **dict.fromkeys(("onUploadProgress", "on_upload_progress"), "write upload_listener=True"),
    "content_type": "write headers={'Content-Type': ...}",
    "data": "write body=... for bytes and text, or json=...",
    "follow_redirects": "write redirect='follow' or redirect='manual'",
    "query_string": "write it in the URL",
    "withCredentials": "write credentials='include' for True, and leave it out for False",
}


def check_names(names: Iterable[str]) -> None:
    """Check that ``fetch()`` got no keyword arguments that it does not have; these are *names*."""
    for name in names:
        advice = _INSTEAD.get(name) or f"beside the URL it has {', '.join(_OPTIONS)}"
        raise TypeError(f"fetch() has no argument {name!r}; {advice}")


def check_string(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name}: {_show(value)} is not a string")


def check_method(method: object) -> None:
    if isinstance(method, Mapping):
        options = {name: method[name] for name in _OPTIONS if name in method} or {"method": "GET"}
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


def describe_missing(name: str) -> str:
    """Why ``Browser`` has no attribute *name*."""
    advice = _CALLS.get(name)
    return f"'Browser' object has no attribute {name!r}" + (f"; write {advice}" if advice else "")


_CALLS: Final = {
    "get": "browser.fetch(url)",
    **{name: f"browser.fetch(url, method={name.upper()!r})" for name in ("delete", "head", "patch", "post", "put")},
    **dict.fromkeys(("open", "request"), "browser.fetch(url, method='GET')"),
    "options": "browser.fetch(...), which sends the preflight by itself if one is due",
}


def _show(value: object) -> str:
    return shown(repr(value))
