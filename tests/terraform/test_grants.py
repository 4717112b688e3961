"""Who may impersonate an account: additive grants, and authoritative ones, which show and remove strangers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.terraform.test_examples import CREATOR, USER, account, list_grants, principal
from tests.terraform.tool import SECONDS

if TYPE_CHECKING:
    from tests.terraform.conftest import Site

pytestmark = pytest.mark.timeout(SECONDS)

ALICE: dict[str, Any] = {"subject": "user-1042", "signing": True, "additional_impersonators": ["user:ann@example.com"]}
SELF = "serviceAccount:task-alice@my-project.iam.gserviceaccount.com"
EXPECTED = {(USER, principal("user-1042")), (CREATOR, SELF), (CREATOR, "user:ann@example.com")}
OPENID = "roles/iam.serviceAccountOpenIdTokenCreator"
STRANGERS = [(role, "user:eve@example.com") for role in (USER, CREATOR, OPENID)]


def add_strangers(site: Site) -> None:
    """Grant every impersonation role to a stranger, as if by hand."""
    for role, member in STRANGERS:
        site.google.allow_member("task-alice@my-project.iam.gserviceaccount.com", member, role)


def test_additive_grants_leave_strangers(site: Site) -> None:
    """By default grants of others stay, and a plan does not show them."""
    terraform = site.call("grants", identities={"task-alice": ALICE}, deletion_protection=False)
    terraform.apply()
    add_strangers(site)

    assert terraform.plan() == {}
    assert list_grants(account(site, "task-alice")) == EXPECTED | set(STRANGERS)


def test_authoritative_grants_show_and_remove_strangers(site: Site) -> None:
    """A plan shows each role with a stranger, also one that no one is granted, and an apply removes them."""
    identities = {"task-alice": {**ALICE, "authoritative_impersonation": True}}
    terraform = site.call("grants", identities=identities, deletion_protection=False)
    terraform.apply()
    assert terraform.plan() == {}
    assert list_grants(account(site, "task-alice")) == EXPECTED
    add_strangers(site)

    changes = terraform.plan()
    shown = terraform.run("show", "-no-color", "plan.bin").output
    terraform.apply()

    binding = 'module.main.module.identity["task-alice"].google_service_account_iam_binding.impersonation'
    assert changes == {f'{binding}["{role}"]': ["update"] for role in (USER, CREATOR, OPENID)}
    assert "user:eve@example.com" in shown
    assert list_grants(account(site, "task-alice")) == EXPECTED
    assert terraform.plan() == {}


@pytest.mark.parametrize("order", [(False, True), (True, False)], ids=["on", "off"])
def test_change_of_the_kind_of_grants_keeps_them(site: Site, order: tuple[bool, bool]) -> None:
    """One apply changes additive grants into authoritative ones, or back, and every member is there after it."""
    for is_authoritative in order:
        identities = {"task-alice": {**ALICE, "authoritative_impersonation": is_authoritative}}
        terraform = site.call("grants", identities=identities, deletion_protection=False)
        terraform.apply()

        assert list_grants(account(site, "task-alice")) == EXPECTED
        assert terraform.plan() == {}


def test_writers_at_the_same_time(site: Site) -> None:
    """After a conflict with another writer the policy is read, changed and written again."""
    terraform = site.call("grants", identities={"task-alice": ALICE}, deletion_protection=False)
    site.google.faults.add("iam.serviceAccounts.setIamPolicy", status=409, times=2)
    terraform.apply()

    assert not site.google.faults.pending
    assert list_grants(account(site, "task-alice")) == EXPECTED


def test_users_of_a_chain_keep_it_when_another_is_removed(site: Site) -> None:
    """The grants between the accounts of a chain are single resources, and stay while an identity needs them."""
    hops = [f"{name}-hop@my-project.iam.gserviceaccount.com" for name in ("first", "second", "third")]
    for hop in hops:
        site.google.add_service_account(hop)
    chains = {"task-alice": hops, "task-bob": hops, "task-carol": hops[1:]}
    users = {
        name: {"subject": f"user-{number}", "delegates": chain} for number, (name, chain) in enumerate(chains.items())
    }
    terraform = site.call("chains", identities=users, deletion_protection=False)
    terraform.apply()

    def list_hops() -> list[set[tuple[str, str]]]:
        return [list_grants(account(site, hop.partition("@")[0])) for hop in hops]

    first, second, third = (f"serviceAccount:{hop}" for hop in hops)
    assert list_hops() == [
        {(CREATOR, principal("user-0")), (CREATOR, principal("user-1"))},
        {(CREATOR, first), (CREATOR, principal("user-2"))},
        {(CREATOR, second)},
    ]

    site.call("chains", identities={"task-bob": users["task-bob"]}, deletion_protection=False)
    terraform.apply()

    assert list_hops() == [{(CREATOR, principal("user-1"))}, {(CREATOR, first)}, {(CREATOR, second)}]
    assert terraform.plan() == {}
    assert third in {member for _, member in list_grants(account(site, "task-bob"))}


def test_refused_removal_of_the_last_user_keeps_the_chain(site: Site) -> None:
    """The protection of an identity is asked before the grants of its chain are touched."""
    hops = [f"{name}-hop@my-project.iam.gserviceaccount.com" for name in ("first", "second")]
    for hop in hops:
        site.google.add_service_account(hop)
    terraform = site.call("chains", identities={"task-alice": {"subject": "user-1", "delegates": hops}})
    terraform.apply()
    before = list_grants(account(site, "second-hop"))

    site.call("chains", identities={})
    refused = terraform.apply(status=1)

    assert "Set deletion_protection = false" in refused.text
    assert list_grants(account(site, "second-hop")) == before == {(CREATOR, f"serviceAccount:{hops[0]}")}
