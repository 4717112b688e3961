"""What changed in the credentials directories behind the daemon's back; what differs is due at once.

The states of files are compared (inode, change time, size, owner, mode), never contents. A share of all directories is
looked at in each tick; those in which inotify shows a change, at once. Nothing is read under the lock: reading may
hang.
"""

from collections.abc import Collection
from contextlib import suppress
from threading import Lock

from refresher.engine.agenda import Agenda, Entry
from refresher.errors import PublishError
from refresher.publishing.directory import KnownState

SWEEP_TICKS = 5
"""Ticks in which every directory is looked at once."""


def look_for_drift(agenda: Agenda, lock: Lock, turn: int) -> None:
    """Make due what drifted in this turn's share; meanwhile the agenda may change."""
    with lock:
        entries = [*agenda.tokens][turn % SWEEP_TICKS :: SWEEP_TICKS]
    for entry in entries:
        _look(agenda, lock, entry)


def look_at(agenda: Agenda, lock: Lock, names: Collection[str]) -> None:
    """Make due what drifted of these targets, but for those that a worker is changing."""
    with lock:
        found = [agenda.get(name) for name in names]
        entries = [entry for entry in found if entry is not None and not agenda.is_busy(entry)]
    for entry in entries:
        _look(agenda, lock, entry)


def _look(agenda: Agenda, lock: Lock, entry: Entry) -> None:
    if (known := entry.state) is None:
        return
    found: KnownState | None = None
    with suppress(PublishError):
        found = KnownState.from_state(entry.target.directory.read_state())
    if found != known:
        with lock:
            if entry.state is known:  # else a worker was there meanwhile
                agenda.note_drift(entry, found)
