"""Whether a public JWK (RFC 7517) verifies a signature of RS256 or ES256 (RFC 7518, sections 3.3 and 3.4).

For explaining a token to people. Nothing of ours is decided by it: STS verifies.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from collections.abc import Mapping

_HALF = 32
"""Bytes of each of the two numbers of an ES256 signature."""


def verifies(jwk: Mapping[str, Any], algorithm: str, message: str, signature: str) -> bool:
    """Tell whether a key made a signature; a key or signature that cannot be read made none.

    Args:
        jwk: EC P-256 or RSA.
        algorithm: RS256 or ES256; no other verifies, least of all "none".
        message: Header and payload with the dot between them.
        signature: base64url.
    """
    try:
        raw = _decode(signature)
        if algorithm == "ES256" and jwk["kty"] == "EC" and len(raw) == 2 * _HALF:
            numbers = ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), ec.SECP256R1())
            r, s = int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big")
            numbers.public_key().verify(encode_dss_signature(r, s), message.encode(), ec.ECDSA(SHA256()))
            return True
        if algorithm == "RS256" and jwk["kty"] == "RSA":
            key = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
            key.verify(raw, message.encode(), padding.PKCS1v15(), SHA256())
            return True
    except (InvalidSignature, ValueError, TypeError, KeyError, AttributeError):
        return False
    return False


def _number(text: str) -> int:
    return int.from_bytes(_decode(text), "big")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
