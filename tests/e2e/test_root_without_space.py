"""A root to which nothing can be written, while no daemon runs that would report it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.program import COMMAND

if TYPE_CHECKING:
    from tests.conftest import Need
    from tests.program import Worker


def harm(worker: Worker, script: str) -> None:
    """Mount a root in memory for each command, publish there, and harm it before the command runs."""
    once = shlex.join([*COMMAND, "once", "--config", str(worker.configuration)])
    worker.environment = {"ROOT": str(worker.root)}
    mount = 'mount -t tmpfs -o size=1m,mode=0755 tmpfs "$ROOT"'
    worker.prefix = ["unshare", "--mount", "sh", "-ec", f'{mount}; {once} >/dev/null 2>&1; {script}; exec "$@"', "sh"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('mount -o remount,ro "$ROOT"', "Read-only file system"),
        ('dd if=/dev/zero of="$ROOT/fill" status=none 2>/dev/null || true', "No space left on device"),
    ],
    ids=["read-only", "full"],
)
@pytest.mark.parametrize("command", ["check", "status", "doctor"])
def test_root_that_cannot_be_written_is_shown_without_a_daemon(
    worker: Worker, need: Need, script: str, reason: str, command: str
) -> None:
    """While all files are fresh and no daemon runs, each command shows that nothing can be renewed."""
    need.root()
    worker.configure("alice")
    worker.root.mkdir()
    harm(worker, script)

    done = worker.command(command, *(["--offline"] if command == "doctor" else []), status=None)

    printed = done.stdout + done.stderr
    assert "nothing can be renewed: " in printed
    assert reason in printed
    assert "fine" not in printed.replace("not fine", "")
