"""The daemon's side of `refresher once`: passes over targets that root, or the daemon's own user, asks for.

It has threads of its own, apart from the HTTP server: that one answers a group of users and changes nothing. (1) The
directory of the socket is the daemon's alone, and the kernel shows who connects: all others are turned away. (2) A
request arrives whole within a second, and names the configuration file that the daemon runs. (3) The daemon follows
every change of its configuration first. (4) The pass runs next to the daemon's own work: the locks of directories keep
the two apart, as they do with another process. (5) The caller hears of it every second; what has not ended in time is a
failure, and goes on.

Only a few passes run at a time, and one counts until its last job has ended, so that a file system that hangs piles up
no threads. The socket is created in `refresher.app.control_socket`; the caller's side, and the format, are in
`refresher.app.request`.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from threading import BoundedSemaphore, Event, Thread
from typing import Self

from refresher.app.control_socket import open_control
from refresher.app.request import (
    LARGEST_REQUEST,
    RefusedRequestError,
    Request,
    parse_request,
    render_outcomes,
    render_refusal,
)
from refresher.clock import Clock
from refresher.durations import format_seconds
from refresher.engine import once
from refresher.engine.agenda import Entry, Key
from refresher.engine.events import Severity
from refresher.engine.metadata import MetadataEndpoints, NoMetadataEndpoints
from refresher.engine.outcome import Outcome, Result
from refresher.engine.plan import Plan
from refresher.engine.reporter import Reporter
from refresher.engine.workers import Workers
from refresher.errors import ConfigurationError, NotReadyError, PublishError, RefresherError, describe_bug
from refresher.observe.sockets import read_peer
from refresher.text import quote

_MOST_PASSES = 4
_PASS_SECONDS = 600.0
_REQUEST_SECONDS = 1.0
_WRITE_SECONDS = 5.0
_PAUSE = 1.0
_ACCEPT_SECONDS = 0.2
_LOG = "read the daemon's log (journalctl -u refresher)"


class Control:
    """Takes requests from `__enter__` to `__exit__`, in the root of the plan in force.

    Args:
        configuration: The file that the daemon was started with.
        find_plan: Returns the plan in force; None before the first.
        follow: Makes the daemon follow each change of its configuration, and returns when it has.
        clock: Where the time comes from.
        reporter: What requests and faults are reported by.
        note: Called with each job that ended, so that the canary knows what Google refused.
        endpoints: The daemon's metadata endpoints.
        seconds: How long a caller waits for a pass.
    """

    def __init__(
        self,
        configuration: Path,
        find_plan: Callable[[], Plan | None],
        follow: Callable[[], None],
        clock: Clock,
        reporter: Reporter,
        *,
        note: Callable[[Entry, Outcome], None] = lambda _entry, _outcome: None,
        endpoints: MetadataEndpoints | None = None,
        seconds: float = _PASS_SECONDS,
    ) -> None:
        self._configuration = configuration
        self._find_plan = find_plan
        self._follow = follow
        self._clock = clock
        self._reporter = reporter
        self._seconds = seconds
        self._note = note
        self._endpoints = endpoints or NoMetadataEndpoints()
        self._stopping = Event()
        self._passes = BoundedSemaphore(_MOST_PASSES)
        self._fault: str | None = None
        self._thread = Thread(target=self._run, name="control", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._thread.join(_PAUSE)

    def _run(self) -> None:
        while not self._stopping.wait(_ACCEPT_SECONDS):
            if (plan := self._find_plan()) is None:
                continue
            try:
                with open_control(plan.root) as (listener, is_in_place):
                    self._fault = None
                    self._serve(listener, plan.root, is_in_place)
            except PublishError as error:
                self._report_fault(error)
            except OSError:
                pass  # what keeps it from the root is a fault of the root's lock, which is reported
            except Exception as bug:  # noqa: BLE001 - requests go on after a bug, which is reported
                self._report_fault(describe_bug("the control socket", bug))

    def _report_fault(self, error: RefresherError) -> None:
        if self._fault != error.problem:
            self._fault = error.problem
            self._reporter.send("daemon.fault", Severity.ERROR, error=error.problem, remedy=error.remedy)

    def _serve(self, listener: socket.socket, root: Path, is_in_place: Callable[[], bool]) -> None:
        """Take requests until the end, until the plan has another root, or until the socket has lost its place."""
        listener.settimeout(_ACCEPT_SECONDS)
        while not self._stopping.is_set():
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                plan = self._find_plan()
                if plan is None or plan.root != root or not is_in_place():
                    return
            except OSError:  # no descriptor is left
                self._stopping.wait(_ACCEPT_SECONDS)
            else:
                self._take(peer)

    def _take(self, peer: socket.socket) -> None:
        """Begin to work on a request, or refuse it; what is not a request is turned away."""
        with suppress(OSError, ValueError), ExitStack() as stack:
            stack.callback(peer.close)
            pid, uid = read_peer(peer)
            if uid in (0, os.geteuid()):  # 1
                request = parse_request(_read(peer))  # 2
                peer.settimeout(_WRITE_SECONDS)
                try:
                    self._check(request)
                    self._begin(peer, request)
                except RefusedRequestError as error:
                    peer.sendall(render_refusal(error))
                    return
                stack.pop_all()
                count, force = len(request.targets), request.force
                self._reporter.send("once.requested", Severity.INFO, uid=uid, pid=pid, targets=count, force=force)

    def _check(self, request: Request) -> None:
        own = os.path.realpath(self._configuration)
        if request.configuration != own:
            problem = f"the daemon runs with the configuration {own}, not with {request.configuration}"
            raise RefusedRequestError(problem, f"name that file: --config {own}")

    def _begin(self, peer: socket.socket, request: Request) -> None:
        if not self._passes.acquire(blocking=False):
            problem = f"the daemon is doing {_MOST_PASSES} passes for `refresher once` already"
            raise RefusedRequestError(problem, f"try again when they have ended; if that lasts, {_LOG}")
        try:
            Thread(target=self._work, args=(peer, request), name="once", daemon=True).start()
        except RuntimeError:
            self._passes.release()
            raise RefusedRequestError("the daemon can start no thread now", "raise TasksMax= of its unit") from None

    def _work(self, peer: socket.socket, request: Request) -> None:
        """Do a pass and answer; nothing that it does may end the daemon."""
        workers = Workers()

        def beat() -> None:
            with suppress(OSError):  # the caller is gone: what it asked for is done all the same
                peer.sendall(b"\n")

        try:
            with peer, suppress(OSError):
                beat()
                peer.sendall(render_outcomes(self._refresh(request, workers, beat)))
        except Exception as bug:  # noqa: BLE001 - the caller finds the connection closed, and the log shows why
            self._report_fault(describe_bug("a pass for `refresher once`", bug))
        finally:
            workers.stop()
            workers.wait(None)
            self._passes.release()

    def _refresh(self, request: Request, workers: Workers, beat: Callable[[], None]) -> dict[Key, Outcome]:
        self._follow()  # 3
        plan = self._find_plan()
        known = {} if plan is None else plan.targets
        targets = [known[name] for name in request.targets if name in known]
        keys = [(each.name, name) for each in targets for name in ("", *(artifact.name for artifact in each.minting))]
        late = NotReadyError(f"this has not ended after {format_seconds(self._seconds)}, and goes on", _LOG)
        outcomes = dict.fromkeys(keys, Outcome(result=Result.FAILED, error=late))
        for name in set(request.targets) - known.keys():
            problem = f"the daemon's configuration in force has no target {quote(name)}"
            error = ConfigurationError(problem, "run `refresher check`, and read config.rejected in the daemon's log")
            outcomes[name, ""] = Outcome(result=Result.FAILED, error=error)
        if plan is not None:
            ended = once.refresh_once(  # 4, 5
                plan,
                targets,
                force=request.force,
                clock=self._clock,
                may_take_over=lambda: True,
                workers=workers,
                seconds=self._seconds,
                meanwhile=beat,
                endpoints=self._endpoints,
            )
            self._report(plan, ended)
            outcomes |= ended
        return outcomes

    def _report(self, plan: Plan, ended: Mapping[Key, Outcome]) -> None:
        """Log what the jobs did, as if each were the first of its target: the daemon itself finds nothing to do."""
        for (name, artifact), outcome in ended.items():
            target = plan.targets[name]
            former = Entry(
                target=target, artifact=next((each for each in target.minting if each.name == artifact), None)
            )
            entry = replace(former, life=outcome.life, failures=int(outcome.error is not None))
            self._reporter.report(entry, outcome, former, self._clock.now())
            self._note(entry, outcome)


def _read(peer: socket.socket) -> bytes:
    """Return the line that a peer sends, or raise an OSError if it is late or too long."""
    line, deadline = b"", time.monotonic() + _REQUEST_SECONDS
    while not line.endswith(b"\n"):
        peer.settimeout(max(deadline - time.monotonic(), 0.001))
        part = peer.recv(LARGEST_REQUEST + 1 - len(line))
        line += part
        if not part or len(line) > LARGEST_REQUEST:
            raise ConnectionAbortedError
    return line
