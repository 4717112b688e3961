"""Attacks a status socket until it is ended: `http_attacker.py KIND SOCKET`. It prints a line once the attack is on."""

import os
import random
import resource
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from functools import cache

CONNECTIONS = 10_000
REQUESTS = (b"/status.json", b"/metrics", b"/", b"/readyz")


def connect(path: str) -> socket.socket:
    """Connect, however long it takes."""
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    return peer


def drip(path: str) -> None:
    """Send requests a byte at a time over many connections, and connect again when one is closed."""
    peers: deque[socket.socket] = deque()
    while True:
        while len(peers) < 200:
            peers.append(connect(path))
            peers[-1].send(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        report()
        for _ in range(len(peers)):
            peer = peers.popleft()
            with suppress(OSError):
                peer.send(b"a")
                peers.append(peer)
        time.sleep(0.05)


def flood(path: str) -> None:
    """Open many connections and keep as many of them as a process may."""
    most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], CONNECTIONS + 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    peers: deque[socket.socket] = deque(maxlen=most - 100)
    while True:
        for _ in range(CONNECTIONS):
            peers.append(connect(path))
            report()


def ignore(path: str) -> None:
    """Ask for the largest answers over many connections, and never read."""
    peers: deque[socket.socket] = deque(maxlen=200)
    while True:
        peers.append(connect(path))
        with suppress(OSError):
            peers[-1].send(b"GET %s?%d HTTP/1.1\r\n\r\n" % (random.choice(REQUESTS), random.randrange(5)))  # noqa: S311 - not for secrets
        report()
        time.sleep(0.002)


def oversize(path: str) -> None:
    """Send heads without an end, in lines and in one."""
    while True:
        for line in (b"X-Long: " + b"a" * 65536, b"X: y\r\n" * 10_000):
            with connect(path) as peer, suppress(OSError):
                peer.sendall(b"GET / HTTP/1.1\r\n")
                for _ in range(64):
                    peer.sendall(line)
        report()


def garble(path: str) -> None:
    """Send what is not a request, whole and cut off."""
    parts = (b"GET ", b"/readyz", b"/", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"Host: x", b"\0", b"\xff", b"?q=%00", b"%")
    while True:
        for _ in range(50):
            with connect(path) as peer, suppress(OSError):
                peer.send(b"".join(random.choices((*parts, os.urandom(20)), k=random.randrange(8))))  # noqa: S311 - not for secrets
                if random.random() < 0.5:  # noqa: S311 - not for secrets
                    peer.shutdown(socket.SHUT_WR)
        report()


@cache
def report() -> None:
    """Print that the attack is on, once."""
    sys.stdout.write("on\n")
    sys.stdout.flush()


ATTACKS = {"slow": drip, "flood": flood, "deaf": ignore, "oversized": oversize, "malformed": garble}

if __name__ == "__main__":
    ATTACKS[sys.argv[1]](sys.argv[2])
