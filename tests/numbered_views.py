"""Flask apps whose views have numbers and policies that differ: for tests that ask which view's policy a request gets.

The view with the number 3 answers ``3``, exposes the header ``X-3``, and lets preflights be cached for 3 seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from flask import Flask
from pages import PAGE, REFUSED, granted, preflight, readable, send

from flask_preflight import Preflight, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Marked = TypeVar("Marked")

APP_WIDE = 0


def numbered(number: int) -> Callable[[Marked], Marked]:
    """Mark a view so that preflights and responses show which view their policy belongs to."""
    return cors_route(max_age=number, expose_headers=[f"X-{number}"])


def view(number: int) -> Callable[..., str]:
    """Make a view that answers with its number."""

    @numbered(number)
    def function(**_: object) -> str:
        return str(number)

    function.__name__ = f"view_{number}"
    return function


def new_app(*, protected: bool = True, **options: Any) -> Flask:
    """Make an app, with the extension if it is *protected*. *options* are for Flask."""
    app = Flask(__name__, **{"static_folder": None, **options})
    if protected:
        Preflight(app, allow_origins=[PAGE])
    return app


class Row(NamedTuple):
    """A request, the view whose policy it gets, the methods that its preflight grants, and the status it gets."""

    request: str
    owner: int
    methods: str
    status: int = 200
    rest: dict[str, Any] = {}  # noqa: RUF012 - nothing changes it


def check(app: WSGIApplication, row: Row) -> None:
    """Send the request of *row* and its preflight, and compare both answers with the row."""
    method, path = row.request.split(" ", 1)
    expected = granted(row.methods, max_age=str(row.owner or 600)) if row.methods else REFUSED
    assert preflight(app, method, path, **row.rest) == expected
    answer = send(app, method, path, **row.rest)
    assert answer[:2] == (row.status, readable(**({"expose": f"X-{row.owner}"} if row.owner else {})))
    if row.status == 200 and row.owner and method != "HEAD":
        assert answer.text == str(row.owner), "the request reached another view, so the row is wrong"


def at(url: str) -> dict[str, Any]:
    """Options of a request to the host and mount of *url*."""
    return {"base_url": url}


def raw(path: bytes) -> dict[str, Any]:
    """Options of a request to *path*, as servers pass on bytes that are not UTF-8."""
    return {"environ_overrides": {"PATH_INFO": path.decode("latin-1")}}


UPGRADE = {"headers": {"Connection": "Upgrade", "Upgrade": "websocket"}}
