"""The three clocks of the simulated machine; faults set the wall clock and suspend the machine."""

from datetime import UTC, datetime, timedelta

from tests.simulation.scheduler import SCHEDULER

_BEGINNING = datetime(2027, 1, 15, 8, tzinfo=UTC)


class SimulatedClock:
    """The clocks of a machine that was started a while ago."""

    def __init__(self) -> None:
        self._start = SCHEDULER.now
        self._asleep = 0.0
        self._set_by = 0.0

    def now(self) -> datetime:
        """Return the wall clock's time."""
        return _BEGINNING + timedelta(seconds=SCHEDULER.now - self._start + self._asleep + self._set_by)

    def boot(self) -> float:
        """Return the seconds since boot, suspended time included."""
        return SCHEDULER.now + self._asleep

    def monotonic(self) -> float:
        """Return the seconds since boot without the suspended time."""
        return SCHEDULER.now

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._set_by += seconds

    def suspend(self, seconds: float) -> None:
        """Make time pass for all but the monotonic clock."""
        self._asleep += seconds
