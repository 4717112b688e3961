from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

from refresher import __version__

REPOSITORY = Path(__file__).parents[2]
NAME = f"wif_refresher-{__version__}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the wheel and the source distribution of this tree."""
    place = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(place)]
    subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    return place


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """Return the wheel."""
    return built / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the environment in which the wheel is installed, with the dependencies of the one that runs the tests."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", str(wheel)], capture_output=True, check=True)
    libraries = next((place / "lib").glob("python3.*/site-packages"))
    # Python ignores .pth files of a folder that another .pth adds, so the editable product is not imported
    (libraries / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Modules, known failures, the page's style and script, the marker of types and the licence are in it; no tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "refresher").rglob("*.py")}
    data = {"refresher/py.typed", "refresher/catalogue/failures.toml", "refresher/catalogue/local.toml"}
    data |= {"refresher/observe/page.css", "refresher/observe/page.js"}

    assert {name for name in names if name.startswith("refresher/")} == modules | data
    assert f"{NAME}.dist-info/licenses/LICENSE" in names
    assert {name.partition("/")[0] for name in names} == {"refresher", f"{NAME}.dist-info"}


def test_source_distribution_can_be_tested_and_built_again(built: Path, tmp_path: Path) -> None:
    """It has tests, guides, examples and pinned requirements; the wheel that is built from it is the same."""
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / NAME

    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=source, capture_output=True, check=True)

    assert (tmp_path / f"{NAME}-py3-none-any.whl").read_bytes() == (built / f"{NAME}-py3-none-any.whl").read_bytes()
    for path in (
        "LICENSE",
        "Makefile",
        "tests/conftest.py",
        "docs/README.md",
        "configs/schema.json",
        "requirements/dev.txt",
    ):
        assert (source / path).read_bytes() == (REPOSITORY / path).read_bytes()
    assert not (source / ".venv").exists()


def test_metadata_have_the_version_of_the_package(wheel: Path) -> None:
    """The version is read from the package, which is the one place that has it."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = BytesParser().parsebytes(archive.read(f"{NAME}.dist-info/METADATA"))

    assert (metadata["Name"], metadata["Version"]) == ("wif-refresher", __version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "version =" not in (REPOSITORY / "pyproject.toml").read_text().partition("[tool.")[0]


@pytest.mark.parametrize("command", ["bin/refresher", "bin/python -m refresher"])
def test_installed_wheel_runs_outside_of_the_tree(installed: Path, tmp_path: Path, command: str) -> None:
    """The command and the module run from any folder, and print their version and the schema of this tree."""

    def run(*arguments: str) -> str:
        program, *rest = command.split()
        return subprocess.run(
            [str(installed / program), *rest, *arguments],
            cwd=tmp_path,
            env={"PATH": os.defpath, "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert run("--version") == f"refresher, version {__version__}\n"
    assert run("schema") == (REPOSITORY / "configs" / "schema.json").read_text()


def test_installed_wheel_is_what_is_imported(installed: Path, tmp_path: Path) -> None:
    """The package comes from the environment, not from this tree."""
    done = subprocess.run(
        [str(installed / "bin" / "python"), "-c", "import refresher; print(refresher.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert Path(done.stdout.strip()).is_relative_to(installed)
