"""How a live server is asked: as a page's script, by the tests' browser, or with an ``Origin`` that no browser sends.

Only the server of the URL gets requests. A request that may change something is sent only if the user says so.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from werkzeug.datastructures import Headers

from flask_preflight import __version__
from flask_preflight import fetch as words
from flask_preflight.browser import Browser, CORSError, Exchange, LiveTransport, Response, VaryWarning
from flask_preflight.browser.records import Credentials
from flask_preflight.browser.text import shown
from flask_preflight.browser.transport import Answer, Transport
from flask_preflight.browser.urls import HTTP_SCHEMES, URL, checked_origin, parse_url
from flask_preflight.commands.output import CannotRun
from flask_preflight.commands.targets import Target
from flask_preflight.engine import Reason
from flask_preflight.explain import REFUSED_HEADER


class Question(NamedTuple):
    """What the script of a page on *origin* asks for. *headers* are names, *cookies* is ``credentials: "include"``."""

    url: URL
    origin: str
    method: str
    headers: tuple[str, ...] = ()
    cookies: bool = False

    def script_headers(self) -> dict[str, str]:
        """The headers with a value each, of which none is safelisted if the name can be asked for."""
        return {name: _VALUES.get(name.lower(), "probe") for name in self.headers}


_VALUES: Final = {"content-type": "application/json"}


def question_of(target: URL, origin: str, method: str, headers: tuple[str, ...], *, cookies: bool) -> Question:
    """:raises CannotRun: if no page can ask for it."""
    try:
        checked_origin(origin)
    except ValueError as error:
        raise CannotRun(f"{error}.") from error
    if not words.is_token(method) or words.is_forbidden_method(method):
        raise CannotRun(f"--method {shown(method)}: no script can send this method.")
    if target.origin == origin:
        raise CannotRun(f"{target} is of the page's own origin, {origin}, so CORS does not apply.")
    return Question(target, origin, words.normalize_method(method), headers, cookies)


def target_url(text: str) -> URL:
    """:raises CannotRun: if *text* is no URL of a server."""
    try:
        url = parse_url(text)
    except ValueError as error:
        raise CannotRun(f"{error}.") from error
    if url.scheme not in HTTP_SCHEMES:
        name = shown(text)
        better = "it as in https://api.example.com/notes" if "://" in text else f"http://{name} or https://{name}"
        raise CannotRun(f"{name} is neither http: nor https:. Write {better}")
    if url.has_credentials:
        raise CannotRun("The URL has a user name or a password, which fetch() refuses. Leave them out.")
    return url._replace(fragment=None)


# ---------------------------------------------------------------------------------------
# The server
# ---------------------------------------------------------------------------------------


class Sent(NamedTuple):
    """A request that was sent, and its answer."""

    url: URL
    method: str
    headers: Headers
    answer: Answer
    began: datetime

    @property
    def is_preflight(self) -> bool:
        return is_preflight(self.method, self.headers)


class NotSentError(Exception):
    """The request itself comes next, and it might change something on the server."""


def live_transport(origin: str, *, ca_file: Path | None, timeout: float) -> Transport:
    """:raises CannotRun: if *ca_file* or *timeout* is wrong."""
    try:
        return LiveTransport(origin, ca_file=ca_file, timeout=timeout)
    except ValueError as error:
        text = str(error).replace("ca_file", "--cacert").replace("timeout", "--timeout")
        raise CannotRun(f"{text}.") from error


class LiveServer:
    """A transport for `Browser`: the server of *origin*, and a log of all that was sent there.

    *seconds*: how long all requests may take together. What comes after that is not sent. *sends*: whether requests
    that may change something are sent, too.
    """

    def __init__(self, origin: str, transport: Transport, *, seconds: float, sends: bool = False) -> None:
        self.origin = origin
        self.sends = sends
        self.log: list[Sent] = []
        self._transport = transport
        self._until = monotonic() + seconds

    def send(self, url: URL, method: str, headers: Headers, body: bytes | None) -> Answer:
        if url.origin != self.origin:
            change = f"Probe it, too: flask preflight probe {shown(str(url))}"
            return Answer(0, Headers(), b"", f"{url.origin} was not asked, because only {self.origin} is", change)
        if not (self.sends or method in ("GET", "HEAD") or is_preflight(method, headers)):
            raise NotSentError
        if monotonic() > self._until:
            return Answer(
                0, Headers(), b"", "the time is over, since the server answers slowly", "Give it more: --timeout"
            )
        began = datetime.now(timezone.utc)
        answer = _as_told(self._transport.send(url, method, headers, body))
        self.log.append(Sent(url, method, headers, answer, began))
        return answer


def is_preflight(method: str, headers: Headers) -> bool:
    return method == "OPTIONS" and words.REQUEST_METHOD in headers


_REASONS: Final = {reason.value for reason in Reason}

# The transport's advice is for Python; this is for the shell
_IN_THE_SHELL: Final = {
    "LiveTransport(..., ca_file='ca.pem')": "--cacert ca.pem",
    "LiveTransport(..., timeout=60)": "--timeout 60",
}


def _as_told(answer: Answer) -> Answer:
    """*answer* with the reason that a server in debug mode sends, and with advice for the shell."""
    refusal = answer.headers.get(REFUSED_HEADER, "")
    change = answer.change
    for python, shell in _IN_THE_SHELL.items():
        change = change.replace(python, shell)
    return answer._replace(refusal=refusal if refusal.partition(";")[0] in _REASONS else "", change=change)


# ---------------------------------------------------------------------------------------
# As the script of a page
# ---------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What the script got: *response*, or nothing because of *error*. Neither: the request was not sent."""

    response: Response | None
    error: CORSError | None


def ask_as_page(browser: Browser, question: Question) -> Outcome:
    """Let the script of a page ask."""
    credentials: Credentials = "include" if question.cookies else "omit"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VaryWarning)  # others.py looks for it
            response = browser.fetch(str(question.url), question.method, question.script_headers(), credentials)
    except CORSError as error:
        return Outcome(None, error)
    except NotSentError:
        return Outcome(None, None)
    return Outcome(response, None)


# ---------------------------------------------------------------------------------------
# As no browser asks: with any Origin, and with none
# ---------------------------------------------------------------------------------------


def ask_preflight(transport: Transport, question: Question, origin: str) -> Answer:
    """The answer to the preflight of *question*, if it came from *origin*."""
    names = ",".join(sorted({name.lower() for name in question.headers}))
    announced = [(words.REQUEST_METHOD, question.method), *([(words.REQUEST_HEADERS, names)] if names else [])]
    return _ask(transport, question.url, "OPTIONS", [(words.ORIGIN, origin), *announced])


def ask_itself(transport: Transport, question: Question, origin: str) -> Answer:
    """The answer to the request of *question*, if it came from *origin*, or without ``Origin`` if that is empty."""
    named = [(words.ORIGIN, origin)] if origin else []
    return _ask(transport, question.url, question.method, [*question.script_headers().items(), *named])


def _ask(transport: Transport, url: URL, method: str, headers: list[tuple[str, str]]) -> Answer:
    agent = ("User-Agent", f"flask-preflight/{__version__}")
    return transport.send(url, method, Headers([*headers, ("Accept", "*/*"), agent]), None)


def allow_origin(answer: Answer) -> str:
    """``Access-Control-Allow-Origin``, as browsers join it; ``""`` if it is absent."""
    return ", ".join(answer.headers.getlist(words.ALLOW_ORIGIN))


def allows_cookies(answer: Answer) -> bool:
    return answer.headers.get(words.ALLOW_CREDENTIALS) == "true"


# ---------------------------------------------------------------------------------------
# What is known
# ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    """One question, and the results. *target* is the app, if there is one."""

    question: Question
    server: LiveServer
    outcome: Outcome
    exchanges: tuple[Exchange, ...]
    target: Target | None

    @property
    def url(self) -> str:
        return str(self.question.url)

    @property
    def preflight(self) -> Sent | None:
        return next((sent for sent in self.server.log if sent.is_preflight), None)
