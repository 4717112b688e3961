"""Whatever the system refuses: a command answers in our words, and never with a bug report."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import pytest

from refresher.cli.root import run
from refresher.errors import ExitStatus
from tests.program import Worker
from tests.seccomp import CALLS, run_refused

if TYPE_CHECKING:
    from pathlib import Path

REFUSED = sorted(CALLS.keys() - {"write", "read", "fcntl"})
"""Without these the interpreter itself can't continue."""

ERRORS = (errno.EIO, errno.EACCES, errno.ENOLCK)
KEYS, DIRECTORY, CONFIGURATION = "KEYS", "DIRECTORY", "CONFIGURATION"
COMMANDS = (
    ("keys", "new", "--directory", f"{DIRECTORY}/new"),
    *(("keys", name, "--directory", KEYS) for name in ("list", "jwks", "rotate", "activate", "retire")),
    ("keys", "revoke", "absent", "--directory", KEYS),
    *((name, "--config", CONFIGURATION) for name in ("check", "status", "once")),
    ("once", "--force", "--config", CONFIGURATION),
    ("wait", "--timeout", "0s", "--config", CONFIGURATION),
    ("wait", "--timeout", "0s", "--directory", DIRECTORY),
    ("inspect", DIRECTORY),
    ("inspect", f"{DIRECTORY}/token", "--config", CONFIGURATION),
    *((name, "alice", "--config", CONFIGURATION) for name in ("adc", "env")),
    ("token", "alice", "--kind", "subject", "--config", CONFIGURATION),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_refused_call_is_no_bug(tmp_path: Path, command: tuple[str, ...]) -> None:
    """No system call that fails, with whatever error, ends a command with a bug report."""
    worker = Worker(place=tmp_path)
    worker.make_keys()
    worker.configure("alice")
    worker.once()
    places = {
        KEYS: str(tmp_path / "keys"),
        DIRECTORY: str(worker.directory("alice")),
        CONFIGURATION: str(worker.configuration),
    }
    arguments = [places.get(each, each).replace(DIRECTORY, places[DIRECTORY]) for each in command]
    output = os.open(tmp_path / "output", os.O_RDWR | os.O_CREAT)

    def work() -> None:
        sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(output, "w", closefd=False), write_through=True)
        assert run(arguments) is not ExitStatus.UNEXPECTED

    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        run(arguments)  # imports everything, so that only the command's own calls are refused
    found = {(call, error): run_refused(call, error, work) for call in REFUSED for error in ERRORS}
    printed = os.pread(output, 1 << 20, 0).decode()
    os.close(output)
    assert 4 not in found.values()
    assert [case for case, status in found.items() if status != 0] == [], printed
