"""What a published file holds, read without the product's code."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class TokenFacts:
    """What a token claims."""

    subject: str
    issuer: str
    kid: str
    issued_at: float
    expires_at: float

    @property
    def life(self) -> float:
        """Seconds from issue to expiry."""
        return self.expires_at - self.issued_at

    @property
    def identity(self) -> str:
        """The name of the identity, which every subject begins with."""
        return self.subject.partition(".")[0]

    @property
    def overdue_at(self) -> float:
        """When no more than the minimum validity is left (contract)."""
        return self.expires_at - min(self.life / 3, 360.0)

    @property
    def latest_due(self) -> float:
        """When it is due without a spread."""
        return self.issued_at + self.life / 2

    @property
    def earliest_due(self) -> float:
        """When it is due with the largest spread."""
        return self.issued_at + self.life * 0.4


def read_token(content: bytes) -> TokenFacts | None:
    """Return what a token claims; None if it is not whole."""
    parts = content.split(b".")
    if len(parts) != 3 or len(parts[2]) not in (84, 86):
        return None
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))) for part in parts[:2])
        base64.b64decode(parts[2] + b"==", altchars=b"-_", validate=True)
        return TokenFacts(claims["sub"], claims["iss"], header["kid"], claims["iat"], claims["exp"])
    except (ValueError, KeyError):
        return None


def read_record(content: bytes) -> tuple[str, str, str] | None:
    """Return target, identity and fingerprint of a target record; None if it is not whole."""
    try:
        document = json.loads(content)
        return document["target"], document["identity"], document["fingerprint"]
    except (ValueError, KeyError):
        return None


def is_whole(name: str, content: bytes) -> bool:
    """Return whether a file of a credentials directory is complete."""
    if name == "token":
        return read_token(content) is not None
    if name == ".target":
        return read_record(content) is not None
    if name.endswith(".json"):
        try:
            return isinstance(json.loads(content), dict)
        except ValueError:
            return False
    if name == "env":
        return content.endswith(b"\n") and b"GOOGLE_APPLICATION_CREDENTIALS=" in content
    return bool(content) and b"\0" not in content


def to_time(moment: datetime) -> float:
    """Return the seconds since the epoch."""
    return moment.astimezone(UTC).timestamp()
