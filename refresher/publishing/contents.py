"""Read back what a credentials directory holds, as its reader would find it.

Everything that judges health reads through here, so that health is told of the file and not of what somebody remembers
having written. Standard library only: the exec probe (`refresher wait --directory`) reads through here too. What the
content is worth is judged in `refresher.engine.judgement`.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from refresher.publishing import descriptions
from refresher.tokens import MAXIMUM_SIZE, SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from datetime import datetime

    from refresher.publishing.descriptions import Description

TOKEN = "token"  # noqa: S105 - a file name
CREDENTIALS = "credentials.json"
ENVIRONMENT = "env"
DESCRIPTIONS = "artifacts.json"

_LARGEST_DESCRIPTIONS = 4 * 1024 * 1024
"""Bytes of `artifacts.json`, which grows with the ID tokens of a target."""

_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Signature(NamedTuple):
    """What changes whenever a file is replaced, rewritten, given away or has its mode changed."""

    inode: int
    changed_ns: int
    size: int
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file of a credentials directory.

    Attributes:
        content: Its bytes; None if it is absent or cannot be read. May be a secret, hence in no repr.
        problem: Why it cannot be read; None if it can be or is absent.
        signature: None if it is absent or no regular file.
    """

    content: bytes | None = field(default=None, repr=False)
    problem: str | None = None
    signature: Signature | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The artifacts that every credentials directory has, read one after the other."""

    token: Artifact
    credentials: Artifact
    environment: Artifact
    descriptions: Artifact

    @property
    def is_empty(self) -> bool:
        """Whether none of them is there, not even an unreadable one."""
        found = (self.token, self.credentials, self.environment, self.descriptions)
        return all(artifact == Artifact() for artifact in found)


def read(directory: int) -> Contents:
    """Read all artifacts of an open directory; an unreadable one is described, not raised.

    Raises:
        OSError: Descriptors or memory are short.
    """
    return Contents(
        token=read_file(directory, TOKEN),
        credentials=read_file(directory, CREDENTIALS),
        environment=read_file(directory, ENVIRONMENT),
        descriptions=read_file(directory, DESCRIPTIONS, largest=_LARGEST_DESCRIPTIONS),
    )


def sign(directory: int) -> tuple[object, ...]:
    """Give what changes with any drift of an open directory or its artifacts, in five calls of stat."""
    status = os.fstat(directory)
    names = (TOKEN, CREDENTIALS, ENVIRONMENT, DESCRIPTIONS)
    return (status.st_ino, status.st_mode, status.st_gid, *(sign_file(directory, name) for name in names))


def token_of(contents: Contents) -> SubjectToken | None:
    """Give the subject token that the token file holds; None if there is no such file.

    A JWT tells its own life; of an opaque token `artifacts.json` does, if its SHA-256 is that of the file.

    Raises:
        UnreadableTokenError: The file cannot be read, or holds nothing whose life can be told.
    """
    if contents.token.problem is not None:
        raise UnreadableTokenError(contents.token.problem)
    if contents.token.content is None:
        return None
    try:
        text = contents.token.content.decode("ascii")
    except UnicodeDecodeError:
        raise UnreadableTokenError("it is not ASCII") from None
    try:
        return peek(text)
    except UnreadableTokenError:
        described = _described_life(contents)
        if described is None:
            raise
    issued_at, expires_at = described
    return SubjectToken(value=text, issued_at=issued_at, expires_at=expires_at, unverified_claims=None)


def describe(token: SubjectToken, request: str | None) -> Description:
    """Give the entry of `artifacts.json` that tells a token's life, and what it was supplied for."""
    return descriptions.describe(token.value.encode(), token.issued_at, token.expires_at, request)


def request_of(contents: Contents) -> str | None:
    """Give the fingerprint of what the token in the directory was supplied for; None if that is not described."""
    entry = descriptions.parse(contents.descriptions.content).get(TOKEN)
    return None if entry is None else entry.request


def _described_life(contents: Contents) -> tuple[datetime, datetime] | None:
    entry = descriptions.parse(contents.descriptions.content).get(TOKEN)
    if entry is None or entry.sha256 != descriptions.digest(contents.token.content or b""):
        return None
    return entry.issued_at, entry.expires_at


def is_there(directory: int, name: str) -> bool:
    """Tell whether an open directory has an entry of a name."""
    return os.access(name, os.F_OK, dir_fd=directory, follow_symlinks=False)


def read_file(directory: int, name: str, *, largest: int = MAXIMUM_SIZE) -> Artifact:
    """Read one file of an open directory; an unreadable one is described, not raised.

    Raises:
        OSError: Descriptors or memory are short, which says nothing of the file.
    """
    try:
        descriptor = os.open(name, _READ, dir_fd=directory)
    except FileNotFoundError:
        return Artifact()
    except OSError as error:
        return _unreadable(name, error)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Artifact(problem=f"{name} is no regular file")
        if status.st_size > largest:
            return Artifact(problem=f"{name} is larger than {largest} bytes", signature=_signature(status))
        return Artifact(content=_read_whole(descriptor, status.st_size), signature=_signature(status))
    except OSError as error:
        return _unreadable(name, error)
    finally:
        os.close(descriptor)


def _unreadable(name: str, error: OSError) -> Artifact:
    if error.errno in _SHORTAGES:
        raise error
    reason = "it is a symlink" if error.errno == errno.ELOOP else os.strerror(error.errno or 0)
    return Artifact(problem=f"{name} cannot be read: {reason}")


def _read_whole(descriptor: int, size: int) -> bytes:
    """Read a file that is only ever replaced, so that its size is known; a longer or shorter one is read as it is."""
    content = os.read(descriptor, size + 1)
    while len(content) < size and (more := os.read(descriptor, size - len(content))):
        content += more
    return content


def sign_file(directory: int, name: str) -> Signature | None:
    """Give what changes with any drift of one file; None if it is no regular one."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None
    return _signature(status) if stat.S_ISREG(status.st_mode) else None


def _signature(status: os.stat_result) -> Signature:
    return Signature(
        inode=status.st_ino,
        changed_ns=status.st_ctime_ns,
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
    )
