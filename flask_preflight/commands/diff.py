"""``diff``: what a change widens, between a lock file and the app, or between two lock files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import click

from flask_preflight import fetch
from flask_preflight.commands.app import command_line, find_target
from flask_preflight.commands.lock import Facts, Locked, lock_of, read_lock
from flask_preflight.commands.output import Finding, echo, echo_json, format_option, table
from flask_preflight.commands.reports import echo_findings
from flask_preflight.commands.routes import chosen_routes
from flask_preflight.origin import Origin, Origins, Pattern, parse_origin, parse_pattern

Values = tuple[str, ...]
Kind = Literal["wider", "narrower", "new", "gone", "changed", "unknown"]


class Change(NamedTuple):
    """How a route differs. *is_wider* is whether a page may do something that none could do before, or might."""

    kind: Kind
    route: str
    what: str
    text: str
    remark: str = ""
    is_wider: bool = False


def compare(old: Locked, new: Locked) -> list[Change]:
    """What is different in *new*. Order and spelling of lists do not count."""
    changes: list[Change] = []
    for route in sorted(old.keys() | new.keys(), key=lambda key: key.partition(" ")[::-1]):
        if route not in old:
            changes.append(_new(route, new[route]))
        elif route not in new:
            changes.append(Change("gone", route, "route", "is gone"))
        else:
            changes += _compare_facts(route, old[route], new[route])
    return changes


def _new(route: str, facts: Facts) -> Change:
    if facts.exempt:
        return Change("new", route, "route", "exempt", "the view decides", is_wider=True)
    who = _who(facts)
    return Change("new", route, "route", who, "not in the lock file", is_wider=who != _NOBODY)


_NOBODY: Final = "nobody"


def _who(facts: Facts) -> str:
    return ", ".join(facts.origins) or (f"whom {facts.callable} allows" if facts.callable else _NOBODY)


def _compare_facts(route: str, old: Facts, new: Facts) -> Iterator[Change]:
    if old.exempt or new.exempt:
        if old.exempt != new.exempt:
            states = ["the view decides" if facts.exempt else f"{_who(facts)}, by a policy" for facts in (old, new)]
            is_wider = new.exempt or _who(new) != _NOBODY
            yield Change("unknown", route, "route", " -> ".join(states), "cannot compare", is_wider)
        return
    yield from _compare_origins(route, old, new)
    # If a page may not read, its other rights have no effect.
    if not ((old.origins or old.callable) and (new.origins or new.callable)):
        return
    yield from _compare_values(route, "headers", old.headers, new.headers, _uncovered_headers)
    yield from _compare_values(route, "expose", old.expose, new.expose, _uncovered_names)
    for what, label in (("preflight", "preflights"), ("credentials", "cookies"), ("timing", "timing")):
        before, after = getattr(old, what), getattr(new, what)
        if before != after:
            text = f"{_yes(before)} -> {_yes(after)}"
            yield Change("wider" if after else "narrower", route, label, text, is_wider=after)
    if old.max_age != new.max_age:
        yield Change("changed", route, "max_age", f"{old.max_age} -> {new.max_age}")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _compare_origins(route: str, old: Facts, new: Facts) -> Iterator[Change]:
    if old.callable or new.callable:
        names = [facts.callable or _who(facts) for facts in (old, new)]
        is_same = names[0] == names[1]
        text = names[0] if is_same else " -> ".join(names)
        is_wider = not is_same and bool(new.callable or new.origins)
        yield Change("unknown", route, "origins", text, "a callable: cannot compare", is_wider)
        return
    remembers = f"browsers remember the old grant for {old.max_age} s" if old.max_age else ""
    yield from _compare_values(route, "origins", old.origins, new.origins, uncovered_origins, remembers)


def _compare_values(
    route: str,
    what: str,
    old: Values,
    new: Values,
    uncovered: Callable[[Values, Values], list[str]],
    remembers: str = "",
) -> Iterator[Change]:
    for value in uncovered(new, old):
        yield Change("wider", route, what, f"+ {value}", _warn(value) if what == "origins" else "", is_wider=True)
    for value in uncovered(old, new):
        yield Change("narrower", route, what, f"- {value}", remembers)


def _warn(value: str) -> str:
    if value == fetch.WILDCARD:
        return "every website"
    if value == fetch.NULL_ORIGIN:
        return "every sandboxed frame"
    return "every subdomain, also forgotten ones" if "://*." in value else ""


# ---------------------------------------------------------------------------------------
# What covers what
# ---------------------------------------------------------------------------------------


@lru_cache(maxsize=100)  # routes have policies in common
def uncovered_origins(values: Values, known: Values) -> list[str]:
    """Those of *values* that *known* does not cover."""
    if values == known or fetch.WILDCARD in known:
        return []
    listed = frozenset(known)
    # a lock file may have been edited by hand
    origins = Origins(value for value in known if parse_origin(value) or parse_pattern(value))
    left = [value for value in values if value not in listed and not ("*" not in value and origins.match(value))]
    return [value for value in left if "*" not in value or not any(covers(other, value) for other in origins.patterns)]


def covers(broad: str, narrow: str) -> bool:
    """Whether *broad* covers every origin that *narrow* covers. Both are origins, patterns or ``*``."""
    if broad == narrow or broad == fetch.WILDCARD:
        return True
    pattern, inner = parse_pattern(broad), _as_pattern(narrow)
    if pattern is None or inner is None or pattern.origin.scheme != inner.origin.scheme:
        return False
    if pattern.any_host:
        return True
    ports = pattern.any_port or (pattern.origin.port == inner.origin.port and not inner.any_port)
    return ports and _covers_hosts(pattern, inner)


def _as_pattern(text: str) -> Pattern | None:
    origin = parse_origin(text)
    return Pattern(origin, subdomains=False, any_port=False) if isinstance(origin, Origin) else parse_pattern(text)


def _covers_hosts(pattern: Pattern, inner: Pattern) -> bool:
    host = inner.origin.host
    if not pattern.subdomains:
        return host == pattern.origin.host and not inner.subdomains
    return host.endswith(f".{pattern.origin.host}") or (inner.subdomains and host == pattern.origin.host)


def _uncovered_names(values: Values, known: Values) -> list[str]:
    listed = {name.lower() for name in known}
    return [] if fetch.WILDCARD in listed else [name for name in values if name.lower() not in listed]


def _uncovered_headers(values: Values, known: Values) -> list[str]:
    """``*`` does not cover ``Authorization``."""
    left = [name for name in values if name.lower() in fetch.NON_WILDCARD_REQUEST_HEADERS]
    listed = {name.lower() for name in known}
    return [name for name in (left if fetch.WILDCARD in listed else values) if name.lower() not in listed]


# ---------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------

_SHOWN: Final = {"wider": "WIDER", "unknown": "UNKNOWN"}


def text_of(changes: list[Change], accept: str = "") -> Iterator[str]:
    if not changes:
        yield "No changes."
        return
    rows = [
        [_SHOWN.get(change.kind, change.kind), change.route, change.what, change.text, change.remark]
        for change in changes
    ]
    yield from table(["Change", "Route", "Of", "What", "Remark"], rows, flexible=1)
    yield f"\n{summary(changes)}." + (f"\nTo accept: {accept}" if accept else "")


def summary(changes: Iterable[Change]) -> str:
    counts = Counter(change.kind for change in changes)
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in _ORDER if counts[kind])


_ORDER: Final[tuple[Kind, ...]] = ("wider", "unknown", "narrower", "new", "gone", "changed")


def findings_of(changes: Iterable[Change], where: str) -> list[Finding]:
    return [
        Finding(
            f"cors-{change.kind}",
            "error" if change.is_wider else "note",
            where,
            f"{change.route}: {change.what} {change.text}{f' ({change.remark})' if change.remark else ''}",
        )
        for change in changes
    ]


@click.command("diff", short_help="Show what a change widens.")
@click.argument("lock", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("other", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option(
    "--fail-on",
    type=click.Choice(["any", "wider"]),
    default="any",
    show_default=True,
    help="Which changes make the exit status 1.",
)
@format_option("text", "json", "github", "sarif")
@click.pass_context
def command(ctx: click.Context, lock: Path, other: Path | None, fail_on: str, format_: str) -> None:
    """Compare the lock file LOCK with the app, or with the lock file OTHER.

    WIDER is what a page may do now, and no page before. With --fail-on wider, a callable that has kept its name does
    not count, though it cannot be compared.
    """
    old = read_lock(lock)
    new = read_lock(other) if other is not None else _lock_of_app(ctx)
    changes = compare(old, new)
    if format_ == "text":
        accept = command_line("routes", "--lock", str(lock)) if other is None else ""
        echo("\n".join(text_of(changes, accept)))
    elif format_ == "json":
        echo_json("diff", {"changes": [_document(change) for change in changes]})
    else:
        echo_findings(findings_of(changes, f"{lock}:1"), format_)
    if any(change.is_wider or fail_on == "any" for change in changes):
        ctx.exit(1)


def _lock_of_app(ctx: click.Context) -> Locked:
    return lock_of(chosen_routes(find_target(ctx), None, None, None))


def _document(change: Change) -> dict[str, Any]:
    return change._asdict()
