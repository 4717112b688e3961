from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, closing

from refresher.google.deadline import Deadline, watch


def test_shorter_call_ends_before_the_longer_one_that_began_first() -> None:
    """A call that has less time than those under way ends when its own time is up, and they go on."""
    longer, shorter = Deadline(600), Deadline(0.05)
    waiting, other = socket.socketpair()

    def call() -> None:
        with shorter:
            watch(waiting)
            waiting.recv(1)

    with closing(waiting), closing(other), longer:
        caller = threading.Thread(target=call)
        caller.start()
        caller.join(30)

        assert not caller.is_alive()
        assert (shorter.has_passed, longer.has_passed) == (True, False)


def test_socket_that_is_used_after_the_end_is_shut_down() -> None:
    """A call that turns to another connection after its time is up gets nothing from that either."""
    deadline = Deadline(600)
    waiting, other = socket.socketpair()
    with closing(waiting), closing(other), deadline:
        deadline.end()
        watch(waiting)

        assert waiting.recv(1) == b""


def test_calls_share_one_thread() -> None:
    """A call starts no thread of its own: at several calls a second that would cost as much as they do."""
    with ExitStack() as calls:
        for _ in range(10):
            calls.enter_context(Deadline(600))
        names = [thread.name for thread in threading.enumerate()]

    assert names.count("deadlines") == 1
