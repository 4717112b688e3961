from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from refresher.observe.holders import find_holders
from refresher.publishing.directory import TargetRecord

if TYPE_CHECKING:
    from pathlib import Path


def test_names_on_one_printable_line_who_mounted_a_file_wherever_to(tmp_path: Path) -> None:
    """A mount point with escape sequences, line ends or undecodable bytes is shown escaped, on one line."""
    directory = _directory(tmp_path)
    point = b"/home/a\x1b[2J\rb\\012c\\040d\xff"
    proc = _proc(tmp_path, b"31 1 0:9 %s/token//deleted %s rw - tmpfs t rw\n" % (bytes(directory), point))

    (holder,) = find_holders({directory: None}, proc)

    assert f"process 41 has {directory}/token mounted by itself at /home/a\\x1b[2J\\rb\\nc d\\udcff and reads" in holder
    assert holder.isprintable()


def test_mounts_of_strangers_hide_nobody(tmp_path: Path) -> None:
    """A truncated line, or a mount point with carriage returns, does not hide any other mount."""
    directory = _directory(tmp_path)
    odd = b"30 1 0:9 / /home/a\rb\rc rw - tmpfs t rw\n31 1\n\n"
    proc = _proc(tmp_path, odd + b"32 1 0:9 %s/env /x rw - tmpfs t rw\n" % bytes(directory))

    (holder,) = find_holders({directory: None}, proc)
    (elsewhere,) = find_holders({directory: "/var/run/secrets"}, proc)

    assert f"process 41 has {directory}/env mounted by itself at /x and will never see another" in holder
    assert f"(-v {directory}:{directory}:ro, no subPath)" in holder
    assert f"(-v {directory}:/var/run/secrets:ro, no subPath)" in elsewhere


@pytest.mark.parametrize("name", ["alice", ".alice.0123456789abcdef.tmp"], ids=["removed", "moved aside first"])
def test_removed_directory_is_found(tmp_path: Path, name: str) -> None:
    """A container that holds a removed directory is found, and one that holds the present directory is not."""
    directory = _directory(tmp_path)
    former = bytes(directory.with_name(name))
    present = b"33 1 0:9 %s /y rw - tmpfs t rw\n" % bytes(directory)
    proc = _proc(tmp_path, b"32 1 0:9 %s//deleted /x rw - tmpfs t rw\n" % former + present)

    (holder,) = find_holders({directory: None}, proc)

    assert f"process 41 has the former directory {directory} mounted at /x, which was removed" in holder
    assert "sees nothing that is published since — start the container again" in holder


MISPLACED = {
    "right place": (b"0:9 %s /c", ""),
    "another place": (b"0:9 %s /d", "mounted at /d, but its documents name /c — mount it at /c"),
    "both places": (b"0:9 %s /d rw - tmpfs t rw\n33 1 0:9 %s /c", ""),
    "own path": (b"0:9 %s %s", ""),
    "unmounted root": (b"0:8 /alice /c", "a directory of another file system mounted at /c instead of the present"),
    "another's directory": (b"0:8 /other /c", ""),
    "another's place": (b"0:8 /alice /d", ""),
}


@pytest.mark.parametrize(("mounts", "problem"), MISPLACED.values(), ids=list(MISPLACED))
def test_container_that_has_the_directory_elsewhere_is_found(tmp_path: Path, mounts: bytes, problem: str) -> None:
    """A mount at another place than the documents name, and one of an unmounted root, are found, and no other."""
    directory = _directory(tmp_path)
    filled = mounts.replace(b"%s", bytes(directory))

    found = list(find_holders({directory: "/c"}, _proc(tmp_path, b"32 1 %s rw - tmpfs t rw\n" % filled)))

    assert len(found) == bool(problem)
    assert problem in "".join(found)
    assert list(find_holders({directory: None}, tmp_path / "proc")) == []


@pytest.mark.parametrize("end", [b"", b"//deleted"], ids=["moved", "moved and removed"])
def test_directory_that_was_moved_is_found(tmp_path: Path, end: bytes) -> None:
    """A container that holds a directory of the root, and not that of a target, in the place of one is cut off."""
    directory = _directory(tmp_path)
    moved = b"32 1 0:9 %s%s /c rw - tmpfs t rw\n" % (bytes(directory.with_name("alice.old")), end)

    (holder,) = find_holders({directory: "/c"}, _proc(tmp_path, moved))

    assert f"process 41 has {directory}.old, which is not the directory of a target, mounted at /c" in holder
    assert "nothing is published there any more — start the container again" in holder
    assert list(find_holders({directory: "/d"}, tmp_path / "proc")) == []
    aside = bytes(directory.with_name(".alice.0123456789abcdef.tmp"))
    (tmp_path / "proc" / "41" / "mountinfo").write_bytes(b"32 1 0:9 %s//deleted /c rw - tmpfs t rw\n" % aside)
    assert len(list(find_holders({directory: "/c"}, tmp_path / "proc"))) == 1


def test_directory_that_was_renamed_within_the_root_is_found_wherever_it_is_mounted(tmp_path: Path) -> None:
    """A directory of the root with our record is named if no target has it, wherever the container has it."""
    directory = _directory(tmp_path)
    renamed = directory.with_name("old")
    renamed.mkdir()
    proc = _proc(tmp_path, b"32 1 0:9 %s /elsewhere rw - tmpfs t rw\n" % bytes(renamed))
    without_record = list(find_holders({directory: "/c"}, proc))
    (renamed / ".target").write_bytes(TargetRecord("alice", "alice", "f").render())

    (holder,) = find_holders({directory: "/c"}, proc)

    assert without_record == []
    assert f"process 41 has {renamed}, which is not the directory of a target, mounted at /elsewhere" in holder


@pytest.mark.parametrize("target", ["alice", "removed"])
@pytest.mark.parametrize("point", [b"/c", b"/d"], ids=["its place", "another place"])
def test_directory_that_was_moved_out_of_the_root_is_found(tmp_path: Path, target: str, point: bytes) -> None:
    """The record of a directory shows whose it was, wherever it and the mount are; no other directory is named."""
    directory = _directory(tmp_path)
    elsewhere = tmp_path / "elsewhere" / "a b"
    elsewhere.mkdir(parents=True)
    (elsewhere / ".target").write_bytes(TargetRecord(target, "alice", "f").render())
    other = tmp_path / "elsewhere" / "other"
    other.mkdir()
    moved = b"32 1 0:9 %s %s rw - tmpfs t rw\n" % (bytes(elsewhere).replace(b" ", b"\\040"), point)
    proc = _proc(tmp_path, moved + b"33 1 0:9 %s /c rw - tmpfs t rw\n" % bytes(other))

    (holder,) = find_holders({directory: "/c"}, proc)

    assert f"process 41 has {elsewhere} mounted at {point.decode()}: it is the former directory" in holder
    assert f"{directory.with_name(target) if target == 'alice' else target}, which was moved" in holder
    assert "nothing is published there any more — start the container again" in holder


def test_directory_of_another_root_is_no_moved_one(tmp_path: Path) -> None:
    """Two daemons of a machine may have targets of one name, and each publishes in its own root."""
    directory = _directory(tmp_path)
    other = tmp_path / "other root" / "alice"
    other.mkdir(parents=True)
    (other / ".target").write_bytes(TargetRecord("alice", "alice", "f").render())
    (other.parent / ".lock").touch()
    mount = b"32 1 0:9 %s /c rw - tmpfs t rw\n" % bytes(other).replace(b" ", b"\\040")

    assert list(find_holders({directory: "/c"}, _proc(tmp_path, mount))) == []


def test_directory_that_was_moved_out_of_the_root_and_removed_is_found(tmp_path: Path) -> None:
    """In the place of a target's directory, what was removed is cut off; elsewhere it may be of another program."""
    directory = _directory(tmp_path)
    removed = b"32 1 0:9 /elsewhere//deleted %s rw - tmpfs t rw\n"
    proc = _proc(tmp_path, removed % b"/c" + removed % b"/d")

    (holder,) = find_holders({directory: "/c"}, proc)

    assert "process 41 has a directory mounted at /c that was moved out of directory_root and removed" in holder


def test_whole_root_in_a_container_is_found(tmp_path: Path) -> None:
    """A container with the directories of all targets is found, and a process of this machine is not."""
    directory = _directory(tmp_path)
    whole = b"33 1 0:9 %s /all rw - tmpfs t rw\n" % bytes(directory.parent)
    proc = _proc(tmp_path, b"32 1 0:7 / / rw - overlay o rw\n" + whole)

    (holder,) = find_holders({directory: None}, proc)
    (proc / "41" / "mountinfo").write_bytes(b"32 1 0:9 / / rw - tmpfs t rw\n" + whole)
    ours = list(find_holders({directory: None}, proc))

    assert f"process 41 has {directory.parent} mounted at /all, with the directories of all targets" in holder
    assert "— mount the directory of its target alone" in holder
    assert ours == []


def test_directory_of_another_target_is_found(tmp_path: Path) -> None:
    """A directory in the place of another target's does not hint at its own documents."""
    directory = _directory(tmp_path)
    other = directory.with_name("bob")
    other.mkdir()
    mounts = b"32 1 0:9 %s %s rw - tmpfs t rw\n" % (bytes(other), bytes(directory))

    (holder,) = find_holders({directory: str(directory), other: str(other)}, _proc(tmp_path, mounts))

    assert f"process 41 has {other} mounted at {directory}, where target alice has its own" in holder
    assert f"mount {directory} there, or {other} at {other}" in holder
    assert "container_directory" not in holder


@pytest.mark.parametrize("name", ["alice", ".alice.0123456789abcdef.tmp"], ids=["removed", "moved aside first"])
def test_process_that_works_in_a_removed_directory_is_found(tmp_path: Path, name: str) -> None:
    """A process of this machine with no mount, whose working directory is gone, is found; one in the present is not."""
    directory = _directory(tmp_path)
    former = directory.rename(directory.with_name(name))
    with subprocess.Popen(["sleep", "60"], cwd=former) as left:
        former.rmdir()
        directory.mkdir()
        with subprocess.Popen(["sleep", "60"], cwd=directory) as present:
            found = list(find_holders({directory: None}))
            present.kill()
        left.kill()

    assert [each for each in found if f"process {present.pid} " in each] == []
    (holder,) = [each for each in found if f"process {left.pid} " in each]
    assert f"works in the former directory {directory}, which was removed" in holder


def _directory(place: Path) -> Path:
    directory = place / "root" / "alice"
    directory.mkdir(parents=True)
    return directory


def _proc(place: Path, mounts: bytes) -> Path:
    """Return the view of proc(5) on one process with these mounts, from a process that only has the root."""
    proc = place / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "mountinfo").write_bytes(b"1 0 0:9 / / rw - tmpfs t rw\n")
    (proc / "41" / "ns").mkdir(parents=True)
    (proc / "41" / "ns" / "mnt").symlink_to("mnt:[1]")
    (proc / "41" / "mountinfo").write_bytes(mounts)
    return proc
