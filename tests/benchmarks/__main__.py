"""How long CORS takes, ours and everybody's: ``make bench``, or ``python tests/benchmarks --help``.

How it is measured: `harness`. Who: `contenders`. What: `traffic` and `groups`. What is wanted: `figures`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import groups
import servers
from figures import FIGURES, Results, judge, report
from harness import Plan

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def main() -> int:
    options = _read_arguments()
    plan = Plan(rounds=options.rounds, only=options.only, quick=options.quick)
    if options.quick:
        plan = plan._replace(rounds=1)
    begun = time.monotonic()
    if options.server:
        text, missed = servers.report(plan), 0
    else:
        results = Results(*groups.run(plan))
        text, missed = report(results), count_missed(results, plan)
    print(text, end="\n\n")
    if options.write:
        write(text, "servers" if options.server else "figures")
    seconds = f"after {time.monotonic() - begun:.0f} s"
    print(seconds if options.server else f"{missed} of {len(FIGURES)} figures missed, {seconds}")
    return 3 if missed else 0


def count_missed(results: Results, plan: Plan) -> int:
    """How many figures were not reached; only a part of the cells need not tell all of them."""
    verdicts = judge(results)
    return sum(each.word != "reached" for each in verdicts if each.measured is not None or not plan.only)


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description="Exits with 3 if a figure is missed.")
    parser.add_argument("--rounds", type=int, default=96, help="how often everything is timed (default: %(default)s)")
    parser.add_argument(
        "--only", default="", metavar="PART", help="only cells with PART in their name, as app=flask-ours/"
    )
    parser.add_argument("--quick", action="store_true", help="see that everything works; no figure means anything then")
    parser.add_argument("--server", action="store_true", help="whole servers on loopback instead")
    parser.add_argument(
        "--write", action="store_true", help=f"write the tables into {PAGE.parent.name}/{PAGE.name} too"
    )
    return parser.parse_args()


def write(text: str, part: str) -> None:
    """Replace what stands between two marks of the page; all else on it is written by hand."""
    begin, end = f"<!-- {part}: made by tests/benchmarks -->", f"<!-- {part}: end -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
