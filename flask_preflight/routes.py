"""Which policy a request to a Flask app gets: that of the view which Flask's own routing gives it.

Nothing here parses a path. Preflights are matched for the method that they announce, by the app's URL adapter, so host
matching, converters, redirects and mounts count as they do for the request itself; responses take the rule that Flask
has matched already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from random import random
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from flask import Flask, Request, current_app, has_request_context, request
from flask.views import http_method_funcs
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import Map, MapAdapter, RequestRedirect, Rule
from werkzeug.routing.converters import DEFAULT_CONVERTERS
from werkzeug.wsgi import get_path_info

from flask_preflight import fetch
from flask_preflight.answers import Answers, answers_of
from flask_preflight.engine import Reason, flaw_of_method
from flask_preflight.marks import Mark, marks_of_blueprint, marks_of_view, place_of_view
from flask_preflight.memory import KEPT_SHARE, LONGEST_REMEMBERED, Memory
from flask_preflight.policy import MAX_METHOD_LENGTH, Policy, merge
from flask_preflight.problems import PolicyError, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# How many redirects a URL may take to its view
_MOST_HOPS: Final = 5

# What a rule is checked for that takes any method
_COMMON_METHODS: Final = frozenset(name.upper() for name in http_method_funcs)


class Found:
    """What a preflight is judged by: a *policy*, or ``None`` to leave it alone, and *reason*, if the route refuses.

    *answers* are those under a policy that stays and allows the method. The *rule* is held, so that its id stays its
    own.
    """

    __slots__ = ("answers", "endpoint", "error", "policy", "reason", "rule")

    def __init__(
        self,
        policy: Policy | None,
        endpoint: str | None = None,
        *,
        reason: Reason | None = None,
        error: Exception | None = None,
        answers: Answers | None = None,
        rule: Rule | None = None,
    ) -> None:
        self.policy = policy
        self.endpoint = endpoint
        self.reason = reason
        self.error = error
        self.answers = answers
        self.rule = rule


class _Known:
    """What Flask's routing by *urls* has said, until a route is added."""

    def __init__(self, urls: Map) -> None:
        self.urls = urls
        # Whether path, method, and host lead to a view, whatever else a request says, and will again
        self.is_lasting = False
        # By path, method, and host. There is no end of URLs, and most are not asked for again: only a share is kept
        self.found: Memory[tuple[str, str, str], Found] = Memory()
        # By host: to make an adapter is most of a match, and it can be asked for any path and method
        self.adapters: Memory[str, MapAdapter] = Memory()

    def keep(self, question: tuple[str, str, str], found: Found) -> None:
        """Remember what a question has *found*, if that will last and is not too long."""
        if found.answers is not None and len(question[0]) + len(question[2]) <= LONGEST_REMEMBERED:
            self.found.put(question, found)

    def look_at(self, app: Flask) -> None:
        """See whether what is found will last: not if somebody's own code takes part in the routing of *app*."""
        urls = self.urls
        own = type(app).create_url_adapter is Flask.create_url_adapter and "create_url_adapter" not in vars(app)
        own = own and app.request_class.__init__ is Request.__init__  # else it may change what it is made of
        own = own and type(urls) is Map and "add" in vars(urls)  # which so is the one that is watched
        own = own and {*urls.converters.values()} <= {*DEFAULT_CONVERTERS.values()}
        own = own and all(type(rule) is Rule and not callable(rule.redirect_to) for rule in urls.iter_rules())
        by_host = urls.host_matching or app.subdomain_matching or app.config.get("TRUSTED_HOSTS")
        self.is_lasting = own and not by_host


class RouteTable:
    """The policies of an app's views, under one app-wide *policy*. It is replaced whole, never changed."""

    def __init__(self, app: Flask, policy: Policy) -> None:
        self.app = app
        self.app_wide = policy
        self._app_wide_answers = answers_of(policy)
        self._by_marks: dict[tuple[Mark, ...], Policy | None] = {(): policy}
        self._by_view: dict[tuple[str, str], Policy | None] = {}
        self.for_responses: dict[tuple[str, str], Answers | None] = {}
        self._narrowed: dict[tuple[Policy, tuple[str, ...]], Policy] = {}
        self._behind: dict[tuple[int, str], Found] = {}
        self._known: _Known | None = None

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

    def for_preflight(self, environ: WSGIEnvironment) -> Found:
        """What a preflight is judged by."""
        known = self._known  # read before anything is matched: a route may be added meanwhile
        if known is None or known.urls is not self.app.url_map:
            known = self._begin()
        wanted: str = environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"]
        # Without a host, the server's address counts; and an upgrade may lead to another route.
        if len(wanted) > MAX_METHOD_LENGTH or "HTTP_UPGRADE" in environ:
            return self._find(environ, wanted)
        try:
            question = path, _, host = environ["PATH_INFO"], wanted, environ["HTTP_HOST"]
        except KeyError:
            return self._find(environ, wanted)
        found = known.found.kept.get(question)
        if found is not None:
            return found
        adapter = known.adapters.kept.get(host) or self._adapter(known, host, environ)
        if adapter is None or (wanted not in fetch.NORMALIZED_METHODS and flaw_of_method(wanted) is not None):
            return self._find(environ, wanted)
        try:
            rule = adapter.match(path if path.isascii() else get_path_info(environ), wanted, True)[0]
        except RequestRedirect:  # which goes by scheme and mount, too
            return self._find(environ, wanted)
        except Exception as error:  # noqa: BLE001 - as in `_find`
            return self._find_nothing(error, wanted)
        found = self._behind.get((id(rule), wanted)) or self._find_behind(rule, wanted)
        if random() < KEPT_SHARE:  # noqa: S311 - nothing about it is secret
            known.keep(question, found)
        return found

    def routes_have_changed(self) -> None:
        """Forget what the routing has said."""
        self._known = None

    def _begin(self) -> _Known:
        known = self._known = _Known(self.app.url_map)
        with suppress(RuntimeError):  # a route is being added just now, and this will be forgotten anyway
            known.look_at(self.app)  # only now, so that no route comes in between
        return known

    def _adapter(self, known: _Known, host: str, environ: WSGIEnvironment) -> MapAdapter | None:
        """An adapter that can be asked for any path and method, which is most of a match; ``None`` if there is none."""
        if not known.is_lasting or len(host) > LONGEST_REMEMBERED:
            return None
        with suppress(Exception):  # as for a host that is none; `_find` will see it, too
            # nothing else of this request, which the adapter would hold
            adapter = self._bind({**environ, "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": ""})
            known.adapters.keep(host, adapter)
            return adapter
        return None

    def _find(self, environ: WSGIEnvironment, wanted: str) -> Found:
        if flaw_of_method(wanted) is not None:
            return Found(self.app_wide)
        try:
            rule = _match(self._bind(environ), wanted)
        except Exception as error:  # noqa: BLE001 - converters and redirects of the app's own may raise what they like
            return self._find_nothing(error, wanted)
        return self._find_behind(rule, wanted)

    def _find_nothing(self, error: Exception, wanted: str) -> Found:
        """What counts where *error* stands for a route."""
        if isinstance(error, MethodNotAllowed):
            return Found(self.app_wide.with_methods(error.valid_methods or ()), reason=Reason.METHOD_NOT_ROUTED)
        if isinstance(error, HTTPException):
            # no such URL or host: the request itself shall get through to Flask's answer
            anything = self.app_wide.allow_methods is None
            return Found(self.app_wide.with_methods([wanted]) if anything else self.app_wide)
        return Found(self.app_wide, reason=Reason.ROUTING_FAILED, error=error)

    def _find_behind(self, rule: Rule, wanted: str) -> Found:
        """The view behind *rule*, and its policy for just those methods that a browser may remember together."""
        method = wanted.upper()  # as Flask does
        found = self._behind.get((id(rule), method)) or self._narrow(rule, method)
        return found if wanted == method else Found(found.policy, found.endpoint)

    def _narrow(self, rule: Rule, method: str) -> Found:
        policy = view_policy = self.policy_of(rule, method)
        if policy is not None:
            alike = [name for name in rule.methods or (method,) if self.policy_of(rule, name) == policy]
            anything = policy.allow_methods is None
            methods = tuple(sorted(name for name in alike if anything or policy.allows_method(name)))
            policy = policy.with_methods(methods)
        if rule.methods is None:  # anybody could make up methods to be remembered
            return Found(policy, rule.endpoint)
        if policy is not None and view_policy is not None:
            # most rules have the same few methods, and one policy for all of them remembers less
            policy = self._narrowed.setdefault((view_policy, policy.methods), policy)
        answers = None if policy is None else answers_of(policy, like=self._answers_if(view_policy))
        allowed = answers if answers is not None and method in answers.methods else None
        found = Found(policy, rule.endpoint, answers=allowed, rule=rule)
        self._behind[id(rule), method] = found
        return found

    # -- responses ------------------------------------------------------------------------

    def for_response(
        self, environ: WSGIEnvironment, around: Request | None = None, *, changes: bool = False
    ) -> Answers | None:
        """The answers under the policy of the view whose response is just starting; ``None`` if it is exempt.

        *around* was Flask's current request before the app was called, as when a view or a test calls an app. It need
        not be known unless somebody *changes* the environ on the way to Flask.
        """
        try:
            now = get_current_request()
        except RuntimeError:
            now = None
        if now is None or now is around or not (changes or now.environ is environ):
            return self._answers_if(self.for_request(environ))
        rule = now.url_rule
        if rule is not None and rule.map is self.app.url_map:  # so it is this app's request
            try:
                return self.for_responses[rule.endpoint, now.method]
            except KeyError:
                return self._keep_for_responses(rule, now.method)
        if current_app._get_current_object() is not self.app:  # type: ignore[attr-defined]
            return self._answers_if(self.for_request(environ))
        if isinstance(now.routing_exception, RequestRedirect):
            return self._answers_if(self.for_request(now.environ))
        return self._app_wide_answers

    def _keep_for_responses(self, rule: Rule, method: str) -> Answers | None:
        answers = self._answers_if(self.policy_of(rule, method))
        if rule.methods is not None:  # else anybody could make up methods to be remembered
            self.for_responses[rule.endpoint, method] = answers
        return answers

    def for_view(self, environ: WSGIEnvironment) -> Answers | None:
        """The answers under the policy of the view that is running, or else of that which *environ* leads to."""
        now = current_request()
        if now is None or now.url_rule is None or now.url_rule.map is not self.app.url_map:
            return self._answers_if(self.for_request(environ))
        return self._answers_if(self.policy_of(now.url_rule, now.method))

    def for_request(self, environ: WSGIEnvironment) -> Policy | None:
        """The policy of the view that the request itself leads to; ``None`` if it is exempt."""
        method: str = environ.get("REQUEST_METHOD", "").upper()  # as Flask does
        try:
            rule = _match(self._bind(environ), method)
        except Exception:  # noqa: BLE001 - no view is reached, for whatever reason
            return self.app_wide
        return self.policy_of(rule, method)

    def _answers_if(self, policy: Policy | None) -> Answers | None:
        return None if policy is None else answers_of(policy, like=self._app_wide_answers)

    def _bind(self, environ: WSGIEnvironment) -> MapAdapter:
        adapter = self.app.create_url_adapter(self.app.request_class(environ))
        if adapter is None:  # an override of the app's, since there is a request
            raise NotFound
        return adapter


# Behind Flask's proxy, which would look the request up for each of its attributes
get_current_request: Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]


def current_request() -> Request | None:
    """The request that Flask's context is of, if there is one."""
    return get_current_request() if has_request_context() else None


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
