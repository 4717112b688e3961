from __future__ import annotations

import pytest

from refresher.config.nodes import parse
from refresher.settings.scalars import Misread


def _problems(content: bytes) -> list[str]:
    return [str(problem).split(" — ")[0] for problem in parse(content, "f").problems]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("text", "text"),
        ('"1042"', "1042"),
        ("1042:42", "1042:42"),
        ("12:30:45", "12:30:45"),
        ("1042", 1042),
        ("-1", -1),
        ("true", True),
        ("Off", False),
        ("~", None),
        ("[a, {b: c}]", ("a", {"b": "c"})),
        ("0440", Misread("0440")),
        ("0o440", Misread("0o440")),
        ("0x1F", Misread("0x1F")),
        ("1_000", Misread("1_000")),
        ("1.5", Misread("1.5")),
        ("1e3", Misread("1e3")),
        (".inf", Misread(".inf")),
        ("2026-01-01", Misread("2026-01-01")),
        ("2026-01-01 12:00:00", Misread("2026-01-01 12:00:00")),
        ("9" * 5000, Misread("9" * 5000)),
        ("=", "="),
        (".", "."),
        ("-x", "-x"),
        ("null-device", "null-device"),
        ("&a x", "x"),
    ],
)
def test_reads_scalars_as_people_mean_them(written: str, value: object) -> None:
    """A scalar becomes what its writer can only have meant; where that is open, it is marked as misread."""
    document = parse(f"key: {written}\n".encode(), "f")

    assert document.value == {"key": value}
    assert type(document.value["key"]) is type(value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: \xff", "f:1:4: the file is not UTF-8"),
        ("é: 1\nb: ".encode() + b"\xc3(", "f:2:4: the file is not UTF-8"),
        (b"\xff\xfea\x00", "f:1:1: the file is not UTF-8"),
        (b"a: 1\nb: \x00", "f:2:4: the file holds a character that YAML does not allow"),
        (b"- a\n- b", "f:1:1: the file holds a list or a single value, not a map"),
        (b"just words", "f:1:1: the file holds a list or a single value, not a map"),
        (b"? [a]\n: b", "f:1:3: a key is a map or a list, where text belongs"),
        (b"? *a\n: b", "f:1:3: the YAML is broken: found undefined alias"),
        (b"2026-01-01: b", "f:1:1: a key is 2026-01-01, a date to YAML, where text belongs"),
        (b"a: {b: 1, b: 2}", 'f:1:11: the key "b" is there twice'),
        (b"a: &x [*x]", "f:1:1: its aliases refer to themselves, or grow without bound"),
        (b"a: !!python/object:os.system x", "f:1:4: the tag"),
        (b"a: !!int x", 'f:1:4: the tag "tag:yaml.org,2002:int" is not supported'),
        (b"a: 1\n--- \nb: 2", "f:2:1: the file holds several documents"),
        (b"[" * 100_000, "f:1:"),
        (b"a: " + b"[" * 40 + b"]" * 40, "f:1:35: values are nested more than 32 levels deep"),
    ],
)
def test_refuses_what_is_not_plain_yaml(content: bytes, problem: str) -> None:
    """Whatever the bytes are, the answer is one problem with a place."""
    found = _problems(content)

    assert len(found) == 1
    assert found[0].startswith(problem)


def test_refuses_aliases_that_grow_without_bound() -> None:
    """Nine lines that stand for a billion values are refused, and quickly."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    found = _problems("\n".join(lines).encode())

    assert found == ["f:1:1: its aliases refer to themselves, or grow without bound"]


def test_lets_anchors_be_used() -> None:
    """An anchor and its alias give the same value twice."""
    document = parse(b"a: &x {k: v}\nb: *x\n", "f")

    assert document.value == {"a": {"k": "v"}, "b": {"k": "v"}}


@pytest.mark.parametrize("content", [b"", b"# only words\n", b"---\n", b"\xef\xbb\xbf", b"~"])
def test_tells_an_empty_file_from_a_broken_one(content: bytes) -> None:
    """A file of nothing, comments or null is empty, and that alone is no problem."""
    document = parse(content, "f")

    assert document.is_empty
    assert document.value == {}


@pytest.mark.parametrize(
    ("path", "key", "location"),
    [
        (("targets", "alice", "mode"), False, "f:3:11"),
        (("targets", "alice", "mode"), True, "f:3:5"),
        (("targets", "alice", "owner"), False, "f:2:3"),
        (("targets", "alice", "mode", "x"), False, "f:3:5"),
        (("list", 1), False, "f:4:11"),
        (("nothing",), False, "f:1:1"),
        ((), False, "f:1:1"),
    ],
)
def test_knows_the_place_of_every_key_and_value(path: tuple[str | int, ...], *, key: bool, location: str) -> None:
    """A path leads to its value or key, and one that ends early to the key that should hold more."""
    document = parse(b"targets:\n  alice:\n    mode: 440\nlist: [a, b]\n", "f")

    assert document.locate(path, key=key).location == location
