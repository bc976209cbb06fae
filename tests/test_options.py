"""OPTIONS requests: which URLs handle them, what plain ones are answered, and what preflights come before."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Response
from flask.views import MethodView
from numbered_views import APP_WIDE, new_app, numbered, view
from pages import PAGE, REFUSED, Answer, granted, preflight, readable, send
from werkzeug.routing import IntegerConverter, Rule

from flask_preflight import Preflight, cors_exempt, cors_route


def index() -> str:
    return "here"


def protected() -> Flask:
    app = new_app()
    app.route("/", methods=["GET", "PUT"])(index)
    return app


def plain_options(app: Flask, path: str) -> tuple[int, str | None, str]:
    answer = app.test_client().options(path)
    allow = answer.headers.get("Allow")
    return answer.status_code, allow and ", ".join(sorted(allow.split(", "))), answer.get_data(as_text=True)


def no_automatic_options() -> Flask:
    """An app whose rules do not handle OPTIONS: by the configuration, or in older versions of Flask one by one."""
    app = Flask(__name__, static_folder=None)
    if "PROVIDE_AUTOMATIC_OPTIONS" in app.default_config:
        app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    else:
        add_url_rule: Any = app.add_url_rule
        vars(app)["add_url_rule"] = lambda *args, **options: add_url_rule(
            *args, **{"provide_automatic_options": False, **options}
        )
    return app


@pytest.mark.parametrize("how", ["first request", "verify"])
def test_urls_of_marked_views_handle_options(how: str) -> None:
    class Data(MethodView):
        def get(self) -> str:
            return ""

        @cors_route
        def put(self) -> str:
            return ""

    app = no_automatic_options()
    app.put("/marked", endpoint="marked")(cors_route(lambda: ""))
    app.get("/marked")(index)
    app.put("/unmarked", endpoint="unmarked")(index)
    app.put("/exempt", endpoint="exempt")(cors_exempt(lambda: ""))
    app.add_url_rule("/class", view_func=Data.as_view("class"))
    app.add_url_rule("/<one>/<int:two>", "named", cors_route(lambda one, two: ""), methods=["PUT"])
    app.add_url_rule("/socket", "socket", cors_route(lambda: ""), websocket=True)
    preflight_ = Preflight(app, allow_origins=[PAGE])
    if how == "verify":
        preflight_.verify(app)
    else:
        app.test_client().get("/")
    handled = {str(rule.endpoint) for rule in app.url_map.iter_rules() if "OPTIONS" in (rule.methods or ())}
    assert handled == {"marked", "class", "named"}
    assert plain_options(app, "/unmarked")[0] == 405
    assert plain_options(app, "/marked") == (200, "GET, HEAD, OPTIONS, PUT", "")
    assert plain_options(app, "/class") == (200, "GET, HEAD, OPTIONS, PUT", "")
    assert plain_options(app, "/a/1") == (200, "OPTIONS, PUT", "")
    assert plain_options(app, "/exempt")[0] == 405
    assert plain_options(app, "/socket")[0] == 405
    for path in ("/marked", "/class", "/a/1"):
        assert preflight(app, "PUT", path).status == 204


def test_verify_alone_adds_the_handlers() -> None:
    app = no_automatic_options()
    app.put("/marked")(cors_route(lambda: ""))
    preflight_ = Preflight(app)
    [rule] = app.url_map.iter_rules()
    assert rule.methods == {"PUT"}
    for _ in range(2):
        preflight_.verify(app)
        assert rule.methods == {"PUT", "OPTIONS"}


def test_all_marked_rules_of_a_url_get_the_handler_even_after_reconfigure() -> None:
    app = no_automatic_options()
    app.get("/", endpoint="get")(cors_route(lambda: ""))
    app.put("/", endpoint="put")(cors_route(lambda: ""))
    Preflight(app, allow_origins=[PAGE]).reconfigure(app, max_age=1)
    assert preflight(app, "PUT", "/") == granted("OPTIONS, PUT", max_age="1")
    assert preflight(app, "GET", "/") == granted("GET, HEAD, OPTIONS", max_age="1")
    assert plain_options(app, "/") == (200, "GET, HEAD, OPTIONS, PUT", "")


def options(**_: object) -> str:
    return "own"


@pytest.mark.parametrize(
    ("url", "own", "path"),
    [
        pytest.param("/x", "/x", "/x", id="another view of the URL"),
        pytest.param("/<int:a>/<b>", "/<int:c>/<d>", "/1/2", id="variables of other names"),
        pytest.param("/<a>", "/<string:b>", "/1", id="a converter spelled out"),
    ],
)
def test_urls_that_handle_options_themselves_keep_their_handler(url: str, own: str, path: str) -> None:
    app = no_automatic_options()
    app.add_url_rule(url, "marked", cors_route(lambda **_: ""), methods=["PUT"])
    app.add_url_rule(own, "own", options, methods=["OPTIONS"])
    Preflight(app, allow_origins=[PAGE])
    assert preflight(app, "PUT", path) == granted("PUT")
    assert plain_options(app, path) == (200, None, "own")


@pytest.mark.parametrize(
    ("marked", "own"),
    [
        pytest.param({"rule": "/x"}, {"rule": "/y"}, id="paths"),
        pytest.param({"rule": "/x"}, {"rule": "/<x>"}, id="with and without a variable"),
        pytest.param({"rule": "/<x>/a"}, {"rule": "/<x>/b"}, id="paths around a variable"),
        pytest.param({"rule": "/<x>"}, {"rule": "/<int:x>"}, id="converters"),
        pytest.param({"rule": "/x", "subdomain": "a"}, {"rule": "/x", "subdomain": "b"}, id="subdomains"),
        pytest.param({"rule": "/x", "host": "a.com"}, {"rule": "/x", "host": "b.com"}, id="hosts"),
    ],
)
def test_handlers_of_other_urls_do_not_count(marked: dict[str, str], own: dict[str, str]) -> None:
    app = no_automatic_options()
    app.url_map.host_matching = "host" in marked
    app.add_url_rule(**marked, endpoint="marked", view_func=cors_route(lambda **_: ""), methods=["PUT"])  # type: ignore[arg-type]
    app.add_url_rule(**own, endpoint="own", view_func=options, methods=["OPTIONS"])  # type: ignore[arg-type]
    Preflight(app).verify(app)
    assert {rule.endpoint: rule.methods for rule in app.url_map.iter_rules()} == {
        "marked": {"PUT", "OPTIONS"},
        "own": {"OPTIONS"},
    }


def test_a_view_that_handles_options_itself_keeps_its_handler() -> None:
    class Data(MethodView):
        @cors_route
        def put(self) -> str:
            return ""

        def options(self) -> str:
            return "own"

    app = protected()
    app.add_url_rule("/class", view_func=Data.as_view("data"))
    app.route("/function", methods=["PUT", "OPTIONS"])(cors_route(options))
    app.url_map.add(Rule("/any", endpoint="options"))
    for path in ("/class", "/function", "/any"):
        assert preflight(app, "PUT", path).status == 204
        assert plain_options(app, path) == (200, None, "own")


def test_rules_that_never_answer_options_do_not_count_as_handlers() -> None:
    app = no_automatic_options()
    app.add_url_rule("/x", "marked", cors_route(lambda: ""), methods=["PUT"])
    app.add_url_rule("/x", "built", options, methods=["OPTIONS"], build_only=True)
    app.add_url_rule("/x", "socket", options, methods=["OPTIONS"], websocket=True)
    Preflight(app)
    assert plain_options(app, "/x") == (200, "OPTIONS, PUT", "")


@pytest.mark.parametrize("path", ["/", "/missing", "/class"])
def test_plain_options_requests_keep_the_response_of_flask(path: str) -> None:
    class Data(MethodView):
        def put(self) -> str:
            return ""

    plain, app = new_app(protected=False), protected()
    plain.route("/", methods=["GET", "PUT"])(index)
    for each in (plain, app):
        each.add_url_rule("/class", view_func=cors_route(Data.as_view("data")))
    assert plain_options(app, path) == plain_options(plain, path)
    answer = send(app, "OPTIONS", path)  # with Origin it is an actual request
    assert answer.cors == readable()


def test_preflights_are_answered_before_any_code_of_the_app_runs() -> None:
    app = protected()
    called: list[str] = []

    @app.before_request
    def before() -> Response:
        called.append("before")
        return Response(status=401)

    @app.after_request
    def after(response: Response) -> Response:
        called.append("after")
        return response

    app.teardown_request(lambda _: called.append("teardown"))
    assert preflight(app, "PUT", "/").status == 204
    assert called == []
    assert send(app, "PUT", "/")[:2] == (401, readable())
    assert called == ["before", "after", "teardown"]


# ---------------------------------------------------------------------------------------
# Flask's own OPTIONS endpoint, a rule of its own from Flask 3.2 on
# ---------------------------------------------------------------------------------------


def with_options_endpoint(*views: Any) -> Flask:
    """An app as Flask 3.2 makes it, where *views* share a URL: one for GET, and one for PUT."""
    app = new_app()
    for method, function in zip(("GET", "PUT"), views, strict=True):
        app.add_url_rule("/x", f"of_{method}", function, methods=[method], provide_automatic_options=False)
    app.add_url_rule(
        "/x",
        "_automatic_options",
        app.make_default_options_response,
        methods=["OPTIONS"],
        provide_automatic_options=False,
    )
    return app


def methods(of_get: int, of_put: int) -> Any:
    """A view class whose methods have the policies of these numbers."""

    class Data(MethodView):
        @numbered(of_get)
        def get(self) -> str:
            return ""

        @numbered(of_put)
        def put(self) -> str:
            return ""

    return Data.as_view("data")


@pytest.mark.parametrize(
    ("views", "owner"),
    [
        pytest.param((view(1), view(1)), 1, id="equal policies"),
        pytest.param((methods(1, 2), methods(2, 1)), 1, id="equal policies of methods"),
        pytest.param((methods(1, 1), methods(1, 2)), APP_WIDE, id="different policies of methods"),
        pytest.param((view(1), view(2)), APP_WIDE, id="different policies"),
        pytest.param((view(1), index), APP_WIDE, id="one view without a mark"),
        pytest.param((index, index), APP_WIDE, id="no marks"),
        pytest.param((view(1), cors_exempt(lambda: "")), APP_WIDE, id="one exempt view"),
    ],
)
def test_the_options_endpoint_has_the_policy_that_all_views_of_its_url_share(views: Any, owner: int) -> None:
    app = with_options_endpoint(*views)
    assert preflight(app, "OPTIONS", "/x") == granted("OPTIONS", max_age=str(owner or 600))
    assert plain_options(app, "/x") == (200, "GET, HEAD, OPTIONS, PUT", "")
    assert send(app, "OPTIONS", "/x").cors == readable(**({"expose": f"X-{owner}"} if owner else {}))


def test_the_options_endpoint_changes_nothing_for_the_views() -> None:
    app = with_options_endpoint(view(1), view(2))
    assert preflight(app, "GET", "/x") == granted("GET, HEAD", max_age="1")
    assert preflight(app, "PUT", "/x") == granted("PUT", max_age="2")
    assert preflight(app, "DELETE", "/x") == REFUSED
    assert send(app, "PUT", "/x") == Answer(200, readable(expose="X-2"), "2")
    assert send(app, "DELETE", "/x")[:2] == (405, readable())


def test_the_options_endpoint_of_exempt_views_is_exempt() -> None:
    app = with_options_endpoint(cors_exempt(lambda: ""), cors_exempt(lambda: ""))
    assert preflight(app, "OPTIONS", "/x") == Answer(200, {}, "")
    assert preflight(app, "PUT", "/x") == Answer(200, {}, "")
    assert send(app, "OPTIONS", "/x") == Answer(200, {}, "")


def test_the_options_endpoint_is_found_through_a_redirect() -> None:
    app = new_app()
    app.add_url_rule("/x/", "x", view(1), methods=["PUT"], provide_automatic_options=False)
    options: dict[str, Any] = {"methods": ["OPTIONS"], "provide_automatic_options": False}
    app.add_url_rule("/x/", "_automatic_options", app.make_default_options_response, **options)
    assert preflight(app, "OPTIONS", "/x") == granted("OPTIONS", max_age="1")
    assert send(app, "OPTIONS", "/x")[:2] == (308, readable(expose="X-1"))


def test_the_options_endpoint_of_a_view_with_a_bad_policy_allows_nothing() -> None:
    app = with_options_endpoint(index, index)
    assert send(app, "GET", "/x").status == 200
    for endpoint in ("of_GET", "of_PUT"):
        app.view_functions[endpoint] = cors_route(allow_credentials=True, expose_headers="*")(lambda: "")
    assert preflight(app, "OPTIONS", "/x") == REFUSED
    assert send(app, "OPTIONS", "/x").cors == {"Vary": "Origin"}


def test_the_options_endpoint_of_a_url_without_views_has_the_app_wide_policy() -> None:
    app = new_app()
    app.add_url_rule("/x", "_automatic_options", app.make_default_options_response, methods=["OPTIONS"])
    assert preflight(app, "OPTIONS", "/x") == granted("OPTIONS")
    assert send(app, "OPTIONS", "/x") == Answer(200, readable(), "")


class Failing(IntegerConverter):
    def to_python(self, value: str) -> int:
        raise LookupError(value)


def test_the_options_endpoint_of_a_url_with_a_failing_converter_has_the_app_wide_policy() -> None:
    app = no_automatic_options()
    app.url_map.converters["failing"] = Failing
    app.get("/<x>", endpoint="get")(numbered(1)(lambda x: x))
    app.put("/<failing:x>", endpoint="put")(lambda x: "")
    app.add_url_rule("/<x>", "_automatic_options", options, methods=["OPTIONS"])
    Preflight(app, allow_origins=[PAGE])
    assert preflight(app, "OPTIONS", "/1") == granted("OPTIONS")
    assert preflight(app, "OPTIONS", "/a") == granted("OPTIONS", max_age="1")
    assert send(app, "OPTIONS", "/1") == Answer(200, readable(), "own")


def test_the_options_endpoint_of_a_url_that_redirects_a_method_has_the_app_wide_policy() -> None:
    app = no_automatic_options()
    app.get("/", endpoint="get")(cors_route(max_age=1)(lambda: ""))
    app.url_map.add(Rule("/", endpoint="elsewhere", methods=["PUT"], redirect_to="https://elsewhere.example/"))
    app.add_url_rule("/", "_automatic_options", index, methods=["OPTIONS"])
    Preflight(app, allow_origins=[PAGE])
    assert preflight(app, "OPTIONS", "/") == granted("OPTIONS")
