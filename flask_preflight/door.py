"""The request that Flask gets from middleware between the extension and Flask.

Such middleware may change host, scheme, mount or path, so only the environ that Flask gets (at its door) says which
view a request reaches. Where there is such middleware, two public methods of the app are hooked:

- ``full_dispatch_request`` notes the request that Flask dispatches, so that its response gets the policy of its view.
- ``request_context`` gives a preflight a stand-in context, and ``full_dispatch_request`` then an empty response. The
  route is matched and noted, but no session is opened, and no signal, hook or teardown function runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, Token
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Request, request

from flask_preflight.routes import PolicyTable, RouteMatch
from flask_preflight.wsgi import is_preflight

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# The key of the visit in the environ. Copies keep it; for an environ that is built anew there is the context variable.
_VISIT: Final = "flask_preflight.visit"
_current_visit: ContextVar[Visit | None] = ContextVar(_VISIT, default=None)

# The visit whose stand-in context is pushed
_standing: ContextVar[Visit | None] = ContextVar("flask_preflight.standing", default=None)


class Visit:
    """One request on its way to Flask, and what was noted when Flask got it."""

    def __init__(self, table: PolicyTable, *, is_preflight: bool) -> None:
        self.table = table
        self.is_preflight = is_preflight
        self.has_arrived = False
        self.request: Request | None = None  # of an actual request
        self.match: RouteMatch | None = None  # of a preflight
        self.environ: WSGIEnvironment | None = None  # of a preflight, at the door

    @property
    def is_exempt(self) -> bool:
        """Whether the view that a preflight has reached answers it itself."""
        return self.match is not None and self.match.policy is None

    def enter(self, environ: WSGIEnvironment) -> Token[Visit | None]:
        """Begin the visit; `leave` takes what this returns."""
        environ[_VISIT] = self
        return _current_visit.set(self)

    @staticmethod
    def leave(token: Token[Visit | None]) -> None:
        """End what `enter` began."""
        _current_visit.reset(token)


def _find_visit(app: Flask, environ: WSGIEnvironment) -> Visit | None:
    visit: Visit | None = environ.get(_VISIT)
    if visit is None:  # the environ was built anew
        visit = _current_visit.get()
    return visit if visit is not None and visit.table.app is app else None


def is_underway(app: Flask) -> bool:
    """Whether a request of *app* is on its way to Flask. Then middleware inside has made a new request of it."""
    visit = _current_visit.get()
    return visit is not None and visit.table.app is app and not visit.has_arrived


class _StandIn:
    """The context of a preflight at the door. Where it is used in a ``with`` statement, it is the real context."""

    def __init__(self, visit: Visit, make_context: Callable[[], Any]) -> None:
        self._visit = visit
        self._make_context = make_context

    def push(self) -> None:
        self._token: Token[Visit | None] = _standing.set(self._visit)

    def pop(self, *_: object) -> None:
        _standing.reset(self._token)

    def __enter__(self) -> Any:
        return self._context.__enter__()

    def __exit__(self, *exc_info: Any) -> None:
        self._context.__exit__(*exc_info)

    @cached_property
    def _context(self) -> Any:
        return self._make_context()

    def __getattr__(self, name: str) -> Any:  # an overridden `wsgi_app` may look at the context
        return getattr(self._context, name)


def watch(app: Flask) -> None:
    """Hook the two methods of *app*."""
    request_context, full_dispatch_request = app.request_context, app.full_dispatch_request

    def hooked_context(environ: WSGIEnvironment) -> Any:
        visit = _find_visit(app, environ)
        if visit is None:
            return request_context(environ)
        visit.has_arrived = True
        if visit.is_preflight and is_preflight(environ):
            return stand_in(visit, environ)
        context: Any = request_context(environ)
        if _VISIT in environ and not visit.is_preflight:
            visit.request = context.request  # if Flask fails before it dispatches
        return context

    def stand_in(visit: Visit, environ: WSGIEnvironment) -> Any:
        visit.match = visit.table.match_preflight(environ)
        visit.environ = environ
        if visit.is_exempt:
            return request_context(environ)
        environ.pop("werkzeug.debug.preserve_context", None)  # there is no context to preserve
        return _StandIn(visit, lambda: request_context(environ))

    def hooked_dispatch(*args: Any) -> Any:
        current = current_request()
        visit = _standing.get() or (_find_visit(app, current.environ) if current is not None else None)
        if visit is None or visit.table.app is not app:
            return full_dispatch_request(*args)
        if visit.is_preflight:
            # an overridden `wsgi_app` may have entered the real context
            is_noted = not visit.is_exempt and (current is None or is_preflight(current.environ))
            return _answer_nothing(visit) if is_noted else full_dispatch_request(*args)
        try:
            return full_dispatch_request(*args)
        finally:
            visit.request = current  # a view may dispatch other requests, which end before its own

    app.request_context = hooked_context  # type: ignore[method-assign]
    app.full_dispatch_request = hooked_dispatch  # type: ignore[method-assign]


def _answer_nothing(visit: Visit) -> WSGIApplication:
    """An empty response for the inner middleware. It is not made by the app's own class, which may need a context."""
    is_found = visit.match is not None and (visit.match.rule is not None or visit.match.reason is not None)
    status = "200 OK" if is_found else "404 Not Found"  # middleware may then try another path

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return []

    return answer


def current_request() -> Request | None:
    """The request of Flask's context, if there is one."""
    try:
        current: Request = request._get_current_object()  # type: ignore[attr-defined]
    except RuntimeError:
        return None
    return current


def send_preflight(
    app: WSGIApplication, visit: Visit, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes] | None:
    """Send a preflight through *app* to Flask's door, where the visit is noted.

    The inner response is read until ``start_response``, then closed and discarded. If an exempt view answers,
    its response is returned instead, whole.
    """
    start = _HeldStart(visit, start_response)
    token = visit.enter(environ)
    try:
        body = app(environ, start)
        try:
            chunks, iterator = ([], iter(body)) if start.has_started else _read_until(start, body)
        except BaseException:
            _close(body)
            raise
    finally:
        visit.leave(token)
    if visit.is_exempt:
        start.release()
        return _Resumed(body, chunks, iterator) if chunks else body
    _close(body)
    return None


def _read_until(start: _HeldStart, body: Iterable[bytes]) -> tuple[list[bytes], Iterator[bytes]]:
    """Read *body* until the response has started; what was read, and the rest."""
    chunks: list[bytes] = []
    iterator = iter(body)
    for chunk in iterator:
        chunks.append(chunk)
        if start.has_started or chunk:
            break
    return chunks, iterator


class _HeldStart:
    """A ``start_response`` that holds back what it gets until it is known that an exempt view answers."""

    def __init__(self, visit: Visit, start_response: StartResponse) -> None:
        self.has_started = False
        self._visit = visit
        self._start_response = start_response
        self._held: tuple[Any, ...] | None = None

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        self.has_started = True
        self._held = (status, headers) if exc_info is None else (status, headers, exc_info)
        return self.release() if self._visit.is_exempt else _discard

    def release(self) -> Callable[[bytes], object]:
        """Start the response with what was held back, once."""
        held, self._held = self._held, None
        return _discard if held is None else self._start_response(*held)


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _discard(_: bytes) -> None:
    return None


class _Resumed:
    """A response whose first chunks were read already."""

    def __init__(self, body: Iterable[bytes], chunks: list[bytes], rest: Iterator[bytes]) -> None:
        self._body = body
        self._chunks = chain(chunks, rest)

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        _close(self._body)
