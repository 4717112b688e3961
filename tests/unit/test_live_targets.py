"""`refresher.targets`, the interface for schedulers, without a daemon."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from refresher import targets
from refresher.app.explanation import list_unwatched
from refresher.config.loader import load
from refresher.errors import ConfigurationError, NotReadyError, RefresherError, UsageError
from refresher.settings.places import InvalidConfigurationError

TEXT = """\
version: 1
providers: {{main: {{project_number: "123456789012", pool: workers, provider: refresher}}}}
suppliers: {{worker: {{kind: self_issued, issuer: "https://workers.invalid", keys: keys}}}}
identities:
  alice: {{service_account: alice@my-project.iam.gserviceaccount.com, subject: user-1}}
  bob: {{service_account: bob@my-project.iam.gserviceaccount.com, subject: user-2}}
directory_root: {place}/run
targets: {{alice: {{}}}}
targets_directory: targets.d
"""
GROUP = f":{os.getegid()}"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration with one target and an empty directory of drop-ins."""
    return write_configuration(tmp_path)


def write_configuration(place: Path) -> Path:
    """Write that configuration."""
    (place / "targets.d").mkdir(mode=0o755)
    path = place / "refresher.yaml"
    path.write_text(TEXT.format(place=place))
    path.chmod(0o600)
    return path


def list_files(config: Path) -> list[str]:
    """Return the names of all files among the drop-ins, temporary ones too."""
    return sorted(os.listdir(config.parent / "targets.d"))


def test_added_target_is_what_was_asked_for(config: Path) -> None:
    """The drop-in has the whole body, and the daemon's own reading of it finds nothing wrong."""
    added = targets.add(
        "task",
        config=config,
        identity="bob",
        owner=GROUP,
        mode="0440",
        container_directory="/var/run/google",
        artifacts={"access_token": True, "id_tokens": {"api": {"audience": "https://api.example.com"}}},
    )

    loaded = load(config)
    target = loaded.targets["task"]
    assert loaded.drop_in_problems == ()
    assert (target.identity, target.gid, target.mode) == ("bob", os.getegid(), 0o440)
    assert (target.container_directory, target.artifacts.access_token) == ("/var/run/google", True)
    assert target.artifacts.id_tokens["api"].audience == "https://api.example.com"
    assert added == targets.Target(
        name="task",
        identity="bob",
        directory=config.parent / "run" / "task",
        container_directory="/var/run/google",
        drop_in=config.parent / "targets.d" / "task.yaml",
        is_new=True,
    )


def test_file_has_safe_owner_and_mode_whatever_the_umask(config: Path) -> None:
    """The daemon reads files of root and of its own user that no other user can write to."""
    former = os.umask(0)
    try:
        targets.add("task", config=config, identity="bob")
    finally:
        os.umask(former)

    status = (config.parent / "targets.d" / "task.yaml").stat()
    assert (status.st_uid, status.st_mode & 0o777) == (os.geteuid(), 0o644)
    assert list_files(config) == ["task.yaml"]


def test_same_body_again_changes_nothing(config: Path) -> None:
    """A scheduler may repeat a call; the file stays the same."""
    targets.add("task", config=config, identity="bob")
    before = (config.parent / "targets.d" / "task.yaml").stat()

    again = targets.add("task", config=config, identity="bob")

    assert not again.is_new
    assert (config.parent / "targets.d" / "task.yaml").stat().st_mtime_ns == before.st_mtime_ns


def test_another_body_is_refused_unless_it_is_asked_for(config: Path) -> None:
    """A name in use is not taken from its task by mistake."""
    targets.add("task", config=config, identity="bob")

    with pytest.raises(UsageError) as caught:
        targets.add("task", config=config, identity="alice")
    kept = load(config).targets["task"].identity
    replaced = targets.add("task", config=config, identity="alice", replace=True)

    assert "--replace" in caught.value.remedy
    assert (kept, replaced.identity, load(config).targets["task"].identity) == ("bob", "alice", "alice")


def test_broken_drop_in_of_the_name_is_kept_unless_it_is_asked_for(config: Path) -> None:
    """What another program wrote wrong is its own to correct."""
    broken = config.parent / "targets.d" / "task.yaml"
    broken.write_text("identity: [")
    broken.chmod(0o644)

    with pytest.raises(UsageError):
        targets.add("task", config=config, identity="bob")

    assert broken.read_text() == "identity: ["


def test_everything_that_is_wrong_is_reported_and_nothing_written(config: Path) -> None:
    """The mistakes are those that `check` reports for the same body."""
    with pytest.raises(InvalidConfigurationError) as caught:
        targets.add("task", config=config, identity="bbo", mode="999", owner="no-such-user", artifacts={"botto": True})

    wrong = " ".join(problem.problem for problem in caught.value.problems)
    assert [name for name in ("bbo", "999", "no-such-user", "botto") if name not in wrong] == []
    assert caught.value.exit_status == 2
    assert list_files(config) == []


def test_group_of_another_identity_is_refused(config: Path) -> None:
    """A target is checked against all others: no group may read the files of two identities."""
    targets.add("first", config=config, identity="alice", owner=":54321")

    with pytest.raises(InvalidConfigurationError, match="which can also read target first"):
        targets.add("second", config=config, identity="bob", owner=":54321")

    assert list_files(config) == ["first.yaml"]


@pytest.mark.parametrize("name", ["alice", "../up", ".hidden", "Task", ""])
def test_name_that_cannot_be_a_drop_in_is_refused(config: Path, name: str) -> None:
    """A name of the main file is taken, and a path is not a name."""
    with pytest.raises(ConfigurationError if name == "alice" else UsageError):
        targets.add(name, config=config, identity="bob")

    assert list_files(config) == []


def test_broken_neighbour_disturbs_nothing(config: Path) -> None:
    """A drop-in of another program that cannot be used keeps none from being added, and is listed with its problem."""
    broken = config.parent / "targets.d" / "broken.yaml"
    broken.write_text("identity: nobody\n")
    broken.chmod(0o644)

    targets.add("task", config=config, identity="bob")

    listed = {each.name: each for each in targets.list_targets(config=config)}
    assert {name: each.identity for name, each in listed.items()} == {"alice": "alice", "task": "bob", "broken": None}
    assert "nobody" in str(listed["broken"].problem)
    assert listed["alice"].drop_in is None


def test_configuration_without_a_directory_of_drop_ins_is_explained(config: Path) -> None:
    """Where no drop-ins are read, none are written."""
    config.write_text(config.read_text().replace("targets_directory: targets.d\n", ""))

    for call in (targets.add, targets.remove):
        with pytest.raises(UsageError, match="has no targets_directory"):
            call("task", config=config)


def test_removal_is_repeatable(config: Path) -> None:
    """The first call removes the file, the second finds none; other drop-ins stay."""
    targets.add("task", config=config, identity="bob")
    targets.add("other", config=config, identity="bob")

    assert [targets.remove("task", config=config) for _ in range(2)] == [True, False]
    assert list_files(config) == ["other.yaml"]


@pytest.mark.parametrize(
    "change",
    [
        lambda config: targets.add("other", config=config, identity="alice"),
        lambda config: targets.remove("other", config=config),
    ],
)
def test_what_a_killed_scheduler_left_is_removed(config: Path, change: Callable[[Path], object]) -> None:
    """A half written drop-in goes at the next change, but not one that another scheduler may still write."""
    place = config.with_name("targets.d")
    old, young, other = (place / name for name in (f".a.yaml.{'0' * 16}", f".b.yaml.{'1' * 16}", ".c.yaml.swp"))
    for path in (old, young, other):
        path.write_text("ident")
    for path in (old, other):
        os.utime(path, (0, 0))

    change(config)

    assert [path.exists() for path in (old, young, other)] == [False, True, True]


def test_target_of_a_refused_configuration_can_be_removed(config: Path) -> None:
    """A task that ends is removed although an administrator has just broken the main file."""
    targets.add("task", config=config, identity="bob")
    config.write_text(config.read_text() + "identties: {}\n")

    assert targets.remove("task", config=config)
    with pytest.raises(InvalidConfigurationError):
        targets.add("task", config=config, identity="bob")


def test_unreadable_configuration_removes_nothing(config: Path) -> None:
    """Where the directory of drop-ins is not known, the mistake is reported."""
    targets.add("task", config=config, identity="bob")
    config.write_text("version: [")

    with pytest.raises(InvalidConfigurationError):
        targets.remove("task", config=config)

    assert list_files(config) == ["task.yaml"]


def test_many_schedulers_add_and_remove_at_a_time(config: Path) -> None:
    """All names arrive whole; of one name that all want, one body wins, and the others get an error."""

    def work(number: int) -> str:
        targets.add(f"task-{number}", config=config, identity="bob")
        if number % 2:
            targets.remove(f"task-{number}", config=config)
        try:
            return str(targets.add("wanted", config=config, identity="bob", mode=f"04{number % 4}0").is_new)
        except RefresherError as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(work, range(40)))

    assert list_files(config) == sorted(["wanted.yaml", *(f"task-{number}.yaml" for number in range(0, 40, 2))])
    assert outcomes.count("True") == 1
    assert outcomes.count("False") == 9
    assert load(config).drop_in_problems == ()


def test_wait_explains_what_is_missing(config: Path) -> None:
    """Without a daemon, a target is not ready in time; a refused and an unknown one need no waiting."""
    broken = config.parent / "targets.d" / "broken.yaml"
    broken.write_text("identity: nobody\n")
    broken.chmod(0o644)

    def explain(name: str, **more: tuple[str, ...]) -> str:
        with pytest.raises(RefresherError) as caught:
            targets.wait(name, config=config, timeout=timedelta(seconds=0.05), **more)  # type: ignore[arg-type]  # of artifacts only
        return f"{type(caught.value).__name__}: {caught.value.problem}"

    assert explain("alice").startswith(f"{NotReadyError.__name__}: ")
    assert explain("broken").startswith("NotReadyError: target broken is not in force")
    assert explain("nobody") == "UsageError: there is no target nobody"
    assert explain("alice", artifacts=("boto",)) == "UsageError: target alice has no artifact boto"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    "change",
    [
        lambda config: targets.add("new", config=config, identity="bob"),
        lambda config: targets.remove("task", config=config),
    ],
)
def test_user_without_rights_learns_who_has_them(change: Callable[[Path], object]) -> None:
    """The error names the directory and the users that may change it."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        config = write_configuration(Path(place))
        config.chmod(0o644)
        targets.add("task", config=config, identity="bob")
        os.seteuid(65534)
        try:
            with pytest.raises(ConfigurationError) as caught:
                change(config)
        finally:
            os.seteuid(0)

    assert caught.value.problem == f"user 65534 may not change {place}/targets.d"
    assert caught.value.remedy == "run this as root"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_adds_where_the_directory_is_the_daemons(config: Path) -> None:
    """Root trusts drop-ins of the owner of directory_root, who is the daemon, and the daemon trusts root's."""
    (config.parent / "run").mkdir()
    for path in (config.parent / "run", config.parent / "targets.d"):
        os.chown(path, 65534, 65534)
    targets.add("task", config=config, identity="bob")
    os.chown(config.parent / "targets.d" / "task.yaml", 65534, 65534)

    targets.add("more", config=config, identity="bob")

    assert {each.name for each in targets.list_targets(config=config) if each.problem is None} == {
        "alice",
        "task",
        "more",
    }


def test_import_is_light() -> None:
    """A scheduler that imports it gets neither Google's libraries nor the daemon's."""
    heavy = "('google.auth', 'requests', 'urllib3', 'apscheduler', 'click', 'cryptography')"
    program = f"import sys, refresher.targets; print([each for each in {heavy} if each in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("count", "most", "warned"), [(1000, 8192, False), (10_000, 8192, True)])
def test_check_compares_the_targets_with_the_limit_of_watches(count: int, most: int, warned: bool) -> None:  # noqa: FBT001 - of a table
    """If the kernel allows fewer watches than there are targets, the warning has the command that helps."""
    (*warnings,) = list_unwatched(count, most)

    assert [warning.remedy for warning in warnings] == (["sysctl fs.inotify.max_user_watches=20000"] if warned else [])
