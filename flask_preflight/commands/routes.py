"""``routes``: who may do what, as a table of routes and origins, and the lock file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from flask_preflight.browser import CORSError
from flask_preflight.commands.access import STRANGER, Access, access_of, needs_preflight
from flask_preflight.commands.app import pass_target
from flask_preflight.commands.lock import facts_of, write_lock
from flask_preflight.commands.output import (
    WIDTH,
    CannotRun,
    echo,
    echo_json,
    format_option,
    plural,
    table,
    width_of,
    wrap,
)
from flask_preflight.commands.samples import sample_origin
from flask_preflight.commands.targets import NO_ROUTE, FlaskTarget, Route, Target, values_of
from flask_preflight.engine import Reason
from flask_preflight.origin import Origins

ANYONE_ELSE: Final = "anyone else"
_MOST_COLUMNS: Final = 3


class Row(NamedTuple):
    """A route, and what pages of each origin get from it."""

    route: Route
    cells: dict[str, Access]


def rows_of(target: Target, routes: Iterable[Route], origins: Iterable[str]) -> list[Row]:
    """What pages of *origins*, which may be patterns, get from *routes*."""
    asked = {origin: STRANGER if origin == ANYONE_ELSE else sample_origin(origin) for origin in origins}
    return [
        Row(route, {label: access_of(target, route, origin) for label, origin in asked.items()} if route.url else {})
        for route in routes
    ]


def listed_origins(routes: Iterable[Route]) -> list[str]:
    """The origins and patterns of all policies, those of many routes first."""
    counts: Counter[str] = Counter()
    for route in routes:
        if route.policy is not None and isinstance(route.policy.allow_origins, Origins):
            counts.update(route.policy.allow_origins)
    return sorted(counts, key=lambda origin: (-counts[origin], origin))


def chosen_routes(target: Target, endpoint: str | None, path: str | None, method: str | None) -> list[Route]:
    """The routes that pass the filters; without filters also what a URL without route gets."""
    routes = [
        route
        for route in target.routes()
        if (endpoint is None or route.endpoint == endpoint)
        and (path is None or path in route.rule)
        and (method is None or route.method == method.upper())
    ]
    if isinstance(target, FlaskTarget) and (endpoint, path, method) == (None, None, None):
        routes += target.no_route()
    return routes


# ---------------------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------------------

_FIELDS: Final = {
    Reason.ORIGIN_NULL: "allow_origins",
    Reason.ORIGIN_NOT_ALLOWED: "allow_origins",
    Reason.ORIGIN_MALFORMED: "allow_origins",
    Reason.ORIGIN_CHECK_FAILED: "allow_origins",
    Reason.METHOD_NOT_ALLOWED: "allow_methods",
    Reason.HEADERS_NOT_ALLOWED: "allow_headers",
}


class Notes:
    """The notes below the table, each with its number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, error: CORSError, route: Route) -> str:
        text = _note(error, route)
        if text not in self.texts:
            self.texts.append(text)
        return f"({self.texts.index(text) + 1})"


def _note(error: CORSError, route: Route) -> str:
    """Which reason, and which value of which place."""
    reason = error.exchange.refusal.partition(";")[0]
    if not reason:
        return f"{error.step.value}  not by flask-preflight: {error.why}"
    field = _FIELDS.get(Reason(reason))
    policy = route.policy and (route.policy.broad or route.policy)
    if field is None or policy is None:
        return f"{reason}  {route.error or error.why}"
    key, where = route.place.setting_of(field)
    value = _value_of(getattr(policy, field))
    return f"{reason}  {key}={value if len(value) <= _MOST_SHOWN else f'{value[:_MOST_SHOWN]}...'}, {where}"


_MOST_SHOWN: Final = 200


def _value_of(field: object) -> str:
    if callable(field):
        return f"{getattr(field, '__qualname__', type(field).__qualname__)} (a callable)"
    return ascii(values_of(field))


def _cell(access: Access, route: Route, notes: Notes) -> str:
    if access.is_exempt:
        return "exempt"
    if access.plain is not None:
        return f"no {notes.number(access.plain, route)}"
    text = "reads the 404" if route.rule == NO_ROUTE else _verbs(route.method)
    if access.json is not None:  # a form is sent from anywhere
        text = f"reads, no JSON {notes.number(access.json, route)}"
    if access.cookies:
        text += ", +c"
    return f"{text} (*)" if route.policy is not None and route.policy.allows_any_origin else text


def _verbs(method: str) -> str:
    return "reads" if method in ("GET", "HEAD") else "sends, reads"


def _preflight(route: Route) -> str:
    if route.policy is None:
        return "-"
    if route.rule == NO_ROUTE:
        return "by method"
    if needs_preflight(route.method):
        return "yes"
    return "for JSON" if route.method == "POST" else "no"


def text_of(rows: list[Row], origins: list[str]) -> Iterator[str]:
    """The table and its notes, at most 100 columns wide as far as rules and origins allow it."""
    notes = Notes()
    heads = ["Rule", "Endpoint", "Method", *origins, "Preflight"]
    cells = [
        [
            *(row.route.rule, row.route.endpoint, "any" if row.route.rule == NO_ROUTE else row.route.method),
            *(_cell(row.cells[origin], row.route, notes) if row.cells else "?" for origin in origins),
            _preflight(row.route),
        ]
        for row in rows
    ]
    legend: list[str] = []
    if width_of(heads, cells) > WIDTH:
        legend = [f"{chr(ord('A') + number)}: {origin}" for number, origin in enumerate(origins)]
        heads[3:-1] = [line[0] for line in legend]
    if width_of(heads, cells) > WIDTH:  # the endpoint is in the JSON document, too
        heads, cells = [heads[0], *heads[2:]], [[line[0], *line[2:]] for line in cells]
    yield from table(heads, cells)
    yield from ["", *legend] if legend else []
    yield from [""] if notes.texts else []
    for number, text in enumerate(notes.texts, 1):
        yield from wrap(text, 4, f"({number}) ")
    yield from ["", *_words(rows)]


def fitting_text(rows: list[Row], origins: list[str], least: int) -> tuple[list[str], list[str]]:
    """The lines of `text_of`, and their columns: as many of *origins* as fit, and *least* in any case.

    The last one, anyone else, stays.
    """
    while True:
        lines = [*text_of(rows, origins)]
        if len(origins) <= least or max(map(len, lines)) <= WIDTH:
            return lines, origins
        origins = [*origins[:-2], origins[-1]]


def _some(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {plural(more, 'more origin')}" if more > 0 else "")


_MOST_NAMED: Final = 5


def _words(rows: list[Row]) -> Iterator[str]:
    all_cells = [cell for row in rows for cell in row.cells.values()]
    if any(cell.cookies for cell in all_cells):
        yield "+c: with cookies."
    if any(row.route.policy is not None and row.route.policy.allows_any_origin for row in rows):
        yield "(*): the policy is public, allow_origins='*'."
    if any(cell.is_exempt for cell in all_cells):
        yield "exempt: the view answers for itself, because of cors_exempt."
    if any(not row.cells for row in rows):
        yield "?: no example URL was found. Ask about one: flask preflight explain METHOD URL --origin ORIGIN"
    yield 'A simple GET or POST is sent from anywhere. "no" means that the page cannot read the response.'


# ---------------------------------------------------------------------------------------
# The document
# ---------------------------------------------------------------------------------------


def document_of(rows: list[Row]) -> dict[str, Any]:
    """The same for programs."""
    return {"routes": [_row_document(row) for row in rows]}


def _row_document(row: Row) -> dict[str, Any]:
    route = row.route
    return {
        "rule": route.rule,
        "endpoint": route.endpoint,
        "method": route.method,
        "where": route.where,
        "asked": route.url,
        "policy": facts_of(route).document(),
        "origins": {label: _access_document(cell) for label, cell in row.cells.items()},
    }


def _access_document(access: Access) -> dict[str, Any]:
    if access.is_exempt:
        return {"exempt": True}
    document: dict[str, Any] = {"allowed": access.is_allowed, "cookies": access.cookies}
    errors = {"refused": access.plain, "json-refused": access.json}
    return document | {name: _reason(error) for name, error in errors.items() if error is not None}


def _reason(error: CORSError) -> str:
    return error.exchange.refusal.partition(";")[0] or error.step.value


# ---------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------


@click.command("routes", short_help="Show who may do what: a table of routes and origins.")
@click.option("--origin", "origins", multiple=True, metavar="ORIGIN", help="Ask for pages of this origin. Repeatable.")
@click.option("--endpoint", help="Only routes of this endpoint.")
@click.option("--path", help="Only routes whose rule has this text in it.")
@click.option("--method", help="Only routes of this method.")
@click.option("--lock", type=click.Path(dir_okay=False, path_type=Path), help="Write the lock file for `diff` instead.")
@format_option("text", "json")
@pass_target
def command(
    target: Target,
    origins: tuple[str, ...],
    endpoint: str | None,
    path: str | None,
    method: str | None,
    lock: Path | None,
    format_: str,
) -> None:
    """Show what pages of each origin get from each route.

    The app is asked in this process, with preflights. No view runs. Without --origin, the columns are up to three
    origins of the policies.
    """
    routes = chosen_routes(target, endpoint, path, method)
    if not routes:
        raise CannotRun("No route passes the filters.")
    if lock is not None:
        write_lock(lock, routes)
        click.echo(f"{lock}: {plural(len(routes), 'route')}.", err=True)
        return
    listed = [*origins] or listed_origins(routes)
    shown = listed if origins else listed[:_MOST_COLUMNS]
    columns = [*dict.fromkeys(shown), ANYONE_ELSE]
    try:
        rows = rows_of(target, routes, columns)
    except ValueError as error:
        raise CannotRun(str(error)) from error
    if format_ == "json":
        echo_json("routes", document_of(rows))
    else:
        lines, columns = fitting_text(rows, columns, least=len(columns) if origins else 2)
        echo("\n".join(lines))
    hidden = [origin for origin in listed if origin not in columns]
    if hidden:
        click.echo(f"Not shown: {_some(hidden)}. To choose the columns, write --origin ORIGIN.", err=True)
