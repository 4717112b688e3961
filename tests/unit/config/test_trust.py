from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from refresher.config.sources import LARGEST

if TYPE_CHECKING:
    from tests.conftest import Need
    from tests.unit.config.conftest import Workspace


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o1622])
def test_refuses_a_main_file_that_others_can_write_to(workspace: Workspace, mode: int) -> None:
    """A file that group or others may write to is refused with the command that fixes it."""
    workspace.write(workspace.valid).chmod(mode)

    (problem,) = workspace.problems()

    assert problem == (
        f"refresher.yaml:1:1: refresher.yaml has mode {mode:04o}: other users than its owner can write to it"
        " — read it through, then: chmod go-w refresher.yaml"
    )


def test_refuses_an_included_file_that_others_can_write_to(workspace: Workspace) -> None:
    """The same rule applies to an included file, and the problem is where it is included."""
    workspace.write(f"{workspace.valid}include: [more.yaml]\n")
    workspace.write("project: my-project\n", "more.yaml").chmod(0o664)

    (problem,) = workspace.problems()

    assert problem.startswith("refresher.yaml:10:11: more.yaml has mode 0664")


def test_judges_the_file_behind_a_link(workspace: Workspace) -> None:
    """A link to a file that others can write to is as bad as the file."""
    workspace.write(workspace.valid, "other.yaml").chmod(0o646)
    workspace.main.symlink_to("other.yaml")

    (problem,) = workspace.problems()

    assert "mode 0646" in problem


def test_refuses_a_file_of_another_user(workspace: Workspace, need: Need) -> None:
    """A file of a user that is neither root nor the daemon is refused with the command that fixes it."""
    need.root()
    os.chown(workspace.write(workspace.valid), 12345, 0)

    (problem,) = workspace.problems()

    assert "belongs to user 12345, neither to root nor to the daemon" in problem
    assert problem.endswith("chown 0 refresher.yaml")


def test_a_sticky_drop_in_directory_is_no_excuse(workspace: Workspace) -> None:
    """A user who may add files to the drop-in directory may add targets, sticky or not."""
    workspace.write(f"{workspace.valid}targets_directory: targets.d\n")
    workspace.drop_ins.chmod(0o1777)

    (problem,) = workspace.load().drop_in_problems

    assert workspace.shortened(problem.problem) == "targets.d has mode 1777: other users than its owner can write to it"


def test_refuses_a_drop_in_that_others_can_write_to(workspace: Workspace) -> None:
    """The same rule applies to a drop-in as to the main file; the others are not touched."""
    workspace.write(f"{workspace.valid}targets_directory: targets.d\n")
    workspace.write("identity: alice", "targets.d/bad.yaml").chmod(0o666)
    workspace.write("identity: alice", "targets.d/good.yaml")

    loaded = workspace.load()

    assert set(loaded.targets) == {"alice", "good"}
    assert [problem.location for problem in loaded.drop_in_problems] == [f"{workspace.drop_ins}/bad.yaml:1:1"]


def test_refuses_a_drop_in_that_is_a_link(workspace: Workspace) -> None:
    """A link in the drop-in directory is not followed, wherever it leads."""
    workspace.write(f"{workspace.valid}targets_directory: targets.d\n")
    workspace.write("identity: alice", "elsewhere.yaml")
    (workspace.drop_ins / "linked.yaml").symlink_to("../elsewhere.yaml")

    loaded = workspace.load()

    assert set(loaded.targets) == {"alice"}
    assert "is a symbolic link" in loaded.drop_in_problems[0].problem


def test_a_missing_main_file_is_a_problem(workspace: Workspace) -> None:
    """There is no configuration without a file."""
    assert workspace.problems() == ["refresher.yaml:1:1: refresher.yaml does not exist — create it, or fix the path"]


def test_a_directory_is_no_main_file(workspace: Workspace) -> None:
    """A directory at the path is named as such."""
    workspace.main.mkdir()

    assert workspace.problems() == ["refresher.yaml:1:1: refresher.yaml is not a regular file — name a regular file"]


def test_a_fifo_does_not_hang(workspace: Workspace) -> None:
    """A FIFO without a writer is refused at once."""
    os.mkfifo(workspace.main, 0o600)

    assert workspace.problems() == ["refresher.yaml:1:1: refresher.yaml is not a regular file — name a regular file"]


def test_a_fifo_as_drop_in_does_not_hang(workspace: Workspace) -> None:
    """A FIFO among the drop-ins is refused at once, and the others are read."""
    workspace.write(f"{workspace.valid}targets_directory: targets.d\n")
    os.mkfifo(workspace.drop_ins / "pipe.yaml", 0o600)

    assert "is not a regular file" in workspace.load().drop_in_problems[0].problem


def test_a_huge_file_is_refused_unread(workspace: Workspace) -> None:
    """A file beyond 64 MiB is refused by its size."""
    path = workspace.write("")
    os.truncate(path, LARGEST + 1)

    assert workspace.problems() == [
        "refresher.yaml:1:1: refresher.yaml is larger than 67108864 bytes — name a regular file"
    ]


def test_an_empty_main_file_is_a_problem(workspace: Workspace) -> None:
    """An empty main file configures nothing."""
    workspace.write("# nothing yet\n")

    assert workspace.problems() == [
        "refresher.yaml:1:1: the file is empty — write a configuration, beginning with configs/minimal.yaml"
    ]


def test_a_loop_of_links_is_a_problem(workspace: Workspace) -> None:
    """A link to itself ends in a clear sentence."""
    workspace.main.symlink_to(workspace.main.name)

    assert "a loop of them" in workspace.problems()[0]
