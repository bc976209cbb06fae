"""The Flask extension: `Preflight`, and `ExtensionHost` for ``app.register_extension``."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from flask import Blueprint, Flask

from flask_preflight.calls import name_call, takes_fields, write_fields
from flask_preflight.checks import is_list, is_star
from flask_preflight.config import unread_variables
from flask_preflight.layer import FlaskLayer
from flask_preflight.marks import NAME
from flask_preflight.policy import Policy, freeze_changes
from flask_preflight.problems import show, show_items
from flask_preflight.state import AppState, Call, state_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from flask_preflight.policy import PolicyChanges


class Preflight:
    """CORS for Flask apps: preflights are answered before anything of the app runs, by the policy of the view.

    The app-wide policy comes, field by field, from `init_app`'s arguments, the constructor's, the app's configuration
    (``PREFLIGHT_ALLOW_ORIGINS``, ...), and the defaults of `Policy`. One object serves many apps::

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

    @takes_fields("Preflight(app, {})")
    def __init__(
        self, app: Flask | None = None, *, debug: bool | None = None, **changes: Unpack[PolicyChanges]
    ) -> None:
        self._call = _note_call("Preflight(...)", freeze_changes(changes))
        self._debug = _check_debug(debug)
        if app is not None:
            self.init_app(app)

    @takes_fields("preflight.init_app(app, {})")
    def init_app(self, app: Flask, *, debug: bool | None = None, **changes: Unpack[PolicyChanges]) -> None:
        """Put CORS around ``app.wsgi_app`` as it is now.

        :raises PolicyError: if the app-wide policy is not valid.
        :raises RuntimeError: if the app has been initialised before.
        :raises TypeError: for an unknown field, or something else than an app.
        """
        app = _unwrap_app(app)
        calls = (self._call, _note_call("init_app(...)", freeze_changes(changes)))
        debug = self._debug if _check_debug(debug) is None else debug
        if NAME in app.extensions:
            advice = "remove the second Preflight(app) or init_app(app)"
            raise RuntimeError(f"{app!r} has a Preflight already, {state_of(app).name}: {advice}")
        state = AppState(app, calls, debug)
        app.extensions[NAME] = state
        layer = FlaskLayer(app.wsgi_app, state)
        app.wsgi_app = layer.wsgi_app  # type: ignore[method-assign]  # Flask's way to add middleware
        for name in unread_variables(app.config):
            text = f"The environment variable {name} is not read: write FLASK_{name}, which from_prefixed_env() reads."
            state.journal.log_once(logging.WARNING, ("unread-variable", name), text)

    def verify(self, app: Flask) -> None:
        """Check the policies of all views, as the first request does. Call it in your tests.

        :raises PolicyError: with all problems of all views; each names the view, its file and line.
        """
        state_of(_unwrap_app(app)).verify()

    def policy(self, app: Flask, endpoint: str | None = None, method: str = "GET") -> Policy | None:
        """The policy in force, app-wide or of the view behind *endpoint*; ``None`` for an exempt view.

        For other code that needs the same list of origins, such as a websocket library.

        :raises LookupError: if the app has no such endpoint.
        :raises PolicyError: if the policy is not valid.
        """
        app = _unwrap_app(app)
        table = state_of(app).current_table()
        if endpoint is None:
            return table.app_wide
        if endpoint not in app.view_functions:
            raise LookupError(f"{app!r} has no endpoint {show(endpoint)}; {_advise_endpoint(app, endpoint)}")
        return table.policy_of(endpoint, method.upper())

    @takes_fields("preflight.reconfigure(app, {})")
    def reconfigure(self, app: Flask, **changes: Unpack[PolicyChanges]) -> None:
        """Change the app-wide policy while the app runs; changes add up. Requests that have begun keep the old one.

        It takes no lock, so it never blocks, and a signal handler may call it.

        :raises PolicyError: if that makes the policy of any view invalid; then nothing changes.
        :raises TypeError: for an unknown field.
        """
        state_of(_unwrap_app(app)).reconfigure(freeze_changes(changes))


def _note_call(name: str, changes: PolicyChanges) -> Call:
    """Note where the user's code called."""
    return Call(name_call(name), changes)


def _advise_endpoint(app: Flask, endpoint: object) -> str:
    """Which endpoint of *app* was meant: one of a similar name, one in a blueprint, or the one of a view."""
    known = {name: name for name in app.view_functions}
    last_names = {name.rpartition(".")[2]: name for name in reversed(known)}
    names = {**last_names, **known}
    views = [name for name, view in app.view_functions.items() if view is endpoint]
    near = views or [names[each] for each in difflib.get_close_matches(str(endpoint), names, n=1, cutoff=0.5)]
    if near:
        return f"did you mean {near[0]!r}?"
    return f"an endpoint is the name of a view function, here one of {show_items(known)}"


def _check_debug(debug: bool | None) -> bool | None:
    if debug is not None and not isinstance(debug, bool):
        raise TypeError(f"debug is {debug!r}; write True or False, or None for app.debug")
    return debug


def _unwrap_app(app: object) -> Flask:
    """The app behind *app*, which may be a proxy such as `flask.current_app`."""
    unwrap = getattr(app, "_get_current_object", None)
    app = app if unwrap is None else unwrap()
    if isinstance(app, Flask):
        return app
    if isinstance(app, Blueprint):
        advice = "write Preflight(app), and mark the blueprint with cors_blueprint"
        raise TypeError(f"{app!r} is a blueprint, not an app: {advice}")
    if isinstance(getattr(app, "server", None), Flask):
        raise TypeError(
            f"{show(app)} is not a Flask app, but its attribute .server is: write Preflight(dash_app.server)"
        )
    if isinstance(app, Policy | Mapping) or is_star(app) or is_list(app) or (isinstance(app, str) and "://" in app):
        raise TypeError(f"the app comes first: write Preflight(app, {write_fields(app)})")
    advice = (
        "write Preflight(app), where app is a Flask object; for another WSGI app write PreflightMiddleware(app, policy)"
    )
    raise TypeError(f"{show(app)} is not a Flask app: {advice}")


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
        """Call ``extension.init_app(self, **options)``, as every Flask extension has it, and return *extension*.

        :raises TypeError: if *extension* is a class, or has no ``init_app``.
        """
        if isinstance(extension, type):
            call = f"app.register_extension({extension.__name__}()"
            written = ", ".join([call, *(f"{name}={show(value)}" for name, value in options.items())])
            raise TypeError(f"{extension.__name__} is a class, not an extension object: write {written})")
        if not callable(getattr(extension, "init_app", None)):
            advice = "write app.register_extension(Preflight())"
            raise TypeError(f"{show(extension)} has no method init_app(app), so it is not an extension: {advice}")
        extension.init_app(self, **options)
        return extension
