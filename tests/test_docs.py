"""The examples in README.md and docs/ run, and print what the page says they print."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from doc_programs import ROOT, program, warning_filters

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LAST_WORD = "This was the whole page.\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
@pytest.mark.slow
def test_examples_of_the_page_run(page: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    source, prints = program(page.read_text(encoding="utf-8"))
    (tmp_path / "page.py").write_text(f"{source}\nprint({LAST_WORD!r}, end='')\n", encoding="utf-8")
    # Django's documentation calls a project so, and its settings may be empty.
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "settings.py").touch()
    command = [sys.executable, *warning_filters(pytestconfig), "page.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == prints + LAST_WORD


@pytest.mark.slow
def test_tests_on_the_page_pass(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    source, _ = program((ROOT / "docs" / "testing.md").read_text(encoding="utf-8"))
    (tmp_path / "test_page.py").write_text(source, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")  # so that no other one is looked for
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *warning_filters(pytestconfig)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=environment)
    assert (result.returncode, result.stdout.splitlines()[-1].partition(" in ")[0]) == (0, "7 passed"), result.stdout


# ---------------------------------------------------------------------------------------
# No block escapes
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "source", "prints"),
    [
        pytest.param("no code", "", "", id="none"),
        pytest.param("```python\na = 1\n```\n\n```python\nb = a\n```", "\na = 1\n\n\n\nb = a\n", "", id="two"),
        pytest.param("- item\n  ```python\n  if a:\n      b\n  ```", "\n\nif a:\n    b\n", "", id="in-a-list"),
        pytest.param("> ```python\n> a\n> ```", "\na\n", "", id="in-a-quotation"),
        pytest.param("~~~~python\n```\n~~~~", "\n```\n", "", id="tildes"),
        pytest.param("````\n```python\na\n```\n````", "\n\n\n\n", "", id="shown-as-markdown"),
        pytest.param('```python title="a.py"\na\n```', "\na\n", "", id="with-attributes"),
        pytest.param("<!-- not run: why -->\n```python\na\n```", "\n\n\n", "", id="not-run"),
        pytest.param("```python\na\n```\n\n```text\n1\n\n2\n```", "\na\n" + "\n" * 6, "1\n\n2\n", id="prints"),
        pytest.param("```python\na\n```\nSome\n```text\n1\n```", "\na\n\n\n\n\n", "", id="text-of-its-own"),
        pytest.param("```\na\n```\n```text\n1\n```", "\n" * 5, "", id="text-below-something-else"),
        pytest.param("```{toctree}\na\n```", "\n\n", "", id="directive"),
    ],
)
def test_what_is_run(text: str, source: str, prints: str) -> None:
    assert program(text) == (source, prints)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("```py\na\n```", id="py"),
        pytest.param("```Python\na\n```", id="capital"),
        pytest.param("```pycon\n>>> a\n```", id="pycon"),
        pytest.param("```{python}\na\n```", id="braces"),
        pytest.param("```{code-block} python\na\n```", id="directive"),
        pytest.param("```sh\na\n```", id="sh"),
        pytest.param("```nginx\na\n```", id="nginx"),
        pytest.param("<!-- not run: -->\n```python\na\n```", id="no-reason"),
        pytest.param("<!-- not run -->\n```python\na\n```", id="no-colon"),
        pytest.param("<!-- not run: why -->\n\n```python\na\n```", id="not-right-above"),
        pytest.param("<!-- not run: why -->\ntext", id="above-nothing"),
    ],
)
def test_no_block_escapes(text: str) -> None:
    with pytest.raises(ValueError, match="not run"):
        program(text)
