"""The pages of the commands show what the commands print. ``python tests/test_command_pages.py`` writes that down."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sessions import ROOT, run, steps_of

pytestmark = pytest.mark.slow

PAGES = [ROOT / "docs" / f"{name}.md" for name in ("commands/routes", "commands/explain", "commands/verify")]
PAGES += [ROOT / "docs" / f"{name}.md" for name in ("commands/diff", "code-review", "edge", "policy-or-server")]
PAGES += sorted({*(ROOT / "docs" / "edges").glob("*.md")} - {ROOT / "docs" / "edges" / "others.md"})  # it runs none
BLOCK = re.compile(r"(?<=^```text\n)\$ .*?(?=^```$)", re.MULTILINE | re.DOTALL)


def as_printed(text: str) -> str:
    """*text* with what its commands print, run one after the other in one folder."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for file in (ROOT / "docs" / "examples").glob("*.py"):
            shutil.copy(file, folder)
        return BLOCK.sub(lambda block: "\n".join(_lines(block[0], folder)) + "\n", text)


def _lines(block: str, folder: Path) -> Iterator[str]:
    for step in run(steps_of(block), folder):
        yield f"$ {step.command}"
        yield step.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_what_the_commands_print(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) > 0
    assert as_printed(text) == text


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(as_printed(each.read_text(encoding="utf-8")), encoding="utf-8")
