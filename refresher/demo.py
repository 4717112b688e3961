"""The main job on the emulator, shown: two users with isolated identities, refreshes, exchanges and a refused theft.

A container's program calls Google with plain google-auth and a credentials directory, nothing else. Only the short
lifetime of the tokens is special; the daemon is the real one.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Condition
from threading import Event as StopEvent
from typing import NamedTuple, TextIO

from google.auth import identity_pool
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from requests import Session
from rich.console import Console
from rich.text import Text

from refresher.app.daemon import start_daemon
from refresher.config.loader import load
from refresher.durations import format_duration
from refresher.emulator.state import DEFAULT_NUMBER, DEFAULT_PROJECT
from refresher.emulator.testing import Scenario, emulator
from refresher.engine.events import Event
from refresher.errors import ExchangeError, NotReadyError
from refresher.keys.directory import create, read_jwks
from refresher.resources import CLOUD_PLATFORM_SCOPE


class User(NamedTuple):
    """One user; the target and the identity have the user's name."""

    name: str
    subject: str
    colour: str

    @property
    def service_account(self) -> str:
        """The e-mail of the user's service account."""
        return f"task-{self.name}@{DEFAULT_PROJECT}.iam.gserviceaccount.com"


USERS = ALICE, BOB = User("alice", "user-1042", "cyan"), User("bob", "user-2077", "magenta")
ROUNDS = 3
"""How many tokens each user gets before the demo ends."""

_LIFETIME = timedelta(seconds=9)
_PATIENCE_SECONDS = 25.0
_ISSUER = "https://workers.invalid"


def run_demo(output: TextIO, *, directory: Path | None, keep: StopEvent | None) -> None:
    """Show the main job; it ends within 30 seconds, or with `keep` when that event is set.

    All files stay in the directory; if it is None, they are in a temporary one, which is removed at the end.

    Raises:
        ExchangeError: Google recognised a user as another one, or refused a user.
        KeysError: The directory contains keys of an earlier demo that can't be used.
        NotReadyError: It took too long.
    """
    screen, began = Screen(output), time.monotonic()
    with ExitStack() as stack:
        place = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="refresher-demo-")))
        place.mkdir(parents=True, exist_ok=True)
        google = stack.enter_context(emulator(place))
        configuration = _set_up(place, google, datetime.now(UTC))
        screen.heading("Setting up")
        screen.line(f"  a local Google at {google.http} (an emulator: no call leaves this machine)")
        screen.line("  a new signing key; its public half is uploaded to the workload identity provider")
        for user in USERS:
            screen.line(f"  {user.name}: subject {user.subject} may act as {user.service_account} only")
        screen.heading(f"The daemon publishes; here each token lives {_LIFETIME.seconds} s, normally an hour")
        stack.enter_context(start_daemon(configuration, load(configuration), screen.receive))
        screen.wait_for(1)
        screen.heading("Calling Google with google-auth and the directory only: exchange, then impersonation")
        _act(screen, place, google, "{user.name}'s credentials.json acts as {user.service_account}")
        screen.heading("Refreshing: the daemon replaces the tokens by itself")
        count = screen.wait_for(ROUNDS)
        screen.heading("Calling again: the first tokens have been replaced, and the clients' configuration is the same")
        _act(screen, place, google, "{user.name} is still {user.name}")
        _show_theft(screen, place)
        screen.heading("Summary")
        seconds = time.monotonic() - began
        screen.line(f"  {count} tokens published in {seconds:.0f} s, {2 * len(USERS)} exchanges, 1 theft refused")
        if keep is None:
            # what to type for this program in this directory
            command = shutil.which("refresher") and "refresher"
            command = command or os.path.relpath(Path(sys.executable).with_name("refresher"))
            screen.heading("What to do next")
            screen.line(f"  {command} demo --keep     keep it running, and use the credentials in another shell")
            screen.line("  README.md, quick start    the same with the real Google")
        else:
            _show_lines_to_paste(screen, place, google)
            keep.wait()


class Screen:
    """Prints the demo's lines and counts the tokens of which the daemon reports; safe to use from several threads."""

    def __init__(self, output: TextIO) -> None:
        self._console = Console(file=output, highlight=False, soft_wrap=True)
        self._published: Counter[str] = Counter()
        self._changed = Condition()

    def line(self, *parts: str | tuple[str, str]) -> None:
        """Print a line of texts, as they are, each with a style or without."""
        with self._changed:
            self._console.print(Text.assemble(*parts))

    def heading(self, text: str) -> None:
        """Print the heading of a step."""
        self.line((f"\n{text}", "bold"))

    def receive(self, event: Event) -> None:
        """Show what the daemon reports: each new token, and what fails."""
        if event.name == "token.published":
            target, end, fingerprint = (str(event.fields[name]) for name in ("target", "expires_at", "fingerprint"))
            colour = next(user.colour for user in USERS if user.name == target)
            middle = f"  new token, expires {end[11:19]}, fingerprint "
            self.line(f"  {datetime.now(UTC):%H:%M:%S}  ", (f"{target:6}", colour), middle, (fingerprint, colour))
            with self._changed:
                self._published[target] += 1
                self._changed.notify_all()
        elif "error" in event.fields and event.name != "config.warning":
            self.line(("  no  ", "bold red"), f"{event.name}: {event.fields['error']}")

    def wait_for(self, rounds: int) -> int:
        """Wait until every user has had this many tokens; return the number of all tokens."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: all(self._published[user.name] >= rounds for user in USERS), _PATIENCE_SECONDS
            ):
                raise NotReadyError("the demo's tokens did not come in time", "run it on a machine that is less busy")
            return sum(self._published.values())


def _set_up(place: Path, google: Scenario, now: datetime) -> Path:
    """Create the key, make the cloud trust it, bind each subject to one account; return the configuration file."""
    keys = place / "keys"
    if not (keys / "keys.json").exists():
        create(keys, algorithm="ES256", now=now)
    provider = google.add_provider(issuer=_ISSUER, jwks=read_jwks(keys))
    for user in USERS:
        google.allow(user.service_account, subject=user.subject)
    supplier = {"kind": "self_issued", "issuer": _ISSUER, "keys": str(keys), "lifetime": format_duration(_LIFETIME)}
    document = {
        "version": 1,
        "providers": {"main": {"project_number": DEFAULT_NUMBER, "pool": provider.pool, "provider": provider.provider}},
        "project": DEFAULT_PROJECT,
        "suppliers": {"worker": supplier},
        "identities": {user.name: {"service_account": user.service_account, "subject": user.subject} for user in USERS},
        "directory_root": str(place / "run"),
        "targets": {user.name: {} for user in USERS},
        "listen": "none",
        "google": {"emulator": True, "endpoints": {"sts": google.http, "iam_credentials": google.http}},
    }
    configuration = place / "refresher.yaml"
    configuration.write_text(json.dumps(document, indent=2), encoding="utf-8")
    configuration.chmod(0o600)
    return configuration


def _act(screen: Screen, place: Path, google: Scenario, success: str) -> None:
    """Exchange and impersonate with each user's directory, and check whom Google recognises."""
    for user in USERS:
        directory = place / "run" / user.name
        try:
            token = _fetch_access_token(json.loads((directory / "credentials.json").read_bytes()))
        except GoogleAuthError as error:
            raise ExchangeError(f"{directory} was refused: {_read_refusal(error)}", "report this as a bug") from error
        found = google.whoami(token)["service_account"]
        if found != user.service_account:
            raise ExchangeError(f"{user.name} acted as {found}", "report this as a bug")
        screen.line(("  ok  ", "bold green"), success.format(user=user))


def _show_theft(screen: Screen, place: Path) -> None:
    screen.heading("A theft: alice puts bob's service account into her credentials.json")
    document = json.loads((place / "run" / BOB.name / "credentials.json").read_bytes())
    document["credential_source"]["file"] = str(place / "run" / ALICE.name / "token")
    try:
        _fetch_access_token(document)
    except GoogleAuthError as error:
        screen.line(("  no  ", "bold red"), f"Google answers {_read_refusal(error)}")
    else:
        raise ExchangeError("alice acted as bob", "report this as a bug")


def _fetch_access_token(document: dict[str, object]) -> str:
    credentials = identity_pool.Credentials.from_info(document, scopes=(CLOUD_PLATFORM_SCOPE,))  # type: ignore[no-untyped-call]  # google-auth types it half
    with Session() as session:
        session.trust_env = False  # a proxy can't reach this machine
        credentials.refresh(Request(session))
    return str(credentials.token)


def _read_refusal(error: GoogleAuthError) -> str:
    """Return status and text of Google's answer: one of the arguments of an error of google-auth is its body."""
    for argument in error.args:
        try:
            found = json.loads(argument)["error"]
            return f"{found['code']}: {found['message']}"
        except (ValueError, TypeError, KeyError):
            continue
    return str(error.args[0]) if error.args else type(error).__name__


def _show_lines_to_paste(screen: Screen, place: Path, google: Scenario) -> None:
    screen.heading("Paste these lines into another shell (bob works the same way); Ctrl-C here ends the demo")
    screen.line(f"""\
set -a; . {place}/run/{ALICE.name}/env; no_proxy=127.0.0.1; set +a
{sys.executable} - <<'END'
import google.auth, google.auth.transport.requests as transport, urllib.request
credentials, project = google.auth.default(['https://www.googleapis.com/auth/cloud-platform'])
credentials.refresh(transport.Request())
question = urllib.request.Request('{google.http}/emulator/whoami',
    headers={{'Authorization': 'Bearer ' + credentials.token}})
print(project, urllib.request.urlopen(question).read().decode())
END""")
