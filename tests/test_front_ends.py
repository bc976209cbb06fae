"""What docs/front-ends.md says of axios and of preview deployments."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from doc_programs import ROOT, parts, read_program, run_recipe
from pages import PAGE, VARY_PREFLIGHT, preflight

from flask_preflight import Policy, PolicyError, PreflightMiddleware
from flask_preflight.browser import Browser, CORSError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

URL = "https://backend.com/api/data"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here"]


# In the page: what axios 1.21 makes of it in Chromium, what the preflight asks for, what the policy needs.
AXIOS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "axios.get(url)": ({}, "", {}),
    "axios.post(url, new URLSearchParams(...))": (
        {"method": "POST", "body": b"n=1", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        "",
        {},
    ),
    "axios.post(url, {n: 1})": ({"method": "POST", "json": {"n": 1}}, "POST content-type", {}),
    "axios.put(...)": ({"method": "PUT", "json": {"n": 1}}, "PUT content-type", {"allow_methods": ["PUT"]}),
    "axios.patch(...)": ({"method": "PATCH", "json": {"n": 1}}, "PATCH content-type", {"allow_methods": ["PATCH"]}),
    "axios.delete(...)": ({"method": "DELETE"}, "DELETE", {"allow_methods": ["DELETE"]}),
    "headers: {Authorization: ...}": (
        {"headers": {"Authorization": "Bearer t"}},
        "GET authorization",
        {"allow_headers": [..., "Authorization"]},
    ),
    "auth: {...}": (
        {"headers": {"Authorization": "Basic YTpi"}},
        "GET authorization",
        {"allow_headers": [..., "Authorization"]},
    ),
    "withXSRFToken: true": (
        {"headers": {"X-XSRF-TOKEN": "1"}},
        "GET x-xsrf-token",
        {"allow_headers": [..., "X-XSRF-TOKEN"]},
    ),
    "withCredentials: true": ({"credentials": "include"}, "", {"allow_credentials": True}),
}
UPLOAD = "onUploadProgress"  # of XMLHttpRequest alone, so `Browser` has no word for it


def test_the_table_has_these_rows() -> None:
    table = parts((ROOT / "docs" / "front-ends.md").read_text(encoding="utf-8"))["axios"]
    cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    assert [code for cell in cells for code in re.findall("`(.+?)`", cell)] == [*AXIOS, UPLOAD]


@pytest.mark.parametrize("in_the_page", AXIOS)
def test_what_axios_asks_for_and_what_it_needs(in_the_page: str) -> None:
    arguments, asks, needed = AXIOS[in_the_page]
    policy = Policy(allow_origins=[PAGE])
    if needed:
        with pytest.raises(CORSError):
            Browser(PreflightMiddleware(app, policy), PAGE).fetch(URL, **arguments)
    browser = Browser(PreflightMiddleware(app, policy.override(**needed)), PAGE)
    assert browser.fetch(URL, **arguments).text == "here"
    asked = [exchange.request_headers for exchange in browser.exchanges if exchange.preflight]
    names = ("Access-Control-Request-Method", "Access-Control-Request-Headers")
    assert [" ".join(filter(None, map(headers.get, names))) for headers in asked] == [*filter(None, [asks])]


def test_an_upload_listener_needs_nothing_more() -> None:
    answer = preflight(PreflightMiddleware(app, Policy(allow_origins=[PAGE])), "POST", "/api/data")
    assert (answer.status, answer.cors["Vary"]) == (204, VARY_PREFLIGHT["Vary"])


OURS = [
    "https://frontend.com",
    "https://frontend-a1b2c3d4e-myteam.vercel.app",
    "https://frontend-git-newlogo-myteam.vercel.app",
    "https://frontend-x-myteam.vercel.app",  # the danger that the page names
]
OTHERS = [
    "http://frontend-a1b2c3d4e-myteam.vercel.app",
    "https://frontend-a1b2c3d4e-yourteam.vercel.app",
    "https://evil.frontend-a1b2c3d4e-myteam.vercel.app",
    "https://frontend-a1b2c3d4e-myteam.vercel.app.evil.com",
    "https://frontend-a1b2c3d4e-myteamXvercel.app",
    "https://frontend-a1b2c3d4e-myteam.vercel.app:8443",
    "https://frontend.com.evil.com",
]


def test_which_preview_deployments_the_function_allows(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    recipe = read_program("front-ends.md", "Vite and React", "Vercel and other preview deployments")
    driver = (
        f"import json\nfrom recipe import is_ours\nprint(json.dumps([is_ours(it, {{}}) for it in {OURS + OTHERS}]))"
    )
    result = run_recipe(recipe, driver, tmp_path, pytestconfig)
    assert json.loads(result.stdout) == len(OURS) * [True] + len(OTHERS) * [False]


@pytest.mark.parametrize("host", ["vercel.app", "netlify.app", "pages.dev"])
def test_a_pattern_over_everybodys_deployments_is_refused_with_credentials(host: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy(allow_origins=[f"https://*.{host}"], allow_credentials=True)
    assert [problem.id for problem in caught.value.problems] == ["public-suffix-with-credentials"]
