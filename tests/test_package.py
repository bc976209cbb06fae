"""What `import flask_preflight` offers, with and without Flask."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest
from test_links import anchors

import flask_preflight
from flask_preflight import extension
from flask_preflight.documentation import SITE, link


def test_the_public_names() -> None:
    assert set(flask_preflight.__all__) == {
        "Policy",
        "PolicyError",
        "PreflightMiddleware",
        "by_path",
        "Preflight",
        "cors_route",
        "cors_blueprint",
        "cors_exempt",
        "ExtensionHost",
        "preflight_granted",
        "preflight_refused",
        "request_allowed",
        "request_refused",
        "negotiate",
        "RequestFacts",
        "Decision",
        "Outcome",
        "Reason",
    }
    for name in flask_preflight.__all__:
        assert getattr(flask_preflight, name) is not None
    assert flask_preflight.Preflight is extension.Preflight


@pytest.mark.parametrize("name", ["Preflights", "cors_routes", "FIELDS", "merge", "__wrapped__"])
def test_a_misspelled_name(name: str) -> None:
    with pytest.raises(AttributeError, match=f"^module 'flask_preflight' has no attribute '{name}'$"):
        getattr(flask_preflight, name)
    assert not hasattr(flask_preflight, name)


WITHOUT_FLASK = """
import sys
sys.modules["flask"] = None  # so that importing it fails
from flask_preflight import Policy, PreflightMiddleware
PreflightMiddleware(print, Policy(allow_origins="*"))
try:
    from flask_preflight import Preflight
except ImportError as error:
    print(error.name)
"""


def test_without_flask_the_rest_can_be_imported() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT_FLASK], check=True, capture_output=True, text=True)
    assert result.stdout == "flask\n"


# ---------------------------------------------------------------------------------------
# Where messages send their reader
# ---------------------------------------------------------------------------------------

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"""\blink\(\s*f?["']([a-z/-]+)["'](?:, ["']([a-z-]+)["'])?""")


def test_the_metadata_says_where_the_documentation_is() -> None:
    urls = metadata("flask-preflight").get_all("Project-URL")
    assert urls is not None
    assert f"Documentation, {SITE}" in urls


def test_every_page_that_a_message_names_exists() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "flask_preflight").rglob("*.py")]
    found = {match.groups() for source in sources for match in LINK.finditer(source)}
    assert {page for page, _ in found} >= {"messages", "refusals", "problems", "commands/verify"}
    for page, section in found:
        texts = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob(f"{page}*.md")]
        assert texts, page
        assert section is None or section in anchors(texts[0]), (page, section)


@pytest.mark.parametrize(
    ("page", "section", "url"),
    [
        ("refusals", "method-not-allowed", f"{SITE}refusals.html#method-not-allowed"),
        ("coming-from/nginx", "", f"{SITE}coming-from/nginx.html"),
    ],
)
def test_a_link(page: str, section: str, url: str) -> None:
    assert link(page, section) == url
