"""What the daemon alone knows, asked over its unix socket: for `status`, which reads files only.

That is what Google answered, and what the daemon fails to refresh while the files still serve. The answer is bounded in
size and time, and whatever is not an answer counts as none: the daemon may be stopped, of an earlier version, or closed
to this user. Only a unix socket is asked, since anyone could listen on a port.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

_REQUEST = b"GET /status.json?targets=no HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_SECONDS = 1.0
_LARGEST = 16 * 1024 * 1024


class DaemonView(NamedTuple):
    """Entries of `/status.json`: of `exchanges` by identity, of `failing`, and of `endpoints` by target.

    Earlier versions have neither of the last two.
    """

    exchanges: Mapping[str, dict[str, Any]]
    failing: Sequence[dict[str, Any]] = ()
    endpoints: Mapping[str, dict[str, Any]] = MappingProxyType({})


def fetch_view(path: Path, process: int | None = None) -> DaemonView | None:
    """Return what the daemon that listens at a path knows; None if it does not answer.

    With `process` known, any other one that listens there is another root's daemon, and is not asked.
    """
    try:
        if not path.is_socket():
            return None
        found = json.loads(_ask(path, process).partition(b"\r\n\r\n")[2])
        exchanges = {entry["identity"]: entry for entry in found["exchanges"] if isinstance(entry["state"], str)}
        texts = ("target", "problem", "remedy")
        failing = [each for each in found.get("failing", ()) if all(isinstance(each[name], str) for name in texts)]
        endpoints = {entry["target"]: entry for entry in found.get("endpoints", ()) if isinstance(entry["state"], str)}
        return DaemonView(exchanges, failing, endpoints)
    except (OSError, ValueError, TypeError, LookupError, RecursionError, AttributeError):
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
