"""What came of the scenarios, client by client."""

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
    LIVES = "5 rotations, no failed call"
    MISSING = "file missing"
    EMPTY = "file empty"
    OTHER = "another's token"
    EXPIRED = "token over"


NOT_SHOWN = "not shown here"
"""Result of a scenario that needs access tokens of short lives, where another STS does not give them."""


class FailedError(Exception):
    """A client did not do what it must."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a scenario for one client.

    Attributes:
        result: What the table says; empty if the client did not do what it must.
        said: What it said when it failed as it should, or what it did instead.
    """

    result: str = ""
    said: str = ""


@dataclass(kw_only=True)
class Record:
    """What is known of one client after a run.

    Attributes:
        verdicts: By scenario.
        exchanges_at_start: Exchanges of a new process, or of a tool's first command, with tokens of usual lives.
        exchanges_again: Exchanges of a tool's next command; none if it keeps access tokens in its home.
        exchanges_of_threads: Exchanges of a new process that begins with many threads at once; None if not counted.
        renewal: How it renews its access token; None if it keeps none.
        calls: How many calls it made while files were rotated.
    """

    verdicts: dict[Scenario, Verdict] = field(default_factory=dict)
    exchanges_at_start: int = 0
    exchanges_again: int = 0
    exchanges_of_threads: int | None = None
    renewal: Renewal | None = None
    calls: int = 0


def judge(act: Callable[[Client], Verdict], clients: Sequence[Client]) -> dict[str, Verdict]:
    """Let all clients act at the same time; give what came of it, by name."""
    with ThreadPoolExecutor(max_workers=len(clients) or 1) as pool:
        return dict(
            zip((client.name for client in clients), pool.map(lambda one: _judged(act, one), clients), strict=True)
        )


def expect(*, holds: bool, otherwise: str) -> None:
    """Go on only if something holds.

    Raises:
        FailedError: It does not.
    """
    if not holds:
        raise FailedError(otherwise)


def expect_content(answer: Answer, content: str) -> None:
    """Go on only if a call gave what it should.

    Raises:
        FailedError: It did not.
    """
    expect(holds=answer.content == content, otherwise=f"a call failed: {answer}")


def _judged(act: Callable[[Client], Verdict], client: Client) -> Verdict:
    try:
        return act(client)
    except FailedError as failed:
        return Verdict(said=str(failed))
