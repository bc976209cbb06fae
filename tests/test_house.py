"""How the house is built: the layers, the version, what an import costs, what lies at the top."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flask_preflight

ROOT = Path(__file__).parent.parent
PACKAGE = Path(flask_preflight.__file__).parent

# module: (what it may import of ours, and of others beside the standard library)
LAYERS = {
    "fetch": ("", ""),
    "problems": ("", ""),
    "memory": ("", ""),
    "origin": ("fetch problems memory", "idna publicsuffixlist"),
    "policy": ("fetch problems origin", ""),
    "engine": ("fetch origin policy", ""),
    "answers": ("fetch memory origin policy engine", ""),
    "explain": ("fetch origin policy engine", ""),
    "wsgi": ("fetch memory origin policy engine answers explain", ""),
    "marks": ("policy", "flask"),
    "routes": ("fetch problems memory policy engine answers marks", "flask werkzeug"),
    "extension": ("fetch problems memory origin policy engine answers explain wsgi routes", "blinker flask werkzeug"),
    # The tests' judge: it knows the standard's words and nothing of what it judges.
    "browser": ("fetch", "werkzeug"),
    "pytest_plugin": ("browser", "pytest"),
    # The door, which opens each room when it is asked for.
    "__init__": ("problems policy engine wsgi marks extension", ""),
}

# Type checkers bring them along; no run-time dependency does.
TYPES_ONLY = {"_typeshed", "typing_extensions"}


def imported(source: str) -> Iterator[str]:
    """Yield the absolute dotted name of everything that a file of the package imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["flask_preflight" if node.level else "", node.module]))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def rooms(source: str) -> tuple[set[str], set[str]]:
    """Tell which own modules and which third parties a file imports."""
    ours, others = set[str](), set[str]()
    for name in imported(source):
        top, _, rest = name.partition(".")
        if top == "flask_preflight":
            inner = rest.partition(".")[0]
            ours.add(inner if inner in LAYERS else "__init__")
        else:
            others.add(top)
    return ours, others - sys.stdlib_module_names - TYPES_ONLY


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.name))
def test_each_file_imports_only_the_layers_below(path: Path) -> None:
    module = path.relative_to(PACKAGE).with_suffix("").as_posix()
    assert module in LAYERS, "a new file needs a row in the table"
    ours, others = rooms(path.read_text(encoding="utf-8"))
    allowed_ours, allowed_others = LAYERS[module]
    assert ours <= set(allowed_ours.split())
    assert others <= set(allowed_others.split())


@pytest.mark.parametrize(
    ("source", "ours", "others"),
    [
        ("import os.path, flask.json", set(), {"flask"}),
        ("import flask_preflight.fetch as f", {"fetch"}, set()),
        ("import flask_preflight", {"__init__"}, set()),
        ("from flask_preflight import fetch, Policy", {"fetch", "__init__"}, set()),
        ("from . import origin", {"origin"}, set()),
        ("from .policy import Policy", {"policy"}, set()),
        ("def f():\n    from werkzeug import Request", set(), {"werkzeug"}),
        ("if TYPE_CHECKING:\n    from _typeshed.wsgi import WSGIApplication", set(), set()),
    ],
)
def test_no_spelling_of_an_import_escapes(source: str, ours: set[str], others: set[str]) -> None:
    assert rooms(source) == (ours, others)


def test_version_is_the_newest_in_the_changelog() -> None:
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == flask_preflight.__version__


def test_importing_the_package_imports_no_third_party() -> None:
    code = "import sys, flask_preflight; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"flask", "werkzeug", "blinker", "idna", "publicsuffixlist"} & set(result.stdout.split())


def top_level() -> set[str]:
    """Name what lies beside this folder: what git tracks, or, in an unpacked sdist, what was not built."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "-c", "safe.directory=*", "ls-files"]  # whoever owns the clone
        listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return {line.split("/")[0] for line in listing.stdout.splitlines()}
    built = {"PKG-INFO", "build", "dist", *(path.name for path in ROOT.glob("*.egg-info"))}
    return {path.name for path in ROOT.iterdir()} - built


def test_top_level_holds_nothing_unexpected() -> None:
    assert {name for name in top_level() if not name.startswith(".")} == {
        "CHANGELOG.md",
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
