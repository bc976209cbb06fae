"""Chromium, Firefox and WebKit judge the browser for tests.

``PREFLIGHT_SEED=1 PREFLIGHT_CASES=5000 pytest tests/test_real_browsers.py`` draws other cases, and more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest
from cases import (
    ANY,
    AUTHORIZATION,
    CREDENTIALS,
    EXPOSABLE,
    MEASURED,
    NULL,
    ORIGIN,
    PUT,
    PUT_JSON,
    X_A,
    Answer,
    Case,
    Fetch,
    Outcome,
    cached,
    expose,
    fetched,
    max_age,
    methods,
    names,
    preflighted,
    redirected,
    run_in_model,
    simple,
    summary,
    url_of,
)
from flask import Flask
from flask.typing import ResponseReturnValue
from random_cases import random_case, random_fetch
from real_browsers import ENGINES, FIREFOX, Engine, Session
from werkzeug.exceptions import NotFound

from flask_preflight import Outcome as Verdict
from flask_preflight import (
    Policy,
    PolicyError,
    Preflight,
    PreflightMiddleware,
    RequestFacts,
    cors_route,
    negotiate,
)
from flask_preflight.browser import Browser, Step
from flask_preflight.fetch import (
    SAFELISTED_METHODS,
    is_forbidden_request_header_value,
    is_safelisted_request_header,
    normalize_method,
)
from flask_preflight.policy import PolicyChanges

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parent.parent
SEED = int(os.environ.get("PREFLIGHT_SEED", "2026"))
COUNT = int(os.environ.get("PREFLIGHT_CASES", "1000"))


@pytest.fixture(scope="module", params=ENGINES, ids=str)
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    engine: Engine = request.param
    if not engine.is_installed:
        pytest.skip(f"needs {engine}")
    with Session(engine) as session:
        yield session


def silent(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [replace(outcome, console="") for outcome in outcomes]


def disagreements(session: Session, cases: Sequence[Case]) -> list[str]:
    """Where model and engine differ on what the script got and on what reached the server."""
    outcomes = session.run(cases)
    different = []
    for case in cases:
        expected = silent(run_in_model(case, session.origins))
        if outcomes[case.id] != expected:
            different.append(f"{case}\n  model  {expected}\n  {session.engine} {outcomes[case.id]}")
    return different


def unsaid(session: Session, cases: Sequence[Case]) -> list[str]:
    """What the model expected in the console and the engine did not say."""
    said = session.console()
    missing = []
    for case in cases:
        for outcome in run_in_model(case, session.origins, str(session.engine)):
            heard = said.get(case.id, [])
            if outcome.console and not any(is_said(session.engine, outcome.console, line) for line in heard):
                missing.append(f"{case}\n  model  {outcome.console}\n  {session.engine} {heard}")
    return missing


def is_said(engine: Engine, expected: str, line: str) -> bool:
    """Whether *line* says *expected*, or complains of something else that is wrong too.

    Where several headers are not allowed, each engine names another one. Firefox looks at the method before it reads
    the list of header names.
    """
    if engine is FIREFOX and "Access-Control-Allow-Headers" in expected and "Did not find method" in line:
        return True
    return REFUSED_HEADER.sub("", line) == REFUSED_HEADER.sub("", expected)


REFUSED_HEADER = re.compile(r"(?<=eader )(field )?‘?[A-Za-z_-]+’?(?= is not allowed)")


def test_measured_cases(session: Session) -> None:
    outcomes = session.run(MEASURED)
    seen = {case.id: [summary(outcome) for outcome in outcomes[case.id]] for case in MEASURED}
    assert seen == {case.id: list(case.expected) for case in MEASURED}
    session.console()


@pytest.mark.parametrize("seed", [SEED], ids=lambda seed: f"seed-{seed}")
def test_random_cases(session: Session, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f" [{session.engine}: {COUNT} random cases, PREFLIGHT_SEED={seed}] ", end="")
    random = Random(seed)
    cases = [random_case(random, f"random-{number}") for number in range(COUNT)]
    assert disagreements(session, cases) == []
    assert unsaid(session, [case for case in cases if not is_misdirected(case)]) == []


def is_misdirected(case: Case) -> bool:
    """Whether a redirect leads nowhere: if more is wrong, each engine complains of something else."""
    locations = [value for name, value in case.answers["actual"].headers if name == "Location"]
    return any("{goal}" not in location for location in locations)


def refusing(step: Step, *granted: tuple[str, str], status: int = 204, fetch: Fetch = PUT) -> tuple[Step, Case]:
    """A preflight that fails at *step*."""
    return step, preflighted(f"step-{step.value}-on-preflight", "", fetch, *granted, status=status)


def failing(step: Step, *headers: tuple[str, str], status: int = 200, fetch: Fetch | None = None) -> tuple[Step, Case]:
    """A simple request that fails at *step*."""
    return step, Case(f"step-{step.value}", (fetch or Fetch(),), {"actual": Answer(status, headers)})


INCLUDE = Fetch(credentials="include")
PUT_INCLUDE = Fetch("PUT", credentials="include")

# Every step that a server can make an engine stop at, on preflights and on actual requests.
STEPS = [
    refusing(Step.PREFLIGHT_REDIRECT, ORIGIN, ("Location", "/elsewhere"), status=302),
    refusing(Step.ALLOW_ORIGIN_MISSING),
    failing(Step.ALLOW_ORIGIN_MISSING),
    refusing(Step.ALLOW_ORIGIN_MULTIPLE, ORIGIN, ORIGIN),
    failing(Step.ALLOW_ORIGIN_MULTIPLE, ("Access-Control-Allow-Origin", "{A}, *")),
    refusing(Step.ALLOW_ORIGIN_WILDCARD, ANY, fetch=PUT_INCLUDE),
    failing(Step.ALLOW_ORIGIN_WILDCARD, ANY, fetch=INCLUDE),
    refusing(Step.ALLOW_ORIGIN_MISMATCH, ("Access-Control-Allow-Origin", "{A}/")),
    failing(Step.ALLOW_ORIGIN_MISMATCH, ("Access-Control-Allow-Origin", "frontend.com")),
    refusing(Step.ALLOW_CREDENTIALS, ORIGIN, fetch=PUT_INCLUDE),
    failing(Step.ALLOW_CREDENTIALS, ORIGIN, ("Access-Control-Allow-Credentials", "True"), fetch=INCLUDE),
    refusing(Step.PREFLIGHT_STATUS, ORIGIN, status=404),
    refusing(Step.ALLOW_METHODS_INVALID, ORIGIN, methods("PUT GET")),
    refusing(Step.ALLOW_HEADERS_INVALID, ORIGIN, methods("PUT"), names("X-A X-B"), fetch=Fetch("PUT", X_A)),
    refusing(Step.ALLOW_METHODS, ORIGIN, methods("put")),
    refusing(Step.ALLOW_HEADERS, ORIGIN, names("X-B"), fetch=Fetch(headers=X_A)),
    refusing(Step.ALLOW_HEADERS, ORIGIN, fetch=Fetch(headers=AUTHORIZATION)),
    failing(Step.REDIRECT_MODE, ORIGIN, ("Location", "/elsewhere"), status=302, fetch=Fetch(redirect="error")),
    failing(Step.REDIRECT_LOCATION, ORIGIN, ("Location", "http://["), status=302),
    failing(Step.REDIRECT_SCHEME, ORIGIN, ("Location", "data:,x"), status=302),
    failing(Step.REDIRECT_COUNT, ORIGIN, ("Location", "/step-redirect-count"), status=302),
    failing(Step.REDIRECT_CREDENTIALS, ORIGIN, ("Location", "http://u:p@localhost/"), status=302),
]


def test_console_sentences(session: Session) -> None:
    cases = [replace(case, id=f"{number}-{case.id}") for number, (_, case) in enumerate(STEPS)]
    cases = [replace(case, answers=_renamed(case)) for case in cases]
    assert disagreements(session, cases) == []
    assert unsaid(session, cases) == []


def _renamed(case: Case) -> dict[str, Answer]:
    """The loop must lead to the case's own URL."""
    return {
        key: replace(
            answer,
            headers=tuple(
                (name, value.replace("/step-redirect-count", f"/{case.id}")) for name, value in answer.headers
            ),
        )
        for key, answer in case.answers.items()
    }


def test_every_step_is_among_them() -> None:
    # A server can do nothing for the first; the second is a difference that the next test shows; requests that are
    # not sent are in `test_real_requests.py`.
    elsewhere = {Step.NO_RESPONSE, Step.ALLOW_HEADERS_AUTHORIZATION, Step.MIXED_CONTENT, Step.SAME_ORIGIN_MODE}
    assert {step for step, _ in STEPS} == set(Step) - elsewhere


# ---------------------------------------------------------------------------------------
# Policies: engine, model and ``negotiate`` agree
# ---------------------------------------------------------------------------------------


def random_policy(
    random: Random, origins: Mapping[str, str], inherited: Policy | None = None
) -> tuple[PolicyChanges, Policy]:
    """Some or all fields of a policy, and what they make of the *inherited* one, or of nothing."""
    while True:
        fields: dict[str, Any] = {
            "allow_origins": random.choice(
                ([origins["A"]],) * 3 + ("*", ["http://127.0.0.1:*"], ["https://other.example"], ["null"], ())
            ),
            "allow_methods": random.choice(
                (None, "*", ["GET", "PUT"], ["PATCH", "DELETE"], ["PUT"], ["POST", "CHICKEN"])
            ),
            "allow_headers": random.choice(
                ((), "*", ["*", "Authorization"], ["X-A", "Authorization"], ["content-type", "x-a", "X-B", "Accept"])
            ),
            "expose_headers": random.choice(((), "*", ["X-Total"])),
            "allow_credentials": random.random() < 0.4,
            "max_age": random.choice((600, 0, None)),
        }
        if inherited is not None:
            fields = {name: value for name, value in fields.items() if random.random() < 0.5}
        fields["dangerously_allow_null_origin"] = True
        changes = cast(PolicyChanges, fields)
        with suppress(PolicyError):  # what is unsafe cannot be built, so it cannot be tried
            return changes, (inherited or Policy()).override(**changes)


class Policed(NamedTuple):
    """A case's URL: the app behind it, and the policy that it has there for each method."""

    app: WSGIApplication
    policy_for: Callable[[str], Policy]


def answer(name: str) -> ResponseReturnValue:
    return name, (200, 201, 404, 500)[len(name) % 4], dict(EXPOSABLE)


def behind_middleware(random: Random, origins: Mapping[str, str], name: str) -> Policed:
    flask = Flask(__name__)
    flask.add_url_rule(f"/{name}", "view", partial(answer, name), methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    _, policy = random_policy(random, origins)
    return Policed(PreflightMiddleware(flask, policy), lambda method: policy)


# The views of one URL, by their methods
ROUTES = (
    (["GET", "POST", "PUT", "PATCH", "DELETE"],),
    (["GET", "POST"], ["PUT", "PATCH"]),
    (["PUT", "CHICKEN"], ["GET", "DELETE"]),
)


def under_extension(random: Random, origins: Mapping[str, str], names: Sequence[str]) -> dict[str, Policed]:
    """One app with a URL for each of *names*; each view has a policy of its own."""
    changes, app_wide = random_policy(random, origins)
    app = Flask(__name__)
    Preflight(app, **changes)
    elsewhere = app_wide.override(allow_methods=())  # a 405 is made by no view, and no preflight leads to it

    def policed(name: str) -> Policed:
        policies: dict[str, Policy] = {}
        for number, verbs in enumerate(random.choice(ROUTES)):
            changes, policy = random_policy(random, origins, app_wide)
            view = cors_route(**changes)(partial(answer, name))
            app.add_url_rule(f"/{name}", f"{name}-{number}", view, methods=verbs)
            routed = [*verbs, "OPTIONS", *(["HEAD"] if "GET" in verbs else [])]
            if policy.allow_methods in (None, "*"):  # no more than what is routed
                policy = policy.override(allow_methods=routed)
            policies = {**dict.fromkeys(routed, policy), **policies}  # OPTIONS is of the first view
        return Policed(app, lambda method: policies.get(method.upper(), elsewhere))

    return {name: policed(name) for name in names}


def random_apps(random: Random, origins: Mapping[str, str], names: Sequence[str]) -> dict[str, Policed]:
    """By name: the first half is wrapped in the middleware, the others are the URLs of apps with the extension."""
    half = len(names) // 2
    apps = {name: behind_middleware(random, origins, name) for name in names[:half]}
    for start in range(half, len(names), 10):
        apps |= under_extension(random, origins, names[start : start + 10])
    return apps


def negotiated(policy_for: Callable[[str], Policy], case: Case, origin: str) -> bool:
    """Whether the server's side says that the script may read."""
    (fetch,) = case.fetches
    method = normalize_method(fetch.method)
    policy = policy_for(method)
    unsafe = {name.lower() for name, value in fetch.headers if not is_forbidden_request_header_value(name, value)}
    unsafe -= {name.lower() for name, value in fetch.headers if is_safelisted_request_header(name, value)}
    facts = [RequestFacts(method, origin, None, None)]
    if unsafe or method not in SAFELISTED_METHODS:
        facts.append(RequestFacts("OPTIONS", origin, method, ",".join(sorted(unsafe)) or None))
    outcomes = {negotiate(policy, fact).outcome for fact in facts}
    may_send = policy.allow_credentials or fetch.credentials != "include"
    return may_send and outcomes <= {Verdict.ACTUAL_ALLOWED, Verdict.PREFLIGHT_GRANTED}


def policed_case(random: Random, name: str) -> Case:
    fetch = random_fetch(random, random.choice(("B", "B", "C")))
    return Case(name, (replace(fetch, redirect="follow"),), {}, opaque=random.random() < 0.15)


@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_engine_and_model_and_negotiate_agree(engine: Engine) -> None:
    if not engine.is_installed:
        pytest.skip(f"needs {engine}")
    random, apps = Random(SEED), dict[str, Policed]()
    cases = [policed_case(random, f"policy-{number}") for number in range(COUNT)]

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = apps.get(environ["PATH_INFO"].strip("/"))  # none for what the engine asks to warm up
        return (found.app if found else NotFound())(environ, start_response)

    with Session(engine, app) as session:
        origins = session.origins
        apps.update(random_apps(random, origins, [case.id for case in cases]))
        outcomes = session.run(cases)
    seen = {}
    for case in cases:
        origin = "null" if case.opaque else origins["A"]
        browser = Browser(dict.fromkeys(origins.values(), app), origin)
        model = fetched(browser, case.fetches[0], url_of(case, case.fetches[0], origins))
        by_policy = negotiated(apps[case.id].policy_for, case, origin)
        seen[case.id] = (replace(outcomes[case.id][0], requests=()), replace(model, console=""), by_policy)
    assert {name: three for name, three in seen.items() if three[0] != three[1]} == {}
    assert {name: three for name, three in seen.items() if (three[1].status is not None) != three[2]} == {}
    readable = [by_policy for _, _, by_policy in seen.values()]
    for half in (readable[: COUNT // 2], readable[COUNT // 2 :]):
        assert COUNT // 20 < sum(half) < COUNT * 9 // 20


# ---------------------------------------------------------------------------------------
# docs/engines.md
# ---------------------------------------------------------------------------------------


def sequence(
    name: str, *fetches: Fetch, grant: Sequence[tuple[str, str]], actual: Sequence[tuple[str, str]] = ()
) -> Case:
    right = (ORIGIN, CREDENTIALS)
    answers = {
        "preflight": Answer(204, (*right, *grant, max_age("600"))),
        "actual": Answer(200, tuple(actual) or right),
    }
    return Case(name, fetches, answers)


def hop(name: str, location: str, *, goal_preflight: Sequence[tuple[str, str]]) -> Case:
    """PUT, redirected from B with 307; the answer to the goal's actual request allows ``null``."""
    answers = {
        "preflight": Answer(204, (ORIGIN, methods("PUT"))),
        "actual": Answer(307, (ORIGIN, ("Location", location))),
        "goal preflight": Answer(204, tuple(goal_preflight)),
        "goal": Answer(200, (NULL,)),
    }
    return Case(name, (PUT,), answers)


IF_MATCH = Fetch(headers=(("If-Match", '"x"'),))
TWO_ACCEPTS = Fetch(headers=(("Accept", "a" * 100), ("Accept", "b" * 100)))

DIFFERENCES = [
    preflighted("authorization-under-star", "", PUT_JSON, ORIGIN, methods("PUT"), names("*")),
    cached("max-age-negative", "", max_age("-1")),
    cached("max-age-junk", "", max_age("abc")),
    cached("max-age-list", "", max_age("600, 700")),
    sequence("cache-after-failure", PUT, PUT, grant=[methods("PUT")], actual=[("X-Total", "1")]),
    sequence("cache-after-refusal", Fetch("PUT", X_A), Fetch(headers=X_A), grant=[methods("DELETE"), names("X-A")]),
    sequence("cache-star-methods", PUT, PUT, grant=[methods("*")]),
    sequence("cache-star-headers", Fetch(headers=X_A), Fetch(headers=X_A), grant=[names("*")]),
    sequence("cache-conditional", IF_MATCH, IF_MATCH, grant=[names("If-Match")]),
    sequence("cache-credentials", PUT_INCLUDE, PUT, grant=[methods("PUT")]),
    Case(
        "cache-sandboxed",
        (PUT, PUT),
        {"preflight": Answer(204, (NULL, methods("PUT"), max_age("600"))), "actual": Answer(200, (NULL,))},
        opaque=True,
    ),
    sequence("header-twice", TWO_ACCEPTS, grant=[]),
    redirected("see-other", "", PUT, 303, "{goal}", ORIGIN),
    hop("redirect-null", "{C}{goal}", goal_preflight=[NULL, methods("PUT")]),
    hop("redirect-page", "{C}{goal}", goal_preflight=[ORIGIN, methods("PUT")]),
    hop("redirect-home", "{A}{goal}", goal_preflight=[methods("PUT")]),
    simple("redirect-manual", "", ORIGIN, ("Location", "http://["), status=302, redirect="manual"),
    simple("redirect-error", "", ORIGIN, status=302, redirect="error"),
    simple("expose-junk", "", ORIGIN, *EXPOSABLE, expose("*"), expose("a b")),
]

COLUMNS = ("the standard", *map(str, ENGINES))


def documented() -> dict[str, dict[str, str]]:
    """The first table of ``docs/engines.md``: by case, what each column says."""
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(?!cookie-|request-)([a-z-]+)` \|[^|]*\|(.*)\|$", text, re.MULTILINE)
    return {name: dict(zip(COLUMNS, (cell.strip() for cell in cells.split("|")), strict=True)) for name, cells in rows}


def cell(outcomes: Sequence[Outcome]) -> str:
    return ", ".join(f"`{summary(outcome)}`" for outcome in outcomes)


def test_differences_from_the_standard_and_from_each_other(session: Session) -> None:
    outcomes = session.run(DIFFERENCES)
    session.console()
    table = documented()
    seen = {case.id: cell(outcomes[case.id]) for case in DIFFERENCES}
    assert seen == {name: row[str(session.engine)] for name, row in table.items()}


def test_the_model_follows_the_standard() -> None:
    origins = {"A": "http://127.0.0.1:8001", "B": "http://127.0.0.1:8002", "C": "http://localhost:8002"}
    seen = {case.id: cell(run_in_model(case, origins)) for case in DIFFERENCES}
    assert seen == {name: row["the standard"] for name, row in documented().items()}
    assert all(len(set(row.values())) > 1 for row in documented().values())
