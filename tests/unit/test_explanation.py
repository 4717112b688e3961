from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.app.explanation import explain, list_faults, list_worker_grants, plan_exchanges
from refresher.app.targets import compute_probe_intervals
from refresher.config.loader import load

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.config.loader import LoadedConfiguration

TEXT = """
version: 1
canary: {canary}
providers: {{main: {{project_number: "123456789012", pool: workers, provider: refresher}}}}
suppliers: {{worker: {{kind: self_issued, issuer: https://workers.invalid, keys: absent}}}}
directory_root: {root}
listen: none
identities:
{identities}
targets:
{targets}
"""


def load_fleet(place: Path, count: int, *, canary: str = "5m", more: str = "", body: str = "") -> LoadedConfiguration:
    """Load a configuration of this many identities, each with a target; `more` and `body` are keys of the first's."""
    account = "service_account: a@p-1-test.iam.gserviceaccount.com, shared_identity: true"
    lines = [f"  t{number}: {{{account}, subject: user-{number}{more * (number == 0)}}}" for number in range(count)]
    targets = "\n".join(f"  t{number}: {{{body * (number == 0)}}}" for number in range(count))
    path = place / "refresher.yaml"
    path.write_text(TEXT.format(canary=canary, root=place / "run", identities="\n".join(lines), targets=targets))
    path.chmod(0o600)
    return load(path)


@pytest.mark.parametrize(
    ("count", "canary", "more", "first", "others"),
    [
        (2, "5m", "", timedelta(minutes=5), timedelta(minutes=5)),
        (2, "5m", ", canary: 1h", timedelta(hours=1), timedelta(minutes=5)),
        (2, "5m", ", canary: off", None, timedelta(minutes=5)),
        (2, "off", ", canary: 10m", timedelta(minutes=10), None),
        (2, "off", "", None, None),
        (600, "5m", "", timedelta(minutes=10), timedelta(minutes=10)),
        (601, "5m", ", canary: off", None, timedelta(minutes=10)),
    ],
)
def test_canary_asks_as_often_as_configured_and_as_the_fleet_allows(
    tmp_path: Path, count: int, canary: str, more: str, first: timedelta | None, others: timedelta | None
) -> None:
    """An identity's own key counts before the main one, and those that are on share one probe a second."""
    intervals = compute_probe_intervals(load_fleet(tmp_path, count, canary=canary, more=more))
    assert (intervals.get("t0"), intervals.get("t1")) == (first, others)


@pytest.mark.parametrize(
    ("body", "minting"),
    [
        ("", 0),
        ("artifacts: {boto: true}", 0),
        ("artifacts: {access_token: true}", 1),
        ("artifacts: {id_tokens: {api: {audience: 'https://a.test'}}}", 1),
    ],
)
def test_planned_exchanges_count_who_makes_them(tmp_path: Path, body: str, minting: int) -> None:
    """The canary's, those for artifacts that Google mints, and one client in each container."""
    planned = plan_exchanges(load_fleet(tmp_path, 5, body=body))
    assert planned == pytest.approx({"canary": 1.0, "artifacts": minting / 30, "clients": 5 / 55})


@pytest.mark.parametrize(("count", "is_warned"), [(32_000, False), (34_000, True)])
def test_fleet_that_needs_a_tenth_of_the_quota_has_a_warning(tmp_path: Path, count: int, *, is_warned: bool) -> None:
    """STS allows all machines of a project 6,000 exchanges a minute; above 600 for one daemon `check` warns."""
    loaded = load_fleet(tmp_path, 1)
    fleet = loaded._replace(targets={f"t{number}": loaded.targets["t0"] for number in range(count)})
    assert any("exchanges a minute are to be expected" in error.problem for error in list_faults(fleet)) is is_warned


NO_POOL = """
version: 1
identities:
  alice: {{service_account: alice@p-1-test.iam.gserviceaccount.com, via: impersonation}}
  bob:
    service_account: bob@p-1-test.iam.gserviceaccount.com
    via: impersonation
    delegates: [mid@p-1-test.iam.gserviceaccount.com]
    credentials: /etc/worker.json
directory_root: {root}
listen: none
targets: {{alice: {{{body}}}, alice2: {{identity: alice}}, bob: {{}}}}
"""


def load_without_pool(place: Path, *, body: str = "") -> LoadedConfiguration:
    """Load a configuration of identities without a pool; `body` is that of the first target."""
    path = place / "refresher.yaml"
    path.write_text(NO_POOL.format(root=place / "run", body=body))
    path.chmod(0o600)
    return load(path)


def test_worker_without_a_pool_needs_a_role_on_each_account(tmp_path: Path) -> None:
    """For each source of credentials the commands grant the role on the account, or link by link on a chain."""
    of_machine, of_file = list_worker_grants(load_without_pool(tmp_path))

    begin = "gcloud iam service-accounts add-iam-policy-binding"
    end = "--project=p-1-test --role=roles/iam.serviceAccountTokenCreator --member="
    alice, mid, bob = (f"{name}@p-1-test.iam.gserviceaccount.com" for name in ("alice", "mid", "bob"))
    assert of_machine.accounts == (alice,)
    assert of_machine.commands == (f'{begin} {alice} {end}"serviceAccount:$WORKER"',)
    assert "Metadata-Flavor: Google" in of_machine.find_account
    assert of_file.principal == "the principal of /etc/worker.json"
    assert of_file.find_account == "WORKER=$(jq -r .client_email /etc/worker.json)"
    assert of_file.commands == (
        f'{begin} {mid} {end}"serviceAccount:$WORKER"',
        f"{begin} {bob} {end}'serviceAccount:{mid}'",
    )


def test_target_without_a_pool_is_explained_without_one(tmp_path: Path) -> None:
    """It has neither supplier nor provider, its artifact is the access token, and it causes no exchange."""
    loaded = load_without_pool(tmp_path)

    explained = explain(loaded)

    alice = explained["targets"][0]
    absent = ("supplier", "kind", "provider", "audience", "subject", "metadata")
    assert [alice[key] for key in absent] == [None] * len(absent)
    assert (alice["artifacts"], alice["environment"], alice["lifetime"]) == (["access_token"], "files", "1h")
    assert set(plan_exchanges(loaded).values()) == {0}


def test_variables_that_miss_the_endpoint_are_warned_about(tmp_path: Path) -> None:
    """Without a pool, client libraries need the endpoint that the target has to be named in `env`."""
    without = load_without_pool(tmp_path, body="metadata: {netns: /run/netns/a}, environment: metadata")
    assert [fault for fault in list_faults(without) if "env" in fault.problem] == []

    found = list(list_faults(load_without_pool(tmp_path, body="metadata: {netns: /run/netns/a}")))

    assert ("env of target alice does not name", "set environment: metadata") in [
        (fault.problem[:33], fault.remedy) for fault in found
    ]


def test_both_is_warned_about_where_there_is_an_adc_document(tmp_path: Path) -> None:
    """object_store fails while GOOGLE_APPLICATION_CREDENTIALS names an ADC document; targets share one warning."""
    body = "metadata: {netns: /run/netns/a}, environment: both"

    with_pool = [fault.problem for fault in list_faults(load_fleet(tmp_path, 1, body=body))]
    without = [fault.problem for fault in list_faults(load_without_pool(tmp_path, body=body))]

    assert any("environment: both of target t0: object_store" in problem for problem in with_pool)
    assert not any("object_store" in problem for problem in without)
