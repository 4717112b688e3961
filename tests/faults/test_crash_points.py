from __future__ import annotations

import tempfile
from pathlib import Path
from random import randrange

import pytest

from tests.faults.crash_points import ERRORS, MEMORY, search
from tests.faults.crash_scenarios import SCENARIOS, Scenario

STRIDE = 6
"""Every so many calls one meets an error here; `make crash` lets each call meet each."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_a_killed_program_leaves_is_whole_and_healed_by_the_next_start(scenario: Scenario) -> None:
    """Killed before any call, or refused one, the program leaves whole files, and the next start completes its work."""
    first, shift = randrange(STRIDE), randrange(len(ERRORS))  # noqa: S311 - others each time, over time all

    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        result = search(
            Path(place),
            scenario,
            lambda number: [ERRORS[(number // STRIDE + shift) % len(ERRORS)]] if number % STRIDE == first else [],
        )

    assert result.crashes > 0
    assert result.errors > 0 or scenario.name == "drop-in removed"
    assert result.failures == []
