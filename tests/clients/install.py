"""The installation of the clients from their registries, one folder for each language."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.installing import Recipe

HERE = Path(__file__).parent

_PIP = (".venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes")
_CLASSPATH = ("dependency:build-classpath", "-Dmdep.outputFile=classpath")

PYTHON = Recipe(
    source=HERE / "python",
    tool="python3",
    remedy="install Python",
    commands=((sys.executable, "-m", "venv", ".venv"), (*_PIP, "-r", "requirements.txt")),
)
NODE = Recipe(
    source=HERE / "node",
    tool="npm",
    remedy="install Node.js",
    commands=(("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"),),
)
GO = Recipe(source=HERE / "go", tool="go", remedy="install Go", commands=(("go", "build", "-o", "probe", "."),))
JAVA = Recipe(
    source=HERE / "java",
    tool="mvn",
    remedy="install Maven and a JDK",
    commands=(("mvn", "-q", "-B", "compile", *_CLASSPATH),),
)
RUST = Recipe(
    source=HERE / "rust",
    tool="cargo",
    remedy="install Rust",
    commands=(("cargo", "build", "--quiet", "--release"),),
)
RUBY = Recipe(source=HERE / "ruby", tool="ruby", remedy="apt-get install ruby", commands=(("sh", "install.sh"),))
RECIPES = (PYTHON, NODE, GO, JAVA, RUST, RUBY)


def main() -> None:
    """Install the clients whose tool is present, before the tests measure any time."""
    for recipe in RECIPES:
        if shutil.which(recipe.tool) is None:
            sys.stdout.write(f"{recipe.folder}: left out, {recipe.tool} is not installed: {recipe.remedy}\n")
            continue
        sys.stdout.write(f"{recipe.folder}: {recipe.made()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
