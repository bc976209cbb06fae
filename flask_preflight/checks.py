"""Read and check the fields of a policy.

A reader takes the value that was written, returns the value as `Policy` keeps it, and reports what is wrong.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeAlias, TypeGuard

from flask_preflight import fetch
from flask_preflight.origin import Origins, parse_origin, parse_pattern
from flask_preflight.problems import Flaw, Problem, make_flaw
from flask_preflight.spelling import diagnose

# Longer than every method in use (https://www.iana.org/assignments/http-methods). Longer ones are refused by their
# length.
MAX_METHOD_LENGTH: Final = 64

# Browsers limit what they remember: one day in Firefox, less in others. More is a wrong unit or a misunderstanding.
_MAX_MAX_AGE: Final = 86400

Report: TypeAlias = Callable[[Flaw], None]


def read_fields(given: Mapping[str, object]) -> tuple[dict[str, object], list[Problem]]:
    """Read the fields in *given*, each by itself: their values as `Policy` keeps them, and the problems."""
    problems: list[Problem] = []
    values = {name: READERS[name](value, reporter(problems, name)) for name, value in given.items()}
    return values, problems


def reporter(problems: list[Problem], field: str) -> Report:
    """A function that adds a flaw of *field* to *problems*."""
    return lambda flaw: problems.append(Problem(field, *flaw))


def is_star(value: object) -> bool:
    """Whether *value* is the string ``"*"``. An object of the user's own may claim to equal it, so the type counts."""
    return isinstance(value, str) and str.__eq__(value, fetch.WILDCARD)


def is_function(value: object) -> bool:
    """Whether *value* is to be called. A class is not: it would make an object, and an enumeration is a list."""
    return callable(value) and not isinstance(value, type)


def is_list(value: object) -> TypeGuard[Iterable[object]]:
    """Whether *value* is an iterable of items, and no string and no function."""
    is_other = isinstance(value, str | bytes | bytearray | memoryview) or is_function(value)
    return isinstance(value, Iterable) and not is_other


# ---------------------------------------------------------------------------------------
# Origins
# ---------------------------------------------------------------------------------------


def _read_origins(value: object, report: Report) -> object:
    if isinstance(value, Origins):
        return value
    if is_function(value):
        _check_function(value, report)
        return value
    items = _read_list(value, report)
    if items and all(map(is_star, items)):
        return fetch.WILDCARD
    valid: list[str] = []
    for item in items:
        if isinstance(item, str) and (item == fetch.NULL_ORIGIN or parse_origin(item) or parse_pattern(item)):
            valid.append(item)
        else:
            report(_flaw_of_item(item) or diagnose(str(item)))
    return Origins(valid)


def _check_function(function: object, report: Report) -> None:
    if _is_async(function):
        report(make_flaw(function, "async-callable"))
        return
    is_plain = inspect.isroutine(function) or isinstance(function, partial)
    try:
        # of the method: `inspect` compares what it gets, and an object may compare in its own way
        signature = inspect.signature(function if is_plain else function.__call__)  # type: ignore[operator, arg-type]
    except (TypeError, ValueError):  # it has none, as some built-in functions
        return
    try:
        signature.bind("https://example.com", {})
    except TypeError:
        report(make_flaw(function, "callable-signature"))


def _is_async(function: object) -> bool:
    """Whether *function* returns a coroutine, as far as that can be told without a call."""
    while isinstance(function, partial):
        function = function.func
    method = getattr(function, "__call__", None)  # noqa: B004 - the method itself is needed
    return any(map(inspect.iscoroutinefunction, (function, method))) or inspect.isasyncgenfunction(function)


# ---------------------------------------------------------------------------------------
# Methods and header names
# ---------------------------------------------------------------------------------------


def _read_methods(value: object, report: Report) -> object:
    return None if value is None else _read_names(value, report, _check_method, fold=str)


def _read_request_headers(value: object, report: Report) -> object:
    # '*' never covers Authorization, so the two may stand together
    return _read_names(value, report, _check_request_header, fold=str.lower, star_has_company=True)


def _read_response_headers(value: object, report: Report) -> object:
    return _read_names(value, report, _check_response_header, fold=str.lower)


def _read_names(
    value: object,
    report: Report,
    check: Callable[[str], Flaw | None],
    *,
    fold: Callable[[str], str],
    star_has_company: bool = False,
) -> object:
    """Methods or header names, sorted and without repetition; ``"*"`` alone stays ``"*"``."""
    items = _read_list(value, report)
    for found in filter(None, (_check_name(item, check) for item in items)):
        report(found)
    # of two spellings the last stays, so that their order does not matter
    names = {fold(item): item for item in sorted((item for item in items if isinstance(item, str)), reverse=True)}
    if list(names) == [fetch.WILDCARD]:
        return fetch.WILDCARD
    if fetch.WILDCARD in names and not star_has_company:
        report(make_flaw(fetch.WILDCARD, "wildcard-beside-others"))
    return tuple(names[key] for key in sorted(names))


def _check_name(item: object, check: Callable[[str], Flaw | None]) -> Flaw | None:
    flaw = _flaw_of_item(item)
    if flaw is not None or not isinstance(item, str):
        return flaw
    if "," in item:
        return make_flaw(item, "several-in-one", fetch.split_list(item))
    return None if item == fetch.WILDCARD else check(item)


def _flaw_of_item(item: object) -> Flaw | None:
    """What can be wrong with an item of any list."""
    if isinstance(item, re.Pattern):
        return make_flaw(item, "origin-regex")
    if not isinstance(item, str):
        return make_flaw(item, "nothing-to-inherit" if item is ... else "not-a-string")
    if item == "...":
        return make_flaw(item, "ellipsis-as-string")
    return None if item.strip() else make_flaw(item, "empty-item")


def _read_list(value: object, report: Report) -> list[object]:
    """The items of *value*; ``"*"`` is the one string that is read as a list, of itself."""
    if is_star(value):
        return [fetch.WILDCARD]
    if isinstance(value, str):
        report(make_flaw(value, "bare-string", fetch.split_list(value)))
    elif not is_list(value):
        report(make_flaw(value, "not-a-list"))
    else:
        # plain strings: subclasses, as enumerations are, may format and compare in their own way
        return [str.__str__(item) if isinstance(item, str) else item for item in value]
    return []


def _check_method(method: str) -> Flaw | None:
    if not fetch.is_token(method) or len(method) > MAX_METHOD_LENGTH:
        return make_flaw(method, "method-invalid")
    if fetch.is_forbidden_method(method):
        return make_flaw(method, "method-forbidden")
    upper = method.upper()
    # "patch" is the classic: browsers convert the other methods to upper case, but not this one
    if method != upper and (fetch.normalize_method(method) == upper or upper == "PATCH"):
        return make_flaw(method, "method-case", upper)
    return None


def _check_request_header(name: str) -> Flaw | None:
    if not fetch.is_token(name):
        return make_flaw(name, "header-invalid")
    if fetch.is_forbidden_request_header(name):
        return make_flaw(name, "header-forbidden")
    return make_flaw(name, "header-of-response") if name.lower().startswith("access-control-") else None


def _check_response_header(name: str) -> Flaw | None:
    if not fetch.is_token(name):
        return make_flaw(name, "header-invalid")
    return make_flaw(name, "header-forbidden") if name.lower() in fetch.FORBIDDEN_RESPONSE_HEADERS else None


# ---------------------------------------------------------------------------------------
# Single values
# ---------------------------------------------------------------------------------------


def _read_max_age(value: object, report: Report) -> object:
    seconds: object = value
    if isinstance(value, timedelta) and not value % timedelta(seconds=1):
        seconds = value // timedelta(seconds=1)
    if seconds is None:
        return None
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        report(make_flaw(value, "max-age-type"))
    elif not 0 <= seconds <= _MAX_MAX_AGE:
        report(make_flaw(value, "max-age-range"))
    else:
        return int(seconds)  # a plain one, because enumerations may format in their own way
    return value


def _read_status(value: object, report: Report) -> object:
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 299:
        report(make_flaw(value, "preflight-status"))
        return value
    return int(value)


def _read_bool(value: object, report: Report) -> object:
    if not isinstance(value, bool):
        report(make_flaw(value, "not-a-bool"))
    return value


READERS: Final[dict[str, Callable[[object, Report], object]]] = {
    "allow_origins": _read_origins,
    "allow_methods": _read_methods,
    "allow_headers": _read_request_headers,
    "expose_headers": _read_response_headers,
    "allow_credentials": _read_bool,
    "max_age": _read_max_age,
    "allow_timing": _read_bool,
    "preflight_status": _read_status,
    "dangerously_allow_insecure_origins": _read_bool,
    "dangerously_allow_public_suffix_subdomains": _read_bool,
    "dangerously_allow_null_origin": _read_bool,
}


# ---------------------------------------------------------------------------------------
# Combinations
# ---------------------------------------------------------------------------------------


def check_together(values: Mapping[str, Any], problems: list[Problem]) -> None:
    """Report what the fields in *values*, which have been read, must not say together."""
    report = reporter(problems, "allow_origins")
    allowed, with_credentials = values["allow_origins"], values["allow_credentials"] is True
    origins = allowed if isinstance(allowed, Origins) else Origins(())
    if origins.has_null and values["dangerously_allow_null_origin"] is not True:
        report(make_flaw(fetch.NULL_ORIGIN, "null-origin"))
    if not with_credentials:
        return
    if origins.has_null:
        report(make_flaw(fetch.NULL_ORIGIN, "null-origin-with-credentials"))
    for field in ("allow_origins", "expose_headers"):
        if is_star(values[field]):
            reporter(problems, field)(make_flaw(fetch.WILDCARD, "wildcard-with-credentials"))
    for text in origins.for_any_host:
        report(make_flaw(text, "any-host-with-credentials"))
    if values["dangerously_allow_insecure_origins"] is not True:
        for text in origins.insecure:
            report(make_flaw(text, "insecure-origin-with-credentials", text.replace("http:", "https:", 1)))
    if values["dangerously_allow_public_suffix_subdomains"] is not True:
        for text in origins.on_public_suffixes:
            report(make_flaw(text, "public-suffix-with-credentials"))
