"""The layer around a Flask app: each request gets the policy of its view."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Request, current_app, has_app_context

from flask_preflight import door
from flask_preflight.engine import Decision, HeaderList, Reason, RequestFacts, flaw_of_method, refuse
from flask_preflight.explain import NO_ROUTE, Place
from flask_preflight.journal import REFUSALS
from flask_preflight.policy import Policy
from flask_preflight.problems import PolicyError
from flask_preflight.responses import decorate
from flask_preflight.routes import PolicyTable, RouteMatch
from flask_preflight.state import AppState
from flask_preflight.wsgi import ACTIVE_LAYER, CorsLayer, is_preflight, respond

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from werkzeug.routing import Rule


# If a URL has no route for the method, the app-wide policy decides. The views of the URL may have other policies.
_HIDDEN_BY_ROUTE: Final = {Reason.METHOD_NOT_ALLOWED, Reason.ORIGIN_NOT_ALLOWED}


class FlaskLayer(CorsLayer):
    """The layer around a Flask app's ``wsgi_app``."""

    def __init__(self, app: WSGIApplication, state: AppState) -> None:
        super().__init__(app, state.journal, state.name)
        self._state = state
        self._flask = state.app
        self.has_inner_middleware = getattr(app, "__func__", None) is not Flask.wsgi_app
        if self.has_inner_middleware:
            door.watch(state.app)

    @property
    def debug(self) -> bool:  # type: ignore[override]
        return self._state.debug

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a preflight by its view's policy; pass on every other request, and add headers to its response."""
        table = self._state.ensure_table()
        if table.allows_nothing and "HTTP_ORIGIN" in environ:
            self._state.warn_of_no_origin()
        if ACTIVE_LAYER in environ and self.defers_to_outer(environ):
            return self.app(environ, start_response)
        if self.has_inner_middleware and door.is_underway(self._flask):
            return self.app(environ, start_response)
        if is_preflight(environ):
            return self._handle_preflight(table, environ, start_response)
        exchange = _Exchange(self, table, environ)
        environ[ACTIVE_LAYER] = (self, exchange)
        token = exchange.visit.enter(environ) if exchange.visit else None
        try:
            return self.app(environ, exchange.starting(start_response))
        except Exception as error:
            if exchange.origin is not None:
                self._log_escape(environ, error)
            raise
        finally:
            environ.pop(ACTIVE_LAYER, None)  # another app that gets this environ next is not inside
            if token is not None:
                door.Visit.leave(token)

    def _log_escape(self, environ: WSGIEnvironment, error: Exception) -> None:
        """Log that an exception leaves the app, except one that closes a websocket or ends an iterator."""
        is_websocket = environ.get("HTTP_UPGRADE", "").lower() == "websocket" or "HTTP_SEC_WEBSOCKET_KEY" in environ
        if is_websocket or isinstance(error, StopIteration | StopAsyncIteration):
            return
        text = (
            "The app raised an exception, so the server sends the error page without CORS headers. The browser will"
            " call that a CORS error; the cause is in the traceback."
        )
        if self.debug:
            self.journal.warn(text)
        else:
            self.journal.log_once(logging.WARNING, ("escaped", type(error)), text)

    # -- preflights ---------------------------------------------------------------------------

    def _handle_preflight(
        self, table: PolicyTable, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        match: RouteMatch | None = None
        if self.has_inner_middleware:
            visit = door.Visit(table, is_preflight=True)
            body = self._send_inward(visit, environ, start_response)
            if body is not None:
                return body
            match = visit.match
            environ = with_refusals(visit.environ or environ, environ)
        if match is None:
            match = table.match_preflight(environ)
        if match.policy is None:
            return self.app(environ, start_response)
        if match.error is not None:  # refused, whatever the policy says
            return respond(self.answer_in_full(match.policy, environ, match), start_response)
        return self.answer(match.policy, environ, start_response, match)

    def _send_inward(
        self, visit: door.Visit, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes] | None:
        """Send a preflight through the inner middleware; the response, if an exempt view has made it."""
        inner = {**environ, ACTIVE_LAYER: (self, None)}
        try:
            return door.send_preflight(self.app, visit, inner, start_response)
        except Exception as error:
            if visit.is_exempt:
                raise
            self.journal.log_failure("Middleware inside Preflight failed for a preflight", error)
            visit.match = visit.environ = None  # the environ at hand decides
            return None

    # -- decisions ----------------------------------------------------------------------------

    def decide(self, policy: Policy, facts: RequestFacts, route: Any) -> Decision:
        if route.error is not None:
            if route.reason is Reason.ROUTING_FAILED:
                text = "The app's own routing failed for a preflight, which is refused"
                self.journal.log_failure(text, route.error)
            return refuse(facts, route.reason, route.error)
        decision = super().decide(policy, facts, route)
        if route.reason is not None and decision.reason in _HIDDEN_BY_ROUTE:
            return decision._replace(reason=route.reason)
        return decision

    def negotiate(self, policy: Policy, facts: RequestFacts) -> Decision:
        """A callable runs inside an app context, so that `flask.current_app` works in it."""
        if not callable(policy.allow_origins):
            return super().negotiate(policy, facts)
        try:
            with self._app_context(facts):
                return super().negotiate(policy, facts)
        except Exception as error:  # noqa: BLE001 - an exception of a teardown function must not grant
            return refuse(facts, Reason.ORIGIN_CHECK_FAILED, error)

    def _app_context(self, facts: RequestFacts) -> AbstractContextManager[object]:
        """A new app context for preflights, and if the request's context has ended."""
        is_own = has_app_context() and current_app._get_current_object() is self._flask  # type: ignore[attr-defined]
        return nullcontext() if is_own and not facts.is_preflight else self._flask.app_context()

    def place_of(self, environ: WSGIEnvironment, policy: Policy, route: Any) -> Place:
        method: str = environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD" if is_preflight(environ) else "REQUEST_METHOD"]
        state, table = self._state, self._state.ensure_table()
        is_method = flaw_of_method(method) is None
        rule: Rule | None = route.rule or (table.rule_of(environ, method) if is_method else None)
        if rule is None:
            is_known = is_method and (route.reason or route.error) is None
            return Place(NO_ROUTE, is_routed=not is_known, setting_of=state.setting_of)
        # where no route has the method, the app-wide policy has decided
        is_routed = rule.methods is None or method.upper() in rule.methods
        marks = table.marks_of(rule.endpoint, method.upper()) if is_routed else ()
        return Place(rule.rule, setting_of=lambda field: state.setting_of(field, marks), host=_host_of(rule))

    # -- stacking -----------------------------------------------------------------------------

    def acts_on(self, environ: WSGIEnvironment, known: Any) -> bool:
        try:
            if known is None:  # a preflight on its way through the inner middleware
                return self._state.ensure_table().match_preflight(environ).policy is not None
            exchange: _Exchange = known
            return exchange.policy_for(exchange.request()) is not None
        except PolicyError:
            return True


class _Exchange:
    """One actual request, and its response.

    *rule*, *reason* and *error* are what is known of its route, as in `RouteMatch`.
    """

    rule: Rule | None = None
    reason: Reason | None = None
    error: Exception | None = None

    def __init__(self, layer: FlaskLayer, table: PolicyTable, environ: WSGIEnvironment) -> None:
        self.origin: str | None = environ.get("HTTP_ORIGIN")  # read now, because the app may change the environ
        self.visit = door.Visit(table, is_preflight=False) if layer.has_inner_middleware else None
        self._layer = layer
        self._table = table
        self._environ = self._at_hand = environ
        if self.visit is not None:
            self._at_hand = environ.copy()
            self._around = door.current_request()

    def request(self) -> Request | None:
        """The request object that Flask has made, if the request has reached Flask."""
        if self.visit is not None and self.visit.request is not None:
            return self.visit.request
        request = door.current_request()
        if request is None:
            return None
        # Middleware may have built the environ anew where the visit cannot be found. Then any new request counts.
        if request.environ is not self._environ if self.visit is None else request is self._around:
            return None
        # a view may pass its environ to another Flask app
        is_own = current_app._get_current_object() is self._table.app  # type: ignore[attr-defined]
        return request if is_own else None

    def policy_for(self, request: Request | None) -> Policy | None:
        """The policy of the view; ``None`` if it is exempt.

        :raises PolicyError: if it is not valid.
        """
        if request is not None:
            return self._table.policy_of_request(request)
        return self._table.policy_of_environ(self._at_hand)

    def added_headers(self) -> HeaderList | None:
        """What to add to the response; ``None`` to leave it alone."""
        request = self.request()
        environ = self._at_hand
        if request is not None:
            self.rule, environ = request.url_rule, request.environ
        try:
            policy = self.policy_for(request)
        except PolicyError as error:
            self._table.log_invalid(self.rule.endpoint if self.rule else "", error)
            self.reason, self.error = Reason.POLICY_INVALID, error
            policy = self._table.app_wide
        if policy is None:
            return None
        if self.error is not None:
            return self._layer.added_in_full(policy, with_refusals(environ, self._at_hand), self.origin, self)
        return self._layer.added_headers(policy, with_refusals(environ, self._at_hand), self.origin, self)

    def starting(self, start_response: StartResponse) -> StartResponse:
        """A ``start_response`` that adds headers to whatever the app answers."""
        has_started, added = False, None

        def start(
            status: str, headers: Iterable[tuple[str, str]], exc_info: OptExcInfo | None = None
        ) -> Callable[[bytes], object]:
            nonlocal has_started, added
            if not has_started:  # once, also if the response is started again
                has_started, added = True, self.added_headers()
            decorated = [*headers] if added is None else decorate(headers, added)
            if exc_info is None:
                return start_response(status, decorated)
            return start_response(status, decorated, exc_info)

        return start


def _host_of(rule: Rule) -> str:
    """What ``app.route`` needs beside the rule."""
    if rule.host:
        return f", host={rule.host!r}"
    return f", subdomain={rule.subdomain!r}" if rule.subdomain else ""


def with_refusals(environ: WSGIEnvironment, outer: WSGIEnvironment) -> WSGIEnvironment:
    """*environ* with the list for refusals of *outer*, which is lost where middleware builds the environ anew."""
    if REFUSALS in environ or REFUSALS not in outer:
        return environ
    return {**environ, REFUSALS: outer[REFUSALS]}
