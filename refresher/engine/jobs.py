"""How a job is done, with the suppliers and the chain of one plan. When is decided in `refresher.engine.agenda`."""

from collections.abc import Callable
from typing import NamedTuple, Self

from refresher.clock import Clock
from refresher.engine.agenda import Entry
from refresher.engine.metadata import MetadataEndpoints
from refresher.engine.minter import Minter
from refresher.engine.outcome import Outcome, Result
from refresher.engine.plan import Plan
from refresher.engine.refresh import Refresher
from refresher.errors import RefresherError, describe_bug
from refresher.metadata.plan import EndpointPlan, IdToken, Obtained


class Jobs(NamedTuple):
    """The suppliers and the chain of one plan at work: a queued job never meets another plan's."""

    refresher: Refresher
    minter: Minter
    plan: Plan

    @classmethod
    def build(cls, plan: Plan, clock: Clock, endpoints: MetadataEndpoints) -> Self:
        """Return what does the jobs of a plan and of those that follow it with the same suppliers."""
        refresher = Refresher(
            suppliers=plan.suppliers, local=plan.local, chain=plan.chain, clock=clock, endpoints=endpoints
        )
        return cls(refresher, Minter(chain=plan.chain, clock=clock, endpoints=endpoints), plan)

    def run(self, entry: Entry) -> Outcome:
        """Do a job; a bug in it is a failure of that job alone."""
        try:
            if entry.artifact is None:
                return self.refresher.refresh(entry.target, first=not entry.is_known)
            return self.minter.refresh(entry.target, entry.artifact)
        except Exception as bug:  # noqa: BLE001 - one job's bug must not take the others down
            return Outcome(result=Result.FAILED, error=describe_bug(f"target {entry.target.name}", bug))

    def obtain_id_token(self, name: str, plan: EndpointPlan, audience: str, done: Callable[[Obtained], None]) -> None:
        """Mint an ID token for the endpoint of a target, and call `done` with it or with the problem."""
        target = self.plan.targets.get(name)
        if target is None or target.metadata != plan:
            done("the target has just changed")
            return
        try:
            minted = self.minter.mint_id_token(target, audience)
            done(IdToken(value=minted.content.decode(), issued_at=minted.issued_at, expires_at=minted.expires_at))
        except RefresherError as error:
            done(error.problem)
        except Exception as bug:
            done(describe_bug(f"an ID token of target {name}", bug).problem)
            raise
