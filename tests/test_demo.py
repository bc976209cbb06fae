"""The demo as a newcomer meets it: start it, open the page, press the buttons."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parent.parent / "docs" / "examples" / "demo.py"
PATIENCE = 20  # seconds


class Demo(NamedTuple):
    process: subprocess.Popen[str]
    frontend: str
    backend: str
    stranger: str


@contextmanager
def running_demo() -> Iterator[Demo]:
    """Start what ``make demo`` starts, and wait until it has said where it is."""
    with subprocess.Popen([sys.executable, str(DEMO)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            urls: list[str] = []
            for line in process.stdout:
                urls += re.findall(r"http://\S+", line)
                if "Ctrl-C" in line:
                    break
            yield Demo(process, *urls)
        finally:
            process.kill()


def ask(origin: str, method: str, path: str) -> tuple[int, str]:
    connection = HTTPConnection(origin.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


# ---------------------------------------------------------------------------------------
# Without a browser
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_page_until_it_is_told_to_stop(number: signal.Signals) -> None:
    with running_demo() as demo:
        pages = {ask(origin, "GET", "/") for origin in (demo.frontend, demo.stranger)}
        assert ask(demo.frontend, "POST", "/wire") == (200, "[]")
        assert ask(demo.frontend, "GET", "/nothing")[0] == 404
        demo.process.send_signal(number)
        assert demo.process.wait(PATIENCE) == 0
    [(status, page)] = pages
    assert status == 200
    assert not re.search(r"@\w+@", page), "a blank is left"
    # nothing comes from elsewhere: there are no other URLs than the three origins, the namespace of the icon, and the
    # front end that the app names in its source
    urls = set(re.findall(r"\w+://[\w.:-]+", page))
    assert urls == {demo.frontend, demo.backend, demo.stranger, "http://www.w3.org", "https://frontend.com"}
    for policy in ("Preflight(", "cors_blueprint(", "def create_app(", "@cors_route(allow_origins="):
        assert page.count(policy) == 1, "the page shows each once"


def test_the_debug_mode_of_its_back_end_brings_no_debugger() -> None:
    with running_demo() as demo:
        for path in ("/console", "/?__debugger__=yes&cmd=resource&f=debugger.js"):
            assert ask(demo.backend, "GET", path)[0] == 404


def test_a_port_that_is_taken_is_one_line_on_the_terminal() -> None:
    with running_demo() as demo:
        taken = demo.frontend.rpartition(":")[2]
        command = [sys.executable, str(DEMO), "--backend-port", taken]
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"Cannot listen: .+\. Choose other ports\.\n", result.stderr)


# ---------------------------------------------------------------------------------------
# In Chromium
# ---------------------------------------------------------------------------------------

FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run
    --no-default-browser-check --disable-background-networking --disable-component-update --disable-sync
    --disable-default-apps --disable-extensions --disable-breakpad --metrics-recording-only --password-store=basic
    --use-mock-keychain --proxy-server=http://127.0.0.1:9
"""

NOT_TOLD = "TypeError: Failed to fetch"

NO_TOKEN = "Request header field authorization is not allowed by Access-Control-Allow-Headers"
NO_TOKEN_EXPLAINED = "The request header 'authorization' is not in allow_headers"

# Of the headers, the page is told those that need no permission, and those that the view exposes
SAVED = """\
200 OK
content-length: 40
content-type: application/json

{
  "saved": {
    "key": "value"
  }
}
"""
FAILED = """\
500 INTERNAL SERVER ERROR
content-length: 35
content-type: application/json
retry-after: 60

{
  "error": "The disk is full."
}
"""


class Width(NamedTuple):
    pixels: int
    is_phone: bool


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture(scope="module", params=[Width(360, True), Width(1280, False)], ids=["phone", "desk"])
def chromium(request: pytest.FixtureRequest) -> Iterator[Chrome]:
    """A browser of its own for each width, since browsers remember what preflights were granted."""
    options = ChromeOptions()
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # the driver is named, so that Selenium does not go and look for one
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        width: Width = request.param
        metrics = {"width": width.pixels, "height": 800, "deviceScaleFactor": 1, "mobile": width.is_phone}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield driver
    finally:
        driver.quit()


def visit(chromium: Chrome, origin: str) -> None:
    chromium.get(origin)
    read_console(chromium)  # what is older is no concern of this visit


def read_console(chromium: Chrome) -> list[str]:
    """What was said since the last call."""
    entries = chromium.get_log("browser")  # type: ignore[no-untyped-call]
    return [str(entry["message"]) for entry in entries]


def play(chromium: Chrome, story: str) -> WebElement:
    """Press the story's button and wait for its end."""
    card = chromium.find_element(By.ID, story)
    card.find_element(By.TAG_NAME, "button").click()
    return finished(chromium, card)


def finished(chromium: Chrome, card: WebElement) -> WebElement:
    WebDriverWait(chromium, PATIENCE).until(lambda _: card.get_attribute("aria-busy") == "false")
    return card


def texts(card: WebElement, selector: str) -> list[str]:
    return [str(found.get_property("textContent")) for found in card.find_elements(By.CSS_SELECTOR, selector)]


def verdict(card: WebElement) -> tuple[str | None, str]:
    [text] = texts(card, ".verdict b")
    return card.get_attribute("data-verdict"), text


RIGHT = ("right", "✓ As it should be.")
WRONG = ("wrong", "✗ Not as it should be.")


def methods_on_the_wire(card: WebElement) -> list[str]:
    return [text.split()[0] for text in texts(card, ".exchange > :first-child pre")]


def assert_console_says(chromium: Chrome, expected: str) -> None:
    said: list[str] = []

    def heard(driver: Chrome) -> bool:  # messages may come late
        said.extend(read_console(driver))
        return any(expected in message for message in said)

    WebDriverWait(chromium, PATIENCE).until(heard, f"{expected!r} is not among {said}")


def assert_nothing_juts_out(chromium: Chrome) -> None:
    assert chromium.execute_script("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("story", "told", "wire"),
    [
        pytest.param("save", SAVED, ["OPTIONS", "PUT"], id="PUT-allowed"),
        pytest.param("report", FAILED, ["GET"], id="500-readable"),
    ],
)
def test_what_is_allowed_reaches_the_page(chromium: Chrome, demo: Demo, story: str, told: str, wire: list[str]) -> None:
    visit(chromium, demo.frontend)
    card = play(chromium, story)
    assert verdict(card) == RIGHT
    assert texts(card, ".told") == [told]
    assert methods_on_the_wire(card) == wire
    assert not [message for message in read_console(chromium) if "CORS" in message]
    assert_nothing_juts_out(chromium)


@pytest.mark.browser
def test_a_granted_preflight_is_not_asked_again(chromium: Chrome, demo: Demo) -> None:
    visit(chromium, demo.frontend)
    play(chromium, "save")
    assert methods_on_the_wire(play(chromium, "save")) == ["PUT"]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("story", "console", "explained"),
    [
        pytest.param(
            "delete",
            "Method DELETE is not allowed by Access-Control-Allow-Methods",
            "The method 'DELETE' is not in allow_methods",
            id="method",
        ),
        pytest.param(
            "header",
            "Request header field x-request-id is not allowed by Access-Control-Allow-Headers",
            "The request header 'x-request-id' is not in allow_headers",
            id="header",
        ),
        pytest.param("status", NO_TOKEN, NO_TOKEN_EXPLAINED, id="header-that-other-routes-allow"),
    ],
)
def test_what_is_not_allowed_is_explained(
    chromium: Chrome, demo: Demo, story: str, console: str, explained: str
) -> None:
    visit(chromium, demo.frontend)
    card = play(chromium, story)
    assert verdict(card) == RIGHT
    assert_refused(chromium, card, console, explained)


@pytest.mark.browser
def test_a_stranger_is_refused_in_the_frame(chromium: Chrome, demo: Demo) -> None:
    visit(chromium, demo.frontend)
    assert verdict(play(chromium, "stranger")) == RIGHT
    assert_nothing_juts_out(chromium)
    chromium.switch_to.frame(chromium.find_element(By.TAG_NAME, "iframe"))
    card = finished(chromium, chromium.find_element(By.ID, "save"))
    assert verdict(card) == RIGHT
    assert_refused(chromium, card, "No 'Access-Control-Allow-Origin' header", origin_is_explained(demo))


@pytest.mark.browser
@pytest.mark.parametrize("story", ["save", "delete", "header"])
def test_a_stranger_is_refused_in_a_tab(chromium: Chrome, demo: Demo, story: str) -> None:
    visit(chromium, demo.stranger)
    assert demo.stranger in chromium.find_element(By.ID, "banner").text
    card = play(chromium, story)
    assert verdict(card) == RIGHT
    assert_refused(chromium, card, "No 'Access-Control-Allow-Origin' header", origin_is_explained(demo))


@pytest.mark.browser
def test_where_all_origins_are_allowed_a_stranger_is_refused_for_its_header(chromium: Chrome, demo: Demo) -> None:
    visit(chromium, demo.stranger)
    card = play(chromium, "status")
    assert verdict(card) == RIGHT
    assert_refused(chromium, card, NO_TOKEN, NO_TOKEN_EXPLAINED)


@pytest.mark.browser
def test_a_stranger_cannot_read_what_is_sent_without_asking(chromium: Chrome, demo: Demo) -> None:
    visit(chromium, demo.stranger)
    card = play(chromium, "report")
    assert verdict(card) == RIGHT
    assert texts(card, ".told") == [NOT_TOLD]
    assert methods_on_the_wire(card) == ["GET"]
    assert_console_says(chromium, "No 'Access-Control-Allow-Origin' header")


@pytest.mark.browser
def test_the_page_admits_it_when_a_story_ends_otherwise(chromium: Chrome) -> None:
    with running_demo() as demo:
        visit(chromium, demo.frontend)
        demo.process.kill()
        demo.process.wait(PATIENCE)
        for story in ("save", "delete", "header", "report", "status"):
            assert verdict(play(chromium, story)) == WRONG


def origin_is_explained(demo: Demo) -> str:
    return (
        f"The origin '{demo.stranger}' is not in allow_origins."
        f" The nearest allowed origin is '{demo.frontend}'. It differs in the port."
    )


def assert_refused(chromium: Chrome, card: WebElement, console: str, explained: str) -> None:
    """Only the preflight was sent; page, console and back end each say what they should, and the page foretells it."""
    assert texts(card, ".told") == [NOT_TOLD]
    assert methods_on_the_wire(card) == ["OPTIONS"]
    [answer] = texts(card, ".exchange .text")
    assert answer.startswith(explained)
    [foretold] = texts(card, ".console")
    assert console in foretold
    assert_console_says(chromium, foretold)
    assert_nothing_juts_out(chromium)
