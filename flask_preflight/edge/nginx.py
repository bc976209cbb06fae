"""Rows for nginx: maps for its ``http`` block, and what goes into a ``server`` block.

https://nginx.org/en/docs/http/ngx_http_map_module.html. Strings of a map are compared without case, so an origin with
upper case, which no browser sends, is taken out first. Expressions are tried in their order, with case.

Of two maps with one variable nginx takes the last, without a word. So the variables of each export have names of their
own, and the maps of two apps can stand in one ``http`` block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from flask_preflight.edge.rows import METHOD, ORIGIN, CannotExport, Grant, Row, mark_of, numbered

FILES: Final = {
    "cors-maps.conf": "In the http block: include /etc/nginx/cors-maps.conf;",
    "cors-server.conf": "In the server block, above its locations: include /etc/nginx/cors-server.conf;",
}

_LONGEST_WORD: Final = 4000  # nginx takes 4096 bytes
_VARIABLES: Final = {ORIGIN: "$http_origin", METHOD: "$http_access_control_request_method"}


def export(rows: Iterable[Row]) -> dict[str, str]:
    """The files, without the lines about themselves.

    :raises CannotExport: if there is nothing to grant, or a list is too long.
    """
    rows = [*rows]
    grants = numbered(rows)
    names = [*dict.fromkeys(name for grant in grants for name, _ in grant.headers)]
    files = {"cors-maps.conf": _maps(rows, grants, names), "cors-server.conf": _server(grants, names)}
    own = rf"\g<0>_{mark_of(rows)}"
    return {name: re.sub(r"\$cors_\w+", own, "\n".join(parts)) for name, parts in files.items()}


def _maps(rows: list[Row], grants: Mapping[Grant, str], names: list[str]) -> Iterator[str]:
    longest = max((len(origin) for grant in grants for origin in grant.origins), default=0)
    count = sum(len(grant.origins) for grant in grants)
    if longest > _SHORT or count > _FEW:
        size = 2 ** (longest + _MARGIN).bit_length()
        yield f"# Needs in the http block: map_hash_bucket_size {size}; map_hash_max_size {max(2048, 2 * count)};"
    yield _map(
        "$request_method $request_uri $http_access_control_request_method",
        "$cors_row",
        ((f"~^OPTIONS {row.regex}$", grants[row.grant] if row.grant else "app") for row in rows),
    )
    yield _map("$http_origin", "$cors_lower", [("~^[^A-Z]+$", "$http_origin")])
    listed = ((f"{name} {origin}", "$http_origin") for grant, name in grants.items() for origin in grant.origins)
    yield _map("$cors_row $cors_lower", "$cors_listed", listed)
    patterns = (
        (f"~^{name} {regex}$", "$http_origin") for grant, name in grants.items() for regex in grant.origin_regexes
    )
    yield _map("$cors_row $http_origin", "$cors_matched", patterns)
    asked = "$http_access_control_request_method $http_access_control_request_headers"
    yield _map(
        f"$cors_row $cors_listed$cors_matched {asked}",
        "$cors_verdict",
        (
            (f"~^{name} [^ ]+ (?:{'|'.join(grant.methods)}) {grant.headers_regex}$", f"{grant.status}{name}")
            for grant, name in grants.items()
        ),
    )
    for number, header in enumerate(names):
        values = ((f"{grant.status}{name}", _value(grant, header)) for grant, name in grants.items())
        yield _map("$cors_verdict", f"$cors_header_{number}", ((key, value) for key, value in values if value))


# The default bucket holds a key of this length; the default table holds about so many keys.
_SHORT: Final = 40
_FEW: Final = 1000
_MARGIN: Final = 24


def _map(source: str, variable: str, entries: Iterable[tuple[str, str]]) -> str:
    lines = [f'    {_word(key)} "{value}";' for key, value in entries]
    return "\n".join([f'map "{source}" {variable} {{', '    default "";', *lines, "}"])


def _word(text: str) -> str:
    if len(text) > _LONGEST_WORD:
        raise CannotExport("a list of methods or headers is longer than nginx takes")
    return f'"{text}"'


def _value(grant: Grant, header: str) -> str:
    value = dict(grant.headers).get(header, "")
    return _VARIABLES.get(value, value)


def _server(grants: Mapping[Grant, str], names: list[str]) -> Iterator[str]:
    for number, header in enumerate(names):
        yield f"add_header {header} $cors_header_{number} always;"  # an empty one is not sent
    for status in sorted({grant.status for grant in grants}):
        yield f"if ($cors_verdict ~ ^{status}) {{ return {status}; }}"
