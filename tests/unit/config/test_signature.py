from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from refresher.config.loader import read_signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.config.conftest import Workspace

CHANGES: dict[str, Callable[[Workspace], object]] = {
    "main file edited": lambda workspace: workspace.write(f"{workspace.main.read_text()}project: my-project\n"),
    "main file gone": lambda workspace: workspace.main.unlink(),
    "included file edited": lambda workspace: workspace.write("project: other-project\n", "more.yaml"),
    "drop-in added": lambda workspace: workspace.write("identity: alice", "targets.d/new.yaml"),
    "drop-in edited": lambda workspace: workspace.write("identity: alice", "targets.d/old.yaml"),
    "drop-in removed": lambda workspace: (workspace.drop_ins / "old.yaml").unlink(),
    "drop-in opened to others": lambda workspace: (workspace.drop_ins / "old.yaml").chmod(0o666),
    "directory opened to others": lambda workspace: workspace.drop_ins.chmod(0o777),
}


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    """Return a main file, an included file and a drop-in."""
    workspace.write(f"{workspace.valid}include: [more.yaml]\ntargets_directory: targets.d\n")
    workspace.write("project: my-project\n", "more.yaml")
    workspace.write("{}", "targets.d/old.yaml")
    return workspace


def test_differs_when_others_may_write_to_the_root(workspace: Workspace) -> None:
    """Opening the directory root to other users is a reason to load again; a new directory in it is not."""
    root = workspace.directory / "run"
    root.mkdir(mode=0o755)
    workspace.write(f"{workspace.main.read_text()}directory_root: {root}\n")
    loaded = workspace.load()
    before = read_signature(loaded)

    (root / "alice").mkdir()
    after_a_target = read_signature(loaded)
    root.chmod(0o777)

    assert after_a_target == before
    assert read_signature(loaded) != before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_differs_after_a_change(workspace: Workspace, change: Callable[[Workspace], object]) -> None:
    """Whatever could change the configuration changes the signature."""
    loaded = workspace.load()
    before = read_signature(loaded)

    change(workspace)

    assert read_signature(loaded) != before


def test_stays_the_same_without_a_change(workspace: Workspace) -> None:
    """The signature stays the same while nothing happens, also when a file with another suffix appears."""
    loaded = workspace.load()
    before = read_signature(loaded)

    workspace.write("x", "notes.txt")

    assert read_signature(loaded) == before


def test_follows_the_files_of_a_refused_configuration(workspace: Workspace) -> None:
    """A file that was missing is watched, so that its creation is noticed."""
    loaded = workspace.load()
    also = [workspace.directory / "late.yaml"]
    before = read_signature(loaded, also)

    workspace.write("x: 1", "late.yaml")

    assert read_signature(loaded, also) != before


def test_a_lost_directory_is_no_crash(workspace: Workspace) -> None:
    """A drop-in directory that was removed results in one more signature."""
    loaded = workspace.load()
    before = read_signature(loaded)
    (workspace.drop_ins / "old.yaml").unlink()

    workspace.drop_ins.rmdir()

    assert read_signature(loaded) != before
