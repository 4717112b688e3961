"""How the figures grow with the number of targets, from 10 to 10,000: `once`, the plain loop, and the daemon."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.fixtures import COMMAND, write_configuration
from tests.bench.peers import serve
from tests.bench.processes import Run, read_processor_seconds, read_resident_mebibytes, run

COUNTS = (10, 100, 1000, 10_000)
ROUNDS = 5
BASELINE = Path(__file__).with_name("baseline.py")
PLACES = {"disk": ".venv", "memory": "/dev/shm"}  # noqa: S108 - a directory of its own below it
_SETTLE_SECONDS = 15.0
IDLE_SECONDS = 20.0
_READY_SECONDS = 300.0


class Pass(NamedTuple):
    """A first run of `once`, and of a plain loop that signs and writes the same three files, in turn.

    Attributes:
        targets: How many.
        place: `disk` or `memory`.
        ours: A run for each round.
        plain: A run for each round.
    """

    targets: int
    place: str
    ours: tuple[Run, ...]
    plain: tuple[Run, ...]

    @property
    def ratio(self) -> float:
        """The median of how much longer ours takes, round by round."""
        return median(mine.wall / theirs.wall for mine, theirs in zip(self.ours, self.plain, strict=True))


class Idle(NamedTuple):
    """The daemon while nothing is due.

    Attributes:
        targets: How many.
        is_observed: Whether it is asked over HTTP, and asks Google (canary).
        mebibytes: Resident memory.
        share: Its share of one processor.
    """

    targets: int
    is_observed: bool
    mebibytes: float
    share: float


def measure_passes() -> Iterator[Pass]:
    """Return the runs for each number of targets, on the disk and in memory."""
    for place, base in PLACES.items():
        for count in COUNTS:
            with tempfile.TemporaryDirectory(dir=base, prefix="bench-") as temporary:
                directory = Path(temporary).absolute()
                configuration = write_configuration(directory, count)
                (key,) = (directory / "keys").glob("*.pem")
                rounds = [_measure_round(directory, configuration, key, count) for _ in range(ROUNDS)]
            ours, plain = zip(*rounds, strict=True)
            yield Pass(count, place, ours, plain)


def _measure_round(directory: Path, configuration: Path, key: Path, count: int) -> tuple[Run, Run]:
    for name in ("run", "plain"):
        shutil.rmtree(directory / name, ignore_errors=True)
    mine = run([*COMMAND, "once", "--config", str(configuration)])
    return mine, run([sys.executable, str(BASELINE), str(key), str(directory / "plain"), str(count), "all"])


def measure_idle() -> Iterator[Idle]:
    """Return the memory and the work of the daemon, unobserved and observed."""
    with serve(0) as origin:
        for is_observed in (False, True):
            for count in COUNTS:
                with tempfile.TemporaryDirectory(dir=PLACES["memory"], prefix="bench-") as temporary:
                    yield _measure_daemon(Path(temporary).absolute(), count, origin, is_observed=is_observed)


def _measure_daemon(directory: Path, count: int, origin: str, *, is_observed: bool) -> Idle:
    configuration = write_configuration(
        directory,
        count,
        more=f"google: {{emulator: true, endpoints: {{sts: {origin}, iam_credentials: {origin}, metadata: {origin}}}}}",
        listen=f"unix:{directory}/status/http.sock" if is_observed else "none",
        canary="5m" if is_observed else "off",
    )
    daemon = subprocess.Popen([*COMMAND, "run", "--config", str(configuration), "-q", "-q"], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while len([*(directory / "run").glob("*/env")]) < count:
            if time.monotonic() > deadline:
                raise TimeoutError("the daemon did not get ready")
            time.sleep(0.5)
        time.sleep(_SETTLE_SECONDS)
        began, spent = time.monotonic(), read_processor_seconds(daemon.pid)
        time.sleep(IDLE_SECONDS)
        share = (read_processor_seconds(daemon.pid) - spent) / (time.monotonic() - began)
        return Idle(count, is_observed, read_resident_mebibytes(daemon.pid), share)
    finally:
        daemon.terminate()
        daemon.wait()
