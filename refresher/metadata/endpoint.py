"""The endpoint of one target: what it serves from, and how much of the server its container may take.

Whose request it is, the listener that accepted it decides, and nothing in the request does: each target has an endpoint
of its own, and no endpoint knows another's token. The snapshot is replaced as a whole by the daemon; everything else
happens on the loop's thread (`refresher.metadata.server`). A container that floods, or is slow, has its own connections
and turns to lose.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from refresher.clock import Clock
from refresher.metadata.answers import (
    AccessTokenWanted,
    IdTokenWanted,
    Request,
    Response,
    Snapshot,
    answer,
    answer_access_token,
    postpone,
)
from refresher.metadata.connection import Connection, Limits
from refresher.metadata.id_tokens import IdTokens, Order
from refresher.metadata.plan import ANSWERED, OUTCOMES, POSTPONED, REFUSED, Facts
from refresher.tokens import AccessToken

_REFUSALS, _FAILURES = 400, 500


class Endpoint:
    """Answers for one target.

    Args:
        facts: What it serves next to tokens.
        clock: Where the time of tokens comes from.
        order: What obtains ID tokens.
        limits: How much it may take.
    """

    def __init__(self, facts: Facts, *, clock: Clock, order: Order, limits: Limits | None = None) -> None:
        self._clock = clock
        self._order = order
        self.limits = limits or Limits()
        self._snapshot = Snapshot(facts=facts)
        self._connections: dict[Connection, None] = {}
        self._turns = 0
        self._period_ends = 0.0
        self._delayed: list[Callable[[], None]] = []
        self._crowded_out: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._id_tokens: IdTokens | None = None
        self._changed: asyncio.Event | None = None
        self.requests = dict.fromkeys(OUTCOMES, 0)
        """How many requests ended, by outcome."""

    @property
    def snapshot(self) -> Snapshot:
        """What it serves from now."""
        return self._snapshot

    def serve_token(self, token: AccessToken) -> None:
        """Serve an access token from now on; called on any thread."""
        self._snapshot = replace(self._snapshot, token=token, problem=None)
        self._wake()

    def note_problem(self, problem: str) -> None:
        """Note why there is no other access token; the present one is served until it expires. On any thread."""
        self._snapshot = replace(self._snapshot, problem=problem)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to answer on a loop, on whose thread this is called."""
        if self._loop is None:
            self._loop, self._changed = loop, asyncio.Event()
            self._id_tokens = IdTokens(self._order, self._clock, loop.call_soon_threadsafe, self._announce)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Its connections, the oldest first."""
        return tuple(self._connections)

    def admit(self, connection: Connection) -> None:
        """Count a connection that was accepted."""
        self._connections[connection] = None

    def has_room(self, most: int) -> bool:
        """Return whether it may have another connection among `most`; an idle one is closed in its favour."""
        if len(self._connections) < min(most, self.limits.connections):
            return True
        idle = [each for each in self._connections if each.is_idle]
        if idle:
            min(idle, key=lambda each: each.deadline).close()
        return False

    def close_late(self, now: float) -> None:
        """Close the connections whose time is up."""
        for connection in self.connections:
            if now >= connection.deadline:
                connection.close()

    def close(self) -> None:
        """End all connections; what was held is not answered."""
        for connection in self.connections:
            connection.close()

    def note_closed(self, connection: Connection) -> None:
        """Note that a connection has ended."""
        self._connections.pop(connection, None)
        waiting, self._crowded_out = self._crowded_out, []
        for resume in waiting:
            resume()

    def note_answered(self, status: int) -> None:
        """Count a response."""
        outcome = ANSWERED if status < _REFUSALS else POSTPONED if status >= _FAILURES else REFUSED
        self.requests[outcome] += 1

    def take_turn(self, resume: Callable[[], None]) -> bool:
        """Return whether one more request or connection may be served now; else `resume` is called later."""
        assert self._loop is not None  # noqa: S101 - it answers on a loop
        now = self._loop.time()
        if now >= self._period_ends:
            self._turns, self._period_ends = 0, now + self.limits.period
        if self._turns < self.limits.turns:
            self._turns += 1
            return True
        if not self._delayed:
            self._loop.call_at(self._period_ends, self._go_on)
        if resume not in self._delayed:
            self._delayed.append(resume)
        return False

    def wait_for_room(self, resume: Callable[[], None]) -> None:
        """Call `resume` after a connection has ended."""
        self._crowded_out.append(resume)

    def respond(self, request: Request) -> "Response | asyncio.Task[Response]":
        """Return the response to a request, or what becomes one once a token was obtained."""
        found = answer(request, self._snapshot, self._clock.now())
        if isinstance(found, Response):
            return found
        assert self._loop is not None  # noqa: S101 - it answers on a loop
        return self._loop.create_task(self._hold(found))

    async def _hold(self, wanted: AccessTokenWanted | IdTokenWanted) -> Response:
        """Wait until a token is there, for as long as clients wait too; those that do not try again get it so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.patience):
                while (found := self._find(wanted)) is None:
                    assert self._changed is not None  # noqa: S101 - it answers on a loop
                    await self._changed.wait()
                return found
        if isinstance(wanted, IdTokenWanted):
            return postpone("the ID token", None)
        return postpone(f"the access token of {self._snapshot.facts.email}", self._snapshot.problem)

    def _find(self, wanted: AccessTokenWanted | IdTokenWanted) -> Response | None:
        if isinstance(wanted, AccessTokenWanted):
            return answer_access_token(self._snapshot.token, self._clock.now())
        assert self._id_tokens is not None  # noqa: S101 - it answers on a loop
        return self._id_tokens.find(wanted.audience)

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._announce)

    def _announce(self) -> None:
        """Make everything that is held look again."""
        changed, self._changed = self._changed, asyncio.Event()
        if changed is not None:
            changed.set()

    def _go_on(self) -> None:
        delayed, self._delayed = self._delayed, []
        for resume in delayed:
            resume()
