"""cloudkms.googleapis.com: the signature of a key that never leaves Google, and the key's public half.

https://docs.cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions. What
is sent and what comes back carries a checksum each (https://docs.cloud.google.com/kms/docs/data-integrity-guidelines):
an answer that does not match is thrown away, and the engine's next attempt is the repetition.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refresher.catalogue import kms
from refresher.errors import SupplyError
from refresher.google.answers import document_of, error_text_of, is_passing
from refresher.google.checksums import crc32c
from refresher.google.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.google.transport import Response, Transport
    from refresher.resources import Endpoints

ALGORITHM = "EC_SIGN_P256_SHA256"
"""The only one that is of use here: ES256 in JOSE's words."""

_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsKey:
    """One version of a key in Cloud KMS, and the way to it; safe to use from several threads.

    Attributes:
        version: Resource name, `projects/…/cryptoKeyVersions/N`.
        transport: Makes the calls.
        endpoints: Where Cloud KMS is.
        caller: Whose access token is sent, for messages.
    """

    version: str
    transport: Transport
    endpoints: Endpoints
    caller: str

    def public_key(self, access_token: str) -> bytes:
        """Give the public half as PEM.

        Raises:
            SupplyError: Google refused, and the remedy says what is missing; or the key is of another algorithm.
            SupplyError: Google did not answer, or not as it should.
        """
        answer = self._ask("GET", "/publicKey", None, access_token, "the public key")
        pem = answer.get("pem")
        if not isinstance(pem, str) or not self._is_whole(answer, "pemCrc32c", pem.encode()):
            raise self._damaged("the public key")
        if answer.get("algorithm") != ALGORITHM:
            raise SupplyError(
                f"{self.version} is a key for {str(answer.get('algorithm'))[:50]}",
                f"name a version of a key with the algorithm {ALGORITHM} in signer.kms",
            )
        return pem.encode()

    def sign(self, digest: bytes, access_token: str) -> bytes:
        """Give the signature of a SHA-256 digest, DER.

        Raises:
            SupplyError: Google refused, and the remedy says what is missing.
            SupplyError: Google did not answer, or not as it should.
        """
        body = {
            "digest": {"sha256": base64.b64encode(digest).decode("ascii")},
            "digestCrc32c": str(crc32c(digest)),
        }
        answer = self._ask("POST", ":asymmetricSign", body, access_token, "a signature")
        try:
            signature = base64.b64decode(str(answer.get("signature")), validate=True)
        except (binascii.Error, ValueError):
            raise self._damaged("a signature") from None
        if answer.get("verifiedDigestCrc32c") is not True or not self._is_whole(answer, "signatureCrc32c", signature):
            raise self._damaged("a signature")
        return signature

    def _ask(
        self, method: str, what: str, body: Mapping[str, Any] | None, access_token: str, asked: str
    ) -> dict[str, Any]:
        try:
            response = self.transport.request(
                method,
                f"{self.endpoints.cloud_kms}/v1/{self.version}{what}",
                headers={"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"},
                body=None if body is None else json.dumps(body).encode(),
            )
        except TransportError as error:
            raise SupplyError(
                f"{asked} of {self.version} was not given: {error}",
                f"let this machine reach {self.endpoints.cloud_kms}",
                retryable=True,
            ) from error
        if response.status != _OK:
            raise self._refusal(response, asked, access_token)
        return document_of(response) or {}

    def _refusal(self, response: Response, asked: str, access_token: str) -> SupplyError:
        text = error_text_of(response, access_token)
        key = self.version.partition("/cryptoKeyVersions/")[0]
        return SupplyError(
            f"{asked} of {self.version} was refused with HTTP {response.status}: {text}",
            kms.remedy_of(response.status, text, key=key, caller=self.caller),
            retryable=is_passing(response.status),
        )

    def _is_whole(self, answer: Mapping[str, Any], checksum: str, content: bytes) -> bool:
        """Tell whether an answer is about this very version and its content has not changed on the way."""
        return answer.get("name") == self.version and str(answer.get(checksum)) == str(crc32c(content))

    def _damaged(self, asked: str) -> SupplyError:
        return SupplyError(
            f"{self.endpoints.cloud_kms} answered without {asked} of {self.version}, or it was changed on the way",
            "see whether something else answers there",
            retryable=True,
        )
