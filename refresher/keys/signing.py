"""A private key as JOSE uses it: signatures (RFC 7518, section 3), public JWK (RFC 7517), thumbprint (RFC 7638).

Signs with `cryptography` directly: a JOSE library costs more to import than a thousand tokens to sign. The tests verify
every signature, JWK and thumbprint with two of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_P256_BYTES = 32
_RSA_BITS = 2048


class UnsupportedKeyError(ValueError):
    """The PEM holds no key that signs ES256 or RS256."""


class SigningKey(Protocol):
    """Signs; safe to use from several threads."""

    kid: str
    algorithm: str

    def sign(self, message: bytes) -> bytes:
        """Give the raw JWS signature of a message."""
        ...


class PrivateKey:
    """An EC P-256 or RSA private key, loaded once; no text shows its private half."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
        self._key = key
        self.algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
        self.public_jwk = _public_jwk(key.public_key())
        self.kid = self.public_jwk["kid"]

    def __repr__(self) -> str:
        return f"PrivateKey(kid={self.kid!r}, algorithm={self.algorithm!r})"

    @classmethod
    def generate(cls, algorithm: str) -> PrivateKey:
        """Make a new key for ES256 or RS256 (2048 bits)."""
        if algorithm == "ES256":
            return cls(ec.generate_private_key(ec.SECP256R1()))
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS))

    @classmethod
    def from_pem(cls, pem: bytes) -> PrivateKey:
        """Load a key from PKCS#8.

        Raises:
            UnsupportedKeyError: It is no such key; the message shows nothing of it.
        """
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UnsupportedKeyError("it is no unencrypted private key in PEM") from None
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _RSA_BITS:
            return cls(key)
        raise UnsupportedKeyError("it is neither EC P-256 nor RSA of at least 2048 bits")

    def to_pem(self) -> bytes:
        """Give the key as PKCS#8, unencrypted."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, message: bytes) -> bytes:
        """Give the raw JWS signature of a message (RFC 7518, sections 3.3 and 3.4)."""
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(message, padding.PKCS1v15(), SHA256())
        return raw_signature(self._key.sign(message, ec.ECDSA(SHA256())))


def raw_signature(der: bytes) -> bytes:
    """Give an EC P-256 signature as JWS has it (r and s, 32 bytes each), from its DER form.

    Raises:
        ValueError: It is no such signature.
    """
    r, s = decode_dss_signature(der)
    try:
        return r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")
    except OverflowError as error:
        raise ValueError("the signature is no P-256 signature") from error


def public_jwk_of_pem(pem: bytes) -> dict[str, str]:
    """Give the public JWK of an EC P-256 public key in PEM (SubjectPublicKeyInfo), its thumbprint as `kid`.

    Raises:
        UnsupportedKeyError: It is no such key.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnsupportedKeyError("it is no public key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UnsupportedKeyError("it is not EC P-256")
    return _public_jwk(key)


def _public_jwk(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> dict[str, str]:
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        algorithm = "ES256"
        members = {"crv": "P-256", "kty": "EC", "x": _number(point.x, _P256_BYTES), "y": _number(point.y, _P256_BYTES)}
    else:
        public = key.public_numbers()
        algorithm = "RS256"
        members = {"e": _number(public.e), "kty": "RSA", "n": _number(public.n)}
    # RFC 7638, section 3: the required members only, sorted, without white space
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    kid = encode(hashlib.sha256(canonical).digest())
    return members | {"alg": algorithm, "use": "sig", "kid": kid}


def encode(content: bytes) -> str:
    """Give base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _number(value: int, length: int | None = None) -> str:
    return encode(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))
