"""One supply for all targets of one identity: a token fetched for the first serves the others while it is fresh.

What is shared lives in memory only and as long as the suppliers it came from: a new plan begins with nothing.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from refresher import policy
from refresher.policy import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from refresher.engine.target import Target
    from refresher.suppliers.interface import Supplier, SupplierContext
    from refresher.tokens import SubjectToken


class _Share:
    """The last token of one identity, and the lock that lets one caller at a time fetch the next."""

    __slots__ = ("lock", "token")

    def __init__(self) -> None:
        self.lock = Lock()
        self.token: SubjectToken | None = None


class SharedSupplies:
    """Tokens of the present plan's suppliers, by identity; safe to use from several threads."""

    def __init__(self, suppliers: Mapping[str, Supplier]) -> None:
        self._suppliers = suppliers
        self._shares: dict[tuple[str, SupplierContext], _Share] = {}
        self._lock = Lock()

    def supply(self, target: Target, present: SubjectToken | None, now: datetime) -> SubjectToken:
        """Give a token for a target: one fetched for a sibling if it is fresh and newer, else a new one.

        Raises:
            SupplyError: The supplier had none.
        """
        with self._lock:
            share = self._shares.setdefault(target.supply_key, _Share())
        with share.lock:
            if share.token is None or not _serves(target, share.token, present, now):
                share.token = self._suppliers[target.supplier].supply(target.context, now)
            return share.token


def _serves(target: Target, token: SubjectToken, present: SubjectToken | None, now: datetime) -> bool:
    """Tell whether a sibling's token spares this target a supply of its own."""
    if present is not None and token.value == present.value:
        return False
    is_fresh = policy.state_of(target.name, token.issued_at, token.expires_at, now) is State.FRESH
    return is_fresh and not target.expected.mismatches(token)
