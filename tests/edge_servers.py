"""Edges as processes: each with its configuration, the exported files, and something that answers the rest."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import ada_url
import pytest
from test_servers import SCRIPTS, START_SECONDS, is_open, kept_port

from flask_preflight.commands.export import files_of
from flask_preflight.edge.rows import Asked, Row

LEFT = 418
"""What a server answers that leaves a request to the app."""

PATH = os.pathsep.join([str(SCRIPTS), os.environ.get("PATH", os.defpath), "/usr/sbin"])


class Edge(NamedTuple):
    """How an edge is started. *configure* gets the folder, the port and the exported files; *command* is run there.

    In a command, ``{fd}`` is a socket with that port, for programs that cannot share one.
    """

    configure: Callable[..., None]
    command: tuple[str, ...]
    module: str = ""  # a file that it needs
    sees: Callable[[Asked], Asked] = lambda asked: asked  # and the app behind it


def configure_nginx(folder: Path, port: int, files: dict[str, str], rest: str = f"return {LEFT}") -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="ascii")
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    sizes = "".join(re.findall("^# Needs in the http block: (.*)", "\n".join(files.values()), re.MULTILINE))
    (folder / "nginx.conf").write_text(
        "daemon off; master_process off; error_log stderr; events {}\n"
        f"pid {folder}/pid;\n"
        f"http {{ access_log off; {temporary} {sizes}\n"
        "keepalive_requests 100000; large_client_header_buffers 4 32k;\n"
        "include cors-maps.conf;\n"
        f"server {{ listen 127.0.0.1:{port} reuseport;\n"
        f"include cors-server.conf; location / {{ {rest}; }} }} }}\n",
        encoding="ascii",
    )


NJS = "/usr/lib/nginx/modules/ngx_http_js_module.so"


def configure_njs(folder: Path, port: int, files: dict[str, str]) -> None:
    """nginx with the lines that the file says itself."""
    script = files["cors-njs.js"]
    (folder / "cors-njs.js").write_text(script, encoding="ascii")
    http, _, server = script.partition("// In the http block:")[2].partition(
        "// In the server block, above its locations:"
    )
    lines = {"cors-maps.conf": http.replace("/etc/nginx", str(folder)), "cors-server.conf": server}
    configure_nginx(folder, port, {name: text.replace("//  ", "") for name, text in lines.items()})
    configuration = (folder / "nginx.conf").read_text(encoding="ascii")
    (folder / "nginx.conf").write_text(f"load_module {NJS};\n{configuration}", encoding="ascii")


def configure_host(folder: Path, port: int, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / f"{name}.mjs").write_text(text, encoding="ascii")


def as_url(asked: Asked) -> Asked:
    """N: a `Request` has a URL, so dot segments are resolved and the fragment is not sent. The app gets that, too."""
    url = ada_url.URL(f"https://a.example{asked.target}")
    return asked._replace(target=f"{url.pathname}{url.search}")


def host(kind: str, sees: Callable[[Asked], Asked]) -> Edge:
    script = str(Path(__file__).parent / "edge_host.mjs")
    command = ("node", script, kind, f"{{folder}}/cors-{kind}.js.mjs", "{fd}", str(LEFT))
    return Edge(configure_host, command, sees=sees)


def configure_haproxy(
    folder: Path, port: int, files: dict[str, str], rest: str = f"http-request return status {LEFT}"
) -> None:
    for name, text in files.items():
        (folder / name).write_text(text.replace("/etc/haproxy", str(folder)), encoding="ascii")
    rules = (folder / "cors-frontend.cfg").read_text(encoding="ascii")
    (folder / "haproxy.cfg").write_text(
        "global\n  nbthread 1\n"
        "defaults\n  mode http\n  timeout client 60s\n  timeout connect 60s\n  timeout server 60s\n"
        f"frontend web\n  bind 127.0.0.1:{port}\n{rules}"
        f"  {rest}\n",
        encoding="ascii",
    )


def configure_caddy(folder: Path, port: int, files: dict[str, str], rest: str = f"respond {LEFT}") -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="ascii")
    (folder / "Caddyfile").write_text(
        "{\n\tadmin off\n\tauto_https off\n}\nimport cors.caddy\n"
        f"http://:{port} {{\n\tbind 127.0.0.1\n\troute {{\n\t\timport cors\n\t\t{rest}\n\t}}\n}}\n",
        encoding="ascii",
    )


def configure_envoy(folder: Path, port: int, files: dict[str, str], rest: str = "") -> None:
    """With *rest*, a filter before the app, the routes are changed as the file says itself."""
    text = files["cors-routes.yaml"]
    if rest:
        advice = "".join(re.findall("^# ( .*\n)", text.partition("for example:")[2], re.MULTILINE)[:4])
        text = text.replace("  direct_response", f"{advice}  direct_response")
    routes = text.replace("\n", "\n              ")
    (folder / "envoy.yaml").write_text(
        f"""
layered_runtime: {{layers: [{{name: re2, static_layer: {{re2.max_program_size.error_level: 1000000}}}}]}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          route_config:
            virtual_hosts:
            - name: app
              domains: ["*"]
              routes:
              {routes}
              - match: {{prefix: ""}}
                direct_response: {{status: {LEFT}}}
          http_filters:
          {rest}
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
""",
        encoding="ascii",
    )


EDGES = {
    "njs": Edge(configure_njs, ("nginx", "-p", "{folder}", "-e", "stderr", "-c", "{folder}/nginx.conf"), NJS),
    "worker": host("worker", as_url),
    "cloudfront": host("cloudfront", lambda asked: asked),
    "envoy": Edge(configure_envoy, ("envoy", "-c", "{folder}/envoy.yaml", "--concurrency", "1", "-l", "error")),
    "caddy": Edge(configure_caddy, ("caddy", "run", "--config", "{folder}/Caddyfile")),
    "haproxy": Edge(configure_haproxy, ("haproxy", "-db", "-f", "{folder}/haproxy.cfg")),
    "nginx": Edge(configure_nginx, ("nginx", "-p", "{folder}", "-e", "stderr", "-c", "{folder}/nginx.conf")),
}


@contextmanager
def served(name: str, folder: Path, rows: list[Row], **options: str) -> Iterator[int]:
    """The edge *name* with *rows*, on a port."""
    with configured(name, folder, rows, **options) as (port, fd), started(name, folder, port, fd):
        yield port


@contextmanager
def configured(name: str, folder: Path, rows: list[Row], **options: str) -> Iterator[tuple[int, int]]:
    """All files of an edge in *folder*. What is yielded is a port for it, and the number of a socket with that port."""
    edge = EDGES[name]
    with kept_port() as port, socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(("127.0.0.1", port))
        edge.configure(folder, port, files_of(name, rows, "the tests"), **options)
        yield port, bound.fileno()


@contextmanager
def started(name: str, folder: Path, port: int, fd: int) -> Iterator[None]:
    """The process of an edge, from when it takes connections."""
    edge = EDGES[name]
    program = shutil.which(edge.command[0], path=PATH)
    if program is None or not Path(edge.module or program).exists():
        pytest.skip(f"{edge.command[0]} is not installed, or lacks a module")
    command = [program, *(part.format(folder=folder, fd=fd) for part in edge.command[1:])]
    environ = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[fd]
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_open(port):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{name} did not start:\n{(folder / 'log').read_text(errors='replace')}")
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
