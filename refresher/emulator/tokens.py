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
from dataclasses import asdict, dataclass, field, replace
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
PREFIX = "ya29."
"""What every access token of Google begins with."""

_SEAL_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whom an access token speaks for.

    Attributes:
        kind: `federated`, `service_account` or `user`; without a token of the emulator's own `administrator` or
            `anonymous`.
        name: The `principal://…` or the e-mail.
        expires_at: Unix time in whole seconds.
        scopes: As granted.
        pool: Resource name of the pool that a federated principal belongs to.
        groups: Mapped groups of a federated principal.
        attributes: Mapped custom attributes of a federated principal.
        delegation: Who stands in for a service account, as IAM policies name them, caller side first.
        boundary: The rules of a credential access boundary; None if there is none.
        account_id: Unique id of the service account; empty if there was none of that name.
    """

    kind: str
    name: str
    expires_at: int
    scopes: tuple[str, ...]
    pool: str = ""
    groups: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    delegation: tuple[str, ...] = ()
    boundary: tuple[dict[str, Any], ...] | None = None
    account_id: str = ""

    @property
    def member(self) -> str:
        """The name that IAM policies use."""
        prefix = {"service_account": "serviceAccount:", "user": "user:"}.get(self.kind, "")
        return f"{prefix}{self.name}"


class TokenVault:
    """Issues and recognises tokens; the secret and the key are all it keeps."""

    def __init__(self, secret: bytes, key: rsa.RSAPrivateKey | None = None) -> None:
        self._secret = secret
        self._made_key = key
        self._document: dict[str, str] | None = None

    @classmethod
    def new(cls) -> TokenVault:
        """Give a vault with a secret and a key of its own."""
        return cls(secrets.token_bytes(32))

    @classmethod
    def from_document(cls, document: dict[str, str]) -> TokenVault:
        """Give the vault that `as_document` described.

        Raises:
            ValueError: It did not.
        """
        return cls(bytes.fromhex(document["secret"]), load_key(document["key"]))

    def as_document(self) -> dict[str, str]:
        """Give what is to be kept, secrets included, to know the same tokens again."""
        if self._document is None:
            self._document = {"secret": self._secret.hex(), "key": dump_key(self.key)}
        return self._document

    @property
    def key_id(self) -> str:
        """The `kid` of Google's ID tokens."""
        return compute_key_id(self.key)

    @property
    def key(self) -> rsa.RSAPrivateKey:
        """The key that signs Google's ID tokens."""
        # made when it is first needed: most tests never see an ID token, and making one takes longer than they do
        if self._made_key is None:
            self._made_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._made_key

    def issue(self, bearer: Bearer) -> str:
        """Give an access token."""
        nonce = secrets.token_urlsafe(6)
        content = json.dumps([nonce, *asdict(bearer).values()], separators=(",", ":")).encode()
        return PREFIX + _encode(content + self._seal(content))

    def recognise(self, token: str, now: float) -> Bearer | None:
        """Give whom an access token speaks for; None if it is not ours or over."""
        if not token.startswith(PREFIX) or not token.isascii():
            return None
        try:
            sealed = base64.urlsafe_b64decode(token.removeprefix(PREFIX) + "===")
        except ValueError:
            return None
        content, seal = sealed[:-_SEAL_BYTES], sealed[-_SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(content)):
            return None
        _, *values = json.loads(content)
        bearer = _bearer(values)
        return bearer if now < bearer.expires_at else None

    def sign_id_token(self, claims: dict[str, Any]) -> str:
        """Give a JWT of Google's issuer, signed with RS256."""
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.key_id})

    @property
    def jwks(self) -> dict[str, Any]:
        """The public half of the key, as Google publishes its own."""
        return {"keys": [public_jwk(self.key)]}

    def seal(self, text: str) -> str:
        """Give twelve characters that only this vault could have given for a text."""
        return self._seal(text.encode()).hex()[:12]

    def _seal(self, content: bytes) -> bytes:
        return hmac.digest(self._secret, content, "sha256")[:_SEAL_BYTES]


def load_key(pem: str) -> rsa.RSAPrivateKey:
    """Read a private key.

    Raises:
        ValueError: It is no RSA key.
    """
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the emulator's key is no RSA key")  # noqa: TRY004 - bad content, whatever its type
    return key


def dump_key(key: rsa.RSAPrivateKey) -> str:
    """Give a private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def compute_key_id(key: rsa.RSAPrivateKey) -> str:
    """Name a key by its public half, 40 hex digits as Google's."""
    return hashlib.sha256(str(key.public_key().public_numbers().n).encode()).hexdigest()[:40]


def public_jwk(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """Give the public half of a key as a JWK."""
    members = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    members.pop("key_ops", None)
    return members | {"kid": compute_key_id(key), "alg": "RS256", "use": "sig"}


def downscope(bearer: Bearer, boundary: list[dict[str, Any]]) -> Bearer:
    """Give a bearer that may do what the boundary lets through and no more."""
    return replace(bearer, boundary=tuple(boundary))


def _bearer(values: list[Any]) -> Bearer:
    kind, name, expires_at, scopes, pool, groups, attributes, delegation, boundary, *more = values
    return Bearer(
        kind=kind,
        name=name,
        expires_at=expires_at,
        scopes=tuple(scopes),
        pool=pool,
        groups=tuple(groups),
        attributes=attributes,
        delegation=tuple(delegation),
        boundary=None if boundary is None else tuple(boundary),
        account_id=more[0] if more else "",  # a token of before there were ids
    )


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
