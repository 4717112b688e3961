"""The daemon: at every tick ask whether the plan changed, whether files drifted and what is due; hand it to workers.

It decides nothing itself: when is `refresher.engine.agenda`, how is `refresher.engine.refresh`, what is reported is
`refresher.engine.reporter`, the plan comes from `refresher.app`. It goes on whatever a job or a part of a tick does.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Lock

from refresher.clock import Clock
from refresher.engine.agenda import Agenda, Entry
from refresher.engine.canary import Canary
from refresher.engine.drift import SWEEP_TICKS, look_at, look_for_drift
from refresher.engine.events import Severity
from refresher.engine.jobs import Jobs
from refresher.engine.metadata import MetadataEndpoints, NoMetadataEndpoints
from refresher.engine.observer import Observer
from refresher.engine.outcome import Outcome
from refresher.engine.parts import PATIENCE, Parts
from refresher.engine.plan import Plan, Plans
from refresher.engine.reporter import Reporter, summarize
from refresher.engine.rotation import Rotation
from refresher.engine.workers import CANARY_LANE, KEYS_LANE, METADATA_LANE, Workers, choose_lane, list_lanes
from refresher.errors import PublishError
from refresher.metadata.plan import EndpointPlan, Obtained
from refresher.publishing.retirement import Retirement


@dataclass(eq=False, kw_only=True)
class Daemon:
    """Keeps the targets of the present plan fresh, one `tick` at a time.

    Attributes:
        plans: Where the plan comes from.
        hold: Takes a root, or makes sure that it is still held, and returns whether it had to be taken again; raises
            `PublishError`.
        retire: Retires what has no reserved name below a root (`refresher.publishing.retirement.retire_strays`).
        workers: What jobs run on.
        reporter: What events are sent by.
        clock: Where the time comes from.
        draw: Returns a random number in [0, 1).
        interrupt: Called often during the long parts of a tick; may call `follow`.
        patience: Seconds that a tick waits for file systems that do not answer.
        is_watched: Returns whether `follow` is called for each change in the directory of a target.
        observer: Learns of ticks, plans and jobs.
        endpoints: The metadata endpoints of targets.
    """

    plans: Plans
    hold: Callable[[Path], bool]
    retire: Callable[[Path, Collection[str] | None, datetime, Collection[str], Collection[str]], Retirement]
    workers: Workers
    reporter: Reporter
    clock: Clock
    draw: Callable[[], float]
    interrupt: Callable[[], None] = lambda: None
    patience: float = PATIENCE
    is_watched: Callable[[str], bool] = lambda _: False
    observer: Observer = field(default_factory=Observer)
    endpoints: MetadataEndpoints = field(default_factory=NoMetadataEndpoints)

    def __post_init__(self) -> None:
        self._lock = Lock()
        self._looking = Lock()
        self._agenda = Agenda()
        self._rotation = Rotation(reporter=self.reporter, clock=self.clock)
        self.canary = Canary(reporter=self.reporter, clock=self.clock, draw=self.draw)
        self._engine: Jobs | None = None
        self._held_up: Plan | None = None
        self._complaints = self._warnings = tuple[tuple[str, str], ...]()
        self._is_root_kept = self._is_adopted = self._is_urgent = False
        self._parts = Parts(self.reporter, self.clock, patience=self.patience)
        self._ticks = 0
        self._is_reload_asked = self._was_ready = self._stopping = False
        self._roots: set[Path] = set()

    def stop(self) -> None:
        """Begin nothing any more; what is under way goes on to its end."""
        self._stopping = True

    def ask_reload(self) -> None:
        """Make the next tick load the configuration again, changed or not."""
        self._is_reload_asked = True

    def refresh_soon(self, name: str) -> None:
        """Put a target right at once, since its listener was opened or closed; may be called on any thread."""
        with self._lock:
            due = self._agenda.take_again(name) if self._is_root_kept else []
        self._parts.do("renewal", partial(self._submit, due, self._engine))

    def obtain_id_token(self, name: str, plan: EndpointPlan, audience: str, done: Callable[[Obtained], None]) -> None:
        """Obtain an ID token for a target's endpoint on a worker, and call `done` there."""
        if (engine := self._engine) is not None:
            work = partial(engine.obtain_id_token, name, plan, audience, done)
            self.workers.submit(METADATA_LANE, partial(self._parts.do, "ID tokens", work), threads=8)

    def summarize(self) -> str:
        """Return how many targets are in which state, in words; empty before the first plan."""
        with self._lock:
            return "" if self._engine is None else summarize(self._agenda, self.clock.now())

    def clock_jumped(self, seconds: float) -> None:
        """Work out again what is due, after the clocks moved apart by this many seconds."""
        remedy = "check NTP (timedatectl), unless the machine slept"
        self.reporter.send("clock.jumped", Severity.WARNING, seconds=round(seconds, 3), remedy=remedy)
        with self._lock:
            self._agenda.reconsider(self.clock.now())
        self._rotation.reconsider()
        self.canary.reconsider()

    def tick(self) -> None:
        """Do what one second may ask for; a part that fails is reported and keeps none of the others."""
        has_looked = self._look(None)
        if has_looked and self._is_root_kept:
            look = partial(look_for_drift, self._agenda, self._lock, self._ticks, self.is_watched)
            self._parts.do_in_time("drift look", look, place=self._place, meanwhile=self.interrupt)
            self._parts.do("renewal", self._submit_due)
        self._parts.do("watch", self._watch_failing)
        self._parts.do("keys", partial(self._submit_attempts, self._rotation, KEYS_LANE))
        self._parts.do("canary", partial(self._submit_attempts, self.canary, CANARY_LANE))
        if has_looked and (self._is_urgent or self._ticks % SWEEP_TICKS == 0):  # drop-ins that are added can wait
            is_adopted, self._is_adopted, self._is_urgent = self._is_adopted, False, False
            if (engine := self._engine) is not None:
                if is_adopted:
                    self.workers.retain(list_lanes(engine.plan))
                    warn = partial(self._warn, engine.plan)
                    self._parts.do_in_time("warnings", warn, place=self._place, meanwhile=self.interrupt)
                self._parts.do_in_time("supplies", partial(self._look_ahead, engine.plan), place=self._place)
                self._parts.do_in_time("retirement", partial(self._retire_strays, engine.plan), place=self._place)
        self.reporter.flush()
        self._ticks += 1
        self.observer.note_tick(self.canary.list_health(), self._parts.list_faults(), self.canary.throttled)

    def follow(self, changed: Collection[str] | None, touched: Collection[str] = ()) -> None:
        """Do between two ticks what can't wait: follow these drop-ins (None: anything), look at targets `touched`."""
        if touched:
            self._parts.do_in_time("touch", partial(look_at, self._agenda, self._lock, touched), place=self._place)
        if (changed == set() or self._look(changed)) and self._is_root_kept:
            self._parts.do("renewal", self._submit_due)

    @property
    def _place(self) -> str:
        root = "directory_root" if self._engine is None else f"directory_root {self._engine.plan.root}"
        return f"{root}, a directory in it, or a file of the configuration"

    def _look(self, changed: Collection[str] | None) -> bool:
        return self._parts.do_in_time("look", partial(self._look_around, changed), place=self._place)

    def _look_around(self, changed: Collection[str] | None) -> None:
        with self._looking:
            self._parts.do("reload", partial(self._follow_plan, changed))
            self._is_root_kept = self._parts.do("root", self._keep_root)

    def _follow_plan(self, changed: Collection[str] | None) -> None:
        force, self._is_reload_asked = self._is_reload_asked, False
        self._complaints = () if force else self._complaints  # a requested reload reports again all that is refused
        found = self.plans.poll(force=force, changed=changed)
        plan = found or self._held_up
        if plan is None:
            return
        try:
            self._take_root(plan.root)
        except PublishError as error:
            self._held_up = plan
            if found is not None:
                self.reporter.send("config.rejected", Severity.ERROR, error=error.problem, remedy=error.remedy)
            return
        self._held_up = None
        self._adopt(plan)

    def _keep_root(self) -> None:
        """Make sure that this is still the daemon of its root: nothing is published below one that another took."""
        if self._engine is not None:
            self._take_root(self._engine.plan.root)

    def _take_root(self, root: Path) -> None:
        """Hold a root; of one that had to be taken again nothing is known any more."""
        if self.hold(root):
            with self._lock:
                self._agenda.forget()
            self.reporter.report_lost_root(root)

    def _adopt(self, plan: Plan) -> None:
        with self._lock:
            former = frozenset[str]() if self._engine is None else self._engine.plan.targets.keys()
            has_new_suppliers = self._engine is None or plan.suppliers is not self._engine.plan.suppliers
            if self._engine is None or has_new_suppliers:
                self._engine = Jobs.build(plan, self.clock, self.endpoints)
            else:
                self._engine = self._engine._replace(plan=plan)
            self._agenda.adopt(plan.targets, has_new_suppliers=has_new_suppliers)
        self.endpoints.adopt({name: each.metadata for name, each in plan.targets.items() if each.metadata is not None})
        self.observer.note_plan(plan)
        self._rotation.adopt(plan.trials)
        self.canary.adopt(plan)
        self._roots.add(plan.root)
        if self._ticks and plan.is_reloaded:
            self.reporter.send("config.reloaded", Severity.INFO, targets=len(plan.targets))
        self.reporter.report_targets(former, plan.targets.keys())
        texts = (*plan.refusal, *plan.complaints)
        self.reporter.report_texts("config.rejected", Severity.ERROR, texts, known=self._complaints)
        self._complaints = plan.complaints
        self._is_adopted = True
        self._is_urgent |= plan.is_reloaded or not former <= plan.targets.keys()

    def _warn(self, plan: Plan) -> None:
        """Report what is unwise about the plan, once it is at work: looking for that takes a while."""
        warnings = plan.list_warnings()
        self.reporter.report_texts("config.warning", Severity.WARNING, warnings, known=self._warnings)
        self._warnings = warnings

    def _look_ahead(self, plan: Plan) -> None:
        self._parts.note("files that suppliers read", plan.list_threats())

    def _retire_strays(self, plan: Plan) -> None:
        now = self.clock.now()
        for root in (plan.root,) if plan.reserved is None else tuple(self._roots):
            is_former = root != plan.root
            if is_former and not (root.is_dir() and self._parts.do(f"former root {root}", partial(self.hold, root))):
                self._roots.discard(root)  # it is gone, or another daemon's
                continue
            rest = ((), now, (), ()) if is_former else (plan.reserved, now, plan.targets, plan.identities)
            retirement = self.retire(root, *rest)
            self.reporter.report_retirement(root, retirement)
            self.observer.note_retiring(root, retirement.retiring)
            self._parts.note(f"retirement below {root}", retirement.failures[:1])

    def _watch_failing(self) -> None:
        now = self.clock.now()
        with self._lock:
            failing = [entry for entry in self._agenda if entry.failures]
        for entry in failing:
            self.reporter.watch(entry, now)

    def _submit_attempts(self, source: Rotation | Canary, lane: str) -> None:
        for attempt in source.take_due(self.clock.now()):
            self.workers.submit(lane, attempt, threads=4)

    def _submit_due(self) -> None:
        with self._lock:
            due, engine = self._agenda.take_due(self.clock.now()), self._engine
        self._submit(due, engine)

    def _submit(self, entries: list[Entry], engine: Jobs | None) -> None:
        """Queue jobs that were handed out; those that can't be queued are given back."""
        if engine is None:
            return
        for index, entry in enumerate(entries):
            lane, threads = choose_lane(engine.plan, entry.target, entry.artifact, is_failing=entry.failures > 0)
            try:
                work = partial(self._work, entry, engine)
                self.workers.submit(lane, partial(self._parts.do, "work", work), threads=threads)
            except BaseException:
                with self._lock:
                    for unserved in entries[index:]:
                        self._agenda.give_back(unserved)
                raise

    def _work(self, entry: Entry, engine: Jobs) -> None:
        """Do one job, note how it ended, and take up the next of its group; nothing it does may end the thread."""
        if self._stopping:
            return
        outcome: Outcome | None = None
        former = replace(entry)
        with self._lock:
            is_wanted = self._agenda.is_wanted(entry)
        try:
            if is_wanted:
                outcome = engine.run(entry)
        finally:
            with self._lock:
                self._agenda.give_back(entry)
                is_wanted = is_wanted and self._agenda.is_wanted(entry)
                if is_wanted and outcome is not None:
                    self._agenda.settle(entry, outcome, self.clock.now(), self.draw())
                    if entry.artifact is None and outcome.error is None and not self._agenda.has_sibling(entry):
                        engine.refresher.forget(entry.target)
                sibling, engine = self._agenda.take_sibling(entry, self.clock.now()), self._engine or engine
        if is_wanted and outcome is not None:
            self.reporter.report(entry, outcome, former, self.clock.now())
            self.observer.note_job(entry, outcome, self.clock.now())
            self.canary.note(entry, outcome)
        if sibling is not None:
            self._submit([sibling], engine)
        self._announce_ready()

    def _announce_ready(self) -> None:
        with self._lock:
            if self._was_ready or not self._agenda.is_idle:
                return
            lives = [None if entry.failures else entry.life for entry in self._agenda.tokens]
            self._was_ready = None not in lives
        if self._was_ready:
            ends = [life.expires_at for life in lives if life is not None]
            runway = round((min(ends) - self.clock.now()).total_seconds()) if ends else None
            self.reporter.send("daemon.ready", Severity.INFO, targets=len(ends), runway_seconds=runway)
