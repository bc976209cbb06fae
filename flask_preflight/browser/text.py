"""What others sent, as text that people can read safely."""

from __future__ import annotations

import re

MOST_CHARACTERS = 200


def shown(text: str, most: int = MOST_CHARACTERS) -> str:
    """*text* on one line, in printable ASCII, cut after *most* characters."""
    line = re.sub(r"[^\x20-\x7e]", lambda character: ascii(character[0])[1:-1], text[:most])
    return line if len(text) <= most else f"{line}... ({len(text)} characters)"
