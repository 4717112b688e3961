"""One run of the simulation: a machine, its configuration and its faults, all drawn from one seed."""

import pathlib
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import heappop, heappush
from random import Random
from time import process_time

from refresher.catalogue import entries
from refresher.engine.events import Event
from refresher.errors import RefresherError
from refresher.keys import directory as keys
from tests.simulation import changes, faults  # noqa: F401 - changes are faults too
from tests.simulation.clocks import SimulatedClock
from tests.simulation.disk import Disk
from tests.simulation.health import Health
from tests.simulation.internet import INTERNET, Internet
from tests.simulation.judge import BrokenInvariantError, Judge
from tests.simulation.kernel import KERNEL
from tests.simulation.modules import RANDOMNESS, SimulatedPath
from tests.simulation.scheduler import SCHEDULER, KilledError, Process
from tests.simulation.site import DROP_INS, KEYS, IdentityModel, Site, TargetModel, write_file
from tests.simulation.troubles import ALL, Troubles
from tests.simulation.worker import Worker

_LENGTHS = (150.0, 300.0, 300.0, 900.0)
"""Simulated seconds of a run; the longest reaches the end of a directory that is retired."""


def install() -> None:
    """Put the data files of the package on a disk, and have the product read them: it does so once in a process."""
    KERNEL.boot(Disk(Random(0)))
    for name in ("failures.toml", "local.toml"):
        file = pathlib.Path(entries.__file__).with_name(name)
        write_file(str(file), file.read_text())
    entries.find_remedy(0, "")


@dataclass
class Result:
    """What a run did.

    Attributes:
        refused: System calls and requests that fail because of a fault.
        failure: The invariant that was broken; empty for none.
        where: The stack at that moment.
    """

    seed: int
    renewals: int = 0
    injected: int = 0
    refused: int = 0
    calls: int = 0
    switches: int = 0
    expired: int = 0
    simulated: float = 0.0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    failure: str = ""
    where: str = ""
    schedule: list[faults.Fault] = field(default_factory=list)


class Simulation:
    """One run.

    Args:
        seed: Everything is drawn from it.
        only: The numbers of the faults that happen; None for all.
        trace: Takes a line for each event.
    """

    def __init__(
        self, seed: int, *, only: Collection[int] | None = None, trace: Callable[[str], None] | None = None
    ) -> None:
        self.seed = seed
        self.result = Result(seed)
        self._only = only
        self._trace = trace
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        random = self._draw("simulation")
        SCHEDULER.reset(self._draw("scheduler"), mean=random.choice([20, 100, 500]))
        KERNEL.boot(Disk(self._draw("disk")))
        RANDOMNESS.source = self._draw("names")
        self.troubles = Troubles()
        self.clock = SimulatedClock()
        KERNEL.disk.clock_ns = int(self.clock.now().timestamp()) * 10**9
        self.internet = Internet(self.clock, self._draw("internet"))
        INTERNET[:] = [self.internet]
        self.site = self._draw_site(random)
        self.judge = Judge(self.site, self.clock, self.troubles)
        self.health = Health(self.site, self.clock, self.troubles, self.judge)
        KERNEL.disk.observers.append(self.judge.observe)
        self.length = random.choice(_LENGTHS)
        self.schedule = faults.draw_schedule(self._draw("faults"), self.length)
        self.worker: Worker | None = None
        self.others: list[Process] = []
        self.is_configuration_broken = False

    def _draw(self, name: str) -> Random:
        return Random(f"{self.seed} {name}")

    def _draw_site(self, random: Random) -> Site:
        site = Site(life=random.choice([30, 60, 60, 120]), has_canary=random.random() < 0.5)
        share, drop_ins = random.choice([0.0, 0.0, 0.3]), self._draw("drop-ins")
        of_drop_ins = drop_ins.choice([0.0, 0.3, 1.0])
        for number in range(random.choice([random.randint(3, 20), random.randint(10, 60), random.randint(50, 200)])):
            identity = IdentityModel(f"i{number}", random.choice(["own", "signed", "signed"]))
            site.identities[identity.name] = identity
            site.targets[f"t{number}"] = TargetModel(
                f"t{number}",
                identity.name,
                has_access_token=random.random() < share,
                is_drop_in=drop_ins.random() < of_drop_ins,
            )
        site.write()
        SimulatedPath(DROP_INS).mkdir(mode=0o755)
        for target in site.targets.values():
            if target.is_drop_in:
                write_file(f"{DROP_INS}/{target.name}.yaml", f"{target.body}\n")
        keys.create(SimulatedPath(KEYS), algorithm="ES256", now=self.clock.now())
        KERNEL.disk.synchronise_all()
        return site

    def run(self) -> Result:
        """Run to the end, or to the first broken invariant."""
        began, result = process_time(), self.result
        start = SCHEDULER.now
        for fault in self.schedule:
            if self._only is None or fault.number in self._only:
                self.later(fault.at - start, lambda fault=fault: self._apply(fault))  # type: ignore[misc]
                result.schedule.append(fault)
        self.troubles.note(ALL, recovery=30.0)
        self._start_worker()
        try:
            while SCHEDULER.now < start + self.length:
                self._run_to(min(int(SCHEDULER.now) + 1.0, start + self.length))
                self.health.look()
        except BrokenInvariantError as broken:
            result.failure, result.where = str(broken), self.judge.broken
        except Exception as bug:  # noqa: BLE001 - whatever ends a task ends the run
            result.failure, result.where = f"{type(bug).__name__}: {bug}", traceback.format_exc()
        result.simulated = SCHEDULER.now - start
        self.judge.is_watching = False
        KERNEL.disk.observers.clear()
        for process in [*self.others, *([] if self.worker is None else [self.worker.process])]:
            process.ended = lambda: None
            SCHEDULER.kill(process)
        result.seconds = process_time() - began
        result.renewals, result.calls, result.switches = self.judge.renewals, KERNEL.calls, SCHEDULER.switches
        result.refused += self.internet.failed
        result.expired = self.health.expired
        return result

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after so many seconds."""
        self._count += 1
        heappush(self._agenda, (SCHEDULER.now + seconds, self._count, act))

    @property
    def lifetime(self) -> timedelta:
        """The life of tokens that the worker signs."""
        return timedelta(seconds=self.site.life)

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Change the disk for the length of a `with` block as someone else than the daemon."""
        self.judge.is_watching = False
        try:
            yield
        finally:
            self.judge.is_watching = True

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        if self._trace is not None:
            self._trace(f"{SCHEDULER.now:10.3f} {self.clock.now():%F %T} {line}")

    def note_steps(self) -> None:
        """Move the disk's clock with the wall clock."""
        self.judge.stepped_at = SCHEDULER.now
        KERNEL.disk.clock_ns = max(int(self.clock.now().timestamp() * 1e9), 0)

    def _run_to(self, moment: float) -> None:
        while self._agenda and self._agenda[0][0] <= moment:
            at, _, act = heappop(self._agenda)
            SCHEDULER.run(at)
            act()
        SCHEDULER.run(moment)
        KERNEL.disk.clock_ns += int(1e9)

    def _apply(self, fault: faults.Fault) -> None:
        self.note(f"fault {fault.number}: {fault.kind}")
        self.result.injected += 1
        self.result.kinds[fault.kind] += 1
        faults.KINDS[fault.kind][1](self, Random(f"{self.seed} fault {fault.number}"))

    # The daemon's life

    def _start_worker(self) -> None:
        self.worker = worker = Worker(self.clock, self._draw(f"daemon {self._count}"), self._listen)
        worker.process.ended = self._restart_soon
        worker.failed = self._note_failed_start
        worker.start()

    def _note_failed_start(self, error: RefresherError) -> None:
        self.note(f"the daemon ends: {error}")

    def _restart_soon(self) -> None:
        """Do what a supervisor does when the daemon has ended."""
        self.troubles.begin(ALL)

        def restart() -> None:
            self.troubles.end(ALL, recovery=130.0)
            self._start_worker()

        self.later(5.0, restart)

    def end_worker_at(self, calls: int, pause: float, *, cut: bool) -> None:
        """End the daemon after so many system calls, with the machine's power or without, and start it again."""
        worker = self.worker
        if worker is None or not worker.process.is_alive:
            return

        def restart() -> None:
            self.troubles.end(ALL, recovery=130.0)
            self._start_worker()

        def ended() -> None:
            self.note("the power is cut" if cut else "the daemon is killed")
            self.troubles.begin(ALL)
            KERNEL.countdown = 1 << 60
            KERNEL.close_all(worker.process)
            if cut:
                for other in self.others:
                    SCHEDULER.kill(other)
                    KERNEL.close_all(other)
                KERNEL.disk.cut_power()
                self.judge.inspect("after a power cut")
            self.later(pause, restart)

        def end() -> None:
            KERNEL.countdown = 1 << 60
            worker.process.is_alive = False
            raise KilledError

        worker.process.ended = ended
        KERNEL.countdown, KERNEL.at_zero = calls, end

    def _listen(self, event: Event) -> None:
        self.note(f"{event.name} {event.fields}")
        self.judge.check_event(event.name, event.fields)
