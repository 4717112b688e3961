from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from refresher import __version__
from refresher.engine.exchanges import ExchangeState
from refresher.engine.outcome import Outcome, Result
from refresher.errors import ExchangeError, ImpersonationError, PublishError
from refresher.metadata.plan import EndpointHealth, ListenerHealth, ListenerState
from refresher.observe.metrics import METRICS
from tests.unit.observe.conftest import ACCESS, Fleet

CONTRACT = {
    "refresher_token_expiry_timestamp_seconds": {"target"},
    "refresher_token_issued_timestamp_seconds": {"target"},
    "refresher_runway_seconds": {"target"},
    "refresher_last_success_timestamp_seconds": {"target"},
    "refresher_consecutive_failures": {"target"},
    "refresher_exchange_last_success_timestamp_seconds": {"identity"},
    "refresher_refreshes_total": {"outcome", "stage"},
    "refresher_refresh_duration_seconds_bucket": {"le"},
    "refresher_targets": {"state"},
    "refresher_build_info": {"version"},
}
"""Names that are promised to users, with their labels."""


def read(fleet: Fleet) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the samples of each metric, read with Prometheus' own parser."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(fleet.ask("/metrics").body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_promised_metrics_have_their_names_and_labels(fleet: Fleet) -> None:
    """Every metric of the contract is there, with the labels that it promises."""
    fleet.adopt("alice")
    fleet.exchange("alice", ExchangeState.ACCEPTED)

    found = read(fleet)

    assert {name: set(found[name][0][0]) for name in CONTRACT} == CONTRACT


def test_each_metric_is_described_once(fleet: Fleet) -> None:
    """Prometheus' parser finds the metrics of the table, each with its type and help, in their order."""
    fleet.adopt("alice")

    families = list(text_string_to_metric_families(fleet.ask("/metrics").body.decode()))

    described = {
        f"{each.name}{'_total' * (each.type == 'counter')}": (each.type, each.documentation) for each in families
    }
    assert list(described.items()) == list(METRICS.items())


def test_values_are_those_of_the_files(fleet: Fleet) -> None:
    """Expiry, issue, runway and state are read from the files; the target that is harmed is not ready."""
    fleet.adopt("alice", "bob")
    (fleet.targets["bob"].directory.path / "token").unlink()
    fleet.clock.pass_(timedelta(minutes=10))
    fleet.look()

    found = read(fleet)

    issued = fleet.clock.now() - timedelta(minutes=10)
    alice, bob = {"target": "alice"}, {"target": "bob"}
    assert found["refresher_token_issued_timestamp_seconds"] == [(alice, issued.timestamp())]
    assert found["refresher_token_expiry_timestamp_seconds"] == [(alice, issued.timestamp() + 3600)]
    assert found["refresher_runway_seconds"] == [(alice, 3000), (bob, 0)]
    assert found["refresher_target_ready"] == [(alice, 1), (bob, 0)]
    assert {labels["state"]: value for labels, value in found["refresher_targets"] if value} == {
        "fresh": 1,
        "absent": 1,
    }
    assert found["refresher_build_info"] == [({"version": __version__}, 1)]


def test_jobs_are_counted(fleet: Fleet) -> None:
    """Attempts are counted by outcome and stage, all of which exist from the start, and durations by class."""
    fleet.adopt("alice", minted=(ACCESS,), publish=False)
    fleet.note("alice", Outcome(result=Result.PUBLISHED, duration=0.02))
    fleet.fail("alice", PublishError("x", "y"))
    fleet.fail("alice", ImpersonationError("x", "y"), artifact=ACCESS, failures=5)
    fleet.note("alice", Outcome(result=Result.KEPT, duration=99.0), artifact=ACCESS, failures=3)

    found = read(fleet)

    counts = {tuple(labels.values()): value for labels, value in found["refresher_refreshes_total"]}
    assert {key: value for key, value in counts.items() if value} == {
        ("published", "done"): 1,
        ("kept", "done"): 1,
        ("failed", "publish"): 1,
        ("failed", "impersonate"): 1,
    }
    assert ("failed", "supply") in counts
    buckets = {labels["le"]: value for labels, value in found["refresher_refresh_duration_seconds_bucket"]}
    assert (buckets["0.01"], buckets["0.025"], buckets["30.0"], buckets["+Inf"]) == (2, 3, 3, 4)
    assert found["refresher_refresh_duration_seconds_sum"][0][1] == pytest.approx(99.02)
    assert found["refresher_consecutive_failures"] == [({"target": "alice"}, 3)]


def test_limits_of_requests_are_counted(fleet: Fleet) -> None:
    """What met HTTP 429 is counted by stage, the canary's probes too; every stage exists from the start."""
    fleet.adopt("alice", minted=(ACCESS,), publish=False)
    busy = ExchangeError("busy", "wait", retryable=True)
    busy.http_status = 429
    fleet.fail("alice", busy, artifact=ACCESS)
    fleet.fail("alice", ExchangeError("down", "wait", retryable=True), artifact=ACCESS)
    fleet.board.note_tick([], throttled=3)

    found = {labels["stage"]: value for labels, value in read(fleet)["refresher_throttled_total"]}

    assert found == {"supply": 0, "exchange": 1, "impersonate": 0, "probe": 3}


def test_refusals_of_google_are_shown(fleet: Fleet) -> None:
    """A refused identity is 1, an accepted or unanswered one 0."""
    fleet.adopt("alice")

    for state, expected in ((ExchangeState.REFUSED, 1), (ExchangeState.UNANSWERED, 0), (ExchangeState.ACCEPTED, 0)):
        fleet.exchange("alice", state, None if state is ExchangeState.ACCEPTED else "no")
        assert read(fleet)["refresher_exchange_refused"] == [({"identity": "alice"}, expected)]


def test_endpoints_are_shown(fleet: Fleet) -> None:
    """Each endpoint is open or not, and requests are counted by how they ended."""
    requests = {"answered": 3, "refused": 2, "postponed": 1}
    fleet.adopt("alice", "bob")
    closed = ListenerHealth(ListenerState.ABSENT, "it is absent", "create it")
    fleet.endpoints(
        EndpointHealth("alice", ListenerHealth(ListenerState.SERVING), 4, requests),
        EndpointHealth("bob", closed, 0, dict.fromkeys(requests, 0)),
    )

    found = read(fleet)

    assert found["refresher_metadata_endpoint_open"] == [({"target": "alice"}, 1), ({"target": "bob"}, 0)]
    assert found["refresher_metadata_connections"] == [({}, 4)]
    assert {labels["outcome"]: value for labels, value in found["refresher_metadata_requests_total"]} == requests


def test_target_that_leaves_takes_its_series_along(fleet: Fleet) -> None:
    """A removed target leaves nothing behind: neither series, nor verdicts, nor jobs."""
    fleet.adopt("alice", "bob")
    fleet.adopt("bob")

    assert "alice" not in fleet.ask("/metrics").body.decode()
    assert fleet.survey.get("alice") is None
    assert fleet.board.get_job("alice").succeeded_at is None


def test_age_of_the_verdicts_is_shown(fleet: Fleet) -> None:
    """The metrics show how old the oldest look at the files is, and how long ago the last tick ended."""
    fleet.adopt("alice")
    fleet.board.note_tick([])
    fleet.clock.pass_(timedelta(seconds=7))

    found = read(fleet)

    assert found["refresher_verdicts_age_seconds"] == [({}, 7)]
    assert found["refresher_last_tick_seconds"] == [({}, 7)]
