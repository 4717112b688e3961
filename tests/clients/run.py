"""One whole run of all clients that the machine has."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clients.breakages import Breaker
from tests.clients.cloud import cloud
from tests.clients.play import Play
from tests.clients.roster import CLIENTS
from tests.clients.stage import stage
from tests.program import secret_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.clients.client import Client
    from tests.clients.cloud import Cloud
    from tests.clients.verdicts import Record


def installed(clients: Sequence[Client] = CLIENTS) -> list[Client]:
    """Give the clients whose tool is there, installed now if they were not."""
    found = [client for client in clients if shutil.which(client.tool)]
    for recipe in dict.fromkeys(client.recipe for client in found if client.recipe is not None):
        recipe.made()
    return found


def missing(clients: Sequence[Client] = CLIENTS) -> list[str]:
    """Give one line for each tool that is not there: which clients need it, and how to get it."""
    lacks: dict[tuple[str, str], list[str]] = {}
    for client in clients:
        if shutil.which(client.tool) is None:
            lacks.setdefault((client.tool, client.remedy), []).append(client.name)
    return [
        f"{tool} is not installed, so {', '.join(names)} cannot be run: {remedy}"
        for (tool, remedy), names in lacks.items()
    ]


def run(clients: Sequence[Client], place: Path) -> dict[str, Record]:
    """Take clients through all scenarios in the cloud of this machine's environment; give what is known of each."""
    with cloud(place) as google:
        return perform(google, clients, place)


def perform(google: Cloud, clients: Sequence[Client], place: Path) -> dict[str, Record]:
    """Take clients through all scenarios in a cloud; give what is known of each, by name."""
    with stage(google, place, {client.name: client.part for client in clients}) as where:
        play = Play.of(where, clients)
        play.act_with_usual_lives()
        play.shorten_lives()
        breaker = Breaker(play)
        play.live_through_rotations()
        breaker.run()
        assert secret_in(where.printed()) is None
    return dict(play.records)


def main(names: Sequence[str]) -> None:
    """Run all clients, or those whose names begin so, and print what came of it: for whoever adds one."""
    clients = [client for client in installed() if client.name.startswith(tuple(names) or "")]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        for name, record in run(clients, Path(place)).items():
            sys.stdout.write(
                f"{name}: {record.exchanges_at_start} at start, {record.exchanges_again} again, "
                f"{record.exchanges_of_threads} of threads, {record.renewal}, {record.calls} calls\n"
            )
            for scenario, verdict in record.verdicts.items():
                sys.stdout.write(f"  {scenario}: {verdict.result or 'WRONG'} {verdict.said}\n")
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main(sys.argv[1:])
