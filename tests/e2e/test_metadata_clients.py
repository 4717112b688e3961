"""Clients in a namespace with nothing but the variables of `env`, on a worker without a pool."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.e2e.test_impersonation import grant, of_the_metadata_server, without_pool
from tests.network_namespaces import NamespaceSite, open_site
from tests.program import account_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.conftest import Need
    from tests.program import Worker

pytestmark = pytest.mark.slow

GOOGLE_AUTH = """
import json, sys, google.auth, google.auth.transport.requests, google.oauth2.id_token
with google.auth.transport.requests.Request().session as session:
    request = google.auth.transport.requests.Request(session)
    credentials, project = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"], request=request)
    credentials.refresh(request)
    print(json.dumps({"token": credentials.token, "project": project}))
    print(google.oauth2.id_token.fetch_id_token(request, "https://api.example"))
"""


class Container:
    """A namespace in which only the loopback exists, with the emulator at the address that it has on the host."""

    def __init__(self, namespaces: NamespaceSite, google: Scenario, env: Path) -> None:
        self._path = namespaces.root / "alice"
        self._env = env
        self.origin = google.http
        namespaces.forward("alice", urlsplit(google.http).port or 0)

    def run(self, *command: str, **more: str) -> str:
        """Return what a program prints that has the variables of `env` and these."""
        variables = dict(line.split("=", 1) for line in self._env.read_text().splitlines())
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **variables, **more}
        done = subprocess.run(
            ["nsenter", f"--net={self._path}", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


@pytest.fixture
def container(cloud: tuple[Worker, Scenario], tmp_path: Path, need: Need) -> Iterator[Container]:
    """Return a container of alice, whose account may read a bucket; the worker has one role and no pool."""
    need.root()
    worker, google = cloud
    own = of_the_metadata_server(worker, google)
    grant(google, "alice")
    google.add_bucket("data", readers=(f"serviceAccount:{account_of('alice')}",))
    google.add_object("data", "hello.txt", b"hello from the bucket")
    with open_site(tmp_path) as namespaces:
        metadata = {"netns": str(namespaces.make("alice")), "link_local": True}
        worker.write(without_pool(worker, own, "alice", metadata=metadata, environment="metadata"))
        with worker.daemon("--netns-helper", str(namespaces.socket)):
            worker.command("wait", "--timeout", "30s")
            yield Container(namespaces, google, worker.directory("alice") / "env")


def test_google_auth_acts_as_the_account(
    container: Container, cloud: tuple[Worker, Scenario], foreign_python: Path
) -> None:
    """Python gets access tokens and ID tokens, and the directory holds no document that it could read."""
    worker, google = cloud

    access, id_token = container.run(str(foreign_python), "-c", GOOGLE_AUTH).splitlines()

    found = json.loads(access)
    assert google.whoami(found["token"])["service_account"] == account_of("alice")
    assert found["project"] == "my-project"
    assert id_token.count(".") == 2
    assert set(worker.files("alice")) == {"access_token", "artifacts.json", "env"}


def test_gcloud_acts_as_the_account(container: Container, tmp_path: Path, need: Need) -> None:
    """The command line finds its account itself, and reads what the account may read."""
    gcloud = need.tool("gcloud", "install the Google Cloud CLI")
    more = {
        "HOME": str(tmp_path),
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{container.origin}/storage/v1/",
    }

    assert account_of("alice") in container.run(gcloud, "auth", "list", "--format=value(account)", **more)
    assert container.run(gcloud, "storage", "cat", "gs://data/hello.txt", **more) == "hello from the bucket"


@pytest.mark.parametrize("host", ["127.0.0.1:8174", "169.254.169.254"])
def test_curl_acts_as_the_account(container: Container, cloud: tuple[Worker, Scenario], host: str) -> None:
    """Both addresses answer, the second one for clients that read no variable."""
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"

    answer = container.run("curl", "-sS", "--max-time", "20", "-H", "Metadata-Flavor: Google", url)

    token = json.loads(answer)["access_token"]
    assert cloud[1].whoami(token)["service_account"] == account_of("alice")
