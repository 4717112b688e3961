"""The daemon as a process of the simulated machine, composed as `refresher.app.daemon` composes it.

What is left out: the HTTP server, the requests of `once`, and inotify, which the loop imitates. What a tick does, and
all that it calls, is the shipped code.
"""

from collections.abc import Callable
from random import Random

from refresher.app.plans import ConfiguredPlans
from refresher.config.loader import load
from refresher.engine.daemon import Daemon
from refresher.engine.events import Event
from refresher.engine.reporter import Reporter
from refresher.engine.ticker import TICK_SECONDS, ClockGuard
from refresher.engine.workers import Workers
from refresher.errors import RefresherError
from refresher.publishing.daemon_lock import held_roots
from refresher.publishing.retirement import retire_strays
from tests.simulation.clocks import SimulatedClock
from tests.simulation.modules import SimulatedPath
from tests.simulation.scheduler import SCHEDULER, Process
from tests.simulation.site import CONFIGURATION, ROOT
from tests.simulation.threads import sleep


class Worker:
    """One life of the daemon, from its start to its end."""

    def __init__(self, clock: SimulatedClock, random: Random, listen: Callable[[Event], None]) -> None:
        self.process = Process("daemon")
        self.ticks = 0
        self._clock = clock
        self._random = random
        self._listen = listen
        self.failed: Callable[[RefresherError], None] = lambda _: None
        self.daemon: Daemon | None = None

    def start(self) -> None:
        """Start the process."""
        SCHEDULER.spawn(self.process, "main", self._main)

    def _main(self) -> None:
        try:
            self._run()
        except RefresherError as error:
            self.failed(error)
            self.process.is_alive = False

    def _run(self) -> None:
        path = SimulatedPath(CONFIGURATION)
        loaded, reporter = load(path), Reporter(self._listen)
        with held_roots() as hold:
            hold(SimulatedPath(ROOT))
            self.daemon = daemon = Daemon(
                plans=ConfiguredPlans(path, loaded),
                hold=hold,
                retire=retire_strays,
                workers=Workers(),
                reporter=reporter,
                clock=self._clock,
                draw=self._random.random,
            )
            guard = ClockGuard(clock=self._clock, jumped=daemon.clock_jumped)
            while True:
                guard.look()
                daemon.tick()
                self.ticks += 1
                sleep(TICK_SECONDS)
