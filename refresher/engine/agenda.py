"""What is due next: one moment for each job, its failures in a row, and whether a worker has it.

A job is a target's token or one of its optional artifacts; both are the same to the agenda. It decides *when*, and
hands a job out to one worker at a time, never more of a group than its limit (targets of one identity would ask for the
same token; artifacts of an identity that Google does not answer must hold few threads). It keeps no thread waiting:
what failed carries the moment of its next attempt. Callers hold the lock; `refresher.engine.daemon` does.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from refresher import policy
from refresher.engine.outcome import Life, Outcome, Result
from refresher.engine.plan import MintedArtifact, Target
from refresher.policy import State
from refresher.publishing.directory import UNSEEN, KnownState, is_another_directory

_UNSEEN = KnownState.from_state(UNSEEN)

_WAIT = policy.CLOCK_SKEW
"""After an attempt that found no subject token to mint with; a refreshed or drifted directory is looked at before."""

_ARTIFACTS_AT_A_TIME = 4
"""Of one identity; more would only bring forward what lives an hour."""

_NEVER = datetime.max.replace(tzinfo=UTC)

Key = tuple[str, str]
"""Name of the target, and name of its optional artifact; empty for its token."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One job, and what is known of it between two attempts.

    Attributes:
        target: As the present plan has it.
        artifact: Which of its optional artifacts; None for its token.
        next_at: When to work on it next; None for at once.
        failures: In a row.
        problem: The problem of the last attempt, if it failed.
        life: The life of what its file held after the last attempt.
        state: The directory's state after the last attempt, or at a look that found none; of tokens only.
        former_state: The same, one attempt earlier.
        left: The directory's state after an attempt that could not open it or write in it; None after any other.
        has_news: Whether its files or its listener may have changed while a worker had it.
        is_known: Whether this process has worked on it before, without a failure.
        warned: The last state of a failing file that was reported.
    """

    target: Target
    artifact: MintedArtifact | None = None
    next_at: datetime | None = None
    failures: int = 0
    problem: str | None = None
    life: Life | None = None
    state: KnownState | None = None
    former_state: KnownState | None = None
    left: KnownState | None = None
    has_news: bool = False
    is_known: bool = False
    warned: State | None = None

    @property
    def key(self) -> Key:
        """What names the job."""
        return (self.target.name, "" if self.artifact is None else self.artifact.name)

    @property
    def spread_name(self) -> str:
        """What spreads its moment: the target's name, or the target's and the artifact's."""
        return self.target.name if self.artifact is None else "/".join(self.key)

    def compute_state(self, now: datetime) -> State:
        """Return the state of what its file is known to hold."""
        if self.life is None:
            return State.ABSENT
        return policy.compute_state(self.spread_name, self.life.issued_at, self.life.expires_at, now)

    @property
    def group(self) -> tuple[object, ...]:
        """What jobs that ask for the same thing have in common."""
        if self.artifact is None:
            return ("token", self.target.supply_key)
        return ("artifact", self.target.supply_key, self.target.impersonation)

    @property
    def at_a_time(self) -> int:
        """How many of its group may be worked on at a time."""
        return 1 if self.artifact is None else _ARTIFACTS_AT_A_TIME


class Agenda:
    """The jobs of the present plan, and which of them a worker has."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._groups: dict[tuple[object, ...], list[Entry]] = {}
        self._busy: dict[Key, Entry] = {}
        self._working: Counter[tuple[object, ...]] = Counter()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    @property
    def is_idle(self) -> bool:
        """Whether no worker has a job."""
        return not self._busy

    def is_busy(self, entry: Entry) -> bool:
        """Return whether a worker has a job."""
        return entry.key in self._busy

    def get(self, name: str, artifact: str = "") -> Entry | None:
        """Return the entry of a target's token or artifact; None if the plan has none."""
        return self._entries.get((name, artifact))

    @property
    def tokens(self) -> Iterator[Entry]:
        """The entries of tokens: one for each target."""
        return (entry for entry in self._entries.values() if entry.artifact is None)

    def adopt(self, targets: Mapping[str, Target], *, has_new_suppliers: bool = False) -> None:
        """Take over a plan: unchanged jobs keep their moment, new and changed ones are due at once.

        With new suppliers jobs that failed are due at once too, since the reason may be gone.
        """
        # in a large fleet one target changes at a time
        former = {
            key: entry
            for key, entry in self._entries.items()
            if has_new_suppliers or targets.get(key[0]) is not entry.target
        }
        for group in {entry.group for entry in former.values()}:
            remaining = [entry for entry in self._groups.pop(group) if entry.key not in former]
            if remaining:
                self._groups[group] = remaining
        for key in former:
            del self._entries[key]
        for target in targets.values():
            if (target.name, "") in self._entries:
                continue
            for artifact in (None, *target.minting):
                entry = Entry(target=target, artifact=artifact)
                known = former.get(entry.key)
                if known is not None and known.target == target and known.artifact == artifact:
                    entry = known
                    entry.target = target
                    if has_new_suppliers and entry.failures:
                        entry.next_at = None
                elif known is not None and known.target.directory.path == target.directory.path:
                    entry.is_known, entry.failures = known.is_known, known.failures  # a success is then a recovery
                self._add(entry)

    def forget(self) -> None:
        """Take nothing for known of what files hold, since their root is another one: all is due, as at a start.

        How a job that is under way ends is void.
        """
        former, self._entries, self._groups = self._entries, {}, {}
        for known in former.values():
            self._add(Entry(target=known.target, artifact=known.artifact, failures=known.failures))

    def take_due(self, now: datetime) -> list[Entry]:
        """Hand out what is due, the files that expire first at the front; each is to be given back."""
        due = [entry for entry in self._entries.values() if self._is_due(entry, now)]
        due.sort(key=lambda entry: _NEVER if entry.life is None else entry.life.expires_at)
        return [entry for entry in due if self._take(entry)]

    def take_sibling(self, done: Entry, now: datetime) -> Entry | None:
        """Hand out the next due job of the same group, which had to wait for this one."""
        siblings = self._groups.get(done.group, ())
        return next((entry for entry in siblings if self._is_due(entry, now) and self._take(entry)), None)

    def take_again(self, name: str) -> list[Entry]:
        """Make a target's token due and hand it out; after the attempt that is under way, if there is one."""
        entry = self.get(name)
        if entry is None:
            return []
        entry.next_at, entry.has_news = None, self.is_busy(entry)
        return [] if entry.has_news or not self._take(entry) else [entry]

    def has_sibling(self, entry: Entry) -> bool:
        """Return whether another job asks for the same thing."""
        return len(self._groups.get(entry.group, ())) > 1

    def give_back(self, entry: Entry) -> None:
        """Take a job back from a worker; it may be worked on again."""
        if self._busy.pop(entry.key, None) is not None:
            self._working[entry.group] -= 1
            if self._working[entry.group] <= 0:
                del self._working[entry.group]

    def is_wanted(self, entry: Entry) -> bool:
        """Return whether the present plan has this very job: the plan may have changed since it was handed out."""
        return self._entries.get(entry.key) is entry

    def settle(self, entry: Entry, outcome: Outcome, now: datetime, draw: float) -> None:
        """Note how a job ended, and when it is due next; `draw` in [0, 1) is the jitter after a failure."""
        entry.is_known = entry.is_known or outcome.error is None
        if outcome.error is None or outcome.life is not None or outcome.state is not None:
            entry.life = outcome.life  # else nothing was looked at, and what was there is taken to be there still
        state = None if outcome.state is None else KnownState.from_state(outcome.state)
        is_changed = outcome.result is Result.PUBLISHED or state != entry.state
        entry.former_state, entry.state = entry.former_state if entry.state is None else entry.state, state
        entry.left = None if outcome.left is None else KnownState.from_state(outcome.left)
        entry.failures = entry.failures + 1 if outcome.error is not None else 0
        entry.problem = None if outcome.error is None else outcome.error.problem
        entry.next_at = _compute_next_moment(entry, outcome, now, draw)
        if entry.has_news and outcome.error is None:
            entry.next_at = None
        entry.has_news = False
        if outcome.lacked_record and outcome.result is Result.PUBLISHED:
            for artifact in self._list_artifacts(entry.target):
                artifact.life = None  # the daemon itself withdrew it, with all that had no record
        if entry.artifact is None and is_changed:  # what changed since an artifact was looked at is in the state now
            self.look_again(entry.target)

    def look_again(self, target: Target) -> None:
        """Make the artifacts of a target due that have not failed, after its token was published or it drifted.

        One that a worker has is due once more afterwards.
        """
        for entry in self._list_artifacts(target):
            entry.has_news = self.is_busy(entry)
            if not entry.failures:
                entry.next_at = None

    def note_drift(self, token: Entry, found: KnownState) -> None:
        """Make the jobs of a target due, whose directory is in another state now."""
        token.next_at = None
        self.look_again(token.target)
        if found != _UNSEEN and is_another_directory(found, token.state):
            for entry in self._list_artifacts(token.target):
                entry.life = None  # what lay in the former directory was taken from no one
        if found.inode is None and found != _UNSEEN and token.state is not None:
            token.state = found  # else no attempt has found a directory that someone may hold

    def reconsider(self, now: datetime) -> None:
        """Work out every moment again from the files' own times, after the clock has jumped."""
        for entry in self._entries.values():
            if entry.life is None or policy.is_from_the_future(entry.life.issued_at, now):
                entry.next_at = None
            elif not entry.failures:
                entry.next_at = policy.due_at(entry.spread_name, entry.life.issued_at, entry.life.expires_at)
            else:
                entry.next_at = now

    def _add(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        self._groups.setdefault(entry.group, []).append(entry)

    def _list_artifacts(self, target: Target) -> list[Entry]:
        found = (self.get(target.name, artifact.name) for artifact in target.minting)
        return [entry for entry in found if entry is not None]

    def _is_due(self, entry: Entry, now: datetime) -> bool:
        if entry.next_at is not None and entry.next_at > now:
            return False
        if self.is_busy(entry):
            return False
        if entry.artifact is None:
            return True
        token = self._entries.get((entry.target.name, ""))
        return token is not None and token.life is not None  # else there is nothing to mint with

    def _take(self, entry: Entry) -> bool:
        if self._working[entry.group] >= entry.at_a_time:
            return False
        self._busy[entry.key] = entry
        self._working[entry.group] += 1
        return True


def _compute_next_moment(entry: Entry, outcome: Outcome, now: datetime, draw: float) -> datetime:
    life = entry.life  # where an attempt could not look, what is taken to be there still
    if outcome.error is not None:
        return policy.retry_at(
            now,
            failures=entry.failures,
            retryable=outcome.error.retryable,
            life=None if life is None else (life.issued_at, life.expires_at),
            draw=draw,
            retry_after=outcome.error.retry_after,
        )
    if life is None or outcome.result is Result.WAITING:
        return now + _WAIT if entry.artifact is not None else now
    if outcome.result is Result.UNCHANGED:
        return policy.poll_at(now, life.expires_at)
    return policy.due_at(entry.spread_name, life.issued_at, life.expires_at)
