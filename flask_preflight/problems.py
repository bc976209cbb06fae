"""Everything that can be wrong with a policy, in one table, and :class:`PolicyError`, which reports it.

``docs/problems.md`` explains each id at length; a test holds the two together.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Final, NamedTuple

# id: (what is wrong, what to write instead); `make_flaw` fills in the {braces}
_TEXTS: Final[dict[str, tuple[str, str]]] = {
    # lists
    "bare-string": ("is one string where a list is due", "write {0}"),
    "not-a-list": ("is no list", "write a list of strings"),
    "not-a-string": ("is not a string", "write it as one"),
    "empty-item": ("is an empty item", "drop it"),
    "several-in-one": ("holds several values", "write one string for each: {0}"),
    "ellipsis-as-string": (
        "is a string, and the inherited values are written without quotes",
        "write ... without quotes",
    ),
    "nothing-to-inherit": (
        "stands for the inherited values, and there is no list to inherit here",
        "write the values themselves",
    ),
    "wildcard-beside-others": (
        "covers everything, so nothing can stand beside it",
        "write '*' alone, or drop it",
    ),
    # origins, one by one
    "origin-separator": ("has white space or a comma in it", "write one string for each origin: {0}"),
    "origin-regex": (
        "looks like a regular expression, and is not read as one",
        "write a pattern such as 'https://*.example.com', or a callable for anything else",
    ),
    "origin-too-long": ("is longer than any origin that a browser sends", "drop it"),
    "origin-file": (
        "names no page: for pages opened from a disk most browsers send 'null', as any sandboxed frame does, and a few"
        " (QtWebEngine, some versions of Cordova and Electron) send 'file://', for every file",
        "serve the page from http://localhost, or from a scheme of the app's own such as 'app://.'",
    ),
    "origin-trailing-slash": ("ends in a slash, and origins do not", "drop the trailing slash"),
    "origin-path": (
        "has a path, query, or fragment, which browsers never send in 'Origin'",
        "keep only scheme, host, and port",
    ),
    "origin-user-info": ("has user info, which browsers never send in 'Origin'", "drop all up to the '@'"),
    "origin-wildcard": (
        "has a '*' where none can stand; the patterns are 'https://*.example.com' for all subdomains"
        " of a domain, 'http://localhost:*' for all ports, and 'moz-extension://*' for extensions",
        "use one of those, or a callable for anything else",
    ),
    "origin-upper-case": (
        "has upper case, and browsers send origins in lower case",
        "write it in lower case",
    ),
    "origin-unicode": ("has a host in Unicode, and browsers send it in Punycode", "write its Punycode form"),
    "origin-default-port": ("spells out the default port, and browsers leave it out", "drop the port"),
    "origin-port": ("has an impossible port", "write a number from 1 to 65535, or '*' for any"),
    "origin-ip-address": (
        "has an IP address that browsers spell in another way, or none at all",
        "write it as they do, and without '*.'",
    ),
    "origin-scheme": ("has no valid scheme", "start it with 'https://' or 'http://'"),
    "origin-host": (
        "has no valid host",
        "write a domain of letters, digits, '-', and '_', with labels of at most 63 and 253 characters in all",
    ),
    "async-callable": ("is asynchronous, and WSGI cannot wait for it", "write a plain function"),
    "callable-signature": (
        "cannot be called with an origin and an environ",
        "write a function of two arguments, such as def allowed(origin, environ)",
    ),
    # origins, and what they must not go together with
    "null-origin": (
        "is sent by every sandboxed frame, also on other people's pages",
        "drop it, or set dangerously_allow_null_origin=True",
    ),
    "null-origin-with-credentials": (
        "is sent by every sandboxed frame, also on other people's pages, which could then act as the user",
        "drop it, or set allow_credentials=False",
    ),
    "wildcard-with-credentials": (
        "means nothing to browsers where credentials are allowed",
        "list the values, or set allow_credentials=False",
    ),
    "insecure-origin-with-credentials": (
        "can be rewritten by anyone on the network path, who could then act as the user",
        "write {0}, or set dangerously_allow_insecure_origins=True",
    ),
    "public-suffix-with-credentials": (
        "admits subdomains that anyone can register",
        "list the origins, or set dangerously_allow_public_suffix_subdomains=True",
    ),
    "any-host-with-credentials": (
        "admits every extension or app of that scheme, which could then act as the user",
        "list the origins, or set allow_credentials=False",
    ),
    # methods
    "method-invalid": ("is no HTTP method", "write one token, such as 'PUT'"),
    "method-forbidden": ("can be sent by no browser", "drop it"),
    "method-case": (
        "is in the wrong case, and methods are compared with their case",
        "write {0}, and the same in the page's fetch()",
    ),
    # headers
    "header-invalid": ("is no header name", "write one token, such as 'X-Request-Id'"),
    "header-forbidden": ("is out of the reach of scripts", "drop it"),
    "header-of-response": (
        "is a header of the server's answer, which this package sends",
        "drop it, here and in the page's fetch()",
    ),
    # the rest
    "max-age-type": ("is no whole number of seconds", "write max_age=600, a timedelta, or None"),
    "max-age-range": (
        "is not in 0..86400 seconds",
        "write at most 86400, which is a day, or 0 to switch caching off",
    ),
    "preflight-status": (
        "is no status that browsers accept for a preflight",
        "write 204, or 200 for old user agents",
    ),
    # the configuration
    "config-not-json": ("is not valid JSON: use double quotes, and no comma at the end", "write {0}"),
    "config-empty": ("is an empty string where a list is due", "write [] to allow nothing"),
    "config-nested": (
        "is a nested dictionary, which Flask makes of two underscores in the name of a variable",
        "write one underscore, as in {0}",
    ),
    "unknown-config-key": ("is set, and a policy has no such field", "write {0}, or drop it"),
    "not-a-bool": ("is neither True nor False", "write True or False"),
}

PROBLEM_IDS: Final = frozenset(_TEXTS)


class Flaw(NamedTuple):
    """What is wrong with one value: a stable *id*, a sentence, and what to write instead."""

    value: object
    id: str
    message: str
    hint: str


def make_flaw(value: object, problem_id: str, *words: object, spelling: str | None = None) -> Flaw:
    """The flaw *problem_id* of *value*; *words* fill its text, and *spelling* is the right one, if there is one."""
    message, hint = _TEXTS[problem_id]
    hint = hint.format(*map(_show, words))
    return Flaw(value, problem_id, message, f"{hint}: {spelling!r}" if spelling else hint)


def _show(value: object) -> str:
    """*value* on one line and cut short, as a human would write it."""
    if value is ...:
        return "..."
    if inspect.isroutine(value):
        return value.__qualname__
    try:
        shown = " ".join(repr(value).splitlines())
    except Exception:  # noqa: BLE001 - a `repr` that raises must not hide the problem
        return f"<{type(value).__name__}>"
    return shown if len(shown) <= 200 else f"{shown[:200]}..."


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
        return f"{place}{self.field}: {_show(self.value)} {self.message}; {self.hint} [{self.id}]"


class PolicyError(ValueError):
    """A policy cannot be built; :attr:`problems` says everything that is wrong with it."""

    problems: tuple[Problem, ...]

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        return "\n- ".join((f"{count} problem{'s' if count > 1 else ''} with a CORS policy:", *map(str, self.problems)))
