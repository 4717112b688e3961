"""The impersonation chain: who may go through whom."""

from __future__ import annotations

import pytest

from tests.unit.emulator.conftest import ALICE, BOB, Google, principal

TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator"


def test_each_delegate_needs_implicit_delegation(google: Google, federated: str) -> None:
    """Each delegate needs implicit delegation on the next, and the last one the permission on the target."""
    google.cloud.state.allow(ALICE, principal("user-1"), TOKEN_CREATOR)
    google.cloud.state.allow(BOB, f"serviceAccount:{ALICE}", TOKEN_CREATOR)
    carol = "carol@my-project.iam.gserviceaccount.com"
    google.cloud.state.allow(carol, f"serviceAccount:{BOB}", TOKEN_CREATOR)
    names = [f"projects/-/serviceAccounts/{name}" for name in (ALICE, BOB)]

    assert google.impersonate(carol, federated, delegates=names).status == 200
    assert google.impersonate(carol, federated, delegates=names[:1]).status == 403
    assert google.impersonate(carol, federated, delegates=names[::-1]).status == 403
    assert google.impersonate(carol, federated).status == 403


def test_workload_identity_user_does_not_delegate(google: Google, federated: str) -> None:
    """The role workloadIdentityUser includes tokens, but not implicit delegation."""
    google.cloud.state.allow(BOB, f"serviceAccount:{ALICE}", TOKEN_CREATOR)

    reply = google.impersonate(BOB, federated, delegates=[f"projects/-/serviceAccounts/{ALICE}"])

    assert reply.status == 403
    assert reply.document["error"]["message"] == (
        "Permission 'iam.serviceAccounts.implicitDelegation' denied on resource (or it may not exist)."
    )


@pytest.mark.parametrize(
    "name", [ALICE, f"serviceAccounts/{ALICE}", f"projects/my-project/serviceAccounts/{ALICE}", ""]
)
def test_delegates_need_their_resource_names(google: Google, federated: str, name: str) -> None:
    """I6: a delegate is `projects/-/serviceAccounts/NAME`, in no other form."""
    google.cloud.state.allow(ALICE, principal("user-1"), TOKEN_CREATOR)
    google.cloud.state.allow(BOB, f"serviceAccount:{ALICE}", TOKEN_CREATOR)

    assert google.impersonate(BOB, federated, delegates=[f"projects/-/serviceAccounts/{ALICE}"]).status == 200
    assert google.impersonate(BOB, federated, delegates=[name]).status == 400


@pytest.mark.parametrize("delegates", [None, []])
def test_delegates_can_be_absent_in_any_form(google: Google, federated: str, delegates: object) -> None:
    """Python sends null and Java an empty list."""
    assert google.impersonate(ALICE, federated, delegates=delegates).status == 200
