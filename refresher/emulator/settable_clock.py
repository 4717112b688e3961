"""A clock that a test moves: the machine's own, plus an offset."""

from __future__ import annotations

from datetime import datetime, timedelta

from refresher.clock import Clock, SystemClock


class SettableClock:
    """The time of another clock, moved by `offset`; only the wall clock moves."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """Give the moved wall clock time, aware and in UTC."""
        return self._clock.now() + self.offset

    def monotonic(self) -> float:
        """Give seconds of the machine's own time, which nobody moves."""
        return self._clock.monotonic()

    def advance(self, duration: timedelta) -> None:
        """Let this much more time have gone by; negative to go back."""
        self.offset += duration
