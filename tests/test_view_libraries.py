"""Views of all kinds and what they answer: those of the libraries in use, asynchronous, streamed, and failing ones."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from wsgiref.util import FileWrapper

import apiflask
import flask_restful
import flask_restful.fields
import flask_restful.reqparse
import flask_restx
import flask_smorest
import pytest
from a2wsgi import ASGIMiddleware
from flask import Blueprint, Flask, abort, request, send_file, stream_with_context
from flask.views import MethodView, View
from pages import PAGE, REFUSED, fetch, granted, preflight, readable, send
from werkzeug.debug import DebuggedApplication
from werkzeug.test import create_environ, run_wsgi_app

from flask_preflight import Policy, Preflight, PreflightMiddleware, cors_blueprint, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

pytestmark = pytest.mark.slow

Some = TypeVar("Some")
Decorator = Callable[[Some], Some]

# ---------------------------------------------------------------------------------------
# One resource, written with each library as its manual says: GET and PUT of /api/things/<id>, in a blueprint.
# ---------------------------------------------------------------------------------------


class TakenError(Exception):
    """What the app's own code raises; each library has its way to make an answer of it."""


def look_up(thing: int, not_found: Callable[..., Any]) -> dict[str, int]:
    """What GET does everywhere; *not_found* is the library's abort()."""
    if thing == 0:
        not_found(404, message="There is no thing 0.")
    if thing == 9:
        raise TakenError
    if thing == 13:
        raise RuntimeError
    return {"thing": thing}


def plain(outer: Decorator[Any], inner: Decorator[Any]) -> Flask:
    app = Flask(__name__)
    api = cors_blueprint(Blueprint("api", __name__, url_prefix="/api"), max_age=60)

    def requires_name(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            return view(*args, **kwargs) if "name" in request.get_json() else abort(400)

        return checked

    @cors_route(expose_headers=["ETag"])
    class Thing(MethodView):
        def get(self, thing: int) -> dict[str, int]:
            return look_up(thing, lambda status, message: abort(status, message))

        @outer
        @requires_name
        @inner
        def put(self, thing: int) -> dict[str, int]:
            return {"thing": thing}

    api.errorhandler(TakenError)(lambda _: ({"message": "Taken."}, 409))
    api.add_url_rule("/things/<int:thing>", view_func=Thing.as_view("thing"))
    app.register_blueprint(api)
    return app


def restful(outer: Decorator[Any], inner: Decorator[Any]) -> Flask:
    app = Flask(__name__)
    blueprint = cors_blueprint(Blueprint("api", __name__, url_prefix="/api"), max_age=60)
    api = flask_restful.Api(blueprint, errors={"TakenError": {"message": "Taken.", "status": 409}})
    parser = flask_restful.reqparse.RequestParser()
    parser.add_argument("name", required=True, location="json")

    @cors_route(expose_headers=["ETag"])
    class Thing(flask_restful.Resource):
        def get(self, thing: int) -> dict[str, int]:
            return look_up(thing, flask_restful.abort)

        @outer
        @flask_restful.marshal_with({"thing": flask_restful.fields.Integer})
        @inner
        def put(self, thing: int) -> dict[str, int]:
            parser.parse_args()
            return {"thing": thing}

    api.add_resource(Thing, "/things/<int:thing>")
    app.register_blueprint(blueprint)
    return app


def restx(outer: Decorator[Any], inner: Decorator[Any]) -> Flask:
    app = Flask(__name__)
    blueprint = cors_blueprint(Blueprint("api", __name__, url_prefix="/api"), max_age=60)
    api = flask_restx.Api(blueprint)
    things = api.namespace("things")
    model = api.model("Thing", {"name": flask_restx.fields.String(required=True)})

    @cors_route(expose_headers=["ETag"])
    @things.route("/<int:thing>")
    class Thing(flask_restx.Resource):
        def get(self, thing: int) -> dict[str, int]:
            return look_up(thing, things.abort)

        @outer
        @things.expect(model, validate=True)
        @inner
        def put(self, thing: int) -> dict[str, int]:
            return {"thing": thing}

    api.errorhandler(TakenError)(lambda _: ({"message": "Taken."}, 409))
    app.register_blueprint(blueprint)
    return app


class NameSchema(apiflask.Schema):
    """What PUT wants; Flask-Smorest takes it too, since both are built on marshmallow."""

    name = apiflask.fields.String(required=True)


def smorest(outer: Decorator[Any], inner: Decorator[Any]) -> Flask:
    app = Flask(__name__)
    app.config |= {"API_TITLE": "Things", "API_VERSION": "1", "OPENAPI_VERSION": "3.0.2"}
    api = cors_blueprint(flask_smorest.Blueprint("api", __name__, url_prefix="/api"), max_age=60)

    @cors_route(expose_headers=["ETag"])
    @api.route("/things/<int:thing>")
    class Thing(MethodView):
        def get(self, thing: int) -> dict[str, int]:
            return look_up(thing, flask_smorest.abort)

        @outer
        @api.arguments(NameSchema)
        @api.response(200)
        @inner
        def put(self, sent: dict[str, str], thing: int) -> dict[str, int]:
            return {"thing": thing}

    api.errorhandler(TakenError)(lambda _: ({"message": "Taken."}, 409))
    flask_smorest.Api(app).register_blueprint(api)
    return app


def api_flask(outer: Decorator[Any], inner: Decorator[Any]) -> Flask:
    app = apiflask.APIFlask(__name__)
    api = cors_blueprint(apiflask.APIBlueprint("api", __name__, url_prefix="/api"), max_age=60)

    @cors_route(expose_headers=["ETag"])
    class Thing(MethodView):
        def get(self, thing: int) -> dict[str, int]:
            return look_up(thing, apiflask.abort)

        @outer
        @api.input(NameSchema)
        @api.output({})
        @inner
        def put(self, thing: int, json_data: dict[str, str]) -> dict[str, int]:
            return {"thing": thing}

    api.errorhandler(TakenError)(lambda _: ({"message": "Taken."}, 409))
    api.add_url_rule("/things/<int:thing>", view_func=Thing.as_view("thing"))
    app.register_blueprint(api)
    return app


LIBRARIES = [plain, restful, restx, smorest, api_flask]


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> Callable[..., Flask]:
    made: Callable[..., Flask] = request.param
    return made


@pytest.fixture(params=["above", "below"])
def app(library: Callable[..., Flask], request: pytest.FixtureRequest) -> Flask:
    """The resource, with PUT marked above or below what the library decorates it with."""
    mark = cors_route(allow_headers=[..., "X-Reason"])
    app = library(mark, unmarked) if request.param == "above" else library(unmarked, mark)
    preflight = Preflight(app, allow_origins=[PAGE])
    preflight.verify(app)
    return app


def unmarked(view: Any) -> Any:
    return view


EXPOSED = readable(expose="ETag")


def test_each_method_of_a_resource_has_its_own_policy(app: Flask) -> None:
    of_get = granted("GET, HEAD, OPTIONS", max_age="60")
    assert preflight(app, "GET", "/api/things/1", "Content-Type") == of_get
    assert preflight(app, "HEAD", "/api/things/1") == of_get
    assert preflight(app, "PUT", "/api/things/1", "X-Reason") == granted("PUT", "Content-Type, X-Reason", "60")
    assert preflight(app, "GET", "/api/things/1", "X-Reason") == REFUSED
    assert preflight(app, "DELETE", "/api/things/1") == REFUSED


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "cors"),
    [
        pytest.param("GET", "/api/things/1", None, {200}, EXPOSED, id="read"),
        pytest.param("PUT", "/api/things/1", {"name": "a"}, {200}, EXPOSED, id="written"),
        pytest.param("PUT", "/api/things/1", {"nick": "a"}, {400, 422}, EXPOSED, id="does not validate"),
        pytest.param("GET", "/api/things/0", None, {404}, EXPOSED, id="the library's abort"),
        pytest.param("GET", "/api/things/9", None, {409}, EXPOSED, id="the library's way with an exception"),
        pytest.param("GET", "/api/things/13", None, {500}, EXPOSED, id="unhandled exception"),
        # no view has made these, so they are of the app-wide policy; DELETE would be refused by the preflight
        pytest.param("POST", "/api/things/1", None, {405}, readable(), id="no such method"),
        pytest.param("GET", "/api/nothing", None, {404}, readable(), id="no such URL"),
    ],
)
def test_whatever_a_library_answers_the_page_can_read(
    app: Flask, method: str, path: str, sent: object, status: set[int], cors: dict[str, str]
) -> None:
    answer = send(app, method, path, json=sent)
    assert answer == (answer.status, cors, answer.text)
    assert answer.status in status
    page = fetch(app, method, path, json=sent)
    assert (page.status, page.text) == (answer.status, answer.text)


def test_restx_shows_its_description_of_the_api_to_pages() -> None:
    app = restx(unmarked, unmarked)
    Preflight(app, allow_origins=[PAGE])
    answer = send(app, "GET", "/api/swagger.json")
    assert answer == (200, readable(), answer.text)
    assert preflight(app, "GET", "/api/swagger.json") == granted("GET, HEAD, OPTIONS", max_age="60")


# ---------------------------------------------------------------------------------------
# Connexion 3 serves a Flask app from within an ASGI app and makes all errors outside of it, so the extension cannot
# reach them. (Connexion 2 does without ASGI, and without Flask 3.) The middleware stands around all of it.
# ---------------------------------------------------------------------------------------

SPECIFICATION = {
    "openapi": "3.0.3",
    "info": {"title": "Things", "version": "1"},
    "paths": {
        "/api/things": {
            "get": {"operationId": "handlers.fail", "responses": {"200": {"description": "never"}}},
            "put": {
                "operationId": "handlers.save",
                "requestBody": {"content": {"application/json": {"schema": {"type": "object", "required": ["name"]}}}},
                "responses": {"200": {"description": "saved"}},
            },
        }
    },
}


@pytest.fixture
def connexion_app(monkeypatch: pytest.MonkeyPatch) -> Any:
    with warnings.catch_warnings():  # it uses what Starlette and jsonschema have deprecated
        warnings.simplefilter("ignore")
        import connexion

    handlers = ModuleType("handlers")
    vars(handlers).update(save=lambda body: body, fail=lambda: look_up(13, abort))
    monkeypatch.setitem(sys.modules, "handlers", handlers)
    app = connexion.FlaskApp(__name__)
    app.add_api(SPECIFICATION)
    return app


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        pytest.param("PUT", "/api/things", {"name": "a"}, 200, id="written"),
        pytest.param("PUT", "/api/things", {"nick": "a"}, 400, id="does not validate"),
        pytest.param("GET", "/api/things", None, 500, id="unhandled exception"),
        pytest.param("DELETE", "/api/things", None, 405, id="no such method"),
        pytest.param("GET", "/api/nothing", None, 404, id="no such URL"),
    ],
)
def test_the_middleware_covers_connexion(connexion_app: Any, method: str, path: str, sent: object, status: int) -> None:
    wsgi_app: Any = ASGIMiddleware(connexion_app)
    app = PreflightMiddleware(wsgi_app, Policy(allow_origins=[PAGE], allow_methods=["GET", "PUT"]))
    assert preflight(app, "PUT", "/api/things", "Content-Type") == granted("GET, HEAD, PUT")
    answer = send(app, method, path, json=sent)
    assert answer == (status, readable(), answer.text)


def test_the_extension_does_not_cover_connexion(connexion_app: Any) -> None:
    Preflight(connexion_app.app, allow_origins=[PAGE])
    app: Any = ASGIMiddleware(connexion_app)
    answer = preflight(app, "PUT", "/api/things", "Content-Type")
    assert answer == (405, {}, answer.text)
    answer = send(app, "PUT", "/api/things", json={"name": "a"})
    assert answer == (200, {}, answer.text)


# ---------------------------------------------------------------------------------------
# Flask's own views
# ---------------------------------------------------------------------------------------


def app_with(*views: Any, **config: Any) -> Flask:
    """An app with *views*, functions and classes, under their names in lower case."""
    app = Flask(__name__)
    app.config |= config
    for view in views:
        name = view.__name__.lower()
        app.add_url_rule(f"/{name}", view_func=view.as_view(name) if hasattr(view, "as_view") else view)
    Preflight(app, allow_origins=[PAGE])
    return app


@cors_route(allow_headers=["X-Reason"])
async def coroutine() -> str:
    return "awaited"


@cors_route(allow_headers=["X-Reason"])
class Dispatched(View):
    def dispatch_request(self) -> str:
        return "dispatched"


class Awaited(MethodView):
    @cors_route(allow_headers=["X-Reason"])
    async def get(self) -> str:
        return "awaited"


class Kept(MethodView):
    init_every_request = False

    @cors_route(allow_headers=["X-Reason"])
    def get(self) -> str:
        return "kept"


class Parent(MethodView):
    @cors_route(allow_headers=["X-Reason"])
    def get(self) -> str:
        return "inherited"


class Child(Parent):
    pass


@pytest.mark.parametrize(
    ("view", "methods", "text"),
    [
        pytest.param(coroutine, "GET, HEAD, OPTIONS", "awaited", id="async function"),
        pytest.param(Dispatched, "GET, HEAD, OPTIONS", "dispatched", id="View"),
        pytest.param(Awaited, "GET, HEAD", "awaited", id="MethodView, async method"),
        pytest.param(Kept, "GET, HEAD", "kept", id="MethodView, one instance"),
        pytest.param(Child, "GET, HEAD", "inherited", id="MethodView, inherited method"),
    ],
)
def test_every_kind_of_view_has_its_policy(view: Any, methods: str, text: str) -> None:
    app = app_with(view)
    path = f"/{view.__name__.lower()}"
    assert preflight(app, "GET", path, "X-Reason") == granted(methods, "X-Reason")
    assert send(app, "GET", path) == (200, readable(), text)


# ---------------------------------------------------------------------------------------
# Bodies of all kinds
# ---------------------------------------------------------------------------------------


def streamed() -> Iterator[str]:
    yield "one, "
    yield request.method


def test_a_streamed_body_is_not_held_back() -> None:
    drawn: list[int] = []

    def endless() -> Any:
        return (drawn.append(number) or b"." for number in range(1000))  # type: ignore[func-returns-value]

    body, status, headers = run_wsgi_app(app_with(endless), create_environ("/endless", headers={"Origin": PAGE}))
    assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == ("200 OK", PAGE, "Origin")
    assert len(drawn) <= 2, "the test client itself draws the first"
    body.close()  # type: ignore[attr-defined]


def test_a_stream_keeps_its_request() -> None:
    def stream() -> Any:
        return stream_with_context(streamed())

    assert send(app_with(stream), "GET", "/stream") == (200, readable(), "one, GET")


def test_a_stream_that_breaks_has_sent_its_headers_before() -> None:
    def broken() -> Iterator[bytes]:
        yield b"one, "
        raise RuntimeError("two")

    body, status, headers = run_wsgi_app(app_with(broken), create_environ("/broken", headers={"Origin": PAGE}))
    assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == ("200 OK", PAGE, "Origin")
    assert next(body) == b"one, "  # type: ignore[call-overload]
    with pytest.raises(RuntimeError, match="two"):
        next(body)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("method", "headers", "status", "text"),
    [
        pytest.param("GET", {}, 200, "0123456789", id="whole"),
        pytest.param("HEAD", {}, 200, "", id="HEAD"),
        pytest.param("GET", {"Range": "bytes=2-3"}, 206, "23", id="range"),
        pytest.param("GET", {"Range": "bytes=20-"}, 416, None, id="no such range"),
        pytest.param("GET", {"If-None-Match": '"1"'}, 304, "", id="not modified"),
    ],
)
def test_a_sent_file_can_be_read(
    method: str, headers: dict[str, str], status: int, text: str | None, tmp_path: Path
) -> None:
    (tmp_path / "file.txt").write_text("0123456789")

    def file() -> Any:
        return send_file(tmp_path / "file.txt", conditional=True, etag="1")

    answer = send(app_with(file), method, "/file", headers=headers)
    assert answer == (status, readable(), answer.text if text is None else text)


def test_a_servers_own_file_wrapper_reaches_the_server(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("0123456789")

    def file() -> Any:
        return send_file(tmp_path / "file.txt")

    environ = create_environ("/file", headers={"Origin": PAGE})
    environ["wsgi.file_wrapper"] = FileWrapper
    body = app_with(file)(environ, lambda *_: lambda _: None)
    assert type(body) is FileWrapper
    body.close()


# ---------------------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 418, 422, 429, 500, 501, 503])
def test_an_abort_can_be_read(status: int) -> None:
    def aborted() -> None:
        abort(status, description="This is why.")

    answer = send(app_with(aborted), "GET", "/aborted")
    assert answer == (status, readable(), answer.text)
    assert "This is why." in answer.text


def handled_by_class(_: Exception) -> tuple[str, int]:
    return "a division", 400


def handled_by_status(_: Exception) -> tuple[str, int]:
    return "sorry", 500


def handled_badly(_: Exception) -> NoReturn:
    raise RuntimeError


@pytest.mark.parametrize(
    ("exception", "handler", "status", "text"),
    [
        pytest.param(ZeroDivisionError, handled_by_class, 400, "a division", id="by class"),
        pytest.param(500, handled_by_status, 500, "sorry", id="by status"),
        pytest.param(Exception, handled_by_status, 500, "sorry", id="by Exception"),
        pytest.param(ZeroDivisionError, handled_badly, 500, None, id="by what raises itself"),
        pytest.param(RuntimeError, handled_badly, 500, None, id="no handler applies"),
    ],
)
def test_what_an_error_handler_answers_can_be_read(
    exception: Any, handler: Callable[[Exception], Any], status: int, text: str | None
) -> None:
    def divided() -> str:
        return str(1 / 0)

    app = app_with(divided)
    app.register_error_handler(exception, handler)
    answer = send(app, "GET", "/divided")
    assert answer == (status, readable(), answer.text if text is None else text)


def test_a_body_that_is_too_large_can_be_told_so() -> None:
    def upload() -> bytes:
        return request.get_data()

    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 3
    app.add_url_rule("/upload", view_func=upload, methods=["POST"])
    Preflight(app, allow_origins=[PAGE])
    assert send(app, "POST", "/upload", data=b"123") == (200, readable(), "123")
    answer = send(app, "POST", "/upload", data=b"1234")
    assert answer == (413, readable(), answer.text)


# ---------------------------------------------------------------------------------------
# Exceptions that nobody handles
# ---------------------------------------------------------------------------------------

LEAVES = (
    "The app raised an exception, so the server sends the error page without CORS headers. The browser will call that a"
    " CORS error; the cause is in the traceback."
)


def failing() -> str:
    raise RuntimeError("the cause")


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({}, id="production"),
        pytest.param({"TESTING": True, "PROPAGATE_EXCEPTIONS": False}, id="testing, not propagating"),
        pytest.param({"DEBUG": True, "PROPAGATE_EXCEPTIONS": False}, id="debug, not propagating"),
    ],
)
def test_flasks_page_for_an_unhandled_exception_can_be_read(
    config: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    answer = send(app_with(failing, **config), "GET", "/failing")
    assert answer == (500, readable(), answer.text)
    assert of_ours(caplog) == []


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"TESTING": True}, id="testing"),
        pytest.param({"DEBUG": True}, id="debug"),
        pytest.param({"PROPAGATE_EXCEPTIONS": True}, id="propagating"),
    ],
)
def test_an_exception_that_leaves_the_app_is_logged_as_what_the_browser_will_blame_on_cors(
    config: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    app = app_with(failing, **config)
    with pytest.raises(RuntimeError, match="the cause"):
        send(app, "GET", "/failing", origin=None)
    assert of_ours(caplog) == [], "no origin, so no page waits for it"
    with pytest.raises(RuntimeError, match="the cause"):
        send(app, "GET", "/failing")
    assert of_ours(caplog) == [("WARNING", LEAVES)]
    assert preflight(app, "GET", "/failing") == granted("GET, HEAD, OPTIONS")


def test_a_last_error_handler_that_raises_itself_lets_the_exception_leave_too(caplog: pytest.LogCaptureFixture) -> None:
    app = app_with(failing)
    app.register_error_handler(500, handled_badly)
    with pytest.raises(RuntimeError):
        send(app, "GET", "/failing")
    assert of_ours(caplog) == [("WARNING", LEAVES)]


def of_ours(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.message) for record in caplog.records if record.name == "flask_preflight"]


def debugger_outside() -> WSGIApplication:
    """As ``flask run --debug`` does it."""
    return DebuggedApplication(app_with(failing, DEBUG=True))


def debugger_inside() -> Flask:
    app = Flask(__name__)
    app.debug = True
    app.add_url_rule("/failing", view_func=failing)
    app.wsgi_app = DebuggedApplication(app.wsgi_app)  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE])
    return app


def debuggers_inside_and_outside() -> WSGIApplication:
    return DebuggedApplication(debugger_inside())


def middleware_around_the_debugger() -> WSGIApplication:
    app = Flask(__name__)
    app.debug = True
    app.add_url_rule("/failing", view_func=failing)
    return PreflightMiddleware(DebuggedApplication(app), Policy(allow_origins=[PAGE]))


@pytest.mark.parametrize(
    ("make_app", "cors"),
    [
        pytest.param(debugger_outside, {}, id="outside of the extension, which cannot cover it"),
        pytest.param(debugger_inside, readable(), id="inside of the extension"),
        pytest.param(debuggers_inside_and_outside, readable(), id="inside, under that of flask run --debug"),
        pytest.param(middleware_around_the_debugger, readable(), id="inside of the middleware"),
    ],
)
def test_the_page_of_the_debugger(make_app: Callable[[], WSGIApplication], cors: dict[str, str]) -> None:
    app = make_app()
    answer = send(app, "GET", "/failing")
    assert answer == (500, cors, answer.text)
    assert "the cause" in answer.text
    assert preflight(app, "GET", "/failing").status == 204
