from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.containers.boxes import Podman, run
from tests.program import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need


PLACE = "/mnt/a-Z_0.9:b@c"
DOTENV = "17.2.3"
READ = "process.stdout.write(JSON.stringify(require('dotenv').parse(require('fs').readFileSync('variables'))))"


def variables_of(place: Path, form: str) -> tuple[Path, dict[str, str]]:
    """Give a file of what `env` prints in a form, and what it says."""
    worker = Worker(place=place)
    body = {"container_directory": PLACE, "artifacts": {"boto": True}}
    worker.configure("alice", project="example.com:my-project", targets={"alice": body})
    file = place / "variables"
    file.write_text(worker.command("env", "alice", "--format", form).stdout)
    wanted: dict[str, str] = json.loads(worker.command("env", "alice", "--format", "json").stdout)
    assert wanted["BOTO_CONFIG"] == f"{PLACE}/boto"
    return file, wanted


@pytest.mark.apart
def test_podman_hands_the_docker_form_to_a_container(tmp_path: Path, public: Path, need: Need) -> None:
    """What `env --format docker` prints, given with `--env-file`, is what the container's program has."""
    need.root()
    need.tool("podman", "apt install podman")
    need.tool("runc", "apt install runc")
    file, wanted = variables_of(tmp_path, "docker")

    done = run(Podman(place=public).command("env", uid=1042, mounts=(), env_file=file))

    assert done.returncode == 0, done.stderr
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert {name: seen.get(name) for name in wanted} == wanted


@pytest.mark.apart
def test_dotenv_of_node_reads_the_dotenv_form(tmp_path: Path, need: Need) -> None:
    """The dotenv of Node, from its registry, finds in the dotenv form the values to the letter."""
    npm, node = need.tool("npm", "apt install npm"), need.tool("node", "apt install nodejs")
    _, wanted = variables_of(tmp_path, "dotenv")
    install = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", f"dotenv@{DOTENV}"]
    subprocess.run(install, cwd=tmp_path, capture_output=True, check=True, timeout=100)

    done = subprocess.run([node, "-e", READ], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == wanted
