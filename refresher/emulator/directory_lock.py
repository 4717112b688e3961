"""One emulator per directory: two would each write what the other does not know of."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from refresher.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def hold_directory(directory: Path) -> Iterator[None]:
    """Hold a directory for the length of a `with` block; made if absent. The end of the process lets go of it too.

    A file system that knows no locks is taken as it is.

    Raises:
        EmulatorError: Another process holds it, or it cannot be used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise EmulatorError(
            f"the emulator's directory {directory} cannot be used: {error.strerror}", "choose one you may write to"
        ) from error
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            raise EmulatorError(
                f"another emulator already runs on {directory}", "stop it, or give this one its own --directory"
            ) from error
