"""The benchmark works, with the peers that are installed. How fast anything is, no test says: that is `make bench`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.servers
def test_whole_servers_answer() -> None:
    result = run("--server")
    assert (result.returncode, result.stderr) == (0, "")
    assert [row[0] for row in rows(result.stdout)] == ["constant answer", "**`PreflightMiddleware`**"]
