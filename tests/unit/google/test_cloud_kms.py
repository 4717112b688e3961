from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresher.errors import SupplyError
from refresher.google.call import Response
from refresher.google.cloud_kms import KmsKey, crc32c
from refresher.resources import Endpoints
from tests.failures import is_retryable
from tests.fakes import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "projects/p-1-test/locations/global/keyRings/workers/cryptoKeys/signer"
VERSION = f"{KEY}/cryptoKeyVersions/3"
TOKEN = "ya29.source"
PEM = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
SIGNATURE = b"\x30\x06\x02\x01\x01\x02\x01\x02"
PUBLISHED = {
    "pem": PEM,
    "algorithm": "EC_SIGN_P256_SHA256",
    "pemCrc32c": str(google_crc32c.value(PEM.encode())),
    "name": VERSION,
}
SIGNED = {
    "signature": base64.b64encode(SIGNATURE).decode(),
    "signatureCrc32c": str(google_crc32c.value(SIGNATURE)),
    "verifiedDigestCrc32c": True,
    "name": VERSION,
}


def make_key(document: object, status: int = 200) -> tuple[KmsKey, FakeTransport]:
    """Return a key whose Cloud KMS always returns this answer."""
    transport = FakeTransport(lambda _: Response(status=status, headers={}, body=json.dumps(document).encode()))
    key = KmsKey(
        version=VERSION, transport=transport, endpoints=Endpoints.of_universe(), caller="the machine's service account"
    )
    return key, transport


CHANGED = "is about another key, or was changed on the way"


def fetch(key: KmsKey) -> object:
    """Ask for the public key."""
    return key.fetch_public_key(TOKEN)


def sign(key: KmsKey) -> object:
    """Request a signature."""
    return key.sign(bytes(32), TOKEN)


@given(st.binary(max_size=300))
def test_checksum_is_googles(content: bytes) -> None:
    """The checksum of any content is the one of Google's own library."""
    assert crc32c(content) == google_crc32c.value(content)


def test_digest_is_sent_with_its_checksum() -> None:
    """A signature is asked for with the digest, its checksum and the caller's token, and returned as it came."""
    key, transport = make_key(SIGNED)
    digest = bytes(range(32))

    signature = key.sign(digest, TOKEN)

    (request,) = transport.requests
    assert signature == SIGNATURE
    assert request.method == "POST"
    assert request.url == f"https://cloudkms.googleapis.com/v1/{VERSION}:asymmetricSign"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert json.loads(request.body or b"") == {
        "digest": {"sha256": base64.b64encode(digest).decode()},
        "digestCrc32c": str(google_crc32c.value(digest)),
    }


def test_public_key_is_returned_as_it_came() -> None:
    """The public key is asked for below the version."""
    key, transport = make_key(PUBLISHED)

    pem = key.fetch_public_key(TOKEN)

    (request,) = transport.requests
    assert pem == PEM.encode()
    assert (request.method, request.url) == ("GET", f"https://cloudkms.googleapis.com/v1/{VERSION}/publicKey")


@pytest.mark.parametrize(
    ("ask", "answer", "fault"),
    [
        (sign, SIGNED | {"signatureCrc32c": "1"}, CHANGED),
        (sign, SIGNED | {"signatureCrc32c": None}, CHANGED),
        (sign, SIGNED | {"verifiedDigestCrc32c": False}, "shows that the digest was changed on the way"),
        (sign, SIGNED | {"name": f"{KEY}/cryptoKeyVersions/4"}, CHANGED),
        (sign, SIGNED | {"signature": "no base64"}, "has no `signature`"),
        (fetch, PUBLISHED | {"pemCrc32c": "1"}, CHANGED),
        (fetch, PUBLISHED | {"name": f"{KEY}/cryptoKeyVersions/4"}, CHANGED),
        (fetch, PUBLISHED | {"pem": None}, "has no `pem`"),
    ],
    ids=["crc", "no-crc", "unverified", "version", "base64", "pem-crc", "pem-version", "no-pem"],
)
def test_damaged_answer_is_rejected(ask: Callable[[KmsKey], object], answer: dict[str, Any], fault: str) -> None:
    """An answer that does not match its checksum, or is of another version, is a retryable failure."""
    key, _ = make_key(answer)

    with pytest.raises(SupplyError, match=f"{VERSION} failed: the response {fault}", check=is_retryable):
        ask(key)


def test_key_of_another_algorithm_is_refused() -> None:
    """A key for another algorithm than ES256 is reported with its algorithm, and with the one to choose."""
    key, _ = make_key(PUBLISHED | {"algorithm": "RSA_SIGN_PSS_2048_SHA256"})

    with pytest.raises(SupplyError) as caught:
        key.fetch_public_key(TOKEN)

    assert "RSA_SIGN_PSS_2048_SHA256" in caught.value.problem
    assert "EC_SIGN_P256_SHA256" in caught.value.remedy
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "text", "remedy"),
    [
        (
            403,
            f"Permission 'cloudkms.cryptoKeyVersions.useToSign' denied on resource '{KEY}' (or it may not exist).",
            f"grant the machine's service account roles/cloudkms.signerVerifier on {KEY}",
        ),
        (
            403,
            "Cloud Key Management Service (KMS) API has not been used in project 98765 before or it is disabled.",
            "gcloud services enable cloudkms.googleapis.com --project=98765",
        ),
        (403, "Request had insufficient authentication scopes.", "access scope to cloud-platform"),
        (403, "Request is prohibited by organization's policy.", "perimeter's ingress rules"),
        (400, f"{VERSION} is not enabled, current state is: DISABLED.", "enable it"),
        (400, f"{VERSION} is not enabled, current state is: DESTROYED.", "an enabled version of the key"),
        (400, "The key is for something else.", "EC_SIGN_P256_SHA256"),
        (404, f"CryptoKeyVersion {VERSION} not found.", f"letter by letter: {KEY}"),
        (401, "Request had invalid authentication credentials.", "the supplier's own credentials"),
    ],
)
def test_refusal_has_a_remedy(status: int, text: str, remedy: str) -> None:
    """Each refusal of Cloud KMS names what is missing, on which key and for which caller, and is permanent."""
    key, _ = make_key({"error": {"code": status, "message": f"{text} {TOKEN}"}}, status)

    with pytest.raises(SupplyError) as caught:
        key.sign(bytes(32), TOKEN)

    assert remedy in caught.value.remedy
    assert VERSION in caught.value.problem
    assert TOKEN not in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize("status", [429, 500, 503])
def test_failure_of_google_is_retryable(status: int) -> None:
    """An overload or a failure of Google's is retryable."""
    key, _ = make_key({}, status)

    with pytest.raises(SupplyError, check=is_retryable):
        key.sign(bytes(32), TOKEN)
