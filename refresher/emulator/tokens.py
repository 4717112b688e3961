"""The tokens of the emulator: access tokens that describe themselves, and Google-signed ID tokens.

An access token contains its owner, scopes and expiry, sealed with the emulator's own secret. So no token is stored, and
an emulator that restarts on the same directory still recognises its tokens. To a client the token is opaque.
"""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

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
"""The prefix of every access token of Google."""

_SEAL_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """The caller that an access token authenticates.

    Attributes:
        kind: `federated`, `service_account` or `user`; without a token of the emulator `administrator` or `anonymous`.
        name: The `principal://…` or the e-mail.
        expires_at: Unix time in whole seconds.
        scopes: As granted.
        pool: The resource name of the pool of a federated principal.
        groups: Mapped groups of a federated principal.
        attributes: Mapped custom attributes of a federated principal.
        delegation: The members that act as the service account, in the form of IAM policies, caller side first.
        boundary: The rules of a credential access boundary; None without one.
        account_id: The unique id of the service account; empty if no account had this name.
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
        """The caller's name in IAM policies."""
        prefix = {"service_account": "serviceAccount:", "user": "user:"}.get(self.kind, "")
        return f"{prefix}{self.name}"


class TokenVault:
    """Issues and recognises tokens. It only stores a secret and a key."""

    def __init__(self, secret: bytes, key: rsa.RSAPrivateKey | None = None) -> None:
        self._secret = secret
        self._made_key = key
        self._document: dict[str, str] | None = None

    @classmethod
    def new(cls) -> Self:
        """Create a vault with a new secret and a new key."""
        return cls(secrets.token_bytes(32))

    @classmethod
    def from_document(cls, document: dict[str, str]) -> Self:
        """Restore a vault from a document of `as_document`.

        Raises:
            ValueError: The document is invalid.
        """
        return cls(bytes.fromhex(document["secret"]), load_key(document["key"]))

    def as_document(self) -> dict[str, str]:
        """Return a document from which the vault can be restored; it contains the secret and the key."""
        if self._document is None:
            self._document = {"secret": self._secret.hex(), "key": dump_key(self.key)}
        return self._document

    @property
    def key_id(self) -> str:
        """The `kid` of Google's ID tokens."""
        return compute_key_id(self.key.public_key())

    @property
    def key(self) -> rsa.RSAPrivateKey:
        """The key that signs Google's ID tokens."""
        # created when first needed: most tests use no ID token, and to generate a key takes longer than such a test
        if self._made_key is None:
            self._made_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._made_key

    def issue(self, bearer: Bearer) -> str:
        """Issue an access token."""
        nonce = secrets.token_urlsafe(6)
        content = json.dumps([nonce, *asdict(bearer).values()], separators=(",", ":")).encode()
        return PREFIX + _encode(content + self._seal(content))

    def recognise(self, token: str, now: float) -> Bearer | None:
        """Return the caller that an access token authenticates; None if the token is unknown or has expired."""
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
        bearer = _read_bearer(values)
        return bearer if now < bearer.expires_at else None

    def sign_id_token(self, claims: dict[str, Any]) -> str:
        """Return a JWT of Google's issuer, signed with RS256."""
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.key_id})

    @property
    def jwks(self) -> dict[str, Any]:
        """The public half of the key, in the form in which Google publishes its own."""
        return {"keys": [public_jwk(self.key.public_key())]}

    def seal(self, text: str) -> str:
        """Return twelve characters for a text, which only this vault can compute."""
        return self._seal(text.encode()).hex()[:12]

    def _seal(self, content: bytes) -> bytes:
        return hmac.digest(self._secret, content, "sha256")[:_SEAL_BYTES]


def load_key(pem: str) -> rsa.RSAPrivateKey:
    """Read a private key.

    Raises:
        ValueError: It is not an RSA key.
    """
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the emulator's key is not an RSA key")  # noqa: TRY004 - bad content, whatever its type
    return key


def dump_key(key: rsa.RSAPrivateKey) -> str:
    """Return a private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def compute_key_id(key: rsa.RSAPublicKey) -> str:
    """Return the id of a key: 40 hex digits, like Google's ids."""
    return hashlib.sha256(str(key.public_numbers().n).encode()).hexdigest()[:40]


def public_jwk(key: rsa.RSAPublicKey) -> dict[str, Any]:
    """Return a public key as a JWK."""
    members = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    members.pop("key_ops", None)
    return members | {"kid": compute_key_id(key), "alg": "RS256", "use": "sig"}


def downscope(bearer: Bearer, boundary: list[dict[str, Any]]) -> Bearer:
    """Return a bearer whose permissions are limited by a boundary."""
    return replace(bearer, boundary=tuple(boundary))


def _read_bearer(values: list[Any]) -> Bearer:
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
        account_id=more[0] if more else "",  # tokens of earlier versions have no id
    )


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
