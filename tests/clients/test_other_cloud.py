from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.cloud import Cloud, cloud
from tests.clients.outcomes import NOT_SHOWN, Scenario
from tests.clients.partial_origin import PartialOrigin, run_partial_origin
from tests.clients.registry import CLIENTS
from tests.clients.run import perform
from tests.clients.setup import STRANGER
from tests.installing import INSTALL_SECONDS
from tests.program import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.clients.outcomes import Record
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
def origins(tmp_path: Path) -> Iterator[tuple[PartialOrigin, PartialOrigin, Cloud, Path]]:
    """Return another cloud, with storage at one origin and the rest at another, and the keys that it trusts."""
    here = tmp_path / "elsewhere"
    here.mkdir()
    with cloud(here, NAMES) as other:
        other.seed([*HANDFUL, STRANGER], Worker(place=here).make_keys())
        certificates = here / "google"
        with (
            run_partial_origin(other.plain.sts, certificates, lambda path: not _is_of_storage(path)) as rest,
            run_partial_origin(other.plain.storage, certificates, _is_of_storage) as storage,
        ):
            yield rest, storage, other, here / "keys"


@pytest.mark.timeout(INSTALL_SECONDS)
def test_other_cloud_needs_only_variables(
    origins: tuple[PartialOrigin, PartialOrigin, Cloud, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    need: Need,
) -> None:
    """With a cloud that only the variables describe, a client of each kind passes all scenarios."""
    clients = [client for client in CLIENTS if client.name in HANDFUL]
    for client in clients:
        need.tool(client.tool, client.remedy)
    rest, storage, other, keys = origins
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


def test_missing_keys_of_another_cloud_are_shown(tmp_path: Path) -> None:
    """Without keys that it trusts nothing can run, and the error contains the variable."""
    variables = {"REFRESHER_CLIENTS_STS": "https://sts.example"}

    with pytest.raises(RuntimeError, match="REFRESHER_CLIENTS_KEYS"), cloud(tmp_path, variables):
        pass


def _is_of_storage(path: str) -> bool:
    return not path.startswith(("/v1/", "/bigquery/", "/discovery/"))


def _wrong(records: dict[str, Record]) -> dict[tuple[str, str], str]:
    return {
        (name, scenario): outcome.message
        for name, record in records.items()
        for scenario, outcome in record.outcomes.items()
        if not outcome.result
    }


def _not_shown(records: dict[str, Record]) -> set[tuple[str, str]]:
    return {
        (name, scenario)
        for name, record in records.items()
        for scenario, outcome in record.outcomes.items()
        if outcome.result == NOT_SHOWN
    }
