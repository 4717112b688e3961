"""One complete run of all clients that the machine has."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clients.breakages import Breaker
from tests.clients.cloud import cloud
from tests.clients.registry import CLIENTS
from tests.clients.scenarios import Scenarios
from tests.clients.setup import set_up
from tests.program import secret_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.clients.client import Client
    from tests.clients.cloud import Cloud
    from tests.clients.outcomes import Record


def install_available(clients: Sequence[Client] = CLIENTS) -> list[Client]:
    """Return the clients whose tool is present, and install them if necessary."""
    found = [client for client in clients if shutil.which(client.tool)]
    for recipe in dict.fromkeys(client.recipe for client in found if client.recipe is not None):
        recipe.made()
    return found


def list_missing(clients: Sequence[Client] = CLIENTS) -> list[str]:
    """Return one line for each missing tool: which clients need it, and how to get it."""
    lacks: dict[tuple[str, str], list[str]] = {}
    for client in clients:
        if shutil.which(client.tool) is None:
            lacks.setdefault((client.tool, client.remedy), []).append(client.name)
    return [
        f"{tool} is not installed, so {', '.join(names)} cannot be run: {remedy}"
        for (tool, remedy), names in lacks.items()
    ]


def run(clients: Sequence[Client], place: Path) -> dict[str, Record]:
    """Run clients through all scenarios in the cloud of the environment; return the record of each by name."""
    with cloud(place) as google:
        return perform(google, clients, place)


def perform(google: Cloud, clients: Sequence[Client], place: Path) -> dict[str, Record]:
    """Run clients through all scenarios in a cloud; return the record of each by name."""
    with set_up(google, place, {client.name: client.needs for client in clients}) as setup:
        scenarios = Scenarios.create(setup, clients)
        scenarios.run_with_usual_lives()
        scenarios.shorten_lives()
        breaker = Breaker(scenarios)
        scenarios.run_rotations()
        breaker.run()
        assert secret_in(setup.printed()) is None
    return dict(scenarios.records)


def main(names: Sequence[str]) -> None:
    """Run all clients, or those with these prefixes, and print the outcomes; for the author of a new client."""
    clients = install_available([client for client in CLIENTS if client.name.startswith(tuple(names) or "")])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        for name, record in run(clients, Path(place)).items():
            sys.stdout.write(
                f"{name}: {record.exchanges_at_start} at start, {record.exchanges_again} again, "
                f"{record.exchanges_of_threads} of threads, {record.renewal}, {record.calls} calls\n"
            )
            for scenario, outcome in record.outcomes.items():
                sys.stdout.write(f"  {scenario}: {outcome.result or 'WRONG'} {outcome.message}\n")
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main(sys.argv[1:])
