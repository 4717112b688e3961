"""The fixtures of all tests: a missing tool skips a test on a user's machine, and fails it where tools are required."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import sysconfig
import venv
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from refresher.emulator.persistence import open_cloud
from tests.e2e.user_program import act_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from refresher.emulator.cloud import Cloud
    from refresher.emulator.testing import Scenario

    Act = Callable[[Path, Scenario], dict[str, str]]
    LoadCloud = Callable[[Path], Cloud]


@pytest.fixture(scope="session")
def need() -> Need:
    """Return the check that the machine has a program or a right."""
    return Need()


@pytest.fixture(scope="session")
def foreign_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of another virtual environment, which has google-auth but not this product."""
    place = tmp_path_factory.mktemp("foreign")
    venv.create(place, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    libraries = place / "lib" / version / "site-packages" / "google-auth.pth"
    # Python ignores .pth files of a folder that another .pth adds, so the editable product is not imported
    libraries.write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "python"


@pytest.fixture
def act(foreign_python: Path) -> Act:
    """Return a function that acts like a user's program in a container: another environment, only the `env` file."""
    return partial(act_as, foreign_python)


@pytest.fixture
def load_cloud() -> Iterator[LoadCloud]:
    """Return a function that opens the emulator's cloud of a directory; all are closed at the end."""
    with ExitStack() as stack:
        yield lambda directory: stack.enter_context(open_cloud(directory))


class Need:
    """Skips a test, or fails it with REQUIRE_TOOLS=1, when the machine lacks something."""

    def tool(self, name: str, install: str) -> str:
        """Return the path of a program; `install` is the command that installs it."""
        found = shutil.which(name)
        if found is None:
            self._lack(f"{name} is not installed: {install}")
        return str(found)

    def terraform(self) -> None:
        """Require Terraform."""
        self.tool("terraform", "see developer.hashicorp.com/terraform/install")

    def root(self) -> None:
        """Require root."""
        if os.geteuid() != 0:
            self._lack("needs root: run the tests with sudo")

    def acls(self, directory: Path) -> None:
        """Require access control lists on a directory's file system."""
        try:
            os.removexattr(directory, "system.posix_acl_default")
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                self._lack(f"the file system of {directory} has no access control lists: set TMPDIR")

    def _lack(self, reason: str) -> None:
        if os.environ.get("REQUIRE_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
