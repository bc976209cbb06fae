"""``PREFLIGHT_*`` in an app's configuration.

Values may come from the environment (`flask.Config.from_prefixed_env`), where they are strings unless they are JSON.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Final

from flask_preflight.calls import advise_without_field, nearest_field
from flask_preflight.checks import ITEMS, READERS, read_fields
from flask_preflight.problems import Flaw, Problem, make_flaw

PREFIX: Final = "PREFLIGHT_"

# The key that Flask makes of FLASK_PREFLIGHT=..., and of variables such as FLASK_PREFLIGHT__ALLOW_ORIGINS
_WHOLE: Final = "PREFLIGHT"

_KEYS: Final = {f"{PREFIX}{field.upper()}": field for field in READERS}

# What stands for None in the environment, where Flask reads JSON
_NONE: Final = {"allow_methods": "null in the environment, and None in Python"}


def read_config(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The fields that *config* sets, and the problems of the keys and values themselves."""
    fields: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in config.items():
        if not isinstance(key, str) or not (key == _WHOLE or key.upper().startswith(PREFIX)):
            continue
        field = _KEYS.get(key)
        read = _flaw_of_key(key, value) if field is None else _read_value(field, value)
        if isinstance(read, Flaw):
            problems.append(_locate(key, Problem(field or key, *read)))
        elif field is not None:
            fields[field] = read
    return fields, problems


def in_config(problem: Problem, config: Mapping[str, Any], arguments: Container[str] = ()) -> Problem:
    """*problem* of a value in *config*, with the key of the value and with what to write there.

    *arguments* are the fields that are set in a call, so that the configuration has no influence on them.
    """
    key = key_of(problem.field)
    text = config.get(key)
    if isinstance(text, str):
        hint = _in_environment(problem, text)
    elif problem.id == "not-a-bool":
        hint = f"{problem.hint}, and in the environment {problem.hint.removeprefix('write ').lower()}"
    else:
        hint = re.sub(r"'([^'\s,]*)'", r'"\1"', problem.hint)  # Python and JSON have these quotes

    def write_key(found: re.Match[str]) -> str:
        field, value = found.groups()
        return (
            found[0] if field in arguments else f"set {key_of(field)} to {value} ({value.lower()} in the environment)"
        )

    return _locate(key, problem._replace(hint=re.sub(r"\bset (\w+)=(True|False)", write_key, hint)))


def _in_environment(problem: Problem, text: str) -> str:
    """What to write in place of *text*, which is probably what an environment variable has, where Flask reads JSON."""
    hint, word = problem.hint, text.strip().lower()
    if problem.id == "not-a-bool":
        said = ", in lower case" if word in {"true", "false"} and word != text else ""
        said = ", without quotes" if word == text and word in {"true", "false"} else said
        return f"{hint}, and in the environment {hint.removeprefix('write ').lower()}{said}"
    if problem.id == "max-age-type":
        if hint == "write None":
            return "write None, and in the environment null"
        quotes = ", without quotes" if text.isdigit() else ""
        return f"{hint}{quotes}".replace("600, a timedelta, or None", "600, or null")
    return re.sub(r"\['([^'\s,]*)'\]", r"\1", hint)  # one item needs no brackets


def key_of(field: str) -> str:
    """The key of *field* in the configuration."""
    return f"{PREFIX}{field.upper()}"


def unread_variables(config: Mapping[str, Any]) -> list[str]:
    """The variables ``PREFLIGHT_*`` of the environment that Flask does not read, because ``FLASK_`` is missing."""
    return sorted(name for name in os.environ if name in _KEYS and name not in config)


def split_variables(config: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The variables ``FLASK_PREFLIGHT_*`` of the environment that are in *config*, and those that are not.

    No ``from_prefixed_env()`` has read the latter. Each comes with its field, or ``""`` if it has none.
    """
    read: dict[str, str] = {}
    unread: dict[str, str] = {}
    for name in sorted(name for name in os.environ if name.startswith(f"FLASK_{PREFIX}")):
        key = name.removeprefix("FLASK_")
        (read if key.partition("__")[0] in config else unread)[name] = _KEYS.get(key, "")
    return read, unread


def _locate(key: str, problem: Problem) -> Problem:
    return problem._replace(where=f"app.config[{key!r}]")


def _flaw_of_key(key: str, value: object) -> Flaw | None:
    """What is wrong with a key that is not a field's."""
    if value is None and key == _WHOLE:
        return None
    if isinstance(value, Mapping):
        keys = list(_nested_keys(key, value))
        variables = " and ".join(f"FLASK_{name}" for name in keys)
        return make_flaw(value, "config-nested", f"{' and '.join(keys)} ({variables} in the environment)")
    if key == _WHOLE:
        return make_flaw(value, "config-whole")
    name = key[len(PREFIX) :]
    if name.upper() == "DEBUG":
        return make_flaw(value, "unknown-config-key", hint="drop it, and write Preflight(app, debug=True)")
    hint = None if nearest_field(name) else advise_without_field(name) or "drop it"
    return make_flaw(value, "unknown-config-key", _meant_key(name), hint=hint)


def _nested_keys(key: str, value: Mapping[Any, object]) -> Iterator[str]:
    """The keys that were meant by nested dictionaries."""
    for name, inner in value.items():
        joined = f"{key}_{name}"
        if isinstance(inner, Mapping):
            yield from _nested_keys(joined, inner)
        else:
            yield _meant_key(joined[len(PREFIX) :])


def _meant_key(name: str) -> str:
    """The key of the field that was probably meant by *name*."""
    return key_of(nearest_field(name) or name)


def _read_value(field: str, value: object) -> object:
    """*value* as `Policy` takes it, or what is wrong with it."""
    if field == "max_age" and isinstance(value, float) and value.is_integer():
        return int(value)
    if field not in ITEMS:
        return value
    items = _read_text(field, value) if isinstance(value, str) else value
    if isinstance(items, Iterator):  # the configuration is read twice, and an iterator only once
        return make_flaw(value, "not-a-list", _in_json(ITEMS[field].example))
    if isinstance(items, list | tuple | set | frozenset) and not isinstance(items, Flaw):
        return tuple(... if isinstance(item, str) and item == "..." else item for item in items)
    return items


def _read_text(field: str, text: str) -> object:
    """A list that is written as JSON or as one comma-separated string, or what is wrong with it."""
    plain = text.strip()
    if not plain:
        return make_flaw(text, "config-empty")
    if plain.lower() == "none" or (plain.lower() == "null" and field != "allow_origins"):
        return make_flaw(text, "config-none", _NONE.get(field, "[] to allow nothing"))
    if plain[0] not in "[{\"'\u2018\u201c":
        items = [item.strip() for item in text.split(",")]
        return _flaw_of_separators(field, text, items) or items
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        values = ITEMS[field].split(text)
        hint = None if values else "write [] to allow nothing"
        return make_flaw(text, "config-not-json", ",".join(values), f"[{_in_json(values)}]", hint=hint)
    return _read_text(field, value) if isinstance(value, str) else value


def _flaw_of_separators(field: str, text: str, items: list[str]) -> Flaw | None:
    """A flaw if *items* are separated by something else than commas as well."""
    if not any(re.search(r";|\s|\||^\.\.\..", item) for item in items):
        return None
    values = ITEMS[field].split(text)
    if len(values) < 2:
        return None
    _, problems = read_fields({field: [value for value in values if value != "..."]})
    return None if problems else make_flaw(text, "several-in-one", hint=f"write {','.join(values)}")


def _in_json(values: Iterable[str]) -> str:
    return json.dumps(list(values))[1:-1]
