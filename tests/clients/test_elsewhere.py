from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.cloud import Cloud, cloud
from tests.clients.play import Play
from tests.clients.run import installed
from tests.clients.stage import STRANGER, stage
from tests.installing import INSTALL_SECONDS
from tests.program import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Cloud]:
    """Give another cloud that is known by variables alone: https, an authority of its own, and keys that it trusts."""
    here = tmp_path / "elsewhere"
    here.mkdir()
    with cloud(here, {}) as other:
        other.plant([*(client.name for client in installed()), STRANGER], Worker(place=here).make_keys())
        variables = {
            "REFRESHER_CLIENTS_STS": other.secure.sts,
            "REFRESHER_CLIENTS_CA_FILE": str(other.ca_file),
            "REFRESHER_CLIENTS_KEYS": str(here / "keys"),
        }
        with cloud(tmp_path, variables) as found:
            yield found


@pytest.mark.timeout(INSTALL_SECONDS)
def test_another_cloud_needs_only_endpoints_and_an_authority(named: Cloud, tmp_path: Path) -> None:
    """Every client works against a cloud of which only the endpoints, the authority and the keys are told."""
    clients = installed()
    with stage(named, tmp_path, {client.name: client.part for client in clients}) as where:
        play = Play.of(where, clients)
        play.act_with_usual_lives()

    wrong = {
        name: verdict.said
        for name, record in play.records.items()
        for verdict in record.verdicts.values()
        if not verdict.result
    }
    assert wrong == {}
