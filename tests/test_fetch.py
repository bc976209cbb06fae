"""The names and grammar of the Fetch standard, compared with tables that are copied from its text."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_preflight import fetch

# https://httpwg.org/specs/rfc9110.html#rule.token.tchar
TCHAR = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters


def in_all_cases(name: str) -> list[str]:
    return [name, name.lower(), name.upper(), name.swapcase()]


@pytest.mark.parametrize("character", [chr(code) for code in range(256)], ids=ascii)
def test_tokens_are_made_of_tchar(character: str) -> None:
    assert fetch.is_token(character) == (character in TCHAR)
    assert fetch.is_token(f"X{character}Y") == (character in TCHAR)


@pytest.mark.parametrize("text", ["", "GET\n", "\nGET", "ſ", "GE\u212a", "\ud800", "X-Größe"], ids=ascii)  # noqa: RUF001
def test_nothing_else_is_a_token(text: str) -> None:
    assert not fetch.is_token(text)


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("a", ["a"], id="one"),
        pytest.param("a,b", ["a", "b"], id="two"),
        pytest.param("a, b", ["a", "b"], id="space"),
        pytest.param(" \ta\t ,\t b \t", ["a", "b"], id="tabs and spaces all around"),
        pytest.param(",a,,b, ,", ["a", "b"], id="empty elements"),
        pytest.param(",", [], id="a comma alone"),
        pytest.param(" \t ", [], id="white space alone"),
        pytest.param("a b", ["a b"], id="white space inside stays"),
        pytest.param("a,a,A", ["a", "a", "A"], id="repeated and in the same order"),
        pytest.param('"a,b"', ['"a', 'b"'], id="quotes mean nothing"),
        pytest.param("\xa0a\n,\x0bb", ["\xa0a\n", "\x0bb"], id="other white space stays"),
    ],
)
def test_lists(value: str, elements: list[str]) -> None:
    assert fetch.split_list(value) == elements


@given(st.lists(st.text(TCHAR, min_size=1)), st.text(" \t"))
def test_lists_are_read_as_they_were_joined(tokens: list[str], space: str) -> None:
    assert fetch.split_list(f"{space},{space}".join(tokens)) == tokens


# https://fetch.spec.whatwg.org/#methods
METHODS = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE", "TRACK", "CHICKEN"]


def test_methods_of_the_standard() -> None:
    assert {"GET", "HEAD", "POST"} == fetch.SAFELISTED_METHODS
    assert [method for method in METHODS if fetch.is_forbidden_method(method)] == ["CONNECT", "TRACE", "TRACK"]


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "TRACK"])
def test_forbidden_methods_are_forbidden_in_any_case(method: str) -> None:
    assert all(fetch.is_forbidden_method(spelling) for spelling in in_all_cases(method))
    assert not fetch.is_forbidden_method(f"{method}S")


@pytest.mark.parametrize("method", ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"])
def test_browsers_upper_case_six_methods(method: str) -> None:
    assert {fetch.normalize_method(spelling) for spelling in [*in_all_cases(method), method.title()]} == {method}


@pytest.mark.parametrize("method", ["patch", "Patch", "PATCH", "query", "eGg", "connect", "gett", ""])
def test_browsers_leave_other_methods_alone(method: str) -> None:
    assert fetch.normalize_method(method) == method


# Python upper-cases both to ASCII; the standard compares bytes.
@pytest.mark.parametrize("method", ["po\u017ft", "opt\u0131ons"], ids=ascii)
def test_only_ascii_has_cases(method: str) -> None:
    assert fetch.normalize_method(method) == method


# https://fetch.spec.whatwg.org/#forbidden-request-header, steps 1 and 2
FORBIDDEN_REQUEST_HEADERS = [
    "Accept-Charset",
    "Accept-Encoding",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Connection",
    "Content-Length",
    "Cookie",
    "Cookie2",
    "Date",
    "DNT",
    "Expect",
    "Host",
    "Keep-Alive",
    "Origin",
    "Referer",
    "Set-Cookie",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Via",
    "Proxy-",
    "Proxy-Authorization",
    "Sec-",
    "Sec-Fetch-Mode",
]
ALLOWED_REQUEST_HEADERS = [
    "Accept",
    "Authorization",
    "Content-Type",
    "Cookie3",
    "Proxy",
    "Sec",
    "Secret",
    "Set-Cookie2",
    "User-Agent",
    "X-HTTP-Method-Override",  # forbidden with some values only
    "X-Sec-Fetch-Mode",
]


@pytest.mark.parametrize("name", FORBIDDEN_REQUEST_HEADERS)
def test_forbidden_request_headers(name: str) -> None:
    assert all(fetch.is_forbidden_request_header(spelling) for spelling in in_all_cases(name))


@pytest.mark.parametrize("name", ALLOWED_REQUEST_HEADERS)
def test_other_request_headers(name: str) -> None:
    assert not any(fetch.is_forbidden_request_header(spelling) for spelling in in_all_cases(name))


@pytest.mark.parametrize(
    ("names", "of_the_standard"),
    [
        pytest.param(
            fetch.SAFELISTED_REQUEST_HEADERS,
            {"Accept", "Accept-Language", "Content-Language", "Content-Type", "Range"},
            id="https://fetch.spec.whatwg.org/#cors-safelisted-request-header",
        ),
        pytest.param(
            fetch.NON_WILDCARD_REQUEST_HEADERS,
            {"Authorization"},
            id="https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name",
        ),
        pytest.param(
            fetch.SAFELISTED_RESPONSE_HEADERS,
            {
                "Cache-Control",
                "Content-Language",
                "Content-Length",
                "Content-Type",
                "Expires",
                "Last-Modified",
                "Pragma",
            },
            id="https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name",
        ),
        pytest.param(
            fetch.FORBIDDEN_RESPONSE_HEADERS,
            {"Set-Cookie", "Set-Cookie2"},
            id="https://fetch.spec.whatwg.org/#forbidden-response-header-name",
        ),
    ],
)
def test_header_names_of_the_standard(names: frozenset[str], of_the_standard: set[str]) -> None:
    assert names == {name.lower() for name in of_the_standard}


def test_names_of_the_protocol() -> None:
    # https://fetch.spec.whatwg.org/#http-requests and #http-responses
    assert [
        fetch.ORIGIN,
        fetch.REQUEST_METHOD,
        fetch.REQUEST_HEADERS,
        fetch.ALLOW_ORIGIN,
        fetch.ALLOW_CREDENTIALS,
        fetch.ALLOW_METHODS,
        fetch.ALLOW_HEADERS,
        fetch.MAX_AGE,
        fetch.EXPOSE_HEADERS,
        fetch.TIMING_ALLOW_ORIGIN,
        fetch.VARY,
        fetch.WILDCARD,
        fetch.NULL_ORIGIN,
    ] == [
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
        "Access-Control-Allow-Origin",
        "Access-Control-Allow-Credentials",
        "Access-Control-Allow-Methods",
        "Access-Control-Allow-Headers",
        "Access-Control-Max-Age",
        "Access-Control-Expose-Headers",
        "Timing-Allow-Origin",
        "Vary",
        "*",
        "null",
    ]
