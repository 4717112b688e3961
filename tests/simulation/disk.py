"""A file system in memory that knows what of it would survive a power cut.

Each inode has a present state and a synchronised one. fsync(2) of a file makes its content and attributes durable, of a
directory the names in it. After a power cut as many of a directory's changes are there as the seed decides, but no
later one without the earlier ones, as in a journal; a file's content that was not synchronised may be torn.
"""

import os
import stat
from collections.abc import Callable
from random import Random
from typing import NamedTuple

Observer = Callable[["Inode", str, "Inode | None", "Inode | None"], None]
"""Learns of a name in a directory that stands for another inode now: directory, name, former and present inode."""


class Attributes(NamedTuple):
    """Who owns an inode, and who may use it."""

    mode: int
    uid: int
    gid: int


class Inode:
    """A file, directory, socket or symbolic link."""

    __slots__ = (
        "attributes",
        "changed_ns",
        "content",
        "described",
        "durable_attributes",
        "durable_content",
        "durable_entries",
        "entries",
        "flock",
        "held_by",
        "locks",
        "number",
        "parent",
        "pending",
    )

    def __init__(self, number: int, attributes: Attributes, now_ns: int) -> None:
        self.number = number
        self.attributes = attributes
        self.durable_attributes = attributes
        self.content = b""
        self.durable_content: bytes | None = None
        self.entries: dict[str, Inode] | None = {} if stat.S_ISDIR(attributes.mode) else None
        self.durable_entries: dict[str, Inode] = {}
        self.pending: list[tuple[tuple[str, Inode | None], ...]] = []
        self.changed_ns = now_ns
        self.locks: dict[int, object] = {}
        self.flock: object = None
        self.parent: Inode | None = None
        self.held_by = 0
        self.described: tuple[object, os.stat_result] | None = None

    @property
    def is_directory(self) -> bool:
        """Whether it holds names."""
        return self.entries is not None

    @property
    def is_intact_after_cut(self) -> bool:
        """Whether a power cut would leave the content as it is."""
        return self.durable_content == self.content


class Disk:
    """The tree of inodes; what changes it is `kernel.Kernel`, which asks for faults first."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._count = 1
        self.clock_ns = 0
        self.root = Inode(1, Attributes(stat.S_IFDIR | 0o755, 0, 0), 0)
        self.root.parent = self.root
        self.observers: list[Observer] = []

    def find(self, path: str) -> Inode | None:
        """Return what lies at a path now; None for nothing."""
        inode: Inode | None = self.root
        for part in path.split("/")[1:]:
            inode = None if inode is None else (inode.entries or {}).get(part)
        return inode

    def create(self, attributes: Attributes) -> Inode:
        """Return a new inode without a name."""
        self._count += 1
        self.clock_ns += 1
        return Inode(self._count, attributes, self.clock_ns)

    def link(self, directory: Inode, *changes: tuple[str, Inode | None]) -> None:
        """Make names stand for other inodes, or for none, in one change."""
        entries = directory.entries
        if entries is None:
            raise AssertionError("a name in what is not a directory")
        former = [(name, entries.get(name), inode) for name, inode in changes]
        for name, inode in changes:
            if inode is None:
                entries.pop(name, None)
            else:
                entries[name] = inode
                inode.parent = directory
        directory.pending.append(changes)
        self.touch(directory)
        for observer in self.observers:
            for name, before, after in former:
                observer(directory, name, before, after)

    def touch(self, inode: Inode) -> None:
        """Note a change of an inode."""
        self.clock_ns += 1
        inode.changed_ns = self.clock_ns

    def synchronise(self, inode: Inode) -> None:
        """Make the present state of an inode durable."""
        inode.durable_attributes = inode.attributes
        if inode.entries is None:
            inode.durable_content = inode.content
        elif inode.pending:
            inode.durable_entries = dict(inode.entries)
            inode.pending = []

    def synchronise_all(self) -> None:
        """Make everything durable, as sync(2) does."""
        waiting = [self.root]
        while waiting:
            inode = waiting.pop()
            self.synchronise(inode)
            waiting += (inode.entries or {}).values()

    def cut_power(self) -> None:
        """Lose what was not synchronised, as far as the seed decides."""
        waiting, seen = [self.root], set[int]()
        while waiting:
            inode = waiting.pop()
            if inode.number in seen:
                continue
            seen.add(inode.number)
            self._lose(inode)
            waiting += (inode.entries or {}).values()

    def _lose(self, inode: Inode) -> None:
        draw = self._random.random
        if draw() < 0.5:
            inode.attributes = inode.durable_attributes
        inode.locks, inode.flock, inode.held_by = {}, None, 0
        if inode.entries is None:
            if not inode.is_intact_after_cut:
                inode.content = self._tear(inode.durable_content or b"", inode.content)
            inode.durable_content = inode.content
            return
        if inode.pending:
            entries = dict(inode.durable_entries)
            for changes in inode.pending[: int(draw() * (len(inode.pending) + 1))]:
                for name, found in changes:
                    if found is None:
                        entries.pop(name, None)
                    else:
                        entries[name] = found
            inode.entries, inode.pending = entries, []
        for child in inode.entries.values():
            child.parent = inode
        inode.durable_entries = dict(inode.entries)

    def _tear(self, durable: bytes, present: bytes) -> bytes:
        kind = int(self._random.random() * 4)
        torn = present[: int(self._random.random() * len(present))]
        return (durable, present, torn, torn + b"\0" * (len(present) - len(torn)))[kind]
