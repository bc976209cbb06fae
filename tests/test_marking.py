"""The decorators themselves: what they take and refuse, and that a mark reaches nothing but the object passed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import EllipsisType, MethodType
from typing import Any

import pytest
from flask import Blueprint, Flask, request_started
from flask.views import MethodView, View
from pages import PAGE, REFUSED, STRANGER, VARY, Answer, granted, preflight, send
from test_marks import INHERITED, MARKED, View_, app_with, loud, marked, max_age

from flask_preflight import PolicyError, Preflight, cors_blueprint, cors_exempt, cors_route
from flask_preflight.marks import warn_of_no_extension
from flask_preflight.problems import show

# ---------------------------------------------------------------------------------------
# A mark reaches the object that was passed, and nothing else
# ---------------------------------------------------------------------------------------


def test_a_marked_send_static_file_marks_no_other_static_file(tmp_path: Path) -> None:
    (tmp_path / "robots.txt").write_text("public", encoding="utf-8")
    (tmp_path / "report.json").write_text("private", encoding="utf-8")

    def new() -> Flask:
        app = Flask(__name__, static_folder=tmp_path, static_url_path="/static")
        Preflight(app, allow_origins=[PAGE])
        return app

    public, other = new(), new()
    view = cors_route(allow_origins="*")(public.send_static_file)
    public.add_url_rule("/robots.txt", "robots", view, defaults={"filename": "robots.txt"})
    other.add_url_rule("/report.json", "report", other.send_static_file, defaults={"filename": "report.json"})
    assert send(public, "GET", "/robots.txt", origin=STRANGER).cors["Access-Control-Allow-Origin"] == "*"
    for app, path in ((public, "/static/report.json"), (other, "/report.json"), (other, "/static/report.json")):
        assert send(app, "GET", path, origin=STRANGER) == Answer(200, VARY, "private")
        assert preflight(app, "GET", path, origin=STRANGER) == REFUSED


class Counter:
    """An object whose methods are views."""

    def __init__(self, start: int) -> None:
        self.start = start

    def view(self, more: int = 0, *, even_more: int = 0) -> str:
        """The docstring."""
        return str(self.start + more + even_more)

    async def asynchronous(self) -> str:
        return str(self.start)


def test_a_marked_method_of_an_instance_marks_no_other_instance() -> None:
    one, two = Counter(1), Counter(2)
    app = app_with(
        ("/marked", marked(one.view)),
        ("/same", one.view),
        ("/other", two.view),
        ("/other-marked", cors_route(max_age=8)(two.view)),
        methods=["PUT"],
    )
    ages = [max_age(app, path=path) for path in ("/marked", "/same", "/other", "/other-marked")]
    assert ages == [MARKED, INHERITED, INHERITED, "8"]
    assert [send(app, "PUT", path).text for path in ("/marked", "/same", "/other", "/other-marked")] == [*"1122"]


def test_a_marked_method_is_still_that_method() -> None:
    method = marked(Counter(1).view)
    assert (method.__name__, method.__doc__, method.__module__) == ("view", "The docstring.", __name__)
    assert inspect.signature(method) == inspect.signature(Counter(1).view)
    assert (method(), method(1), method(1, even_more=1)) == ("1", "2", "3")
    assert not inspect.iscoroutinefunction(method)
    assert inspect.iscoroutinefunction(marked(Counter(1).asynchronous))
    app = app_with()
    app.put("/named")(method)
    assert "view" in app.view_functions
    app.put("/asynchronous")(marked(Counter(3).asynchronous))
    assert send(app, "PUT", "/asynchronous").text == "3"
    assert max_age(app, path="/asynchronous") == MARKED


def test_a_marked_method_that_is_no_python_function_keeps_its_name() -> None:
    text = "here"
    method: Any = marked(MethodType(len, text))
    assert (method(), method.__name__) == (4, "len")
    app = app_with(("/", marked(MethodType(str, text))), methods=["PUT"])
    assert (max_age(app), send(app, "PUT", "/").text) == (MARKED, "here")


def test_a_closure_in_a_marked_method_still_works() -> None:
    def make(greeting: str) -> Any:
        class Greeter:
            def view(self) -> str:
                return f"{greeting} from {__class__.__name__}"  # type: ignore[name-defined]

        return Greeter()

    assert marked(make("hello").view)() == "hello from Greeter"


def test_a_marked_method_is_a_copy_that_later_marks_of_its_class_do_not_reach() -> None:
    class Views:
        def view(self) -> str:
            return ""

    copy = marked(Views().view)
    assert not hasattr(copy, "__wrapped__")
    cors_route(max_age=8)(Views.view)
    app = app_with(("/copy", copy), ("/class", Views().view), methods=["PUT"])
    assert (max_age(app, path="/copy"), max_age(app, path="/class")) == (MARKED, "8")


def test_a_marked_method_keeps_the_marks_of_the_functions_that_it_wraps() -> None:
    def inner(self: object) -> str:
        return ""

    class Views:
        view = loud(inner)

    cors_route(max_age=8)(inner)
    app = app_with(("/", cors_route(allow_headers=["X-Outer"])(Views().view)), methods=["PUT"])
    assert preflight(app, "PUT", "/") == granted("OPTIONS, PUT", "X-Outer", "8")


def test_a_marked_method_may_be_marked_again() -> None:
    app = app_with(("/", cors_route(max_age=8)(marked(Counter(1).view))), methods=["PUT"])
    assert max_age(app) == "8"


@pytest.mark.parametrize("length", [1, 2])
def test_a_cycle_of_wrappers_ends(length: int) -> None:
    """Flask and `functools` do not make such cycles, but a decorator may."""

    def cycle(mark: Callable[[View_], View_]) -> View_:
        views: list[Any] = [lambda: "" for _ in range(length)]
        for view, wrapped in zip(views, [*views[1:], views[0]], strict=True):
            view.__wrapped__ = wrapped
        return mark(views[0])

    app = app_with(("/", cycle(marked)), methods=["PUT"])
    assert max_age(app) == MARKED
    app = app_with(("/", cycle(cors_route(allow_credentials=True, expose_headers="*"))), methods=["PUT"])
    with pytest.raises(PolicyError, match=r"view '_' at "):
        preflight(app, "PUT", "/")


# ---------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(lambda view: cors_exempt(cors_route(view)), id="exempt above"),
        pytest.param(lambda view: cors_route(cors_exempt(view)), id="exempt below"),
        pytest.param(lambda view: cors_route(max_age=1)(loud(cors_exempt(view))), id="a decorator between"),
    ],
)
def test_marked_both_ways(mark: Callable[[Any], Any]) -> None:
    def view() -> str:
        return ""

    with pytest.raises(
        TypeError, match=r"view.* is marked with cors_exempt and for CORS as well: remove one of the two"
    ):
        mark(view)


def test_a_blueprint_marked_both_ways() -> None:
    with pytest.raises(TypeError, match=r"Blueprint 'home'.* is marked with cors_exempt"):
        cors_exempt(cors_blueprint(Blueprint("home", __name__), max_age=1))


@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(lambda: cors_route(allow_origin=["*"]), id="cors_route"),  # type: ignore[call-overload]
        pytest.param(lambda: cors_blueprint(Blueprint("x", __name__), allow_origin=["*"]), id="cors_blueprint"),  # type: ignore[call-arg]
    ],
)
def test_unknown_fields(mark: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"a policy has no field 'allow_origin'; did you mean 'allow_origins'\?"):
        mark()


class Slotted:
    __slots__ = ()

    def __call__(self) -> str:
        return ""


NO_VIEWS: list[Any] = [
    pytest.param(len, "because it takes no attributes; wrap it in a function$", id="built-in function"),
    pytest.param("x".upper, "because it takes no attributes; wrap it in a function$", id="built-in method"),
    pytest.param(Slotted(), "because it takes no attributes; wrap it in a function$", id="without attributes"),
    pytest.param(dict, "is not a subclass of flask.views.View, ", id="built-in class"),
    pytest.param(object, "is not a subclass of flask.views.View, ", id="object"),
    pytest.param(Slotted, "is not a subclass of flask.views.View, ", id="class that is no view"),
    pytest.param("api", "is not a view function, view class, or blueprint; write cors_(exempt|route)", id="name"),
    pytest.param(
        {"max_age": 1}, "is not a view function, view class, or blueprint; write cors_(exempt|route)", id="dict"
    ),
    pytest.param(
        property(lambda self: ""),
        "is not a view function, view class, or blueprint; write cors_(exempt|route)",
        id="property",
    ),
    # callable, and a mark on it would have no effect
    pytest.param(Flask(__name__), r"^<Flask '.*'> is an app; write (cors_exempt|Preflight)\(", id="app"),
    pytest.param(False, "is not a view function, view class, or blueprint; write cors_(exempt|route)", id="False"),
]


@pytest.mark.parametrize(("target", "message"), NO_VIEWS)
@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(cors_route, id="bare"),
        pytest.param(cors_route(max_age=1), id="cors_route"),
        pytest.param(cors_exempt, id="cors_exempt"),
    ],
)
def test_objects_that_are_no_views(mark: Callable[[Any], Any], target: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        mark(target)


@pytest.mark.parametrize(
    "target", [lambda: "", View, ["/api"], None, Flask(__name__)], ids=lambda each: type(each).__name__
)
def test_objects_that_are_no_blueprints(target: Any) -> None:
    right = r"(mark a view with cors_route: write cors_route|write cors_blueprint)\(.*max_age=1\)(\(view\))?"
    message = f"^{re.escape(show(target))} is not a blueprint; {right}$"
    with pytest.raises(TypeError, match=message):
        cors_blueprint(target, max_age=1)


@pytest.mark.parametrize("mark", [cors_route, cors_route(max_age=1)], ids=["bare", "with changes"])
def test_a_blueprint_in_cors_route(mark: Callable[[Any], Any]) -> None:
    right = r"write cors_blueprint\(blueprint, (max_age=1|allow_origins=.*)\)"
    with pytest.raises(TypeError, match=rf"^<Blueprint 'home'> is a blueprint; {right}$"):
        mark(Blueprint("home", __name__))


BAD_VALUES: list[Any] = [
    pytest.param({"max_age": -1}, ["max-age-range"], id="out of range"),
    pytest.param({"allow_origins": ["https://p.example/"]}, ["origin-trailing-slash"], id="origin"),
    pytest.param({"allow_methods": ["put"], "max_age": -1}, ["method-case", "max-age-range"], id="two at once"),
    pytest.param({"allow_headers": "X-One"}, ["bare-string"], id="string"),
    pytest.param({"allow_headers": [..., "not a name"]}, ["header-invalid"], id="beside three dots"),
    pytest.param({"allow_headers": ["..."]}, ["ellipsis-as-string"], id="three dots in quotes"),
]


@pytest.mark.parametrize(("changes", "ids"), BAD_VALUES)
@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(lambda **changes: cors_route(**changes), id="cors_route"),
        pytest.param(lambda **changes: cors_blueprint(Blueprint("x", __name__), **changes), id="cors_blueprint"),
    ],
)
def test_values_that_are_wrong_by_themselves_are_reported_at_once(
    mark: Callable[..., object], changes: dict[str, Any], ids: list[str]
) -> None:
    with pytest.raises(PolicyError) as caught:
        mark(**changes)
    assert sorted(problem.id for problem in caught.value.problems) == sorted(ids)


@pytest.mark.parametrize(
    "changes",
    [
        {"allow_origins": [...]},
        {"allow_headers": [..., "X-One"]},
        {"allow_origins": "*", "allow_credentials": True},
        {"allow_origins": ["null"]},
        {"allow_origins": ["http://insecure.example"], "allow_credentials": True},
        {"expose_headers": "*", "allow_credentials": True},
    ],
    ids=str,
)
def test_values_that_depend_on_others_are_checked_when_they_are_merged(changes: dict[str, Any]) -> None:
    """Other levels may set the other field."""
    cors_route(**changes)(lambda: "")


def test_iterators_can_be_marked_with() -> None:
    """They are read once, and merged several times."""
    names: list[str | EllipsisType] = [..., "X-One"]
    mark = cors_route(allow_headers=iter(names))
    app = app_with(("/", mark(lambda: "")), ("/other", mark(lambda: "")), methods=["PUT"])
    expected = granted("OPTIONS, PUT", "Content-Type, X-One")
    assert preflight(app, "PUT", "/") == preflight(app, "PUT", "/other") == expected


def test_lists_that_change_later_change_no_mark() -> None:
    names = ["X-One"]
    app = app_with(("/", cors_route(allow_headers=names)(lambda: "")), methods=["PUT"])
    names.append("X-Two")
    assert preflight(app, "PUT", "/") == granted("OPTIONS, PUT", "X-One")


# ---------------------------------------------------------------------------------------
# An app without the extension
# ---------------------------------------------------------------------------------------


@pytest.fixture
def first_request() -> Iterator[None]:
    """As if this process had served no request."""
    request_started.connect(warn_of_no_extension)
    yield
    request_started.disconnect(warn_of_no_extension)


def unmarked(app: Flask) -> None:
    app.add_url_rule("/", "index", lambda: "")


def exempt(app: Flask) -> None:
    app.add_url_rule("/", "index", cors_exempt(lambda: ""))


def of_a_view(app: Flask) -> None:
    @app.put("/data")
    @cors_route(allow_origins=[PAGE])
    def put_data() -> str:
        return ""


def of_a_method(app: Flask) -> None:
    class Data(MethodView):
        def get(self) -> str:
            return ""

        @cors_route(max_age=60)
        def put(self) -> str:
            return ""

    app.add_url_rule("/data", view_func=Data.as_view("data"))


def of_a_blueprint(app: Flask) -> None:
    blueprint = cors_blueprint(Blueprint("api", __name__), max_age=60)
    blueprint.add_url_rule("/data", "data", lambda: "")
    app.register_blueprint(blueprint)


@pytest.mark.parametrize(
    ("add_views", "mark"),
    [
        pytest.param(unmarked, None, id="no mark"),
        pytest.param(exempt, None, id="exempt"),
        pytest.param(of_a_view, "cors_route on of_a_view.<locals>.put_data", id="view"),
        pytest.param(of_a_method, "cors_route on of_a_method.<locals>.Data.put", id="method"),
        pytest.param(of_a_blueprint, "cors_blueprint on api", id="blueprint"),
    ],
)
@pytest.mark.parametrize("has_extension", [False, True], ids=["without Preflight", "with it"])
@pytest.mark.usefixtures("first_request")
def test_marks_in_an_app_without_the_extension_are_a_warning_at_the_first_request(
    has_extension: bool, add_views: Callable[[Flask], None], mark: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("shop", static_folder=None)
    add_views(app)
    if has_extension:
        Preflight(app, allow_origins=[PAGE])
    for _ in range(2):
        assert send(app, "GET", "/nowhere").status == 404
    advice = "has no effect, because <Flask 'shop'> has no Preflight: write Preflight(app, allow_origins=[...])."
    said = [f"{mark} {advice}"] if mark and not has_extension else []
    assert [message.partition(": ")[2] for message in caplog.messages] == said
    assert all(message.startswith(f"{__file__}:") for message in caplog.messages)


@pytest.mark.usefixtures("first_request")
def test_only_the_first_request_of_a_process_looks_for_marks() -> None:
    app = Flask("shop")
    assert warn_of_no_extension in list(request_started.receivers_for(app))
    send(app, "GET", "/nowhere")
    assert warn_of_no_extension not in list(request_started.receivers_for(app))
