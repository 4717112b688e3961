"""The description of a client: how it is run, how long it keeps an access token, and its known differences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.clients.names import build_content
from tests.clients.setup import Needs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clients.names import Names
    from tests.clients.probes import Probe
    from tests.clients.setup import Setup
    from tests.installation import Recipe

    Start = Callable[["Client", Setup, dict[str, str]], Probe]

KEPT = 10.0
"""How many seconds a client keeps an access token before it gets a new one."""
TOKEN, ACCESS_TOKEN = "token", "access_token"


@dataclass(frozen=True, kw_only=True)
class Client:
    """One client.

    Attributes:
        name: The name of its target, account and bucket.
        title: Its name in the table.
        language: Its programming language.
        version: Returns the installed version.
        is_pinned: Whether a file here fixes the version; else it comes from the machine or a registry.
        start: Starts it with variables.
        recipe: How it is installed; None for a tool that the machine has or lacks.
        tool: The required program.
        remedy: How to get that program.
        skew: How many seconds before the expiry of an access token it gets a new one, as far as known.
        short: How many seconds its access tokens live in scenarios in which it must read the file soon.
        needs: What it needs in the setup.
        is_tool: Whether it is a new process for each call.
        knows_buckets: Whether it reads buckets; else it returns its own account.
        recovers: Whether the same process works again after a failure.
        directly: Whether it works without a service account.
        asks_metadata: Whether it can use a metadata server.
        counts_threads: Whether "BUCKET N" makes it read in N threads at once, so that their exchanges can be counted.
    """

    name: str
    title: str
    language: str
    version: Callable[[], str]
    is_pinned: bool = True
    start: Start
    recipe: Recipe | None = None
    tool: str
    remedy: str
    skew: float = 0.0
    short: float = 5.0
    needs: Needs = field(default_factory=Needs)
    is_tool: bool = False
    knows_buckets: bool = True
    recovers: bool = True
    directly: bool = True
    counts_threads: bool = False
    asks_metadata: bool = True

    def content(self, names: Names) -> str:
        """Return its expected answer: the content of its bucket, or its account if it does not know buckets."""
        return build_content(self.name) if self.knows_buckets else names.account(self.name)

    @property
    def life(self) -> float:
        """How many seconds its access tokens live when it must renew them: it keeps each for ten seconds."""
        return self.skew + KEPT

    @property
    def reads(self) -> str:
        """The file of the credentials directory that it reads."""
        return ACCESS_TOKEN if ACCESS_TOKEN in self.needs.artifacts else TOKEN
