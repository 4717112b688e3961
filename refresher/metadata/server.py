"""The thread that answers for all endpoints: one event loop, listeners in many network namespaces.

A listener belongs to one endpoint, and so does everything that it accepts. Where listeners come from is decided in
`refresher.metadata.endpoints`; how much of the thread one target may take, in `refresher.metadata.endpoint`.
"""

import asyncio
import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from threading import Thread
from typing import Self

from refresher.errors import RefresherError, describe_bug
from refresher.metadata.connection import MOST_HEAD_BYTES, Connection
from refresher.metadata.endpoint import Endpoint

_SWEEP_SECONDS = 0.5
_FEW = 2
"""Connections that each target may have still when those of all targets are many."""
_RESERVE = 512
"""Descriptors that are left for the rest of the daemon."""
_SHORTAGE_SECONDS = 0.1


class MetadataServer:
    """Answers from `__enter__` to `__exit__`; its methods may be called on any thread.

    Args:
        report: Hears of a bug; no request is in it.
    """

    def __init__(self, report: Callable[[RefresherError], None]) -> None:
        self._report = report
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._report_bug)
        self._thread = Thread(target=self._run, name="metadata", daemon=True)
        self._served: dict[Endpoint, Sequence[socket.socket]] = {}
        self._buffer = bytearray(MOST_HEAD_BYTES)
        self._most = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _RESERVE, _RESERVE)
        self._open = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join()

    def serve(self, endpoint: Endpoint, listeners: Sequence[socket.socket]) -> None:
        """Answer for an endpoint what these listeners accept; they are the server's from now on."""
        self._do(partial(self._serve, endpoint, listeners))

    def mute(self, endpoint: Endpoint) -> None:
        """Close an endpoint's listeners; the connections that were accepted go on."""
        self._do(partial(self._mute, endpoint))

    def withdraw(self, endpoint: Endpoint) -> None:
        """Close an endpoint's listeners and connections; nothing of it is answered after the return."""
        self._do(partial(self._withdraw, endpoint))

    def _do(self, work: Callable[[], None]) -> None:
        async def run() -> None:
            work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        self._loop.run_forever()
        self._loop.run_until_complete(asyncio.sleep(0))  # what was closed ends in the loop's next turn
        self._loop.close()

    def _end(self) -> None:
        for endpoint in list(self._served):
            self._withdraw(endpoint)
        self._loop.call_soon(self._loop.stop)

    def _serve(self, endpoint: Endpoint, listeners: Sequence[socket.socket]) -> None:
        self._mute(endpoint)
        endpoint.attach(self._loop)
        self._served[endpoint] = listeners
        for listener in listeners:
            listener.settimeout(0)
            self._listen(endpoint, listener)

    def _mute(self, endpoint: Endpoint) -> None:
        listeners, self._served[endpoint] = self._served.get(endpoint, ()), ()
        for listener in listeners:
            self._loop.remove_reader(listener)
            listener.close()

    def _withdraw(self, endpoint: Endpoint) -> None:
        self._mute(endpoint)
        del self._served[endpoint]
        endpoint.close()

    def _listen(self, endpoint: Endpoint, listener: socket.socket) -> None:
        if endpoint in self._served and listener.fileno() >= 0:
            self._loop.add_reader(listener, self._accept, endpoint, listener, partial(self._listen, endpoint, listener))

    def _accept(self, endpoint: Endpoint, listener: socket.socket, resume: Callable[[], None]) -> None:
        """Accept one connection, or leave it in the kernel's queue while the target has its share."""
        if not endpoint.has_room(endpoint.limits.connections if self._open < self._most // 2 else _FEW):
            self._loop.remove_reader(listener)
            endpoint.wait_for_room(resume)
            return
        if not endpoint.take_turn(resume):
            self._loop.remove_reader(listener)
            return
        try:
            accepted, peer = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # no descriptors or no memory
            self._loop.remove_reader(listener)
            self._loop.call_later(_SHORTAGE_SECONDS, resume)
            return
        # the second line of defence: packets from outside can't even reach a listener that is bound to lo
        if not ip_address(peer[0]).is_loopback and peer[0] != accepted.getsockname()[0]:
            accepted.close()
            return
        accepted.settimeout(0)
        with suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(endpoint, self._buffer, self._loop.time)
        endpoint.admit(connection)
        self._open += 1
        self._loop.create_task(self._connect(endpoint, connection, accepted))

    async def _connect(self, endpoint: Endpoint, connection: Connection, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            accepted.close()
            endpoint.note_closed(connection)

    def _sweep(self) -> None:
        now = self._loop.time()
        for endpoint in self._served:
            endpoint.close_late(now)
        self._open = sum(len(endpoint.connections) for endpoint in self._served)
        self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _report_bug(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        bug = context.get("exception")
        if isinstance(bug, BaseException) and not isinstance(bug, OSError):
            self._report(describe_bug("the metadata endpoint", bug))
