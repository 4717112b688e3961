from __future__ import annotations

import io
import json
import logging
import os
from contextlib import nullcontext
from pathlib import Path
from threading import Event as Signal

import pytest

from refresher.engine.events import Event, Severity, Value
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


SECRETS = {
    "a JWT": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyLTEifQ.c2lnbmF0dXJl",
    "a JWT that is cut off": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIi",
    "an access token": "ya29.c.b0Aaekm1K-secret_value",
    "a refresh token": "1//0gSecretSecretSecret",
    "a private key": "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----",
    "a private key that is cut off": "-----BEGIN EC PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("stream", [io.StringIO, Terminal], ids=["JSON", "prose"])
def test_secret_gets_nowhere_into_a_line(stream: type[io.StringIO], secret: str) -> None:
    """Whatever field of an event holds a secret, by name or by value, the line shows an ellipsis in its place."""
    leaks = {
        "error": f"the server answered {secret} and more",
        "plain": secret,
        f"name {secret}": 1,
        "document": f'{{"subject_token": "{secret}", "x": 1}}',
        "form": f"grant_type=x&assertion={secret}&y=1",
        "listed": [secret],
    }
    event = Event(name=f"odd {secret}", severity=Severity.INFO, fields=leaks)  # type: ignore[arg-type]  # any object

    (line,) = lines_of(stream(), event)

    pieces = [piece for piece in secret.replace("-----", "\n").split("\n") if piece and "PRIVATE KEY" not in piece]
    assert [piece for piece in pieces if piece[4:] in line] == []


@pytest.mark.parametrize(
    "text",
    [
        "client_secret=a-fixed-password",
        '"client_assertion": "not-a-jwt-but-secret"',
        "Authorization: Bearer opaque-token-value",
        "subject_token=opaque-token-value&audience=x",
    ],
)
def test_named_secret_is_blanked_whatever_its_form(text: str) -> None:
    """The value of a parameter that is a secret by its name is not shown, though it looks like nothing."""
    event = Event(name="token.supply_failed", severity=Severity.INFO, fields={"error": text})

    (line,) = lines_of(io.StringIO(), event)

    assert not {"a-fixed-password", "not-a-jwt-but-secret", "opaque-token-value"} & set(line.replace('"', " ").split())
    assert "…" in json.loads(line)["error"]


def test_rest_of_a_text_stays() -> None:
    """Only the secret is blanked, not what is around it."""
    fields = {"error": f"the server answered {SECRETS['a JWT']} and more; see {SECRETS['a private key']} too"}

    (line,) = lines_of(io.StringIO(), Event(name="token.rejected", severity=Severity.INFO, fields=fields))

    assert json.loads(line)["error"] == "the server answered … and more; see … too"


def test_net_leaves_ordinary_fields_alone() -> None:
    """What the daemon logs every day goes through as it is."""
    fields: dict[str, Value] = {
        "subject": "user-1042",
        "issuer": "https://workers.example.com",
        "expires_at": "2026-01-01T00:00:00Z",
        "fingerprint": "1a2b3c4d",
        "duration_ms": 12,
        "error": "the token_url does not answer; subject_token_type is urn:ietf:params:oauth:token-type:jwt",
        "path": "/run/refresher/alice/token",
        "remedy": None,
    }

    (line,) = lines_of(io.StringIO(), Event(name="token.published", severity=Severity.INFO, fields=fields))

    assert {name: json.loads(line)[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("severity", "priority"), [(Severity.DEBUG, 7), (Severity.INFO, 6), (Severity.WARNING, 4), (Severity.ERROR, 3)]
)
def test_journal_gets_priorities(tmp_path: Path, severity: Severity, priority: int) -> None:
    """Lines for systemd's journal begin with their priority."""
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        logs.configure(stream, level=logging.DEBUG, journal=f"{status.st_dev}:{status.st_ino}")
        logs.log(Event(name="token.published", severity=severity))
        logging.getLogger("refresher").handlers[0].close()
        stream.seek(0)

        assert stream.read().startswith(f'<{priority}>{{"time"')


def test_other_stream_gets_no_priorities(tmp_path: Path) -> None:
    """If standard error was redirected, the variable is that of another stream."""
    with (tmp_path / "file").open("w+") as stream:
        logs.configure(stream, level=logging.INFO, journal="8:1")
        logs.log(PUBLISHED)
        logging.getLogger("refresher").handlers[0].close()
        stream.seek(0)

        assert stream.read().startswith("{")
