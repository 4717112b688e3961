"""When each further artifact is due next; each has a schedule of its own, apart from its target's token.

An artifact is handed out only while its target's file holds a token of ours: without one there is nothing to mint it
with. Of one identity few are handed out at a time, so that one whom nobody answers holds few threads. Callers hold the
lock; `refresher.engine.daemon` does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from refresher import policy
from refresher.engine.refresh import Result
from refresher.engine.workers import artifacts_lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from refresher.engine.artifacts import ArtifactOutcome
    from refresher.engine.target import MintedArtifact, Target

_WAIT = policy.CLOCK_SKEW
"""After an attempt that found nothing to mint with; a refreshed or drifted directory is looked at before."""

_AT_A_TIME = 4
"""Of one identity; more would only bring forward what lives an hour."""


@dataclass(slots=True, kw_only=True)
class ArtifactEntry:
    """What is known of one artifact between two attempts.

    Attributes:
        target: As the present plan has it.
        artifact: Which of its artifacts.
        next_at: When to look at it next; None for at once.
        failures: In a row.
        problem: Of the last attempt, if it failed.
        is_busy: Whether somebody is at it.
    """

    target: Target
    artifact: MintedArtifact
    next_at: datetime | None = None
    failures: int = 0
    problem: str | None = None
    is_busy: bool = False

    @property
    def lane(self) -> str:
        """Where to work on it: what failed before is kept apart from what may well come at once."""
        return artifacts_lane(self.target.impersonation, is_failing=self.failures > 0)

    @property
    def identity(self) -> object:
        """What artifacts that are minted in the same way, of the same account, have in common."""
        return (self.target.supply_key, self.target.impersonation)


class ArtifactAgenda:
    """The further artifacts of all targets of the present plan."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], ArtifactEntry] = {}
        self._siblings: dict[object, list[ArtifactEntry]] = {}
        self._busy: Counter[object] = Counter()

    def __iter__(self) -> Iterator[ArtifactEntry]:
        return iter(self._entries.values())

    def adopt(self, targets: Mapping[str, Target], *, new_suppliers: bool) -> None:
        """Take over a plan: what did not change keeps its moment, unless it failed and the suppliers are others."""
        former = self._entries
        self._entries = {}
        self._siblings = {}
        for name, target in targets.items():
            for artifact in target.minted:
                entry = former.get((name, artifact.name))
                if entry is None or entry.target != target:
                    entry = ArtifactEntry(target=target, artifact=artifact)
                elif new_suppliers and entry.failures:
                    entry.next_at = None
                self._entries[name, artifact.name] = entry
                self._siblings.setdefault(entry.identity, []).append(entry)

    def look_again(self, target: Target) -> None:
        """Let the artifacts of a target be due that nothing but its token held up, or all after a drift."""
        for artifact in target.minted:
            entry = self._entries.get((target.name, artifact.name))
            if entry is not None and not entry.failures:
                entry.next_at = None

    def reconsider(self) -> None:
        """Look at every artifact again, after the clock has jumped."""
        for entry in self._entries.values():
            entry.next_at = None

    def take_due(self, now: datetime, has_token: Callable[[str], bool]) -> list[ArtifactEntry]:
        """Hand out what is due; each is to be given back with `settle`."""
        return [entry for entry in self._entries.values() if self._take(entry, now, has_token)]

    def take_sibling(
        self, entry: ArtifactEntry, now: datetime, has_token: Callable[[str], bool]
    ) -> ArtifactEntry | None:
        """Hand out the next that is due of the same identity, which may have had to wait for this one."""
        siblings = self._siblings.get(entry.identity, ())
        return next((sibling for sibling in siblings if self._take(sibling, now, has_token)), None)

    def settle(self, entry: ArtifactEntry, outcome: ArtifactOutcome, now: datetime, draw: float) -> None:
        """Take an artifact back and set its next moment.

        Args:
            entry: As it was handed out.
            outcome: What the attempt did.
            now: The wall clock's time.
            draw: A random number in [0, 1) for the backoff after a failure.
        """
        entry.is_busy = False
        self._busy -= Counter([entry.identity])  # which forgets whom it counts none of
        entry.failures = entry.failures + 1 if outcome.error is not None else 0
        entry.next_at = _next_moment(entry, outcome, now, draw)

    def _take(self, entry: ArtifactEntry, now: datetime, has_token: Callable[[str], bool]) -> bool:
        if entry.is_busy or (entry.next_at is not None and entry.next_at > now) or not has_token(entry.target.name):
            return False
        if self._busy[entry.identity] >= _AT_A_TIME:
            return False
        entry.is_busy = True
        self._busy[entry.identity] += 1
        return True


def _next_moment(entry: ArtifactEntry, outcome: ArtifactOutcome, now: datetime, draw: float) -> datetime:
    name = f"{entry.target.name}/{entry.artifact.name}"
    life = None if outcome.issued_at is None or outcome.expires_at is None else (outcome.issued_at, outcome.expires_at)
    if outcome.error is not None:
        return policy.retry_at(
            now,
            failures=entry.failures,
            retryable=outcome.error.retryable,
            overdue_at=None if life is None else policy.overdue_at(*life),
            draw=draw,
        )
    if life is None or outcome.result is Result.UNCHANGED:
        return now + _WAIT
    return policy.due_at(name, *life)
