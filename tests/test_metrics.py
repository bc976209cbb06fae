"""The counters of docs/metrics.md, with the real libraries: what they count of both edges, and nothing else."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from doc_programs import ROOT, ask, read_program, run_recipe
from pages import PAGE, STRANGER
from test_servers import SCRIPTS, serving

from flask_preflight import Outcome, Reason

PREFLIGHT_REFUSED, ACTUAL_REFUSED = Outcome.PREFLIGHT_REFUSED.value, Outcome.ACTUAL_REFUSED.value
# Each pair of labels that there can be
SERIES = [
    (Outcome.PREFLIGHT_GRANTED.value, ""),
    (Outcome.ACTUAL_ALLOWED.value, ""),
    (Outcome.ACTUAL_ALLOWED.value, Reason.CREDENTIALS_NOT_ALLOWED.value),
    *((outcome, reason.value) for outcome in (PREFLIGHT_REFUSED, ACTUAL_REFUSED) for reason in Reason),
]

# Requests to the Flask app of the page, and to an app of plain WSGI that has the same policy
REQUESTS = """
import json

from pages import PAGE, STRANGER, preflight, send
from prometheus_client import REGISTRY, generate_latest

from flask_preflight import Policy, PreflightMiddleware
from recipe import app, reader


def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here"]


wrapped = PreflightMiddleware(plain, Policy(allow_origins=[PAGE], allow_methods=["PUT"]))
for edge in (app, wrapped):
    preflight(edge, "PUT", "/api/data", "Content-Type")
    preflight(edge, "PUT", "/api/data", "Authorization")
    preflight(edge, "DELETE", "/api/data")
    preflight(edge, "PUT", "/api/data", origin="null")
    send(edge, "PUT", "/api/data")
    send(edge, "PUT", "/api/data", origin=STRANGER)
    send(edge, "PUT", "/api/data", origin=None)
    send(edge, "PUT", "/api/data", origin=STRANGER, headers={"Sec-Fetch-Mode": "navigate"})
    for number in range(100):
        preflight(edge, "PUT", f"/{number}", origin=f"https://{number}.evil.com")

of_prometheus = generate_latest(REGISTRY.restricted_registry(["cors_decisions_total"])).decode()
[of_opentelemetry] = json.loads(reader.get_metrics_data().to_json())["resource_metrics"]
print(json.dumps([of_prometheus, of_opentelemetry["scope_metrics"]]))
"""

COUNTED = Counter(
    {
        ("preflight-granted", ""): 2,
        ("actual-allowed", ""): 2,
        ("preflight-refused", "headers-not-allowed"): 2,
        ("preflight-refused", "method-not-routed"): 1,
        ("preflight-refused", "method-not-allowed"): 1,
        ("preflight-refused", "origin-null"): 2,
        ("preflight-refused", "origin-not-allowed"): 200,
        ("actual-refused", "origin-not-allowed"): 2,
    }
)
# What the page's own requests add: those before OpenTelemetry is set up, and the one after
EARLIER = Counter([("preflight-granted", ""), ("actual-allowed", ""), ("preflight-refused", "origin-not-allowed")])
LATER = Counter([("preflight-refused", "origin-not-allowed")])


def exposition(counted: Counter[tuple[str, str]]) -> str:
    """What Prometheus reads."""
    return "\n".join(
        [
            "# HELP cors_decisions_total CORS requests by what was decided",
            "# TYPE cors_decisions_total counter",
            *(
                f'cors_decisions_total{{outcome="{outcome}",reason="{reason}"}} {float(counted[outcome, reason])}'
                for outcome, reason in SERIES
            ),
            "",
        ]
    )


@pytest.fixture
def counts(tmp_path: Path, pytestconfig: pytest.Config) -> tuple[str, list[dict[str, Any]]]:
    """What both libraries have counted: the text of Prometheus, the data of OpenTelemetry."""
    result = run_recipe(read_program("metrics.md"), REQUESTS, tmp_path, pytestconfig)
    assert result.stderr == ""
    of_prometheus, of_opentelemetry = json.loads(result.stdout.splitlines()[-1])
    return of_prometheus, of_opentelemetry


@pytest.mark.slow
def test_both_edges_are_counted_and_no_stranger_adds_a_series(counts: tuple[str, list[dict[str, Any]]]) -> None:
    of_prometheus, [of_opentelemetry] = counts
    assert of_prometheus == exposition(COUNTED + EARLIER + LATER)
    assert of_opentelemetry["scope"]["name"] == "myapp"
    [metric] = of_opentelemetry["metrics"]
    points = metric["data"].pop("data_points")
    assert metric == {
        "name": "cors.decisions",
        "description": "CORS requests by what was decided",
        "unit": "{decision}",
        "data": {"aggregation_temporality": 2, "is_monotonic": True},  # 2: since the start
    }
    assert sorted((labels(point["attributes"]), point["value"]) for point in points) == sorted(
        (COUNTED + LATER).items()
    )


def labels(attributes: dict[str, str]) -> tuple[str, str]:
    assert attributes.keys() <= {"cors.outcome", "cors.reason"}
    return attributes["cors.outcome"], attributes.get("cors.reason", "")


@pytest.mark.servers
def test_under_gunicorn_the_counters_of_all_workers_are_added_up(tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text(read_program("metrics.md", "Prometheus"), encoding="utf-8")
    shared = tmp_path / "shared"
    shared.mkdir()
    command: list[str | Path] = [SCRIPTS / "gunicorn", "--bind=127.0.0.1:0", "--workers=2", "recipe:app"]
    with serving(command, tmp_path, tmp_path / "log", PROMETHEUS_MULTIPROC_DIR=str(shared)) as port:
        for origin in 20 * [PAGE] + 10 * [STRANGER]:
            ask(port, "PUT", "/api/data", Origin=origin)
        assert sorted(ask(port, "GET", "/metrics").splitlines()) == sorted(
            exposition(Counter({("actual-allowed", ""): 20, ("actual-refused", "origin-not-allowed"): 10})).splitlines()
        )


def test_the_alerts_name_series_that_exist() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    [rules] = re.findall(r"^```yaml$(.+?)^```$", text, re.MULTILINE | re.DOTALL)
    selectors = re.findall(r"(\w+)\{([a-z].*?)\}", rules)
    assert [name for name, _ in selectors] == 3 * ["cors_decisions_total"]
    for _, selector in selectors:
        wanted: dict[str, Any] = dict(re.findall(r'(\w+)=~?"(.+?)"', selector))
        assert wanted.keys() <= {"outcome", "reason"}
        for reason in wanted.get("reason", "").split("|"):
            assert (wanted.get("outcome", PREFLIGHT_REFUSED), reason) in SERIES
