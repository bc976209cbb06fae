"""What is timed request by request: groups of cells that are compared, and the figures that are wanted of each group.

The cells of a group take turns, so times are compared only within a group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from multiprocessing import get_context
from time import thread_time
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import traffic
from contenders import (
    APPS,
    BROWSER,
    CLIENT,
    CONSTANT,
    CROSS_ORIGIN,
    CROSS_ORIGIN_METHODS,
    FLASK_ALONE,
    FLASK_CORS,
    METHOD_VIEWS,
    MIDDLEWARE,
    MIDDLEWARE_VARY,
    OURS,
    PREFLIGHT,
    ROUTING,
    VARY_ALONE,
    VIEWS,
    WSGI_ALONE,
    WSGICORS,
    constant,
    mark,
    middleware,
    plain,
    policy,
    routing,
    with_flask_cors,
    with_preflight,
)
from figures import Figure, at_least, at_most
from flask import Flask
from harness import Batch, Cell, Plan, Times, added, measure, pool, quickest, ratio, requests
from traffic import ALLOWED, BAD, GETS, GRANTED, HOSTILE, ORIGINS, REFUSED, UNROUTED, Environ, preflight
from werkzeug.test import Client

from flask_preflight import PreflightMiddleware
from flask_preflight.browser import Browser

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# The apps are made only in the process that times them.
Cells: TypeAlias = dict[Cell, Callable[[], Batch]]


class Group(NamedTuple):
    title: str
    cells: Callable[[Plan], Cells]
    figures: Callable[[Times], Iterator[Figure]]
    bare: Mapping[str, str] = MappingProxyType({})  # the app to which each app adds CORS
    # Each Python process hashes strings and lays out memory in its own way, which can move all figures of one process
    # by some per cent. So each group is measured in several processes, and each process measures one group only.
    processes: int = 6
    rounds: int = 16  # in each process


def run(names: Sequence[str], plan: Plan) -> dict[str, Times]:
    """Measure the groups of these *names*."""
    parts: dict[str, list[Times]] = {name: [] for name in names}
    for turn in range(plan.times(6)):
        for name in names:
            if turn < GROUPS[name].processes:
                with get_context("spawn").Pool(1) as process:
                    parts[name].append(process.apply(_measure, (name, plan)))
    return {name: _counted(pool(each)) for name, each in parts.items()}


def _measure(name: str, plan: Plan) -> Times:
    group = GROUPS[name]
    batches = {cell: make() for cell, make in group.cells(plan).items()}
    return measure(batches, plan.times(group.rounds), plan)


def _counted(times: Times) -> Times:
    return quickest(times, [cell for cell in times if cell[0] not in OURS])


_ADDED = "times what {} adds if allowed"


def _requests(app: str, environ: Environ, **varied: Sequence[str]) -> Batch:
    return requests(APPS[app](), environ, **varied)


# ---------------------------------------------------------------------------------------
# Any WSGI app
# ---------------------------------------------------------------------------------------


def _wsgi_cells(plan: Plan) -> Cells:
    everywhere = (CONSTANT, WSGICORS, MIDDLEWARE)
    only_gets = (WSGI_ALONE, VARY_ALONE, MIDDLEWARE_VARY)
    return {
        (app, case): partial(_requests, app, environ)
        for apps, cases in ((everywhere, GETS | GRANTED | BAD), (only_gets, GETS))
        for app in apps
        for case, environ in cases.items()
    }


def _wsgi_figures(times: Times) -> Iterator[Figure]:
    for case in GRANTED | BAD:
        measured = ratio(times, (MIDDLEWARE, case), (CONSTANT, case))
        yield at_most(4.5, "times the constant answer", f"around any WSGI app: {case}", measured)
    peer = added(times, (WSGICORS, "GET, allowed"), (WSGI_ALONE, "GET, allowed"))
    for case in GETS:
        measured = added(times, (MIDDLEWARE, case), (WSGI_ALONE, case)) / peer
        yield at_most(1.25, _ADDED.format("wsgicors"), f"what a request to any WSGI app pays: {case}", measured)
    case = "GET, allowed"
    measured = added(times, (MIDDLEWARE_VARY, case), (VARY_ALONE, case)) / peer
    yield at_most(
        3.5, _ADDED.format("wsgicors"), f"what a request to any WSGI app that sets `Vary` pays: {case}", measured
    )


# ---------------------------------------------------------------------------------------
# Flask
# ---------------------------------------------------------------------------------------


def _flask_get_cells(plan: Plan) -> Cells:
    return {
        (app, case): partial(_requests, app, environ)
        for app in (FLASK_ALONE, FLASK_CORS, PREFLIGHT, VIEWS)
        for case, environ in GETS.items()
    }


def _flask_get_figures(times: Times) -> Iterator[Figure]:
    peer = added(times, (FLASK_CORS, "GET, allowed"), (FLASK_ALONE, "GET, allowed"))
    for (app, text), case in product({PREFLIGHT: "one policy", VIEWS: "a policy for each view"}.items(), GETS):
        measured = added(times, (app, case), (FLASK_ALONE, case)) / peer
        yield at_most(0.25, _ADDED.format("Flask-CORS"), f"what a request to Flask pays: {case}, {text}", measured)


_KNOWN, _NEW = "known URL", "new URLs"


def _flask_preflight_cells(plan: Plan) -> Cells:
    paths = traffic.converted_paths(plan.size(100_000))
    cells: Cells = {}
    for app in (ROUTING, FLASK_CORS, CROSS_ORIGIN, CROSS_ORIGIN_METHODS, PREFLIGHT, VIEWS, METHOD_VIEWS):
        cells[app, _KNOWN] = partial(_requests, app, preflight())
        cells[app, _NEW] = partial(_requests, app, preflight(), PATH_INFO=paths)
        if app not in (ROUTING, CROSS_ORIGIN, CROSS_ORIGIN_METHODS):
            for case, environ in (BAD | UNROUTED).items():
                cells[app, case] = partial(_requests, app, environ)
    return cells


def _flask_preflight_figures(times: Times) -> Iterator[Figure]:
    for app, text, peer, of_routing, of_peer in (
        (VIEWS, "functions", CROSS_ORIGIN, 1.3, 10),
        (METHOD_VIEWS, "`MethodView`s", CROSS_ORIGIN_METHODS, 2.5, 5),
    ):
        for case in (_KNOWN, _NEW):
            name = f"preflight to Flask, a policy for each view: {text}, {case}"
            yield at_most(of_routing, "times Flask's routing alone", name, ratio(times, (app, case), (ROUTING, case)))
            yield at_least(of_peer, "times faster than `@cross_origin`", name, ratio(times, (peer, case), (app, case)))
    for case in BAD | UNROUTED:
        measured = ratio(times, (FLASK_CORS, case), (VIEWS, case))
        yield at_least(
            4, "times faster than Flask-CORS", f"preflight to Flask, a policy for each view: {case}", measured
        )


def _routes_cells(plan: Plan) -> Cells:
    cells: Cells = {}
    for case, count in _ROUTES.items():
        paths = [f"/route-{number}" for number in range(0, plan.size(count), max(1, plan.size(count) // 10))]
        for app, make in _ROUTED.items():
            cells[app, case] = partial(_routed, make, plan.size(count), paths)
    return cells


def _routed(make: Callable[[int], WSGIApplication], count: int, paths: Sequence[str]) -> Batch:
    return requests(make(count), preflight(), PATH_INFO=paths)


def app_with_routes(count: int, *, is_marked: bool = True) -> Flask:
    """Return an app with this many routes, each with a view and, if *is_marked*, a policy."""
    app = Flask("site")

    def make_view() -> Callable[[], str]:
        return lambda: "hello"

    for number in range(count):
        view = mark("X-View")(make_view()) if is_marked else make_view()
        app.add_url_rule(f"/route-{number}", f"view-{number}", view, methods=["GET", "PUT"])
    return with_preflight(app) if is_marked else app


_ROUTES = {"10 routes": 10, "1k routes": 1000, "10k routes": 10_000}
_ROUTED: dict[str, Callable[[int], WSGIApplication]] = {
    ROUTING: lambda count: routing(app_with_routes(count, is_marked=False)),
    VIEWS: app_with_routes,
}


def _routes_figures(times: Times) -> Iterator[Figure]:
    few, *more = _ROUTES
    for case in more:
        measured = ratio(times, (VIEWS, case), (VIEWS, few)) / ratio(times, (ROUTING, case), (ROUTING, few))
        yield at_most(1.1, "times the growth of Flask's routing", f"preflight to Flask, {case}", measured)


# ---------------------------------------------------------------------------------------
# Many origins, and hostile requests
# ---------------------------------------------------------------------------------------

_BY_ORIGINS: dict[str, Callable[[Sequence[str]], WSGIApplication]] = {
    CONSTANT: lambda allowed: constant,
    MIDDLEWARE: middleware,
    FLASK_CORS: with_flask_cors,
}
_TEN = "10 exact"


def _origins_cells(plan: Plan) -> Cells:
    cells: Cells = {}
    for case, allowed in (
        (_TEN, traffic.many_origins(10)),
        ("100k exact", traffic.many_origins(plan.size(100_000))),
        ("10k patterns", traffic.many_patterns(plan.size(10_000))),
    ):
        senders = traffic.senders(allowed)
        for app, make in _BY_ORIGINS.items():
            cells[app, case] = partial(_allowing, make, allowed, preflight(), HTTP_ORIGIN=senders)
    return cells


def _allowing(
    make: Callable[[Sequence[str]], WSGIApplication], allowed: Sequence[str], environ: Environ, **varied: Sequence[str]
) -> Batch:
    return requests(make(allowed), environ, **varied)


def _origins_figures(times: Times) -> Iterator[Figure]:
    for case, wanted in (("100k exact", 1.3), ("10k patterns", 2.0)):
        measured = ratio(times, (MIDDLEWARE, case), (MIDDLEWARE, _TEN))
        yield at_most(wanted, "times the time with 10 origins", f"allowed origins: {case}, all in turn", measured)


_ORDINARY, _NEW_ORIGINS, _OF_1K = "ordinary refusal", "new origins", ", 1k patterns"


def _hostile_cells(plan: Plan) -> Cells:
    new = traffic.new_origins(plan.size(20_000))
    refused = preflight(origin=REFUSED)
    cells: Cells = {}
    for app, make in _BY_ORIGINS.items():
        for case, environ in ({_ORDINARY: refused} | HOSTILE).items():
            cells[app, case] = partial(_allowing, make, ORIGINS, environ)
        cells[app, _NEW_ORIGINS] = partial(_allowing, make, ORIGINS, preflight(), HTTP_ORIGIN=new)
        patterns = traffic.many_patterns(plan.size(1000))
        cells[app, _ORDINARY + _OF_1K] = partial(_allowing, make, patterns, refused)
        cells[app, _NEW_ORIGINS + _OF_1K] = partial(_allowing, make, patterns, preflight(), HTTP_ORIGIN=new)
    return cells


def _hostile_figures(times: Times) -> Iterator[Figure]:
    for case in (*HOSTILE, _NEW_ORIGINS, _NEW_ORIGINS + _OF_1K):
        ordinary = _ORDINARY + (_OF_1K if case.endswith(_OF_1K) else "")
        measured = ratio(times, (MIDDLEWARE, case), (MIDDLEWARE, ordinary))
        yield at_most(1.5, "times an ordinary refusal", f"hostile preflight: {case}", measured)


# ---------------------------------------------------------------------------------------
# The browser for tests
# ---------------------------------------------------------------------------------------

_FETCH, _AUTHORIZATION = "PUT", {"Authorization": "Bearer t"}


def _browser_cells(plan: Plan) -> Cells:
    return {(CLIENT, _FETCH): lambda: _ask_with_client, (BROWSER, _FETCH): lambda: _fetch}


_site = PreflightMiddleware(plain, policy(max_age=0))  # no preflight is cached
_origin = f"https://{traffic.HOST}"


def _ask_with_client(count: int) -> float:
    client = Client(_site)
    asked = {
        "Origin": ALLOWED,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    begun = thread_time()
    for _ in range(count):
        assert client.options(traffic.PATH, _origin, headers=asked).status_code == 204
        assert client.put(traffic.PATH, _origin, headers={"Origin": ALLOWED} | _AUTHORIZATION).data == b"hello"
    return thread_time() - begun


def _fetch(count: int) -> float:
    browser = Browser(_site, origin=ALLOWED)
    begun = thread_time()
    for _ in range(count):
        assert browser.fetch(_origin + traffic.PATH, method="PUT", headers=_AUTHORIZATION).data == b"hello"
    seconds = thread_time() - begun
    assert len(browser.exchanges) == 2 * count
    return seconds


def _browser_figures(times: Times) -> Iterator[Figure]:
    measured = ratio(times, (BROWSER, _FETCH), (CLIENT, _FETCH))
    yield at_most(2.5, "times two requests of Werkzeug's test client", "`Browser.fetch` with a preflight", measured)


GROUPS = {
    "wsgi": Group(
        "Any WSGI app",
        _wsgi_cells,
        _wsgi_figures,
        {WSGICORS: WSGI_ALONE, MIDDLEWARE: WSGI_ALONE, MIDDLEWARE_VARY: VARY_ALONE},
    ),
    "flask-preflight": Group("Preflights to Flask", _flask_preflight_cells, _flask_preflight_figures),
    "flask-get": Group(
        "Requests to Flask",
        _flask_get_cells,
        _flask_get_figures,
        dict.fromkeys((FLASK_CORS, PREFLIGHT, VIEWS), FLASK_ALONE),
        rounds=64,  # what is added is small compared with what Flask takes
    ),
    "routes": Group("Preflights to Flask, ten URLs in turn", _routes_cells, _routes_figures, processes=2),
    "origins": Group("Granted preflights, all allowed origins in turn", _origins_cells, _origins_figures, processes=2),
    "hostile": Group("Hostile preflights", _hostile_cells, _hostile_figures, processes=2),
    "browser": Group("The browser for tests", _browser_cells, _browser_figures, processes=2),
}
