"""The end of the daemon, of `once` and of `token`, while programs of suppliers still run: none of them is left."""

from __future__ import annotations

import ast
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.program import Worker, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """Return a worker whose only supplier is a program that ignores SIGTERM and reports its process group."""
    script = f"trap '' TERM; echo $$ > {tmp_path}/written; mv {tmp_path}/written {tmp_path}/group; sleep 600 & wait"
    made = Worker(place=tmp_path)
    made.configure("alice", suppliers={"slow": {"kind": "command", "argv": ["/bin/sh", "-c", script]}})
    return made


@pytest.mark.parametrize(
    ("command", "number", "status"),
    [
        (["run"], signal.SIGTERM, 0),
        (["run"], signal.SIGINT, 0),
        (["once"], signal.SIGTERM, 143),
        (["once"], signal.SIGINT, 130),
        (["token", "--kind", "subject", "alice"], signal.SIGTERM, 143),
    ],
    ids=["run", "interrupted run", "once", "interrupted once", "token"],
)
def test_programs_of_suppliers_end_with_it(
    worker: Worker, command: list[str], number: signal.Signals, status: int
) -> None:
    """A supplier's program that still has time is ended with its children, and the end is as fast as usual."""
    told = worker.place / "group"
    with worker.running(*command) as log:
        until(told.exists, what="the program runs")

        assert log.end(number) == status

    until(lambda: not _is_alive(int(told.read_text())), what="the process group is gone")


@pytest.mark.parametrize("command", [["run"], ["once"]], ids=["run", "once"])
def test_no_core_dump_is_written(worker: Worker, need: Need, command: list[str]) -> None:
    """SIGQUIT, or a crash, writes no file with the memory, which holds keys and tokens."""
    prlimit, place = need.tool("prlimit", "apt-get install util-linux"), worker.place / "here"
    place.mkdir()
    worker.prefix = [prlimit, "--core=unlimited", "sh", "-c", 'cd "$0" && exec "$@"', str(place)]
    with worker.running(*command) as log:
        until((worker.place / "group").exists, what="the program runs")

        assert log.end(signal.SIGQUIT) == -signal.SIGQUIT

    assert list(place.iterdir()) == []


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


PYTHON = os.path.realpath(sys.executable)
REACHES = """
import os, sys
def can(path, mode="rb"):
    try:
        with open(path, mode) as file:
            return bool(file.read(1)) if mode == "rb" else True
    except OSError:
        return False
status = open("/proc/self/status").read()
parent, place = os.getppid(), sys.argv[1]
facts = {
    "keys": any(can(f"{place}/keys/{name}") for name in os.listdir(f"{place}/keys")),
    "record": can(f"{place}/run/other/.target", "ab"),
    "signal": os.kill(parent, 0) is None,
    "memory": can(f"/proc/{parent}/mem"),
    "environment": can(f"/proc/{parent}/environ"),
    "capabilities": "CapEff:\\t0000000000000000" not in status or "CapBnd:\\t0000000000000000" not in status,
    "privileges": "NoNewPrivs:\\t1" not in status,
    "variables": sorted(os.environ),
    "descriptors": sorted(name for name in os.listdir("/proc/self/fd") if int(name) > 3),
}
with open(f"{place}/facts.new", "w") as file:
    print(facts, file=file)
os.rename(f"{place}/facts.new", f"{place}/facts")
"""


def test_program_reaches_what_the_guide_says(tmp_path: Path) -> None:
    """A supplier's program has the daemon's user and nothing else of it: `docs/isolation.md` lists what that means."""
    worker = Worker(place=tmp_path, environment={"TOP_SECRET": "shh"})
    worker.make_keys()
    worker.configure("other")
    worker.once()
    document = worker.document("alice", "other")
    document["suppliers"]["it"] = {"kind": "command", "argv": [PYTHON, "-c", REACHES, str(tmp_path)]}
    document["identities"]["alice"]["supplier"] = "it"
    document["identities"]["other"]["supplier"] = "worker"
    worker.write(document)

    with worker.daemon():
        until((worker.place / "facts").exists, what="the program runs")

    facts = ast.literal_eval((worker.place / "facts").read_text())
    variables = facts.pop("variables")
    assert facts == {
        "keys": True,
        "record": True,
        "signal": True,
        "memory": False,
        "environment": False,
        "capabilities": False,
        "privileges": False,
        "descriptors": [],
    }
    usual = {"HOME", "LANG", "LC_CTYPE", "PATH", "REFRESHER_AUDIENCE", "REFRESHER_IDENTITY", "REFRESHER_SUBJECT"}
    assert set(variables) <= usual
