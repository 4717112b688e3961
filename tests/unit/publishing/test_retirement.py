from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.publishing.artifacts import RECORD
from refresher.publishing.directory import TargetRecord
from refresher.publishing.lock import open_lock, release_directory, take_directory
from refresher.publishing.retirement import GRACE, Retirement, list_unrecorded, retire_strays

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need

FILES = [".target", "artifacts.json", "credentials.json", "env", "id_tokens", "token"]


def make(path: Path, *, record: bytes | None = None) -> Path:
    """Create a published credentials directory; without a record if `record` is empty."""
    path.mkdir(parents=True, mode=0o711)
    record = TargetRecord(path.name, "alice", "0" * 32).render() if record is None else record
    if record:
        (path / RECORD).write_bytes(record)
    for name in ("token", "credentials.json", "env", "artifacts.json"):
        (path / name).write_bytes(b"x")
    (path / "id_tokens").mkdir(mode=0o711)
    (path / "id_tokens" / "api").write_bytes(b"x")
    return path


def list_names(path: Path) -> list[str]:
    """Return the names of a directory's entries."""
    return sorted(os.listdir(path))


def test_env_goes_at_once_and_the_rest_after_the_grace(root: Path) -> None:
    """A removed target loses `env` at once and its directory ten minutes later."""
    stray = make(root / "alice")
    now = datetime.now(UTC)

    first = retire_strays(root, (), now)
    after_first = list_names(stray)
    second = retire_strays(root, (), now + GRACE - timedelta(seconds=5))
    before_grace = list_names(stray)
    last = retire_strays(root, (), now + GRACE + timedelta(seconds=5))

    assert first == Retirement(("alice",), retiring=("alice",))
    assert (second, last) == (Retirement(retiring=("alice",)), Retirement())
    assert after_first == before_grace == [name for name in FILES if name != "env"]
    assert list_names(root) == [".lock"]


def test_reserved_names_are_kept(root: Path) -> None:
    """A directory with the name of a target, or of any drop-in, even a broken one, is left alone."""
    kept = make(root / "alice")

    retire_strays(root, {"alice"}, datetime.now(UTC) + timedelta(days=1))

    assert list_names(kept) == FILES


def test_directory_is_a_stray_under_whatever_name(root: Path) -> None:
    """A renamed directory has our record and no reserved name, so it is retired."""
    make(root / "alice").rename(root / "renamed")

    assert retire_strays(root, {"alice"}, datetime.now(UTC)).withdrawn == ("renamed",)


@pytest.mark.parametrize("record", [b"", b"{", b'{"version": 1}'], ids=["none", "torn", "incomplete"])
def test_directory_without_a_record_is_left_alone_and_listed(root: Path, record: bytes) -> None:
    """Files without a valid record are never removed; those of an earlier version are reported."""
    other = make(root / "alice", record=record or b"")
    if not record:
        (other / RECORD).unlink(missing_ok=True)

    retired = retire_strays(root, (), datetime.now(UTC) + timedelta(days=1))

    assert retired == Retirement()
    assert {"credentials.json", "env", "token"} <= set(list_names(other))
    assert list_unrecorded(root, ()) == ([] if record else ["alice"])
    assert list_unrecorded(root, {"alice"}) == []


def test_directory_of_another_user_is_left_alone(root: Path, need: Need) -> None:
    """A directory of another user is left alone, whatever it contains."""
    need.root()
    other = make(root / "alice")
    os.chown(other, 54_321, -1)

    assert retire_strays(root, (), datetime.now(UTC)) == Retirement()
    assert (other / "env").exists()


def test_directory_that_another_process_writes_into_is_left_for_the_next_time(root: Path) -> None:
    """`once` with a newer configuration may use a directory that the daemon does not know yet."""
    theirs = make(root / "alice")

    descriptor = os.open(theirs, os.O_RDONLY)
    with open_lock(root) as (_, lock):
        byte = take_directory(lock, os.fstat(descriptor), "theirs")
        retired = retire_strays(root, (), datetime.now(UTC))
        release_directory(lock, byte)
    os.close(descriptor)

    assert retired.withdrawn == ()
    assert (theirs / "env").exists()


@pytest.mark.parametrize("left", [[], [".target.0123456789abcdef.tmp"]], ids=["empty", "half a record"])
def test_beginning_of_a_killed_daemon_is_removed(root: Path, left: list[str]) -> None:
    """A directory with only the temporary file of its first record is removed, together with that file."""
    (root / "alice").mkdir(mode=0o711)
    for name in left:
        (root / "alice" / name).write_bytes(b"{")

    retire_strays(root, (), datetime.now(UTC))

    assert not (root / "alice").exists()


@pytest.mark.parametrize("entries", [["notes"], ["data.json", "env"], [".upload.0123456789abcdef.tmp", "notes"]])
def test_unknown_directories_are_left_alone(root: Path, entries: list[str]) -> None:
    """A directory of other files in the root is left alone, even if it belongs to the daemon's user."""
    other = root / "other"
    other.mkdir(mode=0o755)
    for name in entries:
        (other / name).write_text("x")

    retired = [retire_strays(root, (), datetime.now(UTC) + timedelta(days=day)) for day in (0, 1)]

    assert retired == [Retirement(), Retirement()]
    assert list_names(other) == sorted(entries)


def test_removal_that_was_cut_short_is_continued(root: Path) -> None:
    """With only the record left, or moved aside, the directory is still recognised as ours and removed."""
    alone, aside = make(root / "alice"), make(root / "bob")
    for name in ("token", "env", "credentials.json", "artifacts.json"):
        (alone / name).unlink()
    aside.rename(root / ".bob.0123456789abcdef.tmp")

    for _ in range(2):
        retire_strays(root, (), datetime.now(UTC) + GRACE + timedelta(seconds=5))

    assert list_names(root) == [".lock"]


def test_symlinks_lead_nowhere(root: Path, tmp_path: Path) -> None:
    """A symlink in the root does not make its target a stray."""
    outside = make(tmp_path / "outside")
    (root / "link").symlink_to(outside)

    retire_strays(root, (), datetime.now(UTC) + timedelta(days=1))

    assert list_names(outside) == FILES


def test_unknown_files_keep_their_directory_and_its_record(root: Path) -> None:
    """A stray with a file of another program loses our files and stays, with its record."""
    stray = make(root / "alice")
    (stray / "notes").write_text("mine")
    now = datetime.now(UTC)

    retire_strays(root, (), now)
    retire_strays(root, (), now + GRACE + timedelta(seconds=5))

    assert list_names(stray) == [".target", "notes"]


def test_one_directory_that_fails_keeps_no_other(root: Path) -> None:
    """A directory that cannot be removed is a failure with its path; the others are retired."""
    obstacle, other = make(root / "alice"), make(root / "bob")
    (obstacle / "env").unlink()
    (obstacle / "env").mkdir()

    retired = retire_strays(root, (), datetime.now(UTC))

    assert retired.withdrawn == ("bob",)
    assert [str(obstacle) in failure.problem for failure in retired.failures] == [True]
    assert not (other / "env").exists()


def test_newer_record_is_a_failure_and_no_stray(root: Path) -> None:
    """A directory with the record of a later version stays, and is reported."""
    theirs = make(root / "alice", record=TargetRecord("alice", "alice", "0").render().replace(b": 1", b": 2"))

    retired = retire_strays(root, (), datetime.now(UTC))

    assert "later version" in retired.failures[0].problem
    assert list_names(theirs) == FILES


def test_absent_root_is_fine(tmp_path: Path) -> None:
    """A root that does not exist has nothing to retire."""
    assert retire_strays(tmp_path / "absent", (), datetime.now(UTC)) == Retirement()


def test_env_of_a_withdrawn_identity_goes_and_all_else_stays(root: Path) -> None:
    """A reserved name without a target loses `env` if the recorded identity is gone, and nothing more, ever."""
    named = {"in-force": "alice", "broken": "alice", "withdrawn": "dave", "kept": "dave", "stray": "dave"}
    for name, identity in named.items():
        make(root / name, record=TargetRecord(name, identity, "0" * 32).render())
    make(root / "foreign", record=b"{")
    reserved, now = {*named, "foreign"} - {"stray"}, datetime.now(UTC)

    first, later = (
        retire_strays(root, reserved, each, targets={"in-force", "kept"}, identities={"alice"})
        for each in (now, now + GRACE + timedelta(days=1))
    )

    assert first == Retirement(("stray",), (("withdrawn", "dave"),), retiring=("stray",))
    assert later == Retirement()
    without_env = [name for name in FILES if name != "env"]
    assert list_names(root / "withdrawn") == without_env
    assert [list_names(root / name) for name in ("in-force", "broken", "kept", "foreign")] == [FILES] * 4
    assert not (root / "stray").exists()


def test_only_env_of_withdrawn_identities_goes_while_names_are_unknown(root: Path) -> None:
    """Without a readable drop-in directory nothing is retired, and a withdrawn identity still loses `env`."""
    for name, identity in (("task", "alice"), ("train", "dave")):
        make(root / name, record=TargetRecord(name, identity, "0" * 32).render())

    for days in (0, 1):
        retire_strays(root, None, datetime.now(UTC) + timedelta(days=days), (), {"alice"})

    assert list_names(root / "task") == FILES
    assert list_names(root / "train") == [name for name in FILES if name != "env"]
