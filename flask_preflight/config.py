"""``PREFLIGHT_*`` in an app's configuration.

Values may come from the environment (`flask.Config.from_prefixed_env`), where they are strings unless they are JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

from flask_preflight.policy import FIELDS, nearest_field
from flask_preflight.problems import Flaw, Problem, make_flaw

PREFIX: Final = "PREFLIGHT_"

# What Flask makes of a variable such as FLASK_PREFLIGHT__ALLOW_ORIGINS
_NESTED: Final = "PREFLIGHT"

_KEYS: Final = {f"{PREFIX}{field.upper()}": field for field in FIELDS}
_LIST_FIELDS: Final = {"allow_origins", "allow_methods", "allow_headers", "expose_headers"}


def read_config(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The fields that *config* sets, and the problems of the keys and values themselves."""
    fields: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in config.items():
        if key == _NESTED and isinstance(value, Mapping):
            names = ", ".join(f"FLASK_{PREFIX}{name}" for name in value)
            problems.append(_locate(key, Problem(key, *make_flaw(value, "config-nested", names))))
        if not isinstance(key, str) or not key.upper().startswith(PREFIX):
            continue
        if key not in _KEYS:
            problems.append(_locate(key, Problem(key, *_unknown_key(key, value))))
            continue
        field = _KEYS[key]
        read = _read_value(field, value)
        if isinstance(read, Flaw):
            problems.append(_locate(key, Problem(field, *read)))
        else:
            fields[field] = read
    return fields, problems


def in_config(problem: Problem) -> Problem:
    """*problem*, which a value of the configuration has, with its key and with what to write there."""
    if problem.id == "not-a-bool":
        problem = problem._replace(hint="write True or False, and in the environment true or false")
    return _locate(key_of(problem.field), problem)


def key_of(field: str) -> str:
    """The key of *field* in the configuration."""
    return f"{PREFIX}{field.upper()}"


def unread_variables(config: Mapping[str, Any]) -> list[str]:
    """The variables ``PREFLIGHT_*`` of the environment that Flask does not read, because ``FLASK_`` is missing."""
    return sorted(name for name in os.environ if name in _KEYS and name not in config)


def _locate(key: str, problem: Problem) -> Problem:
    return problem._replace(where=f"app.config[{key!r}]")


def _unknown_key(key: str, value: object) -> Flaw:
    near = nearest_field(key[len(PREFIX) :])
    flaw = make_flaw(value, "unknown-config-key", f"{PREFIX}{near.upper()}" if near else "")
    return flaw if near else flaw._replace(hint="remove it")


def _read_value(field: str, value: object) -> object:
    """*value* as `Policy` takes it, or what is wrong with it."""
    if field == "max_age" and isinstance(value, float) and value.is_integer():
        return int(value)
    if field not in _LIST_FIELDS:
        return value
    items = _read_text(value) if isinstance(value, str) else value
    if isinstance(items, Mapping):
        return make_flaw(value, "not-a-list")
    if isinstance(items, list | tuple | set | frozenset) and not isinstance(items, Flaw):
        return tuple(... if isinstance(item, str) and item == "..." else item for item in items)
    return items


def _read_text(text: str) -> object:
    """A list that is written as JSON or as one comma-separated string, or what is wrong with it."""
    if not text.strip():
        return make_flaw(text, "config-empty")
    if text.strip()[0] not in "[{\"'":
        return [item.strip() for item in text.split(",")]
    try:
        value: object = json.loads(text)
    except ValueError:
        items = [item.strip(" \t\r\n'\"") for item in text.strip().strip("[]{}").split(",")]
        return make_flaw(text, "config-not-json", json.dumps([item for item in items if item]))
    return _read_text(value) if isinstance(value, str) else value
