"""The extension on an app: which arguments it takes, where the app-wide policy comes from, and debug mode."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask, Response, current_app, g, request
from flask.views import MethodView
from pages import (
    PAGE,
    REFUSED,
    STRANGER,
    VARY,
    VARY_PREFLIGHT,
    Answer,
    granted,
    preflight,
    readable,
    send,
    without_line_numbers,
)
from werkzeug.local import LocalProxy

from flask_preflight import Policy, PolicyError, Preflight, PreflightMiddleware, cors_blueprint, cors_exempt, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

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


# ---------------------------------------------------------------------------------------
# Where the app-wide policy comes from
# ---------------------------------------------------------------------------------------


def test_levels_overrule_each_other_field_by_field() -> None:
    app = new_app(PREFLIGHT_ALLOW_HEADERS=["X-1"], PREFLIGHT_MAX_AGE=1, PREFLIGHT_PREFLIGHT_STATUS=201)
    app.config["PREFLIGHT_ALLOW_ORIGINS"] = [OTHER]
    extension = Preflight(allow_headers=["X-2"], max_age=2, allow_credentials=True)
    extension.init_app(app, max_age=3, allow_origins=[PAGE])
    answer = preflight(app, "PUT", "/")
    assert answer == granted("GET, HEAD, OPTIONS, PUT", "X-2", "3", credentials="true")._replace(status=201)


def test_three_dots_stand_for_the_values_of_the_level_below() -> None:
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


def test_iterators_and_lists_are_read_when_they_are_given() -> None:
    origins, headers = [PAGE], ["X-One"]
    extension = Preflight(allow_origins=iter(origins), allow_headers=headers)
    headers.append("X-Two")
    apps = [new_app(), new_app()]
    for app in apps:
        extension.init_app(app, expose_headers=iter(["ETag"]))
        extension.reconfigure(app, allow_methods=iter(["PUT"]))
        extension.reconfigure(app, max_age=1)
        assert preflight(app, "PUT", "/") == granted("PUT", "X-One", "1")
        assert send(app, "PUT", "/").cors == readable(expose="ETag")


# ---------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------


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
    with pytest.raises(TypeError, match=r"a policy has no field 'allow_origin'; did you mean 'allow_origins'\?"):
        call(app)
    assert "preflight" not in app.extensions


@pytest.mark.parametrize("second", [Preflight().init_app, Preflight], ids=["init_app", "constructor"])
def test_an_app_takes_only_one_extension(second: Callable[[Flask], object]) -> None:
    app = protected()
    first = f"Preflight(...) at {__file__}:{protected.__code__.co_firstlineno + 3}"
    with pytest.raises(RuntimeError) as caught:
        second(app)
    advice = "remove the second Preflight(app) or init_app(app)"
    assert str(caught.value) == f"{app!r} has a Preflight already, {first}: {advice}"
    assert preflight(app, "PUT", "/").status == 204


class Dash:
    """As in the package of that name: an object whose attribute ``server`` is the Flask app."""

    def __init__(self) -> None:
        self.server = Flask("server")

    def __repr__(self) -> str:
        return "<Dash>"


RIGHT = r"write Preflight\(app, allow_origins=\['https://frontend.com'\]\)$"

NOT_APPS = [
    pytest.param(
        Blueprint("api", __name__), r"^<Blueprint 'api'> is a blueprint, .*\bcors_blueprint\b", id="blueprint"
    ),
    pytest.param(Dash(), r"^<Dash> is not a Flask app, .*\.server\b", id="Dash"),
    pytest.param([PAGE], f"^the app comes first: {RIGHT}", id="list of origins"),
    pytest.param(PAGE, f"^the app comes first: {RIGHT}", id="origin"),
    pytest.param(Policy(allow_origins=[PAGE]), f"^the app comes first: {RIGHT}", id="policy"),
    pytest.param(new_app().wsgi_app, r" is not a Flask app: write Preflight\(app\)", id="wsgi_app"),
]


@pytest.mark.parametrize(("wrong", "message"), NOT_APPS)
@pytest.mark.parametrize("call", [Preflight, Preflight().init_app], ids=["constructor", "init_app"])
def test_something_else_than_an_app(call: Callable[[Any], object], wrong: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(wrong)


def test_init_app_without_an_app() -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match=r"^None is not a Flask app: write Preflight\(app\)"):
        Preflight().init_app(nothing)


@pytest.mark.parametrize("call", [Preflight, Preflight().init_app], ids=["constructor", "init_app"])
def test_positional_values_of_a_policy(call: Callable[..., object]) -> None:
    app = new_app()
    with pytest.raises(
        TypeError, match=r"write (Preflight|preflight.init_app)\(app, allow_origins=\['https://frontend.com'\]\)$"
    ):
        call(app, [PAGE])
    assert "preflight" not in app.extensions


@pytest.mark.parametrize("debug", ["0", 0, 1, "false", []], ids=repr)
@pytest.mark.parametrize("call", [Preflight, Preflight().init_app], ids=["constructor", "init_app"])
def test_debug_is_a_bool_or_none(call: Callable[..., object], debug: object) -> None:
    app = new_app()
    with pytest.raises(TypeError, match=r"^debug is .*; write True or False, or None"):
        call(app, debug=debug)
    assert "preflight" not in app.extensions


@pytest.mark.parametrize("name", ["verify", "reconfigure", "policy"])
def test_methods_take_an_initialised_app_only(name: str) -> None:
    method: Callable[[Any], object] = getattr(Preflight(), name)
    with pytest.raises(RuntimeError, match=r"<Flask '.*'> has no Preflight; call preflight.init_app\(app\) first"):
        method(new_app())
    with pytest.raises(TypeError, match="is a blueprint"):
        method(Blueprint("api", __name__))


def test_current_app_and_other_proxies_are_unwrapped() -> None:
    app, other = new_app(), new_app()
    extension = Preflight(allow_origins=[PAGE])
    with app.app_context():
        extension.init_app(current_app, max_age=1)
        extension.reconfigure(current_app, max_age=2)
        extension.verify(current_app)
        assert extension.policy(current_app) == Policy(allow_origins=[PAGE], max_age=2)
    Preflight(LocalProxy(lambda: other), allow_origins=[PAGE])  # type: ignore[arg-type]
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT", max_age="2")
    assert preflight(other, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT")


# ---------------------------------------------------------------------------------------
# Many apps, factories, and their end
# ---------------------------------------------------------------------------------------


def test_one_extension_and_many_apps() -> None:
    @cors_route(allow_headers=[..., "X-View"])
    def view() -> str:
        return ""

    shared = cors_blueprint(Blueprint("shared", __name__), expose_headers=[..., "X-Shared"])
    shared.put("/view")(view)
    extension = Preflight(allow_origins=[PAGE])

    def create_app(**changes: Any) -> Flask:
        app = new_app()
        app.register_blueprint(shared)
        extension.init_app(app, **changes)
        return app

    one, two = create_app(max_age=1), create_app(max_age=2, allow_headers=["X-Two"])
    for _ in range(2):
        assert preflight(one, "PUT", "/view") == granted("OPTIONS, PUT", "Content-Type, X-View", "1")
        assert preflight(two, "PUT", "/view") == granted("OPTIONS, PUT", "X-Two, X-View", "2")
    extension.reconfigure(one, max_age=3)
    assert preflight(one, "PUT", "/view").cors["Access-Control-Max-Age"] == "3"
    assert preflight(two, "PUT", "/view").cors["Access-Control-Max-Age"] == "2"
    assert set(one.extensions) == {"preflight"}


def test_apps_and_extensions_that_nothing_uses_are_collected() -> None:
    extension, app = Preflight(allow_origins=[PAGE]), new_app()
    extension.init_app(app)
    app.put("/view")(cors_route(max_age=1)(lambda: ""))
    preflight(app, "PUT", "/view")
    preflight(app, "PUT", "/view", origin=STRANGER)
    send(app, "PUT", "/view")
    extension.reconfigure(app, max_age=2)
    of_app, of_extension = weakref.ref(app), weakref.ref(extension)
    del extension
    gc.collect()
    assert of_extension() is None
    assert preflight(app, "PUT", "/view").status == 204
    del app
    gc.collect()
    assert of_app() is None


# ---------------------------------------------------------------------------------------
# The policy in force, for other code
# ---------------------------------------------------------------------------------------


def app_with_policies() -> tuple[Preflight, Flask]:
    app = new_app()
    app.put("/view", endpoint="view")(cors_route(max_age=1)(lambda: ""))
    app.put("/exempt", endpoint="exempt")(cors_exempt(lambda: ""))
    blueprint = cors_blueprint(Blueprint("home", __name__), max_age=2)
    blueprint.put("/home", endpoint="view")(lambda: "")
    app.register_blueprint(blueprint)

    class Data(MethodView):
        @cors_route(max_age=3)
        def put(self) -> str:
            return ""

        @cors_route(max_age=4)
        def get(self) -> str:
            return ""

    app.add_url_rule("/class", view_func=Data.as_view("data"))
    return Preflight(app, allow_origins=[PAGE]), app


@pytest.mark.parametrize(
    ("endpoint", "method", "max_age"),
    [
        ("view", "PUT", 1),
        ("home.view", "PUT", 2),
        ("data", "PUT", 3),
        ("data", "put", 3),
        ("data", "GET", 4),
        ("data", "HEAD", 4),
        ("data", "head", 4),
        ("data", "DELETE", 600),
    ],
)
@pytest.mark.parametrize("served", [False, True], ids=["before the first request", "after it"])
def test_the_policy_of_a_view(endpoint: str, method: str, max_age: int, served: bool) -> None:
    extension, app = app_with_policies()
    if served:
        send(app, "GET", "/")
    assert extension.policy(app, endpoint, method) == Policy(allow_origins=[PAGE], max_age=max_age)
    assert extension.policy(app, endpoint, method=method) == Policy(allow_origins=[PAGE], max_age=max_age)


def test_the_policy_of_a_view_is_by_default_that_of_get() -> None:
    extension, app = app_with_policies()
    assert extension.policy(app, "data") == Policy(allow_origins=[PAGE], max_age=4)


def test_the_policy_of_an_exempt_view_is_none() -> None:
    extension, app = app_with_policies()
    assert extension.policy(app, "exempt") is None


def test_the_app_wide_policy_is_that_in_force() -> None:
    app = new_app(PREFLIGHT_MAX_AGE=1)
    extension = Preflight(app, allow_origins=[PAGE])
    assert extension.policy(app) == Policy(allow_origins=[PAGE], max_age=1)
    app.config["PREFLIGHT_MAX_AGE"] = 2  # read again at the first request
    assert extension.policy(app) == Policy(allow_origins=[PAGE], max_age=2)
    send(app, "GET", "/")
    app.config["PREFLIGHT_MAX_AGE"] = 3
    assert extension.policy(app) == Policy(allow_origins=[PAGE], max_age=2)
    extension.reconfigure(app, max_age=4)
    assert extension.policy(app) == Policy(allow_origins=[PAGE], max_age=4)


def test_the_policy_of_an_unknown_endpoint() -> None:
    extension, app = app_with_policies()
    with pytest.raises(LookupError, match=r"<Flask '.*'> has no endpoint 'missing'"):
        extension.policy(app, "missing")


def test_the_policy_of_a_view_that_is_not_valid() -> None:
    app = new_app()
    app.put("/bad", endpoint="bad")(cors_route(allow_credentials=True)(lambda: ""))
    extension = Preflight(app, allow_origins="*")
    with pytest.raises(PolicyError, match="wildcard-with-credentials"):
        extension.policy(app, "bad")


# ---------------------------------------------------------------------------------------
# Callables
# ---------------------------------------------------------------------------------------


def test_a_callable_runs_in_an_app_context() -> None:
    def allowed(origin: str, environ: dict[str, Any]) -> bool:
        contexts.append(current_app._get_current_object())  # type: ignore[attr-defined]
        g.used = True
        return bool(origin in current_app.config["FRONTENDS"])

    contexts: list[Flask] = []
    app = new_app(FRONTENDS=[PAGE])
    Preflight(app, allow_origins=allowed)
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT")
    assert preflight(app, "PUT", "/", origin=STRANGER) == REFUSED
    assert send(app, "PUT", "/") == Answer(200, readable(), "here")
    assert send(app, "PUT", "/", origin=STRANGER) == Answer(200, VARY, "here")
    assert contexts == [app] * 4


def test_a_callable_runs_in_the_context_of_its_own_app_inside_another_context() -> None:
    app, around = new_app(FRONTENDS=[PAGE]), new_app(FRONTENDS=[])
    Preflight(app, allow_origins=lambda origin, environ: origin in current_app.config["FRONTENDS"])
    with around.app_context():
        assert preflight(app, "PUT", "/").status == 204
        assert send(app, "PUT", "/").cors == readable()


def test_a_callable_has_a_new_context_for_each_preflight_and_that_of_the_request_else() -> None:
    def allowed(origin: str, environ: dict[str, Any]) -> bool:
        seen.append(g.get("by_view"))
        g.by_view = "by a callable"
        return True

    seen: list[object] = []
    app = new_app()
    Preflight(app, allow_origins=allowed)

    @app.put("/view")
    def view() -> str:
        g.by_view = "by the view"
        return ""

    with app.app_context():
        g.by_view = "outside"
        preflight(app, "PUT", "/view")
        preflight(app, "PUT", "/view")
        send(app, "PUT", "/view")
    assert seen == [None, None, "by the view"]


class Late(Response):
    """A response that starts when its body is read: after Flask has closed the request's context."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        yield from super().__call__(environ, start_response)


def test_a_callable_whose_context_is_gone_runs_in_a_new_one_of_its_app() -> None:
    app, other = new_app(FRONTENDS=[PAGE]), new_app(FRONTENDS=[])
    Preflight(app, allow_origins=lambda origin, environ: origin in current_app.config["FRONTENDS"])
    app.get("/late")(lambda: Late("late"))
    assert send(app, "GET", "/late") == Answer(200, readable(), "late")
    with other.app_context():
        assert send(app, "GET", "/late") == Answer(200, readable(), "late")


def failing_teardown(call: int) -> Flask:
    """An app whose callable allows every origin, and whose teardown function raises at its *call*-th call."""
    app = new_app()
    Preflight(app, allow_origins=lambda origin, environ: True)
    calls: list[None] = []

    @app.teardown_appcontext
    def fail(_: BaseException | None) -> None:
        calls.append(None)
        if len(calls) == call:
            raise RuntimeError("teardown")

    return app


def test_a_teardown_function_that_raises_refuses_a_preflight() -> None:
    app = failing_teardown(1)
    assert preflight(app, "PUT", "/") == REFUSED
    assert preflight(app, "PUT", "/").status == 204


def test_a_teardown_function_that_raises_refuses_a_response_whose_context_is_gone() -> None:
    app = failing_teardown(2)  # the first one is that of the request
    app.get("/late")(lambda: Late("late"))
    assert send(app, "GET", "/late") == Answer(200, VARY, "late")
    assert send(app, "GET", "/late") == Answer(200, readable(), "late")


def test_request_is_not_promised_and_the_refusal_says_so() -> None:
    app = new_app()
    app.debug = True
    Preflight(app, allow_origins=lambda origin, environ: request.host == "localhost")
    answer = preflight(app, "PUT", "/")
    assert (answer.status, answer.cors["Vary"]) == (403, VARY_PREFLIGHT["Vary"])
    assert "use its second argument, the WSGI environ" in answer.text


# ---------------------------------------------------------------------------------------
# Debug mode
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constructor", "init_app", "app_debug", "explained"),
    [
        (None, None, False, False),
        (None, None, True, True),
        (True, None, False, True),
        (False, None, True, False),
        (None, True, False, True),
        (None, False, True, False),
        (True, False, True, False),
        (False, True, False, True),
    ],
)
def test_debug_overrides_that_of_the_app(
    constructor: bool | None, init_app: bool | None, app_debug: bool, explained: bool
) -> None:
    app = new_app()
    Preflight(allow_origins=[PAGE], debug=constructor).init_app(app, debug=init_app)
    app.debug = app_debug
    answer = preflight(app, "PUT", "/", origin=STRANGER)
    response = send(app, "PUT", "/", origin=STRANGER)
    assert (answer != REFUSED, "CORS-Refused" in answer.cors, "CORS-Refused" in response.cors) == (explained,) * 3


def test_app_debug_counts_at_the_moment_of_the_request() -> None:
    app = protected()
    for debug in (True, False, True):
        app.debug = debug
        assert (preflight(app, "PUT", "/", origin=STRANGER) != REFUSED) is debug


def without_places(answer: Answer) -> Answer:
    cors = {name: without_line_numbers(value) for name, value in answer.cors.items()}
    return answer._replace(cors=cors, text=without_line_numbers(answer.text))


def explained(status: int, reason: str, sentence: str, **passed: str) -> Answer:
    cors = {name.replace("_", "-"): value for name, value in passed.items()}
    return Answer(status, {**cors, **VARY_PREFLIGHT, "CORS-Refused": f"{reason}; {sentence}"}, f"{sentence}\n")


@pytest.mark.parametrize(
    ("method", "names", "origin", "expected"),
    [
        pytest.param(
            "PUT",
            (),
            STRANGER,
            explained(
                403,
                "origin-not-allowed",
                "The origin 'https://evil.com' is not in allow_origins. If the page is yours, write"
                " allow_origins=['https://frontend.com', 'https://evil.com'] in Preflight(...) at test_extension.py.",
            ),
            id="origin",
        ),
        pytest.param(
            "DELETE",
            (),
            PAGE,
            explained(
                200,
                "method-not-routed",
                "This URL has no route for the method 'DELETE', only for GET, HEAD, PUT. To handle it, add a view with"
                " @app.route('/', methods=['DELETE']).",
                Access_Control_Allow_Origin=PAGE,
            ),
            id="no route for the method",
        ),
        pytest.param(
            "POST",
            (),
            PAGE,
            explained(
                403,
                "method-not-routed",
                "This URL has no route for the method 'POST', only for GET, HEAD, PUT. To handle it, add a view with"
                " @app.route('/', methods=['POST']).",
                Access_Control_Allow_Origin=PAGE,
            ),
            id="no route for a safelisted method",
        ),
        pytest.param(
            "PUT",
            ("X-One",),
            PAGE,
            explained(
                200,
                "headers-not-allowed",
                "The request header 'x-one' is not in allow_headers, which allows Content-Type. To allow it, write"
                " allow_headers=['Content-Type', 'X-One'] in Preflight(...) at test_extension.py.",
                Access_Control_Allow_Origin=PAGE,
                Access_Control_Allow_Methods="GET, HEAD, OPTIONS, PUT",
            ),
            id="header",
        ),
        pytest.param("PUT", (), PAGE, granted("GET, HEAD, OPTIONS, PUT"), id="granted"),
    ],
)
def test_debug_answers(method: str, names: tuple[str, ...], origin: str, expected: Answer) -> None:
    app = protected()
    assert preflight(app, method, "/", *names, origin=origin) in (REFUSED, expected)
    app.debug = True
    assert without_places(preflight(app, method, "/", *names, origin=origin)) == expected


def test_a_refused_request_is_explained_in_a_header_in_debug_mode() -> None:
    app = protected()
    app.debug = True
    sentence = (
        "The origin 'https://evil.com' is not in allow_origins. If the page is yours, write"
        " allow_origins=['https://frontend.com', 'https://evil.com'] in Preflight(...) at test_extension.py."
    )
    expected = {**VARY, "CORS-Refused": f"origin-not-allowed; {sentence}"}
    assert without_places(send(app, "PUT", "/", origin=STRANGER)) == Answer(200, expected, "here")
    navigation = {"headers": {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}}
    assert send(app, "PUT", "/", origin=STRANGER, **navigation) == Answer(200, VARY, "here")


def test_of_the_extension_and_a_middleware_the_log_names_both_calls(caplog: pytest.LogCaptureFixture) -> None:
    app = protected()
    app.wsgi_app = PreflightMiddleware(app.wsgi_app, Policy())  # type: ignore[method-assign]
    send(app, "PUT", "/")
    assert list(map(without_line_numbers, caplog.messages)) == [
        "Preflight(...) at test_extension.py is inside PreflightMiddleware(...) at test_extension.py, which acts on the"
        " same requests. Remove one of the two."
    ]
