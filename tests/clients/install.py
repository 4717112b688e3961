"""The installation of the clients from their registries, one folder for each language."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.installation import Recipe, install_all

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


if __name__ == "__main__":
    install_all(RECIPES)
