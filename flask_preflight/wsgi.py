"""CORS for any WSGI app: :class:`PreflightMiddleware` answers preflights and adds headers to all else.

The protocol is decided in :mod:`~flask_preflight.engine`; here is only what PEP 3333 asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from posixpath import normpath
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakSet

from flask_preflight import fetch
from flask_preflight.answers import REFUSAL, Answer, Answers, answers_of, prepare, status_line, vary_too
from flask_preflight.engine import Decision, HeaderList, Outcome, RequestFacts, negotiate
from flask_preflight.explain import debug_answer, escape, escape_error
from flask_preflight.policy import Policy

if TYPE_CHECKING:
    from logging import Logger

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PolicyFinder: TypeAlias = "Callable[[WSGIEnvironment], Policy | None]"

# Where a middleware tells those further in that it acts on this request
ACTING: Final = "flask_preflight.acting"

WANTED_METHOD: Final = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"
WANTED_HEADERS: Final = "HTTP_ACCESS_CONTROL_REQUEST_HEADERS"

_OWNED_PREFIX: Final = "access-control-"
_EXPOSE_HEADERS: Final = fetch.EXPOSE_HEADERS.lower()

# What most responses consist of, and nothing of CORS
_COMMON: Final = frozenset(
    {
        "Cache-Control",
        "Content-Disposition",
        "Content-Encoding",
        "Content-Language",
        "Content-Length",
        "Content-Type",
        "Date",
        "ETag",
        "Expires",
        "Last-Modified",
        "Location",
        "Server",
        "Set-Cookie",
        "WWW-Authenticate",
    }
)


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
            log().warning("%r stands inside %r, which acts on the same requests: drop one of the two", self, outer)
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
        self.debug = debug
        self.policy = policy

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
        self._answers = answers_of(policy) if isinstance(policy, Policy) else None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Every request goes this way, so here are as few calls as can be.
        answers = self._answers or self._find(environ)  # read once, so that a request is never under two policies
        if answers is None:
            return self.app(environ, start_response)
        if WANTED_METHOD in environ and environ["REQUEST_METHOD"] == "OPTIONS":
            origin: str | None = environ.get("HTTP_ORIGIN")
            if origin is not None:  # if another layer acts further out, it has answered this
                told = answers.tell(origin, environ[WANTED_METHOD], environ.get(WANTED_HEADERS, ""))
                if told:
                    start_response(answers.status, [(fetch.ALLOW_ORIGIN, answers.everyone or origin), *told])
                    return []
                answer = REFUSAL
                if told is None or self.debug:
                    facts = read_facts(environ)
                    answer = answer_for(answers.policy, facts, decide(answers.policy, facts), debug=self.debug)
                start_response(answer.status, [*answer.headers])  # lists of their own, since a server may change them
                return [*answer.body]
        if ACTING in environ and self.stands_back(environ):
            return self.app(environ, start_response)
        if answers.ready:
            added = answers.headers_for(environ.get("HTTP_ORIGIN"))
        else:
            added = decide_anew(answers, environ)
        environ[ACTING] = self
        try:
            return self.app(environ, decorating(start_response, answers, added))
        finally:
            environ.pop(ACTING, None)  # whoever is asked with it next, as in a cascade, is not inside this one

    def _find(self, environ: WSGIEnvironment) -> Answers | None:
        find = self._policy
        found = find(environ) if not isinstance(find, Policy) else find
        if found is None:
            return None
        if not isinstance(found, Policy):
            raise TypeError(f"{find!r} returned {found!r}; it must return a Policy or None")
        return answers_of(found)


def read_facts(environ: WSGIEnvironment) -> RequestFacts:
    """The four things of a request that CORS is about."""
    get = environ.get
    return RequestFacts(get("REQUEST_METHOD", ""), get("HTTP_ORIGIN"), get(WANTED_METHOD), get(WANTED_HEADERS), environ)


def decide(policy: Policy, facts: RequestFacts) -> Decision:
    """Negotiate, and log what a callable has raised."""
    decision = negotiate(policy, facts)
    if decision.error is not None:
        log_failure(
            f"allow_origins failed for the origin {escape(facts.origin or '')}, which is refused", decision.error
        )
    return decision


def answer_for(policy: Policy, facts: RequestFacts, decision: Decision, *, debug: bool) -> Answer:
    """The answer to a preflight that says *decision*."""
    if decision.outcome is Outcome.PREFLIGHT_GRANTED:
        return prepare(status_line(policy.preflight_status), decision.headers)
    if not debug:
        return REFUSAL
    status, headers, text = debug_answer(policy, facts, decision)
    return prepare(status_line(status), headers, text)


def decide_anew(answers: Answers, environ: WSGIEnvironment) -> HeaderList:
    """What a response to an actual request says, beside ``Vary``, where answers are not ready."""
    headers = decide(answers.policy, read_facts(environ)).headers
    return tuple(header for header in headers if header not in answers.vary)


def decorating(start_response: StartResponse, answers: Answers, added: HeaderList) -> StartResponse:
    """*start_response* for the app, so that whatever it answers carries the headers *added*, and the ``Vary``."""

    def decorated(
        status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        whole = decorate(headers, answers, added)
        return start_response(status, whole) if exc_info is None else start_response(status, whole, exc_info)

    return decorated


def decorate(headers: list[tuple[str, str]], answers: Answers, added: HeaderList) -> list[tuple[str, str]]:
    """A new list of the app's *headers* and of what is *added*: as `add_headers`, with less work where there is less."""
    vary: tuple[str, str] | None = None
    for header in headers:
        if header[0] not in _COMMON and header[0][:1] in "AaVv":  # Access-Control-* or Vary, perhaps
            if vary is not None or header[0] != fetch.VARY or not answers.vary:
                return add_headers(headers, (*added, *answers.vary))
            vary = header
    if vary is None:
        return [*headers, *added, *answers.vary]
    whole = [*headers, *added]
    whole[headers.index(vary)] = answers.varied[vary[1]]
    return whole


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


def _merge_vary(headers: list[tuple[str, str]], added: str) -> None:
    places = [index for index, header in enumerate(headers) if header[0].lower() == "vary"]
    if not places:
        headers.append((fetch.VARY, added))
    elif all(vary_too(headers[index][1], added) != headers[index][1] for index in places):  # so none names it already
        name, fields = headers[places[0]]
        headers[places[0]] = (name, vary_too(fields, added))


def log() -> Logger:
    """The logger of this package. :mod:`logging` takes longer to import than all else here."""
    import logging

    return logging.getLogger("flask_preflight")


def log_failure(what: str, error: Exception) -> None:
    """Log on one line *what* failed by an exception of the user's own code, and where that was raised."""
    import traceback

    places = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    log().error("%s: %s at %s", what, escape_error(error), places[-1] if places else "an unknown place")


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
