"""A fleet in memory and on disk: targets with published files, the board, and the survey, advanced by the test."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from refresher.engine.agenda import Entry
from refresher.engine.exchanges import ExchangeHealth, ExchangeState
from refresher.engine.outcome import Outcome, Result
from refresher.engine.plan import Chain, MintedArtifact, Plan, Target
from refresher.engine.refresh import Refresher
from refresher.errors import RefresherError
from refresher.metadata.plan import EndpointHealth, EndpointsHealth
from refresher.observe.answers import answer, list_wanted
from refresher.observe.board import Board
from refresher.observe.messages import Request, Response
from refresher.observe.survey import Survey
from tests.fakes import FakeChain, FakeClock, FakeSupplier
from tests.unit.engine.conftest import clock, supplier, target_of

__all__ = ["clock", "supplier", "target_of"]

ACCESS = MintedArtifact(name="access_token")


class Fleet:
    """What the daemon's observers see; files are published by the real refresher, with unsigned tokens."""

    def __init__(self, clock: FakeClock, target_of: Callable[..., Target]) -> None:
        self.clock = clock
        self.target_of = target_of
        self.board = Board(clock)
        self.bugs: list[RefresherError] = []
        self.survey = Survey(self.board, clock, self.bugs.append)
        self.supplier = FakeSupplier()
        self.targets: dict[str, Target] = {}

    def adopt(self, *names: str, minted: tuple[MintedArtifact, ...] = (), publish: bool = True, **plan: object) -> None:
        """Bring a plan of these targets into force, publish their tokens, and look at all files."""
        self.targets = {name: self.target_of(name, minted=minted) for name in names}
        root = self.target_of("any").directory.root
        made = Plan(root=root, targets=self.targets, suppliers={}, threads={}, chain=_no_chain)
        self.board.note_plan(replace(made, **plan))  # type: ignore[arg-type]  # any attribute of a plan
        for name in names if publish else ():
            self.publish(name)
        self.look()

    def publish(self, name: str) -> None:
        """Refresh a target's token, and note it on the board."""
        refresher = Refresher(
            suppliers={"worker": self.supplier}, chain=lambda: FakeChain(self.clock), clock=self.clock
        )
        self.note(name, refresher.refresh(self.targets[name], first=True))

    def note(self, name: str, outcome: Outcome, **entry: object) -> None:
        """Note how a job ended."""
        made = Entry(target=self.targets[name], failures=int(outcome.error is not None))
        made.next_at = self.clock.now() + timedelta(minutes=25)
        for key, value in entry.items():
            setattr(made, key, value)
        self.board.note_job(made, outcome, self.clock.now())

    def fail(self, name: str, error: RefresherError, **entry: object) -> None:
        """Note a failed job."""
        self.note(name, Outcome(result=Result.FAILED, error=error), **entry)

    def exchange(self, identity: str, state: ExchangeState, problem: str | None = None, **more: object) -> None:
        """Note a tick, and what Google answered for one identity."""
        self.exchange_all(self.build_exchange(identity, state, problem, **more))

    def endpoints(self, *found: EndpointHealth) -> None:
        """Note the metadata endpoints, of which the first one alone was asked."""
        self.board.describe_endpoints = lambda: EndpointsHealth(found, found[0].requests)

    def exchange_all(self, *found: ExchangeHealth) -> None:
        """Note a tick, and what Google answered for several identities."""
        self.board.note_tick(found)

    def build_exchange(
        self, identity: str, state: ExchangeState, problem: str | None = None, **more: object
    ) -> ExchangeHealth:
        """Return what Google answered for one identity."""
        health = ExchangeHealth(
            identity=identity,
            target=identity,
            state=state,
            checked_at=self.clock.now(),
            accepted_at=self.clock.now() if problem is None else None,
            failures=int(problem is not None),
            problem=problem,
            remedy=problem and "grant the role",
        )
        return replace(health, **more)  # type: ignore[arg-type]  # any attribute

    def look(self) -> None:
        """End the survey's round, and look at the files of all targets in another."""
        for _ in range(4 + 2 * len(self.targets) // 100):
            self.survey.advance()

    def ask(self, target: str) -> Response:
        """Answer a request as the server does: after a look at what it asks about."""
        request = Request.parse(target)
        for name in list_wanted(request, self.board):
            self.survey.look(name)
        return answer(request, self.board, self.survey, self.clock.now())


def _no_chain() -> Chain:
    raise AssertionError("no target mints")


@pytest.fixture
def fleet(clock: FakeClock, target_of: Callable[..., Target]) -> Fleet:
    """Return a fleet without a plan."""
    return Fleet(clock, target_of)
