"""Protection protects users: what is refused is refused before a grant or an account is touched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.terraform.test_examples import POOL, USER, account, list_grants, list_living, principal
from tests.terraform.tool import SECONDS, Terraform

if TYPE_CHECKING:
    from tests.terraform.conftest import Site

pytestmark = pytest.mark.timeout(SECONDS)

EMAIL = "task-alice@my-project.iam.gserviceaccount.com"
ALICE = {"subject": "user-1042", "project_roles": {"my-project": ["roles/bigquery.jobUser"]}, "signing": True}
BOB = {"subject": "user-1043", "service_account": {"account_id": "task-of-bob"}}
IDENTITIES = {"task-alice": ALICE, "bob": BOB}
REFUSED: dict[str, dict[str, Any]] = {
    "pool id": {"pool_id": "other"},
    "provider id": {"provider_id": "other"},
    "project": {"project_id": "other-project"},
    "project of the accounts": {"default_project_id": "other-project"},
    "account id": {"identities": {**IDENTITIES, "bob": {**BOB, "service_account": {"account_id": "task-bob-2"}}}},
    "project of one account": {"identities": {**IDENTITIES, "bob": {**BOB, "project_id": "other-project"}}},
    "existing account instead": {
        "identities": {
            "task-alice": {**ALICE, "shared_account": True},
            "bob": {"subject": "user-1043", "service_account": {"email": EMAIL}, "shared_account": True},
        }
    },
    "no account": {"identities": {**IDENTITIES, "bob": {"subject": "user-1043", "direct": True}}},
    "identity removed": {"identities": {"task-alice": ALICE}},
    "all identities removed": {"identities": {}},
}
"""Changes of a call that would delete or replace the pool, its provider or an account."""


def take_snapshot(site: Site) -> dict[str, Any]:
    """Return everything that users depend on: pools, providers, accounts with their ids, and who is granted what."""
    state = site.google.state
    projects = {
        name: {(binding.role, member) for binding in project.policy.bindings for member in binding.members}
        for name, project in state.projects.items()
    }
    accounts = {
        email: (found.unique_id, found.deleted_at, list_grants(found))
        for email, found in state.service_accounts.items()
    }
    pools = {
        name: (pool.deleted_at, {key: provider.deleted_at for key, provider in pool.providers.items()})
        for name, pool in state.pools.items()
    }
    return {"pools": pools, "accounts": accounts, "projects": projects}


def test_refused_changes_change_nothing(site: Site) -> None:
    """A destroy, another id and a removed user are refused with the remedy, and change no account and no grant."""
    site.google.state.add_project("other-project", "222222222222")
    terraform = site.call("root", identities=IDENTITIES)
    terraform.apply()
    before = take_snapshot(site)

    refused = {"destroy": terraform.destroy(status=1)}
    states = {"destroy": take_snapshot(site)}
    for name, change in REFUSED.items():
        site.call("root", **{"identities": IDENTITIES, **change})
        refused[name] = terraform.apply(status=1)
        states[name] = take_snapshot(site)

    assert list_grants(account(site, "task-of-bob")) == {(USER, principal("user-1043"))}
    assert [name for name, state in states.items() if state != before] == []
    assert [name for name, done in refused.items() if "Set deletion_protection = false" not in done.text] == []
    site.call("root", identities=IDENTITIES)
    assert terraform.plan() == {}


def test_another_name_keeps_the_old_account(site: Site) -> None:
    """An identity under another name is a new one; the removal of the old one is refused, and its grants stay."""
    terraform = site.call("root", identities={"bob": BOB, "task-alice": ALICE})
    terraform.apply()
    before = take_snapshot(site)["accounts"]

    site.call("root", identities={"bob": BOB, "task-alice-2": {"subject": "user-1042"}})
    refused = terraform.apply(status=1)

    assert "Identity task-alice: its account is protected" in refused.text
    assert {email: known for email, known in take_snapshot(site)["accounts"].items() if email in before} == before


def test_accounts_stay_when_the_call_is_removed(site: Site) -> None:
    """Without the module's call the accounts stay, with their ids; with it again, everything works as before."""
    terraform = site.call("root", identities=IDENTITIES)
    terraform.apply()
    before = take_snapshot(site)

    (terraform.place / "main.tf.json").write_text(json.dumps({"locals": {"nothing": True}}))
    refused = terraform.apply(status=1)
    left = take_snapshot(site)
    site.call("root", identities=IDENTITIES)
    terraform.apply()

    assert "cannot destroy" in refused.text
    assert 'deletion_policy="DELETE"' in refused.text
    assert left["pools"] == before["pools"]
    assert {email: known[:2] for email, known in left["accounts"].items()} == {
        email: known[:2] for email, known in before["accounts"].items()
    }
    assert take_snapshot(site) == before
    assert terraform.plan() == {}


def test_unprotected_identity_is_removed_with_its_account(site: Site) -> None:
    """A user who may be deleted is removed in one apply, while the pool and the others stay protected."""
    leaving = {"task-alice": ALICE, "bob": {**BOB, "deletion_protection": False}}
    terraform = site.call("root", identities=IDENTITIES)
    terraform.apply()

    site.call("root", identities=leaving)
    unprotected = terraform.plan_resources()
    terraform.apply()
    site.call("root", identities={"task-alice": ALICE})
    terraform.apply()

    assert set(map(tuple, unprotected.values())) == {("update",)}
    assert list_living(site) == [POOL, EMAIL]
    assert "Set deletion_protection = false" in terraform.destroy(status=1).text


def test_another_provider_replaces_nothing_else(site: Site) -> None:
    """Without protection, another provider id replaces the provider and no grant: principals have the pool alone."""
    terraform = site.call("root", identities=IDENTITIES, deletion_protection=False)
    terraform.apply()
    grants = take_snapshot(site)["accounts"]

    site.call("root", identities=IDENTITIES, deletion_protection=False, provider_id="other")
    changes = terraform.plan_resources()
    terraform.apply()

    assert changes == {
        "module.main.module.federation.google_iam_workload_identity_pool_provider.main": ["delete", "create"],
        "module.main.terraform_data.protection": ["delete", "create"],
    }
    assert take_snapshot(site)["accounts"] == grants
    assert terraform.plan() == {}


def test_another_pool_needs_two_applies(site: Site) -> None:
    """Without protection, another pool id replaces pool and grants, and the accounts keep their ids."""
    terraform = site.call("root", identities=IDENTITIES)
    terraform.apply()
    ids = {email: known[0] for email, known in take_snapshot(site)["accounts"].items()}

    site.call("root", identities=IDENTITIES, deletion_protection=False, pool_id="other")
    assert "Set deletion_protection = false" in terraform.apply(status=1).text
    site.call("root", identities=IDENTITIES, deletion_protection=False)
    terraform.apply()
    site.call("root", identities=IDENTITIES, deletion_protection=False, pool_id="other")
    terraform.apply()

    member = principal("user-1043").replace("/workers/", "/other/")
    assert list_grants(account(site, "task-of-bob")) == {(USER, member)}
    assert {email: known[0] for email, known in take_snapshot(site)["accounts"].items()} == ids
    assert terraform.plan() == {}


def test_deleted_provider_costs_no_grant(site: Site) -> None:
    """After a provider was deleted elsewhere, a plan wants to create the provider, and touches no grant."""
    terraform = site.call("root", identities=IDENTITIES)
    terraform.apply()
    site.google.state.pools[POOL].providers["refresher"].deleted_at = site.google.clock.now().timestamp()

    changes = terraform.plan_resources()

    assert changes == {"module.main.module.federation.google_iam_workload_identity_pool_provider.main": ["create"]}


def test_modules_alone_are_protected(site: Site) -> None:
    """In states of their own, the pool and an identity refuse a destroy and another id before anything changes."""
    usual: dict[str, Any] = {
        "module": "modules/federation",
        "project_id": "my-project",
        "issuer": {"kind": "self_issued", "uri": "https://workers.invalid"},
        "jwks": '${file("jwks.json")}',
        "attribute_condition": {"subject_prefix": "user-"},
    }
    pool = site.call("pool", **usual)
    pool.apply()
    member: dict[str, Any] = {
        "module": "modules/identity",
        "name": "task-alice",
        "project_id": "my-project",
        "subject": "user-1042",
        "pool_name": POOL,
        "provider_name": f"{POOL}/providers/refresher",
    }
    team = site.call("team", **member)
    team.apply()
    before = take_snapshot(site)

    refused = [pool.destroy(status=1), team.destroy(status=1)]
    site.call("pool", **usual, pool_id="other")
    site.call("team", **member, service_account={"account_id": "task-alice-2"})
    refused += [pool.apply(status=1), team.apply(status=1)]

    assert [done.text for done in refused if "deletion_policy" not in done.text and "protect" not in done.text] == []
    assert take_snapshot(site) == before


def call_team(site: Site, *names: str, **inputs: Any) -> Terraform:  # noqa: ANN401 - any value of Terraform's
    """Write a root of the module identity alone: identities with one chain, granted once as in its README."""
    hops = [f"{hop}-hop@my-project.iam.gserviceaccount.com" for hop in ("first", "second")]
    chain = {
        "service_account_id": f"projects/-/serviceAccounts/{hops[1]}",
        "role": "roles/iam.serviceAccountTokenCreator",
        "member": f"serviceAccount:{hops[0]}",
    }
    calls = {
        name: {
            "source": "../../modules/identity",
            "name": f"task-{name}",
            "project_id": "my-project",
            "subject": f"user-{name}",
            "pool_name": POOL,
            "provider_name": f"{POOL}/providers/refresher",
            "delegates": hops,
            "grant_chain": False,
            "depends_on": ["google_service_account_iam_member.chain"],
            **inputs,
        }
        for name in names
    }
    place = site.modules / "examples" / "shared"
    is_new = not place.exists()
    place.mkdir(exist_ok=True)
    document = {"module": calls, "resource": {"google_service_account_iam_member": {"chain": chain}}}
    (place / "main.tf.json").write_text(json.dumps(document))
    terraform = Terraform(place, site.environment)
    if is_new:
        terraform.init()
    return terraform


def test_chain_that_identities_of_the_module_share_outlives_each(site: Site) -> None:
    """Without the root, a shared chain is granted once: it outlives each identity, and protection comes before it."""
    site.call("root", identities={}).apply()
    for hop in ("first-hop", "second-hop"):
        site.google.add_service_account(f"{hop}@my-project.iam.gserviceaccount.com")
    creator = "roles/iam.serviceAccountTokenCreator"
    link = (creator, "serviceAccount:first-hop@my-project.iam.gserviceaccount.com")
    call_team(site, "alice", "carol", deletion_protection=False).apply()
    terraform = call_team(site, "alice", deletion_protection=False)
    terraform.apply()

    assert list_grants(account(site, "second-hop")) == {link}
    assert list_grants(account(site, "first-hop")) == {(creator, principal("user-alice"))}
    call_team(site, "alice").apply()
    before = take_snapshot(site)
    refused = terraform.destroy(status=1)
    assert "Set deletion_protection = false" in refused.text
    assert take_snapshot(site) == before
    assert terraform.plan() == {}
