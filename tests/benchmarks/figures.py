"""A figure that is wanted and what was measured, and the tables as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from statistics import median
from typing import NamedTuple

from harness import Times, added


class Figure(NamedTuple):
    name: str
    sign: str
    wanted: float
    unit: str
    measured: float

    @property
    def is_reached(self) -> bool:
        return self.measured <= self.wanted if self.sign == "≤" else self.measured >= self.wanted


def at_most(wanted: float, unit: str, name: str, measured: float) -> Figure:
    return Figure(name, "≤", wanted, unit, measured)


def at_least(wanted: float, unit: str, name: str, measured: float) -> Figure:
    return Figure(name, "≥", wanted, unit, measured)


def figure_table(figures: Iterable[Figure]) -> str:
    rows = [
        (
            figure.name,
            f"{figure.sign} {_short(figure.wanted)} {figure.unit}",
            _short(figure.measured),
            "reached" if figure.is_reached else "**missed**",
        )
        for figure in figures
    ]
    return table("What is wanted", ("", "wanted", "measured", ""), rows)


def time_table(title: str, times: Times, bare: Mapping[str, str]) -> str:
    """Show microseconds; in brackets, what an app adds to the *bare* app of the same framework."""
    apps, cases = (tuple(dict.fromkeys(names)) for names in zip(*times, strict=True))
    rows = [(app, *(_time(times, app, case, bare.get(app, "")) for case in cases)) for app in apps]
    return table(title, ("µs", *cases), rows)


def _time(times: Times, app: str, case: str, bare: str) -> str:
    if (app, case) not in times:
        return ""
    text = _short(median(times[app, case]) * 1e6)
    if (bare, case) in times:
        more = added(times, (app, case), (bare, case)) * 1e6
        text += f" ({'+' if more > 0 else ''}{_short(more)})"
    return text


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join([f"### {title}", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _short(number: float) -> str:
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.0005 else "0"


def conditions(*packages: str) -> str:
    """Say when and with what this was measured."""
    day = datetime.now(timezone.utc).date().isoformat()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"Measured on {day}, {os.cpu_count()} processors, {python}, {versions}."
