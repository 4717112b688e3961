"""Reading, writing and testing IAM policies, the same for every resource that has one.

https://cloud.google.com/iam/docs/reference/rest/v1/Policy: etags prevent lost updates, members and roles must exist,
and conditions must compile.
"""

import re
from collections.abc import Mapping
from typing import Any

from refresher.emulator.account_emails import read_host, read_project
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.expressions import BINDING, ExpressionError, check
from refresher.emulator.fields import read_mask
from refresher.emulator.http import Reply, read_list, read_object, read_text, read_texts
from refresher.emulator.members import bind_member
from refresher.emulator.permissions import Resource, has_permission
from refresher.emulator.policies import Binding, Policy, is_same_etag
from refresher.emulator.roles import is_grantable, is_role
from refresher.emulator.state import State, is_gone
from refresher.emulator.tokens import Bearer

MOST_PRINCIPALS = 1500
MOST_OPERATORS = 12
MOST_CONDITIONS = 65_536
"""The limit for all conditions of a policy, in characters: every request evaluates them."""

LOG_TYPES = ("ADMIN_READ", "DATA_READ", "DATA_WRITE")
_FIELDS = ("version", "bindings", "etag", "auditConfigs")
_SPECIAL = ("allUsers", "allAuthenticatedUsers")
_TYPES = ("user:", "serviceAccount:", "group:", "domain:", "principal://", "principalSet://", "deleted:",
          "projectOwner:", "projectEditor:", "projectViewer:")  # fmt: skip
_POOL = re.compile(
    r"principal(?:Set)?://iam\.googleapis\.com/(projects/[^/]+/locations/global/workloadIdentityPools/[^/]+)/(.+)",
    re.DOTALL,
)
_CLUSTER = re.compile(r"serviceAccount:(?P<project>[^\[]+)\.svc\.id\.goog\[[^\]]*\]")


def replace_policy(
    cloud: Cloud, policy: Policy, body: Mapping[str, Any], *, permissions: str = "", auditable: bool = False
) -> Reply:
    """Replace a policy with the one in a request's body, and show it.

    Args:
        cloud: The emulated cloud.
        policy: Changed in place.
        body: The body of `setIamPolicy`.
        permissions: How the permissions on this kind of resource begin; only roles with one of them are supported.
        auditable: Whether the resource has audit configurations, as projects do.

    Raises:
        Refusal: The etag is that of another version, or the new policy is invalid.
    """
    document = read_object(body, "policy")
    mask = read_mask(read_text(body, "updateMask") or "bindings,etag", _FIELDS)
    etag = read_text(document, "etag")
    if etag and not is_same_etag(etag, policy.etag):
        raise api_refusal("conflict")
    bindings = _read_bindings(cloud, document, permissions)
    audit_configs = (
        [_read_audit_config(cloud, config) for config in read_list(document, "auditConfigs")] if auditable else []
    )
    if "bindings" in mask:
        policy.bindings[:] = bindings
    if "auditConfigs" in mask:
        policy.audit_configs = audit_configs
    return Reply(document=policy.as_document())


def test_permissions(cloud: Cloud, caller: Bearer, resource: Resource, body: Mapping[str, Any]) -> Reply:
    """Show which of the permissions in a request's body a caller has on a resource."""
    held = [
        permission
        for permission in read_texts(body, "permissions")
        if has_permission(cloud, caller, permission, resource)
    ]
    return Reply(document={"permissions": held} if held else {})


def _read_bindings(cloud: Cloud, document: Mapping[str, Any], permissions: str) -> list[Binding]:
    bindings: list[Binding] = []
    for entry in read_list(document, "bindings"):
        if not isinstance(entry, dict):
            raise api_refusal("bad_field", field="policy.bindings")
        role, members = read_text(entry, "role"), read_texts(entry, "members")
        check_role(cloud.state, role, permissions)
        for member in members:
            check_member(cloud, member)
        members = [bind_member(cloud.state, member) for member in members]
        condition = _read_condition(read_object(entry, "condition"))
        same = next((known for known in bindings if (known.role, known.condition) == (role, condition)), None)
        if same is not None:
            same.members.update(members)
        elif members:
            bindings.append(Binding(role=role, members=set(members), condition=condition))
    if sum(len(binding.members) for binding in bindings) > MOST_PRINCIPALS:
        raise api_refusal("invalid", problem=f"The number of members in the policy must be at most {MOST_PRINCIPALS}.")
    if sum(len(binding.condition["expression"]) for binding in bindings if binding.condition) > MOST_CONDITIONS:
        raise api_refusal("invalid", problem="The conditions of the policy are too large.")
    return bindings


def check_member(cloud: Cloud, member: str) -> None:
    """Check that a member is of a known type and, where the emulator can know it, exists.

    Raises:
        Refusal: T8 for a pool that does not exist, including the pool of Kubernetes Engine in a project that does not
            exist; a similar refusal for a service account.
    """
    if member in _SPECIAL:
        return
    if not member.startswith(_TYPES):
        raise api_refusal(
            "invalid",
            problem=f"The member {member} is of an unknown type. Please set a valid type prefix for the member.",
        )
    if member.startswith(("principal://", "principalSet://")):
        _check_principal(cloud, member)
    cluster = _CLUSTER.fullmatch(member)
    if cluster is not None and not {cluster["project"], read_host(cluster["project"])} & cloud.state.projects.keys():
        raise api_refusal("T8", pool=f"{cluster['project']}.svc.id.goog")
    if member.startswith("serviceAccount:") and cluster is None:
        email = member.removeprefix("serviceAccount:")
        found = cloud.state.service_accounts.get(email)
        known = cloud.state.find_project(read_project(email)) is not None  # other clouds' accounts are unknown
        if known and (found is None or found.deleted_at is not None):
            raise api_refusal("no_member", email=email)


def _check_principal(cloud: Cloud, member: str) -> None:
    found = _POOL.fullmatch(member)
    if found is None:
        raise api_refusal("invalid", problem=f"Invalid principal {member}.")
    pool = cloud.state.pools.get(found[1])
    if pool is None or is_gone(pool.deleted_at, cloud.now()):
        raise api_refusal("T8", pool=found[1])


def check_role(state: State, role: str, permissions: str = "") -> None:
    """Check that a role exists, and that it includes a permission of the kind of resource on which it is granted.

    Raises:
        Refusal: It does not.
    """
    if not is_role(state, role) or not is_grantable(role, permissions):
        raise api_refusal("no_role", role=role)


def _read_condition(condition: dict[str, Any]) -> dict[str, str] | None:
    if not condition:
        return None
    kept = {name: read_text(condition, name) for name in ("title", "description", "expression")}
    expression = kept["expression"]
    try:
        check(expression, BINDING)
    except ExpressionError as error:
        raise api_refusal("invalid", problem=f"Invalid condition expression: {error}") from None
    if sum(expression.count(operator) for operator in ("&&", "||", "!")) - expression.count("!=") > MOST_OPERATORS:
        raise api_refusal("invalid", problem=f"A condition must have at most {MOST_OPERATORS} logical operators.")
    return {name: value for name, value in kept.items() if value}


def _read_audit_config(cloud: Cloud, config: object) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise api_refusal("bad_field", field="policy.auditConfigs")
    service = read_text(config, "service")
    if service == "iamcredentials.googleapis.com" or (service != "allServices" and "." not in service):
        raise api_refusal("invalid", problem=f"Audit configuration for service {service} is not supported.")
    logs = [dict(log) if isinstance(log, dict) else {} for log in read_list(config, "auditLogConfigs")]
    for number, log in enumerate(logs):
        kind = log.get("logType")
        if kind not in LOG_TYPES:
            raise api_refusal(
                "invalid",
                problem=f"Invalid value at 'policy.audit_configs[0].audit_log_configs[{number}].log_type' "
                f'(type.googleapis.com/google.iam.v1.AuditLogConfig.LogType), "{kind}"',
            )
        if "exemptedMembers" in log:
            log["exemptedMembers"] = [bind_member(cloud.state, name) for name in read_texts(log, "exemptedMembers")]
    return {"service": service, "auditLogConfigs": logs}
