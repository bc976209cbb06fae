"""Whole servers: how much processor time a worker of gunicorn takes for each request, sent by wrk on loopback.

gunicorn runs one sync worker, which makes a connection for each request. All servers run at once; wrk sends requests to
one at a time, in a new random order each round. So what is compared is closer in time. The worker reports its
processor time itself, so it does not matter how much time wrk takes.
"""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

from contenders import APPS, CONSTANT, CROSS_ORIGIN, FLASK_ALONE, FLASK_CORS, MIDDLEWARE, VIEWS
from figures import Figure, at_most, time_table
from harness import Cell, Plan, Times, ratio
from traffic import GETS, GRANTED, Environ

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SERVED = (CONSTANT, MIDDLEWARE, FLASK_ALONE, FLASK_CORS, CROSS_ORIGIN, VIEWS)
REQUESTS = {"preflight": GRANTED["preflight, allowed"], "GET": GETS["GET, allowed"]}

_CLOCK = "/processor-time"


def run(plan: Plan) -> tuple[list[Figure], list[str]]:
    times: Times = {(app, case): [] for app in SERVED for case in REQUESTS}
    with ExitStack() as stack:
        ports = {app: stack.enter_context(_serving(app)) for app in SERVED}
        for port in ports.values():
            _ask_clock(port)  # and wait until it has started
        for _ in range(plan.times(9)):
            cells: list[Cell] = random.sample(list(times), len(times))
            for app, case in cells:
                times[app, case].append(_load(ports[app], REQUESTS[case]))
    return list(_figures(times)), [time_table("Processor time of a gunicorn worker", times, {})]


def _figures(times: Times) -> Iterator[Figure]:
    for wanted, app, peer, case in (
        (1.05, MIDDLEWARE, CONSTANT, "preflight"),
        (0.6, VIEWS, FLASK_CORS, "preflight"),
        (0.8, VIEWS, FLASK_CORS, "GET"),
    ):
        name = f"processor time of a gunicorn worker: {case}, {app}"
        yield at_most(wanted, f"times {peer}", name, ratio(times, (app, case), (peer, case)))


# ---------------------------------------------------------------------------------------
# The server
# ---------------------------------------------------------------------------------------


def make(number: str) -> WSGIApplication:
    """Return the app to be served, which also reports its process's time. gunicorn calls this."""
    app = APPS[SERVED[int(number)]]()

    def with_clock(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == _CLOCK:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(time.process_time()).encode()]
        return app(environ, start_response)

    return with_clock


@contextmanager
def _serving(app: str) -> Iterator[int]:
    """Start a server on a socket that already listens, so that clients can connect at once. Yield the port."""
    with tempfile.TemporaryDirectory() as home, socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        served = f"servers:make('{SERVED.index(app)}')"
        command = ["-m", "gunicorn", "--log-level=error", f"--bind=fd://{listener.fileno()}", served]
        # Newer versions of gunicorn keep a control socket in the home directory, and two servers cannot share it.
        environment = {**os.environ, "HOME": home}
        process = subprocess.Popen(
            [sys.executable, *command], cwd=Path(__file__).parent, pass_fds=[listener.fileno()], env=environment
        )
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# ---------------------------------------------------------------------------------------
# Load
# ---------------------------------------------------------------------------------------


def _load(port: int, request: Environ) -> float:
    """Return the worker's processor seconds for each request."""
    begun = _ask_clock(port)
    count = _wrk(port, request)
    return (_ask_clock(port) - begun) / count


def _ask_clock(port: int) -> float:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", _CLOCK)
        return float(connection.getresponse().read())
    finally:
        connection.close()


def _wrk(port: int, request: Environ) -> int:
    """Send this request for a second. Return how often it was answered."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "{request["REQUEST_METHOD"]}"\n')
        for key, value in request.items():
            if key.startswith("HTTP_") and key != "HTTP_CONNECTION":
                script.write(f'wrk.headers["{key[5:].replace("_", "-").title()}"] = "{value}"\n')
        script.flush()
        load = ["--connections=4", "--threads=1", "--duration=1s", f"--script={script.name}"]
        command = ["wrk", *load, f"http://127.0.0.1:{port}{request['PATH_INFO']}"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count = re.search(r"(\d+) requests in", output)
    if count is None or "Non-2xx" in output:
        raise RuntimeError(f"wrk did not get good answers:\n{output}")
    return int(count[1])
