"""Values as a file holds them, with their places, and what is wrong at a place: where, what, and what to do about it.

Every scalar is text, exactly as written, and every key and value knows its place. What a scalar means is decided by the
field that reads it (`refresher.settings.fields`), never by YAML. The nodes are built by `refresher.config.document` and
read by the models (`refresher.settings.model`). Problems are collected, never raised one at a time: thirty mistakes are
thirty lines. Warnings have the same form. The sentences are written by the module that finds the mistake.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from refresher.errors import ConfigurationError
from refresher.text import quote

_TRUE = frozenset(["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"])
_FALSE = frozenset(["false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"])
_INTEGER = r"[-+]?(?:0|[1-9][0-9]{0,17})"
_LONGEST_COMPARED = 64
_LONGEST_LIST = 20
_MOST_COMPARED = 1000


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
    """A value that is there; `is_plain` shows whether it was written without quotes."""

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
    """A text that two files hold in the same words; `other` is the second one."""

    __slots__ = ("other",)

    def __init__(self, first: Value, other: Value) -> None:
        super().__init__(first.text, first.place, first.label)
        self.other = other


class Map(dict[str, "Node"]):
    """A map from keys to nodes, with place and label as a `Scalar`.

    Attributes:
        path: The keys and indexes that lead to it from the top of the file.
    """

    __slots__ = ("label", "path", "place")

    def __init__(self, place: Mark, label: Mark, path: tuple[str | int, ...] = ()) -> None:
        self.place = place
        self.label = label
        self.path = path


class List(tuple["Node", ...]):  # noqa: SLOT001 - a tuple cannot have slots of its own
    """A list of nodes, with place and label as a `Scalar`."""

    place: Mark
    label: Mark

    @classmethod
    def from_nodes(cls, nodes: Iterable["Node"], place: Mark, label: Mark) -> Self:
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


class Problem(NamedTuple):
    """One mistake, or one thing worth a warning.

    Attributes:
        location: `file:line:column`, both counted from 1.
        problem: One clause in the present tense that names the key by its path.
        remedy: An imperative clause.
    """

    location: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.location}: {self.problem} — {self.remedy}"


class InvalidConfigurationError(ConfigurationError):
    """The configuration cannot be used.

    Attributes:
        problems: Everything that is wrong, by place.
        files: The files that were read or looked for; a change of any of them is a reason to try again.
    """

    def __init__(self, problems: Iterable[Problem], files: Iterable[Path] = ()) -> None:
        self.problems = sort_problems(problems)
        self.files = tuple(files)
        count = len(self.problems)
        super().__init__(
            "the configuration has one problem" if count == 1 else f"the configuration has {count} problems",
            "; ".join(dict.fromkeys(problem.remedy for problem in self.problems)),
        )

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def make_problem(node: Map, path: Sequence[str | int], problem: str, remedy: str, *, at_key: bool = False) -> Problem:
    """Return a problem with its place.

    Args:
        node: Where the path begins.
        path: Leads to the value; a path that leads nowhere points at the key that should hold more.
        problem: What is wrong: a clause that goes on from the written path.
        remedy: An imperative clause.
        at_key: Point at the value's key, because the key itself is wrong.
    """
    found, is_there = follow(node, path)
    mark = found.label if at_key or not is_there else found.place
    return Problem(locate(mark), f"{format_path((*node.path, *path))} {problem}", remedy)


def follow(node: Node, path: Sequence[str | int]) -> tuple[Node, bool]:
    """Return the last node on a path, and whether it is the end of the path."""
    for step in path:
        if isinstance(node, Map) and step in node:
            node = node[str(step)]
        elif isinstance(node, List) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            return node, False
    return node, True


def sort_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems by file, line and column, each once."""

    def place(problem: Problem) -> tuple[str, int, int, str]:
        file, line, column = problem.location.rsplit(":", 2)
        return file, int(line), int(column), problem.problem

    return tuple(sorted(dict.fromkeys(problems), key=place))


def suggest(name: str, known: Collection[str]) -> str:
    """Return the remedy for an unknown name: the nearest known one, or else the list of them."""
    if not known:
        return "add it first"
    from difflib import get_close_matches  # noqa: PLC0415 - a configuration without mistakes never needs it

    # ten thousand mistakes against ten thousand names would take minutes
    compared = known if len(known) <= _MOST_COMPARED else [each for each in known if each[:3] == name[:3]]
    near = get_close_matches(name[:_LONGEST_COMPARED], list(compared)[:_MOST_COMPARED], n=1)
    if near:
        return f"write {near[0]} if you mean that"
    names = sorted(known)
    more = f", and {len(names) - _LONGEST_LIST} more" if len(names) > _LONGEST_LIST else ""
    return f"use one of: {', '.join(names[:_LONGEST_LIST])}{more}"
