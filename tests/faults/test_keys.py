"""Each system call of a change of signing keys fails once: the keys stay whole, and the failure is a typed one."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from refresher.errors import KeysError
from refresher.keys.directory import activate, create, load_signing_key, retire, revoke, rotate
from refresher.keys.registry import KeyState, list_keys
from tests.seccomp import CALLS, run_refused_once
from tests.tokens import NOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Change = Callable[[Path], object]

ERRORS = ["EACCES", "EIO", "ENOSPC", "EROFS", "ENOLCK", "EMFILE"]
HOUR = timedelta(hours=1)
CHANGES: dict[str, Change] = {
    "rotate": lambda keys: rotate(keys, algorithm=None, now=NOW),
    "activate": lambda keys: activate(keys, None, lifetime=HOUR, now=NOW),
    "retire": lambda keys: retire(keys, now=NOW + timedelta(days=1)),
    "revoke": lambda keys: revoke(keys, load_signing_key(keys).kid, now=NOW),
}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a keys directory with a retiring and an active key."""
    create(tmp_path / "keys", algorithm="ES256", now=NOW)
    rotate(tmp_path / "keys", algorithm=None, now=NOW)
    activate(tmp_path / "keys", None, lifetime=HOUR, now=NOW)
    return tmp_path / "keys"


def attempt(change: Change, keys: Path) -> None:
    """Change keys; a typed failure is fine."""
    with suppress(KeysError):
        change(keys)


@pytest.mark.parametrize("name", CHANGES)
def test_keys_stay_whole_when_one_call_fails(keys: Path, tmp_path: Path, name: str) -> None:
    """Whichever call fails, one active key signs afterwards, and the same change then leaves nothing half done."""
    assert CALLS, "the numbers of this machine's system calls are unknown: add them to tests/seccomp.py"
    change = CHANGES[name]
    if name == "activate":
        rotate(keys, algorithm=None, now=NOW)
    copy = tmp_path / "copy"
    shutil.copytree(keys, copy)
    change(copy)  # in this process, for all that is imported at the first use
    shutil.rmtree(copy)
    shutil.copytree(keys, copy)
    _, total = run_refused_once(0, 0, partial(attempt, change, copy))

    for number in range(1, total + 1):
        shutil.rmtree(copy)
        shutil.copytree(keys, copy)
        error = ERRORS[number % len(ERRORS)]

        status, _ = run_refused_once(number, getattr(errno, error), partial(attempt, change, copy))

        where = f"{error} at call {number} of {total}"
        assert status == 0, where
        assert [record.state for record in list_keys(copy)].count(KeyState.ACTIVE) == 1, where
        load_signing_key(copy)
        attempt(change, copy)
        assert not [each for each in os.listdir(copy) if each.endswith(".tmp")], where
