"""Further artifacts of an open credentials directory: those that only some targets have, one of them in a folder.

`boto`, `access_token` and `id_tokens/NAME`. Who may have which is decided in `refresher.engine`; the folder is opened
as carefully as the directory itself (`refresher.publishing.walk`).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from refresher.publishing import contents
from refresher.publishing.walk import AbsentDirectoryError, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from refresher.publishing.contents import Artifact, Signature
    from refresher.publishing.ownership import Ownership

ACCESS_TOKEN = "access_token"  # noqa: S105 - a file name
ID_TOKENS = "id_tokens"
BOTO = "boto"


@contextmanager
def place_of(directory: int, name: str, place: str, ownership: Ownership, *, create: bool) -> Iterator[tuple[int, str]]:
    """Give the descriptor that an artifact's file lies in and its name there.

    Args:
        directory: Descriptor of the credentials directory.
        name: The artifact's, with its folder.
        place: Path of the credentials directory, for messages.
        ownership: Of the folder.
        create: Whether a missing folder is made.

    Raises:
        AbsentDirectoryError: The folder is not there and was not to be made.
        PublishError: The folder cannot be had, or not be trusted.
    """
    folder, slash, file = name.rpartition("/")
    if not slash:
        yield directory, name
        return
    with open_folder(directory, folder, f"{place}/{folder}", ownership=ownership, create=create) as descriptor:
        yield descriptor, file


def present(directory: int, place: str, ownership: Ownership) -> tuple[str, ...]:
    """Name the further artifacts that are there, whoever they were for.

    Raises:
        PublishError: Their folder cannot be trusted.
        OSError: The system refused.
    """
    there = os.listdir(directory)
    names = [name for name in (ACCESS_TOKEN, BOTO) if name in there]
    if ID_TOKENS in there:
        with place_of(directory, f"{ID_TOKENS}/", place, ownership, create=False) as (folder, _):
            names += [f"{ID_TOKENS}/{name}" for name in sorted(os.listdir(folder)) if name[0] != "."]  # noqa: PTH208 - of an open folder
    return tuple(names)


def read(directory: int, name: str, place: str, ownership: Ownership) -> Artifact:
    """Read one artifact; an unreadable one is described, not raised.

    Raises:
        PublishError: Its folder cannot be trusted.
        OSError: Descriptors or memory are short.
    """
    try:
        with place_of(directory, name, place, ownership, create=False) as (folder, file):
            return contents.read_file(folder, file)
    except AbsentDirectoryError:
        return contents.Artifact()


def sign(directory: int, names: Iterable[str]) -> tuple[Signature | None, ...]:
    """Give what changes with any drift of these artifacts."""
    return tuple(contents.sign_file(directory, name) for name in names)
