from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.errors import PublishError
from refresher.publishing.daemon_lock import RootHeldError, held_roots, is_daemon_running
from refresher.publishing.lock import DirectoryHeldError, open_lock, release_directory, take_directory
from tests.program import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Need

TENANT = 54_321


@contextmanager
def held(root: Path, name: str) -> Iterator[None]:
    """Lock a directory like another process, without waiting."""
    (root / name).mkdir(exist_ok=True)
    descriptor = os.open(root / name, os.O_RDONLY)
    try:
        with open_lock(root) as (_, lock):
            byte = take_directory(lock, os.fstat(descriptor), name, patience=0)
            yield
            release_directory(lock, byte)
    finally:
        os.close(descriptor)


def test_directory_is_in_one_pair_of_hands(root: Path) -> None:
    """A process with the lock of a directory keeps others out of this directory only."""
    with held(root, "alice"):
        with held(root, "bob"):
            pass
        with (
            pytest.raises(DirectoryHeldError, match="another process has been writing into"),
            held(root, "alice"),
        ):
            pass

    with held(root, "alice"):
        pass


def test_root_has_one_daemon(root: Path) -> None:
    """A second daemon is refused below the same root; the first one can still publish."""
    with held_roots() as hold:
        hold(root)
        hold(root)
        with held_roots() as second:
            opened = len(os.listdir("/proc/self/fd"))
            for _ in range(3):
                with pytest.raises(RootHeldError, match="another daemon"):
                    second(root)
            assert len(os.listdir("/proc/self/fd")) == opened
        with held(root, "alice"):
            pass

    with held_roots() as hold:
        hold(root)
        assert is_daemon_running(root)
    assert is_daemon_running(root) is False


@pytest.mark.parametrize("loss", ["lock removed", "root replaced"])
def test_root_whose_lock_is_gone_is_taken_again(root: Path, loss: str) -> None:
    """After the lock was removed, or the root replaced, the daemon takes it again before another one can."""
    with held_roots() as hold, held_roots() as second:
        hold(root)
        if loss == "lock removed":
            (root / ".lock").unlink()
        else:
            root.rename(root.with_name("former"))
        assert hold(root)
        assert not hold(root)

        with pytest.raises(RootHeldError):
            second(root)


def test_root_that_another_daemon_took_meanwhile_is_lost(root: Path) -> None:
    """A daemon that comes second after the lock was removed may not go on."""
    with held_roots() as hold, held_roots() as second:
        hold(root)
        (root / ".lock").unlink()
        second(root)

        with pytest.raises(RootHeldError):
            hold(root)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_tenant_can_hold_up_nobody(root: Path, umask: int) -> None:
    """No other user can open the lock file, and locks on files that they can open have no effect."""
    (root / "alice").mkdir()
    former = os.umask(umask)
    theirs = [os.open(place, os.O_RDONLY) for place in (root, root / "alice")]
    try:
        for descriptor in theirs:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with held_roots() as hold, held(root, "alice"):
            hold(root)
    finally:
        os.umask(former)
        for descriptor in theirs:
            os.close(descriptor)

    status = (root / ".lock").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, os.geteuid())


@pytest.mark.parametrize("kind", ["link", "folder", "readable", "another's"])
def test_lock_that_is_not_the_daemons_alone_is_refused(root: Path, tmp_path: Path, need: Need, kind: str) -> None:
    """Another file in the place of the lock is not used."""
    lock = root / ".lock"
    if kind == "link":
        lock.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.touch(mode=0o600)
    if kind == "readable":
        lock.chmod(0o644)
    if kind == "another's":
        need.root()
        os.chown(lock, TENANT, TENANT)

    with pytest.raises(PublishError), held(root, "a"):
        pass

    assert not (tmp_path / "elsewhere").exists()


WITHOUT_A_LOCK = """
import os, sys
from pathlib import Path
from refresher.publishing.daemon_lock import RootHeldError, held_roots
root = Path(sys.argv[1])
os.setuid(54321)
with held_roots() as hold, held_roots() as second:
    hold(root), hold(root)
    print(list(root.iterdir()), flush=True)
    sys.stdin.readline()
    hold(root)
    try:
        second(root)
    except RootHeldError:
        print("held")
"""


def test_root_that_cannot_hold_a_lock_is_locked_once_it_can(need: Need) -> None:
    """If the daemon cannot create a file, nothing is refused for that; once it can, no second daemon starts."""
    need.root()
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    try:
        with subprocess.Popen(
            [sys.executable, "-c", WITHOUT_A_LOCK, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "[]\n"
            os.chown(place, TENANT, TENANT)
            output, _ = process.communicate("go on\n", timeout=PATIENCE)
        assert (process.returncode, output) == (0, "held\n")
    finally:
        shutil.rmtree(place)


UNLOCKED = """
import fcntl, os, sys
from pathlib import Path
from refresher.publishing.daemon_lock import RootHeldError, held_roots, is_daemon_running
root, stranger, problems = Path(sys.argv[1]), sys.argv[2] == "stranger", []
ready, done = os.pipe(), os.pipe()
if stranger and os.fork() == 0:
    os.close(done[1])
    os.setuid(54322)
    fcntl.flock(os.open(root, os.O_RDONLY), fcntl.LOCK_EX)
    os.write(ready[1], b"x")
    os.read(done[0], 1)
    os._exit(0)
if stranger:
    os.read(ready[0], 1)
os.setuid(54321)
with held_roots(lambda error: problems.append(str(error))) as hold, held_roots() as second:
    print(is_daemon_running(root))
    hold(root), hold(root)
    print(is_daemon_running(root))
    try:
        second(root)
        print("second")
    except RootHeldError:
        print("held")
os.close(done[1])
print(len(problems), problems[0])
"""
MOUNTED = 'mount -t tmpfs -o mode=0755,uid=54321 t "$0" && mount -o remount,ro "$0" && exec "$@"'


@pytest.mark.parametrize(
    ("kind", "stranger", "seen", "reason"),
    [
        pytest.param("root's", "none", ["False", "True", "held"], "belongs to uid 0 (mode 0755)", id="root's"),
        pytest.param("root's", "stranger", ["None", "None", "second"], "chown 54321", id="stranger"),
        pytest.param("read-only", "none", ["False", "True", "held"], "Read-only file system", id="read-only"),
    ],
)
def test_root_without_a_lock_is_a_fault_and_has_one_daemon(
    need: Need, kind: str, stranger: str, seen: list[str], reason: str
) -> None:
    """Where it can create no lock the daemon reports why, once, and refuses a second; a tenant's refuses no one."""
    need.root()
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    command = [sys.executable, "-c", UNLOCKED, str(place), stranger]
    if kind == "read-only":
        unshare = need.tool("unshare", "apt-get install util-linux")
        command = [unshare, "-m", "sh", "-c", MOUNTED, str(place), *command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    finally:
        place.rmdir()

    *lines, fault = done.stdout.splitlines()
    assert lines == seen, done.stderr
    assert fault.startswith("1 ")
    assert reason in fault
    assert ".lock" in fault
    assert "a second daemon that does not see this one" in fault
