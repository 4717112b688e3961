"""The READMEs of modules and examples: their calls plan and their commands work as they are written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.terraform.test_structure import FOLDERS, LIBRARY, shorten
from tests.terraform.tool import MODULES, SECONDS, Terraform, replace_source

if TYPE_CHECKING:
    from tests.terraform.conftest import Site

pytestmark = pytest.mark.timeout(SECONDS)

ROOTS = [folder for folder in FOLDERS if "examples" in folder.parts]
KEYS = "/var/lib/refresher/keys"
KMS_KEY = "projects/my-project/locations/europe-west1/keyRings/workers/cryptoKeys/signer"
TOOLS = {
    "gcloud": "#!/bin/sh\necho 100000000000000000001\n",
    "kubectl": '#!/bin/sh\ncase "$3" in /openid/*) cat "$KEY_SET" ;; *) echo "{}" ;; esac\n',
}
"""Stand-ins for the programs that some commands need."""


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("folder", LIBRARY, ids=shorten)
def test_call_of_a_module_plans(folder: Path, site: Site) -> None:
    """The call in the README of each module can be planned as it is, with another source."""
    place = site.modules / "examples" / "readme"
    place.mkdir()
    (place / "jwks.json").write_text(json.dumps(site.jwks))
    (place / "main.tf").write_text(replace_source(blocks(folder / "README.md", "hcl")[0]))
    terraform = Terraform(place, site.environment)
    terraform.init()

    assert set(map(tuple, terraform.plan_resources().values())) == {("create",)}


@pytest.mark.parametrize("folder", ROOTS, ids=shorten)
def test_commands_of_an_example_work(folder: Path, site: Site, tmp_path: Path) -> None:
    """The commands in the README of each example work in their order, and the host's file there loads the result."""
    place = site.modules / folder.relative_to(MODULES)
    keys = tmp_path / "keys"
    _prepare_cloud(site)
    if folder.name == "team":
        site.google.add_provider(issuer="https://workers.invalid", jwks=site.jwks)
    for page in blocks(folder / "README.md", "yaml"):
        if "signer: {kms" in page:
            google = {"emulator": True, "endpoints": dict.fromkeys(("cloud_kms", "metadata"), site.google.http)}
            (place / "kms.yaml").write_text(page + yaml.safe_dump({"google": google}))

    done = subprocess.run(
        ["sh", "-eu"],
        input=blocks(folder / "README.md", "sh")[0].replace(KEYS, str(keys)),
        cwd=place,
        env=_shell(site, tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for page in blocks(folder / "README.md", "yaml"):
        if "include:" in page:
            site.write("federation.yaml", (place / "federation.yaml").read_text())
            site.write_host(yaml.safe_load(page.replace(KEYS, str(keys))))
            assert "fine" in site.worker.command("check").stdout


def _prepare_cloud(site: Site) -> None:
    """Create what the examples expect to exist: projects, a bucket, the worker's account, a key."""
    for number, project in enumerate(("data-project", "other-project", "team-project"), 2):
        site.google.state.add_project(project, str(number) * 12)
    site.google.add_bucket("data")
    site.google.add_service_account("worker@my-project.iam.gserviceaccount.com")
    site.google.state.metadata_account = "worker@my-project.iam.gserviceaccount.com"
    site.google.add_crypto_key(KMS_KEY, signers=("serviceAccount:worker@my-project.iam.gserviceaccount.com",))


def _shell(site: Site, place: Path) -> dict[str, str]:
    """Return the environment of a shell in which the commands of a README run without questions."""
    tools = place / "tools"
    tools.mkdir()
    for name, script in TOOLS.items():
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    (place / "jwks.json").write_text(json.dumps(site.jwks))
    return {
        **site.environment,
        "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "TF_CLI_ARGS_apply": "-auto-approve",
        "TF_INPUT": "0",
        "KEY_SET": str(place / "jwks.json"),
    }
