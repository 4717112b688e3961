"""Deny policies (IAM v2), stored and shown. They have no effect on access.

https://cloud.google.com/iam/docs/reference/rest/v2/policies. In the path, their parent is one encoded segment.
"""

from collections.abc import Mapping
from typing import Any

from refresher.emulator import documents
from refresher.emulator.authentication import authenticate_administrator, project_resource, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import format_time
from refresher.emulator.http import Call, Reply, Route
from refresher.emulator.iam_admin.operations import start_operation

KIND = "denyPolicies"


def create(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a deny policy."""
    parent = _authorize(cloud, call, names, "iam.denypolicies.create")
    policy_id = call.query.get("policyId", "")
    if not policy_id:
        raise api_refusal("bad_field", field="policyId")
    name = f"{parent}/{policy_id}"
    documents.add(cloud, KIND, name, _complete(cloud, name, call.json()))
    return Reply(document=start_operation(cloud, name))


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a deny policy."""
    parent = _authorize(cloud, call, names, "iam.denypolicies.get")
    return Reply(document=documents.find(cloud, KIND, f"{parent}/{names['policy']}"))


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the deny policies of a resource."""
    parent = _authorize(cloud, call, names, "iam.denypolicies.list")
    found = documents.list_all(cloud, KIND, f"{parent}/")
    return Reply(document={"policies": found} if found else {})


def update(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace a deny policy."""
    name = f"{_authorize(cloud, call, names, 'iam.denypolicies.update')}/{names['policy']}"
    known, body = documents.find(cloud, KIND, name), call.json()
    documents.check_etag(known, body)
    documents.put(cloud, KIND, name, _complete(cloud, name, body))
    return Reply(document=start_operation(cloud, name))


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Remove a deny policy."""
    name = f"{_authorize(cloud, call, names, 'iam.denypolicies.delete')}/{names['policy']}"
    documents.remove(cloud, KIND, name)
    return Reply(document=start_operation(cloud, name))


def _authorize(cloud: Cloud, call: Call, names: Mapping[str, str], permission: str) -> str:
    caller = authenticate_administrator(cloud, call, service="iam.googleapis.com")
    parent = names["parent"]
    require_permission(
        cloud, caller, permission, project_resource(cloud, parent.rpartition("/")[2], service="iam.googleapis.com")
    )
    return f"policies/{parent.replace('/', '%2F')}/denypolicies"


def _complete(cloud: Cloud, name: str, body: dict[str, Any]) -> dict[str, Any]:
    document = body | {"name": name, "kind": "DenyPolicy", "createTime": format_time(cloud.now())}
    return document | {"etag": documents.compute_etag(document)}


_POLICIES = "/v2/policies/{parent}/denypolicies"
_POLICY = f"{_POLICIES}/{{policy}}"

ROUTES = (
    Route("iam.denyPolicies.create", "POST", _POLICIES, create, changes=True),
    Route("iam.denyPolicies.list", "GET", _POLICIES, list_),
    Route("iam.denyPolicies.get", "GET", _POLICY, get),
    Route("iam.denyPolicies.update", "PUT", _POLICY, update, changes=True),
    Route("iam.denyPolicies.delete", "DELETE", _POLICY, delete, changes=True),
)
