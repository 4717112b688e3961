"""What one visit of `once` asks of the system, counted: more per target is felt when a node starts a thousand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need
    from tests.program import Worker

_CALL = re.compile(r"\d+ +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<answer>.*)")
_TEMPORARY = re.compile(r"\.([^/]+)\.[0-9a-f]{16}\.tmp")


def trace_once(worker: Worker, need: Need, *arguments: str) -> list[tuple[str, str, str]]:
    """Run `once` under strace, and return name, arguments and answer of its calls on files, with their paths."""
    strace, trace = need.tool("strace", "apt-get install strace"), worker.place / "trace"
    worker.prefix = [strace, "-f", "-y", "-qq", "-o", str(trace), "-e", "trace=fsync,fdatasync,getdents64,openat"]
    worker.once(*arguments)
    worker.prefix = []
    calls = [found.groups() for line in trace.read_text().splitlines() if (found := _CALL.match(line))]
    return [(str(name), str(given), str(answer)) for name, given, answer in calls if str(worker.root) in given + answer]


def name_synced(calls: list[tuple[str, str, str]], root: Path) -> list[str]:
    """Return what was synchronised, in order, below the root's parent; a temporary file by the name it gets."""
    paths = [given.partition("<")[2].rstrip(">") for name, given, _ in calls if name in ("fsync", "fdatasync")]
    relative = [path.removeprefix(f"{root.parent}/") for path in paths]
    return [_TEMPORARY.sub(r"\1", path) for path in relative]


def test_new_directory_is_durable_with_all_its_files_before_it_has_its_name(worker: Worker, need: Need) -> None:
    """Each file is synchronised once, then the directory under its temporary name, and the root after the rename."""
    calls = trace_once(worker, need)

    aside = f"{worker.root.name}/alice"  # a temporary name is shown as the name that it gets
    files = [f"{aside}/{name}" for name in (".target", "credentials.json", "token", "env")]
    assert name_synced(calls, worker.root) == [*files, aside, worker.root.name]


def test_one_file_is_synchronised_when_one_is_replaced(worker: Worker, need: Need) -> None:
    """A forced refresh of a complete directory writes the token, and nothing else."""
    worker.once()

    calls = trace_once(worker, need, "--force")

    directory = f"{worker.root.name}/alice"
    assert name_synced(calls, worker.root) == [f"{directory}/token", directory]


@pytest.mark.parametrize("arguments", [[], ["--force"]], ids=["new", "forced"])
def test_directory_is_looked_at_once(worker: Worker, need: Need, arguments: list[str]) -> None:
    """The root is opened once. A directory that exists is listed once, after the lock, and no absent file is read.

    Whether a daemon runs is asked once, by its socket.
    """
    if arguments:
        worker.once()
    else:
        worker.root.mkdir()

    calls = trace_once(worker, need, *arguments)

    ends = [given for name, given, answer in calls if name == "getdents64" and answer == "0"]
    assert [given for given in ends if f"<{worker.root}>" not in given] == [
        given for given in ends if arguments and f"<{worker.directory('alice')}>" in given
    ]
    assert len(ends) <= 2
    assert len([answer for name, _, answer in calls if name == "openat" and answer.endswith(f"<{worker.root}>")]) <= 2
    missed = [given for name, given, answer in calls if name == "openat" and "ENOENT" in answer]
    asked = [given for given in missed if '/.control"' in given]
    assert len(asked) <= 1
    assert [given for given in missed if given not in asked and '.tmp"' not in given] == []
