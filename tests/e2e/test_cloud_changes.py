"""The cloud side changes under a running daemon: what stops is shown everywhere within a minute, and nothing else is.

All changes of `tests.e2e.cloud_changes` happen at one moment, so that a single minute of the canary serves them all.
"""

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from refresher.emulator.testing import PROVIDER, emulator
from tests.e2e.cloud_changes import CHANGES, Change, Site
from tests.program import Log, Worker, secret_in, stretch, until
from tests.status_socket import ask

CADENCE = 60
SLACK = 10
"""Seconds of a busy machine, and of the five probes that begin in a second."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("cloud-changes")]


@dataclass(kw_only=True)
class Shown:
    """What the surfaces show at one moment, by identity.

    Attributes:
        status_json: The entries of `exchanges` in `/status.json`.
        command_json: The entries of `exchange` in `status --json`.
        command: The text of `status`.
        metrics: The samples of metrics with a label `identity`.
        page: The text of the status page.
        ready: The answers of `/readyz/TARGET?exchange`.
    """

    status_json: dict[str, dict[str, Any]]
    command_json: dict[str, dict[str, Any]]
    command: str
    metrics: dict[str, dict[str, float]]
    page: str
    ready: dict[str, str]


@dataclass(kw_only=True)
class Observed:
    """What happened around all changes.

    Attributes:
        sites: By the name of the change.
        limits: How many seconds the canary had to see all changes, and to see all undone.
        shown: What was shown when all changes were known, and when all were undone.
        refused: The events of refusals by identity, each with the seconds since the change.
        early: The same of recoveries before anything was undone.
        recovered: The same of recoveries, since the undoing.
        doctor: The failed findings of `refresher doctor` by target, begun right after the changes, with its duration.
        waited: The same of `refresher wait --exchange`.
    """

    sites: dict[str, Site]
    limits: tuple[float, float]
    shown: tuple[Shown, Shown]
    refused: dict[str, list[tuple[float, dict[str, Any]]]]
    early: dict[str, list[tuple[float, dict[str, Any]]]]
    recovered: dict[str, list[tuple[float, dict[str, Any]]]]
    doctor: tuple[float, dict[str, list[dict[str, Any]]]]
    waited: tuple[float, CompletedProcess[str]]


def names_of(name: str, change: Change, *, hit: bool = True) -> list[str]:
    """Return the identities of a change's site that it stops, or those that it does not."""
    return [f"{name}-{letter}" for letter in "ab" if (letter in change.hits) is hit]


MINTED = "provider-disabled-a"
"""A target with an access token, which the grant of an earlier exchange goes on minting."""
HIT = {identity for name, change in CHANGES.items() for identity in names_of(name, change)}
SPARED = {identity for name, change in CHANGES.items() for identity in names_of(name, change, hit=False)}


def configure(worker: Worker, sites: dict[str, Site], listen: str) -> None:
    """Write a configuration of all sites, with a canary as frequent as it can be."""
    document = worker.document(*sorted(HIT | SPARED), listen=listen, canary="1m")
    supplier = document["suppliers"].pop("worker")
    document["providers"] = {
        name: {"project_number": site.number, "pool": name, "provider": PROVIDER} for name, site in sites.items()
    }
    document["suppliers"] = {name: supplier | {"provider": name} for name in sites}
    for name, site in sites.items():
        for letter in "ab":
            usual = {"service_account": site.email(letter), "subject": f"{name}-{letter}", "supplier": name}
            wanted = usual | CHANGES[name].prepare(site, letter)
            present = {key: value for key, value in wanted.items() if value is not None}
            document["identities"][f"{name}-{letter}"] = present
    document["targets"][MINTED] = {"artifacts": {"access_token": True}}
    worker.write(document)


def list_events(log: Log, name: str, since: float) -> dict[str, list[tuple[float, dict[str, Any]]]]:
    """Return the events of a name by identity, each with the seconds since a moment."""
    found: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    for event in log.events(name):
        seconds = time.mktime(time.strptime(event["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - since
        for identity in str(event.get("identity", event.get("identities"))).split(", "):
            found.setdefault(identity, []).append((seconds, event))
    return found


def look(worker: Worker, path: Path) -> Shown:
    """Return what all surfaces show now."""
    metrics: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(ask(path, "/metrics").body):
        for sample in family.samples:
            if "identity" in sample.labels:
                metrics.setdefault(sample.name, {})[sample.labels["identity"]] = sample.value
    status = ask(path, "/status.json").read_json()
    return Shown(
        status_json={each["identity"]: each for each in status["exchanges"]},
        command_json={name: each["exchange"] for name, each in worker.status().items()},
        command=worker.command("status").stdout,
        metrics=metrics,
        page=unescape(re.sub("</?code>", "`", ask(path, "/").body)),
        ready={name: ask(path, f"/readyz/{name}?exchange").body for name in sorted(HIT | SPARED)},
    )


def run_timed(worker: Worker, *arguments: str) -> tuple[float, CompletedProcess[str]]:
    """Run a command, and return how many seconds it took."""
    began = time.monotonic()
    done = worker.command(*arguments, status=None)
    return time.monotonic() - began, done


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Make all changes at once under a running daemon, undo them a minute later, and return what was seen."""
    place = tmp_path_factory.mktemp("changes")
    path = place / "status" / "http.sock"
    with emulator() as google:
        origins = dict.fromkeys(("sts", "iam_credentials", "cloud_kms", "metadata"), google.http)
        worker = Worker(place=place, google={"emulator": True, "endpoints": origins})
        jwks = worker.make_keys()
        sites = {
            name: Site(google=google, name=name, number=f"1000000{number:02}") for number, name in enumerate(CHANGES)
        }
        for site in sites.values():
            site.create(jwks)
        configure(worker, sites, f"unix:{path}")
        with worker.daemon() as log:
            log.wait_for("daemon.listening")
            until(lambda: count(path, "accepted") == len(HIT | SPARED), what="all identities accepted")
            assert not log.events("exchange.refused")
            changed = time.time()
            undoings = [CHANGES[name].make(site) for name, site in sites.items()]
            with ThreadPoolExecutor(2) as threads:
                doctor = threads.submit(run_timed, worker, "doctor", "--json")
                waited = threads.submit(run_timed, worker, "wait", "--exchange", "--timeout", "0s")
            refused_in = wait_for_canary(log, changed, lambda: count(path, "refused") >= len(HIT))
            shown = look(worker, path)
            refused = list_events(log, "exchange.refused", changed)
            (worker.directory(MINTED) / "access_token").unlink()
            log.wait_for("artifact.published", count=2, target=MINTED)
            early = list_events(log, "exchange.recovered", changed)
            undone = time.time()
            for undo in undoings:
                undo()
            recovered_in = wait_for_canary(log, undone, lambda: count(path, "accepted") == len(HIT | SPARED))
            yield Observed(
                sites=sites,
                limits=(refused_in, recovered_in),
                shown=(shown, look(worker, path)),
                refused=refused,
                early=early,
                recovered=list_events(log, "exchange.recovered", undone),
                doctor=(doctor.result()[0], list_failed(doctor.result()[1].stdout)),
                waited=waited.result(),
            )
            assert log.end(signal.SIGTERM) == 0
    assert secret_in(worker.everything_printed()) is None


def list_failed(report: str) -> dict[str, list[dict[str, Any]]]:
    """Return the failed findings of a report of `doctor --json`, by target."""
    targets = json.loads(report)["targets"]
    return {each["name"]: [found for found in each["findings"] if found["state"] == "failed"] for each in targets}


def count(path: Path, state: str) -> int:
    """Return how many identities are in a state, as the daemon shows it."""
    return [each["state"] for each in ask(path, "/status.json").read_json()["exchanges"]].count(state)


def wait_for_canary(log: Log, since: float, condition: Callable[[], bool]) -> float:
    """Wait until a condition is true, or the canary had its time; return how many seconds that was.

    What is then missing is seen by the tests. How long this machine stood still is added to the canary's time, and so
    is the pause of all probes that follows an unanswered one.
    """
    stood_still = 0.0
    while True:
        began = time.monotonic()
        limit = CADENCE + stretch(SLACK) + stood_still + CADENCE * bool(log.events("exchange.unanswered"))
        if condition() or time.time() > since + limit:
            return limit
        time.sleep(0.1)
        stood_still += max(0.0, time.monotonic() - began - 0.5)


@pytest.mark.parametrize("name", CHANGES)
def test_change_of_the_cloud_side_is_shown_with_its_cause_and_remedy(observed: Observed, name: str) -> None:
    """Event, `status`, `/status.json`, metric, page and probe show what a change stops, and why, within a minute."""
    change, shown = CHANGES[name], observed.shown[0]
    cause, remedy = (text.format(name=name) for text in (change.cause, change.remedy))

    for identity in names_of(name, change):
        ((seconds, event),) = observed.refused[identity]
        assert seconds < observed.limits[0]
        assert (cause in event["cause"], remedy in event["remedy"]) == (True, True), event
        for found in (shown.status_json[identity], shown.command_json[identity]):
            assert found["state"] == "refused"
            assert (found["problem"], found["cause"], found["remedy"]) == (
                event["error"],
                event["cause"],
                event["remedy"],
            )
        for text in (event["error"], event["cause"], event["remedy"]):
            assert text in shown.command
        assert event["cause"] in shown.page
        assert f'q={identity}"' in shown.page
        page_remedies = (event["remedy"].replace(identity, each) for each in names_of(name, change))
        assert any(text in shown.page for text in page_remedies), "the finding of both is about one of them"
        assert remedy in shown.ready[identity]
        assert shown.metrics["refresher_exchange_refused"][identity] == 1


def test_artifact_minted_by_an_earlier_grant_is_no_recovery(observed: Observed) -> None:
    """The grant of an exchange outlives its provider: what it still mints ends no refusal."""
    assert observed.early == {}


def test_only_what_a_change_stops_is_shown(observed: Observed) -> None:
    """No identity of another provider, and no neighbour that a change spares, is shown as refused anywhere."""
    shown = observed.shown[0]

    assert set(observed.refused) == HIT
    for found in (shown.status_json, shown.command_json):
        assert {name for name, each in found.items() if each["state"] != "accepted"} == HIT
        assert {name for name, each in found.items() if each["problem"] is None} == SPARED
    assert {name for name, value in shown.metrics["refresher_exchange_refused"].items() if value} == HIT
    assert {name for name, body in shown.ready.items() if body == "ready\n"} == SPARED
    assert not [name for name in SPARED if f"Google refuses identity {name}" in shown.page]


@pytest.mark.parametrize("name", [name for name in CHANGES if CHANGES[name].hits])
def test_undone_change_is_shown_as_a_recovery(observed: Observed, name: str) -> None:
    """Once a change is undone, each identity that it stopped recovers within a minute, and no surface shows it."""
    shown = observed.shown[1]

    for identity in names_of(name, CHANGES[name]):
        ((seconds, event),) = observed.recovered[identity]
        assert seconds < observed.limits[1]
        assert event["failures"] >= 1
        assert shown.status_json[identity]["state"] == shown.command_json[identity]["state"] == "accepted"
        assert shown.metrics["refresher_exchange_refused"][identity] == 0
        assert shown.ready[identity] == "ready\n"
        assert f"refuses identity {identity}" not in shown.page


@pytest.mark.parametrize("name", CHANGES)
def test_doctor_and_wait_show_a_change_at_once(observed: Observed, name: str) -> None:
    """Asked right after the change, `doctor` and `wait --exchange` show it, its remedy, and no other target."""
    change, (_, waited) = CHANGES[name], observed.waited
    remedy = change.remedy.format(name=name)
    accepted = [line for line in waited.stderr.splitlines() if ": exchanged, acts as " in line]

    for identity in names_of(name, change):
        findings = observed.doctor[1][identity]
        assert [remedy in each["remedy"] for each in findings] == [True], findings
        assert remedy in waited.stderr
        assert not [line for line in accepted if line.startswith(f"{identity}:")]
    for identity in names_of(name, change, hit=False):
        assert observed.doctor[1][identity] == []
        assert [line for line in accepted if line.startswith(f"{identity}:")]


def test_doctor_and_wait_take_seconds(observed: Observed) -> None:
    """Both have asked about all identities in seconds, and their exit status shows that Google refuses some."""
    assert observed.doctor[0] < stretch(30)
    assert observed.waited[0] < stretch(30)
    assert observed.waited[1].returncode == 5
