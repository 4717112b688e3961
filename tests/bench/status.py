"""What a scraper waits for at a daemon with ten thousand targets: `/metrics`, `/status.json`, and the age of both."""

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.fixtures import COMMAND, write_configuration
from tests.status_socket import ask

COUNT = 10_000
ROUNDS = 10
_PATIENCE_SECONDS = 300.0


def measure() -> Iterator[dict[str, Any]]:
    """Return the median time of each document, the latest tick that was seen, and the age of the oldest verdict."""
    with tempfile.TemporaryDirectory(dir=".venv", prefix="bench-") as place:
        directory = Path(place).absolute()
        path = directory / "s" / "http.sock"
        configuration = write_configuration(directory, COUNT, listen=f"unix:{path}")
        with subprocess.Popen(
            [*COMMAND, "run", "--config", str(configuration), "-q", "-q"], stderr=subprocess.DEVNULL
        ) as daemon:
            try:
                _wait_until_ready(path)
                found: dict[str, list[float]] = {"/metrics": [], "/status.json": []}
                ticks, ages = [], []
                for _ in range(ROUNDS):
                    for document, seconds in found.items():
                        time.sleep(1.1)  # what is kept for a second is not measured
                        answer = ask(path, document)
                        assert answer.status == 200
                        seconds.append(answer.seconds)
                    metrics = ask(path, "/metrics").body
                    ticks.append(_read(metrics, "refresher_last_tick_seconds"))
                    ages.append(_read(metrics, "refresher_verdicts_age_seconds"))
            finally:
                daemon.send_signal(signal.SIGTERM)
    for document, seconds in found.items():
        yield {"name": f"{document} of 10,000", "seconds": round(sorted(seconds)[ROUNDS // 2], 3), "limit": 0.15}
    yield {"name": "latest tick of 10,000", "seconds": max(ticks), "limit": 3.0}
    yield {"name": "oldest verdict of 10,000", "seconds": max(ages), "limit": None}


def _wait_until_ready(path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not path.is_socket() or ask(path, "/readyz").status != 200:
        if time.monotonic() > deadline:
            raise TimeoutError("the daemon did not get there")
        time.sleep(1.0)


def _read(metrics: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", metrics, re.MULTILINE)
    assert found is not None
    return float(found[1])
