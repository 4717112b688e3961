"""Take away what belongs to no target any more: `env` at once, the rest ten minutes later.

It keeps no list: what lies below `directory_root`, carries our mark and belongs to no target is a stray, whether its
target was removed a moment ago or while the daemon was down. What lies below a root within the root, which has a lock
of its own, belongs to that one's daemon, also while it is down. The time since `env` went is the directory's own mtime,
which only the daemon can move. A container that still runs keeps what it has until then.
"""

from __future__ import annotations

import json
import os
import re
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from refresher.errors import PublishError
from refresher.publishing.atomic import is_temporary, sweep
from refresher.publishing.contents import CREDENTIALS, DESCRIPTIONS, ENVIRONMENT, TOKEN, read_file
from refresher.publishing.further import ACCESS_TOKEN, BOTO, ID_TOKENS
from refresher.publishing.lock import held_directory, is_root, open_lock
from refresher.tokens import MAXIMUM_SIZE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

GRACE = timedelta(minutes=10)
_ARTIFACTS = (ACCESS_TOKEN, BOTO, TOKEN, ENVIRONMENT, DESCRIPTIONS, CREDENTIALS)
"""In the order of removal: the mark goes last, so that a removal cut short is taken up again."""
_NAMES = frozenset({*_ARTIFACTS, ID_TOKENS})
_BEGINNING = re.compile(rf"\.{re.escape(CREDENTIALS)}\.[0-9a-f]{{16}}\.tmp")

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 64
_LEAF_LINKS = 2
"""Links of a directory that has no other in it, where the file system counts those."""


def retire_strays(
    root: Path, kept: Collection[Path], now: datetime, among: Collection[Path] | None = None
) -> tuple[str, ...]:
    """Retire every stray below the root.

    Args:
        root: `directory_root`; if it is absent there is nothing to do.
        kept: Directories that belong to targets.
        now: The wall clock's time.
        among: The only directories that may be retired; None for all.

    Returns:
        The paths of those from which `env` was taken now. What the system refuses is left for the next time.
    """
    withdrawn = []
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return ()
    try:
        for path, parent, directory in _below(root, descriptor, kept, depth=0):
            with suppress(OSError, PublishError):
                if (among is None or path in among) and _is_ours(directory):
                    with open_lock(root) as lock, held_directory(lock, directory, str(path), patience=0):
                        if _retire(path.name, parent, directory, now):
                            withdrawn.append(str(path))
    finally:
        os.close(descriptor)
    return tuple(withdrawn)


def _below(path: Path, parent: int, kept: Collection[Path], *, depth: int) -> Iterator[tuple[Path, int, int]]:
    """Give every directory below an open one but the kept, deepest first, with its parent's descriptor and its own.

    A kept one is looked into: a target's former place may lie inside another's present one.
    """
    if depth == _DEEPEST or os.fstat(parent).st_nlink == _LEAF_LINKS or (depth and is_root(parent)):
        return
    with os.scandir(parent) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in names:
        try:
            descriptor = os.open(name, _OPEN, dir_fd=parent)
        except OSError:
            continue
        try:
            yield from _below(path / name, descriptor, kept, depth=depth + 1)
            if path / name not in kept:
                yield path / name, parent, descriptor
        finally:
            os.close(descriptor)


def _is_ours(directory: int) -> bool:
    """Tell whether a directory is the daemon's own, writable by nobody else, and holds what only we would put there.

    That is our ADC document, the first file that is published and the last that is removed; or what a daemon left that
    was killed over the very first one. What merely looks odd is somebody else's.
    """
    status = os.fstat(directory)
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return False
    names = frozenset(os.listdir(directory))
    if CREDENTIALS not in names:
        return bool(names) and all(_BEGINNING.fullmatch(name) for name in names)
    credentials = read_file(directory, CREDENTIALS)
    if credentials.content is None:
        return TOKEN in names and names <= _NAMES and _is_kept_from_us(directory)
    return _is_our_document(credentials.content)


def _is_kept_from_us(directory: int) -> bool:
    """Tell whether the files' owner keeps us from reading a file that could be our ADC document (a lease, fcntl(2)).

    He cannot put a symlink or a directory in its place, which only we could.
    """
    status = os.stat(CREDENTIALS, dir_fd=directory, follow_symlinks=False)
    return stat.S_ISREG(status.st_mode) and status.st_size <= MAXIMUM_SIZE


def _is_our_document(content: bytes) -> bool:
    try:
        document = json.loads(content)
        path = str(document["credential_source"]["file"])
        return bool(document["type"] == "external_account") and path.endswith("/" + TOKEN)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _retire(name: str, parent: int, directory: int, now: datetime) -> bool:
    """Take `env` away and tell that it was there; else, once the grace is over, remove the directory.

    What a killed daemon left half written goes at once: it may hold a token.
    """
    if sweep(directory) and not os.listdir(directory):
        os.rmdir(name, dir_fd=parent)
        return False
    with suppress(FileNotFoundError):
        os.unlink(ENVIRONMENT, dir_fd=directory)
        os.fsync(directory)
        return True
    if now - datetime.fromtimestamp(os.fstat(directory).st_mtime, UTC) >= GRACE:
        _remove(name, parent, directory)
    return False


def _remove(name: str, parent: int, directory: int) -> None:
    """Remove our files and then the directory; a file that is not ours keeps it, without its mark."""
    for leftover in filter(is_temporary, os.listdir(directory)):
        os.unlink(leftover, dir_fd=directory)
    with suppress(FileNotFoundError):
        folder = os.open(ID_TOKENS, _OPEN, dir_fd=directory)
        try:
            for token in os.listdir(folder):  # noqa: PTH208 - of an open folder
                os.unlink(token, dir_fd=folder)
        finally:
            os.close(folder)
        os.rmdir(ID_TOKENS, dir_fd=directory)
    for artifact in _ARTIFACTS:
        with suppress(FileNotFoundError):
            os.unlink(artifact, dir_fd=directory)
    os.rmdir(name, dir_fd=parent)
