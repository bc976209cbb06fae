"""Which methods a preflight is granted: those of the rule, with an equal policy, that ``allow_methods`` permits."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.views import MethodView
from numbered_views import new_app, view
from pages import PAGE, REFUSED, Answer, granted, preflight, readable, send
from werkzeug.routing import IntegerConverter, Rule

from flask_preflight import Preflight, cors_exempt, cors_route
from flask_preflight.browser import Browser, CORSError

# PEP 3333 allows any method, but the checker in `wsgiref.validate` warns of unknown ones.
pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")


@pytest.mark.parametrize(
    ("allow_methods", "requested", "methods"),
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
def test_only_what_is_routed_and_allowed_is_granted(allow_methods: Any, requested: str, methods: str) -> None:
    app = new_app()
    app.route("/", methods=["GET", "PUT", "DELETE"])(cors_route(allow_methods=allow_methods)(lambda: ""))
    assert preflight(app, requested, "/") == (granted(methods) if methods else REFUSED)


@pytest.mark.parametrize(
    ("allow_methods", "expected"),
    [
        pytest.param(None, granted("PUT"), id="the requested one"),
        pytest.param(["PUT", "POST"], granted("POST, PUT"), id="a list"),
        pytest.param("*", granted("*"), id="a star"),
        pytest.param(["POST"], REFUSED, id="not in the list"),
    ],
)
def test_a_url_without_route_has_the_app_wide_methods(allow_methods: Any, expected: Answer) -> None:
    app = Flask(__name__)
    Preflight(app, allow_origins=[PAGE], allow_methods=allow_methods)
    assert preflight(app, "PUT", "/missing") == expected


@pytest.mark.parametrize("requested", ["put", "Put", "", "*", "P UT", "TRACE", "P" * 65])
def test_methods_are_compared_with_their_case_and_bad_ones_refused(requested: str) -> None:
    app = new_app()
    app.put("/")(view(1))
    assert preflight(app, requested, "/") == REFUSED
    assert preflight(app, requested, "/missing") == (granted(requested) if requested.upper() == "PUT" else REFUSED)


def test_flask_converts_methods_to_upper_case_and_so_does_the_choice_of_the_policy() -> None:
    app = new_app()
    app.put("/folder/")(view(1))
    assert send(app, "pUt", "/folder") == send(app, "PUT", "/folder")


def test_head_in_another_case_has_the_policy_of_get() -> None:
    class Data(MethodView):
        @cors_route(expose_headers=["X-Get"])
        def get(self) -> str:
            return ""

    class Exempt(MethodView):
        @cors_exempt
        def get(self) -> str:
            return ""

    app = new_app()
    app.add_url_rule("/folder/", view_func=Data.as_view("data"))
    app.add_url_rule("/exempt/", view_func=Exempt.as_view("exempt"))
    for path, status in (("/folder/", 200), ("/folder", 308)):
        assert send(app, "hEAD", path)[:2] == (status, readable(expose="X-Get"))
        assert preflight(app, "hEAD", path) == REFUSED
    assert send(app, "hEAD", "/exempt/") == preflight(app, "hEAD", "/exempt/") == Answer(200, {}, "")


def test_a_rule_names_only_methods_whose_views_have_an_equal_policy() -> None:
    """The policies need not come from the same mark."""

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


def test_a_rule_does_not_name_methods_that_an_earlier_rule_of_the_url_handles() -> None:
    app = new_app()
    app.route("/x", methods=["PUT", "DELETE"])(view(1))
    app.route("/x", methods=["PATCH", "PUT"])(view(2))
    assert preflight(app, "PUT", "/x") == granted("DELETE, OPTIONS, PUT", max_age="1")
    assert preflight(app, "PATCH", "/x") == granted("OPTIONS, PATCH", max_age="2")


def test_a_cached_preflight_lets_no_method_of_another_rule_through() -> None:
    """Browsers cache the methods of an answer for the whole URL. Only the admin's pages may send PUT to this one."""
    admin = "https://admin.com"
    app = new_app(protected=False)
    app.route("/items/<name>", methods=["GET", "PUT"])(lambda name: "item")
    app.put("/items/special", endpoint="special")(cors_route(allow_origins=[admin])(lambda: "special"))
    Preflight(app, allow_origins=[PAGE], allow_headers=["X-A"])
    browser = Browser(app, PAGE)
    for path, may_put in (("/items/other", True), ("/items/special", False)):
        url = f"https://backend.com{path}"
        assert browser.fetch(url, headers={"X-A": "1"}).data == b"item"  # its preflight is cached now
        if may_put:
            assert browser.fetch(url, "PUT").data == b"item"
        else:
            with pytest.raises(CORSError):
                browser.fetch(url, "PUT")
    assert [(each.method, each.url.rpartition("/")[2]) for each in browser.exchanges] == [
        ("OPTIONS", "other"),
        ("GET", "other"),
        ("PUT", "other"),
        ("OPTIONS", "special"),
        ("GET", "special"),
        ("OPTIONS", "special"),
    ]
    assert Browser(app, admin).fetch("https://backend.com/items/special", "PUT").data == b"special"


class Failing(IntegerConverter):
    def to_python(self, value: str) -> int:
        raise LookupError(value)


@pytest.mark.parametrize("allow_methods", [None, "*", ["DELETE", "GET", "PATCH", "PUT"]], ids=str)
def test_a_method_whose_rule_cannot_be_found_is_not_named(allow_methods: Any) -> None:
    app = new_app(protected=False)
    app.url_map.converters["failing"] = Failing
    app.route("/<x>", methods=["GET", "PUT", "DELETE", "PATCH"])(lambda x: "")
    app.put("/<failing:x>", endpoint="put")(lambda x: "")
    app.add_url_rule("/<int:x>", "away", methods=["DELETE"], redirect_to="/elsewhere")
    Preflight(app, allow_origins=[PAGE], allow_methods=allow_methods)
    assert preflight(app, "GET", "/1") == granted("GET, HEAD, PATCH")


def test_a_rule_for_any_method_names_only_the_requested_one() -> None:
    app = new_app()
    app.url_map.add(Rule("/any", endpoint="any"))
    app.view_functions["any"] = view(1)
    for method in ("PUT", "GET", "MADE-UP"):
        assert preflight(app, method, "/any") == granted(method, max_age="1")
    assert preflight(app, "patch", "/any") == REFUSED  # Flask would call it PATCH, which it is not


def test_an_override_of_allow_methods_by_a_view_is_limited_to_its_rule() -> None:
    app = Flask(__name__)
    Preflight(app, allow_origins=[PAGE], allow_methods=["PUT"])
    app.route("/", methods=["GET", "PUT", "DELETE"])(cors_route(allow_methods=[..., "DELETE", "PATCH"])(lambda: ""))
    assert preflight(app, "PUT", "/") == preflight(app, "DELETE", "/") == granted("DELETE, PUT")
    assert preflight(app, "PATCH", "/") == REFUSED
    assert preflight(app, "GET", "/") == REFUSED


def test_options_is_not_named_where_a_view_of_another_policy_handles_it() -> None:
    """A browser caches the methods that are named, so the page would reach that view without a preflight of its own."""
    app = new_app()
    app.route("/x", methods=["OPTIONS"], endpoint="options", provide_automatic_options=False)(view(2))
    app.put("/x", endpoint="put")(view(1))
    assert preflight(app, "PUT", "/x") == granted("PUT", max_age="1")
    assert preflight(app, "OPTIONS", "/x") == granted("OPTIONS", max_age="2")


def test_options_is_named_where_flask_answers_it_itself() -> None:
    app = new_app()
    app.get("/x", endpoint="get")(view(2))  # comes first, and has Flask's own handler
    app.put("/x", endpoint="put")(view(1))
    assert preflight(app, "PUT", "/x") == granted("OPTIONS, PUT", max_age="1")


def test_a_method_with_a_bad_policy_is_not_named_by_the_others() -> None:
    app = new_app()
    preflight(app, "PUT", "/missing")  # the first request checks all policies, so the view comes later

    class Data(MethodView):
        @cors_route(allow_credentials=True, allow_origins="*")
        def delete(self) -> str:
            return ""

        def patch(self) -> str:
            return ""

        def put(self) -> str:
            return ""

    app.url_map.add(Rule("/x", endpoint="x", methods=["DELETE", "PATCH", "PUT"]))
    app.view_functions["x"] = Data.as_view("x")
    assert preflight(app, "DELETE", "/x") == REFUSED
    assert preflight(app, "PATCH", "/x") == preflight(app, "PUT", "/x") == granted("PATCH, PUT")
