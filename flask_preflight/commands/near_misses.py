"""Origins that are nearly allowed: what faulty matching lets in, as the known scanners ask it.

The questions are those of CORScanner, Corsy, nuclei and ZAP, and some that they lack. Their hosts end in ``.invalid``,
``.test`` or ``.example``, or are ones that nobody owns by accident.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

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
