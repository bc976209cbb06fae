"""A real nginx in front of the app of ``served_app``, set up wrong in each way that people report."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from test_servers import START_SECONDS, is_open, kept_port

# Debian keeps it off the PATH of all but root.
NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))

# Each is the inside of a location. APP passes the request on.
LOCATIONS = {
    "right": "APP",
    "doubled": "APP add_header Access-Control-Allow-Origin $http_origin always;",
    "stripped": "APP proxy_hide_header Access-Control-Allow-Origin;",
    "without-vary": "APP proxy_hide_header Vary;",
    "to-https": "return 308 HTTPS/right/two;",
    "to-elsewhere": "add_header Access-Control-Allow-Origin $http_origin always; return 307 HTTPS/right/two;",
    "to-http": "add_header Access-Control-Allow-Origin $http_origin always; return 307 http://api.invalid/;",
    "down": "proxy_pass http://127.0.0.1:CLOSED/;",
    "cached": "APP CACHE add_header X-Cache $upstream_cache_status;",
    "cached-silently": "APP CACHE",
    "if-options": """
        add_header Access-Control-Allow-Origin $http_origin always;
        if ($request_method = OPTIONS) {
            add_header Access-Control-Max-Age 600;
            return 204;
        }
        APP proxy_hide_header Access-Control-Allow-Origin;
    """,
    "login": """
        if ($http_authorization = "") { return 401; }
        APP
    """,
    "login-with-headers": """
        add_header Access-Control-Allow-Origin $http_origin always;
        if ($request_method = OPTIONS) {
            add_header Access-Control-Allow-Origin $http_origin always;
            return 401;
        }
        return 200;
    """,
    "reflecting": """
        add_header Access-Control-Allow-Origin $http_origin always;
        add_header Access-Control-Allow-Credentials true always;
        add_header Vary Origin always;
        return 200;
    """,
    "reflecting-without-cookies": """
        add_header Access-Control-Allow-Origin $http_origin always;
        add_header Vary Origin always;
        return 200;
    """,
    "wildcard": "add_header Access-Control-Allow-Origin * always; return 200;",
    "wildcard-with-credentials": """
        add_header Access-Control-Allow-Origin * always;
        add_header Access-Control-Allow-Credentials true always;
        return 200;
    """,
    "one-origin": "add_header Access-Control-Allow-Origin https://frontend.com always; return 200;",
    "trailing-slash": "add_header Access-Control-Allow-Origin https://frontend.com/ always; return 200;",
    "wrong-case": "GRANT add_header Access-Control-Allow-Methods put always; return 204;",
    "no-commas": 'GRANT add_header Access-Control-Allow-Methods "GET PUT" always; return 204;',
    "no-header": "GRANT add_header Access-Control-Allow-Methods PUT always; return 204;",
    "header-wildcard": "GRANT add_header Access-Control-Allow-Headers * always; return 204;",
    **{
        name: f"""
            set $allowed "";
            if ($http_origin ~ {pattern}) {{ set $allowed $http_origin; }}
            add_header Access-Control-Allow-Origin $allowed always;
            add_header Vary Origin always;
            return 200;
        """
        for name, pattern in {
            "null": '"^(null|https://frontend.com)$"',
            "suffix": r'"frontend\.com$"',
            "prefix": r'"^https://frontend\.com"',
            "unescaped-dot": '"^https://frontend.com$"',
            "any-scheme": r'"^https?://frontend\.com$"',
            "any-port": r'"^https://frontend\.com(:[0-9]+)?$"',
            "any-case": r'"(?i)^https://frontend\.com$"',
        }.items()
    },
}

SHORT = {
    "APP": "proxy_pass http://127.0.0.1:UPSTREAM/;",
    "CACHE": "proxy_cache cache; proxy_cache_valid 200 1m; proxy_ignore_headers Vary Set-Cookie;",
    "GRANT": "add_header Access-Control-Allow-Origin $http_origin always;",
}

CONFIGURATION = """\
daemon off;
master_process off;
error_log stderr;
pid FOLDER/pid;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/1;
    proxy_temp_path FOLDER/2;
    fastcgi_temp_path FOLDER/3;
    scgi_temp_path FOLDER/4;
    uwsgi_temp_path FOLDER/5;
    proxy_cache_path FOLDER/cache keys_zone=cache:1m;
    server {
        listen 127.0.0.1:HTTP_PORT reuseport;
        listen 127.0.0.1:HTTPS_PORT ssl reuseport;
        ssl_certificate FOLDER/server.pem;
        ssl_certificate_key FOLDER/server.pem;
        LOCATIONS
    }
}
"""


class Edge(NamedTuple):
    """The origins of nginx, and the file of the authority behind its certificate."""

    http: str
    https: str
    ca_file: Path


@contextmanager
def sabotaged(folder: Path, upstream: int) -> Iterator[Edge]:
    """Start nginx in front of the app on the port *upstream*."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    with kept_port() as http, kept_port() as https, kept_port() as closed:
        ports = {"UPSTREAM": upstream, "CLOSED": closed, "HTTPS/": f"https://127.0.0.1:{https}/"}
        (folder / "nginx.conf").write_text(_configuration(folder, http, https, ports), encoding="utf-8")
        with (folder / "log").open("wb") as log:
            command = [str(NGINX), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _await(process, http, folder / "log")
            yield Edge(f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}", folder / "ca.pem")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _configuration(folder: Path, http: int, https: int, ports: dict[str, object]) -> str:
    locations = "\n".join(f"location /{name}/ {{ {inside} }}" for name, inside in LOCATIONS.items())
    values = {"FOLDER": folder, "HTTP_PORT": http, "HTTPS_PORT": https}
    text = CONFIGURATION
    for name, value in {**values, "LOCATIONS": locations, **SHORT, **ports}.items():
        text = text.replace(name, str(value))
    return text


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_open(port):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"nginx did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)
