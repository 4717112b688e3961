from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.containers.boxes import Podman, run
from tests.program import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need


@pytest.mark.podman
def test_podman_hands_the_docker_form_to_a_container(tmp_path: Path, public: Path, need: Need) -> None:
    """What `env --format docker` prints, given with `--env-file`, is what the container's program has."""
    need.root()
    need.tool("podman", "apt install podman")
    need.tool("runc", "apt install runc")
    worker = Worker(place=tmp_path)
    body = {"container_directory": "/mnt/a-Z_0.9:b@c", "artifacts": {"boto": True}}
    worker.configure("alice", project="example.com:my-project", targets={"alice": body})
    wanted = json.loads(worker.command("env", "alice", "--format", "json").stdout)
    file = tmp_path / "variables"
    file.write_text(worker.command("env", "alice", "--format", "docker").stdout)

    done = run(Podman(place=public).command("env", uid=1042, mounts=(), env_file=file))

    assert done.returncode == 0, done.stderr
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert wanted["BOTO_CONFIG"] == "/mnt/a-Z_0.9:b@c/boto"
    assert {name: seen.get(name) for name in wanted} == wanted
