"""The state on disk, in SQLite: a change is committed before its request is answered.

Each resource is one row. A change is found by comparing a resource with what was last written, so that no rule can
forget to report a change. A killed process loses at most the request that it was answering: the write-ahead log
contains whole transactions or nothing.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from refresher.emulator.cloud import Cloud
from refresher.emulator.credentials import UserCredential
from refresher.emulator.crypto_keys import CryptoKey
from refresher.emulator.journal import CAPACITY, AuditLog
from refresher.emulator.policies import Policy
from refresher.emulator.state import Pool, Project, Role, ServiceAccount, State
from refresher.emulator.storage_state import Bucket, StoredObject
from refresher.emulator.tokens import TokenVault
from refresher.errors import EmulatorError

STATE = "state.sqlite"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (kind TEXT, name TEXT, document TEXT NOT NULL, PRIMARY KEY (kind, name));
CREATE TABLE IF NOT EXISTS contents (
    bucket TEXT, name TEXT, generation INTEGER, content BLOB NOT NULL, PRIMARY KEY (bucket, name)
);
CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL);
"""
_UPSERT = "INSERT INTO resources VALUES (?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET document = excluded.document"
"""Writes a row in its place: the first project is still the first one after a restart."""

_KINDS: dict[str, TypeAdapter[Any]] = {
    "projects": TypeAdapter(Project),
    "pools": TypeAdapter(Pool),
    "service_accounts": TypeAdapter(ServiceAccount),
    "roles": TypeAdapter(Role),
    "buckets": TypeAdapter(Bucket),
    "crypto_keys": TypeAdapter(CryptoKey),
    "groups": TypeAdapter(set[str]),
    "users": TypeAdapter(UserCredential),
    "run_policies": TypeAdapter(Policy),
    "documents": TypeAdapter(dict[str, dict[str, Any]]),
    "settings": TypeAdapter(str),
}
"""How the members of each attribute of `State` are serialised."""

_OBJECT = TypeAdapter(StoredObject)
_VAULT = ("vault", "vault")
_FAULTS = ("control", "faults")
_QUOTAS = ("control", "quotas")


@contextmanager
def open_cloud(directory: Path) -> Iterator[Cloud]:
    """Hold the cloud that a directory stores, or a new one, for a `with` block; its changes are saved there.

    Raises:
        EmulatorError: The directory cannot be used.
    """
    path = directory / STATE
    with ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            # the main thread opens it and the server's thread writes to it; the cloud's lock keeps them apart
            database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5)
            cloud = _Store(stack.enter_context(closing(database))).load_cloud()
        except (OSError, sqlite3.OperationalError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise EmulatorError(
                f"the emulator's directory {directory} cannot be used: {reason}", "choose one that you can write to"
            ) from error
        except (sqlite3.DatabaseError, ValidationError, ValueError, TypeError, KeyError) as error:
            raise EmulatorError(f"{path} is damaged", "remove it to begin with an empty cloud") from error
        yield cloud


class _Store:
    """A database, and what was last written to it."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)
        self._written: dict[tuple[str, str], str] = {}
        self._generations: dict[tuple[str, str], int] = {}

    def load_cloud(self) -> Cloud:
        """Read everything, and return it as a cloud."""
        rows = self._database.execute("SELECT kind, name, document FROM resources ORDER BY rowid").fetchall()
        self._written = {(kind, name): document for kind, name, document in rows}
        vault = self._written.get(_VAULT)
        state = State() if vault is None else self._load_state()
        entries = self._database.execute("SELECT entry FROM log ORDER BY number").fetchall()
        cloud = Cloud(
            state=state,
            vault=TokenVault.from_document(json.loads(vault)) if vault is not None else TokenVault.new(),
            audit_log=AuditLog(json.loads(entry) for (entry,) in entries),
        )
        cloud.clock.offset = timedelta(seconds=float(state.settings.get("clock_offset", "0")))
        for row, control in ((_FAULTS, cloud.faults), (_QUOTAS, cloud.quotas)):
            if row in self._written:
                control.load(json.loads(self._written[row]))
        cloud.save = lambda: self._keep(cloud)
        cloud.audit_log.keep = self._log
        cloud.save()
        return cloud

    def _load_state(self) -> State:
        found: dict[str, dict[str, Any]] = {kind: {} for kind in _KINDS}
        objects = {}
        for (kind, name), document in self._written.items():
            if kind == "objects":
                objects[name] = document
            elif kind in found:
                found[kind][name] = _KINDS[kind].validate_json(document)
        contents = self._database.execute("SELECT bucket, name, generation, content FROM contents")
        for bucket, name, generation, content in contents:
            self._generations[bucket, name] = generation
            stored = _OBJECT.validate_json(objects[f"{bucket}/{name}"])
            stored.content = content
            found["buckets"][bucket].objects[name] = stored
        return State(**found)

    def _keep(self, cloud: Cloud) -> None:
        """Write what changed.

        Raises:
            OSError: The write failed, for example because the disk is full. The next change writes it again.
        """
        try:
            self._save(cloud)
        except sqlite3.OperationalError as error:
            raise OSError(str(error)) from error

    def _save(self, cloud: Cloud) -> None:
        now = dict(_list_rows(cloud))
        changed = [(*key, document) for key, document in now.items() if self._written.get(key) != document]
        gone = [key for key in self._written if key not in now]
        generations = {
            (name, key): stored.generation
            for name, bucket in cloud.state.buckets.items()
            for key, stored in bucket.objects.items()
        }
        uploaded = [key for key, generation in generations.items() if self._generations.get(key) != generation]
        removed = [key for key in self._generations if key not in generations]
        if not (changed or gone or uploaded or removed):
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(_UPSERT, changed)
            self._database.executemany("DELETE FROM resources WHERE kind = ? AND name = ?", gone)
            self._database.executemany("DELETE FROM contents WHERE bucket = ? AND name = ?", removed)
            for bucket, name in uploaded:
                stored = cloud.state.buckets[bucket].objects[name]
                values = (bucket, name, stored.generation, stored.content)
                self._database.execute("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)", values)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # with a full disk the transaction has ended already
                self._database.execute("ROLLBACK")
            raise
        self._written, self._generations = now, generations

    def _log(self, entry: dict[str, Any]) -> None:
        try:
            cursor = self._database.execute("INSERT INTO log (entry) VALUES (?)", (json.dumps(entry),))
            self._database.execute("DELETE FROM log WHERE number <= ?", ((cursor.lastrowid or 0) - CAPACITY,))
        except sqlite3.OperationalError as error:
            raise OSError(str(error)) from error


def _list_rows(cloud: Cloud) -> Iterator[tuple[tuple[str, str], str]]:
    yield _VAULT, json.dumps(cloud.vault.as_document())
    yield _FAULTS, json.dumps(cloud.faults.dump())
    yield _QUOTAS, json.dumps(cloud.quotas.dump())
    for kind, adapter in _KINDS.items():
        for name, resource in getattr(cloud.state, kind).items():
            yield (kind, name), adapter.dump_json(resource).decode()
    for bucket_name, bucket in cloud.state.buckets.items():
        for name, stored in bucket.objects.items():
            yield ("objects", f"{bucket_name}/{name}"), _OBJECT.dump_json(stored).decode()
