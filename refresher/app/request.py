"""What `refresher once` asks a running daemon, and what that answers: over a socket in `directory_root/.control`.

Only root and the daemon's user can open that directory, and the daemon asks the kernel who is at the other end. So who
runs `once` next to a daemon needs neither the daemon's user nor the rights of its unit. One request a connection: a
line of JSON; the daemon answers with a line feed every second while it works, and a JSON document at the end. The
daemon's side is `refresher.app.control`; decision 0016 has the reasons.
"""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from refresher.engine.agenda import Key
from refresher.engine.outcome import Outcome, Result
from refresher.errors import (
    ConfigurationError,
    ExchangeError,
    NotReadyError,
    PublishError,
    RefresherError,
    SupplyError,
)
from refresher.observe.sockets import read_peer
from refresher.publishing.walk import CONTROL, LOCK

SOCKET = "socket"
"""The name of the socket in its directory."""
LARGEST_REQUEST = 1 << 20
_LARGEST_ANSWER = 16 << 20
_FIRST_SECONDS = 5.0
_SILENT_SECONDS = 15.0
_PASS_SECONDS = 660.0
"""Longer than the daemon works on one request (`refresher.app.control`)."""
_MOST_BRACKETS = 100
_PAUSE = 0.05
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = "run `refresher status`, and read its log (journalctl -u refresher)"
_KINDS = {kind.exit_status: kind for kind in (RefresherError, ConfigurationError, SupplyError, PublishError)}
_KINDS |= {kind.exit_status: kind for kind in (ExchangeError, NotReadyError)}


class RefusedRequestError(ConfigurationError):
    """The daemon takes no such request: it runs another configuration, or has too many requests already."""


class Request(NamedTuple):
    """A pass over targets that another process asks the daemon for.

    Attributes:
        configuration: The configuration file that this process was run with, without symlinks.
        targets: The names of the targets.
        force: Whether fresh tokens are replaced too.
    """

    configuration: str
    targets: tuple[str, ...]
    force: bool = False

    def render(self) -> bytes:
        """Return the request as it is sent."""
        return json.dumps(self._asdict()).encode() + b"\n"


def parse_request(text: bytes) -> Request:
    """Return the request that was sent; anything else raises a ValueError."""
    found = None
    if text.count(b"[") + text.count(b"{") <= _MOST_BRACKETS:  # a deep nest of lists would use up the stack
        with suppress(ValueError):
            found = json.loads(text)
    match found:
        case {"configuration": str(configuration), "targets": [*targets], "force": bool(force), **more} if (
            not more and all(isinstance(each, str) for each in targets)
        ):
            return Request(configuration, tuple(targets), force)
        case _:
            raise ValueError("not a request")


def render_outcomes(outcomes: Mapping[Key, Outcome]) -> bytes:
    """Return the answer to a request: how each job ended, without anything that a file holds."""
    rows = [
        {"target": target, "artifact": artifact, "result": each.result.value, **_describe(each.error)}
        for (target, artifact), each in outcomes.items()
    ]
    return json.dumps({"outcomes": rows}).encode()


def render_refusal(error: RefresherError) -> bytes:
    """Return the answer to a request on which the daemon does not work."""
    return json.dumps({"refused": _describe(error)}).encode()


def ask_daemon(
    root: Path, request: Request, *, seconds: float = _FIRST_SECONDS, silent_seconds: float = _SILENT_SECONDS
) -> dict[Key, Outcome] | None:
    """Make the daemon of a root do a pass, and return how it ended; None if no daemon answers this user.

    Args:
        root: `directory_root`.
        request: What to do.
        seconds: How long the daemon may take to answer at all; then it counts as none, since it may be stopped.
        silent_seconds: How long it may be silent after that.

    Raises:
        RefusedRequestError: It does not work on this request.
        NotReadyError: It began, and did not end.
    """
    try:
        daemon = socket.socket(socket.AF_UNIX)
    except OSError:  # no descriptors, no memory: for the work itself they may do, or it reports the lack
        return None
    with daemon:
        try:
            _connect(daemon, root, seconds)
            daemon.sendall(request.render())
            received = daemon.recv(1)
        except OSError:
            return None
        if not received:
            return None
        answer = _read(daemon, received, root, silent_seconds)
    with suppress(ValueError, TypeError, LookupError, RecursionError):
        found = json.loads(answer)
        if "refused" in found:
            raise RefusedRequestError(str(found["refused"]["problem"]), str(found["refused"]["remedy"]))
        return dict(map(_parse_outcome, found["outcomes"]))
    raise _build_failure(root, "ended before the refresh did")


def _connect(daemon: socket.socket, root: Path, seconds: float) -> None:
    """Connect to the daemon's socket; raise an OSError if that fails, or if another user could listen on it."""
    directory = os.open(root / CONTROL, _OPEN)
    try:
        found, lock = os.fstat(directory), (root / LOCK).lstat()
        if found.st_uid != lock.st_uid or found.st_mode & 0o077:
            raise PermissionError
        deadline = time.monotonic() + seconds
        daemon.settimeout(seconds)
        while True:
            try:
                daemon.connect(f"/proc/self/fd/{directory}/{SOCKET}")
                break
            except BlockingIOError:  # its queue is full (connect(2), EAGAIN)
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE)
        if read_peer(daemon)[1] != found.st_uid:
            raise PermissionError
    finally:
        os.close(directory)


def _read(daemon: socket.socket, answer: bytes, root: Path, silent_seconds: float) -> bytes:
    parts, size, deadline = [answer], 0, time.monotonic() + _PASS_SECONDS
    daemon.settimeout(silent_seconds)
    while size < _LARGEST_ANSWER and time.monotonic() < deadline:
        try:
            part = daemon.recv(1 << 16)
        except TimeoutError:
            raise _build_failure(root, f"has not answered for {silent_seconds:.0f} s") from None
        except OSError:
            break
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _build_failure(root: Path, what: str) -> NotReadyError:
    return NotReadyError(f"the daemon of {root} began to refresh, and {what}", _LOOK)


def _describe(error: RefresherError | None) -> dict[str, Any]:
    if error is None:
        return {}
    return {"problem": error.problem, "remedy": error.remedy, "exit_status": int(error.exit_status)}


def _parse_outcome(row: Mapping[str, Any]) -> tuple[Key, Outcome]:
    error = None
    if "problem" in row:
        kind = _KINDS[row["exit_status"]]
        error = kind(str(row["problem"]), str(row["remedy"]))
    return (str(row["target"]), str(row["artifact"])), Outcome(result=Result(row["result"]), error=error)
