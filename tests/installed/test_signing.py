"""The programs of docs/signing.md in Python, Node and Go, with their libraries from the registries."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.installation import INSTALL_SECONDS, OUTPUT, install
from tests.installed.install import SIGNING_GO, SIGNING_NODE, SIGNING_PYTHON
from tests.signatures import check_blob, check_url, claims_of, printed, programs
from tests.signing_site import ALICE, SigningSite, signing_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.conftest import Need

PATH = f"{os.environ['PATH']}:/usr/local/go/bin"

pytestmark = pytest.mark.timeout(INSTALL_SECONDS)
"""Without `make test-installed`, the first test that needs a program installs it."""


@pytest.fixture
def site(tmp_path: Path, google_emulator: Scenario) -> Iterator[SigningSite]:
    """Return a container and its Google, whose account may sign."""
    with signing_site(tmp_path, google_emulator) as made:
        made.allow_signing()
        yield made


def read_output(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the output of a program that succeeded."""
    assert done.returncode == 0, done.stderr[-OUTPUT:] + done.stdout[-OUTPUT:]
    return printed(done.stdout)


def test_python_signs_urls(site: SigningSite, need: Need, foreign_python: Path) -> None:
    """google-cloud-storage signs a URL, and the account's published certificate verifies it."""
    made = install(SIGNING_PYTHON, need)
    site.variables["PYTHONPATH"] = str(made / "packages")

    url = read_output(site.run(str(foreign_python), "-B", "-c", programs("python")[1]))["url"]

    assert check_url(site.google, ALICE, url) == "/data/hello.txt"


def test_node_signs_without_settings(site: SigningSite, need: Need) -> None:
    """@google-cloud/storage signs a URL without any setting, and google-auth-library signs a JWT."""
    made = install(SIGNING_NODE, need)
    (made / "sign.mjs").write_text(programs("js")[0])

    found = read_output(site.run(str(shutil.which("node")), str(made / "sign.mjs"), path=PATH))

    assert check_url(site.google, ALICE, found["url"]) == "/data/hello.txt"
    assert claims_of(site.google, ALICE, found["jwt"])["sub"] == ALICE


def test_go_signs_by_the_api(site: SigningSite, need: Need) -> None:
    """A Go program with golang.org/x/oauth2 signs a JWT and bytes."""
    made = install(SIGNING_GO, need)
    (made / "main.go").write_text(programs("go")[0])
    subprocess.run(["go", "build", "-o", "sign", "."], cwd=made, check=True, timeout=300)

    found = read_output(site.run(str(made / "sign"), ALICE))

    assert claims_of(site.google, ALICE, found["jwt"])["sub"] == ALICE
    check_blob(site.google, ALICE, found["blob"], b"anything")
