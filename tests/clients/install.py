"""Installs the clients from their registries: pinned, built once, and kept outside the tree.

Each language's folder here is copied to the cache and commands run in it, again when the folder changes. What a command
prints is shown if it fails.
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

HERE = Path(__file__).parent
INSTALL_SECONDS = 1800
_OUTPUT = 3000
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
        folder: Their folder here.
        tool: The program that makes them.
        remedy: How to get that.
        commands: What to run in the copy, one after the other.
    """

    folder: str
    tool: str
    remedy: str
    commands: tuple[tuple[str, ...], ...]

    def made(self) -> Path:
        """Give the folder of the clients, made now if it is not there or another was.

        Raises:
            RuntimeError: A command failed.
        """
        with _LOCK:
            return self._made()

    def _made(self) -> Path:
        files = {
            path.relative_to(HERE): path.read_bytes()
            for path in sorted((HERE / self.folder).rglob("*"))
            if path.is_file() and not set(path.parts) & set(_LEFT_OUT)
        }
        state = hashlib.sha256(repr((self.commands, files)).encode()).hexdigest()
        place = cache() / self.folder
        stamp = place / ".installed"
        if stamp.is_file() and stamp.read_text() == state:
            return place
        # what was built stays where it is, so that a small change is not paid with a whole build
        stamp.unlink(missing_ok=True)
        shutil.copytree(HERE / self.folder, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        for command in self.commands:
            done = subprocess.run(
                command, cwd=place, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
            )
            if done.returncode:
                said = done.stdout[-_OUTPUT:] + done.stderr[-_OUTPUT:]
                raise RuntimeError(f"the {self.folder} clients cannot be installed by {command[0]}: {said}")
        stamp.write_text(state)
        return place


_PIP = (".venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes")
_CLASSPATH = ("dependency:build-classpath", "-Dmdep.outputFile=classpath")

PYTHON = Recipe(
    folder="python",
    tool="python3",
    remedy="install Python",
    commands=((sys.executable, "-m", "venv", ".venv"), (*_PIP, "-r", "requirements.txt")),
)
NODE = Recipe(
    folder="node",
    tool="npm",
    remedy="install Node.js",
    commands=(("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"),),
)
GO = Recipe(folder="go", tool="go", remedy="install Go", commands=(("go", "build", "-o", "probe", "."),))
JAVA = Recipe(
    folder="java",
    tool="mvn",
    remedy="install Maven and a JDK",
    commands=(("mvn", "-q", "-B", "compile", *_CLASSPATH),),
)
RUST = Recipe(
    folder="rust",
    tool="cargo",
    remedy="install Rust",
    commands=(("cargo", "build", "--quiet", "--release"),),
)
RECIPES = (PYTHON, NODE, GO, JAVA, RUST)


def main() -> None:
    """Install what can be; for `make clients-install`, before the tests look at a clock."""
    for recipe in RECIPES:
        if shutil.which(recipe.tool) is None:
            sys.stdout.write(f"{recipe.folder}: left out, {recipe.tool} is not installed: {recipe.remedy}\n")
            continue
        sys.stdout.write(f"{recipe.folder}: {recipe.made()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
