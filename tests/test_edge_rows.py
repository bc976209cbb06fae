"""Rows grant what the package grants, with the same answer, and leave the rest to the app. No server is needed."""

from __future__ import annotations

import itertools
import os
import re
from random import Random
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from strategies import header_values, near_misses, origins, policies
from test_engine_oracle import draw_policy, draw_request
from test_twins import ADMIN, OTHER, PAGE, STRANGER, Built, Drawer
from werkzeug.routing import IntegerConverter, Rule, ValidationError
from werkzeug.test import run_wsgi_app

from flask_preflight import Policy, Preflight, by_path, cors_exempt, cors_route
from flask_preflight.commands.targets import FlaskTarget, make_environ
from flask_preflight.edge import app as edge_app
from flask_preflight.edge.app import rows_of_app
from flask_preflight.edge.rows import Asked, CannotExport, Row, answer_of, grant_of, rows_of
from flask_preflight.engine import Outcome, RequestFacts, negotiate
from flask_preflight.paths import PathPolicies

pytestmark = pytest.mark.filterwarnings("ignore:Current server name:UserWarning")

APPS = int(os.environ.get("EDGE_APPS", "100"))
RANDOM_POLICIES = int(os.environ.get("EDGE_POLICIES", "1000"))
SEED = os.environ.get("EDGE_SEED", "1")

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "put", "TRACE", "PROPFIND", "X", "")
LISTS = ("", "content-type", "authorization,content-type", "x-a", "Content-Type", "content-type, x-a", ",", "*")


def negotiated(policy: Policy, asked: Asked) -> tuple[int, Any] | None:
    facts = RequestFacts("OPTIONS", asked.origin, asked.method, asked.headers or None)
    decision = negotiate(policy, facts)
    return (decision.status or 0, decision.headers) if decision.outcome is Outcome.PREFLIGHT_GRANTED else None


@st.composite
def meetings(draw: st.DrawFn) -> tuple[Policy, Asked]:
    policy = draw(policies())
    listed = [str(each) for each in policy.allow_origins] if isinstance(policy.allow_origins, tuple) else []
    near = [near_misses(st.sampled_from(listed))] if listed else []
    origin = draw(st.one_of(origins(), header_values(), st.just("null"), *near))
    methods = st.sampled_from([*METHODS, *policy.methods])
    names = st.lists(st.sampled_from([*(name.lower() for name in policy.headers), "x-other", ""]), max_size=4)
    headers = st.one_of(names.map(",".join), st.sampled_from(LISTS), header_values())
    return policy, Asked("OPTIONS", "/", origin, draw(methods), draw(headers))


@given(meetings())
def test_a_row_answers_as_negotiate_or_not_at_all(meeting: tuple[Policy, Asked]) -> None:
    policy, asked = meeting
    answer = answer_of(rows_of(policy), asked)
    assert answer is None or answer == negotiated(policy, asked)


@pytest.mark.slow
def test_rows_of_random_policies_agree_with_negotiate() -> None:
    """``EDGE_POLICIES=100000 EDGE_SEED=7`` draws more policies, and others. Each gets three requests."""
    random, granted = Random(f"{SEED}/policies"), 0
    for _ in range(RANDOM_POLICIES):
        description = draw_policy(random)
        fields: Any = description
        policy = Policy(**fields)
        rows = rows_of(policy)
        for _ in range(3):
            request = draw_request(random, description)
            asked = Asked(
                request.method,
                "/",
                request.origin or "",
                request.requested_method or "",
                request.requested_headers or "",
            )
            # as browsers write them, or as they were drawn
            asked = asked._replace(headers=random.choice([asked.headers, asked.headers.lower().replace(" ", "")]))
            answer = answer_of(rows, asked)
            granted += answer is not None
            assert answer is None or answer == negotiated(policy, asked), (description, asked)
    assert granted > RANDOM_POLICIES / 50


POLICIES = {
    "one": Policy(allow_origins=[PAGE]),
    "subdomains": Policy(
        allow_origins=["https://*.a.com"], allow_methods=["PUT"], allow_headers=["X-A", "Authorization"]
    ),
    "any-port": Policy(allow_origins=["http://localhost:*"]),
    "both": Policy(allow_origins=["https://*.a.com:*"]),
    "extension": Policy(allow_origins=["moz-extension://*"]),
    "public": Policy(allow_origins="*", allow_methods="*", allow_headers="*"),
    "credentials": Policy(allow_origins=[PAGE], allow_credentials=True, allow_methods="*"),
    "status": Policy(allow_origins=[PAGE], preflight_status=299, max_age=None),
}


@pytest.mark.parametrize(
    ("name", "origin", "method", "headers"),
    [
        ("one", PAGE, "GET", ""),
        ("one", PAGE, "POST", "content-type"),
        ("subdomains", "https://x.a.com", "PUT", "authorization,content-type,x-a"[0:13]),
        ("subdomains", "https://x.y.z.a.com", "PUT", "authorization,x-a"),
        ("any-port", "http://localhost:3000", "GET", ""),
        ("any-port", "http://localhost", "GET", ""),
        ("both", "https://x.a.com:8443", "GET", ""),
        ("extension", "moz-extension://4f3c-1", "GET", ""),
        ("public", STRANGER, "PATCH", ""),
        ("public", "null", "PUT", ""),
        ("credentials", PAGE, "DELETE", "content-type"),
        ("status", PAGE, "HEAD", ""),
    ],
)
def test_what_browsers_send_is_granted_at_the_edge(name: str, origin: str, method: str, headers: str) -> None:
    asked = Asked("OPTIONS", "/", origin, method, headers)
    answer = answer_of(rows_of(POLICIES[name]), asked)
    assert answer is not None
    assert answer == negotiated(POLICIES[name], asked)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(allow_origins=lambda origin, environ: True), "allow_origins is a callable"),
        (Policy(), "no origin is allowed"),
        (Policy(allow_origins=[PAGE], allow_methods=[]), "no method is allowed"),
        (Policy(allow_origins=[PAGE], allow_headers=["X-$a"]), "a method or header has an unusual name"),
        (Policy(allow_origins=[f"https://*.{'a' * 63}.{'b' * 63}.{'c' * 63}.com"]), "no origin is allowed"),
    ],
)
def test_what_no_edge_can_hold_is_left_to_the_app(policy: Policy, reason: str) -> None:
    assert rows_of(policy) == [Row("[^ ]* [^ ]*", None, "any path", reason)]
    with pytest.raises(CannotExport, match=re.escape(reason)):
        grant_of(policy)


# ---------------------------------------------------------------------------------------
# By path
# ---------------------------------------------------------------------------------------

BY_PATH = by_path(
    {
        "/": Policy(allow_origins=[OTHER]),
        "/api": Policy(allow_origins=[PAGE]),
        "/api/admin": Policy(allow_origins=[ADMIN], allow_credentials=True),
        "/api/none": None,
        "/é": Policy(allow_origins=[PAGE, ADMIN]),
        "/api/a b": Policy(allow_origins=[STRANGER]),
        "/private": None,
    }
)
TARGETS = (
    *(
        "/",
        "/x",
        "/x/",
        "/api",
        "/api/",
        "/api?x=/admin",
        "/apix",
        "/api/x/y",
        "/api/admin",
        "/api/admin/x",
        "/api/adminx",
    ),
    *(
        "/api/none",
        "/api/none/x",
        "/%C3%A9",
        "/%C3%A9/x",
        "/api/a%20b",
        "/private",
        "/private/x",
        "//api",
        "/api//x",
        "/./api",
    ),
    *(
        "/api/../x",
        "/api/./x",
        "/api/.x",
        "/api%2fadmin",
        "/api/%61dmin",
        "/API",
        "*",
        "",
        "/api/x;y",
        "/api/admin?a b",
    ),
)


@pytest.mark.parametrize("prefix", ["", "/mount"])
def test_rows_of_paths(prefix: str) -> None:
    assert isinstance(BY_PATH, PathPolicies)
    rows, granted = rows_of(BY_PATH, prefix), 0
    for target in TARGETS:
        for origin in (PAGE, ADMIN, OTHER, STRANGER):
            asked = Asked("OPTIONS", f"{prefix}{target}", origin, "GET", "")
            answer = answer_of(rows, asked)
            if answer is not None:
                environ = make_environ(f"https://a.example{target}", "OPTIONS", {})
                policy = BY_PATH(environ)
                assert policy is not None
                assert answer == negotiated(policy, asked), target
                granted += 1
    assert granted >= 9


# ---------------------------------------------------------------------------------------
# Flask apps
# ---------------------------------------------------------------------------------------


def answer_of_app(app: Any, asked: Asked, host: str) -> tuple[int, Any]:
    headers = {"Origin": asked.origin, "Access-Control-Request-Method": asked.method}
    if asked.headers:
        headers["Access-Control-Request-Headers"] = asked.headers
    _, status, sent = run_wsgi_app(app, make_environ(f"{host}{asked.target}", "OPTIONS", headers))
    wanted = [(name, value) for name, value in sent if name.startswith("Access-Control-") or name == "Vary"]
    return int(status.partition(" ")[0]), tuple(wanted)


def targets_of(drawer: Drawer, spec: Any) -> list[str]:
    found = [drawer.path(spec, rule).removeprefix("/budget") for rule in spec.rules for _ in range(4)]
    ways = (
        "/a",
        "/b/a",
        "/1",
        "/a/",
        "//a",
        "/a/1/",
        "/pages/1",
        "/pages/2",
        "/pages/",
        "/hops/1",
        "/x1",
        "/a/b",
        "/b",
    )
    return [target for target in dict.fromkeys([*found, *ways]) if target.isascii() and target.isprintable()]


@pytest.mark.slow
def test_rows_of_random_apps() -> None:
    answered = 0
    for number in range(APPS):
        drawer = Drawer(f"{SEED}/edge/{number}")
        spec = drawer.spec()
        if spec.kind != "plain":
            continue
        spec.inside, spec.outside, spec.outermost = [], [], None
        app = Built(spec, twin=False).flask
        target = FlaskTarget(app)
        rows = rows_of_app(target)
        for path, method, origin in itertools.product(
            targets_of(drawer, spec), METHODS, (PAGE, ADMIN, OTHER, STRANGER)
        ):
            asked = Asked("OPTIONS", path, origin, method, "")
            answer = answer_of(rows, asked)
            if answer is not None:
                answered += 1
                assert answer == answer_of_app(app, asked, target.base_url), (number, asked, spec.rules)
    assert answered > APPS


def shop(**changes: Any) -> Flask:
    """Several policies on one URL, a path behind a number, and what rows cannot say."""
    app = Flask("shop", static_folder=None)
    fields: dict[str, Any] = {"allow_origins": [PAGE], **changes}
    Preflight(app, **fields)

    def add(rule: str, name: str, *methods: str, **marks: Any) -> None:
        def view(**_: object) -> str:
            return name

        app.add_url_rule(rule, name, cors_route(**marks)(view) if marks else view, methods=methods)

    add("/items", "list", "GET", allow_origins="*")
    add("/items", "add", "POST", "PUT")
    add("/items/<int:n>", "read", "GET", allow_origins=[PAGE, OTHER])
    add("/items/<int:n>", "change", "PUT", "PATCH", allow_headers=["X-A"])
    add("/items/<int:n>", "remove", "DELETE", allow_origins=[ADMIN], allow_credentials=True)
    add("/items/new", "new", "PUT")
    add("/files/<path:name>", "file", "PUT")
    add("/limited/<int(max=9):n>", "limited", "PUT")
    add("/callable", "callable", "PUT", allow_origins=lambda origin, environ: True)
    add("/slash/", "slash", "PUT")
    add("/<any(de, en):lang>/about", "about", "PUT")
    add("/<string(length=2):code>", "code", "PUT")
    return app


GRANTED = {
    "/items PUT": True,
    "/items/7 PUT": True,
    "/items/7 DELETE": False,  # not for this page
    "/items/new PUT": True,
    "/items/new PATCH": False,  # no route has it
    "/files/a/b.txt PUT": True,
    "/files/a/../b PUT": False,
    "/limited/3 PUT": False,
    "/callable PUT": False,
    "/slash/ PUT": True,
    "/slash PUT": False,
    "/de/about PUT": True,
    "/xx/about PUT": False,
    "/xy PUT": True,
    "/xyz PUT": False,
    "/items/7?x=1 PUT": True,
}


@pytest.mark.parametrize("key", GRANTED)
def test_a_shop(key: str) -> None:
    target, method = key.split()
    app = shop()
    asked = Asked("OPTIONS", target, PAGE, method, "")
    answer = answer_of(rows_of_app(FlaskTarget(app)), asked)
    assert (answer is not None) == GRANTED[key]
    assert answer is None or answer == answer_of_app(app, asked, "https://app.invalid")


def odd_shop() -> Flask:
    app = shop()
    FlaskTarget(app)  # as after the first request
    app._got_first_request = False
    app.add_url_rule(
        "/late", "late", cors_route(allow_origins="*", allow_credentials=True)(lambda: ""), methods=["PUT"]
    )
    app.add_url_rule("/exempt", "exempt", cors_exempt(lambda: ""), methods=["PUT"])
    app.add_url_rule("/<uuid:n>/x", "uuid", lambda n: "", methods=["PUT"])
    app.add_url_rule("/<string(length=600):n>/y", "long", lambda n: "", methods=["PUT"])
    app.add_url_rule(f"/{'y' * 3000}", "long path", lambda: "", methods=["PUT"])
    items = ", ".join(f"item{number}" for number in range(400))
    app.add_url_rule(f"/<any({items}):n>/z", "many items", lambda n: "", methods=["PUT"])
    return app


@pytest.mark.parametrize(
    ("target", "is_granted"),
    [
        ("/late", False),
        ("/exempt", False),
        ("/00000000-0000-0000-0000-00000000000a/x", True),
        ("/00000000-0000-0000-0000-00000000000g/x", False),
        (f"/{'x' * 600}/y", False),
        (f"/{'y' * 3000}", False),
        ("/item7/z", False),
    ],
)
def test_an_odd_shop(target: str, is_granted: bool) -> None:
    app = odd_shop()
    asked = Asked("OPTIONS", target, PAGE, "PUT", "")
    answer = answer_of(rows_of_app(FlaskTarget(app)), asked)
    assert (answer is not None) == is_granted
    assert answer is None or answer == answer_of_app(app, asked, "https://app.invalid")


@pytest.mark.parametrize("named", [["PATCH"], ["PATCH", "OPTIONS"], ["PATCH", "PUT", "OPTIONS"]], ids=" ".join)
@pytest.mark.parametrize("wide", ["/<path:p>", "/<p>", "/<p>/", "/<path:p>/"])
@pytest.mark.parametrize("narrow", ["/inner", "/inner/", "/<int:p>", "/<any(inner, x):p>/"])
def test_a_method_of_all_urls_is_named_only_where_the_app_names_it(wide: str, narrow: str, named: list[str]) -> None:
    app = Flask("shared", static_folder=None)
    Preflight(app, allow_origins=[PAGE])

    def patch(p: object) -> str:
        return ""

    app.add_url_rule(wide, "wide", cors_route(allow_methods=named)(patch), methods=["PATCH"])
    app.add_url_rule(narrow, "narrow", cors_route(allow_origins=[ADMIN])(lambda **_: ""), methods=["DELETE"])
    rows, granted = rows_of_app(FlaskTarget(app)), 0
    for path, slash, method in itertools.product(("/inner", "/7", "/x"), ("", "/"), ("PATCH", "DELETE", "OPTIONS")):
        for origin in (PAGE, ADMIN):
            asked = Asked("OPTIONS", f"{path}{slash}", origin, method, "")
            answer = answer_of(rows, asked)
            granted += answer is not None
            assert answer is None or answer == answer_of_app(app, asked, "https://app.invalid"), asked
    assert granted > 0


@pytest.mark.parametrize("first", ["/<int(min=2):p>", "/<int(max=1):p>", "/<even:p>", "/<int(fixed_digits=2):p>"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_number_that_only_one_of_two_rules_takes(first: str, is_first: bool) -> None:
    """The matcher knows the two by one expression. Where the first refuses, nobody has its methods."""

    class Even(IntegerConverter):
        def to_python(self, value: str) -> int:
            if int(value) % 2:
                raise ValidationError
            return int(value)

    app = Flask("numbers", static_folder=None)
    app.url_map.converters["even"] = Even
    Preflight(app, allow_origins=[PAGE])
    rules = [(first, "POST"), ("/<int:p>", "PUT")]
    for rule, method in rules if is_first else rules[::-1]:
        app.add_url_rule(rule, method, lambda p: "", methods=[method])
    app.add_url_rule("/other/<int:p>", "other", lambda p: "", methods=["PUT"])
    rows, granted = rows_of_app(FlaskTarget(app)), 0
    for path, method in itertools.product(("/1", "/2", "/10", "/11", "/other/1"), ("PUT", "POST")):
        asked = Asked("OPTIONS", path, PAGE, method, "")
        answer = answer_of(rows, asked)
        granted += answer is not None
        assert answer is None or answer == answer_of_app(app, asked, "https://app.invalid"), asked
    assert granted > 0


def test_rules_that_begin_differently_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app with many rules takes no quadratic time."""
    compared: list[object] = []

    def may_meet(one: Rule, two: Rule) -> bool:
        compared.append((one, two))
        return may_meet_too(one, two)

    may_meet_too = edge_app._may_meet
    monkeypatch.setattr(edge_app, "_may_meet", may_meet)
    app = Flask("many", static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    for number in range(100, 200):
        app.add_url_rule(f"/r{number}/<n>", f"r{number}", lambda n: "", methods=["PUT"])
    app.add_url_rule("/r1", "short", lambda: "", methods=["PUT"])
    assert sum(row.grant is not None for row in rows_of_app(FlaskTarget(app))) == 101
    assert 0 < len(compared) <= 2 * 101


@pytest.mark.parametrize("wide", ["/<path:p>", "/<p>"])
@pytest.mark.parametrize("narrow", ["/x", "/<string(length=1):p>", "/<any(x, x1):p>"])
@pytest.mark.parametrize("end", ["/gone//", "/gone/away", "/gone"])
def test_a_redirect_is_no_example_of_another_rule(wide: str, narrow: str, end: str) -> None:
    """There the app names fewer methods than at the other URLs of the wide rule, also if it leads back to that."""
    app = Flask("redirecting", static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    view = cors_route(allow_methods=["GET", "PUT"])(lambda p: "")
    app.add_url_rule(wide, "wide", view, methods=["GET", "PUT"])
    app.add_url_rule(narrow, "narrow", lambda **_: "", methods=["PUT"], redirect_to=end)
    rows, granted = rows_of_app(FlaskTarget(app)), 0
    for path, method in itertools.product(("/x", "/x1", "/y", "/long"), ("GET", "PUT")):
        asked = Asked("OPTIONS", path, PAGE, method, "")
        answer = answer_of(rows, asked)
        granted += answer is not None
        assert answer is None or answer == answer_of_app(app, asked, "https://app.invalid"), asked
    assert granted > 0 or narrow != "/x"


@pytest.mark.parametrize(
    ("target", "is_granted"),
    [
        *(("/app", True), ("/app/", True), ("/app/x/y?z", True), ("/application", False), ("/app-admin/x", False)),
        *(("/app/..%2fadmin", False), ("/app/../admin", False), ("/app//x", False), ("/", False), ("/x/app", False)),
    ],
)
def test_one_policy_for_a_mount_is_not_for_the_paths_beside_it(target: str, is_granted: bool) -> None:
    rows = rows_of(Policy(allow_origins=[PAGE]), "/app")
    assert (answer_of(rows, Asked("OPTIONS", target, PAGE, "GET", "")) is not None) == is_granted


def test_hosts_are_no_business_of_rows() -> None:
    app = Flask("hosts", host_matching=True, static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    with pytest.raises(CannotExport, match="hosts or subdomains"):
        rows_of_app(FlaskTarget(app))
