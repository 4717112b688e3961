"""`artifacts.json`: how long each artifact lives that does not show it itself, and what was asked for.

`{NAME: {"sha256": …, "issued_at": …, "expires_at": …, "request": …}}`: the SHA-256 of the file, instants in UTC, and
a fingerprint of the request. An entry counts only while its digest is that of the file. Standard library only: the exec
probe reads it too.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Description(NamedTuple):
    """One entry.

    Attributes:
        sha256: Of the file's bytes, in hex.
        issued_at: UTC, whole seconds.
        expires_at: UTC, whole seconds.
        request: Fingerprint of what was asked for; None for a subject token.
    """

    sha256: str
    issued_at: datetime
    expires_at: datetime
    request: str | None = None


def describe(content: bytes, issued_at: datetime, expires_at: datetime, request: str | None = None) -> Description:
    """Return the entry of an artifact with this content."""
    return Description(digest(content), issued_at.replace(microsecond=0), expires_at.replace(microsecond=0), request)


def digest(content: bytes) -> str:
    """Return the SHA-256 of a content in hex."""
    import hashlib  # noqa: PLC0415 - only where there is something to describe: the exec probe counts milliseconds

    return hashlib.sha256(content).hexdigest()


def parse(content: bytes | None) -> dict[str, Description]:
    """Read the entries of an `artifacts.json`; one that can't be read describes nothing."""
    try:
        document = json.loads(content or b"{}")
        return {name: _entry(entry) for name, entry in document.items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return {}


def render(entries: Mapping[str, Description]) -> bytes:
    """Return the bytes of an `artifacts.json`, equal for equal entries."""
    return json.dumps({name: _document(entries[name]) for name in sorted(entries)}, indent=2).encode()


def _entry(entry: Mapping[str, Any]) -> Description:
    request = entry.get("request")
    return Description(
        str(entry["sha256"]),
        datetime.fromisoformat(entry["issued_at"]).astimezone(UTC),
        datetime.fromisoformat(entry["expires_at"]).astimezone(UTC),
        None if request is None else str(request),
    )


def _document(entry: Description) -> dict[str, str]:
    document = {
        "sha256": entry.sha256,
        "issued_at": f"{entry.issued_at:%FT%TZ}",
        "expires_at": f"{entry.expires_at:%FT%TZ}",
    }
    return document if entry.request is None else {**document, "request": entry.request}
