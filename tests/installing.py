"""Programs from package registries that tests run: pinned, built once, and kept outside the tree.

A folder beside the tests is copied to the cache and commands run in it, again when the folder changes. What a command
prints is shown if it fails.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Need

INSTALL_SECONDS = 1800
OUTPUT = 3000
"""Characters of a program's complaints that are shown."""
_LOCK = Lock()
_LEFT_OUT = ("__pycache__",)


def cache() -> Path:
    """Give where the clients are kept: `REFRESHER_CLIENTS_CACHE`, by default below the user's cache."""
    chosen = os.environ.get("REFRESHER_CLIENTS_CACHE")
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refresher-clients"
    return Path(chosen) if chosen else usual


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the clients of one language are made.

    Attributes:
        source: The folder that is copied; its name is that of the copy too.
        tool: The program that makes them.
        remedy: How to get that.
        commands: What to run in the copy, one after the other.
    """

    source: Path
    tool: str
    remedy: str
    commands: tuple[tuple[str, ...], ...]

    @property
    def folder(self) -> str:
        """Name of the folder."""
        return self.source.name

    def made(self) -> Path:
        """Give the folder of the clients, made now if it is not there or another was.

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
        # what was built stays where it is, so that a small change is not paid with a whole build
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


def install(source: Path, *command: str, need: Need, how: str) -> Path:
    """Give the copy of a folder in which a command was run; skips or fails the test where there is no such program.

    Args:
        source: The folder.
        command: What installs, in the copy.
        need: Skips or fails.
        how: To get the program.
    """
    need.tool(command[0], how)
    return Recipe(source=source, tool=command[0], remedy=how, commands=(command,)).made()
