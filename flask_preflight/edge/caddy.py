"""Rows for Caddy: a snippet, which is imported first in a ``route`` block.

https://caddyserver.com/docs/caddyfile/directives/map. Keys are tried one after the other, so many origins are slow. A
header that is sent twice is joined, and then matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from flask_preflight.edge.rows import METHOD, ORIGIN, CannotExport, Grant, Row, numbered

FILES: Final = {
    "cors.caddy": "Above the sites: import /etc/caddy/cors.caddy, and first in a site's route block: import cors"
}

_MOST_ORIGINS: Final = 1000

_HEAD: Final = """\
(cors) {
\t@cors_preflight method OPTIONS
\troute @cors_preflight {"""

_ORIGIN: Final = "{http.request.header.Origin}"
_METHOD: Final = "{http.request.header.Access-Control-Request-Method}"
_HEADERS: Final = "{http.request.header.Access-Control-Request-Headers}"
_VALUES: Final = {ORIGIN: _ORIGIN, METHOD: _METHOD}


def export(rows: Iterable[Row]) -> dict[str, str]:
    """The file, without the lines about itself.

    :raises CannotExport: if there is nothing to grant, or more origins than Caddy finds quickly.
    """
    rows = [*rows]
    grants = numbered(rows)
    count = sum(len(grant.origins) + len(grant.origin_regexes) for grant in grants)
    if count > _MOST_ORIGINS:
        raise CannotExport(f"Caddy compares origins one by one, and {count} are too many: at most {_MOST_ORIGINS}")
    by_row = ((f"~^{row.regex}$", grants[row.grant] if row.grant else "app") for row in rows)
    asked = ((f"~^{_asked(grant, name)}$", name) for grant, name in grants.items())
    parts = [
        *_map(f"{{http.request.orig_uri}} {_METHOD}", "cors_row", by_row),
        *_map(f"{{cors_row}} {_ORIGIN}", "cors_origin", _origins(grants.items())),
        *_map(f"{{cors_row}} {{cors_origin}} {_METHOD} {_HEADERS}", "cors_asked", asked),
        "vars cors_grant {cors_asked}",  # a map is read anew each time
        *(line for grant, name in grants.items() for line in _route(grant, name)),
    ]
    return {"cors.caddy": "\n".join([_HEAD, *(f"\t\t{line}" for line in parts), "\t}\n}"])}


def _origins(grants: Iterable[tuple[Grant, str]]) -> Iterator[tuple[str, str]]:
    for grant, name in grants:
        yield from ((f"{name} {origin}", "known") for origin in grant.origins)
        yield from ((f"~^{name} {regex}$", "known") for regex in grant.origin_regexes)


def _asked(grant: Grant, name: str) -> str:
    return f"{name} known (?:{'|'.join(grant.methods)}) {grant.headers_regex}"


def _map(source: str, variable: str, entries: Iterable[tuple[str, str]]) -> list[str]:
    lines = [f'\t"{key}" {value}' for key, value in entries]
    return [f'map "{source}" {{{variable}}} {{', '\tdefault ""', *lines, "}"]


def _route(grant: Grant, name: str) -> list[str]:
    headers = [f'\theader {header} "{_VALUES.get(value, value)}"' for header, value in grant.headers]
    return [
        f"@cors_{name} vars cors_grant {name}",
        f"route @cors_{name} {{",
        *headers,
        f'\trespond "" {grant.status}',
        "}",
    ]
