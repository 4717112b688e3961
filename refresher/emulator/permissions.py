"""IAM decisions: members, roles, conditions on bindings, credential access boundaries, the chain of delegates.

https://cloud.google.com/iam/docs/policies and https://cloud.google.com/iam/docs/service-account-permissions. A
project's policy applies to everything in the project, and a deny policy goes before every grant.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from refresher.emulator.cloud import Cloud
from refresher.emulator.denials import is_denied
from refresher.emulator.errors import Refusal, api_refusal
from refresher.emulator.expressions import BINDING, ExpressionError, evaluate
from refresher.emulator.policies import Binding, Policy
from refresher.emulator.roles import IMPLICIT_DELEGATION, includes
from refresher.emulator.state import ServiceAccount, State
from refresher.emulator.tokens import Bearer


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource on which a caller needs a permission.

    Attributes:
        name: As conditions see it, `projects/…`.
        service: The service's host name.
        kind: As conditions see it, such as `iam.googleapis.com/ServiceAccount`.
        project: The id of the project that owns it.
        policy: Its own policy; None if it has none.
    """

    name: str
    service: str = "iam.googleapis.com"
    kind: str = ""
    project: str = ""
    policy: Policy | None = None


def account_resource(account: ServiceAccount) -> Resource:
    """Describe a service account as a resource."""
    return Resource(
        name=f"projects/-/serviceAccounts/{account.unique_id}",
        kind="iam.googleapis.com/ServiceAccount",
        project=account.project,
        policy=account.policy,
    )


def check_chain(
    cloud: Cloud, caller: Bearer, delegates: Sequence[str], target: ServiceAccount, permission: str
) -> list[ServiceAccount]:
    """Check the impersonation chain from a caller through its delegates to the target principal; return the delegates.

    Args:
        cloud: The emulated cloud.
        caller: The first in the chain.
        delegates: E-mails or unique ids, caller side first.
        target: The target principal.
        permission: What the last in the chain needs on the target.

    Raises:
        Refusal: I1 at the first hop that is not granted.
    """
    names = list_names(cloud.state, caller)
    chain = []
    for delegate in delegates:
        account = cloud.state.find_service_account(delegate)
        if account is None or not account.is_usable:
            raise permission_denied(IMPLICIT_DELEGATION)
        if caller.boundary is not None or not _is_granted(cloud, names, IMPLICIT_DELEGATION, account_resource(account)):
            raise permission_denied(IMPLICIT_DELEGATION)
        names = _list_account_names(cloud.state, account.email)
        chain.append(account)
    if caller.boundary is not None or not _is_granted(cloud, names, permission, account_resource(target)):
        raise permission_denied(permission)
    return chain


def has_permission(cloud: Cloud, caller: Bearer, permission: str, resource: Resource) -> bool:
    """Return whether a caller has a permission on a resource."""
    if caller.kind == "administrator":
        return True
    if caller.boundary is not None and not _is_within(cloud, caller.boundary, permission, resource):
        return False
    return _is_granted(cloud, list_names(cloud.state, caller), permission, resource)


def list_names(state: State, caller: Bearer) -> frozenset[str]:
    """Return every name under which a caller can be a member of a policy."""
    if caller.kind == "federated":
        return frozenset(_list_federated_names(caller))
    if caller.kind == "anonymous":
        return frozenset({"allUsers"})
    return (
        _list_account_names(state, caller.name)
        if caller.kind == "service_account"
        else _list_member_names(state, caller.member)
    )


def permission_denied(permission: str, resource: str = "") -> Refusal:
    """Return the refusal for a permission that is not granted."""
    shown = f" '{resource}'" if resource else ""
    return api_refusal("I1", service="iam.googleapis.com", permission=permission, resource=shown)


def _list_federated_names(caller: Bearer) -> Iterable[str]:
    pool = f"principalSet://iam.googleapis.com/{caller.pool}"
    yield caller.name
    yield f"{pool}/*"
    yield from (f"{pool}/group/{group}" for group in caller.groups)
    yield from (f"{pool}/attribute.{name}/{value}" for name, value in caller.attributes.items())
    yield "allUsers"


def _list_account_names(state: State, email: str) -> frozenset[str]:
    return _list_member_names(state, f"serviceAccount:{email}")


def _list_member_names(state: State, member: str) -> frozenset[str]:
    email = member.partition(":")[2]
    groups = (f"group:{group}" for group, members in state.groups.items() if member in members or email in members)
    domain = f"domain:{email.partition('@')[2]}"
    return frozenset({member, domain, "allAuthenticatedUsers", "allUsers", *groups})


def _is_granted(cloud: Cloud, names: frozenset[str], permission: str, resource: Resource) -> bool:
    if is_denied(cloud.state, names, permission, resource.project):
        return False
    project = cloud.state.projects.get(resource.project)
    for policy in (resource.policy, project.policy if project is not None else None):
        for binding in policy.bindings if policy is not None else ():
            if (
                not names.isdisjoint(binding.members)
                and includes(cloud.state, binding.role, permission)
                and _applies(cloud, binding, resource)
            ):
                return True
    return False


def _applies(cloud: Cloud, binding: Binding, resource: Resource) -> bool:
    return binding.condition is None or condition_holds(cloud, binding.condition.get("expression", ""), resource)


def condition_holds(cloud: Cloud, expression: str, resource: Resource) -> bool:
    """Return whether the condition of a binding is true now for a resource. A condition that fails is false."""
    values = {
        "request.time": datetime.fromtimestamp(int(cloud.now()), UTC),
        "resource": {"name": resource.name, "service": resource.service, "type": resource.kind},
    }
    try:
        return evaluate(expression, BINDING, values) is True
    except ExpressionError:
        return False


def _is_within(cloud: Cloud, boundary: Sequence[dict[str, Any]], permission: str, resource: Resource) -> bool:
    """Return whether a credential access boundary permits something.

    https://cloud.google.com/iam/docs/downscoping-short-lived-credentials: rules can only contain buckets.
    """
    for rule in boundary:
        available = str(rule.get("availableResource", "")).removeprefix("//storage.googleapis.com/")
        inside = resource.name == available or resource.name.startswith(f"{available}/")
        roles = [str(entry).removeprefix("inRole:") for entry in rule.get("availablePermissions", ())]
        expression = str((rule.get("availabilityCondition") or {}).get("expression", ""))
        if (
            inside
            and any(includes(cloud.state, role, permission) for role in roles)
            and (not expression or condition_holds(cloud, expression, resource))
        ):
            return True
    return False
