"""`refresher doctor` on the emulator: a broken chain shows its link and remedy, a healthy one shows nothing."""

import json
import os
import pty
import signal
import subprocess
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from refresher.app.programs import refresh_once
from refresher.cli.command import select_targets
from refresher.config.loader import load
from refresher.doctor.chain import NAMES
from refresher.doctor.diagnosis import State
from refresher.doctor.report import Report, Request, check_up
from refresher.emulator.testing import Scenario
from refresher.keys.directory import create, read_jwks
from tests.e2e.doctor_causes import CAUSES
from tests.e2e.doctor_site import MACHINE, Site
from tests.program import COMMAND, ISSUER, Worker, account_of, secret_in, until

CREATOR = "roles/iam.serviceAccountTokenCreator"
SERVICES = ("sts", "iam_credentials", "cloud_kms", "metadata")


@pytest.fixture
def site(google_emulator: Scenario, tmp_path: Path) -> Site:
    """Return a worker whose chain of alice is healthy and published."""
    google, origins = google_emulator, dict.fromkeys(SERVICES, google_emulator.http)
    worker = Worker(place=tmp_path, google={"emulator": True, "endpoints": origins})
    create(tmp_path / "keys", algorithm="ES256", now=datetime.now(UTC))
    google.add_provider(issuer=ISSUER, jwks=read_jwks(tmp_path / "keys"))
    google.allow(account_of("alice"), subject="user-alice")
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


def find(report: Report, link: str) -> Any:  # noqa: ANN401 - a finding
    """Return the only finding about a link."""
    (found,) = [finding for finding in list_findings(report) if finding.link == link]
    return found


def test_offline_asks_no_server(site: Site) -> None:
    """With --offline what needs the network is skipped, and what does not is still checked."""
    before = len(site.google.journal.entries())

    report = check(site, is_offline=True)

    assert len(site.google.journal.entries()) == before
    assert {finding.state for finding in list_findings(report)} == {State.OK, State.SKIPPED}
    assert [find(report, link).state for link in ("supplier", "subject token", "file")] == [State.OK] * 3
    assert find(report, "exchange").evidence == "not tried: --offline"
    assert report.status == 0


def test_worker_that_may_act_as_users_is_a_warning(site: Site) -> None:
    """Token Creator of the worker's own account on a user's account is shown, with both names."""
    site.use_machine_account()
    site.google.allow_member(account_of("alice"), f"serviceAccount:{MACHINE}", CREATOR)

    report = check(site)

    found = find(report, "worker")
    assert (found.state, found.entry) == (State.WARNING, "worker-creator")
    assert account_of("alice") in found.remedy
    assert "getAccessToken" in found.evidence
    assert report.status == 0


def test_rights_that_can_not_be_asked_for_are_unknown(site: Site) -> None:
    """Without an account of the machine, or where Google refuses, the worker's rights are unknown and never fine."""
    without_account = check(site)
    site.use_machine_account()
    site.google.faults.add("iam.serviceAccounts.testIamPermissions", status=403, times=20)

    refused = check(site)

    assert find(without_account, "worker").state is State.UNKNOWN
    assert find(refused, "worker").state is State.UNKNOWN
    assert find(refused, "worker").evidence


def test_targets_of_one_identity_share_one_exchange(site: Site) -> None:
    """However many targets an identity has, STS is asked once for it."""
    site.document["targets"] = {f"alice-{number}": {"identity": "alice"} for number in range(5)}
    before = len(site.google.journal.entries())

    report = check(site)

    operations = [entry.operation for entry in site.google.journal.entries()[before:]]
    assert operations.count("sts.token") == 1
    assert len(report.targets) == 5


def test_named_target_alone_is_checked(site: Site) -> None:
    """Of several targets only the named ones are in the report."""
    site.document["targets"] = {"alice": {}, "other": {"identity": "alice"}}

    report = check(site, "other")

    assert list(report.targets) == ["other"]


def test_lacking_artifact_is_minted_to_see_why(site: Site) -> None:
    """An optional artifact that does not serve shows what Google answers now: a refusal, or that it would issue it."""
    site.document["targets"] = {"alice": {"artifacts": {"id_tokens": {"api": {"audience": "https://api.example"}}}}}
    lacking = check(site)
    site.google.faults.add("iamcredentials.generateIdToken", refusal="I1", times=20)

    refused = check(site)

    assert (find(lacking, "optional artifacts").entry, lacking.status) == ("artifact-missing", 6)
    assert find(refused, "optional artifacts").entry == "I1-openid"
    assert "id_tokens/api" in find(refused, "optional artifacts").evidence


def test_identity_without_a_pool_needs_no_exchange(site: Site) -> None:
    """With via: impersonation the worker's own account impersonates, and the links of a pool are skipped."""
    site.use_machine_account()
    site.google.allow_member(account_of("alice"), f"serviceAccount:{MACHINE}", CREATOR)
    site.document["identities"]["alice"] |= {"via": "impersonation"}
    site.document["targets"] = {"alice": {"artifacts": {"access_token": True}}}

    report = check(site)

    assert find(report, "supplier").state is State.OK
    assert find(report, "exchange").state is State.SKIPPED
    assert find(report, "impersonation").state is State.OK


@pytest.mark.slow
def test_thousand_targets_end_in_thirty_seconds(site: Site) -> None:
    """A thousand identities, each with its own exchange and impersonation, are checked in time."""
    names = [f"user-{number}" for number in range(1000)]
    for name in names:
        site.google.allow(account_of(name), subject=f"user-{name}")
    site.document = site.worker.document(*names)
    began = time.monotonic()

    report = check(site)

    assert time.monotonic() - began < 30
    assert len(report.targets) == 1000
    assert {findings[6].state for findings in report.targets.values()} == {State.OK}


def test_silent_google_does_not_keep_a_fleet_waiting(site: Site) -> None:
    """A server that does not answer is not asked a thousand times: every target fails, and soon."""
    site.document = site.worker.document(*(f"user-{number}" for number in range(200)))
    site.document["google"]["endpoints"]["sts"] = "http://127.0.0.1:9"
    began = time.monotonic()

    report = check(site)

    assert time.monotonic() - began < 20
    assert {findings[5].state for findings in report.targets.values()} == {State.FAILED}


def test_command_shows_what_is_wrong_first(site: Site) -> None:
    """The command prints the problem with cause, remedy and source before the chain, and exits as its stage."""
    site.google.state.service_accounts[account_of("alice")].policy.bindings.clear()

    done = site.worker.command("doctor", status=5)

    lines = done.stdout.splitlines()
    assert lines[0].startswith("✗ impersonation: generateAccessToken of alice@")
    assert [line.split()[0] for line in lines[1:5]] == ["cause:", "remedy:", "source:", "targets:"]
    assert lines[-1] == "1 target checked, 1 broken, 1 link unknown"
    assert secret_in(done.stdout + done.stderr) is None


def test_json_has_every_link_of_every_target(site: Site) -> None:
    """The JSON lists all findings with their fields, whatever is wrong."""
    site.provider.disabled = True

    document = json.loads(site.worker.command("doctor", "--json", "alice", status=5).stdout)

    assert (document["ok"], document["exit_status"]) == (False, 5)
    (target,) = document["targets"]
    broken = next(each for each in target["findings"] if each["link"] == "exchange")
    assert broken.keys() == {
        *("link", "state", "evidence", "cause", "remedy", "entry", "source", "verified", "exit_status"),
    }
    assert (broken["entry"], broken["exit_status"], broken["verified"]) == ("E4", 5, True)
    assert [each["link"] for each in (*document["worker"], *target["findings"])] != []
    assert {each["link"] for each in (*document["worker"], *target["findings"])} == set(NAMES)


def test_container_is_looked_into_by_name(site: Site) -> None:
    """With --container the engine is asked for the process, whose variables are missing here; exit 6."""
    programs = site.worker.place / "bin"
    programs.mkdir()
    (programs / "podman").write_text(f"#!/bin/sh\necho {os.getpid()}\n")
    (programs / "podman").chmod(0o755)
    site.worker.environment = {"PATH": f"{programs}:{os.environ['PATH']}"}

    done = site.worker.command("doctor", "--container", "box", "--json", status=6)

    (target,) = json.loads(done.stdout)["targets"]
    found = {each["link"]: each for each in target["findings"]}
    assert found["container"]["state"] == "ok", found["container"]
    assert found["variables"]["entry"] == "variables-unset"


def test_message_of_a_client_is_explained(site: Site) -> None:
    """With --explain a message leads to cause, remedy and source, and an unknown one to an error."""
    known = site.worker.run("doctor", "--explain", "RefreshError: Missing subject_token in the credential_source file")
    unknown = site.worker.run("doctor", "--explain", "something else", status=2)

    assert [line.split()[0] for line in known.stdout.splitlines()] == ["cause:", "remedy:", "source:"]
    assert "not in the catalogue" in unknown.stderr


def test_bundle_has_what_a_ticket_needs_and_no_secret(site: Site) -> None:
    """The archive holds the commands' output, versions and the given log, in which tokens and keys are blanked."""
    bundle, log = site.worker.place / "ticket.tar.gz", site.worker.place / "log"
    key = (next((site.worker.place / "keys").glob("*.pem"))).read_text()
    log.write_text(f"a line\n{site.worker.token('alice')}\n{key}ya29.c.b0Aa\nthe end\n")

    site.worker.command("doctor", "--bundle", str(bundle), "--log", str(log))

    with tarfile.open(bundle) as archive:
        files = {name: archive.extractfile(name) for name in archive.getnames()}
        texts = {Path(name).name: file.read().decode() for name, file in files.items() if file is not None}
    assert texts.keys() == {"doctor.json", "status.json", "check.txt", "versions.json", "log.txt"}
    assert json.loads(texts["doctor.json"])["ok"]
    assert json.loads(texts["status.json"])["ready"]
    assert texts["log.txt"].split() == ["a", "line", "…", "…", "…", "the", "end"]
    assert secret_in("".join(texts.values())) is None
    assert bundle.stat().st_mode & 0o777 == 0o600
    assert "cannot be written: File exists" in site.worker.command("doctor", "--bundle", str(bundle), status=2).stderr


def test_progress_is_shown_on_a_terminal_alone(site: Site) -> None:
    """On a terminal standard error counts the targets; in a file it stays empty."""
    main, terminal = pty.openpty()
    command = [*COMMAND, "doctor", "--config", str(site.worker.configuration)]
    try:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, check=True)
        shown = os.read(main, 4096).decode()
    finally:
        os.close(main)
        os.close(terminal)

    assert "1 of 1 targets tried" in shown
    assert site.worker.command("doctor").stderr == ""


def test_stopped_daemon_is_named(site: Site) -> None:
    """A daemon that is stopped is a broken link of its own, with the command that resumes it."""
    with site.worker.daemon() as log:
        log.wait_for("daemon.ready")
        running = check(site)
        log.send(signal.SIGSTOP)
        until(lambda: find(check(site), "daemon").state is State.FAILED, what="the stopped daemon")
        stopped = check(site)
        log.send(signal.SIGCONT)

    assert find(running, "daemon").state is State.OK
    assert "kill -CONT" in find(stopped, "daemon").remedy
    assert stopped.status == 6
