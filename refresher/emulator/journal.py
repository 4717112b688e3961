"""The journal of requests: who asked for what and what was answered, never a secret.

A ring buffer, so that days of load fit into memory. Tokens appear as fingerprints (8 hex digits of their SHA-256).
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CAPACITY = 10_000
"""How many of the last entries are kept."""

LONGEST = 1000
"""Characters that are noted of a path or fact, which clients make as long as they like."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request and its answer.

    Attributes:
        time: When it came, Unix seconds on the emulator's clock.
        method: The HTTP method.
        path: Without the query, which may hold anything.
        operation: Which operation that is; empty if none.
        status: The HTTP status of the answer.
        refusal: Id of the refusal in the catalogue; None for a success.
        facts: What the service noted of it: principal, service account, fingerprint of the subject token.
    """

    time: float
    method: str
    path: str
    operation: str = ""
    status: int = 0
    refusal: str | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """Give the entry as JSON has it."""
        return asdict(self)


class Journal:
    """The last requests, oldest first; all of them in a file, if there is one."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=CAPACITY)
        self.file: TextIO | None = None
        """Where each request is written as one line of JSON."""

    def add(self, entry: Entry) -> None:
        """Note a request."""
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
        """Give the entries whose path contains a text, all by default."""
        return [entry for entry in tuple(self._entries) if path in entry.path]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


class AuditLog:
    """The last entries, oldest first; each is handed to `keep` as well."""

    def __init__(self, entries: Iterable[dict[str, Any]] = ()) -> None:
        self._entries: deque[dict[str, Any]] = deque(entries, maxlen=CAPACITY)
        self.keep: Callable[[dict[str, Any]], None] = lambda _entry: None

    def add(self, entry: dict[str, Any]) -> None:
        """Write an entry."""
        self._entries.append(entry)
        self.keep(entry)

    def entries(self) -> list[dict[str, Any]]:
        """Give all entries."""
        return list(self._entries)


def fingerprint(token: str) -> str:
    """Give eight hex digits that tell tokens apart."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:8]
