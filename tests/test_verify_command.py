"""``verify`` finds each planted hole, says where it is, and finds nothing in an app without one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from runpy import run_path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from flask import Flask, Response, current_app, request
from flask.views import MethodView
from flask_cors import CORS, cross_origin
from werkzeug.local import LocalProxy

from flask_preflight import Policy, PolicyError, Preflight, PreflightMiddleware, by_path, cors_exempt, cors_route
from flask_preflight.commands.near_misses import hints_of, near_misses
from flask_preflight.commands.output import Finding
from flask_preflight.commands.targets import target_of
from flask_preflight.commands.verify import Verified, problem_findings, text_of, verify
from flask_preflight.documentation import link

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "app.py"

PAGE = "https://app.example.com"
HERE = Path(__file__)


def app_with(**changes: Any) -> Flask:
    app = Flask(__name__, static_folder=None)
    fields: dict[str, Any] = {"allow_origins": [PAGE], **changes}
    Preflight(app, **fields)
    app.add_url_rule("/data", "data", lambda: "", methods=["GET", "PUT"])
    return app


def checked_by(allowed: Callable[[str, Any], bool]) -> Flask:
    return app_with(allow_origins=allowed)


def prefix(origin: str, environ: Any) -> bool:
    return origin.startswith("https://app.example.com")


def suffix(origin: str, environ: Any) -> bool:
    return origin.endswith("example.com")


def substring(origin: str, environ: Any) -> bool:
    return "app.example.com" in origin


def dots(origin: str, environ: Any) -> bool:
    return re.fullmatch("https://app.example.com", origin) is not None


def unanchored(origin: str, environ: Any) -> bool:
    return re.match(r"https://app\.example\.com", origin) is not None


def schemeless(origin: str, environ: Any) -> bool:
    return origin.partition("://")[2] == "app.example.com"


def portless(origin: str, environ: Any) -> bool:
    return origin.rpartition(":")[0] == PAGE or origin == PAGE


def everybody(origin: str, environ: Any) -> bool:
    return True


class Closed:
    """Looks for what it was given."""

    def __init__(self, host: str) -> None:
        self.host = host

    def __call__(self, origin: str, environ: Any) -> bool:
        return "app.example.com" in origin


def closing_over(host: str) -> Callable[[str, Any], bool]:
    return lambda origin, environ: host in origin


def lost() -> Flask:
    app = app_with()

    @cors_route(max_age=5)
    def never() -> str:
        return ""

    app.extensions["kept"] = never  # a mark goes with its function
    return app


def with_after_request() -> Flask:
    app = app_with()

    @app.after_request
    def add(response: Response) -> Response:
        response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
        return response

    return app


def with_flask_cors() -> Flask:
    app = app_with()
    CORS(app)
    return app


def with_outer_library() -> Flask:
    app = app_with()
    inner = app.wsgi_app

    def outer(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, [*headers, ("Access-Control-Allow-Origin", "*")], exc_info)

        return inner(environ, start)

    app.wsgi_app = outer  # type: ignore[method-assign]
    return app


def single_page_with_flask_cors() -> Flask:
    app = with_flask_cors()
    app.add_url_rule("/<path:path>", "page", lambda path: "")
    return app


def single_page_with_outer_library() -> Flask:
    app = with_outer_library()
    app.add_url_rule("/<path:path>", "page", lambda path: "", methods=["GET", "POST", "PUT"])
    return app


def exempt_with_flask_cors() -> Flask:
    app = app_with()
    app.add_url_rule("/hook", "hook", cors_exempt(cross_origin()(lambda: "")), methods=["POST"])
    return app


def view_with_cookies_for_subdomains() -> Flask:
    app = app_with()

    class Data(MethodView):
        @cors_route(allow_origins=["https://*.example.com"], allow_credentials=True)
        def put(self) -> str:
            return ""

    app.add_url_rule("/class", view_func=Data.as_view("class"))
    return app


class Hole(NamedTuple):
    app: Callable[[], Flask]
    id: str
    level: str = "warning"


HOLES = {
    # What is listed
    "cookies-for-subdomains": Hole(
        lambda: app_with(allow_origins=["https://*.example.com"], allow_credentials=True), "credentials-for-subdomains"
    ),
    "cookies-for-subdomains-of-a-method": Hole(view_with_cookies_for_subdomains, "credentials-for-subdomains"),
    "http": Hole(lambda: app_with(allow_origins=[PAGE, "http://old.example.com"]), "insecure-origin"),
    "localhost": Hole(lambda: app_with(allow_origins=[PAGE, "http://localhost:3000"]), "localhost-in-production"),
    "any-port-of-localhost": Hole(lambda: app_with(allow_origins=["http://127.0.0.1:*"]), "localhost-in-production"),
    "any-header": Hole(lambda: app_with(allow_headers=["*", "Authorization"]), "any-header-and-authorization"),
    "max-age": Hole(lambda: app_with(allow_credentials=True, max_age=86400), "long-max-age"),
    "insecure": Hole(lambda: app_with(dangerously_allow_insecure_origins=True), "dangerous-flag"),
    "suffixes": Hole(lambda: app_with(dangerously_allow_public_suffix_subdomains=True), "dangerous-flag"),
    "null": Hole(
        lambda: app_with(allow_origins=["null"], dangerously_allow_null_origin=True),
        "dangerous-flag",
    ),
    "nobody": Hole(lambda: app_with(allow_origins=[]), "no-origin-allowed"),
    # Callables
    "everybody": Hole(lambda: checked_by(everybody), "stranger-allowed", "error"),
    "prefix": Hole(lambda: checked_by(prefix), "stranger-allowed", "error"),
    "suffix": Hole(lambda: checked_by(suffix), "stranger-allowed", "error"),
    "substring": Hole(lambda: checked_by(substring), "stranger-allowed", "error"),
    "dots": Hole(lambda: checked_by(dots), "stranger-allowed", "error"),
    "unanchored": Hole(lambda: checked_by(unanchored), "stranger-allowed", "error"),
    "schemeless": Hole(lambda: checked_by(schemeless), "stranger-allowed", "error"),
    "portless": Hole(lambda: checked_by(portless), "stranger-allowed", "error"),
    "closure": Hole(lambda: checked_by(closing_over("app.example.com")), "stranger-allowed", "error"),
    "object": Hole(lambda: checked_by(Closed("app.example.com")), "stranger-allowed", "error"),
    # Others
    "mark": Hole(lost, "mark-not-reached"),
    "after-request": Hole(with_after_request, "second-cors-library"),
    "flask-cors": Hole(with_flask_cors, "second-cors-library"),
    "outer-library": Hole(with_outer_library, "second-cors-library"),
    "single-page-flask-cors": Hole(single_page_with_flask_cors, "second-cors-library"),
    "single-page-outer-library": Hole(single_page_with_outer_library, "second-cors-library"),
    "exempt": Hole(exempt_with_flask_cors, "exempt-sends-cors"),
}


@pytest.mark.parametrize("hole", HOLES.values(), ids=HOLES)
def test_a_hole_is_found(hole: Hole) -> None:
    found = verify(target_of(hole.app(), "the app")).findings
    assert {(finding.id, finding.level) for finding in found} == {(hole.id, hole.level)}
    assert all(finding.where and finding.help.endswith(f"#{finding.id}") for finding in found)


@pytest.mark.parametrize("name", ["cookies-for-subdomains", "http", "any-header", "max-age", "everybody"])
def test_a_finding_names_file_and_line(name: str) -> None:
    (finding,) = verify(target_of(HOLES[name].app(), "the app")).findings
    file, _, line = finding.where.rpartition(":")
    assert HERE.name in file
    assert "Preflight(" in HERE.read_text(encoding="utf-8").splitlines()[int(line) - 1]


def exact(origin: str, environ: Any) -> bool:
    return origin in {PAGE, "https://shop.example.com"}


def of_own_domain(origin: str, environ: Any) -> bool:
    return origin == "https://example.com" or (origin.startswith("https://") and origin.endswith(".example.com"))


CLEAN: dict[str, Callable[[], Any]] = {
    "one-origin": app_with,
    "subdomains-without-cookies": lambda: app_with(allow_origins=["https://*.example.com"]),
    "cookies": lambda: app_with(allow_credentials=True),
    "public": lambda: app_with(allow_origins="*"),
    "callable": lambda: checked_by(exact),
    "callable-for-subdomains": lambda: checked_by(of_own_domain),
    "middleware": lambda: PreflightMiddleware(lambda environ, start: [], Policy(allow_origins=[PAGE])),
    "paths": lambda: PreflightMiddleware(lambda environ, start: [], by_path({"/a": Policy(allow_origins=[PAGE])})),
    "policy": lambda: Policy(allow_origins=[PAGE]),
    "example": lambda: run_path(str(EXAMPLE))["create_app"](),
}


@pytest.mark.parametrize("make", CLEAN.values(), ids=CLEAN)
def test_nothing_is_found_in_an_app_without_holes(make: Callable[[], Any]) -> None:
    found = verify(target_of(make(), "the app"))
    assert found.findings == []
    assert found.views > 0


def test_localhost_is_no_risk_in_debug_mode() -> None:
    app = app_with(allow_origins=["http://localhost:3000"])
    app.debug = True
    assert verify(target_of(app, "the app")).findings == []


@pytest.mark.parametrize("is_in_code", [True, False])
def test_what_concerns_the_app_is_at_its_policy(is_in_code: bool) -> None:
    """So that an annotation stands beside it; or at the module, if the configuration has the policy."""
    app = Flask(__name__, static_folder=None)
    app.config["PREFLIGHT_ALLOW_ORIGINS"] = PAGE
    if is_in_code:
        Preflight(app, allow_origins=[PAGE])
    else:
        Preflight(app)
    app.after_request(lambda response: response.headers.set("Access-Control-Allow-Origin", "*") or response)
    (finding,) = [found for found in verify(target_of(app, "the app")).findings if found.id == "second-cors-library"]
    assert HERE.stem in finding.where
    assert (HERE.name in finding.where) == is_in_code


def test_problems_are_findings() -> None:
    app = app_with(allow_credentials=True)
    app.add_url_rule("/x", "x", cors_route(allow_origins="*")(lambda: ""))
    with pytest.raises(PolicyError) as raised:
        target_of(app, "the app")
    (finding,) = problem_findings(raised.value)
    assert (finding.level, finding.help) == ("error", link("problems", finding.id))
    assert HERE.name in finding.where
    assert finding.id not in finding.message


def test_after_problems_it_says_that_nothing_else_was_checked() -> None:
    problem = Finding("bare-string", "error", "app.py:1", "wrong")
    lines = [*text_of(Verified([problem], 0, 0))]
    assert lines[2:] == [
        "The policies are not valid, so nothing else was checked. Run it again after the change.",
        "1 error, 0 warnings.",
    ]
    assert [*text_of(Verified([], 0, 0))] == ["0 errors, 0 warnings."]


@pytest.mark.parametrize(
    ("allowed", "hosts"),
    [
        (prefix, ["app.example.com"]),
        (unanchored, ["app.example.com"]),
        (exact, ["app.example.com", "shop.example.com"]),
        (closing_over("a.example"), ["a.example"]),
        (everybody, []),
        (print, []),
    ],
)
def test_hosts_in_a_callable(allowed: Any, hosts: list[str]) -> None:
    assert sorted(hints_of(allowed).hosts) == hosts


# Each allows https://stranger-acme.test, and knows its host in another way.
def ends(end: str, origin: str, environ: Any) -> bool:
    return origin.endswith(end)


def helper(origin: str) -> bool:
    return origin.endswith("acme.test")


def by_helper(origin: str, environ: Any) -> bool:
    return helper(origin)


def with_default(origin: str, environ: Any, end: str = "acme.test") -> bool:
    return origin.endswith(end)


def with_keyword(origin: str, environ: Any, *, end: str = "acme.test") -> bool:
    return origin.endswith(end)


SETTINGS: dict[str, Any] = {"cors": {"hosts": ["acme.test"]}}
EXPRESSION = re.compile(r"https://.*acme\.test")


def by_setting(origin: str, environ: Any) -> bool:
    return origin.endswith(SETTINGS["cors"]["hosts"][0])


def by_expression(origin: str, environ: Any) -> bool:
    return EXPRESSION.fullmatch(origin) is not None


class Settings:
    END = "acme.test"


def by_class(origin: str, environ: Any) -> bool:
    return origin.endswith(Settings.END)


class Ends:
    def __init__(self) -> None:
        self.end = "acme.test"

    def __call__(self, origin: str, environ: Any) -> bool:
        return origin.endswith(self.end)

    def method(self, origin: str, environ: Any) -> bool:
        return origin.endswith(self.end)


class Calls:
    def __call__(self, origin: str, environ: Any) -> bool:
        return origin.endswith("acme.test")


def unnamed() -> Callable[[str, Any], bool]:
    return lambda origin, environ: origin.endswith(end)


end = "acme.test"


@wraps(by_helper)
def wrapping(origin: str, environ: Any) -> bool:
    return by_helper(origin, environ)


def of_path(origin: str, environ: Any) -> bool:
    return environ["PATH_INFO"] == "/data" and origin.endswith("acme.test")


def of_config(origin: str, environ: Any) -> bool:
    return origin.endswith(current_app.config["ENDS"]) and origin != "acme.test"


LOOSE = (
    *(partial(ends, "acme.test"), partial(partial(ends), "acme.test"), by_helper, with_default, with_keyword),
    *(by_setting, by_expression, by_class, Ends(), Ends().method, Calls(), unnamed(), wrapping, of_path, of_config),
)


@pytest.mark.parametrize("allowed", LOOSE, ids=lambda allowed: getattr(allowed, "__qualname__", repr(type(allowed))))
def test_the_host_is_found_wherever_a_callable_has_it(allowed: Any) -> None:
    app = app_with(allow_origins=allowed)
    app.config["ENDS"] = "acme.test"
    (finding,) = verify(target_of(app, "the app")).findings
    assert finding.id == "stranger-allowed"


def test_the_hosts_that_libraries_know_do_not_count() -> None:
    def allowed(origin: str, environ: Any) -> bool:
        return urlsplit(origin).hostname == "acme.test"

    assert hints_of(allowed).hosts == ["acme.test"]


def test_no_view_is_asked_for_the_headers_of_other_libraries() -> None:
    app = with_flask_cors()
    app.add_url_rule("/<path:path>", "page", lambda path: str(1 / 0), methods=["GET", "POST", "PUT", "PURGE"])
    assert verify(target_of(app, "the app")).findings == []


def test_what_a_callable_can_reach_is_bounded_and_never_runs() -> None:
    class Proud:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    ring: list[Any] = [Proud(), print, re, {"a": LocalProxy(lambda: 1 / 0)}]
    ring += [ring, "a" * 10**6, [[f"a{number}.test"] for number in range(10_000)]]

    def allowed(origin: str, environ: Any) -> bool:
        return origin in ring

    def unfilled() -> Any:
        def inner(origin: str, environ: Any) -> bool:
            return later == origin

        found = hints_of(inner)
        later = ""
        return found

    assert len(hints_of(allowed).hosts) == 20
    assert unfilled() == ([], [])


# A callable that compares whole origins lets no stranger in, whatever else stands in its list.
LISTS = {
    "both-schemes": {"https://acme.test", "http://acme.test"},
    "local": {"http://localhost", "http://localhost:3000", "http://127.0.0.1"},
    "ports": {"https://acme.test", "https://acme.test:1", "https://acme.test:8443"},
    "many": {f"https://{start}{number}.acme.test" for number in range(100) for start in ("", "a")},
    "others": {"https://github.com", "https://codepen.io"},
}


@pytest.mark.parametrize("listed", LISTS.values(), ids=LISTS)
def test_a_callable_with_a_list_of_origins_has_no_finding(listed: set[str]) -> None:
    def allowed(origin: str, environ: Any) -> bool:
        return origin in listed

    assert verify(target_of(checked_by(allowed), "the app")).findings == []


def test_a_callable_that_raises_was_not_checked() -> None:
    def by_header(origin: str, environ: Any) -> bool:
        return environ["HTTP_X_TENANT"] in origin

    (finding,) = verify(target_of(checked_by(by_header), "the app")).findings
    assert (finding.id, finding.level) == ("callable-not-checked", "warning")
    assert "raised \"KeyError: 'HTTP_X_TENANT'\", so it was not checked" in finding.message


def test_a_callable_may_look_at_the_client() -> None:
    assert verify(target_of(checked_by(lambda origin, environ: environ["REMOTE_ADDR"] == origin), "it")).findings == []


def test_risks_of_many_http_origins() -> None:
    found = verify(target_of(app_with(allow_origins=[f"http://a{number}.test" for number in range(20_000)]), "the app"))
    assert found.findings == []


def test_near_misses_are_other_origins() -> None:
    misses = [*near_misses("https://app.example.com:8443")]
    assert "https://app.example.com:8443" not in misses
    assert len(set(misses)) == len(misses) > 20
    assert [*near_misses("null")] == []


def test_each_id_has_a_section_in_the_docs() -> None:
    page = (HERE.parent.parent / "docs" / "commands" / "verify.md").read_text(encoding="utf-8")
    ids = {hole.id for hole in HOLES.values()} | {"variable-not-read", "variable-replaced", "callable-not-checked"}
    assert set(re.findall(r"^### ([a-z-]+)$", page, re.MULTILINE)) == ids
