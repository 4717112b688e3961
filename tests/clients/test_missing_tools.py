from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.clients.registry import CLIENTS
from tests.clients.table import GUIDE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("program", ["table", "soak"])
def test_missing_tool_is_shown_and_nothing_runs(program: str, tmp_path: Path) -> None:
    """If all tools are required, a missing one is shown with its remedy, and the guide stays as it is."""
    before = GUIDE.read_bytes()
    lasting = [client for client in CLIENTS if program == "table" or not client.is_tool]

    done = subprocess.run(
        [sys.executable, "-m", f"tests.clients.{program}"],
        env={"PATH": str(tmp_path), "REQUIRE_TOOLS": "1"},
        cwd=GUIDE.parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert all(client.name in told and client.remedy in told for client in lasting)
    assert GUIDE.read_bytes() == before
