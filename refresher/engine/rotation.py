"""Next keys on trial: each is proven by real exchanges before it signs, however late its public half is uploaded.

Google's servers see an upload one after the other, so one acceptance proves little: a key is activated after several in
a row, some time apart. Until then the active key goes on signing. What an exchange is, and how a key is activated, is
composed in `refresher.app`; when to try and what to report is decided here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Lock

from refresher.clock import Clock
from refresher.engine.events import Severity
from refresher.engine.exchanges import judge_failure
from refresher.engine.plan import KeyTrial
from refresher.engine.reporter import Reporter
from refresher.errors import KeysError, RefresherError, describe_bug

ACCEPTANCES = 3
"""Exchanges in a row that must succeed."""


@dataclass(slots=True, kw_only=True)
class _Progress:
    trial: KeyTrial
    next_at: datetime | None = None
    accepted: int = 0
    problem: str | None = None
    is_busy: bool = False


class Rotation:
    """The trials of the present plan; safe to use from several threads."""

    def __init__(self, *, reporter: Reporter, clock: Clock) -> None:
        self._reporter = reporter
        self._clock = clock
        self._lock = Lock()
        self._progress: dict[tuple[Path, str], _Progress] = {}

    def adopt(self, trials: Sequence[KeyTrial]) -> None:
        """Take over the trials of a plan; those under way go on where they are."""
        with self._lock:
            former = self._progress
            self._progress = {}
            for trial in trials:
                key = (trial.directory, trial.kid)
                self._progress[key] = former.get(key) or _Progress(trial=trial)
                self._progress[key].trial = trial

    def take_due(self, now: datetime) -> list[Callable[[], None]]:
        """Return an attempt for each trial that is due; each is to be run once and does not raise."""
        with self._lock:
            due = [
                progress
                for progress in self._progress.values()
                if not progress.is_busy and (progress.next_at is None or progress.next_at <= now)
            ]
            for progress in due:
                progress.is_busy = True
        return [partial(self._attempt, progress) for progress in due]

    def reconsider(self) -> None:
        """Make every trial due at once, after the clock has jumped."""
        with self._lock:
            for progress in self._progress.values():
                progress.next_at = None

    def _attempt(self, progress: _Progress) -> None:
        trial = progress.trial
        try:
            trial.prove(self._clock.now())
            progress.accepted += 1
            if progress.accepted >= ACCEPTANCES:
                trial.activate(self._clock.now())
                with self._lock:
                    self._progress.pop((trial.directory, trial.kid), None)
                self._reporter.send("keys.rotated", Severity.INFO, path=str(trial.directory), kid=trial.kid)
        except RefresherError as error:
            self._failed(progress, error)
        except Exception as bug:  # noqa: BLE001 - one key's bug must not end the thread that tries them all
            self._failed(progress, describe_bug(f"the trial of key {trial.kid}", bug))
        with self._lock:
            progress.next_at = self._clock.now() + trial.spacing
            progress.is_busy = False

    def _failed(self, progress: _Progress, error: RefresherError) -> None:
        """Report once what keeps a key from being activated."""
        progress.accepted = 0
        if error.problem == progress.problem:
            return
        progress.problem = error.problem
        self._reporter.send(
            "daemon.fault" if isinstance(error, KeysError) else f"exchange.{judge_failure(error)}",
            Severity.WARNING,
            path=str(progress.trial.directory),
            kid=progress.trial.kid,
            error=error.problem,
            remedy=error.remedy,
        )
