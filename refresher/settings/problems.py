"""What is wrong with a configuration, in one form: where, what, and what to do about it.

Problems are collected, never raised one at a time: thirty mistakes are thirty lines. Warnings
have the same form. The sentences are written by the module that finds the mistake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from refresher.errors import ConfigurationError
from refresher.settings.places import List, Map, format_path, locate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from refresher.settings.places import Node

_LONGEST_COMPARED = 64
_LONGEST_LIST = 20
_MOST_COMPARED = 1000


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
        return f"did you mean {near[0]}?"
    names = sorted(known)
    more = f", and {len(names) - _LONGEST_LIST} more" if len(names) > _LONGEST_LIST else ""
    return f"known are: {', '.join(names[:_LONGEST_LIST])}{more}"
