"""``explain``: whether one request is allowed, and why not. Nothing is sent over the network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from flask_preflight.browser import Browser, CORSError
from flask_preflight.commands.app import pass_target
from flask_preflight.commands.output import CannotRun, echo, echo_json, format_option, header_option, wrap
from flask_preflight.commands.targets import (
    BASE_URL,
    NO_ROUTE,
    FlaskTarget,
    Route,
    Target,
    make_environ,
    preflight_environ,
)
from flask_preflight.engine import Decision, Reason, RequestFacts, negotiate, refuse
from flask_preflight.explain import explain
from flask_preflight.fetch import REQUEST_HEADERS, normalize_method, split_list
from flask_preflight.policy import FIELDS, Policy
from flask_preflight.problems import PolicyError
from flask_preflight.wsgi import is_preflight, read_facts

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_IS_WHOLE: Final = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Explained(NamedTuple):
    """The result for a request. *error* is the browser's, ``None`` if the page gets the response.

    *fixes* are sentences that say what to write. Each was tried on a copy of the policy, after the one before it.
    *is_enough* is whether the request is allowed then. *fields* says where each field of the policy was set.
    """

    route: Route
    error: CORSError | None
    was_preflighted: bool
    checks: list[Check]
    fixes: list[str]
    is_enough: bool
    fields: dict[str, str]

    @property
    def reason(self) -> str:
        """The reason of a refusal, or the step of the browser's that failed; ``""`` if nothing did."""
        return _reason_of(self.error)


def _reason_of(error: CORSError | None) -> str:
    return (error.exchange.refusal.partition(";")[0] or error.step.value) if error else ""


class Check(NamedTuple):
    """One thing that has to be allowed."""

    name: str
    verdict: str
    """``ok``, ``FAIL``, or ``-`` if it does not count."""
    text: str


def explain_request(
    target: Target, method: str, url: str, origin: str, names: tuple[str, ...] = (), *, cookies: bool = False
) -> Explained:
    """What a page of *origin* gets that sends *method* to *url*, with the headers *names*.

    :raises ValueError: if *origin* is none, or *url* is neither a path nor a whole URL.
    :raises TypeError: if no script could send the request.
    """
    base = target.base_url if isinstance(target, FlaskTarget) else BASE_URL
    method = normalize_method(method)
    whole = _whole_url(url, base)
    browser = Browser(target, origin)
    error = None
    try:
        browser.fetch(whole, method, [(name, "x") for name in names], "include" if cookies else "omit")
    except CORSError as caught:
        error = caught
    first = browser.exchanges[0] if browser.exchanges else None
    sent = first is not None and first.preflight
    route = target.route(preflight_environ(whole, method), method)
    if route.policy is None:  # only the view knows
        return Explained(route, None, False, [], [], False, {})
    if first is not None and sent:
        environ = preflight_environ(whole, method, origin, first.request_headers.get(REQUEST_HEADERS, ""))
    else:
        environ = make_environ(whole, method, {"Origin": origin, **({"Cookie": "a=b"} if cookies else {})})
    fixes, is_enough = _fixes_of(error, target, route, environ, cookies=cookies)
    fields = {field: _where(route, field) for field in FIELDS if _is_set(route, field)}
    return Explained(route, error, sent, [*_checks(target, route, environ, error)], fixes, is_enough, fields)


def _whole_url(url: str, base: str) -> str:
    if _IS_WHOLE.match(url):
        return url
    host = re.split("[/?#]", url, maxsplit=1)[0]
    if ":" in host:
        path = url.removeprefix(host) or "/"
        raise ValueError(f"{url!r} has no scheme; write 'http://{url}', or the path alone, {path}")
    return f"{base}/{url.removeprefix('/')}"


def _where(route: Route, field: str) -> str:
    key, where = route.place.setting_of(field)
    return where if key == field else f"{key} in {where}"


def _is_set(route: Route, field: str) -> bool:
    policy = route.policy and (route.policy.broad or route.policy)
    return policy is not None and getattr(policy, field) != getattr(Policy(), field)


# ---------------------------------------------------------------------------------------
# Step by step
# ---------------------------------------------------------------------------------------


def _checks(target: Target, route: Route, environ: WSGIEnvironment, error: CORSError | None) -> Iterator[Check]:
    """Each step of the negotiation by itself, under the policy of the route."""
    facts, policy = read_facts(environ), route.policy
    assert policy is not None  # noqa: S101 - exempt routes have no checks
    yield _route_check(route)
    yield _check(target, route, "origin", facts._replace(requested_method=None, method="GET"), facts.origin or "")
    if not is_preflight(environ):
        return
    open_policy = policy.twin(allow_origins="*")
    if route.reason is Reason.METHOD_NOT_ROUTED:
        yield Check("method", "FAIL", f"{route.method}: {route.reason.value}, by the routes of the app")
    else:
        asked = facts._replace(requested_headers=None)
        yield _check(target, route, "method", asked, facts.requested_method or "", open_policy)
    if facts.requested_headers:
        any_method = facts._replace(requested_method=next(iter(policy.methods), "GET"))
        yield _check(target, route, "headers", any_method, facts.requested_headers, open_policy)


def _route_check(route: Route) -> Check:
    if route.rule != NO_ROUTE:
        where = f", {route.where}" if route.where else ""
        to = f" -> {route.endpoint}" if route.endpoint else ""
        return Check("route", "ok", f"{route.rule} [{route.method}]{to}{where}")
    return Check("route", "-", f"{NO_ROUTE} [{route.method}]: {_missing(route)}, so the app-wide policy decides")


def _missing(route: Route) -> str:
    if route.reason is Reason.METHOD_NOT_ROUTED:
        return "this URL has no route for the method"
    return "no route of the app matches this URL"


def _check(
    target: Target, route: Route, name: str, facts: RequestFacts, value: str, policy: Policy | None = None
) -> Check:
    asked = policy or route.policy or Policy()
    decision = negotiate(asked, facts) if policy else target.layer.negotiate(asked, facts)
    if decision.reason is None or (decision.reason is Reason.ORIGIN_NOT_ALLOWED and policy):
        return Check(name, "ok", f"{value}, by {_where(route, _FIELDS[name])}")
    return Check(name, "FAIL", f"{value}: {decision.reason.value}, by {_where(route, _FIELDS[name])}")


_FIELDS: Final = {"origin": "allow_origins", "method": "allow_methods", "headers": "allow_headers"}


# ---------------------------------------------------------------------------------------
# What to write
# ---------------------------------------------------------------------------------------


def _fixes_of(
    error: CORSError | None, target: Target, route: Route, environ: WSGIEnvironment, *, cookies: bool
) -> tuple[list[str], bool]:
    if error is None:
        return [], True
    if _reason_of(error) == Reason.ROUTING_FAILED.value:  # no change of the policy helps
        return [error.exchange.refusal.partition("; ")[2]], False
    return _fixes(target, route, environ, cookies=cookies)


def _fixes(target: Target, route: Route, environ: WSGIEnvironment, *, cookies: bool) -> tuple[list[str], bool]:
    """What to write, in the order of the steps, until the request is allowed; and whether it is then."""
    policy, facts = route.policy or Policy(), read_facts(environ)
    sentences: list[str] = []
    if route.reason is Reason.METHOD_NOT_ROUTED and facts.is_preflight:
        sentences.append(explain(policy, facts, refuse(facts, route.reason), route.place))
        policy = _with_route(policy, route.method)
    changed = set[Reason]()
    while True:
        decision = _decide(target, policy, facts, cookies=cookies)
        if decision.reason is None:
            return sentences, bool(sentences)  # otherwise it is not the policy that refuses
        sentences.append(explain(policy, facts, decision, route.place))
        changes = changes_for(policy, facts, decision.reason)
        try:
            narrowed = policy
            policy = (policy.broad or policy).override(**changes)
        except PolicyError:
            break  # the sentence says what to change first
        if narrowed.broad is not None and policy.allow_methods is None:
            policy = policy.narrow(narrowed.methods)
        if not changes or decision.reason in changed:
            break
        changed.add(decision.reason)
    return sentences, False


def _with_route(policy: Policy, method: str) -> Policy:
    """*policy* as it would be if the URL also had a route for *method*."""
    broad = policy.broad or policy
    return broad.narrow([*policy.methods, method.upper()]) if broad.allow_methods is None else broad


def _decide(target: Target, policy: Policy, facts: RequestFacts, *, cookies: bool) -> Decision:
    decision = target.layer.negotiate(policy, facts)
    if decision.reason is None and cookies and not policy.allow_credentials:
        return decision._replace(reason=Reason.CREDENTIALS_NOT_ALLOWED)
    return decision


def changes_for(policy: Policy, facts: RequestFacts, reason: Reason) -> dict[str, Any]:
    """The change of the policy that ends a refusal for *reason*; nothing if no change of it does."""
    if reason is Reason.ORIGIN_NOT_ALLOWED:
        # a callable that allows the origin stands for a list of it
        return {"allow_origins": [*([] if callable(policy.allow_origins) else [...]), facts.origin]}
    if reason is Reason.METHOD_NOT_ALLOWED:
        return {"allow_methods": [*policy.methods, facts.requested_method]}
    if reason is Reason.HEADERS_NOT_ALLOWED:
        refused = [name for name in split_list(facts.requested_headers or "") if not policy.allows_header(name)]
        return {"allow_headers": [..., *refused]}
    if reason is Reason.CREDENTIALS_NOT_ALLOWED:
        public = {"allow_origins": [facts.origin]} if policy.allows_any_origin else {}
        return {**public, "allow_credentials": True}
    return {}


# ---------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------


def text_of(found: Explained) -> Iterator[str]:
    route, error = found.route, found.error
    if route.policy is None:
        why = "because of cors_exempt" if route.endpoint else "because no policy is for this path"
        text = f"Exempt: {route.rule} [{route.method}] answers for itself, {why}."
        yield from wrap(f"{text} Ask the running server: probe URL --method {route.method} --origin ORIGIN", 0)
        return
    yield _verdict(found)
    lines = [*found.checks]
    if error is not None:
        lines += [Check("console", "", f"{engine}: {sentence}") for engine, sentence in error.console.items()]
        lines += [Check("fix", f"{number}.", text) for number, text in enumerate(found.fixes, 1)]
        if not found.fixes:
            lines.append(Check("fix", "", error.fix))
        lines.append(Check("docs", "", error.docs))
    lines += [Check("field", "", f"{field}: {where}") for field, where in found.fields.items()]
    for line in lines:
        yield from wrap(line.text, 18, f"  {line.name:<9} {line.verdict:<5} ")


def _verdict(found: Explained) -> str:
    if found.error is None:
        missing = f" Expect an error page: {_missing(found.route)}." if found.route.rule == NO_ROUTE else ""
        return f"Allowed: the page gets the response.{missing}"
    if not found.was_preflighted:
        return f"Not allowed: {found.reason}. The request is sent, and the page cannot read the response."
    if found.error.exchange.preflight:
        return f"Not allowed: {found.reason}, in the preflight. The request would not be sent."
    return f"Not allowed: {found.reason}, in the response. The request would be sent."


@click.command("explain", short_help="Explain why a request is refused, and what to write.")
@click.argument("method")
@click.argument("url")
@click.option("--origin", required=True, metavar="ORIGIN", help="The origin of the page.")
@header_option("names")
@click.option("--cookies", is_flag=True, help="The page sends cookies: credentials: 'include'.")
@format_option("text", "json")
@click.pass_context
@pass_target
def command(
    target: Target,
    ctx: click.Context,
    method: str,
    url: str,
    origin: str,
    names: tuple[str, ...],
    cookies: bool,
    format_: str,
) -> None:
    """Explain what a page gets from a request with METHOD to URL, and if it is refused, why and what to write.

    URL may be a path.

    Everything happens in this process. The app gets a preflight, if the browser sends one, and no view runs.
    """
    if "/" in method:
        raise CannotRun(f"{method!r} is not a method. Write the method first, such as in: explain GET /api/data")
    try:
        found = explain_request(target, method, url, origin, names, cookies=cookies)
    except (ValueError, TypeError) as error:
        raise CannotRun(f"{error}") from error
    if format_ == "json":
        echo_json("explain", document_of(found))
    else:
        echo("\n".join(text_of(found)))
    if found.error is not None:
        ctx.exit(1)


def document_of(found: Explained) -> dict[str, Any]:
    """The same for programs."""
    route, error = found.route, found.error
    return {
        "allowed": None if route.policy is None else error is None,
        "exempt": route.policy is None,
        "reason": found.reason,
        "rule": route.rule,
        "endpoint": route.endpoint,
        "method": route.method,
        "where": route.where,
        "preflight": found.was_preflighted,
        "checks": [check._asdict() for check in found.checks],
        "console": error.console if error else {},
        "fixes": found.fixes,
        "fixed": found.is_enough,
        "fields": found.fields,
    }
