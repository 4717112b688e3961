from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.errors import KeysError
from refresher.keys.directory import (
    activate,
    create,
    load_next_key,
    load_signing_key,
    read_jwks,
    retire,
    revoke,
    rotate,
)
from refresher.keys.jose import PrivateKey
from refresher.keys.registry import SKEW, KeyState, list_keys, published_key_ids
from tests.tokens import NOW

if TYPE_CHECKING:
    from pathlib import Path

HOUR = timedelta(hours=1)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a keys directory with one active RS256 key."""
    create(tmp_path / "keys", algorithm="RS256", now=NOW)
    return tmp_path / "keys"


def kids(keys: Path) -> set[str]:
    """Return the ids in the JWKS to upload."""
    return {key["kid"] for key in read_jwks(keys)["keys"]}


def test_rotation_from_beginning_to_end(keys: Path) -> None:
    """Each step changes which key signs and which are published as documented, and keys keep algorithm and mode."""
    old = load_signing_key(keys).kid

    new = rotate(keys, algorithm=None, now=NOW).kid
    assert load_signing_key(keys).kid == old
    assert load_next_key(keys, new).algorithm == "RS256"
    assert kids(keys) == {old, new} == published_key_ids(keys)

    assert activate(keys, new, lifetime=HOUR, now=NOW).kid == new
    assert load_signing_key(keys).kid == new
    assert kids(keys) == {old, new}

    (gone,) = retire(keys, now=NOW + HOUR + SKEW)
    assert gone.kid == old
    assert kids(keys) == {new}
    assert {path.name for path in keys.glob("[!.]*")} == {f"{new}.pem", "keys.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.glob("[!.]*")} == {0o400}


def test_half_written_files_of_a_killed_run_are_removed(keys: Path) -> None:
    """A temporary file may hold a private key: the next change removes it, and no file of another program."""
    (keys / ".keys.json.0123456789abcdef.tmp").write_text("half")
    (keys / "notes.tmp").write_text("another program's")

    rotate(keys, algorithm=None, now=NOW)

    assert {path.name for path in keys.iterdir() if path.suffix == ".tmp"} == {"notes.tmp"}


def test_created_directories_are_closed_to_others(tmp_path: Path) -> None:
    """Even without a umask, others cannot write above a keys directory that is created, nor read it."""
    umask = os.umask(0)
    try:
        create(tmp_path / "a" / "b" / "keys", algorithm="ES256", now=NOW)
    finally:
        os.umask(umask)

    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "a/b/keys")}
    assert modes == {"a": 0o755, "a/b": 0o755, "a/b/keys": 0o700}


def test_refused_change_leaves_everything(keys: Path) -> None:
    """A refused change changes no file."""
    rotate(keys, algorithm="ES256", now=NOW)
    before = {path.name: path.read_bytes() for path in keys.glob("[!.]*")}

    with pytest.raises(KeysError):
        rotate(keys, algorithm=None, now=NOW)
    with pytest.raises(KeysError):
        retire(keys, now=NOW)
    with pytest.raises(KeysError):
        revoke(keys, "unknown", now=NOW)

    assert {path.name: path.read_bytes() for path in keys.glob("[!.]*")} == before


def test_revoked_key_leaves_the_disk(keys: Path) -> None:
    """A revoked active key is replaced by a new one at once, and its private half is removed from the disk."""
    leaked = load_signing_key(keys).kid

    signing = revoke(keys, leaked, now=NOW).kid

    assert load_signing_key(keys).kid == signing != leaked
    assert kids(keys) == {signing}
    assert not (keys / f"{leaked}.pem").exists()


def test_one_of_several_rotations_succeeds(keys: Path) -> None:
    """Of several rotations at the same time one succeeds, and the directory is whole."""

    def attempt(_: int) -> bool:
        try:
            rotate(keys, algorithm="ES256", now=NOW)
        except KeysError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(8))) == 1
    assert [record.state for record in list_keys(keys)] == [KeyState.ACTIVE, KeyState.NEXT]


def test_backup_and_restore(keys: Path, tmp_path: Path) -> None:
    """A copy of the directory with the same modes works like the directory."""
    rotate(keys, algorithm=None, now=NOW)
    shutil.copytree(keys, tmp_path / "backup")
    before = read_jwks(keys)
    shutil.rmtree(keys)

    shutil.copytree(tmp_path / "backup", keys)

    assert read_jwks(keys) == before
    assert load_signing_key(keys).kid in kids(keys)


def test_registry_of_an_earlier_version_is_read(keys: Path) -> None:
    """A `keys.json` without the later times is read."""
    path = keys / "keys.json"
    document = json.loads(path.read_text())
    for entry in document["keys"]:
        for name in ("retiring_at", "keep_until", "gone_at"):
            del entry[name]
    path.unlink()
    path.write_text(json.dumps(document))
    path.chmod(0o400)

    (record,) = list_keys(keys)

    assert record.state is KeyState.ACTIVE
    assert record.keep_until is None


def test_reader_of_the_directory_holds_up_nobody(keys: Path) -> None:
    """A user who may read the directory can lock it for ever: keys are rotated and revoked nevertheless."""
    descriptor = os.open(keys, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    leaked = load_signing_key(keys).kid

    new = rotate(keys, algorithm=None, now=NOW).kid

    assert revoke(keys, leaked, now=NOW).kid == new
    os.close(descriptor)


@pytest.mark.slow  # waits for the limit
def test_process_that_locks_the_keys_is_named_in_time(keys: Path) -> None:
    """A process that never lets go of the keys is named with its id after a limited time."""
    rotate(keys, algorithm=None, now=NOW)
    descriptor = os.open(keys / ".lock", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    with pytest.raises(KeysError) as caught:
        activate(keys, None, lifetime=HOUR, now=NOW)

    assert f"process {os.getpid()} (" in caught.value.problem
    assert caught.value.remedy == f"end that process: kill {os.getpid()}"
    os.close(descriptor)


def test_key_that_a_killed_run_left_is_removed(keys: Path) -> None:
    """A key that is gone in `keys.json`, but whose file a killed run left, is removed by the next change."""
    former = load_signing_key(keys).kid
    left = (keys / f"{former}.pem").read_bytes()
    revoke(keys, former, now=NOW)
    (keys / f"{former}.pem").write_bytes(left)

    rotate(keys, algorithm=None, now=NOW)

    assert not (keys / f"{former}.pem").exists()


def test_key_that_was_never_listed_is_removed(keys: Path) -> None:
    """A key of a run that was killed before it wrote `keys.json` is removed by the next change, and no other file."""
    left = PrivateKey.generate("ES256")
    (keys / f"{left.kid}.pem").write_bytes(left.to_pem())
    (keys / "backup.pem").write_text("another program's")

    added = rotate(keys, algorithm=None, now=NOW)

    assert {path.name for path in keys.glob("*.pem")} == {
        f"{load_signing_key(keys).kid}.pem",
        f"{added.kid}.pem",
        "backup.pem",
    }


def test_keys_without_a_list_are_kept(keys: Path) -> None:
    """Where `keys.json` was lost, a new first key removes none of the others: a backup may list them."""
    former = load_signing_key(keys).kid
    (keys / "keys.json").unlink()

    create(keys, algorithm="ES256", now=NOW)

    assert (keys / f"{former}.pem").exists()
