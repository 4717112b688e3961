"""What every test gets: a missing tool skips on a user's machine and fails where tools are required."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture
def need() -> Need:
    """Give the check that a test needs a program or a right that the machine may lack."""
    return Need()


class Need:
    """Skips a test, or fails it with REQUIRE_TOOLS=1, when the machine lacks something."""

    def tool(self, name: str, install: str) -> str:
        """Give the path of a program; `install` says how to get it."""
        found = shutil.which(name)
        if found is None:
            self._lack(f"{name} is not installed: {install}")
        return str(found)

    def root(self) -> None:
        """Go on only as root."""
        if os.geteuid() != 0:
            self._lack("needs root: run the tests with sudo")

    def _lack(self, reason: str) -> None:
        if os.environ.get("REQUIRE_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
