"""A client of the daemon's status socket, for tests."""

import errno
import json
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

_PATIENCE = 20.0


class Answer(NamedTuple):
    """What the daemon answered, and the seconds that it took."""

    status: int
    body: str
    seconds: float

    def read_json(self) -> Any:  # noqa: ANN401 - any document
        """Return the body as JSON."""
        return json.loads(self.body)


def ask(path: Path, target: str) -> Answer:
    """Ask the daemon on a unix socket.

    A socket with a time limit does not wait for a place in the queue of a unix socket (connect(2), EAGAIN).
    """
    began, parts = time.monotonic(), []
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(_PATIENCE)
        while peer.connect_ex(str(path)) == errno.EAGAIN:
            assert time.monotonic() < began + _PATIENCE
        peer.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        while part := peer.recv(65536):
            parts.append(part)
    head, _, body = b"".join(parts).decode().partition("\r\n\r\n")
    return Answer(int(head[9:12]), body, time.monotonic() - began)
