"""Calls that cannot work, and what to write instead.

Python's own ``TypeError`` names a parameter, but not what was meant. All messages here show a whole call to copy.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from types import FrameType
from typing import Any, Final, TypeVar, cast

from flask_preflight.checks import READERS, is_function, is_list, is_star
from flask_preflight.problems import show
from flask_preflight.spelling import correct_origins, split_values

Function = TypeVar("Function", bound=Callable[..., Any])

# What other CORS libraries call the fields
_OTHER_NAMES: Final = {
    "origins": "allow_origins",
    "origin": "allow_origins",
    "methods": "allow_methods",
    "headers": "allow_headers",
    "supports_credentials": "allow_credentials",
    "credentials": "allow_credentials",
}

# Names that do not stand for a field, and what to write instead
_NOT_FIELDS: Final = {
    "resources": "write allow_origins for the whole app, and for parts of it mark views with cors_route and blueprints"
    " with cors_blueprint, or use by_path around another WSGI app",
    "debug": "write Preflight(app, debug=True) or PreflightMiddleware(app, policy, debug=True)",
    # flask-cors
    **dict.fromkeys(
        ("always_send", "automatic_options", "intercept_exceptions", "send_wildcard", "vary_header"),
        "drop it, because this package does without it",
    ),
}


def nearest_field(name: str) -> str | None:
    """The field that was probably meant by *name*."""
    name = name.lower()
    if name in _NOT_FIELDS:
        return None
    near = difflib.get_close_matches(name, READERS, n=1, cutoff=0.5)
    return _OTHER_NAMES.get(name) or (near[0] if near else None)


def check_field_names(names: Iterable[str]) -> None:
    """:raises TypeError: that names all of *names* that are not fields of a policy."""
    unknown = [f"no field {show(name)}; {_advise(name)}" for name in names if name not in READERS]
    if unknown:
        raise TypeError(f"a policy has {' Also '.join(unknown)}")


def _advise(name: object) -> str:
    text = str(name)
    near = nearest_field(text)
    if near:
        return f"did you mean {near!r}?"
    return f"{_NOT_FIELDS.get(text) or 'its fields are ' + ', '.join(READERS)}."


def write_fields(value: object, others: Mapping[str, object] | None = None) -> str:
    """What *value* says, as keyword arguments of a policy, and *others*.

    *value* may be a policy, a dictionary of fields, origins in any form, or a callable. If nothing is said, an example.
    """
    written = {**_read_fields(value), **(others or {})} or {"allow_origins": ["https://example.com"]}
    return ", ".join(f"{name}={show(list(each) if is_list(each) else each)}" for name, each in written.items())


def _read_fields(value: object) -> Mapping[str, object]:
    if is_dataclass(value) and not isinstance(value, type):
        return changed_fields(value)
    if isinstance(value, Mapping):
        return value if all(name in READERS for name in value) else {}
    if isinstance(value, str) and "://" in value:
        return {"allow_origins": correct_origins(split_values(value))}
    return {"allow_origins": value} if is_star(value) or is_list(value) or is_function(value) else {}


def changed_fields(policy: Any) -> dict[str, object]:
    """The fields of *policy* that differ from the defaults."""
    values = {field.name: (getattr(policy, field.name), field.default) for field in fields(policy)}
    return {name: value for name, (value, default) in values.items() if callable(value) or value != default}


def outer_frame() -> FrameType:
    """The frame of the user's code that has called this package."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__package__") == __package__ and frame.f_back is not None:
        frame = frame.f_back
    return frame


_POSITIONAL: Final = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def takes_fields(call: str) -> Callable[[Function], Function]:
    """Decorate a function that takes the fields of a policy as keywords.

    Other values than its own parameters, or a policy in place of fields, are a ``TypeError`` that shows *call*, such as
    ``"Preflight(app, {})"``, with the fields in it.
    """

    def decorate(function: Function) -> Function:
        own = [each for each in inspect.signature(function).parameters.values() if each.kind in _POSITIONAL]
        required = [each.name for each in own if each.default is each.empty]

        @wraps(function)
        def checked(*args: Any, **given: Any) -> Any:
            policies = [given.pop("policy")] if "policy" in given else []
            not_fields = [*args[len(own) :], *policies]
            if not_fields:
                written = call.format(write_fields(not_fields[0], given))
                raise TypeError(f"the fields of a policy are keyword arguments: write {written}")
            missing = [name for name in required[len(args) :] if name not in given]
            if missing:
                raise TypeError(
                    f"the {missing[0].replace('_', ' ')} is missing: write {call.format(write_fields(None, given))}"
                )
            return function(*args, **given)

        return cast(Function, checked)

    return decorate
