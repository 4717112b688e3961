"""The daemon put together: what it follows, what brings its ticks forward, and what answers for it.

It names the concrete clock and the source of randomness. What a tick does is in `refresher.engine.daemon`.
"""

import gc
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from refresher import __version__
from refresher.app.control import Control
from refresher.app.metadata import DaemonEndpoints
from refresher.app.plans import ConfiguredPlans
from refresher.app.programs import check_user, forbid_core_dumps, release_code, share_heap
from refresher.clock import SystemClock
from refresher.config.loader import LoadedConfiguration
from refresher.engine.daemon import Daemon
from refresher.engine.events import Event, Listener, Severity
from refresher.engine.reporter import Reporter
from refresher.engine.ticker import ClockGuard, Ticker
from refresher.engine.watcher import Watcher
from refresher.engine.workers import Workers
from refresher.errors import RefresherError
from refresher.metadata.wanted import HELPER_SOCKET
from refresher.observe.board import Board
from refresher.observe.server import Server
from refresher.observe.supervisor import Supervisor
from refresher.observe.survey import Survey
from refresher.publishing.daemon_lock import held_roots
from refresher.publishing.retirement import retire_strays

_SETTLED_TICKS = 10
_FOLLOW_SECONDS = 4.0
"""How long a request waits for a tick, which does not wait longer for a file system that hangs."""
_SIGNAL_SECONDS = 0.2
_SWITCH_SECONDS = 0.0005
"""A tenth of the interpreter's: a drop-in passes through five threads, each of which may have to wait for another."""
_GRACE_SECONDS = 3.0
"""How long the end of the daemon waits for refreshes that are under way."""


def run_daemon(
    path: Path,
    loaded: LoadedConfiguration,
    listener: Listener,
    supervisor: Supervisor,
    *,
    drain: timedelta,
    helper: Path = Path(HELPER_SOCKET),
) -> None:
    """Keep the targets of a configuration file fresh until SIGTERM or SIGINT; SIGHUP loads it again.

    After the first of these signals it goes on for the time of `drain`, and ends at once at the second. `helper` is the
    socket of `refresher-netns`. Called on the main thread; raises what `start_daemon` raises.
    """
    forbid_core_dumps()
    share_heap()
    sys.setswitchinterval(_SWITCH_SECONDS)
    first, second = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: (second if first.is_set() else first).set())
    with start_daemon(path, loaded, listener, supervisor, helper=helper) as daemon:

        def reload() -> None:
            daemon.ask_reload()
            supervisor.reload()

        signal.signal(signal.SIGHUP, lambda *_: reload())
        # Python runs handlers on this thread alone, which a signal that the kernel delivers to another does not wake
        while not first.wait(_SIGNAL_SECONDS):
            pass
        supervisor.stop(drain + timedelta(seconds=2 * _GRACE_SECONDS))
        if drain:
            ends_at = f"{datetime.now(UTC) + drain:%FT%TZ}"
            listener(Event(name="daemon.draining", severity=Severity.INFO, fields={"ends_at": ends_at}))
        until = time.monotonic() + drain.total_seconds()
        while (rest := until - time.monotonic()) > 0 and not second.wait(min(rest, _SIGNAL_SECONDS)):
            pass


@contextmanager
def start_daemon(
    path: Path,
    loaded: LoadedConfiguration,
    listener: Listener,
    supervisor: Supervisor | None = None,
    *,
    helper: Path = Path(HELPER_SOCKET),
) -> Iterator[Daemon]:
    """Run a daemon for the length of a `with` block; at its end the files stay as they are.

    The supervisor hears of each tick that ran to its end.

    Raises:
        PublishError: Another daemon holds the same `directory_root`, or it can't be trusted; or another user's does.
    """
    clock, workers = SystemClock(), Workers()
    reporter, board = Reporter(listener), Board(clock)
    report_fault = partial(_report_fault, reporter)
    check_user(loaded, "run")
    with held_roots(report_fault) as hold:
        hold(Path(loaded.configuration.directory_root))
        plans = ConfiguredPlans(path, loaded)
        loop = _Loop(plans, reporter, supervisor)
        is_watched = loop.watcher.is_watching
        survey = Survey(board, clock, report_fault, lambda: plans.listen[0] is not None, is_watched=is_watched)
        loop.note = survey.note
        endpoints = DaemonEndpoints(helper, clock, reporter)
        board.describe_endpoints = endpoints.describe
        daemon = loop.daemon = endpoints.daemon = Daemon(
            plans=plans,
            hold=hold,
            retire=retire_strays,
            workers=workers,
            reporter=reporter,
            clock=clock,
            draw=random.random,
            observer=board,
            endpoints=endpoints,
            interrupt=loop.follow,
            is_watched=is_watched,
        )
        reporter.send("daemon.started", Severity.INFO, version=__version__, targets=len(loaded.targets))
        report_address = partial(_report_address, reporter)
        with ExitStack() as stack:
            loop.guard = stack.enter_context(ClockGuard(clock=clock, jumped=loop.jump))
            stack.enter_context(endpoints)
            stack.enter_context(loop.ticker)
            stack.enter_context(loop.watcher)
            stack.enter_context(survey)
            stack.enter_context(Server(board, survey, clock, lambda: plans.listen, report_fault, report_address))
            asked = partial(Control, path, lambda: board.plan, loop.wait_for_tick, clock, reporter)
            stack.enter_context(asked(note=daemon.canary.note, endpoints=endpoints))
            yield daemon
        daemon.stop()
        workers.wait(_GRACE_SECONDS)
        workers.stop()
        reporter.flush()
    reporter.send("daemon.stopped", Severity.INFO)


class _Loop:
    """What makes a daemon tick: each second, and at once for what the watcher sees."""

    daemon: Daemon
    guard: ClockGuard
    note: Callable[[Collection[str]], None]

    def __init__(self, plans: ConfiguredPlans, reporter: Reporter, supervisor: Supervisor | None) -> None:
        self._plans = plans
        self._supervisor = supervisor
        self._begun = self._ended = 0
        self._changed = threading.Condition()
        self.ticker = Ticker(self.tick, self.follow)
        self.watcher = Watcher(changed=self.ticker.follow_now, complain=partial(_warn, reporter))

    def tick(self) -> None:
        """Do what each second asks for."""
        with self._changed:
            self._begun += 1
        self.guard.look()  # else a supplier is blamed for what the clock did
        has_reloaded = self._supervisor is not None and self._supervisor.is_reloading
        self.follow()  # what is known to have changed must not wait until everything is looked at
        self.daemon.tick()
        self.watcher.ask(self._plans.watched, *self._plans.directories)
        with self._changed:
            self._ended = self._begun
            self._changed.notify_all()
        if self._ended == _SETTLED_TICKS:
            gc.freeze()  # the plan stays: searching it for garbage would hold up everything for 30 ms
            release_code()
        if self._supervisor is not None and (status := self.daemon.summarize()):
            self._supervisor.report(status, has_reloaded=has_reloaded)

    def follow(self) -> None:
        """Follow what the watcher saw since it was asked last, if anything."""
        changed, touched = self.watcher.take()
        self.note(touched)
        if changed is None or changed or touched:
            self.daemon.follow(changed, touched)

    def wait_for_tick(self) -> None:
        """Wait until a tick has ended that began after this moment: whatever changed before is then followed."""
        with self._changed:
            wanted = self._begun + 1
        self.ticker.tick_now()
        with self._changed:
            self._changed.wait_for(lambda: self._ended >= wanted, _FOLLOW_SECONDS)

    def jump(self, seconds: float) -> None:
        """Begin again after the clocks moved apart by this many seconds."""
        self.daemon.clock_jumped(seconds)
        self.ticker.tick_now()


def _report_fault(reporter: Reporter, error: RefresherError) -> None:
    reporter.send("daemon.fault", Severity.ERROR, error=error.problem, remedy=error.remedy)


def _report_address(reporter: Reporter, address: str) -> None:
    reporter.send("daemon.listening", Severity.INFO, address=address)


def _warn(reporter: Reporter, problem: str, remedy: str) -> None:
    reporter.send("config.warning", Severity.WARNING, error=problem, remedy=remedy)
