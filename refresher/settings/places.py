"""Values as a file holds them: every scalar is text, exactly as written, and every key and value knows its place.

What a scalar means is decided by the field that reads it (`refresher.settings.fields`), never by YAML. The nodes are
built by `refresher.config.document` and read by the models (`refresher.settings.model`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from refresher.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

_TRUE = frozenset(["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"])
_FALSE = frozenset(["false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"])
_INTEGER = r"[-+]?(?:0|[1-9][0-9]{0,17})"


class Mark(Protocol):
    """A place in a file, as PyYAML marks it: the file as messages show it; line and column are counted from 0."""

    name: str
    line: int
    column: int


class OwnMark:
    """A mark of our own, by default of the first character of a file."""

    __slots__ = ("column", "line", "name")

    def __init__(self, name: str, line: int = 0, column: int = 0) -> None:
        self.name = name
        self.line = line
        self.column = column


class Scalar:
    """A single value.

    Attributes:
        text: As written, without quotes.
        place: Where it begins.
        label: Where its key begins; its own place in a list.
    """

    __slots__ = ("label", "place", "text")

    def __init__(self, text: str, place: Mark, label: Mark) -> None:
        self.text = text
        self.place = place
        self.label = label


class Empty(Scalar):
    """A key without a value: nothing, `~` or `null` without quotes."""

    __slots__ = ()


class Value(Scalar):
    """A value without quotes.

    Attributes:
        is_plain: Whether it was written without quotes.
    """

    __slots__ = ()
    is_plain = True

    def read_typed(self) -> str | int | bool:
        """Return the boolean or integer that YAML 1.1 makes of it without quotes, else its text."""
        if self.is_plain:
            if self.text in _TRUE or self.text in _FALSE:
                return self.text in _TRUE
            if re.fullmatch(_INTEGER, self.text):
                return int(self.text)
        return self.text


class Quoted(Value):
    """A value in quotes, or a block of text."""

    __slots__ = ()
    is_plain = False


class Repeated(Quoted):
    """A text that two files hold in the same words.

    Attributes:
        other: The second one.
    """

    __slots__ = ("other",)

    def __init__(self, first: Value, other: Value) -> None:
        super().__init__(first.text, first.place, first.label)
        self.other = other


class Map(dict[str, "Node"]):
    """A map from keys to nodes.

    Attributes:
        place: Where it begins.
        label: Where its key begins.
        path: The keys and indexes that lead to it from the top of the file.
        has_empty: Whether one of its keys has no value.
    """

    __slots__ = ("has_empty", "label", "path", "place")

    def __init__(self, place: Mark, label: Mark, path: tuple[str | int, ...] = ()) -> None:
        self.place = place
        self.label = label
        self.path = path
        self.has_empty = False


class List(tuple["Node", ...]):  # noqa: SLOT001 - a tuple cannot have slots of its own
    """A list of nodes.

    Attributes:
        place: Where it begins.
        label: Where its key begins.
    """

    place: Mark
    label: Mark

    @classmethod
    def from_nodes(cls, nodes: Iterable[Node], place: Mark, label: Mark) -> List:
        """Return a list with its places."""
        made = cls(nodes)
        made.place, made.label = place, label
        return made


Node = Scalar | Map | List


def locate(mark: Mark) -> str:
    """Return `file:line:column`, both counted from 1."""
    return f"{mark.name}:{mark.line + 1}:{mark.column + 1}"


def describe(node: object) -> str:
    """Return how a message shows a node; what could be a secret is not shown."""
    if isinstance(node, Empty):
        return "empty"
    if isinstance(node, Value):
        return quote(node.text)
    return "a map" if isinstance(node, Map) else "a list"


def format_path(path: Iterable[str | int]) -> str:
    """Return keys as `targets.alice.artifacts`, an index as `[0]`; the top of a drop-in is "the target"."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if step and quote(step) == f'"{step}"' else '""' if not step else "…"
            text += f".{name}" if text else name
    return text or "the target"
