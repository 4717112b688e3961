"""The soak with metadata endpoints: all long-lived clients call at the same time, while tokens live for seconds.

The daemon is restarted every minute. The soak fails after any failed call. It lasts ten minutes; `SOAK=60` makes it a
minute. It needs root, for namespaces.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clients.cloud import cloud
from tests.clients.metadata_scenarios import LIFE, MetadataScenarios
from tests.clients.metadata_site import open_metadata_site
from tests.clients.registry import METADATA_CLIENTS
from tests.clients.run import install_available, list_missing
from tests.clients.scenarios import PAUSE

if TYPE_CHECKING:
    from tests.clients.client import Client

_SHOWN = 3
_BETWEEN_RESTARTS = 60.0


def main() -> int:
    """Run the soak; return 1 if a call failed."""
    if os.geteuid() != 0:
        sys.stdout.write("left out: the soak with metadata endpoints needs root\n")
        return int(os.environ.get("REQUIRE_TOOLS") == "1")
    lasting = [client for client in METADATA_CLIENTS if not client.is_tool]
    sys.stdout.writelines(f"left out: {lack}\n" for lack in list_missing(lasting))
    clients = install_available(lasting)
    end_after = float(os.environ.get("SOAK", "600"))
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        with cloud(place) as google, open_metadata_site(google, place, clients) as site:
            scenarios = MetadataScenarios(site=site, clients=clients)
            scenarios.shorten_lives()
            site.start()
            end = time.monotonic() + end_after
            with ThreadPoolExecutor(len(clients)) as pool:
                under_way = pool.map(partial(_soak, scenarios, end), clients)
                restarts = _restart_until(scenarios, end)
                found = list(under_way)
            for client, (calls, failures) in zip(clients, found, strict=True):
                sys.stdout.write(f"{client.name:18} {calls:6} calls {len(failures):4} failed\n")
                sys.stdout.writelines(f"  {failure}\n" for failure in failures[:_SHOWN])
    calls, failed = sum(calls for calls, _ in found), sum(len(failures) for _, failures in found)
    sys.stdout.write(f"{len(clients)} clients, {restarts} restarts, {calls} calls, {failed} failed\n")
    return 1 if failed else 0


def _restart_until(scenarios: MetadataScenarios, end: float) -> int:
    """Restart the daemon from time to time, once at least; return how often."""
    restarts = 0
    while time.monotonic() + LIFE < end:
        time.sleep(min(_BETWEEN_RESTARTS, LIFE if restarts == 0 else _BETWEEN_RESTARTS))
        scenarios.restart()
        restarts += 1
    return restarts


def _soak(scenarios: MetadataScenarios, end: float, client: Client) -> tuple[int, list[str]]:
    """Call until the end; return the number of calls and the failures."""
    calls, failures = 0, []
    names = scenarios.site.setup.cloud.names
    with scenarios.probe(client) as probe:
        while time.monotonic() < end:
            answer = probe.read(names.bucket(client.name))
            calls += 1
            if answer.content != client.content(names):
                failures.append(str(answer))
            time.sleep(PAUSE)
    return calls, failures


if __name__ == "__main__":
    sys.exit(main())
