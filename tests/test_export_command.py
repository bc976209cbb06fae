"""``export``: files, what is left to the app, comparing with files that exist, and what cannot be exported."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo
from test_edge_rows import shop

from flask_preflight import Policy, Preflight, PreflightMiddleware, by_path
from flask_preflight.__main__ import commands
from flask_preflight.commands import preflight as flask_commands

PAGE = "https://frontend.com"


def new_app(**changes: Any) -> Flask:
    app = Flask("exported", static_folder=None)
    debug = changes.pop("debug", None)
    fields: dict[str, Any] = {"allow_origins": [PAGE], **changes}
    Preflight(app, debug=debug, **fields)
    app.add_url_rule("/data", "data", lambda: "", methods=["PUT"])
    return app


def export(app: Flask, *arguments: str) -> Result:
    info = ScriptInfo(create_app=lambda: app)
    return CliRunner().invoke(flask_commands, ["export", "nginx", *arguments], obj=info)


policy = Policy(allow_origins=[PAGE], allow_methods=["PUT"])
middleware = PreflightMiddleware(lambda environ, start: [], by_path({"/api": policy, "/open": None}))
by_callable = PreflightMiddleware(lambda environ, start: [], lambda environ: policy)
explaining = PreflightMiddleware(lambda environ, start: [], policy, debug=True)


def export_named(name: str, *arguments: str) -> Result:
    return CliRunner().invoke(commands, ["export", f"test_export_command:{name}", "nginx", *arguments])


# ---------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------


def test_files_say_where_they_come_from_and_how_to_include_them(tmp_path: Path) -> None:
    result = export(new_app(), "--out", str(tmp_path / "new" / "folder"))
    assert (result.exit_code, result.stdout) == (0, "")
    texts = {file.name: file.read_text() for file in (tmp_path / "new" / "folder").iterdir()}
    assert texts.keys() == {"cors-maps.conf", "cors-server.conf"}
    for name, text in texts.items():
        made, rows, include = text.splitlines()[:3]
        assert re.fullmatch(r"# Made by flask-preflight [0-9.]+: flask preflight export nginx", made)
        assert re.fullmatch("# Rows: sha256 [0-9a-f]{64}", rows)
        assert f"include /etc/nginx/{name};" in include


def test_the_same_policy_makes_the_same_files() -> None:
    assert export(new_app()).stdout == export(new_app(allow_origins=(PAGE, PAGE))).stdout
    assert export(new_app()).stdout != export(new_app(max_age=5)).stdout


@pytest.mark.parametrize("name", ["policy", "middleware"])
def test_other_wsgi_apps(name: str) -> None:
    result = export_named(name)
    assert result.exit_code == 0
    assert '"g0 https://frontend.com"' in result.stdout


def test_what_is_left_to_the_app_is_said() -> None:
    left = re.findall("^# Left to the app: (.*)$", export(shop()).stdout, re.MULTILINE)
    assert set(left) == {
        "PUT /limited/<int(max=9):n>: a number has limits",
        "PUT /callable: allow_origins is a callable",
    }


def test_a_mount(tmp_path: Path) -> None:
    text = export(new_app(), "--prefix", "/app").stdout
    assert '"~^OPTIONS /app/data(?:[?][^ #]*)? (?:PUT)$" "g0";' in text
    assert "flask preflight export nginx --prefix /app" in text


def test_check(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert export(new_app(), "--out", folder).exit_code == 0
    same = export(new_app(), "--check", folder)
    assert (same.exit_code, same.stdout, same.stderr) == (0, "", f"{folder} is up to date.\n")
    changed = export(new_app(allow_origins=["https://other.example"]), "--check", folder)
    assert changed.exit_code == 1
    lines = changed.stdout.splitlines()
    assert '-    "g0 https://frontend.com" "$http_origin";' in lines
    assert '+    "g0 https://other.example" "$http_origin";' in lines


CHANGED = {
    "line ends of Windows": (lambda old: old.replace(b"\n", b"\r\n"), 0),
    "no text": (lambda old: old + b"\xff\n", 1),
    "other line ends": (lambda old: old.replace(b"\n", b"\x0c", 1), 1),
    "a lost line": (lambda old: old.partition(b"\n")[2], 1),
    "empty": (lambda old: b"", 1),
}


@pytest.mark.parametrize(("change", "status"), CHANGED.values(), ids=CHANGED)
def test_check_of_a_file_that_was_changed(change: Any, status: int, tmp_path: Path) -> None:
    assert export(new_app(), "--out", str(tmp_path)).exit_code == 0
    file = tmp_path / "cors-server.conf"
    file.write_bytes(change(file.read_bytes()))
    result = export(new_app(), "--check", str(tmp_path))
    assert (result.exit_code, bool(result.stdout)) == (status, status == 1)
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_no_file_is_changed_where_one_cannot_be_written(tmp_path: Path) -> None:
    assert export(new_app(), "--out", str(tmp_path)).exit_code == 0
    (tmp_path / "cors-server.conf").unlink()
    (tmp_path / "cors-server.conf").mkdir()
    old = (tmp_path / "cors-maps.conf").read_bytes()
    result = export(new_app(max_age=5), "--out", str(tmp_path))
    assert (result.exit_code, result.stderr) == (2, f"Error: {tmp_path} cannot be written: Is a directory.\n")
    assert (tmp_path / "cors-maps.conf").read_bytes() == old


def test_writing_and_comparing_at_once(tmp_path: Path) -> None:
    result = export(new_app(), "--out", str(tmp_path), "--check", str(tmp_path))
    says = "Error: --out writes files and --check compares them: write one of the two.\n"
    assert (result.exit_code, result.stderr, [*tmp_path.iterdir()]) == (2, says, [])


# ---------------------------------------------------------------------------------------
# What cannot be exported
# ---------------------------------------------------------------------------------------


def hosts() -> Flask:
    app = Flask("hosts", host_matching=True, static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    return app


CANNOT: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "nothing": (
        lambda: new_app(allow_origins=[]),
        (),
        "Nothing is exported: there is nothing that an edge could grant.",
    ),
    "debug": (lambda: new_app(debug=True), (), "Nothing is exported: debug mode is on, and an edge explains nothing"),
    "hosts": (hosts, (), "Nothing is exported: hosts or subdomains decide about routes"),
    "mount": (
        new_app,
        ("--prefix", "app/"),
        "Nothing is exported: the mount 'app/' is not a plain path such as '/app'.",
    ),
    "odd-mount": (new_app, ("--prefix", '/a";'), "Nothing is exported: the mount '/a\";' is not a plain path"),
    "strict": (
        shop,
        ("--strict",),
        "The app has to answer itself: PUT /limited/<int(max=9):n>: a number has limits; PUT",
    ),
    "long-list": (
        lambda: new_app(allow_headers=[f"X-Header-{number}" for number in range(400)]),
        (),
        "Nothing is exported: a list of methods or headers is longer than nginx takes.",
    ),
}


@pytest.mark.parametrize(("make", "arguments", "says"), CANNOT.values(), ids=CANNOT)
@pytest.mark.parametrize("writes", [True, False])
def test_what_cannot_be_exported(
    make: Any, arguments: tuple[str, ...], says: str, writes: bool, tmp_path: Path
) -> None:
    out = ("--out", str(tmp_path / "out")) if writes else ()
    result = export(make(), *arguments, *out)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {says}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("by_callable", "Nothing is exported: a callable finds the policies"),
        ("explaining", "Nothing is exported: debug mode is on"),
    ],
)
def test_what_cannot_be_exported_of_other_apps(name: str, says: str) -> None:
    result = export_named(name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {says}")


def test_folders_that_do_not_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert export(new_app(), "--out", str(tmp_path / "file" / "below")).exit_code == 2
    assert "cannot be read" in export(new_app(), "--check", str(tmp_path / "nowhere")).stderr


# ---------------------------------------------------------------------------------------
# Hostile names
# ---------------------------------------------------------------------------------------

LINE = re.compile(
    "|".join(
        [
            "",
            "#[ -~]*",
            r'map "[$a-z_0-9 ]+" \$[a-z_0-9]+ \{',
            r'\s*(default|"[^"\\{}\'`]*(\{[0-9,]+\}[^"\\{}\'`]*)*") "[A-Za-z0-9$_*:, /.-]*";',
            r"\}",
            r"add_header [A-Za-z-]+ \$cors_header_[0-9]+_[0-9a-f]{8} always;",
            r"if \(\$cors_verdict_[0-9a-f]{8} ~ \^[0-9]+\) \{ return [0-9]+; \}",
        ]
    )
)
HOSTILE = (
    '"',
    "'",
    "$",
    "{",
    "}",
    ";",
    "#",
    "\\",
    " ",
    "\t",
    "\n",
    "\r",
    "é",
    "\u2028",
    "%",
    "`",
    "^",
    "|",
    "(",
    "[",
    "*",
)


@pytest.mark.parametrize("character", HOSTILE)
def test_nothing_breaks_out_of_the_syntax(character: str) -> None:
    app = new_app()
    for number, rule in enumerate(
        (f"/a{character}b", f"/<any('x{character}y', z):n>/c", f'/<any("x{character}y"):n>/d')
    ):
        with suppress(ValueError):  # Werkzeug refuses some rules
            app.add_url_rule(rule, f"hostile{number}", lambda **_: "", methods=["PUT"])
    paths = {"/api": policy, **({f"/a{character}b": policy} if character not in "%\\*^" else {})}
    texts = [export(app).stdout]
    named = PreflightMiddleware(lambda environ, start: [], by_path(paths))
    globals()["hostile"] = named
    texts.append(export_named("hostile").stdout)
    for text in texts:
        assert "g0" in text
        for line in text.splitlines():
            assert LINE.fullmatch(line), line
