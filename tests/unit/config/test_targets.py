from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from refresher.config.loader import rescan
from refresher.settings.places import InvalidConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.config.conftest import Workspace

TWO = """\
identities:
  alice: {{subject: user-1042, shared_identity: {alice}}}
  bob: {{subject: user-1043, shared_identity: {bob}}}
targets:
  alice: {{{one}}}
  train: {{identity: alice, {one}}}
  bob: {{{other}}}
"""


def _write_two(workspace: Workspace, one: str, other: str, *, shared: tuple[bool, bool] = (False, False)) -> None:
    alice, bob = (str(each).lower() for each in shared)
    head = workspace.valid.partition("identities:")[0]
    workspace.write(head + TWO.format(one=one, other=other, alice=alice, bob=bob))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("owner: ':1042'", "owner: ':1042'"),
        ("owner: '7:1042'", "owner: '8:1042'"),
        ("owner: '7:1042', mode: 0444", "owner: ':1042'"),
        ("mode: 0440", "mode: 0440"),
        ("mode: 0444", "owner: 8, mode: 0440"),
    ],
)
def test_a_group_that_reads_two_identities_is_refused(workspace: Workspace, one: str, other: str) -> None:
    """Files of two identities that one group could read are refused unless both accept that."""
    _write_two(workspace, one, other)
    (problem,) = workspace.problems()
    _write_two(workspace, one, other, shared=(True, False))
    (half,) = workspace.problems()
    _write_two(workspace, one, other, shared=(True, True))

    assert problem.startswith("refresher.yaml:12:3: targets.bob can be read by group ")
    assert ", which can also read target alice of another identity — " in problem
    assert half == problem
    assert set(workspace.load().targets) == {"alice", "train", "bob"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("owner: ':1042'", "owner: ':1043'"),
        ("owner: ':1042'", "owner: '8:1042', mode: 0400"),
        ("owner: 7", "owner: 7"),
        ("mode: 0404", "mode: 0404"),
    ],
)
def test_groups_that_read_one_identity_are_allowed(workspace: Workspace, one: str, other: str) -> None:
    """Targets of one identity may share a group, and a group that may not read does not matter."""
    _write_two(workspace, one, other)

    assert set(workspace.load().targets) == {"alice", "train", "bob"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory root that other users can write to."""
    path = tmp_path / "run"
    path.mkdir()
    path.chmod(0o777)
    return path


def _drop(workspace: Workspace, identity: str) -> None:
    workspace.write(f"identity: {identity}", f"targets.d/for-{identity}.yaml")


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_root_that_others_write_to_is_refused_with_two_identities(
    workspace: Workspace, root: Path, mode: int
) -> None:
    """A user who can rename directories could hand one target's token to another, so the configuration is refused."""
    root.chmod(mode)
    _write_two(workspace, "", "")
    workspace.write(f"{workspace.main.read_text()}directory_root: {root}\n")

    assert workspace.problems() == [
        (
            f"refresher.yaml:13:17: directory_root is run, which other users can write to (mode {mode:04o}), and the"
            " targets are of 2 identities: a user could hand one target's token to another — chmod go-w run"
        )
    ]


@pytest.mark.parametrize("mode", [0o755, 0o1777, 0o1775, 0o700])
def test_a_root_that_keeps_others_out_is_allowed_with_two_identities(
    workspace: Workspace, root: Path, mode: int
) -> None:
    """Sticky directories do not count: only its owner can rename an entry."""
    root.chmod(mode)
    _write_two(workspace, "", "")
    workspace.write(f"{workspace.main.read_text()}directory_root: {root}\n")

    assert len(workspace.load().targets) == 3


def test_a_root_that_others_write_to_is_judged_behind_a_link(workspace: Workspace, root: Path) -> None:
    """Of a root that is a symbolic link the directory behind it counts."""
    link = root.with_name("link")
    link.symlink_to(root)
    _write_two(workspace, "", "")
    workspace.write(f"{workspace.main.read_text()}directory_root: {link}\n")

    assert "directory_root is" in workspace.problems()[0]


def test_an_open_root_admits_drop_ins_of_one_identity(workspace: Workspace, root: Path) -> None:
    """The drop-in that brings a second identity is refused, and the others go on; a closed root admits all."""
    text = workspace.valid.replace("identities:\n", "identities:\n  bob: {subject: user-1043}\n")
    workspace.write(f"{text}targets_directory: targets.d\ndirectory_root: {root}\n")
    _drop(workspace, "alice")
    _drop(workspace, "bob")

    opened = workspace.load()
    root.chmod(0o755)
    closed = workspace.load(opened)
    root.chmod(0o777)
    opened_again = workspace.load(closed)

    problem = (
        "targets.d/for-bob.yaml:1:1: the target is of another identity than target alice, and other users can write"
        " to run (mode 0777): they could hand one target's token to the other — chmod go-w run"
    )
    for loaded in (opened, opened_again):
        assert [workspace.shortened(str(each)) for each in loaded.drop_in_problems] == [problem]
        assert set(loaded.targets) == {"alice", "for-alice"}
        assert loaded.reserved_names == frozenset({"alice", "for-alice", "for-bob"})
    assert set(closed.targets) == {"alice", "for-alice", "for-bob"}


def test_the_first_identity_has_an_open_root_for_itself(workspace: Workspace, root: Path) -> None:
    """Among drop-ins alone, the identity that has targets already keeps the root; a new one does not displace it."""
    text = workspace.valid.replace("identities:\n", "identities:\n  bob: {subject: user-1043}\n")
    text = text.replace("targets:\n  alice: {}\n", "")
    workspace.write(f"{text}targets_directory: targets.d\ndirectory_root: {root}\n")
    _drop(workspace, "bob")
    first = workspace.load()
    _drop(workspace, "alice")

    second = workspace.load(first)

    assert set(first.targets) == set(second.targets) == {"for-bob"}


def test_a_root_that_opens_later_refuses_the_main_file(workspace: Workspace, root: Path) -> None:
    """The root is looked at again although the main file did not change; drop-ins of its identities go on."""
    root.chmod(0o755)
    _write_two(workspace, "", "")
    workspace.write(f"{workspace.main.read_text()}directory_root: {root}\ntargets_directory: targets.d\n")
    _drop(workspace, "bob")
    first = workspace.load()
    root.chmod(0o777)

    with pytest.raises(InvalidConfigurationError):
        workspace.load(first)

    assert set(rescan(first).targets) == {"alice", "train", "bob", "for-bob"}
