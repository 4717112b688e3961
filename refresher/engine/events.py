"""Events: what the daemon reports about itself, by stable names and fields, to a log or a screen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

Value = str | int | float | None
Text = tuple[str, str]
"""A problem and its remedy."""


class Severity(IntEnum):
    """How loud an event is, in the numbers of the standard library's logging."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: a stable name and fields, never a sentence and never a secret.

    Attributes:
        name: One of the contract's log events, such as `token.published`.
        severity: How loud.
        fields: By the contract's field names; values are text, numbers or None.
    """

    name: str
    severity: Severity
    fields: Mapping[str, Value] = field(default_factory=dict)


Listener = Callable[[Event], None]
"""What hears events (log lines, the demo's screen, a test); called from several threads, must return soon."""
