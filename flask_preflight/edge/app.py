"""Rows of a Flask app: its rules in the order in which Werkzeug's matcher tries them.

The app is asked with a preflight for an example URL of each rule. Its answer counts for the whole rule, because the
rows have the order of the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

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
from flask_preflight.policy import Policy

_FIRST: Final = "[A-Za-z0-9_~-]"
_OTHERS: Final = "[A-Za-z0-9_.~-]"
ANOTHER_PATH: Final = "the path or the method is another one"

_ANYTHING: Final = "[^ ?#]*"


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
    app.url_map.update()
    leaves = [*_in_order(app.url_map._matcher._root)]  # no public name has the order
    rows: list[Row] = []
    for number, (rule, ending) in enumerate(leaves):
        behind = {id(other): other for other, _ in leaves[number + 1 :]}
        rows += _rows_of_rule(target, rule, ending, prefix, behind.values())
    return [*_without_repeats(rows)]


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


def _rows_of_rule(target: FlaskTarget, rule: Rule, ending: str, prefix: str, behind: Iterable[Rule]) -> Iterator[Row]:
    if rule.websocket or rule.build_only:
        return
    name = f"{', '.join(sorted((rule.methods or set()) - {'HEAD', 'OPTIONS'})) or 'any method'} {rule.rule}"
    methods = f"(?:{'|'.join(map(quote, sorted(rule.methods)))})" if rule.methods else ANY_METHOD
    wide = f"{prefix}{_wide_path(rule)}"
    others = [other for other in behind if other is not rule and _may_meet(rule, other)]
    reason = ""
    if ending:
        wide = f"{wide.removesuffix('/')}{'/' if ending == 'extra' else ''}"
    else:
        try:
            exact = f"{prefix}{_path_of(rule, target.flask)}{QUERY}"
            for grant, announced in _grants_of(target, rule):
                yield Row(f"{exact} (?:{'|'.join(announced)})", grant, name)
        except (Unsayable, CannotExport) as error:
            reason = str(error)
    # Effects on the rules after it
    if reason or any(_share_method(rule, other) for other in others):
        yield Row(f"{wide}{QUERY} {methods}", None, name, reason or ANOTHER_PATH)
    if more := _methods_behind(target, rule, others):
        yield Row(f"{wide}{QUERY} (?:{'|'.join(map(quote, more))})", None, name, ANOTHER_PATH)


def _share_method(rule: Rule, other: Rule) -> bool:
    return rule.methods is None or other.methods is None or bool(rule.methods & other.methods - {"OPTIONS"})


def _methods_behind(target: FlaskTarget, rule: Rule, others: Iterable[Rule]) -> list[str]:
    """The methods with which URLs of *rule* reach *others* that share another method with it.

    There, those rules grant less than at their other URLs. Nearly all rules share OPTIONS, which few answers name.
    """
    sharing = [
        other
        for other in others
        if other._parts != rule._parts and (_share_method(rule, other) or _names_options(target, other))
    ]
    return sorted(set[str]().union(*(other.methods or ANY for other in sharing)) - (rule.methods or ANY))


ANY: Final = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))


def _may_meet(one: Rule, two: Rule) -> bool:
    """Whether some path may match both rules."""
    first, second = (rule.rule.partition("<")[0].rstrip("/") for rule in (one, two))
    if not (first.startswith(second) or second.startswith(first)):
        return False
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


def _grants_of(target: FlaskTarget, rule: Rule) -> list[tuple[Grant, list[str]]]:
    """The grants of a rule, each with the methods that may be announced for it."""
    found: list[tuple[Grant, list[str]]] = []
    reason = "no method may be granted"
    for method in sorted((rule.methods or set()) - {"OPTIONS"}):
        try:
            grant = grant_of(_policy_of(target, rule, method))
        except CannotExport as error:
            reason = str(error)
            continue
        if method not in grant.methods:
            continue
        known = next((methods for other, methods in found if other == grant), None)
        if known is None:
            found.append((grant, [method]))
        else:
            known.append(method)
    if not found:
        raise CannotExport(reason)
    return found


def _names_options(target: FlaskTarget, rule: Rule) -> bool:
    with suppress(CannotExport):
        return any("OPTIONS" in grant.methods for grant, _ in _grants_of(target, rule))
    return False


def _policy_of(target: FlaskTarget, rule: Rule, method: str) -> Policy:
    def found(url: str, method: str) -> Rule | None:
        return target.table.match_preflight(preflight_environ(url, method)).rule

    def leads_there(url: str) -> bool:
        """Also with its other methods: where another path has one of them, the answer names fewer."""
        others = (found(url, each) for each in sorted(rule.methods or ()))
        return found(url, method) is rule and all(other is None or other._parts == rule._parts for other in others)

    url = sample_url(rule, target.flask, target.base_url, leads_there)
    if not url:
        raise CannotExport("no example URL leads to it")
    match = target.table.match_preflight(preflight_environ(url, method))
    if match.policy is None:
        raise CannotExport("it is exempt")
    if match.error is not None:
        raise CannotExport("its policy is not valid")
    return match.policy


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
    return "".join(_ANYTHING if converter else quote(text) for text, converter in parts)


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
    return "".join(_expression(converter) if converter else quote(text) for text, converter in parts)


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
