"""The systemd unit that operators copy: systemd accepts it, and it bounds what a daemon that was taken over can do."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Need

UNIT = Path(__file__).parents[2] / "configs" / "systemd" / "refresher.service"
HELPER_UNIT = UNIT.with_name("refresher-netns.service")
PROGRAMS = {UNIT: "/usr/local/bin/refresher run", HELPER_UNIT: "/usr/local/bin/refresher-netns --user"}


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


@pytest.mark.parametrize("unit", PROGRAMS, ids=lambda unit: unit.name)
def test_systemd_accepts_the_unit(tmp_path: Path, need: Need, unit: Path) -> None:
    """No directive is unknown to systemd or has a value that it does not understand."""
    analyze = need.tool("systemd-analyze", "apt-get install systemd")
    copy = tmp_path / unit.name
    assert PROGRAMS[unit] in unit.read_text()
    copy.write_text(unit.read_text().replace(PROGRAMS[unit], "/bin/true run"))

    done = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", PROGRAMS, ids=lambda unit: unit.name)
def test_unit_leaves_little_exposed(need: Need, unit: Path) -> None:
    """Systemd's own measure of what a service could do is at most 2.5 of 10."""
    analyze = need.tool("systemd-analyze", "apt-get install systemd")
    command = [analyze, "security", "--offline=true", "--threshold=25", str(unit)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout[-300:]


def test_helper_has_three_capabilities() -> None:
    """What enters namespaces can do nothing else that root can."""
    capabilities = "CAP_SYS_ADMIN CAP_NET_ADMIN CAP_NET_BIND_SERVICE"
    lines = HELPER_UNIT.read_text().splitlines()

    assert f"AmbientCapabilities={capabilities}" in lines
    assert f"CapabilityBoundingSet={capabilities}" in lines
    assert "NoNewPrivileges=yes" in lines
