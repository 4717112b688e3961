"""Whether a configuration may have changed, asked every second: a look at stamps, not at contents.

Files, what they include, and the drop-in directory's entries; whatever differs is read by `refresher.config.loading`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from refresher.config.drop_ins import SUFFIX
from refresher.config.reading import Stamp, stamp_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from refresher.config.loading import LoadedConfiguration


def signature(loaded: LoadedConfiguration, also: Iterable[Path] = ()) -> object:
    """Give a value that differs from the last one if a file of the configuration changed, came or went.

    Args:
        loaded: The configuration in force.
        also: Further files: those of an `InvalidConfigurationError`, so that a refused configuration is tried again.
    """
    files = tuple(_stamp(str(path)) for path in dict.fromkeys((*loaded.files, *also)))
    directory = loaded.configuration.targets_directory
    return files if directory is None else (files, _stamp(str(directory)), tuple(sorted(_entries(str(directory)))))


def _stamp(path: str) -> Stamp | None:
    try:
        return stamp_of(os.stat(path))  # noqa: PTH116 - asked every second, and a Path's takes longer
    except OSError:
        return None


def _entries(directory: str) -> Iterator[tuple[str, Stamp]]:
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                    with suppress(FileNotFoundError):  # removed since it was listed
                        yield entry.name, stamp_of(entry.stat(follow_symlinks=False))
    except OSError:
        return
