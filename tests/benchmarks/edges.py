"""Edges that grant preflights, against the app itself behind gunicorn: how many a second, and what a start costs.

All servers have one worker and keep connections open. wrk sends preflights from all allowed origins in turn. It uses
another processor. All servers with the same policy take turns, in a new random order each round.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.request import urlopen

from figures import Figure, at_least, table
from flask import Flask
from harness import Plan

sys.path.append(str(Path(__file__).parents[1]))

from edge_servers import configured, started
from test_servers import is_open, kept_port

from flask_preflight import Policy, Preflight
from flask_preflight.edge.rows import CannotExport, rows_of
from flask_preflight.policy import PolicyChanges

APP = "Flask with **`Preflight`**, gunicorn"
NAMES = {"nginx": "nginx", "haproxy": "HAProxy", "envoy": "Envoy", "njs": "nginx with njs", "caddy": "Caddy"}
COUNTS = (10, 10_000, 100_000)


class Run(NamedTuple):
    """What one edge did with a number of origins. *rates* are in preflights a second, *size* is in bytes."""

    rates: list[float]
    seconds_to_start: float
    size: int


Runs = dict[tuple[str, int], Run]


def run(plan: Plan) -> tuple[list[Figure], list[str]]:
    runs: Runs = {}
    for count in COUNTS:
        runs |= _run_all(count, plan)
    return list(_figures(runs)), [_rates(runs), _starts(runs)]


def _figures(runs: Runs) -> Iterator[Figure]:
    """The least of what is promised: https://flask-preflight.readthedocs.io/edge.html"""
    for name, wanted in {"nginx": 4, "HAProxy": 4, "Envoy": 4, "Caddy": 2}.items():
        faster = median(runs[name, 10].rates) / median(runs[APP, 10].rates)
        yield at_least(wanted, "times the app behind gunicorn", f"granted preflights a second: {name}", faster)


def _run_all(count: int, plan: Plan) -> Runs:
    runs: Runs = {}
    ports: dict[str, int] = {}
    with ExitStack() as stack:
        begun = time.monotonic()
        ports[APP] = stack.enter_context(_app(count))
        runs[APP, count] = Run([], time.monotonic() - begun, 0)
        rows = rows_of(Policy(**_fields(count)))
        for edge, name in NAMES.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                port, fd = stack.enter_context(configured(edge, folder, rows))
            except CannotExport:
                continue
            size = sum(file.stat().st_size for file in folder.iterdir())
            begun = time.monotonic()
            stack.enter_context(started(edge, folder, port, fd))
            runs[name, count] = Run([], time.monotonic() - begun, size)
            ports[name] = port
        for _ in range(plan.times(7)):
            for name in random.sample([*ports], len(ports)):
                runs[name, count].rates.append(_load(ports[name], count, 0.2 if plan.quick else 2))
    return runs


# ---------------------------------------------------------------------------------------
# The app
# ---------------------------------------------------------------------------------------


def _fields(count: int) -> PolicyChanges:
    return {
        "allow_origins": [f"https://shop-{number}.example.com" for number in range(count)],
        "allow_methods": ["GET", "PUT"],
        "allow_headers": ["Authorization", "Content-Type"],
    }


def make(count: str) -> Flask:
    """Return the app to be served. gunicorn calls this."""
    app = Flask(__name__)
    Preflight(app, **_fields(int(count)))
    app.add_url_rule("/data", "data", lambda: "", methods=["GET", "PUT"])
    return app


@contextmanager
def _app(count: int) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as home, kept_port() as port:
        options = ["--log-level=error", "--worker-class=gthread", "--threads=4", "--keep-alive=60"]
        command = [sys.executable, "-m", "gunicorn", *options, "--reuse-port", f"--bind=127.0.0.1:{port}"]
        environment = {**os.environ, "HOME": home}
        process = subprocess.Popen([*command, f"edges:make('{count}')"], cwd=Path(__file__).parent, env=environment)
        try:
            while not is_open(port):
                if process.poll() is not None:
                    raise RuntimeError("gunicorn did not start")
                time.sleep(0.02)
            with urlopen(f"http://127.0.0.1:{port}/data"):
                yield port
        finally:
            process.terminate()
            process.wait()


# ---------------------------------------------------------------------------------------
# Load
# ---------------------------------------------------------------------------------------

# In steps, so that neighbours in the list are not neighbours in time. 7919 is a prime that no count has as a factor.
_SCRIPT = """
local turn = 0
local headers = {}
headers["Access-Control-Request-Method"] = "PUT"
headers["Access-Control-Request-Headers"] = "authorization,content-type"
request = function()
    turn = (turn + 7919) %% %d
    headers["Origin"] = "https://shop-" .. turn .. ".example.com"
    return wrk.format("OPTIONS", "/data", headers)
end
"""


def _load(port: int, count: int, seconds: float) -> float:
    """Return how many preflights a second were granted."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % count)
        script.flush()
        load = ["--connections=4", "--threads=1", f"--duration={max(1, round(seconds))}s", f"--script={script.name}"]
        command = ["wrk", *load, f"http://127.0.0.1:{port}"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec: +([0-9.]+)", output)
    if rate is None or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"wrk did not get good answers:\n{output}")
    return float(rate[1])


# ---------------------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------------------


def _rates(runs: Runs) -> str:
    def cell(name: str, count: int) -> str:
        if (name, count) not in runs:
            return "not exported"
        rate, app = (median(runs[each, count].rates) for each in (name, APP))
        return f"{rate:,.0f}" + (f" ({rate / app:.1f} times)" if name != APP else "")

    rows = [(name, *(cell(name, count) for count in COUNTS)) for name in (APP, *NAMES.values())]
    return table("Granted preflights a second", ("", *(f"{count:,} origins" for count in COUNTS)), rows)


def _starts(runs: Runs) -> str:
    def cell(name: str, count: int) -> str:
        if (name, count) not in runs:
            return "not exported"
        found = runs[name, count]
        return f"{found.seconds_to_start:.2f} s" + (f", {found.size / 1000:,.0f} kB" if found.size else "")

    rows = [(name, *(cell(name, count) for count in COUNTS)) for name in (APP, *NAMES.values())]
    return table("Start, and size of the configuration", ("", *(f"{count:,} origins" for count in COUNTS)), rows)
