"""Sessions in a terminal, as text: ``$ command``, what it prints, and ``[exit status 1]`` where that is not 0.

A test runs each command as a real process, and compares. `rewrite` writes down what it printed instead.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Step(NamedTuple):
    command: str
    output: str


def steps_of(text: str) -> list[Step]:
    """The commands of a session and their outputs."""
    steps: list[Step] = []
    for part in f"\n{text}".split("\n$ ")[1:]:
        command, _, output = part.partition("\n")
        steps.append(Step(command, output.rstrip("\n")))
    return steps


def text_of(steps: list[Step]) -> str:
    return "\n\n".join(f"$ {step.command}\n{step.output}".rstrip("\n") for step in steps) + "\n"


def run(steps: list[Step], folder: Path) -> Iterator[Step]:
    """What the commands print in *folder*, one after the other."""
    for step in steps:
        yield Step(step.command, _run(step.command, folder).rstrip("\n"))


def _run(command: str, folder: Path) -> str:
    program, *arguments = shlex.split(command)
    modules = {"flask": ["-m", "flask"], "python": []}
    if program not in modules:
        return _shell(command, folder)
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, *modules[program], *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"},
    )
    # An app may say something of its own when it starts.
    error = result.stderr if result.returncode == 2 or not result.stdout else ""
    status = f"\n[exit status {result.returncode}]" if result.returncode else ""
    return (result.stdout + error).rstrip("\n") + status


def _shell(command: str, folder: Path) -> str:
    result = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60)
    return result.stdout + result.stderr
