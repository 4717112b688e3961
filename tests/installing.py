"""Programs from package registries that tests run: installed once beside the test, from its lock file."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need

OUTPUT = 2000
"""Characters of a program's complaints that are shown."""


def install(source: Path, *command: str, need: Need, how: str) -> Path:
    """Give a copy of a folder in which a command was run once, as after a change of the folder.

    Args:
        source: The folder; the copy is put into `.cache` beside it.
        command: What installs, in the copy; skips the test where there is no such program.
        need: Skips or fails.
        how: To get the program.
    """
    need.tool(command[0], how)
    made = source.parent / ".cache" / source.name
    files = {path.relative_to(source): path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()}
    stamp = made / ".installed"
    wanted = repr(files)
    if stamp.is_file() and stamp.read_text() == wanted:
        return made
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(source, made)
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-OUTPUT:] + done.stdout[-OUTPUT:]
    stamp.write_text(wanted)
    return made
