"""What is fetched once for many: a subject token for all targets of an identity, a federated token for its artifacts.

It is kept in memory only and as long as the suppliers it came from: a new plan begins with nothing.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import Generic, TypeVar

from refresher import policy
from refresher.engine.plan import Chain, Target
from refresher.policy import State
from refresher.shared_fetch import SharedFetch
from refresher.suppliers.interface import Supplier
from refresher.tokens import AccessToken, SubjectToken

T = TypeVar("T")

LEAST_LIFE = timedelta(minutes=1)
"""That a federated token must have left to be used once more; it ends with its subject token at the latest."""


class _Shares(Generic[T]):
    """One joined call for each key; safe to use from several threads."""

    def __init__(self) -> None:
        self._shares: dict[object, SharedFetch[T]] = {}
        self._lock = Lock()

    def get(self, key: object) -> SharedFetch[T]:
        with self._lock:
            return self._shares.setdefault(key, SharedFetch())


class SharedSupplies:
    """Subject tokens of one plan's suppliers, by identity; safe to use from several threads."""

    def __init__(self, suppliers: Mapping[str, Supplier]) -> None:
        self._suppliers = suppliers
        self._shares = _Shares[SubjectToken]()

    def supply(self, target: Target, present: SubjectToken | None, now: datetime) -> SubjectToken:
        """Return a token for a target: one fetched for a sibling if it is fresh and newer, else a new one.

        Raises:
            SupplyError: The supplier had none.
        """

        def serves(token: SubjectToken) -> bool:
            if present is not None and token.value == present.value:
                return False
            is_fresh = policy.compute_state(target.name, token.issued_at, token.expires_at, now) is State.FRESH
            return is_fresh and not target.expected.mismatches(token)

        return self._shares.get(target.supply_key).get(
            serves=serves, fetch=lambda _: self._suppliers[target.supplier].supply(target.context, now)
        )


class FederatedTokens:
    """Federated tokens of one plan, one for all artifacts of an identity; safe to use from several threads.

    Args:
        chain: Returns what makes the calls.
    """

    def __init__(self, chain: Callable[[], Chain]) -> None:
        self._chain = chain
        self._shares = _Shares["AccessToken"]()

    def exchange(self, target: Target, subject_token: SubjectToken, now: datetime) -> AccessToken:
        """Return a federated token for a target's subject token.

        Raises:
            ExchangeError: STS refused or did not answer.
        """
        claims = subject_token.unverified_claims
        # a supplier that alone knows the subject may speak for another workload by now
        key = (target.supply_key, target.impersonation, None if claims is None else claims.subject)
        return self._shares.get(key).get(
            serves=lambda grant: grant.expires_at - now >= LEAST_LIFE,
            fetch=lambda _: self._chain().exchange(target.impersonation, subject_token.value, now),
        )
