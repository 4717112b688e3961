"""What the engine reports to observers, next to its events; `refresher.observe.board` remembers it."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from refresher.engine.agenda import Entry
from refresher.engine.exchanges import ExchangeHealth
from refresher.engine.outcome import Outcome
from refresher.engine.plan import Plan


class Observer:
    """Learns what the daemon does; its methods return at once and raise nothing. This one forgets everything."""

    def note_tick(
        self, exchanges: Sequence[ExchangeHealth], faults: Sequence[tuple[str, str]] = (), throttled: int = 0
    ) -> None:
        """Note that a tick ended, what the canary knows of each identity that was tried, and what the daemon can't do.

        Of each of the `faults` problem and remedy are noted; `throttled` counts probes since the start that met a 429.
        """

    def note_plan(self, plan: Plan) -> None:
        """Note which plan is in force from now on."""

    def note_retiring(self, root: Path, names: tuple[str, ...]) -> None:
        """Note which directories below a root are being retired: they belong to no target any more."""

    def note_job(self, entry: Entry, outcome: Outcome, now: datetime) -> None:
        """Note how a settled job ended; the entry is read at once, and not kept."""
