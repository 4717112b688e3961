"""A small load client: it sends the same prepared requests over keep-alive connections for a while, and counts.

Run it as a program: `load.py PORT CONNECTIONS SECONDS FILE`. FILE contains the requests as JSON strings, one a line.
Each connection sends them in turn, each starting with another one. It prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop


class Connection(asyncio.Protocol):
    """Sends the next request when the previous answer is complete."""

    def __init__(self, requests: list[bytes], begin: int, end: float, counts: dict[int, int]) -> None:
        self._requests = requests
        self._next = begin
        self._end = end
        self._counts = counts
        self._buffer = b""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvloop's transports are not asyncio's
        """Send the first request."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count an answer once its body is complete."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        status = int(head[9:12])
        self._counts[status] = self._counts.get(status, 0) + 1
        self._buffer = b""
        if time.monotonic() < self._end:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of this connection."""
        if not self.over.done():
            self.over.set_result(None)

    def _send(self) -> None:
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1


async def load(port: int, connections: int, seconds: float, requests: list[bytes]) -> dict[str, float]:
    """Send requests for this time; return the answers per second, and their number by status."""
    loop = asyncio.get_running_loop()
    counts: dict[int, int] = {}
    begin = time.monotonic()
    numbers = iter(range(connections))

    def connect() -> Connection:
        return Connection(requests, next(numbers) * 7, begin + seconds, counts)

    made = [await loop.create_connection(connect, "127.0.0.1", port) for _ in range(connections)]
    await asyncio.gather(*(connection.over for _, connection in made))
    took = time.monotonic() - begin
    return {"per_second": sum(counts.values()) / took, **{str(status): count for status, count in counts.items()}}


def main() -> None:
    """Load a server and print the results."""
    port, connections, seconds, file = sys.argv[1:]
    requests = [json.loads(line).encode() for line in Path(file).read_text(encoding="utf-8").splitlines()]
    result = uvloop.run(load(int(port), int(connections), float(seconds), requests))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
