"""The state of one app: its policies in force, and how they are replaced while requests run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeGuard
from weakref import WeakSet

import publicsuffixlist  # noqa: F401 - `reconfigure` may need it, and a fork may leave the lock of an import locked
from flask import Flask

from flask_preflight.checks import is_function, is_list, read_fields
from flask_preflight.config import in_config, key_of, read_config, split_variables
from flask_preflight.journal import Journal
from flask_preflight.marks import NAME, Mark, unreached_marks
from flask_preflight.policy import Policy, merge
from flask_preflight.problems import PolicyError, Problem, show
from flask_preflight.routes import PolicyTable

if TYPE_CHECKING:
    from flask_preflight.policy import PolicyChanges

Levels: TypeAlias = tuple[Mapping[str, Any], ...]


class Call(NamedTuple):
    """A call that sets fields of the policy. *name* says which one, with its file and line."""

    name: str
    changes: Mapping[str, Any]


class Warned(NamedTuple):
    """A probable mistake. *place* is ``file:line``, or empty."""

    id: str
    place: str
    text: str

    @property
    def log_text(self) -> str:
        """The text after its place."""
        return f"{self.place}: {self.text}" if self.place else self.text


_NO_ORIGIN: Final = (
    "No origin is allowed anywhere in this app, so every cross-origin request is refused: write"
    " Preflight(app, allow_origins=[...]), or set PREFLIGHT_ALLOW_ORIGINS in the configuration."
)

_LOST_MARK: Final = (
    "no rule of the app leads to it: if a decorator hides it, write @functools.wraps(view) in that decorator; otherwise"
    " add a route for it."
)


class _Version:
    """One state of an app's policies. A version is never changed, but the next one is attached to it."""

    next: _Version | None = None

    def __init__(
        self, table: PolicyTable, config: Mapping[str, Any], reconfigured: Levels, *, is_settled: bool
    ) -> None:
        self.table = table
        self.config = config
        self.reconfigured = reconfigured
        self.is_settled = is_settled  # whether all views have been checked, as the first request does

    def replace(self, new: _Version) -> bool:
        """Attach *new*; whether no other version came first. Atomic, and without a lock."""
        return vars(self).setdefault("next", new) is new


class AppState:
    """The extension's data of one app, in ``app.extensions["preflight"]``.

    Changes are made by compare and swap: of two changes at once, the second tries again from the newer version. So
    nothing here waits, and a signal handler may interrupt everything.
    """

    def __init__(self, app: Flask, calls: tuple[Call, ...], debug: bool | None = None) -> None:
        """:raises PolicyError: if the app-wide policy is not valid."""
        self.app = app
        self._debug = debug
        self.journal = Journal(app)
        self._has_warned = False
        self._calls = calls
        self.name = calls[0].name
        self._levels = tuple(call.changes for call in calls)
        self._version = self._make_version(())
        _states.add(self)

    @property
    def debug(self) -> bool:
        """Whether refusals are explained to everyone."""
        return self.app.debug if self._debug is None else self._debug

    def version(self) -> _Version:
        """The newest version."""
        version = self._version
        while (newer := version.next) is not None:
            version = self._version = newer
        return version

    def ensure_table(self) -> PolicyTable:
        """The policies in force. At the first request, the configuration is read again and all views are checked."""
        while not (version := self.version()).is_settled:
            if version.replace(self._settle(version)) and self.debug:
                self._warn_of_lost_marks()
        return version.table

    def current_table(self) -> PolicyTable:
        """The policies in force. Before the first request: those that it would get now."""
        version = self.version()
        return version.table if version.is_settled else self._make_version(version.reconfigured).table

    def setting_of(self, field: str, marks: Iterable[Mark] = ()) -> tuple[str, str]:
        """What to write for *field* of a view with *marks*, and where: in the innermost place that sets it.

        ``allow_credentials`` belongs in the place that sets ``allow_origins``, so that it does not apply to views that
        allow other origins.
        """
        fields = {field, "allow_origins"} if field == "allow_credentials" else {field}
        for mark in reversed([*marks]):
            if mark.changes is not None and not fields.isdisjoint(mark.changes):
                return field, _relative(f"{mark.describe()} at {mark.written_at}")
        version = self.version()
        if any(not fields.isdisjoint(changes) for changes in version.reconfigured):
            return field, "preflight.reconfigure(...)"
        for call in self._calls[::-1]:
            if not fields.isdisjoint(call.changes):
                return field, _relative(call.name)
        if not fields.isdisjoint(version.config) or (version.config and not any(self._levels)):
            return key_of(field), "the app's configuration"
        return field, _relative(self.name)

    def warn_of_no_origin(self) -> None:
        """Log once that no origin is allowed anywhere."""
        if not self._has_warned:
            self._has_warned = True
            self.journal.warn(_NO_ORIGIN)

    def verify(self) -> None:
        """Check the app as it is now, and log what is probably a mistake.

        :raises PolicyError: with the problems of all views.
        """
        for warning in self.check():
            self.journal.warn(warning.log_text)

    def check(self) -> list[Warned]:
        """What is probably a mistake in the app as it is now. (`unread_variables` has more.)

        :raises PolicyError: with the problems of all views.
        """
        table = self._settle(self.version()).table
        no_origin = [Warned("no-origin-allowed", "", _NO_ORIGIN)] if table.allows_nothing else []
        return [*no_origin, *self._find_lost_marks()]

    def _warn_of_lost_marks(self) -> None:
        """Log them. Views that cannot be read must not change an answer."""
        with suppress(Exception):
            for warning in self._find_lost_marks():
                self.journal.warn(warning.log_text)

    def _find_lost_marks(self) -> list[Warned]:
        """The marks that no rule leads to, and that are made in the modules of this app."""
        _note_reached_marks()
        modules = {getattr(view, "__module__", "") for view in self.app.view_functions.values()}
        return [
            Warned("mark-not-reached", mark.place, f"{mark.describe()}: {_LOST_MARK}")
            for mark in unreached_marks({self.app.import_name, *modules})
        ]

    def _settle(self, version: _Version) -> _Version:
        settled = self._make_version(version.reconfigured, is_settled=True)
        settled.table.note_reached_marks()
        settled.table.check()
        for warning in self.unread_variables(settled.config):
            self.journal.log_once(logging.WARNING, warning, warning.text)
        settled.table.handle_options()
        return settled

    def unread_variables(self, config: Mapping[str, Any] | None = None) -> list[Warned]:
        """Which environment variables have no effect."""
        read, unread = split_variables(self.app.config)
        values = self.version().config if config is None else config
        found: list[Warned] = []
        for name, field in unread.items():
            advice = "write app.config.from_prefixed_env() before Preflight(app)"
            call = self._replacing_call(field)
            if call is not None:
                advice += f", and remove {field} from {_relative(call.name)}, which replaces it"
            found.append(Warned("variable-not-read", "", f"The environment variable {name} is not read: {advice}."))
        for name, field in read.items():
            call = self._replacing_call(field)
            if call is not None and _differ(field, values[field], call.changes[field]):
                why = f"because {_relative(call.name)} sets {field}, too: remove one of the two"
                text = f"The environment variable {name} has no effect, {why}."
                found.append(Warned("variable-replaced", "", text))
        return found

    def _replacing_call(self, field: str) -> Call | None:
        """The call that sets *field*, and does not only add to what it inherits."""
        return next(
            (call for call in self._calls[::-1] if field in call.changes and not _adds(call.changes[field])), None
        )

    def reconfigure(self, changes: PolicyChanges) -> None:
        """Add *changes* to those made before. Takes no lock: no URL map is asked, and nothing is logged."""
        while True:
            old = self.version()
            reconfigured = _fold(old.reconfigured, changes)
            policy = self._merge(old.config, reconfigured)
            table = PolicyTable(self.app, policy, self.journal)
            table.check()
            if old.replace(_Version(table, old.config, reconfigured, is_settled=old.is_settled)):
                return

    def _make_version(self, reconfigured: Levels, *, is_settled: bool = False) -> _Version:
        config, problems = read_config(self.app.config)
        policy = Policy()
        try:
            policy = self._merge(config, reconfigured)
        except PolicyError as error:
            problems += error.problems
        if problems:
            raise PolicyError(problems)
        return _Version(PolicyTable(self.app, policy, self.journal), config, reconfigured, is_settled=is_settled)

    def _merge(self, config: Mapping[str, Any], reconfigured: Levels) -> Policy:
        """The app-wide policy.

        :raises PolicyError: if it is not valid; each problem names the call or the key that its value comes from.
        """
        try:
            return merge(Policy(), config, *self._levels, *reconfigured)
        except PolicyError as error:
            calls = (*self._calls, *(Call("preflight.reconfigure(...)", changes) for changes in reconfigured))
            problems = [self._locate(problem, calls[::-1]) for problem in error.problems]
        raise PolicyError(problems)

    def _locate(self, problem: Problem, calls: tuple[Call, ...]) -> Problem:
        """*problem* with the place of its value: of *calls* the first that has it, or else the configuration."""
        for call in calls:
            if _has(call.changes, problem):
                return problem._replace(where=call.name)
        return in_config(problem, self.app.config, {name for call in calls for name in call.changes})


def _has(changes: Mapping[str, Any], problem: Problem) -> bool:
    """Whether the value that *problem* is about stands in *changes*."""
    value = changes.get(problem.field)
    if not _adds(value):
        return problem.field in changes
    # plain strings, as the value of a problem is one
    items = (str.__str__(item) if isinstance(item, str) else item for item in value)
    return show(problem.value) in map(show, items)


def _adds(value: Any) -> TypeGuard[Iterable[object]]:
    """Whether *value* is a list that adds to the inherited values."""
    return is_list(value) and any(item is ... for item in value)


def _differ(field: str, value: object, other: object) -> bool:
    """Whether two values of *field* mean different things."""
    if is_function(other):
        return True
    return read_fields({field: value})[0] != read_fields({field: other})[0]


_states: Final[WeakSet[AppState]] = WeakSet()


def _note_reached_marks() -> None:
    """For all apps, because a module may have views of several. Another app's views may fail when they are read."""
    for state in list(_states):
        with suppress(Exception):
            state.version().table.note_reached_marks()


def _relative(place: str) -> str:
    """*place* with its file as seen from the current directory."""
    with suppress(OSError):  # the directory may have been removed
        return place.replace(f" at {Path.cwd()}{os.sep}", " at ", 1)
    return place


def state_of(app: Flask) -> AppState:
    """The state of *app*.

    :raises RuntimeError: if the app has no `Preflight`.
    """
    state: AppState | None = app.extensions.get(NAME)
    if state is None:
        raise RuntimeError(f"{app!r} has no Preflight; call preflight.init_app(app) first")
    return state


def _fold(levels: Levels, changes: Mapping[str, Any]) -> Levels:
    """*levels* with *changes* on top, as few levels as possible, so that they do not pile up."""
    if not levels:
        return (changes,)
    *others, last = levels
    folded = dict(last)
    for name, value in changes.items():
        if name in last and is_list(value) and ... in value:
            if not is_list(last[name]):
                return (*levels, changes)  # "..." over a callable or None is a problem that `merge` reports
            value = tuple(dict.fromkeys(part for item in value for part in (last[name] if item is ... else (item,))))
        folded[name] = value
    return (*others, folded)
