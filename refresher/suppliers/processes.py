"""The programs that suppliers run: each in a process group of its own, all of them ended with this program.

What holds a program to its bounds is a thread, and threads end with the interpreter; so nothing may run on then.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _UnderWay:
    def __init__(self) -> None:
        self._lock = Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._is_over = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._processes.add(process)
            is_late = self._is_over
        if is_late:
            kill(process)

    def discard(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._processes.discard(process)

    def end(self) -> None:
        with self._lock:
            self._is_over = True
            for process in self._processes:
                with suppress(PermissionError):
                    _signal(process)


_UNDER_WAY = _UnderWay()
atexit.register(_UNDER_WAY.end)


def start(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program without a shell, a terminal or any variables but those given; its output is a pipe.

    Whoever starts it must `kill` it before it is waited for, also if it has ended by itself.

    Raises:
        OSError: It cannot be executed.
        ValueError: An argument holds a null byte.
    """
    process = subprocess.Popen(  # noqa: S603 - argv of a trusted configuration, no shell
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
        start_new_session=True,
    )
    _UNDER_WAY.add(process)
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that nobody has waited for, and its process group as far as we may.

    Raises:
        PermissionError: It has become another user.
    """
    # once it is waited for, its number may be another's
    _UNDER_WAY.discard(process)
    _signal(process)


def _signal(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    os.kill(process.pid, signal.SIGKILL)
