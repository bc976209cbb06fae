"""What is remembered from one request to the next, within bounds that no client can move."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

# How many answers are remembered in one place, and how many characters of a request may go into one
MOST_REMEMBERED: Final = 1024
LONGEST_REMEMBERED: Final = 1024

# The share of new answers that is kept where there are too many. What is asked for often is soon among those, and most
# of what comes in a flood is never asked for again. Steps of the golden ratio go round so that any rhythm of questions
# comes to each place: none can be kept out for ever.
KEPT_SHARE: Final = 1 / 8
STEP: Final = (5**0.5 - 1) / 2


class Memory(Generic[Question, Answer]):
    """Answers by question, in the plain dictionary *kept*, which stays the same object; the oldest make room.

    A flood takes no more room than anything else, and what others ask for outlives it, or is soon back.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._lot = 0.0
        self._is_crowded = False
        self.kept: dict[Question, Answer] = {}

    def keep(self, question: Question, answer: Answer) -> None:
        """Remember a new *answer*, or just one of some, once others have had to make room."""
        self._lot = (self._lot + STEP) % 1
        if self._is_crowded and self._lot > KEPT_SHARE:
            return
        if len(self.kept) >= self._most:
            self._is_crowded = True
            for oldest in list(self.kept)[: self._most // 8]:  # many at once, and at one stroke for other threads
                self.kept.pop(oldest, None)
        self.kept[question] = answer
