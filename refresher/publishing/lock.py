"""One daemon per `directory_root`: two would take each other's directories for strays."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from refresher.errors import PublishError
from refresher.publishing.walk import open_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class RootHeldError(PublishError):
    """Another daemon keeps the targets below the same root."""

    retryable = False


@contextmanager
def hold_root(root: Path) -> Iterator[None]:
    """Hold the root for the length of a `with` block; made if absent. Other commands may publish meanwhile.

    A file system that knows no locks is taken as it is.

    Raises:
        RootHeldError: Another process holds it.
        PublishError: It cannot be had, or not be trusted.
    """
    descriptor = open_root(root, create=True)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            os.close(descriptor)
            raise RootHeldError(
                f"another daemon already publishes below {root}", "stop it, or give this one its own directory_root"
            ) from error
    try:
        yield
    finally:
        os.close(descriptor)
