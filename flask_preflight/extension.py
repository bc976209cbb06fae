"""The Flask extension: `Preflight` takes the policy of each request from the app's routes and gives it to the core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar, cast
from weakref import WeakSet

from flask import Blueprint, Flask, Request, current_app, has_app_context

from flask_preflight import door
from flask_preflight.config import in_config, read_config, unread_variables
from flask_preflight.engine import VARY, Decision, HeaderList, Outcome, Reason, RequestFacts, refuse_preflight
from flask_preflight.journal import Journal
from flask_preflight.marks import unreached_marks
from flask_preflight.policy import Policy, freeze_changes, merge
from flask_preflight.problems import PolicyError
from flask_preflight.responses import decorate
from flask_preflight.routes import PolicyTable, RouteMatch
from flask_preflight.wsgi import ACTIVE_LAYER, CorsLayer, is_preflight, respond

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from typing_extensions import Unpack
    from werkzeug.routing import Rule

    from flask_preflight.policy import PolicyChanges

_NAME: Final = "preflight"

_NO_ORIGIN: Final = (
    "No origin is allowed anywhere in this app, so every cross-origin request is refused: write"
    " Preflight(app, allow_origins=[...]), or set PREFLIGHT_ALLOW_ORIGINS in the configuration."
)

Levels: TypeAlias = tuple[Mapping[str, Any], ...]


class Preflight:
    """CORS for Flask apps: preflights are answered before anything of the app runs, by the policy of the view.

    The app-wide policy comes, field by field, from `init_app`'s arguments, the constructor's, the app's configuration
    (``PREFLIGHT_ALLOW_ORIGINS`` and so on), and the defaults of `Policy`. One object serves many apps::

        preflight = Preflight(allow_origins=["https://frontend.com"])
        preflight.init_app(app)

    :param app: an app to be initialised at once.
    :param debug: explain refusals in responses; ``None`` means: if ``app.debug`` is set.
    :param changes: fields of `Policy`.
    :raises TypeError: for an unknown field, or something else than an app.
    :raises PolicyError: if *app* is given, as `init_app` does.

    .. versionchanged:: 0.2.0
        *debug*, `policy`, and an app that is a proxy.
    """

    def __init__(
        self, app: Flask | None = None, *not_fields: object, debug: bool | None = None, **changes: Unpack[PolicyChanges]
    ) -> None:
        _check_positional(not_fields)
        self._changes = freeze_changes(changes)
        self._debug = _check_debug(debug)
        if app is not None:
            self.init_app(app)

    def init_app(
        self, app: Flask, *not_fields: object, debug: bool | None = None, **changes: Unpack[PolicyChanges]
    ) -> None:
        """Put CORS around ``app.wsgi_app`` as it is now.

        :raises PolicyError: if the app-wide policy is not valid.
        :raises RuntimeError: if the app has been initialised before.
        :raises TypeError: for an unknown field, or something else than an app.
        """
        _check_positional(not_fields)
        app = _unwrap_app(app)
        levels = (self._changes, freeze_changes(changes))
        debug = self._debug if _check_debug(debug) is None else debug
        if _NAME in app.extensions:
            raise RuntimeError(f"{app!r} has a Preflight already, and needs only one: remove this init_app()")
        state = _AppState(app, levels)
        app.extensions[_NAME] = state
        layer = _FlaskLayer(app.wsgi_app, state, debug)
        app.wsgi_app = layer.wsgi_app  # type: ignore[method-assign]  # Flask's way to add middleware
        for name in unread_variables(app.config):
            text = f"The environment variable {name} is not read: Flask reads FLASK_{name}, by from_prefixed_env()."
            state.journal.log_once(logging.WARNING, ("unread-variable", name), text)

    def verify(self, app: Flask) -> None:
        """Check the policies of all views, as the first request does. Worth a line in every app's tests.

        :raises PolicyError: with all problems of all views; each names the view, its file and line.
        """
        _state_of(app).verify()

    def policy(self, app: Flask, endpoint: str | None = None, method: str = "GET") -> Policy | None:
        """The policy in force, app-wide or of the view behind *endpoint*; ``None`` for an exempt view.

        For other code that needs the same list of origins, such as a websocket library.

        :raises LookupError: if the app has no such endpoint.
        :raises PolicyError: if the policy is not valid.
        """
        app = _unwrap_app(app)
        table = _state_of(app).current_table()
        if endpoint is None:
            return table.app_wide
        if endpoint not in app.view_functions:
            raise LookupError(f"{app!r} has no endpoint {endpoint!r}")
        return table.policy_of(endpoint, method.upper())

    def reconfigure(self, app: Flask, **changes: Unpack[PolicyChanges]) -> None:
        """Change the app-wide policy while the app runs; changes add up. Requests that have begun keep the old one.

        It takes no lock, so it never blocks, and a signal handler may call it.

        :raises PolicyError: if that makes the policy of any view invalid; then nothing changes.
        :raises TypeError: for an unknown field.
        """
        _state_of(app).reconfigure(freeze_changes(changes))


def _check_positional(values: tuple[object, ...]) -> None:
    if values:
        raise TypeError(f"Preflight takes an app, and keywords: write allow_origins={values[0]!r}")


def _check_debug(debug: bool | None) -> bool | None:
    if debug is not None and not isinstance(debug, bool):
        raise TypeError(f"debug is {debug!r}; write True, False, or None for app.debug")
    return debug


def _unwrap_app(app: object) -> Flask:
    """The app behind *app*, which may be a proxy such as `flask.current_app`."""
    app = app._get_current_object() if hasattr(app, "_get_current_object") else app
    if isinstance(app, Flask):
        return app
    if isinstance(app, Blueprint):
        raise TypeError(f"{app!r} is a blueprint: pass the app, and mark the blueprint with cors_blueprint")
    if isinstance(getattr(app, "server", None), Flask):
        raise TypeError(f"{app!r} is not a Flask app: pass its attribute .server, which is one")
    if isinstance(app, str | list | tuple | set):
        raise TypeError(f"Preflight takes an app, and keywords: write allow_origins={app!r}")
    raise TypeError(f"{app!r} is not a Flask app: write Preflight(app), where app is flask.Flask(...)")


# ---------------------------------------------------------------------------------------
# The state of one app
# ---------------------------------------------------------------------------------------


class _Version:
    """One state of an app's policies. A version is never changed, but the next one is attached to it."""

    def __init__(self, table: PolicyTable, config: Mapping[str, Any], levels: Levels, *, is_settled: bool) -> None:
        self.table = table
        self.config = config
        self.levels = levels
        self.is_settled = is_settled  # whether all views have been checked, as the first request does

    def replace(self, new: _Version) -> bool:
        """Attach *new*; whether no other version came first. Atomic, and without a lock."""
        return vars(self).setdefault("next", new) is new


class _AppState:
    """What the extension knows of one app; kept in ``app.extensions["preflight"]``.

    Changes are made by compare and swap: a change that comes second tries again from the newer version. So nothing here
    waits, and a signal handler may interrupt anything.
    """

    def __init__(self, app: Flask, levels: Levels) -> None:
        """:raises PolicyError: if the app-wide policy is not valid."""
        self.app = app
        self.journal = Journal(app)
        _states.add(self)
        self._has_warned = False
        self._version = self._make_version(levels)

    def version(self) -> _Version:
        """The newest version."""
        version = self._version
        while "next" in vars(version):
            version = self._version = vars(version)["next"]
        return version

    def ensure_table(self) -> PolicyTable:
        """The policies in force. At the first request, the configuration is read again and all views are checked."""
        while not (version := self.version()).is_settled:
            version.replace(self._settle(version))
        return version.table

    def current_table(self) -> PolicyTable:
        """The policies in force, or what they would be at a first request now."""
        version = self.version()
        return version.table if version.is_settled else self._make_version(version.levels).table

    def warn_of_no_origin(self) -> None:
        """Log once that no origin is allowed anywhere."""
        if not self._has_warned:
            self._has_warned = True
            self.journal.warn(_NO_ORIGIN)

    def verify(self) -> None:
        """Check the app as it is now, and warn of what is probably a mistake."""
        table = self._settle(self.version()).table
        if table.allows_nothing:
            self.journal.warn(_NO_ORIGIN)
        for state in list(_states):  # a module may hold the views of several apps
            state.version().table.note_reached_marks()
        modules = {getattr(view, "__module__", "") for view in self.app.view_functions.values()}
        for mark in unreached_marks({self.app.import_name, *modules}):
            hint = "Flask does not know the marked object, or a decorator without functools.wraps hides the mark"
            self.journal.warn(f"{mark.describe()}: no rule of the app leads to it: {hint}.")

    def _settle(self, version: _Version) -> _Version:
        settled = self._make_version(version.levels, is_settled=True)
        settled.table.note_reached_marks()
        settled.table.check()
        settled.table.handle_options()
        return settled

    def reconfigure(self, changes: PolicyChanges) -> None:
        """Add a level. Takes no lock: no URL map is asked, and nothing is logged."""
        while True:
            old = self.version()
            levels = _on_top_of(old.levels, changes)
            table = PolicyTable(self.app, merge(Policy(), old.config, *levels), self.journal)
            table.check()
            if old.replace(_Version(table, old.config, levels, is_settled=old.is_settled)):
                return

    def _make_version(self, levels: Levels, *, is_settled: bool = False) -> _Version:
        config, problems = read_config(self.app.config)
        policy = Policy()
        try:
            policy = merge(policy, config, *levels)
        except PolicyError as error:
            from_config = config.keys() - {name for level in levels for name in level}
            problems += [in_config(problem) if problem.field in from_config else problem for problem in error.problems]
        if problems:
            raise PolicyError(problems)
        return _Version(PolicyTable(self.app, policy, self.journal), config, levels, is_settled=is_settled)


_states: Final[WeakSet[_AppState]] = WeakSet()


def _state_of(app: Flask) -> _AppState:
    state: _AppState | None = _unwrap_app(app).extensions.get(_NAME)
    if state is None:
        raise RuntimeError(f"{app!r} has no Preflight; call preflight.init_app(app) first")
    return state


def _on_top_of(levels: Levels, changes: Mapping[str, Any]) -> Levels:
    """*changes* as one more level, without what they replace for good, so that levels do not pile up."""
    replaced = {name for name, value in changes.items() if not (isinstance(value, tuple) and ... in value)}
    kept = ({name: value for name, value in level.items() if name not in replaced} for level in levels)
    return (*filter(None, kept), changes)


# ---------------------------------------------------------------------------------------
# The layer around an app
# ---------------------------------------------------------------------------------------


class _Route(NamedTuple):
    """What is known of the route of a request, for decisions and the log."""

    table: PolicyTable
    match: RouteMatch


class _FlaskLayer(CorsLayer):
    """The layer around a Flask app's ``wsgi_app``."""

    def __init__(self, app: WSGIApplication, state: _AppState, debug: bool | None) -> None:
        super().__init__(app, state.journal)
        self._state = state
        self._flask = state.app
        self._debug = debug
        self.has_inner_middleware = getattr(app, "__func__", None) is not Flask.wsgi_app
        if self.has_inner_middleware:
            door.watch(state.app)

    @property
    def debug(self) -> bool:  # type: ignore[override]
        return self._flask.debug if self._debug is None else self._debug

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a preflight by its view's policy; pass on every other request, and add headers to its response."""
        table = self._state.ensure_table()
        if table.allows_nothing and "HTTP_ORIGIN" in environ:
            self._state.warn_of_no_origin()
        if ACTIVE_LAYER in environ and self.defers_to_outer(environ):
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
                _log_escape(self.journal, environ, error)
            raise
        finally:
            environ.pop(ACTIVE_LAYER, None)  # an app that gets this environ next, as in a cascade, is not inside
            if token is not None:
                door.Visit.leave(token)

    # -- preflights ---------------------------------------------------------------------------

    def _handle_preflight(
        self, table: PolicyTable, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if self.has_inner_middleware:
            visit = door.Visit(table, is_preflight=True)
            body = self._send_inward(visit, environ, start_response)
            if body is not None:
                return body
            if visit.match is not None and visit.environ is not None:
                environ, match = visit.environ, visit.match
                return self.answer(cast(Policy, match.policy), environ, start_response, _Route(table, match))
        match = table.match_preflight(environ)
        if match.policy is None:
            return self.app(environ, start_response)
        return self.answer(match.policy, environ, start_response, _Route(table, match))

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
            visit.match = None
            return None

    def answer(
        self, policy: Policy, environ: WSGIEnvironment, start_response: StartResponse, route: Any = None
    ) -> Iterable[bytes]:
        if route.match.error is not None:  # refused, whatever the policy says
            return respond(self.answer_in_full(policy, environ, route), start_response)
        return super().answer(policy, environ, start_response, route)

    def decide(self, policy: Policy, facts: RequestFacts, route: Any) -> Decision:
        match: RouteMatch = route.match
        if match.error is not None:
            if match.reason is Reason.ROUTING_FAILED:
                text = "The app's own routing failed for a preflight, which is refused"
                self.journal.log_failure(text, match.error)
            return refuse_preflight(match.reason or Reason.ROUTING_FAILED, error=match.error)
        decision = super().decide(policy, facts, route)
        if match.reason is not None and decision.reason is Reason.METHOD_NOT_ALLOWED:
            return decision._replace(reason=match.reason)
        return decision

    def negotiate(self, policy: Policy, facts: RequestFacts) -> Decision:
        """A callable runs inside an app context, so that `flask.current_app` works in it."""
        if not callable(policy.allow_origins):
            return super().negotiate(policy, facts)
        try:
            with self._app_context(facts):
                return super().negotiate(policy, facts)
        except Exception as error:  # noqa: BLE001 - what teardown functions raise must not grant
            if facts.is_preflight:
                return refuse_preflight(Reason.ORIGIN_CHECK_FAILED, error=error)
            reason = Reason.ORIGIN_CHECK_FAILED
            return Decision(Outcome.ACTUAL_REFUSED, headers=(VARY,), reason=reason, error=error)

    def _app_context(self, facts: RequestFacts) -> AbstractContextManager[object]:
        """A new context for preflights, and where the context of the request is gone."""
        is_own = has_app_context() and current_app._get_current_object() is self._flask  # type: ignore[attr-defined]
        return nullcontext() if is_own and not facts.is_preflight else self._flask.app_context()

    def rule_of(self, environ: WSGIEnvironment, policy: Policy, route: Any) -> str:
        method = environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD" if is_preflight(environ) else "REQUEST_METHOD"]
        rule: Rule | None = route.match.rule or route.table.rule_of(environ, method)
        return "no route" if rule is None else rule.rule

    # -- responses ----------------------------------------------------------------------------

    def acts_on(self, environ: WSGIEnvironment, known: Any) -> bool:
        try:
            if known is None:  # a preflight on its way through the inner middleware
                return self._state.ensure_table().match_preflight(environ).policy is not None
            exchange: _Exchange = known
            return exchange.policy() is not None
        except PolicyError:
            return True


class _Exchange:
    """One actual request on its way through the layer, and its response."""

    def __init__(self, layer: _FlaskLayer, table: PolicyTable, environ: WSGIEnvironment) -> None:
        self.origin: str | None = environ.get("HTTP_ORIGIN")  # whatever the app makes of the environ
        self.visit: door.Visit | None = None
        self._layer = layer
        self._table = table
        self._environ = self._at_hand = environ
        if layer.has_inner_middleware:
            self.visit = door.Visit(table, is_preflight=False)
            self._at_hand = environ.copy()

    def request(self) -> Request | None:
        """The request that Flask has made of this exchange, if it was reached."""
        if self.visit is not None:
            return self.visit.request
        current = door.current_request()
        is_own = current is not None and current.environ is self._environ
        # a view may pass its environ to another Flask app
        return current if is_own and current_app._get_current_object() is self._table.app else None  # type: ignore[attr-defined]

    def policy(self) -> Policy | None:
        """The policy of the view; ``None`` if it is exempt.

        :raises PolicyError: if it is not valid.
        """
        return self._policy_of(self.request())

    def _policy_of(self, request: Request | None) -> Policy | None:
        if request is not None:
            return self._table.policy_of_request(request)
        return self._table.policy_of_environ(self._at_hand)

    def added_headers(self) -> HeaderList | None:
        """What to add to the response; ``None`` to leave it alone."""
        request = self.request()
        rule = request.url_rule if request is not None else None
        try:
            policy = self._policy_of(request)
        except PolicyError as error:
            self._table.log_invalid(rule.endpoint if rule else "", error)
            return (VARY,)
        if policy is None:
            return None
        environ = self._at_hand if request is None else request.environ
        return self._layer.added_headers(policy, environ, self.origin, _Route(self._table, RouteMatch(policy, rule)))

    def starting(self, start_response: StartResponse) -> StartResponse:
        """A ``start_response`` that adds headers to whatever the app answers."""
        added: HeaderList | None = ()

        def start(
            status: str, headers: Iterable[tuple[str, str]], exc_info: OptExcInfo | None = None, /
        ) -> Callable[[bytes], object]:
            nonlocal added
            if added == ():  # once, also if the response is started again
                added = self.added_headers()
            decorated = [*headers] if added is None else decorate(headers, added)
            return (
                start_response(status, decorated) if exc_info is None else start_response(status, decorated, exc_info)
            )

        return start


def _log_escape(journal: Journal, environ: WSGIEnvironment, error: Exception) -> None:
    """Log that an exception leaves the app. Closing a websocket, or ending an iterator, is none."""
    is_websocket = environ.get("HTTP_UPGRADE", "").lower() == "websocket" or "HTTP_SEC_WEBSOCKET_KEY" in environ
    if is_websocket or isinstance(error, StopIteration | StopAsyncIteration):
        return
    text = (
        "The app raised an exception, so the server sends the error page without CORS headers. The browser will call"
        " that a CORS error; the cause is in the traceback."
    )
    journal.log_once(logging.WARNING, ("escaped", type(error)), text)


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
        """Call ``extension.init_app(self, **options)``, as every Flask extension has it, and return *extension*."""
        extension.init_app(self, **options)
        return extension
