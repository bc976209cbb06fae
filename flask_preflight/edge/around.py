"""What stands around a Flask app, and may answer a preflight, or make another request of it.

Rows are made from the app's routes, so what is around the app is asked, too: it gets one preflight for each method of
each rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType
from typing import Any, cast

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.routing import Map

from flask_preflight import fetch
from flask_preflight.commands.samples import sample_origin
from flask_preflight.commands.targets import FlaskTarget, preflight_environ
from flask_preflight.edge.rows import Asked, Grant, Row, answer_of
from flask_preflight.origin import Origins
from flask_preflight.policy import Policy

_ANY_ORIGIN = "https://any.invalid"


def has_own_routing(app: Flask) -> bool:
    """Whether something else than the rules of *app* may decide which view a request reaches."""
    adapter = getattr(app.create_url_adapter, "__func__", None)
    kind = type(app.url_map)
    return adapter is not Flask.create_url_adapter or (kind.bind, kind.bind_to_environ) != (
        Map.bind,
        Map.bind_to_environ,
    )


def mounts_of(app: Flask) -> list[str]:
    """The paths that a `DispatcherMiddleware` around *app* gives to other apps."""
    found = (middleware for middleware in _around(app) if isinstance(middleware, DispatcherMiddleware))
    return sorted({mount for middleware in found for mount in middleware.mounts})


def _around(app: Flask) -> Iterator[object]:
    """The middleware around *app*, as far as it keeps what it is around under a usual name."""
    inner: Any = app.wsgi_app
    seen: list[object] = [app]
    while inner is not None:
        inner = inner.__self__ if isinstance(inner, MethodType) else inner
        if any(inner is each for each in seen):
            return
        seen.append(inner)
        yield inner
        inner = getattr(inner, "app", None) or getattr(inner, "wsgi_app", None)


def answers_as(target: FlaskTarget, url: str, method: str, policy: Policy, grant: Grant, prefix: str) -> bool:
    """Whether the app, with all that is around it, answers a preflight for *method* at *url* as *grant* says."""
    rows = [Row("[^ ]* [^ ]*", grant, "")]
    answers = ((origin, answer_of(rows, Asked("OPTIONS", url, origin, method, ""))) for origin in _samples_of(policy))
    origin, said = next(each for each in answers if each[1] is not None)  # a grant is for some of them
    environ = preflight_environ(url, method, origin)
    # The mount is in the path where middleware around the app takes it off.
    mounted = {**environ, "SCRIPT_NAME": prefix}
    whole = {**environ, "PATH_INFO": f"{prefix}{environ['PATH_INFO']}"}
    return any(_answer(target, each) == said for each in ([mounted, whole] if prefix else [environ]))


def _samples_of(policy: Policy) -> list[str]:
    if policy.allows_any_origin:
        return [_ANY_ORIGIN]
    return [*map(sample_origin, cast(Origins, policy.allow_origins))]


def _answer(target: FlaskTarget, environ: dict[str, Any]) -> tuple[int, tuple[tuple[str, str], ...]]:
    _, status, headers = target.send(environ)
    wanted = ((name, value) for name, value in headers if name == fetch.VARY or name.startswith("Access-Control-"))
    return int(status[:3]), tuple(wanted)
