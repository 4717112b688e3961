"""The ID tokens of one endpoint: obtained when one is asked for, kept for half of their life.

The container chooses the audience, and each one costs a call of Google's and a part of a quota that all targets share.
So there are at most 32 audiences, one call at a time for each, a few at a time in all, and a rate for the target.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from refresher.clock import Clock
from refresher.metadata.answers import Response, answer_id_token, postpone
from refresher.metadata.plan import IdToken, Obtained

MOST_AUDIENCES = 32
_MOST_AT_A_TIME = 4
_SPACING = 2.0
"""Seconds that one call costs a target, of which it may have saved up the time for 32."""
_LONGEST_PAUSE = 60.0


Order = Callable[[str, Callable[[Obtained], None]], None]
"""Obtains a token for an audience on another thread, and calls what it is given with it, on any thread."""


@dataclass(slots=True)
class _Entry:
    """What is known of one audience; no call starts before `next_at`, in seconds of the monotonic clock."""

    token: IdToken | None = None
    problem: str | None = None
    failures: int = 0
    is_ordered: bool = False
    next_at: float = 0.0


class IdTokens:
    """The ID tokens of one target; used on the loop's thread alone.

    Args:
        order: What obtains a token.
        clock: Where the time comes from.
        hand_over: Calls a function without arguments on the loop's thread; may be called on any thread.
        changed: Called on the loop's thread after a token came or did not.
    """

    def __init__(
        self,
        order: Order,
        clock: Clock,
        hand_over: Callable[[Callable[[], None]], object],
        changed: Callable[[], None],
    ) -> None:
        self._order = order
        self._clock = clock
        self._hand_over = hand_over
        self._changed = changed
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._paid_until = clock.monotonic() - MOST_AUDIENCES * _SPACING

    def find(self, audience: str) -> Response | None:
        """Return the response for an audience; None if it has to be waited for."""
        entry = self._entries.setdefault(audience, _Entry())
        self._entries.move_to_end(audience)
        self._evict()
        now, token = self._clock.now(), entry.token
        if token is None or now >= token.issued_at + (token.expires_at - token.issued_at) / 2:
            self._order_another(audience, entry)
        if token is not None and now < token.expires_at:
            return answer_id_token(token.value)
        return None if entry.is_ordered else postpone("the ID token", entry.problem)

    def _order_another(self, audience: str, entry: _Entry) -> None:
        now = self._clock.monotonic()
        under_way = sum(each.is_ordered for each in self._entries.values())
        if entry.is_ordered or now < entry.next_at:
            return
        if under_way >= _MOST_AT_A_TIME or self._paid_until + _SPACING > now:
            entry.problem = entry.problem or "ID tokens are asked for too often here"
            return
        self._paid_until = max(self._paid_until, now - MOST_AUDIENCES * _SPACING) + _SPACING
        entry.is_ordered = True

        def deliver(found: Obtained) -> None:
            self._hand_over(partial(self._take, entry, found))

        self._order(audience, deliver)

    def _take(self, entry: _Entry, found: Obtained) -> None:
        entry.is_ordered = False
        if isinstance(found, IdToken):
            entry.token, entry.problem, entry.failures = found, None, 0
        else:
            entry.problem, entry.failures = found, entry.failures + 1
            entry.next_at = self._clock.monotonic() + min(2.0 ** (entry.failures - 1), _LONGEST_PAUSE)
        self._changed()

    def _evict(self) -> None:
        for audience in list(self._entries):
            if len(self._entries) <= MOST_AUDIENCES:
                break
            if not self._entries[audience].is_ordered:
                del self._entries[audience]
