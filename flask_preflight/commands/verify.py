"""``verify``: what is wrong with the policies of an app, and what is a risk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import click
from flask import Flask

from flask_preflight import fetch
from flask_preflight.commands.app import make_target
from flask_preflight.commands.near_misses import EVERYWHERE, STRANGER, hints_of, near_misses
from flask_preflight.commands.output import (
    Finding,
    Level,
    echo,
    echo_json,
    format_option,
    plural,
    printable,
    relative,
    style,
    wrap,
)
from flask_preflight.commands.reports import echo_findings
from flask_preflight.commands.samples import sample_origin
from flask_preflight.commands.targets import (
    BASE_URL,
    NO_ROUTE,
    FlaskTarget,
    Route,
    Target,
    make_environ,
    preflight_environ,
)
from flask_preflight.documentation import link
from flask_preflight.engine import RequestFacts
from flask_preflight.explain import describe_error
from flask_preflight.fetch import ALLOW_ORIGIN
from flask_preflight.origin import Origins, parse_origin, parse_pattern
from flask_preflight.policy import FIELDS, Policy
from flask_preflight.problems import PolicyError, Problem

# https://chromium.googlesource.com/chromium/src/+/main/services/network/public/cpp/cors/: Chromium keeps none longer.
_LONG_MAX_AGE: Final = 7200


class Verified(NamedTuple):
    """What was found, and how many questions were asked about how many views."""

    findings: list[Finding]
    questions: int
    views: int


class Risk(NamedTuple):
    """A value of a policy that is valid, and may do harm."""

    id: str
    field: str
    text: str


# ---------------------------------------------------------------------------------------
# Risks of a policy
# ---------------------------------------------------------------------------------------


def risks_of(policy: Policy, *, debug: bool) -> Iterator[Risk]:
    """The risks of *policy*. *debug* is whether it is used for development only."""
    listed = [*policy.allow_origins] if isinstance(policy.allow_origins, Origins) else []
    yield from _risks_of_origins(policy, listed, debug=debug)
    if policy.allow_credentials and isinstance(policy.max_age, int) and policy.max_age > _LONG_MAX_AGE:
        text = (
            f"max_age={policy.max_age} with cookies: after a change of the policy, browsers may use the old answer"
            f" for {policy.max_age} s. Write {_LONG_MAX_AGE} or less"
        )
        yield Risk("long-max-age", "max_age", text)
    if policy.allows_any_header and any(policy.allows_header(name) for name in fetch.NON_WILDCARD_REQUEST_HEADERS):
        text = "'*' beside 'Authorization': pages may send any header, also tokens. List the headers that they need"
        yield Risk("any-header-and-authorization", "allow_headers", text)
    for field in FIELDS:
        if field.startswith("dangerously_") and getattr(policy, field):
            yield Risk("dangerous-flag", field, f"{field} is in force: {_DANGERS[field]}")


_DANGERS: Final = {
    "dangerously_allow_insecure_origins": "whoever is on the network path of a user can act as that user",
    "dangerously_allow_public_suffix_subdomains": "everyone who has a page below that suffix can act as the user",
    "dangerously_allow_null_origin": "every website can read the responses, from a sandboxed frame",
}


def _risks_of_origins(policy: Policy, listed: list[str], *, debug: bool) -> Iterator[Risk]:
    has_https = any(value.startswith("https://") for value in listed)
    for value in listed:
        pattern = parse_pattern(value)
        origin = pattern.origin if pattern else parse_origin(value)
        if policy.allow_credentials and pattern is not None and pattern.subdomains:
            text = f"{value!r} with cookies: every subdomain, also a forgotten one, acts as your user"
            yield Risk("credentials-for-subdomains", "allow_origins", text)
        if origin is None:
            continue
        if origin.is_loopback:
            if not debug:
                text = f"{value!r} while debug is off: any program on a user's machine can serve such a page"
                yield Risk("localhost-in-production", "allow_origins", text)
        elif origin.scheme == "http" and has_https:
            text = f"{value!r} beside https: origins: whoever is on the network path can change that page"
            yield Risk("insecure-origin", "allow_origins", text)


# ---------------------------------------------------------------------------------------
# Strangers
# ---------------------------------------------------------------------------------------


def strangers_for(policy: Policy, host: str) -> list[str]:
    """Origins that *policy* should not allow, made from what it lists or, for a callable, from the hosts in its code.

    *host* is the app's own.
    """
    allowed = policy.allow_origins
    if isinstance(allowed, Origins):
        known = [sample_origin(value) for value in [*allowed][:_MOST_LISTED]] or [f"https://{host}"]
        meant = [origin for origin in allowed if "*" not in origin]
        may_be_meant: Callable[[str], bool] = allowed.match
    else:
        hints = hints_of(allowed)
        known = [*hints.origins[:_MOST_LISTED], *(f"https://{name}" for name in hints.hosts)] or [f"https://{host}"]
        meant = [*known, *hints.origins]
        may_be_meant = _below(hints.hosts)
    excluded = frozenset(meant)
    asked = dict.fromkeys((*EVERYWHERE, *(miss for origin in known for miss in near_misses(origin))))
    return [origin for origin in asked if origin not in excluded and not may_be_meant(origin)]


_MOST_LISTED: Final = 20


def _below(hosts: list[str]) -> Callable[[str], bool]:
    """Whether an origin is a subdomain of a host, which a callable may allow on purpose."""

    def is_below(origin: str) -> bool:
        parsed = parse_origin(origin)
        return parsed is not None and any(parsed.host.endswith(f".{name}") for name in hosts)

    return is_below


class Asked(NamedTuple):
    """The result for strangers: which ones may read responses, and what a callable raised."""

    inside: list[str]
    error: Exception | None = None


def ask_about(target: Target, policy: Policy, strangers: list[str], urls: Iterable[str]) -> Asked:
    """Whether *strangers* may read the responses at *urls* under *policy*. A callable may look at the request."""
    inside: dict[str, None] = {}
    error: Exception | None = None
    for url in urls:
        environ = make_environ(url, "GET", {})
        for origin in strangers:
            facts = RequestFacts("GET", origin, environ={**environ, "HTTP_ORIGIN": origin})
            decision = target.layer.negotiate(policy, facts)
            error = error or decision.error
            if dict(decision.headers).get(ALLOW_ORIGIN) == origin:
                inside.setdefault(origin)
    return Asked([*inside], error)


# ---------------------------------------------------------------------------------------
# Other libraries
# ---------------------------------------------------------------------------------------


def headers_of_others(app: Any, url: str, method: str = "GET") -> list[str]:
    """The CORS headers that *app* sends by itself, to a page on `STRANGER` that asks for a URL without route."""
    sent: list[str] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        sent.extend(f"{name}: {value}" for name, value in headers if name.lower().startswith("access-control-"))
        return lambda data: None

    try:
        body = app(make_environ(url, method, {"Origin": STRANGER}), start)
        list(body)
        getattr(body, "close", lambda: None)()
    except Exception:  # noqa: BLE001 - what the app raises says nothing about CORS
        return []
    return sent


# A route for every URL usually does not have every method.
_RARE_LAST: Final = ("GET", "POST", "PUT", "PURGE")


def _other_libraries(target: FlaskTarget) -> Iterator[Finding]:
    url = f"{target.base_url}/no/such/route"
    methods = (method for method in _RARE_LAST if target.route(preflight_environ(url, method), method).rule == NO_ROUTE)
    method = next(methods, None)
    if method is None:  # a view would run
        return

    def without_preflight(environ: Any, start_response: Any) -> Any:
        return Flask.wsgi_app(target.flask, environ, start_response)

    # The second contains what `target` sends by the policy alone.
    for sent, due, text in (
        (
            headers_of_others(without_preflight, url, method),
            [],
            "Something inside the app sets CORS headers, too ({}).",
        ),
        (
            headers_of_others(target.app, url, method),
            headers_of_others(target, url, method),
            "Middleware around the app sets {}.",
        ),
    ):
        others = [header for header in sent if header not in due] or sent[len(due) :]
        if others:
            advice = (
                "Remove it: a CORS library, an after_request function, or middleware. Preflight sends these headers."
            )
            message = f"{text.format(others[0])} {advice}"
            page = _page("second-cors-library")
            yield Finding("second-cors-library", "warning", _place_of_app(target), message, page)
            return


def _exempt_with_headers(target: FlaskTarget, routes: Iterable[Route]) -> Iterator[Finding]:
    """Exempt views that send CORS headers of their own. They get a preflight, as they would from a browser."""
    for route in routes:
        if route.policy is None and route.url:
            sent = _preflight_headers(target, route)
            if sent:
                text = f"{route.endpoint} is exempt, and sends {sent[0]}: check its rules by hand, or use cors_route."
                yield Finding("exempt-sends-cors", "warning", route.where, text, _page("exempt-sends-cors"))


def _preflight_headers(target: FlaskTarget, route: Route) -> list[str]:
    def preflighted(environ: Any, start_response: Any) -> Any:
        return target.app(preflight_environ(route.url, route.method, STRANGER), start_response)

    return headers_of_others(preflighted, route.url)


# ---------------------------------------------------------------------------------------
# All of it
# ---------------------------------------------------------------------------------------


def verify(target: Target) -> Verified:
    """What is wrong with *target*, and what is a risk. No view runs, but for ``OPTIONS`` of exempt ones."""
    routes = [*target.routes()]
    if isinstance(target, FlaskTarget):
        routes += target.no_route()
    findings = [*_risk_findings(routes, debug=target.layer.debug)]
    strangers, questions = _stranger_findings(target, routes)
    findings += strangers
    if isinstance(target, FlaskTarget):
        findings += [*_warned(target), *_other_libraries(target), *_exempt_with_headers(target, routes)]
    views = {(route.endpoint, route.rule) for route in routes if route.policy is not None}
    return Verified(sorted(findings, key=_order), questions, len(views))


_LEVELS: Final[tuple[Level, ...]] = ("error", "warning", "note")


def _order(finding: Finding) -> tuple[int, str, str]:
    return _LEVELS.index(finding.level), finding.where, finding.id


def _risk_findings(routes: Iterable[Route], *, debug: bool) -> Iterator[Finding]:
    """The risks of all policies, each once for the place where its value is written."""
    views: dict[Finding, set[str]] = {}
    risks: dict[Policy, list[Risk]] = {}
    for route in routes:
        policy = route.policy and (route.policy.broad or route.policy)
        if policy is not None and policy not in risks:
            risks[policy] = [*risks_of(policy, debug=debug)]
        for risk in risks[policy] if policy else ():
            finding = Finding(risk.id, "warning", _where(route, risk.field), risk.text, _page(risk.id))
            views.setdefault(finding, set()).add(route.rule)
    for finding, rules in views.items():
        count = f", on {plural(len(rules), 'route')}" if len(rules) > 1 else f", on {min(rules)}"
        yield finding._replace(message=f"{finding.message}{count}.")


def _page(id_: str) -> str:
    return link("commands/verify", id_)


def _where(route: Route, field: str) -> str:
    """``file:line`` of what sets *field*, or how it is called."""
    key, where = route.place.setting_of(field)
    _, at, place = where.rpartition(" at ")
    return place if at else f"{key} in {where}" if key != field else where


def _stranger_findings(target: Target, routes: Iterable[Route]) -> tuple[list[Finding], int]:
    asked: dict[Policy, list[Route]] = {}
    for route in routes:
        policy = route.policy and (route.policy.broad or route.policy)
        if policy is not None and not policy.allows_any_origin:
            asked.setdefault(policy, []).append(route)
    found: list[Finding] = []
    questions = 0
    for policy, judged in asked.items():
        urls = [*dict.fromkeys(route.url for route in judged if route.url)] or [BASE_URL]
        strangers = strangers_for(policy, urls[0].partition("://")[2].partition("/")[0])
        questions += len(strangers) * len(judged)
        # a list says the same everywhere
        answers = ask_about(target, policy, strangers, urls if callable(policy.allow_origins) else urls[:1])
        found += _stranger_finding(answers, policy, _where(judged[0], "allow_origins"))
    return found, questions


def _stranger_finding(answers: Asked, policy: Policy, where: str) -> Iterator[Finding]:
    name = getattr(policy.allow_origins, "__qualname__", type(policy.allow_origins).__qualname__)
    if answers.inside:
        text = (
            f"The callable {name} in allow_origins allows {plural(len(answers.inside), 'origin')} that it should not,"
            f" such as {answers.inside[0]!r}. Compare whole origins: return origin in {{'https://app.example.com'}}"
        )
        yield Finding("stranger-allowed", "error", where, text, _page("stranger-allowed"))
    elif answers.error is not None:
        text = f"The callable {name} in allow_origins raised {describe_error(answers.error)}, so it was not checked"
        yield Finding("callable-not-checked", "warning", where, text, _page("callable-not-checked"))


def _place_of_app(target: FlaskTarget) -> str:
    """Where the app-wide policy is written, or else the name of the module."""
    _, at, place = target.state.setting_of("allow_origins")[1].rpartition(" at ")
    return place if at else target.flask.import_name


def _warned(target: FlaskTarget) -> Iterator[Finding]:
    for warning in [*target.state.check(), *target.state.unread_variables()]:
        place = relative(warning.place) if warning.place else _place_of_app(target)
        yield Finding(warning.id, "warning", place, warning.text, _page(warning.id))


def problem_findings(error: PolicyError) -> list[Finding]:
    """The problems of policies as findings."""
    return [_problem_finding(problem) for problem in error.problems]


def _problem_finding(problem: Problem) -> Finding:
    _, at, place = problem.where.rpartition(" at ")
    text = str(problem._replace(where="")).removesuffix(f" [{problem.id}]")  # the finding has it
    return Finding(problem.id, "error", relative(place) if at else problem.where, text, link("problems", problem.id))


# ---------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------


_COLOURS: Final = {"error": "red", "warning": "yellow", "note": None}


def text_of(found: Verified) -> Iterator[str]:
    for finding in found.findings:
        yield f"{printable(finding.where)}  {style(finding.level, bold=True, fg=_COLOURS[finding.level])}  {finding.id}"
        yield from wrap(finding.message, indent=4)
    if found.views:
        yield from wrap(
            f"{found.questions:,} questions about {plural(found.views, 'view')}, as the scanners CORScanner, Corsy,"
            f" nuclei and ZAP ask them: {_strangers(found)}.",
            indent=0,
        )
    elif any(finding.level == "error" for finding in found.findings):
        yield "The policies are not valid, so nothing else was checked. Run it again after the change."
    counts = [sum(finding.level == level for finding in found.findings) for level in _LEVELS[:2]]
    yield ", ".join(plural(count, level) for count, level in zip(counts, _LEVELS, strict=False)) + "."


def _strangers(found: Verified) -> str:
    inside = sum(finding.id == "stranger-allowed" for finding in found.findings)
    return (
        f"strangers got in at {plural(inside, 'policy') if inside == 1 else f'{inside} policies'}"
        if inside
        else ("no stranger got in")
    )


@click.command("verify", short_help="Find mistakes and risks.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    default="error",
    show_default=True,
    help="Which findings make the exit status 1.",
)
@format_option("text", "json", "github", "sarif")
@click.pass_context
def command(ctx: click.Context, fail_on: str, format_: str) -> None:
    """Find mistakes and risks in the policies of all views.

    The policies are asked what the known scanners ask, in this process. No view runs, except that exempt views get a
    preflight, and a URL without route gets a GET.
    """
    try:
        found = verify(make_target(ctx))
    except PolicyError as error:
        found = Verified(problem_findings(error), 0, 0)
    if format_ == "text":
        echo("\n".join(text_of(found)))
    elif format_ == "json":
        counts = {"questions": found.questions, "views": found.views}
        echo_json("verify", {**counts, "findings": [finding._asdict() for finding in found.findings]})
    else:
        echo_findings(found.findings, format_)
    levels = {"error"} if fail_on == "error" else {"error", "warning"}
    if any(finding.level in levels for finding in found.findings):
        ctx.exit(1)
