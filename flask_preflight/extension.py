"""The Flask extension: `Preflight` takes the policy of each request from the app's routes and hands it to the core."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from blinker import Namespace
from flask import Flask, Request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import RuleFactory

from flask_preflight.answers import REFUSAL, Answer
from flask_preflight.engine import Decision, Outcome, Reason, RequestFacts, refuse_preflight
from flask_preflight.explain import explain, nearest_origin
from flask_preflight.memory import LONGEST_REMEMBERED
from flask_preflight.origin import MAX_ORIGIN_LENGTH
from flask_preflight.policy import FIELDS, Policy, keep, merge
from flask_preflight.problems import Flaw, PolicyError, Problem, flaw
from flask_preflight.routes import Found, RouteTable, current_request, get_current_request
from flask_preflight.wsgi import (
    ACTING,
    CorsLayer,
    answer_for,
    decide,
    find_start,
    log,
    log_failure,
    read_facts,
)

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from typing_extensions import Unpack

    from flask_preflight.policy import PolicyChanges

logger = log()

_signals = Namespace()

#: Sent for each granted preflight as ``send(app, decision=..., environ=...)``.
preflight_granted = _signals.signal("preflight-granted")
#: Sent for each refused preflight as ``send(app, decision=..., environ=...)``.
preflight_refused = _signals.signal("preflight-refused")

_NAME: Final = "preflight"
_PREFIX: Final = "PREFLIGHT_"

# The request as this layer has got it, for layers further in
_ASKED: Final = "flask_preflight.asked"

# How many layers of middleware are searched for ProxyFix; some object might be its own
_DEEPEST: Final = 100

Levels: TypeAlias = tuple[Mapping[str, Any], ...]


class Preflight:
    """CORS for Flask apps: preflights are answered before anything of the app runs, by the policy of the view.

    The app-wide policy comes, field by field, from `init_app`'s arguments, the constructor's, the app's configuration
    (``PREFLIGHT_ALLOW_ORIGINS`` and so on), and the defaults of `Policy`. One object serves many apps::

        preflight = Preflight(allow_origins=["https://frontend.com"])
        preflight.init_app(app)

    :param app: an app to be initialised at once.
    :param changes: fields of `Policy`.
    :raises TypeError: for an unknown field.
    :raises PolicyError: if *app* is given, as `init_app` does.
    """

    def __init__(self, app: Flask | None = None, **changes: Unpack[PolicyChanges]) -> None:
        self._changes = keep(changes)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, **changes: Unpack[PolicyChanges]) -> None:
        """Put CORS around ``app.wsgi_app`` as it is now. What changes host or path, as ``ProxyFix`` does, goes around
        it later.

        :raises PolicyError: if the app-wide policy is not valid.
        :raises RuntimeError: if the app has been initialised before.
        :raises TypeError: for an unknown field.
        """
        levels = (self._changes, keep(changes))
        if _NAME in app.extensions:
            raise RuntimeError(f"{app!r} has a Preflight already; one for each app, so drop this init_app()")
        state = _AppState(app, levels)
        state.build_table()
        if _contains_proxy_fix(app.wsgi_app):
            logger.warning("ProxyFix of %r is inside of Preflight, which so sees the proxy's host: apply it later", app)
        app.extensions[_NAME] = state
        state.watch_routes()
        app.wsgi_app = _FlaskLayer(app.wsgi_app, state).wsgi_app  # type: ignore[method-assign]  # Flask's way to add middleware

    def verify(self, app: Flask) -> None:
        """Check the policies of all views, as the first request does. Worth a line in every app's tests.

        :raises PolicyError: with all problems of all views; each names the view, its file and line.
        """
        _state_of(app).verify()

    def reconfigure(self, app: Flask, **changes: Unpack[PolicyChanges]) -> None:
        """Change the app-wide policy while the app runs; changes add up. Requests that have begun keep the old one.

        :raises PolicyError: if that makes the policy of any view invalid; then nothing changes.
        :raises TypeError: for an unknown field.
        """
        _state_of(app).reconfigure(keep(changes))


class _AppState:
    """What the extension knows of one app; kept in ``app.extensions["preflight"]``."""

    def __init__(self, app: Flask, levels: Levels) -> None:
        self.app = app
        self.logged: dict[tuple[Reason | None, str | None, str | None], object] = {}
        self._levels = levels
        self._lock = Lock()
        self.table: RouteTable | None = None  # the policies in force

    def settle(self) -> RouteTable:
        """Build the table, and check all in it, at the first request."""
        with self._lock:
            if self.table is None:
                self.table = self.verify()
            return self.table

    def verify(self) -> RouteTable:
        """The table of the app as it stands, with all its policies checked."""
        table = self.build_table()
        table.check()
        table.handle_options()
        return table

    def reconfigure(self, changes: PolicyChanges) -> None:
        with self._lock:
            levels = _on_top_of(self._levels, changes)
            table = self.build_table(levels)
            table.check()
            self._levels = levels
            if self.table is not None:
                self.table = table

    def watch_routes(self) -> None:
        """Have what was remembered of the routes forgotten when one is added.

        Werkzeug tells nobody; to count the rules at each preflight, it would make a list of them all.
        """
        add = self.app.url_map.add

        def add_and_tell(rulefactory: RuleFactory) -> None:
            try:
                add(rulefactory)
            finally:  # some of its rules may be there even if it fails
                if self.table is not None:
                    self.table.routes_have_changed()

        self.app.url_map.add = add_and_tell  # type: ignore[method-assign]  # as for `wsgi_app` below

    def build_table(self, levels: Levels | None = None) -> RouteTable:
        """:raises PolicyError: if the app-wide policy is not valid."""
        levels = self._levels if levels is None else levels
        config, problems = _read_config(self.app)
        policy = Policy()
        try:
            policy = merge(policy, config, *levels)
        except PolicyError as error:
            from_config = config.keys() - {name for level in levels for name in level}
            problems += [_in_config(problem) if problem.field in from_config else problem for problem in error.problems]
        if problems:
            raise PolicyError(problems)
        return RouteTable(self.app, policy)


def _state_of(app: Flask) -> _AppState:
    state: _AppState | None = app.extensions.get(_NAME)
    if state is None:
        raise RuntimeError(f"{app!r} has no Preflight; call preflight.init_app(app) first")
    return state


def _on_top_of(levels: Levels, changes: Mapping[str, Any]) -> Levels:
    """*changes* as one more level, without what they replace for good: many of them shall not pile up."""
    replaced = {name for name, value in changes.items() if not (isinstance(value, tuple) and ... in value)}
    kept = ({name: value for name, value in level.items() if name not in replaced} for level in levels)
    return (*filter(None, kept), changes)


def _read_config(app: Flask) -> tuple[dict[str, Any], list[Problem]]:
    keys = {f"{_PREFIX}{field.upper()}": field for field in FIELDS}
    set_here = {key: value for key, value in app.config.items() if key.upper().startswith(_PREFIX)}
    problems = [Problem(key, *_unknown_key(key, value)) for key, value in set_here.items() if key not in keys]
    return {keys[key]: value for key, value in set_here.items() if key in keys}, problems


def _unknown_key(key: str, value: object) -> Flaw:
    near = difflib.get_close_matches(key[len(_PREFIX) :].lower(), FIELDS, n=1, cutoff=0.5)
    meant = flaw(value, "unknown-config-key", f"{_PREFIX}{near[0].upper()}" if near else "")
    return meant if near else meant._replace(hint="drop it")


def _in_config(problem: Problem) -> Problem:
    """*problem* as seen from the configuration, where strings of the environment must be JSON to be lists."""
    key = f"{_PREFIX}{problem.field.upper()}"
    if problem.id == "not-a-bool":
        problem = problem._replace(hint="write True or False, and in the environment true or false")
    if problem.id == "bare-string":
        parts = json.dumps([part.strip() for part in str(problem.value).split(",")])
        problem = problem._replace(hint=f"write {parts!r}, in the environment too")
    return problem._replace(where=f"app.config[{key!r}]")


def _contains_proxy_fix(app: object) -> bool:
    for _ in range(_DEEPEST):
        if isinstance(app, ProxyFix):
            return True
        app = getattr(app, "app", None)
    return False


class _FlaskLayer(CorsLayer):
    """The layer around a Flask app's ``wsgi_app``."""

    def __init__(self, app: WSGIApplication, state: _AppState) -> None:
        super().__init__(app)
        self._state = state
        self._flasks_own = app if getattr(app, "__func__", None) is Flask.wsgi_app else None

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """What Flask calls: a method, as it was before, and so without a call more."""
        table = self._state.table or self._state.settle()  # read once, so that a request is never under two
        origin: str | None = environ.get("HTTP_ORIGIN")
        if (
            origin is not None
            and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
            and environ["REQUEST_METHOD"] == "OPTIONS"
        ):
            # As in `PreflightMiddleware`, the answer is looked for here; that the method is allowed is known already.
            found = table.for_preflight(environ)
            answers = found.answers
            wanted: str = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
            if answers is not None and len(origin) <= MAX_ORIGIN_LENGTH and len(wanted) <= LONGEST_REMEMBERED:
                named = answers.named.get(origin)
                if named is None and origin in answers.origins:
                    named = answers.name(origin)
                told = None if named is None else answers.told.get(wanted)
                if named and told and not preflight_granted.receivers:
                    start_response(answers.status, [named, *told])
                    return []
            return self._answer(found, environ, start_response)
        if ACTING in environ and self.stands_back(environ):
            return self.app(environ, start_response)
        if self.app is self._flasks_own:
            decorated = partial(_start_own, table, environ, origin, start_response)
        else:  # whatever stands in between may change the environ, or answer by itself
            asked = environ.copy()
            environ[_ASKED] = self, asked
            decorated = partial(_start_any, table, asked, origin, current_request(), True, start_response)
        environ[ACTING] = self
        try:
            return self.app(environ, decorated)
        except Exception:
            if origin is not None:
                logger.warning(
                    "An exception leaves the app, so its answer is made further out and has no CORS headers: the"
                    " browser will call that a CORS error, and the cause is in the traceback."
                )
            raise
        finally:
            environ.pop(ACTING, None)  # whoever is asked with it next, as in a cascade, is not inside this one

    def acts_on(self, environ: WSGIEnvironment) -> bool:
        # Preflights come no further, or without a word of this layer, so this is another request.
        table = self._state.table or self._state.settle()
        layer, asked = environ.get(_ASKED, (None, environ))
        return (table.for_request(asked) if layer is self else table.for_view(environ)) is not None

    def _answer(self, found: Found, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a preflight that is not just granted, or that somebody wants to hear of."""
        if found.policy is None:
            return self.app(environ, start_response)
        facts, debug = read_facts(environ), self._state.app.debug
        answer = None if found.answers is None else found.answers.answer(facts)
        if answer is None or _is_heard(answer) or (answer is REFUSAL and debug):
            decision = _decide(found, found.policy, facts)
            self._tell(found, facts, decision)
            answer = answer_for(found.policy, facts, decision, debug=debug)
        start_response(answer.status, [*answer.headers])
        return [*answer.body]

    def _tell(self, found: Found, facts: RequestFacts, decision: Decision) -> None:
        """Tell whoever listens."""
        signal = preflight_granted
        if decision.outcome is Outcome.PREFLIGHT_REFUSED:
            signal = preflight_refused
            self._log_refusal(found, facts, decision)
        if signal.receivers:
            signal.send(self._state.app, decision=decision, environ=facts.environ)

    def _log_refusal(self, found: Found, facts: RequestFacts, decision: Decision) -> None:
        """Log each cause once: a stranger who repeats or varies a request adds no line."""
        if not logger.isEnabledFor(logging.INFO) or found.policy is None:
            return
        near = decision.reason is Reason.ORIGIN_NOT_ALLOWED and nearest_origin(found.policy, facts.origin or "")
        cause = (decision.reason, found.endpoint, near[0] if near else None)
        mine = object()
        if self._state.logged.setdefault(cause, mine) is mine:  # of many threads, one logs
            view = f"the view {found.endpoint!r}" if found.endpoint else "a URL that leads to no view"
            logger.info("Refused a preflight for %s. %s", view, explain(found.policy, facts, decision))


def _start_own(
    table: RouteTable,
    environ: WSGIEnvironment,
    origin: str | None,
    start_response: StartResponse,
    status: str,
    headers: list[tuple[str, str]],
    exc_info: OptExcInfo | None = None,
) -> Callable[[bytes], object]:
    """Start a response of Flask's own: with as few calls as can be if its route is known, else as any other."""
    try:
        now = get_current_request()
    except RuntimeError:  # it starts after Flask is done with the request
        now = None
    if (
        now is not None
        and now.environ is environ
        and (rule := now.url_rule) is not None
        and rule.map is table.app.url_map
    ):
        answers = table.for_responses.get((rule.endpoint, now.method))
        if answers is not None:
            start = answers.plain
            if origin is not None:
                start = answers.starts.get(origin) if len(origin) <= MAX_ORIGIN_LENGTH else None
            if start is None:
                start = find_start(answers, environ, origin)
            return start(start_response, status, headers, exc_info)
    return _start_any(table, environ, origin, None, False, start_response, status, headers, exc_info)


def _start_any(
    table: RouteTable,
    environ: WSGIEnvironment,
    origin: str | None,
    around: Request | None,
    changes: bool,
    start_response: StartResponse,
    status: str,
    headers: list[tuple[str, str]],
    exc_info: OptExcInfo | None = None,
) -> Callable[[bytes], object]:
    """Start a response under the policy of its view, if it has one."""
    answers = table.for_response(environ, around, changes=changes)
    start = start_response if answers is None else partial(find_start(answers, environ, origin), start_response)
    return start(status, headers, exc_info)


def _is_heard(answer: Answer) -> bool:
    """Whether anybody listens to such decisions."""
    if answer is REFUSAL:
        return bool(preflight_refused.receivers) or logger.isEnabledFor(logging.INFO)
    return bool(preflight_granted.receivers)


def _decide(found: Found, policy: Policy, facts: RequestFacts) -> Decision:
    if found.error is not None:
        log_failure("Matching a preflight with the app's routes failed, so it is refused", found.error)
        return refuse_preflight(Reason.ROUTING_FAILED, error=found.error)
    decision = decide(policy, facts)
    if found.reason is not None and decision.reason is Reason.METHOD_NOT_ALLOWED:  # what stands behind that
        return decision._replace(reason=found.reason)
    return decision


class _Extension(Protocol):
    @property
    def init_app(self) -> Callable[..., object]: ...  # not a method, which would have to take every option there is


AnyExtension = TypeVar("AnyExtension", bound=_Extension)


class ExtensionHost:
    """Gives a `Flask` subclass ``app.register_extension(extension)``.

    ::

        class App(ExtensionHost, Flask):
            pass
    """

    def register_extension(self, extension: AnyExtension, **options: Any) -> AnyExtension:
        """Call ``extension.init_app(self, **options)``, as any Flask extension has it, and return *extension*."""
        extension.init_app(self, **options)
        return extension
