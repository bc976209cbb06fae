"""The benchmark works, with the peers that are installed. How fast anything is, no test says: that is `make bench`."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "tests" / "benchmarks"
FIGURES_MISSED = 3


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), "--quick", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def rows(table: str) -> list[list[str]]:
    """The rows of a Markdown table, without its head."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines() if line[:1] == "|"][
        2:
    ]


def test_every_figure_wanted_is_judged() -> None:
    result = run()
    assert result.returncode in {0, FIGURES_MISSED}, result.stderr
    tables = {part.partition("\n")[0]: rows(part) for part in result.stdout.split("### ")}
    figures = tables["What is wanted"]
    # The peers that some are compared with may be missing
    alone = [row for row in figures if not re.search("wsgicors|Flask-Cors", row[1])]
    assert len(figures) > len(alone) > 20
    assert all(row[3] in {"reached", "**missed**"} for row in alone)
    assert {row[3] for row in figures} <= {"reached", "**missed**", "not measured"}
    assert "**`Preflight`**, policy by route" in {row[0] for row in tables["Each kind of request"]}
    assert all(re.match("left out, for ", line) for line in result.stderr.splitlines())


def test_only_a_part_is_measured() -> None:
    result = run("--only=number=import")
    assert result.returncode in {0, FIGURES_MISSED}, result.stderr
    assert "Each kind of request" not in result.stdout
    assert "What happens once" in result.stdout


def test_page_has_the_marks() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for part in ("figures", "servers"):
        assert re.search(f"<!-- {part}: made by .* -->(?s:.*)<!-- {part}: end -->", page)


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(PROGRAM)
    return importlib.import_module("harness")


def test_rounds_of_several_processes_are_as_those_of_one(harness: Any) -> None:
    parts = [{"a": {0: 1.0, 1: 2.0}, "b": {0: 3.0}}, {"a": {0: 4.0, 1: 5.0}, "b": {0: 6.0}}]
    assert harness.pool(parts) == {"a": {0: 1.0, 1: 2.0, 2: 4.0, 3: 5.0}, "b": {0: 3.0, 2: 6.0}}


def test_the_quickest_third_of_the_rounds_counts_whatever_ours_took(harness: Any) -> None:
    peer = {0: 9.0, 1: 1.0, 2: 9.0, 3: 9.0, 4: 2.0, 5: 9.0}
    ours = {0: 1.0, 1: 7.0, 2: 1.0, 3: 1.0, 4: 8.0, 5: 1.0}
    times = {"peer": peer, "ours": ours, "slow": {0: 50.0}}
    expected = {"peer": {1: 1.0, 4: 2.0}, "ours": {1: 7.0, 4: 8.0}, "slow": {0: 50.0}}
    assert harness.quickest(times, ["peer"]) == expected


@pytest.mark.parametrize(
    ("one", "ratio", "added"),
    [
        pytest.param({0: 2.0, 1: 2.0, 2: 30.0}, 2.0, 1.0, id="the median of the rounds, not of the times"),
        pytest.param({1: 5.0}, 5.0, 4.0, id="only common rounds"),
        pytest.param({7: 6.0, 8: 6.0}, 3.0, 4.0, id="no common round: the medians"),
    ],
)
def test_comparisons_go_by_rounds(harness: Any, one: dict[int, float], ratio: float, added: float) -> None:
    times = {"one": one, "other": {0: 4.0, 1: 1.0, 2: 2.0}}
    assert (harness.ratio(times, "one", "other"), harness.added(times, "one", "other")) == (ratio, added)


@pytest.mark.servers
def test_whole_servers_answer() -> None:
    result = run("--server")
    assert (result.returncode, result.stderr) == (0, "")
    assert [row[0] for row in rows(result.stdout)] == ["constant answer", "**`PreflightMiddleware`**"]
