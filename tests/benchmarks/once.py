"""What happens once, in seconds; and what is kept, in bytes as `tracemalloc` counts them."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import thread_time
from typing import TYPE_CHECKING, Any

import traffic
from contenders import function_views, mark, plain, policy
from figures import Figure, at_most
from flask import Flask
from groups import app_with_routes
from harness import Plan, drive

from flask_preflight import Policy, Preflight, PreflightMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def _seconds(make: Callable[[], Any], use: Callable[[Any], object], plan: Plan) -> float:
    """Return how long *use* takes with what *make* returned."""
    times = []
    for _ in range(plan.times(3)):
        made = make()
        gc.collect()
        begun = thread_time()
        used = use(made)
        times.append(thread_time() - begun)
        del made, used
    return median(times)


def _megabytes(build: Callable[[], object]) -> float:
    """Return how much memory is in use because of *build*, while its result is held."""
    gc.collect()
    tracemalloc.start()
    try:
        built = build()
        kept = _traced_megabytes()
        del built
        return kept
    finally:
        tracemalloc.stop()


def _traced_megabytes() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1e6


def _many_origins(plan: Plan) -> Iterator[Figure]:
    policy()  # what is imported and compiled once
    origins = traffic.many_origins(plan.size(100_000))  # these strings are the user's
    yield at_most(10, "MB", "kept for 100k exact origins", _megabytes(lambda: policy(origins)))
    yield at_most(1, "s", "building 100k exact origins", _seconds(lambda: origins, policy, plan))


def _many_views(plan: Plan) -> Iterator[Figure]:
    origins, count = traffic.many_origins(plan.size(100_000)), plan.size(100)

    def site() -> Flask:
        app = Flask("site")
        for number in range(count):
            view = mark(f"X-{number}")(lambda: "hello")
            app.add_url_rule(f"/view-{number}", f"view-{number}", view, methods=["GET", "PUT"])
        return app

    def use(app: Flask) -> Flask:
        Preflight(app, allow_origins=origins, allow_headers=traffic.HEADERS)
        drive(app, [traffic.preflight(origins[0], path=f"/view-{number}") for number in range(count)])
        return app

    use(site())
    app = site()
    name = "100 views with their own policies over 100k inherited origins, first answer of each"
    yield at_most(25, "MB", name, _megabytes(lambda: use(app)))
    yield at_most(2, "s", name, _seconds(site, use, plan))


def _many_routes(plan: Plan) -> Iterator[Figure]:
    app = app_with_routes(plan.size(10_000))
    gc.collect()
    seconds = drive(app, [traffic.preflight(path="/route-1")])
    yield at_most(2, "s", "10,000 marked routes, first request", seconds)


# ---------------------------------------------------------------------------------------
# A flood of hostile requests
# ---------------------------------------------------------------------------------------

# Grants as much as it can, so that much could be remembered.
_GENEROUS = Policy(
    allow_origins=[traffic.ALLOWED, "https://*.example.com"], allow_methods="*", allow_headers=["*", "Authorization"]
)


def _flooded_middleware() -> WSGIApplication:
    return PreflightMiddleware(plain, _GENEROUS)


def _flooded_flask() -> WSGIApplication:
    app = function_views(mark)
    Preflight(
        app,
        allow_origins=_GENEROUS.allow_origins,
        allow_methods=_GENEROUS.allow_methods,
        allow_headers=_GENEROUS.allow_headers,
    )
    return app


_FLOODED = {"`PreflightMiddleware`": _flooded_middleware, "`Preflight`": _flooded_flask}


def _flood(plan: Plan) -> Iterator[Figure]:
    with get_context("spawn").Pool(len(_FLOODED)) as processes:
        grown = processes.starmap(_grown_megabytes, [(name, plan) for name in _FLOODED])
    for name, megabytes in zip(_FLOODED, grown, strict=True):
        title = f"hostile: memory after a million requests, all different, {name}"
        yield at_most(0.5, "MB more than after a thousand", title, megabytes)


def _grown_megabytes(name: str, plan: Plan) -> float:
    log = logging.getLogger("flask_preflight")
    log.setLevel(logging.INFO)  # so that refusals are logged, and what the log remembers is counted
    log.addHandler(logging.NullHandler())
    log.propagate = False
    tracemalloc.start()
    app = _FLOODED[name]()
    few, many = plan.size(1000), plan.size(1_000_000)
    drive(app, traffic.flood(0, few))
    before = _traced_megabytes()
    drive(app, traffic.flood(few, many))
    return _traced_megabytes() - before


# ---------------------------------------------------------------------------------------
# Start
# ---------------------------------------------------------------------------------------


def _start(plan: Plan) -> Iterator[Figure]:
    """Compare starts, each in a new Python process, with compiled files as installed packages have them."""
    ratios = []
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        for number in range(plan.times(20) + 1):
            ours, peer = (_started(package, environment) for package in ("flask_preflight", "flask_cors"))
            if number:  # the first compiles the files
                ratios.append(ours / peer)
    name = "start: import, 50 views with their own policies, first answer"
    yield at_most(1, "times Flask-CORS with 50 `@cross_origin`", name, median(ratios))


def _started(package: str, environment: dict[str, str]) -> float:
    command = [sys.executable, str(Path(__file__).with_name("start.py")), package]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


NUMBERS: dict[str, Callable[[Plan], Iterator[Figure]]] = {
    "many-origins": _many_origins,
    "many-views": _many_views,
    "many-routes": _many_routes,
    "flood": _flood,
    "start": _start,
}
