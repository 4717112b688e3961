"""Time as an argument: the Clock protocol, and this machine's own clocks.

There are three clocks, because each is wrong in its own way: NTP and operators step the wall clock, the monotonic clock
stands still while the machine is suspended, and the boot clock (CLOCK_BOOTTIME) does neither but has no date. Below
`refresher.app` no module reads a clock that was not passed to it.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The source of time; tests pass one that they move."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, UTC."""
        ...

    def boot(self) -> float:
        """Return the seconds since boot, suspended time included; it never steps."""
        ...

    def monotonic(self) -> float:
        """Return the seconds of a clock that never steps and may stand still during suspend."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, UTC."""
        return datetime.now(UTC)

    def boot(self) -> float:
        """Return CLOCK_BOOTTIME in seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def monotonic(self) -> float:
        """Return CLOCK_MONOTONIC in seconds."""
        return time.monotonic()
