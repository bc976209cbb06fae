"""Rows of a Flask app: its rules in the order in which Werkzeug's matcher tries them.

The app is asked with a preflight for an example URL of each rule. Its answer counts for the whole rule, because the
rows have the order of the rules.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from flask import Flask
from werkzeug.routing import (
    AnyConverter,
    BaseConverter,
    FloatConverter,
    IntegerConverter,
    PathConverter,
    Rule,
    UnicodeConverter,
    UUIDConverter,
)

from flask_preflight.commands.samples import sample_url
from flask_preflight.commands.targets import FlaskTarget, preflight_environ
from flask_preflight.edge.around import answers_as, has_own_routing, mounts_of
from flask_preflight.edge.rows import (
    ANY_METHOD,
    QUERY,
    SEGMENT,
    CannotExport,
    Grant,
    Row,
    check_prefix,
    grant_of,
    quote,
)
from flask_preflight.engine import flaw_of_method

_FIRST: Final = "[A-Za-z0-9_~-]"
_OTHERS: Final = "[A-Za-z0-9_.~-]"
ANOTHER_PATH: Final = "the path or the method is another one"

_ANYTHING: Final = "[^ ?#]*"
_LONGEST_PATH: Final = 2000  # nginx takes words of 4096 bytes
_LONGEST_TEXT: Final = 200  # a character may become six


class Unsayable(ValueError):
    """A part of a rule that no portable expression can describe exactly."""


def rows_of_app(target: FlaskTarget, prefix: str = "") -> list[Row]:
    """The rows of an app that is mounted at *prefix*.

    :raises CannotExport: if hosts or subdomains decide about its routes.
    """
    check_prefix(prefix)
    app = target.flask
    if app.url_map.host_matching or app.subdomain_matching:
        raise CannotExport("hosts or subdomains decide about routes, and rows know only paths")
    if has_own_routing(app):
        raise CannotExport("create_url_adapter or url_map is the app's own, and rows know only the rules")
    app.url_map.update()
    leaves = [*_in_order(app.url_map._matcher._root)]  # no public name has the order
    grants = _Grants(target, prefix)
    rows = [*_rows_of_mounts(app, prefix)]
    meetings = _Meetings([rule for rule, _ in leaves])
    for number, (rule, ending) in enumerate(leaves):
        rows += _rows_of_rule(grants, rule, ending, prefix, meetings.behind(number))
    return [*_without_repeats(rows)]


def _rows_of_mounts(app: Flask, prefix: str) -> Iterator[Row]:
    """What other apps have of the paths. Middleware sees them with *prefix*, or without."""
    for mount in mounts_of(app):
        for path in (f"{prefix}{mount}", *([mount] if mount.startswith(f"{prefix}/") else [])):
            yield Row(
                f"{quote(path)}(?:/{_ANYTHING})?{QUERY} {ANY_METHOD}", None, mount, "another app is mounted there"
            )


def _without_repeats(rows: Iterable[Row]) -> Iterator[Row]:
    seen: set[str] = set()
    for row in rows:
        if row.regex not in seen:
            seen.add(row.regex)
            yield row


def _in_order(state: Any) -> Iterator[tuple[Rule, str]]:
    """The rules below a state of the matcher, and what is odd about the path that reaches them.

    ``"lacks"``: its slash at the end. ``"extra"``: a slash at the end that the rule has not. Static parts exclude each
    other, so their order does not matter.
    """
    for rule in state.rules:
        yield rule, ""
    for rule in state.static[""].rules if "" in state.static else ():
        yield rule, "lacks"
    for child in state.static.values():
        yield from _in_order(child)
    for _, child in state.dynamic:
        yield from _in_order(child)
    for rule in state.rules:
        yield rule, "extra"


# ---------------------------------------------------------------------------------------
# One rule
# ---------------------------------------------------------------------------------------


def _rows_of_rule(grants: _Grants, rule: Rule, ending: str, prefix: str, others: Iterable[Rule]) -> Iterator[Row]:
    """The rows of a rule. *others* are the rules behind it that may meet it."""
    if rule.websocket or rule.build_only:
        return
    name = f"{', '.join(sorted((rule.methods or set()) - {'HEAD', 'OPTIONS'})) or 'any method'} {rule.rule}"
    methods = f"(?:{'|'.join(map(quote, sorted(rule.methods)))})" if rule.methods else ANY_METHOD
    wide = f"{prefix}{_wide_path(rule)}"
    reason = ""
    if ending:
        wide = f"{wide.removesuffix('/')}{'/' if ending == 'extra' else ''}"
    else:
        try:
            exact = f"{prefix}{_path_of(rule, grants.target.flask)}{QUERY}"
            for grant, announced in grants.of(rule):
                yield Row(f"{exact} (?:{'|'.join(announced)})", grant, name)
        except (Unsayable, CannotExport) as error:
            reason = str(error)
    # Effects on the rules after it
    if reason or any(_share_method(rule, other) for other in others):
        yield Row(f"{wide}{QUERY} {methods}", None, name, reason or ANOTHER_PATH)
    if more := _methods_behind(grants, rule, others):
        yield Row(f"{wide}{QUERY} (?:{'|'.join(map(quote, more))})", None, name, ANOTHER_PATH)


def _share_method(rule: Rule, other: Rule) -> bool:
    return rule.methods is None or other.methods is None or bool(rule.methods & other.methods - {"OPTIONS"})


def _methods_behind(grants: _Grants, rule: Rule, others: Iterable[Rule]) -> list[str]:
    """The methods with which URLs of *rule* reach *others* that share another method with it.

    There, those rules grant less than at their other URLs. Nearly all rules share OPTIONS, which few answers name.
    """
    sharing = [
        other
        for other in others
        if not _is_same_path(other, rule, grants.target.flask)
        and (_share_method(rule, other) or grants.name_options(other))
    ]
    return sorted(set[str]().union(*(other.methods or ANY for other in sharing)) - (rule.methods or ANY))


ANY: Final = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))


class _Meetings:
    """Which rules may meet. Only those are compared of which one begins like the other."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._numbers: dict[str, list[int]] = {}
        for number, rule in enumerate(rules):
            self._numbers.setdefault(_start_of(rule), []).append(number)
        self._starts = sorted(self._numbers)

    def behind(self, number: int) -> list[Rule]:
        """The rules behind a rule that some path may match, too."""
        rule = self._rules[number]
        numbers = (each for start in self._related(_start_of(rule)) for each in self._numbers[start])
        found = {id(other): other for other in (self._rules[each] for each in sorted(numbers) if each > number)}
        return [other for other in found.values() if other is not rule and _may_meet(rule, other)]

    def _related(self, start: str) -> Iterator[str]:
        """The starts that begin *start*, and those that *start* begins."""
        yield from (start[:length] for length in range(len(start)) if start[:length] in self._numbers)
        numbers = range(bisect_left(self._starts, start), len(self._starts))
        yield from takewhile(lambda other: other.startswith(start), (self._starts[number] for number in numbers))


def _start_of(rule: Rule) -> str:
    return rule.rule.partition("<")[0].rstrip("/")


def _may_meet(one: Rule, two: Rule) -> bool:
    """Whether some path may match both rules, of which one begins like the other."""
    if not all(it.part_isolating for rule in (one, two) for it in rule._converters.values()):
        return True
    pieces, others = (rule.rule.rstrip("/").split("/") for rule in (one, two))
    return len(pieces) == len(others) and all(
        _may_be(piece, one, other) and _may_be(other, two, piece) for piece, other in zip(pieces, others, strict=True)
    )


def _may_be(piece: str, rule: Rule, other: str) -> bool:
    """Whether a *piece* of a rule may be the text *other*, unless that has a converter, too."""
    if "<" in other:
        return True
    parts = (
        f"(?:{rule._converters[part['name']].regex})" if part["name"] else re.escape(part["text"])
        for part in _PART.finditer(piece)
    )
    return re.fullmatch("".join(parts), other) is not None


class _Grants:
    """What preflights for the rules of *target* get. It is asked once for each rule."""

    def __init__(self, target: FlaskTarget, prefix: str) -> None:
        self.target = target
        self._prefix = prefix
        self._found: dict[int, list[tuple[Grant, list[str]]] | str] = {}

    def of(self, rule: Rule) -> list[tuple[Grant, list[str]]]:
        """The grants of a rule, each with the methods that may be announced for it.

        :raises CannotExport: if there are none.
        """
        found = self._found.get(id(rule))
        if found is None:
            found = self._found[id(rule)] = self._ask(rule)
        if isinstance(found, str):
            raise CannotExport(found)
        return found

    def name_options(self, rule: Rule) -> bool:
        """Whether an answer names OPTIONS."""
        with suppress(CannotExport):
            return any("OPTIONS" in grant.methods for grant, _ in self.of(rule))
        return False

    def _ask(self, rule: Rule) -> list[tuple[Grant, list[str]]] | str:
        found: dict[Grant, list[str]] = {}
        reason = "no method may be granted"
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            try:
                grant = self._grant_of(rule, method)
            except CannotExport as error:
                reason = str(error)
                continue
            if method in grant.methods:
                found.setdefault(grant, []).append(method)
        return [*found.items()] or reason

    def _grant_of(self, rule: Rule, method: str) -> Grant:
        url = _sample_of(self.target, rule, method)
        match = self.target.table.match_preflight(preflight_environ(url, method))
        if match.policy is None:
            raise CannotExport("it is exempt")
        if match.error is not None:
            raise CannotExport("its policy is not valid")
        grant = grant_of(match.policy)
        if method in grant.methods and not answers_as(self.target, url, method, match.policy, grant, self._prefix):
            raise CannotExport("middleware around the app, or inside it, answers in another way")
        return grant


def _sample_of(target: FlaskTarget, rule: Rule, method: str) -> str:
    """An example URL of a rule, and of no other, whatever its method.

    Where a rule of another path takes one of its methods, the answer names fewer of them.
    """
    app = target.flask
    methods = [each for each in sorted(rule.methods or ()) if flaw_of_method(each) is None]

    def leads_there(url: str) -> bool:
        others = (_match(app, url, each) for each in methods)
        return _match(app, url, method) is rule and all(it and _is_same_path(it, rule, app) for it in others)

    url = sample_url(rule, app, target.base_url, leads_there)
    if not url:
        raise CannotExport("no example URL leads to it")
    return url


def _is_same_path(one: Rule, two: Rule, app: Flask) -> bool:
    """Whether two rules have the same URLs. Converters that look alike in the matcher may still refuse some."""
    try:
        return one is two or (one._parts == two._parts and _path_of(one, app) == _path_of(two, app))
    except Unsayable:
        return False


def _match(app: Flask, url: str, method: str) -> Rule | None:
    """The rule that takes *url* as it is, without a redirect."""
    path = unquote(urlsplit(url).path)
    try:
        return app.url_map.bind("app.invalid").match(path, method, return_rule=True)[0]
    except Exception:  # noqa: BLE001 - the app's own converters may raise anything
        return None


# ---------------------------------------------------------------------------------------
# Paths
# ---------------------------------------------------------------------------------------

# "<converter(arguments):name>", or text
_PART: Final = re.compile(r"<(?:[^<>:]*(?:\([^)]*\))?:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)>|(?P<text>[^<]+)")


def _parts(rule: Rule) -> list[tuple[str, BaseConverter | None]]:
    """The text of a rule, and the converters between."""
    found: list[tuple[str, BaseConverter | None]] = []
    end = 0
    for part in _PART.finditer(rule.rule):
        if part.start() != end or (part["name"] and part["name"] not in rule._converters):
            break
        end = part.end()
        found.append((part["text"] or "", rule._converters[part["name"]] if part["name"] else None))
    if end != len(rule.rule):
        return [("", None)]
    return found


def _wide_path(rule: Rule) -> str:
    """All paths that a rule may take, and perhaps others."""
    parts = _parts(rule)
    if parts == [("", None)]:
        return _ANYTHING
    path = ""
    for text, converter in parts:
        path += _ANYTHING if converter else quote(text[:_LONGEST_TEXT])
        if len(text) > _LONGEST_TEXT or len(path) > _LONGEST_PATH:
            return f"{path}{_ANYTHING}"
    return path


def _path_of(rule: Rule, app: Flask) -> str:
    """Plain paths that a rule takes, and no others.

    :raises Unsayable: if it cannot be said.
    """
    if rule.redirect_to is not None or rule.alias:
        raise Unsayable("it redirects")
    if any(other.defaults for other in app.url_map.iter_rules(rule.endpoint)):
        raise Unsayable("it has defaults, and may redirect")
    parts = _parts(rule)
    if parts == [("", None)] or not re.fullmatch("[A-Za-z0-9_.~/-]*", "".join(text for text, _ in parts)):
        raise Unsayable("its path has unusual characters")
    if "//" in rule.rule or "/." in rule.rule:
        raise Unsayable("its path has unusual characters")
    path = "".join(_expression(converter) if converter else quote(text) for text, converter in parts)
    if len(path) > _LONGEST_PATH:
        raise Unsayable("its path is too long for some edges")
    return path


def _expression(converter: BaseConverter) -> str:
    kind = type(converter)
    if kind is PathConverter:
        return f"{SEGMENT}(?:/{SEGMENT})*"
    if kind is UUIDConverter:
        digit = "[A-Fa-f0-9]"
        return "-".join(f"{digit}{{{count}}}" for count in (8, 4, 4, 4, 12))
    if kind is UnicodeConverter:
        return _text_expression(converter.regex)
    if isinstance(converter, AnyConverter) and kind is AnyConverter:
        if not all(re.fullmatch(SEGMENT, item) for item in converter.items):
            raise Unsayable("its path has unusual characters")
        return f"(?:{'|'.join(map(quote, sorted(converter.items)))})"
    if isinstance(converter, IntegerConverter | FloatConverter) and kind in (IntegerConverter, FloatConverter):
        return _number_expression(converter)
    raise Unsayable("a converter of the app's own decides")


def _text_expression(regex: str) -> str:
    """What `UnicodeConverter` writes: ``[^/]{1,}``, ``[^/]{2,5}``, ``[^/]{3}``."""
    shortest, comma, most = regex.removeprefix("[^/]{").removesuffix("}").partition(",")
    least = int(shortest)
    if least < 1 or max(least, int(most or 0)) > 500:
        raise Unsayable("its lengths are unusual")
    last = "" if comma and not most else str(int(most or least) - 1)
    return f"{_FIRST}{_OTHERS}{{{least - 1},{last}}}"


def _number_expression(converter: IntegerConverter | FloatConverter) -> str:
    if converter.min is not None or converter.max is not None or converter.fixed_digits:
        raise Unsayable("a number has limits")
    sign = "-?" if converter.signed else ""
    digits = "[0-9]{1,18}"
    return f"{sign}{digits}" if isinstance(converter, IntegerConverter) else f"{sign}{digits}[.]{digits}"
