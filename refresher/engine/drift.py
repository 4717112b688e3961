"""What changed in the credentials directories behind the daemon's back; what differs is due at once.

The states of files are compared (inode, change time, size, owner, mode), never contents. A share of all directories is
looked at in each tick, and those in which a publication failed, which a person may just have put right; those in which
inotify shows a change, at once. Nothing is read under the lock: reading may hang.
"""

from collections.abc import Collection
from itertools import islice
from threading import Lock

from refresher.engine.agenda import Agenda, Entry
from refresher.publishing.directory import KnownState
from refresher.publishing.space import check_root

SWEEP_TICKS = 5
"""Ticks in which every directory is looked at once."""
_MOST_FAILING = 200
"""Directories in which a publication failed that are looked at in each tick."""


def look_for_drift(agenda: Agenda, lock: Lock, turn: int) -> None:
    """Make due what drifted in this turn's share; meanwhile the agenda may change.

    Raises:
        PublishError: Nothing can be written below the root, whether or not anything is due.
    """
    with lock:
        tokens = [*agenda.tokens]
        failing = [*islice((entry for entry in tokens if entry.left is not None), _MOST_FAILING)]
    for entry in (*tokens[turn % SWEEP_TICKS :: SWEEP_TICKS], *failing):
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
