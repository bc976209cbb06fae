"""What stands on a page of README.md and docs/, as a program.

All ``python`` blocks of a page are one program, in their order. A ``text`` block right below one is what it prints.
Every other block that is code, in whatever language, has a line ``<!-- not run: the reason -->`` right above it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

FENCE = re.compile(r"^(?P<indent>[ \t>]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)")
# What nobody would run: text, and directives of the site save those that hold code
SHOWN = re.compile(r"(?:text|markdown|\{(?!py|code|doctest|testcode)[a-z:-]+\})?")
NOT_RUN = re.compile(r"^\s*<!-- not run: \S.* -->$")


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


def read_program(page: str, *headings: str) -> str:
    """What a page in docs/ tells to run: all of it, or the parts below *headings*, each down to the next heading."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    if headings:
        text = "\n".join(parts(text)[heading] for heading in headings)
    return program(text).source


def parts(text: str) -> dict[str, str]:
    """The parts of a page by their headings, of whatever level."""
    lines = text.splitlines()
    inside = {number for block in blocks(lines) for number in range(block.opening, block.closing)}
    found: dict[str, list[str]] = {}
    part: list[str] = []
    for number, line in enumerate(lines):
        if number not in inside and (heading := re.match(r"#{1,6} (.+)", line)):
            part = found[heading[1]] = []
        part.append(line)
    return {heading: "\n".join(part) for heading, part in found.items()}


def warning_filters(config: pytest.Config) -> list[str]:
    """Warnings are errors here as in the tests, with the same exceptions."""
    return [f"-W{line}" for line in config.getini("filterwarnings")]


def run_recipe(
    recipe: str, driver: str, folder: Path, config: pytest.Config, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run *driver*, which imports *recipe* under this name, in a process of its own. It can import the tests."""
    (folder / "recipe.py").write_text(recipe, encoding="utf-8")
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, *warning_filters(config), "-c", driver],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result


def ask(port: int, method: str, path: str, **headers: str) -> str:
    """What a server answers over a connection of its own, which any worker may take."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers=headers)
    body = connection.getresponse().read().decode()
    connection.close()
    return body
