"""Whether a live server answers preflights as the app does in this process: the questions of `probe` without a page.

A server in front of the app that answers preflights itself may have an older policy, or compare origins incorrectly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

from flask_preflight import fetch as words
from flask_preflight.browser import CORSError, Exchange
from flask_preflight.browser.checks import max_age, preflight_check
from flask_preflight.browser.records import Page, Request
from flask_preflight.browser.transport import Answer, WSGITransport
from flask_preflight.browser.urls import URL, parse_url
from flask_preflight.commands.live.asking import LiveServer, Question, ask_preflight
from flask_preflight.commands.live.sections import Section, finding
from flask_preflight.commands.near_misses import STRANGER, near_misses
from flask_preflight.commands.output import CannotRun, Finding
from flask_preflight.commands.samples import sample_origin
from flask_preflight.commands.targets import ANY_METHOD, BASE_URL, Route, Target
from flask_preflight.origin import Origins
from flask_preflight.policy import Policy

_MOST_POLICIES: Final = 100
_MOST_OF_A_FIELD: Final = 8
_MOST_WITH_NEAR_MISSES: Final = 2


def drift(base: URL, server: LiveServer, target: Target) -> list[Section]:
    """A section for each policy of *target*, whose routes are below *base* on the server.

    :raises CannotRun: if the server cannot be reached, or if there is no policy to ask about.
    """
    routes = [*_one_for_each_policy(target.routes())]
    here = _of_one_host(routes, base.host, parse_url(getattr(target, "base_url", BASE_URL)).host)
    if not here:
        raise CannotRun("No route has both a policy and an example URL, so there is nothing to compare.")
    sections = [_compare(base, server, target, route) for route in here[:_MOST_POLICIES]]
    others = len(routes) - len(sections)
    if others:
        text = f"{others} of the app's {len(routes)} policies are for other hosts, or more than {_MOST_POLICIES}"
        sections.append(Section("policy", "", (finding("not-all-asked", str(base), "warning", detail=text),)))
    return sections


def _one_for_each_policy(routes: Iterable[Route]) -> Iterator[Route]:
    """The first route of each policy, and of each host where routes go by hosts."""
    seen = set[tuple[str, Policy]]()
    for route in routes:
        if route.policy is not None and route.url and (key := (parse_url(route.url).host, route.policy)) not in seen:
            seen.add(key)
            yield route


def _of_one_host(routes: list[Route], *hosts: str) -> list[Route]:
    """The routes of the first of *hosts* that has any."""
    found = ([route for route in routes if parse_url(route.url).host == host] for host in hosts)
    return next(filter(None, found), [])


# ---------------------------------------------------------------------------------------
# The questions
# ---------------------------------------------------------------------------------------


def questions_of(policy: Policy, url: URL, method: str) -> list[Question]:
    """At most about a hundred: each kind of origin, method and header, and what is nearly allowed."""
    listed = policy.allow_origins if isinstance(policy.allow_origins, Origins) else ()
    origins = [sample_origin(text) for text in listed[:_MOST_OF_A_FIELD]]
    page = origins[0] if origins else STRANGER
    near = [miss for origin in origins[:_MOST_WITH_NEAR_MISSES] for miss in near_misses(origin)]
    names = [name.lower() for name in policy.headers[:_MOST_OF_A_FIELD] if name != words.WILDCARD]
    methods = [*policy.methods[:_MOST_OF_A_FIELD], *ANY_METHOD, "PROPFIND", "patch"]
    each = [(name,) for name in [*names, "authorization", "content-type", "x-not-listed"]]
    cookies = policy.allow_credentials
    questions = [
        *(Question(url, origin, method, (), cookies) for origin in [*origins, STRANGER, words.NULL_ORIGIN, *near]),
        *(Question(url, page, wanted, (), cookies) for wanted in methods),
        *(Question(url, page, method, headers, cookies) for headers in [*each, tuple(names)]),
    ]
    return [*dict.fromkeys(questions)]


# ---------------------------------------------------------------------------------------
# The comparison
# ---------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """*header* is the first that differs, or ``""`` if one of the two refuses. The values are the readings'."""

    question: Question
    header: str
    live: str
    app: str

    @property
    def id(self) -> str:
        if self.header:
            return "grants-differ"
        return "grants-more" if self.live else "grants-less"


def _compare(base: URL, server: LiveServer, target: Target, route: Route) -> Section:
    own = parse_url(route.url)
    url = own._replace(scheme=base.scheme, host=base.host, port=base.port, path=f"{base.path.rstrip('/')}{own.path}")
    questions = questions_of(route.policy or Policy(), url, route.method)
    differences: list[Difference] = []
    for question in questions:
        live = ask_preflight(server, question, question.origin)
        if not any(sent.answer.connection for sent in server.log):
            raise CannotRun(f"No response: {live.error}. {live.change}")
        if not live.status:
            silent = finding("not-all-asked", str(url), "warning", detail=live.error)
            return _section(route, questions, differences, [silent])
        app = ask_preflight(WSGITransport(target), question._replace(url=own), question.origin)
        differences += _differences(question, read_grant(question, live), read_grant(question, app))
    return _section(route, questions, differences, [])


def read_grant(question: Question, answer: Answer) -> dict[str, str]:
    """What a browser makes of the answer to a preflight, by header; nothing if it is refused."""
    exchange = Exchange(True, "OPTIONS", str(question.url), Headers(), answer.status, answer.headers)
    try:
        methods, names = preflight_check(_as_request(question), exchange)
    except CORSError:
        return {}
    varies = {item.lower() for line in answer.headers.getlist(words.VARY) for item in words.split_list(line)}
    return {
        words.ALLOW_ORIGIN: answer.headers.get(words.ALLOW_ORIGIN, ""),
        words.ALLOW_CREDENTIALS: answer.headers.get(words.ALLOW_CREDENTIALS, ""),
        words.ALLOW_METHODS: ", ".join(sorted({*methods})),
        words.ALLOW_HEADERS: ", ".join(sorted({name.lower() for name in names})),
        words.MAX_AGE: str(max_age(exchange)),
        words.VARY: ", ".join(sorted({"origin", "*"} & varies)),
    }


def _as_request(question: Question) -> Request:
    """The request, also if its origin is one that no browser has."""
    return Request(
        page=Page(question.origin, None, "no-referrer"),
        urls=[question.url],
        method=question.method,
        headers=[*question.script_headers().items()],
        credentials="include" if question.cookies else "omit",
        redirect="follow",
        tainting="cors",
    )


def _differences(question: Question, live: dict[str, str], app: dict[str, str]) -> Iterator[Difference]:
    if bool(live) != bool(app):
        yield Difference(question, "", "granted" if live else "", "granted" if app else "")
        return
    for name, value in app.items():
        if live[name] != value:
            yield Difference(question, name, live[name], value)
            return


def _section(route: Route, questions: list[Question], differences: list[Difference], others: list[Finding]) -> Section:
    name = urlsplit(route.url).path
    found = [*_findings(questions, differences), *others]
    text = "" if found else f"{name}: {len(questions)} questions, same for browsers"
    return Section("policy", text, tuple(found))


def _findings(questions: list[Question], differences: list[Difference]) -> Iterator[Finding]:
    """One for each kind, with the first question that shows it."""
    for id_ in dict.fromkeys(difference.id for difference in differences):
        of_kind = [difference for difference in differences if difference.id == id_]
        first = of_kind[0]
        yield finding(
            id_,
            str(first.question.url),
            "warning" if id_ == "grants-differ" else "error",
            count=f"{len(of_kind)} of {len(questions)} questions",
            detail=_sentence(first.question),
            header=first.header,
            live=first.live,
            app=first.app,
        )


def _sentence(question: Question) -> str:
    headers = f" with {', '.join(question.headers)}" if question.headers else ""
    return f"{question.method} {question.url}{headers} from {question.origin}"
