"""Explanations show the app's own objects. Whatever these are or raise, no answer changes, and the advice is true."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request_started
from flask.views import MethodView
from pages import PAGE, REFUSED, STRANGER, VARY_PREFLIGHT, Answer, preflight, send
from werkzeug.test import Client

from flask_preflight import Policy, Preflight, PreflightMiddleware, cors_route
from flask_preflight.explain import describe_error
from flask_preflight.marks import warn_of_no_extension


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "flask_preflight")
    return caplog


def new_app(**changes: Any) -> Flask:
    app = Flask("odd", static_folder=None)
    fields: dict[str, Any] = {"allow_origins": [PAGE], **changes}
    Preflight(app, **fields)
    return app


def refusal_of(app: Any, method: str, path: str, **headers: str) -> str:
    app.debug = True
    return Client(app).open(path, method=method, headers=headers).headers.get("CORS-Refused", "")


def announced(method: str, origin: str = PAGE) -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": method}


def test_source_that_has_changed_on_disk_changes_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment or an editor may write a module while the process runs."""
    module = tmp_path / "views_that_change.py"
    module.write_text(
        "from flask.views import MethodView\nfrom flask_preflight import cors_route\n"
        "@cors_route(allow_origins=['https://a.example'])\ndef view(): return 'here'\n"
        "@cors_route(allow_origins=['https://a.example'])\nclass View(MethodView):\n    def get(self): return 'here'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    views = importlib.import_module("views_that_change")
    app = new_app()
    app.add_url_rule("/view", view_func=views.view)
    app.add_url_rule("/class", view_func=views.View.as_view("class"))
    module.write_text('"""new\nversion\n"""\nX = """\ntext\n')
    for path, line in (("/view", 3), ("/class", 5)):
        assert preflight(app, "GET", path, origin=STRANGER) == REFUSED
        assert send(app, "GET", path, origin=STRANGER)[0] == 200
        assert f" at {module}:{line}." in refusal_of(app, "OPTIONS", path, **announced("GET", STRANGER))
        app.debug = False
    del sys.modules["views_that_change"]


class Raising:
    """A descriptor, such as the query property of a database library, that works inside of a request only."""

    def __get__(self, *_: object) -> Any:
        raise RuntimeError("no database")


def test_a_method_that_names_an_attribute_of_the_view_class_is_a_405() -> None:
    class Users(MethodView):
        query = Raising()

        def get(self) -> str:
            return "users"

    app = new_app()
    app.add_url_rule("/users", view_func=Users.as_view("users"))
    answer = Client(app).open("/users", method="QUERY", headers={"Origin": STRANGER})
    assert (answer.status_code, answer.headers["Vary"]) == (405, "Origin")
    assert preflight(app, "QUERY", "/users") == REFUSED


class Counting:
    """A descriptor that counts how often it is asked for, and raises from some time on."""

    count, last = 0, 10**9

    def __get__(self, *_: object) -> Callable[..., str]:
        self.count += 1
        if self.count > self.last:
            raise RuntimeError("no database any more")
        return lambda _self: "users"


def test_what_is_asked_for_the_explanation_alone_may_raise() -> None:
    counting = Counting()

    class Users(MethodView):
        methods = ["PUT"]  # noqa: RUF012 - as in the documentation of Flask
        put = counting

    app = new_app()
    app.add_url_rule("/users", view_func=Users.as_view("users"))
    refusal_of(app, "OPTIONS", "/users", **announced("PUT", STRANGER))  # the first request checks all views
    counting.count = 0
    assert "is not in allow_origins" in refusal_of(app, "OPTIONS", "/users", **announced("PUT", STRANGER))
    counting.last, counting.count = counting.count - 1, 0
    answer = Client(app).open("/users", method="OPTIONS", headers=announced("PUT", STRANGER))
    headers = {name: value for name, value in answer.headers if name not in ("CORS-Refused", "Content-Length")}
    assert (answer.status_code, headers) == (403, {**VARY_PREFLIGHT, "Content-Type": "text/plain; charset=utf-8"})
    assert answer.text.startswith(f"The origin {STRANGER!r} is not in allow_origins.")


def test_a_405_names_the_place_of_the_app_wide_policy() -> None:
    """It has decided, so a change of the view's mark would change nothing."""
    app = new_app()
    app.put("/x")(cors_route(allow_origins=["https://view.example"])(lambda: ""))
    refusal = refusal_of(app, "GET", "/x", Origin=STRANGER)
    assert f"write allow_origins=['{PAGE}', '{STRANGER}'] in Preflight(...) at " in refusal


@pytest.mark.parametrize(("routed", "asked"), [("PATCH", "patch"), ("PROPFIND", "propfind"), ("PROPFIND", "PropFind")])
@pytest.mark.parametrize("allow_methods", [None, "listed"])
def test_a_method_that_differs_in_case_only_needs_no_change_of_the_server(
    allow_methods: Any, routed: str, asked: str
) -> None:
    app = new_app(allow_methods=[routed] if allow_methods else None)
    app.add_url_rule("/x", "x", lambda: "", methods=[routed])
    refusal = refusal_of(app, "OPTIONS", "/x", **announced(asked))
    assert refusal == (
        f"method-not-allowed; The method '{asked}' is not '{routed}'. Methods are case-sensitive: write '{routed}' in"
        " the page's fetch(). The server needs no change."
    )


@pytest.mark.parametrize(
    ("policy", "first"),
    [
        pytest.param(Policy(allow_origins=[PAGE], expose_headers="*"), "expose_headers", id="star"),
        pytest.param(Policy(allow_origins=[PAGE, "http://b.example"]), "allow_origins", id="insecure origin"),
    ],
)
def test_what_stands_against_cookies_is_named_with_its_field(policy: Policy, first: str) -> None:
    client = Client(PreflightMiddleware(Flask("x"), policy, debug=True), use_cookies=False)
    refusal = client.get("/", headers={"Origin": PAGE, "Cookie": "a=b"}).headers["CORS-Refused"]
    assert f"If the page needs cookies, change {first} first: " in refusal
    assert ". Then write allow_credentials=True in the Policy." in refusal


def test_the_current_directory_is_removed_at_the_start_of_a_path_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "other" / tmp_path.relative_to("/")
    inner.mkdir(parents=True)
    (inner / "anchored.py").write_text(
        "from flask_preflight import Preflight\nmake = lambda app, **f: Preflight(app, **f)\n"
    )
    monkeypatch.syspath_prepend(inner)
    make = importlib.import_module("anchored").make
    app = Flask("odd", static_folder=None)
    make(app, allow_origins=[PAGE])
    monkeypatch.chdir(tmp_path)
    refusal = refusal_of(app, "GET", "/x", Origin=STRANGER)
    assert refusal.endswith(f" at {inner.relative_to(tmp_path)}/anchored.py:2.")
    del sys.modules["anchored"]


def test_a_policy_finder_of_the_users_own_may_have_any_attribute() -> None:
    class Tenants:
        def __call__(self, environ: dict[str, Any]) -> Policy:
            return Policy(allow_origins=[PAGE])

        def key_of(self, tenant: str) -> str:
            raise KeyError(tenant)

    app = PreflightMiddleware(Flask("x"), Tenants(), debug=True)
    assert "origin-not-allowed" in refusal_of(app, "GET", "/", Origin=STRANGER)


@pytest.mark.parametrize("host", [{"host": "a.example"}, {"subdomain": "api"}], ids=str)
def test_the_advised_route_has_its_host(host: dict[str, Any]) -> None:
    app = Flask("odd", static_folder=None, host_matching="host" in host, subdomain_matching="subdomain" in host)
    app.config["SERVER_NAME"] = "a.example"
    Preflight(app, allow_origins=[PAGE])
    app.add_url_rule("/x", "x", lambda: "", methods=["PUT"], **host)
    base = f"http://{'api.' if 'subdomain' in host else ''}a.example"
    app.debug = True
    refusal = Client(app).options("/x", base_url=base, headers=announced("DELETE")).headers["CORS-Refused"]
    (name, value), *_ = host.items()
    assert f"@app.route('/x', {name}='{value}', methods=['DELETE'])" in refusal


class NoNotes(Exception):
    @property
    def __notes__(self) -> list[str]:
        raise ZeroDivisionError


class NoLine(SyntaxError):
    @property
    def lineno(self) -> int:  # type: ignore[override]
        raise ZeroDivisionError


class Meta(type):
    __hash__ = None  # type: ignore[assignment]


class NoHash(Exception, metaclass=Meta):
    pass


class NoName(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def chained() -> Exception:
    error = ValueError("last")
    inner: BaseException = error
    for _ in range(20_000):
        inner.__context__ = inner = KeyError("x")
    return error


@pytest.mark.parametrize(
    "make", [NoNotes, NoLine, NoHash, NoName, chained], ids=["notes", "line", "hash", "str", "chain"]
)
def test_an_odd_exception_refuses_and_changes_no_answer(make: Callable[[], Exception]) -> None:
    def fails(origin: str, environ: dict[str, Any]) -> bool:
        raise make()

    app = new_app(allow_origins=fails)
    app.add_url_rule("/x", "x", lambda: "here", methods=["PUT"])
    assert preflight(app, "PUT", "/x") == REFUSED
    assert send(app, "PUT", "/x") == Answer(200, {"Vary": "Origin"}, "here")
    app.debug = True
    assert preflight(app, "PUT", "/x").cors["CORS-Refused"].startswith("origin-check-failed; The callable in")


def test_an_odd_exception_is_shown_without_what_it_raises() -> None:
    assert describe_error(NoName()) == "'test_odd_apps.NoName: <it cannot be shown>'"
    assert describe_error(ValueError("no")) == "'ValueError: no'"
    assert describe_error(ValueError()) == "'ValueError'"


class Unnamed:
    """A view that raises when it is looked at."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __call__(self) -> str:
        return "here"

    __name__ = "unnamed"

    def __getattr__(self, name: str) -> Any:
        if name == "__qualname__":
            raise self.error
        raise AttributeError(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ZeroDivisionError", "ZeroDivisionError"),
        ("\u041d\u0435\u0442", r"\u041d\u0435\u0442"),
        ("No\r\nX-Forged: y\x1b\u2028", r"No\r\nX-Forged: y\x1b\u2028"),
        ("a" * 5000, f"{'a' * 200}..."),
    ],
    ids=["ASCII", "Cyrillic", "line breaks", "long"],
)
def test_a_view_that_raises_when_it_is_shown_changes_no_answer(name: str, shown: str) -> None:
    app = new_app()
    view = Unnamed(type(name, (Exception,), {}))
    app.add_url_rule("/x", "x", cors_route(allow_headers=[])(view), methods=["PUT"])
    assert preflight(app, "PUT", "/x", "X-A") == REFUSED
    assert refusal_of(app, "OPTIONS", "/x", **announced("PUT"), **{"Access-Control-Request-Headers": "x-a"}) == (
        f"headers-not-allowed; This cannot be explained, because an object of the app raised {shown}."
    )


def test_valid_methods_that_are_no_strings_change_no_answer() -> None:
    from werkzeug.exceptions import MethodNotAllowed
    from werkzeug.routing import BaseConverter

    class Odd(BaseConverter):
        def to_python(self, value: str) -> str:
            raise MethodNotAllowed(valid_methods=[None, 7])  # type: ignore[list-item]

    app = new_app()
    app.url_map.converters["odd"] = Odd
    app.put("/<odd:x>")(lambda x: "")
    assert preflight(app, "PUT", "/x") == REFUSED


class NoModule:
    """A view of which Python cannot tell where it was made."""

    @property
    def __module__(self) -> str:  # type: ignore[override]
        raise RuntimeError("no module")

    def __call__(self) -> str:
        return "here"


def test_the_search_for_lost_marks_changes_no_answer() -> None:
    app = new_app()
    app.debug = True
    app.add_url_rule("/odd", "odd", NoModule())
    answer = Client(app).get("/odd", headers={"Origin": PAGE})
    assert (answer.text, answer.headers["Access-Control-Allow-Origin"]) == ("here", PAGE)


def new_broken(app: Flask) -> Counting:
    """Add a view to *app* that raises when its methods are read, once that is switched on by ``last``."""
    counting = Counting()

    class Users(MethodView):
        methods = ["PUT"]  # noqa: RUF012 - as in the documentation of Flask
        put = counting

    app.add_url_rule("/users", view_func=Users.as_view("users"))
    return counting


def test_the_views_of_one_app_may_fail_when_another_app_is_verified(caplog: pytest.LogCaptureFixture) -> None:
    broken, sound = new_app(), new_app()
    new_broken(broken).last = 0
    Preflight().verify(sound)
    assert caplog.messages == []
    with pytest.raises(RuntimeError, match="no database any more"):
        Preflight().verify(broken)


def test_the_search_for_marks_without_the_extension_changes_no_answer() -> None:
    app = Flask("odd")
    new_broken(app).last = 0
    app.add_url_rule("/", "index", lambda: "here")
    request_started.connect(warn_of_no_extension)
    assert Client(app).get("/").text == "here"
    assert warn_of_no_extension not in list(request_started.receivers_for(app))
