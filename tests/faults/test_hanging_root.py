"""A `directory_root` whose file system does not answer: a FUSE mount without a process that serves it."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.program import Worker, secret_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LIBRARY = ctypes.CDLL(None, use_errno=True)
_DETACH = 2
_SECONDS = 15.0
"""The end of the daemon, with its grace for refreshes that are under way."""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Return a worker with one target."""
    made = Worker(place=tmp_path)
    made.make_keys()
    made.configure("alice")
    yield made
    assert secret_in(made.everything_printed()) is None


@contextmanager
def hanging_mount(place: Path) -> Iterator[None]:
    """Mount a file system over a directory that answers no request; what waits for it fails at the end."""
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"/dev/fuse can't be opened: {error.strerror}")
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if _LIBRARY.mount(b"fuse", os.fsencode(place), b"fuse", 0, options) != 0:
        os.close(device)
        pytest.skip(f"mounting is not permitted: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        _LIBRARY.umount2(os.fsencode(place), _DETACH)
        with suppress(OSError):
            os.close(device)  # which ends the connection


def test_daemon_ends_while_its_root_hangs(worker: Worker) -> None:
    """A root that no longer answers is a fault with a remedy within seconds, and SIGTERM ends the daemon."""
    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        with hanging_mount(worker.root):
            fault = log.wait_for("daemon.fault")
            assert f"directory_root {worker.root}" in fault["error"]
            assert "does not answer" in fault["error"]
            assert "umount --lazy" in fault["remedy"]
            log.send(signal.SIGHUP)
            started = time.monotonic()

            assert log.end(signal.SIGTERM) == 0

            assert time.monotonic() - started < _SECONDS
            assert log.events("daemon.stopped")


def test_daemon_goes_on_after_its_root_answered_again(worker: Worker) -> None:
    """A mount that hung and was detached is followed by work as before, and no file counts as tampered with."""
    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        with hanging_mount(worker.root):
            log.wait_for("daemon.fault")
        (worker.directory("alice") / "env").unlink()

        log.wait_for("artifact.repaired", artifact="env")

        assert not log.events("artifact.tampered")


def test_doctor_ends_while_the_root_hangs(worker: Worker) -> None:
    """Doctor shows that a file system does not answer, and ends."""
    worker.once()
    with hanging_mount(worker.root):
        done = worker.command("doctor", "--offline", status=2)

    assert "does not answer" in done.stderr
    assert "umount --lazy" in done.stderr
