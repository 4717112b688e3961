"""Programs from package registries that tests run: pinned, built once, and stored outside the tree.

A folder of the tests is copied to the cache and its commands run there, again when the folder changes. The output of a
failing command is shown.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import Need

INSTALL_SECONDS = 1800
OUTPUT = 3000
"""How many characters of a failing program's output are shown."""
_LOCK = Lock()
_LEFT_OUT = ("__pycache__",)


def cache() -> Path:
    """Return the directory of the clients: `REFRESHER_CLIENTS_CACHE`, by default below the user's cache."""
    chosen = os.environ.get("REFRESHER_CLIENTS_CACHE")
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refresher-clients"
    return Path(chosen) if chosen else usual


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the clients of one language are built.

    Attributes:
        source: The folder that is copied; the copy has the same name.
        tool: The required program.
        remedy: How to get that program.
        commands: The commands to run in the copy, in order.
    """

    source: Path
    tool: str
    remedy: str
    commands: tuple[tuple[str, ...], ...]

    @property
    def folder(self) -> str:
        """The name of the folder."""
        return self.source.name

    def made(self) -> Path:
        """Return the folder of the clients; build it if it is missing or of another version.

        Raises:
            RuntimeError: A command failed.
        """
        with _LOCK:
            return self._made()

    def _made(self) -> Path:
        files = {
            path.relative_to(self.source.parent): path.read_bytes()
            for path in sorted(self.source.rglob("*"))
            if path.is_file() and not set(path.parts) & set(_LEFT_OUT)
        }
        state = hashlib.sha256(repr((self.commands, files)).encode()).hexdigest()
        place = cache() / self.folder
        stamp = place / ".installed"
        if stamp.is_file() and stamp.read_text() == state:
            return place
        # the results of earlier builds stay, so that a small change needs no complete build
        stamp.unlink(missing_ok=True)
        shutil.copytree(self.source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        for command in self.commands:
            done = subprocess.run(
                command, cwd=place, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
            )
            if done.returncode:
                said = done.stdout[-OUTPUT:] + done.stderr[-OUTPUT:]
                raise RuntimeError(f"{self.folder} cannot be installed by {command[0]}: {said}")
        stamp.write_text(state)
        return place


def install(recipe: Recipe, need: Need) -> Path:
    """Return the folder in which a recipe's commands ran; skip or fail the test without the program they need."""
    need.tool(recipe.tool, recipe.remedy)
    return recipe.made()


def install_all(recipes: Iterable[Recipe]) -> None:
    """Install everything whose tool is present, before the tests measure any time; print a line for each."""
    for recipe in recipes:
        present = shutil.which(recipe.tool) is not None
        done = recipe.made() if present else f"left out, {recipe.tool} is not installed: {recipe.remedy}"
        sys.stdout.write(f"{recipe.folder}: {done}\n")
        sys.stdout.flush()
