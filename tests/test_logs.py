"""The recipes of docs/logs.md, with real servers and the real libraries."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from doc_programs import ROOT, ask, parts, read_program, run_recipe
from pages import PAGE, STRANGER, without_line_numbers
from test_servers import SCRIPTS, serving

from flask_preflight import Policy, PreflightMiddleware
from flask_preflight.journal import REFUSALS

pytestmark = pytest.mark.slow

UNDER_A_SERVER = "Under gunicorn and uWSGI"
OWN_CONFIGURATION = "With a configuration of your own"


def refusal(method: str, kind: str = "request") -> str:
    """The record of the recipes' app for a page of a stranger."""
    said: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "HTTP_ORIGIN": STRANGER, REFUSALS: said}
    PreflightMiddleware(lambda *_: [], Policy(allow_origins=[PAGE]))(environ, lambda *_: print)
    reason, _, sentence = said[0].partition("; ")
    record = f"Refused a CORS {kind}, {reason}: '{method}' '/api/data'. {sentence}"
    return record.replace(" in the Policy.", " in Preflight(...) at recipe.py.")


def shown(heading: str) -> str:
    """What the page shows as printed by the recipe below *heading*."""
    part = parts((ROOT / "docs" / "logs.md").read_text(encoding="utf-8"))[heading]
    [text] = re.findall(r"^```text\n(.+?)\n```$", part, re.MULTILINE | re.DOTALL)
    return str(text)


# ---------------------------------------------------------------------------------------
# Servers
# ---------------------------------------------------------------------------------------

SERVERS: dict[str, list[str | Path]] = {
    "gunicorn": [SCRIPTS / "gunicorn", "--bind=127.0.0.1:0", "recipe:app"],
    "gunicorn-preload": [SCRIPTS / "gunicorn", "--bind=127.0.0.1:0", "--preload", "recipe:app"],
    "gunicorn-log-level": [SCRIPTS / "gunicorn", "--bind=127.0.0.1:0", "--log-level=info", "recipe:app"],
    "uwsgi": [SCRIPTS / "uwsgi", "--http-socket=127.0.0.1:0", "--module=recipe:app", "--need-app"],
}


@pytest.mark.servers
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("headings", "begin"),
    [
        pytest.param([UNDER_A_SERVER], "INFO:flask_preflight:", id="basicConfig"),
        pytest.param([UNDER_A_SERVER, OWN_CONFIGURATION], r"\S+ \S+ INFO flask_preflight: ", id="dictConfig"),
    ],
)
def test_a_refusal_is_logged_once(server: str, headings: list[str], begin: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text(read_program("logs.md", *headings), encoding="utf-8")
    with serving(SERVERS[server], tmp_path, tmp_path / "log") as port:
        for _ in range(2):
            assert ask(port, "GET", "/api/data", Origin=STRANGER) == '{"key":"value"}\n'
        [record] = [line for line in (tmp_path / "log").read_text().splitlines() if "flask_preflight" in line]
    assert re.fullmatch(begin + re.escape(refusal("GET")), without_line_numbers(record))


def test_the_page_shows_how_the_record_begins() -> None:
    assert f"INFO:flask_preflight:{refusal('GET')}".startswith(shown(UNDER_A_SERVER))


REFUSED = """
from pages import STRANGER, send
from recipe import app

send(app, "GET", "/api/data", origin=STRANGER)
"""

# Not named, the logger has the level of the root
NOT_NAMED = [(', "flask_preflight": {"level": "INFO"}', ""), ('"level": "WARNING"', '"level": "INFO"')]


@pytest.mark.parametrize(
    ("changes", "records"),
    [
        pytest.param([], 1, id="as-on-the-page"),
        pytest.param([('        "disable_existing_loggers": False,\n', "")], 1, id="without-the-switch-but-named"),
        pytest.param(NOT_NAMED, 1, id="not-named"),
        pytest.param([*NOT_NAMED, ('        "disable_existing_loggers": False,\n', "")], 0, id="without-the-switch"),
        pytest.param(NOT_NAMED[:1], 0, id="without-the-level"),
    ],
)
def test_what_a_configuration_needs(
    changes: list[tuple[str, str]], records: int, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    recipe = read_program("logs.md", UNDER_A_SERVER, OWN_CONFIGURATION)
    recipe = recipe.replace('logging.getLogger("flask_preflight").setLevel(logging.INFO)', "")
    for old, new in changes:
        assert recipe.count(old) == 1
        recipe = recipe.replace(old, new)
    result = run_recipe(recipe, REFUSED, tmp_path, pytestconfig)
    assert without_line_numbers(result.stderr).count(refusal("GET")) == len(result.stderr.splitlines()) == records


# ---------------------------------------------------------------------------------------
# JSON
# ---------------------------------------------------------------------------------------


def records_as_json(driver: str, folder: Path, config: pytest.Config) -> list[dict[str, Any]]:
    result = run_recipe(read_program("logs.md", UNDER_A_SERVER, "As JSON"), driver, folder, config)
    return [json.loads(line) for line in without_line_numbers(result.stderr).splitlines()]


def test_json_has_the_attributes_of_a_refusal(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    [record] = records_as_json(REFUSED, tmp_path, pytestconfig)
    sample = json.loads(shown("As JSON"))
    assert list(record) == list(sample)
    assert re.sub(r"\d", "0", record["asctime"]) == re.sub(r"\d", "0", sample["asctime"])
    assert record == {**sample, "asctime": record["asctime"], "message": refusal("GET")}
    assert record["message"].startswith(sample["message"])


# A callable of the user's own that fails
FAILING = """
from flask import Flask
from pages import send

import recipe
from flask_preflight import Preflight


def is_tenant(origin, environ):
    raise ConnectionError("the database is away")


failing = Flask("failing")
Preflight(failing, allow_origins=is_tenant)
send(failing, "GET", "/")
"""


def test_json_has_a_traceback_on_one_line(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    error, refused = records_as_json(FAILING, tmp_path, pytestconfig)
    assert [*error] == ["asctime", "levelname", "name", "message", "exc_info"]
    assert (error["levelname"], error["name"]) == ("ERROR", "flask_preflight")
    assert error["exc_info"].splitlines()[0] == "Traceback (most recent call last):"
    assert error["exc_info"].splitlines()[-1] == "ConnectionError: the database is away"
    assert (refused["levelname"], refused["cors_reason"]) == ("INFO", "origin-check-failed")


# ---------------------------------------------------------------------------------------
# Sentry
# ---------------------------------------------------------------------------------------

COLLECTED = """
import json

import sentry_sdk
from sentry_sdk.transport import Transport

collected = []


class Collector(Transport):
    def capture_envelope(self, envelope):
        collected.extend((item.type, item.payload.json) for item in envelope.items)


sentry_sdk.get_client().transport = Collector()
"""
PRINTED = """
sentry_sdk.flush()
print(json.dumps(collected, default=str))
"""


def collect(driver: str, folder: Path, config: pytest.Config, *headings: str) -> list[tuple[str, Any]]:
    """What the transport of Sentry gets, and what *driver* collects beside it."""
    recipe = read_program("logs.md", UNDER_A_SERVER, "Sentry", *headings)
    code = f"import recipe\n{COLLECTED}\n{driver}\n{PRINTED}"
    result = run_recipe(recipe, code, folder, config, SENTRY_DSN="https://key@sentry.example/1")
    return [(kind, payload) for kind, payload in json.loads(result.stdout)]


def sentry(driver: str, folder: Path, config: pytest.Config) -> tuple[list[Any], list[Any]]:
    """The events and the logs that Sentry gets."""
    collected = collect(driver, folder, config)
    events = [payload for kind, payload in collected if kind == "event"]
    logs = [item for kind, payload in collected if kind == "log" for item in payload["items"]]
    return events, logs


def attributes(log: dict[str, Any]) -> dict[str, str]:
    return {name: each["value"] for name, each in log["attributes"].items() if name.startswith("cors_")}


ATTRIBUTES = {"cors_reason": "origin-not-allowed", "cors_origin": STRANGER, "cors_rule": "/api/data"}


def test_sentry_gets_a_refused_preflight_as_a_log(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    driver = "from pages import STRANGER, preflight\npreflight(recipe.app, 'GET', '/api/data', origin=STRANGER)"
    events, [log] = sentry(driver, tmp_path, pytestconfig)
    assert events == []
    assert (log["level"], without_line_numbers(log["body"]), attributes(log)) == (
        "info",
        refusal("GET", "preflight"),
        ATTRIBUTES,
    )


def test_sentry_gets_a_failed_callable_as_an_event(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    [event], logs = sentry(FAILING, tmp_path, pytestconfig)
    [exception] = event["exception"]["values"]
    assert (event["level"], event["logger"]) == ("error", "flask_preflight")
    assert (exception["type"], exception["value"]) == ("ConnectionError", "the database is away")
    assert exception["stacktrace"]["frames"][-1]["function"] == "is_tenant"
    assert [log["level"] for log in logs] == ["error", "info"]


# A refused preflight, and a refused request whose view fails
TWO_REQUESTS = """
from flask import Flask
from pages import PAGE, STRANGER, preflight, send

from flask_preflight import Policy, PreflightMiddleware

app = Flask("two")
app.wsgi_app = PreflightMiddleware(app.wsgi_app, Policy(allow_origins=[PAGE]))
app.add_url_rule("/api/data", view_func=lambda: 1 / 0)
preflight(app, "DELETE", "/api/data")
send(app, "GET", "/api/data", origin=STRANGER)
"""


def test_sentry_shows_a_breadcrumb_only_with_an_event_of_the_same_request(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    events, logs = sentry(TWO_REQUESTS, tmp_path, pytestconfig)
    reasons = [attributes(log).get("cors_reason") for log in logs]
    assert [reason for reason in reasons if reason] == ["method-not-allowed", "origin-not-allowed"]
    assert {event["exception"]["values"][0]["type"] for event in events} == {"ZeroDivisionError"}
    crumbs = [crumb for event in events for crumb in event["breadcrumbs"]["values"]]
    ours = [crumb for crumb in crumbs if crumb["category"] == "flask_preflight"]
    assert [(crumb["level"], crumb["data"]["cors_reason"]) for crumb in ours] == [("info", "origin-not-allowed")]
    assert all(crumb["message"].startswith("Refused a CORS request") for crumb in ours)


TRACED = """
for app in (recipe.traced, recipe.app):
    try:
        page = Browser(app, origin="https://frontend.com")
        answer = page.fetch("https://backend.com/api/data", headers={"sentry-trace": "0", "baggage": "0"})
        print(answer.text, end="")
    except CORSError as error:
        print(error.exchange.method)
"""


def test_a_page_with_sentry_gets_through(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    driver = f"import recipe\nfrom flask_preflight.browser import Browser, CORSError\n{TRACED}"
    result = run_recipe(read_program("logs.md", UNDER_A_SERVER, "Sentry"), driver, tmp_path, pytestconfig)
    assert result.stdout == '{"key":"value"}\nOPTIONS\n'


# ---------------------------------------------------------------------------------------
# Exceptions that leave the app
# ---------------------------------------------------------------------------------------

LEAVING = """
from flask_preflight.browser import Browser

recipe.app.config["PROPAGATE_EXCEPTIONS"] = True
recipe.app.add_url_rule("/fails", view_func=lambda: 1 / 0)
pages = [Browser(recipe.app, origin="https://frontend.com"), Browser(recipe.application, origin="https://frontend.com")]
answers = [
    pages[0].fetch("https://backend.com/fails"),
    pages[0].fetch("https://backend.com/missing"),
    pages[1].fetch("https://backend.com/"),
]
collected.append(("answers", [(answer.status, answer.text) for answer in answers]))
"""


def test_the_page_reads_the_500_and_sentry_gets_the_exception(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    collected = collect(LEAVING, tmp_path, pytestconfig, "Exceptions that leave the app")
    [answers] = [payload for kind, payload in collected if kind == "answers"]
    assert [status for status, _ in answers] == [500, 404, 500]
    assert [answers[0][1], answers[2][1]] == ['{"error":"internal"}\n', "Internal Server Error\n"]
    events = [payload for kind, payload in collected if kind == "event"]
    assert [event["exception"]["values"][-1]["type"] for event in events] == ["ZeroDivisionError", "RuntimeError"]
    assert [event["logentry"]["message"] for event in events] == 2 * ["The request failed"]


UNHANDLED = """
from flask_preflight.browser import Browser
from recipe import app

app.config["PROPAGATE_EXCEPTIONS"] = True
app.add_url_rule("/fails", view_func=lambda: 1 / 0)
try:
    Browser(app, origin="https://frontend.com").fetch("https://backend.com/fails")
except ZeroDivisionError as error:
    print(error)
"""


def test_without_the_recipe_the_exception_leaves_the_app(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    result = run_recipe(read_program("logs.md", UNDER_A_SERVER), UNHANDLED, tmp_path, pytestconfig)
    assert result.stdout == "division by zero\n"
    [record] = [line for line in result.stderr.splitlines() if "flask_preflight" in line]
    assert record.startswith("WARNING:flask_preflight:The app raised an exception")
