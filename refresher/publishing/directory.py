"""One target's credentials directory: opened, read, published into, swept, probed.

It knows where the directory is and to whom its files belong; what to publish, and in which order, is decided in
`refresher.engine.refresh`. Every call walks from the root again and keeps no descriptor open: a worker has more targets
than a process has descriptors, and a directory that was swapped since is noticed.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from refresher.publishing import atomic, contents, further
from refresher.publishing.atomic import publish_error
from refresher.publishing.further import ID_TOKENS
from refresher.publishing.lock import held_directory, open_lock
from refresher.publishing.walk import AbsentDirectoryError, open_directory, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from refresher.publishing.contents import Artifact, Contents
    from refresher.publishing.ownership import Ownership


def is_in_place(artifact: Artifact, content: bytes, ownership: Ownership) -> bool:
    """Tell whether an artifact has this content and the configured owner and mode."""
    signature = artifact.signature
    return (
        artifact.content == content
        and signature is not None
        and ownership.describes(mode=signature.mode, uid=signature.uid, gid=signature.gid, daemon_uid=os.geteuid())
    )


@contextmanager
def _reading(place: Path) -> Iterator[None]:
    """Turn a refusal of the system into a failure: short of descriptors, nothing may be concluded about the files."""
    try:
        yield
    except OSError as error:
        raise publish_error(error, str(place), done="read") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDirectory:
    """A credentials directory found trustworthy and open for the length of a `with` block."""

    path: Path
    descriptor: int
    lock: int | None
    ownership: Ownership
    random_name: Callable[[], str]
    further: tuple[str, ...] = ()

    def read(self) -> Contents:
        """Read what it holds now.

        Raises:
            PublishError: The system is short of something.
        """
        with _reading(self.path):
            return contents.read(self.descriptor)

    def sign(self) -> tuple[object, ...]:
        """Give what changes with any drift; compare it with a later `CredentialsDirectory.sign`."""
        return (*contents.sign(self.descriptor), *further.sign(self.descriptor, self.further))

    def read_further(self, name: str) -> Artifact:
        """Read a further artifact.

        Raises:
            PublishError: Its folder cannot be trusted, or the system is short of something.
        """
        with _reading(self.path):
            return further.read(self.descriptor, name, str(self.path), self.ownership)

    def present(self) -> tuple[str, ...]:
        """Name the further artifacts that are there, whoever they were for.

        Raises:
            PublishError: Their folder cannot be trusted, or the system refused.
        """
        with _reading(self.path):
            return further.present(self.descriptor, str(self.path), self.ownership)

    def settle(self) -> None:
        """Give it the group and mode that its files' owner is to reach it by.

        Raises:
            PublishError: The system refused.
        """
        settle(self.descriptor, str(self.path), self.ownership)

    def held(self) -> AbstractContextManager[None]:
        """Keep everybody else from writing here for the length of a `with` block: `once` may run beside the daemon.

        Entering it raises:
            PublishError: It could not be had.
        """
        return held_directory(self.lock, self.descriptor, str(self.path))

    def publish(self, name: str, content: bytes) -> None:
        """Replace one artifact atomically.

        Raises:
            PublishError: The old artifact is still in place.
        """
        try:
            with self._place_of(name, create=True) as (folder, file):
                atomic.replace(folder, file, content, ownership=self.ownership, random_name=self.random_name)
        except OSError as error:
            raise publish_error(error, str(self.path / name)) from error

    def _place_of(self, name: str, *, create: bool) -> AbstractContextManager[tuple[int, str]]:
        return further.place_of(self.descriptor, name, str(self.path), self.ownership, create=create)

    def withdraw(self, name: str) -> None:
        """Remove one artifact; that it is absent already is fine.

        Raises:
            PublishError: It could not be removed.
        """
        try:
            with self._place_of(name, create=False) as (folder, file):
                with suppress(FileNotFoundError):
                    os.unlink(file, dir_fd=folder)
                os.fsync(folder)
        except AbsentDirectoryError:
            return
        except OSError as error:
            raise publish_error(error, str(self.path / name)) from error

    def sweep(self) -> int:
        """Remove temporary files left by a killed daemon; give how many.

        Raises:
            PublishError: The system refused.
        """
        try:
            if contents.is_there(self.descriptor, ID_TOKENS):
                with self._place_of(f"{ID_TOKENS}/", create=False) as (folder, _):
                    atomic.sweep(folder)
            return atomic.sweep(self.descriptor)
        except OSError as error:
            raise publish_error(error, str(self.path)) from error

    def probe(self) -> None:
        """Prove that a replacement would work, without one.

        Raises:
            PublishError: It would not.
        """
        try:
            atomic.probe(self.descriptor, ownership=self.ownership, random_name=self.random_name)
        except OSError as error:
            raise publish_error(error, str(self.path)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsDirectory:
    """Where one target's artifacts are and to whom they belong.

    Attributes:
        root: `directory_root`.
        path: The directory, strictly below the root.
        ownership: Of its files.
        random_name: Gives 16 hex digits that nobody can guess, for temporary files.
        further: Names of artifacts that only some targets have and whose drift is to be seen.
    """

    root: Path
    path: Path
    ownership: Ownership
    random_name: Callable[[], str]
    further: tuple[str, ...] = ()

    @contextmanager
    def open(self) -> Iterator[OpenDirectory]:
        """Open it for publishing, made if it is absent; its group and mode are as they were.

        Raises:
            PublishError: It cannot be had, or not be trusted.
        """
        with (
            open_directory(self.root, self.path, create=True) as descriptor,
            open_lock(self.root) as lock,
        ):
            yield OpenDirectory(
                path=self.path,
                descriptor=descriptor,
                lock=lock,
                ownership=self.ownership,
                random_name=self.random_name,
                further=self.further,
            )

    def _open_to_read(self) -> AbstractContextManager[int]:
        return open_directory(self.root, self.path, create=False)

    def read(self) -> Contents:
        """Read what it holds and change nothing; an absent directory holds nothing.

        Raises:
            PublishError: It cannot be trusted, or the system refused.
        """
        try:
            with self._open_to_read() as descriptor, _reading(self.path):
                return contents.read(descriptor)
        except AbsentDirectoryError:
            nothing = contents.Artifact()
            return contents.Contents(token=nothing, credentials=nothing, environment=nothing, descriptions=nothing)

    def overlaps_another(self) -> bool:
        """Tell whether a directory above it, below the root, or inside it holds an ADC document: one place for two."""
        above = (each for each in self.path.parents if each != self.root and each.is_relative_to(self.root))
        below = (each.parent for each in self.path.rglob(contents.CREDENTIALS))
        return any(os.path.lexists(each / contents.CREDENTIALS) for each in above) or any(
            each != self.path for each in below
        )

    def read_further(self, name: str) -> Artifact:
        """Read a further artifact and change nothing.

        Raises:
            PublishError: The directory cannot be trusted, or the system refused.
        """
        try:
            with self._open_to_read() as descriptor, _reading(self.path):
                return further.read(descriptor, name, str(self.path), self.ownership)
        except AbsentDirectoryError:
            return contents.Artifact()

    def sign(self) -> tuple[object, ...]:
        """Give what changes with any drift, empty for an absent directory; cheap enough to ask every few seconds.

        Raises:
            PublishError: It cannot be trusted, or the system refused.
        """
        try:
            with self._open_to_read() as descriptor:
                return (*contents.sign(descriptor), *further.sign(descriptor, self.further))
        except AbsentDirectoryError:
            return ()
