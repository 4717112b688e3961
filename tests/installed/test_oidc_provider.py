"""The `client_credentials` supplier with a real OpenID provider: npm's oidc-provider, over TLS, found by discovery."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.certificates import make_certificates
from refresher.keys.jose import PrivateKey
from tests.installation import INSTALL_SECONDS, install
from tests.installed.install import OIDC_PROVIDER
from tests.program import Worker, account_of, secret_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.conftest import Act, Need

AUDIENCE = "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
SECRET = "a secret/with + odd: characters"
KEY = PrivateKey.generate("ES256")
CLIENT = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
CLIENTS = [
    CLIENT | {"client_id": "by-basic", "client_secret": SECRET, "token_endpoint_auth_method": "client_secret_basic"},
    CLIENT | {"client_id": "by-post", "client_secret": SECRET, "token_endpoint_auth_method": "client_secret_post"},
    CLIENT
    | {
        "client_id": "by-key",
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": {"keys": [KEY.public_jwk]},
    },
]
WAYS = {"by-basic": "client_secret_basic", "by-post": "client_secret_post", "by-key": "private_key_jwt"}

pytestmark = pytest.mark.timeout(INSTALL_SECONDS)
"""Without `make test-installed`, the first test that needs a program installs it."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running provider, a Google whose pool trusts it, and a worker."""

    issuer: str
    google: Scenario
    worker: Worker

    def configure(self, client: str, *, secret: str | None = None, **changes: Any) -> None:  # noqa: ANN401 - any key
        """Configure one target whose supplier is a client of the provider."""
        held = secret or (KEY.to_pem().decode() if client == "by-key" else SECRET)
        (self.worker.place / "secret").unlink(missing_ok=True)
        (self.worker.place / "secret").write_text(held)
        (self.worker.place / "secret").chmod(0o400)
        supplier: dict[str, Any] = {
            "kind": "client_credentials",
            "issuer": self.issuer,
            "client_id": client,
            "authentication": WAYS[client],
            "secret_file": "secret",
            "parameters": {"resource": AUDIENCE, "scope": "exchange"},
        }
        identity = {"service_account": account_of("target")}
        self.worker.write(
            self.worker.document()
            | {"suppliers": {"idp": supplier | changes}, "identities": {"it": identity}, "targets": {"it": {}}}
        )


@pytest.fixture
def provider(tmp_path: Path, need: Need) -> Iterator[Callable[[], dict[str, Any]]]:
    """Return a function that starts the provider and returns its issuer and keys."""
    made = install(OIDC_PROVIDER, need)
    certificates = make_certificates(tmp_path)
    settings = {
        "key": certificates.key_file.read_text(),
        "certificate": certificates.certificate_file.read_text(),
        "clients": CLIENTS,
        "lifetime": 3600,
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    processes: list[subprocess.Popen[str]] = []

    def start() -> dict[str, Any]:
        with (tmp_path / "provider.log").open("w") as log:
            process = subprocess.Popen(
                [str(shutil.which("node")), str(made / "provider.mjs"), str(tmp_path / "settings.json")],
                env={"PATH": os.environ["PATH"]},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (tmp_path / "provider.log").read_text()
        told: dict[str, Any] = json.loads(line)
        return told | {"ca_file": str(certificates.ca_file)}

    yield start
    for process in processes:
        process.kill()
        process.communicate(timeout=10)


@pytest.fixture
def site(provider: Callable[[], dict[str, Any]], google_emulator: Scenario, tmp_path: Path) -> Iterator[Site]:
    """Return a site; the worker's output must not contain a secret."""
    started = provider()
    origins = dict.fromkeys(("sts", "iam_credentials", "metadata"), google_emulator.http)
    worker = Worker(place=tmp_path, google={"emulator": True, "endpoints": origins, "ca_file": started["ca_file"]})
    google_emulator.add_provider(
        issuer=started["issuer"],
        jwks=started["jwks"],
        mapping={"google.subject": "assertion.sub", "attribute.worker": "assertion.worker"},
    )
    google_emulator.add_service_account(account_of("target"))
    yield Site(issuer=started["issuer"], google=google_emulator, worker=worker)
    assert secret_in(worker.everything_printed()) is None
    assert SECRET not in worker.everything_printed()


@pytest.mark.parametrize("client", WAYS)
def test_client_acts_as_its_account(site: Site, act: Act, client: str) -> None:
    """Discovery finds the provider; Google refuses the client until it is bound, and then accepts it."""
    site.configure(client)

    site.worker.once()
    refused = act(site.worker.directory("it"), site.google)
    site.google.allow(account_of("target"), subject=client)
    accepted = act(site.worker.directory("it"), site.google)

    status = site.worker.status()["it"]
    assert (status["issuer"], status["subject"], status["audience"]) == (site.issuer, client, AUDIENCE)
    assert "iam.serviceAccounts.getAccessToken" in refused["refused"]
    assert accepted["service_account"] == account_of("target")


@pytest.mark.parametrize("client", WAYS)
def test_wrong_secret_is_refused_with_the_providers_text(site: Site, client: str) -> None:
    """A wrong secret or key is reported with the provider's text, and is not shown."""
    wrong = PrivateKey.generate("ES256").to_pem().decode() if client == "by-key" else "wrong-secret"
    site.configure(client, secret=wrong)

    done = site.worker.once(status=3)

    assert f"the token of client {client} of the issuer" in done.stderr
    assert "was refused with HTTP 401" in done.stderr
    assert "check client_id, its secret" in done.stderr
    assert "wrong-secret" not in done.stderr


def test_opaque_access_token_is_not_a_subject_token(site: Site) -> None:
    """Without a resource the provider issues an opaque token; the error shows how to get a JWT."""
    site.configure("by-basic", parameters={})

    done = site.worker.once(status=3)

    assert "is not a JWT" in done.stderr
    assert "JWT access tokens" in done.stderr
    assert not (site.worker.directory("it") / "token").exists()


def test_token_for_another_audience_is_not_published(site: Site) -> None:
    """A JWT for another resource is refused before it is published, since Google would refuse it."""
    site.configure("by-basic", parameters={"resource": "https://api.example.com", "scope": "exchange"})

    done = site.worker.once(status=3)

    assert "aud" in done.stderr
    assert not (site.worker.directory("it") / "token").exists()
