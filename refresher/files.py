"""Small files of others, read so that nothing in their place (a FIFO, a device) holds the reader up."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class UnsuitableFileError(ValueError):
    """What is there is not a small regular file; the message says why and follows the file's name."""


def read_regular(path: Path, *, most: int) -> bytes:
    """Read a regular file; links are followed.

    Args:
        path: The file.
        most: How many bytes it may have.

    Raises:
        OSError: It is absent or cannot be read.
        UnsuitableFileError: It is something else, or larger.
    """
    descriptor = os.open(path, _OPEN)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnsuitableFileError("it is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1) or b""  # None where nothing is to be had without waiting
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise UnsuitableFileError(f"it is larger than {most} bytes")
    return content
