"""Rows for edges that run JavaScript: the rows as data, a function that reads them, and each platform's call.

The code uses only what all three platforms have: nginx's njs 0.7 (https://nginx.org/en/docs/njs/compatibility.html),
CloudFront
Functions (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-javascript-runtime-20.html), and
Cloudflare Workers (https://developers.cloudflare.com/workers/runtime-apis/handlers/fetch/).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from flask_preflight.edge.rows import CannotExport, Grant, Row, mark_of, numbered

NJS_FILES: Final = {"cors-njs.js": "For nginx with njs: see its last lines."}
WORKER_FILES: Final = {"cors-worker.js": "A Cloudflare Worker, for the routes of the app."}
CLOUDFRONT_FILES: Final = {"cors-cloudfront.js": "A CloudFront Function, runtime 2.0, for viewer requests."}

# njs makes the data again for each request.
_MOST_ORIGINS_OF_NJS: Final = 1000

_READER: Final = """
function matches(regex, text) {
    return new RegExp("^(?:" + regex + ")$").test(text);
}

function isGranted(grant, origin, method, names) {
    return (grant.origins.indexOf(origin) >= 0 || grant.patterns.some((it) => matches(it, origin)))
        && grant.methods.indexOf(method) >= 0 && matches(grant.names, names);
}

// {status, headers} of the answer; null: the app answers
function answerOf(requestMethod, target, origin, method, names) {
    const row = requestMethod === "OPTIONS" ? ROWS.find((it) => matches(it[0], target + " " + method)) : null;
    const grant = row ? GRANTS[row[1]] : null;
    if (!grant || !isGranted(grant, origin, method, names)) {
        return null;
    }
    const filled = {"{origin}": origin, "{method}": method};
    return {status: grant.status, headers: grant.headers.map((it) => [it[0], filled[it[1]] || it[1]])};
}
"""

_NJS: Final = """
// What is sent twice is joined, and then matches nothing.
function header(r, name) {
    return r.rawHeadersIn.filter((it) => it[0].toLowerCase() === name).map((it) => it[1]).join(", ");
}

function found(r) {
    return answerOf(r.method, r.variables.request_uri, header(r, "origin"),
        header(r, "access-control-request-method"), header(r, "access-control-request-headers"));
}

function isGrantedHere(r) {
    return found(r) ? "1" : "";
}

function answer(r) {
    const it = found(r);
    it.headers.forEach((pair) => { r.headersOut[pair[0]] = pair[1]; });
    r.return(it.status);
}

export default {isGrantedHere, answer};

// In the http block:
//     js_import {cors} from /etc/nginx/cors-njs.js;
//     js_set ${cors}_is_granted {cors}.isGrantedHere;
// In the server block, above its locations:
//     if (${cors}_is_granted) { rewrite ^ /.{cors} last; }
//     location = /.{cors} { internal; js_content {cors}.answer; }"""

_WORKER: Final = """
export default {
    async fetch(request) {
        const url = new URL(request.url);
        // What is sent twice is joined, and then matches nothing.
        const header = (name) => request.headers.get(name) || "";
        const it = answerOf(request.method, url.pathname + url.search, header("Origin"),
            header("Access-Control-Request-Method"), header("Access-Control-Request-Headers"));
        return it ? new Response(null, {status: it.status, headers: it.headers}) : fetch(request);
    },
};"""

_CLOUDFRONT: Final = """
function handler(event) {
    const request = event.request;
    // What is sent twice matches nothing.
    const header = (name) => {
        const it = request.headers[name];
        return it ? (it.multiValue ? " " : it.value) : "";
    };
    const it = answerOf(request.method, request.uri, header("origin"),
        header("access-control-request-method"), header("access-control-request-headers"));
    if (!it) {
        return request;
    }
    const headers = {};
    it.headers.forEach((pair) => { headers[pair[0].toLowerCase()] = {value: pair[1]}; });
    return {statusCode: it.status, headers: headers};
}"""


def export_njs(rows: Iterable[Row]) -> dict[str, str]:
    """The file for nginx with njs, without the lines about itself.

    :raises CannotExport: if there is nothing to grant, or more origins than njs finds quickly.
    """
    rows = [*rows]
    count = sum(len(grant.origins) + len(grant.origin_regexes) for grant in numbered(rows))
    if count > _MOST_ORIGINS_OF_NJS:
        raise CannotExport(
            f"njs reads all origins for each request, and {count} are too many: at most {_MOST_ORIGINS_OF_NJS}. "
            "For nginx without njs there is no limit"
        )
    # Of two variables with one name, nginx takes the last.
    return {"cors-njs.js": _data_and_reader(rows) + _NJS.replace("{cors}", f"cors_{mark_of(rows)}")}


def export_worker(rows: Iterable[Row]) -> dict[str, str]:
    """The file for Cloudflare Workers, without the lines about itself.

    :raises CannotExport: if there is nothing to grant.
    """
    return {"cors-worker.js": _data_and_reader(rows) + _WORKER}


def export_cloudfront(rows: Iterable[Row]) -> dict[str, str]:
    """The file for CloudFront Functions, without the lines about itself.

    :raises CannotExport: if there is nothing to grant.
    """
    return {"cors-cloudfront.js": _data_and_reader(rows) + _CLOUDFRONT}


def _data_and_reader(rows: Iterable[Row]) -> str:
    rows = [*rows]
    grants = numbered(rows)
    return "\n".join([*_list("GRANTS", map(_data, grants)), *_list("ROWS", _pairs(rows, grants)), _READER])


def _list(name: str, items: Iterable[object]) -> list[str]:
    return [f"const {name} = [", *(f"    {json.dumps(item)}," for item in items), "];"]


def _data(grant: Grant) -> dict[str, object]:
    return {
        "origins": grant.origins,
        "patterns": grant.origin_regexes,
        "methods": grant.methods,
        "names": grant.headers_regex,
        "status": grant.status,
        "headers": grant.headers,
    }


def _pairs(rows: Iterable[Row], grants: Mapping[Grant, str]) -> Iterator[tuple[str, int]]:
    """Each expression, and the index of its grant; -1 is no index."""
    indexes = [*grants]
    for row in rows:
        yield row.regex, indexes.index(row.grant) if row.grant is not None else -1
