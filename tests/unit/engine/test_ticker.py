from __future__ import annotations

import threading
import time
from functools import partial
from itertools import pairwise

from refresher.engine.ticker import Ticker
from refresher.engine.workers import Workers
from tests.program import until

DEADLINE = 10.0


def test_ticks_come_at_once_and_go_on() -> None:
    """The first tick comes at the start, and others follow."""
    ticks: list[float] = []
    enough = threading.Event()

    def tick() -> None:
        ticks.append(time.monotonic())
        if len(ticks) >= 3:
            enough.set()

    started = time.monotonic()
    with Ticker(tick):
        assert enough.wait(DEADLINE)

    assert ticks[0] - started < 0.9
    assert ticks[2] - ticks[0] > 0.5  # any of them may come late on a busy machine


def test_tick_can_be_brought_forward() -> None:
    """A requested tick comes before its second has passed."""
    ticked = threading.Event()

    with Ticker(ticked.set) as ticker:
        assert ticked.wait(DEADLINE)
        ticked.clear()
        ticker.tick_now()

        assert ticked.wait(0.9)


def test_follow_comes_between_two_ticks_and_delays_none() -> None:
    """What is asked for between two ticks comes at once, and the ticks go on although it never ends to be asked for."""
    ticks, follows = list[float](), list[float]()
    ended = threading.Event()

    def tick() -> None:
        ticks.append(time.monotonic())
        if len(ticks) >= 3:
            ended.set()

    with Ticker(tick, lambda: follows.append(time.monotonic())) as ticker:
        deadline = time.monotonic() + DEADLINE
        while not ended.wait(0.05) and time.monotonic() < deadline:
            ticker.follow_now()

    assert ended.is_set()
    assert all(0.9 < later - earlier < 1.6 for earlier, later in pairwise(ticks))
    assert len(follows) > 10


def hang_until(release: threading.Event) -> None:
    """Do nothing until released."""
    release.wait(DEADLINE)


def test_lane_that_hangs_delays_no_other() -> None:
    """Jobs of one supplier that never end do not delay another supplier's jobs."""
    release, done = threading.Event(), threading.Event()
    hang = partial(hang_until, release)
    workers = Workers()

    for _ in range(10):
        workers.submit("hanging", hang, threads=2)
    workers.submit("working", done.set, threads=2)
    finished_beside = done.wait(DEADLINE)
    release.set()

    assert finished_beside
    assert workers.wait(DEADLINE)
    workers.stop()


def test_wait_ends_at_its_timeout() -> None:
    """A wait for a job that does not end stops at its time limit and reports that."""
    release = threading.Event()
    workers = Workers()
    workers.submit("slow", partial(hang_until, release), threads=1)

    came_true = workers.wait(0.01)
    release.set()

    assert not came_true
    assert workers.wait(DEADLINE)
    workers.stop()


def test_lane_that_is_not_wanted_any_more_keeps_no_thread() -> None:
    """The threads of a supplier that is gone end after what is queued; those of the others stay, and all still work."""
    release, done = threading.Event(), threading.Event()
    workers = Workers()
    for lane in ("former", "present"):
        workers.submit(lane, partial(hang_until, release), threads=1)
    workers.submit("former", done.set, threads=1)

    workers.retain({"present"})
    release.set()

    assert done.wait(DEADLINE)
    until(lambda: not any("-former-" in thread.name for thread in threading.enumerate()), what="the threads end")
    assert any("-present-" in thread.name for thread in threading.enumerate())
    workers.submit("former", done.clear, threads=1)
    assert workers.wait(DEADLINE)
    workers.stop()
