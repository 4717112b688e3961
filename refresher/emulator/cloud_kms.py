"""cloudkms.googleapis.com: signatures of keys that never leave Google, and the public halves of these keys.

https://docs.cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions. Keys
come from the seed or from a test. There are only signing keys, and HTTP can neither create nor destroy them.
"""

import base64
import binascii
from collections.abc import Mapping

import google_crc32c
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from refresher.emulator.authentication import CLOUD_PLATFORM, authenticate, check_perimeter, check_service
from refresher.emulator.cloud import Cloud
from refresher.emulator.crypto_keys import ENABLED, CryptoKey, CryptoKeyVersion
from refresher.emulator.errors import Refusal, api_refusal
from refresher.emulator.http import Call, Reply, Route, read_object, read_text
from refresher.emulator.permissions import Resource, has_permission
from refresher.emulator.tokens import Bearer

SERVICE = "cloudkms.googleapis.com"
KMS = "https://www.googleapis.com/auth/cloudkms"
USE_TO_SIGN = "cloudkms.cryptoKeyVersions.useToSign"
VIEW_PUBLIC_KEY = "cloudkms.cryptoKeyVersions.viewPublicKey"
_DIGEST_BYTES = 32


def get_public_key(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Return the public half of a key version as PEM, with its checksum."""
    name = call.facts["key_version"] = _version_name(names)
    caller = _authenticate(cloud, call)
    key, version = _find_version(cloud, caller, names, VIEW_PUBLIC_KEY, name)
    pem = _load(version.key).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    document = {
        "pem": pem.decode(),
        "algorithm": key.algorithm,
        "pemCrc32c": _compute_checksum(pem),
        "name": name,
        "protectionLevel": "SOFTWARE",
        "publicKeyFormat": "PEM",
    }
    return Reply(document=document)


def sign_digest(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Sign a SHA-256 digest, after a check of its checksum if the request has one. Signatures of EC keys are DER."""
    name = call.facts["key_version"] = _version_name(names)
    caller = _authenticate(cloud, call)
    _, version = _find_version(cloud, caller, names, USE_TO_SIGN, name.rpartition("/cryptoKeyVersions/")[0])
    body = call.json()
    digest = _read_digest(read_text(read_object(body, "digest"), "sha256"))
    checksum = body.get("digestCrc32c")
    if checksum is not None and str(checksum) != _compute_checksum(digest):
        raise api_refusal(
            "invalid",
            service=SERVICE,
            problem="The checksum in field digest_crc32c did not match the data in field digest.",
        )
    signature = _sign(_load(version.key), digest)
    document = {
        "signature": base64.b64encode(signature).decode(),
        "signatureCrc32c": _compute_checksum(signature),
        "verifiedDigestCrc32c": checksum is not None,
        "name": name,
        "protectionLevel": "SOFTWARE",
    }
    return Reply(document=document)


def _authenticate(cloud: Cloud, call: Call) -> Bearer:
    return authenticate(cloud, call, service=SERVICE, scopes=(CLOUD_PLATFORM, KMS))


def _version_name(names: Mapping[str, str]) -> str:
    return f"{_key_name(names)}/cryptoKeyVersions/{names['version']}"


def _key_name(names: Mapping[str, str]) -> str:
    return (
        f"projects/{names['project']}/locations/{names['location']}/keyRings/{names['ring']}/cryptoKeys/{names['key']}"
    )


def _find_version(
    cloud: Cloud, caller: Bearer, names: Mapping[str, str], permission: str, shown: str
) -> tuple[CryptoKey, CryptoKeyVersion]:
    """Find a key version. A caller without the permission doesn't learn whether it exists.

    Raises:
        Refusal: The API is off, the caller lacks the permission, the version doesn't exist, or it is not enabled.
    """
    project = names["project"]
    check_service(cloud, project, SERVICE)
    check_perimeter(cloud, project, SERVICE)
    name = _key_name(names)
    key = cloud.state.crypto_keys.get(name)
    resource = Resource(
        name=name,
        service=SERVICE,
        kind=f"{SERVICE}/CryptoKey",
        project=key.project if key is not None else project,
        policy=key.policy if key is not None else None,
    )
    if not has_permission(cloud, caller, permission, resource):
        raise api_refusal("I1", service=SERVICE, permission=permission, resource=f" '{shown}'")
    version = key.versions.get(names["version"]) if key is not None else None
    if key is None or version is None:
        what = "CryptoKeyVersion" if key is not None else "CryptoKey"
        raise _not_found(f"{what} {_version_name(names) if key is not None else name} not found.")
    if version.state != ENABLED:
        problem = f"{_version_name(names)} is not enabled, current state is: {version.state}."
        raise api_refusal("precondition", service=SERVICE, problem=problem)
    return key, version


def _not_found(message: str) -> Refusal:
    return Refusal(404, {"error": {"code": 404, "message": message, "status": "NOT_FOUND"}}, "not_found")


def _read_digest(text: str) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise api_refusal("bad_field", service=SERVICE, field="digest.sha256") from None
    if len(digest) != _DIGEST_BYTES:
        raise api_refusal("bad_field", service=SERVICE, field="digest.sha256")
    return digest


def _sign(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, digest: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(digest, padding.PKCS1v15(), Prehashed(SHA256()))
    return key.sign(digest, ec.ECDSA(Prehashed(SHA256())))


def _load(pem: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)  # noqa: S101 - by algorithm
    return key


def _compute_checksum(content: bytes) -> str:
    """Return the CRC32C as Google writes an int64 in JSON: decimal digits in a text."""
    return str(google_crc32c.value(content))


_VERSION = "/v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{version}"

ROUTES = (
    Route("cloudkms.getPublicKey", "GET", f"{_VERSION}/publicKey", get_public_key),
    Route("cloudkms.asymmetricSign", "POST", f"{_VERSION}:asymmetricSign", sign_digest),
)
