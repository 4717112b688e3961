from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.engine.agenda import Agenda
from refresher.engine.jobs import Jobs
from refresher.engine.metadata import serve_leading
from refresher.engine.minter import Minter
from refresher.engine.outcome import Outcome, Result
from refresher.engine.plan import MintedArtifact, Plan
from refresher.engine.refresh import Refresher
from refresher.errors import ImpersonationError
from refresher.metadata.plan import EndpointPlan, Facts, HeldToken, IdToken, ListenerHealth, ListenerState
from refresher.metadata.wanted import Wanted
from refresher.publishing.artifacts import TOKEN
from refresher.tokens import read_segments
from tests.fakes import FakeChain, FakeClock, FakeSupplier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from refresher.engine.plan import Target
    from refresher.metadata.plan import Obtained
    from refresher.tokens import AccessToken

    MakeTarget = Callable[..., Target]

ACCESS = MintedArtifact(name="access_token")
FACTS = Facts(name="alice", email="alice@p.iam.gserviceaccount.com", scopes=("scope",))
PLAN = EndpointPlan(facts=FACTS, wanted=Wanted("/run/netns/alice", 8174, link_local=False), minted_for="alice")


@dataclass
class FakeEndpoints:
    """MetadataEndpoints without listeners, whose health a test decides."""

    state: ListenerState | None = ListenerState.SERVING
    plans: Mapping[str, EndpointPlan] = field(default_factory=lambda: {"alice": PLAN})
    held: HeldToken | None = None
    problem: str | None = None

    def adopt(self, plans: Mapping[str, EndpointPlan]) -> None:
        """Follow a plan."""
        self.plans = plans

    def get_health(self, name: str) -> ListenerHealth | None:
        """Return the chosen health."""
        return None if self.state is None else ListenerHealth(self.state)

    def find_token(self, name: str, plan: EndpointPlan) -> HeldToken | None:
        """Return what is served."""
        return self.held if self.plans.get(name) == plan else None

    def serve_token(self, name: str, plan: EndpointPlan, token: AccessToken, issued_at: datetime) -> bool:
        """Remember what is served."""
        if self.plans.get(name) != plan:
            return False
        self.held, self.problem = HeldToken(token, issued_at), None
        return True

    def note_problem(self, name: str, plan: EndpointPlan, problem: str) -> None:
        """Remember the problem."""
        self.problem = problem


class Stage:
    """A worker's engine with endpoints."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.chain = FakeChain(clock)
        self.endpoints = FakeEndpoints()
        suppliers = {"worker": FakeSupplier()}
        self.tokens = Refresher(suppliers=suppliers, chain=lambda: self.chain, clock=clock, endpoints=self.endpoints)
        self.artifacts = Minter(chain=lambda: self.chain, clock=clock, endpoints=self.endpoints)

    def settle(self, target: Target) -> None:
        """Publish the token and its documents."""
        assert self.tokens.refresh(target).error is None

    def refresh(self, target: Target) -> Outcome:
        """Refresh the access token."""
        return self.artifacts.refresh(target, ACCESS)

    @property
    def served(self) -> str:
        """The value of the token that is served."""
        assert self.endpoints.held is not None
        return self.endpoints.held.token.value


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    """Return an engine."""
    return Stage(clock)


@pytest.fixture
def alice(target_of: MakeTarget) -> Target:
    """Return a target with an endpoint and no published access token."""
    return replace(target_of(), metadata=PLAN)


@pytest.mark.parametrize(
    ("state", "is_there", "is_wanted"),
    [
        (ListenerState.SERVING, False, True),
        (ListenerState.SERVING, True, True),
        (ListenerState.OPENING, False, False),
        (ListenerState.OPENING, True, True),
        (None, False, False),
        (None, True, True),
        (ListenerState.ABSENT, True, False),
        (ListenerState.OCCUPIED, True, False),
        (ListenerState.REFUSED, False, False),
    ],
)
def test_env_is_there_while_the_listener_is_open(
    stage: Stage, alice: Target, state: ListenerState | None, *, is_there: bool, is_wanted: bool
) -> None:
    """It waits for the listener and goes with it; while nothing is known yet, it stays as it is."""
    stage.endpoints.state = ListenerState.SERVING if is_there else ListenerState.ABSENT
    stage.settle(alice)
    env = alice.directory.path / "env"
    assert env.exists() == is_there

    stage.endpoints.state = state
    outcome = stage.tokens.refresh(alice)

    assert env.exists() == is_wanted
    assert (outcome.error, outcome.repaired) == (None, ())
    assert outcome.state == alice.directory.read_state()


def test_target_without_an_endpoint_does_not_wait(stage: Stage, target_of: MakeTarget) -> None:
    """Other targets have `env` at once, whatever happens to endpoints."""
    stage.endpoints.state = ListenerState.REFUSED
    target = target_of()

    stage.settle(target)

    assert (target.directory.path / "env").exists()


def test_token_is_minted_for_the_endpoint_alone_and_kept_while_fresh(stage: Stage, alice: Target) -> None:
    """It is in no file, and replaced at half of its life."""
    stage.settle(alice)

    first, second = stage.refresh(alice), stage.refresh(alice)
    before = stage.served
    stage.clock.pass_(timedelta(minutes=31))
    stage.settle(alice)
    third = stage.refresh(alice)

    assert [each.result for each in (first, second, third)] == [Result.PUBLISHED, Result.KEPT, Result.PUBLISHED]
    assert stage.served != before
    assert not (alice.directory.path / "access_token").exists()
    assert not (alice.directory.path / "artifacts.json").exists()


def test_published_token_is_served_too(stage: Stage, target_of: MakeTarget) -> None:
    """The file and the endpoint hold one token, and another process serves that of the file without minting."""
    target = replace(target_of(minted=(ACCESS,)), metadata=PLAN)
    stage.settle(target)
    stage.refresh(target)
    file = (target.directory.path / "access_token").read_text()
    assert stage.served == file

    stage.endpoints.held = None
    assert stage.refresh(target).result is Result.KEPT

    assert (stage.served, stage.chain.minted) == (file, 1)


def test_artifacts_do_not_wait_for_the_listener(stage: Stage, target_of: MakeTarget) -> None:
    """They are published while `env` waits."""
    target = replace(target_of(minted=(ACCESS,)), metadata=PLAN)
    stage.endpoints.state = ListenerState.ABSENT
    stage.settle(target)

    assert stage.refresh(target).result is Result.PUBLISHED


def test_problem_is_noted_when_no_token_can_be_minted(stage: Stage, alice: Target) -> None:
    """Clients see why, and the present token is served on."""
    stage.settle(alice)
    stage.refresh(alice)
    before = stage.served
    stage.clock.pass_(timedelta(minutes=31))
    stage.settle(alice)
    stage.chain.refusal = ImpersonationError("IAM Credentials does not answer", "wait", retryable=True)

    outcome = stage.refresh(alice)

    assert (outcome.result, stage.endpoints.problem) == (Result.FAILED, "IAM Credentials does not answer")
    assert stage.served == before


def test_token_is_not_served_when_the_plan_changed_meanwhile(stage: Stage, alice: Target) -> None:
    """What was minted for one identity never reaches the endpoint of the next."""
    stage.settle(alice)
    stage.chain.meanwhile = lambda: stage.endpoints.adopt({"alice": replace(PLAN, minted_for="bob")})

    outcome = stage.refresh(alice)

    assert (outcome.result, stage.endpoints.held) == (Result.WAITING, None)


def test_token_that_leads_a_directory_is_served(stage: Stage, target_of: MakeTarget) -> None:
    """Without a pool the access token is the first thing that is published, and the endpoint serves it."""
    federated = replace(target_of(), metadata=PLAN)
    own = replace(federated, impersonation=replace(federated.impersonation, provider=None))
    token = FakeSupplier().supply(federated.context, stage.clock.now())

    serve_leading(stage.endpoints, federated, token, None)
    assert stage.endpoints.held is None
    serve_leading(stage.endpoints, own, token, ImpersonationError("refused", "grant"))

    assert (stage.served, stage.endpoints.problem) == (token.value, "refused")
    assert own.minting == ()
    assert federated.minting == (ACCESS,)


def test_id_token_is_minted_for_an_audience(stage: Stage, alice: Target) -> None:
    """It has the account's e-mail and is in no file; a plan that is not in force any more gets none."""
    stage.settle(alice)
    plan = Plan(
        root=alice.directory.root, targets={"alice": alice}, suppliers={}, threads={}, chain=lambda: stage.chain
    )
    jobs = Jobs(stage.tokens, stage.artifacts, plan)
    found: list[Obtained] = []

    jobs.obtain_id_token("alice", PLAN, "https://api", found.append)
    jobs.obtain_id_token("alice", replace(PLAN, minted_for="bob"), "https://api", found.append)
    jobs.obtain_id_token("bob", PLAN, "https://api", found.append)
    stage.chain.refusal = ImpersonationError("generateIdToken was refused", "grant")
    jobs.obtain_id_token("alice", PLAN, "https://api", found.append)

    token, *problems = found
    assert isinstance(token, IdToken)
    claims = read_segments(token.value)[1]
    assert (claims["aud"], claims["sub"]) == ("https://api", f"{FACTS.email}.True")
    assert problems == ["the target has just changed"] * 2 + ["generateIdToken was refused"]
    assert {path.name for path in alice.directory.path.iterdir()} == {".target", "credentials.json", "env", TOKEN}


def test_id_token_waits_for_the_subject_token(stage: Stage, alice: Target) -> None:
    """Before the first subject token there is nothing to mint with, and the answer shows that."""
    alice.directory.root.mkdir()

    with pytest.raises(ImpersonationError, match="no usable token yet"):
        stage.artifacts.mint_id_token(alice, "https://api")


def test_target_is_due_again_after_the_attempt_that_is_under_way(alice: Target) -> None:
    """A listener that opens while its target is refreshed must not wait for the next refresh."""
    agenda, now = Agenda(), datetime(2026, 1, 1, tzinfo=UTC)
    agenda.adopt({"alice": alice})
    (token,) = agenda.take_due(now)

    assert agenda.take_again("alice") == []
    agenda.give_back(token)
    agenda.settle(token, Outcome(result=Result.PUBLISHED), now, 0.5)

    assert token.next_at is None
    assert agenda.take_again("alice") == [token]
    assert agenda.take_again("bob") == []
