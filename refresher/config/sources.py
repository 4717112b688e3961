"""The main file and all that it includes: read if only root or the daemon could have written them, then merged.

A relative path counts from the directory of the file that names it, as that file was named: where it is a symbolic
link, from the directory of the link, which is what Kubernetes' mounted volumes need. Symbolic links are followed for
these files and refused for drop-ins. Maps are merged deeply; any other value may be given twice only if both agree,
else the mistake is reported at both places.
"""

import errno
import functools
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from refresher.config.document import Document, read_document
from refresher.errors import ConfigurationError
from refresher.files import VOLUME_REMEDY, FileState, UnsuitableFileError, is_volume, read_regular
from refresher.settings.places import (
    Empty,
    List,
    Map,
    Mark,
    Node,
    OwnMark,
    Problem,
    Repeated,
    Value,
    describe,
    format_path,
    locate,
)

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of one file; a hundred thousand targets fit."""

_LARGEST_BODY = 16 * 1024
"""Bytes of a drop-in: one target's body is below 4 KiB."""

_DEEPEST = 8
"""Files that include one another in a chain."""


class UnusableFileError(ConfigurationError):
    """A configuration file or directory that cannot or must not be read; its cause is the system's error, if any."""


class Sources:
    """What was read.

    Attributes:
        documents: The main file's first, then in the order of inclusion, merged into the first.
        problems: What is wrong with files, with their YAML, with `include`, and between files.
        states: The state of each file that was read; None for one that was looked for.
    """

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.problems: list[Problem] = []
        self.states: dict[Path, FileState | None] = {}

    @property
    def is_complete(self) -> bool:
        """Whether every file was understood, so that what is missing is missing."""
        return None not in self.states.values() and not any(document.is_broken for document in self.documents)

    def refuse(self, mark: Mark, problem: str, remedy: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(locate(mark), problem, remedy))


def read_sources(main: Path) -> Sources:
    """Read the main file and what it includes; nothing is raised, and what is wrong is among the problems."""
    sources = Sources()
    _add(sources, str(main), OwnMark(str(main)), ())
    return sources


def _add(sources: Sources, name: str, named_at: Mark, chain: tuple[FileState, ...]) -> None:
    path = Path(os.path.abspath(name))  # noqa: PTH100 - resolve() would follow links
    sources.states.setdefault(path, None)
    try:
        content, state = read_trusted(name)
    except UnusableFileError as error:
        sources.refuse(named_at, error.problem, error.remedy)
        return
    if state in chain:
        sources.refuse(named_at, f"{name} includes itself", "delete this include")
    elif len(chain) >= _DEEPEST:
        sources.refuse(named_at, f"files include one another more than {_DEEPEST} deep", "include them here")
    elif sources.states[path] is None:
        sources.states[path] = state
        document = read_document(content, name)
        sources.problems += document.problems
        sources.documents.append(document)
        included = document.root.pop("include", None)
        if sources.documents[0] is not document:
            _merge(sources, sources.documents[0].root, document.root)
        for value in _list_included(sources, included):
            beside = os.path.join(os.path.dirname(name), value.text)  # noqa: PTH118, PTH120 - as named
            _add(sources, beside, value.place, (*chain, state))


def _list_included(sources: Sources, node: Node | None) -> Iterator[Value]:
    if node is not None and not isinstance(node, List):
        clause = f"include is {describe(node)}, where a list of files belongs"
        sources.refuse(node.place, clause, "write include: [FILE]")
    for index, value in enumerate(node if isinstance(node, List) else ()):
        if isinstance(value, Value) and value.text:
            yield value
        else:
            clause = f"include[{index}] is {describe(value)}, where the name of a file belongs"
            sources.refuse(value.place, clause, "write include: [FILE]")


def _merge(sources: Sources, into: Map, more: Map) -> None:
    """Add what one map holds to another, at any depth."""
    for key, value in more.items():
        present = into.get(key)
        if present is None:
            into[key] = value
        elif isinstance(present, Map) and isinstance(value, Map):
            _merge(sources, present, value)
        elif not _agree(present, value):
            for here, there in ((present, value), (value, present)):
                clause = f"{format_path((*into.path, key))} has another value at {locate(there.place)}"
                sources.refuse(here.place, clause, "keep one of the two, or make them agree")
        elif isinstance(present, Value) and isinstance(value, Value) and isinstance(present.read_typed(), str):
            into[key] = Repeated(present, value)


def _agree(one: Node, other: Node) -> bool:
    if isinstance(one, Empty) and isinstance(other, Empty):
        return True
    if isinstance(one, Value) and isinstance(other, Value):
        return one.text == other.text and type(one.read_typed()) is type(other.read_typed())
    if isinstance(one, Map) and isinstance(other, Map):
        return one.keys() == other.keys() and all(_agree(value, other[key]) for key, value in one.items())
    return isinstance(one, List) and isinstance(other, List) and len(one) == len(other) and all(map(_agree, one, other))


def read_trusted(
    path: str, *, directory: int | None = None, shown_as: str | None = None, daemon: int | None = None
) -> tuple[bytes, FileState]:
    """Read a whole configuration file that only root or the daemon could have written.

    Args:
        path: The file; a name in `directory` if that is given.
        directory: Descriptor of a directory of drop-ins; then the file may not be a symbolic link, and it is small.
        shown_as: The path for messages; `path` itself without it.
        daemon: The user id of the daemon, if another user reads it.

    Raises:
        UnusableFileError: It cannot be read, is not a regular file, is too large, or others could have written it.
    """
    name, most = shown_as or path, LARGEST if directory is None else _LARGEST_BODY
    check = functools.partial(check_trusted, name, daemon=daemon)
    try:
        return read_regular(path, most=most, directory=directory, follow=directory is None, check=check)
    except UnsuitableFileError as error:
        remedy = "name a regular file" if directory is None else "write the body of one target there, in a regular file"
        raise UnusableFileError(f"{name} is {error}", remedy) from error
    except (OSError, ValueError) as error:
        raise _explain(name, error) from error


def check_trusted(path: str, status: os.stat_result, *, daemon: int | None = None) -> None:
    """Refuse a file or directory that other users than root and the daemon could have written.

    A sticky directory is refused like any other: a user who may write to it may add a file.

    Args:
        path: As messages and commands show it.
        status: The state of the opened descriptor, so that nothing can be exchanged in between.
        daemon: The user id of the daemon; without it this process is the daemon, or the daemon is root.

    Raises:
        UnusableFileError: With the command that fixes it.
    """
    if status.st_uid not in {0, os.geteuid(), daemon}:
        problem = f"{path} belongs to user {status.st_uid}, neither to root nor to the daemon"
        raise UnusableFileError(problem, f"read it through, then: chown {os.geteuid()} {path}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(status.st_mode)
        problem = f"{path} has mode {mode:04o}: other users than its owner can write to it"
        remedy = VOLUME_REMEDY if is_volume(path) else f"read it through, then: chmod go-w {path}"
        raise UnusableFileError(problem, remedy)


def _explain(name: str, error: OSError | ValueError) -> UnusableFileError:
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        return UnusableFileError("a path has a character that no path can have", "fix the path")
    if number in {errno.ENOENT, errno.ENOTDIR}:
        return UnusableFileError(f"{name} does not exist", "create it, or fix the path")
    if number in {errno.EACCES, errno.EPERM}:
        return UnusableFileError(f"user {os.geteuid()} may not read {name}", _advise_access(Path(name)))
    if number == errno.ELOOP:
        return UnusableFileError(f"{name} is a symbolic link, or a loop of them", "put the file itself there")
    return UnusableFileError(f"{name} cannot be read: {os.strerror(number)}", "fix that, or name another file")


def _advise_access(path: Path) -> str:
    """Return how this user gets the right to read a file: the outermost directory that keeps him out comes first."""
    user = os.geteuid()
    for directory in reversed(path.absolute().parents):
        if not os.access(directory, os.X_OK):
            return f"as root: chmod o+x {directory}"
    with suppress(OSError):
        if path.stat().st_uid == user:
            return f"chmod u+r {path}"
    return f"as root: chown {user} {path}"
