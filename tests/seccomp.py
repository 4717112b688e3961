"""Make system calls fail in a child process, or end it before one of them, by a seccomp filter (seccomp(2)).

Either every call of a kind fails, or the filter asks the parent about each call, which lets it go on, makes it fail, or
ends the child before it. Unlike a tracer it takes no time, so that every call can be tried with every error in seconds.
The filter cannot be removed, which is why a child process is needed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import select
import signal
import socket
import struct
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

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

_INNER = {
    # close, poll, memory, signals, select, sched_yield, dup, sleeping, ids, sendmsg, clone, exit, times, limits,
    # futex, affinity, robust lists, getrandom, getcpu, membarrier, rseq, clone3, close_range
    "x86_64": [
        3, 7, 9, 10, 11, 12, 13, 14, 15, 23, 24, 25, 28, 32, 33, 35, 39, 46, 56, 60, 63, 96, 97, 98, 99, 102, 104,
        107, 108, 110, 131, 157, 186, 202, 203, 204, 219, 228, 230, 231, 234, 270, 271, 273, 274, 302, 309, 318, 324,
        334, 435, 436,
    ],
    "aarch64": [
        57, 72, 73, 93, 94, 98, 99, 100, 101, 113, 115, 122, 123, 124, 128, 131, 132, 134, 135, 139, 160, 165, 167,
        168, 169, 172, 173, 174, 175, 176, 177, 178, 179, 211, 214, 215, 216, 220, 222, 226, 233, 23, 24, 261, 278,
        283, 293, 435, 436,
    ],
}  # fmt: skip
INNER = _INNER.get(platform.machine(), [])
"""Numbers of the calls that concern the process alone; close(2) is explained at `CALLS`."""

_READS = {
    # read, stat, fstat, lstat, lseek, ioctl, pread64, access, sockets, fcntl, flock, getcwd, readlink, statfs,
    # getxattr, listxattr, getdents64, epoll, newfstatat, readlinkat, faccessat, eventfd2, pipe2, inotify, statx
    "x86_64": [
        0, 4, 5, 6, 8, 16, 17, 21, 41, 42, 44, 45, 47, 48, 49, 50, 51, 52, 53, 54, 55, 72, 73, 79, 89, 137, 138, 191,
        192, 193, 194, 195, 196, 217, 232, 233, 253, 254, 255, 262, 267, 269, 281, 288, 290, 291, 293, 294, 332, 439,
    ],
    "aarch64": [
        63, 80, 62, 29, 67, 48, 198, 200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 212, 25, 32, 17, 78, 43,
        44, 8, 9, 10, 11, 12, 13, 61, 20, 21, 22, 79, 439, 19, 59, 26, 27, 28, 291, 242,
    ],
}  # fmt: skip
_OPEN = {"x86_64": 257, "aarch64": 56}.get(platform.machine(), -1)
_CHANGES = os.O_CREAT | os.O_TRUNC

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP = {"x86_64": 317, "aarch64": 277}.get(platform.machine(), -1)
_SET_FILTER, _NEW_LISTENER = 1, 8
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ASK, _ERROR = 0x7FFF0000, 0x7FC00000, 0x00050000
_RECEIVE, _ANSWER, _GO_ON = 0xC0502100, 0xC0182101, 1
_QUESTION = 80
"""Bytes of `struct seccomp_notif`: its id, then from byte 16 on `struct seccomp_data` with the number and, from byte 32
on, the six arguments of the call."""
END = -1
"""The answer that ends the child before a call."""


class Call(NamedTuple):
    """A system call that a child is about to make.

    Attributes:
        number: Its number on this machine.
        arguments: Its six arguments as numbers.
    """

    number: int
    arguments: tuple[int, ...]

    def __str__(self) -> str:
        return next((name for name, numbers in CALLS.items() if self.number in numbers), f"call {self.number}")

    @property
    def may_change_files(self) -> bool:
        """Whether files may differ after it. A call that is not known counts as one."""
        if self.number == _OPEN:
            return bool(self.arguments[2] & _CHANGES)
        return self.number not in _READS.get(platform.machine(), [])


def _install(numbers: list[int], action: int, flags: int = 0, *, other: int = _ALLOW) -> int:
    """Install a filter with an action for calls of these numbers and another for all `other` calls."""
    program = [(_LOAD, 0, 0, 0)]
    for index, number in enumerate(numbers):
        program.append((_EQUAL, len(numbers) - index, 0, number))
    program += [(_RETURN, 0, 0, other), (_RETURN, 0, 0, action)]
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
    asked = frozenset(chain.from_iterable(CALLS.values()))
    status, made = _run_asked(work, lambda index, _: error if index == number else 0, asked=asked)
    return status, len(made)


def run_watched(work: Callable[[], object], decide: Callable[[int, Call], int]) -> tuple[int, list[Call]]:
    """Run a function in a child process that asks before each system call but the `INNER` ones.

    Args:
        work: What is done in the child.
        decide: Returns for each call, counted from 1, the number of the error that it fails with, 0 to let it go on, or
            `END` to end the child before it.

    Returns:
        The child's exit status, as of `run_refused`, or -9 if it was ended; and the calls.
    """
    return _run_asked(work, decide, asked=None)


def _run_asked(
    work: Callable[[], object], decide: Callable[[int, Call], int], *, asked: Collection[int] | None
) -> tuple[int, list[Call]]:
    """Run a function in a child process that asks before calls of these numbers; None for all but the `INNER` ones."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if (child := os.fork()) == 0:
            status = 4
            try:
                if asked is None:
                    listener = _install(INNER, _ALLOW, _NEW_LISTENER, other=_ASK)
                else:
                    listener = _install(sorted(asked), _ASK, _NEW_LISTENER)
                socket.send_fds(theirs, [b"."], [listener])
                os.dup2(theirs.fileno(), listener)  # closes it here, without a call that would be counted
                status = 3
                work()
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    made = _answer(descriptors[0], child, decide) if descriptors else []
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), made


def _answer(listener: int, child: int, decide: Callable[[int, Call], int]) -> list[Call]:
    """Answer every call as decided, until the child ends; return the calls."""
    made: list[Call] = []
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    try:
        while not any(event & select.POLLHUP for _, event in poll.poll()):
            question = bytearray(_QUESTION)
            try:
                fcntl.ioctl(listener, _RECEIVE, question)
            except OSError:  # the child ended, or a signal interrupted the call
                continue
            call = Call(struct.unpack_from("<i", question, 16)[0], struct.unpack_from("<6Q", question, 32))
            made.append(call)
            decision = decide(len(made), call)
            if decision == END:
                os.kill(child, signal.SIGKILL)
                break
            answer = struct.pack("<8sqiI", question[:8], 0, *((-decision, 0) if decision else (0, _GO_ON)))
            try:
                fcntl.ioctl(listener, _ANSWER, bytearray(answer))
            except OSError:
                continue
    finally:
        os.close(listener)
    return made
