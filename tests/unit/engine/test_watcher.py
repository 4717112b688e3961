import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refresher.engine.watcher import Watched, Watcher
from tests.conftest import Need
from tests.program import until

PATIENCE = 10.0
QUIET = 0.3


def fail() -> None:
    """Fail as a bug does."""
    raise ValueError("secret")


class Site:
    """A watched directory of drop-ins with a configuration file next to it."""

    def __init__(self, place: Path) -> None:
        self.main = place / "refresher.yaml"
        self.main.write_text("version: 1")
        self.drop_ins = place / "targets.d"
        self.drop_ins.mkdir()
        self.changed = threading.Event()
        self.complaints: list[str] = []
        self.watcher = Watcher(changed=self.changed.set, complain=lambda problem, _: self.complaints.append(problem))
        self.watch()

    def watch(self) -> None:
        """Do what each tick does."""
        self.watcher.watch(
            {
                self.main.parent: Watched(frozenset([self.main.name])),
                self.drop_ins: Watched(suffix=".yaml"),
            }
        )

    def add(self, name: str) -> None:
        """Write a drop-in like a scheduler."""
        temporary = self.drop_ins / f".{name}"
        temporary.write_text("{}")
        temporary.rename(self.drop_ins / name)

    def take(self) -> set[str] | None:
        """Wait for a change, and return what changed."""
        assert self.changed.wait(PATIENCE)
        time.sleep(0.05)  # the rest of what one change causes
        self.changed.clear()
        return self.watcher.take()[0]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a watcher at work."""
    made = Site(tmp_path)
    with made.watcher:
        yield made


def test_drop_ins_are_named_that_were_added_or_removed(site: Site) -> None:
    """The names of drop-ins come without their suffix, and are taken once."""
    site.add("task-1.yaml")
    added = site.take()
    (site.drop_ins / "task-1.yaml").unlink()

    assert added == {"task-1"}
    assert site.take() == {"task-1"}
    assert site.watcher.take() == (set(), set())


def test_hard_link_is_a_new_drop_in(site: Site) -> None:
    """A drop-in may be added by link(2), which replaces no other program's."""
    (site.drop_ins / ".task").write_text("{}")

    os.link(site.drop_ins / ".task", site.drop_ins / "task.yaml")

    assert site.take() == {"task"}


def test_drop_in_is_not_read_before_its_content_is_written(site: Site) -> None:
    """A file that a shell has just created is empty; it is a change when it is closed."""
    with (site.drop_ins / "task.yaml").open("w") as stream:
        assert not site.changed.wait(QUIET)
        stream.write("{}")

    assert site.take() == {"task"}


@pytest.mark.parametrize("name", [".task.yaml", "notes.txt"])
def test_other_files_are_no_change(site: Site, name: str) -> None:
    """Temporary files and files with another suffix bring nothing forward."""
    (site.drop_ins / name).write_text("{}")
    (site.main.parent / name).write_text("{}")

    assert not site.changed.wait(QUIET)


def test_everything_is_looked_at_after_a_change_of_the_main_file(site: Site) -> None:
    """A changed configuration file may change every target."""
    site.main.write_text("version: 2")

    assert site.take() is None


def test_everything_is_looked_at_after_the_kubelet_published_a_volume(site: Site) -> None:
    """A volume's files change when its link is replaced, and have no event of their own."""
    (site.drop_ins / "..new").symlink_to("nowhere")
    (site.drop_ins / "..new").rename(site.drop_ins / "..data")

    assert site.take() is None


def test_replaced_directory_is_watched_from_the_next_tick_on(site: Site) -> None:
    """When another directory takes its place, everything is looked at, and later drop-ins are named again."""
    site.drop_ins.rename(site.drop_ins.with_name("former"))
    site.drop_ins.mkdir()
    replaced = site.take()
    site.watch()
    site.changed.clear()
    site.watcher.take()

    site.add("task.yaml")

    assert replaced is None
    assert site.take() == {"task"}


def test_absent_directory_is_no_complaint(site: Site) -> None:
    """A directory that does not exist is reported by what reads it."""
    site.drop_ins.rmdir()

    site.watch()

    assert site.complaints == []


def test_lost_events_make_everything_be_looked_at(site: Site) -> None:
    """More events than the kernel keeps: what changed is unknown."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 50_000:
        pytest.skip("the kernel keeps more events than a test should cause")
    blocked = threading.Event()

    def hang() -> None:
        blocked.wait(PATIENCE)

    watcher = Watcher(changed=hang, complain=lambda *_: None)
    watcher.watch({site.drop_ins: Watched(suffix=".yaml")})
    root = site.main.parent / "run"
    (root / "alice").mkdir(parents=True)
    watcher.watch_targets(root, {"alice"})
    watcher.take()
    with watcher:
        for number in range(limit + 10):
            (site.drop_ins / f"{number % 7}.yaml").write_text("{}")
            (site.drop_ins / f"{number % 7}.yaml").unlink()
        blocked.set()
        deadline = time.monotonic() + PATIENCE
        while (taken := watcher.take())[0] is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.monotonic() < deadline
        assert taken[1] == {"alice"}


def test_limit_of_watches_is_complained_of_once(tmp_path: Path) -> None:
    """Without inotify the ticks still notice everything; the reason is reported once."""
    complaints: list[tuple[str, str]] = []
    watchers = []
    for _ in range(int(Path("/proc/sys/fs/inotify/max_user_instances").read_text()) + 1):
        watchers.append(Watcher(changed=lambda: None, complain=lambda *each: complaints.append(each)))
        if complaints:
            break
    for watcher in watchers:
        watcher.watch({tmp_path: Watched()})
        with watcher:
            pass

    ((problem, remedy),) = complaints
    assert problem.startswith("changes are noticed within a second, not at once: inotify: Too many open files")
    assert remedy == "raise the limit: sysctl fs.inotify.max_user_instances"


def test_watching_that_is_asked_for_is_done_on_the_watchers_own_thread(site: Site, tmp_path: Path) -> None:
    """The tick asks only: a file system that does not answer holds up no tick."""
    other = tmp_path / "other"
    (other / "alice").mkdir(parents=True)

    site.watcher.ask({other: Watched(suffix=".yaml")}, other, {"alice"})
    time.sleep(0.1)
    (other / "task.yaml").write_text("{}")
    (other / "alice" / "token").write_text("x")
    assert site.changed.wait(PATIENCE)
    time.sleep(0.1)

    assert site.watcher.take() == ({"task"}, {"alice"})


@pytest.fixture
def root(site: Site) -> Path:
    """Return a directory root with one watched target."""
    place = site.main.parent / "run"
    (place / "alice").mkdir(parents=True)
    (place / "alice" / "token").write_text("x")
    site.watcher.watch_targets(place, {"alice"})
    assert site.watcher.take()[1] == {"alice"}
    return place


CHANGES: dict[str, Callable[[Path], object]] = {
    "replaced": lambda directory: (directory / "token").rename(directory / "other"),
    "rewritten": lambda directory: (directory / "token").write_text("y"),
    "deleted": lambda directory: (directory / "token").unlink(),
    "chmod 000": lambda directory: (directory / "token").chmod(0),
    "directory closed": lambda directory: directory.chmod(0),
    "directory removed": shutil.rmtree,
    "directory moved": lambda directory: directory.rename(directory.with_name("other")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_behind_the_daemons_back_names_the_target(
    site: Site, root: Path, change: Callable[[Path], object]
) -> None:
    """Whatever happens to a target's directory, it is named."""
    change(root / "alice")

    assert site.changed.wait(PATIENCE)
    assert site.watcher.take() == (set(), {"alice"})


def test_directory_that_is_watched_again_is_looked_at(site: Site, root: Path) -> None:
    """What befell a replaced directory before it was watched again was not seen, so its target is named."""
    shutil.rmtree(root / "alice")
    (root / "alice").mkdir()
    assert site.changed.wait(PATIENCE)
    time.sleep(0.05)
    site.changed.clear()
    site.watcher.take()

    site.watcher.ask({}, root, {"alice"})

    assert site.changed.wait(PATIENCE)
    assert site.watcher.take()[1] == {"alice"}


def test_target_is_looked_at_once_it_is_watched(site: Site, root: Path) -> None:
    """What befell a new directory before it was watched was not seen, so its target is named at the first watch."""
    (root / "bob").mkdir()

    site.watcher.ask({}, root, {"alice", "bob"})

    assert site.changed.wait(PATIENCE)
    assert site.watcher.take()[1] == {"bob"}


def test_directory_root_that_took_the_place_is_watched(site: Site, root: Path) -> None:
    """When another directory root has the name, the directories in it are watched, and no longer those it replaced."""
    root.rename(root.with_name("former"))
    (root / "alice").mkdir(parents=True)
    time.sleep(0.05)
    site.watcher.watch_targets(root, {"alice"})
    site.watcher.take()
    site.changed.clear()

    (root / "alice" / "token").write_text("y")

    assert site.changed.wait(PATIENCE)
    assert site.watcher.take()[1] == {"alice"}


def test_only_what_is_watched_needs_no_sweep(site: Site, root: Path) -> None:
    """A target without a directory, and one whose directory is gone, are not watched."""
    site.watcher.watch_targets(root, {"alice", "bob"})
    assert [site.watcher.is_watching(name) for name in ("alice", "bob")] == [True, False]

    shutil.rmtree(root / "alice")

    until(lambda: not site.watcher.is_watching("alice"), what="the end of the watch")


def test_temporary_file_of_the_daemon_is_no_change(site: Site, root: Path) -> None:
    """A file that is still to be renamed makes no one look."""
    (root / "alice" / ".token.0123456789abcdef.tmp").write_text("x")

    assert not site.changed.wait(QUIET)


def test_directory_that_took_the_place_is_watched_after_the_next_tick(site: Site, root: Path) -> None:
    """A target's directory that was created again is watched again; one that is not a target any more is not."""
    shutil.rmtree(root / "alice")
    (root / "alice").mkdir()
    site.changed.wait(PATIENCE)
    time.sleep(0.05)
    site.watcher.watch_targets(root, {"alice"})
    site.changed.clear()
    site.watcher.take()

    (root / "alice" / "token").write_text("y")
    assert site.changed.wait(PATIENCE)
    time.sleep(0.05)
    site.watcher.watch_targets(root, set())
    time.sleep(0.05)
    site.changed.clear()
    (root / "alice" / "token").write_text("z")

    assert not site.changed.wait(QUIET)


def test_tick_after_the_end_writes_to_no_other_file(tmp_path: Path) -> None:
    """Once a watcher has ended, asking it changes nothing: the number of its pipe may be another file's by then."""
    made = Site(tmp_path)
    with made.watcher:
        pass
    reused = [os.memfd_create(f"other-{number}") for number in range(8)]

    made.watcher.ask({}, tmp_path, frozenset())

    assert [os.fstat(descriptor).st_size for descriptor in reused] == [0] * len(reused)
    for descriptor in reused:
        os.close(descriptor)


def test_directory_that_may_not_be_read_is_named_with_its_remedy(tmp_path: Path, need: Need) -> None:
    """A directory that is closed to the daemon's user is reported by its path, with how to open it."""
    need.root()
    place = tmp_path / "closed"
    place.mkdir(mode=0o700)
    found: list[tuple[str, str]] = []
    watcher = Watcher(changed=lambda: None, complain=lambda *texts: found.append(texts))

    os.seteuid(65534)
    try:
        with watcher:
            watcher.watch({place: Watched()})
    finally:
        os.seteuid(0)

    ((problem, remedy),) = found
    assert problem == f"changes in {place} are noticed within a second, not at once: inotify: Permission denied"
    assert remedy == f"make it readable for the daemon's user: chmod o+rx {place}, or change its owner or group"


def test_bug_in_the_watcher_leaves_the_targets_to_the_sweep(tmp_path: Path) -> None:
    """A watcher whose thread ended does not count as watching, so that drift is looked for again; it is reported."""
    found: list[tuple[str, str]] = []
    (tmp_path / "alice").mkdir()
    watcher = Watcher(changed=fail, complain=lambda *texts: found.append(texts))
    with watcher:
        watcher.watch_targets(tmp_path, {"alice"})
        assert watcher.is_watching("alice")
        (tmp_path / "alice" / "token").write_text("x")
        until(lambda: found, what="the report")

        assert not watcher.is_watching("alice")
        assert watcher.take()[0] is None
    ((problem, remedy),) = found
    assert "the watcher of files: unexpected ValueError" in problem
    assert "secret" not in problem
    assert "report this" in remedy
