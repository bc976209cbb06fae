"""Several layers around one app: a middleware outside or inside the extension, mounts, and cascades."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response, abort, has_request_context, request
from pages import PAGE, Answer, granted, preflight, readable, send
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from flask_preflight import Policy, Preflight, PreflightMiddleware, cors_exempt, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def new_app() -> Flask:
    app = Flask(__name__, static_folder=None)
    app.route("/", methods=["GET", "PUT"])(index)
    return app


def index() -> str:
    return "here"


def protected(**changes: Any) -> Flask:
    app = new_app()
    changes = {"allow_origins": [PAGE], **changes}
    Preflight(app, **changes)
    return app


class Wrapper:
    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        return self.app(environ, start_response)


MIDDLEWARE: list[Any] = [
    pytest.param(lambda app: app, id="nothing"),
    pytest.param(Wrapper, id="a middleware"),
    pytest.param(ProxyFix, id="ProxyFix"),
    pytest.param(lambda app: Wrapper(Wrapper(ProxyFix(app))), id="ProxyFix deeper inside"),
]


@pytest.mark.parametrize("is_outside", [False, True], ids=["inside", "outside"])
@pytest.mark.parametrize("wrap", MIDDLEWARE)
def test_other_middleware_changes_nothing_and_is_not_warned_about(
    wrap: Callable[[Any], Any], is_outside: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = new_app()
    if is_outside:
        Preflight(app, allow_origins=[PAGE])
    app.wsgi_app = wrap(app.wsgi_app)  # type: ignore[method-assign]
    if not is_outside:
        Preflight(app, allow_origins=[PAGE])
    for _ in range(2):
        assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT")
        assert send(app, "PUT", "/") == Answer(200, readable(), "here")
    assert caplog.messages == []


OUTER = Policy(allow_origins=[PAGE], allow_methods=["PUT"], max_age=5, expose_headers=["X-Outer"])


def test_a_middleware_outside_decides(caplog: pytest.LogCaptureFixture) -> None:
    app = protected(max_age=6, expose_headers=["X-App"])
    outer = PreflightMiddleware(app, OUTER)
    for _ in range(2):
        assert preflight(outer, "PUT", "/") == granted("PUT", max_age="5")
        assert send(outer, "PUT", "/") == Answer(200, readable(expose="X-Outer"), "here")
    [message] = caplog.messages
    inner = f"Preflight(...) at {__file__}:{protected.__code__.co_firstlineno + 3}"
    assert message == f"{inner} is inside {repr(outer)[1:-1]}, which acts on the same requests. Remove one of the two."


def test_a_middleware_outside_without_a_policy_leaves_the_request_to_the_app(caplog: pytest.LogCaptureFixture) -> None:
    app = protected(max_age=6, expose_headers=["X-App"])
    outer = PreflightMiddleware(app, lambda environ: None)
    assert preflight(outer, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT", max_age="6")
    assert send(outer, "PUT", "/") == Answer(200, readable(expose="X-App"), "here")
    assert caplog.messages == []


def test_a_middleware_inside_acts_for_exempt_views_only(caplog: pytest.LogCaptureFixture) -> None:
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


def test_an_app_mounted_inside_another(caplog: pytest.LogCaptureFixture) -> None:
    """The outer extension decides, by the view that the path outside leads to.

    The dispatcher changes the path, and for the changed one the outer app has an exempt view. That one does not count.
    """
    inner, outer = protected(max_age=6, expose_headers=["X-Inner"]), new_app()
    outer.view_functions["index"] = cors_exempt(lambda: "outer")
    outer.add_url_rule("/exempt/", "exempt", cors_exempt(lambda: ""), methods=["PUT"])
    mounts: Any = {"/mount": inner, "/exempt": inner}
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, mounts)  # type: ignore[method-assign]
    Preflight(outer, allow_origins=[PAGE], max_age=5, expose_headers=["X-Outer"])
    assert preflight(outer, "PUT", "/mount/") == granted("PUT", max_age="5")
    assert send(outer, "PUT", "/mount/") == Answer(200, readable(expose="X-Outer"), "here")
    assert len(caplog.messages) == 1
    assert preflight(outer, "PUT", "/exempt/") == granted("GET, HEAD, OPTIONS, PUT", max_age="6")
    assert send(outer, "PUT", "/exempt/") == Answer(200, readable(expose="X-Inner"), "here")
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("fails", [False, True], ids=["404", "exception"])
def test_an_app_beside_another_is_not_inside_it(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    """As in a cascade, which calls the next app with the same environ if the first one has no page."""
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


def test_the_warning_comes_once_for_each_pair_of_layers(caplog: pytest.LogCaptureFixture) -> None:
    app = protected()
    for _ in range(2):
        outer = PreflightMiddleware(app, OUTER)
        for _ in range(3):
            send(outer, "PUT", "/")
            preflight(outer, "PUT", "/")
    assert 1 <= len(caplog.messages) <= 2


def test_an_outer_middleware_learns_of_the_exemption_of_nothing_inside() -> None:
    """An exempt view inside leaves the request alone; a middleware outside adds its own headers all the same."""
    app = new_app()
    app.put("/exempt", endpoint="exempt")(cors_exempt(lambda: "exempt"))
    Preflight(app, allow_origins=[PAGE], max_age=6)
    outer = PreflightMiddleware(app, OUTER)
    assert preflight(outer, "PUT", "/exempt") == granted("PUT", max_age="5")
    assert send(outer, "PUT", "/exempt") == Answer(200, readable(expose="X-Outer"), "exempt")


def test_a_middleware_inside_may_open_a_request_context_for_a_preflight() -> None:
    app = new_app()
    inner: Any = app.wsgi_app
    paths: list[str] = []

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        with app.request_context(environ):
            paths.append(request.path)
        assert not has_request_context()
        return inner(environ, start_response)

    vars(app)["wsgi_app"] = middleware
    Preflight(app, allow_origins=[PAGE])
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT")
    assert send(app, "PUT", "/") == Answer(200, readable(), "here")
    assert paths == ["/", "/"]


def test_a_preflight_that_a_middleware_inside_answers_leaves_no_trace() -> None:
    """Flask was not reached. A context that is made by hand afterwards is an ordinary one."""
    app = new_app()
    inner: Any = app.wsgi_app

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if environ["REQUEST_METHOD"] != "OPTIONS":
            return inner(environ, start_response)
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return [b"no"]

    vars(app)["wsgi_app"] = middleware
    Preflight(app, allow_origins=[PAGE])
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT")
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "PUT"}
    context = app.test_request_context("/", method="OPTIONS", headers=headers)
    context.push()
    try:
        assert (request.path, app.full_dispatch_request().headers.get("Allow") is not None) == ("/", True)
    finally:
        context.pop()


def test_a_layer_inside_a_view_whose_policy_is_not_valid_defers_to_the_app() -> None:
    inner = PreflightMiddleware(Response("inner"), Policy(allow_origins=[PAGE]))
    app = Flask(__name__, static_folder=None)
    app.put("/", endpoint="late")(lambda: Response.from_app(inner, request.environ))
    Preflight(app, allow_origins=[PAGE])
    assert send(app, "PUT", "/") == Answer(200, readable(), "inner")
    view = app.view_functions["late"]
    app.view_functions["late"] = cors_route(allow_origins="*", allow_credentials=True)(view)
    assert send(app, "PUT", "/") == Answer(200, {"Vary": "Origin"}, "inner")
