"""An example URL for a route, and an example origin for a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import Any, Final

from flask import Flask
from werkzeug.routing import (
    AnyConverter,
    BaseConverter,
    FloatConverter,
    IntegerConverter,
    Rule,
    UnicodeConverter,
    UUIDConverter,
)

from flask_preflight.origin import parse_pattern

# How many URLs are tried for one route
_MOST_TRIED: Final = 200

# What converters of an app's own take more often than not
_COMMON: Final = (
    *(
        "x",
        "1",
        "a",
        "abc",
        "42",
        "1.5",
        "true",
        "en",
        "a1",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "12:30",
        "1,2",
        "a-b",
    ),
    *("00000000-0000-0000-0000-000000000000", "0123456789abcdef01234567", "#fff", "fff", "a@example.com", "x/y", "GET"),
)


def sample_url(rule: Rule, app: Flask, base_url: str, leads_there: Callable[[str], bool]) -> str:
    """The first URL of *rule* for which *leads_there* holds; ``""`` if none was found."""
    converters: dict[str, BaseConverter] = rule._converters
    names = sorted(rule.arguments & converters.keys())
    choices = [
        [value for text in _texts(converters[name]) for value in _value(converters[name], text)] for name in names
    ]
    for values in islice(product(*choices), _MOST_TRIED):
        url = _build(rule, app, base_url, dict(zip(names, values, strict=True)))
        if url and leads_there(url):
            return url
    return ""


def _value(converter: BaseConverter, text: str) -> Iterator[Any]:
    """The value of *text*, if the converter takes it."""
    try:
        if re.fullmatch(converter.regex, text):
            yield converter.to_python(text)
    except Exception:  # noqa: BLE001 - the app's own converters may raise anything
        return


def _texts(converter: BaseConverter) -> tuple[str, ...]:
    """What the part of a URL may be."""
    if isinstance(converter, AnyConverter):
        return tuple(sorted(converter.items))
    if isinstance(converter, IntegerConverter | FloatConverter):
        return tuple(_numbers(converter))
    if isinstance(converter, UUIDConverter):
        return ("00000000-0000-0000-0000-000000000000",)
    if isinstance(converter, UnicodeConverter):  # the regular expression holds its lengths
        lengths = [int(number) for number in re.findall("[0-9]+", converter.regex)]
        return ("x", "x1", *("x" * length for length in lengths if 0 < length <= 1000))
    return (*_COMMON, *(text for value in ("x", 1, b"x", ["x"]) for text in _written(converter, value)))


def _written(converter: BaseConverter, value: Any) -> Iterator[str]:
    """*value* as a converter of the app's own writes it, if it does."""
    try:
        yield str(converter.to_url(value))
    except Exception:  # noqa: BLE001 - it may raise anything
        return


def _numbers(converter: IntegerConverter | FloatConverter) -> Iterator[str]:
    is_float = isinstance(converter, FloatConverter)
    bounds = [number for number in (converter.min, converter.max) if number is not None]
    for number in (1, 2, *bounds):
        digits = str(float(number)) if is_float else str(int(number))
        yield digits.zfill(converter.fixed_digits) if not is_float else digits


def _build(rule: Rule, app: Flask, base_url: str, values: dict[str, Any]) -> str:
    try:
        built = rule.build(values, append_unknown=False)
    except Exception:  # noqa: BLE001 - as above
        return ""
    if built is None:
        return ""
    domain, path = built
    scheme, _, host = base_url.partition("://")
    if app.url_map.host_matching:
        host = domain or host
    elif domain:
        host = f"{domain}.{host}"
    return f"{scheme}://{host}{path}"


def sample_origin(listed: str) -> str:
    """*listed*, or an origin that it covers if it is a pattern."""
    pattern = parse_pattern(listed)
    if pattern is None:
        return listed
    origin = pattern.origin
    if pattern.any_host:
        return str(origin._replace(host="any"))
    host = f"any.{origin.host}" if pattern.subdomains else origin.host
    return str(origin._replace(host=host, port="1234" if pattern.any_port else origin.port))
