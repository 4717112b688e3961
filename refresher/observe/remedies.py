"""What to do about files that the daemon should have written: by whether it runs, and by whose its root is."""

from pathlib import Path
from shlex import quote

from refresher.files import read_state
from refresher.publishing.daemon_lock import is_daemon_running
from refresher.publishing.walk import LOCK
from refresher.users import DaemonUser

REMEDIES = {
    True: "read the daemon's log (journalctl -u refresher), fix what it reports, then: systemctl reload refresher",
    None: "read the daemon's log; without a daemon, start one, or run `refresher once`",
}
"""Where a daemon publishes below the root, and (None) where this user can't know; else see `choose_remedy`."""
START = "start the daemon (systemctl start refresher)"
TRIES_AGAIN = "the daemon tries again within five minutes, at once after systemctl reload refresher (SIGHUP)"
THIS_USER = DaemonUser()
"""For what the daemon itself judges, or where it is unknown who that is."""


def find_root_fault(root: Path, daemon: DaemonUser) -> str | None:
    """Return why nothing can be published below a root: it does not exist, or another user's is in its place."""
    state = read_state(root)
    if state is None:
        return f"directory_root {root} does not exist: it was not created yet, or it was unmounted"
    if daemon.uid in (None, 0, state.uid) or state.mode & 0o022 or read_state(root / LOCK) is not None:
        return None
    cause = "the file system that was mounted there is gone, or another user created it"
    return (
        f"directory_root {root} belongs to uid {state.uid}, and the daemon, uid {daemon.uid}, may not use it: {cause}"
    )


def find_lost_lock(root: Path) -> str | None:
    """Return what to do about a lock that belongs to root in a root of another user's, whose daemon created it."""
    lock, around = read_state(root / LOCK), read_state(root)
    if lock is None or around is None or lock.uid != 0 or around.uid == 0:
        return None
    place = root / LOCK
    return f"{place} belongs to uid 0, and {root} to uid {around.uid}: as root: chown {around.uid} {quote(str(place))}"


def choose_remedy(root: Path, daemon: DaemonUser = THIS_USER, *, blocked: Path | None = None) -> str:
    """Return what to do about a file that the daemon should have written; `blocked` is a path to remove first."""
    if blocked is not None:
        return f"remove what is in the way: rm -r {quote(str(blocked))}; then {choose_remedy(root, daemon)}"
    if find_root_fault(root, daemon) is not None:
        create = f"; else, as root: install -d -o {daemon.uid} -m 0755 {quote(str(root))}" if daemon.uid else ""
        again = f"a daemon that runs goes on by itself; without one, start it, or {daemon.suggest('once')}"
        return f"if {root} was a mount, mount it again{create}; {again}"
    is_running = is_daemon_running(root)
    if is_running is None:
        return f"read the daemon's log; without a daemon, {START}, or {daemon.suggest('once')}"
    return REMEDIES[True] if is_running else f"{START}, since none publishes there now; or {daemon.suggest('once')}"


def describe_retry(root: Path, daemon: DaemonUser) -> str:
    """Return what tries a failed artifact again, and how to try at once."""
    if is_daemon_running(root) is False:
        return f"then {START}, or {daemon.suggest('once')}"
    return TRIES_AGAIN
