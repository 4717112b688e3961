"""The script for a scheduler in docs/configuration.md, exactly as it is written, with a substitute for docker."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.program import COMMAND, PATIENCE, until

if TYPE_CHECKING:
    from tests.program import Worker

GUIDE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
SCRIPT = "#!/bin/sh\n# run-task" + GUIDE.partition("```sh\n#!/bin/sh\n# run-task")[2].partition("```")[0]
DOCKER = """#!/bin/sh
echo "$@"
for word; do
  case "$word" in type=bind,source=*) directory=${word#*source=}; directory=${directory%%,*} ;; esac
done
test -s "$directory/token" && grep GOOGLE_APPLICATION_CREDENTIALS "$directory/env"
eval "$last"
"""


@pytest.fixture
def machine(worker: Worker) -> Worker:
    """Return a worker with one identity, no target yet, and a directory of drop-ins."""
    worker.drop_ins.mkdir(mode=0o755)
    worker.configure("alice", targets={}, targets_directory=str(worker.drop_ins))
    programs = worker.place / "programs"
    programs.mkdir()
    script = SCRIPT.replace("/etc/refresher/targets.d", str(worker.drop_ins)).replace(
        "/run/refresher", str(worker.root)
    )
    for name, text in {"run-task": script, "docker": DOCKER}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return worker


def start(machine: Worker, *arguments: str, last: str = "exit 7") -> subprocess.Popen[str]:
    """Start the script; the container's program ends with a shell command."""
    programs = machine.place / "programs"
    variables = {
        "PATH": f"{programs}:{Path(COMMAND[0]).parent}:/usr/bin:/bin",
        "REFRESHER_CONFIG": str(machine.configuration),
        "last": last,
    }
    command = [str(programs / "run-task"), *arguments]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_task_runs_with_a_directory_of_its_own(machine: Worker) -> None:
    """The container gets the ready directory and the variables; afterwards the drop-in and `env` are gone."""
    user = str(os.getegid())
    with machine.daemon() as log:
        with start(machine, "task-1", "alice", user, "image", "program") as task:
            output, errors = task.communicate(timeout=PATIENCE)

        directory = machine.directory("task-1")
        mount = f"type=bind,source={directory},target={directory},readonly"
        asked = f"run --rm --user {user}:{user} --env-file {directory}/env --mount {mount} image program"
        assert (task.returncode, output.splitlines()[0], errors) == (7, asked, "")
        assert output.splitlines()[1] == f"GOOGLE_APPLICATION_CREDENTIALS={directory}/credentials.json"
        assert not list(machine.drop_ins.iterdir())
        log.wait_for("target.removed", target="task-1")
        until(lambda: not (directory / "env").exists(), what="env is removed")


def test_drop_in_is_removed_when_the_script_is_ended(machine: Worker) -> None:
    """SIGTERM removes the drop-in, as soon as the container has ended."""
    with machine.daemon(), start(machine, "task-1", "alice", str(os.getegid()), "image", last="sleep 1") as task:
        assert task.stdout is not None
        task.stdout.readline()
        task.send_signal(signal.SIGTERM)
        task.communicate(timeout=PATIENCE)

    assert task.returncode == 128 + signal.SIGTERM
    assert not list(machine.drop_ins.iterdir())


def test_second_task_of_a_name_is_refused(machine: Worker) -> None:
    """A task whose name is in use does not start, and leaves the drop-in of the other one."""
    machine.drop_in("task-1", identity="alice")

    with start(machine, "task-1", "alice", "1", "image") as task:
        _, errors = task.communicate(timeout=PATIENCE)

    assert (task.returncode, errors) == (2, "there is a task task-1 already: choose another name\n")
    assert (machine.drop_ins / "task-1.yaml").exists()


def test_identity_that_does_not_exist_starts_no_container(machine: Worker) -> None:
    """A target that is refused ends the script with 2 and the reason, and leaves no drop-in."""
    with machine.daemon(), start(machine, "task-1", "nobody", str(os.getegid()), "image") as task:
        output, errors = task.communicate(timeout=PATIENCE)

    assert (task.returncode, output) == (2, "")
    assert "nobody" in errors
    assert not list(machine.drop_ins.iterdir())
