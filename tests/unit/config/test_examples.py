from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.config.loader import load

if TYPE_CHECKING:
    from tests.unit.config.conftest import Workspace

CONFIGS = Path(__file__).parents[3] / "configs"
MAIN_FILES = ("refresher.yaml", "minimal.yaml", "host.yaml", "emulator.yaml", "without-pool.yaml")


@pytest.fixture
def examples(workspace: Workspace) -> Path:
    """Return a copy of the examples that only its owner can write to, drop-ins next to the main files."""
    copy = workspace.directory / "configs"
    shutil.copytree(CONFIGS, copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for name in MAIN_FILES:
        path = copy / name
        path.write_text(path.read_text().replace("/etc/refresher/targets.d", str(copy / "targets.d")))
    return copy


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("refresher.yaml", {"alice-notebook", "bob", "alice-train"}),
        ("minimal.yaml", {"alice"}),
        ("host.yaml", {"alice-notebook", "bob", "alice-train"}),
        ("emulator.yaml", {"alice"}),
        ("without-pool.yaml", {"alice", "bob"}),
    ],
)
def test_every_example_loads(examples: Path, name: str, targets: set[str]) -> None:
    """What we show to users works, with its drop-in, and without a warning."""
    loaded = load(examples / name)

    assert set(loaded.targets) == targets
    assert (loaded.warnings, loaded.drop_in_problems) == ((), ())


def test_no_example_is_forgotten(examples: Path) -> None:
    """Each YAML file here is a main file, is included by one, is a drop-in, or is the emulator's seed."""
    included = {path for name in MAIN_FILES for path in load(examples / name).files}

    assert set(examples.glob("*.yaml")) == included | {examples / "emulator-seed.yaml"}
