"""The entries of Cloud Logging, as a bounded store. What is written is `refresher.emulator.auditing`'s business."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CAPACITY = 10_000


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
