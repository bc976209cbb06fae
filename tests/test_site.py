"""The site in a browser: all can read it, on a phone too, and the search leads first to the page that helps."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import quote

import pytest
from accessibility import DESK, PHONE, THEMES, barriers, look_as
from doc_programs import ROOT
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

# The site is built first, which takes its time where much else runs.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

PATIENCE = 30.0  # seconds; a bound, not a wait
PAGES = [page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for page in (ROOT / "docs").rglob("*.md")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder)]
    subprocess.run(command, check=True, timeout=250)
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    options = ChromeOptions()
    for argument in ("--headless", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


# What is wider than it is shown. Code keeps its lines and can be scrolled; the rest is to be read.
CUT_OFF = """
const read = "pre:where(.highlight-none *, .highlight-sh *, .highlight-text *), h1, h2, h3, h4, li, p, td";
const texts = document.querySelectorAll(read);
const cut = [...texts].filter((text) => text.scrollWidth > text.clientWidth && text.clientWidth > 0);
const page = document.documentElement;
return [...cut.map((text) => text.textContent.slice(0, 80)), ...(page.scrollWidth > innerWidth ? ["the page"] : [])];
"""


def test_nothing_is_cut_off(site: Path, chromium: Chrome) -> None:
    cut = {}
    for page in PAGES:
        chromium.get((site / page).as_uri())
        for width in (DESK, PHONE):
            look_as(chromium, width, "light")
            cut[page, width] = chromium.execute_script(CUT_OFF)
    assert {place: texts for place, texts in cut.items() if texts} == {}


# They have all that the theme makes: code, output, tables, drawings, docstrings.
SAMPLES = ["start.html", "what-happens.html", "coming-from/flask-cors.html", "commands/verify.html", "search.html"]


@pytest.mark.timeout(1200)  # axe compares the colours of all words
def test_nothing_bars_the_way(site: Path, chromium: Chrome) -> None:
    chromium.set_script_timeout(300)
    views = [(page, DESK, "light") for page in PAGES]
    views += [(page, width, theme) for page in SAMPLES for width in (DESK, PHONE) for theme in THEMES]
    found = {}
    for page, width, theme in views:
        look_as(chromium, width, theme)
        chromium.get((site / page).as_uri())
        found[page, width, theme] = barriers(chromium)
    assert {view: barrier for view, barrier in found.items() if barrier} == {}


SCROLLING_AND_FOCUSABLE = """
return [...document.querySelectorAll("pre")].map((pre) => [pre.scrollWidth > pre.clientWidth, pre.tabIndex === 0]);
"""


def test_code_that_scrolls_and_no_other_takes_the_focus(site: Path, chromium: Chrome) -> None:
    chromium.get((site / "start.html").as_uri())

    def focusable(driver: Chrome) -> set[tuple[bool, bool]]:
        return {(scrolls, focus) for scrolls, focus in driver.execute_script(SCROLLING_AND_FOCUSABLE)}

    for width, expected in ((PHONE, {(True, True), (False, False)}), (DESK, {(False, False)})):
        look_as(chromium, width, "light")
        WebDriverWait(chromium, PATIENCE).until(lambda driver: focusable(driver) == expected)  # noqa: B023 - used at once


FOUND = """
const done = /finished|did not match/.test(document.querySelector("#search-results")?.innerText ?? "");
return done && [...document.querySelectorAll("ul.search li a")].map((link) => link.getAttribute("href"));
"""


def search(chromium: Chrome, site: Path, query: str) -> list[str]:
    """Where the results lead, the best first."""
    chromium.get(f"{(site / 'search.html').as_uri()}?q={quote(query)}")
    found = WebDriverWait(chromium, PATIENCE).until(lambda driver: driver.execute_script(FOUND))
    return [link.partition("?")[0] for link in cast("list[str]", found)]


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("CORS: preflight request failed", "refusals.html#cors-preflight-request-failed"),
        ("CORS preflight request failed", "refusals.html"),
        ("Network Error", "messages.html"),
        (
            "No 'Access-Control-Allow-Origin' header is present on the requested resource",
            "messages.html#allow-origin-missing",
        ),
        ("Redirect is not allowed for a preflight request", "messages.html#preflight-redirect"),
        ("Vite", "front-ends.html"),
        ("React", "front-ends.html"),
        ("axios", "front-ends.html"),
        ("Vercel", "front-ends.html"),
        ("Content-Disposition", "front-ends.html#downloads"),
        ("SESSION_COOKIE_SAMESITE", "recipes/sessions.html#which-settings"),
        ("SameSite", "recipes/sessions.html"),
        ("CSRF", "recipes/sessions.html"),
        ("Socket.IO", "recipes/sockets.html"),
        ("flask-sock", "recipes/sockets.html"),
        ("WebSocket", "recipes/sockets.html"),
        ("Superset", "recipes/foreign-apps.html#superset"),
        ("MLflow", "recipes/foreign-apps.html#mlflow"),
        ("WebDAV", "recipes/foreign-apps.html"),
        ("CalDAV", "recipes/foreign-apps.html"),
        ("AWS Lambda", "recipes/serverless.html"),
        ("API Gateway", "recipes/serverless.html"),
        ("Google Cloud Functions", "recipes/serverless.html"),
        ("resumable upload", "recipes/files.html#resumable-uploads-with-tus"),
        ("X-Accel-Redirect", "recipes/files.html#files-that-nginx-sends"),
        ("WhiteNoise", "recipes/files.html#whitenoise"),
        ("ASGI", "recipes/hosting.html"),
        ("CDN", "recipes/hosting.html"),
        ("method override", "recipes/hosting.html#method-override"),
        ("production", "checklist.html"),
        ("simple request", "glossary.html#simple-request"),
        ("environment variable", "flask.html#environment-variables"),
        ("Sentry", "logs.html#sentry"),
        ("gunicorn", "logs.html"),
        ("logging", "logs.html"),
        ("metrics", "metrics.html"),
        ("Prometheus", "metrics.html#prometheus"),
        ("policy or server", "policy-or-server.html"),
        ("flask-cors", "coming-from/flask-cors.html"),
    ],
)
def test_the_search_leads_to_the_page_that_helps(query: str, best: str, site: Path, chromium: Chrome) -> None:
    assert search(chromium, site, query)[0] == best


# What beginners ask, and the pages of which one is wanted first
QUESTIONS = {
    "blocked by CORS policy": "refusals messages",
    "what is a preflight": "questions what-happens glossary",
    "how do I allow all origins": "questions policy",
    "works in Postman but not in the browser": "questions",
    "cors error only in production": "questions logs",
    "localhost:3000 blocked": "refusals messages start",
    "Request header field authorization is not allowed": "messages refusals",
    "OPTIONS returns 405": "questions policy-or-server",
    "cookies are not sent": "questions recipes/sessions",
    "websocket origin": "questions recipes/sockets",
    "how do I test CORS": "questions testing",
    "preflight cache max_age": "questions policy",
    "413 upload cors error": "questions recipes/files",
    "allow subdomains": "questions policy",
    "origin null": "questions refusals",
    "capacitor app": "questions policy",
    "nginx preflight": "questions edges/nginx coming-from/nginx",
    "csrf": "recipes/sessions",
    "different policy for one route": "questions flask",
    "preflight 401 login": "questions recipes/sessions",
    "read a response header in JavaScript": "questions policy",
    "how do I turn it off for a view": "questions flask",
    "502 CORS": "questions wsgi",
    "redirect http https": "questions messages",
}


@pytest.mark.parametrize("query", QUESTIONS)
def test_the_search_answers_what_beginners_ask(query: str, site: Path, chromium: Chrome) -> None:
    first = search(chromium, site, query)[0]
    assert first.partition(".html")[0] in QUESTIONS[query].split()
