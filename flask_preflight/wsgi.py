"""CORS for any WSGI app: :class:`PreflightMiddleware` answers preflights and adds headers to all else.

The protocol is decided in :mod:`~flask_preflight.engine`; here is only what PEP 3333 asks for.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakSet

from flask_preflight import fetch
from flask_preflight.engine import Decision, HeaderList, Outcome, RequestFacts, negotiate
from flask_preflight.explain import debug_answer, escape
from flask_preflight.policy import Policy

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PolicyFinder: TypeAlias = "Callable[[WSGIEnvironment], Policy | None]"

logger = logging.getLogger("flask_preflight")

# Where a middleware tells those further in that it acts on this request
_ACTING: Final = "flask_preflight.acting"

_OWNED_PREFIX: Final = "access-control-"
_EXPOSE_HEADERS: Final = fetch.EXPOSE_HEADERS.lower()
_REFUSAL: Final = "This CORS preflight is refused.\n"


class CorsLayer:
    """What stands between a server and *app* for CORS. Of two that act on one request, the outer one stands."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app
        self._seen_inside: WeakSet[CorsLayer] = WeakSet()

    def acts_on(self, environ: WSGIEnvironment) -> bool:
        """Whether this layer answers for CORS on this request, rather than leaving it alone."""
        raise NotImplementedError

    def stands_back(self, environ: WSGIEnvironment) -> bool:
        """Whether another layer further out acts on this request; else this one is the layer to stand back from."""
        outer: CorsLayer = environ.get(_ACTING, self)
        if outer is self or not outer.acts_on(environ):
            return False
        if outer not in self._seen_inside:
            self._seen_inside.add(outer)
            logger.warning("%r stands inside %r, which acts on the same requests: drop one of the two", self, outer)
        return True

    def call_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the app, and let all further in know that this layer acts."""
        environ[_ACTING] = self
        try:
            return self.app(environ, start_response)
        finally:
            environ.pop(_ACTING, None)  # whoever is asked with it next, as in a cascade, is not inside this one

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} around {escape(repr(self.app))}>"


class PreflightMiddleware(CorsLayer):
    """Answer CORS preflights in front of *app*, and add CORS headers to all that it answers.

    :param app: any WSGI app.
    :param policy: a `Policy`, or a callable ``environ -> Policy | None``, as `by_path` makes one; ``None`` leaves the
        request and its answer alone.
    :param debug: explain refused preflights in their body, and let the browser's console name the step that failed.
        This shows parts of the policy to everybody, so not in production. It never changes what is allowed.
    :raises TypeError: if *policy* is neither.

    ::

        app = PreflightMiddleware(app, Policy(allow_origins=["https://frontend.com"], allow_methods=["GET", "PUT"]))
    """

    def __init__(self, app: WSGIApplication, policy: Policy | PolicyFinder, *, debug: bool = False) -> None:
        super().__init__(app)
        self.policy = policy
        self.debug = debug

    @property
    def policy(self) -> Policy | PolicyFinder:
        """The policy in force. Assigning another swaps it for all requests that begin from then on."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy | PolicyFinder) -> None:
        if not isinstance(policy, Policy) and not callable(policy):
            raise TypeError(
                f"policy is {policy!r}; write a Policy, or a callable that takes an environ and returns one"
            )
        self._policy = policy

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        policy = self._find_policy(environ)
        if policy is None or self.stands_back(environ):
            return self.app(environ, start_response)
        facts = read_facts(environ)
        decision = negotiate(policy, facts)
        if decision.error is not None:
            log_failed_check(facts, decision.error)
        if decision.status is not None:
            return answer_preflight(policy, facts, decision, start_response, debug=self.debug)
        return self.call_app(environ, decorating(start_response, lambda: decision))

    def _find_policy(self, environ: WSGIEnvironment) -> Policy | None:
        policy = self._policy  # read once, so that a request is never under two
        if isinstance(policy, Policy):
            return policy
        found = policy(environ)
        if found is not None and not isinstance(found, Policy):
            raise TypeError(f"{policy!r} returned {found!r}; it must return a Policy or None")
        return found

    def acts_on(self, environ: WSGIEnvironment) -> bool:
        return True  # it marks only requests for which it has a policy


def read_facts(environ: WSGIEnvironment) -> RequestFacts:
    """The four things of a request that CORS is about."""
    get = environ.get
    return RequestFacts(
        get("REQUEST_METHOD", ""),
        get("HTTP_ORIGIN"),
        get("HTTP_ACCESS_CONTROL_REQUEST_METHOD"),
        get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS"),
        environ,
    )


def answer_preflight(
    policy: Policy, facts: RequestFacts, decision: Decision, start_response: StartResponse, *, debug: bool
) -> list[bytes]:
    """Send the answer to a preflight."""
    status, headers, text = decision.status or 0, decision.headers, ""
    if decision.outcome is Outcome.PREFLIGHT_REFUSED:
        text = _REFUSAL
        if debug:
            status, headers, text = debug_answer(policy, facts, decision)
    body = text.encode()
    # a 204 has no body, and so no Content-Length: https://httpwg.org/specs/rfc9110.html#field.content-length
    described = (
        () if status == 204 else (("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))))
    )
    start_response(_status_line(status), [*headers, *described])
    return [body] if body else []


def _status_line(status: int) -> str:
    known = status in HTTPStatus._value2member_map_
    return f"{status} {HTTPStatus(status).phrase if known else 'Success'}"


def decorating(start_response: StartResponse, decide: Callable[[], Decision | None]) -> StartResponse:
    """*start_response* for the app, so that whatever it answers carries the headers of what *decide* decides then."""

    def decorated(
        status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        decision = decide()
        if decision is not None:
            headers = add_headers(headers, decision.headers)
        if exc_info is None:
            return start_response(status, headers)
        return start_response(status, headers, exc_info)

    return decorated


def add_headers(headers: Iterable[tuple[str, str]], added: HeaderList) -> list[tuple[str, str]]:
    """A new list of *headers* with those of a decision: ``Access-Control-*`` replaced, ``Vary`` merged.

    What the app exposes itself stays exposed, where the origin is allowed at all.
    """
    kept: list[tuple[str, str]] = []
    exposed: list[str] = []
    for header in headers:
        name = header[0].lower()
        if not name.startswith(_OWNED_PREFIX):
            kept.append(header)
        elif name == _EXPOSE_HEADERS:
            exposed += fetch.split_list(header[1])
    decided = dict(added)
    vary = decided.pop(fetch.VARY, None)
    if exposed and fetch.ALLOW_ORIGIN in decided:
        decided[fetch.EXPOSE_HEADERS] = _merge_exposed(decided, exposed)
    if vary is not None:
        _merge_vary(kept, vary)
    return [*kept, *decided.items()]


def _merge_exposed(decided: Mapping[str, str], by_app: list[str]) -> str:
    names = fetch.split_list(decided.get(fetch.EXPOSE_HEADERS, "")) + by_app
    if fetch.ALLOW_CREDENTIALS in decided:  # then browsers take '*' for a name
        names = [name for name in names if name != fetch.WILDCARD]
    return ", ".join({name.lower(): name for name in reversed(names) if fetch.is_token(name)}.values())


def _merge_vary(headers: list[tuple[str, str]], value: str) -> None:
    places = [index for index, header in enumerate(headers) if header[0].lower() == "vary"]
    present = [field.lower() for index in places for field in fetch.split_list(headers[index][1])]
    if fetch.WILDCARD in present or value.lower() in present:
        return
    if not places:
        headers.append((fetch.VARY, value))
        return
    name, fields = headers[places[0]]
    headers[places[0]] = (name, f"{fields}, {value}" if fields else value)


def log_failed_check(facts: RequestFacts, error: Exception) -> None:
    """Log what a callable ``allow_origins`` raised."""
    log_failure(f"allow_origins failed for the origin {escape(facts.origin or '')}, so that is refused", error)


def log_failure(what: str, error: Exception) -> None:
    """Log on one line *what* failed by an exception of the user's own code, and where that was raised."""
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    logger.error("%s: %s at %s", what, escape(repr(error)), places[-1] if places else "an unknown place")


# ---------------------------------------------------------------------------------------
# Policies by path
# ---------------------------------------------------------------------------------------

# What one server or app decodes, joins or resolves and another does not; see CVE-2020-25032 and its kin
_AMBIGUOUS: Final = ("//", "/./", "/../", "\\", "%2e", "%2f", "%5c")


def by_path(policies: Mapping[str, Policy | None]) -> PolicyFinder:
    """A policy finder for `PreflightMiddleware` that goes by ``PATH_INFO``.

    A key covers itself and all below it, by whole segments: ``/api`` covers ``/api`` and ``/api/x``, not
    ``/apiprivate``. The most specific key wins; ``None`` leaves its paths alone, and so is a path that no key covers,
    or that could be read in two ways (an empty, ``.`` or ``..`` segment, an encoded dot or slash, a backslash).

    :raises ValueError: for a key that does not start with ``/``, ends with one, or could be read in two ways.
    :raises TypeError: for a value that is neither a `Policy` nor ``None``.
    """
    for key, policy in policies.items():
        _check_key(key)
        if policy is not None and not isinstance(policy, Policy):
            raise TypeError(f"by_path: the policy of {key!r} is {policy!r}; write a Policy, or None to leave it alone")
    table = {key.rstrip("/"): policy for key, policy in policies.items()}
    deepest = max((key.count("/") for key in table), default=0)

    def find(environ: WSGIEnvironment) -> Policy | None:
        path: str = environ.get("PATH_INFO", "")
        if _is_ambiguous(path):
            return None
        # only so many segments as the longest key has, whatever the client sends
        segments = path.split("/", deepest + 1)[: deepest + 1]
        for count in range(len(segments), 0, -1):
            key = "/".join(segments[:count])
            if key in table:
                return table[key]
        return None

    return find


def _is_ambiguous(path: str) -> bool:
    closed = f"{path.lower()}/" if not path.endswith("/") else path.lower()
    return any(part in closed for part in _AMBIGUOUS)


def _check_key(key: str) -> None:
    if not key.startswith("/") or (key != "/" and key.endswith("/")) or "%" in key or _is_ambiguous(key):
        corrected = "/" + "/".join(part for part in key.split("/") if part not in {"", ".", ".."})
        hint = f"write {corrected!r}" if "%" not in key and "\\" not in key else "write it decoded, with '/'"
        raise ValueError(f"by_path: {key!r} is no plain path; {hint}")
