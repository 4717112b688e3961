"""The end of the daemon, of `once` and of `token`, while programs of suppliers still run: none of them is left."""

from __future__ import annotations

import os
import signal
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
