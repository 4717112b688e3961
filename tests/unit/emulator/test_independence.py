from __future__ import annotations

import ast
from pathlib import Path

import refresher.emulator

ALLOWED = {"refresher.emulator", "refresher.clock", "refresher.errors", "refresher.resources"}
"""Clocks, errors and resource names hold no logic that the emulator exists to test."""


def imports_of(path: Path) -> set[str]:
    """Give the modules of this product that a file imports, wherever in it, cut to their second level."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {".".join(name.split(".")[:2]) for name in found if name.partition(".")[0] == "refresher"}


def test_imports_nothing_of_what_it_tests() -> None:
    """The emulator shares no code with the product, nor with google-auth, so that both cannot be wrong alike."""
    files = list(Path(refresher.emulator.__file__).parent.rglob("*.py"))

    used = set().union(*(imports_of(path) for path in files))

    assert len(files) > 40
    assert used <= ALLOWED
    assert not any("import google.auth" in path.read_text(encoding="utf-8") for path in files)
