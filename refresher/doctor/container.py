"""Looks into a container by a process of its own, `refresher.doctor.inside`, and trusts nothing that it says."""

import hashlib
from pathlib import Path

from refresher.doctor.sight import Thing
from refresher.files import UnsuitableFileError, read_regular
from refresher.publishing.artifacts import TOKEN
from refresher.tokens import MAXIMUM_SIZE


def describe_published(directory: Path) -> tuple[Thing, Thing]:
    """Return what stands on the host at a credentials directory, and at the token in it."""
    try:
        status = directory.stat()
        place = Thing(kind="directory", device=status.st_dev, inode=status.st_ino, links=status.st_nlink)
    except OSError:
        return Thing(kind="absent"), Thing(kind="absent")
    try:
        content, state = read_regular(directory / TOKEN, most=MAXIMUM_SIZE, follow=False)
    except (OSError, UnsuitableFileError):
        return place, Thing(kind="error")
    digest = hashlib.sha256(content).hexdigest()
    return place, Thing(kind="file", device=state.device, inode=state.inode, links=1, digest=digest)
