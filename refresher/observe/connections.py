"""The connections of the HTTP server, each bounded in bytes and time, and whose is closed when there are too many."""

import socket
import time
from collections import Counter, deque
from collections.abc import Iterator
from struct import Struct

from refresher.observe.messages import Response, encode

MOST_CONNECTIONS = 64
LONGEST_HEAD = 8192
HEAD_SECONDS = 5.0
ANSWER_SECONDS = 5.0
WRITE_SECONDS = 20.0
LINGER_SECONDS = 1.0
_CHUNK = 65536
_CREDENTIALS = Struct("iII")
"""`struct ucred` of unix(7): process, user, group."""

Caller = tuple[object, object]
"""Who has a connection, in general and in particular: user and process, or a machine and its port."""


class Connection:
    """A connection and how far it is: it reads, then waits for the answer, then writes, then lingers.

    Attributes:
        peer: Its socket, which never blocks.
        caller: Who has it.
        deadline: Until when the present step may last, on the monotonic clock.
        is_waiting: Whether the request is complete and the answer is not there yet.
    """

    def __init__(self, peer: socket.socket, address: object) -> None:
        self.peer = peer
        self.caller = _find_caller(peer, address)
        self.deadline = time.monotonic() + HEAD_SECONDS
        self.is_waiting = False
        self._head = b""
        self._outgoing: deque[memoryview] = deque()
        self._is_lingering = False

    @property
    def is_writing(self) -> bool:
        """Whether a part of the answer is left to be written."""
        return bool(self._outgoing)

    @property
    def is_lingering(self) -> bool:
        """Whether the answer is written, and only the peer's end is waited for."""
        return self._is_lingering

    def read_head(self) -> bytes | None:
        """Read more of the request; return its head once that is complete, None until then.

        Raises:
            BlockingIOError: Nothing is there.
            ConnectionError: The peer ended it, or the system did.
            ValueError: The head is too large.
        """
        more = self.peer.recv(LONGEST_HEAD + 1 - len(self._head))
        self._head += more
        head, found, _ = self._head.replace(b"\r\n", b"\n").partition(b"\n\n")
        if found:
            self.is_waiting, self.deadline = True, time.monotonic() + ANSWER_SECONDS
            return head
        if not more:
            raise ConnectionAbortedError
        if len(self._head) > LONGEST_HEAD:
            raise ValueError("the head is too large")
        return None

    def respond(self, response: Response, *, is_head: bool = False) -> None:
        """Take a response to be written; its body is shared, not copied."""
        self.is_waiting, self.deadline = False, time.monotonic() + WRITE_SECONDS
        self._outgoing.append(memoryview(encode(response)))
        if not is_head and response.body:
            self._outgoing.append(memoryview(response.body))

    def write(self) -> None:
        """Write what the peer takes now; after the last byte it lingers, so that the peer reads before the end.

        Raises:
            OSError: The peer takes nothing now (`BlockingIOError`), or the connection is gone.
        """
        while self._outgoing:
            part = self._outgoing[0]
            sent = self.peer.send(part)
            if sent < len(part):
                self._outgoing[0] = part[sent:]
            else:
                self._outgoing.popleft()
        self.peer.shutdown(socket.SHUT_WR)
        self._is_lingering, self.deadline = True, time.monotonic() + LINGER_SECONDS

    def drain(self) -> bool:
        """Drop what the peer still sends; return whether it ended the connection."""
        return not self.peer.recv(_CHUNK)


def _find_caller(peer: socket.socket, address: object) -> Caller:
    if peer.family != socket.AF_UNIX:
        return address[0] if isinstance(address, tuple) else "", address
    pid, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return uid, pid


class Crowd:
    """All connections; one thread uses it."""

    def __init__(self) -> None:
        self._all: set[Connection] = set()
        self._by_caller: dict[Caller, dict[Connection, None]] = {}

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._all))

    def __contains__(self, connection: object) -> bool:
        return connection in self._all

    def add(self, connection: Connection) -> Connection | None:
        """Add a connection; if that is one too many, return the one to close.

        It is the oldest of the process that has most, of the user that has most: who opens many loses his own.
        """
        self._all.add(connection)
        self._by_caller.setdefault(connection.caller, {})[connection] = None
        if len(self._all) <= MOST_CONNECTIONS:
            return None
        users: Counter[object] = Counter()
        for (user, _), connections in self._by_caller.items():
            users[user] += len(connections)
        most = max(self._by_caller, key=lambda each: (users[each[0]], len(self._by_caller[each])))
        return next(iter(self._by_caller[most]))

    def remove(self, connection: Connection) -> None:
        """Remove a connection that is there."""
        self._all.remove(connection)
        own = self._by_caller[connection.caller]
        del own[connection]
        if not own:
            del self._by_caller[connection.caller]
