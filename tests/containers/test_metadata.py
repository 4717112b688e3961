"""A metadata endpoint in a podman container that runs in a namespace that was created before it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from refresher.emulator.testing import emulator
from tests.containers.runtimes import Podman
from tests.network_namespaces import open_site
from tests.program import ISSUER, Worker, account_of, secret_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Need

    Run = Callable[..., str]

pytestmark = [pytest.mark.slow, pytest.mark.apart]

GOOGLE_AUTH = """
import json, google.auth, google.auth.transport.requests
with google.auth.transport.requests.Request().session as session:
    request = google.auth.transport.requests.Request(session)
    credentials, project = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"], request=request)
    credentials.refresh(request)
print(json.dumps({"email": credentials.service_account_email, "project": project}))
"""


@pytest.fixture(scope="module")
def run(public: Path, need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Return a function that runs a program in alice's container, with the variables of `env` or with none."""
    need.root()
    need.tool("podman", "apt install podman")
    need.tool("runc", "apt install runc")
    place = tmp_path_factory.mktemp("metadata")
    with emulator() as google, open_site(place) as namespaces:
        origins = {"sts": google.http, "iam_credentials": google.http, "metadata": google.http}
        worker = Worker(place=place, google={"emulator": True, "endpoints": origins})
        google.add_provider(issuer=ISSUER, jwks=worker.make_keys())
        google.allow(account_of("alice"), subject="user-alice")
        path = namespaces.make("alice")
        target = {"metadata": {"netns": str(path), "link_local": True}, "environment": "metadata"}
        worker.configure("alice", targets={"alice": target})
        env = worker.directory("alice") / "env"

        def run_in_container(*command: str, has_variables: bool) -> str:
            podman = Podman(place=public).command(
                *command, uid=1042, mounts=[], env_file=env if has_variables else None
            )
            replaced = {"--network=host": f"--network=ns:{path}"}
            if not has_variables:
                replaced["--no-hosts"] = "--add-host=metadata.google.internal:169.254.169.254"
            done = subprocess.run(
                [replaced.get(each, each) for each in podman], capture_output=True, text=True, check=False, timeout=100
            )
            assert done.returncode == 0, done.stderr[-2000:]
            return done.stdout

        with worker.daemon("--netns-helper", str(namespaces.socket)):
            worker.command("wait", "--timeout", "30s")
            yield run_in_container
    assert secret_in(worker.everything_printed()) is None


@pytest.mark.parametrize("has_variables", [True, False], ids=["variables", "nothing set"])
def test_google_auth_acts_as_the_account(run: Run, *, has_variables: bool) -> None:
    """Nothing is mounted: the variables are enough, and so are the link-local address and a host entry."""
    found = json.loads(run("/mnt/python/bin/python3", "-c", GOOGLE_AUTH, has_variables=has_variables))

    assert found == {"email": account_of("alice"), "project": "my-project"}
