"""What is due next: for each target one moment, its failures in a row, and whether it is in somebody's hands.

The agenda decides *when* and hands out each target to one worker at a time: never two of one directory (a worker that
still writes for its former target must be done first), and never two of one identity (they would ask for the same
token). It keeps no thread waiting: what failed carries the moment of its next attempt. Callers hold the lock;
`refresher.engine.daemon` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refresher import policy
from refresher.engine.refresh import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from refresher.engine.refresh import Outcome, TokenFacts
    from refresher.engine.target import Target


@dataclass(slots=True, kw_only=True)
class Entry:
    """What is known of one target between two refreshes.

    Attributes:
        target: As the present plan has it.
        next_at: When to refresh it next; None for at once.
        failures: In a row.
        token: What its file held after the last refresh.
        signature: What its directory looked like after the last refresh.
        is_known: Whether this process has refreshed it before.
        force: Whether the next refresh replaces a fresh token too.
    """

    target: Target
    next_at: datetime | None = None
    failures: int = 0
    token: TokenFacts | None = None
    signature: tuple[object, ...] | None = None
    is_known: bool = False
    force: bool = False


class Agenda:
    """The entries of all targets of the present plan, and who is being worked on."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._siblings: dict[object, list[str]] = {}
        self._busy: set[object] = set()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str) -> Entry | None:
        """Give the entry of a target; None if the plan has no such target."""
        return self._entries.get(name)

    def adopt(self, targets: Mapping[str, Target], *, new_suppliers: bool = False) -> None:
        """Take over a plan: unchanged targets keep their moment, new and changed ones are due at once.

        Args:
            targets: Of the plan, by name.
            new_suppliers: Whether the suppliers are others than before. Then those targets are due at once too that
                failed, since it may be mended.
        """
        former = self._entries
        self._entries = {}
        self._siblings = {}
        for name, target in targets.items():
            entry = former.get(name)
            if entry is None or entry.target.directory != target.directory:
                entry = Entry(target=target)
            elif entry.target != target:
                entry = Entry(target=target, is_known=entry.is_known)
            elif new_suppliers and entry.failures:
                entry.next_at = None
            self._entries[name] = entry
            self._siblings.setdefault(target.supply_key, []).append(name)

    def take_due(self, now: datetime) -> list[Entry]:
        """Hand out what is due; each is to be given back with `settle`."""
        return [entry for entry in self._entries.values() if self._take(entry, now)]

    def take_sibling(self, target: Target, now: datetime) -> Entry | None:
        """Hand out the next due target of the same identity, which had to wait for this one."""
        names = self._siblings.get(target.supply_key, ())
        return next((entry for name in names if self._take(entry := self._entries[name], now)), None)

    def settle(self, target: Target, outcome: Outcome, now: datetime, draw: float) -> Entry | None:
        """Take a target back and set its next moment; None if the plan has changed or dropped it meanwhile.

        Args:
            target: As it was handed out.
            outcome: What its refresh did.
            now: The wall clock's time.
            draw: A random number in [0, 1) for the backoff after a failure.
        """
        self.give_back(target)
        entry = self._entries.get(target.name)
        if entry is None or not self.wants(target):
            return None
        entry.is_known, entry.force = True, False
        entry.token, entry.signature = outcome.token, outcome.signature
        entry.failures = entry.failures + 1 if outcome.error is not None else 0
        entry.next_at = _next_moment(entry, outcome, now, draw)
        return entry

    def wants(self, target: Target) -> bool:
        """Tell whether the present plan has this very target: the plan may have changed since it was handed out."""
        entry = self._entries.get(target.name)
        return entry is not None and entry.target is target

    def give_back(self, target: Target) -> None:
        """Take a target back without an outcome."""
        self._busy -= {target.supply_key, target.directory.path}

    def busy_paths(self) -> set[Path]:
        """Give the directories somebody is working in, perhaps for a target that is gone."""
        return {held for held in self._busy if isinstance(held, Path)}

    def reconsider(self, now: datetime) -> None:
        """Work out every moment again from the tokens' own times, after the clock has jumped."""
        for entry in self._entries.values():
            if entry.token is None or policy.is_from_the_future(entry.token.issued_at, now):
                entry.next_at = None
            elif not entry.failures:
                entry.next_at = policy.due_at(entry.target.name, entry.token.issued_at, entry.token.expires_at)
            else:
                entry.next_at = now

    def _take(self, entry: Entry, now: datetime) -> bool:
        if entry.next_at is not None and entry.next_at > now:
            return False
        held = {entry.target.supply_key, entry.target.directory.path}
        if not held.isdisjoint(self._busy):
            return False
        self._busy |= held
        return True


def _next_moment(entry: Entry, outcome: Outcome, now: datetime, draw: float) -> datetime:
    token = outcome.token
    if outcome.error is not None:
        return policy.retry_at(
            now,
            failures=entry.failures,
            retryable=outcome.error.retryable,
            overdue_at=None if token is None else policy.overdue_at(token.issued_at, token.expires_at),
            draw=draw,
        )
    if token is None:
        return now
    if outcome.result is Result.UNCHANGED:
        return policy.poll_at(now, token.expires_at)
    return policy.due_at(entry.target.name, token.issued_at, token.expires_at)
