"""A bounded pool of worker threads per supplier and per way of minting, so that one that hangs delays only its own.

The threads are daemonic: a supplier that hangs in a call must not hold up the end of the process. A publish that is
cut short by that end leaves a temporary file at most, which the next start sweeps.
"""

from collections.abc import Callable, Collection
from queue import SimpleQueue
from threading import Condition, Thread

from refresher.engine.plan import MintedArtifact, Plan, Target

KEYS_LANE, CANARY_LANE, METADATA_LANE = ":keys", ":canary", ":metadata"
"""Lanes next to the suppliers', none of which can have such names."""

ARTIFACTS_THREADS = 16
"""Of each lane of artifacts: minting waits for Google most of the time."""


def choose_lane(
    plan: Plan, target: Target, artifact: MintedArtifact | None, *, is_failing: bool = False
) -> tuple[str, int]:
    """Return the lane of a job and how many threads it has: what does not answer keeps no thread of anything else.

    A token has the lane of its supplier; artifacts that go one way share one: by a provider, or by the worker's own
    credentials. What failed at the last attempt (`is_failing`) delays none that go the same way.
    """
    if artifact is None and target.supplier is not None:
        return target.supplier, plan.threads.get(target.supplier, 1)
    way = target.impersonation
    by = (way.credentials or "metadata server") if way.provider is None else way.provider.resource_name
    return f":artifacts {by}{' again' if is_failing else ''}", ARTIFACTS_THREADS


def list_lanes(plan: Plan) -> set[str]:
    """Return the lanes of all jobs of a plan, and those of keys, of the canary and of metadata endpoints."""
    # the targets of a large fleet go few ways: one of each is looked at closely
    ways = {
        (each.supplier, id(each.impersonation.provider), each.impersonation.credentials, not each.minted): each
        for each in plan.targets.values()
        if each.metadata is None
    }
    with_endpoint = [each for each in plan.targets.values() if each.metadata is not None]
    lanes = {
        choose_lane(plan, each, artifact, is_failing=is_failing)[0]
        for each in (*ways.values(), *with_endpoint)
        for artifact in (None, *each.minting[:1])
        for is_failing in (False, True)
    }
    if with_endpoint:
        lanes.add(METADATA_LANE)
    return {KEYS_LANE, CANARY_LANE, *lanes}


class Workers:
    """Runs jobs by lane; a lane has its own threads, started when they are first needed."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._pending = 0
        self._changed = Condition()

    def submit(self, lane: str, job: Callable[[], object], *, threads: int) -> None:
        """Run a job as soon as one of its lane's threads is free; the job must not raise.

        Args:
            lane: Name of the supplier, or of another lane.
            job: What to run.
            threads: How many the lane may have; the first call decides.

        Raises:
            RuntimeError: The lane has no thread and none can be started; the job is not queued.
        """
        with self._changed:
            found = self._lanes.get(lane)
            if found is None:
                found = self._lanes[lane] = _Lane(lane, threads, self._finished)
            found.put(job)
            self._pending += 1

    def wait(self, timeout: float | None) -> bool:
        """Wait until nothing is pending, at most `timeout` seconds; return whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: self._pending == 0, timeout)

    def retain(self, lanes: Collection[str]) -> None:
        """Make the threads of all other lanes end after what is queued: a supplier that is gone keeps none."""
        with self._changed:
            for name in self._lanes.keys() - set(lanes):
                self._lanes.pop(name).stop()

    def stop(self) -> None:
        """Make every thread end after what is queued; waits for none."""
        with self._changed:
            for lane in self._lanes.values():
                lane.stop()
            self._lanes = {}

    def _finished(self, lane: "_Lane") -> None:
        with self._changed:
            lane.outstanding -= 1
            self._pending -= 1
            if self._pending == 0:
                self._changed.notify_all()


class _Lane:
    """The threads of one lane; the pool's lock is held for everything but the jobs themselves."""

    def __init__(self, name: str, limit: int, finished: Callable[["_Lane"], None]) -> None:
        self._name = name
        self._limit = limit
        self._finished = finished
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._threads = 0
        self.outstanding = 0

    def put(self, job: Callable[[], object]) -> None:
        """Queue a job, and start another thread if all are taken and the limit allows."""
        if self._threads < min(self._limit, self.outstanding + 1):
            thread = Thread(target=self._serve, name=f"refresh-{self._name}-{self._threads + 1}", daemon=True)
            try:
                thread.start()
                self._threads += 1
            except RuntimeError:  # no more threads now: those that run have to do
                if not self._threads:
                    raise
        self.outstanding += 1
        self._jobs.put(job)

    def stop(self) -> None:
        for _ in range(self._threads):
            self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            finally:
                del job  # it holds the plan that it belongs to, and the next one may come late
                self._finished(self)
