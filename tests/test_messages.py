"""What people write, and what they are told: the files in ``messages/`` hold it, and each advice is tried.

``python tests/test_messages.py --write`` writes the messages anew.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView, View
from golden import Case, collecting_log, describe_exception, make_stable, read_page

import flask_preflight
from flask_preflight import ExtensionHost, Policy, Preflight
from flask_preflight.problems import PROBLEM_IDS

# ---------------------------------------------------------------------------------------
# Run what people write
# ---------------------------------------------------------------------------------------


class App(ExtensionHost, Flask):
    """An app as people have it."""


class Dash:
    """As in the package of that name: an object whose attribute ``server`` is the Flask app."""

    def __init__(self) -> None:
        self.server = App("server")

    def __repr__(self) -> str:
        return "<Dash>"


def view() -> str:
    return "here"


def new_names() -> dict[str, Any]:
    """Make the names that code in the files may use."""
    app = App("app", static_folder=None)
    app.add_url_rule("/data", "data", view)
    app.add_url_rule("/users", "api.users", lambda: "")
    policy = Policy(allow_origins=["https://a.com"])
    return {
        **{name: getattr(flask_preflight, name) for name in flask_preflight.__all__},
        **{each.__name__: each for each in (Blueprint, Flask, MethodView, View, timedelta)},
        **{"re": re, "os": os, "functools": functools},
        "__name__": "app",
        "app": app,
        "blueprint": Blueprint("api", "app"),
        "dash_app": Dash(),
        "policy": policy,
        "preflight": Preflight(),
        "view": lambda: "",
        "wsgi_app": view,
    }


def run_code(code: str, names: dict[str, Any], folder: Path) -> None:
    """Run *code* as a file ``app.py`` that is read by Python."""
    path = folder / "app.py"
    path.write_text(code, encoding="utf-8")
    exec(compile(code, path, "exec"), names)


def run_python(code: str, names: dict[str, Any], folder: Path) -> None:
    run_code(code, names, folder)


def read_variables(code: str) -> tuple[dict[str, str], str]:
    """Split lines such as ``FLASK_X=value``, which are set in the environment, from the Python below them."""
    lines = code.splitlines()
    variables = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_a-z0-9]+=", line))
    return variables, "\n".join(line for line in lines if not re.match(r"[A-Z_a-z0-9]+=", line))


def run_configuration(code: str, names: dict[str, Any], folder: Path) -> None:
    """Run an app whose environment is set by the first lines of *code*."""
    variables, python = read_variables(code)
    with patch.dict(os.environ, variables):
        names["app"] = app = Flask("app", static_folder=None)
        if python:
            run_code(python, names, folder)
        else:
            app.config.from_prefixed_env()
            Preflight(app)


Runner = Callable[[str, dict[str, Any], Path], None]

PAGES: dict[str, Runner] = {
    "policies.txt": run_python,
    "extension.txt": run_python,
    "decorators.txt": run_python,
    "middleware.txt": run_python,
    "configuration.txt": run_configuration,
}


@contextmanager
def new_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder).resolve()


def outcome(run: Runner, code: str, names: dict[str, Any]) -> tuple[Exception | None, str]:
    """Run *code*: what it raises, and all that a person reads."""
    with new_folder() as folder, collecting_log() as lines:
        try:
            run(code, names, folder)
        except Exception as error:  # noqa: BLE001 - it is what the test is about
            return error, make_stable([*lines, describe_exception(error)], folder)
        return None, make_stable(lines, folder)


def say(run: Runner, case: Case) -> str:
    return outcome(run, case.code, new_names())[1]


CASES = {
    f"{name.removesuffix('.txt')}: {case.title}": (run, case)
    for name, run in PAGES.items()
    for case in read_page(name).cases
}


@pytest.mark.parametrize(("run", "case"), CASES.values(), ids=CASES)
def test_the_message_is_that_of_the_file(run: Runner, case: Case) -> None:
    assert say(run, case) == case.message


@pytest.mark.parametrize("name", PAGES)
def test_a_file_is_written_as_it_is_read(name: str) -> None:
    page = read_page(name)
    assert str(page) == page.path.read_text(encoding="utf-8")
    titles = [case.title for case in page.cases]
    assert len(set(titles)) == len(titles)


def test_every_problem_is_in_some_file() -> None:
    messages = "\n".join(case.message for _, case in CASES.values())
    assert set(re.findall(r"\[([a-z-]+)\]$", messages, re.MULTILINE)) == PROBLEM_IDS


# Python's own words do not say what to write, and these are not plain English.
NOT_PLAIN = re.compile(
    r"positional argument|unexpected keyword|has no attribute|(?<!there )\b(is|are) no\b|\bwhoever\b|\bshall\b"
)


@pytest.mark.parametrize(("run", "case"), CASES.values(), ids=CASES)
def test_a_message_is_plain(run: Runner, case: Case) -> None:
    assert not NOT_PLAIN.search(case.message)
    for line in case.message.splitlines():
        assert line.isprintable()
        assert len(line) < 1000


# ---------------------------------------------------------------------------------------
# Do what the message says
# ---------------------------------------------------------------------------------------

# What follows "write", "such as" or a colon, up to a word that goes on in English
WRITE = re.compile(
    r"\b(?:write|call) (?!it\b)(?:[^'\[(=:;]*?(?: such as|:) )?(?P<what>.+?)"
    r"(?=,? (?:or|and|a|if|which|where|with|without|first|above|before|for|in|to)\b|; | \[[a-z-]+\]$| \(|\.?$)"
)
IN_ENVIRONMENT = re.compile(r"in the environment (?P<what>\w+)")
RENAME = re.compile(r"did you mean '(?P<what>[\w.]+)'")


def advice(line: str) -> list[str]:
    """What a line of a message tells the reader to write; of several choices the first."""
    if "; drop it" in line:
        return []
    found = IN_ENVIRONMENT.search(line) or WRITE.search(line)
    return [found["what"]] if found else RENAME.findall(line)


# Advice that shows no code
IN_WORDS = ("drop it", "remove", "without the list", "its fields are", "here one of", "mark its methods", "wrap it")


@pytest.mark.parametrize(("run", "case"), CASES.values(), ids=CASES)
def test_the_advice_can_be_followed(run: Runner, case: Case) -> None:
    """The right code has what the message tells to write, word for word, and nothing is said about it."""
    lines = [line for line in case.message.splitlines() if not line.startswith("PolicyError: ")]
    told = [what for line in lines for what in advice(line)]
    assert all(advice(line) or any(words in line for words in IN_WORDS) for line in lines)
    # a string is shown in quotes, which an environment variable has not, and JSON has others
    right = re.sub("['\"]", "", case.right)
    assert [what for what in told if re.sub("['\"]", "", what) not in right] == []
    assert outcome(run, case.right, new_names()) == (None, "")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("- max_age: '600s' is not a whole number of seconds; write 600 [max-age-type]", "600"),
        ("- a: 'b' holds several values; write one string for each: 'A', 'B' [several-in-one]", "'A', 'B'"),
        ("- a: 7 is not a list; write a list such as ['GET', 'PUT'] [not-a-list]", "['GET', 'PUT']"),
        ("- a: 'b' is not an address; write 'http://[::1]:3000', or none [x]", "'http://[::1]:3000'"),
        ("TypeError: no field 'origins'; did you mean 'allow_origins'?", "allow_origins"),
        (
            "TypeError: write Policy(allow_origins=['https://a.com'], max_age=1)",
            "Policy(allow_origins=['https://a.com'], max_age=1)",
        ),
        ("- a: '...' is a string; write ... without quotes [x]", "..."),
        ("- a: 1 is not a bool; write True, and in the environment true [x]", "true"),
        ("- a: '*' means all; drop it, or write '*' alone [x]", None),
    ],
)
def test_what_is_read_from_a_message(line: str, told: str | None) -> None:
    assert advice(line) == ([] if told is None else [told])


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("Write the messages anew with: python tests/test_messages.py --write")
    for name, run in PAGES.items():
        read_page(name).rewrite(functools.partial(say, run))
