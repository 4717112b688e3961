"""Who may do what to a service account: roles, members, and the chain of delegates.

https://cloud.google.com/iam/docs/service-account-permissions. Only roles that let somebody stand in for an account are
known; conditions on bindings and policies of projects are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.emulator.errors import api_refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refresher.emulator.cloud import Cloud
    from refresher.emulator.state import ServiceAccount

GET_ACCESS_TOKEN = "iam.serviceAccounts.getAccessToken"  # noqa: S105 - a permission
GET_OPEN_ID_TOKEN = "iam.serviceAccounts.getOpenIdToken"  # noqa: S105 - a permission
IMPLICIT_DELEGATION = "iam.serviceAccounts.implicitDelegation"

PERMISSIONS = {
    "roles/iam.workloadIdentityUser": {GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN},
    "roles/iam.serviceAccountTokenCreator": {GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN, IMPLICIT_DELEGATION},
    "roles/iam.serviceAccountOpenIdTokenCreator": {GET_OPEN_ID_TOKEN},
}

_DELEGATE = "projects/-/serviceAccounts/"


def check_chain(cloud: Cloud, caller: str, delegates: Sequence[str], target: ServiceAccount, permission: str) -> None:
    """Walk the impersonation chain from a caller over its delegates to the target principal.

    Args:
        cloud: Where.
        caller: As IAM policies name members.
        delegates: `projects/-/serviceAccounts/NAME`, caller side first.
        target: Whom it is about.
        permission: What the last in the chain needs on the target.

    Raises:
        Refusal: I1 at the first hop that is not granted.
    """
    member = caller
    for delegate in delegates:
        account = cloud.state.find_service_account(str(delegate).removeprefix(_DELEGATE))
        if account is None or not is_granted(account, member, IMPLICIT_DELEGATION):
            raise denied(IMPLICIT_DELEGATION)
        member = f"serviceAccount:{account.email}"
    if not is_granted(target, member, permission):
        raise denied(permission)


def is_granted(account: ServiceAccount, member: str, permission: str) -> bool:
    """Tell whether an account's policy grants a permission to a member."""
    names = {member, *_sets_of(member)}
    return any(
        permission in PERMISSIONS.get(role, ()) and not names.isdisjoint(members)
        for role, members in account.bindings.items()
    )


def denied(permission: str) -> Exception:
    """Give the refusal for a permission that was not granted."""
    return api_refusal("I1", permission=permission)


def _sets_of(member: str) -> tuple[str, ...]:
    """Name the principal sets that a federated principal belongs to: its whole pool."""
    head, found, _ = member.partition("/subject/")
    return (f"principalSet{head.removeprefix('principal')}/*",) if found else ()
