from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.simulation.disk import Attributes, Disk
from tests.simulation.facts import is_whole, read_token
from tests.simulation.mutants import MUTANTS, TREE, Mutant
from tests.simulation.scheduler import SCHEDULER, Process
from tests.simulation.shrink import shrink
from tests.simulation.threads import Condition, Lock, sleep
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(*options: str) -> str:
    """Return what the simulation prints, in a process of its own: the product is linked with another system there."""
    command = [sys.executable, "-m", "tests.simulation", *options]
    return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_seeds_that_failed_once_run_without_a_broken_invariant() -> None:
    """Every seed in seeds.txt goes through."""
    assert "0 seeds failed" in run("--failed")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_seed_decides_all_that_happens() -> None:
    """Two runs of one seed show the same events, to the last line."""
    first, second = (run("--seed", "7", "--trace").partition("1 seeds")[0] for _ in range(2))
    assert first == second
    assert "token.published" in first


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_without_faults_expires_nothing() -> None:
    """Without a fault each target is renewed in time."""
    assert "0 seeds failed" in run("--seed", "11", "--faults", "")


def test_a_power_cut_keeps_what_was_synchronised() -> None:
    """A file that was synchronised, content and name, is there after each power cut; later changes are in order."""
    for seed in range(50):
        disk = Disk(Random(seed))
        first, second = (disk.create(Attributes(0o100600, 0, 0)) for _ in range(2))
        first.content = b"kept"
        disk.synchronise(first)
        disk.link(disk.root, ("first", first))
        disk.synchronise(disk.root)
        disk.link(disk.root, ("second", second))
        disk.link(disk.root, ("first", None))
        disk.cut_power()
        entries = disk.root.entries or {}
        assert "first" in entries or "second" in entries
        assert first.content == b"kept"


def test_a_file_that_was_not_synchronised_may_be_torn() -> None:
    """Some power cut leaves a part of a content that was not synchronised."""
    found = set[bytes]()
    for seed in range(50):
        disk = Disk(Random(seed))
        inode = disk.create(Attributes(0o100600, 0, 0))
        inode.content = b"content"
        disk.link(disk.root, ("file", inode))
        disk.synchronise(disk.root)
        disk.cut_power()
        found.add(inode.content)
    assert {b"", b"content"} < found


def test_tasks_take_turns_in_an_order_that_the_seed_decides() -> None:
    """Two tasks that share a lock never hold it both, and another seed has another order."""

    def order(seed: int) -> list[str]:
        SCHEDULER.reset(Random(seed), mean=1)
        process, lock, found = Process("test"), Lock(), list[str]()

        def work(name: str) -> None:
            for _ in range(20):
                with lock:
                    found.append(name)
                    sleep(0.1)
                    found.append(name)

        for name in "ab":
            SCHEDULER.spawn(process, name, lambda name=name: work(name))  # type: ignore[misc]
        SCHEDULER.run(SCHEDULER.now + 100)
        assert all(first == second for first, second in zip(found[::2], found[1::2], strict=True))
        return found

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(5)}) > 1


def test_a_condition_that_nothing_changes_ends_when_its_time_is_up() -> None:
    """A task that waits for a condition goes on after its timeout, on the simulated clock."""
    SCHEDULER.reset(Random(1), mean=10)
    found = list[object]()
    condition = Condition()

    def wait() -> None:
        with condition:
            found.extend([condition.wait_for(lambda: False, 7.0), SCHEDULER.now])

    SCHEDULER.spawn(Process("test"), "wait", wait)
    SCHEDULER.run(SCHEDULER.now + 100)
    assert found == [False, 1007.0]


def test_a_killed_process_releases_its_locks_and_does_nothing_more() -> None:
    """What a killed task does while it unwinds has no effect, and others can take its locks."""
    SCHEDULER.reset(Random(1), mean=10)
    victim, lock, found = Process("victim"), Lock(), list[str]()

    def hold() -> None:
        with lock:
            sleep(50)
            found.append("never")

    SCHEDULER.spawn(victim, "hold", hold)
    SCHEDULER.run(SCHEDULER.now + 1)
    assert lock.locked()
    SCHEDULER.kill(victim)
    SCHEDULER.run(SCHEDULER.now + 100)
    assert not lock.locked()
    assert found == []


@pytest.mark.parametrize(("needed", "count"), [({3}, 10), ({1, 8}, 12), ({0, 4, 9}, 30)])
def test_shrinking_keeps_the_faults_that_are_needed_and_no_other(needed: set[int], count: int) -> None:
    """The smallest schedule that still fails is found."""

    def fails(numbers: Sequence[int]) -> bool:
        return needed <= set(numbers)

    assert set(shrink(range(count), fails)) == needed


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_planted_bug_has_its_place_in_the_tree(mutant: Mutant) -> None:
    """The text that a bug replaces stands in its file once."""
    assert (TREE / "refresher" / mutant.file).read_text().count(mutant.text) == 1


def test_a_token_is_whole_only_with_its_signature() -> None:
    """A token that was cut off, or filled with zeros, is recognised without the product's code."""
    token = make_jwt().rpartition(".")[0] + "." + "a" * 86
    assert read_token(token.encode()) is not None
    assert not is_whole("token", token.encode()[:-3])
    assert not is_whole("token", token.encode()[:-3] + b"\0\0\0")
