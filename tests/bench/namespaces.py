"""Many network namespaces below a directory, created without a process for each, and a helper that may enter them."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET, _MS_BIND, _MNT_DETACH = 0x40000000, 4096, 2
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True)
class Namespaces:
    """A directory of namespaces and the helper's socket.

    Attributes:
        root: The directory.
        socket: Where the helper answers.
        helper: Its process id.
    """

    root: Path
    socket: Path
    helper: int

    def make(self, name: str) -> Path:
        """Return the path of a new namespace."""
        path = self.root / name
        path.touch()

        def mount() -> None:
            _check(_libc.unshare(_CLONE_NEWNET))
            _check(_libc.mount(b"/proc/thread-self/ns/net", os.fsencode(path), None, _MS_BIND, None))

        thread = Thread(target=mount)
        thread.start()
        thread.join()
        return path

    def remove(self, name: str) -> None:
        """Remove a namespace."""
        path = self.root / name
        _libc.umount2(os.fsencode(path), _MNT_DETACH)
        path.unlink()

    def count(self) -> int:
        """Return how many there are."""
        return len(os.listdir(self.root))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def enter(namespace: int) -> None:
    """Move the thread into a namespace."""
    _check(_libc.setns(namespace, _CLONE_NEWNET))


@contextmanager
def open_namespaces(place: Path) -> Iterator[Namespaces]:
    """Run a helper for the length of a `with` block; all namespaces are removed at its end."""
    root, roots, socket = place / "netns", place / "roots", place / "netns.sock"
    root.mkdir(mode=0o755)
    roots.write_text(f"{root}\n")
    roots.chmod(0o644)
    options = ["--user", str(os.getuid()), "--roots", str(roots), "--socket", str(socket)]
    command = [sys.executable, "-m", "refresher.metadata.helper", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.readline()
        found = Namespaces(root=root, socket=socket, helper=process.pid)
        try:
            yield found
        finally:
            process.kill()
            for path in root.iterdir():
                found.remove(path.name)


def read_memory(process: int) -> float:
    """Return the resident memory of a process, in MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (line,) = [each for each in lines if each.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024
