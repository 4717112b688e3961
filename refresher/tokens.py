"""Subject tokens: the secret, its validity, its peeked claims, and whether they are the ones we configured.

Peeking is not verifying: a signature is never checked here, because whoever could write a wrong token into our own
directory would need no token. The STS verifies (RFC 7519 claims, RFC 8693 exchange); we only refuse to publish, or to
keep, what it would refuse. When a token must be replaced is decided in `refresher.policy`.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from refresher.text import escape

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a URN of RFC 8693, section 3

MAXIMUM_SIZE = 64 * 1024
"""Bytes that a token may have; the largest in the field are below 8 KiB, and an endless file must not fill memory."""


class UnreadableTokenError(ValueError):
    """The text is not a token whose life can be told; the message gives the reason and never the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedClaims:
    """What a JWT says of itself; nobody has checked its signature.

    Attributes:
        issuer: `iss`, or None.
        subject: `sub`, or None.
        audience: `aud` as a tuple, whether it was a string or a list; empty if absent.
        key_id: `kid` of the header, or None.
        algorithm: `alg` of the header, or None.
    """

    issuer: str | None
    subject: str | None
    audience: tuple[str, ...]
    key_id: str | None
    algorithm: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SubjectToken:
    """A credential that proves who the workload is (RFC 8693 `subject_token`), and how long it does.

    Attributes:
        value: The secret; it appears in no repr.
        issued_at: When its life began, UTC.
        expires_at: When its life ends, UTC.
        unverified_claims: The peeked claims of a JWT; None for an opaque token.
    """

    value: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    unverified_claims: UnverifiedClaims | None

    @property
    def lifetime(self) -> timedelta:
        """The whole life, from issue to expiry."""
        return self.expires_at - self.issued_at

    @property
    def fingerprint(self) -> str:
        """Eight hex digits of the SHA-256, to tell tokens apart in logs."""
        return fingerprint(self.value.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedClaims:
    """What the configuration would mint now; None means that it does not say.

    Attributes:
        issuer: The exact `iss`.
        subject: The exact `sub`.
        audiences: The values of which `aud` must hold one.
        key_ids: The `kid`s that are still published.
        maximum_lifetime: The longest life from issue to expiry.
        is_jwt: Whether the token is a JWT at all.
    """

    issuer: str | None = None
    subject: str | None = None
    audiences: frozenset[str] | None = None
    key_ids: frozenset[str] | None = None
    maximum_lifetime: timedelta | None = None
    is_jwt: bool = True

    def mismatches(self, token: SubjectToken) -> tuple[str, ...]:
        """Name every way in which a token is not what the configuration would mint, fit to be shown; empty if it is."""
        claims = token.unverified_claims
        if claims is None:
            return ("the token is not a JWT",) if self.is_jwt else ()
        found = []
        if self.issuer is not None and claims.issuer != self.issuer:
            found.append(f"iss is {_told(claims.issuer)}, not {self.issuer!r}")
        if self.subject is not None and claims.subject != self.subject:
            found.append(f"sub is {_told(claims.subject)}, not {self.subject!r}")
        if self.audiences is not None and self.audiences.isdisjoint(claims.audience):
            audience = escape(", ".join(claims.audience)) or "absent"
            found.append(f"aud is {audience}, not {' or '.join(sorted(self.audiences))}")
        if self.key_ids is not None and claims.key_id not in self.key_ids:
            found.append(f"the key {_told(claims.key_id)} that signed it is not published")
        if self.maximum_lifetime is not None and token.lifetime > self.maximum_lifetime:
            found.append(f"its life of {token.lifetime} is longer than the configured {self.maximum_lifetime}")
        return tuple(found)

    def is_of_another_subject(self, token: SubjectToken) -> bool:
        """Tell whether a token speaks for somebody else than the configured subject."""
        claims = token.unverified_claims
        return self.subject is not None and claims is not None and claims.subject != self.subject


def _told(claim: str | None) -> str:
    """Quote a claim, which whoever wrote the token made up."""
    return "absent" if claim is None else f"'{escape(claim)}'"


def fingerprint(value: bytes) -> str:
    """Give eight hex digits of the SHA-256 of a secret: enough to tell two apart, useless to guess one."""
    import hashlib  # noqa: PLC0415 - the exec probe peeks at a token and never needs this

    return hashlib.sha256(value).hexdigest()[:8]


def peek(value: str) -> SubjectToken:
    """Read a JWT's life and claims without verifying it (RFC 7519, compact serialization).

    Raises:
        UnreadableTokenError: It is not three base64url segments of which the first two are JSON objects, or `iat` or
            `exp` is missing or not a time (real STS refuses a token without either).
    """
    segments = value.split(".")
    if len(segments) != 3 or not all(segments):  # noqa: PLR2004 - header, payload, signature
        raise UnreadableTokenError("it is not a JWT of three segments")
    header = _json_segment(segments[0], "header")
    payload = _json_segment(segments[1], "payload")
    _decode(segments[2], "signature")
    return SubjectToken(
        value=value,
        issued_at=_instant(payload, "iat"),
        expires_at=_instant(payload, "exp"),
        unverified_claims=UnverifiedClaims(
            issuer=_text(payload, "iss"),
            subject=_text(payload, "sub"),
            audience=_audience(payload.get("aud")),
            key_id=_text(header, "kid"),
            algorithm=_text(header, "alg"),
        ),
    )


def _decode(segment: str, name: str) -> bytes:
    try:
        return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise UnreadableTokenError(f"its {name} is not base64url") from None


def _json_segment(segment: str, name: str) -> dict[str, Any]:
    try:
        document = json.loads(_decode(segment, name))
    except UnreadableTokenError:
        raise
    except (ValueError, RecursionError):  # a number of thousands of digits is a plain ValueError
        raise UnreadableTokenError(f"its {name} is not JSON") from None
    if not isinstance(document, dict):
        raise UnreadableTokenError(f"its {name} is not a JSON object")
    return document


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None


def _audience(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(entry for entry in value if isinstance(entry, str))
    return ()


def _instant(payload: dict[str, Any], name: str) -> datetime:
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnreadableTokenError(f"its claim {name!r} is missing or not a number")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        raise UnreadableTokenError(f"its claim {name!r} is no time of this era") from None
