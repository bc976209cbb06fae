"""Authentication and rate limits in front of a view: preflights never meet them, and pages can read their refusals."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, abort, request, request_started
from flask_httpauth import HTTPBasicAuth, HTTPTokenAuth
from flask_jwt_extended import JWTManager, create_access_token, jwt_required
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager, UserMixin, login_required
from pages import PAGE, STRANGER, VARY, fetch, granted, preflight, readable, send

from flask_preflight import Preflight
from flask_preflight.browser import CORSError

Guard = Callable[[Flask], None]
Authorization = Callable[[], "str | None"]


def save() -> str:
    """The view that all guards stand before."""
    return "saved"


def add_save(app: Flask, guarded: Callable[..., Any] = save) -> None:
    app.add_url_rule("/api/data", "save", guarded, methods=["PUT"])


# ---------------------------------------------------------------------------------------
# The guards, set up as their manuals say. Each lets the user "ada" in.
# ---------------------------------------------------------------------------------------


def hook(app: Flask) -> None:
    @app.before_request
    def check() -> None:
        if "Authorization" not in request.headers:
            abort(401)
        if request.headers["Authorization"] != "Bearer ada":
            abort(403)

    add_save(app)


def login(app: Flask) -> None:
    manager = LoginManager(app)
    manager.request_loader(lambda sent: UserMixin() if sent.headers.get("Authorization") == "Bearer ada" else None)
    add_save(app, login_required(save))


def login_page(app: Flask) -> None:
    login(app)
    app.login_manager.login_view = "log_in"  # type: ignore[attr-defined]
    app.add_url_rule("/login", "log_in", lambda: "who are you?")


def jwt(app: Flask) -> None:
    app.config["JWT_SECRET_KEY"] = "at least thirty-two bytes of noise"
    manager = JWTManager(app)

    @manager.token_in_blocklist_loader
    def is_revoked(_: object, claims: dict[str, str]) -> bool:
        return claims["sub"] == "revoked"

    add_save(app, jwt_required()(save))


def fresh_jwt(app: Flask) -> None:
    jwt(app)
    app.view_functions["save"] = jwt_required(fresh=True)(save)


def basic(app: Flask) -> None:
    auth = HTTPBasicAuth()
    auth.verify_password(lambda user, _: user or None)
    auth.get_user_roles(lambda user: ["writer"] if user == "ada" else [])
    add_save(app, auth.login_required(role="writer")(save))


def token(app: Flask) -> None:
    auth = HTTPTokenAuth()
    auth.verify_token(lambda sent: "ada" if sent == "ada" else None)
    add_save(app, auth.login_required(save))


def limiter(app: Flask) -> None:
    Limiter(get_remote_address, app=app, default_limits=["1 per day"], storage_uri="memory://", headers_enabled=True)
    add_save(app)


GUARDS = [hook, login, login_page, jwt, fresh_jwt, basic, token, limiter]


def bearer(sent: str) -> Authorization:
    return lambda: f"Bearer {sent}"


def nothing() -> None:
    return None


def password_of(user: str) -> Authorization:
    return lambda: f"Basic {base64.b64encode(f'{user}:secret'.encode()).decode()}"


def jwt_of(user: str, **claims: Any) -> Authorization:
    return lambda: f"Bearer {create_access_token(user, **claims)}"


@pytest.fixture(params=["guard first", "preflight first"])
def guarded(request: pytest.FixtureRequest) -> Callable[[Guard], Flask]:
    """Make an app with a guard and this package; who comes first must not matter."""

    def make(guard: Guard) -> Flask:
        app = Flask(__name__)
        app.secret_key = "secret"
        steps: list[Guard] = [guard, protect]
        for step in steps if request.param == "guard first" else reversed(steps):
            step(app)
        return app

    return make


def protect(app: Flask) -> None:
    Preflight(
        app,
        allow_origins=[PAGE],
        allow_headers=[..., "Authorization"],
        expose_headers=["Retry-After"],
        allow_credentials=True,
    )


# ---------------------------------------------------------------------------------------

GRANTED = granted("OPTIONS, PUT", "Authorization, Content-Type", credentials="true")
READABLE = readable(credentials="true", expose="Retry-After")
VARY_BY_SESSION = {"Vary": "Cookie, Origin"}  # Flask's own, merged: Flask-Login has looked into the session


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_a_preflight_passes_every_guard_and_runs_nothing_of_the_app(
    guard: Guard, guarded: Callable[[Guard], Flask]
) -> None:
    app = guarded(guard)
    ran: list[str] = []

    def spy() -> None:
        ran.append("before_request")

    app.before_request_funcs.setdefault(None, []).insert(0, spy)
    app.teardown_request(lambda _: ran.append("teardown_request"))
    with request_started.connected_to(lambda _: ran.append("request_started"), app):
        assert preflight(app, "PUT", "/api/data", "Authorization", "Content-Type") == GRANTED
    assert ran == []


@pytest.mark.parametrize(
    ("guard", "authorization", "status", "says"),
    [
        pytest.param(hook, nothing, 401, "Unauthorized", id="hook, nobody"),
        pytest.param(hook, bearer("eve"), 403, "Forbidden", id="hook, somebody else"),
        pytest.param(hook, bearer("ada"), 200, "saved", id="hook, the right one"),
        pytest.param(login, nothing, 401, "Unauthorized", id="login, nobody"),
        pytest.param(login, bearer("ada"), 200, "saved", id="login, the right one"),
        pytest.param(login_page, nothing, 302, "/login?next=%2Fapi%2Fdata", id="login, redirected to its page"),
        pytest.param(jwt, nothing, 401, "Missing Authorization Header", id="jwt, nobody"),
        pytest.param(jwt, bearer("no token"), 422, "Bad Authorization header", id="jwt, two words"),
        pytest.param(jwt, bearer("nonsense"), 422, "Not enough segments", id="jwt, no token"),
        pytest.param(
            jwt, jwt_of("ada", expires_delta=timedelta(-1)), 401, "Token has expired", id="jwt, an expired token"
        ),
        pytest.param(jwt, jwt_of("revoked"), 401, "Token has been revoked", id="jwt, a revoked token"),
        pytest.param(jwt, jwt_of("ada"), 200, "saved", id="jwt, the right one"),
        pytest.param(fresh_jwt, jwt_of("ada"), 401, "Fresh token required", id="jwt, a stale token"),
        pytest.param(fresh_jwt, jwt_of("ada", fresh=True), 200, "saved", id="jwt, a fresh token"),
        pytest.param(basic, nothing, 401, "Unauthorized Access", id="basic, nobody"),
        pytest.param(basic, password_of("eve"), 403, "Unauthorized Access", id="basic, without the role"),
        pytest.param(basic, password_of("ada"), 200, "saved", id="basic, the right one"),
        pytest.param(token, bearer("eve"), 401, "Unauthorized Access", id="token, somebody else"),
        pytest.param(token, bearer("ada"), 200, "saved", id="token, the right one"),
    ],
)
def test_a_page_can_read_what_a_guard_says(
    guard: Guard, authorization: Authorization, status: int, says: str, guarded: Callable[[Guard], Flask]
) -> None:
    app = guarded(guard)
    with app.app_context():
        sent = authorization()
    headers = {} if sent is None else {"Authorization": sent}
    answer = send(app, "PUT", "/api/data", headers=headers)
    vary = VARY_BY_SESSION if "login" in guard.__name__ else VARY
    assert answer == (status, {**READABLE, **vary}, answer.text)
    assert says in answer.text
    stranger = send(app, "PUT", "/api/data", headers=headers, origin=STRANGER)
    assert stranger == (status, vary, answer.text)

    asked: dict[str, Any] = {"headers": headers, "credentials": "include", "redirect": "manual"}
    page = fetch(app, "PUT", "/api/data", **asked)
    # that there is a redirect is all that a script can learn of one
    assert (page.status, page.text) == ((0, "") if status == 302 else (status, answer.text))
    with pytest.raises(CORSError):
        fetch(app, "PUT", "/api/data", origin=STRANGER, **asked)


def test_preflights_are_not_counted_and_the_429_can_be_read(guarded: Callable[[Guard], Flask]) -> None:
    app = guarded(limiter)
    for _ in range(3):
        assert preflight(app, "PUT", "/api/data", "Authorization", "Content-Type") == GRANTED
    assert send(app, "PUT", "/api/data") == (200, READABLE, "saved")
    answer = send(app, "PUT", "/api/data")
    assert answer == (429, READABLE, answer.text)
    assert "1 per 1 day" in answer.text
    page = fetch(app, "PUT", "/api/data", headers={"Authorization": "Bearer ada"}, credentials="include")
    assert (page.status, page.text) == (429, answer.text)
    assert "Retry-After" in page.headers


def test_plain_options_requests_are_not_let_past_a_guard(guarded: Callable[[Guard], Flask]) -> None:
    """Only a preflight is answered in front: else anybody could reach a view's own OPTIONS without a password."""
    app = guarded(hook)
    for headers in ({}, {"Access-Control-Request-Headers": "authorization"}):
        answer = send(app, "OPTIONS", "/api/data", headers=headers)
        assert answer == (401, READABLE, answer.text)
    answer = send(app, "OPTIONS", "/api/data", origin=None, headers={"Access-Control-Request-Method": "PUT"})
    assert answer == (401, VARY, answer.text)
