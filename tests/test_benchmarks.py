"""The benchmark works, and compares like with like. No test says how fast anything is: that is ``make bench``."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import run_wsgi_app

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "tests" / "benchmarks"
FIGURES_MISSED = 3


def run(*arguments: str) -> dict[str, list[list[str]]]:
    """Return the rows of each table of a quick run, by its title."""
    command = [sys.executable, str(PROGRAM), "--quick", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode in {0, FIGURES_MISSED}, result.stderr
    assert result.stderr == ""
    return {part.partition("\n")[0]: rows(part) for part in result.stdout.split("### ")[1:]}


def rows(table: str) -> list[list[str]]:
    """Return the rows of a Markdown table, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_every_figure_is_measured() -> None:
    tables = run()
    figures = tables.pop("What is wanted")
    assert len(figures) > 40
    assert {row[3] for row in figures} <= {"reached", "**missed**"}
    assert len(tables) == 7
    for title, table in tables.items():
        assert any("**" in row[0] for row in table), f"{title}: nothing of ours"
        assert any("**" not in row[0] for row in table), f"{title}: nothing to compare with"


def test_only_a_part_is_measured() -> None:
    tables = run("--only", "many-routes", "browser")
    assert list(tables) == ["What is wanted", "The browser for tests"]
    assert [row[0] for row in tables["What is wanted"]] == [
        "`Browser.fetch` with a preflight",
        "10,000 marked routes, first request",
    ]


@pytest.mark.servers
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_whole_servers_answer() -> None:
    tables = run("--server")
    assert [len(table) for table in tables.values()] == [3, 6]


@pytest.mark.servers
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_edges_answer() -> None:
    tables = run("--edges")
    assert [len(table) for table in tables.values()] == [4, 6, 6]
    assert [row[-1] for row in tables["Granted preflights a second"] if "not" in row[-1]] == ["not exported"] * 3


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(PROGRAM)
    return importlib.import_module


# ---------------------------------------------------------------------------------------
# What is compared
# ---------------------------------------------------------------------------------------

ALL = ("WSGICORS", "MIDDLEWARE", "FLASK_CORS", "PREFLIGHT", "VIEWS", "METHOD_VIEWS")
DECORATED = ("CROSS_ORIGIN", "CROSS_ORIGIN_METHODS")
OURS = ("MIDDLEWARE", "PREFLIGHT", "VIEWS", "METHOD_VIEWS")


@pytest.mark.parametrize("path", ["/data", "/users/7/items/item-7"])
@pytest.mark.parametrize("name", [*ALL, *DECORATED, "CONSTANT"])
def test_contender_grants_preflight(module: Any, name: str, path: str) -> None:
    contenders, traffic = module("contenders"), module("traffic")
    environ = traffic.preflight(path=path)
    _, status, headers = run_wsgi_app(contenders.APPS[getattr(contenders, name)](), environ)
    assert status[:3] in {"200", "204"}
    assert headers["Access-Control-Allow-Origin"] == traffic.ALLOWED
    assert "PUT" in headers["Access-Control-Allow-Methods"]
    assert "authorization" in headers["Access-Control-Allow-Headers"].lower()


@pytest.mark.parametrize("case", ["bad origin", "bad method", "bad header"])
@pytest.mark.parametrize("name", OURS)
def test_ours_refuses_preflight(module: Any, name: str, case: str) -> None:
    contenders, traffic = module("contenders"), module("traffic")
    _, status, headers = run_wsgi_app(contenders.APPS[getattr(contenders, name)](), traffic.BAD[case])
    assert (status[:3], headers.get("Access-Control-Allow-Origin")) == ("403", None)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        pytest.param("GET, allowed", "https://app.example.com", id="allowed"),
        pytest.param("GET, refused", None, id="refused"),
    ],
)
@pytest.mark.parametrize("name", ALL)
def test_contender_answers_request(module: Any, name: str, case: str, expected: str | None) -> None:
    contenders, traffic = module("contenders"), module("traffic")
    body, status, headers = run_wsgi_app(contenders.APPS[getattr(contenders, name)](), traffic.GETS[case])
    assert (b"".join(body), status) == (b"hello", "200 OK")
    assert headers.get("Access-Control-Allow-Origin") == expected


def test_views_have_their_own_policies(module: Any) -> None:
    contenders, traffic = module("contenders"), module("traffic")
    for name, method, header in (
        ("VIEWS", "PUT", "x-view"),
        ("METHOD_VIEWS", "PUT", "x-write"),
        ("METHOD_VIEWS", "DELETE", "x-delete"),
    ):
        app = contenders.APPS[getattr(contenders, name)]()
        for asked, expected in ((header, "204"), ("x-read", "403")):
            status = run_wsgi_app(app, traffic.preflight(method=method, headers=asked))[1]
            assert (name, method, asked, status[:3]) == (name, method, asked, expected)


def test_no_two_hostile_requests_are_equal(module: Any) -> None:
    traffic = module("traffic")
    keys = (
        "HTTP_ORIGIN",
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS",
        "HTTP_HOST",
        "PATH_INFO",
    )
    environs = list(traffic.flood(0, 10_000))
    assert len({tuple(environ[key] for key in keys) for environ in environs}) == len(environs)
    for key in keys:
        assert len({environ[key] for environ in environs}) > 1000


# ---------------------------------------------------------------------------------------
# How it is measured
# ---------------------------------------------------------------------------------------


def test_strings_are_new_for_each_request(module: Any) -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: object) -> list[bytes]:
        seen.append(environ)
        return []

    module("harness").requests(app, {"HTTP_ORIGIN": "https://a.example", "PATH_INFO": "/"}, PATH_INFO=["/a", "/b"])(3)
    assert [environ["PATH_INFO"] for environ in seen] == ["/a", "/b", "/a"]
    for first, second in ((seen[0], seen[1]), (seen[1], seen[2])):
        assert first["HTTP_ORIGIN"] is not second["HTTP_ORIGIN"]


def test_rounds_of_several_processes_are_joined(module: Any) -> None:
    a, b = ("a", ""), ("b", "")
    parts = [{a: [1.0, 2.0], b: [3.0, 4.0]}, {a: [5.0], b: [6.0]}]
    assert module("harness").pool(parts) == {a: [1.0, 2.0, 5.0], b: [3.0, 4.0, 6.0]}


def test_the_rounds_in_which_the_peers_were_quickest_count(module: Any) -> None:
    peer, ours = ("peer", ""), ("ours", "")
    times = {peer: [9.0, 1.0, 9.0, 9.0, 2.0, 9.0], ours: [1.0, 7.0, 1.0, 1.0, 8.0, 1.0]}
    assert module("harness").quickest(times, [peer]) == {peer: [1.0, 2.0], ours: [7.0, 8.0]}


def test_comparisons_are_medians_over_the_rounds(module: Any) -> None:
    harness = module("harness")
    one, other = ("one", ""), ("other", "")
    times = {one: [2.0, 2.0, 30.0], other: [4.0, 1.0, 2.0]}
    assert (harness.ratio(times, one, other), harness.added(times, one, other)) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("make", "measured", "expected"),
    [
        pytest.param("at_most", 2.0, True, id="at most, equal"),
        pytest.param("at_most", 2.1, False, id="at most, more"),
        pytest.param("at_least", 2.0, True, id="at least, equal"),
        pytest.param("at_least", 1.9, False, id="at least, less"),
    ],
)
def test_figure_is_judged(module: Any, make: str, measured: float, expected: bool) -> None:
    assert getattr(module("figures"), make)(2.0, "s", "", measured).is_reached is expected


@pytest.mark.parametrize("part", ["figures", "servers"])
def test_page_has_the_marks(part: str) -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert len(re.findall(f"<!-- {part}: made by tests/benchmarks -->(?s:.*)<!-- {part}: end -->", page)) == 1
