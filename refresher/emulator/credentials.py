"""Long-lived credentials: the keys of service accounts that users have, and the refresh tokens of users.

https://cloud.google.com/iam/docs/keys-create-delete. The emulator only stores the public half of a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from refresher.emulator.tokens import compute_key_id, load_key

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
USER_SCOPES = ("openid", "https://www.googleapis.com/auth/userinfo.email", CLOUD_PLATFORM)
"""What `gcloud auth application-default login` asks for, apart from Cloud SQL."""

LONGEST_ASSERTION = 3600
SKEW = 300
"""How many seconds an assertion may be early or late. Google does not document it."""

_RS256 = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)


@dataclass(slots=True, kw_only=True)
class AccountKey:
    """A key of a service account whose private half a user has.

    Attributes:
        public_key: PEM.
        created: Unix time.
        disabled: Whether its signatures are refused.
        uploaded: Whether a user created it; otherwise the emulator created it and returned its private half.
    """

    public_key: str
    created: float = 0.0
    disabled: bool = False
    uploaded: bool = False

    def load(self) -> rsa.RSAPublicKey:
        """Return the public key."""
        return _check_rsa(load_pem_public_key(self.public_key.encode()))


@dataclass(slots=True, kw_only=True)
class UserCredential:
    """The right of an OAuth client to act as a user.

    Attributes:
        client_id: The client.
        client_secret: Its secret.
        refresh_token: What the client exchanges for access tokens.
        scopes: What the user has granted.
        revoked: Whether the refresh token is void.
    """

    client_id: str
    client_secret: str
    refresh_token: str
    scopes: list[str] = field(default_factory=lambda: list(USER_SCOPES))
    revoked: bool = False


def create_key(created: float) -> tuple[str, AccountKey, rsa.RSAPrivateKey]:
    """Create a key; return its id, what is stored of it, and the key itself."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key()
    return compute_key_id(public), AccountKey(public_key=_dump(public), created=created), private


def read_key(content: str, created: float) -> tuple[str, AccountKey]:
    """Read a key of any kind from PEM, such as a certificate; return its id and what is stored of it.

    Raises:
        ValueError: It is not PEM, or not an RSA key.
    """
    if "CERTIFICATE" in content:
        public = _check_rsa(x509.load_pem_x509_certificate(content.encode()).public_key())
    elif "PRIVATE KEY" in content:
        public = load_key(content).public_key()
    else:
        public = _check_rsa(load_pem_public_key(content.encode()))
    return compute_key_id(public), AccountKey(public_key=_dump(public), created=created, uploaded=True)


def parse_assertion(token: str) -> dict[str, Any]:
    """Return the claims of a JWT without a check.

    Raises:
        ValueError: It is not a JWT.
    """
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise ValueError("the assertion is not a JWT") from error
    return claims


def is_timely(claims: Mapping[str, Any], now: float) -> bool:
    """Return whether an assertion is valid now, and for an hour at most."""
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if not isinstance(issued_at, int | float) or not isinstance(expires_at, int | float):
        return False
    return issued_at - SKEW <= now < expires_at + SKEW and 0 < expires_at - issued_at <= LONGEST_ASSERTION


def is_signed_by(keys: Mapping[str, rsa.RSAPublicKey], token: str) -> bool:
    """Return whether a JWT has a signature (RS256) of one of these keys; its `kid`, if it has one, selects the key."""
    try:
        decoded = jwt.api_jws.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    header = decoded["header"]
    key_id = header.get("kid") or ""
    found = [keys[key_id]] if key_id in keys else [] if key_id else list(keys.values())
    message = token.rpartition(".")[0].encode()
    return header.get("alg") == "RS256" and any(_RS256.verify(message, key, decoded["signature"]) for key in found)


def load_public_keys(keys: Mapping[str, AccountKey], held: str) -> dict[str, rsa.RSAPublicKey]:
    """Return the enabled keys of an account by id: those that users have, and the one of this PEM, if any."""
    found = {key_id: key.load() for key_id, key in keys.items() if not key.disabled}
    if held:
        public = load_key(held).public_key()
        found[compute_key_id(public)] = public
    return found


def _check_rsa(key: object) -> rsa.RSAPublicKey:
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("the key is not an RSA key")  # noqa: TRY004 - bad content, whatever its type
    return key


def _dump(key: rsa.RSAPublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
