"""uvicorn's HTTP protocol with two things more: Google-style errors for what is no HTTP, and a limit of time.

The application also gets at the connection itself, which some faults close in the middle of an answer.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from refresher.emulator.errors import api_refusal

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport


class Protocol(HttpToolsProtocol):
    """One connection."""

    _timer: TimerHandle | None = None

    def __init__(self, *arguments: Any, patience: float, **more: Any) -> None:  # noqa: ANN401 - handed on to uvicorn
        super().__init__(*arguments, **more)
        self._patience = patience

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn names asyncio's own class
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Wait for the rest of a head, and let the application get at the connection."""
        self._wait()
        super().on_message_begin()
        self.scope["extensions"] = {"emulator.transport": self.transport}  # type: ignore[dict-item]  # no part of ASGI

    def on_headers_complete(self) -> None:
        """Stop waiting for the head."""
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in the shape of google.rpc.Status."""
        del msg
        self._refuse("I6")

    def _refuse(self, entry: str) -> None:
        self._stop_waiting()
        refusal = api_refusal(entry)
        content = json.dumps(refusal.document).encode()
        head = f"HTTP/1.1 {refusal.status} Refused\r\ncontent-type: application/json; charset=UTF-8\r\n"
        self.transport.write(f"{head}content-length: {len(content)}\r\nconnection: close\r\n\r\n".encode() + content)
        self.transport.close()

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._refuse, "timeout")

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
