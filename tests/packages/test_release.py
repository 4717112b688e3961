"""What a release consists of: equal distributions in each build, a bill of materials, licences and a changelog."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from refresher import __version__
from tests.installation import INSTALL_SECONDS

if TYPE_CHECKING:
    from tests.conftest import Need

REPOSITORY = Path(__file__).parents[2]
CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text()
RELEASE = REPOSITORY / ".github" / "workflows" / "release.yml"
PERMITTED = re.compile(r"MIT|BSD|Apache|PSF-2\.0|MPL[- ]2\.0|Mozilla")
"""Licences that allow what we do: to install a library as it is next to the product."""


def build(place: Path) -> dict[str, bytes]:
    """Return the wheel and the source distribution that a copy of the tree builds."""
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
    clone = shutil.copytree(REPOSITORY, place / "clone", ignore=unwanted, copy_function=shutil.copyfile)
    shutil.copy(REPOSITORY / ".gitignore", clone)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(place / "dist")],
        cwd=clone,
        check=True,
        capture_output=True,
    )
    return {path.name: path.read_bytes() for path in (place / "dist").iterdir()}


@pytest.mark.slow
def test_two_builds_are_equal_byte_for_byte(tmp_path: Path) -> None:
    """Two builds from copies at different paths, with different times and modes of files, are the same bytes."""
    first, second = (build(tmp_path / name) for name in ("here", "elsewhere"))

    assert {name.partition("-")[0] for name in first} == {"wif_refresher"}
    assert sorted(path.rpartition(".")[2] for path in first) == ["gz", "whl"]
    assert first == second


@pytest.mark.slow
@pytest.mark.apart
@pytest.mark.timeout(INSTALL_SECONDS)
def test_bill_of_materials_has_each_pinned_library_and_its_licence() -> None:
    """`make sbom` lists each pinned library with its version and a licence that we may use, and collects the texts."""
    subprocess.run(["make", "sbom"], cwd=REPOSITORY, check=True, capture_output=True)

    document = json.loads((REPOSITORY / "build" / "sbom" / "wif-refresher.cdx.json").read_text())
    texts = (REPOSITORY / "build" / "sbom" / "LICENCES.txt").read_text()
    listed = {part["name"].lower().replace("_", "-"): part for part in document["components"]}
    pinned = re.findall(r"^([\w.-]+)==(\S+)", (REPOSITORY / "requirements" / "runtime.txt").read_text(), re.MULTILINE)
    needed = {name: version for name, version in pinned if name != "tzdata"}  # for Windows alone
    assert {name: part["version"] for name, part in listed.items()} == needed
    assert document["metadata"]["component"]["name"] == "wif-refresher"
    for name, part in listed.items():
        assert PERMITTED.search(json.dumps(part["licenses"])), name
        assert f"{part['name']} {part['version']}: " in texts


@pytest.mark.slow
@pytest.mark.apart
@pytest.mark.timeout(INSTALL_SECONDS)
def test_wheel_is_installed_as_a_tool_of_a_user(tmp_path: Path, need: Need) -> None:
    """`uv tool install` of the built wheel installs the command, with the newest libraries that it allows."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else need.tool("uv", "pip install uv")
    (wheel,) = (name for name in build(tmp_path) if name.endswith(".whl"))
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    command = [uv, "tool", "install", "--quiet", "--python", sys.executable, str(tmp_path / "dist" / wheel)]

    subprocess.run(command, env={**os.environ, **places}, check=True)

    printed = subprocess.run([tmp_path / "bin" / "refresher", "--version"], capture_output=True, text=True, check=True)
    assert printed.stdout == f"refresher, version {__version__}\n"


def test_changelog_lists_versions_newest_first() -> None:
    """The changelog begins with what is not released, or with this version; older versions follow in order."""
    headings = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    versions = [
        tuple(map(int, found.split("."))) for found in re.findall(r"^## (\d+\.\d+\.\d+)", CHANGELOG, re.MULTILINE)
    ]

    assert headings[0] == "Unreleased" or headings[0].startswith(f"{__version__} ")
    assert versions == sorted(set(versions), reverse=True)


def test_release_attests_everything_that_it_builds() -> None:
    """The release demands a dated changelog, and attests distributions, package and bill of materials."""
    jobs = yaml.safe_load(RELEASE.read_text())["jobs"]
    commands = " ".join(step.get("run", "") for step in jobs["build"]["steps"])
    attested = jobs["attest"]["steps"][-1]["with"]["subject-path"].split()

    assert "CHANGELOG.md" in commands
    for target in ("make test-wheel", "make sbom", "make deb"):
        assert target in commands
    assert attested == ["dist/*", "further/packages/*", "further/sbom/*"]
