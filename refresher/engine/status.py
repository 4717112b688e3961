"""The one locked board: what is known of each target, put there by the daemon and read by whoever asks.

It remembers attempts. What the files are worth is never read from here but from the files (`refresher.observe.health`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """What is known of a target's attempts.

    Attributes:
        last_success_at: When a refresh last went through, published or found nothing to do; UTC.
        consecutive_failures: Since then.
        problem: Of the last attempt, if it failed.
        remedy: For that problem.
        next_attempt_at: When the next one is planned; None for at once.
    """

    last_success_at: datetime | None = None
    consecutive_failures: int = 0
    problem: str | None = None
    remedy: str | None = None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The board at one moment; it never changes afterwards.

    Attributes:
        targets: By name.
        complaints: Problem and remedy of what the present configuration had to leave out.
        last_tick: Monotonic seconds of the last tick; None before the first.
        refreshes: How many refreshes ended in each way, by (outcome, stage).
    """

    targets: Mapping[str, TargetStatus] = field(default_factory=dict)
    complaints: tuple[tuple[str, str], ...] = ()
    last_tick: float | None = None
    refreshes: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Board:
    """Holds the present snapshot's pieces; every method is safe from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._targets: dict[str, TargetStatus] = {}
        self._complaints: tuple[tuple[str, str], ...] = ()
        self._last_tick: float | None = None
        self._refreshes: dict[tuple[str, str], int] = {}

    def snapshot(self) -> Snapshot:
        """Give what is known now."""
        with self._lock:
            return Snapshot(
                targets=dict(self._targets),
                complaints=self._complaints,
                last_tick=self._last_tick,
                refreshes=dict(self._refreshes),
            )

    def adopt(self, names: Iterable[str], complaints: tuple[tuple[str, str], ...]) -> None:
        """Keep what is known of the targets of a new plan and forget the others."""
        with self._lock:
            self._targets = {name: self._targets.get(name, TargetStatus()) for name in names}
            self._complaints = complaints

    def record(self, name: str, status: TargetStatus, *, outcome: str, stage: str) -> None:
        """Note how a refresh of a target ended; a target that is gone is only counted."""
        with self._lock:
            if name in self._targets:
                self._targets[name] = status
            self._refreshes[outcome, stage] = self._refreshes.get((outcome, stage), 0) + 1

    def get(self, name: str) -> TargetStatus:
        """Give what is known of one target; nothing yet for an unknown one."""
        with self._lock:
            return self._targets.get(name, TargetStatus())

    def ticked(self, monotonic: float) -> None:
        """Note that the daemon's tick ran."""
        with self._lock:
            self._last_tick = monotonic
