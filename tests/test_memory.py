"""What is remembered between requests: it never changes an answer, and no flood makes it grow."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_engine import ORIGIN, actual, fresh, meetings, preflight
from werkzeug.test import create_environ

from flask_preflight import Policy, PreflightMiddleware, RequestFacts
from flask_preflight.memory import MOST_REMEMBERED, Memory

Told = tuple[str, list[tuple[str, str]], bytes]


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Vary", "Accept"), ("Access-Control-Expose-Headers", "X-Own")])
    return [b"the app"]


def environ_of(facts: RequestFacts, path: str = "/") -> dict[str, Any]:
    environ: dict[str, Any] = create_environ(path, method=facts.method)
    names = ("HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_METHOD", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
    environ.update({name: value for name, value in zip(names, facts[1:4], strict=True) if value is not None})
    return environ


def ask(wsgi_app: Any, facts: RequestFacts, path: str = "/") -> Told:
    return run(wsgi_app, environ_of(facts, path))


def run(wsgi_app: Any, environ: dict[str, Any]) -> Told:
    started: list[Any] = []
    body = b"".join(wsgi_app(environ, lambda *start: started.extend(start)))
    return started[0], sorted(started[1]), body


def tell(policy: Policy, facts: RequestFacts) -> Told:
    return ask(PreflightMiddleware(app, policy), facts)


# ---------------------------------------------------------------------------------------
# Around any WSGI app: a policy remembers its answers
# ---------------------------------------------------------------------------------------


@given(st.lists(meetings(), max_size=30), st.randoms(use_true_random=False))
def test_memory_never_changes_an_answer(meetings: list[tuple[Policy, RequestFacts]], random: Any) -> None:
    policies = [policy for policy, _ in meetings]
    for _, facts in [*meetings, *random.sample(meetings, len(meetings))]:
        for policy in policies[:3]:
            assert tell(policy, facts) == tell(fresh(policy), facts)


@given(meetings())
def test_debug_answers_are_not_taken_for_others(meeting: tuple[Policy, RequestFacts]) -> None:
    policy, facts = meeting
    for debug in (True, False, True):
        middleware, anew = (PreflightMiddleware(app, each, debug=debug) for each in (policy, fresh(policy)))
        assert ask(middleware, facts) == ask(anew, facts)


def test_memory_is_bounded_and_outlives_a_flood() -> None:
    policy = Policy(allow_origins=[ORIGIN])
    before = tell(policy, preflight("GET"))
    for number in range(5000):
        tell(policy, actual(f"https://{number}.com"))
        tell(policy, preflight("GET", f"x-{number}"))
        assert len(policy.remembered) <= MOST_REMEMBERED
    assert tell(policy, preflight("GET")) == before


def kilobyte(letter: str) -> str:
    return letter * 1024


@pytest.mark.parametrize(
    ("facts", "is_kept"),
    [
        pytest.param(actual(), True, id="actual"),
        pytest.param(actual(None), True, id="no origin"),
        pytest.param(preflight(wanted="x-a"), True, id="preflight"),
        pytest.param(actual("a" * (1024 - len("VaryOrigin"))), True, id="1 KB with its answer"),
        pytest.param(actual("a" * (1025 - len("VaryOrigin"))), False, id="over 1 KB with its answer"),
        pytest.param(actual(kilobyte("a") + "a"), False, id="origin over 1 KB"),
        pytest.param(preflight(kilobyte("M") + "M"), False, id="method over 1 KB"),
        pytest.param(preflight(wanted=kilobyte("h")), False, id="together over 1 KB"),
    ],
)
def test_only_what_is_short_is_remembered(facts: RequestFacts, is_kept: bool) -> None:
    policy = Policy(allow_origins=[ORIGIN], allow_headers="*")
    assert tell(policy, facts) == tell(policy, facts)
    assert len(policy.remembered) == is_kept


class Unhashable(str):
    """Text that must not be read to its end, as looking it up in memory would."""

    __hash__ = None  # type: ignore[assignment]


def test_what_is_long_is_not_even_looked_up() -> None:
    policy = Policy(allow_origins=[ORIGIN])
    with pytest.raises(TypeError):
        tell(policy, actual(Unhashable("https://a.com")))
    long = Unhashable(kilobyte("a") + "a")
    assert tell(policy, actual(long))[0] == "200 OK"
    assert tell(policy, preflight(long))[0] == "403 Forbidden"
    assert tell(policy, preflight("GET", Unhashable("a" * 4097)))[0] == "403 Forbidden"


def test_actual_requests_are_remembered_by_origin_alone() -> None:
    policy = Policy(allow_origins=[ORIGIN])
    for number in range(100):
        tell(policy, RequestFacts("GET", ORIGIN, str(number), str(number)))
    assert len(policy.remembered) == 1


def test_memory_belongs_to_one_policy_and_keeps_no_environ() -> None:
    policy, twin = Policy(allow_origins=[ORIGIN]), Policy(allow_origins=[ORIGIN])
    for facts in (actual(), preflight()):
        environ = environ_of(facts)
        count = sys.getrefcount(environ)
        PreflightMiddleware(app, policy)(environ, lambda *_: None)  # type: ignore[arg-type]
        assert sys.getrefcount(environ) == count
    assert (len(policy.remembered), len(twin.remembered)) == (2, 0)


def test_nothing_is_remembered_where_a_callable_decides() -> None:
    policy = Policy(allow_origins=lambda *_: True)
    for facts in (actual(), preflight()):
        tell(policy, facts)
    assert policy.remembered == {}


def test_a_full_memory_forgets_and_goes_on() -> None:
    memory = Memory()
    for number in range(MOST_REMEMBERED + 1):
        memory.keep(number, -number)
    assert memory == {MOST_REMEMBERED: -MOST_REMEMBERED}
