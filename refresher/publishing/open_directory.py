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
from refresher.publishing.artifacts import ARTIFACTS, ID_TOKENS, RECORD
from refresher.publishing.atomic import OWN, Ownership, build_giving_error, build_publish_error, is_temporary
from refresher.publishing.contents import PublishedFile
from refresher.publishing.directory import (
    CredentialsDirectory,
    DirectoryState,
    ReassignedDirectoryError,
    TargetRecord,
    read_directory_state,
    read_files,
    read_record,
)
from refresher.publishing.lock import TURNS, open_lock, release_directory, take_directory
from refresher.publishing.new_directory import create_directory
from refresher.publishing.walk import AbsentDirectoryError, open_below, open_folder, settle
from refresher.publishing.withdrawal import remove_artifacts, remove_file, remove_temporaries, sort_entries

_ATTEMPTS = 3
"""To open a directory that another process replaces at the same moment."""


@contextmanager
def open_to_publish(place: CredentialsDirectory) -> Iterator["OpenDirectory"]:
    """Open a credentials directory; its group and mode are as they were. It is created when it is first written to."""
    with open_lock(place.root, is_shared=place.is_root_shared) as (root, lock):
        directory = OpenDirectory(place, root, lock)
        try:
            yield directory
        finally:
            directory.close()


class OpenDirectory:
    """A credentials directory that is absent, or found trustworthy and open.

    One that is absent while it is `held` appears with all that was published into it, at the end of that `with` block.
    Everything it does raises `PublishError` where the system refuses, or the directory can't be trusted.

    Args:
        place: Where it is, and who may read its files.
        root: Descriptor of `directory_root`.
        lock: Descriptor of its lock; None without a lock.
    """

    def __init__(self, place: CredentialsDirectory, root: int, lock: int | None) -> None:
        self.ownership = place.ownership
        self._place = place
        self._name = place.name
        self._path = str(place.path)
        self._root = root
        self._lock = lock
        self._byte: int | None = None
        self.is_complete = True
        """Whether all that was published into it is there; not if creating it has failed."""
        found = read_state(place.name, directory=root, follow=False)
        is_settled = found is None or found.mode == place.ownership.directory_mode
        self.found_mode = None if found is None or is_settled else found.mode
        """Its permission bits before it was opened, if they differ from what `settle` sets; else None."""
        self._entries: set[str] | None = None
        """Names that it may hold, which only this process adds to while it is held; None where that is unknown."""
        self._new: dict[str, bytes] | None = None
        """What is to be in it, by name and in order, while it is held and does not exist; None at any other time."""
        self._opened = None if found is None else self._open()

    def _open(self) -> int:
        """Return a descriptor of what has the name now; one that is created is synchronised with its record."""
        with TURNS.leave():
            return open_below(self._root, self._name, self._path, create=True, is_synced=False)

    @property
    def _descriptor(self) -> int:
        """Its descriptor; it is created if it is absent."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def close(self) -> None:
        """Close it; called once, at the end of the `with` block."""
        if self._opened is not None:
            os.close(self._opened)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process from writing here for the length of a `with` block: `once` may run meanwhile."""
        if self._opened is None:
            self._new, self._entries = {}, set()
        else:
            self._take()
        try:
            yield
            if self._new:
                self._create()
        finally:
            self._new = self._entries = None
            self._release()

    def _create(self) -> None:
        """Create the directory with what is to be in it, at once for every reader.

        If that fails, for whatever reason, or another process was faster, each file is published in its place. Without
        a lock no other process could distinguish what is being filled from what a crash left.
        """
        files, self._new, self._entries = self._new or {}, None, None
        with TURNS.leave():
            if self._lock is not None:
                with suppress(OSError, PublishError):
                    self._opened, self._byte = create_directory(self._root, self._place, files, self._lock)
                    return
            self.is_complete = False
            self._take()
        present, (ours, others) = self.read_record(), self.list_entries()
        if (ours or others) and (None if present is None else present.render()) != files.get(RECORD):
            raise ReassignedDirectoryError(self._path)
        for name, content in files.items():
            self.publish(name, content)
            if name == RECORD:
                self.settle()
        self.is_complete = True

    def _release(self) -> None:
        if self._byte is not None:
            release_directory(self._lock, self._byte)
            self._byte = None

    def _take(self) -> None:
        """Lock the directory that has the name now, and list it.

        Another process may have replaced it since it was opened.
        """
        for _ in range(_ATTEMPTS):
            with self._translated(done="locked"):
                status = os.fstat(self._descriptor)
            self._byte = take_directory(self._lock, status, self._path)
            try:
                present = os.stat(self._name, dir_fd=self._root, follow_symlinks=False)
                if (present.st_dev, present.st_ino) == (status.st_dev, status.st_ino):
                    with suppress(OSError):  # else each name is asked for
                        self._entries = set(os.listdir(self._descriptor))
                    return
            except FileNotFoundError:
                pass
            except OSError as error:
                self._release()
                raise build_publish_error(error, self._path, done="opened") from error
            self._release()
            former, self._opened = self._descriptor, self._open()
            os.close(former)
        raise PublishError(
            f"{self._path} was replaced again and again while it was opened",
            "run the daemon and `refresher once` with the same configuration",
        )

    def read_record(self) -> TargetRecord | None:
        """Read the target record as `directory.read_record` does."""
        return read_record(self._descriptor, self._path) if self._may_hold(RECORD) else None

    def read(self, names: Collection[str]) -> dict[str, PublishedFile]:
        """Read files."""
        present = [name for name in names if self._may_hold(name)]
        with self._translated(done="read"):
            found = read_files(self._descriptor, self._path, present) if present else {}
        return dict.fromkeys(names, PublishedFile()) | found

    def read_state(self, judged: Mapping[str, PublishedFile] = MappingProxyType({})) -> DirectoryState:
        """Return what changes with any drift; compare it with a later `CredentialsDirectory.read_state`.

        Files that were `judged` count as they were then: what befell them since is a difference at the next look.
        """
        if self._new is not None:
            return ()
        known = {name: file.state for name, file in judged.items() if file.state is not None}
        absent = [name for name in (RECORD, *self._place.artifacts) if not self._may_hold(name)]
        with self._translated():
            return read_directory_state(self._descriptor, self._place.artifacts, dict.fromkeys(absent) | known)

    def list_entries(self) -> tuple[list[str], list[str]]:
        """Return the names of all artifacts that are there, in the order of withdrawal, and of what we never write.

        Artifacts are of whichever identity; temporary files are left out.
        """
        if self._new is not None:
            return [], []
        with self._translated():
            listed = os.listdir(self._descriptor) if self._entries is None else self._entries
            return sort_entries(self._descriptor, self._path, listed)

    def _may_hold(self, name: str) -> bool:
        """Return whether it may hold an artifact, or its folder."""
        return self._entries is None or name.partition("/")[0] in self._entries

    def publish(self, name: str, content: bytes) -> None:
        """Replace one artifact atomically; with the record, before which nothing is published, the directory's name."""
        if self._new is not None:
            self._new[name] = content
            return
        ownership = OWN if name == RECORD else self.ownership
        with self._translated(name, ownership=ownership), self._around(name) as around:
            if self._entries is not None:
                self._entries.add(name.partition("/")[0])
            with TURNS.leave():  # creating, renaming and synchronising wait for the disk
                file = name.rpartition("/")[2]
                atomic.replace(around, file, content, ownership=ownership, random_name=self._place.random_name)
                if name == RECORD:
                    os.fsync(self._root)

    def withdraw(self, names: Iterable[str]) -> None:
        """Remove artifacts as `remove_artifacts` does."""
        wanted = tuple(names)
        if wanted or self._may_hold(ID_TOKENS):
            remove_artifacts(self._descriptor, self._path, wanted)

    def withdraw_all(self) -> None:
        """Remove all our files but the record: artifacts of any identity, and what a crash left."""
        try:
            names, _ = self.list_entries()
        except PublishError:  # what can't be listed may still be removed
            names = [row.name for row in ARTIFACTS if not row.is_folder]
        self.withdraw(name for name in names if name != RECORD)
        self.sweep()

    def replace(self) -> None:
        """Remove this directory, of which only the record is left, while it is held; a new one then takes its place.

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
        former, aside = self._descriptor, f".{self._name}.{self._place.random_name()}.tmp"
        with self._translated(done="replaced"):
            os.rename(self._name, aside, src_dir_fd=self._root, dst_dir_fd=self._root)
            os.fsync(self._root)
        self._opened, self._new, self._entries = None, {}, set()
        try:
            with suppress(OSError):  # else retirement removes it
                remove_file(former, RECORD)
                os.rmdir(aside, dir_fd=self._root)
        finally:
            self._release()
            os.close(former)

    def settle(self) -> None:
        """Set the group and mode of the directory, and of the folder in it, by which the files' readers reach it."""
        if self._new is not None:
            return
        settle(self._descriptor, self._path, self.ownership)
        if self._may_hold(ID_TOKENS):
            place = f"{self._path}/{ID_TOKENS}"
            with suppress(AbsentDirectoryError), open_folder(self._descriptor, ID_TOKENS, place, to_list=True) as inner:
                settle(inner, place, self.ownership)

    def sweep(self) -> None:
        """Remove temporary files that a killed daemon left."""
        has_folder = self._may_hold(ID_TOKENS)
        if has_folder or self._entries is None or any(map(is_temporary, self._entries)):
            with self._translated():
                remove_temporaries(self._descriptor, self._path, has_folder=has_folder)

    def probe(self, size: int) -> None:
        """Prove that a replacement of this many bytes would work, without one."""
        with self._translated(ownership=self.ownership):
            atomic.probe(self._descriptor, size=size, ownership=self.ownership, random_name=self._place.random_name)

    @contextmanager
    def _around(self, name: str) -> Iterator[int]:
        """Yield the descriptor of the directory that an artifact lies in, or of its folder, which is created."""
        folder = name.rpartition("/")[0]
        if not folder:
            yield self._descriptor
            return
        with open_folder(self._descriptor, folder, f"{self._path}/{folder}", settled=self.ownership) as descriptor:
            yield descriptor

    @contextmanager
    def _translated(self, name: str = "", *, done: str = "written", ownership: Ownership = OWN) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = f"{self._path}/{name}" if name else self._path
            raise build_giving_error(error, place, ownership, done=done) from error
