"""The exec probe `refresher wait --directory DIR`: whether a credentials directory is usable, in standard library only.

It sees what a client sees in its own container, and no configuration: the directory is not a removed one, the token
file holds a token with more than its minimum validity left, the other required files and the optional artifacts that
`env` or `artifacts.json` name are there and as good, and none of them is mounted by itself, which would cut the
container off from every refresh. What the configuration would mint is checked by `refresher wait --config`. A command
line that it does not understand is left to the full command.
"""

import errno
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from refresher import policy
from refresher.durations import parse_duration
from refresher.errors import ExitStatus, NotReadyError
from refresher.publishing.artifacts import (
    ARTIFACTS,
    DESCRIPTIONS,
    ENVIRONMENT,
    LEADING,
    get_row,
    is_minted,
    list_required,
)
from refresher.publishing.contents import (
    PublishedFile,
    compute_digest,
    extract_token,
    find_leading,
    parse_descriptions,
    read_file,
)
from refresher.publishing.mounts import SingleFileMountError, find_single_file_mount
from refresher.text import escape
from refresher.tokens import UnreadableTokenError

_POLL_SECONDS = 0.05
_LONGEST = 4096
_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC  # a container's user may traverse it, and need not list it
_OPTIONS = {
    "--directory": "REFRESHER_WAIT_DIRECTORY",
    "--min-validity": "REFRESHER_WAIT_MIN_VALIDITY",
    "--timeout": "REFRESHER_WAIT_TIMEOUT",
}


class RemovedDirectoryError(NotReadyError):
    """The directory was removed on the worker, and this process still holds the former one: waiting does not help."""


class Request(NamedTuple):
    """What to wait for: a credentials directory as this process sees it, with all its optional artifacts or only these.

    Each token must have more life left than `min_validity`, or without one than its own minimum validity.
    """

    directory: str
    min_validity: timedelta | None
    timeout: timedelta
    artifacts: tuple[str, ...] | None = None


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
    """Wait until the directory is usable, and return the exit status; print what is wrong if it is not."""
    deadline = time.monotonic() + request.timeout.total_seconds()
    while (error := look(request, datetime.now(UTC))) is not None:
        if isinstance(error, SingleFileMountError | RemovedDirectoryError) or time.monotonic() >= deadline:
            sys.stderr.write(f"refresher: {escape(error.problem, longest=_LONGEST)}\n  remedy: {error.remedy}\n")
            return ExitStatus.NOT_READY
        time.sleep(_POLL_SECONDS)
    return ExitStatus.DONE


def look(request: Request, now: datetime) -> NotReadyError | None:
    """Return what is wrong with a credentials directory now; None if a client that reads it is served, and will be."""
    directory = request.directory
    try:
        descriptor = os.open(directory, _OPEN)
    except OSError as error:
        return _not_ready(f"{directory} can't be opened: {os.strerror(error.errno or 0)}")
    try:
        if os.fstat(descriptor).st_nlink == 0:
            return RemovedDirectoryError(
                f"{directory} was removed on the worker, and this container still holds the former one",
                "start the container again",
            )
        known = dict.fromkeys(name for leading in LEADING for name in (*list_required(leading), DESCRIPTIONS))
        contents = {name: read_file(descriptor, name) for name in known}
        leading = find_leading(parse_descriptions(contents[DESCRIPTIONS].content))
        artifacts = _list_optional(contents) if request.artifacts is None else request.artifacts
        contents |= {name: read_file(descriptor, name) for name in artifacts if name not in contents}
        names = (leading, *list_required(leading), *artifacts)  # the token first: it is the one that is old already
        if (mounted := find_single_file_mount(descriptor, names, directory)) is not None:
            return mounted
        problem = _find_complaint(request, leading, artifacts, contents, now)
        return None if problem is None else _not_ready(problem)
    except OSError as error:
        return _not_ready(f"{directory} can't be read: {os.strerror(error.errno or 0)}")
    finally:
        os.close(descriptor)


def _not_ready(problem: str) -> NotReadyError:
    if problem.endswith(os.strerror(errno.EACCES)):
        reader = "as the user or group that `owner` of the target names, or as root"
        return NotReadyError(problem, f"uid {os.geteuid()} may not read it: run this, and the container, {reader}")
    return NotReadyError(problem, "see `refresher status` on the worker")


def _list_optional(contents: dict[str, PublishedFile]) -> tuple[str, ...]:
    """Return the optional artifacts of a directory, by the variables of its `env` and by `artifacts.json`."""
    names = set(filter(is_minted, parse_descriptions(contents[DESCRIPTIONS].content)))
    for line in (contents[ENVIRONMENT].content or b"").decode("ascii", "replace").splitlines():
        variable, _, path = line.partition("=")
        for row in ARTIFACTS:
            if row.variable and (variable.startswith(row.variable) if row.is_folder else variable == row.variable):
                name = f"{row.name}/{path.rpartition('/')[2]}" if row.is_folder else row.name
                names |= {name} if is_minted(name) or not row.is_folder else set()
    return tuple(sorted(names))


def _find_complaint(
    request: Request, leading: str, artifacts: tuple[str, ...], contents: dict[str, PublishedFile], now: datetime
) -> str | None:
    for name in (*list_required(leading), *artifacts):
        if not contents[name].content:
            return f"{request.directory}/{contents[name].problem or f'{name} is absent'}"
    try:
        token = extract_token(contents, leading)
    except UnreadableTokenError as error:
        return f"{request.directory}/{leading} is unreadable: {error}"
    lives = [] if token is None else [(leading, token.issued_at, token.expires_at)]
    described = parse_descriptions(contents[DESCRIPTIONS].content)
    for name in artifacts:
        if get_row(name).origin == "minted":
            entry = described.get(name)
            if entry is None or entry.sha256 != compute_digest(contents[name].content or b""):
                return f"{request.directory}/{name} is not what artifacts.json describes"
            lives.append((name, entry.issued_at, entry.expires_at))
    for name, issued_at, expires_at in lives:
        if policy.is_from_the_future(issued_at, now):
            return f"{request.directory}/{name} was issued in the future"
        least = request.min_validity
        if expires_at - now <= (policy.minimum_validity(expires_at - issued_at) if least is None else least):
            return f"{request.directory}/{name} expires at {expires_at:%FT%TZ}, too soon"
    return None
