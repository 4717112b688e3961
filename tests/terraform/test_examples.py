"""Every example with the emulator: what it creates, that a second plan is empty, the grants, and its destruction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.state import DEFAULT_NUMBER
from tests.terraform.exchanges import Issuer, describe_provider, exchange, impersonate
from tests.terraform.tool import SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.emulator.state import ServiceAccount
    from tests.conftest import Act
    from tests.terraform.conftest import Site
    from tests.terraform.tool import Terraform

pytestmark = pytest.mark.timeout(SECONDS)

POOL = f"projects/{DEFAULT_NUMBER}/locations/global/workloadIdentityPools/workers"
USER = "roles/iam.workloadIdentityUser"
CREATOR = "roles/iam.serviceAccountTokenCreator"
KUBERNETES = "https://cluster.invalid"


def principal(subject: str) -> str:
    """Return a subject as a member of IAM policies."""
    return f"principal://iam.googleapis.com/{POOL}/subject/{subject}"


def list_grants(account: ServiceAccount) -> set[tuple[str, str]]:
    """Return the members of each role on an account."""
    return {(binding.role, member) for binding in account.bindings for member in binding.members}


def account(site: Site, name: str, project: str = "my-project") -> ServiceAccount:
    """Return a service account that must exist."""
    found = site.google.state.service_accounts[f"{name}@{project}.iam.gserviceaccount.com"]
    assert found.deleted_at is None
    return found


def list_living(site: Site) -> list[str]:
    """Return the names of pools and accounts that are not deleted."""
    state = site.google.state
    pools = [name for name, pool in state.pools.items() if pool.deleted_at is None]
    return pools + [name for name, found in state.service_accounts.items() if found.deleted_at is None]


def apply_example(site: Site, terraform: Terraform, *targets: str) -> dict[str, Any]:
    """Apply, check that a second plan is empty, and use the configuration; return the outputs."""
    terraform.apply()
    assert terraform.plan() == {}
    outputs = terraform.output()
    site.write("federation.yaml", outputs["refresher_yaml"])
    site.check(*targets)
    site.host(*targets)
    return outputs


def test_one_user(site: Site, act: Act) -> None:
    """The smallest example enables its APIs; exactly one subject may act as the account, with files only."""
    site.google.state.projects["my-project"].services = {"serviceusage.googleapis.com"}
    terraform = site.root("minimal")
    apply_example(site, terraform, "task-alice")
    site.worker.once()

    provider = site.google.state.pools[POOL].providers["refresher"]
    assert site.google.state.projects["my-project"].services >= {"iam.googleapis.com", "sts.googleapis.com"}
    assert (provider.jwks, provider.condition) == (site.jwks, "assertion.sub.startsWith('user-')")
    assert list_grants(account(site, "task-alice")) == {(USER, principal("user-1042"))}
    answer = act(site.worker.directory("task-alice"), site.google)
    assert answer["service_account"] == "task-alice@my-project.iam.gserviceaccount.com"

    terraform.destroy()

    assert list_living(site) == []


def test_protected_pool_is_not_destroyed(site: Site) -> None:
    """A destroy is refused while the pool is protected, and works once it is not."""
    terraform = site.root("minimal", deletion_protection=True)
    terraform.apply()

    refused = terraform.destroy(status=1)

    assert "Set deletion_protection = false" in refused.text
    assert POOL in list_living(site)

    terraform.set(deletion_protection=False)
    terraform.apply()
    terraform.destroy()

    assert list_living(site) == []


def test_many_users(site: Site, act: Act) -> None:
    """Each user has an account and its additional list_grants, and cannot act as another account."""
    site.google.add_bucket("data")
    users: dict[str, Any] = {
        "alice": {"subject": "user-1042", "buckets": ["data"], "signs": True, "invokes": "api"},
        "bob": {"subject": "user-1043", "people": ["user:bob@example.com"]},
    }
    terraform = site.root("many-users", users=users)
    outputs = apply_example(site, terraform, "alice", "bob")
    site.worker.once()

    alice, bob = account(site, "task-alice"), account(site, "task-bob")
    invokers = site.google.state.run_policies["projects/my-project/locations/europe-west1/services/api"]
    assert list_grants(alice) == {(USER, principal("user-1042")), (CREATOR, f"serviceAccount:{alice.email}")}
    assert list_grants(bob) == {(USER, principal("user-1043")), (CREATOR, "user:bob@example.com")}
    assert [(binding.role, binding.members) for binding in invokers.bindings] == [
        ("roles/run.invoker", {f"serviceAccount:{alice.email}"})
    ]
    assert site.google.state.buckets["data"].policy.bindings[0].members == {f"serviceAccount:{alice.email}"}
    assert outputs["refresher_config"]["suppliers"]["worker"]["claims"] == {"fleet": "batch"}
    for name, found in (("alice", alice), ("bob", bob)):
        assert act(site.worker.directory(name), site.google)["service_account"] == found.email

    point_at(site.worker.directory("bob"), bob.email, alice.email)

    refused = act(site.worker.directory("bob"), site.google)["refused"]
    assert "iam.serviceAccounts.getAccessToken" in refused
    assert "PERMISSION_DENIED" in refused


def test_changes_are_in_place(site: Site, act: Act) -> None:
    """Another user does not change the provider; another condition changes it in place and excludes the others."""
    users = {"alice": {"subject": "user-1042"}}
    terraform = site.root("many-users", users=users)
    terraform.apply()

    terraform.set(users={**users, "carol": {"subject": "user-1044"}})
    added = terraform.plan_resources()
    apply_example(site, terraform, "alice", "carol")
    site.worker.once()

    assert set(map(tuple, added.values())) == {("create",)}
    assert act(site.worker.directory("carol"), site.google)["service_account"].startswith("task-carol@")

    terraform.set(fleet="interactive")
    changed = terraform.plan_resources()
    terraform.apply()

    assert list(changed.values()) == [["update"]]
    assert "rejected by the attribute condition" in act(site.worker.directory("carol"), site.google)["refused"]


def test_kubernetes_as_the_issuer(site: Site, act: Act) -> None:
    """A projected token of the namespace is accepted; the keys are those of the cluster."""
    cluster = Issuer(KUBERNETES)
    path = site.worker.place / "projected"
    terraform = site.root("kubernetes-issuer", cluster_issuer=KUBERNETES)
    (terraform.place / "jwks.json").write_text(cluster.jwks)
    site.supplier = {"path": str(path)}
    outputs = apply_example(site, terraform, "training")
    token = cluster.token("system:serviceaccount:training:training", outputs["audience"])
    site.write("projected", token)
    site.worker.once()

    assert act(site.worker.directory("training"), site.google)["service_account"].startswith("task-training@")


def test_delegation_chain(site: Site) -> None:
    """The chain works in its order, and no shorter chain works."""
    terraform = site.root("delegation-chain")
    apply_example(site, terraform, "target")
    site.worker.once()
    directory = site.worker.directory("target")
    audience = json.loads((directory / "credentials.json").read_text())["audience"]
    federated = exchange(site, audience, (directory / "token").read_text())
    hops = [account(site, name).email for name in ("first-hop", "second-hop")]
    target = account(site, "chain-target").email

    assert list_grants(account(site, "first-hop")) == {(CREATOR, principal("user-1042"))}
    assert list_grants(account(site, "second-hop")) == {(CREATOR, f"serviceAccount:{hops[0]}")}
    assert list_grants(account(site, "chain-target")) == {(CREATOR, f"serviceAccount:{hops[1]}")}
    assert impersonate(site, federated, target, hops) == 200
    assert [impersonate(site, federated, target, chain) for chain in ([], hops[1:], hops[:1], hops[::-1])] == [403] * 4


def test_direct_access(site: Site, act: Act) -> None:
    """Without a service account the subject itself has the role."""
    site.google.add_bucket("data")
    terraform = site.root("direct-access", bucket="data")
    apply_example(site, terraform, "reader")
    site.worker.once()

    assert list_living(site) == [POOL]
    assert site.google.state.buckets["data"].policy.bindings[0].members == {principal("user-1042")}
    assert act(site.worker.directory("reader"), site.google)["principal"] == principal("user-1042")


def test_accounts_in_other_projects(site: Site, act: Act) -> None:
    """Each account is created in the project of its resources, and its containers have that project."""
    site.google.state.add_project("data-project", "222222222222")
    site.google.state.add_project("other-project", "333333333333")
    terraform = site.root("cross-project", data_project_id="data-project", other_project_id="other-project")
    apply_example(site, terraform, "task-alice", "task-bob")
    site.worker.once()

    for name, project in (("task-alice", "data-project"), ("task-bob", "other-project")):
        answer = act(site.worker.directory(name), site.google)
        assert (answer["service_account"], answer["project"]) == (
            f"{name}@{project}.iam.gserviceaccount.com",
            "data-project",
        )


def test_guard_rails(site: Site, act: Act) -> None:
    """Everything that shows and limits misuse is there, in one apply with the pool and an empty plan after it.

    Of two administrators of the pool, only the one whom the deny policy excepts may change the provider.
    """
    for name in ("ann", "eve"):
        site.google.grant("roles/iam.workloadIdentityPoolAdmin", f"user:{name}@example.com")
    terraform = site.root("guardrails")
    outputs = apply_example(site, terraform, "task-alice")
    site.worker.once()

    assert principal("user-1042") in outputs["unexpected_filter"]
    assert {name for name, found in site.google.state.documents.items() if found} >= {"orgPolicies", "denyPolicies"}
    provider = f"{POOL}/providers/refresher"
    assert describe_provider(site, provider, "user:ann@example.com") == 200
    assert describe_provider(site, provider, "user:eve@example.com") == 403
    assert act(site.worker.directory("task-alice"), site.google)["service_account"].startswith("task-alice@")


def test_separate_states(site: Site, act: Act) -> None:
    """The pool and the accounts of two states become one configuration by includes."""
    site.google.state.add_project("team-project", "222222222222")
    pool = site.root("separate-states/pool", default_project_id="team-project")
    pool.apply()
    central = pool.output()
    team = site.root(
        "separate-states/team",
        project_id="team-project",
        pool_name=central["pool_name"],
        provider_name=central["provider_name"],
        subject_prefix=central["subject_prefix"],
        subjects={"task-alice": "user-1042"},
    )
    team.apply()
    site.write("pool.yaml", central["refresher_yaml"])
    site.write("team.yaml", team.output()["refresher_yaml"])
    includes = ("pool.yaml", "team.yaml")
    site.check("task-alice", include=includes)
    site.host("task-alice", include=includes)
    site.worker.once()

    assert (pool.plan(), team.plan()) == ({}, {})
    answer = act(site.worker.directory("task-alice"), site.google)
    assert answer["service_account"] == "task-alice@team-project.iam.gserviceaccount.com"


def point_at(directory: Path, old: str, new: str) -> None:
    """Edit the document of a user like the user himself, to use another account."""
    document = directory / "credentials.json"
    document.chmod(0o600)
    document.write_text(document.read_text().replace(old, new))
