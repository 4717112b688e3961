"""The HTTP server of `listen`: one thread that serves many connections and is held up by none.

It speaks as much of HTTP/1.1 (RFC 9112) as probes, scrapers and browsers need: GET and HEAD, one request a connection.
The standard library's server has a thread for each connection and a time limit for each read, so that a few slow peers
keep all others out. Here (1) the head of a request arrives, at most 8 KiB within 5 s, (2) what asks about files waits
for the survey to look at them, and for nothing else, (3) the response is written within 20 s, from bytes that all
connections share, (4) what the peer still sends is dropped for a moment, so that it reads the response before the end.
"""

import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from threading import Event, Thread
from typing import Self

from refresher.clock import Clock
from refresher.errors import RefresherError, describe_bug
from refresher.observe.answers import answer, list_wanted
from refresher.observe.board import Board
from refresher.observe.connections import MOST_CONNECTIONS, Connection, Crowd
from refresher.observe.messages import Head, Request, Response, parse_head
from refresher.observe.sockets import ListenError, open_listener, read_place
from refresher.observe.survey import Survey
from refresher.settings.values import Listen, TcpSocket, UnixSocket

_KEEP_SECONDS = 1.0
"""How long a response that is costly to write serves all who ask for the same."""
_KEPT = frozenset(["/", "/metrics", "/status.json", "/readyz"])
_MOST_KEPT = 8
_PAUSE = 1.0
_RETRY_SECONDS = 5.0
_SHORTAGE_SECONDS = 0.02
_LOOK_SECONDS = 0.1
"""How long one probe may keep the survey looking at files."""
_FREE_SECONDS, _LONGEST_REST = 0.0005, 0.01
"""Work in a turn that is not followed by a rest of the same length, and the longest rest."""
_LOST_REMEDY = "find out what removed it, a cleanup or another daemon; the daemon listens there again by itself"
_TOO_LARGE = Response(431, b"the head of the request is too large\n")
_FAILED = Response(500, b"this answer failed: read daemon.fault in the daemon's log\n")
_TOO_LATE = Response(503, b"not ready\nthe files could not be looked at in time\n  remedy: read the daemon's log\n")


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
        self._crowd = Crowd()
        self._kept: dict[Request, tuple[float, Response]] = {}
        self._waiting: dict[Request, list[tuple[Connection, Head]]] = {}
        self._looked: deque[Request] = deque()
        self._costly: deque[Request] = deque()
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

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._wake()
        self._thread.join(_PAUSE)

    def _wake(self) -> None:
        with suppress(OSError):  # a full pipe wakes just as well
            self._waker.send(b"\0")

    def _run(self) -> None:
        with self._selector, self._waker, self._wakened:
            self._listen()

    def _listen(self) -> None:
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
                self._report_fault(error)
                self._stopping.wait(_RETRY_SECONDS)
            except Exception as bug:  # noqa: BLE001 - observers must not end: a bug is reported
                self._report_fault(describe_bug("the HTTP server", bug))
                self._stopping.wait(_RETRY_SECONDS)

    def _report_fault(self, error: RefresherError) -> None:
        if self._fault != error.problem:
            self._fault = error.problem
            self._report(error)

    def _serve(self, listener: socket.socket, address: tuple[UnixSocket | TcpSocket, str | None]) -> None:
        """Serve until the end, or another address is wanted; a socket that no one can reach any more is an error."""
        place = read_place(address[0])
        self._watch(listener, EVENT_READ)
        try:
            while not self._stopping.is_set():
                until = time.monotonic() + _PAUSE
                while not self._stopping.is_set() and time.monotonic() < until:
                    self._turn(listener)
                self._forget_late()
                if self._find_address() != address:
                    return
                if read_place(address[0]) != place:
                    shown = _describe(address[0], listener)
                    raise ListenError(f"listen: {shown} was removed or replaced: nothing can be asked", _LOST_REMEDY)
        finally:
            self._watch(listener, 0)
            for connection in self._crowd:
                self._end(connection)

    def _turn(self, listener: socket.socket) -> None:
        """Wait for what happens next, at most a second, and do one step of each connection that it concerns."""
        ready = [key for key, _ in self._selector.select(0.0 if self._costly or self._looked else _PAUSE)]
        began = time.thread_time()
        for key in ready:
            if key.fileobj is self._wakened:
                with suppress(OSError):
                    self._wakened.recv(MOST_CONNECTIONS)
            elif key.data in self._crowd:
                self._proceed(key.data)
        if any(key.fileobj is listener for key in ready):
            self._accept(listener)
        while self._looked:
            self._finish(self._looked.popleft())
        if self._costly:  # one at a time, so that probes never wait for a long row of pages
            self._finish(self._costly.popleft())
        now = time.monotonic()
        for connection in self._crowd:
            if connection.deadline < now:
                self._give_up(connection)
        if (spent := time.thread_time() - began) > _FREE_SECONDS:
            self._stopping.wait(
                min(spent, _LONGEST_REST)
            )  # each call of other threads to the system waits for a busy one (the GIL)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(MOST_CONNECTIONS):  # then those that were accepted have their turn
            try:
                peer, address = listener.accept()
            except BlockingIOError:
                return
            except OSError:  # no descriptor is left, or the peer is gone already
                self._stopping.wait(_SHORTAGE_SECONDS)
                return
            peer.settimeout(0)
            connection = Connection(peer, address)
            excess = self._crowd.add(connection)
            self._watch(peer, EVENT_READ, connection)
            if excess is not None:
                self._end(excess)
            if connection in self._crowd:
                self._proceed(connection)

    def _watch(self, peer: socket.socket, events: int, connection: Connection | None = None) -> None:
        """Wait for these events of a socket from now on; 0 for none."""
        is_watched = peer.fileno() in self._selector.get_map()
        if is_watched and events:
            self._selector.modify(peer, events, connection)
        elif is_watched:
            self._selector.unregister(peer)
        elif events:
            self._selector.register(peer, events, connection)

    def _end(self, connection: Connection) -> None:
        self._crowd.remove(connection)
        self._watch(connection.peer, 0)
        connection.peer.close()

    def _give_up(self, connection: Connection) -> None:
        if connection.is_waiting:
            self._respond(connection, _TOO_LATE)
        else:
            self._end(connection)

    def _proceed(self, connection: Connection) -> None:
        """Do the step of a connection that its socket is ready for."""
        try:
            if connection.is_writing:
                connection.write()  # 3
                self._watch(connection.peer, EVENT_READ, connection)
            elif connection.is_lingering:
                if connection.drain():  # 4
                    self._end(connection)
            elif (head := connection.read_head()) is not None:  # 1
                self._watch(connection.peer, 0)
                self._take(connection, parse_head(head, self._own_host))
        except ValueError:
            self._respond(connection, _TOO_LARGE)
        except BlockingIOError:
            pass
        except OSError:
            self._end(connection)

    def _take(self, connection: Connection, head: Head | Response) -> None:
        """Answer a request at once, or queue it; all who ask for the same wait for one answer."""
        if isinstance(head, Response):
            self._respond(connection, head)
            return
        request = head.request
        written_at, response = self._kept.get(request, (-_KEEP_SECONDS, None))
        if response is not None and time.monotonic() - written_at < _KEEP_SECONDS:
            self._respond(connection, response, is_head=head.is_head)
            return
        is_asked = request in self._waiting
        waiting = [each for each in self._waiting.get(request, ()) if each[0] in self._crowd]
        self._waiting[request] = [*waiting, (connection, head)]
        if is_asked:
            return
        if names := list_wanted(request, self._board):  # 2
            if not self._survey.ask(names, _LOOK_SECONDS, lambda: self._note_looked(request)):
                del self._waiting[request]
                self._respond(connection, _TOO_LATE)
        elif request.path in _KEPT:
            self._costly.append(request)
        else:
            self._finish(request)

    def _note_looked(self, request: Request) -> None:
        """Queue what was waiting for a look at files; called on the other thread."""
        self._looked.append(request)
        self._wake()

    def _finish(self, request: Request) -> None:
        """Answer all who wait for the answer to a request."""
        waiting = [each for each in self._waiting.pop(request, ()) if each[0] in self._crowd and each[0].is_waiting]
        if not waiting:
            return
        try:
            response = answer(request, self._board, self._survey, self._clock.now())
        except Exception as bug:  # noqa: BLE001 - around one answer: the others must go on
            response = _FAILED
            self._report_fault(describe_bug("an answer over HTTP", bug))
        if request.path in _KEPT and self._survey.as_of is not None:  # else the next one is more complete
            self._forget_late()
            if len(self._kept) < _MOST_KEPT:
                self._kept[request] = time.monotonic(), response
        for connection, head in waiting:
            self._respond(connection, response, is_head=head.is_head)

    def _forget_late(self) -> None:
        """Drop the responses that serve no one any more, since those of a large fleet are megabytes."""
        now = time.monotonic()
        self._kept = {each: entry for each, entry in self._kept.items() if now - entry[0] < _KEEP_SECONDS}

    def _respond(self, connection: Connection, response: Response, *, is_head: bool = False) -> None:
        connection.respond(response, is_head=is_head)
        self._watch(connection.peer, EVENT_WRITE, connection)
        self._proceed(connection)


def _describe(address: UnixSocket | TcpSocket, listener: socket.socket) -> str:
    """Return the address that is listened on, as `listen` takes it, with the port that the system chose."""
    if isinstance(address, UnixSocket):
        return f"unix:{address.path}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{listener.getsockname()[1]}"
