"""Everything that can be wrong with a policy, in one table, and :class:`PolicyError`, which reports it.

``docs/problems.md`` explains each id, and a test compares the two.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

_FUNCTION: Final = "def allowed(origin, environ): return origin == 'https://example.com'"

# id: (what is wrong, what to write instead); `make_flaw` fills in the {braces}. What follows "write" can be copied.
_TEXTS: Final[dict[str, tuple[str, str]]] = {
    # lists
    "bare-string": ("is one string, not a list", "write [{0}]"),
    "not-a-list": ("is not a list", "write a list such as [{0}]"),
    "not-a-string": ("is not a string", "write a string such as {0}"),
    "empty-item": (
        "is an empty item",
        "drop it; a comma at the end gives one, and so does a variable that is not set",
    ),
    "several-in-one": ("holds several values", "write one string for each: {0}"),
    "ellipsis-as-string": (
        "is a string, but ... for the inherited values is not one",
        "write ... without quotes",
    ),
    "nothing-to-inherit": (
        "means the inherited values, but here no list is inherited",
        "drop it, and write the values themselves",
    ),
    "wildcard-beside-others": (
        "allows everything, so the other values have no effect",
        "drop it, or write '*' alone",
    ),
    # origins, one by one
    "function-in-list": ("is a function in a list", "write it without the list"),
    "origin-separator": (
        "has white space, a comma, or a semicolon in it",
        "write one string for each origin: {0}",
    ),
    "origin-quotes": ("has quotes or brackets around it, inside the string", "write {0}"),
    "origin-regex": (
        "looks like a regular expression, but only patterns and callables (functions) are supported",
        "write a pattern such as 'https://*.example.com', or a function",
    ),
    "origin-too-long": ("is longer than any origin that a browser sends", "drop it"),
    "origin-file": (
        "does not name one page: for pages opened from a disk most browsers send 'null', as any sandboxed frame does,"
        " and a few (QtWebEngine, some versions of Cordova and Electron) send 'file://', for every file",
        "serve the page from a local server and write 'http://localhost:*', or give the app its own scheme and write"
        " 'app://.'",
    ),
    "origin-trailing-slash": ("ends with a slash, and an origin does not", "drop the slash"),
    "origin-path": (
        "has a path, query, or fragment, which browsers never send in 'Origin'",
        "write only scheme, host, and port, such as 'https://example.com'",
    ),
    "origin-user-info": (
        "has user info before the '@', which browsers never send in 'Origin'",
        "write only scheme, host, and port, such as 'https://example.com'",
    ),
    "origin-wildcard": (
        "has a '*' in the wrong place",
        "write a pattern such as 'https://*.example.com' for all subdomains, 'http://localhost:*' for all ports, or"
        " 'moz-extension://*' for all extensions, or a function for anything else",
    ),
    "origin-upper-case": (
        "has upper-case letters, but browsers send origins in lower case",
        "write it in lower case, such as 'https://example.com'",
    ),
    "origin-unicode": (
        "has a host in Unicode, but browsers send it in Punycode",
        "write its Punycode form, such as 'https://xn--bcher-kva.example'",
    ),
    "origin-default-port": ("has the default port of its scheme, which browsers leave out", "drop the port"),
    "origin-port": (
        "has an impossible port",
        "write a port from 1 to 65535, such as 'http://localhost:3000', or a star for any port: 'http://localhost:*'",
    ),
    "origin-ip-address": (
        "has an IP address that is not valid, or that browsers spell in another way",
        "write an address such as 'http://127.0.0.1:3000' or 'http://[::1]:3000', without '*.'",
    ),
    "origin-scheme": (
        "has no valid scheme",
        "write an origin such as 'https://example.com', which starts with 'https://' or 'http://'",
    ),
    "origin-scheme-misspelled": (
        "has a scheme that looks like a misspelled 'http' or 'https'",
        "write 'https://example.com', or 'http://example.com'",
    ),
    "origin-scheme-not-of-pages": (
        "has a scheme that no page has, so no browser sends it in 'Origin'",
        "write the origin of the page, such as 'https://example.com'",
    ),
    "origin-host": (
        "has no valid host: a domain has letters, digits, '-', and '_', at most 63 characters between two dots, and 253"
        " in all",
        "write an origin such as 'https://example.com'",
    ),
    "async-callable": (
        "is an async function, which a WSGI server cannot await",
        f"write a plain function such as {_FUNCTION}",
    ),
    "callable-signature": (
        "cannot be called with two arguments, an origin and an environ",
        f"write a function such as {_FUNCTION}",
    ),
    # origins, and what they must not go together with
    "null-origin": (
        "is the origin of every sandboxed frame, also on other people's pages",
        "drop it, or set dangerously_allow_null_origin=True",
    ),
    "null-origin-with-credentials": (
        "is the origin of every sandboxed frame, also on other people's pages, which could then act as the user",
        "drop it, or set allow_credentials=False",
    ),
    "wildcard-with-credentials": (
        "is not accepted by browsers when credentials are allowed",
        "write {0}, or set allow_credentials=False",
    ),
    "insecure-origin-with-credentials": (
        "is not encrypted, so anyone on the network path can change its pages, and could then act as the user",
        "write {0}, or set dangerously_allow_insecure_origins=True",
    ),
    "public-suffix-with-credentials": (
        "allows subdomains that anyone can register",
        "write the origins, such as {0}, or set dangerously_allow_public_suffix_subdomains=True",
    ),
    "any-host-with-credentials": (
        "allows every extension or app of that scheme, which could then act as the user",
        "write the origins, such as {0}, or set allow_credentials=False",
    ),
    # methods
    "method-invalid": ("is not an HTTP method", "write one word such as 'PUT'"),
    "method-forbidden": ("is a method that no browser lets a script send", "drop it"),
    "method-case": (
        "is in the wrong case, and methods are case-sensitive",
        "write {0}, and the same in the page's fetch()",
    ),
    # headers
    "header-invalid": ("is not a header name", "write one name such as 'X-Request-Id'"),
    "header-forbidden": ("is a header that scripts cannot use", "drop it"),
    "header-of-response": (
        "is a response header, which this package sends",
        "drop it, here and in the page's fetch()",
    ),
    # the rest
    "max-age-type": ("is not a whole number of seconds", "write 600, a timedelta, or None"),
    "max-age-range": (
        "is not in 0..86400 seconds",
        "write 86400, which is a day, or less",
    ),
    "preflight-status": (
        "is not a status that browsers accept for a preflight",
        "write 204, or 200 for old user agents",
    ),
    "not-a-bool": ("is not True or False", "write True or False"),
    # the configuration
    "config-not-json": (
        "is not valid JSON: use double quotes, a comma between two values, and none at the end",
        "write {0}, or {1}",
    ),
    "config-empty": ("is an empty string where a list is due", "write [] to allow nothing"),
    "config-none": ("is the word None, as a string", "write {0}"),
    "config-nested": (
        "is a nested dictionary, which Flask makes of two underscores in the name of a variable",
        "write {0}, with single underscores",
    ),
    "config-whole": (
        "is a value for the whole policy, but each field has its own key",
        "write a key such as PREFLIGHT_ALLOW_ORIGINS (FLASK_PREFLIGHT_ALLOW_ORIGINS in the environment)",
    ),
    "unknown-config-key": (
        "is the value of a setting that does not exist",
        "write {0} (FLASK_{0} in the environment), or drop it",
    ),
}

PROBLEM_IDS: Final = frozenset(_TEXTS)

# Longer values are cut, because people read the message.
_MOST_SHOWN: Final = 200


class Flaw(NamedTuple):
    """What is wrong with one value: a stable *id*, a sentence, and what to write instead."""

    value: object
    id: str
    message: str
    hint: str


def make_flaw(value: object, problem_id: str, *words: str, spelling: object = None, hint: str | None = None) -> Flaw:
    """The flaw *problem_id* of *value*.

    *words* fill its text. *spelling* is what to write instead, if that is clear; *hint* says it in other words.
    """
    message, usual_hint = _TEXTS[problem_id]
    if spelling is not None:
        hint = f"write {show(spelling)}"
    return Flaw(value, problem_id, message, usual_hint.format(*words) if hint is None else hint)


def show(value: object) -> str:
    """*value* on one line and cut short, as a person would write it."""
    if value is ...:
        return "..."
    if inspect.isroutine(value):
        return value.__qualname__.rpartition("<locals>.")[2]
    if type(value) is list:
        return f"[{show_items(value)}]"
    try:
        shown = " ".join(repr(value).splitlines())
    except Exception:  # noqa: BLE001 - a `repr` that raises must not hide the problem
        return f"<{type(value).__name__}>"
    return _cut(shown)


def show_items(values: Iterable[object]) -> str:
    """*values* as the items of a list, without its brackets."""
    return _cut(", ".join(map(show, islice(values, _MOST_SHOWN))))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


class Problem(NamedTuple):
    """A flaw of one field of a policy; *where* names the view with its file and line, or the configuration key."""

    field: str
    value: object
    id: str
    message: str
    hint: str
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.field}: {show(self.value)} {self.message}; {self.hint} [{self.id}]"


class PolicyError(ValueError):
    """A policy cannot be built; :attr:`problems` says everything that is wrong with it."""

    problems: tuple[Problem, ...]

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        return "\n- ".join((f"{count} problem{'s' if count > 1 else ''} with a CORS policy:", *map(str, self.problems)))
