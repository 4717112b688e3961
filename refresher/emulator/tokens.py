"""What the emulator issues: access tokens that describe themselves, and Google-signed ID tokens.

An access token carries whom it is for, its scopes and its end, sealed with the emulator's own secret, so that nothing
grows with the number of tokens and a restart on the same directory knows them still. To a client it is opaque.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

GOOGLE_ISSUER = "https://accounts.google.com"
_PREFIX = "ya29."
_SEAL_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whom an access token speaks for.

    Attributes:
        kind: `federated` or `service_account`.
        name: The `principal://…` or the e-mail.
        expires_at: Unix time in whole seconds.
        scopes: As granted.
    """

    kind: str
    name: str
    expires_at: int
    scopes: tuple[str, ...]

    @property
    def member(self) -> str:
        """The name that IAM policies use."""
        return self.name if self.kind == "federated" else f"serviceAccount:{self.name}"


class TokenVault:
    """Issues and recognises tokens; the secret and the key are all it keeps."""

    def __init__(self, secret: bytes, key: rsa.RSAPrivateKey) -> None:
        self._secret = secret
        self._key = key
        self.key_id = hashlib.sha256(str(key.public_key().public_numbers().n).encode()).hexdigest()[:40]

    @classmethod
    def new(cls) -> TokenVault:
        """Give a vault with a secret and a key of its own."""
        return cls(secrets.token_bytes(32), rsa.generate_private_key(public_exponent=65537, key_size=2048))

    @classmethod
    def from_document(cls, document: dict[str, str]) -> TokenVault:
        """Give the vault that `as_document` described."""
        key = load_pem_private_key(document["key"].encode(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("the emulator's key is no RSA key")  # noqa: TRY004 - bad content, whatever its type
        return cls(bytes.fromhex(document["secret"]), key)

    def as_document(self) -> dict[str, str]:
        """Give what is to be kept, secrets included, to know the same tokens again."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {"secret": self._secret.hex(), "key": pem.decode()}

    def issue(self, bearer: Bearer) -> str:
        """Give an access token."""
        nonce = secrets.token_urlsafe(6)
        content = json.dumps([nonce, *asdict(bearer).values()], separators=(",", ":")).encode()
        return _PREFIX + _encode(content + self._seal(content))

    def recognise(self, token: str, now: float) -> Bearer | None:
        """Give whom an access token speaks for; None if it is not ours or over."""
        try:
            sealed = base64.urlsafe_b64decode(token.removeprefix(_PREFIX) + "===")
            content, seal = sealed[:-_SEAL_BYTES], sealed[-_SEAL_BYTES:]
            if not token.startswith(_PREFIX) or not hmac.compare_digest(seal, self._seal(content)):
                return None
            _, kind, name, expires_at, scopes = json.loads(content)
        except ValueError:
            return None
        bearer = Bearer(kind=kind, name=name, expires_at=expires_at, scopes=tuple(scopes))
        return bearer if now < expires_at else None

    def sign_id_token(self, claims: dict[str, Any]) -> str:
        """Give a JWT of Google's issuer, signed with RS256."""
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self.key_id})

    @property
    def jwks(self) -> dict[str, Any]:
        """The public half of the key, as Google publishes its own."""
        members = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        members.pop("key_ops", None)
        return {"keys": [members | {"kid": self.key_id, "alg": "RS256", "use": "sig"}]}

    def _seal(self, content: bytes) -> bytes:
        return hmac.digest(self._secret, content, "sha256")[:_SEAL_BYTES]


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
