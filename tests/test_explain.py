"""Refusals in words: complete sentences, escaped input, and debug answers that still refuse."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from strategies import origins, policies
from test_engine import ANYTHING, Visit, as_decided, listed, operations, visited, visits

from flask_preflight import Decision, Outcome, Policy, PolicyError, Reason, RequestFacts, negotiate
from flask_preflight import explain as explain_module
from flask_preflight.engine import HeaderList, refuse_preflight
from flask_preflight.explain import (
    Place,
    debug_answer,
    debug_header,
    describe_error,
    escape,
    explain,
    nearest_origin,
    refusal_line,
)
from flask_preflight.origin import Pattern, parse_pattern
from flask_preflight.policy import PolicyChanges
from flask_preflight.problems import Problem

ORIGIN = "https://frontend.com"
POLICY = Policy(
    allow_origins=[ORIGIN, "http://localhost:3000", "https://*.example.com"], allow_methods=["GET", "PATCH"]
)
VARY = ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


def preflight(method: str = "GET", wanted: str | None = None, origin: str = ORIGIN) -> RequestFacts:
    return RequestFacts("OPTIONS", origin, method, wanted)


def broken(origin: str, environ: dict[str, Any]) -> bool:
    raise LookupError(f"no tenant for {origin}\nin the database")


def needs_request(origin: str, environ: dict[str, Any]) -> bool:
    raise RuntimeError("Working outside of request context.")


def returns_nothing(origin: str, environ: dict[str, Any]) -> None: ...


def place_of(function: Callable[..., object], line: int = 0) -> str:
    """The file and line of *function*, or a line below its first."""
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno + line}"


def refuses(origin: str, environ: dict[str, Any]) -> bool:
    return False


# ---------------------------------------------------------------------------------------
# Sentences
# ---------------------------------------------------------------------------------------

SENTENCES: dict[str, tuple[Policy, RequestFacts, Reason, str]] = {
    "empty method": (
        POLICY,
        preflight(""),
        Reason.METHOD_MALFORMED,
        "Access-Control-Request-Method is '', which is not a method. No browser sends that.",
    ),
    "method with a line break": (
        POLICY,
        preflight("GET\r\nX: y"),
        Reason.METHOD_MALFORMED,
        r"Access-Control-Request-Method is 'GET\r\nX: y', which is not a method. No browser sends that.",
    ),
    "forbidden method": (
        POLICY,
        preflight("trace"),
        Reason.METHOD_FORBIDDEN,
        "The method 'trace' is forbidden to scripts. No browser asks for it.",
    ),
    "over-long origin": (
        POLICY,
        preflight(origin="https://" + "a" * 400),
        Reason.ORIGIN_TOO_LONG,
        "The Origin header is longer than 320 characters.",
    ),
    "null": (
        POLICY,
        preflight(origin="null"),
        Reason.ORIGIN_NULL,
        "The origin is 'null'. Browsers send that for pages opened from a disk, for sandboxed frames and"
        " data: URLs, and after a redirect to another origin. Serve the page from a web server, such as python"
        " -m http.server 8000, and open it at http://localhost:8000. To allow that, write"
        " allow_origins=['http://localhost:3000', 'https://*.example.com', 'https://frontend.com',"
        " 'http://localhost:8000'] in the Policy.",
    ),
    "null, where the page could be served": (
        Policy(allow_origins=["http://localhost:*"]),
        preflight(origin="null"),
        Reason.ORIGIN_NULL,
        "The origin is 'null'. Browsers send that for pages opened from a disk, for sandboxed frames and"
        " data: URLs, and after a redirect to another origin. Serve the page from a web server, such as python"
        " -m http.server 8000, and open it at http://localhost:8000, which is allowed already.",
    ),
    "null, for a callable": (
        Policy(allow_origins=refuses),
        preflight(origin="null"),
        Reason.ORIGIN_NULL,
        "The origin is 'null'. Browsers send that for pages opened from a disk, for sandboxed frames and"
        " data: URLs, and after a redirect to another origin. Serve the page from a web server, such as python"
        " -m http.server 8000, and open it at http://localhost:8000. Let the callable in allow_origins allow"
        " 'http://localhost:8000'.",
    ),
    "the domain of a pattern": (
        Policy(allow_origins=["https://*.example.com"]),
        preflight(origin="https://example.com"),
        Reason.ORIGIN_NOT_ALLOWED,
        "The origin 'https://example.com' is not in allow_origins. The nearest allowed origin is"
        " 'https://*.example.com'. It covers the subdomains, and not the domain itself. If the page is yours,"
        " write allow_origins=['https://*.example.com', 'https://example.com'] in the Policy.",
    ),
    "another name of this machine": (
        Policy(allow_origins=["http://localhost:3000"]),
        preflight(origin="http://127.0.0.1:3000"),
        Reason.ORIGIN_NOT_ALLOWED,
        "The origin 'http://127.0.0.1:3000' is not in allow_origins. The nearest allowed origin is"
        " 'http://localhost:3000'. It differs in the host: to browsers, localhost, 127.0.0.1 and [::1] are"
        " different hosts. If the page is yours, write allow_origins=['http://localhost:3000',"
        " 'http://127.0.0.1:3000'] in the Policy.",
    ),
    "no origin listed": (
        Policy(),
        preflight(),
        Reason.ORIGIN_NOT_ALLOWED,
        "The origin 'https://frontend.com' is not allowed: allow_origins is empty. If the page is yours,"
        " write allow_origins=['https://frontend.com'] in the Policy.",
    ),
    "method in the wrong case that is not allowed": (
        Policy(allow_origins=[ORIGIN], allow_methods=["GET"]),
        preflight("patch"),
        Reason.METHOD_NOT_ALLOWED,
        "The method 'patch' is not in allow_methods, which allows GET, HEAD. Methods are case-sensitive:"
        " write 'PATCH' in the page's fetch(). To allow it, write allow_methods=['GET', 'PATCH'] in the"
        " Policy.",
    ),
    "method, where none is listed": (
        Policy(allow_origins=[ORIGIN]),
        preflight("PUT"),
        Reason.METHOD_NOT_ALLOWED,
        "The method 'PUT' is not one of GET, HEAD, POST, and allow_methods is not set. To allow it, write"
        " allow_methods=['GET', 'POST', 'PUT'] in the Policy.",
    ),
    "method in the wrong case, of a route": (
        Policy(allow_origins=[ORIGIN]).narrow(["GET", "PATCH"]),
        preflight("patch"),
        Reason.METHOD_NOT_ALLOWED,
        "The method 'patch' is not 'PATCH'. Methods are case-sensitive: write 'PATCH' in the page's fetch()."
        " The server needs no change.",
    ),
    "callable that returns no bool": (
        Policy(allow_origins=returns_nothing),  # type: ignore[arg-type]
        preflight(),
        Reason.ORIGIN_CHECK_FAILED,
        f"The callable in allow_origins at {place_of(returns_nothing)} returned NoneType, not bool: let it return True"
        " or False.",
    ),
    "malformed origin": (
        POLICY,
        preflight(origin="https://frontend.com\u2028\x1b[31m"),
        Reason.ORIGIN_MALFORMED,
        r"The Origin header is 'https://frontend.com\u2028\x1b[31m', which is not an origin as browsers write"
        " it: scheme, host and port, such as 'https://example.com' or 'http://localhost:3000'.",
    ),
    "page from a disk, where another server is allowed": (
        Policy(allow_origins=["https://frontend.com"]),
        preflight(origin="file://"),
        Reason.ORIGIN_MALFORMED,
        "The origin is 'file://'. A few browsers (QtWebEngine, some versions of Cordova and Electron) send that for all"
        " pages opened from a disk, so it cannot be allowed. Serve the page from a web server, such as python -m"
        " http.server 8000, and open it at http://localhost:8000. To allow that, write"
        " allow_origins=['https://frontend.com', 'http://localhost:8000'] in the Policy.",
    ),
    "page from a disk, where the server is allowed": (
        Policy(allow_origins=["http://localhost:*"]),
        preflight(origin="file://"),
        Reason.ORIGIN_MALFORMED,
        "The origin is 'file://'. A few browsers (QtWebEngine, some versions of Cordova and Electron) send that for all"
        " pages opened from a disk, so it cannot be allowed. Serve the page from a web server, such as python -m"
        " http.server 8000, and open it at http://localhost:8000, which is allowed already.",
    ),
    "foreign origin": (
        POLICY,
        preflight(origin="https://other.com"),
        Reason.ORIGIN_NOT_ALLOWED,
        "The origin 'https://other.com' is not in allow_origins. If the page is yours, write"
        " allow_origins=['http://localhost:3000', 'https://*.example.com', 'https://frontend.com',"
        " 'https://other.com'] in the Policy.",
    ),
    "neighbouring origin": (
        POLICY,
        preflight(origin="http://localhost:3001"),
        Reason.ORIGIN_NOT_ALLOWED,
        "The origin 'http://localhost:3001' is not in allow_origins. The nearest allowed origin is"
        " 'http://localhost:3000'. It differs in the port. If the page is yours, write"
        " allow_origins=['http://localhost:3000', 'https://*.example.com', 'https://frontend.com',"
        " 'http://localhost:3001'] in the Policy.",
    ),
    "callable refuses": (
        Policy(allow_origins=refuses),
        preflight(),
        Reason.ORIGIN_NOT_ALLOWED,
        "The callable 'refuses' in allow_origins returned False for the origin 'https://frontend.com'."
        " If the page is yours, let it return True for this origin.",
    ),
    "callable needs a request": (
        Policy(allow_origins=needs_request),
        preflight(),
        Reason.ORIGIN_CHECK_FAILED,
        f"The callable in allow_origins failed at {place_of(needs_request, 1)}: 'RuntimeError: Working outside of"
        " request context.'. flask.request is not available in it: use its second argument, the WSGI environ.",
    ),
    "callable fails": (
        Policy(allow_origins=broken),
        preflight(),
        Reason.ORIGIN_CHECK_FAILED,
        f"The callable in allow_origins failed at {place_of(broken, 1)}: 'LookupError: no tenant for https://frontend.com"
        r"\nin the database'. Let it return True or False instead. The log has the traceback.",
    ),
    "callable that is no function returns no bool": (
        Policy(allow_origins=partial(returns_nothing)),  # type: ignore[arg-type]
        preflight(),
        Reason.ORIGIN_CHECK_FAILED,
        "The callable in allow_origins returned NoneType, not bool: let it return True or False.",
    ),
    "method": (
        POLICY,
        preflight("DELETE"),
        Reason.METHOD_NOT_ALLOWED,
        "The method 'DELETE' is not in allow_methods, which allows GET, HEAD, PATCH. To allow it, write"
        " allow_methods=['GET', 'PATCH', 'DELETE'] in the Policy.",
    ),
    "method, where none is allowed": (
        Policy(allow_origins=[ORIGIN], allow_methods=[]),
        preflight("GET"),
        Reason.METHOD_NOT_ALLOWED,
        "The method 'GET' is not in allow_methods, which allows nothing. To allow it, write"
        " allow_methods=['GET'] in the Policy.",
    ),
    "method in the wrong case": (
        POLICY,
        preflight("patch"),
        Reason.METHOD_NOT_ALLOWED,
        "The method 'patch' is not 'PATCH'. Methods are case-sensitive: write 'PATCH' in the page's fetch()."
        " The server needs no change.",
    ),
    "over-long headers": (
        POLICY,
        preflight(wanted="a" * 5000),
        Reason.HEADERS_TOO_LONG,
        "Access-Control-Request-Headers is longer than 4096 characters, or has more than 128 commas.",
    ),
    "malformed headers": (
        POLICY,
        preflight(wanted="x-a,x b"),
        Reason.HEADERS_MALFORMED,
        "Access-Control-Request-Headers is 'x-a,x b', which is not a list of header names.",
    ),
    "one header": (
        POLICY,
        preflight(wanted="content-type,x-a"),
        Reason.HEADERS_NOT_ALLOWED,
        "The request header 'x-a' is not in allow_headers, which allows Content-Type. To allow it, write"
        " allow_headers=['Content-Type', 'X-A'] in the Policy.",
    ),
    "two headers": (
        POLICY,
        preflight(wanted="x-a,authorization"),
        Reason.HEADERS_NOT_ALLOWED,
        "The request headers 'x-a', 'authorization' are not in allow_headers, which allows Content-Type. To"
        " allow them, write allow_headers=['Content-Type', 'X-A', 'Authorization'] in the Policy.",
    ),
    "a header, where none is allowed": (
        POLICY.override(allow_headers=[]),
        preflight(wanted="x-a"),
        Reason.HEADERS_NOT_ALLOWED,
        "The request header 'x-a' is not in allow_headers, which allows nothing. To allow it, write"
        " allow_headers=['X-A'] in the Policy.",
    ),
    "a header of the server's answer": (
        POLICY,
        preflight(wanted="access-control-allow-origin,x-a"),
        Reason.HEADERS_NOT_ALLOWED,
        "The request header 'x-a' is not in allow_headers, which allows Content-Type. To allow it, write"
        " allow_headers=['Content-Type', 'X-A'] in the Policy. No server can allow the request header"
        " 'access-control-allow-origin'. Remove it from the page's fetch().",
    ),
    "a forbidden header": (
        POLICY,
        preflight(wanted="x-a,cookie"),
        Reason.HEADERS_NOT_ALLOWED,
        "The request header 'x-a' is not in allow_headers, which allows Content-Type. To allow it, write"
        " allow_headers=['Content-Type', 'X-A'] in the Policy. No server can allow the request header"
        " 'cookie'. Remove it from the page's fetch().",
    ),
    "more than ten headers": (
        POLICY,
        preflight(wanted=",".join(f"x-{number}" for number in range(10, 30))),
        Reason.HEADERS_NOT_ALLOWED,
        "The request headers 'x-10', 'x-11', 'x-12', 'x-13', 'x-14', 'x-15', 'x-16', 'x-17', 'x-18', 'x-19'"
        " and 10 more are not in allow_headers, which allows Content-Type. To allow them, write"
        " allow_headers=['Content-Type', 'X-10', 'X-11', 'X-12', 'X-13', 'X-14', 'X-15', 'X-16', 'X-17',"
        " 'X-18', 'X-19'] in the Policy.",
    ),
    "a header that '*' does not cover": (
        Policy(allow_origins=[ORIGIN], allow_headers="*"),
        preflight(wanted="x-a,authorization"),
        Reason.HEADERS_NOT_ALLOWED,
        "The request header 'authorization' is not covered by '*' in allow_headers. To allow it, write"
        " allow_headers=['*', 'Authorization'] in the Policy.",
    ),
}


@pytest.mark.parametrize(("policy", "facts", "reason", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_sentence(policy: Policy, facts: RequestFacts, reason: Reason, sentence: str) -> None:
    decision = negotiate(policy, facts)
    assert decision.reason is reason
    assert explain(policy, facts, decision) == sentence


BY_EDGES: dict[str, tuple[Decision, RequestFacts, str]] = {
    "routing fails": (
        refuse_preflight(Reason.ROUTING_FAILED, error=KeyError("x\n")),
        preflight(),
        "A converter or redirect of the app's own failed for this URL: \"KeyError: 'x\\\\n'\".",
    ),
    "bad policy": (
        refuse_preflight(
            Reason.POLICY_INVALID, error=PolicyError([Problem("max_age", "1h", *("x", "is wrong", "write 3600"))])
        ),
        preflight(),
        "The policy of the view is not valid, so nothing is allowed: max_age: '1h' is wrong; write 3600 [x].",
    ),
    "no route for the method": (
        refuse_preflight(Reason.METHOD_NOT_ROUTED),
        preflight("DELETE"),
        "This URL has no route for the method 'DELETE', only for GET, HEAD, PATCH. To handle it, add a view with"
        " @app.route('/a', methods=['DELETE']).",
    ),
    "no route for the method in lower case": (
        refuse_preflight(Reason.METHOD_NOT_ROUTED),
        preflight("patch"),
        "This URL has no route for the method 'patch', only for GET, HEAD, PATCH. Methods are case-sensitive: write"
        " 'PATCH' in the page's fetch().",
    ),
    "no route for any case of the method": (
        refuse_preflight(Reason.METHOD_NOT_ROUTED),
        preflight("query"),
        "This URL has no route for the method 'query', only for GET, HEAD, PATCH. To handle it, add a view with"
        " @app.route('/a', methods=['QUERY']). Methods are case-sensitive: write 'QUERY' in the page's fetch().",
    ),
    "cookies": (
        Decision(Outcome.ACTUAL_ALLOWED, reason=Reason.CREDENTIALS_NOT_ALLOWED),
        RequestFacts("GET", ORIGIN),
        "The page sent cookies (credentials: 'include'), and the policy has allow_credentials=False, so the browser"
        " does not let the page read the response. If the page needs cookies, write allow_credentials=True in the"
        " Policy. Otherwise remove credentials from the page's fetch().",
    ),
}


@pytest.mark.parametrize(("decision", "facts", "sentence"), BY_EDGES.values(), ids=BY_EDGES)
def test_what_only_the_edges_know_is_explained_too(decision: Decision, facts: RequestFacts, sentence: str) -> None:
    assert explain(POLICY, facts, decision, Place("/a")) == sentence


def test_cookies_under_a_public_policy_need_a_list_of_origins() -> None:
    decision = Decision(Outcome.ACTUAL_ALLOWED, reason=Reason.CREDENTIALS_NOT_ALLOWED)
    sentence = explain(Policy(allow_origins="*"), RequestFacts("GET", ORIGIN), decision)
    assert "write allow_origins=['https://frontend.com'], allow_credentials=True in the Policy." in sentence


def test_every_reason_has_its_sentence() -> None:
    reasons = {reason for _, _, reason, _ in SENTENCES.values()} | {row[0].reason for row in BY_EDGES.values()}
    assert reasons == set(Reason)


def test_where_no_route_matches_the_sentence_says_so_first() -> None:
    facts = preflight(wanted="x-a")
    decision = negotiate(POLICY, facts)
    sentence = explain(POLICY, facts, decision)
    expected = f"Check the URL first: no route of the app matches it, so the app-wide policy decides. {sentence}"
    assert explain(POLICY, facts, decision, Place("no route", is_routed=False)) == expected


def test_what_to_write_is_written_as_its_place_needs() -> None:
    """In a configuration, one string works both in Python and in the environment."""

    def setting_of(field: str) -> tuple[str, str]:
        where = "the app's configuration" if field == "allow_headers" else "Preflight(...)"
        return (f"PREFLIGHT_{field.upper()}" if field == "allow_headers" else field), where

    place = Place("/a", setting_of=setting_of)
    facts = preflight(wanted="x-a")
    assert explain(POLICY, facts, negotiate(POLICY, facts), place).endswith(
        " write PREFLIGHT_ALLOW_HEADERS='Content-Type,X-A' in the app's configuration."
    )
    facts = preflight("PUT")
    assert explain(POLICY, facts, negotiate(POLICY, facts), place).endswith(
        " write allow_methods=['GET', 'PATCH', 'PUT'] in Preflight(...)."
    )


def test_a_long_list_is_not_repeated() -> None:
    policy = Policy(allow_origins=[f"https://{number}.example.com" for number in range(100)])
    facts = preflight(origin="https://other.com")
    assert explain(policy, facts, negotiate(policy, facts)) == (
        "The origin 'https://other.com' is not in allow_origins. If the page is yours, add 'https://other.com' to"
        " allow_origins in the Policy."
    )


ADVISED = {
    **{name: row[:2] for name, row in SENTENCES.items()},
    "http with credentials": (
        Policy(allow_origins=[ORIGIN], allow_credentials=True),
        preflight(origin="http://frontend.com"),
    ),
    "method in lower case that is not allowed in upper case either": (POLICY, preflight("put")),
    "PATCH in lower case": (POLICY.override(allow_methods=["GET"]), preflight("patch")),
}


@pytest.mark.parametrize(("policy", "facts"), ADVISED.values(), ids=ADVISED)
def test_a_request_passes_once_the_advice_is_followed(policy: Policy, facts: RequestFacts) -> None:
    sentence = explain(policy, facts, negotiate(policy, facts))
    written: PolicyChanges = {}
    for field, value in re.findall(r"write (allow_\w+)=(\[.*?\])", sentence):
        written[field] = ast.literal_eval(value)  # type: ignore[literal-required]
    for dropped in re.findall(r"No server can allow the request headers? (.+?)\. Remove", sentence):
        kept = [name for name in (facts.requested_headers or "").split(",") if f"'{name}'" not in dropped]
        facts = facts._replace(requested_headers=",".join(kept[:11]))
    for method in re.findall(r"case-sensitive: write '(.+?)' in the page's", sentence):
        facts = facts._replace(requested_method=method)
    if "Serve the page from a web server" in sentence:
        facts = facts._replace(origin="http://localhost:8000")
    if "and 10 more" in sentence:
        return
    decision = negotiate(policy.override(**written), facts)
    advises = bool(re.search(r"\bwrite [a'@]|Remove|allowed already", sentence)) and "cannot be added" not in sentence
    assert (decision.outcome is Outcome.PREFLIGHT_GRANTED) == advises


def test_a_refused_actual_request_is_explained_alike() -> None:
    facts = RequestFacts("GET", "https://other.com")
    sentence = explain(
        POLICY, preflight(origin="https://other.com"), negotiate(POLICY, preflight(origin="https://x.com"))
    )
    assert explain(POLICY, facts, negotiate(POLICY, facts)) == sentence


@pytest.mark.parametrize(
    "facts", [preflight(), RequestFacts("GET", ORIGIN), RequestFacts("GET")], ids=["preflight", "actual", "no origin"]
)
def test_there_is_no_sentence_where_nothing_is_refused(facts: RequestFacts) -> None:
    assert explain(POLICY, facts, negotiate(POLICY, facts)) == ""


# ---------------------------------------------------------------------------------------
# The nearest origin
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "sent", "nearest"),
    [
        (["http://localhost:3000"], "http://localhost:8080", ("http://localhost:3000", "the port")),
        (["https://a.com"], "http://a.com", ("https://a.com", "the scheme")),
        (["https://a.com"], "http://a.com:81", ("https://a.com", "the scheme and the port")),
        (["https://a.com"], "https://www.a.com", ("https://a.com", "'www.'")),
        (["https://www.a.com"], "https://a.com", ("https://www.a.com", "'www.'")),
        (["https://*.a.com"], "https://a.com", ("https://*.a.com", "the missing subdomain")),
        (["https://*.a.com:*"], "https://a.com:81", ("https://*.a.com:*", "the missing subdomain")),
        (["http://localhost:*"], "https://localhost:3000", ("http://localhost:*", "the scheme")),
        (["https://*.a.com"], "http://b.a.com", ("https://*.a.com", "the scheme")),
        (["https://*.a.com"], "https://b.a.com:81", ("https://*.a.com", "the port")),
        (["https://a.com"], "http://www.a.com", ("https://a.com", "'www.' and the scheme")),
        # not the first that is near, but the nearest
        (["http://a.com", "https://a.com:81"], "https://a.com", ("http://a.com", "the scheme")),
        (["http://a.com:81", "https://a.com:82"], "https://a.com", ("https://a.com:82", "the port")),
        (["https://*.a.com"], "https://ba.com", None),
        (["https://a.com"], "https://b.com", None),
        (["https://a.com"], "https://a.com.b.com", None),
        (["https://a.com"], "https://a.com/", None),
        (["https://a.com"], "null", None),
        (["app://."], "app://.:1", ("app://.", "the port")),
        (["app://"], "app://x", None),
        (["http://localhost:3000"], "http://127.0.0.1:3000", ("http://localhost:3000", "the host")),
        (["http://localhost:3000"], "http://[::1]:3000", ("http://localhost:3000", "the host")),
        (
            ["http://127.0.0.1:3000"],
            "https://localhost",
            ("http://127.0.0.1:3000", "the host and the scheme and the port"),
        ),
        (["http://localhost:*"], "http://127.0.0.1:5000", ("http://localhost:*", "the host")),
        (["http://127.0.0.1:1", "http://localhost:2"], "http://localhost:3", ("http://localhost:2", "the port")),
        (["http://127.0.0.2:1"], "http://localhost:1", None),
        (["moz-extension://*"], "moz-extension://x:1", None),
        ([], "https://a.com", None),
        ("*", "https://a.com", None),
        (refuses, "https://a.com", None),
    ],
    ids=lambda value: value.__qualname__ if callable(value) else str(value),
)
def test_nearest_origin(listed: Any, sent: str, nearest: tuple[str, str] | None) -> None:
    assert nearest_origin(Policy(allow_origins=listed), sent) == nearest


def test_null_is_near_to_nothing() -> None:
    policy = Policy(allow_origins=["null"], dangerously_allow_null_origin=True)
    assert nearest_origin(policy, "https://null") is None


def test_the_first_thousand_are_searched_for_the_nearest() -> None:
    policy = Policy(allow_origins=[f"https://{number:04}.com" for number in range(1001)])
    assert nearest_origin(policy, "https://0999.com:81") == ("https://0999.com", "the port")
    assert nearest_origin(policy, "https://1000.com:81") is None


@pytest.mark.parametrize(
    ("listed", "sent"),
    [
        pytest.param([f"http://localhost:{port}" for port in range(1000, 2000)], "http://localhost:9", id="ports"),
        pytest.param([f"s{n}://a.com" for n in range(1000)], "https://a.com", id="schemes"),
        pytest.param(
            [f"http://{www}a.com:{port}" for www in ("", "www.") for port in range(1000, 1500)],
            "http://a.com",
            id="www",
        ),
        pytest.param([f"http://*.a.com:{port}" for port in range(1000, 2000)], "http://b.a.com:9", id="subdomains"),
        pytest.param(
            [f"https://*.{'a.' * count}com:{port}" for count in range(50) for port in range(1000, 1020)],
            f"https://{'a.' * 60}com",
            id="labels",
        ),
        pytest.param([f"https://{n}.com" for n in range(1000)], "https://a.com", id="hosts"),
    ],
)
def test_a_refused_origin_is_compared_with_few_values(
    listed: list[str], sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger chooses the origin, so each refusal should cost little."""
    policy = Policy(allow_origins=listed)
    nearest = nearest_origin(policy, sent)  # and what is computed once is computed
    compared: list[str] = []

    def parse(text: str) -> Pattern | None:
        compared.append(text)
        return parse_pattern(text)

    monkeypatch.setattr(explain_module, "parse_pattern", parse)
    for _ in range(3):
        compared.clear()
        assert nearest_origin(policy, sent) == nearest
        assert len(compared) <= 20 * (sent.count(".") + 1)


def test_an_origin_is_explained_by_few_of_many_listed() -> None:
    """Whether it may be listed at all is checked for it alone."""
    sent = RequestFacts("GET", "https://frontend.net")
    taken: list[int] = []
    for count in (10, 2000):
        policy = Policy(allow_origins=[f"https://{number}.example.com" for number in range(count)])
        decision = negotiate(policy, sent)
        explain(policy, sent, decision)  # what is computed once is computed
        taken.append(operations(lambda: explain(policy, sent, decision)))  # noqa: B023 - called at once
    assert taken[0] == taken[1]


@given(policies(), origins())
def test_the_nearest_is_one_that_is_listed(policy: Policy, sent: str) -> None:
    found = nearest_origin(policy, sent)
    if found is not None:
        assert found[0] in listed(policy)
        assert found[1]


# ---------------------------------------------------------------------------------------
# What strangers send
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "''"),
        ("it's", '"it\'s"'),
        ("a\r\n\t\0b", r"'a\r\n\t\x00b'"),
        ("\x1b[2J\x7f\x85", r"'\x1b[2J\x7f\x85'"),
        ("\u2028\u202e\ud800\U0001f600", r"'\u2028\u202e\ud800\U0001f600'"),
        ("é", r"'\xe9'"),
        ("a" * 200, f"'{'a' * 200}'"),
        ("a" * 201, f"'{'a' * 200}...'"),
    ],
    ids=repr,
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(policies(), ANYTHING, ANYTHING, ANYTHING)
def test_what_strangers_send_is_escaped_and_shortened(policy: Policy, origin: str, method: str, names: str) -> None:
    # as much of the request is right as it takes to come to the next step
    good_origin = next((text for text in listed(policy) if "*" not in text), origin)
    good_method = next(iter(policy.methods), method)
    for facts in (
        RequestFacts("OPTIONS", origin, method, names),
        RequestFacts("OPTIONS", origin, good_method, names),
        RequestFacts("OPTIONS", good_origin, method, names),
        RequestFacts("OPTIONS", good_origin, good_method, names),
        RequestFacts("GET", origin),
    ):
        decision = negotiate(policy, facts)
        sentence = explain(policy, facts, decision)
        assert sentence.isascii()
        assert sentence.isprintable()
        assert len(sentence) <= 4000
        if decision.reason is not None:
            line = refusal_line(decision.reason, sentence)
            assert len(line) <= 1000
            assert line[:900] == f"{decision.reason.value}; {sentence}"[:900]


def test_the_line_of_a_refusal_has_at_most_a_thousand_characters() -> None:
    names = [f"X-{number:04}" for number in range(250)]
    policy = POLICY.override(allow_headers=names)
    facts = preflight(wanted="x-a")
    decision = negotiate(policy, facts)
    sentence = explain(policy, facts, decision)
    line = refusal_line(Reason.HEADERS_NOT_ALLOWED, sentence)
    assert len(line) == 1000
    assert line.startswith("headers-not-allowed; The request header 'x-a' is not in allow_headers")
    assert line.endswith("...")
    assert len(sentence) > 1000
    assert debug_header(Reason.HEADERS_NOT_ALLOWED, sentence) == ("CORS-Refused", line)


@pytest.mark.parametrize(("length", "shown"), [(979, "a" * 979), (980, "a" * 980), (981, f"{'a' * 977}...")])
def test_a_line_is_cut_only_if_it_is_longer(length: int, shown: str) -> None:
    assert refusal_line(Reason.METHOD_NOT_ALLOWED, "a" * length) == f"method-not-allowed; {shown}"


def test_a_policy_in_unicode_is_explained_in_ascii() -> None:
    failed = refuse_preflight(Reason.POLICY_INVALID, error=PolicyError([Problem("max_age", 1, "x", "é\u2028", "\x1b")]))
    sentence = explain(POLICY, preflight(), failed)
    assert sentence == (r"The policy of the view is not valid, so nothing is allowed: max_age: 1 \xe9 ; \x1b [x].")


class Unspeakable(Exception):
    """An error that fails when it is to be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


def test_an_error_that_cannot_be_shown() -> None:
    assert "Unspeakable" in describe_error(Unspeakable())


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("a\r\nb\x1b\u2028c"), r"'ValueError: a\r\nb\x1b\u2028c'"),
        (ValueError(), "'ValueError'"),
        (ValueError("a" * 300), f"'ValueError: {'a' * 188}...'"),
    ],
    ids=repr,
)
def test_an_error_is_shown_shortened_on_one_line(error: Exception, shown: str) -> None:
    assert describe_error(error) == shown


def test_a_flood_is_shown_shortened() -> None:
    facts = preflight(wanted=",".join(["x" * 30 + str(number) for number in range(100)]))
    assert len(explain(POLICY, facts, negotiate(POLICY, facts))) < 1000


# ---------------------------------------------------------------------------------------
# Debug answers
# ---------------------------------------------------------------------------------------

ACAO = ("Access-Control-Allow-Origin", ORIGIN)
ACAM = ("Access-Control-Allow-Methods", "GET, HEAD, PATCH")

DEBUG_ANSWERS: dict[str, tuple[RequestFacts, int, HeaderList]] = {
    "origin": (preflight(origin="https://other.com"), 403, (VARY,)),
    "null": (preflight(origin="null"), 403, (VARY,)),
    "malformed origin": (preflight(origin="x"), 403, (VARY,)),
    "over-long origin": (preflight(origin="x" * 321), 403, (VARY,)),
    "malformed method": (preflight("*"), 403, (VARY,)),
    "forbidden method": (preflight("TRACK"), 403, (VARY,)),
    "method": (preflight("DELETE"), 200, (ACAO, VARY)),
    # browsers let these pass even unlisted, so the status must say no
    "safelisted method": (preflight("POST"), 403, (ACAO, VARY)),
    "header": (preflight(wanted="x-a"), 200, (ACAO, ACAM, VARY)),
    "one header of two": (
        preflight(wanted="x-a,content-type"),
        200,
        (ACAO, ACAM, ("Access-Control-Allow-Headers", "content-type"), VARY),
    ),
    "malformed header": (preflight(wanted="x a"), 200, (ACAO, ACAM, VARY)),
    "over-long headers": (preflight(wanted="x" * 4097), 200, (ACAO, ACAM, VARY)),
}


@pytest.mark.parametrize(("facts", "status", "headers"), DEBUG_ANSWERS.values(), ids=DEBUG_ANSWERS)
def test_debug_answer(facts: RequestFacts, status: int, headers: HeaderList) -> None:
    decision = negotiate(POLICY, facts)
    assert decision.reason is not None
    sentence = explain(POLICY, facts, decision)
    header = ("CORS-Refused", f"{decision.reason.value}; {sentence}")
    assert debug_answer(facts, decision, sentence) == (status, (*headers, header), f"{sentence}\n")


def test_debug_answer_where_the_callable_failed() -> None:
    policy = Policy(allow_origins=broken)
    decision = negotiate(policy, preflight())
    sentence = explain(policy, preflight(), decision)
    header = ("CORS-Refused", f"origin-check-failed; {sentence}")
    assert debug_answer(preflight(), decision, sentence) == (403, (VARY, header), f"{sentence}\n")


@given(visits())
def test_a_browser_s_verdict_is_the_same_in_debug_mode(meeting: tuple[Policy, Visit]) -> None:
    policy, visit = meeting

    def answer(facts: RequestFacts, decision: Decision) -> tuple[int, HeaderList]:
        refused = decision.outcome is Outcome.PREFLIGHT_REFUSED
        return (
            debug_answer(facts, decision, explain(policy, facts, decision))[:2]
            if refused
            else as_decided(facts, decision)
        )

    assert visited(policy, visit, answer) == visited(policy, visit)


# ---------------------------------------------------------------------------------------
# Documentation
# ---------------------------------------------------------------------------------------


def test_every_reason_has_its_section_in_the_docs() -> None:
    text = (Path(__file__).parent.parent / "docs" / "refusals.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### `(.+)`$", text, re.MULTILINE)) == sorted(reason.value for reason in Reason)
