"""The records of requests: the emulator's own journal, and the entries of Cloud Logging. Neither contains a secret.

Both are ring buffers, so that days of load fit into memory. Tokens appear as fingerprints (8 hex digits of their
SHA-256). `refresher.emulator.audit_log` decides which entries Cloud Logging gets.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TextIO

CAPACITY = 10_000
"""How many entries are kept."""

LONGEST = 1000
"""How many characters of a path or fact are noted; clients can send longer ones."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request and its answer.

    Attributes:
        time: When it arrived, in Unix seconds on the emulator's clock.
        method: The HTTP method.
        path: Without the query, which may contain secrets.
        operation: The name of the operation; empty for an unknown path.
        status: The HTTP status of the answer.
        refusal: The id of the refusal in the catalogue; None for a success.
        facts: What the service noted: principal, service account, fingerprint of the subject token.
    """

    time: float
    method: str
    path: str
    operation: str = ""
    status: int = 0
    refusal: str | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """Return the entry, for JSON."""
        return asdict(self)


class Journal:
    """The last requests, oldest first; all requests in a file, if one is set."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=CAPACITY)
        self.file: TextIO | None = None
        """Each request is written to it as one line of JSON."""

    def add(self, entry: Entry) -> None:
        """Add a request."""
        entry = replace(
            entry,
            path=entry.path[:LONGEST],
            facts={name: fact[:LONGEST] for name, fact in entry.facts.items()},
        )
        self._entries.append(entry)
        if self.file is not None:
            self.file.write(json.dumps(entry.as_document()) + "\n")
            self.file.flush()

    def entries(self, path: str = "") -> list[Entry]:
        """Return the entries whose path contains a text; by default all."""
        return [entry for entry in tuple(self._entries) if path in entry.path]

    def clear(self) -> None:
        """Delete all entries."""
        self._entries.clear()


class AuditLog:
    """The last entries of Cloud Logging, oldest first. Each new one is also passed to `keep`."""

    def __init__(self, entries: Iterable[dict[str, Any]] = ()) -> None:
        self._entries: deque[dict[str, Any]] = deque(entries, maxlen=CAPACITY)
        self.keep: Callable[[dict[str, Any]], None] = lambda _entry: None

    def add(self, entry: dict[str, Any]) -> None:
        """Add an entry."""
        self._entries.append(entry)
        self.keep(entry)

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries."""
        return list(self._entries)


def fingerprint(token: str) -> str:
    """Return eight hex digits that identify a token without revealing it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:8]
