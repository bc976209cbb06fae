"""What users of flask-cors have met, by the number of the issue, and what this package answers instead.

The issues: https://github.com/corydolphin/flask-cors/issues. "flask-cors ..." without a number is what its code of
2025-12-12 (``fa55dcb``) was seen to answer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, abort, redirect
from pages import PAGE, REFUSED, STRANGER, VARY, Answer, granted, preflight, readable, send
from werkzeug.debug import DebuggedApplication
from werkzeug.exceptions import default_exceptions

from flask_preflight import Preflight, cors_blueprint, cors_route

Ask = Callable[[Flask], Answer]

PUBLIC = {"Access-Control-Allow-Origin": "*"}
OTHER_PAGE = "https://admin.frontend.com"


# ---------------------------------------------------------------------------------------
# The app that all of them meet: as users would write it, once with all of CORS in one place, once by views.
# ---------------------------------------------------------------------------------------


def index() -> str:
    return "here"


def create() -> str:
    return "created"


def fail() -> str:
    raise RuntimeError("the cause")


def forbid() -> str:
    abort(403)


def set_headers() -> Response:
    headers = [("Access-Control-Allow-Origin", STRANGER), ("Access-Control-Allow-Origin", "*"), ("Vary", "Cookie")]
    return Response("here", headers=headers)


VIEWS: list[tuple[str, Callable[[], Any], list[str]]] = [
    ("/", index, ["GET"]),
    ("/", create, ["POST"]),
    ("/slash/", index, ["GET", "PUT"]),
    ("/fail", fail, ["GET"]),
    ("/forbid", forbid, ["GET"]),
    ("/set", set_headers, ["GET"]),
    ("/old", lambda: redirect("/"), ["GET"]),
]


def app_wide(allow_origins: Any = (PAGE,)) -> Flask:
    """The policy stands with the app."""
    app = Flask(__name__)
    for number, (path, view, methods) in enumerate(VIEWS):
        app.add_url_rule(path, f"view{number}", view, methods=methods)
    Preflight(app, allow_origins=allow_origins)
    return app


def by_route(allow_origins: Any = ()) -> Flask:
    """The policy stands with each view; that of the app allows nobody else's."""
    app = Flask(__name__)
    for number, (path, view, methods) in enumerate(VIEWS):
        marked = cors_route(allow_origins=[PAGE])(partial(view))
        app.add_url_rule(path, f"view{number}", marked, methods=methods)
    Preflight(app, allow_origins=allow_origins)
    return app


def by_blueprint() -> Flask:
    """The policy stands with a blueprint, and the app knows the same origins."""
    app = Flask(__name__)
    blueprint = cors_blueprint(Blueprint("api", __name__, url_prefix="/api"), expose_headers=["ETag"])
    for number, (path, view, methods) in enumerate(VIEWS):
        blueprint.add_url_rule(path, f"view{number}", view, methods=methods)
    app.register_blueprint(blueprint)
    Preflight(app, allow_origins=[PAGE])
    return app


def with_login() -> Flask:
    app = app_wide()
    app.before_request(lambda: abort(401))
    return app


def two_origins() -> Flask:
    return app_wide(allow_origins=[PAGE, OTHER_PAGE])


def tenants() -> Flask:
    """The origins stand in a database."""
    return app_wide(allow_origins=lambda origin, environ: origin in DATABASE)


DATABASE = {PAGE}


def debugged() -> Flask:
    """Werkzeug's debugger stands between the app and this package."""
    app = Flask(__name__)
    app.debug = True
    app.add_url_rule("/fail", view_func=fail)
    app.wsgi_app = DebuggedApplication(app.wsgi_app)  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE])
    return app


def split_by_method() -> Flask:
    """Issue 280: the views of one URL, of which only the second is for pages."""
    app = Flask(__name__)
    app.add_url_rule("/graphql", "playground", index, methods=["GET"])
    server = cors_route(allow_origins=[PAGE], allow_headers=["*"])(lambda: "serving")
    app.add_url_rule("/graphql", "server", server, methods=["POST"])
    Preflight(app)
    return app


def get(path: str = "/", origin: str | None = PAGE) -> Ask:
    return lambda app: send(app, "GET", path, origin=origin)


def ask(method: str, path: str = "/", *wanted: str, origin: str = PAGE) -> Ask:
    return lambda app: preflight(app, method, path, *wanted, origin=origin)


def untold(ask: Ask) -> Ask:
    """The answer to *ask* without its text, which says nothing of CORS."""
    return lambda app: ask(app)._replace(text="")


def page_of(status: int) -> str:
    """What Flask says with *status*."""
    return default_exceptions[status]().get_body()


OF_GET = granted("GET, HEAD, OPTIONS")
EXPOSED = readable(expose="ETag")

# name: (app, request, answer)
ANSWERS: dict[str, tuple[Callable[[], Flask], Ask, Answer]] = {
    "#67 unhandled exception": (app_wide, get("/fail"), Answer(500, readable(), page_of(500))),
    "#67 unhandled exception, with a debugger inside": (debugged, untold(get("/fail")), Answer(500, readable(), "")),
    "#128 redirect to the slash, in a blueprint": (
        by_blueprint,
        untold(get("/api/slash")),
        Answer(308, EXPOSED, ""),
    ),
    "#128 preflight without the slash, in a blueprint": (
        by_blueprint,
        ask("PUT", "/api/slash"),
        granted("GET, HEAD, OPTIONS, PUT"),
    ),
    "#170 preflight before a hook that aborts": (with_login, ask("GET"), OF_GET),
    "#170 the hook's 401": (with_login, get(), Answer(401, readable(), page_of(401))),
    "#192 unhandled exception in a blueprint": (by_blueprint, get("/api/fail"), Answer(500, EXPOSED, page_of(500))),
    "#198 exception in a view with its own policy": (by_route, get("/fail"), Answer(500, readable(), page_of(500))),
    "#198 abort in a view with its own policy": (by_route, get("/forbid"), Answer(403, readable(), page_of(403))),
    "#210 error page of a blueprint's view": (by_blueprint, get("/api/forbid"), Answer(403, EXPOSED, page_of(403))),
    "#210 no such page": (by_blueprint, get("/nothing"), Answer(404, readable(), page_of(404))),
    "#215 the view sets an origin itself": (
        app_wide,
        get("/set"),
        Answer(200, readable() | {"Vary": "Cookie, Origin"}, "here"),
    ),
    "#215 the view sets an origin for a stranger": (
        app_wide,
        get("/set", STRANGER),
        Answer(200, {"Vary": "Cookie, Origin"}, "here"),
    ),
    "#238 an origin that a callable allows": (tenants, get(), Answer(200, readable(), "here")),
    "#238 an origin that a callable refuses": (tenants, get(origin=STRANGER), Answer(200, VARY, "here")),
    "#238 preflight that a callable allows": (tenants, ask("GET"), OF_GET),
    "#238 preflight that a callable refuses": (tenants, ask("GET", origin=STRANGER), REFUSED),
    "#257 preflight for a redirecting URL": (app_wide, ask("PUT", "/slash"), granted("GET, HEAD, OPTIONS, PUT")),
    "#257 the redirect itself": (
        app_wide,
        untold(lambda app: send(app, "PUT", "/slash")),
        Answer(308, readable(), ""),
    ),
    "#257 a redirect that a view makes": (
        app_wide,
        untold(get("/old")),
        Answer(302, readable(), ""),
    ),
    "#280 preflight for the second view": (
        split_by_method,
        ask("POST", "/graphql", "Content-Type", "X-Anything"),
        granted("OPTIONS, POST", "content-type, x-anything"),
    ),
    "#280 preflight for the first view": (split_by_method, ask("GET", "/graphql"), REFUSED),
    "#280 the second view": (
        split_by_method,
        lambda app: send(app, "POST", "/graphql"),
        Answer(200, readable(), "serving"),
    ),
    "#280 the first view": (split_by_method, get("/graphql"), Answer(200, VARY, "here")),
    "#293 no origin": (app_wide, get(origin=None), Answer(200, VARY, "here")),
    "#293 an origin that is refused": (app_wide, get(origin=STRANGER), Answer(200, VARY, "here")),
    "#293 an error without origin": (app_wide, get("/nothing", None), Answer(404, VARY, page_of(404))),
    "#338 no origin, and two to choose from": (two_origins, get(origin=None), Answer(200, VARY, "here")),
    # The table of what was seen, row by row: what flask-cors does there, and ours.
    "flask-cors reflects everybody by default": (
        lambda: app_wide(allow_origins=()),
        get(origin=STRANGER),
        Answer(200, VARY, "here"),
    ),
    "flask-cors grants everybody by default": (
        lambda: app_wide(allow_origins=()),
        ask("GET", origin=STRANGER),
        REFUSED,
    ),
    "flask-cors reflects instead of saying '*'": (
        lambda: app_wide(allow_origins="*"),
        get(origin=STRANGER),
        Answer(200, PUBLIC, "here"),
    ),
    "flask-cors says '*' without an origin": (
        lambda: app_wide(allow_origins="*"),
        get(origin=None),
        Answer(200, PUBLIC, "here"),
    ),
    "flask-cors sends the first of two origins when there is none": (
        two_origins,
        get(origin=None),
        Answer(200, VARY, "here"),
    ),
    "flask-cors forgets Vary for a foreign origin": (two_origins, get(origin=STRANGER), Answer(200, VARY, "here")),
    "flask-cors forgets Vary for the only origin": (app_wide, get(), Answer(200, readable(), "here")),
    "flask-cors allows an origin in upper case": (
        app_wide,
        get(origin="HTTPS://Frontend.com"),
        Answer(200, VARY, "here"),
    ),
    "flask-cors redirects a preflight": (app_wide, ask("GET", "/slash"), granted("GET, HEAD, OPTIONS, PUT")),
    "flask-cors answers a preflight for an unknown URL with 404": (app_wide, ask("PUT", "/nothing"), granted("PUT")),
    "flask-cors lets a hook answer a preflight with 401": (with_login, ask("POST"), granted("OPTIONS, POST")),
    "flask-cors offers seven methods where there are two": (app_wide, ask("PUT"), REFUSED),
    "flask-cors answers an unknown method with 200": (app_wide, ask("FETCH"), REFUSED),
    "flask-cors covers exceptions in production": (app_wide, get("/fail"), Answer(500, readable(), page_of(500))),
    "flask-cors covers a blueprint's 500": (by_blueprint, get("/api/fail"), Answer(500, EXPOSED, page_of(500))),
    "flask-cors forgets a blueprint's 404": (
        by_blueprint,
        get("/api/nothing"),
        Answer(404, readable(), page_of(404)),
    ),
    "flask-cors forgets a blueprint's 405": (
        by_blueprint,
        lambda app: send(app, "DELETE", "/api/"),
        Answer(405, readable(), page_of(405)),
    ),
    "flask-cors forgets a decorated view's abort(403)": (
        by_route,
        get("/forbid"),
        Answer(403, readable(), page_of(403)),
    ),
    "flask-cors forgets the 405 of a decorated view's URL": (
        lambda: by_route(allow_origins=[PAGE]),
        lambda app: send(app, "DELETE", "/fail"),
        Answer(405, readable(), page_of(405)),
    ),
    "flask-cors ... which no view has made, so it is readable only if the app's own policy says so": (
        by_route,
        lambda app: send(app, "DELETE", "/fail"),
        Answer(405, VARY, page_of(405)),
    ),
    "flask-cors finds no policy if the first view of a URL has none": (
        split_by_method,
        ask("POST", "/graphql"),
        granted("OPTIONS, POST", ""),
    ),
    "flask-cors answers Private Network Access": (
        app_wide,
        lambda app: preflight(app, "GET", "/", headers={"Access-Control-Request-Private-Network": "true"}),
        OF_GET,
    ),
}


@pytest.mark.parametrize(("make_app", "ask", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_what_flask_cors_has_met(make_app: Callable[[], Flask], ask: Ask, answer: Answer) -> None:
    assert ask(make_app()) == answer


@pytest.mark.parametrize("switch", ["DEBUG", "TESTING"], ids="#67 with {}".format)
def test_an_exception_that_flask_lets_through_is_named_as_the_cause(
    switch: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error page comes from outside the app, so only the log can explain the CORS error in the browser."""
    app = app_wide()
    app.config[switch] = True
    with pytest.raises(RuntimeError, match="the cause"):
        send(app, "GET", "/fail")
    assert [record.message for record in caplog.records if record.name == "flask_preflight"] == [
        "The app raised an exception, so the server sends the error page without CORS headers. The browser will call"
        " that a CORS error; the cause is in the traceback."
    ]


def test_238_a_tenant_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    app = tenants()
    known: set[str] = set()
    monkeypatch.setattr(sys.modules[__name__], "DATABASE", known)
    assert preflight(app, "POST", "/") == REFUSED
    known.add(PAGE)
    assert preflight(app, "POST", "/") == granted("OPTIONS, POST")
    known.remove(PAGE)
    assert preflight(app, "POST", "/") == REFUSED
    assert send(app, "POST", "/") == (200, VARY, "created")
