from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import google_crc32c
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from refresher.emulator.crypto_keys import RSA_2048, STATES, CryptoKey
from refresher.emulator.seed import apply_seed
from refresher.emulator.state import State
from refresher.errors import EmulatorError
from tests.unit.emulator.storage_calls import issue_token

if TYPE_CHECKING:
    from refresher.emulator.http import Reply
    from tests.unit.emulator.conftest import Google

KEY = "projects/my-project/locations/global/keyRings/workers/cryptoKeys/signer"
VERSION = f"{KEY}/cryptoKeyVersions/1"
CAROL = "user:carol@example.com"
MESSAGE = b"header.payload"
DIGEST = hashlib.sha256(MESSAGE).digest()


def sign(google: Google, token: str, version: str = VERSION, **fields: Any) -> Reply:  # noqa: ANN401 - any JSON
    """Ask for a signature of the digest, by default with its checksum."""
    digest = {"sha256": base64.b64encode(DIGEST).decode()}
    document = {"digest": digest, "digestCrc32c": str(google_crc32c.value(DIGEST)), **fields}
    return google.ask("POST", f"/v1/{version}:asymmetricSign", document=document, token=token)


@pytest.fixture
def key(google: Google) -> CryptoKey:
    """Return a key that carol may sign with and see."""
    made = CryptoKey(project="my-project")
    made.add_version()
    made.policy.allow("roles/cloudkms.signerVerifier", CAROL)
    google.cloud.state.crypto_keys[KEY] = made
    return made


@pytest.fixture
def carol(google: Google, key: CryptoKey) -> str:
    """Return an access token of carol."""
    return issue_token(google, CAROL)


def test_public_key_verifies_the_signature(google: Google, carol: str) -> None:
    """The published public key verifies the signature; every content has its CRC32C."""
    signed = sign(google, carol).document
    published = google.ask("GET", f"/v1/{VERSION}/publicKey", token=carol).document

    public = load_pem_public_key(published["pem"].encode())
    signature = base64.b64decode(signed["signature"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, MESSAGE, ec.ECDSA(SHA256()))
    assert published["algorithm"] == "EC_SIGN_P256_SHA256"
    assert published["pemCrc32c"] == str(google_crc32c.value(published["pem"].encode()))
    assert signed["signatureCrc32c"] == str(google_crc32c.value(signature))
    assert signed["verifiedDigestCrc32c"] is True
    assert signed["name"] == published["name"] == VERSION


def test_rsa_key_signs_too(google: Google, key: CryptoKey, carol: str) -> None:
    """A key of the other algorithm shows it, and signs with it."""
    google.cloud.state.crypto_keys[KEY] = CryptoKey(project="my-project", algorithm=RSA_2048, policy=key.policy)
    google.cloud.state.crypto_keys[KEY].add_version()

    published = google.ask("GET", f"/v1/{VERSION}/publicKey", token=carol).document
    signature = base64.b64decode(sign(google, carol).document["signature"])

    public = load_pem_public_key(published["pem"].encode())
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(signature, MESSAGE, padding.PKCS1v15(), SHA256())
    assert published["algorithm"] == "RSA_SIGN_PKCS1_2048_SHA256"


def test_answer_shows_whether_the_checksum_was_verified(google: Google, carol: str) -> None:
    """Without a checksum in the request, the answer shows that none was verified."""
    assert sign(google, carol, digestCrc32c=None).document["verifiedDigestCrc32c"] is False


@pytest.mark.parametrize(
    "fields",
    [
        {"digestCrc32c": "1"},
        {"digest": {"sha256": "AAAA"}},
        {"digest": {"sha256": "no base64"}},
        {"digest": {"sha512": base64.b64encode(DIGEST).decode()}},
        {"digest": None},
    ],
    ids=["checksum", "short", "text", "sha512", "none"],
)
def test_bad_digests_are_refused(google: Google, carol: str, fields: dict[str, Any]) -> None:
    """A digest that is not one of SHA-256, or does not match its checksum, is not signed."""
    refused = sign(google, carol, **fields)

    assert refused.status == 400
    assert refused.document["error"]["status"] == "INVALID_ARGUMENT"


def test_caller_without_role_is_refused(google: Google, carol: str) -> None:
    """Without a role the caller reads which permission is denied on what, but not whether the key exists."""
    stranger = issue_token(google, "user:mallory@example.com")

    signing = sign(google, stranger)
    seeing = google.ask("GET", f"/v1/{VERSION}/publicKey", token=stranger)
    absent = sign(google, stranger, VERSION.replace("signer", "other"))

    said = "Permission 'cloudkms.cryptoKeyVersions.{}' denied on resource '{}' (or it may not exist)."
    assert signing.status == seeing.status == absent.status == 403
    assert signing.document["error"]["message"] == said.format("useToSign", KEY)
    assert seeing.document["error"]["message"] == said.format("viewPublicKey", VERSION)
    assert absent.document["error"]["message"] == said.format("useToSign", KEY.replace("signer", "other"))


def test_signer_may_not_see_the_public_key(google: Google, key: CryptoKey) -> None:
    """The role of a signer permits to sign, but not to read the public key."""
    key.policy.allow("roles/cloudkms.signer", "user:dave@example.com")
    dave = issue_token(google, "user:dave@example.com")

    assert sign(google, dave).status == 200
    assert google.ask("GET", f"/v1/{VERSION}/publicKey", token=dave).status == 403


@pytest.mark.parametrize("state", STATES[1:])
def test_version_that_is_not_enabled_is_refused(google: Google, key: CryptoKey, carol: str, state: str) -> None:
    """Neither signature nor public key is available in another state, and the error shows the state."""
    key.versions["1"].state = state

    answers = [sign(google, carol), google.ask("GET", f"/v1/{VERSION}/publicKey", token=carol)]

    for answer in answers:
        assert answer.status == 400
        assert answer.document["error"]["status"] == "FAILED_PRECONDITION"
        assert answer.document["error"]["message"] == f"{VERSION} is not enabled, current state is: {state}."


def test_absent_version_and_key_are_not_found(google: Google, carol: str) -> None:
    """A caller with rights to all keys of the project reads what does not exist."""
    google.cloud.state.projects["my-project"].policy.allow("roles/cloudkms.signerVerifier", CAROL)

    version = sign(google, carol, f"{KEY}/cryptoKeyVersions/2")
    key = sign(google, carol, VERSION.replace("signer", "other"))

    assert version.document["error"]["message"] == f"CryptoKeyVersion {KEY}/cryptoKeyVersions/2 not found."
    assert key.document["error"]["message"] == f"CryptoKey {KEY.replace('signer', 'other')} not found."
    assert version.status == key.status == 404


def test_signature_is_refused_when_the_api_is_disabled(google: Google, carol: str) -> None:
    """Without the API nothing is signed, and the message shows what to enable."""
    google.cloud.state.projects["my-project"].services.discard("cloudkms.googleapis.com")

    refused = sign(google, carol)

    assert refused.status == 403
    assert refused.document["error"]["message"].startswith(
        "Cloud Key Management Service (KMS) API has not been used in project 123456789012"
    )


@pytest.mark.parametrize(
    "key",
    [
        {"no-key": {}},
        {KEY.replace("my-project", "unknown"): {}},
        {KEY: {"algorithm": "EC_SIGN_P384_SHA384"}},
        {KEY: {"versions": {"1": "BROKEN"}}},
        {KEY: {"colour": "red"}},
    ],
    ids=["name", "project", "algorithm", "state", "unknown"],
)
def test_seed_with_an_invalid_key_is_refused(key: dict[str, Any]) -> None:
    """A seed with an invalid name, algorithm, state or setting creates nothing."""
    state = State()

    with pytest.raises(EmulatorError):
        apply_seed(state, {"crypto_keys": key})

    assert state.crypto_keys == {}


def test_seed_keeps_the_key_when_it_is_applied_again(google: Google) -> None:
    """An existing version keeps its key and gets the state of the seed."""
    apply_seed(google.cloud.state, {"crypto_keys": {KEY: None}})
    before = google.cloud.state.crypto_keys[KEY].versions["1"].key

    apply_seed(google.cloud.state, {"crypto_keys": {KEY: {"versions": {"1": "DISABLED", "2": "ENABLED"}}}})

    versions = google.cloud.state.crypto_keys[KEY].versions
    assert versions["1"].key == before
    assert {number: version.state for number, version in versions.items()} == {"1": "DISABLED", "2": "ENABLED"}


def test_audit_log_shows_who_signed(google: Google, carol: str) -> None:
    """With Data Access logs a signature, a read of the public half and a refusal have the caller and the key."""
    mallory = issue_token(google, "user:mallory@example.com")
    sign(google, carol)
    google.cloud.state.projects["my-project"].policy.audit_configs = [
        {"service": "cloudkms.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}]}
    ]

    sign(google, carol)
    google.ask("GET", f"/v1/{VERSION}/publicKey", token=carol)
    sign(google, mallory)

    body = {"resourceNames": ["projects/my-project"], "filter": 'resource.type="cloudkms_cryptokeyversion"'}
    entries = google.ask("POST", "/v2/entries:list", document=body, token="anything").document["entries"]
    told = [entry["protoPayload"] for entry in entries]
    assert [
        (entry["methodName"], entry["authenticationInfo"]["principalEmail"], entry["status"].get("code"))
        for entry in told
    ] == [
        ("AsymmetricSign", "carol@example.com", None),
        ("GetPublicKey", "carol@example.com", None),
        ("AsymmetricSign", "mallory@example.com", 7),
    ]
    assert {entry["resourceName"] for entry in told} == {VERSION}
    assert entries[0]["resource"]["labels"] == {
        "project_id": "my-project",
        "location": "global",
        "key_ring_id": "workers",
        "crypto_key_id": "signer",
        "crypto_key_version_id": "1",
    }
    assert entries[0]["logName"] == "projects/my-project/logs/cloudaudit.googleapis.com%2Fdata_access"
