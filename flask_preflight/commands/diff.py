"""``diff``: what a change widens, between a lock file and the app, or between two lock files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import click

from flask_preflight import fetch
from flask_preflight.commands.app import find_target
from flask_preflight.commands.lock import Facts, Locked, lock_of, read_lock
from flask_preflight.commands.output import Finding, echo, echo_json, format_option, table
from flask_preflight.commands.reports import echo_findings
from flask_preflight.commands.routes import chosen_routes
from flask_preflight.origin import Origin, Pattern, parse_origin, parse_pattern

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
    who = ", ".join(facts.origins) or (f"whom {facts.callable} allows" if facts.callable else "nobody")
    return Change("new", route, "route", who, "not in the first", is_wider=who != "nobody")


def _compare_facts(route: str, old: Facts, new: Facts) -> Iterator[Change]:
    if old.exempt or new.exempt:
        if old.exempt != new.exempt:
            states = ["the view decides" if facts.exempt else "a policy decides" for facts in (old, new)]
            yield Change("unknown", route, "route", " -> ".join(states), "cannot compare", is_wider=new.exempt)
        return
    yield from _compare_origins(route, old, new)
    # Whoever may read nothing can use nothing else.
    if not ((old.origins or old.callable) and (new.origins or new.callable)):
        return
    yield from _compare_values(route, "headers", old.headers, new.headers, _covers_header)
    yield from _compare_values(route, "expose", old.expose, new.expose, _covers_name)
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
        names = [facts.callable or ", ".join(facts.origins) or "nobody" for facts in (old, new)]
        is_same = names[0] == names[1]
        text = names[0] if is_same else " -> ".join(names)
        is_wider = not is_same and bool(new.callable or new.origins)
        yield Change("unknown", route, "origins", text, "a callable: cannot compare", is_wider)
        return
    remembers = f"browsers remember the old grant for {old.max_age} s" if old.max_age else ""
    yield from _compare_values(route, "origins", old.origins, new.origins, covers, remembers)


def _compare_values(
    route: str,
    what: str,
    old: tuple[str, ...],
    new: tuple[str, ...],
    covers: Callable[[str, str], bool],
    remembers: str = "",
) -> Iterator[Change]:
    added = [value for value in new if not any(covers(other, value) for other in old)]
    removed = [value for value in old if not any(covers(other, value) for other in new)]
    for value in added:
        yield Change("wider", route, what, f"+ {value}", _warn(value) if what == "origins" else "", is_wider=True)
    for value in removed:
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


def covers(broad: str, narrow: str) -> bool:
    """Whether every origin that *narrow* means is meant by *broad*, too. Both are origins, patterns or ``*``."""
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


def _covers_name(broad: str, narrow: str) -> bool:
    return broad in (fetch.WILDCARD, narrow) or broad.lower() == narrow.lower()


def _covers_header(broad: str, narrow: str) -> bool:
    """``*`` does not cover ``Authorization``."""
    if broad == fetch.WILDCARD and narrow.lower() in fetch.NON_WILDCARD_REQUEST_HEADERS:
        return False
    return _covers_name(broad, narrow)


# ---------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------

_SHOWN: Final = {"wider": "WIDER", "unknown": "UNKNOWN"}


def text_of(changes: list[Change], accept: str) -> Iterator[str]:
    if not changes:
        yield "No changes."
        return
    rows = [
        [_SHOWN.get(change.kind, change.kind), change.route, change.what, change.text, change.remark]
        for change in changes
    ]
    yield from table(["Change", "Route", "Of", "What", "Remark"], rows, flexible=1)
    yield f"\n{summary(changes)}. To accept: {accept}"


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
        echo("\n".join(text_of(changes, f"flask preflight routes --lock {lock}")))
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
