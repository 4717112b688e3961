"""Keys as JOSE uses them: signatures (RFC 7518, section 3), public JWK (RFC 7517), thumbprint (RFC 7638).

Uses `cryptography` directly: a JOSE library costs more to import than a thousand tokens to sign. The tests verify every
signature, JWK and thumbprint with two of them. Verifying is for explaining a token to people; no decision depends on
it, since STS verifies.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from refresher.tokens import decode_base64url, encode_base64url

_P256_BYTES = 32
_RSA_BITS = 2048


class UnsupportedKeyError(ValueError):
    """The PEM holds no key that can be used for ES256 or RS256; the message shows nothing of it."""


class SigningKey(Protocol):
    """Signs; safe to use from several threads."""

    kid: str
    algorithm: str

    def sign(self, message: bytes) -> bytes:
        """Return the raw JWS signature of a message."""
        ...


class PrivateKey:
    """An EC P-256 or RSA private key, loaded once; no text shows its private half."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
        self._key = key
        self.algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
        self.public_jwk = _compose_jwk(key.public_key())
        self.kid = self.public_jwk["kid"]

    def __repr__(self) -> str:
        return f"PrivateKey(kid={self.kid!r}, algorithm={self.algorithm!r})"

    @classmethod
    def generate(cls, algorithm: str) -> Self:
        """Generate a key for ES256 or RS256 (2048 bits)."""
        if algorithm == "ES256":
            return cls(ec.generate_private_key(ec.SECP256R1()))
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Load a key from PKCS#8; any other content is an `UnsupportedKeyError`."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UnsupportedKeyError("it is not an unencrypted private key in PEM") from None
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _RSA_BITS:
            return cls(key)
        raise UnsupportedKeyError("it is neither EC P-256 nor RSA of at least 2048 bits")

    def to_pem(self) -> bytes:
        """Return the key as PKCS#8, unencrypted."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, message: bytes) -> bytes:
        """Return the raw JWS signature of a message (RFC 7518, sections 3.3 and 3.4)."""
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(message, padding.PKCS1v15(), SHA256())
        return convert_signature(self._key.sign(message, ec.ECDSA(SHA256())))


def convert_signature(der: bytes) -> bytes:
    """Return an EC P-256 signature as JWS has it (r and s, 32 bytes each); what is not one in DER is a `ValueError`."""
    r, s = decode_dss_signature(der)
    try:
        return r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")
    except OverflowError:
        raise ValueError("it is not a P-256 signature") from None


def load_public_jwk(pem: bytes) -> dict[str, str]:
    """Return the public JWK of an EC P-256 public key in PEM (SubjectPublicKeyInfo), its thumbprint as `kid`.

    Any other content is an `UnsupportedKeyError`.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnsupportedKeyError("it is not a public key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UnsupportedKeyError("it is not EC P-256")
    return _compose_jwk(key)


def is_signed_by(jwk: Mapping[str, Any], algorithm: str, message: str, signature: str) -> bool:
    """Return whether a signature (base64url) is of a key; False for a key or a signature that can't be read.

    RS256 and ES256 verify and no other algorithm, least of all "none". The message is header and payload with the dot
    between them.
    """
    try:
        raw = decode_base64url(signature)
        if algorithm == "ES256" and jwk["kty"] == "EC" and len(raw) == 2 * _P256_BYTES:
            numbers = ec.EllipticCurvePublicNumbers(_parse_number(jwk["x"]), _parse_number(jwk["y"]), ec.SECP256R1())
            r, s = int.from_bytes(raw[:_P256_BYTES], "big"), int.from_bytes(raw[_P256_BYTES:], "big")
            numbers.public_key().verify(encode_dss_signature(r, s), message.encode(), ec.ECDSA(SHA256()))
            return True
        if algorithm == "RS256" and jwk["kty"] == "RSA":
            key = rsa.RSAPublicNumbers(_parse_number(jwk["e"]), _parse_number(jwk["n"])).public_key()
            key.verify(raw, message.encode(), padding.PKCS1v15(), SHA256())
            return True
    except (InvalidSignature, ValueError, TypeError, KeyError, AttributeError):
        return False
    return False


def _compose_jwk(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> dict[str, str]:
    if isinstance(key, ec.EllipticCurvePublicKey):
        point, algorithm = key.public_numbers(), "ES256"
        x, y = _format_number(point.x, _P256_BYTES), _format_number(point.y, _P256_BYTES)
        members = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
    else:
        public, algorithm = key.public_numbers(), "RS256"
        members = {"e": _format_number(public.e), "kty": "RSA", "n": _format_number(public.n)}
    # RFC 7638, section 3: the required members only, sorted, without whitespace
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    kid = encode_base64url(hashlib.sha256(canonical).digest())
    return members | {"alg": algorithm, "use": "sig", "kid": kid}


def _format_number(value: int, length: int | None = None) -> str:
    return encode_base64url(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def _parse_number(text: str) -> int:
    return int.from_bytes(decode_base64url(text), "big")
