"""The status board: what the daemon knows and no file shows, for metrics, `/status.json` and the page.

It holds the plan in force, the last tick, how each job of the plan ended last, counts of all jobs, and what the canary
found out about each identity. What leaves the plan leaves the board. No file is read here (`refresher.observe.survey`
does), and nothing waits: a lock is held for the length of an assignment.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from refresher.clock import Clock
from refresher.engine.agenda import Entry, Key
from refresher.engine.exchanges import ExchangeHealth
from refresher.engine.observer import Observer
from refresher.engine.outcome import Outcome, Result
from refresher.engine.plan import Plan, Target
from refresher.errors import THROTTLED, ExchangeError, ImpersonationError, PublishError, RefresherError, SupplyError
from refresher.metadata.plan import EndpointsHealth

LIVE_SECONDS = 30.0
"""The daemon is live while its last tick ended within this time; one is due each second."""

_STAGES: dict[type[RefresherError], str] = {
    SupplyError: "supply",
    PublishError: "publish",
    ExchangeError: "exchange",
    ImpersonationError: "impersonate",
}
PROBE = "probe"
"""The stage of the canary's probes."""
THROTTLED_STAGES = ("supply", "exchange", "impersonate", PROBE)
"""Those that ask servers with limits of requests."""
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
        entry: The entry of `refresher.catalogue` that knows the failure; empty for no entry.
    """

    succeeded_at: float | None = None
    failures: int = 0
    problem: str | None = None
    remedy: str | None = None
    next_at: float | None = None
    entry: str = ""


class Tally(NamedTuple):
    """Counts of all jobs since the start.

    Attributes:
        ended: By outcome and stage.
        durations: How many jobs took at most each of `BUCKETS`, the longer ones last; not cumulative.
        seconds: What all of them took.
        throttled: How many met a limit of requests (HTTP 429), by stage; and how many probes of the canary.
    """

    ended: Mapping[tuple[str, str], int]
    durations: tuple[int, ...]
    seconds: float
    throttled: Mapping[str, int]


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
        self._throttled = Counter(dict.fromkeys(THROTTLED_STAGES, 0))
        self.started_at = clock.now()
        self.plan: Plan | None = None
        self.planned_at: datetime | None = None
        self.exchanges: Mapping[str, ExchangeHealth] = {}
        """What Google answered last, by the identity that was tried."""
        self.retiring: tuple[str, ...] = ()
        """Names of directories that belong to no target any more, and keep files for a while."""
        self.faults: tuple[tuple[str, str], ...] = ()
        """Problem and remedy of what the daemon can't do now."""
        self.describe_endpoints: Callable[[], EndpointsHealth] = EndpointsHealth
        """Returns the health of the metadata endpoints; replaced by what keeps them."""

    def note_tick(
        self, exchanges: Sequence[ExchangeHealth], faults: Sequence[tuple[str, str]] = (), throttled: int = 0
    ) -> None:
        """Note that a tick ended, what the canary knows, and problem and remedy of what the daemon can't do."""
        self._ticked = self._clock.monotonic()
        self._throttled[PROBE] = throttled
        self.faults = tuple(faults)
        self.exchanges = {each.identity: each for each in exchanges}

    def note_plan(self, plan: Plan) -> None:
        """Note which plan is in force, and forget what is not in it."""
        with self._lock:
            former = () if self.plan is None else self.plan.targets.values()
            for target in former:
                present = plan.targets.get(target.name)
                if present is not target:  # in a large fleet one target changes at a time
                    kept = () if present is None else _list_keys(present)
                    for key in _list_keys(target):
                        if key not in kept:
                            self._jobs.pop(key, None)
            self.plan, self.planned_at = plan, self._clock.now()

    def note_retiring(self, root: Path, names: tuple[str, ...]) -> None:
        """Note which directories are being retired below the root of the plan."""
        if self.plan is not None and self.plan.root == root:
            self.retiring = tuple(sorted(names))

    def note_job(self, entry: Entry, outcome: Outcome, now: datetime) -> None:
        """Note how a job ended."""
        error = outcome.error
        key = (outcome.result.value, _DONE if error is None else _find_stage(error))
        with self._lock:
            if self.plan is None or entry.target.name not in self.plan.targets:
                return  # another plan came into force meanwhile
            former = self._jobs.get(entry.key, _NEVER)
            self._ended[key] += 1
            self._throttled[key[1]] += error is not None and error.http_status == THROTTLED
            self._seconds += outcome.duration
            self._durations[sum(outcome.duration > bound for bound in BUCKETS)] += 1
            is_success = error is None and outcome.result is not Result.WAITING
            self._jobs[entry.key] = Job(
                succeeded_at=now.timestamp() if is_success else former.succeeded_at,
                failures=entry.failures,
                problem=None if error is None else error.problem,
                remedy=None if error is None else error.remedy,
                next_at=None if entry.next_at is None else entry.next_at.timestamp(),
                entry="" if error is None else error.entry,
            )

    def list_identities(self) -> dict[str, list[str]]:
        """Return the names of the targets of each identity of the plan."""
        found: dict[str, list[str]] = {}
        for name, target in () if self.plan is None else self.plan.targets.items():
            found.setdefault(target.context.identity, []).append(name)
        return found

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

    def list_failing(self) -> list[tuple[Key, Job]]:
        """Return the jobs whose last attempt failed, each with its target and its artifact, in the order of names."""
        with self._lock:
            return sorted((key, job) for key, job in self._jobs.items() if job.failures and job.problem is not None)

    def count_jobs(self) -> Tally:
        """Return the counts of all jobs since the start."""
        with self._lock:
            throttled = {stage: self._throttled[stage] for stage in THROTTLED_STAGES}
            return Tally(dict(self._ended), tuple(self._durations), self._seconds, throttled)


_NEVER = Job()


def _list_keys(target: Target) -> tuple[Key, ...]:
    return (target.name, ""), *((target.name, artifact.name) for artifact in target.minting)


def _find_stage(error: RefresherError) -> str:
    return next((stage for kind, stage in _STAGES.items() if isinstance(error, kind)), _OTHER)
