// Made by flask-preflight: flask preflight export njs
// Rows: sha256 014dbffc3bf5de0b98bf693426b701b40f72feba45cc83be4fd68d70c6b0e190
// For nginx with njs: see its last lines.
// Granted preflights are answered here, and everything else by the app, which keeps its policy.
// Left to the app: /api/\xe9: its path has unusual characters

const GRANTS = [
    {"origins": [], "patterns": ["null", "[a-z][a-z0-9+.-]{0,31}://[a-z0-9_.~-]{1,200}(?::[1-9][0-9]{0,4})?"], "methods": ["GET", "HEAD", "POST"], "names": "(?:(?:content-type))?", "status": 204, "headers": [["Access-Control-Allow-Origin", "*"], ["Access-Control-Allow-Methods", "GET, HEAD, POST"], ["Access-Control-Allow-Headers", "Content-Type"], ["Access-Control-Max-Age", "600"], ["Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"]]},
    {"origins": ["https://frontend.com"], "patterns": ["https://(?:[a-z0-9_-]{1,63}[.]){1,3}frontend[.]com"], "methods": ["GET", "HEAD", "PUT"], "names": "(?:(?:authorization|content-type)(?:,(?:authorization|content-type)){0,1})?", "status": 204, "headers": [["Access-Control-Allow-Origin", "{origin}"], ["Access-Control-Allow-Credentials", "true"], ["Access-Control-Allow-Methods", "GET, HEAD, PUT"], ["Access-Control-Allow-Headers", "Authorization, Content-Type"], ["Access-Control-Max-Age", "600"], ["Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"]]},
];
const ROWS = [
    ["/api/open(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?(?:[?][^ #]*)? [^ ]*", 0],
    ["/api/[^ ?#](?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?(?:[?][^ #]*)? [^ ]*", -1],
    ["/api(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?(?:[?][^ #]*)? [^ ]*", 1],
];

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
//     js_import cors_014dbffc from /etc/nginx/cors-njs.js;
//     js_set $cors_014dbffc_is_granted cors_014dbffc.isGrantedHere;
// In the server block, above its locations:
//     if ($cors_014dbffc_is_granted) { rewrite ^ /.cors_014dbffc last; }
//     location = /.cors_014dbffc { internal; js_content cors_014dbffc.answer; }
