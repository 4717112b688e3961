"""The soak: all long-lived clients call at the same time for ten minutes, with subject tokens that live 20 s.

Each client keeps an access token for ten seconds only, and so renews it all the time. The soak prints how often each
client called. It fails after any failed call, and if a file was ever absent, empty, torn or late: every file is read
each few hundredths of a second. `SOAK=60` makes it a minute. Clients whose tool is missing are listed; with
`REQUIRE_TOOLS=1` they fail the soak.
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
from tests.clients.registry import CLIENTS
from tests.clients.run import install_available, list_missing
from tests.clients.scenarios import PAUSE, Scenarios
from tests.clients.setup import set_up, subject_name
from tests.clients.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clients.client import Client

_SHOWN = 3


def main() -> int:
    """Run the soak; return 1 if a call failed."""
    seconds = float(os.environ.get("SOAK", "600"))
    lasting = [client for client in CLIENTS if not client.is_tool]
    if lacks := list_missing(lasting):
        sys.stdout.writelines(f"left out: {lack}\n" for lack in lacks)
        if os.environ.get("REQUIRE_TOOLS") == "1":
            return 1
    clients = install_available(lasting)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        with cloud(place) as google, set_up(google, place, {client.name: client.needs for client in clients}) as setup:
            scenarios = Scenarios.create(setup, clients)
            scenarios.shorten_lives()
            watch = Watch(setup.files(), setup.public_keys())
            end = time.monotonic() + seconds
            with watch.run_in_background(), ThreadPoolExecutor(max_workers=len(clients)) as pool:
                found = list(pool.map(_soaking(scenarios, end), clients))
            journal = google.journal
            for client, (calls, failures) in zip(clients, found, strict=True):
                renewed = len(journal.exchanges(subject_name(client.name))) if journal is not None else 0
                sys.stdout.write(f"{client.name:18} {calls:6} calls {renewed:6} exchanges {len(failures):4} failed\n")
                sys.stdout.writelines(f"  {failure}\n" for failure in failures[:_SHOWN])
    calls, failed = sum(calls for calls, _ in found), sum(len(failures) for _, failures in found)
    sys.stdout.write(f"{len(clients)} clients, {calls} calls, {failed} failed\n")
    sys.stdout.writelines(f"  {what}: {count} times\n" for what, count in sorted(watch.wrong.items()))
    sys.stdout.write(f"every file was read {watch.looks} times, {watch.wrong.total()} times it was wrong\n")
    return 1 if failed or watch.wrong else 0


def _soaking(scenarios: Scenarios, end: float) -> Callable[[Client], tuple[int, list[str]]]:
    def soak(client: Client) -> tuple[int, list[str]]:
        """Call until the end; return the number of calls and the failures."""
        calls, failures = 0, []
        with scenarios.probe(client) as probe:
            while time.monotonic() < end:
                answer = scenarios.read(client, probe)
                calls += 1
                if answer.content != client.content(scenarios.setup.cloud.names):
                    failures.append(str(answer))
                time.sleep(PAUSE)
        return calls, failures

    return soak


if __name__ == "__main__":
    sys.exit(main())
