"""Faults of routes, marks and identity that were found in 0.1.0, each varied as far as its kind goes.

Three policies tell the views apart: the app's allows ``PAGE``, that of *admin* views ``ADMIN``, that of *blue* views
``BLUE``. `judges` says which of the three a preflight is judged by, after it has compared the whole answers.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.validate import validator

import flask
import pytest
from flask import Flask, Request, Response
from flask.sessions import SecureCookieSessionInterface
from flask.views import MethodView, View
from pages import PAGE, REFUSED, VARY, VARY_PREFLIGHT, Answer
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, Map, Rule, ValidationError
from werkzeug.test import create_environ, run_wsgi_app

from flask_preflight import Policy, Preflight, cors_exempt, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# PEP 3333 knows no closed set of methods, but its judge does. The other warning is Werkzeug's, for foreign hosts.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD"),
    pytest.mark.filterwarnings("ignore:Current server name:UserWarning"),
]

ADMIN, BLUE = "https://admin.example", "https://blue.example"
ORIGINS = {"app": PAGE, "admin": ADMIN, "blue": BLUE}
AGES = {"app": "600", "admin": "7", "blue": "8"}
MARKS = {name: cors_route(allow_origins=[ORIGINS[name]], max_age=int(AGES[name])) for name in ("admin", "blue")}
EXEMPT = {"exempt": "OPTIONS, PUT"}
View_ = Callable[..., Any]


def new_app(**options: Any) -> Flask:
    app = Flask(__name__, static_folder=None, **options)
    Preflight(app, allow_origins=[PAGE])
    return app


def view(name: str = "app") -> View_:
    """Make a view that is marked with the policy *name*, or not at all."""

    def function(**_: object) -> str:
        return name

    return MARKS[name](function) if name in MARKS else function


def add(app: Flask, path: str, name: str, *methods: str, **options: Any) -> None:
    endpoint = f"{name} {path} {options or ''}".replace(".", "_")
    app.add_url_rule(path, endpoint, view(name), methods=methods or ("PUT",), **options)


def send(app: WSGIApplication, method: str, path: str, *, environ: dict[str, Any] | None = None, **rest: Any) -> Answer:
    """Send a request. In *environ*, ``None`` leaves a key out."""
    changed = {**create_environ(path, method=method, **rest), **(environ or {})}
    kept = {name: value for name, value in changed.items() if value is not None}
    scheme = kept["wsgi.url_scheme"]

    def with_scheme(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.url_scheme"] = scheme  # which the judge of PEP 3333 might not know
        return app(environ, start_response)

    body, status, headers = run_wsgi_app(validator(with_scheme), {**kept, "wsgi.url_scheme": "http"}, buffered=True)
    pairs = [(name, value) for name, value in headers if name == "Vary" or name.startswith("Access-Control-")]
    assert len(pairs) == len(dict(pairs)), "a header came twice"
    if method == "OPTIONS" and "Allow" in headers:
        pairs.append(("Allow", ", ".join(sorted(headers["Allow"].split(", ")))))
    return Answer(int(status[:3]), dict(pairs), b"".join(body).decode())


def preflight(app: WSGIApplication, method: str, path: str, origin: str, **rest: Any) -> Answer:
    headers = {"Origin": origin, "Access-Control-Request-Method": method, **rest.pop("headers", {})}
    return send(app, "OPTIONS", path, headers=headers, **rest)


def granted(name: str, methods: str) -> Answer:
    """The whole answer by which the policy *name* grants *methods*."""
    cors = {
        "Access-Control-Allow-Origin": ORIGINS[name],
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": AGES[name],
    }
    return Answer(204, {**cors, **VARY_PREFLIGHT}, "")


def judges(app: WSGIApplication, method: str = "PUT", path: str = "/x", **rest: Any) -> dict[str, str]:
    """The policies that grant such a preflight, each with the methods of its answer; or that it is left to Flask."""
    found: dict[str, str] = {}
    for name, origin in ORIGINS.items():
        answer = preflight(app, method, path, origin, **rest)
        if "Allow" in answer.cors:
            found["exempt"] = answer.cors["Allow"]
            assert answer == Answer(200, {"Allow": found["exempt"]}, "")
        elif answer.status == 204:
            found[name] = answer.cors["Access-Control-Allow-Methods"]
            assert answer == granted(name, found[name])
        else:
            assert answer == REFUSED
    return found


def readers(app: WSGIApplication, method: str = "PUT", path: str = "/x", **rest: Any) -> list[str]:
    """The policies whose origin may read the answer to the request itself."""
    found = []
    for name, origin in ORIGINS.items():
        answer = send(app, method, path, **{**rest, "headers": {"Origin": origin, **rest.get("headers", {})}})
        allowed = {"Access-Control-Allow-Origin": origin, **VARY}
        assert answer.cors in (allowed, VARY)
        found += [name] if answer.cors == allowed else []
    return found


# ---------------------------------------------------------------------------------------
# A1. Whatever came before, the route is the one that Flask gives at that moment
# ---------------------------------------------------------------------------------------


class Variant(NamedTuple):
    """A preflight, and the policies that grant it."""

    rest: dict[str, Any]
    expected: dict[str, str]
    method: str = "PUT"
    path: str = "/x"


PUT = "OPTIONS, PUT"


def scheme(name: str) -> dict[str, Any]:
    return {"environ": {"wsgi.url_scheme": name}}


def forwarded(**headers: str) -> dict[str, Any]:
    return {"headers": {f"X-Forwarded-{name.title()}": value for name, value in headers.items()}}


def host(name: str | None) -> dict[str, Any]:
    return {"environ": {"HTTP_HOST": name}}


UPGRADE = {"headers": {"Connection": "Upgrade", "Upgrade": "websocket"}}


def one_view() -> Flask:
    app = new_app()
    add(app, "/x", "admin")
    return app


def one_view_and_a_socket() -> Flask:
    app = one_view()
    add(app, "/socket", "blue", "GET", websocket=True)
    add(app, "/both", "admin", "GET")
    add(app, "/both", "blue", "GET", websocket=True)
    return app


def proxy_fix_outside() -> Flask:
    app = one_view()
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)  # type: ignore[method-assign]
    return app


def proxy_fix_inside() -> Flask:
    app = Flask(__name__, static_folder=None)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE])
    add(app, "/x", "admin")
    return app


def two_hosts() -> Flask:
    app = new_app(host_matching=True)
    add(app, "/x", "admin", host="a.com")
    add(app, "/x", "blue", host="b.com")
    add(app, "/x", "blue", host="a.com:8080")
    add(app, "/x", "blue", host="a.com:443")
    return app


def two_subdomains() -> Flask:
    app = new_app(subdomain_matching=True)
    app.config["SERVER_NAME"] = "a.com"
    add(app, "/x", "admin")
    add(app, "/x", "blue", subdomain="api")
    return app


def mount_in_a_redirect() -> Flask:
    app = new_app()
    add(app, "/target", "admin")
    app.add_url_rule("/x", "hop", methods=["PUT"], redirect_to="/mount/target")
    return app


def two_paths() -> Flask:
    app = new_app()
    add(app, "/x", "admin")
    add(app, "/x/", "blue", "DELETE")
    add(app, "/<y>", "blue")
    add(app, "/folder/", "admin")
    return app


def two_methods() -> Flask:
    app = new_app()
    add(app, "/x", "admin")
    add(app, "/x", "blue", "GET", "DELETE")
    return app


def query_in_a_redirect() -> Flask:
    app = new_app()
    add(app, "/admin", "admin")
    add(app, "/blue", "blue")
    app.add_url_rule("/x", "hop", methods=["PUT"], redirect_to=lambda adapter: f"/{adapter.query_args}")
    return app


INPUTS = [
    pytest.param(
        one_view_and_a_socket,
        [
            Variant(scheme("http"), {"admin": PUT}),
            Variant(scheme("https"), {"admin": PUT}),
            Variant(scheme("foo"), {"admin": PUT}),
            Variant(scheme("ws"), {"app": "PUT"}),
        ],
        id="scheme",
    ),
    pytest.param(
        one_view_and_a_socket,
        [
            Variant(scheme("http"), {"admin": "GET, HEAD, OPTIONS"}, "GET", "/both"),
            Variant(scheme("ws"), {"blue": "GET, HEAD, OPTIONS"}, "GET", "/both"),
            Variant(scheme("wss"), {"blue": "GET, HEAD, OPTIONS"}, "GET", "/both"),
        ],
        id="scheme of a socket",
    ),
    pytest.param(
        proxy_fix_outside,
        [
            Variant({}, {"admin": PUT}),
            Variant(forwarded(proto="ws"), {"app": "PUT"}),
            Variant(forwarded(proto="https"), {"admin": PUT}),
        ],
        id="scheme by ProxyFix outside",
    ),
    pytest.param(
        proxy_fix_inside,
        [
            Variant({}, {"admin": PUT}),
            Variant(forwarded(proto="ws"), {"app": "PUT"}),
            Variant(forwarded(proto="https"), {"admin": PUT}),
        ],
        id="scheme by ProxyFix inside",
    ),
    pytest.param(
        two_hosts,
        [
            Variant(host("a.com"), {"admin": PUT}),
            Variant(host("b.com"), {"blue": PUT}),
            Variant(host("c.com"), {"app": "PUT"}),
        ],
        id="host",
    ),
    pytest.param(
        two_hosts,
        [
            Variant(host("a.com"), {"admin": PUT}),
            Variant(host("a.com:80"), {"admin": PUT}),
            Variant(host("a.com:8080"), {"blue": PUT}),
            Variant(host("a.com:81"), {"app": "PUT"}),
        ],
        id="port",
    ),
    pytest.param(
        two_hosts,
        [
            Variant({"environ": {"HTTP_HOST": "a.com:443", "wsgi.url_scheme": "https"}}, {"admin": PUT}),
            Variant({"environ": {"HTTP_HOST": "a.com:443", "wsgi.url_scheme": "http"}}, {"blue": PUT}),
        ],
        id="port and scheme",
    ),
    pytest.param(
        two_hosts,
        [
            Variant({"environ": {"HTTP_HOST": None, "SERVER_NAME": "a.com"}}, {"admin": PUT}),
            Variant({"environ": {"HTTP_HOST": None, "SERVER_NAME": "b.com"}}, {"blue": PUT}),
            Variant({"environ": {"HTTP_HOST": None, "SERVER_NAME": "a.com", "SERVER_PORT": "8080"}}, {"blue": PUT}),
        ],
        id="server without Host",
    ),
    pytest.param(
        two_subdomains,
        [
            Variant(host("a.com"), {"admin": PUT}),
            Variant(host("api.a.com"), {"blue": PUT}),
            Variant(host("api.b.com"), {"app": "PUT"}),
        ],
        id="subdomain",
    ),
    pytest.param(
        mount_in_a_redirect,
        [
            Variant({"environ": {"SCRIPT_NAME": "/mount"}}, {"admin": PUT}),
            Variant({}, {"app": "PUT"}),
            Variant({"environ": {"SCRIPT_NAME": "/mount/deep"}}, {"app": "PUT"}),
        ],
        id="mount",
    ),
    pytest.param(
        two_paths,
        [
            Variant({}, {"admin": PUT}, path="/x"),
            Variant({}, {"blue": PUT}, path="/y"),
            Variant({}, {"admin": PUT}, path="/folder"),
            Variant({}, {"app": "PUT"}, path="/y/z"),
        ],
        id="path",
    ),
    pytest.param(
        two_methods,
        [
            Variant({}, {"admin": PUT}),
            Variant({}, {"blue": "DELETE, GET, HEAD, OPTIONS"}, "DELETE"),
            Variant({}, {}, "PATCH"),
        ],
        id="method",
    ),
    pytest.param(
        query_in_a_redirect,
        [
            Variant({}, {"admin": PUT}, path="/x?admin"),
            Variant({}, {"blue": PUT}, path="/x?blue"),
            Variant({}, {"app": "PUT"}, path="/x?none"),
        ],
        id="query",
    ),
    pytest.param(
        one_view_and_a_socket,
        [
            Variant({}, {"admin": "GET, HEAD, OPTIONS"}, "GET", "/both"),
            Variant(UPGRADE, {"blue": "GET, HEAD, OPTIONS"}, "GET", "/both"),
        ],
        id="upgrade",
    ),
]


@pytest.mark.parametrize(("build", "variants"), INPUTS)
def test_no_input_of_the_routing_is_forgotten(build: Callable[[], Flask], variants: list[Variant]) -> None:
    for order in permutations(variants):
        app = build()
        for variant in [*order, *order]:
            assert judges(app, variant.method, variant.path, **variant.rest) == variant.expected


class Moody(BaseConverter):
    """Accepts what it is told to."""

    accepted = frozenset({"x"})

    def to_python(self, value: str) -> str:
        if value not in Moody.accepted:
            raise ValidationError
        return value


@pytest.fixture(autouse=True)
def _moody_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Moody, "accepted", frozenset({"x"}))


def moody_converter() -> Flask:
    app = new_app()
    app.url_map.converters["moody"] = Moody
    add(app, "/<moody:x>", "admin")
    return app


def trust(*hosts: str) -> Callable[[Flask], None]:
    return lambda app: app.config.update(TRUSTED_HOSTS=[*hosts])


def match_subdomains(app: Flask) -> None:
    app.subdomain_matching = True


def match_hosts(app: Flask) -> None:
    app.url_map.host_matching = True


def override_the_adapter(app: Flask) -> None:
    def create_url_adapter(request: Request | None) -> Any:
        return app.url_map.bind("a.com", path_info="/blue", default_method="PUT")

    vars(app)["create_url_adapter"] = create_url_adapter


def override_the_request(app: Flask) -> None:
    class Rewriting(Request):
        def __init__(self, environ: WSGIEnvironment, *args: Any, **options: Any) -> None:
            super().__init__({**environ, "PATH_INFO": "/blue"}, *args, **options)

    app.request_class = Rewriting


def rule_of(app: Flask) -> Any:
    [rule] = [rule for rule in app.url_map.iter_rules() if rule.rule in ("/x", "/<moody:x>")]
    return rule


def take_the_method(app: Flask) -> None:
    rule_of(app).methods.discard("PUT")


def give_a_method(app: Flask) -> None:
    rule_of(app).methods.add("DELETE")


def deregister_the_converter(app: Flask) -> None:
    del app.url_map.converters["moody"]
    Moody.accepted = frozenset()


def change_the_converter(app: Flask) -> None:
    Moody.accepted = frozenset()


def redirect_the_rule(app: Flask) -> None:
    rule_of(app).redirect_to = "/blue"


def make_it_a_socket(app: Flask) -> None:
    rule_of(app).websocket = True


def replace_the_map(app: Flask) -> None:
    app.url_map = Map([Rule("/x", endpoint="late", methods=["OPTIONS", "PUT"])])
    app.view_functions["late"] = view("blue")


def add_a_rule(app: Flask) -> None:
    app.view_functions["late"] = view("blue")
    app.url_map.add(Rule("/x", endpoint="late", methods=["OPTIONS", "PUT"]))


def admin_and_blue() -> Flask:
    app = new_app()
    add(app, "/x", "admin")
    add(app, "/blue", "blue")
    return app


def any_path() -> Flask:
    app = new_app()
    add(app, "/<x>", "admin")
    return app


def untrusted() -> Flask:
    app = one_view()
    app.config["TRUSTED_HOSTS"] = ["trusted.com"]
    return app


def subdomains_unmatched() -> Flask:
    app = new_app()
    app.config["SERVER_NAME"] = "a.com"
    add(app, "/x", "admin")
    add(app, "/x", "blue", subdomain="api")
    return app


API = host("api.a.com")
# Both came with Flask 3.1. Flask 3.0 matches subdomains whenever SERVER_NAME is set.
switches = pytest.mark.skipif("TRUSTED_HOSTS" not in Flask.default_config, reason="Flask always matches subdomains")
trusts = pytest.mark.skipif("TRUSTED_HOSTS" not in Flask.default_config, reason="Flask trusts every host")

CHANGES = [
    pytest.param(one_view, trust("b.com"), API, {"admin": PUT}, {"app": "PUT"}, id="TRUSTED_HOSTS set", marks=trusts),
    pytest.param(untrusted, trust(".a.com"), API, {"app": "PUT"}, {"admin": PUT}, id="TRUSTED_HOSTS", marks=trusts),
    pytest.param(
        subdomains_unmatched,
        match_subdomains,
        API,
        {"admin": PUT},
        {"blue": PUT},
        id="subdomain_matching",
        marks=switches,
    ),
    pytest.param(one_view, match_hosts, API, {"admin": PUT}, {"app": "PUT"}, id="host_matching"),
    pytest.param(
        two_subdomains,
        lambda app: app.config.update(SERVER_NAME="api.a.com"),
        API,
        {"blue": PUT},
        {"admin": PUT},
        id="SERVER_NAME",
    ),
    pytest.param(admin_and_blue, override_the_adapter, {}, {"admin": PUT}, {"blue": PUT}, id="create_url_adapter"),
    pytest.param(admin_and_blue, override_the_request, {}, {"admin": PUT}, {"blue": PUT}, id="request_class"),
    pytest.param(one_view, take_the_method, {}, {"admin": PUT}, {}, id="a method less"),
    pytest.param(one_view, give_a_method, {}, {"admin": PUT}, {"admin": "DELETE, OPTIONS, PUT"}, id="a method more"),
    pytest.param(moody_converter, change_the_converter, {}, {"admin": PUT}, {"app": "PUT"}, id="converter's data"),
    pytest.param(moody_converter, deregister_the_converter, {}, {"admin": PUT}, {"app": "PUT"}, id="no converter"),
    pytest.param(admin_and_blue, redirect_the_rule, {}, {"admin": PUT}, {"blue": PUT}, id="redirect_to"),
    pytest.param(one_view, make_it_a_socket, {}, {"admin": PUT}, {"app": "PUT"}, id="websocket"),
    pytest.param(one_view, replace_the_map, {}, {"admin": PUT}, {"blue": PUT}, id="another map"),
    pytest.param(any_path, add_a_rule, {}, {"admin": PUT}, {"blue": PUT}, id="another rule"),
]


@pytest.mark.parametrize(("build", "change", "rest", "before", "after"), CHANGES)
def test_what_changes_after_the_first_request_counts(
    build: Callable[[], Flask],
    change: Callable[[Flask], None],
    rest: dict[str, Any],
    before: dict[str, str],
    after: dict[str, str],
) -> None:
    app = build()
    for _ in range(3):
        assert judges(app, **rest) == before
    change(app)
    for _ in range(3):
        assert judges(app, **rest) == after


@pytest.mark.parametrize("is_shared_first", [True, False], ids=["shared at first", "shared after a request"])
def test_two_apps_may_share_a_map(is_shared_first: bool) -> None:
    one, two = new_app(), new_app()
    one.add_url_rule("/<x>", "x", view("admin"), methods=["PUT"])
    two.add_url_rule("/else", "else", view("admin"), methods=["PUT"])
    two.view_functions["x"] = view("blue")
    if not is_shared_first:
        assert judges(two) == {"app": "PUT"}
    two.url_map = one.url_map
    for _ in range(2):
        assert judges(one) == {"admin": PUT}
        assert judges(two) == {"blue": PUT}
    one.view_functions["late"] = view("blue")
    two.view_functions["late"] = view("admin")
    one.url_map.add(Rule("/x", endpoint="late", methods=["OPTIONS", "PUT"]))
    for _ in range(2):
        assert judges(one) == {"blue": PUT}
        assert judges(two) == {"admin": PUT}


# ---------------------------------------------------------------------------------------
# A2. A mark reaches what was passed, and nothing else
# ---------------------------------------------------------------------------------------

Mark = Callable[[Any], Any]


class Kind(NamedTuple):
    """Views that the mark reaches, and those that share something with them and that it does not reach."""

    reached: list[View_]
    others: list[View_]


class Pages:
    def page(self) -> str:
        return "page"

    async def late_page(self) -> str:
        return "late page"

    def __call__(self) -> str:
        return "called"

    @classmethod
    def of_class(cls) -> str:
        return "of class"


class SubPages(Pages):
    pass


def send_static_file(mark: Mark) -> Kind:
    one, two = Flask("one"), Flask("two")
    return Kind([mark(one.send_static_file)], [one.send_static_file, two.send_static_file])


def bound_method(mark: Mark) -> Kind:
    one, two = Pages(), Pages()
    return Kind([mark(one.page)], [one.page, two.page, functools.partial(Pages.page, one)])


def bound_coroutine(mark: Mark) -> Kind:
    one, two = Pages(), Pages()
    return Kind([mark(one.late_page)], [one.late_page, two.late_page])


def class_method(mark: Mark) -> Kind:
    return Kind([mark(Pages.of_class)], [Pages.of_class, SubPages.of_class])


def static_method(mark: Mark) -> Kind:
    class Tools:
        @staticmethod
        def one() -> str:
            return ""

        @staticmethod
        def two() -> str:
            return ""

    return Kind([mark(Tools.one), Tools.one, Tools().one], [Tools.two])


def partial_object(mark: Mark) -> Kind:
    function = view()
    return Kind([mark(functools.partial(function))], [function, functools.partial(function)])


def partial_of_a_method(mark: Mark) -> Kind:
    one = Pages()
    return Kind([mark(functools.partial(one.page))], [one.page, functools.partial(one.page), Pages().page])


def callable_object(mark: Mark) -> Kind:
    return Kind([mark(Pages())], [Pages(), Pages().page])


def call_of_an_object(mark: Mark) -> Kind:
    one = Pages()
    return Kind([mark(one.__call__)], [one, Pages()])


def lambdas(mark: Mark) -> Kind:
    one, two = (lambda: "x" for _ in range(2))
    return Kind([mark(one), one], [two])


def coroutines(mark: Mark) -> Kind:
    def make() -> View_:
        async def function() -> str:
            return "x"

        return function

    one, two = make(), make()
    return Kind([mark(one), one], [two])


def decorate(function: View_) -> View_:
    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    return wrapper


def decorated(mark: Mark) -> Kind:
    function = view()
    return Kind([mark(decorate(function))], [function, decorate(function)])


def decorated_twice(mark: Mark) -> Kind:
    function = view()
    marked = mark(decorate(function))
    return Kind([marked, decorate(marked)], [function, decorate(function)])


def below_decorators(mark: Mark) -> Kind:
    function = mark(view())
    return Kind([function, decorate(function), functools.partial(function)], [view()])


def shared_function(mark: Mark) -> Kind:
    function = mark(view())
    return Kind([function, function], [view()])


class Base(MethodView):
    def put(self) -> str:
        return "put"


def view_class(mark: Mark) -> Kind:
    class Marked(Base):
        pass

    class Below(Marked):
        pass

    class Beside(Base):
        pass

    mark(Marked)
    return Kind([Marked.as_view("1"), Below.as_view("2")], [Base.as_view("3"), Beside.as_view("4")])


def plain_view_class(mark: Mark) -> Kind:
    class Plain(View):
        def dispatch_request(self) -> str:
            return ""

    class Below(Plain):
        def dispatch_request(self) -> str:
            return ""

    early = Plain.as_view("1")
    mark(Below)
    return Kind([Below.as_view("2")], [early, Plain.as_view("3")])


def as_view(mark: Mark) -> Kind:
    one, two = Base.as_view("1"), Base.as_view("2")
    return Kind([mark(one)], [two, Base.as_view("1")])


def method_of_a_view_class(mark: Mark) -> Kind:
    class Marked(Base):
        @mark
        def put(self) -> str:
            return ""

    class Below(Marked):
        pass

    class Overriding(Marked):
        def put(self) -> str:
            return ""

    return Kind([Marked.as_view("1"), Below.as_view("2")], [Base.as_view("3"), Overriding.as_view("4")])


KINDS: list[Callable[[Mark], Kind]] = [
    send_static_file,
    bound_method,
    bound_coroutine,
    class_method,
    static_method,
    partial_object,
    partial_of_a_method,
    callable_object,
    call_of_an_object,
    lambdas,
    coroutines,
    decorated,
    decorated_twice,
    below_decorators,
    shared_function,
    view_class,
    plain_view_class,
    as_view,
    method_of_a_view_class,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("mark", [pytest.param(MARKS["admin"], id="route"), pytest.param(cors_exempt, id="exempt")])
def test_a_mark_reaches_what_was_passed_alone(kind: Callable[[Mark], Kind], mark: Mark) -> None:
    reached, others = kind(mark)
    one, two = new_app(), new_app()
    for app in (one, two):
        for number, function in enumerate([*reached, *others]):
            app.add_url_rule(f"/{number}", f"{number}", function, methods=["PUT"])
    for app in (one, two, one):
        judged = [judges(app, path=f"/{number}") for number in range(len(reached) + len(others))]
        expected = EXEMPT if mark is cors_exempt else {"admin": PUT}
        if kind is method_of_a_view_class and mark is not cors_exempt:
            expected = {"admin": "PUT"}  # OPTIONS is not the method that is marked
        assert judged == [expected] * len(reached) + [{"app": PUT}] * len(others)


def test_another_app_keeps_its_static_files_to_itself(tmp_path: Any) -> None:
    (tmp_path / "robots.txt").write_text("robots")
    (tmp_path / "report.json").write_text("{}")
    public, private = (Flask(name, static_folder=tmp_path, static_url_path="/static") for name in ("public", "private"))
    robots = cors_route(allow_origins="*")(public.send_static_file)
    public.add_url_rule("/robots.txt", "robots", robots, defaults={"filename": "robots.txt"})
    private.add_url_rule("/report.json", "report", private.send_static_file, defaults={"filename": "report.json"})
    for app in (public, private):
        Preflight(app, allow_origins=[PAGE])
    everybody = {"Access-Control-Allow-Origin": "*"}
    assert send(public, "GET", "/robots.txt", headers={"Origin": BLUE}) == Answer(200, everybody, "robots")
    assert send(public, "GET", "/static/robots.txt", headers={"Origin": BLUE}) == Answer(200, VARY, "robots")
    assert send(private, "GET", "/report.json", headers={"Origin": BLUE}) == Answer(200, VARY, "{}")


@pytest.mark.parametrize("mark", [pytest.param(MARKS["admin"], id="route"), pytest.param(cors_exempt, id="exempt")])
@pytest.mark.parametrize(
    ("function", "name", "is_async"),
    [
        pytest.param(Pages().page, "page", False, id="method"),
        pytest.param(Pages().late_page, "late_page", True, id="coroutine"),
        pytest.param(Pages.of_class, "of_class", False, id="class method"),
    ],
)
def test_a_marked_method_is_still_what_it_was(mark: Mark, function: View_, name: str, is_async: bool) -> None:
    marked = mark(function)
    assert marked.__name__ == name
    assert inspect.iscoroutinefunction(marked) is is_async
    expected = name.replace("_", " ")
    assert (asyncio.run(marked()) if is_async else marked()) == expected
    app = new_app()
    app.put("/x")(marked)
    assert [*app.view_functions] == [name]
    assert send(app, "PUT", "/x").text == expected


@pytest.mark.parametrize("mark", [pytest.param(MARKS["admin"], id="route"), pytest.param(cors_exempt, id="exempt")])
def test_a_class_that_is_no_view_cannot_be_marked(mark: Mark) -> None:
    class NoView:
        pass

    with pytest.raises(TypeError):
        mark(NoView)


# ---------------------------------------------------------------------------------------
# A3. Equal is not identical
# ---------------------------------------------------------------------------------------


@dataclass
class Listed:
    """Equal as long as the lists are equal, and not hashable."""

    allowed: list[str]

    def __call__(self, origin: str, environ: WSGIEnvironment) -> bool:
        return origin in self.allowed


@dataclass(unsafe_hash=True)
class Tenant:
    """Hashable, though its hash changes."""

    allowed: str

    def __call__(self, origin: str, environ: WSGIEnvironment) -> bool:
        return origin == self.allowed


class Everything(Listed):
    """Equal to everything, ``"*"`` included."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class HashedEverything(Everything):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash("*")


class Incomparable(Listed):
    """Fails where it is compared or hashed."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("it was compared")

    def __hash__(self) -> int:
        raise AssertionError("it was hashed")


def listed(kind: type[Listed]) -> Callable[[], tuple[Any, Any]]:
    return lambda: (kind([]), kind([]))


PAIRS = [
    pytest.param(listed(Listed), id="dataclass"),
    pytest.param(lambda: (Tenant(""), Tenant("")), id="hashable dataclass"),
    pytest.param(listed(Everything), id="equal to everything"),
    pytest.param(listed(HashedEverything), id="equal to everything, hashed as a star"),
    pytest.param(listed(Incomparable), id="cannot be compared"),
]


def let(who: Listed | Tenant, origin: str) -> None:
    if isinstance(who, Tenant):
        who.allowed = origin
    else:
        who.allowed = [origin]


def red_and_blue(red: Any, blue: Any) -> Flask:
    app = new_app()
    app.put("/red", endpoint="red")(cors_route(allow_origins=red)(lambda: "red"))
    app.put("/blue", endpoint="blue")(cors_route(allow_origins=blue)(lambda: "blue"))
    return app


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("changes", ["before the first request", "later"])
def test_callables_that_are_equal_are_still_two(pair: Callable[[], tuple[Any, Any]], changes: str) -> None:
    red, blue = pair()
    app = red_and_blue(red, blue)
    if changes == "later":
        for path in ("/red", "/blue"):
            assert judges(app, path=path) == {}
            assert readers(app, path=path) == []
    let(red, ADMIN)
    let(blue, BLUE)
    for path, origin in [("/red", ADMIN), ("/blue", BLUE)] * 2:
        for other in ORIGINS.values():
            answer = preflight(app, "PUT", path, other)
            expected = {**granted("app", PUT).cors, "Access-Control-Allow-Origin": origin}
            assert answer == (Answer(204, expected, "") if other == origin else REFUSED)
        assert readers(app, path=path) == ["admin" if origin == ADMIN else "blue"]


@pytest.mark.parametrize("pair", PAIRS)
def test_methods_of_one_view_with_equal_callables_are_told_apart(pair: Callable[[], tuple[Any, Any]]) -> None:
    red, blue = pair()
    let(red, PAGE)
    let(blue, PAGE)

    class Data(MethodView):
        @cors_route(allow_origins=red)
        def put(self) -> str:
            return ""

        @cors_route(allow_origins=blue)
        def delete(self) -> str:
            return ""

    app = new_app()
    app.add_url_rule("/x", view_func=Data.as_view("data"))
    assert preflight(app, "PUT", "/x", PAGE) == granted("app", "PUT")
    assert preflight(app, "DELETE", "/x", PAGE) == granted("app", "DELETE")


@pytest.mark.parametrize("pair", PAIRS)
def test_an_equal_callable_replaces_the_one_before(pair: Callable[[], tuple[Any, Any]]) -> None:
    red, blue = pair()
    let(red, PAGE)
    let(blue, BLUE)
    app = Flask(__name__, static_folder=None)
    extension = Preflight(app, allow_origins=red)
    app.put("/x")(view())
    for _ in range(2):
        assert readers(app) == ["app"]
        assert preflight(app, "PUT", "/x", PAGE) == granted("app", PUT)
    extension.reconfigure(app, allow_origins=blue)
    for _ in range(2):
        assert readers(app) == ["blue"]
        assert preflight(app, "PUT", "/x", PAGE) == REFUSED


@pytest.mark.parametrize("pair", PAIRS)
def test_policies_go_by_the_identity_of_their_callables(pair: Callable[[], tuple[Any, Any]]) -> None:
    red, blue = pair()
    policy = Policy(allow_origins=red)
    assert policy == Policy(allow_origins=red)
    assert hash(policy) == hash(Policy(allow_origins=red))
    assert policy != Policy(allow_origins=blue)
    assert policy != Policy(allow_origins="*")
    assert Policy(allow_origins="*") != policy
    assert policy.override(max_age=5) == Policy(allow_origins=red, max_age=5)
    assert Policy(allow_origins=red, allow_credentials=True).allow_credentials  # which "*" forbids


# ---------------------------------------------------------------------------------------
# A4. A policy belongs to the view as it is at that moment
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [*permutations(["rule", "view", "mark", "request"])], ids="-".join)
@pytest.mark.parametrize("kind", ["function", "class"])
def test_the_order_of_rule_view_mark_and_request_does_not_matter(order: tuple[str, ...], kind: str) -> None:
    app = new_app()

    class Data(MethodView):
        def put(self) -> str:
            return "put"

    function = view()
    view_func = function if kind == "function" else Data.as_view("data")
    steps: dict[str, Callable[[], object]] = {
        "rule": lambda: app.url_map.add(Rule("/x", endpoint="x", methods=["OPTIONS", "PUT"])),
        "view": lambda: app.view_functions.update(x=view_func),
        "mark": lambda: MARKS["admin"](function if kind == "function" else Data),
        "request": lambda: judges(app),
    }
    for step in order:
        steps[step]()
    for _ in range(2):
        assert judges(app) == {"admin": PUT}
        assert readers(app) == ["admin"]


def test_the_policy_follows_the_view_that_replaces_another() -> None:
    app = new_app()
    app.add_url_rule("/x", endpoint="x", methods=["PUT"])
    assert judges(app) == {"app": PUT}
    functions = {name: view(name) for name in ("app", "admin", "blue")}
    for name in ("admin", "blue", "app", "exempt", "admin", "app", "blue", "exempt", "blue"):
        app.view_functions["x"] = functions.get(name) or cors_exempt(view())
        for _ in range(2):
            assert judges(app) == {name: PUT}
        if name != "exempt":
            assert readers(app) == [name]


def test_a_view_that_is_gone_leaves_nothing_to_the_next() -> None:
    """The next one may have the same address in memory."""
    app = new_app()
    app.add_url_rule("/x", endpoint="x", methods=["PUT"])
    for number in range(200):
        name = ("admin", "blue", "app")[number % 3]
        app.view_functions["x"] = view(name)
        assert preflight(app, "PUT", "/x", ORIGINS[name]) == granted(name, PUT)
        del app.view_functions["x"]
        gc.collect(0)


def test_views_that_are_added_while_preflights_run_keep_their_marks() -> None:
    app, stop, failed = new_app(), Event(), list[Exception]()
    add(app, "/x", "admin")

    def ask() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                preflight(app, "PUT", f"/{number % 300}", PAGE)
            except Exception as error:  # noqa: BLE001 - reported below
                failed.append(error)
                return

    threads = [Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(300):
            app.url_map.add(Rule(f"/{number}", endpoint=f"{number}", methods=["OPTIONS", "PUT"]))
            app.view_functions[f"{number}"] = view("admin")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    for number in range(300):
        path = f"/{number}"
        assert preflight(app, "PUT", path, ADMIN) == granted("admin", PUT)
        assert preflight(app, "PUT", path, PAGE) == REFUSED


def test_a_late_view_with_a_bad_policy_is_refused_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask(__name__, static_folder=None)
    Preflight(app, allow_origins=[PAGE], allow_credentials=True)
    app.put("/good", endpoint="good")(lambda: "good")
    app.add_url_rule("/x", endpoint="x", methods=["PUT"])
    credentials = {"Access-Control-Allow-Credentials": "true"}
    allowed = granted("app", PUT)._replace(cors={**granted("app", PUT).cors, **credentials})
    assert preflight(app, "PUT", "/x", PAGE) == allowed

    app.view_functions["x"] = cors_route(allow_origins="*")(lambda: "bad")  # bad only together with credentials
    for _ in range(3):
        assert preflight(app, "PUT", "/x", PAGE) == REFUSED
        answer = send(app, "PUT", "/x", headers={"Origin": PAGE})
        assert (answer.status, answer.text) == (200, "bad")
        assert [name for name in answer.cors if name.startswith("Access-Control-")] == []
        assert preflight(app, "PUT", "/good", PAGE) == allowed
        readable = {"Access-Control-Allow-Origin": PAGE, **credentials, **VARY}
        assert send(app, "PUT", "/good", headers={"Origin": PAGE}) == Answer(200, readable, "good")
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.name for record in errors] == ["flask_preflight"]
    assert "allow_origins" in errors[0].getMessage()

    app.view_functions["x"] = view("app")
    assert preflight(app, "PUT", "/x", PAGE) == allowed


# ---------------------------------------------------------------------------------------
# A5. Middleware between the extension and Flask counts
# ---------------------------------------------------------------------------------------

Layer = Callable[["WSGIApplication"], "WSGIApplication"]


def plain(status: str, text: bytes) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response(status, [("Content-Type", "text/plain")])
        return [text]

    return answer


def move(environ: WSGIEnvironment) -> WSGIEnvironment:
    if environ["PATH_INFO"].startswith("/budget/"):
        environ["SCRIPT_NAME"] += "/budget"
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/budget")
    return environ


def prefix(app: WSGIApplication) -> WSGIApplication:
    return lambda environ, start_response: app(move(environ), start_response)


def reverse_proxied(app: WSGIApplication) -> WSGIApplication:
    """Let the proxy say, in headers of its own, where the app is mounted and by which scheme it was asked."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        mount = environ.get("HTTP_X_MOUNT")
        if mount:
            environ["SCRIPT_NAME"] = mount
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(mount)
        environ["wsgi.url_scheme"] = environ.get("HTTP_X_SCHEME", environ["wsgi.url_scheme"])
        return app(environ, start_response)

    return middleware


def proxy_fix(app: WSGIApplication) -> WSGIApplication:
    return ProxyFix(app, x_host=1, x_prefix=1)


def dispatcher(app: WSGIApplication) -> WSGIApplication:
    return DispatcherMiddleware(plain("404 Not Found", b"no mount"), {"/budget": app})


def socket_server(app: WSGIApplication) -> WSGIApplication:
    """Answer one path before Flask can, as Socket.IO does."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        own = environ["PATH_INFO"].startswith("/socket.io/")
        return (plain("200 OK", b"socket") if own else prefix(app))(environ, start_response)

    return middleware


def guard(app: WSGIApplication) -> WSGIApplication:
    """Answer 401 to whoever sends no password, which a preflight never does."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        known = "HTTP_AUTHORIZATION" in environ
        return (app if known else plain("401 Unauthorized", b"who?"))(environ, start_response)

    return middleware


def raising(app: WSGIApplication) -> WSGIApplication:
    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise LookupError("broken middleware")

    return middleware


def raising_afterwards(app: WSGIApplication) -> WSGIApplication:
    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = app(move(environ), start_response)
        getattr(body, "close", lambda: None)()
        raise LookupError("broken middleware")

    return middleware


def copying(app: WSGIApplication) -> WSGIApplication:
    return lambda environ, start_response: app(move(dict(environ)), start_response)


def rebuilding(app: WSGIApplication) -> WSGIApplication:
    """Hand on only the keys that the standards name."""
    names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH")
    starts = ("HTTP_", "SERVER_", "REMOTE_", "wsgi.")

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kept = {name: value for name, value in environ.items() if name in names or name.startswith(starts)}
        return app(move(kept), start_response)

    return middleware


def buffering(app: WSGIApplication) -> WSGIApplication:
    """Start the response only when the inner one has ended."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started: list[Any] = []
        body = app(move(environ), lambda *args: started.append(args) or bytes)  # type: ignore[func-returns-value]
        chunks = [*body]
        getattr(body, "close", lambda: None)()
        start_response(*started[-1])
        return chunks

    return middleware


def generating(app: WSGIApplication) -> WSGIApplication:
    """Call Flask only when the body is read."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        body = app(move(environ), start_response)
        try:
            yield from body
        finally:
            getattr(body, "close", lambda: None)()

    return middleware


def ignore_start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
    return bytes


def ask_before(app: WSGIApplication, environ: WSGIEnvironment) -> None:
    body = app(environ, ignore_start)
    assert b"".join(body) is not None
    getattr(body, "close", lambda: None)()


def asking_twice(app: WSGIApplication) -> WSGIApplication:
    """Send the same request to another path first."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        ask_before(app, {**environ, "PATH_INFO": "/blue"})
        return app(move(environ), start_response)

    return middleware


def asking_something_else(app: WSGIApplication) -> WSGIApplication:
    """Send another request first and last, which is no preflight."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        other = {**environ, "PATH_INFO": "/blue", "REQUEST_METHOD": "DELETE"}
        ask_before(app, dict(other))
        body = app(move(environ), start_response)
        ask_before(app, dict(other))
        return body

    return middleware


def stacked(app: WSGIApplication) -> WSGIApplication:
    return generating(copying(buffering(rebuilding(app))))


def with_layer(layer: Layer, **options: Any) -> Flask:
    """An app that has *layer* between the extension and Flask, as a factory would add it."""
    app = Flask(__name__, static_folder=None, **options)
    app.wsgi_app = layer(app.wsgi_app)  # type: ignore[method-assign, assignment]
    Preflight(app, allow_origins=[PAGE])
    if options:
        add(app, "/x", "admin", "DELETE", host="public.example")
        add(app, "/x", "blue", "DELETE", host="private.example")
        return app
    add(app, "/x", "admin", "DELETE")
    add(app, "/blue", "blue", "DELETE")
    add(app, "/folder/", "blue", "DELETE")
    app.delete("/exempt", endpoint="exempt")(cors_exempt(lambda: "exempt"))
    return app


DELETE = "DELETE, OPTIONS"
MOUNTED: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("/budget/x", {}, {"admin": DELETE}),
    ("/budget/blue", {}, {"blue": DELETE}),
    ("/budget/folder", {}, {"blue": DELETE}),
    ("/budget/exempt", {}, {"exempt": DELETE}),
    ("/budget/missing", {}, {"app": "DELETE"}),
]
MOVED = [*MOUNTED, ("/x", {}, {"admin": DELETE}), ("/missing", {}, {"app": "DELETE"})]
BY_HEADER = [
    ("/budget/x", {"headers": {"X-Mount": "/budget"}}, {"admin": DELETE}),
    ("/budget/x", {}, {"app": "DELETE"}),
    ("/x", {"headers": {"X-Scheme": "https"}}, {"admin": DELETE}),
    ("/x", {"headers": {"X-Scheme": "ws"}}, {"app": "DELETE"}),
]

INSIDE = [
    pytest.param(prefix, MOVED, id="prefix"),
    pytest.param(reverse_proxied, BY_HEADER, id="ReverseProxied"),
    pytest.param(dispatcher, MOUNTED, id="DispatcherMiddleware"),
    pytest.param(dispatcher, [("/x", {}, {"admin": DELETE}), ("/no", {}, {"app": "DELETE"})], id="outside the mounts"),
    pytest.param(socket_server, [*MOVED, ("/socket.io/x", {}, {"app": "DELETE"})], id="Socket.IO"),
    pytest.param(guard, [("/x", {}, {"admin": DELETE}), ("/no", {}, {"app": "DELETE"})], id="guard"),
    pytest.param(raising, [("/x", {}, {"admin": DELETE}), ("/no", {}, {"app": "DELETE"})], id="raising"),
    pytest.param(
        raising_afterwards,
        [("/x", {}, {"admin": DELETE}), ("/budget/x", {}, {"app": "DELETE"})],
        id="raising afterwards",
    ),
    pytest.param(copying, MOVED, id="copying"),
    pytest.param(rebuilding, MOVED, id="rebuilding"),
    pytest.param(buffering, MOVED, id="buffering"),
    pytest.param(generating, MOVED, id="generator"),
    pytest.param(stacked, MOVED, id="stacked"),
    pytest.param(asking_twice, MOVED[:3], id="asking twice"),
    pytest.param(asking_something_else, MOVED[:3], id="asking something else"),
]


@pytest.mark.parametrize(("layer", "asks"), INSIDE)
def test_preflights_are_judged_by_the_environ_that_flask_gets(
    layer: Layer, asks: list[tuple[str, dict[str, Any], dict[str, str]]]
) -> None:
    app = with_layer(layer)
    for path, rest, expected in [*asks, *reversed(asks)]:
        assert judges(app, "DELETE", path, **rest) == expected


@pytest.mark.parametrize(
    "layer", [prefix, copying, rebuilding, buffering, generating, dispatcher], ids=lambda layer: layer.__name__
)
def test_answers_have_the_policy_of_the_view_that_flask_has_reached(layer: Layer) -> None:
    app = with_layer(layer)
    for path, expected in [("/budget/x", "admin"), ("/budget/blue", "blue"), ("/budget/folder", "blue")] * 2:
        assert readers(app, "DELETE", path) == [expected]
    assert readers(app, "DELETE", "/budget/missing") == ["app"]
    assert send(app, "DELETE", "/budget/exempt", headers={"Origin": PAGE}) == Answer(200, {}, "exempt")


@pytest.mark.parametrize("place", ["inside", "outside"])
def test_proxy_fix_may_stand_on_either_side(place: str) -> None:
    app = with_layer(proxy_fix if place == "inside" else lambda app: app, host_matching=True)
    if place == "outside":
        app.wsgi_app = proxy_fix(app.wsgi_app)  # type: ignore[method-assign, assignment]
    public, private = (forwarded(host=f"{name}.example") for name in ("public", "private"))
    for _ in range(2):
        assert judges(app, "DELETE", **public) == {"admin": DELETE}
        assert judges(app, "DELETE", **private) == {"blue": DELETE}
        assert judges(app, "DELETE", **host("private.example")) == {"blue": DELETE}
        assert judges(app, "DELETE", **host("localhost")) == {"app": "DELETE"}
        assert readers(app, "DELETE", **public) == ["admin"]


@pytest.mark.parametrize("layer", [raising, raising_afterwards], ids=lambda layer: layer.__name__)
def test_a_middleware_that_raises_is_logged(layer: Layer, caplog: pytest.LogCaptureFixture) -> None:
    assert preflight(with_layer(layer), "DELETE", "/x", ADMIN) == granted("admin", DELETE)
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.name == "flask_preflight"
    assert "broken middleware" in record.getMessage() or (record.exc_info and record.exc_info[1] is not None)


class Counted:
    """A middleware that counts its calls, what is read of its bodies, and what is closed."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app
        self.calls: list[str] = []
        self.read = self.closed = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.calls.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        return CountedBody(self, self.app(environ, start_response))


class CountedBody:
    def __init__(self, counted: Counted, body: Iterable[bytes]) -> None:
        self.counted, self.body = counted, body

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.body:
            self.counted.read += 1
            yield chunk

    def close(self) -> None:
        self.counted.closed += 1
        getattr(self.body, "close", lambda: None)()


LAYERS: dict[str, Layer] = {
    "no middleware": lambda app: app,
    **{each.__name__: each for each in (prefix, copying, rebuilding, buffering, generating, stacked, dispatcher)},
}


def counted_app(layer: Layer) -> tuple[Flask, Counted]:
    made: list[Counted] = []

    def both(app: WSGIApplication) -> WSGIApplication:
        made.append(Counted(app))
        return layer(made[0])

    return with_layer(both), made[0]


@pytest.mark.parametrize("layer", [*LAYERS.values()], ids=[*LAYERS])
@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        pytest.param("/x", ADMIN, 204, id="granted"),
        pytest.param("/x", PAGE, 403, id="refused"),
        pytest.param("/folder", BLUE, 204, id="redirect"),
        pytest.param("/missing", PAGE, 204, id="no route"),
        pytest.param("/exempt", PAGE, 200, id="exempt"),
    ],
)
def test_a_middleware_sees_each_preflight_once_and_its_body_is_closed(
    layer: Layer, path: str, origin: str, status: int
) -> None:
    app, counted = counted_app(layer)
    assert preflight(app, "DELETE", f"/budget{path}" if layer is dispatcher else path, origin).status == status
    assert counted.calls == [f"OPTIONS {path}"]
    assert counted.closed == 1


@pytest.mark.parametrize("origin", [ADMIN, PAGE], ids=["granted", "refused"])
def test_nothing_is_read_of_a_response_that_is_not_sent(origin: str) -> None:
    app, counted = counted_app(lambda app: app)
    preflight(app, "DELETE", "/x", origin)
    assert (counted.calls, counted.read, counted.closed) == (["OPTIONS /x"], 0, 1)


def test_what_a_middleware_adds_goes_out_for_exempt_views_only() -> None:
    def naming(app: WSGIApplication) -> WSGIApplication:
        def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                return start_response(status, [*headers, ("Access-Control-Allow-Private", "middleware")], *rest)

            return app(environ, start)

        return middleware

    app = with_layer(naming)
    assert preflight(app, "DELETE", "/x", ADMIN) == granted("admin", DELETE)
    own = {"Access-Control-Allow-Private": "middleware", "Allow": DELETE}
    assert preflight(app, "DELETE", "/exempt", PAGE) == Answer(200, own, "")


class Watching(SecureCookieSessionInterface):
    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def open_session(self, app: Flask, request: Request) -> Any:
        self.seen.append("session")
        return super().open_session(app, request)


SIGNALS = [
    "appcontext_popped",
    "appcontext_pushed",
    "appcontext_tearing_down",
    "got_request_exception",
    "request_finished",
    "request_started",
    "request_tearing_down",
]


def watch(app: Flask) -> tuple[list[str], list[Any]]:
    """Everything of *app* that runs writes its name into the first list. The second keeps the receivers alive."""
    seen: list[str] = []
    receivers = []

    def note(name: str, result: Any = None) -> Callable[..., Any]:
        def function(*args: Any, **_: Any) -> Any:
            seen.append(name)
            return result if args == () else args[0] if isinstance(args[0], Response) else result

        return function

    app.session_interface = Watching(seen)
    app.before_request(note("before_request"))
    app.after_request(note("after_request"))
    app.teardown_request(note("teardown_request"))
    app.teardown_appcontext(note("teardown_appcontext"))
    app.url_value_preprocessor(note("url_value_preprocessor"))
    app.register_error_handler(404, note("errorhandler", ("", 404)))
    app.register_error_handler(405, note("errorhandler", ("", 405)))
    app.delete("/watched", endpoint="watched")(MARKS["admin"](note("view", "")))
    app.route("/own", endpoint="own", methods=["DELETE", "OPTIONS"])(cors_exempt(note("view", "")))
    for name in SIGNALS:
        receivers.append(note(name))
        getattr(flask, name).connect(receivers[-1], app)
    return seen, receivers


@pytest.mark.parametrize("layer", [*LAYERS.values()], ids=[*LAYERS])
@pytest.mark.parametrize(
    ("method", "path", "origin", "status"),
    [
        pytest.param("DELETE", "/watched", ADMIN, 204, id="granted"),
        pytest.param("DELETE", "/watched", PAGE, 403, id="refused"),
        pytest.param("PATCH", "/watched", ADMIN, 403, id="no method"),
        pytest.param("DELETE", "/missing", PAGE, 204, id="no route"),
        pytest.param("DELETE", "/folder", BLUE, 204, id="redirect"),
    ],
)
def test_nothing_of_the_app_runs_for_a_preflight(
    layer: Layer, method: str, path: str, origin: str, status: int
) -> None:
    app = with_layer(layer)
    seen, receivers = watch(app)
    for _ in range(2):
        assert preflight(app, method, f"/budget{path}" if layer is dispatcher else path, origin).status == status
    assert seen == []
    assert len(receivers) == len(SIGNALS)


@pytest.mark.parametrize("layer", [*LAYERS.values()], ids=[*LAYERS])
def test_exempt_views_get_the_preflight_once_with_all_that_belongs_to_a_request(layer: Layer) -> None:
    app = with_layer(layer)
    seen, receivers = watch(app)
    path = "/budget/own" if layer is dispatcher else "/own"
    assert preflight(app, "DELETE", path, PAGE).status == 200
    hooks = ["after_request", "before_request", "session", "teardown_appcontext", "teardown_request"]
    signals = [name for name in SIGNALS if name != "got_request_exception"]
    assert sorted(seen) == sorted([*hooks, *signals, "url_value_preprocessor", "view"])
    assert len(receivers) == len(SIGNALS)
