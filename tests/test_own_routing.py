"""Routing that the app's own code takes part in or changes: each preflight is routed anew, as Flask does it then."""

from __future__ import annotations

import gc
import inspect
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from flask import Flask, Request, abort
from numbered_views import APP_WIDE, Row, at, check, new_app, numbered, view
from pages import PAGE, REFUSED, VARY_PREFLIGHT, Answer, granted, preflight, readable, send
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter, Map, MapAdapter, Rule, Submount, ValidationError
from werkzeug.test import create_environ, run_wsgi_app

from flask_preflight import Preflight, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

HERE = Path(__file__)


# ---------------------------------------------------------------------------------------
# Converters, redirects, adapters and request classes of the app
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
    ids=lambda row: row.request,
)
def test_the_converters_of_the_app_count(row: Row) -> None:
    check(with_converter(), row)


@pytest.mark.parametrize(
    ("path", "error", "function"),
    [
        pytest.param("/broken", "LookupError: no\\nsuch row", Picky.to_python, id="converter"),
        pytest.param("/away/x", "ZeroDivisionError: division by zero", with_converter, id="redirect_to"),
    ],
)
def test_routing_that_fails_refuses_the_preflight_and_is_logged_with_its_place(
    path: str, error: str, function: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    app = with_converter()
    assert preflight(app, "PUT", path) == REFUSED
    [record] = caplog.records
    assert (record.name, record.levelno) == ("flask_preflight", logging.ERROR)
    message = re.fullmatch(
        r"The app's own routing failed for a preflight, which is refused, at (.+):(\d+): '(.+)'", record.getMessage()
    )
    assert message is not None
    assert (message[1], message[3]) == (str(HERE), error)
    lines, first = inspect.getsourcelines(function)
    assert first <= int(message[2]) < first + len(lines)
    assert record.exc_info is not None
    assert send(app, "PUT", path)[:2] == (500, readable())


class Forbidding(BaseConverter):
    """Says itself which methods there are, and may name the requested one."""

    def to_python(self, value: str) -> str:
        raise MethodNotAllowed(valid_methods=value.split(",") if value != "none" else None)


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # of the checker in `wsgiref.validate`
@pytest.mark.parametrize(
    ("valid", "others"),
    [
        pytest.param("PUT", "", id="the requested one"),
        pytest.param("PUT,GET,HEAD", ", only for GET, HEAD", id="the requested one beside others"),
        pytest.param("GET", ", only for GET", id="another one"),
        pytest.param("none", "", id="not said"),
    ],
)
def test_a_converter_that_allows_no_method_refuses_whatever_it_names(valid: str, others: str) -> None:
    app = new_app()
    app.url_map.converters["forbidding"] = Forbidding
    app.put("/<forbidding:x>")(view(1))
    for requested in ("PUT", "put"):  # Flask takes them for the same
        app.debug = False
        assert preflight(app, requested, f"/{valid}") == REFUSED
        assert send(app, requested, f"/{valid}")[:2] == (405, readable())
        app.debug = True
        why = f"This URL has no route for the method '{requested}'{others}. To handle it, let its route allow it."
        assert preflight(app, requested, f"/{valid}").cors["CORS-Refused"] == f"method-not-routed; {why}"


@pytest.mark.parametrize("debug", [False, True], ids=["production", "debug"])
@pytest.mark.parametrize("method", ["PUT", "put"])
@pytest.mark.parametrize("valid", ["put", "Put", "P\r\nX-Forged: yes", "*", "TRACE", "\xe9", "P" * 65, ""], ids=ascii)
def test_a_converter_makes_no_method_of_what_a_stranger_has_sent(valid: str, method: str, debug: bool) -> None:
    app = new_app()
    app.debug = debug
    app.url_map.converters["forbidding"] = Forbidding
    app.put("/<forbidding:x>")(view(1))
    answer = preflight(app, method, f"/{quote(valid)},GET")
    assert answer == preflight(app, method, "/GET")
    assert "Access-Control-Allow-Methods" not in answer.cors
    assert (answer == REFUSED) == (not debug)


@pytest.mark.parametrize("method", ["GET", "PATCH", "put"])
def test_the_rule_of_a_converter_that_allows_no_method_is_looked_up_once(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It raises for every method, so asking again for one that it names would never end."""
    caplog.set_level(logging.INFO, logger="flask_preflight")
    asked: list[str] = []

    class Counting(Forbidding):
        def to_python(self, value: str) -> str:
            asked.append(value)
            return super().to_python(value)

    app = new_app()
    app.url_map.converters["counting"] = Counting
    app.put("/<counting:x>")(view(1))
    assert preflight(app, method, "/PUT,DELETE") == REFUSED
    assert len(asked) <= 9
    [record] = caplog.records
    assert (vars(record)["cors_reason"], vars(record)["cors_rule"]) == ("method-not-routed", "no route")


def forbidding(app: Flask) -> None:
    app.url_map.converters["forbidding"] = Forbidding
    app.put("/<forbidding:x>")(view(1))


def redirecting_to_other_methods(app: Flask) -> None:
    app.url_map.add(Rule("/PUT", endpoint="hop", methods=["GET"], redirect_to="/target"))
    app.url_map.add(Rule("/target", endpoint="target", methods=["PUT"]))


@pytest.mark.parametrize("prepare", [forbidding, redirecting_to_other_methods])
def test_the_rule_for_the_log_is_looked_up_twice_at_most(
    prepare: Callable[[Flask], None], caplog: pytest.LogCaptureFixture
) -> None:
    """For the method that is asked for, and for the first that the URL has, although that one leads nowhere either."""
    caplog.set_level(logging.INFO, "flask_preflight")
    app = new_app()
    prepare(app)
    create_url_adapter, calls = app.create_url_adapter, list[object]()
    vars(app)["create_url_adapter"] = lambda request: calls.append(request) or create_url_adapter(request)  # type: ignore[func-returns-value]
    assert preflight(app, "DELETE", "/PUT") == REFUSED
    assert len(calls) == 3  # and for the answer
    [message] = caplog.messages
    assert "'DELETE' no route" in message


def test_bad_methods_are_refused_before_routing(caplog: pytest.LogCaptureFixture) -> None:
    for method in ("", "*", "P UT", "TRACE", "P" * 65):
        assert preflight(with_converter(), method, "/broken") == REFUSED
    assert caplog.records == []


def test_failed_routing_is_explained_in_debug_mode() -> None:
    app = with_converter()
    app.debug = True
    why = "A converter or redirect of the app's own failed for this URL: 'ZeroDivisionError: division by zero'."
    expected = Answer(403, {**VARY_PREFLIGHT, "CORS-Refused": f"routing-failed; {why}"}, f"{why}\n")
    assert preflight(app, "PUT", "/away/x") == expected


def test_an_overridden_create_url_adapter_counts() -> None:
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


def test_a_redirect_to_an_invalid_url_reaches_no_route() -> None:
    """Older versions of Werkzeug make such URLs from the Host header."""

    class Odd(Flask):
        def create_url_adapter(self, request: Any) -> MapAdapter:
            return self.url_map.bind("[broken", path_info="/folder")

    app = Odd(__name__)
    Preflight(app, allow_origins=[PAGE])
    app.put("/folder/")(view(1))
    assert preflight(app, "PUT", "/") == granted("PUT")


def test_a_request_class_that_fails_refuses_the_preflight() -> None:
    class Failing(Request):
        def __init__(self, *args: Any, **options: Any) -> None:
            raise ValueError("no")

    app = new_app()
    app.put("/x")(view(1))
    app.request_class = Failing
    assert preflight(app, "PUT", "/x") == REFUSED


# ---------------------------------------------------------------------------------------
# Routing whose result differs from one request to the next
# ---------------------------------------------------------------------------------------


class Fickle(BaseConverter):
    """A converter that refuses every third value: a preflight that is granted is matched for PUT and for OPTIONS."""

    calls = 0

    def to_python(self, value: str) -> str:
        Fickle.calls += 1
        if Fickle.calls % 3:
            return value
        raise ValidationError


def fickle_converter(app: Flask) -> None:
    Fickle.calls = 0
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

    Fickle.calls = 0
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
def test_routing_is_asked_for_each_preflight(prepare: Callable[[Flask], None]) -> None:
    app = new_app()
    prepare(app)
    one, other, *rest = (preflight(app, "PUT", "/x") for _ in range(6))
    assert one != other
    assert rest == [one, other] * 2


def test_the_scheme_decides_which_host_it_is() -> None:
    app = new_app(host_matching=True, static_host="a.com")
    app.add_url_rule("/x", view_func=view(1), methods=["PUT"], host="a.com")
    app.add_url_rule("/x", view_func=view(2), methods=["PUT"], host="a.com:80")
    for scheme, age in (("http", "1"), ("https", "2"), ("http", "1")):
        overrides = {"HTTP_HOST": "a.com:80", "wsgi.url_scheme": scheme}
        assert preflight(app, "PUT", "/x", environ_overrides=overrides) == granted("OPTIONS, PUT", max_age=age)


# ---------------------------------------------------------------------------------------
# Apps that change after the first request
# ---------------------------------------------------------------------------------------


def test_a_route_that_is_added_while_another_is_matched_counts_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    app = new_app()
    app.put("/<x>")(view(1))
    assert preflight(app, "PUT", "/else") == granted("OPTIONS, PUT", max_age="1")
    match = MapAdapter.match

    def slowly(adapter: MapAdapter, *args: Any, **options: Any) -> Any:
        matched = match(adapter, *args, **options)
        if "late" not in app.view_functions:
            app.put("/late", endpoint="late")(view(2))
            preflight(app, "PUT", "/else")
        return matched

    monkeypatch.setattr(MapAdapter, "match", slowly)
    assert preflight(app, "PUT", "/late") == granted("OPTIONS, PUT", max_age="1")
    assert preflight(app, "PUT", "/late") == granted("OPTIONS, PUT", max_age="2")


def test_another_url_map_counts() -> None:
    app = new_app()
    app.url_map = Map([Rule("/<x>", endpoint="x", methods=["PUT"])])
    app.view_functions["x"] = view(1)
    for _ in range(2):
        assert preflight(app, "PUT", "/x") == granted("OPTIONS, PUT", max_age="1")
    app.url_map.add(Rule("/x", endpoint="late", methods=["PUT"]))
    app.view_functions["late"] = view(2)
    assert preflight(app, "PUT", "/x") == granted("PUT", max_age="2")


def test_another_url_map_after_the_first_preflights_counts() -> None:
    app = new_app()
    app.put("/x")(view(1))
    for _ in range(2):
        assert preflight(app, "PUT", "/x") == granted("OPTIONS, PUT", max_age="1")
    app.url_map = Map([Rule("/x", endpoint="late", methods=["PUT"])])
    app.view_functions["late"] = view(2)
    assert preflight(app, "PUT", "/x") == granted("PUT", max_age="2")


def test_routes_that_a_failing_rule_factory_adds_count() -> None:
    app = new_app()
    app.put("/<x>")(view(1))
    for _ in range(2):
        assert preflight(app, "PUT", "/late") == granted("OPTIONS, PUT", max_age="1")
    app.view_functions["late"] = view(2)
    rules = [Rule("/late", endpoint="late", methods=["PUT"]), Rule("/<missing:x>", endpoint="missing")]
    with pytest.raises(LookupError):
        app.url_map.add(Submount("", rules))
    assert preflight(app, "PUT", "/late") == granted("PUT", max_age="2")


@pytest.mark.parametrize(("key", "max_age"), [("HTTP_HOST", "2"), ("PATH_INFO", "1")])
def test_servers_may_leave_out_the_host_or_the_path(key: str, max_age: str) -> None:
    app = new_app()
    app.put("/")(view(1))
    app.put("/x")(view(2))
    for _ in range(2):
        environ = create_environ("/x", method="OPTIONS")
        environ |= {"HTTP_ORIGIN": PAGE, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
        del environ[key]
        _, status, headers = run_wsgi_app(app, environ)
        assert (status, headers["Access-Control-Max-Age"]) == ("204 No Content", max_age)


TENANT = "https://tenant.example"


@pytest.mark.parametrize("first", [True, False], ids=["from the first request on", "after a request"])
def test_a_view_set_after_its_rule_has_its_own_policy(first: bool) -> None:
    app = new_app()
    app.add_url_rule("/r", endpoint="r", methods=["PUT"])
    if not first:
        assert preflight(app, "PUT", "/r") == granted("OPTIONS, PUT")
    app.view_functions["r"] = cors_route(allow_origins=[TENANT])(lambda: "r")
    methods = "OPTIONS, PUT"
    for _ in range(2):
        assert preflight(app, "PUT", "/r") == REFUSED
        assert send(app, "PUT", "/r").cors == {"Vary": "Origin"}
        answer = preflight(app, "PUT", "/r", origin=TENANT)
        assert answer.cors == granted(methods).cors | {"Access-Control-Allow-Origin": TENANT}


def test_a_view_that_is_replaced_has_the_new_policy() -> None:
    app = new_app()
    app.put("/x", endpoint="x")(view(1))
    check(app, Row("PUT /x", 1, "OPTIONS, PUT"))
    app.view_functions["x"] = view(2)
    check(app, Row("PUT /x", 2, "OPTIONS, PUT"))
    app.view_functions["x"] = lambda: ""
    check(app, Row("PUT /x", APP_WIDE, "OPTIONS, PUT"))


def test_a_view_that_is_marked_later_has_the_new_policy() -> None:
    def later() -> str:
        return "1"

    app = new_app()
    app.put("/x")(later)
    check(app, Row("PUT /x", APP_WIDE, "OPTIONS, PUT"))
    numbered(1)(later)
    check(app, Row("PUT /x", 1, "OPTIONS, PUT"))


def test_a_method_that_is_taken_out_of_a_rule_is_refused() -> None:
    app = new_app()
    app.route("/x", methods=["PUT", "DELETE"])(view(1))
    check(app, Row("PUT /x", 1, "DELETE, OPTIONS, PUT"))
    [rule] = app.url_map.iter_rules()
    assert rule.methods is not None
    rule.methods.discard("PUT")
    check(app, Row("DELETE /x", 1, "DELETE, OPTIONS"))
    check(app, Row("PUT /x", APP_WIDE, "", 405))


@pytest.mark.skipif("TRUSTED_HOSTS" not in Flask.default_config, reason="Flask 3.0 always matches subdomains")
def test_settings_of_the_routing_count_when_they_change() -> None:
    app = new_app(subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.com"
    app.put("/x")(view(1))
    app.put("/x", subdomain="api", endpoint="api")(view(2))
    api = at("http://api.example.com")
    check(app, Row("PUT /x", 2, "OPTIONS, PUT", rest=api))
    app.subdomain_matching = False
    check(app, Row("PUT /x", 1, "OPTIONS, PUT", rest=api))
    app.subdomain_matching = True
    check(app, Row("PUT /x", 2, "OPTIONS, PUT", rest=api))


def test_a_create_url_adapter_that_is_overridden_later_counts() -> None:
    app = new_app()
    app.put("/one")(view(1))
    app.put("/two")(view(2))
    check(app, Row("PUT /one", 1, "OPTIONS, PUT"))
    vars(app)["create_url_adapter"] = lambda request: app.url_map.bind("a.com", path_info="/two", default_method="PUT")
    check(app, Row("PUT /one", 2, "OPTIONS, PUT"))


def test_apps_that_share_a_url_map_have_their_own_policies() -> None:
    one, two = new_app(), new_app()
    one.put("/x", endpoint="x")(view(1))
    two.url_map = one.url_map
    two.view_functions["x"] = view(2)
    for _ in range(2):
        check(one, Row("PUT /x", 1, "OPTIONS, PUT"))
        check(two, Row("PUT /x", 2, "OPTIONS, PUT"))


def test_a_converter_that_reconfigures_the_app_does_not_block() -> None:
    """As a signal handler does that interrupts the routing."""
    app = Flask(__name__)
    extension = Preflight(app, allow_origins=[PAGE])
    seconds = iter(range(1, 9))

    class Reconfiguring(BaseConverter):
        def to_python(self, value: str) -> str:
            extension.reconfigure(app, max_age=next(seconds))
            return value

    app.url_map.converters["reconfiguring"] = Reconfiguring
    app.put("/<reconfiguring:x>")(cors_route(lambda x: x))
    answers = [preflight(app, "PUT", "/x").cors["Access-Control-Max-Age"] for _ in range(3)]
    assert answers == ["600", "2", "4"]  # matched for PUT and for OPTIONS


class Apart(Request):
    """A request object that does not put itself into the environ."""

    def __init__(self, environ: WSGIEnvironment, *_: Any, **options: Any) -> None:
        super().__init__(environ, populate_request=False)


def fails(_: object) -> None:
    raise ValueError


@pytest.mark.parametrize("has_request", [False, True], ids=["new", "with a request object"])
@pytest.mark.parametrize(
    ("overrides", "status"),
    [
        pytest.param({}, "204 No Content", id="routed"),
        pytest.param({"request_class": Apart}, "204 No Content", id="routed apart"),
        pytest.param({"create_url_adapter": fails}, "403 Forbidden", id="routing fails"),
    ],
)
def test_a_preflight_leaves_the_environ_as_it_was(overrides: dict[str, Any], status: str, has_request: bool) -> None:
    """A request object puts itself into the environ: a cycle that only the garbage collector frees."""
    app = new_app()
    app.put("/x")(view(1))
    vars(app).update(overrides)
    environ = create_environ("/x", method="OPTIONS")
    environ |= {"HTTP_ORIGIN": PAGE, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT"}
    if has_request:
        environ["werkzeug.request"] = Request({**environ})
    before = {**environ}
    statuses: list[str] = []
    app(environ, lambda status, *_: statuses.append(status) or bytes)  # type: ignore[func-returns-value]
    assert statuses == [status]
    assert environ.keys() == before.keys()
    assert all(environ[key] is value for key, value in before.items())


@pytest.mark.slow
def test_a_preflight_leaves_nothing_behind_but_its_answer() -> None:
    """No result of routing is kept, so the memory does not grow with what strangers send."""
    app = new_app()
    app.put("/<x>")(view(1))

    def send_preflights(count: int) -> None:
        for number in range(count):
            environ = create_environ(f"/{number}", f"http://{number}.com", method="OPTIONS")
            environ |= {
                "HTTP_ORIGIN": PAGE,
                "HTTP_ACCESS_CONTROL_REQUEST_METHOD": f"M{number}" if number % 2 else "PUT",
            }
            environ["HTTP_ACCESS_CONTROL_REQUEST_HEADERS"] = f"x-{number}" if number % 3 else ""
            run_wsgi_app(app, environ)

    send_preflights(200)
    gc.collect()
    before = len(gc.get_objects())
    send_preflights(1000)
    gc.collect()
    assert len(gc.get_objects()) - before < 200
