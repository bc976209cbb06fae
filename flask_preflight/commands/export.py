"""``export``: what a proxy in front of the app may grant by itself, as configuration."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import click

from flask_preflight import __version__
from flask_preflight.commands.app import find_target
from flask_preflight.commands.output import CannotRun, echo, plural
from flask_preflight.commands.targets import FlaskTarget, MiddlewareTarget, Target
from flask_preflight.edge import caddy, envoy, haproxy, javascript, nginx
from flask_preflight.edge.app import ANOTHER_PATH, rows_of_app
from flask_preflight.edge.rows import CannotExport, Row, digest_of, rows_of
from flask_preflight.paths import PathPolicies
from flask_preflight.policy import Policy


class Edge(NamedTuple):
    """How rows become files. *about* says of each file how it is included. A file may have at most *most_bytes*."""

    export: Callable[[Iterable[Row]], dict[str, str]]
    about: Mapping[str, str]
    most_bytes: float = math.inf


EDGES: Final = {
    "nginx": Edge(nginx.export, nginx.FILES),
    "haproxy": Edge(haproxy.export, haproxy.FILES),
    "caddy": Edge(caddy.export, caddy.FILES),
    "envoy": Edge(envoy.export, envoy.FILES),
    "njs": Edge(javascript.export_njs, javascript.NJS_FILES),
    "worker": Edge(javascript.export_worker, javascript.WORKER_FILES),
    # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-functions
    "cloudfront": Edge(javascript.export_cloudfront, javascript.CLOUDFRONT_FILES, most_bytes=10_240),
}


def rows_of_target(target: Target, prefix: str = "") -> list[Row]:
    """The rows of an app, a middleware or a policy that is mounted at *prefix*.

    :raises CannotExport: if there can be none.
    """
    if target.layer.debug:
        raise CannotExport("debug mode is on, and an edge explains nothing: write debug=False")
    if isinstance(target, FlaskTarget):
        return rows_of_app(target, prefix)
    found = target.middleware.policy if isinstance(target, MiddlewareTarget) else None
    if not isinstance(found, Policy | PathPolicies):
        raise CannotExport("a callable finds the policies, so an edge cannot know them")
    return rows_of(found, prefix)


def files_of(edge: str, rows: list[Row], command: str) -> dict[str, str]:
    """The files for *edge*. Each begins with where it comes from and how to include it.

    :raises CannotExport: if the edge cannot hold the rows.
    """
    made: dict[str, str] = {}
    for name, text in EDGES[edge].export(rows).items():
        sign = "//" if name.endswith(".js") else "#"
        preface = (f"{sign} {line}" for line in _preface(EDGES[edge].about[name], rows, command))
        made[name] = "\n".join([*preface, "", text, ""])
        if len(made[name]) > EDGES[edge].most_bytes:
            raise CannotExport(
                f"{name} would have {len(made[name])} bytes, and {edge} takes at most {EDGES[edge].most_bytes}"
            )
    return made


def _preface(include: str, rows: list[Row], command: str) -> Iterator[str]:
    yield f"Made by flask-preflight {__version__}: {command}"
    yield f"Rows: sha256 {digest_of(rows)}"
    yield include
    yield "Granted preflights are answered here, and everything else by the app, which keeps its policy."
    yield from (f"Left to the app: {text}" for text in left_to_app(rows))


def left_to_app(rows: Iterable[Row]) -> list[str]:
    """What the edge cannot grant, and why."""
    texts = (
        f"{ascii(row.name)[1:-1]}: {row.reason}" for row in rows if row.grant is None and row.reason != ANOTHER_PATH
    )
    return list(dict.fromkeys(texts))


# ---------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------


@click.command("export", short_help="Let a proxy grant preflights by itself.")
@click.argument("edge", type=click.Choice([*EDGES]))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write the files into this folder.")
@click.option(
    "--check", type=click.Path(file_okay=False, path_type=Path), help="Compare with the files in this folder."
)
@click.option("--prefix", default="", metavar="PATH", help="Where the app is mounted, such as /app.")
@click.option("--strict", is_flag=True, help="Fail if anything is left to the app.")
@click.pass_context
def command(ctx: click.Context, edge: str, out: Path | None, check: Path | None, prefix: str, strict: bool) -> None:
    """Write what EDGE needs to grant preflights by itself. It needs nothing to refuse: the rest goes to the app."""
    if out is not None and check is not None:
        raise CannotRun("--out writes files and --check compares them: write one of the two.")
    with _reasons():
        rows = rows_of_target(find_target(ctx), prefix)
        files = files_of(edge, rows, _command_line(edge, prefix, strict=strict))
    left = left_to_app(rows)
    if strict and left:
        raise CannotRun(f"The app has to answer itself: {'; '.join(left)}.")
    if check is not None:
        _check(ctx, check, files)
    elif out is not None:
        _write(out, files)
    else:
        echo("\n".join(f"# ---- {name}\n{text}" for name, text in files.items()).rstrip("\n"))


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn `CannotExport` into the sentence of a command that could not run."""
    try:
        yield
    except CannotExport as error:
        raise CannotRun(f"Nothing is exported: {error}.") from error


def _command_line(edge: str, prefix: str, *, strict: bool) -> str:
    options = [f"--prefix {prefix}"] * bool(prefix) + ["--strict"] * strict
    return " ".join(["flask preflight export", edge, *options])


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in files:  # all or none: files of two exports do not fit together
            (folder / name).open("a").close()
        for name, text in files.items():
            (folder / name).write_text(text, encoding="ascii")
    except OSError as error:
        raise CannotRun(f"{folder} cannot be written: {error.strerror}.") from error
    click.echo(f"{plural(len(files), 'file')} in {folder}: {', '.join(files)}", err=True)


def _check(ctx: click.Context, folder: Path, files: dict[str, str]) -> None:
    differences: list[str] = []
    for name, text in files.items():
        try:
            old = (folder / name).read_text(encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise CannotRun(f"{folder / name} cannot be read: {error.strerror}.") from error
        lines = (old.rstrip("\n").split("\n"), text.rstrip("\n").split("\n"))
        differences += difflib.unified_diff(*lines, f"{folder / name}", f"{name} as it should be", lineterm="")
    if differences:
        echo("\n".join(differences))
        ctx.exit(1)
    click.echo(f"{folder} is up to date.", err=True)
