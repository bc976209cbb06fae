"""A refusal in words, for debug answers and logs.

Nothing is diagnosed here: :attr:`Decision.reason` says what failed, and this says it to a person. Whatever a client
sent is shown shortened and escaped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from flask_preflight import fetch
from flask_preflight.engine import (
    MAX_REQUEST_HEADERS_COUNT,
    MAX_REQUEST_HEADERS_LENGTH,
    Decision,
    HeaderList,
    Reason,
    RequestFacts,
)
from flask_preflight.origin import MAX_ORIGIN_LENGTH, Origin, Origins, parse_origin, parse_pattern
from flask_preflight.policy import Policy

_LONGEST_SHOWN: Final = 200

_OF_METHOD: Final = {Reason.METHOD_NOT_ROUTED, Reason.METHOD_NOT_ALLOWED}


def escape(text: str) -> str:
    """*text* in quotes, shortened, on one line, in printable ASCII."""
    return ascii(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")


def escape_error(error: Exception | None) -> str:
    """What was raised, as `escape` shows it; also where the error cannot say so itself."""
    import traceback  # long to import

    return escape("".join(traceback.format_exception_only(error)).strip())


def explain(policy: Policy, facts: RequestFacts, decision: Decision) -> str:
    """Why *decision* refuses and what would change that, as one line without line break; ``""`` if it does not.

    It names parts of the policy, so it is for developers: for a debug answer, or a log.
    """
    return _TEXTS[decision.reason](policy, facts, decision) if decision.reason else ""


def debug_answer(policy: Policy, facts: RequestFacts, decision: Decision) -> tuple[int, HeaderList, str]:
    """Status, headers, and text of the answer to a refused preflight that lets the browser's console name the step.

    A browser reports the first step that fails, so it must see those that passed. It fails all the same: by the
    missing method or header; and where it would go on, as it does with any safelisted method
    (https://fetch.spec.whatwg.org/#cors-preflight-fetch-0), by the status.
    """
    goes_on = decision.reason in _OF_METHOD and facts.wanted_method in fetch.SAFELISTED_METHODS
    status = 200 if decision.passed and not goes_on else 403
    return status, decision.passed + decision.headers, f"{explain(policy, facts, decision)}\n"


def nearest_origin(policy: Policy, origin: str) -> tuple[str, str] | None:
    """The listed value that *origin* nearly is, and how it differs: ``("http://localhost:3000", "the port")``.

    Sought among the first thousand listed; ``None`` if all of them are of other hosts.
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
    return f"The origin {escape(origin)} is not in allow_origins.{hint} To allow it, add it there."


def _method_not_allowed(policy: Policy, facts: RequestFacts, _: Decision) -> str:
    method = facts.wanted_method or ""
    there = f", which allows {', '.join(policy.methods)}" if policy.methods else ""  # else it allows others elsewhere
    hint = f"To allow it, add it to allow_methods{there}."
    if policy.allows_method(method.upper()):
        hint = f"Methods are case-sensitive: write {method.upper()!r} in the page's fetch()."
    return f"The method {escape(method)} is not allowed. {hint}"


def _headers_not_allowed(policy: Policy, facts: RequestFacts, _: Decision) -> str:
    names = [name for name in fetch.split_list(facts.wanted_headers or "") if not policy.allows_header(name)]
    shown = f"Not allowed as request header{'s' * (len(names) > 1)}: {', '.join(map(escape, names[:10]))}"
    if policy.allows_any_header:
        return f"{shown}, which '*' does not cover. To allow it, write allow_headers=['*', 'Authorization']."
    return f"{shown}. To allow it, add it to allow_headers, which allows {_enumerate(policy.headers)}."


def _enumerate(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"


_TEXTS: Final[dict[Reason, Callable[[Policy, RequestFacts, Decision], str]]] = {
    Reason.METHOD_MALFORMED: lambda _, facts, __: (
        f"{fetch.REQUEST_METHOD} is {escape(facts.wanted_method or '')}, which is no method. No browser sends that."
    ),
    Reason.METHOD_FORBIDDEN: lambda _, facts, __: (
        f"The method {escape(facts.wanted_method or '')} is forbidden to scripts. No browser asks for it."
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
    Reason.ORIGIN_CHECK_FAILED: lambda _, __, decision: (
        f"The callable in allow_origins failed: {escape_error(decision.error)}."
    ),
    Reason.ROUTING_FAILED: lambda _, __, decision: (
        f"A converter or redirect of the app's own failed for this URL: {escape_error(decision.error)}."
    ),
    Reason.METHOD_NOT_ROUTED: lambda policy, facts, _: (
        f"This URL has no route for {escape(facts.wanted_method or '')}; there are {_enumerate(policy.methods)}."
    ),
    Reason.METHOD_NOT_ALLOWED: _method_not_allowed,
    Reason.HEADERS_TOO_LONG: lambda *_: (
        f"{fetch.REQUEST_HEADERS} is longer than {MAX_REQUEST_HEADERS_LENGTH} characters, or has more than"
        f" {MAX_REQUEST_HEADERS_COUNT} commas."
    ),
    Reason.HEADERS_MALFORMED: lambda _, facts, __: (
        f"{fetch.REQUEST_HEADERS} is {escape(facts.wanted_headers or '')}, which is no list of header names."
    ),
    Reason.HEADERS_NOT_ALLOWED: _headers_not_allowed,
}
