"""The examples in which Google signs the subject tokens: for the machine, for several users, and with a key in KMS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.state import DEFAULT_NUMBER
from tests.terraform.test_examples import POOL, account, apply_example, point_at
from tests.terraform.tool import SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Act
    from tests.terraform.conftest import Site

pytestmark = pytest.mark.timeout(SECONDS)

KMS_KEY = "projects/my-project/locations/europe-west1/keyRings/workers/cryptoKeys/signer"


def test_google_as_the_issuer(site: Site, act: Act) -> None:
    """The machine's own account is accepted by its numeric id; another account is not."""
    worker = site.google.add_service_account("worker@other-project.iam.gserviceaccount.com")
    stranger = site.google.add_service_account("stranger@other-project.iam.gserviceaccount.com")
    site.google.state.metadata_account = worker.email
    terraform = site.root("google-issuer", worker_unique_id=worker.unique_id)
    site.supplier = {}
    outputs = apply_example(site, terraform, "worker")
    site.worker.once()

    provider = site.google.state.pools[POOL].providers["refresher"]
    assert provider.condition == f"assertion.sub in ['{worker.unique_id}']"
    assert act(site.worker.directory("worker"), site.google)["service_account"].startswith("task-worker@")

    _put_token(site.worker.directory("worker"), site.google.id_token(stranger.email, audience=_audience(outputs)))

    refused = act(site.worker.directory("worker"), site.google)["refused"]
    assert "rejected by the attribute condition" in refused


def test_google_signed_tokens_of_several_users(site: Site, act: Act) -> None:
    """The worker's account fetches an ID token for each user, who acts as their own account and no other."""
    worker = site.google.add_service_account("worker@my-project.iam.gserviceaccount.com")
    site.google.state.metadata_account = worker.email
    terraform = site.root("generate-id-token")
    site.supplier = {}
    outputs = apply_example(site, terraform, "alice", "bob")
    site.worker.once()

    sources = {name: account(site, f"source-{name}").unique_id for name in ("alice", "bob")}
    assert {name: entry["subject"] for name, entry in outputs["refresher_config"]["identities"].items()} == sources
    for name in ("alice", "bob"):
        assert act(site.worker.directory(name), site.google)["service_account"].startswith(f"task-{name}@")

    point_at(site.worker.directory("bob"), "task-bob@", "task-alice@")

    assert "iam.serviceAccounts.getAccessToken" in act(site.worker.directory("bob"), site.google)["refused"]


def test_key_in_cloud_kms(site: Site, act: Act) -> None:
    """A key that no worker holds signs the tokens; the host's own file has no path of a key."""
    worker = site.google.add_service_account("worker@my-project.iam.gserviceaccount.com")
    site.google.state.metadata_account = worker.email
    site.google.add_crypto_key(KMS_KEY, signers=(f"serviceAccount:{worker.email}",))
    version = f"{KMS_KEY}/cryptoKeyVersions/1"
    site.write_host(
        {
            "version": 1,
            "providers": {"main": {"project_number": DEFAULT_NUMBER, "pool": "workers", "provider": "refresher"}},
            "suppliers": {
                "worker": {"kind": "self_issued", "issuer": "https://workers.invalid", "signer": {"kms": version}}
            },
            "google": {"emulator": True, "endpoints": dict.fromkeys(("cloud_kms", "metadata"), site.google.http)},
        }
    )
    terraform = site.root("kms-signer")
    public = site.worker.run("keys", "jwks", "--config", str(site.worker.configuration), "--supplier", "worker").stdout
    (terraform.place / "jwks.json").write_text(public)
    site.supplier = {}
    apply_example(site, terraform, "task-alice")
    site.worker.once()

    assert site.google.state.pools[POOL].providers["refresher"].jwks == json.loads(public)
    assert act(site.worker.directory("task-alice"), site.google)["service_account"].startswith("task-alice@")


def _put_token(directory: Path, token: str) -> None:
    """Replace the published subject token with another one."""
    (directory / "token").chmod(0o600)
    (directory / "token").write_text(token)


def _audience(outputs: dict[str, Any]) -> str:
    """Return the default audience of the provider, in the form of its tokens."""
    provider = outputs["refresher_config"]["providers"]["main"]
    parent = f"projects/{provider['project_number']}/locations/global/workloadIdentityPools/{provider['pool']}"
    return f"https://iam.googleapis.com/{parent}/providers/{provider['provider']}"
