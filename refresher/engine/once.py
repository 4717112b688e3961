"""One pass over targets: refresh what is due, and return how it ended. For `refresher once` and the demo's beginning.

The daemon does the same for ever; both go through `refresher.engine.refresh` and `refresher.engine.minter`.
"""

from collections.abc import Callable, Sequence
from functools import partial

from refresher.clock import Clock
from refresher.engine.agenda import Key
from refresher.engine.minter import Minter
from refresher.engine.outcome import Outcome
from refresher.engine.plan import Plan, Target
from refresher.engine.refresh import Refresher
from refresher.engine.shared_tokens import SharedSupplies
from refresher.engine.workers import ARTIFACTS_THREADS, Workers, name_artifacts_lane


def refresh_once(
    plan: Plan, targets: Sequence[Target], *, force: bool, clock: Clock, may_take_over: Callable[[], bool]
) -> dict[Key, Outcome]:
    """Refresh targets side by side, each once, and their optional artifacts after them.

    Args:
        plan: Whose suppliers serve them.
        targets: Which ones.
        force: Whether to replace fresh tokens too.
        clock: Where the time comes from.
        may_take_over: Returns whether a directory may be taken from another identity now.

    Returns:
        How each ended, by target and artifact. A bug in one target's refresh ends the program like any other.
    """
    refresher = Refresher(supplies=SharedSupplies(plan.suppliers), clock=clock, may_take_over=may_take_over)
    minter, workers = Minter(chain=plan.chain, clock=clock), Workers()
    done: dict[Key, Outcome] = {}
    bugs: list[BaseException] = []

    def work(key: Key, refresh: Callable[[], Outcome]) -> None:
        try:
            done[key] = refresh()
        except BaseException as bug:  # noqa: BLE001 - carried to the caller's thread
            bugs.append(bug)

    for target in targets:
        refresh = partial(refresher.refresh, target, force=force, first=True)
        workers.submit(
            target.supplier, partial(work, (target.name, ""), refresh), threads=plan.threads[target.supplier]
        )
    workers.wait(None)
    for target in targets:
        # if the supplier fails, nothing that is still good is replaced, even if that was asked for
        token = done.get((target.name, ""))
        forced = force and token is not None and token.error is None
        for artifact in target.minted:
            mint = partial(minter.refresh, target, artifact, force=forced)
            lane = name_artifacts_lane(target.impersonation, is_failing=False)
            workers.submit(lane, partial(work, (target.name, artifact.name), mint), threads=ARTIFACTS_THREADS)
    workers.wait(None)
    workers.stop()
    if bugs:
        raise bugs[0]
    return done
