"""The tick: the one file that knows APScheduler.

One job, with a trigger of our own that says "one second from now". The stock interval trigger counts from its start:
after the wall clock is set back it stays silent until the clock has caught up, and after a step forward it works out
every run it missed. A run is never too late to happen (`misfire_grace_time=None`), late runs become one (`coalesce`),
and it runs on the scheduler's own thread (`DebugExecutor` calls the job where it is found due), so that two never
overlap and none is left behind at the end.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

TICK = timedelta(seconds=1)


class _FromNow(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 ships no types
    """Fires one tick after the moment it is asked."""

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + TICK


class Ticker:
    """Calls a function every second from `__enter__` to `__exit__`, whatever happens to the wall clock."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._scheduler = BackgroundScheduler(timezone=UTC, executors={"default": DebugExecutor()})

    def __enter__(self) -> Self:
        self._scheduler.add_job(
            self._tick,
            trigger=_FromNow(),
            id="tick",
            next_run_time=datetime.now(UTC),
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
        self._scheduler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scheduler.shutdown(wait=False)

    def tick_now(self) -> None:
        """Bring the next tick forward to this moment; safe from any thread.

        The scheduler holds the next run as a wall clock time: after that clock was set back only this moves it.
        """
        self._scheduler.modify_job("tick", next_run_time=datetime.now(UTC))
