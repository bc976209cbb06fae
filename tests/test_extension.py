"""The extension around an app: where its policy comes from, when it is checked, what it says, what it leaves alone."""

from __future__ import annotations

import gc
import itertools
import json
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask, Response, abort
from flask.views import MethodView
from pages import PAGE, REFUSED, STRANGER, VARY, VARY_PREFLIGHT, Answer, granted, preflight, readable, send
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule
from werkzeug.test import Client, create_environ, run_wsgi_app

import flask_preflight
from flask_preflight import (
    Decision,
    ExtensionHost,
    Outcome,
    Policy,
    PolicyError,
    Preflight,
    PreflightMiddleware,
    Reason,
    cors_blueprint,
    cors_exempt,
    cors_route,
    extension,
    preflight_granted,
    preflight_refused,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

OTHER = "https://other.com"


def new_app(**config: Any) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config.update(config)
    app.route("/", methods=["GET", "PUT"])(index)
    return app


def index() -> str:
    return "here"


def protected(**changes: Any) -> Flask:
    app = new_app()
    changes = {"allow_origins": [PAGE], **changes}
    Preflight(app, **changes)
    return app


def line_of(view: Callable[..., Any]) -> str:
    return f"{__file__}:{view.__code__.co_firstlineno}"


# ---------------------------------------------------------------------------------------
# Where the app-wide policy comes from
# ---------------------------------------------------------------------------------------


def test_levels_overrule_each_other_field_by_field() -> None:
    app = new_app(PREFLIGHT_ALLOW_HEADERS=["X-1"], PREFLIGHT_MAX_AGE=1, PREFLIGHT_PREFLIGHT_STATUS=201)
    app.config["PREFLIGHT_ALLOW_ORIGINS"] = [OTHER]
    preflight_ = Preflight(allow_headers=["X-2"], max_age=2, allow_credentials=True)
    preflight_.init_app(app, max_age=3, allow_origins=[PAGE])
    answer = preflight(app, "PUT", "/")
    assert answer == granted("GET, HEAD, OPTIONS, PUT", "X-2", "3", credentials="true")._replace(status=201)


def test_the_dots_stand_for_the_values_of_the_level_below() -> None:
    app = new_app(PREFLIGHT_ALLOW_ORIGINS=[PAGE], PREFLIGHT_ALLOW_HEADERS=[..., "X-Config"])
    Preflight(allow_headers=[..., "X-Constructor"]).init_app(app, allow_headers=[..., "X-Init"], allow_origins=[...])
    assert preflight(app, "PUT", "/") == granted(
        "GET, HEAD, OPTIONS, PUT", "Content-Type, X-Config, X-Constructor, X-Init"
    )


def test_nothing_is_allowed_by_default() -> None:
    app = new_app()
    Preflight(app)
    assert preflight(app, "PUT", "/") == REFUSED
    assert send(app, "PUT", "/") == Answer(200, VARY, "here")


def test_configuration_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "ALLOW_ORIGINS": f'["{PAGE}"]',
        "ALLOW_METHODS": '["PUT"]',
        "ALLOW_HEADERS": '["X-Env"]',
        "EXPOSE_HEADERS": '["ETag"]',
        "ALLOW_CREDENTIALS": "true",
        "MAX_AGE": "null",
        "PREFLIGHT_STATUS": "200",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"FLASK_PREFLIGHT_{name}", value)
    app = new_app()
    app.config.from_prefixed_env()
    Preflight(app)
    expected = granted("PUT", "X-Env", credentials="true")
    del expected.cors["Access-Control-Max-Age"]
    assert preflight(app, "PUT", "/") == expected._replace(status=200)
    assert send(app, "PUT", "/").cors == {**readable(expose="ETag"), "Access-Control-Allow-Credentials": "true"}


def test_configuration_is_read_again_at_the_first_request() -> None:
    app = new_app()
    Preflight(app)
    app.config["PREFLIGHT_ALLOW_ORIGINS"] = [PAGE]
    assert preflight(app, "PUT", "/").status == 204
    app.config["PREFLIGHT_ALLOW_ORIGINS"] = [OTHER]
    assert preflight(app, "PUT", "/").status == 204


def test_configuration_that_has_become_bad_breaks_the_app_and_verify() -> None:
    app = new_app()
    preflight_ = Preflight(app, allow_origins=[PAGE])
    app.config["PREFLIGHT_MAX_AGE"] = "soon"
    for attempt in (lambda: preflight_.verify(app), lambda: send(app, "GET", "/"), lambda: send(app, "GET", "/")):
        with pytest.raises(PolicyError, match=r"app.config\['PREFLIGHT_MAX_AGE'\]: max_age: 'soon' "):
            attempt()
    app.config["PREFLIGHT_MAX_AGE"] = 1
    assert send(app, "GET", "/").status == 200


def problems(error: PolicyError) -> list[tuple[str, str, str]]:
    return [(problem.field, problem.id, problem.where) for problem in error.problems]


def test_all_problems_of_the_configuration_at_once() -> None:
    app = new_app(
        PREFLIGHT_ALLOW_ORIGNS=[PAGE],
        PREFLIGHT_ALLOW_ORIGINS=f"{PAGE}, {OTHER}",
        PREFLIGHT_ALLOW_CREDENTIALS="True",
        PREFLIGHT_MAX_AGE=-1,
        PREFLIGHT_EXPOSE_HEADERS="*",
    )
    with pytest.raises(PolicyError) as caught:
        Preflight(app, max_age=-2, expose_headers=["not a name"])
    assert problems(caught.value) == [
        ("PREFLIGHT_ALLOW_ORIGNS", "unknown-config-key", ""),
        ("allow_origins", "bare-string", "app.config['PREFLIGHT_ALLOW_ORIGINS']"),
        ("expose_headers", "header-invalid", ""),
        ("allow_credentials", "not-a-bool", "app.config['PREFLIGHT_ALLOW_CREDENTIALS']"),
        ("max_age", "max-age-range", ""),
    ]
    hints = [problem.hint for problem in caught.value.problems]
    assert hints[0] == "write 'PREFLIGHT_ALLOW_ORIGINS', or drop it"
    assert hints[1] == 'write \'["https://frontend.com", "https://other.com"]\', in the environment too'
    assert hints[3] == "write True or False, and in the environment true or false"
    assert "preflight" not in app.extensions


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("PREFLIGHT_ORIGINS", "PREFLIGHT_ALLOW_ORIGINS"),
        ("PREFLIGHT_MAXAGE", "PREFLIGHT_MAX_AGE"),
        ("PREFLIGHT_STATUS", "PREFLIGHT_PREFLIGHT_STATUS"),
        ("PREFLIGHT_allow_origins", "PREFLIGHT_ALLOW_ORIGINS"),
    ],
)
def test_unknown_keys_are_answered_with_the_nearest(key: str, meant: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Preflight(new_app(**{key: 1}))
    assert str(caught.value) == (
        "1 problem with a CORS policy:\n"
        f"- {key}: 1 is set, and a policy has no such field; write {meant!r}, or drop it [unknown-config-key]"
    )


def test_unknown_keys_that_are_near_to_none_are_to_go() -> None:
    with pytest.raises(PolicyError) as caught:
        Preflight(new_app(PREFLIGHT_X=1))
    [problem] = caught.value.problems
    assert problem.hint == "drop it"


@pytest.mark.parametrize("key", ["PREFLIGHT", "PREFLIGHTS_MAX_AGE", "FLASK_PREFLIGHT_MAX_AGE", "MY_PREFLIGHT_X"])
def test_keys_of_others_are_left_alone(key: str) -> None:
    Preflight(new_app(**{key: "x"}))


def test_the_hint_of_a_bare_string_works() -> None:
    """What the message shows can be put into the environment as it stands."""
    with pytest.raises(PolicyError) as caught:
        Preflight(new_app(PREFLIGHT_ALLOW_ORIGINS="https://a.com"))
    hint = caught.value.problems[0].hint
    assert """'["https://a.com"]'""" in hint
    Preflight(new_app(PREFLIGHT_ALLOW_ORIGINS=json.loads(hint.split("'")[1])))


UNKNOWN: dict[str, Any] = {"allow_origin": [PAGE]}


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda app: Preflight(**UNKNOWN), id="constructor"),
        pytest.param(lambda app: Preflight(app, **UNKNOWN), id="constructor with app"),
        pytest.param(lambda app: Preflight().init_app(app, **UNKNOWN), id="init_app"),
    ],
)
def test_unknown_fields(call: Callable[[Flask], object]) -> None:
    app = new_app()
    with pytest.raises(TypeError, match=r"a policy has no field 'allow_origin'; its fields are allow_origins, "):
        call(app)
    assert "preflight" not in app.extensions


def test_reconfigure_with_an_unknown_field() -> None:
    app = new_app()
    preflight_ = Preflight(app)
    with pytest.raises(TypeError, match=r"a policy has no field 'allow_origin'"):
        preflight_.reconfigure(app, **UNKNOWN)


def test_iterators_and_lists_are_read_when_they_are_given() -> None:
    origins, headers = [PAGE], ["X-One"]
    preflight_ = Preflight(allow_origins=iter(origins), allow_headers=headers)
    headers.append("X-Two")
    apps = [new_app(), new_app()]
    for app in apps:
        preflight_.init_app(app, expose_headers=iter(["ETag"]))
        preflight_.reconfigure(app, allow_methods=iter(["PUT"]))
        preflight_.reconfigure(app, max_age=1)
        assert preflight(app, "PUT", "/") == granted("PUT", "X-One", "1")
        assert send(app, "PUT", "/").cors == readable(expose="ETag")


# ---------------------------------------------------------------------------------------
# Bad policies of views
# ---------------------------------------------------------------------------------------


@cors_route(max_age=-1, allow_methods=["put"])
def bad_view() -> str:
    return ""


@cors_route(allow_credentials=True)
def bad_once_merged() -> str:
    return ""


class BadViews(MethodView):
    @cors_route(allow_headers="X-One")
    def get(self) -> str:
        return ""

    @cors_route(max_age=-1)
    def put(self) -> str:
        return ""

    @cors_route(max_age=-1)
    def delete(self) -> str:
        return ""


@cors_route(max_age=-1)
class BadClass(MethodView):
    def get(self) -> str:
        return ""

    def put(self) -> str:
        return ""


def app_with_bad_views() -> tuple[Preflight, Flask]:
    preflight_, app = Preflight(allow_origins="*"), new_app()
    preflight_.init_app(app)
    app.route("/view", methods=["GET", "PUT", "DELETE"])(bad_view)
    app.route("/again")(bad_view)
    app.route("/merged")(bad_once_merged)
    app.add_url_rule("/class", view_func=BadViews.as_view("apart"))
    app.add_url_rule("/whole-class", view_func=BadClass.as_view("whole"))
    blueprint = cors_blueprint(Blueprint("home", __name__), max_age=-2)
    blueprint.route("/in-blueprint", endpoint="view")(index)
    app.register_blueprint(blueprint)
    app.url_map.add(Rule("/any", endpoint="any"))
    app.view_functions["any"] = bad_view
    return preflight_, app


def test_bad_views_are_reported_together_each_with_its_place() -> None:
    preflight_, app = app_with_bad_views()
    expected = [
        ("allow_methods", "method-case", f"view 'bad_view' at {line_of(bad_view)}"),
        ("max_age", "max-age-range", f"view 'bad_view' at {line_of(bad_view)}"),
        ("allow_origins", "wildcard-with-credentials", f"view 'bad_once_merged' at {line_of(bad_once_merged)}"),
        ("max_age", "max-age-range", f"view 'apart' at {line_of(BadViews.delete)}"),
        ("allow_headers", "bare-string", f"view 'apart' at {line_of(BadViews.get)}"),
        ("max_age", "max-age-range", f"view 'apart' at {line_of(BadViews.put)}"),
        ("max_age", "max-age-range", f"view 'whole' at {line_of(BadClass.get)}"),
        ("max_age", "max-age-range", f"view 'home.view' at {line_of(index)}"),
        ("allow_methods", "method-case", f"view 'any' at {line_of(bad_view)}"),
        ("max_age", "max-age-range", f"view 'any' at {line_of(bad_view)}"),
    ]
    attempts: list[Callable[[], object]] = [
        lambda: preflight_.verify(app),
        lambda: preflight(app, "PUT", "/"),
        lambda: send(app, "GET", "/"),
        lambda: preflight_.reconfigure(app, max_age=1),
    ]
    for attempt in attempts:
        with pytest.raises(PolicyError) as caught:
            attempt()
        assert problems(caught.value) == expected


def test_a_bad_view_added_after_the_first_request_breaks_its_own_url() -> None:
    """Nobody can have been told before, and a looser policy than was written must not take its place."""
    app = protected()
    send(app, "GET", "/")
    app.url_map.add(Rule("/late", endpoint="late", methods=["PUT"]))
    app.view_functions["late"] = bad_view
    for ask in (preflight, send):
        with pytest.raises(PolicyError):
            ask(app, "PUT", "/late")
    assert preflight(app, "PUT", "/").status == 204


def test_verify_says_nothing_where_all_is_well() -> None:
    app = new_app()
    Preflight(app).verify(app)


@pytest.mark.parametrize("call", ["verify", "reconfigure"])
def test_an_app_without_the_extension(call: str) -> None:
    with pytest.raises(RuntimeError, match=r"<Flask '.*'> has no Preflight; call preflight.init_app\(app\) first"):
        getattr(Preflight(), call)(new_app())


@pytest.mark.parametrize("second", [Preflight().init_app, Preflight], ids=["init_app", "constructor"])
def test_one_extension_for_each_app(second: Callable[[Flask], object]) -> None:
    app = protected()
    with pytest.raises(RuntimeError, match=r"<Flask '.*'> has a Preflight already"):
        second(app)
    assert preflight(app, "PUT", "/").status == 204


# ---------------------------------------------------------------------------------------
# Many apps, factories, and their end
# ---------------------------------------------------------------------------------------


def test_one_extension_and_many_apps() -> None:
    @cors_route(allow_headers=[..., "X-View"])
    def view() -> str:
        return ""

    shared = cors_blueprint(Blueprint("shared", __name__), expose_headers=[..., "X-Shared"])
    shared.put("/view")(view)
    preflight_ = Preflight(allow_origins=[PAGE])

    def create_app(**changes: Any) -> Flask:
        app = new_app()
        app.register_blueprint(shared)
        preflight_.init_app(app, **changes)
        return app

    one, two = create_app(max_age=1), create_app(max_age=2, allow_headers=["X-Two"])
    for _ in range(2):
        assert preflight(one, "PUT", "/view") == granted("OPTIONS, PUT", "Content-Type, X-View", "1")
        assert preflight(two, "PUT", "/view") == granted("OPTIONS, PUT", "X-Two, X-View", "2")
    preflight_.reconfigure(one, max_age=3)
    assert preflight(one, "PUT", "/view").cors["Access-Control-Max-Age"] == "3"
    assert preflight(two, "PUT", "/view").cors["Access-Control-Max-Age"] == "2"
    assert set(one.extensions) == {"preflight"}


def test_what_is_dropped_is_collected() -> None:
    preflight_, app = Preflight(allow_origins=[PAGE]), new_app()
    preflight_.init_app(app)
    app.put("/view")(cors_route(max_age=1)(lambda: ""))
    preflight(app, "PUT", "/view")
    preflight(app, "PUT", "/view", origin=STRANGER)
    send(app, "PUT", "/view")
    preflight_.reconfigure(app, max_age=2)
    of_app, of_extension = weakref.ref(app), weakref.ref(preflight_)
    del preflight_
    gc.collect()
    assert of_extension() is None
    assert preflight(app, "PUT", "/view").status == 204
    del app
    gc.collect()
    assert of_app() is None


# ---------------------------------------------------------------------------------------
# reconfigure
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("served", [False, True], ids=["before the first request", "after it"])
def test_reconfigure_adds_up(served: bool) -> None:
    app = new_app(PREFLIGHT_ALLOW_HEADERS=["X-Config"])
    preflight_ = Preflight(app, allow_origins=[PAGE])
    app.put("/view")(cors_route(max_age=9)(lambda: ""))
    if served:
        send(app, "GET", "/")
    preflight_.reconfigure(app, allow_headers=[..., "X-One"], max_age=1)
    preflight_.reconfigure(app, allow_headers=[..., "X-Two"], allow_methods=["PUT"])
    assert preflight(app, "PUT", "/") == granted("PUT", "X-Config, X-One, X-Two", "1")
    assert preflight(app, "PUT", "/view") == granted("PUT", "X-Config, X-One, X-Two", "9")
    preflight_.reconfigure(app, allow_headers=["X-Three"], allow_methods=None)
    preflight_.reconfigure(app, allow_headers=[..., "X-Four"])
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT", "X-Four, X-Three", "1")


def test_reconfigure_changes_nothing_where_a_view_would_be_bad() -> None:
    app = new_app()
    preflight_ = Preflight(app, allow_origins=[PAGE], max_age=1)

    @app.put("/view")
    @cors_route(allow_credentials=True)
    def view() -> str:
        return ""

    changes: list[dict[str, Any]] = [{"allow_origins": "*"}, {"max_age": -1}]
    for bad in changes:
        with pytest.raises(PolicyError) as caught:
            preflight_.reconfigure(app, **bad)
        place = f"view 'view' at {line_of(view)}" if "allow_origins" in bad else ""
        assert [problem.where for problem in caught.value.problems] == [place]
        assert preflight(app, "PUT", "/").cors["Access-Control-Max-Age"] == "1"
    preflight_.reconfigure(app, max_age=2)  # and what was refused is not kept
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT", max_age="2")


def test_reconfigure_sees_new_routes() -> None:
    app = new_app()
    preflight_ = Preflight(app, allow_origins=[PAGE])
    send(app, "GET", "/")
    app.url_map.add(Rule("/late", endpoint="late", methods=["PUT"]))
    app.view_functions["late"] = bad_view
    with pytest.raises(PolicyError, match=r"view 'late' at"):
        preflight_.reconfigure(app, max_age=2)


def test_many_reconfigurations_do_not_pile_up() -> None:
    app = new_app()
    preflight_ = Preflight(app)
    for number in range(100):
        preflight_.reconfigure(app, allow_origins=[f"https://{number}.example"], max_age=number)
    preflight_.reconfigure(app, allow_origins=[..., PAGE])
    assert preflight(app, "PUT", "/").cors["Access-Control-Max-Age"] == "99"
    assert preflight(app, "PUT", "/", origin="https://99.example").status == 204
    levels = app.extensions["preflight"]._levels
    assert [set(level) for level in levels] == [{"allow_origins", "max_age"}, {"allow_origins"}]


def test_every_answer_belongs_to_one_policy_whatever_other_threads_do() -> None:
    app = new_app()
    preflight_ = Preflight(app, allow_origins=[PAGE], max_age=0, allow_headers=["X-0"], expose_headers=["X-0"])
    done = threading.Event()

    def reconfigure() -> None:
        for number in itertools.count(1):
            name = f"X-{number}"
            preflight_.reconfigure(app, max_age=number, allow_headers=[name], expose_headers=[name])
            if done.is_set():
                return

    def ask(_: int) -> set[tuple[str, str]]:
        answers: set[tuple[str, str]] = set()
        while len(answers) < 10:
            cors = preflight(app, "PUT", "/").cors
            send(app, "PUT", "/")
            answers.add((cors["Access-Control-Max-Age"], cors["Access-Control-Allow-Headers"].removeprefix("X-")))
        return answers

    with ThreadPoolExecutor(5) as pool:
        swapping = pool.submit(reconfigure)
        try:
            answers = set[tuple[str, str]]().union(*pool.map(ask, range(4)))
        finally:
            done.set()
        swapping.result()
    assert all(age == header for age, header in answers)


def test_a_request_that_has_begun_keeps_its_policy() -> None:
    app = new_app()
    preflight_ = Preflight(app, allow_origins=[PAGE], expose_headers=["X-Old"])

    @app.get("/view")
    def view() -> str:
        preflight_.reconfigure(app, expose_headers=["X-New"])
        return ""

    assert send(app, "GET", "/view").cors == readable(expose="X-Old")
    assert send(app, "GET", "/").cors == readable(expose="X-New")


def test_of_many_first_requests_one_checks_the_views(monkeypatch: pytest.MonkeyPatch) -> None:
    app = protected()
    state: Any = app.extensions["preflight"]
    built: list[object] = []
    verify = state.verify

    def counting() -> object:
        built.append(None)
        return verify()

    monkeypatch.setattr(state, "verify", counting)
    barrier = threading.Barrier(4)

    def ask(_: int) -> int:
        barrier.wait()
        return preflight(app, "PUT", "/").status

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [204] * 4
    assert len(built) == 1
    assert state.settle() is state.table
    assert len(built) == 1


# ---------------------------------------------------------------------------------------
# OPTIONS
# ---------------------------------------------------------------------------------------


def plain_options(app: Flask, path: str) -> tuple[int, str | None, str]:
    answer = app.test_client().options(path)
    allow = answer.headers.get("Allow")
    return answer.status_code, allow and ", ".join(sorted(allow.split(", "))), answer.get_data(as_text=True)


def no_automatic_options() -> Flask:
    """An app whose rules do not handle OPTIONS: by its configuration, or, in older Flasks, each by itself."""
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
    app.put("/marked")(cors_route(lambda: ""))
    app.get("/marked")(index)
    app.put("/unmarked", endpoint="unmarked")(index)
    app.put("/exempt", endpoint="exempt")(cors_exempt(lambda: ""))
    app.add_url_rule("/class", view_func=Data.as_view("class"))
    app.add_url_rule("/<one>/<int:two>", "named", cors_route(lambda one, two: ""), methods=["PUT"])
    app.add_url_rule("/socket", "socket", cors_route(lambda: ""), websocket=True)
    preflight_ = Preflight(app, allow_origins=[PAGE])
    assert plain_options(app, "/unmarked")[0] == 405
    if how == "verify":
        app.extensions["preflight"]._table = None
        preflight_.verify(app)
    assert plain_options(app, "/marked") == (200, "GET, HEAD, OPTIONS, PUT", "")
    assert plain_options(app, "/class") == (200, "GET, HEAD, OPTIONS, PUT", "")
    assert plain_options(app, "/a/1") == (200, "OPTIONS, PUT", "")
    assert plain_options(app, "/exempt")[0] == 405
    assert plain_options(app, "/socket")[0] == 405
    for path in ("/marked", "/class", "/a/1"):
        assert preflight(app, "PUT", path).status == 204


def test_verify_alone_gives_the_handlers() -> None:
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
    return "its own"


@pytest.mark.parametrize(
    ("url", "its_own", "asked"),
    [
        pytest.param("/x", "/x", "/x", id="another view of the URL"),
        pytest.param("/<int:a>/<b>", "/<int:c>/<d>", "/1/2", id="variables of other names"),
        pytest.param("/<a>", "/<string:b>", "/1", id="a converter spelled out"),
    ],
)
def test_urls_that_handle_options_themselves_keep_it(url: str, its_own: str, asked: str) -> None:
    app = no_automatic_options()
    app.add_url_rule(url, "marked", cors_route(lambda **_: ""), methods=["PUT"])
    app.add_url_rule(its_own, "its_own", options, methods=["OPTIONS"])
    Preflight(app, allow_origins=[PAGE])
    assert preflight(app, "PUT", asked) == granted("PUT")
    assert plain_options(app, asked) == (200, None, "its own")


def test_a_view_that_handles_options_itself_keeps_it() -> None:
    class Data(MethodView):
        @cors_route
        def put(self) -> str:
            return ""

        def options(self) -> str:
            return "its own"

    app = protected()
    app.add_url_rule("/class", view_func=Data.as_view("data"))
    app.route("/function", methods=["PUT", "OPTIONS"])(cors_route(options))
    app.url_map.add(Rule("/any", endpoint="options"))
    for path in ("/class", "/function", "/any"):
        assert preflight(app, "PUT", path).status == 204
        assert plain_options(app, path) == (200, None, "its own")


def test_what_never_answers_options_does_not_count_as_handling_it() -> None:
    app = no_automatic_options()
    app.add_url_rule("/x", "marked", cors_route(lambda: ""), methods=["PUT"])
    app.add_url_rule("/x", "built", options, methods=["OPTIONS"], build_only=True)
    app.add_url_rule("/x", "socket", options, methods=["OPTIONS"], websocket=True)
    Preflight(app)
    assert plain_options(app, "/x") == (200, "OPTIONS, PUT", "")


@pytest.mark.parametrize("path", ["/", "/missing", "/class"])
def test_plain_options_keep_flasks_answer(path: str) -> None:
    class Data(MethodView):
        def put(self) -> str:
            return ""

    plain, app = new_app(), protected()
    for each in (plain, app):
        each.add_url_rule("/class", view_func=cors_route(Data.as_view("data")))
    assert plain_options(app, path) == plain_options(plain, path)
    answer = send(app, "OPTIONS", path)  # with Origin, it is an actual request
    assert answer.cors == readable()


def test_preflights_come_before_anything_of_the_app() -> None:
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
# Signals
# ---------------------------------------------------------------------------------------


@pytest.fixture
def signals() -> Iterator[list[tuple[str, object, dict[str, Any]]]]:
    received: list[tuple[str, object, dict[str, Any]]] = []

    def on_granted(sender: object, **rest: Any) -> None:
        received.append(("granted", sender, rest))

    def on_refused(sender: object, **rest: Any) -> None:
        received.append(("refused", sender, rest))

    with preflight_granted.connected_to(on_granted), preflight_refused.connected_to(on_refused):
        yield received


def test_signals(signals: list[tuple[str, object, dict[str, Any]]]) -> None:
    app = protected()
    preflight(app, "PUT", "/")
    preflight(app, "PUT", "/", origin=STRANGER)
    preflight(app, "DELETE", "/")
    preflight(app, "DELETE", "/", origin=STRANGER)
    assert [name for name, *_ in signals] == ["granted", "refused", "refused", "refused"]
    assert all(sender is app for _, sender, _ in signals)
    assert all(set(rest) == {"decision", "environ"} for *_, rest in signals)
    decisions: list[Decision] = [rest["decision"] for *_, rest in signals]
    assert [(decision.outcome, decision.reason) for decision in decisions] == [
        (Outcome.PREFLIGHT_GRANTED, None),
        (Outcome.PREFLIGHT_REFUSED, Reason.ORIGIN_NOT_ALLOWED),
        (Outcome.PREFLIGHT_REFUSED, Reason.METHOD_NOT_ROUTED),
        (Outcome.PREFLIGHT_REFUSED, Reason.ORIGIN_NOT_ALLOWED),
    ]
    assert [rest["environ"]["HTTP_ORIGIN"] for *_, rest in signals] == [PAGE, STRANGER, PAGE, STRANGER]


def test_nothing_else_sends_signals(signals: list[tuple[str, object, dict[str, Any]]]) -> None:
    app = protected()
    app.put("/exempt")(cors_exempt(lambda: ""))
    preflight(app, "PUT", "/exempt")
    send(app, "PUT", "/")
    send(app, "OPTIONS", "/")
    send(app, "PUT", "/", origin=STRANGER)
    around = PreflightMiddleware(app, Policy(allow_origins=[PAGE], allow_methods=["PUT"]))
    preflight(around, "PUT", "/", origin=STRANGER)
    assert preflight(around, "PUT", "/").status == 204
    assert signals == []


# ---------------------------------------------------------------------------------------
# The log
# ---------------------------------------------------------------------------------------


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="flask_preflight")
    return caplog


def test_refusals_are_logged_once_a_cause(log: pytest.LogCaptureFixture) -> None:
    app = protected(allow_origins=[PAGE, "http://localhost:3000"])
    app.put("/other", endpoint="other")(index)
    for _ in range(2):
        for number in range(3):
            preflight(app, "PUT", "/", origin=f"https://{number}.evil.com")  # all of them have no near origin
            preflight(app, "PUT", "/", origin=f"http://localhost:300{number + 1}")
            preflight(app, "PUT", "/other", origin=f"https://{number}.evil.com")
            preflight(app, "PUT", f"/missing/{number}", origin=STRANGER)
            preflight(app, f"MADE-UP-{number}", "/")
            preflight(app, "PUT", "/", f"X-{number}")
    assert {record.levelno for record in log.records} == {logging.INFO}
    assert {record.name for record in log.records} == {"flask_preflight"}
    assert log.messages == [
        "Refused a preflight for the view 'index'. The origin 'https://0.evil.com' is not in allow_origins."
        " To allow it, add it there.",
        "Refused a preflight for the view 'index'. The origin 'http://localhost:3001' is not in allow_origins."
        " The nearest allowed origin is 'http://localhost:3000', which differs in the port. To allow it, add it there.",
        "Refused a preflight for the view 'other'. The origin 'https://0.evil.com' is not in allow_origins."
        " To allow it, add it there.",
        "Refused a preflight for a URL that leads to no view. The origin 'https://evil.com' is not in allow_origins."
        " To allow it, add it there.",
        "Refused a preflight for a URL that leads to no view. This URL has no route for 'MADE-UP-0'; there are"
        " GET, HEAD, OPTIONS, PUT.",
        "Refused a preflight for the view 'index'. Not allowed as request header: 'x-0'."
        " To allow it, add it to allow_headers, which allows Content-Type.",
    ]


@pytest.mark.parametrize("character", ["\r\nX: y", "\x1b[31m", "\x85", "\u2028".encode().decode("latin-1")], ids=ascii)
def test_what_a_stranger_sends_stays_on_one_line(character: str, log: pytest.LogCaptureFixture) -> None:
    app = protected()
    for header in ("ORIGIN", "ACCESS_CONTROL_REQUEST_METHOD", "ACCESS_CONTROL_REQUEST_HEADERS"):
        environ = create_environ("/", method="OPTIONS")
        environ.update(HTTP_ORIGIN=PAGE, HTTP_ACCESS_CONTROL_REQUEST_METHOD="PUT")
        environ[f"HTTP_{header}"] = f"x{character}"
        environ["PATH_INFO"] = f"/{character}"
        run_wsgi_app(app, environ)
    assert len(log.messages) == 3
    assert all(message.isascii() and message.isprintable() for message in log.messages)


def test_nothing_is_computed_for_a_log_that_is_off(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nearest_origin", "explain"):
        monkeypatch.setattr(extension, name, None)  # cannot be called
    caplog.set_level(logging.WARNING, logger="flask_preflight")
    app = protected()
    assert preflight(app, "PUT", "/", origin=STRANGER) == REFUSED
    assert caplog.records == []


def test_a_refusal_while_the_log_was_off_is_logged_once_it_is_on(caplog: pytest.LogCaptureFixture) -> None:
    app = protected()
    preflight(app, "PUT", "/", origin=STRANGER)
    caplog.set_level(logging.INFO, logger="flask_preflight")
    preflight(app, "PUT", "/", origin=STRANGER)
    assert len(caplog.records) == 1


def test_grants_and_answers_are_not_logged(log: pytest.LogCaptureFixture) -> None:
    app = protected()
    preflight(app, "PUT", "/")
    send(app, "PUT", "/", origin=STRANGER)
    assert log.records == []


def test_a_callable_that_fails_is_logged_and_refuses(log: pytest.LogCaptureFixture) -> None:
    app = protected(allow_origins=lambda origin, environ: 1 / 0)
    assert preflight(app, "PUT", "/") == REFUSED
    assert send(app, "PUT", "/") == Answer(200, VARY, "here")
    levels = [record.levelno for record in log.records]
    assert levels == [logging.ERROR, logging.INFO, logging.ERROR]
    assert "ZeroDivisionError" in log.messages[0]
    assert "The callable in allow_origins failed" in log.messages[1]


# ---------------------------------------------------------------------------------------
# Debug answers
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "wanted", "origin", "expected"),
    [
        pytest.param(
            "PUT",
            (),
            STRANGER,
            Answer(
                403,
                VARY_PREFLIGHT,
                "The origin 'https://evil.com' is not in allow_origins. To allow it, add it there.\n",
            ),
            id="origin",
        ),
        pytest.param(
            "DELETE",
            (),
            PAGE,
            Answer(
                200,
                {"Access-Control-Allow-Origin": PAGE, **VARY_PREFLIGHT},
                "This URL has no route for 'DELETE'; there are GET, HEAD, OPTIONS, PUT.\n",
            ),
            id="no route for the method",
        ),
        pytest.param(
            "POST",
            (),
            PAGE,
            Answer(
                403,
                {"Access-Control-Allow-Origin": PAGE, **VARY_PREFLIGHT},
                "This URL has no route for 'POST'; there are GET, HEAD, OPTIONS, PUT.\n",
            ),
            id="no route for a safelisted method",
        ),
        pytest.param(
            "PUT",
            ("X-One",),
            PAGE,
            Answer(
                200,
                {
                    "Access-Control-Allow-Origin": PAGE,
                    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS, PUT",
                    **VARY_PREFLIGHT,
                },
                "Not allowed as request header: 'x-one'. To allow it, add it to allow_headers, which allows"
                " Content-Type.\n",
            ),
            id="header",
        ),
        pytest.param("PUT", (), PAGE, granted("GET, HEAD, OPTIONS, PUT"), id="granted"),
    ],
)
def test_debug_answers(method: str, wanted: tuple[str, ...], origin: str, expected: Answer) -> None:
    app = protected()
    assert preflight(app, method, "/", *wanted, origin=origin) in (REFUSED, expected)
    app.debug = True
    assert preflight(app, method, "/", *wanted, origin=origin) == expected


# ---------------------------------------------------------------------------------------
# Exceptions
# ---------------------------------------------------------------------------------------

WHY = (
    "An exception leaves the app, so its answer is made further out and has no CORS headers: the browser will call that"
    " a CORS error, and the cause is in the traceback."
)


def failing(**config: Any) -> Flask:
    app = protected()
    app.config.update(config)
    app.logger.disabled = True  # Flask says the same, with the traceback

    @app.put("/fail")
    def fail() -> str:
        raise RuntimeError

    return app


def test_an_error_page_of_flask_carries_the_headers(caplog: pytest.LogCaptureFixture) -> None:
    assert send(failing(), "PUT", "/fail")[:2] == (500, readable())
    assert caplog.messages == []


@pytest.mark.parametrize("config", [{"TESTING": True}, {"DEBUG": True}, {"PROPAGATE_EXCEPTIONS": True}], ids=str)
def test_an_exception_that_propagates_is_explained(config: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    app = failing(**config)
    with pytest.raises(RuntimeError):
        send(app, "PUT", "/fail")
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(logging.WARNING, WHY)]
    caplog.clear()
    with pytest.raises(RuntimeError):
        send(app, "PUT", "/fail", origin=None)  # to which no browser will object
    assert caplog.messages == []


# ---------------------------------------------------------------------------------------
# What stands around, and within
# ---------------------------------------------------------------------------------------


class Wrapper:
    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        return self.app(environ, start_response)


class OwnApp(Wrapper):
    @property
    def app(self) -> OwnApp:
        return self

    @app.setter
    def app(self, app: WSGIApplication) -> None:
        pass


@pytest.mark.parametrize(
    ("wrap", "warned"),
    [
        pytest.param(lambda app: app, False, id="nothing"),
        pytest.param(Wrapper, False, id="another middleware"),
        pytest.param(OwnApp, False, id="one that is its own app"),
        pytest.param(ProxyFix, True, id="ProxyFix"),
        pytest.param(lambda app: Wrapper(Wrapper(ProxyFix(app))), True, id="ProxyFix deeper within"),
    ],
)
def test_proxy_fix_within_is_warned_about_once(
    wrap: Callable[[Any], Any], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = new_app()
    app.wsgi_app = wrap(app.wsgi_app)  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE])
    preflight(app, "PUT", "/")
    preflight(app, "PUT", "/")
    message = (
        "ProxyFix of <Flask 'test_extension'> is inside of Preflight, which so sees the proxy's host: apply it later"
    )
    assert caplog.messages == [message] * warned


def test_proxy_fix_around_is_not_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    app = protected()
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    assert preflight(app, "PUT", "/").status == 204
    assert caplog.messages == []


OUTER = Policy(allow_origins=[PAGE], allow_methods=["PUT"], max_age=5, expose_headers=["X-Outer"])


def test_a_middleware_around_stands(caplog: pytest.LogCaptureFixture) -> None:
    app = protected(max_age=6, expose_headers=["X-App"])
    around = PreflightMiddleware(app, OUTER)
    for _ in range(2):
        assert preflight(around, "PUT", "/") == granted("PUT", max_age="5")
        assert send(around, "PUT", "/") == Answer(200, readable(expose="X-Outer"), "here")
    [message] = caplog.messages
    assert repr(around) in message
    assert repr(vars(app)["wsgi_app"].__self__) in message


def test_a_middleware_around_that_hands_off_lets_the_app_act(caplog: pytest.LogCaptureFixture) -> None:
    app = protected(max_age=6, expose_headers=["X-App"])
    around = PreflightMiddleware(app, lambda environ: None)
    assert preflight(around, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT", max_age="6")
    assert send(around, "PUT", "/") == Answer(200, readable(expose="X-App"), "here")
    assert caplog.messages == []


def test_a_middleware_within_acts_for_exempt_views_alone(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app()
    app.put("/exempt", endpoint="exempt")(cors_exempt(lambda: "exempt"))
    app.wsgi_app = PreflightMiddleware(app.wsgi_app, OUTER)  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE], max_age=6, expose_headers=["X-App"])
    assert preflight(app, "PUT", "/exempt") == granted("PUT", max_age="5")
    assert send(app, "PUT", "/exempt") == Answer(200, readable(expose="X-Outer"), "exempt")
    assert caplog.messages == []
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT", max_age="6")
    assert send(app, "PUT", "/") == Answer(200, readable(expose="X-App"), "here")
    assert len(caplog.messages) == 1


def test_an_app_mounted_within_another(caplog: pytest.LogCaptureFixture) -> None:
    """The outer one stands, by the URL as it has got it: for what the mount makes of it, it has an exempt view."""
    inner, outer = protected(max_age=6, expose_headers=["X-Inner"]), new_app()
    outer.view_functions["index"] = cors_exempt(lambda: "outer")
    outer.add_url_rule("/handed/", "handed", cors_exempt(lambda: ""), methods=["PUT"])
    mounts: Any = {"/mount": inner, "/handed": inner}
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, mounts)  # type: ignore[method-assign]
    Preflight(outer, allow_origins=[PAGE], max_age=5, expose_headers=["X-Outer"])
    assert preflight(outer, "PUT", "/mount/") == granted("PUT", max_age="5")
    assert send(outer, "PUT", "/mount/") == Answer(200, readable(expose="X-Outer"), "here")
    assert len(caplog.messages) == 1
    assert preflight(outer, "PUT", "/handed/") == granted("GET, HEAD, OPTIONS, PUT", max_age="6")
    assert send(outer, "PUT", "/handed/") == Answer(200, readable(expose="X-Inner"), "here")
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("fails", [False, True], ids=["404", "exception"])
def test_an_app_beside_another_is_not_inside_it(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    """As in a cascade, which asks the next app with the same environ if the first one has no answer."""
    first, second = protected(expose_headers=["X-First"]), protected(expose_headers=["X-Second"])
    first.testing = fails

    @first.get("/page")
    def page() -> str:
        if fails:
            raise RuntimeError
        abort(404)

    second.get("/page", endpoint="page")(lambda: "here")

    def cascade(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        try:
            list(first(environ, lambda *_: bytes))
        except RuntimeError:
            caplog.clear()
        return second(environ, start_response)

    answer = Client(cascade).get("/page", headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Expose-Headers"] == "X-Second"
    assert caplog.messages == []


# ---------------------------------------------------------------------------------------
# ExtensionHost
# ---------------------------------------------------------------------------------------


def test_register_extension() -> None:
    class App(ExtensionHost, Flask):
        pass

    app = App(__name__)
    preflight_ = Preflight(allow_origins=[PAGE])
    assert app.register_extension(preflight_, max_age=1) is preflight_
    assert preflight(app, "PUT", "/missing") == granted("PUT", max_age="1")
    assert not hasattr(Flask, "register_extension")


def test_register_extension_takes_any_flask_extension() -> None:
    class Other:
        def init_app(self, app: Flask, **options: object) -> None:
            self.given = app, options

    class App(ExtensionHost, Flask):
        pass

    app, other = App(__name__), Other()
    assert app.register_extension(other, key=1) is other
    assert other.given == (app, {"key": 1})


# ---------------------------------------------------------------------------------------
# The package's own door
# ---------------------------------------------------------------------------------------


def test_the_public_names() -> None:
    assert set(flask_preflight.__all__) == {
        "Policy",
        "PolicyError",
        "PreflightMiddleware",
        "by_path",
        "Preflight",
        "cors_route",
        "cors_blueprint",
        "cors_exempt",
        "ExtensionHost",
        "preflight_granted",
        "preflight_refused",
        "negotiate",
        "RequestFacts",
        "Decision",
        "Outcome",
        "Reason",
    }
    for name in flask_preflight.__all__:
        assert getattr(flask_preflight, name) is not None
    assert flask_preflight.Preflight is extension.Preflight


@pytest.mark.parametrize("name", ["Preflights", "cors_routes", "FIELDS", "merge", "__wrapped__"])
def test_a_misspelled_name(name: str) -> None:
    with pytest.raises(AttributeError, match=f"^module 'flask_preflight' has no attribute '{name}'$"):
        getattr(flask_preflight, name)
    assert not hasattr(flask_preflight, name)


WITHOUT_FLASK = """
import sys
sys.modules["flask"] = None  # so that importing it fails
from flask_preflight import Policy, PreflightMiddleware
PreflightMiddleware(print, Policy(allow_origins="*"))
try:
    from flask_preflight import Preflight
except ImportError as error:
    print(error.name)
"""


def test_without_flask_there_is_the_rest() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT_FLASK], check=True, capture_output=True, text=True)
    assert result.stdout == "flask\n"
