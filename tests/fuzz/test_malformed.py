from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.hammer import hammer, problem_of

if TYPE_CHECKING:
    from refresher.emulator.testing import Scenario

REFUSALS = 4000


def test_any_bytes_get_an_answer(google_emulator: Scenario) -> None:
    """Thousands of malformed requests get errors in Google's shape: no failure of a rule, no silence, no traceback."""
    verdict = hammer(google_emulator, refusals=REFUSALS, seed=1)

    assert verdict.wrong == []
    assert verdict.refused >= REFUSALS
    assert [entry.path for entry in google_emulator.journal.entries() if entry.refusal == "internal"] == []


def test_a_failure_would_be_seen() -> None:
    """The judge objects to what a server that failed would answer."""
    assert problem_of(500, b'{"error": {"code": 500}}', is_head=False)
    assert problem_of(400, b"Invalid HTTP request received.", is_head=False)
    assert problem_of(404, b'{"detail": "Not Found"}', is_head=False)
    assert not problem_of(404, b'{"error": {"code": 404}}', is_head=False)
