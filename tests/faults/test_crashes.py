from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.tokens import peek

if TYPE_CHECKING:
    from tests.conftest import Need
    from tests.program import Worker

PUBLISHER = Path(__file__).with_name("killed_publisher.py")
KILLS = 300
KILLED = -9
FILL_AND_FORCE = """
mount -t tmpfs -o "$LIMIT" tmpfs "$ROOT" || exit 99
"$@" || exit 98
cat /dev/zero >"$ROOT/fill" 2>/dev/null
for number in 1 2 3 4 5 6 7 8 9; do mkdir "$ROOT/.x$number" 2>/dev/null; done
"$@" --force
status=$?
cat "$ROOT/alice/token" >"$COPY"
exit $status
"""
"""Publishes into a separate small file system, fills it, publishes again, and saves the token."""


def names_in(worker: Worker) -> list[str]:
    """Return the names in alice's directory, except the daemon's record."""
    return sorted(path.name for path in worker.directory("alice").iterdir() if path.name != ".target")


def inject(worker: Worker, need: Need, calls: str, fault: str) -> None:
    """Run the program under strace with a fault in some of its system calls."""
    strace = need.tool("strace", "apt-get install strace")
    trace = str(worker.place / "trace")
    worker.prefix = [strace, "-f", "-qq", "-o", trace, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"]


def test_sigkill_at_any_moment_leaves_a_whole_token(worker: Worker) -> None:
    """After each of 300 kills at random moments the file is a complete token, and the next start sweeps."""
    worker.once()
    arguments = [str(worker.configuration), str(worker.directory("alice") / "token"), str(KILLS)]

    done = subprocess.run(
        [sys.executable, str(PUBLISHER), *arguments], capture_output=True, text=True, check=False, timeout=110
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["left"] > KILLS / 20
    assert found["tokens"] > KILLS / 2


@pytest.mark.parametrize(
    ("calls", "number"), [("fchmod", 1), ("write", 1), ("fsync", 1), ("rename,renameat,renameat2", 1), ("fsync", 2)]
)
def test_crash_at_each_step_of_a_replacement(worker: Worker, need: Need, calls: str, number: int) -> None:
    """Killed at a system call of the replacement, the program leaves either the complete old token or the new one."""
    worker.once()
    before = worker.token("alice")
    inject(worker, need, calls, f"signal=KILL:when={number}")

    worker.once("--force", status=KILLED)
    worker.prefix = []

    seen, former = (peek(token).unverified_claims for token in (worker.token("alice"), before))
    assert seen is not None
    assert former is not None
    assert (seen.issuer, seen.subject, seen.key_id) == (former.issuer, former.subject, former.key_id)
    worker.once()
    assert names_in(worker) == ["credentials.json", "env", "token"]
    assert worker.status()["alice"]["state"] == "fresh"


@pytest.mark.parametrize("number", range(1, 7))
def test_crash_while_a_directory_is_filled(worker: Worker, need: Need, number: int) -> None:
    """Killed at any fsync of the first publication, there is no directory or all of it; the next run completes it."""
    inject(worker, need, "fsync", f"signal=KILL:when={number}")
    worker.once(status=KILLED)
    worker.prefix = []

    seen = names_in(worker) if worker.directory("alice").exists() else None

    assert seen in (None, ["credentials.json", "env", "token"])
    worker.once()
    assert names_in(worker) == ["credentials.json", "env", "token"]
    assert [path.name for path in worker.root.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize("number", range(1, 10))
def test_crash_while_an_empty_directory_is_filled(worker: Worker, need: Need, number: int) -> None:
    """Killed at any fsync in a directory that was empty, no `env` exists without a token; the next run completes it."""
    worker.directory("alice").mkdir(parents=True)
    worker.directory("alice").chmod(0o711)
    inject(worker, need, "fsync", f"signal=KILL:when={number}")
    worker.once(status=KILLED)
    worker.prefix = []

    seen = set(names_in(worker))

    assert "env" not in seen or {"token", "credentials.json"} <= seen
    assert "token" not in seen or "credentials.json" in seen
    worker.once()
    assert names_in(worker) == ["credentials.json", "env", "token"]


@pytest.mark.parametrize("calls", ["chmod,fchmodat", "rename,renameat,renameat2", "mkdirat"])
def test_crash_while_the_root_is_new(worker: Worker, need: Need, calls: str) -> None:
    """Killed at any step of creating the root, under any umask, a later run completes it for the files' readers."""
    inject(worker, need, calls, "signal=KILL:when=1")
    worker.run("once", "--config", str(worker.configuration), umask=0o077, status=KILLED)
    worker.prefix = []

    worker.run("once", "--config", str(worker.configuration), umask=0o077)

    assert [path.stat().st_mode & 0o777 for path in (worker.root, worker.directory("alice"))] == [0o755, 0o711]


@pytest.mark.parametrize(
    ("calls", "error", "remedy"),
    [
        ("rename,renameat,renameat2", "EIO", "check that disk"),
        ("rename,renameat,renameat2", "EBUSY", "mount the directory instead"),
        ("fsync", "ENOSPC", "free space"),
        ("fsync", "EDQUOT", "raise the quota"),
        ("fchmod", "EPERM", "lsattr"),
        ("fchmod", "EROFS", "mount that file system writable"),
    ],
)
def test_refused_system_call_changes_nothing(worker: Worker, need: Need, calls: str, error: str, remedy: str) -> None:
    """A replacement that the system refuses ends with status 4 and a remedy; every file stays, nothing is added."""
    worker.once()
    before = worker.files("alice")
    inject(worker, need, calls, f"error={error}")

    done = worker.once("--force", status=4)

    assert remedy in done.stderr
    assert worker.files("alice") == before


@pytest.mark.parametrize(
    ("limit", "remedy"),
    [("size=16k", "free space"), ("size=1m,nr_inodes=12", "remove files on that file system (`df")],
)
def test_full_disk_changes_nothing(worker: Worker, need: Need, limit: str, remedy: str) -> None:
    """On a full file system the present token stays complete, and the remedy is to free what is used up."""
    need.root()
    unshare = need.tool("unshare", "apt-get install util-linux")
    worker.root.mkdir()
    worker.environment = {"ROOT": str(worker.root), "COPY": str(worker.place / "copy"), "LIMIT": limit}
    worker.prefix = [unshare, "-m", "sh", "-c", FILL_AND_FORCE, "sh"]

    done = worker.once(status=4)

    assert remedy in done.stderr
    assert peek((worker.place / "copy").read_text()).unverified_claims is not None


def test_lack_of_descriptors_changes_nothing(worker: Worker, need: Need) -> None:
    """For any limit of open files, `once` either succeeds or shows the limit to raise; no token is changed."""
    prlimit = need.tool("prlimit", "apt-get install util-linux")
    names = [f"user-{number}" for number in range(30)]
    worker.configure(*names)
    worker.once()
    before = {name: worker.files(name) for name in names}

    ends = []
    for most in range(8, 20):
        worker.prefix = [prlimit, f"--nofile={most}"]
        ends.append(worker.once(status=None))

    assert {end.returncode for end in ends} == {0, 4}
    assert all("(LimitNOFILE=)" in end.stderr for end in ends if end.returncode)
    assert {name: worker.files(name) for name in names} == before
