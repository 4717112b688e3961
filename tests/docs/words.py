"""Find the phrases that `banned_words.yaml` lists, in every text that a reader meets.

It reads the docstrings and comments of Python, the string literals of the product that hold more than one word, the
prose of Markdown, and the comments of YAML, TOML, Terraform, Makefile and service files, with Terraform's descriptions.
It doesn't read code: in Markdown it skips blocks and spans. It skips Google's own sentences, listed under `quotes`.

`python -m tests.docs.words [PATH…]` prints what it finds below the paths, by default below the working directory.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TABLE = Path(__file__).with_name("banned_words.yaml")
COMMENTED = {".yaml", ".yml", ".toml", ".tf", ".hcl", ".service", ".sh", ".nft", ""}
SKIPPED = {
    ".venv",
    ".git",
    ".tools",
    ".cache",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    ".coverage",
    "build",
    "dist",
    "requirements",
}
OWN = {"words.py", "banned_words.yaml", "test_words.py"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text of a file.

    Attributes:
        kind: `docstring`, `comment`, `message` or `prose`.
        line: The number of its first line.
        content: Its words; line breaks are kept.
    """

    kind: str
    line: int
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One banned phrase.

    Attributes:
        pattern: Matches it.
        instead: What to write.
        kinds: The kinds of text in which it is banned.
    """

    pattern: re.Pattern[str]
    instead: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place to rewrite."""

    path: Path
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        path = self.path.resolve()
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f'{shown}:{self.line}: "{self.phrase}" — {self.instead}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The table.

    Attributes:
        phrases: What is banned.
        quotes: Sentences in which every phrase is allowed.
        modules: Matches the names that no module has.
        nouns: Names of modules that are allowed all the same.
    """

    phrases: tuple[Rule, ...]
    quotes: tuple[str, ...]
    modules: re.Pattern[str]
    nouns: tuple[str, ...]


def read_rules(table: Path = TABLE) -> Rules:
    """Return the table."""
    document = yaml.safe_load(table.read_text(encoding="utf-8"))
    every = ("docstring", "comment", "message", "prose")
    phrases = tuple(
        Rule(
            pattern=re.compile(row["pattern"].replace(" ", r"\s"), re.IGNORECASE | re.MULTILINE),
            instead=row["instead"],
            kinds=tuple(row.get("in", every)),
        )
        for row in document["phrases"]
    )
    modules = document["modules"]
    return Rules(
        phrases=phrases,
        quotes=tuple(document["quotes"]),
        modules=re.compile(modules["pattern"]),
        nouns=tuple(modules["nouns"]),
    )


def find(path: Path, rules: Rules) -> Iterator[Finding]:
    """Find each banned phrase and name of a file."""
    content = path.read_text(encoding="utf-8")
    for text in read_texts(path, content):
        words = _without_quotes("\n".join(line.strip() for line in text.content.splitlines()), rules.quotes)
        for rule in rules.phrases:
            if text.kind not in rule.kinds:
                continue
            for match in rule.pattern.finditer(words):
                line = text.line + words.count("\n", 0, match.start())
                yield Finding(path=path, line=line, phrase=" ".join(match[0].split()), instead=rule.instead)
    if path.suffix == ".py":
        yield from _find_names(path, content, rules)


def read_texts(path: Path, content: str) -> Iterator[Text]:
    """Read the texts of a file, by its suffix; none of a file of another kind."""
    if path.suffix == ".py":
        yield from _python(content, with_messages="tests" not in path.parts)
    elif path.suffix == ".md":
        yield Text(kind="prose", line=1, content=_prose(content))
    elif path.suffix in COMMENTED:
        yield from _comments(content, with_descriptions=path.suffix == ".tf")


def list_files(paths: Iterable[Path]) -> Iterator[Path]:
    """List the files at and below the paths that have texts."""
    for path in paths:
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in found:
            is_ours = not SKIPPED.intersection(file.parts) and file.name not in OWN
            if is_ours and file.is_file() and file.suffix in {".py", ".md", *COMMENTED}:
                yield file


def _python(content: str, *, with_messages: bool) -> Iterator[Text]:
    tree = ast.parse(content)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) in docstrings:
            yield Text(kind="docstring", line=node.lineno, content=node.value)
        elif not with_messages or id(node) in parts:
            continue
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield Text(kind="message", line=node.lineno, content=node.value)
        elif isinstance(node, ast.JoinedStr):
            yield Text(kind="message", line=node.lineno, content=_joined(node))
    tokens = tokenize.generate_tokens(io.StringIO(content).readline)
    yield from _join_comments((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)


def _joined(node: ast.JoinedStr) -> str:
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def _prose(content: str) -> str:
    """Blank blocks and spans of code and the targets of links, keeping the lines."""
    for code in (r"^( *)```.*?^\1```", r"`[^`]*`", r"\]\([^)]*\)", r"<!--.*?-->"):
        content = re.sub(code, lambda found: "…" + "\n" * found[0].count("\n"), content, flags=re.MULTILINE | re.DOTALL)
    return content


def _comments(content: str, *, with_descriptions: bool) -> Iterator[Text]:
    lines = [(number, line) for number, line in enumerate(content.splitlines(), 1)]
    found = [(number, re.search(r"(?:^|\s)#+\s.*", line)) for number, line in lines]
    yield from _join_comments((number, comment[0].strip()) for number, comment in found if comment is not None)
    for number, line in lines if with_descriptions else ():
        for text in re.findall(r"\"((?:[^\"\\]|\\.)* (?:[^\"\\]|\\.)*)\"", line):
            yield Text(kind="message", line=number, content=text)


def _join_comments(comments: Iterable[tuple[int, str]]) -> Iterator[Text]:
    """Join the comments of consecutive lines, whose sentences go on from line to line."""
    first, parts = 0, list[str]()
    for number, comment in comments:
        if parts and number != first + len(parts):
            yield Text(kind="comment", line=first, content="\n".join(parts))
            parts = []
        first = first if parts else number
        parts.append(comment.lstrip("# "))
    if parts:
        yield Text(kind="comment", line=first, content="\n".join(parts))


def _without_quotes(content: str, quotes: Iterable[str]) -> str:
    for quote in quotes:
        pattern = r"\s+".join(re.escape(word) for word in quote.split())
        content = re.sub(pattern, lambda found: "\n" * found[0].count("\n"), content)
    return content


def _find_names(path: Path, content: str, rules: Rules) -> Iterator[Finding]:
    """Find a module with a banned name, and the product's public functions that are called like `x_of`."""
    if rules.modules.search(path.stem.removeprefix("test_")) and path.stem.removeprefix("test_") not in rules.nouns:
        yield Finding(path=path, line=1, phrase=path.name, instead="name the module after its subject, with a noun")
    if "tests" in path.parts:
        return
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and re.search(r"^(?!_).*_of$", node.name):
            yield Finding(path=path, line=node.lineno, phrase=node.name, instead="begin the name with a verb")


def main(paths: list[Path]) -> int:
    """Print what is found below the paths; return the exit status, 1 if there is anything."""
    rules = read_rules()
    findings = [found for file in list_files(paths) for found in find(file, rules)]
    for found in sorted(findings, key=lambda found: (found.path, found.line)):
        sys.stdout.write(f"{found}\n")
    sys.stderr.write(f"{len(findings)} found\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]] or [Path.cwd()]))
