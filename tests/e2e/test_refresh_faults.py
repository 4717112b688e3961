"""While the files still serve and nothing can be refreshed, `check` and `status` show why, once, and `doctor` too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.program import Worker, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from refresher.emulator.testing import Scenario


def lose_keys(keys: Path) -> str:
    """Move the keys directory away."""
    keys.rename(keys.with_name("gone"))
    return f"{keys} does not exist"


def open_keys(keys: Path) -> str:
    """Make the keys directory accessible to others."""
    keys.chmod(0o755)
    return f"the keys directory {keys} can be read or written by others (mode 0755)"


def open_key(keys: Path) -> str:
    """Make the key itself readable for others."""
    (key,) = keys.glob("*.pem")
    key.chmod(0o444)
    return f"{key} can be read or written by others"


def retire_keys(keys: Path) -> str:
    """Leave no key that signs: all are retiring."""
    registry = keys / "keys.json"
    document = json.loads(registry.read_text())
    for key in document["keys"]:
        key |= {"state": "retiring", "retiring_at": key["created_at"]}
    registry.chmod(0o600)
    registry.write_text(json.dumps(document))
    registry.chmod(0o400)
    return f"{keys} holds no active key"


def damage_keys(keys: Path) -> str:
    """Spoil the registry."""
    registry = keys / "keys.json"
    registry.chmod(0o600)
    registry.write_text("{")
    registry.chmod(0o400)
    return f"{registry} is damaged"


FAULTS = (lose_keys, open_keys, open_key, retire_keys, damage_keys)


@pytest.mark.parametrize("spoil", FAULTS)
def test_what_stops_every_refresh_is_shown_once_while_files_serve(
    cloud: tuple[Worker, Scenario], spoil: Callable[[Path], str]
) -> None:
    """With two suppliers over the same keys, the fault stands once; `check` shows why it exits with 0 all the same."""
    worker, _ = cloud
    document = worker.document("alice")
    document["suppliers"]["second"] = dict(document["suppliers"]["worker"])
    document["identities"]["alice"]["supplier"] = "worker"
    worker.write(document)
    worker.once()
    problem = spoil(worker.place / "keys")

    checked = worker.command("check")
    shown = worker.command("status")
    listed = json.loads(worker.command("status", "--json").stdout)

    assert (checked.stdout + checked.stderr).count(problem) == 1
    assert ": not fine, 1 target, " in checked.stdout
    assert "the configuration is valid, but the daemon can't refresh tokens" in checked.stdout
    assert "the exit status judges the configuration alone" in checked.stdout
    assert shown.stdout.count(f"warning: the daemon can't refresh: {problem}") == 1
    assert shown.stdout.endswith("ready, but not refreshed: see the warnings\n")
    assert listed["ready"] is True
    assert [problem in each["problem"] for each in listed["faults"]] == [True]
    assert listed["faults"][0]["remedy"]


def test_supplier_that_fails_is_shown_while_files_are_due(cloud: tuple[Worker, Scenario]) -> None:
    """No file shows why a program fails that is the supplier: the daemon is asked, and the cause stands once."""
    worker, _ = cloud
    targets = {"alice": {}, "bob": {"identity": "alice"}}
    document = worker.document("alice", listen=f"unix:{worker.place}/status/http.sock", targets=targets)
    worker.write(document)
    worker.once()
    program = worker.place / "supply"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    document["suppliers"]["worker"] = {"kind": "command", "argv": [str(program)]}
    document["identities"]["alice"]["subject"] = "another"
    worker.write(document)
    with worker.daemon() as log:
        log.wait_for("token.supply_failed")
        log.wait_for("daemon.listening")
        shown = until(
            lambda: (out := worker.command("status").stdout).count("refreshing alice, bob fails:") and out,
            what="the reason in status",
        )
        entry = worker.status()["alice"]["refresh"]

    (line,) = [line for line in shown.splitlines() if line.startswith("warning: refreshing")]
    assert "exit" in line
    assert "7" in line
    assert (entry["target"], entry["artifact"]) == ("alice", None)
    assert entry["failures"] >= 1
    assert entry["problem"] in line


def test_status_shows_an_address_that_can_not_be_listened_on_and_the_emulator(cloud: tuple[Worker, Scenario]) -> None:
    """Probes get no answer at such an address, and what an emulator accepts proves nothing of Google."""
    worker, _ = cloud
    worker.configure("alice", listen="192.0.2.1:8099")

    notes = worker.command("status").stderr

    assert "listen: 192.0.2.1:8099 can't be listened on" in notes
    assert "google.emulator is true" in notes


def test_overdue_targets_show_the_one_cause_and_not_each_the_log(tmp_path: Path) -> None:
    """The daemon knows why tokens are overdue: `status` shows it once, and does not refer to the log for the same."""
    worker = Worker(place=tmp_path, lifetime="12s")
    worker.make_keys()
    worker.configure("alice", "bob", "carol", "dave", listen=f"unix:{tmp_path}/status/http.sock")
    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        problem = lose_keys(tmp_path / "keys")
        until(lambda: {each["state"] for each in worker.status().values()} <= {"overdue", "expired"}, what="overdue")
        shown = worker.command("status").stdout
        listed = worker.status()

    remedies = [line.strip() for line in shown.splitlines() if "remedy: " in line]
    assert len(remedies) == 1, shown
    assert shown.count(problem) == 1
    assert "read the daemon's log" not in shown
    assert {f"remedy: {each['remedy']}" for each in listed.values()} == set(remedies)
