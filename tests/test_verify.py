"""``verify`` and the check at the first request: what is wrong with the policies of views, and where."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView, View, http_method_funcs
from pages import PAGE, REFUSED, VARY, preflight, send
from werkzeug.routing import Rule

from flask_preflight import Policy, PolicyError, Preflight, cors_blueprint, cors_exempt, cors_route, routes
from flask_preflight.policy import merge


def new_app(**config: Any) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config.update(config)
    app.route("/", methods=["GET", "PUT"])(index)
    return app


def index() -> str:
    return "here"


def line_of(view: Callable[..., Any]) -> str:
    return f"{__file__}:{view.__code__.co_firstlineno}"


def problems(error: PolicyError) -> list[tuple[str, str, str]]:
    return [(problem.field, problem.id, problem.where) for problem in error.problems]


# ---------------------------------------------------------------------------------------
# Bad policies. Each value is right by itself, and wrong together with others.
# ---------------------------------------------------------------------------------------


@cors_route(allow_credentials=True, expose_headers="*")
def bad_twice() -> str:
    return ""


@cors_route(allow_credentials=True)
def bad_once() -> str:
    return ""


class BadViews(MethodView):
    @cors_route(allow_origins=["null"])
    def get(self) -> str:
        return ""

    @cors_route(allow_credentials=True)
    def put(self) -> str:
        return ""

    @cors_route(allow_credentials=True)
    def delete(self) -> str:
        return ""


@cors_route(allow_credentials=True)
class BadClass(MethodView):
    def get(self) -> str:
        return ""

    def put(self) -> str:
        return ""


def app_with_bad_views() -> tuple[Preflight, Flask]:
    extension, app = Preflight(allow_origins="*"), new_app()
    extension.init_app(app)
    app.route("/view", methods=["GET", "PUT", "DELETE"])(bad_twice)
    app.route("/again")(bad_twice)
    app.route("/merged")(bad_once)
    app.add_url_rule("/class", view_func=BadViews.as_view("apart"))
    app.add_url_rule("/whole-class", view_func=BadClass.as_view("whole"))
    blueprint = cors_blueprint(Blueprint("home", __name__), allow_credentials=True)
    blueprint.route("/in-blueprint", endpoint="view")(index)
    app.register_blueprint(blueprint)
    app.url_map.add(Rule("/any", endpoint="any"))
    app.view_functions["any"] = bad_once
    return extension, app


@pytest.fixture(scope="module", autouse=True)
def reached_marks() -> None:
    """Lead rules to all marks of this file, so that no test warns of them, in whatever order the tests run."""
    extension, app = app_with_bad_views()
    with pytest.raises(PolicyError):
        extension.verify(app)


def test_bad_views_are_reported_together_each_with_its_place() -> None:
    extension, app = app_with_bad_views()
    star = ("allow_origins", "wildcard-with-credentials")
    expected = [
        (*star, f"view 'bad_twice' at {line_of(bad_twice)}"),
        ("expose_headers", "wildcard-with-credentials", f"view 'bad_twice' at {line_of(bad_twice)}"),
        (*star, f"view 'bad_once' at {line_of(bad_once)}"),
        (*star, f"view 'apart' at {line_of(BadViews.delete)}"),
        ("allow_origins", "null-origin", f"view 'apart' at {line_of(BadViews.get)}"),
        (*star, f"view 'apart' at {line_of(BadViews.put)}"),
        (*star, f"view 'whole' at {__file__}:{inspect.getsourcelines(BadClass)[1]}"),
        (*star, f"view 'home.view' at {line_of(index)}"),
        (*star, f"view 'any' at {line_of(bad_once)}"),
    ]
    attempts: list[Callable[[], object]] = [
        lambda: extension.verify(app),
        lambda: preflight(app, "PUT", "/"),
        lambda: send(app, "GET", "/"),
        lambda: send(app, "GET", "/"),
        lambda: extension.reconfigure(app, max_age=1),
    ]
    for attempt in attempts:
        with pytest.raises(PolicyError) as caught:
            attempt()
        assert problems(caught.value) == expected


def test_the_message_names_every_view_with_its_line() -> None:
    extension, app = Preflight(allow_origins="*"), new_app()
    extension.init_app(app)
    app.put("/bad")(bad_once)
    with pytest.raises(PolicyError) as caught:
        extension.verify(app)
    assert str(caught.value).startswith(
        f"1 problem with a CORS policy:\n- view 'bad_once' at {line_of(bad_once)}: allow_origins: '*' "
    )
    assert str(caught.value).endswith(" [wildcard-with-credentials]")


def test_methods_may_put_right_what_is_wrong_for_their_class() -> None:
    """HEAD is one of them, without a function of its own: Flask calls that of GET."""

    @cors_route(allow_credentials=False)
    def right(self: object) -> str:
        return ""

    data: Any = type("Data", (MethodView,), dict.fromkeys(http_method_funcs - {"head"}, right))
    app = new_app()
    app.add_url_rule("/class", view_func=cors_route(allow_credentials=True)(data).as_view("data"))
    Preflight(app, allow_origins="*").verify(app)
    assert preflight(app, "PUT", "/class").status == preflight(app, "HEAD", "/class").status == 204


def test_exempt_views_are_not_checked() -> None:
    app = new_app()
    blueprint = cors_blueprint(Blueprint("home", __name__), allow_credentials=True)
    blueprint.put("/exempt")(cors_exempt(lambda: ""))
    app.register_blueprint(blueprint)
    Preflight(app, allow_origins="*").verify(app)
    assert preflight(app, "PUT", "/").status == 204


def test_three_dots_have_nothing_to_stand_for_over_a_callable() -> None:
    app = new_app()
    app.put("/view")(cors_route(allow_origins=[..., PAGE])(lambda: ""))
    extension = Preflight(app, allow_origins=lambda origin, environ: True)
    with pytest.raises(PolicyError, match="nothing-to-inherit"):
        extension.verify(app)


def test_verify_raises_nothing_if_all_policies_are_valid(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app()
    app.put("/view")(cors_route(max_age=1)(lambda: ""))
    Preflight(app, allow_origins=[PAGE]).verify(app)
    assert caplog.messages == []


def test_a_view_that_is_added_during_the_check_does_not_disturb_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another thread, for example."""

    def adding(*levels: Any) -> Policy:
        app.view_functions[f"late{len(app.view_functions)}"] = index
        return merge(*levels)

    app = new_app()
    app.put("/one", endpoint="one")(cors_route(max_age=1)(lambda: ""))
    app.put("/two", endpoint="two")(bad_once)
    monkeypatch.setattr(routes, "merge", adding)
    extension = Preflight(app, allow_origins=[PAGE])
    extension.verify(app)
    with pytest.raises(PolicyError, match=r"view 'two' at "):
        extension.reconfigure(app, allow_origins="*")


def test_verify_checks_the_app_as_it_is_then() -> None:
    app = new_app()
    extension = Preflight(app, allow_origins="*")
    extension.verify(app)
    send(app, "GET", "/")
    app.url_map.add(Rule("/late", endpoint="late", methods=["PUT"]))
    app.view_functions["late"] = bad_once
    with pytest.raises(PolicyError, match=r"view 'late' at "):
        extension.verify(app)


# ---------------------------------------------------------------------------------------
# Views that are added after the check
# ---------------------------------------------------------------------------------------


def test_a_bad_view_added_after_the_first_request_allows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app()
    Preflight(app, allow_origins="*")
    send(app, "GET", "/")
    app.url_map.add(Rule("/late", endpoint="late", methods=["PUT"]))
    app.view_functions["late"] = bad_once
    for _ in range(2):
        assert preflight(app, "PUT", "/late") == REFUSED
    [record] = caplog.records
    assert (record.name, record.levelno) == ("flask_preflight", logging.ERROR)
    assert "The policy of the view 'late' is not valid" in record.getMessage()
    assert "[wildcard-with-credentials]" in record.getMessage()
    assert send(app, "PUT", "/late")[:2] == (200, VARY)
    assert preflight(app, "PUT", "/").status == 204


def test_each_bad_view_added_late_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app()
    Preflight(app, allow_origins="*")
    send(app, "GET", "/")
    for name in ("one", "two"):
        app.url_map.add(Rule(f"/{name}", endpoint=name, methods=["PUT"]))
        app.view_functions[name] = bad_once
    for _ in range(2):
        for name in ("one", "two"):
            assert preflight(app, "PUT", f"/{name}") == REFUSED
    starts = [record.getMessage().partition(" is not valid, ")[0] for record in caplog.records]
    assert starts == ["The policy of the view 'one'", "The policy of the view 'two'"]


@pytest.mark.parametrize("changes", [{"max_age": 1}, {"allow_credentials": True}], ids=["valid", "bad"])
def test_the_policy_of_a_view_is_merged_once(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers cannot make the app check long lists again and again."""
    merged: list[object] = []

    def counted(*levels: Any) -> Policy:
        merged.append(levels)
        return merge(*levels)

    app = new_app()
    app.add_url_rule("/view", endpoint="view", methods=["PUT"])
    Preflight(app, allow_origins="*")
    send(app, "GET", "/")
    monkeypatch.setattr(routes, "merge", counted)
    app.view_functions["view"] = cors_route(**changes)(lambda: "")
    statuses = {preflight(app, "PUT", "/view").status for _ in range(3)}
    assert statuses == {204 if "max_age" in changes else 403}
    send(app, "PUT", "/view")
    assert len(merged) == 1


def test_a_bad_view_added_late_is_explained_in_debug_mode() -> None:
    app = new_app()
    app.add_url_rule("/late", endpoint="late", methods=["PUT"])
    Preflight(app, allow_origins="*", debug=True)
    send(app, "GET", "/")
    app.view_functions["late"] = bad_once
    answer = preflight(app, "PUT", "/late")
    assert answer.status == 403
    assert answer.text.startswith("The policy of the view is not valid, so nothing is allowed: ")
    assert answer.cors["CORS-Refused"].startswith("policy-invalid; ")


# ---------------------------------------------------------------------------------------
# What is valid, and probably a mistake
# ---------------------------------------------------------------------------------------


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelno) == ("flask_preflight", logging.WARNING)
    ]


def opaque(view: Callable[[], str]) -> Callable[[], str]:
    """A decorator without `functools.wraps`, which loses the mark."""
    return lambda: view()


def test_verify_warns_of_a_mark_that_no_rule_reaches(caplog: pytest.LogCaptureFixture) -> None:
    def lost() -> str:
        return ""

    app = new_app()
    app.put("/lost", endpoint="lost")(opaque(cors_route(max_age=1)(lost)))
    Preflight(app, allow_origins=[PAGE]).verify(app)
    [message] = warnings(caplog)
    assert line_of(lost) in message


TWO_APPS = """
from flask import Blueprint, Flask
from flask.views import MethodView
from flask_preflight import Preflight, cors_blueprint, cors_exempt, cors_route

extension = Preflight(allow_origins=["https://frontend.com"])
public, admin = Flask(__name__), Flask(__name__)

@public.put("/public")
@cors_route(max_age=1)
def public_view(): return ""

@admin.put("/admin")
@cors_route(max_age=2)
def admin_view(): return ""

@admin.put("/exempt")
@cors_exempt
def exempt_view(): return ""

class Data(MethodView):
    @cors_route(max_age=3)
    def put(self): return ""

admin.add_url_rule("/class", view_func=Data.as_view("data"))
blueprint = cors_blueprint(Blueprint("home", __name__), max_age=4)
blueprint.put("/in-blueprint", endpoint="view")(lambda: "")
admin.register_blueprint(blueprint)
extension.init_app(public)
extension.init_app(admin)

@cors_route(max_age=5)
def forgotten_view(): return ""
"""


@pytest.mark.parametrize("served", [False, True], ids=["before the first request", "after it"])
@pytest.mark.parametrize("verified", ["public", "admin"])
def test_verify_does_not_warn_of_marks_that_another_app_of_the_module_reaches(
    verified: str, served: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"two_apps_{verified}_{served}"
    (tmp_path / f"{name}.py").write_text(TWO_APPS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(name)
    if served:
        for app in (module.public, module.admin):
            send(app, "GET", "/")
    module.extension.verify(getattr(module, verified))
    [message] = warnings(caplog)
    assert "cors_route on forgotten_view: no rule of the app leads to it" in message


HIDDEN = """
from flask import Flask
from flask_preflight import Preflight, cors_route

app = Flask(__name__)
Preflight(app, allow_origins=["https://frontend.com"])

def hiding(view):
    return lambda: view()

@app.get("/")
@hiding
@cors_route(max_age=1)
def hidden(): return ""
"""


@pytest.mark.parametrize("debug", [False, True], ids=["production", "debug"])
def test_in_debug_mode_the_first_request_warns_of_a_mark_that_a_decorator_hides(
    debug: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"hidden_{debug}"
    path = tmp_path / f"{name}.py"
    path.write_text(HIDDEN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    app = importlib.import_module(name).app
    app.debug = debug
    for _ in range(2):
        send(app, "GET", "/")
    said = [
        f"{path}:11: cors_route on hidden: no rule of the app leads to it: if a decorator hides it, write"
        " @functools.wraps(view) in that decorator; otherwise add a route for it."
    ]
    assert warnings(caplog) == (said if debug else [])


def make_view() -> Callable[[], str]:
    return lambda: ""


def make_class() -> type[View]:
    class Lost(View):
        pass

    return Lost


@pytest.mark.parametrize(
    ("make", "what"),
    [
        pytest.param(lambda: cors_route(make_view()), "cors_route on make_view.<locals>.<lambda>", id="view"),
        pytest.param(lambda: cors_exempt(make_view()), "cors_exempt on make_view.<locals>.<lambda>", id="exempt view"),
        pytest.param(lambda: cors_route(make_class()), "cors_route on make_class.<locals>.Lost", id="view class"),
        pytest.param(lambda: cors_blueprint(Blueprint("lost", __name__)), "cors_blueprint on lost", id="blueprint"),
        pytest.param(lambda: cors_exempt(Blueprint("lost", __name__)), "cors_exempt on lost", id="exempt blueprint"),
    ],
)
def test_the_warning_of_a_mark_says_where_it_is_and_on_what(
    make: Callable[[], object], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    marked = make()
    app = new_app()
    Preflight(app, allow_origins=[PAGE]).verify(app)
    [message] = warnings(caplog)
    del marked  # it had to live until here
    place, _, said = message.rpartition(f": {what}: ")
    assert place.startswith(f"{__file__}:")
    assert said.startswith("no rule of the app leads to it: ")


def test_verify_does_not_warn_of_marks_that_are_reached(caplog: pytest.LogCaptureFixture) -> None:
    def transparent(view: Callable[[], str]) -> Callable[[], str]:
        return functools.wraps(view)(lambda: view())

    class Data(MethodView):
        @cors_route(max_age=2)
        def put(self) -> str:
            return ""

    app = new_app()
    app.put("/kept", endpoint="kept")(transparent(cors_route(max_age=1)(lambda: "")))
    app.put("/twice", endpoint="twice")(cors_route(max_age=1)(cors_route(max_age=2)(lambda: "")))
    app.url_map.add(Rule("/any", endpoint="any"))  # for any method
    app.view_functions["any"] = Data.as_view("any")
    Preflight(app, allow_origins=[PAGE]).verify(app)
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("methods", "unreached"),
    [
        pytest.param(["PUT", "PROPFIND"], [], id="both, one of them rare"),
        pytest.param(["PUT"], ["propfind"], id="one"),
        pytest.param(["GET"], ["propfind", "put"], id="another"),
    ],
)
def test_the_mark_of_a_method_is_reached_by_a_rule_for_that_method(
    methods: list[str], unreached: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    class Data(MethodView):
        def get(self) -> str:
            return ""

        @cors_route(max_age=1)
        def put(self) -> str:
            return ""

        @cors_route(max_age=2)
        def propfind(self) -> str:
            return ""

    app = new_app()
    app.url_map.add(Rule("/data", endpoint="data", methods=methods))
    app.view_functions["data"] = Data.as_view("data")
    Preflight(app, allow_origins=[PAGE]).verify(app)
    places = {name: line_of(getattr(Data, name)) for name in unreached}
    assert sorted(message.partition(": no rule of the app leads to it: ")[0] for message in warnings(caplog)) == sorted(
        f"{place}: cors_route on {Data.__qualname__}.{name}" for name, place in places.items()
    )


def test_verify_warns_if_no_origin_is_allowed_anywhere(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app()
    app.put("/view")(cors_route(max_age=1)(lambda: ""))
    Preflight(app).verify(app)
    [message] = warnings(caplog)
    assert "origin" in message


def test_the_first_request_of_a_page_warns_if_no_origin_is_allowed_anywhere(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app()
    Preflight(app)
    send(app, "GET", "/", origin=None)
    assert warnings(caplog) == []
    for _ in range(2):
        preflight(app, "PUT", "/")
        send(app, "PUT", "/")
    [message] = warnings(caplog)
    assert "origin" in message


def test_an_exempt_view_allows_no_origin(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app()
    app.put("/exempt")(cors_exempt(lambda: ""))
    Preflight(app).verify(app)
    [message] = warnings(caplog)
    assert message.startswith("No origin is allowed anywhere in this app")


def test_an_origin_of_one_view_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app()
    app.put("/view")(cors_route(allow_origins=[PAGE])(lambda: ""))
    Preflight(app).verify(app)
    preflight(app, "PUT", "/")
    send(app, "PUT", "/")
    assert warnings(caplog) == []
