"""A refusal in words, for debug answers, logs and tests.

Nothing is decided here: :attr:`Decision.reason` says what failed, and this file says it in a sentence. What a client
sent is shortened and escaped.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Final, cast

from flask_preflight import fetch
from flask_preflight.engine import (
    MAX_REQUEST_HEADERS_COUNT,
    MAX_REQUEST_HEADERS_LENGTH,
    Decision,
    HeaderList,
    Reason,
    RequestFacts,
    allows_method,
)
from flask_preflight.origin import MAX_ORIGIN_LENGTH, Origin, Origins, parse_origin, parse_pattern
from flask_preflight.policy import Policy
from flask_preflight.problems import PolicyError

REFUSED_HEADER: Final = "CORS-Refused"

_LONGEST_SHOWN: Final = 200
_LONGEST_LINE: Final = 1000

_OF_METHOD: Final = {Reason.METHOD_NOT_ROUTED, Reason.METHOD_NOT_ALLOWED}


def escape(text: str) -> str:
    """*text* in quotes, shortened, on one line, in printable ASCII."""
    return ascii(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")


def describe_error(error: BaseException | None) -> str:
    """What was raised, as `escape` shows it. This also works for errors that cannot be printed."""
    return escape("".join(traceback.format_exception_only(error)).strip())


def explain(policy: Policy, facts: RequestFacts, decision: Decision) -> str:
    """Why *decision* refuses, and what would change that, on one line; ``""`` if it does not refuse.

    The sentence names parts of the policy, so it is for developers: for a debug answer, a log, or a test.
    """
    return _TEXTS[decision.reason](policy, facts, decision) if decision.reason else ""


def refusal_line(policy: Policy, facts: RequestFacts, decision: Decision) -> str:
    """``<reason>; <sentence>`` in printable ASCII, at most `_LONGEST_LINE` characters."""
    reason = decision.reason.value if decision.reason else ""
    line = f"{reason}; {explain(policy, facts, decision)}"
    printable = "".join(character if " " <= character <= "~" else "?" for character in line)
    return printable if len(printable) <= _LONGEST_LINE else f"{printable[: _LONGEST_LINE - 3]}..."


def debug_header(policy: Policy, facts: RequestFacts, decision: Decision) -> tuple[str, str]:
    """The header that tells a developer why a request is refused. Developer tools show no body of a preflight."""
    return REFUSED_HEADER, refusal_line(policy, facts, decision)


def debug_answer(policy: Policy, facts: RequestFacts, decision: Decision) -> tuple[int, HeaderList, str]:
    """Status, headers and text of the answer to a refused preflight that lets the browser's console name the step.

    A browser reports the first step that fails, so it must see the steps that passed. The preflight fails all the same:
    by the missing method or header, and for safelisted methods, which browsers do not look for
    (https://fetch.spec.whatwg.org/#cors-preflight-fetch-0), by the status.
    """
    ignores_methods = decision.reason in _OF_METHOD and facts.requested_method in fetch.SAFELISTED_METHODS
    status = 200 if decision.passed and not ignores_methods else 403
    headers = (*decision.passed, *decision.headers, debug_header(policy, facts, decision))
    return status, headers, f"{explain(policy, facts, decision)}\n"


def nearest_origin(policy: Policy, origin: str) -> tuple[str, str] | None:
    """The listed value that is nearest to *origin*, and how it differs: ``("http://localhost:3000", "the port")``.

    The first thousand values are searched. ``None`` if all of them have other hosts.
    """
    sent = parse_origin(origin)
    if sent is None or not isinstance(policy.allow_origins, Origins):
        return None
    labels = sent.host.removeprefix("www.").split(".")
    domains = (".".join(labels[start:]) for start in range(len(labels)))
    listed = (text for domain in domains for text in policy.allow_origins.first_by_domain.get(domain, ()))
    near = [(text, parts) for text in listed if (parts := _differences(sent, text))]
    if not near:
        return None
    text, parts = min(near, key=lambda found: len(found[1]))
    return text, " and ".join(parts)


def _differences(sent: Origin, text: str) -> list[str]:
    """In which parts *sent* differs from a listed value; none if the host is quite another."""
    pattern = parse_pattern(text)
    listed = pattern.origin if pattern else cast(Origin, parse_origin(text))
    if pattern and pattern.subdomains:
        is_near = f".{sent.host}".endswith(f".{listed.host}")
        host = "the missing subdomain" if sent.host == listed.host else ""
    else:
        is_near = sent.host.removeprefix("www.") == listed.host.removeprefix("www.")
        host = "the 'www.'" if sent.host != listed.host else ""
    scheme = "the scheme" if sent.scheme != listed.scheme else ""
    port = "the port" if sent.port != listed.port and not (pattern and pattern.any_port) else ""
    return list(filter(None, (host, scheme, port))) if is_near else []


def _origin_not_allowed(policy: Policy, facts: RequestFacts, _: Decision) -> str:
    origin = facts.origin or ""
    if callable(policy.allow_origins):
        return f"The callable in allow_origins does not allow the origin {escape(origin)}."
    near = nearest_origin(policy, origin)
    hint = f" The nearest allowed origin is {near[0]!r}, which differs in {near[1]}." if near else ""
    advice = _advise(policy, allow_origins=[origin]) or "To allow it, add it there."
    return f"The origin {escape(origin)} is not in allow_origins.{hint} {advice}"


def _advise(policy: Policy, **changes: Any) -> str:
    """What to write instead, if the policy would refuse *changes*."""
    try:
        policy.override(**changes)
    except PolicyError as error:
        problem = error.problems[-1]
        return f"Adding it there would be a problem: it {problem.message}; {problem.hint}."
    return ""


def _method_not_allowed(policy: Policy, facts: RequestFacts, _: Decision) -> str:
    method = facts.requested_method or ""
    there = f", which allows {', '.join(policy.methods)}" if policy.methods else ""  # else it allows others elsewhere
    hint = _advise(policy, allow_methods=[method]) or f"To allow it, add it to allow_methods{there}."
    if allows_method(policy, method.upper()):
        hint = f"Methods are case-sensitive: write {method.upper()!r} in the page's fetch()."
    return f"The method {escape(method)} is not allowed. {hint}"


def _headers_not_allowed(policy: Policy, facts: RequestFacts, _: Decision) -> str:
    names = [name for name in fetch.split_list(facts.requested_headers or "") if not policy.allows_header(name)]
    shown = f"Not allowed as request header{'s' * (len(names) > 1)}: {', '.join(map(escape, names[:10]))}"
    useless = [name for name in names if not _can_be_allowed(name)]
    if useless:
        return f"{shown}. Drop {escape(useless[0])} from the page's fetch(): no server can allow it."
    if policy.allows_any_header:
        return f"{shown}, which '*' does not cover. To allow it, write allow_headers=['*', 'Authorization']."
    return f"{shown}. To allow it, add it to allow_headers, which allows {_enumerate(policy.headers)}."


def _can_be_allowed(name: str) -> bool:
    return not (fetch.is_forbidden_request_header(name) or name.lower().startswith("access-control-"))


def _enumerate(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"


def _describe_problems(error: Exception | None) -> str:
    problems = error.problems if isinstance(error, PolicyError) else ()
    return " ".join("; ".join(map(str, problems)).split())


def _origin_check_failed(_: Policy, __: RequestFacts, decision: Decision) -> str:
    error = describe_error(decision.error)
    needs_request = "outside of request context" in error
    hint = " flask.request is not available in it: use its second argument, the WSGI environ." if needs_request else ""
    return f"The callable in allow_origins failed: {error}.{hint}"


_TEXTS: Final[dict[Reason, Callable[[Policy, RequestFacts, Decision], str]]] = {
    Reason.METHOD_MALFORMED: lambda _, facts, __: (
        f"{fetch.REQUEST_METHOD} is {escape(facts.requested_method or '')}, which is no method. No browser sends that."
    ),
    Reason.METHOD_FORBIDDEN: lambda _, facts, __: (
        f"The method {escape(facts.requested_method or '')} is forbidden to scripts. No browser asks for it."
    ),
    Reason.ORIGIN_TOO_LONG: lambda *_: f"The Origin header is longer than {MAX_ORIGIN_LENGTH} characters.",
    Reason.ORIGIN_NULL: lambda *_: (
        "The origin is 'null', as from a sandboxed frame, a data: URL, a file, or after a redirect to another origin."
        " Serve the page from an http(s) URL, and let it ask the final URL."
    ),
    Reason.ORIGIN_MALFORMED: lambda _, facts, __: (
        f"The Origin header is {escape(facts.origin or '')}, which is no origin as browsers write it."
    ),
    Reason.ORIGIN_NOT_ALLOWED: _origin_not_allowed,
    Reason.ORIGIN_CHECK_FAILED: _origin_check_failed,
    Reason.ROUTING_FAILED: lambda _, __, decision: (
        f"A converter or redirect of the app's own failed for this URL: {describe_error(decision.error)}."
    ),
    Reason.POLICY_INVALID: lambda _, __, decision: (
        f"The policy of the view is not valid, so nothing is allowed: {_describe_problems(decision.error)}."
    ),
    Reason.METHOD_NOT_ROUTED: lambda policy, facts, _: (
        f"This URL has no route for {escape(facts.requested_method or '')}; there are {_enumerate(policy.methods)}."
    ),
    Reason.METHOD_NOT_ALLOWED: _method_not_allowed,
    Reason.HEADERS_TOO_LONG: lambda *_: (
        f"{fetch.REQUEST_HEADERS} is longer than {MAX_REQUEST_HEADERS_LENGTH} characters, or has more than"
        f" {MAX_REQUEST_HEADERS_COUNT} commas."
    ),
    Reason.HEADERS_MALFORMED: lambda _, facts, __: (
        f"{fetch.REQUEST_HEADERS} is {escape(facts.requested_headers or '')}, which is no list of header names."
    ),
    Reason.HEADERS_NOT_ALLOWED: _headers_not_allowed,
}
