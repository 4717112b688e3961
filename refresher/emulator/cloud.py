"""One emulated cloud: what exists, what time it is there, what it issues, what it was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from refresher.emulator.journal import Journal
from refresher.emulator.settable_clock import SettableClock
from refresher.emulator.state import State
from refresher.emulator.tokens import TokenVault

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


@dataclass(slots=True, kw_only=True)
class Cloud:
    """Everything that the services' rules are about; two of them share nothing.

    Attributes:
        state: What exists.
        clock: The cloud's own clock, moved by tests.
        vault: Issues and recognises tokens.
        journal: What was asked and answered.
        discover: Gives the JWKS of an issuer that uploaded none; None if it cannot be had.
        key_sets: What discovery found, by issuer.
        origin: Where the cloud is reached, for documents that name themselves; set by the server.
        save: Called when the state was changed by a request.
    """

    state: State = field(default_factory=State)
    clock: SettableClock = field(default_factory=SettableClock)
    vault: TokenVault = field(default_factory=TokenVault.new)
    journal: Journal = field(default_factory=Journal)
    discover: Callable[[str], dict[str, Any] | None] = lambda _issuer: None
    key_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    metadata_tokens: dict[str, tuple[str, int]] = field(default_factory=dict)
    origin: str = ""
    save: Callable[[], None] = lambda: None

    def now(self) -> float:
        """Give the cloud's time, Unix seconds."""
        return self.clock.now().timestamp()
