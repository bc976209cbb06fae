"""What a policy takes, what it makes of it, and everything that it refuses."""

from __future__ import annotations

import copy
import enum
import functools
import gc
import inspect
import pickle
import re
import subprocess
import sys
import tracemalloc
import typing
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, fields, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias
from unittest.mock import MagicMock, Mock

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import origins, patterns, policies

from flask_preflight import Policy, PolicyError, checks
from flask_preflight.engine import allows_method
from flask_preflight.origin import Origins, lazy
from flask_preflight.policy import PolicyChanges, check_changes, freeze_changes, merge

DEFAULTS: dict[str, object] = {
    "allow_origins": (),
    "allow_methods": None,
    "allow_headers": ("Content-Type",),
    "expose_headers": (),
    "allow_credentials": False,
    "max_age": 600,
    "allow_timing": False,
    "preflight_status": 204,
    "dangerously_allow_insecure_origins": False,
    "dangerously_allow_public_suffix_subdomains": False,
    "dangerously_allow_null_origin": False,
}


def values(policy: Policy) -> dict[str, object]:
    return {field.name: getattr(policy, field.name) for field in fields(policy)}


class Found(NamedTuple):
    """A problem without its texts."""

    field: str
    value: object
    id: str


def problems(build: Callable[[], object]) -> list[Found]:
    with pytest.raises(PolicyError) as caught:
        build()
    return [Found(problem.field, problem.value, problem.id) for problem in caught.value.problems]


def build(changes: dict[str, Any]) -> Policy:
    return Policy(**changes)


class Frontend(str, enum.Enum):
    APP = "https://app.example.com"
    ADMIN = "https://admin.example.com"


class Called:
    def __call__(self, asked: str, environ: dict[str, Any]) -> bool:
        return asked == "https://a.com"


class Word(str, enum.Enum):
    STAR = "*"
    PUT = "PUT"
    HEADER = "X-Request-Id"


class Number(enum.IntEnum):
    HOUR = 3600
    OK = 200


# ---------------------------------------------------------------------------------------
# Fields
# ---------------------------------------------------------------------------------------


def test_by_default_nothing_is_allowed() -> None:
    assert values(Policy()) == DEFAULTS


# field, what is passed, what it becomes
ACCEPTED: list[tuple[str, object, object]] = [
    ("allow_origins", "*", "*"),
    ("allow_origins", ["*"], "*"),
    ("allow_origins", ("*", "*"), "*"),
    ("allow_origins", [Word.STAR], "*"),
    ("allow_origins", [], ()),
    ("allow_origins", ["https://b.com", "https://a.com", "https://b.com"], ("https://a.com", "https://b.com")),
    ("allow_origins", {"https://a.com"}, ("https://a.com",)),
    ("allow_origins", iter(["https://*.a.com", "http://localhost:*"]), ("http://localhost:*", "https://*.a.com")),
    ("allow_origins", ["app://.", "app://", "moz-extension://*"], ("app://", "app://.", "moz-extension://*")),
    ("allow_origins", ["safari-web-extension://*"], ("safari-web-extension://*",)),
    ("allow_origins", Frontend, ("https://admin.example.com", "https://app.example.com")),
    ("allow_origins", [Frontend.APP], ("https://app.example.com",)),
    ("allow_methods", None, None),
    ("allow_methods", "*", "*"),
    ("allow_methods", ["*"], "*"),
    ("allow_methods", ["*", "*"], "*"),
    ("allow_methods", [Word.STAR], "*"),
    ("allow_methods", [], ()),
    ("allow_methods", ["PUT", "DELETE", "PUT"], ("DELETE", "PUT")),
    ("allow_methods", ["PUT", Word.PUT], ("PUT",)),
    ("allow_methods", ("query", "QUERY"), ("QUERY", "query")),
    ("allow_methods", ["!#$%&'*+-.^_`|~"], ("!#$%&'*+-.^_`|~",)),
    ("allow_methods", ["X" * 64], ("X" * 64,)),
    ("allow_headers", "*", "*"),
    ("allow_headers", ["*"], "*"),
    ("allow_headers", ["Authorization", "*"], ("*", "Authorization")),
    ("allow_headers", ["X-B", "*", "Authorization"], ("*", "Authorization", "X-B")),
    ("allow_headers", [], ()),
    ("allow_headers", ["X-B", "x-a"], ("x-a", "X-B")),
    ("allow_headers", ["x-a", "X-A", "X-a"], ("X-A",)),
    ("allow_headers", ["X-a", "x-a", "X-A"], ("X-A",)),
    ("allow_headers", [Word.HEADER], ("X-Request-Id",)),
    ("allow_headers", (name for name in ["X-HTTP-Method-Override"]), ("X-HTTP-Method-Override",)),
    ("expose_headers", "*", "*"),
    ("expose_headers", ["*"], "*"),
    ("expose_headers", ["Link", "ETag", "link"], ("ETag", "Link")),
    ("allow_credentials", True, True),
    ("max_age", None, None),
    ("max_age", 0, 0),
    ("max_age", 86400, 86400),
    ("max_age", timedelta(hours=2), 7200),
    ("max_age", timedelta(days=1), 86400),
    ("max_age", timedelta(0), 0),
    ("max_age", Number.HOUR, 3600),
    ("allow_timing", True, True),
    ("allow_timing", False, False),
    ("preflight_status", 200, 200),
    ("preflight_status", 299, 299),
    ("preflight_status", HTTPStatus.OK, 200),
    ("dangerously_allow_insecure_origins", True, True),
    ("dangerously_allow_public_suffix_subdomains", True, True),
    ("dangerously_allow_null_origin", True, True),
]


def row_id(value: object) -> str:
    text = ascii(value)
    # where things lie in memory differs between the processes of pytest-xdist
    return type(value).__name__ if re.search(" at 0x| id='", text) else text[:60]


@pytest.mark.parametrize(("field", "passed", "kept"), ACCEPTED, ids=row_id)
def test_fields_are_normalised(field: str, passed: object, kept: object) -> None:
    policy = build({field: passed})
    assert values(policy) == DEFAULTS | {field: kept}
    # plain values, as those of enumerations format as they please
    kept_here = getattr(policy, field)
    for value in kept_here if isinstance(kept_here, tuple) else [kept_here]:
        assert type(value) in {str, int, bool, type(None)}


# field, what is passed, the problems
Refused: TypeAlias = tuple[str, object, list[tuple[object, str]]]


def refused_in_lists(field: str) -> list[Refused]:
    no_lists: list[tuple[object, str]] = [
        ("", "bare-string"),
        ("https://a.com", "bare-string"),
        ("GET, PUT", "bare-string"),
        ("**", "bare-string"),
        (7, "not-a-list"),
        (True, "not-a-list"),
        (..., "not-a-list"),
        (b"*", "not-a-list"),
        (bytearray(b"PUT"), "not-a-list"),
        (memoryview(b"PUT"), "not-a-list"),
        (object, "not-a-list"),
        ({"PUT": True}, "not-a-list"),
        (Policy(), "not-a-list"),
    ]
    no_strings: list[object] = [None, 7, b"PUT", ["PUT"], {"PUT"}, float("nan")]
    empty: list[object] = ["", " ", "\t\n"]
    return [
        *((field, value, [(value, problem_id)]) for value, problem_id in no_lists),
        *((field, [value], [(value, "not-a-string")]) for value in no_strings),
        *((field, [value], [(value, "empty-item")]) for value in empty),
        (field, ["..."], [("...", "ellipsis-as-string")]),
    ]


def refused_as_bool(field: str) -> list[Refused]:
    no_bools: list[object] = [None, 0, 1, "yes", "", [], ...]
    return [(field, value, [(value, "not-a-bool")]) for value in no_bools]


REFUSED: list[Refused] = [
    *refused_in_lists("allow_origins"),
    *refused_in_lists("allow_methods"),
    *refused_in_lists("allow_headers"),
    *refused_in_lists("expose_headers"),
    ("allow_headers", None, [(None, "not-a-list")]),
    # origins one by one: test_origin.py
    ("allow_origins", None, [(None, "not-a-list")]),
    ("allow_origins", ["null"], [("null", "null-origin")]),
    ("allow_origins", ["*", "https://a.com"], [("*", "wildcard-beside-others")]),
    ("allow_origins", ["https://*"], [("https://*", "origin-wildcard")]),
    (
        "allow_origins",
        ["https://a.com/", "http://b.com", "c.com"],
        [("https://a.com/", "origin-trailing-slash"), ("c.com", "origin-scheme")],
    ),
    ("allow_methods", ["*", "PUT"], [("*", "wildcard-beside-others")]),
    ("allow_methods", ["put"], [("put", "method-case")]),
    ("allow_methods", ["patch"], [("patch", "method-case")]),
    ("allow_methods", ["Patch"], [("Patch", "method-case")]),
    ("allow_methods", ["delete", "gEt"], [("delete", "method-case"), ("gEt", "method-case")]),
    ("allow_methods", ["TRACE"], [("TRACE", "method-forbidden")]),
    ("allow_methods", ["Connect", "track"], [("Connect", "method-forbidden"), ("track", "method-forbidden")]),
    ("allow_origins", ["https://a.com", ""], [("", "empty-item")]),
    ("allow_origins", ["https://a.com,https://b.com"], [("https://a.com,https://b.com", "origin-separator")]),
    ("allow_origins", ["https://a.com https://b.com"], [("https://a.com https://b.com", "origin-separator")]),
    ("allow_methods", ["GET, POST"], [("GET, POST", "several-in-one")]),
    ("allow_headers", ["Content-Type, Authorization"], [("Content-Type, Authorization", "several-in-one")]),
    ("expose_headers", ["ETag,Link"], [("ETag,Link", "several-in-one")]),
    ("expose_headers", ["*,"], [("*,", "several-in-one")]),
    ("allow_methods", ["PUT "], [("PUT ", "method-invalid")]),
    ("allow_methods", ["GET,PUT"], [("GET,PUT", "several-in-one")]),
    ("allow_methods", ["GET PUT"], [("GET PUT", "several-in-one")]),
    ("allow_methods", ["GET;PUT"], [("GET;PUT", "several-in-one")]),
    ("allow_methods", ["PUT /api"], [("PUT /api", "method-invalid")]),
    ("allow_methods", ["GET\r\nX: y"], [("GET\r\nX: y", "method-invalid")]),
    ("allow_methods", ["po\u017ft"], [("po\u017ft", "method-invalid")]),
    ("allow_methods", ["X" * 65], [("X" * 65, "method-invalid")]),
    ("allow_headers", ["X-A: b"], [("X-A: b", "header-invalid")]),
    ("allow_headers", ["X-A\n"], [("X-A\n", "header-invalid")]),
    ("allow_headers", ["X-\ud800"], [("X-\ud800", "header-invalid")]),
    (
        "allow_headers",
        ["Cookie", "sec-fetch-mode"],
        [("Cookie", "header-forbidden"), ("sec-fetch-mode", "header-forbidden")],
    ),
    ("allow_headers", ["Access-Control-Request-Method"], [("Access-Control-Request-Method", "header-forbidden")]),
    ("allow_headers", ["access-control-allow-origin"], [("access-control-allow-origin", "header-of-response")]),
    ("expose_headers", ["*", "ETag"], [("*", "wildcard-beside-others")]),
    ("expose_headers", ["Set-Cookie"], [("Set-Cookie", "header-forbidden")]),
    ("expose_headers", ["set-cookie2"], [("set-cookie2", "header-forbidden")]),
    ("expose_headers", ["E Tag"], [("E Tag", "header-invalid")]),
    ("allow_origins", {"https://a.com": False}, [({"https://a.com": False}, "not-a-list")]),
    ("allow_origins", [{"https://a.com": False}], [({"https://a.com": False}, "not-a-string")]),
    ("allow_methods", ["all"], [("all", "method-invalid")]),
    ("allow_methods", ["GET", "Any"], [("Any", "method-invalid")]),
    ("allow_methods", ["NONE"], [("NONE", "method-invalid")]),
    ("allow_methods", ["`PUT`"], [("`PUT`", "method-invalid")]),
    ("allow_methods", ["GET|PUT"], [("GET|PUT", "several-in-one")]),
    ("allow_methods", ["GET & put"], [("GET & put", "several-in-one")]),
    ("allow_methods", ["...PUT"], [("...PUT", "several-in-one")]),
    ("allow_headers", ["...Authorization"], [("...Authorization", "several-in-one")]),
    ("allow_headers", ["ALL"], [("ALL", "header-invalid")]),
    ("allow_headers", ["'X-A'"], [("'X-A'", "header-invalid")]),
    ("expose_headers", ["any"], [("any", "header-invalid")]),
    ("expose_headers", ["ETag|Link"], [("ETag|Link", "several-in-one")]),
    ("allow_origins", ["...https://a.com"], [("...https://a.com", "origin-separator")]),
    ("allow_origins", ["https://a.com # b"], [("https://a.com # b", "origin-separator")]),
    ("allow_origins", ["'https://a.com'"], [("'https://a.com'", "origin-quotes")]),
    ("allow_origins", ["https://*-a.com"], [("https://*-a.com", "origin-wildcard")]),
    *refused_as_bool("allow_credentials"),
    *refused_as_bool("allow_timing"),
    *refused_as_bool("dangerously_allow_insecure_origins"),
    *refused_as_bool("dangerously_allow_public_suffix_subdomains"),
    *refused_as_bool("dangerously_allow_null_origin"),
    ("max_age", -1, [(-1, "max-age-range")]),
    ("max_age", 86401, [(86401, "max-age-range")]),
    ("max_age", timedelta(days=2), [(timedelta(days=2), "max-age-range")]),
    ("max_age", timedelta(seconds=-1), [(timedelta(seconds=-1), "max-age-range")]),
    ("max_age", timedelta(milliseconds=1500), [(timedelta(milliseconds=1500), "max-age-type")]),
    ("max_age", 600.0, [(600.0, "max-age-type")]),
    ("max_age", "600", [("600", "max-age-type")]),
    ("max_age", True, [(True, "max-age-type")]),
    ("max_age", ..., [(..., "max-age-type")]),
    ("preflight_status", 199, [(199, "preflight-status")]),
    ("preflight_status", 300, [(300, "preflight-status")]),
    ("preflight_status", 204.0, [(204.0, "preflight-status")]),
    ("preflight_status", True, [(True, "preflight-status")]),
    ("preflight_status", "204", [("204", "preflight-status")]),
    ("preflight_status", None, [(None, "preflight-status")]),
]


@pytest.mark.parametrize(("field", "passed", "found"), REFUSED, ids=row_id)
def test_problems_of_one_field(field: str, passed: object, found: list[tuple[object, str]]) -> None:
    expected = [Found(field, *pair) for pair in found]
    assert problems(lambda: build({field: passed})) == expected
    assert problems(lambda: merge(Policy(), {field: passed})) == expected


@pytest.mark.parametrize(
    ("field", "passed", "hint"),
    [
        ("allow_origins", ["https://a.com,https://b.com"], ": 'https://a.com', 'https://b.com'"),
        ("allow_origins", ["https://a.com https://b.com"], ": 'https://a.com', 'https://b.com'"),
        ("allow_methods", ["GET, POST"], ": 'GET', 'POST'"),
        ("allow_headers", ["Content-Type, Authorization"], ": 'Content-Type', 'Authorization'"),
        ("expose_headers", ["ETag,Link,"], ": 'ETag', 'Link'"),
        ("allow_origins", "https://a.com,https://b.com", "['https://a.com', 'https://b.com']"),
        ("allow_methods", "GET, POST", "['GET', 'POST']"),
    ],
    ids=row_id,
)
def test_several_values_in_one_string_are_split_in_the_hint(field: str, passed: object, hint: str) -> None:
    with pytest.raises(PolicyError) as caught:
        build({field: passed})
    (problem,) = caught.value.problems
    assert problem.hint.endswith(hint)


def test_a_part_that_is_too_long_is_not_corrected() -> None:
    long = f"https://{'a' * 400}"
    with pytest.raises(PolicyError) as caught:
        build({"allow_origins": f"a.com,{long}"})
    assert caught.value.problems[0].hint.startswith("write ['https://a.com', 'https://aaa")


@pytest.mark.parametrize("field", ["allow_origins", "allow_methods", "allow_headers", "expose_headers"])
def test_a_new_policy_has_nothing_to_inherit(field: str) -> None:
    assert problems(lambda: build({field: [...]})) == [Found(field, ..., "nothing-to-inherit")]


CREDENTIALS = {"allow_credentials": True}
INSECURE = {"dangerously_allow_insecure_origins": True}
PUBLIC_SUFFIX = {"dangerously_allow_public_suffix_subdomains": True}
NULL = {"dangerously_allow_null_origin": True}

# the fields, and the problems that they have together
TOGETHER: dict[str, tuple[dict[str, Any], list[Found]]] = {
    "star": (
        CREDENTIALS | {"allow_origins": "*"},
        [Found("allow_origins", "*", "wildcard-with-credentials")],
    ),
    "star in a list": (
        CREDENTIALS | {"allow_origins": ["*"]},
        [Found("allow_origins", "*", "wildcard-with-credentials")],
    ),
    "everybody in another spelling": (
        CREDENTIALS | {"allow_origins": ["https://*", "http://*:*", "*://*"]},
        [Found("allow_origins", text, "origin-wildcard") for text in ("https://*", "http://*:*", "*://*")],
    ),
    "exposed star": (
        CREDENTIALS | {"expose_headers": "*"},
        [Found("expose_headers", "*", "wildcard-with-credentials")],
    ),
    "both stars, whatever the flags": (
        CREDENTIALS | INSECURE | PUBLIC_SUFFIX | NULL | {"allow_origins": "*", "expose_headers": ["*"]},
        [
            Found("allow_origins", "*", "wildcard-with-credentials"),
            Found("expose_headers", "*", "wildcard-with-credentials"),
        ],
    ),
    "http": (
        CREDENTIALS | {"allow_origins": ["http://a.com", "http://*.b.com", "http://c.com:*", "http://localhost"]},
        [
            Found("allow_origins", text, "insecure-origin-with-credentials")
            for text in ("http://*.b.com", "http://a.com", "http://c.com:*")
        ],
    ),
    "http, and another flag": (
        CREDENTIALS | PUBLIC_SUFFIX | NULL | {"allow_origins": ["http://a.com"]},
        [Found("allow_origins", "http://a.com", "insecure-origin-with-credentials")],
    ),
    "public suffix": (
        CREDENTIALS | {"allow_origins": ["https://*.github.io", "https://*.example.com"]},
        [Found("allow_origins", "https://*.github.io", "public-suffix-with-credentials")],
    ),
    "public suffix, and another flag": (
        CREDENTIALS | INSECURE | NULL | {"allow_origins": ["https://*.co.uk:*"]},
        [Found("allow_origins", "https://*.co.uk:*", "public-suffix-with-credentials")],
    ),
    "both": (
        CREDENTIALS | {"allow_origins": ["http://*.github.io"]},
        [
            Found("allow_origins", "http://*.github.io", "insecure-origin-with-credentials"),
            Found("allow_origins", "http://*.github.io", "public-suffix-with-credentials"),
        ],
    ),
    "any host": (
        CREDENTIALS | INSECURE | PUBLIC_SUFFIX | NULL | {"allow_origins": ["moz-extension://*", "app://*", "app://."]},
        [Found("allow_origins", text, "any-host-with-credentials") for text in ("app://*", "moz-extension://*")],
    ),
    "null, and another flag": (
        INSECURE | PUBLIC_SUFFIX | {"allow_origins": ["null", "https://a.com"]},
        [Found("allow_origins", "null", "null-origin")],
    ),
    "null with credentials": (
        CREDENTIALS | {"allow_origins": ["null"]},
        [Found("allow_origins", "null", "null-origin"), Found("allow_origins", "null", "null-origin-with-credentials")],
    ),
    "null with credentials, whatever the flags": (
        CREDENTIALS | INSECURE | PUBLIC_SUFFIX | NULL | {"allow_origins": ["null"]},
        [Found("allow_origins", "null", "null-origin-with-credentials")],
    ),
    "a flag that is no bool permits nothing": (
        CREDENTIALS | {"allow_origins": ["http://a.com"], "dangerously_allow_insecure_origins": 1},
        [
            Found("dangerously_allow_insecure_origins", 1, "not-a-bool"),
            Found("allow_origins", "http://a.com", "insecure-origin-with-credentials"),
        ],
    ),
    "everything at once": (
        {
            "allow_origins": ["http://a.com", "B.com", "null"],
            "allow_methods": ["put", "TRACE"],
            "allow_headers": "Authorization",
            "expose_headers": "*",
            "allow_credentials": True,
            "max_age": "soon",
            "preflight_status": 404,
            "dangerously_allow_null_origin": "yes",
        },
        [
            Found("allow_origins", "B.com", "origin-scheme"),
            Found("allow_methods", "put", "method-case"),
            Found("allow_methods", "TRACE", "method-forbidden"),
            Found("allow_headers", "Authorization", "bare-string"),
            Found("max_age", "soon", "max-age-type"),
            Found("preflight_status", 404, "preflight-status"),
            Found("dangerously_allow_null_origin", "yes", "not-a-bool"),
            Found("allow_origins", "null", "null-origin"),
            Found("allow_origins", "null", "null-origin-with-credentials"),
            Found("expose_headers", "*", "wildcard-with-credentials"),
            Found("allow_origins", "http://a.com", "insecure-origin-with-credentials"),
        ],
    ),
}


@pytest.mark.parametrize(("changes", "found"), TOGETHER.values(), ids=TOGETHER)
def test_what_fields_must_not_say_together(changes: dict[str, Any], found: list[Found]) -> None:
    assert problems(lambda: build(changes)) == found
    assert problems(lambda: Policy().override(**changes)) == found


@pytest.mark.parametrize(
    "changes",
    [
        {"allow_origins": "*", "expose_headers": "*", "allow_headers": "*", "allow_methods": "*"},
        {"allow_origins": ["http://a.com", "https://*.github.io"]},
        NULL | {"allow_origins": ["null"]},
        CREDENTIALS | {"allow_origins": ["https://a.com"], "allow_headers": "*", "allow_methods": "*"},
        CREDENTIALS | {"allow_origins": ["http://localhost:*", "http://127.0.0.1", "http://[::1]:5000"]},
        CREDENTIALS | {"allow_origins": ["https://*.example.co.uk"]},
        CREDENTIALS | INSECURE | {"allow_origins": ["http://a.com"]},
        CREDENTIALS | PUBLIC_SUFFIX | {"allow_origins": ["https://*.github.io"]},
        {"allow_origins": ["app://*", "moz-extension://*"], "allow_timing": True},
        CREDENTIALS | {"allow_origins": ["app://", "app://.", "moz-extension://6c2a"], "allow_timing": True},
        CREDENTIALS | {"allow_origins": lambda asked, environ: True},
        CREDENTIALS | INSECURE | PUBLIC_SUFFIX | NULL,
    ],
    ids=row_id,
)
def test_what_fields_may_say_together(changes: dict[str, Any]) -> None:
    assert {**values(build(changes)), "allow_origins": None} == DEFAULTS | {
        field: tuple(value) if isinstance(value, list) else value for field, value in changes.items()
    } | {"allow_origins": None}


def test_fields_are_keywords() -> None:
    with pytest.raises(TypeError) as caught:
        Policy(["https://a.com"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert str(caught.value) == "Policy takes keywords only: write Policy(allow_origins=['https://a.com'])"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("allow_origin", "allow_origins"),
        ("allowed_origins", "allow_origins"),
        ("ALLOW_ORIGINS", "allow_origins"),
        ("allow_header", "allow_headers"),
        ("allow_credential", "allow_credentials"),
        ("expose_header", "expose_headers"),
        ("maxage", "max_age"),
        ("timing", "allow_timing"),
        ("status", "preflight_status"),
        # the names of flask-cors
        ("origins", "allow_origins"),
        ("methods", "allow_methods"),
        ("supports_credentials", "allow_credentials"),
    ],
)
def test_an_unknown_field_is_a_type_error_that_names_the_nearest(name: str, meant: str) -> None:
    for passes in (build, lambda changes: Policy().override(**changes), freeze_changes):
        with pytest.raises(TypeError) as caught:
            passes({name: ["https://a.com"]})
        assert str(caught.value) == f"a policy has no field {name!r}; did you mean {meant!r}?"


def test_an_unknown_field_that_is_near_to_none_lists_them_all() -> None:
    with pytest.raises(TypeError) as caught:
        build({"xyz": 1})
    assert str(caught.value) == f"a policy has no field 'xyz'; its fields are {', '.join(DEFAULTS)}."


def test_changes_are_typed_as_the_fields_are() -> None:
    hints = typing.get_type_hints(Policy)
    assert typing.get_type_hints(PolicyChanges) == {name: hints[name] for name in DEFAULTS}
    parameters = inspect.signature(Policy).parameters.values()
    assert {parameter.name: parameter.default for parameter in parameters} == DEFAULTS
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}


# ---------------------------------------------------------------------------------------
# A policy as an object
# ---------------------------------------------------------------------------------------


def test_a_policy_never_changes() -> None:
    policy = Policy()
    for name in (*DEFAULTS, "anything"):
        with pytest.raises(FrozenInstanceError):
            setattr(policy, name, "*")
        with pytest.raises(FrozenInstanceError):
            delattr(policy, name)
    assert policy == Policy()


def test_what_was_passed_may_change_later() -> None:
    listed = ["https://a.com"]
    policy = Policy(allow_origins=listed, allow_methods=listed[:0], allow_headers=(names := ["X-A"]))
    listed[:] = names[:] = ["*"]
    assert policy == Policy(allow_origins=["https://a.com"], allow_methods=[], allow_headers=["X-A"])


def test_equal_policies() -> None:
    one = Policy(
        allow_origins=["https://b.com", "https://a.com"], allow_headers=["x-a", "X-B"], max_age=timedelta(hours=1)
    )
    other = Policy(allow_origins=("https://a.com", "https://b.com"), allow_headers={"X-B", "x-a"}, max_age=3600)
    assert one == other
    assert len({one, other, Policy()}) == 2
    assert one != Policy()
    assert one != object()


def test_callables_count_by_identity() -> None:
    class Allowed(Called):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            raise AssertionError

    allowed, other = Allowed(), Allowed()
    one = Policy(allow_origins=allowed)
    assert one == Policy(allow_origins=allowed)
    assert hash(one) == hash(Policy(allow_origins=allowed))
    assert one != Policy(allow_origins=other)
    assert one != Policy()
    assert len({one, Policy(allow_origins=other), Policy(allow_origins=allowed)}) == 2


def test_a_callable_needs_no_hash() -> None:
    class Allowed(list[str]):
        def __call__(self, asked: str, environ: dict[str, Any]) -> bool:
            return asked in self

    one, other = Policy(allow_origins=Allowed(["https://a.com"])), Policy(allow_origins=Allowed(["https://a.com"]))
    assert one != other
    assert len({one, other, one.override(max_age=600)}) == 2


def test_a_callable_that_claims_to_equal_star_is_a_callable() -> None:
    class Allowed:
        def __eq__(self, other: object) -> bool:
            return True

        def __call__(self, asked: str, environ: dict[str, Any]) -> bool:
            return False

    policy = Policy(allow_origins=Allowed(), allow_credentials=True)
    assert not policy.allows_any_origin
    assert not policy.allows_origin("https://a.com")


class Claiming(str):
    """A string that claims to equal everything, as some lazy translations and proxies do."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class Denying(str):
    """A string that equals nothing."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


@pytest.mark.parametrize("kind", [Claiming, Denying])
@pytest.mark.parametrize("field", ["allow_origins", "allow_methods", "allow_headers", "expose_headers"])
def test_a_string_counts_by_its_characters_whatever_it_claims_to_equal(field: str, kind: type[str]) -> None:
    """Otherwise `Claiming` would be the star that allows everything."""
    text = {"allow_origins": "https://a.com", "allow_methods": "PUT"}.get(field, "X-A")
    bare, star = kind(text), kind("*")
    [found] = problems(lambda: build({field: bare}))
    assert found.id == "bare-string"
    assert build({field: [bare]}) == build({field: [text]})
    assert build({field: [bare]}) != build({field: "*"})
    for value in (star, [star]):
        assert build({field: value}) == build({field: "*"})
        assert type(getattr(build({field: value}), field)) is str


EXAMPLE = Policy(allow_origins=["https://a.com", "https://*.b.com"], allow_methods=["GET"], max_age=None)


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, replace, lambda policy: pickle.loads(pickle.dumps(policy)), Policy.override]
)
def test_a_copy_is_equal(twin: Callable[[Policy], Policy]) -> None:
    computed = hash(EXAMPLE), EXAMPLE.methods
    again = twin(EXAMPLE)
    assert again == EXAMPLE
    assert (hash(again), again.methods) == computed
    assert [again.allows_origin(asked) for asked in ("https://a.com", "https://x.b.com", "https://b.com")] == [
        True,
        True,
        False,
    ]


def test_a_policy_may_be_replaced_as_a_dataclass_is() -> None:
    expected = EXAMPLE.override(max_age=5)
    assert replace(EXAMPLE, max_age=5) == expected
    assert EXAMPLE.__replace__(max_age=5) == expected
    if sys.version_info >= (3, 13):
        assert copy.replace(EXAMPLE, max_age=5) == expected


def test_a_policy_from_another_process_has_the_hash_of_this_one() -> None:
    code = """
import pickle, sys
from flask_preflight import Policy
policy = Policy(allow_origins=["https://a.com"])
hash(policy)
sys.stdout.buffer.write(pickle.dumps(policy))
"""
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert {pickle.loads(result.stdout)} == {Policy(allow_origins=["https://a.com"])}


def test_computed_properties_have_their_docstrings() -> None:
    assert isinstance(Policy.methods, lazy)
    assert Policy.methods.__doc__ == "The methods allowed by name, sorted; ``GET`` brings ``HEAD``."


# methods, and those of the narrowed policy: exactly these, in order
NARROWED = [
    (["PUT"], ("PUT",)),
    (["PUT", "DELETE", "PUT"], ("DELETE", "PUT")),
    (["GET"], ("GET",)),
    (["GET", "HEAD", "OPTIONS"], ("GET", "HEAD", "OPTIONS")),
    (["TRACE", "connect", "PUT"], ("PUT",)),
    (["PUT", "P\xdcT", "\u041f\u0423\u0422", "P UT", "PUT\r\nX: y", ""], ("PUT",)),  # no methods
    ([], ()),
]


@pytest.mark.parametrize("policy", [EXAMPLE, Policy(allow_origins="*"), Policy(allow_origins=Called())], ids=row_id)
@pytest.mark.parametrize(("methods", "narrowed"), NARROWED, ids=row_id)
def test_a_policy_for_exactly_the_methods_of_a_route(
    policy: Policy, methods: list[str], narrowed: tuple[str, ...]
) -> None:
    found = policy.narrow(methods)
    assert found.methods == narrowed
    assert values(found) == values(policy) | {"allow_methods": narrowed}
    assert found.allow_origins is policy.allow_origins
    assert policy.narrow(reversed(methods)) is found


def test_narrowed_policies_are_bounded_and_freed_with_their_policy() -> None:
    policy = Policy(allow_origins=["https://a.com"])
    narrowed = [weakref.ref(policy.narrow([f"METHOD-{number}"])) for number in range(200)]
    assert sum(found() is not None for found in narrowed) <= 64
    freed = weakref.ref(policy)
    gc.collect()
    gc.disable()
    try:
        del policy
        assert freed() is None
        assert all(found() is None for found in narrowed)
    finally:
        gc.enable()


@given(policies())
def test_every_policy_survives_being_taken_apart(policy: Policy) -> None:
    assert build(values(policy)) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert policy.override() is policy


# ---------------------------------------------------------------------------------------
# Override
# ---------------------------------------------------------------------------------------


def everybody(asked: str, environ: dict[str, Any]) -> bool:
    return True


# field, inherited, the levels, the result
SPLICED: list[tuple[str, object, list[object], object]] = [
    ("allow_headers", ["X-A"], [[..., "X-B"]], ("X-A", "X-B")),
    ("allow_headers", ["X-A"], [["X-B", ...]], ("X-A", "X-B")),
    ("allow_headers", ["X-A"], [["X-B"]], ("X-B",)),
    ("allow_headers", ["X-A"], [[...]], ("X-A",)),
    ("allow_headers", ["X-A"], [[..., ...]], ("X-A",)),
    ("allow_headers", ["X-A"], [[]], ()),
    ("allow_headers", ["X-A"], [(..., "x-a")], ("X-A",)),
    ("allow_headers", [], [[..., "X-B"]], ("X-B",)),
    ("allow_headers", "*", [[...]], "*"),
    ("allow_headers", "*", [[..., "Authorization"]], ("*", "Authorization")),
    ("allow_headers", ["*", "Authorization"], [[..., "X-B"]], ("*", "Authorization", "X-B")),
    ("allow_headers", ["X-A"], ["*"], "*"),
    ("allow_headers", ["X-A"], [[..., "X-B"], [..., "X-C"]], ("X-A", "X-B", "X-C")),
    ("allow_headers", ["X-A"], [["X-B"], [..., "X-C"]], ("X-B", "X-C")),
    ("allow_headers", ["X-A"], [[..., "X-B"], ["X-C"]], ("X-C",)),
    ("allow_headers", ["X-A"], ["*", [..., "Authorization"]], ("*", "Authorization")),
    ("allow_headers", ["X-A"], [iter([..., "X-B"]), [...], [...]], ("X-A", "X-B")),
    ("expose_headers", ["ETag"], [{...}], ("ETag",)),
    ("expose_headers", "*", [[..., "*"]], "*"),
    ("allow_methods", ["PUT"], [[..., "GET"]], ("GET", "PUT")),
    ("allow_methods", "*", [[...]], "*"),
    ("allow_methods", ["PUT"], [None], None),
    ("allow_methods", None, [["PUT"], [..., "GET"]], ("GET", "PUT")),
    ("allow_origins", ["https://a.com"], [[..., "https://b.com"]], ("https://a.com", "https://b.com")),
    ("allow_origins", ["https://a.com"], [[..., Frontend.APP]], ("https://a.com", "https://app.example.com")),
    ("allow_origins", "*", [[...]], "*"),
    ("allow_origins", "*", [[..., "*"]], "*"),
    ("allow_origins", ["https://a.com"], [["*"], [...]], "*"),
    ("allow_origins", ["https://a.com"], [everybody], everybody),
    ("allow_origins", everybody, [["https://a.com"], [..., "https://b.com"]], ("https://a.com", "https://b.com")),
    ("max_age", 600, [timedelta(minutes=1)], 60),
    ("max_age", 600, [None], None),
    # only the result is checked
    ("allow_headers", ["X-A"], [["Cookie"], ["X-B"]], ("X-B",)),
    ("allow_headers", ["X-A"], ["X-B", ["X-C"]], ("X-C",)),
    ("allow_origins", ["https://a.com"], ["a.com", ["https://b.com"]], ("https://b.com",)),
    ("max_age", 600, ["soon", 5], 5),
]


@pytest.mark.parametrize(("field", "inherited", "levels", "result"), SPLICED, ids=row_id)
def test_levels(field: str, inherited: object, levels: list[object], result: object) -> None:
    policy = build({field: inherited})
    assert values(merge(policy, *({field: level} for level in levels))) == DEFAULTS | {field: result}


# field, inherited, the levels, the problems
NOT_SPLICED: list[tuple[str, object, list[object], list[tuple[object, str]]]] = [
    ("allow_origins", everybody, [[..., "https://a.com"]], [(..., "nothing-to-inherit")]),
    ("allow_origins", MagicMock(), [[...]], [(..., "nothing-to-inherit")]),
    ("allow_origins", "*", [[..., "https://a.com"]], [("*", "wildcard-beside-others")]),
    ("allow_origins", [], ["https://a.com", [...]], [(..., "nothing-to-inherit")]),
    ("allow_methods", None, [[..., "PUT"]], [(..., "nothing-to-inherit")]),
    ("allow_methods", ["PUT"], [None, [...]], [(..., "nothing-to-inherit")]),
    ("allow_methods", "*", [[..., "PUT"]], [("*", "wildcard-beside-others")]),
    ("allow_headers", [], [b"X-A", [...]], [(..., "nothing-to-inherit")]),
    ("allow_headers", [], [[..., [...]]], [([...], "not-a-string")]),
    ("allow_headers", [], [...], [(..., "not-a-list")]),
    ("allow_headers", [], [["Cookie"], [..., "X-A"]], [("Cookie", "header-forbidden")]),
    ("expose_headers", "*", [[..., "ETag"]], [("*", "wildcard-beside-others")]),
    ("max_age", 600, [[...]], [([...], "max-age-type")]),
    ("allow_credentials", True, [[...]], [([...], "not-a-bool")]),
]


@pytest.mark.parametrize(("field", "inherited", "levels", "found"), NOT_SPLICED, ids=row_id)
def test_levels_that_do_not_fit(
    field: str, inherited: object, levels: list[object], found: list[tuple[object, str]]
) -> None:
    policy = build({field: inherited})
    merged = [Found(field, *pair) for pair in found]
    assert problems(lambda: merge(policy, *({field: level} for level in levels))) == merged


def test_only_the_result_is_checked_across_fields() -> None:
    policy = Policy(allow_origins="*")
    levels: list[dict[str, Any]] = [{"allow_credentials": True}, {"allow_origins": ["https://a.com"]}]
    assert merge(policy, *levels) == Policy(allow_origins=["https://a.com"], allow_credentials=True)
    assert problems(lambda: merge(policy, levels[0])) == [Found("allow_origins", "*", "wildcard-with-credentials")]


def test_nothing_overridden_is_the_same_policy() -> None:
    assert EXAMPLE.override() is EXAMPLE
    assert merge(EXAMPLE) is EXAMPLE
    assert merge(EXAMPLE, {}, {}) is EXAMPLE


def test_an_unknown_field_on_any_level_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="max_agee"):
        merge(Policy(), {"max_age": 5}, {"max_agee": 5})


@given(policies(), policies())
def test_overriding_every_field_gives_the_other_policy(one: Policy, other: Policy) -> None:
    assert one.override(**values(other)) == other  # type: ignore[arg-type]


@given(st.lists(origins() | patterns()), st.lists(origins() | patterns()))
def test_ellipsis_adds(inherited: list[str], added: list[str]) -> None:
    assert Policy(allow_origins=inherited).override(allow_origins=[..., *added]) == Policy(
        allow_origins=inherited + added
    )


def test_origins_are_read_once_and_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(allow_origins=["https://a.com", "https://*.b.com", "http://localhost:*"])
    for reader in ("is_allowed_origin", "diagnose"):
        monkeypatch.setattr(checks, reader, Mock(side_effect=AssertionError))
    changed = policy.override(allow_methods=["PUT"], allow_headers=[..., "X-A"], max_age=5, preflight_status=200)
    assert changed.allow_origins is policy.allow_origins
    assert replace(policy, expose_headers=["ETag"]).allow_origins is policy.allow_origins


def test_origins_are_checked_again_if_the_credentials_or_a_flag_change() -> None:
    policy = Policy(allow_origins=["http://a.com", "https://*.github.io"])
    flags = {**INSECURE, **PUBLIC_SUFFIX}
    allowed = policy.override(allow_credentials=True, **flags)  # type: ignore[arg-type]
    assert allowed.allow_origins is policy.allow_origins
    assert problems(lambda: policy.override(allow_credentials=True)) == [
        Found("allow_origins", "http://a.com", "insecure-origin-with-credentials"),
        Found("allow_origins", "https://*.github.io", "public-suffix-with-credentials"),
    ]
    assert problems(lambda: allowed.override(dangerously_allow_insecure_origins=False)) == [
        Found("allow_origins", "http://a.com", "insecure-origin-with-credentials")
    ]
    assert problems(lambda: allowed.override(dangerously_allow_public_suffix_subdomains=False)) == [
        Found("allow_origins", "https://*.github.io", "public-suffix-with-credentials")
    ]
    null = Policy(allow_origins=["null"], dangerously_allow_null_origin=True)
    assert problems(lambda: null.override(dangerously_allow_null_origin=False)) == [
        Found("allow_origins", "null", "null-origin")
    ]


@pytest.mark.slow
def test_a_hundred_thousand_origins_fit_and_are_shared() -> None:
    listed = [f"https://tenant{number}.example.com" for number in range(100_000)]
    gc.collect()
    tracemalloc.start()
    try:
        policy = Policy(allow_origins=listed)
        views = [policy.override(max_age=age) for age in range(100)]
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {id(view.allow_origins) for view in views} == {id(policy.allow_origins)}
    assert policy.allows_origin("https://tenant99999.example.com")
    assert not policy.allows_origin("https://tenant100000.example.com")
    assert kept <= 10_000_000  # bytes


# ---------------------------------------------------------------------------------------
# Questions
# ---------------------------------------------------------------------------------------


@given(policies(), origins())
def test_allows_origin_agrees_with_the_oracle(policy: Policy, asked: str) -> None:
    listed = policy.allow_origins
    if isinstance(listed, Origins):
        for each in (asked, "null", *(value for value in listed if "*" not in value)):
            assert policy.allows_origin(each) == oracle.allowed(listed, each)
    else:
        assert policy.allows_origin(asked)


def test_allows_origin_never_raises() -> None:
    strange: list[Any] = [
        "",
        "null",
        "\0",
        "\ud800",
        "https://a.com\n",
        "a" * 10**6,
        "*",
        None,
        7,
        b"https://a.com",
        [],
    ]
    for asked in strange:
        assert not EXAMPLE.allows_origin(asked)
        assert not Policy(allow_origins=everybody).allows_origin(asked)


class Method:
    def sync(self, asked: str, environ: dict[str, Any]) -> bool:
        return asked == "https://a.com"

    async def later(self, asked: str, environ: dict[str, Any]) -> bool:
        return True


class CalledLater:
    async def __call__(self, asked: str, environ: dict[str, Any]) -> bool:
        return True


async def later(asked: str, environ: dict[str, Any]) -> bool:
    return True


async def many_later(asked: str, environ: dict[str, Any]) -> Any:
    yield True


class TwoFaced:
    """As callable as iterable."""

    def __call__(self, asked: str, environ: dict[str, Any]) -> bool:
        return asked == "https://a.com"

    def __iter__(self) -> Iterator[str]:
        yield "https://b.com"


def with_extra(extra: object, asked: str, environ: dict[str, Any]) -> bool:
    return asked == "https://a.com"


async def later_with_extra(extra: object, asked: str, environ: dict[str, Any]) -> bool:
    return True


@pytest.mark.parametrize(
    "allowed",
    [
        lambda asked, environ: asked == "https://a.com",
        Method().sync,
        Called(),
        functools.partial(with_extra, 1),
        Called().__call__,
        TwoFaced(),
        Mock(side_effect=lambda asked, environ: asked == "https://a.com"),
        MagicMock(side_effect=lambda asked, environ: asked == "https://a.com"),
    ],
    ids=row_id,
)
def test_callables(allowed: Callable[[str, dict[str, Any]], bool]) -> None:
    for policy in (Policy(allow_origins=allowed), Policy().override(allow_origins=allowed)):
        assert policy.allow_origins is allowed
        assert policy.allows_origin("https://a.com")
        assert not policy.allows_origin("https://b.com")


@pytest.mark.parametrize(
    "allowed",
    [
        later,
        many_later,
        Method().later,
        CalledLater(),
        CalledLater().__call__,
        functools.partial(later),
        functools.partial(functools.partial(later_with_extra, 1)),
        functools.partial(CalledLater()),
    ],
    ids=row_id,
)
def test_what_is_asynchronous_is_refused(allowed: Any) -> None:
    assert problems(lambda: Policy(allow_origins=allowed)) == [Found("allow_origins", allowed, "async-callable")]
    assert problems(lambda: Policy().override(allow_origins=allowed)) == [
        Found("allow_origins", allowed, "async-callable")
    ]


@pytest.mark.parametrize(
    "verdict", [None, 1, "yes", "https://a.com", [True], object(), float("nan"), Number.OK, NotImplemented], ids=row_id
)
def test_only_true_grants(verdict: object) -> None:
    policy = Policy(allow_origins=lambda asked, environ: verdict)  # type: ignore[arg-type, return-value]
    assert not policy.allows_origin("https://a.com")
    with pytest.raises(TypeError, match=f"^allow_origins returned {type(verdict).__name__}, not bool$"):
        policy.ask_about_origin("https://a.com", None)


def test_a_coroutine_is_closed_and_refused() -> None:
    policy = Policy(allow_origins=lambda asked, environ: later(asked, environ))  # type: ignore[arg-type, return-value]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not policy.allows_origin("https://a.com")
        gc.collect()  # here Python would complain that nobody awaited it


def test_a_callable_that_raises_refuses() -> None:
    policy = Policy(allow_origins=Mock(side_effect=KeyError("tenant")))
    assert not policy.allows_origin("https://a.com")
    with pytest.raises(KeyError, match="tenant"):
        policy.ask_about_origin("https://a.com", None)


class CalledWithOne:
    def __call__(self, asked: str) -> bool:
        return True

    def method(self) -> bool:
        return True


def without_positions(*, asked: str, environ: dict[str, Any]) -> bool:
    return True


@pytest.mark.parametrize(
    "allowed",
    [
        lambda: True,
        lambda asked: True,
        lambda asked, environ, more: True,
        without_positions,
        CalledWithOne(),
        CalledWithOne().method,
        functools.partial(with_extra, 1, "https://a.com"),
        functools.partial(with_extra),
    ],
    ids=row_id,
)
def test_a_callable_must_take_two_positional_arguments(allowed: Any) -> None:
    found = [Found("allow_origins", allowed, "callable-signature")]
    assert problems(lambda: Policy(allow_origins=allowed)) == found
    assert problems(lambda: Policy().override(allow_origins=allowed)) == found
    assert problems(lambda: check_changes({"allow_origins": allowed})) == found


def test_a_callable_that_does_not_tell_its_signature_is_taken() -> None:
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(max)
    allowed: Any = max
    assert Policy(allow_origins=allowed).allow_origins is allowed


def test_each_value_of_changes_is_checked_by_itself() -> None:
    found = problems(lambda: check_changes({"allow_origins": [..., "a.com"], "max_age": "soon"}))
    assert found == [Found("allow_origins", "a.com", "origin-scheme"), Found("max_age", "soon", "max-age-type")]
    # only a merged policy can tell if these are right
    check_changes({"allow_origins": [..., "null"], "allow_credentials": True, "expose_headers": "*"})


def test_frozen_changes_can_be_merged_again_and_again() -> None:
    frozen = freeze_changes({"allow_headers": iter([..., "X-B"]), "allow_origins": Called(), "max_age": None})
    for _ in range(2):
        policy = merge(Policy(allow_headers=["X-A"]), frozen)
        assert (policy.allow_headers, policy.max_age) == (("X-A", "X-B"), None)


def test_a_callable_is_asked_about_well_formed_origins_only() -> None:
    allowed = Mock(return_value=True)
    policy = Policy(allow_origins=allowed, dangerously_allow_null_origin=True)
    for asked in ["null", "", "*", "https://A.com", "https://a.com/", "https://a.com:443", "https://*.a.com", "a.com"]:
        assert not policy.allows_origin(asked, {})
    allowed.assert_not_called()


def test_a_callable_gets_the_environ() -> None:
    allowed = Mock(return_value=True)
    policy = Policy(allow_origins=allowed)
    environ = {"HTTP_HOST": "backend.com"}
    assert policy.allows_origin("https://a.com", environ)
    assert policy.allows_origin("https://a.com")
    assert [call.args for call in allowed.call_args_list] == [("https://a.com", environ), ("https://a.com", {})]
    assert allowed.call_args_list[0].args[1] is environ


# allow_methods: (by name, some that are allowed, some that are not)
METHODS: dict[object, tuple[tuple[str, ...], list[str], list[str]]] = {
    None: (("GET", "HEAD", "POST"), ["GET", "HEAD", "POST"], ["PUT", "get", "*", ""]),
    (): ((), [], ["GET", "HEAD", "POST", "PUT", ""]),
    ("PUT",): (("PUT",), ["PUT"], ["GET", "POST", "put", "PU", "PUTT", "*", ""]),
    ("GET",): (("GET", "HEAD"), ["GET", "HEAD"], ["POST", "get"]),
    ("HEAD",): (("HEAD",), ["HEAD"], ["GET"]),
    "*": ((), ["GET", "PUT", "patch", "CHICKEN", "M" * 64], ["TRACE", "connect", "*", "", "G ET", "M" * 65]),
}


@pytest.mark.parametrize(("passed", "row"), METHODS.items(), ids=map(str, METHODS))
def test_methods(passed: Any, row: tuple[tuple[str, ...], list[str], list[str]]) -> None:
    policy = Policy(allow_methods=passed)
    by_name, allowed, refused = row
    assert policy.methods == by_name
    assert {method: allows_method(policy, method) for method in allowed + refused} == {
        **dict.fromkeys(allowed, True),
        **dict.fromkeys(refused, False),
    }


# allow_headers: (by name, whether any, some that are allowed, some that are not)
HEADERS: dict[object, tuple[tuple[str, ...], bool, list[str], list[str]]] = {
    (): ((), False, [], ["Content-Type", "X-A", "*"]),
    ("X-A",): (("X-A",), False, ["X-A", "x-a", "X-a"], ["X-B", "X", "X-AA", "*", "\u212a"]),
    ("K",): (("K",), False, ["K", "k"], ["\u212a"]),  # the Kelvin sign, which Python makes a "k" of
    "*": ((), True, ["X-A", "content-type"], ["Authorization", "authorization", "AUTHORIZATION"]),
    ("*", "Authorization"): (("*", "Authorization"), True, ["x-a", "authorization", "Authorization"], []),
}


@pytest.mark.parametrize(("passed", "row"), HEADERS.items(), ids=map(str, HEADERS))
def test_headers(passed: Any, row: tuple[tuple[str, ...], bool, list[str], list[str]]) -> None:
    policy = Policy(allow_headers=passed)
    by_name, any_header, allowed, refused = row
    assert (policy.headers, policy.allows_any_header) == (by_name, any_header)
    assert {name: policy.allows_header(name) for name in allowed + refused} == {
        **dict.fromkeys(allowed, True),
        **dict.fromkeys(refused, False),
    }


@pytest.mark.parametrize(("passed", "by_name"), [("*", ()), ((), ()), (("Link", "ETag"), ("ETag", "Link"))])
def test_exposed(passed: Any, by_name: tuple[str, ...]) -> None:
    assert Policy(expose_headers=passed).exposed == by_name
