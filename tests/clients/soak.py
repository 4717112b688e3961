"""The soak: all long-lived clients side by side for ten minutes, with subject tokens that live 20 s.

Their access tokens live so long that each keeps one for ten seconds, and so renews them all the time. Prints how often
each called. Any failed call fails the soak, and so does a file that was absent, empty, torn or late when it was looked
at, every few hundredths of a second. `SOAK=60` makes it a minute. Clients whose tool is missing are named, and fail it
with `REQUIRE_TOOLS=1`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clients.cloud import cloud
from tests.clients.play import PAUSE, Play
from tests.clients.roster import CLIENTS
from tests.clients.run import installed, missing
from tests.clients.stage import stage, subject_of
from tests.clients.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clients.client import Client

_SHOWN = 3


def main() -> int:
    """Run it; gives 1 if a call failed."""
    seconds = float(os.environ.get("SOAK", "600"))
    lasting = [client for client in CLIENTS if not client.is_tool]
    if lacks := missing(lasting):
        sys.stdout.writelines(f"left out: {lack}\n" for lack in lacks)
        if os.environ.get("REQUIRE_TOOLS") == "1":
            return 1
    clients = installed(lasting)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        with cloud(place) as google, stage(google, place, {client.name: client.part for client in clients}) as where:
            play = Play.of(where, clients)
            play.shorten_lives()
            watch = Watch(where.files(), where.public_keys())
            end = time.monotonic() + seconds
            with watch.watching(), ThreadPoolExecutor(max_workers=len(clients)) as pool:
                found = list(pool.map(_soaking(play, end), clients))
            journal = google.journal
            for client, (calls, failures) in zip(clients, found, strict=True):
                renewed = len(journal.exchanges(subject_of(client.name))) if journal is not None else 0
                sys.stdout.write(f"{client.name:18} {calls:6} calls {renewed:6} exchanges {len(failures):4} failed\n")
                sys.stdout.writelines(f"  {failure}\n" for failure in failures[:_SHOWN])
    calls, failed = sum(calls for calls, _ in found), sum(len(failures) for _, failures in found)
    sys.stdout.write(f"{len(clients)} clients, {calls} calls, {failed} failed\n")
    sys.stdout.writelines(f"  {what}: {count} times\n" for what, count in sorted(watch.wrong.items()))
    sys.stdout.write(f"every file looked at {watch.looks} times, {watch.wrong.total()} times not as it must be\n")
    return 1 if failed or watch.wrong else 0


def _soaking(play: Play, end: float) -> Callable[[Client], tuple[int, list[str]]]:
    def soak(client: Client) -> tuple[int, list[str]]:
        """Call until the end; give how often, and what went wrong."""
        calls, failures = 0, []
        with play.player(client) as player:
            while time.monotonic() < end:
                answer = play.read(client, player)
                calls += 1
                if answer.content != client.content(play.stage.cloud.names):
                    failures.append(str(answer))
                time.sleep(PAUSE)
        return calls, failures

    return soak


if __name__ == "__main__":
    sys.exit(main())
