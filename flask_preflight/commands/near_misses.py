"""Origins that are nearly allowed: what faulty matching lets in, as the known scanners ask it.

The questions are those of CORScanner, Corsy, nuclei and ZAP, and some that they lack. Their hosts end in ``.invalid``,
``.test`` or ``.example``, or are ones that nobody owns by accident.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import CodeType
from typing import Any, Final

from flask_preflight.origin import MAX_ORIGIN_LENGTH, parse_origin

STRANGER: Final = "https://stranger.invalid"

# Whatever is allowed, these are strangers, unless a policy names them.
EVERYWHERE: Final = (
    STRANGER,
    *(
        "null",
        "*",
        "file://",
        "https://",
        "https://evil.com",
        "https://example.com",
        "http://localhost",
        "http://127.0.0.1",
    ),
    # where anybody may publish a page
    *("https://github.com", "https://gitlab.com", "https://pastebin.com", "https://codepen.io", "https://jsfiddle.net"),
    *("http://jsbin.com", "http://whatever.s3.amazonaws.com", "https://whatever.github.io"),
    f"https://{'a' * MAX_ORIGIN_LENGTH}.invalid",
)


def near_misses(origin: str) -> Iterator[str]:
    """Origins that look like *origin*, and are others."""
    parsed = parse_origin(origin)
    if parsed is None:
        return
    scheme, host, port = parsed
    rest = f"{port and ':'}{port}"
    for other in dict.fromkeys(_hosts(host)):
        yield f"{scheme}://{other}{rest}"
    yield f"{'http' if scheme == 'https' else 'https'}://{host}{rest}"
    yield f"{scheme}://{host}:{1 if port != '1' else 2}"
    yield f"{scheme}://{host}{rest}/"
    yield f"{scheme}://{host.upper()}{rest}"
    yield f"{scheme.upper()}://{host}{rest}"
    yield f"{scheme}://stranger.invalid@{host}{rest}"
    yield f"{scheme}://{host}{rest}@stranger.invalid"
    yield f"{scheme}://stranger.invalid#{host}"
    yield f"{origin}, {STRANGER}"
    yield f"{STRANGER} {origin}"


def _hosts(host: str) -> Iterator[str]:
    yield f"{host}.stranger.invalid"  # a suffix: the rule looks at the beginning
    yield f"stranger{host}"  # a prefix: the rule looks at the end
    yield f"stranger-{host}"
    yield f"stranger.{host}"
    yield f"{host}."
    yield f"{host}_.stranger.invalid"
    yield f"{host}%60.stranger.invalid"
    yield f"{host}`.stranger.invalid"
    yield host[1:]
    yield host[:-1]
    for index, character in enumerate(host):
        if character == ".":  # a dot that was not escaped in a regular expression
            yield f"{host[:index]}x{host[index + 1 :]}"


# ---------------------------------------------------------------------------------------
# What a callable compares with
# ---------------------------------------------------------------------------------------

_MOST_HINTS: Final = 20
_HOST: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)


def hosts_in(function: Any) -> list[str]:
    """Hosts in the strings that *function* knows: constants, what it closes over, and global names that it uses.

    Faulty matching is found by its near misses, and those depend on the host that it looks for.
    """
    texts = [text.replace("\\", "") for text in _texts_of(function)]
    hosts = [host.lower() for text in texts for host in _HOST.findall(text)]
    return list(dict.fromkeys(hosts))[:_MOST_HINTS]


def _texts_of(function: Any) -> Iterator[str]:
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__"):
        function = getattr(type(function), "__call__", None)  # noqa: B004 - its code is needed
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return
    yield from _strings_in(code.co_consts)
    cells = getattr(function, "__closure__", None) or ()
    names = getattr(function, "__globals__", {})
    for value in (*(_content(cell) for cell in cells), *(names.get(name) for name in code.co_names)):
        yield from _strings_in([getattr(value, "pattern", value)])  # of a regular expression


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is not filled yet
        return None


def _strings_in(values: Any, depth: int = 3) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, CodeType) and depth:
            yield from _strings_in(value.co_consts, depth - 1)
        elif isinstance(value, list | tuple | set | frozenset | dict) and depth:
            yield from _strings_in(value, depth - 1)
