"""How Sphinx builds the site: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

import flask_preflight

sys.path.insert(0, str(Path(__file__).parent))

project = "flask-preflight"
author = "the flask-preflight authors"
project_copyright = author
release = version = flask_preflight.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "anchors", "check_site", "phone_tables"]
exclude_patterns = ["examples"]

# -- pages: plain Markdown with relative links, so that they can be read on any forge as well -----------------

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block", "colon_fence"]
highlight_language = "text"

# -- reference: the docstrings are plain field lists ----------------------------------------------------------

default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
nitpicky = True
nitpick_ignore = [("py:obj", "Flask"), ("py:func", "functools.wraps")]  # theirs, and their documentation is elsewhere

# -- look: nothing is loaded from elsewhere, fonts are the reader's own ---------------------------------------

html_theme = "furo"
html_title = f"flask-preflight {version}"
html_static_path = ["_static"]
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"  # the default of the theme underlines modules, as if they were links
html_css_files = ["site.css"]
html_js_files = ["accessible.js"]
html_show_sourcelink = False
html_copy_source = False
html_search_scorer = str(Path(__file__).parent / "scorer.js")
html_theme_options = {
    # links are underlined in a colour that can be seen
    "light_css_variables": {
        "color-brand-primary": "#0b6623",
        "color-brand-content": "#0b6623",
        "color-link-underline": "#5c9a6e",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7ddc9a",
        "color-brand-content": "#7ddc9a",
        "color-link-underline": "#4f8f63",
    },
}
copybutton_exclude = ".linenos, .gp, .go"
