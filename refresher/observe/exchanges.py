"""What the daemon knows of Google's side, asked over its unix socket: for `status`, which reads files only.

The answer is bounded in size and time, and whatever is not an answer counts as none: the daemon may be stopped, of an
earlier version, or closed to this user. Only a unix socket is asked, since anyone could listen on a port.
"""

import json
import time
from pathlib import Path
from typing import Any

_REQUEST = b"GET /status.json?targets=no HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_SECONDS = 1.0
_LARGEST = 16 * 1024 * 1024


def fetch_exchanges(path: Path, process: int | None = None) -> dict[str, dict[str, Any]] | None:
    """Return the entries of `exchanges` in `/status.json` by identity; None if the daemon does not answer at this path.

    With `process` known, any other one that listens there is another root's daemon, and is not asked.
    """
    try:
        if not path.is_socket():
            return None
        found = json.loads(_ask(path, process).partition(b"\r\n\r\n")[2])["exchanges"]
        return {entry["identity"]: entry for entry in found if isinstance(entry["state"], str)}
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def _ask(path: Path, process: int | None) -> bytes:
    # most calls of `status` find no daemon that answers
    import socket  # noqa: PLC0415

    from refresher.observe.sockets import read_peer  # noqa: PLC0415

    answer, deadline = bytearray(), time.monotonic() + _SECONDS
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_SECONDS)
        client.connect(str(path))
        if process is not None and read_peer(client)[0] not in (0, process):
            raise ConnectionRefusedError
        client.sendall(_REQUEST)
        while (left := deadline - time.monotonic()) > 0 and len(answer) < _LARGEST:
            client.settimeout(left)
            if not (received := client.recv(1 << 16)):
                return bytes(answer)
            answer += received
    raise TimeoutError
