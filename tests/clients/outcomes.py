"""The outcomes of the scenarios, client by client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.clients.client import Client
    from tests.clients.costs import Renewal
    from tests.clients.probes import Answer


class Scenario(StrEnum):
    """A column of the table."""

    ACTS = "acts as its account, as no other"
    DIRECT = "acts directly"
    LIVES = "5 refreshes, no failed call"
    MISSING = "file missing"
    EMPTY = "file empty"
    OTHER = "token of another target"
    EXPIRED = "token expired"


NOT_SHOWN = "not shown here"
"""The result of a scenario that needs short-lived access tokens, at an STS that does not issue them."""


class FailedError(Exception):
    """A client did not do what it must do."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a scenario for one client.

    Attributes:
        result: The entry of the table; empty if the client did not do what it must do.
        message: The client's message if it failed as it must, or what it did instead.
    """

    result: str = ""
    message: str = ""


@dataclass(kw_only=True)
class Record:
    """The results of one client after a run.

    Attributes:
        outcomes: By scenario.
        exchanges_at_start: Exchanges of a new process, or of a tool's first command, with tokens of usual lifetimes.
        exchanges_again: Exchanges of a tool's next command; 0 if it keeps access tokens in its home.
        exchanges_of_threads: Exchanges of a new process that begins with many threads at once; None if not counted.
        renewal: How it renews its access token; None if it keeps none.
        calls: The number of its calls while files were rotated.
    """

    outcomes: dict[Scenario, Outcome] = field(default_factory=dict)
    exchanges_at_start: int = 0
    exchanges_again: int = 0
    exchanges_of_threads: int | None = None
    renewal: Renewal | None = None
    calls: int = 0


def run_all(act: Callable[[Client], Outcome], clients: Sequence[Client]) -> dict[str, Outcome]:
    """Run all clients at the same time; return their outcomes by name."""
    with ThreadPoolExecutor(max_workers=len(clients) or 1) as pool:
        return dict(
            zip((client.name for client in clients), pool.map(lambda one: _run_one(act, one), clients), strict=True)
        )


def expect(*, holds: bool, otherwise: str) -> None:
    """Raise an error unless a condition holds.

    Raises:
        FailedError: It does not hold.
    """
    if not holds:
        raise FailedError(otherwise)


def expect_content(answer: Answer, content: str) -> None:
    """Raise an error unless a call returned the expected content.

    Raises:
        FailedError: It did not.
    """
    expect(holds=answer.content == content, otherwise=f"a call failed: {answer}")


def _run_one(act: Callable[[Client], Outcome], client: Client) -> Outcome:
    try:
        return act(client)
    except FailedError as failed:
        return Outcome(message=str(failed))
