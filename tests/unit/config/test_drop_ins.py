from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from refresher.config.loader import rescan

if TYPE_CHECKING:
    from refresher.config.loader import LoadedConfiguration
    from tests.unit.config.conftest import Workspace

KNOWN = "use one of: artifacts, container_directory, environment, identity, metadata, mode, owner"
RENAME = "use a-z and 0-9, inside also - _ ., at most 63 characters, then .yaml"
ACCOUNT = "service_account: bob@my-project.iam.gserviceaccount.com"
GROUPS = "use one group for each identity's targets, or set shared_identity: true in both identities"


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    """Return a valid main file with a drop-in directory."""
    text = workspace.valid.replace("identities:\n", "identities:\n  bob: {subject: user-1043}\n")
    workspace.write(f"{text}targets_directory: targets.d\n")
    return workspace


def _problems(workspace: Workspace, loaded: LoadedConfiguration) -> list[str]:
    return [workspace.shortened(str(problem)) for problem in loaded.drop_in_problems]


def test_a_drop_in_is_a_target(workspace: Workspace) -> None:
    """A file NAME.yaml holds the body of the target NAME."""
    workspace.write("identity: alice\nowner: 7:8\nmode: 0400\n", "targets.d/train.yaml")

    loaded = workspace.load()

    target = loaded.targets["train"]
    assert (target.identity, target.uid, target.gid, target.mode) == ("alice", 7, 8, 0o400)
    assert str(target.directory) == "/run/refresher/train"
    assert target.location == f"{workspace.drop_ins}/train.yaml:1:1"
    assert loaded.drop_in_problems == ()


def test_an_empty_drop_in_is_an_empty_body(workspace: Workspace) -> None:
    """An empty file means what `{}` means: the identity of the same name."""
    workspace.write("", "targets.d/bob.yaml")

    assert workspace.load().targets["bob"].identity == "bob"


@pytest.mark.parametrize("body", [b"[" + b"a," * 5_000_000 + b"]", b"a: 1\n" * 4_000, b"#" * 20_000])
def test_a_drop_in_is_no_larger_than_a_body_can_be(workspace: Workspace, body: bytes) -> None:
    """Ten megabytes are refused unread, with one problem; the other targets are unaffected."""
    workspace.write("", "targets.d/bob.yaml")
    (workspace.drop_ins / "train.yaml").write_bytes(body)
    (workspace.drop_ins / "train.yaml").chmod(0o600)
    began = time.process_time()

    loaded = workspace.load()

    (problem,) = _problems(workspace, loaded)
    assert problem == (
        "targets.d/train.yaml:1:1: targets.d/train.yaml is larger than 16384 bytes"
        " — write the body of one target there, in a regular file"
    )
    assert set(loaded.targets) == {"alice", "bob"}
    assert time.process_time() - began < 1  # read whole, it would take a quarter of a minute and a gigabyte


def test_the_problems_of_one_drop_in_are_bounded(workspace: Workspace) -> None:
    """Of fifteen hundred unknown keys twenty are reported, and how many more there are."""
    workspace.write("".join(f"k{number}: 1\n" for number in range(1_500)), "targets.d/train.yaml")

    problems = _problems(workspace, workspace.load())

    assert len(problems) == 21
    assert problems[19].startswith("targets.d/train.yaml:20:1: k19 is not a known key")
    assert problems[20] == (
        "targets.d/train.yaml:21:1: this and 1479 more are wrong in this file — fix those that are reported first"
    )


@pytest.mark.parametrize("name", [".hidden.yaml", "task.yml", "task.yaml.tmp", "README", ".task.yaml.x1"])
def test_other_files_are_not_read(workspace: Workspace, name: str) -> None:
    """Names that begin with a dot and other suffixes are ignored."""
    workspace.write("{", f"targets.d/{name}")

    loaded = workspace.load()

    assert set(loaded.targets) == {"alice"}
    assert loaded.drop_in_problems == ()
    assert loaded.reserved_names == frozenset({"alice"})


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        (
            "task",
            "identity: alicia",
            '1:11: identity is "alicia", which is not an identity — write alice if you mean that',
        ),
        (
            "task",
            "mode: '0400'",
            (
                "1:1: the target names no identity, and no identity has its name"
                " — add identity task again if it was removed by mistake, or correct the name if it is mistyped; "
                "delete this target only if no container uses it; "
                "if it acts as another identity, add identity: to it"
            ),
        ),
        ("bob", "subject: root", f"1:1: subject is not a known key — {KNOWN}"),
        ("bob", "google: {emulator: true}", f"1:1: google is not a known key — {KNOWN}"),
        (
            "bob",
            "mode: 0490",
            (
                "1:7: mode is 0490, and octal digits go from 0 to 7"
                " — write octal digits as for chmod, such as 0400 or 0440"
            ),
        ),
        (
            "bob",
            "{identity: alice, artifacts: {id_tokens: {a-b: {audience: x}, a.b: {audience: x}}}}",
            (
                "1:63: artifacts.id_tokens.a.b gets the same variable as a-b: its name differs only in - . _"
                " — rename one of them"
            ),
        ),
        (
            "bob",
            "artifacts: {id_tokens: {api: {audience: x}}}",
            (
                "1:13: artifacts.id_tokens are of a service account, and the identity has none"
                " — delete them, or add service_account: to the identity"
            ),
        ),
        ("bob", "\nartifacts: {bot: true}", "2:13: artifacts.bot is not a known key — write boto if you mean that"),
        (
            "bob",
            "directory: /run/refresher/elsewhere",
            (
                "1:1: directory is no longer a key: the directory of target NAME is always directory_root/NAME"
                " — delete it and mount that directory; to keep the path that the container sees,"
                " set container_directory"
            ),
        ),
        (
            "bob",
            "owner: no-such-user-here",
            (
                '1:8: owner is "no-such-user-here", unknown to this host'
                " — create it, or write the numbers USER:GROUP of the host"
            ),
        ),
        ("alice", "", "1:1: the target has the name of a target at refresher.yaml:10:3 — delete one of the two"),
        ("bob", "[]", "1:1: the file holds a list or a single value, not a map — write lines of the form KEY: VALUE"),
        ("bob", "mode: '0400'\nmode: '0440'", '2:1: the key "mode" appears twice — delete one of the two'),
        ("Bob", "", f"1:1: the file's name is not the name of a target — {RENAME}"),
    ],
)
def test_a_bad_drop_in_is_reported_and_left_out(workspace: Workspace, name: str, body: str, problem: str) -> None:
    """A mistake in a drop-in refuses that drop-in alone, and its name stays reserved."""
    workspace.write(body, f"targets.d/{name}.yaml")

    loaded = workspace.load()

    assert _problems(workspace, loaded) == [f"targets.d/{name}.yaml:{problem}"]
    assert set(loaded.targets) == {"alice"}
    assert loaded.reserved_names == frozenset({"alice", name})


def test_a_bad_edit_keeps_the_old_body(workspace: Workspace) -> None:
    """While an edit is wrong, the target stays as it was; once it is fixed, it changes."""
    workspace.write("mode: '0440'", "targets.d/bob.yaml")
    first = workspace.load()
    workspace.write("mode: 0449", "targets.d/bob.yaml")
    second = workspace.load(first)
    third = workspace.load(second)
    workspace.write("mode: '0444'", "targets.d/bob.yaml")
    fourth = workspace.load(third)

    assert [loaded.targets["bob"].mode for loaded in (first, second, third, fourth)] == [0o440, 0o440, 0o440, 0o444]
    assert [len(loaded.drop_in_problems) for loaded in (first, second, third, fourth)] == [0, 1, 1, 0]


def test_a_key_of_an_earlier_version_keeps_the_old_body(workspace: Workspace) -> None:
    """A drop-in that gets the key `directory` is a bad edit like any other."""
    workspace.write("mode: 0440", "targets.d/bob.yaml")
    first = workspace.load()
    workspace.write("{mode: 0400, directory: /run/refresher/x}", "targets.d/bob.yaml")

    second = workspace.load(first)

    assert second.targets["bob"].mode == 0o440
    assert len(second.drop_in_problems) == 1


def test_a_drop_in_that_is_removed_is_no_longer_a_target(workspace: Workspace) -> None:
    """Removing the file removes the target and frees its name."""
    path = workspace.write("", "targets.d/bob.yaml")
    first = workspace.load()
    path.unlink()

    second = workspace.load(first)

    assert "bob" in first.targets
    assert "bob" not in second.targets
    assert second.reserved_names == frozenset({"alice"})


def test_an_unchanged_drop_in_is_not_read_again(workspace: Workspace) -> None:
    """Only files whose state changed are parsed; the others are the very same settings."""
    workspace.write("", "targets.d/bob.yaml")
    first = workspace.load()
    workspace.write("identity: alice", "targets.d/train.yaml")

    second = workspace.load(first)

    assert second.scanned.drop_ins["bob"].settings is first.scanned.drop_ins["bob"].settings
    assert "train" in second.targets


def test_an_unchanged_drop_in_follows_a_change_of_the_main_file(workspace: Workspace) -> None:
    """When its identity is removed, so is the target, although its file is the same; and it comes back."""
    valid = workspace.main.read_text()
    workspace.write("identity: bob", "targets.d/train.yaml")
    first = workspace.load()
    workspace.write(valid.replace("  bob: {subject: user-1043}\n", ""))
    second = workspace.load(first)
    workspace.write(valid)
    third = workspace.load(second)

    assert ["train" in loaded.targets for loaded in (first, second, third)] == [True, False, True]
    assert [loaded.reserved_names for loaded in (first, second, third)] == [frozenset({"alice", "train"})] * 3
    assert _problems(workspace, second) == [
        (
            'targets.d/train.yaml:1:11: identity is "bob", which is not an identity — '
            "add identity bob again if it was removed by mistake, or correct the name if it is mistyped; "
            "delete this target only if no container uses it"
        )
    ]


def test_a_directory_that_cannot_be_read_keeps_all_targets_and_reserves_every_name(workspace: Workspace) -> None:
    """Losing the directory as a whole is a fault to report, not the removal of every target."""
    workspace.write("", "targets.d/bob.yaml")
    first = workspace.load()
    for name in ("carol", "dave"):
        workspace.write("identity: alice\n", f"targets.d/{name}.yaml")
    three = workspace.load()
    shutil.rmtree(workspace.drop_ins)

    second, many = workspace.load(first), workspace.load(three)
    fresh = workspace.load()

    assert "bob" in second.targets
    for loaded, held in ((second, "every target"), (fresh, "every target"), (many, "all 3 targets")):
        (problem,) = loaded.drop_in_problems
        assert problem.remedy.startswith("restore it, or mount it again, with its files")
        assert f"an empty directory removes {held} that it held" in problem.remedy
    assert [problem.location for problem in second.drop_in_problems] == [f"{workspace.drop_ins}:1:1"]
    assert first.reserved_names == frozenset({"alice", "bob"})
    assert (second.reserved_names, fresh.reserved_names) == (None, None)


def test_without_a_drop_in_directory_the_targets_are_reserved(workspace: Workspace) -> None:
    """A configuration without drop-ins reserves the names of its targets and no other."""
    workspace.write(workspace.valid)

    assert workspace.load().reserved_names == frozenset({"alice"})


def test_drop_ins_are_read_while_the_main_file_is_broken(workspace: Workspace) -> None:
    """A rescan with the last good main file lets a scheduler go on while an operator fixes the file."""
    first = workspace.load()
    workspace.write("{")
    workspace.write("", "targets.d/bob.yaml")

    second = rescan(first)

    assert set(second.targets) == {"alice", "bob"}


def test_a_group_that_reads_another_identity_refuses_the_drop_in(workspace: Workspace) -> None:
    """A drop-in whose group could read the files of another identity is refused; with another group it is a target."""
    main = workspace.main.read_text().replace("alice: {}", "alice: {owner: ':1042'}")
    workspace.write(main)
    workspace.write("owner: '7:1042'", "targets.d/bob.yaml")
    shared = workspace.load()
    workspace.write("owner: '7:1043'", "targets.d/bob.yaml")
    apart = workspace.load()

    assert _problems(workspace, shared) == [
        (
            "targets.d/bob.yaml:1:1: the target can be read by group 1042,"
            f" which can also read target alice of another identity — {GROUPS}"
        )
    ]
    assert set(shared.targets) == {"alice"}
    assert (set(apart.targets), apart.drop_in_problems) == ({"alice", "bob"}, ())


def test_a_new_drop_in_does_not_displace_one_that_has_the_group(workspace: Workspace) -> None:
    """Of two drop-ins that share a group, the one that is a target already stays one, whatever their names."""
    workspace.write("{identity: bob, owner: ':1042'}", "targets.d/z.yaml")
    first = workspace.load()
    workspace.write("{identity: alice, owner: ':1042'}", "targets.d/a.yaml")

    second = workspace.load(first)

    assert set(second.targets) == {"alice", "z"}
    assert [problem.location for problem in second.drop_in_problems] == [f"{workspace.drop_ins}/a.yaml:1:1"]


@pytest.mark.parametrize(
    ("main", "body", "problem"),
    [
        ("{netns: /run/netns/a}", "{netns: own}", "metadata.netns is own, which a drop-in can't name — name a path"),
        (
            "{netns: /run/netns/a}",
            "{netns: /run/netns/a}",
            (
                "metadata.netns is /run/netns/a, which is also that of target alice — "
                "use one network namespace for each target"
            ),
        ),
        (
            "{netns: own}",
            "{netns: /run/netns/a}",
            (
                "the target shares the daemon's own network namespace with target alice of another identity — "
                "use netns: own only where all targets are of one identity"
            ),
        ),
    ],
)
def test_a_drop_in_gets_no_namespace_of_another_identity(
    workspace: Workspace, main: str, body: str, problem: str
) -> None:
    """It can name neither the daemon's own namespace nor one that a target has, nor be a stranger next to the pod's."""
    text = (workspace.drop_ins.parent / "refresher.yaml").read_text()
    workspace.write(text.replace("alice: {}", f"alice: {{metadata: {main}}}").replace("bob: {", f"bob: {{{ACCOUNT}, "))
    workspace.write(f"identity: bob\nmetadata: {body}\n", "targets.d/train.yaml")

    loaded = workspace.load()

    assert [each.partition(" ")[2] for each in _problems(workspace, loaded)] == [problem]
    assert set(loaded.targets) == {"alice"}


def test_a_rescan_of_named_drop_ins_looks_at_these_alone(workspace: Workspace) -> None:
    """What inotify named is read, added or gone; what it did not name is as it was, until everything is looked at."""
    for name in ("kept", "gone", "edited"):
        workspace.write("identity: alice", f"targets.d/{name}.yaml")
    first = workspace.load()
    workspace.write("identity: bob", "targets.d/new.yaml")
    workspace.write("identity: bob", "targets.d/edited.yaml")
    workspace.write("identity: bob", "targets.d/unnamed.yaml")
    (workspace.drop_ins / "gone.yaml").unlink()

    named = rescan(first, {"new", "edited", "gone", "never"})
    full = rescan(named)

    identities = {name: target.identity for name, target in named.targets.items()}
    assert identities == {"alice": "alice", "kept": "alice", "edited": "bob", "new": "bob"}
    assert named.reserved_names == frozenset({"alice", "kept", "edited", "new"})
    assert named.targets["kept"] is first.targets["kept"]
    assert full.targets.keys() == named.targets.keys() | {"unnamed"}


@pytest.mark.parametrize("name", ["Train", "kept"])
def test_a_rescan_reports_a_file_that_has_no_valid_name_again(workspace: Workspace, name: str) -> None:
    """A misnamed file stays reported and reserved whichever files are named."""
    workspace.write("identity: alice", "targets.d/kept.yaml")
    workspace.write("identity: alice", "targets.d/Train.yaml")
    first = workspace.load()

    second = rescan(first, {name})

    assert second.drop_in_problems == first.drop_in_problems
    assert second.reserved_names == frozenset({"alice", "kept", "Train"})
