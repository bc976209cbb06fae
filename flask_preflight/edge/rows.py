"""Rows: which preflights an edge may grant, as expressions that mean the same on all edges, with the headers.

The expressions use what PCRE, RE2, Go and JavaScript have in common: no look-around, no flags, repeats below 1000. The
headers come from `negotiate`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from flask_preflight import fetch
from flask_preflight.engine import HeaderList, RequestFacts, flaw_of_method, negotiate
from flask_preflight.origin import Origins, Pattern, parse_pattern
from flask_preflight.paths import PathPolicies
from flask_preflight.policy import Policy

ORIGIN: Final = "{origin}"
"""Stands for the request's ``Origin`` in a header."""

METHOD: Final = "{method}"
"""Stands for the request's ``Access-Control-Request-Method`` in a header."""


class Grant(NamedTuple):
    """All that a policy lets an edge grant.

    *origins* are compared as they are, *origin_regexes* match others. *methods* are compared as they are.
    *headers_regex* matches the requested headers as browsers write them; it matches ``""``, which stands for no such
    header. *headers* are those of the answer, with `ORIGIN` and `METHOD` in them. All expressions match the whole.
    """

    origins: tuple[str, ...]
    origin_regexes: tuple[str, ...]
    methods: tuple[str, ...]
    headers_regex: str
    status: int
    headers: HeaderList


class Row(NamedTuple):
    """What an edge does with a preflight for some URLs and methods.

    *regex* matches ``"TARGET METHOD"``: the request's target, a space, and the method that it announces. The first row
    that matches decides. Without *grant*, the app answers, for the *reason*. *name* is for people.
    """

    regex: str
    grant: Grant | None
    name: str
    reason: str = ""


class CannotExport(ValueError):
    """A policy that cannot be exported, and why."""


def numbered(rows: Iterable[Row]) -> dict[Grant, str]:
    """The grants of *rows*, each with a name for the configuration of an edge: ``"g0"``, ``"g1"``, ...

    :raises CannotExport: if there is none.
    """
    grants = dict.fromkeys(row.grant for row in rows if row.grant is not None)
    if not grants:
        raise CannotExport("there is nothing that an edge could grant")
    return {grant: f"g{number}" for number, grant in enumerate(grants)}


def digest_of(rows: Iterable[Row]) -> str:
    """SHA-256 of *rows*, in hexadecimal digits."""
    return hashlib.sha256(repr([*rows]).encode()).hexdigest()


def mark_of(rows: Iterable[Row]) -> str:
    """What the names in the files of one export end with. No other export has these names."""
    return digest_of(rows)[:8]


# ---------------------------------------------------------------------------------------
# From a policy to a grant
# ---------------------------------------------------------------------------------------

# Names may have other characters too, but those have a meaning in the language of some edge.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

_LABEL: Final = "[a-z0-9_-]{1,63}"
_LONGEST_DOMAIN: Final = 253
# Without the short ones, among which are the default ports, which browsers never write
_PORT: Final = "(?::(?:[1-9][0-9]{3}|[1-5][0-9]{4}))?"
_ANY_ORIGIN: Final = ("null", "[a-z][a-z0-9+.-]{0,31}://[a-z0-9_.~-]{1,200}(?::[1-9][0-9]{0,4})?")
_COMMON_METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_MOST_NAMES: Final = 32
# PCRE repeats an expression by writing it down so often, and has 64 kB for all, two for a character.
_LONGEST_REPEATED: Final = 25_000


def grant_of(policy: Policy) -> Grant:
    """What an edge may grant under *policy*.

    :raises CannotExport: if it may grant nothing.
    """
    if callable(policy.allow_origins):
        raise CannotExport("allow_origins is a callable")
    origins, regexes = _origins_of(policy)
    if not (origins or regexes):
        raise CannotExport("no origin is allowed")
    methods = _methods_of(policy)
    if not methods:
        raise CannotExport("no method is allowed")
    names = [*policy.headers] if not policy.allows_any_header else []
    if not all(_PLAIN.fullmatch(name) for name in (*methods, *names)):
        raise CannotExport("a method or header has an unusual name")
    status, headers = _answer_of(policy, methods[0])
    return Grant(origins, regexes, methods, _list_of(names), status, headers)


def _origins_of(policy: Policy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if policy.allows_any_origin:
        return (), _ANY_ORIGIN
    listed = [*policy.allow_origins] if isinstance(policy.allow_origins, Origins) else []
    parsed = {origin: parse_pattern(origin) for origin in listed}
    exact = tuple(origin for origin, pattern in parsed.items() if pattern is None)
    return exact, tuple(filter(None, (_regex_of(pattern) for pattern in parsed.values() if pattern is not None)))


def _regex_of(pattern: Pattern) -> str:
    """An expression that may match less than *pattern*; ``""`` if there is none."""
    scheme, host, port = pattern.origin
    if host.startswith("["):  # brackets are special
        return ""
    if pattern.any_host:
        return f"{quote(scheme)}://[a-z0-9-]{{1,64}}"
    labels = ""
    if pattern.subdomains:
        count = min(3, (_LONGEST_DOMAIN - len(host)) // 64)
        if count < 1:
            return ""
        labels = f"(?:{_LABEL}[.]){{1,{count}}}"
    ending = _PORT if pattern.any_port else quote(f"{port and ':'}{port}")
    return f"{quote(scheme)}://{labels}{quote(host)}{ending}"


def quote(text: str) -> str:
    """*text* as an expression. ``.`` replaces a character that is special in the language of some edge."""
    return re.sub(r"[^A-Za-z0-9_/:@~%-]", lambda found: f"[{found[0]}]" if found[0] in ".+" else "[^ ?#]", text)


def _methods_of(policy: Policy) -> tuple[str, ...]:
    methods = _COMMON_METHODS if policy.allows_any_method else policy.methods
    return tuple(method for method in methods if flaw_of_method(method) is None)


def _list_of(names: Iterable[str]) -> str:
    """Browsers' lists of header names: in lower case, with bare commas."""
    lower = sorted({name.lower() for name in names})
    if not lower:
        return ""
    one = f"(?:{'|'.join(lower)})"
    most = min(len(lower), _MOST_NAMES, 1 + _LONGEST_REPEATED // len(one))  # browsers name each one once
    more = f"(?:,{one}){{0,{most - 1}}}" if most > 1 else ""
    return f"(?:{one}{more})?"


def _answer_of(policy: Policy, method: str) -> tuple[int, HeaderList]:
    """The answer of `negotiate`, with the places of what the request said."""
    origin = _sample_of(policy)
    decision = negotiate(policy, RequestFacts("OPTIONS", origin, method, ""))
    is_echoed = policy.allows_any_method and policy.allow_credentials
    return policy.preflight_status, tuple(
        (name, _template(name, value, origin, method if is_echoed else None)) for name, value in decision.headers
    )


def _sample_of(policy: Policy) -> str:
    if not isinstance(policy.allow_origins, Origins):
        return "https://any.invalid"
    value = policy.allow_origins[0]
    pattern = parse_pattern(value)
    if pattern is None:
        return value
    host = f"any.{pattern.origin.host}" if pattern.subdomains else pattern.origin.host or "any"
    return str(pattern.origin._replace(host=host, port="1234" if pattern.any_port else pattern.origin.port))


def _template(name: str, value: str, origin: str, method: str | None) -> str:
    if name == fetch.ALLOW_ORIGIN and value == origin:
        return ORIGIN
    return METHOD if name == fetch.ALLOW_METHODS and value == method else value


# ---------------------------------------------------------------------------------------
# Rows of any WSGI app
# ---------------------------------------------------------------------------------------

# A segment that every server reads in one way: no escape, not empty, not "." or ".."
SEGMENT: Final = "[A-Za-z0-9_~-][A-Za-z0-9_.~-]*"
QUERY: Final = "(?:[?][^ #]*)?"
ANY_METHOD: Final = "[^ ]*"


def rows_of(found: Policy | PathPolicies, prefix: str = "") -> list[Row]:
    """The rows of a policy, or of what `by_path` returns, for an app that is mounted at *prefix*."""
    check_prefix(prefix)
    if isinstance(found, Policy):
        # Whatever the target is, unless other apps have paths beside the mount
        return [_row(_regex_below(prefix, "") if prefix else "[^ ]*", found, "any path")]
    keys = sorted(found.keys(), key=lambda key: (key == "/", -key.count("/"), key))  # the most specific first
    return [_row(_regex_below(prefix, key), found.policy_of(key), key, is_plain=is_plain(key)) for key in keys]


def check_prefix(prefix: str) -> None:
    """:raises CannotExport: if *prefix* is neither empty nor a plain path."""
    if prefix and (prefix.endswith("/") or not is_plain(prefix)):
        raise CannotExport(f"the mount {prefix!r} is not a plain path such as '/app'")


def is_plain(path: str) -> bool:
    """Whether every server reads *path* in one way."""
    return path == "/" or re.fullmatch(f"(?:/{SEGMENT})+", path) is not None


def _row(path: str, policy: Policy | None, name: str, *, is_plain: bool = True) -> Row:
    regex = f"{path} {ANY_METHOD}"
    if policy is None or not is_plain:
        return Row(regex, None, name, "its path has unusual characters" if policy else "it has no policy")
    try:
        return Row(regex, grant_of(policy), name)
    except CannotExport as error:
        return Row(regex, None, name, str(error))


def _regex_below(prefix: str, key: str) -> str:
    """The targets that *key* covers."""
    below = f"(?:/{SEGMENT})*/?{QUERY}"
    if key == "/":
        return f"{prefix}/(?:{SEGMENT}{below}|{QUERY})"
    return f"{prefix}{quote(key)}{below}"


# ---------------------------------------------------------------------------------------
# The meaning of rows
# ---------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A request as an edge sees it. *target* is raw. Absent headers are ``""``."""

    request_method: str
    target: str
    origin: str
    method: str
    headers: str


def answer_of(rows: Iterable[Row], asked: Asked) -> tuple[int, HeaderList] | None:
    """The status and headers that an edge answers with; ``None`` if the app answers. This defines rows."""
    if asked.request_method != "OPTIONS":
        return None
    key = f"{asked.target} {asked.method}"
    row = next((row for row in rows if re.fullmatch(row.regex, key)), None)
    if row is None or row.grant is None or not _is_granted(row.grant, asked):
        return None
    filled = {ORIGIN: asked.origin, METHOD: asked.method}
    return row.grant.status, tuple((name, filled.get(value, value)) for name, value in row.grant.headers)


def _is_granted(grant: Grant, asked: Asked) -> bool:
    is_known = asked.origin in grant.origins or any(re.fullmatch(it, asked.origin) for it in grant.origin_regexes)
    return is_known and asked.method in grant.methods and bool(re.fullmatch(grant.headers_regex, asked.headers))
