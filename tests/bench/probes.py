"""The time of the probes, compared with an empty interpreter."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.fixtures import COMMAND, write_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 21


def measure() -> Iterator[dict[str, Any]]:
    """Return the ratios of the exec probe, `status` and `wait` to `python -c pass`, measured in turn."""
    with tempfile.TemporaryDirectory(dir=".venv", prefix="bench-") as directory:
        configuration = str(write_configuration(Path(directory).absolute(), 10))
        subprocess.run([*COMMAND, "once", "--config", configuration], check=True, capture_output=True)
        probe = ["wait", "--directory", str(Path(directory, "run", "t0").absolute()), "--timeout", "0s"]
        yield _measure("probe", 5, [*COMMAND, *probe])
        yield _measure("status_10", 15, [*COMMAND, "status", "--config", configuration])
        yield _measure("wait_10", 15, [*COMMAND, "wait", "--config", configuration, "--timeout", "0s"])


def _measure(name: str, limit: float, command: list[str]) -> dict[str, Any]:
    ratios, milliseconds = [], []
    for _ in range(ROUNDS):
        mine, empty = _seconds(command), _seconds([sys.executable, "-c", "pass"])
        ratios.append(mine / empty)
        milliseconds.append(mine * 1000)
    return {
        "name": name,
        "ratio": round(median(ratios), 2),
        "limit": limit,
        "milliseconds": round(median(milliseconds), 1),
    }


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
