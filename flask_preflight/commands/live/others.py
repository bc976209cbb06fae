"""What pages of other origins get from the server: from its caches, and with origins that are nearly allowed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from secrets import token_hex

from werkzeug.datastructures import Headers

from flask_preflight import fetch as words
from flask_preflight.browser import Exchange, Step
from flask_preflight.browser.messages import cache_hit
from flask_preflight.browser.sites import same_site
from flask_preflight.browser.text import shown
from flask_preflight.browser.transport import Answer, Transport, WSGITransport
from flask_preflight.browser.vary import AllowedOrigins
from flask_preflight.commands.live.asking import (
    Probe,
    Question,
    allow_origin,
    allows_cookies,
    ask_itself,
    ask_preflight,
)
from flask_preflight.commands.live.sections import Section, finding, is_problem
from flask_preflight.commands.near_misses import EVERYWHERE, STRANGER, near_misses
from flask_preflight.commands.output import Finding, Level
from flask_preflight.origin import parse_origin

# ---------------------------------------------------------------------------------------
# Caches
# ---------------------------------------------------------------------------------------


def cache(probe: Probe) -> Iterator[Section]:
    """Whether a cache sends one origin the answer for another. Only for GET and HEAD, which caches answer."""
    sent = probe.server.log[-1]
    if sent.method not in ("GET", "HEAD"):
        return
    other, without = (ask_itself(probe.server, probe.question, origin) for origin in (STRANGER, ""))
    answers = [("", without), (probe.question.origin, sent.answer), (STRANGER, other)]
    found = [*_shared(probe, other), *_without_vary(probe, answers)]
    yield Section("cache", "" if found else "no answer goes to an Origin for which it was not made", tuple(found))


def _shared(probe: Probe, other: Answer) -> Iterator[Finding]:
    """A stored answer that went to a page for which it was not made."""
    origin, error = probe.question.origin, probe.outcome.error
    if allow_origin(other) == origin:
        hit = cache_hit(other.headers)
        if hit or allow_origin(_ask_fresh(probe, STRANGER)) != origin:
            detail = f"{STRANGER} got the answer that was made for {origin}{hit and f' ({hit})'}"
            yield finding("cache-ignores-vary", probe.url, detail=detail)
        return
    may_be_stored = error is not None and error.step in (Step.ALLOW_ORIGIN_MISSING, Step.ALLOW_ORIGIN_MISMATCH)
    if may_be_stored and allow_origin(_ask_fresh(probe, origin)) in (origin, words.WILDCARD):
        detail = f"{origin} got an answer that was made for another page, and the right one at a URL that is new"
        yield finding("cache-ignores-vary", probe.url, detail=detail)


def _ask_fresh(probe: Probe, origin: str) -> Answer:
    """The same request at a URL that no cache can know."""
    url = probe.question.url
    query = f"{url.query}&" if url.query else ""
    fresh = url._replace(query=f"{query}flask-preflight={token_hex(8)}")
    return ask_itself(probe.server, probe.question._replace(url=fresh), origin)


def _without_vary(probe: Probe, answers: list[tuple[str, Answer]]) -> Iterator[Finding]:
    """What `VaryWarning` says of these answers."""
    seen = AllowedOrigins()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for origin, answer in answers:
            headers = Headers([(words.ORIGIN, origin)] if origin else [])
            seen.note(Exchange(False, probe.question.method, probe.url, headers, answer.status, answer.headers))
    for warning in caught:
        yield finding("vary-missing", probe.url, "warning", detail=str(warning.message))


# ---------------------------------------------------------------------------------------
# Strangers
# ---------------------------------------------------------------------------------------


def stranger(probe: Probe) -> Section:
    """Whether pages are allowed that should not be."""
    own = probe.question.origin
    asked = [origin for origin in dict.fromkeys([*EVERYWHERE, *near_misses(own)]) if origin != own]
    found: list[Finding] = []
    let_in: list[str] = []
    constant = set[str]()  # what every origin gets
    for origin in asked:
        answers = [*_ask_for(probe.server, probe.question, origin)]
        silent = next((answer for answer in answers if not answer.status), None)
        if silent is not None:
            found.append(finding("not-all-asked", probe.url, "warning", detail=silent.error))
            break
        granted = next((answer for answer in answers if allow_origin(answer) == origin), None)
        if origin == STRANGER:
            constant = {*map(allow_origin, answers)}
            if granted is not None or words.WILDCARD in constant:
                return _open_to_all(probe, granted)
        if granted is not None and origin not in constant and not _is_meant(probe, origin):
            let_in.append(origin)
            found += [_let_in("null-allowed", probe, granted)] if origin == words.NULL_ORIGIN else []
    found += _nearly(probe, [origin for origin in let_in if origin != words.NULL_ORIGIN])
    refused = f"{STRANGER}, null, near misses: all {len(asked)} are refused"
    return Section("stranger", "" if any(map(is_problem, found)) else refused, tuple(found))


def _open_to_all(probe: Probe, granted: Answer | None) -> Section:
    if granted is None:
        return Section("stranger", "public: Access-Control-Allow-Origin is *, so every page can read it")
    found = () if _is_meant(probe, STRANGER) else (_let_in("origin-reflected", probe, granted),)
    return Section("stranger", "" if found else "public: the app allows every origin", found)


def _ask_for(transport: Transport, question: Question, origin: str) -> Iterator[Answer]:
    """The answers to the request, if it changes nothing, and to its preflight, if it has one."""
    is_safe = question.method in ("GET", "HEAD")
    if is_safe:
        yield ask_itself(transport, question, origin)
    if question.headers or not is_safe:
        answer = ask_preflight(transport, question, origin)
        is_granted = answer.status in words.OK_STATUSES or not answer.status
        yield answer if is_granted else answer._replace(headers=Headers())


def _is_meant(probe: Probe, origin: str) -> bool:
    """Whether the app allows it, too."""
    if probe.target is None:
        return False
    answers = _ask_for(WSGITransport(probe.target), probe.question, origin)
    return any(allow_origin(answer) == origin for answer in answers)


def _let_in(id_: str, probe: Probe, answer: Answer) -> Finding:
    cookies = ", with cookies" if allows_cookies(answer) else ""
    return finding(id_, probe.url, "error" if cookies else "warning", cookies=cookies, detail=STRANGER)


def _nearly(probe: Probe, origins: list[str]) -> Iterator[Finding]:
    """One finding for each level. Those that no page can have are reported only if there are no others."""
    levels: dict[str, Level] = {origin: _level(probe.question.origin, origin) for origin in origins}
    for level in dict.fromkeys(levels.values()):
        if level != "note" or {*levels.values()} == {"note"}:
            listed = ", ".join(repr(shown(origin, 60)) for origin in origins if levels[origin] == level)
            yield finding(
                "loose-comparison" if level == "note" else "near-miss-allowed", probe.url, level, detail=listed
            )


def _level(own: str, origin: str) -> Level:
    """``note`` for an origin that no page can have, ``warning`` for one of the same site, ``error`` for any other."""
    parsed = parse_origin(origin)
    if parsed is None:
        return "note"
    return "warning" if same_site(own, str(parsed._replace(host=parsed.host.removesuffix(".")))) else "error"
