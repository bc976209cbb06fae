"""``diff`` on lock files, row by row: what is wider, and how the file is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.views import MethodView

from flask_preflight import Policy, Preflight, PreflightMiddleware, cors_exempt, cors_route
from flask_preflight.commands.diff import compare, covers, findings_of, uncovered_origins
from flask_preflight.commands.lock import Facts, Locked, facts_of, lock_of, name_of, read_lock, write_lock
from flask_preflight.commands.output import CannotRun
from flask_preflight.commands.targets import target_of

PAGE = "https://a.com"
OPEN = Facts(("https://a.com",), preflight=True, headers=("Content-Type",), max_age=600)
CALLED = OPEN._replace(origins=(), callable="app.allowed")
PUBLIC = OPEN._replace(origins=("*",))
NOBODY = Facts()
EXEMPT = Facts(exempt=True)
LIST = "https://a.com"

# old, new: (kind, of, text, remark, wider)
Row = tuple[str, str, str, str, bool]
COMPARED: dict[str, tuple[Facts | None, Facts | None, list[Row]]] = {
    "same": (OPEN, OPEN, []),
    "both-nobody": (NOBODY, NOBODY, []),
    "both-exempt": (EXEMPT, EXEMPT, []),
    "new": (None, OPEN, [("new", "route", LIST, "not in the lock file", True)]),
    "new-callable": (None, CALLED, [("new", "route", "whom app.allowed allows", "not in the lock file", True)]),
    "new-nobody": (None, NOBODY, [("new", "route", "nobody", "not in the lock file", False)]),
    "new-exempt": (None, EXEMPT, [("new", "route", "exempt", "the view decides", True)]),
    "gone": (OPEN, None, [("gone", "route", "is gone", "", False)]),
    "gone-exempt": (EXEMPT, None, [("gone", "route", "is gone", "", False)]),
    # exempt, and back
    "to-exempt": (
        OPEN,
        EXEMPT,
        [("unknown", "route", f"{LIST}, by a policy -> the view decides", "cannot compare", True)],
    ),
    "from-exempt": (
        EXEMPT,
        PUBLIC,
        [("unknown", "route", "the view decides -> *, by a policy", "cannot compare", True)],
    ),
    "from-exempt-to-callable": (
        EXEMPT,
        CALLED,
        [("unknown", "route", "the view decides -> whom app.allowed allows, by a policy", "cannot compare", True)],
    ),
    "from-exempt-to-nobody": (
        EXEMPT,
        NOBODY,
        [("unknown", "route", "the view decides -> nobody, by a policy", "cannot compare", False)],
    ),
    # origins
    "somebody": (NOBODY, OPEN, [("wider", "origins", f"+ {LIST}", "", True)]),
    "nobody": (
        OPEN,
        NOBODY,
        [("narrower", "origins", f"- {LIST}", "browsers remember the old grant for 600 s", False)],
    ),
    "nobody-uncached": (
        OPEN._replace(max_age=0),
        NOBODY,
        [("narrower", "origins", f"- {LIST}", "", False)],
    ),
    "everybody": (OPEN, PUBLIC, [("wider", "origins", "+ *", "every website", True)]),
    "not-everybody": (
        PUBLIC,
        OPEN,
        [("narrower", "origins", "- *", "browsers remember the old grant for 600 s", False)],
    ),
    "null": (
        OPEN,
        OPEN._replace(origins=("https://a.com", "null")),
        [("wider", "origins", "+ null", "every sandboxed frame", True)],
    ),
    "pattern": (
        OPEN,
        OPEN._replace(origins=("https://a.com", "https://*.a.com")),
        [("wider", "origins", "+ https://*.a.com", "every subdomain, also forgotten ones", True)],
    ),
    "hand-edited-origin": (
        OPEN._replace(origins=("HTTPS://A.com", "https://a.com/")),
        OPEN,
        [
            ("wider", "origins", f"+ {LIST}", "", True),
            ("narrower", "origins", "- HTTPS://A.com", "browsers remember the old grant for 600 s", False),
            ("narrower", "origins", "- https://a.com/", "browsers remember the old grant for 600 s", False),
        ],
    ),
    "same-callable": (CALLED, CALLED, [("unknown", "origins", "app.allowed", "a callable: cannot compare", False)]),
    "other-callable": (
        CALLED,
        CALLED._replace(callable="app.other"),
        [("unknown", "origins", "app.allowed -> app.other", "a callable: cannot compare", True)],
    ),
    "to-callable": (
        OPEN,
        CALLED,
        [("unknown", "origins", f"{LIST} -> app.allowed", "a callable: cannot compare", True)],
    ),
    "from-callable": (
        CALLED,
        OPEN,
        [("unknown", "origins", f"app.allowed -> {LIST}", "a callable: cannot compare", True)],
    ),
    "from-callable-to-nobody": (
        CALLED,
        NOBODY,
        [("unknown", "origins", "app.allowed -> nobody", "a callable: cannot compare", False)],
    ),
    "callable-and-cookies": (
        CALLED,
        CALLED._replace(credentials=True),
        [
            ("unknown", "origins", "app.allowed", "a callable: cannot compare", False),
            ("wider", "cookies", "no -> yes", "", True),
        ],
    ),
    # the other facts
    "header": (OPEN, OPEN._replace(headers=("Content-Type", "X-A")), [("wider", "headers", "+ X-A", "", True)]),
    "no-header": (OPEN, OPEN._replace(headers=()), [("narrower", "headers", "- Content-Type", "", False)]),
    "header-in-other-case": (OPEN, OPEN._replace(headers=("content-type",)), []),
    "any-header": (OPEN, OPEN._replace(headers=("*",)), [("wider", "headers", "+ *", "", True)]),
    "covered-header": (
        OPEN._replace(headers=("*",)),
        OPEN,
        [("narrower", "headers", "- *", "", False)],
    ),
    "authorization-is-not-covered": (
        OPEN._replace(headers=("*",)),
        OPEN._replace(headers=("*", "authorization")),
        [("wider", "headers", "+ authorization", "", True)],
    ),
    "expose": (OPEN, OPEN._replace(expose=("X-A",)), [("wider", "expose", "+ X-A", "", True)]),
    "expose-any": (OPEN, OPEN._replace(expose=("*",)), [("wider", "expose", "+ *", "", True)]),
    "expose-covered": (
        OPEN._replace(expose=("*",)),
        OPEN._replace(expose=("X-A", "Authorization")),
        [("narrower", "expose", "- *", "", False)],
    ),
    "preflight": (
        OPEN._replace(preflight=False),
        OPEN,
        [("wider", "preflights", "no -> yes", "", True)],
    ),
    "no-preflight": (OPEN, OPEN._replace(preflight=False), [("narrower", "preflights", "yes -> no", "", False)]),
    "timing": (OPEN, OPEN._replace(timing=True), [("wider", "timing", "no -> yes", "", True)]),
    "no-cookies": (
        OPEN._replace(credentials=True),
        OPEN,
        [("narrower", "cookies", "yes -> no", "", False)],
    ),
    "max-age": (OPEN, OPEN._replace(max_age=5), [("changed", "max_age", "600 -> 5", "", False)]),
}


@pytest.mark.parametrize(("old", "new", "rows"), COMPARED.values(), ids=COMPARED)
def test_compared(old: Facts | None, new: Facts | None, rows: list[Row]) -> None:
    before, after = ({"GET /x": facts} if facts is not None else {} for facts in (old, new))
    changes = compare(before, after)
    assert [tuple(change)[:1] + tuple(change)[2:] for change in changes] == rows
    assert {change.route for change in changes} <= {"GET /x"}


def test_a_change_as_a_finding() -> None:
    """What is wider is an error, and the rest is a note. `--fail-on` decides about the status alone."""
    findings = findings_of(compare({"GET /a": OPEN, "GET /b": OPEN}, {"GET /a": PUBLIC, "GET /b": NOBODY}), "lock:1")
    assert [(finding.id, finding.level, finding.where, finding.message) for finding in findings] == [
        ("cors-wider", "error", "lock:1", "GET /a: origins + * (every website)"),
        (
            "cors-narrower",
            "note",
            "lock:1",
            "GET /b: origins - https://a.com (browsers remember the old grant for 600 s)",
        ),
    ]


def test_a_page_that_may_read_nothing_has_no_other_rights() -> None:
    assert compare({"GET /": NOBODY}, {"GET /": NOBODY._replace(credentials=True, headers=("X-A",))}) == []


def test_changes_are_sorted_by_rule_and_method() -> None:
    changes = compare({"PUT /a": OPEN, "GET /b": OPEN}, {"GET /a": OPEN, "DELETE /b": OPEN})
    assert [change.route for change in changes] == ["GET /a", "PUT /a", "DELETE /b", "GET /b"]


ORIGINS = ("https://a.com", "https://x.a.com", "https://*.a.com", "https://*.x.a.com", "http://localhost:*", "null")
ODD = ("*", "HTTPS://A.com", "a.com", "https://*", "")


@pytest.mark.parametrize("known", [(), *((one, other) for one in (*ORIGINS, *ODD) for other in (*ORIGINS, *ODD))])
def test_what_is_not_covered_is_found_as_value_by_value(known: tuple[str, ...]) -> None:
    values = (*ORIGINS, *ODD)
    by_value = [value for value in values if not any(covers(other, value) for other in known)]
    assert uncovered_origins(values, known) == by_value


def test_many_origins_and_patterns_are_compared() -> None:
    origins = tuple(f"https://a{number}.com" for number in range(50_000))
    patterns = tuple(f"https://*.a{number}.com" for number in range(300))
    assert uncovered_origins(origins, (*origins[:-1], *patterns)) == ["https://a49999.com"]
    assert uncovered_origins(("https://x.a7.com", "https://x.b.com"), patterns) == ["https://x.b.com"]


# ---------------------------------------------------------------------------------------
# The facts of a route
# ---------------------------------------------------------------------------------------


def locked(**changes: Any) -> Locked:
    """The lock of a policy around any app."""
    return lock_of(target_of(Policy(**{"allow_origins": [PAGE], **changes}), "policy").routes())


def test_the_facts_of_a_policy() -> None:
    assert locked(allow_methods=["GET", "PUT"], allow_timing=True, expose_headers=["X-A"]) == {
        "GET any path": OPEN._replace(timing=True, expose=("X-A",)),
        "POST any path": Facts((PAGE,), timing=True, expose=("X-A",)),
        "PUT any path": OPEN._replace(timing=True, expose=("X-A",)),
    }
    assert locked(allow_origins=[]) == {f"{method} any path": NOBODY for method in ("GET", "POST")}
    assert locked(allow_origins="*", allow_headers=["*", "Authorization"], expose_headers="*")["GET any path"] == Facts(
        ("*",), preflight=True, headers=("*", "Authorization"), max_age=600, expose=("*",)
    )
    assert locked(max_age=None)["GET any path"] == OPEN._replace(max_age=None)


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "PURGE", "DELETE", "PUT"])
def test_a_method_that_is_allowed_newly_is_wider(method: str) -> None:
    """Around other apps, every method may have a handler."""
    changes = compare(locked(allow_methods=["POST"]), locked(allow_methods=["POST", method]))
    assert [(change.route, change.is_wider) for change in changes] == [(f"{method} any path", True)]
    assert any(change.is_wider for change in compare(locked(allow_methods=["POST", method]), locked(allow_methods="*")))


def lock_of_app(**changes: Any) -> Locked:
    app = Flask(__name__, static_folder=None)
    Preflight(app, allow_origins=[PAGE], **changes)
    app.add_url_rule("/x", "x", lambda: "")
    return lock_of(target_of(app, "app").routes())


def test_head_is_listed_where_it_has_other_rights_than_get() -> None:
    assert list(lock_of_app()) == ["GET /x"]
    changes = compare(lock_of_app(allow_methods=["POST"]), lock_of_app(allow_methods=["HEAD", "POST"]))
    assert [(change.route, change.is_wider) for change in changes] == [("HEAD /x", True)]

    class View(MethodView):
        def get(self) -> str:
            return ""

        @cors_route(allow_origins="*")
        def head(self) -> str:
            return ""

    class ExemptHead(MethodView):
        def get(self) -> str:
            return ""

        head = cors_exempt(lambda self: "")

    app = Flask(__name__, static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    app.add_url_rule("/x", view_func=View.as_view("x"))
    app.add_url_rule("/y", view_func=ExemptHead.as_view("y"))
    found = lock_of(target_of(app, "app").routes())
    origins = {key: facts.origins or facts.exempt for key, facts in found.items()}
    assert origins == {"GET /x": (PAGE,), "HEAD /x": ("*",), "GET /y": (PAGE,), "HEAD /y": True}


class Allowed:
    def __call__(self, origin: str, environ: Any) -> bool:
        return False

    def method(self, origin: str, environ: Any) -> bool:
        return False


def allowed(origin: str, environ: Any) -> bool:
    return False


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (allowed, "allowed"),
        (partial(allowed, "https://a.com"), "allowed"),
        (Allowed(), "Allowed"),
        (Allowed().method, "Allowed.method"),
        (lambda origin, environ: False, "<lambda>"),
    ],
)
def test_a_callable_is_named_with_its_module(function: Callable[[str, Any], bool], name: str) -> None:
    assert name_of(function) == f"{__name__}.{name}"
    (facts, *_) = locked(allow_origins=function if not isinstance(function, partial) else allowed).values()
    assert (facts.callable, facts.origins) == (f"{__name__}.{name}", ())


def test_what_is_refused_for_its_method_has_no_facts() -> None:
    target = target_of(Policy(allow_origins=[PAGE]), "policy")
    (route, *_) = target.routes()
    assert facts_of(route) == OPEN
    assert facts_of(route._replace(method="PUT")) == NOBODY
    assert facts_of(route._replace(error="the policy is not valid")) == NOBODY
    assert facts_of(route._replace(policy=None)) == EXEMPT


def test_of_two_rules_with_one_url_the_first_counts() -> None:
    app = Flask(__name__, static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    app.add_url_rule("/x", "one", cors_route(allow_origins="*")(lambda: ""))
    app.add_url_rule("/x", "two", lambda: "")
    assert lock_of(target_of(app, "app").routes())["GET /x"].origins == ("*",)


# ---------------------------------------------------------------------------------------
# The file
# ---------------------------------------------------------------------------------------


def test_the_file_is_sorted_and_leaves_out_what_is_empty(tmp_path: Path) -> None:
    app = Flask(__name__, static_folder=None)
    Preflight(app, allow_origins=[PAGE])
    app.add_url_rule("/b", "b", cors_exempt(lambda: ""))
    app.add_url_rule("/a", "a", cors_route(allow_origins=[])(lambda: ""), methods=["PUT", "GET"])
    routes = [*target_of(app, "app").routes()]
    write_lock(tmp_path / "lock", reversed(routes))
    text = (tmp_path / "lock").read_text()
    nobody: Any = {"origins": []}
    document = {"format": 1, "routes": {"GET /a": nobody, "PUT /a": nobody, "GET /b": {"exempt": True}}}
    assert text == json.dumps(document, indent=2) + "\n"


BAD_FILES = {
    "deep": ("[" * 100_000, "is not JSON: maximum recursion depth exceeded"),
    "binary": (b"\xff\xfe", "is not JSON: 'utf-8' codec can't decode"),
    "empty": ("", "is not JSON: Expecting value"),
    "repeated-route": (
        '{"format": 1, "routes": {"GET /": {"origins": ["*"]}, "GET /": {"origins": []}}}',
        "is not JSON: it has 'GET /' twice.",
    ),
    "repeated-fact": (
        '{"format": 1, "routes": {"GET /": {"origins": ["*"], "origins": []}}}',
        "is not JSON: it has 'origins' twice.",
    ),
    "repeated-routes": ('{"format": 1, "routes": {"GET /": {}}, "routes": {}}', "is not JSON: it has 'routes' twice."),
    "no-format": ('{"routes": {}}', "is no lock file"),
    "no-routes": ('{"format": 1}', "is no lock file"),
    "list-of-routes": ('{"format": 1, "routes": []}', "is no lock file"),
    "older": ('{"format": 0, "routes": {}}', "has the format 0, and this version reads 1."),
    "text-for-true": ('{"format": 1, "routes": {"GET /": {"exempt": "yes"}}}', "is damaged: 'exempt' is 'yes'."),
    "one-for-true": ('{"format": 1, "routes": {"GET /": {"credentials": 1}}}', "is damaged: 'credentials' is 1."),
    "null": ('{"format": 1, "routes": {"GET /": null}}', "is damaged: None is no policy."),
}


@pytest.mark.parametrize(("content", "says"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file(content: str | bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "cors.lock.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CannotRun, match=says.replace("[", r"\[")) as raised:
        read_lock(file)
    assert len(raised.value.format_message()) < 400


def test_a_middleware_is_locked_by_path_or_not_at_all() -> None:
    middleware = PreflightMiddleware(lambda environ, start: [], lambda environ: None)
    with pytest.raises(CannotRun, match="cannot be listed"):
        lock_of(target_of(middleware, "middleware").routes())
