from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.sender import find_problem, send_malformed
from tests.fuzz.target import emulator_on_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LoadCloud

REFUSALS = 4000


def test_any_bytes_get_an_answer(tmp_path: Path, load_cloud: LoadCloud) -> None:
    """Thousands of malformed requests get errors in Google's shape, and the state can be read again afterwards."""
    with emulator_on_disk(tmp_path) as google:
        result = send_malformed(google, refusals=REFUSALS, seed=1)

        assert result.wrong == []
        assert result.refused >= REFUSALS
        assert [entry.path for entry in google.journal.entries() if entry.refusal == "internal"] == []
    assert load_cloud(tmp_path).state == google.state


def test_wrong_answers_are_found() -> None:
    """The check rejects the answers of a server that failed."""
    assert find_problem(500, b'{"error": {"code": 500}}', is_head=False)
    assert find_problem(400, b"Invalid HTTP request received.", is_head=False)
    assert find_problem(404, b'{"detail": "Not Found"}', is_head=False)
    assert not find_problem(404, b'{"error": {"code": 404}}', is_head=False)
