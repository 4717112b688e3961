"""Where one target's credentials directory is, who may read its files, and how it is read and opened.

Every call walks from the root again and keeps no descriptor open: a worker has more targets than a process has
descriptors, and a directory that was swapped since is noticed. Writing is in `refresher.publishing.open_directory`.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from refresher.errors import PublishError
from refresher.files import FileState, read_state
from refresher.publishing.artifacts import RECORD
from refresher.publishing.atomic import Ownership, build_publish_error
from refresher.publishing.contents import PublishedFile, read_file
from refresher.publishing.record import TargetRecord, read_record
from refresher.publishing.walk import AbsentDirectoryError, InsecureDirectoryError, open_below, open_folder, open_root

DirectoryState = tuple[FileState | None, ...]
"""The state of the directory itself, of its record and of its artifacts; empty if there is no directory."""

UNSEEN: DirectoryState = (None,)
"""Of a directory that can't be opened, or not be trusted."""


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
    directory: int, artifacts: Collection[str], *, may_hold: Callable[[str], bool] = lambda _: True
) -> DirectoryState:
    """Return the states of an open directory, of its record and of its artifacts, without reading any.

    `may_hold` returns False for a name that is known to be absent, so that the system is not asked.
    """
    status = FileState.from_stat(os.fstat(directory))._replace(changed_ns=0, size=0)  # entries come and go
    names = (RECORD, *artifacts)
    return status, *(read_state(each, directory=directory, follow=False) if may_hold(each) else None for each in names)


def lacks_any(state: DirectoryState, artifacts: Collection[str], names: Collection[str]) -> bool:
    """Return whether one of these artifacts, or the record, was absent in a state of a directory with `artifacts`."""
    states = zip((RECORD, *artifacts), state[1:], strict=False)
    return any(each is None and name in (RECORD, *names) for name, each in states)


def is_another_directory(present: KnownState, former: KnownState | None) -> bool:
    """Return whether a directory is gone, or another than before, if there was one: containers hold the former."""
    return former is not None and present.inode != former.inode
