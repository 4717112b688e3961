"""Many namespaces that come and go: neither the daemon nor the helper keeps anything of them.

`NAMESPACES=10000` makes it ten thousand (`make test-namespaces`). The names are used again and again, so a namespace is
also replaced under its path.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bench.namespaces import Namespaces, open_namespaces, read_memory
from tests.program import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.emulator.testing import Scenario
    from tests.conftest import Need
    from tests.program import Log, Worker

BATCH = 20
COUNT = int(os.environ.get("NAMESPACES", "60"))
OUTSIDE = "outside"
_MOST_MORE_MEBIBYTES = 8.0
_KEPT = 8

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE * 2 + COUNT)]


@pytest.fixture
def namespaces(tmp_path: Path, need: Need) -> Iterator[Namespaces]:
    """Return a directory of namespaces whose helper serves root; in one of them are the outer ends of interfaces."""
    need.root()
    need.tool("ip", "apt-get install iproute2")
    with open_namespaces(tmp_path) as found:
        found.make(OUTSIDE)
        yield found


def run_outside(namespaces: Namespaces, *command: str) -> str:
    """Return what a command prints in the namespace with the outer ends."""
    enter = ["nsenter", f"--net={namespaces.root / OUTSIDE}", *command]
    return subprocess.run(enter, check=True, capture_output=True, text=True).stdout


def count_what_is_open(*processes: int) -> list[int]:
    """Return how many descriptors and threads processes have."""
    places = [Path(f"/proc/{process}/{kind}") for process in processes for kind in ("fd", "task")]
    return [len(list(place.iterdir())) for place in places]


def is_as_before(before: list[int], now: list[int]) -> bool:
    """Return whether no count is higher than before, but for connections to Google that the daemon's workers keep."""
    return all(after <= former + _KEPT for former, after in zip(before, now, strict=True))


def count_interfaces(namespaces: Namespaces) -> int:
    """Return how many outer ends exist."""
    return run_outside(namespaces, "ip", "-brief", "link", "show", "type", "veth").count("\n")


def come_and_go(namespaces: Namespaces, worker: Worker, log: Log, round_number: int) -> None:
    """Serve a batch of namespaces with an interface each, and remove them: half with the drop-in first."""
    names = [f"t{number}" for number in range(BATCH)]
    for name in names:
        path = namespaces.make(name)
        run_outside(namespaces, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(path))
        worker.drop_in(name, identity="alice", metadata={"netns": str(path)})
    for name in names:
        log.wait_for("metadata.serving", target=name, count=round_number)
    for name in names[::2]:
        (worker.drop_ins / f"{name}.yaml").unlink()
    for name in names:
        namespaces.remove(name)
    for name in names[1::2]:
        (worker.drop_ins / f"{name}.yaml").unlink()
    until(lambda: count_interfaces(namespaces) == 0, what="the interfaces are gone")


def test_nothing_is_left_of_namespaces_that_are_gone(cloud: tuple[Worker, Scenario], namespaces: Namespaces) -> None:
    """Descriptors, threads, interfaces and memory of both programs are as after the first batch."""
    worker, _ = cloud
    worker.drop_ins.mkdir()
    worker.configure("alice", targets={}, targets_directory=str(worker.drop_ins))
    with ExitStack() as stack:
        log = stack.enter_context(worker.daemon("--netns-helper", str(namespaces.socket)))
        come_and_go(namespaces, worker, log, 1)
        processes = log.process.pid, namespaces.helper
        open_at_start = count_what_is_open(*processes)
        memory = [read_memory(each) for each in processes]

        for number in range(1, COUNT // BATCH):
            come_and_go(namespaces, worker, log, 1 + number)

        until(lambda: is_as_before(open_at_start, count_what_is_open(*processes)), what="everything is closed")
        more = [read_memory(each) - before for each, before in zip(processes, memory, strict=True)]
        assert max(more) <= _MOST_MORE_MEBIBYTES, more
