"""`refresher targets`, and the life of the daemon under a scheduler and a supervisor, as processes."""

import json
import os
import signal
import socket
import time
from contextlib import nullcontext, suppress

import pytest

from refresher import targets
from tests.program import Worker, until


@pytest.fixture
def machine(worker: Worker) -> Worker:
    """Return a worker with one identity, no target yet, and a directory of drop-ins."""
    worker.drop_ins.mkdir(mode=0o755)
    worker.configure("alice", targets={}, targets_directory=str(worker.drop_ins))
    return worker


def test_scheduler_adds_and_removes_a_target(machine: Worker) -> None:
    """The directory is ready when `add --wait` returns; after `remove` its `env` is gone."""
    config = ("--config", str(machine.configuration))
    with machine.daemon() as log:
        added = machine.run("targets", "add", "task", *config, "--identity", "alice", "--wait", "--json")
        facts = json.loads(added.stdout)

        assert facts["is_ready"] is True
        assert facts["directory"] == str(machine.directory("task"))
        assert (machine.directory("task") / "env").exists()

        listed = json.loads(machine.run("targets", "list", *config, "--json").stdout)
        assert [(each["name"], each["identity"], each["problem"]) for each in listed["targets"]] == [
            ("task", "alice", None)
        ]

        machine.run("targets", "remove", "task", *config)
        log.wait_for("target.removed", target="task")
        until(lambda: not (machine.directory("task") / "env").exists(), what="env is removed")
        again = machine.run("targets", "remove", "task", *config)
        assert again.stderr == "there is no drop-in task: nothing to remove\n"


def test_scheduler_in_python_waits_until_the_target_is_ready(machine: Worker) -> None:
    """The Python interface returns the directory and when its token expires."""
    with machine.daemon() as log:
        log.wait_for("daemon.started")
        targets.add("task", config=machine.configuration, identity="alice")
        ready = targets.wait("task", config=machine.configuration)

        assert ready.directory == machine.directory("task")
        assert ready.expires_at is not None
        assert (ready.directory / "env").exists()


def test_wrong_target_is_refused_with_status_2(machine: Worker) -> None:
    """Every mistake is a line, as with `check`, and nothing is written."""
    config = ("--config", str(machine.configuration))

    done = machine.run("targets", "add", "task", *config, "--identity", "bob", "--mode", "999", status=2)

    assert done.stderr.count("task.yaml:") == 2
    assert not list(machine.drop_ins.iterdir())


def test_drop_in_is_followed_between_two_ticks(machine: Worker) -> None:
    """A drop-in does not wait for the next second: of ten, most are ready in a fraction of it."""
    with machine.daemon() as log:
        log.wait_for("daemon.started")
        until(machine.root.exists, what="the first tick")
        time.sleep(1.5)
        times = []
        for number in range(10):
            began, variables = time.monotonic(), machine.directory(f"task-{number}") / "env"
            machine.drop_in(f"task-{number}", identity="alice")
            until(variables.exists, what="ready")
            times.append(time.monotonic() - began)

    assert sorted(times)[5] < 0.4


def test_daemon_keeps_refreshing_while_it_drains(machine: Worker) -> None:
    """After the first SIGTERM a new target is still served; a second one ends the daemon at once."""
    with machine.daemon("--drain", "5m") as log:
        log.wait_for("daemon.started")
        log.send(signal.SIGTERM)
        log.wait_for("daemon.draining")

        targets.add("late", config=machine.configuration, identity="alice")
        targets.wait("late", config=machine.configuration)
        status = log.end(signal.SIGTERM)

        assert status == 0
        assert (machine.directory("late") / "token").exists()


def test_drain_ends_by_itself(machine: Worker) -> None:
    """The daemon ends when its time has passed, without another signal."""
    with machine.daemon("--drain", "1s") as log:
        log.wait_for("daemon.started")
        began = time.monotonic()

        assert log.end(signal.SIGTERM) == 0
        assert time.monotonic() - began >= 1


def test_supervisor_hears_of_the_daemons_life(machine: Worker) -> None:
    """It is ready after the first plan, alive by its ticks, reloads at SIGHUP, and stops at SIGTERM."""
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(machine.place / "notify"))
        systemd.settimeout(0.05)

        def has(line: str) -> bool:
            with suppress(TimeoutError):
                heard.extend(systemd.recv(4096).decode().split("\n"))
            return line in heard

        machine.environment = {"NOTIFY_SOCKET": str(machine.place / "notify"), "WATCHDOG_USEC": "2000000"}
        with machine.daemon() as log:
            until(lambda: has("READY=1"), what="ready")
            assert "STATUS=0 targets" in heard
            until(lambda: heard.count("WATCHDOG=1") >= 3 or (has("") and False), what="three signs of life")
            heard.clear()
            log.send(signal.SIGHUP)
            until(lambda: has("RELOADING=1"), what="reloading")
            until(lambda: has("READY=1"), what="ready again")
            assert log.end(signal.SIGTERM) == 0
            until(lambda: has("STOPPING=1"), what="stopping")

    assert os.path.exists(machine.place / "notify")  # noqa: PTH110 - a socket


@pytest.mark.parametrize("is_restarted", [False, True], ids=["reloaded", "restarted"])
def test_withdrawn_identity_loses_env_and_a_broken_drop_in_nothing(machine: Worker, *, is_restarted: bool) -> None:
    """A deleted identity loses `env` at once although its drop-in stays; while the identity exists nothing goes."""
    machine.configure("alice", "dave", targets={}, targets_directory=str(machine.drop_ins))
    machine.drop_in("dave-train", identity="dave")
    machine.drop_in("alice-train", identity="alice")

    def withdraw() -> None:
        machine.drop_in("alice-train", identity=["broken"])
        machine.configure("alice", targets={}, targets_directory=str(machine.drop_ins))

    with machine.daemon() as log:
        log.wait_for("token.published", count=2)
        if not is_restarted:
            withdraw()
            log.wait_for("target.retired")
    if is_restarted:
        withdraw()
    with machine.daemon() if is_restarted else nullcontext(log) as log:
        retired = log.wait_for("target.retired", target="dave-train")

    assert "identity dave" in retired["error"]
    assert sorted(os.listdir(machine.directory("dave-train"))) == [".target", "credentials.json", "token"]
    assert (machine.directory("alice-train") / "env").exists()
    machine.run("wait", "--directory", str(machine.directory("dave-train")), "--timeout", "0s", status=6)


def test_file_that_another_process_removes_is_back_at_once(machine: Worker) -> None:
    """What happens behind the daemon's back in a target's directory is seen between two ticks, and logged."""
    with machine.daemon() as log:
        machine.drop_in("task", identity="alice")
        log.wait_for("token.published", target="task")
        token = machine.directory("task") / "token"
        until(token.exists, what="published")
        time.sleep(2.5)  # until the directory is watched
        times = []
        for _ in range(5):
            began = time.monotonic()
            token.unlink()
            until(token.exists, what="published again")
            times.append(time.monotonic() - began)
            time.sleep(0.5)  # until the daemon has noted what it wrote

        assert sorted(times)[2] < 0.4
        log.wait_for("artifact.tampered", target="task")
