from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.containers.runtimes import Podman, run
from tests.program import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need


PLACE = "/mnt/a-Z_0.9:b@c"
DOTENV = "17.2.3"
READ = "process.stdout.write(JSON.stringify(require('dotenv').parse(require('fs').readFileSync('variables'))))"


def write_variables(place: Path, form: str) -> tuple[Path, dict[str, str]]:
    """Return a file with the output of `env` in a format, and its variables."""
    worker = Worker(place=place)
    body = {"container_directory": PLACE, "artifacts": {"boto": True}}
    worker.configure("alice", project="example.com:my-project", targets={"alice": body})
    file = place / "variables"
    file.write_text(worker.command("env", "alice", "--format", form).stdout)
    wanted: dict[str, str] = json.loads(worker.command("env", "alice", "--format", "json").stdout)
    assert wanted["BOTO_CONFIG"] == f"{PLACE}/boto"
    return file, wanted


@pytest.mark.apart
def test_podman_passes_the_docker_format_to_a_container(tmp_path: Path, public: Path, need: Need) -> None:
    """The container's program has the variables of `env --format docker`, passed with `--env-file`."""
    need.root()
    need.tool("podman", "apt install podman")
    need.tool("runc", "apt install runc")
    file, wanted = write_variables(tmp_path, "docker")

    done = run(Podman(place=public).command("env", uid=1042, mounts=(), env_file=file))

    assert done.returncode == 0, done.stderr
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert {name: seen.get(name) for name in wanted} == wanted


@pytest.mark.apart
def test_dotenv_of_node_reads_the_dotenv_format(tmp_path: Path, need: Need) -> None:
    """The dotenv of Node, from its registry, reads exactly the values of the dotenv format."""
    npm, node = need.tool("npm", "apt install npm"), need.tool("node", "apt install nodejs")
    _, wanted = write_variables(tmp_path, "dotenv")
    install = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", f"dotenv@{DOTENV}"]
    subprocess.run(install, cwd=tmp_path, capture_output=True, check=True, timeout=100)

    done = subprocess.run([node, "-e", READ], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == wanted
