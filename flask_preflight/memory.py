"""What is remembered from one request to the next, within bounds that no client can move."""

from __future__ import annotations

from typing import Final, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

# How many answers are remembered in one place, and how many characters of a request may go into one
MOST_REMEMBERED: Final = 1024
LONGEST_REMEMBERED: Final = 1024


class Memory(dict[Question, Answer]):
    """Answers by question. Once it is half full, what is not asked for again makes room for what is new.

    So a flood takes no memory, and what others ask for is found all the same: look it up here, and if it is not here,
    with `recall`.
    """

    def __init__(self) -> None:
        self._fading: dict[Question, Answer] = {}

    def keep(self, question: Question, answer: Answer) -> None:
        if len(self) >= MOST_REMEMBERED // 2:
            self._fading = self.copy()
            self.clear()
        self[question] = answer

    def recall(self, question: Question) -> Answer | None:
        """The answer if it has not been forgotten yet; and then it is here again."""
        answer = self._fading.get(question)
        if answer is not None:
            self.keep(question, answer)
        return answer
