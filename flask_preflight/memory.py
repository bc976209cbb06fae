"""What is remembered from one request to the next, within bounds that no client can move."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

# How many answers are remembered in one place, and how many characters of a request may go into one
MOST_REMEMBERED: Final = 1024
LONGEST_REMEMBERED: Final = 1024

# The share of new answers that is kept where there are too many. What is asked for often is soon among those, and most
# of what comes in a flood is never asked for again. By chance, so that no rhythm of questions keeps one out.
KEPT_SHARE: Final = 1 / 8


class Memory(Generic[Question, Answer]):
    """Answers by question, in the plain dictionary *kept*, which stays the same object; the oldest make room.

    A flood takes no more room than anything else, and what others ask for is soon back if it is driven out.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._is_crowded = False
        self.kept: dict[Question, Answer] = {}

    def keep(self, question: Question, answer: Answer) -> None:
        """Remember a new *answer*; as soon as others have had to make room, only a share of them."""
        if not self._is_crowded:
            self.put(question, answer)
            return
        from random import random  # takes some milliseconds, and most never need it

        if random() < KEPT_SHARE:  # noqa: S311 - nothing about it is secret
            self.put(question, answer)

    def put(self, question: Question, answer: Answer) -> None:
        """Remember *answer* in any case."""
        if len(self.kept) >= self._most:
            self._is_crowded = True
            for oldest in list(self.kept)[: -(-self._most // 8)]:  # many at once, and at one stroke for other threads
                self.kept.pop(oldest, None)
        self.kept[question] = answer
