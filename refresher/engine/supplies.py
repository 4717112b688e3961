"""Where the leading token of a target comes from: its supplier, or without a pool the worker's own credentials.

Targets of one identity share what is supplied; it is kept in memory only. Whether a token is worth publishing is
decided in `refresher.engine.refresh`.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from refresher import policy
from refresher.clock import Clock
from refresher.engine.artifacts import LEADING_ACCESS_TOKEN, Minting, mint
from refresher.engine.plan import Chain, Target
from refresher.policy import State
from refresher.shared_fetch import SharedFetch
from refresher.suppliers.interface import Supplier
from refresher.tokens import SubjectToken


class Supplies:
    """The leading tokens of one plan; safe to use from several threads.

    Args:
        suppliers: By name.
        local: Names of those that wait for no other machine or program.
        chain: Returns what mints access tokens for targets without a pool; asked when one is minted.
        clock: Where the time comes from.
    """

    def __init__(
        self, *, suppliers: Mapping[str, Supplier], local: Collection[str], chain: Callable[[], Chain], clock: Clock
    ) -> None:
        self._suppliers = suppliers
        self._local = local
        self._chain = chain
        self._clock = clock
        self._shares: dict[object, SharedFetch[SubjectToken]] = {}

    def is_local(self, target: Target) -> bool:
        """Return whether a token for a target waits for no other machine or program."""
        return target.supplier in self._local

    def get(self, target: Target, present: SubjectToken | None) -> SubjectToken:
        """Return a token for a target: one fetched for a sibling if it is fresh and newer, else a new one.

        Raises:
            SupplyError: The supplier had none, or the worker has no credentials that work.
            ImpersonationError: Without a pool: Google did not mint an access token.
        """
        now = self._clock.now()

        def serves(token: SubjectToken) -> bool:
            if present is not None and token.value == present.value:
                return False
            is_fresh = policy.compute_state(target.name, token.issued_at, token.expires_at, now) is State.FRESH
            return is_fresh and not target.expected.mismatches(token)

        share = self._shares.setdefault(target.supply_key, SharedFetch())  # in one step, for all threads
        return share.get(serves=serves, fetch=lambda _: self._fetch(target, now))

    def forget(self, target: Target) -> None:
        """Drop the token that was supplied for a target last: no other target can share it."""
        self._shares.pop(target.supply_key, None)

    def _fetch(self, target: Target, now: datetime) -> SubjectToken:
        if target.supplier is not None:
            return self._suppliers[target.supplier].supply(target.context, now)
        chain, way = self._chain(), target.impersonation
        minted = mint(LEADING_ACCESS_TOKEN, Minting(chain, way, chain.exchange(way, "", now), now))
        return SubjectToken(
            value=minted.content.decode(),
            issued_at=minted.issued_at,
            expires_at=minted.expires_at,
            unverified_claims=None,
        )
