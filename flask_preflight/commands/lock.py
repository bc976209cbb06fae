"""The lock file: what each route allows, as sorted JSON that can be reviewed and committed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from flask_preflight.commands.access import needs_preflight
from flask_preflight.commands.app import command_line
from flask_preflight.commands.output import CannotRun
from flask_preflight.commands.targets import Route
from flask_preflight.engine import allows_method
from flask_preflight.fetch import WILDCARD
from flask_preflight.origin import Origins
from flask_preflight.policy import Policy

FORMAT: Final = 1
"""The version of the file. It changes where an old reader would misread a new file."""


class Facts(NamedTuple):
    """What a route allows, so far as a browser can tell.

    *origins* may read: origins, patterns, or ``*``. *headers* may be sent beyond the safelisted ones. A page needs a
    preflight for a header, so without *preflight* there are none. A *callable* decides about origins: its name.
    """

    origins: tuple[str, ...] = ()
    callable: str = ""
    preflight: bool = False
    headers: tuple[str, ...] = ()
    credentials: bool = False
    expose: tuple[str, ...] = ()
    max_age: int | None = None
    timing: bool = False
    exempt: bool = False

    def document(self) -> dict[str, Any]:
        """The facts as JSON, without what is empty."""
        if self.exempt:
            return {"exempt": True}
        whole = {name: [*value] if isinstance(value, tuple) else value for name, value in self._asdict().items()}
        return {name: value for name, value in whole.items() if value or name == "origins"}


def facts_of(route: Route) -> Facts:
    """What *route* allows. What no page can use is left out, so equal facts mean equal rights."""
    policy = route.policy
    if policy is None:
        return Facts(exempt=True)
    preflight = allows_method(policy, route.method)
    if route.error or (needs_preflight(route.method) and not preflight):
        return Facts()
    origins = policy.allow_origins
    name = "" if isinstance(origins, Origins | str) else name_of(origins)
    listed = (WILDCARD,) if policy.allows_any_origin else origins if isinstance(origins, Origins) else ()
    if not (listed or name):
        return Facts()
    return Facts(
        origins=listed,
        callable=name,
        preflight=preflight,
        headers=_headers(policy) if preflight else (),
        credentials=policy.allow_credentials,
        expose=(WILDCARD,) if policy.expose_headers == WILDCARD else policy.exposed,
        max_age=policy.max_age if preflight and isinstance(policy.max_age, int) else None,
        timing=policy.allow_timing,
    )


def name_of(function: Any) -> str:
    """``module.name`` of a callable, of what a partial calls, or of an object's class."""
    function = function.func if isinstance(function, partial) else function
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _headers(policy: Policy) -> tuple[str, ...]:
    return (
        (WILDCARD, *(name for name in policy.headers if name != WILDCARD))
        if policy.allows_any_header
        else policy.headers
    )


def key_of(route: Route) -> str:
    """``GET /api/notes``."""
    return f"{route.method} {route.rule}"


Locked = dict[str, Facts]


def lock_of(routes: Iterable[Route]) -> Locked:
    """The facts of all routes, sorted. Of two rules with one URL, the first one counts, as in Flask."""
    found: Locked = {}
    for route in routes:
        found.setdefault(key_of(route), facts_of(route))
    return dict(sorted(found.items(), key=lambda item: item[0].partition(" ")[::-1]))


def write_lock(file: Path, routes: Iterable[Route]) -> None:
    """:raises CannotRun: if the file cannot be written."""
    document = {
        "format": FORMAT,
        "routes": {key: facts.document() for key, facts in lock_of(routes).items()},
    }
    try:
        file.write_text(f"{json.dumps(document, indent=2)}\n", encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"{file} cannot be written: {error.strerror}.") from error


def _writing(file: Path) -> str:
    return command_line("routes", "--lock", str(file))


def read_lock(file: Path) -> Locked:
    """:raises CannotRun: if the file cannot be read, or is none, or of another version."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_without_repetition)
    except OSError as error:
        advice = f" Write it: {_writing(file)}" if isinstance(error, FileNotFoundError) else ""
        raise CannotRun(f"{file} cannot be read: {error.strerror}.{advice}") from error
    except (ValueError, RecursionError) as error:
        raise CannotRun(f"{file} is not JSON: {error}. Write it again: {_writing(file)}") from error
    if not isinstance(document, dict) or "format" not in document or not isinstance(document.get("routes"), dict):
        raise CannotRun(f"{file} is no lock file. Write one: {_writing(file)}")
    if document["format"] != FORMAT:
        advice = f"Write it again: {_writing(file)}"
        raise CannotRun(f"{file} has the format {document['format']!r}, and this version reads {FORMAT}. {advice}")
    try:
        return {key: _read_facts(value) for key, value in document["routes"].items()}
    except (TypeError, ValueError) as error:
        raise CannotRun(f"{file} is damaged: {error}. Write it again: {_writing(file)}") from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse two equal keys, which a merge may leave. JSON takes the last, so one policy would not be compared."""
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"it has {repeated!a} twice")
    return found


_KINDS: Final[dict[str, type]] = {
    **dict.fromkeys(("origins", "headers", "expose"), list),
    **dict.fromkeys(("preflight", "credentials", "timing", "exempt"), bool),
    "callable": str,
    "max_age": int,
}


def _read_facts(document: Any) -> Facts:
    if not isinstance(document, dict):
        raise TypeError(f"{document!r} is no policy")
    for name, value in document.items():
        if type(value) is not _KINDS.get(name) or (isinstance(value, list) and not _are_strings(value)):
            raise ValueError(f"{name!r} is {value!r}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
    }
    return Facts(**values)


def _are_strings(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
