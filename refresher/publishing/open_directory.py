"""A credentials directory while it is written to: locked, published into, taken from its former identity, replaced.

What is published, and in which order, is decided in `refresher.engine.refresh`; where directories are, and how they are
read, in `refresher.publishing.directory`. Used by one thread at a time.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType

from refresher.errors import PublishError
from refresher.files import read_state
from refresher.publishing import atomic
from refresher.publishing.artifacts import ARTIFACTS, ID_TOKENS, NAMES, RECORD, sort_for_withdrawal
from refresher.publishing.atomic import OWN, Ownership, build_giving_error, build_publish_error, is_temporary
from refresher.publishing.contents import PublishedFile
from refresher.publishing.directory import CredentialsDirectory, DirectoryState, read_directory_state, read_files
from refresher.publishing.lock import open_lock, release_directory, take_directory
from refresher.publishing.record import TargetRecord, read_record
from refresher.publishing.turns import TURNS
from refresher.publishing.walk import AbsentDirectoryError, open_below, open_folder, settle

_ATTEMPTS = 3
"""To open a directory that another process replaces at the same moment."""


@contextmanager
def open_to_publish(place: CredentialsDirectory) -> Iterator["OpenDirectory"]:
    """Open a credentials directory, created if it is absent; its group and mode are as they were."""
    with open_lock(place.root, is_shared=place.is_root_shared) as (root, lock):
        directory = OpenDirectory(place, root, lock)
        try:
            yield directory
        finally:
            directory.close()


class OpenDirectory:
    """A credentials directory found trustworthy and open, created if it was absent.

    Everything it does raises `PublishError` where the system refuses, or the directory can't be trusted.

    Args:
        place: Where it is, and who may read its files.
        root: Descriptor of `directory_root`.
        lock: Descriptor of its lock; None without a lock.
    """

    def __init__(self, place: CredentialsDirectory, root: int, lock: int | None) -> None:
        self.ownership = place.ownership
        self._name = place.name
        self._path = str(place.path)
        self._root = root
        self._lock = lock
        self._random_name = place.random_name
        self._artifacts = place.artifacts
        self._byte = 0
        found = read_state(place.name, directory=root, follow=False)
        is_settled = found is None or found.mode == place.ownership.directory_mode
        self.found_mode = None if found is None or is_settled else found.mode
        """Its permission bits before it was opened, if they differ from what `settle` sets; else None."""
        self._entries: set[str] | None = None
        """Names that it may hold, which only this process adds to while it is held; None where that is unknown."""
        self._descriptor = self._open()

    def _open(self) -> int:
        """Return a descriptor of what has the name now; one that is created is synchronised with its record."""
        with TURNS.leave():
            return open_below(self._root, self._name, self._path, create=True, is_synced=False)

    def close(self) -> None:
        """Close it; called once, at the end of the `with` block."""
        os.close(self._descriptor)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process from writing here for the length of a `with` block: `once` may run meanwhile."""
        self._take()
        try:
            with suppress(OSError):  # else each name is asked for
                self._entries = set(os.listdir(self._descriptor))
            yield
        finally:
            self._entries = None
            release_directory(self._lock, self._byte)

    def _take(self) -> None:
        """Lock the directory that has the name now: another process may have replaced it since it was opened."""
        for _ in range(_ATTEMPTS):
            with self._translated(done="locked"):
                status = os.fstat(self._descriptor)
            self._byte = take_directory(self._lock, status, self._path)
            try:
                present = os.stat(self._name, dir_fd=self._root, follow_symlinks=False)
                if (present.st_dev, present.st_ino) == (status.st_dev, status.st_ino):
                    return
            except FileNotFoundError:
                pass
            except OSError as error:
                release_directory(self._lock, self._byte)
                raise build_publish_error(error, self._path, done="opened") from error
            release_directory(self._lock, self._byte)
            former = self._descriptor
            self._descriptor = self._open()
            os.close(former)
        raise PublishError(
            f"{self._path} was replaced again and again while it was opened",
            "run the daemon and `refresher once` with the same configuration",
        )

    def read_record(self) -> TargetRecord | None:
        """Read the target record as `record.read_record` does."""
        return read_record(self._descriptor, self._path)

    def read(self, names: Collection[str]) -> dict[str, PublishedFile]:
        """Read files."""
        absent = {name: PublishedFile() for name in names if not self._may_hold(name)}
        with self._translated(done="read"):
            return absent | read_files(self._descriptor, self._path, [name for name in names if name not in absent])

    def read_state(self, judged: Mapping[str, PublishedFile] = MappingProxyType({})) -> DirectoryState:
        """Return what changes with any drift; compare it with a later `CredentialsDirectory.read_state`.

        Files that were `judged` count as they were then: what befell them since is a difference at the next look.
        """
        with self._translated():
            found = read_directory_state(self._descriptor, self._artifacts, may_hold=self._may_hold)
        known = {name: file.state for name, file in judged.items()}
        first = len(found) - len(self._artifacts)
        artifacts = zip(self._artifacts, found[first:], strict=True)
        return *found[:first], *(known.get(name) or state for name, state in artifacts)

    def list_entries(self) -> tuple[list[str], list[str]]:
        """Return the names of all artifacts that are there, in the order of withdrawal, and of what we never write.

        Artifacts are of whichever identity; temporary files are left out.
        """
        with self._translated():
            listed = os.listdir(self._descriptor) if self._entries is None else self._entries
            entries = {name for name in listed if not is_temporary(name)}
            artifacts = [name for name in entries if name in NAMES and name != ID_TOKENS]
            if ID_TOKENS in entries:
                with suppress(AbsentDirectoryError), self._folder(ID_TOKENS, create=False) as folder:
                    artifacts += [f"{ID_TOKENS}/{name}" for name in os.listdir(folder) if not is_temporary(name)]
            return sort_for_withdrawal(artifacts), sorted(entries - NAMES)

    def _may_hold(self, name: str) -> bool:
        """Return whether it may hold an artifact, or its folder."""
        return self._entries is None or name.partition("/")[0] in self._entries

    def publish(self, name: str, content: bytes) -> None:
        """Replace one artifact atomically; with the record, before which nothing is published, the directory's name."""
        ownership = OWN if name == RECORD else self.ownership
        with self._translated(name, ownership=ownership), self._around(name, create=True) as (directory, file):
            if self._entries is not None:
                self._entries.add(name.partition("/")[0])
            with TURNS.leave():  # creating, renaming and synchronising wait for the disk
                atomic.replace(directory, file, content, ownership=ownership, random_name=self._random_name)
                if name == RECORD:
                    os.fsync(self._root)

    def withdraw(self, names: Iterable[str]) -> None:
        """Remove artifacts, in the order of withdrawal; absent ones are fine.

        It needs neither space nor capabilities. Each removal is synchronised before the next, and one that fails keeps
        none of the others.
        """
        failures: list[PublishError] = []
        for name in sort_for_withdrawal(names):
            try:
                with self._translated(name, done="removed"), self._around(name, create=False) as (directory, file):
                    _remove(directory, file)
            except AbsentDirectoryError:
                continue
            except PublishError as error:
                failures.append(error)
        if self._may_hold(ID_TOKENS):
            with suppress(OSError):  # absent, or others are left in it
                os.rmdir(ID_TOKENS, dir_fd=self._descriptor)
        if failures:
            raise failures[0]

    def withdraw_all(self) -> None:
        """Remove all our files but the record: artifacts of any identity, and what a crash left."""
        try:
            names, _ = self.list_entries()
        except PublishError:  # what can't be listed may still be removed
            names = [row.name for row in ARTIFACTS if not row.is_folder]
        self.withdraw(name for name in names if name != RECORD)
        self.sweep()

    def replace(self) -> None:
        """Put a new, empty directory in the place of this one, of which only the record is left.

        A container that still holds the former inode sees an empty directory, and never what is published next. The
        former one is moved aside first, with its record, so that a crash leaves it recognisable (`retire_strays`).
        """
        self._entries = None  # what other users of the daemon's uid put there meanwhile counts
        _, others = self.list_entries()
        if others:
            raise PublishError(
                f"{self._path} was used for another identity, and holds {others[0]}, which we did not write",
                f"move {self._path}/{others[0]} away",
            )
        former, aside = self._descriptor, f".{self._name}.{self._random_name()}.tmp"
        with self._translated(done="replaced"):
            os.rename(self._name, aside, src_dir_fd=self._root, dst_dir_fd=self._root)
            os.fsync(self._root)
        try:
            self._descriptor = self._open()
            self._entries = None
            with self._translated(done="locked"):
                status = os.fstat(self._descriptor)
            released, self._byte = self._byte, take_directory(self._lock, status, self._path)
            release_directory(self._lock, released)
            with suppress(OSError):  # else retirement removes it
                _remove(former, RECORD)
                os.rmdir(aside, dir_fd=self._root)
        finally:
            if self._descriptor != former:
                os.close(former)

    def settle(self) -> None:
        """Set the group and mode of the directory, and of the folder in it, by which the files' readers reach it."""
        settle(self._descriptor, self._path, self.ownership)
        if self._may_hold(ID_TOKENS):
            with suppress(AbsentDirectoryError), self._folder(ID_TOKENS, create=False) as folder:
                settle(folder, f"{self._path}/{ID_TOKENS}", self.ownership)

    def sweep(self) -> None:
        """Remove temporary files that a killed daemon left."""
        with self._translated():
            if self._may_hold(ID_TOKENS):
                with suppress(AbsentDirectoryError), self._folder(ID_TOKENS, create=False) as folder:
                    atomic.sweep(folder)
            if self._entries is None or any(map(is_temporary, self._entries)):
                atomic.sweep(self._descriptor)

    def probe(self, size: int) -> None:
        """Prove that a replacement of this many bytes would work, without one."""
        with self._translated(ownership=self.ownership):
            atomic.probe(self._descriptor, size=size, ownership=self.ownership, random_name=self._random_name)

    @contextmanager
    def _around(self, name: str, *, create: bool) -> Iterator[tuple[int, str]]:
        """Yield the descriptor of the directory or folder that an artifact lies in, and its name there."""
        folder, _, file = name.rpartition("/")
        if folder:
            with self._folder(folder, create=create) as descriptor:
                yield descriptor, file
        else:
            yield self._descriptor, file

    @contextmanager
    def _folder(self, name: str, *, create: bool) -> Iterator[int]:
        place, settled = f"{self._path}/{name}", self.ownership if create else None
        with open_folder(self._descriptor, name, place, settled=settled, to_list=True) as descriptor:
            yield descriptor

    @contextmanager
    def _translated(self, name: str = "", *, done: str = "written", ownership: Ownership = OWN) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = f"{self._path}/{name}" if name else self._path
            raise build_giving_error(error, place, ownership, done=done) from error


def _remove(directory: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
        os.fsync(directory)
