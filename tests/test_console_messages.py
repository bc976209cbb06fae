"""docs/messages.md is found by what a console says: its headings, and its index for each browser."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from doc_programs import ROOT, parts
from pages import PAGE, STRANGER
from test_browser import DATA, PROVOKING, answering, failure, moved, origin, provoked, sections

from flask_preflight import Policy, PreflightMiddleware
from flask_preflight.browser import CORSError, Step

TEXT = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
LISTS = {"Chromium": "Chrome and Edge", "Firefox": "Firefox", "WebKit": "Safari"}


def says(sentence: str, words: str) -> bool:
    """Whether a message contains *words*, in which … stands for anything."""
    return re.search(".*".join(map(re.escape, words.split("…"))), sentence) is not None


class Entry(NamedTuple):
    words: str
    anchors: list[str]


def index(engine: str) -> list[Entry]:
    """What the index of a browser says."""
    items = re.findall(r"^- \[`(.+?)`\](.+)$", parts(TEXT)[LISTS[engine]], re.MULTILINE)
    return [Entry(words, re.findall(r"\(#(.+?)\)", links)) for words, links in items]


def errors() -> list[CORSError]:
    """One for each step, and the variants of a step that an engine tells apart."""
    return [
        *map(provoked, PROVOKING),
        failure(answering([origin("frontend.com")]), DATA),
        failure(moved(DATA), "/moved", mode="same-origin"),
    ]


@pytest.mark.parametrize("engine", LISTS)
def test_each_message_is_in_the_index_and_leads_to_its_section(engine: str) -> None:
    redirects = re.findall(r'id="(.+?)"', TEXT.partition("## Redirects")[2])
    for error in errors():
        if engine not in error.console:
            continue
        [entry] = [entry for entry in index(engine) if says(error.console[engine], entry.words)]
        anchors = {*entry.anchors, *(redirects if "redirects" in entry.anchors else [])}
        assert error.step.value in anchors, entry


@pytest.mark.parametrize("engine", LISTS)
def test_the_index_is_sorted_and_has_nothing_that_no_browser_says(engine: str) -> None:
    entries = [entry.words for entry in index(engine)]
    said = [error.console.get(engine, "") for error in errors()]
    assert entries == sorted(entries, key=str.lower)
    assert [words for words in entries if not any(says(sentence, words) for sentence in said)] == []


@pytest.mark.parametrize("step", [step for step in Step if provoked(step).console], ids=lambda step: step.value)
def test_headings_are_what_a_console_says(step: Step) -> None:
    heading = re.search(r"^### `(.+)`$", sections()[step.value], re.MULTILINE)
    assert heading is not None
    assert any(says(sentence, heading[1]) for sentence in provoked(step).console.values())


@pytest.mark.parametrize(
    ("page", "arguments"),
    [
        pytest.param(STRANGER, {}, id="origin"),
        pytest.param(STRANGER, {"method": "PUT"}, id="origin-of-a-preflight"),
        pytest.param(PAGE, {"method": "DELETE"}, id="method"),
        pytest.param(PAGE, {"method": "PUT", "headers": {"X-Request-Id": "1"}}, id="header"),
        pytest.param(PAGE, {"headers": {"Authorization": "Bearer t"}}, id="authorization"),
    ],
)
def test_in_production_every_refusal_looks_the_same(page: str, arguments: dict[str, Any]) -> None:
    app = PreflightMiddleware(answering([]), Policy(allow_origins=[PAGE], allow_methods=["PUT"]))
    error = failure(app, DATA, origin=page, **arguments)
    assert error.step is Step.ALLOW_ORIGIN_MISSING
    assert says(error.console["Chromium"], "No 'Access-Control-Allow-Origin' header is present")
    assert says(error.console["Firefox"], "CORS header ‘Access-Control-Allow-Origin’ missing")
    if error.exchange.preflight:
        assert error.console["WebKit"] == "Preflight response is not successful. Status code: 403"


@pytest.mark.parametrize(
    ("column", "allow_origins"), [pytest.param(1, [PAGE], id="origins"), pytest.param(2, "*", id="star")]
)
def test_cookies_that_the_policy_does_not_allow(
    column: int, allow_origins: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = PreflightMiddleware(answering([]), Policy(allow_origins=allow_origins, allow_methods=["PUT"]), debug=True)
    error = failure(app, DATA, "PUT", credentials="include")
    assert (error.exchange.preflight, error.exchange.status, caplog.messages) == (True, 204, [])
    section = parts((ROOT / "docs" / "refusals.md").read_text(encoding="utf-8"))["`credentials-not-allowed`"]
    rows = [
        re.split(r" *\| *", line)[1:] for line in section.splitlines() if line.startswith(("| Chr", "| Fire", "| Saf"))
    ]
    for engine, row in zip(LISTS, rows, strict=True):
        assert says(error.console[engine], row[column].strip("`"))
