"""The play: set up, watch refreshes, act as each user, attempt a theft, sum up. Ends by itself within 30 seconds."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING

from refresher.app.programs import daemon_of
from refresher.config.loading import load
from refresher.demo.acting import act_as, steal
from refresher.demo.scene import LIFETIME, USERS, Scene, account_of, set_up
from refresher.demo.screen import Screen
from refresher.emulator.testing import emulator
from refresher.errors import ExchangeError, NotReadyError

if TYPE_CHECKING:
    from threading import Event as StopEvent
    from typing import TextIO

    from refresher.engine.reporter import Event

ROUNDS = 3
"""Tokens that each user gets before the curtain falls."""

_PATIENCE_SECONDS = 25.0


class _Audience:
    """Hears the daemon, shows what it published, and counts."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._published: Counter[str] = Counter()
        self._changed = Condition()

    def hear(self, event: Event) -> None:
        if event.name == "token.published":
            self._screen.published(event)
            with self._changed:
                self._published[str(event.fields["target"])] += 1
                self._changed.notify_all()
        elif "error" in event.fields and event.name != "config.warning":
            self._screen.refused(f"{event.name}: {event.fields['error']}")

    def wait_for(self, rounds: int) -> int:
        """Wait until every user has got so many tokens; give how many there were in all."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: all(self._published[name] >= rounds for name in USERS), _PATIENCE_SECONDS
            ):
                raise NotReadyError("the demo's tokens did not come in time", "run it on a machine that is less busy")
            return sum(self._published.values())


def play(output: TextIO, *, directory: Path | None, keep: StopEvent | None) -> None:
    """Show the main job.

    Args:
        output: Where it is shown.
        directory: Where it leaves everything; None for a temporary directory that is removed at the end.
        keep: Go on until this is set; None to end by itself.

    Raises:
        ExchangeError: Google took somebody for somebody else.
        NotReadyError: It took too long.
    """
    screen, began = Screen(output), time.monotonic()
    with ExitStack() as stack:
        place = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="refresher-demo-")))
        place.mkdir(parents=True, exist_ok=True)
        scene = set_up(place, stack.enter_context(emulator(place)), datetime.now(UTC))
        _introduce(screen, scene)
        audience = _Audience(screen)
        stack.enter_context(daemon_of(scene.configuration, load(scene.configuration), audience.hear))
        audience.wait_for(1)
        _act(screen, scene)
        screen.heading("Refreshing by itself: nobody touches anything now")
        count = audience.wait_for(ROUNDS)
        _act_again(screen, scene)
        _attempt_theft(screen, scene)
        _sum_up(screen, count, time.monotonic() - began, kept=keep is not None)
        if keep is not None:
            _hand_over(screen, scene)
            keep.wait()


def _introduce(screen: Screen, scene: Scene) -> None:
    screen.heading("Setting up")
    screen.say(f"  a local Google at {scene.google.http} (an emulator: nothing leaves this machine)")
    screen.say("  a signing key made here; its public half uploaded to the workload identity provider")
    for name, subject in USERS.items():
        screen.say(f"  {name}: subject {subject} may act as {account_of(name)}, and as nobody else")
    screen.heading(f"The daemon publishes; each token lives {LIFETIME.seconds} s, in real life an hour")


def _act(screen: Screen, scene: Scene) -> None:
    screen.heading("Acting on Google with google-auth and the directory alone: exchange, then impersonation")
    for name in USERS:
        _check_who(name, act_as(scene, scene.credentials_directory(name)))
        screen.done(f"{name}'s credentials.json acts as {account_of(name)}")


def _act_again(screen: Screen, scene: Scene) -> None:
    screen.heading("Acting again: the first tokens are long replaced, nothing was configured anew")
    for name in USERS:
        _check_who(name, act_as(scene, scene.credentials_directory(name)))
        screen.done(f"{name} is still {name}")


def _attempt_theft(screen: Screen, scene: Scene) -> None:
    alice, bob = (scene.credentials_directory(name) for name in USERS)
    screen.heading("A theft: alice rewrites her credentials.json to name bob's service account")
    refusal = steal(alice, bob)
    if refusal is None:
        raise ExchangeError("alice acted as bob", "report this as a bug")
    screen.refused(f"Google answers {refusal.status}: {refusal.text}")


def _sum_up(screen: Screen, count: int, seconds: float, *, kept: bool) -> None:
    screen.heading("Summary")
    screen.say(f"  {count} tokens published in {seconds:.0f} s, {2 * len(USERS)} exchanges made, 1 theft refused")
    if not kept:
        screen.heading("What to do next")
        screen.say("  refresher demo --keep     go on, and use the credentials from another shell")
        screen.say("  README.md, quick start    the same against real Google")


def _hand_over(screen: Screen, scene: Scene) -> None:
    environment = scene.credentials_directory("alice") / "env"
    screen.heading("Now paste this into another shell (bob works the same way); Ctrl-C here ends it")
    screen.say(f"  set -a; . {environment}; no_proxy=127.0.0.1; set +a")
    screen.say("  python3 - <<'END'")
    screen.say("  import google.auth, google.auth.transport.requests as transport, urllib.request")
    screen.say("  credentials, project = google.auth.default(['https://www.googleapis.com/auth/cloud-platform'])")
    screen.say("  credentials.refresh(transport.Request())")
    screen.say(f"  question = urllib.request.Request('{scene.google.http}/emulator/whoami',")
    screen.say("      headers={'Authorization': 'Bearer ' + credentials.token})")
    screen.say("  print(project, urllib.request.urlopen(question).read().decode())")
    screen.say("  END")


def _check_who(name: str, found: str) -> None:
    if found != account_of(name):
        raise ExchangeError(f"{name} acted as {found}", "report this as a bug")
