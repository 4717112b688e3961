"""One connection to a metadata endpoint: bounded requests in, one response after the other out.

HTTP/1.1 with keep-alive and HTTP/1.0 (RFC 9112), parsed by httptools; the record of decisions has the measurement. What
is answered is in `refresher.metadata.answers`, and how many connections a target has in `refresher.metadata.endpoint`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Protocol

import httptools

from refresher.metadata.answers import Request, Response, refuse

MOST_HEAD_BYTES = 8192
_MOST_HEADERS = 64
_MOST_WAITING_BYTES = 16384
"""Of responses that the peer does not read."""

_FIXED = (
    b"Metadata-Flavor: Google\r\nServer: Metadata Server for VM\r\nCache-Control: no-store\r\n"
    b"X-Content-Type-Options: nosniff\r\nX-XSS-Protection: 0\r\nX-Frame-Options: SAMEORIGIN\r\n"
)
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_UNREADABLE = refuse(400, "this is not a request of HTTP/1.1", is_last=True)
_TOO_LARGE = refuse(431, "the head of the request is too large", is_last=True)
_WITH_BODY = refuse(413, "a request with a body is refused", is_last=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of the server one target may take; times are in seconds.

    Attributes:
        connections: At a time; further ones wait in the kernel.
        turns: Requests and new connections in each period; further ones wait for the next.
        period: The length of a period.
        patience: How long a request is held while its token is being minted.
        head: Within which the head of a request has to arrive, and a response has to be taken.
        idle: How long a connection is kept on which everything has been answered.
    """

    connections: int = 32
    turns: int = 100
    period: float = 0.05
    patience: float = 2.0
    head: float = 5.0
    idle: float = 60.0


class Answering(Protocol):
    """What a connection belongs to; the faces of `refresher.metadata.endpoint.Endpoint` that it needs."""

    limits: Limits

    def respond(self, request: Request) -> "Response | asyncio.Task[Response]":
        """Return the response to a request, or what becomes one."""
        ...

    def take_turn(self, resume: Callable[[], None]) -> bool:
        """Return whether another request may be answered now; else `resume` is called later."""
        ...

    def note_answered(self, status: int) -> None:
        """Count a response."""
        ...

    def note_closed(self, connection: "Connection") -> None:
        """Note that a connection has ended."""
        ...


def encode(response: Response, *, is_head: bool, is_last: bool) -> bytes:
    """Return the bytes of a response, in one piece: two would wait for each other's acknowledgement."""
    head = (
        f"HTTP/1.1 {response.status} {_REASONS[response.status]}\r\nContent-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\nConnection: {'close' if is_last else 'keep-alive'}\r\n"
    )
    return head.encode() + _FIXED + b"\r\n" + (b"" if is_head else response.body)


class Connection(asyncio.BufferedProtocol):
    """One accepted connection of one endpoint; all its methods run on the loop's thread.

    Args:
        endpoint: Whose connection it is, decided by the listener that accepted it.
        buffer: What is received into; it is read at once, so that all connections of a loop share it.
        now: Returns the loop's time in seconds.
    """

    def __init__(self, endpoint: Answering, buffer: bytearray, now: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._buffer = buffer
        self._now = now
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._requests: deque[tuple[Request, bool]] = deque()
        self._refusal: Response | None = None
        self._task: asyncio.Task[Response] | None = None
        self._is_blocked = False
        self._is_reading_head = False
        self._is_closing = False
        self._has_answered = False
        self._head_bytes = self._unparsed_bytes = 0
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self.deadline = now() + endpoint.limits.head
        """When it is closed, in the loop's time, unless something happens before."""

    @property
    def is_idle(self) -> bool:
        """Whether it may be closed in favour of another: everything that was asked has been answered."""
        return self._has_answered and not (self._requests or self._task or self._is_reading_head)

    def close(self) -> None:
        """End it now; nothing more is sent."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - the loop makes no other for a TCP socket
        self._transport = transport
        transport.set_write_buffer_limits(_MOST_WAITING_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        """Forget what was asked."""
        self._requests.clear()
        if self._task is not None:
            self._task.cancel()
        self._endpoint.note_closed(self)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - of the protocol
        """Return what to receive into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what came, and answer what is complete."""
        if self._refusal is not None or self._is_closing:
            return
        try:
            self._parser.feed_data(memoryview(self._buffer)[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):  # also for what a method below raises
            self._refusal = self._refusal or _UNREADABLE  # type: ignore[redundant-expr]  # a callback may have set it
        if self._is_reading_head:
            self._unparsed_bytes += nbytes  # the parser keeps a header until it has ended
            if self._unparsed_bytes > MOST_HEAD_BYTES:
                self._refusal = self._refusal or _TOO_LARGE
        self._answer_next()

    def eof_received(self) -> bool:
        """Answer what was asked before the peer closed its side, and end then."""
        self._is_closing = True
        return bool(self._requests or self._task)

    def pause_writing(self) -> None:
        """Answer nothing more until the peer reads."""
        self._is_blocked = True
        self.deadline = self._now() + self._endpoint.limits.head

    def resume_writing(self) -> None:
        """Go on, since the peer reads."""
        self._is_blocked = False
        self._answer_next()

    def on_message_begin(self) -> None:
        """Begin to read the head of a request, which has to arrive in time."""
        self._is_reading_head, self._head_bytes, self._unparsed_bytes = True, 0, 0
        self.deadline = self._now() + self._endpoint.limits.head

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        self._count(len(url))
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(len(name) + len(value))
        lower = name.lower()
        if lower == b"transfer-encoding" or (lower == b"content-length" and value.strip() != b"0"):
            self._refuse(_WITH_BODY)
        self._headers.append((lower.decode("latin-1"), value.decode("latin-1")))

    def on_message_complete(self) -> None:
        """Queue a request; what follows it is the head of another."""
        request = Request(self._parser.get_method().decode(), self._target.decode("latin-1"), self._headers)
        is_last = not self._parser.should_keep_alive() or self._parser.should_upgrade()
        self._requests.append((request, is_last))
        self._target, self._headers = b"", []
        self._is_reading_head = False
        self.deadline = self._now() + self._endpoint.limits.idle

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES or len(self._headers) >= _MOST_HEADERS:
            self._refuse(_TOO_LARGE)

    def _refuse(self, response: Response) -> None:
        self._refusal = response
        raise ValueError(response.status)  # httptools stops parsing

    def _answer_next(self) -> None:
        """Answer the queued requests in their order, as far as that is possible now."""
        transport = self._transport
        while transport is not None and not (self._task or self._is_blocked or transport.is_closing()):
            if not self._requests:
                if self._refusal is not None:
                    self._finish(self._refusal, is_head=False, is_last=True)
                elif self._is_closing:
                    transport.close()
                break
            if not self._endpoint.take_turn(self._answer_next):
                break
            request, is_last = self._requests.popleft()
            found = self._endpoint.respond(request)
            is_head = request.method == "HEAD"
            if isinstance(found, Response):
                self._finish(found, is_head=is_head, is_last=is_last or found.is_last)
            else:
                self._task = found
                found.add_done_callback(partial(self._take_result, is_head=is_head, is_last=is_last))
        if transport is not None and not transport.is_closing():
            if self._requests or self._task or self._refusal:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def _take_result(self, task: "asyncio.Task[Response]", *, is_head: bool, is_last: bool) -> None:
        self._task = None
        if task.cancelled() or self._transport is None or self._transport.is_closing():
            return
        self._finish(task.result(), is_head=is_head, is_last=is_last)
        self._answer_next()

    def _finish(self, response: Response, *, is_head: bool, is_last: bool) -> None:
        assert self._transport is not None  # noqa: S101 - it was there when the request came
        self._has_answered = True
        self._endpoint.note_answered(response.status)
        self._transport.write(encode(response, is_head=is_head, is_last=is_last))
        if not self._is_reading_head:
            self.deadline = self._now() + self._endpoint.limits.idle
        if is_last:
            self._requests.clear()
            self._is_closing = True
            self._transport.close()
