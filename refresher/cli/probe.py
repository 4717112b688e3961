"""The exec probe `refresher wait --directory DIR`: is this credentials directory usable, in standard library only.

It sees what a client sees in its own container, so it knows no configuration: the token file holds a token with more
than its minimum validity left, `credentials.json` and `env` are there, and none of them is mounted by itself, which
would cut the container off from every refresh. What the configuration would mint instead is `refresher wait --config`'s
question. A command line that it does not understand is left to the full command.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from refresher import policy
from refresher.durations import parse_duration
from refresher.errors import ExitStatus, NotReadyError
from refresher.publishing import descriptions
from refresher.publishing.contents import CREDENTIALS, ENVIRONMENT, TOKEN, Contents, read, read_file, token_of
from refresher.publishing.mounts import SingleFileMountError, single_file_mount
from refresher.tokens import UnreadableTokenError

POLL_SECONDS = 0.05
_ARTIFACTS = (TOKEN, CREDENTIALS, ENVIRONMENT)
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPTIONS = {
    "--directory": "REFRESHER_WAIT_DIRECTORY",
    "--min-validity": "REFRESHER_WAIT_MIN_VALIDITY",
    "--timeout": "REFRESHER_WAIT_TIMEOUT",
}


class Request(NamedTuple):
    """What is waited for.

    Attributes:
        directory: The credentials directory as this process sees it.
        min_validity: The life a token must have left; None for its own minimum validity.
        timeout: How long to wait; zero to look once.
        artifacts: Further artifacts that must be usable too.
    """

    directory: str
    min_validity: timedelta | None
    timeout: timedelta
    artifacts: tuple[str, ...] = ()


def parse(arguments: list[str]) -> Request | None:
    """Read the arguments after `wait`; None if they ask for something other than a plain probe of a directory."""
    values = {option: os.environ[name] for option, name in _OPTIONS.items() if name in os.environ}
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if option not in _OPTIONS or not (equals or rest):
            return None
        values[option] = value if equals else rest.pop(0)
    if not values.get("--directory"):
        return None
    try:
        least = values.get("--min-validity")
        return Request(
            directory=values["--directory"],
            min_validity=None if least is None else parse_duration(least),
            timeout=parse_duration(values.get("--timeout", "60s")),
        )
    except ValueError:
        return None


def run(request: Request) -> int:
    """Wait until the directory is usable; give the exit status, having said what is wrong if it is not."""
    deadline = time.monotonic() + request.timeout.total_seconds()
    while (error := look(request, datetime.now(UTC))) is not None:
        if isinstance(error, SingleFileMountError) or time.monotonic() >= deadline:
            sys.stderr.write(f"refresher: {error}\n")
            return ExitStatus.NOT_READY
        time.sleep(POLL_SECONDS)
    return ExitStatus.DONE


def look(request: Request, now: datetime) -> NotReadyError | None:
    """Give what is wrong with a credentials directory now; None if a client that reads it is served, and will be."""
    directory = request.directory
    try:
        descriptor = os.open(directory, _OPEN)
    except OSError as error:
        return _not_ready(f"{directory} cannot be opened: {os.strerror(error.errno or 0)}")
    try:
        contents = read(descriptor)
        if (mounted := single_file_mount(descriptor, (*_ARTIFACTS, *request.artifacts), directory)) is not None:
            return mounted
        found = _complaint(directory, contents, now, request.min_validity)
        further = (_complaint_of(descriptor, name, contents, request, now) for name in request.artifacts)
        problem = found or next(filter(None, further), None)
        return None if problem is None else _not_ready(problem)
    except OSError as error:
        return _not_ready(f"{directory} cannot be read: {os.strerror(error.errno or 0)}")
    finally:
        os.close(descriptor)


def _not_ready(problem: str) -> NotReadyError:
    return NotReadyError(problem, "see `refresher status` on the worker")


def _complaint(directory: str, contents: Contents, now: datetime, min_validity: timedelta | None) -> str | None:
    for name, artifact in ((CREDENTIALS, contents.credentials), (ENVIRONMENT, contents.environment)):
        if not artifact.content:
            return artifact.problem or f"{directory}/{name} is absent"
    try:
        token = token_of(contents)
    except UnreadableTokenError as error:
        return f"{directory}/token is unreadable: {error}"
    if token is None:
        return f"{directory}/token is absent"
    if policy.is_from_the_future(token.issued_at, now):
        return f"{directory}/token was issued in the future"
    needed = policy.minimum_validity(token.lifetime) if min_validity is None else min_validity
    if token.expires_at - now <= needed:
        return f"{directory}/token ends at {token.expires_at:%FT%TZ}, too soon"
    return None


def _complaint_of(descriptor: int, name: str, contents: Contents, request: Request, now: datetime) -> str | None:
    place = f"{request.directory}/{name}"
    file = read_file(descriptor, name)
    if not file.content:
        return file.problem or f"{place} is absent"
    if name == "boto":
        return None
    described = descriptions.parse(contents.descriptions.content).get(name)
    if described is None or described.sha256 != descriptions.digest(file.content):
        return f"{place} is not what artifacts.json describes"
    needed = request.min_validity or policy.minimum_validity(described.expires_at - described.issued_at)
    return None if described.expires_at - now > needed else f"{place} ends at {described.expires_at:%FT%TZ}, too soon"
