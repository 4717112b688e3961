"""What commands set up for the process that they run in."""

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from refresher.app.programs import release_code

THREADS = """
import threading
from pathlib import Path

from refresher.app.programs import share_heap

share_heap()
meeting = threading.Barrier(9)


def hold():
    kept = [bytearray(50_000) for _ in range(20)]
    meeting.wait()
    meeting.wait()


for _ in range(8):
    threading.Thread(target=hold).start()
meeting.wait()
ranges = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
starts, ends = ({int(each[which], 16) for each in ranges} for which in (0, 1))
print(sum(start % 2**26 == 0 and start + 2**26 in ends for start in starts))
meeting.wait()
"""
"""Prints how many heaps of threads there are; each of glibc's begins at a multiple of 64 MiB and is reserved up to
the next (`HEAP_MAX_SIZE`)."""


def test_threads_have_no_heaps_of_their_own() -> None:
    """After `share_heap`, what eight threads allocate lies in one heap."""
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0"


@pytest.mark.parametrize(("dirty", "is_released"), [(0, True), (4, False)])
def test_code_is_given_back_unless_it_was_changed_in_memory(tmp_path: Path, dirty: int, *, is_released: bool) -> None:
    """Pages of code that are as in their file are unmapped; others, such as those with breakpoints, stay."""
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page.write(b"changed")
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    maps = tmp_path / "smaps"
    mapping = (
        f"{start:x}-{start + mmap.PAGESIZE:x} r-xp 00001000 fe:00 123 /usr/lib/libx.so\nPrivate_Dirty: {dirty} kB\n"
    )
    data = f"{start:x}-{start + mmap.PAGESIZE:x} rw-p 00001000 fe:00 123 /usr/lib/libx.so\nPrivate_Dirty: 0 kB\n"

    maps.write_text(data)
    assert release_code(maps) == 0
    maps.write_text(mapping + data)

    assert release_code(maps) == (mmap.PAGESIZE if is_released else 0)
    assert (page[:7] == b"changed") is not is_released


def test_program_goes_on_without_the_code_of_its_start() -> None:
    """A process whose code was given back has less of it in memory, and works."""
    program = """
import ssl
from pathlib import Path
from refresher.app.programs import release_code

def read():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile:"))

before = read()
assert release_code() > 0
assert read() < before
assert release_code(Path("/absent")) == 0
assert ssl.create_default_context().get_ca_certs() is not None
"""
    subprocess.run([sys.executable, "-c", program], check=True)
