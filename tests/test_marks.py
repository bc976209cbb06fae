"""Marks on every kind of view, in any order of decorators: what is marked, and which mark counts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from types import MethodType
from typing import Any, ClassVar, Protocol, TypeVar, cast

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView, View
from pages import PAGE, Answer, granted, preflight, readable, send

from flask_preflight import Preflight, cors_blueprint, cors_exempt, cors_route
from flask_preflight.marks import place_of_view

Some = TypeVar("Some")
View_ = Callable[..., Any]


class Marking(Protocol):
    """A decorator that returns its argument, or a copy of it."""

    def __call__(self, target: Some, /) -> Some: ...


Kind = Callable[[Marking], View_]

marked = cors_route(max_age=7)

MARKED = "7"
INHERITED = "600"


def app_with(*views: tuple[str, View_], **options: Any) -> Flask:
    app = Flask(__name__)
    Preflight(app, allow_origins=[PAGE])
    for path, view in views:
        app.add_url_rule(path, path.replace("/", "_"), view, **options)
    return app


def max_age(app: Flask, method: str = "PUT", path: str = "/") -> str:
    """How long a preflight may be cached, which is different in each policy of these tests."""
    answer = preflight(app, method, path)
    assert answer.status == 204
    return answer.cors["Access-Control-Max-Age"]


def loud(view: View_) -> View_:
    """A decorator as most are: it copies the attributes of the view."""

    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return f"{view(*args, **kwargs)}!"

    return wrapper


# ---------------------------------------------------------------------------------------
# Every kind of view. Each function makes a new one, with the mark as a decorator.
# ---------------------------------------------------------------------------------------


def function(mark: Marking) -> View_:
    @mark
    def view() -> str:
        return "here"

    return view


def coroutine(mark: Marking) -> View_:
    @mark
    async def view() -> str:
        return "here"

    return view


def above_a_decorator(mark: Marking) -> View_:
    @mark
    @loud
    def view() -> str:
        return "here"

    return view


def below_a_decorator(mark: Marking) -> View_:
    @loud
    @mark
    def view() -> str:
        return "here"

    return view


def below_a_decorator_later(mark: Marking) -> View_:
    """There was no mark yet that the decorator could copy."""

    def view() -> str:
        return "here"

    wrapped = loud(loud(view))
    mark(view)
    return wrapped


def cached(mark: Marking) -> View_:
    return lru_cache(function(mark))


def of_a_partial(mark: Marking) -> View_:
    return mark(partial(function(lambda view: view)))


def inside_a_partial(mark: Marking) -> View_:
    return partial(function(mark))


def bound_method(mark: Marking) -> View_:
    class Views:
        def view(self) -> str:
            return "here"

    return mark(Views().view)


def method_then_bound(mark: Marking) -> View_:
    class Views:
        @loud
        @mark
        def view(self) -> str:
            return "here"

    return Views().view


def class_method(mark: Marking) -> View_:
    class Views:
        @mark
        @classmethod
        def view(cls) -> str:
            return "here"

    return Views.view


def static_method(mark: Marking) -> View_:
    class Views:
        @mark
        @staticmethod
        def view() -> str:
            return "here"

    return Views.view


def callable_object(mark: Marking) -> View_:
    class Callable_:
        def __call__(self) -> str:
            return "here"

    return mark(Callable_())


def called_method_of_an_object(mark: Marking) -> View_:
    class Callable_:
        @mark
        def __call__(self) -> str:
            return "here"

    return Callable_()


def inherited_called_method_of_an_object(mark: Marking) -> View_:
    class Base:
        @loud
        @mark
        def __call__(self) -> str:
            return "here"

    class Callable_(Base):
        pass

    return loud(partial(Callable_()))


def view_class(mark: Marking) -> View_:
    @mark
    class Data(View):
        def dispatch_request(self) -> str:
            return "here"

    return Data.as_view("data")


def dispatching_function(mark: Marking) -> View_:
    class Data(View):
        @mark
        def dispatch_request(self) -> str:
            return "here"

    return Data.as_view("data")


def dispatching_function_beside_helpers(mark: Marking) -> View_:
    """Flask does not call the methods ``get`` and ``put`` of a plain view."""

    class Data(View):
        @mark
        def dispatch_request(self) -> str:
            return self.put()

        def get(self) -> str:
            return "here"

        put = get

    return Data.as_view("data")


def dispatching_function_of_methods(mark: Marking) -> View_:
    class Data(MethodView):
        @mark
        def dispatch_request(self, **values: Any) -> Any:
            return super().dispatch_request(**values)

        def put(self) -> str:
            return "here"

    return Data.as_view("data")


def inherited_dispatching_function(mark: Marking) -> View_:
    class Base(MethodView):
        @loud
        @mark
        def dispatch_request(self, **values: Any) -> Any:
            return super().dispatch_request(**values)

    class Data(Base):
        def put(self) -> str:
            return "here"

    return Data.as_view("data")


def base_class(mark: Marking) -> View_:
    @mark
    class Base(View):
        def dispatch_request(self) -> str:
            return "here"

    class Data(Base):
        init_every_request: ClassVar[bool] = False

    return Data.as_view("data")


def method_of_mixin(mark: Marking) -> View_:
    class Mixin:
        @mark
        def put(self) -> str:
            return "here"

    class Data(Mixin, MethodView):
        pass

    return Data.as_view("data")


def view_class_later(mark: Marking) -> View_:
    class Data(View):
        def dispatch_request(self) -> str:
            return "here"

    view = Data.as_view("data")
    mark(Data)
    return view


def as_view(mark: Marking) -> View_:
    class Data(MethodView):
        def put(self) -> str:
            return "here"

    return mark(Data.as_view("data"))


def as_view_inside_a_decorator(mark: Marking) -> View_:
    return loud(as_view(mark))


def class_decorators(mark: Marking) -> View_:
    class Data(MethodView):
        decorators: ClassVar[list[Callable[..., Any]]] = [loud, mark, loud]

        def put(self) -> str:
            return "here"

    return Data.as_view("data")


def method_of_class(mark: Marking) -> View_:
    class Data(MethodView):
        @mark
        def put(self) -> str:
            return "here"

    return Data.as_view("data")


def decorated_method_of_decorated_class(mark: Marking) -> View_:
    class Data(MethodView):
        decorators: ClassVar[list[Callable[..., Any]]] = [loud]

        @loud
        @mark
        @loud
        def put(self) -> str:
            return "here"

    return loud(Data.as_view("data"))


def static_method_of_class(mark: Marking) -> View_:
    class Data(MethodView):
        @staticmethod
        @mark
        def put() -> str:
            return "here"

    return Data.as_view("data")


def inherited_method(mark: Marking) -> View_:
    class Base(MethodView):
        @mark
        def put(self) -> str:
            return "here"

    class Data(Base):
        def get(self) -> str:
            return ""

    return Data.as_view("data")


KINDS: list[Kind] = [
    function,
    coroutine,
    above_a_decorator,
    below_a_decorator,
    below_a_decorator_later,
    cached,
    of_a_partial,
    inside_a_partial,
    bound_method,
    method_then_bound,
    class_method,
    static_method,
    callable_object,
    called_method_of_an_object,
    inherited_called_method_of_an_object,
    view_class,
    dispatching_function,
    dispatching_function_beside_helpers,
    dispatching_function_of_methods,
    inherited_dispatching_function,
    base_class,
    method_of_mixin,
    view_class_later,
    as_view,
    as_view_inside_a_decorator,
    class_decorators,
    method_of_class,
    decorated_method_of_decorated_class,
    static_method_of_class,
    inherited_method,
]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@every_kind
def test_a_mark_counts_on_every_kind_of_view(kind: Kind) -> None:
    app = app_with(("/", kind(cors_route(max_age=7, expose_headers=["ETag"]))), methods=["PUT"])
    assert max_age(app) == MARKED
    assert send(app, "PUT", "/")[:2] == (200, readable(expose="ETag"))


@every_kind
def test_an_exemption_counts_on_every_kind_of_view(kind: Kind) -> None:
    app = app_with(("/", kind(cors_exempt)), methods=["PUT"])
    assert preflight(app, "PUT", "/") == Answer(200, {}, "")


@every_kind
def test_without_a_mark_the_whole_policy_is_inherited(kind: Kind) -> None:
    app = app_with(("/", kind(lambda view: view)), methods=["PUT"])
    assert preflight(app, "PUT", "/") == granted("OPTIONS, PUT")


@every_kind
def test_a_mark_wraps_nothing(kind: Kind) -> None:
    """Of methods and the like, whose attributes are shared with others, a copy is marked."""
    given: list[object] = []

    def mark(view: Some) -> Some:
        given.append(view)
        result: Any = marked(view)
        if isinstance(view, MethodType | staticmethod | classmethod):
            assert type(result) is type(view)
            assert result.__func__ is not view.__func__
            assert vars(view.__func__) == {}
        else:
            assert result is view
        return cast(Some, result)

    kind(mark)
    assert len(given) == 1


@every_kind
def test_the_place_of_every_kind_of_view_is_found(kind: Kind) -> None:
    view = kind(marked)
    file, _, line = place_of_view(view, "PUT").rpartition(":")
    lines, first = inspect.getsourcelines(TAKEN_FROM.get(kind, kind))
    assert file == __file__
    assert first <= int(line) < first + len(lines)


TAKEN_FROM: dict[Kind, Kind] = {
    cached: function,
    of_a_partial: function,
    inside_a_partial: function,
    as_view_inside_a_decorator: as_view,
}


# ---------------------------------------------------------------------------------------
# Above and below app.route
# ---------------------------------------------------------------------------------------


def test_above_or_below_app_route() -> None:
    app = app_with()

    @cors_route(max_age=1)
    @app.put("/above")
    def above() -> str:
        return ""

    @app.put("/below")
    @cors_route(max_age=2)
    def below() -> str:
        return ""

    @app.put("/between")
    @cors_route(max_age=3)
    @app.put("/two-urls")
    def between() -> str:
        return ""

    blueprint = Blueprint("blueprint", __name__)

    @cors_route(max_age=4)
    @blueprint.put("/in-blueprint")
    @loud
    def in_blueprint() -> str:
        return ""

    app.register_blueprint(blueprint)
    ages = [max_age(app, path=path) for path in ("/above", "/below", "/between", "/two-urls", "/in-blueprint")]
    assert ages == ["1", "2", "3", "3", "4"]


def test_bare() -> None:
    """It changes no field. It only makes the URL handle OPTIONS."""

    @cors_route
    def view() -> str:
        return ""

    app = app_with(("/", view), methods=["PUT"], provide_automatic_options=False)
    assert preflight(app, "PUT", "/") == granted("OPTIONS, PUT")
    assert send(app, "OPTIONS", "/", origin=None).status == 200


# ---------------------------------------------------------------------------------------
# Which mark counts
# ---------------------------------------------------------------------------------------


def test_precedence_from_the_app_to_the_method() -> None:
    """Each level adds one header, and replaces ``max_age``."""
    app = Flask(__name__)
    Preflight(app, allow_origins=[PAGE], allow_headers=["X-App"], max_age=1)
    outer = cors_blueprint(Blueprint("outer", __name__), allow_headers=[..., "X-Outer"], max_age=2)
    inner = cors_blueprint(Blueprint("inner", __name__), allow_headers=[..., "X-Inner"], max_age=3)

    @cors_route(allow_headers=[..., "X-Base"], max_age=4)
    class Base(MethodView):
        def get(self) -> str:
            return ""

    @cors_route(allow_headers=[..., "X-Class"], max_age=5)
    class Data(Base):
        @cors_route(allow_headers=[..., "X-Method"], max_age=7)
        def put(self) -> str:
            return ""

        @cors_route(allow_headers=["X-Alone"])
        def patch(self) -> str:
            return ""

    app.add_url_rule("/base", view_func=Base.as_view("base"))
    app.add_url_rule("/class", view_func=Data.as_view("class"))
    inner.add_url_rule("/", view_func=cors_route(allow_headers=[..., "X-View"], max_age=6)(Data.as_view("data")))
    inner.put("/plain", endpoint="plain")(lambda: "")
    outer.put("/plain-outer", endpoint="plain")(lambda: "")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)

    def policy(method: str, path: str) -> tuple[str, str]:
        cors = preflight(app, method, path).cors
        return cors["Access-Control-Allow-Headers"], cors["Access-Control-Max-Age"]

    assert policy("PUT", "/missing") == ("X-App", "1")
    assert policy("PUT", "/plain-outer") == ("X-App, X-Outer", "2")
    assert policy("PUT", "/plain") == ("X-App, X-Inner, X-Outer", "3")
    assert policy("GET", "/base") == ("X-App, X-Base", "4")
    assert policy("GET", "/class") == ("X-App, X-Base, X-Class", "5")
    assert policy("GET", "/") == ("X-App, X-Base, X-Class, X-Inner, X-Outer, X-View", "6")
    assert policy("PUT", "/") == ("X-App, X-Base, X-Class, X-Inner, X-Method, X-Outer, X-View", "7")
    assert policy("PATCH", "/") == ("X-Alone", "6")


def test_of_two_marks_on_one_view_the_upper_one_counts() -> None:
    """Decorators are applied from below, so the upper one comes last. A decorator in between changes nothing."""
    lower, upper = cors_route(max_age=1, allow_headers=["X-Lower"]), cors_route(max_age=2)
    app = app_with(
        ("/one", upper(lower(lambda: ""))),
        ("/two", upper(loud(lower(lambda: "")))),
        ("/three", loud(upper(loud(lower(lambda: ""))))),
        methods=["PUT"],
    )
    for path in ("/one", "/two", "/three"):
        assert preflight(app, "PUT", path) == granted("OPTIONS, PUT", "X-Lower", "2")


def test_the_outer_wrapper_counts_even_if_the_view_is_marked_later() -> None:
    class Data(MethodView):
        def put(self) -> str:
            return ""

    def view() -> str:
        return ""

    put, wrapper = Data.put, loud(view)
    Data.put = cors_route(max_age=2)(loud(put))  # type: ignore[method-assign]
    for mark, target in ((cors_route(max_age=2), wrapper), (cors_route(max_age=1), view), (cors_route(max_age=1), put)):
        mark(target)
    app = app_with(("/function", wrapper), ("/class", Data.as_view("data")), methods=["PUT"])
    assert (max_age(app, path="/function"), max_age(app, path="/class")) == ("2", "2")


def test_a_mark_counts_once_where_it_was_made_whatever_wrappers_copied_it() -> None:
    def view() -> str:
        return ""

    cors_route(max_age=1, allow_headers=["X-First"])(view)
    wrapper = loud(loud(view))
    cors_route(max_age=2, allow_headers=[..., "X-Second"])(view)
    app = app_with(("/", wrapper), methods=["PUT"])
    assert preflight(app, "PUT", "/") == granted("OPTIONS, PUT", "X-First, X-Second", "2")


def test_marks_of_one_method_are_not_those_of_another() -> None:
    class Data(MethodView):
        def get(self) -> str:
            return ""

        @marked
        def put(self) -> str:
            return ""

    class Overridden(Data):
        def put(self) -> str:
            return ""

    class Headed(MethodView):
        @marked
        def get(self) -> str:
            return ""

    class HeadedApart(Headed):
        @cors_route(max_age=8)
        def head(self) -> str:
            return ""

    app = app_with(
        ("/data", Data.as_view("data")),
        ("/overridden", Overridden.as_view("overridden")),
        ("/headed", Headed.as_view("headed")),
        ("/apart", HeadedApart.as_view("apart")),
    )
    asked = [("GET", "/data"), ("PUT", "/data"), ("PUT", "/overridden")]
    assert [max_age(app, *each) for each in asked] == [INHERITED, MARKED, INHERITED]
    asked = [("GET", "/headed"), ("HEAD", "/headed"), ("GET", "/apart"), ("HEAD", "/apart")]
    assert [max_age(app, *each) for each in asked] == [MARKED, MARKED, MARKED, "8"]


def test_a_mark_of_a_class_is_not_its_base_classes() -> None:
    class Base(MethodView):
        def put(self) -> str:
            return ""

    @marked
    class Data(Base):
        pass

    app = app_with(("/base", Base.as_view("base")), ("/data", Data.as_view("data")))
    assert (max_age(app, path="/base"), max_age(app, path="/data")) == (INHERITED, MARKED)


EXEMPT = "exempt"
marked_blueprint = partial(cors_blueprint, max_age=7)


@pytest.mark.parametrize(
    ("blueprint", "view_class", "method", "expected"),
    [
        pytest.param(None, None, cors_exempt, EXEMPT, id="method"),
        pytest.param(None, cors_exempt, None, EXEMPT, id="class"),
        pytest.param(cors_exempt, None, None, EXEMPT, id="blueprint"),
        pytest.param(cors_exempt, None, cors_route(max_age=7), MARKED, id="method in exempt blueprint"),
        pytest.param(None, cors_exempt, cors_route(max_age=7), MARKED, id="method of exempt class"),
        pytest.param(cors_exempt, cors_route(max_age=7), None, MARKED, id="class in exempt blueprint"),
        pytest.param(cors_exempt, cors_exempt, cors_route, INHERITED, id="bare mark in exempt class"),
        pytest.param(None, cors_route(max_age=7), cors_exempt, EXEMPT, id="exempt method of class"),
        pytest.param(marked_blueprint, cors_exempt, None, EXEMPT, id="exempt class in blueprint"),
        pytest.param(marked_blueprint, cors_exempt, cors_route, MARKED, id="the outer marks still count"),
    ],
)
def test_the_innermost_mark_decides(
    blueprint: Callable[[Any], Any] | None,
    view_class: Callable[[Any], Any] | None,
    method: Callable[[Any], Any] | None,
    expected: str,
) -> None:
    class Data(MethodView):
        @(method or (lambda view: view))
        def put(self) -> str:
            return ""

    home = Blueprint("home", __name__)
    home.add_url_rule("/", view_func=(view_class or (lambda view: view))(Data).as_view("data"))
    app = app_with()
    app.register_blueprint((blueprint or (lambda home: home))(home))
    answer = preflight(app, "PUT", "/")
    assert answer.cors.get("Access-Control-Max-Age", EXEMPT) == expected
    assert bool(send(app, "PUT", "/").cors) is (expected != EXEMPT)


Mark = Callable[[Any], Any]


def marks_everything(on_dispatch: Mark, on_get: Mark, on_put: Mark) -> tuple[type[View], type[View]]:
    """A plain view, and a view of methods, with the same names and marks."""

    class Plain(View):
        @on_dispatch
        def dispatch_request(self) -> str:
            return ""

        @on_get
        def get(self) -> str:
            return ""

        @on_put
        def put(self) -> str:
            return ""

    class Methods(MethodView):
        @on_dispatch
        def dispatch_request(self, **values: Any) -> Any:
            return super().dispatch_request(**values)

        @on_get
        def get(self) -> str:
            return ""

        @on_put
        def put(self) -> str:
            return ""

    return Plain, Methods


def unmarked(view: Some) -> Some:
    return view


def adds(name: str) -> Mark:
    return cors_route(allow_headers=[..., name])


# the marks of dispatch_request, get and put; what a plain view allows, and what GET and PUT of a view of methods allow
DISPATCHES: list[Any] = [
    pytest.param((unmarked, unmarked, unmarked), "", "", "", id="none"),
    pytest.param((adds("X-D"), unmarked, unmarked), "X-D", "X-D", "X-D", id="dispatch_request"),
    pytest.param((unmarked, unmarked, adds("X-P")), "", "", "X-P", id="put"),
    pytest.param((adds("X-D"), unmarked, adds("X-P")), "X-D", "X-D", "X-D, X-P", id="dispatch_request and put"),
    pytest.param((adds("X-D"), adds("X-G"), adds("X-P")), "X-D", "X-D, X-G", "X-D, X-P", id="all"),
    pytest.param((cors_exempt, unmarked, unmarked), None, None, None, id="dispatch_request exempt"),
    pytest.param((cors_exempt, unmarked, adds("X-P")), None, None, "X-P", id="dispatch_request exempt, put marked"),
    pytest.param((adds("X-D"), unmarked, cors_exempt), "X-D", "X-D", None, id="dispatch_request marked, put exempt"),
    pytest.param((unmarked, cors_exempt, unmarked), "", None, "", id="get exempt"),
]


@pytest.mark.parametrize(("marks", "of_plain", "of_get", "of_put"), DISPATCHES)
def test_marks_of_dispatch_request_count_outside_of_those_of_methods(
    marks: tuple[Mark, Mark, Mark], of_plain: str | None, of_get: str | None, of_put: str | None
) -> None:
    """Flask calls ``dispatch_request``, which calls the method. In a plain view it calls no other method."""
    plain, methods = marks_everything(*marks)
    rules = {"/plain": plain.as_view("plain"), "/methods": methods.as_view("methods")}
    app = app_with(*rules.items(), methods=["GET", "PUT"])
    expected = {"/plain": [of_plain] * 3, "/methods": [of_get, of_get, of_put]}
    for path, allowed in expected.items():
        answers = [preflight(app, method, path) for method in ("GET", "HEAD", "PUT")]
        names = [answer.cors.get("Access-Control-Allow-Headers") for answer in answers]
        assert names == [name if name is None else ", ".join(filter(None, ["Content-Type", name])) for name in allowed]
        assert [bool(send(app, method, path).cors) for method in ("GET", "PUT")] == [
            name is not None for name in allowed[1:]
        ]


# ---------------------------------------------------------------------------------------
# Blueprints
# ---------------------------------------------------------------------------------------


def test_marks_of_blueprints_return_the_blueprint() -> None:
    blueprint, other = Blueprint("one", __name__), Blueprint("two", __name__)
    assert cors_blueprint(blueprint, max_age=1) is blueprint
    assert cors_exempt(other) is other


def test_two_marks_of_a_blueprint_add_up() -> None:
    blueprint = Blueprint("home", __name__)
    cors_blueprint(blueprint, allow_headers=["X-First"], max_age=1)
    cors_blueprint(blueprint, allow_headers=[..., "X-Second"])
    blueprint.put("/")(lambda: "")
    app = app_with()
    app.register_blueprint(blueprint)
    assert preflight(app, "PUT", "/") == granted("OPTIONS, PUT", "X-First, X-Second", "1")


def test_a_view_of_several_blueprints_inherits_from_each_apart() -> None:
    """What is merged for one endpoint of a view must not count for another."""
    view = cors_route(allow_headers=[..., "X-View"], max_age=1)(lambda: "")
    inner = cors_blueprint(Blueprint("inner", __name__), allow_headers=[..., "X-Inner"], max_age=2)
    inner.put("/marked", endpoint="marked")(view)
    inner.put("/unmarked", endpoint="unmarked")(lambda: "")
    app = app_with(("/view", view), methods=["PUT"])
    expected = {"/view": (["X-View"], "1")}
    for name in ("one", "two"):
        header, prefix = f"X-{name.title()}", f"/{name}"
        outer = cors_blueprint(Blueprint(name, __name__, url_prefix=prefix), allow_headers=[..., header])
        outer.put("/view", endpoint="view")(view)
        outer.register_blueprint(inner)
        app.register_blueprint(outer)
        expected[f"{prefix}/view"] = ([header, "X-View"], "1")
        expected[f"{prefix}/marked"] = (["X-Inner", header, "X-View"], "1")
        expected[f"{prefix}/unmarked"] = (["X-Inner", header], "2")
    for path, (headers, age) in (*expected.items(), *reversed(expected.items())):
        answer = granted("OPTIONS, PUT", ", ".join(sorted(["Content-Type", *headers])), age)
        assert preflight(app, "PUT", path) == answer


# ---------------------------------------------------------------------------------------
# Where a view is
# ---------------------------------------------------------------------------------------


def test_the_place_of_a_method_a_class_and_a_function() -> None:
    class Data(MethodView):
        @marked
        def put(self) -> str:
            return ""

    def at(thing: Any) -> str:
        return f"{__file__}:{inspect.getsourcelines(thing)[1]}"

    view = Data.as_view("data")
    assert place_of_view(view, "PUT") == at(Data.put)
    assert place_of_view(view, "GET") == at(Data)
    assert place_of_view(loud(place_finder), "GET") == at(place_finder)


def place_finder() -> str:
    return ""


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(None, id="None"),
        pytest.param(len, id="built-in"),
        pytest.param(partial(len), id="partial of a built-in"),
    ],
)
def test_the_place_may_be_unknown(view: object) -> None:
    assert place_of_view(view, "GET") == "an unknown place"


def test_the_place_of_a_function_that_is_made_at_run_time() -> None:
    assert place_of_view(eval("lambda: ''"), "GET") in {"an unknown place", "<string>:1"}  # "<string>" since 3.13
