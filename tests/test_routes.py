"""Which policy a request gets: that of the view which Flask reaches, in a table of everything that Flask routes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView
from numbered_views import APP_WIDE, UPGRADE, Row, at, check, new_app, numbered, raw, view
from pages import PAGE, send
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter, Rule
from werkzeug.test import create_environ, run_wsgi_app

from flask_preflight import Preflight, cors_blueprint, cors_exempt

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# PEP 3333 allows any method, but the checker in `wsgiref.validate` warns of unknown ones.
pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")


# ---------------------------------------------------------------------------------------
# The apps
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
        @numbered(1)
        def get(self) -> str:
            return "1"

        @numbered(2)
        def head(self) -> str:
            return ""

        @numbered(3)
        def put(self) -> str:
            return "3"

        @numbered(3)
        def patch(self) -> str:
            return "3"

        def post(self) -> str:
            return ""

        @numbered(4)
        def propfind(self) -> str:
            return "4"

    app = new_app()
    names = ["GET", "HEAD", "PUT", "PATCH", "POST", "PROPFIND"]
    app.add_url_rule("/data", view_func=Data.as_view("data"), methods=names)
    return app


def rules_that_overlap() -> Flask:
    """Werkzeug prefers fixed parts to variables, and of equal rules the first. No rule is alone at its URL."""

    @numbered(1)
    class Data(MethodView):
        def get(self, **_: object) -> str:
            return "1"

        put = delete = get

    app = new_app()
    everything: dict[str, Any] = {"methods": ["GET", "PUT", "DELETE"]}
    app.add_url_rule("/items/<name>", "items", view(1), **everything)
    app.add_url_rule("/class/<name>", "class", Data.as_view("class"), **everything)
    app.add_url_rule("/slot/<name>/", "slot", view(1), **everything)
    app.add_url_rule("/number/<name>", "name", view(1), **everything)
    app.add_url_rule("/number/<int:n>", "number", view(2), methods=["PUT"])
    for prefix in ("/items", "/class"):
        special: dict[str, Callable[..., Any]] = {"special": view(2), "equal": view(1), "equal-class": Data.as_view("")}
        special |= {"app-wide": lambda: "", "exempt": exempt}
        for path, function in special.items():
            app.add_url_rule(f"{prefix}/{path}", f"{prefix}{path}", function, methods=["PUT"])
        app.add_url_rule(f"{prefix}/read", f"{prefix}read", view(2), methods=["GET"])
    app.add_url_rule("/slot/special/", "special", view(2), methods=["PUT"])
    app.add_url_rule("/twice", "first", view(1), methods=["GET", "PUT"])
    app.add_url_rule("/twice", "second", view(2), methods=["PUT", "DELETE", "PATCH"])
    app.add_url_rule("/twice", "third", view(2), methods=["PATCH", "DELETE", "PROPFIND"])
    return app


@cors_exempt
def exempt() -> str:
    return ""


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


def websockets_behind_a_proxy() -> Flask:
    app = websockets()
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)  # type: ignore[method-assign]
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


def proxy_fix_inside() -> Flask:
    """As `behind_a_proxy`, but with ``ProxyFix`` applied before the extension."""
    app = new_app(protected=False, host_matching=True)
    app.put("/x", host="public.com")(view(1))
    app.put("/folder/", host="public.com")(view(2))
    app.put("/x", host="internal.com")(view(3))
    app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1, x_proto=1, x_prefix=1)  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE])
    return app


def moves_prefix(app: WSGIApplication) -> WSGIApplication:
    """The "ReverseProxied" snippet: move ``/budget`` from the path to the mount."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        path = environ["PATH_INFO"]
        if path.startswith("/budget/"):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/budget", path.removeprefix("/budget")
        return app(environ, start_response)

    return middleware


def copies_environ(app: WSGIApplication) -> WSGIApplication:
    """The same, but with a new environ."""
    return lambda environ, start_response: moves_prefix(app)({**environ}, start_response)


def builds_environ(app: WSGIApplication) -> WSGIApplication:
    """The same, but of the environ only strings and ``wsgi.*`` are passed on."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        kept = {key: value for key, value in environ.items() if isinstance(value, str) or key.startswith("wsgi.")}
        return moves_prefix(app)(kept, start_response)

    return middleware


def prefixed(middleware: Callable[[WSGIApplication], WSGIApplication]) -> Flask:
    app = new_app(protected=False)
    app.put("/x")(view(1))
    app.put("/folder/")(view(2))
    app.put("/budget/x")(view(3))
    vars(app)["wsgi_app"] = middleware(app.wsgi_app)
    Preflight(app, allow_origins=[PAGE])
    return app


def prefix_moved_inside() -> Flask:
    return prefixed(moves_prefix)


def prefix_moved_in_a_copy() -> Flask:
    return prefixed(copies_environ)


def prefix_moved_in_a_new_environ() -> Flask:
    return prefixed(builds_environ)


def own_wsgi_app() -> Flask:
    """The app's class changes the path in a ``wsgi_app`` method of its own."""

    class Prefixed(Flask):
        def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            return moves_prefix(super().wsgi_app)(environ, start_response)

    app = Prefixed(__name__, static_folder=None)
    app.put("/x")(view(1))
    app.put("/folder/")(view(2))
    app.put("/budget/x")(view(3))
    Preflight(app, allow_origins=[PAGE])
    return app


def mounted_inside() -> Flask:
    app = new_app(protected=False)
    app.put("/x")(view(1))
    app.put("/mount/x")(view(2))
    app.put("/mount/folder/")(view(3))
    app.wsgi_app = DispatcherMiddleware(not_found, {"/mount": app.wsgi_app})  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE])
    return app


# ---------------------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------------------

ONE, TWO = at("http://one.com"), at("http://a.two.com")
FORWARDED = {"headers": {"X-Forwarded-Host": "public.com", "X-Forwarded-Proto": "https"}}
PREFIXED = {"headers": {**FORWARDED["headers"], "X-Forwarded-Prefix": "/prefix"}}

WEBSOCKET = {"headers": {"X-Forwarded-Proto": "ws"}}  # which a stranger can send too

PREFIXED_ROWS = [
    Row("PUT /budget/x", 1, "OPTIONS, PUT"),
    Row("PUT /budget/folder", 2, "OPTIONS, PUT", 308),
    Row("PUT /x", 1, "OPTIONS, PUT"),
    Row("GET /budget/x", APP_WIDE, "", 405),
    Row("PUT /budget/missing", APP_WIDE, "PUT", 404),
    Row("PUT /missing", APP_WIDE, "PUT", 404),
]

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
    rules_that_overlap: [
        Row("GET /items/other", 1, "DELETE, GET, HEAD, OPTIONS, PUT"),
        Row("PUT /items/other", 1, "DELETE, GET, HEAD, OPTIONS, PUT"),
        *(
            row
            for prefix in ("/items", "/class")
            for row in [
                Row(f"GET {prefix}/special", 1, "DELETE, GET, HEAD, OPTIONS"),
                Row(f"DELETE {prefix}/special", 1, "DELETE, GET, HEAD, OPTIONS"),
                Row(f"PUT {prefix}/special", 2, "OPTIONS, PUT"),
                Row(f"GET {prefix}/equal", 1, "DELETE, GET, HEAD, OPTIONS, PUT"),
                Row(f"PUT {prefix}/equal", 1, "OPTIONS, PUT"),
                Row(f"GET {prefix}/equal-class", 1, "DELETE, GET, HEAD, OPTIONS, PUT"),
                Row(f"PUT {prefix}/equal-class", 1, "OPTIONS, PUT"),
                Row(f"GET {prefix}/app-wide", 1, "DELETE, GET, HEAD, OPTIONS"),
                Row(f"PUT {prefix}/app-wide", APP_WIDE, "OPTIONS, PUT"),
                Row(f"GET {prefix}/exempt", 1, "DELETE, GET, HEAD, OPTIONS"),
                Row(f"GET {prefix}/read", 2, "GET, HEAD, OPTIONS"),
                Row(f"PUT {prefix}/read", 1, "DELETE, GET, HEAD, OPTIONS, PUT"),  # GET needs no permission
            ]
        ),
        Row("GET /slot/other", 1, "DELETE, GET, HEAD, OPTIONS, PUT", 308),
        Row("GET /slot/special", 1, "DELETE, GET, HEAD, OPTIONS", 308),
        Row("PUT /slot/special", 2, "OPTIONS, PUT", 308),
        Row("GET /number/one", 1, "DELETE, GET, HEAD, OPTIONS, PUT"),
        Row("GET /number/1", 1, "DELETE, GET, HEAD, OPTIONS"),
        Row("PUT /number/1", 2, "OPTIONS, PUT"),
        Row("GET /twice", 1, "GET, HEAD, OPTIONS, PUT"),
        Row("PUT /twice", 1, "GET, HEAD, OPTIONS, PUT"),
        Row("PATCH /twice", 2, "DELETE, OPTIONS, PATCH"),
        Row("DELETE /twice", 2, "DELETE, OPTIONS, PATCH"),
        Row("PROPFIND /twice", 2, "DELETE, OPTIONS, PATCH, PROPFIND"),
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
        Row("PUT /slashes-in-front", 1, "OPTIONS, PUT", rest=raw(b"///a/b")),  # are ignored
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
    proxy_fix_inside: [
        Row("PUT /x", 1, "OPTIONS, PUT", rest=FORWARDED),
        Row("PUT /folder", 2, "OPTIONS, PUT", 308, rest=FORWARDED),
        Row("PUT /folder", 2, "OPTIONS, PUT", 308, rest=PREFIXED),
        Row("PUT /x", 3, "OPTIONS, PUT", rest=at("http://internal.com")),
        Row("PUT /x", APP_WIDE, "PUT", 404),
    ],
    prefix_moved_inside: PREFIXED_ROWS,
    prefix_moved_in_a_copy: PREFIXED_ROWS,
    prefix_moved_in_a_new_environ: PREFIXED_ROWS,
    own_wsgi_app: PREFIXED_ROWS,
    mounted_inside: [
        Row("PUT /mount/x", 1, "OPTIONS, PUT"),
        Row("PUT /mount/mount/x", 2, "OPTIONS, PUT"),
        Row("PUT /mount/mount/folder", 3, "OPTIONS, PUT", 308),
        Row("PUT /mount/missing", APP_WIDE, "PUT", 404),
    ],
    websockets: [
        Row("GET /socket", APP_WIDE, "GET", 400),
        Row("GET /socket", 1, "GET, HEAD, OPTIONS", rest=UPGRADE),
        Row("GET /both", 3, "GET, HEAD, OPTIONS"),
        Row("GET /both", 2, "GET, HEAD, OPTIONS", rest=UPGRADE),
        Row("GET /split", APP_WIDE, "", 405),
        Row("PUT /split", 5, "OPTIONS, PUT"),
    ],
    websockets_behind_a_proxy: [
        Row("GET /both", 2, "GET, HEAD, OPTIONS", rest=WEBSOCKET),
        Row("PUT /split", APP_WIDE, "", 405, rest=WEBSOCKET),
        Row("PUT /split", 5, "OPTIONS, PUT"),
    ],
    added_later: [
        Row("PUT /early", 1, "OPTIONS, PUT"),
        Row("PUT /late", 2, "PUT"),
        Row("PUT /any", 3, "PUT"),  # a rule for any method: only the requested one was checked
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
        Row("PUT /e%CC%81", APP_WIDE, "PUT", 404),  # the same letter, in another composition
        Row("PUT /latin-1", APP_WIDE, "PUT", 404, rest=raw(b"/\xe9")),
        Row("PUT /latin-1-rest", 7, "OPTIONS, PUT", rest=raw(b"/api/\xe9\xff")),
        Row("PUT /latin-1-hop", 12, "OPTIONS, PUT", 308, rest=raw(b"/slot/\xe9%25?")),
        Row("PUT /encoded-hop", 12, "OPTIONS, PUT", 308, rest=raw(b"/slot/%41?#")),
        Row("PUT /new-line", 12, "OPTIONS, PUT", 308, rest=raw(b"/slot/\r\nX: y")),
    ],
}


def table() -> list[Any]:
    """One test for each row, each with a new app."""
    return [
        pytest.param(build, row, id=f"{build.__name__}: {row.request} {row.rest or ''}")
        for build, rows in TABLE.items()
        for row in rows
    ]


@pytest.mark.parametrize(("build", "row"), table())
def test_preflight_and_response_get_the_policy_of_the_view(build: Callable[[], WSGIApplication], row: Row) -> None:
    check(build(), row)


@pytest.mark.parametrize("build", TABLE, ids=lambda build: build.__name__)
def test_earlier_requests_change_no_answer(build: Callable[[], WSGIApplication]) -> None:
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
def test_bad_hosts_get_the_response_of_flask(host: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A bad host is no failure of the app, so nothing is logged."""

    def status(app: Flask, method: str, requested: str) -> str:
        headers = {"Origin": PAGE, "Access-Control-Request-Method": requested}
        environ = {**create_environ(path, method=method, headers=headers), "HTTP_HOST": host}
        return run_wsgi_app(app, environ)[1]

    app, plain = new_app(), new_app(protected=False)
    for each in (app, plain):
        each.put("/here")(view(1))
        each.put("/folder/")(view(2))
    assert status(app, "PUT", "") == status(plain, "PUT", "")
    assert status(app, "OPTIONS", "PUT") == "204 No Content"
    assert not [record for record in caplog.records if record.name == "flask_preflight"]
