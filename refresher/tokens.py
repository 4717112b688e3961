"""Subject tokens: the secret, its validity, its peeked claims, and whether they are the ones we configured.

Peeking is not verifying: a signature is never checked here, because a user who could write a wrong token into our own
directory would need no token. The STS verifies (RFC 7519 claims, RFC 8693 exchange); we only refuse to publish, or to
keep, what it would refuse. When a token must be replaced is decided in `refresher.policy`.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from refresher.limits import LONGEST_SUBJECT_TOKEN_LIFE
from refresher.text import escape

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a URN of RFC 8693, section 3

MAXIMUM_SIZE = 64 * 1024
"""Bytes that a token may have; the largest in the field are below 8 KiB, and an endless file must not fill memory."""

REGISTERED_CLAIMS = frozenset(["iss", "sub", "aud", "exp", "iat", "nbf", "jti"])
"""RFC 7519, section 4.1; a supplier that mints sets them itself."""

_MOST_DIFFERENCES = 5
"""Differing constant claims that are reported; a file may hold thousands."""

Scalar = str | int | float | bool | None


class UnreadableTokenError(ValueError):
    """The text is not a token whose validity can be read; the message is the reason and never the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """An access token of Google's, which expires at a time in UTC; its value, the secret, is in no repr."""

    value: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedClaims:
    """Claims of a JWT and of its header, each None if it is absent; the signature is not checked.

    Attributes:
        audience: `aud` as a tuple, whether it was a string or a list; empty if absent.
        expires_at: `exp`, UTC, even if Google accepts the token for a shorter time.
        other: Claims that RFC 7519 does not register, as far as they are scalars; in no repr, since another issuer
            may put anything there.
    """

    issuer: str | None
    subject: str | None
    audience: tuple[str, ...]
    expires_at: datetime
    key_id: str | None
    algorithm: str | None
    other: Mapping[str, Scalar] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SubjectToken:
    """A credential that proves who the workload is (RFC 8693 `subject_token`), and how long it does.

    Without a pool the access token of the service account takes its place, as an opaque one.

    Attributes:
        value: The secret; it appears in no repr.
        issued_at: When its life began, UTC.
        expires_at: When it stops being usable, UTC: for a JWT the earlier of `exp` and `iat` + 24 h.
        unverified_claims: The peeked claims of a JWT; None for an opaque token.
    """

    value: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    unverified_claims: UnverifiedClaims | None

    @property
    def lifetime(self) -> timedelta:
        """The whole life, from issue to the end of its use."""
        return self.expires_at - self.issued_at

    @property
    def fingerprint(self) -> str:
        """Eight hex digits of the SHA-256, to distinguish tokens in logs."""
        return fingerprint(self.value.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedClaims:
    """What the configuration would mint now; None where nothing is configured.

    Attributes:
        issuer: The exact `iss`.
        subject: The exact `sub`.
        audiences: The values of which `aud` must hold one.
        key_ids: The `kid`s that are still published.
        maximum_lifetime: The longest life from `iat` to `exp`.
        constants: All claims that RFC 7519 does not register, with their exact values.
        is_jwt: Whether the token is a JWT at all.
    """

    issuer: str | None = None
    subject: str | None = None
    audiences: frozenset[str] | None = None
    key_ids: frozenset[str] | None = None
    maximum_lifetime: timedelta | None = None
    constants: Mapping[str, Scalar] | None = field(default=None, hash=False)
    is_jwt: bool = True

    def mismatches(self, token: SubjectToken) -> tuple[str, ...]:
        """Return every way in which a token differs from what the configuration would mint, in texts safe to show."""
        claims = token.unverified_claims
        if claims is None:
            return ("the token is not a JWT",) if self.is_jwt else ()
        found = []
        for name, expected, claim in (("iss", self.issuer, claims.issuer), ("sub", self.subject, claims.subject)):
            if expected is not None and claim != expected:
                found.append(f"{name} is {_shown(claim)}, not {expected!r}")
        if self.audiences is not None and self.audiences.isdisjoint(claims.audience):
            audience = escape(", ".join(claims.audience)) or "absent"
            found.append(f"aud is {audience}, not {' or '.join(sorted(self.audiences))}")
        if self.key_ids is not None and claims.key_id not in self.key_ids:
            found.append(f"the key {_shown(claims.key_id)} that signed it is not published")
        lifetime = claims.expires_at - token.issued_at
        if self.maximum_lifetime is not None and lifetime > self.maximum_lifetime:
            found.append(f"its life of {lifetime} is longer than the configured {self.maximum_lifetime}")
        if self.constants is not None:
            found += islice(_differences(self.constants, claims.other), _MOST_DIFFERENCES)
        return tuple(found)


def _differences(expected: Mapping[str, Scalar], found: Mapping[str, Scalar]) -> Iterator[str]:
    for name in sorted({*expected, *found}):
        if name not in found:
            yield f"claim {name} is absent, not {expected[name]!r}"
        elif name not in expected:
            yield f"claim {escape(name)} is {_shown(found[name])}, and none is configured"
        # compared with their types: in Python, and not in JSON, true equals 1
        elif (type(found[name]), found[name]) != (type(expected[name]), expected[name]):
            yield f"claim {name} is {_shown(found[name])}, not {expected[name]!r}"


def _shown(claim: Scalar) -> str:
    """Quote a claim, whose text the writer of the token chose."""
    return "absent" if claim is None else f"'{escape(claim)}'" if isinstance(claim, str) else repr(claim)


def fingerprint(value: bytes) -> str:
    """Return eight hex digits of the SHA-256 of a secret: enough to distinguish two, useless to guess one."""
    import hashlib  # noqa: PLC0415 - the exec probe peeks at a token and never needs this

    return hashlib.sha256(value).hexdigest()[:8]


def peek(value: str) -> SubjectToken:
    """Read a JWT's life and claims without verifying it (RFC 7519, compact serialization).

    Raises:
        UnreadableTokenError: It is not three base64url segments of which the first two are JSON objects, or `iat` or
            `exp` is missing or not a time (real STS refuses a token without either).
    """
    header, payload = read_segments(value)
    signature = value.rpartition(".")[2]
    if not signature:
        raise UnreadableTokenError("it is not a JWT of three segments")
    _decode(signature, "signature")
    issued_at, expires_at = _instant(payload, "iat"), _instant(payload, "exp")
    try:
        usable_until = min(expires_at, issued_at + LONGEST_SUBJECT_TOKEN_LIFE)
    except OverflowError:
        raise UnreadableTokenError("claim `iat` is not a valid timestamp") from None
    return SubjectToken(
        value=value,
        issued_at=issued_at,
        expires_at=usable_until,
        unverified_claims=UnverifiedClaims(
            issuer=_text(payload, "iss"),
            subject=_text(payload, "sub"),
            audience=_audience(payload.get("aud")),
            expires_at=expires_at,
            key_id=_text(header, "kid"),
            algorithm=_text(header, "alg"),
            other={
                name: claim
                for name, claim in payload.items()
                if name not in REGISTERED_CLAIMS and (claim is None or isinstance(claim, str | int | float | bool))
            },
        ),
    )


def read_segments(value: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and payload of a JWT, even of one without a signature.

    Raises:
        UnreadableTokenError: It is not three segments of which the first two are base64url of JSON objects.
    """
    segments = value.split(".")
    if len(segments) != 3 or not all(segments[:2]):  # noqa: PLR2004 - header, payload, signature
        raise UnreadableTokenError("it is not a JWT of three segments")
    return _read_object(segments[0], "header"), _read_object(segments[1], "payload")


def encode_base64url(content: bytes) -> str:
    """Return base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def compose_jwt(header: Mapping[str, Any], claims: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """Return a JWT (RFC 7515, section 3.1); `sign` returns the raw signature of what it is given."""
    parts = (encode_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    message = ".".join(parts)
    return f"{message}.{encode_base64url(sign(message.encode()))}"


def decode_base64url(text: str) -> bytes:
    """Return the content of base64url without padding (RFC 7515, section 2); other text is a `ValueError`."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _decode(segment: str, name: str) -> bytes:
    try:
        return decode_base64url(segment)
    except ValueError:
        raise UnreadableTokenError(f"its {name} is not base64url") from None


def _read_object(segment: str, name: str) -> dict[str, Any]:
    content = _decode(segment, name)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):  # a number of thousands of digits is a plain ValueError
        raise UnreadableTokenError(f"its {name} is not JSON") from None
    if not isinstance(document, dict):
        raise UnreadableTokenError(f"its {name} is not a JSON object")
    return document


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None


def _audience(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(entry for entry in listed if isinstance(entry, str))


def _instant(payload: dict[str, Any], name: str) -> datetime:
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnreadableTokenError(f"claim `{name}` is missing or not a number")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        raise UnreadableTokenError(f"claim `{name}` is not a valid timestamp") from None
