"""Rows for HAProxy: rules for a ``frontend``, and the map files that they read.

https://docs.haproxy.org/2.6/configuration.html#7.3.1-map. A key of a map ends at its first space, so the expressions
say ``\\x20``. Expressions stop at a NUL, which HAProxy lets through in headers, so such requests are the app's. Of a
header that is sent twice HAProxy reads the last, so those are the app's, too.

Conditions with one name are alternatives, so those of each export have names of their own. The map of what is asked has
the mark of its export as its values, so rules grant nothing with the maps of another export.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from flask_preflight.edge.rows import METHOD, ORIGIN, CannotExport, Grant, Row, mark_of, numbered

FOLDER: Final = "/etc/haproxy"

FILES: Final = {
    "cors-frontend.cfg": "Copy it into the frontend, above its other rules. The .map files go into /etc/haproxy.",
    "cors-rows.map": "Read by the rules of cors-frontend.cfg.",
    "cors-origins.map": "Read by the rules of cors-frontend.cfg.",
    "cors-patterns.map": "Read by the rules of cors-frontend.cfg.",
    "cors-asked.map": "Read by the rules of cors-frontend.cfg.",
}

_LONGEST_LINE: Final = 8000  # half of the default tune.bufsize, which bounds a line of a map, and an answer

_VALUES: Final = {
    ORIGIN: "%[req.fhdr(origin)]",
    METHOD: "%[req.fhdr(access-control-request-method)]",
}

_RULES: Final = f"""\
acl cors_once req.fhdr_cnt(origin) eq 1
acl cors_twice req.fhdr_cnt(access-control-request-method) gt 1
acl cors_twice req.fhdr_cnt(access-control-request-headers) gt 1
acl cors_nul var(txn.cors_all),hex -m reg ^(..)*00
acl cors_origin var(txn.cors_from),map_str({FOLDER}/cors-origins.map) -m found
acl cors_origin var(txn.cors_from),map_reg({FOLDER}/cors-patterns.map) -m found
acl cors_asked var(txn.cors_asks),map_reg({FOLDER}/cors-asked.map) -m str cors_mark
http-request set-var(txn.cors_origin) req.fhdr(origin) if METH_OPTIONS
http-request set-var(txn.cors_method) req.fhdr(access-control-request-method) if METH_OPTIONS
http-request set-var(txn.cors_headers) req.fhdr(access-control-request-headers) if METH_OPTIONS
http-request set-var(txn.cors_key) "pathq,concat(' ',txn.cors_method)" if METH_OPTIONS
http-request set-var(txn.cors_row) var(txn.cors_key),map_reg({FOLDER}/cors-rows.map) if METH_OPTIONS
http-request set-var(txn.cors_from) "var(txn.cors_row),concat('|',txn.cors_origin)" if METH_OPTIONS
http-request set-var(txn.cors_asks) "var(txn.cors_row),concat('|',txn.cors_method,'|')" if METH_OPTIONS
http-request set-var(txn.cors_asks) var(txn.cors_asks),concat(,txn.cors_headers) if METH_OPTIONS
http-request set-var(txn.cors_all) var(txn.cors_from),concat(,txn.cors_asks) if METH_OPTIONS"""


def export(rows: Iterable[Row]) -> dict[str, str]:
    """The files, without the lines about themselves.

    :raises CannotExport: if there is nothing to grant, or a list is too long.
    """
    rows = [*rows]
    grants, mark = numbered(rows), mark_of(rows)
    origins = (f"{name}|{origin} 1" for grant, name in grants.items() for origin in grant.origins)
    patterns = (f"{_key(f'{name}[|]{regex}')} 1" for grant, name in grants.items() for regex in grant.origin_regexes)
    asked = (f"{name}[|](?:{'|'.join(grant.methods)})[|]{grant.headers_regex}" for grant, name in grants.items())
    texts = (
        [_marked(_RULES, mark), *(_return(grant, name, mark) for grant, name in grants.items())],
        (f"{_key(row.regex)} {grants[row.grant] if row.grant else 'app'}" for row in rows),
        origins,
        patterns,
        (f"{_key(regex)} {_marked('cors_mark', mark)}" for regex in asked),
    )
    return {name: "\n".join(map(_checked, lines)) for name, lines in zip(FILES, texts, strict=True)}


def _checked(line: str) -> str:
    if len(line) > _LONGEST_LINE:
        raise CannotExport("a list of methods or headers is longer than HAProxy takes")
    return line


def _key(regex: str) -> str:
    spaceless = regex.replace(" ", r"\x20")
    return f"^{spaceless}$"


def _return(grant: Grant, name: str, mark: str) -> str:
    headers = "".join(f' hdr {header} "{_VALUES.get(value, value)}"' for header, value in grant.headers)
    condition = f"{{ var(txn.cors_row) -m str {name} }} cors_once !cors_twice !cors_nul cors_origin cors_asked"
    return f"http-request return status {grant.status}{headers} if {_marked(condition, mark)}"


def _marked(text: str, mark: str) -> str:
    """*text* with the names of one export."""
    return re.sub(r"\bcors_[a-z]+", rf"\g<0>_{mark}", text)
