"""What is remembered from one request to the next, within bounds that no client can move."""

from __future__ import annotations

from typing import Any, Final

# How many answers are remembered in one place, and how long the request's headers may be for that, together
MOST_REMEMBERED: Final = 1024
LONGEST_REMEMBERED: Final = 1024


class Memory(dict[Any, Any]):
    """Answers by question. When it is full it forgets all, so a flood takes no memory, and little from others."""

    def keep(self, question: object, answer: object) -> None:
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        self[question] = answer
