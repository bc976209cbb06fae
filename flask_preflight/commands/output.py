"""What the commands print: tables, findings, and documents for programs."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

import click

from flask_preflight.explain import describe_error, escape
from flask_preflight.fetch import is_forbidden_request_header, is_token
from flask_preflight.problems import PolicyError

DOCUMENT_VERSION: Final = 1
"""The version of the JSON documents. A field that is added does not change it."""

WIDTH: Final = 100
"""How wide texts are, in columns."""

Level = Literal["error", "warning", "note"]
Command = TypeVar("Command", bound=Callable[..., Any])


class CannotRun(click.ClickException):
    """A command that could not do its work. *message* is one sentence, shown on one line above the *details*."""

    exit_code = 2

    def __init__(self, message: str, details: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.details = [*details]

    def format_message(self) -> str:
        message = printable(self.message)
        short = message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."
        return "\n".join([short, *map(printable, self.details)])


_LONGEST_MESSAGE: Final = 1000


@contextmanager
def explaining(what: str, advice: str = "") -> Iterator[None]:
    """Turn whatever a module of the user's raises into `CannotRun`, but for `PolicyError`.

    *advice* is for a module that can be imported, but holds no Flask app.
    """
    try:
        yield
    except PolicyError:
        raise
    except click.ClickException as error:
        message = error.format_message()
        advised = message if "Traceback" in message else f"{message} {advice}"
        raise CannotRun(_one_line(advised)) from error
    except SystemExit as error:  # it would be the exit status of the command
        raise CannotRun(f"{what} cannot be imported: it calls sys.exit({error.code!a}).") from error
    except Exception as error:
        raise CannotRun(f"{what} cannot be imported: {describe_error(error)}.") from error


def _one_line(message: str) -> str:
    """Flask adds the traceback of an import that failed. Its first and its last line say what is wrong."""
    first, *others = [line.strip() for line in message.splitlines() if line.strip()]
    return f"{first} {others[-1]}" if any("Traceback" in line for line in others) else " ".join([first, *others])


STDOUT_KEY: Final = "flask_preflight.stdout"
"""Where a context's meta holds the stdout of the command, while what an app prints goes to stderr."""


def echo(text: str) -> None:
    """Print *text* to stdout, escaping what its encoding lacks."""
    context = click.get_current_context(silent=True)
    stdout = context.meta.get(STDOUT_KEY, sys.stdout) if context else sys.stdout
    encoding = getattr(stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), file=stdout)


def printable(text: str) -> str:
    """*text* with what acts on a terminal, or hides in it, as an escape: control characters, line ends, bidi marks."""
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


class Finding(NamedTuple):
    """One thing that a command found. *where* is ``file:line``, or what there is instead, such as a URL."""

    id: str
    level: Level
    where: str
    message: str
    help: str = ""
    """The URL of the page that explains it."""


def format_option(*formats: str) -> Callable[[Command], Command]:
    """The option ``--format``, whose first value is the default."""
    return click.option(
        "--format", "format_", type=click.Choice(formats), default=formats[0], show_default=True, help="How to print."
    )


def header_option(parameter: str) -> Callable[[Command], Command]:
    """The option ``--header``, which takes names."""
    text = "A header that the page sets: its name, without a value. Repeatable."
    return click.option("--header", parameter, multiple=True, metavar="NAME", callback=_names_only, help=text)


def _names_only(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not is_token(name):
            alone = name.partition(":")[0]
            example = alone if is_token(alone) else "x-client"
            raise CannotRun(f"--header {escape(name)} is no header name. Write the name alone: --header {example}")
        if is_forbidden_request_header(name):
            hint = " For cookies, write --cookies." if name.lower() == "cookie" else ""
            raise CannotRun(f"--header {name}: no script can set this header. The browser sets it, or drops it.{hint}")
    return names


# ---------------------------------------------------------------------------------------
# Text
# ---------------------------------------------------------------------------------------


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], flexible: int = 0) -> Iterator[str]:
    """Lines like those of ``flask routes``. Where they would be too wide, the column *flexible* is shortened."""
    lines = [heads, *([_shorten(printable(cell), _WIDEST) for cell in row] for row in rows)]
    widths = _widths(lines)
    too_wide = width_of(heads, lines[1:]) - WIDTH
    if too_wide > 0:
        widths[flexible] = max(widths[flexible] - too_wide, min(widths[flexible], _NARROWEST))
    for line in [heads, ["-" * width for width in widths], *lines[1:]]:
        cells = [_shorten(cell, width).ljust(width) for cell, width in zip(line, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def width_of(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """How wide a table would be."""
    widths = _widths([heads, *rows])
    return sum(widths) + 2 * (len(widths) - 1)


def _widths(lines: list[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


_NARROWEST: Final = 20
_WIDEST: Final = 400  # more than any origin has


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def wrap(text: str, indent: int, first: str = "") -> Iterator[str]:
    """Lines of at most `WIDTH` columns. *first* stands in the indentation of the first line. No word is broken."""
    yield from textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=first.ljust(indent),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def plural(count: int, noun: str) -> str:
    """``1 error``, ``2 errors``."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"


def style(text: str, **styles: Any) -> str:
    """*text* in colour, which `click.echo` drops again where stdout is no terminal; plain with ``NO_COLOR``.

    https://no-color.org/: it counts if it is set and not empty.
    """
    return text if os.environ.get("NO_COLOR") else click.style(text, **styles)


def relative(place: str) -> str:
    """``file:line`` as seen from the current directory, or else from where Python found the module."""
    folders = [Path.cwd(), *sorted((Path(entry) for entry in sys.path if entry), key=lambda path: -len(str(path)))]
    for folder in folders:
        with suppress(ValueError):
            return Path(place).relative_to(folder).as_posix()  # as annotations and SARIF name files
    return place


# ---------------------------------------------------------------------------------------
# For programs
# ---------------------------------------------------------------------------------------


def echo_json(kind: str, content: Mapping[str, Any]) -> None:
    """Print a document: which command made it, its version, and *content*."""
    document = {"command": kind, "version": DOCUMENT_VERSION, **content}
    echo(json.dumps(document, indent=2, ensure_ascii=True))
