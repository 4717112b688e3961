"""Terraform as a process, on copies of our modules, with the emulator.

By default it uses the stand-in for the google provider in `provider/`. To use the real one without any other change,
set REFRESHER_TEST_PROVIDER_MIRROR to the directory of a filesystem mirror with hashicorp/google 7.33 or newer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULES = Path(__file__).parents[2] / "terraform"
EXAMPLES = tuple(sorted(path.name for path in (MODULES / "examples").iterdir()))
MIRROR_VARIABLE = "REFRESHER_TEST_PROVIDER_MIRROR"
SECONDS = 600.0
"""How many seconds a command may take; the real provider sleeps after every write."""

_HERE = Path(__file__).parent
_VERSION = json.loads((_HERE / "schema.json").read_text())["provider_version"]
_ENDPOINTS = {
    "iam_beta": "v1/",
    "iam": "v1/",
    "resource_manager": "v1/",
    "service_usage": "v1/",
    "iam_credentials": "v1/",
    "logging": "v2/",
    "org_policy": "v2/",
    "iam2": "v2/",
    "monitoring": "",
    "cloud_run_v2": "v2/",
    "storage": "storage/v1/",
}
_CHANGES = 2
"""The status of `plan -detailed-exitcode` if something would change, outputs included."""

_MARKS = re.compile(r"\x1b\[[0-9;]*m|[│╷╵]")


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    status: int
    output: str

    @property
    def text(self) -> str:
        """The output on one line without frames, for comparisons."""
        return " ".join(_MARKS.sub(" ", self.output).split())


@dataclass(frozen=True)
class Terraform:
    """Terraform in one directory.

    Attributes:
        place: A root module.
        environment: The environment variables of its commands.
        variables: The variables that are set, stored in a file next to the module.
    """

    place: Path
    environment: Mapping[str, str]
    variables: dict[str, Any] = field(default_factory=dict)

    def set(self, **variables: Any) -> None:  # noqa: ANN401 - any value of Terraform's
        """Set variables in addition to the present ones."""
        self.variables.update(variables)
        (self.place / "terraform.tfvars.json").write_text(json.dumps(self.variables))

    def run(self, *arguments: str, status: int | None = 0) -> Done:
        """Run a command and check its exit status, unless that is None."""
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=self.place,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        result = Done(done.returncode, done.stdout + done.stderr)
        if status is not None:
            assert done.returncode == status, result.output[-6000:]
        return result

    def init(self) -> None:
        """Install modules and the provider."""
        self.run("init", "-input=false", "-no-color", "-backend=false")

    def apply(self, *arguments: str, status: int | None = 0) -> Done:
        """Apply."""
        return self.run("apply", "-auto-approve", "-input=false", "-no-color", *arguments, status=status)

    def destroy(self, *, status: int | None = 0) -> Done:
        """Destroy."""
        return self.apply("-destroy", status=status)

    def plan(self, *arguments: str) -> dict[str, list[str]]:
        """Plan; return the actions by the address of each resource and output that would change.

        The exit status decides whether the plan is empty, so that nothing that Terraform calls a change is overlooked.
        """
        options = ("-input=false", "-no-color", "-detailed-exitcode", "-out=plan.bin", *arguments)
        status = self.run("plan", *options, status=None)
        assert status.status in (0, _CHANGES), status.output[-6000:]
        shown = json.loads(self.run("show", "-json", "plan.bin").output)
        changes = {change["address"]: change["change"]["actions"] for change in shown.get("resource_changes", [])}
        changes |= {f"output.{name}": change["actions"] for name, change in shown.get("output_changes", {}).items()}
        found = {address: actions for address, actions in changes.items() if actions != ["no-op"]}
        assert (status.status == _CHANGES) == bool(found), found
        return found

    def plan_resources(self) -> dict[str, list[str]]:
        """Plan; return the actions by the address of each resource that would change, without the outputs."""
        return {address: actions for address, actions in self.plan().items() if not address.startswith("output.")}

    def output(self) -> dict[str, Any]:
        """Return the outputs."""
        told = json.loads(self.run("output", "-json").output)
        return {name: entry["value"] for name, entry in told.items()}


def replace_source(text: str, modules: str = "../..") -> str:
    """Replace the address of our modules in a guide by a path."""
    return re.sub(r"git::https://\S+?//terraform([^?\"]*)\?ref=[^\"]*", rf"{modules}\1", text)


def copy_of_modules(place: Path) -> Path:
    """Copy our modules, so that Terraform's own files stay out of the tree."""
    return Path(
        shutil.copytree(MODULES, place / "terraform", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    )


def environment(home: Path, origin: str | None = None, *, project: str = "my-project") -> dict[str, str]:
    """Return environment variables with which the provider comes from a mirror and only calls the emulator.

    Args:
        home: A separate home directory.
        origin: The emulator's origin; None if the provider must not call anything.
        project: The provider's own project.
    """
    configuration = home / "terraform.rc"
    configuration.write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{_mirror(home)}"\n  }}\n}}\n'
    )
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TF_CLI_CONFIG_FILE": str(configuration),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        "GOOGLE_OAUTH_ACCESS_TOKEN": "anything",
        "GOOGLE_PROJECT": project,
        # the real provider calls a fixed host for its own identity: that must fail fast
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    if origin is not None:
        variables |= {f"GOOGLE_{name.upper()}_CUSTOM_ENDPOINT": f"{origin}/{path}" for name, path in _ENDPOINTS.items()}
    return variables


def _mirror(home: Path) -> Path:
    """Return the mirror to install from: that of the environment variable, or a new one of the stand-in."""
    real = os.environ.get(MIRROR_VARIABLE)
    if real:
        return Path(real).resolve()
    mirror = home / "mirror"
    if mirror.is_dir():
        return mirror
    probe = home / "probe"
    probe.mkdir()
    shutil.copy(MODULES / "versions.tf", probe)
    asked = Terraform(probe, {"PATH": os.environ["PATH"], "HOME": str(home), "CHECKPOINT_DISABLE": "1"})
    source = re.search(r"provider\[([^\]]+)\]", asked.run("providers").output)
    platform = json.loads(asked.run("version", "-json").output)["platform"]
    assert source is not None
    binary = mirror / source[1] / _VERSION / platform / f"terraform-provider-google_v{_VERSION}"
    binary.parent.mkdir(parents=True)
    binary.write_text(
        f'#!/bin/sh\nPYTHONPATH="{_HERE.parents[1]}" exec "{sys.executable}" -m tests.terraform.provider\n'
    )
    binary.chmod(0o755)
    return mirror
