from __future__ import annotations

import weakref

from refresher.engine.workers import Workers
from tests.program import until


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
