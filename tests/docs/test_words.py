from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.words import Finding, find, list_files, read_rules

REPOSITORY = Path(__file__).parents[2]
ROOMS_TO_CHECK = (
    "configs/emulator-seed.yaml",
    "configs/emulator.yaml",
    "docs/emulator.md",
    "refresher/demo",
    "refresher/emulator",
    "tests/clients",
    "tests/containers",
    "tests/docs/test_emulator_guide.py",
    "tests/docs/test_words.py",
    "tests/docs/words.py",
    "tests/e2e/test_demo.py",
    "tests/faults/killed_emulator.py",
    "tests/faults/test_emulator.py",
    "tests/fuzz",
    "tests/installed",
    "tests/terraform",
    "tests/unit/emulator",
)
"""What is clean so far; it grows until it is the whole repository."""


def find_in(path: Path, content: str) -> list[Finding]:
    """Return what is found in a file of this content."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return list(find(path, read_rules()))


@pytest.mark.parametrize("room", ROOMS_TO_CHECK)
def test_texts_are_plain_english(room: str) -> None:
    """No text contains a phrase of the table; each finding shows the place and what to write instead."""
    rules = read_rules()

    found = [str(finding) for file in list_files([REPOSITORY / room]) for finding in find(file, rules)]

    assert found == []


@pytest.mark.parametrize(
    ("content", "line", "phrase"),
    [
        ('"""Read it.\n\nSomebody wrote it.\n"""\n', 3, "Somebody"),
        ('def f() -> None:\n    """Give a name."""\n', 2, "Give"),
        ("x = 1\n# a long sentence that nobody\n# reads\n", 2, "nobody"),
        ("# a file with white\n# space at its end\n", 1, "white space"),
        ('x = "mend it at once"\n', 1, "mend"),
        ('x = f"let {y} do {z}"\n', 1, "let"),
        ("def path_of(x: int) -> None: ...\n", 1, "path_of"),
    ],
    ids=["docstring", "first word", "comment", "comment over two lines", "message", "message with values", "name"],
)
def test_phrase_is_found_in_python(content: str, line: int, phrase: str, tmp_path: Path) -> None:
    """A docstring, a comment, a message and a name are each read, and the line is right."""
    found = find_in(tmp_path / "module.py", content)

    assert [(finding.line, finding.phrase) for finding in found] == [(line, phrase)]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("page.md", "# Title\n\nIt is over then.\n", 3),
        ("page.md", "Run `x`,\nthen write it\nanew.\n", 3),
        ("file.yaml", "a: 1\nb: 2  # made by a tool\n", 2),
        ("variables.tf", 'variable "x" {\n  description = "Of the account."\n}\n', 2),
        ("Makefile", "x: ## Let it run.\n", 1),
    ],
    ids=["prose", "after a span of code", "comment in YAML", "description in Terraform", "help in the Makefile"],
)
def test_phrase_is_found_in_other_files(name: str, content: str, line: int, tmp_path: Path) -> None:
    """Prose, comments and descriptions are read, each in its kind of file."""
    found = find_in(tmp_path / name, content)

    assert [finding.line for finding in found] == [line]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.md", "Text.\n\n```text\nmend anew\n```\n\nUse `mend`, see [it](mend).\n"),
        ("module.py", 'x = "mend"\n'),
        ("tests/data.py", 'x = "a message of the program that nobody reads"\n'),
        ("module.py", '"""Read it; there is no file, no one is told."""\n'.replace("is told", "needs it")),
    ],
    ids=["code in Markdown", "single words", "literals of tests", "plain English"],
)
def test_what_is_not_text_is_skipped(name: str, content: str, tmp_path: Path) -> None:
    """Code, single words and what tests compare are not read as text."""
    assert find_in(tmp_path / name, content) == []


def test_module_is_named_after_its_subject(tmp_path: Path) -> None:
    """A gerund or a word of the theatre is found as the name of a module."""
    names = ("refusing.py", "scene.py", "monitoring.py", "documents.py")

    found = [finding.phrase for name in names for finding in find_in(tmp_path / name, "")]

    assert found == ["refusing.py", "scene.py"]


def test_quotes_are_in_use() -> None:
    """Each quote of the table stands somewhere, so that none outlives its sentence."""
    texts = [" ".join(file.read_text(encoding="utf-8").split()) for file in list_files([REPOSITORY])]

    assert [quote for quote in read_rules().quotes if not any(quote in text for text in texts)] == []
