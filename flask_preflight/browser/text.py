"""Text that a server or a client sent, made safe to print, and strings of a script."""

from __future__ import annotations

import re

MOST_CHARACTERS = 200


# https://infra.spec.whatwg.org/#javascript-string-convert
def scalar(text: str) -> str:
    """*text* without lone surrogates, as a script's string becomes scalar values."""
    return _SURROGATE.sub("\ufffd", text)


_SURROGATE = re.compile("[\ud800-\udfff]")


def shown(text: str, most: int = MOST_CHARACTERS) -> str:
    """*text* on one line, in printable ASCII, cut after *most* characters."""
    line = re.sub(r"[^\x20-\x7e]", lambda character: ascii(character[0])[1:-1], text[:most])
    return line if len(text) <= most else f"{line}... ({len(text)} characters)"
