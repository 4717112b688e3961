"""`once` for a thousand targets, compared with a plain loop that does the same, as whole processes in turn."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.fixtures import COMMAND, write_configuration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COUNT = 1000
ROUNDS = 5
BASELINE = Path(__file__).with_name("baseline.py")


def measure() -> Iterator[dict[str, Any]]:
    """Return the ratios on the disk and in memory, for a first and for a forced run."""
    for place, base in (("disk", Path(".venv")), ("tmpfs", Path("/dev/shm"))):  # noqa: S108 - memory
        with tempfile.TemporaryDirectory(dir=base, prefix="bench-") as directory:
            yield from _measure(place, Path(directory).absolute())


def _measure(place: str, directory: Path) -> Iterator[dict[str, Any]]:
    configuration = write_configuration(directory, COUNT)
    (key,) = (directory / "keys").glob("*.pem")
    plain = [sys.executable, str(BASELINE), str(key), str(directory / "plain"), str(COUNT)]
    ours = [*COMMAND, "once", "--config", str(configuration)]

    def clear() -> None:
        shutil.rmtree(directory / "run", ignore_errors=True)
        shutil.rmtree(directory / "plain", ignore_errors=True)

    limit = 1.5 if place == "disk" else None
    yield _compare(f"once_from_nothing_{place}", limit, ours, [*plain, "all"], before=clear)
    yield _compare(f"once_forced_{place}", limit, [*ours, "--force"], [*plain, "token"], before=lambda: None)


def _compare(
    name: str, limit: float | None, ours: list[str], plain: list[str], *, before: Callable[[], None]
) -> dict[str, Any]:
    ratios, seconds = [], []
    for _ in range(ROUNDS):
        before()
        mine, theirs = _seconds(ours), _seconds(plain)
        ratios.append(mine / theirs)
        seconds.append(mine)
    return {"name": name, "ratio": round(median(ratios), 2), "limit": limit, "seconds": round(median(seconds), 3)}


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
