"""The processes of the measurement of requests: `endpoints N`, `bare N`, and `load PORT,PORT…`.

The first two serve the same response at N ports, which they print, until they are killed. The third sends requests on
32 kept connections and then each on a connection of its own; it prints requests per second, the median latency in
seconds, and how many requests it sent. It works on sockets, so that it costs less than what it measures.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from refresher.clock import SystemClock
from refresher.metadata.answers import answer_access_token
from refresher.metadata.connection import encode
from refresher.metadata.endpoint import Endpoint
from refresher.metadata.namespaces import LOOPBACK, open_listener
from refresher.metadata.plan import Facts, Obtained
from refresher.metadata.server import MetadataServer
from refresher.tokens import AccessToken

_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
_REQUEST = f"GET {_PATH} HTTP/1.1\r\nHost: {LOOPBACK}\r\nMetadata-Flavor: Google\r\n\r\n".encode()
_CONNECTIONS = 32
_SECONDS = 1.5
_NEW = 500


def _token() -> AccessToken:
    return AccessToken(value="ya29." + "x" * 1000, expires_at=SystemClock().now() + timedelta(hours=1))


def order(audience: str, done: Callable[[Obtained], None]) -> None:
    """Refuse ID tokens, which are not asked for here."""
    done(f"no ID token for {audience}")


def serve_endpoints(count: int) -> None:
    """Serve as the daemon does."""
    clock = SystemClock()
    with MetadataServer(lambda error: sys.exit(str(error))) as server:
        ports = []
        for number in range(count):
            facts = Facts(name=f"t{number}", email=f"t{number}@p.iam.gserviceaccount.com", scopes=("a",))
            endpoint = Endpoint(facts, clock=clock, order=order)
            endpoint.serve_token(_token())
            listener = open_listener((LOOPBACK, 0))
            ports.append(listener.getsockname()[1])
            server.serve(endpoint, [listener])
        _print(ports)
        time.sleep(3600)


class _Bare(asyncio.Protocol):
    def __init__(self, response: bytes) -> None:
        self._response = response

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._response * data.count(b"\r\n\r\n"))


async def serve_bare(count: int) -> None:
    """Serve the same bytes, whatever is asked."""
    response = answer_access_token(_token(), SystemClock().now())
    assert response is not None
    content = encode(response, is_head=False, is_last=False)
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: _Bare(content), LOOPBACK, 0) for _ in range(count)]
    _print([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.sleep(3600)


def _print(ports: list[int]) -> None:
    sys.stdout.write(",".join(map(str, ports)) + "\n")
    sys.stdout.flush()


def load(ports: list[int]) -> None:
    """Send requests and print the figures."""
    connections = [socket.create_connection((LOOPBACK, port)) for port in ports[:_CONNECTIONS]]
    poller = select.epoll()
    waiting = {each.fileno(): each for each in connections}
    for each in connections:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poller.register(each, select.EPOLLIN)
        each.sendall(_REQUEST)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < _SECONDS:
        for descriptor, _ in poller.poll():
            assert waiting[descriptor].recv(65536).startswith(b"HTTP/1.1 200")
            count += 1
            waiting[descriptor].send(_REQUEST)
    rate = count / (time.perf_counter() - began)
    latencies = []
    for number in range(_NEW):
        began = time.perf_counter()
        with socket.create_connection((LOOPBACK, ports[number % len(ports)])) as connection:
            connection.sendall(_REQUEST)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            latencies.append(time.perf_counter() - began)
    sys.stdout.write(f"{rate} {median(latencies)} {count + _NEW}\n")


if __name__ == "__main__":
    kind, what = sys.argv[1:]
    if kind == "load":
        load([int(port) for port in what.split(",")])
    elif kind == "bare":
        asyncio.run(serve_bare(int(what)))
    else:
        serve_endpoints(int(what))
