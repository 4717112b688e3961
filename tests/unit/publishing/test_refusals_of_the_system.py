from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from refresher.errors import PublishError
from refresher.publishing import atomic
from refresher.publishing.atomic import OWN, Ownership, build_giving_error, build_publish_error, drop_inherited
from refresher.publishing.contents import read_file
from refresher.publishing.daemon_lock import held_roots, is_daemon_running
from refresher.publishing.directory import CredentialsDirectory
from refresher.publishing.open_directory import open_to_publish
from refresher.publishing.walk import LOCK, InsecureDirectoryError, open_root, settle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DENIED = OSError(errno.EPERM, os.strerror(errno.EPERM))
GROUP, USER = Ownership(uid=None, gid=1042, mode=0o440), Ownership(uid=1042, gid=1043, mode=0o440)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    """Return the descriptor of an empty directory."""
    (tmp_path / "place").mkdir()
    descriptor = os.open(tmp_path / "place", os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def closed(tmp_path: Path) -> int:
    """Return the number of a descriptor that is closed."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


@pytest.mark.parametrize(
    ("ownership", "problem", "remedies"),
    [
        (OWN, "/d/token can't be written: Operation not permitted", ["lsattr"]),
        (GROUP, "/d/token can't be given to group 1042", ["AmbientCapabilities=CAP_CHOWN ", "add the daemon's user"]),
        (USER, "/d/token can't be given to uid 1042 and group 1043", ["CAP_DAC_READ_SEARCH", "owner: ':GROUP'"]),
    ],
    ids=["own", "group", "user"],
)
def test_refused_owner_has_the_capability_that_is_needed(
    ownership: Ownership, problem: str, remedies: list[str]
) -> None:
    """What is missing depends on the owner; a group alone is not advised where it is configured already."""
    error = build_giving_error(DENIED, "/d/token", ownership)
    assert error.problem.startswith(problem)
    assert all(remedy in error.remedy for remedy in remedies)
    assert ("':GROUP'" in error.remedy) is (ownership is USER)


def test_broken_disk_is_not_a_matter_of_the_owner() -> None:
    """A broken disk is reported as such, also for a file that is given away."""
    error = build_giving_error(OSError(errno.EIO, ""), "/d/token", USER)
    assert "given to" not in error.problem
    assert os.strerror(errno.EIO) in error.problem


@pytest.mark.parametrize("name", ["", "absent/token"])
def test_full_disk_with_free_inodes_is_a_matter_of_space(tmp_path: Path, name: str) -> None:
    """Inodes are named only if none is free, also for a path that does not exist."""
    error = build_publish_error(OSError(errno.ENOSPC, ""), str(tmp_path / name))
    assert "inodes" not in error.problem


def test_probe_that_fails_leaves_nothing(directory: int, tmp_path: Path) -> None:
    """A directory in which nothing can be created fails the probe, with the system's reason."""
    (tmp_path / "place").rmdir()
    with pytest.raises(FileNotFoundError):
        atomic.probe(directory, size=10, ownership=OWN, random_name=lambda: "0" * 16)


def test_list_that_cannot_be_removed_is_a_failure(closed: int) -> None:
    """Whether a list of rights is gone is never assumed."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        drop_inherited(closed, "system.posix_acl_access")


def test_directory_that_cannot_be_settled_is_a_failure(closed: int) -> None:
    """The group and the mode of a directory are set, or its path is reported."""
    with pytest.raises(PublishError, match="/d can't be written"):
        settle(closed, "/d", OWN)


def test_root_below_a_file_is_reported_with_its_path(tmp_path: Path) -> None:
    """A path that can't be a directory is neither created nor taken for an absent one."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match="can't be opened: Not a directory"):
        open_root(tmp_path / "file" / "root", create=False)
    assert is_daemon_running(tmp_path / "file" / "root") is None


def test_root_that_does_not_exist_shows_nothing_about_a_daemon(tmp_path: Path) -> None:
    """It may be unmounted while the daemon runs."""
    assert is_daemon_running(tmp_path / "absent") is None


def test_lock_that_is_no_file_is_to_be_removed(tmp_path: Path) -> None:
    """A FIFO in the place of the lock is not waited for, and not chowned."""
    (tmp_path / "root").mkdir(mode=0o755)
    os.mkfifo(tmp_path / "root" / LOCK, 0o600)
    with held_roots() as hold, pytest.raises(InsecureDirectoryError) as refused:
        hold(tmp_path / "root")
    assert refused.value.remedy == f"remove {tmp_path}/root/{LOCK}"


def test_lock_that_others_may_open_is_closed_to_them(tmp_path: Path) -> None:
    """A user who can open the lock can keep the daemon out."""
    (tmp_path / "root").mkdir(mode=0o755)
    (tmp_path / "root" / LOCK).touch()
    (tmp_path / "root" / LOCK).chmod(0o644)
    with held_roots() as hold, pytest.raises(InsecureDirectoryError) as refused:
        hold(tmp_path / "root")
    assert refused.value.remedy == f"chmod 0600 {tmp_path}/root/{LOCK}"


def test_artifact_that_is_a_directory_is_reported_and_keeps_none_of_the_others(tmp_path: Path) -> None:
    """What can't be removed is the failure of a withdrawal, after everything else was removed."""
    place = CredentialsDirectory(root=tmp_path / "r", name="alice", ownership=OWN, random_name=str, artifacts=())
    with open_to_publish(place) as opened:
        for name in ("token", "env"):
            opened.publish(name, b"x")
        (tmp_path / "r" / "alice" / "credentials.json").mkdir()
        with pytest.raises(PublishError, match=r"credentials\.json can't be removed: Is a directory"):
            opened.withdraw(["credentials.json", "token", "env"])
    assert [path.name for path in (tmp_path / "r" / "alice").iterdir()] == ["credentials.json"]


def test_file_that_the_disk_lost_is_damaged_and_a_replaced_one_is_not(directory: int) -> None:
    """No process changed a file that the system fails to read; a directory instead of it is the work of one."""
    os.mkdir("token", dir_fd=directory)
    memory = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    lost, replaced = read_file(memory, "mem"), read_file(directory, "token")
    os.close(memory)

    assert (lost.is_damaged, replaced.is_damaged) == (True, False)
    assert lost.problem == "mem can't be read: Input/output error"
