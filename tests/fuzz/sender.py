"""Sends malformed requests to an emulator over many connections, and checks every answer."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from cryptography.hazmat.primitives.asymmetric import ec

from tests.fuzz.malformed import Malformed, requests
from tests.fuzz.target import prepare, save_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from refresher.emulator.testing import Scenario

CONNECTIONS = 8
RESTORED_EVERY = 100
PATIENCE = 60.0
"""After how many seconds a request without an answer counts as hung; the emulator's own limit is lower."""


@dataclass(slots=True)
class Result:
    """The answers to all requests.

    Attributes:
        statuses: How many answers of each status there were; 0 for a connection that was closed without one.
        wrong: Answers that do not have Google's shape, with the request.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """How many requests were refused with an error."""
        return sum(count for status, count in self.statuses.items() if status >= 400)


class UnansweredError(Exception):
    """The connection was closed without an answer."""


def send_malformed(google: Scenario, *, refusals: int, seed: int) -> Result:
    """Send malformed requests until enough of them are refused.

    Args:
        google: The emulator.
        refusals: How many refusals are enough.
        seed: The same seed creates the same requests.
    """
    result = Result()
    key = ec.generate_private_key(ec.SECP256R1())
    tokens = prepare(google, key)
    supply = _with_restores(requests(random.Random(seed), tokens, key), save_state(google))  # noqa: S311 - nothing secret
    asyncio.run(_all(google.http, supply, result, refusals))
    return result


def _with_restores(supply: Iterator[Malformed], restore: Callable[[], None]) -> Iterator[Malformed]:
    for number, request in enumerate(supply):
        if number % RESTORED_EVERY == 0:
            restore()
        yield request


async def _all(origin: str, supply: Iterator[Malformed], result: Result, refusals: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(_connection(origin, supply, result, refusals))


async def _connection(origin: str, supply: Iterator[Malformed], result: Result, refusals: int) -> None:
    place = urlsplit(origin)
    streams = None
    while result.refused < refusals and len(result.wrong) < 20:
        request = next(supply)
        streams = streams or await asyncio.open_connection(place.hostname, place.port, limit=1 << 22)
        reader, writer = streams
        try:
            async with asyncio.timeout(PATIENCE):
                status, body, is_kept = await _ask(reader, writer, request)
        except TimeoutError:
            result.wrong.append(f"no answer to {request.content[:300]!r}")
            return
        except (UnansweredError, ConnectionError, asyncio.IncompleteReadError):
            status, body, is_kept = 0, b"", False
            if request.is_whole:
                result.wrong.append(f"closed without an answer to {request.content[:300]!r}")
        result.statuses[status] += 1
        problem = find_problem(status, body, is_head=request.is_head)
        if problem:
            result.wrong.append(f"{problem}: {body[:300]!r} to {request.content[:600]!r}")
        if not (is_kept and request.reuses):
            writer.close()
            streams = None
    if streams is not None:
        streams[1].close()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Malformed
) -> tuple[int, bytes, bool]:
    writer.write(request.content)
    await writer.drain()
    if not request.is_whole:
        writer.write_eof()
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    has_body = not request.is_head and status_line.split(" ")[1] not in ("204", "304")
    body = await reader.readexactly(int(headers.get("content-length", "0"))) if has_body else b""
    return int(status_line.split(" ")[1]), body, headers.get("connection", "") != "close"


def find_problem(status: int, body: bytes, *, is_head: bool) -> str:
    """Return what is wrong with an answer; an empty text if it is an error in Google's shape, or not an error."""
    if status == 0 or status < 400 or is_head or status == 499:
        return ""
    if status >= 500 and not any(text in body for text in (b"There were bytes missing", b"HTTP Version")):
        return f"status {status}"
    if body.startswith(b"<?xml"):
        return "" if ET.fromstring(body.decode()).tag == "Error" else "not an error"  # noqa: S314 - the emulator's own
    if (status, body) == (404, b"Not Found"):  # the answer of Cloud Storage to a path that it does not know
        return ""
    try:
        document = json.loads(body)
    except ValueError:
        return "not JSON"
    return "" if isinstance(document, dict) and "error" in document else "not an error"
