"""`refresher doctor` on the emulator: a broken chain shows its link and remedy, a healthy one shows nothing."""

import json
from typing import Any

import pytest

from refresher.app.programs import refresh_once
from refresher.cli.command import select_targets
from refresher.config.loader import load
from refresher.doctor.chain import NAMES
from refresher.doctor.finding import State
from refresher.doctor.report import Report, Request, check_up
from refresher.emulator.testing import Scenario
from tests.e2e.doctor_causes import CAUSES
from tests.e2e.doctor_site import Site
from tests.program import Worker, secret_in

CREATOR = "roles/iam.serviceAccountTokenCreator"


@pytest.fixture
def site(cloud: tuple[Worker, Scenario]) -> Site:
    """Return a worker whose chain of alice is healthy and published."""
    worker, google = cloud
    document = worker.document("alice")
    worker.write(document)
    outcomes = refresh_once(load(worker.configuration), ["alice"], force=False)
    assert [outcome.error for outcome in outcomes.values()] == [None]
    return Site(worker=worker, google=google, document=document)


def check(site: Site, *names: str, is_offline: bool = False) -> Report:
    """Write the configuration, check everything, and return the report; it must not contain a secret."""
    site.worker.write(site.document)
    report = check_up(
        Request(
            path=site.worker.configuration,
            names=names,
            is_offline=is_offline,
            select=select_targets,
            report=lambda *_: None,
        )
    )
    assert secret_in(json.dumps(report.to_json())) is None
    return report


def list_findings(report: Report) -> list[Any]:
    """Return all findings in the order of the chain."""
    found = [*report.worker, *(each for findings in report.targets.values() for each in findings)]
    return sorted(found, key=lambda finding: NAMES.index(finding.link))


@pytest.mark.parametrize("name", CAUSES)
def test_broken_chain_shows_its_link_and_remedy(site: Site, name: str) -> None:
    """The first link that fails is the one that was broken, with the remedy for it; every link is reported."""
    cause = CAUSES[name]

    cause.break_chain(site)
    report = check(site)

    states = (State.FAILED,) if cause.status else (State.WARNING,)
    wrong = [finding for finding in list_findings(report) if finding.state in states]
    assert wrong, "nothing is wrong"
    assert (wrong[0].link, cause.remedy in wrong[0].remedy) == (cause.link, True), wrong[0]
    assert report.status == cause.status
    assert wrong[0].remedy
    assert {finding.link for finding in list_findings(report)} == set(NAMES)


def test_at_least_forty_causes_are_proven() -> None:
    """The table breaks enough different chains to be worth its name."""
    assert len(CAUSES) >= 40


def test_healthy_chain_shows_no_warning(site: Site) -> None:
    """Nothing is wrong with a healthy chain, and every link that can be checked here is fine."""
    site.use_machine_account()

    report = check(site)

    findings = list_findings(report)
    assert {finding.state for finding in findings} == {State.OK, State.SKIPPED}
    assert [finding.link for finding in findings if finding.state is State.SKIPPED] == [
        "optional artifacts",
        "container",
        "variables",
        "network",
        "metadata server",
    ]
    assert report.status == 0
