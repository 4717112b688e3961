"""`once` next to a running daemon: root and the daemon's user ask it, and no one needs the rights of its unit."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import Need
from tests.e2e.test_daemon_user import STRANGER, make_readable
from tests.e2e.test_once import CONTAINER, DAEMON, as_daemon_user
from tests.program import PATIENCE, Log, Worker, until


def control_of(worker: Worker) -> Path:
    """Return where a worker's daemon takes requests."""
    return worker.root / ".control" / "socket"


def start_as_root(worker: Worker) -> None:
    """Run the following commands as root, who reads the daemon's configuration."""
    make_readable(worker.configuration)
    worker.prefix = []


def wait_for_control(worker: Worker, log: Log) -> None:
    """Wait until a daemon has published everything and takes requests."""
    log.wait_for("daemon.ready")
    until(control_of(worker).is_socket, what="the daemon's socket")


def test_root_asks_the_daemon_of_another_user(worker: Worker, need: Need) -> None:
    """As root `once` has the daemon do the pass, with the daemon's rights; nothing becomes root's."""
    worker.configure("alice", "bob", targets={"alice": {"owner": f":{CONTAINER}"}, "bob": {}})
    as_daemon_user(worker, need, "+chown")
    with worker.daemon() as log:
        wait_for_control(worker, log)
        start_as_root(worker)
        before = worker.token("alice"), worker.token("bob")

        kept = worker.once().stderr
        replaced = worker.once("--force", "alice").stderr

        events = log.events("once.requested")
        tampered = log.events("artifact.tampered")
        owners = {path.stat().st_uid for path in worker.root.rglob("*")}
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (control_of(worker).parent, control_of(worker))]
        assert log.end(signal.SIGTERM) == 0

    assert (kept, replaced) == ("2 kept\n", "1 published\n")
    assert worker.token("alice") != before[0]
    assert worker.token("bob") == before[1]
    assert (worker.directory("alice") / "token").stat().st_gid == CONTAINER
    assert [(each["uid"], each["targets"], each["force"]) for each in events] == [(0, 2, False), (0, 1, True)]
    assert not tampered
    assert owners == {DAEMON}
    assert modes == [0o700, 0o600]
    assert not control_of(worker).parent.exists()
