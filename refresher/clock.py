"""What time it is, as an argument: the Clock protocol and the machine's own clocks.

Three clocks, because each lies in its own way: the wall clock is stepped by NTP and by operators, the monotonic clock
stands still while the machine is suspended, and the boot clock (CLOCK_BOOTTIME) does neither but knows no date.
Nothing below `refresher.app` reads a clock that it was not given.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Source of time; tests pass one that they move by hand."""

    def now(self) -> datetime:
        """Give the wall clock's time, aware and in UTC."""
        ...

    def boot(self) -> float:
        """Give the seconds since boot, suspended time included; never steps."""
        ...

    def monotonic(self) -> float:
        """Give the seconds of a clock that never steps and may stand still during suspend."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> datetime:
        """Give the wall clock's time, aware and in UTC."""
        return datetime.now(UTC)

    def boot(self) -> float:
        """Give CLOCK_BOOTTIME in seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def monotonic(self) -> float:
        """Give CLOCK_MONOTONIC in seconds."""
        return time.monotonic()
