"""orgpolicy.googleapis.com: policies on projects, folders and organisations, stored and shown.

https://cloud.google.com/resource-manager/docs/reference/orgpolicy/rest. Four constraints have an effect, and only on a
project.
"""

from collections.abc import Mapping
from typing import Any

from refresher.emulator import documents
from refresher.emulator.authentication import authenticate_administrator, project_resource, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import apply_mask, find_project, format_time, read_mask
from refresher.emulator.http import Call, Reply, Route, read_object, read_text

SERVICE = "orgpolicy.googleapis.com"
KIND = "orgPolicies"
PARENTS = ("projects", "folders", "organizations")
SPECS = ("spec", "dryRunSpec")
CONSTRAINTS = (
    "iam.allowServiceAccountCredentialLifetimeExtension",
    "iam.disableServiceAccountKeyCreation",
    "iam.disableServiceAccountKeyUpload",
    "iam.workloadIdentityPoolProviders",
)
"""The constraints that have an effect."""


def allows_value(cloud: Cloud, project: str, constraint: str, value: str, *, default: bool = False) -> bool:
    """Return whether the list constraint on a project allows a value; without a policy, return the default."""
    policy = cloud.state.documents.get(KIND, {}).get(f"projects/{project}/policies/{constraint}")
    rules = policy.get("spec", {}).get("rules") if policy is not None else None
    if not isinstance(rules, list):
        return default
    allowed = False
    for rule in (rule for rule in rules if isinstance(rule, dict)):
        values = rule.get("values") or {}
        if rule.get("denyAll") is True or value in values.get("deniedValues", ()):
            return False
        allowed = allowed or rule.get("allowAll") is True or value in values.get("allowedValues", ())
    return allowed


def is_enforced(cloud: Cloud, project: str, constraint: str) -> bool:
    """Return whether the boolean constraint on a project is enforced; without a policy, it is not."""
    policy = cloud.state.documents.get(KIND, {}).get(f"projects/{project}/policies/{constraint}")
    rules = policy.get("spec", {}).get("rules") if policy is not None else None
    return isinstance(rules, list) and any(isinstance(rule, dict) and rule.get("enforce") is True for rule in rules)


def set_values(cloud: Cloud, project: str, constraint: str, values: list[str]) -> None:
    """Make a list constraint on a project allow exactly these values."""
    name = f"projects/{project}/policies/{constraint}"
    spec = {"rules": [{"values": {"allowedValues": values}}]}
    documents.put(cloud, KIND, name, _complete(cloud, name, {"spec": spec}))


def create(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a policy."""
    parent = _authorize(cloud, call, names, "orgpolicy.policies.create")
    body = call.json()
    name = f"{parent}/policies/{read_text(body, 'name').rpartition('/')[2]}"
    if name.endswith("/"):
        raise api_refusal("bad_field", field="policy.name")
    return Reply(document=documents.add(cloud, KIND, name, _complete(cloud, name, body)))


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a policy."""
    parent = _authorize(cloud, call, names, "orgpolicy.policy.get")
    return Reply(document=documents.find(cloud, KIND, f"{parent}/policies/{names['constraint']}"))


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the policies of a resource."""
    parent = _authorize(cloud, call, names, "orgpolicy.policies.list")
    found = documents.list_all(cloud, KIND, f"{parent}/policies/")
    return Reply(document={"policies": found} if found else {})


def patch(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Change the specs of the mask; one that is not in the body is cleared. Without a mask, replace both."""
    name = f"{_authorize(cloud, call, names, 'orgpolicy.policies.update')}/policies/{names['constraint']}"
    known, body = documents.find(cloud, KIND, name), call.json()
    documents.check_etag(known, body)
    for spec in SPECS:
        documents.check_etag(read_object(known, spec), read_object(body, spec))
    mask = call.query.get("updateMask", "").replace("policy.", "")
    paths = SPECS if mask in ("", "*") else read_mask(mask, SPECS)
    return Reply(document=documents.put(cloud, KIND, name, _complete(cloud, name, apply_mask(known, body, paths))))


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Remove a policy."""
    parent = _authorize(cloud, call, names, "orgpolicy.policies.delete")
    documents.remove(cloud, call, KIND, f"{parent}/policies/{names['constraint']}")
    return Reply(document={})


def list_constraints(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the constraints that have an effect. Policies of any other constraint can be stored too."""
    parent = _authorize(cloud, call, names, "orgpolicy.constraints.list")
    return Reply(document={"constraints": [{"name": f"{parent}/constraints/{name}"} for name in CONSTRAINTS]})


def _authorize(cloud: Cloud, call: Call, names: Mapping[str, str], permission: str) -> str:
    """Check the caller's permission; return the parent, a project by its id."""
    if names["parents"] not in PARENTS:
        raise api_refusal("no_method")
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    require_permission(cloud, caller, permission, project_resource(cloud, names["parent"], service=SERVICE))
    parent = find_project(cloud, names["parent"])[0] if names["parents"] == "projects" else names["parent"]
    return f"{names['parents']}/{parent}"


def _complete(cloud: Cloud, name: str, body: dict[str, Any]) -> dict[str, Any]:
    document = {field: value for field, value in body.items() if value is not None} | {"name": name}
    for field in SPECS:
        spec = dict(read_object(document, field))
        if spec:
            document[field] = spec | {"etag": documents.compute_etag(spec), "updateTime": format_time(cloud.now())}
    return document | {"etag": documents.compute_etag(document)}


_POLICIES = "/v2/{parents}/{parent}/policies"
_POLICY = f"{_POLICIES}/{{constraint}}"
_NAME = "orgpolicy.policies"

ROUTES = (
    Route(f"{_NAME}.create", "POST", _POLICIES, create, changes=True),
    Route(f"{_NAME}.list", "GET", _POLICIES, list_),
    Route(f"{_NAME}.get", "GET", _POLICY, get),
    Route(f"{_NAME}.patch", "PATCH", _POLICY, patch, changes=True),
    Route(f"{_NAME}.delete", "DELETE", _POLICY, delete, changes=True),
    Route("orgpolicy.constraints.list", "GET", "/v2/{parents}/{parent}/constraints", list_constraints),
)
