"""Unsigned subject tokens, which tests put into files and get from fakes."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ISSUER = "https://workers.example.com"
AUDIENCE = "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/p"


def jwt_of(claims: dict[str, Any], *, kid: str = "key-1") -> str:
    """Return a JWT of these claims whose signature is rubbish."""
    header = {"alg": "ES256", "kid": kid, "typ": "JWT"}
    return ".".join((_encode(json.dumps(header)), _encode(json.dumps(claims)), _encode("not a signature")))


def make_jwt(
    *,
    subject: str = "user-1",
    issued_at: datetime = NOW,
    lifetime: timedelta = timedelta(hours=1),
    issuer: str = ISSUER,
    audience: str | list[str] = AUDIENCE,
    kid: str = "key-1",
    other: Mapping[str, object] | None = None,
) -> str:
    """Return a JWT that looks right in every way but its signature; `other` are further claims."""
    return jwt_of(
        {
            "iss": issuer,
            "sub": subject,
            "aud": audience,
            "iat": int(issued_at.timestamp()),
            "exp": int((issued_at + lifetime).timestamp()),
            **(other or {}),
        },
        kid=kid,
    )


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
