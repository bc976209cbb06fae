"""The app-wide policy in an app's configuration: ``PREFLIGHT_*``, also from environment variables."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest
from flask import Flask
from pages import PAGE, granted, preflight, readable, send

from flask_preflight import Policy, PolicyError, Preflight
from flask_preflight.policy import FIELDS

OTHER = "https://other.com"


def new_app(**config: Any) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config.update(config)
    app.route("/", methods=["GET", "PUT"])(lambda: "here")
    return app


def policy_of(**config: Any) -> Policy | None:
    app = new_app(**config)
    return Preflight(app).policy(app)


def policy_from_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Policy | None:
    """The app-wide policy of an app that is configured by variables ``FLASK_PREFLIGHT_*``."""
    for name, value in variables.items():
        monkeypatch.setenv(f"FLASK_PREFLIGHT_{name}", value)
    app = new_app()
    app.config.from_prefixed_env()
    return Preflight(app).policy(app)


def problems_of(**config: Any) -> list[tuple[str, str, str, str]]:
    """The field, id, place and hint of each problem."""
    with pytest.raises(PolicyError) as caught:
        Preflight(new_app(**config))
    return [(problem.field, problem.id, problem.where, problem.hint) for problem in caught.value.problems]


# ---------------------------------------------------------------------------------------
# When it is read
# ---------------------------------------------------------------------------------------


def test_configuration_is_read_again_at_the_first_request() -> None:
    app = new_app()
    Preflight(app)
    app.config["PREFLIGHT_ALLOW_ORIGINS"] = [PAGE]
    assert preflight(app, "PUT", "/").status == 204
    app.config["PREFLIGHT_ALLOW_ORIGINS"] = [OTHER]
    assert preflight(app, "PUT", "/").status == 204


def test_bad_configuration_breaks_the_app_and_verify_until_it_is_corrected() -> None:
    app = new_app()
    extension = Preflight(app, allow_origins=[PAGE])
    app.config["PREFLIGHT_MAX_AGE"] = "soon"
    attempts: list[Callable[[], object]] = [lambda: extension.verify(app), *[lambda: send(app, "GET", "/")] * 2]
    for attempt in attempts:
        with pytest.raises(PolicyError, match=r"app.config\['PREFLIGHT_MAX_AGE'\]: max_age: 'soon' "):
            attempt()
    app.config["PREFLIGHT_MAX_AGE"] = 1
    assert send(app, "GET", "/").status == 200


def test_all_problems_are_reported_at_once() -> None:
    app = new_app(
        PREFLIGHT_ALLOW_ORIGNS=[PAGE],
        PREFLIGHT_ALLOW_ORIGINS=f"{PAGE}/, {OTHER}",
        PREFLIGHT_ALLOW_CREDENTIALS="True",
        PREFLIGHT_ALLOW_HEADERS="",
        PREFLIGHT_MAX_AGE=-1,
        PREFLIGHT_EXPOSE_HEADERS="*",
    )
    with pytest.raises(PolicyError) as caught:
        Preflight(app, max_age=-2, expose_headers=["not a name"])
    line = test_all_problems_are_reported_at_once.__code__.co_firstlineno + 10
    call = f"Preflight(...) at {__file__}:{line}"
    assert {(problem.field, problem.id, problem.where) for problem in caught.value.problems} == {
        ("PREFLIGHT_ALLOW_ORIGNS", "unknown-config-key", "app.config['PREFLIGHT_ALLOW_ORIGNS']"),
        ("allow_origins", "origin-trailing-slash", "app.config['PREFLIGHT_ALLOW_ORIGINS']"),
        ("allow_headers", "config-empty", "app.config['PREFLIGHT_ALLOW_HEADERS']"),
        ("expose_headers", "header-invalid", call),
        ("allow_credentials", "not-a-bool", "app.config['PREFLIGHT_ALLOW_CREDENTIALS']"),
        ("max_age", "max-age-range", call),
    }
    assert len(caught.value.problems) == 6
    assert "preflight" not in app.extensions


# ---------------------------------------------------------------------------------------
# Keys
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("PREFLIGHT_ORIGINS", "PREFLIGHT_ALLOW_ORIGINS"),
        ("PREFLIGHT_MAXAGE", "PREFLIGHT_MAX_AGE"),
        ("PREFLIGHT_STATUS", "PREFLIGHT_PREFLIGHT_STATUS"),
        ("PREFLIGHT_allow_origins", "PREFLIGHT_ALLOW_ORIGINS"),
        ("PREFLIGHT_SUPPORTS_CREDENTIALS", "PREFLIGHT_ALLOW_CREDENTIALS"),
    ],
)
def test_unknown_keys_are_answered_with_the_nearest(key: str, meant: str) -> None:
    [(field, problem_id, where, hint)] = problems_of(**{key: 1})
    assert (field, problem_id, where) == (key, "unknown-config-key", f"app.config[{key!r}]")
    assert hint == f"write {meant} (FLASK_{meant} in the environment), or drop it"


def test_the_hint_for_a_key_that_is_near_to_none_is_to_remove_it() -> None:
    assert problems_of(PREFLIGHT_X=1) == [("PREFLIGHT_X", "unknown-config-key", "app.config['PREFLIGHT_X']", "drop it")]


@pytest.mark.parametrize("key", ["PREFLIGHTS_MAX_AGE", "FLASK_PREFLIGHT_MAX_AGE", "MY_PREFLIGHT_X"])
def test_keys_of_others_are_left_alone(key: str) -> None:
    assert policy_of(**{key: "x"}) == Policy()


def test_none_for_the_whole_sets_nothing() -> None:
    assert policy_of(PREFLIGHT=None) == Policy()


def test_two_underscores_are_a_problem_because_flask_makes_a_dictionary_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLASK_PREFLIGHT__ALLOW_ORIGINS", PAGE)
    app = new_app()
    app.config.from_prefixed_env()
    with pytest.raises(PolicyError) as caught:
        Preflight(app)
    [problem] = caught.value.problems
    assert (problem.id, problem.where) == ("config-nested", "app.config['PREFLIGHT']")
    assert "FLASK_PREFLIGHT_ALLOW_ORIGINS" in problem.hint


# ---------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------


def test_every_field_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert policy_from_environment(
        monkeypatch,
        ALLOW_ORIGINS=f'["{PAGE}"]',
        ALLOW_METHODS='["PUT"]',
        ALLOW_HEADERS='["X-Env"]',
        EXPOSE_HEADERS='["ETag"]',
        ALLOW_CREDENTIALS="true",
        MAX_AGE="null",
        ALLOW_TIMING="true",
        PREFLIGHT_STATUS="200",
        DANGEROUSLY_ALLOW_INSECURE_ORIGINS="true",
        DANGEROUSLY_ALLOW_PUBLIC_SUFFIX_SUBDOMAINS="true",
        DANGEROUSLY_ALLOW_NULL_ORIGIN="true",
    ) == Policy(
        allow_origins=[PAGE],
        allow_methods=["PUT"],
        allow_headers=["X-Env"],
        expose_headers=["ETag"],
        allow_credentials=True,
        max_age=None,
        allow_timing=True,
        preflight_status=200,
        dangerously_allow_insecure_origins=True,
        dangerously_allow_public_suffix_subdomains=True,
        dangerously_allow_null_origin=True,
    )


def test_the_environment_decides_what_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"ALLOW_ORIGINS": PAGE, "ALLOW_METHODS": "PUT", "EXPOSE_HEADERS": "ETag", "MAX_AGE": "6e1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"FLASK_PREFLIGHT_{name}", value)
    app = new_app()
    app.config.from_prefixed_env()
    Preflight(app)
    assert preflight(app, "PUT", "/") == granted("PUT", max_age="60")
    assert send(app, "PUT", "/").cors == readable(expose="ETag")


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        pytest.param("allow_origins", PAGE, [PAGE], id="one value"),
        pytest.param("allow_origins", f"{PAGE},{OTHER}", [PAGE, OTHER], id="comma-separated"),
        pytest.param("allow_origins", f" {PAGE} , {OTHER} ", [PAGE, OTHER], id="with white space"),
        pytest.param("allow_origins", f'["{PAGE}", "{OTHER}"]', [PAGE, OTHER], id="JSON"),
        pytest.param("allow_origins", f'\n [ "{PAGE}" ] ', [PAGE], id="JSON with white space"),
        pytest.param("allow_origins", f'"{PAGE}"', [PAGE], id="one string in JSON"),
        pytest.param("allow_origins", f'"{PAGE},{OTHER}"', [PAGE, OTHER], id="comma-separated in JSON"),
        pytest.param("allow_origins", "[]", [], id="nothing"),
        pytest.param("allow_origins", "*", "*", id="a star"),
        pytest.param("allow_origins", '["*"]', "*", id="a star in JSON"),
        pytest.param("allow_methods", "GET, PUT", ["GET", "PUT"], id="methods"),
        pytest.param("allow_headers", "X-One,X-Two", ["X-One", "X-Two"], id="request headers"),
        pytest.param("allow_headers", "*,Authorization", ["*", "Authorization"], id="a star and Authorization"),
        pytest.param("expose_headers", "ETag", ["ETag"], id="response headers"),
    ],
)
@pytest.mark.parametrize("source", ["environment", "config"])
def test_lists_as_text(field: str, text: str, value: Any, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if source == "environment":
        policy = policy_from_environment(monkeypatch, **{field.upper(): text})
    else:
        policy = policy_of(**{f"PREFLIGHT_{field.upper()}": text})
    assert policy == Policy(**{field: value})


@pytest.mark.parametrize("items", [[PAGE], (PAGE,), {PAGE}, frozenset([PAGE])], ids=lambda items: type(items).__name__)
def test_lists_as_python_values(items: Any) -> None:
    assert policy_of(PREFLIGHT_ALLOW_ORIGINS=items) == Policy(allow_origins=[PAGE])


def test_a_callable_in_the_configuration() -> None:
    def allowed(origin: str, environ: dict[str, Any]) -> bool:
        return origin == PAGE

    assert policy_of(PREFLIGHT_ALLOW_ORIGINS=allowed) == Policy(allow_origins=allowed)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param("...,X-One", id="comma-separated"),
        pytest.param('["...", "X-One"]', id="JSON"),
        pytest.param(["...", "X-One"], id="list"),
        pytest.param([..., "X-One"], id="Ellipsis"),
    ],
)
def test_three_dots_stand_for_the_inherited_values(headers: Any) -> None:
    assert policy_of(PREFLIGHT_ALLOW_HEADERS=headers) == Policy(allow_headers=["Content-Type", "X-One"])


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(600.0, 600, id="a whole float"),
        pytest.param(6e2, 600, id="with an exponent"),
        pytest.param(0.0, 0, id="zero"),
        pytest.param(None, None, id="None"),
        pytest.param(timedelta(minutes=1), 60, id="timedelta"),
    ],
)
def test_seconds(value: Any, seconds: int | None) -> None:
    assert policy_of(PREFLIGHT_MAX_AGE=value) == Policy(max_age=seconds)


@pytest.mark.parametrize("text", ["6e2", "600.0", "600"])
def test_seconds_from_the_environment(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert policy_from_environment(monkeypatch, MAX_AGE=text) == Policy(max_age=600)


# ---------------------------------------------------------------------------------------
# Bad values
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.5, float("inf"), float("nan"), "600", True], ids=repr)
def test_other_values_are_no_seconds(value: Any) -> None:
    [(field, problem_id, where, _)] = problems_of(PREFLIGHT_MAX_AGE=value)
    assert (field, problem_id, where) == ("max_age", "max-age-type", "app.config['PREFLIGHT_MAX_AGE']")


@pytest.mark.parametrize("field", FIELDS)
def test_a_bad_value_is_located_at_its_own_key(field: str) -> None:
    """Also for ``preflight_status``, whose key begins as all keys do."""
    key = f"PREFLIGHT_{field.upper()}"
    bad: Any = {"PREFLIGHT_PREFLIGHT_STATUS": 404}.get(key, object())
    [(of_field, _, where, _)] = problems_of(**{key: bad})
    assert (of_field, where) == (field, f"app.config[{key!r}]")
    app = new_app()
    extension = Preflight(app)
    app.config[key] = bad
    with pytest.raises(PolicyError) as caught:
        extension.verify(app)
    assert f"- app.config[{key!r}]: {field}: " in str(caught.value)


@pytest.mark.parametrize(
    ("value", "right", "how"),
    [
        (1, "True", ""),
        (0, "False", ""),
        (None, "False", ""),
        ("1", "True", ""),
        ("yes", "True", ""),
        ("", "False", ""),
        ("True", "True", ", in lower case"),
        ("FALSE", "False", ", in lower case"),
        ("false", "False", ", without quotes"),
    ],
)
def test_a_bool_is_true_or_false(value: Any, right: str, how: str) -> None:
    place = "app.config['PREFLIGHT_ALLOW_CREDENTIALS']"
    hint = f"write {right}, and in the environment {right.lower()}{how}"
    assert problems_of(PREFLIGHT_ALLOW_CREDENTIALS=value) == [("allow_credentials", "not-a-bool", place, hint)]


@pytest.mark.parametrize(
    ("text", "corrected"),
    [
        pytest.param(f"['{PAGE}']", f'["{PAGE}"]', id="single quotes"),
        pytest.param(f'["{PAGE}",]', f'["{PAGE}"]', id="comma at the end"),
        pytest.param(f"['{PAGE}', '{OTHER}',]", f'["{PAGE}", "{OTHER}"]', id="both"),
        pytest.param(f"[{PAGE}]", f'["{PAGE}"]', id="no quotes"),
        pytest.param(f'["{PAGE}"', f'["{PAGE}"]', id="no bracket at the end"),
        pytest.param(f'"{PAGE}', f'["{PAGE}"]', id="no quotes at the end"),
        pytest.param("[...]", '["..."]', id="ellipsis"),
        pytest.param(f'[..., "{PAGE}"]', f'["...", "{PAGE}"]', id="ellipsis and others"),
        pytest.param("[http://[::1]:3000]", '["http://[::1]:3000"]', id="IPv6"),
    ],
)
def test_text_that_is_not_quite_json_is_corrected(text: str, corrected: str) -> None:
    [(field, problem_id, where, hint)] = problems_of(PREFLIGHT_ALLOW_ORIGINS=text)
    assert (field, problem_id, where) == ("allow_origins", "config-not-json", "app.config['PREFLIGHT_ALLOW_ORIGINS']")
    by_commas = ",".join(eval(corrected))
    assert hint == f"write {by_commas}, or {corrected}"
    for right in (by_commas, corrected):
        assert policy_of(PREFLIGHT_ALLOW_ORIGINS=right) == policy_of(PREFLIGHT_ALLOW_ORIGINS=eval(corrected))


@pytest.mark.parametrize("text", ["", "  ", '""'], ids=repr)
def test_an_empty_string_is_a_problem(text: str) -> None:
    [(field, problem_id, where, hint)] = problems_of(PREFLIGHT_ALLOW_ORIGINS=text)
    assert (field, problem_id, where) == ("allow_origins", "config-empty", "app.config['PREFLIGHT_ALLOW_ORIGINS']")
    assert "write []" in hint


@pytest.mark.parametrize("text", [f"{PAGE},", f"{PAGE},,{OTHER}", ","], ids=repr)
def test_empty_items_are_problems(text: str) -> None:
    assert {problem_id for _, problem_id, *_ in problems_of(PREFLIGHT_ALLOW_ORIGINS=text)} == {"empty-item"}


@pytest.mark.parametrize("value", ['{"a": 1}', {"a": 1}, 5], ids=repr)
def test_other_values_are_no_lists(value: Any) -> None:
    place = "app.config['PREFLIGHT_ALLOW_ORIGINS']"
    assert [problem[:3] for problem in problems_of(PREFLIGHT_ALLOW_ORIGINS=value)] == [
        ("allow_origins", "not-a-list", place)
    ]


# ---------------------------------------------------------------------------------------
# Variables that Flask does not read
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "config", "warned"),
    [
        pytest.param("PREFLIGHT_ALLOW_ORIGINS", {}, True, id="without FLASK_"),
        pytest.param("PREFLIGHT_ALLOW_ORIGINS", {"PREFLIGHT_ALLOW_ORIGINS": [PAGE]}, False, id="read by other means"),
        pytest.param("PREFLIGHT_ALLOW_ORIGINS", {"PREFLIGHT_MAX_AGE": 1}, True, id="another key is set"),
        pytest.param("FLASK_PREFLIGHT_ALLOW_ORIGINS", {}, False, id="with FLASK_"),
        pytest.param("PREFLIGHT_OF_ANOTHER_PROGRAM", {}, False, id="no field"),
    ],
)
def test_a_variable_without_flask_in_front_is_warned_about(
    variable: str,
    config: dict[str, Any],
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(variable, PAGE)
    Preflight(new_app(**config))
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("flask_preflight", logging.WARNING)
    ] * warned
    assert all(f"{variable} is not read" in message and f"FLASK_{variable}" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [
        pytest.param({"allow_origins": [OTHER]}, True, id="another value"),
        pytest.param({"allow_origins": lambda origin, environ: True}, True, id="function"),
        pytest.param({"allow_origins": {PAGE}}, False, id="the same value"),
        pytest.param({"allow_origins": [..., OTHER]}, False, id="more values"),
        pytest.param({"max_age": 1}, False, id="another field"),
    ],
)
def test_a_variable_that_an_argument_replaces_is_warned_about(
    arguments: dict[str, Any], warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FLASK_PREFLIGHT_ALLOW_ORIGINS", PAGE)
    app = new_app()
    app.config.from_prefixed_env()
    extension = Preflight(app, **arguments)
    for _ in range(2):
        extension.verify(app)
    assert len(caplog.records) == warned
    assert all("FLASK_PREFLIGHT_ALLOW_ORIGINS has no effect" in message for message in caplog.messages)


# ---------------------------------------------------------------------------------------
# Where a problem comes from
# ---------------------------------------------------------------------------------------


class Header(str, Enum):
    BAD = "X A"


KEY = "app.config['PREFLIGHT_ALLOW_HEADERS']"


@pytest.mark.parametrize(
    ("in_config", "in_constructor", "in_init_app", "place"),
    [
        pytest.param(["X A"], None, None, KEY, id="configuration"),
        pytest.param(["X A"], None, [..., "X"], KEY, id="inherited configuration"),
        pytest.param(["X"], [..., "X A"], None, "Preflight(...)", id="constructor"),
        pytest.param(["X"], [..., Header.BAD], None, "Preflight(...)", id="enumeration"),
        pytest.param(["X"], ["X A"], [..., "Y"], "Preflight(...)", id="inherited argument"),
        pytest.param(["X A"], ["X A"], [..., "X A"], "init_app(...)", id="everywhere"),
        pytest.param(["X"], ["Y"], "X-A", "init_app(...)", id="no list"),
    ],
)
def test_a_problem_names_the_place_of_its_value(
    in_config: Any, in_constructor: Any, in_init_app: Any, place: str
) -> None:
    app = new_app(PREFLIGHT_ALLOW_HEADERS=in_config)
    calls = [{} if headers is None else {"allow_headers": headers} for headers in (in_constructor, in_init_app)]
    with pytest.raises(PolicyError) as caught:
        Preflight(**calls[0]).init_app(app, **calls[1])
    assert {problem.where.partition(" at ")[0] for problem in caught.value.problems} == {place}
