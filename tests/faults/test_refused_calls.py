"""Whatever the system refuses: no file that a healthy target's container uses is ever withdrawn."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.engine.outcome import Result
from refresher.engine.plan import MintedArtifact
from refresher.engine.refresh import Refresher
from refresher.publishing.artifacts import RECORD
from refresher.publishing.retirement import retire_strays
from refresher.tokens import peek
from tests.fakes import FakeChain, FakeSupplier
from tests.seccomp import CALLS, run_refused
from tests.unit.engine.conftest import clock, supplier, target_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from refresher.engine.plan import Target
    from tests.fakes import FakeChain, FakeClock

    MakeTarget = Callable[..., Target]

__all__ = ["clock", "supplier", "target_of"]

ERRORS = [getattr(errno, name) for name in ("EACCES", "EPERM", "EIO", "ENOSPC", "EROFS", "ESTALE", "EMFILE", "EDQUOT")]
ACCESS = MintedArtifact(name="access_token")


@pytest.fixture
def healthy(target_of: MakeTarget, clock: FakeClock) -> Target:
    """Return a target with everything published, even optional artifacts."""
    target = target_of(minted=(ACCESS,), boto=True)
    refresher = Refresher(suppliers={"worker": FakeSupplier()}, chain=lambda: FakeChain(clock), clock=clock)
    assert refresher.refresh(target, first=True).result is Result.PUBLISHED
    (target.directory.path / "access_token").write_bytes(b"ya29.alice")
    return target


def read_all(path: Path) -> dict[str, bytes]:
    """Return every file that a container uses."""
    return {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.is_file() and entry.name[0] != "."}


def change_subject(target: Target) -> Target:
    """Return a target with another project number, by its audience, so that only the minted content changes."""
    return replace(target, expected=replace(target.expected, audiences=frozenset({"https://other"})))


SITUATIONS: dict[str, tuple[bool, Callable[[Target], Target]]] = {
    "fresh": (False, lambda target: target),
    "forced": (True, lambda target: target),
    "minted elsewhere": (False, change_subject),
    "unrecorded": (False, lambda target: target),
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("call", CALLS or ["none"])
def test_no_artifact_is_withdrawn_when_a_call_is_refused(
    healthy: Target, clock: FakeClock, call: str, situation: str
) -> None:
    """With each error at each system call every artifact stays, or is replaced by a better one of the same identity."""
    assert CALLS, "the numbers of this machine's system calls are unknown: add them to tests/seccomp.py"
    force, change = SITUATIONS[situation]
    target, place = change(healthy), healthy.directory.path
    clock.pass_(timedelta(minutes=1))
    if situation == "unrecorded":
        (place / RECORD).unlink()
    before = read_all(place)

    for error in ERRORS:
        refresher = Refresher(suppliers={"worker": FakeSupplier()}, chain=lambda: FakeChain(clock), clock=clock)
        status = run_refused(call, error, lambda: refresher.refresh(target, force=force, first=True))  # noqa: B023 - run at once

        after = read_all(place)
        assert status == 0, f"{os.strerror(error)}: {'no filter' if status == 4 else 'not a typed failure'}"
        if situation == "unrecorded" and (place / RECORD).exists():  # taken over: minted again by a separate job
            after.setdefault("access_token", before["access_token"])
        assert after.keys() == before.keys(), os.strerror(error)
        assert peek(after["token"].decode()).unverified_claims is not None
        assert {name: after[name] for name in target.static} == target.static


@pytest.mark.parametrize("call", CALLS or ["none"])
def test_other_targets_are_kept_when_retirement_is_refused(healthy: Target, clock: FakeClock, call: str) -> None:
    """With each error at each system call retirement removes no file of a configured target."""
    before = read_all(healthy.directory.path)

    for error in ERRORS:
        run_refused(call, error, lambda: retire_strays(healthy.directory.root, {"alice"}, clock.now()))

    assert read_all(healthy.directory.path) == before
