"""The daemon has its own user: what others create in its way is refused, or reported with what heals it."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_once import DAEMON, as_daemon_user
from tests.program import COMMAND, remove_tree, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need
    from tests.program import Worker

STRANGER = 54_399


def list_owners(place: Path) -> dict[str, int]:
    """Return what lies in a worker's directory, with its owner; not the logs."""
    return {
        str(path.relative_to(place)): path.lstat().st_uid
        for path in place.rglob("*")
        if not path.name.startswith("log-")
    }


def give(place: Path) -> None:
    """Make the daemon's user the owner of a directory and of all in it."""
    for path in (place, *place.rglob("*")):
        os.chown(path, DAEMON, DAEMON)


def make_readable(path: Path) -> None:
    """Make root the owner of a file or a directory, and every user able to read it."""
    os.chown(path, 0, 0)
    path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


@pytest.mark.parametrize("command", ["once", "run"])
@pytest.mark.parametrize("evidence", ["keys", "root", "lock", "drop-ins"])
def test_root_creates_nothing_where_the_daemon_is_another_user(
    worker: Worker, need: Need, evidence: str, command: str
) -> None:
    """As root `once` and `run` refuse what another user's daemon keeps, before anything is created."""
    need.root()
    worker.configure("alice", targets_directory=str(worker.drop_ins))
    worker.drop_in("bob", identity="alice")
    if evidence in ("root", "lock"):
        worker.root.mkdir(mode=0o755)
    if evidence == "lock":
        (worker.root / ".lock").touch(mode=0o600)
    give({"keys": worker.place / "keys", "root": worker.root, "drop-ins": worker.drop_ins}.get(evidence, worker.root))
    if evidence == "lock":
        os.chown(worker.root, 0, 0)
    before = list_owners(worker.place)

    done = worker.command(command, status=4)

    assert list_owners(worker.place) == before
    assert f"belongs to uid {DAEMON}" in done.stderr
    assert f"--uid={DAEMON}" in done.stderr
    assert f"--reuid={DAEMON}" in done.stderr
    assert f"refresher {command} --config {worker.configuration}" in done.stderr


@pytest.mark.parametrize("command", ["once", "run"])
def test_root_is_refused_again_where_its_own_lock_was_left(worker: Worker, need: Need, command: str) -> None:
    """What an earlier run of root's left behind does not make the daemon's keys root's."""
    need.root()
    worker.configure("alice")
    worker.root.mkdir(mode=0o755)
    (worker.root / ".lock").touch(mode=0o600)
    give(worker.place / "keys")

    worker.command(command, status=4)

    assert [path.name for path in worker.root.iterdir()] == [".lock"]


def test_root_serves_itself(worker: Worker, need: Need) -> None:
    """Where everything is root's, root goes on."""
    need.root()
    worker.configure("alice")

    worker.once()
    worker.once("--force")

    assert worker.status()["alice"]["state"] == "fresh"


def test_root_that_was_uncovered_is_one_fault_with_its_remedy(worker: Worker, need: Need) -> None:
    """After an unmount the mount point is root's: the fault is the root's, once, and no one is sent to `start`."""
    worker.configure("alice", "bob")
    as_daemon_user(worker, need, "+chown")
    make_readable(worker.configuration)
    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        worker.root.rename(worker.place / "former")
        make_readable(worker.place)
        worker.root.mkdir(mode=0o755)

        log.wait_for("directory.recreated")
        fault, failure = log.wait_for("daemon.fault"), log.wait_for("token.publish_failed")
        prefix, worker.prefix = worker.prefix, []
        report = worker.command("status").stdout
        worker.prefix = prefix
        second = worker.command("run", status=4).stderr
        os.chown(worker.root, DAEMON, DAEMON)
        log.wait_for("token.published", target="alice", count=2)
        log.wait_for("token.published", target="bob", count=2)
        faults, failures = log.events("daemon.fault"), log.events("token.publish_failed")

    for event in (fault, failure):
        assert f"directory_root {worker.root} belongs to uid 0" in event["error"]
        assert "mount it again" in event["remedy"]
        assert f"chown {DAEMON} {worker.root}" in event["remedy"]
    assert ".lock" in fault["error"]
    assert len(faults) == 1
    assert {event["failures"] for event in failures if "target" in event} <= {1, 2}
    assert {(event["error"], event["remedy"]) for event in failures} == {(failure["error"], failure["remedy"])}
    assert "another daemon already publishes" in second
    assert "no daemon holds" not in report
    assert "systemctl start" not in report


def test_root_that_is_gone_is_one_fault_with_its_remedy(worker: Worker, need: Need) -> None:
    """A root that the daemon may not create again is one fault, which shows how root creates it."""
    worker.configure("alice", "bob")
    as_daemon_user(worker, need, "+chown")
    make_readable(worker.configuration)
    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        make_readable(worker.place)
        worker.root.rename(worker.place / "former")

        fault = log.wait_for("daemon.fault")
        prefix, worker.prefix = worker.prefix, []
        report = worker.command("status").stdout
        worker.prefix = prefix
        worker.root.mkdir(mode=0o755)
        os.chown(worker.root, DAEMON, DAEMON)
        log.wait_for("token.published", target="bob", count=2)
        failures = log.events("token.publish_failed")

    assert f"directory_root {worker.root} does not exist" in fault["error"]
    assert f"install -d -o {DAEMON} -m 0755 {worker.root}" in fault["remedy"]
    assert not failures
    assert "no daemon holds" not in report
    assert "systemctl start" not in report


@pytest.mark.parametrize("owner", [0, STRANGER])
@pytest.mark.parametrize("mode", [0o711, 0o777])
def test_directory_of_another_user_has_one_answer_that_heals(worker: Worker, need: Need, owner: int, mode: int) -> None:
    """The log and `status` show the same remedy; half of it (chown) leads to the same one, and the whole heals."""
    worker.configure("alice")
    as_daemon_user(worker, need, "+chown")
    make_readable(worker.configuration)
    place = worker.directory("alice")
    place.mkdir(parents=True)
    (place / ".target").write_text("{}")
    (place / ".target").chmod(0o600)
    place.chmod(mode)
    os.chown(worker.root, DAEMON, DAEMON)
    for path in (place, place / ".target"):
        os.chown(path, owner, owner)
    remedy = f"rm -r {place}"
    with worker.daemon() as log:
        failure = log.wait_for("token.publish_failed")
        prefix, worker.prefix = worker.prefix, []
        verdict = worker.status()["alice"]
        worker.prefix = prefix
        os.chown(place, DAEMON, DAEMON)
        place.chmod(stat.S_IMODE(place.stat().st_mode) & ~0o022)
        log.send(1)
        second = log.wait_for("token.publish_failed", count=2)
        remove_tree(place)
        log.send(1)
        log.wait_for("token.published")

    assert f"belongs to uid {owner}, not to the daemon (uid {DAEMON})" in failure["error"]
    for text in (failure["remedy"], verdict["remedy"], second["remedy"]):
        assert remedy in text
        assert "find out who" in text
        assert "start again each container" in text
        assert "chown" not in text
        assert "run this as" not in text
    assert ".target can't be read" in second["error"]


@pytest.mark.parametrize(
    ("owner", "advised", "not_advised"),
    [
        pytest.param(f":{STRANGER}", "add the daemon's user to that group", "':GROUP'", id="group"),
        pytest.param(f"{STRANGER}:{STRANGER}", "CAP_DAC_READ_SEARCH", "to that group", id="user"),
    ],
)
def test_missing_right_to_give_files_away_is_named_with_what_grants_it(
    worker: Worker, need: Need, owner: str, advised: str, not_advised: str
) -> None:
    """Without CAP_CHOWN the remedy is the unit's lines, and never to run as root, which leads to a refusal."""
    worker.configure("alice", targets={"alice": {"owner": owner}})
    as_daemon_user(worker, need, "-all")

    text = worker.once(status=4).stderr

    assert "AmbientCapabilities=CAP_CHOWN" in text
    assert "CapabilityBoundingSet=CAP_CHOWN" in text
    assert str(STRANGER) in text
    assert advised in text
    assert not_advised not in text
    assert "as root" not in text


@pytest.mark.parametrize("what", ["file of root", "file of the daemon", "directory"])
def test_drop_in_that_the_daemon_may_not_read_has_the_remedy_that_works(worker: Worker, need: Need, what: str) -> None:
    """The remedy is a command for the very file or directory that keeps the daemon out, and it heals."""
    worker.configure("alice", targets_directory=str(worker.drop_ins))
    worker.drop_in("bob", identity="alice")
    drop_in = worker.drop_ins / "bob.yaml"
    as_daemon_user(worker, need, "+chown")
    os.chown(worker.drop_ins, 0, 0)
    if what == "directory":
        worker.drop_ins.chmod(0o744)
    else:
        drop_in.chmod(0o200)
    if what == "file of root":
        os.chown(drop_in, 0, 0)
        drop_in.chmod(0o600)
    commands = {
        "file of root": f"as root: chown {DAEMON} {drop_in}",
        "file of the daemon": f"chmod u+r {drop_in}",
        "directory": f"as root: chmod o+x {worker.drop_ins}",
    }

    refused = worker.once(status=2).stderr
    subprocess.run(commands[what].removeprefix("as root: ").split(), check=True)

    assert f"may not read {drop_in} — {commands[what]}\n" in refused
    assert "published" in worker.once().stderr


def test_lock_of_root_in_the_daemons_root_is_given_back(worker: Worker, need: Need) -> None:
    """The remedy for a lock that root left is to make it the daemon's: removing it is what the guide forbids."""
    worker.configure("alice")
    as_daemon_user(worker, need, "+chown")
    make_readable(worker.configuration)
    worker.once()
    lock = worker.root / ".lock"
    os.chown(lock, 0, 0)

    with worker.daemon() as log:
        fault = log.wait_for("daemon.fault")
        log.wait_for("daemon.ready")
        os.chown(lock, DAEMON, DAEMON)
        until(lambda: "daemon holds" in worker.command("status").stdout, what="the lock to be held")
        faults = log.events("daemon.fault")

    assert f"{lock} belongs to uid 0" in fault["error"]
    assert f"chown {DAEMON} {lock}" in fault["remedy"]
    assert "remove" not in fault["remedy"]
    assert len(faults) == 1


def find_command(text: str) -> str:
    """Return the command of a remedy that runs `once` as the daemon's user, as it is written."""
    found = re.search(r"setpriv [^`;]*refresher once --config [^`;\s]+", text)
    assert found, text
    return found[0]


@pytest.mark.parametrize("is_gone", [True, False], ids=["removed", "unmounted"])
def test_remedy_for_a_lost_root_heals_word_for_word(worker: Worker, need: Need, *, is_gone: bool) -> None:
    """As root, without any lock, `status` and `wait` show the lines that heal, and `once` no other than those."""
    worker.configure("alice")
    as_daemon_user(worker, need, "+chown")
    make_readable(worker.configuration)
    worker.once()
    worker.prefix = []
    worker.root.rename(worker.place / "former")
    make_readable(worker.place)
    if not is_gone:
        worker.root.mkdir(mode=0o755)

    status, wait = worker.command("status").stdout, worker.command("wait", "--timeout", "0s", status=6).stderr
    refusal = worker.once(status=4).stderr
    created = re.search(r"as root: (install [^;]+);", status)
    assert created, status
    environment = os.environ | {"PATH": f"{Path(COMMAND[0]).parent}:{os.environ['PATH']}"}
    for line in (created[1], find_command(status)):
        subprocess.run(["sh", "-c", line], env=environment, check=True, capture_output=True, timeout=60)

    assert find_command(wait) == find_command(status) == find_command(refusal)
    assert "chown -R" not in refusal
    assert worker.status()["alice"]["state"] == "fresh"


def test_doctor_of_root_shows_a_lost_root_as_the_first_broken_link(worker: Worker, need: Need) -> None:
    """What root may not ask is unknown, not broken: the lost root is the failure, and is shown with its remedy."""
    worker.configure("alice")
    as_daemon_user(worker, need, "+chown")
    make_readable(worker.configuration)
    worker.prefix = []

    report = json.loads(worker.command("doctor", "--offline", "--json", status=6).stdout)

    found = [*report["worker"], *report["targets"][0]["findings"]]
    assert [each["link"] for each in found if each["state"] == "failed"] == ["file"]
    (broken,) = [each for each in found if each["state"] == "failed"]
    assert broken["entry"] == "root-lost"
    assert f"install -d -o {DAEMON} -m 0755 {worker.root}" in broken["remedy"]
    assert [each["state"] for each in found if each["link"] == "supplier"] == ["unknown"]


def test_doctor_of_root_sees_keys_that_the_daemon_will_refuse(worker: Worker, need: Need) -> None:
    """Root does not ask the supplier, and yet sees that others can read the keys: the next start would fail."""
    worker.configure("alice")
    as_daemon_user(worker, need, "+chown")
    make_readable(worker.configuration)
    worker.once()
    worker.prefix = []
    (worker.place / "keys").chmod(0o755)

    report = worker.command("doctor", "--offline", status=3).stdout

    assert report.startswith("✗ supplier: the keys directory")
    assert f"chmod 0700 {worker.place / 'keys'}" in report
