"""What Cloud KMS answers for one key, with Google's own checksums."""

from __future__ import annotations

import base64
import json

import google_crc32c
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def answer_as_kms(
    key: ec.EllipticCurvePrivateKey, version: str, content: bytes, *, signature: bytes | None = None
) -> bytes:
    """Return the public key for a call without a body, and else a signature of its digest, or the given one."""
    if not content:
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        document = {"pem": pem.decode(), "pemCrc32c": str(google_crc32c.value(pem))}
    else:
        digest = base64.b64decode(json.loads(content)["digest"]["sha256"])
        signed = signature or key.sign(digest, ec.ECDSA(Prehashed(SHA256())))
        checksum = str(google_crc32c.value(signed))
        document = {"signature": base64.b64encode(signed).decode(), "signatureCrc32c": checksum}
    known = {"name": version, "algorithm": "EC_SIGN_P256_SHA256", "verifiedDigestCrc32c": True}
    return json.dumps(document | known).encode()
