"""CORS cases as data: what a page fetches, what the server answers, what must come of it.

One case serves the model (``test_browser.py``) and the real engines (``test_real_browsers.py``). The page is on origin
A; B is another port of the same host, C another host on B's port. ``{A}`` and so on in a header's value stand for
the origin, ``{goal}`` for the path that redirects lead to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from flask_preflight.browser import Browser, CORSError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Where = Literal["A", "B", "C"]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: Pairs = ()


@dataclass(frozen=True)
class Fetch:
    method: str = "GET"
    headers: Pairs = ()
    credentials: Literal["omit", "same-origin", "include"] = "omit"
    body: str | None = None
    redirect: Literal["follow", "error", "manual"] = "follow"
    where: Where = "B"
    fragment: str = ""

    @property
    def is_simple(self) -> bool:
        """Whether it surely needs no preflight."""
        return self.method in ("GET", "HEAD", "POST") and not self.headers


@dataclass(frozen=True)
class Case:
    id: str
    fetches: tuple[Fetch, ...]
    answers: Mapping[str, Answer]
    """By what is asked: "preflight", "actual", "goal preflight", "goal"."""
    opaque: bool = False
    """Whether the page is a sandboxed frame."""
    expected: tuple[str, ...] = ()
    """As :func:`summary` writes it, one for each fetch; empty: whatever the model says."""


@dataclass(frozen=True)
class Outcome:
    """What came of one fetch."""

    status: int | None
    """``None``: the script got nothing."""
    type: str = ""
    redirected: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the script could read of what the case's server sends on purpose."""
    requests: tuple[str, ...] = ()
    """What reached the server."""
    console: str = ""
    """What the engine's console said, or what the model says that it would say."""


# Servers and proxies add headers of their own; only these are compared.
WATCHED = {"content-language", "etag", "set-cookie", "x-other", "x-total"}


def watched(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if name.lower() in WATCHED}


def summary(outcome: Outcome) -> str:
    """As in "200 sees x-total [OPTIONS PUT]"."""
    readable = "fails" if outcome.status is None else str(outcome.status)
    sees = f" sees {'+'.join(sorted(outcome.headers))}" if outcome.headers else ""
    return f"{readable}{sees} [{' '.join(outcome.requests)}]"


class Server:
    """The WSGI app behind A, B and C: answers what the case in the URL says, and remembers who asked."""

    def __init__(self, origins: Mapping[str, str]) -> None:
        self.origins = origins
        self.cases: dict[str, Case] = {}
        self.log: dict[str, list[str]] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        _, case_id, *rest = environ["PATH_INFO"].split("/")
        asked = "preflight" if "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ else "actual"
        if rest:
            asked = "goal" if asked == "actual" else "goal preflight"
        cookie = "+cookie" if f"c-{case_id}=" in environ.get("HTTP_COOKIE", "") else ""
        self.log.setdefault(case_id, []).append(environ["REQUEST_METHOD"] + cookie)
        answer = self.cases[case_id].answers.get(asked, Answer())
        names = {**self.origins, "goal": f"/{case_id}/goal", "cookie": f"c-{case_id}=1; Path=/{case_id}"}
        headers = [(name, value.format_map(names)) for name, value in answer.headers]
        bodiless = answer.status in (204, 205, 304)
        if not bodiless:
            headers.append(("Content-Length", "2"))
        start_response(f"{answer.status} Said", [("Cache-Control", "no-store"), *headers])
        return [] if bodiless or environ["REQUEST_METHOD"] == "HEAD" else [b"ok"]

    def take_log(self, case_id: str) -> tuple[str, ...]:
        return tuple(self.log.pop(case_id, ()))


def url_of(case: Case, fetch: Fetch, origins: Mapping[str, str]) -> str:
    return f"{origins[fetch.where]}/{case.id}{fetch.fragment}"


def run_in_model(case: Case, origins: Mapping[str, str], engine: str = "Chromium") -> list[Outcome]:
    """What the model makes of *case*, with the sentences of *engine*'s console."""
    server = Server(origins)
    server.cases[case.id] = case
    origin = "null" if case.opaque else origins["A"]
    browser = Browser(dict.fromkeys(origins.values(), server), origin)
    return [_fetch_in_model(browser, server, case, fetch, engine) for fetch in case.fetches]


def _fetch_in_model(browser: Browser, server: Server, case: Case, fetch: Fetch, engine: str) -> Outcome:
    outcome = fetched(browser, fetch, url_of(case, fetch, server.origins), engine)
    return replace(outcome, requests=server.take_log(case.id))


def fetched(browser: Browser, fetch: Fetch, url: str, engine: str = "Chromium") -> Outcome:
    """What the model makes of one fetch."""
    arguments: dict[str, Any] = {
        name: getattr(fetch, name) for name in ("method", "headers", "credentials", "body", "redirect")
    }
    try:
        response = browser.fetch(url, **arguments)
    except CORSError as error:
        return Outcome(None, console=error.console.get(engine, ""))
    return Outcome(response.status, response.type, response.redirected, watched(response.headers))


# ---------------------------------------------------------------------------------------
# What was measured in Chromium, Firefox and WebKit before the model was written
# ---------------------------------------------------------------------------------------

ORIGIN = ("Access-Control-Allow-Origin", "{A}")
ANY = ("Access-Control-Allow-Origin", "*")
NULL = ("Access-Control-Allow-Origin", "null")
CREDENTIALS = ("Access-Control-Allow-Credentials", "true")
AUTHORIZATION = (("Authorization", "Bearer t"),)
X_A = (("X-A", "1"),)


def methods(value: str) -> tuple[str, str]:
    return ("Access-Control-Allow-Methods", value)


def names(value: str) -> tuple[str, str]:
    return ("Access-Control-Allow-Headers", value)


def max_age(value: str) -> tuple[str, str]:
    return ("Access-Control-Max-Age", value)


def expose(value: str) -> tuple[str, str]:
    return ("Access-Control-Expose-Headers", value)


def preflighted(name: str, expected: str, fetch: Fetch, *granted: tuple[str, str], status: int = 204) -> Case:
    """One fetch; the actual answer is as permissive as can be."""
    actual = Answer(200, (ORIGIN, CREDENTIALS))
    return Case(name, (fetch,), {"preflight": Answer(status, granted), "actual": actual}, expected=(expected,))


def simple(name: str, expected: str, *headers: tuple[str, str], status: int = 200, **fetch: Any) -> Case:
    """One fetch that needs no preflight."""
    return Case(name, (Fetch(**fetch),), {"actual": Answer(status, headers)}, expected=(expected,))


def framed(name: str, expected: str, *headers: tuple[str, str], **fetch: Any) -> Case:
    """The same from a sandboxed frame."""
    answers = {"actual": Answer(200, headers), "preflight": Answer(204, (*headers, names("X-A")))}
    return Case(name, (Fetch(**fetch),), answers, opaque=True, expected=(expected,))


def cached(name: str, expected: str, *lines: tuple[str, str], then: Fetch | None = None) -> Case:
    """PUT twice, or PUT and *then* something else."""
    put = Fetch("PUT")
    answers = {"preflight": Answer(204, (ORIGIN, methods("PUT"), *lines)), "actual": Answer(200, (ORIGIN,))}
    return Case(name, (put, then or put), answers, expected=("200 [OPTIONS PUT]", expected))


def cached_with_credentials(name: str, expected: str, first: Fetch, then: Fetch, *lines: tuple[str, str]) -> Case:
    """Two requests with credentials."""
    answers = {"preflight": Answer(204, (ORIGIN, CREDENTIALS, *lines)), "actual": Answer(200, (ORIGIN, CREDENTIALS))}
    fetches = (replace(first, credentials="include"), replace(then, credentials="include"))
    return Case(name, fetches, answers, expected=(f"200 [OPTIONS {first.method}]", expected))


def redirected(name: str, expected: str, fetch: Fetch, status: int, location: str, *goal: tuple[str, str]) -> Case:
    """A redirect that itself is as permissive as can be, *goal* being the headers behind it."""
    granted = (ORIGIN, CREDENTIALS, methods("PUT"), names("x-a,authorization"))
    answers = {
        "preflight": Answer(204, granted),
        "actual": Answer(status, (ORIGIN, CREDENTIALS, ("Location", location))),
        "goal preflight": Answer(204, (*goal, methods("PUT"), names("x-a,authorization"))),
        "goal": Answer(200, goal),
    }
    return Case(name, (fetch,), answers, expected=(expected,))


PUT_JSON = Fetch("PUT", (*AUTHORIZATION, ("Content-Type", "application/json")), body="{}")
PUT = Fetch("PUT")
INCLUDE = "include"
EXPOSABLE = (("X-Total", "1"), ("X-Other", "2"), ("Content-Language", "en"))

MEASURED = [
    preflighted(
        "put_json_auth_allowed",
        "200 [OPTIONS PUT]",
        PUT_JSON,
        ORIGIN,
        methods("PUT"),
        names("authorization,content-type"),
    ),
    preflighted(
        "put_json_auth_not_allowed", "fails [OPTIONS]", PUT_JSON, ORIGIN, methods("PUT"), names("content-type")
    ),
    preflighted(
        "acah_star_and_authorization_named",
        "200 [OPTIONS PUT]",
        PUT_JSON,
        ORIGIN,
        methods("PUT"),
        names("*, Authorization"),
    ),
    preflighted("acah_star_custom_header", "200 [OPTIONS GET]", Fetch(headers=X_A), ORIGIN, names("*")),
    preflighted(
        "acah_star_credentials_include",
        "fails [OPTIONS]",
        Fetch(headers=X_A, credentials="include"),
        ORIGIN,
        CREDENTIALS,
        names("*"),
    ),
    preflighted("acah_other_case", "200 [OPTIONS GET]", Fetch(headers=X_A), ORIGIN, names("X-a")),
    preflighted(
        "acah_on_two_lines",
        "200 [OPTIONS GET]",
        Fetch(headers=(*X_A, ("X-B", "1"))),
        ORIGIN,
        names("X-A"),
        names("X-B"),
    ),
    preflighted("acah_empty_elements", "200 [OPTIONS GET]", Fetch(headers=X_A), ORIGIN, names(",, \tX-A\t ,,")),
    preflighted("acah_space_separated", "fails [OPTIONS]", Fetch(headers=X_A), ORIGIN, names("X-A X-B")),
    preflighted("acah_one_bad_token_beside", "fails [OPTIONS]", Fetch(headers=X_A), ORIGIN, names("X-A, b@d token")),
    preflighted("patch_lower_sent_PATCH_allowed", "fails [OPTIONS]", Fetch("patch"), ORIGIN, methods("PATCH")),
    preflighted("PATCH_sent_PATCH_allowed", "200 [OPTIONS PATCH]", Fetch("PATCH"), ORIGIN, methods("PATCH")),
    preflighted("patch_lower_sent_patch_allowed", "200 [OPTIONS patch]", Fetch("patch"), ORIGIN, methods("patch")),
    preflighted("PATCH_sent_patch_allowed", "fails [OPTIONS]", Fetch("PATCH"), ORIGIN, methods("patch")),
    preflighted("put_lower_sent_PUT_allowed", "200 [OPTIONS PUT]", Fetch("put"), ORIGIN, methods("PUT")),
    preflighted("PUT_sent_put_allowed", "fails [OPTIONS]", PUT, ORIGIN, methods("put")),
    preflighted("acam_star", "200 [OPTIONS PUT]", PUT, ORIGIN, methods("*")),
    preflighted(
        "acam_star_credentials_include",
        "fails [OPTIONS]",
        Fetch("PUT", credentials="include"),
        ORIGIN,
        CREDENTIALS,
        methods("*"),
    ),
    preflighted("acam_missing_for_PUT", "fails [OPTIONS]", PUT, ORIGIN),
    preflighted("acam_missing_for_POST", "200 [OPTIONS POST]", Fetch("POST", X_A), ORIGIN, names("X-A")),
    preflighted(
        "acam_only_GET_for_POST", "200 [OPTIONS POST]", Fetch("POST", X_A), ORIGIN, names("X-A"), methods("GET")
    ),
    simple("acao_exact", "200 [GET]", ORIGIN),
    simple("acao_none", "fails [GET]"),
    simple("acao_star_omit", "200 [GET]", ANY),
    simple("acao_star_include", "fails [GET]", ANY, credentials="include"),
    simple("acao_star_include_with_acac", "fails [GET]", ANY, CREDENTIALS, credentials="include"),
    simple("acao_exact_include_no_acac", "fails [GET]", ORIGIN, credentials="include"),
    simple("acao_exact_include_acac_true", "200 [GET]", ORIGIN, CREDENTIALS, credentials="include"),
    simple(
        "acao_exact_include_acac_True",
        "fails [GET]",
        ORIGIN,
        ("Access-Control-Allow-Credentials", "True"),
        credentials="include",
    ),
    simple("acao_twice_same", "fails [GET]", ORIGIN, ORIGIN),
    simple("acao_twice_star", "fails [GET]", ANY, ANY),
    simple("acao_comma_list", "fails [GET]", ("Access-Control-Allow-Origin", "{A}, http://other.example")),
    simple("acao_trailing_slash", "fails [GET]", ("Access-Control-Allow-Origin", "{A}/")),
    simple("acao_scheme_upper_case", "fails [GET]", ("Access-Control-Allow-Origin", "HTTP://127.0.0.1")),
    simple("acao_other_port", "fails [GET]", ("Access-Control-Allow-Origin", "{B}")),
    simple("acao_spaces_around", "200 [GET]", ("Access-Control-Allow-Origin", " \t {A} \t")),
    simple("acao_null_for_page", "fails [GET]", NULL),
    Case(
        "preflight_ok_actual_without_acao",
        (PUT,),
        {"preflight": Answer(204, (ORIGIN, methods("PUT")))},
        expected=("fails [OPTIONS PUT]",),
    ),
    preflighted("preflight_without_acao_actual_with", "fails [OPTIONS]", PUT, methods("PUT")),
    preflighted(
        "preflight_include_no_acac_actual_acac",
        "fails [OPTIONS]",
        Fetch("PUT", credentials="include"),
        ORIGIN,
        methods("PUT"),
    ),
    framed("null_sandbox_acao_null", "200 [GET]", NULL),
    framed("null_sandbox_acao_page", "fails [GET]", ORIGIN),
    framed("null_sandbox_acao_star", "200 [GET]", ANY),
    framed("null_sandbox_acao_NULL", "fails [GET]", ("Access-Control-Allow-Origin", "NULL")),
    framed("null_sandbox_include_acac", "200 [GET]", NULL, CREDENTIALS, credentials="include"),
    framed("null_sandbox_preflight", "200 [OPTIONS GET]", NULL, headers=X_A),
    *(
        preflighted(f"preflight_status_{status}", expected, PUT, ORIGIN, methods("PUT"), status=status)
        for statuses, expected in [
            ((200, 201, 204, 299), "200 [OPTIONS PUT]"),
            ((301, 304, 307, 401, 404, 405, 500), "fails [OPTIONS]"),
        ]
        for status in statuses
    ),
    cached("max_age_600", "200 [PUT]", max_age("600")),
    cached("max_age_absent", "200 [PUT]"),
    cached("max_age_0", "200 [OPTIONS PUT]", max_age("0")),
    cached("max_age_600_other_header", "fails [OPTIONS]", max_age("600"), then=Fetch("PUT", X_A)),
    cached("max_age_600_other_fragment", "200 [OPTIONS PUT]", max_age("600"), then=Fetch("PUT", fragment="#a")),
    cached_with_credentials(
        "cached_star_covers_no_method", "fails [OPTIONS]", PUT, Fetch("DELETE"), methods("PUT, *"), max_age("600")
    ),
    cached_with_credentials(
        "cached_star_covers_no_header",
        "fails [OPTIONS]",
        Fetch(headers=X_A),
        Fetch(headers=(("X-B", "1"),)),
        names("X-A, *"),
        max_age("600"),
    ),
    simple("expose_none", "200 sees content-language [GET]", ORIGIN, *EXPOSABLE),
    simple("expose_one", "200 sees content-language+x-total [GET]", ORIGIN, *EXPOSABLE, expose("X-Total")),
    simple("expose_star", "200 sees content-language+x-other+x-total [GET]", ORIGIN, *EXPOSABLE, expose("*")),
    simple(
        "expose_list", "200 sees content-language+x-other+x-total [GET]", ORIGIN, *EXPOSABLE, expose("x-total,X-OTHER")
    ),
    simple(
        "expose_star_credentials_include",
        "200 sees content-language [GET]",
        ORIGIN,
        CREDENTIALS,
        *EXPOSABLE,
        expose("*"),
        credentials="include",
    ),
    simple("expose_set_cookie", "200 [GET]", ORIGIN, ("Set-Cookie", "a=b"), expose("Set-Cookie")),
    simple("error_500_with_cors", "500 [GET]", ORIGIN, status=500),
    simple("error_500_without_cors", "fails [GET]", status=500),
    simple("simple_post_unanswered", "fails [POST]", method="POST", body="x"),
    redirected("redirect_same_origin", "200 [GET GET]", Fetch(), 302, "{goal}", ORIGIN),
    redirected("redirect_same_origin_after_preflight", "200 [OPTIONS PUT OPTIONS PUT]", PUT, 307, "{goal}", ORIGIN),
    redirected("redirect_other_origin_acao_exact", "fails [GET GET]", Fetch(), 302, "{C}{goal}", ORIGIN),
    redirected("redirect_other_origin_acao_null", "200 [GET GET]", Fetch(), 302, "{C}{goal}", NULL),
    simple("range_header_simple", "200 [GET]", ORIGIN, headers=(("Range", "bytes=0-1"),)),
    preflighted("accept_header_odd_value", "fails [OPTIONS]", Fetch(headers=(("Accept", "a(b"),)), ORIGIN),
    preflighted(
        "content_type_json_only",
        "200 [OPTIONS POST]",
        Fetch("POST", (("Content-Type", "application/json"),), body="{}"),
        ORIGIN,
        names("content-type"),
    ),
    Case(
        "cookie_same_site",
        (Fetch(credentials="include"), Fetch(credentials="include"), Fetch("PUT", credentials="include")),
        {
            "preflight": Answer(204, (ORIGIN, CREDENTIALS, methods("PUT"))),
            "actual": Answer(200, (ORIGIN, CREDENTIALS, ("Set-Cookie", "{cookie}"))),
        },
        expected=("200 [GET]", "200 [GET+cookie]", "200 [OPTIONS PUT+cookie]"),
    ),
]
