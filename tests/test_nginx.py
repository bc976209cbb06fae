"""gunicorn behind a real nginx that is set up wrong: the browser finds each fault and names it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from test_servers import START_SECONDS, is_open, kept_port, running

from flask_preflight.browser import Browser, CORSError, LiveTransport, Step, VaryWarning

# Debian keeps it off the PATH of all but root.
NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]

# The app allows these two: see served_app.
PAGE = "http://127.0.0.1:8000"
OTHER_PAGE = "https://frontend.com"

CONFIGURATION = """\
daemon off;
master_process off;
error_log stderr;
pid {folder}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/1;
    proxy_temp_path {folder}/2;
    fastcgi_temp_path {folder}/3;
    scgi_temp_path {folder}/4;
    uwsgi_temp_path {folder}/5;
    proxy_cache_path {folder}/cache keys_zone=cache:1m;
    server {{
        listen 127.0.0.1:{http} reuseport;
        location / {{ proxy_pass http://127.0.0.1:{app}; }}
        location /doubled/ {{
            proxy_pass http://127.0.0.1:{app}/;
            add_header Access-Control-Allow-Origin $http_origin always;
        }}
        location /stripped/ {{
            proxy_pass http://127.0.0.1:{app}/;
            proxy_hide_header Access-Control-Allow-Origin;
        }}
        location /to-https/ {{ return 308 https://127.0.0.1:{https}/two; }}
        location /cached/ {{
            proxy_pass http://127.0.0.1:{app}/;
            proxy_cache cache;
            proxy_cache_valid 200 1m;
            proxy_ignore_headers Vary Set-Cookie;
            add_header X-Cache $upstream_cache_status;
        }}
        location /down/ {{ proxy_pass http://127.0.0.1:{closed}/; }}
        location /small/ {{
            client_max_body_size 10;
            proxy_pass http://127.0.0.1:{app}/;
        }}
        location /without-vary/ {{
            proxy_pass http://127.0.0.1:{app}/;
            proxy_hide_header Vary;
        }}
    }}
    server {{
        listen 127.0.0.1:{https} ssl reuseport;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        location / {{ proxy_pass http://127.0.0.1:{app}; }}
        location /moved {{
            add_header Access-Control-Allow-Origin $http_origin always;
            return 307 http://127.0.0.1:{http}/without-vary/two;
        }}
    }}
}}
"""


class Edge(NamedTuple):
    """The origins of nginx, and the file of the authority behind its certificate."""

    http: str
    https: str
    ca_file: Path

    def browser(self, page: str = PAGE) -> Browser:
        return Browser(origin=page, transport=LiveTransport(self.http, self.https, ca_file=self.ca_file))


@contextmanager
def nginx(folder: Path, app: int) -> Iterator[Edge]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    with kept_port() as http, kept_port() as https, kept_port() as closed:
        configuration = CONFIGURATION.format(folder=folder, app=app, http=http, https=https, closed=closed)
        (folder / "nginx.conf").write_text(configuration, encoding="utf-8")
        with (folder / "log").open("wb") as log:
            command = [str(NGINX), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            await_port(process, http, folder / "log")
            yield Edge(f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}", folder / "ca.pem")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_open(port):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"nginx did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with ExitStack() as exits:
        app = exits.enter_context(running("gunicorn-sync", tmp_path_factory.mktemp("gunicorn") / "log"))
        yield exits.enter_context(nginx(tmp_path_factory.mktemp("nginx"), app))


def failure(browser: Browser, url: str, method: str = "GET", body: bytes | None = None) -> CORSError:
    with pytest.raises(CORSError) as caught:
        browser.fetch(url, method, body=body)
    return caught.value


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_what_is_set_up_right_goes_through(edge: Edge, method: str) -> None:
    for origin in (edge.http, edge.https):
        assert edge.browser().fetch(f"{origin}/two", method).text == f"{method} "


@pytest.mark.parametrize(
    ("path", "method", "step", "is_preflight", "why", "change"),
    [
        pytest.param(
            "/doubled/two",
            method,
            Step.ALLOW_ORIGIN_MULTIPLE,
            method == "PUT",
            f"Access-Control-Allow-Origin has several values, {PAGE}, {PAGE}; browsers take one.",
            "Two equal values mean that two parties add the header: the app and a proxy, or two extensions.",
            id=f"doubled-{method}",
        )
        for method in ("GET", "PUT")
    ]
    + [
        pytest.param(
            "/stripped/two",
            method,
            Step.ALLOW_ORIGIN_MISSING,
            method == "PUT",
            f"The answer (status {status}) has no Access-Control-Allow-Origin.",
            "If other responses have it, something answered in the app's place: an error page, a login, a proxy.",
            id=f"stripped-{method}",
        )
        for method, status in (("GET", 200), ("PUT", 204))
    ]
    + [
        pytest.param(
            "/to-https/two",
            "GET",
            Step.ALLOW_ORIGIN_MISSING,
            False,
            "The answer (status 308) has no Access-Control-Allow-Origin. "
            "It redirects to HTTPS/two, and a redirect needs the header too.",
            "something answered in the app's place: an error page, a login, a proxy.",
            id="to-https-GET",
        ),
        pytest.param(
            "/to-https/two",
            "PUT",
            Step.PREFLIGHT_REDIRECT,
            True,
            "The preflight was redirected to HTTPS/two; browsers never follow the redirect of a preflight.",
            "usual causes are a missing trailing slash, http: instead of https:, and a login page.",
            id="to-https-PUT",
        ),
        pytest.param(
            "/down/two",
            "GET",
            Step.ALLOW_ORIGIN_MISSING,
            False,
            "The answer (status 502) has no Access-Control-Allow-Origin.",
            "something answered in the app's place: an error page, a login, a proxy.",
            id="down",
        ),
        pytest.param(
            "/small/two",
            "PUT",
            Step.ALLOW_ORIGIN_MISSING,
            False,
            "The answer (status 413) has no Access-Control-Allow-Origin.",
            "something answered in the app's place: an error page, a login, a proxy.",
            id="small",
        ),
    ],
)
def test_what_is_set_up_wrong(
    edge: Edge, path: str, method: str, step: Step, is_preflight: bool, why: str, change: str
) -> None:
    error = failure(edge.browser(), edge.http + path, method, b"a" * 1000 if method == "PUT" else None)
    assert (error.step, error.exchange.preflight) == (step, is_preflight)
    assert error.why.replace(edge.https, "HTTPS") == why
    assert error.fix.endswith(change)


def test_a_cache_that_ignores_vary(edge: Edge) -> None:
    url = f"{edge.http}/cached/two"
    assert edge.browser(PAGE).fetch(url).text == "GET "
    error = failure(edge.browser(OTHER_PAGE), url)
    assert error.step is Step.ALLOW_ORIGIN_MISMATCH
    assert error.why == (
        f"Access-Control-Allow-Origin is {PAGE}; it must be {OTHER_PAGE}, byte for byte."
        " A cache sent it (X-Cache: HIT), which may ignore Vary: Origin."
    )


def test_a_vary_that_gets_lost(edge: Edge) -> None:
    browser = edge.browser()
    url = f"{edge.http}/without-vary/two"
    browser.fetch(url)
    # After a redirect to another origin, Origin is null.
    with pytest.warns(VaryWarning) as caught:
        assert failure(browser, f"{edge.https}/moved").step is Step.ALLOW_ORIGIN_MISSING
    assert [str(warning.message) for warning in caught] == [
        f"{url}: Origin: {PAGE} got Access-Control-Allow-Origin: {PAGE}, Origin: null got no "
        "Access-Control-Allow-Origin, and Vary: Origin is missing. A cache may answer one request with what was meant "
        "for the other. Send Vary: Origin with every answer of this URL."
    ]
