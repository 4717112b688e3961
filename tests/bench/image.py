"""The image: what it adds to its base, its time from the start to the first token, and the memory with one target."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.packages.image import DAEMON, LARGEST, build_image, download_wheels, run_daemon
from tests.packages.podman import BASE, DEBIAN, open_podman
from tests.program import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.packages.podman import Podman

ROUNDS = 5
_TOOLS = ("podman", "runc", "mmdebstrap")
_READY_SECONDS = 1.0
_MEMORY_MEBIBYTES = 64
"""What the chart requests for a sidecar."""
_MEBIBYTE = 2**20


def measure() -> Iterator[dict[str, Any]]:
    """Return size, time and memory; nothing without root and the tools."""
    if os.geteuid() or not all(map(shutil.which, _TOOLS)):
        return
    with open_podman(DEBIAN.made()) as podman, tempfile.TemporaryDirectory(prefix="bench-") as directory:
        place = Path(directory)
        (place / "wheels").mkdir()
        image = build_image(podman, download_wheels(podman, place / "wheels"), DAEMON, "daemon")
        sizes = [json.loads(podman.run("image", "inspect", name))[0]["Size"] for name in (image, BASE)]
        added = round((sizes[0] - sizes[1]) / _MEBIBYTE, 1)
        yield {"name": "image_size", "mebibytes": added, "limit": round(LARGEST / _MEBIBYTE, 1)}
        seconds, mebibytes = zip(*(_start(podman, image, place / str(number)) for number in range(ROUNDS)), strict=True)
        yield {"name": "image_first_token", "seconds": round(median(seconds), 2), "limit": _READY_SECONDS}
        yield {"name": "image_memory", "mebibytes": round(median(mebibytes), 1), "limit": _MEMORY_MEBIBYTES}


def _start(podman: Podman, image: str, place: Path) -> tuple[float, float]:
    """Return the seconds from the container's start to its first token, and the daemon's memory then."""
    place.mkdir()
    with run_daemon(podman, image, place) as root:
        until((root / "main" / "env").exists, what="everything is written")
        state = json.loads(podman.run("inspect", "daemon"))[0]["State"]
        began = datetime.fromisoformat(state["StartedAt"]).timestamp()
        lines = Path(f"/proc/{state['Pid']}/smaps_rollup").read_text().splitlines()
        proportional = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return (root / "main" / "token").stat().st_mtime - began, proportional / 1024
