"""cloudkms.googleapis.com: the signature of a key that never leaves Google, and the key's public half.

https://docs.cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions. What
is sent and what comes back carries a checksum each (https://docs.cloud.google.com/kms/docs/data-integrity-guidelines):
an answer that does not match is thrown away, and the engine's next attempt is the repetition.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refresher.catalogue import entries
from refresher.errors import SupplyError
from refresher.google.call import Call, Transport
from refresher.resources import Endpoints

ALGORITHM = "EC_SIGN_P256_SHA256"
"""The only one that is of use here: ES256 in JOSE's words."""

_CRC32C_POLYNOMIAL = 0x82F63B78
_ALL = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsKey:
    """One version of a key in Cloud KMS, and the way to it; safe to use from several threads.

    Each method raises a `SupplyError`: Google refused, and the remedy names what is missing; or it did not answer, or
    not as it should; or the key is of another algorithm.

    Attributes:
        version: Resource name, `projects/…/cryptoKeyVersions/N`.
        caller: Whose access token is sent, for messages.
    """

    version: str
    transport: Transport
    endpoints: Endpoints
    caller: str

    def fetch_public_key(self, access_token: str) -> bytes:
        """Return the public half as PEM."""
        call = self._prepare("GET", "/publicKey", "the public key", access_token)
        answer = call.fetch_document(self.transport)
        pem = call.read_text(answer, "pem").encode()
        self._check(call, answer, "pemCrc32c", pem)
        if answer.get("algorithm") != ALGORITHM:
            raise SupplyError(
                f"{self.version} is a key for {str(answer.get('algorithm'))[:50]}",
                f"set signer.kms to a version of a key with the algorithm {ALGORITHM}",
            )
        return pem

    def sign(self, digest: bytes, access_token: str) -> bytes:
        """Return the signature of a SHA-256 digest, DER."""
        body = {"digest": {"sha256": base64.b64encode(digest).decode("ascii")}, "digestCrc32c": str(crc32c(digest))}
        call = self._prepare("POST", ":asymmetricSign", "a signature", access_token, body)
        answer = call.fetch_document(self.transport)
        try:
            signature = base64.b64decode(call.read_text(answer, "signature"), validate=True)
        except ValueError:
            raise call.reject("has no `signature`") from None
        if answer.get("verifiedDigestCrc32c") is not True:
            raise call.reject("shows that the digest was changed on the way")
        self._check(call, answer, "signatureCrc32c", signature)
        return signature

    def _prepare(
        self, method: str, path: str, what: str, access_token: str, body: Mapping[str, Any] | None = None
    ) -> Call:
        key = self.version.partition("/cryptoKeyVersions/")[0]
        return Call(
            asked=f"{what} of {self.version}",
            method=method,
            url=f"{self.endpoints.cloud_kms}/v1/{self.version}{path}",
            bearer=access_token,
            document=body,
            service="kms",
            explain=lambda status, text: entries.find_remedy(status, text, service="kms", key=key, caller=self.caller),
        )

    def _check(self, call: Call, answer: Mapping[str, Any], checksum: str, content: bytes) -> None:
        """Check that an answer is about this very version and that its content has not changed on the way."""
        if answer.get("name") != self.version or str(answer.get(checksum)) != str(crc32c(content)):
            raise call.reject("is about another key, or was changed on the way")


def crc32c(content: bytes) -> int:
    """Return the checksum of a few bytes (CRC32C: RFC 3720, appendix B.4).

    For a hundred bytes this will do; a library would be one more to install on every worker.
    """
    value = _ALL
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ _CRC32C_POLYNOMIAL if value & 1 else value >> 1
    return value ^ _ALL
