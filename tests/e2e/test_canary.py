"""The canary on the real program: what the cloud side refuses is seen, while all files are fresh."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.program import account_of, until

if TYPE_CHECKING:
    from refresher.emulator.testing import Scenario
    from tests.program import Worker


def test_lost_grant_is_seen_while_the_files_are_fresh(cloud: tuple[Worker, Scenario]) -> None:
    """An identity that lost its grant has the event with the command that grants it again; no other identity has one.

    Once granted, the next token that is published is tried at once, and the recovery is reported.
    """
    worker, google = cloud
    google.add_service_account(account_of("carol"))
    listen = f"unix:{worker.place}/status/http.sock"
    worker.configure("alice", "carol", canary="1m", listen=listen)
    with worker.daemon() as log:
        refused = log.wait_for("exchange.refused")
        log.wait_for("daemon.listening")
        assert refused["identity"] == refused["target"] == "carol"
        assert f"add-iam-policy-binding {account_of('carol')}" in refused["remedy"]
        assert "subject/user-carol" in refused["remedy"]
        assert refused["cause"].startswith("this principal may not act as the account")
        assert {name: each["state"] for name, each in worker.status().items()} == {"alice": "fresh", "carol": "fresh"}
        until(lambda: worker.status()["carol"]["exchange"]["state"] == "refused", what="the refusal in status")
        assert worker.status()["carol"]["exchange"]["remedy"] == refused["remedy"]
        assert (worker.status()["alice"]["exchange"] or {}).get("state") in (None, "accepted")
        shown = worker.command("status").stdout
        assert re.search(r"carol +refused .*\n.*was refused with HTTP 403", shown)
        assert "remedy: grant principal:" in shown
        assert shown.endswith("\nready, but Google does not accept 1 of 2 targets\n")
        google.allow(account_of("carol"), subject="user-carol")
        document = worker.document("alice", "carol", canary="1m", listen=listen)
        document["suppliers"]["worker"]["claims"] = {"team": "research"}
        worker.write(document)
        log.wait_for("exchange.recovered", identity="carol")
        assert len(log.events("exchange.refused")) == 1


def test_refused_identity_with_artifacts_is_one_finding(cloud: tuple[Worker, Scenario]) -> None:
    """Where the identity's refusal is why no access token is minted, `status` and `doctor` show that one cause once."""
    worker, google = cloud
    google.add_service_account(account_of("carol"))
    document = worker.document("alice", "carol", canary="1m", listen=f"unix:{worker.place}/status/http.sock")
    document["targets"]["carol"] = {
        "artifacts": {"access_token": True, "id_tokens": {"api": {"audience": "https://api-xyz.a.run.app"}}}
    }
    worker.write(document)
    with worker.daemon() as log:
        log.wait_for("exchange.refused", target="carol")
        until(
            lambda: (worker.status()["carol"]["exchange"] or {}).get("state") == "refused", what="the refusal in status"
        )
        until(lambda: worker.status()["carol"]["artifacts"][1]["problem"], what="the failure of the second artifact")
        assert len(log.events("exchange.refused")) == 1
        status = worker.command("status").stdout
        doctor = worker.command("doctor", status=None).stdout

    assert re.search(r"absent +access_token", status)
    assert [status.count("remedy: "), doctor.count("remedy: ")] == [1, 1]
    assert "for the same reason: see impersonation (access_token absent, id_tokens/api absent)" in doctor


def test_quota_project_that_the_principal_may_not_use_is_seen(cloud: tuple[Worker, Scenario]) -> None:
    """The canary names the quota project as clients do: without the role there every container fails."""
    worker, _ = cloud
    document = worker.document("alice", "bob", canary="1m")
    document["identities"]["bob"]["quota_project"] = "other-project"
    worker.write(document)
    with worker.daemon() as log:
        refused = log.wait_for("exchange.refused", identity="bob")
        assert "project other-project" in refused["error"]
        assert "gcloud projects add-iam-policy-binding other-project --role=roles/serviceusage." in refused["remedy"]
        assert log.events("exchange.refused", identity="alice") == []


def test_probe_has_a_name_of_its_own_and_asks_for_the_least(cloud: tuple[Worker, Scenario]) -> None:
    """A filter of audit logs can leave probes out by their User-Agent; what they mint lives a second."""
    worker, google = cloud
    google.write_audit_logs()
    worker.configure("alice", canary="5m")
    with worker.daemon() as log:
        log.wait_for("token.published")
        until(lambda: google.journal.entries("generateAccessToken"), what="a probe")
    entries = google.audit_log.entries()
    assert entries
    for entry in entries:
        assert "(canary)" in entry["protoPayload"]["requestMetadata"]["callerSuppliedUserAgent"]


def test_canary_can_be_off_for_all_and_for_one(cloud: tuple[Worker, Scenario]) -> None:
    """`check` shows how often each identity is asked about, and who is not."""
    worker, _ = cloud
    document = worker.document("alice", "bob", canary="10m")
    document["identities"]["bob"]["canary"] = "off"
    worker.write(document)
    assert "every 10m whether it still accepts alice\n" in worker.command("check").stdout
    worker.configure("alice", "bob")
    assert "the canary is off" in worker.command("check").stdout


@pytest.mark.parametrize(("seconds", "way"), [(600, "behind"), (-600, "ahead of")], ids=["behind", "ahead"])
def test_clock_that_is_off_is_named_with_its_offset(cloud: tuple[Worker, Scenario], seconds: int, way: str) -> None:
    """Log, `status` and `wait --exchange` show by how much, in which direction, and how the clock is set."""
    worker, google = cloud
    worker.lifetime = "2m"
    google.clock.advance(timedelta(seconds=seconds))
    worker.configure("alice", canary="1m", listen=f"unix:{worker.place}/status/http.sock")
    with worker.daemon() as log:
        refused = log.wait_for("exchange.refused", identity="alice")
        log.wait_for("daemon.listening")
        until(lambda: worker.status()["alice"]["exchange"], what="the refusal in status")
        shown = worker.command("status").stdout
        waited = worker.command("wait", "--exchange", "--timeout", "0s", status=5).stderr

    words = rf"this machine's clock is (10 min|10 min \d s|9 min 5\d s) {way} 127\.0\.0\.1, by its Date header"
    for text in (refused["error"], shown, waited):
        assert re.search(words, text), text
    for text in (refused["remedy"], shown, waited):
        assert "timedatectl set-ntp true" in text
    assert refused["cause"].startswith("the clock of this machine is")
