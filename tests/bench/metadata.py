"""Metadata endpoints: how soon a listener is in place, how many requests they answer, and what a thousand of them need.

A listener of the helper's and one of a bare loop (a thread, setns, bind, listen) are opened in turn in the same
namespaces. Requests are sent by another process, in turn to the endpoints and to a bare server of asyncio that writes
the same response.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from threading import Thread
from typing import TYPE_CHECKING, Any

from refresher.metadata.namespaces import LOOPBACK, open_listener
from refresher.metadata.opener import HelperOpener
from refresher.metadata.wanted import Wanted
from tests.bench.fixtures import COMMAND, write_configuration
from tests.bench.namespaces import enter, open_namespaces, read_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.namespaces import Namespaces

COUNT = 1000
ENDPOINTS = 32
_ROUNDS = 9
_PASSES = 5
_PATIENCE_SECONDS = 300.0


def measure() -> Iterator[dict[str, Any]]:
    """Return all figures; none without root, which namespaces need."""
    if os.geteuid() != 0:
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as place, open_namespaces(Path(place)) as namespaces:
        names = [f"t{number}" for number in range(COUNT)]
        for name in names:
            namespaces.make(name)
        yield from _measure_listeners(namespaces, names)
        yield from _measure_memory(namespaces, names, Path(place))
    yield from _measure_requests()


def _measure_listeners(namespaces: Namespaces, names: list[str]) -> Iterator[dict[str, Any]]:
    opener = HelperOpener(namespaces.socket)
    opener.connect()
    before = read_memory(namespaces.helper)
    rounds = [_open_all(opener, namespaces, names) for _ in range(_PASSES)]
    more = read_memory(namespaces.helper) - before
    opener.disconnect()
    # what else the machine does shows in some rounds alone
    mine, other, middle = sorted(rounds, key=lambda each: each[0] / each[1])[_PASSES // 2]
    yield {
        "name": "listener in place, p99",
        "ratio": round(mine / other, 2),
        "limit": 2.0,
        "milliseconds": round(mine * 1000, 2),
        "median_milliseconds": round(middle * 1000, 2),
        "bare_milliseconds": round(other * 1000, 2),
    }
    yield {"name": "helper, 1,000 namespaces", "mebibytes": round(more, 1), "limit": 20}


def _open_all(opener: HelperOpener, namespaces: Namespaces, names: list[str]) -> tuple[float, float, float]:
    """Open and close a listener of both kinds in each namespace; return both p99 in seconds, and our median."""
    ours, bare = [], []
    opened: list[socket.socket] = []
    for name in names:
        path = str(namespaces.root / name)
        began = time.perf_counter()
        opened += opener.open(name, Wanted(path, 8174, link_local=False))
        between = time.perf_counter()
        opened.append(_open_bare(path))
        bare.append(time.perf_counter() - between)
        ours.append(between - began)
    for each in opened:
        each.close()
    for name in names:
        opener.close(name)
    return quantiles(ours, n=100)[98], quantiles(bare, n=100)[98], median(ours)


def _open_bare(path: str) -> socket.socket:
    """Return a listener that a thread opened which does nothing else."""
    done: list[socket.socket] = []

    def open_there() -> None:
        namespace = os.open(path, os.O_RDONLY)
        enter(namespace)
        os.close(namespace)
        done.append(open_listener((LOOPBACK, 8175)))

    thread = Thread(target=open_there)
    thread.start()
    thread.join()
    return done[0]


def _measure_memory(namespaces: Namespaces, names: list[str], place: Path) -> Iterator[dict[str, Any]]:
    """Return how much more the daemon needs for a thousand targets if each has an endpoint, none of which has a token.

    The tokens are of the agenda and cost what any artifact costs.
    """
    found = []
    for is_served in (False, True):
        directory = place / f"memory-{is_served}"
        directory.mkdir()
        path = write_configuration(directory, COUNT)
        if is_served:
            text = path.read_text(encoding="utf-8")
            for name in names:
                text = text.replace(f"  {name}: {{}}", f"  {name}: {{metadata: {{netns: {namespaces.root / name}}}}}")
            path.write_text(text, encoding="utf-8")
        log = directory / "log"
        command = [*COMMAND, "run", "--config", str(path), "--netns-helper", str(namespaces.socket)]
        with log.open("w") as stream, subprocess.Popen(command, stderr=stream, stdout=stream) as daemon:
            try:
                deadline = time.monotonic() + _PATIENCE_SECONDS
                wanted = {"token.published": COUNT, "metadata.serving": COUNT if is_served else 0}
                while any(log.read_text().count(f'"{event}"') < count for event, count in wanted.items()):
                    if time.monotonic() > deadline:
                        raise TimeoutError("the daemon did not get there")
                    time.sleep(1)
                time.sleep(5)
                found.append(read_memory(daemon.pid))
            finally:
                daemon.kill()
    more = found[1] - found[0]
    yield {"name": "daemon, 1,000 endpoints", "mebibytes": round(more, 1), "limit": 60}


def _measure_requests() -> Iterator[dict[str, Any]]:
    served = {"ours": "endpoints", "bare": "bare"}
    rates: dict[str, list[float]] = {name: [] for name in served}
    latencies: dict[str, list[float]] = {name: [] for name in served}
    sent = dict.fromkeys(served, 0)
    processes = {}
    here = Path(__file__).with_name("metadata_load.py")
    with ExitStack() as stack:
        ports = {}
        for name, kind in served.items():
            process = subprocess.Popen(
                [sys.executable, str(here), kind, str(ENDPOINTS)], stdout=subprocess.PIPE, text=True
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            ports[name] = process.stdout.readline().strip()
            processes[name] = process.pid
        for _ in range(_ROUNDS):
            for name in served:
                command = [sys.executable, str(here), "load", ports[name]]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rate, latency, count = done.stdout.split()
                sent[name] += int(count)
                rates[name].append(float(rate))
                latencies[name].append(float(latency))
        used = {name: _read_processor_seconds(process) for name, process in processes.items()}
    mine, other = (sent[name] / used[name] for name in served)
    yield {
        "name": "cached token, bare / ours",
        "ratio": round(other / mine, 2),
        "limit": None,
        "requests_per_core_second": round(mine),
        "bare_requests_per_core_second": round(other),
        "requests_per_second": round(median(rates["ours"])),
        "bare_requests_per_second": round(median(rates["bare"])),
    }
    yield {"name": "10,000 requests, of a core", "seconds": round(10_000 / mine, 2), "limit": 1.0}
    yield {
        "name": "new connection, p50",
        "seconds": round(median(latencies["ours"]), 5),
        "limit": 0.001,
        "bare_seconds": round(median(latencies["bare"]), 5),
    }


def _read_processor_seconds(process: int) -> float:
    """Return how much of a core a process has used, whatever else the machine did (proc(5), `stat`)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
