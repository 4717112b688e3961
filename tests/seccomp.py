"""Make a system call fail in a child process, by a seccomp filter that returns an error number (seccomp(2)).

Unlike a tracer it takes no time, so that every call can be tried with every error in seconds. The filter cannot be
removed, which is why a child process is needed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = {
    "x86_64": {
        "write": [1], "fstat": [5], "fsync": [74], "rename": [82, 264, 316], "mkdir": [83, 258], "rmdir": [84],
        "unlink": [87, 263], "openat": [257], "newfstatat": [262], "fchmod": [91], "fchown": [93],
        "getdents64": [217], "fcntl": [72], "read": [0], "faccessat": [269, 439], "fremovexattr": [199], "flock": [73],
    },
    "aarch64": {
        "write": [64], "fstat": [80], "fsync": [82], "rename": [38, 276], "mkdir": [34], "rmdir": [], "unlink": [35],
        "openat": [56], "newfstatat": [79], "fchmod": [52], "fchown": [55], "getdents64": [61], "fcntl": [25],
        "read": [63], "faccessat": [48, 439], "fremovexattr": [16], "flock": [32],
    },
}  # fmt: skip
CALLS = _NUMBERS.get(platform.machine(), {})
"""The calls that can be refused on this machine, by name, each with its numbers."""

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


def refuse(call: str, error: int) -> None:
    """Make a system call fail with an error number for the rest of this process, even in threads started later."""
    numbers = CALLS[call]
    program = [(_LOAD, 0, 0, 0)]
    for index, number in enumerate(numbers):
        program.append((_EQUAL, len(numbers) - index, 0, number))
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERROR | error)]
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *each) for each in program))
    header = struct.pack("HP", len(program), ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp is not available")


def run_refused(call: str, error: int, work: Callable[[], object]) -> int:
    """Run a function in a child process in which a system call fails; return the child's exit status.

    0 if the function returned, 3 if it raised, 4 if the filter is not available here.
    """
    if (child := os.fork()) == 0:
        status = 4
        try:
            refuse(call, error)
            status = 3
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
