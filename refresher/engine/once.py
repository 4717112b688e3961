"""One pass over targets: refresh what is due, and return how it ended. For `refresher once` and the demo's beginning.

The daemon does the same for ever, and does this one when it is asked to; both go through `refresher.engine.refresh` and
`refresher.engine.minter`.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from refresher.clock import Clock
from refresher.engine.agenda import Key
from refresher.engine.metadata import MetadataEndpoints
from refresher.engine.minter import Minter
from refresher.engine.outcome import Outcome
from refresher.engine.plan import MintedArtifact, Plan, Target
from refresher.engine.refresh import Refresher
from refresher.engine.workers import Workers, choose_lane
from refresher.publishing.retirement import remove_leftovers

_BEAT_SECONDS = 1.0
"""How often `meanwhile` is called."""


def refresh_once(  # noqa: PLR0913 - what a caller does not need has a default
    plan: Plan,
    targets: Sequence[Target],
    *,
    force: bool,
    clock: Clock,
    may_take_over: Callable[[], bool],
    workers: Workers | None = None,
    seconds: float | None = None,
    meanwhile: Callable[[], None] = lambda: None,
    endpoints: MetadataEndpoints | None = None,
) -> dict[Key, Outcome]:
    """Refresh targets of a plan side by side, each once, and their optional artifacts after them.

    Args:
        plan: What the targets belong to.
        targets: Which of them.
        force: Whether fresh tokens are replaced too.
        clock: Where the time comes from.
        may_take_over: That of `Refresher`.
        workers: What the jobs run on, if the caller wants to know when the last of them ends.
        seconds: How long to wait for all of them; None for as long as it takes.
        meanwhile: Called about every second.
        endpoints: The daemon's metadata endpoints, which get new access tokens too; None if this is not the daemon.

    Returns:
        How each ended, by target and artifact; what did not end in time is left out. A bug in one target's refresh is
        raised like any other.
    """
    remove_leftovers(plan.root)
    refresher = Refresher(
        suppliers=plan.suppliers, local=plan.local, chain=plan.chain, clock=clock, may_take_over=may_take_over
    )
    minter, workers = Minter(chain=plan.chain, clock=clock, endpoints=endpoints), workers or Workers()
    deadline = None if seconds is None else time.monotonic() + seconds
    done: dict[Key, Outcome] = {}
    bugs: list[BaseException] = []

    def submit(target: Target, artifact: MintedArtifact | None, refresh: Callable[[], Outcome]) -> None:
        def work() -> None:
            try:
                done[target.name, "" if artifact is None else artifact.name] = refresh()
            except BaseException as bug:  # noqa: BLE001 - carried to the caller's thread
                bugs.append(bug)

        lane, threads = choose_lane(plan, target, artifact)
        workers.submit(lane, work, threads=threads)

    def wait() -> None:
        while not workers.wait(_BEAT_SECONDS) and (deadline is None or time.monotonic() < deadline):
            meanwhile()

    for target in targets:
        submit(target, None, partial(refresher.refresh, target, force=force, first=True))
    wait()
    for target in targets:
        # if the supplier fails, nothing that is still good is replaced, even if that was asked for
        token = done.get((target.name, ""))
        forced = force and token is not None and token.error is None
        for artifact in target.minted if endpoints is None else target.minting:
            submit(target, artifact, partial(minter.refresh, target, artifact, force=forced))
    wait()
    workers.stop()
    if bugs:
        raise bugs[0]
    return dict(done)
