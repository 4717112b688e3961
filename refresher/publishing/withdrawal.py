"""Remove our files from an open credentials directory, in the order of withdrawal, and list what is in it.

It needs neither space nor capabilities. When something is withdrawn is decided in `refresher.engine.refresh`; what
belongs to no target any more is removed by `refresher.publishing.retirement`.
"""

import os
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, suppress

from refresher.errors import PublishError
from refresher.publishing import atomic
from refresher.publishing.artifacts import ID_TOKENS, NAMES, sort_for_withdrawal
from refresher.publishing.atomic import build_publish_error, is_temporary
from refresher.publishing.walk import AbsentDirectoryError, open_folder


def sort_entries(directory: int, place: str, listed: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the names of all artifacts among what was `listed`, in the order of withdrawal, and what we never write.

    Artifacts are of whichever identity; temporary files are left out. Raises an `OSError` or a `PublishError` if the
    folder of ID tokens can't be listed.
    """
    entries = {name for name in listed if not is_temporary(name)}
    artifacts = [name for name in entries if name in NAMES and name != ID_TOKENS]
    if ID_TOKENS in entries:
        with (
            suppress(AbsentDirectoryError),
            open_folder(directory, ID_TOKENS, f"{place}/{ID_TOKENS}", to_list=True) as at,
        ):
            artifacts += [f"{ID_TOKENS}/{name}" for name in os.listdir(at) if not is_temporary(name)]
    return sort_for_withdrawal(artifacts), sorted(entries - NAMES)


def remove_artifacts(directory: int, place: str, names: Iterable[str]) -> None:
    """Remove artifacts, and the folder of ID tokens if it is empty then; absent ones are fine.

    Each removal is synchronised before the next.

    Raises:
        PublishError: The first of those that can't be removed; it keeps none of the others.
    """
    failures: list[PublishError] = []
    for name in sort_for_withdrawal(names):
        folder, _, file = name.rpartition("/")
        try:
            if folder:
                with _open_to_list(directory, folder, place) as inner:
                    remove_file(inner, file)
            else:
                remove_file(directory, file)
        except AbsentDirectoryError:
            continue
        except OSError as error:
            failures.append(build_publish_error(error, f"{place}/{name}", done="removed"))
        except PublishError as error:
            failures.append(error)
    with suppress(OSError):  # absent, or others are left in it
        os.rmdir(ID_TOKENS, dir_fd=directory)
    if failures:
        raise failures[0]


def remove_file(directory: int, name: str) -> None:
    """Remove a file of an open directory, and synchronise that; absent is fine."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
        os.fsync(directory)


def remove_temporaries(directory: int, place: str, *, has_folder: bool) -> None:
    """Remove temporary files that a killed daemon left, also in the folder of ID tokens if there may be one."""
    if has_folder:
        with (
            suppress(AbsentDirectoryError),
            open_folder(directory, ID_TOKENS, f"{place}/{ID_TOKENS}", to_list=True) as at,
        ):
            atomic.sweep(at)
    atomic.sweep(directory)


def _open_to_list(directory: int, name: str, place: str) -> AbstractContextManager[int]:
    return open_folder(directory, name, f"{place}/{name}", to_list=True)
