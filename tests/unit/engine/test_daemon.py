from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from refresher.engine.daemon import Daemon
from refresher.engine.plan import Plan
from refresher.engine.reporting import Reporter
from refresher.engine.status import Board
from refresher.publishing.lock import RootHeldError
from tests.fakes import FakeClock, FakeSupplier
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from refresher.engine.target import Target

    MakeTarget = Callable[..., Target]


class LateWorkers:
    """Workers that begin when a test says so."""

    def __init__(self) -> None:
        self._jobs: list[Callable[[], None]] = []

    def submit(self, lane: str, job: Callable[[], None], *, threads: int) -> None:
        """Queue a job."""
        assert lane
        assert threads
        self._jobs.append(job)

    def work(self) -> None:
        """Do what is queued, and what that queues."""
        while self._jobs:
            self._jobs.pop(0)()


class Stage:
    """A daemon whose plans, workers and clock a test moves."""

    def __init__(self, clock: FakeClock) -> None:
        self.plan: Plan | None = None
        self.refused: Path | None = None
        self.events: list[str] = []
        self.workers = LateWorkers()
        board = Board()
        self.daemon = Daemon(
            plans=self,
            hold=self._hold,
            retire=lambda _root, _kept, _now, _among: (),
            workers=self.workers,  # type: ignore[arg-type]  # the same calls, later
            reporter=Reporter(board=board, listener=self._hear),
            board=board,
            clock=clock,
            draw=lambda: 0.5,
        )

    def poll(self, *, force: bool) -> Plan | None:
        """Give a plan once."""
        assert not force
        plan, self.plan = self.plan, None
        return plan

    def follow(self, target: Target, supplier: FakeSupplier) -> None:
        """Let the next tick find a plan with one target."""
        self.plan = Plan(
            root=target.directory.root,
            targets={target.name: target},
            suppliers={"worker": supplier},
            threads={"worker": 1},
            chain=_no_chain,
        )

    def _hold(self, root: Path) -> None:
        if root == self.refused:
            raise RootHeldError("another daemon already publishes there", "stop it")

    def _hear(self, event: Any) -> None:  # noqa: ANN401 - as the reporter gives it
        self.events.append(event.name)


def _no_chain() -> Any:  # noqa: ANN401 - never called
    raise AssertionError("no target mints")


def unnamed(target: Target, request: str, supplier: str) -> tuple[Target, FakeSupplier]:
    """Give a target whose subject only its supplier knows, and that supplier."""
    target = replace(
        target,
        expected=replace(target.expected, subject=None),
        context=replace(target.context, subject=None),
        token_request=request,
    )
    return target, FakeSupplier(fixed=make_jwt(subject=supplier))


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    """Give a daemon that nothing was asked of."""
    return Stage(clock)


def test_target_that_waited_meets_no_other_plans_supplier(stage: Stage, target_of: MakeTarget) -> None:
    """A target that is still queued when the plan changes gets no token of the new plan's supplier."""
    alice, hers = unnamed(target_of(), "file of alice", "alice")
    bob, his = unnamed(target_of(account="bob@p.iam.gserviceaccount.com"), "file of bob", "bob")
    stage.follow(alice, hers)
    stage.daemon.tick()
    stage.follow(bob, his)
    stage.daemon.tick()

    stage.workers.work()

    assert (len(hers.contexts), len(his.contexts)) == (0, 1)
    files = {path.name: path.read_bytes() for path in bob.directory.path.iterdir()}
    assert (files["token"], files["credentials.json"]) == ((his.fixed or "").encode(), bob.credentials)


def test_plan_for_a_root_of_another_daemon_is_refused(stage: Stage, target_of: MakeTarget, tmp_path: Path) -> None:
    """A plan whose root another daemon holds is told of once; the former one stays until the root is free."""
    target, supplier = target_of(), FakeSupplier()
    stage.follow(target, supplier)
    stage.daemon.tick()
    stage.workers.work()
    elsewhere = replace(target, directory=replace(target.directory, root=tmp_path / "b", path=tmp_path / "b" / "alice"))
    stage.refused = tmp_path / "b"
    stage.follow(elsewhere, supplier)

    stage.daemon.tick()
    stage.workers.work()

    stage.daemon.tick()
    assert stage.events.count("config.rejected") == 1
    assert not (tmp_path / "b").exists()
    assert (target.directory.path / "env").exists()

    stage.refused = None
    stage.daemon.tick()
    stage.workers.work()

    assert (elsewhere.directory.path / "env").exists()
