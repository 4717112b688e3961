"""Turns of the threads that publish: which one may compute, and that none waits for long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from refresher.publishing.lock import Turns
from tests.program import PATIENCE

_THREADS = 4


def count_turns(turns: Turns, wanted: int) -> int:
    """Take a turn, and leave it once, this many times; return how many there were."""
    done = 0
    for _ in range(wanted):
        with turns.take(), turns.leave():
            done += 1
    return done


def test_one_thread_at_a_time_has_the_turn() -> None:
    """Threads that compute do so one after the other, however many there are."""
    turns = Turns(longest=PATIENCE)
    inside, most = 0, 0
    start = Barrier(_THREADS)

    def compute() -> None:
        nonlocal inside, most
        start.wait(PATIENCE)
        for _ in range(100):
            with turns.take():
                inside += 1
                most = max(most, inside)
                sum(range(100))
                inside -= 1

    with ThreadPoolExecutor(_THREADS) as pool:
        for each in [pool.submit(compute) for _ in range(_THREADS)]:
            each.result(PATIENCE)

    assert most == 1


def test_turn_is_another_threads_while_one_waits() -> None:
    """A thread that waits for the disk has left its turn to the others, and gets it again afterwards."""
    turns = Turns(longest=PATIENCE)
    waits, is_over = Event(), Event()

    def wait() -> str:
        with turns.take():
            with turns.leave():
                waits.set()
                is_over.wait(PATIENCE)
            return "again"

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        assert waits.wait(PATIENCE)
        with turns.take():
            is_over.set()
        assert waiting.result(PATIENCE) == "again"


def test_turn_that_never_ends_delays_the_others_once() -> None:
    """A visit that hangs keeps its turn: the others wait once, not each time that they want one."""
    turns = Turns(longest=0.2)

    with ThreadPoolExecutor(1) as pool, turns.take():
        assert pool.submit(count_turns, turns, 1000).result(PATIENCE) == 1000

    assert count_turns(turns, 1) == 1


def test_turn_is_free_again_after_a_failure() -> None:
    """Whatever ends a visit or a wait, the next thread gets its turn."""
    turns = Turns(longest=PATIENCE)
    for _ in range(3):
        with pytest.raises(OSError, match="disk"), turns.take(), turns.leave():
            raise OSError("disk")

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(count_turns, turns, 3).result(PATIENCE) == 3


def test_turn_that_was_left_is_left_once() -> None:
    """A wait inside of a wait changes nothing, and neither does one of a thread that has no turn."""
    turns = Turns(longest=PATIENCE)
    with turns.leave(), turns.take(), turns.leave(), turns.leave():
        pass

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(count_turns, turns, 1).result(PATIENCE) == 1
