"""Deny policies (IAM v2). What they deny is in `refresher.emulator.denials`.

https://cloud.google.com/iam/docs/reference/rest/v2/policies. In the path, their parent is one encoded segment.
"""

from collections.abc import Mapping
from typing import Any

from refresher.emulator import documents
from refresher.emulator.authentication import authenticate_administrator, project_resource, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.denials import KIND, is_permission, is_principal
from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import find_project, format_time
from refresher.emulator.http import Call, Reply, Route, read_list, read_object, read_texts
from refresher.emulator.iam_admin.operations import start_operation


def create(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a deny policy."""
    parent = _authorize(cloud, call, names, "iam.denypolicies.create")
    policy_id = call.query.get("policyId", "")
    if not policy_id:
        raise api_refusal("bad_field", field="policyId")
    name = f"{parent}/{policy_id}"
    body = _check_rules(call.json())
    documents.add(cloud, KIND, name, _complete(name, body | {"createTime": format_time(cloud.now())}))
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
    known, body = documents.find(cloud, KIND, name), _check_rules(call.json())
    documents.check_etag(known, body)
    times = {"createTime": known["createTime"], "updateTime": format_time(cloud.now())}
    documents.put(cloud, KIND, name, _complete(name, body | times))
    return Reply(document=start_operation(cloud, name))


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Remove a deny policy."""
    name = f"{_authorize(cloud, call, names, 'iam.denypolicies.delete')}/{names['policy']}"
    documents.remove(cloud, call, KIND, name)
    return Reply(document=start_operation(cloud, name))


def _authorize(cloud: Cloud, call: Call, names: Mapping[str, str], permission: str) -> str:
    caller = authenticate_administrator(cloud, call, service="iam.googleapis.com")
    parent = names["parent"]
    _, kind, name = f"//{parent}".rsplit("/", 2)
    require_permission(cloud, caller, permission, project_resource(cloud, name, service="iam.googleapis.com"))
    if kind == "projects":
        find_project(cloud, name)
    return f"policies/{parent.replace('/', '%2F')}/denypolicies"


def _check_rules(body: dict[str, Any]) -> dict[str, Any]:
    """Check that the rules have the forms that deny policies have, which those of IAM policies are not.

    Raises:
        Refusal: A principal or permission has another form, or a rule depends on tags, which do not exist here.
    """
    for rule in read_list(body, "rules"):
        if not isinstance(rule, dict):
            raise api_refusal("bad_field", field="policy.rules")
        denied = read_object(rule, "denyRule")
        for field in ("deniedPrincipals", "exceptionPrincipals"):
            if not all(map(is_principal, read_texts(denied, field))):
                raise api_refusal("bad_field", field=f"policy.rules.deny_rule.{field}")
        for field in ("deniedPermissions", "exceptionPermissions"):
            if not all(map(is_permission, read_texts(denied, field))):
                raise api_refusal("bad_field", field=f"policy.rules.deny_rule.{field}")
        if denied.get("denialCondition"):
            raise api_refusal(
                "invalid", problem="Conditions of deny rules need tags, which the emulator does not have."
            )
    return body


def _complete(name: str, body: dict[str, Any]) -> dict[str, Any]:
    document = body | {"name": name, "kind": "DenyPolicy"}
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
