"""Whether anything can be written below `directory_root`, seen before the first token is due.

A file system that was mounted read-only, or has no space left, breaks no container until tokens expire; by then there
is little time left to put it right. What a single directory refuses is found out by writing in it
(`refresher.publishing.open_directory`).
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

from refresher.errors import PublishError
from refresher.publishing.atomic import build_publish_error

_LEAST = 16 * 1024
"""Bytes that a publication needs: its files, each on a page of its own."""


def check_root(root: Path) -> None:
    """Check that the file system of a root is writable, and has space and inodes left; quotas are not seen.

    Raises:
        PublishError: It is not, or has not. An absent root raises nothing: that is reported elsewhere.
    """
    with suppress(OSError):
        error = judge(os.statvfs(root), is_root=os.geteuid() == 0)
        if error is not None:
            found = build_publish_error(error, str(root))
            raise PublishError(f"nothing can be renewed: {found.problem}", found.remedy)


def judge(found: os.statvfs_result, *, is_root: bool) -> OSError | None:
    """Return why nothing could be written to a file system with these numbers (statvfs(3)); None if it could be.

    Root may use the blocks that are reserved. A file system without a limit has 0 blocks, or 0 files, in total.
    """
    free = (found.f_bfree if is_root else found.f_bavail) * found.f_frsize
    if found.f_flag & os.ST_RDONLY:
        code = errno.EROFS
    elif (found.f_blocks > 0 and free < _LEAST) or (found.f_files > 0 and found.f_favail == 0):
        code = errno.ENOSPC
    else:
        return None
    return OSError(code, os.strerror(code))
