from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.emulator.persistence import open_cloud
from tests.fuzz.hammer import hammer, problem_of
from tests.fuzz.target import emulator_on_disk

if TYPE_CHECKING:
    from pathlib import Path

REFUSALS = 4000


def test_any_bytes_get_an_answer(tmp_path: Path) -> None:
    """Thousands of malformed requests get errors in Google's shape, and what they left behind can be read again."""
    with emulator_on_disk(tmp_path) as google:
        verdict = hammer(google, refusals=REFUSALS, seed=1)

        assert verdict.wrong == []
        assert verdict.refused >= REFUSALS
        assert [entry.path for entry in google.journal.entries() if entry.refusal == "internal"] == []
    assert open_cloud(tmp_path).state == google.state


def test_a_failure_would_be_seen() -> None:
    """The judge objects to what a server that failed would answer."""
    assert problem_of(500, b'{"error": {"code": 500}}', is_head=False)
    assert problem_of(400, b"Invalid HTTP request received.", is_head=False)
    assert problem_of(404, b'{"detail": "Not Found"}', is_head=False)
    assert not problem_of(404, b'{"error": {"code": 404}}', is_head=False)
