from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import jwt

from tests.program import COMMAND, Worker, account_of, until
from tests.status_socket import ask

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.conftest import Act

READERS = 4
SECONDS = 30.0


def names_in(directory: Path) -> set[str]:
    """Return the names of a directory's entries except the daemon's record; none if it is absent."""
    with suppress(FileNotFoundError):
        return {name for name in os.listdir(directory) if name != ".target"}
    return set()


def test_sigterm_ends_promptly_and_leaves_valid_tokens(worker: Worker) -> None:
    """The daemon publishes, reports its runway, exits with status 0 at SIGTERM, and leaves every file as it was."""
    worker.configure("alice", "bob")

    with worker.daemon() as log:
        ready = log.wait_for("daemon.ready")
        assert ready["targets"] == 2
        assert 3500 < ready["runway_seconds"] <= 3600
        before = worker.files("alice")
        assert log.end(signal.SIGTERM) == 0

    assert worker.files("alice") == before
    assert worker.status()["alice"]["state"] == "fresh"
    assert [event["event"] for event in log.events()][-1] == "daemon.stopped"


def test_changed_configuration_is_followed(worker: Worker) -> None:
    """A changed file is loaded automatically; a broken one is refused, and the former one applies until it is fixed."""
    worker.configure("alice")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        token = worker.token("alice")
        worker.configure("alice", "bob")
        log.wait_for("token.published", target="bob")
        worker.configuration.write_text("version: 1\ntargetz: {}\n")
        error = log.wait_for("config.rejected")
        assert "write targets if you mean that" in error["remedy"]
        worker.configure("alice", "bob", "carol")
        log.wait_for("token.published", target="carol")

        assert worker.token("alice") == token


def test_edit_under_running_containers_is_a_warning(worker: Worker) -> None:
    """A live change of what containers have read at their start names the keys, and which containers to start again."""
    worker.configure("alice")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        token = worker.token("alice")
        document = worker.document("alice", project="another-project")
        document["targets"]["alice"]["container_directory"] = "/var/run/elsewhere"
        worker.write(document)
        changed = {name: log.wait_for("artifact.changed", artifact=name) for name in ("env", "credentials.json")}

        assert worker.token("alice") == token

    assert "GOOGLE_CLOUD_PROJECT" in changed["env"]["keys"].split(", ")
    assert changed["credentials.json"]["keys"] == "credential_source.file"
    for event in changed.values():
        assert event["level"] == "warning"
        assert f"docker ps --filter volume={worker.directory('alice')}" in event["remedy"]
    assert not log.events("artifact.tampered")


def test_drop_in_that_is_not_read_is_a_warning_and_no_reload(worker: Worker) -> None:
    """A drop-in with another suffix is logged as `check` prints it; a file that takes nothing over reloads nothing."""
    worker.configure("alice", targets_directory=str(worker.drop_ins))
    worker.drop_ins.mkdir(mode=0o755)

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        (worker.drop_ins / "bob.yml").write_text("identity: alice\n")
        warning = log.wait_for("config.warning")
        worker.drop_in("carol", identity="nobody")
        log.wait_for("config.rejected")

        assert "bob.yml is not read" in warning["error"]
        assert not log.events("config.reloaded")
        worker.drop_in("carol", identity="alice")
        log.wait_for("config.reloaded")


def test_keys_that_are_gone_are_a_fault_before_a_token_is_due(worker: Worker) -> None:
    """Keys that were moved away are seen in seconds, in log, `status` and page, and so is their return."""
    path = worker.place / "status" / "http.sock"
    worker.configure("alice", listen=f"unix:{path}")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        keys = worker.place / "keys"
        keys.rename(keys.with_name("aside"))
        fault = log.wait_for("daemon.fault")
        assert fault["error"] == f"{keys} does not exist"
        assert "restore it from a backup" in fault["remedy"]
        assert f"the daemon can't refresh: {keys} does not exist" in worker.command("status").stdout
        assert f"{keys} does not exist" in ask(path, "/").body
        keys.with_name("aside").rename(keys)
        log.wait_for("daemon.recovered")
        assert not log.events("token.supply_failed")


def test_signal_that_another_thread_gets_is_heard(worker: Worker) -> None:
    """A signal that the kernel delivers to another thread of the daemon ends it, or reloads, nevertheless."""
    worker.configure("alice")
    tgkill = 234 if platform.machine() == "x86_64" else 131

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        others = sorted(int(name) for name in os.listdir(f"/proc/{log.process.pid}/task"))[1:]
        assert others
        ctypes.CDLL(None).syscall(tgkill, log.process.pid, others[0], signal.SIGHUP)
        log.wait_for("config.reloaded")
        ctypes.CDLL(None).syscall(tgkill, log.process.pid, others[0], signal.SIGTERM)
        assert log.process.wait(20) == 0


def test_leftover_of_a_target_that_is_gone_is_swept(worker: Worker) -> None:
    """A half-written file of a killed run is removed at the next start, though its target is no longer configured."""
    worker.configure("alice", "bob")
    worker.once()
    leftover = worker.directory("bob") / ".token.0123456789abcdef.tmp"
    leftover.write_text("half")
    worker.configure("alice")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        until(lambda: not leftover.exists(), what="the leftover swept")


def test_sighup_loads_again(worker: Worker) -> None:
    """SIGHUP loads the configuration again, though no file has changed, and replaces no fresh token."""
    worker.configure("alice")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        token = worker.token("alice")
        log.send(signal.SIGHUP)
        log.wait_for("config.reloaded")

        assert worker.token("alice") == token


def test_drop_ins_come_and_go(worker: Worker) -> None:
    """A drop-in becomes a ready directory; a bad edit keeps its body; after its removal `env` goes, then the rest."""
    worker.drop_ins.mkdir(mode=0o755)
    worker.configure("alice", targets={}, targets_directory="targets.d")

    with worker.daemon() as log:
        log.wait_for("daemon.started")
        worker.drop_in("task", identity="alice")
        until((worker.directory("task") / "env").exists, what="a drop-in's env")
        worker.drop_in("task", identity="nobody")
        log.wait_for("config.rejected")
        assert worker.files("task").keys() == {"token", "credentials.json", "env"}
        (worker.drop_ins / "task.yaml").unlink()
        log.wait_for("target.removed", target="task")
        until(lambda: names_in(worker.directory("task")) == {"token", "credentials.json"}, what="env withdrawn")


def test_target_removed_while_the_daemon_was_down(worker: Worker) -> None:
    """A directory without a target loses its `env` at the next start; a directory that is not ours is left alone."""
    worker.configure("alice", "bob")
    worker.once()
    (worker.root / "stranger").mkdir()
    (worker.root / "stranger" / "env").write_text("not ours")
    worker.configure("alice")

    with worker.daemon() as log:
        log.wait_for("target.retired")
        until(lambda: "env" not in names_in(worker.directory("bob")), what="env withdrawn")

    assert names_in(worker.directory("bob")) == {"token", "credentials.json"}
    assert names_in(worker.root / "stranger") == {"env"}
    assert "env" in names_in(worker.directory("alice"))


def test_target_that_gets_another_identity_never_shows_a_mixture(cloud: tuple[Worker, Scenario], act: Act) -> None:
    """A target that changes from alice to bob acts as bob; a container with her directory sees it empty."""
    worker, google = cloud
    place = worker.directory("task")
    worker.configure("alice", "bob", targets={"task": {"identity": "alice"}})
    with worker.daemon() as log:
        log.wait_for("token.published", subject="user-alice")
        held = os.open(place, os.O_RDONLY | os.O_DIRECTORY)

        worker.configure("alice", "bob", targets={"task": {"identity": "bob"}})
        while not log.events("token.published", subject="user-bob"):
            before = stamp_of(place / "env")
            with suppress(FileNotFoundError):
                seen = (place / "credentials.json").read_text()
                claims = jwt.decode((place / "token").read_text(), options={"verify_signature": False})
                # the files are from one state of the directory only if `env` existed all the time
                if before is not None and stamp_of(place / "env") == before:
                    assert (account_of("bob") in seen) == (claims["sub"] == "user-bob")
        until((place / "env").exists, what="bob's env")

        assert act(place, google)["service_account"] == account_of("bob")
        assert os.listdir(held) == []
        log.wait_for("directory.recreated", target="task")
    os.close(held)


def test_edit_of_an_identity_keeps_the_directory(cloud: tuple[Worker, Scenario], act: Act) -> None:
    """A correction of a mistake heals running containers: another subject or account keeps the inode."""
    worker, google = cloud
    place = worker.directory("alice")
    wrong = worker.document("alice")
    wrong["identities"]["alice"]["subject"] = "user-alcie"
    worker.write(wrong)
    with worker.daemon() as log:
        log.wait_for("token.published", subject="user-alcie")
        inode = place.stat().st_ino

        worker.configure("alice")
        log.wait_for("token.published", subject="user-alice")
        until((place / "env").exists, what="env")

        assert act(place, google)["service_account"] == account_of("alice")
        assert place.stat().st_ino == inode
        assert not log.events("directory.recreated")


def test_wrong_project_number_takes_nothing_away(cloud: tuple[Worker, Scenario], act: Act) -> None:
    """A pair for another project replaces the present one once the new token is there; valid artifacts stay so long."""
    worker, google = cloud
    artifacts = {"artifacts": {"access_token": True, "id_tokens": {"api": {"audience": "https://api.example.com"}}}}
    worker.configure("alice", targets={"alice": artifacts})
    right = worker.document("alice", targets={"alice": artifacts})
    with worker.daemon() as log:
        log.wait_for("artifact.published", count=2)
        before = worker.files("alice")
        wrong = worker.document("alice", targets={"alice": artifacts})
        wrong["providers"]["main"]["project_number"] = "999999999999"
        worker.write(wrong)
        log.wait_for("exchange.refused")

        assert worker.files("alice").keys() == before.keys()
        assert worker.files("alice")["access_token"] == before["access_token"]
        assert "999999999999" in worker.files("alice")["credentials.json"].decode()
        worker.write(right)
        until(lambda: worker.files("alice")["credentials.json"] == before["credentials.json"], what="the right pair")
        assert act(worker.directory("alice"), google)["service_account"] == account_of("alice")


def stamp_of(path: Path) -> tuple[int, int] | None:
    """Return what identifies a file of this name; None if it is absent."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns


def test_second_daemon_below_the_same_root_is_refused(worker: Worker) -> None:
    """Two daemons would retire each other's targets: the second one exits with status 4 and the reason."""
    worker.configure("alice")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        done = worker.command("run", status=4)

        assert "another daemon already publishes below" in done.stderr
        assert log.process.poll() is None


def test_one_shot_beside_the_daemon(worker: Worker) -> None:
    """`once --force` next to a running daemon replaces tokens and withdraws nothing."""
    worker.configure("alice", "bob")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        before = worker.token("alice")
        for _ in range(3):
            worker.once("--force")

        assert worker.token("alice") != before
        assert not log.events("token.publish_failed")
    assert worker.status()["alice"]["state"] == "fresh"


def test_failure_is_told_and_recovery_too(worker: Worker) -> None:
    """While its key is missing a target keeps its token and the log shows the reason; the recovery is logged, too."""
    worker.lifetime = "6s"
    worker.configure("alice")
    key = next((worker.place / "keys").glob("*.pem"))
    registry = worker.place / "keys" / "keys.json"

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        key.rename(worker.place / "key")
        os.utime(registry)
        failed = log.wait_for("token.supply_failed", target="alice")
        assert failed["remedy"]
        before = worker.token("alice")
        log.wait_for("token.overdue")
        log.wait_for("token.expired")
        assert worker.token("alice") == before
        (worker.place / "key").rename(key)
        os.utime(registry)
        log.wait_for("token.recovered")

    assert worker.token("alice") != before


def test_drift_is_repaired(worker: Worker) -> None:
    """A changed mode, changed content and a lost file are repaired while the daemon runs."""
    worker.configure("alice")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        before = worker.files("alice")
        place = worker.directory("alice")
        (place / "token").chmod(0o644)
        (place / "credentials.json").chmod(0o600)
        (place / "credentials.json").write_text("{}")
        (place / "env").unlink()

        until(lambda: names_in(place) == set(before) and worker.files("alice") == before, what="drift repaired")
        until(lambda: (place / "token").stat().st_mode & 0o777 == 0o400, what="mode repaired")
        log.wait_for("artifact.repaired", artifact="credentials.json")


READER = """
import base64, json, sys, time
deadline, seen, expired, torn, reads = time.monotonic() + float(sys.argv[2]), set(), 0, 0, 0
while time.monotonic() < deadline:
    with open(sys.argv[1], "rb") as file:
        content = file.read()
    reads += 1
    try:
        payload = content.split(b".")[1]
        assert content.count(b".") == 2 and len(content.rsplit(b".", 1)[1]) == 86
        if json.loads(base64.urlsafe_b64decode(payload + b"=="))["exp"] <= time.time():
            expired += 1
    except Exception:
        torn += 1
    seen.add(content)
print(json.dumps({"reads": reads, "seen": len(seen), "expired": expired, "torn": torn}))
"""


def test_readers_never_see_a_bad_token(worker: Worker) -> None:
    """With lifetimes of 15 s, four readers never find the token absent, empty, torn or expired in three refreshes."""
    worker.lifetime = "15s"
    worker.configure("alice")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        arguments = [sys.executable, "-I", "-c", READER, str(worker.directory("alice") / "token"), str(SECONDS)]
        readers = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(READERS)]
        found = [json.loads(reader.communicate()[0]) for reader in readers]

    for reader in found:
        assert (reader["expired"], reader["torn"]) == (0, 0)
        assert reader["seen"] >= 4
        assert reader["reads"] > 1000


def test_supplier_that_hangs_delays_only_its_own(worker: Worker) -> None:
    """While a metadata server never answers, other suppliers' targets are published, and SIGTERM ends at once."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        origin = f"http://127.0.0.1:{silent.getsockname()[1]}"
        document = worker.document("alice", *(f"m{number}" for number in range(20)))
        document["suppliers"]["machine"] = {"kind": "google_id_token"}
        for name in document["identities"]:
            document["identities"][name]["supplier"] = "worker" if name == "alice" else "machine"
            document["identities"][name]["shared_identity"] = True
        worker.write(document | {"google": {"emulator": True, "endpoints": {"metadata": origin}}})

        with worker.daemon() as log:
            log.wait_for("token.published", target="alice")
            began = time.monotonic()
            assert log.end(signal.SIGTERM) == 0
            assert time.monotonic() - began < 10


def differs(worker: Worker, target: str, former: str) -> bool:
    """Return whether a target has another token than before."""
    return worker.token(target) != former


def test_log_that_nobody_reads_delays_no_renewal(worker: Worker) -> None:
    """With standard error full and unread, tokens are renewed as ever and SIGTERM ends the daemon in time."""
    worker.lifetime = "4s"
    names = [f"user-{number}" for number in range(20)]
    worker.configure(*names)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    command = [*COMMAND, "run", "--config", str(worker.configuration)]
    daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=writer)
    try:
        until((worker.directory(names[-1]) / "token").exists, what="the first tokens")
        for _ in range(4):  # long after the pipe is full
            before = worker.token(names[0])
            until(partial(differs, worker, names[0], before), what="another token")

        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(15) == 0
    finally:
        daemon.kill()
        daemon.wait()
        os.close(reader)
        os.close(writer)
