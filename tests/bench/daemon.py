"""The daemon with a thousand targets, asked over HTTP: resident memory, and the time until a drop-in is ready."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.fixtures import COMMAND, write_configuration
from tests.status_socket import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 1000
DROP_INS = 10
_PATIENCE_SECONDS = 60.0


def measure() -> Iterator[dict[str, Any]]:
    """Return the resident memory and the slowest of several drop-ins."""
    with tempfile.TemporaryDirectory(dir=".venv", prefix="bench-") as place:
        directory = Path(place).absolute()
        drop_ins = directory / "targets.d"
        drop_ins.mkdir(mode=0o755)
        configuration = write_configuration(
            directory, COUNT, more=f"targets_directory: {drop_ins}", listen=f"unix:{directory}/status/http.sock"
        )
        daemon = subprocess.Popen(
            [*COMMAND, "run", "--config", str(configuration), "-q", "-q"], stderr=subprocess.DEVNULL
        )
        try:
            _until(lambda: len(list((directory / "run").glob("*/env"))) == COUNT)
            slowest = max(_drop_in(directory, number) for number in range(DROP_INS))
            for path in ("/", "/status.json", "/metrics", "/readyz"):
                assert ask(directory / "status" / "http.sock", path).status == 200
            resident = _resident_mebibytes(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
    yield {"name": "daemon_1000_resident", "mebibytes": resident, "limit": 75}
    yield {"name": "drop_in_to_ready", "seconds": round(slowest, 3), "limit": 2}


def _drop_in(directory: Path, number: int) -> float:
    """Add a drop-in like a scheduler; return the seconds until its directory is ready."""
    temporary = directory / "targets.d" / f".d{number}.yaml"
    temporary.write_text(f"identity: t{number}\n", encoding="utf-8")
    temporary.chmod(0o644)
    began = time.perf_counter()
    temporary.rename(directory / "targets.d" / f"d{number}.yaml")
    _until((directory / "run" / f"d{number}" / "env").exists)
    return time.perf_counter() - began


def _until(condition: Any) -> None:  # noqa: ANN401 - anything that can be asked
    deadline = time.perf_counter() + _PATIENCE_SECONDS
    while not condition():
        if time.perf_counter() > deadline:
            raise TimeoutError("the daemon did not get there")
        time.sleep(0.005)


def _resident_mebibytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
