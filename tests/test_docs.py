"""The examples in README.md and docs/ run, and print what the page says they print.

All ``python`` blocks of a page are one program, in their order. A ``text`` block right below one is what it prints.
Every other block that is code, in whatever language, has a line ``<!-- not run: the reason -->`` right above it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^(?P<indent>[ \t>]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)")
# What nobody would run: text, and directives of the site save those that hold code
SHOWN = re.compile(r"(?:text|markdown|\{(?!py|code|doctest|testcode)[a-z:-]+\})?")
NOT_RUN = re.compile(r"^\s*<!-- not run: \S.* -->$")
LAST_WORD = "This was the whole page.\n"


class Block(NamedTuple):
    opening: int  # the line of its fence, from 0
    closing: int
    language: str
    code: list[str]


def blocks(lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        if fence is not None:
            opening = number
            closing = re.compile(rf"[ \t>]*{fence['fence']}[`~]*\s*$")
            number += 1
            while number < len(lines) and not closing.match(lines[number]):
                number += 1
            code = [line.removeprefix(fence["indent"]) for line in lines[opening + 1 : number]]
            yield Block(opening, number, fence["language"], code)
        number += 1


class Program(NamedTuple):
    source: str  # each line where it stands on the page, so that a traceback names the right one
    prints: str


def program(text: str) -> Program:
    """Put together what a page tells to run.

    :raises ValueError: if a block would neither run nor say why.
    """
    lines = text.splitlines()
    reasons = {number + 1 for number, line in enumerate(lines) if NOT_RUN.match(line)}
    source = [""] * len(lines)
    prints = ""
    end_of_run: int | None = None  # of the block right above, if it is run
    for block in blocks(lines):
        is_run = block.language == "python" and block.opening not in reasons
        if is_run:
            source[block.opening + 1 : block.closing] = block.code
        elif block.opening not in reasons and not SHOWN.fullmatch(block.language):
            raise ValueError(f"line {block.opening + 1}: write ```python, or why it is not run")
        elif block.language == "text" and end_of_run is not None and not any(lines[end_of_run + 1 : block.opening]):
            prints += "".join(f"{line}\n" for line in block.code)
        end_of_run = block.closing if is_run else None
        reasons.discard(block.opening)
    if reasons or text.count("<!-- not run") != sum(map(bool, map(NOT_RUN.match, lines))):
        raise ValueError("a line '<!-- not run: the reason -->' has a reason, and stands right above a block")
    return Program("\n".join(source), prints)


def warning_filters(config: pytest.Config) -> list[str]:
    """Warnings are errors here as in the tests, with the same exceptions."""
    return [f"-W{line}" for line in config.getini("filterwarnings")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples_of_the_page_run(page: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    source, prints = program(page.read_text(encoding="utf-8"))
    (tmp_path / "page.py").write_text(f"{source}\nprint({LAST_WORD!r}, end='')\n", encoding="utf-8")
    # Django's documentation calls a project so, and its settings may be empty.
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "settings.py").touch()
    command = [sys.executable, *warning_filters(pytestconfig), "page.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == prints + LAST_WORD


# ---------------------------------------------------------------------------------------
# No block escapes
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "source", "prints"),
    [
        pytest.param("no code", "", "", id="none"),
        pytest.param("```python\na = 1\n```\n\n```python\nb = a\n```", "\na = 1\n\n\n\nb = a\n", "", id="two"),
        pytest.param("- item\n  ```python\n  if a:\n      b\n  ```", "\n\nif a:\n    b\n", "", id="in-a-list"),
        pytest.param("> ```python\n> a\n> ```", "\na\n", "", id="in-a-quotation"),
        pytest.param("~~~~python\n```\n~~~~", "\n```\n", "", id="tildes"),
        pytest.param("````\n```python\na\n```\n````", "\n\n\n\n", "", id="shown-as-markdown"),
        pytest.param('```python title="a.py"\na\n```', "\na\n", "", id="with-attributes"),
        pytest.param("<!-- not run: why -->\n```python\na\n```", "\n\n\n", "", id="not-run"),
        pytest.param("```python\na\n```\n\n```text\n1\n\n2\n```", "\na\n" + "\n" * 6, "1\n\n2\n", id="prints"),
        pytest.param("```python\na\n```\nSome\n```text\n1\n```", "\na\n\n\n\n\n", "", id="text-of-its-own"),
        pytest.param("```\na\n```\n```text\n1\n```", "\n" * 5, "", id="text-below-something-else"),
        pytest.param("```{toctree}\na\n```", "\n\n", "", id="directive"),
    ],
)
def test_what_is_run(text: str, source: str, prints: str) -> None:
    assert program(text) == (source, prints)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("```py\na\n```", id="py"),
        pytest.param("```Python\na\n```", id="capital"),
        pytest.param("```pycon\n>>> a\n```", id="pycon"),
        pytest.param("```{python}\na\n```", id="braces"),
        pytest.param("```{code-block} python\na\n```", id="directive"),
        pytest.param("```sh\na\n```", id="sh"),
        pytest.param("```nginx\na\n```", id="nginx"),
        pytest.param("<!-- not run: -->\n```python\na\n```", id="no-reason"),
        pytest.param("<!-- not run -->\n```python\na\n```", id="no-colon"),
        pytest.param("<!-- not run: why -->\n\n```python\na\n```", id="not-right-above"),
        pytest.param("<!-- not run: why -->\ntext", id="above-nothing"),
    ],
)
def test_no_block_escapes(text: str) -> None:
    with pytest.raises(ValueError, match="not run"):
        program(text)
