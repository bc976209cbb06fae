"""The demo as a newcomer meets it: start it, open the page, press the buttons."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest
from accessibility import DESK, PHONE, THEMES, barriers, look_as
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from flask_preflight.documentation import SITE

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parent.parent / "docs" / "examples" / "demo.py"
PATIENCE = 20  # seconds


class Demo(NamedTuple):
    process: subprocess.Popen[str]
    frontend: str
    backend: str
    stranger: str

    @property
    def other_site(self) -> str:
        return self.frontend.replace("127.0.0.1", "localhost")


@contextmanager
def running_demo() -> Iterator[Demo]:
    """Start what ``make demo`` starts, and wait until it has said where it is."""
    command = [sys.executable, str(DEMO)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
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
    # nothing comes from elsewhere: there are no other URLs than the four origins, the namespace of the icon, the front
    # end that the app names in its source, and links to the documentation
    urls = set(re.findall(r"\w+://[\w.:-]+", page))
    documentation = re.match(r"\w+://[^/]+", SITE)
    assert documentation is not None
    assert urls == {*demo[1:], demo.other_site, "http://www.w3.org", "https://frontend.com", documentation[0]}
    assert not re.search(r"<(script|link|img|iframe)[^>]+https?:(?!//www\.w3\.org)", page)
    for policy in (
        "Preflight(",
        "cors_blueprint(api",
        "def create_app(",
        "@cors_route(allow_origins=&quot;",
        "def add_account(",
    ):
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
NOT_GRANTED = "No 'Access-Control-Allow-Origin' header"

NO_TOKEN = "Request header field authorization is not allowed by Access-Control-Allow-Headers"
NO_TOKEN_EXPLAINED = "headers-not-allowed; The request header 'authorization' is not in allow_headers"

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
KNOWN = """\
200 OK
content-length: 20
content-type: application/json

{
  "user": "Ada"
}
"""
UNKNOWN = """\
401 UNAUTHORIZED
content-length: 40
content-type: application/json

{
  "error": "You are not logged in."
}
"""


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture(scope="module", params=[PHONE, DESK], ids=["phone", "desk"])
def chromium(request: pytest.FixtureRequest) -> Iterator[Chrome]:
    """A browser of its own for each width, since browsers remember what preflights were granted."""
    options = ChromeOptions()
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # the driver is named, so that Selenium does not go and look for one
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        look_as(driver, request.param, "light")
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
    findings = card.find_element(By.CLASS_NAME, "findings")
    WebDriverWait(chromium, PATIENCE).until(lambda _: findings.get_attribute("aria-busy") == "false")
    return card


@contextmanager
def framed(chromium: Chrome, card: WebElement, story: str) -> Iterator[WebElement]:
    """The story that a page in the card's frame has played."""
    chromium.switch_to.frame(card.find_element(By.TAG_NAME, "iframe"))
    try:
        yield finished(chromium, chromium.find_element(By.ID, story))
    finally:
        chromium.switch_to.default_content()


def texts(card: WebElement, selector: str) -> list[str]:
    return [str(found.get_property("textContent")) for found in card.find_elements(By.CSS_SELECTOR, selector)]


def verdict(card: WebElement) -> tuple[str | None, str]:
    [text] = texts(card, ".verdict b")
    return card.get_attribute("data-verdict"), text


ALLOWED = ("allowed", "✓ Allowed, as it should be.")
READABLE = ("readable", "✓ Readable, as it should be.")
REFUSED = ("refused", "⊘ Refused, as it should be.")
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
    ("story", "ends", "told", "wire"),
    [
        pytest.param("save", ALLOWED, SAVED, ["OPTIONS", "PUT"], id="PUT-allowed"),
        pytest.param("report", READABLE, FAILED, ["GET"], id="500-readable"),
        pytest.param("cookie", ALLOWED, KNOWN, ["POST", "GET"], id="cookie-of-the-same-site"),
    ],
)
def test_what_is_allowed_reaches_the_page(
    chromium: Chrome, demo: Demo, story: str, ends: tuple[str, str], told: str, wire: list[str]
) -> None:
    visit(chromium, demo.frontend)
    card = play(chromium, story)
    assert verdict(card) == ends
    assert texts(card, ".told") == [told]
    assert methods_on_the_wire(card) == wire
    assert not [message for message in read_console(chromium) if "CORS" in message]
    assert_nothing_juts_out(chromium)
    assert_verdict_is_in_sight(chromium, card)


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
            "method-not-allowed; The method 'DELETE' is not in allow_methods",
            id="method",
        ),
        pytest.param(
            "header",
            "Request header field x-request-id is not allowed by Access-Control-Allow-Headers",
            "headers-not-allowed; The request header 'x-request-id' is not in allow_headers",
            id="header",
        ),
        pytest.param("status", NO_TOKEN, NO_TOKEN_EXPLAINED, id="header-that-other-routes-allow"),
    ],
)
def test_what_is_not_allowed_is_explained(
    chromium: Chrome, demo: Demo, story: str, console: str, explained: str
) -> None:
    visit(chromium, demo.frontend)
    assert_refused(chromium, play(chromium, story), console, explained)


@pytest.mark.browser
def test_a_plain_get_arrives_although_it_is_not_allowed(chromium: Chrome, demo: Demo) -> None:
    visit(chromium, demo.frontend)
    explained = f"origin-not-allowed; The origin '{demo.frontend}' is not allowed: allow_origins is empty."
    visits = []
    for _ in range(2):
        card = play(chromium, "visits")
        assert_refused(chromium, card, NOT_GRANTED, explained, ["GET"])
        [answer] = texts(card, ".exchange .text")
        visits.append(json.loads(answer)["visits"])
    assert visits[1] == visits[0] + 1, "the view ran each time"


@pytest.mark.browser
def test_a_stranger_is_refused_in_the_frame(chromium: Chrome, demo: Demo) -> None:
    visit(chromium, demo.frontend)
    card = play(chromium, "stranger")
    assert verdict(card) == REFUSED
    assert_nothing_juts_out(chromium)
    assert_verdict_is_in_sight(chromium, card)
    with framed(chromium, card, "save") as played:
        assert_refused(chromium, played, NOT_GRANTED, origin_is_explained(demo))


@pytest.mark.browser
def test_the_other_site_may_read_but_its_requests_have_no_cookie(chromium: Chrome, demo: Demo) -> None:
    visit(chromium, demo.frontend)
    assert cookies_on_the_wire(play(chromium, "cookie"))[-1], "the browser has the cookie"
    card = play(chromium, "other-site")
    assert verdict(card) == READABLE
    assert_nothing_juts_out(chromium)
    with framed(chromium, card, "cookie") as played:
        assert verdict(played) == READABLE
        assert texts(played, ".told") == [UNKNOWN]
        assert methods_on_the_wire(played) == ["POST", "GET"]
        assert cookies_on_the_wire(played) == [False, False]


@pytest.mark.browser
@pytest.mark.parametrize("story", ["save", "delete", "header"])
def test_a_stranger_is_refused_in_a_tab(chromium: Chrome, demo: Demo, story: str) -> None:
    visit(chromium, demo.stranger)
    assert demo.stranger in chromium.find_element(By.ID, "banner").text
    assert_refused(chromium, play(chromium, story), NOT_GRANTED, origin_is_explained(demo))


@pytest.mark.browser
def test_where_all_origins_are_allowed_a_stranger_is_refused_for_its_header(chromium: Chrome, demo: Demo) -> None:
    visit(chromium, demo.stranger)
    assert_refused(chromium, play(chromium, "status"), NO_TOKEN, NO_TOKEN_EXPLAINED)


@pytest.mark.browser
@pytest.mark.parametrize(("story", "wire"), [("report", ["GET"]), ("cookie", ["POST", "GET"])])
def test_a_stranger_cannot_read_what_is_sent_without_asking(
    chromium: Chrome, demo: Demo, story: str, wire: list[str]
) -> None:
    visit(chromium, demo.stranger)
    assert_refused(chromium, play(chromium, story), NOT_GRANTED, "origin-not-allowed; The origin", wire)


@pytest.mark.browser
def test_the_page_admits_it_when_the_servers_do_not_answer(chromium: Chrome) -> None:
    with running_demo() as demo:
        visit(chromium, demo.frontend)
        demo.process.kill()
        demo.process.wait(PATIENCE)
        stories = story_ids(chromium)
        assert len(stories) == 9
        for story in stories:
            card = play(chromium, story)
            assert verdict(card) == WRONG
            assert texts(card, ".verdict")[0].endswith("The demo’s servers do not answer. Are they still running?")
            assert texts(card, ".findings") == [""]


@pytest.mark.browser
def test_nothing_bars_the_way(chromium: Chrome, demo: Demo) -> None:
    """Before and after each story was played, with a keyboard, in both themes and in the frames."""
    found = {}
    width = chromium.execute_script("return innerWidth")
    for theme in THEMES:
        look_as(chromium, width, theme)
        visit(chromium, demo.frontend)
        found[theme, "before"] = barriers(chromium)
        for story in story_ids(chromium):
            card = chromium.find_element(By.ID, story)
            card.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
            finished(chromium, card)
        found[theme, "after"] = barriers(chromium)
        for card_id, story in (("stranger", "save"), ("other-site", "cookie")):
            with framed(chromium, chromium.find_element(By.ID, card_id), story):
                found[theme, card_id] = barriers(chromium)
    assert {place: barrier for place, barrier in found.items() if barrier} == {}


def story_ids(chromium: Chrome) -> list[str]:
    return [str(card.get_attribute("id")) for card in chromium.find_elements(By.CLASS_NAME, "story")]


def cookies_on_the_wire(card: WebElement) -> list[bool]:
    """Which of the requests had a cookie."""
    return ["\nCookie:" in text for text in texts(card, ".exchange > :first-child pre")]


def origin_is_explained(demo: Demo) -> str:
    return (
        f"origin-not-allowed; The origin '{demo.stranger}' is not in allow_origins."
        f" The nearest allowed origin is '{demo.frontend}'. It differs in the port."
    )


def assert_refused(
    chromium: Chrome, card: WebElement, console: str, explained: str, wire: Sequence[str] = ("OPTIONS",)
) -> None:
    """Page, console, terminal and header each say what they should, and the page foretells the console."""
    assert verdict(card) == REFUSED
    assert texts(card, ".told") == [NOT_TOLD]
    assert methods_on_the_wire(card) == [*wire]
    [foretold], [refusal], [line] = (texts(card, f".{name}") for name in ("console", "refusal", "terminal"))
    assert refusal.startswith(explained)
    reason, _, sentence = refusal.partition("; ")
    assert re.fullmatch(rf"Refused a CORS (preflight|request), {reason}: '\w+' '[/\w]+'\. {re.escape(sentence)}", line)
    [link] = card.find_elements(By.CSS_SELECTOR, ".findings a")
    assert link.get_attribute("href") == f"{SITE}refusals.html#{reason}"
    assert console in foretold
    assert_console_says(chromium, foretold)
    assert_nothing_juts_out(chromium)


def assert_verdict_is_in_sight(chromium: Chrome, card: WebElement) -> None:
    shown = card.find_element(By.CLASS_NAME, "verdict")
    in_sight = "const {top, bottom} = arguments[0].getBoundingClientRect(); return 0 <= top && bottom <= innerHeight"
    WebDriverWait(chromium, PATIENCE).until(lambda driver: driver.execute_script(in_sight, shown))
