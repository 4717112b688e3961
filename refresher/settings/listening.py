"""Where the daemon answers HTTP: a unix socket, a TCP address, or nowhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LISTEN_PATTERN = r"^(?:none|unix:/.+|(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})$"

_LONGEST_SOCKET = 107
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixSocket:
    """A socket in the file system, open to whom its directory and mode let in.

    Attributes:
        path: Absolute.
    """

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSocket:
    """A TCP address.

    Attributes:
        host: A name or address; an IPv6 address without brackets.
        port: 0 lets the system choose.
    """

    host: str
    port: int


Listen = UnixSocket | TcpSocket | None


def parse_listen(text: str) -> Listen:
    """Read `unix:/path`, `HOST:PORT`, `[v6]:PORT` or `none`.

    Raises:
        ValueError: It is none of them; the message says why and goes on from "is …,".
    """
    if text == "none":
        return None
    if not re.fullmatch(LISTEN_PATTERN, text) or "\0" in text:
        raise ValueError("not an address to listen on")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if len(path.encode()) > _LONGEST_SOCKET:
            raise ValueError(f"longer than the {_LONGEST_SOCKET} bytes of a socket's path")
        return UnixSocket(path=Path(path))
    host, _, port = text.rpartition(":")
    if int(port) > _LARGEST_PORT:
        raise ValueError("not a TCP port")
    return TcpSocket(host=host.strip("[]"), port=int(port))
