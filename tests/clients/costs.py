"""The costs of clients: their exchanges and renewals, counted in the emulator's journal."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.clients.client import KEPT, TOKEN
from tests.clients.outcomes import expect
from tests.clients.setup import subject_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.clients.client import Client
    from tests.clients.cloud import Cloud

RENEWALS = 3
"""How many access tokens a client must get while files are rotated, each for another subject token."""


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """A renewal of a client that keeps access tokens.

    Attributes:
        skew: How many seconds before the expiry of an access token it gets a new one.
        exchanges: How many exchanges that takes.
    """

    skew: float
    exchanges: int


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Counts the requests of clients. In a cloud other than the emulator it counts nothing."""

    cloud: Cloud

    def exchanges(self, client: Client) -> int:
        """Return the number of exchanges of a client."""
        return len(self._exchanges(client, 0.0))

    def has_renewed(self, client: Client, began: float) -> bool:
        """Return whether it exchanged enough subject tokens since then; always true for a client of access-token files.

        Raises:
            FailedError: An exchange was refused.
        """
        if client.reads != TOKEN:
            return True
        done = self._exchanges(client, began)
        expect(holds={entry["status"] for entry in done} <= {200}, otherwise="an exchange was refused")
        return len({entry["facts"]["subject_token"] for entry in done}) > RENEWALS

    def renewal(self, client: Client, began: float) -> Renewal | None:
        """Return its usual renewal since then; None without one."""
        journal = self.cloud.journal
        if journal is None or client.reads != TOKEN or client.is_tool:
            return None
        asked = journal.impersonations(self.cloud.names.account(client.name))
        begins = [together[0] for together in _bursts([entry["time"] for entry in asked if entry["time"] >= began])]
        # the first exchanges belong to the start
        renewals = _bursts([entry["time"] for entry in self._exchanges(client, began)])[1:]
        if len(begins) < RENEWALS or not renewals:
            return None
        lasted = statistics.median(after - before for before, after in pairwise(begins))
        return Renewal(
            skew=client.life - lasted, exchanges=statistics.median_high(len(together) for together in renewals)
        )

    def _exchanges(self, client: Client, began: float) -> list[dict[str, Any]]:
        journal = self.cloud.journal
        done = [] if journal is None else journal.exchanges(subject_name(client.name))
        return [entry for entry in done if entry["time"] >= began]


def _bursts(times: Sequence[float]) -> list[list[float]]:
    """Group the requests by renewal; the next renewal comes ten seconds later, on a busy machine too."""
    found: list[list[float]] = []
    for time in times:
        if found and time - found[-1][0] < KEPT / 2:
            found[-1].append(time)
        else:
            found.append([time])
    return found
