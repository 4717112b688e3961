"""The steps of the demo: set up, watch refreshes, act as each user, try a theft, sum up. It ends within 30 seconds.

Its lines are readable in a file, and coloured on a terminal that supports colours.
"""

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition, Lock
from threading import Event as StopEvent
from typing import TextIO

from rich.console import Console
from rich.text import Text

from refresher.app.programs import start_daemon
from refresher.config.loader import load
from refresher.demo.users import LIFETIME, USERS, act_as, set_up, try_theft
from refresher.emulator.testing import Scenario, emulator
from refresher.engine.reporter import Event
from refresher.errors import ExchangeError, NotReadyError

ROUNDS = 3
"""How many tokens each user gets before the demo ends."""

_PATIENCE_SECONDS = 25.0
_COLOURS = ("cyan", "magenta", "green", "yellow")


def run_demo(output: TextIO, *, directory: Path | None, keep: StopEvent | None) -> None:
    """Show the main job.

    Args:
        output: The stream for the lines.
        directory: Where all files stay; None for a temporary directory that is removed at the end.
        keep: Continue until this event is set; None to end after the last step.

    Raises:
        ExchangeError: Google recognised a user as another one, or refused a user.
        NotReadyError: It took too long.
    """
    printer, began = Printer(output), time.monotonic()
    with ExitStack() as stack:
        place = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="refresher-demo-")))
        place.mkdir(parents=True, exist_ok=True)
        google = stack.enter_context(emulator(place))
        configuration = set_up(place, google, datetime.now(UTC))
        _introduce(printer, google)
        tokens = _PublishedTokens(printer)
        stack.enter_context(start_daemon(configuration, load(configuration), tokens.receive))
        tokens.wait_for(1)
        printer.heading("Calling Google with google-auth and the directory only: exchange, then impersonation")
        _act(printer, place, google, "{user.name}'s credentials.json acts as {user.service_account}")
        printer.heading("Refreshing: the daemon replaces the tokens by itself")
        count = tokens.wait_for(ROUNDS)
        printer.heading(
            "Calling again: the first tokens have been replaced, and the clients' configuration is the same"
        )
        _act(printer, place, google, "{user.name} is still {user.name}")
        _show_theft(printer, place)
        printer.heading("Summary")
        seconds = time.monotonic() - began
        printer.line(f"  {count} tokens published in {seconds:.0f} s, {2 * len(USERS)} exchanges, 1 theft refused")
        if keep is None:
            printer.heading("What to do next")
            printer.line(
                f"  {_name_command()} demo --keep     keep it running, and use the credentials in another shell"
            )
            printer.line("  README.md, quick start    the same with the real Google")
        else:
            _show_lines_to_paste(printer, place, google)
            keep.wait()


class Printer:
    """Prints the demo's lines; safe to use from several threads."""

    def __init__(self, output: TextIO) -> None:
        self._console = Console(file=output, highlight=False, soft_wrap=True)
        self._lock = Lock()
        self._colours: dict[str, str] = {}

    def heading(self, text: str) -> None:
        """Print the heading of a step."""
        self.line(Text(f"\n{text}", style="bold"))

    def done(self, text: str) -> None:
        """Print a success."""
        self.line(Text.assemble(("  ok  ", "bold green"), text))

    def refused(self, text: str) -> None:
        """Print a refusal."""
        self.line(Text.assemble(("  no  ", "bold red"), text))

    def published(self, event: Event) -> None:
        """Print one refresh: time, target, expiry and fingerprint."""
        target, end, fingerprint = (str(event.fields[name]) for name in ("target", "expires_at", "fingerprint"))
        colour = self._colours.setdefault(target, _COLOURS[len(self._colours) % len(_COLOURS)])
        middle = f"  new token, expires {end[11:19]}, fingerprint "
        now = f"  {datetime.now(UTC):%H:%M:%S}  "
        self.line(Text.assemble(now, (f"{target:6}", colour), middle, (fingerprint, colour)))

    def line(self, text: str | Text) -> None:
        """Print a line, as it is."""
        with self._lock:
            self._console.print(Text(text) if isinstance(text, str) else text)


class _PublishedTokens:
    """Receives the daemon's events, shows each new token, and counts them."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._published: Counter[str] = Counter()
        self._changed = Condition()

    def receive(self, event: Event) -> None:
        if event.name == "token.published":
            self._printer.published(event)
            with self._changed:
                self._published[str(event.fields["target"])] += 1
                self._changed.notify_all()
        elif "error" in event.fields and event.name != "config.warning":
            self._printer.refused(f"{event.name}: {event.fields['error']}")

    def wait_for(self, rounds: int) -> int:
        """Wait until every user has had this many tokens; return the number of all tokens."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: all(self._published[user.name] >= rounds for user in USERS), _PATIENCE_SECONDS
            ):
                raise NotReadyError("the demo's tokens did not come in time", "run it on a machine that is less busy")
            return sum(self._published.values())


def _introduce(printer: Printer, google: Scenario) -> None:
    printer.heading("Setting up")
    printer.line(f"  a local Google at {google.http} (an emulator: no call leaves this machine)")
    printer.line("  a new signing key; its public half is uploaded to the workload identity provider")
    for user in USERS:
        printer.line(f"  {user.name}: subject {user.subject} may act as {user.service_account} only")
    printer.heading(f"The daemon publishes; here each token lives {LIFETIME.seconds} s, normally an hour")


def _act(printer: Printer, place: Path, google: Scenario, success: str) -> None:
    for user in USERS:
        found = act_as(place / "run" / user.name, google)
        if found != user.service_account:
            raise ExchangeError(f"{user.name} acted as {found}", "report this as a bug")
        printer.done(success.format(user=user))


def _show_theft(printer: Printer, place: Path) -> None:
    alice, bob = (place / "run" / user.name for user in USERS)
    printer.heading("A theft: alice puts bob's service account into her credentials.json")
    refusal = try_theft(alice, bob)
    if refusal is None:
        raise ExchangeError("alice acted as bob", "report this as a bug")
    printer.refused(f"Google answers {refusal.status}: {refusal.text}")


def _name_command() -> str:
    """Return what to type for this program in this directory."""
    return "refresher" if shutil.which("refresher") else os.path.relpath(Path(sys.executable).with_name("refresher"))


def _show_lines_to_paste(printer: Printer, place: Path, google: Scenario) -> None:
    printer.heading("Paste these lines into another shell (bob works the same way); Ctrl-C here ends the demo")
    printer.line(f"""\
set -a; . {place}/run/{USERS[0].name}/env; no_proxy=127.0.0.1; set +a
{sys.executable} - <<'END'
import google.auth, google.auth.transport.requests as transport, urllib.request
credentials, project = google.auth.default(['https://www.googleapis.com/auth/cloud-platform'])
credentials.refresh(transport.Request())
question = urllib.request.Request('{google.http}/emulator/whoami',
    headers={{'Authorization': 'Bearer ' + credentials.token}})
print(project, urllib.request.urlopen(question).read().decode())
END""")
