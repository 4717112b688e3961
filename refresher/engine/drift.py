"""What changed in the credentials directories behind the daemon's back; what differs is due at once.

The states of files are compared (inode, change time, size, owner, mode), never contents. A share of all directories is
looked at in each tick, and those in which a publication failed, which a person may just have put right; those in which
inotify shows a change, at once, and the others that it watches seldom. Nothing is read under the lock: reading may
hang.
"""

from collections.abc import Callable, Collection
from itertools import islice
from threading import Lock

from refresher.engine.agenda import Agenda, Entry
from refresher.publishing.directory import KnownState
from refresher.publishing.space import check_root

SWEEP_TICKS = 5
"""Ticks in which every directory that inotify does not watch is looked at once."""
_WATCHED_SWEEPS = 12
"""Such rounds in which every other one is: inotify does not show a mount over it, nor what another link changed."""
_MOST_FAILING = 200
"""Directories in which a publication failed that are looked at in each tick."""


def look_for_drift(agenda: Agenda, lock: Lock, turn: int, is_watched: Callable[[str], bool]) -> None:
    """Make due what drifted in this turn's share; meanwhile the agenda may change.

    `is_watched` returns whether each change in a target's directory is known anyway.

    Raises:
        PublishError: Nothing can be written below the root, whether or not anything is due.
    """
    with lock:
        tokens = [*agenda.tokens]
        failing = [*islice((entry for entry in tokens if entry.left is not None), _MOST_FAILING)]
    round_, turn = divmod(turn, SWEEP_TICKS)
    for index, entry in enumerate(tokens[turn::SWEEP_TICKS]):
        if (index + round_) % _WATCHED_SWEEPS == 0 or not is_watched(entry.target.name):
            _look(agenda, lock, entry)
    for entry in failing:
        _look(agenda, lock, entry)
    for root in {entry.target.directory.root for entry in tokens[:1]}:
        check_root(root)


def look_at(agenda: Agenda, lock: Lock, names: Collection[str]) -> None:
    """Make due what drifted of these targets, but for those that a worker is changing."""
    with lock:
        found = [agenda.get(name) for name in names]
        entries = [entry for entry in found if entry is not None and not agenda.is_busy(entry)]
    for entry in entries:
        _look(agenda, lock, entry)


def _look(agenda: Agenda, lock: Lock, entry: Entry) -> None:
    known = entry.left if entry.state is None else entry.state
    if known is None:
        return
    found = KnownState.from_state(entry.target.directory.look())
    if found != known:
        with lock:
            if known is entry.state or known is entry.left:  # else a worker was there meanwhile
                agenda.note_drift(entry, found)
