"""Artifacts of one target are minted while those of other targets hang, in whatever way they hang."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Lock
from typing import TYPE_CHECKING

import pytest

from refresher.engine.daemon import Daemon
from refresher.engine.plan import MintedArtifact, Plan
from refresher.engine.reporter import Reporter
from refresher.engine.workers import ARTIFACTS_THREADS, Workers
from refresher.errors import ImpersonationError
from refresher.publishing.retirement import Retirement
from tests.fakes import FakeChain, FakeSupplier
from tests.program import until

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from refresher.engine.plan import Target
    from refresher.resources import Impersonation
    from refresher.tokens import AccessToken
    from tests.fakes import FakeClock

    MakeTarget = Callable[..., Target]

ACCESS = MintedArtifact(name="access_token")
RETRY = timedelta(minutes=5)
MANY = ARTIFACTS_THREADS + 4
ID_TOKENS = tuple(
    MintedArtifact(name=f"id_tokens/n{number}", options={"audience": f"https://{number}", "include_email": True})
    for number in range(MANY)
)


@dataclass
class HangingChain(FakeChain):
    """A chain that, after some refusals, never answers for any account except alice's."""

    refusals: int = 0
    let_go: Event = field(default_factory=Event)
    waiting: int = 0
    lock: Lock = field(default_factory=Lock)

    def access_token(self, way: Impersonation, federated: AccessToken) -> AccessToken:
        """Return an access token, for alice."""
        self._hang(way)
        return super().access_token(way, federated)

    def id_token(self, way: Impersonation, audience: str, federated: AccessToken, *, include_email: bool) -> str:
        """Return an ID token, for alice."""
        self._hang(way)
        return super().id_token(way, audience, federated, include_email=include_email)

    def _hang(self, way: Impersonation) -> None:
        if (way.service_account or "").startswith("alice"):
            return
        with self.lock:
            hangs = self.refusals == 0
            self.refusals -= not hangs
            self.waiting += hangs
        if hangs:
            self.let_go.wait(60)
        raise ImpersonationError("nobody answers", "wait", retryable=True)


class Stage:
    """A daemon with real workers."""

    def __init__(self, clock: FakeClock) -> None:
        self.chain = HangingChain(clock)
        self.plan: Plan | None = None
        self.workers = Workers()
        self._daemon = Daemon(
            plans=self,
            hold=lambda _root: False,
            retire=lambda *_: Retirement(),
            workers=self.workers,
            reporter=Reporter(lambda _event: None),
            clock=clock,
            draw=lambda: 0.5,
        )

    def poll(self, *, force: bool, changed: Collection[str] | None = None) -> Plan | None:
        """Return a plan once."""
        assert not force
        plan, self.plan = self.plan, None
        return plan

    def follow(self, *targets: Target) -> None:
        """Set the plan of the next tick to these targets."""
        self.plan = Plan(
            root=targets[0].directory.root,
            targets={target.name: target for target in targets},
            suppliers={"worker": FakeSupplier()},
            threads={"worker": 3},
            chain=lambda: self.chain,
        )

    def tick(self) -> bool:
        """Run one tick, for polling."""
        self._daemon.tick()
        return True

    def has(self, target: Target, artifact: MintedArtifact = ACCESS) -> bool:
        """Return whether an artifact is published, after another tick."""
        self.tick()
        return (target.directory.path / artifact.name).exists()


@pytest.fixture
def stage(clock: FakeClock) -> Iterator[Stage]:
    """Return a daemon whose workers end with the test."""
    made = Stage(clock)
    yield made
    made.chain.let_go.set()
    until(lambda: made.workers.wait(1), what="the workers to be done")
    made.workers.stop()


def of_one_identity(target_of: MakeTarget) -> list[Target]:
    """Return one target with more ID tokens than there are threads."""
    return [target_of("bob", subject="bob", account="bob@p.iam.gserviceaccount.com", minted=ID_TOKENS)]


def of_own_credentials(target_of: MakeTarget) -> list[Target]:
    """Return more targets than there are threads, each minted with the worker's own credentials."""
    return [
        target_of(f"b{number}", account=f"b{number}@p.iam.gserviceaccount.com", has_pool=False)
        for number in range(MANY)
    ]


def of_one_provider(target_of: MakeTarget) -> list[Target]:
    """Return more targets than there are threads, each with its own identity."""
    return [
        target_of(f"b{number}", subject=f"b{number}", account=f"b{number}@p.iam.gserviceaccount.com", minted=(ACCESS,))
        for number in range(MANY)
    ]


@pytest.mark.parametrize("hanging", [of_one_identity, of_own_credentials])
def test_target_is_served_while_others_hang(
    stage: Stage, target_of: MakeTarget, hanging: Callable[[MakeTarget], list[Target]]
) -> None:
    """A target that comes after others, which get no answer, gets its access token at once."""
    others = hanging(target_of)
    stage.follow(*others)
    until(lambda: stage.tick() and stage.chain.waiting >= 4, what="the others to hang")
    alice = target_of(minted=(ACCESS,))

    stage.follow(*others, alice)

    until(lambda: stage.has(alice), what="alice's access token")


def test_target_is_served_while_those_that_failed_hang_again(
    stage: Stage, clock: FakeClock, target_of: MakeTarget
) -> None:
    """Targets that failed once occupy no thread that other targets need, though all are minted in the same way."""
    others = of_one_provider(target_of)
    stage.chain.refusals = len(others)
    stage.follow(*others)
    until(lambda: stage.tick() and stage.chain.refusals == 0, what="the others to fail")
    stage.workers.wait(10)
    clock.pass_(RETRY)
    until(lambda: stage.tick() and stage.chain.waiting == ARTIFACTS_THREADS, what="the others to hang")
    alice = target_of(minted=(ACCESS,))

    stage.follow(*others, alice)

    until(lambda: stage.has(alice), what="alice's access token")


def test_many_artifacts_of_one_identity_need_one_look(stage: Stage, target_of: MakeTarget) -> None:
    """Artifacts that had to wait for others of their identity follow at once, not at the next tick."""
    alice = target_of(minted=(ACCESS, *ID_TOKENS))
    stage.follow(alice)
    stage.tick()
    assert stage.workers.wait(30)

    stage.tick()
    assert stage.workers.wait(30)

    names = {path.name for path in (alice.directory.path / "id_tokens").iterdir()}
    assert names == {f"n{number}" for number in range(MANY)}
    assert (alice.directory.path / "access_token").exists()
