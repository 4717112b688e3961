"""One pass over targets: refresh what is due, tell how it ended. `refresher once` and the demo's beginning.

The daemon does the same for ever; both go through `refresher.engine.refresh`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from refresher.engine.artifacts import ArtifactOutcome, ArtifactRefresher
from refresher.engine.minting import Mint
from refresher.engine.refresh import Outcome, Refresher
from refresher.engine.sharing import SharedSupplies
from refresher.engine.workers import ARTIFACTS_THREADS, Workers, artifacts_lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refresher.clock import Clock
    from refresher.engine.plan import Plan
    from refresher.engine.target import MintedArtifact, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What came of one pass.

    Attributes:
        outcomes: By target.
        artifacts: By target and name of the further artifact.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    artifacts: dict[tuple[str, str], ArtifactOutcome] = field(default_factory=dict)


def refresh_once(plan: Plan, targets: Sequence[Target], *, force: bool, clock: Clock) -> Pass:
    """Refresh targets side by side, each once, and their further artifacts after them.

    Args:
        plan: Whose suppliers serve them.
        targets: Which ones.
        force: Replace fresh tokens too.
        clock: Where the time comes from.

    Returns:
        How each ended. A bug in one target's refresh ends the program like any other.
    """
    refresher = Refresher(supplies=SharedSupplies(plan.suppliers), clock=clock, cautious=plan.cautious)
    workers = Workers()
    artifact_refresher = ArtifactRefresher(mint=Mint(plan.chain), clock=clock)
    done = Pass()
    bugs: list[BaseException] = []

    def work(target: Target) -> None:
        try:
            done.outcomes[target.name] = refresher.refresh(target, force=force, first=True)
        except BaseException as bug:  # noqa: BLE001 - carried to the caller's thread
            bugs.append(bug)

    def mint(target: Target, artifact: MintedArtifact) -> None:
        try:
            # with a supplier that fails nothing is replaced that is still good, even if that was asked for
            forced = force and done.outcomes[target.name].error is None
            done.artifacts[target.name, artifact.name] = artifact_refresher.refresh(target, artifact, force=forced)
        except BaseException as bug:  # noqa: BLE001 - carried to the caller's thread
            bugs.append(bug)

    for target in targets:
        workers.submit(target.supplier, partial(work, target), threads=plan.threads[target.supplier])
    workers.wait(None)
    for target in targets:
        for artifact in target.minted:
            lane = artifacts_lane(target.impersonation, is_failing=False)
            workers.submit(lane, partial(mint, target, artifact), threads=ARTIFACTS_THREADS)
    workers.wait(None)
    workers.stop()
    if bugs:
        raise bugs[0]
    return done
