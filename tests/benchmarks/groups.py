"""What is measured: groups of cells, each named ``table=…/app=…/case=…``, and numbers that are measured by themselves.

A name is all that the tables and the figures know of a cell, and ``--only`` picks cells by a part of it.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from time import thread_time
from typing import TYPE_CHECKING, Any, TypeAlias

import contenders as who
import flask
import traffic
from harness import (
    ASGIApp,
    Batch,
    Environ,
    Plan,
    Times,
    fresh,
    in_turn,
    measure,
    pool,
    quickest,
    renewed,
    same,
    same_asgi,
    start_response,
)

from flask_preflight import Preflight, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HERE = Path(__file__).parent

# Made only when it is its turn, and only if it is picked
Cells: TypeAlias = dict[str, Callable[[], Batch]]

WSGI: dict[str, Callable[[], WSGIApplication]] = {
    "constant": lambda: who.constant,
    "wsgi": lambda: who.plain,
    "wsgi-with-vary": lambda: who.with_vary,
    "minimal": lambda: who.minimal(traffic.ORIGINS),
    "wsgicors": lambda: who.wsgicors(traffic.ORIGINS),
    "ours": lambda: who.ours(traffic.ORIGINS),
    "ours-with-vary": lambda: who.ours(traffic.ORIGINS, who.with_vary),
    "falcon": who.falcon_alone,
    "falcon-cors": lambda: who.falcon_cors(traffic.ORIGINS),
}
ASGI: dict[str, Callable[[], ASGIApp]] = {
    "asgi": lambda: who.asgi_alone,
    "starlette": lambda: who.starlette(traffic.ORIGINS),
}
FLASK: dict[str, Callable[[], WSGIApplication]] = {
    "constant": lambda: who.constant,
    "flask": who.flask_alone,
    "flask-cors": lambda: who.flask_cors(traffic.ORIGINS),
    "cross-origin": lambda: who.flask_cross_origin(traffic.ORIGINS),
    "by-hand": lambda: who.flask_by_hand(traffic.ORIGINS),
    "flask-wsgicors": lambda: who.flask_wsgicors(traffic.ORIGINS),
    "flask-ours": lambda: who.flask_ours(traffic.ORIGINS),
    "flask-ours-by-route": lambda: who.flask_ours_by_route(traffic.ORIGINS),
    "django": who.django_alone,
    "django-cors-headers": lambda: who.django_cors_headers(traffic.ORIGINS),
}
# Where an app happens to lie in memory can move a figure by as much as the figure is; so each is made a few times
_COPIES = 8

FRESH = ("constant", "wsgi", "minimal", "wsgicors", "ours", "flask", "flask-cors", "flask-ours", "flask-ours-by-route")


# Each Python hashes strings in its own way and lays its memory out in its own way, which can move all figures of one by
# some per cent; so each table is measured in a few, with nothing in them that another table has left
_PROCESSES = 6


def run(plan: Plan) -> tuple[Times, dict[str, float]]:
    """Measure all that *plan* picks: the times of the groups, and single numbers by their names."""
    parts: dict[str, list[Times]] = {}
    processes = 1 if plan.quick else _PROCESSES
    share = plan._replace(rounds=-(-plan.rounds // processes))
    for _ in range(processes):
        for make_cells in (kinds, fresh_strings, growth, hostile, converted, routes):
            # a Python of its own, not a fork of this one
            with get_context("spawn").Pool(1) as python:
                groups, left_out = python.apply(_measure_groups, (make_cells, share))
            for number, group in enumerate(groups):
                parts.setdefault(f"{make_cells.__name__} {number}", []).append(group)
            for app, peer in left_out.items():
                say_left_out(app, peer)
    times: Times = {}
    for group_parts in parts.values():
        group = pool(group_parts)
        # not by our own cells, or rounds in which chance was kind to us would count
        times |= quickest(group, [name for name in group if "ours" not in name] or group)
    numbers: dict[str, float] = {}
    for name, measure_numbers in NUMBERS.items():
        if plan.only in name:
            numbers |= measure_numbers(plan)
    return times, numbers


def _measure_groups(make_cells: Callable[[Plan], Iterator[Cells]], plan: Plan) -> tuple[list[Times], dict[str, str]]:
    """The times of a table's groups, and the apps that are left out with the peer that each would need."""
    groups: list[Times] = []
    left_out: dict[str, str] = {}
    for cells in make_cells(plan):
        batches: dict[str, Batch] = {}
        for name, make in cells.items():
            if plan.only in name:
                try:
                    batches[name] = make()
                except ModuleNotFoundError as error:
                    left_out[name.partition("app=")[2].partition("/")[0]] = error.name or ""
        groups.append(measure(batches, _plan_for(batches, plan)))
    return groups, left_out


@cache
def say_left_out(app: str, peer: str) -> None:
    """Once for each app."""
    print(f"left out, for {peer} is not installed: {app}", file=sys.stderr)


def _plan_for(batches: dict[str, Batch], plan: Plan) -> Plan:
    if any("table=kinds/" not in name for name in batches):
        # new strings are made while the clock stands, and that takes the greater part of a batch
        return plan._replace(batch_seconds=plan.batch_seconds * 3)
    if any("group=flask/" in name and "case=get-" in name for name in batches):
        return plan._replace(rounds=plan.rounds * 4)  # what is added is small beside what Flask takes
    return plan


# ---------------------------------------------------------------------------------------
# Groups
# ---------------------------------------------------------------------------------------


def kinds(plan: Plan) -> Iterator[Cells]:
    """Each kind of request to each contender."""
    for group, made in (("wsgi", WSGI), ("flask", FLASK)):
        cells: Cells = {}
        for case, environ in traffic.CASES.items():
            for app, make in made.items():
                cells[f"table=kinds/group={group}/app={app}/case={case}"] = partial(_same, make, environ)
            for app, make_asgi in ASGI.items() if group == "wsgi" else ():
                cells[f"table=kinds/group={group}/app={app}/case={case}"] = partial(_same_asgi, make_asgi, environ)
        for part in ("get", "preflight"):  # smaller groups: what is compared is closer in time
            yield {name: cell for name, cell in cells.items() if f"case={part}" in name}


def _same(make: Callable[[], WSGIApplication], environ: Environ) -> Batch:
    return in_turn(same(make(), environ) for _ in range(_COPIES))


def _same_asgi(make: Callable[[], ASGIApp], environ: Environ) -> Batch:
    return same_asgi(make(), [traffic.scope_of(environ)])


def _fresh(make: Callable[[], WSGIApplication], environ: Environ) -> Batch:
    return fresh(make(), renewed(environ))


def fresh_strings(plan: Plan) -> Iterator[Cells]:
    """The same in new strings."""
    made = WSGI | FLASK
    yield {
        f"table=fresh/app={app}/case={case}": partial(_fresh, made[app], environ)
        for case, environ in traffic.CASES.items()
        for app in FRESH
    }


ORIGIN_MAKERS: dict[str, who.Maker] = {
    "minimal": who.minimal,
    "wsgicors": who.wsgicors,
    "flask-cors": who.flask_cors,
    "ours": who.ours,
    "flask-ours": who.flask_ours,
}


def growth(plan: Plan) -> Iterator[Cells]:
    """Preflights from up to 512 allowed origins in turn, by the number of those that are allowed."""
    policies = {
        **{f"{name}-origins": partial(traffic.many_origins, plan.size(count)) for name, count in _EXACT.items()},
        **{f"{name}-patterns": partial(traffic.many_patterns, plan.size(count)) for name, count in _PATTERNS.items()},
    }
    cells: Cells = {}
    for case, origins in policies.items():
        for app, maker in ORIGIN_MAKERS.items():
            if (app, case) not in _NEVER_ENDS:
                cells[f"table=growth/app={app}/case={case}"] = partial(_in_turn, maker, origins)
        cells[f"table=growth/app=starlette/case={case}"] = partial(_in_turn_asgi, origins)
    yield cells


_EXACT = {"10": 10, "1k": 1000, "100k": 100_000}
_PATTERNS = {"10": 10, "1k": 1000, "10k": 10_000}

# wsgicors takes milliseconds to seconds for each origin that it has not seen lately
_NEVER_ENDS = {("wsgicors", "100k-origins"), ("wsgicors", "10k-patterns")}


def _in_turn(maker: who.Maker, origins: Callable[[], tuple[str, ...]]) -> Batch:
    senders = traffic.spread(origins(), 512)
    return fresh(maker(origins()), renewed(traffic.preflight(), HTTP_ORIGIN=senders))


def _in_turn_asgi(origins: Callable[[], tuple[str, ...]]) -> Batch:
    senders = traffic.spread(origins(), 512)
    return same_asgi(
        who.starlette(origins()), [traffic.scope_of(traffic.preflight(origin=origin)) for origin in senders]
    )


def hostile(plan: Plan) -> Iterator[Cells]:
    """What attacks cost, beside a refusal of the same policy that repeats; and what others pay meanwhile."""
    patterns = partial(traffic.many_patterns, plan.size(1000))
    cells: Cells = {}
    for app, maker in ORIGIN_MAKERS.items():
        listed: Callable[[], WSGIApplication] = partial(maker, traffic.ORIGINS)
        for case, environ in {"refused": traffic.preflight(origin=traffic.REFUSED), **traffic.HOSTILE}.items():
            cells[f"table=hostile/app={app}/case={case}"] = partial(_fresh, listed, environ)
        cells[f"table=hostile/app={app}/case=new-origins"] = partial(_new_origins, maker, lambda: traffic.ORIGINS, plan)
        cells[f"table=hostile/app={app}/case=refused-by-1k-patterns"] = partial(_refused, maker, patterns)
        cells[f"table=hostile/app={app}/case=new-origins-1k-patterns"] = partial(_new_origins, maker, patterns, plan)
    for app in ("wsgicors", "ours", "flask-ours"):
        for case, is_flooded in (("others-in-peace", False), ("others-in-flood", True)):
            cells[f"table=hostile/app={app}/case={case}"] = partial(_others, ORIGIN_MAKERS[app], is_flooded, plan)
    for case, environ in {"refused": traffic.preflight(origin=traffic.REFUSED), **traffic.HOSTILE}.items():
        cells[f"table=hostile/app=starlette/case={case}"] = partial(_same_asgi, ASGI["starlette"], environ)
    yield cells


def _refused(maker: who.Maker, allowed: Callable[[], tuple[str, ...]]) -> Batch:
    return fresh(maker(allowed()), renewed(traffic.preflight(origin=traffic.REFUSED)))


def _new_origins(maker: who.Maker, allowed: Callable[[], tuple[str, ...]], plan: Plan) -> Batch:
    origins = traffic.new_origins(plan.size(20_000))
    return fresh(maker(allowed()), renewed(traffic.preflight(), HTTP_ORIGIN=origins))


def _others(maker: who.Maker, is_flooded: bool, plan: Plan) -> Batch:
    """What the allowed ones pay while nine of ten requests are new."""
    app = maker(traffic.ORIGINS)
    environs = cycle(traffic.flood(plan.size(20_000)))

    def flood(number: int) -> None:
        for environ in islice(environs, 9 * number):
            _send(app, environ.copy())

    mine = renewed(traffic.preflight(), HTTP_ORIGIN=traffic.ORIGINS)
    # nearly as mixed as they arrive, and reading the clock still takes little of what is measured
    few_of_mine = partial(fresh, app, mine, at_a_time=8)
    return few_of_mine(flood) if is_flooded else few_of_mine()


def converted(plan: Plan) -> Iterator[Cells]:
    """Preflights to Flask URLs with converters, each of them new."""
    paths = traffic.converted_paths(plan.size(100_000))
    yield {
        f"table=converted/app={app}/case=new-urls": partial(_new_urls, FLASK[app], paths)
        for app in ("constant", "flask", "flask-cors", "flask-ours", "flask-ours-by-route")
    }


def _new_urls(make: Callable[[], WSGIApplication], paths: Sequence[str]) -> Batch:
    return in_turn(fresh(make(), renewed(traffic.preflight(), PATH_INFO=paths)) for _ in range(_COPIES))


def routes(plan: Plan) -> Iterator[Cells]:
    """Preflights to ten URLs in turn of a Flask app, by the number of its routes."""
    yield {
        f"table=routes/app={app}/case={name}-routes": partial(_routed, is_ours, plan.size(count))
        for name, count in (("10", 10), ("1k", 1000), ("10k", 10_000))
        for app, is_ours in (("flask-ours-by-route", True), ("flask", False))
    }


def _routed(is_ours: bool, count: int) -> Batch:
    app = app_with_routes(count, is_ours=is_ours)
    paths = [f"/route-{number}" for number in range(0, count, max(1, count // 10))]
    return fresh(app, renewed(traffic.preflight(), PATH_INFO=paths))


def app_with_routes(count: int, *, is_ours: bool = True) -> flask.Flask:
    """A Flask app with so many routes, and a marked view behind each."""
    app = flask.Flask("site")

    def make_view(number: int) -> Callable[[], str]:
        return lambda: f"hello {number}"

    for number in range(count):
        view = make_view(number)
        if is_ours:
            cors_route(max_age=60)(view)
        app.add_url_rule(f"/route-{number}", f"view-{number}", view, methods=["GET", "PUT"])
    if is_ours:
        Preflight(app, allow_origins=traffic.ORIGINS, allow_headers=traffic.HEADERS)
    return app


# ---------------------------------------------------------------------------------------
# Numbers: seconds and bytes of what happens once
# ---------------------------------------------------------------------------------------


def _send(app: WSGIApplication, environ: Environ) -> None:
    for _ in app(environ, start_response):
        pass


def _seconds(make: Callable[[], Any], use: Callable[[Any], object], plan: Plan) -> float:
    """How long *use* takes on what *make* makes anew each time."""
    times = []
    for _ in range(1 if plan.quick else 3):
        made = make()
        gc.collect()
        begun = thread_time()
        used = use(made)
        times.append(thread_time() - begun)
        del made, used
    return median(times)


def _bytes(build: Callable[[], object]) -> float:
    """What is kept of what *build* makes, as long as it is kept."""
    gc.collect()
    tracemalloc.start()
    try:
        built = build()
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
        del built
        return kept
    finally:
        tracemalloc.stop()


def origins_kept(plan: Plan) -> dict[str, float]:
    """100,000 exact origins; the strings are the user's, and are there before."""
    who.policy(traffic.ORIGINS)  # what is imported and compiled once
    origins = traffic.many_origins(plan.size(100_000))
    return {
        "number=100k-origins/unit=seconds": _seconds(lambda: origins, who.policy, plan),
        "number=100k-origins/unit=bytes": _bytes(lambda: who.policy(origins)),
    }


def views_over_origins(plan: Plan) -> dict[str, float]:
    """100 views with policies of their own over 100,000 inherited origins, up to the first answer and one from each."""
    origins, views = traffic.many_origins(plan.size(100_000)), plan.size(100)

    def site() -> flask.Flask:
        app = flask.Flask("site")
        for number in range(views):
            view = cors_route(allow_headers=[..., f"X-View-{number}"])(lambda: "hello")
            app.add_url_rule(f"/view-{number}", f"view-{number}", view, methods=["GET", "PUT"])
        return app

    def use(app: flask.Flask) -> flask.Flask:
        Preflight(app, allow_origins=origins, allow_headers=traffic.HEADERS)
        for number in range(views):
            _send(app, traffic.preflight(origin=origins[0]) | {"PATH_INFO": f"/view-{number}"})
        return app

    use(site())
    app = site()
    return {
        "number=100-views/unit=seconds": _seconds(site, use, plan),
        "number=100-views/unit=bytes": _bytes(lambda: use(app)),
    }


def first_request(plan: Plan) -> dict[str, float]:
    """The first request to an app of 10,000 marked routes. To make such an app takes seconds, so only once."""
    app = app_with_routes(plan.size(10_000))
    gc.collect()
    begun = thread_time()
    _send(app, traffic.preflight() | {"PATH_INFO": "/route-1"})
    return {"number=first-request/unit=seconds": thread_time() - begun}


def flood_kept(plan: Plan) -> dict[str, float]:
    """What is kept of 20,000 preflights, none like another, some of nearly a kilobyte."""
    environs = traffic.flood(plan.size(20_000))

    def flood(app: WSGIApplication) -> None:
        for environ in environs:
            _send(app, {key: f"{value} "[:-1] if isinstance(value, str) else value for key, value in environ.items()})

    numbers = {}
    for app, make in (("ours", who.ours), ("flask-ours", who.flask_ours), ("flask-by-route", who.flask_ours_by_route)):
        site = make(traffic.ORIGINS)
        _send(site, traffic.preflight())
        numbers[f"number=flood-kept-{app}/unit=bytes"] = _bytes(partial(flood, site))
    return numbers


def imports(plan: Plan) -> dict[str, float]:
    """``import flask_preflight`` in a new Python, compiled as installed packages are, and what it has brought along."""
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        _run_python("import flask_preflight", environment)
        seconds = []
        for _ in range(plan.rounds // 3 + 1):
            imported = _run_python("import flask_preflight", environment)
            seconds.append(imported - _run_python("pass", environment))
    listing = "import flask_preflight; print(*sys.modules)"
    modules = subprocess.run(_python(listing), check=True, capture_output=True, text=True).stdout.split()
    heavy = [name for name in modules if name.split(".")[0] in {"flask", "werkzeug"}]
    return {"number=import/unit=seconds": median(seconds), "number=import/unit=modules": len(heavy)}


def _run_python(code: str, environment: dict[str, str]) -> float:
    """The processor time of a new Python, as `harness` takes it too."""
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run(_python(code), check=True, env=environment)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _python(code: str) -> list[str]:
    """A Python that has imported nothing else: not what packages installed for development bring along at its start."""
    return [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(HERE.parents[1])!r}); {code}"]


NUMBERS = {
    "number=100k-origins": origins_kept,
    "number=100-views": views_over_origins,
    "number=first-request": first_request,
    "number=flood-kept": flood_kept,
    "number=import": imports,
}
