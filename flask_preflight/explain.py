"""A refusal in words, for debug answers, logs and tests.

Nothing is decided here. :attr:`Decision.reason` says what failed. This file makes a sentence of it, with what to write
instead. What a client sent is shortened and escaped.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

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
from flask_preflight.policy import NotABool, Policy
from flask_preflight.problems import PolicyError, Problem

REFUSED_HEADER: Final = "CORS-Refused"

_LONGEST_SHOWN: Final = 200
_LONGEST_SENTENCE: Final = 2000
_LONGEST_LINE: Final = 1000
_MOST_REPEATED: Final = 20  # values of a list

_OF_METHOD: Final = {Reason.METHOD_NOT_ROUTED, Reason.METHOD_NOT_ALLOWED}


class Place(NamedTuple):
    """Where the policy of a request comes from.

    *rule* is what the log names. *is_routed* is whether a route of the app matches the URL. *setting_of* gives, for a
    field, what to write for it, and where: ``("allow_headers", "cors_route on put_data at /srv/app.py:12")``. *host* is
    what ``app.route`` needs beside the rule.
    """

    rule: str
    is_routed: bool = True
    setting_of: Callable[[str], tuple[str, str]] = lambda field: (field, "the Policy")
    host: str = ""


ANY_PATH: Final = Place("any path")
NO_ROUTE: Final = "no route"


def escape(text: str) -> str:
    """*text* in quotes, shortened, on one line, in printable ASCII."""
    return ascii(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")


def describe_error(error: BaseException | None) -> str:
    """What was raised, as `escape` shows it. This also works for errors that cannot be printed."""
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - it is the user's own
        text = "<it cannot be shown>"
    return escape(f"{name}: {text}" if text else name)


def find_failure(error: BaseException) -> tuple[str, int] | None:
    """The file and line of the user's own code that raised *error*; ``None`` if there is no such code."""
    if isinstance(error, NotABool):
        return error.place
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return next((frame for frame in reversed(frames) if _is_users(frame[0])), None)


def _is_users(filename: str) -> bool:
    """Whether a file is the user's own: no part of this package, of Python, or of an installed library."""
    return not filename.startswith(_NOT_USERS) and _INSTALLED.isdisjoint(Path(filename).parts)


# This package, the standard library, and generated code
_NOT_USERS: Final = (f"{Path(__file__).parent}{os.sep}", f"{Path(traceback.__file__).parent}{os.sep}", "<")

# The folders of installed libraries; Debian's packages are in the second
_INSTALLED: Final = {"site-packages", "dist-packages"}


def explain(policy: Policy, facts: RequestFacts, decision: Decision, place: Place = ANY_PATH) -> str:
    """Why *decision* refuses, and what to write instead, on one line of printable ASCII; ``""`` if it does not refuse.

    The sentences name parts of the policy, so they are for developers: for a debug answer, a log, or a test.
    """
    if decision.reason is None:
        return ""
    text = _TEXTS[decision.reason](
        _Refusal(policy.broad or policy, facts, decision, place, policy.methods, policy.broad is not None)
    )
    if not place.is_routed:
        text = f"Check the URL first: no route of the app matches it, so the app-wide policy decides. {text}"
    text = text if len(text) <= _LONGEST_SENTENCE else f"{text[:_LONGEST_SENTENCE]}..."
    return "".join(character if " " <= character <= "~" else ascii(character)[1:-1] for character in text)


def refusal_line(reason: Reason, sentence: str) -> str:
    """``<reason>; <sentence>``, at most `_LONGEST_LINE` characters."""
    line = f"{reason.value}; {sentence}"
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}..."


def debug_header(reason: Reason, sentence: str) -> tuple[str, str]:
    """The header that tells a developer why a request is refused. Developer tools show no body of a preflight."""
    return REFUSED_HEADER, refusal_line(reason, sentence)


def debug_answer(facts: RequestFacts, decision: Decision, sentence: str) -> tuple[int, HeaderList, str]:
    """The answer to a refused preflight in debug mode: status, headers and text. The console then names the failed
    step.

    A browser reports the first step that fails, so it must see the steps that passed. The preflight fails all the same:
    by the missing method or header, and for safelisted methods, which browsers do not look for
    (https://fetch.spec.whatwg.org/#cors-preflight-fetch-0), by the status.
    """
    ignores_methods = decision.reason in _OF_METHOD and facts.requested_method in fetch.SAFELISTED_METHODS
    status = 200 if decision.passed and not ignores_methods else 403
    headers = (*decision.passed, *decision.headers)
    return status, (*headers, debug_header(cast(Reason, decision.reason), sentence)), f"{sentence}\n"


# ---------------------------------------------------------------------------------------
# The nearest origin
# ---------------------------------------------------------------------------------------

# The names of this machine, which browsers treat as different hosts
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


def nearest_origin(policy: Policy, origin: str) -> tuple[str, str] | None:
    """The listed value that is nearest to *origin*, and how it differs: ``("http://localhost:3000", "the port")``.

    The first thousand values are searched. ``None`` if all of them have other hosts.
    """
    sent = parse_origin(origin)
    if sent is None or not isinstance(policy.allow_origins, Origins):
        return None
    labels = sent.host.removeprefix("www.").split(".")
    domains = [".".join(labels[start:]) for start in range(len(labels))]
    by_domain = policy.allow_origins.first_by_domain
    others = [name for name in _LOOPBACK if name not in domains] if sent.host in _LOOPBACK else []
    listed = (text for domain in (*domains, *others) for text in by_domain.get(domain, ()))
    near = [(text, parts) for text in listed if (parts := _differences(sent, text))]
    if not near:
        return None
    text, parts = min(near, key=lambda found: len(found[1]))
    return text, " and ".join(parts)


def _differences(sent: Origin, text: str) -> list[str]:
    """In which parts *sent* differs from a listed value; none if the host is quite another."""
    pattern = parse_pattern(text)
    listed = pattern.origin if pattern else cast(Origin, parse_origin(text))
    host = ""
    if pattern and pattern.subdomains:
        is_near = f".{sent.host}".endswith(f".{listed.host}")
        host = "the missing subdomain" if sent.host == listed.host else ""
    else:
        is_near = sent.host.removeprefix("www.") == listed.host.removeprefix("www.")
        if {sent.host, listed.host} <= {*_LOOPBACK}:
            is_near = True
            host = "the host" if sent.host != listed.host else ""
        elif sent.host != listed.host:
            host = "'www.'"
    scheme = "the scheme" if sent.scheme != listed.scheme else ""
    port = "the port" if sent.port != listed.port and not (pattern and pattern.any_port) else ""
    return list(filter(None, (host, scheme, port))) if is_near else []


# ---------------------------------------------------------------------------------------
# A sentence for each reason
# ---------------------------------------------------------------------------------------


class _Refusal(NamedTuple):
    """A refusal under *policy*, which is the policy as the user wrote it.

    If *is_narrowed*, *routed_methods* are the methods that the URL has routes for, in upper case.
    """

    policy: Policy
    facts: RequestFacts
    decision: Decision
    place: Place
    routed_methods: tuple[str, ...]
    is_narrowed: bool

    @property
    def method(self) -> str:
        return self.facts.requested_method or ""

    @property
    def origin(self) -> str:
        return self.facts.origin or ""

    def advise_adding(self, aim: str, field: str, added: list[str], listed: Iterable[object] = ()) -> str:
        """What to write, after the words *aim*, to have *added* beside what is *listed*.

        Only what is added is checked, and a long list is left out, because any client can cause many explanations.
        """
        values = [*islice(listed, _MOST_REPEATED + 1), *added]
        if len(values) <= _MOST_REPEATED + len(added) and len(ascii(values)) <= _LONGEST_SHOWN:
            written = f"{aim} write {self._write({field: values})}."
        else:
            key, where = self.place.setting_of(field)
            written = f"{aim} add {', '.join(map(ascii, added))} to {key} in {where}."
        problem = self._problem_of({field: added})
        if problem is None:
            return written
        return f"{escape(str(problem.value))} cannot be added: it {problem.message}; {problem.hint}."

    def advise(self, aim: str, changes: dict[str, Any]) -> str:
        """What to write, after the words *aim*, to have *changes*."""
        problem = self._problem_of(changes)
        if problem is None:
            return f"{aim} write {self._write(changes)}."
        why = f"{escape(str(problem.value))} {problem.message}; {problem.hint}"
        return f"{aim} change {problem.field} first: {why}. Then write {self._write(changes)}."

    def _problem_of(self, changes: dict[str, Any]) -> Problem | None:
        """Why the policy would refuse *changes*."""
        try:
            self.policy.override(**changes)
        except PolicyError as error:
            return error.problems[-1]
        return None

    def _write(self, changes: dict[str, Any]) -> str:
        by_place: dict[str, list[str]] = {}
        is_true_by_key = False
        for field, value in changes.items():
            key, where = self.place.setting_of(field)
            # one string works in Python and in the environment
            value = ",".join(value) if key != field and isinstance(value, list) else value
            by_place.setdefault(where, []).append(f"{key}={value!a}")
            is_true_by_key |= key != field and value is True
        text = " and ".join(f"{', '.join(written)} in {where}" for where, written in by_place.items())
        return f"{text} (true in the environment)" if is_true_by_key else text


def _list_or_nothing(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"


def _origin_not_allowed(it: _Refusal) -> str:
    allowed = it.policy.allow_origins
    if callable(allowed):
        name = getattr(allowed, "__qualname__", None) or type(allowed).__qualname__
        text = f"The callable {escape(name)} in allow_origins returned False for the origin {escape(it.origin)}."
        return f"{text} If the page is yours, let it return True for this origin."
    if not allowed:
        text = f"The origin {escape(it.origin)} is not allowed: allow_origins is empty."
    else:
        text = f"The origin {escape(it.origin)} is not in allow_origins."
    near = nearest_origin(it.policy, it.origin)
    if near:
        text += f" The nearest allowed origin is {near[0]!r}. {_WORDS.get(near[1], f'It differs in {near[1]}.')}"
    return f"{text} {it.advise_adding('If the page is yours,', 'allow_origins', [it.origin], allowed)}"


_WORDS: Final = {
    "the host": "It differs in the host: to browsers, localhost, 127.0.0.1 and [::1] are different hosts.",
    "the missing subdomain": "It covers the subdomains, and not the domain itself.",
}


def _origin_null(it: _Refusal) -> str:
    return (
        "The origin is 'null'. Browsers send that for pages opened from a disk, for sandboxed frames and data: URLs,"
        f" and after a redirect to another origin. {_advise_serving(it)}"
    )


def _advise_serving(it: _Refusal) -> str:
    """What to do with a page that was opened from a disk."""
    allowed, served = it.policy.allow_origins, "http://localhost:8000"
    if callable(allowed):
        advice = f". Let the callable in allow_origins allow {served!r}."
    elif it.policy.allows_origin(served):
        advice = ", which is allowed already."
    else:
        advice = f". {it.advise_adding('To allow that,', 'allow_origins', [served], allowed)}"
    return f"Serve the page from a web server, such as python -m http.server 8000, and open it at {served}{advice}"


def _origin_malformed(it: _Refusal) -> str:
    if it.origin == "file://":
        return (
            "The origin is 'file://'. A few browsers (QtWebEngine, some versions of Cordova and Electron) send that for"
            f" all pages opened from a disk, so it cannot be allowed. {_advise_serving(it)}"
        )
    return (
        f"The Origin header is {escape(it.origin)}, which is not an origin as browsers write it: scheme, host and port,"
        " such as 'https://example.com' or 'http://localhost:3000'."
    )


def _origin_check_failed(it: _Refusal) -> str:
    error = cast(Exception, it.decision.error)
    place = find_failure(error)
    where = f" at {place[0]}:{place[1]}" if place else ""
    if isinstance(error, NotABool):
        return f"The callable in allow_origins{where} returned {error.returned}, not bool: let it return True or False."
    text = describe_error(error)
    if "outside of request context" in text:
        advice = "flask.request is not available in it: use its second argument, the WSGI environ."
    else:
        advice = "Let it return True or False instead. The log has the traceback."
    return f"The callable in allow_origins failed{where}: {text}. {advice}"


def _method_not_allowed(it: _Refusal) -> str:
    method = it.method.upper()
    is_in_wrong_case = _is_in_wrong_case(it.method) or (it.method != method and it.is_narrowed)
    if is_in_wrong_case and (method in it.routed_methods or allows_method(it.policy, method)):
        return f"The method {it.method!r} is not {method!r}. {_in_fetch(method)} The server needs no change."
    names = [name for name in it.policy.methods if name != "HEAD" or "GET" not in it.policy.methods]
    if is_in_wrong_case:
        hint = f"{_in_fetch(method)} {it.advise_adding('To allow it,', 'allow_methods', [method], names)}"
    else:
        hint = it.advise_adding("To allow it,", "allow_methods", [it.method], names)
    allowed = _list_or_nothing(it.policy.methods)
    if it.policy.allow_methods is None:
        return f"The method {escape(it.method)} is not one of {allowed}, and allow_methods is not set. {hint}"
    return f"The method {escape(it.method)} is not in allow_methods, which allows {allowed}. {hint}"


def _is_in_wrong_case(method: str) -> bool:
    """Browsers send the names of these methods in upper case, except ``patch``, which they send as it is written."""
    return method != method.upper() and method.upper() in {*fetch.NORMALIZED_METHODS, "PATCH"}


def _in_fetch(method: str) -> str:
    return f"Methods are case-sensitive: write {method!r} in the page's fetch()."


def _method_not_routed(it: _Refusal) -> str:
    there = tuple(name for name in it.routed_methods if name != "OPTIONS")
    others = f", only for {', '.join(there)}" if there else ""
    parts = [f"This URL has no route for the method {escape(it.method)}{others}."]
    if it.place.rule == NO_ROUTE:  # a converter of the app's own has said so
        return f"{parts[0]} To handle it, let its route allow it."
    method = it.method.upper()  # routes have no other
    if method not in there:
        route = f"@app.route({it.place.rule!r}{it.place.host}, methods=[{method!r}])"
        parts.append(f"To handle it, add a view with {route}.")
    if method != it.method:
        parts.append(_in_fetch(method))
    return " ".join(parts)


def _headers_not_allowed(it: _Refusal) -> str:
    refused = [name for name in fetch.split_list(it.facts.requested_headers or "") if not it.policy.allows_header(name)]
    useless = [name for name in refused if not _can_be_allowed(name)]
    missing = [name for name in refused if _can_be_allowed(name)]
    parts: list[str] = []
    if missing and it.policy.allows_any_header:
        parts.append(f"{_some(missing)} {_are(missing)} not covered by '*' in allow_headers.")
    elif missing:
        allowed = _list_or_nothing(it.policy.headers)
        parts.append(f"{_some(missing)} {_are(missing)} not in allow_headers, which allows {allowed}.")
    if missing:
        aim = "To allow them," if len(missing) > 1 else "To allow it,"
        listed = it.policy.headers or (fetch.WILDCARD,) * it.policy.allows_any_header
        parts.append(it.advise_adding(aim, "allow_headers", [*map(_spell, missing[:_MOST_NAMED])], listed))
    if useless:
        it_or_them = "them" if len(useless) > 1 else "it"
        parts.append(f"No server can allow {_some(useless)}. Remove {it_or_them} from the page's fetch().")
    return " ".join(part[0].upper() + part[1:] for part in parts)


_MOST_NAMED: Final = 10


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"the request header{'s' * (len(names) > 1)} {', '.join(map(escape, names[:_MOST_NAMED]))}{more}"


def _are(names: list[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _spell(name: str) -> str:
    """*name* as people write it: browsers send header names in lower case."""
    return name.title()


def _can_be_allowed(name: str) -> bool:
    return not (fetch.is_forbidden_request_header(name) or name.lower().startswith("access-control-"))


def _credentials_not_allowed(it: _Refusal) -> str:
    changes: dict[str, Any] = {"allow_credentials": True}
    if it.policy.allows_any_origin:
        changes = {"allow_origins": [it.origin], **changes}
    return (
        "The page sent cookies (credentials: 'include'), and the policy has allow_credentials=False, so the browser"
        f" does not let the page read the response. {it.advise('If the page needs cookies,', changes)}"
        " Otherwise remove credentials from the page's fetch()."
    )


def _describe_problems(error: Exception | None) -> str:
    problems = error.problems if isinstance(error, PolicyError) else ()
    return " ".join("; ".join(map(str, problems)).split())


_TEXTS: Final[dict[Reason, Callable[[_Refusal], str]]] = {
    Reason.METHOD_MALFORMED: lambda it: (
        f"{fetch.REQUEST_METHOD} is {escape(it.method)}, which is not a method. No browser sends that."
    ),
    Reason.METHOD_FORBIDDEN: lambda it: (
        f"The method {escape(it.method)} is forbidden to scripts. No browser asks for it."
    ),
    Reason.ORIGIN_TOO_LONG: lambda _: f"The Origin header is longer than {MAX_ORIGIN_LENGTH} characters.",
    Reason.ORIGIN_NULL: _origin_null,
    Reason.ORIGIN_MALFORMED: _origin_malformed,
    Reason.ORIGIN_NOT_ALLOWED: _origin_not_allowed,
    Reason.ORIGIN_CHECK_FAILED: _origin_check_failed,
    Reason.ROUTING_FAILED: lambda it: (
        f"A converter or redirect of the app's own failed for this URL: {describe_error(it.decision.error)}."
    ),
    Reason.POLICY_INVALID: lambda it: (
        f"The policy of the view is not valid, so nothing is allowed: {_describe_problems(it.decision.error)}."
    ),
    Reason.METHOD_NOT_ROUTED: _method_not_routed,
    Reason.METHOD_NOT_ALLOWED: _method_not_allowed,
    Reason.HEADERS_TOO_LONG: lambda _: (
        f"{fetch.REQUEST_HEADERS} is longer than {MAX_REQUEST_HEADERS_LENGTH} characters, or has more than"
        f" {MAX_REQUEST_HEADERS_COUNT} commas."
    ),
    Reason.HEADERS_MALFORMED: lambda it: (
        f"{fetch.REQUEST_HEADERS} is {escape(it.facts.requested_headers or '')}, which is not a list of header names."
    ),
    Reason.HEADERS_NOT_ALLOWED: _headers_not_allowed,
    Reason.CREDENTIALS_NOT_ALLOWED: _credentials_not_allowed,
}
