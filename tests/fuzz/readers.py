"""What reads bytes that others may have written: each reader with what must hold whatever the bytes are.

A reader takes the content of a file or a message, and returns whether it is accepted. Its typed errors are refusals;
any other exception is a fault, and so is a result that the reader must not return. `tests.fuzz.guided` searches for
such bytes, guided by coverage, and `test_readers` reads what was found and committed. Only the standard library and our
own modules are imported here: the guided search runs in an environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refresher.app.inspection import Inspector
from refresher.app.request import parse_request
from refresher.config import loader
from refresher.doctor.container import parse_output
from refresher.doctor.sight import Sight
from refresher.errors import ConfigurationError, KeysError, PublishError, UsageError
from refresher.keys.registry import compose_document, open_keys, read_registry
from refresher.metadata.answers import Request, Response, Snapshot, answer, refuse
from refresher.metadata.connection import Connection, Limits
from refresher.metadata.helper import Helper
from refresher.metadata.plan import Facts
from refresher.observe import connections, messages
from refresher.publishing.contents import parse_descriptions, render_descriptions
from refresher.publishing.directory import read_record
from refresher.tokens import ExpectedClaims, UnreadableTokenError, peek

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Reader = Callable[[bytes], bool]

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)

_MAIN = """\
version: 1
providers: {main: {project_number: "123456789012", pool: workers, provider: refresher}}
suppliers: {worker: {kind: self_issued, issuer: "https://workers.example.com", keys: /var/lib/refresher/keys}}
identities:
  alice: {subject: user-1042}
  bob: {subject: user-1043, service_account: task-bob@my-project.iam.gserviceaccount.com}
directory_root: ROOT
targets: {bob: {}}
targets_directory: ROOT/targets.d
"""


def _write(place: Path, content: bytes) -> Path:
    """Write a file that only its owner may read, and return its path."""
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return place


def _build_configuration_reader(site: Path) -> Reader:
    def read(content: bytes) -> bool:
        path = _write(site / "refresher.yaml", content)
        with suppress(ConfigurationError):
            loaded = loader.load(path)
            for target in loaded.targets.values():
                assert Path(target.directory).parent == Path(loaded.configuration.directory_root)
                assert target.identity in loaded.configuration.identities
            return True
        return False

    return read


def _build_drop_in_reader(site: Path) -> Reader:
    (site / "targets.d").mkdir()
    main = _write(site / "refresher.yaml", _MAIN.replace("ROOT", str(site)).encode())
    loaded = loader.load(main)

    def read(content: bytes) -> bool:
        _write(site / "targets.d/task.yaml", content)
        scanned = loader.load(main, previous=loaded).scanned
        assert scanned.file_names == frozenset(["task"])
        assert set(scanned.targets) <= {"task"}
        assert scanned.problems or set(scanned.targets) == {"task"}
        for target in scanned.targets.values():
            assert target.identity in ("alice", "bob")
            assert Path(target.directory) == site / "task"
        return bool(scanned.targets)

    return read


def _build_registry_reader(site: Path) -> Reader:
    keys = site / "keys"
    keys.mkdir(mode=0o700)

    def read(content: bytes) -> bool:
        _write(site / "keys/keys.json", content)
        with open_keys(keys) as descriptor:
            try:
                records = read_registry(descriptor, keys)
            except KeysError:
                return False
            written = compose_document(records)
            _write(keys / "keys.json", json.dumps(written).encode())
            assert compose_document(read_registry(descriptor, keys)) == written
            assert not any("/" in each.kid or each.kid.startswith(".") for each in records)
            return True

    return read


def _build_record_reader(site: Path) -> Reader:
    descriptor = os.open(site, os.O_RDONLY | os.O_DIRECTORY)

    def read(content: bytes) -> bool:
        _write(site / ".target", content)
        with suppress(PublishError):
            record = read_record(descriptor, str(site))
            assert record is None or record.render()
            return record is not None
        return False

    return read


def _build_descriptions_reader(_site: Path) -> Reader:
    def read(content: bytes) -> bool:
        entries = parse_descriptions(content)
        assert parse_descriptions(render_descriptions(entries)).keys() == entries.keys()
        return bool(entries)

    return read


def _build_token_reader(_site: Path) -> Reader:
    expected = ExpectedClaims(issuer="https://workers.example.com", subject="user-1", audiences=frozenset(["x"]))

    def read(content: bytes) -> bool:
        text = content.decode("latin-1")
        with suppress(UnreadableTokenError):
            token = peek(text)
            assert text not in repr(token)
            assert token.expires_at - token.issued_at == token.lifetime
            expected.mismatches(token)
            return True
        return False

    return read


def _build_inspector(site: Path) -> Reader:
    inspector = Inspector(NOW)

    def read(content: bytes) -> bool:
        is_explained = False
        for name in ("token", "credentials.json", "env", "artifacts.json"):
            path = _write(site / name, content)
            with suppress(UsageError):
                for _, findings in inspector.inspect_path(path):
                    assert findings.kind
                    is_explained = True
            path.unlink()
        return is_explained

    return read


def _build_http_reader(_site: Path) -> Reader:
    def read(content: bytes) -> bool:
        ours, peer = socket.socketpair()
        with ours, peer:
            ours.settimeout(0)
            peer.sendall(content)
            peer.shutdown(socket.SHUT_WR)
            connection = connections.Connection(ours, "")
            try:
                while (head := connection.read_head()) is None:
                    pass
            except (ConnectionError, ValueError):
                return False
            found = messages.parse_head(head)
            response = found if isinstance(found, messages.Response) else messages.Response(200, b"ready\n")
            assert response.status in (200, 400, 405, 421)
            connection.respond(response)
            connection.write()
            assert peer.recv(65536).startswith(b"HTTP/1.1 %d " % response.status)
            return isinstance(found, messages.Head)

    return read


class _Endpoint:
    """What a connection to a metadata endpoint belongs to: it answers at once, and without tokens."""

    limits = Limits()
    snapshot = Snapshot(facts=Facts(name="task", email="task-bob@my-project.iam.gserviceaccount.com", scopes=("a",)))

    def respond(self, request: Request) -> Response:
        """Return the answer of a target without a token."""
        found = answer(request, self.snapshot, NOW)
        return found if isinstance(found, Response) else refuse(503, "no token")

    def take_turn(self, _resume: Callable[[], None]) -> bool:
        """Return that each request is answered at once."""
        return True

    def note_answered(self, _status: int) -> None:
        """Count nothing."""

    def note_closed(self, _connection: Connection) -> None:
        """Note nothing."""


class _Transport(asyncio.Transport):
    """Keeps what a connection writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignore the limits."""

    def pause_reading(self) -> None:
        """Read all the same: the whole content is there."""

    def resume_reading(self) -> None:
        """Go on."""


def _build_metadata_reader(_site: Path) -> Reader:
    def read(content: bytes) -> bool:
        buffer, transport = bytearray(65536), _Transport()
        connection = Connection(_Endpoint(), buffer, lambda: 0.0)
        connection.connection_made(transport)
        for begin in range(0, len(content), 1000):  # in more than one piece, as from a slow peer
            part = content[begin : begin + 1000]
            buffer[: len(part)] = part
            connection.buffer_updated(len(part))
        connection.eof_received()
        connection.connection_lost(None)
        answered = bytes(transport.written)
        assert not answered or answered.startswith(b"HTTP/1.1 ")
        assert b"HTTP/1.1 500" not in answered
        return b" 200 OK" in answered

    return read


def _build_request_reader(_site: Path) -> Reader:
    def read(content: bytes) -> bool:
        with suppress(ValueError):
            request = parse_request(content)
            assert parse_request(request.render()) == request
            return True
        return False

    return read


def _build_helper_reader(_site: Path) -> Reader:
    helper = Helper(("/run/netns-of-nobody",))

    def read(content: bytes) -> bool:
        given, sockets = helper.serve(content, 1)
        assert not sockets
        assert given.get("kind") in (None, "refused", "absent", "occupied")
        assert not helper.held
        return "kind" not in given

    return read


def _build_container_reader(_site: Path) -> Reader:
    def read(content: bytes) -> bool:
        with suppress(UsageError):
            seen = parse_output(content, Sight(), ["token"], ["/var/run/google/token"])
            assert set(seen.files) <= {"token"}
            assert set(seen.paths) == {"/var/run/google/token"}
            return True
        return False

    return read


READERS: Final[Mapping[str, Callable[[Path], Reader]]] = {
    "configuration": _build_configuration_reader,
    "drop-in": _build_drop_in_reader,
    "keys-json": _build_registry_reader,
    "target-record": _build_record_reader,
    "artifacts-json": _build_descriptions_reader,
    "token": _build_token_reader,
    "inspected-file": _build_inspector,
    "http-request": _build_http_reader,
    "metadata-request": _build_metadata_reader,
    "once-request": _build_request_reader,
    "helper-message": _build_helper_reader,
    "container-answer": _build_container_reader,
}
"""Each builds its reader in a directory of its own."""
