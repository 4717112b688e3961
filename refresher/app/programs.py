"""What the commands run: the daemon, one pass, a proof by real exchange. Callable, and tested, without a terminal."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from refresher import __version__
from refresher.app.plans import ConfiguredPlans, build_plan
from refresher.app.suppliers import build_suppliers, open_connections
from refresher.app.targets import build_document, build_endpoints
from refresher.clock import SystemClock
from refresher.engine import once
from refresher.engine.reporter import Severity
from refresher.publishing.lock import held_roots, is_root_held
from refresher.publishing.retirement import list_unrecorded, retire_strays

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from refresher.config.loader import LoadedConfiguration
    from refresher.engine.agenda import Key
    from refresher.engine.daemon import Daemon
    from refresher.engine.outcome import Outcome
    from refresher.engine.reporter import Listener, Reporter
    from refresher.engine.ticker import Ticker

_SIGNALS = 64
"""Numbers of signals that are read at a time."""

GRACE_SECONDS = 3.0
"""How long the end of the daemon waits for refreshes that are under way."""


def refresh_once(loaded: LoadedConfiguration, names: Collection[str], *, force: bool) -> dict[Key, Outcome]:
    """Refresh the named targets of a configuration and their optional artifacts, each once; return how each ended."""
    connections = open_connections(loaded)
    plan = build_plan(loaded, connections, build_suppliers(loaded, connections))
    targets = [plan.targets[name] for name in names]
    return once.refresh_once(
        plan, targets, force=force, clock=SystemClock(), may_take_over=lambda: not is_root_held(plan.root)
    )


def prove_targets(loaded: LoadedConfiguration, names: Collection[str]) -> dict[str, str]:
    """Exchange the published token of each named target for real; give as whom each acts, by name.

    Raises:
        ExchangeError: The STS refused one of them.
        ImpersonationError: IAM Credentials refused one of them.
    """
    from refresher.google.google_auth import prove

    transport, endpoints = open_connections(loaded)(), build_endpoints(loaded)
    return {
        name: prove(
            build_document(loaded, target, endpoints), token_path=target.directory / "token", transport=transport
        )
        for name, target in loaded.targets.items()
        if name in names
    }


def run_daemon(path: Path, loaded: LoadedConfiguration, listener: Listener) -> None:
    """Keep the targets of a configuration file fresh until SIGTERM or SIGINT; SIGHUP loads it again.

    To be called on the main thread.

    Raises:
        PublishError: Another daemon holds the same `directory_root`, or it cannot be trusted.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with open_daemon(path, loaded, listener) as daemon:
        signal.signal(signal.SIGHUP, lambda *_: daemon.ask_reload())
        _wait_with_signals(stopping)


def _wait_with_signals(stopping: threading.Event) -> None:
    """Wait on the main thread and let it handle signals, also those that the kernel gives to another thread.

    Python runs handlers on the main thread alone, which a signal elsewhere does not wake: the wakeup descriptor does.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        os.set_blocking(writer.fileno(), False)
        former = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            while not stopping.is_set():
                reader.recv(_SIGNALS)
        finally:
            signal.set_wakeup_fd(former)


@contextmanager
def open_daemon(path: Path, loaded: LoadedConfiguration, listener: Listener) -> Iterator[Daemon]:
    """Give a running daemon for the length of a `with` block; at its end the files stay as they are.

    Raises:
        PublishError: Another daemon holds the same `directory_root`, or it cannot be trusted.
    """
    from refresher.engine.daemon import Daemon
    from refresher.engine.reporter import Reporter
    from refresher.engine.ticker import ClockGuard, Ticker
    from refresher.engine.workers import Workers

    clock, workers = SystemClock(), Workers()
    reporter = Reporter(listener)
    with held_roots() as hold:
        hold(Path(loaded.configuration.directory_root))
        daemon = Daemon(
            plans=ConfiguredPlans(path, loaded),
            hold=hold,
            retire=retire_strays,
            workers=workers,
            reporter=reporter,
            clock=clock,
            draw=random.random,
        )
        _report_start(reporter, loaded)
        with Ticker(daemon.tick) as ticker, ClockGuard(clock=clock, jumped=partial(_jumped, daemon, ticker)):
            yield daemon
        daemon.stop()
        workers.wait(GRACE_SECONDS)
        workers.stop()
    reporter.send("daemon.stopped", Severity.INFO)


def _jumped(daemon: Daemon, ticker: Ticker, seconds: float) -> None:
    daemon.clock_jumped(seconds)
    ticker.tick_now()


def _report_start(reporter: Reporter, loaded: LoadedConfiguration) -> None:
    reporter.send("daemon.started", Severity.INFO, version=__version__, targets=len(loaded.targets))
    for warning in loaded.warnings:
        reporter.send(
            "config.warning", Severity.WARNING, error=f"{warning.location}: {warning.problem}", remedy=warning.remedy
        )
    for problem, remedy in warn_about_unrecorded(loaded):
        reporter.send("config.warning", Severity.WARNING, error=problem, remedy=remedy)


def warn_about_unrecorded(loaded: LoadedConfiguration) -> list[tuple[str, str]]:
    """Return problem and remedy for each directory of an earlier version that belongs to no target."""
    root = Path(loaded.configuration.directory_root)
    reserved = loaded.reserved_names
    return [
        (
            f"{root / name} holds credentials of an earlier version, no target record, and belongs to no target",
            f"remove it once no container uses it: rm -r {root / name}",
        )
        for name in ([] if reserved is None else list_unrecorded(root, reserved))
    ]
