from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from refresher.config.loading import rescan

if TYPE_CHECKING:
    from refresher.config.loading import LoadedConfiguration
    from tests.unit.config.conftest import Workspace

KNOWN = "known are: artifacts, container_directory, directory, identity, mode, owner"
RENAME = "rename it: a-z and 0-9, inside also - _ ., at most 63 characters, then .yaml"


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    """Give a valid main file with a drop-in directory."""
    text = workspace.valid.replace("identities:\n", "identities:\n  bob: {subject: user-1043}\n")
    workspace.write(f"{text}targets_directory: targets.d\n")
    return workspace


def _problems(workspace: Workspace, loaded: LoadedConfiguration) -> list[str]:
    return [workspace.shortened(str(problem)) for problem in loaded.drop_in_problems]


def test_a_drop_in_is_a_target(workspace: Workspace) -> None:
    """A file NAME.yaml holds the body of the target NAME."""
    workspace.write("identity: alice\nowner: 7:8\nmode: '0440'\n", "targets.d/train.yaml")

    loaded = workspace.load()

    target = loaded.targets["train"]
    assert (target.identity, target.uid, target.gid, target.mode) == ("alice", 7, 8, 0o440)
    assert str(target.directory) == "/run/refresher/train"
    assert target.location == f"{workspace.drop_ins}/train.yaml:1:1"
    assert loaded.drop_in_problems == ()


def test_an_empty_drop_in_is_an_empty_body(workspace: Workspace) -> None:
    """An empty file means what `{}` means: the identity of the same name."""
    workspace.write("", "targets.d/bob.yaml")

    assert workspace.load().targets["bob"].identity == "bob"


@pytest.mark.parametrize("name", [".hidden.yaml", "task.yml", "task.yaml.tmp", "README", ".task.yaml.x1"])
def test_other_files_are_not_read(workspace: Workspace, name: str) -> None:
    """Names that begin with a dot and other suffixes are none of ours."""
    workspace.write("{", f"targets.d/{name}")

    loaded = workspace.load()

    assert set(loaded.targets) == {"alice"}
    assert loaded.drop_in_problems == ()


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("task", "identity: alicia", '1:11: identity is "alicia", which is no identity — did you mean alice?'),
        (
            "task",
            "mode: '0400'",
            (
                "1:1: the target names no identity, and there is none of its own name"
                " — add identity: to it; known are: alice, bob"
            ),
        ),
        ("bob", "subject: root", f"1:1: subject is not a known key — {KNOWN}"),
        ("bob", "google: {emulator: true}", f"1:1: google is not a known key — {KNOWN}"),
        ("bob", "mode: 0440", '1:7: mode is 0440, a number to YAML, where text belongs — quote it: mode: "0440"'),
        (
            "bob",
            "{identity: alice, artifacts: {id_tokens: {a-b: {audience: x}, a.b: {audience: x}}}}",
            "1:30: artifacts.id_tokens.a.b would have its file named by the same variable as a-b — rename one",
        ),
        (
            "bob",
            "artifacts: {id_tokens: {api: {audience: x}}}",
            (
                "1:12: artifacts.id_tokens are of a service account, and the identity has none"
                " — delete them, or add service_account: to the identity"
            ),
        ),
        ("bob", "\nartifacts: {bot: true}", "2:13: artifacts.bot is not a known key — did you mean boto?"),
        (
            "bob",
            "directory: /etc/x",
            (
                '1:12: directory is "/etc/x", which is not below directory_root /run/refresher'
                " — move it to /run/refresher/bob"
            ),
        ),
        (
            "bob",
            "directory: /run/refresher/alice/x",
            (
                '1:12: directory is "/run/refresher/alice/x", inside that of target alice'
                " — give every target a place of its own"
            ),
        ),
        (
            "bob",
            "owner: no-such-user-here",
            (
                '1:8: owner is "no-such-user-here", unknown to this host'
                " — create it, or give the numbers USER:GROUP of the host"
            ),
        ),
        ("alice", "", "1:1: the target has the name of one at refresher.yaml:10:3 — delete one of the two"),
        ("bob", "[]", "1:1: the file holds a list or a single value, not a map — write lines of the form KEY: VALUE"),
        ("bob", "mode: '0400'\nmode: '0440'", '2:1: the key "mode" is there twice — delete one of the two'),
        ("Bob", "", f"1:1: the file's name is no name of a target — {RENAME}"),
    ],
)
def test_a_bad_drop_in_is_reported_and_left_out(workspace: Workspace, name: str, body: str, problem: str) -> None:
    """A mistake in a drop-in refuses that drop-in alone."""
    workspace.write(body, f"targets.d/{name}.yaml")

    loaded = workspace.load()

    assert _problems(workspace, loaded) == [f"targets.d/{name}.yaml:{problem}"]
    assert set(loaded.targets) == {"alice"}


def test_a_bad_edit_keeps_the_old_body(workspace: Workspace) -> None:
    """While an edit is wrong, the target stays as it was; once it is mended, it changes."""
    workspace.write("mode: '0440'", "targets.d/bob.yaml")
    first = workspace.load()
    workspace.write("mode: 0444", "targets.d/bob.yaml")
    second = workspace.load(first)
    third = workspace.load(second)
    workspace.write("mode: '0444'", "targets.d/bob.yaml")
    fourth = workspace.load(third)

    assert [loaded.targets["bob"].mode for loaded in (first, second, third, fourth)] == [0o440, 0o440, 0o440, 0o444]
    assert [len(loaded.drop_in_problems) for loaded in (first, second, third, fourth)] == [0, 1, 1, 0]


def test_a_drop_in_that_is_gone_is_gone(workspace: Workspace) -> None:
    """Removing the file removes the target."""
    path = workspace.write("", "targets.d/bob.yaml")
    first = workspace.load()
    path.unlink()

    second = workspace.load(first)

    assert "bob" in first.targets
    assert "bob" not in second.targets


def test_an_unchanged_drop_in_is_not_read_again(workspace: Workspace) -> None:
    """Only files whose stamp changed are parsed; the others are the very same settings."""
    workspace.write("", "targets.d/bob.yaml")
    first = workspace.load()
    workspace.write("identity: alice", "targets.d/train.yaml")

    second = workspace.load(first)

    assert second.scanned.drop_ins["bob"].settings is first.scanned.drop_ins["bob"].settings
    assert "train" in second.targets


def test_an_unchanged_drop_in_follows_a_change_of_the_main_file(workspace: Workspace) -> None:
    """When its identity goes, so does the target, although its file is the same; and it comes back."""
    valid = workspace.main.read_text()
    workspace.write("identity: bob", "targets.d/train.yaml")
    first = workspace.load()
    workspace.write(valid.replace("  bob: {subject: user-1043}\n", ""))
    second = workspace.load(first)
    workspace.write(valid)
    third = workspace.load(second)

    assert ["train" in loaded.targets for loaded in (first, second, third)] == [True, False, True]
    assert _problems(workspace, second) == [
        'targets.d/train.yaml:1:11: identity is "bob", which is no identity — known are: alice'
    ]


def test_the_older_file_wins_among_newcomers(workspace: Workspace) -> None:
    """Of two drop-ins that want one directory, whoever starts gives it to the file that has been there for longer."""
    body = "{identity: alice, directory: /run/refresher/x}"
    older = workspace.write(body, "targets.d/b.yaml").stat().st_ctime_ns
    while workspace.write(body, "targets.d/a.yaml").stat().st_ctime_ns <= older:
        pass

    loaded = workspace.load()

    assert set(loaded.targets) == {"alice", "b"}
    clause = 'directory is "/run/refresher/x", which is that of target b too'
    assert _problems(workspace, loaded) == [f"targets.d/a.yaml:1:30: {clause} — give every target a place of its own"]


def test_whoever_was_there_wins_against_a_newcomer(workspace: Workspace) -> None:
    """A newcomer cannot take a directory that is in use, whatever its name."""
    workspace.write("{identity: alice, directory: /run/refresher/x}", "targets.d/b.yaml")
    first = workspace.load()
    workspace.write("{identity: alice, directory: /run/refresher/x}", "targets.d/a.yaml")

    second = workspace.load(first)

    assert set(second.targets) == {"alice", "b"}


def test_a_move_to_a_taken_directory_keeps_the_old_one(workspace: Workspace) -> None:
    """An edit that wants another's directory is a bad edit, and a newcomer does not get the place meanwhile."""
    workspace.write("{identity: alice, directory: /run/refresher/x}", "targets.d/m.yaml")
    workspace.write("{identity: alice, directory: /run/refresher/y}", "targets.d/n.yaml")
    first = workspace.load()
    workspace.write("{identity: alice, directory: /run/refresher/y}", "targets.d/m.yaml")
    workspace.write("{identity: alice, directory: /run/refresher/x}", "targets.d/a.yaml")

    second = workspace.load(first)

    assert str(second.targets["m"].directory) == "/run/refresher/x"
    assert str(second.targets["n"].directory) == "/run/refresher/y"
    assert "a" not in second.targets
    assert len(second.drop_in_problems) == 2


def test_two_may_swap_their_directories(workspace: Workspace) -> None:
    """Edits that together make sense are taken together."""
    workspace.write("{identity: alice, directory: /run/refresher/x}", "targets.d/m.yaml")
    workspace.write("{identity: alice, directory: /run/refresher/y}", "targets.d/n.yaml")
    first = workspace.load()
    workspace.write("{identity: alice, directory: /run/refresher/y}", "targets.d/m.yaml")
    workspace.write("{identity: alice, directory: /run/refresher/x}", "targets.d/n.yaml")

    second = workspace.load(first)

    assert str(second.targets["m"].directory) == "/run/refresher/y"
    assert str(second.targets["n"].directory) == "/run/refresher/x"


def test_a_directory_that_cannot_be_read_keeps_all_targets(workspace: Workspace) -> None:
    """Losing the directory as a whole is a fault to report, not the removal of every target."""
    workspace.write("", "targets.d/bob.yaml")
    first = workspace.load()
    shutil.rmtree(workspace.drop_ins)

    second = workspace.load(first)

    assert "bob" in second.targets
    assert [problem.location for problem in second.drop_in_problems] == [f"{workspace.drop_ins}:1:1"]


def test_drop_ins_are_read_while_the_main_file_is_broken(workspace: Workspace) -> None:
    """A rescan with the last good main file lets a scheduler go on while an operator mends the file."""
    first = workspace.load()
    workspace.write("{")
    workspace.write("", "targets.d/bob.yaml")

    second = rescan(first)

    assert set(second.targets) == {"alice", "bob"}
