"""What commands run: the daemon, one pass, a proof by real exchange. Callable, and tested, without a terminal."""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from refresher import __version__
from refresher.app.explanation import list_unrecorded
from refresher.app.plans import ConfiguredPlans, build_chain, build_plan
from refresher.app.suppliers import build_suppliers, open_workshop
from refresher.app.targets import build_document, build_targets
from refresher.clock import SystemClock
from refresher.config.loader import LoadedConfiguration
from refresher.engine import once
from refresher.engine.agenda import Key
from refresher.engine.daemon import Daemon
from refresher.engine.outcome import Outcome
from refresher.engine.plan import Target
from refresher.engine.reporter import Listener, Reporter, Severity
from refresher.engine.ticker import Ticker
from refresher.engine.workers import Workers
from refresher.errors import ExchangeError, PublishError, RefresherError
from refresher.publishing.artifacts import DESCRIPTIONS, TOKEN
from refresher.publishing.contents import extract_token
from refresher.publishing.lock import held_roots, is_root_held
from refresher.publishing.retirement import retire_strays
from refresher.suppliers.interface import Workshop
from refresher.tokens import UnreadableTokenError

_SIGNALS = 64
"""Numbers of signals that are read at a time."""

_PROOF_THREADS = 16
_LONGEST_PAUSE = 5.0
"""Seconds between two attempts to prove a target; the first pauses are shorter."""

GRACE_SECONDS = 3.0
"""How long the end of the daemon waits for refreshes that are under way."""


def refresh_once(loaded: LoadedConfiguration, names: Collection[str], *, force: bool) -> dict[Key, Outcome]:
    """Refresh the named targets of a configuration and their optional artifacts, each once; return how each ended."""
    workshop = open_workshop(loaded)
    plan = build_plan(loaded, workshop, build_suppliers(loaded, workshop))
    targets = [plan.targets[name] for name in names]
    return once.refresh_once(
        plan, targets, force=force, clock=SystemClock(), may_take_over=lambda: not is_root_held(plan.root)
    )


class Proof(NamedTuple):
    """How the real exchanges of targets ended.

    Attributes:
        principals: As whom each proved target acts, by its name.
        errors: Why each other target could not be proved, by its name.
    """

    principals: dict[str, str]
    errors: dict[str, RefresherError]


def prove_targets(
    loaded: LoadedConfiguration, names: Collection[str], *, seconds: float, report: Callable[[str], None]
) -> Proof:
    """Exchange the published token of each target for real, and impersonate, until Google accepts it.

    What only an operator can fix is tried again too, since a grant takes minutes to reach all of Google. Every target
    is tried, and all are waited for together.

    Args:
        loaded: The configuration.
        names: The targets to prove.
        seconds: How long to try; at 0 or less each target is tried once, within the usual limits of a call.
        report: Called with a line about each target whose first attempt failed while time is left.
    """
    from refresher.google.transport import Limits

    limits = Limits()
    if seconds > 0:
        limits = Limits(**{name: min(getattr(limits, name), seconds) for name in ("connect", "read", "call")})
    deadline = time.monotonic() + (seconds if seconds > 0 else limits.call)
    prover = _Prover(loaded, open_workshop(loaded, limits=limits))
    workers, pause, reported = Workers(), 0.5, set[str]()
    while True:
        pending = [name for name in names if name not in prover.principals]
        for name in pending:
            workers.submit("proof", partial(prover.attempt, name), threads=_PROOF_THREADS)
        workers.wait(max(0.0, deadline - time.monotonic()))
        if prover.bugs:
            raise prover.bugs[0]
        failing = {name: error for name, error in dict(prover.errors).items() if name not in prover.principals}
        pause = min(2 * pause, _LONGEST_PAUSE)
        is_last = seconds <= 0 or time.monotonic() + pause >= deadline
        if len(prover.principals) == len(names) or is_last:
            break
        for name in sorted(failing.keys() - reported):
            report(f"{name}: {failing[name].problem}; trying again until the timeout")
            reported.add(name)
        time.sleep(pause)
    workers.stop()
    return prover.conclude(names, limits.call if seconds <= 0 else seconds)


class _Prover:
    """Attempts to prove targets, from several threads."""

    def __init__(self, loaded: LoadedConfiguration, workshop: Workshop) -> None:
        self._loaded = loaded
        self._connections = workshop.transport
        self._targets = build_targets(loaded)
        self._endpoints = workshop.endpoints
        self._chain = build_chain(workshop)
        self.principals: dict[str, str] = {}
        self.errors: dict[str, RefresherError] = {}
        self.bugs: list[Exception] = []

    def attempt(self, name: str) -> None:
        """Try to prove a target."""
        try:
            self.principals[name] = self._prove(self._targets[name])
        except RefresherError as error:
            self.errors[name] = error
        except Exception as bug:  # noqa: BLE001 - carried to the caller's thread
            self.bugs.append(bug)

    def _prove(self, target: Target) -> str:
        from refresher.google.google_auth import prove

        way = target.impersonation
        if way.is_own:
            self._chain.access_token(way, self._chain.exchange(way, "", datetime.now(UTC)))
            return str(way.service_account)
        with suppress(PublishError, UnreadableTokenError):
            token = extract_token(target.directory.read((TOKEN, DESCRIPTIONS)))
            if way.subject is None and token is not None and token.unverified_claims is not None:
                way = replace(way, subject=token.unverified_claims.subject)
        document = build_document(self._loaded, self._loaded.targets[target.name], self._endpoints)
        way = replace(way, delegates=())  # the document goes no other way
        return prove(document, way, token_path=target.directory.path / TOKEN, transport=self._connections())

    def conclude(self, names: Collection[str], seconds: float) -> Proof:
        """Return how each target ended; those still under way failed."""
        principals, found, errors = dict(self.principals), dict(self.errors), dict[str, RefresherError]()
        for name in names:
            if name not in principals:
                error = found.get(name) or ExchangeError(
                    f"no complete answer of Google's within {seconds:g} s",
                    f"make this machine reach {self._endpoints.sts} and {self._endpoints.iam_credentials}, "
                    "or allow more time: --timeout",
                )
                errors[name] = error.copy()
                if self._targets[name].minted:
                    errors[name].remedy += (
                        "; the daemon tries the artifacts of these targets again within five minutes, at once after "
                        "systemctl reload refresher (SIGHUP)"
                    )
        return Proof(principals, errors)


def run_daemon(path: Path, loaded: LoadedConfiguration, listener: Listener) -> None:
    """Keep the targets of a configuration file fresh until SIGTERM or SIGINT; SIGHUP loads it again.

    Called on the main thread.

    Raises:
        PublishError: Another daemon holds the same `directory_root`, or it can't be trusted.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with start_daemon(path, loaded, listener) as daemon:
        signal.signal(signal.SIGHUP, lambda *_: daemon.ask_reload())
        _wait_with_signals(stopping)


def _wait_with_signals(stopping: threading.Event) -> None:
    """Wait on the main thread while it handles signals, also those that the kernel delivers to another thread.

    Python runs handlers on the main thread only, which a signal elsewhere does not wake: the wakeup descriptor does.
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
def start_daemon(path: Path, loaded: LoadedConfiguration, listener: Listener) -> Iterator[Daemon]:
    """Run a daemon for the length of a `with` block; at its end the files stay as they are.

    Raises:
        PublishError: Another daemon holds the same `directory_root`, or it can't be trusted.
    """
    from refresher.engine.daemon import Daemon
    from refresher.engine.reporter import Reporter
    from refresher.engine.ticker import ClockGuard, Ticker

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
        with Ticker(daemon.tick) as ticker, ClockGuard(clock=clock, jumped=partial(_jump, daemon, ticker)):
            yield daemon
        daemon.stop()
        workers.wait(GRACE_SECONDS)
        workers.stop()
    reporter.send("daemon.stopped", Severity.INFO)


def _jump(daemon: Daemon, ticker: Ticker, seconds: float) -> None:
    daemon.clock_jumped(seconds)
    ticker.tick_now()


def _report_start(reporter: Reporter, loaded: LoadedConfiguration) -> None:
    reporter.send("daemon.started", Severity.INFO, version=__version__, targets=len(loaded.targets))
    for warning in loaded.warnings:
        reporter.send(
            "config.warning", Severity.WARNING, error=f"{warning.location}: {warning.problem}", remedy=warning.remedy
        )
    for error in list_unrecorded(loaded):
        reporter.send("config.warning", Severity.WARNING, error=error.problem, remedy=error.remedy)
