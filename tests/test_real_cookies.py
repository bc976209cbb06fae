"""Chromium, Firefox and WebKit judge the cookies of the browser for tests.

``PREFLIGHT_SEED=1 PREFLIGHT_CASES=5000 pytest tests/test_real_cookies.py`` draws other cases, and more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cookie_cases import ROW_CASES, STRANGER, CookieCase, CookieServer, Hop, last_cookies, run_in_model
from random_cookies import AVOIDABLE, random_cookie_case
from real_browsers import ENGINES, FIREFOX, Engine, Session

ROOT = Path(__file__).parent.parent
SEED = int(os.environ.get("PREFLIGHT_SEED", "2026"))
COUNT = int(os.environ.get("PREFLIGHT_CASES", "200"))

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200 + COUNT)]


@pytest.fixture(scope="module")
def server() -> CookieServer:
    return CookieServer()


@pytest.fixture(scope="module", params=ENGINES, ids=str)
def session(request: pytest.FixtureRequest, server: CookieServer) -> Iterator[Session]:
    engine: Engine = request.param
    if not engine.is_installed:
        pytest.skip(f"needs {engine}")
    with Session(engine, server) as session:
        server.ports = {name: session.origins[name.upper()].rpartition(":")[2] for name in "ab"}
        yield session


def run(session: Session, server: CookieServer, cases: Sequence[CookieCase]) -> dict[int, list[str]]:
    """The cookies that the engine's requests carry, by the number of the case."""
    pages: dict[str, list[CookieCase]] = {}
    for case in cases:
        server.cases[case.number] = case
        pages.setdefault(server.origin(case, case.page), []).append(case)
    for page, of_page in pages.items():
        session.open_page(page)
        session.fetch_all([job(server, case) for case in of_page])
    return {case.number: server.take_log(case) for case in cases}


def job(server: CookieServer, case: CookieCase) -> dict[str, Any]:
    urls = [server.url(case, step) for step in range(len(case.steps))]
    return {"id": case.number, "fetches": [{"url": url, "init": {"credentials": "include"}} for url in urls]}


# ---------------------------------------------------------------------------------------
# docs/engines.md
# ---------------------------------------------------------------------------------------

COLUMNS = ("the RFC", *map(str, ENGINES))


def documented() -> dict[str, dict[str, str]]:
    """The table of cookies: by row, what each column says."""
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(cookie-[a-z0-9-]+)` \|[^|]*\|(.*)\|$", text, re.MULTILINE)
    return {name: dict(zip(COLUMNS, (cell.strip() for cell in cells.split("|")), strict=True)) for name, cells in rows}


def differences(engine: Engine) -> frozenset[str]:
    return frozenset(name for name, row in documented().items() if row[str(engine)] != row["the RFC"])


def test_the_table_of_cookies(session: Session, server: CookieServer) -> None:
    logs = run(session, server, list(ROW_CASES.values()))
    seen = {name: last_cookies(case, logs[case.number]) for name, case in ROW_CASES.items()}
    assert seen == {name: row[str(session.engine)] for name, row in documented().items()}


def test_the_model_follows_the_rfc() -> None:
    server = CookieServer()
    seen = {name: last_cookies(case, run_in_model(server, case)) for name, case in ROW_CASES.items()}
    assert seen == {name: row["the RFC"] for name, row in documented().items()}


def test_without_lax_by_default_the_model_is_firefox_across_sites() -> None:
    server, table = CookieServer(), documented()
    for name in ("cookie-cross-site", "cookie-loopback"):
        log = run_in_model(server, ROW_CASES[name], lax_by_default=False)
        assert last_cookies(ROW_CASES[name], log) == table[name]["Firefox"]


def test_cases_avoid_what_the_table_has() -> None:
    assert set(documented()) >= AVOIDABLE


# ---------------------------------------------------------------------------------------
# Random cases
# ---------------------------------------------------------------------------------------


def comparable(log: list[str], avoided: frozenset[str]) -> list[str]:
    """*log*, without the order of cookies if the engine has another one."""
    if not avoided & {"cookie-order", "cookie-replaced"}:
        return log
    lines = (line.partition(": ") for line in log)
    return [f"{hop}: {'; '.join(sorted(cookies.split('; ')))}" for hop, _, cookies in lines]


@pytest.mark.parametrize("seed", [SEED], ids=lambda seed: f"seed-{seed}")
def test_random_cookies(session: Session, server: CookieServer, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f" [{session.engine}: {COUNT} random cases, PREFLIGHT_SEED={seed}] ", end="")
    random, avoided = Random(seed), differences(session.engine)
    cases = [random_cookie_case(random, 1000 + number, avoided) for number in range(COUNT)]
    logs = run(session, server, cases)
    different = []
    for case in cases:
        model = run_in_model(server, case, lax_by_default=session.engine is not FIREFOX)
        if comparable(logs[case.number], avoided) != comparable(model, avoided):
            different.append(f"{case}\n  model  {model}\n  {session.engine} {logs[case.number]}")
    assert not different, "\n".join(different)


# ---------------------------------------------------------------------------------------
# Navigations
# ---------------------------------------------------------------------------------------

LOGIN = CookieCase(
    200_000,
    STRANGER,
    ((Hop(STRANGER, "/", ("default=1", "lax=1; SameSite=Lax", "strict=1; SameSite=Strict")),),),
)
ELSEWHERE = CookieCase(200_001, "https://site{g}.co.uk", ())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_forms_of_other_sites(session: Session, server: CookieServer, method: str) -> None:
    """What ``CookieJar`` calls a navigation, two minutes after the login at most."""
    run(session, server, [LOGIN, ELSEWHERE])
    page = server.origin(LOGIN, STRANGER)
    session.open_page(page, method)
    session.fetch_all([{"id": "opened", "fetches": []}])
    assert session.opened_with() == {"GET": "default=1; lax=1", "POST": "default=1"}[method]
