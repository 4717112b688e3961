from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.engine.agenda import Entry
from refresher.engine.canary import Canary
from refresher.engine.exchanges import ExchangeState
from refresher.engine.outcome import Life, Outcome, Result
from refresher.engine.plan import MintedArtifact, Plan
from refresher.engine.refresh import Refresher
from refresher.engine.reporter import Reporter
from refresher.errors import ConfigurationError, ExchangeError, ImpersonationError, RefresherError, SupplyError
from refresher.policy import probe_interval
from tests.fakes import FakeChain, FakeClock, FakeSupplier, build_refusal
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from refresher.engine.events import Event
    from refresher.engine.plan import Target
    from refresher.resources import Impersonation

    MakeTarget = Callable[..., Target]

INTERVAL = timedelta(minutes=5)
ROLE = "grant the role"


class Google:
    """The cloud side: accepts every token unless a test sets something else."""

    def __init__(self) -> None:
        self.refusals: dict[str | None, RefresherError] = {}
        self.asked: list[tuple[str | None, str]] = []
        self.while_asking: dict[str | None, Callable[[], object]] = {}

    def probe(self, way: Impersonation, subject_token: str, now: datetime) -> None:
        """Answer as Google does."""
        self.asked.append((way.subject, subject_token))
        self.while_asking.get(way.subject, lambda: None)()
        if (refusal := self.refusals.get(way.subject)) is not None:
            raise refusal


class Stage:
    """A canary whose plan, cloud side and clock a test controls."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.google = Google()
        self.events: list[Event] = []
        self.reporter = Reporter(self.events.append)
        self.canary = Canary(reporter=self.reporter, clock=clock, draw=lambda: 0.0)
        self.suppliers = {"worker": FakeSupplier()}

    def follow_drop_ins(self, *targets: Target) -> None:
        """Adopt a plan of these targets with the same suppliers as before."""
        self.follow(*targets, suppliers=self.suppliers)

    def follow(
        self,
        *targets: Target,
        intervals: dict[str, timedelta] | None = None,
        suppliers: dict[str, FakeSupplier] | None = None,
    ) -> None:
        """Adopt a plan of these targets."""
        usual = {target.context.identity: INTERVAL for target in targets}
        self.canary.adopt(
            Plan(
                root=targets[0].directory.root,
                targets={target.name: target for target in targets},
                suppliers={"worker": FakeSupplier()} if suppliers is None else suppliers,
                threads={},
                chain=lambda: pytest.fail("nothing is minted"),
                probe=self.google.probe,
                probe_intervals=usual if intervals is None else intervals,
            )
        )

    def tick(self, *, count: int = 1, step: timedelta = timedelta(seconds=1)) -> None:
        """Run ticks."""
        for _ in range(count):
            for attempt in self.canary.take_due(self.clock.now()):
                attempt()
            self.reporter.flush()
            self.clock.pass_(step)

    def names(self) -> list[str]:
        """Return the names of the events."""
        return [event.name for event in self.events]

    def subjects(self) -> list[str | None]:
        """Return whom Google was asked about, and forget it."""
        asked, self.google.asked = self.google.asked, []
        return [subject for subject, _ in asked]

    def state(self, identity: str) -> ExchangeState | None:
        """Return what is known of an identity."""
        return next((each.state for each in self.canary.list_health() if each.identity == identity), None)


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    """Return a canary without a plan."""
    return Stage(clock)


@pytest.fixture
def published(target_of: MakeTarget, clock: FakeClock) -> MakeTarget:
    """Return a function that creates targets with a fresh token in their files."""

    def make(name: str = "alice") -> Target:
        target = target_of(name, subject=f"user-{name}")
        publish(target, clock)
        return target

    return make


def publish(target: Target, clock: FakeClock) -> None:
    """Publish a fresh token of a target."""
    refresher = Refresher(suppliers={"worker": FakeSupplier()}, chain=lambda: FakeChain(clock), clock=clock)
    outcome = refresher.refresh(target, first=True)
    assert outcome.result is Result.PUBLISHED


def refuse(problem: str = "refused") -> ImpersonationError:
    """Return a refusal that only an operator can end."""
    return build_refusal(ImpersonationError, problem, ROLE)


def test_token_of_the_file_is_tried_and_then_left_alone_for_the_interval(stage: Stage, published: MakeTarget) -> None:
    """A probe sends exactly what the file holds; the next comes after the interval, less at most a tenth of it."""
    target = published()
    stage.follow(target)
    stage.tick(count=290)
    assert stage.google.asked == [("user-alice", (target.directory.path / "token").read_text())]
    assert stage.state("alice") is ExchangeState.ACCEPTED
    stage.tick(count=20)
    assert len(stage.google.asked) == 2
    assert stage.events == []


def test_refused_identity_is_reported_with_its_remedy_and_no_other(stage: Stage, published: MakeTarget) -> None:
    """Of two identities the refused one has the event, with cause and remedy; the other goes on being accepted."""
    stage.follow(published("alice"), published("bob"))
    stage.google.refusals["user-bob"] = refuse("the account is disabled")
    stage.tick(count=3)
    (event,) = stage.events
    assert event.name == "exchange.refused"
    assert event.fields["identity"] == event.fields["target"] == "bob"
    assert (event.fields["error"], event.fields["remedy"]) == ("the account is disabled", ROLE)
    assert stage.state("alice") is ExchangeState.ACCEPTED
    assert stage.state("bob") is ExchangeState.REFUSED


def test_recovery_is_reported_soon_after_the_cause_is_gone(stage: Stage, published: MakeTarget) -> None:
    """A refused identity is tried again after a minute; what follows a success is a recovery."""
    stage.follow(published())
    stage.google.refusals["user-alice"] = refuse()
    stage.tick(count=30)
    stage.google.refusals.clear()
    stage.tick(count=60)
    assert stage.names() == ["exchange.refused", "exchange.recovered"]
    assert stage.state("alice") is ExchangeState.ACCEPTED


def test_refusal_that_lasts_is_reported_at_doublings_and_asked_about_ever_less(
    stage: Stage, published: MakeTarget
) -> None:
    """An hour of refusals is a handful of lines, and never more probes than the interval allows after the first few."""
    stage.follow(published())
    stage.google.refusals["user-alice"] = refuse()
    stage.tick(count=360, step=timedelta(seconds=10))
    assert [event.fields["failures"] for event in stage.events] == [1, 2, 4, 8]
    assert len(stage.google.asked) <= 3 + 60 / 5


@pytest.mark.parametrize("wait", [None, timedelta(minutes=4)])
def test_canary_stops_for_all_when_google_does_not_answer(
    stage: Stage, published: MakeTarget, wait: timedelta | None
) -> None:
    """One answer of 429 or 5xx stops every probe, for a minute or as long as the server asks, and longer each time."""
    stage.follow(published("alice"), published("bob"))
    busy = ExchangeError("busy", "wait", retryable=True, retry_after=wait)
    stage.google.refusals |= {"user-alice": busy, "user-bob": busy}
    stage.tick()
    first = len(stage.google.asked)
    stage.tick(count=59 if wait is None else 239)
    assert len(stage.google.asked) == first
    assert "exchange.refused" not in stage.names()
    assert stage.state("alice") is ExchangeState.UNANSWERED
    stage.google.refusals.clear()
    stage.tick(count=300)
    assert stage.state("alice") is stage.state("bob") is ExchangeState.ACCEPTED


def test_probes_that_met_a_limit_of_requests_are_counted(stage: Stage, published: MakeTarget) -> None:
    """HTTP 429 is counted, and no other silence is."""
    stage.follow(published("alice"), published("bob"))
    busy, down = (ExchangeError("no answer", "wait", retryable=True) for _ in range(2))
    busy.http_status, down.http_status = 429, 503
    stage.google.refusals |= {"user-alice": busy, "user-bob": down}
    stage.tick()
    assert stage.canary.throttled == 1


def test_change_of_account_is_tried_at_once(stage: Stage, published: MakeTarget) -> None:
    """A changed service account needs no interval to pass; an unchanged plan asks nothing."""
    target = published()
    stage.follow(target)
    stage.tick()
    stage.follow(target)
    stage.tick(count=5)
    assert len(stage.subjects()) == 1
    stage.follow(replace(target, impersonation=replace(target.impersonation, service_account="b@p.iam.x")))
    stage.tick(count=2)
    assert len(stage.subjects()) == 1


def test_drop_in_that_comes_or_goes_is_followed_alone(stage: Stage, published: MakeTarget) -> None:
    """A new identity is tried at once, one whose last target went no more, and the others keep their turn."""
    alice, bob, second, carol = published("alice"), published("bob"), published("bob-2"), published("carol")
    second = replace(second, context=bob.context, impersonation=bob.impersonation)
    stage.follow_drop_ins(alice, bob, second)
    stage.tick(count=2)
    stage.subjects()
    stage.follow_drop_ins(alice, bob, carol)
    stage.tick(count=2)
    assert stage.subjects() == ["user-carol"]
    stage.follow_drop_ins(bob, carol)
    assert [stage.state(name) for name in ("alice", "bob", "carol")] == [None, *[ExchangeState.ACCEPTED] * 2]
    stage.clock.pass_(INTERVAL)
    stage.tick()
    assert sorted(map(str, stage.subjects())) == ["user-bob", "user-carol"]


def test_published_token_is_tried_at_once(stage: Stage, published: MakeTarget) -> None:
    """After a token was replaced, whatever the reason (claims, keys, time), it is tried."""
    target = published()
    stage.follow(target)
    stage.tick(count=2)
    stage.subjects()
    stage.canary.note(Entry(target=target), Outcome(result=Result.KEPT))
    stage.tick(count=2)
    assert stage.subjects() == []
    stage.canary.note(Entry(target=target), Outcome(result=Result.PUBLISHED))
    stage.tick(count=2)
    assert stage.subjects() == ["user-alice"]


def test_token_that_another_process_put_there_is_tried_at_once(stage: Stage, published: MakeTarget) -> None:
    """A good-looking token whose signature no one has verified is tried; the same one again is not, nor the first."""
    target = published()
    stage.follow(target)
    stage.tick()
    stage.subjects()
    asked = []
    for fingerprint in ("11111111", "11111111", "22222222", "22222222"):
        life = Life(stage.clock.now(), stage.clock.now() + timedelta(hours=1), fingerprint=fingerprint)
        stage.canary.note(Entry(target=target), Outcome(result=Result.KEPT, life=life))
        stage.tick()
        asked.append(len(stage.subjects()))
    assert asked == [0, 0, 1, 0]


@pytest.mark.parametrize("retryable", [False, True])
def test_reload_asks_again_about_what_failed(stage: Stage, published: MakeTarget, *, retryable: bool) -> None:
    """SIGHUP tries again at once what Google refused or did not answer, and nothing that it accepted."""
    alice, bob = published("alice"), published("bob")
    stage.follow(alice, bob)
    stage.google.refusals["user-bob"] = ImpersonationError("refused", ROLE, retryable=retryable)
    stage.tick(count=3)
    stage.google.refusals.clear()
    stage.subjects()
    stage.follow(alice, bob)
    stage.tick(count=3)
    assert stage.subjects() == ["user-bob"]
    assert stage.names()[-1] == "exchange.recovered"


def test_minted_artifact_counts_as_a_probe(stage: Stage, published: MakeTarget) -> None:
    """An artifact that Google just minted proves the same: no probe is needed, and a refusal has ended."""
    target = published()
    stage.follow(target)
    stage.google.refusals["user-alice"] = refuse()
    stage.tick()
    entry = Entry(target=target, artifact=MintedArtifact(name="access_token"))
    stage.canary.note(entry, Outcome(result=Result.PUBLISHED, has_exchanged=True))
    stage.google.refusals.clear()
    stage.subjects()
    stage.tick(count=200)
    assert stage.subjects() == []
    assert stage.names() == ["exchange.refused", "exchange.recovered"]


def test_access_token_without_a_pool_counts_as_a_probe(stage: Stage, target_of: MakeTarget) -> None:
    """What leads a directory without a pool was minted by Google: publishing it proves as much as a probe."""
    target = target_of(has_pool=False)
    stage.follow(target)
    stage.canary.note(Entry(target=target), Outcome(result=Result.PUBLISHED))
    stage.tick(count=200)
    assert (stage.google.asked, stage.state("alice")) == ([], ExchangeState.ACCEPTED)

    stage.canary.note(Entry(target=target), Outcome(result=Result.FAILED, error=refuse()))
    stage.tick(count=2)
    assert stage.google.asked == [(None, "")]


def test_artifact_minted_without_an_exchange_proves_nothing(stage: Stage, published: MakeTarget) -> None:
    """What a former exchange's token minted shows nothing of the provider: no recovery, and no probe is put off."""
    target = published()
    stage.follow(target)
    stage.tick(count=250)
    stage.google.refusals["user-alice"] = refuse()
    entry = Entry(target=target, artifact=MintedArtifact(name="access_token"))
    stage.canary.note(entry, Outcome(result=Result.PUBLISHED))
    stage.tick(count=60)
    assert stage.names() == ["exchange.refused"]
    stage.canary.note(entry, Outcome(result=Result.PUBLISHED))
    stage.tick()
    assert stage.names() == ["exchange.refused"]
    assert stage.state("alice") is ExchangeState.REFUSED


def test_silence_that_many_probes_meet_at_once_is_one(stage: Stage, published: MakeTarget) -> None:
    """Probes under way at the same moment do not double the pause for each other: a blip costs a minute."""
    stage.follow(*(published(f"t{number}") for number in range(5)))
    stage.google.refusals |= {f"user-t{number}": ExchangeError("busy", "wait", retryable=True) for number in range(5)}
    stage.tick()
    assert len(stage.subjects()) == 5
    stage.google.refusals.clear()
    stage.tick(count=62)
    assert len(stage.subjects()) == 5


def test_probes_that_take_long_keep_others_waiting(stage: Stage, published: MakeTarget) -> None:
    """While no probe ends, a few are under way, so that a silence stops the rest before they are sent."""
    stage.follow(*(published(f"t{number:02}") for number in range(30)))
    stage.google.refusals |= {
        f"user-t{number:02}": ExchangeError("busy", "wait", retryable=True) for number in range(30)
    }
    begun = []
    for _ in range(10):
        begun += stage.canary.take_due(stage.clock.now())
        stage.clock.pass_(timedelta(seconds=1))
    for attempt in begun:
        attempt()
    assert len(stage.subjects()) == 8
    assert stage.canary.take_due(stage.clock.now()) == []


def test_silence_of_a_large_fleet_shows_how_long_it_lasts(stage: Stage, published: MakeTarget) -> None:
    """One identity that was not answered is asked after each pause, next to those whose turn it is."""
    stage.follow(*(published(f"t{number:02}") for number in range(40)))
    stage.google.refusals |= {
        f"user-t{number:02}": ExchangeError("busy", "wait", retryable=True) for number in range(40)
    }
    stage.tick(count=420)
    assert max(each.failures for each in stage.canary.list_health()) >= 3


def test_identity_that_is_never_answered_keeps_no_other_from_its_turn(stage: Stage, published: MakeTarget) -> None:
    """A server error that one identity alone meets pauses all, and all others are tried nonetheless."""
    stage.follow(*(published(f"t{number:02}") for number in range(12)))
    stage.google.refusals["user-t00"] = ExchangeError("HTTP 500", "wait", retryable=True)
    stage.tick(count=300)
    assert len({each.identity for each in stage.canary.list_health()}) == 12


def test_probe_that_outlasts_the_pause_begins_no_other(stage: Stage, published: MakeTarget) -> None:
    """A lookup that hangs for longer than the pause met the same silence as the probe next to it, which ended first."""
    stage.follow(published("alice"), published("bob"))
    down = ExchangeError("its name is unknown", "set DNS", retryable=True)
    quick, slow = stage.canary.take_due(stage.clock.now())
    stage.google.refusals |= {"user-alice": down, "user-bob": down}

    def hang() -> None:
        quick()
        stage.clock.pass_(timedelta(seconds=70))

    stage.google.while_asking["user-bob"] = hang
    slow()
    stage.google.while_asking.clear()
    stage.google.refusals.clear()
    stage.tick()
    assert stage.state("alice") is stage.state("bob") is ExchangeState.ACCEPTED


@pytest.mark.parametrize(("minutes", "longest"), [(1, 60), (5, 300), (60, 960)])
def test_silence_is_asked_about_within_one_cadence(
    stage: Stage, published: MakeTarget, minutes: int, longest: int
) -> None:
    """However long Google was silent, four identities are asked about again within the shortest interval of any."""
    targets = [published(f"t{number}") for number in range(4)]
    spans = {target.name: timedelta(hours=1) for target in targets} | {"t3": timedelta(minutes=minutes)}
    stage.follow(*targets, intervals=spans)
    stage.google.refusals |= {f"user-t{number}": ExchangeError("busy", "wait", retryable=True) for number in range(4)}
    stage.tick(count=2700)
    stage.google.refusals.clear()
    stage.tick(count=longest + 2)
    assert {stage.state(target.name) for target in targets} == {ExchangeState.ACCEPTED}


def test_silence_shows_when_google_is_asked_next_and_how_to_ask_at_once(stage: Stage, published: MakeTarget) -> None:
    """An identity whose last probe was not answered has the moment of the next, and a remedy that brings it forward."""
    stage.follow(published("alice"), published("bob"))
    stage.google.refusals["user-bob"] = ExchangeError("HTTP 502", "wait some minutes", retryable=True)
    began = stage.clock.now()
    stage.tick()
    alice, bob = stage.canary.list_health()
    assert alice.next_at == began + INTERVAL
    assert bob.next_at == began + timedelta(minutes=1)
    assert bob.remedy == "wait some minutes; the daemon asks again by itself, at once after systemctl reload refresher"
    assert stage.events[0].fields["remedy"] == bob.remedy


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("HTTPS_PROXY does not name an HTTP proxy", "unset it"),
        SupplyError("the credentials file /x does not exist", "name another"),
        RefresherError("a bug", "report it"),
    ],
    ids=["transport", "credentials", "bug"],
)
def test_fault_of_this_machine_is_not_a_refusal(stage: Stage, published: MakeTarget, error: RefresherError) -> None:
    """Where nothing was sent, Google refused nothing: the identity is unanswered, for a reason that is local."""
    stage.follow(published("alice"))
    stage.google.refusals["user-alice"] = error
    stage.tick()
    assert stage.names() == ["exchange.unanswered"]
    (health,) = stage.canary.list_health()
    assert (health.state, health.is_local) == (ExchangeState.UNANSWERED, True)


def test_refusal_of_the_account_of_the_worker_is_a_refusal(stage: Stage, published: MakeTarget) -> None:
    """An answer that no retry changes is a decision, whichever server of Google's it came from."""
    stage.follow(published("alice"))
    refused = SupplyError("the credentials in /x cannot be refreshed: HTTP 400", "check the file")
    refused.http_status = 400
    stage.google.refusals["user-alice"] = refused
    stage.tick()
    assert stage.names() == ["exchange.refused"]


def test_credentials_of_the_worker_that_do_not_answer_stop_no_other_identity(
    stage: Stage, published: MakeTarget
) -> None:
    """A silent metadata server is not Google's side: others are probed as ever, and that identity within a minute."""
    alice, bob = published("alice"), published("bob")
    stage.follow(alice, bob)
    stage.google.refusals["user-alice"] = SupplyError("no answer", "attach an account", retryable=True)
    stage.tick()
    assert stage.state("alice") is ExchangeState.UNANSWERED
    stage.subjects()
    stage.canary.note(Entry(target=bob), Outcome(result=Result.PUBLISHED))
    stage.tick()
    assert stage.subjects() == ["user-bob"]
    stage.tick(count=60)
    assert stage.subjects() == ["user-alice"]


def test_each_refused_identity_has_a_line_of_its_own(stage: Stage, published: MakeTarget) -> None:
    """Identities that one cause stops, and that recover together, are each named, with cause and remedy."""
    names = [f"t{number}" for number in range(5)]
    stage.follow(*map(published, names))
    stage.google.refusals |= {f"user-{name}": refuse() for name in names}
    stage.tick()
    assert [event.fields.get("identity") for event in stage.events] == names
    stage.google.refusals.clear()
    stage.tick(count=62)
    assert [event.fields.get("identity") for event in stage.events if event.name == "exchange.recovered"] == names


def test_artifact_that_google_refused_makes_a_probe_due(stage: Stage, published: MakeTarget) -> None:
    """The canary judges at once when something else was refused; what it knows already it does not ask again."""
    target = published()
    stage.follow(target)
    stage.tick(count=2)
    stage.subjects()
    stage.google.refusals["user-alice"] = refuse()
    entry = Entry(target=target, artifact=MintedArtifact(name="access_token"))
    for _ in range(2):
        stage.canary.note(entry, Outcome(result=Result.FAILED, error=refuse()))
        stage.tick(count=2)
    assert stage.subjects() == ["user-alice"]


def test_identity_without_a_usable_token_is_not_judged(
    stage: Stage, target_of: MakeTarget, published: MakeTarget, clock: FakeClock
) -> None:
    """Absent, expired and foreign tokens prove nothing about the cloud side; a new token is tried."""
    foreign = published("carol")
    token = foreign.directory.path / "token"
    token.unlink()
    token.write_text(make_jwt(subject="mallory", issued_at=clock.now()))
    expired = published("dave")
    clock.pass_(timedelta(hours=2))
    absent = target_of("erin", subject="user-erin")
    stage.follow(foreign, expired, absent)
    stage.tick(count=70)
    assert stage.google.asked == []
    assert stage.canary.list_health() == []
    publish(absent, clock)
    stage.tick(count=12)
    assert stage.state("erin") is ExchangeState.ACCEPTED


def test_identity_that_is_off_is_not_asked_about(stage: Stage, published: MakeTarget) -> None:
    """An identity without an interval is left out, and what was known of it is forgotten."""
    target = published()
    stage.follow(target)
    stage.tick()
    stage.follow(target, intervals={})
    stage.tick(count=400)
    assert len(stage.google.asked) == 1
    assert stage.canary.list_health() == []


def test_many_changes_at_once_are_spread_over_ticks(stage: Stage, published: MakeTarget) -> None:
    """A few probes begin at a tick, those of changed identities first."""
    targets = [published(f"t{number:02}") for number in range(12)]
    stage.follow(*targets)
    stage.tick()
    assert len(stage.subjects()) == 5
    stage.canary.note(Entry(target=targets[11]), Outcome(result=Result.PUBLISHED))
    stage.tick()
    assert stage.subjects()[0] == "user-t11"
    stage.tick(count=2)
    assert all(stage.state(target.name) is ExchangeState.ACCEPTED for target in targets)


def test_each_answer_of_one_tick_is_a_line_of_its_own(stage: Stage, published: MakeTarget) -> None:
    """Slow probes of two ticks end in a third: the log names each identity, when it is refused and when it recovers."""
    targets = [published(f"t{number:02}") for number in range(8)]
    for target in targets:
        stage.google.refusals[target.impersonation.subject] = refuse()
    stage.follow(*targets)
    slow = stage.canary.take_due(stage.clock.now()) + stage.canary.take_due(stage.clock.now())
    for attempt in slow:
        attempt()
    stage.tick()
    assert {event.fields["identity"] for event in stage.events} == {target.name for target in targets}

    stage.events.clear()
    stage.google.refusals.clear()
    stage.clock.pass_(INTERVAL)
    slow = stage.canary.take_due(stage.clock.now()) + stage.canary.take_due(stage.clock.now())
    for attempt in slow:
        attempt()
    stage.tick()
    assert {event.fields["identity"] for event in stage.events} == {target.name for target in targets}


def test_bug_in_a_probe_is_a_failure_of_that_identity(stage: Stage, published: MakeTarget) -> None:
    """An unexpected exception ends no thread and is reported without its text."""
    stage.follow(published())
    stage.google.refusals["user-alice"] = ValueError("secret")  # type: ignore[assignment]
    stage.tick()
    assert stage.names() == ["exchange.unanswered"]
    assert "secret" not in str(stage.events)
    stage.google.refusals.clear()
    stage.tick(count=70)
    assert stage.state("alice") is ExchangeState.ACCEPTED


def test_first_probes_after_a_start_are_spread(clock: FakeClock, published: MakeTarget) -> None:
    """A daemon that starts does not ask about all at once: each within a minute."""
    stage = Stage(clock)
    draws = iter([0.1, 0.9])
    stage.canary = Canary(reporter=stage.reporter, clock=clock, draw=lambda: next(draws, 0.0))
    stage.follow(published("alice"), published("bob"))
    stage.tick(count=5)
    assert stage.subjects() == []
    stage.tick(count=5)
    assert stage.subjects() == ["user-alice"]
    stage.tick(count=50)
    assert stage.subjects() == ["user-bob"]


@pytest.mark.parametrize(
    ("least", "identities", "interval"), [(300, 1, 300), (300, 300, 300), (300, 1000, 1000), (60, 10, 60)]
)
def test_interval_grows_with_the_identities(least: int, identities: int, interval: int) -> None:
    """All identities of a daemon together are asked about at most once a second on average."""
    assert probe_interval(timedelta(seconds=least), identities) == timedelta(seconds=interval)


def test_what_an_artifact_has_reported_is_no_news(stage: Stage, published: MakeTarget) -> None:
    """The canary that meets the cause of an artifact's failure writes no second line; another cause is news."""
    alice = published("alice")
    error = build_refusal(ImpersonationError, "access_token was refused", "enable it")
    error.entry = "disabled"
    entry = Entry(target=alice, artifact=MintedArtifact(name="access_token"), failures=1)
    stage.reporter.report(
        entry, Outcome(result=Result.FAILED, error=error), replace(entry, failures=0), stage.clock.now()
    )
    probed = build_refusal(ImpersonationError, "the probe was refused", "enable it")
    probed.entry = "disabled"
    stage.google.refusals["user-alice"] = probed
    stage.follow(alice)
    stage.tick(count=30)
    assert [each.fields.get("artifact") for each in stage.events] == ["access_token"]
    assert stage.state("alice") is ExchangeState.REFUSED

    other = build_refusal(ImpersonationError, "the binding is missing", "grant a role")
    other.entry = "I1"
    stage.google.refusals["user-alice"] = other
    stage.tick(count=600)

    assert "the binding is missing" in {each.fields["error"] for each in stage.events}
