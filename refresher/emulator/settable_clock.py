"""A clock that tests can move: the machine's clock plus an offset."""

from datetime import datetime, timedelta

from refresher.clock import Clock, SystemClock


class SettableClock:
    """Another clock, moved by `offset`; only the wall clock moves."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """Return the moved wall clock time, aware and in UTC."""
        return self._clock.now() + self.offset

    def monotonic(self) -> float:
        """Return the machine's monotonic time in seconds, which does not move."""
        return self._clock.monotonic()

    def advance(self, duration: timedelta) -> None:
        """Move the time forward by a duration; back if it is negative."""
        self.offset += duration
