"""What the demo prints: lines that read well in a file, coloured on a terminal that wants colour."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from refresher.engine.reporter import Event

_COLOURS = ("cyan", "magenta", "green", "yellow")


class Screen:
    """Prints the demo's lines; safe from several threads."""

    def __init__(self, output: TextIO) -> None:
        self._console = Console(file=output, highlight=False, soft_wrap=True)
        self._lock = Lock()
        self._colours: dict[str, str] = {}

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._print(Text(f"\n{text}", style="bold"))

    def say(self, text: str = "") -> None:
        """Print a plain line."""
        self._print(Text(text))

    def done(self, text: str) -> None:
        """Print something that went as it should."""
        self._print(Text.assemble(("  ok  ", "bold green"), text))

    def refused(self, text: str) -> None:
        """Print something that was refused, as it should be."""
        self._print(Text.assemble(("  no  ", "bold red"), text))

    def published(self, event: Event) -> None:
        """Print one refresh: time, target, expiry and fingerprint."""
        target = str(event.fields["target"])
        colour = self._colours.setdefault(target, _COLOURS[len(self._colours) % len(_COLOURS)])
        time = datetime.now(UTC)
        expires_at = str(event.fields["expires_at"])
        self._print(
            Text.assemble(
                f"  {time:%H:%M:%S}  ",
                (f"{target:6}", colour),
                f"  new token, ends {expires_at[11:19]}, fingerprint ",
                (str(event.fields["fingerprint"]), colour),
            )
        )

    def _print(self, text: Text) -> None:
        with self._lock:
            self._console.print(text)
