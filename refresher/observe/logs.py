"""Log lines from events: JSON unless on a terminal, one line each, names and fields as the contract has them.

Uses the standard library's logging under the package's own logger; the root logger and other libraries are left alone.
Lines are written on a thread of their own, from a bounded queue: a reader that hangs, or a full disk under the log,
must delay no renewal and no signal. What does not fit is dropped and counted. Nothing that is logged holds a secret;
what looks like one all the same is blanked here, as a last net.
"""

import json
import logging
import os
from datetime import UTC, datetime
from queue import Full, Queue
from threading import Lock, Thread
from typing import TextIO

from refresher.engine.events import Event
from refresher.text import blank_secrets

_LOGGER = logging.getLogger("refresher")
_MOST_WAITING = 10_000
"""Lines that wait for a slow reader; about 4 MiB."""
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))
"""Of syslog(3), by the lowest level that has it."""
_PATIENCE = 1.0
"""Seconds that the end of the program waits for lines to be written."""


def configure(stream: TextIO, *, level: int, journal: str = "") -> None:
    """Send the package's log lines of at least this level to a stream: prose for a person, JSON for a machine.

    If the stream is the one that systemd's journal reads, lines begin with their priority, such as `<3>`. The `journal`
    is what JOURNAL_STREAM holds (systemd.exec(5)): device and inode of that stream.
    """
    handler = BoundedHandler(stream)
    formatter: logging.Formatter = _Prose() if stream.isatty() else _Json()
    handler.setFormatter(_Prioritised(formatter) if _is_journal(stream, journal) else formatter)
    for former in _LOGGER.handlers:
        former.close()
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False


def log(event: Event) -> None:
    """Write one event as a log line."""
    if _LOGGER.isEnabledFor(event.severity):
        _LOGGER.log(event.severity, "%s", event.name, extra={"fields": event.fields})


class BoundedHandler(logging.Handler):
    """Writes lines to a stream without ever making the caller wait; `dropped` are those since the last one written."""

    def __init__(self, stream: TextIO, *, most: int = _MOST_WAITING) -> None:
        super().__init__()
        self._stream = stream
        self._lines: Queue[str | None] = Queue(most)
        self.dropped = 0
        self._counting = Lock()  # not the handler's own: `logging.shutdown` holds that while it waits for the thread
        self._thread = Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line, or count it as dropped."""
        try:
            self._lines.put_nowait(self.format(record))
        except Full:
            with self._counting:
                self.dropped += 1

    def close(self) -> None:
        """Wait a moment for what is queued, and end."""
        try:
            self._lines.put_nowait(None)
            self._thread.join(_PATIENCE)
        except Full:
            pass
        super().close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            with self._counting:
                dropped, self.dropped = self.dropped, 0
            if dropped:
                record = _LOGGER.makeRecord(
                    _LOGGER.name, logging.WARNING, "", 0, "log.dropped", (), None, extra={"fields": {"lines": dropped}}
                )
                line = f"{line}\n{self.format(record)}"
            try:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            except (OSError, ValueError):  # a full disk, a closed pipe: the work goes on without a log
                with self._counting:
                    self.dropped += dropped + 1


def _is_journal(stream: TextIO, journal: str) -> bool:
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal == f"{status.st_dev}:{status.st_ino}"


class _Prioritised(logging.Formatter):
    """Puts the priority of sd-daemon(3) in front of each line."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return f"<{priority}>{self._formatter.format(record)}"


def _read_fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a record without what looks like a secret, in names, values and what they hold."""
    fields: dict[str, object] = getattr(record, "fields", {})
    return {blank_secrets(name): _clean(value) for name, value in fields.items()}


def _clean(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return blank_secrets(value if isinstance(value, str) else str(value))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": blank_secrets(record.getMessage()),
        }
        return json.dumps(line | _read_fields(record))


class _Prose(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(
            f"{name}={_quoted(value)}" for name, value in _read_fields(record).items() if value is not None
        )
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        return f"{time} {record.levelname.lower():7} {blank_secrets(record.getMessage())} {fields}".rstrip()


def _quoted(value: object) -> str:
    text = str(value)
    if not text.isprintable():
        return json.dumps(text)
    return text if text and not set(text) & set(' "=') else json.dumps(text, ensure_ascii=False)
