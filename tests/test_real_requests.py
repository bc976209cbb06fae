"""Chromium, Firefox and WebKit judge what the browser for tests sends: modes, ``Sec-Fetch-...``, ``Referer``, forms.

``PREFLIGHT_SEED=1 PREFLIGHT_CASES=5000 pytest tests/test_real_requests.py`` draws other cases, and more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from random_requests import AVOIDABLE, random_request_case
from real_browsers import ENGINES, Engine, Session
from request_cases import (
    HOME,
    INSECURE,
    LOCAL_ADDRESS,
    LOCAL_API,
    LOCAL_PAGE,
    SIBLING,
    STRANGER,
    Ended,
    RequestCase,
    RequestServer,
    run_in_model,
)

from flask_preflight.browser import Step

ROOT = Path(__file__).parent.parent
SEED = int(os.environ.get("PREFLIGHT_SEED", "2026"))
COUNT = int(os.environ.get("PREFLIGHT_CASES", "500"))

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200 + COUNT)]


@pytest.fixture(scope="module")
def server() -> RequestServer:
    return RequestServer()


@pytest.fixture(scope="module", params=ENGINES, ids=str)
def session(request: pytest.FixtureRequest, server: RequestServer) -> Iterator[Session]:
    engine: Engine = request.param
    if not engine.is_installed:
        pytest.skip(f"needs {engine}")
    with Session(engine, server) as session:
        server.ports = {name: session.origins[name.upper()].rpartition(":")[2] for name in "ab"}
        yield session


def run(session: Session, server: RequestServer, cases: Sequence[RequestCase]) -> dict[int, Ended]:
    """What the engine sends, by the number of the case."""
    pages: dict[str, list[RequestCase]] = {}
    for case in cases:
        server.cases[case.number] = case
        pages.setdefault(server.origin(case, case.page), []).append(case)
    outcomes: dict[int, str] = {}
    for page, of_page in pages.items():
        session.open_page(page)
        scripted = [case for case in of_page if case.kind != "form"]
        results: dict[Any, Any] = session.fetch_all([job(server, case) for case in scripted] or [NOTHING])
        outcomes |= {case.number: outcome(case, results[case.number][0]) for case in scripted}
        for case in of_page:
            if case.kind == "form":
                session.submit(form(server, case))
    return {case.number: Ended(outcomes.get(case.number, ""), server.take_log(case)) for case in cases}


NOTHING: dict[str, Any] = {"id": "nothing", "fetches": []}


def job(server: RequestServer, case: RequestCase) -> dict[str, Any]:
    init = {
        "method": case.method,
        "headers": case.headers,
        "credentials": "omit",
        "mode": case.mode,
        "referrerPolicy": case.policy,
        **({"body": case.body} if case.body is not None else {}),
    }
    return {"id": case.number, "fetches": [{"url": server.url(case), "init": init, "request": case.kind}]}


def form(server: RequestServer, case: RequestCase) -> dict[str, Any]:
    return {"action": server.url(case), "method": case.method, "enctype": case.enctype, "fields": case.fields}


def outcome(case: RequestCase, result: dict[str, Any]) -> str:
    if case.kind == "websocket":
        return ""
    if result["status"] is None:
        return "fails"
    return f"{result['status']} {result['type']}" if case.kind == "fetch" else str(result["status"])


# ---------------------------------------------------------------------------------------
# docs/engines.md
# ---------------------------------------------------------------------------------------

Show = Callable[[Ended], str]


def header(*names: str) -> Show:
    """What the last request says in headers."""
    return lambda ended: " ".join(f"`{ended.requests[-1].get(name, 'nothing')}`" for name in names)


def methods(ended: Ended) -> str:
    return f"`{ended.outcome} [{' '.join(request['method'] for request in ended.requests)}]`"


class Row(NamedTuple):
    case: RequestCase
    show: Show


METADATA = header("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest")


def preflight_of(show: Show) -> Show:
    """Of the last preflight."""
    return lambda ended: show(replace(ended, requests=[one for one in ended.requests if one["method"] == "OPTIONS"]))


ROWS = {
    name: Row(replace(case, number=number * 200), show)
    for number, (name, case, show) in enumerate(
        [
            ("request-redirect-site", RequestCase(0, HOME, (HOME, SIBLING)), METADATA),
            ("request-redirect-cross", RequestCase(0, HOME, (SIBLING, STRANGER)), METADATA),
            ("request-redirect-loopback", RequestCase(0, LOCAL_PAGE, (LOCAL_PAGE, LOCAL_API)), METADATA),
            (
                "request-redirect-preflight",
                RequestCase(0, HOME, (STRANGER, HOME), method="PUT", status=307),
                preflight_of(header("Sec-Fetch-Site", "Origin")),
            ),
            (
                "request-redirect-get",
                RequestCase(0, HOME, (HOME, HOME), method="POST", status=303, body="x"),
                header("Origin"),
            ),
            (
                "request-redirect-origin",
                RequestCase(0, HOME, (HOME, STRANGER), kind="form", method="POST", status=307),
                header("Origin"),
            ),
            ("request-relaxed", RequestCase(0, HOME, (STRANGER,), policy="unsafe-url"), header("Referer")),
            ("request-insecure", RequestCase(0, LOCAL_PAGE, (INSECURE,), method="PUT"), preflight_of(METADATA)),
            (
                "request-redirect-referer",
                RequestCase(0, HOME, (HOME, STRANGER), method="PUT", status=307),
                preflight_of(header("Referer")),
            ),
            (
                "request-no-referrer",
                RequestCase(0, HOME, (STRANGER,), method="POST", mode="no-cors", policy="no-referrer"),
                header("Origin"),
            ),
            (
                "request-same-origin",
                RequestCase(0, HOME, (STRANGER,), method="POST", mode="no-cors", policy="same-origin"),
                header("Origin"),
            ),
            (
                "request-downgrade",
                RequestCase(0, HOME, (LOCAL_API,), method="POST", mode="no-cors"),
                header("Origin", "Referer"),
            ),
            (
                "request-downgrade-policy",
                RequestCase(0, HOME, (LOCAL_API,), method="POST", mode="no-cors", policy="unsafe-url"),
                header("Origin", "Referer"),
            ),
            ("request-mixed-loopback", RequestCase(0, HOME, (LOCAL_ADDRESS,)), methods),
            ("request-mixed-redirect", RequestCase(0, HOME, (HOME, INSECURE), method="PUT", status=307), methods),
            ("request-websocket", RequestCase(0, HOME, (STRANGER,), kind="websocket"), METADATA),
            ("request-upload-no-body", RequestCase(0, HOME, (STRANGER,), kind="xhr", method="POST"), methods),
            (
                "request-form-tilde",
                RequestCase(0, HOME, (STRANGER,), kind="form", fields=(("a", "~"),)),
                header("query"),
            ),
        ]
    )
}

COLUMNS = ("the standard", *map(str, ENGINES))


def documented() -> dict[str, dict[str, str]]:
    """The table of requests: by row, what each column says."""
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(request-[a-z0-9-]+)` \|[^|]*\|(.*)\|$", text, re.MULTILINE)
    return {name: dict(zip(COLUMNS, (cell.strip() for cell in cells.split("|")), strict=True)) for name, cells in rows}


def differences(engine: Engine) -> frozenset[str]:
    return frozenset(name for name, row in documented().items() if row[str(engine)] != row["the standard"])


def written(row: Row, ended: Ended, server: RequestServer) -> str:
    """A cell; the case's own page is called ``PAGE``."""
    return row.show(ended).replace(server.origin(row.case, row.case.page), "PAGE") if ended.requests else methods(ended)


def test_the_table_of_requests(session: Session, server: RequestServer) -> None:
    ended = run(session, server, [row.case for row in ROWS.values()])
    seen = {name: written(row, ended[row.case.number], server) for name, row in ROWS.items()}
    assert seen == {name: row[str(session.engine)] for name, row in documented().items()}


def test_the_model_follows_the_standard() -> None:
    server = RequestServer()
    seen = {name: written(row, run_in_model(server, row.case)[0], server) for name, row in ROWS.items()}
    assert seen == {name: row["the standard"] for name, row in documented().items()}
    assert all(len(set(row.values())) > 1 for row in documented().values())


def test_cases_avoid_what_the_table_has() -> None:
    assert set(documented()) >= AVOIDABLE


# ---------------------------------------------------------------------------------------
# Random cases
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [SEED], ids=lambda seed: f"seed-{seed}")
def test_random_requests(
    session: Session, server: RequestServer, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f" [{session.engine}: {COUNT} random cases, PREFLIGHT_SEED={seed}] ", end="")
    random, avoided = Random(seed), differences(session.engine)
    cases = [random_request_case(random, 10_000 + number, avoided) for number in range(COUNT)]
    ended = run(session, server, cases)
    different = []
    for case in cases:
        model, _ = run_in_model(server, case)
        if ended[case.number] != model:
            different.append(f"{case}\n  model  {model}\n  {session.engine} {ended[case.number]}")
    assert not different, "\n".join(different)


# ---------------------------------------------------------------------------------------
# The console
# ---------------------------------------------------------------------------------------

# What the engine says of requests that it does not send, and what `Browser` says that it says
UNSENT = {
    "mixed-content": RequestCase(900_001, HOME, (INSECURE,)),
    "mixed-content-preflight": RequestCase(900_002, HOME, (INSECURE,), method="PUT"),
    "mixed-content-no-cors": RequestCase(900_003, HOME, (INSECURE,), mode="no-cors"),
    "mixed-content-redirect": RequestCase(900_004, HOME, (STRANGER, INSECURE)),
    "same-origin-mode": RequestCase(900_005, HOME, (STRANGER,), mode="same-origin"),
    "same-origin-mode-redirect": RequestCase(900_006, HOME, (HOME, STRANGER), mode="same-origin"),
}


def test_console_sentences(session: Session, server: RequestServer) -> None:
    session.said()
    ended = run(session, server, list(UNSENT.values()))
    lines = session.said()
    for case in UNSENT.values():
        model, error = run_in_model(server, case)
        assert ended[case.number] == model
        assert error is not None
        sentence = error.console[str(session.engine)]
        assert [line for line in lines if sentence in line] != [], lines


def test_every_step_that_sends_nothing_is_among_them() -> None:
    errors = [run_in_model(RequestServer(), case)[1] for case in UNSENT.values()]
    assert {error.step for error in errors if error} == {Step.MIXED_CONTENT, Step.SAME_ORIGIN_MODE}
