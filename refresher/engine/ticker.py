"""The tick, and the watch over the clocks that brings it forward: the one file that knows APScheduler.

One job, with a trigger of our own: the rest of a second from now. The stock interval trigger counts from its start:
after the wall clock is set back it stays silent until the clock has caught up, and after a step forward it works out
every run it missed. A run is never too late to happen (`misfire_grace_time=None`), late runs become one (`coalesce`),
and it runs on the scheduler's own thread (`DebugExecutor` calls the job where it is found due), so that two never
overlap and none is left behind at the end.

The guard compares how far the wall, boot and monotonic clocks moved since it last looked. The wall clock moving
otherwise than the boot clock is a step (NTP, an operator); the boot clock moving further than the monotonic one is a
suspend. Either way what was planned by the clock is void.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread
from time import monotonic
from typing import NamedTuple, Self

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from refresher.clock import Clock

TICK_SECONDS = 1.0
_SHORTEST = 0.001


class _FromNow(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 ships no types
    """Fires as many seconds after the moment it is asked as a function returns, which are more than none."""

    def __init__(self, count_seconds: Callable[[], float]) -> None:
        self._count_seconds = count_seconds

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + timedelta(seconds=self._count_seconds())


class Ticker:
    """Calls a function every second from `__enter__` to `__exit__`, whatever happens to the wall clock.

    Between two calls it calls another one, as soon as that is asked for; the two never overlap.
    """

    def __init__(self, tick: Callable[[], None], follow: Callable[[], None] | None = None) -> None:
        self._tick = tick
        self._follow = follow or tick
        self._tick_at = 0.0  # on the monotonic clock
        self._scheduler = BackgroundScheduler(timezone=UTC, executors={"default": DebugExecutor()})

    def __enter__(self) -> Self:
        self._scheduler.add_job(
            self._run,
            trigger=_FromNow(self._count_rest),
            id="tick",
            next_run_time=datetime.now(UTC),
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
        self._scheduler.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._scheduler.shutdown(wait=False)

    def tick_now(self) -> None:
        """Bring the next tick forward to this moment; safe from any thread.

        The scheduler holds the next run as a wall clock time: after that clock was set back only this moves it.
        """
        self._tick_at = 0.0
        self._scheduler.modify_job("tick", next_run_time=datetime.now(UTC))

    def follow_now(self) -> None:
        """Call the other function at this moment; waits for a call under way."""
        self._scheduler.modify_job("tick", next_run_time=datetime.now(UTC))

    def _count_rest(self) -> float:
        rest = self._tick_at - monotonic()
        return max(rest, _SHORTEST) if rest > 0 else TICK_SECONDS  # the scheduler asks before the tick, too

    def _run(self) -> None:
        if (now := monotonic()) < self._tick_at:
            self._follow()
        else:
            self._tick_at = now + TICK_SECONDS
            self._tick()


TOLERANCE = 2.0
"""Seconds by which the clocks may move apart between two looks before that counts as a jump."""

PERIOD = 1.0
"""Seconds between two looks, on the monotonic clock."""


class Reading(NamedTuple):
    """All three clocks at about one moment, in seconds."""

    wall: float
    boot: float
    monotonic: float

    @classmethod
    def take(cls, clock: Clock) -> Self:
        """Read the clocks."""
        return cls(wall=clock.now().timestamp(), boot=clock.boot(), monotonic=clock.monotonic())


def compute_jump(earlier: Reading, later: Reading) -> float | None:
    """Return by how many seconds the clocks moved apart, the largest difference; None within the tolerance.

    The number is positive after a suspend or if the wall clock was set forward, negative if it was set back.
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
    """Calls a function with the size of each jump from `__enter__` to `__exit__`, by a thread of its own or a look."""

    def __init__(self, *, clock: Clock, jumped: Callable[[float], None]) -> None:
        self._clock = clock
        self._jumped = jumped
        self._lock = Lock()
        self._earlier = Reading.take(clock)
        self._stopping = Event()
        self._thread = Thread(target=self._watch, name="clock-guard", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=PERIOD)

    def look(self) -> None:
        """Look at the clocks at this moment: what goes by the time is to hear of a jump first. Safe from any thread."""
        with self._lock:
            later = Reading.take(self._clock)
            jump, self._earlier = compute_jump(self._earlier, later), later
        if jump is not None:
            self._jumped(jump)

    def _watch(self) -> None:
        while not self._stopping.wait(PERIOD):
            self.look()
