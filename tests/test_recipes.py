"""What docs/recipes and docs/checklist.md say, beyond what the pages print themselves (tests/test_docs.py)."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
import flask_cors
import pytest
import yaml
from a2wsgi import ASGIMiddleware, WSGIMiddleware
from apig_wsgi import make_lambda_handler
from asgiref.wsgi import WsgiToAsgi
from doc_programs import ROOT, blocks, parts, read_program
from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_sock import Sock
from pages import PAGE, REFUSED, STRANGER, granted, preflight, readable, send
from test_nginx import NGINX
from test_servers import kept_port, serving
from werkzeug.routing import Rule
from werkzeug.serving import make_server

from flask_preflight import Preflight, PreflightMiddleware, cors_route
from flask_preflight.browser import Browser, CORSError, LiveTransport
from flask_preflight.commands import preflight as preflight_command

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DOCS = ROOT / "docs"
RECIPES = sorted((DOCS / "recipes").glob("*.md"))
API = "https://backend.com"
IMPORTS = "from flask import Flask\nfrom flask_preflight import Preflight\n"  # what a page has above a recipe


def code_below(page: str, heading: str, language: str = "python", number: int = 0) -> str:
    """A block in *language* below *heading*, counted from 0, whether the page runs it or not."""
    lines = parts((DOCS / page).read_text(encoding="utf-8"))[heading].splitlines()
    return "\n".join([block.code for block in blocks(lines) if block.language == language][number])


def run(source: str) -> dict[str, Any]:
    """Run a program of a page in this process, and return what it defines."""
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(source, names)
    return names


# ---------------------------------------------------------------------------------------
# Sessions
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_checked", "orders"), [(True, 1), (False, 2)])
def test_the_check_of_the_origin_keeps_forms_of_strangers_out(is_checked: bool, orders: int) -> None:
    source = read_program("recipes/sessions.md")
    check = "app.before_request(refuse_other_sites)"
    assert check in source
    assert len(run(source if is_checked else source.replace(check, ""))["orders"]) == orders


@pytest.fixture(scope="module")
def checked_app() -> Flask:
    app = run(read_program("recipes/sessions.md"))["app"]
    assert isinstance(app, Flask)
    return app


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        pytest.param(None, 400, id="no-browser"),  # 400: it gets to the view, which misses its field
        pytest.param("http://localhost", 400, id="own-page"),
        pytest.param(PAGE, 400, id="allowed-page"),
        pytest.param("null", 403, id="sandboxed-frame"),
        pytest.param(f"{PAGE}.evil.com", 403, id="longer"),
        pytest.param("", 403, id="empty"),
    ],
)
def test_which_origins_the_check_lets_in(origin: str | None, status: int, checked_app: Flask) -> None:
    assert send(checked_app, "POST", "/orders", origin=origin).status == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_check_leaves_reading_to_the_policy(method: str, checked_app: Flask) -> None:
    assert send(checked_app, method, "/me", origin=STRANGER).status == 200


def test_the_settings_for_frames_mark_the_cookie_as_partitioned() -> None:
    page = (DOCS / "recipes" / "sessions.md").read_text(encoding="utf-8")
    settings = dict(re.findall(r'`(SESSION_COOKIE_\w+)=("?\w+"?)`', parts(page)["In frames of other sites"]))
    app = Flask(__name__)
    app.config.update({name: json.loads(value.lower()) for name, value in settings.items()}, SECRET_KEY="for this test")
    app.add_url_rule("/", view_func=lambda: session.update(user="ada") or "")
    cookie = app.test_client().get("/", base_url="https://backend.com").headers["Set-Cookie"]
    attributes = {attribute.strip() for attribute in cookie.split(";")[1:]}
    can_partition = hasattr(SecureCookieSessionInterface, "get_cookie_partitioned")  # Flask 3.1
    expected = {"Secure", "HttpOnly", "Path=/", "SameSite=None"}
    assert attributes == expected | ({"Partitioned"} if can_partition else set())


# ---------------------------------------------------------------------------------------
# WebSockets
# ---------------------------------------------------------------------------------------

SOCKETS = "/socket.io/?EIO=4&transport=polling"


def with_socket_io(is_first: bool) -> Flask:
    socket_io = run(code_below("recipes/sockets.md", "Flask-SocketIO"))["SocketIO"]
    app, extension = Flask(__name__), Preflight(allow_origins=[PAGE])
    app.add_url_rule("/data", view_func=lambda: "data", endpoint="data")
    if not is_first:
        extension.init_app(app)

    def may_connect(origin: str, environ: WSGIEnvironment) -> bool:
        policy = extension.policy(app)
        return policy is not None and policy.allows_origin(origin, environ)

    socket_io(app, cors_allowed_origins=may_connect, async_mode="threading")
    if is_first:
        extension.init_app(app)
    return app


def answers_of_sockets(app: Flask, *names: str) -> list[tuple[int, dict[str, str]]]:
    """To both pages' preflights, and to the allowed page's request, without the session's id in the text."""
    asked = [preflight(app, "POST", SOCKETS, *names, origin=origin) for origin in (PAGE, STRANGER)]
    return [(answer.status, answer.cors) for answer in [*asked, send(app, "GET", SOCKETS)]]


@pytest.mark.parametrize("is_first", [True, False])
def test_what_is_the_same_in_both_orders_of_socket_io_and_the_extension(is_first: bool) -> None:
    app = with_socket_io(is_first)
    assert send(app, "GET", "/data") == (200, readable(), "data")
    stranger = Browser(app, origin=STRANGER)
    assert stranger.open_websocket("wss://backend.com/socket.io/?EIO=4&transport=websocket").status == 400


def test_what_differs_if_socket_io_is_initialised_first() -> None:
    app = with_socket_io(is_first=True)
    refused = (REFUSED.status, REFUSED.cors)
    assert answers_of_sockets(app) == [granted("POST")[:2], refused, (200, readable())]
    assert answers_of_sockets(app, "X-Any") == [refused, refused, (200, readable())]


def test_what_differs_if_socket_io_is_initialised_later() -> None:
    headers = {"Access-Control-Allow-Origin": PAGE, "Access-Control-Allow-Credentials": "true"}
    granted_by_socket_io = {
        "Access-Control-Allow-Methods": "OPTIONS, GET, POST",
        "Access-Control-Allow-Headers": "x-any",
    }
    assert answers_of_sockets(with_socket_io(is_first=False), "X-Any") == [
        (200, {**headers, **granted_by_socket_io}),
        (400, {}),
        (200, headers),
    ]


@pytest.mark.parametrize(
    ("page", "cookie"), [("https://www.backend.com", "a=1"), (PAGE, None)], ids=["own-site", "other-site"]
)
def test_lax_cookies_go_with_a_handshake_from_the_own_site_only(page: str, cookie: str | None) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: ("", {"Set-Cookie": "a=1; Secure; SameSite=Lax"}), methods=["POST", "GET"])
    browser = Browser(app, origin=page)
    browser.submit(f"{API}/")  # a navigation, so the cookie is kept whatever the site
    browser.open_websocket("wss://backend.com/")
    assert browser.exchanges[-1].request_headers.get("Cookie") == cookie


@contextmanager
def served(app: WSGIApplication) -> Iterator[str]:
    server = make_server("localhost", 0, app, threaded=True)
    Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield f"http://localhost:{server.port}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_check_of_flask_sock_uses_the_policy_of_the_view() -> None:
    names = run(code_below("recipes/sockets.md", "flask-sock").partition("\n\necho_app")[0])
    extension, app = Preflight(allow_origins=[PAGE]), Flask(__name__)
    names.update(preflight=extension, echo_app=app)
    extension.init_app(app)
    app.before_request(names["refuse_foreign_sockets"])

    admin = cors_route(allow_origins=["https://admin.com"])(lambda websocket: websocket.close())
    Sock(app).route("/admin", endpoint="admin")(admin)
    with served(app) as server:
        origins = ["https://admin.com", PAGE, STRANGER]
        browsers = [Browser(origin=origin, transport=LiveTransport(server)) for origin in origins]
        assert [browser.open_websocket(f"{server}/admin").status for browser in browsers] == [101, 403, 403]


# ---------------------------------------------------------------------------------------
# Apps that one does not edit. Superset and MLflow bring a few hundred megabytes each, moto's server nearly two hundred,
# and Locust a gevent that excludes httpbin, which other tests need. So these have stand-ins with the same hook. The
# recipes were tried by hand with the real MLflow 3.17, moto 5.2 and Locust 2.47.
# ---------------------------------------------------------------------------------------


def foreign_app() -> Flask:
    """An app that allows every origin, as these do by flask-cors."""
    app = Flask("foreign")
    flask_cors.CORS(app)
    app.add_url_rule("/api/data", "data", lambda: "data", methods=["POST"])
    return app


def superset(source: str, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """Superset calls the function with its app, in the app's context and before it adds its views."""
    mutator, app = run(source)["FLASK_APP_MUTATOR"], Flask("superset")
    with app.app_context():
        mutator(app)
    app.add_url_rule("/api/data", "data", lambda: "data", methods=["POST"])
    return app


def mlflow(source: str, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """MLflow serves the object that the entry point names, here ``our_mlflow:app``."""
    add_module(monkeypatch, "mlflow.server", app=foreign_app())
    app = run(source)["app"]
    assert isinstance(app, Flask)
    return app


def locust(source: str, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """Locust calls the listeners with keywords, and without a web interface where there is none."""
    app = foreign_app()
    web_ui, events = ModuleType("web_ui"), ModuleType("events")
    listeners: list[Callable[..., None]] = []
    web_ui.__dict__["app"] = app
    events.__dict__["init"] = type("EventHook", (), {"add_listener": staticmethod(listeners.append)})
    add_module(monkeypatch, "locust", events=events)
    run(source)
    [listener] = listeners
    listener(environment=None, runner=None, web_ui=None)
    listener(environment=None, runner=None, web_ui=web_ui)
    return app


def moto(source: str, monkeypatch: pytest.MonkeyPatch) -> WSGIApplication:
    """moto's WSGI app finds the Flask app of a service, and makes it by a function that it is given."""

    class DomainDispatcherApplication:
        def __init__(self, create_app: Callable[[str], Flask]) -> None:
            self.app = create_app("s3")

        def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            return self.app(environ, start_response)

    def create_backend_app(service: str) -> Flask:
        return foreign_app()

    add_module(
        monkeypatch,
        "moto.server",
        DomainDispatcherApplication=DomainDispatcherApplication,
        create_backend_app=create_backend_app,
    )
    application = run(source)["application"]
    assert isinstance(application, PreflightMiddleware)
    return application


def add_module(monkeypatch: pytest.MonkeyPatch, name: str, **content: object) -> None:
    module = ModuleType(name)
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, name.partition(".")[0], module)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize(
    ("heading", "host", "page"),
    [
        ("Superset", superset, PAGE),
        ("MLflow", mlflow, PAGE),
        ("Locust", locust, "https://dashboard.example.com"),
        ("moto", moto, "http://localhost:5173"),
    ],
)
def test_the_hook_lets_the_policy_in(
    heading: str,
    host: Callable[[str, pytest.MonkeyPatch], WSGIApplication],
    page: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = host(code_below("recipes/foreign-apps.md", heading), monkeypatch)
    assert Browser(app, origin=page).fetch(f"{API}/api/data", "POST", json={}).text == "data"
    stranger = Browser(app, origin=STRANGER)
    with pytest.raises(CORSError):
        stranger.fetch(f"{API}/api/data", "POST", json={})
    with pytest.raises(CORSError):  # without a preflight: it arrives, and cannot be read
        stranger.fetch(f"{API}/api/data", "POST")
    assert [exchange.status for exchange in stranger.exchanges] == [403, 200]


def test_the_stack_of_wsgidav_in_a_yaml_file(monkeypatch: pytest.MonkeyPatch) -> None:
    heading = "WsgiDAV, WebDAV and CalDAV"
    recipe = run(code_below("recipes/foreign-apps.md", heading))
    add_module(monkeypatch, "our_dav", with_cors=lambda app: PreflightMiddleware(app, recipe["webdav"]))
    stack = yaml.safe_load(code_below("recipes/foreign-apps.md", heading, "yaml"))
    page = Browser(recipe["WsgiDAVApp"]({**recipe["config"], **stack}), origin=PAGE)
    login = {"Authorization": "Basic YWRhOmxvdmVsYWNl"}
    assert page.fetch(f"{API}/new", "MKCOL", headers=login).status == 201
    assert page.fetch(f"{API}/", "PROPFIND").status == 401


# ---------------------------------------------------------------------------------------
# Serverless
# ---------------------------------------------------------------------------------------


def event_v2(environ: WSGIEnvironment, headers: dict[str, str], body: str) -> dict[str, Any]:
    """Of an HTTP API or a function URL: names in lower case, one value each."""
    http = {"method": environ["REQUEST_METHOD"], "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1"}
    return {
        "version": "2.0",
        "rawPath": environ["PATH_INFO"],
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {"http": http},
        "body": body,
        "isBase64Encoded": False,
    }


def event_v1(environ: WSGIEnvironment, headers: dict[str, str], body: str) -> dict[str, Any]:
    """Of a REST API: lists of values beside the values."""
    return {
        "version": "1.0",
        "httpMethod": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {},
        "body": body,
        "isBase64Encoded": False,
    }


def event_alb(environ: WSGIEnvironment, headers: dict[str, str], body: str) -> dict[str, Any]:
    """Of a load balancer."""
    event = event_v1(environ, headers, body)
    del event["version"], event["multiValueHeaders"], event["multiValueQueryStringParameters"]
    return {**event, "queryStringParameters": {}, "requestContext": {"elb": {"targetGroupArn": "arn"}}}


def gateway(
    handler: Callable[[dict[str, Any], Any], dict[str, Any]], to_event: Callable[..., dict[str, Any]]
) -> WSGIApplication:
    """What AWS does between a client and the function."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        names = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
        if environ.get("CONTENT_TYPE"):
            names["content-type"] = environ["CONTENT_TYPE"]
        answer = handler(to_event(environ, names, environ["wsgi.input"].read().decode()), None)
        headers = answer.get("headers") or {name: values[0] for name, values in answer["multiValueHeaders"].items()}
        start_response(f"{answer['statusCode']} Status", [*headers.items()])
        return [answer["body"].encode()]

    return app


@pytest.mark.parametrize("to_event", [event_v2, event_v1, event_alb])
def test_the_app_answers_in_aws_lambda(to_event: Callable[..., dict[str, Any]]) -> None:
    app = gateway(make_lambda_handler(run(code_below("recipes/serverless.md", "AWS Lambda"))["app"]), to_event)
    token = {"Authorization": "Bearer t"}
    page = Browser(app, origin=PAGE)
    assert page.fetch(f"{API}/api/data", "PUT", headers=token, json={"n": 1}).json == {"saved": {"n": 1}}
    assert page.fetch(f"{API}/missing").status == 404
    stranger = Browser(app, origin=STRANGER)
    with pytest.raises(CORSError):
        stranger.fetch(f"{API}/api/data", "PUT", headers=token, json={"n": 1})
    assert [exchange.status for exchange in stranger.exchanges] == [403]


def create_function(target: str, source: str) -> Flask:
    """What ``create_app`` of the Functions Framework 3.10 does with an HTTP function.

    A stand-in: the framework brings watchdog, with which Flask's reloader would watch all folders in other tests. The
    recipe was tried by hand with the real one.
    """
    app = Flask(target)
    with app.app_context():
        function = run(Path(source).read_text(encoding="utf-8"))[target]
    for rule in (Rule("/", defaults={"path": ""}, endpoint="run"), Rule("/<path:path>", endpoint="run")):
        app.url_map.add(rule)  # without methods, so all of them
    app.view_functions["run"] = lambda path: function(request)
    return app


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The function's ``main.py`` in the current folder, and the framework."""
    monkeypatch.chdir(tmp_path)
    add_module(monkeypatch, "functions_framework", http=lambda function: function, create_app=create_function)
    path = tmp_path / "main.py"
    path.write_text(code_below("recipes/serverless.md", "Google Cloud Functions"), encoding="utf-8")
    return path


def test_the_test_of_a_cloud_function(main: Path) -> None:
    test = code_below("recipes/serverless.md", "Google Cloud Functions", number=1)
    run(test)["test_the_front_end"]()
    main.write_text(main.read_text(encoding="utf-8").replace('"PUT"', '"POST"'), encoding="utf-8")
    with pytest.raises(CORSError):
        run(test)["test_the_front_end"]()


@pytest.mark.parametrize(("is_listed", "statuses"), [(True, [204, 204, 403, 403]), (False, [204] * 4)])
def test_which_methods_a_cloud_function_allows(is_listed: bool, statuses: list[int], main: Path) -> None:
    lines = main.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if is_listed or "allow_methods=" not in line]
    assert len(lines) - len(kept) == (0 if is_listed else 1)
    main.write_text("\n".join(kept), encoding="utf-8")
    app = create_function("api", "main.py")
    assert [preflight(app, method, "/").status for method in ("GET", "PUT", "DELETE", "QUERY")] == statuses


# ---------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------

NGINX_CONFIGURATION = """\
daemon off;
master_process off;
error_log stderr;
pid {folder}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/1;
    proxy_temp_path {folder}/2;
    fastcgi_temp_path {folder}/3;
    scgi_temp_path {folder}/4;
    uwsgi_temp_path {folder}/5;
    server {{
        listen 127.0.0.1:{port} reuseport;
        location / {{ proxy_pass {app}; }}
        {location}
    }}
}}
"""


@contextmanager
def behind_nginx(app: WSGIApplication, location: str, folder: Path) -> Iterator[str]:
    with served(app) as inner, kept_port() as port:
        text = NGINX_CONFIGURATION.format(folder=folder, port=port, app=inner, location=location)
        (folder / "nginx.conf").write_text(text, encoding="utf-8")
        command = [str(NGINX), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
        with serving(command, folder, folder / "log", port):
            yield f"http://127.0.0.1:{port}"


@pytest.mark.servers
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("has_recipe", [True, False])
@pytest.mark.parametrize("name", ["report.csv", "missing.csv"])
def test_a_file_that_nginx_sends_has_the_headers_of_the_app(has_recipe: bool, name: str, tmp_path: Path) -> None:
    app = run(IMPORTS + read_program("recipes/files.md", "nginx: `X-Accel-Redirect`"))["reports"]
    location = code_below("recipes/files.md", "nginx: `X-Accel-Redirect`", "nginx").replace("/srv/files", str(tmp_path))
    if not has_recipe:
        location = re.sub(r" +add_header .*\n", "", location)
    (tmp_path / "report.csv").write_text("a,b\n", encoding="utf-8")
    with behind_nginx(app, location, tmp_path) as server:
        allowed, stranger = (Browser(origin=it, transport=LiveTransport(server)) for it in (PAGE, STRANGER))
        with pytest.raises(CORSError):
            stranger.fetch(f"{server}/reports/{name}")
        assert stranger.exchanges[0].response_headers.get("Vary") == ("Origin" if has_recipe else None)
        if has_recipe:
            response = allowed.fetch(f"{server}/reports/{name}")
            assert response.headers["Content-Disposition"] == f"attachment; filename={name}"
            assert response.status == (200 if name == "report.csv" else 404)
        else:
            with pytest.raises(CORSError):
                allowed.fetch(f"{server}/reports/{name}")


# ---------------------------------------------------------------------------------------
# Hosting
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_inside", [True, False])
def test_a_prefix_before_and_after_the_extension(is_inside: bool) -> None:
    prefix = run(code_below("recipes/hosting.md", "A prefix"))["Prefix"]
    app = Flask(__name__, static_folder=None)
    if is_inside:
        app.wsgi_app = prefix(app.wsgi_app, "/api")  # type: ignore[method-assign]
    Preflight(app, allow_origins=[STRANGER])
    if not is_inside:
        app.wsgi_app = prefix(app.wsgi_app, "/api")  # type: ignore[method-assign]
    app.add_url_rule("/data", "data", cors_route(allow_origins=[PAGE])(lambda: request.script_root), methods=["PUT"])
    assert preflight(app, "PUT", "/api/data") == granted("OPTIONS, PUT")
    assert preflight(app, "PUT", "/api/data", origin=STRANGER) == REFUSED
    assert send(app, "PUT", "/api/data") == (200, readable(), "/api")


@pytest.mark.parametrize("to_asgi", [WsgiToAsgi, WSGIMiddleware])
def test_a_whole_flask_app_on_an_asgi_server(to_asgi: Callable[[WSGIApplication], Any]) -> None:
    app = Flask(__name__)
    Preflight(app, allow_origins=[PAGE])
    app.add_url_rule("/data", view_func=lambda: request.get_json(), endpoint="data", methods=["PUT"])
    and_back: Any = ASGIMiddleware(to_asgi(app))  # it has its own type for environs
    page = Browser(and_back, origin=PAGE)
    assert page.fetch(f"{API}/data", "PUT", json=[1]).json == [1]
    assert page.fetch(f"{API}/missing").status == 404


def test_the_dangers_of_method_override() -> None:
    recipe = run(code_below("recipes/hosting.md", "Method override").partition("\n\nnotes")[0])
    app = Flask(__name__, static_folder=None)
    app.wsgi_app = recipe["MethodOverride"](app.wsgi_app)  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE], allow_headers=["X-HTTP-Method-Override"])
    deleted: list[str] = []
    app.add_url_rule("/a", "post", lambda: "", methods=["POST"])
    for path in ("/a", "/b"):
        view = cors_route(allow_origins=["https://admin.com"])(lambda: deleted.append(request.path) or "")  # type: ignore[func-returns-value]
        app.add_url_rule(path, path, view, methods=["DELETE"])
    page = Browser(app, origin=PAGE)
    for path in ("/a", "/b"):  # /b has no POST, so its preflight is refused
        with pytest.raises(CORSError):
            page.fetch(f"{API}{path}", "POST", headers={"X-HTTP-Method-Override": "DELETE"})
    assert [(exchange.method, exchange.status) for exchange in page.exchanges] == [
        ("OPTIONS", 204),
        ("POST", 200),
        ("OPTIONS", 403),
    ]
    assert deleted == ["/a"]


# ---------------------------------------------------------------------------------------
# The checklist, and the commands of all these pages
# ---------------------------------------------------------------------------------------

# What each test of the checklist finds
MISTAKES = {
    "test_policies": ("    preflight.init_app(app)", "    preflight.init_app(app)\n    app.put('/')(wrong)"),
    "test_the_front_end": ("CREDENTIALS=True", "CREDENTIALS=False"),
    "test_other_pages": ("ORIGINS=[PAGE]", "ORIGINS=lambda *_: True"),
    "test_errors": ("ORIGINS=[PAGE]", "ORIGINS=[]"),
    "test_cookies": ('"Lax"', '"None"'),
}
WRONG = """
from flask_preflight import cors_route
wrong = cors_route(allow_origins=[..., "http://intranet.example"])(lambda: "")
"""


def checklist(old: str = "", new: str = "") -> dict[str, Any]:
    source = read_program("checklist.md")
    if old:
        assert source.count(old) == 1
        source = WRONG + source.replace(old, new)
    return run(source)


def call(test: Callable[..., None]) -> None:
    """Call a test as pytest does, for each of its parameters."""
    marks = getattr(test, "pytestmark", [])
    for values in marks[0].args[1] if marks else [None]:
        test(*filter(None, [values]))


def test_the_tests_of_the_checklist_are_these() -> None:
    assert {name for name in checklist() if name.startswith("test_")} == set(MISTAKES)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_test_of_the_checklist_passes_and_finds_its_mistake(name: str) -> None:
    call(checklist()[name])
    with pytest.raises((AssertionError, ValueError, CORSError, pytest.fail.Exception)):
        call(checklist(*MISTAKES[name])[name])


def command_lines() -> Iterator[tuple[str, str]]:
    for page in [*RECIPES, DOCS / "checklist.md"]:
        for block in blocks(page.read_text(encoding="utf-8").splitlines()):
            for line in block.code if block.language == "sh" else []:
                if " preflight " in line:
                    yield page.stem, line.partition(" preflight ")[2]


@pytest.mark.parametrize(("page", "line"), [*command_lines()])
def test_the_commands_exist_and_take_these_options(page: str, line: str) -> None:
    name, *arguments = shlex.split(line)
    with click.Context(preflight_command) as context:
        command = preflight_command.get_command(context, name)
        assert command is not None
        command.parse_args(click.Context(command, parent=context), arguments)


# ---------------------------------------------------------------------------------------
# The glossary
# ---------------------------------------------------------------------------------------


def test_each_word_of_the_glossary_has_two_sentences_and_a_link() -> None:
    words = parts((DOCS / "glossary.md").read_text(encoding="utf-8"))
    del words["Glossary"]
    assert list(words) == sorted(words, key=str.lower)
    for word, text in words.items():
        sentences = re.sub(r"https?://\S+?(?=[`)])", "URL", text.partition("\n")[2])
        assert len(re.findall(r"\.(?:\s|$)", sentences)) == 2, word
        assert "](" in text, word


def test_the_index_leads_to_each_recipe() -> None:
    index = (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert [page.stem for page in RECIPES if f"(recipes/{page.name}" not in index] == []
