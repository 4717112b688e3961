"""The file system of a root: writable, with space and inodes left, or why not."""

import errno
import os
from pathlib import Path

import pytest

from refresher.errors import PublishError
from refresher.publishing.space import check_root, judge

PAGE = 4096
NUMBERS = {
    "plenty": ((1000, 900, 900, 100, 90), 0, None),
    "no space": ((1000, 0, 0, 100, 90), 0, errno.ENOSPC),
    "one page": ((1000, 1, 1, 100, 90), 0, errno.ENOSPC),
    "reserved for root": ((1000, 50, 0, 100, 90), 0, errno.ENOSPC),
    "no inodes": ((1000, 900, 900, 100, 0), 0, errno.ENOSPC),
    "without limits": ((0, 0, 0, 0, 0), 0, None),
    "read-only": ((1000, 900, 900, 100, 90), os.ST_RDONLY, errno.EROFS),
}


def build(numbers: tuple[int, int, int, int, int], flags: int) -> os.statvfs_result:
    """Return what statvfs(3) returns for blocks, free ones, those for all, inodes and free ones."""
    blocks, free, available, files, left = numbers
    return os.statvfs_result((PAGE, PAGE, blocks, free, available, files, left, left, flags, 255))


@pytest.mark.parametrize(("numbers", "flags", "expected"), NUMBERS.values(), ids=list(NUMBERS))
def test_numbers_of_a_file_system_decide_what_is_wrong(
    numbers: tuple[int, int, int, int, int], flags: int, expected: int | None
) -> None:
    """Without room or inodes for a publication, or read-only, nothing can be written; 0 in total means no limit."""
    found = judge(build(numbers, flags), is_root=False)

    assert (found and found.errno) == expected


def test_root_may_use_reserved_blocks() -> None:
    """A daemon that is root may use what is kept back for root."""
    assert judge(build((1000, 50, 0, 100, 90), 0), is_root=True) is None


def test_absent_and_good_roots_are_no_fault(tmp_path: Path) -> None:
    """A root that can be written to, and one that is reported elsewhere, raise nothing."""
    check_root(tmp_path)
    check_root(tmp_path / "absent")


def test_fault_names_the_root_and_what_to_do() -> None:
    """A read-only file system is a problem with a remedy; proc(5) is mounted without a place for a file."""
    read_only = next(
        (
            Path(fields[1])
            for fields in map(str.split, Path("/proc/mounts").read_text().splitlines())
            if "ro" in fields[3].split(",") and Path(fields[1]).is_dir()
        ),
        None,
    )
    if read_only is None:
        pytest.skip("no file system is mounted read-only here")

    with pytest.raises(PublishError) as raised:
        check_root(read_only)

    assert raised.value.problem == f"nothing can be renewed: {read_only} can't be written: Read-only file system"
    assert "mount that file system writable" in raised.value.remedy
