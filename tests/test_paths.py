"""Policies by path: which key covers a path, and which paths can be read in two ways."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from wsgiref.validate import validator

import pytest
from test_engine import operations
from test_wsgi import ACAC, TEXT, VARY, Spy, ask, ask_preflight, make_environ

from flask_preflight import Policy, PreflightMiddleware, by_path

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Finder = Callable[["WSGIEnvironment"], Policy | None]


def finder(policies: Mapping[str, Policy | None]) -> Finder:
    """What `by_path` makes where not all paths have the same policy."""
    find = by_path(policies)
    assert not isinstance(find, Policy)
    return find


API = Policy(allow_origins=["https://api.test"])
PUBLIC = Policy(allow_origins="*")
ROOT = Policy(allow_origins=["https://root.test"])
UPPER = Policy(allow_origins=["https://upper.test"])

TREE = {"/": ROOT, "/api": API, "/api/public": PUBLIC, "/api/public/off": None, "/API": UPPER, "/a+b": UPPER}


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("", ROOT),
        ("/", ROOT),
        ("/other", ROOT),
        ("/api", API),
        ("/api/", API),
        ("/api/x", API),
        ("/api/x/", API),
        ("/apiprivate", ROOT),
        ("/api.", ROOT),
        ("/api/publi", API),
        ("/api/public", PUBLIC),
        ("/api/public/x/y/z", PUBLIC),
        ("/api/publicity", API),
        ("/api/public/off", None),
        ("/api/public/off/x", None),
        ("/api/public/offer", PUBLIC),
        ("/x/api", ROOT),
        # case-sensitive, and '+' is no space
        ("/API/x", UPPER),
        ("/Api", ROOT),
        ("/a+b", UPPER),
        ("/a b", ROOT),
        # dots that are no dot segments
        ("/api/...", API),
        ("/api/.well-known", API),
        ("/api/x..", API),
        ("/api/..x", API),
        ("/api/100%", API),
        # paths that can be read in two ways get none
        ("//", None),
        ("//api", None),
        ("/api//", None),
        ("/api//x", None),
        ("/api/.", None),
        ("/api/./x", None),
        ("/api/..", None),
        ("/api/../x", None),
        ("/../api", None),
        ("/.", None),
        ("/..", None),
        ("/api/%2e%2e/x", None),
        ("/api/%2E./x", None),
        ("/api%2fx", None),
        ("/api%2Fx", None),
        ("/api\\x", None),
        ("/api/..\\x", None),
        ("/api%5cx", None),
        ("/api%5Cx", None),
        # no paths
        ("*", None),
        ("api", None),
        (".", None),
        ("..", None),
    ],
)
def test_by_path(path: str, policy: Policy | None) -> None:
    for order in (TREE, dict(reversed(TREE.items()))):
        assert finder(order)({"PATH_INFO": path}) is policy


def test_the_most_specific_wins_in_whatever_order() -> None:
    tree = {"/": ROOT, "/a": API, "/a/b": None, "/a/b/c": PUBLIC}
    for order in itertools.permutations(tree.items()):
        find = finder(dict(order))
        assert [find({"PATH_INFO": path}) for path in ("/x", "/a/x", "/a/b/x", "/a/b/c/x")] == [*tree.values()]


def test_a_path_that_no_key_covers_gets_none() -> None:
    find = finder({"/api": API})
    assert [find({"PATH_INFO": path}) for path in ("", "/", "/x", "/apix")] == [None] * 4
    assert find({}) is None
    assert finder({})({"PATH_INFO": "/"}) is None


def test_keys_are_written_decoded() -> None:
    find = finder({"/straße/日本": API})
    assert find(make_environ(path="/straße/日本/x")) is API
    assert find(make_environ(path="/stra%C3%9Fe/%E6%97%A5%E6%9C%AC")) is API
    assert find(make_environ(path="/strasse/日本")) is None
    assert find({"PATH_INFO": "/straße/日本"}) is None  # in an environ each byte is one character


def test_the_mapping_is_read_once() -> None:
    policies: dict[str, Policy | None] = {"/api": API}
    find = finder(policies)
    policies["/api"] = PUBLIC
    assert find({"PATH_INFO": "/api"}) is API


def test_the_mount_is_not_part_of_the_path() -> None:
    find = finder({"/api": API})
    assert find({"SCRIPT_NAME": "/api", "PATH_INFO": "/x"}) is None
    assert find({"SCRIPT_NAME": "/x", "PATH_INFO": "/api"}) is API


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("", "write '/'"),
        ("api", "write '/api'"),
        ("/api/", "write '/api'"),
        ("//", "write '/'"),
        ("//api", "write '/api'"),
        ("/api//x", "write '/api/x'"),
        ("/api/./x", "write '/api/x'"),
        ("/api/../x", "write '/x'"),
        ("/.", "write '/'"),
        ("/..", "write '/'"),
        ("/api%20x", "write '/api x'"),
        ("/%2e", "write '/'"),
        ("/%252e%", "write '/2e'"),
        ("/api\\x", "write '/api/x'"),
    ],
)
def test_a_key_that_is_no_plain_path_is_refused(key: str, hint: str) -> None:
    with pytest.raises(ValueError, match="is not a plain path") as caught:
        by_path({"/x": API, key: None})
    assert str(caught.value) == f"by_path: {key!r} is not a plain path; {hint}"


def test_a_value_that_is_no_policy_is_refused() -> None:
    with pytest.raises(TypeError) as caught:
        by_path({"/api": "*"})  # type: ignore[dict-item]
    right = "write Policy(allow_origins='*'), or None to leave the path alone"
    assert str(caught.value) == f"by_path: the policy of '/api' is '*'; {right}"


@pytest.mark.parametrize("piece", ["/a", "/", "a", "/api"])
def test_a_long_path_costs_no_more_than_a_short_one(piece: str) -> None:
    find = finder(TREE)
    long, longer = ({"PATH_INFO": f"/api/public{piece * times}"} for times in (1000, 100_000))
    assert find(long) is find(longer)
    assert operations(lambda: find(long)) == operations(lambda: find(longer))


def test_by_path_chooses_for_preflights_and_all_else() -> None:
    spy = Spy(ACAC)
    app = validator(PreflightMiddleware(validator(spy), by_path({"/api": API, "/": None})))
    assert ask(app, "https://api.test", PATH_INFO="/api/x").headers == [
        *TEXT,
        ("Access-Control-Allow-Origin", "https://api.test"),
        VARY,
    ]
    assert ask_preflight(app, "GET", origin="https://api.test", PATH_INFO="/api").status == "204 No Content"
    assert spy.calls == 1
    # left alone: the app's own headers stay
    for path in ("/", "/apis", "/api/../x"):
        assert ask(app, "https://api.test", PATH_INFO=path).headers == [*TEXT, ACAC]
        assert ask_preflight(app, "GET", origin="https://api.test", PATH_INFO=path).headers == [*TEXT, ACAC]
    assert spy.calls == 7


# ---------------------------------------------------------------------------------------
# One policy for all paths
# ---------------------------------------------------------------------------------------

AMBIGUOUS = ["/bkt/a//b", "//", "/a/../b", "/a/.", "/%2e%2e/x", "/a%2fb", "/a\\b", "*", "", "/ok"]


@pytest.mark.parametrize(
    "policies",
    [
        {"/": ROOT},
        {"/": ROOT, "/api": ROOT},
        {"/api": ROOT, "/": Policy(allow_origins=["https://root.test"]), "/x/y": ROOT},
    ],
    ids=["one key", "the same policy twice", "equal policies"],
)
def test_where_all_paths_have_one_policy_no_path_matters(policies: Mapping[str, Policy | None]) -> None:
    policy = by_path(policies)
    assert policy == ROOT
    assert isinstance(policy, Policy)
    app = PreflightMiddleware(Spy(), policy)
    for path in AMBIGUOUS:
        answer = ask(app, "https://root.test", PATH_INFO=path)
        assert answer.only("Access-Control-Allow-Origin") == [("Access-Control-Allow-Origin", "https://root.test")]


@pytest.mark.parametrize(
    "policies",
    [
        {"/": ROOT, "/api": None},
        {"/": ROOT, "/api": API},
        {"/": None, "/api": ROOT},
        {"/": None},
        {"/api": ROOT},
        {"/": Policy(allow_origins=lambda *_: True), "/api": Policy(allow_origins=lambda *_: True)},
        {},
    ],
    ids=["an exception", "two policies", "none at the root", "none at all", "no root", "two callables", "empty"],
)
def test_in_all_other_cases_paths_matter(policies: Mapping[str, Policy | None]) -> None:
    find = finder(policies)
    assert [find({"PATH_INFO": path}) for path in AMBIGUOUS[:8]] == [None] * 8


@pytest.mark.parametrize(
    ("key", "plain"),
    [
        pytest.param("/api/*", "/api", id="glob"),
        pytest.param("/api/.*", "/api", id="regular expression"),
        pytest.param("/api/<int:number>", "/api", id="converter"),
        pytest.param("/*", "/", id="everything"),
        pytest.param("/^api", "/", id="anchor"),
    ],
)
def test_a_key_that_looks_like_a_pattern_is_answered_with_a_plain_path(key: str, plain: str) -> None:
    policy = Policy()
    with pytest.raises(ValueError, match="a key covers all paths below it") as caught:
        by_path({key: policy})
    assert str(caught.value).endswith(f"write {plain!r}")
    assert by_path({plain: policy})


def test_policies_that_are_no_dictionary_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="is not a dictionary with paths; write by_path"):
        by_path([("/api", Policy())])  # type: ignore[arg-type]
