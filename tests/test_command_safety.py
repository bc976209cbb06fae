"""What a command does to an app, and what an app may do to the output of a command: nothing."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo
from werkzeug.exceptions import ImATeapot

from flask_preflight import (
    Preflight,
    cors_exempt,
    cors_route,
    preflight_granted,
    preflight_refused,
    request_allowed,
    request_refused,
)
from flask_preflight.commands import preflight as flask_commands
from flask_preflight.commands.output import printable

pytestmark = pytest.mark.slow

PAGE = "https://app.example.com"
STRANGER = "https://evil.example"


def new_app(**changes: Any) -> Flask:
    app = Flask(__name__, static_folder=None)
    fields: dict[str, Any] = {"allow_origins": [PAGE], **changes}
    Preflight(app, **fields)
    return app


def invoke(make_app: Callable[[], Any], *arguments: str) -> Result:
    return CliRunner().invoke(flask_commands, arguments, obj=ScriptInfo(create_app=make_app))


def commands_for(path: str, folder: Path) -> list[tuple[str, ...]]:
    """Each command that asks an app."""
    lock = folder / "cors.lock.json"
    lock.write_text('{"format": 1, "routes": {}}')
    explained = [
        ("explain", method, path, "--origin", origin, *more)
        for method in ("GET", "POST", "PUT", "OPTIONS")
        for origin in (PAGE, STRANGER)
        for more in ((), ("--cookies", "--header", "X-A"))
    ]
    lockings = [("routes", "--lock", str(folder / "other.json")), ("diff", str(lock))]
    return [("routes",), ("routes", "--origin", PAGE), ("verify",), *lockings, *explained]


# ---------------------------------------------------------------------------------------
# Nothing of the app's runs
# ---------------------------------------------------------------------------------------


def noting_app(ran: list[str], rules: tuple[str, ...]) -> Flask:
    """An app whose views note that they ran."""
    app = new_app(allow_methods="*")

    def view(**arguments: Any) -> str:
        ran.append("view")
        return ""

    for rule in rules:
        for number, mark in enumerate((lambda view: view, cors_exempt, cors_route(allow_origins="*"))):
            name = f"{rule}{number}"
            methods = ["GET", "POST", "PUT", "OPTIONS"]
            app.add_url_rule(rule.replace("N", str(number)), name, mark(lambda **_: view()), methods=methods)
    return app


RULES = {"plain": ("/viewN",), "single-page": ("/viewN", "/<path:path>"), "all": ("/viewN", "/", "/<a>", "/<path:p>")}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_no_view_runs(rules: tuple[str, ...], tmp_path: Path) -> None:
    """But for ``verify``, which sends a preflight to views that are exempt."""
    ran: list[str] = []
    for arguments in commands_for("/view1", tmp_path):
        result = invoke(lambda: noting_app(ran, rules), *arguments)
        assert result.exit_code in (0, 1), result.output
        assert ran == [] or arguments == ("verify",), arguments
        ran.clear()


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_verify_runs_no_view_that_is_not_exempt(rules: tuple[str, ...]) -> None:
    ran: list[str] = []
    app = noting_app(ran, rules)
    for endpoint in app.view_functions:
        if endpoint.endswith("1"):  # the exempt ones
            app.view_functions[endpoint] = cors_exempt(lambda **_: "")
    assert invoke(lambda: app, "verify").exit_code == 0
    assert ran == []


SIGNALS = (preflight_granted, preflight_refused, request_allowed, request_refused)


def test_no_receiver_runs_and_nothing_is_left_behind(tmp_path: Path) -> None:
    received: list[object] = []

    def note(sender: object, **_: object) -> None:
        received.append(sender)

    level, stdout = logging.getLogger("flask_preflight").level, sys.stdout
    for signal in SIGNALS:
        signal.connect(note)
    app = noting_app([], ("/viewN",))
    for arguments in commands_for("/view0", tmp_path):
        invoke(lambda: app, *arguments)
    assert received == []
    assert (logging.getLogger("flask_preflight").level, sys.stdout) == (level, stdout)
    app.test_client().get("/view0", headers={"Origin": PAGE})
    assert received == [app]
    for signal in SIGNALS:
        signal.disconnect(note)


# ---------------------------------------------------------------------------------------
# Apps that fail, print and exit
# ---------------------------------------------------------------------------------------


def test_what_an_app_prints_goes_to_stderr(tmp_path: Path) -> None:
    def make_app() -> Flask:
        print("imported")
        app = noting_app([], ("/viewN",))
        inner = app.wsgi_app

        def printing(environ: Any, start_response: Any) -> Any:
            print("asked")
            return inner(environ, start_response)

        app.wsgi_app = printing  # type: ignore[method-assign]
        return app

    for arguments in commands_for("/view0", tmp_path):
        if "--lock" not in arguments:
            result = invoke(make_app, *arguments, "--format", "json")
            assert json.loads(result.stdout)["command"] == arguments[0]
            assert result.stderr.startswith("imported\n")


def fail(what: BaseException) -> Callable[[], Any]:
    def make_app() -> Any:
        raise what

    return make_app


@pytest.mark.parametrize("status", [None, 0, 1, 3, "bye\nbye"])
def test_an_app_that_exits_at_its_import_could_not_be_asked(status: Any, tmp_path: Path) -> None:
    for arguments in commands_for("/", tmp_path):
        result = invoke(fail(SystemExit(status)), *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"Error: The app cannot be imported: it calls sys.exit({status!a}).\n".replace(
            "\\\\", "\\"
        )


@pytest.mark.parametrize("error", [ZeroDivisionError("x\n\x1b[31m"), ImATeapot(), RuntimeError("x" * 10**6)])
def test_middleware_that_raises_is_a_refusal(error: Exception, tmp_path: Path) -> None:
    def make_app() -> Flask:
        app = noting_app([], ("/viewN",))
        app.wsgi_app = fail_for_requests  # type: ignore[method-assign]
        return app

    def fail_for_requests(environ: Any, start_response: Any) -> Any:
        raise error

    for arguments in commands_for("/view0", tmp_path):
        result = invoke(make_app, *arguments)
        assert result.exit_code in (0, 1), (arguments, result.exception)
        assert result.exit_code == 1 or arguments[0] != "explain" or arguments[1] == "OPTIONS"
        if arguments[0] in ("routes", "explain") and "--lock" not in arguments:
            assert result.stderr.count("A server would answer 500, because the app raised") == 1
            assert len(result.stderr) < 400
            assert "reads" not in result.stdout.partition("A simple")[0]


# ---------------------------------------------------------------------------------------
# Text that acts on a terminal
# ---------------------------------------------------------------------------------------

# The end of a line, a workflow command, a colour, a bell, a text that runs backwards, and what cannot be encoded
EVIL = ("\n::error::x", "\r\n::stop-commands::y", "\x1b[31m", "\x9b31m", "\a", "\u202e", "\u2028", "\x85", "\udcff")


def evil_app(evil: str) -> Flask:
    app = new_app()
    path = evil.encode(errors="ignore").decode()  # no URL has a surrogate
    app.add_url_rule(f"/a{path}", f"b{evil}", lambda: "", methods=["GET", "PUT"])

    def allowed(origin: str, environ: Any) -> bool:
        return True

    allowed.__qualname__ = allowed.__name__ = f"allowed{evil}"
    app.add_url_rule("/c", "c", cors_route(allow_origins=allowed)(lambda: ""))
    app.add_url_rule(f"/d{path}", f"d{evil}", cors_exempt(lambda: ""))
    return app


def texts_of(result: Result) -> Iterator[str]:
    yield from result.stdout.split("\n")
    yield from result.stderr.split("\n")


@pytest.mark.parametrize("format_", ["text", "json", "github", "sarif"])
@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_no_name_acts_on_a_terminal_or_a_workflow(evil: str, format_: str, tmp_path: Path) -> None:
    for arguments in commands_for("/c", tmp_path):
        if "--lock" in arguments or (format_ in ("github", "sarif") and arguments[0] in ("routes", "explain")):
            continue
        result = invoke(lambda: evil_app(evil), *arguments, "--format", format_)
        assert result.exit_code in (0, 1), (arguments, result.exception)
        lines = [*texts_of(result)]
        assert all(line.isprintable() for line in lines), [line for line in lines if not line.isprintable()]
        if format_ == "github":
            assert all(re.match("::(error|warning|notice) |$", line) for line in lines)
        if format_ in ("json", "sarif"):
            json.loads(result.stdout)


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_no_argument_acts_on_a_terminal(evil: str) -> None:
    for arguments in (
        ("explain", f"PUT{evil}", "/", "--origin", PAGE),
        ("explain", "PUT", f"/{evil}", "--origin", PAGE),
        ("explain", "PUT", f"http://[{evil}", "--origin", PAGE),
        ("explain", "PUT", "/", "--origin", f"https://x{evil}"),
        ("explain", "PUT", "/", "--origin", PAGE, "--header", f"x{evil}"),
        ("routes", "--origin", f"https://x{evil}"),
        ("routes", "--endpoint", f"x{evil}"),
        ("diff", f"x{evil}"),
    ):
        result = invoke(new_app, *arguments)
        assert result.exit_code in (0, 1, 2)
        assert all(line.isprintable() for line in texts_of(result)), result.output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b é 中 \U0001f600", "a b é 中 \U0001f600"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb", "a\\nb"),
        ("\u202ea", "\\u202ea"),
        ("\udcff", "\\udcff"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_terminal_without_unicode_shows_escapes() -> None:
    app = new_app()
    app.add_url_rule("/中", "ü", lambda: "")
    result = CliRunner(charset="ascii").invoke(flask_commands, ["routes"], obj=ScriptInfo(create_app=lambda: app))
    assert result.exit_code == 0, result.exception
    assert "\n/\\u4e2d          \\xfc         GET" in result.stdout


# ---------------------------------------------------------------------------------------
# URLs
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/x?to=https://b.example",
        "x?to=https://b.example/",
        "/x?a=//b",
        "https://app.invalid/x",
        "HTTPS://app.invalid/x",
    ],
)
def test_a_path_is_asked_at_the_app(path: str) -> None:
    app = new_app()
    app.add_url_rule("/x", "x", lambda: "", methods=["PUT"])
    for origin, status in ((PAGE, 0), (STRANGER, 1)):
        result = invoke(lambda: app, "explain", "PUT", path, "--origin", origin, "--format", "json")
        assert (result.exit_code, json.loads(result.stdout)["rule"]) == (status, "/x")
