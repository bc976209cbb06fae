"""Random apps: the policy that a request gets is that of the view which Flask's own test client reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from flask import Blueprint, Flask, Response, request
from hypothesis import given
from hypothesis import strategies as st
from numbered_views import at, new_app, raw, view
from pages import PAGE, REFUSED, granted, preflight, readable, send

from flask_preflight import Preflight, cors_blueprint, cors_route

# PEP 3333 allows any method, but the checker in `wsgiref.validate` warns of unknown ones.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")]

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
PARTS = ("a", "b", "A", "a+b", "1", "<int:n>", "<s>", "<path:p>", "<any(a, x):n>", "x<s>")
PIECES = ("a", "b", "A", "a+b", "1", "x", "xa", "a%20b", "a%2Fb", "%61", "..", ".", "", "%C3%A9", "%FF", "%252f")


PREFIXES = {"outer": "b", "inner": "1"}


class Drawn(NamedTuple):
    """One rule of a random app."""

    url: str
    methods: list[str]
    options: dict[str, Any]
    blueprints: tuple[str, ...]


@st.composite
def drawn_rules(draw: st.DrawFn) -> Drawn:
    parts = draw(st.lists(st.sampled_from(PARTS), max_size=3))
    parts = [part.replace("n>", f"n{place}>").replace("s>", f"s{place}>") for place, part in enumerate(parts)]
    parts = [part.replace("p>", f"p{place}>") for place, part in enumerate(parts)]
    options: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "strict_slashes": st.booleans(),
                "merge_slashes": st.booleans(),
                "redirect_to": st.sampled_from(["/a", "/a/", "/b/1", "/A", "a"]),
                "provide_automatic_options": st.booleans(),
            },
        )
    )
    return Drawn(
        "/" + "/".join(parts) + draw(st.sampled_from(["", "/"])) * bool(parts),
        draw(st.lists(st.sampled_from(METHODS), min_size=1, max_size=3, unique=True)),
        options,
        draw(st.sampled_from([(), (), ("outer",), ("outer", "inner")])),
    )


@st.composite
def drawn_urls(draw: st.DrawFn, rule: Drawn) -> str:
    """Draw a URL that *rule* matches, or nearly matches."""
    pieces = [PREFIXES[name] for name in rule.blueprints]
    for part in rule.url.split("/")[1:]:
        text = draw(st.one_of(st.just("1"), st.sampled_from(PIECES)))
        pieces.append(text if "<" in part else draw(st.sampled_from([part, part, part, part, text])))
    slashes = [draw(st.sampled_from(["/", "/", "/", "/", "//"])) for _ in pieces]
    return "".join(map("".join, zip(slashes, pieces, strict=True))) + draw(st.sampled_from(["", "", "/"]))


@st.composite
def drawn_requests(draw: st.DrawFn) -> tuple[list[Drawn], str, str]:
    """Draw the rules of an app, a method, and a URL."""
    rules = draw(st.lists(drawn_rules(), min_size=1, max_size=6))
    rule = draw(st.sampled_from(rules))
    others = st.sampled_from([*METHODS, "HEAD", "OPTIONS"])
    return rules, draw(st.one_of(st.sampled_from(rule.methods), others)), draw(drawn_urls(rule))


def build(rules: list[Drawn], *, protected: bool) -> Flask:
    """Make an app with numbered views whose responses name the endpoint that was reached."""
    app = new_app(protected=protected)
    outer, inner = (Blueprint(name, __name__, url_prefix=f"/{prefix}") for name, prefix in PREFIXES.items())
    cors_blueprint(outer, allow_headers=[..., "X-Outer"])
    cors_blueprint(inner, allow_headers=[..., "X-Inner"])
    homes: dict[tuple[str, ...], Flask | Blueprint] = {(): app, ("outer",): outer, ("outer", "inner"): inner}
    for number, rule in enumerate(rules, 1):
        homes[rule.blueprints].add_url_rule(rule.url, view_func=view(number), methods=rule.methods, **rule.options)
    outer.register_blueprint(inner)
    app.register_blueprint(outer)

    @app.after_request
    def name_endpoint(response: Response) -> Response:
        if request.endpoint is not None:
            response.headers["X-Endpoint"] = request.endpoint
        return response

    return app


class Hop(NamedTuple):
    status: int
    text: str
    endpoint: str | None
    cors: dict[str, str]
    url: str


def path_of(url: str) -> dict[str, Any]:
    """Options of a request to *url*, decoded as servers do. The client would take ``//a`` for a host."""
    return raw(unquote_to_bytes(url))


def follow(app: Flask, method: str, url: str) -> list[Hop]:
    """Follow redirects as far as the extension looks for a view."""
    hops: list[Hop] = []
    while len(hops) <= 5 and (not hops or hops[-1].status == 308):
        sent = app.test_client().open("/", method=method, headers={"Origin": PAGE}, **path_of(url))
        cors = {name: value for name, value in sent.headers if name == "Vary" or name.startswith("Access-Control-")}
        hops.append(Hop(sent.status_code, sent.get_data(as_text=True), sent.headers.get("X-Endpoint"), cors, url))
        url = urlsplit(sent.headers.get("Location", "")).path
    return hops


def copy_options_handlers(plain: Flask, app: Flask) -> None:
    """Give *plain* what the extension changes in an app: the OPTIONS handlers of marked views."""
    for rule, its_rule in zip(plain.url_map.iter_rules(), app.url_map.iter_rules(), strict=True):
        vars(rule).update({name: vars(its_rule)[name] for name in ("methods", "provide_automatic_options")})


@given(drawn_requests())
def test_requests_get_the_policy_of_the_view_that_flask_reaches(drawn: tuple[list[Drawn], str, str]) -> None:
    rules, method, url = drawn
    app, plain = build(rules, protected=True), build(rules, protected=False)
    send(app, "GET", "/")
    copy_options_handlers(plain, app)

    hops, judge = follow(app, method, url), follow(plain, method, url)
    assert [hop[:3] for hop in hops] == [hop[:3] for hop in judge]
    endpoint = judge[-1].endpoint
    if endpoint is None:
        assert preflight(app, method, "/", **path_of(url)) == (REFUSED if judge[-1].status == 405 else granted(method))
        assert all(hop.cors == readable() for hop in hops)
        return
    number = int(endpoint.rpartition("_")[2])
    methods = set(next(rule.methods for rule in plain.url_map.iter_rules(endpoint)) or ())
    for other in methods - {method, "GET", "HEAD", "POST", "OPTIONS"}:
        if follow(plain, other, judge[-1].url)[0].endpoint != endpoint:  # a rule before this one handles it
            methods.remove(other)
    if follow(plain, "OPTIONS", judge[-1].url)[0].endpoint is None:  # a rule before this one redirects it
        methods.discard("OPTIONS")
    headers = sorted(["Content-Type", *(f"X-{name.title()}" for name in rules[number - 1].blueprints)])
    assert preflight(app, method, "/", **path_of(url)) == granted(
        ", ".join(sorted(methods)), ", ".join(headers), max_age=str(number)
    )
    assert all(hop.cors == readable(expose=f"X-{number}") for hop in hops)


# ---------------------------------------------------------------------------------------
# Apps that change between requests
# ---------------------------------------------------------------------------------------

HOSTS = ("http://a.com", "https://a.com", "http://sub.a.com:81/mount", "http://b.com")
FLASKS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"host_matching": True, "static_host": "a.com"},
    {"subdomain_matching": True},
)


@st.composite
def drawn_growth(draw: st.DrawFn) -> tuple[dict[str, Any], list[Drawn], list[tuple[str, str, str]]]:
    """Draw the options of a Flask app, the rules that are added one by one, and the requests in between."""
    rules = draw(st.lists(drawn_rules(), min_size=1, max_size=5))
    for rule in rules:
        rule.options.pop("provide_automatic_options", None)  # the extension reads it only at the first request
    asked = st.tuples(
        st.sampled_from([*METHODS, "get", "HEAD"]),
        st.sampled_from(rules).flatmap(drawn_urls),
        st.sampled_from(HOSTS),
    )
    return draw(st.sampled_from(FLASKS)), rules, draw(st.lists(asked, min_size=1, max_size=6))


def add(app: Flask, number: int, rule: Drawn) -> None:
    options = dict(rule.options)
    if app.url_map.host_matching:
        options["host"] = HOSTS[number % 2].rpartition("/")[2]
    if app.subdomain_matching and number % 2:
        options["subdomain"] = "sub"
    app.add_url_rule(rule.url, view_func=view(number), methods=rule.methods, **options)


def replacement(number: int) -> Callable[..., str]:
    return cors_route(allow_headers=[f"X-Replaced-{number}"])(lambda **_: "")


@pytest.mark.filterwarnings("ignore:Current server name:UserWarning")  # from Werkzeug, if there is a SERVER_NAME
@given(drawn_growth(), st.data())
def test_a_changed_app_answers_as_a_new_one(
    drawn: tuple[dict[str, Any], list[Drawn], list[tuple[str, str, str]]], data: st.DataObject
) -> None:
    options, rules, asked = drawn
    app, added = new_app(protected=False, **options), list[tuple[int, Drawn]]()
    extension = Preflight(app, allow_origins=[PAGE])
    changes: dict[str, Any] = {}
    replaced: set[int] = set()
    for number, rule in enumerate(rules, 1):
        add(app, number, rule)
        added.append((number, rule))
        match data.draw(st.sampled_from(["", "", "policy", "server name", "trusted hosts", "view"])):
            case "policy":
                changes = {"allow_headers": [f"X-{number}"]}
                extension.reconfigure(app, **changes)
            case "server name":
                app.config["SERVER_NAME"] = data.draw(st.sampled_from([None, "a.com", "b.com"]))
            case "trusted hosts":
                app.config["TRUSTED_HOSTS"] = data.draw(st.sampled_from([None, ["a.com"], ["b.com", ".a.com"]]))
            case "view":
                replaced.add(number)
                app.view_functions[f"view_{number}"] = replacement(number)
        fresh = new_app(protected=False, **options)
        fresh.config.update(app.config)
        for each in added:
            add(fresh, *each)
        fresh.view_functions.update({f"view_{number}": replacement(number) for number in replaced})
        Preflight(fresh, allow_origins=[PAGE], **changes)
        for method, url, host in asked * 2:
            rest = path_of(url) | at(host)
            assert preflight(app, method, "/", **rest) == preflight(fresh, method, "/", **rest)
