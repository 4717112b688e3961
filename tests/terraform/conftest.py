from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
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


ONE_USER: dict[str, Any] = {
    "project_id": "my-project",
    "issuer": {"kind": "self_issued", "uri": "https://workers.invalid"},
    "attribute_condition": {"subject_prefix": "user-"},
    "identities": {"task-alice": {"subject": "user-1042"}},
}
"""Inputs of the root with one identity."""


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
        environment: The environment variables of Terraform's commands.
        supplier: The host's part of the supplier: its paths, programs and secrets.
    """

    google: Scenario
    worker: Worker
    modules: Path
    jwks: dict[str, Any]
    environment: dict[str, str]
    supplier: dict[str, Any] = field(default_factory=dict)

    def root(self, name: str, **variables: Any) -> Terraform:  # noqa: ANN401 - any value of Terraform's
        """Install an example with its `terraform.tfvars.example` and these variables; without protection by default."""
        terraform = Terraform(self.modules / "examples" / name, self.environment)
        declared = (terraform.place / "variables.tf").read_text()
        example = terraform.place / "terraform.tfvars.example"
        if example.exists():
            shutil.copy(example, terraform.place / "terraform.tfvars")
        (terraform.place / "jwks.json").write_text(json.dumps(self.jwks))
        usual = {"deletion_protection": False} if 'variable "deletion_protection"' in declared else {}
        terraform.set(**usual | variables)
        terraform.init()
        return terraform

    def call(self, name: str, /, *, module: str = "", outputs: tuple[str, ...] = (), **inputs: Any) -> Terraform:  # noqa: ANN401 - any value of Terraform's
        """Write a root that calls one of our modules with these inputs, by default the root with one identity.

        Args:
            name: The name of the root's directory. An existing one keeps its state and gets the new call.
            module: The path of the module.
            outputs: The outputs of the module to pass on.
            inputs: The inputs of the call.
        """
        place = self.modules / "examples" / name
        is_new = not place.exists()
        place.mkdir(exist_ok=True)
        (place / "jwks.json").write_text(json.dumps(self.jwks))
        usual = {} if module else {**ONE_USER, "jwks": '${file("jwks.json")}'}
        call = {"source": f"../../{module}".removesuffix("/"), **usual, **inputs}
        told = {output: {"value": f"${{module.main.{output}}}"} for output in outputs}
        document = {"module": {"main": call}} | ({"output": told} if told else {})
        (place / "main.tf.json").write_text(json.dumps(document))
        terraform = Terraform(place, self.environment)
        if is_new:
            terraform.init()
        return terraform

    def host(self, *targets: str, include: tuple[str, ...] = ("federation.yaml",)) -> None:
        """Write the host's own configuration file for Terraform's files, with the emulator's endpoints."""
        endpoints = ("sts", "iam_credentials", "cloud_kms", "metadata")
        self.worker.write(
            {
                "version": 1,
                "include": list(include),
                "suppliers": self._suppliers(),
                "targets": {name: {} for name in targets},
                "directory_root": str(self.worker.root),
                "listen": "none",
                "google": {"emulator": True, "endpoints": dict.fromkeys(endpoints, self.google.http)},
            }
        )

    def write(self, name: str, text: str) -> None:
        """Write a file next to the host's own file."""
        path = self.worker.place / name
        path.write_text(text)
        path.chmod(0o644)

    def check(self, *targets: str, include: tuple[str, ...] = ("federation.yaml",)) -> str:
        """Load Terraform's files with a host file that only adds paths and targets; return the output of `check`."""
        self.write_host(
            {
                "version": 1,
                "include": list(include),
                "suppliers": self._suppliers(),
                "targets": {name: {} for name in targets},
            }
        )
        return self.worker.command("check").stdout

    def _suppliers(self) -> dict[str, Any]:
        return {"worker": self.supplier} if self.supplier else {}

    def write_host(self, document: dict[str, Any]) -> None:
        """Write the host's own configuration file."""
        self.worker.configuration.write_text(yaml.safe_dump(document))
        self.worker.configuration.chmod(0o600)


@pytest.fixture
def site(google_emulator: Scenario, tmp_path: Path, home: Path, terraform_installed: None) -> Iterator[Site]:
    """Return a cloud with nothing but a project, and a worker with a key; nothing printed may contain a secret."""
    place = tmp_path / "worker"
    place.mkdir()
    worker = Worker(place=place)
    jwks = worker.make_keys()
    site = Site(google_emulator, worker, copy_of_modules(tmp_path), jwks, environment(home, google_emulator.http))
    site.supplier = {"keys": str(place / "keys")}
    yield site
    assert secret_in(worker.everything_printed()) is None
    shutil.rmtree(site.modules)
