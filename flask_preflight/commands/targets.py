"""What a command examines: a Flask app, a WSGI app with `PreflightMiddleware`, or a `Policy`.

A target lists its routes, and answers a browser. Preflights go through the whole app, with all its middleware. Other
requests are answered as the policy says, so no view runs.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.exceptions import NotFound
from werkzeug.test import create_environ, run_wsgi_app

from flask_preflight.commands.output import CannotRun, explaining, relative
from flask_preflight.commands.samples import sample_url
from flask_preflight.engine import Decision, Reason, allows_method, flaw_of_method
from flask_preflight.explain import ANY_PATH, REFUSED_HEADER, Place, describe_error, escape, explain, refusal_line
from flask_preflight.journal import REFUSALS
from flask_preflight.layer import FlaskLayer
from flask_preflight.marks import NAME, place_of_view
from flask_preflight.paths import PathPolicies
from flask_preflight.policy import Policy
from flask_preflight.problems import PolicyError
from flask_preflight.responses import REFUSAL
from flask_preflight.routes import PolicyTable, RouteMatch
from flask_preflight.state import AppState, state_of
from flask_preflight.wsgi import CorsLayer, PreflightMiddleware, is_preflight, read_facts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from werkzeug.routing import Rule

# A host that does not exist, on https:, because pages on http: and https: may call that. The app's SERVER_NAME replaces
# it.
BASE_URL: Final = "https://app.invalid"

NO_ROUTE: Final = "(no route)"

ANY_METHOD: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_ORDER: Final = {name: number for number, name in enumerate(ANY_METHOD)}


class Route(NamedTuple):
    """One rule and one of its methods.

    *url* is an example that leads there, or ``""`` if none was found. *policy* decides about its preflights; ``None``
    if CORS is left to the view. *place* says where the policy's values come from. *where* is the
    ``file:line`` of the view. *reason* is why the routes refuse a preflight, as in `RouteMatch`. *error* says why the
    policy refuses everything.
    """

    rule: str
    endpoint: str
    method: str
    url: str
    policy: Policy | None
    place: Place
    where: str = ""
    error: str = ""
    reason: Reason | None = None


class Target(ABC):
    """The thing that a command examines. Its *layer* decides."""

    name: str

    def __init__(self, app: WSGIApplication, layer: CorsLayer) -> None:
        self.app = app
        self.layer = layer
        self._raised: set[str] = set()

    @abstractmethod
    def routes(self) -> Iterator[Route]:
        """All routes, sorted."""

    @abstractmethod
    def route(self, environ: WSGIEnvironment, method: str) -> Route:
        """The route of a request, or of the preflight for one, whose method is *method*."""

    @abstractmethod
    def policy_of(self, environ: WSGIEnvironment) -> Policy | None:
        """The policy that decides about an actual request."""

    def preflight_policy(self, environ: WSGIEnvironment) -> Policy | None:
        """The policy that decides about a preflight."""
        return self.policy_of(environ)

    def place_of(self, environ: WSGIEnvironment, policy: Policy) -> Place:
        return self.layer.place_of(environ, policy, None)

    # -- as an app, for `Browser` ---------------------------------------------------------------

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send a preflight through the app. Answer any other request as its policy says, with an empty page."""
        policy = self.preflight_policy(environ) if is_preflight(environ) else self.policy_of(environ)
        if policy is None:  # the view would answer
            start_response("404 Not Found", [])
            return []
        if is_preflight(environ):
            body, status, headers = self.send(environ)
            start_response(status, [*headers.items()])
            return body
        if "HTTP_ORIGIN" in environ and not self.reaches_layer(environ):
            start_response("404 Not Found", [])
            return []
        decision = self.decide(policy, environ)
        if decision.reason is not None:
            sentence = explain(policy, read_facts(environ), decision, self.place_of(environ, policy))
            environ.get(REFUSALS, []).append(refusal_line(decision.reason, sentence))
        start_response("200 OK", [*decision.headers])
        return []

    def send(self, environ: WSGIEnvironment) -> tuple[Iterable[bytes], str, Headers]:
        """Send a request through the app. Where it raises, a server would answer with an error page."""
        try:
            return run_wsgi_app(self.app, environ, buffered=True)
        except Exception as error:  # noqa: BLE001 - middleware of the app may raise anything
            text = describe_error(error)
            if text not in self._raised:
                self._raised.add(text)
                print(f"A server would answer 500, because the app raised {text}.", file=sys.stderr)
            return [], "500 Internal Server Error", Headers()

    def reaches_layer(self, environ: WSGIEnvironment) -> bool:
        """Whether the middleware around the app lets a request through, as far as a preflight for it shows.

        The preflight is for a method that the layer refuses under any policy, and says so. Middleware that makes a new
        environ leaves only the response.
        """
        refusals: list[str] = []
        announced = {"REQUEST_METHOD": "OPTIONS", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "TRACE", REFUSALS: refusals}
        body, _, headers = self.send({**environ, **announced})
        return bool(refusals) or REFUSED_HEADER in headers or b"".join(body) == b"".join(REFUSAL[2])

    def decide(self, policy: Policy, environ: WSGIEnvironment) -> Decision:
        return self.layer.negotiate(policy, read_facts(environ))


def make_environ(url: str, method: str, headers: Mapping[str, str]) -> WSGIEnvironment:
    parts = urlsplit(url)
    host = f"{parts.scheme}://{parts.netloc}/"
    client = {"REMOTE_ADDR": "127.0.0.1"}  # as servers have it
    return create_environ(parts.path, host, parts.query, method=method, headers=headers, environ_base=client)


def preflight_environ(url: str, method: str, origin: str = BASE_URL, headers: str = "") -> WSGIEnvironment:
    announced = {"Origin": origin, "Access-Control-Request-Method": method}
    return make_environ(
        url, "OPTIONS", {**announced, **({"Access-Control-Request-Headers": headers} if headers else {})}
    )


def url_of(environ: WSGIEnvironment) -> str:
    path = quote(environ["PATH_INFO"].encode("latin-1"))
    return f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{path}"


def values_of(field: object) -> object:
    """The value of a policy's field as people write it: a list, not a tuple."""
    return [*field] if isinstance(field, Iterable) and not isinstance(field, str) else field


# ---------------------------------------------------------------------------------------
# Flask apps
# ---------------------------------------------------------------------------------------


class FlaskTarget(Target):
    """A Flask app with `Preflight`."""

    def __init__(self, app: Flask) -> None:
        state: AppState = state_of(app)
        # as the one in the app, but around Flask alone: it is asked for decisions, and never called
        super().__init__(app, FlaskLayer(MethodType(Flask.wsgi_app, app), state))
        self.flask = app
        self.state = state
        self.name = f"the Flask app {app.name!r}"
        self.table: PolicyTable = state.ensure_table()
        self.base_url = base_url_of(app)

    def routes(self) -> Iterator[Route]:
        rules = [rule for rule in self.flask.url_map.iter_rules() if not (rule.websocket or rule.build_only)]
        for rule in sorted(rules, key=lambda rule: (host_of(rule), rule.rule)):
            head = ["HEAD"] if self._has_other_head(rule) else []
            yield from (self._route_of(rule, method) for method in [*methods_of(rule), *head])

    def no_route(self) -> Iterator[Route]:
        """What a URL without route gets, unless some route takes every URL."""
        route = self.route(preflight_environ(f"{self.base_url}/no/such/route", "GET"), "GET")
        if route.rule == NO_ROUTE:
            yield route

    def route(self, environ: WSGIEnvironment, method: str) -> Route:
        match = self.table.match_preflight({**environ, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": method})
        rule = match.rule
        place = self._place(environ, match)
        error = str(match.error) if match.error else ""
        url = url_of(environ)
        if rule is None:
            return Route(NO_ROUTE, "", method, url, match.policy, place, "", error, match.reason)
        name = f"{host_of(rule)}{rule.rule}"
        return Route(name, rule.endpoint, method, url, match.policy, place, self._where(rule, method), error)

    def _route_of(self, rule: Rule, method: str) -> Route:
        def leads_there(url: str) -> bool:
            environ = preflight_environ(url, method)
            return self.table.rule_of(environ, method) is rule

        url = sample_url(rule, self.flask, self.base_url, leads_there)
        if url:
            return self.route(preflight_environ(url, method), method)
        marks = self.table.marks_of(rule.endpoint, method)
        place = Place(rule.rule, setting_of=lambda field: self.state.setting_of(field, marks))
        name, where = f"{host_of(rule)}{rule.rule}", self._where(rule, method)
        try:
            policy, error = self.table.policy_of(rule.endpoint, method), ""
        except PolicyError as problem:
            policy, error = self.table.app_wide, str(problem)
        if policy is not None and policy.allow_methods is None:
            policy = policy.narrow(rule.methods or [method])
        return Route(name, rule.endpoint, method, "", policy, place, where, error)

    def _has_other_head(self, rule: Rule) -> bool:
        """Whether HEAD, which belongs to GET, has other rights. It is not listed otherwise."""
        if not {"GET", "HEAD"} <= (rule.methods or set()):
            return False
        try:
            get, head = (self.table.policy_of(rule.endpoint, method) for method in ("GET", "HEAD"))
        except PolicyError:  # `state.check` reports it
            return False
        return get != head or (head is not None and allows_method(head, "HEAD") != allows_method(head, "GET"))

    def _place(self, environ: WSGIEnvironment, match: RouteMatch) -> Place:
        return self.layer.place_of(environ, match.policy or self.table.app_wide, match)

    def _where(self, rule: Rule, method: str) -> str:
        return relative(place_of_view(self.flask.view_functions.get(rule.endpoint), method))

    def policy_of(self, environ: WSGIEnvironment) -> Policy | None:
        try:
            return self.table.policy_of_environ(environ)
        except PolicyError:
            return Policy()  # the app logs the problems, and allows nothing

    def preflight_policy(self, environ: WSGIEnvironment) -> Policy | None:
        return self.table.match_preflight(environ).policy

    def place_of(self, environ: WSGIEnvironment, policy: Policy) -> Place:
        return self.layer.place_of(environ, policy, RouteMatch(policy))


def methods_of(rule: Rule) -> list[str]:
    """The methods of a rule that pages can ask for, without those that Flask handles by itself."""
    methods = {name for name in rule.methods or ANY_METHOD if flaw_of_method(name) is None}
    own = {"HEAD"} if "GET" in methods else set[str]()
    if getattr(rule, "provide_automatic_options", False) or len(methods - own) > 1:
        own.add("OPTIONS")
    return sorted(methods - own, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))


def host_of(rule: Rule) -> str:
    """What stands before the path where hosts count."""
    return rule.host or (f"{rule.subdomain}." if rule.subdomain else "")


def base_url_of(app: Flask) -> str:
    """A URL of the app, which its configuration accepts."""
    trusted: list[str] = app.config.get("TRUSTED_HOSTS") or []
    host = app.config.get("SERVER_NAME") or next((name.removeprefix(".") for name in trusted), None)
    return f"https://{host}" if host else BASE_URL


# ---------------------------------------------------------------------------------------
# Any WSGI app
# ---------------------------------------------------------------------------------------


class MiddlewareTarget(Target):
    """A `PreflightMiddleware`, or a `Policy` that stands for one."""

    def __init__(self, middleware: PreflightMiddleware, name: str) -> None:
        super().__init__(middleware, middleware)
        self.middleware = middleware
        self.name = name

    def routes(self) -> Iterator[Route]:
        found = self.middleware.policy
        if not isinstance(found, Policy | PathPolicies):
            raise CannotRun(
                f"{self.name} finds its policies with {escape(repr(found))}, so they cannot be listed. Ask about one"
                " request: explain METHOD URL --origin ORIGIN"
            )
        keys = found.keys() if isinstance(found, PathPolicies) else ["/"]
        for key in keys:
            environ = preflight_environ(f"{BASE_URL}{quote(key)}", "GET")
            policy = self.policy_of(environ)
            yield from (self._route(key, method, policy, environ) for method in _methods_of(policy))

    def route(self, environ: WSGIEnvironment, method: str) -> Route:
        found = self.middleware.policy
        key = found.key_of(environ) if isinstance(found, PathPolicies) else None
        return self._route(key, method, self.policy_of(environ), environ)

    def _route(self, key: str | None, method: str, policy: Policy | None, environ: WSGIEnvironment) -> Route:
        is_by_path = isinstance(self.middleware.policy, PathPolicies)
        name = "any other path" if key is None else f"{key.rstrip('/')}/..."
        url = url_of(environ)
        place = self.layer.place_of(environ, policy, None) if policy else ANY_PATH
        return Route(name if is_by_path else "any path", "", method, url, policy, place)

    def policy_of(self, environ: WSGIEnvironment) -> Policy | None:
        found = self.middleware.policy
        return found if isinstance(found, Policy) else found(environ)


def _methods_of(policy: Policy | None) -> list[str]:
    if policy is None or policy.allows_any_method:
        return [*ANY_METHOD]
    names = {*policy.methods, "GET", "POST"}
    methods = names - {"HEAD"} if "GET" in policy.methods else names
    return sorted(methods, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))


# ---------------------------------------------------------------------------------------
# From a name to a target
# ---------------------------------------------------------------------------------------


def target_of(found: Any, name: str) -> Target:
    """The target behind an object.

    :raises CannotRun: if it has nothing that could be asked.
    :raises PolicyError: if its policies are not valid.
    """
    if isinstance(found, Policy):
        return MiddlewareTarget(PreflightMiddleware(NotFound(), found), name)
    if isinstance(found, PreflightMiddleware):
        return MiddlewareTarget(found, name)
    if isinstance(found, Flask):
        return _flask_target(found)
    advice = f" If it makes one, write '{name}()'." if callable(found) and ":" in name else ""
    kinds = "which is neither a Flask app, nor a PreflightMiddleware, nor a Policy."
    raise CannotRun(f"{name} is {escape(repr(found))}, {kinds}{advice}")


def _flask_target(app: Flask) -> Target:
    if NAME in app.extensions:
        return FlaskTarget(app)
    around = next((layer for layer in _layers(app.wsgi_app) if isinstance(layer, PreflightMiddleware)), None)
    if around is not None:
        return MiddlewareTarget(around, f"the middleware of the Flask app {app.name!r}")
    raise CannotRun(f"The Flask app {app.name!r} has no Preflight. Write Preflight(app, allow_origins=[...]).")


def _layers(app: object) -> Iterator[object]:
    """The middleware around an app, as far as each calls what it wraps ``app`` or ``wsgi_app``."""
    seen: list[object] = []
    while not (app is None or isinstance(app, MethodType) or any(app is other for other in seen)):
        seen.append(app)
        yield app
        app = next((vars(app)[name] for name in ("app", "wsgi_app") if name in getattr(app, "__dict__", {})), None)


def load(name: str) -> Any:
    """The object ``module:object``, as servers name apps.

    :raises CannotRun: if it cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise CannotRun(
            f"{name!r} names no object. The first argument is the app: write module:object, such as app:app."
        )
    if module.endswith(".py"):
        raise CannotRun(f"{name!r} names a file: write {name.replace('.py:', ':')!r}, without .py.")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as servers do
    with explaining(name):
        found: Any = import_module(module)
    for part in attribute.removesuffix("()").split("."):
        if not hasattr(found, part):
            raise CannotRun(f"The module {module!r} has no {attribute!r}.")
        found = getattr(found, part)
    if attribute.endswith("()"):
        with explaining(name):
            found = found()
    return found
