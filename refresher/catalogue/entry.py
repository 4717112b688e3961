"""What is known of one failure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One known failure.

    Attributes:
        name: Its id.
        status: The HTTP status it comes with; 0 for any.
        text: A part of what Google says; empty to go by the status alone.
        cause: Why it happens.
        remedy: What to do, imperative; may name `{service_account}`.
        source: Where it is documented or was measured.
        is_missing_role: Whether the caller lacks a role; who knows the caller can say more than the remedy does.
    """

    name: str
    status: int
    text: str
    cause: str
    remedy: str
    source: str
    is_missing_role: bool = False
