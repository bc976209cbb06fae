"""Calls that cannot work, and what to write instead.

Python's own ``TypeError`` does not say what to write. All messages here show a whole call to copy.
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
    "optionssuccessstatus": "preflight_status",
}

# Names that do not stand for a field, and what to write instead
_NOT_FIELDS: Final = {
    "resources": "write allow_origins for the whole app, and for parts of it mark views with cors_route and blueprints"
    " with cors_blueprint, or use by_path around another WSGI app",
    "debug": "write Preflight(app, debug=True) or PreflightMiddleware(app, policy, debug=True)",
    # flask-cors
    **dict.fromkeys(
        ("always_send", "automatic_options", "intercept_exceptions", "send_wildcard", "vary_header"),
        "drop it: this package does that by itself",
    ),
    # Express
    "preflightcontinue": "drop it: preflights never reach the app, and cors_exempt leaves a view alone",
    # Starlette and Django
    **dict.fromkeys(
        ("allow_origin_regex", "allowed_origin_regexes", "cors_allowed_origin_regexes"),
        "there are no regular expressions: write allow_origins=['https://*.example.com'], or a function",
    ),
    # flask-cors, Starlette and Django
    **dict.fromkeys(
        ("allow_private_network", "cors_allow_private_network"),
        "drop it: browsers have given up that header, and ask the user",
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
    return f"{advise_without_field(text) or 'its fields are ' + ', '.join(READERS)}."


def advise_without_field(name: str) -> str | None:
    """What to write instead of *name*, which is not a field, if that is known."""
    return _NOT_FIELDS.get(name.lower())


def write_fields(value: object, others: Mapping[str, object] | None = None) -> str:
    """*value* and *others* as keyword arguments of a policy, to show in a message.

    *value* may be a policy, a dictionary of fields, origins in any form, or a callable. An empty *value* gives an
    example.
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


def name_call(call: str) -> str:
    """*call*, such as ``Preflight(...)``, with the file and line of the user's code that makes it."""
    frame = outer_frame()
    return f"{call} at {frame.f_code.co_filename}:{frame.f_lineno}"


_POSITIONAL: Final = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def takes_fields(call: str) -> Callable[[Function], Function]:
    """Decorate a function that takes the fields of a policy as keywords.

    Other values than its own parameters, or a policy in place of fields, are a ``TypeError`` that shows *call*, such as
    ``"Preflight(app, {})"``, with the fields in it. If *function* takes no keywords, it takes no fields either.
    """

    def decorate(function: Function) -> Function:
        parameters = inspect.signature(function).parameters.values()
        own = [each for each in parameters if each.kind in _POSITIONAL]
        required = [each.name for each in own if each.default is each.empty]
        has_fields = any(each.kind is each.VAR_KEYWORD for each in parameters)

        @wraps(function)
        def checked(*args: Any, **given: Any) -> Any:
            if not has_fields and (len(args) > len(own) or given.keys() - {each.name for each in own}):
                raise TypeError(f"{function.__name__} takes no fields of a policy: write {call}")
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
