"""What other processes see, and do, while a directory is created with its files: watched call by call."""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest

from refresher.publishing.retirement import remove_leftovers, retire_strays
from tests.faults.crash_scenarios import check_all, configure, list_leftovers, once
from tests.seccomp import CALLS, END, run_watched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.program import Worker
    from tests.seccomp import Call

COMPLETE = {".target", "credentials.json", "token", "boto", "env"}
SWEEPS: dict[str, Callable[[Path], object]] = {
    "once": remove_leftovers,
    "daemon": lambda root: retire_strays(root, {"work"}, datetime.now(UTC)),
}


@pytest.fixture
def prepared(worker: Worker) -> Worker:
    """Return a worker with a configuration and a root, in which nothing was published; all is imported already."""
    configure(worker, names=("imported",))
    once(worker)
    configure(worker)
    return worker


def publish_before(worker: Worker, at: int, act: Callable[[], object]) -> bool:
    """Publish in a child, and act before its change of this number; return whether there was one before it was done."""
    has_acted, changes = False, 0

    def decide(_: int, call: Call) -> int:
        nonlocal has_acted, changes
        changes += call.may_change_files
        if call.may_change_files and changes == at and not worker.directory("work").exists():
            act()
            has_acted = True
        return 0

    status, _ = run_watched(partial(once, worker), decide)
    assert status == 0
    return has_acted


def test_directory_is_complete_as_soon_as_it_can_be_seen(prepared: Worker) -> None:
    """A reader that looks before each call of the publisher sees no directory, or record and all files."""
    seen: list[set[str]] = []

    def look(_number: int, _call: Call) -> int:
        if prepared.directory("work").exists():
            seen.append(set(os.listdir(prepared.directory("work"))))
        return 0

    status, _ = run_watched(partial(once, prepared), look)

    assert status == 0
    assert [names for names in seen if names != COMPLETE] == []
    assert set(os.listdir(prepared.directory("work"))) == COMPLETE


def test_directory_that_was_created_meanwhile_keeps_its_inode(prepared: Worker) -> None:
    """A directory that an operator or a container's engine creates at any moment is filled, and never replaced."""
    number, inodes = 1, []

    def act() -> None:
        prepared.directory("work").mkdir(mode=0o711)
        inodes.append(prepared.directory("work").stat().st_ino)

    while publish_before(prepared, number, act):
        work = prepared.directory("work")
        assert work.stat().st_ino == inodes[-1]
        assert set(os.listdir(work)) == COMPLETE
        assert list(check_all(prepared)) == []
        assert sorted(path.name for path in prepared.root.iterdir()) == [".lock", "imported", "work"]
        for path in work.iterdir():
            path.unlink()
        work.rmdir()
        number += 1
    assert number > len(COMPLETE)


@pytest.mark.parametrize("identity", ["alice", "bob"])
def test_two_processes_that_create_a_directory_leave_one_identity(prepared: Worker, identity: str) -> None:
    """Another process publishes the target at any moment, for the same identity or another one: nothing is mixed."""
    number = 1

    def act() -> None:
        configure(prepared, identity)
        once(prepared)
        configure(prepared)

    def publish() -> bool:
        return publish_before(prepared, number, act)

    while publish():
        assert set(os.listdir(prepared.directory("work"))) == COMPLETE
        assert list(check_all(prepared)) == []
        assert [each for each in list_leftovers(prepared) if "run/." in each] == []
        for path in prepared.directory("work").iterdir():
            path.unlink()
        prepared.directory("work").rmdir()
        number += 1
    assert number > len(COMPLETE)


@pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS)
def test_directory_that_is_being_filled_is_not_swept(prepared: Worker, sweep: Callable[[Path], object]) -> None:
    """Another process that removes leftovers at any moment leaves what a process that is alive creates."""
    number = 1

    while publish_before(prepared, number, partial(sweep, prepared.root)):
        assert set(os.listdir(prepared.directory("work"))) == COMPLETE
        assert list(check_all(prepared)) == []
        for path in prepared.directory("work").iterdir():
            path.unlink()
        prepared.directory("work").rmdir()
        number += 1
    assert number > len(COMPLETE)


@pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS)
def test_directory_that_gets_its_name_meanwhile_is_not_swept(prepared: Worker, sweep: Callable[[Path], object]) -> None:
    """A sweep that found a directory under its temporary name leaves it once it has its own."""
    once(prepared)
    aside = prepared.root / ".work.0123456789abcdef.tmp"
    prepared.directory("work").rename(aside)
    renamed = []

    def rename(number: int, call: Call) -> int:
        if call.number in CALLS["fcntl"] and call.arguments[1] == fcntl.F_OFD_SETLK and aside.exists():
            aside.rename(prepared.directory("work"))  # by a process that held the lock until now
            renamed.append(number)
        return 0

    status, _ = run_watched(partial(sweep, prepared.root), rename)

    assert status == 0
    assert len(renamed) == 1
    assert set(os.listdir(prepared.directory("work"))) == COMPLETE


@pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS)
def test_what_a_killed_process_was_filling_is_swept(prepared: Worker, sweep: Callable[[Path], object]) -> None:
    """Whenever a process is killed that fills a directory, what it leaves is removed by the next one."""
    number, swept = 1, 0

    def end(index: int, _: Call) -> int:
        return END if index == number else 0

    while True:
        status, _ = run_watched(partial(once, prepared), end)
        swept += any(path.name.endswith(".tmp") for path in prepared.root.iterdir())
        sweep(prepared.root)
        assert [path.name for path in prepared.root.iterdir() if path.name.endswith(".tmp")] == []
        if prepared.directory("work").exists():
            assert set(os.listdir(prepared.directory("work"))) == COMPLETE
            break
        assert status == -9
        number += 1
    assert swept > len(COMPLETE)
