"""Ready answers are what `negotiate` decides, whatever was asked before; and what strangers send takes no room."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from test_engine import ORIGIN, actual, fresh, meetings, preflight
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
from flask_preflight.answers import add_headers, answers_of
from flask_preflight.memory import MOST_REMEMBERED

Told = tuple[str, list[tuple[str, str]], bytes]
Headers = list[tuple[str, str]]

# What apps answer: nothing of CORS, a Vary in all its forms, and headers that are ours
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
    "like ours": [("Age", "1"), ("Via", "1.1 proxy"), ("allow", "GET"), ("x-vary", "1")],
}


def environ_of(facts: RequestFacts, path: str = "/") -> dict[str, Any]:
    environ: dict[str, Any] = create_environ(path, method=facts.method)
    names = ("HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_METHOD", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
    environ.update({name: value for name, value in zip(names, facts[1:4], strict=True) if value is not None})
    return environ


def run(wsgi_app: Any, facts: RequestFacts, path: str = "/") -> Told:
    started: list[Any] = []
    body = b"".join(wsgi_app(environ_of(facts, path), lambda *start: started.extend(start)))
    return started[0], started[1], body


def answering(headers: Headers) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [*headers])
        return [b"the app"]

    return app


def tell(policy: Policy, facts: RequestFacts, headers: Headers = APPS["Vary"]) -> Told:
    return run(PreflightMiddleware(answering(headers), policy), facts)


def spell_out(decision: Decision, headers: Headers) -> Told:
    """What a middleware would answer that takes each decision anew, and sends it without haste."""
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
    return "200 OK", add_headers(headers, decision.headers), b"the app"


def in_any_order(told: Told) -> tuple[str, set[tuple[str, str]], bytes]:
    status, headers, body = told
    names = [name.lower() for name, _ in headers if name.lower() != "vary"]
    assert len(names) == len(set(names)), "a header stands there twice"
    return status, set(headers), body


@given(st.lists(meetings(), max_size=30), st.randoms(use_true_random=False))
def test_ready_answers_are_what_negotiate_decides(meetings: list[tuple[Policy, RequestFacts]], random: Any) -> None:
    policies = [policy for policy, _ in meetings]
    for _, facts in [*meetings, *random.sample(meetings, len(meetings))]:
        for policy in policies[:3]:
            headers = random.choice([*APPS.values()])
            expected = spell_out(negotiate(fresh(policy), facts), headers)
            assert in_any_order(tell(policy, facts, headers)) == in_any_order(expected)
            found = PreflightMiddleware(answering(headers), by_path({"/": policy}))
            assert in_any_order(run(found, facts)) == in_any_order(expected)


@pytest.mark.parametrize("headers", APPS.values(), ids=list(APPS))
@pytest.mark.parametrize("facts", [actual(), actual(None), actual("https://b.com")], ids=["allowed", "none", "refused"])
@pytest.mark.parametrize(
    "policy",
    [
        Policy(allow_origins=[ORIGIN], expose_headers=["X-A"], allow_credentials=True),
        Policy(allow_origins=[ORIGIN]),
        Policy(allow_origins="*", expose_headers="*"),
        Policy(allow_origins=lambda origin, environ: origin == ORIGIN),
        Policy(allow_origins=["https://*.com"], allow_methods="*"),
    ],
    ids=["credentials", "list", "star", "callable", "pattern"],
)
def test_headers_of_the_app_s_and_ours(policy: Policy, facts: RequestFacts, headers: Headers) -> None:
    for _ in range(2):
        assert in_any_order(tell(policy, facts, headers)) == in_any_order(spell_out(negotiate(policy, facts), headers))


@given(meetings())
def test_debug_answers_are_not_taken_for_others(meeting: tuple[Policy, RequestFacts]) -> None:
    policy, facts = meeting
    for debug in (True, False, True):
        middleware, anew = (PreflightMiddleware(answering([]), each, debug=debug) for each in (policy, fresh(policy)))
        assert run(middleware, facts) == run(anew, facts)


# ---------------------------------------------------------------------------------------
# What is remembered
# ---------------------------------------------------------------------------------------


def count_remembered(policy: Policy) -> int:
    answers = answers_of(policy)
    return len(answers.told) + len(answers.named) + len(answers.starts) + len(answers._varied.kept)


def test_memory_is_bounded_and_a_flood_drives_out_little() -> None:
    policy = Policy(allow_origins=[ORIGIN, "https://*.flood.com"], allow_headers="*")
    before = tell(policy, preflight("GET", "x-mine"))
    found = 0
    for number in range(4000):
        tell(policy, actual(f"https://{number}.flood.com"), [("Vary", f"X-{number}")])
        tell(policy, preflight("GET", f"x-{number}", f"https://{number}.flood.com"))
        if not number % 10:
            found += "x-mine" in answers_of(policy).told
            assert tell(policy, preflight("GET", "x-mine")) == before
    assert MOST_REMEMBERED < count_remembered(policy) <= 4 * MOST_REMEMBERED
    assert found > 300  # of 400


@pytest.mark.parametrize(
    "facts",
    [
        actual("https://refused.com"),
        actual(None),
        preflight("GET", "x-a", "https://refused.com"),
    ],
    ids=["origin", "no origin", "preflight's origin"],
)
def test_what_needs_no_memory_takes_none(facts: RequestFacts) -> None:
    policy = Policy(allow_origins=[ORIGIN])
    tell(policy, facts, [])
    assert count_remembered(policy) == 0


@pytest.mark.parametrize("method", ["PATCH", "get", "*", "M" * 65])
def test_of_a_refused_method_only_the_origin_is_remembered(method: str) -> None:
    policy = Policy(allow_origins=[ORIGIN])
    tell(policy, preflight(method, "x-a"))
    assert ([*answers_of(policy).named], count_remembered(policy)) == ([ORIGIN], 1)


KILOBYTE = "a" * 1024


@pytest.mark.parametrize(
    ("facts", "headers", "is_kept"),
    [
        pytest.param(actual(None), [("Vary", "Accept")], True, id="vary"),
        pytest.param(actual(None), [("Vary", f"{KILOBYTE}a")], False, id="vary over 1 KB"),
        pytest.param(preflight("GET", "content-type"), [], True, id="granted"),
        pytest.param(preflight("GET", "x-a"), [], True, id="refused"),
        pytest.param(preflight("GET", KILOBYTE), [], True, id="refused, 1 KB"),
        pytest.param(preflight("GET", f"{KILOBYTE}a"), [], False, id="refused, over 1 KB"),
        pytest.param(preflight("GET", f"content-type{' ' * 900}"), [], False, id="over 1 KB with its answer"),
    ],
)
def test_only_what_is_short_is_remembered(facts: RequestFacts, headers: Headers, is_kept: bool) -> None:
    policy = Policy(allow_origins=[ORIGIN])
    assert tell(policy, facts, headers) == tell(policy, facts, headers)
    assert count_remembered(policy) - len(answers_of(policy).named) == is_kept


class Unhashable(str):
    """Text that must not be read to its end, as looking it up would."""

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
def test_what_is_long_is_not_even_looked_up(facts: RequestFacts, status: str, origins: Any) -> None:
    policy = Policy(allow_origins=origins)
    for _ in range(2):
        assert tell(policy, facts)[0] == status


@pytest.mark.parametrize(("facts", "status"), LONG_FACTS)
def test_nor_is_it_in_flask(facts: RequestFacts, status: str) -> None:
    app = Flask("site")
    app.route("/", methods=["GET", "PUT"])(lambda: "hello")
    Preflight(app, allow_origins=[ORIGIN, "https://*.com"])
    for each in (actual(), preflight("PUT"), facts, facts):
        answered = run(app, each)[0]
    assert answered == status


def test_what_origins_may_read_is_remembered_however_long_it_is() -> None:
    names = [f"X-{number}" for number in range(300)]
    policy = Policy(allow_origins=["https://a.com", "https://b.com"], expose_headers=names)
    for facts in (actual("https://a.com"), actual("https://b.com")) * 2:
        assert tell(policy, facts) == spell_out(negotiate(policy, facts), APPS["Vary"])
    assert {*answers_of(policy).starts} == {"https://a.com", "https://b.com"}


def test_memory_belongs_to_one_policy_and_keeps_no_environ() -> None:
    policy, twin = Policy(allow_origins=[ORIGIN]), Policy(allow_origins=[ORIGIN])
    for facts in (actual(), preflight("GET")):
        environ = environ_of(facts)
        count = sys.getrefcount(environ)
        PreflightMiddleware(answering([]), policy)(environ, lambda *_: None)  # type: ignore[arg-type]
        assert sys.getrefcount(environ) == count
    assert (count_remembered(policy), count_remembered(twin)) == (3, 0)


def test_a_callable_is_asked_each_time() -> None:
    asked: list[str] = []

    def allowed(origin: str, environ: dict[str, Any]) -> bool:
        asked.append(origin)
        return True

    policy = Policy(allow_origins=allowed)
    for _ in range(2):
        for facts in (actual(), preflight("GET")):
            tell(policy, facts, [])
    assert (asked, count_remembered(policy)) == ([ORIGIN] * 4, 0)


def test_what_a_star_of_methods_says_with_credentials_is_decided_each_time() -> None:
    policy = Policy(allow_origins=[ORIGIN], allow_methods="*", allow_credentials=True)
    for method in ("PUT", "PATCH", "PUT"):
        assert ("Access-Control-Allow-Methods", method) in tell(policy, preflight(method))[1]
    assert negotiate(policy, preflight("*")).reason is Reason.METHOD_MALFORMED
    assert tell(policy, preflight("*"))[0] == "403 Forbidden"


def test_all_origins_of_a_star_share_what_is_said_to_them() -> None:
    policy = Policy(allow_origins="*", expose_headers=["X-A"])
    for number in range(5):
        tell(policy, actual(f"https://{number}.com"))
        tell(policy, preflight("GET", None, f"https://{number}.com"))
    answers = answers_of(policy)
    assert (len(answers.starts), {*answers.starts.values()}) == (5, {answers.plain})
    assert (len(answers.named), {*answers.named.values()}) == (5, {("Access-Control-Allow-Origin", "*")})


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({"max_age": 5, "allow_headers": ["X-A"], "allow_methods": ["PUT"]}, True),
        ({"expose_headers": ["X-A"]}, False),
        ({"allow_credentials": True}, False),
        ({"allow_origins": ["https://b.com"]}, False),
        ({"allow_origins": lambda origin, environ: True}, False),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_policies_share_what_their_readers_have_in_common(changes: Any, share: bool) -> None:
    policy = Policy(allow_origins=[ORIGIN])
    other = policy.override(**changes)
    answers = answers_of(other, like=answers_of(policy))
    assert (answers.starts is answers_of(policy).starts) == share
    for facts in (actual(), actual(None), preflight("PUT", "x-a")):
        assert in_any_order(tell(other, facts)) == in_any_order(spell_out(negotiate(fresh(other), facts), APPS["Vary"]))


def test_a_policy_always_has_the_same_answers() -> None:
    policy = Policy(allow_origins=[ORIGIN])
    assert answers_of(policy) is answers_of(policy)
    assert answers_of(policy) is not answers_of(Policy(allow_origins=[ORIGIN]))
