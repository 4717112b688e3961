from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.program import Worker, secret_in
from tests.terraform.tool import Terraform, copy_of_modules, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.conftest import Need


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home directory for Terraform, with the provider's mirror in it."""
    return tmp_path_factory.mktemp("terraform-home")


@pytest.fixture
def terraform_installed(need: Need) -> None:
    """Require Terraform."""
    need.terraform()


@dataclass
class Site:
    """A cloud, our modules, and a worker with keys and files.

    Attributes:
        google: The cloud.
        worker: The worker's machine.
        modules: A copy of our modules.
        jwks: The public keys of the worker.
    """

    google: Scenario
    worker: Worker
    modules: Path
    jwks: dict[str, Any]
    _environment: dict[str, str]

    def root(self, name: str, **variables: Any) -> Terraform:  # noqa: ANN401 - any value of Terraform's
        """Install an example and set its variables; by default nothing is protected from deletion."""
        terraform = Terraform(self.modules / "examples" / name, self._environment)
        declared = (terraform.place / "variables.tf").read_text()
        usual = {
            "deletion_protection": False,
            "jwks": json.dumps(self.jwks),
            "keys_directory": str(self.worker.place / "keys"),
            "project_id": "my-project",
        }
        terraform.set(**{key: value for key, value in usual.items() if f'variable "{key}"' in declared} | variables)
        terraform.init()
        return terraform

    def host(self, *targets: str, include: tuple[str, ...] = ("federation.yaml",)) -> None:
        """Write the host's own configuration file for Terraform's files, with the emulator's endpoints."""
        origins = {"sts": self.google.http, "iam_credentials": self.google.http, "metadata": self.google.http}
        self.worker.write(
            {
                "version": 1,
                "include": list(include),
                "targets": {name: {} for name in targets},
                "directory_root": str(self.worker.root),
                "listen": "none",
                "google": {"emulator": True, "endpoints": origins},
            }
        )

    def write(self, name: str, text: str) -> None:
        """Write a file next to the host's own file."""
        path = self.worker.place / name
        path.write_text(text)
        path.chmod(0o644)

    def check_in_three_lines(self, *targets: str, include: tuple[str, ...] = ("federation.yaml",)) -> str:
        """Load Terraform's files with a host file of three lines; return the output of `check`."""
        lines = (
            "version: 1",
            f"include: [{', '.join(include)}]",
            f"targets: {yaml.safe_dump({name: {} for name in targets}, default_flow_style=True).strip()}",
        )
        self.worker.configuration.write_text("\n".join(lines) + "\n")
        self.worker.configuration.chmod(0o600)
        return self.worker.command("check").stdout


@pytest.fixture
def site(google_emulator: Scenario, tmp_path: Path, home: Path, terraform_installed: None) -> Iterator[Site]:
    """Return a cloud with nothing but a project, and a worker with a key; nothing printed may contain a secret."""
    place = tmp_path / "worker"
    place.mkdir()
    worker = Worker(place=place)
    jwks = worker.make_keys()
    site = Site(google_emulator, worker, copy_of_modules(tmp_path), jwks, environment(home, google_emulator.http))
    yield site
    assert secret_in(worker.everything_printed()) is None
    shutil.rmtree(site.modules)
