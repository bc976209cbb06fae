"""The network tab of real browsers shows why a request is refused, in debug mode; where it cannot, what it shows.

Chromium and Firefox show the headers of what they block. WebKit shows no preflight, and no response to a request that
it blocks, whatever the headers. Its row of the page's request has just the sentence that the console has too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from mistakes import MISTAKES, Mistake, app_of, explanation_of, visit
from pages import without_line_numbers
from real_browsers import ENGINES, WEBKIT, Engine, InspectedSession, Row, serving

from flask_preflight.browser import CORSError

pytestmark = pytest.mark.browser

WWW = [name for name, mistake in MISTAKES.items() if "//www." in mistake.page]
OTHERS = [name for name in MISTAKES if name not in WWW]

mistakes = pytest.mark.parametrize("name", MISTAKES)


class Attempt(NamedTuple):
    """A mistake of a page whose origin is *mistake.page*: what the page got in the end, and the rows of each fetch."""

    mistake: Mistake
    result: Mapping[str, Any]
    rows: list[list[Row]]


class Attempts(NamedTuple):
    """In debug mode and in production, by the name of the mistake."""

    engine: Engine
    debug: dict[str, Attempt]
    production: dict[str, Attempt]


@pytest.fixture(scope="module", params=ENGINES, ids=str)
def attempts(request: pytest.FixtureRequest) -> Attempts:
    engine: Engine = request.param
    if not engine.is_installed:
        pytest.skip(f"needs {engine}")
    with InspectedSession(engine) as session:
        debug, production = attempt(session, OTHERS, debug=True), attempt(session, OTHERS, debug=False)
        session.move_to("www.localhost")
        debug |= attempt(session, WWW, debug=True)
        production |= attempt(session, WWW, debug=False)
    return Attempts(engine, debug, production)


def attempt(session: InspectedSession, names: list[str], *, debug: bool) -> dict[str, Attempt]:
    """Let the page of *session* make the mistakes."""
    page = session.origins["A"]
    made = {name: replace(MISTAKES[name], page="null" if MISTAKES[name].page == "null" else page) for name in names}
    with ExitStack() as exits:
        urls = {name: exits.enter_context(served(mistake, debug=debug)) for name, mistake in made.items()}
        fetches = {name: fetches_of(mistake, urls[name]) for name, mistake in made.items()}
        jobs = [{"id": name, "opaque": made[name].page == "null", "fetches": fetches[name]} for name in names]
        results = session.fetch_all(jobs)
        rows = session.network_tab.rows({fetch["url"] for each in fetches.values() for fetch in each})
    return {
        name: Attempt(mistake, results[name][-1], [rows[fetch["url"]] for fetch in fetches[name]])
        for name, mistake in made.items()
    }


@contextmanager
def served(mistake: Mistake, *, debug: bool) -> Iterator[str]:
    app = app_of(mistake, mistake.page)
    app.debug = debug
    with serving(app) as port:
        yield f"http://127.0.0.1:{port}"


def fetches_of(mistake: Mistake, url: str) -> list[dict[str, Any]]:
    """What the page does; the last of it is refused."""
    credentials = "include" if mistake.with_cookies else "same-origin"
    init = {"method": mistake.method, "headers": mistake.headers, "credentials": credentials}
    login = {"url": f"{url}/login", "init": {"mode": "no-cors", "credentials": "include"}}
    return [*([login] if mistake.with_cookies else []), {"url": f"{url}{mistake.path}", "init": init}]


@mistakes
def test_the_page_gets_nothing(attempts: Attempts, name: str) -> None:
    for mode in (attempts.debug, attempts.production):
        assert mode[name].result["status"] is None
        assert mode[name].result["error"].startswith("TypeError: ")


@mistakes
def test_in_debug_mode_it_shows_the_reason_and_what_to_write(attempts: Attempts, name: str) -> None:
    made = attempts.debug[name]
    if attempts.engine is WEBKIT:
        assert_only_the_error_is_shown(made, debug=True)
        return
    shown = headers_of_refusal(made)["CORS-Refused"]
    expected = f"{made.mistake.reason.value}; {explanation_of(made.mistake)}"
    assert without_line_numbers(shown) == without_line_numbers(expected)


@mistakes
def test_in_production_it_shows_no_reason(attempts: Attempts, name: str) -> None:
    made = attempts.production[name]
    if attempts.engine is WEBKIT:
        assert_only_the_error_is_shown(made, debug=False)
        return
    assert "cors-refused" not in map(str.lower, headers_of_refusal(made))


def headers_of_refusal(made: Attempt) -> dict[str, str]:
    """Of the only response to the last fetch: to its preflight if it has one."""
    [(method, headers)] = [(row.method, row.headers) for row in made.rows[-1] if row.headers is not None]
    assert method == ("OPTIONS" if made.mistake.has_preflight else made.mistake.method)
    return headers


def assert_only_the_error_is_shown(made: Attempt, *, debug: bool) -> None:
    """The error is what the console says, as the tests' browser foretells it."""
    app = app_of(made.mistake, made.mistake.page)
    app.debug = debug
    with pytest.raises(CORSError) as raised:
        visit(app, made.mistake, made.mistake.page)
    [row] = made.rows[-1]
    assert (row.method, row.headers, row.error) == (made.mistake.method, None, raised.value.console["WebKit"])


def test_it_shows_the_headers_of_what_is_not_blocked(attempts: Attempts) -> None:
    """WebKit's too: so what is missing there was not just missed by the tests."""
    [login], _ = attempts.debug["cookies under a star"].rows
    assert login.headers is not None
    assert login.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "cors-refused" not in map(str.lower, login.headers)
