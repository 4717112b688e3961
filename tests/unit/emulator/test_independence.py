from __future__ import annotations

import ast
from pathlib import Path

import refresher.emulator

ALLOWED = {"refresher.emulator", "refresher.clock", "refresher.errors", "refresher.resources"}
"""Modules without the logic that the emulator exists to test."""


def list_imports(path: Path) -> set[str]:
    """Return the modules of this product that a file imports anywhere, cut to their second level."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {".".join(name.split(".")[:2]) for name in found if name.partition(".")[0] == "refresher"}


def test_emulator_imports_nothing_that_it_tests() -> None:
    """The emulator shares no code with the product or google-auth, so that both cannot have the same mistake."""
    files = list(Path(refresher.emulator.__file__).parent.rglob("*.py"))

    used = set().union(*(list_imports(path) for path in files))

    assert len(files) > 40
    assert used <= ALLOWED
    assert not any("import google.auth" in path.read_text(encoding="utf-8") for path in files)
