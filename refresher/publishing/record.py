"""The target record, `.target`: the daemon's own note of whose a credentials directory is.

`{"version": 1, "target": …, "identity": …, "fingerprint": …}`, mode 0600, never given away. It is written before every
other file and removed after all of them, so that no file in the directory, which its owner may forge, has to be asked.
What is minted (audience, claims, scopes) is not in it: a change of that supersedes files and takes nothing away.
"""

import hashlib
import json
import os
from typing import NamedTuple

from refresher.errors import PublishError
from refresher.files import UnsuitableFileError, read_regular
from refresher.publishing.artifacts import RECORD
from refresher.publishing.atomic import build_publish_error, recommend_removal

_VERSION = 1
_LARGEST = 4096


class NewerRecordError(PublishError):
    """A later version of the refresher wrote the record; this one can't know what it means."""

    usually_retryable = False


class TargetRecord(NamedTuple):
    """Whose a credentials directory is.

    Attributes:
        target: Name of the target.
        identity: Name of its identity.
        fingerprint: A digest of what makes the identity who it is; see `compute_fingerprint`.
    """

    target: str
    identity: str
    fingerprint: str

    def render(self) -> bytes:
        """Return the bytes of the file."""
        return json.dumps({"version": _VERSION, **self._asdict()}).encode()


def compute_fingerprint(
    *, subject: str | None, service_account: str | None, via: str, subject_source: tuple[object, ...] | None
) -> str:
    """Return what differs for any other workload: 32 hex digits of a SHA-256.

    Args:
        subject: The configured `sub`; None where the supplier alone knows it.
        service_account: The target principal; None for direct resource access.
        via: How the identity reaches its service account.
        subject_source: What chooses the subject where the supplier alone knows it; texts and numbers.
    """
    facts = [subject, service_account, via, None if subject is not None else subject_source]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:32]


def read_record(directory: int, place: str) -> TargetRecord | None:
    """Read the record of an open directory, `place` in messages; None if it is absent, or was never complete.

    Raises:
        NewerRecordError: A later version wrote it.
        PublishError: It can't be read now, which decides nothing about whose the directory is.
    """
    try:
        content, _ = read_regular(RECORD, most=_LARGEST, directory=directory, follow=False)
    except (FileNotFoundError, UnsuitableFileError):
        return None
    except OSError as error:
        refused = build_publish_error(error, f"{place}/{RECORD}", done="read")
        if isinstance(error, PermissionError) and os.fstat(directory).st_uid == os.geteuid():
            refused.remedy = recommend_removal(place)  # in the daemon's own directory another user wrote it
        raise refused from error
    try:
        document = json.loads(content)
        version = int(document["version"])
        record = TargetRecord(str(document["target"]), str(document["identity"]), str(document["fingerprint"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if version > _VERSION:
        raise NewerRecordError(
            f"{place}/{RECORD} was written by a later version of the refresher (format {version})",
            f"run that version; or, to start over, stop every container that uses {place} and remove it",
        )
    return record
