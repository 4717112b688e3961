"""What a client is to the scenarios: how it is run, how long it keeps an access token, and what is known to differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.clients.names import content_of
from tests.clients.stage import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clients.names import Names
    from tests.clients.probes import Player
    from tests.clients.stage import Stage
    from tests.installing import Recipe

    Play = Callable[["Client", Stage, dict[str, str]], Player]

KEPT = 10.0
"""Seconds that a client is to keep an access token before it gets a new one of itself."""
TOKEN, ACCESS_TOKEN = "token", "access_token"


@dataclass(frozen=True, kw_only=True)
class Client:
    """One client.

    Attributes:
        name: Its target, account and bucket.
        title: Its name in the table.
        language: What it is written for.
        version: Gives which version is installed.
        is_pinned: Whether a file here says which version that is; else it is what the machine or a registry has.
        play: Brings it on stage, with variables.
        recipe: How it is installed; None for a tool that is there or not.
        tool: The program that must be there.
        remedy: How to get that.
        skew: Seconds before the end of an access token at which it gets a new one, as far as known.
        short: Seconds that its access tokens live where it is to look at the file soon.
        part: What it needs of the stage.
        is_tool: Whether it is run anew for each call.
        knows_buckets: Whether it reads buckets; else it tells who it is.
        recovers: Whether the same process goes on after a failure.
        directly: Whether it works without a service account.
        counts_threads: Whether it is told by "BUCKET N" to read in so many threads at once, and its exchanges counted.
    """

    name: str
    title: str
    language: str
    version: Callable[[], str]
    is_pinned: bool = True
    play: Play
    recipe: Recipe | None = None
    tool: str
    remedy: str
    skew: float = 0.0
    short: float = 5.0
    part: Part = field(default_factory=Part)
    is_tool: bool = False
    knows_buckets: bool = True
    recovers: bool = True
    directly: bool = True
    counts_threads: bool = False

    def content(self, names: Names) -> str:
        """Give what it is to answer: what its bucket holds, or if it knows no buckets, who it is."""
        return content_of(self.name) if self.knows_buckets else names.account(self.name)

    @property
    def life(self) -> float:
        """Seconds that its access tokens live where it is to renew them: it keeps each for ten seconds."""
        return self.skew + KEPT

    @property
    def reads(self) -> str:
        """The file of the credentials directory that it lives by."""
        return ACCESS_TOKEN if ACCESS_TOKEN in self.part.artifacts else TOKEN
