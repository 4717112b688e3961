"""Clients with a metadata endpoint, in namespaces and containers in which nothing is mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.cloud import is_other_cloud
from tests.clients.metadata_scenarios import MetadataScenario, run_with_metadata
from tests.clients.registry import METADATA_CLIENTS
from tests.clients.run import install_available
from tests.clients.table import WRONG, read_committed

if TYPE_CHECKING:
    from tests.clients.client import Client
    from tests.clients.metadata_scenarios import Outcomes
    from tests.conftest import Need

pytestmark = [pytest.mark.timeout(2400), pytest.mark.apart]
"""The first test includes the whole run, and on a new machine all installations."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Outcomes:
    """Return the outcomes of all clients that the machine has, after one run."""
    need.root()
    need.tool("podman", "apt install podman")
    need.tool("runc", "apt install runc")
    if is_other_cloud():
        pytest.skip("another cloud is named, which can't go down for a test")
    return run_with_metadata(install_available(METADATA_CLIENTS), tmp_path_factory.mktemp("metadata"))


@pytest.mark.parametrize("scenario", MetadataScenario)
@pytest.mark.parametrize("client", METADATA_CLIENTS, ids=lambda client: client.name)
def test_client_passes_scenario_with_metadata(
    client: Client, scenario: MetadataScenario, outcomes: Outcomes, need: Need
) -> None:
    """With the variables of mode metadata, or with none, a client does what the scenario requires."""
    need.tool(client.tool, client.remedy)

    outcome = outcomes[client.name][scenario]

    assert outcome.result, outcome.message


def test_guide_lists_every_client_with_metadata() -> None:
    """The table in docs/clients.md has a line for each client, and no result is wrong."""
    table = read_committed("metadata")
    rows = [line.split(" | ")[0] for line in table.splitlines()[2:]]

    assert rows == [f"| {client.language}: {client.title}" for client in METADATA_CLIENTS]
    assert WRONG not in table
