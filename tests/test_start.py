"""What docs/start.md says that its reader sees."""

from __future__ import annotations

import logging
import runpy
from pathlib import Path

import pytest
from doc_programs import ROOT, blocks, parts
from flask import Flask

from flask_preflight import PreflightMiddleware
from flask_preflight.browser import Browser, CORSError

PAGE = parts((ROOT / "docs" / "start.md").read_text(encoding="utf-8"))


def code_below(heading: str, language: str) -> list[str]:
    """The blocks of a language in one part of the page."""
    lines = PAGE[heading].splitlines()
    return ["\n".join(block.code) for block in blocks(lines) if block.language == language]


def status_for_the_page(app: Flask | PreflightMiddleware) -> int:
    """The status that the page of step 2 gets."""
    headers, url = {"Authorization": "Bearer token"}, "http://127.0.0.1:8001/api/data"
    return Browser(app, "http://127.0.0.1:8000").fetch(url, "PUT", headers, json={"n": 1}).status


# what is taken out, and how the line of the page differs
FLASK: tuple[str, str, dict[str, str]] = ('[..., "Authorization"]', "[...]", {})
WSGI = ('"Authorization",', "", {"'/api/data'": "'any path'", "Preflight(...) at backend.py:6": "the Policy"})


@pytest.mark.parametrize(
    ("number", "old", "new", "differences"), [pytest.param(0, *FLASK, id="flask"), pytest.param(1, *WSGI, id="wsgi")]
)
def test_the_terminal_names_the_header_that_is_taken_out(
    number: int,
    old: str,
    new: str,
    differences: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = code_below("5. Add three lines", "python")[number]
    path = tmp_path / "backend.py"
    path.write_text(source, encoding="utf-8")
    assert status_for_the_page(runpy.run_path(str(path))["app"]) == 200

    assert old in source
    path.write_text(source.replace(old, new), encoding="utf-8")
    app = runpy.run_path(str(path))["app"]
    app.debug = True
    with caplog.at_level(logging.WARNING, "flask_preflight"), pytest.raises(CORSError) as caught:
        status_for_the_page(app)
    terminal, console = code_below("7. See why a request is refused", "text")
    for of_flask, of_this in differences.items():
        terminal = terminal.replace(of_flask, of_this)
    assert caplog.messages[-1].replace(f"{tmp_path}/", "") == terminal
    assert caught.value.console["Chromium"].endswith(f" policy: {console}")
