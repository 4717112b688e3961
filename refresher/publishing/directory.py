"""Where one target's credentials directory is, whose it is, who may read its files, and how it is read.

Whose it is, the target record `.target` in it states, the daemon's own note: `{"version": 1, "target": …, "identity":
…, "fingerprint": …}`, mode 0600, never given away. It is written before every other file and removed after all of
them, so that no file in the directory, which its owner may forge, has to be asked. What is minted (audience, claims,
scopes) is not in it: a change of that supersedes files and takes nothing away.

Every call walks from the root again and keeps no descriptor open: a worker has more targets than a process has
descriptors, and a directory that was swapped since is noticed. Writing is in `refresher.publishing.open_directory`.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

from refresher.errors import PublishError
from refresher.files import FileState, UnsuitableFileError, read_regular, read_state
from refresher.publishing.artifacts import RECORD
from refresher.publishing.atomic import Ownership, build_publish_error, recommend_removal
from refresher.publishing.contents import PublishedFile, read_file
from refresher.publishing.walk import AbsentDirectoryError, InsecureDirectoryError, open_below, open_folder, open_root

_VERSION = 1
_LARGEST_RECORD = 4096

DirectoryState = tuple[FileState | None, ...]
"""The state of the directory itself, of its record and of its artifacts; empty if there is no directory."""

UNSEEN: DirectoryState = (None,)
"""Of a directory that can't be opened, or not be trusted."""


class NewerRecordError(PublishError):
    """A later version of the refresher wrote the record; this one can't know what it means."""

    usually_retryable = False


class OccupiedDirectoryError(PublishError):
    """A directory belongs to another identity, and its daemon runs."""

    usually_retryable = False

    def __init__(self, place: str, record: "TargetRecord") -> None:
        """Build the two sentences."""
        super().__init__(
            f"{place} belongs to identity {record.identity} of target {record.target}, and a daemon runs",
            "run the daemon and `refresher once` with the same configuration, or wait for the daemon's reload",
        )


class UnrecordedDirectoryError(PublishError):
    """A directory without a target record holds what we never write."""

    usually_retryable = False

    def __init__(self, place: str, entry: str) -> None:
        """Build the two sentences."""
        super().__init__(
            f"{place} holds {entry}, which we did not write, and no target record",
            f"move {entry} away, or choose another name for the target",
        )


class ReassignedDirectoryError(PublishError):
    """Another process assigned a directory to another identity while this one worked on it."""

    def __init__(self, place: str) -> None:
        """Build the two sentences."""
        super().__init__(
            f"another process assigned {place} to another identity meanwhile",
            "run the daemon and `refresher once` with the same configuration",
        )


class TargetRecord(NamedTuple):
    """Whose a credentials directory is.

    Attributes:
        target: Name of the target.
        identity: Name of its identity.
        fingerprint: A digest of what makes the identity who it is; see `compute_fingerprint`.
    """

    target: str
    identity: str
    fingerprint: str

    def render(self) -> bytes:
        """Return the bytes of the file."""
        return json.dumps({"version": _VERSION, **self._asdict()}).encode()


def compute_fingerprint(
    *, subject: str | None, service_account: str | None, via: str, subject_source: tuple[object, ...] | None
) -> str:
    """Return what differs for any other workload: 32 hex digits of a SHA-256.

    Args:
        subject: The configured `sub`; None where the supplier alone knows it.
        service_account: The target principal; None for direct resource access.
        via: How the identity reaches its service account.
        subject_source: What chooses the subject where the supplier alone knows it; texts and numbers.
    """
    facts = [subject, service_account, via, None if subject is not None else subject_source]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:32]


def read_record(directory: int, place: str) -> TargetRecord | None:
    """Read the record of an open directory, `place` in messages; None if it is absent, or was never complete.

    Raises:
        NewerRecordError: A later version wrote it.
        PublishError: It can't be read now, which decides nothing about whose the directory is.
    """
    try:
        content, _ = read_regular(RECORD, most=_LARGEST_RECORD, directory=directory, follow=False)
    except (FileNotFoundError, UnsuitableFileError):
        return None
    except OSError as error:
        refused = build_publish_error(error, f"{place}/{RECORD}", done="read")
        if isinstance(error, PermissionError) and os.fstat(directory).st_uid == os.geteuid():
            refused.remedy = recommend_removal(place)  # in the daemon's own directory another user wrote it
        raise refused from error
    try:
        document = json.loads(content)
        version = int(document["version"])
        record = TargetRecord(str(document["target"]), str(document["identity"]), str(document["fingerprint"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    if version > _VERSION:
        raise NewerRecordError(
            f"{place}/{RECORD} was written by a later version of the refresher (format {version})",
            f"run that version; or, to start over, stop every container that uses {place} and remove it",
        )
    return record


class KnownState(NamedTuple):
    """What is remembered of a directory's state until the next look: of a large fleet, whole states are megabytes.

    Attributes:
        inode: Device and inode of the directory; None if it does not exist.
        digest: Another number for nearly every other state, in this process alone.
    """

    inode: tuple[int, int] | None
    digest: int

    @classmethod
    def from_state(cls, state: DirectoryState) -> Self:
        """Return what is to be remembered of a state."""
        inode = (state[0].device, state[0].inode) if state and state[0] is not None else None
        return cls(inode, hash(state))


def is_in_place(file: PublishedFile, content: bytes, ownership: Ownership) -> bool:
    """Return whether a file has this content and the configured owner and mode."""
    return file.content == content and file.state is not None and ownership.describes(file.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsDirectory:
    """Where one target's artifacts are, and who may read them.

    Everything it does raises `PublishError` where the system refuses, or the directory can't be trusted.

    Attributes:
        root: `directory_root`.
        name: The name of the directory in it, which is the target's.
        ownership: The ownership of its files.
        random_name: Returns 16 hex digits that no other user can guess, for temporary files.
        artifacts: Names of all artifacts that the target has, whose drift is to be seen.
        is_root_shared: Whether the root holds directories of more than one identity.
    """

    root: Path
    name: str
    ownership: Ownership
    random_name: Callable[[], str]
    artifacts: tuple[str, ...]
    is_root_shared: bool = False

    @property
    def path(self) -> Path:
        """The directory."""
        return self.root / self.name

    def read(self, names: Iterable[str]) -> dict[str, PublishedFile]:
        """Read files and change nothing; in an absent directory all are absent."""
        try:
            with self._open_to_read() as descriptor:
                return read_files(descriptor, str(self.path), names)
        except AbsentDirectoryError:
            return dict.fromkeys(names, PublishedFile())

    def read_record(self) -> TargetRecord | None:
        """Read the target record as `record.read_record` does; None if the directory is absent."""
        try:
            with self._open_to_read() as descriptor:
                return read_record(descriptor, str(self.path))
        except AbsentDirectoryError:
            return None

    def may_read_record(self) -> bool:
        """Return whether this process may read the target record: an operator's, or a container's, may not."""
        try:
            with self._open_to_read() as descriptor:
                return os.access(RECORD, os.R_OK, dir_fd=descriptor, effective_ids=True) or not os.access(
                    RECORD, os.F_OK, dir_fd=descriptor
                )
        except PublishError:
            return False

    def read_state(self) -> DirectoryState:
        """Return what changes with any drift, empty for an absent directory; cheap enough to ask every few seconds."""
        try:
            with self._open_to_read() as descriptor:
                return read_directory_state(descriptor, self.artifacts)
        except AbsentDirectoryError:
            return ()

    def look(self) -> DirectoryState:
        """Return what `read_state` does, and `UNSEEN` where it raises."""
        try:
            return self.read_state()
        except PublishError:
            return UNSEEN

    @contextmanager
    def _open_to_read(self) -> Iterator[int]:
        root = open_root(self.root, create=False)
        try:
            descriptor = open_below(root, self.name, str(self.path), create=False)
        finally:
            os.close(root)
        try:
            yield descriptor
        except OSError as error:
            raise build_publish_error(error, str(self.path), done="read") from error
        finally:
            os.close(descriptor)


def read_files(descriptor: int, place: str, names: Iterable[str]) -> dict[str, PublishedFile]:
    """Read files of an open credentials directory, named with their folder; an unreadable one is described.

    Raises:
        OSError: Descriptors or memory are short.
        PublishError: A folder could not be opened for such a reason.
    """
    found = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        if not folder:
            found[name] = read_file(descriptor, name)
            continue
        try:
            with open_folder(descriptor, folder, f"{place}/{folder}") as inner:
                found[name] = read_file(inner, file)
        except AbsentDirectoryError:
            found[name] = PublishedFile()
        except InsecureDirectoryError as error:
            found[name] = PublishedFile(problem=error.problem)
    return found


def read_directory_state(
    directory: int, artifacts: Collection[str], known: Mapping[str, FileState | None] = MappingProxyType({})
) -> DirectoryState:
    """Return the states of an open directory, of its record and of its artifacts, without reading any.

    The system is not asked for states that are `known` already, by name; None is that of an absent file.
    """
    status = FileState.from_stat(os.fstat(directory))._replace(changed_ns=0, size=0)  # entries come and go
    names = (RECORD, *artifacts)
    return status, *(
        known[each] if each in known else read_state(each, directory=directory, follow=False) for each in names
    )


def lacks_any(state: DirectoryState, artifacts: Collection[str], names: Collection[str]) -> bool:
    """Return whether one of these artifacts, or the record, was absent in a state of a directory with `artifacts`."""
    states = zip((RECORD, *artifacts), state[1:], strict=False)
    return any(each is None and name in (RECORD, *names) for name, each in states)


def is_another_directory(present: KnownState, former: KnownState | None) -> bool:
    """Return whether a directory is gone, or another than before, if there was one: containers hold the former.

    One that could not be looked at shows nothing.
    """
    unseen = KnownState.from_state(UNSEEN)
    return former is not None and unseen not in (present, former) and present.inode != former.inode
