"""The kinds of values that become something other than text: durations, modes, paths, claims, the address to listen on.

Each is a type for pydantic with a function that reads or refuses in our words, and the JSON Schema of what a user
writes. Kinds of text are in `refresher.settings.fields`.
"""

import os
import re
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

from refresher import durations, limits
from refresher.settings.fields import NodeField, explain_shape, refuse
from refresher.settings.places import List, Repeated, Value, locate
from refresher.text import quote

_LISTEN = r"^(?:none|unix:/.+|(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})$"
_LONGEST_SOCKET = 107
_LARGEST_PORT = 65535


class UnixSocket(NamedTuple):
    """A socket in the file system, by its absolute path, open to whom its directory and mode admit."""

    path: Path


class TcpSocket(NamedTuple):
    """A TCP address: an IPv6 address without brackets; with port 0 the system chooses one."""

    host: str
    port: int


Listen = UnixSocket | TcpSocket | None
"""Where the daemon answers HTTP; None for nowhere."""


def _read_listen(value: Value) -> Listen:
    text = value.text
    host, _, port = text.rpartition(":")
    if not re.fullmatch(_LISTEN, text) or "\0" in text:
        why = "not an address to listen on"
    elif text == "none":
        return None
    elif not text.startswith("unix:"):
        if int(port) <= _LARGEST_PORT:
            return TcpSocket(host.strip("[]"), int(port))
        why = "not a TCP port"
    elif len(text.removeprefix("unix:").encode()) <= _LONGEST_SOCKET:
        return UnixSocket(Path(text.removeprefix("unix:")))
    else:
        why = f"longer than {_LONGEST_SOCKET} bytes, the most that a socket's path may have"
    raise refuse(f"is {quote(text)}, {why}", "write unix:/PATH, HOST:PORT, [IPV6]:PORT or none")


def _read_port(value: Value) -> int:
    if not re.fullmatch("[1-9][0-9]{0,4}", value.text) or int(value.text) > _LARGEST_PORT:
        raise refuse(f"is {quote(value.text)}, not a TCP port", f"write a number from 1 to {_LARGEST_PORT}")
    return int(value.text)


_parse_duration = lru_cache(maxsize=64)(durations.parse_duration)


def _read_duration(value: Value) -> timedelta:
    try:
        return _parse_duration(value.text)
    except ValueError:
        if re.fullmatch("[0-9]{1,12}", value.text):
            remedy = f"write the unit: {value.text}s, or such as 15m or 1h30m"
            raise refuse(f"is {value.text}, a number without a unit", remedy) from None
        raise refuse(f"is {quote(value.text)}, not a duration", "write it such as 90s, 15m, 1h or 1h30m") from None


def duration_field(both_ends: tuple[timedelta, timedelta], remedy: str) -> NodeField:
    """Return the kind of duration that lies in a range, both ends included; the remedy is for those outside it."""
    least, most = both_ends
    low, high = map(durations.format_duration, both_ends)

    def read(value: Value) -> timedelta:
        duration = _read_duration(value)
        if not least <= duration <= most:
            raise refuse(f"is {durations.format_duration(duration)}, not between {low} and {high}", remedy)
        return duration

    return NodeField(read, {"type": "string", "pattern": durations.PATTERN})


def _read_interval(value: Value) -> timedelta:
    if value.text == "off":
        return timedelta()
    interval = _read_duration(value)
    if not _INTERVAL_RANGE[0] <= interval <= _INTERVAL_RANGE[1]:
        low, high = map(durations.format_duration, _INTERVAL_RANGE)
        raise refuse(f"is {value.text}, not between {low} and {high}", "use 5m, or off")
    return interval


@lru_cache(maxsize=64)
def _parse_mode(text: str) -> int:
    """Read octal digits, as chmod does, with or without a leading 0; most targets of a fleet have the same mode."""
    remedy = "write octal digits as for chmod, such as 0400 or 0440"
    if re.fullmatch("0?[0-9]{3}", text) and max(text) > "7":
        raise refuse(f"is {text}, and octal digits go from 0 to 7", remedy)
    if not re.fullmatch("0?[0-7]{3}", text):
        raise refuse(f"is {quote(text)}, not a file mode", remedy)
    mode = int(text, 8)
    for bits, consequence in ((0o111, "makes the files executable"), (0o022, "lets other users than the owner write")):
        if mode & bits:
            raise refuse(f"is {text}, which {consequence}", "use a mode such as 0400 or 0440")
    if not mode & 0o400:
        raise refuse(f"is {text}, with which the owner cannot read the files", "use a mode such as 0400 or 0440")
    return mode


def _read_path(value: Value) -> Path:
    """Read a path; a relative one counts from the directory of the file that holds it, as that file was named."""
    if not value.text or not value.text.isprintable():
        raise refuse(f"is {quote(value.text)}, not a path", "write the path of a file or directory")
    if isinstance(value, Repeated) and _resolve(value) != _resolve(value.other):
        problem = f"has another value at {locate(value.other.place)}, since that file is in another directory"
        raise refuse(problem, "keep one of the two, or write the whole path, from / on")
    return Path(_resolve(value))


def _resolve(value: Value) -> str:
    # a path of pathlib's would keep the .., and resolve() would follow links
    return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(value.place.name)), value.text))  # noqa: PTH100, PTH118, PTH120


def _read_argv(node: List) -> tuple[str, ...]:
    argv = tuple(each.text for each in node if isinstance(each, Value))
    if len(argv) < len(node):
        raise refuse("holds something other than text", "write each argument as text, in quotes if it is empty")
    if not argv or not argv[0].startswith("/") or "\0" in "".join(argv):
        raise refuse("does not begin with an absolute path", "write the whole path of the program, from / on")
    return argv


def _read_claim(value: Value) -> str | int | bool:
    typed = value.read_typed()
    if value.is_plain and isinstance(typed, str) and re.fullmatch(_AMBIGUOUS, typed):
        problem = f"is {quote(value.text)} without quotes, which could be text or a number"
        raise refuse(problem, "quote it if it is text")
    return typed


def _read_flag(value: Value) -> bool:
    typed = value.read_typed()
    if not isinstance(typed, bool):
        raise refuse(*explain_shape(value, "true or false"))
    return typed


_AMBIGUOUS = (
    r"[-+]?(?:[0-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7]+|0b[01_]+|[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?"
)
"""What YAML 1.1 takes for a number or a date that no claim can be here: a person may have meant text."""

SUPPLIED_RANGE = timedelta(seconds=2), limits.LONGEST_SUBJECT_TOKEN_LIFE
"""Least and most life of a subject token that we sign."""
SIGNED_RANGE = timedelta(seconds=2), limits.LONGEST_SIGNED_JWT_LIFE
"""Least and most life of a JWT that a service account signs."""
_REQUESTED_RANGE = timedelta(minutes=10), limits.LONGEST_SUBJECT_TOKEN_LIFE
_IMPERSONATED_RANGE = limits.SHORTEST_ACCESS_TOKEN_LIFE, limits.LONGEST_ACCESS_TOKEN_LIFE
_TIMEOUT_RANGE = timedelta(seconds=1), timedelta(minutes=2)
_INTERVAL_RANGE = timedelta(minutes=1), timedelta(days=1)

_IMPERSONATED_REMEDY = "leave it out for 1h; more needs an organization policy"
SuppliedLifetime = Annotated[timedelta, duration_field(SUPPLIED_RANGE, "use 1h; below 10m clients exchange often")]
SignedLifetime = Annotated[timedelta, duration_field(SIGNED_RANGE, "use 1h; Google signs for at most 12h")]
RequestedLifetime = Annotated[timedelta, duration_field(_REQUESTED_RANGE, "use 1h; Kubernetes refuses less than 10m")]
ImpersonatedLifetime = Annotated[timedelta, duration_field(_IMPERSONATED_RANGE, _IMPERSONATED_REMEDY)]
_INTERVAL = {"type": "string", "pattern": f"^off$|{durations.PATTERN}"}
CanaryInterval = Annotated[timedelta, NodeField(_read_interval, _INTERVAL)]
"""Zero for never."""
CommandTimeout = Annotated[timedelta, duration_field(_TIMEOUT_RANGE, "use 10s")]

_OCTAL = {"type": "string", "pattern": "^0?[4-6][0-7]{2}$"}
_MODE = {"anyOf": [_OCTAL, {"type": "integer", "minimum": 256, "maximum": 644}]}
FileMode = Annotated[int, NodeField(lambda value: _parse_mode(value.text), _MODE)]

_TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
Argv = Annotated[tuple[str, ...], NodeField(_read_argv, _TEXTS, shape=List, wanted="a list of texts")]

_SCALAR = {"type": ["string", "integer", "boolean"]}
ClaimValue = Annotated[str | int | bool, NodeField(_read_claim, _SCALAR, wanted="a single value")]
AbsolutePath = Annotated[Path, NodeField(_read_path, {"type": "string", "minLength": 1})]
Text = Annotated[str, NodeField(lambda value: value.text, {"type": "string"})]
ListenAddress = Annotated[Listen, NodeField(_read_listen, {"type": "string", "pattern": _LISTEN})]
Port = Annotated[int, NodeField(_read_port, {"type": "integer", "minimum": 1, "maximum": _LARGEST_PORT})]
Flag = Annotated[bool, NodeField(_read_flag, {"type": "boolean"}, wanted="true or false")]
