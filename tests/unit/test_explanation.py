from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.app.explanation import list_faults, plan_exchanges
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
