"""What changed in the credentials directories behind the daemon's back: a share of them is looked at in each tick.

The states of files are compared (inode, change time, size, owner, mode), never contents; what differs is due at once.
"""

from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from refresher.engine.agenda import Agenda
from refresher.errors import PublishError
from refresher.publishing.directory import DirectoryState

SWEEP_TICKS = 5
"""Ticks in which every directory is looked at once."""


def look_for_drift(agenda: Agenda, lock: Lock, turn: int, interrupt: Callable[[], None]) -> None:
    """Make due what drifted in this turn's share, with the lock released: reading may hang.

    Meanwhile `interrupt` is called often, and may change the agenda.
    """
    with lock:
        entries = [*agenda.tokens][turn % SWEEP_TICKS :: SWEEP_TICKS]
    for entry in entries:
        interrupt()
        if (known := entry.state) is None:
            continue
        found: DirectoryState | None = None
        with suppress(PublishError):
            found = entry.target.directory.read_state()
        if found != known:
            with lock:
                if entry.state is known:  # else a worker was there meanwhile
                    agenda.note_drift(entry, found)
