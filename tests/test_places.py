"""An explanation names the innermost place of the app that sets the value, and what is written there helps."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView
from pages import PAGE, without_line_numbers
from werkzeug.test import Client

from flask_preflight import Policy, Preflight, PreflightMiddleware, by_path, cors_blueprint, cors_route

Changes = dict[str, Any]
Build = Callable[[Changes], Any]  # the changes that the explanation tells to write, or the mistake

LISTED: Changes = {"allow_headers": ["Content-Type"]}


def new_app(**config: Any) -> Flask:
    app = Flask("shop", static_folder=None)
    app.debug = True
    app.config.update(config)
    return app


def with_view(app: Flask, **changes: Any) -> Flask:
    app.add_url_rule("/data", "data", cors_route(**changes)(new_view()), methods=["PUT"])
    return app


def new_view() -> Callable[[], str]:
    def data() -> str:
        return "data"

    data.__qualname__ = "data"
    return data


def in_constructor(changes: Changes) -> Flask:
    app = new_app(PREFLIGHT_ALLOW_HEADERS="X-Unused")
    Preflight(app, allow_origins=[PAGE], **changes)
    return with_view(app)


def in_init_app(changes: Changes) -> Flask:
    app = new_app()
    Preflight(allow_origins=[PAGE], allow_headers=["X-Unused"]).init_app(app, **changes)
    return with_view(app)


def in_reconfigure(changes: Changes) -> Flask:
    app = new_app()
    preflight = Preflight(app, allow_origins=[PAGE], allow_headers=["X-Unused"])
    preflight.reconfigure(app, **changes)
    return with_view(app)


def in_configuration(changes: Changes) -> Flask:
    keys = {name if name.isupper() else f"PREFLIGHT_{name.upper()}": value for name, value in changes.items()}
    app = new_app(**keys)
    Preflight(app, allow_origins=[PAGE])
    return with_view(app)


def by_default(changes: Changes) -> Flask:
    app = new_app()
    written: Changes = {} if changes is LISTED else changes
    Preflight(app, allow_origins=[PAGE], **written)
    return with_view(app)


def by_default_of_an_app_with_configuration(changes: Changes) -> Flask:
    keys = {} if changes is LISTED else changes
    app = new_app(PREFLIGHT_ALLOW_ORIGINS=[PAGE], **keys)
    Preflight(app)
    return with_view(app)


def on_view(changes: Changes) -> Flask:
    app = new_app()
    Preflight(app, allow_origins=[PAGE], allow_headers=["X-Unused"])
    return with_view(app, **changes)


def on_blueprint(changes: Changes) -> Flask:
    app, shop = new_app(), Blueprint("shop", "shop")
    Preflight(app, allow_origins=[PAGE], allow_headers=["X-Unused"])
    cors_blueprint(shop, **changes).add_url_rule("/data", view_func=new_view(), methods=["PUT"])
    app.register_blueprint(shop)
    return app


def on_inner_blueprint(changes: Changes) -> Flask:
    app, shop, inner = new_app(), Blueprint("shop", "shop"), Blueprint("inner", "inner")
    Preflight(app, allow_origins=[PAGE])
    cors_blueprint(inner, **changes).add_url_rule("/data", view_func=new_view(), methods=["PUT"])
    cors_blueprint(shop, allow_headers=["X-Unused"]).register_blueprint(inner)
    app.register_blueprint(shop)
    return app


def on_class(changes: Changes) -> Flask:
    @cors_route(**changes)
    class Data(MethodView):
        def put(self) -> str:
            return "data"

    app = new_app()
    Preflight(app, allow_origins=[PAGE])
    app.add_url_rule("/data", view_func=Data.as_view("data"))
    return app


def on_method(changes: Changes) -> Flask:
    @cors_route(allow_headers=["X-Unused"])
    class Data(MethodView):
        @cors_route(**changes)
        def put(self) -> str:
            return "data"

    app = new_app()
    Preflight(app, allow_origins=[PAGE])
    app.add_url_rule("/data", view_func=Data.as_view("data"))
    return app


def in_middleware(changes: Changes) -> PreflightMiddleware:
    app = Flask("shop")
    return PreflightMiddleware(app, Policy(allow_origins=[PAGE], allow_methods=["PUT"], **changes), debug=True)


def in_by_path(changes: Changes) -> PreflightMiddleware:
    policy = Policy(allow_origins=[PAGE], allow_methods=["PUT"], **changes)
    return PreflightMiddleware(Flask("shop"), by_path({"/data": policy, "/": None}), debug=True)


PLACES: dict[str, tuple[Build, str]] = {
    "constructor": (in_constructor, "Preflight(...) at test_places.py"),
    "init_app": (in_init_app, "init_app(...) at test_places.py"),
    "reconfigure": (in_reconfigure, "preflight.reconfigure(...)"),
    "configuration": (in_configuration, "the app's configuration"),
    "default": (by_default, "Preflight(...) at test_places.py"),
    "default, with a configuration": (by_default_of_an_app_with_configuration, "the app's configuration"),
    "view": (on_view, "cors_route on data at test_places.py"),
    "blueprint": (on_blueprint, "cors_blueprint on shop at test_places.py"),
    "inner blueprint": (on_inner_blueprint, "cors_blueprint on inner at test_places.py"),
    "class": (on_class, "cors_route on on_class.<locals>.Data at test_places.py"),
    "method": (on_method, "cors_route on on_method.<locals>.Data.put at test_places.py"),
    "middleware": (in_middleware, "the Policy"),
    "by_path": (in_by_path, "the Policy of '/data'"),
}


def refusal_of(app: Any) -> str:
    sent = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-a",
    }
    return Client(app).options("/data", headers=sent).headers.get("CORS-Refused", "")


@pytest.mark.parametrize(("build", "place"), PLACES.values(), ids=PLACES)
def test_the_place_that_sets_the_value_is_named_and_the_change_there_helps(build: Build, place: str) -> None:
    refusal = refusal_of(build(LISTED))
    is_in_configuration = place == "the app's configuration"
    written = (
        "PREFLIGHT_ALLOW_HEADERS='Content-Type,X-A'" if is_in_configuration else "allow_headers=['Content-Type', 'X-A']"
    )
    assert without_line_numbers(refusal) == (
        "headers-not-allowed; The request header 'x-a' is not in allow_headers, which allows Content-Type."
        f" To allow it, write {written} in {place}."
    )
    name, value = re.findall(r" write (\w+)=(.+?) in ", refusal)[0]
    assert refusal_of(build({name: ast.literal_eval(value)})) == ""


def test_a_file_in_the_current_directory_is_named_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__)
    app = in_constructor(LISTED)
    monkeypatch.chdir(here.parent)
    assert re.search(rf" at {here.name}:\d+\.$", refusal_of(app))
    monkeypatch.chdir(tmp_path)
    assert re.search(rf" at {re.escape(str(here))}:\d+\.$", refusal_of(app))


def test_the_current_directory_may_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = in_constructor(LISTED)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert " in Preflight(...) at " in refusal_of(app)


# Who sets allow_origins for the view, and who allow_credentials; where the latter is to be written
CREDENTIALS: dict[str, tuple[Changes, Changes, Changes, Changes, str]] = {
    "origins by the view": ({}, {}, {}, {"allow_origins": [PAGE]}, "cors_route on data at test_places.py"),
    "origins by the blueprint": ({}, {}, {"allow_origins": [PAGE]}, {}, "cors_blueprint on shop at test_places.py"),
    "both by the view": (
        {},
        {},
        {},
        {"allow_origins": [PAGE], "allow_credentials": False},
        "cors_route on data at test_places.py",
    ),
    "origins further out": (
        {},
        {},
        {"allow_origins": [PAGE]},
        {"allow_credentials": False},
        "cors_route on data at test_places.py",
    ),
    "origins further in": (
        {},
        {"allow_credentials": False},
        {"allow_origins": [PAGE]},
        {},
        "cors_blueprint on shop at test_places.py",
    ),
    "origins by the call": ({}, {"allow_origins": [PAGE]}, {}, {}, "Preflight(...) at test_places.py"),
    "origins by the configuration": (
        {"PREFLIGHT_ALLOW_ORIGINS": PAGE},
        {},
        {},
        {},
        "the app's configuration (true in the environment)",
    ),
}


@pytest.mark.parametrize(("config", "app_wide", "outer", "view", "place"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials_are_allowed_where_the_origins_are(
    config: Changes, app_wide: Changes, outer: Changes, view: Changes, place: str
) -> None:
    """Further out, they would be allowed for other views too, whose origins they may not go together with."""

    def build(config: Changes, app_wide: Changes, outer: Changes, view: Changes) -> Flask:
        app, shop = new_app(**config), Blueprint("shop", "shop")
        Preflight(app, max_age=60, **app_wide)
        cors_blueprint(shop, **outer).add_url_rule("/data", view_func=cors_route(**view)(new_view()))
        app.register_blueprint(shop)
        if view or outer:
            app.add_url_rule("/public", "public", cors_route(allow_origins="*")(new_view()))
        return app

    def refusal_with_cookies(app: Flask) -> str:
        sent = {"Origin": PAGE, "Cookie": "a=1"}
        return Client(app, use_cookies=False).get("/data", headers=sent).headers.get("CORS-Refused", "")

    refusal = without_line_numbers(refusal_with_cookies(build(config, app_wide, outer, view)))
    key = "PREFLIGHT_ALLOW_CREDENTIALS" if config else "allow_credentials"
    assert f"If the page needs cookies, write {key}=True in {place}. Otherwise" in refusal
    levels = [
        *zip(("the app's", "Preflight", "cors_blueprint", "cors_route"), (config, app_wide, outer, view), strict=True)
    ]
    followed = [{**changes, **({key: True} if place.startswith(name) else {})} for name, changes in levels]
    assert refusal_with_cookies(build(*followed)) == ""
