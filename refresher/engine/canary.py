"""The canary: whether Google still accepts what the files hold, by a real exchange and impersonation per identity.

A valid file proves nothing about the cloud side: a lost binding, a disabled provider or a deleted account stops every
container while all files are fresh. So the token in a target's file is exchanged now and then, and what comes back is
dropped. What a probe asks for is composed in `refresher.app`; when to ask, and what to report, is decided here. Files
and readiness do not depend on it. It asks for nothing that anyone waits for, so it is the first to stop when Google
answers 429 or 5xx, or not at all.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from threading import Lock

from refresher.catalogue.entries import get_entry
from refresher.clock import Clock
from refresher.engine.agenda import Entry
from refresher.engine.assessment import assess_token
from refresher.engine.causes import AGAIN, identify_cause
from refresher.engine.events import Severity, Value
from refresher.engine.exchanges import ExchangeHealth, ExchangeState, judge_failure
from refresher.engine.outcome import Life, Outcome, Result
from refresher.engine.plan import Plan, Probe, Target, group_changed
from refresher.engine.reporter import Reporter
from refresher.errors import THROTTLED, ExchangeError, ImpersonationError, PublishError, RefresherError, describe_bug
from refresher.policy import State
from refresher.publishing.artifacts import DESCRIPTIONS, TOKEN
from refresher.resources import Impersonation

_PER_TICK = 5
"""Probes that begin at a tick at most: many identities may change at once."""
_AT_A_TIME = 8
"""Probes under way at most: while names can't be looked up, each takes many seconds. So many may end in one tick, and
each is a line of the log of its own."""
_STARTING = timedelta(minutes=1)
"""In which the first probes after a start are spread."""
_ABSENT = timedelta(seconds=10)
"""Until the next look for a token, where no target of the identity has one to probe with."""
_RETRY, _PAUSE = timedelta(minutes=1), timedelta(minutes=1)
_DOUBLINGS = 4


@dataclass(slots=True, kw_only=True)
class _Round:
    """The probes of one identity: with whose tokens, when next, and what came of the last one."""

    targets: list[Target] = field(default_factory=list)
    next_at: datetime | None = None
    is_busy: bool = False
    health: ExchangeHealth | None = None
    fingerprints: dict[str, str | None] = field(default_factory=dict)
    """Of the token in each target's file at its last job."""

    def note_token(self, name: str, life: Life | None) -> bool:
        """Note which token a target's file holds, if any, and return whether it is another one than before."""
        if life is None:
            return False
        former = self.fingerprints.get(name, life.fingerprint)
        self.fingerprints[name] = life.fingerprint
        return former != life.fingerprint

    @property
    def failures(self) -> int:
        return 0 if self.health is None else self.health.failures

    @property
    def is_silent(self) -> bool:
        return self.health is not None and self.health.state is ExchangeState.UNANSWERED

    @property
    def ways(self) -> set[Impersonation]:
        return _list_ways(self.targets)


class Canary:
    """The probes of the present plan; safe to use from several threads.

    Args:
        reporter: Where refusals and recoveries are reported.
        clock: Where the time comes from.
        draw: Returns a random number in [0, 1).
    """

    def __init__(self, *, reporter: Reporter, clock: Clock, draw: Callable[[], float]) -> None:
        self._reporter = reporter
        self._clock = clock
        self._draw = draw
        self._lock = Lock()
        self._rounds: dict[str, _Round] = {}
        self._probe: Probe | None = None
        self._suppliers: object = None
        self._targets: Mapping[str, Target] = {}
        self._intervals: Mapping[str, timedelta] = {}
        self._paused_until: datetime | None = None
        self._silences = 0
        self._is_started = False
        self.throttled = 0
        """Probes since the start that a limit of requests stopped (HTTP 429)."""

    def adopt(self, plan: Plan) -> None:
        """Take over a plan: what is new or changed is probed at once, but at the start, which is spread."""
        with self._lock:
            is_asked_again = self._suppliers is not None and plan.suppliers is not self._suppliers
            if is_asked_again:  # as what failed is tried again at a reload
                self._paused_until = None
            former = {} if is_asked_again else self._targets
            self._probe, self._suppliers, self._targets = plan.probe, plan.suppliers, plan.targets
            self._intervals = plan.probe_intervals
            found = group_changed(former, plan.targets)
            found |= {name: [] for name in (() if former else self._rounds.keys() - found.keys())}
            for identity, targets in found.items():
                present = self._rounds.get(identity)
                if not targets or identity not in plan.probe_intervals:
                    self._rounds.pop(identity, None)
                    continue
                if present is None or (present.targets != targets and present.ways != _list_ways(targets)):
                    present = self._rounds[identity] = _Round()
                    if not self._is_started:
                        present.next_at = self._clock.now() + _STARTING * self._draw()
                elif is_asked_again and present.failures:
                    present.next_at = None
                present.targets = targets
            self._is_started = True

    def take_due(self, now: datetime) -> list[Callable[[], None]]:
        """Return a probe for each identity that is due, a few at a time; each is to be run once and does not raise."""
        with self._lock:
            if self._probe is None or (self._paused_until is not None and now < self._paused_until):
                return []
            due = [each for each in self._rounds.items() if not each[1].is_busy and (each[1].next_at or now) <= now]
            due.sort(key=lambda each: (each[1].next_at is not None, each[1].next_at or now))  # what changed goes first
            room = min(_PER_TICK, _AT_A_TIME - sum(each.is_busy for each in self._rounds.values()))
            taken = due[:room] if room > 0 else []
            silent = [each for each in due if each[1].is_silent]
            if len(taken) > 1 and silent and not any(each[1].is_silent for each in taken):
                # in a large fleet too, one shows how long a silence lasts; it keeps no other from its turn
                taken[-1] = max(silent, key=lambda each: each[1].failures)
            for _, chosen in taken:
                chosen.is_busy = True
            return [partial(self._attempt, identity, chosen, self._probe) for identity, chosen in taken]

    def note(self, entry: Entry, outcome: Outcome) -> None:
        """Take a job of the daemon's into account: an exchange for an artifact is as good as a probe.

        So is an access token that leads a directory without a pool. A subject token that was published is probed at
        once, also one that another process has put there, whose signature no one has verified; and so is an identity
        for which Google did not mint. What an earlier exchange's grant minted proves nothing of the provider: grants
        outlive it by up to an hour.
        """
        identity = entry.target.context.identity
        is_minted = entry.artifact is not None or entry.target.impersonation.is_own
        with self._lock:
            found = self._rounds.get(identity)
            if found is None:
                return
            is_news = found.health is None or found.health.state is ExchangeState.ACCEPTED
            if outcome.error is not None and is_minted and is_news:
                found.next_at = None
            if not is_minted:
                is_another = found.note_token(entry.target.name, outcome.life)
                if is_another or outcome.result is Result.PUBLISHED:
                    found.next_at = None
        is_leading = is_minted and entry.artifact is None
        if (outcome.has_exchanged or is_leading) and outcome.result is Result.PUBLISHED:
            self._settle(identity, found, entry.target, None)

    def reconsider(self) -> None:
        """Make every identity due within a minute, after the clock has jumped."""
        now = self._clock.now()
        with self._lock:
            self._paused_until = None
            for each in self._rounds.values():
                each.next_at = now + _STARTING * self._draw()

    def list_health(self) -> list[ExchangeHealth]:
        """Return what is known of each identity that was probed."""
        with self._lock:
            paused_until = self._paused_until
            for each in self._rounds.values():
                next_at = each.next_at if paused_until is None else max(each.next_at or paused_until, paused_until)
                if each.health is not None and each.health.next_at != next_at:
                    each.health = replace(each.health, next_at=next_at)
            return [each.health for each in self._rounds.values() if each.health is not None]

    def _attempt(self, identity: str, chosen: _Round, probe: Probe) -> None:
        target, began = None, self._clock.now()
        try:
            target, way, token = self._find_token(chosen) or (None, None, "")
            if target is None or way is None:
                with self._lock:
                    chosen.next_at = self._clock.now() + _ABSENT
                return
            probe(way, token, self._clock.now())
            self._settle(identity, chosen, target, None)
        except RefresherError as error:
            self._settle(identity, chosen, target or chosen.targets[0], error, began)
        except Exception as bug:  # noqa: BLE001 - a bug in one identity's probe must not end the thread
            failure = describe_bug(f"the probe of {identity}", bug)
            self._settle(identity, chosen, target or chosen.targets[0], failure, began)
        finally:
            with self._lock:
                chosen.is_busy = False

    def _find_token(self, chosen: _Round) -> tuple[Target, Impersonation, str] | None:
        """Return the first target with a published token that has not expired, the way from it, and the token."""
        for target in tuple(chosen.targets):
            way = target.impersonation
            if way.is_own:
                return target, way, ""
            try:
                is_ours = target.directory.read_record() == target.record
                found = assess_token(target, target.directory.read((TOKEN, DESCRIPTIONS)), self._clock.now())
            except PublishError:  # the job that renews the token reports it
                continue
            if not is_ours or found.token is None or not found.is_ours or found.state is State.EXPIRED:
                continue
            if way.subject is None and found.token.unverified_claims is not None:
                way = replace(way, subject=found.token.unverified_claims.subject)
            return target, way, found.token.value
        return None

    def _settle(
        self,
        identity: str,
        chosen: _Round,
        target: Target,
        error: RefresherError | None,
        began: datetime | None = None,
    ) -> None:
        """Note the answer to a probe that began then, decide when to ask again, and report a change."""
        now, known = self._clock.now(), get_entry("" if error is None else error.entry)
        with self._lock:
            self.throttled += error is not None and error.http_status == THROTTLED
            former = chosen.health
            failures = 0 if error is None else 1 + chosen.failures
            state = ExchangeState.ACCEPTED if error is None else judge_failure(error)
            health = ExchangeHealth(
                identity=identity,
                target=target.name,
                state=state,
                checked_at=now,
                accepted_at=now if error is None else None if former is None else former.accepted_at,
                failures=failures,
                problem=None if error is None else error.problem,
                cause=None if known is None else known.cause,
                remedy=None if error is None else error.remedy if error.is_refusal else f"{error.remedy}; {AGAIN}",
                entry="" if error is None else error.entry,
                is_local=error is not None and error.http_status is None and not error.retryable,
            )
            chosen.health = health
            if state is ExchangeState.UNANSWERED and isinstance(error, (ExchangeError, ImpersonationError)):
                chosen.next_at = self._pause(now, began or now, error.retry_after)
            else:
                if state is not ExchangeState.UNANSWERED:
                    self._silences = 0
                wait = self._intervals.get(identity, _PAUSE) * (1 - self._draw() / 10)
                chosen.next_at = now + (min(wait, _RETRY * 2 ** min(failures - 1, _DOUBLINGS)) if failures else wait)
        self._report(health, former)

    def _pause(self, now: datetime, began: datetime, wait: timedelta | None) -> datetime:
        """Begin no probe for a while, and return until when; it is no longer than the shortest interval of any.

        A probe that began before the end of the pause met the same silence, and makes it no longer, unless the server
        asks for that.
        """
        until = now + (wait or timedelta())
        if self._paused_until is None or began >= self._paused_until:
            shortest = min(self._intervals.values(), default=_PAUSE)
            until = max(until, now + min(_PAUSE * 2 ** min(self._silences, _DOUBLINGS), max(_PAUSE, shortest)))
            self._silences += 1
        self._paused_until = until if self._paused_until is None else max(until, self._paused_until)
        return self._paused_until

    def _report(self, health: ExchangeHealth, former: ExchangeHealth | None) -> None:
        """Report what changed, and what goes on at every doubling of its count."""
        facts: dict[str, Value] = {"identity": health.identity, "target": health.target}
        if health.state is ExchangeState.ACCEPTED:
            if former is not None and former.failures:
                self._reporter.causes.forget(health.identity)
                facts["failures"] = former.failures
                self._reporter.collect("exchange.recovered", Severity.INFO, _AT_A_TIME, **facts)
        elif health.failures & (health.failures - 1) == 0 or former is None or former.problem != health.problem:
            known = identify_cause(health.entry, str(health.problem), str(health.remedy), health.target)
            if not self._reporter.causes.is_news(health.identity, known, "", health.failures):
                return  # an artifact's job met the same
            facts |= {"error": health.problem, "cause": health.cause, "remedy": health.remedy}
            facts["failures"] = health.failures
            self._reporter.collect(f"exchange.{health.state}", Severity.WARNING, _AT_A_TIME, **facts)


def _list_ways(targets: Iterable[Target]) -> set[Impersonation]:
    return {target.impersonation for target in targets}
