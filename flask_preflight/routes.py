"""From a request to the policy of the view that handles it, by Flask's own routing.

No path is parsed here, and no result of routing is cached. Each preflight is matched for the method that it announces,
with the URL adapter that Flask makes for the request. So host matching, converters, redirects, mounts and
``TRUSTED_HOSTS`` count as they do for the request itself. A response has the policy of the rule that Flask matched.
Policies belong to view functions as they are at that moment.
"""

from __future__ import annotations

import logging
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit
from weakref import WeakKeyDictionary

from flask import Flask, Request
from flask.views import http_method_funcs
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import MapAdapter, RequestRedirect, Rule

from flask_preflight import fetch
from flask_preflight.engine import Reason, flaw_of_method
from flask_preflight.journal import Journal
from flask_preflight.marks import Mark, ViewMarks, place_of_view
from flask_preflight.policy import Policy, merge
from flask_preflight.problems import PolicyError, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# How many redirects a URL may take to its view
_MOST_HOPS: Final = 5

# The methods that a rule is checked for if it takes any method
_COMMON_METHODS: Final = tuple(sorted(name.upper() for name in http_method_funcs))

# For these, the rule that handles them is not looked up: browsers never ask for them.
_SAME_RULE: Final = fetch.SAFELISTED_METHODS

# From Flask 3.2 on, automatic OPTIONS responses are a rule of their own
_AUTOMATIC_OPTIONS: Final = "_automatic_options"

_WERKZEUG_REQUEST: Final = "werkzeug.request"


class RouteMatch(NamedTuple):
    """What decides about a preflight: a *policy*, or ``None`` to leave it alone.

    *rule* is the rule that it belongs to. *reason* is why the route refuses under any policy. *error* is what was
    raised.
    """

    policy: Policy | None
    rule: Rule | None = None
    reason: Reason | None = None
    error: Exception | None = None


class _Found(NamedTuple):
    """A rule, and the adapter and path that it was found with; *path* is ``None`` without a redirect."""

    rule: Rule
    adapter: MapAdapter
    path: str | None


class PolicyTable:
    """The policies of an app's views, under one app-wide *policy*. It is replaced as a whole, never changed.

    Merged policies are cached by the identity of their marks, with weak references, so they are freed with the views.
    """

    def __init__(self, app: Flask, policy: Policy, journal: Journal) -> None:
        self.app = app
        self._journal = journal
        self.app_wide = policy
        self.allows_nothing: bool  # whether no origin is allowed anywhere, as far as `check` has seen
        self._merged: WeakKeyDictionary[Mark, dict[tuple[Mark, ...], Policy | PolicyError]] = WeakKeyDictionary()

    # -- policies of views --------------------------------------------------------------------

    def policy_of(self, endpoint: str, method: str) -> Policy | None:
        """The policy of the view behind *endpoint* for *method*; ``None`` if it is exempt.

        :raises PolicyError: if it is not valid.
        """
        return self._merged_policy(self._marks(endpoint).of(method))

    def marks_of(self, endpoint: str, method: str) -> tuple[Mark, ...]:
        """The marks that the policy of a view comes from, from the outermost to the innermost."""
        return self._marks(endpoint).of(method)

    def _merged_policy(self, marks: tuple[Mark, ...]) -> Policy | None:
        if not marks:
            return self.app_wide
        outer, innermost = marks[:-1], marks[-1]
        if innermost.changes is None:
            return None
        policies = self._merged.get(innermost) or self._merged.setdefault(innermost, {})
        policy = policies.get(outer)
        if policy is None:
            policy = policies[outer] = self._merge(marks)
        if isinstance(policy, PolicyError):
            raise PolicyError(policy.problems)
        return policy

    def _merge(self, marks: tuple[Mark, ...]) -> Policy | PolicyError:
        try:
            return merge(self.app_wide, *(mark.changes for mark in marks if mark.changes is not None))
        except PolicyError as error:
            return PolicyError(error.problems)  # without a traceback, which would keep local variables alive

    def _marks(self, endpoint: str) -> ViewMarks:
        name = str(endpoint)
        return ViewMarks(self.app.view_functions.get(endpoint), self._blueprints_of(name) if "." in name else ())

    def _blueprints_of(self, endpoint: str) -> list[object]:
        """The blueprints around a view: the endpoint "a.b.view" is in "a" and in "a.b"."""
        *names, _ = endpoint.split(".")
        return [self.app.blueprints.get(name) for name in accumulate(names, "{}.{}".format)]

    def log_invalid(self, endpoint: str, error: PolicyError) -> None:
        """Log that a view that was added late has an invalid policy."""
        text = f"The policy of the view {endpoint!r} is not valid, so nothing is allowed there: {error}"
        self._journal.log_once(logging.ERROR, ("policy-invalid", endpoint), " ".join(text.split()))

    def check(self) -> None:
        """Merge the policy of every view. This takes no lock, so a signal handler may call it.

        :raises PolicyError: with the problems of all views, each with its view, file and line.
        """
        problems: dict[tuple[object, ...], Problem] = {}
        policies: list[Policy | None] = [self.app_wide]
        for endpoint, view in list(self.app.view_functions.items()):
            marks = self._marks(endpoint)
            for method in _COMMON_METHODS if marks.depends_on_method else ("GET",):
                try:
                    policies.append(self._merged_policy(marks.of(method)))
                except PolicyError as error:
                    place = place_of_view(view, method)
                    for problem in error.problems:  # once for each view, unless its methods have marks of their own
                        located = problem._replace(where=f"view {endpoint!r} at {place}")
                        problems.setdefault((endpoint, marks.of(method), str(problem)), located)
        if problems:
            raise PolicyError(problems.values())
        self.allows_nothing = not any(policy is not None and policy.allow_origins for policy in policies)

    def note_reached_marks(self) -> None:
        """Note on each mark that a rule leads to it."""
        for rule in self.app.url_map.iter_rules():
            marks = self._marks(rule.endpoint)
            for method in (rule.methods or _COMMON_METHODS) if marks.depends_on_method else ("GET",):
                for mark in marks.of(method):
                    mark.is_reached = True

    def handle_options(self) -> None:
        """Give the URLs of marked views Flask's own OPTIONS handler, unless a rule of the URL has one."""
        rules = [rule for rule in self.app.url_map.iter_rules() if not (rule.websocket or rule.build_only)]
        handled = {_url_of(rule) for rule in rules if rule.methods is None or "OPTIONS" in rule.methods}
        for rule in rules:
            if rule.methods is None or _url_of(rule) in handled:
                continue
            marks = ViewMarks(self.app.view_functions.get(rule.endpoint))
            if any(mark.changes is not None for method in rule.methods for mark in marks.of(method)):
                rule.methods.add("OPTIONS")
                rule.provide_automatic_options = True  # type: ignore[attr-defined]  # Flask's own mark on its rules

    # -- preflights ---------------------------------------------------------------------------

    def match_preflight(self, environ: WSGIEnvironment) -> RouteMatch:
        """What decides about a preflight: the view that would handle the method that it announces."""
        method: str = environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"]
        if flaw_of_method(method) is not None:  # refused under any policy
            return RouteMatch(self.app_wide)
        try:
            found = self._match(environ, method)
        except MethodNotAllowed as error:
            # A converter may have raised it, with any methods, such as the requested one.
            methods = [name for name in error.valid_methods or () if _is_other_method(name, method)]
            return RouteMatch(self.app_wide.narrow(methods), reason=Reason.METHOD_NOT_ROUTED)
        except HTTPException:
            # no such URL or host: the page should be able to read Flask's answer
            is_any = self.app_wide.allow_methods is None
            return RouteMatch(self.app_wide.narrow([method]) if is_any else self.app_wide)
        except Exception as error:  # noqa: BLE001 - the app's own converters and redirects may raise anything
            return RouteMatch(self.app_wide, reason=Reason.ROUTING_FAILED, error=error)
        try:
            return RouteMatch(self._narrow_policy(found, method), found.rule)
        except PolicyError as error:
            self.log_invalid(found.rule.endpoint, error)
            return RouteMatch(self.app_wide, found.rule, Reason.POLICY_INVALID, error)

    def _narrow_policy(self, found: _Found, method: str) -> Policy | None:
        """The policy behind a rule, for the methods that a browser may cache together."""
        rule, upper = found.rule, method.upper()  # as Flask does
        marks = self._marks(rule.endpoint)
        is_flasks_own = rule.endpoint == _AUTOMATIC_OPTIONS
        policy = self._shared_policy(found) if is_flasks_own else self._merged_policy(marks.of(upper))
        if policy is None:
            return None
        methods = rule.methods or {upper}
        if policy.allow_methods is not None and not policy.allows_any_method:
            methods = methods.intersection(policy.methods)
        if marks.depends_on_method:
            methods = {name for name in methods if name == upper or self._is_policy(policy, marks, name)}
        others = methods - _SAME_RULE - {upper}
        return policy.narrow(methods - {name for name in others if not self._handles(policy, found, name)})

    def _is_policy(self, policy: Policy, marks: ViewMarks, method: str) -> bool:
        """Whether *marks* give *method* this policy."""
        try:
            return self._merged_policy(marks.of(method)) == policy
        except Exception:  # noqa: BLE001 - a bad policy; attributes of the app's own classes may raise anything
            return False

    def _handles(self, policy: Policy, found: _Found, method: str) -> bool:
        """Whether a view with this policy handles *method* at the URL of *found*."""
        try:
            rule = found.adapter.match(found.path, method, return_rule=True)[0]  # another one may handle it
            # Flask's own answer to OPTIONS runs no view
            is_flasks_own = method == "OPTIONS" and getattr(rule, "provide_automatic_options", False)
            return rule is found.rule or is_flasks_own or self.policy_of(rule.endpoint, method) == policy
        except Exception:  # noqa: BLE001 - no view has it, or a bad policy; converters may raise anything
            return False

    def _shared_policy(self, found: _Found) -> Policy | None:
        """The policy of Flask's own OPTIONS endpoint: that of all views of its URL, else the app-wide one."""
        policies: list[Policy | None] = []
        for method in found.adapter.allowed_methods(found.path):
            try:
                rule = found.adapter.match(found.path, method, return_rule=True)[0]
            except Exception:  # noqa: BLE001 - it is redirected, or a converter raises
                return self.app_wide
            if rule.endpoint != _AUTOMATIC_OPTIONS:
                policies.append(self.policy_of(rule.endpoint, method))
        is_shared = bool(policies) and all(policy == policies[0] for policy in policies)
        return policies[0] if is_shared else self.app_wide

    # -- responses ----------------------------------------------------------------------------

    def policy_of_request(self, request: Request) -> Policy | None:
        """The policy of the view that Flask matched; ``None`` if it is exempt.

        :raises PolicyError: if it is not valid.
        """
        if request.url_rule is not None and request.url_rule.endpoint != _AUTOMATIC_OPTIONS:
            return self.policy_of(request.url_rule.endpoint, request.method)
        error = request.routing_exception
        if error is not None and not isinstance(error, RequestRedirect):
            return self.app_wide  # 404, 405, an untrusted host
        # a redirect, Flask's own OPTIONS endpoint, or an error before the request was matched
        return self.policy_of_environ(request.environ)

    def policy_of_environ(self, environ: WSGIEnvironment) -> Policy | None:
        """The policy of the view that a request with *environ* would reach; the app-wide one if it reaches none.

        :raises PolicyError: if it is not valid.
        """
        method: str = environ.get("REQUEST_METHOD", "").upper()  # as Flask does
        try:
            found = self._match(environ, method)
        except Exception:  # noqa: BLE001 - no view is reached, for whatever reason
            return self.app_wide
        if found.rule.endpoint == _AUTOMATIC_OPTIONS:
            return self._shared_policy(found)
        return self.policy_of(found.rule.endpoint, method)

    # -- Flask's routing ------------------------------------------------------------------------

    def rule_of(self, environ: WSGIEnvironment, method: str) -> Rule | None:
        """The rule that a request reaches, for the log. Without one for *method*, that of the first of its methods."""
        try:
            try:
                return self._match(environ, method).rule
            except MethodNotAllowed as error:  # once: a converter may raise it for every method
                return self._match(environ, min(error.valid_methods or ())).rule
        except Exception:  # noqa: BLE001 - as above, and there may be no method
            return None

    def _match(self, environ: WSGIEnvironment, method: str) -> _Found:
        """The rule that a request with *method* reaches, also by redirects within host and mount.

        :raises HTTPException: if there is none.
        """
        adapter = self._bind(environ)
        path: str | None = None
        for _ in range(_MOST_HOPS + 1):
            try:
                return _Found(adapter.match(path, method, return_rule=True)[0], adapter, path)
            except RequestRedirect as redirect:
                path = _path_within(adapter, redirect.new_url)
        raise NotFound

    def _bind(self, environ: WSGIEnvironment) -> MapAdapter:
        before = environ.get(_WERKZEUG_REQUEST)
        try:
            adapter = self.app.create_url_adapter(self.app.request_class(environ))
        finally:
            # The request puts itself there: a cycle that only the garbage collector would free.
            environ.pop(_WERKZEUG_REQUEST, None)
            if before is not None:
                environ[_WERKZEUG_REQUEST] = before
        if adapter is None:  # an override of the app's, since there is a request
            raise NotFound
        return adapter


def _is_other_method(name: object, method: str) -> bool:
    return isinstance(name, str) and name.upper() != method.upper() and flaw_of_method(name) is None


def _path_within(adapter: MapAdapter, url: str) -> str:
    try:
        target = urlsplit(url)
    except ValueError:  # an invalid host, taken from the request
        raise NotFound from None
    path = unquote(target.path)
    if target.netloc.lower() != adapter.get_host(None) or not f"{path}/".startswith(adapter.script_name):
        raise NotFound
    return path[len(adapter.script_name) - 1 :]


def _url_of(rule: Rule) -> tuple[str, str | None, str | None]:
    """What *rule* has in common with the other rules of its URL, which may name its variables differently."""
    url = rule.rule
    for name in rule.arguments:
        url = url.replace(f"<{name}>", "<string:>").replace(f":{name}>", ":>")
    return url, rule.subdomain, rule.host
