"""The example apps, driven whole by WebTest, whose lint stands before them at each request."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from pages import PAGE, STRANGER, VARY, VARY_PREFLIGHT, granted, readable, without_line_numbers
from webtest import TestApp, TestResponse

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"

TOKEN = {"Authorization": "Bearer token"}


@pytest.fixture(scope="module")
def create_app() -> Callable[..., Flask]:
    made: Callable[..., Flask] = runpy.run_path(str(EXAMPLES / "app.py"))["create_app"]
    return made


@pytest.fixture
def web(create_app: Callable[..., Flask]) -> Any:
    return TestApp(create_app(), lint=True)


@pytest.fixture
def debugged(create_app: Callable[..., Flask]) -> Any:
    app = create_app()
    app.debug = True
    return TestApp(app, lint=True)


def asking(method: str, *wanted: str, origin: str = PAGE) -> dict[str, str]:
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    return {**headers, "Access-Control-Request-Headers": ",".join(wanted)} if wanted else headers


def cors(response: TestResponse) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name[:7] in {"Access-", "Vary"}}


def test_a_page_puts_json_with_a_token(web: Any) -> None:
    answer = web.options("/api/data", headers=asking("PUT", "authorization", "content-type"), status=204)
    assert (cors(answer), answer.text) == (granted("PUT", "Authorization, Content-Type").cors, "")
    answer = web.put_json("/api/data", {"a": 1}, headers={"Origin": PAGE, **TOKEN}, status=200)
    assert (cors(answer), answer.json) == (readable(), {"saved": {"a": 1}})


def test_json_that_is_none_is_a_400_that_the_page_can_read(web: Any) -> None:
    headers = {"Origin": PAGE, "Content-Type": "application/json"}
    answer = web.put("/api/data", b"{", headers=headers, status=400)
    assert cors(answer) == readable()


def test_a_page_reads_why_its_report_failed(web: Any, debugged: Any) -> None:
    for app in (web, debugged):
        answer = app.get("/api/report", headers={"Origin": PAGE}, status=500)
        assert (cors(answer), answer.json) == (readable(expose="Retry-After"), {"error": "The disk is full."})
        assert answer.headers["Retry-After"] == "60"


def test_a_page_asks_for_its_report_with_a_token(web: Any) -> None:
    answer = web.options("/api/report", headers=asking("GET", "authorization"), status=204)
    assert cors(answer) == granted("GET, HEAD", "Authorization, Content-Type").cors


def test_anybody_reads_the_status_and_caches_may_share_it(web: Any) -> None:
    for headers in ({}, {"Origin": PAGE}, {"Origin": STRANGER}, {"Origin": "null"}):
        answer = web.get("/status", headers=headers, status=200)
        assert (cors(answer), answer.json) == ({"Access-Control-Allow-Origin": "*"}, {"status": "up"})


@pytest.mark.parametrize(
    ("path", "headers", "says"),
    [
        pytest.param(
            "/api/data",
            asking("DELETE", "authorization"),
            "The method 'DELETE' is not in allow_methods, which allows GET, HEAD, PUT. To allow it, write"
            " allow_methods=['GET', 'PUT', 'DELETE'] in Preflight(...) at app.py.\n",
            id="method that the policy does not allow",
        ),
        pytest.param(
            "/api/data",
            asking("PATCH"),
            "This URL has no route for the method 'PATCH', only for DELETE, PUT. To handle it, add a view with"
            " @app.route('/api/data', methods=['PATCH']).\n",
            id="method without a route",
        ),
        pytest.param(
            "/api/data",
            asking("PUT", "authorization", "x-request-id"),
            "The request header 'x-request-id' is not in allow_headers, which allows Authorization, Content-Type. To"
            " allow it, write allow_headers=['Authorization', 'Content-Type', 'X-Request-Id'] in cors_blueprint on api"
            " at app.py.\n",
            id="header that is not allowed",
        ),
        pytest.param(
            "/status",
            asking("GET", "authorization"),
            "The request header 'authorization' is not in allow_headers, which allows nothing. To allow it, write"
            " allow_headers=['Authorization'] in cors_route on status at app.py.\n",
            id="header that only other routes allow",
        ),
        pytest.param(
            "/api/data",
            asking("PUT", "authorization", origin=STRANGER),
            "The origin 'https://evil.com' is not in allow_origins. If the page is yours, write"
            " allow_origins=['https://frontend.com', 'https://evil.com'] in init_app(...) at app.py.\n",
            id="origin that is not allowed",
        ),
    ],
)
def test_what_is_not_allowed_is_refused_and_explained_only_in_debug_mode(
    web: Any, debugged: Any, path: str, headers: dict[str, str], says: str
) -> None:
    answer = web.options(path, headers=headers, status=403)
    assert (cors(answer), answer.text) == (VARY_PREFLIGHT, "This CORS preflight is refused.\n")
    assert without_line_numbers(debugged.options(path, headers=headers, status="*").text) == says


def test_a_strangers_page_reads_nothing(web: Any) -> None:
    for path, status in (("/api/report", 500), ("/api/data", 405), ("/nothing", 404)):
        assert cors(web.get(path, headers={"Origin": STRANGER}, status=status)) == VARY


def test_a_page_reads_that_there_is_nothing(web: Any) -> None:
    for path, status in (("/api/data", 405), ("/nothing", 404)):
        assert cors(web.get(path, headers={"Origin": PAGE}, status=status)) == readable()
    assert cors(web.options("/nothing", headers=asking("PUT"), status=204)) == granted("GET, HEAD, PUT").cors


def test_tools_without_a_browser_are_not_bothered(web: Any) -> None:
    assert web.delete("/api/data", status=200).json == {"deleted": True}
    assert set(web.options("/api/data", status=200).allow) == {"DELETE", "OPTIONS", "PUT"}


def test_each_app_serves_the_front_end_that_it_was_made_for(create_app: Callable[..., Flask]) -> None:
    for origin in ("http://localhost:3000", "http://127.0.0.1:8080"):
        web: Any = TestApp(create_app(origin), lint=True)
        answer = web.options("/api/data", headers=asking("PUT", origin=origin), status=204)
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        web.options("/api/data", headers=asking("PUT"), status=403)


# ---------------------------------------------------------------------------------------
# The plain WSGI app
# ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def create_plain() -> Callable[..., Any]:
    made: Callable[..., Any] = runpy.run_path(str(EXAMPLES / "backend.py"))["create_app"]
    return made


@pytest.fixture
def plain(create_plain: Callable[..., Any]) -> Any:
    return TestApp(create_plain(), lint=True)


def everything(response: TestResponse) -> tuple[str, dict[str, str], str]:
    headers = {name: value for name, value in response.headers.items() if name != "Content-Length"}  # WebTest adds it
    return response.status, headers, response.text


JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
ALLOWED = granted("GET, HEAD, PUT", "Authorization, Content-Type").cors


def test_the_plain_app_lets_a_page_put_json_with_a_token(plain: Any) -> None:
    answer = plain.options("/api/data", headers=asking("PUT", "authorization", "content-type"))
    assert everything(answer) == ("204 No Content", ALLOWED, "")
    answer = plain.put_json("/api/data", {"a": 1}, headers={"Origin": PAGE, **TOKEN})
    assert everything(answer) == ("200 OK", {**JSON, **readable()}, '{"saved": {"a": 1}}')


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/api/report", "500 Internal Server Error", '{"error": "The disk is full."}'),
        ("/nothing", "404 Not Found", '{"error": "Nothing here."}'),
    ],
)
def test_errors_of_the_plain_app_are_for_the_page_alone(plain: Any, path: str, status: str, text: str) -> None:
    answer = plain.get(path, headers={"Origin": PAGE}, status="*")
    assert everything(answer) == (status, {**JSON, **readable()}, text)
    for headers in ({}, {"Origin": STRANGER}):
        assert everything(plain.get(path, headers=headers, status="*")) == (status, {**JSON, **VARY}, text)


# In debug mode, what passed is admitted, so that the browser's console names what did not.
@pytest.mark.parametrize(
    ("headers", "says", "admits"),
    [
        pytest.param(
            asking("DELETE", "authorization"),
            "The method 'DELETE' is not in allow_methods, which allows GET, HEAD, PUT. To allow it, write"
            " allow_methods=['GET', 'PUT', 'DELETE'] in the Policy.\n",
            {"Access-Control-Allow-Origin": PAGE},
            id="method",
        ),
        pytest.param(
            asking("PUT", "authorization", "content-type", "x-request-id"),
            "The request header 'x-request-id' is not in allow_headers, which allows Authorization, Content-Type. To"
            " allow it, write allow_headers=['Authorization', 'Content-Type', 'X-Request-Id'] in the Policy.\n",
            {
                "Access-Control-Allow-Origin": PAGE,
                "Access-Control-Allow-Methods": "GET, HEAD, PUT",
                "Access-Control-Allow-Headers": "authorization, content-type",
            },
            id="header",
        ),
        pytest.param(
            asking("PUT", "authorization", "content-type", origin=STRANGER),
            "The origin 'https://evil.com' is not in allow_origins. If the page is yours, write"
            " allow_origins=['https://frontend.com', 'https://evil.com'] in the Policy.\n",
            {},
            id="origin",
        ),
    ],
)
def test_the_plain_app_refuses_and_explains_only_in_debug_mode(
    create_plain: Callable[..., Any], plain: Any, headers: dict[str, str], says: str, admits: dict[str, str]
) -> None:
    answer = plain.options("/api/data", headers=headers, status=403)
    assert everything(answer) == ("403 Forbidden", {**TEXT, **VARY_PREFLIGHT}, "This CORS preflight is refused.\n")
    debugged: Any = TestApp(create_plain(debug=True), lint=True)
    answer = debugged.options("/api/data", headers=headers, status="*")
    assert (cors(answer), answer.text) == ({**VARY_PREFLIGHT, **admits}, says)
