"""What is remembered from one request to the next, within bounds that no client can move."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

# How many answers are remembered in one place, and how many characters of a request may go into one
MOST_REMEMBERED: Final = 1024
LONGEST_REMEMBERED: Final = 1024

# Of so many new answers, one is kept where there is no more room. What is asked for often is soon among them, and most
# of what comes in a flood is never asked for again.
_KEPT_OF: Final = 8


class Memory(Generic[Question, Answer]):
    """Answers by question; those not asked for again make room for new ones.

    Whoever is in a hurry looks into *recent*, a plain dictionary that stays the same object, and asks `recall` if what
    they look for is *fading*. A flood takes no more room than anything else, and what others ask for outlives it.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._met = 0
        self.recent: dict[Question, Answer] = {}
        self.fading: dict[Question, Answer] = {}

    def __len__(self) -> int:
        return len(self.recent) + len(self.fading)

    def keep(self, question: Question, answer: Answer) -> None:
        """Remember a new *answer*, or just one of some, if others would have to make room for all of them."""
        self._met += 1
        if not (self.fading and self._met % _KEPT_OF):
            self._put(question, answer)

    def recall(self, question: Question) -> Answer | None:
        """The answer, unless it is forgotten; and then it is recent again."""
        answer = self.fading.pop(question, None)
        if answer is None:
            return self.recent.get(question)
        self._put(question, answer)
        return answer

    def _put(self, question: Question, answer: Answer) -> None:
        if len(self.recent) >= self._most // 2:
            self.fading = self.recent.copy()
            self.recent.clear()
        self.recent[question] = answer
