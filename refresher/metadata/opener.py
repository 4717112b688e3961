"""Where the daemon's listeners come from: the helper `refresher-netns`, or the daemon's own network namespace.

The daemon enters no namespace itself. What it is handed it checks once more: a listener in its own namespace is not
accepted.
"""

import json
import socket
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from refresher.metadata.namespaces import LINK_LOCAL, LOOPBACK, RefusedError, open_listener, wait_for_input
from refresher.metadata.wanted import Wanted

_SECONDS = 5.0
_LARGEST_ANSWER = 32768
_MOST_SOCKETS = 2
_SO_NETNS_COOKIE = 71


class HelperAbsentError(Exception):
    """There is no helper to ask, or it does not answer."""


class Opener(Protocol):
    """What the listeners come from; used by one thread."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a namespace is gone; -1 while not connected."""
        ...

    def connect(self) -> bool:
        """Return whether the connection is another one than before; raises a `HelperAbsentError`."""
        ...

    def open(self, target: str, wanted: Wanted) -> tuple[socket.socket, ...]:
        """Return the listeners of a target; raises a `RefusedError` or a `HelperAbsentError`."""
        ...

    def take_note(self, target: str) -> str:
        """Return the note that was kept for a target when it was opened; empty without one."""
        ...

    def keep(self, target: str, note: str) -> None:
        """Make the helper keep a note of an open target for the next daemon; raises a `HelperAbsentError`."""
        ...

    def close(self, target: str) -> None:
        """Make the helper let go of a target; raises a `HelperAbsentError`."""
        ...

    def settle(self) -> None:
        """Make the helper let go of all that was not opened on this connection; raises a `HelperAbsentError`."""
        ...

    def take_gone(self) -> set[str]:
        """Return the targets whose namespaces are gone since the last call."""
        ...

    def disconnect(self) -> None:
        """End the connection; the helper keeps what is open."""
        ...


class HelperOpener:
    """Asks the helper at a socket.

    Args:
        path: The path of its socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: socket.socket | None = None
        self._gone: deque[str] = deque()
        self._notes: dict[str, str] = {}

    def fileno(self) -> int:
        """Return the connection's descriptor; -1 without one."""
        return -1 if self._connection is None else self._connection.fileno()

    def connect(self) -> bool:
        """Connect unless that is done; return whether it was not."""
        if self._connection is not None:
            return False
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(_SECONDS)
        try:
            connection.connect(str(self._path))
        except OSError as error:
            connection.close()
            raise HelperAbsentError(f"no helper answers at {self._path}: {error.strerror}") from error
        self._connection = connection
        return True

    def open(self, target: str, wanted: Wanted) -> tuple[socket.socket, ...]:
        """Return the listeners of a target."""
        answer, sockets = self._ask({"open": target, **wanted._asdict()})
        if answer.get("opened") != target:
            for each in sockets:
                each.close()
            raise RefusedError(*(str(answer.get(name, "unknown")) for name in ("kind", "problem", "remedy")))
        self._notes[target] = str(answer.get("note", ""))
        own = _read_cookie()
        if own is not None and own in [_read_cookie(each) for each in sockets]:
            for each in sockets:
                each.close()
            raise RefusedError(
                "refused",
                f"{wanted.netns} is the daemon's network namespace",
                "start the container with one of its own",
            )
        return sockets

    def take_note(self, target: str) -> str:
        """Return the note that came with a target's listeners."""
        return self._notes.pop(target, "")

    def keep(self, target: str, note: str) -> None:
        """Make the helper keep a note of a target."""
        self._ask({"keep": target, "note": note})

    def close(self, target: str) -> None:
        """Make the helper let go of a target."""
        self._ask({"close": target})

    def settle(self) -> None:
        """Make the helper let go of what was not opened on this connection."""
        self._ask({"settle": True})

    def take_gone(self) -> set[str]:
        """Return the targets whose namespaces are gone; an end of the connection shows at the next question."""
        while self._connection is not None and wait_for_input([self._connection.fileno()], 0):
            try:
                message = self._connection.recv(_LARGEST_ANSWER)
                if message:
                    self._note(json.loads(message))
                else:
                    self.disconnect()
            except (OSError, ValueError):
                self.disconnect()
        gone = set(self._gone)
        self._gone.clear()
        return gone

    def _note(self, message: object) -> None:
        if isinstance(message, dict) and isinstance(message.get("gone"), str):
            self._gone.append(message["gone"])

    def _ask(self, question: dict[str, object]) -> tuple[dict[str, object], tuple[socket.socket, ...]]:
        connection = self._connection
        if connection is None:  # never opened here: after each connection all listeners are asked for again
            raise HelperAbsentError(f"no helper answers at {self._path}")
        try:
            connection.send(json.dumps(question).encode())
            while True:
                message, descriptors, _, _ = socket.recv_fds(connection, _LARGEST_ANSWER, _MOST_SOCKETS)
                sockets = tuple(socket.socket(fileno=each) for each in descriptors)
                if not message:
                    raise ConnectionResetError(0, "the helper ended")
                answer = json.loads(message)
                if "gone" not in answer:
                    return answer, sockets
                self._note(answer)
        except (OSError, ValueError) as error:
            self.disconnect()
            raise HelperAbsentError(f"the helper at {self._path} does not answer: {error}") from error

    def disconnect(self) -> None:
        """End the connection; the helper keeps what is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def open_own(wanted: Wanted) -> tuple[socket.socket, ...]:
    """Return the listeners in the daemon's own namespace, prepared before the daemon starts.

    Raises:
        RefusedError: A port is taken, or the address is not there.
    """
    places = [(LOOPBACK, wanted.port), *([LINK_LOCAL] if wanted.link_local else [])]
    with ExitStack() as undo:
        try:
            opened = tuple(undo.enter_context(open_listener(place)) for place in places)
        except OSError as error:
            remedy = "add the address to lo (ip address add 169.254.169.254/32 dev lo), and allow port 80 to the daemon"
            raise RefusedError("refused", f"the listener can't be opened: {error.strerror}", remedy) from error
        undo.pop_all()
    return opened


def _read_cookie(listener: socket.socket | None = None) -> bytes | None:
    """Return what no other network namespace has until the machine starts again; None before Linux 5.14."""
    try:
        if listener is not None:
            return listener.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as own:
            return own.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    except OSError:
        return None
