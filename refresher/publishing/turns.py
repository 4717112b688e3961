"""Turns of the threads that publish: one computes while the others wait for the disk.

The interpreter runs one thread at a time, and lets go of it at each system call. To get it back from threads that
are as busy takes longer than the call itself: on a file system in memory, four threads published a thousand targets in
twice the time that one took. So a thread has its turn for a whole visit of a directory, and leaves it for what really
waits: the disk, another process's lock, a supplier. A turn that does not come soon is not waited for, so that a visit
which hangs (a mount whose server is gone) delays no other.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local

_LONGEST = 0.05
"""Seconds to wait for a turn; a visit computes for less than a millisecond."""

_turn = Lock()
_mine = local()


@contextmanager
def take_turn() -> Iterator[None]:
    """Have the turn for the length of a `with` block, if it comes soon; not to be nested."""
    _mine.has_turn = _turn.acquire(timeout=_LONGEST)
    try:
        yield
    finally:
        if _mine.has_turn:
            _turn.release()
        _mine.has_turn = False


@contextmanager
def leave_turn() -> Iterator[None]:
    """Leave this thread's turn, if it has one, to the others for the length of a `with` block that waits."""
    if not getattr(_mine, "has_turn", False):
        yield
        return
    _turn.release()
    try:
        yield
    finally:
        _mine.has_turn = _turn.acquire(timeout=_LONGEST)


def synchronise(descriptor: int) -> None:
    """Write a file or a directory through to the disk (fsync(2)); an `OSError` shows that it may not be there."""
    with leave_turn():
        os.fsync(descriptor)
