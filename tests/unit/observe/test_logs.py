from __future__ import annotations

import io
import json
import logging
from contextlib import nullcontext
from threading import Event as Signal

import pytest

from refresher.engine.reporter import Event, Severity
from refresher.observe import logs
from tests.program import until


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        """Return true."""
        return True


def lines_of(stream: io.StringIO, *events: Event, level: int = logging.INFO) -> list[str]:
    """Log events to a stream and return its lines."""
    logs.configure(stream, level=level)
    for event in events:
        logs.log(event)
    logging.getLogger("refresher").handlers[0].close()
    return stream.getvalue().splitlines()


PUBLISHED = Event(
    name="token.published", severity=Severity.INFO, fields={"target": "alice", "error": None, "path": 'a "b"'}
)


def test_machine_gets_one_json_object_a_line() -> None:
    """Without a terminal each event is one line of JSON with time, level, name and all fields."""
    (line,) = lines_of(io.StringIO(), PUBLISHED)

    document = json.loads(line)
    assert document.pop("time").endswith("+00:00")
    assert document == {"level": "info", "event": "token.published", "target": "alice", "error": None, "path": 'a "b"'}


def test_person_gets_prose() -> None:
    """On a terminal each event is a readable line; empty fields are left out, values with spaces are quoted."""
    (line,) = lines_of(Terminal(), PUBLISHED)

    assert line.endswith(' info    token.published target=alice path="a \\"b\\""')


def test_terminal_gets_no_control_characters() -> None:
    """Characters that would move a terminal's cursor, or cannot be encoded, are written as JSON escapes."""
    odd = Event(name="token.published", severity=Severity.INFO, fields={"subject": "a\x1b[2J\ud800"})

    (line,) = lines_of(Terminal(), odd)

    assert line.endswith('subject="a\\u001b[2J\\ud800"')


@pytest.mark.parametrize(("level", "count"), [(logging.INFO, 1), (logging.WARNING, 0), (logging.DEBUG, 1)])
def test_level_decides_what_is_said(level: int, count: int) -> None:
    """Events below the level are not written."""
    assert len(lines_of(io.StringIO(), PUBLISHED, level=level)) == count


def test_other_loggers_are_left_alone() -> None:
    """Configuring our log leaves the root logger and its handlers as they were."""
    before = list(logging.getLogger().handlers)

    lines_of(io.StringIO(), PUBLISHED)

    assert logging.getLogger().handlers == before
    assert logging.getLogger("refresher").propagate is False


class StuckStream(io.StringIO):
    """A stream whose reader hangs until a test releases it."""

    def __init__(self) -> None:
        super().__init__()
        self.released = Signal()

    def write(self, text: str) -> int:
        """Wait, and write."""
        self.released.wait(30)
        return super().write(text)


def test_reader_that_hangs_holds_up_no_caller() -> None:
    """While nothing is read, lines beyond the queue are dropped at once; later a line reports how many."""
    stream = StuckStream()
    handler = logs.BoundedHandler(stream, most=5)
    handler.setFormatter(logging.Formatter("%(message)s %(fields)s"))
    logger = logging.getLogger("refresher.test")

    for number in range(50):
        handler.handle(logger.makeRecord("refresher", logging.INFO, "", 0, str(number), (), None, extra={"fields": {}}))
    stream.released.set()
    until(lambda: "4 {}" in stream.getvalue(), what="the queued lines")
    handler.close()

    dropped = [line for line in stream.getvalue().splitlines() if line.startswith("log.dropped")]
    assert sum(int(line.partition(": ")[2].rstrip("}")) for line in dropped) >= 50 - 5 - 2


def test_stream_that_fails_ends_nothing() -> None:
    """A closed pipe or a full disk under the log is survived, and what is lost is counted."""
    stream = io.StringIO()
    handler = logs.BoundedHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    stream.close()
    record = logging.getLogger("refresher").makeRecord("refresher", logging.INFO, "", 0, "lost", (), None)

    handler.handle(record)
    handler.close()

    assert handler.dropped == 1


def test_end_of_the_program_writes_what_is_queued() -> None:
    """`logging.shutdown` holds the handler's lock while it closes it; the last line is written nevertheless."""
    stream = io.StringIO()
    handler = logs.BoundedHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    record = logging.getLogger("refresher").makeRecord("refresher", logging.INFO, "", 0, "last", (), None)

    with handler.lock or nullcontext():
        handler.emit(record)
        handler.close()

    assert stream.getvalue() == "last\n"
