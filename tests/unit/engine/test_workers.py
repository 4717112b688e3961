from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import pytest

from refresher.engine.plan import MintedArtifact, Plan
from refresher.engine.workers import CANARY_LANE, KEYS_LANE, Workers, choose_lane, list_lanes
from tests.program import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.engine.plan import Target


class Job:
    """A job that a test can watch."""

    def __call__(self) -> None:
        """Do nothing."""


def test_job_that_is_done_is_not_kept() -> None:
    """A thread that waits for its next job does not hold the last one, and with it a former plan."""
    workers = Workers()
    job = Job()
    kept = weakref.ref(job)
    workers.submit("lane", job, threads=1)
    del job
    until(lambda: kept() is None, what="the end of the job")
    workers.stop()


def test_lanes_of_a_plan_are_those_of_all_its_jobs(target_of: Callable[..., Target]) -> None:
    """Whichever way the jobs of a target go, its lanes stay open while the plan holds."""
    token = MintedArtifact(name="access_token")
    targets = [target_of("a"), target_of("b", minted=(token,)), target_of("c", has_pool=False), target_of("d")]
    plan = Plan(
        root=targets[0].directory.root,
        targets={target.name: target for target in targets},
        suppliers={},
        threads={},
        chain=lambda: pytest.fail("nothing is minted"),
    )
    jobs = [(target, artifact) for target in targets for artifact in (None, *target.minting)]
    lanes = {choose_lane(plan, *job, is_failing=failing)[0] for job in jobs for failing in (False, True)}
    assert list_lanes(plan) == {KEYS_LANE, CANARY_LANE, *lanes}
