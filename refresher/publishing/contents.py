"""Read back what a credentials directory holds, as its reader would find it.

Everything that judges health reads through here, so that health is about the file and not about what the daemon
remembers having written. Standard library only: the exec probe (`refresher wait --directory`) reads through here too.
What the content is worth is decided in `refresher.engine.assessment`.
"""

import errno
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from refresher.durations import format_time
from refresher.files import FileState, UnsuitableFileError, read_regular
from refresher.publishing.artifacts import ACCESS_TOKEN, ARTIFACTS, DESCRIPTIONS, NAMES, TOKEN
from refresher.tokens import MAXIMUM_SIZE, SubjectToken, UnreadableTokenError, peek

LARGEST = 4 * 1024 * 1024
"""Bytes of a file that is not a token: `artifacts.json` and `env` grow with the ID tokens of a target."""

_TOKENS = frozenset(row.name for row in ARTIFACTS if row.origin in ("supplied", "minted"))

_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_DAMAGES = (errno.EIO, errno.ESTALE, errno.EBADMSG, errno.EUCLEAN)


class PublishedFile(NamedTuple):
    """One file of a credentials directory.

    Attributes:
        content: Its bytes; None if it is absent or can't be read. May be a secret, so it is not in the repr.
        problem: Why it can't be read; None if it can be or is absent.
        state: None if it is absent or could not be opened.
        is_damaged: Whether the disk or file server failed to read it: no process changed it.
    """

    content: bytes | None = None
    problem: str | None = None
    state: FileState | None = None
    is_damaged: bool = False

    def __repr__(self) -> str:
        """Return a text without the content."""
        return f"PublishedFile(problem={self.problem!r}, state={self.state!r})"

    @property
    def is_absent(self) -> bool:
        """Whether there is no such file."""
        return self.content is None and self.problem is None


class Description(NamedTuple):
    """One entry of `artifacts.json`: how long an artifact lives that does not show it, and what was asked for.

    `{NAME: {"sha256": …, "issued_at": …, "expires_at": …, "request": …}}`, counted only while the digest is the file's.

    Attributes:
        sha256: The digest of the file's bytes, in hex.
        issued_at: UTC, whole seconds.
        expires_at: UTC, whole seconds.
        request: Fingerprint of what was asked for; None for a subject token.
        leads: Whether it takes the place of the subject token, which a directory without a pool does not have.
    """

    sha256: str
    issued_at: datetime
    expires_at: datetime
    request: str | None = None
    leads: bool = False


def describe(
    content: bytes, issued_at: datetime, expires_at: datetime, request: str | None = None, *, leads: bool = False
) -> Description:
    """Return the entry of an artifact with this content."""
    life = issued_at.replace(microsecond=0), expires_at.replace(microsecond=0)
    return Description(compute_digest(content), *life, request, leads)


def compute_digest(content: bytes) -> str:
    """Return the SHA-256 of a content in hex."""
    import hashlib  # noqa: PLC0415 - only where there is something to describe: the exec probe counts milliseconds

    return hashlib.sha256(content).hexdigest()


def parse_descriptions(content: bytes | None) -> dict[str, Description]:
    """Read the entries of an `artifacts.json`; one that can't be read describes nothing."""
    try:
        document = json.loads(content) if content else {}
        return {
            name: Description(
                str(entry["sha256"]),
                datetime.fromisoformat(entry["issued_at"]).astimezone(UTC),
                datetime.fromisoformat(entry["expires_at"]).astimezone(UTC),
                None if entry.get("request") is None else str(entry["request"]),
                entry.get("leads") is True,
            )
            for name, entry in document.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return {}


def render_descriptions(entries: Mapping[str, Description]) -> bytes:
    """Return the bytes of an `artifacts.json`, equal for equal entries."""
    document = {}
    for name, entry in sorted(entries.items()):
        document[name] = {
            "sha256": entry.sha256,
            "issued_at": format_time(entry.issued_at),
            "expires_at": format_time(entry.expires_at),
            **({} if entry.request is None else {"request": entry.request}),
            **({"leads": True} if entry.leads else {}),
        }
    return json.dumps(document, indent=2).encode()


def read_file(directory: int, name: str) -> PublishedFile:
    """Read one file of an open directory; an unreadable one is described, not raised.

    Raises:
        OSError: Descriptors or memory are short, which decides nothing about the file.
    """
    largest = LARGEST if name in NAMES and name not in _TOKENS else MAXIMUM_SIZE
    try:
        content, state = read_regular(name, most=largest, directory=directory, follow=False)
    except FileNotFoundError:
        return PublishedFile()
    except UnsuitableFileError as error:
        return PublishedFile(problem=f"{name} is {error}")
    except OSError as error:
        if error.errno in _SHORTAGES:
            raise
        reason = "it is a symlink" if error.errno == errno.ELOOP else os.strerror(error.errno or 0)
        return PublishedFile(problem=f"{name} can't be read: {reason}", is_damaged=error.errno in _DAMAGES)
    return PublishedFile(content=content, state=state)


def find_leading(descriptions: Mapping[str, Description]) -> str:
    """Return which artifact leads a directory, by its `artifacts.json`: `token`, unless another entry leads."""
    described = descriptions.get(ACCESS_TOKEN)
    return ACCESS_TOKEN if described is not None and described.leads else TOKEN


def extract_token(contents: Mapping[str, PublishedFile], leading: str = TOKEN) -> SubjectToken | None:
    """Return the token that the leading file holds; None if there is no such file.

    A JWT shows its own life; that of an opaque token is in `artifacts.json`, if its SHA-256 is that of the file. An
    access token always counts as opaque. Both files must be among the contents.

    Raises:
        UnreadableTokenError: The file can't be read, or holds nothing whose life is known.
    """
    file = contents[leading]
    if file.problem is not None:
        raise UnreadableTokenError(file.problem)
    if file.content is None:
        return None
    try:
        text = file.content.decode("ascii")
    except UnicodeDecodeError:
        raise UnreadableTokenError("it is not ASCII") from None
    reason = UnreadableTokenError("it is not what artifacts.json describes")
    if leading == TOKEN:
        try:
            return peek(text)
        except UnreadableTokenError as error:
            reason = error
    described = parse_descriptions(contents[DESCRIPTIONS].content).get(leading)
    if described is None or described.sha256 != compute_digest(file.content):
        raise reason
    return SubjectToken(
        value=text, issued_at=described.issued_at, expires_at=described.expires_at, unverified_claims=None
    )
