from __future__ import annotations

import json
import os
import socket
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from refresher.observe.daemon_view import DaemonView, fetch_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Need

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
ENTRY = {"identity": "alice", "state": "refused", "problem": "p", "remedy": "r"}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Return a function that answers one request on a socket with the given bytes, and returns its path."""
    listener = socket.socket(socket.AF_UNIX)
    threads: list[Thread] = []

    def start(answer: bytes) -> Path:
        path = tmp_path / "s"
        listener.bind(str(path))
        listener.listen()

        def respond() -> None:
            peer, _ = listener.accept()
            with peer:
                if peer.recv(1000):
                    peer.sendall(answer)

        threads.append(Thread(target=respond))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join()
    listener.close()


def test_entries_are_returned_by_identity(serve: Callable[[bytes], Path]) -> None:
    """What the daemon knows of an identity is found under its name."""
    failing = {"target": "alice", "problem": "p", "remedy": "r"}
    answer = HEAD + json.dumps({"exchanges": [ENTRY], "failing": [failing]}).encode()
    assert fetch_view(serve(answer)) == DaemonView({"alice": ENTRY}, [failing])


def test_daemon_of_an_earlier_version_is_understood(serve: Callable[[bytes], Path]) -> None:
    """Without a list of what fails, what is known of identities still counts."""
    assert fetch_view(serve(HEAD + json.dumps({"exchanges": [ENTRY]}).encode())) == DaemonView({"alice": ENTRY}, [])


@pytest.mark.parametrize("is_asked", [True, False], ids=["the daemon", "another daemon"])
def test_answer_of_another_daemon_is_not_taken(serve: Callable[[bytes], Path], *, is_asked: bool) -> None:
    """Two daemons may be given one socket: what the one that listens knows is nothing about the other's targets."""
    found = fetch_view(
        serve(HEAD + json.dumps({"exchanges": [ENTRY]}).encode()), os.getpid() if is_asked else os.getppid()
    )

    assert found == (DaemonView({"alice": ENTRY}, []) if is_asked else None)


def test_answer_of_a_large_fleet_is_read_to_its_end(serve: Callable[[bytes], Path]) -> None:
    """An answer that comes in many pieces is one document."""
    entries = [{"identity": f"t{number}", "state": "accepted"} for number in range(10_000)]
    found = fetch_view(serve(HEAD + json.dumps({"exchanges": entries}).encode()))
    assert found is not None
    assert len(found.exchanges) == 10_000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        HEAD,
        HEAD + b"{}",
        HEAD + b"[]",
        HEAD + b"null",
        HEAD + b'{"exchanges": [1]}',
        HEAD + b"[" * 100_000,
        HEAD + b'{"exchanges": [], "failing": [1]}',
    ],
    ids=["nothing", "no body", "no member", "list", "null", "wrong entry", "deep", "wrong failure"],
)
def test_what_is_no_answer_counts_as_none(serve: Callable[[bytes], Path], answer: bytes) -> None:
    """An earlier version, or something else that answers there, does not disturb `status`."""
    assert fetch_view(serve(answer)) is None


def test_absent_and_silent_sockets_count_as_none(tmp_path: Path) -> None:
    """No socket, a file in its place, and a daemon that is stopped: nothing is known, within about a second."""
    assert fetch_view(tmp_path / "absent") is None
    (tmp_path / "file").write_text("")
    assert fetch_view(tmp_path / "file") is None
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        assert fetch_view(tmp_path / "silent") is None


def test_socket_that_is_closed_to_this_user_counts_as_none(tmp_path: Path, need: Need) -> None:
    """An operator outside `listen_group` may not even look at the socket, and his `status` works all the same."""
    need.root()
    (tmp_path / "status").mkdir(mode=0o750)

    os.seteuid(65534)
    try:
        found = fetch_view(tmp_path / "status" / "http.sock")
    finally:
        os.seteuid(0)

    assert found is None
