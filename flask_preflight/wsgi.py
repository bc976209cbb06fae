"""CORS for any WSGI app: :class:`PreflightMiddleware` answers preflights and adds headers to all else.

The protocol is decided in :mod:`~flask_preflight.engine`; here is only what PEP 3333 asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from posixpath import normpath
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from flask_preflight.answers import (
    REFUSAL,
    Answer,
    Answers,
    PolicyFinder,
    answers_of,
    is_too_long,
    prepare,
    status_line,
)
from flask_preflight.engine import Decision, Outcome, RequestFacts, negotiate
from flask_preflight.explain import debug_answer, escape, escape_error
from flask_preflight.memory import LONGEST_REMEMBERED
from flask_preflight.origin import MAX_ORIGIN_LENGTH
from flask_preflight.policy import Policy

if TYPE_CHECKING:
    from logging import Logger

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from flask_preflight.answers import Start

# Where a middleware tells those further in that it acts on this request
ACTING: Final = "flask_preflight.acting"


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
        return self._answers.find or self._answers.policy

    @policy.setter
    def policy(self, policy: Policy | PolicyFinder) -> None:
        if not isinstance(policy, Policy) and not callable(policy):
            raise TypeError(
                f"policy is {policy!r}; write a Policy, or a callable that takes an environ and returns one"
            )
        # one attribute says it all, so that whoever else swaps, what is shown is what is in force
        self._answers = answers_of(policy) if isinstance(policy, Policy) else Answers(_UNREADY, find=policy)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Every request goes this way, so it looks for ready answers by itself, with as few calls as can be.
        answers = self._answers  # read once, so that a request is never under two policies
        origin: str | None = environ.get("HTTP_ORIGIN")
        if (
            origin is not None
            and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
            and environ["REQUEST_METHOD"] == "OPTIONS"
        ):  # if another layer acts further out, it has answered this
            told = answers.otherwise
            wanted: str = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
            if len(origin) <= MAX_ORIGIN_LENGTH and len(wanted) <= LONGEST_REMEMBERED:
                named = answers.named.get(origin)
                if named is None and origin in answers.origins:
                    named = answers.name(origin)
                if named is not None and environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"] in answers.methods:
                    told = answers.told.get(wanted)
                    if told:
                        # a list of its own, since a server may change it
                        start_response(answers.status, [named, *told])
                        return []
            elif not is_too_long(origin, wanted):
                told = None
            if told is None or self.debug:
                return self._answer(answers, environ, start_response)
            start_response(_REFUSED, [*_REFUSED_HEADERS])
            return [_REFUSED_BODY]
        if ACTING in environ:
            found = _find(answers, environ)
            if found is None or self.stands_back(environ):
                return self.app(environ, start_response)
            answers = found
        start = answers.plain
        if origin and len(origin) <= MAX_ORIGIN_LENGTH:
            start = answers.starts.get(origin)
            if start is None and origin not in answers.origins:
                start = answers.plain
        if start is None:
            found = _find(answers, environ)
            if found is None:
                return self.app(environ, start_response)
            start = find_start(found, environ, origin)
        environ[ACTING] = self
        try:
            return self.app(environ, partial(start, start_response))
        finally:
            environ.pop(ACTING, None)  # whoever is asked with it next, as in a cascade, is not inside this one

    def _answer(self, answers: Answers, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a preflight whose answer was not found at once."""
        found = _find(answers, environ)
        if found is None:
            return self.app(environ, start_response)
        facts = read_facts(environ)
        answer = found.answer(facts)
        if answer is None or (self.debug and answer is REFUSAL):
            answer = answer_for(found.policy, facts, decide(found.policy, facts), debug=self.debug)
        start_response(answer.status, [*answer.headers])
        return [*answer.body]


def _find(answers: Answers, environ: WSGIEnvironment) -> Answers | None:
    find = answers.find
    if find is None:
        return answers
    found = find(environ)
    if found is not None and not isinstance(found, Policy):
        raise TypeError(f"{find!r} returned {found!r}; it must return a Policy or None")
    return None if found is None else answers_of(found)


_REFUSED, _REFUSED_HEADERS, (_REFUSED_BODY,) = REFUSAL

# Some policy under which no answer is ready, where one is still to be found
_UNREADY: Final = Policy(allow_methods="*", allow_credentials=True)


def find_start(answers: Answers, environ: WSGIEnvironment, origin: str | None) -> Start:
    """What starts the response to an actual request of *origin*, decided anew if that is not ready.

    The environ may have changed on the way, the origin has not.
    """
    ready = answers.start_for(origin)
    return ready or answers.starting_with(decide(answers.policy, read_facts(environ)._replace(origin=origin)).headers)


def read_facts(environ: WSGIEnvironment) -> RequestFacts:
    """The four things of a request that CORS is about."""
    get = environ.get
    method, headers = get("HTTP_ACCESS_CONTROL_REQUEST_METHOD"), get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
    return RequestFacts(get("REQUEST_METHOD", ""), get("HTTP_ORIGIN"), method, headers, environ)


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
