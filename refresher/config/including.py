"""Gathers the main file and all that it includes, as documents whose relative paths are made absolute.

A relative path counts from the directory of the file that names it, as that file was named: where it is a symbolic
link, from the directory of the link, since that is what Kubernetes' mounted volumes need. Nothing is judged here but
the files and the `include` keys; merging is `refresher.config.sources`'.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refresher.config.nodes import Document, parse
from refresher.config.reading import Stamp, read_trusted
from refresher.config.sources import Sources
from refresher.config.trust import UnusableFileError
from refresher.settings.problems import Mistake, Problem
from refresher.settings.scalars import said

if TYPE_CHECKING:
    from collections.abc import Callable

_DEEPEST = 8
"""Files that include one another in a chain."""

_PATH_KEYS = ("keys", "path", "credentials", "secret_file", "token_file", "ca_file")


@dataclass(slots=True)
class Gathered:
    """What was read.

    Attributes:
        documents: The main file's first, then in the order of inclusion.
        problems: What is wrong with files, with their YAML, or with `include`.
        stamps: The state of each file that was read, or None for one that was looked for.
    """

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    stamps: dict[Path, Stamp | None] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every file was understood, so that what is missing is missing."""
        return None not in self.stamps.values() and not any(document.is_broken for document in self.documents)


def gather(main: Path) -> Gathered:
    """Read the main file and what it includes; nothing is raised, the problems tell."""
    gathered = Gathered()
    _add(gathered, str(main), (), lambda clause: Problem(location=f"{main}:1:1", problem=clause[0], remedy=clause[1]))
    return gathered


def _add(
    gathered: Gathered, name: str, chain: tuple[Stamp, ...], refusal: Callable[[tuple[str, str]], Problem]
) -> None:
    path = Path(os.path.abspath(name))  # noqa: PTH100 - resolve() would follow links
    gathered.stamps.setdefault(path, None)
    try:
        content, stamp = read_trusted(name)
    except UnusableFileError as error:
        gathered.problems.append(refusal((error.problem, error.remedy)))
        return
    if stamp in chain:
        gathered.problems.append(refusal((f"{name} includes itself", "delete this include")))
        return
    if len(chain) >= _DEEPEST:
        gathered.problems.append(refusal((f"files include one another more than {_DEEPEST} deep", "include them here")))
        return
    if gathered.stamps[path] is not None:
        return
    gathered.stamps[path] = stamp
    document = parse(content, name)
    _absolute_paths(document.value, str(path.parent))
    gathered.documents.append(document)
    gathered.problems += document.problems
    _follow(gathered, document, (*chain, stamp))


def _follow(gathered: Gathered, document: Document, chain: tuple[Stamp, ...]) -> None:
    here = Sources([document])
    for index, name in enumerate(_included(gathered, document)):

        def refusal(clause: tuple[str, str], index: int = index) -> Problem:
            location = here.place(("include", index)).location
            return Problem(location=location, problem=clause[0], remedy=clause[1])

        _add(gathered, os.path.join(os.path.dirname(document.name), name), chain, refusal)  # noqa: PTH118, PTH120 - as named


def _included(gathered: Gathered, document: Document) -> tuple[str, ...]:
    names = document.value.get("include", ())
    if isinstance(names, tuple) and all(isinstance(name, str) and name for name in names):
        return names
    here = Sources([document])
    path, wanted = _wrong_name(names)
    place = here.place(path)
    clause = f"is {said(place.kind, place.text)}, where {wanted} belongs"
    gathered.problems.append(here.problem(Mistake(path=path, clause=clause, remedy="write include: [FILE]")))
    document.value["include"] = ()
    return ()


def _wrong_name(names: object) -> tuple[tuple[str | int, ...], str]:
    """Give the path to what is wrong with a list of files, and what belongs there."""
    if not isinstance(names, tuple):
        return ("include",), "a list of files"
    index = next(index for index, name in enumerate(names) if not isinstance(name, str) or not name)
    return ("include", index), "the name of a file"


def _absolute_paths(value: dict[str, Any], base: str) -> None:
    _absolute(value, "targets_directory", base)
    google, suppliers = value.get("google"), value.get("suppliers")
    if isinstance(google, dict):
        _absolute(google, "ca_file", base)
    for section in (suppliers, value.get("identities")):
        if isinstance(section, dict):
            for body in section.values():
                if isinstance(body, dict):
                    for key in _PATH_KEYS:
                        _absolute(body, key, base)


def _absolute(body: dict[str, Any], key: str, base: str) -> None:
    text = body.get(key)
    if isinstance(text, str) and text:
        body[key] = os.path.normpath(os.path.join(base, text))  # noqa: PTH118 - pathlib keeps the ..
