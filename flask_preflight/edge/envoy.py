"""Rows for Envoy: routes that answer, before the routes of the app.

https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto. No route can leave a request
to the app without knowing its cluster. So each route also says which earlier rows must not match.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from flask_preflight.edge.rows import METHOD, ORIGIN, CannotExport, Grant, Row, numbered

FILES: Final = {
    "cors-routes.yaml": "Copy it into the routes of the virtual host, before the others, and indent it as they are."
}

_ABOUT: Final = """\
# Envoy takes long expressions only with this in its bootstrap:
#   layered_runtime: {layers: [{name: re2, static_layer: {re2.max_program_size.error_level: 1000000}}]}
# A filter that asks for authentication comes before routes. Switch it off on each of these routes, for example:
#   typed_per_filter_config:
#     envoy.filters.http.basic_auth:
#       "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig
#       disabled: true"""

_MOST_ORIGINS: Final = 10_000

_VALUES: Final = {ORIGIN: "%REQ(origin)%", METHOD: "%REQ(access-control-request-method)%"}

# Parts "PATH METHODS". The others are in brackets.
_SPACE: Final = re.compile(r" (?![^\[]*\])")
# Anything except one literal character
_SPECIAL: Final = re.compile(r"[^A-Za-z0-9_/:@~%-]|.[?*+{]")


def export(rows: Iterable[Row]) -> dict[str, str]:
    """The file, without the lines about itself.

    :raises CannotExport: if there is nothing to grant, or more origins than one expression of Envoy holds.
    """
    rows = [*rows]
    most = max(len(grant.origins) + len(grant.origin_regexes) for grant in numbered(rows))
    if most > _MOST_ORIGINS:
        raise CannotExport(f"Envoy has all origins in one expression, and {most} are too many: at most {_MOST_ORIGINS}")
    return {"cors-routes.yaml": "\n".join([_ABOUT, *_routes(rows)])}


def _routes(rows: list[Row]) -> Iterator[str]:
    """One route for each row and each set of earlier rows that may come first, as far as their beginnings say."""
    earlier: list[tuple[str, str, str]] = []
    for row in rows:
        path, methods = _SPACE.split(row.regex)
        start = _beginning(path)
        if row.grant is not None:
            meeting = [other[:2] for other in earlier if start.startswith(other[2]) or other[2].startswith(start)]
            groups: dict[tuple[str, ...], list[str]] = {}
            for method in filter(re.compile(methods).fullmatch, row.grant.methods):
                groups.setdefault(_paths_with(method, meeting), []).append(method)
            yield from (_route(row.grant, path, excluded, names) for excluded, names in groups.items())
        earlier.append((path, methods, start))


def _paths_with(method: str, rows: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for path, methods in rows if re.fullmatch(methods, method)))


def _beginning(regex: str) -> str:
    """The text that an expression surely begins with."""
    return regex[: next(_SPECIAL.finditer(f"{regex}(")).start()]


def _route(grant: Grant, path: str, excluded: Iterable[str], methods: Iterable[str]) -> str:
    origins = "|".join([*map(re.escape, grant.origins), *grant.origin_regexes])
    headers = [
        {"name": ":method", "string_match": {"exact": "OPTIONS"}},
        _matcher(":path", path),
        *({**_matcher(":path", other), "invert_match": True} for other in excluded),
        _matcher("origin", origins),
        _matcher("access-control-request-method", "|".join(methods)),
        {**_matcher("access-control-request-headers", grant.headers_regex), "treat_missing_header_as_empty": True},
    ]
    added = [{"header": {"key": name, "value": _VALUES.get(value, value)}} for name, value in grant.headers]
    return "\n".join(
        [
            f'- match: {{"prefix": "/", "headers": [{_flow(headers)}]}}',
            f'  direct_response: {{"status": {grant.status}}}',
            f"  response_headers_to_add: [{_flow(added)}]",
        ]
    )


def _matcher(name: str, regex: str) -> dict[str, Any]:
    return {"name": name, "string_match": {"safe_regex": {"regex": regex or "(?:)"}}}  # an empty one is an error


def _flow(items: Iterable[dict[str, Any]]) -> str:
    """A list on lines of its own, in JSON, which is YAML."""
    return "\n    " + ",\n    ".join(json.dumps(item) for item in items)
