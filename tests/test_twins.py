"""Random apps, each built twice: with the extension, and without any CORS. The second is the judge of the first.

The *twin*, without CORS, gets the request that a preflight announces, and its answer says which view Flask reaches.
The answer to the preflight must then follow from the policy that the description of the app gives to that view, and so
must the CORS headers of the request itself. This file uses nothing of the package except its public names.

Pytest runs 900 apps. ``TWIN_APPS=10000`` raises the number and ``TWIN_SEED=7`` draws other apps. For long runs::

    python tests/test_twins.py --apps 10000 --seed 7
    python tests/test_twins.py --seed 7 --only 123      # one app again

A difference is reported with its seed, the app's number, its description, and what was asked before.
"""

from __future__ import annotations

import argparse
import functools
import io
import logging
import os
import pprint
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from flask import Blueprint, Flask, Response, abort, request
from flask.views import MethodView
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, MapAdapter, Rule, ValidationError

from flask_preflight import Preflight, cors_blueprint, cors_exempt, cors_route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

APPS: Final = int(os.environ.get("TWIN_APPS", "900"))
SEED: Final = os.environ.get("TWIN_SEED", "1")
BLOCKS: Final = 4  # tests, so that `pytest -n` can share the work
THREADS: Final = 4

PAGE, ADMIN, OTHER, STRANGER = (f"https://{name}.example" for name in ("page", "admin", "other", "stranger"))

# Werkzeug's, where the Host header differs from SERVER_NAME
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Current server name:UserWarning")]


# ---------------------------------------------------------------------------------------
# The description of an app
# ---------------------------------------------------------------------------------------

Changes = dict[str, Any]
Mark = Changes | Literal["exempt"] | None


class Asking(NamedTuple):
    """A callable for ``allow_origins`` that allows one *origin*. The *number* is its identity."""

    number: int
    origin: str


@dataclass
class ViewSpec:
    """A view function, or, with *handlers*, a ``MethodView``. The mark is on the function or on the class."""

    name: str
    mark: Mark
    handlers: dict[str, Mark] | None = None
    placed: str = "directly"  # or "below a decorator", "above a decorator", "base class"


@dataclass
class RuleSpec:
    endpoint: str
    url: str
    methods: list[str] | None  # None: those of the MethodView
    view: str | None
    order: str = "together"  # or "rule first", "view first", "late view", "bare"
    blueprints: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Ask:
    """A request. Its preflight announces *method* and *wanted*."""

    method: str
    origin: str
    wanted: tuple[str, ...]
    path: str
    host: str | None
    scheme: str
    mount: str
    query: str
    headers: dict[str, str]
    times: int


class Change(NamedTuple):
    """What happens to both apps between requests."""

    kind: str
    name: str = ""
    value: Any = None


@dataclass
class Spec:
    kind: str  # "plain", "host matching", "subdomain matching"
    config: dict[str, Any]
    merge_slashes: bool
    constructor: Changes | None  # a level below *app_wide*, which then goes to init_app()
    app_wide: Changes
    is_configuration: bool  # *app_wide* stands in the configuration
    blueprints: dict[str, Changes | None]
    blueprint_subdomain: str | None
    is_registered_twice: bool
    inside: list[str]
    outside: list[str]
    outermost: str | None  # a middleware around the app object
    views: dict[str, ViewSpec]
    rules: list[RuleSpec]
    asks: list[Ask]
    phases: list[list[Change]]  # the changes before each round of requests
    has_threads: bool


# ---------------------------------------------------------------------------------------
# Drawing a description
# ---------------------------------------------------------------------------------------

HOSTS: Final = ("a.com", "a.com", "A.com:80", "api.a.com", "me.users.a.com", "b.com:8080", "a.com:443", "[::1]:8080")
BAD_HOSTS: Final = ("bad host", "a..b", "")
SCHEMES: Final = ("http", "http", "http", "https", "ws", "wss", "foo")
PARTS: Final = ("a", "a", "b", "b", "A", "a b", "<int:n>", "<x>", "<path:p>", "<own:o>", "x<s>")
PIECES: Final = ("a", "b", "1", "2", "x", "xa", "a b", "..", "\xc3\xa9", "\xff", "%2f", "invalid", "gone", "broken")
METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH")


def next_hop(adapter: MapAdapter, n: int) -> str:
    """Redirect from ``/hops/2`` to ``/hops/1`` and so on, relative to the mount."""
    return f"hops/{n - 1}"


MOVING: Final = ("prefix", "dispatcher", "copying", "scripted")  # what takes /budget off the path
INSIDE: Final = (*MOVING, "ProxyFix", "beside", "rebuilding", "buffering", "generator")


class Drawer:
    """Draws descriptions whose policies are all valid."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self.numbers = iter(range(1, 1000))
        self.has_splices = self.chance(0.5)  # of origins: then every list of origins is a list
        self.has_credentials = self.chance(0.3)  # then no "*"

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def origins(self, *, is_app_wide: bool = False) -> Any:
        choose, number = self.random.choice, next(self.numbers)
        some = sorted(self.random.sample([PAGE, ADMIN, OTHER], self.random.choice([1, 2, 2])))
        if self.has_splices:
            return [..., choose(some)] if not is_app_wide and self.chance(0.4) else some
        if self.chance(0.4):
            return Asking(number, choose([PAGE, ADMIN, OTHER]))
        return "*" if not self.has_credentials and self.chance(0.15) else some

    def changes(self) -> Changes:
        """The fields that a mark changes. Most marks change what a preflight can see."""
        number, changes = next(self.numbers), Changes()
        if self.chance(0.15):
            return {"allow_origins": self.origins()}
        if self.chance(0.75):
            changes["allow_origins"] = self.origins()
        if self.chance(0.6):
            changes["max_age"] = number
        if self.chance(0.6):
            changes["expose_headers"] = self.random.choice([[f"X-E{number}"], [..., f"X-E{number}"]])
        if self.chance(0.4):
            changes["allow_headers"] = self.random.choice([[f"X-H{number}"], [..., "X-H"], []])
        if self.chance(0.2):
            changes["allow_methods"] = self.random.choice([None, "*", ["GET", "PUT"], ["PUT", "DELETE"], []])
        if self.has_credentials and self.chance(0.5):
            changes["allow_credentials"] = self.chance(0.7)
        return changes or {"max_age": number}

    def mark(self, exempt: float = 0.1) -> Mark:
        if self.chance(0.25):
            return None
        return "exempt" if self.chance(exempt) else self.changes()

    def view(self, name: str) -> ViewSpec:
        placed = self.random.choice(["directly", "below a decorator", "above a decorator"])
        if self.chance(0.75):
            return ViewSpec(name, self.mark(), None, placed)
        mark = self.mark(0.05)
        names = self.random.sample(METHODS, self.random.randint(1, 3))
        handlers: dict[str, Mark] = {each: None if mark == "exempt" else self.mark() for each in sorted(names)}
        return ViewSpec(name, mark, handlers, self.random.choice(["directly", "base class"]))

    def url(self) -> str:
        parts = [self.random.choice(PARTS) for _ in range(self.random.choice([0, 1, 1, 1, 2, 2, 3]))]
        for place, part in enumerate(parts):
            for name in "nxpos":
                parts[place] = part = part.replace(f"{name}>", f"{name}{place}>")
        return "/" + "/".join(parts) + (self.random.choice(["", "/"]) if parts else "")

    def rule(self, number: int, spec: Spec) -> RuleSpec:
        rule = RuleSpec(f"e{number}", self.url(), None, self.random.choice([*spec.views]))
        options: dict[str, Any] = rule.options
        view = spec.views[rule.view or ""]
        if view.handlers is None:
            rule.methods = sorted(self.random.sample(METHODS, self.random.randint(1, 3)))
            rule.order = self.random.choice(
                ["together", "together", "rule first", "view first", "late view", "late view", "bare"]
            )
        if self.chance(0.2):
            options["strict_slashes"] = self.chance(0.3)
        if self.chance(0.1):
            options["merge_slashes"] = self.chance(0.3)
        if rule.order == "together" and self.chance(0.2):
            others = [each for each in spec.rules if each.methods and "redirect_to" not in each.options]
            end = self.random.choice([*others, *spec.rules, rule])
            rule.methods = end.methods or rule.methods
            target = self.path(spec, end).removeprefix("/budget")
            target = target.rstrip("/") if self.chance(0.4) else target
            starts = ["/mount", "/count", "http://a.com", "http://b.com", "https://elsewhere.example"]
            targets = [target.lstrip("/"), *(start + target for start in starts)]
            options["redirect_to"] = self.random.choice([target, target, *targets])
        if rule.methods and "redirect_to" not in options and self.chance(0.12):
            options["websocket"] = True
            rule.methods = ["GET"]
        if spec.kind == "host matching":
            options["host"] = self.random.choice(["a.com", "a.com", "<h>.a.com", "b.com:8080", "a.com:443"])
        if spec.kind == "subdomain matching" and self.chance(0.4):
            options["subdomain"] = self.random.choice(["api", "<u>.users"])
        if rule.order != "bare" and spec.blueprints and self.chance(0.4):
            rule.blueprints = self.random.choice([("outer",), ("outer", "inner")])
            if spec.is_registered_twice and rule.order == "late view":
                rule.order = "together"
        return rule

    def piece(self, part: str) -> str:
        if "<int" in part:
            return self.random.choice("11112222x") if part != "<int:n>" else self.random.choice("123456")
        if "<own" in part:
            return self.random.choice(["a"] * 9 + ["invalid", "gone", "broken"])
        if "<" in part:
            return ("x" if part[0] == "x" else "") + self.random.choice(["a", "1"] * 9 + [*PIECES])
        return part

    def path(self, spec: Spec, rule: RuleSpec) -> str:
        """A path that *rule* matches, apart from a detail or two."""
        start = "".join(f"/{name}" for name in rule.blueprints)
        if "again" in start or (rule.blueprints and spec.is_registered_twice and self.chance(0.3)):
            start = start.replace("outer", "again")
        path = start + "/".join(self.piece(part) for part in rule.url.split("/"))
        if self.chance(0.05):
            path = path.replace("/", "//", self.random.choice([1, 2]))
        if self.chance(0.04):
            path += self.random.choice(["/", "//", "/x"])
        if self.chance(0.1):
            path = path.rstrip("/") if len(path) > 1 else path
        if self.chance(0.03):
            path = "/" + self.random.choice(PIECES)
        moves = any(name in MOVING for name in (*spec.inside, *spec.outside, spec.outermost))
        return "/budget" + path if self.chance(0.8 if moves else 0.01) else path

    def ask(self, spec: Spec) -> Ask:
        random, rule = self.random, self.random.choice(spec.rules)
        methods = rule.methods or [*(spec.views[rule.view or ""].handlers or METHODS)]
        if rule.options.get("redirect_to") is not None or self.chance(0.7):
            method = random.choice(methods)
        else:
            method = random.choice([*METHODS, "HEAD", "PROPFIND", "patch"])
        redirects = any("redirect_to" in each.options for each in spec.rules)
        headers: dict[str, str] = {}
        if self.chance(0.85 if rule.options.get("websocket") else 0.04):
            headers |= {"Connection": random.choice(["Upgrade", "keep-alive, upgrade"]), "Upgrade": "websocket"}
        scheme = random.choice(SCHEMES) if self.chance(0.4) else "http"
        if "ProxyFix" in (*spec.inside, *spec.outside, spec.outermost):
            names = {"Proto": SCHEMES, "Host": HOSTS, "Port": ("80", "8080"), "Prefix": ("/mount", "/a")}
            headers |= {f"X-Forwarded-{name}": random.choice(each) for name, each in names.items() if self.chance(0.3)}
        if self.chance(0.4) and "scripted" in (*spec.inside, *spec.outside, spec.outermost):
            headers |= {"X-Script-Name": random.choice(["/budget", "/a"]), "X-Scheme": random.choice(SCHEMES)}
        if redirects:  # a relative redirect says nothing of its host where the scheme is not a known one
            scheme = scheme.replace("foo", "http")
            headers = {name: value.replace("foo", "https") for name, value in headers.items()}
        here: str | None = rule.options.get("host", "a.com").replace("<h>", "api")
        subdomain = rule.options.get("subdomain", spec.blueprint_subdomain if rule.blueprints else None)
        if subdomain:
            here = subdomain.replace("<u>", "me") + ".a.com"
        if self.chance(0.2):
            here = random.choice([*HOSTS, None, random.choice(BAD_HOSTS)])
        return Ask(
            method,
            random.choice([PAGE, ADMIN, OTHER, STRANGER]),
            tuple(random.sample(["content-type", "x-h"], random.choice([0, 0, 0, 0, 1, 2]))),
            self.path(spec, rule),
            here,
            scheme,
            random.choice(["", "", "", "/mount", "/mount/deep"]),
            random.choice(["", "", "x=/a"]),
            headers,
            random.choice([1, 1, 2, 4]) if self.chance(0.97) else 20,
        )

    def change(self, spec: Spec, late: list[RuleSpec]) -> Change:
        random = self.random
        match random.choice(["late", "replace", "rule", "reconfigure", "trusted", "name", "matching"]):
            case "late" if late:
                rule = late.pop()
                return Change("view", ".".join((*rule.blueprints, rule.endpoint)), rule.view)
            case "replace" | "late":
                old = [each for each in spec.rules if each.methods and each.order in ("rule first", "view first")]
                functions = [name for name, view in spec.views.items() if view.handlers is None]
                if old and functions:
                    rule = random.choice(old)
                    return Change("view", ".".join((*rule.blueprints, rule.endpoint)), random.choice(functions))
            case "rule":
                rule = self.rule(100 + next(self.numbers), spec)
                if rule.methods and not rule.blueprints and "redirect_to" not in rule.options:
                    spec.rules.append(replace(rule, order="added later"))
                    return Change("rule", rule.endpoint, spec.rules[-1])
            case "trusted":
                return Change(
                    "config", "TRUSTED_HOSTS", random.choice([None, ["a.com"], [".a.com"], [".a.com", "b.com"]])
                )
            case "name":
                return Change("config", "SERVER_NAME", random.choice([None, "a.com", "a.com", "b.com:8080"]))
            case "matching":
                return Change(random.choice(["subdomain matching", "host matching"]), value=self.chance(0.5))
            case _:
                pass
        return Change("reconfigure", value={**self.changes(), "allow_methods": None})

    def spec(self) -> Spec:
        random = self.random
        app_wide = {**self.changes(), "allow_origins": self.origins(is_app_wide=True)}
        app_wide["allow_methods"] = ["DELETE", "PATCH", "PUT"] if self.chance(0.2) else None
        levels = random.choice(["one", "two", "configuration"])
        kind = random.choice(["plain", "plain", "host matching", "subdomain matching"])
        config: dict[str, Any] = {}
        if kind == "subdomain matching" or self.chance(0.25):
            config["SERVER_NAME"] = random.choice(["a.com"] * 5 + ["b.com:8080"])
        if self.chance(0.1):
            config["TRUSTED_HOSTS"] = random.choice([["a.com"], [".a.com"]])
        blueprints = {}
        if self.chance(0.4):
            blueprints = {name: self.changes() if self.chance(0.7) else None for name in ("outer", "inner")}
        spec = Spec(
            kind,
            config,
            self.chance(0.8),
            self.changes() if levels == "two" else None,
            app_wide,
            levels == "configuration",
            blueprints,
            "api" if kind == "subdomain matching" and self.chance(0.4) else None,
            self.chance(0.3),
            [random.choice(INSIDE) for _ in range(random.choice([0, 0, 0, 1, 1, 2]))],
            [random.choice(INSIDE) for _ in range(random.choice([0, 0, 0, 1]))],
            random.choice(INSIDE) if self.chance(0.15) else None,
            {name: self.view(name) for name in ("v1", "v2", "v3")[: random.randint(1, 3)]},
            [],
            [],
            [[]],
            self.chance(0.06),
        )
        for number in range(random.randint(1, 4)):
            spec.rules.append(self.rule(number, spec))  # a redirect leads to one before
        host = {"host": "a.com"} if kind == "host matching" else {}
        view = random.choice([name for name, each in spec.views.items() if each.handlers is None] or [""])
        if view and self.chance(0.15):  # one view for several pages, the first of which has another URL
            first = RuleSpec("pages", "/pages/", ["GET", "PUT"], view, options={"defaults": {"n": 1}, **host})
            spec.rules += [first, replace(first, url="/pages/<int:n>", options=host)]
        if view and self.chance(0.15):  # many redirects
            hop = RuleSpec("hop", "/hops/<int:n>", ["PUT"], None, options={"redirect_to": next_hop, **host})
            spec.rules += [hop, RuleSpec("end", "/hops/0/", ["PUT"], view, options=host)]
        late = [rule for rule in spec.rules if rule.order == "late view"]
        spec.phases += [[self.change(spec, late)] for _ in range(random.choice([0, 1, 1, 2, 3]))]
        spec.asks += [self.ask(spec) for _ in range(random.randint(3, 6))]
        return spec


# ---------------------------------------------------------------------------------------
# Middleware
# ---------------------------------------------------------------------------------------


def not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("X-Made-By", "no Flask")])
    return [b"nothing here"]


def move(environ: WSGIEnvironment, prefix: str) -> None:
    """Take *prefix* off the path and add it to the mount."""
    path = environ.get("PATH_INFO", "")
    if path == prefix or path.startswith(f"{prefix}/"):
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
        environ["PATH_INFO"] = path[len(prefix) :]


def add_prefix(app: WSGIApplication) -> WSGIApplication:
    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        move(environ, "/budget")
        return app(environ, start_response)

    return middleware


def add_copying(app: WSGIApplication) -> WSGIApplication:
    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        copied = dict(environ)
        move(copied, "/budget")
        return app(copied, start_response)

    return middleware


def add_rebuilding(app: WSGIApplication) -> WSGIApplication:
    """Hand on only what the CGI and WSGI standards name."""
    names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH")
    starts = ("HTTP_", "SERVER_", "REMOTE_", "wsgi.")

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kept = {name: value for name, value in environ.items() if name in names or name.startswith(starts)}
        return app(kept, start_response)

    return middleware


def add_scripted(app: WSGIApplication) -> WSGIApplication:
    """Let headers of a proxy say mount and scheme."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        mount = environ.get("HTTP_X_SCRIPT_NAME", "")
        if mount:
            environ["SCRIPT_NAME"] = mount
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(mount)
        environ["wsgi.url_scheme"] = environ.get("HTTP_X_SCHEME") or environ["wsgi.url_scheme"]
        return app(environ, start_response)

    return middleware


def add_buffering(app: WSGIApplication) -> WSGIApplication:
    """Start the response after the inner app has ended."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started: list[Any] = []
        body = app(environ, lambda *args: started.append(args) or bytes)  # type: ignore[func-returns-value]
        chunks = [*body]
        getattr(body, "close", lambda: None)()
        start_response(*started[-1])
        return chunks

    return middleware


def add_generator(app: WSGIApplication) -> WSGIApplication:
    """Call the inner app only when the first part of the body is due."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        body = app(environ, start_response)
        try:
            yield from body
        finally:
            getattr(body, "close", lambda: None)()

    return middleware


MIDDLEWARE: dict[str, Callable[[WSGIApplication], WSGIApplication]] = {
    "prefix": add_prefix,
    "copying": add_copying,
    "rebuilding": add_rebuilding,
    "scripted": add_scripted,
    "buffering": add_buffering,
    "generator": add_generator,
    "ProxyFix": lambda app: ProxyFix(app, x_for=1, x_proto=1, x_host=1, x_port=1, x_prefix=1),
    "dispatcher": lambda app: DispatcherMiddleware(not_found, {"/budget": app}),
    "beside": lambda app: DispatcherMiddleware(app, {"/a": not_found}),
}


def wrap(app: Flask, layer: Callable[[WSGIApplication], WSGIApplication]) -> None:
    app.wsgi_app = layer(app.wsgi_app)  # type: ignore[method-assign, assignment]


class Recorder:
    """Stands between two layers and copies the last environ that passed."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app
        self.seen: WSGIEnvironment | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.seen = dict(environ)
        return self.app(environ, start_response)


# ---------------------------------------------------------------------------------------
# Building an app from its description
# ---------------------------------------------------------------------------------------


class Own(BaseConverter):
    def to_python(self, value: str) -> str:
        if value == "invalid":
            raise ValidationError
        if value == "gone":
            abort(410)
        if value == "broken":
            raise LookupError(value)
        return value


class AlwaysEqual:
    """A callable for ``allow_origins`` that says it is equal to everything, ``"*"`` included."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __call__(self, origin: str, environ: WSGIEnvironment) -> bool:
        return origin == self.origin


class Unhashable(AlwaysEqual):
    __hash__ = None  # type: ignore[assignment]


def say(name: str, *, exempt: bool) -> Response:
    """The answer of the view *name*. A view that is exempt adds a header of its own, which must stay."""
    own = {"Access-Control-Allow-Origin": "https://own.example"} if exempt else {}
    return Response(name, headers={"X-View": name, **own})


def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapper


class Built:
    """An app from *spec*: with the extension, or, as the *twin*, without any CORS."""

    def __init__(self, spec: Spec, *, twin: bool) -> None:
        self.spec, self.twin = spec, twin
        self.callables: dict[int, AlwaysEqual] = {}
        self.views = {name: self.make_view(view) for name, view in spec.views.items()}
        app = self.flask = Flask(
            "twin",
            static_folder=None,
            root_path="/",
            host_matching=spec.kind == "host matching",
            subdomain_matching=spec.kind == "subdomain matching",
        )
        app.config.update(spec.config)
        if any("<own:" in rule.url for rule in spec.rules):
            app.url_map.converters["own"] = Own
        app.url_map.merge_slashes = spec.merge_slashes
        app.after_request(self.say_rule)
        self.door = Recorder(app.wsgi_app)
        if twin:
            app.wsgi_app = self.door  # type: ignore[method-assign]
        for name in spec.inside:
            wrap(app, MIDDLEWARE[name])
        self.add_rules()
        self.layer = Recorder(app.wsgi_app)
        if twin:
            app.wsgi_app = self.layer  # type: ignore[method-assign]
        else:
            self.add_extension()
        for name in spec.outside:
            wrap(app, MIDDLEWARE[name])
        self.app: WSGIApplication = MIDDLEWARE[spec.outermost](app) if spec.outermost else app

    @staticmethod
    def say_rule(response: Response) -> Response:
        """What Flask itself says of the rule that it has matched."""
        if request.url_rule is not None:
            response.headers["X-Endpoint"] = request.url_rule.endpoint
            response.headers["X-Methods"] = ",".join(sorted(request.url_rule.methods or ()))
        return response

    def values(self, changes: Changes) -> Any:
        """*changes* as the package takes them."""
        origins = changes.get("allow_origins")
        if not isinstance(origins, Asking):
            return changes
        kind = Unhashable if origins.number % 2 else AlwaysEqual
        return {**changes, "allow_origins": self.callables.setdefault(origins.number, kind(origins.origin))}

    def mark(self, target: Any, mark: Mark) -> Any:
        if self.twin or mark is None:
            return target
        return cors_exempt(target) if mark == "exempt" else cors_route(**self.values(mark))(target)

    def make_view(self, spec: ViewSpec) -> Callable[..., Any]:
        if spec.handlers is None:

            def view(**_: object) -> Response:
                return say(spec.name, exempt=spec.mark == "exempt")

            if spec.placed == "above a decorator":
                return self.mark(decorate(view), spec.mark)  # type: ignore[no-any-return]
            marked = self.mark(view, spec.mark)
            return decorate(marked) if spec.placed == "below a decorator" else marked

        base = type("Base", (MethodView,), {})
        if spec.placed == "base class":
            self.mark(base, spec.mark)
        handlers = {name.lower(): self.make_handler(spec, name) for name in spec.handlers}
        view_class: Any = type("View", (base,), handlers)
        if spec.placed != "base class":
            self.mark(view_class, spec.mark)
        return view_class.as_view(spec.name)  # type: ignore[no-any-return]

    def make_handler(self, spec: ViewSpec, method: str) -> Any:
        assert spec.handlers is not None
        mark = spec.handlers[method]

        def handler(_: MethodView, **__: object) -> Response:
            return say(f"{spec.name}.{method}", exempt="exempt" in (mark, spec.mark))

        return self.mark(handler, mark)

    def add_rules(self) -> None:
        spec, app = self.spec, self.flask
        outer, inner = (
            Blueprint(name, "twin", url_prefix=f"/{name}", root_path="/", subdomain=spec.blueprint_subdomain)
            for name in ("outer", "inner")
        )
        homes: dict[tuple[str, ...], Flask | Blueprint] = {(): app, ("outer",): outer, ("outer", "inner"): inner}
        for rule in spec.rules:
            if rule.order != "added later":
                self.add_rule(homes[rule.blueprints], rule)
        if not spec.blueprints:
            return
        for blueprint, changes in zip((outer, inner), spec.blueprints.values(), strict=True):
            if changes is not None and not self.twin:
                cors_blueprint(blueprint, **self.values(changes))
        outer.register_blueprint(inner)
        app.register_blueprint(outer)
        if spec.is_registered_twice:
            app.register_blueprint(outer, name="again", url_prefix="/again")
        for rule in spec.rules:
            if rule.blueprints and rule.order in ("rule first", "view first"):
                for start in ("outer", "again")[: 1 + spec.is_registered_twice]:
                    self.set_view(".".join((start, *rule.blueprints[1:], rule.endpoint)), rule.view)

    def add_rule(self, home: Flask | Blueprint, rule: RuleSpec) -> None:
        if rule.order in ("bare", "added later"):
            self.add_bare_rule(rule)
            return
        if rule.order == "view first" and not rule.blueprints:
            self.set_view(rule.endpoint, rule.view)
        view = self.views[rule.view] if rule.view and rule.order == "together" else None
        options = rule.options if rule.methods is None else {"methods": rule.methods, **rule.options}
        home.add_url_rule(rule.url, rule.endpoint, view, **options)
        if rule.order == "rule first" and not rule.blueprints:
            self.set_view(rule.endpoint, rule.view)

    def add_bare_rule(self, rule: RuleSpec) -> None:
        """Add a rule to the map, where Flask knows nothing of it."""
        self.set_view(rule.endpoint, rule.view)
        methods = [*(rule.methods or ()), *([] if "websocket" in rule.options else ["OPTIONS"])]
        self.flask.url_map.add(Rule(rule.url, endpoint=rule.endpoint, methods=methods, **rule.options))

    def set_view(self, endpoint: str, name: str | None) -> None:
        self.flask.view_functions[endpoint] = self.views[name or ""]

    def add_extension(self) -> None:
        values = self.values(self.spec.app_wide)
        if self.spec.is_configuration:
            self.flask.config.update({f"PREFLIGHT_{name.upper()}": value for name, value in values.items()})
            values = {}
        self.preflight = Preflight(**self.values(self.spec.constructor or {}))
        self.preflight.init_app(self.flask, **values)

    def change(self, change: Change) -> None:
        match change.kind:
            case "view":
                self.set_view(change.name, change.value)
            case "rule":
                self.add_bare_rule(change.value)
            case "config":
                self.flask.config[change.name] = change.value
            case "subdomain matching":
                self.flask.subdomain_matching = change.value
            case "host matching":
                self.flask.url_map.host_matching = change.value
            case _:
                if not self.twin:
                    self.preflight.reconfigure(self.flask, **self.values(change.value))


# ---------------------------------------------------------------------------------------
# Requests and answers
# ---------------------------------------------------------------------------------------

#: Headers whose value is a set of names
SETS: Final = {"Allow", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Expose-Headers"}
VARY_PREFLIGHT: Final = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    def split(self) -> tuple[dict[str, str], Reply]:
        """The headers that CORS is about, and the rest."""
        cors = {name: value for name, value in self.headers.items() if name == "Vary" or name.startswith("Access-")}
        rest = {name: value for name, value in self.headers.items() if name not in cors}
        return cors, Reply(self.status, rest, self.text)


def read_headers(pairs: list[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in pairs:
        known = name.title()
        text = ", ".join(sorted(value.split(", "))) if known in SETS else value
        headers[known] = f"{headers[known]} AND AGAIN {text}" if known in headers else text
    return headers


def send(app: WSGIApplication, environ: WSGIEnvironment) -> Reply:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        started.append((status, headers))
        return bytes

    body = app(environ, start_response)
    try:
        text = b"".join(body).decode()
    finally:
        getattr(body, "close", lambda: None)()
    status, headers = started[-1]
    return Reply(int(status[:3]), read_headers(headers), text)


def environ_of(ask: Ask, *, preflight: bool = False, origin: bool = True) -> WSGIEnvironment:
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": "OPTIONS" if preflight else ask.method,
        "SCRIPT_NAME": ask.mount,
        "PATH_INFO": ask.path,
        "QUERY_STRING": ask.query,
        "SERVER_NAME": "a.com",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": ask.scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if ask.host is not None:
        environ["HTTP_HOST"] = ask.host
    for name, value in ask.headers.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    if origin:
        environ["HTTP_ORIGIN"] = ask.origin
    if preflight:
        environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"] = ask.method
        if ask.wanted:
            environ["HTTP_ACCESS_CONTROL_REQUEST_HEADERS"] = ",".join(ask.wanted)
    return environ


# ---------------------------------------------------------------------------------------
# The judge
# ---------------------------------------------------------------------------------------

MOST_HOPS: Final = 5
DEFAULTS: Final[Changes] = {
    "allow_origins": [],
    "allow_methods": None,
    "allow_headers": ["Content-Type"],
    "expose_headers": [],
    "allow_credentials": False,
    "max_age": 600,
}


def merge(levels: Iterable[Changes]) -> Changes:
    policy = dict(DEFAULTS)
    for changes in levels:
        for name, value in changes.items():
            if isinstance(value, list) and ... in value:
                place = value.index(...)
                value = [*value[:place], *policy[name], *value[place + 1 :]]
            policy[name] = value
    return policy


def is_same(one: Changes | None, other: Changes | None) -> bool:
    def canonical(policy: Changes) -> Changes:
        return {name: frozenset(value) if isinstance(value, list) else value for name, value in policy.items()}

    return one is other if one is None or other is None else canonical(one) == canonical(other)


class Verdict(NamedTuple):
    """What the twin has reached. *policy* is ``None`` for an exempt view; *methods* are those to be granted."""

    what: Literal["view", "no route", "no method", "failure"]
    policy: Changes | None
    methods: frozenset[str] = frozenset()
    is_marked: bool = False
    hops: int = 0
    reaches_flask: bool = True


class Judge:
    """Judges by a twin of *spec*, and by the levels of policies in its description."""

    def __init__(self, spec: Spec) -> None:
        self.twin = Built(spec, twin=True)
        self.spec = spec
        self.app_wide = [*filter(None, [spec.constructor]), spec.app_wide]

    def change(self, change: Change) -> None:
        self.twin.change(change)
        if change.kind == "reconfigure":
            self.app_wide.append(change.value)

    def policy_of(self, endpoint: str, view: str | None, method: str) -> tuple[Changes | None, bool]:
        """The policy of a view for *method*, and whether something is marked."""
        blueprints = ["outer" if name == "again" else name for name in endpoint.split(".")[:-1]]
        levels: list[Any] = [self.spec.blueprints[name] for name in blueprints]
        if view is not None:
            spec = self.spec.views[view.split(".")[0]]
            levels.append(spec.mark)
            if spec.handlers is not None:
                handler = "GET" if method == "HEAD" and "HEAD" not in spec.handlers else method
                levels.append(spec.handlers.get(handler))
        marks = [level for level in levels if level is not None]
        if marks and marks[-1] == "exempt":
            return None, True
        return merge([*self.app_wide, *(level for level in marks if level != "exempt")]), bool(marks)

    def judge(self, ask: Ask) -> tuple[Reply, Verdict]:
        """The twin's answer to the request itself, and what it leads to."""
        self.twin.door.seen = self.twin.layer.seen = None
        answer = reached = send(self.twin.app, environ_of(ask))
        door, layer = self.twin.door.seen, self.twin.layer.seen
        environ = door or layer
        flask = self.twin.door.app
        if environ is None:  # an outer middleware has answered, so the extension sees no request
            return answer, Verdict("no route", None, reaches_flask=False)
        if door is None:
            reached = send(flask, dict(environ))
        hops = 0
        while reached.status == 308 and "X-Endpoint" not in reached.headers:
            path = self.path_within(environ, reached.headers["Location"])
            if path is None or hops == MOST_HOPS:
                return answer, self.no_route(ask)._replace(hops=hops, reaches_flask=door is not None)
            hops += 1
            environ = {**environ, "PATH_INFO": path}
            reached = send(flask, environ)
        verdict = self.verdict(ask, reached)._replace(hops=hops, reaches_flask=door is not None)
        if verdict.what == "view" and verdict.policy is not None:
            kept = [name for name in verdict.methods if self.keeps_policy(verdict.policy, ask, environ, name)]
            verdict = verdict._replace(methods=frozenset(kept))
        return answer, verdict

    def keeps_policy(self, policy: Changes, ask: Ask, environ: WSGIEnvironment, method: str) -> bool:
        """Whether *method* reaches a view of this policy at the same URL, where another rule may handle it."""
        if method in {"GET", "HEAD", "POST", ask.method.upper()}:
            return True
        reached = send(self.twin.door.app, {**environ, "REQUEST_METHOD": method})
        endpoint, view = reached.headers.get("X-Endpoint"), reached.headers.get("X-View")
        if method == "OPTIONS" and view is None:  # Flask answers, unless a rule of another URL redirects it
            return reached.status != 308
        return endpoint is not None and is_same(self.policy_of(endpoint, view, method)[0], policy)

    def path_within(self, environ: WSGIEnvironment, location: str) -> str | None:
        """The path of a redirect below the mount, if host and mount are those of *environ*, as Flask reads them."""
        target = urlsplit(location)
        adapter = self.twin.flask.create_url_adapter(self.twin.flask.request_class(dict(environ)))
        assert adapter is not None
        path = unquote_to_bytes(target.path).decode("latin-1")
        mount = environ["SCRIPT_NAME"].rstrip("/") + "/"
        if target.netloc.lower() != adapter.get_host(None) or not f"{path}/".startswith(mount):
            return None
        return path[len(mount) - 1 :]

    def no_route(self, ask: Ask) -> Verdict:
        policy = merge(self.app_wide)
        allowed = policy["allow_methods"]
        return Verdict("no route", policy, frozenset([ask.method] if allowed is None else allowed))

    def verdict(self, ask: Ask, reached: Reply) -> Verdict:
        endpoint = reached.headers.get("X-Endpoint")
        if endpoint is None:
            if reached.status == 405:
                return Verdict("no method", merge(self.app_wide))
            return Verdict("failure", merge(self.app_wide)) if reached.status == 500 else self.no_route(ask)
        view = reached.headers.get("X-View")
        policy, is_marked = self.policy_of(endpoint, view, ask.method.upper())
        if policy is None:
            return Verdict("view", None, is_marked=True)
        allowed = policy["allow_methods"]
        if allowed not in (None, "*") and "GET" in allowed:
            allowed = [*allowed, "HEAD"]
        methods = frozenset(
            name
            for name in reached.headers["X-Methods"].split(",")
            if (allowed in (None, "*") or name in allowed) and is_same(self.policy_of(endpoint, view, name)[0], policy)
        )
        return Verdict("view", policy, methods, is_marked)

    # -- what follows from a policy -------------------------------------------------------

    @staticmethod
    def allowed_origin(policy: Changes, ask: Ask) -> str | None:
        origins = policy["allow_origins"]
        if origins == "*":
            return "*"
        allowed = [origins.origin] if isinstance(origins, Asking) else origins
        return ask.origin if ask.origin in allowed else None

    def preflight(self, ask: Ask, verdict: Verdict) -> Reply:
        """The whole answer to a preflight."""
        policy = verdict.policy
        if policy is None:
            return send(self.twin.app, environ_of(ask, preflight=True))
        origin = self.allowed_origin(policy, ask)
        names = {name.lower() for name in policy["allow_headers"]}
        is_granted = origin is not None and ask.method in verdict.methods and names.issuperset(ask.wanted)
        if origin is None or not is_granted:
            return Reply(403, {"Vary": VARY_PREFLIGHT}, "")
        headers = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": ", ".join(sorted(verdict.methods)),
            "Access-Control-Max-Age": str(policy["max_age"]),
            "Vary": VARY_PREFLIGHT,
        }
        if policy["allow_headers"]:
            headers["Access-Control-Allow-Headers"] = ", ".join(sorted(set(policy["allow_headers"])))
        if policy["allow_credentials"]:
            headers["Access-Control-Allow-Credentials"] = "true"
        return Reply(204, headers, "")

    def cors_headers(self, ask: Ask, policy: Changes | None, *, origin: bool) -> dict[str, str]:
        """The CORS headers of the answer to the request itself."""
        if policy is None:
            return {}
        allowed = self.allowed_origin(policy, ask) if origin or policy["allow_origins"] == "*" else None
        headers = {} if policy["allow_origins"] == "*" else {"Vary": "Origin"}
        if allowed is None:
            return headers
        headers["Access-Control-Allow-Origin"] = allowed
        if policy["allow_credentials"]:
            headers["Access-Control-Allow-Credentials"] = "true"
        if policy["expose_headers"]:
            headers["Access-Control-Expose-Headers"] = ", ".join(sorted(set(policy["expose_headers"])))
        return headers


# ---------------------------------------------------------------------------------------
# Both compared
# ---------------------------------------------------------------------------------------


class Expectation(NamedTuple):
    """A request, what the twin says of it, and every answer that is right."""

    ask: Ask
    kind: Literal["preflight", "request", "request without Origin"]
    verdict: Verdict
    answers: tuple[Reply, ...]
    times: int

    def difference(self, app: WSGIApplication) -> str | None:
        """What is wrong with the answer of *app*, if something is."""
        environ = environ_of(self.ask, preflight=self.kind == "preflight", origin=self.kind != "request without Origin")
        try:
            answer = send(app, environ)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a difference
            return f"{self.kind} {self.ask}\n  raised {error!r}"
        if self.kind == "preflight" and self.verdict.policy is not None:  # the text of a refusal is free
            answer = Reply(answer.status, answer.split()[0], "" if answer.status == 403 else answer.text)
        if answer in self.answers:
            return None
        right = "\n  or      ".join(map(str, self.answers))
        return f"{self.kind} {self.ask}\n  expected {right}\n  got      {answer}\n  because {self.verdict}"


def expectations(judge: Judge, ask: Ask) -> list[Expectation]:
    answer, verdict = judge.judge(ask)
    cors, rest = answer.split()
    results = [Expectation(ask, "preflight", verdict, (judge.preflight(ask, verdict),), ask.times)]
    for origin in (True, False) if ask.times == 1 else (True,):
        # An actual request that a redirect leads nowhere has the app's policy, whatever became of its preflight.
        policies = [verdict.policy]
        if not verdict.reaches_flask:  # the contract does not say whose policy such an answer gets
            policies.append(merge(judge.app_wide) if judge.twin.layer.seen is not None else None)
        answers = []
        for policy in policies:
            added = judge.cors_headers(ask, policy, origin=origin) if policy is not None else cors
            answers.append(rest._replace(headers={**rest.headers, **added}))
        results.append(Expectation(ask, "request" if origin else "request without Origin", verdict, tuple(answers), 1))
    return results


def run_app(seed: str, tally: Counter[str]) -> str | None:
    """Build one app twice and send everything. The result describes the first difference, if there is one."""
    drawer = Drawer(seed)
    spec = drawer.spec()
    count_spec(spec, tally)

    def describe() -> str:
        return f"seed {seed}.\n{pprint.pformat(spec, width=110, sort_dicts=False)}"

    judge = Judge(spec)
    try:
        built = Built(spec, twin=False)
    except ValueError as error:
        return f"The package refuses a valid app, {describe()}\n{error}"
    asked: list[str] = []
    for phase in spec.phases:
        for change in phase:
            judge.change(change)
            asked.append(str(change))
            try:
                built.change(change)
            except ValueError as error:
                return f"The package refuses a valid change, {describe()}\n{change}\n{error}"
        expected = [each for ask in spec.asks for each in expectations(judge, ask)]
        for each in expected:
            count_expectation(each, tally)
        batch = [each for each in expected for _ in range(each.times)]
        drawer.random.shuffle(batch)
        tally["requests"] += len(batch)
        differences = in_threads(built.app, batch) if spec.has_threads else one_by_one(built.app, batch, asked)
        for difference in differences:
            before = "\n  ".join(asked[-30:]) or "nothing"
            return f"A difference, {describe()}\nbefore:\n  {before}\n{difference}"
    return None


def one_by_one(app: WSGIApplication, batch: list[Expectation], asked: list[str]) -> Iterator[str]:
    for each in batch:
        difference = each.difference(app)
        if difference is not None:
            yield difference
        asked.append(f"{each.kind} {each.ask.method} {each.ask.path} {each.ask.host} {each.ask.scheme}")


def in_threads(app: WSGIApplication, batch: list[Expectation]) -> list[str]:
    with ThreadPoolExecutor(THREADS) as pool:
        return [found for found in pool.map(lambda each: each.difference(app), batch) if found is not None]


# ---------------------------------------------------------------------------------------
# What was drawn, so that nobody trusts a test that tests nothing
# ---------------------------------------------------------------------------------------

KINDS: Final = ("plain", "host matching", "subdomain matching")
ORDERS: Final = ("together", "rule first", "view first", "late view", "bare", "added later")
CHANGES: Final = ("view", "rule", "config TRUSTED_HOSTS", "config SERVER_NAME", "reconfigure", *KINDS[1:])
#: Each must occur in every run of some hundred apps.
DIMENSIONS: Final = (
    *(f"kind: {name}" for name in KINDS),
    *(f"inside: {name}" for name in INSIDE),
    *(f"outside: {name}" for name in INSIDE),
    *(f"order: {name}" for name in ORDERS),
    *(f"change: {name}" for name in CHANGES),
    *(f"scheme: {name}" for name in SCHEMES),
    *(f"host: {name}" for name in {*HOSTS, *BAD_HOSTS, None}),
    *(f"mount: {name}" for name in ("", "/mount", "/mount/deep")),
    *(f"rule: {name}" for name in ("strict_slashes", "merge_slashes", "redirect_to", "websocket", "defaults")),
    *(f"rule: {name}" for name in ("host", "subdomain", "converter of its own", "in a blueprint", "in a nested one")),
    *(f"view: {name}" for name in ("function", "MethodView", "exempt", "unmarked", "shared by rules")),
    *(f"app: {name}" for name in ("threads", "SERVER_NAME", "TRUSTED_HOSTS", "blueprint twice", "callable origins")),
    *(f"app: {name}" for name in ("constructor and init_app", "configuration")),
    *(f"reached: {name}" for name in ("marked view", "unmarked view", "exempt view", "no route", "no method")),
    *(f"reached: {name}" for name in ("failure", "by a redirect", "by two redirects", "by five redirects", "no Flask")),
    "too many redirects",
    "asked twenty times",
    "upgrade",
    "forwarded",
)


def count_spec(spec: Spec, tally: Counter[str]) -> None:
    shared = Counter(rule.view for rule in spec.rules)
    tally.update(["apps", f"kind: {spec.kind}"])
    tally.update(f"inside: {name}" for name in spec.inside)
    tally.update(f"outside: {name}" for name in [*spec.outside, spec.outermost])
    tally.update(f"order: {rule.order}" for rule in spec.rules)
    tally.update(f"rule: {name}" for rule in spec.rules for name in rule.options)
    tally.update("rule: converter of its own" for rule in spec.rules if "own:" in rule.url)
    tally.update("rule: in a blueprint" for rule in spec.rules if rule.blueprints)
    tally.update("rule: in a nested one" for rule in spec.rules if len(rule.blueprints) > 1)
    tally.update("view: function" if view.handlers is None else "view: MethodView" for view in spec.views.values())
    tally.update("view: exempt" for view in spec.views.values() if view.mark == "exempt")
    tally.update("view: unmarked" for view in spec.views.values() if view.mark is None)
    tally.update("view: shared by rules" for view in spec.views if shared[view] > 1)
    tally.update(f"app: {name}" for name in spec.config)
    tally["app: threads"] += spec.has_threads
    tally["app: blueprint twice"] += spec.is_registered_twice and bool(spec.blueprints)
    tally["app: constructor and init_app"] += spec.constructor is not None
    tally["app: configuration"] += spec.is_configuration
    tally["app: callable origins"] += isinstance(spec.app_wide["allow_origins"], Asking)
    for change in (change for phase in spec.phases for change in phase):
        tally[f"change: config {change.name}" if change.kind == "config" else f"change: {change.kind}"] += 1
    for ask in spec.asks:
        tally.update([f"scheme: {ask.scheme}", f"host: {ask.host}", f"mount: {ask.mount}"])
        tally["asked twenty times"] += ask.times == 20
        tally["upgrade"] += "Upgrade" in ask.headers
        tally["forwarded"] += any(name.startswith("X-Forwarded") for name in ask.headers)


def count_expectation(each: Expectation, tally: Counter[str]) -> None:
    if each.kind != "preflight":
        return
    verdict, [answer] = each.verdict, each.answers
    what: str = verdict.what
    if what == "view":
        what = "exempt view" if verdict.policy is None else "marked view" if verdict.is_marked else "unmarked view"
    tally.update(["preflights", f"reached: {what if verdict.reaches_flask else 'no Flask'}"])
    tally["reached: by a redirect"] += verdict.hops == 1
    tally["reached: by two redirects"] += verdict.hops == 2
    tally["reached: by five redirects"] += verdict.what == "view" and verdict.hops == MOST_HOPS
    tally["too many redirects"] += verdict.what == "no route" and verdict.hops == MOST_HOPS
    tally["granted"] += answer.status == 204 and "Access-Control-Max-Age" in answer.headers
    tally["refused"] += answer.status == 403


def check_tally(tally: Counter[str]) -> None:
    """Fail if the apps were too few of a kind to show anything."""
    assert [name for name in DIMENSIONS if not tally[name]] == []
    share = {name: tally[name] / tally["preflights"] for name in ("reached: marked view", "granted", "refused")}
    assert all(each > 0.2 for each in share.values()), share


@contextmanager
def quiet() -> Iterator[None]:
    """Converters that fail are part of the game. Flask and the package would log each."""
    loggers = [logging.getLogger(name) for name in ("twin", "flask_preflight")]
    levels = [logger.level for logger in loggers]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads change often
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_preflights_are_answered_by_the_policy_of_the_view_that_flask_reaches(block: int) -> None:
    tally: Counter[str] = Counter()
    with quiet():
        results = [run_app(f"{SEED}:{number}", tally) for number in range(block, APPS, BLOCKS)]
    differences = [result for result in results if result is not None]
    assert not differences, f"{len(differences)} of {len(results)} apps differ. The first:\n{differences[0]}"
    if len(results) >= 200:
        check_tally(tally)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=APPS)
    parser.add_argument("--seed", default=SEED)
    parser.add_argument("--only", type=int, help="run the app of this number alone")
    parser.add_argument("--show", type=int, default=3, help="how many differences are printed in full")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "Current server name", UserWarning)
    tally: Counter[str] = Counter()
    differing: list[int] = []
    began = time.perf_counter()
    with quiet():
        for number in range(options.apps) if options.only is None else [options.only]:
            difference = run_app(f"{options.seed}:{number}", tally)
            if difference is not None:
                differing.append(number)
                if len(differing) <= options.show:
                    print(difference, end="\n\n")
    took = time.perf_counter() - began
    for name, count in sorted(tally.items()):
        print(f"{count:8} {name}")
    print(f"{len(differing)} of {tally['apps']} apps differ; {took:.1f} s. {differing[:50] or ''}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
