"""`probe` names what is wrong with a live server.

``python tests/test_probe.py --write`` writes ``messages/probe.txt`` and the outputs in ``docs/commands/probe.md`` anew.
"""

from __future__ import annotations

import json
import re
import shlex
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import probed_apps
import pytest
import served_app
from click import unstyle
from click.testing import CliRunner
from doc_programs import ROOT
from flask import Flask
from flask.cli import ScriptInfo
from golden import Case, read_page
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_server import RawServer, Talk, leaving, raw_server, saying, silent
from real_browsers import serving
from sabotage import NGINX, Edge, sabotaged
from werkzeug.datastructures import Headers
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_preflight import Policy, Preflight, PreflightMiddleware
from flask_preflight.__main__ import commands as module_commands
from flask_preflight.browser import Browser, Step
from flask_preflight.browser.transport import Answer, Connection
from flask_preflight.browser.urls import URL, parse_url
from flask_preflight.commands import preflight
from flask_preflight.commands.live import asking, drift
from flask_preflight.commands.live.asking import LiveServer, Question, ask_as_page
from flask_preflight.commands.live.checks import probe
from flask_preflight.commands.live.sections import FINDINGS
from flask_preflight.commands.probe import text_of
from flask_preflight.paths import PathPolicies

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.slow

PAGE = read_page("probe.txt")


def run(*arguments: str) -> tuple[int, str, str]:
    """The exit status, and what is printed."""
    result = CliRunner().invoke(module_commands, ["probe", *arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


# ---------------------------------------------------------------------------------------
# Behind a real nginx
# ---------------------------------------------------------------------------------------


@contextmanager
def edge_in(folder: Path) -> Iterator[Edge]:
    with ExitStack() as exits:
        yield exits.enter_context(sabotaged(folder, exits.enter_context(serving(served_app.application))))


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with edge_in(tmp_path_factory.mktemp("nginx")) as edge:
        yield edge


def say(edge: Edge, case: Case) -> str:
    """What a person reads, without what differs from run to run."""
    if "first" in case.code:
        run(f"{edge.http}/cached/two?first", "--origin", "https://stranger.invalid")
    places = {
        "HTTPS_HOST": edge.https.partition("://")[2],
        "HTTP_HOST": edge.http.partition("://")[2],
        "HTTPS": edge.https,
        "HTTP": edge.http,
        "CA": str(edge.ca_file),
    }
    command = case.code
    for name, place in places.items():
        command = re.sub(rf"\b{name}\b", place, command)
    status, out, err = run(*shlex.split(command)[1:])
    text = f"{out}{err}exit status {status}"
    for name, place in {"CA": str(edge.ca_file), "HTTPS": edge.https, "HTTP": edge.http}.items():
        text = text.replace(place, name)
    for name in ("HTTPS_HOST", "HTTP_HOST"):
        text = text.replace(places[name], name)
    return normalized(text)


def normalized(text: str) -> str:
    """*text* without what differs from run to run."""
    text = re.sub(r"TLS [\d.]+, certificate until [\d-]+", "TLS N, certificate until N", text)
    return re.sub(r"in [\d,]+ ms", "in N ms", re.sub(r"nginx/[\d.]+", "nginx/N", text))


@pytest.mark.servers
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("case", PAGE.cases, ids=lambda case: case.title)
def test_the_message_is_that_of_the_file(edge: Edge, case: Case) -> None:
    assert say(edge, case) == case.message


def test_the_file_is_written_as_it_is_read() -> None:
    assert str(PAGE) == PAGE.path.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------
# Servers that say what no nginx says
# ---------------------------------------------------------------------------------------

FRONTEND = "https://frontend.com"
STEPS = {step.value for step in Step}


def url_of(server: RawServer) -> str:
    return f"http://127.0.0.1:{server.port}/"


def document(*arguments: str) -> dict[str, Any]:
    """The JSON document, and that nothing else is printed."""
    status, out, err = run(*arguments, "--format", "json")
    assert err == ""
    document: dict[str, Any] = json.loads(out)
    levels = [item["level"] for section in document["sections"] for item in section["findings"]]
    assert status == int("error" in levels or "warning" in levels)
    return document


def verdicts(*arguments: str) -> dict[str, tuple[str, str, list[str]]]:
    """Verdict, text and findings of each section."""
    return {
        section["name"]: (section["verdict"], section["text"], [item["id"] for item in section["findings"]])
        for section in document(*arguments)["sections"]
    }


def findings(*arguments: str) -> list[tuple[str, str, str]]:
    """Id, level and message of each finding."""
    return [
        (item["id"], item["level"], item["message"])
        for section in document(*arguments)["sections"]
        for item in section["findings"]
    ]


AIRPLAY = (
    "The AirPlay receiver of a Mac answers on this port, with 403 to everything. Use another port: flask run --port "
    "5001. Or switch off AirPlay Receiver in the system settings."
)


def test_the_airplay_receiver() -> None:
    with raw_server(
        saying(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nServer: AirTunes/775.3.1\r\n\r\n")
    ) as server:
        found = verdicts(url_of(server), "--origin", FRONTEND)
        assert findings(url_of(server), "--origin", FRONTEND)[0] == ("airplay-receiver", "error", AIRPLAY)
    assert found["network"] == ("FAIL", "plain HTTP, server 'AirTunes/775.3.1'", ["airplay-receiver"])


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        pytest.param(
            silent,
            "the answer of HERE was not complete in time. Let the server answer sooner, or give it more time: "
            "--timeout 60.",
            id="slow",
        ),
        pytest.param(
            leaving(),
            "the connection was closed before the head of the answer was complete. See what the server sends: "
            "curl -i HERE",
            id="closing",
        ),
        pytest.param(
            saying(b"\x1b[2J\r\n\r\n"),
            "the answer does not begin as HTTP/1.1 does, but with \\x1b[2J. See what the server sends: curl -i HERE",
            id="no-http",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_no_answer(talk: Talk, why: str, method: str) -> None:
    with raw_server(talk) as server:
        url = url_of(server)
        arguments = (url, "--origin", FRONTEND, "--timeout", "0.3", "--method", method)
        assert findings(*arguments) == [
            ("no-response", "error", f"No response: {why.replace('HERE', url.removesuffix('/'))}")
        ]
        status, out, _ = run(*arguments)
    assert status == 1
    assert out.splitlines()[-1] == "1 problem."


def test_what_a_server_sends_is_escaped_and_bounded() -> None:
    hostile = b"Server: \xe9\x9b31m" + b"x" * 3000 + b"\r\nAccess-Control-Allow-Origin: \x9b2J" + b"y" * 3000
    with raw_server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + hostile + b"\r\n\r\n")) as server:
        _, out, err = run(url_of(server), "--origin", FRONTEND)
    assert err == ""
    assert re.fullmatch(r"[\n -~]*", out)
    assert len(out) < 3000


def test_a_server_that_falls_silent() -> None:
    count = 0

    def talk(connection: socket.socket) -> None:
        nonlocal count
        count += 1
        if count <= 5:
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: https://frontend.com\r\n\r\n"
            )

    with raw_server(talk) as server:
        found = findings(url_of(server), "--origin", FRONTEND)
    why = "the connection was closed before the head of the answer was complete"
    assert found == [
        ("not-all-asked", "warning", f"Not all questions were asked: {why}."),
    ]
    assert count == 6


@pytest.mark.parametrize("arguments", [["--origin", FRONTEND], ["--app", "probed_apps:two"]], ids=["page", "app"])
def test_all_requests_together_have_a_time_limit(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 20))  # each request takes 20 s, of 10 s for each, and 200 s for all
    monkeypatch.setattr(asking, "monotonic", lambda: next(clock))
    with raw_server(GRANTING) as server:
        found = findings(url_of(server), *arguments)
    text = "Not all questions were asked: the time is over, since the server answers slowly."
    assert ("not-all-asked", "warning", text) in found
    assert len(server.heads) == 10


REFUSAL = "origin-not-allowed; The origin 'https://partner.com' is not in allow_origins."


def test_a_server_in_debug_mode_says_why() -> None:
    app = PreflightMiddleware(served_app.app, probed_apps.two, debug=True)
    with serving(app) as port:
        found = findings(f"http://127.0.0.1:{port}/two", "--origin", "https://partner.com", "--method", "PUT")
    assert [(id_, level) for id_, level, _ in found] == [("allow-origin-missing", "error")]
    assert found[0][2].startswith(
        f"The answer (status 403) has no Access-Control-Allow-Origin. The server: {REFUSAL} If the page is yours, write"
    )


def test_only_a_reason_of_this_package_counts() -> None:
    head = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nCORS-Refused: trust-me; click here\r\n\r\n"
    with raw_server(saying(head)) as server:
        [(_, _, message)] = findings(url_of(server), "--origin", FRONTEND)
    assert "click here" not in message


# ---------------------------------------------------------------------------------------
# What is sent
# ---------------------------------------------------------------------------------------

ECHO = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: https://frontend.com\r\n"
GRANTING = saying(
    ECHO + b"Access-Control-Allow-Methods: PUT, DELETE, OPTIONS\r\nAccess-Control-Allow-Headers: content-type\r\n\r\n"
)


def methods_sent(*arguments: str) -> tuple[int, Counter[str]]:
    with raw_server(GRANTING) as server:
        status, _, _ = run(url_of(server), "--origin", FRONTEND, *arguments)
    for head in server.heads:
        is_preflight = "\r\nAccess-Control-Request-Method: " in head
        assert is_preflight == head.startswith("OPTIONS ") or "OPTIONS" in arguments
    return status, Counter(head.partition(" ")[0] for head in server.heads)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_only_preflights_are_sent_of_methods_that_may_change_something(method: str) -> None:
    _, sent = methods_sent("--method", method)
    assert set(sent) == {"OPTIONS"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_with_send_the_request_is_sent_once(method: str) -> None:
    _, sent = methods_sent("--method", method, "--send")
    assert set(sent) == {"OPTIONS", method}
    assert sent[method] == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_get_and_head_are_sent(method: str) -> None:
    status, sent = methods_sent("--method", method)
    assert (status, set(sent)) == (0, {method})


def test_a_post_with_json_is_not_sent() -> None:
    assert set(methods_sent("--method", "post", "--header", "Content-Type")[1]) == {"OPTIONS"}


def test_a_simple_post_is_not_sent() -> None:
    with raw_server(GRANTING) as server:
        status, out, err = run(url_of(server), "--origin", FRONTEND, "--method", "POST")
    assert (status, out, server.heads) == (2, "", [])
    assert err == (
        "Error: A simple POST needs no preflight, and the request itself may change something on the server, so nothing"
        " can be asked. --send sends it.\n"
    )


def test_a_redirect_is_followed_on_the_same_server_only() -> None:
    def talk(connection: socket.socket) -> None:
        goal = b"" if "GET /goal" in server.heads[-1] else b"Location: /goal\r\n"
        connection.sendall(ECHO.replace(b"200 OK", b"307 Go" if goal else b"200 OK") + goal + b"\r\n")

    with raw_server(talk) as server:
        found = verdicts(url_of(server), "--origin", FRONTEND)
        goal = f"{url_of(server)}goal"
    assert found["request"][1].endswith(f"after a redirect to {goal}; the page can read it")
    assert {head.split(" ")[1].partition("?")[0] for head in server.heads[1:]} == {"/goal"}


# ---------------------------------------------------------------------------------------
# What cannot run
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["a b", "--origin", FRONTEND], "a b is not a valid URL: it has no scheme; write it as in ", id="url"
        ),
        pytest.param(
            ["ftp://a.com/", "--origin", FRONTEND], "ftp://a.com/ is neither http: nor https:. Write", id="ftp"
        ),
        pytest.param(
            ["localhost:5000", "--origin", FRONTEND],
            "localhost:5000 is neither http: nor https:. Write http://localhost:5000 or https://localhost:5000",
            id="no-scheme",
        ),
        pytest.param(["https://u:p@a.com/", "--origin", FRONTEND], "The URL has a user name or a password", id="user"),
        pytest.param(
            ["https://a.com/", "--origin", "frontend.com"],
            "origin: 'frontend.com' has no scheme; write 'https://frontend.com'.",
            id="origin",
        ),
        pytest.param(
            ["https://frontend.com/", "--origin", FRONTEND],
            "https://frontend.com/ is of the page's own origin, https://frontend.com, so CORS does not apply.",
            id="own",
        ),
        pytest.param(
            ["https://a.com/", "--origin", FRONTEND, "--header", "A: b"],
            "--header 'A: b' is no header name. Write the name alone: --header A\n",
            id="name",
        ),
        pytest.param(
            ["https://a.com/", "--origin", FRONTEND, "--header", "Cookie"], "--header Cookie: no script", id="cookie"
        ),
        pytest.param(
            ["https://a.com/", "--origin", FRONTEND, "--method", "TRACE"], "--method TRACE: no script", id="trace"
        ),
        pytest.param(
            ["https://a.com/", "--origin", FRONTEND, "--method", "A B"], "--method A B: no script", id="method"
        ),
        pytest.param(
            ["https://a.com/", "--origin", FRONTEND, "--cacert", "none.pem"],
            "--cacert: 'none.pem' has no certificates in PEM form",
            id="cacert",
        ),
        pytest.param(
            ["https://a.com/", "--origin", FRONTEND, "--timeout", "0"],
            "--timeout: 0.0 is no time limit; write",
            id="time",
        ),
        pytest.param(["https://a.com/"], "Say which page asks: --origin ORIGIN. Or say which app", id="no-origin"),
        pytest.param(["https://a.com/", "--app", "none:app"], "none:app cannot be imported: ", id="no-app"),
        pytest.param(
            ["https://a.com/", "--app", "probed_apps:exempt"],
            "No route has both a policy and an example URL, so there is nothing to compare.",
            id="exempt",
        ),
        pytest.param(
            ["http://127.0.0.1:1/", "--app", "probed_apps:two"],
            "No response: nobody listens at http://127.0.0.1:1. Start the server there. Check scheme, host and port.",
            id="nobody",
        ),
    ],
)
def test_what_cannot_run(arguments: list[str], message: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"Error: {message}")
    assert err.count("\n") == 1


def test_a_har_file_that_cannot_be_written(tmp_path: Path) -> None:
    with raw_server(GRANTING) as server:
        status, out, err = run(url_of(server), "--origin", FRONTEND, "--har", str(tmp_path))
    assert (status, out, err) == (2, "", f"Error: {tmp_path} cannot be written: Is a directory.\n")


# ---------------------------------------------------------------------------------------
# Formats
# ---------------------------------------------------------------------------------------


@pytest.fixture
def refusing() -> Iterator[str]:
    """The URL of a server that allows nobody."""
    with raw_server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\nX-A: 1\r\n\r\n")) as server:
        yield url_of(server)


MISSING = (
    "The answer (status 200) has no Access-Control-Allow-Origin. Send Access-Control-Allow-Origin: https://frontend.com"
    " with this response. If other responses have it, something answered in the app's place: an error page, a login, a"
    " proxy."
)


def test_json(refusing: str) -> None:
    found = document(refusing, "--origin", FRONTEND, "--method", "PUT", "--header", "X-A", "--cookies")
    curl = f"curl -i -X OPTIONS -H 'Origin: {FRONTEND}' -H 'Access-Control-Request-Method: PUT'"
    curl += f" -H 'Access-Control-Request-Headers: x-a' {refusing}"
    finding = {
        "id": "allow-origin-missing",
        "level": "error",
        "where": refusing,
        "message": MISSING,
        "help": "https://flask-preflight.readthedocs.io/en/stable/messages.html#allow-origin-missing",
    }
    time = found["sections"][1]["text"]
    assert re.fullmatch("200 in [0-9]+ ms", time)
    all_refused = found["sections"][3]["text"]
    assert re.fullmatch("https://stranger.invalid, null, near misses: all [0-9]+ are refused", all_refused)
    assert found == {
        "command": "probe",
        "version": 1,
        "url": refusing,
        "origin": FRONTEND,
        "method": "PUT",
        "headers": ["X-A"],
        "cookies": True,
        "sections": [
            {"name": "network", "verdict": "ok", "text": "plain HTTP, no Server header", "findings": []},
            {"name": "preflight", "verdict": "FAIL", "text": time, "findings": [finding]},
            {"name": "request", "verdict": "", "text": "not sent, because the preflight failed", "findings": []},
            {"name": "stranger", "verdict": "ok", "text": all_refused, "findings": []},
            {"name": "curl", "verdict": "", "text": curl, "findings": []},
        ],
    }


def test_github(refusing: str) -> None:
    assert run(refusing, "--origin", FRONTEND, "--format", "github") == (
        1,
        f"::error title=allow-origin-missing::{refusing}: {MISSING}\n",
        "",
    )


def test_sarif(refusing: str) -> None:
    status, out, _ = run(refusing, "--origin", FRONTEND, "--format", "sarif")
    [found] = json.loads(out)["runs"]
    assert status == 1
    assert [(result["ruleId"], result["level"], result["message"]["text"]) for result in found["results"]] == [
        ("allow-origin-missing", "error", MISSING)
    ]
    assert found["results"][0]["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": refusing}}}]


def test_a_command_line_for_each_request() -> None:
    with raw_server(GRANTING) as server:
        _, out, _ = run(url_of(server), "--origin", FRONTEND, "--method", "PUT", "--send", "--curl")
        _, head, _ = run(url_of(server), "--origin", FRONTEND, "--method", "HEAD")
        url = url_of(server)
    assert [line for line in [*out.splitlines(), *head.splitlines()] if "curl" in line] == [
        f"  curl       curl -i -X OPTIONS -H 'Origin: {FRONTEND}' -H 'Access-Control-Request-Method: PUT' {url}",
        f"  curl       curl -i -X PUT -H 'Origin: {FRONTEND}' {url}",
        f"  curl       curl -i --head -H 'Origin: {FRONTEND}' {url}",
    ]


def test_a_har_file(refusing: str, tmp_path: Path) -> None:
    file = tmp_path / "a.har"
    run(f"{refusing}a?b=c&d", "--origin", FRONTEND, "--har", str(file))
    log = json.loads(file.read_text(encoding="utf-8"))["log"]
    first = log["entries"][0]
    assert (log["version"], log["creator"]["name"]) == ("1.2", "flask-preflight")
    assert datetime.fromisoformat(first["startedDateTime"]).tzinfo is not None
    assert first["time"] == first["timings"]["wait"] > 0
    assert {"name": "Origin", "value": FRONTEND} in first["request"]["headers"]
    assert first["request"]["queryString"] == [{"name": "b", "value": "c"}, {"name": "d", "value": ""}]
    assert first["response"]["headers"] == [{"name": "Content-Length", "value": "0"}, {"name": "X-A", "value": "1"}]
    origins = [
        header["value"]
        for entry in log["entries"]
        for header in entry["request"]["headers"]
        if header["name"] == "Origin"
    ]
    assert {"https://stranger.invalid", "null", "https://frontendxcom"} <= set(origins)


# ---------------------------------------------------------------------------------------
# The app at hand
# ---------------------------------------------------------------------------------------


def run_with_flask(create_app: Callable[[], Flask], *arguments: str) -> tuple[int, str, str]:
    obj = ScriptInfo(create_app=create_app)
    result = CliRunner().invoke(preflight, ["probe", *arguments], obj=obj, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def flask_app() -> Flask:
    app = Flask("app", static_folder=None)
    app.add_url_rule("/two", "two", lambda: "", methods=["GET", "PUT"])
    Preflight(app, allow_origins=["https://frontend.com", "http://frontend.com"])
    return app


def test_what_the_app_allows_is_no_near_miss() -> None:
    def talk(connection: socket.socket) -> None:
        origin = server.heads[-1].partition("\r\nOrigin: ")[2].partition("\r\n")[0]
        allowed = origin if origin.endswith("//frontend.com") else ""
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVary: Origin\r\nAccess-Control-Allow-Origin: %s\r\n\r\n"
            % allowed.encode()
        )

    with raw_server(talk) as server:
        url = f"{url_of(server)}two"
        status, out, err = run_with_flask(flask_app, url, "--origin", FRONTEND)
        without, _, _ = run(url, "--origin", FRONTEND)
    assert (status, err, without) == (0, "", 1)
    assert "  who        the app answers the same (asked in process)\n" in out


def test_every_origin_may_be_meant() -> None:
    def create_app() -> Flask:
        app = Flask("app", static_folder=None)
        app.add_url_rule("/", "home", lambda: "")
        Preflight(app, allow_origins=lambda origin, environ: True)
        return app

    with serving(create_app()) as port:
        status, out, _ = run_with_flask(create_app, f"http://127.0.0.1:{port}/", "--origin", FRONTEND)
    assert status == 0
    assert "  stranger   ok    public: the app allows every origin\n" in out


def test_an_app_that_cannot_be_asked_is_a_note() -> None:
    with serving(flask_app()) as port:
        url = f"http://127.0.0.1:{port}/two"
        status, out, err = run_with_flask(lambda: Flask("bare"), url, "--origin", FRONTEND)
        status_without, out_without, _ = run(url, "--origin", FRONTEND)
    without_time = [re.sub("[0-9]+ ms", "N ms", text) for text in (out, out_without)]
    assert (status, status_without, without_time[0]) == (1, 1, without_time[1])
    assert err == (
        "The server is asked without the app: The Flask app 'bare' has no Preflight. Write Preflight(app, "
        "allow_origins=[...]).\n"
    )


def test_an_app_in_the_folder_is_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "app", raising=False)  # another test's
    with raw_server(GRANTING) as server:
        arguments = ["probe", url_of(server), "--origin", FRONTEND]
        result = CliRunner().invoke(preflight, arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        (tmp_path / "app.py").write_text("raise ValueError('on purpose')", encoding="utf-8")
        result = CliRunner().invoke(preflight, arguments)
    assert (result.exit_code, result.stderr.partition(":")[0]) == (0, "The server is asked without the app")


def test_views_that_do_cors_by_themselves() -> None:
    with serving(served_app.app) as port:
        url = f"http://127.0.0.1:{port}/data"
        found = verdicts(url, "--origin", FRONTEND, "--app", "probed_apps:exempt")
    assert found["request"][0] == "ok"
    assert found["who"] == ("", "the app leaves CORS to the view", [])


def broken(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise ValueError("on purpose")


def test_an_app_that_raises() -> None:
    def create_app() -> Flask:
        app = Flask("app", static_folder=None)
        app.add_url_rule("/", "home", lambda: "")
        Preflight(app, allow_origins=[FRONTEND])
        app.wsgi_app = broken  # type: ignore[method-assign]
        return app

    def talk(connection: socket.socket) -> None:
        allowed = b"null" if "\r\nOrigin: null\r\n" in server.heads[-1] else b""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVary: Origin\r\nAccess-Control-Allow-Origin: %s\r\n\r\n"
        connection.sendall(head % allowed)

    with raw_server(talk) as server:
        page = ("--origin", FRONTEND, "--header", "x-client", "--format", "json")
        _, out, _ = run_with_flask(create_app, url_of(server), *page)
        status, _, err = run_with_flask(create_app, url_of(server))
    sections = {section["name"]: section for section in json.loads(out)["sections"]}
    assert sections["who"]["text"].startswith("the app refuses it, too (asked in process): The answer (status 500)")
    assert [item["id"] for item in sections["stranger"]["findings"]] == ["null-allowed"]
    assert (status, err) == (*(1, "A server would answer 500, because the app raised 'ValueError: on purpose'.\n"),)


@pytest.mark.parametrize(
    "origin", ["null", "capacitor://localhost", "http://[::1]:3000", "https://127.0.0.1", "app://."]
)
def test_pages_of_every_kind(origin: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: %s\r\n\r\n" % origin.encode()
    with raw_server(saying(head)) as server:
        assert findings(url_of(server), "--origin", origin) == []


# ---------------------------------------------------------------------------------------
# Whatever the server answers
# ---------------------------------------------------------------------------------------


class Scripted:
    """A transport that gives the same answer to everything."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def send(self, url: URL, method: str, headers: Headers, body: bytes | None) -> Answer:
        return self.answer


ANSWERS = st.builds(
    lambda status, headers: Answer(status, Headers(headers), b"", connection=Connection("", None, 0.01)),
    st.sampled_from([200, 204, 301, 307, 401, 403, 404, 500]),
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    *("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"),
                    *(
                        "Access-Control-Allow-Credentials",
                        "Access-Control-Max-Age",
                        "Vary",
                        "Location",
                        "Age",
                        "Server",
                    ),
                    *("CORS-Refused", "X-Cache"),
                ]
            ),
            st.one_of(
                st.sampled_from(
                    [
                        *(
                            FRONTEND,
                            "*",
                            "null",
                            "true",
                            "GET, PUT",
                            "x-a",
                            "Origin",
                            "/",
                            "/b",
                            "https://b.com/",
                            "HIT",
                        ),
                        *("http://a.invalid/", "origin-not-allowed; because"),
                    ]
                ),
                st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n")),
            ),
        ),
        max_size=6,
    ),
)


@settings(max_examples=50)  # each asks about 40 times
@given(ANSWERS, st.sampled_from(["GET", "HEAD", "POST", "PUT"]), st.sampled_from([(), ("x-a",)]), st.booleans())
def test_whatever_comes_it_is_what_the_browser_makes_of_it(
    answer: Answer, method: str, headers: tuple[str, ...], cookies: bool
) -> None:
    url = parse_url("https://api.example.com/")
    question = Question(url, FRONTEND, method, headers, cookies)
    server = LiveServer(url.origin, Scripted(answer), seconds=100, sends=True)
    outcome = ask_as_page(Browser(origin=FRONTEND, transport=server), question)
    server.log.clear()
    sections = probe(question, server, None).sections
    steps = [item.id for section in sections[:3] for item in section.findings if item.id in STEPS]
    assert steps == ([outcome.error.step.value] if outcome.error else [])
    text = "\n".join(text_of(sections))
    assert re.fullmatch(r"[\n -~]*", unstyle(text))
    assert len(text) < 10_000


# ---------------------------------------------------------------------------------------
# Compared with the app
# ---------------------------------------------------------------------------------------


def live(policy: Policy | PathPolicies, *arguments: str, prefix: str = "") -> tuple[int, list[tuple[str, str]]]:
    """What `probe` says about a server with *policy*: exit status, findings and texts."""
    app = PreflightMiddleware(served_app.app, policy)
    with serving(DispatcherMiddleware(served_app.app, {prefix: app}) if prefix else app) as port:
        base = f"http://127.0.0.1:{port}"
        status, out, err = run(f"{base}{prefix}", "--app", "probed_apps:two", "--format", "json", *arguments)
    assert err == ""
    sections = json.loads(out.replace(base, "LIVE"))["sections"]
    texts = [(section["verdict"], section["text"]) for section in sections if section["text"]]
    found = [(item["id"], item["message"]) for section in sections for item in section["findings"]]
    return status, [*texts, *found]


TWO = probed_apps.two


@pytest.mark.parametrize("prefix", ["", "/mounted"])
def test_a_server_with_the_policy_of_the_app(prefix: str) -> None:
    status, said = live(TWO, prefix=prefix)
    [(verdict, text)] = said
    assert (status, verdict) == (0, "ok")
    assert re.fullmatch(r"/: \d\d questions, same for browsers", text)


DRIFTED = {
    "origin-more": (
        {"allow_origins": [..., "https://*.frontend.com"]},
        "grants-more",
        "GET LIVE/ from https://stranger.fr",
    ),
    "origin-less": ({"allow_origins": ["https://frontend.com"]}, "grants-less", "GET LIVE/ from http://127.0.0.1:8000"),
    "null": (
        {"allow_origins": [..., "null"], "dangerously_allow_null_origin": True},
        "grants-more",
        "(1 of N questions), first GET LIVE/ from null.",
    ),
    "method-more": (
        {"allow_methods": ["GET", "PUT", "DELETE"]},
        "grants-more",
        "first DELETE LIVE/ from http://127.0.0.1",
    ),
    "method-less": ({"allow_methods": ["GET"]}, "grants-less", "first PUT LIVE/ from http://127.0.0.1:8000."),
    "header-more": (
        {"allow_headers": ["Content-Type", "Authorization"]},
        "grants-more",
        "(1 of N questions), first GET LIVE/ with authorization from http://127.0.0.1:8000.",
    ),
    "header-less": ({"allow_headers": []}, "grants-less", "with content-type from http://127.0.0.1:8000."),
    "max-age": (
        {"max_age": 60},
        "grants-differ",
        "Access-Control-Max-Age is '60', and '600' in the app. Bring",
    ),
    "cookies": (
        {"allow_credentials": True, "dangerously_allow_insecure_origins": True},
        "grants-differ",
        "Access-Control-Allow-Credentials is 'true', and '' in the app. Bring",
    ),
}


@pytest.mark.parametrize(("changes", "id_", "part"), DRIFTED.values(), ids=DRIFTED)
def test_a_server_with_another_policy(changes: dict[str, Any], id_: str, part: str) -> None:
    status, said = live(TWO.override(**changes))
    assert status == 1
    message = next(message for found, message in said if found == id_)
    assert part in re.sub(r"of \d+ questions", "of N questions", message)
    other = {"grants-more": "grants-less", "grants-less": "grants-more"}.get(id_)
    assert other not in dict(said)


def test_other_statuses_are_the_same_for_browsers() -> None:
    assert live(TWO.override(preflight_status=200))[0] == 0


def test_a_lost_vary() -> None:
    def without_vary(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            return start_response(status, [pair for pair in headers if pair[0] != "Vary"], *exc_info)

        return PreflightMiddleware(served_app.app, TWO)(environ, start)

    with serving(without_vary) as port:
        found = findings(f"http://127.0.0.1:{port}", "--app", "probed_apps:two")
    assert [(id_, level) for id_, level, _ in found] == [("grants-differ", "warning")]
    assert "Vary is '', and 'origin' in the app." in found[0][2]


def test_a_server_that_falls_silent_is_no_clean_server() -> None:
    with raw_server(leaving()) as server:
        found = findings(url_of(server), "--app", "probed_apps:two")
    assert [(id_, level) for id_, level, _ in found] == [("not-all-asked", "warning")]


def test_each_policy_is_asked_once() -> None:
    with serving(probed_apps.by_paths) as port:
        found = verdicts(f"http://127.0.0.1:{port}", "--app", "probed_apps:by_paths")
        texts = [
            section["text"].partition(":")[0]
            for section in document(f"http://127.0.0.1:{port}", "--app", "probed_apps:by_paths")["sections"]
        ]
    assert found["policy"][0] == "ok"
    assert texts == ["/", "/public"]


def test_routes_of_other_hosts() -> None:
    def create_app() -> Flask:
        app = Flask("app", static_folder=None, subdomain_matching=True)
        app.config["SERVER_NAME"] = "localhost"
        app.add_url_rule("/", "home", lambda: "")
        app.add_url_rule("/", "api", lambda: "", subdomain="api", methods=["PUT"])
        Preflight(app, allow_origins=[FRONTEND])
        return app

    def texts(host: str) -> list[str]:
        _, out, _ = run_with_flask(create_app, f"http://{host}:{port}", "--format", "json")
        sections = json.loads(out)["sections"]
        return [re.sub("[0-9]+ q", "N q", section["text"] or section["findings"][0]["message"]) for section in sections]

    other = "Not all questions were asked: 1 of the app's 2 policies are for other hosts, or more than 100."
    with serving(HostByPort(create_app())) as port:
        assert texts("localhost") == ["/: N questions, same for browsers", other]
        assert texts("api.localhost") == ["/: N questions, same for browsers", other]
        assert texts("127.0.0.1") == texts("localhost")


class HostByPort:
    """An app that is asked for its SERVER_NAME on any port, and by its address."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        host = environ["HTTP_HOST"].partition(":")[0]
        return self.app({**environ, "HTTP_HOST": "localhost" if host == "127.0.0.1" else host}, start_response)


def test_more_policies_than_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "_MOST_POLICIES", 1)
    with serving(probed_apps.by_paths) as port:
        found = findings(f"http://127.0.0.1:{port}", "--app", "probed_apps:by_paths")
    text = "1 of the app's 2 policies are for other hosts, or more than 1"
    assert found == [("not-all-asked", "warning", f"Not all questions were asked: {text}.")]


@pytest.mark.parametrize(
    "policy", [TWO, probed_apps.wider, Policy(allow_origins="*"), Policy(allow_origins=lambda *_: True)]
)
def test_the_number_of_questions_is_bounded(policy: Policy) -> None:
    many = policy.override(allow_methods=[f"M{n}" for n in range(1000)], allow_headers=[f"h{n}" for n in range(1000)])
    url = parse_url("https://a.com/")
    questions = drift.questions_of(many, url, "GET")
    assert len(questions) == len(set(questions)) <= 110


# ---------------------------------------------------------------------------------------
# The documentation
# ---------------------------------------------------------------------------------------

PROBE_PAGE = ROOT / "docs" / "commands" / "probe.md"
DOCS = PROBE_PAGE.read_text(encoding="utf-8")


def test_each_finding_has_its_section() -> None:
    assert re.findall("^### ([a-z-]+)$", DOCS, re.MULTILINE) == [*FINDINGS]


def shown_commands(text: str) -> Iterator[tuple[str, str]]:
    """The command lines on a page, and what they print."""
    yield from re.findall(r"```text\n\$ flask (.*preflight .+)\n((?:.*\n)+?)```", text)


@pytest.mark.servers
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_the_outputs_on_the_page(edge: Edge) -> None:
    commands = [*shown_commands(DOCS)]
    assert len(commands) == DOCS.count("$ flask ")
    for line, output in commands:
        assert shown_on_page(edge, line) == normalized(output), line


def shown_on_page(edge: Edge, line: str) -> str:
    """What *line* prints. ``api.example.com`` is as long as the address of nginx, so lines break at the same words."""
    host = edge.https.partition("://")[2]
    app, _, rest = line.replace("api.example.com", host).partition("preflight probe ")
    at_hand = ["--app", "probed_apps:two"] if app else []
    status, out, _ = run(*shlex.split(rest), *at_hand, "--cacert", str(edge.ca_file))
    out += f"[exit status {status}]\n" if status else ""
    return normalized(out.replace(host, "api.example.com").replace(f"--cacert {edge.ca_file} ", ""))


def rewrite_page(edge: Edge) -> None:
    """Write the outputs on the page anew, with figures as a server far away has them."""
    text = DOCS
    for line, output in shown_commands(DOCS):
        new = shown_on_page(edge, line).replace("in N ms", "in 41 ms").replace("nginx/N", "nginx/1.28.0")
        new = new.replace("TLS N, certificate until N", "TLS 1.3, certificate until 2027-02-01")
        text = text.replace(f"$ flask {line}\n{output}", f"$ flask {line}\n{new}")
    PROBE_PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("Write the messages anew with: python tests/test_probe.py --write")
    with tempfile.TemporaryDirectory() as name, edge_in(Path(name)) as started:
        PAGE.rewrite(lambda case: say(started, case))
        rewrite_page(started)
