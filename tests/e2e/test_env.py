"""`refresher env`: its output, read by the programs that it is for."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values

from tests.program import PATIENCE, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need

CONTAINER_DIRECTORY = "/mnt/a-Z_0.9:b@c"
"""Contains every kind of character that a path may have."""
PROJECT = "example.com:my-project"
UNQUOTABLE = (" ", "'", '"', "`", "$", "#", "\\", "\n", "~", "=", "%", "*", ";", "&", "(", "!", "ü", "\u00a0", "\u202e")
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: pod}}
spec:
  containers:
  - name: main
    image: none
    env:
{variables}"""
UNIT = """
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
EnvironmentFile={file}
ExecStart=sh -c 'env > {place}/seen'
ExecStopPost=systemctl --force exit
"""
SYSTEMD = """
mount --bind "$1" "$1"
mount -o remount,bind,ro /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
cp "$1/told.service" /run/systemd/system
mount -t cgroup2 cgroup2 /sys/fs/cgroup
unshare --pid --fork --kill-child --mount-proc --uts --ipc env container=test \\
  /lib/systemd/systemd --system --unit=told.service --log-target=null --default-standard-output=null
rmdir /sys/fs/cgroup/init.scope
"""


@pytest.fixture
def alice(worker: Worker) -> Worker:
    """Return a worker whose target alice has all variables, with values as unusual as the configuration allows."""
    id_tokens = {"api-1": {"audience": "https://api.example.com"}}
    artifacts = {"access_token": True, "boto": True, "id_tokens": id_tokens}
    body = {"container_directory": CONTAINER_DIRECTORY, "artifacts": artifacts}
    worker.configure("alice", project=PROJECT, targets={"alice": body})
    return worker


@pytest.fixture
def wanted(alice: Worker) -> dict[str, str]:
    """Return the variables in the form for programs: one JSON object."""
    found: dict[str, str] = json.loads(printed(alice, "json"))
    assert found["GOOGLE_APPLICATION_CREDENTIALS"] == f"{CONTAINER_DIRECTORY}/credentials.json"
    assert found["GOOGLE_CLOUD_PROJECT"] == PROJECT
    assert found["REFRESHER_ID_TOKEN_FILE_API_1"] == f"{CONTAINER_DIRECTORY}/id_tokens/api-1"
    return found


def printed(worker: Worker, form: str) -> str:
    """Return the output of `env` in a format."""
    return worker.command("env", "alice", "--format", form).stdout


def variables_in(lines: str) -> dict[str, str]:
    """Return the variables that the system's `env` lists, without those that its shell or systemd adds."""
    found = dict(line.split("=", 1) for line in lines.splitlines())
    own = ("PWD", "SHLVL", "_", "OLDPWD", "PATH", "LANG", "INVOCATION_ID", "SYSTEMD_EXEC_PID")
    return {name: value for name, value in found.items() if name not in own}


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(("form", "prelude"), [("shell", ""), ("dotenv", "set -a; ")])
def test_shell_sources_it(alice: Worker, wanted: dict[str, str], shell: str, form: str, prelude: str) -> None:
    """A shell that reads the shell format, or the dotenv format with allexport, passes exactly these variables on."""
    file = alice.place / "variables"
    file.write_text(printed(alice, form))

    command = ["env", "-i", shell, "-ec", f'{prelude}. "$1"; /usr/bin/env', shell, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert variables_in(done.stdout) == wanted


def test_dotenv_reads_it(alice: Worker, wanted: dict[str, str]) -> None:
    """python-dotenv, which interprets quotes, comments and `$`, reads exactly these values."""
    file = alice.place / "variables"
    file.write_text(printed(alice, "dotenv"))

    assert dict(dotenv_values(file)) == wanted


def test_kubernetes_takes_it_into_a_pod(alice: Worker, wanted: dict[str, str], need: Need) -> None:
    """A pod with the Kubernetes format below `env:` of its container is decoded by kubectl, every value as a string."""
    kubectl = need.tool("kubectl", "apt install kubernetes-client")
    pod = alice.place / "pod.yaml"
    pod.write_text(POD.format(variables="".join(f"    {line}\n" for line in printed(alice, "kubernetes").splitlines())))

    done = subprocess.run(
        [kubectl, "set", "env", "--local", "--list", "-f", str(pod)],
        env={"HOME": str(alice.place), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    heading, _, listed = done.stdout.partition("\n")
    assert heading == "# Pod pod, container main"
    assert variables_in(listed) == wanted


def test_systemd_hands_it_to_a_service(alice: Worker, wanted: dict[str, str], need: Need, tmp_path: Path) -> None:
    """A service of a real systemd, started in namespaces, gets the variables of its EnvironmentFile."""
    need.root()
    need.tool("/lib/systemd/systemd", "apt install systemd")
    need.tool("unshare", "apt install util-linux")
    file = tmp_path / "variables"
    file.write_text(printed(alice, "dotenv"))
    (tmp_path / "told.service").write_text(UNIT.format(file=file, place=tmp_path))

    command = ["unshare", "--mount", "--cgroup", "sh", "-ec", SYSTEMD, "sh", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)

    assert (done.returncode, done.stderr) == (0, "")
    assert variables_in((tmp_path / "seen").read_text()) == wanted


def test_file_in_the_directory_is_the_dotenv_and_docker_form(worker: Worker) -> None:
    """The published `env` equals the output of `env` for dotenv and docker."""
    worker.configure("alice")
    worker.once()

    published = (worker.directory("alice") / "env").read_text()

    assert published == printed(worker, "dotenv") == printed(worker, "docker")


def test_value_that_its_readers_would_quote_differently_is_refused(worker: Worker) -> None:
    """A path with a character that some reader interprets as syntax is refused, each on its own line."""
    names = {f"t{number}": character for number, character in enumerate(UNQUOTABLE)}
    body = {name: {"container_directory": f"/mnt/a{character}b"} for name, character in names.items()}
    worker.configure(*names, targets=body)

    done = worker.command("check", status=2)

    refused = [name for name in names if f"targets.{name}.container_directory" in done.stderr]
    assert refused == list(names)
