"""A Sphinx extension that reads the built pages: each link within leads somewhere, and nothing comes from afar."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

# What a browser loads by itself; an <a> it only offers.
_LOADED = {"iframe", "img", "link", "object", "script", "source"}


class _Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[tuple[str, bool]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in {"href", "src", "data"} and value:
                self.links.append((value, tag in _LOADED))


def check(app: Sphinx, exception: Exception | None) -> None:
    """Warn of each bad link; `make docs` takes warnings for errors."""
    if exception is not None or app.builder.format != "html":
        return
    root = Path(app.outdir)
    pages = {path: _Page(path) for path in root.rglob("*.html")}
    for path, page in sorted(pages.items()):
        for link, loaded in page.links:
            problem = _problem(path, link, loaded, pages)
            if problem:
                logger.warning("%s: %r %s", path.relative_to(root), link, problem)


def _problem(path: Path, link: str, loaded: bool, pages: dict[Path, _Page]) -> str:
    parts = urlsplit(link)
    if parts.scheme == "data":
        return ""
    if parts.scheme or parts.netloc:
        return "is loaded from another server" if loaded else ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "leads nowhere"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return "names a place that is not on that page"
    return ""


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
