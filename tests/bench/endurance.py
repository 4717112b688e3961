"""`make endurance HOURS=1`: the soak of all clients, next to a daemon with a thousand targets with lives of a minute.

The daemon is asked over HTTP all the time, and the canary asks for its identities. Its memory, descriptors and threads
are sampled, and the slope of each is printed with its 95 % confidence interval. The run fails after a failed call of a
client, or if a slope is surely upwards: if even the lower end of the interval is above what is allowed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from math import sqrt
from pathlib import Path
from statistics import linear_regression, mean
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.fixtures import COMMAND, write_configuration
from tests.bench.peers import serve
from tests.bench.processes import read_resident_mebibytes
from tests.status_socket import ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TARGETS = 1000
LIFETIME = "1m"
_SAMPLE_SECONDS = 5.0
_WARM_UP = 0.2
"""The part of the samples that is left out: caches and pools fill in it."""
_ALLOWED = {"memory in MiB": 1.0, "descriptors": 1.0, "threads": 0.5}
"""What may be added in an hour."""


class Slope(NamedTuple):
    """What is added in an hour, by least squares, and half of its 95 % confidence interval."""

    hourly: float
    margin: float

    @property
    def least(self) -> float:
        """The lower end of the interval."""
        return self.hourly - self.margin


def fit_slope(seconds: Sequence[float], values: Sequence[float]) -> Slope:
    """Return the slope of at least three samples; the interval takes them as independent, with a normal error."""
    slope, intercept = linear_regression(seconds, values)
    left = sum((value - intercept - slope * at) ** 2 for at, value in zip(seconds, values, strict=True))
    spread = sum((at - mean(seconds)) ** 2 for at in seconds)
    error = sqrt(left / (len(values) - 2) / spread)
    return Slope(slope * 3600, 1.96 * error * 3600)


def main(arguments: list[str]) -> int:
    """Run the soak and sample the daemon; return 1 if either is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.endurance")
    parser.add_argument("hours", type=float, nargs="?", default=1.0)
    seconds = parser.parse_args(arguments).hours * 3600
    with tempfile.TemporaryDirectory() as directory, serve(0) as origin, _run_fleet(Path(directory), origin) as fleet:
        pid, address = fleet
        soak = subprocess.Popen(
            [sys.executable, "-m", "tests.clients.soak"], env={**os.environ, "SOAK": str(round(seconds))}
        )
        samples = [*_sample(soak, pid, address)]
    kept = samples[int(len(samples) * _WARM_UP) :]
    is_flat = True
    for index, (name, allowed) in enumerate(_ALLOWED.items(), start=1):
        slope = fit_slope([each[0] for each in kept], [each[index] for each in kept])
        is_flat = is_flat and slope.least <= allowed
        verdict = "" if slope.least <= allowed else f"  BEYOND {allowed}"
        last = kept[-1][index]
        sys.stdout.write(f"{name}: {last} at the end, {slope.hourly:+.2f} ± {slope.margin:.2f} an hour{verdict}\n")
    return int(soak.returncode != 0 or not is_flat)


@contextmanager
def _run_fleet(directory: Path, origin: str) -> Iterator[tuple[int, Path]]:
    """Run the daemon; return its process id and the path of its HTTP socket when all targets are ready."""
    configuration = write_configuration(
        directory,
        TARGETS,
        more=f"google: {{emulator: true, endpoints: {{sts: {origin}, iam_credentials: {origin}, metadata: {origin}}}}}",
        listen=f"unix:{directory}/status/http.sock",
        canary="5m",
        lifetime=LIFETIME,
    )
    command = [*COMMAND, "run", "--config", str(configuration), "-q", "-q"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as daemon:
        try:
            while len([*(directory / "run").glob("*/env")]) < TARGETS:
                time.sleep(0.5)
            yield daemon.pid, directory / "status" / "http.sock"
        finally:
            daemon.terminate()


def _sample(soak: subprocess.Popen[bytes], pid: int, address: Path) -> Iterator[tuple[float, float, int, int]]:
    """Return seconds, memory, descriptors and threads, until the soak has ended; ask for everything in between."""
    began, process = time.monotonic(), Path("/proc", str(pid))
    while soak.poll() is None:
        for path in ("/", "/metrics", "/status.json", "/readyz"):
            ask(address, path)
        threads, descriptors = len([*(process / "task").iterdir()]), len([*(process / "fd").iterdir()])
        yield time.monotonic() - began, read_resident_mebibytes(pid), descriptors, threads
        time.sleep(_SAMPLE_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
