"""Verification of a subject token against a provider, as STS does it (google.com: "OIDC token requirements").

It checks signature, `kid`, `alg`, issuer, audience, issue and expiry, with 60 s of skew. The mapping of the claims is
in `refresher.emulator.mapping`, the state of the provider in `refresher.emulator.sts`. `nbf`, `jti` and `typ` are
ignored: how the real STS treats them is unknown.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jwt

from refresher.emulator.errors import sts_refusal
from refresher.emulator.state import Provider

SKEW = 60
"""In seconds, measured: `iat` 60 s ahead is accepted and 119 s is not; `exp` 59 s ago is accepted and 61 s is not."""

OLDEST = 86_400
"""The greatest age of a token in seconds (STS discovery document: "within the past 24 hours")."""

_BEYOND_TIME = 1e15

ALGORITHMS = ("RS256", "ES256")


def verify(
    token: str,
    provider: Provider,
    *,
    default_audiences: frozenset[str],
    key_set: Callable[[str], dict[str, Any] | None],
    now: float,
    lenient: bool = False,
) -> dict[str, Any]:
    """Return the claims of a token that the provider accepts.

    Args:
        token: The JWT.
        provider: Its issuer, keys and audiences are compared with the token.
        default_audiences: Accepted if the provider lists no audiences.
        key_set: Returns the JWKS of an issuer, by discovery.
        now: The cloud's time in Unix seconds.
        lenient: Whether to accept whitespace around the token, and an issue more than a day ago.

    Raises:
        Refusal: The first of E5 to E11 that applies.
    """
    if lenient:
        token = token.strip().removeprefix("\ufeff").strip()
    header, unverified, signature = _parse(token)
    if unverified.get("iss") != provider.issuer:
        raise sts_refusal("E6", issuer=_format_issuer(unverified.get("iss")), expected=provider.issuer)
    _check_signature(token, header, signature, provider.jwks or key_set(provider.issuer))
    claims = unverified
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    accepted = frozenset(provider.allowed_audiences) or default_audiences
    if accepted.isdisjoint(entry for entry in audiences if isinstance(entry, str)):
        raise sts_refusal("E5", audience=", ".join(str(entry) for entry in audiences))
    _check_times(claims, now, OLDEST if not lenient else _BEYOND_TIME)
    return claims


def _parse(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Split and decode a token. A real JWT has no whitespace, no padding and three segments."""
    try:
        complete = jwt.api_jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise sts_refusal("E9") from None
    if token.count(".") != 2 or not token.isascii() or any(character.isspace() for character in token):  # noqa: PLR2004 - header, payload, signature
        raise sts_refusal("E9")
    return complete["header"], complete["payload"], complete["signature"]


def _check_signature(token: str, header: dict[str, Any], signature: bytes, jwks: dict[str, Any] | None) -> None:
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise sts_refusal("algorithm")
    keys = jwks.get("keys") if jwks is not None else None
    found = [key for key in _list(keys) if isinstance(key, dict) and key.get("kid") == header.get("kid")]
    if header.get("kid") is None or not found:
        raise sts_refusal("E10")  # measured: STS also answers this for an unknown `kid`
    key = _load_key(json.dumps(found[0], sort_keys=True), algorithm)
    if key is None:
        raise sts_refusal("E10")
    message = token.rpartition(".")[0].encode()
    if not key.Algorithm.verify(message, key.key, signature):
        raise sts_refusal("E11")


@lru_cache(maxsize=256)
def _load_key(jwk: str, algorithm: str) -> jwt.PyJWK | None:
    try:
        return jwt.PyJWK(json.loads(jwk), algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def _check_times(claims: dict[str, Any], now: float, oldest: float) -> None:
    issued_at, expires_at = (_read_number(claims.get(name)) for name in ("iat", "exp"))
    if issued_at is None:
        raise sts_refusal("E8")
    is_timely = now - oldest <= issued_at <= now + SKEW
    if expires_at is None or expires_at < now - SKEW or not is_timely:
        raise sts_refusal("E7", issued_at=int(issued_at))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _read_number(value: object) -> float | None:
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _BEYOND_TIME
    return float(value) if is_time and isinstance(value, int | float) else None


def _format_issuer(issuer: object) -> str:
    return issuer if isinstance(issuer, str) else "null"
