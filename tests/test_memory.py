"""What is remembered: bounded, and a flood drives nothing out for long that others ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_preflight.memory import MOST_REMEMBERED, Memory

# What is asked for so often is kept, but for one case in a hundred thousand million
OFTEN = 200


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


def test_what_is_asked_for_again_and_again_is_kept_though_there_is_no_room() -> None:
    memory = flooded()
    for _ in range(OFTEN):
        if 0 not in memory.kept:
            memory.keep(0, 0)
    assert 0 in memory.kept


def test_of_a_flood_a_share_is_kept() -> None:
    memory = flooded()
    kept = 0
    for number in range(8000):
        memory.keep(number, -number)
        kept += number in memory.kept
    assert 700 < kept < 1300  # an eighth is a thousand; ten times as far from that as chance brings it
    for number in range(8000, 8100):
        memory.put(number, -number)
        assert number in memory.kept


@pytest.mark.parametrize("period", [2, 3, 8, 10, 34, 55, 89, 144])
def test_what_others_ask_for_in_any_rhythm_is_soon_back_in_a_flood(period: int) -> None:
    memory: Memory[int, int] = Memory()
    asked = missed = number = 0
    while asked < 400_000 // period:
        asked += 1
        is_missed = 0 not in memory.kept
        if is_missed:
            missed += 1
            memory.keep(0, 0)
        for _ in range(period - is_missed):
            number += 1
            memory.keep(number, -number)
    # kept for 8,192 answers, then missed eight times: the share that this makes, and three times that for chance
    assert missed / asked < 3 * 8 / (8192 / period + 8)
