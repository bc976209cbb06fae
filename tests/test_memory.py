"""What is remembered: bounded, and a flood drives nothing out that others ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_preflight.memory import MOST_REMEMBERED, Memory


@given(st.lists(st.integers(0, 2 * MOST_REMEMBERED), max_size=50), st.integers(0, 3))
def test_what_is_recalled_was_kept(questions: list[int], floods: int) -> None:
    memory: Memory[int, int] = Memory()
    for flood in range(floods + 1):
        for number in questions:
            assert memory.recall(number) in {None, -number}
            memory.keep(number, -number)
            assert memory.recall(number) in ({-number} if not memory.fading else {None, -number})
        for number in range(flood * 7 * MOST_REMEMBERED, (flood * 7 + flood) * MOST_REMEMBERED):
            memory.keep(number, -number)


def test_memory_is_bounded() -> None:
    memory: Memory[int, int] = Memory()
    for number in range(10 * MOST_REMEMBERED):
        memory.keep(number, -number)
        assert len(memory) <= MOST_REMEMBERED
    assert memory.recall(0) is None
    assert sum(memory.recall(number) is not None for number in range(10 * MOST_REMEMBERED)) > MOST_REMEMBERED // 2


def test_everything_is_kept_until_something_has_to_fade_for_it() -> None:
    memory: Memory[int, int] = Memory()
    for number in range(MOST_REMEMBERED // 2 + 1):
        memory.keep(number, -number)
    assert all(memory.recall(number) == -number for number in range(MOST_REMEMBERED // 2 + 1))


@pytest.mark.parametrize("cycle", [1, 7, 8, 9, 16, 100])
def test_what_is_asked_for_again_and_again_is_kept_though_there_is_no_room(cycle: int) -> None:
    memory: Memory[int, int] = Memory()
    for number in range(MOST_REMEMBERED):
        memory.keep(-number - 1, number)
    for _ in range(cycle * 8):
        for number in range(cycle):
            if memory.recall(number) is None:
                memory.keep(number, -number)
    assert [memory.recall(number) for number in range(cycle)] == [-number for number in range(cycle)]


def test_what_is_asked_for_outlives_a_flood() -> None:
    memory: Memory[str, str] = Memory()
    memory.keep("mine", "answer")
    for number in range(10 * MOST_REMEMBERED):
        memory.keep(f"flood {number}", "")
        if not number % (MOST_REMEMBERED // 2):
            assert memory.recall("mine") == "answer"


def test_whoever_is_in_a_hurry_keeps_the_same_dictionary() -> None:
    memory: Memory[int, int] = Memory()
    recent = memory.recent
    for number in range(MOST_REMEMBERED // 2 + 1):
        memory.keep(number, -number)
        assert recent[number] == -number
    assert memory.recall(MOST_REMEMBERED // 4) == recent[MOST_REMEMBERED // 4] == -MOST_REMEMBERED // 4
    assert memory.recent is recent


def test_an_empty_answer_is_one() -> None:
    memory: Memory[str, tuple[str, ...]] = Memory()
    memory.keep("question", ())
    for number in range(MOST_REMEMBERED // 2):
        memory.keep(str(number), ("other",))
    assert memory.recall("question") == ()
