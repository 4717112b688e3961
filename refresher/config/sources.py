"""The documents that make up one configuration: merged into one value, with every place still known.

Maps are merged deeply; any other value may be given twice only if both agree, else the mistake is reported at both
places. Which documents there are is decided in `refresher.config.including`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refresher.settings.problems import Mistake, Problem, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from refresher.config.nodes import Document, Place


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the values of a configuration come from, the main file first; there is at least one."""

    documents: Sequence[Document]

    def place(self, path: Sequence[str | int], *, key: bool = False) -> Place:
        """Give the place of a path in the document that holds most of it."""
        return max((document.locate(path, key=key) for document in self.documents), key=lambda place: place.depth)

    def problem(self, mistake: Mistake) -> Problem:
        """Say where a mistake is."""
        return Problem(
            location=self.place(mistake.path, key=mistake.at_key).location,
            problem=f"{dotted(mistake.path)} {mistake.clause}",
            remedy=mistake.remedy,
        )


def merge(documents: Sequence[Document]) -> tuple[dict[str, Any], list[Problem]]:
    """Make one value of all documents, and name every key that two of them give different values."""
    merged = dict(documents[0].value)
    problems: list[Problem] = []
    for count, document in enumerate(documents[1:], start=1):
        more = {key: value for key, value in document.value.items() if key != "include"}
        earlier = Sources(documents[:count])
        for path in _merge_into(merged, more, ()):
            problems += _both(path, earlier, Sources([document]))
    return merged, problems


def _merge_into(merged: dict[str, Any], more: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, value in more.items():
        if key not in merged:
            merged[key] = value
        elif isinstance(value, dict) and isinstance(merged[key], dict):
            merged[key] = dict(merged[key])  # an alias may stand for the same map elsewhere
            yield from _merge_into(merged[key], value, (*path, key))
        elif type(value) is not type(merged[key]) or value != merged[key]:
            yield (*path, key)


def _both(path: tuple[str, ...], earlier: Sources, later: Sources) -> Iterator[Problem]:
    for here, there in ((earlier, later), (later, earlier)):
        clause = f"has another value at {there.place(path).location}"
        yield here.problem(Mistake(path=path, clause=clause, remedy="keep one of the two, or make them agree"))
