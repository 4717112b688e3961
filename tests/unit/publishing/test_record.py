from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from refresher.errors import PublishError
from refresher.publishing.artifacts import RECORD
from refresher.publishing.directory import NewerRecordError, TargetRecord, compute_fingerprint, read_record
from refresher.publishing.open_directory import open_to_publish
from tests.unit.publishing.conftest import RECORD as ALICE

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.publishing.directory import CredentialsDirectory
    from tests.conftest import Need

ALICE_FACTS = {"subject": "user-1", "service_account": "a@p.iam", "via": "federation", "subject_source": None}


def read(path: Path) -> TargetRecord | None:
    """Read the record of a directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read_record(descriptor, str(path))
    finally:
        os.close(descriptor)


def test_record_is_the_daemons_alone(directory: CredentialsDirectory) -> None:
    """It is written with mode 0600, for any owner and mode of the artifacts, and reads back unchanged."""
    with open_to_publish(directory) as opened:
        opened.publish(RECORD, ALICE.render())

    status = (directory.path / RECORD).stat()
    assert (status.st_mode & 0o777, status.st_uid) == (0o600, os.geteuid())
    assert directory.read_record() == ALICE
    assert json.loads((directory.path / RECORD).read_bytes())["version"] == 1


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{",
        b"[]",
        b'{"version": 1}',
        b'{"version": 1, "target": "a", "identity": "b"}',
        b"\xff",
        b"x" * 5000,
    ],
    ids=["absent", "empty", "torn", "list", "version", "no-fingerprint", "binary", "large"],
)
def test_absent_and_malformed_records_say_nothing(tmp_path: Path, content: bytes | None) -> None:
    """If the file is absent, or was read completely and is malformed, the directory has no record."""
    if content is not None:
        (tmp_path / RECORD).write_bytes(content)

    assert read(tmp_path) is None


def test_newer_record_is_an_error(tmp_path: Path) -> None:
    """A newer format is an error."""
    (tmp_path / RECORD).write_bytes(ALICE.render().replace(b'"version": 1', b'"version": 9'))

    with pytest.raises(NewerRecordError, match="later version"):
        read(tmp_path)


def test_record_that_cannot_be_read_is_a_failure_of_this_attempt(tmp_path: Path, need: Need) -> None:
    """A record that cannot be read is an error with its path, and not a statement about the owner."""
    need.root()
    tmp_path.chmod(0o711)
    (tmp_path / RECORD).write_bytes(ALICE.render())
    (tmp_path / RECORD).chmod(0o600)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            descriptor = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
            os.setresuid(54_321, 54_321, 54_321)
            read_record(descriptor, "PLACE")
            os.write(writer, b"read")
        except PublishError as error:
            os.write(writer, error.problem.encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 200).decode() == f"PLACE/{RECORD} can't be read: Permission denied"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"subject": "user-2"}, True),
        ({"service_account": "b@p.iam"}, True),
        ({"service_account": None}, True),
        ({"via": "impersonation"}, True),
        ({"subject_source": ("file", "/t")}, False),
        ({"subject": None}, True),
    ],
    ids=["subject", "account", "no-account", "via", "source-of-a-known-subject", "no-subject"],
)
def test_fingerprint_changes_with_the_workload(change: dict[str, object], *, differs: bool) -> None:
    """Subject, account and way change the workload; a supplier's source only does if it chooses the subject."""
    other = compute_fingerprint(**{**ALICE_FACTS, **change})  # type: ignore[arg-type]  # by name

    assert (other != compute_fingerprint(**ALICE_FACTS)) is differs  # type: ignore[arg-type]  # by name


def test_fingerprint_changes_with_the_source_of_an_unknown_subject() -> None:
    """If only the supplier knows the subject, the settings that choose it are part of the workload."""
    one, other = (
        compute_fingerprint(subject=None, service_account="a", via="federation", subject_source=("file", path))
        for path in ("/a", "/b")
    )

    assert one != other
