"""One pass over targets: refresh what is due, tell how it ended. `refresher once` and the demo's beginning.

The daemon does the same for ever; both go through `refresher.engine.refresh`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from refresher.engine.refresh import Outcome, Refresher
from refresher.engine.sharing import SharedSupplies
from refresher.engine.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refresher.clock import Clock
    from refresher.engine.target import Plan, Target


def refresh_once(plan: Plan, targets: Sequence[Target], *, force: bool, clock: Clock) -> dict[str, Outcome]:
    """Refresh targets side by side, each once.

    Args:
        plan: Whose suppliers serve them.
        targets: Which ones.
        force: Replace fresh tokens too.
        clock: Where the time comes from.

    Returns:
        How each ended, by name. A bug in one target's refresh ends the program like any other.
    """
    refresher = Refresher(supplies=SharedSupplies(plan.suppliers), clock=clock)
    workers = Workers()
    outcomes: dict[str, Outcome] = {}
    bugs: list[BaseException] = []

    def work(target: Target) -> None:
        try:
            outcomes[target.name] = refresher.refresh(target, force=force, first=True)
        except BaseException as bug:  # noqa: BLE001 - carried to the caller's thread
            bugs.append(bug)

    for target in targets:
        workers.submit(target.supplier, partial(work, target), threads=plan.threads[target.supplier])
    workers.wait(None)
    workers.stop()
    if bugs:
        raise bugs[0]
    return outcomes
