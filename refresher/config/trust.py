"""Whom a configuration file must belong to, so that nobody else can tell the daemon what to publish.

The rule of the contract: root's or the daemon's own, and writable by nobody else. It is asked of an opened descriptor,
never of a path, so that nothing can be exchanged in between. A sticky directory is no better than another: whoever may
write to it may add a file. Whether symbolic links are followed is `refresher.config.reading`'s.
"""

from __future__ import annotations

import os
import stat


class UnusableFileError(Exception):
    """A configuration file or directory that is not to be read.

    Attributes:
        problem: One clause that names the path.
        remedy: What to do about it.
        is_missing: Whether there is nothing at the path at all.
    """

    def __init__(self, problem: str, remedy: str, *, is_missing: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.is_missing = is_missing


def require_trusted(path: str, status: os.stat_result) -> None:
    """Refuse what others than root and the daemon could have written.

    Args:
        path: As messages and commands show it.
        status: Of the opened descriptor.

    Raises:
        UnusableFileError: With the command that mends it.
    """
    if status.st_uid not in {0, os.geteuid()}:
        raise UnusableFileError(
            f"{path} belongs to user {status.st_uid}, neither to root nor to the daemon",
            f"read it through, then: chown {os.geteuid()} {path}",
        )
    writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if writable:
        raise UnusableFileError(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}: others than its owner can write to it",
            f"read it through, then: chmod go-w {path}",
        )
