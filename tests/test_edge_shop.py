"""A shop behind real edges that grant preflights: as the app would, to a real page, and while the app is down.

``EDGE_REQUESTS=20000`` asks more.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from edge_servers import EDGES, LEFT, served
from real_browsers import CHROMIUM, Session, serving
from test_edge_rows import answer_of_app, shop
from test_edge_servers import REQUESTS, SEED, Answer, Connection, expected
from test_twins import ADMIN, OTHER, PAGE, STRANGER

from flask_preflight.commands.targets import FlaskTarget
from flask_preflight.edge.app import rows_of_app
from flask_preflight.edge.rows import Asked

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.servers

PATHS = (
    *(
        "/items",
        "/items/7",
        "/items/07",
        "/items/-7",
        "/items/new",
        "/items/x",
        "/items/",
        "/items/7/",
        "/files/a",
        "/files/a/b.txt",
    ),
    *(
        "/files/a/",
        "/files/",
        "/files/../items",
        "/limited/3",
        "/limited/30",
        "/callable",
        "/slash/",
        "/slash",
        "/de/about",
    ),
    *(
        "/fr/about",
        "/xy",
        "/xyz",
        "/items/7?a=b",
        "/items%2f7",
        "/ITEMS",
        "//items",
        "/",
        "/items/123456789012345678901",
    ),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "put")
LISTS = ("", "content-type", "x-a", "x-b", "Content-Type", "content-type,x-a")


@pytest.mark.parametrize("name", EDGES)
def test_an_edge_answers_as_the_app(name: str, tmp_path: Path) -> None:
    app, random = shop(), Random(SEED)
    rows = rows_of_app(FlaskTarget(app))
    everything = [*itertools.product(PATHS, (PAGE, ADMIN, OTHER, STRANGER), METHODS, LISTS)]
    likely = [*itertools.product(PATHS[:5], (PAGE, ADMIN), METHODS[:6], LISTS[:3])]
    different, granted = [], 0
    with served(name, tmp_path, rows) as port:
        connection = Connection(port)
        for path, origin, method, names in random.choices(everything, k=REQUESTS) + random.choices(likely, k=REQUESTS):
            asked = Asked("OPTIONS", path, origin, method, names)
            got = connection.ask(asked)
            asked = EDGES[name].sees(asked)
            if got != expected(rows, asked):
                different.append((asked, got))
            if got.status != LEFT:
                status, headers = answer_of_app(app, asked, "https://app.invalid")
                granted += 1
                if got != Answer(status, tuple(sorted(headers))):
                    different.append((asked, got))
        connection.close()
    assert different == []
    assert granted > REQUESTS / 20


class Noting:
    """The shop, and the methods of the requests that reach it."""

    def __init__(self, **changes: Any) -> None:
        self.app = shop(**changes)
        self.reached: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            self.reached.append(environ["REQUEST_METHOD"])
        return self.app(environ, start_response)


@pytest.mark.browser
def test_a_page_in_chromium_through_nginx_also_while_the_app_is_down(tmp_path: Path) -> None:
    with Session(CHROMIUM) as session:
        page = session.origins["A"]
        noting = Noting(allow_origins=[page])
        rows = rows_of_app(FlaskTarget(noting.app))
        with (
            serving(noting) as upstream,
            served("nginx", tmp_path, rows, rest=f"proxy_pass http://127.0.0.1:{upstream}") as port,
        ):
            (result,) = session.fetch_all([job(f"http://127.0.0.1:{port}/items")])["shop"]
            assert (result["status"], noting.reached) == (200, ["PUT"])
        # The app is stopped.
        (tmp_path / "down").mkdir()
        with served("nginx", tmp_path / "down", rows, rest=f"proxy_pass http://127.0.0.1:{upstream}") as port:
            statuses = [ask(port, Asked(method, "/items", page, "PUT", "")).status for method in ("OPTIONS", "PUT")]
        assert statuses == [204, 502]


def ask(port: int, asked: Asked) -> Answer:
    connection = Connection(port)
    try:
        return connection.ask(asked)
    finally:
        connection.close()


def job(url: str) -> dict[str, Any]:
    return {"id": "shop", "opaque": False, "fetches": [{"url": url, "init": {"method": "PUT"}}]}
