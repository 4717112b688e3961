from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.tokens import peek
from tests.program import until

if TYPE_CHECKING:
    from tests.conftest import Need
    from tests.program import Worker

YEAR = 365 * 24 * 3600


@pytest.mark.parametrize("seconds", [-3600, 10 * YEAR], ids=["an hour back", "ten years on"])
def test_ticks_go_on_after_a_jump(worker: Worker, need: Need, seconds: int) -> None:
    """After the wall clock was set, tokens are minted with the new time, again and again, within seconds."""
    library = next(Path(need.tool("faketime", "apt-get install faketime")).parents[1].glob("lib/*/faketime/*time.so.1"))
    offset = worker.place / "offset"
    offset.write_text("+0")
    worker.environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    worker.lifetime = "6s"
    worker.configure("alice")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        offset.write_text(f"{seconds:+d}")
        log.wait_for("clock.jumped")
        former = len(log.events("token.published"))
        log.wait_for("token.published", count=former + 2)

        there = datetime.now(UTC).timestamp() + seconds
        until(
            lambda: abs(peek(worker.token("alice")).issued_at.timestamp() - there) < 60, what="a token of the new time"
        )
        assert log.end(signal.SIGTERM) == 0
