from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.clients.client import TOKEN
from tests.clients.cloud import is_elsewhere
from tests.clients.roster import CLIENTS
from tests.clients.run import installed, run
from tests.clients.table import WRONG, committed, exchanges, results
from tests.clients.verdicts import NOT_SHOWN, Scenario

if TYPE_CHECKING:
    from tests.clients.client import Client
    from tests.clients.verdicts import Record
    from tests.conftest import Need

pytestmark = pytest.mark.timeout(2400)
"""The first test pays for the whole run, and on a new machine for all installations."""


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """Give what is known of every client that the machine has, after one run of them all."""
    return run(installed(), tmp_path_factory.mktemp("clients"))


@pytest.mark.parametrize("scenario", Scenario)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_does_what_it_must(client: Client, scenario: Scenario, records: dict[str, Record], need: Need) -> None:
    """Taking only what the product wrote, a client does what the scenario asks of it."""
    need.tool(client.tool, client.remedy)

    verdict = records[client.name].verdicts[scenario]

    assert verdict.result, verdict.said
    assert verdict.result != NOT_SHOWN or is_elsewhere()


@pytest.fixture
def counted(records: dict[str, Record]) -> dict[str, Record]:
    """Give what is known of every client after a run with the emulator, of which the guide's tables tell."""
    if is_elsewhere():
        pytest.skip("another cloud is named, which keeps no journal for us; the tables tell of the emulator")
    return records


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_the_guide_claims_what_the_run_shows(client: Client, counted: dict[str, Record], need: Need) -> None:
    """The line of the table in docs/clients.md is the one that this run gives; `make clients` writes it."""
    need.tool(client.tool, client.remedy)
    rows = [line.split(" | ") for line in committed("results").splitlines()]
    shown = results([client], counted).splitlines()[-1].split(" | ")

    # what is not pinned may be newer where the test runs than where the table was made
    unpinned = set() if client.is_pinned else {1}
    (claimed,) = [row for row in rows if row[0] == shown[0]]
    assert [cell for place, cell in enumerate(claimed) if place not in unpinned] == [
        cell for place, cell in enumerate(shown) if place not in unpinned
    ]


@pytest.mark.parametrize(
    "client", [client for client in CLIENTS if client.reads == TOKEN], ids=lambda client: client.name
)
def test_costs_no_more_exchanges_than_the_guide_says(client: Client, counted: dict[str, Record], need: Need) -> None:
    """Whoever plans a fleet by the table in docs/clients.md has planned for enough."""
    need.tool(client.tool, client.remedy)
    rows = [line.split(" | ") for line in committed("exchanges").splitlines()]
    shown = exchanges([client], counted).splitlines()[-1].split(" | ")

    (claimed,) = [row for row in rows if row[0] == shown[0]]
    assert WRONG not in " ".join(shown)
    assert all(_figure(cell) <= _figure(bound) for cell, bound in zip(shown[1:], claimed[1:], strict=True))


def _figure(cell: str) -> float:
    """Give the figure of a cell, such as "1.1", "up to 16" and "1 a command"; one without costs nothing."""
    found = re.search(r"\d+(\.\d+)?", cell)
    return float(found[0]) if found else 0.0


def test_the_guide_has_a_line_for_every_client_and_no_other() -> None:
    """Nobody is left in the table who is not run."""
    assert len(committed("results").splitlines()) == len(CLIENTS) + 2
