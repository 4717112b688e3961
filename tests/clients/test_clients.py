from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.clients.client import TOKEN
from tests.clients.cloud import is_other_cloud
from tests.clients.outcomes import NOT_SHOWN, Scenario
from tests.clients.registry import CLIENTS
from tests.clients.run import install_available, run
from tests.clients.table import WRONG, build_exchanges, build_results, read_committed

if TYPE_CHECKING:
    from tests.clients.client import Client
    from tests.clients.outcomes import Record
    from tests.conftest import Need

pytestmark = pytest.mark.timeout(2400)
"""The first test includes the whole run, and on a new machine all installations."""


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """Return the records of all clients that the machine has, after one run."""
    return run(install_available(), tmp_path_factory.mktemp("clients"))


@pytest.mark.parametrize("scenario", Scenario)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_client_passes_scenario(client: Client, scenario: Scenario, records: dict[str, Record], need: Need) -> None:
    """With nothing but the product's files and variables, a client does what the scenario requires."""
    need.tool(client.tool, client.remedy)

    outcome = records[client.name].outcomes[scenario]

    assert outcome.result, outcome.message
    assert outcome.result != NOT_SHOWN or is_other_cloud()


@pytest.fixture
def counted(records: dict[str, Record]) -> dict[str, Record]:
    """Return the records of all clients after a run with the emulator, which the guide's tables are about."""
    if is_other_cloud():
        pytest.skip("another cloud is named, which keeps no journal for us; the tables tell of the emulator")
    return records


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_guide_has_the_results_of_this_run(client: Client, counted: dict[str, Record], need: Need) -> None:
    """The line of the table in docs/clients.md is the one of this run; `make clients` writes it."""
    need.tool(client.tool, client.remedy)
    rows = [line.split(" | ") for line in read_committed("results").splitlines()]
    shown = build_results([client], counted).splitlines()[-1].split(" | ")

    # without a pin, the version here can be newer than in the table
    unpinned = set() if client.is_pinned else {1}
    (claimed,) = [row for row in rows if row[0] == shown[0]]
    assert [cell for place, cell in enumerate(claimed) if place not in unpinned] == [
        cell for place, cell in enumerate(shown) if place not in unpinned
    ]


@pytest.mark.parametrize(
    "client", [client for client in CLIENTS if client.reads == TOKEN], ids=lambda client: client.name
)
def test_guide_promises_enough_exchanges(client: Client, counted: dict[str, Record], need: Need) -> None:
    """docs/clients.md promises at least as many exchanges as this run needs, so that a fleet can be planned with it."""
    need.tool(client.tool, client.remedy)
    rows = [line.split(" | ") for line in read_committed("exchanges").splitlines()]
    shown = build_exchanges([client], counted).splitlines()[-1].split(" | ")

    (claimed,) = [row for row in rows if row[0] == shown[0]]
    assert WRONG not in " ".join(shown)
    assert all(_figure(cell) <= _figure(bound) for cell, bound in zip(shown[1:], claimed[1:], strict=True))


def _figure(cell: str) -> float:
    """Return the number in a cell, such as "1.1", "up to 16" and "1 a command"; 0 without a number."""
    found = re.search(r"\d+(\.\d+)?", cell)
    return float(found[0]) if found else 0.0


def test_guide_lists_every_client_and_no_other() -> None:
    """The table has one line for each client."""
    assert len(read_committed("results").splitlines()) == len(CLIENTS) + 2
