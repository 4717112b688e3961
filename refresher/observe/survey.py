"""The verdicts on all targets, kept up to date by a thread of its own, so that 10,000 of them are served at once.

The thread goes round the targets of the plan. A verdict holds until the files' state changes (`FileState`), or until
the moment at which their age alone changes it; looking at the state costs a fifth of an examination, and is left out in
most rounds where inotify shows that nothing changed. The thread rests fifteen times as long as it works, so a round
over 10,000 targets takes some seconds; `as_of` shows how old it is. A target that a probe asks for is looked at out of
turn. No token is kept, only what may be shown of it.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import NamedTuple, Self

from refresher import policy
from refresher.clock import Clock
from refresher.engine.plan import Target
from refresher.errors import PublishError, RefresherError, describe_bug
from refresher.observe import health
from refresher.observe.board import Board
from refresher.observe.health import ArtifactHealth, TargetHealth
from refresher.observe.report import as_document
from refresher.policy import State

_BATCH = 100
_REST = 15
"""How many times as long as it works the thread rests."""
_ROUND_SECONDS = 5.0
"""The shortest pause between two rounds: as often as the daemon looks for drift. Probes do not wait for a round."""
_WATCHED_ROUNDS = 12
"""Rounds in which the files of a target that inotify watches are looked at once all the same."""
_WAIT_SECONDS = 0.1
"""Between two looks for a first plan, or for someone who may ask."""
_ARTIFACTS_SECONDS = 60.0
"""How long a verdict on optional artifacts holds: the moments at which they age are not known here."""
_MOST_ASKED = 256
_NOTHING: Mapping[str, tuple[str, str]] = {}
_MOVING = ("remaining_seconds", "runway_seconds")
"""Members of a target's document that change every second."""


class Verdict(NamedTuple):
    """What is shown of one target; times are in seconds since the epoch.

    Attributes:
        name: The target's.
        identity: The name of its identity.
        state: The state of its token file.
        issued_at: When the token in the file was issued; None without one whose life is known.
        expires_at: When that token expires.
        serves: Whether what is in the file serves until it expires.
        artifacts: The optional artifacts.
        shortages: Problem and remedy of what a client lacks: of the token by the name "", of optional artifacts by
            theirs.
        note: What could not be checked; None if everything was.
        written_at: When its token or a minted artifact was last written, UTC; None if nothing was.
        members: The members of its JSON document that stand still, without braces.
        target: What was examined.
        files: A hash of the files' state; None if that could not be read.
        examined_at: When.
        changes_at: From when on the files must be examined again, changed or not.
    """

    name: str
    identity: str
    state: State
    issued_at: float | None
    expires_at: float | None
    serves: bool
    artifacts: tuple[ArtifactHealth, ...]
    shortages: Mapping[str, tuple[str, str]]
    note: str | None
    written_at: datetime | None
    members: str
    target: Target
    files: int | None
    examined_at: float
    changes_at: float

    def compute_runway(self, now: float) -> float:
        """Return how long what is in the file still serves at a time, in seconds; 0 if it does not."""
        return max(0.0, self.expires_at - now) if self.serves and self.expires_at is not None else 0.0

    def is_valid(self, target: Target, files: int | None, now: float) -> bool:
        """Return whether an examination of a target now would show the same."""
        is_same = files is not None and files == self.files and not self.shortages
        return is_same and self.examined_at <= now < self.changes_at and target == self.target


def build_verdict(target: Target, found: TargetHealth, files: int | None, now: datetime) -> Verdict:
    """Return what is shown of an examination."""
    document = as_document(found, now)
    members = json.dumps({key: value for key, value in document.items() if key not in _MOVING})[1:-1]
    token, parts = found.token, ("", *(each.name for each in found.artifacts))
    lacking = ((name, found.find_shortage(artifacts=(name,) if name else ())) for name in parts)
    return Verdict(
        name=target.name,
        identity=target.context.identity,
        state=found.state,
        issued_at=None if token is None else token.issued_at.timestamp(),
        expires_at=None if token is None else token.expires_at.timestamp(),
        serves=bool(found.runway),
        artifacts=found.artifacts,
        shortages={name: shortage for name, shortage in lacking if shortage} or _NOTHING,
        note=found.note,
        written_at=found.written_at,
        members=members,
        target=target,
        files=files,
        examined_at=now.timestamp(),
        changes_at=_find_next_change(target, found, now),
    )


def _find_next_change(target: Target, found: TargetHealth, now: datetime) -> float:
    """Return when the files' age changes the verdict next, in seconds since the epoch."""
    token, moment = found.token, now.timestamp()
    moments = [moment + _ARTIFACTS_SECONDS] if target.minted else []
    if token is not None:
        life = token.issued_at, token.expires_at
        moments += [
            each.timestamp()
            for each in (policy.due_at(target.name, *life), policy.overdue_at(*life), token.expires_at)
            if each > now
        ]
    return min(moments, default=moment + _ARTIFACTS_SECONDS)


class Survey:
    """The verdicts on the targets of the board's plan, from `__enter__` to `__exit__`.

    Attributes:
        as_of: Since this moment each verdict was found to hold, UTC; None before all targets were looked at once.
    """

    def __init__(
        self,
        board: Board,
        clock: Clock,
        report: Callable[[RefresherError], None],
        is_wanted: Callable[[], bool] = lambda: True,
        is_watched: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Create it.

        Args:
            board: Where the plan is.
            clock: Where the time comes from.
            report: Hears of a bug in the thread.
            is_wanted: Returns whether anyone may ask.
            is_watched: Returns whether `note` is called for each change in the directory of a target.
        """
        self._board = board
        self._clock = clock
        self._report = report
        self._is_wanted = is_wanted
        self._is_watched = is_watched
        self._touched: set[str] = set()
        self._found: dict[str, Verdict] = {}
        self._asked: Queue[tuple[tuple[str, ...], float, Callable[[], object]]] = Queue(_MOST_ASKED)
        self._round: Iterator[tuple[int, str]] = iter(())
        self._rounds = 0
        self._round_began: datetime | None = None
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="survey", daemon=True)
        self.as_of: datetime | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self.ask((), 0.0, bool)

    def list_all(self) -> list[Verdict]:
        """Return the verdicts on the targets of the plan that were looked at, in the order of the plan."""
        plan, found = self._board.plan, self._found
        return [found[name] for name in (() if plan is None else plan.targets) if name in found]

    def get(self, name: str) -> Verdict | None:
        """Return the verdict on a target; None if it was not looked at yet."""
        return self._found.get(name)

    def ask(self, names: tuple[str, ...], seconds: float, done: Callable[[], object]) -> bool:
        """Make the thread look at the files of targets, for at most this time; return whether it is going to.

        `done` is called on the thread afterwards, and must return at once.
        """
        try:
            self._asked.put_nowait((names, seconds, done))
        except Full:
            return False
        return True

    def note(self, names: Collection[str]) -> None:
        """Look at the files of these targets in the next round, since they may have changed; safe from any thread."""
        self._touched.update(names)

    def look(self, name: str) -> None:
        """Look at the files of a target, and examine them unless its verdict still holds."""
        plan = self._board.plan
        target = None if plan is None else plan.targets.get(name)
        if target is None:
            self._found.pop(name, None)
            return
        now = self._clock.now()
        self._touched.discard(name)
        try:
            files: int | None = hash(target.directory.read_state())
        except PublishError:
            files = None
        former = self._found.get(name)
        if former is None or not former.is_valid(target, files, now.timestamp()):
            self._found[name] = build_verdict(target, health.examine(target, now), files, now)

    def advance(self) -> float:
        """Look at the next few targets of the round, and return how long to rest then, in seconds."""
        if self._board.plan is None or not self._is_wanted():
            return _WAIT_SECONDS
        began, count = time.thread_time(), 0
        for index, name in islice(self._round, _BATCH):
            if (index + self._rounds) % _WATCHED_ROUNDS == 0 or not self._holds(name):
                self.look(name)
            count += 1
        if count == _BATCH:
            return _REST * (time.thread_time() - began) if self.as_of is not None else 0.0
        self.as_of, self._round_began = self._round_began, self._clock.now()
        names = tuple(self._board.plan.targets)
        for name in self._found.keys() - set(names):
            self._found.pop(name, None)
        self._round, self._rounds = enumerate(names), self._rounds + 1
        return 0.0 if self.as_of is None else max(_ROUND_SECONDS, _REST * (time.thread_time() - began))

    def _holds(self, name: str) -> bool:
        """Return whether a verdict holds without another look: nothing changed in its directory, nor by its age."""
        plan, verdict = self._board.plan, self._found.get(name)
        if plan is None or verdict is None or verdict.shortages or plan.targets.get(name) is not verdict.target:
            return False
        is_untouched = name not in self._touched and self._is_watched(name)
        return is_untouched and verdict.examined_at <= self._clock.now().timestamp() < verdict.changes_at

    def _run(self) -> None:
        rest_until = 0.0
        while not self._stopping.is_set():
            try:
                try:
                    rest = max(0.0, rest_until - time.monotonic())
                    names, seconds, done = self._asked.get(timeout=rest) if rest else self._asked.get_nowait()
                except Empty:
                    rest_until = time.monotonic() + self.advance()
                    continue
                deadline = time.monotonic() + seconds
                for name in names:
                    self.look(name)
                    if time.monotonic() > deadline:
                        break
                done()
            except Exception as bug:  # noqa: BLE001 - observers must not end: a bug is reported
                self._report(describe_bug("the survey of files", bug))
                rest_until = time.monotonic() + _ROUND_SECONDS


def format_time(moment: float) -> str:
    """Return a moment in seconds since the epoch as text, UTC, to the second."""
    return _format_second(int(moment))


@lru_cache(maxsize=8192)  # what many targets share: 10,000 times are written for one document
def _format_second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%FT%TZ}"
