"""The commands and odd apps: views that fail late, odd converters, middleware in front, modules that exit."""

from __future__ import annotations

import json
import runpy
import sys
from typing import Any

import pytest
from flask import Flask
from test_commands import PAGE, explained, invoke, invoke_module, new_app
from werkzeug.http import parse_options_header
from werkzeug.routing import BaseConverter, Rule, ValidationError

import flask_preflight.__main__
from flask_preflight import Policy, Preflight, PreflightMiddleware, cors_exempt, cors_route
from flask_preflight.commands.lock import lock_of
from flask_preflight.commands.near_misses import hints_of
from flask_preflight.commands.output import relative
from flask_preflight.commands.routes import chosen_routes, rows_of, text_of
from flask_preflight.commands.targets import FlaskTarget, target_of
from flask_preflight.commands.verify import verify


def test_python_m(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["flask_preflight", "--help"])
    with pytest.raises(SystemExit) as raised:
        runpy.run_path(flask_preflight.__main__.__file__, run_name="__main__")
    assert raised.value.code == 0
    assert "Usage: python -m flask_preflight" in capsys.readouterr().out


def make_exit() -> None:
    sys.exit("no configuration")


def make_invalid() -> Flask:
    app = Flask("invalid")
    Preflight(app, allow_origins="*", allow_credentials=True)
    return app


def test_a_module_that_exits() -> None:
    result = invoke_module("routes", "test_command_corners:make_exit()")
    says = "Error: test_command_corners:make_exit() cannot be imported: it calls sys.exit('no configuration').\n"
    assert (result.exit_code, result.stderr) == (2, says)


def test_a_module_whose_policy_is_not_valid() -> None:
    assert invoke_module("routes", "test_command_corners:make_invalid()").exit_code == 2
    found = invoke_module("verify", "test_command_corners:make_invalid()", "--format", "json")
    assert found.exit_code == 1
    assert [finding["level"] for finding in json.loads(found.stdout)["findings"]] == ["error"]


# ---------------------------------------------------------------------------------------
# routes
# ---------------------------------------------------------------------------------------


def allowed(origin: str, environ: Any) -> bool:
    return origin == PAGE


def all_kinds() -> Flask:
    app = new_app(allow_credentials=True)
    app.add_url_rule("/public", "public", cors_route(allow_origins="*", allow_credentials=False)(lambda: ""))
    app.add_url_rule("/exempt", "exempt", cors_exempt(lambda: ""))
    app.add_url_rule("/called", "called", cors_route(allow_origins=allowed)(lambda: ""), methods=["PUT"])
    app.add_url_rule("/text", "text", cors_route(allow_headers=[])(lambda: ""), methods=["POST"])
    return app


def test_the_legend_says_what_is_in_the_table() -> None:
    app = all_kinds()
    lines = invoke(app, "routes", "--origin", PAGE).stdout.splitlines()
    for start in ("+c: with cookies.", "(*): the policy is public", "exempt: the view answers for itself"):
        assert any(line.startswith(start) for line in lines), lines
    cells = {line.split()[0]: line for line in lines if line.startswith("/")}
    assert "reads, no JSON (" in cells["/text"]
    assert any("allow_origins=allowed (a callable)" in line for line in lines)
    document = json.loads(invoke(app, "routes", "--origin", PAGE, "--format", "json").stdout)
    kinds = {row["rule"]: row["origins"][PAGE] for row in document["routes"]}
    assert kinds["/exempt"] == {"exempt": True}
    assert kinds["/text"]["json-refused"] == "headers-not-allowed"


def late_view() -> FlaskTarget:
    """A view whose policy is not valid, and which came after the first request."""
    app = new_app(allow_credentials=True)
    target = target_of(app, "app")
    assert isinstance(target, FlaskTarget)
    late = cors_route(allow_origins="*")(lambda **_: "")
    app._got_first_request = False
    app.add_url_rule("/late", "late", late, methods=["GET", "PUT"])
    app.add_url_rule("/late/<int(min=5, max=1):none>", "never", late, methods=["PUT"])
    return target


def test_a_late_view_with_a_policy_that_is_not_valid_allows_nothing() -> None:
    target = late_view()
    routes = chosen_routes(target, None, "/late", None)
    rows = rows_of(target, routes, [PAGE])
    assert [row.cells[PAGE].is_allowed for row in rows if row.cells] == [False, False]
    assert any("policy-invalid" in line for line in text_of(rows, [PAGE]))
    assert {facts.origins for facts in lock_of(routes).values()} == {()}


class Unwritable(BaseConverter):
    def to_url(self, value: Any) -> str:
        raise RuntimeError("read only")


class Unbuildable(BaseConverter):
    def to_url(self, value: Any) -> str:
        raise ValidationError


@pytest.mark.parametrize("mark", [lambda view: view, cors_exempt, cors_route(allow_methods=["GET"])])
@pytest.mark.parametrize("converter", [Unwritable, Unbuildable])
def test_no_example_url(converter: type[BaseConverter], mark: Any) -> None:
    app = new_app()
    app.url_map.converters["odd"] = converter
    app.add_url_rule("/<odd:x>", "odd", mark(lambda x: ""))
    result = invoke(app, "routes", "--endpoint", "odd")
    assert "?: no example URL was found" in result.stdout


def test_a_rule_that_flask_has_not_made() -> None:
    app = new_app()
    app.url_map.add(Rule("/bare", endpoint="index", methods=["GET"]))
    assert (
        json.loads(invoke(app, "routes", "--path", "/bare", "--format", "json").stdout)["routes"][0]["method"] == "GET"
    )


class Around:
    def __init__(self, app: Any) -> None:
        self.app = app


def test_a_preflight_middleware_inside_another_middleware() -> None:
    app = Flask("inside")
    policy = Policy(allow_origins=[PAGE])
    app.wsgi_app = Around(PreflightMiddleware(app.wsgi_app, policy))  # type: ignore[method-assign, assignment]
    assert invoke(app, "routes").exit_code == 0


def test_a_place_outside_of_the_project() -> None:
    assert relative("/nowhere/a.py:1") == "/nowhere/a.py:1"


def refusing() -> Flask:
    """Middleware in front answers everything itself."""
    app = new_app()
    app.add_url_rule("/put", "put", lambda: "", methods=["PUT"])

    def login(environ: Any, start_response: Any) -> list[bytes]:
        start_response("401 Unauthorized", [])
        return []

    app.wsgi_app = login  # type: ignore[method-assign]
    return app


def test_what_something_else_refuses() -> None:
    app = refusing()
    assert "not by flask-preflight: " in invoke(app, "routes").stdout
    text = invoke(app, "explain", "PUT", "/put", "--origin", PAGE).stdout
    assert "\n  fix             " in text


# ---------------------------------------------------------------------------------------
# explain
# ---------------------------------------------------------------------------------------


def test_the_origin_null_has_no_change_of_the_policy() -> None:
    document = explained(new_app(), "GET", "/", "--origin", "null")
    assert (document["reason"], document["fixed"]) == ("origin-null", False)


def by_method(origin: str, environ: Any) -> bool:
    return bool(environ["REQUEST_METHOD"] == "OPTIONS")


def test_a_refusal_after_the_preflight() -> None:
    app = new_app(allow_origins=by_method)
    app.add_url_rule("/put", "put", lambda: "", methods=["PUT"])
    text = invoke(app, "explain", "PUT", "/put", "--origin", PAGE).stdout
    assert text.startswith("Not allowed: origin-not-allowed, in the response. The request would be sent.\n")


# ---------------------------------------------------------------------------------------
# verify
# ---------------------------------------------------------------------------------------


def test_a_route_that_takes_every_url() -> None:
    app = new_app()
    app.add_url_rule("/<path:anything>", "anything", lambda anything: "")
    target = target_of(app, "app")
    assert all(route.rule != "(no route)" for route in chosen_routes(target, None, None, None))
    assert verify(target).findings == []


def fail() -> None:
    raise ZeroDivisionError


def test_an_app_whose_error_page_raises() -> None:
    app = new_app()
    app.testing = True
    app.before_request(fail)
    assert verify(target_of(app, "app")).findings == []


def test_an_exempt_view_without_headers_of_its_own() -> None:
    app = new_app()
    app.add_url_rule("/exempt", "exempt", cors_exempt(lambda: ""))
    assert verify(target_of(app, "app")).findings == []


def with_library(origin: str, environ: Any) -> bool:
    return parse_options_header(origin)[0] == "https://app.example.com"


def test_functions_of_libraries_give_no_hints() -> None:
    assert "app.example.com" in hints_of(with_library).hosts
