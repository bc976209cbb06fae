"""Each mistake can be seen wherever a developer looks, with its reason and what to write; and what is written helps.

The network tab of the browsers is in ``test_network_tab.py``.
"""

from __future__ import annotations

import http.client
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mistakes import MISTAKES, Mistake, app_of, ask, explanation_of, followed, refused_headers, visit
from pages import without_line_numbers
from werkzeug.test import Client

from flask_preflight import Decision, Preflight, Reason, preflight_refused, request_allowed, request_refused
from flask_preflight.browser import CORSError, Step

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent

mistakes = pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)


@mistakes
def test_the_page_is_blocked(mistake: Mistake) -> None:
    with pytest.raises(CORSError):
        visit(app_of(mistake, mistake.page), mistake, mistake.page)


@mistakes
def test_the_explanation_names_the_cause(mistake: Mistake) -> None:
    assert mistake.says in explanation_of(mistake)


@mistakes
def test_the_page_gets_through_once_the_explanation_is_followed(mistake: Mistake) -> None:
    app, page = followed(mistake, mistake.page, explanation_of(mistake))
    visit(app, mistake, page)


@mistakes
def test_the_log_in_production(mistake: Mistake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flask_preflight")
    app = app_of(mistake, mistake.page)
    ask(app, mistake)
    refusals = [record for record in caplog.records if hasattr(record, "cors_reason")]
    assert [(record.levelname, vars(record)["cors_reason"]) for record in refusals] == [("INFO", mistake.reason.value)]
    assert refusals[0].getMessage().endswith(f". {explanation_of(mistake)}")


@mistakes
def test_the_signal(mistake: Mistake) -> None:
    received: list[tuple[object, Reason | None]] = []

    def receive(sender: object, decision: Decision, environ: object) -> None:
        received.append((sender, decision.reason))

    app = app_of(mistake, mistake.page)
    with ExitStack() as exits:
        for each in (preflight_refused, request_allowed, request_refused):
            exits.enter_context(each.connected_to(receive))
        ask(app, mistake)
    assert received == [(app, mistake.reason)]


@mistakes
def test_the_list_for_tests_and_outer_middleware(mistake: Mistake) -> None:
    refusals: list[str] = []
    method, headers = refused_headers(mistake, mistake.page)
    Client(app_of(mistake, mistake.page), use_cookies=False).open(
        mistake.path, method=method, headers=headers, environ_overrides={"flask_preflight.refusals": refusals}
    )
    assert refusals == [f"{mistake.reason.value}; {explanation_of(mistake)}"]


@mistakes
@pytest.mark.parametrize("debug", [False, True], ids=["production", "debug"])
def test_a_failing_test(mistake: Mistake, debug: bool) -> None:
    app = app_of(mistake, mistake.page)
    app.debug = debug
    with pytest.raises(CORSError) as caught:
        visit(app, mistake, mistake.page)
    lines = str(caught.value).splitlines()
    said = [line for line in lines if line.startswith("server    ")]
    assert said == [f"server    {mistake.reason.value}; {explanation_of(mistake)}"]
    assert not [line for line in lines if line.startswith("change    ")], "one advice, by the one who knows the policy"


@mistakes
def test_the_verdict_of_the_test_does_not_depend_on_what_the_server_says(mistake: Mistake) -> None:
    app = app_of(mistake, mistake.page)
    serve = app.wsgi_app

    def silent(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.pop("flask_preflight.refusals", None)
        return serve(environ, start_response)

    steps: list[Step] = []
    for served in (serve, silent):
        app.wsgi_app = served  # type: ignore[method-assign]
        with pytest.raises(CORSError) as caught:
            visit(app, mistake, mistake.page)
        steps.append(caught.value.step)
        assert ("server    " in str(caught.value)) == (served is serve)
    assert steps[0] is steps[1]


@mistakes
def test_a_stranger_is_told_nothing_in_production(mistake: Mistake) -> None:
    answer = ask(app_of(mistake, mistake.page), mistake)
    assert "CORS-Refused" not in answer.headers
    if mistake.has_preflight:
        assert (answer.status_code, answer.text) == (403, "This CORS preflight is refused.\n")
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]


# ---------------------------------------------------------------------------------------
# The terminal of a real process
# ---------------------------------------------------------------------------------------

SHOP = """
import sys
sys.path.insert(0, {tests!r})
from mistakes import MISTAKES, app_of
mistake = MISTAKES[{name!r}]
app = app_of(mistake, mistake.page)
"""


def terminal_of(name: str, folder: Path, *options: str) -> str:
    """What ``flask run --debug`` writes while the mistake is made."""
    mistake = MISTAKES[name]
    (folder / "shop.py").write_text(SHOP.format(tests=str(TESTS), name=name), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "flask", "--app", "shop", "run", "--debug", "--port", str(port), *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), *sys.path]), "NO_COLOR": "1"}
    log = folder / "terminal"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=sink,
            stderr=sink,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        method, headers = refused_headers(mistake, mistake.page)
        deadline = time.monotonic() + 60
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request(method, mistake.path, headers=headers)
                connection.getresponse().read()
                break
            except OSError:
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.1)
            finally:
                connection.close()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return log.read_text(encoding="utf-8")


def refusals_in(terminal: str) -> list[str]:
    return [line for line in terminal.splitlines() if mistake_line.search(line)]


mistake_line = re.compile("^(Refused|The browser blocks) a CORS ")


@pytest.mark.parametrize("name", MISTAKES)
def test_the_terminal_of_flask_run(name: str, tmp_path: Path) -> None:
    terminal = terminal_of(name, tmp_path, "--no-reload")
    assert len(refusals_in(terminal)) == 1, terminal
    (line,) = refusals_in(terminal)
    assert f", {MISTAKES[name].reason.value}: " in line
    assert without_line_numbers(line).endswith(f". {without_line_numbers(explanation_of(MISTAKES[name]))}")


def test_the_terminal_of_flask_run_with_its_reloader(tmp_path: Path) -> None:
    terminal = terminal_of("port", tmp_path)
    assert len(refusals_in(terminal)) == 1, terminal


# ---------------------------------------------------------------------------------------
# Before any request
# ---------------------------------------------------------------------------------------


def test_verify_warns_where_no_origin_is_allowed(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(MISTAKES["no origin listed"], "")
    Preflight().verify(app)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No origin is allowed anywhere in this app" in caplog.text


@pytest.mark.parametrize("name", [name for name in MISTAKES if name != "no origin listed"])
def test_verify_finds_no_fault_in_what_only_a_page_shows(name: str, caplog: pytest.LogCaptureFixture) -> None:
    Preflight().verify(app_of(MISTAKES[name], MISTAKES[name].page))
    assert caplog.records == []


# ---------------------------------------------------------------------------------------
# As a person reads it
# ---------------------------------------------------------------------------------------

REFUSALS = TESTS / "messages" / "refusals.txt"

INTRODUCTION = """\
Why a page's request is refused: what a failing test prints for each mistake of tests/mistakes.py. The line "server" is
also what the log, the terminal and the header CORS-Refused say.
"""


def failing_test_of(mistake: Mistake) -> str:
    with pytest.raises(CORSError) as caught:
        visit(app_of(mistake, mistake.page), mistake, mistake.page)
    return without_line_numbers(str(caught.value))


def all_refusals() -> str:
    sections = [f"# {name}\n\n{failing_test_of(mistake)}\n" for name, mistake in MISTAKES.items()]
    return "\n\n".join([INTRODUCTION, *sections])


def test_what_a_person_reads_is_that_of_the_file() -> None:
    assert all_refusals() == REFUSALS.read_text(encoding="utf-8")


if __name__ == "__main__":
    REFUSALS.write_text(all_refusals(), encoding="utf-8")
