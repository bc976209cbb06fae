"""Golden files: messages of the package as a person reads them, below what was written to get them.

A file is a text for reviews. It begins with some words about itself. Then each case has a title after ``#``, code that
is indented by four spaces, the message, and perhaps the code that follows the message's advice::

    # A slash at the end

        Policy(allow_origins=["https://a.com/"])

    PolicyError: 1 problem with a CORS policy: ...

    Right:

        Policy(allow_origins=["https://a.com"])

The code is the source of the test: a test runs it, and compares what it says with the file. So a new case is a title
and code; `Page.rewrite` adds the message.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "messages"


class Case(NamedTuple):
    title: str
    code: str
    message: str
    right: str = ""  # code that does what the message says


class Page(NamedTuple):
    path: Path
    preface: str
    cases: list[Case]

    def __str__(self) -> str:
        """The page as it stands in its file."""
        return "\n\n\n".join([self.preface, *map(_format, self.cases)]) + "\n"

    def rewrite(self, say: Callable[[Case], str]) -> None:
        """Write the file anew, with the message that *say* gets for each case."""
        cases = [case._replace(message=say(case)) for case in self.cases]
        self.path.write_text(str(self._replace(cases=cases)), encoding="utf-8")


def _format(case: Case) -> str:
    right = f"\n\nRight:\n\n{_indent(case.right)}" if case.right else ""
    return f"# {case.title}\n\n{_indent(case.code)}\n\n{case.message}{right}"


def _indent(code: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in code.splitlines())


def read_page(name: str) -> Page:
    """Read the file *name* of the folder ``messages``."""
    path = FOLDER / name
    preface, *sections = re.split(r"^# ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return Page(path, preface.strip(), [*map(_read_case, sections)])


def _read_case(section: str) -> Case:
    title, _, rest = section.partition("\n")
    case, _, right = rest.partition("\nRight:\n")
    lines = case.strip("\n").splitlines()
    end = next((number for number, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
    return Case(title, _dedent(lines[:end]), "\n".join(lines[end:]), _dedent(right.splitlines()))


def _dedent(lines: Iterable[str]) -> str:
    return "\n".join(line.removeprefix("    ") for line in lines).strip("\n")


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname}: {record.getMessage()}")


@contextmanager
def collecting_log(level: int = logging.WARNING) -> Iterator[list[str]]:
    """Collect what the package logs from *level* upwards, one line for each record."""
    logger, handler = logging.getLogger("flask_preflight"), _Lines()
    old = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(old)


def describe_exception(error: BaseException) -> str:
    """*error* as the last lines of a traceback have it."""
    return f"{type(error).__name__}: {error}"


def make_stable(lines: Iterable[str], folder: Path) -> str:
    """*lines* without what differs from run to run: the place of *folder*, and addresses in memory."""
    text = "\n".join(lines).replace(f"{folder}/", "")
    return re.sub(r"\bat 0x[0-9a-f]+", "at 0x...", text)
