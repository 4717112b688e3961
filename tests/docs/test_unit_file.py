"""The systemd unit that operators copy: systemd accepts it, and it bounds what a daemon that was taken over can do."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Need

UNIT = Path(__file__).parents[2] / "configs" / "systemd" / "refresher.service"
PROGRAM = "/usr/local/bin/refresher run"


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "WatchdogSec=30s",
        "LimitCORE=0",
        "MemoryMax=512M",
        "TasksMax=512",
        "NoNewPrivileges=yes",
        "ProtectProc=invisible",
        "ProcSubset=pid",
        "RemoveIPC=yes",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@resources",
        "RuntimeDirectory=refresher refresher-status",
        "RuntimeDirectoryPreserve=yes",
    ],
)
def test_unit_has_each_bound(line: str) -> None:
    """Each bound of the unit is there."""
    assert line in UNIT.read_text().splitlines()


def test_systemd_accepts_the_unit(tmp_path: Path, need: Need) -> None:
    """No directive is unknown to systemd or has a value that it does not understand."""
    analyze = need.tool("systemd-analyze", "apt-get install systemd")
    copy = tmp_path / UNIT.name
    assert PROGRAM in UNIT.read_text()
    copy.write_text(UNIT.read_text().replace(PROGRAM, "/bin/true run"))

    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
