"""What broke other CORS libraries, and what scanners try: each as a GET and as a preflight."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest
from test_engine import operations
from test_wsgi import Answer, Spy, ask, ask_preflight, make_environ, serve

from flask_preflight import Policy, PolicyError, PreflightMiddleware, by_path

APP = "https://app.example.com"
POLICY = Policy(allow_origins=[APP], allow_methods=["GET", "PUT"], allow_credentials=True)

Ask = Callable[..., Answer]

as_get_and_as_preflight = pytest.mark.parametrize("send", [ask, ask_preflight], ids=["GET", "preflight"])


def cors(answer: Answer) -> dict[str, str]:
    """Give the headers of CORS in *answer*, each of which is there once."""
    found = [(name, value) for name, value in answer.headers if name.lower().startswith(("access-control-", "vary"))]
    assert len(dict(found)) == len(found)
    return dict(found)


def vary(send: Ask) -> dict[str, str]:
    names = "Origin" if send is ask else "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    return {"Vary": names}


def assert_refused(send: Ask, origin: str, *policies: Policy) -> None:
    """Assert that none of *policies* lets *origin* in, though each lets in whom it should."""
    for policy in policies:
        spy = Spy()
        answer = send(PreflightMiddleware(spy, policy), origin=origin)
        assert cors(answer) == vary(send), policy
        assert (answer.status, spy.calls) == (("200 OK", 1) if send is ask else ("403 Forbidden", 0))


# ---------------------------------------------------------------------------------------
# Origins
# ---------------------------------------------------------------------------------------


@as_get_and_as_preflight
def test_a_trusted_origin_is_allowed(send: Ask) -> None:
    assert cors(send(PreflightMiddleware(Spy(), POLICY), origin=APP))["Access-Control-Allow-Origin"] == APP


# The server is https://api.example.com and trusts https://app.example.com alone.
SCANNERS = {
    "Corsy origin reflected": "https://example.com",
    "CORScanner reflect_origin": "https://evil.com",
    "Corsy post-domain wildcard": "https://api.example.com.example.com",
    "CORScanner prefix_match": "https://api.example.com.evil.com",
    "CORScanner prefix_match of the trusted": "https://app.example.com.evil.com",
    "Corsy pre-domain wildcard": "https://d3vapi.example.com",
    "Corsy pre-domain wildcard of the trusted": "https://d3vapp.example.com",
    "CORScanner suffix_match": "https://evilexample.com",
    "Corsy, CORScanner null": "null",
    "Corsy unrecognised underscore": "https://api.example.com_.example.com",
    "Corsy unrecognised underscore of the trusted": "https://app.example.com_.example.com",
    "Corsy broken parser": "https://api.example.com%60.example.com",
    "Corsy broken parser, decoded": "https://app.example.com`.example.com",
    "Corsy unescaped regex": "https://apixexample.com",
    "Corsy unescaped regex of the trusted": "https://appxexample.com",
    "CORScanner not_escape_dot": "https://api.exampleacom",
    "CORScanner not_escape_dot of the trusted": "https://app.exampleacom",
    "CORScanner include_match": "https://example.co",
    "CORScanner include_match, old": "https://xample.com",
    "CORScanner include_match of the trusted": "https://app.example.co",
    "Corsy, CORScanner http origin": "http://api.example.com",
    "Corsy, CORScanner http origin of the trusted": "http://app.example.com",
    "CORScanner trust_any_subdomain": "https://evil.api.example.com",
    "CORScanner trust_any_subdomain of the trusted": "https://evil.app.example.com",
    "CORScanner third party github": "https://github.com",
    "CORScanner third party gitlab": "https://gitlab.com",
    "CORScanner third party pastebin": "https://pastebin.com",
    "CORScanner third party codepen": "https://codepen.io",
    "CORScanner third party jsfiddle": "https://jsfiddle.net",
    "CORScanner third party jsbin": "http://jsbin.com",
    "CORScanner third party s3": "http://whatever.s3.amazonaws.com",
}


@as_get_and_as_preflight
@pytest.mark.parametrize("origin", SCANNERS.values(), ids=SCANNERS)
def test_scanners_find_nothing(origin: str, send: Ask) -> None:
    assert_refused(send, origin, POLICY, POLICY.override(allow_origins=["https://*.app.example.org", APP]))


@pytest.mark.parametrize("origin", [None, APP, "https://evil.com"])
def test_scanners_find_no_wildcard_and_no_third_party_in_passing(origin: str | None) -> None:
    allowed = cors(ask(PreflightMiddleware(Spy(), POLICY), origin)).get("Access-Control-Allow-Origin")
    assert allowed == (APP if origin == APP else None)


# Near the trusted https://app.example.com, https://*.sub.example.com, http://[::1]:3000 and https://xn--bcher-kva.example
NEIGHBOURS = {
    "scheme in upper case": "HTTPS://app.example.com",
    "host in upper case": "https://APP.example.com",
    "default port": "https://app.example.com:443",
    "empty port": "https://app.example.com:",
    "port 0": "https://app.example.com:0",
    "port 65536": "https://app.example.com:65536",
    "port with a zero before it": "http://[::1]:03000",
    "another port": "https://app.example.com:8080",
    "trailing slash": "https://app.example.com/",
    "path": "https://app.example.com/index.html",
    "query": "https://app.example.com?x",
    "fragment": "https://app.example.com#x",
    "trailing dot": "https://app.example.com.",
    "trailing space": "https://app.example.com ",
    "leading space": " https://app.example.com",
    "tab": "https://app.example.com\t",
    "line break": "https://app.example.com\n",
    "carriage return and header": "https://app.example.com\r\nX-Evil: 1",
    "NUL": "https://app.example.com\0",
    "NUL and more": "https://app.example.com\0.evil.com",
    "two origins by comma": "https://app.example.com, https://evil.com",
    "two origins by space": "https://app.example.com https://evil.com",
    "two Origin headers, as servers join them": "https://evil.com,https://app.example.com",
    "the same twice": "https://app.example.com, https://app.example.com",
    "user info": "https://app.example.com@evil.com",
    "user info and password": "https://app.example.com:x@evil.com",
    "empty user info": "https://@app.example.com",
    "backslash": "https://app.example.com\\.evil.com",
    "backslashes for slashes": "https:\\\\app.example.com",
    "one slash": "https:/app.example.com",
    "no scheme": "app.example.com",
    "scheme-relative": "//app.example.com",
    "the pattern itself": "https://*.sub.example.com",
    "bare domain of the pattern": "https://sub.example.com",
    "empty label under the pattern": "https://.sub.example.com",
    "two dots under the pattern": "https://a..sub.example.com",
    "glued to the pattern": "https://evilsub.example.com",
    "prefix before the pattern's domain": "https://a.sub.example.com.evil.com",
    "path into the pattern": "https://evil.com/.sub.example.com",
    "query into the pattern": "https://evil.com?.sub.example.com",
    "fragment into the pattern": "https://evil.com#.sub.example.com",
    "user info into the pattern": "https://evil.com@a.sub.example.com",
    "percent into the pattern": "https://evil.com%2F.sub.example.com",
    "backslash into the pattern": "https://evil.com\\.sub.example.com",
    "backtick into the pattern": "https://evil.com`.sub.example.com",
    "brace into the pattern": "https://evil.com{.sub.example.com",
    "IPv6 spelled out": "http://[0:0:0:0:0:0:0:1]:3000",
    "IPv6 with zeros": "http://[::01]:3000",
    "IPv6 without brackets": "http://::1:3000",
    "IPv6 with a zone": "http://[::1%25eth0]:3000",
    "IPv4 in IPv6": "http://[::ffff:127.0.0.1]:3000",
    "IPv4 for IPv6": "http://127.0.0.1:3000",
    "Unicode for Punycode": "https://bücher.example",
    "Unicode as servers hand it on": "https://bücher.example".encode().decode("latin-1"),
    "Punycode in upper case": "https://XN--BCHER-KVA.example",
    "full-width dot": "https://app.example\uff0ecom",
    "soft hyphen": "https://app.exam\xadple.com",
    "Kelvin sign": "https://app.example.com/\u212a",
    "empty": "",
    "space": " ",
    "star": "*",
    "null in upper case": "NULL",
    "null twice": "null, null",
    "file": "file://",
    "file with path": "file:///etc/passwd",
    "about:blank": "about:blank",
    "data": "data:text/html,x",
    "very long host": "https://" + "a" * 10_000 + ".sub.example.com",
    "very many labels": "https://" + "a." * 10_000 + "sub.example.com",
    "very long port": "https://app.example.com:" + "4" * 10_000,
}
MANY = Policy(
    allow_origins=[APP, "https://*.sub.example.com", "http://[::1]:3000", "https://xn--bcher-kva.example"],
    allow_methods=["GET", "PUT"],
    allow_credentials=True,
)


def trusts(origin: str, environ: dict[str, Any]) -> bool:
    return origin in {APP, "http://[::1]:3000", "https://xn--bcher-kva.example"}


@as_get_and_as_preflight
@pytest.mark.parametrize("origin", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_an_origin_that_only_looks_trusted_is_refused(origin: str, send: Ask) -> None:
    assert_refused(send, origin, POLICY, MANY, Policy(allow_origins=trusts, allow_methods=["PUT"]))


@as_get_and_as_preflight
@pytest.mark.parametrize(
    "origin", [APP, "https://a.b.sub.example.com", "http://[::1]:3000", "https://xn--bcher-kva.example"]
)
def test_a_trusted_origin_with_such_neighbours_is_allowed(origin: str, send: Ask) -> None:
    assert cors(send(PreflightMiddleware(Spy(), MANY), origin=origin))["Access-Control-Allow-Origin"] == origin


OTHER_LIBRARIES: dict[str, tuple[list[str], list[str]]] = {
    # id: (allowed, attackers)
    "flask-cors, unanchored pattern": (
        ["https://*.example.com"],
        ["https://xexample.com.evil.io", "https://example.com.evil.io", "https://app.example.com.evil.io"],
    ),
    "CVE-2026-37737 (sanic-cors)": (
        ["https://trusted.com"],
        ["https://trusted.com.attacker.io", "https://trusted.com:8080", "https://trusted.com@x", "https://trustedxcom"],
    ),
    "CVE-2025-50864 (elysia-cors)": (
        ["https://example.com"],
        ["https://notexample.com", "https://example.common.net", "https://example.com.net"],
    ),
    "GHSA-vhxv-fg4m-p2w8 (jub0bs/cors)": (["https://foo.com", "https://bar.com"], ["https://barfoo.com"]),
    "GHSA-v84h-653v-4pq9 (fcors)": (
        ["https://*.foo.com", "https://*.bar.com"],
        ["https://a.barfoo.com", "https://a.bar.foo.com.evil.com", "https://foo.com"],
    ),
    "CVE-2019-25211 (gin-contrib/cors)": (
        ["https://example.com"],
        ["https://example.community", "https://example.com.evil.com"],
    ),
    "CVE-2023-49803 (@koa/cors)": ([], ["https://evil.com", "null", ""]),
    "CVE-2021-39185 (http4s)": ([], ["https://evil.com", "null"]),
    "CVE-2018-8014 (Tomcat)": ([], ["https://evil.com"]),
    "CVE-2025-34291 (langflow)": ([], ["https://evil.com"]),
    "wsgicors, fnmatch": (["https://*.example.com"], ["https://evil.io/.example.com"]),
    "flask-cors, IPv6 as a character class": (["http://[::1]:3000"], ["http://::3000", "http://1:3000"]),
}


@as_get_and_as_preflight
@pytest.mark.parametrize(
    ("allowed", "attacker"),
    [
        pytest.param(allowed, attacker, id=f"{name}: {attacker}")
        for name, (allowed, attackers) in OTHER_LIBRARIES.items()
        for attacker in attackers
    ],
)
def test_what_let_strangers_into_other_libraries(allowed: list[str], attacker: str, send: Ask) -> None:
    for order in itertools.permutations(allowed):
        assert_refused(send, attacker, Policy(allow_origins=order, allow_methods=["PUT"]))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"allow_origins": "*"}, id="CVE-2024-25124 (fiber)"),
        pytest.param({"allow_origins": ["*"]}, id="CVE-2026-54290 (hono)"),
        pytest.param({"allow_origins": ["*", APP]}, id="flask-cors, django-cors-headers, starlette, wsgicors"),
        pytest.param({"allow_origins": ["h*"]}, id="rs/cors#197"),
        pytest.param({"allow_origins": ["https://*"]}, id="rs/cors#197, all of https"),
        pytest.param({"allow_origins": ["http*://app.example.com"]}, id="rs/cors#197, all schemes"),
        pytest.param({"allow_origins": ["https://*.com"]}, id="rs/cors#197, all of com"),
        pytest.param({"allow_origins": ["moz-extension://*"]}, id="every extension"),
        pytest.param({"allow_origins": ["app://*"]}, id="every app"),
        pytest.param({"allow_origins": ["https://*.github.io"]}, id="rs/cors#197, all of github.io"),
        pytest.param({"allow_origins": ["null"]}, id="CVE-2021-39185 (http4s), null"),
        pytest.param({"allow_origins": ["https://example.com/*"]}, id="CVE-2019-25211 (gin-contrib/cors)"),
        pytest.param({"allow_origins": [r"https://trusted\.com"]}, id="CVE-2026-37737 (sanic-cors)"),
        pytest.param({"allow_origins": [r".*"]}, id="flask-cors, a regex for everybody"),
        pytest.param({"allow_origins": ["http://app.example.com"]}, id="PortSwigger, trusting http"),
    ],
)
def test_what_would_let_everybody_act_as_the_user_cannot_be_configured(fields: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        Policy(allow_credentials=True, **fields)


@as_get_and_as_preflight
@pytest.mark.parametrize("origin", ["https://evil.com", "null", APP])
@pytest.mark.parametrize("library", ["CVE-2018-20744 (rs/cors)", "CVE-2017-20146 (gorilla/handlers)"])
def test_a_star_stays_a_star(library: str, origin: str, send: Ask) -> None:
    policy = Policy(allow_origins="*", allow_methods=["PUT"])
    answer = cors(send(PreflightMiddleware(Spy(), policy), origin=origin))
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer


# ---------------------------------------------------------------------------------------
# Paths: one policy for the public part, another for the rest
# ---------------------------------------------------------------------------------------

PUBLIC = Policy(allow_origins="*", allow_methods=["PUT"])
PATHS = {
    "CVE-2020-25032 (flask-cors), dots": "/api/../private",
    "CVE-2020-25032 (flask-cors), dots at the end": "/api/..",
    "CVE-2020-25032 (flask-cors), encoded dots": "/api/%2e%2e/private",
    "CVE-2020-25032 (flask-cors), dots half encoded": "/api/.%2E/private",
    "CVE-2020-25032 (flask-cors), two slashes first": "//api/x",
    "CVE-2020-25032 (flask-cors), two slashes": "/api//x",
    "CVE-2020-25032 (flask-cors), backslashes": "/api/..\\private",
    "CVE-2019-18978 (rack-cors)": "/api/../../private",
    "CVE-2024-6844 (flask-cors), slash decoded once": "/api%2fx",
    "CVE-2024-6844 (flask-cors), dots decoded once": "/api/%2e%2e%2fprivate",
    "CVE-2024-6866 (flask-cors)": "/API/x",
    "CVE-2024-6866 (flask-cors), mixed": "/Api",
    "flask-cors, /api/* covers /apiprivate": "/apiprivate",
    "flask-cors, prefix in the middle": "/private/api/x",
    "no path at all": "*",
    "absolute": "http://backend.com/api/x",
}


@as_get_and_as_preflight
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_no_path_gets_the_policy_of_another(path: str, send: Ask) -> None:
    app = PreflightMiddleware(Spy(), by_path({"/api": PUBLIC}))
    assert cors(send(app, origin="https://evil.com", PATH_INFO="/api/x"))["Access-Control-Allow-Origin"] == "*"
    assert cors(send(app, origin="https://evil.com", PATH_INFO=path)) == {}
    app.policy = by_path({"/": POLICY, "/api": PUBLIC})
    assert "Access-Control-Allow-Origin" not in cors(send(app, origin="https://evil.com", PATH_INFO=path))


@as_get_and_as_preflight
@pytest.mark.parametrize("path", ["/api/x", "/api/admin/x", "/api/admin"])
def test_the_most_specific_wins_in_every_order_cve_2024_6839(path: str, send: Ask) -> None:
    answers = [
        cors(send(PreflightMiddleware(Spy(), by_path(dict(order))), origin="https://evil.com", PATH_INFO=path))
        for order in itertools.permutations({"/": POLICY, "/api": PUBLIC, "/api/admin": POLICY}.items())
    ]
    assert all(answer == answers[0] for answer in answers)
    assert ("Access-Control-Allow-Origin" in answers[0]) == (path == "/api/x")


@as_get_and_as_preflight
def test_a_plus_is_no_space_cve_2024_6844(send: Ask) -> None:
    app = PreflightMiddleware(Spy(), by_path({"/a+b": PUBLIC, "/a b": POLICY}))
    assert cors(send(app, origin="https://evil.com", PATH_INFO="/a+b"))["Access-Control-Allow-Origin"] == "*"
    assert cors(send(app, origin="https://evil.com", PATH_INFO="/a b")) == vary(send)


# ---------------------------------------------------------------------------------------
# What is sent and what is logged
# ---------------------------------------------------------------------------------------


def fails(origin: str, environ: dict[str, Any]) -> bool:
    raise ValueError(environ["HTTP_ORIGIN"], environ["PATH_INFO"])


EXTRAS = ("cors_reason", "cors_origin", "cors_rule")


@as_get_and_as_preflight
@pytest.mark.parametrize("spoiled", ["PATH_INFO", "HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS"])
def test_nobody_forges_log_records_cve_2024_1681(spoiled: str, send: Ask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    forged = "/x\r\nERROR:root:forged\n\x1b[2J\u2028\x85"
    inner = PreflightMiddleware(Spy(), Policy(allow_origins=fails))
    outer = PreflightMiddleware(inner, by_path({"/x": POLICY}), debug=True)
    for app in (inner, outer):
        answer = send(app, origin=APP, **{spoiled: forged})
        assert answer.body.isascii()
        assert answer.body.strip().decode().isprintable()
    assert caplog.records
    for record in caplog.records:
        told = [record.getMessage(), *(getattr(record, name, "") for name in EXTRAS)]
        assert all(text.isprintable() for text in told)
        lines = logging.Formatter().format(record).splitlines()
        assert all(line.isprintable() and not line.startswith("ERROR:root") for line in lines)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert bool(errors) == (spoiled != "HTTP_ORIGIN"), "the callable is asked about well-formed origins only"


@as_get_and_as_preflight
@pytest.mark.parametrize("origin", [APP, "https://evil.com"])
def test_no_private_network_is_opened_cve_2024_6221(origin: str, send: Ask) -> None:
    for policy in (POLICY, PUBLIC, Policy()):
        app = PreflightMiddleware(Spy(("Access-Control-Allow-Private-Network", "true")), policy, debug=True)
        answer = send(app, origin=origin, HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK="true")
        assert "Access-Control-Allow-Private-Network" not in cors(answer)


@as_get_and_as_preflight
@pytest.mark.parametrize("origin", [APP, "https://evil.com"])
def test_no_request_header_comes_back_ghsa_q7jf_gf43_6x6p(origin: str, send: Ask) -> None:
    app = PreflightMiddleware(Spy(), POLICY)
    sent = {f"HTTP_{name}": "evil" for name in ("VARY", "ACCESS_CONTROL_ALLOW_ORIGIN", "ACCESS_CONTROL_MAX_AGE")}
    assert send(app, origin=origin, **sent) == send(app, origin=origin)


@pytest.mark.parametrize("origin", [None, APP, "https://evil.com", "null", ""])
def test_no_cache_serves_one_s_answer_to_another_cve_2017_7674(origin: str | None) -> None:
    answer = ask(PreflightMiddleware(Spy(("Vary", "Accept")), POLICY), origin)
    assert answer.only("Vary") == [("Vary", "Accept, Origin")]


@as_get_and_as_preflight
def test_no_answer_shares_its_headers_with_the_next_jub0bs_cors_0_13_5(send: Ask) -> None:
    app = PreflightMiddleware(Spy(), POLICY)
    headers: list[list[tuple[str, str]]] = []

    def start_response(status: str, sent: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        headers.append(sent.copy())
        sent[:] = [("Vary", "evil"), ("Access-Control-Allow-Origin", "*")]
        return print

    environ = make_environ("GET" if send is ask else "OPTIONS", Origin=APP, Access_Control_Request_Method="PUT")
    app(environ.copy(), start_response)
    app(environ.copy(), start_response)
    assert headers[0] == headers[1] == serve(app, environ).headers


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(lambda size: "," * size, id="golang/vulndb#2883 (rs/cors), commas"),
        pytest.param(lambda size: " ," * size, id="golang/vulndb#2883 (rs/cors), spaces and commas"),
        pytest.param(lambda size: ",".join(map(str, range(size))), id="rs/cors#170, names"),
        pytest.param(lambda size: "a" * size, id="go-chi/cors#36, one name"),
        pytest.param(lambda size: ",".join(["x-a"] * size), id="go-chi/cors#36, many lines joined"),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_a_flood_of_requested_headers_is_refused_unread(flood: Callable[[int], str], debug: bool) -> None:
    app = PreflightMiddleware(Spy(), POLICY.override(allow_headers="*"), debug=debug)
    long, longer = flood(10_000), flood(300_000)
    answer = ask_preflight(app, wanted=long, origin=APP)
    assert answer == ask_preflight(app, wanted=longer, origin=APP)
    assert "Access-Control-Allow-Headers" not in cors(answer)
    assert len(answer.body) < 200
    assert operations(lambda: ask_preflight(app, wanted=long, origin=APP)) == operations(
        lambda: ask_preflight(app, wanted=longer, origin=APP)
    )


@pytest.mark.parametrize("method", ["OST", ", ", "PU", "PUT,", "PUT,DELETE", "put", "*", "GET HTTP/1.1", "PUT\r\nX: y"])
def test_a_part_of_a_method_is_no_method_flask_cors(method: str) -> None:
    assert cors(ask_preflight(PreflightMiddleware(Spy(), POLICY), method, origin=APP)) == vary(ask_preflight)


@pytest.mark.parametrize("name", ["content", "ype", "content-type\r\nset-cookie: a", "content-type;", "*", "x-a:", "é"])
def test_a_part_of_a_header_name_is_no_header_name(name: str) -> None:
    answer = ask_preflight(PreflightMiddleware(Spy(), POLICY), wanted=name, origin=APP)
    assert cors(answer) == vary(ask_preflight)
    everything = PreflightMiddleware(Spy(), POLICY.override(allow_headers=["*", "Authorization"]))
    for asked in cors(ask_preflight(everything, wanted=name, origin=APP)).values():
        assert "\r" not in asked
        assert "*" not in asked
