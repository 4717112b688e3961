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
        log.wait_for("token.published", target="alice", count=2)
        tampered = log.events("artifact.tampered")
        owners = {path.stat().st_uid for path in worker.root.rglob("*")}
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (control_of(worker).parent, control_of(worker))]
        assert log.end(signal.SIGTERM) == 0

    assert (kept, replaced) == ("2 targets kept\n", "1 target published\n")
    assert worker.token("alice") != before[0]
    assert worker.token("bob") == before[1]
    assert (worker.directory("alice") / "token").stat().st_gid == CONTAINER
    assert [(each["uid"], each["targets"], each["force"]) for each in events] == [(0, 2, False), (0, 1, True)]
    assert not tampered
    assert owners == {DAEMON}
    assert modes == [0o700, 0o600]
    assert not control_of(worker).parent.exists()


def test_what_was_configured_a_moment_ago_is_refreshed(worker: Worker, need: Need) -> None:
    """A drop-in and an edit of the main file hold for the request that follows them at once."""
    worker.configure("alice", "bob", targets={"task": {"identity": "alice"}}, targets_directory=str(worker.drop_ins))
    worker.drop_in("first", identity="alice")
    as_daemon_user(worker, need, "+chown")
    with worker.daemon() as log:
        wait_for_control(worker, log)
        start_as_root(worker)
        worker.drop_in("second", identity="bob")

        added = worker.once("second").stderr
        worker.configure("alice", "bob", targets={"task": {"identity": "bob"}}, targets_directory=str(worker.drop_ins))
        make_readable(worker.configuration)
        edited = worker.once("task").stderr
        subject = worker.status()["task"]["subject"]

    assert added in ("1 target published\n", "1 target kept\n")  # the daemon itself may be faster
    assert edited in ("1 target published\n", "1 target kept\n")
    assert subject == "user-bob"


def test_failure_of_the_daemon_is_the_failure_of_once(worker: Worker, need: Need) -> None:
    """The exit status is the failure's, with the same problem and remedy as without a daemon."""
    worker.configure("alice", "bob")
    as_daemon_user(worker, need, "+chown")
    with worker.daemon() as log:
        wait_for_control(worker, log)
        start_as_root(worker)
        worker.directory("alice").chmod(0o777)

        done = worker.once("--force", status=4)

    assert f"chmod go-w {worker.directory('alice')}" in done.stderr
    assert "concerns: alice\n" in done.stderr
    assert done.stderr.endswith("1 target failed, 1 target published\n")


def test_another_configuration_than_the_daemons_is_refused(worker: Worker, need: Need) -> None:
    """As root, the error names the daemon's file; a link to it is the same file."""
    worker.configure("alice")
    as_daemon_user(worker, need, "+chown")
    other, link = worker.place / "other.yaml", worker.place / "link.yaml"
    other.write_text(worker.configuration.read_text())
    link.symlink_to(worker.configuration)
    make_readable(other)
    with worker.daemon() as log:
        wait_for_control(worker, log)
        start_as_root(worker)

        refused = worker.run("once", "--config", str(other), status=2).stderr
        served = worker.run("once", "--config", str(link)).stderr

    assert f"the daemon runs with the configuration {worker.configuration}, not with {other}" in refused
    assert f"remedy: name that file: --config {worker.configuration}" in refused
    assert served == "1 target kept\n"


CONNECT = """
import json, os, socket, sys
path, configuration = sys.argv[1:]
request = json.dumps({"configuration": configuration, "targets": ["alice"], "force": True}).encode() + b"\\n"
try:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.connect(path)
        peer.sendall(request)
        print(b"".join(iter(lambda: peer.recv(65536), b"")))
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("uid", "capabilities", "answer"),
    [
        pytest.param(STRANGER, "-all", "PermissionError", id="stranger"),
        pytest.param(STRANGER, "+dac_override", "", id="stranger who can open everything"),
        pytest.param(CONTAINER, "-all", "PermissionError", id="owner of the files"),
        pytest.param(DAEMON, "-all", "published", id="daemon's user"),
    ],
)
def test_only_root_and_the_daemons_user_are_served(
    worker: Worker, need: Need, uid: int, capabilities: str, answer: str
) -> None:
    """Any other user can't open the directory; one who can is turned away by the kernel's word on who he is."""
    worker.configure("alice", targets={"alice": {"owner": f":{CONTAINER}"}})
    as_daemon_user(worker, need, "+chown")
    with worker.daemon() as log:
        wait_for_control(worker, log)
        before = worker.token("alice")
        caller = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        caller += [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", sys.executable, "-I", "-c", CONNECT]

        done = subprocess.run(
            [*caller, str(control_of(worker)), str(worker.configuration)], capture_output=True, text=True, check=False
        )
        is_replaced = worker.token("alice") != before

    assert answer in done.stdout, done.stderr
    assert ("published" in done.stdout) == is_replaced == (uid == DAEMON)


def test_socket_of_a_killed_daemon_is_replaced_by_the_next(worker: Worker, need: Need) -> None:
    """Without a daemon a socket that was left is no one's, and the next daemon takes its name."""
    worker.configure("alice")
    as_daemon_user(worker, need, "+chown")
    with worker.daemon() as log:
        wait_for_control(worker, log)
        log.end(signal.SIGKILL)
    assert control_of(worker).is_socket()

    alone = worker.once("--force").stderr
    left = control_of(worker).stat().st_mtime_ns
    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        until(
            lambda: control_of(worker).exists() and control_of(worker).stat().st_mtime_ns != left, what="another socket"
        )
        start_as_root(worker)
        asked = worker.once("--force").stderr

    assert (alone, asked) == ("1 target published\n", "1 target published\n")


@pytest.mark.parametrize("is_same_user", [True, False])
def test_stopped_daemon_holds_up_nobody(worker: Worker, need: Need, is_same_user: bool) -> None:  # noqa: FBT001 - a parameter
    """Of a daemon that is stopped its user takes over the pass, and root is refused as without the socket."""
    worker.configure("alice")
    as_daemon_user(worker, need, "+chown")
    with worker.daemon() as log:
        wait_for_control(worker, log)
        log.send(signal.SIGSTOP)
        if not is_same_user:
            start_as_root(worker)
        began = time.monotonic()

        done = worker.once("--force", status=0 if is_same_user else 4)

        seconds = time.monotonic() - began
        log.send(signal.SIGCONT)

    assert seconds < PATIENCE / 2
    assert ("1 target published" in done.stderr) == is_same_user
    assert (f"belongs to uid {DAEMON}" in done.stderr) == (not is_same_user)
    assert (f"the daemon of {worker.root} runs, and takes no request" in done.stderr) == (not is_same_user)


def test_peers_that_misbehave_delay_neither_daemon_nor_callers(worker: Worker) -> None:
    """Silent peers, garbage, and peers that never read cost others a second each at most; the tick goes on."""
    worker.configure("alice", "bob", listen=f"unix:{worker.place / 'status' / 'http.sock'}")
    request = {"configuration": os.path.realpath(worker.configuration), "targets": ["alice"], "force": False}
    with worker.daemon() as log:
        wait_for_control(worker, log)
        peers = [socket.socket(socket.AF_UNIX) for _ in range(6)]
        for number, peer in enumerate(peers):
            peer.settimeout(PATIENCE)
            peer.connect(str(control_of(worker)))
            if number % 3:
                peer.sendall(json.dumps(request).encode() + b"\n" if number % 3 == 1 else b"\0" * 65536)

        done = worker.once("--force", "bob")
        (worker.directory("alice") / "token").unlink()
        until((worker.directory("alice") / "token").exists, what="a repair")
        for peer in peers:
            peer.close()
        assert log.end(signal.SIGTERM) == 0

    assert done.stderr == "1 target published\n"
