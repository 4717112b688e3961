"""What changed in the credentials directories behind the daemon's back: a share of them is looked at in each tick.

The states of files are compared (inode, change time, size, owner, mode), never contents; what differs is due at once.
"""

from collections.abc import Callable
from threading import Lock

from refresher.engine.agenda import Agenda
from refresher.errors import PublishError

SWEEP_TICKS = 5
"""Ticks in which every directory is looked at once."""


def look_for_drift(agenda: Agenda, lock: Lock, turn: int, interrupt: Callable[[], None]) -> None:
    """Make due what drifted in this turn's share; `interrupt` is called often, and may change the agenda."""
    with lock:
        share = [*agenda.tokens][turn % SWEEP_TICKS :: SWEEP_TICKS]
    for entry in share:
        interrupt()
        if (known := entry.state) is None:
            continue
        try:
            has_drifted = entry.target.directory.read_state() != known
        except PublishError:
            has_drifted = True
        with lock:
            if has_drifted and entry.state is known:  # else it was refreshed meanwhile
                entry.next_at = None
                agenda.look_again(entry.target)
