"""What commands set up for the process that they run in."""

import subprocess
import sys

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
starts = [int(line.partition("-")[0], 16) for line in Path("/proc/self/maps").read_text().splitlines()]
print(sum(start % 2**26 == 0 for start in starts))
meeting.wait()
"""
"""Prints how many heaps of threads there are; each of glibc's begins at a multiple of 64 MiB (`HEAP_MAX_SIZE`)."""


def test_threads_have_no_heaps_of_their_own() -> None:
    """After `share_heap`, what eight threads allocate lies in one heap."""
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0"
