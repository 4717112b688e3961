from __future__ import annotations

import fcntl
import os
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.publishing.lock import held_directory, open_lock
from refresher.publishing.retirement import GRACE, retire_strays

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DOCUMENT = b'{"type": "external_account", "credential_source": {"file": "/var/run/google/token"}}'


def make(path: Path, *, document: bytes = DOCUMENT) -> Path:
    """Put a published credentials directory somewhere."""
    path.mkdir(parents=True, mode=0o711)
    for name, content in (("token", b"t"), ("credentials.json", document), ("env", b"A=b\n")):
        (path / name).write_bytes(content)
    return path


def test_env_goes_at_once_and_the_rest_after_the_grace(root: Path) -> None:
    """A removed target loses `env` at once and its directory ten minutes later."""
    stray = make(root / "team" / "alice")
    now = datetime.now(UTC)

    first = retire_strays(root, set(), now)
    after_first = sorted(os.listdir(stray))
    retire_strays(root, set(), now + GRACE - timedelta(seconds=5))
    before_grace = sorted(os.listdir(stray))
    retire_strays(root, set(), now + GRACE + timedelta(seconds=5))

    assert first == (str(stray),)
    assert after_first == before_grace == ["credentials.json", "token"]
    assert not stray.exists()


def test_directories_of_targets_are_kept(root: Path) -> None:
    """What belongs to a target is left alone."""
    kept = make(root / "alice")

    retire_strays(root, {kept}, datetime.now(UTC) + timedelta(days=1))

    assert sorted(os.listdir(kept)) == ["credentials.json", "env", "token"]


@pytest.mark.parametrize("place", ["alice/inner", "/".join("abcdefghijkl")], ids=["in-a-kept-one", "deep"])
def test_stray_is_found_wherever_it_is(root: Path, place: str) -> None:
    """A former place inside a target's present one, or far below the root, loses `env` as any other."""
    kept = make(root / "alice")
    stray = make(root / place)

    assert retire_strays(root, {kept}, datetime.now(UTC)) == (str(stray),)
    assert (kept / "env").exists()


def test_what_lies_below_another_root_is_its_daemons(root: Path) -> None:
    """A daemon whose root lies in another's keeps what it published, also while it is down."""
    inner = root / "inner"
    with open_lock(inner):
        make(inner / "alice")
    stray = make(root / "alice")

    assert retire_strays(root, set(), datetime.now(UTC)) == (str(stray),)
    assert retire_strays(inner, set(), datetime.now(UTC)) == (str(inner / "alice"),)


def test_what_another_process_writes_into_is_no_stray_yet(root: Path) -> None:
    """`once` with a newer configuration may be at a directory that the daemon does not know of yet."""
    theirs = make(root / "alice")

    descriptor = os.open(theirs, os.O_RDONLY)
    with open_lock(root) as lock, held_directory(lock, descriptor, "theirs"):
        retire_strays(root, set(), datetime.now(UTC))
    os.close(descriptor)

    assert (theirs / "env").exists()


def test_beginning_of_a_killed_daemon_is_removed(root: Path) -> None:
    """A directory that holds nothing but the temporary file of a first publication goes with it."""
    (root / "alice").mkdir(mode=0o711)
    (root / "alice" / ".credentials.json.0123456789abcdef.tmp").write_bytes(b"{")

    retire_strays(root, set(), datetime.now(UTC))

    assert not (root / "alice").exists()


@pytest.mark.parametrize(
    "document", [b"{}", b'{"type": "service_account"}', b"rubbish"], ids=["empty", "key", "rubbish"]
)
def test_directories_without_our_mark_are_left_alone(root: Path, document: bytes) -> None:
    """A directory of somebody else's credentials below the root is never touched."""
    other = make(root / "other", document=document)

    retire_strays(root, set(), datetime.now(UTC) + timedelta(days=1))

    assert sorted(os.listdir(other)) == ["credentials.json", "env", "token"]


def with_a_symlink(path: Path) -> None:
    """Hold one's credentials by a symlink."""
    (path / "data.json").write_bytes(DOCUMENT)
    (path / "credentials.json").symlink_to("data.json")


def with_a_directory(path: Path) -> None:
    """Have a directory where we have our document."""
    (path / "credentials.json").mkdir()


def with_a_large_one(path: Path) -> None:
    """Have more credentials than we would read."""
    (path / "credentials.json").write_text(f'{{"x": "{"y" * 70_000}"}}')


def with_an_upload(path: Path) -> None:
    """Have a temporary file that is named as we name ours."""
    (path / ".upload.0123456789abcdef.tmp").write_bytes(b"half")


def with_a_download(path: Path) -> None:
    """Have credentials half written beside something else."""
    (path / ".credentials.json.0123456789abcdef.tmp").write_bytes(b"half")


@pytest.mark.parametrize(
    "furnish", [with_a_symlink, with_a_directory, with_a_large_one, with_an_upload, with_a_download]
)
def test_odd_directories_of_others_are_left_alone(root: Path, furnish: Callable[[Path], None]) -> None:
    """What we cannot have written makes no directory ours, though it is the daemon's user's."""
    other = root / "other"
    other.mkdir(mode=0o755)
    (other / "env").write_text("DB=1\n")
    (other / "token").write_text("t")
    furnish(other)
    before = sorted(other.rglob("*"))

    withdrawn = retire_strays(root, set(), datetime.now(UTC))
    retire_strays(root, set(), datetime.now(UTC) + timedelta(days=1))

    assert withdrawn == ()
    assert sorted(other.rglob("*")) == before


@pytest.mark.parametrize(("more", "is_retired"), [((), True), (("notes",), False)], ids=["ours", "with-notes"])
def test_lease_of_the_owner_hides_no_stray(root: Path, more: tuple[str, ...], *, is_retired: bool) -> None:
    """Who keeps us from reading our document keeps its directory only where something else makes that doubtful."""
    stray = make(root / "alice")
    for name in more:
        (stray / name).touch()
    with (stray / "credentials.json").open("rb") as leased:
        fcntl.fcntl(leased, fcntl.F_SETSIG, signal.SIGURG)  # whose default is to be ignored
        fcntl.fcntl(leased, fcntl.F_SETLEASE, fcntl.F_WRLCK)

        withdrawn = retire_strays(root, set(), datetime.now(UTC))

    assert bool(withdrawn) is is_retired


def test_removal_that_was_cut_short_is_taken_up_again(root: Path) -> None:
    """The document goes last: with it alone left, the directory is still known as ours and goes."""
    stray = make(root / "alice")
    (stray / "env").unlink()
    (stray / "token").unlink()

    retire_strays(root, set(), datetime.now(UTC) + GRACE + timedelta(seconds=5))

    assert not stray.exists()


def test_symlinks_lead_nowhere(root: Path, tmp_path: Path) -> None:
    """A symlink below the root does not make what it points to a stray."""
    outside = make(tmp_path / "outside")
    (root / "link").symlink_to(outside)

    retire_strays(root, set(), datetime.now(UTC) + timedelta(days=1))

    assert sorted(os.listdir(outside)) == ["credentials.json", "env", "token"]


def test_files_of_strangers_keep_their_directory(root: Path) -> None:
    """A stray that holds somebody's file loses ours and stays, without the mark."""
    stray = make(root / "alice")
    (stray / "notes").write_text("mine")
    now = datetime.now(UTC)

    retire_strays(root, set(), now)
    retire_strays(root, set(), now + GRACE + timedelta(seconds=5))

    assert os.listdir(stray) == ["notes"]


def test_absent_root_is_fine(tmp_path: Path) -> None:
    """Nothing is to be retired below a root that is not there."""
    assert retire_strays(tmp_path / "absent", set(), datetime.now(UTC)) == ()
