"""What is wanted, and the tables: read off the times by the names of the cells, and written as Markdown."""

from __future__ import annotations

import operator
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import NamedTuple

import contenders
from harness import Times, added, ratio

MEGABYTE = 1_000_000


class Results(NamedTuple):
    times: Times
    numbers: dict[str, float]

    def ratio(self, one: str, other: str) -> float:
        return ratio(self.times, one, other)

    def added(self, one: str, other: str) -> float:
        return added(self.times, one, other)


# ---------------------------------------------------------------------------------------
# The figures
# ---------------------------------------------------------------------------------------


class Figure(NamedTuple):
    """*measure* raises `KeyError` where what it needs was not measured."""

    name: str
    measure: Callable[[Results], float]
    is_good: Callable[[float, float], bool]
    wanted: float
    unit: str

    def describe_wanted(self) -> str:
        return f"{'≤' if self.is_good is operator.le else '≥'} {_short(self.wanted)}{self.unit}"


def at_most(wanted: float, unit: str, name: str, measure: Callable[[Results], float]) -> Figure:
    return Figure(name, measure, operator.le, wanted, unit)


def at_least(wanted: float, unit: str, name: str, measure: Callable[[Results], float]) -> Figure:
    return Figure(name, measure, operator.ge, wanted, unit)


def _times(group: str, one: str, other: str) -> Callable[[Results], float]:
    return lambda results: results.ratio(f"{group}/{one}", f"{group}/{other}")


def _times_constant(group: str, app: str, case: str) -> Callable[[Results], float]:
    return _times(f"table=kinds/group={group}", f"app={app}/case={case}", f"app=constant/case={case}")


def _added_share(group: str, *ours_and_peer: tuple[str, str, str]) -> Callable[[Results], float]:
    """What ours adds, as a share of what the peer adds; of each, the app, the one that it adds it to, and the case."""
    table = f"table=kinds/group={group}"

    def measure(results: Results) -> float:
        ours, peer = (
            results.added(f"{table}/app={app}/case={case}", f"{table}/app={bare}/case={case}")
            for app, bare, case in ours_and_peer
        )
        return ours / peer

    return measure


def _number(name: str, unit: float = 1.0) -> Callable[[Results], float]:
    return lambda results: results.numbers[f"number={name}"] / unit


def _hostile(app: str, case: str, ordinary: str = "refused") -> Callable[[Results], float]:
    return _times(f"table=hostile/app={app}", f"case={case}", f"case={ordinary}")


def _figures() -> Iterator[Figure]:
    constant, more = " times the constant answer", " times an ordinary refusal"
    for case, text in (
        ("preflight-allowed", "allowed preflight around any WSGI app"),
        ("preflight-bad-origin", "preflight refused for its origin"),
        ("preflight-bad-method", "preflight refused for its method"),
        ("preflight-bad-header", "preflight refused for a header"),
    ):
        yield at_most(3.0, constant, text, _times_constant("wsgi", "ours", case))
    for app, bare, case, text in (
        ("ours", "wsgi", "get-no-origin", "without Origin"),
        ("ours", "wsgi", "get-allowed", "allowed"),
        ("ours", "wsgi", "get-refused", "refused"),
        ("ours-with-vary", "wsgi-with-vary", "get-allowed", "allowed, the app sets `Vary`"),
    ):
        yield at_most(
            1.0,
            " times what wsgicors adds if allowed",
            f"what an actual request pays around any WSGI app: {text}",
            _added_share("wsgi", (app, bare, case), ("wsgicors", "wsgi", "get-allowed")),
        )
    by_route, flask_cors = "flask-ours-by-route", "table=kinds/group=flask/app=flask-cors/case=preflight-allowed"
    known = "Flask, preflight to a known URL with a policy by route"
    yield at_most(5.0, constant, known, _times_constant("flask", by_route, "preflight-allowed"))
    yield at_least(
        80.0,
        " times faster than Flask-Cors",
        known,
        lambda results: results.ratio(flask_cors, f"table=kinds/group=flask/app={by_route}/case=preflight-allowed"),
    )
    for app, text in (("flask-ours", "app-wide policy"), (by_route, "policy by route")):
        yield at_least(
            12.0,
            " times faster than Flask-Cors",
            f"Flask, preflight to URLs with converters, every URL new: {text}",
            _times("table=converted", "app=flask-cors/case=new-urls", f"app={app}/case=new-urls"),
        )
    for case, text in (("get-no-origin", "without Origin"), ("get-allowed", "allowed")):
        for app, policy in (("flask-ours", "app-wide policy"), (by_route, "policy by route")):
            yield at_most(
                1 / 7,
                " times what Flask-Cors adds",
                f"Flask, what an actual request pays: {text}, {policy}",
                _added_share("flask", (app, "flask", case), ("flask-cors", "flask", case)),
            )
    growth, ten = "table=growth/app=ours", "case=10-origins"
    of_ten = " times the time with 10 origins"
    yield at_most(1.3, of_ten, "100k exact origins, 512 in turn", _times(growth, "case=100k-origins", ten))
    yield at_most(2.0, of_ten, "10k patterns, 512 origins in turn", _times(growth, "case=10k-patterns", ten))
    yield at_most(10.0, " MB", "kept for 100k exact origins", _number("100k-origins/unit=bytes", MEGABYTE))
    yield at_most(1.0, " s", "building 100k exact origins", _number("100k-origins/unit=seconds"))
    views = "100 views with policies of their own over 100k inherited origins"
    yield at_most(2.0, " s", views, _number("100-views/unit=seconds"))
    yield at_most(25.0, " MB", views, _number("100-views/unit=bytes", MEGABYTE))
    yield at_most(2.0, " s", "10,000 marked routes, first request", _number("first-request/unit=seconds"))
    for case, text in (
        ("64-kb-of-commas", "64 KB of commas"),
        ("64-kb-of-names", "64 KB of names of one character"),
        ("one-name-of-64-kb", "one name of 64 KB"),
        ("origin-of-100-kb", "an origin of 100 KB"),
        ("new-origins", "20,000 new origins in turn, exact list"),
    ):
        yield at_most(1.5, more, f"hostile: {text}", _hostile("ours", case))
    yield at_most(
        3.0,
        more,
        "hostile: 20,000 new origins in turn, 1k patterns",
        _hostile("ours", "new-origins-1k-patterns", "refused-by-1k-patterns"),
    )
    for app, text in (("ours", "any WSGI app"), ("flask-ours", "Flask")):
        yield at_most(
            1.5,
            " times the time in peace",
            f"hostile: what others pay for preflights amid 9 times as many, none like another, {text}",
            _hostile(app, "others-in-flood", "others-in-peace"),
        )
    for app, text in (("ours", "any WSGI app"), ("flask-ours", "Flask"), ("flask-by-route", "Flask, by route")):
        yield at_most(
            4.0,
            " MB",
            f"hostile: kept of 20,000 preflights, none like another, {text}",
            _number(f"flood-kept-{app}/unit=bytes", MEGABYTE),
        )
    for count in ("1k", "10k"):
        routes = _times(f"table=routes/app={by_route}", f"case={count}-routes", "case=10-routes")
        yield at_most(1.2, " times the time with 10 routes", f"{count} Flask routes", routes)
    yield at_most(40.0, " ms more than Python alone", "import flask_preflight", _number("import/unit=seconds", 1e-3))
    yield at_most(0.0, " modules of Flask and Werkzeug", "import flask_preflight", _number("import/unit=modules"))


FIGURES = tuple(_figures())


class Verdict(NamedTuple):
    figure: Figure
    measured: float | None

    @property
    def word(self) -> str:
        if self.measured is None:
            return "not measured"
        return "reached" if self.figure.is_good(self.measured, self.figure.wanted) else "**missed**"


def judge(results: Results) -> list[Verdict]:
    return [Verdict(figure, _measure(figure, results)) for figure in FIGURES]


def _measure(figure: Figure, results: Results) -> float | None:
    try:
        return figure.measure(results)
    except KeyError:
        return None


# ---------------------------------------------------------------------------------------
# The tables
# ---------------------------------------------------------------------------------------

APPS = {
    "constant": "constant answer",
    "wsgi": "WSGI app alone",
    "wsgi-with-vary": "WSGI app alone that sets `Vary`",
    "minimal": "ad-hoc closure",
    "wsgicors": "wsgicors (checks neither method nor headers)",
    "ours": "**`PreflightMiddleware`**",
    "ours-with-vary": "**`PreflightMiddleware`**, the app sets `Vary`",
    "falcon": "Falcon alone",
    "falcon-cors": "Falcon's CORS",
    "asgi": "ASGI app alone",
    "starlette": "Starlette's CORS (ASGI)",
    "flask": "Flask alone",
    "flask-cors": "Flask-Cors",
    "cross-origin": "Flask-Cors, `@cross_origin`",
    "by-hand": "Flask, written by hand",
    "flask-wsgicors": "wsgicors around Flask",
    "flask-ours": "**`Preflight`**, app-wide policy",
    "flask-ours-by-route": "**`Preflight`**, policy by route",
    "django": "Django alone",
    "django-cors-headers": "django-cors-headers",
}
# To whom each adds what it adds
BARE = {
    "minimal": "wsgi",
    "wsgicors": "wsgi",
    "ours": "wsgi",
    "ours-with-vary": "wsgi-with-vary",
    "falcon-cors": "falcon",
    "starlette": "asgi",
    "flask-cors": "flask",
    "cross-origin": "flask",
    "by-hand": "flask",
    "flask-wsgicors": "flask",
    "flask-ours": "flask",
    "flask-ours-by-route": "flask",
    "django-cors-headers": "django",
}

KINDS = {
    "get-no-origin": "GET, no Origin",
    "get-allowed": "GET, allowed",
    "get-refused": "GET, refused",
    "preflight-allowed": "preflight, allowed",
    "preflight-bad-origin": "bad origin",
    "preflight-bad-method": "bad method",
    "preflight-bad-header": "bad header",
}
GROWTH = {
    "10-origins": "10 exact",
    "1k-origins": "1k exact",
    "100k-origins": "100k exact",
    "10-patterns": "10 patterns",
    "1k-patterns": "1k patterns",
    "10k-patterns": "10k patterns",
}
HOSTILE = {
    "refused": "ordinary refusal",
    "64-kb-of-commas": "64 KB of commas",
    "64-kb-of-names": "64 KB of names",
    "one-name-of-64-kb": "one name of 64 KB",
    "origin-of-100-kb": "origin of 100 KB",
    "new-origins": "new origins",
    "refused-by-1k-patterns": "ordinary refusal, 1k patterns",
    "new-origins-1k-patterns": "new origins, 1k patterns",
    "others-in-peace": "others in peace",
    "others-in-flood": "others in a flood",
}
ROUTES = {"10-routes": "10 routes", "1k-routes": "1k routes", "10k-routes": "10k routes"}


def report(results: Results) -> str:
    """All tables of what was measured, as Markdown."""
    tables = [
        _figure_table(judge(results)),
        *_time_table(results, "Each kind of request", ("kinds/group=wsgi", "kinds/group=flask"), KINDS),
        *_time_table(results, "The same in new strings, as a server makes them", ("fresh",), KINDS),
        *_time_table(results, "Many origins: allowed preflights, up to 512 origins in turn", ("growth",), GROWTH),
        *_time_table(results, "Hostile preflights", ("hostile",), HOSTILE),
        *_time_table(results, "Flask, URLs with converters, every URL new", ("converted",), {"new-urls": "preflight"}),
        *_time_table(results, "Flask, many routes: allowed preflights, ten URLs in turn", ("routes",), ROUTES),
        *_number_table(results.numbers),
    ]
    return "\n\n".join([versions(), *tables])


def _figure_table(verdicts: Sequence[Verdict]) -> str:
    rows = [
        (
            verdict.figure.name,
            verdict.figure.describe_wanted(),
            "" if verdict.measured is None else _short(verdict.measured),
            verdict.word,
        )
        for verdict in verdicts
    ]
    return "### What is wanted\n\n" + table_of(("", "wanted", "measured", ""), rows)


def _time_table(results: Results, title: str, tables: Sequence[str], cases: dict[str, str]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = []
    for table in tables:
        for app, text in APPS.items():
            cells = [_time_cell(results, f"table={table}", app, case) for case in cases]
            # the constant answer is in each group, and shown once
            if any(cells) and not (app == "constant" and rows):
                rows.append((text, *cells))
    if rows:
        yield f"### {title}\n\n" + table_of(("µs", *cases.values()), rows)


def _time_cell(results: Results, table: str, app: str, case: str) -> str:
    """Microseconds; for requests that reach the app, in brackets those that it takes longer than without CORS."""
    times = results.times.get(f"{table}/app={app}/case={case}")
    if not times:
        return ""
    text = _short(median(times.values()) * 1e6)
    bare = f"{table}/app={BARE.get(app)}/case={case}"
    if case.startswith("get-") and bare in results.times:
        more = results.added(f"{table}/app={app}/case={case}", bare) * 1e6
        text += f" ({'+' if more > 0 else ''}{_short(more)})"
    return text


def _number_table(numbers: dict[str, float]) -> Iterator[str]:
    shown = {"seconds": (1.0, "s"), "bytes": (MEGABYTE, "MB"), "modules": (1.0, "modules of Flask and Werkzeug")}
    rows = []
    for name, number in numbers.items():
        what, _, unit = name.removeprefix("number=").partition("/unit=")
        rows.append((what, f"{_short(number / shown[unit][0])} {shown[unit][1]}"))
    if rows:
        yield "### What happens once, and what is kept\n\n" + table_of(("", "measured"), rows)


def table_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(number: float) -> str:
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.0005 else "0"


def versions(*names: str) -> str:
    """When and with what this was measured."""
    names = ("Flask", "Werkzeug", *contenders.PEERS, *names)
    installed = [f"{name} {_version(name)}" for name in names if _version(name)]
    day = datetime.now(timezone.utc).date().isoformat()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"Measured on {day}, {os.cpu_count()} processors, {python}, {', '.join(installed)}."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
