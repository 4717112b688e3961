"""Workload identity pools: create, read, update, delete softly, undelete.

https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.
"""

from collections.abc import Mapping
from typing import Any

from refresher.emulator import policy_changes
from refresher.emulator.authentication import authenticate_administrator, project_resource, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import find_project, read_mask
from refresher.emulator.http import Call, Reply, Route, read_flag, read_list, read_text
from refresher.emulator.iam_admin.fields import check_id, drop_empty, read_names, show_deletion
from refresher.emulator.iam_admin.operations import start_operation
from refresher.emulator.quotas import POOL_WRITES
from refresher.emulator.roles import POOLS as POOL_PERMISSIONS
from refresher.emulator.state import Pool, is_gone, pool_name

SERVICE = "iam.googleapis.com"
MODES = ("", "FEDERATION_ONLY", "TRUST_DOMAIN", "SYSTEM_TRUST_DOMAIN")
_MASK = {"displayName": "display_name", "description": "description", "disabled": "disabled", "mode": "mode"}


def authorize(cloud: Cloud, call: Call, project: str, permission: str) -> str:
    """Check the caller's permission on a project; return the project's number.

    Raises:
        Refusal: T9 if the caller lacks the permission.
    """
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    require_permission(cloud, caller, permission, project_resource(cloud, project, service=SERVICE))
    _, found = find_project(cloud, project)
    return found.number


def find_pool(cloud: Cloud, number: str, pool: str) -> Pool:
    """Return a pool, even a deleted one.

    Raises:
        Refusal: It does not exist, or can no longer be undeleted.
    """
    found = cloud.state.pools.get(pool_name(number, pool))
    if found is None or is_gone(found.deleted_at, cloud.now()):
        raise api_refusal("not_found")
    return found


def create(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a pool. The id of a deleted pool cannot be used again for 30 days (T7)."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.create")
    cloud.quotas.spend(POOL_WRITES, number, cloud.now())
    pool_id, body = call.query.get("workloadIdentityPoolId", ""), call.json()
    check_id(pool_id, field="workloadIdentityPoolId")
    pool = Pool(project_number=number, **read_names(body), disabled=read_flag(body, "disabled"), mode=_read_mode(body))
    name = pool_name(number, pool_id)
    taken = cloud.state.pools.get(name)
    if taken is not None and not is_gone(taken.deleted_at, cloud.now()):
        raise api_refusal("T7")
    cloud.state.pools[name] = pool
    return Reply(document=start_operation(cloud, name))


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a pool; a deleted one for 30 days."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.get")
    return Reply(document=describe_pool(cloud, number, names["pool"]))


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the pools of a project."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.list")
    with_deleted = call.query.get("showDeleted", "").lower() == "true"
    pools = [
        describe_pool(cloud, number, name.rpartition("/")[2])
        for name, pool in cloud.state.pools.items()
        if pool.project_number == number
        and not is_gone(pool.deleted_at, cloud.now())
        and (with_deleted or pool.deleted_at is None)
    ]
    return Reply(document={"workloadIdentityPools": pools} if pools else {})


def update(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Change the fields of the mask; a field that is not in the body is cleared."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.update")
    cloud.quotas.spend(POOL_WRITES, number, cloud.now())
    pool = _find_live(cloud, number, names["pool"])
    body, fields = call.json(), read_mask(call.query.get("updateMask", ""), _MASK)
    values: dict[str, Any] = {**read_names(body), "disabled": read_flag(body, "disabled"), "mode": _read_mode(body)}
    if "mode" in fields and values["mode"] != pool.mode:
        raise api_refusal("immutable")
    for path in fields:
        setattr(pool, _MASK[path], values[_MASK[path]])
    return Reply(document=start_operation(cloud, pool_name(number, names["pool"])))


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Delete a pool; it can be undeleted for 30 days."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.delete")
    cloud.quotas.spend(POOL_WRITES, number, cloud.now())
    _find_live(cloud, number, names["pool"]).deleted_at = cloud.now()
    return Reply(document=start_operation(cloud, pool_name(number, names["pool"])))


def undelete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Undelete a pool."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.undelete")
    pool = find_pool(cloud, number, names["pool"])
    if pool.deleted_at is None:
        raise api_refusal("precondition", problem="The pool is not deleted.")
    pool.deleted_at = None
    return Reply(document=start_operation(cloud, pool_name(number, names["pool"])))


def list_attestation_rules(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the attestation rules of a pool."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.getAttestationRules")
    rules = find_pool(cloud, number, names["pool"]).attestation_rules
    return Reply(document={"attestationRules": rules} if rules else {})


def set_attestation_rules(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace the attestation rules of a pool. They are stored and have no effect."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.update")
    pool = _find_live(cloud, number, names["pool"])
    pool.attestation_rules = read_list(call.json(), "attestationRules")
    return Reply(document=start_operation(cloud, pool_name(number, names["pool"])))


def get_policy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show the policy of a pool."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.getIamPolicy")
    return Reply(document=find_pool(cloud, number, names["pool"]).policy.as_document())


def set_policy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace the policy of a pool."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPools.setIamPolicy")
    policy = find_pool(cloud, number, names["pool"]).policy
    return policy_changes.replace_policy(cloud, policy, call.json(), permissions=POOL_PERMISSIONS)


def describe_pool(cloud: Cloud, number: str, pool_id: str) -> dict[str, Any]:
    """Show a pool as the API does."""
    pool = find_pool(cloud, number, pool_id)
    return drop_empty(
        {
            "name": pool_name(number, pool_id),
            "displayName": pool.display_name,
            "description": pool.description,
            "disabled": pool.disabled,
            "mode": pool.mode,
            **show_deletion(pool.deleted_at),
        }
    )


def _find_live(cloud: Cloud, number: str, pool_id: str) -> Pool:
    pool = find_pool(cloud, number, pool_id)
    if pool.deleted_at is not None:
        raise api_refusal("not_found")
    return pool


def _read_mode(body: Mapping[str, Any]) -> str:
    mode = read_text(body, "mode")
    if mode not in MODES:
        raise api_refusal("bad_field", field="mode")
    return mode


POOLS = "/v1/projects/{project}/locations/global/workloadIdentityPools"
POOL = f"{POOLS}/{{pool}}"
_IAM = "iam.workloadIdentityPools"

ROUTES = (
    Route(f"{_IAM}.create", "POST", POOLS, create, changes=True),
    Route(f"{_IAM}.list", "GET", POOLS, list_),
    Route(f"{_IAM}.get", "GET", POOL, get),
    Route(f"{_IAM}.patch", "PATCH", POOL, update, changes=True),
    Route(f"{_IAM}.delete", "DELETE", POOL, delete, changes=True),
    Route(f"{_IAM}.undelete", "POST", f"{POOL}:undelete", undelete, changes=True),
    Route(f"{_IAM}.listAttestationRules", "GET", f"{POOL}:listAttestationRules", list_attestation_rules),
    Route(f"{_IAM}.setAttestationRules", "POST", f"{POOL}:setAttestationRules", set_attestation_rules, changes=True),
    Route(f"{_IAM}.getIamPolicy", "POST", f"{POOL}:getIamPolicy", get_policy),
    Route(f"{_IAM}.setIamPolicy", "POST", f"{POOL}:setIamPolicy", set_policy, changes=True),
)
