from __future__ import annotations

import sys
import sysconfig
import venv
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.e2e.acting import act_as
from tests.program import ISSUER, Worker, account_of, secret_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario

    Act = Callable[[Path, Scenario], dict[str, str]]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Give a worker with a key and no configuration; nothing it prints in the test may hold a secret."""
    made = Worker(place=tmp_path)
    made.make_keys()
    yield made
    assert secret_in(made.everything_printed()) is None


@pytest.fixture
def cloud(google_emulator: Scenario, tmp_path: Path) -> Iterator[tuple[Worker, Scenario]]:
    """Give a worker whose keys a local Google trusts, and that Google; alice and bob have accounts of their own."""
    origins = {"sts": google_emulator.http, "iam_credentials": google_emulator.http, "metadata": google_emulator.http}
    made = Worker(place=tmp_path, google={"emulator": True, "endpoints": origins})
    google_emulator.add_provider(issuer=ISSUER, jwks=made.make_keys())
    for name in ("alice", "bob"):
        google_emulator.allow(account_of(name), subject=f"user-{name}")
    yield made, google_emulator
    assert secret_in(made.everything_printed()) is None


@pytest.fixture(scope="session")
def foreign_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the interpreter of another virtual environment, which has google-auth and not this product."""
    place = tmp_path_factory.mktemp("foreign")
    venv.create(place, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    libraries = place / "lib" / version / "site-packages" / "google-auth.pth"
    # .pth files of a folder that is named in one are not read: the product, installed as editable, stays out
    libraries.write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "python"


@pytest.fixture
def act(foreign_python: Path) -> Act:
    """Give what a user's program does in a container: in another environment, with the `env` file alone."""
    return partial(act_as, foreign_python)
