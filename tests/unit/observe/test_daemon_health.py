from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.observe.daemon_health import DaemonHealth, examine_daemon
from refresher.observe.health import ArtifactHealth, TargetHealth
from refresher.policy import State
from refresher.publishing.daemon_lock import held_roots
from refresher.tokens import peek
from tests.program import until
from tests.tokens import NOW, make_jwt

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from refresher.publishing.daemon_lock import held_roots
with held_roots() as hold:
    hold(Path(sys.argv[1]))
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory root without targets."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def build_verdict(state: State, *, artifact: State = State.FRESH, minutes: int = 0) -> TargetHealth:
    """Return a verdict on a token of an hour that was issued so many minutes ago."""
    token = peek(make_jwt(issued_at=NOW - timedelta(minutes=minutes)))
    return TargetHealth(
        name="alice",
        state=state,
        token=token,
        artifacts=(ArtifactHealth(name="access_token", state=artifact),),
        path="/t",
        runway=timedelta(0),
        problem=None,
        remedy=None,
        written_at=token.issued_at,
    )


@pytest.mark.parametrize(
    ("verdict", "is_loud"),
    [
        pytest.param(build_verdict(State.FRESH), False, id="fresh"),
        pytest.param(build_verdict(State.DUE, minutes=31), True, id="due"),
        pytest.param(build_verdict(State.ABSENT), True, id="absent"),
        pytest.param(build_verdict(State.FRESH, artifact=State.EXPIRED), True, id="artifact"),
    ],
)
def test_absence_of_a_daemon_is_a_problem_once_something_is_due(
    root: Path, verdict: TargetHealth, *, is_loud: bool
) -> None:
    """Without a daemon a timer may do its work: only what is due shows that no one does."""
    found = examine_daemon(root, [verdict], NOW)

    assert (found.is_running, found.pid, found.is_stopped) == (False, None, False)
    assert found.description.startswith(f"no daemon holds {root}; the last refresh was at {verdict.written_at:%FT%TZ}")
    assert (found.problem is not None) is is_loud
    if found.problem and found.remedy:
        assert found.problem.startswith("no daemon refreshes what is due: alice")
        assert "systemctl start refresher" in found.remedy
        assert "list-timers" in found.remedy


def test_process_that_holds_the_lock_is_named(root: Path) -> None:
    """The daemon's process is found by the lock, and it is not stopped."""
    with held_roots() as hold:
        hold(root)
        found = examine_daemon(root, [build_verdict(State.FRESH)], NOW, prompt=["alice"])

    assert (found.is_running, found.pid, found.is_stopped, found.problem) == (True, os.getpid(), False, None)
    assert found.description.startswith(f"process {os.getpid()} holds {root}; the last refresh was at 2026-01-01T00")


def test_stopped_daemon_is_named_with_the_command_that_resumes_it(root: Path) -> None:
    """A daemon that SIGSTOP stopped still holds the lock, and is reported before anything is due."""
    daemon = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert daemon.stdout is not None
    assert daemon.stdin is not None
    assert daemon.stdout.readline() == "held\n"
    daemon.send_signal(signal.SIGSTOP)

    def look() -> DaemonHealth | None:
        found = examine_daemon(root, [build_verdict(State.FRESH)], NOW)
        return found if found.is_stopped else None

    found = until(look, what="the daemon to stop")
    daemon.send_signal(signal.SIGCONT)
    daemon.communicate()

    assert (found.is_running, found.pid) == (True, daemon.pid)
    assert "is stopped and refreshes nothing" in found.problem
    assert f"kill -CONT {daemon.pid}" in found.remedy


@pytest.mark.parametrize(
    ("minutes", "prompt", "is_loud"),
    [
        pytest.param(31, ["alice"], False, id="within the spread"),
        pytest.param(37, ["alice"], True, id="after the spread"),
        pytest.param(37, [], False, id="supplier that may return the same token"),
    ],
)
def test_target_that_stays_due_shows_a_daemon_that_does_not_work(
    root: Path, minutes: int, prompt: list[str], *, is_loud: bool
) -> None:
    """A daemon whose process can't be seen is recognised by what it leaves due for longer than the spread."""
    verdict = build_verdict(State.DUE, minutes=minutes)

    with held_roots() as hold:
        hold(root)
        found = examine_daemon(root, [verdict], NOW, prompt=prompt, proc_directory=root)

    assert (found.pid, found.is_stopped) == (None, False)
    assert found.description.startswith(f"a daemon holds {root};")
    assert (found.problem is not None) is is_loud
    assert "alice due for too long" in (found.problem or "alice due for too long")


PYTHON = ["/opt/python3", "/opt/refresher/bin/refresher", "run"]
STOPPED, SLEEPS = "77 (a) b) T 1 1", "77 (refresher) S 1 1"


@pytest.mark.parametrize(
    ("processes", "is_stopped", "pid"),
    [
        pytest.param({77: (PYTHON, STOPPED, os.geteuid())}, True, 77, id="stopped"),
        pytest.param({77: (["python3", "-m", "refresher", "-v", "run"], STOPPED, os.geteuid())}, True, 77, id="module"),
        pytest.param({77: (PYTHON, SLEEPS, os.geteuid())}, False, None, id="sleeps"),
        pytest.param({77: (PYTHON, STOPPED, 54_321)}, False, None, id="another user's"),
        pytest.param({77: (["refresher", "status"], STOPPED, os.geteuid())}, False, None, id="another command"),
        pytest.param(
            {77: (PYTHON, STOPPED, os.geteuid()), 78: (PYTHON, SLEEPS, os.geteuid())}, False, None, id="one of two"
        ),
        pytest.param(
            {77: (PYTHON, STOPPED, os.geteuid()), 78: (PYTHON, STOPPED, os.geteuid())}, True, None, id="two of two"
        ),
    ],
)
def test_stopped_daemon_is_found_by_what_every_user_may_read(
    root: Path, tmp_path: Path, processes: dict[int, tuple[list[str], str, int]], pid: int | None, *, is_stopped: bool
) -> None:
    """Of a process that may not be dumped only root sees the open files; its command, user and state anyone does."""
    for number, (words, state, user) in processes.items():
        process = tmp_path / "proc" / str(number)
        process.mkdir(parents=True)
        (process / "cmdline").write_text("\0".join([*words, ""]))
        (process / "status").write_text(f"Name:\trefresher\nUid:\t{user}\t{user}\t{user}\t{user}\n")
        (process / "stat").write_text(state)

    with held_roots() as hold:
        hold(root)
        found = examine_daemon(root, [build_verdict(State.FRESH)], NOW, proc_directory=tmp_path / "proc")

    assert (found.is_stopped, found.pid) == (is_stopped, pid)
    assert (found.problem is not None) is is_stopped


def test_root_with_records_and_no_lock_does_not_show_whether_a_daemon_runs(root: Path) -> None:
    """Where the daemon may create no lock, nothing is claimed about it, and nothing is a problem."""
    (root / "alice").mkdir()
    (root / "alice" / ".target").touch()

    found = examine_daemon(root, [build_verdict(State.DUE, minutes=37)], NOW, prompt=["alice"])

    assert (found.is_running, found.problem) == (None, None)
    assert ("can't be known" if os.geteuid() == 0 else "can't see whether") in found.description


def test_root_that_was_lost_is_not_blamed_on_the_user(tmp_path: Path) -> None:
    """Of a root that does not exist, any user, root too, reads that a daemon may hold the former one."""
    found = examine_daemon(tmp_path / "gone", [], NOW)

    assert found.description == (
        f"{tmp_path}/gone does not exist: a daemon may hold the former one, if it was unmounted or removed"
    )
