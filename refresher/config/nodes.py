"""YAML text to plain values, with the place of every key and value kept (YAML 1.1, as libyaml reads it).

Any bytes give a document; what is wrong with them is among its problems. What a scalar means is decided in
`refresher.settings.scalars`, what a structure may look like in `refresher.config.construction`, what the values are for
in `refresher.config.models`; opening files is `refresher.config.reading`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from refresher.config.construction import Construction, grows_without_bound, location
from refresher.settings.problems import Problem
from refresher.settings.scalars import Composer

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML 1.1 does not allow in a stream (section 5.1); a byte order mark may only open it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a path leads in a document, or as far as it leads.

    Attributes:
        depth: How many steps of the path were found.
        location: `file:line:column`.
        kind: What YAML makes of it: str, bool, int, number, date, null, map or seq.
        text: The scalar as written; empty for a map or a list.
    """

    depth: int
    location: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document: its values, and the places they came from.

    Attributes:
        name: The file, as messages show it.
        value: The top map; empty if there is none.
        problems: What is wrong with it as YAML.
    """

    name: str
    value: dict[str, Any]
    problems: tuple[Problem, ...]
    _root: Node | None
    _indexes: dict[int, dict[str, tuple[Node, Node]]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether the file holds nothing, comments aside, and nothing is wrong with that as YAML."""
        return not self.problems and (self._root is None or self._root.tag == "null")

    @property
    def is_broken(self) -> bool:
        """Whether nothing could be made of the file."""
        return bool(self.problems) and self._root is None

    def locate(self, path: Sequence[str | int], *, key: bool = False) -> Place:
        """Follow a path of keys and indexes as far as it goes.

        Args:
            path: From the top of the document.
            key: Point at the last key instead of its value; so does a path that ends early, at what should hold more.
        """
        label = node = self._root
        depth = 0
        for step in path:
            found = self._step(node, step)
            if found is None:
                break
            label, node = found
            depth += 1
        at = label if key or depth < len(path) else node
        if at is None or node is None:
            return Place(depth=0, location=f"{self.name}:1:1", kind="null", text="")
        text = node.value if isinstance(node, ScalarNode) else ""
        return Place(depth=depth, location=location(self.name, at), kind=node.tag, text=text)

    def _step(self, node: Node | None, step: str | int) -> tuple[Node, Node] | None:
        if isinstance(node, MappingNode) and isinstance(step, str):
            index = self._indexes.get(id(node))
            if index is None:
                index = self._indexes[id(node)] = _index(node)
            return index.get(step)
        if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
            return node.value[step], node.value[step]
        return None


def parse(content: bytes, name: str) -> Document:
    """Read one document; whatever the bytes are, mistakes become problems of the document and nothing is raised."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return _broken(name, content[: error.start].decode(), "the file is not UTF-8", "save it as UTF-8")
    unprintable = _UNPRINTABLE.search(text, text.startswith("\ufeff"))
    if unprintable is not None:
        before = text[: unprintable.start()]
        return _broken(name, before, "the file holds a character that YAML does not allow", "delete the character")
    try:
        root = Composer(text).get_single_node()
    except MarkedYAMLError as error:
        return _unparsable(name, error)
    except YAMLError:
        return _broken(name, "", "the file is not YAML", "mend it")
    return _document(name, root, aliased="*" in text and "&" in text)


def _document(name: str, root: Node | None, *, aliased: bool) -> Document:
    if root is None or root.tag == "null":
        return Document(name=name, value={}, problems=(), _root=root)
    if root.tag != "map":
        problem, remedy = "the file holds a list or a single value, not a map", "write lines of the form KEY: VALUE"
        return _failed(name, Problem(location=location(name, root), problem=problem, remedy=remedy))
    if aliased and grows_without_bound(root):
        problem, remedy = "its aliases refer to themselves, or grow without bound", "write the values out"
        return _failed(name, Problem(location=location(name, root), problem=problem, remedy=remedy))
    construction = Construction(name)
    value = construction.mapping(root)
    return Document(name=name, value=value, problems=tuple(construction.problems), _root=root)


def _index(node: MappingNode) -> dict[str, tuple[Node, Node]]:
    pairs = reversed(node.value)  # of two equal keys the first counts
    return {key.value: (key, value) for key, value in pairs if key.tag == "str"}


def _unparsable(name: str, error: MarkedYAMLError) -> Document:
    mark = error.problem_mark or error.context_mark
    place = f"{name}:1:1" if mark is None else f"{name}:{mark.line + 1}:{mark.column + 1}"
    if "another document" in (error.problem or ""):
        problem, remedy = "the file holds several documents", "keep one of them, and delete the line ---"
    else:
        problem = f"the YAML is broken: {error.problem or error.context}"
        remedy = "mend that line or the one before: indentation, a tab, a colon without a space, an open quote"
    return _failed(name, Problem(location=place, problem=problem, remedy=remedy))


def _broken(name: str, before: str, problem: str, remedy: str) -> Document:
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return _failed(name, Problem(location=f"{name}:{line}:{column}", problem=problem, remedy=remedy))


def _failed(name: str, problem: Problem) -> Document:
    return Document(name=name, value={}, problems=(problem,), _root=None)
