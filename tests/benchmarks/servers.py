"""Whole servers on loopback: how many requests a second, as a share of what the constant answer makes.

gunicorn with one sync worker, which makes a connection for each request, and waitress, which keeps connections. The
load comes from wrk, or, where there is none, from a few threads of Python, so slow that all look more alike than they
are. All servers of a kind run at once and idle, save the one that is asked; they are asked in turn, in a new random
order each round, and the shares are medians over the rounds, as in `harness`.
"""

from __future__ import annotations

import logging
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import groups
import traffic
from figures import APPS, table_of, versions
from harness import Environ, Plan

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SERVERS = ("gunicorn", "waitress")
SERVED = (
    "constant",
    "wsgi",
    "wsgicors",
    "ours",
    "flask",
    "flask-cors",
    "cross-origin",
    "by-hand",
    "flask-ours",
    "flask-ours-by-route",
)
REQUESTS = {"preflight": traffic.CASES["preflight-allowed"], "GET": traffic.CASES["get-allowed"]}

CONNECTIONS = 4


class Load(NamedTuple):
    rounds: int
    seconds: float
    has_wrk: bool


def report(plan: Plan) -> str:
    """The table of all servers, as Markdown."""
    apps = [app for app in SERVED if plan.only in f"app={app}/" or app == "constant"]
    if plan.quick:
        apps = ["constant", "ours"]
    apps = [app for app in apps if _is_there(app)]
    cells: dict[str, list[str]] = {app: [] for app in apps}
    load = Load(1, 0.1, False) if plan.quick else Load(3, 1, shutil.which("wrk") is not None)
    for server in SERVERS:
        for rates in _measure(server, apps, load):
            for app in apps:
                share = median(one / of for one, of in zip(rates[app], rates["constant"], strict=True))
                cells[app].append(f"{share:.2f} ({median(rates[app]):,.0f})")
    head = ("share of the constant answer (requests per second)", *(f"{s}, {r}" for s in SERVERS for r in REQUESTS))
    generator = "wrk" if load.has_wrk else "threads of Python"
    title = f"### Whole servers\n\nLoad by {generator}, {CONNECTIONS} connections."
    rows = [(APPS[app], *cells[app]) for app in apps]
    return "\n\n".join([versions("gunicorn", "waitress"), title, table_of(head, rows)])


def make(app: str) -> WSGIApplication:
    """The app to be served; gunicorn calls this too."""
    return (groups.WSGI | groups.FLASK)[app]()


def _is_there(app: str) -> bool:
    try:
        make(app)
    except ModuleNotFoundError as error:
        groups.say_left_out(app, error.name or "")
        return False
    return True


def _measure(server: str, apps: Sequence[str], load: Load) -> Iterator[dict[str, list[float]]]:
    """The rates of each app in each round, for one kind of request after the other."""
    with ExitStack() as stack:
        ports = {app: stack.enter_context(_serving(server, app)) for app in apps}
        for request in REQUESTS.values():
            rates: dict[str, list[float]] = {app: [] for app in apps}
            for port in ports.values():
                _ask_once(port, _as_bytes(request))  # and wait until it has started
            for _ in range(load.rounds):
                for app in random.sample(apps, len(apps)):
                    rates[app].append((_wrk if load.has_wrk else _threads)(ports[app], request, load.seconds))
            yield rates


@contextmanager
def _serving(server: str, app: str) -> Iterator[int]:
    """Start a server on a socket that listens already, so that nobody has to wait for it; yield the port."""
    with tempfile.TemporaryDirectory() as home, socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        descriptor = str(listener.fileno())
        if server == "gunicorn":
            command = ["-m", "gunicorn", "--log-level=error", f"--bind=fd://{descriptor}", f"servers:make('{app}')"]
        else:
            command = ["servers.py", app, descriptor]
        here = Path(__file__).parent
        # newer gunicorns keep a control socket at home, and two of them would fight for it
        environment = {**os.environ, "HOME": home}
        process = subprocess.Popen([sys.executable, *command], cwd=here, pass_fds=[listener.fileno()], env=environment)
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


def _headers(request: Environ) -> dict[str, str]:
    names = [key for key in request if key.startswith("HTTP_") and key != "HTTP_CONNECTION"]
    return {key[5:].replace("_", "-").title(): request[key] for key in names}


def _wrk(port: int, request: Environ, seconds: float) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in _headers(request).items()]
        script.write("\n".join([f'wrk.method = "{request["REQUEST_METHOD"]}"', *lines]))
        script.flush()
        load = [f"--connections={CONNECTIONS}", "--threads=1", f"--duration={seconds}s", f"--script={script.name}"]
        command = ["wrk", *load, f"http://127.0.0.1:{port}{request['PATH_INFO']}"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    if rate is None or "Non-2xx" in said:
        raise RuntimeError(f"wrk did not get its answers:\n{said}")
    return float(rate[1])


def _threads(port: int, request: Environ, seconds: float) -> float:
    message, end = _as_bytes(request), time.monotonic() + seconds
    counts = [0] * CONNECTIONS

    def ask(number: int) -> None:
        while time.monotonic() < end:
            _ask_once(port, message)
            counts[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(1, sum(counts)) / seconds


def _as_bytes(request: Environ) -> bytes:
    lines = [f"{request['REQUEST_METHOD']} {request['PATH_INFO']} HTTP/1.1", "Connection: close"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in _headers(request).items()), "", ""]).encode()


def _ask_once(port: int, message: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(message)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    if not answer.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"not the answer that was wanted: {answer!r}")


if __name__ == "__main__":
    import waitress

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns when anybody has to wait
    waitress.serve(make(sys.argv[1]), sockets=[socket.socket(fileno=int(sys.argv[2]))], threads=4, _quiet=True)
