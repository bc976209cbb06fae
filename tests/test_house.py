"""How the package is built: the layers, the version, what an import costs, which files are at the top level."""

from __future__ import annotations

import ast
import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

import flask_preflight

ROOT = Path(__file__).parent.parent
PACKAGE = Path(flask_preflight.__file__).parent

# file: (what it imports of ours, and of others beside the standard library). Each imports only files above it.
LAYERS = {
    # the protocol
    "documentation": ("", ""),
    "fetch": ("", ""),
    "hosts": ("", "idna"),
    "problems": ("", ""),
    "suffixes": ("", "publicsuffixlist"),
    "origin": ("fetch hosts suffixes", ""),
    "spelling": ("fetch hosts problems origin", ""),
    "checks": ("fetch problems origin spelling", ""),
    "calls": ("problems spelling checks", ""),
    "policy": ("fetch problems origin checks calls", ""),
    "engine": ("fetch origin checks policy", ""),
    "explain": ("fetch problems origin policy engine", ""),
    # any WSGI app
    "responses": ("fetch origin policy engine", ""),
    "journal": ("origin policy engine explain", "blinker"),
    "paths": ("problems calls policy", ""),
    "wsgi": ("problems checks calls policy engine explain responses journal paths", ""),
    # Flask
    "marks": ("problems calls policy journal", "flask"),
    "routes": ("fetch problems policy engine journal marks", "flask werkzeug"),
    "door": ("wsgi routes", "flask"),
    "config": ("problems checks calls", ""),
    "state": ("problems checks policy journal marks routes config", "flask publicsuffixlist"),
    "layer": ("problems policy engine explain responses journal wsgi routes door state", "flask werkzeug"),
    "extension": ("problems checks calls policy marks config state layer", "flask"),
    # The judge of the tests knows only the standards' words, hosts and suffixes, and nothing of what it judges.
    "browser/text": ("", ""),
    "browser/arguments": ("browser/text", ""),
    "browser/urls": ("fetch hosts browser/text", ""),
    "browser/sites": ("fetch suffixes", ""),
    "browser/set_cookie": ("fetch", ""),
    "browser/cookies": ("browser/urls browser/sites browser/set_cookie", ""),
    "browser/transport": ("fetch browser/urls", "werkzeug"),
    "browser/http1": ("fetch browser/text browser/transport", "werkzeug"),
    "browser/live": ("browser/text browser/arguments browser/urls browser/transport browser/http1", "werkzeug"),
    "browser/referrer": ("fetch browser/urls", "werkzeug"),
    "browser/records": ("fetch browser/text browser/arguments browser/urls browser/sites browser/referrer", "werkzeug"),
    "browser/messages": ("documentation fetch browser/text browser/urls browser/records", "werkzeug"),
    "browser/checks": ("fetch browser/urls browser/sites browser/records browser/messages", "werkzeug"),
    "browser/cache": ("fetch browser/urls browser/records", ""),
    "browser/vary": ("fetch browser/text browser/records", "werkzeug"),
    "browser/headers": ("fetch browser/sites browser/referrer browser/records", ""),
    "browser/forms": ("browser/text", ""),
    "browser/requests": (
        "fetch browser/text browser/arguments browser/urls browser/referrer browser/records browser/forms",
        "",
    ),
    "browser/model": (
        "fetch browser/arguments browser/urls browser/cookies browser/transport browser/records "
        "browser/messages browser/checks browser/cache browser/vary browser/headers "
        "browser/forms browser/referrer browser/requests",
        "werkzeug",
    ),
    "browser/__init__": ("browser/live browser/records browser/messages browser/vary browser/model", ""),
    # The commands stand on everything.
    "commands/__init__": ("", "click"),
    "commands/output": ("problems explain fetch", "click"),
    "commands/reports": ("commands/output", ""),
    "commands/samples": ("origin", "flask werkzeug"),
    "commands/near_misses": ("origin", "werkzeug"),
    "commands/targets": (
        "problems policy engine explain journal paths responses wsgi marks routes state layer commands/output "
        "commands/samples",
        "flask werkzeug",
    ),
    "commands/app": ("documentation problems journal commands/output commands/targets", "click flask"),
    "commands/access": ("fetch browser/__init__ commands/targets", ""),
    "commands/lock": ("fetch origin policy engine commands/output commands/targets commands/app commands/access", ""),
    "commands/routes": (
        "origin engine browser/__init__ commands/output commands/samples commands/targets commands/app "
        "commands/access commands/lock",
        "click",
    ),
    "commands/explain": (
        "fetch problems policy engine explain wsgi browser/__init__ commands/output commands/targets commands/app",
        "click",
    ),
    "commands/verify": (
        "documentation fetch problems origin policy engine explain commands/output commands/reports commands/samples "
        "commands/near_misses commands/targets commands/app",
        "click flask",
    ),
    "commands/diff": (
        "fetch origin commands/output commands/reports commands/app commands/lock commands/routes",
        "click",
    ),
    "commands/live/sections": ("documentation browser/__init__ browser/text commands/output", ""),
    "commands/live/__init__": ("", ""),
    "commands/live/asking": (
        "fetch engine explain browser/records browser/text browser/transport browser/urls browser/__init__ "
        "commands/output commands/targets",
        "werkzeug",
    ),
    "commands/live/replay": ("fetch browser/urls commands/output commands/live/asking", "werkzeug"),
    "commands/live/others": (
        "fetch origin browser/text browser/sites browser/transport browser/messages browser/vary browser/__init__ "
        "commands/output commands/near_misses commands/live/sections commands/live/asking",
        "werkzeug",
    ),
    "commands/live/checks": (
        "fetch browser/text browser/urls browser/transport browser/checks browser/__init__ commands/output "
        "commands/targets commands/live/sections commands/live/asking commands/live/others",
        "",
    ),
    "commands/live/drift": (
        "fetch origin policy browser/urls browser/transport browser/records browser/checks browser/__init__ "
        "commands/output commands/samples commands/near_misses commands/targets commands/live/sections "
        "commands/live/asking",
        "werkzeug",
    ),
    "commands/probe": (
        "commands/output commands/reports commands/targets commands/app commands/live/sections commands/live/asking "
        "commands/live/replay commands/live/checks commands/live/drift",
        "click flask",
    ),
    # What a proxy in front of the app may grant.
    "edge/__init__": ("", ""),
    "edge/rows": ("fetch origin policy engine paths", ""),
    "edge/around": ("fetch origin policy commands/samples commands/targets edge/rows", "flask werkzeug"),
    "edge/app": ("engine commands/samples commands/targets edge/rows edge/around", "flask werkzeug"),
    "edge/nginx": ("edge/rows", ""),
    "edge/haproxy": ("edge/rows", ""),
    "edge/caddy": ("edge/rows", ""),
    "edge/envoy": ("edge/rows", ""),
    "edge/javascript": ("edge/rows", ""),
    "commands/export": (
        "policy paths commands/output commands/targets commands/app edge/rows edge/app edge/nginx "
        "edge/haproxy edge/caddy edge/envoy edge/javascript",
        "click",
    ),
    "__main__": ("commands/__init__ commands/app", "click"),
    "pytest_plugin": ("browser/__init__", "pytest"),
    # The public names, each imported when it is used.
    "__init__": ("documentation problems policy engine journal wsgi paths marks extension", ""),
}

# Type checkers bring them along; no run-time dependency does.
TYPES_ONLY = {"_typeshed", "typing_extensions"}


def imported(source: str, package: str) -> Iterator[str]:
    """Yield the dotted name of everything that a file in *package* imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def file_of(name: str) -> str:
    """The file of ours, as the table calls it, that holds the dotted *name*."""
    parts = name.split(".")[1:]
    paths = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
    candidates = [candidate for path in paths for candidate in (path, f"{path}/__init__")]
    return next((candidate for candidate in candidates if candidate in LAYERS), "__init__")


def split_imports(source: str, package: str) -> tuple[set[str], set[str]]:
    """Which files of ours and which packages of others a file in *package* imports."""
    names = set(imported(source, package)) - {"flask_preflight.__version__"}  # a string that needs no other file
    ours = {name for name in names if name.split(".")[0] == "flask_preflight"}
    others = {name.split(".")[0] for name in names - ours}
    return {file_of(name) for name in ours}, others - sys.stdlib_module_names - TYPES_ONLY


def test_every_file_has_its_layer() -> None:
    files = {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py")}
    assert files == set(LAYERS)


def test_the_table_in_the_docs_names_each_file_below_what_it_imports() -> None:
    section = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").split("\n## The files\n")[1].split("\n## ")[0]
    named: list[str] = []
    for row in re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)  # one row may name several files of a folder
        named += [first, *(f"{first.rpartition('/')[0]}/{name}" for name in others)]
    assert {file for file in LAYERS if not file.endswith("__init__")} <= set(named) <= set(LAYERS)
    for file in named:
        ours = {name for name in LAYERS[file][0].split() if name in named}
        assert ours <= set(named[: named.index(file)]), file


@pytest.mark.parametrize("file", LAYERS)
def test_each_file_imports_what_the_table_says_and_only_layers_above(file: str) -> None:
    package = ".".join(["flask_preflight", *file.split("/")[:-1]])
    ours, others = split_imports((PACKAGE / f"{file}.py").read_text(encoding="utf-8"), package)
    assert (ours, others) == tuple(set(names.split()) for names in LAYERS[file])
    above = itertools.takewhile(lambda name: name != file, LAYERS)
    assert ours <= set(above)


@pytest.mark.parametrize(
    ("source", "ours", "others"),
    [
        ("import os.path, flask.json", set(), {"flask"}),
        ("import flask_preflight.fetch as f", {"fetch"}, set()),
        ("import flask_preflight", {"__init__"}, set()),
        ("import flask_preflight.browser.model", {"browser/model"}, set()),
        ("from flask_preflight import fetch, Policy", {"fetch", "__init__"}, set()),
        ("from . import origin", {"origin"}, set()),
        ("from .policy import Policy", {"policy"}, set()),
        ("from .browser import Browser, model", {"browser/__init__", "browser/model"}, set()),
        ("from .browser.model import Browser", {"browser/model"}, set()),
        ("from flask_preflight.policy import Policy", {"policy"}, set()),
        ("def f():\n    from werkzeug import Request", set(), {"werkzeug"}),
        ("if TYPE_CHECKING:\n    from _typeshed.wsgi import WSGIApplication", set(), set()),
    ],
)
def test_no_spelling_of_an_import_escapes(source: str, ours: set[str], others: set[str]) -> None:
    assert split_imports(source, "flask_preflight") == (ours, others)


@pytest.mark.parametrize(
    ("source", "ours"),
    [
        ("from . import model, Browser", {"browser/model", "browser/__init__"}),
        ("from .model import Browser", {"browser/model"}),
        ("from .. import fetch, Policy", {"fetch", "__init__"}),
        ("from ..policy import Policy", {"policy"}),
        ("from ..browser import Browser", {"browser/__init__"}),
    ],
)
def test_no_spelling_of_an_import_in_a_folder_escapes(source: str, ours: set[str]) -> None:
    assert split_imports(source, "flask_preflight.browser") == (ours, set())


def test_version_is_the_newest_in_the_changelog() -> None:
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == flask_preflight.__version__


def modules_after(code: str) -> set[str]:
    """The names of all modules that are imported in a new process after *code*."""
    code = f"import sys\n{code}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(result.stdout.split())


OTHERS = {"blinker", "flask", "idna", "publicsuffixlist", "werkzeug"}


def ours_of(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] == "flask_preflight"}


def test_importing_the_package_imports_nothing_further() -> None:
    modules = modules_after("import flask_preflight")
    assert ours_of(modules) == {"flask_preflight"}
    assert not OTHERS & modules


def test_importing_the_pytest_plugin_imports_nothing_further_of_ours() -> None:
    modules = modules_after("import flask_preflight.pytest_plugin")
    assert ours_of(modules) == {"flask_preflight", "flask_preflight.pytest_plugin"}
    assert not OTHERS & modules


def test_plain_wsgi_use_imports_neither_flask_nor_werkzeug() -> None:
    code = """
from flask_preflight import PreflightMiddleware, Policy, by_path
app = PreflightMiddleware(lambda environ, start_response: [], by_path({"/": Policy(allow_origins=["https://a.com"])}))
environ = {"REQUEST_METHOD": "OPTIONS", "HTTP_ORIGIN": "https://b.com", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET"}
app(environ, print)
app({"REQUEST_METHOD": "GET"}, print)
"""
    modules = modules_after(
        f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    exec({code!r})"
    )
    assert OTHERS & modules <= {"blinker"}
    flask = {f"flask_preflight.{name}" for name in ("marks", "routes", "door", "config", "extension", "browser")}
    assert not flask & modules


def top_level() -> set[str]:
    """The files and folders beside this folder: those in git, or, in an unpacked sdist, those that were not built."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "-c", "safe.directory=*", "ls-files"]  # the clone may have any owner
        listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return {line.split("/")[0] for line in listing.stdout.splitlines()}
    built = {"PKG-INFO", "build", "dist", *(path.name for path in ROOT.glob("*.egg-info"))}
    return {path.name for path in ROOT.iterdir()} - built


def test_top_level_holds_nothing_unexpected() -> None:
    assert {name for name in top_level() if not name.startswith(".")} == {
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "MANIFEST.in",
        "Makefile",
        "README.md",
        "docs",
        "flask_preflight",
        "pyproject.toml",
        "setup.cfg",
        "tests",
    }


def test_dir_lists_what_is_imported_on_demand_too() -> None:
    assert set(flask_preflight.__all__) <= set(dir(flask_preflight))
