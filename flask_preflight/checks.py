"""Read and check the fields of a policy.

A reader takes the value that was written, returns the value as `Policy` keeps it, and reports what is wrong.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias, TypeGuard

from flask_preflight import fetch
from flask_preflight.origin import Origins
from flask_preflight.problems import Flaw, Problem, make_flaw, show, show_items
from flask_preflight.spelling import (
    correct_origins,
    diagnose,
    is_allowed_origin,
    is_glued,
    join_pieces,
    show_values,
    split_values,
)

# No method in use is longer (https://www.iana.org/assignments/http-methods). Longer ones are refused.
MAX_METHOD_LENGTH: Final = 64

# Browsers cache for one day at most (Firefox), others for less. A larger number is probably in a wrong unit.
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
    """Whether *value* is the string ``"*"``. The type is checked, because an object can compare equal to it."""
    return isinstance(value, str) and str.__eq__(value, fetch.WILDCARD)


def is_function(value: object) -> bool:
    """Whether *value* is to be called. A class is not: it would make an object, and an enumeration is a list."""
    return callable(value) and not isinstance(value, type)


def is_list(value: object) -> TypeGuard[Iterable[object]]:
    """Whether *value* is an iterable of items, and no string, no dictionary and no function."""
    is_other = isinstance(value, str | bytes | bytearray | memoryview | Mapping) or is_function(value)
    return isinstance(value, Iterable) and not is_other


# ---------------------------------------------------------------------------------------
# Lists
# ---------------------------------------------------------------------------------------

# How many items of a list are shown corrected, and how much of a string is split for that
_MOST_CORRECTED: Final = 20
_MOST_SPLIT: Final = 2000


class Items(NamedTuple):
    """What a list field holds: an example, and how to correct strings that are meant as items."""

    example: tuple[str, ...]
    correct: Callable[[Iterable[str]], list[str]]
    clean: Callable[[str], str] = str

    def split(self, text: str) -> list[str]:
        """The items that *text* was meant to hold, or the first of them."""
        return self.correct(split_values(self.clean(text[:_MOST_SPLIT]))[:_MOST_CORRECTED])


def _read_list(value: object, report: Report, items: Items) -> list[object]:
    """The items of *value*; ``"*"`` is the one string that is read as a list, of itself."""
    if is_star(value):
        return [fetch.WILDCARD]
    if is_list(value):
        # plain strings: subclasses, as enumerations are, may format and compare in their own way
        return [str.__str__(item) if isinstance(item, str) else item for item in value]
    report(_flaw_of_no_list(value, items))
    return []


def _flaw_of_no_list(value: object, items: Items) -> Flaw:
    if isinstance(value, str):
        return make_flaw(value, "bare-string", show_values(items.split(value)))
    example = show_items(items.example)
    if value is None:
        return make_flaw(value, "not-a-list", hint=_DROP_NONE)
    if value is ...:
        hint = f"leave the field out to inherit it, or write [..., {example}] to add to the inherited values"
        return make_flaw(value, "not-a-list", hint=hint)
    if isinstance(value, re.Pattern):
        return make_flaw(value, "origin-regex", hint=f"write {show([_read_pattern(value)])}, or a function")
    if isinstance(value, Mapping):
        return make_flaw(value, "not-a-list", example, spelling=items.correct(_read_keys(value)) or None)
    text = _decode(value)
    return make_flaw(value, "not-a-list", example, spelling=None if text is None else items.split(text))


_DROP_NONE: Final = "write [], or leave the field out (an environment variable that is not set is None)"


def _read_keys(value: Mapping[Any, object]) -> list[str]:
    """The items that were meant by a dictionary: its keys, but not those that are switched off.

    A key whose value is a string or a list is the name of a field, as in ``{"origins": "*"}``, unless it is a URL.
    """
    keys = (key for key, is_on in value.items() if isinstance(key, str) and _is_switched_on(key, is_on))
    return list(islice(keys, _MOST_CORRECTED))


def _is_switched_on(key: str, is_on: object) -> bool:
    return is_on is not False and ("://" in key or is_on is None or isinstance(is_on, int))


def _flaw_of_item(item: object, items: Items) -> Flaw | None:
    """What can be wrong with an item of any list."""
    if isinstance(item, str):
        if item == "...":
            return make_flaw(item, "ellipsis-as-string")
        return None if item.strip() else make_flaw(item, "empty-item")
    if item is ...:
        return make_flaw(item, "nothing-to-inherit")
    if item is None:
        return make_flaw(item, "not-a-string", hint="drop it; a variable that is not set is None")
    if isinstance(item, re.Pattern):
        return make_flaw(item, "origin-regex", spelling=_read_pattern(item))
    if is_list(item) and (inner := [each for each in item if isinstance(each, str)]):
        return make_flaw(item, "not-a-string", hint=f"write its items without the inner brackets: {show_items(inner)}")
    text = _decode(item)
    spelling = items.correct([text])[0] if text else None
    return make_flaw(item, "not-a-string", repr(items.example[0]), spelling=spelling)


def _read_pattern(regex: re.Pattern[Any]) -> str:
    """A pattern for the same origins as *regex*, or an example of one."""
    text = regex.pattern if isinstance(regex.pattern, str) else ""
    return correct_origins([text])[0] if is_allowed_origin(correct_origins([text])[0]) else "https://*.example.com"


def _decode(value: object) -> str | None:
    """The text that *value* holds, if it is made of bytes."""
    return bytes(value).decode("latin-1") if isinstance(value, bytes | bytearray | memoryview) else None


# ---------------------------------------------------------------------------------------
# Origins
# ---------------------------------------------------------------------------------------


def _read_origins(value: object, report: Report) -> object:
    if isinstance(value, Origins):
        return value
    if is_function(value):
        _check_function(value, report)
        return value
    items = _read_list(value, report, _ORIGINS)
    if items and all(map(is_star, items)):
        return fetch.WILDCARD
    valid: list[str] = []
    for item in items:
        if isinstance(item, str) and (item == fetch.NULL_ORIGIN or is_allowed_origin(item)):
            valid.append(item)
        elif is_function(item):
            report(make_flaw(item, "function-in-list"))
        else:
            report(_flaw_of_item(item, _ORIGINS) or diagnose(str(item)))
    return Origins(valid)


_ORIGINS: Final = Items(("https://example.com",), correct_origins, join_pieces)


def _check_function(function: object, report: Report) -> None:
    if _is_async(function):
        report(make_flaw(function, "async-callable"))
        return
    if not can_be_called(function, "https://example.com", {}):
        report(make_flaw(function, "callable-signature"))


def can_be_called(function: object, *arguments: object) -> bool:
    """Whether the signature of *function* takes *arguments*, as far as Python can tell."""
    is_plain = inspect.isroutine(function) or isinstance(function, partial)
    try:
        # of the method: `inspect` compares what it gets, and an object may compare in its own way
        signature = inspect.signature(function if is_plain else function.__call__)  # type: ignore[operator, arg-type]
    except (TypeError, ValueError):  # it has none, as some built-in functions
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _is_async(function: object) -> bool:
    """Whether *function* returns a coroutine, as far as that is known without a call."""
    while isinstance(function, partial):
        function = function.func
    method = getattr(function, "__call__", None)  # noqa: B004 - the method itself is needed
    return any(map(inspect.iscoroutinefunction, (function, method))) or inspect.isasyncgenfunction(function)


# ---------------------------------------------------------------------------------------
# Methods and header names
# ---------------------------------------------------------------------------------------


class _Names(NamedTuple):
    """A list field of methods or header names."""

    check: Callable[[str], Flaw | None]
    example: tuple[str, ...]
    fold: Callable[[str], str]
    separators: str = r"[,;]|(?<=\w)\|(?=\w)"  # a pattern
    star_has_company: bool = False  # '*' does not cover Authorization, so both may be in one list

    @property
    def items(self) -> Items:
        return Items(self.example, self._correct, lambda text: re.sub(self.separators, ",", _drop_values(text)))

    def _correct(self, texts: Iterable[str]) -> list[str]:
        corrected = [self._correct_name(text) for text in texts]
        if self.star_has_company:
            return corrected
        return [text for text in corrected if text != fetch.WILDCARD] or corrected[:1]

    def _correct_name(self, text: str) -> str:
        """*text* without quotes and what follows a name, as in ``X-Request-Id: 1``, and in the right case."""
        name = _drop_values(text).strip(_AROUND_NAMES)
        if name.lower() in _ANY_NAME:
            return fetch.WILDCARD
        flaw = self.check(name)
        if flaw is not None and flaw.id == "method-case":
            return name.upper()
        return text if flaw else name

    def flaw_of(self, item: object) -> Flaw | None:
        flaw = _flaw_of_item(item, self.items)
        if flaw is not None or not isinstance(item, str) or item == fetch.WILDCARD:
            return flaw
        if re.search(self.separators, item) or is_glued(item):
            return make_flaw(item, "several-in-one", show_values(self.items.split(item)))
        flaw = self.check(item)
        if flaw is None or flaw.id not in {"method-invalid", "header-invalid"}:
            return flaw
        corrected = self._correct_name(item)
        return flaw if corrected == item else make_flaw(item, flaw.id, spelling=corrected)


# White space and quotes
_AROUND_NAMES: Final = " \t\r\n'\"`\u2018\u2019\u201c\u201d"

# Valid names by the grammar of the standard, but surely a mistake
_ANY_NAME: Final = frozenset({"all", "any"})
_NO_NAME: Final = "none"


def _flaw_of_name(name: str, problem_id: str) -> Flaw | None:
    """What is wrong with a method or a header name by itself."""
    if fetch.is_token(name) and name.strip(_AROUND_NAMES) == name and name.lower() not in {*_ANY_NAME, _NO_NAME}:
        return None
    return make_flaw(name, problem_id, hint="write [] to allow none" if name.lower() == _NO_NAME else None)


def _drop_values(text: str) -> str:
    """*text* without what follows the name of a header, as in ``X-Request-Id: 1``, and without a comment."""
    return re.sub(r":[^,;\n]*|(?<=\s)#.*", "", text)


def _read_methods(value: object, report: Report) -> object:
    return None if value is None else _read_names(value, report, _METHODS)


def _read_request_headers(value: object, report: Report) -> object:
    return _read_names(value, report, _REQUEST_HEADERS)


def _read_response_headers(value: object, report: Report) -> object:
    return _read_names(value, report, _RESPONSE_HEADERS)


def _read_names(value: object, report: Report, names: _Names) -> object:
    """Methods or header names, sorted and without repetition; ``"*"`` alone stays ``"*"``."""
    items = _read_list(value, report, names.items)
    for found in filter(None, map(names.flaw_of, items)):
        report(found)
    # of two spellings the last stays, so that their order does not matter
    kept = {names.fold(item): item for item in sorted((item for item in items if isinstance(item, str)), reverse=True)}
    if list(kept) == [fetch.WILDCARD]:
        return fetch.WILDCARD
    if fetch.WILDCARD in kept and not names.star_has_company:
        report(make_flaw(fetch.WILDCARD, "wildcard-beside-others"))
    return tuple(kept[key] for key in sorted(kept))


def _check_method(method: str) -> Flaw | None:
    flaw = _flaw_of_name(method, "method-invalid")
    if flaw or len(method) > MAX_METHOD_LENGTH:
        return flaw or make_flaw(method, "method-invalid")
    if fetch.is_forbidden_method(method):
        return make_flaw(method, "method-forbidden")
    upper = method.upper()
    # "patch" is a common mistake: browsers convert the other methods to upper case, but not this one
    if method != upper and (fetch.normalize_method(method) == upper or upper == "PATCH"):
        return make_flaw(method, "method-case", repr(upper))
    return None


def _check_request_header(name: str) -> Flaw | None:
    flaw = _flaw_of_name(name, "header-invalid")
    if flaw:
        return flaw
    if fetch.is_forbidden_request_header(name):
        is_cookie = name.lower() in {"cookie", "cookie2"}
        return make_flaw(name, "header-forbidden", hint=_DROP_COOKIE if is_cookie else None)
    return make_flaw(name, "header-of-response") if name.lower().startswith("access-control-") else None


_DROP_COOKIE: Final = "drop it, and set allow_credentials=True if browsers should send cookies"


def _check_response_header(name: str) -> Flaw | None:
    flaw = _flaw_of_name(name, "header-invalid")
    if flaw is None and name.lower() in fetch.FORBIDDEN_RESPONSE_HEADERS:
        return make_flaw(name, "header-forbidden", hint="drop it, because no script can ever read it")
    return flaw


# Commas, spaces, and other signs between two methods, such as "GET|PUT"
_BETWEEN_METHODS: Final = (
    r"(?i)[,;]|(?<=\w)[ \t]+(?=\w)|(?<=[A-Z])[ \t]*[|/+&][ \t]*(?=(?:DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT)\b)"
)

_METHODS: Final = _Names(_check_method, ("GET", "PUT"), fold=str, separators=_BETWEEN_METHODS)
_REQUEST_HEADERS: Final = _Names(_check_request_header, ("Content-Type",), fold=str.lower, star_has_company=True)
_RESPONSE_HEADERS: Final = _Names(_check_response_header, ("ETag",), fold=str.lower)


ITEMS: Final = {
    "allow_origins": _ORIGINS,
    "allow_methods": _METHODS.items,
    "allow_headers": _REQUEST_HEADERS.items,
    "expose_headers": _RESPONSE_HEADERS.items,
}


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
        report(make_flaw(value, "max-age-type", hint=_hint_for_seconds(value)))
    elif not 0 <= seconds <= _MAX_MAX_AGE:
        report(make_flaw(value, "max-age-range", hint=_hint_for_range(seconds)))
    else:
        return int(seconds)  # a plain one, because enumerations may format in their own way
    return value


_DURATION: Final = r"(?i)([0-9]{1,9})(?:\.0*)?\s*(s|m|h|d)?(?:ec(?:ond)?s?|in(?:ute)?s?|ours?|ays?)?"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _hint_for_seconds(value: object) -> str | None:
    """What to write for a duration in another form, such as ``"10m"``."""
    if isinstance(value, timedelta):
        seconds = round(value.total_seconds())
    else:
        match = re.fullmatch(_DURATION, str(value).strip()) if isinstance(value, str | float) else None
        if match is None:
            return "write None" if isinstance(value, str) and value.lower() in {"none", "null"} else None
        seconds = int(match[1]) * _SECONDS[(match[2] or "s").lower()]
    return f"write {max(0, min(seconds, _MAX_MAX_AGE))}"


def _hint_for_range(seconds: int) -> str | None:
    if seconds < 0:
        return "write 0 to switch caching off"
    if not seconds % 1000 and seconds // 1000 <= _MAX_MAX_AGE:
        return f"write {seconds // 1000} if it is in milliseconds, or at most 86400, which is a day"
    return None


def _read_status(value: object, report: Report) -> object:
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 299:
        is_number = isinstance(value, str) and re.fullmatch(r"2[0-9]{2}", value)
        report(make_flaw(value, "preflight-status", hint=f"write {value}" if is_number else None))
        return value
    return int(value)


def _read_bool(value: object, report: Report) -> object:
    if not isinstance(value, bool):
        word = value.strip().lower() if isinstance(value, str) else value
        report(make_flaw(value, "not-a-bool", spelling=_find_bool(word)))
    return value


def _find_bool(word: object) -> bool | None:
    """The ``bool`` that *word* means, such as ``"yes"``."""
    if not isinstance(word, str | int | None):
        return None
    return {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
        "none": False,
        "null": False,
        "": False,
    }.get(str(word).lower())


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
    """Report combinations of the fields in *values* that are not allowed. The fields have been read already."""
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
            meant = "the origins of your pages" if field == "allow_origins" else "the headers that your pages read"
            listed = f"{meant}, such as {show([*ITEMS[field].example])}"
            reporter(problems, field)(make_flaw(fetch.WILDCARD, "wildcard-with-credentials", listed))
    for text in origins.for_any_host:
        report(make_flaw(text, "any-host-with-credentials", repr(f"{text[:-1]}the-id-of-yours")))
    if values["dangerously_allow_insecure_origins"] is not True:
        for text in origins.insecure:
            report(make_flaw(text, "insecure-origin-with-credentials", repr(text.replace("http:", "https:", 1))))
    if values["dangerously_allow_public_suffix_subdomains"] is not True:
        for text in origins.on_public_suffixes:
            report(make_flaw(text, "public-suffix-with-credentials", repr(text.replace("*", "my-name", 1))))
