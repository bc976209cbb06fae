"""The commands as processes: what they print for published apps, and what they say of bad input."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo
from sarif_pydantic import Sarif
from sessions import run, steps_of, text_of
from werkzeug.routing import BaseConverter

from flask_preflight import Policy, Preflight, PreflightMiddleware, by_path, cors_exempt, cors_route
from flask_preflight.__main__ import commands
from flask_preflight.commands import preflight as flask_commands
from flask_preflight.commands.output import Finding
from flask_preflight.commands.reports import github_lines, sarif

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "commands"
PAGE = "https://app.example.com"


def copy_of(folder: Path, target: Path) -> Path:
    for file in folder.glob("*.py"):
        shutil.copy(file, target)
    return target


def test_published_apps(tmp_path: Path) -> None:
    steps = steps_of((FOLDER / "published.txt").read_text(encoding="utf-8"))
    folder = copy_of(FOLDER, tmp_path)
    assert [*run(steps, folder)] == steps


# ---------------------------------------------------------------------------------------
# In this process
# ---------------------------------------------------------------------------------------


def new_app(**changes: Any) -> Flask:
    app = Flask(__name__, static_folder=None)
    fields: dict[str, Any] = {"allow_origins": [PAGE], **changes}
    Preflight(app, **fields)
    app.add_url_rule("/", "index", lambda: "")
    return app


def invoke(app: Any, *arguments: str) -> Result:
    """What ``flask preflight ...`` does with an app."""

    def create_app() -> Any:
        if isinstance(app, Exception):
            raise app
        return app

    return CliRunner().invoke(flask_commands, arguments, obj=ScriptInfo(create_app=create_app))


def invoke_module(*arguments: str) -> Result:
    """What ``python -m flask_preflight ...`` does."""
    return CliRunner().invoke(commands, arguments)


middleware = PreflightMiddleware(lambda environ, start: [], Policy(allow_origins=[PAGE], allow_methods=["PUT"]))
paths = PreflightMiddleware(
    lambda environ, start: [], by_path({"/api": Policy(allow_origins=[PAGE]), "/public": Policy(allow_origins="*")})
)
policy = Policy(allow_origins=[PAGE])
some_paths = PreflightMiddleware(lambda environ, start: [], by_path({"/api": policy, "/own": None}))
by_callable = PreflightMiddleware(lambda environ, start: [], lambda environ: policy)
flask_app = new_app()
flask_with_middleware = Flask(__name__)
flask_with_middleware.wsgi_app = middleware  # type: ignore[method-assign]


def make_app() -> Flask:
    return flask_app


def make_nothing() -> None:
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("middleware", {"any path"}),
        ("policy", {"any path"}),
        ("paths", {"/api/...", "/public/..."}),
        ("flask_app", {"/", "(no route)"}),
        ("make_app()", {"/", "(no route)"}),
        ("flask_with_middleware", {"any path"}),
    ],
)
def test_targets(name: str, rules: set[str]) -> None:
    result = invoke_module("routes", f"test_commands:{name}", "--format", "json")
    assert result.exit_code == 0, result.output
    assert {row["rule"] for row in json.loads(result.stdout)["routes"]} == rules


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("explain", "PUT", "/", "--origin", PAGE), 0),
        (("explain", "PUT", "/", "--origin", "https://evil.example"), 1),
        (("explain", "GET", "/", "--origin", PAGE, "--cookies"), 1),
        (("verify",), 0),
    ],
)
def test_a_middleware_is_explained_and_verified(arguments: tuple[str, ...], status: int) -> None:
    command, *others = arguments
    assert invoke_module(command, "test_commands:middleware", *others).exit_code == status


BAD_TARGETS = {
    "no-colon": ("flask_app", "'flask_app' names no object. The first argument is the app: write module:object,"),
    "no-module": ("nothing_here:app", 'nothing_here:app cannot be imported: "ModuleNotFoundError: No module named'),
    "a-file": ("test_commands.py:app", "'test_commands.py:app' names a file: write 'test_commands:app', without .py."),
    "not-called": (
        "test_commands:make_app",
        f"test_commands:make_app is '{make_app}', which is neither a Flask app, nor a PreflightMiddleware, nor a"
        " Policy. If it makes one, write 'test_commands:make_app()'.",
    ),
    "no-object": ("test_commands:nothing", "The module 'test_commands' has no 'nothing'."),
    "raises": ("test_commands:make_nothing()", "test_commands:make_nothing() cannot be imported: 'ZeroDivisionError:"),
    "something-else": ("test_commands:PAGE", "test_commands:PAGE is \"'https://app.example.com'\", which is neither a"),
    "callable": ("test_commands:by_callable", "test_commands:by_callable finds its policies with"),
}


@pytest.mark.parametrize(("target", "says"), BAD_TARGETS.values(), ids=BAD_TARGETS)
def test_a_bad_target_is_one_sentence_and_status_2(target: str, says: str) -> None:
    result = invoke_module("routes", target)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {says}")
    assert result.stderr.count("\n") == 1


def invalid_app() -> Flask:
    """An app whose view has a policy that is not valid."""
    app = new_app(allow_credentials=True)
    app.add_url_rule("/x", "x", cors_route(allow_origins="*")(lambda: ""), methods=["PUT"])
    return app


BAD_APPS: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "no-preflight": (Flask(__name__), ("routes",), "The Flask app 'test_commands' has no Preflight. Write Preflight("),
    "import-fails": (ImportError("no such thing"), ("routes",), "The app cannot be imported: 'ImportError: no such"),
    "no-app": (None, ("routes",), "Could not locate a Flask application."),
    "lock-in-a-file": (new_app(), ("diff", "/dev/null/x"), "/dev/null/x cannot be read: Not a directory.\n"),
    "bad-origin": (
        new_app(),
        ("explain", "GET", "/", "--origin", "app.example.com"),
        "origin: 'app.example.com' has no scheme",
    ),
    "bad-origin-column": (
        new_app(),
        ("routes", "--origin", "https://a.example/"),
        "origin: 'https://a.example/' is not",
    ),
    "bad-url": (new_app(), ("explain", "GET", "http://[::1", "--origin", PAGE), "url: http://[::1"),
    "bad-method": (
        new_app(),
        ("explain", "TRACE", "/", "--origin", PAGE),
        "method: TRACE is not a method that a script",
    ),
    "method-after-url": (
        new_app(),
        ("explain", "/", "GET", "--origin", PAGE),
        "'/' is not a method. Write the method first, such as in: explain GET /api/data",
    ),
    "url-without-scheme": (
        new_app(),
        ("explain", "GET", "localhost:5000/x", "--origin", PAGE),
        "'localhost:5000/x' has no scheme; write 'http://localhost:5000/x', or the path alone, /x",
    ),
    "header-with-value": (
        new_app(),
        ("explain", "GET", "/", "--origin", PAGE, "--header", "Authorization: Bearer x"),
        "--header 'Authorization: Bearer x' is no header name. Write the name alone: --header Authorization\n",
    ),
    "cookie-header": (
        new_app(),
        ("explain", "GET", "/", "--origin", PAGE, "--header", "Cookie"),
        "--header Cookie: no script can set this header. The browser sets it, or drops it. For cookies,",
    ),
    "forbidden-header": (
        None,
        ("probe", "http://127.0.0.1:9", "--origin", PAGE, "--header", "Host"),
        "--header Host: no script can set this header. The browser sets it, or drops it.\n",
    ),
    "bad-header": (
        new_app(),
        ("explain", "GET", "/", "--origin", PAGE, "--header", "a b"),
        "--header 'a b' is no header name. Write the name alone: --header x-client\n",
    ),
    "no-route": (new_app(), ("routes", "--endpoint", "nix"), "No route passes the filters."),
    "no-lock": (
        new_app(),
        ("diff", "nowhere.json"),
        "nowhere.json cannot be read: No such file or directory. Write it: flask preflight routes --lock nowhere.json",
    ),
    "lock-folder": (
        new_app(),
        ("routes", "--lock", "no/such/folder.json"),
        "no/such/folder.json cannot be written: No",
    ),
}


@pytest.mark.parametrize(("app", "arguments", "says"), BAD_APPS.values(), ids=BAD_APPS)
def test_bad_input_is_one_sentence_and_status_2(app: Any, arguments: tuple[str, ...], says: str) -> None:
    result = invoke(app, *arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith(f"Error: {says}"), result.stderr
    assert result.stderr.count("\n") == 1


NOT_FLASK = {
    "middleware": (
        "test_commands:middleware",
        "A valid Flask application was not obtained from 'test_commands:middleware'. For a WSGI app without Flask,"
        " write: python -m flask_preflight routes module:object",
    ),
    "import-fails": (
        "broken",
        "While importing 'broken', an ImportError was raised: ModuleNotFoundError: No module named 'not_installed'",
    ),
}


@pytest.mark.parametrize(("path", "says"), NOT_FLASK.values(), ids=NOT_FLASK)
def test_a_module_without_a_flask_app_is_one_sentence_that_names_the_other_command(
    path: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("import not_installed", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    result = CliRunner().invoke(flask_commands, ["routes"], obj=ScriptInfo(app_import_path=path))
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {says}\n")


BAD_LOCKS = {
    "not-json": ("{", "lock.json is not JSON: "),
    "a-list": ("[]", "lock.json is no lock file. Write one: flask preflight routes --lock lock.json"),
    "another-document": ('{"a": 1}', "lock.json is no lock file."),
    "newer": (
        '{"format": 99, "routes": {}}',
        "lock.json has the format 99, and this version reads 1. Write it again: ",
    ),
    "damaged": ('{"format": 1, "routes": {"GET /": {"origins": "x"}}}', "lock.json is damaged: 'origins' is 'x'."),
    "damaged-items": (
        '{"format": 1, "routes": {"GET /": {"origins": [1]}}}',
        "lock.json is damaged: 'origins' is [1].",
    ),
    "damaged-number": (
        '{"format": 1, "routes": {"GET /": {"max_age": true}}}',
        "lock.json is damaged: 'max_age' is True",
    ),
    "unknown-field": ('{"format": 1, "routes": {"GET /": {"x": 1}}}', "lock.json is damaged: 'x' is 1."),
    "no-policy": ('{"format": 1, "routes": {"GET /": 1}}', "lock.json is damaged: 1 is no policy."),
}


@pytest.mark.parametrize(("text", "says"), BAD_LOCKS.values(), ids=BAD_LOCKS)
def test_a_bad_lock_file(text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lock.json").write_text(text)
    result = invoke(new_app(), "diff", "lock.json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {says}")


# ---------------------------------------------------------------------------------------
# explain
# ---------------------------------------------------------------------------------------


def explained(app: Any, *arguments: str) -> dict[str, Any]:
    result = invoke(app, "explain", *arguments, "--format", "json")
    assert result.exit_code in (0, 1), result.output
    document: dict[str, Any] = json.loads(result.stdout)
    assert (document["allowed"] is not False) == (result.exit_code == 0)
    return document


EXPLAINED: dict[str, tuple[dict[str, Any], tuple[str, ...], str, int]] = {
    "allowed": ({}, ("GET", "/", "--origin", PAGE), "", 0),
    "origin": ({}, ("GET", "/", "--origin", "https://b.example"), "origin-not-allowed", 1),
    "header": ({}, ("GET", "/", "--origin", PAGE, "--header", "X-A"), "headers-not-allowed", 1),
    "all-three": (
        {"allow_methods": ["PUT"]},
        ("GET", "/", "--origin", "https://b.example", "--header", "X-A"),
        "origin-not-allowed",
        3,
    ),
    "cookies": ({}, ("GET", "/", "--origin", PAGE, "--cookies"), "allow-credentials", 1),
    "cookies-of-all": (
        {"allow_origins": "*"},
        ("GET", "/", "--origin", PAGE, "--cookies"),
        "allow-origin-wildcard",
        1,
    ),
    "cookies-in-a-preflight": ({}, ("PUT", "/", "--origin", PAGE, "--cookies"), "method-not-routed", 2),
    "all-four": (
        {},
        ("PUT", "/", "--origin", "https://b.example", "--header", "X-A", "--cookies"),
        "method-not-routed",
        4,
    ),
    "no-route-for-the-method": ({}, ("PUT", "/", "--origin", PAGE), "method-not-routed", 1),
    "neither-route-nor-allowed": (
        {"allow_methods": ["GET"]},
        ("PUT", "/", "--origin", PAGE),
        "method-not-routed",
        2,
    ),
    "callable": (
        {"allow_origins": lambda origin, environ: False},
        ("GET", "/", "--origin", PAGE, "--header", "X-A"),
        "origin-not-allowed",
        2,
    ),
}


@pytest.mark.parametrize(("changes", "arguments", "reason", "fixes"), EXPLAINED.values(), ids=EXPLAINED)
def test_explained(changes: dict[str, Any], arguments: tuple[str, ...], reason: str, fixes: int) -> None:
    document = explained(new_app(**changes), *arguments)
    assert (document["reason"], len(document["fixes"])) == (reason, fixes)
    assert document["fixed"] is True


def test_the_fixes_of_a_refusal_allow_the_request() -> None:
    """What the sentences say is written, all at once."""
    arguments = ("GET", "/", "--origin", "https://b.example", "--header", "X-A")
    fixes = explained(new_app(allow_methods=["PUT"]), *arguments)["fixes"]
    written = dict(re.findall(r"write (\w+)=(\[.*?\])", " ".join(fixes)))
    assert written.keys() == {"allow_origins", "allow_methods", "allow_headers"}
    app = new_app(**{field: eval(value) for field, value in written.items()})
    assert explained(app, *arguments)["allowed"] is True


def test_the_fixes_of_a_missing_route_allow_the_request() -> None:
    arguments = ("PUT", "/", "--origin", PAGE, "--cookies")
    first, second = explained(new_app(), *arguments)["fixes"]
    assert "add a view with @app.route('/', methods=['PUT'])" in first
    assert "write allow_credentials=True" in second
    app = new_app(allow_credentials=True)
    app.add_url_rule("/", "put", lambda: "", methods=["PUT"])
    assert explained(app, *arguments)["allowed"] is True


@pytest.mark.parametrize(
    ("method", "path", "page"),
    [
        ("GET", "/", ""),
        ("GET", "/nowhere", " Expect an error page: no route of the app matches this URL."),
        ("PUT", "/nowhere", " Expect an error page: no route of the app matches this URL."),
        ("POST", "/", " Expect an error page: this URL has no route for the method."),
    ],
)
def test_a_page_may_be_allowed_to_read_an_error(method: str, path: str, page: str) -> None:
    text = invoke(new_app(), "explain", method, path, "--origin", PAGE).stdout
    assert text.splitlines()[0] == f"Allowed: the page gets the response.{page}"


def test_an_insecure_origin_with_cookies_has_no_fix() -> None:
    document = explained(new_app(allow_credentials=True), "GET", "/", "--origin", "http://app.example.com")
    assert document["fixed"] is False
    assert "is not encrypted" in document["fixes"][0]


@pytest.mark.parametrize("origin", [PAGE, "https://b.example"])
def test_no_change_of_a_policy_helps_where_the_routing_fails(origin: str) -> None:
    class Bad(BaseConverter):
        def to_python(self, value: str) -> str:
            raise ZeroDivisionError

    app = new_app()
    app.url_map.converters["bad"] = Bad
    app.add_url_rule("/bad/<bad:x>", "bad", lambda x: "", methods=["PUT"])
    document = explained(app, "PUT", "/bad/1", "--origin", origin)
    assert (document["reason"], document["fixed"], len(document["fixes"])) == ("routing-failed", False, 1)
    assert "allow_methods" not in document["fixes"][0]


def test_problems_of_policies_have_a_line_each() -> None:
    app = invalid_app()
    app.add_url_rule("/y", "y", cors_route(allow_origins="*")(lambda: ""))
    first, *problems, advice = invoke(app, "routes").stderr.splitlines()
    assert first == "Error: 2 problems with a CORS policy:"
    assert [problem[:10] for problem in problems] == ["- view 'x'", "- view 'y'"]
    assert (
        advice
        == "https://flask-preflight.readthedocs.io/en/stable/problems.html explains each by the word in brackets."
    )


def test_a_factory_whose_policy_is_not_valid() -> None:
    def create_app() -> Flask:
        return new_app(allow_origins=["https://a.example/"])

    results = [
        CliRunner().invoke(flask_commands, [name], obj=ScriptInfo(create_app=create_app))
        for name in ("routes", "verify")
    ]
    assert [result.exit_code for result in results] == [2, 1]
    first, problem, advice = results[0].stderr.splitlines()
    assert first == "Error: 1 problem with a CORS policy:"
    assert problem.endswith("[origin-trailing-slash]")
    assert (
        advice
        == "https://flask-preflight.readthedocs.io/en/stable/problems.html explains each by the word in brackets."
    )
    assert "origin-trailing-slash" in results[1].stdout


def test_an_exempt_view() -> None:
    app = new_app()
    app.add_url_rule("/x", "x", cors_exempt(lambda: ""), methods=["PUT"])
    document = explained(app, "PUT", "/x", "--origin", PAGE)
    assert (document["exempt"], document["allowed"]) == (True, None)
    text = invoke(app, "explain", "PUT", "/x", "--origin", PAGE).stdout
    assert text == (
        "Exempt: /x [PUT] answers for itself, because of cors_exempt. Ask the running server: probe URL\n"
        "--method PUT --origin ORIGIN\n"
    )


PATHS = {
    "none": ("/own/x", "Exempt: /own/... [PUT] answers for itself, because no policy is for this path."),
    "other": ("/x", "Exempt: any other path [PUT] answers for itself, because no policy is for this path."),
}


@pytest.mark.parametrize(("path", "text"), PATHS.values(), ids=PATHS)
def test_a_path_without_a_policy(path: str, text: str) -> None:
    result = invoke_module("explain", "test_commands:some_paths", "PUT", path, "--origin", PAGE)
    shown = " ".join(result.stdout.split())
    assert (result.exit_code, shown) == (
        0,
        f"{text} Ask the running server: probe URL --method PUT --origin ORIGIN",
    )


# ---------------------------------------------------------------------------------------
# Formats
# ---------------------------------------------------------------------------------------


def finding_at(where: str) -> Finding:
    return Finding(
        "a-b",
        "warning",
        where,
        "100 % wrong:\nsee, there",
        "https://flask-preflight.readthedocs.io/en/stable/problems.html#a-b",
    )


# where, its properties in an annotation, what is said before the message, and its location in SARIF
PLACES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "file": ("views.py:41", "file=views.py,line=41,", "", {"uri": "views.py", "line": 41}),
    "spaces": ("my app/é %.py:1", "file=my app/é %25.py,line=1,", "", {"uri": "my%20app/%C3%A9%20%25.py", "line": 1}),
    "comma-and-colon": ("a,b:c.py:2", "file=a%2Cb%3Ac.py,line=2,", "", {"uri": "a%2Cb%3Ac.py", "line": 2}),
    "absolute": (
        "/srv/my app/a.py:3",
        "file=/srv/my app/a.py,line=3,",
        "",
        {"uri": "file:///srv/my%20app/a.py", "line": 3},
    ),
    "windows": ("C:\\x y\\a.py:4", "file=C%3A\\x y\\a.py,line=4,", "", {"uri": "file:///C:/x%20y/a.py", "line": 4}),
    "url": ("https://a.example/x", "", "https://a.example/x: ", {"uri": "https://a.example/x"}),
    "url-with-port": ("https://a.example:8000", "", "https://a.example:8000: ", {"uri": "https://a.example:8000"}),
    "config": ("PREFLIGHT_MAX_AGE in app.config", "", "PREFLIGHT_MAX_AGE in app.config: ", {}),
    "module": ("shop.views", "", "shop.views: ", {}),
    "no-place": ("an unknown place", "", "an unknown place: ", {}),
    "line-0": ("a.py:0", "", "a.py:0: ", {}),
    "no-file": (":5", "", ":5: ", {}),
    "other-digits": ("a.py:²", "", "a.py:²: ", {}),
}


@pytest.mark.parametrize(("where", "properties", "before", "location"), PLACES.values(), ids=PLACES)
def test_an_annotation_says_where(where: str, properties: str, before: str, location: dict[str, Any]) -> None:
    (line,) = github_lines([finding_at(where)])
    assert line == f"::warning {properties}title=a-b::{before}100 %25 wrong:%0Asee, there"


@pytest.mark.parametrize(("where", "properties", "before", "location"), PLACES.values(), ids=PLACES)
def test_sarif_says_where_and_follows_its_schema(
    where: str, properties: str, before: str, location: dict[str, Any]
) -> None:
    text = sarif([finding_at(where), Finding("c", "note", "é", "ü"), Finding("d", "error", "x:1", "")])
    results = Sarif.model_validate_json(text).runs[0].results or []
    assert [(result.rule_id, result.level and result.level.value) for result in results] == [
        ("a-b", "warning"),
        ("c", "note"),
        ("d", "error"),
    ]
    place = json.loads(text)["runs"][0]["results"][0]["locations"][0]
    if location:
        region = {"region": {"startLine": location["line"]}} if "line" in location else {}
        assert place == {"physicalLocation": {"artifactLocation": {"uri": location["uri"]}, **region}}
    else:
        assert place == {"physicalLocation": {"artifactLocation": {"uri": quote(where)}}}


@pytest.mark.parametrize(("level", "command"), [("error", "error"), ("warning", "warning"), ("note", "notice")])
def test_the_levels_of_annotations(level: Any, command: str) -> None:
    assert [*github_lines([Finding("c", level, "a.py:1", "é")])] == [f"::{command} file=a.py,line=1,title=c::é"]


def test_diff_says_how_to_accept_a_change(tmp_path: Path) -> None:
    """With the app that was named; and not for two files, where there is none."""
    lock = tmp_path / "cors.lock.json"
    module = "test_commands:policy"
    assert invoke_module("routes", module, "--lock", str(lock)).exit_code == 0
    other = tmp_path / "other.json"
    other.write_text(lock.read_text().replace("600", "5"))
    command = f"python -m flask_preflight routes {module} --lock {other}"
    assert invoke_module("diff", module, str(other)).stdout.endswith(f"\n2 changed.\nTo accept: {command}\n")
    assert invoke_module("diff", module, str(other), str(lock)).stdout.splitlines()[-1] == "2 changed."
    app = ScriptInfo(app_import_path=module.replace("policy", "flask_app"))
    shown = CliRunner().invoke(flask_commands, ["diff", str(other)], obj=app).stdout
    assert shown.endswith(f"\nTo accept: flask --app test_commands:flask_app preflight routes --lock {other}\n")


@pytest.mark.parametrize("format_", ["text", "json", "github", "sarif"])
def test_the_status_is_the_same_in_every_format(format_: str, tmp_path: Path) -> None:
    clean, risky = new_app(), new_app(allow_origins=["https://*.example.com"], allow_credentials=True)
    assert [invoke(app, "verify", "--format", format_).exit_code for app in (clean, risky)] == [0, 0]
    assert invoke(risky, "verify", "--fail-on", "warning", "--format", format_).exit_code == 1
    assert invoke(invalid_app(), "verify", "--format", format_).exit_code == 1
    lock = str(tmp_path / "cors.lock.json")
    assert invoke(clean, "routes", "--lock", lock).exit_code == 0
    assert [invoke(app, "diff", lock, "--format", format_).exit_code for app in (clean, risky)] == [0, 1]
    assert invoke(risky, "routes", "--lock", str(tmp_path / "risky.json")).exit_code == 0
    narrower = ("diff", str(tmp_path / "risky.json"), lock, "--format", format_)
    assert [invoke(clean, *narrower, *more).exit_code for more in ((), ("--fail-on", "wider"))] == [1, 0]


def test_texts_fit_a_pipe_of_100_columns() -> None:
    app = new_app(allow_origins=[f"https://a-long-name-{number}.example.com" for number in range(9)])
    app.add_url_rule("/a/very/long/rule/<int:number>/" + "x" * 100, "endpoint" * 5, lambda: "", methods=["PUT", "POST"])
    for arguments in (("routes",), ("verify",), ("explain", "PUT", "/", "--origin", "https://a.example")):
        lines = invoke(app, *arguments).stdout.splitlines()
        assert max(map(len, lines)) <= 100, lines
        assert not any("\x1b" in line for line in lines)


def columns_of(shown: Result) -> list[str]:
    """The heads of the columns between Method and Preflight, or what the legend has for them."""
    lines = shown.stdout.splitlines()
    legend = [line[3:] for line in lines if line[1:3] == ": "]
    return legend or re.split(" {2,}", lines[0])[3:-1]


def test_columns_that_do_not_fit_are_named() -> None:
    names = [f"https://{name}.example" for name in "abcdefghij"]
    shown = invoke(new_app(allow_origins=names[:2]), "routes")
    assert (columns_of(shown), shown.stderr) == ([*names[:2], "anyone else"], "")
    shown = invoke(new_app(allow_origins=names[:4]), "routes")
    assert columns_of(shown) == [*names[:3], "anyone else"]
    assert shown.stderr == f"Not shown: {names[3]}. To choose the columns, write --origin ORIGIN.\n"
    app = new_app(allow_origins=names, allow_headers=["X-A"], allow_credentials=True)
    app.add_url_rule("/" + "x" * 50, "long", lambda: "", methods=["POST"])
    shown = invoke(app, "routes")
    assert columns_of(shown) == [*names[:2], "anyone else"]
    named = ", ".join(names[2:7])
    assert shown.stderr == f"Not shown: {named} and 3 more origins. To choose the columns, write --origin ORIGIN.\n"
    chosen = [word for name in names for word in ("--origin", name)]
    assert columns_of(invoke(app, "routes", *chosen)) == [*names, "anyone else"]


def test_a_note_names_a_callable() -> None:
    def ours(origin: str, environ: object) -> bool:
        return False

    shown = invoke(new_app(allow_origins=ours), "routes").stdout
    assert f"allow_origins={ours.__qualname__} (a callable), Preflight(...) at " in " ".join(shown.split())


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": "0"}, False)],
    ids=["not-set", "empty", "1", "0"],
)
def test_no_color(variables: dict[str, str], is_coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org/: "when present and not an empty string (regardless of its value)"."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for is_terminal in (True, False):
        info = ScriptInfo(create_app=invalid_app)
        shown = CliRunner().invoke(flask_commands, ["verify"], obj=info, color=is_terminal).stdout
        assert ("\x1b" in shown) == (is_coloured and is_terminal)


def test_the_group_says_what_it_has() -> None:
    assert [*flask_commands.list_commands(None)] == ["routes", "explain", "verify", "diff", "probe", "export"]  # type: ignore[arg-type]
    for runner in (flask_commands, commands):
        result = CliRunner().invoke(runner, ["--help"])
        assert result.exit_code == 0
        assert CliRunner().invoke(runner, ["nothing"]).exit_code == 2


def test_flask_help_imports_nothing_of_ours_but_the_names_of_the_commands() -> None:
    code = (
        "import sys, flask.cli\n"
        "flask.cli.FlaskGroup()._load_plugin_commands()\n"
        "print(sorted(name for name in sys.modules if name.startswith('flask_preflight')))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "['flask_preflight', 'flask_preflight.commands']\n"


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as temporary:
        made = run(steps_of((FOLDER / "published.txt").read_text(encoding="utf-8")), copy_of(FOLDER, Path(temporary)))
        (FOLDER / "published.txt").write_text(text_of([*made]), encoding="utf-8")
