"""Origins that are similar to allowed ones. Faulty matching lets them in, so security scanners try them.

The questions are those of CORScanner, Corsy, nuclei and ZAP, and some that they lack. Their hosts end in ``.invalid``,
``.test`` or ``.example``, or belong to well-known sites.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from inspect import getattr_static
from itertools import islice
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

from werkzeug.local import LocalProxy

from flask_preflight.origin import MAX_ORIGIN_LENGTH, parse_origin

STRANGER: Final = "https://stranger.invalid"

# These should never be allowed, unless a policy lists them.
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
    """Origins that are similar to *origin*."""
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
_MOST_LOOKED_AT: Final = 5000
_MOST_CHARACTERS: Final = 1000
_HOST: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)


class Hints(NamedTuple):
    """What a callable may compare with: the first *hosts*, and whole *origins*.

    Near misses show faulty matching. They are made from the host that the callable compares with.
    """

    hosts: list[str]
    origins: list[str]


def hints_of(function: Any) -> Hints:
    """The hosts and origins in the strings that *function* can reach. Nothing of it runs."""
    texts = [*_texts_of(function)]
    hosts = (host.lower() for text in texts for host in _HOST.findall(text.replace("\\", "")))
    origins = dict.fromkeys(text for text in texts if parse_origin(text) is not None)
    return Hints([*islice(dict.fromkeys(hosts), _MOST_HINTS)], [*origins])


def _texts_of(function: Any) -> Iterator[str]:
    """Strings, the near ones first."""
    waiting, seen = deque([function]), {id(function)}
    while waiting:
        for part in _parts_of(waiting.popleft()):
            if issubclass(type(part), str):
                yield part[:_MOST_CHARACTERS]
            elif id(part) not in seen and len(seen) < _MOST_LOOKED_AT:
                seen.add(id(part))
                waiting.append(part)


# Even to ask for the class of a proxy runs what it stands for.
_OPAQUE: Final = (ModuleType, LocalProxy)


def _parts_of(value: Any) -> Iterable[Any]:
    if type(value) in _OPAQUE:
        return ()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, dict):
        return (*value.keys(), *value.values())
    if isinstance(value, CodeType):
        return value.co_consts
    if isinstance(value, partial):
        return (value.func, value.args, value.keywords)
    if isinstance(value, re.Pattern):
        return (value.pattern,)
    if isinstance(value, MethodType):
        return (value.__func__, value.__self__)
    return _parts_of_function(value) if isinstance(value, FunctionType) else _parts_of_object(value)


def _parts_of_function(function: FunctionType) -> Iterator[Any]:
    """Its constants, what it closes over, its defaults, and the names of its module that it uses."""
    yield function.__code__
    yield from (_content(cell) for cell in function.__closure__ or ())
    yield from (function.__defaults__, function.__kwdefaults__)
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        inner = getattr_static(value, "__wrapped__", value)
        # libraries know other hosts
        if not issubclass(type(inner), FunctionType | type) or _package_of(inner) == _package_of(function):
            yield value


def _package_of(value: Any) -> str:
    return str(value.__module__).partition(".")[0]


def _parts_of_object(value: Any) -> Iterator[Any]:
    """Its attributes, and the method by which it is called."""
    yield from getattr(value, "__dict__", {}).values()
    call = getattr_static(type(value), "__call__", None)
    if isinstance(call, FunctionType):
        yield call


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is not filled yet
        return None
