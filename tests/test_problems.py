"""Every problem is told in full, on one line, and explained in the docs."""

from __future__ import annotations

import copy
import pickle
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from flask_preflight import Policy, PolicyError, Preflight
from flask_preflight.problems import PROBLEM_IDS, Problem

PAGE = Path(__file__).parent.parent / "docs" / "problems.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def caught(**fields: Any) -> PolicyError:
    with pytest.raises(PolicyError) as info:
        Policy(**fields)
    return info.value


def caught_in_config(**config: Any) -> PolicyError:
    app = Flask("app")
    app.config.update(config)
    with pytest.raises(PolicyError) as info:
        Preflight(app)
    return info.value


def read_entries() -> list[tuple[str, str]]:
    """Read each id that has a heading, and the text below it."""
    _, *sections = re.split(r"^##", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    split = (section.partition("\n") for section in sections)
    return [(heading.strip("# `"), text) for heading, _, text in split if heading.startswith("#")]


ENTRIES = read_entries()
IDS = [problem_id for problem_id, _ in ENTRIES]


def test_every_id_has_one_entry_in_the_docs() -> None:
    assert sorted(IDS) == sorted(PROBLEM_IDS)


@pytest.mark.parametrize(("problem_id", "text"), ENTRIES, ids=IDS)
def test_the_example_in_the_docs_has_this_problem_alone(problem_id: str, text: str) -> None:
    (_, wrong), (_, says), (_, right) = BLOCK.findall(text)
    errors: list[PolicyError] = []
    names: dict[str, Any] = {
        "Flask": lambda name: Flask("app", root_path="/"),
        "Policy": Policy,
        "wrong": lambda **fields: errors.append(caught(**fields)),
        "wrong_config": lambda **config: errors.append(caught_in_config(**config)),
    }
    exec(wrong, names)
    assert [{problem.id for problem in error.problems} for error in errors] == [{problem_id}]
    assert [f"{problem}\n" for problem in errors[0].problems] == says.splitlines(keepends=True)
    exec(right, names)  # raises nothing


def test_an_error_lists_everything() -> None:
    error = caught(
        allow_origins=["https://app.example.com/", "http://app.example.com", "null", ...],
        allow_methods="GET, PUT",
        allow_headers=["Cookie"],
        expose_headers="*",
        allow_credentials=True,
        max_age="soon",
        preflight_status=404,
    )
    assert str(error) == (
        "10 problems with a CORS policy:\n"
        "- allow_origins: 'https://app.example.com/' ends with a slash, and an origin does not;"
        " write 'https://app.example.com' [origin-trailing-slash]\n"
        "- allow_origins: ... means the inherited values, but here no list is inherited;"
        " drop it, and write the values themselves [nothing-to-inherit]\n"
        "- allow_methods: 'GET, PUT' is one string, not a list; write ['GET', 'PUT'] [bare-string]\n"
        "- allow_headers: 'Cookie' is a header that scripts cannot use;"
        " drop it, and set allow_credentials=True if browsers should send cookies [header-forbidden]\n"
        "- max_age: 'soon' is not a whole number of seconds; write 600, a timedelta, or None [max-age-type]\n"
        "- preflight_status: 404 is not a status that browsers accept for a preflight;"
        " write 204, or 200 for old user agents [preflight-status]\n"
        "- allow_origins: 'null' is the origin of every sandboxed frame, also on other people's pages;"
        " drop it, or set dangerously_allow_null_origin=True [null-origin]\n"
        "- allow_origins: 'null' is the origin of every sandboxed frame, also on other people's pages,"
        " which could then act as the user;"
        " drop it, or set allow_credentials=False [null-origin-with-credentials]\n"
        "- expose_headers: '*' is not accepted by browsers when credentials are allowed;"
        " write the headers that your pages read, such as ['ETag'], or set allow_credentials=False"
        " [wildcard-with-credentials]\n"
        "- allow_origins: 'http://app.example.com' is not encrypted, so anyone on the network path can change its"
        " pages, and could then act as the user; write 'https://app.example.com',"
        " or set dangerously_allow_insecure_origins=True [insecure-origin-with-credentials]"
    )


def test_one_problem_is_singular_and_may_say_where() -> None:
    (problem,) = caught(max_age=-1).problems
    error = PolicyError([problem._replace(where="put_data (app.py:12)")])
    assert str(error) == (
        "1 problem with a CORS policy:\n"
        "- put_data (app.py:12): max_age: -1 is not in 0..86400 seconds;"
        " write 0 to switch caching off [max-age-range]"
    )


def test_a_problem_is_a_named_tuple() -> None:
    assert Problem._fields == ("field", "value", "id", "message", "hint", "where")
    assert caught(preflight_status=302).problems == (
        (
            "preflight_status",
            302,
            "preflight-status",
            "is not a status that browsers accept for a preflight",
            "write 204, or 200 for old user agents",
            "",
        ),
    )


def test_an_error_is_a_value_error_and_can_be_copied() -> None:
    error = caught(max_age=timedelta(days=2), allow_methods=["put", ...])
    assert isinstance(error, ValueError)
    assert isinstance(error.problems, tuple)
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is PolicyError
        assert twin.problems == error.problems
        assert str(twin) == str(error)


class Named:
    """A value whose `repr` is what it was told to be."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    async def allowed(self, origin: str, environ: dict[str, Any]) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(..., "...", id="ellipsis"),
        pytest.param("é", "'é'", id="letters"),
        pytest.param("a\nb\r\u2028\0\ud800", r"'a\nb\r\u2028\x00\ud800'", id="control characters"),
        pytest.param("x" * 199, f"'{'x' * 199}...", id="long"),
        pytest.param("x" * 198, f"'{'x' * 198}'", id="almost long"),
        pytest.param(["a"] * 100_000, "['a'" + ", 'a'" * 39 + ", ...]", id="long list"),
        pytest.param([..., "a", [len]], "[..., 'a', [len]]", id="list"),
        pytest.param(Named("two\r\nlines\u2028\x85more"), "two lines  more", id="lines"),
        pytest.param(Unshowable(), "<Unshowable>", id="repr raises"),
        pytest.param(Unshowable().allowed, "Unshowable.allowed", id="method"),
        pytest.param(len, "len", id="builtin"),
        pytest.param(Unshowable, "<class 'test_problems.Unshowable'>", id="class"),
    ],
)
def test_values_are_shown_on_one_line_and_cut_short(value: object, shown: str) -> None:
    problem = Problem("max_age", value, "max-age-type", "is no whole number of seconds", "write max_age=600")
    assert str(problem) == f"max_age: {shown} is no whole number of seconds; write max_age=600 [max-age-type]"


def test_what_cannot_be_shown_is_told_all_the_same() -> None:
    # Python refuses to write so long a number
    assert str(caught(max_age=10**5000)).splitlines()[1].startswith("- max_age: <int> is not in 0..86400 seconds;")


@pytest.mark.parametrize("field", ["allow_origins", "allow_methods", "allow_headers", "expose_headers"])
@pytest.mark.parametrize("value", ["https://a.com," * 100_000, "x\n" * 100_000], ids=["commas", "lines"])
def test_no_string_makes_a_long_message(field: str, value: str) -> None:
    for passed in (value, [value]):
        message = str(caught(**{field: passed}))
        assert len(message) < 1000
        assert message.count("\n") == 1


def find_problems(fields: dict[str, Any]) -> PolicyError:
    try:
        Policy(**fields)
    except PolicyError as error:
        return error
    return PolicyError([])


VALUES = st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none(), st.just(...), st.lists(st.text()))


@given(
    field=st.sampled_from(["allow_origins", "allow_methods", "allow_headers", "max_age"]),
    value=VALUES | st.lists(VALUES),
)
def test_whatever_is_passed_there_is_a_policy_or_a_problem_on_each_line(field: str, value: object) -> None:
    error = find_problems({field: value})
    assert len(str(error).splitlines()) == 1 + len(error.problems)
    assert {problem.id for problem in error.problems} <= PROBLEM_IDS
    assert {problem.field for problem in error.problems} <= {field}
