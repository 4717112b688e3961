"""Podman with a storage of its own, and a bare Debian under systemd in one of its containers."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.installation import INSTALL_SECONDS, Recipe
from tests.program import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "localhost/debian:base"
"""A bare Debian of this machine's release, with Python, pip and systemd."""
DEBIAN = Recipe(
    source=Path(__file__).with_name("debian_base"),
    tool="mmdebstrap",
    remedy="apt install mmdebstrap",
    commands=(("./build",),),
)
# the limits of the machine can be below podman's own limits, which it could not set then
LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")


@dataclass(frozen=True)
class Podman:
    """Podman as root; everything that it stores is below `place`."""

    place: Path

    def command(self, *arguments: str) -> list[str]:
        """Return a command of podman."""
        return [
            *("podman", "--cgroup-manager=cgroupfs", "--events-backend=none", "--log-level=error", "--runtime=runc"),
            *("--storage-driver=overlay", f"--root={self.place / 'storage'}", f"--runroot={self.place / 'state'}"),
            f"--tmpdir={self.place / 'tmp'}",
            *arguments,
        ]

    def run(self, *arguments: str) -> str:
        """Run a command of podman and return its output."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of podman, even if it fails."""
        command = self.command(*arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)


@contextmanager
def open_podman(debian: Path) -> Iterator[Podman]:
    """Import the built `DEBIAN` as `BASE` for the length of a `with` block, and remove everything afterwards."""
    place = Path(tempfile.mkdtemp(prefix="refresher-packages-"))
    made = Podman(place)
    try:
        made.run("import", "--quiet", str(debian / "base.tar"), BASE)
        yield made
        made.run("rmi", "--all", "--force")
    finally:
        # podman leaves its own directory mounted; `system reset` would also remove what podman has of others
        subprocess.run(["umount", "--recursive", place / "storage" / "overlay"], check=False, capture_output=True)
        shutil.rmtree(place)


@dataclass(frozen=True)
class Machine:
    """A machine under systemd.

    Attributes:
        podman: Where it runs.
        name: The name of its container.
        output: The whole output of its commands.
    """

    podman: Podman
    name: str
    output: list[str]

    def run(self, script: str) -> str:
        """Run shell lines as root; return what they print."""
        done = subprocess.run(
            self.podman.command("exec", "--interactive", self.name, "bash", "-euo", "pipefail"),
            input=script,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=6 * PATIENCE,
        )
        self.output.append(done.stdout)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def is_running(self) -> bool:
        """Return whether systemd has started everything."""
        state = self.podman.attempt("exec", self.name, "systemctl", "is-system-running").stdout.strip()
        return state in {"running", "degraded"}


@contextmanager
def debian_machine(podman: Podman, *options: str) -> Iterator[Machine]:
    """Start a bare Debian under systemd, without a network, for the length of a `with` block."""
    name = "refresher-debian"
    podman.run(
        *("run", "--detach", "--rm", f"--name={name}", "--systemd=always", "--network=none", *LIMITS, *options),
        *(BASE, "/lib/systemd/systemd", "--unit=multi-user.target"),
    )
    machine = Machine(podman, name, [])
    try:
        until(machine.is_running, what="systemd runs")
        yield machine
    finally:
        podman.run("rm", "--force", "--time=0", name)
