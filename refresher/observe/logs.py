"""Log lines from events: JSON unless on a terminal, one line each, names and fields as the contract has them.

Uses the standard library's logging under the package's own logger; the root logger and other libraries are left alone.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from refresher.engine.reporter import Event

_LOGGER = logging.getLogger("refresher")


def configure(stream: TextIO, *, level: int) -> None:
    """Send the package's log lines of at least this level to a stream: prose for a person, JSON for a machine."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Prose() if stream.isatty() else _Json())
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False


def log(event: Event) -> None:
    """Write one event as a log line."""
    if _LOGGER.isEnabledFor(event.severity):
        _LOGGER.log(event.severity, "%s", event.name, extra={"fields": event.fields})


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        return json.dumps(line | dict(getattr(record, "fields", {})))


class _Prose(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(
            f"{name}={_quoted(value)}" for name, value in getattr(record, "fields", {}).items() if value is not None
        )
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        return f"{time} {record.levelname.lower():7} {record.getMessage()} {fields}".rstrip()


def _quoted(value: object) -> str:
    text = str(value)
    if not text.isprintable():
        return json.dumps(text)
    return text if text and not set(text) & set(' "=') else json.dumps(text, ensure_ascii=False)
