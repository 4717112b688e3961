"""Verification of a subject token against a provider, as STS does it (google.com: "OIDC token requirements").

Signature, `kid`, `alg`, issuer, audience, issue and expiry with 60 s of skew. What the token maps to is decided in
`refresher.emulator.mapping`, whether the provider may be used at all in `refresher.emulator.sts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt

from refresher.emulator.errors import sts_refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.emulator.state import Provider

SKEW = 60
"""Seconds, measured: `iat` 60 s ahead passes and 119 s does not; `exp` 59 s ago passes and 61 s does not."""

_BEYOND_TIME = 1e15

ALGORITHMS = ("RS256", "ES256")


def verify(
    token: str,
    provider: Provider,
    *,
    default_audiences: frozenset[str],
    key_set: Callable[[str], dict[str, Any] | None],
    now: float,
) -> dict[str, Any]:
    """Give the claims of a token that the provider accepts.

    Args:
        token: The JWT.
        provider: Whose issuer, keys and audiences count.
        default_audiences: Accepted while the provider lists none.
        key_set: Gives the JWKS of an issuer that is to be discovered.
        now: The cloud's time, Unix seconds.

    Raises:
        Refusal: E5 to E11, whichever is met first.
    """
    header, unverified = _parse(token)
    if unverified.get("iss") != provider.issuer:
        raise sts_refusal("E6", issuer=_shown(unverified.get("iss")), expected=provider.issuer)
    claims = _verified(token, header, provider.jwks or key_set(provider.issuer))
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    accepted = frozenset(provider.allowed_audiences) or default_audiences
    if accepted.isdisjoint(entry for entry in audiences if isinstance(entry, str)):
        raise sts_refusal("E5", audience=", ".join(str(entry) for entry in audiences))
    _check_times(claims, now)
    return claims


def _parse(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take a token apart; real JWTs have no white space, no padding and three segments."""
    try:
        complete = jwt.api_jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise sts_refusal("E9") from None
    if token.count(".") != 2 or not token.isascii() or any(character.isspace() for character in token):  # noqa: PLR2004 - header, payload, signature
        raise sts_refusal("E9")
    return complete["header"], complete["payload"]


def _verified(token: str, header: dict[str, Any], jwks: dict[str, Any] | None) -> dict[str, Any]:
    if header.get("alg") not in ALGORITHMS:
        raise sts_refusal("algorithm")
    keys = jwks.get("keys") if jwks is not None else None
    found = [key for key in keys or () if isinstance(key, dict) and key.get("kid") == header.get("kid")]
    if header.get("kid") is None or not found:
        raise sts_refusal("E10")  # measured: STS says this of an unknown `kid` too
    try:
        key = jwt.PyJWK(found[0], algorithm=header["alg"])
    except jwt.PyJWTError:
        raise sts_refusal("E10") from None
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=[header["alg"]], options=_SIGNATURE_ONLY)
    except jwt.PyJWTError:
        raise sts_refusal("E11") from None
    return claims


_SIGNATURE_ONLY: Any = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""The other claims are checked here, with Google's skew and in Google's words."""


def _check_times(claims: dict[str, Any], now: float) -> None:
    issued_at, expires_at = (_number(claims.get(name)) for name in ("iat", "exp"))
    if issued_at is None:
        raise sts_refusal("E8")
    if expires_at is None or expires_at < now - SKEW or issued_at > now + SKEW:
        raise sts_refusal("E7", issued_at=int(issued_at))


def _number(value: object) -> float | None:
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _BEYOND_TIME
    return float(value) if is_time and isinstance(value, int | float) else None


def _shown(issuer: object) -> str:
    return issuer if isinstance(issuer, str) else "null"
