"""`refresher keys jwks` for a supplier: what its provider must hold, wherever the key is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.program import ISSUER, account_of

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from refresher.emulator.testing import Scenario
    from tests.program import Worker

KEY = "projects/my-project/locations/global/keyRings/workers/cryptoKeys/signer"
MACHINE = account_of("machine")


def jwks(worker: Worker, *arguments: str, status: int = 0) -> CompletedProcess[str]:
    """Ask for the JWKS by the configuration."""
    return worker.run("keys", "jwks", "--config", str(worker.configuration), *arguments, status=status)


@pytest.fixture
def held(cloud: tuple[Worker, Scenario]) -> tuple[Worker, Scenario]:
    """Give a worker with one supplier that signs by Cloud KMS, and one with keys of its own."""
    worker, google = cloud
    google.add_service_account(MACHINE)
    google.state.metadata_account = MACHINE
    google.add_crypto_key(KEY, signers=(f"serviceAccount:{MACHINE}",)).add_version("2")
    document = worker.document()
    kms: dict[str, Any] = {"kind": "self_issued", "issuer": ISSUER, "signer": {"kms": f"{KEY}/cryptoKeyVersions/1"}}
    document["suppliers"]["remote"] = kms
    worker.write(document)
    return worker, google


def test_versions_to_publish_are_chosen(held: tuple[Worker, Scenario]) -> None:
    """By default the version that signs is printed; for a rotation both are, each with an id of its own."""
    worker, _ = held

    (first,) = json.loads(jwks(worker, "--supplier", "remote").stdout)["keys"]
    both = json.loads(jwks(worker, "--supplier", "remote", "--version", "1", "--version", "2").stdout)["keys"]

    assert both[0] == first
    assert both[1]["kid"] != first["kid"]
    assert {key["alg"] for key in both} == {"ES256"}


def test_keys_directory_is_found_by_its_supplier(held: tuple[Worker, Scenario]) -> None:
    """For a supplier with keys of its own the same is printed as for its directory."""
    worker, _ = held

    by_directory = worker.run("keys", "jwks", "--directory", str(worker.place / "keys")).stdout

    assert jwks(worker, "--supplier", "worker").stdout == by_directory


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Give one of --directory and --supplier"),
        (("--supplier", "worker", "--directory", "keys"), "Give one of --directory and --supplier"),
        (("--supplier", "nobody"), "name one of: remote, worker"),
        (("--supplier", "worker", "--version", "1"), "leave --version away"),
    ],
)
def test_impossible_questions_are_refused(held: tuple[Worker, Scenario], arguments: tuple[str, ...], said: str) -> None:
    """What cannot be told is refused with what to write instead."""
    assert said in jwks(held[0], *arguments, status=2).stderr


def test_inspect_asks_cloud_kms_if_told_to(held: tuple[Worker, Scenario]) -> None:
    """With --discover a token that was signed in Cloud KMS is verified with the key that signed it."""
    worker, google = held
    document = worker.document("alice")
    kms: dict[str, Any] = {"kind": "self_issued", "issuer": ISSUER, "signer": {"kms": f"{KEY}/cryptoKeyVersions/1"}}
    worker.write(document | {"suppliers": {"remote": kms}})
    worker.once()
    token = str(worker.directory("alice") / "token")

    found = worker.command("inspect", token, "--discover").stdout
    google.state.crypto_keys[KEY].policy.bindings.clear()
    refused = worker.command("inspect", token, "--discover").stdout

    assert "verified with key" in found
    assert "not verified: the public key" in refused
    assert "roles/cloudkms.signerVerifier" in refused


def test_machine_without_the_role_reads_what_it_lacks(held: tuple[Worker, Scenario]) -> None:
    """Supplying names the role, the key and whose account; so does printing the JWKS."""
    worker, google = held
    google.state.crypto_keys[KEY].policy.bindings.clear()

    refused = jwks(worker, "--supplier", "remote", status=3)

    assert f"grant the machine's service account roles/cloudkms.signerVerifier on {KEY}" in refused.stderr
