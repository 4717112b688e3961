"""`refresher doctor` on the emulator: a broken chain shows its link and remedy, a healthy one shows nothing."""

import os
import signal
import time

import pytest

from refresher.doctor.chain import NAMES
from refresher.doctor.diagnosis import State
from refresher.doctor.links.supply import CREDENTIALS
from refresher.doctor.report import Report
from refresher.emulator.state import Project
from refresher.errors import UsageError
from tests.conftest import Need
from tests.e2e.doctor_causes import CAUSES
from tests.e2e.doctor_site import MACHINE, Site, check, find, identity, list_findings
from tests.program import account_of, until

CREATOR = "roles/iam.serviceAccountTokenCreator"


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
    assert set(NAMES) - {finding.link for finding in list_findings(report)} <= {CREDENTIALS}


def test_at_least_forty_causes_are_proven() -> None:
    """The table breaks enough different chains to be worth its name."""
    assert len(CAUSES) >= 40


def test_healthy_chain_shows_no_warning(site: Site) -> None:
    """Nothing is wrong with a healthy chain, and every link that can be checked here is fine."""
    read_policies(site)

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


def test_offline_asks_no_server(site: Site) -> None:
    """With --offline what needs the network is skipped, and what does not is still checked."""
    before = len(site.google.journal.entries())

    report = check(site, is_offline=True)

    assert len(site.google.journal.entries()) == before
    assert {finding.state for finding in list_findings(report)} == {State.OK, State.SKIPPED}
    assert [find(report, link).state for link in ("supplier", "subject token", "file")] == [State.OK] * 3
    assert find(report, "exchange").evidence == "not tried: --offline"
    assert report.status == 0


def test_worker_that_may_act_as_users_fails(site: Site) -> None:
    """Token Creator of the worker's own account on a user's account is shown, with both names."""
    site.use_machine_account()
    site.google.allow_member(account_of("alice"), f"serviceAccount:{MACHINE}", CREATOR)

    report = check(site)

    found = find(report, "worker")
    assert (found.state, found.entry) == (State.FAILED, "worker-creator")
    assert account_of("alice") in found.remedy
    assert "getAccessToken" in found.evidence
    assert f"from serviceAccount:{MACHINE} on" in found.remedy
    assert report.status == 5


POOL = "principalSet://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers"


def add_bob(site: Site) -> None:
    """Configure a second identity of the pool, with an account of its own."""
    site.google.allow(account_of("bob"), subject="user-bob")
    site.document["identities"]["bob"] = {"service_account": account_of("bob"), "subject": "user-bob"}
    site.document["targets"]["bob"] = {}


def read_policies(site: Site) -> None:
    """Allow the worker's own account to read the policies of all accounts."""
    site.use_machine_account()
    site.google.grant("roles/iam.securityReviewer", f"serviceAccount:{MACHINE}")


def find_grants(report: Report) -> list[tuple[State, str]]:
    """Return state and entry of what is found about the accounts' bindings."""
    return [(each.state, each.entry) for each in report.worker if each.link == "grants"]


@pytest.mark.parametrize("member", [f"{POOL}/*", "allAuthenticatedUsers"])
def test_binding_to_everybody_fails_with_the_command_that_removes_it(site: Site, member: str) -> None:
    """A user's account that the whole pool may act as is shown, with the line of gcloud and of Terraform."""
    read_policies(site)
    healthy = check(site)
    site.google.allow_member(account_of("alice"), member)

    report = check(site)

    found = find(report, "grants")
    assert find_grants(healthy) == [(State.OK, "")]
    assert find_grants(report) == [(State.FAILED, "grant-everyone")]
    assert (healthy.status, report.status) == (0, 5)
    assert f"{member} has roles/iam.workloadIdentityUser on {account_of('alice')}" in found.evidence
    assert (
        f"gcloud iam service-accounts remove-iam-policy-binding {account_of('alice')} --project=my-project "
        f"--role=roles/iam.workloadIdentityUser --member='{member}'"
    ) in found.remedy
    assert f'google_service_account_iam_member with member = "{member}"' in found.remedy


def test_set_that_is_bound_to_two_accounts_fails(site: Site) -> None:
    """Who is in a set may act as each account that the set is bound to; on one account alone it proves nothing."""
    read_policies(site)
    add_bob(site)
    site.google.allow_member(account_of("alice"), f"{POOL}/attribute.team/research")
    alone = check(site)
    site.google.allow_member(account_of("bob"), f"{POOL}/attribute.team/research")

    assert find_grants(alone) == [(State.OK, "")]
    assert find_grants(check(site)) == [(State.FAILED, "grant-set")] * 2


def test_identity_that_may_act_as_another_is_found_without_reading_policies(site: Site) -> None:
    """Each identity's own token shows what it may do on the next account; the binding itself stays unknown."""
    add_bob(site)
    separate = check(site)
    site.google.grant("roles/iam.serviceAccountTokenCreator", f"{POOL}/*")

    report = check(site)

    assert find_grants(separate) == [(State.UNKNOWN, "")]
    assert find_grants(report)[:2] == [(State.FAILED, "grant-crossed")] * 2
    evidence = " ".join(each.evidence for each in report.worker)
    assert "subject/user-bob has iam.serviceAccounts.getAccessToken" in evidence


def test_policy_that_can_not_be_read_is_unknown(site: Site) -> None:
    """Without the right to read them, the bindings are unknown and never fine; the remedy shows how to look."""
    site.use_machine_account()

    found = find(check(site), "grants")

    assert found.state is State.UNKNOWN
    assert "getIamPolicy" in found.evidence
    assert "; no pool has a second account here whose identity was exchanged, so none was tried" in found.evidence
    assert ".;" not in found.evidence
    assert f"gcloud iam service-accounts get-iam-policy {account_of('alice')}" in found.remedy


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


CONSUMER = "roles/serviceusage.serviceUsageConsumer"
PRINCIPAL = (
    "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/"
    "subject/user-alice"
)


def test_quota_project_is_asked_for_as_clients_do(site: Site) -> None:
    """Clients name the quota project as the principal, and then as the account: each of both needs the role there."""
    site.google.state.projects["payer-project"] = Project(number="9")
    identity(site, quota_project="payer-project")
    neither = check(site)
    site.google.grant(CONSUMER, PRINCIPAL, project="payer-project")
    principal = check(site)
    site.google.grant(CONSUMER, f"serviceAccount:{account_of('alice')}", project="payer-project")
    both = check(site)

    for report in (neither, principal):
        found = find(report, "impersonation")
        assert (found.state, found.entry, report.status) == (State.FAILED, "I12", 5), found
        assert f"--member='{PRINCIPAL}'" in found.remedy
        assert f"--member='serviceAccount:{account_of('alice')}'" in found.remedy
    assert "testIamPermissions" in find(principal, "impersonation").evidence
    assert find(both, "impersonation").state is State.OK


def test_quota_project_that_can_not_be_asked_for_is_no_failure(site: Site) -> None:
    """Where the account's own right is not known, the impersonation is fine, and the evidence shows what is not."""
    identity(site, quota_project="my-project")
    site.google.grant(CONSUMER, PRINCIPAL, project="my-project")
    site.google.faults.add("iam.serviceAccounts.testIamPermissions", status=503, times=20)

    found = find(check(site), "impersonation")

    assert found.state is State.OK
    assert "whether it may use quota project my-project is not known" in found.evidence


def test_quota_project_of_direct_access_is_asked_for(site: Site) -> None:
    """Without a service account the principal itself names the quota project, and needs the role there."""
    site.google.state.projects["payer-project"] = Project(number="9")
    del site.document["identities"]["alice"]["service_account"]
    identity(site, quota_project="payer-project")
    refused = check(site)
    site.google.grant(CONSUMER, PRINCIPAL, project="payer-project")
    granted = check(site)

    assert (find(refused, "impersonation").entry, refused.status) == ("I12", 5)
    assert f"--member='{PRINCIPAL}'" in find(refused, "impersonation").remedy
    assert find(granted, "impersonation").state is State.SKIPPED


def test_identity_without_a_pool_needs_no_exchange(site: Site) -> None:
    """With via: impersonation the worker's own account impersonates, and the chain has no link of a pool."""
    site.use_machine_account()
    site.google.allow_member(account_of("alice"), f"serviceAccount:{MACHINE}", CREATOR)
    site.document["identities"]["alice"] = {"service_account": account_of("alice"), "via": "impersonation"}

    report = check(site)

    assert find(report, "worker's credentials").state is State.OK
    assert find(report, "impersonation").state is State.OK
    assert find(report, "file").evidence == "the access token of target alice is absent"
    assert not {"supplier", "subject token", "exchange"} & {each.link for each in list_findings(report)}


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


def test_another_user_leaves_the_supplier_alone(site: Site, need: Need) -> None:
    """Who is not the daemon's user, as root mostly is, exchanges the published token and sees how to do more."""
    need.root()
    keys = site.worker.place / "keys"
    for path in (site.worker.root, *site.worker.root.rglob("*"), keys, *keys.iterdir()):
        os.chown(path, 33, 33)

    report = check(site)

    assert find(report, "supplier").state is State.UNKNOWN
    assert "refresher doctor" in find(report, "supplier").remedy
    assert find(report, "subject token").evidence.startswith("the published one")
    assert find(report, "impersonation").state is State.OK
    assert report.status == 0


def test_refused_drop_in_can_be_named(site: Site) -> None:
    """A target whose drop-in is refused is reported by its configuration, next to the others that were named."""
    site.worker.drop_in("bob", identity="nobody")
    site.document["targets_directory"] = str(site.worker.drop_ins)

    alone, both = check(site, "bob"), check(site, "bob", "alice")

    assert (list(alone.targets), list(both.targets)) == ([], ["alice"])
    assert (alone.status, both.status) == (2, 2)
    assert "bob.yaml" in alone.worker[0].evidence


def test_unknown_target_is_an_error(site: Site) -> None:
    """A name that no target and no drop-in has is an error of the command line."""
    with pytest.raises(UsageError, match="there is no target alcie"):
        check(site, "alcie")
