"""What is around a Flask app counts for the rows, too: middleware, other apps at its paths, and routing of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from test_edge_rows import answer_of_app
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Map, MapAdapter

from flask_preflight import Policy, Preflight, PreflightMiddleware, cors_route
from flask_preflight.commands.targets import FlaskTarget
from flask_preflight.edge.app import rows_of_app
from flask_preflight.edge.rows import Asked, CannotExport, answer_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PAGE, STRANGER = "https://page.example", "https://stranger.example"
NARROW = Policy(allow_origins=[PAGE])


def swapping(app: WSGIApplication) -> WSGIApplication:
    def swapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        others = {"/public": "/private", "/private": "/public"}
        return app({**environ, "PATH_INFO": others.get(path, path)}, start_response)

    return swapped


def refusing(app: WSGIApplication) -> WSGIApplication:
    def refused(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("401 Unauthorized", [])
        return []

    return refused


def varying(app: WSGIApplication) -> WSGIApplication:
    def varied(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            return start_response(status, [*headers, ("Vary", "Accept-Encoding")], *exc_info)

        return app(environ, start)

    return varied


def failing(app: WSGIApplication) -> WSGIApplication:
    def failed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise RuntimeError("always")

    return failed


AROUND: dict[str, Callable[[Any], Any]] = {
    "swaps paths": swapping,
    "refuses": refusing,
    "adds a header": varying,
    "raises": failing,
    "has its own policy": lambda app: PreflightMiddleware(app, NARROW),
    "fixes the client": ProxyFix,
    "has another app": lambda app: DispatcherMiddleware(app, {"/public": NotFound()}),
    "has another app below": lambda app: DispatcherMiddleware(ProxyFix(app), {"/files/own": NotFound()}),
}
PATHS = ("/public", "/private", "/files/a", "/files/own", "/files/own/a", "/files/own2/a")


def build(where: str, around: Callable[[Any], Any]) -> Flask:
    app = Flask("around", static_folder=None)
    public = cors_route(allow_origins="*")(lambda **_: "")
    app.add_url_rule("/public", "public", public, methods=["PUT"])
    app.add_url_rule("/private", "private", lambda: "", methods=["PUT"])
    app.add_url_rule("/files/<path:name>", "files", public, methods=["PUT"])
    target: Any = app
    if where == "inside":
        target.wsgi_app = around(app.wsgi_app)
    Preflight(app, allow_origins=[PAGE])
    if where == "outside":
        target.wsgi_app = around(app.wsgi_app)
    return app


def granted(app: Flask, prefix: str = "", paths: Iterable[str] = PATHS) -> set[str]:
    """The paths that are granted to some origin. The app answers each of them in the same way."""
    rows, found = rows_of_app(FlaskTarget(app), prefix), set()
    for path in paths:
        for origin in (PAGE, STRANGER):
            asked = Asked("OPTIONS", f"{prefix}{path}", origin, "PUT", "")
            answer = answer_of(rows, asked)
            if answer is not None:
                found.add(path)
                assert answer == answer_of_app(app, asked._replace(target=path), "https://app.invalid"), asked
    return found


@pytest.mark.parametrize("where", ["inside", "outside"])
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_an_edge_grants_what_the_whole_app_grants(where: str, around: Callable[[Any], Any]) -> None:
    granted(build(where, around))


WITH_OTHER_APPS: Any = [
    ("has another app", {"/private", "/files/a", "/files/own", "/files/own/a", "/files/own2/a"}),
    ("has another app below", {"/public", "/private", "/files/a", "/files/own2/a"}),
    ("fixes the client", {*PATHS}),
]


@pytest.mark.parametrize(("name", "paths"), WITH_OTHER_APPS)
@pytest.mark.parametrize("prefix", ["", "/mount"])
def test_the_paths_of_other_apps_are_left_to_them(name: str, paths: set[str], prefix: str) -> None:
    assert granted(build("outside", AROUND[name]), prefix) == paths


def test_an_app_that_is_mounted_by_its_own_middleware() -> None:
    def mounting(app: Any) -> Any:
        return DispatcherMiddleware(NotFound(), {"/mount": app, "/mount/files/own": NotFound()})

    rows = rows_of_app(FlaskTarget(build("outside", mounting)), "/mount")
    for path in ("/public", "/private", "/files/a"):
        assert answer_of(rows, Asked("OPTIONS", f"/mount{path}", PAGE, "PUT", "")) is not None
    assert answer_of(rows, Asked("OPTIONS", "/mount/files/own/a", PAGE, "PUT", "")) is None
    assert not any(row.grant for row in rows_of_app(FlaskTarget(build("outside", mounting))))  # without the mount


class Moving(Flask):
    def create_url_adapter(self, request: Any) -> MapAdapter | None:
        adapter = super().create_url_adapter(request)
        if request is not None and adapter is not None and request.headers.get("X-Private"):
            adapter.path_info = "/private"
        return adapter


class Own(Map):
    def bind_to_environ(self, *args: Any, **options: Any) -> MapAdapter:
        return super().bind_to_environ(*args, **options)


class WithMap(Flask):
    url_map_class = Own


def replaced() -> Flask:
    app = Flask("replaced")
    vars(app)["create_url_adapter"] = lambda request: app.url_map.bind("a.example", path_info="/")
    return app


@pytest.mark.parametrize("make", [lambda: Moving("moving"), lambda: WithMap("map"), replaced])
def test_routing_of_the_apps_own_is_no_business_of_rows(make: Callable[[], Flask]) -> None:
    app = make()
    Preflight(app, allow_origins=[PAGE])
    with pytest.raises(CannotExport, match=r"^create_url_adapter or url_map is the app's own"):
        rows_of_app(FlaskTarget(app))


def test_an_origin_that_rows_cannot_say_is_no_sample() -> None:
    """The first one is a pattern that no row has."""
    app = Flask("origins", static_folder=None)
    Preflight(app, allow_origins=["http://[::1]:*", f"https://*.{'a' * 63}.{'b' * 63}.{'c' * 63}.com", PAGE])
    app.add_url_rule("/x", "x", lambda: "", methods=["PUT"])
    assert granted(app, paths=["/x"]) == {"/x"}
