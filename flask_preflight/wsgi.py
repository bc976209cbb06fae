"""CORS for any WSGI app: :class:`PreflightMiddleware` answers preflights and adds headers to all else.

The protocol is decided in :mod:`~flask_preflight.engine`; here is only what PEP 3333 asks for.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from posixpath import normpath
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from weakref import WeakSet

from flask_preflight import fetch
from flask_preflight.engine import Decision, HeaderList, Outcome, Reason, RequestFacts, negotiate
from flask_preflight.explain import debug_answer, escape, escape_error
from flask_preflight.memory import LONGEST_REMEMBERED
from flask_preflight.policy import Policy

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PolicyFinder: TypeAlias = "Callable[[WSGIEnvironment], Policy | None]"

logger = logging.getLogger("flask_preflight")

# Where a middleware tells those further in that it acts on this request
ACTING: Final = "flask_preflight.acting"

WANTED_METHOD: Final = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"
WANTED_HEADERS: Final = "HTTP_ACCESS_CONTROL_REQUEST_HEADERS"

_OWNED_PREFIX: Final = "access-control-"
_EXPOSE_HEADERS: Final = fetch.EXPOSE_HEADERS.lower()
_REFUSAL: Final = "This CORS preflight is refused.\n"


class CorsLayer:
    """What stands between a server and *app* for CORS. Of two that act on one request, the outer one stands."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app
        self._seen_inside: WeakSet[CorsLayer] = WeakSet()

    def acts_on(self, environ: WSGIEnvironment) -> bool:
        """Whether this layer, which has marked the request, answers for it, rather than leaving it alone after all."""
        return True

    def stands_back(self, environ: WSGIEnvironment) -> bool:
        """Whether another layer further out acts on this request."""
        outer: CorsLayer | None = environ.get(ACTING)
        if outer is None or outer is self or not outer.acts_on(environ):
            return False
        if outer not in self._seen_inside:
            self._seen_inside.add(outer)
            logger.warning("%r stands inside %r, which acts on the same requests: drop one of the two", self, outer)
        return True

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
        # Every request goes this way, so what is remembered is looked up here, with as few calls as can be.
        in_force = self._policy  # read once, so that a request is never under two
        policy = in_force if isinstance(in_force, Policy) else _find(in_force, environ)
        if policy is None:
            return self.app(environ, start_response)
        origin: str | None = environ.get("HTTP_ORIGIN")
        if origin is not None and environ["REQUEST_METHOD"] == "OPTIONS":
            method: str | None = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
            if method is not None:  # if another layer acts further out, it has answered this
                headers: str = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
                answer: Answer | None = None
                if len(origin) + len(method) + len(headers) <= LONGEST_REMEMBERED and not self.debug:
                    answer = policy.remembered.get((origin, method, headers))
                status, whole, body, _ = answer or answer_for(policy, read_facts(environ), debug=self.debug)
                start_response(status, [*whole])  # lists of their own, since a server may change them
                return [*body]
        if ACTING in environ and self.stands_back(environ):
            return self.app(environ, start_response)
        short = origin is None or len(origin) <= LONGEST_REMEMBERED
        added: HeaderList | None = policy.remembered.get(origin) if short else None
        if added is None:
            added = headers_for(policy, read_facts(environ))
        environ[ACTING] = self
        try:
            return self.app(environ, decorating(start_response, added))
        finally:
            environ.pop(ACTING, None)  # whoever is asked with it next, as in a cascade, is not inside this one


def _find(find: PolicyFinder, environ: WSGIEnvironment) -> Policy | None:
    found = find(environ)
    if found is not None and not isinstance(found, Policy):
        raise TypeError(f"{find!r} returned {found!r}; it must return a Policy or None")
    return found


def read_facts(environ: WSGIEnvironment) -> RequestFacts:
    """The four things of a request that CORS is about."""
    get = environ.get
    return RequestFacts(get("REQUEST_METHOD", ""), get("HTTP_ORIGIN"), get(WANTED_METHOD), get(WANTED_HEADERS), environ)


def _remember(policy: Policy, facts: RequestFacts, question: object, answer: object, headers: HeaderList) -> None:
    """Keep *answer*, unless a callable is to be asked each time, or the request and *headers* are long together."""
    length = sum(len(text) for text in facts[1:4] if text) + sum(len(name) + len(value) for name, value in headers)
    if not policy.asks_anew and length <= LONGEST_REMEMBERED:
        policy.remembered.keep(question, answer)


def decide(policy: Policy, facts: RequestFacts) -> Decision:
    """Negotiate, and log what a callable has raised."""
    decision = negotiate(policy, facts)
    if decision.error is not None:
        log_failure(
            f"allow_origins failed for the origin {escape(facts.origin or '')}, which is refused", decision.error
        )
    return decision


def headers_for(policy: Policy, facts: RequestFacts) -> HeaderList:
    """What the answer to an actual request is to carry; remembered by its origin, where it can be."""
    added = decide(policy, facts).headers
    _remember(policy, facts, facts.origin, added, added)
    return added


class Answer(NamedTuple):
    """The answer to a preflight, ready to be sent time and again."""

    status: str
    headers: HeaderList
    body: tuple[bytes, ...]
    decision: Decision


def answer_for(policy: Policy, facts: RequestFacts, reason: Reason | None = None, *, debug: bool) -> Answer:
    """The answer to a preflight; remembered by its three headers, where it can be.

    *reason* is what stands behind a method that the policy does not allow.
    """
    decision = decide(policy, facts)
    if reason is not None and decision.reason is Reason.METHOD_NOT_ALLOWED:
        decision = decision._replace(reason=reason)
    answer = prepare(policy, facts, decision, debug=debug)
    if not debug:
        question = (facts.origin, facts.wanted_method, facts.wanted_headers or "")
        _remember(policy, facts, question, answer, answer.headers)
    return answer


def prepare(policy: Policy, facts: RequestFacts, decision: Decision, *, debug: bool) -> Answer:
    """The answer to a preflight that says *decision*."""
    status, headers, text = decision.status or 0, decision.headers, ""
    if decision.outcome is Outcome.PREFLIGHT_REFUSED:
        text = _REFUSAL
        if debug:
            status, headers, text = debug_answer(policy, facts, decision)
    body = text.encode()
    # A 204 has no type (wsgiref.validate minds) but a length, though HTTP asks for none: old Safaris wait for a body
    # otherwise, and Werkzeug's linter minds.
    described = () if status == 204 else (("Content-Type", "text/plain; charset=utf-8"),)
    length = ("Content-Length", str(len(body)))
    return Answer(_status_line(status), (*headers, *described, length), (body,) if body else (), decision)


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Success"


def decorating(start_response: StartResponse, added: HeaderList) -> StartResponse:
    """*start_response* for the app, so that whatever it answers carries the headers *added*."""

    def decorated(
        status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        for name, _ in headers:
            if not name or name[0] in "AaVv":  # Access-Control-* or Vary, perhaps
                headers = add_headers(headers, added)
                break
        else:
            headers = [*headers, *added]
        return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)

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
        _merge_exposed(decided, exposed)
    kept += decided.items()
    if vary is not None:
        _merge_vary(kept, vary)
    return kept


def _merge_exposed(decided: dict[str, str], by_app: list[str]) -> None:
    names = fetch.split_list(decided.get(fetch.EXPOSE_HEADERS, "")) + by_app
    if fetch.ALLOW_CREDENTIALS in decided:  # then browsers take '*' for a name
        names = [name for name in names if name != fetch.WILDCARD]
    merged: dict[str, str] = {}
    for name in filter(fetch.is_token, names):
        merged.setdefault(name.lower(), name)
    if merged:
        decided[fetch.EXPOSE_HEADERS] = ", ".join(merged.values())


def _merge_vary(headers: list[tuple[str, str]], value: str) -> None:
    places = [index for index, header in enumerate(headers) if header[0].lower() == "vary"]
    present = [field.lower() for index in places for field in fetch.split_list(headers[index][1])]
    if fetch.WILDCARD in present or value.lower() in present:
        return
    if not places:
        headers.append((fetch.VARY, value))
        return
    name, fields = headers[places[0]]
    headers[places[0]] = (name, ", ".join([*fetch.split_list(fields), value]))


def log_failure(what: str, error: Exception) -> None:
    """Log on one line *what* failed by an exception of the user's own code, and where that was raised."""
    places = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    logger.error("%s: %s at %s", what, escape_error(error), places[-1] if places else "an unknown place")


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
    # WSGI hands on each byte of a path as one character: https://peps.python.org/pep-3333/#unicode-issues
    table = {key.rstrip("/").encode().decode("latin-1"): policy for key, policy in policies.items()}
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
        corrected = "/" + normpath(f"/{key}").lstrip("/")
        hint = f"write {corrected!r}" if "%" not in key and "\\" not in key else "write it decoded, with '/'"
        raise ValueError(f"by_path: {key!r} is no plain path; {hint}")
