"""Whether sick neighbours delay a healthy target: a drop-in becomes ready next to 100 targets that can't be supplied.

Half of them have a program that hangs until it is killed, and half one that fails at once. Two daemons run side by
side, one whose neighbours are sick and one whose neighbours are as healthy as the rest, and get their drop-ins in turn,
so that both see the same machine.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.drop_ins import add_drop_in, wait_until
from tests.bench.fixtures import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEALTHY = 100
NEIGHBOURS = 100
DROP_INS = 200
_MEMORY = "/dev/shm"  # noqa: S108 - a directory of its own below it
_LIMIT = 1.1
_PAUSE = 0.02
_SETTLE_SECONDS = 15.0


def measure() -> Iterator[dict[str, Any]]:
    """Return how much longer a drop-in takes next to sick neighbours, as the ratio of the medians."""
    with tempfile.TemporaryDirectory(dir=_MEMORY, prefix="bench-") as temporary, ExitStack() as daemons:
        well, sick = (
            daemons.enter_context(_run_daemon(Path(temporary) / name, kinds))
            for name, kinds in (("well", ("worker",)), ("sick", ("hanging", "failing")))
        )
        time.sleep(_SETTLE_SECONDS)  # until programs hang, fail, and are tried again
        times = [(_add(well, number), _add(sick, number)) for number in range(DROP_INS)]
    without, with_them = (median(each) for each in zip(*times, strict=True))
    figures = {"ratio": round(with_them / without, 3), "limit": _LIMIT, "seconds": round(with_them, 4)}
    yield {"name": "drop_in_among_100_sick", **figures, "without": round(without, 4)}


@contextmanager
def _run_daemon(directory: Path, kinds: Sequence[str]) -> Iterator[Path]:
    """Run a daemon in a directory, and return that when its healthy targets are ready."""
    directory.mkdir()
    (directory / "targets.d").mkdir()
    command = [*COMMAND, "run", "--config", str(_write_configuration(directory, kinds)), "-q", "-q"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as daemon:
        try:
            paths = [directory / "run" / f"t{number}" / "env" for number in range(HEALTHY)]
            wait_until(lambda: all(path.exists() for path in paths), pause=0.1)
            yield directory
        finally:
            daemon.terminate()


def _write_configuration(directory: Path, kinds: Sequence[str]) -> Path:
    keys = directory / "keys"
    subprocess.run([*COMMAND, "keys", "new", "--directory", str(keys)], check=True, capture_output=True)
    healthy = {f"t{number}": "worker" for number in range(HEALTHY)}
    others = {f"s{number}": kinds[number % len(kinds)] for number in range(NEIGHBOURS)}
    lines = [
        "version: 1",
        'providers: {main: {project_number: "123456789012", pool: workers, provider: refresher}}',
        "suppliers:",
        f"  worker: {{kind: self_issued, issuer: https://workers.invalid, keys: {keys}}}",
        '  hanging: {kind: command, argv: [/bin/sleep, "100"]}',
        "  failing: {kind: command, argv: [/bin/false]}",
        f"directory_root: {directory / 'run'}",
        f"targets_directory: {directory / 'targets.d'}",
        "listen: none",
        "canary: off",
        "identities:",
        *(f"  {name}: {{subject: user-{name}, supplier: {kind}}}" for name, kind in (healthy | others).items()),
        "targets:",
        *(f"  {name}: {{}}" for name in healthy | others),
    ]
    path = directory / "refresher.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(0o600)
    return path


def _add(directory: Path, number: int) -> float:
    """Add a drop-in; return the seconds until its directory is ready."""
    time.sleep(_PAUSE)
    return add_drop_in(directory, f"d{number}", f"t{number % HEALTHY}")
