from __future__ import annotations

import pytest

from refresher.settings.places import Empty, Map, OwnMark, Quoted, Value, describe, format_path, locate

START = OwnMark("f")


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("yes", True),
        ("True", True),
        ("ON", True),
        ("no", False),
        ("off", False),
        ("yEs", "yEs"),
        ("y", "y"),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("007", "007"),
        ("1_000", "1_000"),
        ("1.5", "1.5"),
        ("1" * 19, "1" * 19),
        ("٣", "٣"),
        ("text", "text"),
    ],
)
def test_reads_booleans_and_integers_without_quotes_only(text: str, typed: object) -> None:
    """A plain value is what YAML 1.1 makes of it where that is a boolean or a decimal integer; a quoted one is text."""
    plain, quoted = Value(text, START, START).read_typed(), Quoted(text, START, START).read_typed()

    assert (plain, type(plain)) == (typed, type(typed))
    assert quoted == text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("targets", "alice", "mode"), "targets.alice.mode"),
        (("include", 0), "include[0]"),
        (("a", 1, "b"), "a[1].b"),
        ((), "the target"),
        (("targets", ""), 'targets.""'),
        (("targets", "eyJ0"), "targets.…"),
        (("targets", "x" * 65, "mode"), "targets.….mode"),
        (("targets", "a\nb"), "targets.…"),
    ],
)
def test_writes_paths_on_one_line_without_secrets(path: tuple[str | int, ...], text: str) -> None:
    """Keys are joined by dots; a key that is unprintable, long or like a secret is not shown."""
    assert format_path(path) == text


def test_describes_values_and_shapes() -> None:
    """A message shows a value in quotes, the absence of one, or the shape of a collection."""
    shown = [describe(node) for node in (Value("x", START, START), Empty("~", START, START), Map(START, START))]

    assert shown == ['"x"', "empty", "a map"]


def test_counts_lines_and_columns_from_one() -> None:
    """Marks count from 0 as PyYAML does, messages from 1 as editors do."""
    assert locate(OwnMark("f", 2, 4)) == "f:3:5"
