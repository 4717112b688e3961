"""The quick start of the README: exactly its steps on the worker, with its unit under a real systemd."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.containers.runtimes import PYTHON, TOOLS
from tests.program import PATIENCE, secret_in, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.emulator.testing import Scenario
    from tests.conftest import Need

TREE = Path(__file__).parents[2]
PODMAN = ("podman", "--cgroup-manager=cgroupfs", "--events-backend=none", "--log-level=error")
WRAPPER = f"""#!/bin/sh
LD_LIBRARY_PATH=/mnt/python/lib PYTHONPATH=/mnt/product:/mnt/libraries PYTHONDONTWRITEBYTECODE=1 \\
  exec {PYTHON} -m refresher "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine under systemd, with the product installed.

    Attributes:
        name: The name of podman's container.
        output: The whole output of its commands.
    """

    name: str
    output: list[str]

    def run(self, script: str, *, given: str = "") -> str:
        """Run shell lines as root; return their standard output."""
        done = subprocess.run(
            [*PODMAN, "exec", "--interactive", "--workdir=/mnt/tree", self.name, "sh", "-ec", script],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=3 * PATIENCE,
        )
        self.output.append(done.stdout + done.stderr)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def is_running(self) -> bool:
        """Return whether systemd has started everything."""
        command = [*PODMAN, "exec", self.name, "systemctl", "is-system-running"]
        return "running" in subprocess.run(command, capture_output=True, text=True, check=False).stdout


@contextmanager
def machine_under_systemd(place: Path) -> Iterator[Machine]:
    """Start a machine whose root file system is this one's with a layer on top, for the length of a `with` block."""
    programs = place / "bin"
    programs.mkdir()
    (programs / "refresher").write_text(WRAPPER)
    (programs / "refresher").chmod(0o755)
    place.chmod(0o755)
    name = f"refresher-{place.name}"
    command = [
        *(*PODMAN, "run", "--detach", "--rm", f"--name={name}", "--systemd=always", "--runtime=runc", "--network=host"),
        # the unit needs it, and podman omits it
        "--cap-add=DAC_READ_SEARCH",
        *("--tmpfs=/tmp:rw,notmpcopyup", "--tmpfs=/run:rw,notmpcopyup"),
        *("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"),
        *(f"--volume={tool.source}:{tool.place}:ro" for tool in TOOLS),
        f"--volume={programs}:/usr/local/bin:ro",
        f"--volume={TREE / 'configs'}:/mnt/tree/configs:ro",
        *("--rootfs", "/:O", "/lib/systemd/systemd", "--unit=multi-user.target"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=3 * PATIENCE)
    machine = Machine(name=name, output=[])
    try:
        until(machine.is_running, what="systemd runs")
        yield machine
    finally:
        subprocess.run([*PODMAN, "rm", "--force", "--time=0", name], check=True, capture_output=True)


def list_steps_on_the_worker() -> list[str]:
    """Return the worker's commands of the quick start: user, key, JWKS, configuration, unit, proof."""
    start = (TREE / "README.md").read_text().partition("## Quick start")[2].partition("\n## ")[0]
    wanted = re.compile(r"(?:\$ )?((?:useradd|runuser|cp configs|refresher wait)[^\n#]*)")
    found = [wanted.match(line) for line in start.splitlines()]
    return [match[1].strip() for match in found if match is not None]


def read_configuration(google: Scenario) -> str:
    """Return the quick start's configuration, with the emulator's endpoints."""
    text = re.search(r"```yaml\n(version: 1\n.*?)```", (TREE / "README.md").read_text(), re.DOTALL)
    assert text is not None
    origins = {"sts": google.http, "iam_credentials": google.http, "metadata": google.http}
    return yaml.safe_dump({**yaml.safe_load(text[1]), "google": {"emulator": True, "endpoints": origins}})


@pytest.mark.apart
@pytest.mark.timeout(6 * PATIENCE)
def test_quick_start_under_systemd(google_emulator: Scenario, tmp_path: Path, need: Need) -> None:
    """Each step works; the unit runs as its own user, reloads, restarts, and stops with the files in place."""
    need.root()
    for tool in ("podman", "runc", "systemctl"):
        need.tool(tool, "apt install podman runc systemd")
    google = google_emulator
    user, new_key, jwks, check, unit, wait = list_steps_on_the_worker()

    with machine_under_systemd(tmp_path) as machine:
        machine.run(f"{user}\n{new_key}")
        uploaded = json.loads(machine.run(jwks.replace("> jwks.json", "")))
        google.add_provider(issuer="https://workers.example.com", jwks=uploaded)
        google.allow("task-alice@my-project.iam.gserviceaccount.com", subject="user-1042")
        machine.run("mkdir -p /etc/refresher; cat > /etc/refresher/refresher.yaml", given=read_configuration(google))
        assert "fine, 1 target" in machine.run(check)
        machine.run(unit)
        machine.run(wait)

        owners = machine.run("stat -c '%U %g %a' /run/refresher/alice /run/refresher/alice/*")
        assert owners.split() == ["refresher", "1042", "750", *("refresher", "1042", "440") * 3]
        assert "alice  fresh" in machine.run("refresher status")
        before = machine.run("cat /run/refresher/alice/token")
        machine.run("systemctl reload refresher")
        until(lambda: "config.reloaded" in machine.run("journalctl --unit refresher --no-pager"), what="reloaded")
        machine.run("systemctl restart refresher; refresher wait --exchange")
        assert machine.run("cat /run/refresher/alice/token") == before
        machine.output[:] = [text for text in machine.output if text != before]
        assert machine.run("systemctl stop refresher; systemctl show refresher --property Result").strip() == (
            "Result=success"
        )
        assert "1042" in machine.run("stat -c %g /run/refresher/alice/token")

    assert secret_in("".join(machine.output)) is None
