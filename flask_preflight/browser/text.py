"""What others sent, as text that people can read safely."""

from __future__ import annotations

import re

MOST_CHARACTERS = 200


def shown(text: str) -> str:
    """*text* on one line and not too long, whatever it is."""
    line = re.sub(r"[^\x20-\x7e]", lambda character: ascii(character[0])[1:-1], text[:MOST_CHARACTERS])
    return line if len(text) <= MOST_CHARACTERS else f"{line}... ({len(text)} characters)"
