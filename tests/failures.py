"""Checks of failures, for `pytest.raises(…, check=…)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refresher.errors import RefresherError


def is_retryable(error: RefresherError) -> bool:
    """Return whether the same attempt may succeed later although nothing was fixed."""
    return error.retryable


def is_permanent(error: RefresherError) -> bool:
    """Return whether the same attempt fails until something is fixed."""
    return not error.retryable
