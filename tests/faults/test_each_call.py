"""Each system call of the program fails once: no artifact of a healthy target is withdrawn.

The errors take turns; with EACH_ERROR=1 each call meets each of them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from refresher.app.plans import ConfiguredPlans
from refresher.app.programs import refresh_once
from refresher.config.loader import load
from refresher.engine.daemon import Daemon
from refresher.engine.reporter import Reporter
from refresher.engine.workers import Workers
from refresher.publishing.daemon_lock import held_roots
from refresher.publishing.retirement import retire_strays
from refresher.tokens import peek
from tests.fakes import FakeClock
from tests.seccomp import CALLS, run_refused_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from refresher.config.loader import LoadedConfiguration
    from tests.conftest import Need
    from tests.program import Worker

    Work = Callable[[LoadedConfiguration], None]

ERRORS = ["EACCES", "EPERM", "EIO", "ENOSPC", "EROFS"]
EACH_ERROR = "EACH_ERROR" in os.environ
"""Whether each call meets each error, in minutes; else each call meets one, and the errors take turns."""
OTHER_USER = 54321
OWNERS = {"daemon": None, "user": "1042:1042"}
_CAPABILITIES = 0x20080522


def once(loaded: LoadedConfiguration, *, force: bool = False) -> None:
    """Refresh as `refresher once` does."""
    refresh_once(loaded, ["alice"], force=force)


def tick(loaded: LoadedConfiguration) -> None:
    """Start a daemon forty minutes from now, when the token is due, and let it tick until every directory was seen."""
    workers = Workers()
    clock = FakeClock(datetime.now(UTC) + timedelta(minutes=40))
    with held_roots() as hold:
        daemon = Daemon(
            plans=ConfiguredPlans(loaded.path, loaded),
            hold=hold,
            retire=retire_strays,
            workers=workers,
            reporter=Reporter(lambda _: None),
            clock=clock,
            draw=lambda: 0.5,
        )
        for _ in range(3):
            daemon.tick()
            assert workers.wait(20)


def drop_capabilities() -> None:
    """Take every capability from this process, which stays root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, nothing = struct.pack("<Ii", _CAPABILITIES, 0), bytes(24)
    if libc.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "capset")


def as_another_user(work: Work) -> Work:
    """Return the work done by a user who is neither root nor the daemon."""

    def run(loaded: LoadedConfiguration) -> None:
        os.setgroups([])
        os.setresgid(OTHER_USER, OTHER_USER, OTHER_USER)
        os.setresuid(OTHER_USER, OTHER_USER, OTHER_USER)
        work(loaded)

    return run


def without_capabilities(work: Work) -> Work:
    """Return the work done by the daemon's user without its capabilities."""

    def run(loaded: LoadedConfiguration) -> None:
        drop_capabilities()
        work(loaded)

    return run


SITUATIONS: dict[str, Work] = {
    "once": once,
    "once --force": lambda loaded: once(loaded, force=True),
    "run": tick,
    "run without capabilities": without_capabilities(tick),
    "run as another user": as_another_user(tick),
    "once without capabilities": without_capabilities(once),
    "once as another user": as_another_user(once),
}


def restore(target: Path, files: dict[str, bytes]) -> None:
    """Put the former token back if another was published, so that every attempt begins alike."""
    token = target / "token"
    if token.read_bytes() != files["token"]:
        status = token.stat()
        token.chmod(0o600)
        token.write_bytes(files["token"])
        token.chmod(status.st_mode & 0o777)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_no_artifact_is_withdrawn_when_one_call_fails(
    worker: Worker, need: Need, situation: str, owner: str | None
) -> None:
    """Whichever call fails, and by whichever error, every artifact stays or is replaced by a better one of alice's."""
    need.root()
    assert CALLS, "the numbers of this machine's system calls are unknown: add them to tests/seccomp.py"
    target = {"identity": "alice", "artifacts": {"boto": True}} | ({"owner": owner} if owner else {})
    worker.configure("alice", targets={"alice": target})
    loaded, work = load(worker.configuration), SITUATIONS[situation]
    once(loaded, force=True)  # here, for all that is imported at the first use
    before = worker.files("alice")

    for path in worker.place.parents[:-2]:
        path.chmod(path.stat().st_mode | 0o011)
    _, total = run_refused_once(0, 0, partial(work, loaded))
    assert total > 1
    for number in range(1, total + 1):
        for error in ERRORS if EACH_ERROR else [ERRORS[number % len(ERRORS)]]:
            restore(worker.directory("alice"), before)
            status, _ = run_refused_once(number, getattr(errno, error), partial(work, loaded))
            where = f"{error} at call {number} of {total}"
            assert status == 0, f"{where}: {'no filter' if status == 4 else 'not a typed failure'}"
            check_files(before, worker.files("alice"), where)


def check_files(before: dict[str, bytes], after: dict[str, bytes], where: str) -> None:
    """Check that nothing is lost, and that the token is alice's, present or new."""
    assert after.keys() >= before.keys(), where
    assert {name: after[name] for name in before if name != "token"} == {
        name: content for name, content in before.items() if name != "token"
    }, where
    claims = peek(after["token"].decode()).unverified_claims
    assert claims is not None, where
    assert claims.subject == "user-alice", where
