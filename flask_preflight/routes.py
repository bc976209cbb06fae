"""Which policy a request to a Flask app gets: that of the view which Flask's own routing gives it.

Nothing here parses a path. Preflights are matched for the method that they announce, by the app's URL adapter, so host
matching, converters, redirects and mounts count as they do for the request itself; responses take the rule that Flask
has matched already.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from flask import current_app, has_request_context, request
from flask.views import http_method_funcs
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import MapAdapter, RequestRedirect, Rule

from flask_preflight.engine import Reason, flaw_of_method
from flask_preflight.marks import Mark, marks_of_blueprint, marks_of_view, place_of_view
from flask_preflight.policy import Policy, merge
from flask_preflight.problems import PolicyError, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask import Flask, Request

# How many redirects a URL may take to its view
_MOST_HOPS: Final = 5

# What a rule is checked for that takes any method
_COMMON_METHODS: Final = frozenset(name.upper() for name in http_method_funcs)


class Found(NamedTuple):
    """What a preflight is judged by: a *policy*, or ``None`` to leave it alone, and *reason*, if the route refuses."""

    policy: Policy | None
    endpoint: str | None = None
    reason: Reason | None = None
    error: Exception | None = None


class RouteTable:
    """The policies of an app's views, under one app-wide *policy*. It is replaced whole, never changed."""

    def __init__(self, app: Flask, policy: Policy) -> None:
        self.app = app
        self.app_wide = policy
        self._by_marks: dict[tuple[Mark, ...], Policy | None] = {(): policy}
        self._by_view: dict[tuple[str, str], Policy | None] = {}
        self._for_preflights: dict[tuple[int, str], tuple[Rule, Policy | None]] = {}

    # -- at start-up ----------------------------------------------------------------------

    def check(self) -> None:
        """Merge the policy of every view.

        :raises PolicyError: with the problems of all of them, each with its view, file and line.
        """
        problems: dict[tuple[object, ...], Problem] = {}
        for rule in self.app.url_map.iter_rules():
            for method in sorted(rule.methods or _COMMON_METHODS):
                try:
                    self.policy_of(rule, method)
                except PolicyError as error:
                    place = place_of_view(self.app.view_functions.get(rule.endpoint), method)
                    marks = self._marks(rule.endpoint, method)
                    for problem in error.problems:  # once a view, unless its methods are marked apart
                        located = problem._replace(where=f"view {rule.endpoint!r} at {place}")
                        problems.setdefault((rule.endpoint, marks, str(problem)), located)
        if problems:
            raise PolicyError(problems.values())

    def handle_options(self) -> None:
        """Give the URLs of marked views Flask's own OPTIONS handler, unless a rule of the URL has one."""
        rules = [rule for rule in self.app.url_map.iter_rules() if not (rule.websocket or rule.build_only)]
        handled = {_url_of(rule) for rule in rules if rule.methods is None or "OPTIONS" in rule.methods}
        for rule in rules:
            view = self.app.view_functions.get(rule.endpoint)
            if rule.methods is None or _url_of(rule) in handled:
                continue
            if any(mark.changes is not None for method in rule.methods for mark in marks_of_view(view, method)):
                rule.methods.add("OPTIONS")
                rule.provide_automatic_options = True  # type: ignore[attr-defined]  # Flask's own mark on its rules

    # -- policies of views ----------------------------------------------------------------

    def policy_of(self, rule: Rule, method: str) -> Policy | None:
        """The policy of the view behind *rule* for *method*; ``None`` if it is exempt."""
        key = (rule.endpoint, method)
        if key in self._by_view:
            return self._by_view[key]
        marks = self._marks(rule.endpoint, method)
        if marks not in self._by_marks:
            self._by_marks[marks] = self._merge(marks)
        policy = self._by_marks[marks]
        if rule.methods is not None:  # else anybody could make up methods to be remembered
            self._by_view[key] = policy
        return policy

    def _merge(self, marks: tuple[Mark, ...]) -> Policy | None:
        if marks[-1].changes is None:
            return None
        return merge(self.app_wide, *(mark.changes for mark in marks if mark.changes is not None))

    def _marks(self, endpoint: str, method: str) -> tuple[Mark, ...]:
        """From the outermost to the innermost."""
        view = self.app.view_functions.get(endpoint)
        return (*self._marks_of_blueprints(endpoint), *marks_of_view(view, method))

    def _marks_of_blueprints(self, endpoint: str) -> Iterator[Mark]:
        """The endpoint ``a.b.view`` stands in the blueprints ``a`` and ``a.b``."""
        parts = str(endpoint).split(".")[:-1]  # rules that only redirect may have None
        for count in range(1, len(parts) + 1):
            yield from marks_of_blueprint(self.app.blueprints.get(".".join(parts[:count])))

    # -- preflights -----------------------------------------------------------------------

    def for_preflight(self, environ: WSGIEnvironment, wanted: str) -> Found:
        """What a preflight that announces the method *wanted* is judged by."""
        if flaw_of_method(wanted) is not None:
            return Found(self.app_wide)
        try:
            rule = _match(self._bind(environ), wanted)
        except MethodNotAllowed as error:
            there = self.app_wide.with_methods(error.valid_methods or ())
            return Found(there, reason=Reason.METHOD_NOT_ROUTED)
        except HTTPException:  # no such URL or host: the request itself shall get through to Flask's answer
            anything = self.app_wide.allow_methods is None
            return Found(self.app_wide.with_methods([wanted]) if anything else self.app_wide)
        except Exception as error:  # noqa: BLE001 - converters and redirects of the app's own may raise what they like
            return Found(self.app_wide, reason=Reason.ROUTING_FAILED, error=error)
        return Found(self._narrowed(rule, wanted.upper()), rule.endpoint)

    def _narrowed(self, rule: Rule, method: str) -> Policy | None:
        """The policy of the view, for just those methods of *rule* that a browser may remember together."""
        key = (id(rule), method)
        if key not in self._for_preflights:
            policy = self.policy_of(rule, method)
            if policy is not None:
                alike = [name for name in rule.methods or (method,) if self.policy_of(rule, name) == policy]
                anything = policy.allow_methods is None
                policy = policy.with_methods(name for name in alike if anything or policy.allows_method(name))
            if rule.methods is None:
                return policy
            self._for_preflights[key] = rule, policy  # holds the rule, so that its id stays its own
        return self._for_preflights[key][1]

    # -- responses ------------------------------------------------------------------------

    def for_response(self, environ: WSGIEnvironment, around: Request | None) -> Policy | None:
        """The policy of the view that has made the response which is just starting; ``None`` if it is exempt.

        *around* was Flask's current request before the app was called, as when a view or a test calls an app.
        """
        now = current_request()
        if now is None or now is around or current_app._get_current_object() is not self.app:  # type: ignore[attr-defined]
            return self.for_request(environ)
        if request.url_rule is not None:
            return self.policy_of(request.url_rule, request.method)
        if isinstance(request.routing_exception, RequestRedirect):
            return self.for_request(request.environ)
        return self.app_wide

    def for_request(self, environ: WSGIEnvironment) -> Policy | None:
        """The policy of the view that the request itself leads to; ``None`` if it is exempt."""
        method: str = environ.get("REQUEST_METHOD", "").upper()  # as Flask does
        try:
            rule = _match(self._bind(environ), method)
        except Exception:  # noqa: BLE001 - no view is reached, for whatever reason
            return self.app_wide
        return self.policy_of(rule, method)

    def _bind(self, environ: WSGIEnvironment) -> MapAdapter:
        adapter = self.app.create_url_adapter(self.app.request_class(environ))
        if adapter is None:  # an override of the app's, since there is a request
            raise NotFound
        return adapter


def current_request() -> Request | None:
    """The request that Flask's context is of, if there is one."""
    return request._get_current_object() if has_request_context() else None  # type: ignore[attr-defined]


def _match(adapter: MapAdapter, method: str) -> Rule:
    """The rule that a request with *method* leads to, also by redirects within host and mount.

    :raises HTTPException: if there is none.
    """
    path: str | None = None
    for _ in range(_MOST_HOPS + 1):
        try:
            return adapter.match(path, method, return_rule=True)[0]
        except RequestRedirect as redirect:
            path = _path_within(adapter, redirect.new_url)
    raise NotFound


def _path_within(adapter: MapAdapter, url: str) -> str:
    try:
        target = urlsplit(url)
    except ValueError:  # a host that is none, taken from the request
        raise NotFound from None
    path = unquote(target.path, errors="replace")
    if target.netloc.lower() != adapter.get_host(None) or not f"{path}/".startswith(adapter.script_name):
        raise NotFound
    return path[len(adapter.script_name) - 1 :]


def _url_of(rule: Rule) -> tuple[str, str | None, str | None]:
    """What *rule* has in common with the others of its URL, which may name its variables otherwise."""
    url = rule.rule
    for name in rule.arguments:
        url = url.replace(f"<{name}>", "<string:>").replace(f":{name}>", ":>")
    return url, rule.subdomain, rule.host
