"""Watch the clocks: notice that the wall clock jumped or that the machine was suspended.

It compares how far the wall, boot and monotonic clocks moved since it last looked. The wall clock moving otherwise than
the boot clock is a step (NTP, an operator); the boot clock moving further than the monotonic one is a suspend. Either
way what was planned by the clock is void. What is done about it is decided in `refresher.engine.daemon`.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from refresher.clock import Clock

TOLERANCE = 2.0
"""Seconds by which the clocks may move apart between two looks before that counts as a jump."""

PERIOD = 1.0
"""Seconds between two looks, on the monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All three clocks at about one moment, in seconds."""

    wall: float
    boot: float
    monotonic: float

    @classmethod
    def take(cls, clock: Clock) -> Reading:
        """Read the clocks."""
        return cls(wall=clock.now().timestamp(), boot=clock.boot(), monotonic=clock.monotonic())


def compute_jump(earlier: Reading, later: Reading) -> float | None:
    """Return by how many seconds the clocks moved apart, the largest difference; None within the tolerance.

    A wall clock set forward or a suspend gives a positive number, a wall clock set back a negative one.
    """
    monotonic = later.monotonic - earlier.monotonic
    differences = [
        (later.wall - earlier.wall) - (later.boot - earlier.boot),
        (later.wall - earlier.wall) - monotonic,
        (later.boot - earlier.boot) - monotonic,
    ]
    largest = max(differences, key=abs)
    return largest if abs(largest) > TOLERANCE else None


class ClockGuard:
    """Calls a function with the size of each jump from `__enter__` to `__exit__`, on a thread of its own."""

    def __init__(self, *, clock: Clock, jumped: Callable[[float], None]) -> None:
        self._clock = clock
        self._jumped = jumped
        self._stopping = Event()
        self._thread = Thread(target=self._watch, name="clock-guard", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(timeout=PERIOD)

    def _watch(self) -> None:
        earlier = Reading.take(self._clock)
        while not self._stopping.wait(PERIOD):
            later = Reading.take(self._clock)
            if (jump := compute_jump(earlier, later)) is not None:
                self._jumped(jump)
            earlier = later
