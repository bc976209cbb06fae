"""Which policy a request gets: a table of what Flask routes, then random apps against Flask's own test client."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from flask import Blueprint, Flask, Request, Response, abort, redirect, request
from flask.views import MethodView
from hypothesis import given
from hypothesis import strategies as st
from pages import PAGE, REFUSED, VARY, Answer, granted, preflight, readable, send
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, Map, MapAdapter, Rule, Submount, ValidationError
from werkzeug.test import create_environ, run_wsgi_app

from flask_preflight import Policy, Preflight, PreflightMiddleware, cors_blueprint, cors_exempt, cors_route
from flask_preflight.memory import KEPT_SHARE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# PEP 3333 knows no closed set of methods, but its judge does.
pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")


@pytest.fixture(scope="module", autouse=True)
def remember_every_url() -> Iterator[None]:
    """Chance would leave most out, and what is never remembered cannot go wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flask_preflight.routes.KEPT_SHARE", 1)
        yield


Some = TypeVar("Some")

APP_WIDE = 0


def owned(number: int) -> Callable[[Some], Some]:
    """Mark a view so that its policy tells it from all others, in preflights and in other answers."""
    return cors_route(max_age=number, expose_headers=[f"X-{number}"])


def view(number: int) -> Callable[..., str]:
    """Make a view that says which it is."""

    @owned(number)
    def function(**_: object) -> str:
        return str(number)

    function.__name__ = f"view_{number}"
    return function


def new_app(*, protected: bool = True, **options: Any) -> Flask:
    app = Flask(__name__, **{"static_folder": None, **options})
    if protected:
        Preflight(app, allow_origins=[PAGE])
    return app


class Row(NamedTuple):
    """A request, the view whose policy it gets, the methods that its preflight grants, and the status it gets."""

    ask: str
    owner: int
    methods: str
    status: int = 200
    rest: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


def check(app: WSGIApplication, row: Row) -> None:
    method, path = row.ask.split(" ", 1)
    expected = granted(row.methods, max_age=str(row.owner or 600)) if row.methods else REFUSED
    assert preflight(app, method, path, **row.rest) == expected
    answer = send(app, method, path, **row.rest)
    assert answer[:2] == (row.status, readable(**({"expose": f"X-{row.owner}"} if row.owner else {})))
    if row.status == 200 and row.owner and method != "HEAD":
        assert answer.text == str(row.owner), "another view was reached, so the row is wrong"


# ---------------------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------------------


def methods_split_over_views() -> Flask:
    app = new_app()
    app.get("/data")(view(1))
    app.put("/data")(view(2))
    app.route("/data", methods=["delete", "PATCH"])(view(3))
    app.route("/data", methods=["PROPFIND"])(view(4))
    return app


def methods_split_within_one_view() -> Flask:
    class Data(MethodView):
        @owned(1)
        def get(self) -> str:
            return "1"

        @owned(2)
        def head(self) -> str:
            return ""

        @owned(3)
        def put(self) -> str:
            return "3"

        @owned(3)
        def patch(self) -> str:
            return "3"

        def post(self) -> str:
            return ""

        @owned(4)
        def propfind(self) -> str:
            return "4"

    app = new_app()
    names = ["GET", "HEAD", "PUT", "PATCH", "POST", "PROPFIND"]
    app.add_url_rule("/data", view_func=Data.as_view("data"), methods=names)
    return app


def converters() -> Flask:
    app = new_app()
    app.put("/c/<int:n>")(view(1))
    app.put("/c/<float:n>")(view(2))
    app.put("/c/<uuid:n>")(view(3))
    app.put("/c/<any(one, two):n>")(view(4))
    app.put("/c/<string(length=3):n>")(view(5))
    app.put("/c/<path:n>")(view(6))
    app.delete("/c/<n>")(view(7))
    return app


def slashes() -> Flask:
    app = new_app()
    app.put("/folder/")(view(1))
    app.put("/file")(view(2))
    app.put("/loose-folder/", strict_slashes=False)(view(3))
    app.put("/loose-file", strict_slashes=False)(view(4))
    app.put("/both")(view(5))
    app.put("/both/")(view(6))
    app.get("/shared")(view(7))
    app.put("/shared/")(view(8))
    return app


def loose_map() -> Flask:
    app = new_app()
    app.url_map.strict_slashes = False
    app.put("/folder/")(view(1))
    app.put("/file")(view(2))
    return app


def double_slashes() -> Flask:
    app = new_app()
    app.put("/a/b")(view(1))
    app.put("/k//c", merge_slashes=False)(view(3))
    app.put("/p/<path:rest>")(view(4))
    return app


def redirects() -> Flask:
    def computed(adapter: MapAdapter, name: str) -> str:
        return f"/target/{name}"

    app = new_app()
    put: dict[str, Any] = {"methods": ["PUT"]}
    app.put("/target/<name>")(view(1))
    app.put("/")(view(2))
    app.add_url_rule("/string/<name>", "string", redirect_to="/target/<name>", **put)
    app.add_url_rule("/callable/<name>", "callable", redirect_to=computed, **put)
    app.add_url_rule("/absolute", "absolute", redirect_to="http://localhost/target/x", **put)
    app.add_url_rule("/upper", "upper", redirect_to="http://LOCALHOST/target/x?y=1#z", **put)
    app.add_url_rule("/bare", "bare", redirect_to="http://localhost", **put)
    app.add_url_rule("/elsewhere", "elsewhere", redirect_to="https://elsewhere.com/target/x", **put)
    app.add_url_rule("/port", "port", redirect_to="http://localhost:81/target/x", **put)
    app.add_url_rule("/nowhere", "nowhere", redirect_to="/missing", **put)
    app.add_url_rule("/quoted", "quoted", redirect_to="/target/%C3%A9%2Bx%25", **put)
    app.add_url_rule("/loop", "loop", redirect_to="/loop", **put)
    app.add_url_rule("/hops/0", "hops", redirect_to="/target/x", **put)
    app.add_url_rule("/hops/<int:n>", "hop", redirect_to=lambda adapter, n: f"/hops/{n - 1}", **put)
    # Rules may go without an endpoint if they only redirect.
    app.url_map.add(Rule("/old", redirect_to="/target/x"))
    app.url_map.add(Rule("/old-put", redirect_to="/target/x", methods=["PUT"]))
    return app


def aliases_and_defaults() -> Flask:
    app = new_app()
    every = view(1)
    app.add_url_rule("/pages/", "pages", every, methods=["PUT"], defaults={"page": 1})
    app.add_url_rule("/pages/<int:page>", "pages", every, methods=["PUT"])
    app.add_url_rule("/pages/old", "pages", alias=True, defaults={"page": 1}, methods=["PUT"])
    return app


def hosts() -> Flask:
    app = new_app(host_matching=True)
    app.put("/", host="one.com")(view(1))
    app.put("/", host="<name>.two.com")(view(2))
    app.put("/folder/", host="one.com")(view(3))
    app.put("/", host="three.com:8080")(view(4))
    app.put("/away", host="one.com")(view(5))
    app.add_url_rule("/over", "over", host="one.com", redirect_to="http://a.two.com/", methods=["PUT"])
    return app


def subdomains() -> Flask:
    app = new_app(subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.com"
    app.put("/")(view(1))
    app.put("/", subdomain="api")(view(2))
    app.put("/", subdomain="<user>.users")(view(3))
    app.put("/folder/", subdomain="api")(view(4))
    api = cors_blueprint(Blueprint("api", __name__, subdomain="api"), max_age=5, expose_headers=["X-5"])
    api.put("/in-blueprint")(lambda: "5")
    app.register_blueprint(api)
    return app


def subdomains_unmatched() -> Flask:
    app = new_app()
    app.put("/")(view(1))
    return app


HERE = Path(__file__)


def static_files() -> Flask:
    app = new_app(static_folder=HERE.parent, static_url_path="/static")
    files = Blueprint("files", __name__, url_prefix="/files", static_folder=HERE.parent, static_url_path="/static")
    app.register_blueprint(cors_blueprint(files, max_age=1, expose_headers=["X-1"]))
    return app


def blueprints() -> Flask:
    def new(name: str, number: int) -> Blueprint:
        blueprint = Blueprint(name, __name__, url_prefix=f"/{name}")
        return cors_blueprint(blueprint, max_age=number, expose_headers=[f"X-{number}"])

    app = new_app()
    outer, inner, other = new("outer", 1), new("inner", 2), new("other", 3)
    unmarked = Blueprint("unmarked", __name__, url_prefix="/unmarked")
    unmarked.put("/x", endpoint="x")(lambda: "1")
    outer.put("/x", endpoint="x")(lambda: "1")
    outer.put("/own")(view(4))
    inner.put("/x", endpoint="x")(lambda: "2")
    inner.put("/own")(view(5))
    outer.register_blueprint(inner)
    outer.register_blueprint(unmarked)
    outer.register_blueprint(inner, name="again", url_prefix="/again")
    other.register_blueprint(unmarked, name="renamed", url_prefix="/renamed")
    other.put("/x", endpoint="x")(lambda: "3")
    app.register_blueprint(outer)
    app.register_blueprint(other)
    app.register_blueprint(other, name="other_again", url_prefix="/other-again")
    # Flask takes the blueprint from the endpoint, wherever the rule comes from.
    app.add_url_rule("/by-endpoint", "outer.late", lambda: "1", methods=["PUT"])
    app.add_url_rule("/no-blueprint", "absent.late", lambda: "0", methods=["PUT"])
    return app


def not_found(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("404 NOT FOUND", [("Content-Type", "text/plain")])
    return [b"nothing here"]


def mounted() -> WSGIApplication:
    app = new_app()
    app.put("/x")(view(1))
    app.put("/folder/")(view(2))
    app.put("/mount/x")(view(3))
    app.put("/")(view(4))
    app.put("/out")(view(5))
    app.add_url_rule("/leave", "leave", redirect_to="/x", methods=["PUT"])
    app.add_url_rule("/home", "home", redirect_to="http://localhost/mount", methods=["PUT"])
    return DispatcherMiddleware(not_found, {"/mount": app})


def behind_a_proxy() -> Flask:
    app = new_app(host_matching=True)
    app.put("/x", host="public.com")(view(1))
    app.put("/folder/", host="public.com")(view(2))
    app.put("/x", host="internal.com")(view(3))
    app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1, x_proto=1, x_prefix=1)  # type: ignore[method-assign]
    return app


def websockets() -> Flask:
    app = new_app()
    app.add_url_rule("/socket", view_func=view(1), websocket=True)
    app.add_url_rule("/both", view_func=view(2), websocket=True)
    app.get("/both")(view(3))
    app.add_url_rule("/split", view_func=view(4), websocket=True)
    app.put("/split")(view(5))
    return app


def added_later() -> Flask:
    app = new_app()
    app.put("/early")(view(1))
    assert send(app, "PUT", "/late").status == 404
    app.url_map.add(Rule("/late", endpoint="late", methods=["PUT"]))
    app.view_functions["late"] = view(2)
    app.url_map.add(Rule("/any", endpoint="any"))
    app.view_functions["any"] = view(3)
    return app


def encoded() -> Flask:
    app = new_app()
    app.put("/a b")(view(1))
    app.put("/a+b")(view(2))
    app.put("/a/b")(view(3))
    app.put("/a%2fb")(view(4))
    app.put("/Admin")(view(5))
    app.put("/admin")(view(6))
    app.put("/api/<path:rest>")(view(7))
    app.put("/private")(view(8))
    app.put("/é")(view(9))
    app.put("/api/../dots")(view(10))
    app.put("/semi;colon")(view(11))
    app.put("/slot/<name>/")(view(12))
    app.put("/ü +/")(view(13))
    return app


LOCAL, ONE, TWO = "http://localhost", {"base_url": "http://one.com"}, {"base_url": "http://a.two.com"}
UPGRADE = {"headers": {"Connection": "Upgrade", "Upgrade": "websocket"}}
FORWARDED = {"headers": {"X-Forwarded-Host": "public.com", "X-Forwarded-Proto": "https"}}
PREFIXED = {"headers": {**FORWARDED["headers"], "X-Forwarded-Prefix": "/prefix"}}


def at(url: str) -> dict[str, Any]:
    return {"base_url": url}


def raw(path: bytes) -> dict[str, Any]:
    """As a server hands on what is not UTF-8."""
    return {"environ_overrides": {"PATH_INFO": path.decode("latin-1")}}


TABLE: dict[Callable[[], WSGIApplication], list[Row]] = {
    methods_split_over_views: [
        Row("GET /data", 1, "GET, HEAD, OPTIONS"),
        Row("HEAD /data", 1, "GET, HEAD, OPTIONS"),
        Row("PUT /data", 2, "OPTIONS, PUT"),
        Row("DELETE /data", 3, "DELETE, OPTIONS, PATCH"),
        Row("PATCH /data", 3, "DELETE, OPTIONS, PATCH"),
        Row("PROPFIND /data", 4, "OPTIONS, PROPFIND"),
        Row("POST /data", APP_WIDE, "", 405),
        Row("POST /missing", APP_WIDE, "POST", 404),
        Row("GET /missing", APP_WIDE, "GET", 404),
        Row("UNHEARD-OF /missing", APP_WIDE, "UNHEARD-OF", 404),
    ],
    methods_split_within_one_view: [
        Row("GET /data", 1, "GET"),  # and HEAD has another policy
        Row("HEAD /data", 2, "HEAD"),
        Row("PUT /data", 3, "PATCH, PUT"),
        Row("PATCH /data", 3, "PATCH, PUT"),
        Row("POST /data", APP_WIDE, "OPTIONS, POST"),
        Row("PROPFIND /data", 4, "PROPFIND"),
        Row("DELETE /data", APP_WIDE, "", 405),
    ],
    converters: [
        Row("PUT /c/5", 1, "OPTIONS, PUT"),
        Row("PUT /c/5.5", 2, "OPTIONS, PUT"),
        Row("PUT /c/00000000-0000-0000-0000-000000000005", 3, "OPTIONS, PUT"),
        Row("PUT /c/two", 4, "OPTIONS, PUT"),
        Row("PUT /c/six", 5, "OPTIONS, PUT"),
        Row("PUT /c/five", 6, "OPTIONS, PUT"),
        Row("PUT /c/5/5", 6, "OPTIONS, PUT"),
        Row("DELETE /c/5", 7, "DELETE, OPTIONS"),
        Row("DELETE /c/5/5", APP_WIDE, "", 405),
        Row("PUT /c/", APP_WIDE, "PUT", 404),
    ],
    slashes: [
        Row("PUT /folder/", 1, "OPTIONS, PUT"),
        Row("PUT /folder", 1, "OPTIONS, PUT", 308),
        Row("GET /folder", APP_WIDE, "GET", 404),
        Row("PUT /file", 2, "OPTIONS, PUT"),
        Row("PUT /file/", APP_WIDE, "PUT", 404),
        Row("PUT /loose-folder", 3, "OPTIONS, PUT"),
        Row("PUT /loose-file/", 4, "OPTIONS, PUT"),
        Row("PUT /both", 5, "OPTIONS, PUT"),
        Row("PUT /both/", 6, "OPTIONS, PUT"),
        Row("GET /shared", 7, "GET, HEAD, OPTIONS"),
        Row("PUT /shared", 8, "OPTIONS, PUT", 308),
    ],
    loose_map: [
        Row("PUT /folder", 1, "OPTIONS, PUT"),
        Row("PUT /file/", 2, "OPTIONS, PUT"),
    ],
    double_slashes: [
        Row("PUT /a//b", 1, "OPTIONS, PUT", 308),
        Row("PUT /slashes-in-front", 1, "OPTIONS, PUT", rest=raw(b"///a/b")),  # do not count
        Row("PUT /k//c", 3, "OPTIONS, PUT"),
        Row("PUT /p//x", 4, "OPTIONS, PUT", 308),
    ],
    redirects: [
        Row("PUT /string/x", 1, "OPTIONS, PUT", 308),
        Row("PUT /callable/x", 1, "OPTIONS, PUT", 308),
        Row("PUT /absolute", 1, "OPTIONS, PUT", 308),
        Row("PUT /upper", 1, "OPTIONS, PUT", 308),
        Row("PUT /bare", 2, "OPTIONS, PUT", 308),
        Row("PUT /elsewhere", APP_WIDE, "PUT", 308),
        Row("PUT /port", APP_WIDE, "PUT", 308),
        Row("PUT /nowhere", APP_WIDE, "PUT", 308),
        Row("PUT /quoted", 1, "OPTIONS, PUT", 308),
        Row("PUT /loop", APP_WIDE, "PUT", 308),
        Row("PUT /hops/4", 1, "OPTIONS, PUT", 308),
        Row("PUT /hops/5", APP_WIDE, "PUT", 308),
        Row("PUT /old", 1, "OPTIONS, PUT", 308),
        Row("PUT /old-put", 1, "OPTIONS, PUT", 308),
    ],
    aliases_and_defaults: [
        Row("PUT /pages/", 1, "OPTIONS, PUT"),
        Row("PUT /pages/2", 1, "OPTIONS, PUT"),
        Row("PUT /pages/1", 1, "OPTIONS, PUT", 308),
        Row("PUT /pages", 1, "OPTIONS, PUT", 308),
        Row("PUT /pages/old", 1, "OPTIONS, PUT", 308),
    ],
    hosts: [
        Row("PUT /", 1, "OPTIONS, PUT", rest=ONE),
        Row("PUT /", 1, "OPTIONS, PUT", rest=at("http://ONE.com:80")),
        Row("PUT /", 2, "OPTIONS, PUT", rest=TWO),
        Row("PUT /", 4, "OPTIONS, PUT", rest=at("http://three.com:8080")),
        Row("PUT /", APP_WIDE, "PUT", 404, rest=at("http://three.com")),
        Row("PUT /folder", 3, "OPTIONS, PUT", 308, rest=ONE),
        Row("PUT /over", APP_WIDE, "PUT", 308, rest=ONE),
        Row("PUT /away", APP_WIDE, "PUT", 404, rest=TWO),
    ],
    subdomains: [
        Row("PUT /", 1, "OPTIONS, PUT", rest=at("http://example.com")),
        Row("PUT /", 2, "OPTIONS, PUT", rest=at("http://api.example.com")),
        Row("PUT /", 3, "OPTIONS, PUT", rest=at("http://me.users.example.com")),
        Row("PUT /folder", 4, "OPTIONS, PUT", 308, rest=at("http://api.example.com")),
        Row("PUT /folder/", APP_WIDE, "PUT", 404, rest=at("http://example.com")),
        Row("PUT /in-blueprint", 5, "OPTIONS, PUT", rest=at("http://api.example.com")),
    ],
    subdomains_unmatched: [
        Row("PUT /", 1, "OPTIONS, PUT", rest=at("http://any.host.at.all:8080")),
        Row("PUT /", 1, "OPTIONS, PUT", rest=at("https://[::1]:8080")),
    ],
    static_files: [
        Row(f"GET /static/{HERE.name}", APP_WIDE, "GET, HEAD, OPTIONS"),
        Row("GET /static/missing", APP_WIDE, "GET, HEAD, OPTIONS", 404),
        Row("PUT /static/missing", APP_WIDE, "", 405),
        Row("GET /files/static/missing", 1, "GET, HEAD, OPTIONS", 404),
    ],
    blueprints: [
        Row("PUT /outer/x", 1, "OPTIONS, PUT"),
        Row("PUT /outer/own", 4, "OPTIONS, PUT"),
        Row("PUT /outer/inner/x", 2, "OPTIONS, PUT"),
        Row("PUT /outer/inner/own", 5, "OPTIONS, PUT"),
        Row("PUT /outer/again/x", 2, "OPTIONS, PUT"),
        Row("PUT /outer/unmarked/x", 1, "OPTIONS, PUT"),
        Row("PUT /other/x", 3, "OPTIONS, PUT"),
        Row("PUT /other-again/x", 3, "OPTIONS, PUT"),
        Row("PUT /by-endpoint", 1, "OPTIONS, PUT"),
        Row("PUT /no-blueprint", APP_WIDE, "OPTIONS, PUT"),
        Row("PUT /outer/missing", APP_WIDE, "PUT", 404),
        Row("GET /outer/x", APP_WIDE, "", 405),
    ],
    mounted: [
        Row("PUT /mount/x", 1, "OPTIONS, PUT"),
        Row("PUT /mount/folder", 2, "OPTIONS, PUT", 308),
        Row("PUT /mount/mount/x", 3, "OPTIONS, PUT"),
        Row("PUT /mount", 4, "OPTIONS, PUT", 308),
        Row("PUT /mount/leave", APP_WIDE, "PUT", 308),
        Row("PUT /mount/home", 4, "OPTIONS, PUT", 308),
        Row("PUT /mount/nothing", APP_WIDE, "PUT", 404),
    ],
    behind_a_proxy: [
        Row("PUT /x", 1, "OPTIONS, PUT", rest=FORWARDED),
        Row("PUT /folder", 2, "OPTIONS, PUT", 308, rest=FORWARDED),
        Row("PUT /folder", 2, "OPTIONS, PUT", 308, rest=PREFIXED),
        Row("PUT /x", 3, "OPTIONS, PUT", rest=at("http://internal.com")),
    ],
    websockets: [
        Row("GET /socket", APP_WIDE, "GET", 400),
        Row("GET /socket", 1, "GET, HEAD, OPTIONS", rest=UPGRADE),
        Row("GET /both", 3, "GET, HEAD, OPTIONS"),
        Row("GET /both", 2, "GET, HEAD, OPTIONS", rest=UPGRADE),
        Row("GET /split", APP_WIDE, "", 405),
        Row("PUT /split", 5, "OPTIONS, PUT"),
    ],
    added_later: [
        Row("PUT /early", 1, "OPTIONS, PUT"),
        Row("PUT /late", 2, "PUT"),
        Row("PUT /any", 3, "PUT"),  # a rule for any method; only the one that was asked for was looked at
        Row("MADE-UP /any", 3, "MADE-UP"),
    ],
    encoded: [
        Row("PUT /a%20b", 1, "OPTIONS, PUT"),
        Row("PUT /a+b", 2, "OPTIONS, PUT"),
        Row("PUT /a%2Bb", 2, "OPTIONS, PUT"),
        Row("PUT /a/b", 3, "OPTIONS, PUT"),
        Row("PUT /a%2Fb", 3, "OPTIONS, PUT"),
        Row("PUT /a%252fb", 4, "OPTIONS, PUT"),
        Row("PUT /a%252Fb", APP_WIDE, "PUT", 404),
        Row("PUT /a%25252fb", APP_WIDE, "PUT", 404),
        Row("PUT /Admin", 5, "OPTIONS, PUT"),
        Row("PUT /admin", 6, "OPTIONS, PUT"),
        Row("PUT /ADMIN", APP_WIDE, "PUT", 404),
        Row("PUT /%61dmin", 6, "OPTIONS, PUT"),
        Row("PUT /api/../private", 7, "OPTIONS, PUT"),
        Row("PUT /api/%2e%2e/private", 7, "OPTIONS, PUT"),
        Row("PUT /api/..%2fprivate", 7, "OPTIONS, PUT"),
        Row("PUT /api/..\\private", 7, "OPTIONS, PUT"),
        Row("PUT /api/../dots", 10, "OPTIONS, PUT"),
        Row("PUT /./private", APP_WIDE, "PUT", 404),
        Row("PUT /slashes-in-front", 8, "OPTIONS, PUT", rest=raw(b"//private")),
        Row("PUT /api//x", 7, "OPTIONS, PUT", 308),
        Row("PUT /private%00", APP_WIDE, "PUT", 404),
        Row("PUT /private;x", APP_WIDE, "PUT", 404),
        Row("PUT /semi;colon", 11, "OPTIONS, PUT"),
        Row("PUT /private?x=/admin", 8, "OPTIONS, PUT"),
        Row("PUT /%C3%A9", 9, "OPTIONS, PUT"),
        Row("PUT /%C3%BC%20+", 13, "OPTIONS, PUT", 308),
        Row("PUT /e%CC%81", APP_WIDE, "PUT", 404),  # the same letter, otherwise composed
        Row("PUT /latin-1", APP_WIDE, "PUT", 404, rest=raw(b"/\xe9")),
        Row("PUT /latin-1-rest", 7, "OPTIONS, PUT", rest=raw(b"/api/\xe9\xff")),
        Row("PUT /latin-1-hop", 12, "OPTIONS, PUT", 308, rest=raw(b"/slot/\xe9%25?")),
        Row("PUT /encoded-hop", 12, "OPTIONS, PUT", 308, rest=raw(b"/slot/%41?#")),
        Row("PUT /new-line", 12, "OPTIONS, PUT", 308, rest=raw(b"/slot/\r\nX: y")),
    ],
}


def table() -> list[Any]:
    """One test for each row, on an app of its own."""
    return [
        pytest.param(build, row, id=f"{build.__name__}: {row.ask} {row.rest or ''}")
        for build, rows in TABLE.items()
        for row in rows
    ]


@pytest.mark.parametrize(("build", "row"), table())
def test_preflight_and_answer_get_the_policy_of_the_view(build: Callable[[], WSGIApplication], row: Row) -> None:
    check(build(), row)


@pytest.mark.parametrize("build", TABLE, ids=lambda build: build.__name__)
def test_what_was_asked_before_changes_no_answer(build: Callable[[], WSGIApplication]) -> None:
    app = build()
    for row in [*TABLE[build], *reversed(TABLE[build])]:
        check(app, row)


@pytest.mark.filterwarnings("ignore:Current server name:UserWarning")  # Werkzeug's, of the older Flask
@pytest.mark.parametrize("host", ["other.com", "example.com.evil.com", "a.example.com:81"])
def test_a_host_outside_of_subdomain_matching_has_no_route(host: str) -> None:
    check(subdomains(), Row("PUT /", APP_WIDE, "PUT", 404, rest=at(f"http://{host}")))


@pytest.mark.parametrize("host", ["trusted.com", "untrusted.com"])
def test_untrusted_hosts_get_the_app_wide_policy_with_their_400(host: str) -> None:
    app = new_app()
    app.config["TRUSTED_HOSTS"] = ["trusted.com"]
    app.put("/")(view(1))
    trusted = host == "trusted.com" or "TRUSTED_HOSTS" not in Flask.default_config  # older Flasks trust every host
    expected = Row("PUT /", 1, "OPTIONS, PUT") if trusted else Row("PUT /", APP_WIDE, "PUT", 400)
    check(app, expected._replace(rest=at(f"http://{host}")))


BAD_HOSTS = [
    "",
    "bad host",
    "a,b",
    "a/b",
    "a?b#c",
    "me@a",
    "[::1",
    "xn--",
    "\xe9.com",
    "a:x",
    "a:99999",
    "..",
    "\0",
    "\r\n",
]


@pytest.mark.parametrize("host", [*BAD_HOSTS, f"{'a' * 70}.com"], ids=ascii)
@pytest.mark.parametrize("path", ["/here", "/folder", "/missing"])
def test_bad_hosts_get_flasks_answer(host: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a stranger sends is no failure of the app's own, so nothing is logged as one."""

    def status(app: Flask, method: str, wanted: str) -> str:
        headers = {"Origin": PAGE, "Access-Control-Request-Method": wanted}
        environ = {**create_environ(path, method=method, headers=headers), "HTTP_HOST": host}
        return run_wsgi_app(app, environ)[1]

    app, plain = new_app(), new_app(protected=False)
    for each in (app, plain):
        each.put("/here")(view(1))
        each.put("/folder/")(view(2))
    assert status(app, "PUT", "") == status(plain, "PUT", "")
    assert status(app, "OPTIONS", "PUT") == "204 No Content"
    assert not [record for record in caplog.records if record.name == "flask_preflight"]


# ---------------------------------------------------------------------------------------
# What the policy permits of what is routed
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow_methods", "wanted", "methods"),
    [
        pytest.param(None, "PUT", "DELETE, GET, HEAD, OPTIONS, PUT", id="as routed"),
        pytest.param("*", "PUT", "DELETE, GET, HEAD, OPTIONS, PUT", id="a star means what is routed"),
        pytest.param(["PUT", "PATCH"], "PUT", "PUT", id="a list, and routed"),
        pytest.param(["GET"], "GET", "GET, HEAD", id="GET covers HEAD"),
        pytest.param(["PUT"], "DELETE", "", id="routed, not allowed"),
        pytest.param(["PATCH"], "PATCH", "", id="allowed, not routed"),
        pytest.param([], "GET", "", id="none"),
    ],
)
def test_only_what_is_routed_and_allowed_is_granted(allow_methods: Any, wanted: str, methods: str) -> None:
    app = new_app()
    app.route("/", methods=["GET", "PUT", "DELETE"])(cors_route(allow_methods=allow_methods)(lambda: ""))
    assert preflight(app, wanted, "/") == (granted(methods) if methods else REFUSED)


@pytest.mark.parametrize(
    ("allow_methods", "expected"),
    [
        pytest.param(None, granted("PUT"), id="the one that is asked for"),
        pytest.param(["PUT", "POST"], granted("POST, PUT"), id="a list"),
        pytest.param("*", granted("*"), id="a star"),
        pytest.param(["POST"], REFUSED, id="not in the list"),
    ],
)
def test_a_url_without_route_has_the_app_wide_methods(allow_methods: Any, expected: Answer) -> None:
    app = Flask(__name__)
    Preflight(app, allow_origins=[PAGE], allow_methods=allow_methods)
    assert preflight(app, "PUT", "/missing") == expected


@pytest.mark.parametrize("wanted", ["put", "Put", "", "*", "P UT", "TRACE", "P" * 65])
def test_methods_are_compared_with_their_case_and_bad_ones_refused(wanted: str) -> None:
    app = new_app()
    app.put("/")(view(1))
    assert preflight(app, wanted, "/") == REFUSED
    assert preflight(app, wanted, "/missing") == (granted(wanted) if wanted.upper() == "PUT" else REFUSED)


def test_flask_upper_cases_methods_and_so_does_the_choice_of_the_policy() -> None:
    app = new_app()
    app.put("/folder/")(view(1))
    assert send(app, "pUt", "/folder") == send(app, "PUT", "/folder")


def test_methods_that_a_stranger_makes_up_are_not_remembered() -> None:
    app = new_app()
    app.put("/folder/")(view(1))
    app.url_map.add(Rule("/any", endpoint="any"))
    app.view_functions["any"] = view(2)
    check(app, Row("PUT /folder", 1, "OPTIONS, PUT", 308))
    table = app.extensions["preflight"].table
    remembered = [dict(each) for each in (table._by_view, table._by_marks, table._behind, table._narrowed)]
    for method in ("put", "Put", "pUt", "MADE-UP", "made-up"):
        for path in ("/folder", "/any", "/missing"):
            preflight(app, method, path)
            send(app, method, path)
    assert [table._by_view, table._by_marks, table._behind, table._narrowed] == remembered


def test_a_rule_names_only_methods_whose_views_have_an_equal_policy() -> None:
    """Equal is enough: it need not come from the same mark."""

    class Data(MethodView):
        @cors_route(max_age=1)
        def put(self) -> str:
            return ""

        @cors_route(max_age=1, allow_headers=["content-type"])
        def patch(self) -> str:
            return ""

        @cors_route(max_age=1, allow_headers=[..., "Content-Type"])
        def post(self) -> str:
            return ""

        @cors_exempt
        def delete(self) -> str:
            return ""

    app = new_app()
    app.add_url_rule("/", view_func=Data.as_view("data"))
    assert preflight(app, "PUT", "/") == granted("POST, PUT", max_age="1")


# ---------------------------------------------------------------------------------------
# What routes by code of the app's own
# ---------------------------------------------------------------------------------------


class Picky(BaseConverter):
    def to_python(self, value: str) -> str:
        if value == "invalid":
            raise ValidationError
        if value == "absent":
            abort(404)
        if value == "broken":
            raise LookupError("no\nsuch row")
        return value


def with_converter() -> Flask:
    app = new_app()
    app.url_map.converters["picky"] = Picky
    app.put("/<picky:x>")(view(1))
    app.add_url_rule("/away/<x>", "away", redirect_to=lambda adapter, x: 1 / 0, methods=["PUT"])
    return app


@pytest.mark.parametrize(
    "row",
    [
        Row("PUT /fine", 1, "OPTIONS, PUT"),
        Row("PUT /invalid", APP_WIDE, "PUT", 404),
        Row("PUT /absent", APP_WIDE, "PUT", 404),
    ],
    ids=lambda row: row.ask,
)
def test_converters_of_the_apps_own(row: Row) -> None:
    check(with_converter(), row)


@pytest.mark.parametrize(
    ("path", "error", "function"),
    [
        pytest.param("/broken", "LookupError: no\\nsuch row", "to_python", id="converter"),
        pytest.param("/away/x", "ZeroDivisionError: division by zero", "<lambda>", id="redirect_to"),
    ],
)
def test_routing_that_fails_refuses_the_preflight_and_is_logged(
    path: str, error: str, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = with_converter()
    assert preflight(app, "PUT", path) == REFUSED
    [record] = caplog.records
    assert (record.name, record.levelno) == ("flask_preflight", logging.ERROR)
    assert record.getMessage().startswith(
        f"Matching a preflight with the app's routes failed, so it is refused: '{error}' at {HERE}:"
    )
    assert send(app, "PUT", path)[:2] == (500, readable())


def test_bad_methods_are_refused_before_anything_is_routed(caplog: pytest.LogCaptureFixture) -> None:
    for method in ("", "*", "P UT", "TRACE", "P" * 65):
        assert preflight(with_converter(), method, "/broken") == REFUSED
    assert caplog.records == []


def test_failed_routing_is_explained_in_debug_mode() -> None:
    app = with_converter()
    app.debug = True
    answer = preflight(app, "PUT", "/away/x")
    assert answer[:2] == REFUSED[:2]
    assert answer.text == (
        "A converter or redirect of the app's own failed for this URL: 'ZeroDivisionError: division by zero'.\n"
    )


def test_an_overridden_url_adapter_is_asked() -> None:
    class Tenants(Flask):
        def create_url_adapter(self, request: Any) -> MapAdapter | None:
            if request is None or request.headers.get("X-Tenant") == "none":
                return None
            return self.url_map.bind("inside.example", path_info="/inside", default_method=request.method)

    app = Tenants(__name__)
    Preflight(app, allow_origins=[PAGE])
    app.put("/inside")(view(1))
    check(app, Row("PUT /outside", 1, "OPTIONS, PUT"))
    assert preflight(app, "PUT", "/outside", headers={"X-Tenant": "none"}) == granted("PUT")
    assert send(app, "PUT", "/outside", headers={"X-Tenant": "none"})[:2] == (500, readable())


def test_a_redirect_to_what_is_no_url_leads_nowhere() -> None:
    """Older versions of Werkzeug build such ones from what a stranger sends as Host."""

    class Odd(Flask):
        def create_url_adapter(self, request: Any) -> MapAdapter:
            return self.url_map.bind("[broken", path_info="/folder")

    app = Odd(__name__)
    Preflight(app, allow_origins=[PAGE])
    app.put("/folder/")(view(1))
    assert preflight(app, "PUT", "/") == granted("PUT")


# ---------------------------------------------------------------------------------------
# Answers that do not come from the app's own view
# ---------------------------------------------------------------------------------------


class Deferring:
    """A middleware that calls start_response only when Flask is done with the request."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        started: list[Any] = []
        body = self.app(environ, lambda *args: started.append(args) or bytes)  # type: ignore[func-returns-value]
        chunks = list(body)
        getattr(body, "close", lambda: None)()
        start_response(*started[0])
        return chunks


@pytest.mark.parametrize("build", [slashes, blueprints, redirects, methods_split_within_one_view])
def test_without_flasks_context_the_request_is_matched_anew(build: Callable[[], Flask]) -> None:
    app = build()
    layer: Any = vars(app)["wsgi_app"].__self__
    layer.app = Deferring(layer.app)
    for row in TABLE[build]:
        check(app, row)


def test_a_request_around_the_call_is_not_the_one_to_judge_by() -> None:
    """As when a view calls its own app, or a test runs within a context of the app."""
    app = slashes()
    layer: Any = vars(app)["wsgi_app"].__self__
    layer.app = Deferring(layer.app)
    with app.test_request_context("/file", method="PUT"):
        for row in TABLE[slashes]:
            check(app, row)


def test_what_a_mount_within_answers_has_the_policy_of_its_preflight() -> None:
    """Dispatchers change the environ, and for the changed one the app might have quite another view."""
    within = new_app(protected=False)
    within.put("/x")(view(1))
    app = new_app(protected=False)
    app.put("/x")(cors_exempt(lambda: "2"))
    app.put("/within/marked")(view(3))
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/within": within.wsgi_app})  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE])
    assert preflight(app, "PUT", "/within/x") == granted("PUT")
    assert send(app, "PUT", "/within/x") == Answer(200, readable(), "1")
    # What routes a URL that it does not serve is an app that nobody would write; the preflight goes by its routes.
    assert preflight(app, "PUT", "/within/marked") == granted("OPTIONS, PUT", max_age="3")
    assert send(app, "PUT", "/within/marked")[:2] == (404, readable(expose="X-3"))


def test_an_app_within_a_view_of_another_has_its_own_policy() -> None:
    inner, outer = new_app(), new_app()
    inner.get("/inner")(view(1))

    @outer.get("/outer")
    @owned(2)
    def call() -> Response:
        with inner.test_client() as client:
            answer = client.get("/inner", headers={"Origin": PAGE})
        assert answer.headers["Access-Control-Expose-Headers"] == "X-1"
        return Response(answer.get_data())

    assert send(outer, "GET", "/outer") == Answer(200, readable(expose="X-2"), "1")


def test_redirects_of_the_views_own_are_the_views() -> None:
    app = new_app()
    app.put("/x")(owned(1)(lambda: redirect("/y", 307)))
    app.put("/y")(view(2))
    check(app, Row("PUT /x", 1, "OPTIONS, PUT", 307))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 418, 500])
def test_what_a_view_aborts_with_has_its_policy(status: int) -> None:
    app = new_app()
    app.put("/x")(owned(1)(lambda: abort(status)))
    check(app, Row("PUT /x", 1, "OPTIONS, PUT", status))


def test_exempt_views_answer_as_they_do_without_the_extension() -> None:
    def build(*, protected: bool) -> Flask:
        app = new_app(protected=protected)
        app.put("/x")(view(1))
        app.get("/x")(view(2))

        @app.delete("/x")
        @cors_exempt
        def own() -> tuple[str, dict[str, str]]:
            return "", {"Access-Control-Allow-Origin": "https://own.example", "Vary": "Accept"}

        app.add_url_rule("/hop", "hop", redirect_to="/x", methods=["DELETE"])
        return app

    app, plain = build(protected=True), build(protected=False)
    for path in ("/x", "/hop"):
        assert preflight(app, "DELETE", path) == preflight(plain, "DELETE", path)
        assert send(app, "DELETE", path) == send(plain, "DELETE", path)
    assert send(app, "DELETE", "/x").cors == {"Access-Control-Allow-Origin": "https://own.example", "Vary": "Accept"}
    assert preflight(app, "PUT", "/x") == granted("OPTIONS, PUT", max_age="1")


# ---------------------------------------------------------------------------------------
# Random apps, and Flask's own test client as the judge
# ---------------------------------------------------------------------------------------

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
PARTS = ("a", "b", "A", "a+b", "1", "<int:n>", "<s>", "<path:p>", "<any(a, x):n>", "x<s>")
PIECES = ("a", "b", "A", "a+b", "1", "x", "xa", "a%20b", "a%2Fb", "%61", "..", ".", "", "%C3%A9", "%FF", "%252f")


PREFIXES = {"outer": "b", "inner": "1"}


class Drawn(NamedTuple):
    """One rule of a random app."""

    url: str
    methods: list[str]
    options: dict[str, Any]
    blueprints: tuple[str, ...]


@st.composite
def drawn_rules(draw: st.DrawFn) -> Drawn:
    parts = draw(st.lists(st.sampled_from(PARTS), max_size=3))
    parts = [part.replace("n>", f"n{place}>").replace("s>", f"s{place}>") for place, part in enumerate(parts)]
    parts = [part.replace("p>", f"p{place}>") for place, part in enumerate(parts)]
    options: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "strict_slashes": st.booleans(),
                "merge_slashes": st.booleans(),
                "redirect_to": st.sampled_from(["/a", "/a/", "/b/1", "/A", "a"]),
                "provide_automatic_options": st.booleans(),
            },
        )
    )
    return Drawn(
        "/" + "/".join(parts) + draw(st.sampled_from(["", "/"])) * bool(parts),
        draw(st.lists(st.sampled_from(METHODS), min_size=1, max_size=3, unique=True)),
        options,
        draw(st.sampled_from([(), (), ("outer",), ("outer", "inner")])),
    )


@st.composite
def drawn_urls(draw: st.DrawFn, rule: Drawn) -> str:
    """Draw a URL that *rule* matches, perhaps but for a detail or two."""
    pieces = [PREFIXES[name] for name in rule.blueprints]
    for part in rule.url.split("/")[1:]:
        text = draw(st.one_of(st.just("1"), st.sampled_from(PIECES)))
        pieces.append(text if "<" in part else draw(st.sampled_from([part, part, part, part, text])))
    slashes = [draw(st.sampled_from(["/", "/", "/", "/", "//"])) for _ in pieces]
    return "".join(map("".join, zip(slashes, pieces, strict=True))) + draw(st.sampled_from(["", "", "/"]))


@st.composite
def drawn_requests(draw: st.DrawFn) -> tuple[list[Drawn], str, str]:
    """Draw the rules of an app, a method, and a URL."""
    rules = draw(st.lists(drawn_rules(), min_size=1, max_size=6))
    rule = draw(st.sampled_from(rules))
    others = st.sampled_from([*METHODS, "HEAD", "OPTIONS"])
    return rules, draw(st.one_of(st.sampled_from(rule.methods), others)), draw(drawn_urls(rule))


def build(rules: list[Drawn], *, protected: bool) -> Flask:
    """Make an app that says whom it has reached, and whose views have policies to tell them by."""
    app = new_app(protected=protected)
    outer, inner = (Blueprint(name, __name__, url_prefix=f"/{prefix}") for name, prefix in PREFIXES.items())
    cors_blueprint(outer, allow_headers=[..., "X-Outer"])
    cors_blueprint(inner, allow_headers=[..., "X-Inner"])
    homes: dict[tuple[str, ...], Flask | Blueprint] = {(): app, ("outer",): outer, ("outer", "inner"): inner}
    for number, rule in enumerate(rules, 1):
        homes[rule.blueprints].add_url_rule(rule.url, view_func=view(number), methods=rule.methods, **rule.options)
    outer.register_blueprint(inner)
    app.register_blueprint(outer)

    @app.after_request
    def say_whom(response: Response) -> Response:
        if request.endpoint is not None:
            response.headers["X-Endpoint"] = request.endpoint
        return response

    return app


class Hop(NamedTuple):
    status: int
    text: str
    endpoint: str | None
    cors: dict[str, str]


def path_of(url: str) -> dict[str, Any]:
    """Decode a path as servers do; the client would take ``//a`` for a host."""
    return raw(unquote_to_bytes(url))


def follow(app: Flask, method: str, url: str) -> list[Hop]:
    """Follow redirects as far as the extension looks for a view."""
    hops: list[Hop] = []
    while len(hops) <= 5 and (not hops or hops[-1].status == 308):
        sent = app.test_client().open("/", method=method, headers={"Origin": PAGE}, **path_of(url))
        cors = {name: value for name, value in sent.headers if name == "Vary" or name.startswith("Access-Control-")}
        hops.append(Hop(sent.status_code, sent.get_data(as_text=True), sent.headers.get("X-Endpoint"), cors))
        url = urlsplit(sent.headers.get("Location", "")).path
    return hops


def handle_options_likewise(plain: Flask, app: Flask) -> None:
    """The one thing that the extension changes in an app: marked views have an OPTIONS handler."""
    for rule, its_rule in zip(plain.url_map.iter_rules(), app.url_map.iter_rules(), strict=True):
        vars(rule).update({name: vars(its_rule)[name] for name in ("methods", "provide_automatic_options")})


@given(drawn_requests())
def test_preflights_get_the_policy_of_the_view_that_flask_really_reaches(drawn: tuple[list[Drawn], str, str]) -> None:
    rules, method, url = drawn
    app, plain = build(rules, protected=True), build(rules, protected=False)
    send(app, "GET", "/")
    handle_options_likewise(plain, app)

    hops, judge = follow(app, method, url), follow(plain, method, url)
    assert [hop[:3] for hop in hops] == [hop[:3] for hop in judge]
    endpoint = judge[-1].endpoint
    if endpoint is None:
        assert preflight(app, method, "/", **path_of(url)) == (REFUSED if judge[-1].status == 405 else granted(method))
        assert all(hop.cors == readable() for hop in hops)
        return
    number = int(endpoint.rpartition("_")[2])
    methods = next(rule.methods for rule in plain.url_map.iter_rules(endpoint)) or ()
    headers = sorted(["Content-Type", *(f"X-{name.title()}" for name in rules[number - 1].blueprints)])
    assert preflight(app, method, "/", **path_of(url)) == granted(
        ", ".join(sorted(methods)), ", ".join(headers), max_age=str(number)
    )
    assert all(hop.cors == readable(expose=f"X-{number}") for hop in hops)


def test_vary_is_on_every_answer_also_without_origin() -> None:
    app = new_app()
    app.put("/x")(view(1))
    for path, status in (("/x", 200), ("/missing", 404)):
        assert send(app, "PUT", path, origin=None)[:2] == (status, VARY)


# ---------------------------------------------------------------------------------------
# What is remembered of the routing
# ---------------------------------------------------------------------------------------

HOSTS = ("http://a.com", "https://a.com", "http://sub.a.com:81/mount", "http://b.com")
FLASKS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"host_matching": True, "static_host": "a.com"},
    {"subdomain_matching": True},
)


@st.composite
def drawn_growth(draw: st.DrawFn) -> tuple[dict[str, Any], list[Drawn], list[tuple[str, str, str]]]:
    """Draw how a Flask app is made, the rules that it gets one after the other, and what is asked in between."""
    rules = draw(st.lists(drawn_rules(), min_size=1, max_size=5))
    for rule in rules:
        rule.options.pop("provide_automatic_options", None)  # it is looked at once, when policies are settled
    asked = st.tuples(
        st.sampled_from([*METHODS, "get", "HEAD"]),
        st.sampled_from(rules).flatmap(drawn_urls),
        st.sampled_from(HOSTS),
    )
    return draw(st.sampled_from(FLASKS)), rules, draw(st.lists(asked, min_size=1, max_size=6))


def add(app: Flask, number: int, rule: Drawn) -> None:
    options = dict(rule.options)
    if app.url_map.host_matching:
        options["host"] = HOSTS[number % 2].rpartition("/")[2]
    if app.subdomain_matching and number % 2:
        options["subdomain"] = "sub"
    app.add_url_rule(rule.url, view_func=view(number), methods=rule.methods, **options)


@pytest.mark.filterwarnings("ignore:Current server name:UserWarning")  # Werkzeug's, where there is a SERVER_NAME
@given(drawn_growth(), st.data())
def test_what_is_remembered_changes_no_answer(
    drawn: tuple[dict[str, Any], list[Drawn], list[tuple[str, str, str]]], data: st.DataObject
) -> None:
    options, rules, asked = drawn
    app, added = new_app(**options), list[tuple[int, Drawn]]()
    changes: dict[str, Any] = {}
    for number, rule in enumerate(rules, 1):
        add(app, number, rule)
        added.append((number, rule))
        match data.draw(st.sampled_from(["", "", "policy", "server name", "trusted hosts"])):
            case "policy":
                changes = {"allow_headers": [f"X-{number}"]}
                app.extensions["preflight"].reconfigure(changes)
            case "server name":
                app.config["SERVER_NAME"] = data.draw(st.sampled_from([None, "a.com", "b.com"]))
            case "trusted hosts":
                app.config["TRUSTED_HOSTS"] = data.draw(st.sampled_from([None, ["a.com"], ["b.com", ".a.com"]]))
        fresh = Flask(__name__, **{"static_folder": None, **options})
        fresh.config.update(app.config)
        for each in added:
            add(fresh, *each)
        Preflight(fresh, allow_origins=[PAGE], **changes)
        for method, url, host in asked * 2:
            rest = path_of(url) | at(host)
            assert preflight(app, method, "/", **rest) == preflight(fresh, method, "/", **rest)


def remembered(app: Flask) -> int:
    known = app.extensions["preflight"].table._known
    return len(known.found.kept) if known else 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "PROPFIND"])
def test_a_known_path_is_matched_no_more(method: str) -> None:
    app = new_app()
    app.route("/x/<int:n>", methods=[method])(view(1))
    for path in ("/x/1", "/x/2"):
        assert preflight(app, method, path) == granted(f"OPTIONS, {method}", max_age="1")
    assert remembered(app) == 2
    matcher: Any = app.url_map._matcher
    matcher.match = None  # whoever calls this fails
    assert preflight(app, method, "/x/1") == granted(f"OPTIONS, {method}", max_age="1")
    assert preflight(app, method, "/x/3") == REFUSED


@pytest.mark.parametrize(
    ("method", "path", "rest"),
    [
        pytest.param("PUT", "/missing", {}, id="no route"),
        pytest.param("GET", "/x", {}, id="another method"),
        pytest.param("put", "/x", {}, id="a method in the wrong case"),
        pytest.param("P" * 65, "/x", {}, id="a method that is too long"),
        pytest.param("PUT", "/folder", {}, id="a redirect"),
        pytest.param("PUT", "/exempt", {}, id="an exempt view"),
        pytest.param("PUT", "/any", {}, id="a rule for any method"),
        pytest.param("PUT", "/only-get", {}, id="a method that the policy forbids"),
        pytest.param("PUT", f"/text/{'x' * 1020}", {}, id="over 1 KB"),
        pytest.param("PUT", "/x", {"environ_overrides": {"HTTP_HOST": "a..b"}}, id="a host that is none"),
        pytest.param("PUT", "/x", UPGRADE, id="an upgrade"),
    ],
)
def test_what_is_not_remembered(method: str, path: str, rest: dict[str, Any]) -> None:
    app = new_app()
    app.put("/x")(view(1))
    app.put("/folder/")(view(2))
    app.put("/text/<text>")(view(3))
    app.put("/exempt", endpoint="exempt")(cors_exempt(lambda: ""))
    app.put("/only-get", endpoint="only-get")(cors_route(allow_methods=["GET"])(lambda: ""))
    app.url_map.add(Rule("/any", endpoint="any"))
    app.view_functions["any"] = view(4)
    first = preflight(app, method, path, **rest)
    assert preflight(app, method, path, **rest) == first
    assert remembered(app) == 0


@pytest.mark.parametrize(("key", "max_age"), [("HTTP_HOST", "2"), ("PATH_INFO", "1")])
def test_what_a_server_leaves_out(key: str, max_age: str) -> None:
    app = new_app()
    app.put("/")(view(1))
    app.put("/x")(view(2))
    for _ in range(2):
        environ = create_environ("/x", method="OPTIONS")
        environ |= {"HTTP_ORIGIN": PAGE, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
        del environ[key]
        _, status, headers = run_wsgi_app(app, environ)
        assert (status, headers["Access-Control-Max-Age"]) == ("204 No Content", max_age)
    assert remembered(app) == 0


class Fickle(BaseConverter):
    """A converter that lets each second request pass."""

    asked = 0

    def to_python(self, value: str) -> str:
        Fickle.asked += 1
        if Fickle.asked % 2:
            return value
        raise ValidationError


def fickle_converter(app: Flask) -> None:
    Fickle.asked = 0
    app.url_map.converters["fickle"] = Fickle
    app.put("/<fickle:x>")(view(1))


def fickle_redirect(app: Flask) -> None:
    targets = ["/one", "/two"] * 9
    app.put("/one")(view(1))
    app.put("/two")(view(2))
    app.add_url_rule("/x", "hop", methods=["PUT"], redirect_to=lambda adapter: targets.pop(0))


def fickle_adapter(app: Flask) -> None:
    paths = ["/one", "/two"] * 9
    app.put("/one")(view(1))
    app.put("/two")(view(2))
    vars(app)["create_url_adapter"] = lambda request: app.url_map.bind("a.com", path_info=paths.pop(0))


def fickle_rule(app: Flask) -> None:
    class Late(Rule):
        def get_converter(self, *args: Any, **options: Any) -> BaseConverter:
            return Fickle(app.url_map)

    Fickle.asked = 0
    app.url_rule_class = Late
    app.put("/<x>")(view(1))


def fickle_request(app: Flask) -> None:
    prefixes = ["/one", "/two"] * 9

    class Rewriting(Request):
        def __init__(self, environ: WSGIEnvironment, *args: Any, **options: Any) -> None:
            super().__init__({**environ, "PATH_INFO": prefixes.pop(0)}, *args, **options)

    app.request_class = Rewriting
    app.put("/one")(view(1))
    app.put("/two")(view(2))


@pytest.mark.parametrize("prepare", [fickle_converter, fickle_redirect, fickle_adapter, fickle_rule, fickle_request])
def test_what_may_say_something_else_is_asked_each_time(prepare: Callable[[Flask], None]) -> None:
    app = new_app()
    prepare(app)
    one, other, *rest = (preflight(app, "PUT", "/x") for _ in range(6))
    assert one != other
    assert rest == [one, other] * 2
    assert remembered(app) == 0


def test_a_host_may_be_another_one_by_another_scheme() -> None:
    app = new_app(host_matching=True, static_host="a.com")
    app.add_url_rule("/x", view_func=view(1), methods=["PUT"], host="a.com")
    app.add_url_rule("/x", view_func=view(2), methods=["PUT"], host="a.com:80")
    for scheme, age in (("http", "1"), ("https", "2"), ("http", "1")):
        overrides = {"HTTP_HOST": "a.com:80", "wsgi.url_scheme": scheme}
        assert preflight(app, "PUT", "/x", environ_overrides=overrides) == granted("OPTIONS, PUT", max_age=age)


def test_a_route_that_is_added_while_another_is_matched_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = new_app()
    app.put("/<x>")(view(1))
    assert preflight(app, "PUT", "/else") == granted("OPTIONS, PUT", max_age="1")
    match = MapAdapter.match

    def slowly(adapter: MapAdapter, *args: Any, **options: Any) -> Any:
        matched = match(adapter, *args, **options)
        if "late" not in app.view_functions:
            app.put("/late", endpoint="late")(view(2))
            preflight(app, "PUT", "/else")  # what follows finds the routes as they are now
        return matched

    monkeypatch.setattr(MapAdapter, "match", slowly)
    assert preflight(app, "PUT", "/late") == granted("OPTIONS, PUT", max_age="1")
    assert preflight(app, "PUT", "/late") == granted("OPTIONS, PUT", max_age="2")


def test_while_a_route_is_being_added_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    app = new_app()
    app.put("/<x>")(view(1))
    iter_rules = app.url_map.iter_rules
    assert preflight(app, "PUT", "/x") == granted("OPTIONS, PUT", max_age="1")

    def changing(*_: Any) -> Iterator[Rule]:
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(app.url_map, "iter_rules", changing)
    app.put("/late", endpoint="late")(view(2))
    for _ in range(2):
        assert preflight(app, "PUT", "/late") == granted("OPTIONS, PUT", max_age="2")
    assert remembered(app) == 0
    monkeypatch.setattr(app.url_map, "iter_rules", iter_rules)
    app.put("/later", endpoint="later")(view(3))
    for _ in range(2):
        assert preflight(app, "PUT", "/later") == granted("OPTIONS, PUT", max_age="3")
    assert remembered(app) == 1


def test_rules_with_the_same_policy_and_methods_share_what_is_remembered() -> None:
    app = new_app()
    for number in range(5):
        app.route(f"/{number}", endpoint=f"{number}", methods=["GET", "PUT"])(lambda: "")
        preflight(app, "GET", f"/{number}")
        preflight(app, "PUT", f"/{number}")
    found = app.extensions["preflight"].table._behind.values()
    assert (len(found), len({id(each.answers) for each in found})) == (10, 1)


def test_another_map_is_not_watched_so_nothing_of_it_is_remembered() -> None:
    app = new_app()
    app.url_map = Map([Rule("/<x>", endpoint="x", methods=["PUT"])])
    app.view_functions["x"] = view(1)
    for _ in range(2):
        assert preflight(app, "PUT", "/x") == granted("OPTIONS, PUT", max_age="1")
    app.url_map.add(Rule("/x", endpoint="late", methods=["PUT"]))
    app.view_functions["late"] = view(2)
    assert preflight(app, "PUT", "/x") == granted("PUT", max_age="2")


def test_another_map_in_place_of_one_that_was_remembered_is_asked() -> None:
    app = new_app()
    app.put("/x")(view(1))
    for _ in range(2):
        assert preflight(app, "PUT", "/x") == granted("OPTIONS, PUT", max_age="1")
    app.url_map = Map([Rule("/x", endpoint="late", methods=["PUT"])])
    app.view_functions["late"] = view(2)
    assert preflight(app, "PUT", "/x") == granted("PUT", max_age="2")


def test_what_is_remembered_of_a_host_holds_nothing_else_of_its_request() -> None:
    app = new_app()
    app.put("/<x>")(view(1))
    check(app, Row("PUT /secret?query=secret", 1, "OPTIONS, PUT", rest=at("http://a.com/mount")))
    [adapter] = app.extensions["preflight"].table._known.adapters.kept.values()
    assert (adapter.path_info, adapter.query_args, adapter.script_name) == ("/", "", "/")


class Lazy(Response):
    """A response that starts when its body is read, so after Flask is done with the request."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        yield from super().__call__(environ, start_response)


def test_a_response_that_starts_late_is_judged_by_its_own_request() -> None:
    app = new_app()
    app.get("/lazy")(owned(1)(lambda: Lazy("1")))
    app.put("/other", endpoint="other")(cors_exempt(lambda: ""))
    check(app, Row("GET /lazy", 1, "GET, HEAD, OPTIONS"))
    with app.test_request_context("/other", method="PUT"):
        check(app, Row("GET /lazy", 1, "GET, HEAD, OPTIONS"))


def test_a_response_that_starts_late_within_another_request_is_judged_by_its_own() -> None:
    app = new_app()
    app.get("/lazy")(owned(1)(lambda: Lazy("1")))
    within: list[Answer] = []

    @app.get("/around")
    @owned(2)
    def around() -> str:
        within.append(send(app, "GET", "/lazy"))
        return "2"

    for _ in range(2):  # also when the views' answers are known
        assert send(app, "GET", "/around") == Answer(200, readable(expose="X-2"), "2")
    assert within == [Answer(200, readable(expose="X-1"), "1")] * 2


def test_a_view_may_hand_its_request_on_to_an_app_with_endpoints_of_the_same_names() -> None:
    other = Flask("other")
    other.get("/x", endpoint="y")(lambda: "1")

    class HandedOn(Response):
        def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            return other.wsgi_app(environ, start_response)

    app = new_app()
    app.get("/x", endpoint="x")(owned(1)(HandedOn))
    app.get("/y", endpoint="y")(view(2))
    for _ in range(2):
        check(app, Row("GET /y", 2, "GET, HEAD, OPTIONS"))
        check(app, Row("GET /x", 1, "GET, HEAD, OPTIONS"))


@pytest.mark.parametrize("is_late", [False, True])
def test_a_response_that_starts_again_after_an_error_says_so(is_late: bool) -> None:
    class Failing(Response):
        def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            body = self.start_twice(start_response)
            return body if is_late else [*body]

        def start_twice(self, start_response: StartResponse) -> Iterator[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                raise ValueError("too late")
            except ValueError:
                start_response("500 Failed", [("Content-Type", "text/plain")], sys.exc_info())
            yield b"failed"

    app = new_app()
    app.get("/x")(owned(1)(Failing))
    started: list[tuple[Any, ...]] = []
    for _ in range(2):
        body = app(create_environ("/x", headers={"Origin": PAGE}), lambda *start: started.append(start))  # type: ignore[arg-type]
        assert [*body] == [b"failed"]
    assert [(status, len(rest)) for status, _, *rest in started] == [("200 OK", 0), ("500 Failed", 1)] * 2
    assert all(dict(headers)["Access-Control-Expose-Headers"] == "X-1" for _, headers, *_ in started)


def test_an_origin_that_is_changed_on_the_way_is_still_the_first() -> None:
    app = Flask("site")
    app.get("/x")(lambda: "x")

    @app.before_request
    def change() -> None:
        request.environ["HTTP_ORIGIN"] = "https://other.com"

    Preflight(app, allow_origins=[PAGE, "https://other.com"])
    assert send(app, "GET", "/x", origin=None) == Answer(200, VARY, "x")
    for _ in range(2):
        assert send(app, "GET", "/x") == Answer(200, readable(), "x")


def test_an_exempt_view_may_hand_its_request_on_to_an_app_with_cors_of_its_own() -> None:
    def plain(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"inner"]

    inner = PreflightMiddleware(plain, Policy(allow_origins=[PAGE], expose_headers=["X-Inner"]))
    app = new_app()

    @app.get("/mount/<path:rest>")
    @cors_exempt
    def mount(rest: str) -> WSGIApplication:
        moved = {**request.environ, "SCRIPT_NAME": "/mount", "PATH_INFO": f"/{rest}"}
        return Response.from_app(inner, moved)

    app.get("/elsewhere")(view(1))
    for path in ("/mount/x", "/mount/elsewhere"):
        assert send(app, "GET", path) == Answer(200, readable(expose="X-Inner"), "inner")


def test_an_error_page_may_be_made_by_an_app_with_cors_of_its_own_which_stands_back() -> None:
    """Where no view runs, the URL says whose policy counts."""

    def plain(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"inner"]

    inner = PreflightMiddleware(plain, Policy(allow_origins=[PAGE], expose_headers=["X-Inner"]))
    app = new_app()
    app.register_error_handler(404, lambda error: Response.from_app(inner, request.environ))
    assert send(app, "GET", "/missing") == Answer(404, readable(), "inner")


def test_routes_that_are_added_by_a_factory_that_fails_are_not_missed() -> None:
    app = new_app()
    app.put("/<x>")(view(1))
    for _ in range(2):
        assert preflight(app, "PUT", "/late") == granted("OPTIONS, PUT", max_age="1")
    app.view_functions["late"] = view(2)
    rules = [Rule("/late", endpoint="late", methods=["PUT"]), Rule("/<missing:x>", endpoint="missing")]
    with pytest.raises(LookupError):
        app.url_map.add(Submount("", rules))
    assert preflight(app, "PUT", "/late") == granted("PUT", max_age="2")


def test_a_request_class_that_fails_refuses_the_preflight() -> None:
    class Failing(Request):
        def __init__(self, *args: Any, **options: Any) -> None:
            raise ValueError("no")

    app = new_app()
    app.put("/x")(view(1))
    app.request_class = Failing
    assert preflight(app, "PUT", "/x") == REFUSED


def test_a_flood_of_urls_hosts_and_methods_takes_little_and_drives_nothing_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flask_preflight.routes.KEPT_SHARE", KEPT_SHARE)
    app = new_app()
    app.put("/mine")(view(1))
    app.put("/<int:n>")(view(2))
    for number in range(9000):
        environ = create_environ(f"/{number}", f"http://{number % 7}.com", method="OPTIONS")
        environ |= {"HTTP_ORIGIN": PAGE, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT" if number % 3 else f"M{number}"}
        run_wsgi_app(app, environ)
        if not number % 50:
            assert preflight(app, "PUT", "/mine") == granted("OPTIONS, PUT", max_age="1")
    known = app.extensions["preflight"].table._known
    assert 600 < len(known.found.kept) < 900  # of 6,000 matches, an eighth
    assert len(known.adapters.kept) == 8
    assert ("/mine", "PUT", "localhost") in known.found.kept
