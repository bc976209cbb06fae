"""Links between the pages lead somewhere, also where nobody builds a site: on a forge, in an editor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_preflight.documentation import SITE

ROOT = Path(__file__).parent.parent
PAGES = [
    *(
        page
        for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / ".github" / "SECURITY.md")
        if page.exists()
    ),  # not all in an sdist
    *sorted((ROOT / "docs").rglob("*.md")),
]

FENCED = re.compile(r"^[ \t>]*(`{3,}|~{3,}).*?^[ \t>]*\1[`~]*\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
ANCHOR = re.compile(r'^<a id="(.+)"></a>$', re.MULTILINE)


def links(text: str) -> Iterator[str]:
    """Yield what a page links to within the project. README.md is also shown elsewhere, so it links to the site."""
    for match in LINK.finditer(FENCED.sub("", text)):
        link = match[1]
        if link.startswith(SITE):
            yield f"{ROOT}/docs/{link.removeprefix(SITE).replace('.html', '.md')}"
        elif not re.match(r"[a-z]+:", link):
            yield link


def anchors(text: str) -> set[str]:
    """The anchors of a page, and its headings named as forges do."""
    text = FENCED.sub("", text)
    headings = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading) for heading in HEADING.findall(text))
    names = {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}
    return names | set(ANCHOR.findall(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_the_page_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in links(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            wrong.append(link)
    assert not wrong


def test_tests_that_the_pages_name_exist() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").glob("*.py")))
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))}
    assert named
    assert {name for name in named if f"def {name}(" not in code} == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](b.md) and\n![c\nd](e.svg)", ["b.md", "e.svg"]),
        ("[a](https://a.com) [b](#c)", ["#c"]),
        ("```\n[a](b.md)\n```\n[c](d.md#e)", ["d.md#e"]),
    ],
)
def test_which_links_are_found(text: str, found: list[str]) -> None:
    assert list(links(text)) == found


def test_how_headings_are_named() -> None:
    text = '# A `b`-c: d!\n\n```\n# no\n```\n\n<a id="i"></a>\n\n### [E](f.md) g_h'
    assert anchors(text) == {"a-b-c-d", "e-g_h", "i"}
