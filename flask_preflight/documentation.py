"""URLs of the documentation, for messages."""

from __future__ import annotations

from typing import Final

SITE: Final = "https://flask-preflight.readthedocs.io/en/stable/"
"""The documentation, as pyproject.toml says too."""


def link(page: str, section: str = "") -> str:
    """The URL of a page, such as ``"coming-from/nginx"``, or of a section, by its anchor."""
    return f"{SITE}{page}.html{section and '#'}{section}"
