"""What `import flask_preflight` offers, with and without Flask."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flask_preflight
from flask_preflight import extension


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
