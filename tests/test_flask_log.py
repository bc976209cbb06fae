"""What the extension reports of an app: refusals and errors in the log, and signals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from pages import PAGE, REFUSED, STRANGER, VARY, Answer, preflight, readable, send, without_line_numbers
from test_routes import builds_environ, copies_environ, moves_prefix
from werkzeug.routing import Rule
from werkzeug.test import create_environ, run_wsgi_app

from flask_preflight import (
    Decision,
    Outcome,
    Policy,
    PolicyError,
    Preflight,
    PreflightMiddleware,
    Reason,
    cors_exempt,
    cors_route,
    explain,
    journal,
    preflight_granted,
    preflight_refused,
    request_allowed,
    request_refused,
    wsgi,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def protected(**changes: Any) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.route("/", methods=["GET", "PUT"])(index)
    changes = {"allow_origins": [PAGE], **changes}
    Preflight(app, **changes)
    return app


def index() -> str:
    return "here"


# ---------------------------------------------------------------------------------------
# Signals
# ---------------------------------------------------------------------------------------

Received = list[tuple[str, object, dict[str, Any]]]


@pytest.fixture
def signals() -> Iterator[Received]:
    received: Received = []

    def receiver(name: str) -> Callable[..., None]:
        return lambda sender, **rest: received.append((name, sender, rest))

    with (
        preflight_granted.connected_to(receiver("preflight granted")),
        preflight_refused.connected_to(receiver("preflight refused")),
        request_allowed.connected_to(receiver("request allowed")),
        request_refused.connected_to(receiver("request refused")),
    ):
        yield received


def test_signals(signals: Received) -> None:
    app = protected()
    preflight(app, "PUT", "/")
    preflight(app, "PUT", "/", origin=STRANGER)
    preflight(app, "DELETE", "/")
    preflight(app, "DELETE", "/", origin=STRANGER)
    send(app, "PUT", "/")
    send(app, "PUT", "/", origin=STRANGER)
    assert all(sender is app for _, sender, _ in signals)
    assert all(set(rest) == {"decision", "environ"} for *_, rest in signals)
    decisions: list[tuple[str, Decision]] = [(name, rest["decision"]) for name, _, rest in signals]
    assert [(name, decision.outcome, decision.reason) for name, decision in decisions] == [
        ("preflight granted", Outcome.PREFLIGHT_GRANTED, None),
        ("preflight refused", Outcome.PREFLIGHT_REFUSED, Reason.ORIGIN_NOT_ALLOWED),
        ("preflight refused", Outcome.PREFLIGHT_REFUSED, Reason.METHOD_NOT_ROUTED),
        ("preflight refused", Outcome.PREFLIGHT_REFUSED, Reason.METHOD_NOT_ROUTED),
        ("request allowed", Outcome.ACTUAL_ALLOWED, None),
        ("request refused", Outcome.ACTUAL_REFUSED, Reason.ORIGIN_NOT_ALLOWED),
    ]
    origins = [rest["environ"]["HTTP_ORIGIN"] for *_, rest in signals]
    assert origins == [PAGE, STRANGER, PAGE, STRANGER, PAGE, STRANGER]


def test_no_signal_for_exempt_views_and_requests_without_origin(signals: Received) -> None:
    app = protected()
    app.put("/exempt")(cors_exempt(lambda: ""))
    preflight(app, "PUT", "/exempt")
    send(app, "PUT", "/exempt")
    send(app, "PUT", "/", origin=None)
    send(app, "OPTIONS", "/", origin=None)
    assert signals == []


NOT_REFUSALS = [
    pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}, id="navigation"),
    pytest.param({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"}, id="no-cors"),
    pytest.param({"Sec-Fetch-Mode": "websocket", "Sec-Fetch-Site": "cross-site"}, id="websocket"),
    pytest.param({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}, id="same origin"),
    pytest.param({"Host": "evil.com"}, id="same host"),
]
REFUSALS = [
    pytest.param({}, id="no Sec-Fetch headers"),
    pytest.param({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"}, id="cross site"),
    pytest.param({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-site"}, id="same site"),
    pytest.param({"Host": "evil.com:8080"}, id="another port of the host"),
]


@pytest.mark.parametrize("headers", NOT_REFUSALS)
def test_requests_that_do_not_count_as_refused(
    headers: dict[str, str], signals: Received, log: pytest.LogCaptureFixture
) -> None:
    assert send(protected(), "PUT", "/", origin=STRANGER, headers=headers) == Answer(200, VARY, "here")
    assert (signals, log.messages) == ([], [])


@pytest.mark.parametrize("headers", REFUSALS)
def test_requests_that_count_as_refused(
    headers: dict[str, str], signals: Received, log: pytest.LogCaptureFixture
) -> None:
    assert send(protected(), "PUT", "/", origin=STRANGER, headers=headers) == Answer(200, VARY, "here")
    assert ([name for name, *_ in signals], len(log.messages)) == (["request refused"], 1)


def test_an_app_inside_a_middleware_that_acts_sends_no_signals(signals: Received) -> None:
    app = protected()
    outer = PreflightMiddleware(app, Policy(allow_origins=[PAGE], allow_methods=["PUT"]))
    preflight(outer, "PUT", "/", origin=STRANGER)
    preflight(outer, "PUT", "/")
    send(outer, "PUT", "/")
    assert [(name, sender is app) for name, sender, _ in signals] == [
        ("preflight refused", True),  # the sender is the app that the middleware wraps
        ("preflight granted", True),
        ("request allowed", True),
    ]


@pytest.mark.parametrize("signal", [preflight_granted, preflight_refused, request_allowed, request_refused])
def test_a_receiver_that_raises_is_logged_and_changes_no_answer(signal: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(sender: object, **_: object) -> None:
        raise LookupError("no such table")

    app, watched = protected(), protected()
    asked: list[Callable[[Flask], Answer]] = [
        lambda app: preflight(app, "PUT", "/"),
        lambda app: preflight(app, "PUT", "/", origin=STRANGER),
        lambda app: send(app, "PUT", "/"),
        lambda app: send(app, "PUT", "/", origin=STRANGER),
    ]
    expected = [ask(app) for ask in asked]
    with signal.connected_to(fail):
        assert [ask(watched) for ask in asked] == expected
    [record] = caplog.records
    assert (record.name, record.levelno) == ("flask_preflight", logging.ERROR)
    assert "LookupError: no such table" in record.getMessage()
    assert f"{__file__}:{fail.__code__.co_firstlineno + 1}" in record.getMessage()


# ---------------------------------------------------------------------------------------
# Refusals in the log
# ---------------------------------------------------------------------------------------


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="flask_preflight")
    return caplog


def test_a_refusal_is_logged_once_for_each_cause(log: pytest.LogCaptureFixture) -> None:
    app = protected(allow_origins=[PAGE, "http://localhost:3000"])
    app.put("/other/<int:number>", endpoint="other")(lambda number: "")
    for _ in range(2):
        for number in range(3):
            preflight(app, "PUT", "/", origin=f"https://{number}.evil.com")  # no allowed origin is near
            preflight(app, "PUT", "/", origin=f"http://localhost:300{number + 1}")
            preflight(app, "PUT", f"/other/{number}", origin=f"https://{number}.evil.com")
            preflight(app, "PUT", f"/missing/{number}", origin=STRANGER)
            preflight(app, f"MADE-UP-{number}", "/")
            preflight(app, "PUT", "/", f"X-{number}")
            send(app, "PUT", f"/missing/{number}", origin="http://localhost:3001")
    assert {record.levelno for record in log.records} == {logging.INFO}
    assert {record.name for record in log.records} == {"flask_preflight"}
    write = "If the page is yours, write allow_origins=['http://localhost:3000', 'https://frontend.com', "
    there = "in Preflight(...) at test_flask_log.py."
    assert [without_line_numbers(message) for message in log.messages] == [
        "Refused a CORS preflight, origin-not-allowed: 'PUT' '/'. The origin 'https://0.evil.com' is not in"
        f" allow_origins. {write}'https://0.evil.com'] {there}",
        "Refused a CORS preflight, origin-not-allowed: 'PUT' '/'. The origin 'http://localhost:3001' is not in"
        " allow_origins. The nearest allowed origin is 'http://localhost:3000'. It differs in the port."
        f" {write}'http://localhost:3001'] {there}",
        "Refused a CORS preflight, origin-not-allowed: 'PUT' '/other/<int:number>'. The origin 'https://0.evil.com' is"
        f" not in allow_origins. {write}'https://0.evil.com'] {there}",
        "Refused a CORS preflight, origin-not-allowed: 'PUT' no route. Check the URL first: no route of the app matches"
        " it, so the app-wide policy decides. The origin 'https://evil.com' is not in"
        f" allow_origins. {write}'https://evil.com'] {there}",
        "Refused a CORS preflight, method-not-routed: 'MADE-UP-0' '/'. This URL has no route for the method"
        " 'MADE-UP-0', only for GET, HEAD, PUT. To handle it, add a view with @app.route('/', methods=['MADE-UP-0']).",
        "Refused a CORS preflight, headers-not-allowed: 'PUT' '/'. The request header 'x-0' is not in allow_headers,"
        " which allows Content-Type. To allow it, write allow_headers=['Content-Type', 'X-0'] in Preflight(...) at"
        " test_flask_log.py.",
        "Refused a CORS request, origin-not-allowed: 'PUT' no route. Check the URL first: no route of the app matches"
        " it, so the app-wide policy decides. The origin 'http://localhost:3001' is not in"
        " allow_origins. The nearest allowed origin is 'http://localhost:3000'. It differs in the port."
        f" {write}'http://localhost:3001'] {there}",
    ]


def test_in_debug_mode_each_refusal_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    app = protected()
    app.debug = True
    for _ in range(2):
        preflight(app, "PUT", "/", origin=STRANGER)
        send(app, "PUT", "/", origin=STRANGER)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 4
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "Refused a CORS preflight, origin-not-allowed",
        "Refused a CORS request, origin-not-allowed",
    ] * 2


@pytest.mark.parametrize(
    ("attempt", "reason", "rule"),
    [
        (lambda app: preflight(app, "PUT", "/x/1", origin=STRANGER), "origin-not-allowed", "/x/<int:n>"),
        (lambda app: preflight(app, "DELETE", "/x/1", origin=STRANGER), "origin-not-allowed", "/x/<m>"),
        (lambda app: preflight(app, "PATCH", "/x/1"), "method-not-routed", "/x/<m>"),
        (lambda app: preflight(app, "PUT", "/missing", origin=STRANGER), "origin-not-allowed", "no route"),
        (lambda app: send(app, "PUT", "/x/1", origin=STRANGER), "origin-not-allowed", "/x/<int:n>"),
        (lambda app: send(app, "PATCH", "/x/1", origin=STRANGER), "origin-not-allowed", "/x/<m>"),
        (lambda app: send(app, "PUT", "/missing", origin=STRANGER), "origin-not-allowed", "no route"),
    ],
    ids=[
        "preflight",
        "preflight of another method",
        "preflight, no route for the method",
        "preflight, no route",
        "request",
        "request, no route for the method",
        "request, no route",
    ],
)
def test_records_have_the_reason_the_origin_and_the_rule(
    attempt: Callable[[Flask], Answer], reason: str, rule: str, log: pytest.LogCaptureFixture
) -> None:
    """Where a URL has no route for the method, the rule is that of the first of its methods in sorted order."""
    app = protected()
    app.put("/x/<int:n>", endpoint="put")(lambda n: "")
    app.delete("/x/<m>", endpoint="delete")(lambda m: "")
    attempt(app)
    [record] = log.records
    origin = PAGE if reason == "method-not-routed" else STRANGER
    assert (vars(record)["cors_reason"], vars(record)["cors_origin"], vars(record)["cors_rule"]) == (
        reason,
        origin,
        rule,
    )


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        (PAGE, "method-not-routed"),
        (STRANGER, "method-not-routed"),
        ("null", "origin-null"),
        (f"{PAGE}/", "origin-malformed"),
    ],
)
def test_what_is_wrong_with_any_route_is_told_before_a_missing_one(
    origin: str, reason: str, log: pytest.LogCaptureFixture
) -> None:
    preflight(protected(), "DELETE", "/", origin=origin)
    assert [vars(record)["cors_reason"] for record in log.records] == [reason]


@pytest.mark.parametrize("character", ["\r\nX: y", "\x1b[31m", "\x85", "\u2028".encode().decode("latin-1")], ids=ascii)
def test_text_of_a_stranger_stays_on_one_line(character: str, log: pytest.LogCaptureFixture) -> None:
    app = protected()
    for header in ("ORIGIN", "ACCESS_CONTROL_REQUEST_METHOD", "ACCESS_CONTROL_REQUEST_HEADERS"):
        environ = create_environ("/", method="OPTIONS")
        environ.update(HTTP_ORIGIN=PAGE, HTTP_ACCESS_CONTROL_REQUEST_METHOD="PUT")
        environ[f"HTTP_{header}"] = f"x{character}"
        environ["PATH_INFO"] = f"/{character}"
        run_wsgi_app(app, environ)
    assert len(log.messages) == 3
    assert all(message.isascii() and message.isprintable() for message in log.messages)


def test_nothing_is_explained_for_a_log_that_is_off(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((journal, "nearest_origin"), (explain, "nearest_origin"), (wsgi, "explain")):
        monkeypatch.setattr(module, name, None)  # cannot be called
    caplog.set_level(logging.WARNING, logger="flask_preflight")
    app = protected()
    assert preflight(app, "PUT", "/", origin=STRANGER) == REFUSED
    assert send(app, "PUT", "/", origin=STRANGER) == Answer(200, VARY, "here")
    assert caplog.records == []


def test_a_refusal_while_the_log_was_off_is_logged_when_it_is_on(caplog: pytest.LogCaptureFixture) -> None:
    app = protected()
    caplog.set_level(logging.WARNING, logger="flask_preflight")
    preflight(app, "PUT", "/", origin=STRANGER)
    caplog.set_level(logging.INFO, logger="flask_preflight")
    preflight(app, "PUT", "/", origin=STRANGER)
    assert len(caplog.records) == 1


def test_granted_and_allowed_requests_are_not_logged(log: pytest.LogCaptureFixture) -> None:
    app = protected()
    preflight(app, "PUT", "/")
    send(app, "PUT", "/")
    send(app, "PUT", "/", origin=None)
    assert log.records == []


def test_refusals_are_appended_to_the_list_of_the_caller() -> None:
    app = protected()
    refusals: list[str] = []
    overrides: dict[str, Any] = {"environ_overrides": {"flask_preflight.refusals": refusals}}
    preflight(app, "PUT", "/", **overrides)
    send(app, "PUT", "/", **overrides)
    assert refusals == []
    preflight(app, "DELETE", "/", **overrides)
    send(app, "PUT", "/", origin=STRANGER, **overrides)
    assert [without_line_numbers(line) for line in refusals] == [
        "method-not-routed; This URL has no route for the method 'DELETE', only for GET, HEAD, PUT. To handle it, add a"
        " view with @app.route('/', methods=['DELETE']).",
        "origin-not-allowed; The origin 'https://evil.com' is not in allow_origins. If the page is yours, write"
        " allow_origins=['https://frontend.com', 'https://evil.com'] in Preflight(...) at test_flask_log.py.",
    ]


@pytest.mark.parametrize("middleware", [moves_prefix, copies_environ, builds_environ], ids=lambda each: each.__name__)
@pytest.mark.parametrize("is_late", [False, True], ids=["function", "generator"])
def test_the_list_of_the_caller_survives_what_middleware_makes_of_the_environ(is_late: bool, middleware: Any) -> None:
    def generating(inner: Any) -> Any:
        def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
            yield from middleware(inner)(environ, start_response)

        return handle

    app = Flask("site", static_folder=None)
    app.route("/x", methods=["GET", "PUT"])(index)
    vars(app)["wsgi_app"] = (generating if is_late else middleware)(app.wsgi_app)
    Preflight(app, allow_origins=[PAGE])
    for ask in (preflight, send):
        refusals: list[str] = []
        overrides: dict[str, Any] = {"environ_overrides": {"flask_preflight.refusals": refusals}}
        ask(app, "PUT", "/budget/x", **overrides)
        assert refusals == []
        ask(app, "PUT", "/budget/x", origin=STRANGER, **overrides)
        assert [without_line_numbers(line) for line in refusals] == [
            "origin-not-allowed; The origin 'https://evil.com' is not in allow_origins. If the page is yours, write"
            " allow_origins=['https://frontend.com', 'https://evil.com'] in Preflight(...) at test_flask_log.py."
        ]


def test_where_middleware_fails_behind_the_view_the_path_at_hand_decides(log: pytest.LogCaptureFixture) -> None:
    def moves_and_fails(inner: Any) -> Any:
        def handle(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            inner({**environ, "PATH_INFO": "/public"}, start_response)
            raise LookupError

        return handle

    app = Flask("site", static_folder=None)
    app.put("/")(index)
    app.put("/public", endpoint="public")(cors_route(allow_origins="*")(lambda: ""))
    vars(app)["wsgi_app"] = moves_and_fails(app.wsgi_app)
    Preflight(app, allow_origins=[PAGE])
    assert preflight(app, "PUT", "/", origin=STRANGER) == REFUSED
    assert [record.levelname for record in log.records] == ["ERROR", "INFO"]
    assert vars(log.records[1])["cors_rule"] == "/"


# ---------------------------------------------------------------------------------------
# A policy that becomes invalid after the first request
# ---------------------------------------------------------------------------------------


def invalid_later(middleware: Any = None, **options: Any) -> Flask:
    app = Flask("site", static_folder=None)
    app.add_url_rule("/late", "late", methods=["PUT"])
    if middleware is not None:
        vars(app)["wsgi_app"] = middleware(app.wsgi_app)
    Preflight(app, allow_origins="*", **options)
    assert send(app, "PUT", "/missing").status == 404
    app.view_functions["late"] = cors_route(allow_credentials=True)(index)
    return app


ASKS: list[Any] = [
    pytest.param(preflight, "preflight refused", Outcome.PREFLIGHT_REFUSED, id="preflight"),
    pytest.param(send, "request refused", Outcome.ACTUAL_REFUSED, id="request"),
]


@pytest.mark.parametrize("debug", [False, True], ids=["production", "debug"])
@pytest.mark.parametrize("middleware", [None, copies_environ, builds_environ])
@pytest.mark.parametrize(("ask", "signal", "outcome"), ASKS)
def test_what_an_invalid_policy_refuses_is_told(
    ask: Callable[..., Answer],
    signal: str,
    outcome: Outcome,
    middleware: Any,
    debug: bool,
    signals: Received,
    log: pytest.LogCaptureFixture,
) -> None:
    app = invalid_later(middleware, debug=debug)
    signals.clear()
    refusals: list[str] = []
    for count in range(1, 3):
        answer = ask(app, "PUT", "/late", environ_overrides={"flask_preflight.refusals": refusals})
        assert answer.status == (403 if ask is preflight else 200)
        assert not [name for name in answer.cors if name.startswith("Access-Control-")]
        assert [(name, sender is app) for name, sender, _ in signals] == [(signal, True)] * count
        decision: Decision = signals[-1][2]["decision"]
        assert (decision.outcome, decision.reason) == (outcome, Reason.POLICY_INVALID)
        assert isinstance(decision.error, PolicyError)
        assert len(refusals) == count
        assert refusals[-1].startswith("policy-invalid; The policy of the view is not valid, so nothing is allowed: ")
        assert answer.cors.get("CORS-Refused") == (refusals[-1] if debug else None)
    levels = [record.levelname for record in log.records]
    assert levels.count("ERROR") == 1
    assert levels.count("WARNING" if debug else "INFO") == (2 if debug else 1)
    [error] = [record.getMessage() for record in log.records if record.levelname == "ERROR"]
    assert "The policy of the view 'late' is not valid" in error


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}, id="navigation"),
        pytest.param({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}, id="same origin"),
    ],
)
@pytest.mark.parametrize("origin", [PAGE, None], ids=["with origin", "without origin"])
def test_an_invalid_policy_refuses_no_request_that_does_not_count(
    origin: str | None, headers: dict[str, str], signals: Received, caplog: pytest.LogCaptureFixture
) -> None:
    app = invalid_later(debug=True)
    signals.clear()
    refusals: list[str] = []
    overrides = {"flask_preflight.refusals": refusals}
    answer = send(app, "PUT", "/late", origin=origin, headers=headers, environ_overrides=overrides)
    assert answer == Answer(200, VARY, "here")
    assert (signals, refusals, [record.levelname for record in caplog.records]) == ([], [], ["ERROR"])


# ---------------------------------------------------------------------------------------
# Errors in code of the app
# ---------------------------------------------------------------------------------------


def divide(origin: str, environ: dict[str, Any]) -> bool:
    return bool(1 / 0)


def test_a_callable_that_fails_is_logged_once_and_refuses(log: pytest.LogCaptureFixture) -> None:
    app = protected(allow_origins=divide)
    for _ in range(3):
        assert preflight(app, "PUT", "/") == REFUSED
        assert send(app, "PUT", "/") == Answer(200, VARY, "here")
    assert [record.levelno for record in log.records] == [logging.ERROR, logging.INFO]
    place = f"{__file__}:{divide.__code__.co_firstlineno + 1}"
    assert f"at {place}: 'ZeroDivisionError: division by zero'" in log.messages[0]
    assert log.records[0].exc_info is not None
    assert "The callable in allow_origins failed" in log.messages[1]


def test_the_error_of_a_callable_is_in_the_decision(signals: Received) -> None:
    app = protected(allow_origins=divide)
    preflight(app, "PUT", "/")
    send(app, "PUT", "/")
    decisions: list[Decision] = [rest["decision"] for *_, rest in signals]
    assert [decision.reason for decision in decisions] == [Reason.ORIGIN_CHECK_FAILED] * 2
    assert [type(decision.error) for decision in decisions] == [ZeroDivisionError] * 2


def test_a_callable_that_returns_no_bool_refuses_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    wrong: Any = lambda origin, environ: "yes"  # noqa: E731
    app = protected(allow_origins=wrong)
    assert preflight(app, "PUT", "/") == REFUSED
    [message] = caplog.messages
    assert "allow_origins returned str, not bool" in message


# ---------------------------------------------------------------------------------------
# Exceptions that leave the app
# ---------------------------------------------------------------------------------------

WHY = (
    "The app raised an exception, so the server sends the error page without CORS headers. The browser will call that"
    " a CORS error; the cause is in the traceback."
)


def failing(error: BaseException | None = None, **config: Any) -> Flask:
    app = protected()
    app.config.update(config)
    app.logger.disabled = True  # Flask logs the exception too

    @app.route("/fail", methods=["GET", "PUT"])
    def fail() -> str:
        raise error or RuntimeError

    return app


def test_an_error_page_of_flask_has_the_headers(caplog: pytest.LogCaptureFixture) -> None:
    assert send(failing(), "PUT", "/fail")[:2] == (500, readable())
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("config", "count"),
    [
        pytest.param({"TESTING": True}, 1, id="testing"),
        pytest.param({"PROPAGATE_EXCEPTIONS": True}, 1, id="propagating"),
        pytest.param({"DEBUG": True}, 2, id="debug mode, each"),
    ],
)
def test_an_exception_that_leaves_the_app_is_logged_once_a_minute(
    config: dict[str, Any], count: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = failing(**config)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            send(app, "PUT", "/fail")
    assert [(record.name, record.levelno, record.getMessage()) for record in caplog.records] == [
        ("flask_preflight", logging.WARNING, WHY)
    ] * count


def test_each_type_of_exception_that_leaves_the_app_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = failing(TESTING=True)
    app.put("/divide")(lambda: str(1 / 0))
    for path, error in 2 * [("/fail", RuntimeError), ("/divide", ZeroDivisionError)]:
        with pytest.raises(error):
            send(app, "PUT", path)
    assert caplog.messages == [WHY, WHY]


def test_an_exception_without_origin_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """No browser calls that a CORS error."""
    with pytest.raises(RuntimeError):
        send(failing(TESTING=True), "PUT", "/fail", origin=None)
    assert caplog.messages == []


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Connection": "Upgrade", "Upgrade": "websocket"}, id="Upgrade"),
        pytest.param({"Connection": "Upgrade", "Upgrade": "WebSocket"}, id="Upgrade in another case"),
        pytest.param({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, id="Sec-WebSocket-Key"),
    ],
)
def test_an_exception_of_a_websocket_is_not_logged(headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Servers end websockets by exceptions, and CORS does not apply to them."""
    app = failing(TESTING=True)
    app.url_map.add(Rule("/fail", endpoint="fail", websocket=True))
    with pytest.raises(RuntimeError):
        send(app, "GET", "/fail", headers=headers)
    assert caplog.messages == []


class Ending:
    """A middleware or a server's hook that ends a request by *error*."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        raise self.error


@pytest.mark.parametrize(
    "error", [StopIteration(), StopAsyncIteration(), GeneratorExit(), KeyboardInterrupt(), SystemExit()], ids=repr
)
def test_exceptions_that_are_no_errors_are_not_logged(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("site")
    app.wsgi_app = Ending(error)  # type: ignore[method-assign]
    Preflight(app, allow_origins=[PAGE])
    environ = create_environ("/", headers={"Origin": PAGE})
    with pytest.raises(type(error)):
        app(environ, lambda *_: bytes)
    assert caplog.messages == []
