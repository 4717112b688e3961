"""The daemon with a thousand targets, asked over HTTP and with the canary: its memory, and its time for a drop-in.

The limit for the slowest of a hundred drop-ins is the one in memory (tmpfs), where `/run` is; on a disk the time is
that of its journal. The processor time of a drop-in is measured too, which other processes change less.
"""

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.drop_ins import add_drop_in, wait_until, write_drop_in
from tests.bench.fixtures import COMMAND, write_configuration
from tests.bench.peers import serve
from tests.bench.processes import read_processor_seconds, read_resident_mebibytes
from tests.status_socket import ask

COUNT = 1000
DROP_INS = 300
_MEMORY = "/dev/shm"  # noqa: S108 - a directory of its own below it
_PAUSE = 0.05
"""Seconds between two drop-ins: other moments of the daemon's second each time."""
_IDLE_SECONDS = 10.0
_GROWTH_MEBIBYTES = 3
"""What 300 more targets may add to the memory."""
_IDLE_SHARE = 0.03
"""Of one processor, while nothing changes; most of it is the canary."""
_READY_SECONDS = 0.02
_PROCESSOR_SECONDS = 0.009
"""Of the daemon for one drop-in, the minting and its own reports included."""


def measure() -> Iterator[dict[str, Any]]:
    """Return the resident memory, and how long drop-ins take among targets of the main file and among drop-ins."""
    with serve(0) as origin:
        yield from _measure_place(_MEMORY, "tmpfs", origin, mebibytes=60)
        yield from _measure_place(_MEMORY, "tmpfs_drop_ins", origin, mebibytes=60, more=COUNT)
        yield from _measure_place(".venv", "disk", origin)


def _measure_place(
    place: str, kind: str, origin: str, *, mebibytes: int = 0, more: int = 0
) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(dir=place, prefix="bench-") as temporary:
        directory = Path(temporary).absolute()
        drop_ins = directory / "targets.d"
        drop_ins.mkdir(mode=0o755)
        targets = COUNT - more
        configuration = write_configuration(
            directory,
            COUNT,
            targets=targets,
            more=f"targets_directory: {drop_ins}\n"
            f"google: {{emulator: true, endpoints: {{sts: {origin}, iam_credentials: {origin}, metadata: {origin}}}}}",
            listen=f"unix:{directory}/status/http.sock",
            canary="5m",
        )
        for number in range(more):
            write_drop_in(directory, f"m{number}", f"t{number}")
        daemon = subprocess.Popen(
            [*COMMAND, "run", "--config", str(configuration), "-q", "-q"], stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: len(list((directory / "run").glob("*/env"))) == COUNT, pause=0.1)
            time.sleep(15)  # until the daemon has settled, and every target is watched
            for path in ("/", "/status.json", "/metrics", "/readyz"):
                wait_until(partial(_answers, directory / "status" / "http.sock", path), pause=0.1)
            resident = read_resident_mebibytes(daemon.pid)
            idle = _idle_share(daemon.pid)
            began, spent = time.perf_counter(), read_processor_seconds(daemon.pid)
            times = sorted(_add(directory, number) for number in range(DROP_INS))
            spent = read_processor_seconds(daemon.pid) - spent - idle * (time.perf_counter() - began)
            later = read_resident_mebibytes(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
    if mebibytes:
        yield {"name": f"resident_1000_{kind}", "mebibytes": resident, "limit": mebibytes}
        yield {"name": f"resident_1300_{kind}", "mebibytes": later, "limit": mebibytes + _GROWTH_MEBIBYTES}
        yield {"name": f"idle_1000_{kind}", "ratio": round(idle, 4), "limit": _IDLE_SHARE}
        yield {"name": f"drop_in_processor_{kind}", "seconds": round(spent / DROP_INS, 4), "limit": _PROCESSOR_SECONDS}
    late = times[-1 - DROP_INS // 100]
    figures = {"seconds": round(late, 4), "median": round(times[len(times) // 2], 4), "slowest": round(times[-1], 4)}
    yield {"name": f"drop_in_to_ready_{kind}", **figures, "limit": _READY_SECONDS if mebibytes else None}


def _answers(address: Path, path: str) -> bool:
    return ask(address, path).status == 200


def _add(directory: Path, number: int) -> float:
    """Add a drop-in; return the seconds until its directory is ready."""
    time.sleep(_PAUSE)
    return add_drop_in(directory, f"d{number}", f"t{number}")


def _idle_share(pid: int) -> float:
    """Return what share of one processor the daemon takes while nothing changes."""
    began = read_processor_seconds(pid)
    time.sleep(_IDLE_SECONDS)
    return (read_processor_seconds(pid) - began) / _IDLE_SECONDS
