"""`refresher keys jwks` for a supplier: what its provider must hold, wherever the key is."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from refresher.app.targets import compose_jwks_command
from refresher.config.loader import load
from tests.program import ISSUER, account_of, until

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from refresher.emulator.testing import Scenario
    from tests.conftest import Act
    from tests.program import Worker

KEY = "projects/my-project/locations/global/keyRings/workers/cryptoKeys/signer"
MACHINE = account_of("machine")
MOST_THREADS = 16
"""That ask for the public key before the first of them knows it."""


def jwks(worker: Worker, *arguments: str, status: int = 0) -> CompletedProcess[str]:
    """Ask for the JWKS by the configuration."""
    return worker.run("keys", "jwks", "--config", str(worker.configuration), *arguments, status=status)


@pytest.fixture
def held(cloud: tuple[Worker, Scenario]) -> tuple[Worker, Scenario]:
    """Return a worker with one supplier that signs with Cloud KMS, and one with keys of its own."""
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


@pytest.mark.parametrize("supplier", ["worker", "remote"])
def test_command_of_the_remedy_prints_the_keys(held: tuple[Worker, Scenario], supplier: str) -> None:
    """The command in the remedy of a refused key prints the keys of that supplier, from any directory."""
    worker, _ = held
    command = compose_jwks_command(load(worker.configuration), supplier)
    assert command is not None

    program, *arguments, _, file = shlex.split(command)

    assert (program, file) == ("refresher", "jwks.json")
    assert worker.run(*arguments).stdout == jwks(worker, "--supplier", supplier).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Use either --directory or --supplier"),
        (("--supplier", "worker", "--directory", "keys"), "Use either --directory or --supplier"),
        (("--supplier", "nobody"), "use one of: remote, worker"),
        (("--supplier", "worker", "--version", "1"), "omit --version"),
    ],
)
def test_impossible_questions_are_refused(held: tuple[Worker, Scenario], arguments: tuple[str, ...], said: str) -> None:
    """A question that cannot be answered is refused with a remedy."""
    assert said in jwks(held[0], *arguments, status=2).stderr


def test_rotation_as_the_guide_has_it(held: tuple[Worker, Scenario], act: Act) -> None:
    """Publish both versions, sign with the second, publish it alone: no exchange is refused at any time."""
    worker, google = held
    worker.lifetime = "20s"

    def configure(version: int) -> None:
        document = worker.document("alice")
        name = f"{KEY}/cryptoKeyVersions/{version}"
        kms = {"kind": "self_issued", "issuer": ISSUER, "lifetime": "20s", "signer": {"kms": name}}
        worker.write(document | {"suppliers": {"remote": kms}})

    def publish(*versions: str) -> list[str]:
        chosen = [word for version in versions for word in ("--version", version)]
        published = json.loads(jwks(worker, "--supplier", "remote", *chosen).stdout)
        google.add_provider(issuer=ISSUER, jwks=published)
        return [key["kid"] for key in published["keys"]]

    def key_id() -> str:
        return str(jwt.get_unverified_header(worker.token("alice"))["kid"])

    configure(1)
    first, second = publish("1", "2")
    with worker.daemon() as log:
        log.wait_for("token.published", target="alice")
        used = [(key_id(), act(worker.directory("alice"), google))]
        configure(2)
        until(lambda: key_id() == second, what="a token of the second version")
        used.append((key_id(), act(worker.directory("alice"), google)))
        publish("2")
        used.append((key_id(), act(worker.directory("alice"), google)))

    assert [kid for kid, _ in used] == [first, second, second]
    assert [acted["service_account"] for _, acted in used] == [account_of("alice")] * 3
    assert not log.events("token.supply_failed")


def test_each_token_is_one_signature(held: tuple[Worker, Scenario]) -> None:
    """Forty identities cost forty signatures and one access token of the machine; the key is asked for a few times."""
    worker, google = held
    names = [f"t{number}" for number in range(40)]
    document = worker.document(*names)
    kms: dict[str, Any] = {"kind": "self_issued", "issuer": ISSUER, "signer": {"kms": f"{KEY}/cryptoKeyVersions/1"}}
    worker.write(document | {"suppliers": {"remote": kms}})
    google.journal.clear()

    worker.once()

    asked = Counter(entry.operation for entry in google.journal.entries())
    assert asked["cloudkms.asymmetricSign"] == len(names)
    assert asked["metadata.token"] == 1
    assert 1 <= asked["cloudkms.getPublicKey"] <= MOST_THREADS
    assert {state["state"] for state in worker.status().values()} == {"fresh"}


def test_inspect_asks_cloud_kms_with_discover(held: tuple[Worker, Scenario]) -> None:
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


def test_machine_without_the_role_is_reported(held: tuple[Worker, Scenario]) -> None:
    """Supplying names the role, the key and whose account; so does printing the JWKS."""
    worker, google = held
    google.state.crypto_keys[KEY].policy.bindings.clear()

    refused = jwks(worker, "--supplier", "remote", status=3)

    assert f"grant the machine's service account roles/cloudkms.signerVerifier on {KEY}" in refused.stderr
