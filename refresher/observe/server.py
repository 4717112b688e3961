"""The HTTP server of `listen`: one thread, many connections, each bounded in bytes and in time.

It speaks as much of HTTP/1.1 (RFC 9112) as probes, scrapers and browsers need: GET and HEAD, one request a connection.
The standard library's server has a thread for each connection and a time limit for each read, so that a few slow peers
hold it; here no peer holds anything. The steps of a connection: (1) its head arrives, at most 8 KiB within 5 s,
(2) what asks about files waits for the thread that looks at them, (3) the response is written, within 20 s, from bytes
that all connections share, (4) the rest of what the peer sends is dropped for a moment, so that it reads the response
before the end. When all places are taken, the connection that has idled longest is closed for the next one.
"""

import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from threading import Event, Thread
from types import TracebackType
from typing import Self

from refresher.clock import Clock
from refresher.errors import RefresherError, describe_bug
from refresher.observe.answers import answer, list_wanted
from refresher.observe.board import Board
from refresher.observe.messages import Head, Request, Response, encode, parse_head
from refresher.observe.sockets import ListenError, open_listener
from refresher.observe.survey import Survey
from refresher.settings.values import Listen, TcpSocket, UnixSocket

MOST_CONNECTIONS = 64
LONGEST_HEAD = 8192
HEAD_SECONDS = 5.0
LOOK_SECONDS = 3.0
WRITE_SECONDS = 20.0
LINGER_SECONDS = 1.0
_KEEP_SECONDS = 1.0
"""How long a response that is costly to write serves all who ask for the same."""
_KEPT = frozenset(["/", "/metrics", "/status.json", "/readyz"])
_MOST_KEPT = 8
_MOST_ACCEPTED = 8
"""At a time, so that earlier ones are served in between."""
_LEAST_IDLE_SECONDS = 0.02
"""How long a connection has at least before another one may take its place."""
_CHUNK = 65536
_PAUSE = 1.0
_RETRY_SECONDS = 5.0
_BUDGET_SECONDS = 0.1
"""How long one probe may have files looked at."""


class _Connection:
    """A connection and how far it is: it reads, then waits, then writes, then lingers."""

    def __init__(self, peer: socket.socket, now: float) -> None:
        self.peer = peer
        self.head = b""
        self.outgoing: deque[memoryview] = deque()
        self.is_lingering = False
        self.deadline = now + HEAD_SECONDS
        self.active_at = now


class Server:
    """Answers HTTP from `__enter__` to `__exit__`, where the configuration in force wants it.

    Args:
        board: What the daemon knows.
        survey: What the files hold.
        clock: Where the time comes from.
        find_address: Returns the address and the group of the configuration in force; asked every second.
        report: Hears what goes wrong, once until it changes.
        report_address: Hears each address that is listened on.
    """

    def __init__(
        self,
        board: Board,
        survey: Survey,
        clock: Clock,
        find_address: Callable[[], tuple[Listen, str | None]],
        report: Callable[[RefresherError], None],
        report_address: Callable[[str], None],
    ) -> None:
        self._board = board
        self._survey = survey
        self._clock = clock
        self._find_address = find_address
        self._report = report
        self._report_address = report_address
        self._selector = DefaultSelector()
        self._connections: dict[_Connection, None] = {}
        self._kept: dict[Request, tuple[float, Response]] = {}
        self._looked: deque[tuple[_Connection, Head]] = deque()
        self._costly: deque[tuple[_Connection, Head]] = deque()
        self._stopping = Event()
        self._own_host: str | None = None
        self._fault: str | None = None
        self._waker, self._wakened = socket.socketpair()
        self._thread = Thread(target=self._run, name="http", daemon=True)

    def __enter__(self) -> Self:
        for end in (self._waker, self._wakened):
            end.settimeout(0)
        self._selector.register(self._wakened, EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._wake()
        self._thread.join(_PAUSE)

    def _wake(self) -> None:
        with suppress(OSError):  # a full pipe wakes just as well
            self._waker.send(b"\0")

    def _run(self) -> None:
        while not self._stopping.is_set():
            address, group = self._find_address()
            try:
                if address is None:
                    self._stopping.wait(_PAUSE)
                    continue
                with open_listener(address, group) as listener:
                    listener.settimeout(0)
                    self._own_host = address.host.lower() if isinstance(address, TcpSocket) else None
                    self._fault = None
                    self._report_address(_describe(address, listener))
                    self._serve(listener, (address, group))
            except ListenError as error:
                self._tell(error)
                self._stopping.wait(_RETRY_SECONDS)
            except Exception as bug:  # noqa: BLE001 - observers must not end: a bug is reported
                self._tell(describe_bug("the HTTP server", bug))
                self._stopping.wait(_RETRY_SECONDS)

    def _tell(self, error: RefresherError) -> None:
        if self._fault != error.problem:
            self._fault = error.problem
            self._report(error)

    def _serve(self, listener: socket.socket, address: tuple[Listen, str | None]) -> None:
        """Serve until the end, or until the configuration wants another address."""
        try:
            while not self._stopping.is_set():
                until = time.monotonic() + _PAUSE
                while not self._stopping.is_set() and time.monotonic() < until:
                    self._turn(listener)
                if self._find_address() != address:
                    return
        finally:
            self._watch(listener, 0)
            for connection in list(self._connections):
                self._end(connection)

    def _turn(self, listener: socket.socket) -> None:
        """Wait for what happens next, at most a second, and do one step of each connection that it concerns."""
        has_place = self._has_place()
        self._watch(listener, EVENT_READ if has_place else 0)
        pause = 0.0 if self._costly or self._looked else _PAUSE if has_place else _LEAST_IDLE_SECONDS / 2
        ready = [key for key, _ in self._selector.select(pause)]
        for key in ready:
            if key.fileobj is self._wakened:
                with suppress(OSError):
                    self._wakened.recv(_CHUNK)
            elif key.data in self._connections:
                self._proceed(key.data)
        if any(key.fileobj is listener for key in ready):
            self._accept(listener)
        if self._looked:
            self._finish(*self._looked.popleft())
        elif self._costly:  # one at a time, so that probes never wait for a long row of pages
            self._finish(*self._costly.popleft())
        now = time.monotonic()
        for connection in [each for each in self._connections if each.deadline < now]:
            self._end(connection)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_MOST_ACCEPTED):
            if not self._has_place():
                return
            try:
                peer, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError:  # no descriptor is left, or the peer is gone already
                self._stopping.wait(_LEAST_IDLE_SECONDS)
                return
            if len(self._connections) >= MOST_CONNECTIONS:
                self._end(self._find_idlest())
            peer.settimeout(0)
            connection = _Connection(peer, time.monotonic())
            self._connections[connection] = None
            self._watch(peer, EVENT_READ, connection)
            self._proceed(connection)

    def _has_place(self) -> bool:
        """Return whether another connection can be accepted: a place is free, or has been idle for a moment."""
        if len(self._connections) < MOST_CONNECTIONS:
            return True
        return time.monotonic() - self._find_idlest().active_at > _LEAST_IDLE_SECONDS

    def _find_idlest(self) -> _Connection:
        return min(self._connections, key=lambda each: each.active_at)

    def _watch(self, peer: socket.socket, events: int, connection: _Connection | None = None) -> None:
        """Wait for these events of a socket from now on; 0 for none."""
        is_watched = peer.fileno() in self._selector.get_map()
        if is_watched and events:
            self._selector.modify(peer, events, connection)
        elif is_watched:
            self._selector.unregister(peer)
        elif events:
            self._selector.register(peer, events, connection)

    def _end(self, connection: _Connection) -> None:
        if connection in self._connections:
            del self._connections[connection]
            self._watch(connection.peer, 0)
            connection.peer.close()

    def _proceed(self, connection: _Connection) -> None:
        try:
            if connection.outgoing:
                self._write(connection)
            elif connection.is_lingering:
                if not connection.peer.recv(_CHUNK):
                    self._end(connection)
            else:
                self._read(connection)
        except BlockingIOError:
            pass
        except OSError:
            self._end(connection)

    def _read(self, connection: _Connection) -> None:
        """Step 1."""
        more = connection.peer.recv(LONGEST_HEAD + 1 - len(connection.head))
        connection.head += more
        head, found, _ = connection.head.replace(b"\r\n", b"\n").partition(b"\n\n")
        if not found:
            if not more:
                self._end(connection)
            elif len(connection.head) > LONGEST_HEAD:
                self._respond(connection, Response(431, b"the head of the request is too large\n"))
            return
        parsed = parse_head(head, self._own_host)
        if isinstance(parsed, Response):
            self._respond(connection, parsed)
            return
        self._watch(connection.peer, 0)
        connection.deadline = time.monotonic() + LOOK_SECONDS
        kept = self._kept.get(parsed.request)
        if kept is not None and time.monotonic() - kept[0] < _KEEP_SECONDS:
            self._respond(connection, kept[1], is_head=parsed.is_head)
        elif names := list_wanted(parsed.request, self._board):  # step 2
            if not self._survey.ask(names, _BUDGET_SECONDS, lambda: self._note_looked(connection, parsed)):
                self._end(connection)
        elif parsed.request.path in _KEPT:
            connection.deadline += WRITE_SECONDS
            self._costly.append((connection, parsed))
        else:
            self._finish(connection, parsed)

    def _note_looked(self, connection: _Connection, head: Head) -> None:
        """Queue what was waiting for a look at files; called on the other thread."""
        self._looked.append((connection, head))
        self._wake()

    def _finish(self, connection: _Connection, head: Head) -> None:
        if connection not in self._connections:
            return
        now, request = time.monotonic(), head.request
        kept = self._kept.get(request)
        if kept is None or now - kept[0] >= _KEEP_SECONDS:
            kept = now, answer(request, self._board, self._survey, self._clock.now())
            if request.path in _KEPT:
                self._kept = {each: entry for each, entry in self._kept.items() if now - entry[0] < _KEEP_SECONDS}
                if len(self._kept) < _MOST_KEPT:
                    self._kept[request] = kept
        self._respond(connection, kept[1], is_head=head.is_head)

    def _respond(self, connection: _Connection, response: Response, *, is_head: bool = False) -> None:
        """Step 3."""
        connection.outgoing.append(memoryview(encode(response)))
        if not is_head and response.body:
            connection.outgoing.append(memoryview(response.body))
        now = time.monotonic()
        connection.deadline, connection.active_at = now + WRITE_SECONDS, now
        self._watch(connection.peer, EVENT_WRITE, connection)
        self._proceed(connection)

    def _write(self, connection: _Connection) -> None:
        while connection.outgoing:
            part = connection.outgoing[0]
            sent = connection.peer.send(part)
            connection.active_at = time.monotonic()
            if sent < len(part):
                connection.outgoing[0] = part[sent:]
            else:
                connection.outgoing.popleft()
        connection.peer.shutdown(socket.SHUT_WR)  # step 4
        connection.is_lingering = True
        connection.deadline = time.monotonic() + LINGER_SECONDS
        self._watch(connection.peer, EVENT_READ, connection)


def _describe(address: UnixSocket | TcpSocket, listener: socket.socket) -> str:
    """Return the address that is listened on, as `listen` takes it, with the port that the system chose."""
    if isinstance(address, UnixSocket):
        return f"unix:{address.path}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{listener.getsockname()[1]}"
