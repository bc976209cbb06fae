"""What `probe` asks about one request: the sections of its report, in their order.

Each section is a function. They share a `Probe`, which holds the question, the server, and what the page got.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Final, NamedTuple

from flask_preflight import fetch as words
from flask_preflight.browser import Browser, CORSError, Step
from flask_preflight.browser.checks import max_age
from flask_preflight.browser.text import shown
from flask_preflight.browser.transport import Answer
from flask_preflight.browser.urls import parse_url
from flask_preflight.commands.live.asking import (
    LiveServer,
    Outcome,
    Probe,
    Question,
    Sent,
    allow_origin,
    allows_cookies,
    ask_as_page,
)
from flask_preflight.commands.live.others import cache, stranger
from flask_preflight.commands.live.sections import Section, finding, finding_of
from flask_preflight.commands.output import CannotRun, Finding
from flask_preflight.commands.targets import Target, make_environ


class Report(NamedTuple):
    """The sections, and what was sent for the page."""

    sections: list[Section]
    sent: list[Sent]


def probe(question: Question, server: LiveServer, target: Target | None) -> Report:
    """Ask *server* as the script of a page does, and then as others do.

    :raises CannotRun: if no connection comes about, or if there is nothing that may be asked.
    """
    browser = Browser(origin=question.origin, transport=server)
    outcome = ask_as_page(browser, question)
    _check_that_something_was_asked(question, server, outcome)
    asked = Probe(question, server, outcome, tuple(browser.exchanges), target)
    sent = [*server.log]
    sections = [network(asked), preflight(asked), request(asked)]
    if target is not None:
        sections.append(who(asked, target))
    if sent and sent[-1].answer.status:
        # Other origins are tried where the redirects end.
        at_end = replace(asked, question=question._replace(url=sent[-1].url))
        sections += [*cache(at_end), stranger(at_end)]
    return Report(sections, sent)


def _check_that_something_was_asked(question: Question, server: LiveServer, outcome: Outcome) -> None:
    if outcome.error is None and not server.log:
        raise CannotRun(
            f"A simple {question.method} needs no preflight, and the request itself may change something on the server,"
            " so nothing can be asked. --send sends it."
        )
    if outcome.error is not None and server.log and server.log[0].answer.connection is None:
        raise CannotRun(f"{outcome.error.why} {outcome.error.fix}")


# ---------------------------------------------------------------------------------------
# The page's request
# ---------------------------------------------------------------------------------------


def network(probe: Probe) -> Section:
    """How the server was reached, and its ``Server`` header."""
    if not probe.server.log:
        return Section("network", "nothing was sent", is_checked=False)
    answer = probe.server.log[0].answer
    name = answer.headers.get("Server")
    parts = [*_tls(answer), f"server {shown(name)!r}" if name else "no Server header"]
    is_airplay = (name or "").startswith("AirTunes")
    found = (finding("airplay-receiver", probe.url),) if is_airplay else ()
    return Section("network", ", ".join(parts), found)


def _tls(answer: Answer) -> Iterator[str]:
    connection = answer.connection
    if connection is None or connection.certificate_until is None:
        yield "plain HTTP"
        return
    until = datetime.fromtimestamp(connection.certificate_until, timezone.utc)
    yield connection.tls.replace("TLSv", "TLS ")
    yield f"certificate until {until:%Y-%m-%d}"


def preflight(probe: Probe) -> Section:
    """What the preflight's answer grants."""
    sent, error = probe.preflight, probe.outcome.error
    if sent is None:
        is_needless = bool(probe.server.log)
        text = f"none: a simple {probe.question.method} needs none" if is_needless else "not sent"
        return Section("preflight", text, is_checked=False)
    if error is not None and error.exchange.preflight:
        return Section("preflight", _seen(sent), (finding_of(error),))
    exchange = next(exchange for exchange in probe.exchanges if exchange.preflight)
    asked = sent.headers.get(words.REQUEST_HEADERS, "").replace(",", ", ")
    granted = f"{probe.question.method} with {asked}" if asked else probe.question.method
    duration = f"for {max_age(exchange):,} s" if words.MAX_AGE in exchange.response_headers else f"for {_DEFAULT}"
    return Section("preflight", f"{_seen(sent)}; grants {granted} {duration}", tuple(_wildcard(sent)))


_DEFAULT: Final = "5 s (no Access-Control-Max-Age)"


def request(probe: Probe) -> Section:
    """What the script got of the request itself."""
    error = probe.outcome.error
    if error is not None and error.exchange.preflight:
        return Section("request", "not sent, because the preflight failed", is_checked=False)
    if error is not None:
        return _failed_request(probe, error)
    if probe.outcome.response is None:
        return Section("request", "not sent; --send sends it", is_checked=False)
    last = probe.server.log[-1]
    redirected = f", after a redirect to {shown(str(last.url))}" if probe.outcome.response.redirected else ""
    return Section("request", f"{_seen(last)}{redirected}; the page can read it", tuple(_wildcard(last)))


def _failed_request(probe: Probe, error: CORSError) -> Section:
    is_elsewhere = error.step is Step.NO_RESPONSE and parse_url(error.exchange.url).origin != probe.server.origin
    text = _seen(probe.server.log[-1]) if probe.server.log else ""
    return Section("request", text, (finding_of(error, was_sent=not is_elsewhere),))


def _seen(sent: Sent) -> str:
    answer = sent.answer
    seconds = answer.connection.seconds if answer.connection else 0
    return f"{answer.status or 'nothing'} in {seconds * 1000:.0f} ms"


def _wildcard(sent: Sent) -> Iterator[Finding]:
    if allow_origin(sent.answer) == words.WILDCARD and allows_cookies(sent.answer):
        yield finding("wildcard-with-credentials", str(sent.url), "warning")


# ---------------------------------------------------------------------------------------
# The app
# ---------------------------------------------------------------------------------------


def who(probe: Probe, target: Target) -> Section:
    """Whether the app causes a difference, or something in front of it."""
    browser = Browser(target, probe.question.origin)
    if target.policy_of(make_environ(probe.url, probe.question.method, {})) is None:
        return Section("who", "the app leaves CORS to the view", is_checked=False)
    own = ask_as_page(browser, probe.question).error
    live = probe.outcome.error
    if own is not None and live is None:
        reason = own.exchange.refusal or own.why
        return Section("who", "", (finding("wider-than-app", probe.url, detail=reason),))
    if own is None and live is None:
        return Section("who", "the app answers the same (asked in process)", is_checked=False)
    if own is not None and live is not None:
        detail = shown(own.exchange.refusal or own.why, 1000)
        return Section("who", f"the app refuses it, too (asked in process): {detail}", is_checked=False)
    return Section("who", _difference(live, browser), is_checked=False)


def _difference(live: CORSError | None, browser: Browser) -> str:
    """Something in front of the app, because the app allows what fails."""
    received = [exchange.response_headers.get(words.ALLOW_ORIGIN, "") for exchange in browser.exchanges]
    sent = next(filter(None, received), "")
    asked = f"(asked in process: {shown(sent)!r})"
    if live is not None and live.step is Step.ALLOW_ORIGIN_MULTIPLE:
        return f"the app sends one {asked}; the other is added between here and it"
    if live is not None and live.step is Step.ALLOW_ORIGIN_MISSING:
        return f"the app sends it {asked}; between here and it, it is lost, or something else answers"
    return f"the app allows it {asked}; something between here and it changes that, or another version runs there"
