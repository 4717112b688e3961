"""The status board: what the daemon knows and no file shows, for metrics, `/status.json` and the page.

It holds the plan in force, the last tick, how each job of the plan ended last, counts of all jobs, and what the canary
found out about each identity. What leaves the plan leaves the board. No file is read here (`refresher.observe.survey`
does), and nothing waits: a lock is held for the length of an assignment.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import NamedTuple

from refresher.clock import Clock
from refresher.engine.agenda import Entry, Key
from refresher.engine.canary import ExchangeHealth
from refresher.engine.observer import Observer
from refresher.engine.outcome import Outcome, Result
from refresher.engine.plan import Plan
from refresher.errors import ExchangeError, ImpersonationError, PublishError, RefresherError, SupplyError

LIVE_SECONDS = 30.0
"""The daemon is live while its last tick ended within this time; one is due each second."""

_STAGES: dict[type[RefresherError], str] = {
    SupplyError: "supply",
    PublishError: "publish",
    ExchangeError: "exchange",
    ImpersonationError: "impersonate",
}
_OTHER = "other"
_DONE = "done"
OUTCOMES = (
    *((result.value, _DONE) for result in Result if result is not Result.FAILED),
    *((Result.FAILED.value, stage) for stage in (*_STAGES.values(), _OTHER)),
)
"""How a job can end: the outcome, and the stage that failed."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the classes of durations, in seconds."""


class Job(NamedTuple):
    """How a job of the plan ended last; times are in seconds since the epoch.

    Attributes:
        succeeded_at: When it last ended without a failure; None if it never did.
        failures: In a row.
        problem: Why the last attempt failed, with its `remedy`; None if it did not.
        next_at: When it is worked on next; None for at once.
    """

    succeeded_at: float | None = None
    failures: int = 0
    problem: str | None = None
    remedy: str | None = None
    next_at: float | None = None


class Tally(NamedTuple):
    """Counts of all jobs since the start.

    Attributes:
        ended: By outcome and stage.
        durations: How many jobs took at most each of `BUCKETS`, the longer ones last; not cumulative.
        seconds: What all of them took.
    """

    ended: Mapping[tuple[str, str], int]
    durations: tuple[int, ...]
    seconds: float


class Board(Observer):
    """Remembers; every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._ticked = clock.monotonic()
        self._jobs: dict[Key, Job] = {}
        self._ended = Counter(dict.fromkeys(OUTCOMES, 0))
        self._durations = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self.started_at = clock.now()
        self.plan: Plan | None = None
        self.planned_at: datetime | None = None
        self.identities: Mapping[str, tuple[str, ...]] = {}
        """The names of the targets of each identity of the plan."""
        self.exchanges: Mapping[str, ExchangeHealth] = {}
        """What Google answered last, by the identity that was tried."""

    def note_tick(self, exchanges: Sequence[ExchangeHealth]) -> None:
        """Note that a tick ended, and what the canary knows."""
        self._ticked = self._clock.monotonic()
        self.exchanges = {each.identity: each for each in exchanges}

    def note_plan(self, plan: Plan) -> None:
        """Note which plan is in force, and forget what is not in it."""
        keys: set[Key] = set()
        identities: dict[str, list[str]] = {}
        for name, target in plan.targets.items():
            keys |= {(name, ""), *((name, artifact.name) for artifact in target.minting)}
            identities.setdefault(target.context.identity, []).append(name)
        with self._lock:
            self._jobs = {key: job for key, job in self._jobs.items() if key in keys}
            self.identities = {name: tuple(targets) for name, targets in identities.items()}
            self.plan, self.planned_at = plan, self._clock.now()

    def note_job(self, entry: Entry, outcome: Outcome, now: datetime) -> None:
        """Note how a job ended."""
        error = outcome.error
        key = (outcome.result.value, _DONE if error is None else _find_stage(error))
        with self._lock:
            if self.plan is None or entry.target.name not in self.plan.targets:
                return  # another plan came into force meanwhile
            former = self._jobs.get(entry.key, _NEVER)
            self._ended[key] += 1
            self._seconds += outcome.duration
            self._durations[sum(outcome.duration > bound for bound in BUCKETS)] += 1
            is_success = error is None and outcome.result is not Result.WAITING
            self._jobs[entry.key] = Job(
                succeeded_at=now.timestamp() if is_success else former.succeeded_at,
                failures=entry.failures,
                problem=None if error is None else error.problem,
                remedy=None if error is None else error.remedy,
                next_at=None if entry.next_at is None else entry.next_at.timestamp(),
            )

    @property
    def is_live(self) -> bool:
        """Whether the daemon ticks."""
        return self.seconds_since_tick <= LIVE_SECONDS

    @property
    def seconds_since_tick(self) -> float:
        """How long ago the last tick ended."""
        return max(0.0, self._clock.monotonic() - self._ticked)

    def get_job(self, target: str, artifact: str = "") -> Job:
        """Return how a job ended last."""
        return self._jobs.get((target, artifact), _NEVER)

    def count_jobs(self) -> Tally:
        """Return the counts of all jobs since the start."""
        with self._lock:
            return Tally(dict(self._ended), tuple(self._durations), self._seconds)


_NEVER = Job()


def _find_stage(error: RefresherError) -> str:
    return next((stage for kind, stage in _STAGES.items() if isinstance(error, kind)), _OTHER)
