"""The daemon: at every tick ask whether the plan changed, whether files drifted and who is due; hand it to workers.

It decides nothing itself: when is `refresher.engine.agenda`, how is `refresher.engine.refresh`, what is said is
`refresher.engine.reporting`, the plan comes from `refresher.app`. It keeps going whatever a single target does.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from refresher.engine.agenda import Agenda
from refresher.engine.artifact_agenda import ArtifactAgenda
from refresher.engine.engines import Engines
from refresher.engine.events import Severity
from refresher.engine.refresh import Result
from refresher.engine.rotation import Rotation
from refresher.engine.workers import ARTIFACTS_THREADS, KEYS_LANE
from refresher.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime
    from pathlib import Path

    from refresher.clock import Clock
    from refresher.engine.agenda import Entry
    from refresher.engine.artifact_agenda import ArtifactEntry
    from refresher.engine.plan import Plan
    from refresher.engine.refresh import Outcome
    from refresher.engine.reporting import Reporter
    from refresher.engine.status import Board
    from refresher.engine.target import Target
    from refresher.engine.workers import Workers

SWEEP_TICKS = 5
"""Ticks in which every directory is looked at once for drift, a share of them at each."""


class Plans(Protocol):
    """Where the plan comes from."""

    def poll(self, *, force: bool) -> Plan | None:
        """Give a plan at first, if the configuration changed, or in any case with `force`; else None.

        What cannot be used is left out, or kept as it was, and complained of in the plan.
        """
        ...


class Retirement(Protocol):
    """Takes away what belongs to no target any more."""

    def __call__(
        self, root: Path, kept: Collection[Path], now: datetime, among: Collection[Path] | None
    ) -> tuple[str, ...]:
        """Retire every directory of ours below a root that is not kept; give those from which `env` was taken.

        If `among` is given, no other directory is looked at.
        """
        ...


class Daemon:
    """Keeps the targets of the present plan fresh, one `tick` at a time."""

    def __init__(
        self,
        *,
        plans: Plans,
        hold: Callable[[Path], None],
        retire: Retirement,
        workers: Workers,
        reporter: Reporter,
        board: Board,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        self._plans = plans
        self._hold = hold
        self._retire = retire
        self._workers = workers
        self._reporter = reporter
        self._board = board
        self._clock = clock
        self._draw = draw
        self._lock = Lock()
        self._agenda = Agenda()
        self._rotation = Rotation(reporter=reporter, clock=clock)
        self._artifacts = ArtifactAgenda()
        self._engines: Engines | None = None
        self._held_up: Plan | None = None
        self._suppliers: object = None
        self._threads: Mapping[str, int] = {}
        self._ticks = 0
        self._reload_asked = False
        self._was_ready = False
        self._roots: set[Path] = set()
        self._known_paths: set[Path] = set()
        self._is_partial = False
        self._cautious: frozenset[str] = frozenset()
        self._stopping = False

    def stop(self) -> None:
        """Begin nothing any more; what is under way goes on to its end."""
        self._stopping = True

    def ask_reload(self) -> None:
        """Have the next tick load the configuration again, changed or not."""
        self._reload_asked = True

    def clock_jumped(self, seconds: float) -> None:
        """Work out anew what is due, after the clocks moved apart by this many seconds."""
        self._reporter.say("clock.jumped", Severity.WARNING, seconds=round(seconds, 3))
        with self._lock:
            self._agenda.reconsider(self._clock.now())
            self._artifacts.reconsider()
        self._rotation.reconsider()

    def tick(self) -> None:
        """Do what one second may ask for."""
        changed = self._take_new_plan()
        with self._lock:
            self._look_for_drift()
        if changed or self._ticks % SWEEP_TICKS == 0:
            self._retire_strays()
        self._ticks += 1
        now = self._clock.now()
        with self._lock:
            due = self._agenda.take_due(now)
            artifacts = self._artifacts.take_due(now, self._has_token)
            engines = self._engines
            self._watch_failing(now)
        for entry in due:
            self._submit(entry, engines)
        for artifact in artifacts:
            self._submit_artifact(artifact, engines)
        for attempt in self._rotation.take_due(now):
            self._workers.submit(KEYS_LANE, attempt, threads=1)
        self._board.ticked(self._clock.monotonic())

    def _take_new_plan(self) -> bool:
        force, self._reload_asked = self._reload_asked, False
        found = self._plans.poll(force=force)
        plan = found or self._held_up
        if plan is None:
            return False
        try:
            self._hold(plan.root)
        except PublishError as error:
            self._held_up = plan
            if found is not None:
                self._reporter.say("config.rejected", Severity.ERROR, error=error.problem, remedy=error.remedy)
            return False
        self._held_up = None
        self._adopt(plan)
        return True

    def _adopt(self, plan: Plan) -> None:
        with self._lock:
            former = {entry.target.name for entry in self._agenda}
            is_new = plan.suppliers is not self._suppliers
            if self._engines is None or is_new or plan.cautious != self._cautious:
                self._engines = Engines(plan, self._clock)
                self._suppliers, self._cautious = plan.suppliers, plan.cautious
            self._agenda.adopt(plan.targets, new_suppliers=is_new)
            self._artifacts.adopt(plan.targets, new_suppliers=is_new)
            self._threads = plan.threads
        self._rotation.adopt(plan.trials)
        self._roots.add(plan.root)
        self._known_paths |= {target.directory.path for target in plan.targets.values()}
        self._is_partial = plan.is_partial
        known = self._board.snapshot().complaints
        self._board.adopt(plan.targets, plan.complaints)
        if self._ticks:
            self._reporter.say("config.reloaded", Severity.INFO, targets=len(plan.targets))
        for name in sorted(plan.targets.keys() - former):
            self._reporter.say("target.added", Severity.INFO, target=name)
        for name in sorted(former - plan.targets.keys()):
            self._reporter.say("target.removed", Severity.INFO, target=name)
        for problem, remedy in (complaint for complaint in plan.complaints if complaint not in known):
            self._reporter.say("config.rejected", Severity.ERROR, error=problem, remedy=remedy)

    def _look_for_drift(self) -> None:
        for index, entry in enumerate(self._agenda):
            if index % SWEEP_TICKS == self._ticks % SWEEP_TICKS and entry.signature is not None:
                try:
                    has_drifted = entry.target.directory.sign() != entry.signature
                except PublishError:
                    has_drifted = True
                if has_drifted:
                    entry.next_at = None
                    self._artifacts.look_again(entry.target)

    def _retire_strays(self) -> None:
        with self._lock:
            kept = {entry.target.directory.path for entry in self._agenda} | self._agenda.busy_paths()
        now = self._clock.now()
        # what belongs to no target of an incomplete plan may be somebody's, unless it was one's that went meanwhile
        among = self._known_paths if self._is_partial else None
        for path in [stray for root in self._roots for stray in self._retire(root, kept, now, among)]:
            self._reporter.say("target.retired", Severity.INFO, path=path)

    def _watch_failing(self, now: datetime) -> None:
        for entry in self._agenda:
            if entry.failures and entry.token is not None:
                self._reporter.watch(entry.target, entry.token, now)

    def _submit(self, entry: Entry, engines: Engines | None) -> None:
        if engines is None:
            raise AssertionError("nothing is due before the first plan")
        target = entry.target
        refresh = partial(engines.refresh, target, force=entry.force, first=not entry.is_known)
        job = partial(self._work, target, refresh)
        self._workers.submit(target.supplier, job, threads=self._threads.get(target.supplier, 1))

    def _work(self, target: Target, refresh: Callable[[], Outcome]) -> None:
        """Refresh one target and take up the next of its identity; nothing a target does may end the thread."""
        if self._stopping:
            return
        with self._lock:
            is_wanted = self._agenda.wants(target)
            if not is_wanted:
                self._agenda.give_back(target)
        if is_wanted:
            self._settle(target, refresh())
        with self._lock:
            sibling = self._agenda.take_sibling(target, self._clock.now())
            engines = self._engines
        if sibling is not None:
            self._submit(sibling, engines)
        self._announce_ready()

    def _settle(self, target: Target, outcome: Outcome) -> None:
        now = self._clock.now()
        with self._lock:
            entry = self._agenda.settle(target, outcome, now, self._draw())
            next_at = entry.next_at if entry is not None else None
            if outcome.result is Result.PUBLISHED:
                self._artifacts.look_again(target)
        if entry is not None:
            self._reporter.refreshed(target, outcome, now, next_at)

    def _has_token(self, name: str) -> bool:
        entry = self._agenda.get(name)
        return entry is not None and entry.token is not None

    def _submit_artifact(self, entry: ArtifactEntry, engines: Engines | None) -> None:
        self._workers.submit(entry.lane, partial(self._mint, entry, engines), threads=ARTIFACTS_THREADS)

    def _mint(self, entry: ArtifactEntry, engines: Engines | None) -> None:
        """Bring one further artifact up to date; nothing it does may end the thread, or hold up its target's token."""
        if self._stopping or engines is None:
            return
        outcome = engines.mint(entry.target, entry.artifact)
        now = self._clock.now()
        with self._lock:
            self._artifacts.settle(entry, outcome, now, self._draw())
            sibling = self._artifacts.take_sibling(entry, now, self._has_token)
            engines = self._engines
        if sibling is not None:
            self._submit_artifact(sibling, engines)
        self._reporter.artifact_refreshed(entry, outcome)

    def _announce_ready(self) -> None:
        with self._lock:
            is_ready = all(entry.token is not None and not entry.failures for entry in self._agenda)
            announce = is_ready and not self._was_ready
            self._was_ready = self._was_ready or is_ready
            count = len(self._agenda)
        if announce:
            self._reporter.say("daemon.ready", Severity.INFO, targets=count)
