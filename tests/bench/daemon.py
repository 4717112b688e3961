"""The daemon with a thousand targets, asked over HTTP: resident memory, and how soon a drop-in is a ready directory.

The limit for the slowest of a hundred drop-ins is the one in memory (tmpfs), where `/run` is; on a disk the time is
that of its journal.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.fixtures import COMMAND, write_configuration
from tests.status_socket import ask

COUNT = 1000
DROP_INS = 300
_PATIENCE_SECONDS = 60.0
_MEMORY = "/dev/shm"  # noqa: S108 - a directory of its own below it
_PAUSE = 0.05
"""Seconds between two drop-ins: other moments of the daemon's second each time."""


def measure() -> Iterator[dict[str, Any]]:
    """Return the resident memory, and how long drop-ins take among targets of the main file and among drop-ins."""
    yield from _measure_place(_MEMORY, "tmpfs", limit=0.02, more=0)
    yield from _measure_place(_MEMORY, "tmpfs_drop_ins", limit=0.02, more=COUNT)
    yield from _measure_place(".venv", "disk", limit=None, more=0)


def _measure_place(place: str, kind: str, *, limit: float | None, more: int) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(dir=place, prefix="bench-") as temporary:
        directory = Path(temporary).absolute()
        drop_ins = directory / "targets.d"
        drop_ins.mkdir(mode=0o755)
        targets = COUNT - more
        configuration = write_configuration(
            directory,
            COUNT,
            targets=targets,
            more=f"targets_directory: {drop_ins}",
            listen=f"unix:{directory}/status/http.sock",
        )
        for number in range(more):
            _write(directory, f"m{number}", number)
        daemon = subprocess.Popen(
            [*COMMAND, "run", "--config", str(configuration), "-q", "-q"], stderr=subprocess.DEVNULL
        )
        try:
            _until(lambda: len(list((directory / "run").glob("*/env"))) == COUNT, pause=0.1)
            time.sleep(15)  # until the daemon has settled, and every target is watched
            times = sorted(_drop_in(directory, number) for number in range(DROP_INS))
            for path in ("/", "/status.json", "/metrics", "/readyz"):
                _until(partial(_answers, directory / "status" / "http.sock", path), pause=0.1)
            resident = _resident_mebibytes(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
    if limit is not None and not more:
        yield {"name": "daemon_1000_resident", "mebibytes": resident, "limit": 75}
    late = times[-1 - DROP_INS // 100]
    figures = {"seconds": round(late, 4), "median": round(times[len(times) // 2], 4), "slowest": round(times[-1], 4)}
    yield {"name": f"drop_in_to_ready_{kind}", **figures, "limit": limit}


def _answers(address: Path, path: str) -> bool:
    return ask(address, path).status == 200


def _write(directory: Path, name: str, number: int) -> float:
    """Write a drop-in like a scheduler; return when it was there."""
    temporary = directory / "targets.d" / f".{name}.yaml"
    temporary.write_text(f"identity: t{number}\n", encoding="utf-8")
    temporary.chmod(0o644)
    began = time.perf_counter()
    temporary.rename(directory / "targets.d" / f"{name}.yaml")
    return began


def _drop_in(directory: Path, number: int) -> float:
    """Add a drop-in; return the seconds until its directory is ready."""
    time.sleep(_PAUSE)
    began = _write(directory, f"d{number}", number)
    _until((directory / "run" / f"d{number}" / "env").exists, pause=0.0005)
    return time.perf_counter() - began


def _until(condition: Callable[[], bool], *, pause: float) -> None:
    deadline = time.perf_counter() + _PATIENCE_SECONDS
    while not condition():
        if time.perf_counter() > deadline:
            raise TimeoutError("the daemon did not get there")
        time.sleep(pause)


def _resident_mebibytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
