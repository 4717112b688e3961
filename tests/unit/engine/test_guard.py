from __future__ import annotations

from datetime import timedelta

import pytest

from refresher.engine.ticker import ClockGuard, Reading, compute_jump
from tests.fakes import FakeClock

START = Reading(wall=1_000_000.0, boot=500.0, monotonic=400.0)


def later(*, wall: float, boot: float, monotonic: float) -> Reading:
    """Return a reading after the clocks moved by these seconds."""
    return Reading(wall=START.wall + wall, boot=START.boot + boot, monotonic=START.monotonic + monotonic)


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        pytest.param(later(wall=1, boot=1, monotonic=1), None, id="all-together"),
        pytest.param(later(wall=300, boot=300, monotonic=300), None, id="stopped-process"),
        pytest.param(later(wall=2.5, boot=1, monotonic=1), None, id="small-slew"),
        pytest.param(later(wall=-3599, boot=1, monotonic=1), -3600, id="set-back-an-hour"),
        pytest.param(later(wall=315_360_001, boot=1, monotonic=1), 315_360_000, id="set-forward-ten-years"),
        pytest.param(later(wall=7201, boot=7201, monotonic=1), 7200, id="suspended"),
    ],
)
def test_jumps_are_told_from_time_going_by(reading: Reading, expected: float | None) -> None:
    """Clocks that move together show time that passes; clocks that differ show a step or a suspend."""
    assert compute_jump(START, reading) == (None if expected is None else pytest.approx(expected))


def test_jump_is_noticed_by_whoever_looks_first() -> None:
    """A tick that looks at the clocks before it works knows of a jump at once, and the guard reports it once."""
    clock, jumps = FakeClock(), list[float]()
    guard = ClockGuard(clock=clock, jumped=jumps.append)

    clock.pass_(timedelta(seconds=5))
    guard.look()
    assert jumps == []
    clock.wall += timedelta(hours=2)
    guard.look()
    guard.look()
    assert jumps == [pytest.approx(7200)]
