"""What refreshes the targets of one plan; a bug in one target's refresh ends as a failure of that target alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.engine.artifacts import ArtifactOutcome, ArtifactRefresher
from refresher.engine.minting import Mint
from refresher.engine.refresh import Outcome, Refresher, Result
from refresher.engine.sharing import SharedSupplies
from refresher.errors import RefresherError

if TYPE_CHECKING:
    from refresher.clock import Clock
    from refresher.engine.plan import Plan
    from refresher.engine.target import MintedArtifact, Target


class Engines:
    """The suppliers and the chain of one plan at work: a queued target never meets another plan's."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._tokens = Refresher(supplies=SharedSupplies(plan.suppliers), clock=clock, cautious=plan.cautious)
        self._artifacts = ArtifactRefresher(mint=Mint(plan.chain), clock=clock)
        self._clock = clock

    def refresh(self, target: Target, *, force: bool, first: bool) -> Outcome:
        """Refresh a target as `Refresher.refresh` does; raises nothing."""
        started = self._clock.monotonic()
        try:
            return self._tokens.refresh(target, force=force, first=first)
        except Exception as bug:  # noqa: BLE001 - one target's bug must not take the others down
            return Outcome(
                result=Result.FAILED,
                token=None,
                repaired=(),
                error=_bug(target.name, bug),
                duration=self._clock.monotonic() - started,
                signature=None,
            )

    def mint(self, target: Target, artifact: MintedArtifact) -> ArtifactOutcome:
        """Refresh a further artifact as `ArtifactRefresher.refresh` does; raises nothing."""
        try:
            return self._artifacts.refresh(target, artifact)
        except Exception as bug:  # noqa: BLE001 - one artifact's bug must not take the others down
            return ArtifactOutcome(
                result=Result.FAILED, issued_at=None, expires_at=None, error=_bug(target.name, bug), duration=0.0
            )


def _bug(target: str, bug: Exception) -> RefresherError:
    problem = f"target {target}: unexpected {type(bug).__name__} at {_place(bug)}"
    return RefresherError(problem, "report this as a bug of the refresher")


def _place(error: BaseException) -> str:
    """Name the innermost line of a traceback: a bug's text may quote what it choked on, a place never does."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "an unknown place"
    code = traceback.tb_frame.f_code
    return f"{code.co_qualname}:{traceback.tb_lineno}"
