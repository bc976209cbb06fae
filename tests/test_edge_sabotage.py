"""A configuration of nginx that is not what was exported: ``probe`` notices, by asking the live server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from edge_servers import EDGES, Edge, configure_nginx, served
from real_browsers import serving

from flask_preflight import Policy, PreflightMiddleware, by_path
from flask_preflight.browser.urls import parse_url
from flask_preflight.commands.live.asking import LiveServer, live_transport
from flask_preflight.commands.live.drift import drift
from flask_preflight.commands.targets import target_of
from flask_preflight.edge.rows import mark_of, rows_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.servers

PAGE = "https://frontend.com"


def plain(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b""]


PATHS: Any = by_path(
    {
        "/api": Policy(
            allow_origins=[PAGE, "https://*.frontend.com"],
            allow_methods=["GET", "PUT"],
            allow_headers=["Authorization", "Content-Type"],
            allow_credentials=True,
        ),
        "/open": Policy(allow_origins="*", allow_methods=["GET"], allow_headers=[]),
        "/ports": Policy(allow_origins=["http://localhost:*"], max_age=60),
    }
)
APP = PreflightMiddleware(plain, PATHS)


class Sabotage(NamedTuple):
    """*old* is replaced by *new* in a file, everywhere."""

    file: str
    old: str
    new: str


MARK = mark_of(rows_of(PATHS))
MAPS, SERVER = "cors-maps.conf", "cors-server.conf"

SABOTAGED = {
    # origins
    "origin-of-one-for-all": Sabotage(MAPS, '"204g0" "$http_origin"', '"204g0" "https://frontend.com"'),
    "origin-of-another-scheme": Sabotage(MAPS, '"g0 https://frontend.com"', '"g0 http://frontend.com"'),
    "dot-not-escaped": Sabotage(MAPS, "frontend[.]com$", "frontend.com$"),
    "start-not-anchored": Sabotage(MAPS, '"~^g0 https://(?:[a-z0-9_-]{1,63}[.]){1,3}frontend', '"~g0 .*frontend'),
    "end-not-anchored": Sabotage(MAPS, 'frontend[.]com$"', 'frontend[.]com"'),
    "suffix-of-a-name": Sabotage(MAPS, "(?:[a-z0-9_-]{1,63}[.]){1,3}frontend", "[a-z0-9_.-]*frontend"),
    "without-case": Sabotage(MAPS, '"~^g0 https://(?:', '"~*^g0 https://(?:'),
    "every-origin": Sabotage(MAPS, '"g0 https://frontend.com" "$http_origin";', '"~^g0 " "$http_origin";'),
    "any-scheme": Sabotage(MAPS, '"~^g0 https://(?:', '"~^g0 https?://(?:'),
    "null": Sabotage(MAPS, '"g0 https://frontend.com"', '"g0 null" "null"; "g0 https://frontend.com"'),
    "refuses-the-rest": Sabotage(SERVER, "if ($cors", f'if ($cors_verdict_{MARK} = "") {{ return 403; }}\nif ($cors'),
    # methods and headers
    "header-exposed-to-all": Sabotage(MAPS, '"204g1" "*"', '"204g1" "$http_origin"'),
    "method-less": Sabotage(MAPS, '"GET, HEAD, PUT"', '"GET, HEAD"'),
    "method-named": Sabotage(MAPS, '"GET, HEAD, PUT"', '"GET, HEAD, PUT, DELETE"'),
    "wildcard-for-methods": Sabotage(MAPS, '"204g2" "GET, HEAD, POST"', '"204g2" "*"'),
    "header-named": Sabotage(MAPS, '"Authorization, Content-Type"', '"Authorization, Content-Type, X-Other"'),
    "header-less": Sabotage(MAPS, '"Authorization, Content-Type"', '"Content-Type"'),
    "any-header": Sabotage(MAPS, '"Authorization, Content-Type"', '"*, Authorization"'),
    # the answer
    "no-credentials": Sabotage(SERVER, "add_header Access-Control-Allow-Credentials", "add_header X-Nothing"),
    "no-vary": Sabotage(SERVER, "add_header Vary", "add_header X-Vary"),
    "no-origin": Sabotage(SERVER, "add_header Access-Control-Allow-Origin", "add_header X-Origin"),
    "max-age": Sabotage(MAPS, '"600"', '"86400"'),
    "status": Sabotage(SERVER, "return 204", "return 403"),
    "star-instead-of-the-origin": Sabotage(MAPS, '"204g0" "$http_origin"', '"204g0" "*"'),
    "origin-twice": Sabotage(
        SERVER, "if ($cors", "add_header Access-Control-Allow-Origin $http_origin always;\nif ($cors"
    ),
}


def sections(port: int) -> list[Any]:
    origin = f"http://127.0.0.1:{port}"
    server = LiveServer(origin, live_transport(origin, ca_file=None, timeout=10), seconds=60)
    return drift(parse_url(f"{origin}/"), server, target_of(APP, "the app"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with serving(APP) as port:
        yield port


def found(name: str | None, folder: Path, upstream: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sabotage = SABOTAGED[name] if name else None

    def configure(folder: Path, port: int, files: dict[str, str], rest: str) -> None:
        if sabotage is not None:
            assert sabotage.old in files[sabotage.file]
            files = {**files, sabotage.file: files[sabotage.file].replace(sabotage.old, sabotage.new)}
        configure_nginx(folder, port, files, rest)

    monkeypatch.setitem(EDGES, "nginx", Edge(configure, EDGES["nginx"].command))
    with served("nginx", folder, rows_of(PATHS), rest=f"proxy_pass http://127.0.0.1:{upstream}") as port:
        return [each.id for section in sections(port) for each in section.findings]


def test_what_was_exported_is_the_same_for_browsers(
    tmp_path: Path, upstream: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(None, tmp_path, upstream, monkeypatch) == []


@pytest.mark.parametrize("name", SABOTAGED)
def test_probe_notices(name: str, tmp_path: Path, upstream: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(name, tmp_path, upstream, monkeypatch) != []
