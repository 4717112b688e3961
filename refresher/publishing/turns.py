"""Turns of the threads that publish: one computes while the others wait for the disk.

The interpreter runs one thread at a time, and lets go of it at each system call. To get it back from threads that
are as busy takes longer than the call itself: on a file system in memory, four threads published a thousand targets in
twice the time that one took. So a thread has its turn for a whole visit of a directory, and leaves it for what really
waits: the disk, another process's lock, a supplier.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local


class Turns:
    """Whose turn it is; for any number of threads.

    Args:
        longest: Seconds to wait for a turn. A visit computes for less than a millisecond; one that keeps its turn for
            longer hangs (a mount whose server is gone), and the others go on without it.
    """

    def __init__(self, longest: float = 0.05) -> None:
        self._longest = longest
        self._turn = Lock()
        self._mine = local()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Take the turn for the length of a `with` block; not to be nested."""
        self._wait()
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def leave(self) -> Iterator[None]:
        """Leave this thread's turn, if it has one, to the others for the length of a `with` block that waits."""
        if not self._release():
            yield
            return
        try:
            yield
        finally:
            self._wait()

    def _wait(self) -> None:
        turn = self._turn
        if turn.acquire(timeout=self._longest):
            self._mine.turn = turn
        elif self._turn is turn:
            self._turn = Lock()  # the thread that hangs has the former one

    def _release(self) -> bool:
        turn: Lock | None = getattr(self._mine, "turn", None)
        if turn is None:
            return False
        self._mine.turn = None
        turn.release()
        return True


TURNS = Turns()
"""Of all threads of this process that publish."""
