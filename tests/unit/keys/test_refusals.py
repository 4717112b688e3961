from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.errors import KeysError
from refresher.files import open_directory
from refresher.keys.directory import create
from refresher.keys.refusals import translate

if TYPE_CHECKING:
    from tests.conftest import Need

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = Path("/var/lib/refresher/keys")


@pytest.mark.parametrize(
    ("code", "user", "remedy"),
    [
        (errno.EIO, 999, "check that disk"),
        (errno.EACCES, 999, f"chown -R 999 {KEYS}"),
        (errno.EPERM, None, f"chown -R {os.geteuid()} {KEYS}"),
    ],
    ids=["broken disk", "denied", "denied to an unknown user"],
)
def test_keys_that_cannot_be_read_have_the_remedy_of_their_reason(code: int, user: int | None, remedy: str) -> None:
    """A broken disk is not a matter of rights, and rights are given to the user who signs."""
    error = translate(KEYS, OSError(code, os.strerror(code)), user)
    assert os.strerror(code) in error.problem
    assert remedy in error.remedy


def test_place_below_a_file_cannot_hold_keys(tmp_path: Path) -> None:
    """What can't be created is reported with its path, and nothing is left."""
    (tmp_path / "file").write_text("")
    with pytest.raises(KeysError, match="cannot be created: File exists"):
        create(tmp_path / "file" / "keys", algorithm="ES256", now=NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_lock_that_is_a_directory_is_reported(tmp_path: Path) -> None:
    """A keys directory that can't be locked is not written to."""
    (tmp_path / "keys" / ".lock").mkdir(parents=True)
    (tmp_path / "keys").chmod(0o700)
    with pytest.raises(KeysError, match="cannot be locked or written"):
        create(tmp_path / "keys", algorithm="ES256", now=NOW)
    assert [path.name for path in (tmp_path / "keys").iterdir()] == [".lock"]


def test_volume_of_a_kubelet_is_read_through_its_link(tmp_path: Path) -> None:
    """The directory that `..data` names is opened, so that a switch of the link in between mixes no two volumes."""
    (tmp_path / "..2026_01").mkdir()
    (tmp_path / "..2026_01" / "keys.json").write_text("{}")
    (tmp_path / "..data").symlink_to("..2026_01")
    descriptor = open_directory(str(tmp_path))
    try:
        assert os.listdir(descriptor) == ["keys.json"]
    finally:
        os.close(descriptor)


def test_daemon_that_may_not_create_its_keys_shows_what_root_runs(tmp_path: Path, need: Need) -> None:
    """Both halves of the remedy are root's: the directory of root's that is above it is closed to the daemon."""
    need.root()
    tmp_path.chmod(0o755)
    os.seteuid(54_321)
    try:
        error = translate(tmp_path / "keys", FileNotFoundError(errno.ENOENT, "gone"), None)
    finally:
        os.seteuid(0)

    place = tmp_path / "keys"
    assert (
        f"as root, install -d -o 54321 -m 0700 {place} && setpriv --reuid=54321 --clear-groups refresher keys new "
    ) in error.remedy
