"""``routes`` against reality, and ``diff`` against brute force: `Browser` judges both, in random apps."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from flask import Flask
from test_twins import ADMIN, OTHER, PAGE, STRANGER, Built, Drawer

from flask_preflight import Policy, Preflight, cors_exempt, cors_route
from flask_preflight.browser import Browser, CORSError
from flask_preflight.commands.access import Access, needs_preflight
from flask_preflight.commands.diff import compare, covers
from flask_preflight.commands.lock import Locked, lock_of, read_lock, write_lock
from flask_preflight.commands.routes import ANYONE_ELSE, rows_of
from flask_preflight.commands.samples import sample_origin
from flask_preflight.commands.targets import FlaskTarget, MiddlewareTarget, Route, target_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Current server name:UserWarning")]

APPS = int(os.environ.get("ROUTES_APPS", "40"))
PAIRS = int(os.environ.get("DIFF_PAIRS", "16"))
SEED = os.environ.get("ROUTES_SEED", "1")


# ---------------------------------------------------------------------------------------
# routes
# ---------------------------------------------------------------------------------------


def what_a_browser_gets(app: Any, route: Route, origin: str, **options: Any) -> bool:
    """Whether the script gets the response of the running app, with its views."""
    try:
        Browser(app, origin).fetch(route.url, route.method, **options)
    except CORSError:
        return False
    return True


def seen(app: Any, route: Route, origin: str) -> tuple[bool, bool, bool | None]:
    plain = what_a_browser_gets(app, route, origin)
    cookies = what_a_browser_gets(app, route, origin, credentials="include")
    json = what_a_browser_gets(app, route, origin, json={}) if route.method == "POST" else None
    return plain, cookies, json


def said(access: Access, route: Route) -> tuple[bool, bool, bool | None]:
    return access.is_allowed, access.cookies, access.json is None if route.method == "POST" else None


@pytest.mark.parametrize("block", range(4))
def test_each_cell_is_what_a_browser_gets(block: int) -> None:
    asked = 0
    for number in range(block, APPS, 4):
        spec = Drawer(f"{SEED}/routes/{number}").spec()
        app = Built(spec, twin=False).flask
        target = target_of(app, "app")
        for row in rows_of(target, target.routes(), [PAGE, ADMIN, OTHER, ANYONE_ELSE]):
            for label, access in row.cells.items():
                if access.is_exempt:
                    continue
                asked += 1
                origin = "https://stranger.invalid" if label == ANYONE_ELSE else label
                assert said(access, row.route) == seen(app, row.route, origin), (number, label, row.route, spec)
    assert asked > APPS


def test_most_routes_of_random_apps_get_an_example_url() -> None:
    """Those without one redirect, or another rule takes all their URLs."""
    urls: list[str] = []
    for number in range(APPS):
        spec = Drawer(f"{SEED}/routes/{number}").spec()
        spec.rules = [rule for rule in spec.rules if "redirect_to" not in rule.options]
        target = target_of(Built(spec, twin=False).flask, "app")
        urls += [route.url for route in target.routes()]
    assert sum(map(bool, urls)) / len(urls) > 0.8


@pytest.mark.parametrize(
    ("rule", "url"),
    [
        ("/", "/"),
        ("/<x>", "/x"),
        ("/<string(length=5):x>", "/xxxxx"),
        ("/<string(minlength=3):x>", "/xxx"),
        ("/<string(maxlength=1):x>", "/x"),
        ("/<int:n>", "/1"),
        ("/<int(min=100):n>", "/100"),
        ("/<int(max=0):n>", "/0"),
        ("/<int(fixed_digits=4):n>", "/0001"),
        ("/<int(signed=True):n>", "/1"),
        ("/<float:n>", "/1.0"),
        ("/<float(min=7.5):n>", "/7.5"),
        ("/<any(de, fr):x>", "/de"),
        ("/<any('a b'):x>", "/a%20b"),
        ("/<path:x>", "/x"),
        ("/<uuid:x>", "/00000000-0000-0000-0000-000000000000"),
        ("/a b/é/<x>", "/a%20b/%C3%A9/x"),
        ("/v<int:n>.<any(json, xml):x>", "/v1.json"),
    ],
)
def test_an_example_url(rule: str, url: str) -> None:
    app = Flask(__name__, static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    app.add_url_rule(rule, "view", lambda **_: "")
    assert [route.url for route in target_of(app, "app").routes()] == [f"https://app.invalid{url}"]


def test_an_example_url_avoids_other_rules() -> None:
    app = Flask(__name__, static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    for rule in ("/<name>", "/x", "/<int:n>"):
        app.add_url_rule(rule, rule, lambda **_: "")
    found = {route.rule: route.url.removeprefix("https://app.invalid") for route in target_of(app, "app").routes()}
    assert found == {"/<name>": "/x1", "/x": "/x", "/<int:n>": "/1"}


@pytest.mark.parametrize(
    "listed",
    [
        *("https://a.example", "https://*.a.example", "http://localhost:*", "https://*.a.example:*"),
        *("https://a.example:*", "moz-extension://*", "app://x", "http://[::1]:*"),
    ],
)
def test_a_sample_of_a_pattern_is_allowed(listed: str) -> None:
    assert Policy(allow_origins=[listed]).allows_origin(sample_origin(listed))


def test_an_exempt_view_is_not_said_to_be_allowed() -> None:
    app = Flask(__name__, static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    for method in ("GET", "POST", "PUT"):
        app.add_url_rule("/x", method, cors_exempt(lambda: ""), methods=[method])
    target = target_of(app, "app")
    rows = rows_of(target, target.routes(), [PAGE])
    assert [row.cells for row in rows] == [{PAGE: Access(is_exempt=True)}] * 3
    assert not any(row.cells[PAGE].is_allowed for row in rows)


def test_json_is_asked_about_for_post_only() -> None:
    app = Flask(__name__, static_folder=None)
    Preflight(app, allow_origins=[PAGE], allow_headers=["X-A"])
    app.add_url_rule("/x", "x", lambda: "", methods=["GET", "POST", "PUT"])
    target = target_of(app, "app")
    rows = {row.route.method: row.cells[PAGE] for row in rows_of(target, target.routes(), [PAGE])}
    assert {method: (cell.is_allowed, cell.json is None) for method, cell in rows.items()} == {
        "GET": (True, True),
        "POST": (True, False),
        "PUT": (True, True),
    }


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE", "get"])
def test_which_methods_need_a_preflight(method: str) -> None:
    """https://fetch.spec.whatwg.org/#cors-safelisted-method"""
    assert needs_preflight(method) == (method not in ("GET", "HEAD", "POST"))


def test_no_view_runs() -> None:
    app = Flask(__name__, static_folder=None)
    Preflight(app, allow_origins=["*"] and "*", allow_methods="*")
    ran: list[str] = []
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        app.add_url_rule(f"/{method}", method, lambda: ran.append("view") or "", methods=[method])  # type: ignore[func-returns-value]
    app.before_request(lambda: ran.append("before"))
    target = target_of(app, "app")
    rows_of(target, target.routes(), [PAGE, STRANGER])
    assert ran == []


# ---------------------------------------------------------------------------------------
# diff
# ---------------------------------------------------------------------------------------

LISTED = (
    *(
        "https://a.com",
        "https://x.a.com",
        "https://b.com",
        "https://*.a.com",
        "https://*.x.a.com",
        "http://localhost:*",
    ),
    *("http://localhost:3000", "https://*.a.com:*", "https://a.com:8443", "https://*.x.a.com:8443"),
)
# At least one origin for each way in which a set of the values above can be larger than another one
ORIGINS = (
    *(
        "https://a.com",
        "https://x.a.com",
        "https://z.a.com",
        "https://z.x.a.com",
        "https://b.com",
        "https://a.com:8443",
    ),
    *(
        "https://x.a.com:8443",
        "https://z.a.com:8443",
        "https://z.x.a.com:8443",
        "https://z.a.com:9",
        "https://z.x.a.com:9",
    ),
    *("http://localhost:3000", "http://localhost:9", "https://x.a.com:9", "https://stranger.invalid"),
)
HEADERS = ("x-a", "x-b", "x-unlisted", "authorization", "content-type")
METHODS = ("GET", "POST", "PUT")


def random_changes(random: Random, *, is_whole: bool) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if is_whole or random.random() < 0.5:
        public = not is_whole and random.random() < 0.1
        changes["allow_origins"] = "*" if public else random.sample(LISTED, random.choice([0, 1, 1, 2, 3]))
    if is_whole or random.random() < 0.4:
        choices: list[Any] = [
            "*",
            ["*", "Authorization"],
            [],
            ["X-A"],
            ["X-B", "X-A"],
            ["Content-Type", "Authorization"],
        ]
        changes["allow_headers"] = random.choice(choices)
    if random.random() < 0.3:
        changes["allow_methods"] = random.choice([None, "*", ["GET"], ["PUT", "POST"], []])
    if changes.get("allow_origins") != "*" and random.random() < 0.2:
        changes["allow_credentials"] = True
    return changes


def random_app(random: Random) -> Flask:
    app = Flask("random", static_folder=None)
    dangers: Any = {"dangerously_allow_insecure_origins": True}
    while True:
        try:
            Preflight(app, **random_changes(random, is_whole=True), **dangers)
            break
        except ValueError:
            continue
    for method in METHODS:
        changes = random_changes(random, is_whole=False)
        if changes.get("allow_origins") == "*":
            changes["allow_credentials"] = False
        app.add_url_rule("/x", method, cors_route(**changes)(lambda: ""), methods=[method])
    return app


def rights(app: Flask) -> set[tuple[str, ...]]:
    """All that a browser lets pages of `ORIGINS` do, found out by trying it."""
    return {
        (method, origin, *right)
        for method, origin in itertools.product(METHODS, ORIGINS)
        for right in _rights_of(app, method, origin)
    }


def _rights_of(app: Flask, method: str, origin: str) -> Iterator[tuple[str, ...]]:
    def may(**options: Any) -> bool:
        try:
            Browser(app, origin).fetch("https://app.invalid/x", method, **options)
        except CORSError:
            return False
        return True

    if not may():
        return
    yield ("read",)
    if may(credentials="include"):
        yield ("cookies",)
    if may(upload_listener=True):
        yield ("preflight",)
    # "text/html" is not safelisted, and no header of the page's can be empty
    yield from (("send", name) for name in HEADERS if may(headers={name: "text/html"}))


def lock(app: Flask) -> Locked:
    return lock_of(target_of(app, "app").routes())


@pytest.mark.parametrize("block", range(4))
def test_wider_is_exactly_what_a_browser_newly_allows(block: int) -> None:
    counts = {True: 0, False: 0}
    for number in range(block, PAIRS, 4):
        random = Random(f"{SEED}/diff/{number}")
        old, new = random_app(random), random_app(random)
        for before, after in ((old, new), (new, old), (old, old)):
            changes = compare(lock(before), lock(after))
            by_route = {change.route for change in changes if change.is_wider}
            new_rights = rights(after) - rights(before)
            assert by_route == {f"{right[0]} /x" for right in new_rights}, (number, changes, sorted(new_rights))
            counts[bool(new_rights)] += 1
    assert min(counts.values()) > 0


ORIGIN_VALUES = (
    *(
        *LISTED,
        "https://a.com:*",
        "*",
        "null",
        "app://x",
        "moz-extension://*",
        "moz-extension://abc",
        "https://[::1]:*",
    ),
)


@pytest.mark.parametrize("narrow", ORIGIN_VALUES)
@pytest.mark.parametrize("broad", ORIGIN_VALUES)
def test_one_value_covers_another_if_it_allows_all_that_the_other_allows(broad: str, narrow: str) -> None:
    known = (
        *ORIGINS,
        "https://a.com:9",
        "null",
        "app://x",
        "moz-extension://abc",
        "moz-extension://def",
        "https://[::1]:5",
        "https://[::1]",
    )

    def allowed(value: str) -> set[str]:
        if value == "*":
            return {*known}
        policy = Policy(allow_origins=[value], dangerously_allow_null_origin=value == "null")
        return {origin for origin in known if policy.allows_origin(origin)}

    assert covers(broad, narrow) == (allowed(narrow) <= allowed(broad) and (broad == "*" or narrow != "*"))


def test_order_and_spelling_are_no_change() -> None:
    def app_of(**changes: Any) -> Flask:
        app = Flask("app", static_folder=None)
        Preflight(app, **changes)
        app.add_url_rule("/x", "x", lambda: "", methods=["PUT"])
        return app

    one = app_of(allow_origins=["https://b.com", "https://a.com"], allow_headers=["X-A", "x-b"], allow_methods=["PUT"])
    two = app_of(allow_origins=("https://a.com", "https://b.com", "https://a.com"), allow_headers=["X-B", "x-a"])
    assert [change.what for change in compare(lock(one), lock(two))] == []


def test_a_lock_file_holds_all_facts(tmp_path: Any) -> None:
    for number in range(20):
        app = random_app(Random(f"{SEED}/lock/{number}"))
        write_lock(tmp_path / "cors.lock.json", target_of(app, "app").routes())
        assert read_lock(tmp_path / "cors.lock.json") == lock(app)


def test_targets_of_other_wsgi_apps_are_asked_like_flask_apps() -> None:
    policy = Policy(allow_origins=[PAGE], allow_methods=["GET", "PUT"])
    target = target_of(policy, "policy")
    assert isinstance(target, MiddlewareTarget)
    rows = {row.route.method: row.cells for row in rows_of(target, target.routes(), [PAGE, ANYONE_ELSE])}
    allowed = {method: [cells[PAGE].is_allowed, cells[ANYONE_ELSE].is_allowed] for method, cells in rows.items()}
    assert allowed == {"GET": [True, False], "POST": [True, False], "PUT": [True, False]}
    assert isinstance(target_of(random_app(Random(1)), "app"), FlaskTarget)
    assert not needs_preflight("POST")
