"""CORS for any WSGI app: :class:`PreflightMiddleware` answers preflights and adds headers to every other response.

:mod:`~flask_preflight.engine` decides. This file does what PEP 3333 asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from flask_preflight import journal
from flask_preflight.calls import check_field_names, name_call, write_fields
from flask_preflight.checks import can_be_called
from flask_preflight.engine import Decision, HeaderList, Outcome, Reason, RequestFacts, negotiate
from flask_preflight.explain import ANY_PATH, Place, debug_answer, debug_header, escape, explain
from flask_preflight.journal import Journal, Told
from flask_preflight.paths import PathPolicies
from flask_preflight.policy import Policy
from flask_preflight.problems import show
from flask_preflight.responses import (
    REFUSAL,
    Answer,
    Responses,
    decorate,
    make_answer,
    responses_of,
)

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PolicyFinder: TypeAlias = "Callable[[WSGIEnvironment], Policy | None]"

# The layer that acts on this request, for the layers inside it: (layer, what it knows of the request)
ACTIVE_LAYER: Final = "flask_preflight.active_layer"

_REFUSED, _REFUSED_HEADERS, (_REFUSED_BODY,) = REFUSAL


def is_preflight(environ: WSGIEnvironment) -> bool:
    """https://fetch.spec.whatwg.org/#cors-preflight-request"""
    return (
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        and "HTTP_ORIGIN" in environ
        and environ.get("REQUEST_METHOD") == "OPTIONS"
    )


def read_facts(environ: WSGIEnvironment) -> RequestFacts:
    """The four headers and the method that CORS is about."""
    get = environ.get
    method, headers = get("HTTP_ACCESS_CONTROL_REQUEST_METHOD"), get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
    return RequestFacts(get("REQUEST_METHOD", ""), get("HTTP_ORIGIN"), method, headers, environ)


class CorsLayer:
    """The layer around an app, for WSGI and Flask. Of two layers that act on one request, the outer one decides."""

    debug: bool  # whether refusals are explained to everyone

    def __init__(self, app: WSGIApplication, journal: Journal, name: str) -> None:
        self.app = app
        self._name = name  # the user's call that made it, with file and line
        self.journal = journal
        self._inner_names: set[str] = set()  # of those that the log has named

    # -- one request ------------------------------------------------------------------------

    def answer(
        self, policy: Policy, environ: WSGIEnvironment, start_response: StartResponse, route: Any = None
    ) -> Iterable[bytes]:
        """Answer a preflight under *policy*. *route* is what Flask knows of the request's route."""
        responses: Responses = policy.responses or responses_of(policy)
        if responses.asks:
            return respond(self.answer_in_full(policy, environ, route), start_response)
        headers = responses.grant(environ)
        if headers is None:
            if not (self.debug or journal.preflight_refused.receivers or journal.tells_refusals(environ)):
                start_response(_REFUSED, [*_REFUSED_HEADERS])
                return [_REFUSED_BODY]
        elif not journal.preflight_granted.receivers:
            start_response(responses.status, headers)
            return []
        return respond(self.answer_in_full(policy, environ, route), start_response)

    def answer_in_full(self, policy: Policy, environ: WSGIEnvironment, route: Any) -> Answer:
        """The answer to a preflight, negotiated in full and reported."""
        facts = read_facts(environ)
        decision = self.decide(policy, facts, route)
        told = self._tell(policy, facts, decision, route)
        if decision.outcome is Outcome.PREFLIGHT_GRANTED:
            return make_answer(policy.preflight_status, decision.headers)
        return make_answer(*debug_answer(facts, decision, told.explain())) if self.debug else REFUSAL

    def added_headers(
        self, policy: Policy, environ: WSGIEnvironment, origin: str | None, route: Any = None
    ) -> HeaderList:
        """The headers to add to the response to an actual request of *origin*."""
        responses: Responses = policy.responses or responses_of(policy)
        if origin is None:
            return responses.others
        if not responses.asks:
            headers = responses.actual(origin)
            if headers is responses.others and not responses.is_public:
                if not (self.debug or journal.request_refused.receivers or journal.tells_refusals(environ)):
                    return headers
            elif not (journal.request_allowed.receivers or journal.carries_lost_cookies(policy, environ)):
                return headers
        return self.added_in_full(policy, environ, origin, route)

    def added_in_full(self, policy: Policy, environ: WSGIEnvironment, origin: str | None, route: Any) -> HeaderList:
        """The headers to add to a response, negotiated in full and reported."""
        facts = RequestFacts(environ.get("REQUEST_METHOD", ""), origin, environ=environ)
        decision = self.decide(policy, facts, route)
        is_allowed = decision.outcome is Outcome.ACTUAL_ALLOWED
        if origin is None or not (is_allowed or journal.counts_as_refusal(facts)):
            return decision.headers
        if is_allowed and journal.carries_lost_cookies(policy, environ) and journal.counts_as_refusal(facts):
            decision = decision._replace(reason=Reason.CREDENTIALS_NOT_ALLOWED)
        told = self._tell(policy, facts, decision, route)
        if decision.reason is None or not self.debug:
            return decision.headers
        return (*decision.headers, debug_header(decision.reason, told.explain()))

    def decide(self, policy: Policy, facts: RequestFacts, route: Any) -> Decision:
        """Negotiate, and log what a callable raised."""
        decision = self.negotiate(policy, facts)
        if decision.error is not None:
            what = f"allow_origins failed for the origin {escape(facts.origin or '')}, which is refused"
            self.journal.log_failure(what, decision.error)
        return decision

    def negotiate(self, policy: Policy, facts: RequestFacts) -> Decision:
        """Decide. Flask's layer overrides this, because a callable needs an app context."""
        return negotiate(policy, facts)

    def place_of(self, environ: WSGIEnvironment, policy: Policy, route: Any) -> Place:
        """Where the policy of a request comes from, for the log and for advice."""
        return ANY_PATH

    def _find_place(self, environ: WSGIEnvironment, policy: Policy, route: Any) -> Place:
        """As `place_of`, which uses the app's own objects. An exception of theirs must not change an answer."""
        try:
            return self.place_of(environ, policy, route)
        except Exception:  # noqa: BLE001 - as above
            return ANY_PATH

    def _tell(self, policy: Policy, facts: RequestFacts, decision: Decision, route: Any) -> Told:
        """Report a decision. A refusal is explained at most once, and only if the log, a test or debug mode needs
        it."""
        environ = facts.environ or {}
        told = Told(policy, facts, decision, debug=self.debug)
        if decision.reason is not None and (self.debug or journal.tells_refusals(environ)):
            place = self._find_place(environ, policy, route)
            sentence = cache(partial(_explain_safely, policy, facts, decision, place))
            told = Told(policy, facts, decision, place.rule, sentence, self.debug)
        self.journal.tell(told)
        return told

    # -- stacking ---------------------------------------------------------------------------

    def acts_on(self, environ: WSGIEnvironment, known: Any) -> bool:
        """Whether this layer, which is active for the request, has a policy for it."""
        return True

    def defers_to_outer(self, environ: WSGIEnvironment) -> bool:
        """Whether another layer around this one acts on the request."""
        outer, known = environ[ACTIVE_LAYER]
        if outer is self:  # middleware inside has called the whole app again
            return True
        if not outer.acts_on(environ, known):
            return False
        outer.warn_of_inner(self)
        return True

    def warn_of_inner(self, inner: CorsLayer) -> None:
        """Log once that *inner* does nothing. Layers that one call makes for each request have the same name."""
        if inner._name not in self._inner_names:
            self._inner_names.add(inner._name)
            self.journal.warn(
                f"{inner._name} is inside {self._name}, which acts on the same requests. Remove one of the two."
            )

    def __repr__(self) -> str:
        return f"<{self._name}>"


def _explain_safely(policy: Policy, facts: RequestFacts, decision: Decision, place: Place) -> str:
    """As `explain`, which shows the app's own objects. An exception of theirs must not change an answer."""
    try:
        return explain(policy, facts, decision, place)
    except Exception as error:  # noqa: BLE001 - as above
        return f"This cannot be explained, because an object of the app raised {escape(type(error).__name__)[1:-1]}."


def respond(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
    """Send *answer*, in lists that a server may change."""
    start_response(answer[0], [*answer[1]])
    return [*answer[2]]


Function = TypeVar("Function", bound=Callable[..., None])


def _checks_arguments(init: Function) -> Function:
    """Decorate a constructor so that what it does not take is a ``TypeError`` that says what to write."""

    @wraps(init)
    def checked(
        self: Any, app: Any = None, policy: Any = None, *others: Any, debug: Any = False, **fields: Any
    ) -> None:
        if isinstance(app, Policy):
            raise TypeError("the app comes first, then the policy: write PreflightMiddleware(app, policy)")
        if fields or policy is None:
            check_field_names(fields)
            written = write_fields(policy, fields)
            wrong = "a policy is an object" if fields else "the policy is missing"
            raise TypeError(f"{wrong}: write PreflightMiddleware(app, Policy({written}))")
        if others:
            raise TypeError("debug is a keyword argument: write PreflightMiddleware(app, policy, debug=True)")
        if not isinstance(debug, bool):
            raise TypeError(f"debug is {show(debug)}; write True or False")
        if not callable(app):
            raise TypeError(f"{show(app)} is not a WSGI app: write PreflightMiddleware(app, policy)")
        init(self, app, policy, debug=debug)

    return cast(Function, checked)


class PreflightMiddleware(CorsLayer):
    """Answer CORS preflights in front of *app*, and add CORS headers to every other response.

    :param app: any WSGI app.
    :param policy: a `Policy`, or a callable ``environ -> Policy | None``, such as `by_path` makes; ``None`` leaves the
        request and its response alone.
    :param debug: explain refused preflights in their response, so that the browser's console and network tab name the
        step that failed. This shows parts of the policy to everyone, so use it only in development. It never changes
        what is allowed.
    :raises TypeError: if an argument is of the wrong type; the message says what to write.

    ::

        app = PreflightMiddleware(app, Policy(allow_origins=["https://frontend.com"], allow_methods=["GET", "PUT"]))

    .. versionchanged:: 0.2.0
        *debug* must be a ``bool``. Refusals are logged, and the signals are sent, as under Flask.
    """

    @_checks_arguments
    def __init__(self, app: WSGIApplication, policy: Policy | PolicyFinder, *, debug: bool = False) -> None:
        super().__init__(app, Journal(app), name_call("PreflightMiddleware(...)"))
        self.debug = debug
        self.policy = policy

    @property
    def policy(self) -> Policy | PolicyFinder:
        """The policy in force. Assigning another one swaps it for all requests that begin later."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy | PolicyFinder) -> None:
        if not isinstance(policy, Policy) and (isinstance(policy, type) or not callable(policy)):
            raise TypeError(f"the policy is {show(policy)}; {_advise_policy(policy)}")
        if not isinstance(policy, Policy) and not can_be_called(policy, {}):
            advice = f"write a function such as {_FINDER}"
            raise TypeError(f"the policy is {show(policy)}, which cannot be called with an environ; {advice}")
        self._policy = policy

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a preflight; pass on every other request, and add headers to its response."""
        found = self._policy  # read once
        policy = found if isinstance(found, Policy) else _call_finder(found, environ)
        if policy is None or (ACTIVE_LAYER in environ and self.defers_to_outer(environ)):
            return self.app(environ, start_response)
        if is_preflight(environ):
            return self.answer(policy, environ, start_response)
        added = self.added_headers(policy, environ, environ.get("HTTP_ORIGIN"))
        environ[ACTIVE_LAYER] = (self, None)
        try:
            return self.app(environ, decorating(start_response, added))
        finally:
            environ.pop(ACTIVE_LAYER, None)  # another app that gets this environ next is not inside

    def place_of(self, environ: WSGIEnvironment, policy: Policy, route: Any) -> Place:
        key = self._policy.key_of(environ) if isinstance(self._policy, PathPolicies) else None
        if not key:
            return super().place_of(environ, policy, route)
        return Place(key, setting_of=lambda field: (field, f"the Policy of {key!r}"))


_FINDER: Final = "def find_policy(environ): return policy"


def _advise_policy(given: object) -> str:
    """What to write in place of *given*, which is neither a policy nor a callable that finds one."""
    if isinstance(given, Mapping) and any(str(key).startswith("/") for key in given):
        return "for policies by path write PreflightMiddleware(app, by_path({'/api': policy}))"
    return f"write PreflightMiddleware(app, Policy({write_fields(given)})), or a callable that returns a Policy"


class _OnlyInFlask:
    """An attribute of a Flask app that the middleware lacks. Reading it is an error that says what to write.

    A descriptor, because a method ``__getattr__`` would slow down every other attribute in Python 3.11.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> object:
        advice = "write Preflight(app), or app.wsgi_app = PreflightMiddleware(app.wsgi_app, policy)"
        raise AttributeError(f"{owner.__name__} is around the app, and lacks its {self._name!r}: under Flask {advice}")


# Attributes that programs use of a Flask app, also after they have put middleware around it
for _name in (
    *("route", "get", "post", "put", "patch", "delete", "add_url_rule", "register_blueprint", "register_extension"),
    *("before_request", "after_request", "teardown_request", "teardown_appcontext", "errorhandler"),
    *("config", "extensions", "logger", "cli", "run", "test_client", "test_request_context", "app_context"),
    *("url_map", "view_functions", "wsgi_app"),
):
    setattr(PreflightMiddleware, _name, _OnlyInFlask(_name))


def _call_finder(find: PolicyFinder, environ: WSGIEnvironment) -> Policy | None:
    policy = find(environ)
    if policy is not None and not isinstance(policy, Policy):
        advice = f"let it return Policy({write_fields(policy)}), or None to leave the request alone"
        raise TypeError(f"{show(find)} returned {show(policy)}; {advice}")
    return policy


def decorating(start_response: StartResponse, added: HeaderList) -> StartResponse:
    """A ``start_response`` that adds headers to whatever the app answers."""

    def start(
        status: str, headers: Iterable[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        decorated = decorate(headers, added)
        return start_response(status, decorated) if exc_info is None else start_response(status, decorated, exc_info)

    return start
