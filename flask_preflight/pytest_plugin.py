"""The pytest fixture ``preflight_browser``: ``preflight_browser(app, origin="https://frontend.com")``.

Loaded by pytest through its entry point, in every run of every project that has this package installed. So it
imports nothing until a test asks for the fixture. To measure this package itself, start coverage before
pytest does (``coverage run -m pytest``): what pytest-cov starts comes after the entry points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .browser import Browser


@pytest.fixture
def preflight_browser() -> type[Browser]:
    """Build browsers: :class:`flask_preflight.browser.Browser` under a name that needs no import."""
    from .browser import Browser

    return Browser
