"""What is wrong with a configuration, in one form: where, what, and what to do about it.

Problems are collected, never raised one at a time: an operator who made thirty mistakes reads thirty lines. Warnings
have the same form. How the sentences come about is the business of the module that finds the mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from refresher.errors import ConfigurationError
from refresher.text import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

_LONGEST_COMPARED = 64
_LONGEST_LIST = 20
_MOST_COMPARED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake, or one thing worth a warning.

    Attributes:
        location: `file:line:column`, both counted from 1.
        problem: One clause in the present tense that names the key by its dotted path.
        remedy: An imperative clause.
    """

    location: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.location}: {self.problem} — {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A mistake before anybody looked up where it is.

    Attributes:
        path: Keys and indexes from the top of the file to the value concerned.
        clause: The problem, going on from the dotted path ("… is not …").
        remedy: An imperative clause.
        at_key: Whether the key itself is meant, not its value.
    """

    path: tuple[str | int, ...]
    clause: str
    remedy: str
    at_key: bool = False


class InvalidConfigurationError(ConfigurationError):
    """The configuration cannot be used.

    Attributes:
        problems: Everything that is wrong, by place.
        files: The files that were read or looked for; a change of any of them is a reason to try again.
    """

    def __init__(self, problems: Iterable[Problem], files: Iterable[Path] = ()) -> None:
        self.problems = in_order(problems)
        self.files = tuple(files)
        count = len(self.problems)
        super().__init__(
            "the configuration has one problem" if count == 1 else f"the configuration has {count} problems",
            "; ".join(dict.fromkeys(problem.remedy for problem in self.problems)),
        )

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sort problems by file, line and column; two words on the same mistake become one."""
    return tuple(sorted(dict.fromkeys(problems), key=_place))


def dotted(path: Iterable[str | int]) -> str:
    """Write a path of keys as `targets.alice.artifacts`, an index as `[0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if quote(step) == f'"{step}"' else "…"
            text += f".{name}" if text else name
    return text or "the target"


def instead(name: str, known: Collection[str]) -> str:
    """Give the remedy for a name that nobody knows: the nearest known one, or else the list of them."""
    if not known:
        return "there is none to name yet: add it, or delete the key"
    near = _nearest(name, known)
    if near is not None:
        return f"did you mean {near}?"
    names = sorted(known)
    more = f", and {len(names) - _LONGEST_LIST} more" if len(names) > _LONGEST_LIST else ""
    return f"known are: {', '.join(names[:_LONGEST_LIST])}{more}"


def _nearest(name: str, known: Collection[str]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - a configuration without mistakes never needs it

    # ten thousand mistakes against ten thousand names would take minutes
    compared = known if len(known) <= _MOST_COMPARED else [each for each in known if each[:3] == name[:3]]
    near = get_close_matches(name[:_LONGEST_COMPARED], list(compared)[:_MOST_COMPARED], n=1, cutoff=0.6)
    return near[0] if near else None


def _place(problem: Problem) -> tuple[str, int, int, str]:
    file, line, column = problem.location.rsplit(":", 2)
    return file, int(line), int(column), problem.problem
