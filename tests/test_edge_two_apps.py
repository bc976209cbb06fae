"""Two apps behind one edge: each with its own files, which take nothing from one another."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from edge_servers import EDGES, LEFT, Edge, configure_haproxy, served
from test_edge_servers import Answer, Connection, expected

from flask_preflight import Policy
from flask_preflight.commands.export import files_of
from flask_preflight.edge.rows import Asked, Row, rows_of

pytestmark = pytest.mark.servers

ONE, TWO = "https://one.example", "https://two.example"

# The rows have the same names and the same numbers.
APPS = {
    "/one": rows_of(Policy(allow_origins=[ONE], allow_methods=["PUT"], allow_credentials=True), "/one"),
    "/two": rows_of(Policy(allow_origins=[TWO], allow_methods=["GET"], allow_headers=["X-Two"], max_age=5), "/two"),
}


def wanted(asked: Asked) -> Answer:
    rows = APPS.get(asked.target[:4])
    return expected(rows, asked) if rows else Answer(LEFT, ())


def write(folder: Path, edge: str) -> None:
    for name, rows in APPS.items():
        (folder / name[1:]).mkdir()
        for file, text in files_of(edge, rows, "the tests").items():
            own = text.replace("/etc/haproxy", f"{folder}{name}")
            (folder / name[1:] / file).write_text(own, encoding="ascii")


LAYOUTS = {
    "one server": f"""
        include one/cors-server.conf;
        include two/cors-server.conf;
        location / {{ return {LEFT}; }}""",
    "the other order": f"""
        include two/cors-server.conf;
        include one/cors-server.conf;
        location / {{ return {LEFT}; }}""",
    "locations": f"""
        location /one {{ include one/cors-server.conf; add_header X-Own own; return {LEFT}; }}
        location /two {{ include two/cors-server.conf; return {LEFT}; }}
        location / {{ return {LEFT}; }}""",
    "locations with passwords": f"""
        error_page 401 =200 /none;
        location = /none {{ return {LEFT}; }}
        auth_basic app; auth_basic_user_file /dev/null;
        location /one {{ include one/cors-server.conf; try_files /none ={LEFT}; }}
        location /two {{ include two/cors-server.conf; try_files /none ={LEFT}; }}
        location / {{ return {LEFT}; }}""",
}


def configure_nginx(folder: Path, port: int, layout: str) -> None:
    write(folder, "nginx")
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    (folder / "nginx.conf").write_text(
        "daemon off; master_process off; error_log stderr; events {}\n"
        f"pid {folder}/pid;\nhttp {{ access_log off; {temporary}\n"
        "include one/cors-maps.conf; include two/cors-maps.conf;\n"
        f"server {{ listen 127.0.0.1:{port} reuseport; {layout} }} }}\n",
        encoding="ascii",
    )


def configure_one_frontend(folder: Path, port: int) -> None:
    write(folder, "haproxy")
    rules = "".join((folder / name / "cors-frontend.cfg").read_text(encoding="ascii") for name in ("one", "two"))
    configure_haproxy(folder, port, {"cors-frontend.cfg": rules})


def configure_backends(folder: Path, port: int) -> None:
    write(folder, "haproxy")
    configure_haproxy(folder, port, {"cors-frontend.cfg": ""}, rest="use_backend %[path,field(2,/)]")
    text = (folder / "haproxy.cfg").read_text(encoding="ascii")
    for name in ("one", "two"):
        rules = (folder / name / "cors-frontend.cfg").read_text(encoding="ascii")
        text += f"backend {name}\n{rules}  http-request return status {LEFT}\n"
    (folder / "haproxy.cfg").write_text(text, encoding="ascii")


def differences(port: int, paths: tuple[str, ...]) -> list[object]:
    connection = Connection(port)
    found: list[object] = []
    lists = ("", "x-two", "content-type")
    for path, origin, method, names in itertools.product(paths, (ONE, TWO), ("PUT", "GET"), lists):
        asked = Asked("OPTIONS", path, origin, method, names)
        got = connection.ask(asked)
        if got != wanted(asked):
            found.append((asked, got))
    connection.close()
    return found


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_two_apps_behind_one_nginx(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge(lambda folder, port, files: configure_nginx(folder, port, layout), EDGES["nginx"].command)
    monkeypatch.setitem(EDGES, "nginx", edge)
    with served("nginx", tmp_path, APPS["/one"]) as port:
        assert differences(port, ("/one", "/two/x", "/three")) == []


@pytest.mark.parametrize("configure", [configure_one_frontend, configure_backends])
def test_two_apps_behind_one_haproxy(configure: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge(lambda folder, port, files: configure(folder, port), EDGES["haproxy"].command)  # type: ignore[operator]
    monkeypatch.setitem(EDGES, "haproxy", edge)
    paths = ("/one", "/two/x", *(["/three"] if configure is configure_one_frontend else []))
    with served("haproxy", tmp_path, APPS["/one"]) as port:
        assert differences(port, paths) == []


NEWER: dict[str, list[Row]] = {
    "other origins": rows_of(Policy(allow_origins=[TWO], allow_methods=["PUT"], allow_credentials=True), "/one"),
    "other headers": rows_of(Policy(allow_origins=[ONE, TWO], allow_methods=["PUT"]), "/one"),
}


@pytest.mark.parametrize("rows", NEWER.values(), ids=NEWER)
def test_haproxy_grants_nothing_with_the_maps_of_another_export(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were copied, and the lines of the frontend were forgotten."""

    def configure(folder: Path, port: int, files: dict[str, str]) -> None:
        new = files_of("haproxy", rows, "the tests")
        configure_haproxy(folder, port, {**new, "cors-frontend.cfg": files["cors-frontend.cfg"]})

    monkeypatch.setitem(EDGES, "haproxy", Edge(configure, EDGES["haproxy"].command))
    with served("haproxy", tmp_path, APPS["/one"]) as port:
        connection = Connection(port)
        answers = {connection.ask(Asked("OPTIONS", "/one", origin, "PUT", "")) for origin in (ONE, TWO)}
        connection.close()
    assert answers == {Answer(LEFT, ())}
