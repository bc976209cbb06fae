"""What is remembered: bounded, and a flood drives nothing out for long that others ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_preflight.memory import MOST_REMEMBERED, Memory

# So often something is asked for at most, with nothing in between, until it is kept
OFTEN = 13


def flooded(most: int = MOST_REMEMBERED) -> Memory[int, int]:
    """A memory that has no more room."""
    memory: Memory[int, int] = Memory(most)
    for number in range(most + 1):
        memory.keep(-number - 1, number + 1)
    return memory


@given(st.lists(st.integers(0, 100)), st.booleans())
def test_what_is_kept_was_said_and_stays_in_one_dictionary(questions: list[int], is_flooded: bool) -> None:
    memory = flooded(64) if is_flooded else Memory[int, int](64)
    kept = memory.kept
    for number in questions:
        memory.keep(number, -number)
    assert memory.kept is kept
    assert all(kept[number] == -number for number in kept)


def test_everything_is_kept_as_long_as_there_is_room_and_then_the_oldest_make_some() -> None:
    memory: Memory[int, int] = Memory()
    for number in range(MOST_REMEMBERED):
        memory.keep(number, -number)
    assert [*memory.kept] == [*range(MOST_REMEMBERED)]
    memory.keep(MOST_REMEMBERED, 0)
    assert [*memory.kept] == [*range(MOST_REMEMBERED // 8, MOST_REMEMBERED + 1)]


def test_memory_is_bounded() -> None:
    memory: Memory[int, int] = Memory()
    for number in range(10 * MOST_REMEMBERED):
        memory.keep(number, -number)
        assert len(memory.kept) <= MOST_REMEMBERED
    assert len(memory.kept) > MOST_REMEMBERED * 3 // 4


@pytest.mark.parametrize("cycle", [1, 6, 7, 8, 14, 100])
def test_what_is_asked_for_again_and_again_is_kept_though_there_is_no_room(cycle: int) -> None:
    memory = flooded()
    for _ in range(cycle * OFTEN):
        for number in range(cycle):
            if number not in memory.kept:
                memory.keep(number, -number)
    assert {*range(cycle)} <= {*memory.kept}


@pytest.mark.parametrize("share", [2, 3, 7, 8, 10, 50])
def test_what_others_ask_for_is_kept_in_a_flood(share: int) -> None:
    memory: Memory[int, int] = Memory()
    missed = 0
    for number in range(1, 100 * MOST_REMEMBERED):
        memory.keep(-number, number)
        if not number % share and 0 not in memory.kept:
            missed += 1
            memory.keep(0, 0)
    assert missed * share < 100 * MOST_REMEMBERED // 10  # a tenth of all that was asked
