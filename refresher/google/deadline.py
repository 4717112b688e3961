"""The time limit of one HTTP call, from its first byte to its last, which neither urllib3 nor a socket has.

When the time is up, the connection's socket is shut down, and whatever the calling thread waits for ends at once. That
covers the TLS handshake, a proxy's answer, headers and body. It covers neither name resolution, which ends when the
system's resolver ends it, nor the TCP connection, which has a limit of its own. One thread does so for all calls.
"""

import os
import socket
from contextlib import suppress
from threading import Condition, Lock, Thread, local
from time import monotonic

_current = local()


class Deadline:
    """Ends the one call that this thread makes inside the `with` block after this many seconds."""

    def __init__(self, seconds: float) -> None:
        self.has_passed = False
        self.ends_at = monotonic() + seconds
        self._lock = Lock()
        self._socket: socket.socket | None = None

    def __enter__(self) -> None:
        _CALLS.add(self)
        _current.deadline = self

    def __exit__(self, *_failure: object) -> None:
        _current.deadline = None
        _CALLS.remove(self)
        with self._lock:
            self._drop()

    def watch(self, watched: socket.socket) -> None:
        """Shut this socket down at the end; its descriptor is copied, for TLS takes over the socket's own."""
        with self._lock:
            self._drop()
            self._socket = socket.socket(fileno=os.dup(watched.fileno()))
            if self.has_passed:
                self._shut_down()

    def end(self) -> None:
        """Shut the socket down, and each that is watched from now on."""
        with self._lock:
            self.has_passed = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the other side was faster
                self._socket.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def watch(watched: socket.socket | None) -> None:
    """Note for the deadline of this thread's call, if it has one, which socket it uses now."""
    deadline: Deadline | None = getattr(_current, "deadline", None)
    if deadline is not None and watched is not None:
        deadline.watch(watched)


class _Calls:
    """The calls under way, and the thread that ends them: a thread for each call would cost more than the call."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._deadlines: set[Deadline] = set()
        self._is_running = False
        self._wakes_at = 0.0

    def add(self, deadline: Deadline) -> None:
        """End a call when its time is up, unless it is removed before."""
        with self._changed:
            if not self._is_running:
                Thread(target=self._run, name="deadlines", daemon=True).start()
                self._is_running = True
            elif deadline.ends_at < self._wakes_at:
                self._changed.notify()
            self._deadlines.add(deadline)

    def remove(self, deadline: Deadline) -> None:
        """Forget a call that has ended."""
        with self._changed:
            self._deadlines.discard(deadline)

    def _run(self) -> None:
        """End what is late until there is no call left; the thread sleeps as long as the first one has time."""
        with self._changed:
            while self._deadlines:
                self._wakes_at = min(each.ends_at for each in self._deadlines)
                if (rest := self._wakes_at - monotonic()) > 0:
                    self._changed.wait(rest)
                    continue
                for late in [each for each in self._deadlines if each.ends_at <= self._wakes_at]:
                    self._deadlines.discard(late)
                    late.end()
            self._is_running = False


_CALLS = _Calls()
