"""The kinds of values that become something else than text: durations, modes, paths, the address to listen on.

Each is a type for pydantic with a function that parses or refuses in our words, and the JSON Schema of what a user
writes. Kinds of text are in `refresher.settings.texts`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from refresher import durations
from refresher.settings.listening import LISTEN_PATTERN, Listen, parse_listen
from refresher.settings.parsing import Parsed, digits_or_text, refused, text_of
from refresher.settings.scalars import Misread
from refresher.text import quote


def _parse_duration(value: object) -> timedelta:
    if isinstance(value, int) and not isinstance(value, bool):
        raise refused(f"is {value}, a number without a unit", f"write the unit: {value}s, or such as 15m or 1h30m")
    text = text_of(value)
    try:
        return durations.parse_duration(text)
    except ValueError:
        raise refused(f"is {quote(text)}, not a duration", "write it such as 90s, 15m, 1h or 1h30m") from None


def _duration(least: timedelta, most: timedelta, remedy: str) -> Parsed:
    low, high = durations.format_duration(least), durations.format_duration(most)

    def parse(value: object) -> timedelta:
        duration = _parse_duration(value)
        if not least <= duration <= most:
            raise refused(f"is {durations.format_duration(duration)}, not between {low} and {high}", remedy)
        return duration

    return Parsed(parse, {"type": "string", "pattern": durations.PATTERN})


def _parse_mode(value: object) -> int:
    text = _digits_of(value)
    if not re.fullmatch("0?[0-7]{3}", text):
        raise refused(f"is {quote(text)}, not a file mode", 'write octal digits as text, such as "0440"')
    mode = int(text, 8)
    for bits, consequence in ((0o111, "makes the files executable"), (0o022, "lets others than the owner write")):
        if mode & bits:
            raise refused(f'is "{text}", which {consequence}', 'use a mode such as "0400" or "0440"')
    if not mode & 0o400:
        raise refused(f'is "{text}", with which the owner cannot read the files', 'use a mode such as "0400" or "0440"')
    text_of(value)  # it would do, but for the quotes
    return mode


def _digits_of(value: object) -> str:
    """Give a mode as it was written; what is none without quotes is told as such, quotes would not mend it."""
    if isinstance(value, Misread):
        return value.text
    return digits_or_text(value)


def _parse_path(value: object) -> Path:
    text = text_of(value)
    if not text.startswith("/") or not text.isprintable():
        raise refused(f"is {quote(text)}, not an absolute path", "write the whole path, from / on")
    return Path(text)


def _parse_argv(value: object) -> tuple[str, ...]:
    if not isinstance(value, tuple) or not value or not all(isinstance(argument, str) for argument in value):
        raise refused("is no list of texts", "write it as [/PATH/OF/PROGRAM, ARGUMENT]; quote numbers")
    if not value[0].startswith("/") or "\0" in "".join(value):
        raise refused("does not begin with an absolute path", "write the whole path of the program, from / on")
    return value


def _parse_claim(value: object) -> str | int | bool:
    if not isinstance(value, str | int):
        raise refused("is no text, integer or boolean", "write a single value; quote it if it is text")
    return value


def _parse_listen(value: object) -> Listen:
    text = text_of(value)
    try:
        return parse_listen(text)
    except ValueError as error:
        raise refused(f"is {quote(text)}, {error}", "write unix:/PATH, HOST:PORT, [IPV6]:PORT or none") from None


SUPPLIED_RANGE = timedelta(seconds=2), timedelta(hours=24)
"""Least and most life of a subject token that we sign; Google's STS takes 24 h at most."""
SIGNED_RANGE = timedelta(seconds=2), timedelta(hours=12)
"""Least and most life of a JWT that a service account signs."""

SuppliedLifetime = Annotated[
    timedelta, _duration(*SUPPLIED_RANGE, "1h suits nearly everybody; below 10m clients exchange often")
]
SignedLifetime = Annotated[
    timedelta, _duration(*SIGNED_RANGE, "1h suits nearly everybody; Google signs for 12h at most")
]
RequestedLifetime = Annotated[
    timedelta,
    _duration(timedelta(minutes=10), timedelta(hours=24), "1h suits nearly everybody; Kubernetes gives 10m at least"),
]
CommandTimeout = Annotated[
    timedelta, _duration(timedelta(seconds=1), timedelta(minutes=2), "10s suits nearly everybody")
]
ImpersonatedLifetime = Annotated[
    timedelta,
    _duration(
        timedelta(seconds=600), timedelta(seconds=43200), "leave it out for 1h; more needs an organization policy"
    ),
]
FileMode = Annotated[int, Parsed(_parse_mode, {"type": "string", "pattern": "^0?[4-7][0-7]{2}$"})]
AbsolutePath = Annotated[Path, Parsed(_parse_path, {"type": "string", "minLength": 1})]
Argv = Annotated[tuple[str, ...], Parsed(_parse_argv, {"type": "array", "items": {"type": "string"}, "minItems": 1})]
ClaimValue = Annotated[str | int | bool, Parsed(_parse_claim, {"type": ["string", "integer", "boolean"]})]
ListenAddress = Annotated[Listen, Parsed(_parse_listen, {"type": "string", "pattern": LISTEN_PATTERN})]
