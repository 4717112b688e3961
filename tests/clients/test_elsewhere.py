from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.cloud import Cloud, cloud
from tests.clients.front import Front, front
from tests.clients.roster import CLIENTS
from tests.clients.run import perform
from tests.clients.stage import STRANGER
from tests.clients.verdicts import NOT_SHOWN, Scenario
from tests.installing import INSTALL_SECONDS
from tests.program import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.clients.verdicts import Record
    from tests.conftest import Need

HANDFUL = ("python-auth", "node-auth", "go-auth", "curl", "rclone", "gcloud-storage")
NAMES = {
    "REFRESHER_CLIENTS_PROJECT": "elsewhere",
    "REFRESHER_CLIENTS_PROJECT_NUMBER": "210987654321",
    "REFRESHER_CLIENTS_POOL": "machines",
    "REFRESHER_CLIENTS_PROVIDER": "main",
    "REFRESHER_CLIENTS_ISSUER": "https://issuer.invalid",
    "REFRESHER_CLIENTS_ACCOUNTS": "client-{}@elsewhere.iam.gserviceaccount.com",
    "REFRESHER_CLIENTS_BUCKETS": "of-{}-elsewhere",
}


@pytest.fixture
def fronts(tmp_path: Path) -> Iterator[tuple[Front, Front, Cloud, Path]]:
    """Give another cloud, whose storage is at one origin and the rest at another, and the keys that it trusts."""
    here = tmp_path / "elsewhere"
    here.mkdir()
    with cloud(here, NAMES) as other:
        other.plant([*HANDFUL, STRANGER], Worker(place=here).make_keys())
        certificates = here / "google"
        with (
            front(other.plain.sts, certificates, lambda path: not _is_of_storage(path)) as rest,
            front(other.plain.storage, certificates, _is_of_storage) as storage,
        ):
            yield rest, storage, other, here / "keys"


@pytest.mark.timeout(INSTALL_SECONDS)
def test_another_cloud_needs_only_variables(
    fronts: tuple[Front, Front, Cloud, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need: Need
) -> None:
    """Against a cloud of which only the variables tell, a client of each kind does in all scenarios what it must."""
    clients = [client for client in CLIENTS if client.name in HANDFUL]
    for client in clients:
        need.tool(client.tool, client.remedy)
    rest, storage, other, keys = fronts
    assert other.ca_file is not None
    variables = NAMES | {
        "REFRESHER_CLIENTS_STS": rest.origin,
        "REFRESHER_CLIENTS_STORAGE": storage.origin,
        "REFRESHER_CLIENTS_CA_FILE": str(other.ca_file.relative_to(tmp_path)),
        "REFRESHER_CLIENTS_KEYS": str(keys),
    }
    monkeypatch.chdir(tmp_path)

    with cloud(tmp_path, variables) as named:
        records = perform(named, clients, tmp_path)

    assert _wrong(records) == {}
    assert rest.strays + storage.strays == []
    assert _not_shown(records) == {("curl", Scenario.LIVES), ("curl", Scenario.EXPIRED)}


def test_what_is_missing_of_another_cloud_is_told(tmp_path: Path) -> None:
    """Without keys that it trusts there is nothing to run, and the message names the variable."""
    variables = {"REFRESHER_CLIENTS_STS": "https://sts.example"}

    with pytest.raises(RuntimeError, match="REFRESHER_CLIENTS_KEYS"), cloud(tmp_path, variables):
        pass


def _is_of_storage(path: str) -> bool:
    return not path.startswith(("/v1/", "/bigquery/", "/discovery/"))


def _wrong(records: dict[str, Record]) -> dict[tuple[str, str], str]:
    return {
        (name, scenario): verdict.said
        for name, record in records.items()
        for scenario, verdict in record.verdicts.items()
        if not verdict.result
    }


def _not_shown(records: dict[str, Record]) -> set[tuple[str, str]]:
    return {
        (name, scenario)
        for name, record in records.items()
        for scenario, verdict in record.verdicts.items()
        if verdict.result == NOT_SHOWN
    }
