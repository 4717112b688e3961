from __future__ import annotations

import pytest

from refresher.config.document import read_document
from refresher.settings.places import Empty, List, Map, Value, locate


def _problems(content: bytes) -> list[str]:
    return [str(problem).split(" — ")[0] for problem in read_document(content, "f").problems]


@pytest.mark.parametrize(
    ("written", "text", "is_plain"),
    [
        ("text", "text", True),
        ('"1042"', "1042", False),
        ("'it''s'", "it's", False),
        ("1042:42", "1042:42", True),
        ("1042", "1042", True),
        ("true", "true", True),
        ("no", "no", True),
        ("0440", "0440", True),
        ("0o440", "0o440", True),
        ("1_000", "1_000", True),
        ("1.50", "1.50", True),
        (".inf", ".inf", True),
        ("2026-01-01 12:00:00", "2026-01-01 12:00:00", True),
        ("9" * 5000, "9" * 5000, True),
        ("<<", "<<", True),
        ("null-device", "null-device", True),
        ('"~"', "~", False),
        ('""', "", False),
        ("&a x", "x", True),
        ("|\n  two\n  lines", "two\nlines\n", False),
    ],
)
def test_keeps_scalars_as_they_are_written(written: str, text: str, is_plain: bool) -> None:  # noqa: FBT001 - of a table
    """Every scalar arrives as text, character by character, with whether it had quotes."""
    value = read_document(f"key: {written}\n".encode(), "f").root["key"]

    assert isinstance(value, Value)
    assert (value.text, value.is_plain) == (text, is_plain)


@pytest.mark.parametrize("written", ["", "~", "null", "Null", "NULL", "# only words"])
def test_distinguishes_no_value_from_empty_text(written: str) -> None:
    """Nothing, `~` and `null` without quotes mean that there is no value; `""` is text without characters."""
    root = read_document(f"key: {written}\n".encode(), "f").root

    assert type(root["key"]) is Empty


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: \xff", "f:1:4: the file is not UTF-8"),
        ("é: 1\nb: ".encode() + b"\xc3(", "f:2:4: the file is not UTF-8"),
        (b"\xff\xfea\x00", "f:1:1: the file is not UTF-8"),
        (b"a: 1\nb: \x00", "f:2:4: the file has a character that YAML does not allow"),
        ("é: 1\né: é\a".encode(), "f:2:5: the file has a character that YAML does not allow"),
        (b"- a\n- b", "f:1:1: the file holds a list or a single value, not a map"),
        (b"just words", "f:1:1: the file holds a list or a single value, not a map"),
        (b"''", "f:1:1: the file holds a list or a single value, not a map"),
        (b"? [a]\n: b", "f:1:3: a key is a map or a list, not text"),
        (b"? *a\n: b", "f:1:3: the YAML is broken: found undefined alias"),
        (b"a: {b: 1, b: 2}", 'f:1:11: the key "b" appears twice'),
        (b"a: 1\n'a': 2", 'f:2:1: the key "a" appears twice'),
        (b"a: {<<: {b: 1}}", "f:1:5: the merge key << is not supported"),
        (b"a: &x [*x]", "f:1:1: its aliases refer to themselves, or grow without bound"),
        (b"a: !!python/object:os.system x", "f:1:4: the tag"),
        (b"a: !!int x", 'f:1:4: the tag "tag:yaml.org,2002:int" is not supported'),
        (b"a: !!str x", 'f:1:4: the tag "tag:yaml.org,2002:str" is not supported'),
        (b"a: !x {b: c}", 'f:1:4: the tag "!x" is not supported'),
        (b"!x a: b", 'f:1:1: the tag "!x" is not supported'),
        (b"--- !x\na: b", 'f:1:5: the tag "!x" is not supported'),
        (b"a: 1\n--- \nb: 2", "f:2:1: the file holds several documents"),
        (b"[" * 100_000, "f:1:"),
        (b"a: " + b"[" * 40 + b"]" * 40, "f:1:35: values are nested more than 32 levels deep"),
    ],
)
def test_refuses_what_is_not_plain_yaml(content: bytes, problem: str) -> None:
    """Whatever the bytes are, there is one problem with a place."""
    found = _problems(content)

    assert len(found) == 1
    assert found[0].startswith(problem)


def test_refuses_aliases_that_grow_without_bound() -> None:
    """Ten lines that stand for a billion values are refused, and quickly."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    found = _problems("\n".join(lines).encode())

    assert found == ["f:1:1: its aliases refer to themselves, or grow without bound"]


def test_repeats_a_value_where_an_alias_stands() -> None:
    """An anchor and its alias are the same value twice, each with the path that leads to it."""
    root = read_document(b"a: &x {k: v}\nb: *x\n", "f").root

    first, second = root["a"], root["b"]
    assert isinstance(first, Map)
    assert isinstance(second, Map)
    assert (first.path, second.path) == (("a",), ("b",))
    assert (locate(first.label), locate(second.label)) == ("f:1:1", "f:2:1")
    assert isinstance(second["k"], Value)
    assert second["k"].text == "v"


def test_takes_quoted_marks_as_keys() -> None:
    """A key in quotes is text, whatever it would mean without them."""
    assert read_document(b"'<<': a\n'~': b\n", "f").root.keys() == {"<<", "~"}


@pytest.mark.parametrize("content", [b"", b"# only words\n", b"---\n", b"\xef\xbb\xbf", b"~"])
def test_distinguishes_an_empty_file_from_a_broken_one(content: bytes) -> None:
    """A file of nothing, comments or null is empty, and that alone is not a problem."""
    document = read_document(content, "f")

    assert document.is_empty
    assert (document.root, document.problems, document.is_broken) == ({}, (), False)


def test_keeps_the_place_of_every_key_and_value() -> None:
    """Each node knows the file, the line and the column where it begins, and where its key begins."""
    root = read_document("é: 1\ntargets:\n  alice:\n    mode: 440\nlist: [a, b]\n".encode(), "dir/f").root

    targets, words = root["targets"], root["list"]
    assert isinstance(targets, Map)
    assert isinstance(targets["alice"], Map)
    assert isinstance(words, List)
    mode = targets["alice"]["mode"]
    assert [locate(mark) for mark in (root["é"].place, mode.label, mode.place)] == [
        "dir/f:1:4",
        "dir/f:4:5",
        "dir/f:4:11",
    ]
    assert (locate(targets["alice"].label), locate(words[1].place)) == ("dir/f:3:3", "dir/f:5:11")
    assert targets["alice"].path == ("targets", "alice")
