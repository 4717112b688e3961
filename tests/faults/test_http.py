"""HTTP under attack: other clients' probes are answered within a second, the tick is not late, memory is bounded."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.http_attacker import ATTACKS
from tests.program import Log, Worker, until
from tests.status_socket import ask

TARGETS = 500
PROBES = 30
MOST_SECONDS = 1.0
MOST_GROWTH = 48 * 2**20
"""Bytes: a few answers that are kept for a second, and 64 connections."""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Log, Path]]:
    """Return a daemon with many targets, and its socket."""
    worker = Worker(place=tmp_path_factory.mktemp("http"))
    worker.make_keys()
    path = worker.place / "status" / "http.sock"
    worker.configure(*(f"t{number}" for number in range(TARGETS)), listen=f"unix:{path}")
    with worker.daemon("-q") as log:
        until(path.is_socket, what="a socket")
        until(lambda: ask(path, "/readyz").status == 200, what="a ready daemon")
        yield log, path
        assert log.process.poll() is None
        assert log.events("daemon.fault") == []


def read_metrics(path: Path) -> dict[str, float]:
    """Return the metrics without labels."""
    return {
        name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", ask(path, "/metrics").body, re.MULTILINE)
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ATTACKS)
def test_attack_delays_no_probe(attacked: tuple[Log, Path], kind: str) -> None:
    """Slow, deaf, oversized, malformed and thousands of connections leave probes, tick and memory alone."""
    _, path = attacked
    before = read_metrics(path)["process_resident_memory_bytes"]
    attacker = Path(__file__).with_name("http_attacker.py")

    with subprocess.Popen([sys.executable, str(attacker), kind, str(path)], stdout=subprocess.PIPE) as attack:
        try:
            assert attack.stdout is not None
            assert attack.stdout.readline() == b"on\n"
            took, ticks = [], []
            for number in range(PROBES):
                status, _, seconds = ask(path, ("/livez", "/readyz/t7", "/readyz")[number % 3])
                assert status == 200
                took.append(seconds)
                if number % 3 == 0:
                    ticks.append(read_metrics(path)["refresher_last_tick_seconds"])
            after = read_metrics(path)["process_resident_memory_bytes"]
        finally:
            attack.kill()

    assert max(took) < MOST_SECONDS
    assert max(ticks) < 3.0
    assert after - before < MOST_GROWTH
