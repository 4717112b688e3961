"""Whether a daemon keeps the targets of a root alive: who holds its lock, whether it is stopped, what it has not done.

A dead daemon does no harm until tokens expire, so its absence alone is information (`once` may run by a timer). It is a
problem as soon as something is due. A daemon that is stopped (SIGSTOP) keeps its lock: its state in proc(5) shows it,
or else that targets stay due which it could have refreshed.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from refresher import policy
from refresher.errors import PublishError
from refresher.observe.health import TargetHealth
from refresher.observe.remedies import REMEDIES, THIS_USER, choose_remedy
from refresher.policy import State
from refresher.publishing.daemon_lock import is_daemon_running
from refresher.publishing.space import check_root
from refresher.publishing.walk import LOCK
from refresher.users import DaemonUser

_MOST_NAMES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonHealth:
    """What is known of the daemon that publishes below a root.

    Attributes:
        is_running: Whether a process holds the lock; None if this user can't know.
        pid: That process; None if it does not exist, or can't be seen (another user's, or of another container).
        is_stopped: Whether it is known to be stopped.
        refreshed_at: When the last token or minted artifact was written, UTC; None if nothing was.
        problem: What the daemon leaves undone, with its `remedy`; None if nothing is due.
        late: The targets that it left due for too long, if that is the problem.
    """

    root: Path
    is_running: bool | None
    pid: int | None
    is_stopped: bool
    refreshed_at: datetime | None
    problem: str | None
    remedy: str | None
    late: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """One sentence about the process and its last refresh."""
        holder = {
            True: f"process {self.pid} holds {self.root}" if self.pid else f"a daemon holds {self.root}",
            False: f"no daemon holds {self.root}",
            None: self._describe_doubt(),
        }[self.is_running]
        last = f"; the last refresh was at {self.refreshed_at:%FT%TZ}" if self.refreshed_at else ""
        return f"{holder}{' and is stopped' if self.is_stopped else ''}{last}"

    def _describe_doubt(self) -> str:
        """Return why it is not known whether a daemon holds the root: it is lost, or closed to this user."""
        if not os.path.lexists(self.root):
            return f"{self.root} does not exist: a daemon may hold the former one, if it was unmounted or removed"
        if os.geteuid() == 0:
            return f"{self.root} has no lock that could be read, so whether a daemon holds it can't be known"
        return f"this user can't see whether a daemon holds {self.root}"


def examine_daemon(
    root: Path,
    verdicts: Sequence[TargetHealth],
    now: datetime,
    *,
    prompt: Collection[str] = (),
    daemon: DaemonUser = THIS_USER,
    proc_directory: Path = Path("/proc"),
) -> DaemonHealth:
    """Return what is known of the daemon of a root, from verdicts on its targets; changes nothing.

    `prompt` are the names of targets whose supplier returns a new token whenever it is asked: only those show, by a
    token that stays due, that the daemon does not work. Another supplier may return the same token until it is overdue.
    Remedies run commands as the user of `daemon`.
    """
    is_running = is_daemon_running(root)
    pid = find_holder(root, proc_directory) if is_running else None
    if is_running and pid is None and (daemons := _list_daemons(root, proc_directory)):
        # the lock of a daemon may be seen by root alone, since it may not be dumped; its state by every user
        is_stopped = all(_is_stopped(process) for process in daemons)
        pid = int(daemons[0].name) if is_stopped and len(daemons) == 1 else None
    else:
        is_stopped = pid is not None and _is_stopped(proc_directory / str(pid))
    due = [verdict.name for verdict in verdicts if _is_due(verdict)]
    late = [verdict.name for verdict in verdicts if verdict.name in prompt and _is_late(verdict, now)]
    problem = remedy = None
    if not is_running or is_stopped:
        late = []
    if is_stopped:
        process = f"process {pid}" if pid else "any of its user's"
        problem = f"the daemon, {process}, is stopped and refreshes nothing"
        remedy = f"resume it: kill -CONT {pid or 'PID'}; if it stays stopped: systemctl restart refresher"
    elif late:
        problem = f"the daemon has left {_join(late)} due for too long: it is stopped, or cannot refresh them"
        remedy = f"{REMEDIES[True]}; if its log is silent: systemctl restart refresher"
    elif is_running is False and due:
        problem = f"no daemon refreshes what is due: {_join(due)}"
        remedy = f"{choose_remedy(root, daemon)}; if a timer runs that, look why it did not (systemctl list-timers)"
    else:
        try:
            check_root(root)
        except PublishError as error:
            problem, remedy = error.problem, error.remedy
    written = [verdict.written_at for verdict in verdicts if verdict.written_at is not None]
    return DaemonHealth(
        root=root,
        is_running=is_running,
        pid=pid,
        is_stopped=is_stopped,
        refreshed_at=max(written, default=None),
        problem=problem,
        remedy=remedy,
        late=tuple(late),
    )


def _is_due(verdict: TargetHealth) -> bool:
    return any(state is not State.FRESH for state in (verdict.state, *(each.state for each in verdict.artifacts)))


def _is_late(verdict: TargetHealth, now: datetime) -> bool:
    """Return whether a daemon had the time of the longest spread for a refresh that was due."""
    if verdict.token is None or verdict.state is State.FRESH:
        return False
    issued_at, expires_at = verdict.token.issued_at, verdict.token.expires_at
    return now >= policy.due_at(verdict.name, issued_at, expires_at) + verdict.token.lifetime / 10


def _join(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")


def find_holder(root: Path, proc_directory: Path = Path("/proc")) -> int | None:
    """Return the process that holds the daemon's byte of a root's lock, by proc(5); None if it can't be seen.

    The kernel names no process for a lock of an open file, so those that have the file open are looked at.
    """
    try:
        lock = (root / LOCK).lstat()
        processes = sorted(
            (path for path in proc_directory.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)
        )
    except OSError:
        return None
    for process in processes:
        with suppress(OSError):  # it ended meanwhile, or is another user's
            if process.stat().st_uid == lock.st_uid and any(_list_held(process, lock)):
                return int(process.name)
    return None


def _list_daemons(root: Path, proc_directory: Path) -> list[Path]:
    """Return the processes of the lock's user that run `refresher run`, by proc(5): of this root, or of others."""
    found = []
    with suppress(OSError):
        user = str((root / LOCK).lstat().st_uid)
        for process in proc_directory.glob("[0-9]*"):
            with suppress(OSError, IndexError):  # it ended meanwhile
                words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
                names = [word.rpartition("/")[2] for word in words]
                owner = (process / "status").read_text().split("Uid:")[1].split()[0]
                if owner == user and "run" in names[names.index("refresher") + 1 :] if "refresher" in names else False:
                    found.append(process)
    return found


def _list_held(process: Path, lock: os.stat_result) -> Iterator[bool]:
    for descriptor in (process / "fd").iterdir():
        with suppress(OSError):
            if os.path.samestat(descriptor.stat(), lock):
                lines = (process / "fdinfo" / descriptor.name).read_text().splitlines()
                yield any(line.startswith("lock:") and line.split()[-2:] == ["0", "0"] for line in lines)


def _is_stopped(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False
