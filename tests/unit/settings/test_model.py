"""How models collect what is wrong with them.

There is no `from __future__ import annotations` here: pydantic reads the annotations when a class is created.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from refresher.config.document import read_document
from refresher.settings.fields import Choice, Name, Scope
from refresher.settings.model import ByName, Settings
from refresher.settings.places import Problem
from refresher.settings.values import Argv, Flag, SuppliedLifetime


class Engine(Settings):
    """A model with each shape of key."""

    retired: ClassVar[Mapping[str, tuple[str, str]]] = {"steam": ("is out of use", "delete it")}

    name: Name = Field()
    argv: Argv = Field()
    fuel: Annotated[Literal["coal", "wood"], Choice()] = "coal"
    lifetime: SuppliedLifetime | None = None
    scopes: tuple[Scope, ...] = ()
    fast: Flag = False
    twin: Name | None = None

    def check(self) -> Iterator[Problem]:
        """Check that a fast engine has a twin."""
        if self.fast and self.twin is None and "twin" not in self.broken:
            yield self.problem("has no twin, which a fast one needs", "add twin: to it")
        if self.twin is not None and self.twin == self.name:
            yield self.problem("is the engine itself", "name another one", "twin")


class Works(Settings):
    """A model of models."""

    engines: ByName[Engine] = Field(default={})
    best: Engine | None = None


def _read(text: str) -> tuple[Works, list[str]]:
    problems: list[Problem] = []
    works = Works.read(read_document(text.encode(), "f").root, problems)
    return works, [f"{problem.location} {problem.problem}" for problem in problems]


def test_reads_what_is_written() -> None:
    """A model without a mistake holds the values of its fields, and none of its keys is broken."""
    works, problems = _read("engines: {a: {name: a, argv: [/x, 5], fuel: wood, lifetime: 1h, fast: yes, twin: b}}")

    engine = works.engines["a"]
    assert problems == []
    assert (engine.name, engine.argv, engine.fuel, engine.fast, engine.twin) == ("a", ("/x", "5"), "wood", True, "b")
    assert engine.broken == frozenset()


def test_collects_every_kind_of_mistake_in_one_pass() -> None:
    """Wrong values and shapes, unknown and missing keys, and what is wrong between keys are found together."""
    _, problems = _read(
        "engines:\n  a:\n    name: [a]\n    fule: coal\n    fuel: gas\n    scopes: x\n    lifetime: {}\n    fast: true"
    )

    assert sorted(problems) == [
        "f:2:3 engines.a has no twin, which a fast one needs",
        "f:2:3 engines.a.argv is missing",
        "f:3:11 engines.a.name is a list, where text belongs",
        "f:4:5 engines.a.fule is not a known key",
        'f:5:11 engines.a.fuel is "gas"',
        'f:6:13 engines.a.scopes is "x", where a list belongs',
        "f:7:15 engines.a.lifetime is a map, where text belongs",
    ]


def test_a_mistake_in_one_entry_hides_none_in_another() -> None:
    """Bad names, entries that are not maps and wrong models are reported side by side, and every name is kept."""
    works, problems = _read("engines: {A: {name: a, argv: [/x]}, b: 5, c: , d: {name: d}}\nbest: []")

    assert sorted(problems) == [
        "f:1:11 engines.A is not a valid name",
        'f:1:40 engines.b is "5", where a map belongs',
        "f:1:46 engines.c is empty",
        "f:1:48 engines.d.argv is missing",
        "f:2:7 best is a list, where a map belongs",
    ]
    assert works.engines.keys() == {"A", "b", "c", "d"}


def test_builds_a_wrong_model_from_what_is_right() -> None:
    """Fields whose values were refused hold their defaults, required ones None; the others hold what is written."""
    works, _ = _read("engines: {a: {name: A, argv: x, fuel: gas, twin: b}}")

    engine = works.engines["a"]
    assert engine.broken == frozenset({"name", "argv", "fuel"})
    read = engine.model_dump()
    assert (read["name"], read["argv"], read["fuel"], read["twin"]) == (None, None, "coal", "b")


def test_an_entry_that_is_not_a_map_counts_as_broken_as_a_whole() -> None:
    """Nothing is known of such an entry, so no check between its keys may judge it."""
    works, _ = _read("engines: {a: 5}")

    assert works.engines["a"].broken == frozenset(Engine.model_fields)


def test_a_key_without_a_value_is_left_out_if_it_may_be() -> None:
    """Empty means left out for a key without a default value; for any other key it is a mistake."""
    works, problems = _read(
        "engines: {a: {name: a, argv: [/x], twin: , lifetime: ~}, b: {name: , argv: [/x], fast: ~}}"
    )

    assert works.engines["a"].twin is None
    assert sorted(problems) == ["f:1:68 engines.b.name is empty", "f:1:88 engines.b.fast is empty"]


def test_reports_a_retired_key_in_its_own_words() -> None:
    """A key of an earlier version has a problem of its own, and a mistake next to it is reported too."""
    works, problems = _read("engines: {a: {name: a, argv: [/x], steam: 1}, b: {name: B, argv: [/x], steam: 1}}")

    assert works.engines["a"].name == "a"
    assert sorted(problems) == [
        "f:1:36 engines.a.steam is out of use",
        'f:1:57 engines.b.name is "B", not a name',
        "f:1:72 engines.b.steam is out of use",
    ]


@pytest.mark.parametrize(
    ("keys", "at_key", "expected"),
    [
        ((), False, "f:1:11 engines.a"),
        (("fuel",), False, "f:1:42 engines.a.fuel"),
        (("fuel",), True, "f:1:36 engines.a.fuel"),
        (("argv", "x"), False, "f:1:24 engines.a.argv.x"),
        (("twin",), False, "f:1:11 engines.a.twin"),
    ],
)
def test_points_at_an_entry_a_value_or_a_key(keys: tuple[str, ...], *, at_key: bool, expected: str) -> None:
    """A problem has the place of what it is about; where that is not written, of the entry that lacks it."""
    works, _ = _read("engines: {a: {name: a, argv: [/x], fuel: coal}}")

    problem = works.engines["a"].problem("is so", "change it", *keys, at_key=at_key)

    assert f"{problem.location} {problem.problem}" == f"{expected} is so"


def test_code_builds_models_from_values() -> None:
    """A model is built from plain values, and what the fields refuse is raised at once."""
    engine = Engine(name="a", argv=("/x",), fuel="wood", fast=True)

    assert (engine.name, engine.argv, engine.fuel, engine.fast) == ("a", ("/x",), "wood", True)
    with pytest.raises(ValidationError):
        Engine(name="A B", argv=("/x",))


def test_places_are_no_part_of_a_value() -> None:
    """Models are equal if their values are equal, wherever these are written."""
    one, _ = _read("engines: {a: {name: a, argv: [/x]}}")
    other, _ = _read("\n\nengines:\n  a:\n    argv: [/x]\n    name: a\n")

    assert one == other
    assert one.engines["a"].model_dump() == other.engines["a"].model_dump()
