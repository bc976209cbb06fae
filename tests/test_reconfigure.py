"""``reconfigure``: changes of the app-wide policy while the app runs."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from pages import PAGE, granted, preflight, readable, send
from werkzeug.routing import Rule

from flask_preflight import Policy, PolicyError, Preflight, cors_route

OTHER = "https://other.com"


def new_app(**config: Any) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config.update(config)
    app.route("/", methods=["GET", "PUT"])(index)
    return app


def index() -> str:
    return "here"


def line_of(view: Callable[..., Any]) -> str:
    return f"{__file__}:{view.__code__.co_firstlineno}"


@pytest.mark.parametrize("served", [False, True], ids=["before the first request", "after it"])
def test_reconfigure_adds_up(served: bool) -> None:
    app = new_app(PREFLIGHT_ALLOW_HEADERS=["X-Config"])
    extension = Preflight(app, allow_origins=[PAGE])
    app.put("/view")(cors_route(max_age=9)(lambda: ""))
    if served:
        send(app, "GET", "/")
    extension.reconfigure(app, allow_headers=[..., "X-One"], max_age=1)
    extension.reconfigure(app, allow_headers=[..., "X-Two"], allow_methods=["PUT"])
    assert preflight(app, "PUT", "/") == granted("PUT", "X-Config, X-One, X-Two", "1")
    assert preflight(app, "PUT", "/view") == granted("PUT", "X-Config, X-One, X-Two", "9")
    extension.reconfigure(app, allow_headers=["X-Three"], allow_methods=None)
    extension.reconfigure(app, allow_headers=[..., "X-Four"])
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT", "X-Four, X-Three", "1")


def test_reconfigure_changes_nothing_where_a_view_would_be_bad() -> None:
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE], max_age=1)

    @app.put("/view")
    @cors_route(allow_credentials=True)
    def view() -> str:
        return ""

    changes: list[dict[str, Any]] = [{"allow_origins": "*"}, {"max_age": -1}]
    for bad in changes:
        with pytest.raises(PolicyError) as caught:
            extension.reconfigure(app, **bad)
        place = f"view 'view' at {line_of(view)}" if "allow_origins" in bad else "preflight.reconfigure(...)"
        assert [problem.where for problem in caught.value.problems] == [place]
        assert preflight(app, "PUT", "/").cors["Access-Control-Max-Age"] == "1"
    extension.reconfigure(app, max_age=2)  # and the refused changes are not kept
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT", max_age="2")


def test_reconfigure_sees_new_routes() -> None:
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE])
    send(app, "GET", "/")
    app.url_map.add(Rule("/late", endpoint="late", methods=["PUT"]))
    app.view_functions["late"] = cors_route(allow_credentials=True)(lambda: "")
    with pytest.raises(PolicyError, match=r"view 'late' at"):
        extension.reconfigure(app, allow_origins="*")


def test_many_reconfigurations_do_not_pile_up() -> None:
    app = new_app()
    extension = Preflight(app)
    for number in range(100):
        extension.reconfigure(app, allow_origins=[f"https://{number}.example"], max_age=number)
    extension.reconfigure(app, allow_origins=[..., PAGE])
    assert preflight(app, "PUT", "/").cors["Access-Control-Max-Age"] == "99"
    assert preflight(app, "PUT", "/", origin="https://99.example").status == 204
    levels = app.extensions["preflight"].version().reconfigured
    assert [set(level) for level in levels] == [{"allow_origins", "max_age"}]


@pytest.mark.parametrize("served", [False, True], ids=["before the first request", "after it"])
@pytest.mark.slow
def test_many_additions_do_not_pile_up(served: bool) -> None:
    """Each adds to the values before, so none replaces another for good."""
    app = new_app(PREFLIGHT_ALLOW_HEADERS=["X-Config"])
    extension = Preflight(app, allow_origins=[PAGE])
    if served:
        send(app, "GET", "/")
    names = [f"X-{number}" for number in range(20)]
    for number in range(1000):
        extension.reconfigure(app, allow_origins=[..., f"https://{number % 20}.example"], max_age=number)
        extension.reconfigure(app, allow_headers=[..., names[number % 20]])
    levels = app.extensions["preflight"].version().reconfigured
    assert len(levels) <= 2
    assert all(len(level[name]) <= 22 for level in levels for name in level.keys() - {"max_age"}), "none is kept twice"
    origins = [PAGE, *(f"https://{number}.example" for number in range(20))]
    assert extension.policy(app) == Policy(allow_origins=origins, allow_headers=["X-Config", *names], max_age=999)
    for origin in (origins[0], origins[-1]):
        assert preflight(app, "PUT", "/", origin=origin).cors["Access-Control-Allow-Origin"] == origin


def test_many_origins_may_be_added_one_by_one() -> None:
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE])
    for number in range(200):
        extension.reconfigure(app, allow_origins=[..., f"https://{number}.example"])
    policy = extension.policy(app)
    assert policy is not None
    assert isinstance(policy.allow_origins, tuple)
    assert len(policy.allow_origins) == 201
    assert len(app.extensions["preflight"].version().reconfigured) <= 2


LEVELS: list[Any] = [
    pytest.param([[..., "X-1"], [..., "X-2"]], ["X-0", "X-1", "X-2"], id="two additions"),
    pytest.param([["X-1", ...], ["X-2", ...]], ["X-0", "X-1", "X-2"], id="three dots last"),
    pytest.param([[..., "X-1"], ["X-2"]], ["X-2"], id="an addition, and a list"),
    pytest.param([["X-1"], [..., "X-2"]], ["X-1", "X-2"], id="a list, and an addition"),
    pytest.param([[], [..., "X-2"]], ["X-2"], id="nothing, and an addition"),
    pytest.param([[..., "X-1"], [...]], ["X-0", "X-1"], id="three dots alone"),
    pytest.param([[..., "X-1"], [..., "X-1"], [..., "X-1"]], ["X-0", "X-1"], id="the same again"),
    pytest.param([[..., ...], [..., "X-1", ...]], ["X-0", "X-1"], id="three dots twice"),
    pytest.param(["*", [..., "Authorization"]], ["*", "Authorization"], id="a star, and an addition"),
    pytest.param([[..., "X-1"], "*"], "*", id="an addition, and a star"),
    pytest.param([["*", "Authorization"], [..., "X-1"]], ["*", "Authorization", "X-1"], id="a star among others"),
]


@pytest.mark.parametrize(("levels", "result"), LEVELS)
@pytest.mark.parametrize("between", [False, True], ids=["alone", "another field between"])
def test_levels_add_up_as_if_each_was_written_below_the_other(between: bool, levels: list[Any], result: Any) -> None:
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE], allow_headers=["X-0"])
    for level in levels:
        extension.reconfigure(app, allow_headers=level)
        if between:
            extension.reconfigure(app, expose_headers=["ETag"])
    expected = Policy(allow_origins=[PAGE], allow_headers=result, expose_headers=["ETag"] if between else [])
    assert extension.policy(app) == expected


def allowed(origin: str, environ: dict[str, Any]) -> bool:
    return origin == OTHER


NOTHING_TO_INHERIT: list[Any] = [
    pytest.param({"allow_origins": allowed}, {}, {"allow_origins": [..., PAGE]}, id="a callable before the levels"),
    pytest.param({}, {"allow_origins": allowed}, {"allow_origins": [..., PAGE]}, id="a callable in a level"),
    pytest.param({}, {"max_age": 1}, {"allow_methods": [..., "PUT"]}, id="None before the levels"),
    pytest.param({"allow_methods": ["PUT"]}, {"allow_methods": None}, {"allow_methods": [...]}, id="None in a level"),
]


@pytest.mark.parametrize(("of_app", "before", "bad"), NOTHING_TO_INHERIT)
def test_three_dots_that_have_nothing_to_stand_for_are_a_problem_and_change_nothing(
    of_app: dict[str, Any], before: dict[str, Any], bad: dict[str, Any]
) -> None:
    app = new_app()
    fields: dict[str, Any] = {"allow_origins": [OTHER], **of_app}
    extension = Preflight(app, **fields)
    for _ in range(3):
        extension.reconfigure(app, **before)
    expected = Policy(**{**fields, **before})
    for _ in range(3):
        with pytest.raises(PolicyError) as caught:
            extension.reconfigure(app, **bad)
        assert [problem.id for problem in caught.value.problems] == ["nothing-to-inherit"]
        assert extension.policy(app) == expected
        assert preflight(app, "PUT", "/", origin=OTHER).status == 204
    extension.reconfigure(app, expose_headers=["ETag"])  # a later change is made on top of the last good one
    assert extension.policy(app) == expected.override(expose_headers=["ETag"])


def test_a_request_that_has_begun_keeps_its_policy() -> None:
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE], expose_headers=["X-Old"])

    @app.get("/view")
    def view() -> str:
        extension.reconfigure(app, expose_headers=["X-New"])
        return ""

    assert send(app, "GET", "/view").cors == readable(expose="X-Old")
    assert send(app, "GET", "/").cors == readable(expose="X-New")


UNKNOWN: dict[str, Any] = {"allow_origin": [PAGE]}


def test_unknown_fields() -> None:
    app = new_app()
    extension = Preflight(app)
    with pytest.raises(TypeError, match=r"a policy has no field 'allow_origin'; did you mean 'allow_origins'\?"):
        extension.reconfigure(app, **UNKNOWN)


@pytest.mark.parametrize("served", [False, True], ids=["before the first request", "after it"])
def test_the_configuration_is_read_by_the_first_request_only(served: bool) -> None:
    app = new_app(PREFLIGHT_MAX_AGE=1)
    extension = Preflight(app, allow_origins=[PAGE])
    if served:
        send(app, "GET", "/")
    app.config["PREFLIGHT_MAX_AGE"] = 2
    extension.reconfigure(app, allow_headers=["X-New"])
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT", "X-New", "1" if served else "2")


# ---------------------------------------------------------------------------------------
# Several changes at once: no lock, so nothing waits, and nothing is lost
# ---------------------------------------------------------------------------------------


def test_every_answer_comes_from_one_policy_while_other_threads_change_it() -> None:
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE], max_age=0, allow_headers=["X-0"], expose_headers=["X-0"])
    done = threading.Event()

    def reconfigure() -> None:
        for number in itertools.count(1):
            name = f"X-{number}"
            extension.reconfigure(app, max_age=number, allow_headers=[name], expose_headers=[name])
            if done.is_set():
                return

    def ask(_: int) -> set[tuple[str, str]]:
        answers: set[tuple[str, str]] = set()
        while len(answers) < 10:
            cors = preflight(app, "PUT", "/").cors
            send(app, "PUT", "/")
            answers.add((cors["Access-Control-Max-Age"], cors["Access-Control-Allow-Headers"].removeprefix("X-")))
        return answers

    with ThreadPoolExecutor(5) as pool:
        swapping = pool.submit(reconfigure)
        try:
            answers = set[tuple[str, str]]().union(*pool.map(ask, range(4)))
        finally:
            done.set()
        swapping.result()
    assert all(age == header for age, header in answers)


def test_changes_of_many_threads_are_all_kept() -> None:
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE], allow_headers=[])
    barrier = threading.Barrier(4)

    def reconfigure(thread: int) -> None:
        barrier.wait()
        for number in range(25):
            extension.reconfigure(app, allow_headers=[..., f"X-{thread}-{number}"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(reconfigure, range(4)))
    names = {f"X-{thread}-{number}" for thread in range(4) for number in range(25)}
    policy = extension.policy(app)
    assert policy is not None
    assert set(policy.headers) == names


def test_a_change_that_interrupts_another_is_kept_as_well() -> None:
    """The inner one runs while the outer one reads its values, as a signal handler may."""

    def names(level: int) -> Iterator[str]:
        if level < 3:
            extension.reconfigure(app, allow_headers=[..., *names(level + 1)])
        yield f"X-{level}"

    class Interrupting:
        def __init__(self) -> None:
            self.is_first = True

        def __iter__(self) -> Iterator[str]:
            if self.is_first:
                self.is_first = False
                extension.reconfigure(app, max_age=1)
            yield "ETag"

    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE], allow_headers=[])
    extension.reconfigure(app, allow_headers=[..., *names(0)])
    extension.reconfigure(app, expose_headers=Interrupting())
    assert extension.policy(app) == Policy(
        allow_origins=[PAGE], allow_headers=["X-0", "X-1", "X-2", "X-3"], expose_headers=["ETag"], max_age=1
    )


def test_a_change_during_the_check_of_another_is_kept_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the outer one has read the levels, and before it has written its own."""
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE], allow_headers=[])

    class Views(dict[str, Any]):
        interruptions = 0

        def items(self) -> Any:
            Views.interruptions += 1
            if Views.interruptions == 1:
                extension.reconfigure(app, allow_headers=[..., "X-Inner"])
            return super().items()

    monkeypatch.setattr(app, "view_functions", Views(app.view_functions))
    extension.reconfigure(app, allow_headers=[..., "X-Outer"])
    assert Views.interruptions == 3  # the outer one was checked again, on top of the inner one
    assert extension.policy(app) == Policy(allow_origins=[PAGE], allow_headers=["X-Inner", "X-Outer"])


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
@pytest.mark.slow
def test_a_signal_handler_may_reconfigure_at_any_moment() -> None:
    app = new_app()
    for number in range(200):
        app.add_url_rule(f"/{number}", f"{number}", cors_route(max_age=number)(lambda: ""), methods=["PUT"])
    extension = Preflight(app, allow_origins=[PAGE])
    handled: list[int] = []
    number = 0

    def handle(*_: object) -> None:
        handled.append(len(handled))
        extension.reconfigure(app, allow_headers=[f"X-{len(handled)}"])

    before = signal.signal(signal.SIGALRM, handle)
    try:
        while len(handled) <= 20:
            number += 1
            signal.setitimer(signal.ITIMER_REAL, 0.0001 * (number % 50 + 1))
            extension.reconfigure(app, expose_headers=[f"X-{number}"])
            assert preflight(app, "PUT", "/").status == 204
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    policy = extension.policy(app)
    assert policy is not None
    assert (policy.headers, policy.exposed) == ((f"X-{len(handled)}",), (f"X-{number}",))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_child_process_may_reconfigure_while_the_parent_did() -> None:
    """Another thread of the parent is in the middle of a change; of that thread, the child has no copy."""
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE])
    is_inside, may_leave = threading.Event(), threading.Event()

    class Views(dict[str, Any]):
        def items(self) -> Any:
            if threading.current_thread() is not threading.main_thread():
                is_inside.set()
                may_leave.wait(20)
            return super().items()

    app.view_functions = Views(app.view_functions)
    thread = threading.Thread(target=lambda: extension.reconfigure(app, max_age=1))
    thread.start()
    assert is_inside.wait(20)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            extension.reconfigure(app, max_age=2)
            os._exit(0 if extension.policy(app) == Policy(allow_origins=[PAGE], max_age=2) else 1)
        finally:
            os._exit(2)
    may_leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert extension.policy(app) == Policy(allow_origins=[PAGE], max_age=1)


def test_many_first_requests_at_once_get_the_same_policies() -> None:
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE])
    barrier = threading.Barrier(4)

    def request_first(_: int) -> int:
        barrier.wait()
        return preflight(app, "PUT", "/").status

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(request_first, range(4))) == [204] * 4
    assert extension.policy(app) is extension.policy(app)


def test_a_change_during_the_first_request_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE])

    class Views(dict[str, Any]):
        checks = 0

        def items(self) -> Any:
            Views.checks += 1
            if Views.checks == 1:
                extension.reconfigure(app, max_age=1)
            return super().items()

    monkeypatch.setattr(app, "view_functions", Views(app.view_functions))
    assert preflight(app, "PUT", "/") == granted("GET, HEAD, OPTIONS, PUT", max_age="1")
