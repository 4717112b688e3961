"""What the engine has to say, as data: a stable name and fields, never a sentence and never a secret.

Who hears it (log lines, the demo's screen, a test) is decided in `refresher.app`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = str | int | float | None


class Severity(IntEnum):
    """How loud an event is, in the numbers of the standard library's logging."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        name: One of the contract's log events, such as `token.published`.
        severity: How loud.
        fields: By the contract's field names; values are text, numbers or None.
    """

    name: str
    severity: Severity
    fields: Mapping[str, Value] = field(default_factory=dict)


Listener = Callable[[Event], None]
"""Whoever hears events; called from several threads, must return soon and not raise."""
