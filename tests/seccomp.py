"""Make system calls fail in a child process, by a seccomp filter (seccomp(2)).

Either every call of a kind fails, or one call of all kinds: the filter then asks the parent about each, which lets all
but one go on. Unlike a tracer it takes no time, so that every call can be tried with every error in seconds. The filter
cannot be removed, which is why a child process is needed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import select
import socket
import struct
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = {
    "x86_64": {
        "write": [1], "fstat": [5], "fsync": [74], "rename": [82, 264, 316], "mkdir": [83, 258], "rmdir": [84],
        "unlink": [87, 263], "openat": [257], "newfstatat": [262], "fchmod": [91], "fchown": [93],
        "getdents64": [217], "fcntl": [72], "read": [0], "faccessat": [269, 439], "fremovexattr": [199],
        "flock": [73], "lseek": [8], "statx": [332],
    },
    "aarch64": {
        "write": [64], "fstat": [80], "fsync": [82], "rename": [38, 276], "mkdir": [34], "rmdir": [], "unlink": [35],
        "openat": [56], "newfstatat": [79], "fchmod": [52], "fchown": [55], "getdents64": [61], "fcntl": [25],
        "read": [63], "faccessat": [48, 439], "fremovexattr": [16],
        "flock": [32], "lseek": [62], "statx": [291],
    },
}  # fmt: skip
CALLS = _NUMBERS.get(platform.machine(), {})
"""The calls that can be refused on this machine, by name, each with its numbers.

Not close(2): what is closed is a directory, or a file that is synchronised already, and that can't fail.
"""

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP = {"x86_64": 317, "aarch64": 277}.get(platform.machine(), -1)
_SET_FILTER, _NEW_LISTENER = 1, 8
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ASK, _ERROR = 0x7FFF0000, 0x7FC00000, 0x00050000
_RECEIVE, _ANSWER, _GO_ON = 0xC0502100, 0xC0182101, 1
_QUESTION = 80
"""Bytes of `struct seccomp_notif`; the first eight are its id."""


def _install(numbers: list[int], action: int, flags: int = 0) -> int:
    program = [(_LOAD, 0, 0, 0)]
    for index, number in enumerate(numbers):
        program.append((_EQUAL, len(numbers) - index, 0, number))
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, action)]
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *each) for each in program))
    header = struct.pack("HP", len(program), ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs is not available")
    descriptor: int = libc.syscall(_SECCOMP, _SET_FILTER, flags, header)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "seccomp is not available")
    return descriptor


def refuse(call: str, error: int) -> None:
    """Make a system call fail with an error number for the rest of this process, even in threads started later."""
    _install(CALLS[call], _ERROR | error)


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


def run_refused_once(number: int, error: int, work: Callable[[], object]) -> tuple[int, int]:
    """Run a function in a child process in which one call fails, the `number`th of all `CALLS`, counted from 1.

    Returns:
        The child's exit status, as of `run_refused`, and how many such calls there were.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if (child := os.fork()) == 0:
            status = 4
            try:
                listener = _install(sorted(chain.from_iterable(CALLS.values())), _ASK, _NEW_LISTENER)
                socket.send_fds(theirs, [b"."], [listener])
                os.dup2(theirs.fileno(), listener)  # closes it here, without a call that would be counted
                status = 3
                work()
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    made = _answer(descriptors[0], number, error) if descriptors else 0
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), made


def _answer(listener: int, number: int, error: int) -> int:
    """Answer every call but one with "go on", until the child ends; return how many there were."""
    made, poll = 0, select.poll()
    poll.register(listener, select.POLLIN)
    try:
        while not any(event & select.POLLHUP for _, event in poll.poll()):
            question = bytearray(_QUESTION)
            try:
                fcntl.ioctl(listener, _RECEIVE, question)
            except OSError:  # the child ended, or a signal interrupted the call
                continue
            made += 1
            answer = struct.pack("<8sqiI", question[:8], 0, *((-error, 0) if made == number else (0, _GO_ON)))
            try:
                fcntl.ioctl(listener, _ANSWER, bytearray(answer))
            except OSError:
                continue
    finally:
        os.close(listener)
    return made
