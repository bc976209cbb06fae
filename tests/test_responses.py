"""Responses are what `negotiate` decides; headers of the app and ours; and what is kept between requests."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref
from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from test_engine import LONGEST_ORIGIN, ORIGIN, OTHER, TABLE, actual, fresh, meetings, preflight
from werkzeug.test import create_environ

from flask_preflight import (
    Decision,
    Outcome,
    Policy,
    Preflight,
    PreflightMiddleware,
    Reason,
    RequestFacts,
    by_path,
    negotiate,
)
from flask_preflight.fetch import is_token
from flask_preflight.responses import decorate

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Headers = list[tuple[str, str]]
Answer = tuple[str, Headers, bytes]

# What apps send: nothing that matters to CORS, a Vary in all its forms, and headers that are ours
APPS: dict[str, Headers] = {
    "plain": [("Content-Type", "text/plain"), ("X-Own", "1")],
    "nothing": [],
    "Vary": [("Vary", "Accept-Encoding"), ("Content-Type", "text/plain")],
    "Vary, last": [("Content-Type", "text/plain"), ("Vary", "Accept,Cookie")],
    "Vary: Origin": [("Vary", "Accept, origin")],
    "Vary: *": [("Content-Type", "text/plain"), ("Vary", "*")],
    "an empty Vary": [("Vary", "")],
    "vary": [("vary", "Accept")],
    "two of them": [("Vary", "Accept"), ("Content-Type", "text/plain"), ("Vary", "Cookie")],
    "two of them, one with Origin": [("Vary", "Accept"), ("vary", "Origin")],
    "ours": [("Vary", "Accept"), ("access-control-expose-headers", "X-Own"), ("Access-Control-Allow-Origin", "*")],
    "ours before Vary": [("Access-Control-Allow-Origin", "*"), ("Vary", "Accept")],
    "like ours": [("Age", "1"), ("Via", "1.1 proxy"), ("allow", "GET"), ("x-vary", "1"), ("access-control", "1")],
    "timing": [("timing-allow-origin", "*"), ("Timing-Allow", "1")],
}


def environ_of(facts: RequestFacts) -> WSGIEnvironment:
    environ: WSGIEnvironment = create_environ("/", method=facts.method)
    names = ("HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_METHOD", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
    environ.update({name: value for name, value in zip(names, facts[1:4], strict=True) if value is not None})
    return environ


def run(app: WSGIApplication, facts: RequestFacts) -> Answer:
    started: list[Any] = []

    def start_response(*args: Any) -> Callable[[bytes], object]:
        started.extend(args)
        return print

    body = b"".join(app(environ_of(facts), start_response))
    return started[0], started[1], body


def sending(headers: Headers) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*headers])
        return [b"the app"]

    return app


def respond(policy: Policy, facts: RequestFacts, headers: Headers = APPS["Vary"]) -> Answer:
    return run(PreflightMiddleware(sending(headers), policy), facts)


def spell_out(decision: Decision, headers: Headers) -> Answer:
    """What a slow and simple middleware would send for *decision*."""
    if decision.outcome is Outcome.PREFLIGHT_REFUSED:
        body = b"This CORS preflight is refused.\n"
        described = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        return "403 Forbidden", [*decision.headers, *described], body
    if decision.outcome is Outcome.PREFLIGHT_GRANTED:
        assert decision.status is not None
        phrases = {status.value: status.phrase for status in HTTPStatus}
        described = [("Content-Length", "0")]
        if decision.status != 204:
            described.insert(0, ("Content-Type", "text/plain; charset=utf-8"))
        status = f"{decision.status} {phrases.get(decision.status, 'Success')}"
        return status, [*decision.headers, *described], b""
    return "200 OK", spell_out_headers(headers, dict(decision.headers)), b"the app"


def names_in(headers: Headers, name: str) -> list[str]:
    """All names in the header lines called *name*, each in its first spelling."""
    listed = [item.strip(" \t") for key, value in headers if key.lower() == name for item in value.split(",")]
    first: dict[str, str] = {}
    for item in filter(None, listed):
        first.setdefault(item.lower(), item)
    return list(first.values())


def spell_out_headers(by_app: Headers, added: dict[str, str]) -> Headers:
    """The app's headers with those of a decision, as simply as possible."""
    ours = {name.lower() for name in added}
    kept = [
        header
        for header in by_app
        if not header[0].lower().startswith("access-control-") and header[0].lower() not in ours
    ]
    if "Vary" in added:
        names = names_in([*by_app, ("Vary", added["Vary"])], "vary")
        added["Vary"] = "*" if "*" in names else ", ".join(names)
    exposed = "Access-Control-Expose-Headers"
    names = list(filter(is_token, names_in([(exposed, added.get(exposed, "")), *by_app], exposed.lower())))
    if "Access-Control-Allow-Credentials" in added:
        names = [name for name in names if name != "*"]
    if names and "Access-Control-Allow-Origin" in added:
        added[exposed] = ", ".join(names)
    return [*kept, *added.items()]


def in_any_order(answer: Answer) -> tuple[str, Headers, bytes]:
    status, headers, body = answer
    return status, sorted(headers), body


# ---------------------------------------------------------------------------------------
# Every response is what `negotiate` decides
# ---------------------------------------------------------------------------------------


@given(st.lists(meetings(), max_size=30), st.randoms(use_true_random=False))
@pytest.mark.slow
def test_responses_are_what_negotiate_decides(meetings: list[tuple[Policy, RequestFacts]], random: Any) -> None:
    policies = [policy for policy, _ in meetings]
    for _, facts in [*meetings, *random.sample(meetings, len(meetings))]:
        for policy in policies[:3]:
            headers = random.choice([*APPS.values()])
            expected = in_any_order(spell_out(negotiate(fresh(policy), facts), headers))
            assert in_any_order(respond(policy, facts, headers)) == expected
            by_paths = PreflightMiddleware(sending(headers), by_path({"/": policy, "/x": None}))
            assert in_any_order(run(by_paths, facts)) == expected


@pytest.mark.parametrize(
    ("policy", "facts", "decision"),
    [
        pytest.param(policy, facts, decision, id=f"{name}: {request}")
        for name, (policy, requests) in TABLE.items()
        for request, (facts, decision) in requests.items()
    ],
)
def test_responses_are_what_the_engine_s_table_says(policy: Policy, facts: RequestFacts, decision: Decision) -> None:
    headers = APPS["plain"]
    assert in_any_order(respond(policy, facts, headers)) == in_any_order(spell_out(decision, headers))


@pytest.mark.parametrize("headers", APPS.values(), ids=list(APPS))
@pytest.mark.parametrize("facts", [actual(), actual(None), actual("https://b.com")], ids=["allowed", "none", "refused"])
@pytest.mark.parametrize(
    "policy",
    [
        Policy(allow_origins=[ORIGIN], expose_headers=["X-A"], allow_credentials=True),
        Policy(allow_origins=[ORIGIN]),
        Policy(allow_origins=[ORIGIN], allow_timing=True),
        Policy(allow_origins="*", expose_headers="*"),
        Policy(allow_origins="*", allow_timing=True),
        Policy(allow_origins=lambda origin, environ: origin == ORIGIN),
        Policy(allow_origins=["https://*.com"], allow_methods="*"),
    ],
    ids=["credentials", "list", "timing", "star", "star with timing", "callable", "pattern"],
)
def test_headers_of_the_app_and_ours(policy: Policy, facts: RequestFacts, headers: Headers) -> None:
    expected = in_any_order(spell_out(negotiate(policy, facts), headers))
    for _ in range(2):
        assert in_any_order(respond(policy, facts, headers)) == expected


@given(meetings())
def test_debug_answers_are_not_taken_for_others(meeting: tuple[Policy, RequestFacts]) -> None:
    policy, facts = meeting
    for debug in (True, False, True):
        middleware, anew = (PreflightMiddleware(sending([]), each, debug=debug) for each in (policy, fresh(policy)))
        assert run(middleware, facts) == run(anew, facts)


@pytest.mark.parametrize(
    "origins", [[LONGEST_ORIGIN], [f"{LONGEST_ORIGIN[:-1]}*"], "*"], ids=["list", "pattern", "star"]
)
def test_the_longest_origin_is_allowed(origins: Any) -> None:
    policy = Policy(allow_origins=origins)
    named = ("Access-Control-Allow-Origin", "*" if origins == "*" else LONGEST_ORIGIN)
    status, headers, _ = respond(policy, preflight("GET", origin=LONGEST_ORIGIN))
    assert status == "204 No Content"
    assert named in headers
    assert named in respond(policy, actual(LONGEST_ORIGIN))[1]


def test_a_callable_is_asked_each_time() -> None:
    asked: list[str] = []

    def allowed(origin: str, environ: dict[str, Any]) -> bool:
        asked.append(origin)
        return True

    policy = Policy(allow_origins=allowed)
    for _ in range(2):
        for facts in (actual(), preflight("GET")):
            respond(policy, facts, [])
    assert asked == [ORIGIN] * 4


def test_with_credentials_a_star_of_methods_answers_each_method_by_its_name() -> None:
    policy = Policy(allow_origins=[ORIGIN], allow_methods="*", allow_credentials=True)
    for method in ("PUT", "PATCH", "PUT"):
        assert ("Access-Control-Allow-Methods", method) in respond(policy, preflight(method))[1]
    assert negotiate(policy, preflight("*")).reason is Reason.METHOD_MALFORMED
    assert respond(policy, preflight("*"))[0] == "403 Forbidden"


# ---------------------------------------------------------------------------------------
# `decorate`: headers of the app and ours
# ---------------------------------------------------------------------------------------

VARY = ("Vary", "Origin")
ACAO = ("Access-Control-Allow-Origin", ORIGIN)
ACAC = ("Access-Control-Allow-Credentials", "true")
TAO = ("Timing-Allow-Origin", ORIGIN)
EXPOSE = "Access-Control-Expose-Headers"

# the app's headers, those of a decision, the result
DECORATED: dict[str, tuple[Headers, Headers, Headers]] = {
    "nothing at all": ([], [], []),
    "nothing of the app": ([], [ACAO, VARY], [ACAO, VARY]),
    "nothing of ours": ([("X-A", "1"), ("Vary", "A"), ("Vary", "B")], [], [("X-A", "1"), ("Vary", "A"), ("Vary", "B")]),
    "order": ([("X-A", "1"), ("X-B", "2"), ("X-A", "3")], [VARY], [("X-A", "1"), ("X-B", "2"), ("X-A", "3"), VARY]),
    "two Vary lines": (
        [("Vary", "Accept"), ("X-A", "1"), ("vary", "Cookie")],
        [VARY],
        [("X-A", "1"), ("Vary", "Accept, Cookie, Origin")],
    ),
    "Origin is not repeated": ([("Vary", "origin, Accept"), ("Vary", "ORIGIN")], [VARY], [("Vary", "origin, Accept")]),
    "part of a name": ([("Vary", "X-Origin")], [VARY], [("Vary", "X-Origin, Origin")]),
    "a star stays": ([("Vary", "*")], [VARY], [("Vary", "*")]),
    "a star in a list": ([("Vary", "Accept, *")], [VARY], [("Vary", "*")]),
    "a star on the second line": ([("Vary", "Accept"), ("VARY", "*")], [VARY], [("Vary", "*")]),
    "an empty Vary": ([("Vary", " , ")], [VARY], [VARY]),
    "tabs and spaces in Vary": ([("Vary", "A\t, B ,\tC")], [VARY], [("Vary", "A, B, C, Origin")]),
    "a no-break space is no space": ([("Vary", "\xa0A")], [VARY], [("Vary", "\xa0A, Origin")]),
    "no Vary of ours": (
        [("Vary", "A"), ("Vary", "B")],
        [("Access-Control-Allow-Origin", "*")],
        [("Vary", "A"), ("Vary", "B"), ("Access-Control-Allow-Origin", "*")],
    ),
    "the app's own CORS headers": (
        [("ACCESS-CONTROL-ALLOW-ORIGIN", "*"), ("access-control-max-age", "1"), ("Access-Control-Anything", "1")],
        [ACAO, VARY],
        [ACAO, VARY],
    ),
    "they go where nothing is allowed": ([("Access-Control-Allow-Origin", "*"), ACAC], [VARY], [VARY]),
    "ours with a value like a common name": (
        [("Access-Control-Allow-Headers", "Content-Type"), (EXPOSE, "Content-Length"), ("Vary", "Content-Encoding")],
        [ACAO, VARY],
        [ACAO, ("Vary", "Content-Encoding, Origin"), (EXPOSE, "Content-Length")],
    ),
    "nearly CORS headers": ([("Access-Control", "1")], [VARY], [("Access-Control", "1"), VARY]),
    "timing replaced": ([("timing-allow-origin", "*"), ("TIMING-ALLOW-ORIGIN", "*")], [ACAO, TAO], [ACAO, TAO]),
    "timing kept, where we send none": ([("timing-allow-origin", "*")], [VARY], [("timing-allow-origin", "*"), VARY]),
    "refusal replaced": ([("cors-refused", "x")], [VARY, ("CORS-Refused", "y")], [VARY, ("CORS-Refused", "y")]),
    "refusal of another layer kept": ([("cors-refused", "x")], [VARY], [("cors-refused", "x"), VARY]),
    "exposed by the app": ([(EXPOSE, "X-A")], [ACAO, VARY], [ACAO, VARY, (EXPOSE, "X-A")]),
    "exposed by both": (
        [(EXPOSE.lower(), "x-a,,X-B"), (EXPOSE, "x-b, etag, a b")],
        [ACAO, (EXPOSE, "ETag"), VARY],
        [ACAO, (EXPOSE, "ETag, x-a, X-B"), VARY],
    ),
    "not exposed where nothing is allowed": ([(EXPOSE, "X-A")], [VARY], [VARY]),
    "a star": ([(EXPOSE, "*")], [ACAO, VARY], [ACAO, VARY, (EXPOSE, "*")]),
    "no star with credentials": ([(EXPOSE, "*, X-A")], [ACAO, ACAC, VARY], [ACAO, ACAC, VARY, (EXPOSE, "X-A")]),
    "nothing left to expose": ([(EXPOSE, "*,a b")], [ACAO, ACAC, VARY], [ACAO, ACAC, VARY]),
    "names in Latin-1": ([("\xc4ccess", "1"), ("", "2")], [VARY], [("\xc4ccess", "1"), ("", "2"), VARY]),
}  # fmt: skip


@pytest.mark.parametrize(("by_app", "added", "sent"), DECORATED.values(), ids=DECORATED)
def test_decorate(by_app: Headers, added: Headers, sent: Headers) -> None:
    given, before = tuple(added), [*by_app]
    headers = decorate(by_app, given)
    assert headers == sent
    assert headers is not by_app
    assert by_app == before, "the app's own list is left alone"
    assert decorate(iter(by_app), given) == sent, "any iterable will do"
    assert decorate(tuple(by_app), given) == sent


NAMES = ["Vary", "vary", "Access-Control-Allow-Origin", EXPOSE, "access-control-max-age", "Timing-Allow-Origin", "X-A"]
VALUES = ["*", "Origin", "accept, origin", "X-A", "x-a,X-B", "", " ,", ORIGIN]
LISTS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=6)


@given(LISTS, meetings())
def test_decorate_agrees_with_a_simple_version(by_app: Headers, meeting: tuple[Policy, RequestFacts]) -> None:
    policy, facts = meeting
    added = negotiate(policy, facts._replace(method="GET")).headers
    assert sorted(decorate(by_app, added)) == sorted(spell_out_headers(by_app, dict(added)))
    names = [name.lower() for name, _ in decorate(by_app, added) if name in dict(added)]
    assert len(names) == len(set(names)), "one line of each header that is ours"


class Pair(tuple[str, str]):
    """A header as some frameworks keep it."""


def test_header_items_are_passed_on_as_they_are() -> None:
    item: tuple[str, str] = Pair(("X-A", "1"))
    for by_app in ([item], [item, ("Vary", "Accept")]):
        assert decorate(by_app, (VARY,))[0] is item


# ---------------------------------------------------------------------------------------
# What is kept between requests
# ---------------------------------------------------------------------------------------


def kept_with(policy: Policy) -> list[object]:
    """All objects that are reachable from *policy*, without code."""
    found: dict[int, object] = {}
    todo: list[object] = [policy]
    while todo:
        each = todo.pop()
        if id(each) not in found and not isinstance(each, FunctionType | ModuleType | type):
            found[id(each)] = each
            todo.extend(gc.get_referents(each))
    return [*found.values()]


def text_kept_with(policy: Policy) -> str:
    return "\n".join(each for each in kept_with(policy) if isinstance(each, str))


def test_only_lru_caches_of_at_most_64_entries_are_kept() -> None:
    policy = Policy(allow_origins=[ORIGIN, "https://*.flood.com"], allow_headers="*", allow_methods="*")
    answer = respond(policy, preflight("GET", "x-mine"))
    for number in range(300):
        respond(policy, actual(f"https://{number}.flood.com"), [("Vary", f"X-{number}")])
        respond(policy, preflight("GET", f"x-flood-{number}", f"https://{number}.flood.com"))
        respond(policy, preflight(f"M{number}"))
    assert respond(policy, preflight("GET", "x-mine")) == answer
    kept = text_kept_with(policy)
    assert sum(f"x-flood-{number}\n" in f"{kept}\n" for number in range(300)) <= 64
    caches = [each for each in kept_with(policy) if isinstance(each, type(lru_cache(print)))]
    assert len(caches) == 1
    info = caches[0].cache_info()
    assert info.maxsize == info.currsize == 64


@pytest.mark.parametrize(
    "facts",
    [
        actual("https://unique.flood.com"),
        actual("https://unique.com"),
        actual("unique"),
        preflight("GET", "x-a", "https://unique.flood.com"),
        preflight("GET", "x-a", "https://unique.com"),
        preflight("UNIQUE", "x-a"),
        preflight("unique", "x-a"),
        preflight("GET", "unique"),
        preflight("GET", "x-a,unique"),
        preflight("GET", "x-a,Unique"),
        preflight("GET", "uni que"),
    ],
    ids=lambda facts: " ".join(map(str, facts[:4])),
)
def test_no_origin_and_no_refusal_is_kept(facts: RequestFacts) -> None:
    policy = Policy(allow_origins=[ORIGIN, "https://*.flood.com"], allow_headers=["X-A"])
    for _ in range(2):
        respond(policy, facts, [("Vary", "X-Unique")])
    assert "unique" not in text_kept_with(policy).lower()


@pytest.mark.parametrize(
    ("method", "length", "is_kept"), [("GET", 253, True), ("GET", 254, False), ("HEAD", 253, False)]
)
def test_keys_have_at_most_256_characters(method: str, length: int, is_kept: bool) -> None:
    policy = Policy(allow_origins=[ORIGIN], allow_headers="*")
    names = "x" * length
    for _ in range(2):
        assert ("Access-Control-Allow-Headers", names) in respond(policy, preflight(method, names))[1]
    assert (names in text_kept_with(policy)) == is_kept


def test_nothing_is_kept_where_a_callable_decides() -> None:
    policy = Policy(allow_origins=lambda *_: True, allow_headers="*")
    for facts in (actual(), preflight("GET")):  # what depends on the policy alone may be kept
        respond(policy, facts)
    kept = text_kept_with(policy)
    for facts in (actual("https://unique.com"), preflight("GET", "x-unique"), preflight("GET", None, OTHER)):
        respond(policy, facts)
    assert text_kept_with(policy) == kept


@pytest.mark.parametrize(
    "origins", [[ORIGIN], "*", ["https://*.com"], lambda *_: True], ids=["list", "star", "pattern", "callable"]
)
def test_a_policy_is_freed_without_the_garbage_collector(origins: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        policy = Policy(allow_origins=origins, allow_headers="*")
        for facts in (actual(), actual(None), actual(OTHER), preflight("GET", "x-a"), preflight("PUT")):
            respond(policy, facts)
        freed = weakref.ref(policy)
        del policy
        assert freed() is None
    finally:
        gc.enable()


def test_a_policy_that_was_used_pickles_like_one_that_was_not() -> None:
    policy, unused = (Policy(allow_origins=["https://*.com"]) for _ in range(2))
    for number in range(50):
        respond(policy, preflight("GET", None, f"https://{number}.com"))
    assert pickle.dumps(policy) == pickle.dumps(unused)


@pytest.mark.parametrize(
    "twin",
    [
        copy.copy,
        copy.deepcopy,
        lambda policy: pickle.loads(pickle.dumps(policy)),
        lambda policy: policy.override(max_age=5),
    ],
    ids=["copy", "deepcopy", "pickle", "override"],
)
def test_a_copy_starts_with_nothing_kept(twin: Callable[[Policy], Policy]) -> None:
    policy = Policy(allow_origins=[ORIGIN], allow_headers="*")
    respond(policy, preflight("GET", "x-unique"))
    assert "x-unique" in text_kept_with(policy)
    copied = twin(policy)
    assert "x-unique" not in text_kept_with(copied)
    assert in_any_order(respond(copied, actual())) == in_any_order(respond(policy, actual()))


def test_no_environ_is_kept() -> None:
    policy = Policy(allow_origins=[ORIGIN])
    for facts in (actual(), preflight("GET"), preflight("PUT")):
        environ = environ_of(facts)
        count = sys.getrefcount(environ)
        PreflightMiddleware(sending([]), policy)(environ, lambda *_: print)
        assert sys.getrefcount(environ) == count


class Unhashable(str):
    """Text that must not be read to its end, as a look-up in a dictionary would."""

    __hash__ = None  # type: ignore[assignment]


LONG = Unhashable("a" * 70_000)
LONG_ORIGIN = Unhashable("a" * 321)
LONG_NAMES = Unhashable("a" * 1025)

LONG_FACTS = [
    pytest.param(actual(LONG), "200 OK", id="origin"),
    pytest.param(actual(LONG_ORIGIN), "200 OK", id="origin, just"),
    pytest.param(preflight("PUT", None, LONG), "403 Forbidden", id="preflight's origin"),
    pytest.param(preflight("PUT", None, LONG_ORIGIN), "403 Forbidden", id="preflight's origin, just"),
    pytest.param(
        preflight("PUT", LONG_NAMES, "https://refused.org"), "403 Forbidden", id="headers of a refused origin"
    ),
    pytest.param(preflight(LONG), "403 Forbidden", id="method"),
    pytest.param(preflight("GET", LONG), "403 Forbidden", id="headers"),
]


@pytest.mark.parametrize(("facts", "status"), LONG_FACTS)
@pytest.mark.parametrize("origins", [[ORIGIN], ["https://*.com"], "*"], ids=["list", "pattern", "star"])
def test_long_values_are_not_even_looked_up(facts: RequestFacts, status: str, origins: Any) -> None:
    policy = Policy(allow_origins=origins)
    for _ in range(2):
        assert respond(policy, facts)[0] == status


@pytest.mark.parametrize(("facts", "status"), LONG_FACTS)
def test_long_values_are_not_even_looked_up_under_flask(facts: RequestFacts, status: str) -> None:
    app = Flask("site")
    app.route("/", methods=["GET", "PUT"])(lambda: "hello")
    Preflight(app, allow_origins=[ORIGIN, "https://*.com"])
    for each in (actual(), preflight("PUT"), facts):
        run(app, each)
    assert run(app, facts)[0] == status
